//! A server of its own for each test, and the questions that tests ask it.
use std::net::SocketAddr;

use gatherum::{
    access::Viewer,
    app::{self, App, Engine},
    catalog::sharing::Views,
    config::Config,
    db::Db,
    graphql::{Execute, Request},
};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::backend::{Backend, TestDb};

/// An engine over `db`, with the settings that `change` makes.
pub fn engine_with(db: &Db, change: impl FnOnce(&mut Config)) -> Engine {
    let mut config = Config::default();
    change(&mut config);
    app::engine(&config, db.clone(), Views::default()).expect("a schema")
}

/// An engine over `db` with the default settings.
pub fn engine(db: &Db) -> Engine {
    engine_with(db, |_| {})
}

/// The answer to a query, with its report.
pub async fn ask(engine: &Engine, query: &str) -> Value {
    ask_with(engine, query, json!({})).await
}

/// The answer to a query with variables, with its report.
pub async fn ask_with(engine: &Engine, query: &str, variables: Value) -> Value {
    let variables = async_graphql::Variables::from_json(variables);
    let request = Request { query: query.to_owned(), variables, wants_report: true, ..Request::default() };
    let body = engine.execute(request).await.body;
    serde_json::from_slice(&body).unwrap_or_else(|error| panic!("{error} in {}", String::from_utf8_lossy(&body)))
}

/// The answer to a query, as a viewer has it, with its report.
pub async fn ask_viewing(engine: &Engine, viewer: Viewer, query: &str) -> Value {
    let request = Request { query: query.to_owned(), viewer, wants_report: true, ..Request::default() };
    let body = engine.execute(request).await.body;
    serde_json::from_slice(&body).unwrap_or_else(|error| panic!("{error} in {}", String::from_utf8_lossy(&body)))
}

/// The answer to a query with variables, as a viewer has it: the bytes.
pub async fn ask_as(engine: &Engine, viewer: Viewer, query: &str, variables: &Value) -> Vec<u8> {
    let variables = async_graphql::Variables::from_json(variables.clone());
    let request = Request { query: query.to_owned(), variables, viewer, ..Request::default() };
    engine.execute(request).await.body.to_vec()
}

/// The answer to a query with variables, as a viewer has it.
pub async fn ask_json(engine: &Engine, viewer: Viewer, query: &str, variables: &Value) -> Value {
    let body = ask_as(engine, viewer, query, variables).await;
    serde_json::from_slice(&body).unwrap_or_else(|error| panic!("{error} in {}", String::from_utf8_lossy(&body)))
}

/// The number of statements that an answer reports.
pub fn statements(answer: &Value) -> u64 {
    answer["extensions"]["gatherum"]["statements"].as_u64().expect("a report")
}

/// A server over sockets.
pub struct TestApp {
    pub address: SocketAddr,
    pub client: reqwest::Client,
    stop: Option<oneshot::Sender<()>>,
    task: tokio::task::JoinHandle<()>,
    test: TestDb,
}

impl TestApp {
    /// Starts a server on a port of the system's choice, with the settings that `change` makes.
    pub async fn start(backend: Backend, change: impl FnOnce(&mut Config)) -> Self {
        let test = backend.database().await;
        let mut config = Config { database: test.config.clone(), ..Config::default() };
        config.http.bind = SocketAddr::from(([127, 0, 0, 1], 0));
        // Nobody balances load here: stopping needs no time to be noticed.
        config.http.shutdown_delay = std::time::Duration::ZERO;
        change(&mut config);
        let app = App::build(&config).await.expect("a server");
        crate::fixture::fill(app.db(), 20).await;
        let address = app.address().expect("an address");
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(app.run(async {
            let _ = stopped.await;
        }));
        Self { address, client: reqwest::Client::new(), stop: Some(stop), task, test }
    }

    /// Its database, opened once more.
    pub fn db(&self) -> &Db {
        &self.test.db
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Posts a body to `/graphql`.
    pub fn post(&self, body: &Value) -> reqwest::RequestBuilder {
        self.client.post(self.url("/graphql")).json(body)
    }

    /// Tells the server to stop, and waits until it has.
    pub async fn stop(self) {
        self.stop_before_its_database().await;
    }

    /// The same, and its database is still there.
    pub async fn stop_before_its_database(mut self) -> TestDb {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        self.task.await.expect("the server ends by itself");
        self.test
    }
}
