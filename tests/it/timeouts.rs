//! Time limits of statements and of waiting for a connection.
use std::time::Duration;

use gatherum::{
    db::{Config, Db, Dialect, Sql},
    error::{Code, Result},
};
use sqlx::{ConnectOptions, Row, sqlite::SqliteConnectOptions};

use crate::backend::{Backend, TestDb};

/// A statement that runs until it is cancelled.
fn endless(db: &Db) -> Sql {
    let mut sql = db.sql();
    sql.either(
        "with recursive n (i) as (select 1 union all select i + 1 from n) select count(*) from n",
        "select count(*) from generate_series(1, 1000000000000)",
    );
    sql
}

/// Runs a statement that any database answers at once.
async fn answer(db: &Db) -> Result<Vec<i64>> {
    let mut sql = db.sql();
    sql.push("select cast(1 as bigint)");
    db.fetch("answer", sql).await
}

async fn open(test: &TestDb, change: impl FnOnce(&mut Config)) -> Db {
    let mut config = test.config.clone();
    change(&mut config);
    Db::open(&config).await.expect("the database")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_times_out_and_the_next_one_runs() {
    for backend in Backend::all().await {
        let test = backend.database().await;
        let db = open(&test, |config| {
            config.statement_timeout = Duration::from_millis(700);
            (config.pool_size, config.max_overflow) = (1, 0);
        })
        .await;

        let error = db.fetch::<i64>("endless", endless(&db)).await.expect_err("a limit");

        assert_eq!(error.code, Code::Timeout, "{backend:?} {error:?}");
        // The only connection of the pool is still usable.
        answer(&db).await.expect("a database that answers");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_pool_is_unavailable() {
    for backend in Backend::all().await {
        let test = backend.database().await;
        let db = open(&test, |config| {
            config.statement_timeout = Duration::from_secs(5);
            config.pool_timeout = Duration::from_secs(1);
            (config.pool_size, config.max_overflow) = (1, 0);
        })
        .await;
        // A task returns the connection that opening used.
        while db.usage().in_use > 0 {
            tokio::task::yield_now().await;
        }
        let mut busy = std::pin::pin!(db.fetch::<i64>("endless", endless(&db)));
        // Polled until it holds the connection.
        while db.usage().in_use == 0 {
            assert!(futures_util::poll!(&mut busy).is_pending());
            tokio::task::yield_now().await;
        }

        let error = answer(&db).await.expect_err("no connection");

        assert_eq!(error.code, Code::Unavailable, "{backend:?} {error:?}");
        assert_eq!(db.dialect() == Dialect::Sqlite, backend == Backend::Sqlite);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_cancels_the_statement_of_a_cancelled_request() {
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

/// A running SQLite statement keeps its snapshot, and while it does, a checkpoint cannot truncate the write-ahead log.
#[tokio::test(flavor = "multi_thread")]
async fn sqlite_cancels_the_statement_of_a_cancelled_request() {
    let test = Backend::Sqlite.database().await;
    let file: SqliteConnectOptions = test.config.url.parse().expect("a URL");
    let mut observer = file.busy_timeout(Duration::ZERO).connect().await.expect("another connection");
    let mut is_being_read = async || {
        sqlx::query(
            "insert into users (id, name, created_at, updated_at) values (randomblob(16), hex(randomblob(8)), 0, 0)",
        )
        .execute(&mut observer)
        .await
        .expect("a row in the log");
        let checkpoint =
            sqlx::query("pragma wal_checkpoint(truncate)").fetch_one(&mut observer).await.expect("a checkpoint");
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
