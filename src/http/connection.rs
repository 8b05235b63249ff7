//! Serving one connection, with limits on the time without a request and without reading, and graceful shutdown.
use std::{
    collections::HashMap,
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, HttpBody},
    http::{Request, Version},
};
use bytes::{Buf, Bytes};
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
    sync::{OwnedSemaphorePermit, watch},
    task::yield_now,
    time::{Instant, Sleep, sleep, sleep_until, timeout},
};
use tracing::debug;

use super::{rate_limit::ClientAddress, response_body::ConnectionBudget};

/// Time that an HTTP/1 connection stays open for its next request during the shutdown, from its start or from its last
/// response: the client may already have sent the request.
const SHUTDOWN_LINGER: Duration = Duration::from_secs(1);

/// Interval at which an HTTP/1 connection is checked for a running request during the shutdown.
const SHUTDOWN_POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Time that a connection may spend without progress.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConnectionTimeouts {
    /// From the start of the connection to its first request.
    pub(super) first_request: Duration,
    /// Between requests, and for one response of several while the client reads only the others.
    pub(super) idle: Duration,
    /// During a response, while the client does not read.
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
/// completed first, except when the client does not read.
pub(super) async fn serve_connection<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    (stream, client, permit, responses): (S, Option<ClientAddress>, ConnectionPermit, ConnectionBudget),
    builder: Builder<TokioExecutor>,
    router: Router,
    timeouts: ConnectionTimeouts,
    stopping: watch::Receiver<bool>,
) {
    let activity = ConnectionActivity::default();
    let of_service = activity.clone();
    let router = TowerToHyperService::new(router);
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        if let Some(client) = client {
            request.extensions_mut().insert(client);
        }
        request.extensions_mut().insert(permit.clone());
        request.extensions_mut().insert(responses.clone());
        let in_flight = of_service.begin(request.version());
        let response = router.call(request);
        // A request is in flight until its body has been read: an event stream may take hours.
        async move { response.await.map(|response| response.map(|body| TrackedBody { body, in_flight })) }
    });
    let stream = TokioIo::new(TimedStream::new(stream, timeouts.write));
    let mut connection = std::pin::pin!(builder.serve_connection_with_upgrades(stream, service));
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        end = end(&activity, timeouts) => match end {
            // hyper has no timeout for the first bytes, which it reads to distinguish HTTP/1 from HTTP/2.
            End::NoRequest => return debug!("connection closed: no request received"),
            // hyper has no timeout for data that HTTP/2 flow control holds back.
            End::Unread => return debug!("connection closed: the client does not read a response"),
            End::Idle => {
                connection.as_mut().graceful_shutdown();
                // No request is running. The timeout covers a client that does not close the connection.
                timeout(timeouts.write, connection).await.unwrap_or(Ok(()))
            }
        },
        () = may_shut_down(&activity, stopping) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(error, "connection ended with an error");
    }
}

/// Why the server closes a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// No request was received.
    NoRequest,
    /// No request has run for a while.
    Idle,
    /// The client does not read a response.
    Unread,
}

/// Completes when the connection has made no progress for the time that `timeouts` allow.
async fn end(activity: &ConnectionActivity, timeouts: ConnectionTimeouts) -> End {
    let start = Instant::now();
    loop {
        let (deadline, end) = activity.deadline(start, timeouts);
        let now = Instant::now();
        if now >= deadline {
            return end;
        }
        // A request or a response may begin during the sleep; a shorter timeout then counts from there.
        sleep_until(deadline.min(now + timeouts.idle.min(timeouts.write))).await;
    }
}

/// Completes during the shutdown, when closing the connection gracefully loses no request.
///
/// HTTP/2 announces the shutdown (GOAWAY), so requests that the client has already sent are still received. Over HTTP/1,
/// responses during the shutdown have `Connection: close`; a client without such a response may send a request at any time.
async fn may_shut_down(activity: &ConnectionActivity, mut stopping: watch::Receiver<bool>) {
    let start = Instant::now();
    // An error means that the server was dropped, which also ends its connections.
    let _ = stopping.wait_for(|stopping| *stopping).await;
    loop {
        match activity.idle_since(start) {
            _ if activity.is_http2() => return,
            None => sleep(SHUTDOWN_POLL_INTERVAL).await,
            Some(idle_since) if idle_since.elapsed() < SHUTDOWN_LINGER => {
                sleep_until(idle_since + SHUTDOWN_LINGER).await;
            }
            idle_since => {
                // Lets the runtime find out whether a request has arrived, which is read first.
                yield_now().await;
                if activity.idle_since(start) == idle_since {
                    return;
                }
            }
        }
    }
}

/// A response body that keeps its request in flight until it is read or dropped.
struct TrackedBody {
    body: Body,
    in_flight: InFlight,
}

impl HttpBody for TrackedBody {
    type Data = TrackedChunk;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        Poll::Ready(frame.map(|frame| Ok(frame?.map_data(|bytes| self.in_flight.0.hand_over(bytes)))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A part of a response that hyper has read and the connection has not written yet.
struct TrackedChunk {
    bytes: Bytes,
    id: u64,
    activity: ConnectionActivity,
}

impl Buf for TrackedChunk {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        self.activity.lock().progress(self.id);
    }
}

impl Drop for TrackedChunk {
    fn drop(&mut self) {
        self.activity.lock().unwritten.remove(&self.id);
    }
}

/// Marks a request as running until dropped.
struct InFlight(ConnectionActivity);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.lock().count(|running| running - 1);
    }
}

/// The running requests of a connection and the parts of responses that it has not written.
///
/// The timers poll it instead of being notified: a notification would schedule the connection's task, and wake a thread for
/// it, twice for each request.
#[derive(Clone, Default)]
struct ConnectionActivity(Arc<Mutex<Activity>>);

#[derive(Default)]
struct Activity {
    is_http2: bool,
    running: usize,
    /// When a request last began or ended.
    changed: Option<Instant>,
    /// When each unwritten chunk was handed over or a part of it was written.
    unwritten: HashMap<u64, Instant>,
    /// When a part of any chunk was last written.
    progressed: Option<Instant>,
    chunks: u64,
}

impl Activity {
    fn count(&mut self, change: impl FnOnce(usize) -> usize) {
        self.running = change(self.running);
        self.changed = Some(Instant::now());
    }

    fn progress(&mut self, chunk: u64) {
        let now = Instant::now();
        self.progressed = Some(now);
        // The connection is not idle while it writes a response that hyper has read to its end.
        self.changed = Some(now);
        self.unwritten.insert(chunk, now);
    }
}

impl ConnectionActivity {
    fn begin(&self, version: Version) -> InFlight {
        let mut activity = self.lock();
        activity.is_http2 = version == Version::HTTP_2;
        activity.count(|running| running + 1);
        InFlight(self.clone())
    }

    fn hand_over(&self, bytes: Bytes) -> TrackedChunk {
        let mut activity = self.lock();
        let id = activity.chunks;
        activity.chunks += 1;
        activity.unwritten.insert(id, Instant::now());
        TrackedChunk { bytes, id, activity: self.clone() }
    }

    /// The time at which the connection is closed, and the reason, if nothing happens until then.
    fn deadline(&self, start: Instant, timeouts: ConnectionTimeouts) -> (Instant, End) {
        let activity = self.lock();
        if let Some(&oldest) = activity.unwritten.values().min() {
            // A client may read responses one after the other, so the limit for one response is longer while others progress.
            let all = oldest.max(activity.progressed.unwrap_or(oldest)) + timeouts.write;
            return (all.min(oldest + timeouts.write.max(timeouts.idle)), End::Unread);
        }
        match (activity.running, activity.changed) {
            (0, None) => (start + timeouts.first_request, End::NoRequest),
            (0, Some(changed)) => (changed + timeouts.idle, End::Idle),
            _ => (Instant::now() + timeouts.idle, End::Idle),
        }
    }

    /// The start of the current idle period, `None` while a request is running or a response is being written.
    fn idle_since(&self, start: Instant) -> Option<Instant> {
        let activity = self.lock();
        (activity.running == 0 && activity.unwritten.is_empty()).then(|| activity.changed.unwrap_or(start))
    }

    fn is_http2(&self) -> bool {
        self.lock().is_http2
    }

    fn lock(&self) -> MutexGuard<'_, Activity> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
    use axum::routing::get;
    use http_body_util::{BodyExt, Empty};
    use hyper::client::conn::http2;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
        sync::Semaphore,
        task::JoinHandle,
    };

    use super::*;

    const TIMEOUTS: ConnectionTimeouts = ConnectionTimeouts {
        first_request: Duration::from_secs(5),
        idle: Duration::from_secs(75),
        write: Duration::from_secs(30),
    };

    /// Size of `/large`, in bytes: more than the buffers between client and server hold.
    const LARGE_BYTES: usize = 1 << 20;

    /// A served connection in memory, with the client's end.
    struct Served {
        task: JoinHandle<()>,
        stopping: watch::Sender<bool>,
        start: Instant,
    }

    impl Served {
        /// `/small` has 2 bytes, `/large` [`LARGE_BYTES`], and `/endless` does not end.
        fn start() -> (Self, DuplexStream) {
            let router = Router::new()
                .route("/small", get(async || "ok"))
                .route("/large", get(async || "x".repeat(LARGE_BYTES)))
                .route(
                    "/endless",
                    get(async || Body::from_stream(futures_util::stream::pending::<io::Result<Bytes>>())),
                );
            let (near, far) = duplex(1 << 14);
            let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().expect("a permit");
            let stopping = watch::Sender::new(false);
            let builder = super::super::server::builder(&super::super::Config::default());
            let responses = super::super::response_body::MemoryBudget::new(LARGE_BYTES).for_connection();
            let connection = (near, None, ConnectionPermit::new(permit), responses);
            let task = tokio::spawn(serve_connection(connection, builder, router, TIMEOUTS, stopping.subscribe()));
            (Self { task, stopping, start: Instant::now() }, far)
        }

        /// Returns the time until the server closes the connection.
        async fn lifetime(&mut self) -> Duration {
            (&mut self.task).await.expect("no panic");
            self.start.elapsed()
        }
    }

    /// An HTTP/2 client, whose connection answers pings.
    async fn http2(stream: DuplexStream, window: u32) -> http2::SendRequest<Empty<Bytes>> {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.initial_stream_window_size(window).initial_connection_window_size(1 << 20);
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.expect("a connection");
        tokio::spawn(connection);
        sender
    }

    async fn get_http2(sender: &mut http2::SendRequest<Empty<Bytes>>, path: &str) -> Incoming {
        let request = Request::get(format!("http://localhost{path}")).body(Empty::new()).expect("a request");
        sender.send_request(request).await.expect("a response").into_body()
    }

    async fn send_http1(stream: &mut DuplexStream, path: &str) {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("a server that reads");
    }

    /// Reads a response with the body `ok`.
    async fn receive_http1(stream: &mut DuplexStream) -> String {
        let mut response = Vec::new();
        while !response.ends_with(b"ok") {
            response.push(stream.read_u8().await.expect("a response"));
        }
        String::from_utf8(response).expect("text")
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_a_request_is_closed_first() {
        let (mut served, _far) = Served::start();

        assert_eq!(served.lifetime().await, TIMEOUTS.first_request);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_from_the_end_of_its_last_request() {
        let activity = ConnectionActivity::default();
        let start = Instant::now();
        let client = async {
            let first = activity.begin(Version::HTTP_2);
            sleep(Duration::from_secs(100)).await;
            let second = activity.begin(Version::HTTP_2);
            drop(first);
            sleep(Duration::from_secs(100)).await;
            drop(second);
            std::future::pending::<()>().await;
        };

        let end = tokio::select! {
            end = end(&activity, TIMEOUTS) => end,
            () = client => unreachable!("it never ends"),
        };

        assert_eq!((end, start.elapsed()), (End::Idle, Duration::from_secs(275)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_idle_timeout_applies_from_the_end_of_the_first_request() {
        let timeouts = ConnectionTimeouts { idle: Duration::from_secs(1), ..TIMEOUTS };
        let activity = ConnectionActivity::default();
        let start = Instant::now();
        let client = async {
            sleep(Duration::from_millis(2_500)).await;
            drop(activity.begin(Version::HTTP_11));
        };

        let (end, ()) = tokio::join!(end(&activity, timeouts), client);

        assert_eq!((end, start.elapsed()), (End::Idle, Duration::from_millis(3_500)));
    }

    #[tokio::test(start_paused = true)]
    async fn an_http1_client_that_does_not_read_is_disconnected() {
        let (mut served, mut far) = Served::start();

        send_http1(&mut far, "/large").await;

        assert_eq!(served.lifetime().await, TIMEOUTS.write);
    }

    #[tokio::test(start_paused = true)]
    async fn an_http2_client_that_answers_pings_and_does_not_read_is_disconnected() {
        for (window, path) in [(0, "/small"), (0, "/large"), (1 << 16, "/large")] {
            let (mut served, far) = Served::start();
            let mut client = http2(far, window).await;

            let _unread = get_http2(&mut client, path).await;

            assert_eq!(served.lifetime().await, TIMEOUTS.write, "{window} {path}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_http2_client_that_reads_only_other_responses_is_disconnected_later() {
        let (mut served, far) = Served::start();
        let mut client = http2(far, 1 << 16).await;
        let _unread = get_http2(&mut client, "/large").await;
        let others = async {
            loop {
                sleep(Duration::from_secs(20)).await;
                let body = get_http2(&mut client, "/small").await;
                assert_eq!(body.collect().await.expect("a body").to_bytes(), "ok");
            }
        };

        let lifetime = tokio::select! {
            lifetime = served.lifetime() => lifetime,
            () = others => unreachable!("it never ends"),
        };

        assert_eq!(lifetime, TIMEOUTS.idle);
    }

    #[tokio::test(start_paused = true)]
    async fn an_http2_client_that_reads_slowly_stays_connected() {
        let (served, far) = Served::start();
        let mut client = http2(far, 1 << 15).await;
        let mut body = get_http2(&mut client, "/large").await;

        let mut received = 0;
        while let Some(frame) = body.frame().await {
            received += frame.expect("a connection").into_data().expect("data").len();
            sleep(Duration::from_secs(20)).await;
        }

        assert_eq!(received, LARGE_BYTES);
        assert!(served.start.elapsed() > 2 * (TIMEOUTS.idle + TIMEOUTS.write));
    }

    #[tokio::test(start_paused = true)]
    async fn a_response_without_data_is_not_unread() {
        let (served, far) = Served::start();
        let mut client = http2(far, 1 << 16).await;
        let _waiting = get_http2(&mut client, "/endless").await;

        sleep(10 * TIMEOUTS.idle).await;

        assert!(!served.task.is_finished());
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_arrives_during_the_shutdown_is_completed() {
        // The connection is new, or has completed a request just before.
        for is_new in [true, false] {
            let (mut served, mut far) = Served::start();
            if !is_new {
                send_http1(&mut far, "/small").await;
                receive_http1(&mut far).await;
            }
            served.stopping.send_replace(true);
            sleep(SHUTDOWN_LINGER / 2).await;

            send_http1(&mut far, "/small").await;

            receive_http1(&mut far).await;
            assert_eq!(served.lifetime().await, SHUTDOWN_LINGER * 3 / 2, "{is_new}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_is_closed_at_once_at_shutdown() {
        let (mut served, mut far) = Served::start();
        send_http1(&mut far, "/small").await;
        receive_http1(&mut far).await;
        sleep(SHUTDOWN_LINGER).await;

        served.stopping.send_replace(true);

        assert_eq!(served.lifetime().await, SHUTDOWN_LINGER);
    }

    #[tokio::test(start_paused = true)]
    async fn an_http2_connection_is_told_to_go_away_and_completes_its_requests() {
        let (mut served, far) = Served::start();
        let mut client = http2(far, 1 << 16).await;
        let body = get_http2(&mut client, "/large").await;

        served.stopping.send_replace(true);
        sleep(Duration::from_secs(1)).await;

        let request = Request::get("http://localhost/small").body(Empty::new()).expect("a request");
        assert!(client.send_request(request).await.is_err(), "the client opens another connection");
        assert_eq!(body.collect().await.expect("a body").to_bytes().len(), LARGE_BYTES);
        drop(client);
        assert_eq!(served.lifetime().await, Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_that_the_peer_does_not_read_times_out() {
        let (near, mut far) = duplex(4);
        let mut stream = TimedStream::new(near, TIMEOUTS.write);
        let start = Instant::now();

        stream.write_all(b"1234").await.expect("room in the buffer");
        let error = stream.write_all(b"5").await.expect_err("no room");

        assert_eq!((error.kind(), start.elapsed()), (io::ErrorKind::TimedOut, TIMEOUTS.write));
        far.read_exact(&mut [0; 4]).await.expect("what was written");
        stream.write_all(b"5").await.expect("room again");
    }
}
