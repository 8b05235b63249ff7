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

use super::{Site, authentication, graphql::follow, rate_limit::Peer, rejection::Refusal};
use crate::graphql::Request;

/// How often a client and what is between are told that the connection is in use.
const COMMENT_EVERY: Duration = Duration::from_secs(15);

/// Answers an operation with events.
///
/// # Errors
/// There are too many who follow, or the operation is refused before GraphQL looks at it.
pub(super) async fn answer(
    site: &Site,
    request: Request,
    token: Option<String>,
    peer: Option<Peer>,
    id: &str,
) -> Result<Response, Refusal> {
    let viewer = request.viewer;
    let following = site.inner.rate.follow(viewer, peer)?;
    let place = site.inner.followers.clone().try_acquire_owned().map_err(|_| Refusal::overloaded())?;
    let responses = match follow(site, request, id).await {
        Ok(responses) => responses,
        Err(Ok(response)) => stream::once(async { response }).boxed(),
        Err(Err(refusal)) => return Err(refusal),
    };
    let next = responses.map(|response| {
        let body = String::from_utf8_lossy(&response.body).into_owned();
        Ok::<_, Infallible>(Event::default().event("next").data(body))
    });
    let complete = stream::once(async move {
        drop((place, following));
        // With no data at all a browser would not tell of it.
        Ok(Event::default().event("complete").data("{}"))
    });
    // A server that stops does not say that the operation is complete: the client follows it elsewhere. Nor is it for one
    // whose token has ended.
    let (stopping, denied) = (site.stopping(), authentication::denied(site.clone(), token, viewer));
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
