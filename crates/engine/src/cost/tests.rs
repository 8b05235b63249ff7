use gatherum_document::json_to_async_graphql;

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

fn schema() -> gatherum_document::Schema {
    gatherum_document::Schema::parse(SDL).expect("a schema")
}

/// The cost of an operation and the number of selections visited for it.
fn cost_within(limits: &Limits, text: &str, given: serde_json::Value) -> Result<(Cost, u64)> {
    let schema = schema();
    let document = schema.check(text, &limits.parsing(), &Default::default()).map_err(first)?;
    let operation = document.operation(None).expect("one operation");
    limits.check_variables(&Variables::from_value(json_to_async_graphql(given.clone())))?;
    let given = given.as_object().expect("an object");
    let values = schema.coerce_variables(&document, operation, given).expect("values of their types");
    let values = values.into_iter().map(|(name, value)| (async_graphql::Name::new(name), json_to_async_graphql(value)));
    let variables = values.collect();
    limits.check(&schema, &document, operation, &variables)?;
    let mut visitor = CostVisitor {
        schema: &schema,
        limits,
        document: &document,
        variables: &variables,
        known: HashMap::new(),
        visited: 0,
    };
    let cost = visitor.selections(&operation.selection_set, None);
    Ok((cost, visitor.visited))
}

fn first(error: gatherum_document::CheckError) -> DocumentError {
    match error {
        gatherum_document::CheckError::Parse(error) => error.into(),
        gatherum_document::CheckError::Validation(errors) => errors.into_iter().next().expect("an error").into(),
    }
}

fn cost(text: &str, variables: serde_json::Value) -> Result<(Cost, u64)> {
    cost_within(&Limits::default(), text, variables)
}

fn rejected(text: &str) -> Error {
    match cost(text, serde_json::json!({})) {
        Ok((cost, _)) => panic!("not rejected: {cost:?}"),
        Err(error) => error.error,
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
        let (cost, _) = cost(text, serde_json::json!({})).unwrap_or_else(|error| panic!("{text}: {error:?}"));

        assert_eq!(cost.objects, objects, "{text}");
    }
}

#[test]
fn a_page_size_in_a_variable_counts() {
    let text = "query ($n: Int) { artifacts(first: $n) { nodes { collections(first: $n) { nodes { name } } } } }";

    assert!(cost(text, serde_json::json!({"n": 50})).is_ok());
    let error = cost(text, serde_json::json!({"n": 1_000})).expect_err("a million objects");
    assert_eq!(error.error.code, Code::LimitExceeded);
    let error = cost(text, serde_json::json!({"n": i32::MAX})).expect_err("more than can be counted");
    assert_eq!(error.error.code, Code::LimitExceeded);
}

#[test]
fn the_figures_of_the_headline_queries_leave_room() {
    let q1 = "{ artifacts(first: 50) { nodes { id name collections { nodes { id name artifactCount } } } } }";
    let q4 = "{ collections(first: 10) { nodes { id artifacts(first: 10) { nodes { id collections { nodes { id } } } } } } }";
    for text in [q1, q4] {
        let (cost, _) = cost(text, serde_json::json!({})).expect("a query within the limits");

        assert!(cost.objects * 3 <= Limits::default().objects, "{cost:?}");
    }
}

#[test]
fn the_cost_of_repeated_fragments_is_computed_in_linear_time() {
    for (levels, spreads) in [(10, 2), (5, 5)] {
        let mut text = "{ ...F0 }".to_owned();
        for level in 0..levels {
            let spread = format!(" ...F{}", level + 1).repeat(spreads);
            text += &format!(" fragment F{level} on Query {{ {spread} }}");
        }
        text += &format!(" fragment F{levels} on Query {{ __typename }}");
        let limits = Limits { selections: u64::MAX, root_fields: u64::MAX, ..Limits::default() };

        let (cost, visited) = cost_within(&limits, &text, serde_json::json!({})).expect("a cost");

        assert_eq!(cost.fields, (spreads as u64).pow(levels));
        assert_eq!(visited, u64::from(levels) * spreads as u64 + 2, "{levels} levels");
        assert_eq!(rejected(&text).code, Code::LimitExceeded);
    }
}

#[test]
fn cycles_of_fragments_are_rejected() {
    for text in [
        "{ ...A } fragment A on Query { ...A }",
        "{ ...A } fragment A on Query { ...B } fragment B on Query { artifacts { ...C } } fragment C on ArtifactConnection { ...A }",
        "{ artifact(id: 1) { name } } fragment A on Query { ...B } fragment B on Query { ...A }",
    ] {
        assert_eq!(rejected(text).code, Code::GraphqlValidationFailed, "{text}");
    }
}

#[test]
fn every_limit_is_checked_and_named() {
    let limits = Limits::default();
    let deep = "collections(first: 1) { nodes { artifacts(first: 1) { nodes { ".repeat(4) + "name" + &"}".repeat(16);
    let roots: String = (0..21).map(|n| format!("a{n}: artifact(id: {n}) {{ name }} ")).collect();
    let cases = [
        (format!("{{ artifact(id: \"{}\") {{ name }} }}", "x".repeat(limits.document_bytes)), "65536 are allowed"),
        (format!("{{ {} }}", "a ".repeat(limits.tokens)), "more than 2000 tokens"),
        ("{ a ".repeat(65), "more than 64 deep"),
        ("[".repeat(100_000), "65536 are allowed"),
        (format!("{{ {deep} }}"), "15 are allowed"),
        (format!("{{ {roots} }}"), "20 are allowed"),
        (
            format!("{{ artifact(id: 1) {{ {} }} }}", (0..51).map(|n| format!("a{n}: name ")).collect::<String>()),
            "50 are allowed",
        ),
    ];
    for (text, expected) in cases {
        let error = rejected(&text);

        assert_eq!(error.code, Code::LimitExceeded, "{}", error.message);
        assert!(error.message.contains(expected), "{} has not {expected}", error.message);
    }
}

#[test]
fn the_number_of_directives_at_one_location_is_limited() {
    let limits = Limits { directives: 1, ..Limits::default() };
    let text = "{ artifact(id: 1) @skip(if: false) @include(if: true) { name } }";

    let error = cost_within(&limits, text, serde_json::json!({})).expect_err("two directives").error;

    assert!(error.message.contains("2 directives, 1 are allowed"), "{}", error.message);
}

#[test]
fn introspection_is_bounded_by_its_own_rule() {
    let standard = include_str!("../introspection.graphql");
    cost(standard, serde_json::json!({})).unwrap_or_else(|error| panic!("{error:?}"));
    let circle = "{ __schema { types { fields { type { fields { type { fields { name } } } } } } } }";
    assert!(rejected(circle).message.contains("introspection"));
    let hidden = "{ __schema { types { ...F } } } fragment F on __Type { fields { type { ...G } } }
        fragment G on __Type { fields { type { ...H } } } fragment H on __Type { fields { name } }";
    assert!(rejected(hidden).message.contains("introspection"));
}

#[test]
fn a_long_list_in_the_variables_is_rejected() {
    let text = "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }";

    let error = cost(text, serde_json::json!({"ids": vec![1; 1_001]})).expect_err("too long a list");

    assert_eq!(error.error.code, Code::LimitExceeded);
    let message = "a list in the variables has 1001 values, 1000 are allowed (limits.variable_list)";
    assert_eq!(error.error.message, message);
    let permitted = Limits { objects: u64::MAX, ..Limits::default() };
    assert!(cost_within(&permitted, text, serde_json::json!({"ids": vec![1; 1_000]})).is_ok());
}

#[test]
fn a_long_list_in_the_document_is_rejected() {
    let limits = Limits { variable_list: 2, ..Limits::default() };
    for (text, is_rejected) in [
        ("{ nodes(ids: [1, 2]) { id } }", false),
        ("{ nodes(ids: [1, 2, 3]) { id } }", true),
        ("query ($ids: [ID!]! = [1, 2, 3]) { nodes(ids: $ids) { id } }", true),
        ("{ ...F } fragment F on Query { nodes(ids: [1, 2, 3]) { id } }", true),
    ] {
        let outcome = cost_within(&limits, text, serde_json::json!({}));

        let message = outcome.err().map(|error| error.error.message.into_owned());
        let expected = "a list in the document has 3 values, 2 are allowed (limits.variable_list)";
        assert_eq!(message.as_deref(), is_rejected.then_some(expected), "{text}");
    }
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
    let mut state = 0x9e37_79b9_u64;
    let mut next = |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % bound as u64) as usize
    };
    for _ in 0..500 {
        let text: String = (0..next(24)).map(|_| PIECES[next(PIECES.len())]).collect::<Vec<_>>().join(" ");
        let _ = cost_of_any(&text);
    }
}

/// The cost of a text that may have no operation, or several.
fn cost_of_any(text: &str) -> Option<Cost> {
    let (schema, limits) = (schema(), Limits::default());
    let document = schema.check(text, &limits.parsing(), &Default::default()).ok()?;
    let operation = document.operation(None).ok()?;
    limits.check(&schema, &document, operation, &IndexMap::new()).ok()?;
    Some(Cost::default())
}
