//! Subscriptions as `multipart/mixed` responses: Apollo's multipart subscription protocol 1.0.
//!
//! <https://www.apollographql.com/docs/graphos/routing/operations/subscriptions/multipart-protocol>
//!
//! Each response is a part with the JSON object `{"payload": …}`, and `{}` is a heartbeat. The encoder of async-graphql is
//! not used: it omits `payload`, which Apollo iOS and Kotlin require, and it writes the delimiter of a part only before
//! the next one, so clients would receive each event one event late. It also accepts only requests with a `boundary`
//! parameter, which the protocol does not require.
use std::time::Duration;

use super::{rejection::Rejection, streamed_response::StreamEncoding};

/// A heartbeat, which ends with the delimiter of the next part, so that the client knows that it is complete.
const HEARTBEAT: &str = "\r\nContent-Type: application/json\r\n\r\n{}\r\n--graphql";

/// The encoding of a subscription. It starts with a heartbeat; their interval is that of Apollo Router.
pub(super) const ENCODING: StreamEncoding = StreamEncoding {
    // Without quotes, which are optional, and which gql does not accept.
    content_type: "multipart/mixed;boundary=graphql;subscriptionSpec=1.0",
    start: "\r\n--graphql\r\nContent-Type: application/json\r\n\r\n{}\r\n--graphql",
    before: "\r\nContent-Type: application/json\r\n\r\n{\"payload\":",
    after: "}\r\n--graphql",
    heartbeat: HEARTBEAT,
    heartbeat_interval: Duration::from_secs(5),
    end: "--\r\n",
    aborted,
};

/// The last part of a subscription that must end although it is not complete.
fn aborted(rejection: &Rejection) -> String {
    let errors = String::from_utf8_lossy(&rejection.errors()).into_owned();
    let json = format!(r#"{{"payload":null,"errors":{errors}}}"#);
    format!("\r\nContent-Type: application/json\r\n\r\n{json}\r\n--graphql{}", ENCODING.end)
}
