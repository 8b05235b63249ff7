//! Subscriptions over WebSockets: the subprotocols `graphql-transport-ws` and `graphql-ws`.
//!
//! `graphql-transport-ws` is the current protocol and is preferred if a client offers both. `graphql-ws` is the legacy
//! protocol of subscriptions-transport-ws. Authentication, limits, pings, token checks and shutdown are the same for both
//! ([`session`], [`connection`]).
mod connection;
mod graphql_transport_ws;
mod graphql_ws;
mod session;

use std::sync::Arc;

use async_graphql_axum::GraphQLProtocol;
use axum::{
    Extension,
    extract::{
        State,
        ws::{WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    },
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};

use super::{
    AppState, authentication, negotiation::MediaType, rate_limit::ClientAddress, rejection::Rejection,
    request_layer::RequestId,
};
use crate::{access::Viewer, error::Code};
use connection::{CloseReason, Connection};
use session::Session;

/// Handles `/graphql/ws`: checks the upgrade request and serves the WebSocket.
pub(super) async fn open(
    State(state): State<AppState>,
    Extension(id): Extension<RequestId>,
    client: Option<Extension<ClientAddress>>,
    headers: HeaderMap,
    legacy: Result<GraphQLProtocol, StatusCode>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let client = client.map(|client| client.0);
    let max = state.config().body_bytes;
    let upgrade = match check_upgrade(upgrade) {
        Ok(upgrade) => upgrade.max_message_size(max).max_frame_size(max),
        Err(rejection) => return rejection.into_response(MediaType::Json),
    };
    let session = match open_session(state, id.0, client, &headers).await {
        Ok(session) => Arc::new(session),
        Err(rejection) => return rejection.into_response(MediaType::Json),
    };
    let is_current = upgrade.selected_protocol().is_some_and(|protocol| protocol == graphql_transport_ws::PROTOCOL);
    let legacy = legacy.ok().filter(|_| !is_current);
    let serve = async move |socket| {
        let mut connection = Connection::new(session.clone(), socket);
        let ended = match legacy {
            Some(protocol) => graphql_ws::serve(&mut connection, session, protocol).await,
            None => graphql_transport_ws::serve(&mut connection, session).await,
        };
        connection.close(ended.unwrap_or_else(|reason| reason)).await;
    };
    upgrade.on_upgrade(serve).into_response()
}

fn check_upgrade(upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>) -> Result<WebSocketUpgrade, Rejection> {
    let upgrade = upgrade.map_err(|_| {
        let message = "this endpoint requires a WebSocket with the subprotocol graphql-transport-ws or graphql-ws";
        Rejection::new(StatusCode::UPGRADE_REQUIRED, Code::BadRequest, message)
    })?;
    let upgrade = upgrade.protocols([graphql_transport_ws::PROTOCOL, graphql_ws::PROTOCOL]);
    match upgrade.selected_protocol() {
        Some(_) => Ok(upgrade),
        None => Err(Rejection::bad_request("the WebSocket subprotocol must be graphql-transport-ws or graphql-ws")),
    }
}

/// Acquires a subscription slot. The client counts as anonymous until it authenticates, by header or `connection_init`.
async fn open_session(
    state: AppState,
    request_id: String,
    client: Option<ClientAddress>,
    headers: &HeaderMap,
) -> Result<Session, Rejection> {
    let token = authentication::bearer(headers)?.map(str::to_owned);
    let viewer = authentication::viewer(&state, token.as_deref(), client).await.unwrap_or(Viewer::ANONYMOUS);
    let slot = state.inner.subscription_slots.acquire(viewer, client)?;
    Ok(Session::new(state, request_id, client, token, slot))
}

/// The rejection of an operation if too many are running on its WebSocket.
fn too_many_operations(max: usize) -> Rejection {
    let message = format!("too many concurrent operations on this WebSocket: at most {max}");
    Rejection::new(StatusCode::TOO_MANY_REQUESTS, Code::LimitExceeded, message)
}
