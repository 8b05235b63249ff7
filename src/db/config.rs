//! Settings of the database.
use std::time::Duration;

/// Settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// Url.
    pub url: String,
    /// Replica.
    pub replica_url: Option<String>,
    /// Pool.
    pub pool_size: u32,
    /// Overflow.
    pub max_overflow: u32,
    /// Wait.
    pub pool_timeout: Duration,
    /// Lifetime.
    pub pool_recycle: Duration,
    /// Ping.
    pub pool_pre_ping: bool,
    /// Statement.
    pub statement_timeout: Duration,
    /// Sync.
    pub synchronous: Synchronous,
    /// Busy.
    pub busy_timeout: Duration,
    /// Cache.
    pub cache_kib: u32,
}
/// Sync.
#[derive(Clone, Copy, Debug)]
pub enum Synchronous {
    /// Full.
    Full,
    /// Normal.
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
            pool_recycle: Duration::from_secs(3600),
            pool_pre_ping: true,
            statement_timeout: Duration::from_secs(10),
            synchronous: Synchronous::Full,
            busy_timeout: Duration::from_secs(5),
            cache_kib: 16_384,
        }
    }
}
