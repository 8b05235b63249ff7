//! GraphQL over HTTP: POST with JSON, and GET for queries.
use std::time::{Duration, Instant};

use async_graphql::Variables;
use axum::{
    body::Body,
    extract::{Query, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::{Map, Value};
use tracing::info;

use super::{
    Site, console,
    frame::{RequestId, failure},
    negotiation::{MediaType, is_json, negotiate},
};
use crate::{
    error::{Code, Error},
    graphql::{Operation, Request, Response as Answer},
};

const WANTS_REPORT: HeaderName = HeaderName::from_static("x-gatherum-stats");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// Seconds after which a client may try again when the server has too much to do.
const RETRY_AFTER_SECONDS: &str = "1";

/// A request that is refused, with its status.
type Refused = Box<(StatusCode, Error)>;

/// Answers `/graphql`.
pub(super) async fn answer(State(site): State<Site>, request: axum::extract::Request) -> Response {
    let start = Instant::now();
    let (parts, body) = request.into_parts();
    let method = parts.method.clone();
    if method != Method::GET && method != Method::POST {
        return not_allowed("GraphQL is asked by GET or POST", "GET, POST");
    }
    let accept = text(&parts.headers, header::ACCEPT);
    if method == Method::GET && parts.uri.query().is_none() && site.config().graphiql && takes_html(accept) {
        return console::page(&parts.headers);
    }
    let Some(media_type) = negotiate(accept) else {
        let message = "answers are application/graphql-response+json or application/json: accept one of them";
        return failure(StatusCode::NOT_ACCEPTABLE, &Error::new(Code::BadRequest, message), None);
    };
    let read = match method {
        Method::GET => read_query(&parts.uri),
        _ => read_body(&site, &parts.headers, body).await,
    };
    let mut request = match read {
        Ok(request) => request,
        Err(refused) => return failure(refused.0, &refused.1, None),
    };
    request.queries_only = method == Method::GET;
    request.wants_report = site.config().report_always || text(&parts.headers, WANTS_REPORT) == Some("1");
    let id = parts.extensions.get::<RequestId>().map(|id| id.0.as_str()).unwrap_or_default();
    execute(&site, request, media_type, start, id).await
}

/// The schema in its definition language.
pub(super) async fn schema(State(site): State<Site>) -> Response {
    let sdl = site.inner.execute.sdl().to_owned();
    ([(header::CONTENT_TYPE, "application/graphql; charset=utf-8")], sdl).into_response()
}

async fn execute(site: &Site, request: Request, media_type: MediaType, start: Instant, id: &str) -> Response {
    let Ok(_permit) = site.inner.executing.try_acquire() else {
        let error = Error::new(Code::Overloaded, "the server has too much to do: try again in a second");
        let mut response = failure(StatusCode::SERVICE_UNAVAILABLE, &error, None);
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
        info!(id, status = 503_u16, code = error.code.as_str(), "request");
        return response;
    };
    let limit = site.config().request_timeout;
    match tokio::time::timeout(limit, site.inner.execute.execute(request)).await {
        Ok(answer) => respond(site, answer, media_type, start.elapsed(), id),
        Err(_) => {
            let error = Error::new(Code::Timeout, "the request took too long: ask for less at once");
            info!(id, status = 504_u16, code = error.code.as_str(), total_ms = milliseconds(limit), "request");
            failure(StatusCode::GATEWAY_TIMEOUT, &error, None)
        }
    }
}

fn respond(site: &Site, answer: Answer, media_type: MediaType, total: Duration, id: &str) -> Response {
    let status = status(&answer, media_type);
    log(&answer, status, total, id);
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type.as_str()));
    headers.insert(header::VARY, HeaderValue::from_static("Accept"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
    }
    if site.config().server_timing {
        let timing = format!(
            "total;dur={:.3}, db;dur={:.3};desc=\"{} statements, {} rounds\"",
            milliseconds(total),
            milliseconds(answer.report.db),
            answer.report.statements,
            answer.report.rounds
        );
        if let Ok(timing) = HeaderValue::from_str(&timing) {
            headers.insert(SERVER_TIMING, timing);
        }
    }
    response
}

/// The status of an answer: that of the request where it was not executed. Clients that know `application/json` alone
/// read errors of the document from a 200.
fn status(answer: &Answer, media_type: MediaType) -> StatusCode {
    let code = answer.codes.first().copied();
    match (answer.executed, code) {
        (true, _) => StatusCode::OK,
        (false, Some(Code::BadRequest)) if matches!(answer.operation, Some(Operation::Mutation)) => {
            StatusCode::METHOD_NOT_ALLOWED
        }
        (false, Some(Code::GraphqlParseFailed | Code::GraphqlValidationFailed | Code::BadUserInput))
            if media_type == MediaType::Json =>
        {
            StatusCode::OK
        }
        (false, Some(Code::Internal)) => StatusCode::INTERNAL_SERVER_ERROR,
        (false, _) => StatusCode::BAD_REQUEST,
    }
}

/// One line a request.
fn log(answer: &Answer, status: StatusCode, total: Duration, id: &str) {
    let report = &answer.report;
    info!(
        id,
        operation = answer.operation_name.as_deref().unwrap_or_default(),
        status = status.as_u16(),
        code = answer.codes.first().map(|code| code.as_str()).unwrap_or_default(),
        statements = report.statements,
        rounds = report.rounds,
        rows = report.rows,
        db_ms = milliseconds(report.db),
        total_ms = milliseconds(total),
        cache_hit = report.cache_hits > 0,
        "request"
    );
}

/// Milliseconds with three decimals.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

fn not_allowed(message: &'static str, allow: &'static str) -> Response {
    let mut response = failure(StatusCode::METHOD_NOT_ALLOWED, &Error::new(Code::BadRequest, message), None);
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
    response
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// Whether a browser asks for a page.
fn takes_html(accept: Option<&str>) -> bool {
    accept.is_some_and(|accept| accept.split(',').any(|range| range.trim().starts_with("text/html")))
}

async fn read_body(site: &Site, headers: &HeaderMap, body: Body) -> Result<Request, Refused> {
    if !is_json(text(headers, header::CONTENT_TYPE)) {
        let message = "the body must be JSON: send Content-Type: application/json";
        return Err(refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::BadRequest, message));
    }
    let max = site.config().body_bytes;
    let collected = tokio::time::timeout(site.config().body_timeout, Limited::new(body, max).collect()).await;
    let bytes = match collected {
        Ok(Ok(collected)) => collected.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let message = format!("the body has more than {max} bytes");
            return Err(refuse(StatusCode::PAYLOAD_TOO_LARGE, Code::LimitExceeded, message));
        }
        Ok(Err(_)) => return Err(refuse(StatusCode::BAD_REQUEST, Code::BadRequest, "the body broke off")),
        Err(_) => return Err(refuse(StatusCode::REQUEST_TIMEOUT, Code::Timeout, "the body took too long to arrive")),
    };
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(members)) => read_members(members),
        Ok(Value::Array(_)) => {
            Err(malformed("several operations in one request are not answered: send them one by one"))
        }
        Ok(_) => Err(malformed("the body must be a JSON object with `query`")),
        Err(_) => Err(malformed("the body is not JSON")),
    }
}

fn read_members(mut members: Map<String, Value>) -> Result<Request, Refused> {
    let query = match members.remove("query") {
        Some(Value::String(query)) => query,
        Some(_) => return Err(malformed("`query` must be a text")),
        None => return Err(malformed("`query` is missing")),
    };
    let operation_name = match members.remove("operationName") {
        Some(Value::String(name)) => Some(name).filter(|name| !name.is_empty()),
        None | Some(Value::Null) => None,
        Some(_) => return Err(malformed("`operationName` must be a text")),
    };
    let variables = match members.remove("variables") {
        Some(variables @ Value::Object(_)) => Variables::from_json(variables),
        None | Some(Value::Null) => Variables::default(),
        Some(_) => return Err(malformed("`variables` must be an object")),
    };
    match members.remove("extensions") {
        None | Some(Value::Null | Value::Object(_)) => {}
        Some(_) => return Err(malformed("`extensions` must be an object")),
    }
    Ok(Request { query, operation_name, variables, ..Request::default() })
}

/// Reads the parameters of a GET. An empty one is absent.
fn read_query(uri: &axum::http::Uri) -> Result<Request, Refused> {
    let Query(parameters) =
        Query::<Vec<(String, String)>>::try_from_uri(uri).map_err(|_| malformed("the query string is not readable"))?;
    let mut members = Map::new();
    for (name, value) in parameters {
        let is_json = matches!(name.as_str(), "variables" | "extensions");
        let value = match value.as_str() {
            "" => continue,
            _ if is_json => serde_json::from_str(&value).map_err(|_| malformed(format!("`{name}` is not JSON")))?,
            _ => Value::String(value),
        };
        if matches!(name.as_str(), "query" | "operationName" | "variables" | "extensions")
            && members.insert(name.clone(), value).is_some()
        {
            return Err(malformed(format!("`{name}` is given twice")));
        }
    }
    read_members(members)
}

fn malformed(message: impl Into<std::borrow::Cow<'static, str>>) -> Refused {
    refuse(StatusCode::BAD_REQUEST, Code::BadRequest, message)
}

fn refuse(status: StatusCode, code: Code, message: impl Into<std::borrow::Cow<'static, str>>) -> Refused {
    Box::new((status, Error::new(code, message)))
}
