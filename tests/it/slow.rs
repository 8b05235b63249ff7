//! Hundreds of clients that are silent, half done or deaf: each is let go, and the others notice nothing.
#![cfg(target_os = "linux")]
use std::{net::SocketAddr, time::Duration};

use futures_util::future::join_all;
use gatherum::db::Arg;
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

/// How long the server waits for the headers. Above what it may take to come to a connection that has sent them, while
/// it writes a hundred large answers.
const HEADER_TIMEOUT: &str = "3s";

/// How long it waits for all else.
const PATIENCE: &str = "300ms";

/// How long the test waits for the server. It is not what is tested, and far above what a busy machine needs.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(60);

/// Bytes of the answer that is not read: above what the system takes from the server for a client on the same machine.
const LARGE_BYTES: usize = 3 << 20;

/// Bytes that all answers may take.
const ANSWERS_BYTES: u64 = 16 << 20;

const HEAD: &str = "POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";

/// What a client does before it does nothing any more.
#[derive(Clone, Copy, Debug)]
enum Manner {
    Silent,
    HalfHead,
    HalfBody,
    Deaf,
}

fn post(query: &str) -> String {
    let body = serde_json::json!({ "query": query }).to_string();
    format!("{HEAD}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// Connects, begins in its manner, and waits until the server closes the connection. Returns what it answered.
async fn suffer(address: SocketAddr, manner: Manner) -> String {
    let mut stream = match manner {
        Manner::Deaf => {
            let socket = TcpSocket::new_v4().expect("a socket");
            socket.set_recv_buffer_size(4_096).expect("a small buffer");
            socket.connect(address).await.expect("a connection")
        }
        _ => TcpStream::connect(address).await.expect("a connection"),
    };
    let beginning = match manner {
        Manner::Silent => String::new(),
        Manner::HalfHead => HEAD[..HEAD.len() / 2].to_owned(),
        Manner::HalfBody => format!("{HEAD}Content-Length: 100\r\n\r\n{}", " ".repeat(50)),
        // What the server has not read when it closes the connection makes the system tell at once.
        Manner::Deaf => post(&format!("{{ artifact(id: \"{}\") {{ content }} }}", large_id())) + &" ".repeat(1 << 16),
    };
    stream.write_all(beginning.as_bytes()).await.expect("a server that reads");
    let mut answer = Vec::new();
    let closed = async {
        if let Manner::Deaf = manner {
            stream.ready(Interest::ERROR).await.expect("a socket");
        }
        // The end and a reset are both a close.
        let _ = stream.read_to_end(&mut answer).await;
    };
    timeout(GIVEN_UP_AFTER, closed).await.unwrap_or_else(|_| panic!("{manner:?}: not closed"));
    String::from_utf8_lossy(&answer).into_owned()
}

/// The id of the artifact with the large content.
fn large_id() -> String {
    let id = fixture::id(fixture::Kind::Artifact, 0);
    gatherum::graphql::id::GlobalId { prefix: "artifact", id }.to_string()
}

async fn ask(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let request = post("{ artifacts { totalCount } }").replace("Host", "Connection: close\r\nHost");
    stream.write_all(request.as_bytes()).await.expect("a server that reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    answer
}

#[tokio::test]
async fn hundreds_of_slow_clients_are_let_go_and_others_are_answered() {
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
        command.env(format!("GATHERUM_HTTP_{name}_TIMEOUT"), PATIENCE);
    }
    command.env("GATHERUM_HTTP_RESPONSE_BYTES_TOTAL", ANSWERS_BYTES.to_string());
    // Hundreds of them on a machine that runs other tests take their time, which is not what is looked at.
    for name in ["HTTP_REQUEST_TIMEOUT", "DATABASE_STATEMENT_TIMEOUT"] {
        command.env(format!("GATHERUM_{name}"), "2m");
    }
    let served = Served::start(command);

    let manners = [(Manner::Silent, 200), (Manner::HalfHead, 200), (Manner::HalfBody, 200), (Manner::Deaf, 100)];
    let manners = manners.into_iter().flat_map(|(manner, count)| std::iter::repeat_n(manner, count));
    let slow = async {
        let suffering = manners.map(async |manner| (manner, suffer(served.address, manner).await));
        join_all(suffering).await
    };
    let mut slow = std::pin::pin!(slow);
    let mut answered = 0;
    let slow = loop {
        let others = async {
            let answer = ask(served.address).await;
            assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("{\"totalCount\":5}}}"), "{answer}");
        };
        tokio::select! {
            slow = &mut slow => break slow,
            () = others => answered += 1,
        }
    };

    assert!(answered > 0);
    let (mut cut_off, mut refused) = (0, 0);
    for (manner, answer) in slow {
        match manner {
            Manner::Silent | Manner::HalfHead => assert!(!answer.starts_with("HTTP/1.1 2"), "{manner:?} {answer:.200}"),
            Manner::HalfBody => assert!(answer.starts_with("HTTP/1.1 408"), "{answer:.200}"),
            Manner::Deaf if answer.starts_with("HTTP/1.1 503") => refused += 1,
            // Nothing but the beginning of a large answer, where the system kept even that.
            Manner::Deaf => cut_off += usize::from(answer.len() < LARGE_BYTES),
        }
    }
    // Those who found room for their answer did not read it; the others were told so.
    assert!(cut_off > 0 && refused > 0, "{cut_off} {refused}");
    assert!(ask(served.address).await.ends_with("{\"totalCount\":5}}}"));
}
