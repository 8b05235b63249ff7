//! Subscriptions: changes are delivered after commit, in order, on every node and over every transport.
use std::{sync::Arc, time::Duration};

use futures_util::{SinkExt, StreamExt};
use gatherum::{
    access::{Accounts, TokenScope},
    app::Engine,
    db::Db,
    graphql::{Execute, Request, Responses},
};
use serde_json::{Value, json};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Message, client::IntoClientRequest, http::HeaderValue},
};

use crate::{
    app::{TestApp, ask_with, engine},
    backend::{Backend, TestDb},
};

/// Two nodes on one database.
async fn nodes(backend: Backend) -> (TestDb, Arc<Engine>, Arc<Engine>) {
    let test = backend.database().await;
    let other = Db::open(&test.config).await.expect("the database, once more");
    let (here, there) = (Arc::new(engine(&test.db)), Arc::new(engine(&other)));
    (test, here, there)
}

fn request(query: &str) -> Request {
    Request { query: query.to_owned(), wants_report: true, ..Request::default() }
}

async fn subscribe(engine: &Arc<Engine>, query: &str) -> Responses {
    match engine.clone().subscribe(request(query)).await {
        Ok(responses) => responses,
        Err(response) => panic!("{}", String::from_utf8_lossy(&response.body)),
    }
}

/// Returns the next response, within a time limit far above what it takes.
async fn next(responses: &mut Responses) -> Value {
    let response = tokio::time::timeout(Duration::from_secs(20), responses.next()).await.expect("a response in time");
    serde_json::from_slice(&response.expect("a response").body).expect("JSON")
}

async fn write(engine: &Engine, field: &str) -> Value {
    let answer = ask_with(engine, &format!("mutation {{ {field} }}"), json!({})).await;
    assert_eq!(answer["errors"], Value::Null, "{field} {answer}");
    answer["data"].clone()
}

#[tokio::test]
async fn changes_are_delivered_on_every_node_in_order() {
    for backend in Backend::all().await {
        let (_test, here, there) = nodes(backend).await;
        let made = write(&here, r#"createCollection(input: { name: "Shelf" }) { collection { id } }"#).await;
        let shelf = made["createCollection"]["collection"]["id"].as_str().expect("an id").to_owned();
        let query = format!(
            r#"subscription {{ collectionChanged(id: "{shelf}") {{ kind collectionId collection {{ name artifactCount }} artifactIds }} }}"#
        );
        let mut subscribers = vec![subscribe(&here, &query).await, subscribe(&there, &query).await];
        let mut all = subscribe(
            &there,
            "subscription { catalogChanged { kind nodeId node { __typename ... on Artifact { name } } } }",
        )
        .await;

        let made = write(&here, r#"createArtifact(input: { type: "skill", name: "Lint" }) { artifact { id } }"#).await;
        let lint = made["createArtifact"]["artifact"]["id"].clone();
        write(&here, &format!(r#"addArtifactsToCollection(input: {{ collectionId: "{shelf}", artifactIds: [{lint}] }}) {{ changedIds }}"#)).await;
        write(
            &there,
            &format!(r#"updateCollection(input: {{ id: "{shelf}", name: "Board" }}) {{ collection {{ name }} }}"#),
        )
        .await;
        // A rejected write, or one without effect, has no event.
        write(&here, &format!(r#"addArtifactsToCollection(input: {{ collectionId: "{shelf}", artifactIds: [{lint}] }}) {{ changedIds }}"#)).await;

        for responses in &mut subscribers {
            let added = next(responses).await;
            let event = &added["data"]["collectionChanged"];
            assert_eq!(
                (&event["kind"], &event["artifactIds"]),
                (&json!("ARTIFACTS_ADDED"), &json!([lint])),
                "{backend:?}"
            );
            assert_eq!(added["extensions"]["gatherum"]["statements"], json!(2));
            let updated = next(responses).await;
            assert_eq!(updated["data"]["collectionChanged"]["kind"], json!("UPDATED"));
        }
        write(&here, &format!(r#"deleteCollection(input: {{ id: "{shelf}" }}) {{ deletedId }}"#)).await;
        for responses in &mut subscribers {
            let deleted = next(responses).await;
            let expected = json!({ "kind": "DELETED", "collectionId": shelf, "collection": null, "artifactIds": [] });
            assert_eq!(deleted["data"]["collectionChanged"], expected);
        }
        let made = next(&mut all).await;
        let expected =
            json!({ "kind": "CREATED", "nodeId": lint, "node": { "__typename": "Artifact", "name": "Lint" } });
        assert_eq!(made["data"]["catalogChanged"], expected, "{made}");
        for kind in ["ARTIFACTS_ADDED", "UPDATED", "DELETED"] {
            assert_eq!(next(&mut all).await["data"]["catalogChanged"]["kind"], json!(kind));
        }
    }
}

#[tokio::test]
async fn a_change_of_many_artifacts_is_one_event() {
    for backend in Backend::all().await {
        let (_test, here, there) = nodes(backend).await;
        let request = json!({ "artifacts": (0..1_000).map(|n| json!({ "type": "skill", "name": format!("{n}") })).collect::<Vec<_>>() });
        let document = "mutation($input: CreateArtifactsInput!) { createArtifacts(input: $input) { results { artifact { id } } } }";
        let made = ask_with(&here, document, json!({ "input": request })).await;
        let ids: Vec<Value> = made["data"]["createArtifacts"]["results"]
            .as_array()
            .expect("results")
            .iter()
            .map(|result| result["artifact"]["id"].clone())
            .collect();
        let made = write(&here, r#"createCollection(input: { name: "Shelf" }) { collection { id } }"#).await;
        let shelf = made["createCollection"]["collection"]["id"].clone();
        let mut responses =
            subscribe(&there, &format!("subscription {{ collectionChanged(id: {shelf}) {{ artifactIds }} }}")).await;

        let document = "mutation($input: AddArtifactsToCollectionInput!) { addArtifactsToCollection(input: $input) { changedIds } }";
        let input = json!({ "collectionId": shelf, "artifactIds": ids });
        ask_with(&here, document, json!({ "input": input })).await;

        let event = next(&mut responses).await;
        let count = event["data"]["collectionChanged"]["artifactIds"].as_array().expect("ids").len();
        assert_eq!(count, 1_000, "{backend:?}");
    }
}

#[tokio::test]
async fn a_subscriber_that_falls_behind_receives_events_lost() {
    for backend in Backend::all().await {
        let (_test, here, _there) = nodes(backend).await;
        let mut slow = subscribe(&here, "subscription { catalogChanged { kind } }").await;
        let mut quick = subscribe(&here, "subscription { catalogChanged { kind } }").await;
        // More changes than the queue of a subscriber holds, in a few transactions.
        for batch in 0..2 {
            let item = |n| json!({ "type": "skill", "name": format!("{batch} {n}") });
            let input = json!({ "artifacts": (0..1_000).map(item).collect::<Vec<_>>() });
            let document = "mutation($input: CreateArtifactsInput!) { createArtifacts(input: $input) { succeeded } }";
            ask_with(&here, document, json!({ "input": input })).await;
            for _ in 0..1_000 {
                assert_eq!(next(&mut quick).await["data"]["catalogChanged"]["kind"], json!("CREATED"));
            }
        }

        let last = next(&mut slow).await;

        assert_eq!(last["errors"][0]["extensions"]["code"], json!("EVENTS_LOST"), "{backend:?} {last}");
        assert!(slow.next().await.is_none());
    }
}

#[tokio::test]
async fn a_disconnected_feed_is_reported_and_reconnects() {
    if !Backend::all().await.contains(&Backend::Postgres) {
        return;
    }
    let (test, here, _there) = nodes(Backend::Postgres).await;
    let mut before = subscribe(&here, "subscription { catalogChanged { kind } }").await;
    let mut sql = test.db.sql();
    sql.push("select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and query like 'LISTEN%'");
    let cut = test.db.fetch::<bool>("terminate", sql).await.expect("a superuser");
    assert!(!cut.is_empty());

    assert_eq!(next(&mut before).await["errors"][0]["extensions"]["code"], json!("EVENTS_LOST"));
    let mut after = subscribe(&here, "subscription { catalogChanged { kind } }").await;
    // The feed reconnects by itself; until then changes may be missed, which subscribers are notified of.
    loop {
        write(
            &here,
            &format!(r#"createCollection(input: {{ name: "{}" }}) {{ collection {{ id }} }}"#, uuid::Uuid::now_v7()),
        )
        .await;
        match tokio::time::timeout(Duration::from_millis(200), after.next()).await {
            Ok(Some(response)) if response.codes.is_empty() => break,
            Ok(_) => after = subscribe(&here, "subscription { catalogChanged { kind } }").await,
            Err(_) => {}
        }
    }
}

#[tokio::test]
async fn invalid_subscriptions_are_rejected() {
    for backend in Backend::all().await {
        let (_test, here, _there) = nodes(backend).await;
        for (query, code) in [
            ("subscription { collectionChanged(id: \"x\") { kind } }", "BAD_USER_INPUT"),
            (
                "subscription { collectionChanged(id: \"artifact_00000000000000000000000000\") { kind } }",
                "BAD_USER_INPUT",
            ),
            ("subscription { a: catalogChanged { kind } b: catalogChanged { kind } }", "GRAPHQL_VALIDATION_FAILED"),
            ("subscription { catalogChanged { nothing } }", "GRAPHQL_VALIDATION_FAILED"),
            ("subscription {", "GRAPHQL_PARSE_FAILED"),
        ] {
            let rejected = here.clone().subscribe(request(query)).await.err().expect("a rejection");
            assert!(!rejected.executed);
            assert_eq!(rejected.codes.first().map(|code| code.as_str()), Some(code), "{query}");
        }
        let response = here.clone().subscribe(request("{ __typename }")).await.err().expect("a response");
        assert!(response.executed);
        let rejected = here.execute(request("subscription { catalogChanged { kind } }")).await;
        assert!(!rejected.executed);
    }
}

/// Time limit for what happens much sooner.
const TIME_LIMIT: Duration = Duration::from_secs(20);

const CHANGES: &str = "subscription { catalogChanged { kind } }";

type Socket = WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>;

/// A WebSocket of a client that supports only the legacy protocol, after `connection_init`.
async fn legacy_socket(app: &TestApp, init: Value) -> Socket {
    let mut request = format!("ws://{}/graphql/ws", app.address).into_client_request().expect("a request");
    request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("graphql-ws"));
    let (mut socket, response) = connect_async(request).await.expect("a socket");
    assert_eq!(response.headers()["sec-websocket-protocol"], "graphql-ws");
    send(&mut socket, json!({ "type": "connection_init", "payload": init })).await;
    socket
}

async fn send(socket: &mut Socket, message: Value) {
    socket.send(Message::text(message.to_string())).await.expect("a server that reads");
}

/// The next message, or the code with which the server closes the socket.
async fn receive(socket: &mut Socket) -> Result<Value, u16> {
    let received = async {
        loop {
            match socket.next().await {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).expect("JSON")),
                Some(Ok(Message::Close(Some(frame)))) => return Err(frame.code.into()),
                Some(Ok(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    };
    tokio::time::timeout(TIME_LIMIT, received).await.expect("a message in time")
}

fn multipart(app: &TestApp, query: &str) -> reqwest::RequestBuilder {
    let accept = "multipart/mixed;boundary=graphql;subscriptionSpec=1.0,application/json";
    app.post(&json!({ "query": query })).header("accept", accept)
}

/// Reads a multipart body until it contains `expected`, or to its end. Returns what it read.
async fn read_until(response: &mut reqwest::Response, expected: &str) -> String {
    let mut text = String::new();
    let read = async {
        while !text.contains(expected)
            && let Some(chunk) = response.chunk().await.expect("a chunk")
        {
            text.push_str(std::str::from_utf8(&chunk).expect("text"));
        }
    };
    tokio::time::timeout(TIME_LIMIT, read).await.expect("the text in time");
    text
}

async fn create_collection(app: &TestApp, bearer: Option<&str>) {
    let input = json!({ "name": uuid::Uuid::now_v7().to_string() });
    let document = "mutation($input: CreateCollectionInput!) { createCollection(input: $input) { collection { id } } }";
    let request = app.post(&json!({ "query": document, "variables": { "input": input } }));
    let request = bearer.into_iter().fold(request, |request, bearer| request.header("authorization", bearer));
    let response = request.send().await;
    let body: Value = response.expect("a response").json().await.expect("JSON");
    assert_eq!(body["errors"], Value::Null, "{body}");
}

/// Starts a subscription with the legacy protocol and returns its first change.
async fn start_legacy(app: &TestApp, socket: &mut Socket, bearer: Option<&str>) -> Value {
    assert_eq!(receive(socket).await, Ok(json!({ "type": "connection_ack" })));
    send(socket, json!({ "type": "start", "id": "a", "payload": { "query": CHANGES } })).await;
    // The protocol does not acknowledge `start`: changes before the server handles it are not delivered.
    let write = async {
        loop {
            create_collection(app, bearer).await;
        }
    };
    tokio::select! {
        message = receive(socket) => message.expect("a change"),
        () = write => unreachable!("it never ends"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn legacy_sockets_and_parts_deliver_changes_until_shutdown() {
    for backend in Backend::all().await {
        let app = TestApp::start(backend, |_| {}).await;
        let mut parts = multipart(&app, CHANGES).send().await.expect("a response");
        assert_eq!(parts.status(), 200, "{backend:?}");
        let mut socket = legacy_socket(&app, json!({})).await;

        let change = json!({ "data": { "catalogChanged": { "kind": "CREATED" } } });
        let first = start_legacy(&app, &mut socket, None).await;
        let part = read_until(&mut parts, "CREATED").await;

        assert_eq!(first, json!({ "type": "data", "id": "a", "payload": change }), "{backend:?}");
        assert!(part.contains(&json!({ "payload": change }).to_string()), "{backend:?} {part}");
        let rest = async {
            let rest = read_until(&mut parts, "--graphql--").await;
            let code = loop {
                if let Err(code) = receive(&mut socket).await {
                    break code;
                }
            };
            (rest, code)
        };
        let ((), (rest, code)) = tokio::join!(app.stop(), rest);
        assert!(rest.contains("UNAVAILABLE") && rest.ends_with("--graphql--\r\n"), "{backend:?} {rest}");
        assert_eq!(code, 1001, "{backend:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn legacy_sockets_and_parts_need_valid_tokens_and_free_slots() {
    for backend in Backend::all().await {
        let app = TestApp::start(backend, |config| config.http.subscription_connections_per_client = 2).await;
        let accounts = Accounts::new(app.db());
        accounts.add("Ann").await.expect("an account");
        let (row, token) = accounts.create_token("Ann", TokenScope::Write, None).await.expect("a token");
        let bearer = format!("Bearer {}", token.reveal());

        let mut rejected = legacy_socket(&app, json!({ "authorization": "Bearer x" })).await;
        assert_eq!(receive(&mut rejected).await.expect("an error")["type"], "connection_error", "{backend:?}");
        assert_eq!(receive(&mut rejected).await, Err(4403));
        let wrong = multipart(&app, CHANGES).header("authorization", "Bearer x").send().await.expect("a response");
        assert_eq!(wrong.status(), 401, "{backend:?}");

        let open = async || legacy_socket(&app, json!({ "authorization": bearer })).await;
        let mut first = open().await;
        start_legacy(&app, &mut first, Some(&bearer)).await;
        let mut second = open().await;
        start_legacy(&app, &mut second, Some(&bearer)).await;
        // Only subscriptions take slots.
        let mut third = open().await;
        assert_eq!(receive(&mut third).await, Ok(json!({ "type": "connection_ack" })));
        for (query, code) in [("{ __typename }", Value::Null), (CHANGES, json!("LIMIT_EXCEEDED"))] {
            send(&mut third, json!({ "type": "start", "id": "a", "payload": { "query": query } })).await;
            let response = receive(&mut third).await.expect("a response");
            assert_eq!(response["payload"]["errors"][0]["extensions"]["code"], code, "{backend:?} {response}");
            assert_eq!(receive(&mut third).await, Ok(json!({ "type": "complete", "id": "a" })));
        }
        let request = || multipart(&app, CHANGES).header("authorization", bearer.as_str());
        assert_eq!(request().send().await.expect("a response").status(), 429, "{backend:?}");

        drop(first);
        // The slot is free once the server has noticed that the client left.
        let mut parts = loop {
            let response = request().send().await.expect("a response");
            if response.status() == 200 {
                break response;
            }
        };
        accounts.revoke(row.id).await.expect("a token");
        let rest = read_until(&mut parts, "--graphql--").await;
        assert!(rest.contains("UNAUTHENTICATED"), "{backend:?} {rest}");
        let code = loop {
            if let Err(code) = receive(&mut second).await {
                break code;
            }
        };
        assert_eq!(code, 4401, "{backend:?}");
        app.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn legacy_sockets_and_parts_report_lost_events() {
    if !Backend::all().await.contains(&Backend::Postgres) {
        return;
    }
    let app = TestApp::start(Backend::Postgres, |_| {}).await;
    let mut parts = multipart(&app, CHANGES).send().await.expect("a response");
    let mut socket = legacy_socket(&app, json!({})).await;
    start_legacy(&app, &mut socket, None).await;

    let mut sql = app.db().sql();
    sql.push("select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and query like 'LISTEN%'");
    assert!(!app.db().fetch::<bool>("terminate", sql).await.expect("a superuser").is_empty());

    let mut last = receive(&mut socket).await.expect("a message");
    while last["payload"]["errors"].is_null() {
        last = receive(&mut socket).await.expect("a message");
    }
    assert_eq!(last["payload"]["errors"][0]["extensions"]["code"], "EVENTS_LOST");
    assert_eq!(receive(&mut socket).await, Ok(json!({ "type": "complete", "id": "a" })));
    let rest = read_until(&mut parts, "--graphql--").await;
    assert!(rest.contains("EVENTS_LOST"), "{rest}");
    app.stop().await;
}

/// The `Accept` header that urql sends with every operation.
const URQL: &str =
    "application/graphql-response+json, application/graphql+json, application/json, text/event-stream, multipart/mixed";

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_names_all_formats_receives_json_except_for_subscriptions() {
    for backend in Backend::all().await {
        let app = TestApp::start(backend, |_| {}).await;
        let post = |query: &str, accept: &str| app.post(&json!({ "query": query })).header("accept", accept);

        let query = post("{ artifacts(first: 1) { nodes { name } } }", URQL).send().await.expect("a response");
        assert_eq!(query.headers()["content-type"], "application/graphql-response+json; charset=utf-8", "{backend:?}");
        let invalid = post("{ nothing }", URQL).send().await.expect("a response");
        assert_eq!(invalid.status(), 400, "{backend:?}");

        let mut events = post(CHANGES, URQL).send().await.expect("a response");
        assert_eq!(events.headers()["content-type"], "text/event-stream", "{backend:?}");
        create_collection(&app, None).await;
        let event = read_until(&mut events, "\n\n").await;
        let data = json!({ "data": { "catalogChanged": { "kind": "CREATED" } } });
        assert_eq!(event, format!("event: next\ndata: {data}\n\n"), "{backend:?}");
        app.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mutation_with_an_idempotency_key_is_executed_once_over_every_transport() {
    const MUTATION: &str =
        "mutation($name: String!) { createArtifact(input: { type: \"skill\", name: $name }) { artifact { id } } }";
    for backend in Backend::all().await {
        let app = TestApp::start(backend, |_| {}).await;
        let variables = json!({ "name": "Once" });
        let mut ids = Vec::new();
        for accept in ["application/json", URQL, "text/event-stream", "multipart/mixed;subscriptionSpec=1.0"] {
            let request = app.post(&json!({ "query": MUTATION, "variables": variables }));
            let response = request.header("accept", accept).header("idempotency-key", "once").send().await;
            let body = response.expect("a response").text().await.expect("a body");
            let json = body
                .strip_prefix("event: next\ndata: ")
                .map_or(body.as_str(), |events| events.lines().next().expect("a line"));
            ids.push(
                serde_json::from_str::<Value>(json).expect("JSON")["data"]["createArtifact"]["artifact"]["id"].clone(),
            );
        }
        let mut socket = legacy_socket(&app, json!({})).await;
        assert_eq!(receive(&mut socket).await, Ok(json!({ "type": "connection_ack" })));
        let payload = json!({ "query": MUTATION, "variables": variables, "extensions": { "idempotencyKey": "once" } });
        send(&mut socket, json!({ "type": "start", "id": "a", "payload": payload })).await;
        ids.push(
            receive(&mut socket).await.expect("a response")["payload"]["data"]["createArtifact"]["artifact"]["id"]
                .clone(),
        );

        assert!(ids[0].is_string() && ids.iter().all(|id| *id == ids[0]), "{backend:?} {ids:?}");
        drop(socket);
        app.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_needs_a_client_that_names_a_streaming_format() {
    for backend in Backend::all().await {
        let app = TestApp::start(backend, |_| {}).await;
        for (accept, status) in
            [("application/json", 400), ("*/*", 400), ("application/graphql-response+json", 400), ("text/csv", 406)]
        {
            let response =
                app.post(&json!({ "query": CHANGES })).header("accept", accept).send().await.expect("a response");
            assert_eq!(response.status().as_u16(), status, "{backend:?} {accept}");
            let body: Value = response.json().await.expect("JSON");
            let message = body["errors"][0]["message"].as_str().expect("a message");
            assert!(message.contains("text/event-stream"), "{backend:?} {message}");
        }
        let got = app.client.get(app.url("/graphql")).query(&[("query", CHANGES)]);
        let mut events = got.header("accept", "text/event-stream").send().await.expect("a response");
        create_collection(&app, None).await;
        assert!(read_until(&mut events, "\n\n").await.contains("CREATED"), "{backend:?}");
        drop(events);
        app.stop().await;
    }
}
