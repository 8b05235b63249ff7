//! A WebSocket with the timers that both subprotocols share.
use std::{pin::Pin, sync::Arc, time::Duration};

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use futures_util::SinkExt;
use tokio::time::{Instant, Interval, interval_at, sleep_until, timeout};
use tracing::debug;

use super::{super::authentication, CloseReason, session::Session};

/// Interval of pings. A client that sends nothing for twice as long is disconnected.
const PING_INTERVAL: Duration = Duration::from_secs(20);

/// Time limit for the closing handshake.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// The next event on a connection.
pub(super) enum Event {
    Message(Message),
    Disconnected,
    PingDue,
    TokenCheckDue,
    InitTimeout,
    Shutdown,
}

/// A WebSocket and its timers.
pub(super) struct Connection {
    session: Arc<Session>,
    socket: WebSocket,
    ping: Interval,
    token_check: Interval,
    init_deadline: Instant,
    last_received: Instant,
    shutdown: Pin<Box<dyn Future<Output = ()> + Send>>,
    is_draining: bool,
}

impl Connection {
    pub(super) fn new(session: Arc<Session>, socket: WebSocket) -> Self {
        let now = Instant::now();
        Self {
            socket,
            ping: interval_at(now + PING_INTERVAL, PING_INTERVAL),
            token_check: interval_at(now + authentication::RECHECK_INTERVAL, authentication::RECHECK_INTERVAL),
            init_deadline: now + session.state.config().header_timeout,
            last_received: now,
            shutdown: Box::pin(session.state.stopping()),
            is_draining: false,
            session,
        }
    }

    /// Waits for the next event, which must be passed to [`handle`](Self::handle). Cancel safe.
    pub(super) async fn next_event(&mut self) -> Event {
        tokio::select! {
            message = self.socket.recv() => match message {
                Some(Ok(message)) => {
                    self.last_received = Instant::now();
                    Event::Message(message)
                }
                Some(Err(_)) | None => Event::Disconnected,
            },
            _ = self.ping.tick() => Event::PingDue,
            _ = self.token_check.tick() => Event::TokenCheckDue,
            () = sleep_until(self.init_deadline), if self.session.viewer().is_none() => Event::InitTimeout,
            () = &mut self.shutdown, if !self.is_draining => {
                self.is_draining = true;
                Event::Shutdown
            }
        }
    }

    /// Whether the server shuts down: subscriptions end, and running queries and mutations are completed.
    pub(super) fn is_draining(&self) -> bool {
        self.is_draining
    }

    /// Handles an event and returns its message if it is one for the subprotocol.
    ///
    /// # Errors
    /// The connection must be closed.
    pub(super) async fn handle(&mut self, event: Event) -> Result<Option<Message>, CloseReason> {
        match event {
            Event::Message(Message::Close(_)) | Event::Disconnected => Err(CloseReason::Disconnected),
            Event::Message(Message::Ping(_) | Message::Pong(_)) => Ok(None),
            Event::Message(message) => Ok(Some(message)),
            Event::PingDue if self.last_received.elapsed() > 2 * PING_INTERVAL => Err(CloseReason::Disconnected),
            Event::PingDue => self.send(Message::Ping(Default::default())).await.map(|()| None),
            Event::TokenCheckDue => self.session.check_token().await.map(|()| None),
            Event::InitTimeout if self.session.viewer().is_some() => Ok(None),
            Event::InitTimeout => Err(CloseReason::with(4408, "Connection initialisation timeout")),
            Event::Shutdown => Ok(None),
        }
    }

    pub(super) async fn send_text(&mut self, text: String) -> Result<(), CloseReason> {
        self.send(Message::Text(text.into())).await
    }

    /// Sends a message within `http.write_timeout`.
    ///
    /// # Errors
    /// The client does not read, or the connection is broken.
    pub(super) async fn send(&mut self, message: Message) -> Result<(), CloseReason> {
        match timeout(self.session.state.config().write_timeout, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(CloseReason::Disconnected),
        }
    }

    /// Completes the closing handshake. Without the reply to its close frame, a client takes the connection for lost, and
    /// waits before it opens another. Without waiting for the close frame of the client, messages that are still in transit
    /// to it would be lost if it has sent messages that are not read.
    pub(super) async fn close(mut self, reason: CloseReason) {
        let _ = timeout(CLOSE_TIMEOUT, self.complete_handshake(reason)).await;
    }

    async fn complete_handshake(&mut self, reason: CloseReason) {
        let CloseReason::Code(code, reason) = reason else {
            // The reply, if the client sent a close frame, is queued.
            let _ = self.socket.flush().await;
            return;
        };
        debug!(code, reason, "websocket closed");
        let frame = CloseFrame { code, reason: reason.into() };
        if self.send(Message::Close(Some(frame))).await.is_ok() {
            while let Some(Ok(_)) = self.socket.recv().await {}
        }
    }
}
