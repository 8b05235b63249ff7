//! The legacy subprotocol `graphql-ws` of subscriptions-transport-ws.
//!
//! [`GraphQLWebSocket`] implements the messages of the protocol. This module connects it to a [`Connection`], which adds
//! what it lacks: the time limit for `connection_init`, pings, token checks, close codes and shutdown.
use std::{
    pin::pin,
    sync::{Arc, OnceLock},
};

use async_graphql::Data;
use async_graphql_axum::{GraphQLProtocol, GraphQLWebSocket};
use axum::extract::ws::Message;
use futures_util::{Sink, Stream, StreamExt, sink, stream};
use serde_json::{Map, Value};
use tokio::sync::{Semaphore, mpsc};

use super::{
    super::{
        authentication,
        execution::{self, Outcome},
        executor::EngineExecutor,
        rejection::Rejection,
    },
    CloseReason, Connection, Session, too_many_operations,
};
use crate::graphql::{Execute, Request, Response, Responses};

/// The name of the subprotocol.
pub(super) const PROTOCOL: &str = "graphql-ws";

/// Serves a connection until it is closed.
pub(super) async fn serve(
    connection: &mut Connection,
    session: Arc<Session>,
    protocol: GraphQLProtocol,
) -> Result<CloseReason, CloseReason> {
    let (to_protocol, from_client) = mpsc::channel(1);
    let (to_client, mut from_protocol) = mpsc::channel(1);
    let execute = SocketExecute::new(session.clone());
    let executing = Arc::downgrade(&execute.executing);
    let executor = EngineExecutor::new(Arc::new(execute));
    let rejected = Arc::new(OnceLock::new());
    let mut protocol = pin!(
        GraphQLWebSocket::new_with_pair(sender_sink(to_client), receiver_stream(from_client), executor, protocol)
            .on_connection_init({
                let rejected = rejected.clone();
                move |payload| initialise(session, payload, rejected)
            })
            .serve()
    );
    loop {
        let is_draining = connection.is_draining();
        tokio::select! {
            biased;
            () = &mut protocol => break,
            Some(message) = from_protocol.recv() => connection.send(message).await?,
            // A message is only received when the protocol can accept it.
            (permit, event) = async { (to_protocol.reserve().await, connection.next_event().await) } => {
                if let (Some(message), Ok(permit)) = (connection.handle(event).await?, permit) {
                    permit.send(with_document_id(message));
                }
            }
            // Yields to the runtime, so that a message that the client has already sent is noticed and handled first.
            () = tokio::task::yield_now(), if is_draining && executing.strong_count() == 1 => {
                return Ok(CloseReason::shutdown());
            }
        }
    }
    while let Ok(message) = from_protocol.try_recv() {
        connection.send(message).await?;
    }
    Ok(rejected.get().cloned().unwrap_or_else(|| CloseReason::with(1000, "")))
}

/// Moves the identifier of a document to the extensions, where [`EngineExecutor`] finds it, because the requests of
/// async-graphql have no member for it. Removes members that are null, because they have to have a `query` if it is given.
fn with_document_id(message: Message) -> Message {
    let Message::Text(text) = &message else { return message };
    if !["documentId", "doc_id", "persistedQuery"].iter().any(|name| text.contains(name)) {
        return message;
    }
    let Ok(mut parsed) = serde_json::from_str::<Value>(text) else { return message };
    let Some(payload) = parsed.get_mut("payload").and_then(Value::as_object_mut) else { return message };
    payload.retain(|_, value| !value.is_null());
    let ids = ["documentId", "doc_id"].map(|name| payload.remove(name).map(|id| (name.to_owned(), id)));
    let extensions = payload.entry("extensions").or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(extensions) = extensions {
        extensions.extend(ids.into_iter().flatten());
    }
    Message::Text(parsed.to_string().into())
}

/// Authenticates the connection. The protocol sends the error as `connection_error`; `rejected` stores the close reason.
async fn initialise(
    session: Arc<Session>,
    payload: serde_json::Value,
    rejected: Arc<OnceLock<CloseReason>>,
) -> async_graphql::Result<Data> {
    let viewer = session.initialise(payload).await.map_err(|reason| {
        let text = match &reason {
            CloseReason::Code(_, text) => text.clone(),
            CloseReason::Disconnected => String::new(),
        };
        let _ = rejected.set(reason);
        async_graphql::Error::new(text)
    })?;
    let mut data = Data::default();
    data.insert(viewer);
    Ok(data)
}

fn sender_sink(sender: mpsc::Sender<Message>) -> impl Sink<Message> + Send {
    sink::unfold(sender, |sender, message| async move { sender.send(message).await.map(|()| sender) })
}

fn receiver_stream(mut receiver: mpsc::Receiver<Message>) -> impl Stream<Item = Result<Message, axum::Error>> + Send {
    stream::poll_fn(move |context| receiver.poll_recv(context)).map(Ok)
}

/// Executes the operations of one WebSocket within the limits of the server.
struct SocketExecute {
    session: Arc<Session>,
    /// A permit for each running operation.
    operations: Arc<Semaphore>,
    /// A clone for each operation that is being executed, until its response or its subscription starts.
    executing: Arc<()>,
}

impl SocketExecute {
    fn new(session: Arc<Session>) -> Self {
        let operations = Arc::new(Semaphore::new(session.state.config().operations_per_socket));
        Self { session, operations, executing: Arc::new(()) }
    }
}

#[async_trait::async_trait]
impl Execute for SocketExecute {
    async fn execute(&self, request: Request) -> Response {
        let viewer = request.viewer;
        let executed = execution::execute(&self.session.state, request).await;
        executed.unwrap_or_else(|rejection| rejection.into_graphql_response(viewer))
    }

    async fn subscribe(self: Arc<Self>, request: Request) -> Result<Responses, Response> {
        let _executing = self.executing.clone();
        let viewer = request.viewer;
        let reject = |rejection: Rejection| rejection.into_graphql_response(viewer);
        let max = self.session.state.config().operations_per_socket;
        let permit = self.operations.clone().try_acquire_owned().map_err(|_| reject(too_many_operations(max)))?;
        if self.session.check_token().await.is_err() {
            return Err(reject(authentication::token_denied()));
        }
        match self.session.start(request).await {
            Ok(Outcome::Single(response)) => Err(response),
            Ok(Outcome::Subscription(responses)) => {
                let hold_permit = move |response| {
                    let _permit = &permit;
                    response
                };
                Ok(responses.map(hold_permit).boxed())
            }
            Err(rejection) => Err(reject(rejection)),
        }
    }

    fn sdl(&self) -> Option<&str> {
        self.session.state.inner.execute.sdl()
    }
}
