//! Loads of earlier requests, reused by equal requests if a field enables it with [`CacheLoads::enable_cache`].
//!
//! Loads are valid until the next write on any node, and for a limited time. A request notes the number of known writes
//! before it loads; its loads are used only while that number is the same. So a value that was read before a write and
//! stored after it is never used. A write is visible to later requests on the same node at once, and on other nodes as soon
//! as the change feed reports it. A node whose change feed is down does not cache.
use std::{
    sync::{Arc, Mutex, PoisonError},
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

use gatherum_engine::{
    ExecutionField,
    loading::{RecordedLoads, Rounds},
};

use super::RequestContext;
use crate::access::Viewer;

/// Cache of loads that are shared between requests.
#[derive(Clone, Debug, PartialEq, Eq, DocumentedFields, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct CacheConfig {
    /// Maximum age of a cached load of a share link: an upper bound on staleness for writes that the change feed does not
    /// report (manual SQL, lost notifications). All other writes invalidate the cache. 0 disables it. Default: 10 s.
    #[serde(with = "crate::duration")]
    pub ttl: Duration,
    /// Maximum number of requests with cached loads. 0 disables the cache. Default: 1000.
    pub max_entries: usize,
    /// Approximate memory for cached loads in bytes. The loads of one request are not cached if they take more than nine
    /// tenths of it. 0 disables the cache. Default: 16 MiB.
    pub bytes: usize,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self { ttl: Duration::from_secs(10), max_entries: 1_000, bytes: 16 << 20 }
    }
}

/// Approximate number of bytes of an entry besides its loads.
const ENTRY_BYTES: usize = 1 << 10;

/// Counts the writes that this node knows of.
#[async_trait::async_trait]
pub(super) trait WriteCount: Send + Sync {
    /// The number of writes so far; `None` if the writes of other nodes are not received.
    async fn writes(&self) -> Option<u64>;
}

/// Loads by the hash of their request, bounded by the memory they take.
pub(super) struct LoadCache {
    entries: Cache<CacheKey, Arc<Entry>, EntryWeighter>,
    ttl: Duration,
}

/// The hash of a document, its variables and its viewer, which may contain secrets.
type CacheKey = [u8; 32];

struct Entry {
    loads: Arc<RecordedLoads>,
    writes: u64,
    since: Instant,
    bytes: usize,
}

#[derive(Clone)]
struct EntryWeighter {
    least: u64,
}

impl Weighter<CacheKey, Arc<Entry>> for EntryWeighter {
    fn weight(&self, _: &CacheKey, entry: &Arc<Entry>) -> u64 {
        (entry.bytes as u64).max(self.least)
    }
}

impl LoadCache {
    /// Creates the cache; `None` if the settings disable it.
    pub(super) fn new(config: &CacheConfig) -> Option<Arc<Self>> {
        if config.ttl.is_zero() || config.max_entries == 0 || config.bytes == 0 {
            return None;
        }
        let bytes = config.bytes as u64;
        // One entry may fill nine tenths of the cache. With several shards the limit would be that of a shard.
        let weigh = EntryWeighter { least: (bytes / 10 * 9 / config.max_entries as u64).max(1) };
        let mut options = OptionsBuilder::new();
        options.shards(1).estimated_items_capacity(config.max_entries.min(1 << 16)).weight_capacity(bytes);
        let options = options.build().ok()?;
        let entries = Cache::with_options(options, weigh, DefaultHashBuilder::default(), DefaultLifecycle::default());
        Some(Arc::new(Self { entries, ttl: config.ttl }))
    }

    fn get(&self, key: &CacheKey, writes: u64) -> Option<Arc<RecordedLoads>> {
        let entry = self.entries.get(key)?;
        if entry.writes == writes && entry.since.elapsed() < self.ttl {
            return Some(entry.loads.clone());
        }
        self.entries.remove(key);
        None
    }
}

/// The cache, for one request.
pub(super) struct CacheHandle {
    cache: Arc<LoadCache>,
    writes: Arc<dyn WriteCount>,
    /// A hash of the document and the name of the operation.
    digest: [u8; 32],
    pending: Mutex<Option<PendingEntry>>,
}

/// A request whose loads are recorded for the cache.
struct PendingEntry {
    key: CacheKey,
    writes: u64,
    since: Instant,
}

/// Enables the cache for the loads of a request.
pub trait CacheLoads {
    /// Reuses the loads of an equal request, or records the loads from now on for later ones. Call it before anything is
    /// loaded, in a field that many requests have in common; a value that depends on the time must be checked by the field.
    fn enable_cache(self) -> impl Future<Output = ()> + Send;
}

impl CacheLoads for ExecutionField<'_> {
    async fn enable_cache(self) {
        let context = self.context();
        let request = context.request();
        if let Some(cache) = &request.cache {
            cache.begin(request.viewer, self.variables(), &context.rounds).await;
        }
    }
}

impl CacheHandle {
    pub(super) fn new(cache: Arc<LoadCache>, writes: Arc<dyn WriteCount>, digest: [u8; 32]) -> Self {
        Self { cache, writes, digest, pending: Mutex::default() }
    }

    /// Lets `rounds` replay the loads of an equal request, or record its own.
    async fn begin(&self, viewer: Viewer, variables: &IndexMap<Name, Value>, rounds: &Rounds) {
        let Some(writes) = self.writes.writes().await else { return };
        let Some(key) = self.key(viewer, variables) else { return };
        match self.cache.get(&key, writes) {
            Some(loads) => rounds.replay_from(loads),
            None => {
                let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
                // If several fields enable the cache, the first one sets the time from which the loads are valid.
                pending.get_or_insert(PendingEntry { key, writes, since: Instant::now() });
                rounds.record();
            }
        }
    }

    fn key(&self, viewer: Viewer, variables: &IndexMap<Name, Value>) -> Option<CacheKey> {
        let mut digest = Sha256::new_with_prefix(self.digest);
        let request =
            serde_json::to_vec(&(viewer.user, viewer.scope.map(crate::access::TokenScope::as_str), variables));
        digest.update(request.ok()?);
        Some(digest.finalize().into())
    }

    /// Stores the recorded loads.
    pub(super) fn store(&self, rounds: &Rounds) {
        let pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let (Some(pending), Some(loads)) = (pending, rounds.take_recording()) {
            let bytes = loads.bytes() + ENTRY_BYTES;
            let entry = Entry { loads: Arc::new(loads), writes: pending.writes, since: pending.since, bytes };
            self.cache.entries.insert(pending.key, Arc::new(entry));
        }
    }
}
