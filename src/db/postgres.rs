//! PostgreSQL: pools, and connections that do not outlive the statement of a request that went away.
use std::{
    io::ErrorKind,
    str::FromStr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{anyhow, ensure};
use sqlx::{
    ConnectOptions, Connection, PgConnection, PgPool, Postgres,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep_until, timeout_at},
};
use tracing::warn;

use super::config::Config;

/// The oldest major version whose features are used: `client_connection_check_interval` and `normalize`.
const VERSION_MIN: i64 = 14;

/// How long to wait before a server that is not there yet is asked again.
const RETRY_AFTER: Duration = Duration::from_millis(250);

/// How long a connection is taken to be alive after its last use, and not asked.
const ALIVE_FOR: Duration = Duration::from_millis(500);

/// How long a statement that nobody waits for may go on before its connection is closed.
const RECOVERY: Duration = Duration::from_millis(100);

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
pub(super) async fn open(name: &'static str, options: PgConnectOptions, config: &Config) -> anyhow::Result<PgPool> {
    let mut first = first_connection(name, &options, Instant::now() + config.pool_timeout).await?;
    let version: i64 =
        sqlx::query_scalar("select current_setting('server_version_num')::bigint").fetch_one(&mut first).await?;
    let major = version / 10_000;
    ensure!(
        major >= VERSION_MIN,
        "PostgreSQL {major} at {name} is too old: {VERSION_MIN} or newer is needed, so upgrade it or choose another"
    );
    first.close().await?;
    let pre_ping = config.pool_pre_ping;
    Ok(PgPoolOptions::new()
        .max_connections(config.pool_size + config.max_overflow)
        .acquire_timeout(config.pool_timeout)
        .max_lifetime(config.pool_recycle)
        .test_before_acquire(false)
        .before_acquire(move |connection, about| {
            Box::pin(async move {
                let is_asked = pre_ping && about.idle_for >= ALIVE_FOR;
                Ok(!is_asked || connection.ping().await.is_ok())
            })
        })
        .connect_lazy_with(options))
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

/// A pool, and the connection that one request keeps between its statements.
///
/// Taking a connection from the pool costs a message to the server now and then, and giving it back always does; so a
/// request gives its one back at its end. Statements that run beside each other take further ones where there are any.
/// None waits for the pool alone while the request keeps a connection: many requests would hold what all wait for.
pub(super) struct Session {
    pool: PgPool,
    kept: Mutex<Kept>,
    /// Is told when the kept connection can be used again, or is gone.
    free: Notify,
}

/// What has become of the connection that a request keeps.
#[derive(Default)]
enum Kept {
    /// There is none.
    #[default]
    None,
    /// A statement uses it, or waits for one to keep.
    InUse,
    Idle(PoolConnection<Postgres>),
}

/// A connection lent to one statement. Unless it is given back, its statement is ended.
pub(super) struct Lent {
    connection: Option<PoolConnection<Postgres>>,
    place: Option<Place>,
}

/// The place of the kept connection, which whoever has it fills again.
struct Place(Option<Arc<Session>>);

impl Session {
    pub(super) fn new(pool: PgPool) -> Arc<Self> {
        Arc::new(Self { pool, kept: Mutex::default(), free: Notify::new() })
    }

    /// A connection for one statement: the kept one where it is idle.
    ///
    /// What may open a connection is boxed: it is large, and would be moved with each statement's future.
    pub(super) async fn lend(self: &Arc<Self>) -> sqlx::Result<Lent> {
        loop {
            let free = self.free.notified();
            let kept = std::mem::replace(&mut *self.kept(), Kept::InUse);
            match kept {
                Kept::Idle(connection) => {
                    return Ok(Lent { connection: Some(connection), place: Some(Place(Some(self.clone()))) });
                }
                Kept::None => {
                    let place = Place(Some(self.clone()));
                    let connection = Box::pin(self.pool.acquire()).await?;
                    return Ok(Lent { connection: Some(connection), place: Some(place) });
                }
                Kept::InUse => {}
            }
            tokio::select! {
                biased;
                () = free => {}
                further = Box::pin(self.further()) => return Ok(Lent { connection: Some(further?), place: None }),
            }
        }
    }

    /// A connection beside the kept one.
    async fn further(&self) -> sqlx::Result<PoolConnection<Postgres>> {
        let may_open = self.pool.size() < self.pool.options().get_max_connections();
        if self.pool.num_idle() > 0 || !may_open {
            return self.pool.acquire().await;
        }
        // Opening one takes longer than most statements: it is finished for the next request if this one goes on first.
        let pool = self.pool.clone();
        tokio::spawn(async move { pool.acquire().await }).await.unwrap_or(Err(sqlx::Error::WorkerCrashed))
    }

    /// Gives the kept connection back to the pool.
    pub(super) fn end(&self) {
        let mut kept = self.kept();
        if matches!(*kept, Kept::Idle(_)) {
            *kept = Kept::None;
        }
    }

    /// Ends the use of the kept connection, and tells those who wait.
    fn put(&self, next: Kept) {
        *self.kept() = next;
        self.free.notify_waiters();
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    fn fill(mut self, connection: PoolConnection<Postgres>) {
        if let Some(session) = self.0.take() {
            session.put(Kept::Idle(connection));
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(session) = self.0.take() {
            session.put(Kept::None);
        }
    }
}

impl Lent {
    pub(super) fn connection(&mut self) -> &mut PgConnection {
        self.connection.as_mut().expect("a lent connection is there until it is given back")
    }

    /// Gives the connection back after its statement has ended: to its request, or to the pool.
    pub(super) fn give_back(mut self) {
        if let Some(connection) = self.connection.take()
            && let Some(place) = self.place.take()
        {
            place.fill(connection);
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(recover(connection))),
            Err(_) => drop(connection.detach()),
        }
    }
}

/// Waits a moment for the end of a statement that nobody waits for any more: most end sooner than a connection is opened.
/// A connection whose statement goes on is closed, which ends it.
async fn recover(mut connection: PoolConnection<Postgres>) {
    match tokio::time::timeout(RECOVERY, connection.ping()).await {
        Ok(Ok(())) => drop(connection),
        Ok(Err(_)) | Err(_) => drop(connection.detach()),
    }
}
