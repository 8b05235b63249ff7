//! Connecting to PostgreSQL.
use std::{io::ErrorKind, str::FromStr, sync::Arc, time::Duration};

use anyhow::{anyhow, ensure};
use sqlx::{ConnectOptions, Connection, PgConnection, postgres::PgConnectOptions};
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::warn;

use super::{config::Config, pool::PostgresPool};

/// The oldest supported major version, which introduced `client_connection_check_interval` and `normalize`.
const VERSION_MIN: i64 = 14;

/// Delay between attempts to connect to a server that is starting.
const RETRY_DELAY: Duration = Duration::from_millis(250);

/// Connection options from a URL. Errors mention `name`, the variable that sets the URL.
pub(super) fn options(name: &'static str, url: &str, config: &Config) -> anyhow::Result<PgConnectOptions> {
    let timeout_ms = config.statement_timeout.as_millis().to_string();
    let wait_timeout_ms = config.wait_timeout.as_millis().to_string();
    let options = PgConnectOptions::from_str(url)
        .map_err(|_| anyhow!("{name} is not a PostgreSQL URL: write postgres://user:password@host/database"))?
        .application_name("gatherum")
        .statement_cache_capacity(256)
        .options([
            ("statement_timeout", timeout_ms.as_str()),
            ("lock_timeout", wait_timeout_ms.as_str()),
            ("idle_in_transaction_session_timeout", "60000"),
            // The server cancels the running statement of a closed connection.
            ("client_connection_check_interval", "1000"),
            ("timezone", "UTC"),
        ])
        .disable_statement_logging();
    Ok(options)
}

/// Connects once, checks the version, and creates the pool.
pub(super) async fn open(
    name: &'static str,
    options: PgConnectOptions,
    config: &Config,
) -> anyhow::Result<Arc<PostgresPool>> {
    let mut first = first_connection(name, &options, Instant::now() + config.pool_timeout).await?;
    let version: i64 =
        sqlx::query_scalar("select current_setting('server_version_num')::bigint").fetch_one(&mut first).await?;
    let major = version / 10_000;
    ensure!(
        major >= VERSION_MIN,
        "PostgreSQL {major} at {name} is too old: upgrade it to {VERSION_MIN} or newer, or use another server"
    );
    first.close().await?;
    Ok(PostgresPool::new(options, config))
}

/// Connects once to report the cause of a failure, which the pool would report as a timeout. Waits until `deadline` for a
/// server that is starting.
async fn first_connection(
    name: &'static str,
    options: &PgConnectOptions,
    deadline: Instant,
) -> anyhow::Result<PgConnection> {
    let mut is_logged = false;
    loop {
        let failed = match timeout_at(deadline, options.connect()).await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(error)) => error,
            Err(_) => sqlx::Error::Io(ErrorKind::TimedOut.into()),
        };
        let cause = match &failed {
            sqlx::Error::Database(error) => error.message().to_owned(),
            sqlx::Error::Io(error) => error.to_string(),
            error => error.to_string(),
        };
        let (host, port) = (options.get_host(), options.get_port());
        let next = Instant::now() + RETRY_DELAY;
        if !is_starting(&failed) || next >= deadline {
            return Err(anyhow!(
                "cannot connect to PostgreSQL at {host}:{port}: {cause}: check that the server is running and that {name} is correct"
            ));
        }
        if !is_logged {
            warn!(host, port, cause, "waiting for PostgreSQL");
            is_logged = true;
        }
        sleep_until(next).await;
    }
}

/// Whether a server may accept connections soon: it does not listen yet, or reports that it is starting.
fn is_starting(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(error) => error.kind() == ErrorKind::ConnectionRefused,
        sqlx::Error::Database(error) => error.code().as_deref() == Some("57P03"),
        _ => false,
    }
}
