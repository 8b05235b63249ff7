//! Reversible migrations for both databases. One process migrates at a time.
mod text;

use std::{
    collections::HashSet,
    fs::{File, OpenOptions},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use sqlx::{
    SqlSafeStr,
    migrate::{Migrate, MigrateError, Migration, MigrationType, Migrator},
};

use super::{Db, Dialect, Pools};

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

/// Applies pending migrations and returns their names. A concurrent process waits, and then has nothing to apply.
///
/// # Errors
/// The database has migrations of a newer release, an applied migration has a different text, or a statement fails. Each
/// migration is one transaction. The texts of earlier releases are normalised in many; a later call continues.
pub async fn up(db: &Db) -> Result<Vec<&'static str>> {
    let lock = MigrationLock::acquire(db).await?;
    let before = applied(db).await?;
    if !before.is_empty() && !before.contains(&SEARCH) && unknown(db).await?.is_empty() {
        text::normalize_names(db).await?;
    }
    run(db, Direction::Up).await?;
    text::fill_words(db).await?;
    drop(lock);
    Ok(MIGRATIONS.iter().filter(|texts| !before.contains(&texts.version)).map(|texts| texts.name).collect())
}

/// Reverts the last `count` migrations and returns their names, newest first.
///
/// # Errors
/// As [`up`].
pub async fn down(db: &Db, count: usize) -> Result<Vec<&'static str>> {
    let lock = MigrationLock::acquire(db).await?;
    let before = applied(db).await?;
    let mut newest: Vec<&MigrationTexts> = MIGRATIONS.iter().filter(|texts| before.contains(&texts.version)).collect();
    newest.reverse();
    let target = newest.get(count).map_or(0, |texts| texts.version);
    if !newest.is_empty() {
        run(db, Direction::DownTo(target)).await?;
    }
    drop(lock);
    Ok(newest.iter().take(count).map(|texts| texts.name).collect())
}

/// All migrations of this release, oldest first.
///
/// # Errors
/// The database does not answer.
pub async fn status(db: &Db) -> Result<Vec<MigrationStatus>> {
    let applied = applied(db).await?;
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
    let is_known = |version: &i64| MIGRATIONS.iter().any(|texts| texts.version == *version);
    let mut unknown: Vec<i64> = applied(db).await?.into_iter().filter(|version| !is_known(version)).collect();
    unknown.sort_unstable();
    Ok(unknown)
}

#[derive(Clone, Copy)]
enum Direction {
    Up,
    DownTo(i64),
}

async fn run(db: &Db, direction: Direction) -> Result<()> {
    let mut migrator = migrator(db.dialect());
    let outcome = match &*db.pools {
        Pools::Sqlite(pool) => {
            migrator.set_locking(false);
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
        Err(MigrateError::VersionMissing(version)) => bail!(
            "the database has migration {version}, which this release does not have: run the newer release, or revert it there with `gatherum migrate down`"
        ),
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
    if migrator.locking {
        connection.lock().await?;
    }
    connection.ensure_migrations_table(TABLE).await?;
    let applied: HashSet<i64> =
        connection.list_applied_migrations(TABLE).await?.into_iter().map(|migration| migration.version).collect();
    let newest_first = migrator.iter().rev().filter(|migration| migration.migration_type.is_down_migration());
    for migration in newest_first.filter(|migration| migration.version > target && applied.contains(&migration.version))
    {
        connection.revert(TABLE, migration).await?;
    }
    if migrator.locking {
        connection.unlock().await?;
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

/// Excludes other processes that migrate the same SQLite file. For PostgreSQL, sqlx takes an advisory lock itself.
struct MigrationLock(#[expect(dead_code, reason = "held until dropped")] Option<File>);

impl MigrationLock {
    async fn acquire(db: &Db) -> Result<Self> {
        let Pools::Sqlite(pool) = &*db.pools else { return Ok(Self(None)) };
        let path = lock_path(pool.path());
        let file = tokio::task::spawn_blocking(move || {
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(false);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            let file = options.open(&path).with_context(|| format!("cannot open {}", path.display()))?;
            file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
            anyhow::Ok(file)
        })
        .await??;
        Ok(Self(Some(file)))
    }
}

fn lock_path(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}
