//! One connection: the first request in time, no rest for those who neither ask nor read.
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
    sync::watch,
    time::{Instant, Sleep, sleep, sleep_until, timeout},
};
use tracing::debug;

use super::rate_limit::ClientAddress;

/// How long a connection may make no progress.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConnectionTimeouts {
    /// Until its first request has begun.
    pub(super) first: Duration,
    /// Between requests.
    pub(super) idle: Duration,
    /// While its client does not read.
    pub(super) write: Duration,
}

/// Serves the requests of a connection until its client leaves, patience with it ends, or `stopping` is true: then
/// it ends after the requests that run.
pub(super) async fn serve_connection(
    (stream, client): (TcpStream, Option<ClientAddress>),
    builder: Builder<TokioExecutor>,
    router: Router,
    timeouts: ConnectionTimeouts,
    stopping: watch::Receiver<bool>,
) {
    let requests = RequestTracker::default();
    let answered = requests.clone();
    let router = TowerToHyperService::new(router);
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        if let Some(client) = client {
            request.extensions_mut().insert(client);
        }
        let begun = answered.begin();
        let answer = router.call(request);
        // A request runs until its answer has been passed on: events may go on for hours.
        async move { answer.await.map(|answer| answer.map(|body| TrackedBody { body, _in_flight: begun })) }
    });
    let stream = TokioIo::new(TimedStream::new(stream, timeouts.write));
    let mut connection = std::pin::pin!(builder.serve_connection_with_upgrades(stream, service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        idleness = idleness(&requests, timeouts) => match idleness {
            // hyper does not time the first bytes, by which it tells HTTP/1 from HTTP/2.
            Idleness::BeforeFirstRequest => return debug!("a connection was closed: it asked for nothing"),
            Idleness::BetweenRequests => {
                connection.as_mut().graceful_shutdown();
                // Nothing runs any more; a client that reads none of a last answer is not waited for.
                timeout(timeouts.write, connection).await.unwrap_or(Ok(()))
            }
        },
        () = shutdown_started(stopping) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(error, "a connection ended early");
    }
}

async fn shutdown_started(mut stopping: watch::Receiver<bool>) {
    // It fails where the server was dropped, which ends its connections too.
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

/// The body of an answer, while it is passed on.
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

/// A request that runs until this is dropped.
struct InFlight(RequestTracker);

/// The requests of a connection. Nobody is told of them: who wants to know looks when it is time to, because being told
/// would schedule the connection's task, and wake a thread for it, twice for each request.
#[derive(Clone, Default)]
struct RequestTracker(Arc<Mutex<Activity>>);

#[derive(Default)]
struct Activity {
    running: usize,
    /// When the last one began or ended.
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

    /// Since when none runs: now where one does, nothing where there was none.
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

/// What a connection has done before patience with it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Idleness {
    BeforeFirstRequest,
    BetweenRequests,
}

/// Waits until no request has run for as long as `patience` allows.
async fn idleness(requests: &RequestTracker, timeouts: ConnectionTimeouts) -> Idleness {
    let start = Instant::now();
    loop {
        let (end, idleness) = match requests.idle_since() {
            None => (start + timeouts.first, Idleness::BeforeFirstRequest),
            Some(since) => (since + timeouts.idle, Idleness::BetweenRequests),
        };
        let now = Instant::now();
        if now >= end {
            return idleness;
        }
        // Whoever has not asked yet may ask at once, and be idle from then on.
        sleep_until(end.min(now + timeouts.idle)).await;
    }
}

/// A stream whose writes fail once the peer has taken nothing for a while.
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
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read")))
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
        first: Duration::from_secs(5),
        idle: Duration::from_secs(75),
        write: Duration::from_secs(30),
    };

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_a_request_is_given_up_first() {
        let start = Instant::now();

        assert_eq!(idleness(&RequestTracker::default(), TIMEOUTS).await, Idleness::BeforeFirstRequest);
        assert_eq!(start.elapsed(), TIMEOUTS.first);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_from_the_end_of_its_last_request() {
        let requests = RequestTracker::default();
        let start = Instant::now();
        let ask = async {
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
            () = ask => unreachable!("it never ends"),
        };

        assert_eq!(idleness, Idleness::BetweenRequests);
        assert_eq!(start.elapsed(), Duration::from_secs(275));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_has_asked_is_idle_sooner_than_patience_with_a_first_request_ends() {
        let timeouts = ConnectionTimeouts { idle: Duration::from_secs(1), ..TIMEOUTS };
        let requests = RequestTracker::default();
        let start = Instant::now();
        let ask = async {
            sleep(Duration::from_millis(2_500)).await;
            drop(requests.begin());
        };

        let (idleness, ()) = tokio::join!(idleness(&requests, timeouts), ask);

        assert_eq!(idleness, Idleness::BetweenRequests);
        assert_eq!(start.elapsed(), Duration::from_millis(3_500));
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_that_nobody_reads_fails_in_the_end() {
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
