//! Subscriptions over WebSockets: the protocol `graphql-transport-ws`.
//!
//! The client says `connection_init` and is acknowledged; then it subscribes, each time under an id of its own. A message
//! that the protocol does not know closes the socket with the protocol's code. What GraphQL refuses is an `error` of the
//! operation, and the socket stays. async-graphql's implementation has none of the codes 4400, 4401, 4408 and 4409, so it
//! is not used.
use std::{pin::pin, time::Duration};

use axum::{
    Extension,
    extract::{
        State,
        ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    },
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use futures_util::{Stream, StreamExt, stream};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::{Instant, timeout};
use tokio_stream::StreamMap;
use tracing::debug;

use super::{
    AppState, authentication, graphql::start, negotiation::MediaType, parameters, rate_limit::ClientAddress,
    rejection::Rejection, request_layer::RequestId, subscription_slot::SubscriptionSlot,
};
use crate::{access::Viewer, error::Code, graphql};

/// The name of the protocol.
const PROTOCOL: &str = "graphql-transport-ws";

/// How often a client is asked whether it is there. One that says nothing for twice as long is not.
const PING_EVERY: Duration = Duration::from_secs(20);

/// Opens a socket.
pub(super) async fn open(
    State(state): State<AppState>,
    Extension(id): Extension<RequestId>,
    client: Option<Extension<ClientAddress>>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade.protocols([PROTOCOL]),
        Err(_) => {
            let message =
                "subscriptions are followed here over a WebSocket: open one with the protocol graphql-transport-ws";
            return Rejection::new(StatusCode::UPGRADE_REQUIRED, Code::BadRequest, message)
                .into_response(MediaType::Json);
        }
    };
    if upgrade.selected_protocol().is_none() {
        let message = "the protocol of the socket must be graphql-transport-ws";
        return Rejection::bad_request(message).into_response(MediaType::Json);
    }
    let token = match authentication::bearer(&headers) {
        Ok(token) => token.map(str::to_owned),
        Err(rejection) => return rejection.into_response(MediaType::Json),
    };
    let client = client.map(|client| client.0);
    // Until the first message, whoever has no token is nobody known.
    let viewer = authentication::viewer(&state, token.as_deref(), client).await.unwrap_or(Viewer::ANONYMOUS);
    let slot = match state.inner.subscription_slots.acquire(viewer, client) {
        Ok(slot) => slot,
        Err(rejection) => return rejection.into_response(MediaType::Json),
    };
    let max = state.config().body_bytes;
    upgrade
        .max_message_size(max)
        .max_frame_size(max)
        .on_upgrade(async move |socket| {
            serve_connection(&state, &id.0, (client, slot), token, socket).await;
        })
        .into_response()
}

/// What a client says.
#[derive(Deserialize)]
struct ClientMessage {
    #[serde(rename = "type")]
    kind: MessageType,
    id: Option<String>,
    payload: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum MessageType {
    ConnectionInit,
    Ping,
    Pong,
    Subscribe,
    Complete,
}

/// Why a socket is closed, as the protocol has it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum CloseReason {
    /// The client left, or the connection broke.
    Disconnected,
    /// A code with its reason.
    With(u16, String),
}

impl CloseReason {
    fn with(code: u16, reason: impl Into<String>) -> Self {
        Self::With(code, reason.into())
    }
}

/// What an operation of a socket says next: a response, or that it ended.
type Operation = stream::BoxStream<'static, OperationEvent>;

enum OperationEvent {
    Next(graphql::Response),
    Rejected(Vec<u8>),
    Complete,
}

/// One socket.
struct Socket<'s> {
    state: &'s AppState,
    /// The id of the request that opened it.
    id: &'s str,
    client: Option<ClientAddress>,
    /// The place of whoever it is.
    slot: SubscriptionSlot,
    socket: WebSocket,
    /// From the request that opened it, or from its first message.
    token: Option<String>,
    /// Who it is, once it was acknowledged.
    viewer: Option<Viewer>,
    operations: StreamMap<String, Operation>,
}

async fn serve_connection(
    state: &AppState,
    id: &str,
    (client, slot): (Option<ClientAddress>, SubscriptionSlot),
    token: Option<String>,
    socket: WebSocket,
) {
    let mut socket = Socket { state, id, client, slot, socket, token, viewer: None, operations: StreamMap::new() };
    let reason = socket.run().await.unwrap_or_else(|reason| reason);
    if let CloseReason::With(code, reason) = reason {
        debug!(code, reason, "a socket was closed");
        // A client that does not read the reason is not waited for.
        let frame = Message::Close(Some(CloseFrame { code, reason: reason.into() }));
        let _ = timeout(state.config().write_timeout, socket.socket.send(frame)).await;
    }
}

impl Socket<'_> {
    async fn run(&mut self) -> Result<CloseReason, CloseReason> {
        let mut stopping = pin!(self.state.stopping());
        let mut ask = tokio::time::interval_at(
            Instant::now() + authentication::RECHECK_INTERVAL,
            authentication::RECHECK_INTERVAL,
        );
        let acknowledge_by = Instant::now() + self.state.config().header_timeout;
        let mut heard = Instant::now();
        let mut ping = tokio::time::interval_at(Instant::now() + PING_EVERY, PING_EVERY);
        loop {
            tokio::select! {
                message = self.socket.recv() => {
                    heard = Instant::now();
                    let Some(Ok(message)) = message else { return Ok(CloseReason::Disconnected) };
                    self.hear(message).await?;
                }
                Some((id, step)) = self.operations.next() => self.tell(id, step).await?,
                () = tokio::time::sleep_until(acknowledge_by), if self.viewer.is_none() => {
                    return Ok(CloseReason::with(4408, "Connection initialisation timeout"));
                }
                _ = ping.tick() => {
                    if heard.elapsed() > 2 * PING_EVERY {
                        return Ok(CloseReason::Disconnected);
                    }
                    self.send(Message::Ping(Default::default())).await?;
                }
                _ = ask.tick() => check(self.state, self.token.as_deref(), self.viewer).await?,
                () = &mut stopping => return Ok(CloseReason::with(1001, "the server stops: connect again")),
            }
        }
    }

    async fn hear(&mut self, message: Message) -> Result<(), CloseReason> {
        let text = match message {
            Message::Text(text) => text,
            Message::Binary(_) => return Err(CloseReason::with(4400, "messages are text")),
            Message::Close(_) => return Err(CloseReason::Disconnected),
            Message::Ping(_) | Message::Pong(_) => return Ok(()),
        };
        let unknown = || CloseReason::with(4400, "the message is none of the protocol");
        let said: ClientMessage = serde_json::from_str(&text).map_err(|_| unknown())?;
        match (said.kind, said.id, said.payload) {
            (MessageType::ConnectionInit, ..) if self.viewer.is_some() => {
                Err(CloseReason::with(4429, "Too many initialisation requests"))
            }
            (MessageType::ConnectionInit, _, payload) => self.acknowledge(payload.as_deref()).await,
            (MessageType::Ping, _, payload) => {
                let payload = payload.map(|payload| format!(r#","payload":{payload}"#)).unwrap_or_default();
                self.say(format!(r#"{{"type":"pong"{payload}}}"#)).await
            }
            (MessageType::Pong, ..) => Ok(()),
            (MessageType::Subscribe, Some(id), Some(payload)) => {
                check(self.state, self.token.as_deref(), self.viewer).await?;
                let viewer = self.viewer.ok_or_else(|| CloseReason::with(4401, "Unauthorized"))?;
                self.subscribe(viewer, id, &payload)
            }
            (MessageType::Complete, Some(id), _) => {
                self.operations.remove(&id);
                Ok(())
            }
            (MessageType::Subscribe | MessageType::Complete, ..) => Err(unknown()),
        }
    }

    /// Asks whose the socket is. Browsers cannot send headers with it, so its first message may have the token.
    async fn acknowledge(&mut self, payload: Option<&RawValue>) -> Result<(), CloseReason> {
        #[derive(Default, Deserialize)]
        struct Init {
            #[serde(alias = "Authorization")]
            authorization: Option<String>,
        }
        let init: Option<Init> = payload.and_then(|payload| serde_json::from_str(payload.get()).unwrap_or_default());
        if let Some(given) = init.unwrap_or_default().authorization {
            let token = authentication::parse_bearer(&given).ok_or_else(|| CloseReason::with(4403, "Forbidden"))?;
            self.token = Some(token.to_owned());
        }
        match authentication::viewer(self.state, self.token.as_deref(), self.client).await {
            Ok(viewer) => {
                let full = |_| CloseReason::with(1013, "too many followed at once: end another");
                self.state.inner.subscription_slots.reassign(&mut self.slot, viewer, self.client).map_err(full)?;
                self.viewer = Some(viewer);
            }
            Err(rejection) if rejection.code() == Code::Unauthenticated => {
                return Err(CloseReason::with(4403, "Forbidden"));
            }
            Err(_) => return Err(CloseReason::with(1013, "the server cannot tell whose the token is: try again")),
        }
        self.say(r#"{"type":"connection_ack"}"#.to_owned()).await
    }

    fn subscribe(&mut self, viewer: Viewer, id: String, payload: &RawValue) -> Result<(), CloseReason> {
        if self.operations.contains_key(&id) {
            return Err(CloseReason::with(4409, format!("Subscriber for {} already exists", short(&id))));
        }
        let request = parameters::from_json(viewer, payload.get().as_bytes(), false)
            .map_err(|_| CloseReason::with(4400, "the payload of `subscribe` is no GraphQL request"))?;
        let max = self.state.config().operations_per_socket;
        let room = match self.operations.len() < max {
            true => self.state.inner.rate_limits.check(viewer, self.client),
            false => {
                let message = format!("a socket has at most {max} operations at once");
                Err(Rejection::new(StatusCode::TOO_MANY_REQUESTS, Code::LimitExceeded, message))
            }
        };
        let operation = match room {
            Ok(()) => operation(self.state.clone(), request, self.id.to_owned()).boxed(),
            Err(rejection) => stream::once(async move { OperationEvent::Rejected(rejection.errors()) }).boxed(),
        };
        self.operations.insert(id, operation);
        Ok(())
    }

    async fn tell(&mut self, id: String, step: OperationEvent) -> Result<(), CloseReason> {
        let name = serde_json::Value::from(id.as_str());
        match step {
            OperationEvent::Next(response) if response.executed => {
                let body = String::from_utf8_lossy(&response.body);
                self.say(format!(r#"{{"id":{name},"type":"next","payload":{body}}}"#)).await
            }
            OperationEvent::Next(response) => {
                let errors = errors(&response.body);
                self.refuse(id, &errors).await
            }
            OperationEvent::Rejected(errors) => self.refuse(id, &String::from_utf8_lossy(&errors)).await,
            OperationEvent::Complete => {
                self.operations.remove(&id);
                self.say(format!(r#"{{"id":{name},"type":"complete"}}"#)).await
            }
        }
    }

    /// An error is the last word of an operation.
    async fn refuse(&mut self, id: String, errors: &str) -> Result<(), CloseReason> {
        self.operations.remove(&id);
        let name = serde_json::Value::from(id);
        self.say(format!(r#"{{"id":{name},"type":"error","payload":{errors}}}"#)).await
    }

    async fn say(&mut self, text: String) -> Result<(), CloseReason> {
        self.send(Message::Text(text.into())).await
    }

    /// A client that takes nothing for a while is left.
    async fn send(&mut self, message: Message) -> Result<(), CloseReason> {
        match timeout(self.state.config().write_timeout, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(CloseReason::Disconnected),
        }
    }
}

/// Ends the conversation once whoever has the token is not who began it.
async fn check(state: &AppState, token: Option<&str>, viewer: Option<Viewer>) -> Result<(), CloseReason> {
    match viewer {
        Some(viewer) if authentication::is_denied(state, token, viewer).await => {
            Err(CloseReason::with(4401, "the token is not valid any more"))
        }
        _ => Ok(()),
    }
}

/// The steps of one operation.
fn operation(state: AppState, request: graphql::Request, id: String) -> impl Stream<Item = OperationEvent> + Send {
    stream::once(async move {
        match start(&state, request, &id).await {
            Ok(started) => started.into_responses().map(OperationEvent::Next).boxed(),
            Err(rejection) => stream::once(async move { OperationEvent::Rejected(rejection.errors()) }).boxed(),
        }
    })
    .flatten()
    .chain(stream::once(async { OperationEvent::Complete }))
}

/// The errors of a response, as JSON.
fn errors(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Errors<'b> {
        #[serde(borrow)]
        errors: &'b RawValue,
    }
    serde_json::from_slice::<Errors>(body).map_or_else(|_| "[]".to_owned(), |body| body.errors.get().to_owned())
}

/// As much of a client's text as a close frame has room for.
fn short(id: &str) -> String {
    const CHARACTERS_MAX: usize = 20;
    id.chars().take(CHARACTERS_MAX).collect()
}
