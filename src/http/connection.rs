//! Serving one connection, with limits on the time without a request and without reading.
use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, HttpBody},
    http::Request,
};
use bytes::Bytes;
use hyper::{
    body::{Frame, Incoming, SizeHint},
    service::Service,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::{OwnedSemaphorePermit, watch},
    time::{Instant, Sleep, sleep, sleep_until, timeout},
};
use tracing::debug;

use super::rate_limit::ClientAddress;

/// Time that a connection may spend without progress.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConnectionTimeouts {
    /// From the start of the connection to its first request.
    pub(super) first_request: Duration,
    /// Between requests.
    pub(super) idle: Duration,
    /// During a write, while the client does not read.
    pub(super) write: Duration,
}

/// The permit of a connection. Requests have it as an extension, because a WebSocket outlives the HTTP connection.
#[derive(Clone)]
pub(super) struct ConnectionPermit {
    _permit: Arc<OwnedSemaphorePermit>,
}

impl ConnectionPermit {
    pub(super) fn new(permit: OwnedSemaphorePermit) -> Self {
        Self { _permit: Arc::new(permit) }
    }
}

/// Serves a connection until the client closes it, a timeout expires or `stopping` becomes true. Running requests are
/// completed first, except when a write times out.
pub(super) async fn serve_connection(
    (stream, client, permit): (TcpStream, Option<ClientAddress>, ConnectionPermit),
    builder: Builder<TokioExecutor>,
    router: Router,
    timeouts: ConnectionTimeouts,
    stopping: watch::Receiver<bool>,
) {
    let requests = RequestTracker::default();
    let tracker = requests.clone();
    let router = TowerToHyperService::new(router);
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        if let Some(client) = client {
            request.extensions_mut().insert(client);
        }
        request.extensions_mut().insert(permit.clone());
        let in_flight = tracker.begin();
        let response = router.call(request);
        // A request is in flight until its body has been written: an event stream may take hours.
        async move { response.await.map(|response| response.map(|body| TrackedBody { body, _in_flight: in_flight })) }
    });
    let stream = TokioIo::new(TimedStream::new(stream, timeouts.write));
    let mut connection = std::pin::pin!(builder.serve_connection_with_upgrades(stream, service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        idleness = idleness(&requests, timeouts) => match idleness {
            // hyper has no timeout for the first bytes, which it reads to distinguish HTTP/1 from HTTP/2.
            Idleness::BeforeFirstRequest => return debug!("connection closed: no request received"),
            Idleness::BetweenRequests => {
                connection.as_mut().graceful_shutdown();
                // No request is running. The timeout covers a client that does not read the last response.
                timeout(timeouts.write, connection).await.unwrap_or(Ok(()))
            }
        },
        () = shutdown_started(stopping) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(error, "connection ended with an error");
    }
}

async fn shutdown_started(mut stopping: watch::Receiver<bool>) {
    // An error means that the server was dropped, which also ends its connections.
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

/// A response body that keeps its request in flight until it is written or dropped.
struct TrackedBody {
    body: Body,
    _in_flight: InFlight,
}

impl HttpBody for TrackedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Marks a request as running until dropped.
struct InFlight(RequestTracker);

/// Counts the running requests of a connection.
///
/// The idle timer polls it instead of being notified: a notification would schedule the connection's task, and wake a
/// thread for it, twice for each request.
#[derive(Clone, Default)]
struct RequestTracker(Arc<Mutex<Activity>>);

#[derive(Default)]
struct Activity {
    running: usize,
    /// When a request last began or ended.
    changed: Option<Instant>,
}

impl RequestTracker {
    fn begin(&self) -> InFlight {
        self.count(|running| running + 1);
        InFlight(self.clone())
    }

    fn count(&self, change: impl FnOnce(usize) -> usize) {
        let mut activity = self.activity();
        *activity = Activity { running: change(activity.running), changed: Some(Instant::now()) };
    }

    /// The start of the current idle period: now if a request is running, `None` before the first request.
    fn idle_since(&self) -> Option<Instant> {
        let activity = self.activity();
        if activity.running > 0 { Some(Instant::now()) } else { activity.changed }
    }

    fn activity(&self) -> MutexGuard<'_, Activity> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.count(|running| running - 1);
    }
}

/// The state of a connection when its idle timeout expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Idleness {
    BeforeFirstRequest,
    BetweenRequests,
}

/// Completes when no request has run for the time that `timeouts` allow.
async fn idleness(requests: &RequestTracker, timeouts: ConnectionTimeouts) -> Idleness {
    let start = Instant::now();
    loop {
        let (end, idleness) = match requests.idle_since() {
            None => (start + timeouts.first_request, Idleness::BeforeFirstRequest),
            Some(since) => (since + timeouts.idle, Idleness::BetweenRequests),
        };
        let now = Instant::now();
        if now >= end {
            return idleness;
        }
        // A first request may begin and end during the sleep; the idle timeout then counts from its end.
        sleep_until(end.min(now + timeouts.idle)).await;
    }
}

/// A stream whose writes fail with `TimedOut` if the peer has read nothing for `limit`.
struct TimedStream<S> {
    stream: S,
    limit: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> TimedStream<S> {
    fn new(stream: S, limit: Duration) -> Self {
        Self { stream, limit, stalled: None }
    }

    fn limited<T>(&mut self, cx: &mut Context<'_>, progress: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if progress.is_ready() {
            self.stalled = None;
            return progress;
        }
        let limit = self.limit;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read the response")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for TimedStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TimedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.limited(cx, progress)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.limited(cx, progress)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let progress = Pin::new(&mut self.stream).poll_flush(cx);
        self.limited(cx, progress)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let progress = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.limited(cx, progress)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const TIMEOUTS: ConnectionTimeouts = ConnectionTimeouts {
        first_request: Duration::from_secs(5),
        idle: Duration::from_secs(75),
        write: Duration::from_secs(30),
    };

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_a_request_is_closed_first() {
        let start = Instant::now();

        assert_eq!(idleness(&RequestTracker::default(), TIMEOUTS).await, Idleness::BeforeFirstRequest);
        assert_eq!(start.elapsed(), TIMEOUTS.first_request);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_from_the_end_of_its_last_request() {
        let requests = RequestTracker::default();
        let start = Instant::now();
        let client = async {
            let first = requests.begin();
            sleep(Duration::from_secs(100)).await;
            let second = requests.begin();
            drop(first);
            sleep(Duration::from_secs(100)).await;
            drop(second);
            std::future::pending::<()>().await;
        };

        let idleness = tokio::select! {
            idleness = idleness(&requests, TIMEOUTS) => idleness,
            () = client => unreachable!("it never ends"),
        };

        assert_eq!(idleness, Idleness::BetweenRequests);
        assert_eq!(start.elapsed(), Duration::from_secs(275));
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_idle_timeout_applies_from_the_end_of_the_first_request() {
        let timeouts = ConnectionTimeouts { idle: Duration::from_secs(1), ..TIMEOUTS };
        let requests = RequestTracker::default();
        let start = Instant::now();
        let client = async {
            sleep(Duration::from_millis(2_500)).await;
            drop(requests.begin());
        };

        let (idleness, ()) = tokio::join!(idleness(&requests, timeouts), client);

        assert_eq!(idleness, Idleness::BetweenRequests);
        assert_eq!(start.elapsed(), Duration::from_millis(3_500));
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_that_the_peer_does_not_read_times_out() {
        let (near, mut far) = tokio::io::duplex(4);
        let mut stream = TimedStream::new(near, TIMEOUTS.write);
        let start = Instant::now();

        stream.write_all(b"1234").await.expect("room in the buffer");
        let error = stream.write_all(b"5").await.expect_err("no room");

        assert_eq!((error.kind(), start.elapsed()), (io::ErrorKind::TimedOut, TIMEOUTS.write));
        far.read_exact(&mut [0; 4]).await.expect("what was written");
        stream.write_all(b"5").await.expect("room again");
    }
}
