//! Share links: browsers are redirected to GraphiQL, other clients receive the shared object as JSON.
use std::time::Instant;

use axum::{
    extract::{Path, Request, State},
    http::{HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::{
    AppState, execution,
    graphql::respond,
    header_text,
    negotiation::{MediaType, prefers_html},
    rejection::Rejection,
    request_layer::RequestId,
    request_log::AbandonedRequestGuard,
    status::StatusContext,
};
use crate::{access::Viewer, error::Code, graphql};

/// Maximum length of a share token, in characters.
const TOKEN_LENGTH_MAX: usize = 100;

/// The response body if the token is unknown, expired or revoked.
const NOT_FOUND: &[u8] = br#"{"data":{"shared":null}}"#;

/// Handles `/s/{token}`.
pub(super) async fn open(State(state): State<AppState>, Path(token): Path<String>, request: Request) -> Response {
    let start = Instant::now();
    let id = request.extensions().get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default();
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let is_well_formed = (1..=TOKEN_LENGTH_MAX).contains(&token.len()) && token.bytes().all(is_token);
    if is_well_formed && state.config().graphiql && prefers_html(header_text(request.headers(), header::ACCEPT)) {
        // Browsers do not send the fragment to the server, so the token appears in no further log.
        return (StatusCode::SEE_OTHER, [(header::LOCATION, format!("/graphiql#shared={token}"))]).into_response();
    }
    let guard = AbandonedRequestGuard { id: &id, start };
    let outcome = match state.inner.rate_limits.check(Viewer::ANONYMOUS, request.extensions().get().copied()) {
        Ok(()) if is_well_formed => resolve(&state, token).await,
        Ok(()) => Err(not_found()),
        Err(rejection) => Err(rejection),
    };
    guard.disarm();
    let context =
        StatusContext { method: &Method::GET, media_type: MediaType::Json, draft: state.config().draft_status_codes };
    let mut response = respond(&state, outcome, context, start.elapsed(), &id);
    response.headers_mut().insert("x-robots-tag", HeaderValue::from_static("noindex"));
    response
}

/// Resolves a share token anonymously: the response does not depend on the caller.
async fn resolve(state: &AppState, token: String) -> Result<graphql::Response, Rejection> {
    let variables = async_graphql::Variables::from_json(serde_json::json!({ "token": token }));
    let query = state.inner.share_document.to_owned();
    let viewer = Viewer::ANONYMOUS;
    let request = graphql::Request { query, variables, viewer, is_resolved: true, ..graphql::Request::default() };
    let response = execution::execute(state, request).await?;
    if response.body == NOT_FOUND { Err(not_found()) } else { Ok(response) }
}

fn not_found() -> Rejection {
    let message = "share link not found: it is unknown, expired or revoked";
    Rejection::new(StatusCode::NOT_FOUND, Code::NotFound, message)
}
