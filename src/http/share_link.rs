//! Links: a browser gets to GraphiQL with what was shared, others get that as JSON.
use std::time::Instant;

use axum::{
    extract::{Path, Request, State},
    http::{HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::{
    AppState,
    graphql::{AbandonedRequestGuard, execute_within_limits, respond},
    header_text,
    negotiation::{MediaType, prefers_html},
    rejection::Rejection,
    request_layer::RequestId,
    status::StatusContext,
};
use crate::{
    access::Viewer,
    error::Code,
    graphql::{Request as Question, Response as Answer},
};

/// Characters of a link's token at most.
const TOKEN_LENGTH_MAX: usize = 100;

/// The answer where a link leads nowhere.
const NOTHING: &[u8] = br#"{"data":{"shared":null}}"#;

/// Answers `/s/TOKEN`.
pub(super) async fn open(State(state): State<AppState>, Path(token): Path<String>, request: Request) -> Response {
    let start = Instant::now();
    let id = request.extensions().get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default();
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let may_be_one = (1..=TOKEN_LENGTH_MAX).contains(&token.len()) && token.bytes().all(is_token);
    if may_be_one && state.config().graphiql && prefers_html(header_text(request.headers(), header::ACCEPT)) {
        // Browsers send what is behind # to nobody.
        return (StatusCode::SEE_OTHER, [(header::LOCATION, format!("/graphiql#shared={token}"))]).into_response();
    }
    let guard = AbandonedRequestGuard { id: &id, start };
    let outcome = match state.inner.rate.check(Viewer::ANONYMOUS, request.extensions().get().copied()) {
        Ok(()) if may_be_one => ask(&state, token).await,
        Ok(()) => Err(unknown()),
        Err(rejection) => Err(rejection),
    };
    guard.disarm();
    let context =
        StatusContext { method: &Method::GET, media_type: MediaType::Json, draft: state.config().draft_status_codes };
    let mut response = respond(&state, outcome, context, start.elapsed(), &id);
    response.headers_mut().insert("x-robots-tag", HeaderValue::from_static("noindex"));
    response
}

/// Whoever has the link is nobody else: it says the same to all.
async fn ask(state: &AppState, token: String) -> Result<Answer, Rejection> {
    let variables = async_graphql::Variables::from_json(serde_json::json!({ "token": token }));
    let query = state.inner.share_document.to_owned();
    let question = Question { query, variables, viewer: Viewer::ANONYMOUS, ..Question::default() };
    let answer = execute_within_limits(state, state.inner.execute.execute(question)).await?;
    if answer.body == NOTHING { Err(unknown()) } else { Ok(answer) }
}

fn unknown() -> Rejection {
    let message = "this link leads nowhere: it is not known, has expired or was revoked";
    Rejection::new(StatusCode::NOT_FOUND, Code::NotFound, message)
}
