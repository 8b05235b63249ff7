//! Which status an answer has.
//!
//! By default those that the audits of the graphql-http package ask for: what was executed is 200, what was not is 400,
//! and clients that accept JSON alone read errors of the document from a 200. `http.draft_status_codes` chooses those of
//! the GraphQL over HTTP draft of April 2026 instead, which tells faults of the document (422) from faults of its form
//! (400), and data with errors (294) from data without.
use axum::http::{Method, StatusCode};

use super::negotiation::MediaType;
use crate::{
    error::Code,
    graphql::{Operation, Response},
};

/// How an answer was asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct StatusContext<'a> {
    pub(super) method: &'a Method,
    pub(super) media_type: MediaType,
    pub(super) draft: bool,
}

/// The status of an answer. [`StatusCode::METHOD_NOT_ALLOWED`] stands for a mutation that came by GET.
pub(super) fn status(answer: &Response, context: StatusContext) -> StatusCode {
    match answer.executed {
        true if context.draft && !answer.codes.is_empty() => partial_success(),
        true if context.media_type == MediaType::GraphqlResponse && is_unavailable(answer) => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        true => StatusCode::OK,
        false => refused(answer, context),
    }
}

/// Whether a query came to nothing because the database is away or has too much to do, so that asking again is right.
///
/// The draft wants 2xx for data that is not null, whatever is null within, and recommends it for null. There it is worth
/// more that balancers, retries and alarms see a server without its database.
fn is_unavailable(answer: &Response) -> bool {
    !answer.has_data
        && answer.operation == Some(Operation::Query)
        && !answer.codes.is_empty()
        && answer.codes.iter().all(|code| matches!(code, Code::Unavailable | Code::Overloaded))
}

fn refused(answer: &Response, context: StatusContext) -> StatusCode {
    let code = answer.codes.first().copied().unwrap_or(Code::Internal);
    let reads_errors_from_ok = context.media_type == MediaType::Json && !context.draft;
    match code {
        Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        Code::Timeout => StatusCode::GATEWAY_TIMEOUT,
        Code::Overloaded | Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::Forbidden => StatusCode::FORBIDDEN,
        Code::BadRequest if context.method == Method::GET && answer.operation == Some(Operation::Mutation) => {
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

/// The draft's 294, which has no name in the registry of statuses yet.
fn partial_success() -> StatusCode {
    StatusCode::from_u16(294).unwrap_or(StatusCode::OK)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graphql::RequestReport;

    fn answer(executed: bool, codes: &[Code], operation: Option<Operation>) -> Response {
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
        Response { has_data: false, ..answer(true, codes, operation) }
    }

    #[test]
    fn every_outcome_has_its_status() {
        let query = Some(Operation::Query);
        let mutation = Some(Operation::Mutation);
        // The statuses for graphql-response+json, for JSON, and of the draft.
        let cases = [
            (answer(true, &[], query), [200, 200, 200]),
            (answer(true, &[Code::Unavailable], query), [200, 200, 294]),
            (without_data(&[Code::Unavailable], query), [503, 200, 294]),
            (without_data(&[Code::Unavailable, Code::Overloaded], query), [503, 200, 294]),
            (without_data(&[Code::Unavailable, Code::Timeout], query), [200, 200, 294]),
            (without_data(&[Code::Unavailable], mutation), [200, 200, 294]),
            (without_data(&[Code::Internal], query), [200, 200, 294]),
            (answer(true, &[Code::NotFound], mutation), [200, 200, 294]),
            (answer(false, &[Code::GraphqlParseFailed], None), [400, 200, 400]),
            (answer(false, &[Code::GraphqlValidationFailed], query), [400, 200, 422]),
            (answer(false, &[Code::BadUserInput], query), [400, 200, 422]),
            (answer(false, &[Code::BadRequest], None), [400, 400, 422]),
            (answer(false, &[Code::BadRequest], mutation), [400, 400, 422]),
            (answer(false, &[Code::LimitExceeded], query), [400, 400, 422]),
            (answer(false, &[Code::SqlBudgetExceeded], query), [400, 400, 422]),
            (answer(false, &[Code::Unauthenticated], None), [401, 401, 401]),
            (answer(false, &[Code::Forbidden], mutation), [403, 403, 403]),
            (answer(false, &[Code::Internal], query), [500, 500, 500]),
            (answer(false, &[], query), [500, 500, 500]),
            (answer(false, &[Code::Unavailable], query), [503, 503, 503]),
            (answer(false, &[Code::Overloaded], query), [503, 503, 503]),
            (answer(false, &[Code::Timeout], query), [504, 504, 504]),
        ];
        for (answer, expected) in cases {
            let status = |media_type, draft| {
                status(&answer, StatusContext { method: &Method::POST, media_type, draft }).as_u16()
            };

            let statuses = [
                status(MediaType::GraphqlResponse, false),
                status(MediaType::Json, false),
                status(MediaType::GraphqlResponse, true),
            ];

            assert_eq!(statuses, expected, "{answer:?}");
            assert_eq!(status(MediaType::Json, true), expected[2], "the draft does not tell media types apart");
        }
    }

    #[test]
    fn a_mutation_by_get_is_a_method_not_allowed() {
        for draft in [false, true] {
            let context = StatusContext { method: &Method::GET, media_type: MediaType::Json, draft };

            let refused = status(&answer(false, &[Code::BadRequest], Some(Operation::Mutation)), context);

            assert_eq!(refused, StatusCode::METHOD_NOT_ALLOWED);
        }
    }
}
