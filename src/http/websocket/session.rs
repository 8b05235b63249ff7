//! The authentication state of a WebSocket.
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use serde::Deserialize;

use super::{
    super::{
        AppState, authentication, rate_limit::ClientAddress, rejection::Rejection, subscription_slot::SubscriptionSlot,
    },
    CloseReason,
};
use crate::{access::Viewer, error::Code};

/// A WebSocket's client, which is authenticated by `connection_init`.
pub(super) struct Session {
    pub(super) state: AppState,
    /// Id of the upgrade request, which appears in the log lines of all operations.
    pub(super) request_id: String,
    client: Option<ClientAddress>,
    /// From the upgrade request or from `connection_init`.
    token: Mutex<Option<String>>,
    slot: Mutex<SubscriptionSlot>,
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
        token: Option<String>,
        slot: SubscriptionSlot,
    ) -> Self {
        let (token, slot) = (Mutex::new(token), Mutex::new(slot));
        Self { state, request_id, client, token, slot, viewer: OnceLock::new() }
    }

    /// Returns the viewer once the connection is initialised.
    pub(super) fn viewer(&self) -> Option<Viewer> {
        self.viewer.get().copied()
    }

    /// Authenticates the client by the payload of `connection_init`, because browsers cannot add headers to the upgrade
    /// request, or by the token of that request.
    ///
    /// # Errors
    /// 4403 for an invalid token, 1013 if no subscription slot is free or authentication is unavailable.
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
        let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        let reassigned = self.state.inner.subscription_slots.reassign(&mut slot, viewer, self.client);
        reassigned.map_err(|_| CloseReason::with(1013, "too many concurrent subscriptions: close one"))?;
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

    /// Counts an operation towards the rate limit of the client.
    pub(super) fn check_rate(&self, viewer: Viewer) -> Result<(), Rejection> {
        self.state.inner.rate_limits.check(viewer, self.client)
    }

    fn lock_token(&self) -> MutexGuard<'_, Option<String>> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
