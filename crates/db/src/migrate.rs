//! Reversible migrations for both databases. One process migrates at a time.
mod copy;
mod text;

use std::{
    collections::HashSet,
    fs::{File, OpenOptions},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use sqlx::{
    ConnectOptions, Connection, PgConnection, SqlSafeStr,
    migrate::{Migrate, MigrateError, Migration, MigrationType, Migrator},
};
use tokio::{pin, time::timeout};
use tracing::info;

use super::{Db, Dialect, Pools, either};
use crate::statement;

/// Declares migrations by version and name. Released migrations are never edited.
macro_rules! migrations {
    ($($version:literal $name:literal),* $(,)?) => {
        &[$(MigrationTexts {
            version: $version,
            name: $name,
            sqlite: (
                include_str!(concat!("../../../migrations/sqlite/", $name, ".up.sql")),
                include_str!(concat!("../../../migrations/sqlite/", $name, ".down.sql")),
            ),
            postgres: (
                include_str!(concat!("../../../migrations/postgres/", $name, ".up.sql")),
                include_str!(concat!("../../../migrations/postgres/", $name, ".down.sql")),
            ),
        }),*]
    };
}

const MIGRATIONS: &[MigrationTexts] = migrations![
    1 "0001_catalogue",
    2 "0002_writing",
    3 "0003_access",
    4 "0004_sharing",
    5 "0005_homepage",
    6 "0006_documents",
    7 "0007_search",
];

/// The migration whose texts the program writes: it normalises names before, and fills the indexes after.
const SEARCH: i64 = 7;

/// Time after which a process logs that it waits for another one.
const REPORT_AFTER: Duration = Duration::from_secs(2);

/// The table of applied migrations.
const TABLE: &str = "_sqlx_migrations";

/// A migration and its SQL, up and down.
struct MigrationTexts {
    version: i64,
    name: &'static str,
    sqlite: (&'static str, &'static str),
    postgres: (&'static str, &'static str),
}

/// A migration and whether it is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationStatus {
    /// The version.
    pub version: i64,
    /// The name.
    pub name: &'static str,
    /// Whether it is applied.
    pub applied: bool,
}

/// Applies pending migrations and returns their names. A concurrent process waits, and then has nothing to apply. A SQLite file of an earlier release
/// is copied first; the two newest copies are kept.
///
/// # Errors
/// The database has migrations of a newer release, an applied migration has a different text, the copy cannot be written, or
/// a statement fails. Each migration is one transaction. The texts of earlier releases are normalised in many; a later call
/// continues.
pub async fn up(db: &Db) -> Result<Vec<&'static str>> {
    let lock = MigrationLock::acquire(db).await?;
    let outcome = up_locked(db).await;
    lock.release().await;
    outcome
}

async fn up_locked(db: &Db) -> Result<Vec<&'static str>> {
    let before = applied(db).await?;
    if let Some(version) = before.iter().find(|version| !is_known(**version)) {
        bail!(newer_release(*version));
    }
    let pending: Vec<_> = MIGRATIONS.iter().filter(|texts| !before.contains(&texts.version)).collect();
    if let (Some(first), Pools::Sqlite(pool)) = (pending.first(), &*db.pools)
        && !before.is_empty()
    {
        copy::write(db, pool.path(), first.name).await?;
    }
    if !before.is_empty() && !before.contains(&SEARCH) {
        text::normalize_names(db).await?;
    }
    run(db, Direction::Up).await?;
    text::fill_words(db).await?;
    if let Pools::Sqlite(pool) = &*db.pools {
        copy::remove_old(pool.path());
    }
    Ok(pending.iter().map(|texts| texts.name).collect())
}

/// Reverts the last `count` migrations and returns their names, newest first.
///
/// # Errors
/// As [`up`].
pub async fn down(db: &Db, count: usize) -> Result<Vec<&'static str>> {
    let lock = MigrationLock::acquire(db).await?;
    let outcome = down_locked(db, count).await;
    lock.release().await;
    outcome
}

async fn down_locked(db: &Db, count: usize) -> Result<Vec<&'static str>> {
    let before = applied(db).await?;
    let mut newest: Vec<&MigrationTexts> = MIGRATIONS.iter().filter(|texts| before.contains(&texts.version)).collect();
    newest.reverse();
    let target = newest.get(count).map_or(0, |texts| texts.version);
    if !newest.is_empty() {
        run(db, Direction::DownTo(target)).await?;
    }
    Ok(newest.iter().take(count).map(|texts| texts.name).collect())
}

/// All migrations of this release, oldest first.
///
/// # Errors
/// The database does not answer.
pub async fn status(db: &Db) -> Result<Vec<MigrationStatus>> {
    let applied = read_applied(db).await?;
    Ok(MIGRATIONS
        .iter()
        .map(|texts| MigrationStatus {
            version: texts.version,
            name: texts.name,
            applied: applied.contains(&texts.version),
        })
        .collect())
}

/// Versions of applied migrations that this release does not have, because a newer release migrated the database.
///
/// # Errors
/// The database does not answer.
pub async fn unknown(db: &Db) -> Result<Vec<i64>> {
    let mut unknown: Vec<i64> = read_applied(db).await?.into_iter().filter(|version| !is_known(*version)).collect();
    unknown.sort_unstable();
    Ok(unknown)
}

fn is_known(version: i64) -> bool {
    MIGRATIONS.iter().any(|texts| texts.version == version)
}

fn newer_release(version: i64) -> String {
    format!(
        "the database has migration {version}, which this release does not have: run the newer release, or revert it \
         there with `gatherum migrate down`"
    )
}

#[derive(Clone, Copy)]
enum Direction {
    Up,
    DownTo(i64),
}

async fn run(db: &Db, direction: Direction) -> Result<()> {
    // The caller has the lock.
    let mut migrator = migrator(db.dialect());
    migrator.set_locking(false);
    let outcome = match &*db.pools {
        Pools::Sqlite(pool) => {
            let mut writer = pool.acquire_writer().await?;
            let connection = writer.as_mut().context("the write connection is closed")?;
            direct(&migrator, connection, direction).await
        }
        Pools::Postgres { primary, .. } => {
            let mut lease = primary.acquire().await?;
            for sql in ["set statement_timeout = 0", "set lock_timeout = 0"] {
                sqlx::query(sql).execute(&mut *lease.connection).await?;
            }
            let outcome = direct(&migrator, &mut *lease.connection, direction).await;
            // The timeouts were changed: the connection must not return to the pool.
            drop(lease.connection.detach());
            outcome
        }
    };
    match outcome {
        Ok(()) => Ok(()),
        Err(MigrateError::VersionMissing(version)) => bail!(newer_release(version)),
        Err(MigrateError::VersionMismatch(version)) => {
            bail!("migration {version} was applied with a different text: restore that text, or restore a backup")
        }
        Err(MigrateError::Dirty(version)) => bail!("migration {version} was interrupted: restore a backup"),
        Err(error) => Err(error).context("cannot migrate the database"),
    }
}

async fn direct<C: Migrate>(migrator: &Migrator, connection: &mut C, direction: Direction) -> Result<(), MigrateError> {
    match direction {
        Direction::Up => migrator.run_direct(None, connection, false).await,
        Direction::DownTo(target) => undo(migrator, connection, target).await,
    }
}

/// Like `Migrator::undo`, but on a borrowed connection.
async fn undo<C: Migrate>(migrator: &Migrator, connection: &mut C, target: i64) -> Result<(), MigrateError> {
    connection.ensure_migrations_table(TABLE).await?;
    let applied: HashSet<i64> =
        connection.list_applied_migrations(TABLE).await?.into_iter().map(|migration| migration.version).collect();
    let newest_first = migrator.iter().rev().filter(|migration| migration.migration_type.is_down_migration());
    for migration in newest_first.filter(|migration| migration.version > target && applied.contains(&migration.version))
    {
        connection.revert(TABLE, migration).await?;
    }
    Ok(())
}

fn migrator(dialect: Dialect) -> Migrator {
    let mut migrations = Vec::new();
    for texts in MIGRATIONS {
        let (up, down) = match dialect {
            Dialect::Sqlite => texts.sqlite,
            Dialect::Postgres => texts.postgres,
        };
        for (kind, text) in [(MigrationType::ReversibleUp, up), (MigrationType::ReversibleDown, down)] {
            migrations.push(Migration::new(texts.version, texts.name.into(), kind, text.into_sql_str(), false));
        }
    }
    Migrator::with_migrations(migrations)
}

/// The versions of applied migrations. Creates the table of migrations; the caller has the lock.
async fn applied(db: &Db) -> Result<HashSet<i64>> {
    let migrations = match &*db.pools {
        Pools::Sqlite(pool) => {
            let mut writer = pool.acquire_writer().await?;
            let connection = writer.as_mut().context("the write connection is closed")?;
            connection.ensure_migrations_table(TABLE).await?;
            connection.list_applied_migrations(TABLE).await?
        }
        Pools::Postgres { primary, .. } => {
            let mut connection = primary.acquire().await?.connection;
            connection.ensure_migrations_table(TABLE).await?;
            connection.list_applied_migrations(TABLE).await?
        }
    };
    Ok(migrations.into_iter().map(|migration| migration.version).collect())
}

/// The versions of applied migrations, without the lock and without creating the table.
async fn read_applied(db: &Db) -> Result<HashSet<i64>> {
    let db = db.primary();
    let tables = either(
        "select count(*) from sqlite_master where type = 'table' and name = '_sqlx_migrations'",
        "select count(*) from pg_tables where tablename = '_sqlx_migrations' and schemaname = any(current_schemas(false))",
    );
    if db.fetch::<i64>("migrate.table", statement!(db, "{tables}", tables)).await?.first() == Some(&0) {
        return Ok(HashSet::new());
    }
    let sql = statement!(db, "select version from _sqlx_migrations");
    Ok(db.fetch::<i64>("migrate.applied", sql).await?.into_iter().collect())
}

/// Excludes other processes that migrate the same database: by a lock on a file beside a SQLite file, or by an advisory lock
/// of PostgreSQL, which is that of sqlx. Earlier releases take it too, but only after they have created the table of
/// migrations, on which two of them could fail.
enum MigrationLock {
    Sqlite(#[expect(dead_code, reason = "held until dropped")] File),
    Postgres(Box<PgConnection>),
}

impl MigrationLock {
    async fn acquire(db: &Db) -> Result<Self> {
        match &*db.pools {
            Pools::Sqlite(pool) => Ok(Self::Sqlite(reported(lock_file(pool.path())).await?)),
            Pools::Postgres { options, .. } => {
                // A connection of its own: the pool may have only one, which the migrations need.
                let options = (**options).clone().options([("statement_timeout", "0"), ("lock_timeout", "0")]);
                let mut connection = options.connect().await?;
                reported(connection.lock()).await?;
                Ok(Self::Postgres(Box::new(connection)))
            }
        }
    }

    async fn release(self) {
        if let Self::Postgres(connection) = self {
            // The server releases the lock of a lost connection too.
            let _ = connection.close().await;
        }
    }
}

/// Waits for a lock, and logs that it waits.
async fn reported<T>(wait: impl Future<Output = T>) -> T {
    pin!(wait);
    match timeout(REPORT_AFTER, &mut wait).await {
        Ok(acquired) => acquired,
        Err(_) => {
            info!("waiting for another process that migrates the database");
            wait.await
        }
    }
}

/// Locks the file beside a SQLite file that excludes other processes which create or migrate it.
pub(super) async fn lock_file(database: &Path) -> Result<File> {
    let path = beside(database, ".lock");
    tokio::task::spawn_blocking(move || {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
        Ok(file)
    })
    .await?
}

/// The path with a suffix after the name of the file.
fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
