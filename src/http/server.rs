//! Connections: accepted up to a limit, timed, and drained before the end.
use std::{sync::Arc, time::Duration};

use axum::Router;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto::Builder, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tracing::{debug, info, warn};

use super::{Config, Site};

/// How long to wait after the system had no room for a new connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Streams that one HTTP/2 connection may have open.
const STREAMS_MAX: u32 = 128;

/// Serves `site` until `shutdown` is done; then says that it is not ready, takes no more connections, and lets what runs
/// end within `http.shutdown_grace`.
pub async fn run(listener: TcpListener, site: Site, shutdown: impl Future<Output = ()>) {
    let router = site.router();
    let builder = builder(site.config());
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(site.config().connections));
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            (stream, place) = accept(&listener, &places) => serve(stream, place, &builder, &router, &graceful),
        }
    }
    site.stop();
    drop(listener);
    let grace = site.config().shutdown_grace;
    match tokio::time::timeout(grace, graceful.shutdown()).await {
        Ok(()) => info!("all requests ended"),
        Err(_) => warn!(grace_ms = grace.as_millis() as u64, "requests were cut off"),
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

fn serve(
    stream: TcpStream,
    place: OwnedSemaphorePermit,
    builder: &Builder<TokioExecutor>,
    router: &Router,
    graceful: &GracefulShutdown,
) {
    let _ = stream.set_nodelay(true);
    let service = TowerToHyperService::new(router.clone());
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
    let connection = graceful.watch(connection);
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            debug!(error, "a connection ended early");
        }
        drop(place);
    });
}

fn builder(config: &Config) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(config.header_timeout)
        .max_buf_size(config.header_bytes);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(config.header_bytes).unwrap_or(u32::MAX))
        .max_concurrent_streams(STREAMS_MAX)
        .keep_alive_interval(Some(config.header_timeout))
        .keep_alive_timeout(config.header_timeout);
    builder
}
