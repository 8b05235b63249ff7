//! Rejections: error responses of the HTTP layer, in the format of GraphQL errors.
use std::borrow::Cow;

use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::negotiation::MediaType;
use crate::{
    access::Viewer,
    error::{Code, Error},
    graphql,
};

/// Seconds in `Retry-After` of a 503 or 507 response.
const RETRY_AFTER_SECONDS: &str = "1";

/// A request that was rejected before execution.
///
/// Boxed, because rejections are rare and should not enlarge every `Result`.
#[derive(Debug)]
pub(super) struct Rejection(Box<Inner>);

#[derive(Debug)]
struct Inner {
    status: StatusCode,
    error: Error,
    /// A header that names the alternatives.
    alternatives: Option<(HeaderName, &'static str)>,
    /// Seconds for `Retry-After`.
    retry_after: Option<u64>,
    /// The request id under which the cause is logged.
    id: Option<String>,
}

impl Rejection {
    pub(super) fn new(status: StatusCode, code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self::from_error(status, Error::new(code, message))
    }

    pub(super) fn from_error(status: StatusCode, error: Error) -> Self {
        Self(Box::new(Inner { status, error, alternatives: None, retry_after: None, id: None }))
    }

    /// 400: the request violates GraphQL over HTTP.
    pub(super) fn bad_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Code::BadRequest, message)
    }

    /// The body is JSON but not a GraphQL request: 422 in the draft of GraphQL over HTTP, otherwise 400.
    pub(super) fn malformed(message: impl Into<Cow<'static, str>>, draft: bool) -> Self {
        let status = if draft { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::BAD_REQUEST };
        Self::new(status, Code::BadRequest, message)
    }

    /// 503: a limit of the server is reached.
    pub(super) fn overloaded() -> Self {
        let message = "the server is overloaded; retry after 1 s";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, Code::Overloaded, message)
    }

    /// 503: the request waited too long for the database.
    pub(super) fn unavailable() -> Self {
        let message = "the database does not answer in time: retry";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, message)
    }

    /// Adds `Allow`.
    pub(super) fn with_allow(mut self, methods: &'static str) -> Self {
        self.0.alternatives = Some((header::ALLOW, methods));
        self
    }

    /// Adds `Accept-Encoding`: the content codings of request bodies that the server supports.
    pub(super) fn with_accept_encoding(mut self, codings: &'static str) -> Self {
        self.0.alternatives = Some((header::ACCEPT_ENCODING, codings));
        self
    }

    /// Adds `Retry-After`.
    pub(super) fn with_retry_after(mut self, seconds: u64) -> Self {
        self.0.retry_after = Some(seconds);
        self
    }

    /// Adds the request id under which the cause is logged.
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

    /// Returns the rejection as a JSON list of GraphQL errors.
    pub(super) fn errors(&self) -> Vec<u8> {
        let mut extensions = serde_json::json!({ "code": self.0.error.code.as_str() });
        if let Some(id) = &self.0.id {
            extensions["id"] = id.as_str().into();
        }
        let errors = serde_json::json!([{ "message": self.0.error.message, "extensions": extensions }]);
        errors.to_string().into_bytes()
    }

    /// Converts the rejection to the response of an operation that was not executed.
    pub(super) fn into_graphql_response(self, viewer: Viewer) -> graphql::Response {
        let errors = String::from_utf8_lossy(&self.errors()).into_owned();
        graphql::Response {
            body: format!("{{\"errors\":{errors}}}").into(),
            executed: false,
            has_data: false,
            codes: vec![self.code()],
            operation_name: None,
            operation: None,
            fields: Vec::new(),
            viewer,
            report: graphql::RequestReport::default(),
        }
    }

    pub(super) fn into_response(self, media_type: MediaType) -> Response {
        let errors = String::from_utf8_lossy(&self.errors()).into_owned();
        let Inner { status, alternatives, retry_after, .. } = *self.0;
        let body = format!("{{\"errors\":{errors}}}");
        let mut response = (status, [(header::CONTENT_TYPE, media_type.of_errors().as_str())], body).into_response();
        let headers = response.headers_mut();
        if let Some((name, values)) = alternatives {
            headers.insert(name, HeaderValue::from_static(values));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        add_retry_after(&mut response);
        response
    }
}

/// Adds `Retry-After` to a 503 or 507 response.
pub(super) fn add_retry_after(response: &mut Response) {
    if matches!(response.status(), StatusCode::SERVICE_UNAVAILABLE | StatusCode::INSUFFICIENT_STORAGE) {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
    }
}
