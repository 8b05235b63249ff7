//! Whose a request is: what its `Authorization` says, or the first message of a socket.
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode, header};
use tracing::error;

use super::{AppState, rate_limit::ClientAddress, rejection::Rejection};
use crate::{
    access::Viewer,
    error::{Code, Error, Result},
};

/// Tells who sends a request.
#[async_trait::async_trait]
pub trait Authenticate: Send + Sync {
    /// Who has this token, or who has none.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` for a token that is not valid.
    async fn viewer(&self, token: Option<&str>) -> Result<Viewer>;

    /// Whether the token was found to be valid before, so that it is not one of many that are tried.
    fn is_known(&self, token: &str) -> bool;
}

/// How often it is asked whether whoever follows still may.
pub(super) const RECHECK_INTERVAL: Duration = Duration::from_secs(2);

/// Whose the request with this token is, or without one.
///
/// # Errors
/// 401 for a token that is not valid, 429 where an address tries too many.
pub(super) async fn viewer(
    state: &AppState,
    token: Option<&str>,
    client: Option<ClientAddress>,
) -> std::result::Result<Viewer, Rejection> {
    if token.is_some_and(|token| !state.inner.access.is_known(token)) {
        state.inner.rate.try_token(client)?;
    }
    state.inner.access.viewer(token).await.map_err(refuse)
}

/// The token of a request.
///
/// # Errors
/// 401 for another form of `Authorization`.
pub(super) fn bearer(headers: &HeaderMap) -> std::result::Result<Option<&str>, Rejection> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let token = match (given.next(), given.next()) {
        (None, _) => return Ok(None),
        (Some(value), None) => value.to_str().ok().and_then(parse_bearer),
        (Some(_), Some(_)) => None,
    };
    let message = "Authorization has the form: Bearer TOKEN";
    token.map(Some).ok_or_else(|| Rejection::new(StatusCode::UNAUTHORIZED, Code::Unauthenticated, message))
}

/// The token in `Bearer TOKEN`.
pub(super) fn parse_bearer(text: &str) -> Option<&str> {
    let (scheme, token) = text.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_start())
}

fn refuse(error: Error) -> Rejection {
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

/// Whether the token is valid no longer, or whoever has it is another one than before: a server without accounts may have
/// got its first. That the database is away for a while says nothing about that.
pub(super) async fn is_denied(state: &AppState, token: Option<&str>, before: Viewer) -> bool {
    match state.inner.access.viewer(token).await {
        Ok(now) => now != before,
        Err(error) => error.code == Code::Unauthenticated,
    }
}

/// Ends once the token is denied.
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
    fn a_token_is_told_by_its_scheme() {
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
