//! Connections: accepted up to a limit, timed, and drained before the end.
use std::{sync::Arc, time::Duration};

use axum::Router;
use hyper_util::{
    rt::{TokioExecutor, TokioTimer},
    server::conn::auto::Builder,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
};
use tracing::{info, warn};

use super::{
    AppState, Config,
    connection::{ConnectionTimeouts, serve_connection},
    rate_limit::ClientAddress,
};

/// How long to wait after the system had no room for a new connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Streams that one HTTP/2 connection may have open.
const STREAMS_MAX: u32 = 128;

/// Serves `site` until `shutdown` is done. Then says that it is not ready, accepts for `http.shutdown_delay` longer, and
/// lets what runs end, all within `http.shutdown_grace`.
///
/// Dropping the future ends all connections at once.
pub async fn run(listener: TcpListener, state: AppState, shutdown: impl Future<Output = ()>) {
    let config = state.config().clone();
    let mut server = Server::new(&state);
    server.accept_until(&listener, shutdown).await;
    state.stop();
    let delay = config.shutdown_delay.min(config.shutdown_grace);
    server.accept_until(&listener, tokio::time::sleep(delay)).await;
    drop(listener);
    server.drain(config.shutdown_grace - delay).await;
}

/// The connections of a site.
struct Server {
    router: Router,
    builder: Builder<TokioExecutor>,
    timeouts: ConnectionTimeouts,
    places: Arc<Semaphore>,
    connections: JoinSet<()>,
    stopping: watch::Sender<bool>,
}

impl Server {
    fn new(state: &AppState) -> Self {
        let config = state.config();
        let timeouts =
            ConnectionTimeouts { first: config.header_timeout, idle: config.idle_timeout, write: config.write_timeout };
        Self {
            router: state.router(),
            builder: builder(config),
            timeouts,
            places: Arc::new(Semaphore::new(config.connections)),
            connections: JoinSet::new(),
            stopping: watch::Sender::new(false),
        }
    }

    async fn accept_until(&mut self, listener: &TcpListener, end: impl Future<Output = ()>) {
        let mut end = std::pin::pin!(end);
        loop {
            tokio::select! {
                () = &mut end => return,
                (stream, place) = accept(listener, &self.places) => self.serve(stream, place),
                // Only so that the set keeps no connection that has ended.
                Some(_) = self.connections.join_next() => {}
            }
        }
    }

    fn serve(&mut self, stream: TcpStream, place: OwnedSemaphorePermit) {
        // Answers are written whole, so there is nothing to gain by waiting for more. That it fails is harmless.
        let _ = stream.set_nodelay(true);
        let client = stream.peer_addr().ok().map(|address| ClientAddress(address.ip()));
        let conversation = serve_connection(
            (stream, client),
            self.builder.clone(),
            self.router.clone(),
            self.timeouts,
            self.stopping.subscribe(),
        );
        self.connections.spawn(async move {
            conversation.await;
            drop(place);
        });
    }

    /// Lets what runs end within `grace`, and cuts off the rest.
    async fn drain(mut self, grace: Duration) {
        self.stopping.send_replace(true);
        let all_ended = async { while self.connections.join_next().await.is_some() {} };
        match tokio::time::timeout(grace, all_ended).await {
            Ok(()) => info!("all connections ended"),
            Err(_) => warn!(connections = self.connections.len(), "connections were cut off"),
        }
        self.connections.shutdown().await;
    }
}

/// The next connection, once there is a place for it. axum's own loop sets no timer, so that hyper's timeouts never fire.
async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> (TcpStream, OwnedSemaphorePermit) {
    let place = places.clone().acquire_owned().await.expect("the semaphore is never closed");
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, place),
            Err(error) => {
                warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn builder(config: &Config) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // For hyper it begins with the end of the request before.
        .header_read_timeout(config.idle_timeout.max(config.header_timeout))
        .max_buf_size(config.header_bytes)
        .max_headers(config.header_count);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(config.header_bytes).unwrap_or(u32::MAX))
        .max_concurrent_streams(STREAMS_MAX)
        .keep_alive_interval(Some(config.header_timeout))
        .keep_alive_timeout(config.header_timeout);
    builder
}
