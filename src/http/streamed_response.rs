//! HTTP responses that stream the responses to a subscription, in the encoding of `sse` or `multipart`.
use std::{convert::Infallible, pin::Pin, time::Duration};

use axum::{
    body::Body,
    http::{HeaderName, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::{rejection::Rejection, response_body::UNCOUNTED_BYTES};
use crate::graphql::Responses;

/// Makes nginx forward each event at once.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// How a stream of responses is encoded. Each text is sent as it is.
pub(super) struct StreamEncoding {
    pub(super) content_type: &'static str,
    /// The start of the body.
    pub(super) start: &'static str,
    /// Precedes each response.
    pub(super) before: &'static str,
    /// Follows each response.
    pub(super) after: &'static str,
    /// Keeps idle connections open.
    pub(super) heartbeat: &'static str,
    pub(super) heartbeat_interval: Duration,
    /// Follows the last response.
    pub(super) end: &'static str,
    /// The end of a stream that the server aborts.
    pub(super) aborted: fn(&Rejection) -> String,
}

/// Marks a response whose events would be delayed by compression.
#[derive(Clone, Copy)]
pub(super) struct Streamed;

/// Completes with the reason when the server aborts the stream.
pub(super) type Aborted = Pin<Box<dyn Future<Output = Rejection> + Send>>;

/// Returns a response that streams `responses`.
pub(super) fn respond(encoding: &'static StreamEncoding, responses: Responses, aborted: Aborted) -> Response {
    let mut heartbeat = interval_at(Instant::now() + encoding.heartbeat_interval, encoding.heartbeat_interval);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let running = RunningStream { encoding, responses, aborted, heartbeat };
    let chunks = stream::unfold(Some(running), |running| async move { Some(running?.next().await) });
    let start = stream::once(async { vec![Bytes::from_static(encoding.start.as_bytes())] });
    let chunks = start.chain(chunks).flat_map(stream::iter).filter(|chunk| std::future::ready(!chunk.is_empty()));
    let headers = [(header::CONTENT_TYPE, encoding.content_type), (ACCEL_BUFFERING, "no")];
    let mut response = (headers, Body::from_stream(chunks.map(Ok::<_, Infallible>))).into_response();
    response.extensions_mut().insert(Streamed);
    response
}

/// A stream that has not ended.
struct RunningStream {
    encoding: &'static StreamEncoding,
    responses: Responses,
    aborted: Aborted,
    heartbeat: Interval,
}

impl RunningStream {
    /// Waits for the next chunks; the second value is `None` after the last ones.
    async fn next(mut self) -> (Vec<Bytes>, Option<Self>) {
        let encoding = self.encoding;
        tokio::select! {
            biased;
            rejection = &mut self.aborted => (vec![Bytes::from((encoding.aborted)(&rejection))], None),
            response = self.responses.next() => match response {
                Some(response) => {
                    self.heartbeat.reset();
                    (encoding.encode(response.body), Some(self))
                }
                None => (vec![Bytes::from_static(encoding.end.as_bytes())], None),
            },
            _ = self.heartbeat.tick() => (vec![Bytes::from_static(encoding.heartbeat.as_bytes())], Some(self)),
        }
    }
}

impl StreamEncoding {
    /// Encodes one response. A large body is not copied, because it counts towards the memory budget until it is written.
    pub(super) fn encode(&self, body: Bytes) -> Vec<Bytes> {
        let body = single_line(body);
        match body.len() <= UNCOUNTED_BYTES {
            true => vec![[self.before.as_bytes(), &body, self.after.as_bytes()].concat().into()],
            false => vec![Bytes::from_static(self.before.as_bytes()), body, Bytes::from_static(self.after.as_bytes())],
        }
    }
}

/// Replaces line breaks, which JSON has only between tokens, because they would end a line of an event stream.
fn single_line(body: Bytes) -> Bytes {
    let is_break = |byte: &u8| matches!(byte, b'\n' | b'\r');
    match body.iter().any(is_break) {
        false => body,
        true => body.iter().map(|byte| if is_break(byte) { b' ' } else { *byte }).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_one_line() {
        for (body, expected) in [("{\"a\":1}", "{\"a\":1}"), ("{\r\n\"a\":\n1}", "{  \"a\": 1}")] {
            assert_eq!(single_line(Bytes::from(body)), expected);
        }
    }
}
