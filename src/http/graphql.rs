//! GraphQL over HTTP: POST with a JSON body, and GET for queries and subscriptions.
//!
//! [`prepare`] authenticates the client and reads the request, `execution` executes it, and the response is encoded as JSON,
//! as Server-Sent Events (`sse`) or in parts (`multipart`).
use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};

use super::{
    AppState, authentication,
    execution::{self, Outcome},
    graphiql, header_text, multipart,
    negotiation::{AcceptedFormats, MediaType, StreamFormat, check_json, prefers_html},
    parameters,
    rejection::{Rejection, add_retry_after},
    request_body::{self, ReceivedBody},
    request_layer::{self, RequestId},
    request_log::{AbandonedRequestGuard, RequestLog, milliseconds},
    sse,
    status::StatusContext,
    streamed_response::{self, Aborted},
};
use crate::{
    error::Code,
    graphql::{self, Operation, RequestReport},
};

const WANTS_REPORT: HeaderName = HeaderName::from_static("x-gatherum-stats");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Handles `/graphql`.
pub(super) async fn handle(State(state): State<AppState>, request: Request) -> Response {
    let start = Instant::now();
    let (parts, body) = request.into_parts();
    if wants_graphiql(&state, &parts) {
        return graphiql::page(&parts.headers);
    }
    let id = parts.extensions.get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default();
    let formats = AcceptedFormats::of(accept(&parts.headers).as_deref());
    let guard = AbandonedRequestGuard { id: &id, start };
    let outcome = execute(&state, &parts, body, formats, &id).await;
    guard.disarm();
    let media_type = formats.single.unwrap_or(MediaType::Json);
    let context = StatusContext { method: &parts.method, media_type, draft: state.config().draft_status_codes };
    match outcome {
        Ok(Executed::Stream(response)) => {
            with_common_headers(&state, response, &RequestReport::default(), start.elapsed())
        }
        Ok(Executed::Single(response)) => {
            let caching = cache_control(&state, &response, context);
            with_caching(respond(&state, Ok(response), context, start.elapsed(), &id), caching)
        }
        Err(rejection) => respond(&state, Err(rejection), context, start.elapsed(), &id),
    }
}

/// Returns `Cache-Control` of the response to a query that was sent with GET, unless `http.get_max_age` is zero. A response
/// with an error is not stored, such as one that asks for the document of an unknown hash.
fn cache_control(state: &AppState, response: &graphql::Response, context: StatusContext) -> Option<HeaderValue> {
    let seconds = state.config().get_max_age.as_secs();
    let is_query = response.operation == Some(Operation::Query) && response.executed && response.codes.is_empty();
    let is_json = context.media_type != MediaType::EventStream;
    if seconds == 0 || context.method != Method::GET || !is_query || !is_json {
        return None;
    }
    let audience = if response.viewer.user.is_none() { "public" } else { "private" };
    HeaderValue::from_str(&format!("{audience}, max-age={seconds}")).ok()
}

fn with_caching(mut response: Response, cache_control: Option<HeaderValue>) -> Response {
    if let Some(value) = cache_control {
        response.headers_mut().insert(header::CACHE_CONTROL, value);
        let vary = HeaderValue::from_static("Accept, Authorization, X-Gatherum-Stats");
        response.headers_mut().insert(header::VARY, vary);
    }
    response
}

/// Handles `/schema.graphql`: the schema in the schema definition language.
pub(super) async fn schema(State(state): State<AppState>) -> Response {
    let Some(sdl) = state.inner.execute.sdl().map(str::to_owned) else {
        return request_layer::not_found().await;
    };
    ([(header::CONTENT_TYPE, "application/graphql; charset=utf-8")], sdl).into_response()
}

/// Whether a user opened the URL in a browser.
fn wants_graphiql(state: &AppState, parts: &Parts) -> bool {
    state.config().graphiql
        && parts.method == Method::GET
        && prefers_html(header_text(&parts.headers, header::ACCEPT))
        && !parameters::has_query(&parts.uri)
}

/// Returns the value of `Accept`, which a client may split into several headers.
fn accept(headers: &HeaderMap) -> Option<Cow<'_, str>> {
    let mut values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let first = values.next()?;
    Some(values.fold(Cow::Borrowed(first), |all, value| Cow::Owned(format!("{all}, {value}"))))
}

/// The outcome of a request.
enum Executed {
    /// The only response to the operation.
    Single(graphql::Response),
    /// A response that streams the responses to a subscription.
    Stream(Response),
}

/// Prepares and executes a request.
async fn execute(
    state: &AppState,
    parts: &Parts,
    body: Body,
    formats: AcceptedFormats,
    id: &str,
) -> Result<Executed, Rejection> {
    // The body counts towards the budget until the operation is executed, because the request holds copies of it.
    let (request, _received) = prepare(state, parts, body, formats).await?;
    let Some(format) = formats.stream else {
        return execution::execute(state, request).await.map(Executed::Single);
    };
    let (viewer, client) = (request.viewer, parts.extensions.get().copied());
    let token = authentication::bearer(&parts.headers)?.map(str::to_owned);
    let acquire_slot = |viewer| state.inner.subscription_slots.acquire(viewer, client).map(Arc::new);
    let responses = match execution::start(state, request, id, acquire_slot).await? {
        Outcome::Single(response) => return Ok(Executed::Single(response)),
        Outcome::Subscription(responses) => responses,
    };
    let aborted: Aborted = Box::pin(execution::aborted(state.clone(), token, viewer));
    let encoding = match format {
        StreamFormat::EventStream => &sse::ENCODING,
        StreamFormat::Multipart => &multipart::ENCODING,
    };
    Ok(Executed::Stream(streamed_response::respond(encoding, responses, aborted)))
}

/// Checks and authenticates a request, and reads the operation.
async fn prepare<'s>(
    state: &'s AppState,
    parts: &Parts,
    body: Body,
    formats: AcceptedFormats,
) -> Result<(graphql::Request, Option<ReceivedBody<'s>>), Rejection> {
    check(parts, formats)?;
    let client = parts.extensions.get().copied();
    let viewer = authentication::viewer(state, authentication::bearer(&parts.headers)?, client).await?;
    state.inner.rate_limits.check(viewer, client)?;
    let config = state.config();
    let (mut request, received) = match parts.method == Method::POST {
        true => {
            let received = request_body::receive(
                &parts.headers,
                body,
                config.body_bytes,
                config.body_timeout,
                &state.inner.request_budget,
            )
            .await?;
            (parameters::from_json(viewer, &received.bytes, config.draft_status_codes)?, Some(received))
        }
        false => (parameters::from_uri(viewer, &parts.uri, config.draft_status_codes)?, None),
    };
    request.rejects_mutations = parts.method == Method::GET;
    request.wants_report = wants_report(state, &parts.headers);
    if let Some(key) = parts.headers.get(IDEMPOTENCY_KEY) {
        request.idempotency_key = Some(String::from_utf8_lossy(key.as_bytes()).into_owned());
    }
    Ok((request, received))
}

/// Whether responses to a request with these headers have `extensions.gatherum`.
pub(super) fn wants_report(state: &AppState, headers: &HeaderMap) -> bool {
    state.config().report_always || header_text(headers, WANTS_REPORT) == Some("1")
}

/// Checks method and headers.
///
/// # Errors
/// 405 for other methods, 406 if no format is acceptable, 415 if the body is not JSON.
fn check(parts: &Parts, formats: AcceptedFormats) -> Result<(), Rejection> {
    if parts.method != Method::GET && parts.method != Method::POST {
        let message = "GraphQL requests use GET or POST";
        return Err(Rejection::new(StatusCode::METHOD_NOT_ALLOWED, Code::BadRequest, message).with_allow("GET, POST"));
    }
    if formats.single.is_none() {
        let message = "responses are application/graphql-response+json, application/json or text/event-stream: accept one of them";
        return Err(Rejection::new(StatusCode::NOT_ACCEPTABLE, Code::BadRequest, message));
    }
    if parts.method == Method::GET {
        return Ok(());
    }
    check_json(header_text(&parts.headers, header::CONTENT_TYPE))
        .map_err(|message| Rejection::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::BadRequest, message))
}

/// Builds the HTTP response of an operation with one response, and writes the log line.
pub(super) fn respond(
    state: &AppState,
    outcome: Result<graphql::Response, Rejection>,
    context: StatusContext,
    total: Duration,
    id: &str,
) -> Response {
    let (response, log) = match outcome {
        Ok(response) => {
            let log = RequestLog::of_response(&response, context);
            (http_response(response.body, log.status, context.media_type), log)
        }
        Err(rejection) => {
            let log = RequestLog::of_rejection(&rejection);
            (rejection.into_response(context.media_type), log)
        }
    };
    log.write(total, id);
    with_common_headers(state, response, &log.report, total)
}

/// Adds the headers of every response to an operation.
fn with_common_headers(state: &AppState, mut response: Response, report: &RequestReport, total: Duration) -> Response {
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
    if state.config().server_timing
        && let Ok(timing) = HeaderValue::from_str(&server_timing(report, total))
    {
        response.headers_mut().insert(SERVER_TIMING, timing);
    }
    response
}

fn http_response(body: bytes::Bytes, status: StatusCode, media_type: MediaType) -> Response {
    if media_type == MediaType::EventStream && status == StatusCode::OK {
        return sse::single(body);
    }
    let mut response = (status, [(header::CONTENT_TYPE, media_type.of_errors().as_str())], body).into_response();
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
    }
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    add_retry_after(&mut response);
    response
}

fn server_timing(report: &RequestReport, total: Duration) -> String {
    format!(
        "total;dur={:.3}, db;dur={:.3};desc=\"{} statements, {} rounds\"",
        milliseconds(total),
        milliseconds(report.db),
        report.statements,
        report.rounds
    )
}
