//! Executes operations for all transports: limits, memory budget, subscription slots and shutdown.
//!
//! A transport reads a [`graphql::Request`], calls [`execute`] or [`start`], and encodes the result.
use std::sync::Arc;

use axum::http::StatusCode;
use futures_util::{StreamExt, stream};

use super::{
    AppState, authentication, rejection::Rejection, request_log::RequestLog, subscription_slot::SubscriptionSlot,
};
use crate::{
    access::Viewer,
    error::Code,
    graphql::{self, Operation, Responses},
};

/// The result of an operation.
pub(super) enum Outcome {
    /// The only response: of a query, a mutation or an operation that GraphQL rejected. The transport writes its log line.
    Single(graphql::Response),
    /// The responses of a subscription, which are logged and hold its slot.
    Subscription(Responses),
}

/// Executes a query or mutation for a client that accepts no stream of responses. GraphQL rejects subscriptions.
///
/// # Errors
/// 503 if too many requests are running or too many responses are unread; after `http.request_timeout`, 503 if the database
/// does not keep up, otherwise 504.
pub(super) async fn execute(state: &AppState, request: graphql::Request) -> Result<graphql::Response, Rejection> {
    let response = within_limits(state, state.inner.execute.execute(request)).await?;
    within_budget(state, response)
}

/// Executes a query or mutation, or starts a subscription, which takes a slot from `acquire_slot`. `id` is the id of the
/// request in the log lines of events.
///
/// # Errors
/// As for [`execute`], as `acquire_slot`, and 503 for a subscription during the shutdown.
pub(super) async fn start(
    state: &AppState,
    request: graphql::Request,
    id: &str,
    acquire_slot: impl FnOnce(Viewer) -> Result<Arc<SubscriptionSlot>, Rejection>,
) -> Result<Outcome, Rejection> {
    let viewer = request.viewer;
    match within_limits(state, state.inner.execute.clone().subscribe(request)).await? {
        Err(response) => within_budget(state, response).map(Outcome::Single),
        Ok(_) if state.is_stopping() => Err(shutting_down()),
        Ok(responses) => {
            let slot = acquire_slot(viewer)?;
            Ok(Outcome::Subscription(responses_of_subscription(state.clone(), responses, slot, id.to_owned())))
        }
    }
}

/// Runs `execution` within `http.concurrent_requests` and `http.request_timeout`.
async fn within_limits<T>(state: &AppState, execution: impl Future<Output = T>) -> Result<T, Rejection> {
    let _permit = state.inner.concurrent_requests.try_acquire().map_err(|_| Rejection::overloaded())?;
    let limit = state.config().request_timeout;
    tokio::time::timeout(limit, execution).await.map_err(|_| {
        let database = &state.inner.health;
        if !database.is_available() || database.pool().waiting > 0 {
            return Rejection::unavailable();
        }
        let message = format!("the request took longer than {} s: request less data at once", limit.as_secs_f64());
        Rejection::new(StatusCode::GATEWAY_TIMEOUT, Code::Timeout, message)
    })
}

/// Counts the body of a response towards the memory budget until the transport has written it. A mutation has been
/// committed, so its response is sent even if the budget is exhausted.
fn within_budget(state: &AppState, mut response: graphql::Response) -> Result<graphql::Response, Rejection> {
    match state.inner.response_budget.reserve(response.body.clone()) {
        Some(body) => response.body = body,
        None if response.operation == Some(Operation::Mutation) => {}
        None => return Err(Rejection::overloaded()),
    }
    Ok(response)
}

/// Logs the responses of a subscription and counts them towards the memory budget. If the budget is exhausted, an error is
/// the last response. The slot is released at the end.
fn responses_of_subscription(
    state: AppState,
    responses: Responses,
    slot: Arc<SubscriptionSlot>,
    id: String,
) -> Responses {
    let next = move |running: Option<(Responses, Arc<SubscriptionSlot>)>| {
        let (state, id) = (state.clone(), id.clone());
        async move {
            let (mut responses, slot) = running?;
            let response = responses.next().await?;
            let viewer = response.viewer;
            let (response, running) = match within_budget(&state, response) {
                Ok(response) => (response, Some((responses, slot))),
                Err(rejection) => (rejection.into_graphql_response(viewer), None),
            };
            RequestLog::of_event(&response).write(response.report.total, &id);
            Some((response, running))
        }
    };
    stream::unfold(Some((responses, slot)), next).boxed()
}

/// Completes with the reason when a subscription must end although its client and the server did not end it: at shutdown,
/// or when the token is denied.
pub(super) async fn aborted(state: AppState, token: Option<String>, viewer: Viewer) -> Rejection {
    let stopping = state.stopping();
    tokio::select! {
        () = stopping => shutting_down(),
        () = authentication::until_denied(state, token, viewer) => authentication::token_denied(),
    }
}

fn shutting_down() -> Rejection {
    let message = "the server is shutting down: subscribe again";
    Rejection::new(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, message)
}
