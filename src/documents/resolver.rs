//! Resolves the documents of requests: by identifier to texts, and the documents that are to be stored.
use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use quick_cache::{
    DefaultHashBuilder, OptionsBuilder, Weighter,
    sync::{Cache, DefaultLifecycle},
};
use tracing::{debug, warn};

use super::{
    Config, DocumentId, Mode,
    automatic::{self, Use},
};
use crate::{
    access::Viewer,
    append,
    db::{Db, Row, Sql, Time, with},
    error::{Code, Error, Result},
    statement,
};

/// Time for which the revision of trusted documents is used without reading it again: the longest time for which a node
/// executes a document after it was removed.
const REVISION_TTL: Duration = Duration::from_secs(1);

/// Time for which a document that this node has stored or read is assumed to be stored still.
const STORED_TTL_US: i64 = 60_000_000;

/// Time limit for storing an automatic document. A request does not wait longer, because its document is only stored for
/// later ones.
const STORE_TIMEOUT: Duration = Duration::from_millis(500);

/// Documents per second that all anonymous viewers together may store on one node, and the number that they may store at
/// once. Further ones are executed without being stored.
const ANONYMOUS_PER_SECOND: NonZeroU32 = NonZeroU32::new(10).expect("not zero");
const ANONYMOUS_BURST: NonZeroU32 = NonZeroU32::new(100).expect("not zero");

/// The approximate size of a cached document without its texts.
const ENTRY_BYTES: usize = 256;

/// The approximate size of a document, for the initial capacity of the cache.
const USUAL_BYTES: usize = 2_048;

/// Persisted documents of one node.
pub struct Documents {
    db: Db,
    config: Config,
    cache: DocumentCache,
    /// The revision of trusted documents, and when it was read.
    revision: tokio::sync::Mutex<Option<(i64, Instant)>>,
    anonymous: DefaultDirectRateLimiter,
    /// Held while an automatic document is written.
    writing: tokio::sync::Mutex<()>,
    /// Time of the last write of the times of use.
    recorded_at: AtomicI64,
}

/// Documents by identifier or hash.
type DocumentCache = Cache<String, Arc<CachedDocument>, DocumentWeighter>;

/// The document of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// The text in the request.
    Given,
    /// The text in the request, which has this SHA-256. It is to be stored once it is known to be valid.
    New(String),
    /// A stored text.
    Stored(Arc<str>),
}

struct CachedDocument {
    text: Arc<str>,
    source: Source,
}

enum Source {
    /// A trusted document, as of a revision.
    Trusted { revision: i64 },
    /// An automatic document, which has the hash that it is found by, with the times of its storage and last use.
    Automatic { stored_at: i64, used_at: AtomicI64 },
}

#[derive(Clone)]
struct DocumentWeighter;

impl Weighter<String, Arc<CachedDocument>> for DocumentWeighter {
    fn weight(&self, key: &String, document: &Arc<CachedDocument>) -> u64 {
        (key.len() + document.text.len() + ENTRY_BYTES) as u64
    }
}

impl Documents {
    /// The documents of a database.
    pub fn new(db: &Db, config: Config) -> Self {
        Self {
            db: db.primary(),
            cache: cache(config.cache_bytes),
            revision: tokio::sync::Mutex::default(),
            anonymous: RateLimiter::direct(Quota::per_second(ANONYMOUS_PER_SECOND).allow_burst(ANONYMOUS_BURST)),
            writing: tokio::sync::Mutex::default(),
            recorded_at: AtomicI64::new(Time::now().0),
            config,
        }
    }

    /// Resolves the document of a request with this identifier and this text, either of which may be absent. A text that is
    /// the empty string is absent.
    ///
    /// Known documents take no statement, except that the revision of trusted documents is read at most once per second.
    ///
    /// # Errors
    /// `PERSISTED_QUERY_NOT_FOUND`, `PERSISTED_QUERY_NOT_SUPPORTED`, `DOCUMENT_NOT_TRUSTED`; `BAD_REQUEST` if identifier and
    /// text do not belong to each other; that of a statement.
    pub async fn resolve(&self, id: Option<&DocumentId>, text: &str) -> Result<Resolved> {
        let id = match id {
            None => return self.without_id(),
            Some(DocumentId::Invalid(message)) => return Err(Error::new(Code::BadRequest, *message)),
            Some(id) => id,
        };
        if !text.is_empty() && !id.fits(text) {
            return Err(mismatch(id));
        }
        match self.config.mode {
            Mode::Any if text.is_empty() => self.find(id).await.map(Resolved::Stored),
            Mode::Any => Ok(self.given(id)),
            Mode::Trusted => {
                let stored = self.find(id).await?;
                let is_same = text.is_empty() || text == &*stored;
                if is_same { Ok(Resolved::Stored(stored)) } else { Err(mismatch(id)) }
            }
        }
    }

    fn without_id(&self) -> Result<Resolved> {
        match self.config.mode {
            Mode::Any => Ok(Resolved::Given),
            Mode::Trusted => {
                let message = "this server executes only trusted documents: send `documentId` instead of `query`";
                Err(Error::new(Code::DocumentNotTrusted, message))
            }
        }
    }

    /// The document of a request with a text that fits its identifier.
    fn given(&self, id: &DocumentId) -> Resolved {
        match id {
            DocumentId::Automatic(hash) | DocumentId::Sha256(hash) if self.config.automatic => {
                Resolved::New(hash.clone())
            }
            _ => Resolved::Given,
        }
    }

    async fn find(&self, id: &DocumentId) -> Result<Arc<str>> {
        let key = id.key();
        if let Some(known) = self.cache.get(key)
            && self.is_usable(&known).await?
        {
            return Ok(known.text.clone());
        }
        let found = self.read(key).await?.ok_or_else(|| self.not_found(id))?;
        let found = Arc::new(found);
        self.cache.insert(key.to_owned(), found.clone());
        Ok(found.text.clone())
    }

    /// Whether a cached document may be executed now. Records its use.
    async fn is_usable(&self, document: &CachedDocument) -> Result<bool> {
        match &document.source {
            Source::Trusted { revision } => Ok(self.revision().await? == *revision),
            Source::Automatic { used_at, .. } => {
                used_at.store(Time::now().0, Ordering::Relaxed);
                Ok(true)
            }
        }
    }

    /// The revision of trusted documents, at most [`REVISION_TTL`] ago.
    async fn revision(&self) -> Result<i64> {
        let mut known = self.revision.lock().await;
        if let Some((revision, read_at)) = *known
            && read_at.elapsed() < REVISION_TTL
        {
            return Ok(revision);
        }
        let read_at = Instant::now();
        let sql = statement!(self.db, "select r.revision from trusted_revision r");
        let revision = self.db.fetch::<i64>("trusted_documents.revision", sql).await?.first().copied();
        let revision = revision.ok_or_else(|| Error::internal("the revision of trusted documents is missing"))?;
        *known = Some((revision, read_at));
        Ok(revision)
    }

    /// Reads a document: the trusted one with this identifier, another trusted one with this hash, or an automatic one.
    async fn read(&self, key: &str) -> Result<Option<CachedDocument>> {
        let automatic = |sql: &mut Sql| {
            if self.config.mode == Mode::Any {
                append!(
                    sql,
                    " union all select d.body, cast(3 as bigint) from automatic_documents d where d.hash = {key}",
                    key
                );
            }
        };
        let sql = statement!(
            self.db,
            "select d.body, d.place, r.revision
             from (
               select t.body, cast(1 as bigint) as place from trusted_documents t where t.id = {key}
               union all select t.body, cast(2 as bigint) from trusted_documents t where t.hash = {key}
               {automatic}
             ) d
             cross join trusted_revision r
             order by d.place
             limit 1",
            key,
            automatic = with(&automatic),
        );
        let read = |row: &mut Row<'_>| {
            let (text, place, revision) = (row.next::<String>()?, row.next::<i64>()?, row.next::<i64>()?);
            let source = if place == 3 { Source::automatic() } else { Source::Trusted { revision } };
            Ok(CachedDocument { text: text.into(), source })
        };
        Ok(self.db.fetch_with("documents.find", sql, read).await?.into_iter().next())
    }

    fn not_found(&self, id: &DocumentId) -> Error {
        let is_automatic = matches!(id, DocumentId::Automatic(_));
        match self.config.mode {
            Mode::Trusted => {
                let message = format!("`{id}` is not a trusted document: add it with `gatherum documents add`");
                Error::new(Code::DocumentNotTrusted, message)
            }
            // Clients compare these messages.
            Mode::Any if is_automatic && self.config.automatic => {
                Error::new(Code::PersistedQueryNotFound, "PersistedQueryNotFound")
            }
            Mode::Any if is_automatic => Error::new(Code::PersistedQueryNotSupported, "PersistedQueryNotSupported"),
            Mode::Any => {
                let message =
                    format!("document `{id}` is unknown: send `query`, or add it with `gatherum documents add`");
                Error::new(Code::PersistedQueryNotFound, message)
            }
        }
    }

    /// Stores a valid document, which later requests may name by its hash. If it cannot be stored within half a second, or
    /// anonymous viewers have stored too many, it is not: clients send it again.
    pub async fn store(&self, hash: &str, text: &str, viewer: Viewer) {
        // A document above the limit would replace all others and then itself.
        if text.len() > self.config.automatic_bytes as usize || self.is_stored(hash) {
            return;
        }
        if viewer == Viewer::ANONYMOUS && self.anonymous.check().is_err() {
            return;
        }
        match tokio::time::timeout(STORE_TIMEOUT, self.write(hash, text)).await {
            Ok(Ok(())) => {}
            // The loss of the database is logged once, by its monitor.
            Ok(Err(error)) if error.code.is_temporary() => {
                debug!(cause = error.source_chain(), "a document was not stored");
            }
            Ok(Err(error)) => warn!(cause = error.source_chain(), "a document was not stored"),
            Err(_) => debug!(cause = "the database is busy", "a document was not stored"),
        }
    }

    async fn write(&self, hash: &str, text: &str) -> Result<()> {
        // One at a time, because each takes a connection, and many clients send the documents of a new release at once.
        let _turn = self.writing.lock().await;
        if self.is_stored(hash) {
            return Ok(());
        }
        automatic::store(&self.db, hash, text, automatic::Limits::from(&self.config), || self.used()).await?;
        let document = CachedDocument { text: text.into(), source: Source::automatic() };
        self.cache.insert(hash.to_owned(), Arc::new(document));
        Ok(())
    }

    /// Whether this node has stored or read the document recently.
    fn is_stored(&self, hash: &str) -> bool {
        let Some(known) = self.cache.get(hash) else { return false };
        match &known.source {
            Source::Trusted { .. } => false,
            Source::Automatic { stored_at, used_at } => {
                let now = Time::now().0;
                used_at.store(now, Ordering::Relaxed);
                now - stored_at < STORED_TTL_US
            }
        }
    }

    /// The automatic documents that were used since the last call.
    fn used(&self) -> Vec<Use> {
        let since = self.recorded_at.swap(Time::now().0, Ordering::Relaxed);
        let used = |(hash, document): (String, Arc<CachedDocument>)| match &document.source {
            Source::Trusted { .. } => None,
            Source::Automatic { used_at, .. } => {
                let used_at = used_at.load(Ordering::Relaxed);
                (used_at >= since).then(|| Use::new(hash, Time(used_at)))
            }
        };
        self.cache.iter().filter_map(used).collect()
    }

    /// Stores the times of use of automatic documents; nothing if none was used. The least recently used ones are replaced
    /// first.
    ///
    /// # Errors
    /// That of the statement.
    pub async fn record_use(&self) -> Result<()> {
        let used = self.used();
        if used.is_empty() { Ok(()) } else { automatic::record_use(&self.db, used).await }
    }
}

/// A cache of at most approximately `bytes` bytes. With several shards, a large document would have to fit into one of them.
fn cache(bytes: usize) -> DocumentCache {
    let mut options = OptionsBuilder::new();
    options.shards(1).estimated_items_capacity(bytes / USUAL_BYTES).weight_capacity(bytes as u64);
    let options = options.build().expect("both capacities are given");
    Cache::with_options(options, DocumentWeighter, DefaultHashBuilder::default(), DefaultLifecycle::default())
}

impl Source {
    /// A document that is stored now.
    fn automatic() -> Self {
        let now = Time::now().0;
        Self::Automatic { stored_at: now, used_at: AtomicI64::new(now) }
    }
}

fn mismatch(id: &DocumentId) -> Error {
    let message = match id {
        DocumentId::Automatic(_) => "`sha256Hash` is not the SHA-256 of `query` in lower-case hexadecimal digits",
        DocumentId::Sha256(_) => "`documentId` is not the SHA-256 of `query` in lower-case hexadecimal digits",
        DocumentId::Custom(_) | DocumentId::Invalid(_) => {
            "`query` is not the document that `documentId` identifies: send only one of them"
        }
    };
    Error::new(Code::BadRequest, message)
}
