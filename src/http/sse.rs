//! Server-Sent Events: the graphql-sse protocol in distinct connections mode.
//!
//! <https://github.com/graphql/graphql-over-http/blob/main/rfcs/GraphQLOverSSE.md>
//!
//! Each operation has its own HTTP response, which consists of `next` events and a final `complete` event. An operation
//! that GraphQL rejects because of its document is a `next` event with errors, as the protocol requires: `EventSource` does
//! not expose the body of a response with another status than 200, and graphql-sse repeats such a request. Requests that
//! are rejected for another reason have the status that they have with JSON.
use std::time::Duration;

use axum::{
    body::Body,
    http::header,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::stream;

use super::{negotiation::MediaType, streamed_response::StreamEncoding};

/// The encoding of a subscription.
///
/// `complete` has an empty `data` line: `EventSource` does not dispatch events without one, and urql would take anything
/// else for a response. At shutdown, or when the token is denied, the stream ends without `complete`, so that the client
/// subscribes again.
pub(super) const ENCODING: StreamEncoding = StreamEncoding {
    content_type: MediaType::EventStream.as_str(),
    start: "",
    before: "event: next\ndata: ",
    after: "\n\n",
    heartbeat: ":\n\n",
    heartbeat_interval: Duration::from_secs(15),
    end: "event: complete\ndata:\n\n",
    aborted: |_| String::new(),
};

/// Returns the response to a query or mutation.
pub(super) fn single(body: Bytes) -> Response {
    let mut chunks = ENCODING.encode(body);
    chunks.push(Bytes::from_static(ENCODING.end.as_bytes()));
    let length: usize = chunks.iter().map(Bytes::len).sum();
    let body = Body::from_stream(stream::iter(chunks.into_iter().map(Ok::<_, std::convert::Infallible>)));
    let headers =
        [(header::CONTENT_TYPE, ENCODING.content_type.to_owned()), (header::CONTENT_LENGTH, length.to_string())];
    (headers, body).into_response()
}
