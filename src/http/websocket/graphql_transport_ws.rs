//! The subprotocol `graphql-transport-ws` of the graphql-ws library.
//!
//! The client sends `connection_init` and receives `connection_ack`. Then it subscribes under ids of its own. An invalid
//! message closes the WebSocket with the code of the protocol. A rejected operation is an `error` message and leaves the
//! WebSocket open. The implementation of async-graphql is not used because it lacks the codes 4400, 4401, 4408 and 4409
//! and the `error` message.
use std::sync::Arc;

use axum::extract::ws::Message;
use futures_util::{Stream, StreamExt, future::ready, stream};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio_stream::StreamMap;

use super::{
    super::{execution::Outcome, parameters, rejection::Rejection},
    CloseReason, Connection, Session, too_many_operations,
};
use crate::{access::Viewer, graphql};

/// The name of the subprotocol.
pub(super) const PROTOCOL: &str = "graphql-transport-ws";

/// A message of the client.
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

/// The events of a running operation.
type Operation = stream::BoxStream<'static, OperationEvent>;

enum OperationEvent {
    Next(graphql::Response),
    /// The operation was rejected, with a JSON list of errors.
    Rejected(Vec<u8>),
    Complete,
    /// The server shuts down. The client learns it from the code with which the WebSocket is closed, and subscribes again.
    Interrupted,
}

/// Serves a connection until it is closed.
pub(super) async fn serve(connection: &mut Connection, session: Arc<Session>) -> Result<CloseReason, CloseReason> {
    let mut protocol = Protocol { connection, session, operations: StreamMap::new() };
    loop {
        let is_drained = protocol.connection.is_draining() && protocol.operations.is_empty();
        tokio::select! {
            biased;
            event = protocol.connection.next_event() => {
                if let Some(message) = protocol.connection.handle(event).await? {
                    protocol.handle_message(message).await?;
                }
            }
            Some((id, event)) = protocol.operations.next() => protocol.send_event(id, event).await?,
            // Yields to the runtime, so that a message that the client has already sent is noticed and handled first.
            () = tokio::task::yield_now(), if is_drained => return Ok(CloseReason::shutdown()),
        }
    }
}

/// The state of the protocol on one connection.
struct Protocol<'c> {
    connection: &'c mut Connection,
    session: Arc<Session>,
    operations: StreamMap<String, Operation>,
}

impl Protocol<'_> {
    async fn handle_message(&mut self, message: Message) -> Result<(), CloseReason> {
        let Message::Text(text) = message else { return Err(CloseReason::with(4400, "messages must be text")) };
        let invalid = || CloseReason::with(4400, "invalid message");
        let message: ClientMessage = serde_json::from_str(&text).map_err(|_| invalid())?;
        match (message.kind, message.id, message.payload) {
            (MessageType::ConnectionInit, ..) if self.session.viewer().is_some() => {
                Err(CloseReason::with(4429, "Too many initialisation requests"))
            }
            (MessageType::ConnectionInit, _, payload) => self.initialise(payload.as_deref()).await,
            (MessageType::Ping, _, payload) => {
                let payload = payload.map(|payload| format!(r#","payload":{payload}"#)).unwrap_or_default();
                self.connection.send_text(format!(r#"{{"type":"pong"{payload}}}"#)).await
            }
            (MessageType::Pong, ..) => Ok(()),
            (MessageType::Subscribe, Some(id), Some(payload)) => {
                self.session.check_token().await?;
                let viewer = self.session.viewer().ok_or_else(|| CloseReason::with(4401, "Unauthorized"))?;
                self.subscribe(viewer, id, &payload)
            }
            (MessageType::Complete, Some(id), _) => {
                self.operations.remove(&id);
                Ok(())
            }
            (MessageType::Subscribe | MessageType::Complete, ..) => Err(invalid()),
        }
    }

    async fn initialise(&mut self, payload: Option<&RawValue>) -> Result<(), CloseReason> {
        let payload = payload.and_then(|payload| serde_json::from_str(payload.get()).ok()).unwrap_or_default();
        self.session.initialise(payload).await?;
        self.connection.send_text(r#"{"type":"connection_ack"}"#.to_owned()).await
    }

    fn subscribe(&mut self, viewer: Viewer, id: String, payload: &RawValue) -> Result<(), CloseReason> {
        if self.operations.contains_key(&id) {
            return Err(CloseReason::with(4409, format!("Subscriber for {} already exists", truncated(&id))));
        }
        let request = parameters::from_json(viewer, payload.get().as_bytes(), false)
            .map_err(|_| CloseReason::with(4400, "the payload of `subscribe` is not a GraphQL request"))?;
        let max = self.session.state.config().operations_per_socket;
        let operation = match self.operations.len() < max {
            true => operation(self.session.clone(), request).boxed(),
            false => rejected(too_many_operations(max)),
        };
        self.operations.insert(id, operation);
        Ok(())
    }

    async fn send_event(&mut self, id: String, event: OperationEvent) -> Result<(), CloseReason> {
        let json_id = serde_json::Value::from(id.as_str());
        match event {
            OperationEvent::Next(response) if response.executed => {
                let body = String::from_utf8_lossy(&response.body);
                self.connection.send_text(format!(r#"{{"id":{json_id},"type":"next","payload":{body}}}"#)).await
            }
            OperationEvent::Next(response) => {
                let errors = errors(&response.body);
                self.send_error(id, &errors).await
            }
            OperationEvent::Rejected(errors) => self.send_error(id, &String::from_utf8_lossy(&errors)).await,
            OperationEvent::Interrupted => {
                self.operations.remove(&id);
                Ok(())
            }
            OperationEvent::Complete => {
                self.operations.remove(&id);
                self.connection.send_text(format!(r#"{{"id":{json_id},"type":"complete"}}"#)).await
            }
        }
    }

    /// Sends `error`, which ends the operation.
    async fn send_error(&mut self, id: String, errors: &str) -> Result<(), CloseReason> {
        self.operations.remove(&id);
        let id = serde_json::Value::from(id);
        self.connection.send_text(format!(r#"{{"id":{id},"type":"error","payload":{errors}}}"#)).await
    }
}

/// Returns the events of one operation. A shutdown interrupts only subscriptions.
fn operation(session: Arc<Session>, request: graphql::Request) -> impl Stream<Item = OperationEvent> + Send {
    stream::once(async move {
        let stopping = session.state.stopping();
        let complete = stream::once(ready(OperationEvent::Complete));
        match session.start(request).await {
            Ok(Outcome::Single(response)) => {
                stream::once(ready(OperationEvent::Next(response))).chain(complete).boxed()
            }
            Ok(Outcome::Subscription(responses)) => {
                let events = responses.map(OperationEvent::Next).chain(complete).take_until(Box::pin(stopping));
                events.chain(stream::once(ready(OperationEvent::Interrupted))).boxed()
            }
            Err(rejection) => rejected(rejection),
        }
    })
    .flatten()
}

fn rejected(rejection: Rejection) -> Operation {
    stream::once(ready(OperationEvent::Rejected(rejection.errors()))).boxed()
}

/// Returns the errors of a response, as JSON.
fn errors(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Errors<'b> {
        #[serde(borrow)]
        errors: &'b RawValue,
    }
    serde_json::from_slice::<Errors>(body).map_or_else(|_| "[]".to_owned(), |body| body.errors.get().to_owned())
}

/// Shortens an id of the client, because a close frame holds at most 123 bytes of text.
fn truncated(id: &str) -> String {
    const CHARACTERS_MAX: usize = 20;
    id.chars().take(CHARACTERS_MAX).collect()
}
