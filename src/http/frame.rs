//! What holds for every request: who it is addressed to, where it comes from, its id, its headers, and that a panic ends
//! nothing but itself.
use std::{net::IpAddr, panic::AssertUnwindSafe};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use tracing::error;
use uuid::Uuid;

use super::Site;
use crate::error::{Code, Error};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Characters of a request id that is taken over from the client.
const REQUEST_ID_LENGTH_MAX: usize = 64;

/// The id of a request, in its log line and its response.
#[derive(Clone, Debug)]
pub(super) struct RequestId(pub(super) String);

pub(super) async fn frame(State(site): State<Site>, mut request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    request.extensions_mut().insert(RequestId(id.clone()));
    let mut response = match check(&site, &request) {
        Err(response) => *response,
        Ok(()) => match AssertUnwindSafe(next.run(request)).catch_unwind().await {
            Ok(response) => response,
            Err(panic) => {
                let error = Error::panicked("a handler", &*panic);
                error!(id, cause = error.causes(), "internal error");
                failure(StatusCode::INTERNAL_SERVER_ERROR, &error, Some(&id))
            }
        },
    };
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, id);
    }
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// A response that was refused before or beside GraphQL, in GraphQL's form.
pub(super) fn failure(status: StatusCode, error: &Error, id: Option<&str>) -> Response {
    let mut extensions = serde_json::json!({ "code": error.code.as_str() });
    if let Some(id) = id.filter(|_| error.code == Code::Internal) {
        extensions["id"] = id.into();
    }
    let body = serde_json::json!({ "errors": [{ "message": error.message, "extensions": extensions }] });
    (status, [(header::CONTENT_TYPE, "application/json; charset=utf-8")], body.to_string()).into_response()
}

pub(super) async fn not_found() -> Response {
    let message = "there is nothing here: GraphQL is at /graphql, GraphiQL at /graphiql";
    failure(StatusCode::NOT_FOUND, &Error::new(Code::NotFound, message), None)
}

fn request_id(headers: &HeaderMap) -> String {
    let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
    let is_sane = |id: &&str| {
        (1..=REQUEST_ID_LENGTH_MAX).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    given.filter(is_sane).map_or_else(|| Uuid::now_v7().simple().to_string(), str::to_owned)
}

/// Refuses requests that are addressed to another host, or that another site made a browser send.
///
/// A server on a loopback address needs no password, so a page that resolves its own name to that address must not
/// reach it: only the names of loopback are taken.
fn check(site: &Site, request: &Request) -> Result<(), Box<Response>> {
    let host = request.uri().authority().map(ToString::to_string);
    let host = host.as_deref().or_else(|| text(request.headers(), header::HOST)).unwrap_or_default();
    if !is_our_host(site, host) {
        let message = "this server does not answer to that host name: add it to http.allowed_hosts";
        return Err(failure(StatusCode::MISDIRECTED_REQUEST, &Error::new(Code::BadRequest, message), None).into());
    }
    let is_foreign = match text(request.headers(), header::ORIGIN) {
        Some(origin) => origin.split_once("://").map(|(_, rest)| rest) != Some(host),
        None => text(request.headers(), HeaderName::from_static("sec-fetch-site")) == Some("cross-site"),
    };
    // A link from another page to this one is no request in its name; everything else is.
    let is_navigation = text(request.headers(), HeaderName::from_static("sec-fetch-mode")) == Some("navigate")
        && request.method() == axum::http::Method::GET;
    if is_foreign && !is_navigation {
        let message = "requests from other sites are not answered";
        return Err(failure(StatusCode::FORBIDDEN, &Error::new(Code::Forbidden, message), None).into());
    }
    Ok(())
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

fn is_our_host(site: &Site, host: &str) -> bool {
    let config = site.config();
    if config.allowed_hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(host)) {
        return true;
    }
    if !config.bind.ip().is_loopback() {
        return config.allowed_hosts.is_empty() && !host.is_empty();
    }
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}
