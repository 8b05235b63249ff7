//! Settings of the database.
use std::{path::PathBuf, time::Duration};

use documented::DocumentedFields;
use serde::{Deserialize, Serialize};

use crate::duration;

/// Settings of the database and its connections.
#[derive(Clone, DocumentedFields, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Database URL: `sqlite://path` or `postgres://user:password@host/database`. Default: `sqlite://gatherum.db`.
    pub url: String,
    /// URL of a PostgreSQL replica of `url`, which serves all reads except those of mutations. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replica_url: Option<String>,
    /// Number of connections that stay open; from 1 to 10000 together with `max_overflow`. For SQLite, the number of readers is
    /// `pool_size` plus `max_overflow`. Default: 5.
    pub pool_size: u32,
    /// Number of additional connections, opened for requests that waited 200 ms for one of `pool_size`. Default: 10.
    pub max_overflow: u32,
    /// Time limit for acquiring a connection, after which a command fails. Requests wait at most `wait_timeout`. Default:
    /// 30 s.
    #[serde(with = "duration")]
    pub pool_timeout: Duration,
    /// Time limit of a request for acquiring a connection, and for each lock on PostgreSQL. Then the request fails with
    /// UNAVAILABLE, as do all requests once the database has not answered for this time. Default: 2 s.
    #[serde(with = "duration")]
    pub wait_timeout: Duration,
    /// Maximum age of a PostgreSQL connection, after which it is replaced. Default: 1 h.
    #[serde(with = "duration")]
    pub pool_recycle: Duration,
    /// Pings a PostgreSQL connection before use if it was idle for 500 ms. Default: true.
    pub pool_pre_ping: bool,
    /// Logs every statement at level info. Default: false.
    pub echo: bool,
    /// Duration in milliseconds from which a statement is logged as `slow_query` at level warn. Default: 500.
    pub slow_query_ms: u64,
    /// Time limit of a statement, after which it is cancelled and the request fails with TIMEOUT. Default: 10 s.
    #[serde(with = "duration")]
    pub statement_timeout: Duration,
    /// SQLite: durability of commits. `full` waits for the disk, so that a power failure loses no acknowledged write; with
    /// `normal` it may lose the last ones. The database stays consistent with both. Default: full.
    pub synchronous: Synchronous,
    /// SQLite: time limit for waiting until another process releases the write lock. Default: 5 s.
    #[serde(with = "duration")]
    pub busy_timeout: Duration,
    /// SQLite: size of the page cache of each connection in KiB. Default: 16384.
    pub cache_kib: u32,
}

impl Config {
    /// The SQLite file; `None` for PostgreSQL.
    pub fn file(&self) -> Option<PathBuf> {
        self.url.starts_with("sqlite:").then(|| sqlite_path(&self.url).ok()).flatten()
    }
}

/// Durability of commits in SQLite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Synchronous {
    /// Commits wait for the disk.
    Full,
    /// Only checkpoints wait for the disk.
    Normal,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            url: "sqlite://gatherum.db".to_owned(),
            replica_url: None,
            pool_size: 5,
            max_overflow: 10,
            pool_timeout: Duration::from_secs(30),
            wait_timeout: Duration::from_secs(2),
            pool_recycle: Duration::from_secs(3_600),
            pool_pre_ping: true,
            echo: false,
            slow_query_ms: 500,
            statement_timeout: Duration::from_secs(10),
            synchronous: Synchronous::Full,
            busy_timeout: Duration::from_secs(5),
            cache_kib: 16_384,
        }
    }
}

impl std::fmt::Debug for Config {
    /// Formats the settings without the passwords of URLs.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Config")
            .field("url", &redacted(&self.url))
            .field("replica_url", &self.replica_url.as_deref().map(redacted))
            .field("pool_size", &self.pool_size)
            .field("max_overflow", &self.max_overflow)
            .finish_non_exhaustive()
    }
}

/// The path in a `sqlite:` URL.
///
/// # Errors
/// The URL has no path. An in-memory database is rejected, because each connection would open a different one.
pub(super) fn sqlite_path(url: &str) -> anyhow::Result<PathBuf> {
    let rest = url.strip_prefix("sqlite:").unwrap_or(url);
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let rest = rest.split('?').next().unwrap_or_default();
    if rest.is_empty() || rest.contains(":memory:") {
        anyhow::bail!(
            "DATABASE_URL has no file name: write sqlite://catalogue.db or sqlite:///var/lib/gatherum/catalogue.db"
        );
    }
    Ok(PathBuf::from(percent_encoding::percent_decode_str(rest).decode_utf8()?.into_owned()))
}

/// A URL with its password replaced by `***`.
pub fn redacted(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let Some((user, host)) = rest.rsplit_once('@') else { return url.to_owned() };
    match user.split_once(':') {
        Some((name, _)) => format!("{scheme}://{name}:***@{host}"),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_redacted() {
        let url = "postgres://user:p@ss:word@host:5432/name";
        let config = Config { url: url.to_owned(), replica_url: Some(url.to_owned()), ..Config::default() };

        assert_eq!(redacted(url), "postgres://user:***@host:5432/name");
        assert!(!format!("{config:?}").contains("word"));
        assert_eq!(redacted("sqlite://gatherum.db"), "sqlite://gatherum.db");
    }
}
