//! Migrations: the same on both databases, reversible, and applied by one process at a time.
use std::{collections::BTreeSet, fs, path::Path, process::Stdio};

use gatherum::db::{Arg, Db, Time, migrate};
use uuid::Uuid;

use crate::{
    backend::{Backend, TestDb},
    fixture,
    process::{Sandbox, Served},
};

#[test]
fn both_databases_have_the_same_migrations() {
    let names = |database: &str| -> BTreeSet<String> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(database);
        let entries = fs::read_dir(folder).expect("a folder");
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
    };

    assert_eq!(names("sqlite"), names("postgres"));
}

#[tokio::test]
async fn migrations_go_down_and_up_again() {
    for backend in Backend::all().await {
        let test = backend.database().await;
        fixture::fill(&test.db, 5).await;

        assert_eq!(migrate::up(&test.db).await.expect("nothing to do"), Vec::<&str>::new());
        let down = migrate::down(&test.db, 100).await.expect("all of them");
        let up = migrate::up(&test.db).await.expect("all of them");

        assert_eq!(down.len(), up.len(), "{backend:?}");
        assert!(migrate::status(&test.db).await.expect("a status").iter().all(|status| status.applied));
        fixture::fill(&test.db, 5).await;
    }
}

/// Accounts were introduced by an earlier migration than owners.
#[tokio::test]
async fn objects_without_owner_are_assigned_to_the_first_account() {
    for backend in Backend::all().await {
        let test = backend.database().await;
        fixture::fill(&test.db, 5).await;
        let owned = async || {
            let mut sql = test.db.sql();
            sql.push("select count(*) from artifacts a join collections c on c.owner_id = a.owner_id");
            sql.push(" join users u on u.id = a.owner_id where u.name = 'first'");
            test.db.fetch::<i64>("test", sql).await.expect("a count")[0]
        };
        assert_eq!(owned().await, 0);
        let status = migrate::status(&test.db).await.expect("the migrations");
        let with_owners = status.iter().filter(|migration| migration.version >= 4).count();
        migrate::down(&test.db, with_owners).await.expect("down to before owners");
        let mut tx = test.db.begin().await.expect("a transaction");
        for (n, name) in ["second", "first"].into_iter().enumerate() {
            let mut sql = tx.sql();
            sql.push("insert into users (id, name, created_at, updated_at) values (");
            sql.bind(Arg::Id(Uuid::from_u128(n as u128))).push(", ").bind(Arg::Text(Some(name.to_owned()))).push(", ");
            sql.bind(Arg::Time(Time(10 - n as i64))).push(", ").bind(Arg::Time(Time(10))).push(")");
            tx.execute("test", sql).await.expect("an account");
        }
        tx.commit().await.expect("a commit");
        migrate::up(&test.db).await.expect("up again");

        assert_eq!(owned().await, 5 * 3, "{backend:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_processes_can_migrate() {
    for backend in Backend::all().await {
        let test = backend.database().await;
        migrate::down(&test.db, 100).await.expect("an empty database");
        let starts = (0..4).map(|_| {
            let config = test.config.clone();
            tokio::spawn(async move {
                let db = Db::open(&config).await?;
                let applied = migrate::up(&db).await?.len();
                db.close().await;
                anyhow::Ok(applied)
            })
        });

        let mut applied = 0;
        for start in starts.collect::<Vec<_>>() {
            start.await.expect("a task").expect("a migrated database");
            applied += 1;
        }

        assert_eq!(applied, 4);
        assert!(migrate::status(&test.db).await.expect("a status").iter().all(|status| status.applied));
    }
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_may_access_the_file() {
    use std::os::unix::fs::PermissionsExt;

    let test = Backend::Sqlite.database().await;
    fixture::fill(&test.db, 1).await;
    migrate::down(&test.db, 1).await.expect("the last migration");
    migrate::up(&test.db).await.expect("the last migration");
    let path = test.config.url.trim_start_matches("sqlite://").to_owned();
    for suffix in ["", "-wal", "-shm", ".lock"] {
        let metadata = fs::metadata(format!("{path}{suffix}")).expect("a file");

        assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "{suffix}");
    }
}

#[tokio::test]
async fn a_backup_is_complete_and_only_its_owner_may_access_it() {
    let test = Backend::Sqlite.database().await;
    fixture::fill(&test.db, 5).await;
    let directory = tempfile::TempDir::new().expect("a directory");
    let path = directory.path().join("copy.db");

    test.db.backup(&path).await.expect("a copy");

    assert!(test.db.backup(&path).await.is_err(), "an existing file is not overwritten");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o600);
    }
    let config = gatherum::db::Config { url: format!("sqlite://{}", path.display()), ..test.config.clone() };
    let copy = Db::open(&config).await.expect("the copy");
    assert!(migrate::up(&copy).await.expect("nothing to do").is_empty());
    let mut sql = copy.sql();
    sql.push("select count(*) from artifacts");
    assert_eq!(copy.fetch::<i64>("count", sql).await.expect("a count"), [5]);
}

/// Environment variable with the number of rounds of simultaneous starts.
const ROUNDS: &str = "GATHERUM_TEST_STARTS";

/// An empty database for processes: a URL, and the database that is dropped with the test.
async fn empty(backend: Backend) -> TestDb {
    let test = backend.database().await;
    let tables = match backend {
        Backend::Sqlite => Vec::new(),
        Backend::Postgres => vec!["drop schema public cascade", "create schema public"],
    };
    for statement in tables {
        let mut tx = test.db.begin().await.expect("a transaction");
        let mut sql = tx.sql();
        sql.push(statement);
        tx.execute("test", sql).await.expect("a statement");
        tx.commit().await.expect("a commit");
    }
    test.db.close().await;
    if backend == Backend::Sqlite {
        let path = test.config.url.trim_start_matches("sqlite://");
        for suffix in ["", "-wal", "-shm", ".lock"] {
            let _ = fs::remove_file(format!("{path}{suffix}"));
        }
    }
    test
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_start_together_on_an_empty_database_all_serve() {
    let rounds: usize = std::env::var(ROUNDS).map_or(3, |rounds| rounds.parse().expect("a number"));
    let sandbox = Sandbox::new();
    for backend in Backend::all().await {
        for _ in 0..rounds {
            let test = empty(backend).await;
            let arguments = format!("--bind 127.0.0.1:0 --log-level error --database-url {}", test.config.url);
            let starts: Vec<_> = (0..3)
                .map(|_| {
                    let command = sandbox.gatherum(&arguments);
                    tokio::task::spawn_blocking(move || Served::start(command))
                })
                .collect();

            for start in starts {
                let served = start.await.expect("a server that is ready");
                let url = format!("http://{}/health/ready", served.address);
                let status = reqwest::get(url).await.expect("a response").status();
                assert_eq!(status, 200, "{backend:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_killed_while_it_migrates_starts_again() {
    let sandbox = Sandbox::new();
    for backend in Backend::all().await {
        let test = backend.database().await;
        fixture::fill(&test.db, 20).await;
        migrate::down(&test.db, 1).await.expect("the last migration");
        let arguments = format!("--bind 127.0.0.1:0 --log-level info --database-url {}", test.config.url);
        // A lock on a table makes the migration wait, so that it is killed before its end.
        let mut tx = test.db.begin().await.expect("a transaction");
        if backend == Backend::Postgres {
            let mut sql = tx.sql();
            sql.push("lock table artifacts in access share mode");
            tx.execute("test", sql).await.expect("a lock");
        }
        let mut child =
            sandbox.gatherum(&arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("a process");
        if backend == Backend::Postgres {
            waits_for_lock(&test.db).await;
        }
        child.kill().expect("a running process");
        child.wait().expect("its end");
        drop(tx);

        let served = Served::start(sandbox.gatherum(&arguments));

        let status =
            reqwest::get(format!("http://{}/health/ready", served.address)).await.expect("a response").status();
        assert_eq!(status, 200, "{backend:?}");
        let mut sql = test.db.sql();
        sql.push("select count(*) from artifacts where name_words is not null");
        assert_eq!(test.db.fetch::<i64>("test", sql).await.expect("a count"), [20], "{backend:?}");
    }
}

/// Returns once another connection waits for the lock of a table.
async fn waits_for_lock(db: &Db) {
    loop {
        let mut sql = db.sql();
        sql.push("select count(*) from pg_locks l join pg_database d on d.oid = l.database where d.datname = current_database() and not l.granted and l.locktype = 'relation'");
        if db.fetch::<i64>("test", sql).await.expect("a count") != [0] {
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_newer_schema_is_rejected_without_a_change() {
    for backend in Backend::all().await {
        let test = backend.database().await;
        let mut tx = test.db.begin().await.expect("a transaction");
        let mut sql = tx.sql();
        sql.push(
            "update _sqlx_migrations set version = 9999 where version = (select max(version) from _sqlx_migrations)",
        );
        tx.execute("test", sql).await.expect("an update");
        tx.commit().await.expect("a commit");

        let error = migrate::up(&test.db).await.expect_err("a newer schema").to_string();

        assert!(error.contains("9999") && error.contains("newer release"), "{error}");
        assert_eq!(migrate::unknown(&test.db).await.expect("versions"), [9999], "{backend:?}");
    }
}

#[tokio::test]
async fn a_sqlite_file_is_copied_before_it_is_migrated() {
    let test = Backend::Sqlite.database().await;
    fixture::fill(&test.db, 5).await;
    let path = test.config.url.trim_start_matches("sqlite://").to_owned();
    let copies = || -> BTreeSet<String> {
        let entries = fs::read_dir(Path::new(&path).parent().expect("a folder")).expect("a folder");
        let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
        names.filter(|name| name.contains(".before-")).collect()
    };
    assert!(copies().is_empty(), "a new file has nothing to copy");
    let newest = migrate::status(&test.db).await.expect("the migrations");
    let name = |back: usize| format!("test.db.before-{}", newest[newest.len() - back].name);

    for back in [3, 1, 2] {
        migrate::down(&test.db, back).await.expect("earlier migrations");
        migrate::up(&test.db).await.expect("up again");
    }

    assert_eq!(copies(), BTreeSet::from([name(1), name(2)]), "the two newest are kept");
    let copy = format!("{path}.before-{}", newest[newest.len() - 2].name);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&copy).expect("a file").permissions().mode() & 0o777, 0o600);
    }
    let config = gatherum::db::Config { url: format!("sqlite://{copy}"), ..test.config.clone() };
    let copied = Db::open(&config).await.expect("the copy");
    let applied = migrate::status(&copied).await.expect("the migrations");
    assert_eq!(applied.iter().filter(|migration| !migration.applied).count(), 2);
    let mut sql = copied.sql();
    sql.push("select count(*) from artifacts");
    assert_eq!(copied.fetch::<i64>("count", sql).await.expect("a count"), [5]);
}

/// A folder in place of the file cannot be written, like a full disk.
#[tokio::test]
async fn nothing_is_migrated_if_the_copy_cannot_be_written() {
    let test = Backend::Sqlite.database().await;
    let newest = migrate::status(&test.db).await.expect("the migrations").pop().expect("a migration").name;
    migrate::down(&test.db, 1).await.expect("the last migration");
    let path = test.config.url.trim_start_matches("sqlite://").to_owned();
    fs::create_dir_all(format!("{path}.before-{newest}/full")).expect("a folder");

    let error = format!("{:#}", migrate::up(&test.db).await.expect_err("no copy"));

    assert!(error.contains("cannot copy") && error.contains("free space"), "{error}");
    assert!(!migrate::status(&test.db).await.expect("the migrations").iter().all(|migration| migration.applied));
    assert!(!Path::new(&format!("{path}.before-{newest}.partial")).exists());
}
