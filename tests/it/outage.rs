//! A database that is down, frozen, locked, saturated or full: requests fail with the right code, and work again afterwards.
use std::{net::SocketAddr, time::Duration};

use gatherum::{
    db::{AccessScope, Db, Sql},
    graphql::{Execute, id::GlobalId},
};
use reqwest::{StatusCode, header::HeaderMap};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::timeout,
};

use crate::{
    app::{TestApp, engine_with},
    backend::{Backend, TestDb},
    fixture,
};

const QUERY: &str = "{ artifacts(first: 1) { nodes { name } } }";

const MEDIA_TYPES: [&str; 2] = ["application/graphql-response+json", "application/json"];

/// Time limit for a change to be noticed, far above what a busy machine needs.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// A query whose root field may be null.
fn nullable() -> String {
    let id = GlobalId { prefix: "artifact", id: fixture::id(fixture::Kind::Artifact, 0) };
    format!(r#"{{ artifact(id: "{id}") {{ name }} }}"#)
}

fn mutation(name: &str) -> String {
    format!(r#"mutation {{ createArtifact(input: {{ type: "skill", name: "{name}" }}) {{ artifact {{ name }} }} }}"#)
}

/// A connection to PostgreSQL that can be cut and frozen.
struct Proxy {
    address: SocketAddr,
    server: String,
    is_frozen: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Starts a proxy in front of the server of a URL, and returns the URL of the proxy.
    fn start(url: &str) -> (Self, String) {
        let (user, place) = url.rsplit_once('@').expect("a user");
        let (server, name) = place.split_once('/').expect("a name");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a socket");
        let address = listener.local_addr().expect("an address");
        let listener = TcpListener::from_std(listener).expect("a listener");
        let is_frozen = watch::Sender::new(false);
        let task = tokio::spawn(forward(listener, server.to_owned(), is_frozen.subscribe()));
        (Self { address, server: server.to_owned(), is_frozen, task }, format!("{user}@{address}/{name}"))
    }

    /// Closes all connections and accepts no others.
    async fn cut(&mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }

    async fn restore(&mut self) {
        let listener = TcpListener::bind(self.address).await.expect("the same port");
        self.task = tokio::spawn(forward(listener, self.server.clone(), self.is_frozen.subscribe()));
    }
}

async fn forward(listener: TcpListener, server: String, is_frozen: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    while let Ok((near, _)) = listener.accept().await {
        let far = TcpStream::connect(&server).await.expect("a server");
        let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
        connections.spawn(copy(near_read, far_write, is_frozen.clone()));
        connections.spawn(copy(far_read, near_write, is_frozen.clone()));
    }
}

/// Copies bytes, except while the proxy is frozen.
async fn copy(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, mut is_frozen: watch::Receiver<bool>) {
    let mut buffer = vec![0; 16_384];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        if is_frozen.wait_for(|is_frozen| !is_frozen).await.is_err() || to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

/// A server whose database is behind a proxy.
async fn start_behind_proxy() -> (TestApp, Proxy) {
    let mut proxy = None;
    let app = TestApp::start(Backend::Postgres, |config| {
        let (started, url) = Proxy::start(&config.database.url);
        config.database.url = url;
        config.database.wait_timeout = Duration::from_secs(2);
        proxy = Some(started);
    })
    .await;
    (app, proxy.expect("a proxy"))
}

async fn send(app: &TestApp, query: &str, media_type: &str) -> (StatusCode, HeaderMap, Value) {
    let response = app.post(&json!({ "query": query })).header("accept", media_type).send().await.expect("a response");
    (response.status(), response.headers().clone(), response.json().await.expect("JSON"))
}

async fn is_ok(app: &TestApp, query: &str) -> bool {
    let (status, _, response) = send(app, query, MEDIA_TYPES[0]).await;
    status == StatusCode::OK && response["errors"].is_null()
}

async fn status(app: &TestApp, path: &str) -> StatusCode {
    app.client.get(app.url(path)).send().await.expect("a response").status()
}

/// Waits until `condition` is true.
async fn until(condition: impl AsyncFn() -> bool) {
    let repeated = async {
        while !condition().await {
            tokio::task::yield_now().await;
        }
    };
    timeout(TIME_LIMIT, repeated).await.expect("the change is noticed");
}

/// Expects that all operations fail as a whole, with each media type.
async fn expect_failure(app: &TestApp, queries: &[&str], expected: (StatusCode, &str)) {
    for query in queries {
        for media_type in MEDIA_TYPES {
            let (status, headers, response) = send(app, query, media_type).await;

            let code = response["errors"][0]["extensions"]["code"].as_str().unwrap_or_default();
            assert_eq!((status, code), expected, "{query} {response}");
            assert!(headers.contains_key("retry-after"), "{query} {headers:?}");
            assert_eq!(response.get("data"), None, "{query} {response}");
        }
    }
}

const UNAVAILABLE: (StatusCode, &str) = (StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE");

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_down_is_reported_until_it_returns() {
    if !Backend::all().await.contains(&Backend::Postgres) {
        return;
    }
    let (app, mut proxy) = start_behind_proxy().await;
    assert!(is_ok(&app, QUERY).await);

    proxy.cut().await;

    expect_failure(&app, &[QUERY, &nullable(), &mutation("down")], UNAVAILABLE).await;
    until(async || status(&app, "/health/ready").await == StatusCode::SERVICE_UNAVAILABLE).await;
    assert_eq!(status(&app, "/health/database").await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(status(&app, "/health/live").await, StatusCode::OK);
    proxy.restore().await;
    until(async || is_ok(&app, QUERY).await).await;
    until(async || status(&app, "/health/ready").await == StatusCode::OK).await;
    assert!(is_ok(&app, &mutation("down")).await);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_database_is_reported_until_it_returns() {
    if !Backend::all().await.contains(&Backend::Postgres) {
        return;
    }
    let (app, proxy) = start_behind_proxy().await;
    assert!(is_ok(&app, QUERY).await && is_ok(&app, &mutation("before")).await);

    proxy.is_frozen.send_replace(true);

    // The first requests are sent before the server notices.
    let (first, second) = (mutation("first"), mutation("second"));
    let nullable = nullable();
    let (first, second) = ([QUERY, &first], [nullable.as_str(), &second]);
    tokio::join!(expect_failure(&app, &first, UNAVAILABLE), expect_failure(&app, &second, UNAVAILABLE));
    until(async || status(&app, "/health/ready").await == StatusCode::SERVICE_UNAVAILABLE).await;
    assert_eq!(status(&app, "/health/live").await, StatusCode::OK);
    proxy.is_frozen.send_replace(false);
    until(async || is_ok(&app, QUERY).await).await;
    assert!(is_ok(&app, &mutation("after")).await);
    app.stop().await;
}

/// Takes a lock that the server's requests need: on all reads on PostgreSQL, on all writes on SQLite.
async fn lock(test: &Db) -> gatherum::db::Transaction {
    let mut lock = test.begin().await.expect("a transaction");
    let mut sql = lock.sql();
    sql.either("select 1", "lock table artifacts in access exclusive mode");
    lock.execute("lock", sql).await.expect("a lock");
    lock
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_wait_for_a_lock_are_unavailable() {
    for backend in Backend::all().await {
        let app = TestApp::start(backend, |config| {
            config.database.busy_timeout = Duration::from_millis(50);
            config.database.wait_timeout = Duration::from_secs(1);
        })
        .await;
        let locked = lock(app.db()).await;

        let write = mutation("locked");
        match backend {
            Backend::Sqlite => {
                expect_failure(&app, &[&write], UNAVAILABLE).await;
                assert!(is_ok(&app, QUERY).await, "reads need no lock");
            }
            Backend::Postgres => expect_failure(&app, &[QUERY, &nullable(), &write], UNAVAILABLE).await,
        }
        assert_eq!(status(&app, "/health/ready").await, StatusCode::OK, "{backend:?}");
        drop(locked);
        until(async || is_ok(&app, &write).await).await;
        app.stop().await;
    }
}

/// A statement that runs until it is cancelled.
fn endless(db: &Db) -> Sql {
    let mut sql = db.sql();
    sql.either(
        "with recursive n (i) as (select 1 union all select i + 1 from n) select count(*) from n",
        "select count(*) from generate_series(1, 1000000000000)",
    );
    sql
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_a_saturated_pool_stays_ready() {
    for backend in Backend::all().await {
        let app = TestApp::start(backend, |config| {
            (config.database.pool_size, config.database.max_overflow) = (1, 0);
            config.database.wait_timeout = Duration::from_secs(1);
        })
        .await;
        let db = app.server_db().for_request(AccessScope::Unrestricted);
        until(async || db.usage().in_use == 0).await;
        let mut busy = Box::pin(db.fetch::<i64>("endless", endless(&db)));
        // Polled until it holds the only connection.
        while db.usage().in_use == 0 {
            assert!(futures_util::poll!(&mut busy).is_pending());
            tokio::task::yield_now().await;
        }
        let health = async || {
            let response = app.client.get(app.url("/health/database")).send().await.expect("a response");
            (response.status(), response.json::<Value>().await.expect("JSON")["status"].clone())
        };

        expect_failure(&app, &[QUERY], UNAVAILABLE).await;

        assert_eq!(health().await, (StatusCode::OK, json!("degraded")), "{backend:?}");
        assert_eq!(status(&app, "/health/ready").await, StatusCode::OK, "{backend:?}");
        drop(busy);
        until(async || is_ok(&app, QUERY).await).await;
        app.stop().await;
    }
}

/// Makes the next write of the server fail as if the disk were full. On SQLite, the write after it succeeds.
async fn fill_disk(app: &TestApp) {
    let mut tx = app.server_db().begin().await.expect("a transaction");
    let statements: [[&'static str; 2]; 2] = [
        ["pragma max_page_count = 1", "select 1"],
        [
            "create or replace function fill_disk() returns trigger language plpgsql as
             $$ begin raise exception 'no space left' using errcode = '53100'; end $$",
            "create trigger fill_disk before insert on artifacts execute function fill_disk()",
        ],
    ];
    let is_sqlite = tx.dialect() == gatherum::db::Dialect::Sqlite;
    for text in statements[usize::from(!is_sqlite)] {
        let mut sql = tx.sql();
        sql.push(text);
        tx.execute("fill_disk", sql).await.expect("a full disk");
    }
    tx.commit().await.expect("a commit");
}

async fn empty_disk(app: &TestApp) {
    let mut tx = app.server_db().begin().await.expect("a transaction");
    let mut sql = tx.sql();
    sql.either("select 1", "drop trigger fill_disk on artifacts");
    tx.execute("empty_disk", sql).await.expect("room");
    tx.commit().await.expect("a commit");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_has_its_own_code_and_reads_go_on() {
    for backend in Backend::all().await {
        let app = TestApp::start(backend, |_| {}).await;
        let large = format!(
            r#"mutation {{ createArtifact(input: {{ type: "skill", name: "large", content: "{}" }}) {{ artifact {{ name }} }} }}"#,
            "x".repeat(60_000)
        );

        for media_type in MEDIA_TYPES {
            fill_disk(&app).await;
            let (status, headers, response) = send(&app, &large, media_type).await;

            let code = &response["errors"][0]["extensions"]["code"];
            assert_eq!((status, code), (StatusCode::INSUFFICIENT_STORAGE, &json!("STORAGE_FULL")), "{response}");
            assert!(headers.contains_key("retry-after") && response.get("data").is_none());
            assert!(is_ok(&app, QUERY).await, "{backend:?}");
            empty_disk(&app).await;
        }

        assert!(is_ok(&app, &large).await, "{backend:?}");
        app.stop().await;
    }
}

async fn database(backend: Backend) -> TestDb {
    let test = backend.database().await;
    fixture::fill(&test.db, 5).await;
    test
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_that_would_wait_too_long_are_rejected_and_the_others_executed() {
    for backend in Backend::all().await {
        let test = database(backend).await;
        let engine = engine_with(&test.db, |config| config.http.queue_timeout = Duration::ZERO);
        let ask =
            async |query: String| engine.execute(gatherum::graphql::Request { query, ..Default::default() }).await;
        for query in [QUERY.to_owned(), "mutation { deleteArtifact(input: { id: \"x\" }) { deletedId } }".to_owned()] {
            let responses = futures_util::future::join_all((0..100).map(|_| ask(query.clone()))).await;

            let rejected: Vec<_> = responses.iter().filter(|response| !response.executed).collect();
            assert!((1..100).contains(&rejected.len()), "{backend:?} {}", rejected.len());
            for response in rejected {
                assert!(["OVERLOADED", "UNAVAILABLE"].contains(&response.codes[0].as_str()), "{response:?}");
            }
            assert!(ask(query).await.executed, "{backend:?}");
        }
    }
}
