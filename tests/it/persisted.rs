//! Persisted documents: manifests and their commands, automatic and trusted documents over all transports.
use std::{collections::BTreeMap, fs, io::Write as _, process::Stdio, time::Duration};

use futures_util::{SinkExt, StreamExt, future::join_all};
use gatherum::{
    access::{Accounts, TokenScope, Viewer},
    app::Engine,
    config::Config,
    db::{Config as DbConfig, Db},
    documents::{
        Mode, sha256,
        trusted::{self, AddOptions, NewDocument},
    },
    graphql::{DocumentId, Execute, Request},
};
use serde_json::{Map, Value, json};
use tokio_tungstenite::{
    connect_async,
    tungstenite::{Message, client::IntoClientRequest, http::HeaderValue},
};

use crate::{
    app::{TestApp, engine_with, statements},
    backend::{Backend, TestDb},
    process::{Ran, Sandbox, run},
};

/// Manifests that client tools wrote for the same three operations, and the identifier of the query in each.
const MANIFESTS: [(&str, &str, &str); 4] = [
    (
        "codegen",
        include_str!("../manifests/codegen.json"),
        "2255f90e120b0537c2bd21887e156d71a04f10d34fb71b849f9611b7f35079d1",
    ),
    ("codegen 4", include_str!("../manifests/codegen-4.json"), "77e1a8fa10a4eb9e3099a3cda052282a2e535ebb"),
    ("relay", include_str!("../manifests/relay.json"), "b6cc2058e15f46a210b17c0cd967caa4"),
    (
        "apollo",
        include_str!("../manifests/apollo.json"),
        "49179d8cb074eaaf69ec9f0ae55553c7395ccb4c6f6b49107377b31a9d01215b",
    ),
];

/// The commands `documents …` on one database.
struct Documents {
    test: TestDb,
    sandbox: Sandbox,
}

impl Documents {
    async fn on(backend: Backend) -> Self {
        Self { test: backend.database().await, sandbox: Sandbox::new() }
    }

    fn run(&self, arguments: &str) -> Ran {
        self.run_with(arguments, "")
    }

    /// Runs `documents` with these arguments and this text as standard input.
    fn run_with(&self, arguments: &str, input: &str) -> Ran {
        let mut command = self.sandbox.gatherum(&format!("documents {arguments}"));
        command.env("DATABASE_URL", &self.test.config.url).env("GATHERUM_DOCUMENTS_TRUSTED_COUNT", "20");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("a program that starts");
        let mut stdin = child.stdin.take().expect("its input");
        // A command that fails early does not read its input.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        let output = child.wait_with_output().expect("its end");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        Ran { status: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// The identifiers of `documents list`.
    fn listed(&self) -> Vec<String> {
        let ran = self.run("list");
        assert_eq!(ran.status, Some(0), "{ran:?}");
        ran.out.lines().map(|line| line.split(' ').next().expect("an identifier").to_owned()).collect()
    }
}

#[tokio::test]
async fn manifests_of_all_tools_are_added_listed_exported_and_removed() {
    for backend in Backend::all().await {
        let documents = Documents::on(backend).await;
        for (tool, manifest, query) in MANIFESTS {
            let added = documents.run_with("add -", manifest);

            assert_eq!((added.status, added.out.as_str()), (Some(0), "3 added, 0 replaced, 0 unchanged\n"), "{tool}");
            let listed = documents.run("list").out;
            let line =
                listed.lines().find(|line| line.starts_with(query)).unwrap_or_else(|| panic!("{tool}: {listed}"));
            assert!(line.contains(" query "), "{tool}: {line}");
        }
        let all = documents.listed();
        assert_eq!(all.len(), 12);
        let again = documents.run_with("add -", MANIFESTS[0].1).out;
        assert_eq!(again, "0 added, 0 replaced, 3 unchanged\n");

        let exported = documents.run("export").out;
        let manifest: Map<String, Value> = serde_json::from_str(&exported).expect("a manifest");
        assert_eq!(
            manifest["b6cc2058e15f46a210b17c0cd967caa4"].as_str().map(|text| &text[..26]),
            Some("query artifactsNamesQuery(")
        );
        assert_eq!(documents.run_with("add -", &exported).out, "0 added, 0 replaced, 12 unchanged\n");

        let removed = documents.run(&format!("remove {} unknown", all[0]));
        assert_eq!((removed.status, removed.out.as_str()), (Some(1), "1 removed\n"));
        assert!(removed.err.contains("`unknown` does not exist"), "{removed:?}");
        assert_eq!(documents.listed(), all[1..]);
        assert_eq!(documents.run("remove --all").out, "11 removed\n");
        assert_eq!(documents.run("list").out, "");
        assert_eq!(documents.run_with("add -", &exported).out, "12 added, 0 replaced, 0 unchanged\n");
    }
}

#[tokio::test]
async fn documents_are_added_all_or_none() {
    for backend in Backend::all().await {
        let documents = Documents::on(backend).await;
        let add = |arguments: &str, manifest: Value| documents.run_with(arguments, &manifest.to_string());
        let deep = format!("{{ artifacts {} }}", "{ nodes { collections ".repeat(20) + &"} }".repeat(20));
        let large = format!("{{ __typename }} # {}", "x".repeat(70_000));
        let cases = [
            (json!("{ nothing }"), "`bad`: 1:3: Cannot query field \"nothing\""),
            (json!("{ __typename"), "`bad`: 1:13: "),
            (json!("fragment F on Artifact { id }"), "`bad`: "),
            (json!(deep), "`bad`: "),
            (json!(large), "`bad`: "),
            (json!(""), "`bad`: "),
            (json!(7), "`bad` is not a text"),
        ];
        for (bad, reason) in cases {
            let ran = add("add -", json!({ "good": "{ __typename }", "bad": bad }));

            assert_eq!(ran.status, Some(2), "{ran:?}");
            assert!(ran.err.contains(reason) && ran.err.contains("nothing was added"), "{reason}: {ran:?}");
        }
        assert!(documents.listed().is_empty());

        // The cost of a page depends on a variable, and small pages are within the limits.
        let nested = "query Q($n: Int!) { artifacts(first: $n) { nodes { collections(first: $n) { nodes {
            artifacts(first: $n) { nodes { id } } } } } } }";
        let stored =
            add("add -", json!({ "nested": nested, "several": "query A { __typename } query B { __typename }" }));
        assert_eq!(stored.out, "2 added, 0 replaced, 0 unchanged\n", "{stored:?}");
        assert!(documents.run("list").out.contains(" query A, query B\n"));

        let changed = json!({ "nested": "{ __typename }", "new": "{ __typename }" });
        let conflict = add("add -", changed.clone());
        assert!(
            conflict.status == Some(2) && conflict.err.contains("`nested` is stored with another text"),
            "{conflict:?}"
        );
        assert_eq!(documents.listed(), ["nested", "several"]);
        let dry = add("add - --replace --dry-run", changed.clone());
        assert_eq!(dry.out, "1 added, 1 replaced, 0 unchanged\ndry run: nothing was written\n");
        assert_eq!(documents.listed(), ["nested", "several"]);
        assert_eq!(add("add - --replace", changed).out, "1 added, 1 replaced, 0 unchanged\n");
        assert_eq!(documents.listed(), ["nested", "new", "several"]);

        let many: Map<String, Value> = (0..18).map(|n| (format!("many-{n}"), json!("{ __typename }"))).collect();
        let many = add("add -", many.into());
        assert!(many.status == Some(1) && many.err.contains("21 trusted documents, 20 are allowed"), "{many:?}");
        assert_eq!(documents.listed().len(), 3);
    }
}

#[tokio::test]
async fn the_commands_of_the_document_run() {
    let documents = Documents::on(Backend::Sqlite).await;
    for (file, index) in [("persisted-documents.json", 0), ("persisted.json", 2), ("persisted-query-manifest.json", 3)]
    {
        fs::write(documents.sandbox.path(file), MANIFESTS[index].1).expect("a file");
    }
    let text = include_str!("../../docs/persisted-documents.md");
    let commands: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("gatherum documents ")).collect();
    assert_eq!(commands.len(), 2);
    for command in commands {
        let ran = documents.run(command);
        assert_eq!(ran.status, Some(0), "{command}: {ran:?}");
    }
    assert!(text.contains(MANIFESTS[3].2), "the query string has an identifier of the manifest");
    let help = documents.run("add --help").out;
    let example = help.lines().find_map(|line| line.trim().strip_prefix("$ echo '")?.split_once('\''));
    let added = documents.run_with("add -", example.expect("an example").0);
    assert_eq!(added.out, "1 added, 0 replaced, 0 unchanged\n", "{added:?}");
}

#[tokio::test]
async fn the_doctor_warns_of_a_server_that_executes_nothing() {
    for backend in Backend::all().await {
        let documents = Documents::on(backend).await;
        let finding = || {
            let mut command = documents.sandbox.gatherum("doctor --json --bind 127.0.0.1:0");
            command.env("DATABASE_URL", &documents.test.config.url).env("GATHERUM_DOCUMENTS_MODE", "trusted");
            let findings: Value = serde_json::from_str(&run(&mut command).out).expect("JSON");
            let all = findings.as_array().expect("findings").clone();
            all.into_iter().find(|finding| finding["check"] == "documents").expect("a finding")
        };

        assert_eq!(finding()["level"], "warning", "{}", finding());
        documents.run_with("add -", MANIFESTS[0].1);
        assert_eq!(
            (&finding()["level"], &finding()["found"]),
            (&json!("ok"), &json!("only trusted documents are executed: 3"))
        );
    }
}

#[tokio::test]
async fn several_files_are_one_addition() {
    let documents = Documents::on(Backend::Sqlite).await;
    for (name, manifest) in [
        ("a.json", json!({ "one": "{ __typename }", "shared": "{ a: __typename }" })),
        ("b.json", json!({ "two": "{ b: __typename }", "shared": "{ a: __typename }" })),
        ("c.json", json!({ "shared": "{ c: __typename }" })),
    ] {
        fs::write(documents.sandbox.path(name), manifest.to_string()).expect("a file");
    }

    let ran = documents.run("add a.json b.json c.json missing.json");
    assert!(ran.status == Some(1) && ran.err.contains("cannot read missing.json"), "{ran:?}");
    let ran = documents.run("add a.json b.json c.json");
    assert!(
        ran.status == Some(2) && ran.err.contains("c.json: `shared`: another document has this identifier"),
        "{ran:?}"
    );
    assert_eq!(documents.run("add a.json b.json").out, "3 added, 0 replaced, 0 unchanged\n");
    assert_eq!(documents.run("add").status, Some(2), "a file is required");
    assert_eq!(documents.run("remove").status, Some(2), "an identifier is required");
}

const QUERY: &str = "query Names($first: Int! = 2) { artifacts(first: $first, orderBy: { field: NAME, direction: ASC }) { nodes { name } } }";

/// The ways in which a client can send an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transport {
    Get,
    Post,
    EventStream,
    Parts,
    Socket,
    LegacySocket,
}

const TRANSPORTS: [Transport; 6] = [
    Transport::Get,
    Transport::Post,
    Transport::EventStream,
    Transport::Parts,
    Transport::Socket,
    Transport::LegacySocket,
];

/// The response to an operation with these parameters.
async fn ask(app: &TestApp, transport: Transport, parameters: &Value) -> Value {
    match transport {
        Transport::Get => get(app, parameters).send().await.expect("a response").json().await.expect("JSON"),
        Transport::Post => app.post(parameters).send().await.expect("a response").json().await.expect("JSON"),
        Transport::EventStream => {
            let request = app.post(parameters).header("accept", "text/event-stream");
            let text = request.send().await.expect("a response").text().await.expect("a text");
            let data = text.lines().find_map(|line| line.strip_prefix("data: ")).unwrap_or_else(|| panic!("{text}"));
            serde_json::from_str(data).expect("JSON")
        }
        Transport::Parts => {
            let accept = "multipart/mixed;boundary=graphql;subscriptionSpec=1.0,application/json";
            let request = app.post(parameters).header("accept", accept);
            request.send().await.expect("a response").json().await.expect("JSON")
        }
        Transport::Socket => ask_socket(app, "graphql-transport-ws", "subscribe", parameters).await,
        Transport::LegacySocket => ask_socket(app, "graphql-ws", "start", parameters).await,
    }
}

/// A GET with these parameters.
fn get(app: &TestApp, parameters: &Value) -> reqwest::RequestBuilder {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let members = parameters.as_object().expect("parameters");
    let query: BTreeMap<&String, String> = members.iter().map(|(name, value)| (name, text(value))).collect();
    app.client.get(app.url("/graphql")).query(&query)
}

async fn ask_socket(app: &TestApp, protocol: &'static str, start: &str, parameters: &Value) -> Value {
    let mut request = format!("ws://{}/graphql/ws", app.address).into_client_request().expect("a request");
    request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static(protocol));
    let (mut socket, _) = connect_async(request).await.expect("a socket");
    for message in [json!({ "type": "connection_init" }), json!({ "type": start, "id": "1", "payload": parameters })] {
        socket.send(Message::text(message.to_string())).await.expect("a server that reads");
    }
    loop {
        let message = tokio::time::timeout(TIME_LIMIT, socket.next()).await.expect("a message in time");
        let Some(Ok(Message::Text(text))) = message else { panic!("{message:?}") };
        let message: Value = serde_json::from_str(&text).expect("JSON");
        match message["type"].as_str() {
            Some("next" | "data") => return message["payload"].clone(),
            Some("error") => return json!({ "errors": message["payload"] }),
            _ => {}
        }
    }
}

/// Time limit for what happens much sooner.
const TIME_LIMIT: Duration = Duration::from_secs(20);

fn hash_of(text: &str) -> Value {
    json!({ "persistedQuery": { "version": 1, "sha256Hash": sha256(text) } })
}

/// The message and the code of the only error.
fn error(response: &Value) -> (&str, &str) {
    let errors = response["errors"].as_array().unwrap_or_else(|| panic!("{response}"));
    assert_eq!((errors.len(), &response["data"]), (1, &Value::Null), "{response}");
    let text = |value: &'_ Value| value.as_str().expect("a text").to_owned().leak() as &'static str;
    (text(&errors[0]["message"]), text(&errors[0]["extensions"]["code"]))
}

const NOT_FOUND: (&str, &str) = ("PersistedQueryNotFound", "PERSISTED_QUERY_NOT_FOUND");

/// The number of rows of a table.
async fn count(db: &Db, table: &'static str) -> i64 {
    let mut sql = db.sql();
    sql.push("select count(*) from ").push(table);
    db.fetch::<i64>("test", sql).await.expect("a count")[0]
}

/// Adds trusted documents.
async fn trust(db: &Db, documents: &[(&str, &str)]) {
    let document = |(id, text): &(&str, &str)| NewDocument {
        id: (*id).to_owned(),
        text: (*text).to_owned(),
        operations: "query".to_owned(),
    };
    let documents: Vec<NewDocument> = documents.iter().map(document).collect();
    let options = AddOptions { replace: false, count_max: 100, dry_run: false };
    trusted::add(db, &documents, options).await.expect("documents");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_is_known_by_its_hash_over_every_transport_once_it_was_sent() {
    for backend in Backend::all().await {
        let app = TestApp::start(backend, |_| {}).await;
        for transport in TRANSPORTS {
            let text = format!("{QUERY} # {transport:?}");
            let by_hash = json!({ "variables": { "first": 1 }, "extensions": hash_of(&text) });
            let expected = json!({ "artifacts": { "nodes": [{ "name": "artifact 0000" }] } });

            let unknown = ask(&app, transport, &by_hash).await;
            assert_eq!(error(&unknown), NOT_FOUND, "{backend:?} {transport:?}");
            let empty = json!({ "query": "", "variables": { "first": 1 }, "extensions": hash_of(&text) });
            assert_eq!(error(&ask(&app, transport, &empty).await), NOT_FOUND, "{backend:?} {transport:?}");
            if transport != Transport::Get {
                let null = json!({ "query": null, "operationName": null, "extensions": hash_of(&text) });
                assert_eq!(error(&ask(&app, transport, &null).await), NOT_FOUND, "{backend:?} {transport:?}");
            }
            let mut with_text = by_hash.clone();
            with_text["query"] = json!(text);
            assert_eq!(ask(&app, transport, &with_text).await["data"], expected, "{backend:?} {transport:?}");

            for other in TRANSPORTS {
                assert_eq!(ask(&app, other, &by_hash).await["data"], expected, "{backend:?} {transport:?} {other:?}");
            }
            let prefixed = json!({ "variables": { "first": 1 }, "documentId": format!("sha256:{}", sha256(&text)) });
            assert_eq!(ask(&app, transport, &prefixed).await["data"], expected, "{backend:?} {transport:?}");
        }
        assert_eq!(count(app.db(), "automatic_documents").await, 6);
        app.stop().await;
    }
}

#[tokio::test]
async fn an_unknown_hash_is_200_for_both_media_types_and_is_not_cached() {
    let app = TestApp::start(Backend::Sqlite, |_| {}).await;
    let unsupported = TestApp::start(Backend::Sqlite, |config| config.documents.automatic = false).await;
    let by_hash = json!({ "extensions": hash_of(QUERY) });
    for media_type in ["application/json", "application/graphql-response+json"] {
        for (app, code) in [(&app, "PERSISTED_QUERY_NOT_FOUND"), (&unsupported, "PERSISTED_QUERY_NOT_SUPPORTED")] {
            for request in [app.post(&by_hash), get(app, &by_hash)] {
                let response = request.header("accept", media_type).send().await.expect("a response");

                assert_eq!(response.status(), 200);
                assert!(response.headers()["content-type"].to_str().expect("text").starts_with(media_type));
                assert_eq!(response.headers()["cache-control"], "no-store");
                let body: Value = response.json().await.expect("JSON");
                assert_eq!(error(&body).1, code);
            }
        }
    }
    app.stop().await;
    unsupported.stop().await;
}

#[tokio::test]
async fn without_automatic_documents_clients_send_their_texts() {
    for backend in Backend::all().await {
        let app = TestApp::start(backend, |config| config.documents.automatic = false).await;
        trust(app.db(), &[("names", QUERY)]).await;
        let not_supported = ("PersistedQueryNotSupported", "PERSISTED_QUERY_NOT_SUPPORTED");
        let other = "{ __typename }";
        for transport in TRANSPORTS {
            let by_hash = json!({ "extensions": hash_of(other) });
            assert_eq!(error(&ask(&app, transport, &by_hash).await), not_supported, "{transport:?}");
            let with_text = json!({ "query": other, "extensions": hash_of(other) });
            assert_eq!(ask(&app, transport, &with_text).await["data"]["__typename"], "Query", "{transport:?}");
            assert_eq!(error(&ask(&app, transport, &by_hash).await), not_supported, "{transport:?}");
            let trusted = json!({ "extensions": hash_of(QUERY) });
            assert!(ask(&app, transport, &trusted).await["data"].is_object(), "{transport:?}");
        }
        assert_eq!(count(app.db(), "automatic_documents").await, 0);
        app.stop().await;
    }
}

#[tokio::test]
async fn a_wrong_hash_is_rejected_before_anything_is_executed_or_stored() {
    for backend in Backend::all().await {
        let app = TestApp::start(backend, |_| {}).await;
        let mutation = r#"mutation { createArtifact(input: { type: "skill", name: "new" }) { artifact { id } } }"#;
        let before = count(app.db(), "artifacts").await;
        let upper = sha256(mutation).to_uppercase();
        for hash in [sha256(QUERY), upper, "banana".to_owned(), sha256(&format!("{mutation} "))] {
            for parameters in [
                json!({ "extensions": { "persistedQuery": { "version": 1, "sha256Hash": hash } } }),
                json!({ "documentId": format!("sha256:{hash}") }),
            ] {
                let mut parameters = parameters;
                parameters["query"] = json!(mutation);
                let response = app.post(&parameters).send().await.expect("a response");

                assert_eq!(response.status(), 400, "{parameters}");
                let body: Value = response.json().await.expect("JSON");
                let (message, code) = error(&body);
                assert!(message.contains("is not the SHA-256 of `query`") && code == "BAD_REQUEST", "{message}");
            }
        }
        let by_hash = json!({ "extensions": hash_of(QUERY) });
        assert_eq!(error(&ask(&app, Transport::Post, &by_hash).await), NOT_FOUND);
        assert_eq!(count(app.db(), "artifacts").await, before, "{backend:?}");
        assert_eq!(count(app.db(), "automatic_documents").await, 0);
        app.stop().await;
    }
}

#[tokio::test]
async fn malformed_identifiers_are_rejected_and_leave_sockets_open() {
    let app = TestApp::start(Backend::Sqlite, |_| {}).await;
    let version_2 = json!({ "persistedQuery": { "version": 2, "sha256Hash": sha256(QUERY) } });
    let cases = [
        (json!({ "query": QUERY, "extensions": version_2 }), "version` must be 1"),
        (json!({ "extensions": { "persistedQuery": { "version": 1 } } }), "sha256Hash` must be a string"),
        (json!({ "extensions": { "persistedQuery": 1 } }), "persistedQuery` must be an object"),
        (json!({ "documentId": "a b" }), "visible ASCII"),
        (json!({ "documentId": "a", "doc_id": "b" }), "two documents"),
    ];
    for (parameters, expected) in cases {
        for transport in TRANSPORTS {
            let response = ask(&app, transport, &parameters).await;
            let (message, code) = error(&response);
            assert!(message.contains(expected) && code == "BAD_REQUEST", "{transport:?} {parameters} {message}");
        }
        assert_eq!(app.post(&parameters).send().await.expect("a response").status(), 400, "{parameters}");
    }
    let batch = json!([{ "documentId": "a" }, { "extensions": hash_of(QUERY) }]);
    let response = app.post(&batch).send().await.expect("a response");
    assert_eq!(response.status(), 400);
    assert!(response.text().await.expect("a text").contains("batched operations are not supported"));
    app.stop().await;
}

#[tokio::test]
async fn get_executes_stored_queries_but_no_mutations() {
    for backend in Backend::all().await {
        let app = TestApp::start(backend, |_| {}).await;
        let mutation = r#"mutation { createArtifact(input: { type: "skill", name: "new" }) { artifact { id } } }"#;
        trust(app.db(), &[("names", QUERY), ("create", mutation)]).await;
        let before = count(app.db(), "artifacts").await;

        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        let names = get(&app, &json!({ "documentId": "names", "variables": { "first": 1 } }));
        let body: Value =
            names.header("accept", browser).send().await.expect("a response").json().await.expect("JSON, not GraphiQL");
        assert_eq!(body["data"]["artifacts"]["nodes"][0]["name"], "artifact 0000");
        for parameters in [json!({ "doc_id": "create" }), json!({ "extensions": hash_of(mutation) })] {
            let response = get(&app, &parameters).send().await.expect("a response");
            assert_eq!(
                (response.status().as_u16(), &response.headers()["allow"]),
                (405, &HeaderValue::from_static("POST"))
            );
        }
        assert_eq!(count(app.db(), "artifacts").await, before, "{backend:?}");
        app.stop().await;
    }
}

#[tokio::test]
async fn caches_may_store_queries_by_get_if_a_time_is_set() {
    let caching = TestApp::start(Backend::Sqlite, |config| config.http.get_max_age = Duration::from_secs(60)).await;
    let default = TestApp::start(Backend::Sqlite, |_| {}).await;
    let accounts = Accounts::new(caching.db());
    accounts.add("Ann").await.expect("an account");
    let (_, token) = accounts.create_token("Ann", TokenScope::Read, None).await.expect("a token");
    trust(caching.db(), &[("names", QUERY)]).await;
    trust(default.db(), &[("names", QUERY)]).await;
    let (names, unknown) = (json!({ "documentId": "names" }), json!({ "extensions": hash_of("{ __typename }") }));
    let wrong = json!({ "documentId": "names", "variables": { "first": 1_000 } });
    let share = caching.client.get(caching.url("/s/unknown"));
    let cases = [
        (get(&caching, &names), "public, max-age=60"),
        (get(&caching, &names).bearer_auth(token.reveal()), "private, max-age=60"),
        (get(&caching, &unknown), "no-store"),
        (get(&caching, &wrong), "no-store"),
        (caching.post(&names), "no-store"),
        (get(&caching, &names).header("accept", "text/event-stream"), "no-store"),
        (share, "no-store"),
        (get(&default, &names), "no-store"),
    ];
    for (request, expected) in cases {
        let response = request.send().await.expect("a response");
        let headers = response.headers();
        assert_eq!(headers["cache-control"], expected, "{response:?}");
        if expected.contains("max-age") {
            assert_eq!(headers["vary"], "Accept, Authorization, X-Gatherum-Stats");
        }
    }
    caching.stop().await;
    default.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_trusted_documents_are_executed_in_the_mode_trusted() {
    for backend in Backend::all().await {
        let app = TestApp::start(backend, |config| config.documents.mode = Mode::Trusted).await;
        let unrestricted = second(&app, |_| {}).await;
        let automatic = "{ automatic: __typename }";
        let sent = request(automatic, Some(DocumentId::Automatic(sha256(automatic))));
        assert!(execute(&unrestricted, sent).await["data"].is_object());
        assert_eq!(count(app.db(), "automatic_documents").await, 1);
        let (subscription, introspection) =
            ("subscription { catalogChanged { kind } }", "{ __schema { queryType { name } } }");
        trust(app.db(), &[("names", QUERY), (sha256(subscription).as_str(), subscription)]).await;

        for transport in TRANSPORTS {
            for parameters in [
                json!({ "documentId": "names" }),
                json!({ "doc_id": "names" }),
                json!({ "documentId": format!("sha256:{}", sha256(QUERY)) }),
                json!({ "extensions": hash_of(QUERY) }),
                json!({ "extensions": { "persistedQuery": { "version": 1, "sha256Hash": "names" } } }),
                json!({ "query": QUERY, "documentId": "names" }),
                json!({ "query": QUERY, "extensions": hash_of(QUERY) }),
            ] {
                let response = ask(&app, transport, &parameters).await;
                assert_eq!(
                    response["data"]["artifacts"]["nodes"][1]["name"], "artifact 0001",
                    "{transport:?} {parameters}"
                );
            }
            for parameters in [
                json!({ "query": QUERY }),
                json!({ "query": introspection }),
                json!({ "query": "mutation { nothing }" }),
                json!({ "query": "{" }),
                json!({ "documentId": "unknown" }),
                json!({ "documentId": format!("sha256:{}", sha256(automatic)) }),
                json!({ "extensions": hash_of(automatic) }),
                json!({ "query": automatic, "extensions": hash_of(automatic) }),
                json!({ "query": automatic, "documentId": "unknown" }),
            ] {
                let response = ask(&app, transport, &parameters).await;
                assert_eq!(error(&response).1, "DOCUMENT_NOT_TRUSTED", "{transport:?} {parameters}");
            }
            let another = ask(&app, transport, &json!({ "query": automatic, "documentId": "names" })).await;
            assert_eq!(error(&another).1, "BAD_REQUEST", "{another}");
        }
        assert_eq!(count(app.db(), "automatic_documents").await, 1);
        // Documents of the program itself are permitted.
        let shared = app.client.get(app.url("/s/unknown")).send().await.expect("a response");
        assert_eq!(shared.status(), 404);
        assert!(!shared.text().await.expect("a text").contains("DOCUMENT_NOT_TRUSTED"));
        app.stop().await;
    }
}

/// The first text that `read` yields while artifacts are created: a subscription has no acknowledgement to wait for.
async fn while_creating(app: &TestApp, read: impl Future<Output = String>) -> String {
    let write = async {
        loop {
            let name = uuid::Uuid::now_v7();
            let mutation = format!(
                r#"mutation {{ createArtifact(input: {{ type: "skill", name: "{name}" }}) {{ artifact {{ id }} }} }}"#
            );
            assert!(ask(app, Transport::Post, &json!({ "query": mutation })).await["data"].is_object());
        }
    };
    tokio::select! {
        text = tokio::time::timeout(TIME_LIMIT, read) => text.expect("an event in time"),
        () = write => unreachable!("it never ends"),
    }
}

/// The first event of a subscription with these parameters, as its transport has it.
async fn first_event(app: &TestApp, transport: Transport, parameters: &Value) -> String {
    let request = match transport {
        Transport::Get => get(app, parameters).header("accept", "text/event-stream"),
        Transport::Post | Transport::EventStream => app.post(parameters).header("accept", "text/event-stream"),
        Transport::Parts => app.post(parameters).header("accept", "multipart/mixed;subscriptionSpec=1.0"),
        Transport::Socket | Transport::LegacySocket => return ask(app, transport, parameters).await.to_string(),
    };
    let mut response = request.send().await.expect("a response");
    let mut text = String::new();
    while !text.contains("kind")
        && let Some(chunk) = response.chunk().await.expect("a chunk")
    {
        text.push_str(std::str::from_utf8(&chunk).expect("text"));
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_may_be_identified_over_every_transport() {
    for backend in Backend::all().await {
        let app = TestApp::start(backend, |_| {}).await;
        let (trusted, automatic) =
            ("subscription { catalogChanged { kind } }", "subscription { catalogChanged { kind nodeId } }");
        trust(app.db(), &[("changes", trusted)]).await;
        let with_text = json!({ "query": automatic, "extensions": hash_of(automatic) });
        let event = while_creating(&app, first_event(&app, Transport::Socket, &with_text)).await;
        assert!(event.contains("nodeId"), "{event}");

        for transport in TRANSPORTS {
            for parameters in [json!({ "documentId": "changes" }), json!({ "extensions": hash_of(automatic) })] {
                let event = while_creating(&app, first_event(&app, transport, &parameters)).await;
                assert!(event.contains(r#""kind":"CREATED""#), "{backend:?} {transport:?} {parameters} {event}");
            }
        }
        app.stop().await;
    }
}

/// An engine of its own pools on the database of a server.
async fn second(app: &TestApp, change: impl FnOnce(&mut Config)) -> Engine {
    let config: &DbConfig = app.database();
    engine_with(&Db::open(config).await.expect("the database, once more"), change)
}

fn request(text: &str, id: Option<DocumentId>) -> Request {
    Request { query: text.to_owned(), document_id: id, wants_report: true, ..Request::default() }
}

fn automatic(text: &str) -> Option<DocumentId> {
    Some(DocumentId::Automatic(sha256(text)))
}

async fn execute(engine: &Engine, request: Request) -> Value {
    serde_json::from_slice(&engine.execute(request).await.body).expect("JSON")
}

/// Two nodes with pools of their own on one database.
async fn nodes(backend: Backend, change: impl Fn(&mut Config)) -> (TestDb, Engine, Engine) {
    let test = backend.database().await;
    let other = Db::open(&test.config).await.expect("the database, once more");
    let nodes = (engine_with(&test.db, &change), engine_with(&other, &change));
    (test, nodes.0, nodes.1)
}

#[tokio::test]
async fn nodes_share_documents() {
    for backend in Backend::all().await {
        let (test, here, there) = nodes(backend, |_| {}).await;
        let text = "{ __typename }";
        assert_eq!(error(&execute(&there, request("", automatic(text))).await), NOT_FOUND);
        assert!(execute(&here, request(text, automatic(text))).await["data"].is_object());
        assert!(execute(&there, request("", automatic(text))).await["data"].is_object(), "{backend:?}");

        let by_id = || request("", Some(DocumentId::Custom("named".to_owned())));
        for node in [&here, &there] {
            let unknown = execute(node, by_id()).await;
            assert!(error(&unknown).0.contains("`named` is unknown") && error(&unknown).1 == NOT_FOUND.1);
        }
        trust(&test.db, &[("named", "{ a: __typename }")]).await;
        for node in [&here, &there, &here, &there] {
            assert_eq!(execute(node, by_id()).await["data"]["a"], "Query", "{backend:?}");
        }
        trusted::remove(&test.db, Some(&["named".to_owned()])).await.expect("a removal");
        for node in [&here, &there] {
            let removed = async { while execute(node, by_id()).await["data"].is_object() {} };
            tokio::time::timeout(TIME_LIMIT, removed).await.expect("a removal that is noticed");
        }
        trust(&test.db, &[("named", "{ b: __typename }")]).await;
        for node in [&here, &there] {
            assert_eq!(execute(node, by_id()).await["data"]["b"], "Query", "another text under the same identifier");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_store_the_same_documents_concurrently() {
    for backend in Backend::all().await {
        let (test, here, there) = nodes(backend, |config| config.documents.automatic_count = 8).await;
        let texts: Vec<String> = (0..12).map(|n| format!("{{ __typename }} # {n}")).collect();

        let sends = (0..60).map(|n| {
            let (node, text) = (if n % 2 == 0 { &here } else { &there }, &texts[n / 5]);
            execute(node, request(text, automatic(text)))
        });
        for response in join_all(sends).await {
            assert!(response["data"].is_object(), "{backend:?} {response}");
        }

        let stored = count(&test.db, "automatic_documents").await;
        assert!((1..=8).contains(&stored), "{backend:?} {stored}");
    }
}

#[tokio::test]
async fn the_least_recently_used_documents_are_replaced() {
    for backend in Backend::all().await {
        let (test, here, there) = nodes(backend, |config| config.documents.automatic_count = 3).await;
        let texts: Vec<String> = (0..6).map(|n| format!("{{ __typename }} # {n}")).collect();
        let send = async |n: usize| execute(&here, request(&texts[n], automatic(&texts[n]))).await;
        let stored = async || {
            let sql = {
                let mut sql = test.db.sql();
                sql.push("select hash from automatic_documents");
                sql
            };
            let hashes = test.db.fetch::<String>("test", sql).await.expect("hashes");
            (0..6).filter(|n| hashes.contains(&sha256(&texts[*n]))).collect::<Vec<_>>()
        };

        for n in 0..3 {
            send(n).await;
        }
        execute(&here, request("", automatic(&texts[0]))).await;
        send(3).await;
        assert_eq!(stored().await, [0, 2, 3], "{backend:?}");
        // The other node records its use; this node had not used the document since.
        execute(&there, request("", automatic(&texts[2]))).await;
        there.documents().record_use().await.expect("a write");
        send(4).await;
        assert_eq!(stored().await, [2, 3, 4], "{backend:?}");
        // An evicted document is stored again when a client sends it again to another node.
        execute(&there, request(&texts[0], automatic(&texts[0]))).await;
        assert_eq!(stored().await, [0, 2, 4], "{backend:?}");
    }
}

#[tokio::test]
async fn the_size_of_automatic_documents_is_limited() {
    for backend in Backend::all().await {
        let test = backend.database().await;
        let engine = engine_with(&test.db, |config| config.documents.automatic_bytes = 10_000);
        for n in 0..20 {
            let text = format!("{{ __typename }} # {n} {}", "x".repeat(2_000));
            assert!(execute(&engine, request(&text, automatic(&text))).await["data"].is_object());
        }
        assert_eq!(count(&test.db, "automatic_documents").await, 4, "{backend:?}");
        let large = format!("{{ __typename }} # {}", "x".repeat(20_000));
        assert!(execute(&engine, request(&large, automatic(&large))).await["data"].is_object());
        assert_eq!(count(&test.db, "automatic_documents").await, 4, "a document above the limit is not stored");
    }
}

#[tokio::test]
async fn only_documents_that_may_be_executed_are_stored() {
    let app = TestApp::start(Backend::Sqlite, |config| config.limits.document_bytes = 1_000).await;
    let accounts = Accounts::new(app.db());
    accounts.add("Ann").await.expect("an account");
    let (_, token) = accounts.create_token("Ann", TokenScope::Read, None).await.expect("a token");
    let mutation = r#"mutation { createArtifact(input: { type: "skill", name: "new" }) { artifact { id } } }"#;
    let large = format!("{{ __typename }} # {}", "x".repeat(1_000));
    for text in [
        "{ nothing }",
        "{ artifacts",
        mutation,
        large.as_str(),
        "query($a: Int!) { artifacts(first: $a) { totalCount } }",
    ] {
        let rejected = app.post(&json!({ "query": text, "extensions": hash_of(text) })).bearer_auth(token.reveal());
        let body: Value = rejected.send().await.expect("a response").json().await.expect("JSON");
        assert_eq!(body["data"], Value::Null, "{body}");
    }
    assert_eq!(count(app.db(), "automatic_documents").await, 0);
    app.stop().await;
}

#[tokio::test]
async fn anonymous_viewers_cannot_store_without_limit() {
    let test = Backend::Sqlite.database().await;
    let engine = engine_with(&test.db, |_| {});
    let start = std::time::Instant::now();
    let mut sent = 0;
    while sent < 150 {
        let text = format!("{{ __typename }} # {sent}");
        let request = Request { viewer: Viewer::ANONYMOUS, ..request(&text, automatic(&text)) };
        assert!(execute(&engine, request).await["data"].is_object());
        sent += 1;
    }
    let allowed = 100 + 10 * (start.elapsed().as_secs() as i64 + 1);
    let stored = count(&test.db, "automatic_documents").await;
    assert!((100..=allowed).contains(&stored), "{stored}, {allowed} are allowed");
}

#[tokio::test]
async fn the_lookup_of_a_document_is_not_reported_and_a_known_one_takes_no_statement() {
    for backend in Backend::all().await {
        let (test, here, there) = nodes(backend, |_| {}).await;
        let text = "{ artifacts(first: 3) { totalCount nodes { id } } }";
        let expected = statements(&execute(&there, request(text, None)).await);
        trust(&test.db, &[("named", text)]).await;

        let before = test.db.statements_run();
        let stored = statements(&execute(&here, request(text, automatic(text))).await);
        // The table is locked on PostgreSQL, the document is inserted, and the documents are counted.
        let writes = if backend == Backend::Postgres { 3 } else { 2 };
        assert_eq!((stored, test.db.statements_run() - before), (expected, expected + writes), "{backend:?}");
        for text in ["", text, ""] {
            let before = test.db.statements_run();
            let known = statements(
                &execute(&here, request(text, automatic("{ artifacts(first: 3) { totalCount nodes { id } } }"))).await,
            );
            assert_eq!((known, test.db.statements_run() - before), (expected, expected), "{backend:?}");
        }
        let named = || request("", Some(DocumentId::Custom("named".to_owned())));
        for _ in 0..3 {
            let before = test.db.statements_run();
            let reported = statements(&execute(&here, named()).await);
            let ran = test.db.statements_run() - before;
            assert!(reported == expected && (expected..=expected + 1).contains(&ran), "{backend:?} {reported} {ran}");
        }
    }
}

#[tokio::test]
async fn a_request_by_hash_repeats_one_with_the_text() {
    for backend in Backend::all().await {
        let test = backend.database().await;
        let engine = engine_with(&test.db, |_| {});
        let text = r#"mutation { createArtifact(input: { type: "skill", name: "new" }) { artifact { id } } }"#;
        let keyed =
            |request: Request| Request { idempotency_key: Some("key".to_owned()), wants_report: false, ..request };

        let first = execute(&engine, keyed(request(text, automatic(text)))).await;
        let again = execute(&engine, keyed(request("", automatic(text)))).await;

        assert!(first["data"].is_object(), "{first}");
        assert_eq!(first, again, "{backend:?}");
        assert_eq!(count(&test.db, "artifacts").await, 1);
    }
}

#[tokio::test]
async fn a_database_that_cannot_be_written_does_not_stop_queries() {
    let test = Backend::Sqlite.database().await;
    let engine = engine_with(&test.db, |_| {});
    let writer = test.db.begin().await.expect("the only transaction");
    let text = "{ artifacts { totalCount } }";

    let response = execute(&engine, request(text, automatic(text))).await;

    assert!(response["data"].is_object(), "{response}");
    drop(writer);
    assert_eq!(count(&test.db, "automatic_documents").await, 0);
    execute(&engine, request(text, automatic(text))).await;
    assert_eq!(count(&test.db, "automatic_documents").await, 1);
}
