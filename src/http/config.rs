//! Settings of the HTTP side.
use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use documented::DocumentedFields;
use serde::{Deserialize, Serialize};

use super::cors::Origin;
use crate::duration;

/// Where the server listens and what it accepts.
#[derive(Clone, Debug, PartialEq, Eq, DocumentedFields, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Address and port. Default 127.0.0.1:8080.
    pub bind: SocketAddr,
    /// Listens on an address that is not loopback although there is no account, so that everyone who reaches it may read
    /// and write everything. Default false.
    pub insecure_open: bool,
    /// Host names that requests may be addressed to beside the server's own; one without a port stands for all ports. A
    /// server that listens on a loopback address refuses all others, any other server does so once a name is given
    /// here. Default none.
    pub allowed_hosts: Vec<String>,
    /// Origins of sites whose pages may use this server from a browser, such as `https://app.example`. Default none.
    pub cors_origins: Vec<Origin>,
    /// Bytes of a request's body. Default 1048576.
    pub body_bytes: usize,
    /// Bytes of all bodies that are being read or answered, of each its part above 16384; more are answered OVERLOADED.
    /// Default 67108864.
    pub body_bytes_total: usize,
    /// Bytes of all answers that clients have not read yet, of each its part above 16384; more are answered OVERLOADED,
    /// but for an answer that is larger than this by itself. Default 268435456.
    pub answer_bytes_total: usize,
    /// Bytes of a request's line and headers. Default 16384.
    pub header_bytes: usize,
    /// Headers of a request. Default 100.
    pub header_count: usize,
    /// How long a new connection may take to send the headers of its first request. Default 5 s.
    #[serde(with = "duration")]
    pub header_timeout: Duration,
    /// How long a client may take to send the body. Default 10 s.
    #[serde(with = "duration")]
    pub body_timeout: Duration,
    /// How long a request may take before it is answered TIMEOUT. Default 10 s.
    #[serde(with = "duration")]
    pub request_timeout: Duration,
    /// How long a client may leave a response unread. Default 30 s.
    #[serde(with = "duration")]
    pub write_timeout: Duration,
    /// How long a connection may wait for its next request. Default 75 s, above the minute of common load balancers.
    #[serde(with = "duration")]
    pub idle_timeout: Duration,
    /// Connections that are open at once; more wait to be accepted. Default 10000.
    pub connections: usize,
    /// Requests that are executed at once; more are answered OVERLOADED. Default 512.
    pub executing: usize,
    /// Clients that follow at once, over a WebSocket or by Server-Sent Events; more are answered OVERLOADED. Default 1000.
    pub followers: usize,
    /// Of them, those of one account, or of one address without a token; more are answered LIMIT_EXCEEDED. The user of a
    /// server without accounts may have all. Default 100.
    pub followers_each: u32,
    /// Operations of one WebSocket at once; more are refused with LIMIT_EXCEEDED. Default 100.
    pub socket_operations: usize,
    /// Requests of one account a second, or of one address without a token; more are answered LIMIT_EXCEEDED with
    /// Retry-After. 0 is no limit, and the user of a server without accounts has none. Default 100.
    pub rate_per_second: u32,
    /// Requests that one who did not ask for a while may send at once. Default 1000.
    pub rate_burst: u32,
    /// How long the server goes on accepting after the signal to stop, while `/health/ready` says that it is not ready.
    /// Part of `shutdown_grace`. Default 1 s; behind a load balancer the interval at which it asks.
    #[serde(with = "duration")]
    pub shutdown_delay: Duration,
    /// How long requests may go on after the signal to stop. Default 15 s.
    #[serde(with = "duration")]
    pub shutdown_grace: Duration,
    /// Sends the header Server-Timing. Default true.
    pub server_timing: bool,
    /// Sends `extensions.gatherum` on every response, not only where `X-Gatherum-Stats: 1` asks for it. Default false.
    pub report_always: bool,
    /// Answers with the statuses of the GraphQL over HTTP draft of April 2026: 422 for what is well-formed and cannot be
    /// executed, 294 for data with errors, both also where JSON is accepted. Default false: 400 and 200.
    pub draft_status_codes: bool,
    /// Serves GraphiQL to browsers. Default true.
    pub graphiql: bool,
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
            answer_bytes_total: 268_435_456,
            header_bytes: 16_384,
            header_count: 100,
            header_timeout: Duration::from_secs(5),
            body_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
            connections: 10_000,
            executing: 512,
            followers: 1_000,
            followers_each: 100,
            socket_operations: 100,
            rate_per_second: 100,
            rate_burst: 1_000,
            shutdown_delay: Duration::from_secs(1),
            shutdown_grace: Duration::from_secs(15),
            server_timing: true,
            report_always: false,
            draft_status_codes: false,
            graphiql: true,
        }
    }
}
