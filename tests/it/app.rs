//! Servers of tests, each with its own database, and requests to them.
use std::{net::SocketAddr, time::Duration};

use gatherum::{
    access::Viewer,
    app::{self, App, Engine},
    catalog::sharing::ViewCounter,
    config::Config,
    db::Db,
    graphql::{Execute, Request},
};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::backend::{Backend, TestDb};

/// More than any request waits on a busy machine: tests of other things do not expect rejections.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(120);

/// An engine over `db`, with the settings that `change` makes.
pub fn engine_with(db: &Db, change: impl FnOnce(&mut Config)) -> Engine {
    let mut config = Config::default();
    config.http.queue_timeout = QUEUE_TIMEOUT;
    change(&mut config);
    app::engine(&config, db.clone(), ViewCounter::default()).expect("a schema")
}

/// An engine over `db` with the default settings.
pub fn engine(db: &Db) -> Engine {
    engine_with(db, |_| {})
}

/// Executes a query and returns the response with its report.
pub async fn ask(engine: &Engine, query: &str) -> Value {
    ask_with(engine, query, json!({})).await
}

/// Executes a query with variables and returns the response with its report.
pub async fn ask_with(engine: &Engine, query: &str, variables: Value) -> Value {
    ask_reported(engine, Viewer::default(), query, &variables).await
}

/// Executes a query for a viewer and returns the response with its report.
pub async fn ask_viewing(engine: &Engine, viewer: Viewer, query: &str) -> Value {
    ask_reported(engine, viewer, query, &json!({})).await
}

/// Executes a query with variables for a viewer and returns the response with its report.
pub async fn ask_reported(engine: &Engine, viewer: Viewer, query: &str, variables: &Value) -> Value {
    let request = Request { wants_report: true, ..request(viewer, query, variables) };
    parsed(&engine.execute(request).await.body)
}

/// Executes a query with variables for a viewer and returns the bytes of the response.
pub async fn ask_as(engine: &Engine, viewer: Viewer, query: &str, variables: &Value) -> Vec<u8> {
    engine.execute(request(viewer, query, variables)).await.body.to_vec()
}

/// Executes a query with variables for a viewer and returns the response.
pub async fn ask_json(engine: &Engine, viewer: Viewer, query: &str, variables: &Value) -> Value {
    parsed(&ask_as(engine, viewer, query, variables).await)
}

fn request(viewer: Viewer, query: &str, variables: &Value) -> Request {
    let variables = async_graphql::Variables::from_json(variables.clone());
    Request { query: query.to_owned(), variables, viewer, ..Request::default() }
}

fn parsed(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or_else(|error| panic!("{error} in {}", String::from_utf8_lossy(body)))
}

/// The number of statements in the report of a response.
pub fn statements(answer: &Value) -> u64 {
    answer["extensions"]["gatherum"]["statements"].as_u64().expect("a report")
}

/// A server over sockets.
pub struct TestApp {
    pub address: SocketAddr,
    pub client: reqwest::Client,
    stop: Option<oneshot::Sender<()>>,
    task: tokio::task::JoinHandle<()>,
    server_db: Db,
    test: TestDb,
}

impl TestApp {
    /// Starts a server on a port of the system's choice, with the settings that `change` makes.
    pub async fn start(backend: Backend, change: impl FnOnce(&mut Config)) -> Self {
        let test = backend.database().await;
        let mut config = Config { database: test.config.clone(), ..Config::default() };
        config.http.bind = SocketAddr::from(([127, 0, 0, 1], 0));
        config.http.queue_timeout = QUEUE_TIMEOUT;
        // There is no load balancer that must notice the shutdown.
        config.http.shutdown_delay = std::time::Duration::ZERO;
        change(&mut config);
        let app = App::build(&config).await.expect("a server");
        crate::fixture::fill(app.db(), 20).await;
        let (address, server_db) = (app.address().expect("an address"), app.db().clone());
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(app.run(async {
            let _ = stopped.await;
        }));
        Self { address, client: reqwest::Client::new(), stop: Some(stop), task, server_db, test }
    }

    /// Its database, opened once more.
    pub fn db(&self) -> &Db {
        &self.test.db
    }

    /// The settings of its database.
    pub fn database(&self) -> &gatherum::db::Config {
        &self.test.config
    }

    /// Its database, with its connections.
    pub fn server_db(&self) -> &Db {
        &self.server_db
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Posts a body to `/graphql`.
    pub fn post(&self, body: &Value) -> reqwest::RequestBuilder {
        self.client.post(self.url("/graphql")).json(body)
    }

    /// Shuts the server down and waits until it has stopped.
    pub async fn stop(self) {
        self.stop_before_its_database().await;
    }

    /// Like `stop`, and returns the database.
    pub async fn stop_before_its_database(mut self) -> TestDb {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        // The server waits a moment for requests on open connections.
        drop(self.client);
        self.task.await.expect("the server ends by itself");
        self.test
    }
}
