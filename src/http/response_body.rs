//! Response bodies, with a limit on the total memory of bodies that clients have not read yet.
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of each body that do not count towards the budget, so that clients that do not read large responses never block
/// small ones.
pub(super) const UNCOUNTED_BYTES: usize = 16_384;

/// A memory budget for response bodies, with one permit per byte.
pub(super) struct MemoryBudget {
    permits: Arc<Semaphore>,
    total: usize,
}

impl MemoryBudget {
    pub(super) fn new(total: usize) -> Self {
        Self { permits: Arc::new(Semaphore::new(total)), total }
    }

    /// Returns the same bytes, which count towards the budget until the connection has written them, or `None` if the
    /// budget is exhausted. A body larger than the whole budget takes all of it.
    pub(super) fn reserve(&self, bytes: Bytes) -> Option<Bytes> {
        let needed = bytes.len().saturating_sub(UNCOUNTED_BYTES).min(self.total);
        if needed == 0 {
            return Some(bytes);
        }
        let needed = u32::try_from(needed).unwrap_or(u32::MAX);
        let permit = self.permits.clone().try_acquire_many_owned(needed).ok()?;
        Some(Bytes::from_owner(BudgetedBytes { bytes, _permit: permit }))
    }
}

struct BudgetedBytes {
    bytes: Bytes,
    _permit: OwnedSemaphorePermit,
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
}
