//! Subscriptions over Server-Sent Events: the graphql-sse protocol in distinct connections mode.
//!
//! Each operation has its own HTTP response, which consists of `next` events and a final `complete` event. An operation
//! that GraphQL rejects is a `next` event with errors, as the protocol requires: `EventSource` does not expose the body of
//! a response with another status.
use std::{convert::Infallible, time::Duration};

use axum::response::{
    IntoResponse, Response,
    sse::{Event, KeepAlive, Sse},
};
use futures_util::{StreamExt, stream};

use super::{AppState, authentication, subscription_slot::SubscriptionSlot};
use crate::{access::Viewer, graphql::Responses};

/// Interval of the comments that keep idle connections open.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// Returns a response that streams the responses of an operation.
pub(super) fn respond(
    state: &AppState,
    responses: Responses,
    viewer: Viewer,
    token: Option<String>,
    slot: SubscriptionSlot,
) -> Response {
    let next = responses.map(|response| {
        let body = String::from_utf8_lossy(&response.body).into_owned();
        Ok::<_, Infallible>(Event::default().event("next").data(body))
    });
    let complete = stream::once(async move {
        drop(slot);
        // `EventSource` does not dispatch events without data.
        Ok(Event::default().event("complete").data("{}"))
    });
    // At shutdown, or when the token is denied, the stream ends without `complete`, so that the client subscribes again.
    let (stopping, denied) = (state.stopping(), authentication::until_denied(state.clone(), token, viewer));
    let ended = async {
        tokio::select! {
            () = stopping => {}
            () = denied => {}
        }
    };
    let events = next.chain(complete).take_until(Box::pin(ended));
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE_INTERVAL)).into_response()
}
