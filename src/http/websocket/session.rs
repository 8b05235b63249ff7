//! The client of a WebSocket: its authentication and its operations.
use std::{
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
    time::Instant,
};

use axum::http::HeaderMap;
use serde::Deserialize;

use super::{
    super::{
        AppState, authentication,
        execution::{self, Outcome},
        graphql::wants_report,
        rate_limit::ClientAddress,
        rejection::Rejection,
        request_log::{AbandonedRequestGuard, RequestLog},
        status::StatusContext,
        subscription_slot::SubscriptionSlot,
    },
    CloseReason,
};
use crate::{access::Viewer, error::Code, graphql};

/// A WebSocket's client, which is authenticated by `connection_init`.
pub(super) struct Session {
    pub(super) state: AppState,
    /// Id of the upgrade request, which appears in the log lines of all operations.
    request_id: String,
    /// Whether the upgrade request asked for `extensions.gatherum`.
    wants_report: bool,
    client: Option<ClientAddress>,
    /// From the upgrade request or from `connection_init`.
    token: Mutex<Option<String>>,
    /// The slot that the running subscriptions share.
    slot: Mutex<Weak<SubscriptionSlot>>,
    viewer: OnceLock<Viewer>,
}

/// The payload of `connection_init`. Other members are ignored.
#[derive(Default, Deserialize)]
struct ConnectionInit {
    #[serde(alias = "Authorization")]
    authorization: Option<String>,
}

impl Session {
    pub(super) fn new(
        state: AppState,
        request_id: String,
        client: Option<ClientAddress>,
        headers: &HeaderMap,
        token: Option<&str>,
    ) -> Self {
        Self {
            wants_report: wants_report(&state, headers),
            token: Mutex::new(token.map(str::to_owned)),
            slot: Mutex::default(),
            viewer: OnceLock::new(),
            state,
            request_id,
            client,
        }
    }

    /// Returns the viewer once the connection is initialised.
    pub(super) fn viewer(&self) -> Option<Viewer> {
        self.viewer.get().copied()
    }

    /// Authenticates the client by the payload of `connection_init`, because browsers cannot add headers to the upgrade
    /// request, or by the token of that request.
    ///
    /// # Errors
    /// 4403 for an invalid token, 1013 if authentication is unavailable.
    pub(super) async fn initialise(&self, payload: serde_json::Value) -> Result<Viewer, CloseReason> {
        let forbidden = || CloseReason::with(4403, "Forbidden");
        let init: ConnectionInit = serde_json::from_value(payload).unwrap_or_default();
        if let Some(given) = init.authorization {
            let token = authentication::parse_bearer(&given).ok_or_else(forbidden)?;
            *self.lock_token() = Some(token.to_owned());
        }
        let token = self.lock_token().clone();
        let viewer = authentication::viewer(&self.state, token.as_deref(), self.client).await;
        let viewer = viewer.map_err(|rejection| match rejection.code() {
            Code::Unauthenticated => forbidden(),
            _ => CloseReason::with(1013, "authentication is unavailable: connect again later"),
        })?;
        Ok(*self.viewer.get_or_init(|| viewer))
    }

    /// Checks that the token is still valid and still resolves to the same viewer.
    ///
    /// # Errors
    /// 4401 if not.
    pub(super) async fn check_token(&self) -> Result<(), CloseReason> {
        let Some(viewer) = self.viewer() else { return Ok(()) };
        let token = self.lock_token().clone();
        match authentication::is_denied(&self.state, token.as_deref(), viewer).await {
            true => Err(CloseReason::with(4401, "the token is no longer valid")),
            false => Ok(()),
        }
    }

    /// Executes an operation as for a request over HTTP, and writes the log line of its only response.
    pub(super) async fn start(&self, mut request: graphql::Request) -> Result<Outcome, Rejection> {
        let guard = AbandonedRequestGuard { id: &self.request_id, start: Instant::now() };
        request.wants_report = self.wants_report;
        let outcome = match self.state.inner.rate_limits.check(request.viewer, self.client) {
            Ok(()) => {
                let acquire_slot = |viewer| self.acquire_slot(viewer);
                execution::start(&self.state, request, &self.request_id, acquire_slot).await
            }
            Err(rejection) => Err(rejection),
        };
        let total = guard.start.elapsed();
        guard.disarm();
        match &outcome {
            Ok(Outcome::Single(response)) => {
                RequestLog::of_response(response, StatusContext::without_http(&self.state))
                    .write(total, &self.request_id);
            }
            Ok(Outcome::Subscription(_)) => {}
            Err(rejection) => RequestLog::of_rejection(rejection).write(total, &self.request_id),
        }
        outcome
    }

    /// Returns the slot that the subscriptions of this WebSocket share.
    fn acquire_slot(&self, viewer: Viewer) -> Result<Arc<SubscriptionSlot>, Rejection> {
        let mut shared = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = shared.upgrade() {
            return Ok(slot);
        }
        let slot = Arc::new(self.state.inner.subscription_slots.acquire(viewer, self.client)?);
        *shared = Arc::downgrade(&slot);
        Ok(slot)
    }

    fn lock_token(&self) -> MutexGuard<'_, Option<String>> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
