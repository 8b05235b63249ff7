//! The HTTP server over real sockets, with a fake engine.
mod subscription;

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, Once,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Notify, oneshot},
    task::JoinHandle,
};

use super::{AppState, Authenticate, Config, DatabaseHealth, PoolUsage, run};
use crate::{
    access::Viewer,
    error::{Code, Error},
    graphql::{Execute, Operation, Request, RequestReport, Response, Responses},
};

/// A fake engine. The document determines the behaviour: `{ ok }`, `{ large }`, `{ wait }`, `{ never }`, `{ panic }`,
/// `{ partial }`, `{ nothing }` or a mutation, which returns its idempotency key; any other document is a syntax error.
#[derive(Default)]
struct Fake {
    /// Notified when `{ wait }` or `{ never }` starts.
    started: Notify,
    /// Completes `{ wait }`.
    release: Notify,
    /// Notified when `{ never }` is dropped.
    dropped: Notify,
    is_without_database: AtomicBool,
    in_use: AtomicU32,
    waiting: AtomicU32,
}

struct NotifyOnDrop<'a>(&'a Notify);

impl Drop for NotifyOnDrop<'_> {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

const LARGE_BYTES: usize = 32 << 20;

pub(super) fn executed(data: &str) -> Response {
    let report = RequestReport { statements: 3, rounds: 2, rows: 7, ..RequestReport::default() };
    let body = Bytes::from(format!("{{\"data\":{data}}}"));
    let (codes, operation) = (Vec::new(), Some(Operation::Query));
    Response {
        body,
        executed: true,
        has_data: data != "null",
        codes,
        operation_name: None,
        operation,
        fields: Vec::new(),
        viewer: Viewer::LOCAL,
        report,
    }
}

fn rejected(code: Code, operation: Option<Operation>) -> Response {
    let body = json!({ "errors": [{ "message": "rejected", "extensions": { "code": code.as_str() } }] });
    Response {
        body: body.to_string().into(),
        executed: false,
        has_data: false,
        codes: vec![code],
        operation,
        ..executed("{}")
    }
}

/// Resolves every request to the local user; the only valid token is `valid`.
struct FakeAuthenticate;

#[async_trait::async_trait]
impl Authenticate for FakeAuthenticate {
    async fn viewer(&self, token: Option<&str>) -> Result<Viewer, Error> {
        match token {
            None | Some("valid") => Ok(Viewer::LOCAL),
            Some(_) => Err(Error::new(Code::Unauthenticated, "the token is not valid")),
        }
    }

    fn is_known(&self, token: &str) -> bool {
        token == "valid"
    }
}

#[async_trait::async_trait]
impl Execute for Fake {
    async fn execute(&self, request: Request) -> Response {
        let name = request.operation_name.clone();
        let response = match request.query.as_str() {
            "{ ok }" => executed(if request.wants_report { "{\"reported\":true}" } else { "{}" }),
            "{ large }" => executed(&format!("\"{}\"", "x".repeat(LARGE_BYTES))),
            "{ medium }" => executed(&format!("\"{}\"", "x".repeat(2_000))),
            "{ partial }" => Response { codes: vec![Code::Unavailable], ..executed("{\"a\":null}") },
            "{ nothing }" => Response { codes: vec![Code::Unavailable], ..executed("null") },
            "{ unavailable }" => rejected(Code::Unavailable, Some(Operation::Query)),
            "{ panic }" => panic!("on purpose"),
            "{ wait }" => {
                self.started.notify_one();
                self.release.notified().await;
                executed("{}")
            }
            "{ never }" => {
                let _guard = NotifyOnDrop(&self.dropped);
                self.started.notify_one();
                std::future::pending().await
            }
            mutation if mutation.starts_with("mutation") => match request.rejects_mutations {
                true => rejected(Code::BadRequest, Some(Operation::Mutation)),
                false => {
                    let key = json!({ "key": request.idempotency_key });
                    Response { operation: Some(Operation::Mutation), ..executed(&key.to_string()) }
                }
            },
            _ => rejected(Code::GraphqlParseFailed, None),
        };
        Response { operation_name: name, ..response }
    }

    /// `subscription { three }` has three responses; `subscription { never }` has none and does not end.
    async fn subscribe(self: Arc<Self>, request: Request) -> Result<Responses, Response> {
        match request.query.as_str() {
            "subscription { three }" => {
                let response =
                    |n| Response { operation: Some(Operation::Subscription), ..executed(&format!("{{\"n\":{n}}}")) };
                Ok(stream::iter((1..=3).map(response)).boxed())
            }
            "subscription { never }" => {
                self.started.notify_one();
                Ok(stream::once(async move {
                    let _guard = NotifyOnDrop(&self.dropped);
                    std::future::pending().await
                })
                .boxed())
            }
            "subscription { large }" => {
                let large = self.execute(Request { query: "{ large }".to_owned(), ..request }).await;
                Ok(stream::once(std::future::ready(large)).boxed())
            }
            "subscription { lost }" => {
                Ok(stream::iter([executed("{}"), rejected(Code::EventsLost, Some(Operation::Subscription))]).boxed())
            }
            _ => Err(self.execute(request).await),
        }
    }

    fn sdl(&self) -> Option<&str> {
        Some("type Query { ok: Boolean }")
    }
}

struct FakeDatabaseHealth(Arc<Fake>);

impl DatabaseHealth for FakeDatabaseHealth {
    fn is_available(&self) -> bool {
        !self.0.is_without_database.load(Ordering::Relaxed)
    }

    fn pool(&self) -> PoolUsage {
        let [in_use, waiting] = [&self.0.in_use, &self.0.waiting].map(|count| count.load(Ordering::Relaxed));
        PoolUsage { size: 9, in_use, waiting, max: 10 }
    }
}

/// A server on its own port.
struct Server {
    address: SocketAddr,
    fake: Arc<Fake>,
    client: reqwest::Client,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Server {
    async fn start(change: impl FnOnce(&mut Config)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let mut config = Config { bind: address, shutdown_delay: Duration::ZERO, ..Config::default() };
        change(&mut config);
        let fake = Arc::new(Fake::default());
        let state = AppState::new(
            config,
            fake.clone(),
            "{ ok }",
            Arc::new(FakeAuthenticate),
            Arc::new(FakeDatabaseHealth(fake.clone())),
        );
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(run(listener, state, async {
            let _ = stopped.await;
        }));
        Self { address, fake, client: reqwest::Client::new(), stop: Some(stop), task }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn post(&self, query: &str) -> reqwest::RequestBuilder {
        self.client.post(self.url("/graphql")).json(&json!({ "query": query }))
    }

    fn get(&self, path: &str) -> reqwest::RequestBuilder {
        self.client.get(self.url(path))
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("a connection")
    }

    /// Sends bytes on a new connection and returns everything received until it is closed.
    async fn send(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect().await;
        stream.write_all(bytes.as_ref()).await.expect("room");
        read_to_end(&mut stream).await
    }

    fn begin_to_stop(&mut self) {
        self.stop.take().expect("not yet stopped").send(()).expect("a server that runs");
    }

    async fn stop(mut self) {
        self.begin_to_stop();
        drop(self.client);
        self.task.await.expect("it ends by itself");
    }
}

/// Reads until the peer closes or resets the connection.
async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Returns an HTTP/1.1 request that posts a query.
fn post(query: &str) -> String {
    let body = json!({ "query": query }).to_string();
    format!(
        "POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Request headers of clients and of tracing tools in pages.
const SENT_BY_PAGES: &str = "content-type,authorization,apollographql-client-name,traceparent";

/// Sends a preflight request of a page of `origin`.
async fn preflight(server: &Server, origin: &str) -> reqwest::Response {
    let request = server.client.request(reqwest::Method::OPTIONS, server.url("/graphql")).header("origin", origin);
    let request = request.header("access-control-request-method", "POST");
    request.header("access-control-request-headers", SENT_BY_PAGES).send().await.expect("a response")
}

#[tokio::test]
async fn only_configured_origins_may_use_the_server_from_a_browser() {
    const APP: &str = "https://app.example";
    let closed = Server::start(|_| {}).await;
    let open = Server::start(|config| config.cors_origins = vec![APP.to_owned().try_into().expect("an origin")]).await;
    for (server, origin, status) in [(&closed, APP, 403), (&open, "https://evil.example", 403), (&open, APP, 200)] {
        let before = preflight(server, origin).await;
        let after = server.post("{ ok }").header("origin", origin).send().await.expect("a response");

        for response in [before, after] {
            assert_eq!(response.status(), status, "{origin}");
            let allowed = response.headers().get("access-control-allow-origin").map(|value| value.as_bytes());
            assert_eq!(allowed, (status == 200).then_some(APP.as_bytes()), "{origin}");
            assert!(!response.headers().contains_key("access-control-allow-credentials"));
        }
    }
    let allowed = preflight(&open, APP).await;
    assert_eq!(header(&allowed, "access-control-allow-headers"), SENT_BY_PAGES);
    // Other clients send no `Origin`.
    let plain = closed.post("{ ok }").send().await.expect("a response");
    assert_eq!((plain.status().as_u16(), plain.headers()["vary"].as_bytes()), (200, &b"Accept"[..]));
    closed.stop().await;
    open.stop().await;
}

async fn json_of(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.send().await.expect("a response");
    let status = response.status().as_u16();
    (status, response.json().await.expect("JSON"))
}

fn header<'a>(response: &'a reqwest::Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().expect("text"))
}

const SHORT: Duration = Duration::from_millis(30);

/// The `Accept` header that urql sends with queries and mutations.
const URQL: &str =
    "application/graphql-response+json, application/graphql+json, application/json, text/event-stream, multipart/mixed";

#[tokio::test]
async fn every_response_has_the_common_headers() {
    let server = Server::start(|_| {}).await;

    let response = server.post("{ ok }").header("x-request-id", "a-1").send().await.expect("a response");

    assert_eq!(response.status(), 200);
    assert_eq!(header(&response, "content-type"), "application/json; charset=utf-8");
    assert_eq!(header(&response, "cache-control"), "no-store");
    assert_eq!(header(&response, "x-content-type-options"), "nosniff");
    assert_eq!(header(&response, "referrer-policy"), "no-referrer");
    assert_eq!(header(&response, "x-request-id"), "a-1");
    assert_eq!(header(&response, "access-control-allow-origin"), "");
    assert!(header(&response, "vary").contains("Accept"));
    let timing = header(&response, "server-timing");
    assert!(timing.starts_with("total;dur=") && timing.ends_with("db;dur=0.000;desc=\"3 statements, 2 rounds\""));
    server.stop().await;
}

#[tokio::test]
async fn settings_select_timing_and_report() {
    let server = Server::start(|config| {
        config.server_timing = false;
        config.report_always = true;
    })
    .await;

    let response = server.post("{ ok }").send().await.expect("a response");

    assert_eq!(header(&response, "server-timing"), "");
    assert_eq!(response.text().await.expect("a body"), "{\"data\":{\"reported\":true}}");
    server.stop().await;
}

#[tokio::test]
async fn the_report_is_sent_on_request() {
    let server = Server::start(|_| {}).await;

    let (_, with) = json_of(server.post("{ ok }").header("x-gatherum-stats", "1")).await;
    let (_, without) = json_of(server.post("{ ok }").header("x-gatherum-stats", "0")).await;

    assert_eq!(with["data"]["reported"], true);
    assert_eq!(without["data"], json!({}));
    server.stop().await;
}

#[tokio::test]
async fn only_json_bodies_are_accepted() {
    let server = Server::start(|_| {}).await;
    for (content_type, expected) in [
        (Some("application/json"), 200),
        (Some("application/json; charset=utf-8"), 200),
        (Some("APPLICATION/JSON"), 200),
        (Some("application/json; charset=utf8"), 200),
        (Some("application/json; charset=utf-16"), 415),
        (Some("application/graphql"), 415),
        (Some("application/x-www-form-urlencoded"), 415),
        (Some("multipart/form-data; boundary=x"), 415),
        (Some("text/plain"), 415),
        (Some("text/plain; application/json"), 415),
        (None, 415),
    ] {
        let request = server.client.post(server.url("/graphql")).body("{\"query\":\"mutation { a }\"}");
        let request = content_type.into_iter().fold(request, |request, value| request.header("content-type", value));

        let (status, response) = json_of(request).await;

        assert_eq!(status, expected, "{content_type:?}");
        assert_eq!(response.get("errors").is_some(), expected != 200, "{content_type:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn only_get_and_post_are_allowed_and_mutations_only_by_post() {
    let server = Server::start(|_| {}).await;
    for method in ["PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"] {
        let method = method.parse().expect("a method");
        let response = server.client.request(method, server.url("/graphql")).send().await.expect("a response");

        assert_eq!((response.status().as_u16(), header(&response, "allow")), (405, "GET, POST"));
    }
    let by_get = server.get("/graphql?query=mutation%7Ba%7D").send().await.expect("a response");
    assert_eq!((by_get.status().as_u16(), header(&by_get, "allow")), (405, "POST"));
    assert_eq!(server.post("mutation { a }").send().await.expect("a response").status(), 200);
    assert_eq!(server.get("/graphql?query=%7B+ok+%7D").send().await.expect("a response").status(), 200);
    server.stop().await;
}

#[tokio::test]
async fn a_response_has_the_negotiated_media_type_and_its_status() {
    let server = Server::start(|_| {}).await;
    const RESPONSE: &str = "application/graphql-response+json; charset=utf-8";
    const JSON: &str = "application/json; charset=utf-8";
    const EVENTS: &str = "text/event-stream";
    for (accept, query, status, content_type) in [
        ("*/*", "{ ok }", 200, JSON),
        ("application/graphql-response+json", "{ ok }", 200, RESPONSE),
        ("application/json", "{", 200, JSON),
        ("application/graphql-response+json", "{", 400, RESPONSE),
        ("application/graphql-response+json", "{ partial }", 200, RESPONSE),
        ("application/graphql-response+json", "{ nothing }", 503, RESPONSE),
        ("application/json", "{ nothing }", 200, JSON),
        ("text/csv", "{ ok }", 406, JSON),
        (URQL, "{ ok }", 200, RESPONSE),
        (URQL, "{", 400, RESPONSE),
        ("text/event-stream", "{ ok }", 200, EVENTS),
        ("text/event-stream", "{", 200, EVENTS),
        ("text/event-stream", "{ partial }", 200, EVENTS),
        ("text/event-stream", "{ unavailable }", 503, JSON),
    ] {
        let response = server.post(query).header("accept", accept).send().await.expect("a response");

        assert_eq!((response.status().as_u16(), header(&response, "content-type")), (status, content_type), "{accept}");
        assert!(header(&response, "vary").contains("Accept"));
        assert!(header(&response, "server-timing").starts_with("total;dur="), "{accept}");
    }
    let malformed = server.get("/graphql").header("accept", "application/graphql-response+json");
    let malformed = malformed.send().await.expect("a response");
    assert_eq!((malformed.status().as_u16(), header(&malformed, "content-type")), (400, RESPONSE));
    server.stop().await;
}

#[tokio::test]
async fn a_setting_selects_the_statuses_of_the_draft() {
    let server = Server::start(|config| config.draft_status_codes = true).await;
    for (body, status) in [
        ("{\"query\":\"{ ok }\"}", 200),
        ("{\"query\":\"{ partial }\"}", 294),
        ("{\"query\":\"{\"}", 400),
        ("{\"query\":1}", 422),
        ("null", 422),
        ("{", 400),
    ] {
        let request = server.client.post(server.url("/graphql")).header("content-type", "application/json").body(body);

        assert_eq!(request.send().await.expect("a response").status().as_u16(), status, "{body}");
    }
    server.stop().await;
}

#[tokio::test]
async fn host_and_origin_are_checked_on_every_path() {
    let server = Server::start(|_| {}).await;
    for (name, value, status) in [
        ("host", "evil.example", 421),
        ("origin", "http://evil.example", 403),
        ("origin", "null", 403),
        ("sec-fetch-site", "cross-site", 403),
        ("sec-fetch-site", "same-origin", 200),
    ] {
        for request in [server.post("{ ok }"), server.get("/schema.graphql"), server.get("/health/database")] {
            let response = request.header(name, value).send().await.expect("a response");

            assert_eq!(response.status().as_u16(), status, "{name}: {value}");
            assert_eq!(header(&response, "access-control-allow-origin"), "");
            assert_ne!(header(&response, "x-request-id"), "");
        }
    }
    let own = server.post("{ ok }").header("origin", server.url(""));
    assert_eq!(own.send().await.expect("a response").status(), 200);
    server.stop().await;
}

#[tokio::test]
async fn a_panic_affects_only_its_request() {
    let server = Server::start(|_| {}).await;

    let (status, response) = json_of(server.post("{ panic }").header("x-request-id", "p-1")).await;

    assert_eq!(status, 500);
    assert_eq!(response["errors"][0]["extensions"], json!({ "code": "INTERNAL", "id": "p-1" }));
    assert_eq!(response["errors"][0]["message"], "internal error");
    assert_eq!(server.post("{ ok }").send().await.expect("a response").status(), 200);
    server.stop().await;
}

#[tokio::test]
async fn a_body_too_large_is_rejected_by_length_and_while_receiving() {
    let server = Server::start(|config| config.body_bytes = 1_000).await;
    let head = "POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";

    let announced = server.send(format!("{head}Expect: 100-continue\r\nContent-Length: 1001\r\n\r\n")).await;
    let streamed =
        server.send(format!("{head}Transfer-Encoding: chunked\r\n\r\n3e9\r\n{}\r\n", "x".repeat(1_001))).await;
    let sent = server.post(&"x".repeat(5_000_000)).send().await.expect("a response");

    for response in [announced, streamed] {
        assert!(response.starts_with("HTTP/1.1 413"), "{response}");
        assert!(response.contains("LIMIT_EXCEEDED"), "{response}");
    }
    assert_eq!(sent.status(), 413);
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_is_still_sending_receives_the_rejection() {
    let server = Server::start(|_| {}).await;
    let body = "x".repeat(12_000_000);
    for (content_type, origin, expected) in [
        ("application/json", server.url(""), 413),
        ("text/plain", server.url(""), 415),
        ("application/json", "http://evil.example".to_owned(), 403),
    ] {
        // The client writes the whole body before it reads.
        let head = format!(
            "POST /graphql HTTP/1.1\r\nHost: {}\r\nOrigin: {origin}\r\nContent-Type: {content_type}\r\n",
            server.address
        );
        let mut stream = server.connect().await;
        let request = format!("{head}Connection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len());

        stream.write_all(request.as_bytes()).await.expect("room for all");

        let response = read_to_end(&mut stream).await;
        assert!(response.starts_with(&format!("HTTP/1.1 {expected}")), "{response}");
    }
    server.stop().await;
}

#[tokio::test]
async fn headers_too_large_are_rejected() {
    let server = Server::start(|_| {}).await;
    let long = format!("GET /graphql HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(20_000));
    let many = format!("GET /graphql HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "X: x\r\n".repeat(100));

    assert!(server.send(long).await.starts_with("HTTP/1.1 431"));
    assert!(server.send(many).await.starts_with("HTTP/1.1 431"));
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_does_not_complete_a_request_is_disconnected() {
    let server = Server::start(|config| config.header_timeout = SHORT).await;
    let http2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

    for beginning in [&b""[..], b"P", b"PRI * HT", b"POST /graphql HTTP/1.1\r\nHost: local", http2] {
        let response = server.send(beginning).await;

        assert!(!response.starts_with("HTTP/1.1 2"), "{response}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_body_that_does_not_arrive_times_out() {
    let server = Server::start(|config| config.body_timeout = SHORT).await;

    let response = server
        .send(
            "POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{",
        )
        .await;

    assert!(response.starts_with("HTTP/1.1 408") && response.contains("\"TIMEOUT\""), "{response}");
    server.stop().await;
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let server = Server::start(|config| config.idle_timeout = SHORT).await;

    let response = server.send(post("{ ok }") + &post("{ ok }")).await;

    assert_eq!(response.matches("HTTP/1.1 200").count(), 2, "{response}");
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_disconnected() {
    let server = Server::start(|config| {
        config.connections = 1;
        config.write_timeout = SHORT;
    })
    .await;
    let mut stalled = server.connect().await;
    stalled.write_all(post("{ large }").as_bytes()).await.expect("room");

    // Only one connection is allowed, so the response arrives after the other one is closed.
    let response = server.post("{ ok }").send().await.expect("a response");

    assert_eq!(response.status(), 200);
    assert!(read_to_end(&mut stalled).await.len() < LARGE_BYTES);
    server.stop().await;
}

#[tokio::test]
async fn connections_above_the_limit_wait() {
    let server = Server::start(|config| config.connections = 1).await;
    let mut first = server.connect().await;
    first.write_all(post("{ wait }").as_bytes()).await.expect("room");
    server.fake.started.notified().await;
    let mut second = server.connect().await;
    second.write_all(post("{ ok }").as_bytes()).await.expect("room");

    let mut byte = [0];
    assert!(futures_util::poll!(std::pin::pin!(second.read(&mut byte))).is_pending());
    drop(first);

    assert_eq!(second.read(&mut byte).await.expect("a response"), 1);
    drop(second);
    server.stop().await;
}

#[tokio::test]
async fn requests_above_the_limit_are_rejected_at_once() {
    let server = Server::start(|config| config.concurrent_requests = 1).await;
    let waiting = tokio::spawn(server.post("{ wait }").send());
    server.fake.started.notified().await;

    let rejected = server.post("{ ok }").send().await.expect("a response");
    let live = server.get("/health/live").send().await.expect("a response");

    assert_eq!((rejected.status().as_u16(), header(&rejected, "retry-after")), (503, "1"));
    assert_eq!(rejected.json::<Value>().await.expect("JSON")["errors"][0]["extensions"]["code"], "OVERLOADED");
    assert_eq!(live.status(), 200);
    server.fake.release.notify_one();
    assert_eq!(waiting.await.expect("a task").expect("a response").status(), 200);
    assert_eq!(server.post("{ ok }").send().await.expect("a response").status(), 200);
    server.stop().await;
}

#[tokio::test]
async fn an_unavailable_database_is_reported_with_retry_after() {
    let server = Server::start(|_| {}).await;

    for query in ["{ unavailable }", "{ nothing }"] {
        let request = server.post(query).header("accept", "application/graphql-response+json");
        let response = request.send().await.expect("a response");

        assert_eq!((response.status().as_u16(), header(&response, "retry-after")), (503, "1"), "{query}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_cancelled() {
    let server = Server::start(|config| config.request_timeout = SHORT).await;

    let (status, response) = json_of(server.post("{ never }")).await;

    assert_eq!((status, &response["errors"][0]["extensions"]["code"]), (504, &json!("TIMEOUT")));
    server.fake.dropped.notified().await;
    server.stop().await;
}

#[tokio::test]
async fn a_request_that_waits_too_long_for_the_database_is_unavailable() {
    for (waiting, is_without_database) in [(1, false), (0, true)] {
        let server = Server::start(|config| config.request_timeout = SHORT).await;
        server.fake.waiting.store(waiting, Ordering::Relaxed);
        server.fake.is_without_database.store(is_without_database, Ordering::Relaxed);

        let response = server.post("{ never }").send().await.expect("a response");

        assert_eq!((response.status().as_u16(), header(&response, "retry-after")), (503, "1"));
        let body: Value = response.json().await.expect("JSON");
        assert_eq!(body["errors"][0]["extensions"]["code"], "UNAVAILABLE");
        server.stop().await;
    }
}

/// A client that speaks HTTP/2 without negotiation, over one connection.
fn http2_client() -> reqwest::Client {
    reqwest::Client::builder().http2_prior_knowledge().build().expect("a client")
}

#[tokio::test]
async fn a_connection_with_unread_responses_does_not_affect_others() {
    let server = Server::start(|config| config.response_bytes_total = 8 * LARGE_BYTES).await;
    let (reading, other) = (http2_client(), http2_client());
    let post = async |client: &reqwest::Client| {
        let request = client.post(server.url("/graphql")).json(&json!({ "query": "{ large }" }));
        request.send().await.expect("a response")
    };

    let unread = post(&reading).await;
    let more = post(&reading).await;
    let of_other = post(&other).await;
    let live = reading.get(server.url("/health/live")).send().await.expect("a response");

    assert_eq!((unread.status().as_u16(), of_other.status().as_u16(), live.status().as_u16()), (200, 200, 200));
    assert_eq!((more.status().as_u16(), header(&more, "retry-after")), (503, "1"));
    assert!(of_other.bytes().await.is_ok_and(|body| body.len() > LARGE_BYTES));
    drop(unread);
    server.stop().await;
}

#[tokio::test]
async fn a_request_whose_client_disconnects_is_cancelled() {
    let server = Server::start(|_| {}).await;
    let mut leaving = server.connect().await;
    leaving.write_all(post("{ never }").as_bytes()).await.expect("room");
    server.fake.started.notified().await;

    drop(leaving);

    server.fake.dropped.notified().await;
    server.stop().await;
}

#[tokio::test]
async fn responses_from_a_kilobyte_are_compressed_on_request() {
    let server = Server::start(|_| {}).await;
    const EVENTS: &str = "text/event-stream";
    for (accept, encoding, query, coding) in [
        ("*/*", "gzip, br", "{ ok }", ""),
        ("*/*", "gzip", "{ medium }", "gzip"),
        ("*/*", "br", "{ medium }", "br"),
        ("*/*", "identity", "{ medium }", ""),
        (EVENTS, "gzip", "{ ok }", ""),
        (EVENTS, "gzip", "{ medium }", "gzip"),
        (EVENTS, "gzip", "subscription { three }", ""),
        ("*/*", "gzip;q=0", "{ medium }", ""),
        ("*/*", "gzip;q=0, br;q=0.1", "{ medium }", "br"),
        ("*/*", "identity, gzip;q=0.5", "{ medium }", ""),
        ("*/*", "*;q=0, gzip", "{ medium }", "gzip"),
        ("*/*", "*", "{ medium }", "br"),
    ] {
        let request = server.post(query).header("accept", accept).header("accept-encoding", encoding);
        let response = request.send().await.expect("a response");

        assert_eq!(header(&response, "content-encoding"), coding, "{accept} {encoding} {query}");
        let vary: Vec<_> = response.headers().get_all("vary").iter().collect();
        assert!(
            coding.is_empty() || (vary[0] == "Accept" && vary.contains(&&"accept-encoding".parse().expect("a value"))),
            "{vary:?}"
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn a_request_that_accepts_no_coding_of_the_server_is_not_executed() {
    let server = Server::start(|_| {}).await;
    for accept in ["*;q=0", "identity;q=0", "identity;q=0, zstd"] {
        // Executing it would be logged as a panic and return 500.
        for request in [server.post("{ panic }"), server.get("/graphiql"), server.get("/health/live")] {
            let (status, response) = json_of(request.header("accept-encoding", accept)).await;

            assert_eq!(status, 406, "{accept}");
            assert_eq!(response["errors"][0]["extensions"]["code"], "BAD_REQUEST");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn assets_of_graphiql_are_sent_in_the_accepted_coding() {
    let server = Server::start(|_| {}).await;
    for (accept, coding) in [
        (None, ""),
        (Some("gzip, deflate, br, zstd"), "gzip"),
        (Some("br;q=1, gzip;q=0.8"), "gzip"),
        (Some("gzip;q=0"), ""),
        (Some("identity, gzip;q=0"), ""),
        (Some("*;q=0.5, gzip;q=0"), ""),
        (Some("br"), ""),
    ] {
        let request = server.get("/graphiql");
        let request = accept.into_iter().fold(request, |request, accept| request.header("accept-encoding", accept));

        let response = request.send().await.expect("a response");

        assert_eq!(header(&response, "content-encoding"), coding, "{accept:?}");
        assert_eq!(header(&response, "vary"), "Accept, Accept-Encoding");
        let bytes = response.bytes().await.expect("a body");
        assert_eq!(bytes.starts_with(b"<!"), coding.is_empty(), "{accept:?}");
    }
    let excluded = server.get("/graphiql").header("accept-encoding", "br, identity;q=0").send().await;
    assert_eq!(excluded.expect("a response").status(), 406);
    server.stop().await;
}

/// A body in gzip.
fn gzip(body: &str) -> Vec<u8> {
    let mut coded = Vec::new();
    let mut encoder = flate2::read::GzEncoder::new(body.as_bytes(), flate2::Compression::default());
    std::io::Read::read_to_end(&mut encoder, &mut coded).expect("a coded body");
    coded
}

#[tokio::test]
async fn bodies_with_a_content_coding_are_decoded_within_the_limit() {
    let server = Server::start(|config| config.body_bytes = 100_000).await;
    let body = gzip("{\"query\":\"{ ok }\"}");
    let bomb = gzip(&format!("{{\"query\":\"{}\"}}", " ".repeat(100_000)));
    let send = |body: &[u8], coding: &'static str| {
        let request = server.client.post(server.url("/graphql")).header("content-type", "application/json");
        request.header("content-encoding", coding).body(body.to_vec()).send()
    };
    for (body, coding, expected) in [
        (&body[..], "gzip", 200),
        (b"{\"query\":\"{ ok }\"}", "identity", 200),
        (&bomb, "gzip", 413),
        (b"{\"query\":\"{ ok }\"}", "gzip", 400),
        (&body, "br", 400),
        (&body, "deflate", 415),
        (&body, "gzip, gzip", 415),
    ] {
        let response = send(body, coding).await.expect("a response");

        assert_eq!(response.status().as_u16(), expected, "{coding}");
        let accepted = if expected == 415 { "gzip, br, zstd" } else { "" };
        assert_eq!(header(&response, "accept-encoding"), accepted, "{coding}");
    }
    server.stop().await;
}

#[tokio::test]
async fn http_2_is_supported_with_prior_knowledge() {
    let server = Server::start(|_| {}).await;
    let client = reqwest::Client::builder().http2_prior_knowledge().build().expect("a client");
    let ask = |query: &str| client.post(server.url("/graphql")).json(&json!({ "query": query })).send();

    let (first, second) = tokio::join!(ask("{ ok }"), ask("{ medium }"));

    for response in [first, second] {
        let response = response.expect("a response");
        assert_eq!((response.status().as_u16(), response.version()), (200, reqwest::Version::HTTP_2));
    }
    let evil = client.get(server.url("/schema.graphql")).header("origin", "http://evil.example").send().await;
    assert_eq!(evil.expect("a response").status(), 403);
    drop(client);
    server.stop().await;
}

#[tokio::test]
async fn running_requests_complete_before_the_server_stops() {
    let mut server = Server::start(|_| {}).await;
    let mut stream = server.connect().await;
    stream.write_all((post("{ wait }") + &post("{ ok }")).as_bytes()).await.expect("room");
    server.fake.started.notified().await;

    server.begin_to_stop();
    refuses_connections(server.address).await;
    assert!(!server.task.is_finished());
    server.fake.release.notify_one();

    let response = read_to_end(&mut stream).await;
    // The pipelined request was not started, so the client may send it again on another connection.
    assert_eq!(response.matches("HTTP/1.1 200").count(), 1, "{response}");
    assert!(response.contains("{\"data\":{}}") && response.to_lowercase().contains("connection: close"), "{response}");
    server.task.await.expect("it ends by itself");
}

/// Waits until the server no longer listens.
async fn refuses_connections(address: SocketAddr) {
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn during_the_shutdown_delay_the_server_accepts_requests_but_is_not_ready() {
    let mut server = Server::start(|config| config.shutdown_delay = Config::default().shutdown_grace).await;
    assert_eq!(server.get("/health/ready").send().await.expect("a response").status(), 200);

    server.begin_to_stop();
    let mut ready = server.get("/health/ready").send().await.expect("a response");
    while ready.status() == 200 {
        ready = server.get("/health/ready").send().await.expect("a response");
    }
    let late = server.post("{ ok }").send().await.expect("a response");

    assert_eq!((ready.status().as_u16(), header(&ready, "connection")), (503, "close"));
    assert_eq!((late.status().as_u16(), header(&late, "connection")), (200, "close"));
    server.task.abort();
}

#[tokio::test]
async fn requests_are_aborted_after_the_grace_period() {
    let mut server = Server::start(|config| config.shutdown_grace = SHORT).await;
    let mut stream = server.connect().await;
    stream.write_all(post("{ never }").as_bytes()).await.expect("room");
    server.fake.started.notified().await;

    server.begin_to_stop();

    server.task.await.expect("it ends by itself");
    server.fake.dropped.notified().await;
    assert_eq!(read_to_end(&mut stream).await, "");
}

#[tokio::test]
async fn health_endpoints_report_the_state() {
    for (in_use, is_without_database, status, expected, ready) in
        [(6, false, 200, "healthy", 200), (7, false, 200, "degraded", 200), (0, true, 503, "unavailable", 503)]
    {
        let server = Server::start(|_| {}).await;
        server.fake.in_use.store(in_use, Ordering::Relaxed);
        server.fake.waiting.store(1, Ordering::Relaxed);
        server.fake.is_without_database.store(is_without_database, Ordering::Relaxed);

        let (database_status, database) = json_of(server.get("/health/database")).await;

        assert_eq!((database_status, &database["status"]), (status, &json!(expected)));
        assert_eq!(database["in_use"], in_use);
        assert_eq!(database["idle"], 9 - in_use);
        assert_eq!((&database["size"], &database["waiting"], &database["max"]), (&json!(9), &json!(1), &json!(10)));
        assert_eq!(database["utilization"], f64::from(in_use) / 10.0);
        assert_eq!(json_of(server.get("/health/ready")).await.0, ready);
        assert_eq!(json_of(server.get("/health/live")).await.0, 200);
        server.stop().await;
    }
}

#[tokio::test]
async fn the_schema_is_served_and_unknown_paths_are_not_found() {
    let server = Server::start(|_| {}).await;

    let schema = server.get("/schema.graphql").send().await.expect("a response");
    let (status, nothing) = json_of(server.get("/nothing")).await;

    assert_eq!(schema.text().await.expect("a text"), "type Query { ok: Boolean }");
    assert_eq!((status, &nothing["errors"][0]["extensions"]["code"]), (404, &json!("NOT_FOUND")));
    server.stop().await;
}

/// The log of all tests, as JSON.
#[derive(Clone)]
struct Lines;

static LINES: Mutex<Vec<u8>> = Mutex::new(Vec::new());

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        std::io::Write::write(&mut *LINES.lock().expect("no panic"), bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Returns the log lines of the requests with an id.
fn lines_of(id: &str) -> Vec<Value> {
    let bytes = LINES.lock().expect("no panic");
    let lines = std::str::from_utf8(&bytes).expect("text").lines();
    let lines = lines.map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    lines.filter(|line| line["request_id"] == id).collect()
}

/// Records the log lines of this process.
fn record_log() {
    static RECORDED: Once = Once::new();
    RECORDED.call_once(|| {
        // A thread-local subscriber would miss events: other threads cache that their call sites are disabled.
        let subscriber = tracing_subscriber::fmt().json().flatten_event(true).with_writer(|| Lines).finish();
        tracing::subscriber::set_global_default(subscriber).expect("the only one in this process");
    });
}

#[tokio::test]
async fn every_request_writes_one_log_line() {
    record_log();
    let server = Server::start(|_| {}).await;
    let named = json!({ "query": "{ ok }", "operationName": "n".repeat(200) });

    for request in [
        server.client.post(server.url("/graphql")).json(&named),
        server.post("{"),
        server.post("{ ok }").header("accept", "text/csv"),
        server.post("{ ok }").header("host", "evil.example"),
        server.post("{ ok }").header("accept", "text/event-stream"),
        server.post("{").header("accept", "text/event-stream"),
        server.post("{ unavailable }").header("accept", "text/event-stream"),
        server.post("{ ok }").header("accept", "multipart/mixed;subscriptionSpec=1.0"),
    ] {
        request.header("x-request-id", "one-line").send().await.expect("a response");
    }
    for accept in ["*/*", "text/event-stream"] {
        let mut leaving = server.connect().await;
        let never = post("{ never }").replace("Host", &format!("X-Request-Id: one-line\r\nAccept: {accept}\r\nHost"));
        leaving.write_all(never.as_bytes()).await.expect("room");
        server.fake.started.notified().await;
        drop(leaving);
        server.fake.dropped.notified().await;
    }

    let lines = lines_of("one-line");
    let logged: Vec<_> = lines.iter().map(|line| (line["status"].as_u64(), line["code"].as_str())).collect();
    assert_eq!(
        logged,
        [
            (Some(200), Some("")),
            (Some(200), Some("GRAPHQL_PARSE_FAILED")),
            (Some(406), Some("BAD_REQUEST")),
            (Some(421), Some("BAD_REQUEST")),
            (Some(200), Some("")),
            (Some(200), Some("GRAPHQL_PARSE_FAILED")),
            (Some(503), Some("UNAVAILABLE")),
            (Some(200), Some("")),
            (None, None),
            (None, None),
        ]
    );
    let messages: Vec<_> = lines.iter().map(|line| line["message"].as_str().expect("text")).collect();
    assert_eq!(messages, [["request"; 8].as_slice(), &["client disconnected"; 2]].concat());
    let first = &lines[0];
    assert_eq!(first["operation"], "n".repeat(100));
    assert_eq!((&first["statements"], &first["rounds"], &first["rows"]), (&json!(3), &json!(2), &json!(7)));
    assert!(first["db_ms"].is_number() && first["total_ms"].is_number() && first["cache_hit"] == false, "{first}");
    server.stop().await;
}
