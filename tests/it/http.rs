//! GraphQL over HTTP, health endpoints and GraphiQL.
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{app::TestApp, backend::Backend};

const ONE: &str = "{ artifacts(first: 1) { nodes { name } } }";

#[tokio::test]
async fn a_query_is_executed_by_post_and_by_get() {
    let app = TestApp::start(Backend::Sqlite, |_| {}).await;

    let posted = app.post(&json!({ "query": ONE })).send().await.expect("a response");
    let got = app.client.get(app.url("/graphql")).query(&[("query", ONE), ("variables", ""), ("operationName", "")]);
    let got = got.send().await.expect("a response");

    assert_eq!(posted.status(), StatusCode::OK);
    assert_eq!(posted.headers()["content-type"], "application/json; charset=utf-8");
    assert_eq!(posted.headers()["cache-control"], "no-store");
    let timing = posted.headers()["server-timing"].to_str().expect("text").to_owned();
    assert!(timing.contains("db;dur=") && timing.contains("desc=\"1 statements, 1 rounds\""), "{timing}");
    assert_eq!(posted.text().await.expect("a body"), got.text().await.expect("a body"));
    app.stop().await;
}

#[tokio::test]
async fn the_report_is_sent_on_request() {
    let app = TestApp::start(Backend::Sqlite, |_| {}).await;

    let with = app.post(&json!({ "query": ONE })).header("X-Gatherum-Stats", "1").send().await.expect("a response");
    let with: Value = with.json().await.expect("JSON");
    let without: Value =
        app.post(&json!({ "query": ONE })).send().await.expect("a response").json().await.expect("JSON");

    let report = &with["extensions"]["gatherum"];
    assert_eq!((&report["statements"], &report["rounds"], &report["rows"]), (&json!(1), &json!(1), &json!(2)));
    assert_eq!(report["batches"][0]["relation"], "Query.artifacts");
    assert_eq!(without.get("extensions"), None);
    app.stop().await;
}

#[tokio::test]
async fn a_mutation_with_an_idempotency_key_is_executed_once() {
    let app = TestApp::start(Backend::Sqlite, |_| {}).await;
    let document = "mutation { createCollection(input: { name: \"Board\" }) { collection { id } } }";
    let send = async |key: &str| {
        let request = app.post(&json!({ "query": document })).header("Idempotency-Key", key);
        let response = request.send().await.expect("a response");
        (response.status(), response.text().await.expect("a body"))
    };

    let first = send("a").await;

    assert_eq!(first.0, StatusCode::OK);
    assert_eq!(send("a").await, first);
    assert!(send("b").await.1.contains("CONFLICT"));
    assert_eq!(send(&"x".repeat(256)).await.0, StatusCode::BAD_REQUEST);
    app.stop().await;
}

#[tokio::test]
async fn malformed_requests_are_rejected_with_a_code() {
    let app = TestApp::start(Backend::Sqlite, |config| config.http.body_bytes = 10_000).await;
    let json = "application/json";
    let cases = [
        ("text/plain", "{\"query\":\"{__typename}\"}".to_owned(), 415),
        ("multipart/form-data; boundary=x", "--x".to_owned(), 415),
        ("application/x-www-form-urlencoded", "query=%7B__typename%7D".to_owned(), 415),
        (json, "".to_owned(), 400),
        (json, "null".to_owned(), 400),
        (json, "{".to_owned(), 400),
        (json, "[{\"query\":\"{__typename}\"}]".to_owned(), 400),
        (json, "{}".to_owned(), 400),
        (json, "{\"query\":1}".to_owned(), 400),
        (json, "{\"query\":\"{__typename}\",\"variables\":[7]}".to_owned(), 400),
        (json, "{\"query\":\"{__typename}\",\"operationName\":1}".to_owned(), 400),
        (json, "{\"query\":\"{__typename}\",\"extensions\":\"x\"}".to_owned(), 400),
        (json, format!("{{\"query\":\"{}\"}}", " ".repeat(10_000)), 413),
    ];
    for (content_type, body, status) in cases {
        let request = app.client.post(app.url("/graphql")).header("content-type", content_type).body(body.clone());
        let response = request.send().await.expect("a response");

        assert_eq!(response.status().as_u16(), status, "{content_type} {body:.60}");
        let response: Value = response.json().await.expect("JSON");
        assert!(response["errors"][0]["extensions"]["code"].is_string(), "{response}");
        assert_eq!(response.get("data"), None);
    }
    app.stop().await;
}

#[tokio::test]
async fn other_methods_and_media_types_are_rejected() {
    let app = TestApp::start(Backend::Sqlite, |_| {}).await;
    for method in [Method::PUT, Method::DELETE, Method::PATCH] {
        let response = app.client.request(method, app.url("/graphql")).send().await.expect("a response");

        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(response.headers()["allow"], "GET, POST");
    }
    let refused = app.post(&json!({ "query": ONE })).header("accept", "text/csv").send().await.expect("a response");
    assert_eq!(refused.status(), StatusCode::NOT_ACCEPTABLE);
    let wrong = app.post(&json!({ "query": "{ nothing }" })).header("accept", "application/graphql-response+json");
    assert_eq!(wrong.send().await.expect("a response").status(), StatusCode::BAD_REQUEST);
    app.stop().await;
}

#[tokio::test]
async fn other_hosts_and_origins_are_rejected() {
    let app = TestApp::start(Backend::Sqlite, |_| {}).await;
    let cases = [
        ("host", "evil.example", 421),
        ("host", "localhost.evil.example", 421),
        ("origin", "https://evil.example", 403),
        ("sec-fetch-site", "cross-site", 403),
        ("host", "localhost", 200),
    ];
    for (name, value, status) in cases {
        let response = app.post(&json!({ "query": ONE })).header(name, value).send().await.expect("a response");

        assert_eq!(response.status().as_u16(), status, "{name}: {value}");
        assert_eq!(response.headers().get("access-control-allow-origin"), None);
    }
    let own = app.post(&json!({ "query": ONE })).header("origin", app.url(""));
    assert_eq!(own.send().await.expect("a response").status(), StatusCode::OK);
    app.stop().await;
}

#[tokio::test]
async fn a_request_id_is_adopted_or_created() {
    let app = TestApp::start(Backend::Sqlite, |_| {}).await;

    let own = app.post(&json!({ "query": ONE })).header("x-request-id", "a-1").send().await.expect("a response");
    let made = app.post(&json!({ "query": ONE })).header("x-request-id", "a b").send().await.expect("a response");

    assert_eq!(own.headers()["x-request-id"], "a-1");
    assert_eq!(made.headers()["x-request-id"].len(), 32);
    app.stop().await;
}

#[tokio::test]
async fn health_and_schema_are_served() {
    for backend in Backend::all().await {
        let app = TestApp::start(backend, |_| {}).await;
        let get = async |path: &str| app.client.get(app.url(path)).send().await.expect("a response");

        assert_eq!(get("/health/live").await.status(), StatusCode::OK);
        assert_eq!(get("/health/ready").await.status(), StatusCode::OK);
        let database: Value = get("/health/database").await.json().await.expect("JSON");
        assert_eq!(database["status"], "healthy");
        assert_eq!(database["max"], 15);
        assert!(get("/schema.graphql").await.text().await.expect("a text").contains("type Artifact implements Node"));
        assert_eq!(get("/nothing").await.status(), StatusCode::NOT_FOUND);
        app.stop().await;
    }
}

#[tokio::test]
async fn graphiql_is_served_with_a_strict_policy() {
    let app = TestApp::start(Backend::Sqlite, |_| {}).await;
    for path in ["/graphiql", "/graphql"] {
        let page = app.client.get(app.url(path)).header("accept", "text/html,*/*;q=0.8").send().await.expect("a page");

        assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8", "{path}");
        let policy = page.headers()["content-security-policy"].to_str().expect("text").to_owned();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe-eval"), "{policy}");
        let text = page.text().await.expect("a body");
        assert!(!text.contains("https://"), "no other host: {text}");
    }
    let outside = app.client.get(app.url("/graphiql/..%2f..%2fCargo.toml")).send().await.expect("a response");
    assert_eq!(outside.status(), StatusCode::NOT_FOUND);
    app.stop().await;
}

#[tokio::test]
async fn a_client_that_sends_nothing_is_disconnected() {
    let app = TestApp::start(Backend::Sqlite, |config| {
        config.http.header_timeout = std::time::Duration::from_millis(50);
        config.http.body_timeout = std::time::Duration::from_millis(50);
    })
    .await;

    let mut silent = TcpStream::connect(app.address).await.expect("a connection");
    silent.write_all(b"POST /graphql HTTP/1.1\r\nHost: localhost\r\n").await.expect("half a head");
    let mut rest = Vec::new();
    silent.read_to_end(&mut rest).await.expect("the end of the connection");

    let mut slow = TcpStream::connect(app.address).await.expect("a connection");
    let head =
        "POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{";
    slow.write_all(head.as_bytes()).await.expect("a head");
    let mut response = vec![0; 64];
    let length = slow.read(&mut response).await.expect("a response");
    assert!(String::from_utf8_lossy(&response[..length]).starts_with("HTTP/1.1 408"));
    app.stop().await;
}
