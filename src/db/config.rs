//! Settings of the database.
use std::{path::PathBuf, time::Duration};

use documented::DocumentedFields;
use serde::{Deserialize, Serialize};

use crate::duration;

/// Where the database is and how it is used.
#[derive(Clone, DocumentedFields, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `sqlite://path` or `postgres://user:password@host/database`. Default `sqlite://gatherum.db`.
    pub url: String,
    /// A PostgreSQL that follows the first one; reads go there. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replica_url: Option<String>,
    /// Connections that are kept. Default 5.
    pub pool_size: u32,
    /// Connections above `pool_size`, opened for requests that have waited 200 ms for one of those. Default 10.
    pub max_overflow: u32,
    /// How long a statement waits for a connection before it is answered UNAVAILABLE. Default 30 s.
    #[serde(with = "duration")]
    pub pool_timeout: Duration,
    /// Age at which a PostgreSQL connection is replaced. Default 3600 s.
    #[serde(with = "duration")]
    pub pool_recycle: Duration,
    /// Asks a PostgreSQL connection that was idle for half a second whether it is alive before it is used. Default true.
    pub pool_pre_ping: bool,
    /// Logs every statement. Default false.
    pub echo: bool,
    /// Statements that take longer are logged as `slow_query`, in milliseconds. Default 500.
    pub slow_query_ms: u64,
    /// How long a statement may run before it is answered TIMEOUT. Default 10 s.
    #[serde(with = "duration")]
    pub statement_timeout: Duration,
    /// SQLite: whether a commit waits for the disk. `full` keeps every acknowledged write through a loss of power,
    /// `normal` may lose the last ones, never more. Default full.
    pub synchronous: Synchronous,
    /// SQLite: how long a write waits for another process. Default 5 s.
    #[serde(with = "duration")]
    pub busy_timeout: Duration,
    /// SQLite: page cache of each connection, in KiB. Default 16384.
    pub cache_kib: u32,
}

impl Config {
    /// The SQLite file; none where the URL names no file.
    pub fn file(&self) -> Option<PathBuf> {
        self.url.starts_with("sqlite:").then(|| super::sqlite::path(&self.url).ok()).flatten()
    }
}

/// Whether a commit waits for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Synchronous {
    /// It does.
    Full,
    /// Only a checkpoint does.
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
    /// Without the passwords in the URLs.
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
    fn a_password_is_never_shown() {
        let url = "postgres://user:p@ss:word@host:5432/name";
        let config = Config { url: url.to_owned(), replica_url: Some(url.to_owned()), ..Config::default() };

        assert_eq!(redacted(url), "postgres://user:***@host:5432/name");
        assert!(!format!("{config:?}").contains("word"));
        assert_eq!(redacted("sqlite://gatherum.db"), "sqlite://gatherum.db");
    }
}
