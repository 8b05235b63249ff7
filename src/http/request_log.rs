//! The log lines of requests.
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use tracing::info;

use super::{
    rejection::Rejection,
    status::{StatusContext, status},
};
use crate::{
    access::{TokenScope, Viewer},
    error::Code,
    graphql::{self, RequestReport},
};

/// Maximum length of an operation name in the log, in characters.
const LOGGED_NAME_LENGTH_MAX: usize = 100;

/// The log line of a request, and its audit line if it has one.
#[derive(Default)]
pub(super) struct RequestLog {
    pub(super) status: StatusCode,
    code: Option<Code>,
    operation: String,
    /// The root fields of a mutation.
    fields: Vec<String>,
    /// The viewer, if the request was authenticated.
    viewer: Option<Viewer>,
    pub(super) report: RequestReport,
}

impl RequestLog {
    pub(super) fn of_response(response: &graphql::Response, context: StatusContext) -> Self {
        Self::new(response, status(response, context))
    }

    /// The log line of a response to a subscription. The status of a stream does not depend on its responses.
    pub(super) fn of_event(response: &graphql::Response) -> Self {
        Self::new(response, StatusCode::OK)
    }

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

    pub(super) fn of_rejection(rejection: &Rejection) -> Self {
        Self { status: rejection.status(), code: Some(rejection.code()), ..Self::default() }
    }

    pub(super) fn write(&self, total: Duration, id: &str) {
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
pub(super) fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
