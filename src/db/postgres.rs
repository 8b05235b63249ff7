//! PostgreSQL: pools, and connections that do not outlive the statement of a request that went away.
use std::str::FromStr;

use anyhow::Context;
use sqlx::{
    ConnectOptions, PgConnection, PgPool, Postgres,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use super::config::Config;

/// The oldest major version whose features are used: `client_connection_check_interval` and `normalize`.
const VERSION_MIN: i64 = 14;

/// How to connect to the database that `url` names.
pub(super) fn options(url: &str, config: &Config) -> anyhow::Result<PgConnectOptions> {
    let timeout_ms = config.statement_timeout.as_millis().to_string();
    let options = PgConnectOptions::from_str(url)
        .map_err(|_| {
            anyhow::anyhow!("DATABASE_URL is no PostgreSQL URL: write postgres://user:password@host/database")
        })?
        .application_name("gatherum")
        .statement_cache_capacity(256)
        .options([
            ("statement_timeout", timeout_ms.as_str()),
            ("lock_timeout", timeout_ms.as_str()),
            ("idle_in_transaction_session_timeout", "60000"),
            // The server itself ends the statement of a connection that was closed.
            ("client_connection_check_interval", "1000"),
            ("timezone", "UTC"),
        ])
        .disable_statement_logging();
    Ok(options)
}

pub(super) async fn open(options: PgConnectOptions, config: &Config) -> anyhow::Result<PgPool> {
    let pool = PgPoolOptions::new()
        .max_connections(config.pool_size + config.max_overflow)
        .acquire_timeout(config.pool_timeout)
        .max_lifetime(config.pool_recycle)
        .test_before_acquire(config.pool_pre_ping)
        .connect_with(options)
        .await
        .context("cannot connect to PostgreSQL")?;
    let version: i32 = sqlx::query_scalar("select current_setting('server_version_num')::int").fetch_one(&pool).await?;
    anyhow::ensure!(
        i64::from(version) / 10_000 >= VERSION_MIN,
        "PostgreSQL {} is too old: {VERSION_MIN} or newer is needed",
        version / 10_000
    );
    Ok(pool)
}

/// A connection lent to one statement. Unless it is given back, it is closed, which ends its statement.
pub(super) struct Lent {
    connection: Option<PoolConnection<Postgres>>,
}

impl Lent {
    pub(super) fn new(connection: PoolConnection<Postgres>) -> Self {
        Self { connection: Some(connection) }
    }

    pub(super) fn connection(&mut self) -> &mut PgConnection {
        self.connection.as_mut().expect("a lent connection is there until it is given back")
    }

    /// Gives the connection back after its statement has ended.
    pub(super) fn give_back(mut self) {
        drop(self.connection.take());
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            drop(connection.detach());
        }
    }
}
