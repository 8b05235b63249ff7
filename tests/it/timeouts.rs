//! Nothing waits for ever: statements end at their limit, and so does the wait for a connection.
use std::time::Duration;

use gatherum::{
    db::{Config, Db, Dialect, Sql},
    error::Code,
};
use sqlx::{ConnectOptions, Row, sqlite::SqliteConnectOptions};

use crate::backend::{Backend, TestDb};

/// A statement that would run until somebody stops it.
fn endless(db: &Db) -> Sql {
    let mut sql = db.sql();
    sql.either(
        "with recursive n (i) as (select 1 union all select i + 1 from n) select count(*) from n",
        "select count(*) from generate_series(1, 1000000000000)",
    );
    sql
}

async fn open(test: &TestDb, change: impl FnOnce(&mut Config)) -> Db {
    let mut config = test.config.clone();
    change(&mut config);
    Db::open(&config).await.expect("the database")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_ends_at_its_limit_and_the_next_one_runs() {
    for backend in Backend::all().await {
        let test = backend.database().await;
        let db = open(&test, |config| {
            config.statement_timeout = Duration::from_millis(700);
            (config.pool_size, config.max_overflow) = (1, 0);
        })
        .await;

        let error = db.fetch::<i64>("endless", endless(&db)).await.expect_err("a limit");

        assert_eq!(error.code, Code::Timeout, "{backend:?} {error:?}");
        // The only connection was not lost with it.
        db.ping().await.expect("a database that answers");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_pool_is_answered_unavailable() {
    for backend in Backend::all().await {
        let test = backend.database().await;
        let db = open(&test, |config| {
            config.statement_timeout = Duration::from_secs(5);
            config.pool_timeout = Duration::from_secs(1);
            (config.pool_size, config.max_overflow) = (1, 0);
        })
        .await;
        // The pool takes back what opening needed in a task of its own.
        while db.usage().in_use > 0 {
            tokio::task::yield_now().await;
        }
        let mut busy = std::pin::pin!(db.fetch::<i64>("endless", endless(&db)));
        // Polled until it has the connection.
        while db.usage().in_use == 0 {
            assert!(futures_util::poll!(&mut busy).is_pending());
            tokio::task::yield_now().await;
        }

        let error = db.ping().await.expect_err("no connection");

        assert_eq!(error.code, Code::Unavailable, "{backend:?} {error:?}");
        assert_eq!(db.dialect() == Dialect::Sqlite, backend == Backend::Sqlite);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_ends_the_statement_of_a_request_that_went_away() {
    if !Backend::all().await.contains(&Backend::Postgres) {
        return;
    }
    let test = Backend::Postgres.database().await;
    let running = async |test: &TestDb| {
        let mut sql = test.db.sql();
        sql.push(
            "select count(*) from pg_stat_activity where datname = current_database() and state = 'active'
             and query like '%generate_series%' and pid <> pg_backend_pid()",
        );
        test.db.fetch::<i64>("activity", sql).await.expect("a count")[0]
    };
    let db = test.db.clone();
    let request = tokio::spawn(async move { db.fetch::<i64>("endless", endless(&db)).await });
    while running(&test).await == 0 {
        tokio::task::yield_now().await;
    }

    request.abort();

    let ended = async {
        while running(&test).await > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), ended).await.expect("a statement that has ended");
}

/// A reader of SQLite keeps its view of the file until its statement has ended: as long as it does, the write-ahead log
/// cannot be folded into the file and cut off.
#[tokio::test(flavor = "multi_thread")]
async fn sqlite_ends_the_statement_of_a_request_that_went_away() {
    let test = Backend::Sqlite.database().await;
    let file: SqliteConnectOptions = test.config.url.parse().expect("a URL");
    let mut beside = file.busy_timeout(Duration::ZERO).connect().await.expect("another connection");
    let mut is_being_read = async || {
        sqlx::query(
            "insert into users (id, name, created_at, updated_at) values (randomblob(16), hex(randomblob(8)), 0, 0)",
        )
        .execute(&mut beside)
        .await
        .expect("a row in the log");
        let checkpoint =
            sqlx::query("pragma wal_checkpoint(truncate)").fetch_one(&mut beside).await.expect("a checkpoint");
        checkpoint.get::<i64, _>("busy") == 1
    };
    let mut sql = test.db.sql();
    sql.push(
        "with recursive n (i) as (select count(*) from users union all select i + 1 from n) select count(*) from n",
    );
    let db = test.db.clone();
    let request = tokio::spawn(async move { db.fetch::<i64>("endless", sql).await });
    while !is_being_read().await {
        tokio::task::yield_now().await;
    }

    request.abort();

    let ended = async {
        while is_being_read().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), ended).await.expect("a statement that has ended");
}
