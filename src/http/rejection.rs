//! Requests that HTTP refuses, answered in GraphQL's form.
use std::borrow::Cow;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::negotiation::MediaType;
use crate::error::{Code, Error};

/// Seconds after which a client may try again when the server has too much to do.
const RETRY_AFTER_SECONDS: &str = "1";

/// A request that is refused before or beside GraphQL.
///
/// Boxed, because most requests are not refused and none should carry its size.
#[derive(Debug)]
pub(super) struct Rejection(Box<Inner>);

#[derive(Debug)]
struct Inner {
    status: StatusCode,
    error: Error,
    allow: Option<&'static str>,
    /// Seconds after which to try again.
    retry_after: Option<u64>,
    /// The id under which the log has the cause.
    id: Option<String>,
}

impl Rejection {
    pub(super) fn new(status: StatusCode, code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self::from_error(status, Error::new(code, message))
    }

    pub(super) fn from_error(status: StatusCode, error: Error) -> Self {
        Self(Box::new(Inner { status, error, allow: None, retry_after: None, id: None }))
    }

    /// A request that is not as GraphQL over HTTP has it.
    pub(super) fn bad_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Code::BadRequest, message)
    }

    /// A request that is JSON and not as GraphQL over HTTP has it: 422 in the draft, 400 before.
    pub(super) fn malformed(message: impl Into<Cow<'static, str>>, draft: bool) -> Self {
        let status = if draft { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::BAD_REQUEST };
        Self::new(status, Code::BadRequest, message)
    }

    pub(super) fn overloaded() -> Self {
        let message = "the server has too much to do: try again in a second";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, Code::Overloaded, message)
    }

    /// The methods that are taken instead.
    pub(super) fn allowing(mut self, methods: &'static str) -> Self {
        self.0.allow = Some(methods);
        self
    }

    /// Seconds after which to try again.
    pub(super) fn after(mut self, seconds: u64) -> Self {
        self.0.retry_after = Some(seconds);
        self
    }

    /// The id under which the log has the cause.
    pub(super) fn with_id(mut self, id: &str) -> Self {
        self.0.id = Some(id.to_owned());
        self
    }

    pub(super) fn status(&self) -> StatusCode {
        self.0.status
    }

    pub(super) fn code(&self) -> Code {
        self.0.error.code
    }

    #[cfg(test)]
    pub(super) fn message(&self) -> &str {
        &self.0.error.message
    }

    /// The refusal as a list of errors of an operation, in JSON.
    pub(super) fn errors(&self) -> Vec<u8> {
        let mut extensions = serde_json::json!({ "code": self.0.error.code.as_str() });
        if let Some(id) = &self.0.id {
            extensions["id"] = id.as_str().into();
        }
        let errors = serde_json::json!([{ "message": self.0.error.message, "extensions": extensions }]);
        errors.to_string().into_bytes()
    }

    pub(super) fn into_response(self, media_type: MediaType) -> Response {
        let errors = String::from_utf8_lossy(&self.errors()).into_owned();
        let Inner { status, allow, retry_after, .. } = *self.0;
        let body = format!("{{\"errors\":{errors}}}");
        let mut response = (status, [(header::CONTENT_TYPE, media_type.as_str())], body).into_response();
        let headers = response.headers_mut();
        if let Some(methods) = allow {
            headers.insert(header::ALLOW, HeaderValue::from_static(methods));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        advise_retry(&mut response);
        response
    }
}

/// Tells clients of a server that is busy, or without its database, when to come back.
pub(super) fn advise_retry(response: &mut Response) {
    if response.status() == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
    }
}
