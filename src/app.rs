//! Puts a server together from settings and runs it until it is told to stop.
use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::Notify,
    time::MissedTickBehavior,
};
use tracing::{info, warn};

use crate::{
    access::{Accounts, Issuer, Viewer},
    catalog::{
        Mutation, Query, Subscription,
        sharing::{SHARED_DOCUMENT, ViewCounter},
    },
    config::Config,
    dataloader,
    db::{Db, migrate},
    error,
    graphql::{self, Settings},
    http::{self, Access, Health, Pool, Site},
};

/// A server that listens and does not serve yet.
pub struct App {
    listener: TcpListener,
    site: Site,
    db: Db,
    views: ViewCounter,
}

impl App {
    /// Opens and migrates the database, and listens.
    ///
    /// # Errors
    /// The database cannot be opened or migrated, or the address is taken.
    pub async fn build(config: &Config) -> Result<Self> {
        let db = Db::open(&config.database).await?;
        for name in migrate::up(&db).await? {
            info!(name, "migrated");
        }
        let accounts = Accounts::new(&db).with_issuer(Issuer::new(&config.access)?);
        let address = config.http.bind;
        anyhow::ensure!(
            address.ip().is_loopback() || config.http.insecure_open || accounts.any().await?,
            "{address} can be reached from elsewhere, and without accounts everyone there could read and write everything: \
             make one with `gatherum user add` and a token with `gatherum token create`, set access.jwt_issuer, or insist \
             with --insecure-open"
        );
        let listener =
            listen(address).with_context(|| format!("cannot listen on {address}: choose another with --bind"))?;
        let views = ViewCounter::default();
        let engine = engine(config, db.clone(), views.clone())?;
        let site = Site::new(
            config.http.clone(),
            Arc::new(engine),
            SHARED_DOCUMENT,
            Arc::new(accounts),
            Arc::new(DbHealth(db.clone())),
        );
        Ok(Self { listener, site, db, views })
    }

    /// The address it listens on, with the port that the system chose where 0 was asked for.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn address(&self) -> Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// The database it serves.
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// Serves until `shutdown` is done, lets what runs end, and closes the database.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let has_ended = Notify::new();
        let serving = async {
            http::run(self.listener, self.site, shutdown).await;
            has_ended.notify_one();
        };
        tokio::join!(serving, flush(&self.views, &self.db, &has_ended));
        if let Err(error) = self.views.flush(&self.db).await {
            warn!(cause = error.source_chain(), "the last views of links were not kept");
        }
        self.db.close().await;
    }
}

/// How often views of links are written down.
const FLUSH_EVERY: Duration = Duration::from_secs(1);

/// Writes down how often links were opened, until the server has ended; what is being written is not left halfway.
async fn flush(views: &ViewCounter, db: &Db, has_ended: &Notify) {
    let mut ticks = tokio::time::interval(FLUSH_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = has_ended.notified() => return,
        }
        if let Err(error) = views.flush(db).await {
            warn!(cause = error.source_chain(), "views of links wait to be kept");
        }
    }
}

/// Executes the whole schema.
pub type Engine = graphql::Engine<Query, Mutation, Subscription>;

/// Connections that the system completes before they are accepted. The 1,024 of tokio are few when many clients connect
/// at once, or come back after a restart: what does not fit is tried again by the client's system after a second. The
/// system lowers it to its own limit (Linux: net.core.somaxconn, 4,096).
const BACKLOG: u32 = 4_096;

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    // Elsewhere than on Unix it would let another program take over the port.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// The engine for the whole schema, which counts in `views` what is opened by links.
///
/// # Errors
/// The schema cannot be read by the guard.
pub fn engine(config: &Config, db: Db, views: ViewCounter) -> Result<Engine> {
    let settings = Settings {
        page_size_default: config.limits.page_size_default,
        page_size_max: config.limits.page_size_max,
        counts: config.loading.count_strategy,
    };
    let loading = dataloader::LoadLimits {
        keys_max: config.loading.batch_keys,
        statements_max: config.loading.max_sql_per_request,
    };
    Ok(Engine::new((Query { views }, Mutation), db, settings, config.limits.clone(), loading, config.cache.clone())?)
}

/// The signal to stop: SIGINT or SIGTERM. A second one ends the process at once.
pub async fn stop_signal() {
    wait_for_signal().await;
    info!("stopping: a second signal ends at once");
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
impl Access for Accounts {
    async fn viewer(&self, token: Option<&str>) -> error::Result<Viewer> {
        Accounts::viewer(self, token).await
    }

    fn is_known(&self, token: &str) -> bool {
        Accounts::is_known(self, token)
    }
}

struct DbHealth(Db);

#[async_trait::async_trait]
impl Health for DbHealth {
    async fn is_answering(&self) -> bool {
        self.0.ping().await.is_ok()
    }

    fn pool(&self) -> Pool {
        let usage = self.0.usage();
        Pool { size: usage.size, in_use: usage.in_use, waiting: usage.waiting, max: usage.max }
    }
}
