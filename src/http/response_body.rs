//! Response bodies, with a limit on the total memory of bodies that clients have not read yet.
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of each body that do not count towards the budget, so that clients that do not read large responses never block
/// small ones.
pub(super) const UNCOUNTED_BYTES: usize = 16_384;

/// Fraction of the budget that the responses of one connection may take: an HTTP/2 client can request many responses without
/// reading any.
const CONNECTION_FRACTION: usize = 8;

tokio::task_local! {
    /// The budget of the connection of the current request.
    static CONNECTION: ConnectionBudget;
}

/// A memory budget for response bodies, with one permit per byte.
pub(super) struct MemoryBudget(Budget);

/// The part of the budget that the responses of one connection may take.
#[derive(Clone, Debug)]
pub(super) struct ConnectionBudget(Budget);

#[derive(Clone, Debug)]
struct Budget {
    permits: Arc<Semaphore>,
    total: usize,
}

impl Budget {
    fn new(total: usize) -> Self {
        Self { permits: Arc::new(Semaphore::new(total)), total }
    }

    /// Takes permits for `bytes`, at most all; `None` if too few are free.
    fn take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let permits = u32::try_from(bytes.min(self.total)).unwrap_or(u32::MAX);
        self.permits.clone().try_acquire_many_owned(permits).ok()
    }
}

impl MemoryBudget {
    pub(super) fn new(total: usize) -> Self {
        Self(Budget::new(total))
    }

    /// The budget of a new connection.
    pub(super) fn for_connection(&self) -> ConnectionBudget {
        ConnectionBudget(Budget::new((self.0.total / CONNECTION_FRACTION).max(1)))
    }

    /// Returns the same bytes, which count towards the budgets of the server and of the connection until the connection has
    /// written them, or `None` if one of them is exhausted. A body larger than a whole budget takes all of it.
    pub(super) fn reserve(&self, bytes: Bytes) -> Option<Bytes> {
        let needed = bytes.len().saturating_sub(UNCOUNTED_BYTES);
        if needed == 0 {
            return Some(bytes);
        }
        let of_connection = CONNECTION.try_with(|connection| connection.0.take(needed));
        // Requests of tests have no connection.
        let of_connection = of_connection.map_or(Some(None), |permit| permit.map(Some))?;
        let of_server = self.0.take(needed)?;
        Some(Bytes::from_owner(BudgetedBytes { bytes, _permits: (of_server, of_connection) }))
    }
}

impl ConnectionBudget {
    /// Runs a request, whose response counts towards this budget.
    pub(super) async fn scope<T>(self, request: impl Future<Output = T>) -> T {
        CONNECTION.scope(self, request).await
    }

    /// Whether less than an eighth is free.
    pub(super) fn is_exhausted(&self) -> bool {
        self.0.permits.available_permits() < self.0.total / 8
    }
}

struct BudgetedBytes {
    bytes: Bytes,
    _permits: (OwnedSemaphorePermit, Option<OwnedSemaphorePermit>),
}

impl AsRef<[u8]> for BudgetedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(length: usize) -> Bytes {
        Bytes::from(vec![b'x'; length])
    }

    #[test]
    fn large_bodies_share_a_budget_and_small_bodies_need_none() {
        let budget = MemoryBudget::new(10_000);

        let first = budget.reserve(body(UNCOUNTED_BYTES + 6_000)).expect("room");
        assert_eq!(first.len(), UNCOUNTED_BYTES + 6_000);
        assert!(budget.reserve(body(UNCOUNTED_BYTES + 6_000)).is_none());
        assert!(budget.reserve(body(UNCOUNTED_BYTES)).is_some());
        let part = first.slice(0..1);
        drop(first);
        assert!(budget.reserve(body(UNCOUNTED_BYTES + 6_000)).is_none(), "a slice of it is still unwritten");
        drop(part);
        assert!(budget.reserve(body(UNCOUNTED_BYTES + 6_000)).is_some());
    }

    #[test]
    fn a_body_larger_than_the_budget_takes_all_of_it() {
        let budget = MemoryBudget::new(10_000);

        let large = budget.reserve(body(UNCOUNTED_BYTES + 100_000)).expect("room");
        assert!(budget.reserve(body(UNCOUNTED_BYTES + 1)).is_none());
        drop(large);
        assert!(budget.reserve(body(UNCOUNTED_BYTES + 1)).is_some());
    }

    #[tokio::test]
    async fn one_connection_takes_a_part_of_the_budget() {
        let budget = MemoryBudget::new(80_000);
        let (first, second) = (budget.for_connection(), budget.for_connection());
        let large = || async { budget.reserve(body(UNCOUNTED_BYTES + 9_000)) };

        let unread = first.clone().scope(large()).await;
        let more = first.clone().scope(large()).await;
        let other = second.clone().scope(large()).await;

        assert!(unread.is_some() && more.is_none() && other.is_some());
        assert!(first.is_exhausted());
        drop(unread);
        assert!(!first.is_exhausted() && first.scope(large()).await.is_some());
    }
}
