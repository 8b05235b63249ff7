//! Documents of automatic persisted queries in the database. Their number and size are limited.
use super::Config;
use crate::{
    db::{Db, Dialect, RowTable, Time, Transaction},
    error::Result,
    row_table, statement,
};

/// Limits of all automatically stored documents.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    count: i64,
    bytes: i64,
}

impl From<&Config> for Limits {
    fn from(config: &Config) -> Self {
        Self { count: config.automatic_count.into(), bytes: config.automatic_bytes.into() }
    }
}

impl Limits {
    /// The limits that remain after an eviction: one percent less, so that not every further document evicts another one.
    fn after_eviction(self) -> Self {
        Self { count: self.count - self.count / 100, bytes: self.bytes - self.bytes / 100 }
    }
}

/// Stores a document, or the time of its use if it is stored already. Above the limits, the least recently used documents
/// are removed; `used` are the documents that this node has used since it last stored their use.
///
/// # Errors
/// That of a statement.
pub(super) async fn store(
    db: &Db,
    hash: &str,
    text: &str,
    limits: Limits,
    used: impl FnOnce() -> Vec<Use>,
) -> Result<()> {
    let mut tx = begin(db).await?;
    let sql = statement!(
        tx,
        "insert into automatic_documents (hash, body, bytes, created_at, used_at)
         values ({hash}, {body}, {bytes}, {now}, {now})
         on conflict (hash) do update set used_at = excluded.used_at",
        hash,
        body = text,
        bytes = text.len() as i64,
        now = Time::now(),
    );
    tx.execute("automatic_documents.insert", sql).await?;
    let sql = statement!(tx, "select count(*), cast(coalesce(sum(d.bytes), 0) as bigint) from automatic_documents d");
    let totals = tx.fetch_with("automatic_documents.count", sql, |row| Ok((row.next::<i64>()?, row.next::<i64>()?)));
    let is_within = totals.await?.iter().all(|(count, bytes)| *count <= limits.count && *bytes <= limits.bytes);
    if !is_within {
        set_used(&mut tx, used()).await?;
        evict(&mut tx, limits.after_eviction()).await?;
    }
    tx.commit().await
}

/// Begins a transaction that no other one runs beside, so that concurrent nodes keep the limits and do not deadlock.
async fn begin(db: &Db) -> Result<Transaction> {
    let mut tx = db.begin().await?;
    if tx.dialect() == Dialect::Postgres {
        let sql = statement!(tx, "lock table automatic_documents in share row exclusive mode");
        tx.execute("automatic_documents.lock", sql).await?;
    }
    Ok(tx)
}

/// Removes the least recently used documents until the limits are kept.
async fn evict(tx: &mut Transaction, limits: Limits) -> Result<()> {
    let sql = statement!(
        tx,
        "delete from automatic_documents
         where hash in (
           select s.hash
           from (
             select d.hash, row_number() over newest as place, sum(d.bytes) over newest as total
             from automatic_documents d
             window newest as (order by d.used_at desc, d.hash)
           ) s
           where s.place > {count} or s.total > {bytes}
         )",
        count = limits.count,
        bytes = limits.bytes,
    );
    tx.execute("automatic_documents.evict", sql).await.map(|_| ())
}

row_table! {
    /// The last use of a document on one node.
    pub(super) struct Use { hash: String, used_at: Time }
}

impl Use {
    pub(super) fn new(hash: String, used_at: Time) -> Self {
        Self { hash, used_at }
    }
}

/// Stores when documents were used, unless a later use is stored.
///
/// # Errors
/// That of the statement.
pub(super) async fn record_use(db: &Db, uses: Vec<Use>) -> Result<()> {
    let mut tx = begin(db).await?;
    set_used(&mut tx, uses).await?;
    tx.commit().await
}

async fn set_used(tx: &mut Transaction, uses: Vec<Use>) -> Result<()> {
    if uses.is_empty() {
        return Ok(());
    }
    let rows = RowTable::of(uses);
    let sql = statement!(
        tx,
        "update automatic_documents as d
         set used_at = r.used_at
         from {rows} r
         where d.hash = r.hash and d.used_at < r.used_at",
        rows = &rows,
    );
    tx.execute("automatic_documents.use", sql).await.map(|_| ())
}
