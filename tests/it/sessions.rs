//! The statements of one request share a connection, and requests never wait for each other's for ever.
use std::time::Duration;

use futures_util::future::join_all;
use gatherum::{
    db::{AccessScope, Arg, Db, Sql},
    error::Code,
};

use crate::backend::{Backend, TestDb};

/// Of a pool with `connections`, which gives up after two seconds.
async fn open(test: &TestDb, connections: u32) -> Db {
    let mut config = test.config.clone();
    (config.pool_size, config.max_overflow) = (connections, 0);
    config.pool_timeout = Duration::from_secs(2);
    Db::open(&config).await.expect("the database")
}

/// Which connection answers; SQLite has no name for it.
fn who(db: &Db) -> Sql {
    let mut sql = db.sql();
    sql.either("select cast(1 as bigint)", "select cast(pg_backend_pid() as bigint)");
    sql
}

async fn ask(db: &Db) -> i64 {
    db.fetch::<i64>("who", who(db)).await.expect("an answer")[0]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_keeps_its_connection_until_it_ends() {
    for backend in Backend::all().await {
        let test = backend.database().await;
        let db = open(&test, 3).await;
        let (one, other) = (db.session(AccessScope::Unrestricted), db.session(AccessScope::Unrestricted));

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
async fn many_requests_with_statements_side_by_side_share_few_connections() {
    for backend in Backend::all().await {
        let test = backend.database().await;
        for connections in [1, 2, 5] {
            let db = open(&test, connections).await;
            let request = async || {
                let session = db.session(AccessScope::Unrestricted);
                for _round in 0..4 {
                    join_all((0..3).map(|_| ask(&session))).await;
                }
            };

            join_all((0..20).map(|_| request())).await;

            let usage = db.usage();
            assert!(usage.size <= connections && usage.waiting == 0, "{backend:?} {connections} {usage:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_writes_gives_its_connection_back_first() {
    for backend in Backend::all().await {
        let test = backend.database().await;
        let db = open(&test, 1).await.session(AccessScope::Unrestricted);
        ask(&db).await;

        let transaction = db.begin().await.expect("the only connection");
        transaction.commit().await.expect("nothing to go wrong");

        ask(&db).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_was_given_up_leaves_its_request_another_connection() {
    for backend in Backend::all().await {
        let test = backend.database().await;
        let db = open(&test, 1).await.session(AccessScope::Unrestricted);
        let mut endless = db.sql();
        endless.either(
            "with recursive n (i) as (select 1 union all select i + 1 from n) select count(*) from n",
            "select count(*) from generate_series(1, 1000000000000)",
        );
        {
            let mut given_up = std::pin::pin!(db.fetch::<i64>("endless", endless));
            while db.usage().in_use == 0 || db.usage().waiting > 0 {
                assert!(futures_util::poll!(&mut given_up).is_pending());
                tokio::task::yield_now().await;
            }
        }

        ask(&db).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_above_those_that_are_kept_are_opened_for_who_has_waited() {
    for backend in Backend::all().await.into_iter().filter(|backend| *backend == Backend::Postgres) {
        let test = backend.database().await;
        let mut config = test.config.clone();
        (config.pool_size, config.max_overflow) = (2, 1);
        let db = Db::open(&config).await.expect("the database");

        join_all((0..2).map(|_| async { ask(&db.session(AccessScope::Unrestricted)).await })).await;
        assert!(db.usage().size <= 2, "{:?}", db.usage());

        let kept = [db.begin().await.expect("a connection"), db.begin().await.expect("a connection")];
        let above = ask(&db).await;
        assert!(above > 0);
        assert_eq!((db.usage().size, db.usage().max), (3, 3));
        drop(kept);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_closed_its_connections_is_asked_over_new_ones() {
    for backend in Backend::all().await.into_iter().filter(|backend| *backend == Backend::Postgres) {
        let test = backend.database().await;
        let db = open(&test, 3).await;
        let before = join_all((0..3).map(|_| async { ask(&db.session(AccessScope::Unrestricted)).await })).await;

        let mut end = test.db.sql();
        end.push("select count(pg_terminate_backend(pid)) from pg_stat_activity where pid::text = any(");
        end.bind(Arg::Texts(before.iter().map(i64::to_string).collect())).push(")");
        test.db.fetch::<i64>("end", end).await.expect("the right to end connections");

        let mut answered = Vec::new();
        for _ in 0..10 {
            answered.extend(
                db.session(AccessScope::Unrestricted).fetch::<i64>("who", who(&db)).await.ok().map(|who| who[0]),
            );
        }
        assert!(answered.len() >= 7, "each connection fails at most once: {answered:?}");
        assert!(answered.iter().all(|connection| !before.contains(connection)), "{before:?} {answered:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_open_by_a_database_that_was_closed() {
    for backend in Backend::all().await {
        let test = backend.database().await;
        let db = open(&test, 3).await;
        join_all((0..6).map(|_| async { ask(&db.session(AccessScope::Unrestricted)).await })).await;
        let kept = db.session(AccessScope::Unrestricted);
        ask(&kept).await;

        let (closed, ()) =
            tokio::join!(tokio::time::timeout(Duration::from_secs(10), db.close()), async { drop(kept) });

        closed.expect("every connection comes back");
        assert_eq!(db.usage().size, 0, "{backend:?}");
        assert_eq!(db.fetch::<i64>("who", who(&db)).await.expect_err("it is closed").code, Code::Unavailable);
    }
}
