//! HTTP statuses of GraphQL responses.
//!
//! The default follows the audits of the graphql-http package: 200 if the operation was executed, otherwise 400, and 200
//! for document errors if the client accepts only `application/json`. `http.draft_status_codes` selects the statuses of
//! the GraphQL over HTTP draft of April 2026, which distinguishes invalid documents (422) from malformed requests (400)
//! and data with errors (294) from data without errors (200). An event stream has 200 and errors as events, except for
//! rejections that do not depend on the document, such as 401, 405, 500, 503 and 504.
use axum::http::{Method, StatusCode};

use super::{AppState, negotiation::MediaType};
use crate::{
    error::Code,
    graphql::{Operation, Response},
};

/// Properties of a request that determine the status besides the response.
#[derive(Clone, Copy, Debug)]
pub(super) struct StatusContext<'a> {
    pub(super) method: &'a Method,
    pub(super) media_type: MediaType,
    pub(super) draft: bool,
}

impl StatusContext<'_> {
    /// The context of a response that is sent without a status, for its log line.
    pub(super) fn without_http(state: &AppState) -> Self {
        let draft = state.config().draft_status_codes;
        Self { method: &Method::POST, media_type: MediaType::GraphqlResponse, draft }
    }
}

/// Returns the status of a response; [`StatusCode::METHOD_NOT_ALLOWED`] for a mutation sent with GET.
pub(super) fn status(response: &Response, context: StatusContext) -> StatusCode {
    match context.media_type {
        MediaType::EventStream => of_event_stream(response, context),
        MediaType::GraphqlResponse | MediaType::Json => of_json(response, context),
    }
}

/// The status of an event stream: 200 if the operation was executed or its document is not accepted, because such errors are
/// events (GraphQL over SSE).
fn of_event_stream(response: &Response, context: StatusContext) -> StatusCode {
    let status = of_json(response, StatusContext { draft: false, ..context });
    match status == StatusCode::BAD_REQUEST || response.executed {
        true => StatusCode::OK,
        false => status,
    }
}

fn of_json(response: &Response, context: StatusContext) -> StatusCode {
    match response.executed {
        true if context.draft && !response.codes.is_empty() => partial_success(),
        true if context.media_type == MediaType::GraphqlResponse && is_unavailable(response) => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        true => StatusCode::OK,
        false => rejected(response, context),
    }
}

/// Whether a query returned no data because the database is unavailable or overloaded, so that a retry is appropriate.
///
/// The draft requires 2xx for data that is not null and recommends it for null. A 503 is used instead because load
/// balancers, retries and alerts depend on the status.
fn is_unavailable(response: &Response) -> bool {
    !response.has_data
        && response.operation == Some(Operation::Query)
        && !response.codes.is_empty()
        && response.codes.iter().all(|code| matches!(code, Code::Unavailable | Code::Overloaded))
}

fn rejected(response: &Response, context: StatusContext) -> StatusCode {
    let code = response.codes.first().copied().unwrap_or(Code::Internal);
    let reads_errors_from_ok = context.media_type == MediaType::Json && !context.draft;
    match code {
        Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        Code::Timeout => StatusCode::GATEWAY_TIMEOUT,
        Code::Overloaded | Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::StorageFull => StatusCode::INSUFFICIENT_STORAGE,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::Forbidden => StatusCode::FORBIDDEN,
        // Clients of automatic persisted queries read these errors only from 200.
        Code::PersistedQueryNotFound | Code::PersistedQueryNotSupported => StatusCode::OK,
        Code::BadRequest if context.method == Method::GET && response.operation == Some(Operation::Mutation) => {
            StatusCode::METHOD_NOT_ALLOWED
        }
        Code::GraphqlParseFailed | Code::GraphqlValidationFailed | Code::BadUserInput if reads_errors_from_ok => {
            StatusCode::OK
        }
        Code::GraphqlParseFailed => StatusCode::BAD_REQUEST,
        _ if context.draft => StatusCode::UNPROCESSABLE_ENTITY,
        _ => StatusCode::BAD_REQUEST,
    }
}

/// Status 294 of the draft, which is not registered yet.
fn partial_success() -> StatusCode {
    StatusCode::from_u16(294).unwrap_or(StatusCode::OK)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graphql::RequestReport;

    fn response(executed: bool, codes: &[Code], operation: Option<Operation>) -> Response {
        Response {
            body: bytes::Bytes::new(),
            executed,
            has_data: executed,
            codes: codes.to_vec(),
            operation_name: None,
            operation,
            fields: Vec::new(),
            viewer: crate::access::Viewer::LOCAL,
            report: RequestReport::default(),
        }
    }

    fn without_data(codes: &[Code], operation: Option<Operation>) -> Response {
        Response { has_data: false, ..response(true, codes, operation) }
    }

    #[test]
    fn every_outcome_has_its_status() {
        let query = Some(Operation::Query);
        let mutation = Some(Operation::Mutation);
        // The statuses for graphql-response+json, for JSON, and of the draft.
        let cases = [
            (response(true, &[], query), [200, 200, 200]),
            (response(true, &[Code::Unavailable], query), [200, 200, 294]),
            (without_data(&[Code::Unavailable], query), [503, 200, 294]),
            (without_data(&[Code::Unavailable, Code::Overloaded], query), [503, 200, 294]),
            (without_data(&[Code::Unavailable, Code::Timeout], query), [200, 200, 294]),
            (without_data(&[Code::Unavailable], mutation), [200, 200, 294]),
            (without_data(&[Code::Internal], query), [200, 200, 294]),
            (response(true, &[Code::NotFound], mutation), [200, 200, 294]),
            (response(false, &[Code::GraphqlParseFailed], None), [400, 200, 400]),
            (response(false, &[Code::GraphqlValidationFailed], query), [400, 200, 422]),
            (response(false, &[Code::BadUserInput], query), [400, 200, 422]),
            (response(false, &[Code::BadRequest], None), [400, 400, 422]),
            (response(false, &[Code::BadRequest], mutation), [400, 400, 422]),
            (response(false, &[Code::LimitExceeded], query), [400, 400, 422]),
            (response(false, &[Code::SqlBudgetExceeded], query), [400, 400, 422]),
            (response(false, &[Code::PersistedQueryNotFound], None), [200, 200, 200]),
            (response(false, &[Code::PersistedQueryNotSupported], None), [200, 200, 200]),
            (response(false, &[Code::DocumentNotTrusted], None), [400, 400, 422]),
            (response(false, &[Code::Unauthenticated], None), [401, 401, 401]),
            (response(false, &[Code::Forbidden], mutation), [403, 403, 403]),
            (response(false, &[Code::Internal], query), [500, 500, 500]),
            (response(false, &[], query), [500, 500, 500]),
            (response(false, &[Code::Unavailable], query), [503, 503, 503]),
            (response(false, &[Code::Overloaded], query), [503, 503, 503]),
            (response(false, &[Code::Timeout], query), [504, 504, 504]),
            (response(false, &[Code::Unavailable], mutation), [503, 503, 503]),
            (response(false, &[Code::StorageFull], mutation), [507, 507, 507]),
        ];
        for (response, expected) in cases {
            let status = |media_type, draft| {
                status(&response, StatusContext { method: &Method::POST, media_type, draft }).as_u16()
            };

            let statuses = [
                status(MediaType::GraphqlResponse, false),
                status(MediaType::Json, false),
                status(MediaType::GraphqlResponse, true),
            ];

            assert_eq!(statuses, expected, "{response:?}");
            assert_eq!(status(MediaType::Json, true), expected[2], "the draft does not distinguish media types");
        }
    }

    #[test]
    fn an_event_stream_reports_errors_of_the_document_as_events() {
        let query = Some(Operation::Query);
        for (response, expected) in [
            (response(true, &[], query), 200),
            (response(true, &[Code::Unavailable], query), 200),
            (without_data(&[Code::Unavailable], query), 200),
            (response(false, &[Code::GraphqlParseFailed], None), 200),
            (response(false, &[Code::GraphqlValidationFailed], query), 200),
            (response(false, &[Code::BadRequest], None), 200),
            (response(false, &[Code::LimitExceeded], query), 200),
            (response(false, &[Code::Unauthenticated], None), 401),
            (response(false, &[Code::Forbidden], Some(Operation::Mutation)), 403),
            (response(false, &[Code::Internal], query), 500),
            (response(false, &[Code::Overloaded], query), 503),
            (response(false, &[Code::Timeout], query), 504),
        ] {
            for draft in [false, true] {
                let context = StatusContext { method: &Method::POST, media_type: MediaType::EventStream, draft };

                assert_eq!(status(&response, context).as_u16(), expected, "{response:?}");
            }
        }
    }

    #[test]
    fn a_mutation_by_get_is_not_allowed() {
        for draft in [false, true] {
            let context = StatusContext { method: &Method::GET, media_type: MediaType::Json, draft };

            let status = status(&response(false, &[Code::BadRequest], Some(Operation::Mutation)), context);

            assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
        }
    }
}
