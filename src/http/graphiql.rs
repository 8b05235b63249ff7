//! GraphiQL, served from assets that are embedded in the binary.
use std::io::{self, Read};

use axum::{
    Router,
    extract::{Path, Request},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use flate2::read::GzDecoder;
use gatherum_graphiql::{FILES, File};

use super::{AppState, content_coding::AcceptedCodings, request_layer};

/// Content-Security-Policy: only this server's resources, no inline scripts. Monaco needs inline styles.
const POLICY: &str = "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self' 'unsafe-inline'; \
                      font-src 'self' data:; img-src 'self' data:; connect-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

/// The request headers that select the response.
const VARY: &str = "Accept, Accept-Encoding";

/// The routes of GraphiQL and its assets.
pub(super) fn router() -> Router<AppState> {
    Router::new()
        .route("/", get(|| async { (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, "/graphiql")]) }))
        .route("/graphiql", get(|request: Request| async move { page(request.headers()) }))
        .route("/graphiql/{*name}", get(|Path(name): Path<String>, request: Request| asset(name, request)))
}

/// Serves the page, also to browsers that open `/graphql`.
pub(super) fn page(headers: &HeaderMap) -> Response {
    match find("index.html") {
        Some(file) => serve(file, headers, "no-cache"),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Serves an asset. Names below `assets/` contain a hash of the content, so these are cached forever.
async fn asset(name: String, request: Request) -> Response {
    match find(&name) {
        Some(file) if name.starts_with("assets/") => {
            serve(file, request.headers(), "public, max-age=31536000, immutable")
        }
        Some(file) => serve(file, request.headers(), "no-cache"),
        None => request_layer::not_found().await,
    }
}

fn find(name: &str) -> Option<&'static File> {
    FILES.iter().find(|file| file.name == name)
}

fn serve(file: &'static File, headers: &HeaderMap, cache: &'static str) -> Response {
    let accepted = AcceptedCodings::of(headers);
    let mut response = if accepted.prefers_gzip() {
        ([(header::CONTENT_ENCODING, "gzip")], file.gzip).into_response()
    } else if accepted.allows_identity() {
        match decompressed(file) {
            Ok(bytes) => bytes.into_response(),
            Err(_) => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    } else {
        return (StatusCode::NOT_ACCEPTABLE, [(header::VARY, VARY)]).into_response();
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, media_type(file.name)),
        (header::CACHE_CONTROL, cache),
        (header::VARY, VARY),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (HeaderName::from_static("x-frame-options"), "DENY"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn decompressed(file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    GzDecoder::new(file.gzip).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn media_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("ttf") => "font/ttf",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}
