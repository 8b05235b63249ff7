//! Settings of the HTTP server.
use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use documented::DocumentedFields;
use serde::{Deserialize, Serialize};

use super::{cors::Origin, origin::is_name_of_this_machine};
use crate::duration;

/// Address, limits and timeouts of the HTTP server.
#[derive(Clone, Debug, PartialEq, Eq, DocumentedFields, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Address and port to listen on. Default 127.0.0.1:8080.
    pub bind: SocketAddr,
    /// Allows listening on a non-loopback address, or serving a name in allowed_hosts that others can use, without any
    /// account, which gives everyone who can connect full read and write access. Default false.
    pub insecure_open: bool,
    /// Host names that requests may use, in addition to the server's own. A name without a port matches every port. A
    /// server on a loopback address rejects all other names; on another address it accepts all names unless this list
    /// has entries. Without accounts, only names of this machine are accepted (localhost, names below it, and loopback
    /// addresses), because a proxy could serve others by the name, unless insecure_open is set. Default empty.
    pub allowed_hosts: Vec<String>,
    /// Origins whose pages may use this server from a browser, such as `https://app.example`. Default empty.
    pub cors_origins: Vec<Origin>,
    /// Maximum size of a request body in bytes, also after decompression. Default 1048576.
    pub body_bytes: usize,
    /// Memory for request bodies of all running requests, in bytes. The first 16384 bytes of each body do not count.
    /// Further requests are rejected with OVERLOADED. Default 67108864.
    pub body_bytes_total: usize,
    /// Memory for responses that clients have not read yet, in bytes. The first 16384 bytes of each response do not
    /// count. Further queries are rejected with OVERLOADED; a single response may exceed the limit. The responses of one
    /// connection may take an eighth of it. Default 134217728.
    pub response_bytes_total: usize,
    /// Maximum size of the request line and headers in bytes, at least 8192. Default 16384.
    pub header_bytes: usize,
    /// Maximum number of request headers. Default 100.
    pub header_count: usize,
    /// Time limit for receiving the headers of the first request on a connection. Default 5 s.
    #[serde(with = "duration")]
    pub header_timeout: Duration,
    /// Time limit for receiving a request body. Default 10 s.
    #[serde(with = "duration")]
    pub body_timeout: Duration,
    /// Time limit for executing a request, which then fails with TIMEOUT. Default 10 s.
    #[serde(with = "duration")]
    pub request_timeout: Duration,
    /// Time after which a connection is closed if the client does not read. Default 30 s.
    #[serde(with = "duration")]
    pub write_timeout: Duration,
    /// Time after which a connection without a running request is closed. Choose more than the idle timeout of the load
    /// balancer, which is commonly 60 s. Default 75 s.
    #[serde(with = "duration")]
    pub idle_timeout: Duration,
    /// Maximum number of open connections, from 1 to 1000000. Further connections wait to be accepted. Default 10000.
    pub connections: usize,
    /// Maximum number of requests that are executed or wait for it, from 1 to 1000000. Further requests are rejected with
    /// OVERLOADED. How many of them are executed at once follows from their latencies. Default 512.
    pub concurrent_requests: usize,
    /// Time that a query may wait until it is executed; a mutation may wait three times as long. Requests that would
    /// probably wait longer are rejected with OVERLOADED at once. Default 700 ms.
    #[serde(with = "duration")]
    pub queue_timeout: Duration,
    /// Maximum number of subscription connections: WebSockets with a subscription, and event streams and multipart responses
    /// of subscriptions. Further ones are rejected with OVERLOADED. Default 1000.
    pub subscription_connections: usize,
    /// Maximum number of subscription connections per account, or per client address without a token. Further ones are
    /// rejected with LIMIT_EXCEEDED. Not applied without accounts. Default 100.
    pub subscription_connections_per_client: u32,
    /// Maximum number of concurrent operations on one WebSocket. Further ones are rejected with LIMIT_EXCEEDED. Default
    /// 100.
    pub operations_per_socket: usize,
    /// Sustained requests per second per account, or per client address without a token. Further requests are rejected
    /// with LIMIT_EXCEEDED and Retry-After. 0 disables the limit. Not applied without accounts. Default 100.
    pub rate_per_second: u32,
    /// Requests that a client may send in a burst above the sustained rate. Default 1000.
    pub rate_burst: u32,
    /// Time after the stop signal during which the server accepts connections while `/health/ready` returns 503. Counts
    /// towards `shutdown_grace`. Behind a load balancer, set it to the interval of its health checks. Default 1 s.
    #[serde(with = "duration")]
    pub shutdown_delay: Duration,
    /// Time limit for completing running requests after the stop signal. Default 15 s.
    #[serde(with = "duration")]
    pub shutdown_grace: Duration,
    /// Time for which caches may reuse the response to a query that was sent with GET, in whole seconds: shared caches if
    /// the request has no token, otherwise only the client. Writes become visible after this time. Default 0 s: responses
    /// are not stored.
    #[serde(with = "duration")]
    pub get_max_age: Duration,
    /// Sends the header Server-Timing. Default true.
    pub server_timing: bool,
    /// Sends `extensions.gatherum` with every response, not only if the request has `X-Gatherum-Stats: 1`. Default false.
    pub report_always: bool,
    /// Uses the statuses of the GraphQL over HTTP draft of April 2026: 422 for a well-formed request that cannot be
    /// executed, 294 for data with errors, regardless of the media type. Default false: 400 and 200.
    pub draft_status_codes: bool,
    /// Serves GraphiQL to browsers. Default true.
    pub graphiql: bool,
}

impl Config {
    /// The setting by which other machines can reach the server, as a clause of a message; `None` if only this machine can.
    pub fn exposure(&self) -> Option<String> {
        if !self.bind.ip().is_loopback() {
            return Some(format!("{} is not a loopback address", self.bind));
        }
        let name = self.allowed_hosts.iter().find(|name| !is_name_of_this_machine(name))?;
        Some(format!("`{name}` in http.allowed_hosts is a name by which other machines can reach the server"))
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            bind: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            insecure_open: false,
            allowed_hosts: Vec::new(),
            cors_origins: Vec::new(),
            body_bytes: 1_048_576,
            body_bytes_total: 67_108_864,
            response_bytes_total: 134_217_728,
            header_bytes: 16_384,
            header_count: 100,
            header_timeout: Duration::from_secs(5),
            body_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
            connections: 10_000,
            concurrent_requests: 512,
            queue_timeout: Duration::from_millis(700),
            subscription_connections: 1_000,
            subscription_connections_per_client: 100,
            operations_per_socket: 100,
            rate_per_second: 100,
            rate_burst: 1_000,
            shutdown_delay: Duration::from_secs(1),
            shutdown_grace: Duration::from_secs(15),
            get_max_age: Duration::ZERO,
            server_timing: true,
            report_always: false,
            draft_status_codes: false,
            graphiql: true,
        }
    }
}
