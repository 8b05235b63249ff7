//! Checks of the machine: clock, open files and port.
use std::{
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{super::system, Finding};
use crate::config::Config;

/// 2026-01-01: an earlier time cannot be correct, because this program did not exist.
const CLOCK_MIN_SECONDS: u64 = 1_767_225_600;

/// Open files that are neither connections of clients nor of the database, such as the log.
const OTHER_FILES: u64 = 64;

/// Open files per SQLite connection: database, write-ahead log and its index.
const FILES_PER_CONNECTION: u64 = 3;

/// Time limit for the program that occupies the port to answer a health request.
const IDENTIFY_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) async fn check(config: &Config) -> Vec<Finding> {
    vec![clock(), open_files(config), port(config).await]
}

fn clock() -> Finding {
    let is_sane = SystemTime::now().duration_since(UNIX_EPOCH).is_ok_and(|since| since.as_secs() >= CLOCK_MIN_SECONDS);
    match is_sane {
        true => Finding::ok("clock", "plausible"),
        false => Finding::problem("clock", "before 2026", "set the clock: ids and timestamps depend on it"),
    }
}

fn open_files(config: &Config) -> Finding {
    let database = u64::from(config.database.pool_size) + u64::from(config.database.max_overflow);
    let needed = config.http.connections as u64 + database * FILES_PER_CONNECTION + OTHER_FILES;
    match system::open_files_max() {
        Some(allowed) if allowed < needed => Finding::warning(
            "open files",
            format!("limit {allowed}, but {} connections may need {needed}", config.http.connections),
            format!("raise the limit (ulimit -Hn, LimitNOFILE) or lower http.connections by {}", needed - allowed),
        ),
        Some(allowed) => Finding::ok("open files", format!("limit {allowed}, at most {needed} needed")),
        None => Finding::ok("open files", "unlimited"),
    }
}

async fn port(config: &Config) -> Finding {
    let bind = config.http.bind;
    // Binds like the server, with SO_REUSEADDR: the address of a server that has just stopped counts as free.
    match std::net::TcpListener::bind(bind) {
        Ok(_) => Finding::ok("port", format!("{bind} is free")),
        Err(error) if error.kind() == ErrorKind::AddrInUse => match is_served_by_gatherum(config).await {
            true => Finding::ok("port", format!("{bind} is served by gatherum")),
            false => Finding::problem(
                "port",
                format!("{bind} is used by another program"),
                "stop it or choose another port with GATHERUM_BIND",
            ),
        },
        Err(error) => Finding::problem(
            "port",
            format!("cannot listen on {bind}: {error}"),
            "set GATHERUM_BIND to an address of this machine and a port of at least 1024",
        ),
    }
}

async fn is_served_by_gatherum(config: &Config) -> bool {
    let bind = config.http.bind;
    let ip = match bind.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let address = SocketAddr::new(ip, bind.port());
    let host = config.http.allowed_hosts.first().cloned().unwrap_or_else(|| address.to_string());
    let request = async {
        let mut stream = TcpStream::connect(address).await?;
        let text = format!("GET /health/live HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(text.as_bytes()).await?;
        let mut response = String::new();
        stream.take(4_096).read_to_string(&mut response).await?;
        std::io::Result::Ok(response.contains("{\"status\":\"live\"}"))
    };
    matches!(tokio::time::timeout(IDENTIFY_TIMEOUT, request).await, Ok(Ok(true)))
}
