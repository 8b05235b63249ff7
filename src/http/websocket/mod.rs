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
        ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade},
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
    Site, authentication,
    graphql::follow,
    negotiation::MediaType,
    parameters,
    rate_limit::{Following, Peer},
    rejection::Refusal,
    request_layer::RequestId,
};
use crate::{access::Viewer, error::Code, graphql};

/// The name of the protocol.
const PROTOCOL: &str = "graphql-transport-ws";

/// How often a client is asked whether it is there. One that says nothing for twice as long is not.
const PING_EVERY: Duration = Duration::from_secs(20);

/// Opens a socket.
pub(super) async fn open(
    State(site): State<Site>,
    Extension(id): Extension<RequestId>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, Rejection>,
) -> Response {
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade.protocols([PROTOCOL]),
        Err(_) => {
            let message =
                "subscriptions are followed here over a WebSocket: open one with the protocol graphql-transport-ws";
            return Refusal::new(StatusCode::UPGRADE_REQUIRED, Code::BadRequest, message)
                .into_response(MediaType::Json);
        }
    };
    if upgrade.selected_protocol().is_none() {
        let message = "the protocol of the socket must be graphql-transport-ws";
        return Refusal::bad_request(message).into_response(MediaType::Json);
    }
    let token = match authentication::bearer(&headers) {
        Ok(token) => token.map(str::to_owned),
        Err(refusal) => return refusal.into_response(MediaType::Json),
    };
    let peer = peer.map(|peer| peer.0);
    // Until the first message, whoever has no token is nobody known.
    let viewer = authentication::viewer(&site, token.as_deref(), peer).await.unwrap_or(Viewer::ANONYMOUS);
    let following = match site.inner.rate.follow(viewer, peer) {
        Ok(following) => following,
        Err(refusal) => return refusal.into_response(MediaType::Json),
    };
    let Ok(place) = site.inner.followers.clone().try_acquire_owned() else {
        return Refusal::overloaded().into_response(MediaType::Json);
    };
    let max = site.config().body_bytes;
    upgrade
        .max_message_size(max)
        .max_frame_size(max)
        .on_upgrade(async move |socket| {
            converse(&site, &id.0, (peer, following), token, socket).await;
            drop(place);
        })
        .into_response()
}

/// Why a request cannot become a socket.
type Rejection = axum::extract::ws::rejection::WebSocketUpgradeRejection;

/// What a client says.
#[derive(Deserialize)]
struct Said {
    #[serde(rename = "type")]
    kind: Kind,
    id: Option<String>,
    payload: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    ConnectionInit,
    Ping,
    Pong,
    Subscribe,
    Complete,
}

/// Why a socket is closed, as the protocol has it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Closing {
    /// The client left, or the connection broke.
    Gone,
    /// A code with its reason.
    With(u16, String),
}

impl Closing {
    fn with(code: u16, reason: impl Into<String>) -> Self {
        Self::With(code, reason.into())
    }
}

/// What an operation of a socket says next: a response, or that it ended.
type Operation = stream::BoxStream<'static, Step>;

enum Step {
    Next(graphql::Response),
    Refused(Vec<u8>),
    Completed,
}

/// One socket.
struct Socket<'s> {
    site: &'s Site,
    /// The id of the request that opened it.
    id: &'s str,
    peer: Option<Peer>,
    /// The place of whoever it is.
    following: Following,
    socket: WebSocket,
    /// From the request that opened it, or from its first message.
    token: Option<String>,
    /// Who it is, once it was acknowledged.
    viewer: Option<Viewer>,
    operations: StreamMap<String, Operation>,
}

async fn converse(
    site: &Site,
    id: &str,
    (peer, following): (Option<Peer>, Following),
    token: Option<String>,
    socket: WebSocket,
) {
    let mut socket = Socket { site, id, peer, following, socket, token, viewer: None, operations: StreamMap::new() };
    let closing = socket.run().await.unwrap_or_else(|closing| closing);
    if let Closing::With(code, reason) = closing {
        debug!(code, reason, "a socket was closed");
        // A client that does not read the reason is not waited for.
        let frame = Message::Close(Some(CloseFrame { code, reason: reason.into() }));
        let _ = timeout(site.config().write_timeout, socket.socket.send(frame)).await;
    }
}

impl Socket<'_> {
    async fn run(&mut self) -> Result<Closing, Closing> {
        let mut stopping = pin!(self.site.stopping());
        let mut ask = tokio::time::interval_at(Instant::now() + authentication::ASK_EVERY, authentication::ASK_EVERY);
        let acknowledge_by = Instant::now() + self.site.config().header_timeout;
        let mut heard = Instant::now();
        let mut ping = tokio::time::interval_at(Instant::now() + PING_EVERY, PING_EVERY);
        loop {
            tokio::select! {
                message = self.socket.recv() => {
                    heard = Instant::now();
                    let Some(Ok(message)) = message else { return Ok(Closing::Gone) };
                    self.hear(message).await?;
                }
                Some((id, step)) = self.operations.next() => self.tell(id, step).await?,
                () = tokio::time::sleep_until(acknowledge_by), if self.viewer.is_none() => {
                    return Ok(Closing::with(4408, "Connection initialisation timeout"));
                }
                _ = ping.tick() => {
                    if heard.elapsed() > 2 * PING_EVERY {
                        return Ok(Closing::Gone);
                    }
                    self.send(Message::Ping(Default::default())).await?;
                }
                _ = ask.tick() => check(self.site, self.token.as_deref(), self.viewer).await?,
                () = &mut stopping => return Ok(Closing::with(1001, "the server stops: connect again")),
            }
        }
    }

    async fn hear(&mut self, message: Message) -> Result<(), Closing> {
        let text = match message {
            Message::Text(text) => text,
            Message::Binary(_) => return Err(Closing::with(4400, "messages are text")),
            Message::Close(_) => return Err(Closing::Gone),
            Message::Ping(_) | Message::Pong(_) => return Ok(()),
        };
        let unknown = || Closing::with(4400, "the message is none of the protocol");
        let said: Said = serde_json::from_str(&text).map_err(|_| unknown())?;
        match (said.kind, said.id, said.payload) {
            (Kind::ConnectionInit, ..) if self.viewer.is_some() => {
                Err(Closing::with(4429, "Too many initialisation requests"))
            }
            (Kind::ConnectionInit, _, payload) => self.acknowledge(payload.as_deref()).await,
            (Kind::Ping, _, payload) => {
                let payload = payload.map(|payload| format!(r#","payload":{payload}"#)).unwrap_or_default();
                self.say(format!(r#"{{"type":"pong"{payload}}}"#)).await
            }
            (Kind::Pong, ..) => Ok(()),
            (Kind::Subscribe, Some(id), Some(payload)) => {
                check(self.site, self.token.as_deref(), self.viewer).await?;
                let viewer = self.viewer.ok_or_else(|| Closing::with(4401, "Unauthorized"))?;
                self.subscribe(viewer, id, &payload)
            }
            (Kind::Complete, Some(id), _) => {
                self.operations.remove(&id);
                Ok(())
            }
            (Kind::Subscribe | Kind::Complete, ..) => Err(unknown()),
        }
    }

    /// Asks whose the socket is. Browsers cannot send headers with it, so its first message may have the token.
    async fn acknowledge(&mut self, payload: Option<&RawValue>) -> Result<(), Closing> {
        #[derive(Default, Deserialize)]
        struct Init {
            #[serde(alias = "Authorization")]
            authorization: Option<String>,
        }
        let init: Option<Init> = payload.and_then(|payload| serde_json::from_str(payload.get()).unwrap_or_default());
        if let Some(given) = init.unwrap_or_default().authorization {
            let token = authentication::of_bearer(&given).ok_or_else(|| Closing::with(4403, "Forbidden"))?;
            self.token = Some(token.to_owned());
        }
        match authentication::viewer(self.site, self.token.as_deref(), self.peer).await {
            Ok(viewer) => {
                let full = |_| Closing::with(1013, "too many followed at once: end another");
                self.following = self.site.inner.rate.follow(viewer, self.peer).map_err(full)?;
                self.viewer = Some(viewer);
            }
            Err(refusal) if refusal.code() == Code::Unauthenticated => return Err(Closing::with(4403, "Forbidden")),
            Err(_) => return Err(Closing::with(1013, "the server cannot tell whose the token is: try again")),
        }
        self.say(r#"{"type":"connection_ack"}"#.to_owned()).await
    }

    fn subscribe(&mut self, viewer: Viewer, id: String, payload: &RawValue) -> Result<(), Closing> {
        if self.operations.contains_key(&id) {
            return Err(Closing::with(4409, format!("Subscriber for {} already exists", short(&id))));
        }
        let request = parameters::from_json(viewer, payload.get().as_bytes(), false)
            .map_err(|_| Closing::with(4400, "the payload of `subscribe` is no GraphQL request"))?;
        let max = self.site.config().socket_operations;
        let room = match self.operations.len() < max {
            true => self.site.inner.rate.check(viewer, self.peer),
            false => {
                let message = format!("a socket has at most {max} operations at once");
                Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, Code::LimitExceeded, message))
            }
        };
        let operation = match room {
            Ok(()) => operation(self.site.clone(), request, self.id.to_owned()).boxed(),
            Err(refusal) => stream::once(async move { Step::Refused(refusal.errors()) }).boxed(),
        };
        self.operations.insert(id, operation);
        Ok(())
    }

    async fn tell(&mut self, id: String, step: Step) -> Result<(), Closing> {
        let name = serde_json::Value::from(id.as_str());
        match step {
            Step::Next(response) if response.executed => {
                let body = String::from_utf8_lossy(&response.body);
                self.say(format!(r#"{{"id":{name},"type":"next","payload":{body}}}"#)).await
            }
            Step::Next(response) => {
                let errors = errors(&response.body);
                self.refuse(id, &errors).await
            }
            Step::Refused(errors) => self.refuse(id, &String::from_utf8_lossy(&errors)).await,
            Step::Completed => {
                self.operations.remove(&id);
                self.say(format!(r#"{{"id":{name},"type":"complete"}}"#)).await
            }
        }
    }

    /// An error is the last word of an operation.
    async fn refuse(&mut self, id: String, errors: &str) -> Result<(), Closing> {
        self.operations.remove(&id);
        let name = serde_json::Value::from(id);
        self.say(format!(r#"{{"id":{name},"type":"error","payload":{errors}}}"#)).await
    }

    async fn say(&mut self, text: String) -> Result<(), Closing> {
        self.send(Message::Text(text.into())).await
    }

    /// A client that takes nothing for a while is left.
    async fn send(&mut self, message: Message) -> Result<(), Closing> {
        match timeout(self.site.config().write_timeout, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Closing::Gone),
        }
    }
}

/// Ends the conversation once whoever has the token is not who began it.
async fn check(site: &Site, token: Option<&str>, viewer: Option<Viewer>) -> Result<(), Closing> {
    match viewer {
        Some(viewer) if authentication::is_denied(site, token, viewer).await => {
            Err(Closing::with(4401, "the token is not valid any more"))
        }
        _ => Ok(()),
    }
}

/// The steps of one operation.
fn operation(site: Site, request: graphql::Request, id: String) -> impl Stream<Item = Step> + Send {
    stream::once(async move {
        match follow(&site, request, &id).await {
            Ok(responses) => responses.map(Step::Next).boxed(),
            Err(Ok(response)) => stream::once(async { Step::Next(response) }).boxed(),
            Err(Err(refusal)) => stream::once(async move { Step::Refused(refusal.errors()) }).boxed(),
        }
    })
    .flatten()
    .chain(stream::once(async { Step::Completed }))
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
