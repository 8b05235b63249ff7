//! Builds the server from settings and runs it until shutdown.
use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::Notify,
    task::JoinSet,
    time::MissedTickBehavior,
};
use tracing::{debug, info, warn};

use crate::{
    access::{Accounts, IdentityProvider, Viewer},
    catalog::{
        Mutation, Query, Subscription,
        sharing::{SHARED_DOCUMENT, ViewCounter},
    },
    config::Config,
    db::{Db, migrate},
    documents::Documents,
    error::{self, Code},
    graphql::{self, Settings},
    http::{self, AppState, Authenticate, DatabaseHealth, PoolUsage},
    loader,
};

/// A server that listens but does not accept connections yet.
pub struct App {
    listener: TcpListener,
    state: AppState,
    writes: PeriodicWrites,
}

impl App {
    /// Opens and migrates the database, and binds the address.
    ///
    /// # Errors
    /// The database cannot be opened or migrated, or the address is taken.
    pub async fn build(config: &Config) -> Result<Self> {
        let db = Db::open(&config.database).await?.with_short_waits();
        for name in migrate::up(&db).await? {
            info!(name, "migrated");
        }
        let accounts = Accounts::new(&db).with_identity_provider(IdentityProvider::new(&config.access)?);
        let address = config.http.bind;
        if let Some(exposure) = config.http.exposure().filter(|_| !config.http.insecure_open) {
            anyhow::ensure!(
                accounts.any().await?,
                "{exposure}, and without accounts everyone who can reach the server could read and write everything: \
                 create an account with `gatherum user add` and a token with `gatherum token create`, set \
                 access.jwt_issuer, or allow it with --insecure-open"
            );
        }
        let listener =
            listen(address).with_context(|| format!("cannot listen on {address}: choose another with --bind"))?;
        let views = ViewCounter::default();
        let engine = engine(config, db.clone(), views.clone())?;
        let writes = PeriodicWrites { views, documents: engine.documents().clone(), db: db.clone() };
        let state = AppState::new(
            config.http.clone(),
            Arc::new(engine),
            SHARED_DOCUMENT,
            Arc::new(accounts),
            Arc::new(DbHealth(db)),
        );
        Ok(Self { listener, state, writes })
    }

    /// The bound address, with the port that the system chose if the configured port is 0.
    ///
    /// # Errors
    /// The system does not report it.
    pub fn address(&self) -> Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// The database it serves.
    pub fn db(&self) -> &Db {
        &self.writes.db
    }

    /// Serves until `shutdown` completes, waits for running requests, and closes the database.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let has_ended = Notify::new();
        let serving = async {
            http::run(self.listener, self.state, shutdown).await;
            has_ended.notify_one();
        };
        // Dropping it ends the monitor.
        let mut monitor = JoinSet::new();
        let db = self.writes.db.clone();
        monitor.spawn(async move { db.monitor().await });
        tokio::join!(serving, self.writes.run(&has_ended));
        monitor.shutdown().await;
        self.writes.db.close().await;
    }
}

/// Writes that the server collects in memory and stores periodically.
struct PeriodicWrites {
    views: ViewCounter,
    documents: Arc<Documents>,
    db: Db,
}

impl PeriodicWrites {
    /// Stores views of share links and the use of persisted documents until the server has ended, and then what remains. A
    /// running write is completed.
    async fn run(&self, has_ended: &Notify) {
        let mut ticks = tokio::time::interval(FLUSH_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut flushes = 0_u32;
        let mut is_running = true;
        while is_running {
            is_running = tokio::select! {
                _ = ticks.tick() => true,
                () = has_ended.notified() => false,
            };
            flushes = flushes.wrapping_add(1);
            if let Err(error) = self.views.flush(&self.db).await {
                log_failure(&error, "cannot store views of share links: retrying");
            }
            if flushes.is_multiple_of(FLUSHES_PER_USE) || !is_running {
                self.record_use().await;
            }
        }
    }

    async fn record_use(&self) {
        if let Err(error) = self.documents.record_use().await {
            log_failure(&error, "cannot store the use of persisted documents");
        }
    }
}

/// Logs a write that failed. The loss of the database is logged once, by its monitor.
fn log_failure(error: &error::Error, message: &str) {
    let cause = error.source_chain();
    match error.code {
        Code::Unavailable => debug!(cause, "{message}"),
        _ => warn!(cause, "{message}"),
    }
}

/// Interval at which views of share links are stored.
const FLUSH_INTERVAL: Duration = Duration::from_secs(1);

/// Number of these intervals after which the use of persisted documents is stored.
const FLUSHES_PER_USE: u32 = 60;

/// Executes the whole schema.
pub type Engine = graphql::Service<Query, Mutation, Subscription>;

/// Explains operations of the whole schema.
pub type Explainer = graphql::Explainer<Query, Mutation, Subscription>;

/// Maximum number of established connections that wait to be accepted. Tokio's default of 1,024 is too small when many
/// clients connect at once, as after a restart: their system retries a dropped connection only after a second. The system
/// caps the value at its own limit (Linux: net.core.somaxconn, 4,096).
const BACKLOG: u32 = 4_096;

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    // On other systems than Unix, SO_REUSEADDR would let another program take over the port.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Builds the engine of the whole schema. Views of share links are counted in `views`.
///
/// # Errors
/// The schema is invalid.
pub fn engine(config: &Config, db: Db, views: ViewCounter) -> Result<Engine> {
    let (settings, loading) = (settings(config), load_limits(config));
    let (limits, cache, documents) = (config.limits.clone(), config.cache.clone(), config.documents.clone());
    Ok(Engine::new((Query { views }, Mutation), db, settings, limits, loading, cache, documents)?)
}

/// Explains operations of the whole schema, without a database.
///
/// # Errors
/// The schema is invalid.
pub fn explainer(config: &Config) -> Result<Explainer> {
    let (settings, loading) = (settings(config), load_limits(config));
    Ok(Explainer::new((Query::default(), Mutation), settings, config.limits.clone(), loading)?)
}

fn settings(config: &Config) -> Settings {
    Settings {
        page_size_default: config.limits.page_size_default,
        page_size_max: config.limits.page_size_max,
        counts: config.loading.count_strategy,
        queue_timeout: config.http.queue_timeout,
    }
}

fn load_limits(config: &Config) -> loader::LoadLimits {
    loader::LoadLimits { keys_max: config.loading.batch_keys, statements_max: config.loading.max_sql_per_request }
}

/// Waits for SIGINT or SIGTERM. A second signal terminates the process immediately.
pub async fn stop_signal() {
    wait_for_signal().await;
    info!("shutting down: a second signal terminates immediately");
    tokio::spawn(async {
        wait_for_signal().await;
        std::process::exit(130);
    });
}

async fn wait_for_signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let Ok(mut terminate) = signal(SignalKind::terminate()) else {
            let _ = tokio::signal::ctrl_c().await;
            return;
        };
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
    }
    #[cfg(not(unix))]
    {
        let _ = tokio::signal::ctrl_c().await;
    }
}

#[async_trait::async_trait]
impl Authenticate for Accounts {
    async fn viewer(&self, token: Option<&str>) -> error::Result<Viewer> {
        Accounts::viewer(self, token).await
    }

    fn is_known(&self, token: &str) -> bool {
        Accounts::is_known(self, token)
    }
}

struct DbHealth(Db);

impl DatabaseHealth for DbHealth {
    fn is_available(&self) -> bool {
        self.0.is_available()
    }

    fn pool(&self) -> PoolUsage {
        let usage = self.0.usage();
        PoolUsage { size: usage.size, in_use: usage.in_use, waiting: usage.waiting, max: usage.max }
    }
}
