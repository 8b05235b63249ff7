//! The protocols of subscriptions, with real sockets and the fake behind them.
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{self, Message, client::IntoClientRequest, http::HeaderValue},
};

use super::{Server, post, read_to_end};

type Socket = WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>;

async fn try_open(server: &Server, headers: &[(&'static str, &str)]) -> Result<Socket, tungstenite::Error> {
    let mut request = format!("ws://{}/graphql/ws", server.address).into_client_request().expect("a request");
    for (name, value) in headers {
        request.headers_mut().insert(*name, HeaderValue::from_str(value).expect("a value"));
    }
    connect_async(request).await.map(|(socket, _)| socket)
}

async fn open(server: &Server) -> Socket {
    try_open(server, &[("sec-websocket-protocol", "graphql-transport-ws")]).await.expect("a socket")
}

/// A socket that was acknowledged.
async fn initialised(server: &Server) -> Socket {
    let mut socket = open(server).await;
    say(&mut socket, json!({ "type": "connection_init", "payload": { "anything": 1 } })).await;
    assert_eq!(hear(&mut socket).await, json!({ "type": "connection_ack" }));
    socket
}

async fn say(socket: &mut Socket, message: Value) {
    socket.send(Message::text(message.to_string())).await.expect("a server that listens");
}

async fn subscribe(socket: &mut Socket, id: &str, query: &str) {
    say(socket, json!({ "type": "subscribe", "id": id, "payload": { "query": query } })).await;
}

async fn hear(socket: &mut Socket) -> Value {
    loop {
        match socket.next().await.expect("a message").expect("a message") {
            Message::Text(text) => return serde_json::from_str(&text).expect("JSON"),
            Message::Ping(_) | Message::Pong(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// The code with which the server closes the socket.
async fn closed(socket: &mut Socket) -> u16 {
    loop {
        match socket.next().await {
            Some(Ok(Message::Close(Some(frame)))) => return frame.code.into(),
            Some(Ok(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_socket_follows_several_operations_at_once() {
    let server = Server::start(|_| {}).await;
    let mut socket = initialised(&server).await;
    subscribe(&mut socket, "never", "subscription { never }").await;
    server.fake.begun.notified().await;
    subscribe(&mut socket, "a", "subscription { three }").await;
    for n in 1..=3 {
        assert_eq!(hear(&mut socket).await, json!({ "id": "a", "type": "next", "payload": { "data": { "n": n } } }));
    }
    assert_eq!(hear(&mut socket).await, json!({ "id": "a", "type": "complete" }));

    // The id is free again; queries and mutations have one response.
    subscribe(&mut socket, "a", "{ ok }").await;
    assert_eq!(hear(&mut socket).await["type"], "next");
    assert_eq!(hear(&mut socket).await, json!({ "id": "a", "type": "complete" }));

    subscribe(&mut socket, "b", "nonsense").await;
    let refused = hear(&mut socket).await;
    assert_eq!((&refused["id"], &refused["type"]), (&json!("b"), &json!("error")));
    assert_eq!(refused["payload"][0]["extensions"]["code"], "GRAPHQL_PARSE_FAILED");

    subscribe(&mut socket, "c", "subscription { lost }").await;
    assert_eq!(hear(&mut socket).await["type"], "next");
    let lost = hear(&mut socket).await;
    assert_eq!((&lost["type"], &lost["payload"][0]["extensions"]["code"]), (&json!("error"), &json!("EVENTS_LOST")));

    say(&mut socket, json!({ "type": "ping", "payload": { "n": 1 } })).await;
    assert_eq!(hear(&mut socket).await, json!({ "type": "pong", "payload": { "n": 1 } }));

    say(&mut socket, json!({ "type": "complete", "id": "never" })).await;
    server.fake.dropped.notified().await;
    drop(socket);
    server.stop().await;
}

#[tokio::test]
async fn a_socket_that_breaks_the_protocol_is_closed_with_its_code() {
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
        let mut socket = open(&server).await;
        for message in &messages {
            say(&mut socket, message.clone()).await;
        }
        assert_eq!(closed(&mut socket).await, code, "{messages:?}");
    }
    let mut socket = initialised(&server).await;
    socket.send(Message::binary(vec![1])).await.expect("room");
    assert_eq!(closed(&mut socket).await, 4400);
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
    let mut socket = initialised(&server).await;
    subscribe(&mut socket, "a", "subscription { never }").await;
    server.fake.begun.notified().await;
    subscribe(&mut socket, "b", "{ ok }").await;
    let refused = hear(&mut socket).await;
    assert_eq!(refused["payload"][0]["extensions"]["code"], "LIMIT_EXCEEDED", "{refused}");

    let protocol = ("sec-websocket-protocol", "graphql-transport-ws");
    let status = |opened: Result<Socket, tungstenite::Error>| match opened {
        Err(tungstenite::Error::Http(response)) => response.status().as_u16(),
        other => panic!("{other:?}"),
    };
    assert_eq!(status(try_open(&server, &[protocol]).await), 503);
    assert_eq!(status(try_open(&server, &[]).await), 400);
    assert_eq!(status(try_open(&server, &[("sec-websocket-protocol", "graphql-ws")]).await), 400);
    assert_eq!(status(try_open(&server, &[protocol, ("origin", "https://elsewhere.example")]).await), 403);
    assert_eq!(server.get("/graphql/ws").send().await.expect("an answer").status(), 426);

    // A message that is too large ends the socket, and what it followed.
    let _ = socket.send(Message::text("x".repeat(20_000))).await;
    server.fake.dropped.notified().await;
    server.stop().await;
}

#[tokio::test]
async fn a_server_that_stops_tells_its_sockets() {
    let mut server = Server::start(|_| {}).await;
    let mut socket = initialised(&server).await;
    server.begin_to_stop();
    assert_eq!(closed(&mut socket).await, 1001);
}

#[tokio::test]
async fn events_are_next_and_complete() {
    let server = Server::start(|_| {}).await;
    let ask = async |query: &str| {
        let answer = server.post(query).header("accept", "text/event-stream").send().await.expect("an answer");
        assert_eq!(answer.status(), 200, "{query}");
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        answer.text().await.expect("a text")
    };
    let event = |n: u32| format!("event: next\ndata: {{\"data\":{{\"n\":{n}}}}}\n\n");
    let complete = "event: complete\ndata: {}\n\n";
    assert_eq!(
        ask("subscription { three }").await,
        [&event(1), &event(2), &event(3), complete].map(String::from).concat()
    );
    assert_eq!(ask("{ ok }").await, format!("event: next\ndata: {{\"data\":{{}}}}\n\n{complete}"));
    let refused = ask("nonsense").await;
    assert!(refused.starts_with("event: next\ndata: {\"errors\":") && refused.ends_with(complete), "{refused}");

    // Who prefers JSON gets it, and what is no request is refused before events begin.
    let accept = "application/json, text/event-stream;q=0.5";
    let answer = server.post("{ ok }").header("accept", accept).send().await.expect("an answer");
    assert!(answer.headers()["content-type"].to_str().expect("a text").starts_with("application/json"));
    let request = server.client.post(server.url("/graphql")).header("accept", "text/event-stream");
    let answer = request.header("content-type", "application/json").body("{}").send().await.expect("an answer");
    assert_eq!(answer.status(), 400);
    server.stop().await;
}

#[tokio::test]
async fn events_end_when_the_client_leaves_or_the_server_stops() {
    let mut server = Server::start(|config| config.idle_timeout = std::time::Duration::from_millis(100)).await;
    let head = post("subscription { never }").replace("Host:", "Accept: text/event-stream\r\nHost:");
    let mut left = server.connect().await;
    tokio::io::AsyncWriteExt::write_all(&mut left, head.as_bytes()).await.expect("room");
    server.fake.begun.notified().await;
    drop(left);
    server.fake.dropped.notified().await;

    let mut stays = server.connect().await;
    tokio::io::AsyncWriteExt::write_all(&mut stays, head.as_bytes()).await.expect("room");
    server.fake.begun.notified().await;
    // A connection whose answer goes on is not idle.
    let idle = tokio::time::timeout(std::time::Duration::from_millis(500), server.fake.dropped.notified()).await;
    assert!(idle.is_err());
    server.begin_to_stop();
    let events = read_to_end(&mut stays).await;
    assert!(events.contains("text/event-stream") && !events.contains("complete"), "{events}");
}
