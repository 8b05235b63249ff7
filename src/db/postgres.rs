//! Which PostgreSQL server, and whether it is there.
use std::{io::ErrorKind, str::FromStr, sync::Arc, time::Duration};

use anyhow::{anyhow, ensure};
use sqlx::{ConnectOptions, Connection, PgConnection, postgres::PgConnectOptions};
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::warn;

use super::{config::Config, pool::Pool};

/// The oldest major version whose features are used: `client_connection_check_interval` and `normalize`.
const VERSION_MIN: i64 = 14;

/// How long to wait before a server that is not there yet is asked again.
const RETRY_AFTER: Duration = Duration::from_millis(250);

/// How to connect to the database that the setting `name` says.
pub(super) fn options(name: &'static str, url: &str, config: &Config) -> anyhow::Result<PgConnectOptions> {
    let timeout_ms = config.statement_timeout.as_millis().to_string();
    let options = PgConnectOptions::from_str(url)
        .map_err(|_| anyhow!("{name} is no PostgreSQL URL: write postgres://user:password@host/database"))?
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

/// Connects to what the setting `name` says.
pub(super) async fn open(name: &'static str, options: PgConnectOptions, config: &Config) -> anyhow::Result<Arc<Pool>> {
    let mut first = first_connection(name, &options, Instant::now() + config.pool_timeout).await?;
    let version: i64 =
        sqlx::query_scalar("select current_setting('server_version_num')::bigint").fetch_one(&mut first).await?;
    let major = version / 10_000;
    ensure!(
        major >= VERSION_MIN,
        "PostgreSQL {major} at {name} is too old: {VERSION_MIN} or newer is needed, so upgrade it or choose another"
    );
    first.close().await?;
    Ok(Pool::new(options, config))
}

/// Connects once, so that what is wrong is said; the pool would only tell that it took too long. A server that is just
/// starting is waited for until `deadline`.
async fn first_connection(
    name: &'static str,
    options: &PgConnectOptions,
    deadline: Instant,
) -> anyhow::Result<PgConnection> {
    let mut is_said = false;
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
        let next = Instant::now() + RETRY_AFTER;
        if !is_starting(&failed) || next >= deadline {
            return Err(anyhow!(
                "cannot connect to PostgreSQL at {host}:{port}: {cause}: see that it runs and that {name} is right"
            ));
        }
        if !is_said {
            warn!(host, port, cause, "waiting for PostgreSQL");
            is_said = true;
        }
        sleep_until(next).await;
    }
}

/// Whether a server may be there in a moment: nobody listens yet, or it says that it is starting.
fn is_starting(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(error) => error.kind() == ErrorKind::ConnectionRefused,
        sqlx::Error::Database(error) => error.code().as_deref() == Some("57P03"),
        _ => false,
    }
}
