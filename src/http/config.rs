//! Settings of the HTTP side.
use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::duration;

/// Where the server listens and what it accepts.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Address and port. Default 127.0.0.1:8080.
    pub bind: SocketAddr,
    /// Host names, with their ports where they have one, that requests may be addressed to beside the server's own. A
    /// server that listens on a loopback address refuses all others. Default none.
    pub allowed_hosts: Vec<String>,
    /// Bytes of a request's body. Default 1048576.
    pub body_bytes: usize,
    /// Bytes of a request's line and headers. Default 16384.
    pub header_bytes: usize,
    /// How long a client may take to send the headers, and how long a connection may be idle. Default 5 s.
    #[serde(with = "duration")]
    pub header_timeout: Duration,
    /// How long a client may take to send the body. Default 10 s.
    #[serde(with = "duration")]
    pub body_timeout: Duration,
    /// How long a request may take before it is answered TIMEOUT. Default 10 s.
    #[serde(with = "duration")]
    pub request_timeout: Duration,
    /// Connections that are open at once. Default 10000.
    pub connections: usize,
    /// Requests that are executed at once; more are answered OVERLOADED. Default 512.
    pub executing: usize,
    /// How long requests may go on after the signal to stop. Default 15 s.
    #[serde(with = "duration")]
    pub shutdown_grace: Duration,
    /// Sends the header Server-Timing. Default true.
    pub server_timing: bool,
    /// Sends `extensions.gatherum` on every response, not only where `X-Gatherum-Stats: 1` asks for it. Default false.
    pub report_always: bool,
    /// Serves GraphiQL to browsers. Default true.
    pub graphiql: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            bind: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            allowed_hosts: Vec::new(),
            body_bytes: 1_048_576,
            header_bytes: 16_384,
            header_timeout: Duration::from_secs(5),
            body_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(10),
            connections: 10_000,
            executing: 512,
            shutdown_grace: Duration::from_secs(15),
            server_timing: true,
            report_always: false,
            graphiql: true,
        }
    }
}
