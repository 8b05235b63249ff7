//! The database: there, whole, as new as the program, safe, with room.
use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{super::system, Finding};
use crate::{
    catalog::collection,
    config::Config,
    db::{Db, migrate},
};

/// How long a server may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long one check may take: a large file is read as a whole.
const CHECK_TIMEOUT: Duration = Duration::from_secs(3_600);

/// How far the clocks of program and database may be apart.
const CLOCKS_APART_MAX: Duration = Duration::from_secs(1);

/// Free bytes below which a warning is due, however small the database.
const FREE_BYTES_MIN: u64 = 256 << 20;

/// What is found wrong with a file at most.
const FAULTS_MAX: usize = 3;

pub(super) async fn check(config: &Config, repair: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    let file = config.database.file();
    if let Some(file) = &file
        && !file.exists()
    {
        // Opening it would make it.
        let found = format!("there is no file {} yet", file.display());
        findings.push(Finding::warning("database", found, "`gatherum` makes it when it starts"));
        findings.extend(disk(file));
        return findings;
    }
    let mut settings = config.database.clone();
    (settings.pool_timeout, settings.statement_timeout) = (CONNECT_TIMEOUT, CHECK_TIMEOUT);
    let db = match Db::open(&settings).await {
        Ok(db) => db,
        Err(error) => {
            let remedy = "the rest was not checked, so ask again then";
            findings.push(Finding::problem("database", format!("{error:#}"), remedy));
            return findings;
        }
    };
    findings.push(version(&db).await);
    if let Some(file) = file {
        findings.extend([integrity(&db).await, durability_of_file(&db).await, permissions(&file)]);
        findings.extend(disk(&file));
    } else {
        findings.extend([clocks(&db).await, durability_of_server(&db).await, connections(&db, config).await]);
    }
    findings.extend(migrations(&db, repair).await);
    db.close().await;
    findings
}

/// One row of one statement.
async fn one<T: crate::db::Record>(db: &Db, sqlite: &'static str, postgres: &'static str) -> Result<T, Box<Finding>> {
    let mut sql = db.sql();
    sql.either(sqlite, postgres);
    let unanswered = |found: String| {
        Box::new(Finding::problem("database", found, "look at the log of the database, or at its disk"))
    };
    match db.fetch::<T>("doctor", sql).await {
        Ok(mut rows) if !rows.is_empty() => Ok(rows.swap_remove(0)),
        Ok(_) => Err(unanswered("it answers with nothing".to_owned())),
        Err(error) => Err(unanswered(format!("{error} ({})", error.source_chain()))),
    }
}

async fn version(db: &Db) -> Finding {
    let text = one::<String>(
        db,
        "select 'SQLite ' || sqlite_version()",
        "select 'PostgreSQL ' || current_setting('server_version')",
    );
    text.await.map_or_else(|finding| *finding, |text| Finding::ok("database", format!("{text} answers")))
}

async fn integrity(db: &Db) -> Finding {
    let mut sql = db.sql();
    sql.push("pragma quick_check(10)");
    let remedy = "load a backup; what can still be read is written by `gatherum export`";
    match db.fetch::<String>("doctor.quick_check", sql).await {
        Ok(faults) if faults == ["ok"] => Finding::ok("integrity", "the file is whole"),
        Ok(faults) => {
            let faults = faults[..faults.len().min(FAULTS_MAX)].join("; ").replace('\n', " ");
            Finding::problem("integrity", format!("the file is damaged: {faults}"), remedy)
        }
        Err(error) => {
            Finding::problem("integrity", format!("the file cannot be read: {}", error.source_chain()), remedy)
        }
    }
}

async fn durability_of_file(db: &Db) -> Finding {
    let mode = one::<String>(db, "pragma journal_mode", "").await;
    let synchronous = one::<i64>(db, "pragma synchronous", "").await;
    match (mode, synchronous) {
        (Ok(mode), Ok(2..)) if mode == "wal" => {
            Finding::ok("durability", "journal_mode=wal, synchronous=full: what is acknowledged is kept")
        }
        (Ok(mode), Ok(_)) if mode == "wal" => Finding::warning(
            "durability",
            "synchronous=normal: the last writes may be lost with the power",
            "set database.synchronous to full where that matters",
        ),
        (Ok(mode), Ok(_)) => Finding::warning(
            "durability",
            format!("journal_mode={mode}: reads wait for writes"),
            "put the file on a local disk, where SQLite can keep a write-ahead log",
        ),
        (Err(finding), _) | (_, Err(finding)) => *finding,
    }
}

async fn durability_of_server(db: &Db) -> Finding {
    let text = "select string_agg(name || '=' || setting, ', ' order by name) from pg_settings
        where name in ('fsync', 'full_page_writes', 'synchronous_commit') and setting = 'off'";
    match one::<Option<String>>(db, "", text).await {
        Ok(None) => Finding::ok("durability", "what is acknowledged is kept"),
        Ok(Some(off)) => Finding::warning(
            "durability",
            format!("the server runs with {off}: a loss of power loses data"),
            "set it to on in postgresql.conf",
        ),
        Err(finding) => *finding,
    }
}

/// The files of a SQLite database.
fn files(file: &Path) -> Vec<PathBuf> {
    let beside = |ending: &str| {
        let mut name = file.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    };
    [file.to_owned(), beside("-wal"), beside("-shm")].into_iter().filter(|file| file.exists()).collect()
}

fn permissions(file: &Path) -> Finding {
    let open: Vec<_> = files(file).into_iter().filter(|file| system::is_open_to_others(file)).collect();
    if open.is_empty() {
        return Finding::ok("permissions", "the files are their owner's alone");
    }
    let names = open.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(" ");
    Finding::warning("permissions", "others may read or write the database", format!("chmod 600 {names}"))
}

fn disk(file: &Path) -> Option<Finding> {
    let directory = file.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let free = system::free_bytes(directory)?;
    let size: u64 = files(file).iter().filter_map(|file| fs::metadata(file).ok()).map(|found| found.len()).sum();
    let (free_mib, size_mib) = (free >> 20, size >> 20);
    Some(match free < FREE_BYTES_MIN.max(size) {
        true => Finding::warning(
            "disk",
            format!("{free_mib} MiB are free beside {size_mib} MiB of database"),
            "make room: a backup takes as much as the database",
        ),
        false => Finding::ok("disk", format!("{free_mib} MiB are free beside {size_mib} MiB of database")),
    })
}

async fn clocks(db: &Db) -> Finding {
    let before = now();
    let theirs = match one::<i64>(db, "", "select (extract(epoch from clock_timestamp()) * 1000)::bigint").await {
        Ok(milliseconds) => Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0)),
        Err(finding) => return *finding,
    };
    // Theirs was read at some time between: only what lies outside is a difference.
    let apart = before.saturating_sub(theirs).max(theirs.saturating_sub(now()));
    match apart > CLOCKS_APART_MAX {
        true => Finding::warning(
            "clocks",
            format!("this machine and the database are {} apart", humantime::format_duration(apart)),
            "have both keep time by NTP: lists by time mix what either wrote",
        ),
        false => Finding::ok("clocks", "this machine and the database agree"),
    }
}

async fn connections(db: &Db, config: &Config) -> Finding {
    let text =
        "select current_setting('max_connections')::bigint - current_setting('superuser_reserved_connections')::bigint";
    let wanted = i64::from(config.database.pool_size) + i64::from(config.database.max_overflow);
    match one::<i64>(db, "", text).await {
        Ok(allowed) if wanted > allowed => Finding::warning(
            "connections",
            format!("the server allows {allowed}, the pool may take {wanted}"),
            "raise max_connections, or lower DATABASE_POOL_SIZE and DATABASE_MAX_OVERFLOW",
        ),
        Ok(allowed) => {
            Finding::ok("connections", format!("the server allows {allowed}, the pool takes {wanted} at most"))
        }
        Err(finding) => *finding,
    }
}

/// Migrations, and what only a migrated database can be asked.
async fn migrations(db: &Db, repair: bool) -> Vec<Finding> {
    let (known, unknown) = match (migrate::status(db).await, migrate::unknown(db).await) {
        (Ok(known), Ok(unknown)) => (known, unknown),
        (Err(error), _) | (_, Err(error)) => {
            let remedy = "look at the log of the database, and at the rights of its user";
            return vec![Finding::problem("migrations", format!("they cannot be read: {error:#}"), remedy)];
        }
    };
    if !unknown.is_empty() {
        let found = format!("the database has {unknown:?}, which this release does not know");
        let remedy = "run the newer release, or go back with its `gatherum migrate down`";
        return vec![Finding::problem("migrations", found, remedy)];
    }
    let pending = known.iter().filter(|status| !status.applied).count();
    if pending > 0 {
        let found = format!("{pending} of {} are pending", known.len());
        return vec![Finding::warning(
            "migrations",
            found,
            "`gatherum` applies them when it starts, as `gatherum migrate up` does",
        )];
    }
    let applied = Finding::ok("migrations", format!("all {} are applied", known.len()));
    vec![applied, last_migration(db).await, counts(db, repair).await]
}

/// Whether time went on since the database was migrated.
async fn last_migration(db: &Db) -> Finding {
    let seconds = one::<i64>(
        db,
        "select coalesce(cast(strftime('%s', max(installed_on)) as integer), 0) from _sqlx_migrations",
        "select coalesce(extract(epoch from max(installed_on))::bigint, 0) from _sqlx_migrations",
    );
    match seconds.await {
        Ok(seconds) if Duration::from_secs(u64::try_from(seconds).unwrap_or(0)) > now() + CLOCKS_APART_MAX => {
            Finding::problem("time", "the database was migrated in the future", "set the clock, which went back")
        }
        Ok(_) => Finding::ok("time", "it went on since the database was migrated"),
        Err(finding) => *finding,
    }
}

async fn counts(db: &Db, repair: bool) -> Finding {
    let wrong = match collection::wrong_counts(db).await {
        Ok(wrong) => wrong,
        Err(error) => {
            let found = format!("they cannot be compared: {error} ({})", error.source_chain());
            return Finding::problem("counts", found, "look at the log of the database, or at its disk");
        }
    };
    if wrong == 0 {
        return Finding::ok("counts", "the kept counts are right");
    }
    if !repair {
        return Finding::problem("counts", format!("{wrong} kept counts are wrong"), "run `gatherum doctor --repair`");
    }
    match collection::repair_counts(db).await {
        Ok(()) => Finding::ok("counts", format!("{wrong} kept counts were wrong and are right now")),
        Err(error) => {
            let found =
                format!("{wrong} kept counts are wrong and could not be set right: {error} ({})", error.source_chain());
            Finding::problem("counts", found, "try again, or set database.busy_timeout higher")
        }
    }
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
