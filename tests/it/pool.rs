//! The statements of one request share a connection, and requests never deadlock on connections.
use std::time::Duration;

use futures_util::future::join_all;
use gatherum::{
    db::{AccessScope, Arg, Db, Sql},
    error::Code,
};

use crate::backend::{Backend, TestDb};

/// Opens a database with `connections` base connections and an acquire timeout of 2 s.
async fn open(test: &TestDb, connections: u32) -> Db {
    let mut config = test.config.clone();
    (config.pool_size, config.max_overflow) = (connections, 0);
    config.pool_timeout = Duration::from_secs(2);
    Db::open(&config).await.expect("the database")
}

/// A statement that returns the id of its connection; always 1 on SQLite.
fn connection_id(db: &Db) -> Sql {
    let mut sql = db.sql();
    sql.either("select cast(1 as bigint)", "select cast(pg_backend_pid() as bigint)");
    sql
}

async fn ask(db: &Db) -> i64 {
    db.fetch::<i64>("connection_id", connection_id(db)).await.expect("an answer")[0]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_pinned_to_its_request_until_the_request_ends() {
    for backend in Backend::all().await {
        let test = backend.database().await;
        let db = open(&test, 3).await;
        let (one, other) = (db.for_request(AccessScope::Unrestricted), db.for_request(AccessScope::Unrestricted));

        let of_one = [ask(&one).await, ask(&one).await, ask(&one).await];
        let of_other = ask(&other).await;

        assert_eq!(of_one, [of_one[0]; 3], "{backend:?}");
        assert_eq!(of_one[0] == of_other, backend == Backend::Sqlite, "{backend:?}");
        drop((one, other));
        while db.usage().in_use > 0 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_requests_with_concurrent_statements_share_few_connections() {
    for backend in Backend::all().await {
        let test = backend.database().await;
        for connections in [1, 2, 5] {
            let db = open(&test, connections).await;
            let request = async || {
                let db = db.for_request(AccessScope::Unrestricted);
                for _round in 0..4 {
                    join_all((0..3).map(|_| ask(&db))).await;
                }
            };

            join_all((0..20).map(|_| request())).await;

            let usage = db.usage();
            assert!(usage.size <= connections && usage.waiting == 0, "{backend:?} {connections} {usage:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_releases_its_pinned_connection_before_it_writes() {
    for backend in Backend::all().await {
        let test = backend.database().await;
        let db = open(&test, 1).await.for_request(AccessScope::Unrestricted);
        ask(&db).await;

        let transaction = db.begin().await.expect("the only connection");
        transaction.commit().await.expect("nothing to go wrong");

        ask(&db).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_can_use_another_connection_after_a_cancelled_statement() {
    for backend in Backend::all().await {
        let test = backend.database().await;
        let db = open(&test, 1).await.for_request(AccessScope::Unrestricted);
        let mut endless = db.sql();
        endless.either(
            "with recursive n (i) as (select 1 union all select i + 1 from n) select count(*) from n",
            "select count(*) from generate_series(1, 1000000000000)",
        );
        {
            let mut cancelled = std::pin::pin!(db.fetch::<i64>("endless", endless));
            while db.usage().in_use == 0 || db.usage().waiting > 0 {
                assert!(futures_util::poll!(&mut cancelled).is_pending());
                tokio::task::yield_now().await;
            }
        }

        ask(&db).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn overflow_connections_are_opened_for_requests_that_waited() {
    for backend in Backend::all().await.into_iter().filter(|backend| *backend == Backend::Postgres) {
        let test = backend.database().await;
        let mut config = test.config.clone();
        (config.pool_size, config.max_overflow) = (2, 1);
        let db = Db::open(&config).await.expect("the database");

        join_all((0..2).map(|_| async { ask(&db.for_request(AccessScope::Unrestricted)).await })).await;
        assert!(db.usage().size <= 2, "{:?}", db.usage());

        let transactions = [db.begin().await.expect("a connection"), db.begin().await.expect("a connection")];
        assert!(ask(&db).await > 0);
        assert_eq!((db.usage().size, db.usage().max), (3, 3));
        drop(transactions);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_the_server_closed_are_replaced_without_a_failure() {
    for backend in Backend::all().await.into_iter().filter(|backend| *backend == Backend::Postgres) {
        let test = backend.database().await;
        let db = open(&test, 3).await;
        let before = join_all((0..3).map(|_| async { ask(&db.for_request(AccessScope::Unrestricted)).await })).await;

        let mut end = test.db.sql();
        end.push("select count(pg_terminate_backend(pid)) from pg_stat_activity where pid::text = any(");
        end.bind(Arg::Texts(before.iter().map(i64::to_string).collect())).push(")");
        test.db.fetch::<i64>("end", end).await.expect("the right to end connections");

        // A read is repeated on another connection.
        let mut answered = Vec::new();
        for _ in 0..10 {
            answered.push(ask(&db.for_request(AccessScope::Unrestricted)).await);
        }
        assert!(answered.iter().all(|connection| !before.contains(connection)), "{before:?} {answered:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_a_database_closes_all_connections() {
    for backend in Backend::all().await {
        let test = backend.database().await;
        let db = open(&test, 3).await;
        join_all((0..6).map(|_| async { ask(&db.for_request(AccessScope::Unrestricted)).await })).await;
        let request = db.for_request(AccessScope::Unrestricted);
        ask(&request).await;

        let (closed, ()) =
            tokio::join!(tokio::time::timeout(Duration::from_secs(10), db.close()), async { drop(request) });

        closed.expect("every connection comes back");
        assert_eq!(db.usage().size, 0, "{backend:?}");
        assert_eq!(
            db.fetch::<i64>("connection_id", connection_id(&db)).await.expect_err("it is closed").code,
            Code::Unavailable
        );
    }
}
