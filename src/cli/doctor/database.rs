//! Checks of the database: reachable, intact, durable, migrated, and with free space.
use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{super::system, Finding};
use crate::{
    access::Accounts,
    catalog::collection,
    config::Config,
    db::{Db, either, migrate},
    documents::Mode,
    statement,
};

/// Time limit for connecting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Time limit of one check. The integrity check reads the whole file.
const CHECK_TIMEOUT: Duration = Duration::from_secs(3_600);

/// Maximum difference between the clocks of this machine and the database.
const CLOCK_SKEW_MAX: Duration = Duration::from_secs(1);

/// Minimum number of free bytes, however small the database.
const FREE_BYTES_MIN: u64 = 256 << 20;

/// Maximum number of faults listed for a damaged file.
const FAULTS_MAX: usize = 3;

pub(super) async fn check(config: &Config, repair: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    let file = config.database.file();
    if let Some(file) = &file
        && !file.exists()
    {
        // Opening the database would create the file.
        let found = format!("{} does not exist yet", file.display());
        findings.push(Finding::warning("database", found, "`gatherum` creates it when it starts"));
        findings.extend(disk(file));
        findings.push(accounts(config, false));
        return findings;
    }
    let mut settings = config.database.clone();
    (settings.pool_timeout, settings.statement_timeout) = (CONNECT_TIMEOUT, CHECK_TIMEOUT);
    let db = match Db::open(&settings).await {
        Ok(db) => db,
        Err(error) => {
            let remedy = "fix this and run `gatherum doctor` again: the database was not checked further";
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
    findings.extend(migrations(&db, config, repair).await);
    findings.extend(documents(&db, config).await);
    db.close().await;
    findings
}

/// The only row of a statement.
async fn one<T: crate::db::Record>(db: &Db, sqlite: &'static str, postgres: &'static str) -> Result<T, Box<Finding>> {
    let sql = statement!(db, "{statement}", statement = either(sqlite, postgres));
    let failed =
        |found: String| Box::new(Finding::problem("database", found, "check the log and the disk of the database"));
    match db.fetch::<T>("doctor", sql).await {
        Ok(mut rows) if !rows.is_empty() => Ok(rows.swap_remove(0)),
        Ok(_) => Err(failed("a check returned no row".to_owned())),
        Err(error) => Err(failed(format!("{error} ({})", error.source_chain()))),
    }
}

/// A server that executes only trusted documents needs some.
async fn documents(db: &Db, config: &Config) -> Option<Finding> {
    if config.documents.mode == Mode::Any {
        return None;
    }
    // Without the table, `migrations` has a finding.
    let count = one::<i64>(db, COUNT_TRUSTED, COUNT_TRUSTED).await.ok()?;
    Some(match count {
        0 => Finding::warning(
            "documents",
            "documents.mode is trusted, and there are no trusted documents: every request is rejected",
            "add manifests with `gatherum documents add`",
        ),
        count => Finding::ok("documents", format!("only trusted documents are executed: {count}")),
    })
}

const COUNT_TRUSTED: &str = "select count(*) from trusted_documents";

async fn version(db: &Db) -> Finding {
    let text = one::<String>(
        db,
        "select 'SQLite ' || sqlite_version()",
        "select 'PostgreSQL ' || current_setting('server_version')",
    );
    text.await.map_or_else(|finding| *finding, |text| Finding::ok("database", format!("{text}, reachable")))
}

async fn integrity(db: &Db) -> Finding {
    let sql = statement!(db, "pragma quick_check(10)");
    let remedy = "restore a backup, or save the readable data with `gatherum export`";
    match db.fetch::<String>("doctor.quick_check", sql).await {
        Ok(faults) if faults == ["ok"] => Finding::ok("integrity", "the file is intact"),
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
            Finding::ok("durability", "journal_mode=wal, synchronous=full: acknowledged writes are durable")
        }
        (Ok(mode), Ok(_)) if mode == "wal" => Finding::warning(
            "durability",
            "synchronous=normal: a power failure may lose the last writes",
            "set database.synchronous to full if that is not acceptable",
        ),
        (Ok(mode), Ok(_)) => Finding::warning(
            "durability",
            format!("journal_mode={mode}: reads wait for writes"),
            "move the file to a local disk that supports a write-ahead log",
        ),
        (Err(finding), _) | (_, Err(finding)) => *finding,
    }
}

async fn durability_of_server(db: &Db) -> Finding {
    let text = "select string_agg(name || '=' || setting, ', ' order by name) from pg_settings
        where name in ('fsync', 'full_page_writes', 'synchronous_commit') and setting = 'off'";
    match one::<Option<String>>(db, "", text).await {
        Ok(None) => Finding::ok("durability", "acknowledged writes are durable"),
        Ok(Some(off)) => Finding::warning(
            "durability",
            format!("the server runs with {off}: a power failure may lose data"),
            "set these parameters to on in postgresql.conf",
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
        return Finding::ok("permissions", "only the owner may access the files");
    }
    let names = open.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(" ");
    Finding::warning("permissions", "other users may access the database", format!("chmod 600 {names}"))
}

fn disk(file: &Path) -> Option<Finding> {
    let directory = file.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let free = system::free_bytes(directory)?;
    let size: u64 = files(file).iter().filter_map(|file| fs::metadata(file).ok()).map(|found| found.len()).sum();
    let (free_mib, size_mib) = (free >> 20, size >> 20);
    Some(match free < FREE_BYTES_MIN.max(size) {
        true => Finding::warning(
            "disk",
            format!("{free_mib} MiB free, the database has {size_mib} MiB"),
            "free disk space: a backup needs as much as the database",
        ),
        false => Finding::ok("disk", format!("{free_mib} MiB free, the database has {size_mib} MiB")),
    })
}

async fn clocks(db: &Db) -> Finding {
    let before = now();
    let database_time = match one::<i64>(db, "", "select (extract(epoch from clock_timestamp()) * 1000)::bigint").await
    {
        Ok(milliseconds) => Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0)),
        Err(finding) => return *finding,
    };
    // The database read its clock between the two readings of ours: only a time outside of them is a difference.
    let skew = before.saturating_sub(database_time).max(database_time.saturating_sub(now()));
    match skew > CLOCK_SKEW_MAX {
        true => Finding::warning(
            "clocks",
            format!("this machine and the database differ by {}", humantime::format_duration(skew)),
            "synchronise both with NTP: lists sorted by time mix timestamps of both",
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
            format!("the server allows {allowed}, but the pool may use {wanted}"),
            "raise max_connections, or lower DATABASE_POOL_SIZE or DATABASE_MAX_OVERFLOW",
        ),
        Ok(allowed) => {
            Finding::ok("connections", format!("the server allows {allowed}, the pool uses at most {wanted}"))
        }
        Err(finding) => *finding,
    }
}

/// Checks migrations, and then what requires the current schema.
async fn migrations(db: &Db, config: &Config, repair: bool) -> Vec<Finding> {
    let (known, unknown) = match (migrate::status(db).await, migrate::unknown(db).await) {
        (Ok(known), Ok(unknown)) => (known, unknown),
        (Err(error), _) | (_, Err(error)) => {
            let remedy = "check the log of the database and the privileges of its user";
            return vec![Finding::problem(
                "migrations",
                format!("the applied migrations cannot be read: {error:#}"),
                remedy,
            )];
        }
    };
    if !unknown.is_empty() {
        let found = format!("the database has migrations {unknown:?} of a newer release");
        let remedy = "run the newer release, or revert them there with `gatherum migrate down`";
        return vec![Finding::problem("migrations", found, remedy)];
    }
    let pending = known.iter().filter(|status| !status.applied).count();
    if pending > 0 {
        let found = format!("{pending} of {} pending", known.len());
        return vec![Finding::warning(
            "migrations",
            found,
            "`gatherum` applies them when it starts; `gatherum migrate up` applies them now",
        )];
    }
    let applied = Finding::ok("migrations", format!("all {} applied", known.len()));
    let accounts = match Accounts::new(db).any().await {
        Ok(exist) => accounts(config, exist),
        Err(error) => {
            let found = format!("accounts cannot be read: {error} ({})", error.source_chain());
            Finding::problem("accounts", found, "check the log and the disk of the database")
        }
    };
    vec![applied, last_migration(db).await, accounts, counts(db, repair).await]
}

/// Checks that a server that others can reach requires tokens. `exist` says whether the database has an account.
fn accounts(config: &Config, exist: bool) -> Finding {
    let remedy = "create an account with `gatherum user add` and a token with `gatherum token create`, or set \
                  access.jwt_issuer";
    if exist || config.access.jwt_issuer.is_some() {
        return Finding::ok("accounts", "access to objects that are not public needs a token");
    }
    let Some(exposure) = config.http.exposure() else {
        return Finding::ok("accounts", "none: every process of this machine may read and write everything");
    };
    if config.http.insecure_open {
        let found = format!("none, {exposure}, and http.insecure_open is set: everyone may read and write everything");
        return Finding::warning("accounts", found, remedy);
    }
    let found = format!("none, and {exposure}: the server will not start");
    Finding::problem("accounts", found, remedy)
}

/// Compares the clock with the time of the last migration.
async fn last_migration(db: &Db) -> Finding {
    let seconds = one::<i64>(
        db,
        "select coalesce(cast(strftime('%s', max(installed_on)) as integer), 0) from _sqlx_migrations",
        "select coalesce(extract(epoch from max(installed_on))::bigint, 0) from _sqlx_migrations",
    );
    match seconds.await {
        Ok(seconds) if Duration::from_secs(u64::try_from(seconds).unwrap_or(0)) > now() + CLOCK_SKEW_MAX => {
            Finding::problem("time", "the last migration is in the future", "set the clock of this machine")
        }
        Ok(_) => Finding::ok("time", "the clock is consistent with the last migration"),
        Err(finding) => *finding,
    }
}

async fn counts(db: &Db, repair: bool) -> Finding {
    let wrong = match collection::wrong_counts(db).await {
        Ok(wrong) => wrong,
        Err(error) => {
            let found = format!("maintained counts cannot be checked: {error} ({})", error.source_chain());
            return Finding::problem("counts", found, "check the log and the disk of the database");
        }
    };
    if wrong == 0 {
        return Finding::ok("counts", "maintained counts are correct");
    }
    if !repair {
        return Finding::problem(
            "counts",
            format!("{wrong} maintained counts are wrong"),
            "run `gatherum doctor --repair`",
        );
    }
    match collection::repair_counts(db).await {
        Ok(()) => Finding::ok("counts", format!("{wrong} maintained counts were wrong and have been corrected")),
        Err(error) => {
            let found = format!(
                "{wrong} maintained counts are wrong and cannot be corrected: {error} ({})",
                error.source_chain()
            );
            Finding::problem("counts", found, "retry, or raise database.busy_timeout")
        }
    }
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
