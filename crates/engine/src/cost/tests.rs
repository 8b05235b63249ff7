use super::*;

const SDL: &str = r#"
interface Node { id: ID! }
type Query {
  artifacts(first: Int, after: String, last: Int, before: String): ArtifactConnection!
  collections(first: Int, after: String, last: Int, before: String): CollectionConnection!
  artifact(id: ID!): Artifact
  nodes(ids: [ID!]!): [Node]!
}
type Artifact implements Node { id: ID! name: String! tags: [Tag!]! collections(first: Int, last: Int): CollectionConnection! }
type Collection implements Node { id: ID! name: String! artifactCount: Int! artifacts(first: Int, last: Int): ArtifactConnection! }
type Tag { slug: String! }
type ArtifactConnection { nodes: [Artifact!]! edges: [ArtifactEdge!]! totalCount: Int! facets: Facets! }
type ArtifactEdge { cursor: String! node: Artifact! }
type CollectionConnection { nodes: [Collection!]! }
type Facets { tags(first: Int = 50): [Facet!]! }
type Facet { value: String! }
schema { query: Query }
"#;

fn guard() -> CostAnalyzer {
    CostAnalyzer::new(SDL, Limits::default()).expect("a schema")
}

fn weigh(text: &str, variables: serde_json::Value) -> std::result::Result<(Cost, u64), DocumentError> {
    let guard = guard();
    let document = guard.parse(text)?;
    let operation = &operation(&document, None)?.node;
    let variables = Variables::from_json(variables);
    guard.check(&document, operation, &variables)?;
    let mut weighing = CostVisitor {
        guard: &guard,
        document: &document,
        operation,
        variables: &variables,
        known: HashMap::new(),
        open: HashSet::new(),
        steps: 0,
    };
    let weight = weighing.selections(&operation.selection_set.node, "Query", None)?;
    Ok((weight, weighing.steps))
}

fn refused(text: &str) -> Error {
    match weigh(text, serde_json::json!({})) {
        Ok((weight, _)) => panic!("not refused: {weight:?}"),
        Err(refusal) => refusal.error,
    }
}

#[test]
fn objects_are_counted_by_the_sizes_of_pages() {
    let cases = [
        ("{ artifact(id: 1) { name } }", 1),
        // A connection and its nodes.
        ("{ artifacts(first: 7) { nodes { name } } }", 8),
        ("{ artifacts { nodes { name } } }", 51),
        ("{ artifacts(last: 3) { totalCount } }", 1),
        // Edges are objects too.
        ("{ artifacts(first: 2) { edges { cursor node { name } } } }", 5),
        ("{ artifacts(first: 2) { nodes { tags { slug } } } }", 1 + 2 * 11),
        ("{ artifacts(first: 2) { nodes { collections(first: 3) { nodes { name } } } } }", 1 + 2 * (1 + 1 + 3)),
        ("query ($n: Int = 4) { artifacts(first: $n) { nodes { name } } }", 5),
        ("{ nodes(ids: [1, 2, 3]) { id } }", 3),
        ("{ artifacts(first: 1) { facets { tags { value } } } }", 1 + 1 + 50),
        ("{ artifacts(first: -5) { nodes { name } } }", 1),
        ("{ artifacts(first: 2) { ...F } } fragment F on ArtifactConnection { nodes { name } }", 3),
    ];
    for (text, objects) in cases {
        let (weight, _) = weigh(text, serde_json::json!({})).unwrap_or_else(|refusal| panic!("{text}: {refusal:?}"));

        assert_eq!(weight.objects, objects, "{text}");
    }
}

#[test]
fn a_page_size_in_a_variable_counts() {
    let text = "query ($n: Int) { artifacts(first: $n) { nodes { collections(first: $n) { nodes { name } } } } }";

    assert!(weigh(text, serde_json::json!({"n": 50})).is_ok());
    let refusal = weigh(text, serde_json::json!({"n": 1_000})).expect_err("a million objects");
    assert_eq!(refusal.error.code, Code::LimitExceeded);
    let refusal = weigh(text, serde_json::json!({"n": u64::MAX})).expect_err("more than can be counted");
    assert_eq!(refusal.error.code, Code::LimitExceeded);
}

#[test]
fn the_figures_of_the_headline_queries_leave_room() {
    let q1 = "{ artifacts(first: 50) { nodes { id name collections { nodes { id name artifactCount } } } } }";
    let q4 = "{ collections(first: 10) { nodes { id artifacts(first: 10) { nodes { id collections { nodes { id } } } } } } }";
    for text in [q1, q4] {
        let (weight, _) = weigh(text, serde_json::json!({})).expect("a query within the limits");

        assert!(weight.objects * 3 <= Limits::default().objects, "{weight:?}");
    }
}

#[test]
fn a_fragment_bomb_is_weighed_in_linear_time() {
    for (levels, spreads) in [(24, 2), (40, 10), (100, 3)] {
        let mut text = "{ ...F0 }".to_owned();
        for level in 0..levels {
            let spread = format!(" ...F{}", level + 1).repeat(spreads);
            text += &format!(" fragment F{level} on Query {{ {spread} }}");
        }
        text += &format!(" fragment F{levels} on Query {{ __typename }}");
        let guard = CostAnalyzer::new(SDL, Limits { tokens: 100_000, ..Limits::default() }).expect("a schema");
        let document = guard.parse(&text).expect("a document");
        let operation = &operation(&document, None).expect("an operation").node;
        let variables = Variables::default();

        let refusal = guard.check(&document, operation, &variables).expect_err("more selections than allowed");

        assert_eq!(refusal.error.code, Code::LimitExceeded);
        let mut weighing = CostVisitor {
            guard: &guard,
            document: &document,
            operation,
            variables: &variables,
            known: HashMap::new(),
            open: HashSet::new(),
            steps: 0,
        };
        weighing.selections(&operation.selection_set.node, "Query", None).expect("a weight");
        assert!(weighing.steps <= (levels * spreads + 2) as u64, "{} steps", weighing.steps);
    }
}

#[test]
fn fragments_in_a_circle_are_refused() {
    for text in [
        "{ ...A } fragment A on Query { ...A }",
        "{ ...A } fragment A on Query { ...B } fragment B on Query { artifacts { ...C } } fragment C on ArtifactConnection { ...A }",
        "{ artifact(id: 1) { name } } fragment A on Query { ...B } fragment B on Query { ...A }",
    ] {
        assert_eq!(refused(text).code, Code::GraphqlValidationFailed, "{text}");
    }
}

#[test]
fn every_limit_is_kept_and_named() {
    let limits = Limits::default();
    let cases = [
        (format!("{{ artifact(id: \"{}\") {{ name }} }}", "x".repeat(limits.document_bytes)), "65536 are allowed"),
        (format!("{{ {} }}", "a ".repeat(limits.tokens)), "more than 2000 tokens"),
        ("{ a ".repeat(65), "more than 64 deep"),
        ("[".repeat(100_000), "65536 are allowed"),
        (
            format!("{}name{}", "{ artifact(id: 1) ".to_owned() + &"{ a ".repeat(15) + "{ ", "}".repeat(17)),
            "15 are allowed",
        ),
        (
            format!("{{ {} }}", (0..21).map(|n| format!("artifact(id: {n}) {{ name }} ")).collect::<String>()),
            "20 are allowed",
        ),
        (
            format!("{{ artifact(id: 1) {{ {} }} }}", (0..51).map(|n| format!("a{n}: name ")).collect::<String>()),
            "50 are allowed",
        ),
        (format!("{{ artifact(id: 1) {} {{ name }} }}", "@a ".repeat(11)), "10 are allowed"),
    ];
    for (text, expected) in cases {
        let error = refused(&text);

        assert_eq!(error.code, Code::LimitExceeded, "{}", error.message);
        assert!(error.message.contains(expected), "{} has not {expected}", error.message);
    }
}

#[test]
fn a_syntax_error_is_one_short_line() {
    let cases = [
        ("{", "syntax error at 1:2: unexpected the end of the document"),
        ("{ a(b: ) }", "syntax error at 1:8: unexpected `) }`"),
        ("", "syntax error at 1:1: unexpected the end of the document"),
        ("query A { a } query A { b }", "operation `A` is defined twice"),
    ];
    for (text, expected) in cases {
        let refusal = guard().parse(text).expect_err("no document");

        assert_eq!(refusal.error.code, Code::GraphqlParseFailed);
        assert_eq!(refusal.error.message, expected);
    }
    let long = format!("{{ a(b: \"{}", "y".repeat(60_000));
    assert!(guard().parse(&long).expect_err("no document").error.message.len() < 200);
}

#[test]
fn introspection_is_bounded_by_its_own_rule() {
    let standard = include_str!("../introspection.graphql");
    weigh(standard, serde_json::json!({})).unwrap_or_else(|refusal| panic!("{refusal:?}"));
    let circle = "{ __schema { types { fields { type { fields { type { fields { name } } } } } } } }";
    assert!(refused(circle).message.contains("introspection"));
    let hidden = "{ __schema { types { ...F } } } fragment F on __Type { fields { type { ...G } } }
        fragment G on __Type { fields { type { ...H } } } fragment H on __Type { fields { name } }";
    assert!(refused(hidden).message.contains("introspection"));
}

#[test]
fn a_long_list_in_the_variables_is_refused() {
    let refusal =
        weigh("query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", serde_json::json!({"ids": vec![1; 10_001]}))
            .expect_err("too long a list");

    assert_eq!(refusal.error.code, Code::LimitExceeded);
}

#[test]
fn no_text_makes_it_panic() {
    const PIECES: [&str; 32] = [
        "{",
        "}",
        "(",
        ")",
        "[",
        "]",
        ":",
        "!",
        "$",
        "@",
        "...",
        "|",
        "&",
        "=",
        "query",
        "mutation",
        "fragment",
        "on",
        "F",
        "Query",
        "artifacts",
        "first",
        "nodes",
        "\"s\"",
        "\"\"\"b\"\"\"",
        "1",
        "-1.5",
        "true",
        "null",
        "\u{0}",
        "é",
        "\"",
    ];
    let guard = guard();
    let mut state = 0x9e37_79b9_u64;
    let mut next = |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % bound as u64) as usize
    };
    for _ in 0..5_000 {
        let text: String = (0..next(24)).map(|_| PIECES[next(PIECES.len())]).collect::<Vec<_>>().join(" ");
        if let Ok(document) = guard.parse(&text)
            && let Ok(operation) = operation(&document, None)
        {
            let _ = guard.check(&document, &operation.node, &Variables::default());
        }
    }
}
