//! Subscriptions over Server-Sent Events: graphql-sse, distinct connections mode.
//!
//! Each operation is one response, of `next` events and a `complete` one. What GraphQL refuses is a `next` with errors,
//! as the protocol has it, because a browser would not show the body of another status.
use std::{convert::Infallible, time::Duration};

use axum::response::{
    IntoResponse, Response,
    sse::{Event, KeepAlive, Sse},
};
use futures_util::{StreamExt, stream};

use super::{AppState, authentication, graphql::follow, rate_limit::ClientAddress, rejection::Rejection};
use crate::graphql::Request;

/// How often a client and what is between are told that the connection is in use.
const COMMENT_EVERY: Duration = Duration::from_secs(15);

/// Answers an operation with events.
///
/// # Errors
/// There are too many who follow, or the operation is refused before GraphQL looks at it.
pub(super) async fn answer(
    state: &AppState,
    request: Request,
    token: Option<String>,
    client: Option<ClientAddress>,
    id: &str,
) -> Result<Response, Rejection> {
    let viewer = request.viewer;
    let slot = state.inner.rate.follow(viewer, client)?;
    let place = state.inner.followers.clone().try_acquire_owned().map_err(|_| Rejection::overloaded())?;
    let responses = match follow(state, request, id).await {
        Ok(responses) => responses,
        Err(Ok(response)) => stream::once(async { response }).boxed(),
        Err(Err(rejection)) => return Err(rejection),
    };
    let next = responses.map(|response| {
        let body = String::from_utf8_lossy(&response.body).into_owned();
        Ok::<_, Infallible>(Event::default().event("next").data(body))
    });
    let complete = stream::once(async move {
        drop((place, slot));
        // With no data at all a browser would not tell of it.
        Ok(Event::default().event("complete").data("{}"))
    });
    // A server that stops does not say that the operation is complete: the client follows it elsewhere. Nor is it for one
    // whose token has ended.
    let (stopping, denied) = (state.stopping(), authentication::until_denied(state.clone(), token, viewer));
    let ended = async {
        tokio::select! {
            () = stopping => {}
            () = denied => {}
        }
    };
    let told = next.chain(complete).take_until(Box::pin(ended));
    let events = Sse::new(told).keep_alive(KeepAlive::new().interval(COMMENT_EVERY));
    Ok(events.into_response())
}
