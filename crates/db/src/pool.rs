//! Connection pool for PostgreSQL: base connections that stay open, and overflow connections under load.
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use sqlx::{
    Connection, PgConnection, PgPool, Postgres, Transaction,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::{
    pin,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};

use super::{availability::Availability, config::Config};

/// Time after a ping during which a connection is assumed to be alive.
const ALIVE_FOR: Duration = Duration::from_millis(500);

/// Time limit for opening a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Time limit for the ping of an idle connection. A connection that does not answer is replaced.
const PING_TIMEOUT: Duration = Duration::from_secs(1);

/// Time for which a request waits for a base connection before it may use an overflow connection. More concurrent statements
/// than the server has cores make each of them slower, and some of them much slower.
const OVERFLOW_AFTER: Duration = Duration::from_millis(200);

/// A pool of `pool_size` base connections and up to `max_overflow` more.
///
/// sqlx's pool pings a connection whenever it is released. This pool passes an idle connection directly to the next request
/// for as long as [`ALIVE_FOR`], and returns it to sqlx's pool after that.
pub(super) struct PostgresPool {
    base: PgPool,
    overflow: Option<PgPool>,
    /// One permit for each base connection.
    permits: Arc<Semaphore>,
    /// Idle base connections that were pinged recently.
    idle: Mutex<Vec<IdleConnection>>,
    acquire_timeout: Duration,
    /// Whether connections are pinged before use.
    pre_ping: bool,
    options: PgConnectOptions,
    availability: Arc<Availability>,
}

struct IdleConnection {
    connection: PoolConnection<Postgres>,
    pinged_at: Instant,
}

/// A connection in use. If it is dropped without [`Lease::release`], it is pinged before its next use.
pub(super) struct Lease {
    pub(super) connection: PoolConnection<Postgres>,
    pinged_at: Instant,
    /// Declared after the connection, so that it is dropped after it.
    permit: Permit,
    pool: Arc<PostgresPool>,
}

/// The permit of a base connection; `None` for an overflow connection.
pub(super) type Permit = Option<OwnedSemaphorePermit>;

impl PostgresPool {
    /// Creates a pool that connects on first use.
    pub(super) fn new(options: PgConnectOptions, config: &Config) -> Arc<Self> {
        let pre_ping = config.pool_pre_ping;
        let pool = |connections| {
            PgPoolOptions::new()
                .max_connections(connections)
                // A connection is free whenever a permit is, so this limits the time for opening one. While connections are
                // rejected, sqlx tries again after pauses of up to a fifth of it.
                .acquire_timeout(CONNECT_TIMEOUT.min(config.pool_timeout))
                .max_lifetime(config.pool_recycle)
                .test_before_acquire(false)
                .before_acquire(move |connection, metadata| {
                    Box::pin(async move {
                        let needs_ping = pre_ping && metadata.idle_for >= ALIVE_FOR;
                        Ok(!needs_ping || matches!(timeout(PING_TIMEOUT, connection.ping()).await, Ok(Ok(()))))
                    })
                })
                .connect_lazy_with(options.clone())
        };
        Arc::new(Self {
            base: pool(config.pool_size),
            overflow: (config.max_overflow > 0).then(|| pool(config.max_overflow)),
            permits: Arc::new(Semaphore::new(config.pool_size as usize)),
            idle: Mutex::default(),
            acquire_timeout: config.pool_timeout,
            pre_ping,
            options,
            availability: Availability::new(config.wait_timeout),
        })
    }

    /// Acquires a base connection, or an overflow connection if no base connection is released soon.
    pub(super) async fn acquire(self: &Arc<Self>) -> sqlx::Result<Lease> {
        match self.permits.clone().try_acquire_owned() {
            Ok(permit) => self.acquire_with(permit).await,
            // The rare case is boxed, because every statement's future reserves memory for all that it may await.
            Err(_) => Box::pin(self.acquire_contended()).await,
        }
    }

    /// Acquires a base connection, however long that takes.
    pub(super) async fn acquire_base(self: &Arc<Self>) -> sqlx::Result<Lease> {
        self.acquire_with(self.permit().await?).await
    }

    /// Whether the database answers.
    pub(super) fn availability(&self) -> &Arc<Availability> {
        &self.availability
    }

    /// Observes whether the database answers, until dropped. `name` is its name in the log.
    pub(super) async fn monitor(&self, name: &'static str) {
        self.availability.monitor::<PgConnection>(name, self.options.clone(), "select 1").await;
    }

    async fn acquire_contended(self: &Arc<Self>) -> sqlx::Result<Lease> {
        let acquire = async {
            let permit = self.permit();
            pin!(permit);
            if let Ok(permit) = timeout(OVERFLOW_AFTER, &mut permit).await {
                return self.acquire_with(permit?).await;
            }
            let Some(overflow) = &self.overflow else { return self.acquire_with(permit.await?).await };
            tokio::select! {
                biased;
                permit = permit => self.acquire_with(permit?).await,
                connection = overflow.acquire() => Ok(self.lease(connection?, None)),
            }
        };
        timeout(self.acquire_timeout, acquire).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
    }

    async fn permit(&self) -> sqlx::Result<OwnedSemaphorePermit> {
        self.permits.clone().acquire_owned().await.map_err(|_| sqlx::Error::PoolClosed)
    }

    /// Takes an idle connection, or opens one.
    async fn acquire_with(self: &Arc<Self>, permit: OwnedSemaphorePermit) -> sqlx::Result<Lease> {
        let idle = self.idle().pop();
        if let Some(IdleConnection { mut connection, pinged_at }) = idle {
            let is_alive = !self.pre_ping
                || pinged_at.elapsed() < ALIVE_FOR
                || matches!(Box::pin(timeout(PING_TIMEOUT, connection.ping())).await, Ok(Ok(())));
            if is_alive {
                // `pinged_at` stays as it is, so that the connection soon returns to sqlx's pool, which enforces its
                // maximum lifetime.
                return Ok(Lease { connection, pinged_at, permit: Some(permit), pool: self.clone() });
            }
            drop(connection.detach());
        }
        // Opening a connection takes longer than most statements. It runs in its own task, so that the next request can use
        // the connection if this request is cancelled.
        let base = self.base.clone();
        let connection =
            tokio::spawn(async move { base.acquire().await }).await.unwrap_or(Err(sqlx::Error::WorkerCrashed))?;
        Ok(self.lease(connection, Some(permit)))
    }

    fn lease(self: &Arc<Self>, connection: PoolConnection<Postgres>, permit: Permit) -> Lease {
        Lease { connection, pinged_at: Instant::now(), permit, pool: self.clone() }
    }

    /// Numbers of connections: open, in use, and maximum.
    pub(super) fn usage(&self) -> (u32, u32, u32) {
        let max = |pool: &PgPool| pool.options().get_max_connections();
        let available = u32::try_from(self.permits.available_permits()).unwrap_or(u32::MAX);
        let in_use = max(&self.base).saturating_sub(available);
        let overflow = self.overflow.as_ref().map_or((0, 0, 0), |pool| {
            let idle = u32::try_from(pool.num_idle()).unwrap_or(u32::MAX);
            (pool.size(), pool.size().saturating_sub(idle), max(pool))
        });
        (self.base.size() + overflow.0, in_use + overflow.1, max(&self.base) + overflow.2)
    }

    /// Returns idle connections to sqlx's pool, which pings them, because the server has closed another one.
    pub(super) fn discard_idle(&self) {
        let suspects = std::mem::take(&mut *self.idle());
        drop(suspects);
    }

    /// Number of connections that stay open.
    pub(super) fn base_connections(&self) -> u32 {
        self.base.options().get_max_connections()
    }

    /// Waits for running statements and closes all connections.
    pub(super) async fn close(&self) {
        self.permits.close();
        self.idle().clear();
        self.base.close().await;
        if let Some(overflow) = &self.overflow {
            overflow.close().await;
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<IdleConnection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    /// Begins a transaction on the connection.
    pub(super) async fn begin(self) -> sqlx::Result<(Transaction<'static, Postgres>, Permit)> {
        Ok((Transaction::begin(self.connection, None).await?, self.permit))
    }

    /// Discards a connection that the server has closed. Idle connections may be closed too, so they are pinged before their
    /// next use.
    pub(super) fn discard(self) {
        self.pool.discard_idle();
        drop(self.connection.detach());
    }

    /// Returns a connection without a running statement to the pool.
    pub(super) fn release(self) {
        if self.permit.is_none() || self.pinged_at.elapsed() >= ALIVE_FOR {
            return;
        }
        let mut idle = self.pool.idle();
        // A closed pool has already dropped its idle connections.
        if !self.pool.permits.is_closed() {
            idle.push(IdleConnection { connection: self.connection, pinged_at: self.pinged_at });
        }
    }
}
