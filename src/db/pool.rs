//! Connections to PostgreSQL: some that are kept, and further ones while those are not enough.
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use sqlx::{
    Connection, PgPool, Postgres, Transaction,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::{
    pin,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};

use super::config::Config;

/// How long a connection is taken to be alive after it was last asked.
const ALIVE_FOR: Duration = Duration::from_millis(500);

/// How long a request waits for one of the connections that are kept before it takes one above them. More statements at
/// once than the server has cores make each of them slower, and some of them much slower.
const OVERFLOW_AFTER: Duration = Duration::from_millis(200);

/// `pool_size` connections that are kept, and `max_overflow` above.
///
/// sqlx's pool asks a connection whether it is alive whenever it is given back. Here it is handed on to the next request
/// as it is, for as long as [`ALIVE_FOR`], and goes through sqlx's pool after that.
pub(super) struct Pool {
    kept: PgPool,
    overflow: Option<PgPool>,
    /// A permit for each connection that is kept.
    turns: Arc<Semaphore>,
    /// Kept connections that are idle and need not be asked.
    warm: Mutex<Vec<Warm>>,
    /// How long is waited for a connection.
    patience: Duration,
    asks: bool,
}

struct Warm {
    connection: PoolConnection<Postgres>,
    asked: Instant,
}

/// A connection in use. Dropped, it is asked whether it is alive before it is used again.
pub(super) struct Leased {
    pub(super) connection: PoolConnection<Postgres>,
    asked: Instant,
    /// Is given up after the connection.
    turn: Turn,
    pool: Arc<Pool>,
}

/// The right to a connection that is kept; none for one above.
pub(super) type Turn = Option<OwnedSemaphorePermit>;

impl Pool {
    /// Connects when the first connection is needed.
    pub(super) fn new(options: PgConnectOptions, config: &Config) -> Arc<Self> {
        let asks = config.pool_pre_ping;
        let pool = |connections| {
            PgPoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(config.pool_timeout)
                .max_lifetime(config.pool_recycle)
                .test_before_acquire(false)
                .before_acquire(move |connection, about| {
                    Box::pin(async move {
                        let is_asked = asks && about.idle_for >= ALIVE_FOR;
                        Ok(!is_asked || connection.ping().await.is_ok())
                    })
                })
                .connect_lazy_with(options.clone())
        };
        Arc::new(Self {
            kept: pool(config.pool_size),
            overflow: (config.max_overflow > 0).then(|| pool(config.max_overflow)),
            turns: Arc::new(Semaphore::new(config.pool_size as usize)),
            warm: Mutex::default(),
            patience: config.pool_timeout,
            asks,
        })
    }

    /// A connection, one above those that are kept if none of them comes free soon.
    pub(super) async fn lease(self: &Arc<Self>) -> sqlx::Result<Leased> {
        match self.turns.clone().try_acquire_owned() {
            Ok(turn) => self.take(turn).await,
            // What is rare is boxed: each statement's future has room for all that it may wait for.
            Err(_) => Box::pin(self.wait()).await,
        }
    }

    /// One of the connections that are kept.
    pub(super) async fn lease_kept(self: &Arc<Self>) -> sqlx::Result<Leased> {
        self.take(self.turn().await?).await
    }

    async fn wait(self: &Arc<Self>) -> sqlx::Result<Leased> {
        let wait = async {
            let kept = self.turn();
            pin!(kept);
            if let Ok(turn) = timeout(OVERFLOW_AFTER, &mut kept).await {
                return self.take(turn?).await;
            }
            let Some(overflow) = &self.overflow else { return self.take(kept.await?).await };
            tokio::select! {
                biased;
                turn = kept => self.take(turn?).await,
                connection = overflow.acquire() => Ok(self.leased(connection?, None)),
            }
        };
        timeout(self.patience, wait).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
    }

    async fn turn(&self) -> sqlx::Result<OwnedSemaphorePermit> {
        self.turns.clone().acquire_owned().await.map_err(|_| sqlx::Error::PoolClosed)
    }

    /// A connection for whoever has a turn.
    async fn take(self: &Arc<Self>, turn: OwnedSemaphorePermit) -> sqlx::Result<Leased> {
        let warm = self.warm().pop();
        if let Some(Warm { mut connection, asked }) = warm {
            let is_alive = !self.asks
                || asked.elapsed() < ALIVE_FOR
                || matches!(Box::pin(timeout(self.patience, connection.ping())).await, Ok(Ok(())));
            if is_alive {
                // It was not asked in sqlx's pool, which alone renews it: so it goes there next.
                return Ok(Leased { connection, asked, turn: Some(turn), pool: self.clone() });
            }
            drop(connection.detach());
        }
        // Opening one takes longer than most statements: it is finished for the next request if this one goes away.
        let kept = self.kept.clone();
        let connection =
            tokio::spawn(async move { kept.acquire().await }).await.unwrap_or(Err(sqlx::Error::WorkerCrashed))?;
        Ok(self.leased(connection, Some(turn)))
    }

    fn leased(self: &Arc<Self>, connection: PoolConnection<Postgres>, turn: Turn) -> Leased {
        Leased { connection, asked: Instant::now(), turn, pool: self.clone() }
    }

    /// Connections that are open, that are in use, and that there may be.
    pub(super) fn usage(&self) -> (u32, u32, u32) {
        let max = |pool: &PgPool| pool.options().get_max_connections();
        let idle = u32::try_from(self.turns.available_permits()).unwrap_or(u32::MAX);
        let in_use = max(&self.kept).saturating_sub(idle);
        let above = self.overflow.as_ref().map_or((0, 0, 0), |pool| {
            let idle = u32::try_from(pool.num_idle()).unwrap_or(u32::MAX);
            (pool.size(), pool.size().saturating_sub(idle), max(pool))
        });
        (self.kept.size() + above.0, in_use + above.1, max(&self.kept) + above.2)
    }

    /// Closes every connection after what runs has ended.
    pub(super) async fn close(&self) {
        self.turns.close();
        self.warm().clear();
        self.kept.close().await;
        if let Some(overflow) = &self.overflow {
            overflow.close().await;
        }
    }

    fn warm(&self) -> MutexGuard<'_, Vec<Warm>> {
        self.warm.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Leased {
    /// Begins a transaction, which has the connection to itself.
    pub(super) async fn begin(self) -> sqlx::Result<(Transaction<'static, Postgres>, Turn)> {
        Ok((Transaction::begin(self.connection, None).await?, self.turn))
    }

    /// Says that the server has closed the connection. It may have closed others, which are asked before they are used.
    pub(super) fn lost(self) {
        let suspects = std::mem::take(&mut *self.pool.warm());
        drop(suspects);
        drop(self.connection.detach());
    }

    /// Gives back a connection that has nothing left to do.
    pub(super) fn give_back(self) {
        if self.turn.is_none() || self.asked.elapsed() >= ALIVE_FOR {
            return;
        }
        let mut warm = self.pool.warm();
        // Nobody would take it out of a pool that is closed.
        if !self.pool.turns.is_closed() {
            warm.push(Warm { connection: self.connection, asked: self.asked });
        }
    }
}
