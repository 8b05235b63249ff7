//! Hostile input: each case is an error with its code, and the server keeps running.
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    time::Duration,
};

use gatherum::{
    app::Engine,
    graphql::{Execute, Request},
};
use serde_json::{Value, json};

use crate::{
    app::{ask, ask_with, engine},
    backend::Backend,
    fixture,
    process::{Sandbox, Served},
};

/// A hostile request and the expected outcome.
struct Case {
    query: String,
    variables: Value,
    /// Code of the first error; `None` if the request is valid but expensive.
    code: Option<&'static str>,
    /// Number of statements.
    statements: u64,
}

fn case(query: impl Into<String>, code: &'static str) -> Case {
    Case { query: query.into(), variables: json!({}), code: Some(code), statements: 0 }
}

impl Case {
    fn with(self, variables: Value) -> Self {
        Self { variables, ..self }
    }

    fn after(self, statements: u64) -> Self {
        Self { statements, ..self }
    }

    fn allowed(query: impl Into<String>, statements: u64) -> Self {
        Self { query: query.into(), variables: json!({}), code: None, statements }
    }
}

const INPUT: &str = "BAD_USER_INPUT";
const INVALID: &str = "GRAPHQL_VALIDATION_FAILED";
const PARSE: &str = "GRAPHQL_PARSE_FAILED";
const LIMIT: &str = "LIMIT_EXCEEDED";

/// Forged cursors and ids, made from a cursor of another order.
fn forgeries(cursor: &str) -> Vec<Case> {
    let mut forged: Vec<String> = (0..cursor.len()).step_by(6).map(|place| flipped(cursor, place)).collect();
    forged.extend([String::new(), "AAAA".into(), "=".into(), "\u{1f980}".into(), cursor.repeat(2), cursor[1..].into()]);
    forged.extend([
        cursor[..cursor.len() / 2].to_owned(),
        "x".repeat(1 << 20),
        "_".repeat(2_047),
        format!("{cursor}\0"),
    ]);
    forged.push(cursor.to_owned());
    let lists = ["artifacts", "collections", "tags"];
    let cursors = forged.into_iter().enumerate().map(|(n, cursor)| {
        let list = if n % 2 == 0 { "artifacts" } else { lists[n % 3] };
        let place = ["after", "before"][n % 2];
        case(format!("query ($c: String!) {{ {list}({place}: $c) {{ totalCount nodes {{ id }} }} }}"), INPUT)
            .with(json!({ "c": cursor }))
    });
    let ids = [
        "",
        "1",
        "artifact_",
        "artifact_\0",
        "thing_00000000000000000000000000",
        "artifact_!!!!!!!!!!!!!!!!!!!!!!!!!!",
    ];
    let megabyte = "9".repeat(1 << 20);
    let ids = ids.into_iter().chain([megabyte.as_str()]).map(|id| {
        case("query ($i: ID!) { artifact(id: $i) { id } node(id: $i) { id } }", INPUT).with(json!({ "i": id }))
    });
    cursors.chain(ids).collect()
}

/// Returns the text with one character replaced by another of the alphabet.
fn flipped(text: &str, place: usize) -> String {
    let mut bytes = text.as_bytes().to_vec();
    bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
    String::from_utf8(bytes).expect("an alphabet of single bytes")
}

/// Arguments out of range and values of other types.
fn wrong_values() -> Vec<Case> {
    let fields = "{ nodes { id } }";
    let megabyte = "x".repeat(1 << 20);
    let number = "query ($n: Int!) { artifacts(first: $n) { totalCount } }";
    let text = |field: &str| format!("query ($s: String!) {{ {field} }}");
    let nested = (0..100).fold(json!(1), |inner, _| json!([inner]));
    vec![
        case(format!("{{ artifacts(first: -1) {fields} }}"), INPUT),
        case(format!("{{ artifacts(first: 101) {fields} }}"), INPUT),
        case(format!("{{ artifacts(last: 9999) {fields} }}"), INPUT),
        case(format!("{{ artifacts(first: 1, last: 1) {fields} }}"), INPUT),
        case(format!("{{ artifacts(first: 99999999999999999999) {fields} }}"), INVALID),
        case("{ collection(id: \"1\") { id } }", INPUT),
        case("{ artifact(id: \"collection_00000000000000000000000000\") { id } }", INPUT),
        case("{ artifacts { nodes { description(maxLength: -1) } } }", INPUT).after(1),
        case("{ artifacts { facets { tags(first: 1001) { value } } } }", INPUT),
        case("{ artifacts(filter: {createdAfter: \"yesterday\"}) { totalCount } }", INPUT),
        case(text("tag(slug: $s) { id }"), INPUT).with(json!({"s": "a\0b"})),
        case(text("collections { nodes { artifactCount(type: $s) } }"), INPUT).with(json!({"s": "\0"})).after(1),
        // A search without a word does not restrict the list.
        Case::allowed(text("artifacts(filter: {search: $s}) { totalCount }"), 1).with(json!({"s": "\0"})),
        case(text("artifacts(filter: {search: $s}) { totalCount }"), INPUT).with(json!({"s": megabyte})),
        Case::allowed(text("tag(slug: $s) { id }"), 1).with(json!({"s": megabyte})),
        case("query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", INPUT).with(json!({"ids": vec!["x"; 101]})),
        case("query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", LIMIT).with(json!({"ids": vec!["x"; 10_001]})),
        case(number, INPUT),
        case(number, INVALID).with(json!({"n": "x"})),
        case(number, INVALID).with(json!({"n": 1.5})),
        case(number, INVALID).with(json!({"n": nested})),
        case(number, INVALID).with(json!({"n": {"n": 1}})),
        case(number, INPUT).with(json!({"n": -2_147_483_648_i64})),
        case(number, INVALID).with(json!({"n": i64::MAX})),
        case("query ($n: Nothing!) { artifacts(first: $n) { totalCount } }", INVALID).with(json!({"n": 1})),
        case("query ($n: Int!) { artifacts(first: $m) { totalCount } }", INVALID).with(json!({"n": 1})),
    ]
}

/// Documents that are expensive to parse, validate or execute.
fn heavy_documents() -> Vec<Case> {
    let within = |inner: &str| format!("{{ artifacts(first: 1) {{ nodes {{ {inner} }} }} }}");
    let bomb = |levels: usize, spreads: usize| {
        let fragment = |level: usize| {
            let spread = format!("...F{} ", level + 1).repeat(spreads);
            format!(" fragment F{level} on Artifact {{ {spread} }}")
        };
        let all: String = (0..levels).map(fragment).collect();
        format!("{} {all} fragment F{levels} on Artifact {{ name }}", within("...F0"))
    };
    let deep = |levels: usize| {
        "{ artifacts(first: 1) { nodes { collections(first: 1) { nodes ".repeat(levels)
            + "{ id }"
            + &"} } } }".repeat(levels)
    };
    let aliases = |count: usize| (0..count).map(|n| format!("a{n}: name ")).collect::<String>();
    vec![
        case("{ ...A } fragment A on Query { ...A }", INVALID),
        case(
            "{ ...A } fragment A on Query { ...B } fragment B on Query { ...C } fragment C on Query { ...A }",
            INVALID,
        ),
        case(bomb(24, 2), LIMIT),
        case(bomb(60, 8), LIMIT),
        case("{".repeat(20_000), LIMIT),
        case("[".repeat(60_000), LIMIT),
        case("x".repeat(1 << 20), LIMIT),
        case("{ a(b: \"".to_owned() + &"y".repeat(60_000), PARSE),
        case("\0", PARSE),
        case(deep(4).replace("{ { id } }", "{ id }"), LIMIT),
        case(within(&aliases(60)), LIMIT),
        case(within(&"name ".repeat(2_000)), LIMIT),
        case(within(&("name ".to_owned() + &"@skip(if: false) ".repeat(11))), INVALID),
        case(
            "{ artifacts(first: 100) { nodes { collections(first: 100) { nodes { artifacts(first: 100) { nodes { id } } } } } } }",
            LIMIT,
        ),
        case("{ __schema { types { fields { type { fields { type { fields { name } } } } } } } }", INVALID),
        case((0..30).map(|n| format!("query Q{n} {{ __typename }} ")).collect::<String>(), "BAD_REQUEST"),
        case("{ artifacts { nodes { nothing } } }", INVALID),
        case(within(&(0..400).map(|n| format!("no{n} ")).collect::<String>()), INVALID),
        case("subscription { x }", INVALID),
        // Documents just within the limits.
        Case::allowed(within(&"name ".repeat(1_900)), 1),
        Case::allowed(within(&"... { name } ".repeat(300)), 1),
        Case::allowed(within(&"... on Artifact { ... { name type } } ".repeat(150)), 1),
        Case::allowed(within(&aliases(49)), 1),
        Case::allowed(bomb(9, 2), 1),
    ]
}

/// Writes that must not start, or must leave no rows.
fn wrong_writes() -> Vec<Case> {
    let megabyte = "x".repeat(1 << 20);
    let create = "mutation ($i: CreateArtifactInput!) { createArtifact(input: $i) { artifact { id } } }";
    let input = |name: &str, content: &str| json!({"i": {"type": "skill", "name": name, "content": content}});
    let add = "mutation ($i: AddArtifactsToCollectionInput!) { addArtifactsToCollection(input: $i) { __typename } }";
    let ids = |count: usize| json!({"i": {"collectionId": "x", "artifactIds": vec!["x"; count]}});
    let many = (0..21).map(|n| format!("m{n}: deleteArtifact(input: {{ id: \"x\" }}) {{ deletedId }} "));
    // Like a bulk create, it inserts the valid items, of which there are none.
    let refused = |input: Value| case(create, INPUT).with(input).after(1);
    vec![
        refused(input("a\0b", "")),
        refused(input("a", "\0")),
        refused(input(&megabyte, "")),
        refused(input(" ", "")),
        case(create, INVALID).with(json!({"i": {"type": 1, "name": []}})),
        case(create, INVALID).with(json!({"i": {"type": "skill", "name": "a", "nothing": 1}})),
        case(add, INPUT).with(ids(1)),
        case(add, INPUT).with(ids(1_000)),
        case(add, LIMIT).with(ids(1_001)),
        case(format!("mutation {{ {} }}", many.collect::<String>()), LIMIT),
    ]
}

async fn cases(engine: &Engine) -> Vec<Case> {
    let query = "{ artifacts(first: 2, orderBy: { field: NAME, direction: ASC }) { pageInfo { endCursor } } }";
    let answer = ask(engine, query).await;
    let foreign = answer["data"]["artifacts"]["pageInfo"]["endCursor"].as_str().expect("a cursor").to_owned();
    let values = wrong_values().into_iter().chain(wrong_writes());
    forgeries(&foreign).into_iter().chain(values).chain(heavy_documents()).collect()
}

const GOOD: &str = "{ artifacts { totalCount } }";

#[tokio::test]
async fn bad_input_is_an_error_with_a_code_before_any_statement() {
    for backend in Backend::all().await {
        let test = backend.database().await;
        fixture::fill(&test.db, 10).await;
        let engine = engine(&test.db);
        let mut wrong = Vec::new();
        for Case { query, variables, code, statements } in cases(&engine).await {
            let before = test.db.statements_run();
            let answer = ask_with(&engine, &query, variables.clone()).await;

            let said = answer["errors"][0]["extensions"]["code"].as_str();
            let ran = test.db.statements_run() - before;
            if (said, ran) != (code, statements) {
                wrong.push(format!("{said:?} {ran} {query:.100} {variables:.100} {answer:.200}"));
            }
            for error in answer["errors"].as_array().into_iter().flatten() {
                let message = error["message"].as_str().expect("a message");
                assert!((1..500).contains(&message.len()), "{message:.100}");
            }
        }
        assert!(wrong.is_empty(), "{backend:?}\n{}", wrong.join("\n"));
        assert_eq!(ask(&engine, GOOD).await["data"]["artifacts"]["totalCount"], 10);
    }
}

/// Returns the CPU time of this thread.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).expect("a time"), u32::try_from(time.tv_nsec).expect("a time"))
}

/// Returns the minimum CPU time of this thread for several executions of a request; the minimum is affected least by other
/// processes. SQLite runs on other threads.
async fn cost(engine: &Engine, query: &str, variables: &Value) -> Duration {
    let mut least = Duration::MAX;
    for _ in 0..5 {
        let start = cpu_time();
        let request = Request {
            query: query.to_owned(),
            variables: async_graphql::Variables::from_json(variables.clone()),
            ..Request::default()
        };
        engine.execute(request).await;
        least = least.min(cpu_time() - start);
    }
    least
}

/// Maximum cost of a request, as a multiple of a full page of a catalogue. Measured: 0.1 for a forged cursor, 1.4
/// for a megabyte in a variable, 11 for the largest document that the limits pass to the parser.
const COST_MAX: u32 = 100;

#[tokio::test]
async fn bad_input_costs_little() {
    let test = Backend::Sqlite.database().await;
    fixture::fill(&test.db, 10).await;
    let engine = engine(&test.db);
    let page = cost(&engine, crate::statements::PAGE, &crate::statements::first_collection()).await;
    for Case { query, variables, .. } in cases(&engine).await {
        let cost = cost(&engine, &query, &variables).await;

        assert!(cost < page * COST_MAX, "{cost:?} against {page:?}: {query:.100} {variables:.100}");
    }
}

/// Repetitions of each case in one server, and of long cases.
#[cfg(target_os = "linux")]
const REPETITIONS: [usize; 2] = [200, 20];

/// Size from which a request counts as long, in bytes.
#[cfg(target_os = "linux")]
const LONG: usize = 1_000;

/// Maximum growth of the server's memory after the first repetitions, in bytes. Measured: 6 MiB; the long cases
/// send 110 MB.
#[cfg(target_os = "linux")]
const GROWTH_MAX: u64 = 32 << 20;

#[cfg(target_os = "linux")]
#[tokio::test]
async fn bad_input_leaves_nothing_in_memory() {
    let test = Backend::Sqlite.database().await;
    fixture::fill(&test.db, 10).await;
    let cases = cases(&engine(&test.db)).await;
    test.db.close().await;
    let sandbox = Sandbox::new();
    let mut command =
        sandbox.gatherum(&format!("--bind 127.0.0.1:0 --log-level error --database-url {}", test.config.url));
    // A variable of one megabyte must not be rejected by the body limit.
    command.env("GATHERUM_HTTP_BODY_BYTES", "4000000");
    let served = Served::start(command);
    let requests: Vec<String> = cases.iter().map(Case::request).collect();
    let chunk = cases.len().div_ceil(4);

    let send_all = |[of_short, of_long]: [usize; 2]| {
        let repetitions = |request: &str| if request.len() > LONG { of_long } else { of_short };
        std::thread::scope(|scope| {
            for part in requests.chunks(chunk) {
                scope.spawn(move || {
                    let mut client = Client::connect(served.address);
                    for request in part {
                        client.repeat(request, repetitions(request));
                    }
                });
            }
        });
    };
    send_all([5, 5]);
    let (before, peak_before) = (memory(&served, "VmRSS"), memory(&served, "VmHWM"));
    send_all(REPETITIONS);
    let (after, peak_after) = (memory(&served, "VmRSS"), memory(&served, "VmHWM"));

    assert!(after < before + GROWTH_MAX, "{before} bytes became {after}");
    assert!(peak_after < peak_before + GROWTH_MAX, "at most {peak_before} bytes became {peak_after}");
    let answer = Client::connect(served.address).ask(&Case::allowed(GOOD, 1).request());
    assert!(answer.ends_with("{\"data\":{\"artifacts\":{\"totalCount\":10}}}"), "{answer}");
}

impl Case {
    fn request(&self) -> String {
        let body = json!({ "query": self.query, "variables": self.variables }).to_string();
        let head = "POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
        format!("{head}Content-Length: {}\r\n\r\n{body}", body.len())
    }
}

/// A connection that is reused for all requests.
#[cfg(target_os = "linux")]
struct Client(BufReader<TcpStream>);

#[cfg(target_os = "linux")]
impl Client {
    fn connect(address: std::net::SocketAddr) -> Self {
        Self(BufReader::new(TcpStream::connect(address).expect("a connection")))
    }

    /// Returns the response including its headers.
    fn ask(&mut self, request: &str) -> String {
        self.0.get_mut().write_all(request.as_bytes()).expect("a server that reads");
        let mut answer = String::new();
        while !answer.ends_with("\r\n\r\n") {
            assert!(self.0.read_line(&mut answer).expect("an answer") > 0, "closed after {request:.200}");
        }
        let length = answer.split("content-length: ").nth(1).and_then(|rest| rest.split('\r').next()?.parse().ok());
        let mut body = vec![0; length.unwrap_or_else(|| panic!("no length in {answer}"))];
        self.0.read_exact(&mut body).expect("a body");
        answer + std::str::from_utf8(&body).expect("text")
    }

    fn repeat(&mut self, request: &str, repetitions: usize) {
        for _ in 0..repetitions {
            let answer = self.ask(request);
            assert!(answer.starts_with("HTTP/1.1 200") || answer.starts_with("HTTP/1.1 400"), "{answer:.200}");
        }
    }
}

/// Returns a memory figure of a process in bytes.
#[cfg(target_os = "linux")]
fn memory(served: &Served, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", served.child.id())).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).expect("a figure");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1_024
}

#[tokio::test]
async fn missing_objects_are_null() {
    for backend in Backend::all().await {
        let test = backend.database().await;
        fixture::fill(&test.db, 3).await;
        let engine = engine(&test.db);
        let nobody = "artifact_7zzzzzzzzzzzzzzzzzzzzzzzzz";
        let query = format!(
            "{{ artifact(id: \"{nobody}\") {{ id }} node(id: \"{nobody}\") {{ id }} nodes(ids: [\"{nobody}\"]) {{ id }}
               tag(slug: \"none\") {{ id }} artifacts(filter: {{ search: \"zzz\" }}) {{ totalCount nodes {{ id }} pageInfo {{ endCursor }} }} }}"
        );

        let answer = ask(&engine, &query).await;

        let expected = json!({
            "artifact": null, "node": null, "nodes": [null], "tag": null,
            "artifacts": { "totalCount": 0, "nodes": [], "pageInfo": { "endCursor": null } },
        });
        assert_eq!(answer["data"], expected, "{answer}");
        assert_eq!(answer["errors"], Value::Null);
    }
}

#[tokio::test]
async fn a_cancelled_request_returns_its_connection() {
    for backend in Backend::all().await {
        let test = backend.database().await;
        fixture::fill(&test.db, 50).await;
        let engine = engine(&test.db);
        for _ in 0..50 {
            let mut request =
                std::pin::pin!(ask(&engine, "{ artifacts { nodes { collections { nodes { name } } } } }"));
            // Polled once, then dropped while its statement is running.
            assert!(futures_util::poll!(&mut request).is_pending());
        }

        let answer = ask(&engine, "{ artifacts { totalCount } }").await;

        assert_eq!(answer["data"]["artifacts"]["totalCount"], 50, "{backend:?} {answer}");
    }
}
