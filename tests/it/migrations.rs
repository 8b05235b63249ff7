//! Migrations: the same on both databases, reversible, and applied by one process at a time.
use std::{collections::BTreeSet, fs, path::Path};

use gatherum::db::{Arg, Db, Time, migrate};
use uuid::Uuid;

use crate::{backend::Backend, fixture};

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
