//! Subscription protocols over real sockets, with a fake engine.
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{
        self, Message,
        client::IntoClientRequest,
        http::HeaderValue,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

use super::{Server, URQL, header, lines_of, post, read_to_end, record_log};

type Socket = WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>;

async fn try_open(server: &Server, headers: &[(&'static str, &str)]) -> Result<Socket, tungstenite::Error> {
    let mut request = format!("ws://{}/graphql/ws", server.address).into_client_request().expect("a request");
    for (name, value) in headers {
        request.headers_mut().insert(*name, HeaderValue::from_str(value).expect("a value"));
    }
    connect_async(request).await.map(|(socket, _)| socket)
}

const CURRENT: &str = "graphql-transport-ws";
const LEGACY: &str = "graphql-ws";

async fn open(server: &Server, protocol: &str) -> Socket {
    try_open(server, &[("sec-websocket-protocol", protocol)]).await.expect("a socket")
}

/// Opens and initialises a socket.
async fn initialised(server: &Server, protocol: &str) -> Socket {
    let mut socket = open(server, protocol).await;
    send(&mut socket, json!({ "type": "connection_init", "payload": { "anything": 1 } })).await;
    assert_eq!(receive(&mut socket).await, json!({ "type": "connection_ack" }));
    socket
}

async fn send(socket: &mut Socket, message: Value) {
    socket.send(Message::text(message.to_string())).await.expect("a server that listens");
}

async fn subscribe(socket: &mut Socket, id: &str, query: &str) {
    send(socket, json!({ "type": "subscribe", "id": id, "payload": { "query": query } })).await;
}

async fn receive(socket: &mut Socket) -> Value {
    loop {
        match socket.next().await.expect("a message").expect("a message") {
            Message::Text(text) => return serde_json::from_str(&text).expect("JSON"),
            Message::Ping(_) | Message::Pong(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// Returns the code with which the server closes the socket.
async fn close_code(socket: &mut Socket) -> u16 {
    loop {
        match socket.next().await {
            Some(Ok(Message::Close(Some(frame)))) => return frame.code.into(),
            Some(Ok(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_socket_runs_several_operations_concurrently() {
    let server = Server::start(|_| {}).await;
    let mut socket = initialised(&server, CURRENT).await;
    subscribe(&mut socket, "never", "subscription { never }").await;
    server.fake.started.notified().await;
    subscribe(&mut socket, "a", "subscription { three }").await;
    for n in 1..=3 {
        assert_eq!(receive(&mut socket).await, json!({ "id": "a", "type": "next", "payload": { "data": { "n": n } } }));
    }
    assert_eq!(receive(&mut socket).await, json!({ "id": "a", "type": "complete" }));

    // The id is free again; queries and mutations have one response.
    subscribe(&mut socket, "a", "{ ok }").await;
    assert_eq!(receive(&mut socket).await["type"], "next");
    assert_eq!(receive(&mut socket).await, json!({ "id": "a", "type": "complete" }));

    subscribe(&mut socket, "b", "nonsense").await;
    let rejected = receive(&mut socket).await;
    assert_eq!((&rejected["id"], &rejected["type"]), (&json!("b"), &json!("error")));
    assert_eq!(rejected["payload"][0]["extensions"]["code"], "GRAPHQL_PARSE_FAILED");

    subscribe(&mut socket, "c", "subscription { lost }").await;
    assert_eq!(receive(&mut socket).await["type"], "next");
    let lost = receive(&mut socket).await;
    assert_eq!((&lost["type"], &lost["payload"][0]["extensions"]["code"]), (&json!("error"), &json!("EVENTS_LOST")));

    send(&mut socket, json!({ "type": "ping", "payload": { "n": 1 } })).await;
    assert_eq!(receive(&mut socket).await, json!({ "type": "pong", "payload": { "n": 1 } }));

    send(&mut socket, json!({ "type": "complete", "id": "never" })).await;
    server.fake.dropped.notified().await;
    drop(socket);
    server.stop().await;
}

#[tokio::test]
async fn a_protocol_violation_closes_the_socket_with_its_code() {
    let server = Server::start(|config| config.header_timeout = std::time::Duration::from_millis(300)).await;
    let subscription = json!({ "type": "subscribe", "id": "a", "payload": { "query": "subscription { never }" } });
    let init = json!({ "type": "connection_init" });
    let cases = [
        (vec![], 4408),
        (vec![subscription.clone()], 4401),
        (vec![init.clone(), init.clone()], 4429),
        (vec![init.clone(), subscription.clone(), subscription.clone()], 4409),
        (vec![init.clone(), json!({ "type": "unknown" })], 4400),
        (vec![init.clone(), json!({ "type": "subscribe", "payload": {} })], 4400),
        (vec![init.clone(), json!({ "type": "subscribe", "id": "a", "payload": { "query": 1 } })], 4400),
        (vec![json!([])], 4400),
    ];
    for (messages, code) in cases {
        let mut socket = open(&server, CURRENT).await;
        for message in &messages {
            send(&mut socket, message.clone()).await;
        }
        assert_eq!(close_code(&mut socket).await, code, "{messages:?}");
    }
    let mut socket = initialised(&server, CURRENT).await;
    socket.send(Message::binary(vec![1])).await.expect("room");
    assert_eq!(close_code(&mut socket).await, 4400);
    server.stop().await;
}

#[tokio::test]
async fn sockets_have_limits() {
    let server = Server::start(|config| {
        config.subscription_connections = 1;
        config.operations_per_socket = 1;
        config.body_bytes = 10_000;
    })
    .await;
    let mut socket = initialised(&server, CURRENT).await;
    subscribe(&mut socket, "a", "subscription { never }").await;
    server.fake.started.notified().await;
    subscribe(&mut socket, "b", "{ ok }").await;
    let rejected = receive(&mut socket).await;
    assert_eq!(rejected["payload"][0]["extensions"]["code"], "LIMIT_EXCEEDED", "{rejected}");

    // Another WebSocket has no free slot for a subscription. Queries need none.
    let mut other = initialised(&server, CURRENT).await;
    subscribe(&mut other, "a", "subscription { never }").await;
    let rejected = receive(&mut other).await;
    assert_eq!(rejected["payload"][0]["extensions"]["code"], "OVERLOADED", "{rejected}");
    subscribe(&mut other, "a", "{ ok }").await;
    assert_eq!(receive(&mut other).await["type"], "next");
    let mut legacy = initialised(&server, LEGACY).await;
    legacy_start(&mut legacy, "a", "subscription { three }").await;
    let rejected = receive(&mut legacy).await;
    assert_eq!(rejected["payload"]["errors"][0]["extensions"]["code"], "OVERLOADED", "{rejected}");

    let status = |opened: Result<Socket, tungstenite::Error>| match opened {
        Err(tungstenite::Error::Http(response)) => response.status().as_u16(),
        other => panic!("{other:?}"),
    };
    assert_eq!(status(try_open(&server, &[]).await), 400);
    assert_eq!(status(try_open(&server, &[("sec-websocket-protocol", "mqtt")]).await), 400);
    for protocol in [CURRENT, LEGACY] {
        let headers = [("sec-websocket-protocol", protocol), ("origin", "https://elsewhere.example")];
        assert_eq!(status(try_open(&server, &headers).await), 403, "{protocol}");
    }
    assert_eq!(server.get("/graphql/ws").send().await.expect("a response").status(), 426);

    // A message that is too large closes the socket and ends its operations.
    let _ = socket.send(Message::text("x".repeat(20_000))).await;
    server.fake.dropped.notified().await;
    // Its slot is free.
    subscribe(&mut other, "b", "subscription { three }").await;
    while receive(&mut other).await["id"] != "b" {}
    drop((other, legacy));
    server.stop().await;
}

#[tokio::test]
async fn shutdown_closes_sockets_with_1001() {
    for protocol in [CURRENT, LEGACY] {
        let mut server = Server::start(|_| {}).await;
        let mut socket = initialised(&server, protocol).await;
        server.begin_to_stop();
        assert_eq!(close_code(&mut socket).await, 1001, "{protocol}");
        drop(socket);
        server.task.await.expect("it ends by itself");
    }
}

#[tokio::test]
async fn shutdown_ends_the_subscriptions_of_a_socket_and_completes_its_other_operations() {
    for protocol in [CURRENT, LEGACY] {
        let mut server = Server::start(|_| {}).await;
        let mut socket = initialised(&server, protocol).await;
        let (start, next) = if protocol == CURRENT { ("subscribe", "next") } else { ("start", "data") };
        for (id, query) in [("s", "subscription { never }"), ("q", "{ wait }")] {
            send(&mut socket, json!({ "type": start, "id": id, "payload": { "query": query } })).await;
            server.fake.started.notified().await;
        }

        server.begin_to_stop();
        if protocol == CURRENT {
            server.fake.dropped.notified().await;
        }
        super::refuses_connections(server.address).await;
        assert!(!server.task.is_finished());
        server.fake.release.notify_one();

        let response = json!({ "type": next, "id": "q", "payload": { "data": {} } });
        assert_eq!(receive(&mut socket).await, response, "{protocol}");
        assert_eq!(receive(&mut socket).await, json!({ "type": "complete", "id": "q" }), "{protocol}");
        assert_eq!(close_code(&mut socket).await, 1001, "{protocol}");
        drop(socket);
        server.task.await.expect("it ends by itself");
    }
}

#[tokio::test]
async fn operations_of_a_socket_have_the_idempotency_key_and_the_report_of_their_client() {
    let server = Server::start(|_| {}).await;
    for (protocol, start) in [(CURRENT, "subscribe"), (LEGACY, "start")] {
        let headers = [("sec-websocket-protocol", protocol), ("x-gatherum-stats", "1")];
        let mut socket = try_open(&server, &headers).await.expect("a socket");
        send(&mut socket, json!({ "type": "connection_init" })).await;
        assert_eq!(receive(&mut socket).await["type"], "connection_ack");
        let extensions = json!({ "idempotencyKey": "k" });
        for (id, query, expected) in
            [("m", "mutation { a }", json!({ "key": "k" })), ("q", "{ ok }", json!({ "reported": true }))]
        {
            let payload = json!({ "query": query, "extensions": extensions });
            send(&mut socket, json!({ "type": start, "id": id, "payload": payload })).await;

            assert_eq!(receive(&mut socket).await["payload"]["data"], expected, "{protocol}");
            assert_eq!(receive(&mut socket).await["type"], "complete");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn the_order_of_the_client_selects_the_protocol() {
    let server = Server::start(|_| {}).await;
    for (offered, start, rejected) in [
        ("graphql-transport-ws, graphql-ws", "subscribe", "error"),
        ("graphql-ws, graphql-transport-ws", "start", "data"),
        ("unknown ,graphql-transport-ws,graphql-ws", "subscribe", "error"),
        ("graphql-ws", "start", "data"),
    ] {
        let mut socket = initialised(&server, offered).await;
        send(&mut socket, json!({ "type": start, "id": "a", "payload": { "query": "nonsense" } })).await;
        assert_eq!(receive(&mut socket).await["type"], rejected, "{offered}");
    }
    let unknown = try_open(&server, &[("sec-websocket-protocol", "mqtt, graphql")]).await;
    assert!(unknown.is_err(), "neither protocol is offered");
    server.stop().await;
}

#[tokio::test]
async fn the_close_frame_of_a_client_is_returned() {
    let server = Server::start(|_| {}).await;
    for protocol in [CURRENT, LEGACY] {
        let mut socket = initialised(&server, protocol).await;
        let frame = CloseFrame { code: CloseCode::Normal, reason: "Normal Closure".into() };
        socket.close(Some(frame)).await.expect("an open socket");

        assert_eq!(close_code(&mut socket).await, 1000, "{protocol}");
        assert!(socket.next().await.is_none(), "{protocol}");
    }
    server.stop().await;
}

/// Starts an operation with the legacy protocol.
async fn legacy_start(socket: &mut Socket, id: &str, query: &str) {
    send(socket, json!({ "type": "start", "id": id, "payload": { "query": query, "variables": {} } })).await;
}

#[tokio::test]
async fn the_legacy_protocol_runs_several_operations_concurrently() {
    let server = Server::start(|_| {}).await;
    let mut socket = initialised(&server, LEGACY).await;
    let complete = |id: &str| json!({ "type": "complete", "id": id });
    legacy_start(&mut socket, "never", "subscription { never }").await;
    server.fake.started.notified().await;
    legacy_start(&mut socket, "a", "subscription { three }").await;
    for n in 1..=3 {
        let expected = json!({ "type": "data", "id": "a", "payload": { "data": { "n": n } } });
        assert_eq!(receive(&mut socket).await, expected);
    }
    assert_eq!(receive(&mut socket).await, complete("a"));

    legacy_start(&mut socket, "b", "{ ok }").await;
    assert_eq!(receive(&mut socket).await["payload"], json!({ "data": {} }));
    assert_eq!(receive(&mut socket).await, complete("b"));

    // The protocol reports errors as the last `data` of an operation.
    for (query, code) in [("nonsense", "GRAPHQL_PARSE_FAILED"), ("subscription { lost }", "EVENTS_LOST")] {
        legacy_start(&mut socket, "c", query).await;
        let mut message = receive(&mut socket).await;
        if code == "EVENTS_LOST" {
            message = receive(&mut socket).await;
        }
        assert_eq!(message["payload"]["errors"][0]["extensions"]["code"], code);
        assert_eq!(receive(&mut socket).await, complete("c"));
    }

    send(&mut socket, json!({ "type": "stop", "id": "never" })).await;
    server.fake.dropped.notified().await;
    assert_eq!(receive(&mut socket).await, complete("never"));
    send(&mut socket, json!({ "type": "connection_terminate" })).await;
    assert_eq!(close_code(&mut socket).await, 1000);
    server.stop().await;
}

#[tokio::test]
async fn the_legacy_protocol_authenticates_and_limits_like_the_current_one() {
    let server = Server::start(|config| {
        config.header_timeout = std::time::Duration::from_millis(300);
        config.operations_per_socket = 1;
        config.body_bytes = 10_000;
    })
    .await;
    let mut silent = open(&server, LEGACY).await;
    assert_eq!(close_code(&mut silent).await, 4408);

    let mut rejected = open(&server, LEGACY).await;
    let payload = json!({ "Authorization": "Bearer wrong" });
    send(&mut rejected, json!({ "type": "connection_init", "payload": payload })).await;
    let error = receive(&mut rejected).await;
    assert_eq!((&error["type"], &error["payload"]["message"]), (&json!("connection_error"), &json!("Forbidden")));
    assert_eq!(close_code(&mut rejected).await, 4403);

    let mut premature = open(&server, LEGACY).await;
    legacy_start(&mut premature, "a", "{ ok }").await;
    assert_eq!(close_code(&mut premature).await, 1011);

    let mut socket = initialised(&server, LEGACY).await;
    legacy_start(&mut socket, "a", "subscription { never }").await;
    server.fake.started.notified().await;
    legacy_start(&mut socket, "b", "{ ok }").await;
    let limited = receive(&mut socket).await;
    assert_eq!(limited["payload"]["errors"][0]["extensions"]["code"], "LIMIT_EXCEEDED", "{limited}");
    assert_eq!(receive(&mut socket).await, json!({ "type": "complete", "id": "b" }));
    // A message that is too large closes the socket and ends its operations.
    let _ = socket.send(Message::text("x".repeat(20_000))).await;
    server.fake.dropped.notified().await;
    server.stop().await;
}

/// Posts a query that accepts multipart responses, as Apollo Client does.
async fn post_multipart(server: &Server, query: &str) -> reqwest::Response {
    let accept = "multipart/mixed;boundary=graphql;subscriptionSpec=1.0,application/json";
    server.post(query).header("accept", accept).send().await.expect("a response")
}

/// Returns the JSON of the parts of a multipart body; the second value is whether the body is complete.
fn parts(body: &str) -> (Vec<Value>, bool) {
    let (parts, is_complete) = match body.strip_suffix("\r\n--graphql--\r\n") {
        Some(parts) => (parts, true),
        None => (body.strip_suffix("\r\n--graphql").expect("a delimiter"), false),
    };
    let parts = parts.split("\r\n--graphql").filter(|part| !part.is_empty()).map(|part| {
        let json = part.strip_prefix("\r\nContent-Type: application/json\r\n\r\n").expect("headers");
        serde_json::from_str(json).expect("JSON")
    });
    (parts.collect(), is_complete)
}

#[tokio::test]
async fn a_subscription_is_streamed_as_parts() {
    let server = Server::start(|_| {}).await;
    let response = post_multipart(&server, "subscription { three }").await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "multipart/mixed;boundary=graphql;subscriptionSpec=1.0");

    let (mut received, is_complete) = parts(&response.text().await.expect("a body"));

    received.retain(|part| *part != json!({}));
    let expected = [1, 2, 3].map(|n| json!({ "payload": { "data": { "n": n } } }));
    assert_eq!((received.as_slice(), is_complete), (&expected[..], true));

    let lost = post_multipart(&server, "subscription { lost }").await.text().await.expect("a body");
    let (received, is_complete) = parts(&lost);
    let code = &received.last().expect("a part")["payload"]["errors"][0]["extensions"]["code"];
    assert_eq!((code, is_complete), (&json!("EVENTS_LOST"), true));
    server.stop().await;
}

#[tokio::test]
async fn other_operations_that_accept_parts_receive_json() {
    let server = Server::start(|config| config.subscription_connections = 1).await;
    for query in ["{ ok }", "nonsense"] {
        let response = post_multipart(&server, query).await;
        assert_eq!(
            (response.status().as_u16(), super::header(&response, "content-type")),
            (200, "application/json; charset=utf-8")
        );
        let body: Value = response.json().await.expect("JSON");
        assert_eq!(body.get("errors").is_some(), query == "nonsense");
    }

    // A part arrives when it is sent: the first heartbeat has its delimiter.
    let mut running = post_multipart(&server, "subscription { never }").await;
    server.fake.started.notified().await;
    let mut start = String::new();
    while parts_so_far(&start) == 0 {
        start.push_str(std::str::from_utf8(&running.chunk().await.expect("a chunk").expect("a chunk")).expect("text"));
    }
    assert_eq!(parts(&start), (vec![json!({})], false));
    assert_eq!(post_multipart(&server, "subscription { three }").await.status(), 503);
    drop(running);
    server.fake.dropped.notified().await;
    server.stop().await;
}

/// Returns the number of complete parts at the start of a body.
fn parts_so_far(body: &str) -> usize {
    body.matches("--graphql").count().saturating_sub(1)
}

#[tokio::test]
async fn shutdown_ends_parts_with_an_error() {
    let mut server = Server::start(|_| {}).await;
    let response = post_multipart(&server, "subscription { never }").await;
    server.fake.started.notified().await;

    server.begin_to_stop();

    let (received, is_complete) = parts(&response.text().await.expect("a body"));
    let last = received.last().expect("a part");
    assert_eq!((&last["payload"], is_complete), (&Value::Null, true));
    assert_eq!(last["errors"][0]["extensions"]["code"], "UNAVAILABLE");
}

#[tokio::test]
async fn an_event_stream_has_next_and_complete_events() {
    let server = Server::start(|_| {}).await;
    let ask = async |query: &str| {
        let response = server.post(query).header("accept", "text/event-stream").send().await.expect("a response");
        assert_eq!(response.status(), 200, "{query}");
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        response.text().await.expect("a text")
    };
    let event = |n: u32| format!("event: next\ndata: {{\"data\":{{\"n\":{n}}}}}\n\n");
    let complete = "event: complete\ndata:\n\n";
    assert_eq!(
        ask("subscription { three }").await,
        [&event(1), &event(2), &event(3), complete].map(String::from).concat()
    );
    assert_eq!(ask("{ ok }").await, format!("event: next\ndata: {{\"data\":{{}}}}\n\n{complete}"));
    let rejected = ask("nonsense").await;
    assert!(rejected.starts_with("event: next\ndata: {\"errors\":") && rejected.ends_with(complete), "{rejected}");

    // A client that prefers JSON receives it, and an invalid request is rejected before the stream starts.
    let accept = "application/json, text/event-stream;q=0.5";
    let response = server.post("{ ok }").header("accept", accept).send().await.expect("a response");
    assert!(response.headers()["content-type"].to_str().expect("a text").starts_with("application/json"));
    let request = server.client.post(server.url("/graphql")).header("accept", "text/event-stream");
    let response = request.header("content-type", "application/json").body("{}").send().await.expect("a response");
    assert_eq!(response.status(), 400);
    server.stop().await;
}

#[tokio::test]
async fn an_event_stream_ends_on_disconnect_and_on_shutdown() {
    let mut server = Server::start(|config| config.idle_timeout = std::time::Duration::from_millis(100)).await;
    let head = post("subscription { never }").replace("Host:", "Accept: text/event-stream\r\nHost:");
    let mut left = server.connect().await;
    tokio::io::AsyncWriteExt::write_all(&mut left, head.as_bytes()).await.expect("room");
    server.fake.started.notified().await;
    drop(left);
    server.fake.dropped.notified().await;

    let mut stays = server.connect().await;
    tokio::io::AsyncWriteExt::write_all(&mut stays, head.as_bytes()).await.expect("room");
    server.fake.started.notified().await;
    // A connection is not idle while a response is being streamed.
    let idle = tokio::time::timeout(std::time::Duration::from_millis(500), server.fake.dropped.notified()).await;
    assert!(idle.is_err());
    server.begin_to_stop();
    let events = read_to_end(&mut stays).await;
    assert!(events.contains("text/event-stream") && !events.contains("complete"), "{events}");
}

#[tokio::test]
async fn shutdown_completes_a_mutation_whose_client_reads_events() {
    let mut server = Server::start(|_| {}).await;
    let head = post("{ wait }").replace("Host:", "Accept: text/event-stream\r\nHost:");
    let mut client = server.connect().await;
    tokio::io::AsyncWriteExt::write_all(&mut client, head.as_bytes()).await.expect("room");
    server.fake.started.notified().await;

    server.begin_to_stop();
    super::refuses_connections(server.address).await;
    server.fake.release.notify_one();

    let events = read_to_end(&mut client).await;
    assert!(events.contains("event: next\ndata: {\"data\":{}}\n\nevent: complete"), "{events}");
    server.task.await.expect("it ends by itself");
}

#[tokio::test]
async fn a_subscription_that_starts_during_the_shutdown_is_rejected() {
    let mut server = Server::start(|config| config.shutdown_delay = config.shutdown_grace).await;
    server.begin_to_stop();
    while server.get("/health/ready").send().await.expect("a response").status() == 200 {}

    let request = server.post("subscription { three }").header("accept", "text/event-stream");
    let response = request.send().await.expect("a response");

    assert_eq!((response.status().as_u16(), header(&response, "retry-after")), (503, "1"));
    assert_eq!(server.post("{ ok }").send().await.expect("a response").status(), 200);
    server.task.abort();
}

#[tokio::test]
async fn a_query_or_mutation_of_any_client_has_its_idempotency_key_and_needs_no_slot() {
    let server = Server::start(|config| config.subscription_connections = 0).await;
    let parts = "multipart/mixed;subscriptionSpec=1.0, application/json";
    for accept in ["application/json", URQL, "text/event-stream", parts] {
        let request = server.post("mutation { a }").header("accept", accept).header("idempotency-key", "k-1");
        let response = request.send().await.expect("a response");

        assert_eq!(response.status(), 200, "{accept}");
        assert!(header(&response, "server-timing").ends_with("desc=\"3 statements, 2 rounds\""), "{accept}");
        let body = response.text().await.expect("a body");
        assert!(body.contains("{\"data\":{\"key\":\"k-1\"}}"), "{accept} {body}");
        assert_eq!(body.contains("event: "), accept == "text/event-stream", "{body}");
    }
    for accept in [URQL, "text/event-stream", parts] {
        let response = server.post("subscription { three }").header("accept", accept).send().await.expect("a response");
        assert_eq!(response.status(), 503, "{accept}");
    }
    server.stop().await;
}

#[tokio::test]
async fn an_event_source_subscribes_by_get() {
    let server = Server::start(|_| {}).await;
    let get = |query: &str| {
        let query = query.replace(' ', "%20").replace('{', "%7B").replace('}', "%7D");
        server.get(&format!("/graphql?query={query}")).header("accept", "text/event-stream")
    };

    let response = get("subscription { three }").send().await.expect("a response");
    assert_eq!((response.status().as_u16(), header(&response, "content-type")), (200, "text/event-stream"));
    assert_eq!(header(&response, "vary"), "Accept");
    assert_eq!(header(&response, "cache-control"), "no-store");
    assert!(header(&response, "server-timing").starts_with("total;dur="));
    let events = response.text().await.expect("a text");
    assert_eq!((events.matches("event: next").count(), events.matches("event: complete").count()), (3, 1), "{events}");

    let query = get("{ ok }").send().await.expect("a response").text().await.expect("a text");
    assert_eq!(query, "event: next\ndata: {\"data\":{}}\n\nevent: complete\ndata:\n\n");
    let mutation = get("mutation { a }").send().await.expect("a response");
    assert_eq!((mutation.status().as_u16(), header(&mutation, "allow")), (405, "POST"));
    // Pages of other sites cannot subscribe.
    for (name, value) in [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")] {
        let response = get("subscription { three }").header(name, value).send().await.expect("a response");
        assert_eq!(response.status(), 403, "{name}");
    }
    server.stop().await;
}

#[tokio::test]
async fn responses_to_subscriptions_count_towards_the_memory_budget() {
    let server = Server::start(|config| config.response_bytes_total = 1 << 20).await;
    let mut unread = server.connect().await;
    let large = post("{ large }");
    tokio::io::AsyncWriteExt::write_all(&mut unread, large.as_bytes()).await.expect("room");
    tokio::io::AsyncReadExt::read_exact(&mut unread, &mut [0; 12]).await.expect("the start of the response");

    let mut socket = initialised(&server, CURRENT).await;
    subscribe(&mut socket, "a", "subscription { large }").await;
    let rejected = receive(&mut socket).await;
    assert_eq!(
        (&rejected["type"], &rejected["payload"][0]["extensions"]["code"]),
        (&json!("error"), &json!("OVERLOADED"))
    );
    let request = server.post("subscription { large }").header("accept", "text/event-stream");
    let events = request.send().await.expect("a response").text().await.expect("a text");
    assert!(events.contains("OVERLOADED") && events.ends_with("event: complete\ndata:\n\n"), "{events}");

    drop((unread, socket));
    server.stop().await;
}

#[tokio::test]
async fn every_operation_of_a_socket_writes_one_log_line() {
    record_log();
    let server = Server::start(|_| {}).await;
    for (protocol, start) in [(CURRENT, "subscribe"), (LEGACY, "start")] {
        let headers = [("sec-websocket-protocol", protocol), ("x-request-id", protocol)];
        let mut socket = try_open(&server, &headers).await.expect("a socket");
        send(&mut socket, json!({ "type": "connection_init" })).await;
        for query in ["{ ok }", "nonsense", "subscription { lost }"] {
            send(&mut socket, json!({ "type": start, "id": query, "payload": { "query": query } })).await;
            // The last message is `error` or `complete`.
            while !["error", "complete"].contains(&receive(&mut socket).await["type"].as_str().expect("a type")) {}
        }
        send(&mut socket, json!({ "type": start, "id": "n", "payload": { "query": "{ never }" } })).await;
        server.fake.started.notified().await;
        drop(socket);
        server.fake.dropped.notified().await;

        let lines = lines_of(protocol);
        let logged: Vec<_> = lines.iter().map(|line| (line["status"].as_u64(), line["code"].as_str())).collect();
        let expected = [
            (Some(200), Some("")),
            (Some(400), Some("GRAPHQL_PARSE_FAILED")),
            (Some(200), Some("")),
            (Some(200), Some("EVENTS_LOST")),
            (None, None),
        ];
        assert_eq!(logged, expected, "{protocol}");
        assert_eq!(lines[4]["message"], "client disconnected", "{protocol}");
    }
    server.stop().await;
}
