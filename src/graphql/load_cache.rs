//! What was loaded for a request, kept for requests that ask the same: where a field asks for it by [`Node::reuse`].
//!
//! It is kept until anything is written, by whatever node, and for a limited time. A request notes how many writes were
//! heard of before it loads; what it loaded is good as long as none was heard of since. So what was read before a write and
//! is kept after it is never used, and who was told that something is written finds it from then on, on the same node; other
//! nodes find it once they hear of it. A node that hears nothing keeps nothing.
//!
//! [`Node::reuse`]: super::Node::reuse
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use async_graphql::{Name, Value, indexmap::IndexMap};
use documented::DocumentedFields;
use quick_cache::{
    DefaultHashBuilder, OptionsBuilder, Weighter,
    sync::{Cache, DefaultLifecycle},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::document::PreparedOperation;
use crate::{
    access::Viewer,
    dataloader::{RecordedLoads, Rounds},
};

/// What is kept from one request to the next.
#[derive(Clone, Debug, PartialEq, Eq, DocumentedFields, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct CacheConfig {
    /// How long what was loaded for a link is kept at most. Writes end it, on other nodes when they hear of them; this is for
    /// what is not heard of: writes by hand, and all of them where the network swallows what PostgreSQL tells. 0 keeps
    /// nothing. Default 10 s.
    #[serde(with = "crate::duration")]
    pub ttl: Duration,
    /// How many requests' loads are kept at most. 0 keeps nothing. Default 1000.
    pub max_entries: usize,
    /// Bytes of all that is kept, about; what is above nine tenths of it alone is not kept. 0 keeps nothing. Default 16 MiB.
    pub bytes: usize,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self { ttl: Duration::from_secs(10), max_entries: 1_000, bytes: 16 << 20 }
    }
}

/// Bytes of an entry beside its loads, about.
const ENTRY_BYTES: usize = 1 << 10;

/// Which writes this node has heard of.
#[derive(Debug, Default)]
pub(super) struct WriteClock {
    writes: AtomicU64,
    is_connected: AtomicBool,
}

impl WriteClock {
    /// Something was written, or may have been.
    pub(super) fn heard(&self) {
        self.writes.fetch_add(1, Ordering::AcqRel);
    }

    /// Whether writes of other nodes are heard of from now on.
    pub(super) fn set_connected(&self, is_connected: bool) {
        self.is_connected.store(is_connected, Ordering::Release);
        self.heard();
    }

    pub(super) fn is_open(&self) -> bool {
        self.is_connected.load(Ordering::Acquire)
    }

    /// How many writes there were; nothing where those of others are not heard of.
    pub(super) fn writes(&self) -> Option<u64> {
        let writes = self.writes.load(Ordering::Acquire);
        self.is_open().then_some(writes)
    }
}

/// Who hears of writes.
#[async_trait::async_trait]
pub(super) trait Invalidation: Send + Sync {
    /// How many writes there were; nothing where those of others cannot be heard of.
    async fn writes(&self) -> Option<u64>;
}

/// Loads by what was asked for, bounded by the memory they take.
pub(super) struct LoadCache {
    entries: Cache<Key, Arc<Entry>, Weigh>,
    ttl: Duration,
}

/// The hash of a document, its variables and its viewer: what is asked for may be secret.
type Key = [u8; 32];

struct Entry {
    loads: Arc<RecordedLoads>,
    writes: u64,
    since: Instant,
    bytes: usize,
}

#[derive(Clone)]
struct Weigh {
    least: u64,
}

impl Weighter<Key, Arc<Entry>> for Weigh {
    fn weight(&self, _: &Key, entry: &Arc<Entry>) -> u64 {
        (entry.bytes as u64).max(self.least)
    }
}

impl LoadCache {
    /// Keeps what the settings say; nothing where they say so.
    pub(super) fn new(config: &CacheConfig) -> Option<Arc<Self>> {
        if config.ttl.is_zero() || config.max_entries == 0 || config.bytes == 0 {
            return None;
        }
        let bytes = config.bytes as u64;
        // An entry alone may fill nine tenths of the whole: what is heavier is not kept, so there is one shard.
        let weigh = Weigh { least: (bytes / 10 * 9 / config.max_entries as u64).max(1) };
        let mut options = OptionsBuilder::new();
        options.shards(1).estimated_items_capacity(config.max_entries.min(1 << 16)).weight_capacity(bytes);
        let options = options.build().ok()?;
        let entries = Cache::with_options(options, weigh, DefaultHashBuilder::default(), DefaultLifecycle::default());
        Some(Arc::new(Self { entries, ttl: config.ttl }))
    }

    fn get(&self, key: &Key, writes: u64) -> Option<Arc<RecordedLoads>> {
        let entry = self.entries.get(key)?;
        if entry.writes == writes && entry.since.elapsed() < self.ttl {
            return Some(entry.loads.clone());
        }
        self.entries.remove(key);
        None
    }
}

/// What a request needs to have its loads kept.
pub(super) struct CacheHandle {
    pub(super) kept: Arc<LoadCache>,
    pub(super) invalidation: Arc<dyn Invalidation>,
    pub(super) document: Arc<PreparedOperation>,
    pub(super) begun: Mutex<Option<PendingEntry>>,
}

/// A request whose loads are to be kept.
pub(super) struct PendingEntry {
    key: Key,
    writes: u64,
    since: Instant,
}

impl CacheHandle {
    /// Has `rounds` answer from what was kept of a request that asked the same, or keep what it loads.
    pub(super) async fn begin(&self, viewer: Viewer, variables: &IndexMap<Name, Value>, rounds: &Rounds) {
        let Some(writes) = self.invalidation.writes().await else { return };
        let Some(key) = self.key(viewer, variables) else { return };
        match self.kept.get(&key, writes) {
            Some(loads) => rounds.reuse(loads),
            None => {
                let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
                // Of several fields that ask for it, the first says from when on.
                begun.get_or_insert(PendingEntry { key, writes, since: Instant::now() });
                rounds.keep();
            }
        }
    }

    fn key(&self, viewer: Viewer, variables: &IndexMap<Name, Value>) -> Option<Key> {
        let mut digest = Sha256::new_with_prefix(self.document.digest());
        let asked = serde_json::to_vec(&(viewer.user, viewer.scope.map(crate::access::TokenScope::as_str), variables));
        digest.update(asked.ok()?);
        Some(digest.finalize().into())
    }

    /// Keeps what was loaded.
    pub(super) fn end(&self, rounds: &Rounds) {
        let begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let (Some(begun), Some(loads)) = (begun, rounds.kept()) {
            let bytes = loads.bytes() + ENTRY_BYTES;
            let entry = Entry { loads: Arc::new(loads), writes: begun.writes, since: begun.since, bytes };
            self.kept.entries.insert(begun.key, Arc::new(entry));
        }
    }
}
