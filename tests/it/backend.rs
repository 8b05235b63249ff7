//! A database of its own for each test, on SQLite always, on PostgreSQL where a server is found.
use std::{
    sync::{Once, OnceLock},
    time::Duration,
};

use gatherum::db::{Config, Db, migrate};
use sqlx::{Connection, Executor, PgConnection};
use tempfile::TempDir;
use tokio::sync::Mutex;
use uuid::Uuid;

/// Names a PostgreSQL server where tests may make databases, as `postgres://user@host:port`.
const SERVER_VARIABLE: &str = "GATHERUM_TEST_POSTGRES";

/// Where a server is looked for when the variable is not set.
const SERVER_DEFAULT: &str = "postgres://postgres@127.0.0.1:5432";

/// Set by CI: a missing server is then a failure, not a reason to skip.
const REQUIRED_VARIABLE: &str = "GATHERUM_TEST_REQUIRE_POSTGRES";

/// Which database a test runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    Sqlite,
    Postgres,
}

/// A database that goes away with the test.
pub struct TestDb {
    pub db: Db,
    pub config: Config,
    _directory: Option<TempDir>,
    dropped: Option<(String, String)>,
}

impl Backend {
    /// The databases of this machine.
    pub async fn all() -> Vec<Backend> {
        match server().await {
            Some(_) => vec![Backend::Sqlite, Backend::Postgres],
            None => vec![Backend::Sqlite],
        }
    }

    /// An empty, migrated database.
    pub async fn database(self) -> TestDb {
        match self {
            Backend::Sqlite => {
                let directory = TempDir::new().expect("a temporary directory");
                let url = format!("sqlite://{}", directory.path().join("test.db").display());
                let config = config(url);
                let db = Db::open(&config).await.expect("a new SQLite file");
                migrate::up(&db).await.expect("migrations");
                TestDb { db, config, _directory: Some(directory), dropped: None }
            }
            Backend::Postgres => {
                let server = server().await.expect("a PostgreSQL server");
                let template = template(&server).await;
                let name = format!("gatherum_test_{}", Uuid::now_v7().simple());
                create(&server, &format!("create database {name} template {template}")).await;
                let config = config(format!("{server}/{name}"));
                let db = Db::open(&config).await.expect("the database that was just made");
                TestDb { db, config, _directory: None, dropped: Some((server, name)) }
            }
        }
    }
}

impl Drop for TestDb {
    fn drop(&mut self) {
        let Some((server, name)) = self.dropped.take() else { return };
        // A thread of its own, because the test's runtime is about to end.
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(create(&server, &format!("drop database if exists {name} with (force)")));
        });
        let _ = thread.join();
    }
}

fn config(url: String) -> Config {
    Config {
        url,
        pool_timeout: Duration::from_secs(30),
        statement_timeout: Duration::from_secs(30),
        ..Config::default()
    }
}

/// The server's URL, if there is one. Says once, loudly, that PostgreSQL is skipped.
async fn server() -> Option<String> {
    static FOUND: OnceLock<Option<String>> = OnceLock::new();
    if let Some(found) = FOUND.get() {
        return found.clone();
    }
    let url = std::env::var(SERVER_VARIABLE).unwrap_or_else(|_| SERVER_DEFAULT.to_owned());
    let found = PgConnection::connect(&format!("{url}/postgres")).await.is_ok().then_some(url);
    let found = FOUND.get_or_init(|| found).clone();
    static SAID: Once = Once::new();
    if found.is_none() {
        assert!(std::env::var(REQUIRED_VARIABLE).is_err(), "no PostgreSQL server: set {SERVER_VARIABLE}");
        SAID.call_once(|| eprintln!("SKIPPED ON POSTGRESQL: no server at {SERVER_DEFAULT}; set {SERVER_VARIABLE}"));
    }
    found
}

/// A migrated database that others are copied from.
async fn template(server: &str) -> String {
    static TEMPLATE: Mutex<Option<String>> = Mutex::const_new(None);
    let mut template = TEMPLATE.lock().await;
    if let Some(name) = &*template {
        return name.clone();
    }
    let name = format!("gatherum_template_{}", std::process::id());
    create(server, &format!("drop database if exists {name}")).await;
    create(server, &format!("create database {name}")).await;
    let db = Db::open(&config(format!("{server}/{name}"))).await.expect("the template");
    migrate::up(&db).await.expect("migrations");
    db.close().await;
    *template = Some(name.clone());
    name
}

async fn create(server: &str, statement: &str) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());
    let _turn = ONE_AT_A_TIME.lock().await;
    let mut connection = PgConnection::connect(&format!("{server}/postgres")).await.expect("the server");
    connection.execute(sqlx::AssertSqlSafe(statement.to_owned())).await.expect("the statement");
}
