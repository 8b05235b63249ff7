//! GraphQL over HTTP: POST with JSON, and GET for queries.
use std::time::{Duration, Instant};

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderName, HeaderValue, Method, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use futures_util::StreamExt;
use tracing::info;

use super::{
    AppState, authentication, graphiql, header_text,
    negotiation::{MediaType, is_json, negotiate, prefers_event_stream, prefers_html},
    parameters,
    rejection::{Rejection, advise_retry},
    request_body,
    request_layer::{self, RequestId},
    sse,
    status::{StatusContext, status},
};
use crate::{
    access::{TokenScope, Viewer},
    error::Code,
    graphql::{Operation, RequestReport, Response as Answer, Responses},
};

const WANTS_REPORT: HeaderName = HeaderName::from_static("x-gatherum-stats");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Characters of an Idempotency-Key.
const IDEMPOTENCY_KEY_LENGTH_MAX: usize = 255;

/// Characters of an operation's name in the log.
const LOGGED_NAME_LENGTH_MAX: usize = 100;

/// Answers `/graphql`.
pub(super) async fn answer(State(state): State<AppState>, request: Request) -> Response {
    let start = Instant::now();
    let (parts, body) = request.into_parts();
    if wants_graphiql(&state, &parts) {
        return graphiql::page(&parts.headers);
    }
    let id = parts.extensions.get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default();
    let guard = AbandonedRequestGuard { id: &id, start };
    let accept = header_text(&parts.headers, header::ACCEPT);
    if parts.method == Method::POST && prefers_event_stream(accept) {
        let answered = subscribe_by_sse(&state, &parts, body, &id).await;
        guard.disarm();
        return answered.unwrap_or_else(|rejection| {
            RequestLog { status: rejection.status(), code: Some(rejection.code()), ..RequestLog::default() }
                .log(start.elapsed(), &id);
            rejection.into_response(MediaType::Json)
        });
    }
    let outcome = execute_request(&state, &parts, body).await;
    guard.disarm();
    let media_type = negotiate(header_text(&parts.headers, header::ACCEPT)).unwrap_or(MediaType::Json);
    let context = StatusContext { method: &parts.method, media_type, draft: state.config().draft_status_codes };
    respond(&state, outcome, context, start.elapsed(), &id)
}

/// The schema in its definition language.
pub(super) async fn schema(State(state): State<AppState>) -> Response {
    let Some(sdl) = state.inner.execute.sdl().map(str::to_owned) else {
        return request_layer::not_found().await;
    };
    ([(header::CONTENT_TYPE, "application/graphql; charset=utf-8")], sdl).into_response()
}

/// Whether a browser opens the address by itself.
fn wants_graphiql(state: &AppState, parts: &Parts) -> bool {
    state.config().graphiql
        && parts.method == Method::GET
        && prefers_html(header_text(&parts.headers, header::ACCEPT))
        && !parameters::asks(&parts.uri)
}

/// Answers an operation with events, as many as it has.
async fn subscribe_by_sse(state: &AppState, parts: &Parts, body: Body, id: &str) -> Result<Response, Rejection> {
    check_content_type(parts)?;
    let token = authentication::bearer(&parts.headers)?;
    let client = parts.extensions.get().copied();
    let viewer = authentication::viewer(state, token, client).await?;
    state.inner.rate.check(viewer, client)?;
    let config = state.config();
    let request = {
        let received = request_body::receive(body, config.body_bytes, config.body_timeout, &state.inner.bodies).await?;
        let request = parameters::from_json(viewer, &received.bytes, config.draft_status_codes)?;
        crate::graphql::Request { wants_report: wants_report(state, parts), ..request }
    };
    sse::answer(state, request, token.map(str::to_owned), client, id).await
}

/// The responses to an operation that is followed, within `http.request_timeout` from the asking to the following.
///
/// # Errors
/// The one response to what is no subscription or is refused, or the refusal to begin.
pub(super) async fn follow(
    state: &AppState,
    request: crate::graphql::Request,
    id: &str,
) -> Result<Responses, Result<Answer, Rejection>> {
    let id = id.to_owned();
    let followed = execute_within_limits(state, state.inner.execute.clone().subscribe(request)).await.map_err(Err)?;
    let log = move |answer: &Answer| RequestLog::of(answer, StatusCode::OK).log(answer.report.total, &id);
    match followed {
        Ok(responses) => Ok(responses.inspect(log).boxed()),
        Err(answer) => {
            log(&answer);
            Err(Ok(answer))
        }
    }
}

/// The key of a request that may be tried again.
fn idempotency_key(parts: &Parts) -> Result<Option<String>, Rejection> {
    let Some(key) = parts.headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let key = key.to_str().ok().filter(|key| (1..=IDEMPOTENCY_KEY_LENGTH_MAX).contains(&key.len()));
    let key = key.ok_or_else(|| Rejection::bad_request("an Idempotency-Key has 1 to 255 visible characters"))?;
    Ok(Some(key.to_owned()))
}

fn wants_report(state: &AppState, parts: &Parts) -> bool {
    state.config().report_always || header_text(&parts.headers, WANTS_REPORT) == Some("1")
}

/// Checks, reads and executes a request.
async fn execute_request(state: &AppState, parts: &Parts, body: Body) -> Result<Answer, Rejection> {
    check(parts)?;
    let client = parts.extensions.get().copied();
    let viewer = authentication::viewer(state, authentication::bearer(&parts.headers)?, client).await?;
    state.inner.rate.check(viewer, client)?;
    let config = state.config();
    // What was received takes up room until the answer is there, because the request holds copies of it.
    let (mut request, _received) = match parts.method == Method::POST {
        true => {
            let received =
                request_body::receive(body, config.body_bytes, config.body_timeout, &state.inner.bodies).await?;
            (parameters::from_json(viewer, &received.bytes, config.draft_status_codes)?, Some(received))
        }
        false => (parameters::from_uri(viewer, &parts.uri, config.draft_status_codes)?, None),
    };
    request.queries_only = parts.method == Method::GET;
    request.wants_report = wants_report(state, parts);
    request.idempotency_key = idempotency_key(parts)?;
    execute_within_limits(state, state.inner.execute.execute(request)).await
}

/// Refuses what the head alone shows to be wrong.
fn check(parts: &Parts) -> Result<(), Rejection> {
    if parts.method != Method::GET && parts.method != Method::POST {
        let message = "GraphQL is asked by GET or POST";
        return Err(Rejection::new(StatusCode::METHOD_NOT_ALLOWED, Code::BadRequest, message).allowing("GET, POST"));
    }
    if negotiate(header_text(&parts.headers, header::ACCEPT)).is_none() {
        let message = "answers are application/graphql-response+json or application/json: accept one of them";
        return Err(Rejection::new(StatusCode::NOT_ACCEPTABLE, Code::BadRequest, message));
    }
    check_content_type(parts)
}

fn check_content_type(parts: &Parts) -> Result<(), Rejection> {
    if parts.method == Method::POST && !is_json(header_text(&parts.headers, header::CONTENT_TYPE)) {
        let message = "the body must be JSON: send Content-Type: application/json";
        return Err(Rejection::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::BadRequest, message));
    }
    Ok(())
}

/// Executes if there is a place for it, within `http.request_timeout`.
pub(super) async fn execute_within_limits<T>(
    state: &AppState,
    executing: impl Future<Output = T>,
) -> Result<T, Rejection> {
    let _place = state.inner.executing.try_acquire().map_err(|_| Rejection::overloaded())?;
    let limit = state.config().request_timeout;
    tokio::time::timeout(limit, executing).await.map_err(|_| {
        let message = format!("the request took longer than {} s: ask for less at once", limit.as_secs_f64());
        Rejection::new(StatusCode::GATEWAY_TIMEOUT, Code::Timeout, message)
    })
}

/// Writes the response and the log line.
pub(super) fn respond(
    state: &AppState,
    outcome: Result<Answer, Rejection>,
    context: StatusContext,
    total: Duration,
    id: &str,
) -> Response {
    let held = outcome.and_then(|mut answer| {
        // What was written is never answered with a refusal.
        if answer.operation == Some(Operation::Mutation) {
            return Ok(answer);
        }
        answer.body = state.inner.answers.hold(answer.body).ok_or_else(Rejection::overloaded)?;
        Ok(answer)
    });
    let (mut response, line) = match held {
        Ok(answer) => {
            let line = RequestLog::of(&answer, status(&answer, context));
            (write(answer.body, line.status, context.media_type), line)
        }
        Err(rejection) => {
            let line = RequestLog { status: rejection.status(), code: Some(rejection.code()), ..RequestLog::default() };
            (rejection.into_response(context.media_type), line)
        }
    };
    line.log(total, id);
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
    if state.config().server_timing
        && let Ok(timing) = HeaderValue::from_str(&server_timing(&line.report, total))
    {
        response.headers_mut().insert(SERVER_TIMING, timing);
    }
    response
}

fn write(body: bytes::Bytes, status: StatusCode, media_type: MediaType) -> Response {
    let mut response = (status, [(header::CONTENT_TYPE, media_type.as_str())], body).into_response();
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
    }
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    advise_retry(&mut response);
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

/// What the log tells of a request.
#[derive(Default)]
struct RequestLog {
    status: StatusCode,
    code: Option<Code>,
    operation: String,
    /// The root fields of a mutation.
    fields: Vec<String>,
    /// Who asked, where that is known.
    viewer: Option<Viewer>,
    report: RequestReport,
}

impl RequestLog {
    fn of(answer: &Answer, status: StatusCode) -> Self {
        let name = answer.operation_name.as_deref().unwrap_or_default();
        Self {
            status,
            code: answer.codes.first().copied(),
            operation: name.chars().take(LOGGED_NAME_LENGTH_MAX).collect(),
            fields: answer.fields.clone(),
            viewer: Some(answer.viewer),
            report: answer.report.clone(),
        }
    }

    fn log(&self, total: Duration, id: &str) {
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

    /// Who wrote what, and who was refused what; on a server without accounts it is always the same one.
    fn audit(&self, id: &str) {
        let is_refused = matches!(self.code, Some(Code::Unauthenticated | Code::Forbidden));
        let is_told = is_refused || (!self.fields.is_empty() && self.viewer != Some(Viewer::LOCAL));
        if !is_told {
            return;
        }
        info!(
            request_id = id,
            action = if is_refused { "refused" } else { "write" },
            user = self.viewer.and_then(|viewer| viewer.user).map(|user| user.to_string()).unwrap_or_default(),
            scope = self.viewer.and_then(|viewer| viewer.scope).map(TokenScope::as_str).unwrap_or_default(),
            operation = self.operation,
            fields = self.fields.join(" "),
            code = self.code.map(Code::as_str).unwrap_or_default(),
            "audit"
        );
    }
}

/// A request whose client may go away before it is answered; then this is what the log has of it.
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
        // A panic is logged where it is caught.
        if !std::thread::panicking() {
            info!(request_id = self.id, total_ms = milliseconds(self.start.elapsed()), "request left by its client");
        }
    }
}

/// Milliseconds with three decimals.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
