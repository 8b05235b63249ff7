//! Bodies of answers: those that clients have not read yet have a limit all together.
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of an answer that are not taken from the room that all answers share, so that clients who do not read large
/// ones keep nobody from small ones.
const UNCOUNTED_BYTES: usize = 16_384;

/// The room that all answers share, one permit for each byte.
pub(super) struct MemoryBudget {
    permits: Arc<Semaphore>,
    total: usize,
}

impl MemoryBudget {
    pub(super) fn new(total: usize) -> Self {
        Self { permits: Arc::new(Semaphore::new(total)), total }
    }

    /// The same bytes, which take up room until the connection has passed them on; none where there is no room. An
    /// answer that is larger than the room has it for itself.
    pub(super) fn hold(&self, bytes: Bytes) -> Option<Bytes> {
        let needed = bytes.len().saturating_sub(UNCOUNTED_BYTES).min(self.total);
        if needed == 0 {
            return Some(bytes);
        }
        let needed = u32::try_from(needed).unwrap_or(u32::MAX);
        let budget = self.permits.clone().try_acquire_many_owned(needed).ok()?;
        Some(Bytes::from_owner(BudgetedBytes { bytes, _room: budget }))
    }
}

struct BudgetedBytes {
    bytes: Bytes,
    _room: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for BudgetedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(length: usize) -> Bytes {
        Bytes::from(vec![b'x'; length])
    }

    #[test]
    fn large_answers_share_a_room_and_small_ones_need_none() {
        let budget = MemoryBudget::new(10_000);

        let first = budget.hold(answer(UNCOUNTED_BYTES + 6_000)).expect("room");
        assert_eq!(first.len(), UNCOUNTED_BYTES + 6_000);
        assert!(budget.hold(answer(UNCOUNTED_BYTES + 6_000)).is_none());
        assert!(budget.hold(answer(UNCOUNTED_BYTES)).is_some());
        let part = first.slice(0..1);
        drop(first);
        assert!(budget.hold(answer(UNCOUNTED_BYTES + 6_000)).is_none(), "a part of it is still to be written");
        drop(part);
        assert!(budget.hold(answer(UNCOUNTED_BYTES + 6_000)).is_some());
    }

    #[test]
    fn an_answer_larger_than_the_room_takes_all_of_it() {
        let budget = MemoryBudget::new(10_000);

        let large = budget.hold(answer(UNCOUNTED_BYTES + 100_000)).expect("room");
        assert!(budget.hold(answer(UNCOUNTED_BYTES + 1)).is_none());
        drop(large);
        assert!(budget.hold(answer(UNCOUNTED_BYTES + 1)).is_some());
    }
}
