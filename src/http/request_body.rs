//! Request bodies, with limits on size, time and total memory.
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    body::{Body, HttpBody},
    extract::Request,
    http::{HeaderMap, StatusCode, header},
};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};
use tokio::{
    runtime::Handle,
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

use super::{
    content_coding::{ContentCoding, DecodeError},
    rejection::Rejection,
};
use crate::error::Code;

/// Bytes of each body that do not count towards the shared budget, so that large bodies never block requests of ordinary
/// size.
const UNCOUNTED_BYTES: usize = 16_384;

/// Maximum number of bytes to discard after the response.
const DRAIN_BYTES_MAX: usize = 32 << 20;

/// Maximum time to discard bytes after the response.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// A complete request body, which counts towards the shared budget until dropped.
pub(super) struct ReceivedBody<'a> {
    pub(super) bytes: Bytes,
    permit: Option<SemaphorePermit<'a>>,
}

/// Receives a body of at most `max` bytes within `limit`, and takes one permit of `budget` per byte above
/// [`UNCOUNTED_BYTES`]. A body with a content coding is decoded, and neither form may exceed `max`.
///
/// # Errors
/// 413 if the body is larger, 408 if it takes longer, 503 if the budget is exhausted, 400 if the client ends early or the
/// body is not in its content coding, 415 if the coding is not supported.
pub(super) async fn receive<'a>(
    headers: &HeaderMap,
    body: Body,
    max: usize,
    limit: Duration,
    budget: &'a Semaphore,
) -> Result<ReceivedBody<'a>, Rejection> {
    let coding = ContentCoding::of(headers)?;
    if usize::try_from(body.size_hint().lower()).is_ok_and(|announced| announced > max) {
        return Err(too_large(max));
    }
    let received = timeout(limit, gather(body, max, budget)).await.map_err(|_| {
        let message = "the request body was not received in time";
        Rejection::new(StatusCode::REQUEST_TIMEOUT, Code::Timeout, message)
    })??;
    match coding {
        Some(coding) => decode(coding, received, max, budget).await,
        None => Ok(received),
    }
}

async fn decode<'a>(
    coding: ContentCoding,
    coded: ReceivedBody<'a>,
    max: usize,
    budget: &'a Semaphore,
) -> Result<ReceivedBody<'a>, Rejection> {
    let bytes = coding.decode(&coded.bytes, max).await.map_err(|error| match error {
        DecodeError::TooLarge => too_large(max),
        DecodeError::Malformed => {
            Rejection::bad_request(format!("the request body is not one valid {} stream", coding.name()))
        }
    })?;
    let mut permit = coded.permit;
    reserve(&mut permit, bytes.len(), max, budget)?;
    Ok(ReceivedBody { bytes, permit })
}

async fn gather(mut body: Body, max: usize, budget: &Semaphore) -> Result<ReceivedBody<'_>, Rejection> {
    let mut bytes = BytesMut::new();
    let mut permit = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Rejection::bad_request("the request body ended early"))?;
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len() + data.len() > max {
            return Err(too_large(max));
        }
        bytes.extend_from_slice(&data);
        reserve(&mut permit, bytes.len(), max, budget)?;
    }
    Ok(ReceivedBody { bytes: bytes.freeze(), permit })
}

/// Extends `permit` to that of a body of `size` bytes.
fn reserve<'a>(
    permit: &mut Option<SemaphorePermit<'a>>,
    size: usize,
    max: usize,
    budget: &'a Semaphore,
) -> Result<(), Rejection> {
    let held = permit.as_ref().map_or(0, SemaphorePermit::num_permits);
    let missing = size.saturating_sub(UNCOUNTED_BYTES).saturating_sub(held);
    if missing == 0 {
        return Ok(());
    }
    let missing = u32::try_from(missing).map_err(|_| too_large(max))?;
    let more = budget.try_acquire_many(missing).map_err(|_| Rejection::overloaded())?;
    match permit {
        Some(permit) => permit.merge(more),
        None => *permit = Some(more),
    }
    Ok(())
}

fn too_large(max: usize) -> Rejection {
    let message = format!("the request body exceeds {max} bytes");
    Rejection::new(StatusCode::PAYLOAD_TOO_LARGE, Code::LimitExceeded, message)
}

/// Wraps the body of `request` so that unread bytes are discarded for a while after the response.
///
/// A client that is still writing when the connection closes may lose the response (RFC 9112, section 9.6). A client that
/// sent `Expect: 100-continue` does not write before it has the response.
pub(super) fn drain_on_drop(request: Request) -> Request {
    match request.body().is_end_stream() || request.headers().contains_key(header::EXPECT) {
        true => request,
        false => request.map(|body| Body::new(DrainOnDrop(Some(body)))),
    }
}

/// A body that discards its remaining bytes in a task when dropped before its end.
struct DrainOnDrop(Option<Body>);

impl HttpBody for DrainOnDrop {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let Some(body) = &mut self.0 else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(body).poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) {
            self.0 = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl Drop for DrainOnDrop {
    fn drop(&mut self) {
        if let Some(body) = self.0.take().filter(|body| !body.is_end_stream())
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(timeout(DRAIN_TIMEOUT, discard(body)));
        }
    }
}

async fn discard(mut body: Body) {
    let mut discarded = 0;
    while discarded < DRAIN_BYTES_MAX
        && let Some(Ok(frame)) = body.frame().await
    {
        discarded += frame.data_ref().map_or(0, Bytes::len);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt, stream};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A body in chunks, without a known length.
    fn pieces(count: usize, size: usize) -> Body {
        Body::from_stream(stream::iter((0..count).map(move |_| Ok::<_, std::io::Error>(vec![b'x'; size]))))
    }

    #[tokio::test]
    async fn a_body_of_the_maximum_size_is_received() {
        let budget = Semaphore::new(0);

        let received = receive(&HeaderMap::new(), pieces(10, 10), 100, SECOND, &budget).await.expect("a body");

        assert_eq!(received.bytes.len(), 100);
    }

    #[tokio::test]
    async fn a_body_that_is_too_large_is_rejected_with_and_without_a_known_length() {
        for body in [pieces(11, 10), Body::from(vec![0; 101])] {
            let rejection =
                receive(&HeaderMap::new(), body, 100, SECOND, &Semaphore::new(0)).await.err().expect("a rejection");

            assert_eq!(rejection.status(), StatusCode::PAYLOAD_TOO_LARGE);
            assert_eq!(rejection.code(), Code::LimitExceeded);
        }
    }

    #[tokio::test]
    async fn a_body_that_ends_early_is_rejected() {
        let broken = stream::iter([Ok(vec![b'{']), Err(std::io::Error::other("gone"))]);

        let rejection =
            receive(&HeaderMap::new(), Body::from_stream(broken), 100, SECOND, &Semaphore::new(0)).await.err();

        assert_eq!(rejection.expect("a rejection").status(), StatusCode::BAD_REQUEST);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_ends_times_out() {
        let endless = pieces(1, 1).into_data_stream().chain(stream::pending());

        let rejection =
            receive(&HeaderMap::new(), Body::from_stream(endless), 100, SECOND, &Semaphore::new(0)).await.err();

        assert_eq!(rejection.expect("a rejection").status(), StatusCode::REQUEST_TIMEOUT);
    }

    #[tokio::test]
    async fn large_bodies_share_a_budget_and_small_bodies_need_none() {
        let budget = Semaphore::new(10_000);
        let large = || pieces(2, UNCOUNTED_BYTES / 2 + 3_000);

        let first = receive(&HeaderMap::new(), large(), 100_000, SECOND, &budget).await.expect("room");
        let second = receive(&HeaderMap::new(), large(), 100_000, SECOND, &budget).await.err().expect("no room");
        let small = receive(&HeaderMap::new(), pieces(1, UNCOUNTED_BYTES), 100_000, SECOND, &budget).await;

        assert_eq!(first.bytes.len(), UNCOUNTED_BYTES + 6_000);
        assert_eq!(second.code(), Code::Overloaded);
        assert!(small.is_ok());
        drop(first);
        assert_eq!(budget.available_permits(), 10_000);
        assert!(receive(&HeaderMap::new(), large(), 100_000, SECOND, &budget).await.is_ok());
    }
}
