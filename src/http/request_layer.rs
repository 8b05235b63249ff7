//! The layer around every request: host, origin and `Accept-Encoding` checks, request id, response headers, and isolation of panics.
use std::panic::AssertUnwindSafe;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version, header, request::Parts},
    middleware::Next,
    response::Response,
};
use futures_util::FutureExt;
use tracing::{error, info};
use uuid::Uuid;

use super::{
    AppState, content_coding::AcceptedCodings, header_text, negotiation::MediaType, origin, rejection::Rejection,
    request_body, response_body::ConnectionBudget,
};
use crate::error::{Code, Error};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Maximum length of a request id from the client, in characters.
const REQUEST_ID_LENGTH_MAX: usize = 64;

/// Headers of every response.
const HEADERS: [(HeaderName, &str); 4] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// The id of a request, which appears in the log and in `X-Request-Id` of the response.
#[derive(Clone, Debug)]
pub(super) struct RequestId(pub(super) String);

/// Applies the layer to one request.
pub(super) async fn request_layer(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    let version = request.version();
    let (mut parts, body) = request_body::drain_on_drop(request).into_parts();
    let mut response = match check(&state, &parts) {
        Ok(()) => {
            parts.extensions.insert(RequestId(id.clone()));
            let responses = parts.extensions.get::<ConnectionBudget>().cloned();
            let running = run(next, Request::from_parts(parts, body), &id);
            match responses {
                Some(responses) => responses.scope(running).await,
                None => running.await,
            }
        }
        Err(rejection) => {
            info!(request_id = id, status = rejection.status().as_u16(), code = rejection.code().as_str(), "request");
            rejection.into_response(MediaType::Json)
        }
    };
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, id);
    }
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if state.is_stopping() && version <= Version::HTTP_11 {
        // The client opens a new connection for its next request instead of using one that is about to close.
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Checks the origin and `Accept-Encoding`, and that the connection can send a response.
fn check(state: &AppState, parts: &Parts) -> Result<(), Rejection> {
    origin::check(state.config(), parts)?;
    AcceptedCodings::of(&parts.headers).check()?;
    match parts.extensions.get::<ConnectionBudget>() {
        // Its client does not read, and would not read this response either.
        Some(responses) if responses.is_exhausted() && !origin::is_health_probe(parts) => Err(Rejection::overloaded()),
        _ => Ok(()),
    }
}

/// Runs the handler. A panic is logged and becomes a 500 response.
async fn run(next: Next, request: Request, id: &str) -> Response {
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(panic) => {
            let error = Error::panicked("a handler", &*panic);
            error!(id, cause = error.source_chain(), "internal error");
            Rejection::from_error(StatusCode::INTERNAL_SERVER_ERROR, error).with_id(id).into_response(MediaType::Json)
        }
    }
}

/// The response for unknown paths.
pub(super) async fn not_found() -> Response {
    let message = "not found: GraphQL is at /graphql, GraphiQL at /graphiql";
    Rejection::new(StatusCode::NOT_FOUND, Code::NotFound, message).into_response(MediaType::Json)
}

/// Returns the client's `X-Request-Id` if it is valid, otherwise a new id.
fn request_id(headers: &HeaderMap) -> String {
    let is_valid = |id: &&str| {
        (1..=REQUEST_ID_LENGTH_MAX).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    header_text(headers, REQUEST_ID).filter(is_valid).map_or_else(|| Uuid::now_v7().simple().to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_valid_request_id_is_adopted_and_an_invalid_one_replaced() {
        let longest = "x".repeat(REQUEST_ID_LENGTH_MAX);
        let too_long = "x".repeat(REQUEST_ID_LENGTH_MAX + 1);
        for (given, is_adopted) in
            [("a-1_B.c", true), (longest.as_str(), true), ("", false), (too_long.as_str(), false), ("a b", false)]
        {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_str(given).expect("a value"));

            assert_eq!(request_id(&headers) == given, is_adopted, "{given}");
        }
        assert_ne!(request_id(&HeaderMap::new()), request_id(&HeaderMap::new()));
    }
}
