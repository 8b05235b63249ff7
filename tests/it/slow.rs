//! Hundreds of clients that are silent, stop sending or do not read: each is disconnected, and others are not affected.
//!
//! Those over HTTP/2 answer pings.
#![cfg(target_os = "linux")]
use std::{net::SocketAddr, time::Duration};

use axum::http;
use futures_util::future::join_all;
use gatherum::db::Arg;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, Interest},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use crate::{
    backend::Backend,
    fixture,
    process::{Sandbox, Served},
};

/// `http.header_timeout` of the server. More than it needs to read headers while it writes a hundred large responses.
const HEADER_TIMEOUT: &str = "3s";

/// All other timeouts of the server.
const OTHER_TIMEOUTS: &str = "300ms";

/// Time limit of the test for each client, far above what a busy machine needs.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// Size of the response that is not read, in bytes: more than the socket buffers hold.
const LARGE_BYTES: usize = 3 << 20;

/// `http.response_bytes_total` of the server.
const RESPONSE_BYTES: u64 = 16 << 20;

const HEAD: &str = "POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";

/// The state in which a client stops.
#[derive(Clone, Copy, Debug)]
enum Stall {
    BeforeRequest,
    InHeaders,
    InBody,
    Reading,
    /// Over HTTP/2, with a window of zero for each stream.
    ReadingHttp2,
}

fn post(query: &str) -> String {
    let body = serde_json::json!({ "query": query }).to_string();
    format!("{HEAD}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// Connects, stalls, and waits until the server closes the connection. Returns the response.
async fn stall(address: SocketAddr, kind: Stall) -> String {
    if let Stall::ReadingHttp2 = kind {
        return stall_http2(address).await;
    }
    let mut stream = match kind {
        Stall::Reading => {
            let socket = TcpSocket::new_v4().expect("a socket");
            socket.set_recv_buffer_size(4_096).expect("a small buffer");
            socket.connect(address).await.expect("a connection")
        }
        _ => TcpStream::connect(address).await.expect("a connection"),
    };
    let beginning = match kind {
        Stall::BeforeRequest | Stall::ReadingHttp2 => String::new(),
        Stall::InHeaders => HEAD[..HEAD.len() / 2].to_owned(),
        Stall::InBody => format!("{HEAD}Content-Length: 100\r\n\r\n{}", " ".repeat(50)),
        // Unread bytes make the kernel send a reset when the server closes the connection.
        Stall::Reading => post(&format!("{{ artifact(id: \"{}\") {{ content }} }}", large_id())) + &" ".repeat(1 << 16),
    };
    stream.write_all(beginning.as_bytes()).await.expect("a server that reads");
    let mut response = Vec::new();
    let closed = async {
        if let Stall::Reading = kind {
            stream.ready(Interest::ERROR).await.expect("a socket");
        }
        // The connection may be closed or reset.
        let _ = stream.read_to_end(&mut response).await;
    };
    timeout(TIME_LIMIT, closed).await.unwrap_or_else(|_| panic!("{kind:?}: not closed"));
    String::from_utf8_lossy(&response).into_owned()
}

/// Requests a response over HTTP/2, reads only its head, and waits until the server closes the connection. Returns the status.
async fn stall_http2(address: SocketAddr) -> String {
    let stream = TcpStream::connect(address).await.expect("a connection");
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(0);
    let (mut client, connection) = builder.handshake(TokioIo::new(stream)).await.expect("a connection");
    let connection = tokio::spawn(connection);
    let request = http::Request::get(format!("http://{address}/graphql?query=%7B__typename%7D"));
    // A busy client may find the connection reset before it has read the head.
    let response = client.send_request(request.body(String::new()).expect("a request")).await;

    let _ = timeout(TIME_LIMIT, connection).await.expect("a connection that the server closes");
    response.map_or_else(|_| String::new(), |response| response.status().to_string())
}

/// Returns the id of the artifact with the large content.
fn large_id() -> String {
    let id = fixture::id(fixture::Kind::Artifact, 0);
    gatherum::graphql::id::GlobalId { prefix: "artifact", id }.to_string()
}

async fn query(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let request = post("{ artifacts { totalCount } }").replace("Host", "Connection: close\r\nHost");
    stream.write_all(request.as_bytes()).await.expect("a server that reads");
    let mut response = String::new();
    stream.read_to_string(&mut response).await.expect("a response");
    response
}

#[tokio::test]
async fn hundreds_of_slow_clients_are_disconnected_and_others_are_served() {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, raised).expect("room for sockets");
    let test = Backend::Sqlite.database().await;
    fixture::fill(&test.db, 5).await;
    let mut tx = test.db.begin().await.expect("a transaction");
    let mut sql = tx.sql();
    sql.push("update artifacts set content = ")
        .bind(Arg::Text(Some("x".repeat(LARGE_BYTES))))
        .push(" where id = ")
        .bind(Arg::Id(fixture::id(fixture::Kind::Artifact, 0)));
    tx.execute("test", sql).await.expect("a large content");
    tx.commit().await.expect("a commit");
    test.db.close().await;
    let sandbox = Sandbox::new();
    let mut command =
        sandbox.gatherum(&format!("--bind 127.0.0.1:0 --log-level error --database-url {}", test.config.url));
    command.env("GATHERUM_HTTP_HEADER_TIMEOUT", HEADER_TIMEOUT);
    for name in ["BODY", "WRITE", "IDLE"] {
        command.env(format!("GATHERUM_HTTP_{name}_TIMEOUT"), OTHER_TIMEOUTS);
    }
    command.env("GATHERUM_HTTP_RESPONSE_BYTES_TOTAL", RESPONSE_BYTES.to_string());
    // These timeouts are not under test, and hundreds of clients on a busy machine take time.
    for name in ["HTTP_REQUEST_TIMEOUT", "HTTP_QUEUE_TIMEOUT", "DATABASE_STATEMENT_TIMEOUT"] {
        command.env(format!("GATHERUM_{name}"), "2m");
    }
    let served = Served::start(command);

    let kinds = [
        (Stall::BeforeRequest, 200),
        (Stall::InHeaders, 200),
        (Stall::InBody, 200),
        (Stall::Reading, 100),
        (Stall::ReadingHttp2, 100),
    ];
    let kinds = kinds.into_iter().flat_map(|(kind, count)| std::iter::repeat_n(kind, count));
    let slow = async {
        let stalled = kinds.map(async |kind| (kind, stall(served.address, kind).await));
        join_all(stalled).await
    };
    let mut slow = std::pin::pin!(slow);
    let mut completed = 0;
    let slow = loop {
        let others = async {
            let response = query(served.address).await;
            assert!(response.starts_with("HTTP/1.1 200") && response.ends_with("{\"totalCount\":5}}}"), "{response}");
        };
        tokio::select! {
            slow = &mut slow => break slow,
            () = others => completed += 1,
        }
    };

    assert!(completed > 0);
    let (mut cut_off, mut rejected) = (0, 0);
    for (kind, response) in slow {
        match kind {
            Stall::BeforeRequest | Stall::InHeaders => {
                assert!(!response.starts_with("HTTP/1.1 2"), "{kind:?} {response:.200}")
            }
            Stall::InBody => assert!(response.starts_with("HTTP/1.1 408"), "{response:.200}"),
            Stall::Reading if response.starts_with("HTTP/1.1 503") => rejected += 1,
            Stall::ReadingHttp2 => {
                assert!(["", "200 OK", "503 Service Unavailable"].contains(&&*response), "{response}")
            }
            // At most the beginning of the large response.
            Stall::Reading => cut_off += usize::from(response.len() < LARGE_BYTES),
        }
    }
    // Responses within the memory budget were cut off, the others were rejected.
    assert!(cut_off > 0 && rejected > 0, "{cut_off} {rejected}");
    assert!(query(served.address).await.ends_with("{\"totalCount\":5}}}"));
}
