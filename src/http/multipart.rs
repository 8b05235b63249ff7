//! Subscriptions as `multipart/mixed` responses: Apollo's multipart subscription protocol 1.0.
//!
//! <https://www.apollographql.com/docs/graphos/routing/operations/subscriptions/multipart-protocol>
//!
//! Each response is a part with the JSON object `{"payload": …}`, and `{}` is a heartbeat. The encoder of async-graphql is
//! not used: it omits `payload`, which Apollo iOS and Kotlin require, and it writes the delimiter of a part only before
//! the next one, so clients would receive each event one event late. It also accepts only requests with a `boundary`
//! parameter, which the protocol does not require.
use std::{convert::Infallible, future::Future, pin::Pin, time::Duration};

use axum::{
    body::Body,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::{AppState, authentication, rejection::Rejection, subscription_slot::SubscriptionSlot};
use crate::{access::Viewer, error::Code, graphql::Responses};

/// Interval of heartbeats, as in Apollo Router.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(5);

const CONTENT_TYPE: &str = r#"multipart/mixed;boundary="graphql";subscriptionSpec="1.0""#;

/// The start of the body, up to the first delimiter.
const START: &str = "\r\n--graphql";

/// Completes the last delimiter, which ends the body.
const END: &str = "--\r\n";

/// Returns a response that streams the responses of a subscription.
pub(super) fn respond(
    state: &AppState,
    responses: Responses,
    viewer: Viewer,
    token: Option<String>,
    slot: SubscriptionSlot,
) -> Response {
    let mut heartbeat = interval(HEARTBEAT_INTERVAL);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let aborted = Box::pin(aborted(state.clone(), token, viewer));
    let parts = Parts { responses, aborted, heartbeat, _slot: slot };
    let parts = stream::unfold(Some(parts), |parts| async move { Some(parts?.next().await) });
    let body = stream::once(async { Bytes::from_static(START.as_bytes()) }).chain(parts).map(Ok::<_, Infallible>);
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], Body::from_stream(body)).into_response()
}

/// The parts of a response that are still to be sent.
struct Parts {
    responses: Responses,
    /// Completes with an error at shutdown or when the token is denied.
    aborted: Pin<Box<dyn Future<Output = Rejection> + Send>>,
    heartbeat: Interval,
    _slot: SubscriptionSlot,
}

impl Parts {
    /// Returns the next part, and `None` instead of the remaining parts after the last one.
    async fn next(mut self) -> (Bytes, Option<Self>) {
        tokio::select! {
            biased;
            rejection = &mut self.aborted => {
                let errors = String::from_utf8_lossy(&rejection.errors()).into_owned();
                (Bytes::from(part(&format!(r#"{{"payload":null,"errors":{errors}}}"#)) + END), None)
            }
            response = self.responses.next() => match response {
                Some(response) => {
                    let body = String::from_utf8_lossy(&response.body);
                    (Bytes::from(part(&format!(r#"{{"payload":{body}}}"#))), Some(self))
                }
                None => (Bytes::from_static(END.as_bytes()), None),
            },
            _ = self.heartbeat.tick() => (Bytes::from(part("{}")), Some(self)),
        }
    }
}

/// Encodes a part. It ends with the delimiter, so that the client knows that it is complete.
fn part(json: &str) -> String {
    format!("\r\nContent-Type: application/json\r\n\r\n{json}\r\n--graphql")
}

/// Completes when the subscription must end although it is not complete.
async fn aborted(state: AppState, token: Option<String>, viewer: Viewer) -> Rejection {
    let stopping = state.stopping();
    tokio::select! {
        () = stopping => {
            let message = "the server is shutting down: subscribe again";
            Rejection::new(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, message)
        }
        () = authentication::until_denied(state, token, viewer) => authentication::token_denied(),
    }
}
