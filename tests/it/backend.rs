//! A database for each test: on SQLite always, on PostgreSQL if a server is found.
use std::{
    sync::{Once, OnceLock},
    time::Duration,
};

use gatherum::db::{Config, Db, migrate};
use sqlx::{Connection, Executor, PgConnection};
use tempfile::TempDir;
use tokio::sync::Mutex;
use uuid::Uuid;

/// Environment variable with the URL of a PostgreSQL server on which tests may create databases: `postgres://user@host:port`.
const SERVER_VARIABLE: &str = "GATHERUM_TEST_POSTGRES";

/// URLs of servers that are tried if the variable is not set.
const SERVER_DEFAULT: &str = "postgres://postgres@127.0.0.1:5432";

/// Environment variable that CI sets: without a server, the tests fail instead of being skipped.
const REQUIRED_VARIABLE: &str = "GATHERUM_TEST_REQUIRE_POSTGRES";

/// The database on which a test runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    Sqlite,
    Postgres,
}

/// A database that is removed at the end of the test.
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
                let run = run(&server).await;
                let template = format!("gatherum_template_{run}");
                let name = format!("gatherum_test_{run}_{}", Uuid::now_v7().simple());
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
        wait_timeout: Duration::from_secs(30),
        statement_timeout: Duration::from_secs(30),
        ..Config::default()
    }
}

/// The URL of the server, if one is found. Otherwise prints once that PostgreSQL is skipped.
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

/// The class of the advisory locks of test runs.
const LOCKS: i32 = 0x6761_7468;

/// A run of the tests. The names of its databases contain its id. They are copies of a migrated template.
///
/// The process holds a lock until it ends or is killed, so that the next run knows which databases can be dropped.
async fn run(server: &str) -> String {
    static RUN: Mutex<Option<(String, PgConnection)>> = Mutex::const_new(None);
    let mut run = RUN.lock().await;
    if let Some((id, _)) = &*run {
        return id.clone();
    }
    let mut keeper = PgConnection::connect(&format!("{server}/postgres")).await.expect("the server");
    let id = Uuid::now_v7().simple().to_string()[24..].to_owned();
    assert!(lock(&mut keeper, &id).await, "the id is new");
    drop_what_is_left(server, &mut keeper, &id).await;
    let template = format!("{server}/gatherum_template_{id}");
    create(server, &format!("create database gatherum_template_{id}")).await;
    let db = Db::open(&config(template)).await.expect("the template");
    migrate::up(&db).await.expect("migrations");
    db.close().await;
    *run = Some((id.clone(), keeper));
    id
}

/// Takes the lock of a run, if its process is gone.
async fn lock(keeper: &mut PgConnection, run: &str) -> bool {
    let lock = sqlx::query_scalar("select pg_try_advisory_lock($1, hashtext($2))");
    lock.bind(LOCKS).bind(run).fetch_one(keeper).await.expect("an answer")
}

/// Drops the databases of runs that have ended: their templates, and databases that a killed run did not drop.
async fn drop_what_is_left(server: &str, keeper: &mut PgConnection, own: &str) {
    let names = "select datname::text, split_part(datname, '_', 3) from pg_database
        where datname ~ '^gatherum_(template|test)_[0-9a-f]{8}(_|$)'";
    let found: Vec<(String, String)> = sqlx::query_as(names).fetch_all(&mut *keeper).await.expect("names");
    for (name, run) in found {
        if run != own && lock(keeper, &run).await {
            create(server, &format!("drop database if exists {name} with (force)")).await;
            let unlock = sqlx::query("select pg_advisory_unlock($1, hashtext($2))");
            unlock.bind(LOCKS).bind(&run).execute(&mut *keeper).await.expect("an answer");
        }
    }
}

async fn create(server: &str, statement: &str) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());
    let _turn = ONE_AT_A_TIME.lock().await;
    let mut connection = PgConnection::connect(&format!("{server}/postgres")).await.expect("the server");
    connection.execute(sqlx::AssertSqlSafe(statement.to_owned())).await.expect("the statement");
}
