//! The accept loop: a connection limit, timeouts and graceful shutdown.
use std::{future::ready, io, sync::Arc, time::Duration};

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
    connection::{ConnectionPermit, ConnectionTimeouts, serve_connection},
    rate_limit::ClientAddress,
};

/// Pause after a failed `accept`, for example because no file descriptor is free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Maximum number of connections that are accepted from the backlog at shutdown, more than the backlog holds.
const BACKLOG_MAX: usize = 8_192;

/// Concurrent streams of one HTTP/2 connection.
const STREAMS_MAX: u32 = 128;

/// Serves requests until `shutdown` completes, then shuts down gracefully within `http.shutdown_grace`: readiness turns
/// off, new connections are accepted for `http.shutdown_delay`, the connections that the kernel has established by then are
/// accepted, and running requests are completed.
///
/// Dropping the future aborts all connections.
pub async fn run(listener: TcpListener, state: AppState, shutdown: impl Future<Output = ()>) {
    let config = state.config().clone();
    let mut server = Server::new(&state);
    server.accept_until(&listener, shutdown).await;
    state.stop();
    let delay = config.shutdown_delay.min(config.shutdown_grace);
    server.accept_until(&listener, tokio::time::sleep(delay)).await;
    server.accept_backlog(listener);
    server.drain(config.shutdown_grace - delay).await;
}

/// A server with its open connections.
struct Server {
    state: AppState,
    router: Router,
    builder: Builder<TokioExecutor>,
    timeouts: ConnectionTimeouts,
    connections_max: usize,
    permits: Arc<Semaphore>,
    connections: JoinSet<()>,
    stopping: watch::Sender<bool>,
}

impl Server {
    fn new(state: &AppState) -> Self {
        let config = state.config();
        let timeouts = ConnectionTimeouts {
            first_request: config.header_timeout,
            idle: config.idle_timeout,
            write: config.write_timeout,
        };
        Self {
            state: state.clone(),
            router: state.router(),
            builder: builder(config),
            timeouts,
            connections_max: config.connections,
            permits: Arc::new(Semaphore::new(config.connections)),
            connections: JoinSet::new(),
            stopping: watch::Sender::new(false),
        }
    }

    async fn accept_until(&mut self, listener: &TcpListener, end: impl Future<Output = ()>) {
        let mut end = std::pin::pin!(end);
        loop {
            tokio::select! {
                () = &mut end => return,
                (stream, permit) = accept(listener, &self.permits) => self.serve(stream, ready(permit)),
                // Removes connections that have ended from the set.
                Some(_) = self.connections.join_next() => {}
            }
        }
    }

    /// Accepts the connections that the kernel has established and closes the listener in the same moment: closing it resets
    /// connections that are not accepted, whose clients may already have sent a request.
    fn accept_backlog(&mut self, listener: TcpListener) {
        let Ok(listener) = listener.into_std() else { return };
        for _ in 0..BACKLOG_MAX {
            match listener.accept() {
                Ok((stream, _)) if stream.set_nonblocking(true).is_ok() => {
                    let Ok(stream) = TcpStream::from_std(stream) else { continue };
                    let permit = acquire(self.permits.clone());
                    self.serve(stream, permit);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // The client has left.
                Ok(_) | Err(_) => {}
            }
        }
    }

    /// Serves a connection as soon as it has a permit.
    fn serve(&mut self, stream: TcpStream, permit: impl Future<Output = OwnedSemaphorePermit> + Send + 'static) {
        // Responses are written whole, so Nagle's algorithm only delays them. A failure is harmless.
        let _ = stream.set_nodelay(true);
        let client = stream.peer_addr().ok().map(|address| ClientAddress(address.ip()));
        let (builder, router, timeouts) = (self.builder.clone(), self.router.clone(), self.timeouts);
        let responses = self.state.inner.response_budget.for_connection();
        let stopping = self.stopping.subscribe();
        self.connections.spawn(async move {
            let permit = ConnectionPermit::new(permit.await);
            serve_connection((stream, client, permit, responses), builder, router, timeouts, stopping).await;
        });
    }

    /// Lets running requests complete within `grace`, then aborts the remaining connections.
    async fn drain(mut self, grace: Duration) {
        self.stopping.send_replace(true);
        let all_permits = u32::try_from(self.connections_max).unwrap_or(u32::MAX);
        // WebSockets are served by tasks of their own, which hold the permits of their connections.
        let all_ended = async {
            while self.connections.join_next().await.is_some() {}
            self.permits.acquire_many(all_permits).await.is_ok()
        };
        match tokio::time::timeout(grace, all_ended).await {
            Ok(_) => info!("all connections closed"),
            Err(_) => warn!(
                connections = self.connections_max - self.permits.available_permits(),
                "connections aborted at the end of the shutdown grace period"
            ),
        }
        self.connections.shutdown().await;
    }
}

/// Accepts the next connection when a permit is free. `axum::serve` is not used: it sets no timer, so hyper's timeouts
/// would never fire.
async fn accept(listener: &TcpListener, permits: &Arc<Semaphore>) -> (TcpStream, OwnedSemaphorePermit) {
    let permit = acquire(permits.clone()).await;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, permit),
            Err(error) => {
                warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn acquire(permits: Arc<Semaphore>) -> OwnedSemaphorePermit {
    permits.acquire_owned().await.expect("the semaphore is never closed")
}

pub(super) fn builder(config: &Config) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // hyper starts this timer at the end of the previous request.
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
