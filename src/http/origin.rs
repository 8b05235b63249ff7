//! Checks of the requested host and of the origin of browser requests.
//!
//! A server on a loopback address needs no credentials, so a page must not reach it by resolving its own name to that
//! address (DNS rebinding) or by making the browser send a request to it (cross-site request forgery).
use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, HeaderName, Method, StatusCode, Version, header, request::Parts, uri::Authority};

use super::{Config, cors::Origin, header_text, rejection::Rejection};
use crate::error::Code;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// Paths that reveal no data and that orchestrators request by IP address.
const HEALTH_PROBES: [&str; 2] = ["/health/live", "/health/ready"];

/// Whether a load balancer asks for the health of the server.
pub(super) fn is_health_probe(parts: &Parts) -> bool {
    HEALTH_PROBES.contains(&parts.uri.path())
}

/// Rejects a request for an unknown host, and a cross-origin request unless its origin is allowed.
///
/// # Errors
/// 400 for an invalid `Host` header, 421 for an unknown host, 403 for a cross-origin request.
pub(super) fn check(config: &Config, parts: &Parts) -> Result<(), Rejection> {
    if is_health_probe(parts) {
        return Ok(());
    }
    let rules =
        HostRules { bind: config.bind, allowed_hosts: &config.allowed_hosts, cors_origins: &config.cors_origins };
    let host = requested_host(parts)?;
    if !rules.allow_host(&host) {
        let message = "the requested host name is unknown: add it to http.allowed_hosts; the server then needs an account \
                       (`gatherum user add`), because others may reach it by that name";
        return Err(Rejection::new(StatusCode::MISDIRECTED_REQUEST, Code::BadRequest, message));
    }
    if is_cross_origin(&parts.headers, &host, &rules) && !is_top_level_navigation(parts) {
        let message = "cross-origin requests are not allowed: add the origin to http.cors_origins";
        return Err(Rejection::new(StatusCode::FORBIDDEN, Code::Forbidden, message));
    }
    Ok(())
}

/// Returns the host of the URI, or that of the single `Host` header (RFC 9112, section 3.2).
fn requested_host(parts: &Parts) -> Result<Authority, Rejection> {
    if let Some(authority) = parts.uri.authority() {
        return Ok(authority.clone());
    }
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().ok().and_then(|host| host.parse().ok()),
        (None, _) if parts.version == Version::HTTP_10 => None,
        _ => return Err(Rejection::bad_request("the request must have exactly one Host header")),
    };
    host.ok_or_else(|| Rejection::bad_request("the Host header is invalid"))
}

/// The settings that determine which hosts and origins are accepted.
struct HostRules<'a> {
    bind: SocketAddr,
    allowed_hosts: &'a [String],
    cors_origins: &'a [Origin],
}

impl HostRules<'_> {
    /// Whether the server serves `host`. Loopback names match with any port, because ports are forwarded and no page can
    /// claim such a name.
    fn allow_host(&self, host: &Authority) -> bool {
        let is_allowed = self.allowed_hosts.iter().any(|allowed| match allowed.rsplit_once(':') {
            Some((_, port)) if is_port(port) => allowed.eq_ignore_ascii_case(host.as_str()),
            _ => allowed.eq_ignore_ascii_case(host.host()),
        });
        match self.bind.ip().is_loopback() {
            true => is_allowed || is_loopback(host),
            false => is_allowed || self.allowed_hosts.is_empty(),
        }
    }

    fn allow_authority(&self, authority: &str) -> bool {
        self.allowed_hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(authority))
    }
}

fn is_port(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_loopback(host: &Authority) -> bool {
    // Brackets enclose an IPv6 address. A `Host` with user information is never valid.
    let name = host.host().trim_start_matches('[').trim_end_matches(']');
    let is_loopback = name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    (is_loopback || name.eq_ignore_ascii_case("localhost")) && !host.as_str().contains('@')
}

/// Whether only this machine can reach a server by an allowed host: a loopback address, `localhost`, or a name below it
/// (RFC 6761, section 6.3). Names of private networks, such as `gatherum.local`, are names for other machines.
pub(super) fn is_name_of_this_machine(allowed: &str) -> bool {
    let Ok(host) = allowed.parse::<Authority>() else { return false };
    let name = host.host().to_ascii_lowercase();
    let name = name.strip_suffix('.').unwrap_or(&name);
    is_loopback(&host) || !host.as_str().contains('@') && (name == "localhost" || name.ends_with(".localhost"))
}

/// Whether a page of another origin made a browser send the request. Other clients send none of these headers. All ports
/// of localhost are the same *site* for a browser, so only the same *origin* is accepted.
fn is_cross_origin(headers: &HeaderMap, host: &Authority, rules: &HostRules) -> bool {
    let is_own = |origin: &str| {
        let authority = origin.split_once("://").map_or("", |(_, authority)| authority);
        let is_allowed = rules.cors_origins.iter().any(|allowed| allowed.as_str() == origin);
        authority.eq_ignore_ascii_case(host.as_str()) || rules.allow_authority(authority) || is_allowed
    };
    match headers.get(header::ORIGIN) {
        Some(origin) => !origin.to_str().is_ok_and(is_own),
        None => !matches!(header_text(headers, SEC_FETCH_SITE), None | Some("same-origin" | "none")),
    }
}

/// Whether the user followed a link: the browser shows the response, and no page can read it.
fn is_top_level_navigation(parts: &Parts) -> bool {
    parts.method == Method::GET
        && !parts.headers.contains_key(header::ORIGIN)
        && header_text(&parts.headers, SEC_FETCH_MODE) == Some("navigate")
        && header_text(&parts.headers, SEC_FETCH_DEST) == Some("document")
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn config(bind: &str, allowed: &[&str]) -> Config {
        Config {
            bind: bind.parse().expect("an address"),
            allowed_hosts: allowed.iter().map(ToString::to_string).collect(),
            ..Config::default()
        }
    }

    fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> Parts {
        let request = Request::builder().method(method).uri(path);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        request.body(()).expect("a request").into_parts().0
    }

    fn status(config: &Config, parts: &Parts) -> u16 {
        check(config, parts).map_or_else(|rejection| rejection.status().as_u16(), |()| 200)
    }

    #[test]
    fn a_server_on_loopback_serves_loopback_names_and_allowed_hosts() {
        let config = config("127.0.0.1:8080", &["catalogue.example", "other.example:81"]);
        let cases = [
            ("localhost:8080", 200),
            ("LocalHost", 200),
            ("127.0.0.1:8080", 200),
            ("[::1]:8080", 200),
            ("catalogue.example", 200),
            ("Catalogue.example:443", 200),
            ("other.example:81", 200),
            ("other.example", 421),
            ("evil.example", 421),
            ("localhost.evil.example:8080", 421),
            ("127.0.0.1.evil.example", 421),
            ("192.168.0.1:8080", 421),
            ("0.0.0.0:8080", 421),
            ("x@localhost", 421),
            ("", 400),
            ("a b", 400),
        ];
        for (host, expected) in cases {
            let parts = request("POST", "/graphql", &[("host", host)]);

            assert_eq!(status(&config, &parts), expected, "{host}");
        }
    }

    #[test]
    fn a_server_on_another_address_serves_all_hosts_unless_some_are_configured() {
        let open = config("0.0.0.0:8080", &[]);
        let named = config("0.0.0.0:8080", &["catalogue.example"]);
        for (host, path, [expected_open, expected_named]) in [
            ("catalogue.example", "/graphql", [200, 200]),
            ("evil.example", "/graphql", [200, 421]),
            ("localhost:8080", "/graphql", [200, 421]),
            ("10.0.0.7:8080", "/health/ready", [200, 200]),
            ("10.0.0.7:8080", "/health/database", [200, 421]),
        ] {
            let parts = request("GET", path, &[("host", host)]);

            assert_eq!(status(&open, &parts), expected_open, "{host} {path}");
            assert_eq!(status(&named, &parts), expected_named, "{host} {path}");
        }
    }

    #[test]
    fn a_name_for_other_machines_is_exposed() {
        for (name, is_own) in [
            ("localhost", true),
            ("LOCALHOST:8080", true),
            ("localhost.", true),
            ("app.localhost", true),
            ("127.0.0.1", true),
            ("127.8.9.1:81", true),
            ("[::1]:8080", true),
            ("catalogue.example", false),
            ("localhost.example", false),
            ("notlocalhost", false),
            ("gatherum.local", false),
            ("192.168.1.2", false),
            ("0.0.0.0", false),
            ("[2001:db8::1]", false),
            ("x@localhost", false),
            ("", false),
        ] {
            let config = config("127.0.0.1:8080", &["localhost", name]);

            assert_eq!(config.exposure().is_none(), is_own, "{name}");
        }
        assert!(config("0.0.0.0:8080", &[]).exposure().is_some());
        assert!(config("[::1]:8080", &[]).exposure().is_none());
    }

    #[test]
    fn a_request_has_exactly_one_host() {
        let config = config("127.0.0.1:8080", &[]);

        assert_eq!(status(&config, &request("GET", "/graphql", &[])), 400);
        assert_eq!(
            status(&config, &request("GET", "/graphql", &[("host", "localhost"), ("host", "evil.example")])),
            400
        );
        // The authority of the URI takes precedence over the header.
        let absolute = request("GET", "http://evil.example/graphql", &[("host", "localhost")]);
        assert_eq!(status(&config, &absolute), 421);
    }

    #[test]
    fn cross_origin_requests_are_rejected() {
        let config = config("127.0.0.1:8080", &["catalogue.example"]);
        let cases: [(&[(&str, &str)], u16); 13] = [
            (&[], 200),
            (&[("origin", "http://localhost:8080")], 200),
            (&[("origin", "https://catalogue.example")], 200),
            (&[("origin", "http://localhost:3000")], 403),
            (&[("origin", "http://127.0.0.1:8080")], 403),
            (&[("origin", "https://evil.example")], 403),
            (&[("origin", "null")], 403),
            (&[("origin", "http://localhost:8080.evil.example")], 403),
            (&[("sec-fetch-site", "same-origin")], 200),
            (&[("sec-fetch-site", "none")], 200),
            (&[("sec-fetch-site", "same-site")], 403),
            (&[("sec-fetch-site", "cross-site")], 403),
            (&[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")], 403),
        ];
        for (headers, expected) in cases {
            let headers = [&[("host", "localhost:8080")], headers].concat();

            assert_eq!(status(&config, &request("POST", "/graphql", &headers)), expected, "{headers:?}");
        }
    }

    #[test]
    fn a_configured_origin_may_use_the_server() {
        let origins = ["https://app.example", "http://localhost:3000"];
        let origins = origins.map(|origin| origin.to_owned().try_into().expect("an origin")).into();
        let config = Config { cors_origins: origins, ..config("127.0.0.1:8080", &[]) };
        for (origin, expected) in [
            ("https://app.example", 200),
            ("http://localhost:3000", 200),
            ("http://app.example", 403),
            ("https://app.example:444", 403),
            ("https://app.example.evil.example", 403),
            ("http://localhost:3001", 403),
            ("null", 403),
        ] {
            let headers = [("host", "localhost:8080"), ("origin", origin), ("sec-fetch-site", "cross-site")];

            assert_eq!(status(&config, &request("POST", "/graphql", &headers)), expected, "{origin}");
        }
    }

    #[test]
    fn a_link_may_be_opened_but_not_framed() {
        let config = config("127.0.0.1:8080", &[]);
        for (dest, expected) in [("document", 200), ("iframe", 403), ("image", 403)] {
            let headers = [
                ("host", "localhost:8080"),
                ("sec-fetch-site", "cross-site"),
                ("sec-fetch-mode", "navigate"),
                ("sec-fetch-dest", dest),
            ];

            assert_eq!(status(&config, &request("GET", "/graphiql", &headers)), expected, "{dest}");
        }
    }
}
