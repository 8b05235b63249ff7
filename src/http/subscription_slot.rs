//! Limits on concurrent subscription connections, in total and per client.
//!
//! A subscription connection is a WebSocket with at least one subscription, or a response that streams a subscription.
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use axum::http::StatusCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    Config,
    rate_limit::{ClientAddress, RateKey},
    rejection::Rejection,
};
use crate::{access::Viewer, error::Code};

/// The slots of a server.
pub(super) struct SubscriptionSlots {
    total: Arc<Semaphore>,
    per_client: Arc<ClientCounts>,
    per_client_max: u32,
}

/// Number of slots of each client that has any.
type ClientCounts = Mutex<HashMap<RateKey, u32>>;

impl SubscriptionSlots {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            total: Arc::new(Semaphore::new(config.subscription_connections)),
            per_client: Arc::default(),
            per_client_max: config.subscription_connections_per_client,
        }
    }

    /// Acquires a slot, which is released when dropped.
    ///
    /// # Errors
    /// 429 if the client has no free slot, 503 if the server has none.
    pub(super) fn acquire(&self, viewer: Viewer, client: Option<ClientAddress>) -> Result<SubscriptionSlot, Rejection> {
        let of_client = self.acquire_of_client(viewer, client)?;
        let total = self.total.clone().try_acquire_owned().map_err(|_| Rejection::overloaded())?;
        Ok(SubscriptionSlot { _of_client: of_client, _total: total })
    }

    fn acquire_of_client(
        &self,
        viewer: Viewer,
        client: Option<ClientAddress>,
    ) -> Result<Option<ClientSlot>, Rejection> {
        let Some(key) = RateKey::new(viewer, client) else { return Ok(None) };
        let mut counts = self.per_client.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(key).or_default();
        if *count >= self.per_client_max {
            let message = "too many concurrent subscriptions: close one, or share a WebSocket";
            return Err(Rejection::new(StatusCode::TOO_MANY_REQUESTS, Code::LimitExceeded, message));
        }
        *count += 1;
        Ok(Some(ClientSlot { key, counts: self.per_client.clone() }))
    }
}

/// A slot for one subscription connection, which is released when dropped.
pub(super) struct SubscriptionSlot {
    /// `None` for the viewer of a server without accounts, who is not limited.
    _of_client: Option<ClientSlot>,
    _total: OwnedSemaphorePermit,
}

struct ClientSlot {
    key: RateKey,
    counts: Arc<ClientCounts>,
}

impl Drop for ClientSlot {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::access::TokenScope;

    fn slots(total: usize, per_client: u32) -> SubscriptionSlots {
        SubscriptionSlots::new(&Config {
            subscription_connections: total,
            subscription_connections_per_client: per_client,
            ..Config::default()
        })
    }

    fn account(n: u128) -> Viewer {
        Viewer::of(Uuid::from_u128(n), TokenScope::Read)
    }

    fn address(text: &str) -> Option<ClientAddress> {
        Some(ClientAddress(text.parse().expect("an address")))
    }

    #[test]
    fn each_client_has_its_own_slots_and_the_local_user_is_not_limited() {
        let slots = slots(100, 1);

        let first = slots.acquire(account(1), None).ok();
        assert!(first.is_some());
        let rejection = slots.acquire(account(1), None).err().expect("no free slot");
        assert_eq!(rejection.status(), StatusCode::TOO_MANY_REQUESTS);
        let other = slots.acquire(Viewer::ANONYMOUS, address("192.0.2.1"));
        assert!(other.is_ok());
        drop(first);
        assert!(slots.acquire(account(1), None).is_ok());
        let local: Vec<_> = (0..9).map(|_| slots.acquire(Viewer::LOCAL, address("127.0.0.1"))).collect();
        assert!(local.iter().all(Result::is_ok));
    }

    #[test]
    fn the_server_has_a_total_limit() {
        let slots = slots(1, 100);
        let slot = slots.acquire(account(1), None).ok();

        let rejection = slots.acquire(account(2), None).err().expect("no free slot");

        assert_eq!((rejection.status(), rejection.code()), (StatusCode::SERVICE_UNAVAILABLE, Code::Overloaded));
        drop(slot);
        assert!(slots.acquire(account(2), None).is_ok());
    }
}
