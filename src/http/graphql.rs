//! GraphQL over HTTP: POST with a JSON body, and GET for queries.
use std::time::{Duration, Instant};

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderName, HeaderValue, Method, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt, future::ready, stream};
use tracing::info;

use super::{
    AppState, authentication, graphiql, header_text, multipart,
    negotiation::{MediaType, accepts_multipart_subscription, is_json, negotiate, prefers_event_stream, prefers_html},
    parameters,
    rejection::{Rejection, add_retry_after},
    request_body,
    request_layer::{self, RequestId},
    sse,
    status::{StatusContext, status},
};
use crate::{
    access::{TokenScope, Viewer},
    error::Code,
    graphql::{self, Operation, RequestReport, Responses},
};

const WANTS_REPORT: HeaderName = HeaderName::from_static("x-gatherum-stats");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Maximum length of an `Idempotency-Key`, in characters.
const IDEMPOTENCY_KEY_LENGTH_MAX: usize = 255;

/// Maximum length of an operation name in the log, in characters.
const LOGGED_NAME_LENGTH_MAX: usize = 100;

/// Handles `/graphql`.
pub(super) async fn handle(State(state): State<AppState>, request: Request) -> Response {
    let start = Instant::now();
    let (parts, body) = request.into_parts();
    if wants_graphiql(&state, &parts) {
        return graphiql::page(&parts.headers);
    }
    let id = parts.extensions.get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default();
    let guard = AbandonedRequestGuard { id: &id, start };
    let accept = header_text(&parts.headers, header::ACCEPT);
    let is_post = parts.method == Method::POST;
    if is_post && prefers_event_stream(accept) {
        let response = handle_sse(&state, &parts, body, &id).await;
        guard.disarm();
        return response.unwrap_or_else(|rejection| {
            RequestLog::rejected(&rejection).write(start.elapsed(), &id);
            rejection.into_response(MediaType::Json)
        });
    }
    let outcome = match is_post && accepts_multipart_subscription(accept) {
        true => execute_multipart(&state, &parts, body, &id).await,
        false => execute_request(&state, &parts, body).await.map(Outcome::Single),
    };
    guard.disarm();
    let outcome = match outcome {
        Ok(Outcome::Stream(response)) => return response,
        Ok(Outcome::Single(response)) => Ok(response),
        Err(rejection) => Err(rejection),
    };
    let media_type = negotiate(accept).unwrap_or(MediaType::Json);
    let context = StatusContext { method: &parts.method, media_type, draft: state.config().draft_status_codes };
    respond(&state, outcome, context, start.elapsed(), &id)
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

/// The outcome of a request that accepts a multipart response.
enum Outcome {
    /// A subscription, whose responses are streamed.
    Stream(Response),
    /// Any other operation.
    Single(graphql::Response),
}

/// Executes an operation and streams its responses as Server-Sent Events.
async fn handle_sse(state: &AppState, parts: &Parts, body: Body, id: &str) -> Result<Response, Rejection> {
    let request = receive_operation(state, parts, body).await?;
    let slot = state.inner.subscription_slots.acquire(request.viewer, parts.extensions.get().copied())?;
    let (viewer, token) = (request.viewer, authentication::bearer(&parts.headers)?.map(str::to_owned));
    let responses = start(state, request, id).await?.into_responses(id);
    Ok(sse::respond(state, responses, viewer, token, slot))
}

/// Executes an operation and streams its responses as parts if it is a subscription.
async fn execute_multipart(state: &AppState, parts: &Parts, body: Body, id: &str) -> Result<Outcome, Rejection> {
    let mut request = receive_operation(state, parts, body).await?;
    request.idempotency_key = idempotency_key(parts)?;
    let slot = state.inner.subscription_slots.acquire(request.viewer, parts.extensions.get().copied())?;
    let (viewer, token) = (request.viewer, authentication::bearer(&parts.headers)?.map(str::to_owned));
    Ok(match start(state, request, id).await? {
        Started::Single(response) => Outcome::Single(response),
        Started::Subscription(responses) => Outcome::Stream(multipart::respond(state, responses, viewer, token, slot)),
    })
}

/// Authenticates and reads a request for a streaming transport.
async fn receive_operation(state: &AppState, parts: &Parts, body: Body) -> Result<graphql::Request, Rejection> {
    check_content_type(parts)?;
    let client = parts.extensions.get().copied();
    let viewer = authentication::viewer(state, authentication::bearer(&parts.headers)?, client).await?;
    state.inner.rate_limits.check(viewer, client)?;
    let config = state.config();
    let received =
        request_body::receive(body, config.body_bytes, config.body_timeout, &state.inner.request_budget).await?;
    let request = parameters::from_json(viewer, &received.bytes, config.draft_status_codes)?;
    Ok(graphql::Request { wants_report: wants_report(state, parts), ..request })
}

/// The result of starting an operation on a streaming transport.
pub(super) enum Started {
    /// The responses of a subscription.
    Subscription(Responses),
    /// The only response: of a query, a mutation or an operation that GraphQL rejected. It is not logged yet.
    Single(graphql::Response),
}

impl Started {
    /// Returns the responses as a stream, whatever their number.
    pub(super) fn into_responses(self, id: &str) -> Responses {
        match self {
            Self::Subscription(responses) => responses,
            Self::Single(response) => {
                log_response(&response, id);
                stream::once(ready(response)).boxed()
            }
        }
    }
}

/// Starts an operation within `http.request_timeout`. Each response of a subscription is logged.
///
/// # Errors
/// 503 if too many requests are running, 504 after the timeout.
pub(super) async fn start(state: &AppState, request: graphql::Request, id: &str) -> Result<Started, Rejection> {
    let id = id.to_owned();
    match execute_within_limits(state, state.inner.execute.clone().subscribe(request)).await? {
        Ok(responses) => {
            Ok(Started::Subscription(responses.inspect(move |response| log_response(response, &id)).boxed()))
        }
        Err(response) => Ok(Started::Single(response)),
    }
}

/// Writes the log line of a response on a streaming transport.
pub(super) fn log_response(response: &graphql::Response, id: &str) {
    RequestLog::new(response, StatusCode::OK).write(response.report.total, id);
}

/// Returns the `Idempotency-Key` of a request.
fn idempotency_key(parts: &Parts) -> Result<Option<String>, Rejection> {
    let Some(key) = parts.headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let key = key.to_str().ok().filter(|key| (1..=IDEMPOTENCY_KEY_LENGTH_MAX).contains(&key.len()));
    let key =
        key.ok_or_else(|| Rejection::bad_request("Idempotency-Key must have 1 to 255 visible ASCII characters"))?;
    Ok(Some(key.to_owned()))
}

fn wants_report(state: &AppState, parts: &Parts) -> bool {
    state.config().report_always || header_text(&parts.headers, WANTS_REPORT) == Some("1")
}

/// Checks, authenticates, reads and executes a request.
async fn execute_request(state: &AppState, parts: &Parts, body: Body) -> Result<graphql::Response, Rejection> {
    check(parts)?;
    let client = parts.extensions.get().copied();
    let viewer = authentication::viewer(state, authentication::bearer(&parts.headers)?, client).await?;
    state.inner.rate_limits.check(viewer, client)?;
    let config = state.config();
    // The body counts towards the budget until the response is complete, because the request holds copies of it.
    let (mut request, _received) = match parts.method == Method::POST {
        true => {
            let received =
                request_body::receive(body, config.body_bytes, config.body_timeout, &state.inner.request_budget)
                    .await?;
            (parameters::from_json(viewer, &received.bytes, config.draft_status_codes)?, Some(received))
        }
        false => (parameters::from_uri(viewer, &parts.uri, config.draft_status_codes)?, None),
    };
    request.queries_only = parts.method == Method::GET;
    request.wants_report = wants_report(state, parts);
    request.idempotency_key = idempotency_key(parts)?;
    execute_within_limits(state, state.inner.execute.execute(request)).await
}

/// Checks method and headers.
///
/// # Errors
/// 405 for other methods, 406 if no media type is acceptable, 415 if the body is not JSON.
fn check(parts: &Parts) -> Result<(), Rejection> {
    if parts.method != Method::GET && parts.method != Method::POST {
        let message = "GraphQL requests use GET or POST";
        return Err(Rejection::new(StatusCode::METHOD_NOT_ALLOWED, Code::BadRequest, message).with_allow("GET, POST"));
    }
    if negotiate(header_text(&parts.headers, header::ACCEPT)).is_none() {
        let message = "responses are application/graphql-response+json or application/json: accept one of them";
        return Err(Rejection::new(StatusCode::NOT_ACCEPTABLE, Code::BadRequest, message));
    }
    check_content_type(parts)
}

fn check_content_type(parts: &Parts) -> Result<(), Rejection> {
    if parts.method == Method::POST && !is_json(header_text(&parts.headers, header::CONTENT_TYPE)) {
        let message = "the request body must be JSON: send Content-Type: application/json";
        return Err(Rejection::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::BadRequest, message));
    }
    Ok(())
}

/// Runs `execution` within `http.concurrent_requests` and `http.request_timeout`.
///
/// # Errors
/// 503 if too many requests are running, 504 after the timeout.
pub(super) async fn execute_within_limits<T>(
    state: &AppState,
    execution: impl Future<Output = T>,
) -> Result<T, Rejection> {
    let _permit = state.inner.concurrent_requests.try_acquire().map_err(|_| Rejection::overloaded())?;
    let limit = state.config().request_timeout;
    tokio::time::timeout(limit, execution).await.map_err(|_| {
        let message = format!("the request took longer than {} s: request less data at once", limit.as_secs_f64());
        Rejection::new(StatusCode::GATEWAY_TIMEOUT, Code::Timeout, message)
    })
}

/// Builds the HTTP response and writes the log line.
pub(super) fn respond(
    state: &AppState,
    outcome: Result<graphql::Response, Rejection>,
    context: StatusContext,
    total: Duration,
    id: &str,
) -> Response {
    let reserved = outcome.and_then(|mut response| {
        // A mutation has been committed, so its response is sent even if the budget is exhausted.
        if response.operation == Some(Operation::Mutation) {
            return Ok(response);
        }
        response.body = state.inner.response_budget.reserve(response.body).ok_or_else(Rejection::overloaded)?;
        Ok(response)
    });
    let (mut response, log) = match reserved {
        Ok(response) => {
            let log = RequestLog::new(&response, status(&response, context));
            (http_response(response.body, log.status, context.media_type), log)
        }
        Err(rejection) => {
            let log = RequestLog::rejected(&rejection);
            (rejection.into_response(context.media_type), log)
        }
    };
    log.write(total, id);
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
    if state.config().server_timing
        && let Ok(timing) = HeaderValue::from_str(&server_timing(&log.report, total))
    {
        response.headers_mut().insert(SERVER_TIMING, timing);
    }
    response
}

fn http_response(body: bytes::Bytes, status: StatusCode, media_type: MediaType) -> Response {
    let mut response = (status, [(header::CONTENT_TYPE, media_type.as_str())], body).into_response();
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

/// The log line of a request, and its audit line if it has one.
#[derive(Default)]
struct RequestLog {
    status: StatusCode,
    code: Option<Code>,
    operation: String,
    /// The root fields of a mutation.
    fields: Vec<String>,
    /// The viewer, if the request was authenticated.
    viewer: Option<Viewer>,
    report: RequestReport,
}

impl RequestLog {
    fn new(response: &graphql::Response, status: StatusCode) -> Self {
        let name = response.operation_name.as_deref().unwrap_or_default();
        Self {
            status,
            code: response.codes.first().copied(),
            operation: name.chars().take(LOGGED_NAME_LENGTH_MAX).collect(),
            fields: response.fields.clone(),
            viewer: Some(response.viewer),
            report: response.report.clone(),
        }
    }

    fn rejected(rejection: &Rejection) -> Self {
        Self { status: rejection.status(), code: Some(rejection.code()), ..Self::default() }
    }

    fn write(&self, total: Duration, id: &str) {
        info!(
            request_id = id,
            operation = self.operation,
            status = self.status.as_u16(),
            code = self.code.map(Code::as_str).unwrap_or_default(),
            statements = self.report.statements,
            rounds = self.report.rounds,
            rows = self.report.rows,
            db_ms = milliseconds(self.report.db),
            total_ms = milliseconds(total),
            cache_hit = self.report.cache_hits > 0,
            "request"
        );
        self.audit(id);
    }

    /// Writes the audit line of a mutation or of a denied request. Mutations of a server without accounts have none, because
    /// all requests have the same viewer.
    fn audit(&self, id: &str) {
        let is_denied = matches!(self.code, Some(Code::Unauthenticated | Code::Forbidden));
        let is_audited = is_denied || (!self.fields.is_empty() && self.viewer != Some(Viewer::LOCAL));
        if !is_audited {
            return;
        }
        info!(
            request_id = id,
            action = if is_denied { "denied" } else { "write" },
            user = self.viewer.and_then(|viewer| viewer.user).map(|user| user.to_string()).unwrap_or_default(),
            scope = self.viewer.and_then(|viewer| viewer.scope).map(TokenScope::as_str).unwrap_or_default(),
            operation = self.operation,
            fields = self.fields.join(" "),
            code = self.code.map(Code::as_str).unwrap_or_default(),
            "audit"
        );
    }
}

/// Logs a request whose client disconnects before the response: it writes the log line if dropped without
/// [`disarm`](Self::disarm).
pub(super) struct AbandonedRequestGuard<'a> {
    pub(super) id: &'a str,
    pub(super) start: Instant,
}

impl AbandonedRequestGuard<'_> {
    pub(super) fn disarm(self) {
        std::mem::forget(self);
    }
}

impl Drop for AbandonedRequestGuard<'_> {
    fn drop(&mut self) {
        // The request layer logs panics.
        if !std::thread::panicking() {
            info!(request_id = self.id, total_ms = milliseconds(self.start.elapsed()), "client disconnected");
        }
    }
}

/// Milliseconds with three decimals.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
