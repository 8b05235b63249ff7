//! Cross-origin resource sharing: pages of other origins may use the server only if `http.cors_origins` lists them.
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Method, Uri, header};
use serde::{Deserialize, Serialize};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

/// Time for which a browser may cache a preflight response.
const MAX_AGE: Duration = Duration::from_secs(3_600);

/// An origin as browsers send it: scheme, host in lower case, and the port unless it is the scheme's default.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Origin(HeaderValue);

impl Origin {
    /// Returns the origin as text.
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

impl From<Origin> for String {
    fn from(origin: Origin) -> Self {
        origin.as_str().to_owned()
    }
}

impl TryFrom<String> for Origin {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let wrong = || format!("`{text}` is not an origin: write https://host or https://host:port, in lower case");
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return Err(wrong()) };
        let plain = format!("{scheme}://{}", authority.as_str().to_ascii_lowercase());
        let own_port = if scheme == "https" { ":443" } else { ":80" };
        let is_origin = matches!(scheme, "http" | "https")
            && plain == text
            && !text.ends_with(own_port)
            && !authority.as_str().contains('@');
        match HeaderValue::from_str(&text) {
            Ok(value) if is_origin => Ok(Self(value)),
            _ => Err(wrong()),
        }
    }
}

/// Answers preflight requests and lets pages of these origins read responses. The server uses no cookies, so a page can
/// only send credentials that it has itself.
pub(super) fn layer(origins: &[Origin]) -> CorsLayer {
    const READ: [HeaderName; 3] =
        [header::RETRY_AFTER, HeaderName::from_static("server-timing"), HeaderName::from_static("x-request-id")];
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins.iter().map(|origin| origin.0.clone())))
        .allow_methods([Method::GET, Method::POST])
        // Headers of clients and of tracing tools in pages differ, and the server ignores those that it does not know.
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(READ)
        .max_age(MAX_AGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_written_as_browsers_send_it() {
        for (text, is_origin) in [
            ("https://app.example", true),
            ("http://localhost:3000", true),
            ("http://[::1]:3000", true),
            ("https://app.example/", false),
            ("https://app.example/path", false),
            ("https://App.example", false),
            ("https://app.example:443", false),
            ("https://user@app.example", false),
            ("app.example", false),
            ("file:///home", false),
            ("*", false),
            ("null", false),
            ("", false),
        ] {
            assert_eq!(Origin::try_from(text.to_owned()).is_ok(), is_origin, "{text}");
        }
    }
}
