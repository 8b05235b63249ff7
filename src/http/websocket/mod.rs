//! Operations over WebSockets: the subprotocols `graphql-transport-ws` and `graphql-ws`.
//!
//! `graphql-transport-ws` is the current protocol, and `graphql-ws` the legacy protocol of subscriptions-transport-ws. If a
//! client offers both, its order of preference decides: gql assumes its first one, whatever the server selects, if the name
//! of the header in the response is in lower case. Authentication, limits, pings, token checks and shutdown are the same for both
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
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::{
    AppState, authentication, connection::ConnectionPermit, negotiation::MediaType, rate_limit::ClientAddress,
    rejection::Rejection, request_layer::RequestId,
};
use crate::error::Code;
use connection::Connection;
use session::Session;

/// Size of the read buffer of a WebSocket, most of which are idle most of the time.
const READ_BUFFER_BYTES: usize = 8 << 10;

/// Why a WebSocket is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
enum CloseReason {
    /// The client closed the connection or does not respond.
    Disconnected,
    /// The server closes it with a code and a text.
    Code(u16, String),
}

impl CloseReason {
    pub(super) fn shutdown() -> Self {
        Self::with(1001, "the server is shutting down: connect again")
    }

    pub(super) fn with(code: u16, text: impl Into<String>) -> Self {
        Self::Code(code, text.into())
    }
}

/// Handles `/graphql/ws`: checks the upgrade request and serves the WebSocket.
pub(super) async fn open(
    State(state): State<AppState>,
    Extension(id): Extension<RequestId>,
    client: Option<Extension<ClientAddress>>,
    permit: Option<Extension<ConnectionPermit>>,
    headers: HeaderMap,
    legacy: Result<GraphQLProtocol, StatusCode>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let client = client.map(|client| client.0);
    let max = state.config().body_bytes;
    let upgrade = match check_upgrade(upgrade, &headers) {
        Ok(upgrade) => upgrade.max_message_size(max).max_frame_size(max).read_buffer_size(READ_BUFFER_BYTES),
        Err(rejection) => return rejection.into_response(MediaType::Json),
    };
    let session = match authentication::bearer(&headers) {
        Ok(token) => Arc::new(Session::new(state, id.0, client, &headers, token)),
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
        drop(permit);
    };
    upgrade.on_upgrade(serve).into_response()
}

/// Accepts an upgrade request and selects the subprotocol.
///
/// # Errors
/// 426 if the request does not open a WebSocket, 400 if the client offers no subprotocol of the server.
fn check_upgrade(
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    headers: &HeaderMap,
) -> Result<WebSocketUpgrade, Rejection> {
    let upgrade = upgrade.map_err(|_| {
        let message = "this endpoint requires a WebSocket with the subprotocol graphql-transport-ws or graphql-ws";
        Rejection::new(StatusCode::UPGRADE_REQUIRED, Code::BadRequest, message)
    })?;
    match preferred_protocol(headers) {
        Some(protocol) => Ok(upgrade.protocols([protocol])),
        None => Err(Rejection::bad_request("the WebSocket subprotocol must be graphql-transport-ws or graphql-ws")),
    }
}

/// Returns the first subprotocol of the server that the client offers.
fn preferred_protocol(headers: &HeaderMap) -> Option<&'static str> {
    let lists = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|list| list.to_str().ok());
    let mut offered = lists.flat_map(|list| list.split(',')).map(str::trim);
    offered.find_map(|name| [graphql_transport_ws::PROTOCOL, graphql_ws::PROTOCOL].into_iter().find(|own| *own == name))
}

/// The rejection of an operation if too many are running on its WebSocket.
fn too_many_operations(max: usize) -> Rejection {
    let message = format!("too many concurrent operations on this WebSocket: at most {max}");
    Rejection::new(StatusCode::TOO_MANY_REQUESTS, Code::LimitExceeded, message)
}
