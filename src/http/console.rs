//! GraphiQL for browsers.
use axum::Router;

use super::Site;

/// The routes of the console.
pub(super) fn router() -> Router<Site> {
    Router::new()
}

/// The page, for browsers that open `/graphql`.
pub(super) fn page() -> axum::response::Response {
    axum::response::IntoResponse::into_response(axum::http::StatusCode::NOT_FOUND)
}
