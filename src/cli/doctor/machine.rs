//! Clock, open files, and the port.
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

/// A time before which no machine with this program can be: 2026-01-01.
const CLOCK_MIN_SECONDS: u64 = 1_767_225_600;

/// Files that a server has open beside connections of clients and of the database: itself, its log, a few for SQLite.
const FILES_BESIDE: u64 = 64;

/// Files of one SQLite connection: database, write-ahead log and its index.
const FILES_PER_CONNECTION: u64 = 3;

/// How long whoever listens on our port may take to say who it is.
const WHO_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) async fn check(config: &Config) -> Vec<Finding> {
    vec![clock(), open_files(config), port(config).await]
}

fn clock() -> Finding {
    let is_sane = SystemTime::now().duration_since(UNIX_EPOCH).is_ok_and(|since| since.as_secs() >= CLOCK_MIN_SECONDS);
    match is_sane {
        true => Finding::ok("clock", "it is set"),
        false => {
            Finding::problem("clock", "it is before 2026", "set it: ids and times of what is written depend on it")
        }
    }
}

fn open_files(config: &Config) -> Finding {
    let database = u64::from(config.database.pool_size) + u64::from(config.database.max_overflow);
    let needed = config.http.connections as u64 + database * FILES_PER_CONNECTION + FILES_BESIDE;
    match system::open_files_max() {
        Some(allowed) if allowed < needed => Finding::warning(
            "open files",
            format!("{allowed} are allowed, {needed} may be needed for {} connections", config.http.connections),
            format!("raise the limit (ulimit -Hn, LimitNOFILE), or lower http.connections by {}", needed - allowed),
        ),
        Some(allowed) => Finding::ok("open files", format!("{allowed} are allowed, {needed} are needed at most")),
        None => Finding::ok("open files", "there is no limit"),
    }
}

async fn port(config: &Config) -> Finding {
    let bind = config.http.bind;
    // As the server does it: an address that a stopped server has just left is free.
    match std::net::TcpListener::bind(bind) {
        Ok(_) => Finding::ok("port", format!("{bind} is free")),
        Err(error) if error.kind() == ErrorKind::AddrInUse => match is_served_by_gatherum(config).await {
            true => Finding::ok("port", format!("a gatherum serves {bind}")),
            false => Finding::problem(
                "port",
                format!("another program listens on {bind}"),
                "stop it, or choose another port with GATHERUM_BIND",
            ),
        },
        Err(error) => Finding::problem(
            "port",
            format!("cannot listen on {bind}: {error}"),
            "choose an address of this machine and a port from 1024 on with GATHERUM_BIND",
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
    let asked = async {
        let mut stream = TcpStream::connect(address).await?;
        let request = format!("GET /health/live HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.take(4_096).read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer.contains("{\"status\":\"live\"}"))
    };
    matches!(tokio::time::timeout(WHO_TIMEOUT, asked).await, Ok(Ok(true)))
}
