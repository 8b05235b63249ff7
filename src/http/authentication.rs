//! Authentication of requests, by the `Authorization` header or the first message of a WebSocket.
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode, header};
use tracing::error;

use super::{AppState, rate_limit::ClientAddress, rejection::Rejection};
use crate::{
    access::Viewer,
    error::{Code, Error, Result},
};

/// Resolves bearer tokens to viewers.
#[async_trait::async_trait]
pub trait Authenticate: Send + Sync {
    /// Returns the viewer of a token, or the viewer of requests without one.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` if the token is invalid.
    async fn viewer(&self, token: Option<&str>) -> Result<Viewer>;

    /// Whether the token was valid in an earlier request; such tokens do not count as guesses.
    fn is_known(&self, token: &str) -> bool;
}

/// Interval at which the token of a running subscription is checked again.
pub(super) const RECHECK_INTERVAL: Duration = Duration::from_secs(2);

/// Returns the viewer of a request.
///
/// # Errors
/// 401 for an invalid token, 429 if the client's address has tried too many.
pub(super) async fn viewer(
    state: &AppState,
    token: Option<&str>,
    client: Option<ClientAddress>,
) -> std::result::Result<Viewer, Rejection> {
    if token.is_some_and(|token| !state.inner.authenticate.is_known(token)) {
        state.inner.rate_limits.try_token(client)?;
    }
    state.inner.authenticate.viewer(token).await.map_err(reject)
}

/// Returns the bearer token of a request.
///
/// # Errors
/// 401 if `Authorization` has another form or occurs twice.
pub(super) fn bearer(headers: &HeaderMap) -> std::result::Result<Option<&str>, Rejection> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let token = match (given.next(), given.next()) {
        (None, _) => return Ok(None),
        (Some(value), None) => value.to_str().ok().and_then(parse_bearer),
        (Some(_), Some(_)) => None,
    };
    let message = "the Authorization header must have the form `Bearer TOKEN`";
    token.map(Some).ok_or_else(|| Rejection::new(StatusCode::UNAUTHORIZED, Code::Unauthenticated, message))
}

/// Returns the token in `Bearer TOKEN`.
pub(super) fn parse_bearer(text: &str) -> Option<&str> {
    let (scheme, token) = text.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_start())
}

fn reject(error: Error) -> Rejection {
    let status = match error.code {
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::Timeout => StatusCode::GATEWAY_TIMEOUT,
        Code::Unavailable | Code::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
        _ => {
            error!(cause = error.source_chain(), "internal error");
            StatusCode::INTERNAL_SERVER_ERROR
        }
    };
    Rejection::from_error(status, error)
}

/// Whether the token became invalid or resolves to another viewer than `before`, for example because the first account
/// was added. An unavailable database denies nobody.
pub(super) async fn is_denied(state: &AppState, token: Option<&str>, before: Viewer) -> bool {
    match state.inner.authenticate.viewer(token).await {
        Ok(now) => now != before,
        Err(error) => error.code == Code::Unauthenticated,
    }
}

/// The rejection of a subscription whose token is denied while it runs.
pub(super) fn token_denied() -> Rejection {
    Rejection::new(StatusCode::UNAUTHORIZED, Code::Unauthenticated, "the token is no longer valid")
}

/// Completes when the token is denied.
pub(super) async fn until_denied(state: AppState, token: Option<String>, before: Viewer) {
    loop {
        tokio::time::sleep(RECHECK_INTERVAL).await;
        if is_denied(&state, token.as_deref(), before).await {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn only_one_bearer_token_is_accepted() {
        for (given, expected) in [
            (&[][..], Ok(None)),
            (&["Bearer abc"], Ok(Some("abc"))),
            (&["bearer  abc"], Ok(Some("abc"))),
            (&["Basic abc"], Err(401)),
            (&["Bearer"], Err(401)),
            (&["abc"], Err(401)),
            (&[""], Err(401)),
            (&["Bearer a", "Bearer a"], Err(401)),
        ] {
            let mut headers = HeaderMap::new();
            for value in given {
                headers.append(header::AUTHORIZATION, HeaderValue::from_static(value));
            }

            let token = bearer(&headers).map_err(|rejection| rejection.status().as_u16());
            assert_eq!(token, expected, "{given:?}");
        }
    }
}
