//! Writes records in batches within one transaction. The number of statements of a batch does not depend on its size.
//! Changes are announced in the same transaction.
mod identity;
mod row;
mod sync;
mod table;
mod tag;
mod write;

pub use sync::SourceSync;

use std::collections::{HashMap, HashSet};

use anyhow::Result;

use self::{
    row::{PendingRow, pending_row},
    sync::SourceKeys,
    table::TABLES,
};
use super::{ImportReport, RejectedRecord, Source, SourceItem, SourceRecord, change_log::ChangeLog};
use crate::{
    db::{Db, Dialect, Time, Transaction, text},
    statement,
};

/// Maximum number of rejected records that are named as the cause of other rejections.
const REJECTED_MAX: usize = 100_000;

/// Maximum number of rows of one statement.
const BATCH_ROWS: usize = 5_000;

/// The options of an import.
#[derive(Clone, Copy, Debug, Default)]
pub struct ImportOptions {
    /// The account that owns the imported objects; `None` if the server has no accounts.
    pub owner: Option<uuid::Uuid>,
    /// Rolls the transaction back. The report says what would have changed.
    pub is_dry_run: bool,
    /// Rejects records of which the catalogue does not store something.
    pub is_strict: bool,
}

/// Imports all records of `source`, and calls `progress` with the number of records read so far.
///
/// # Errors
/// The source cannot be read, or the database fails; the transaction is then rolled back.
pub async fn import(
    db: &Db,
    source: Source,
    options: ImportOptions,
    progress: impl FnMut(u64),
) -> Result<ImportReport> {
    let mut importer = Importer::new(begin(db).await?, options.owner, None);
    importer.import_all(source, options.is_strict, progress).await?;
    if !options.is_dry_run {
        announce_and_commit(importer.tx, importer.changes).await?;
        analyze(db).await?;
    }
    Ok(importer.report)
}

async fn announce_and_commit(mut tx: Transaction, changes: ChangeLog) -> Result<()> {
    if let Some(message) = changes.into_message() {
        tx.announce(&message).await?;
    }
    Ok(tx.commit().await?)
}

/// Updates PostgreSQL's statistics. Until autovacuum does so, the planner assumes the tables' earlier sizes: on a catalogue
/// of 100,000 artifacts, reading the collections of 50 of them took 172 ms before and 1.6 ms after.
async fn analyze(db: &Db) -> Result<()> {
    if db.dialect() == Dialect::Postgres {
        let mut tx = db.begin().await?;
        tx.execute("import.analyze", statement!(tx, "analyze")).await?;
        tx.commit().await?;
    }
    Ok(())
}

/// Begins a transaction that is tuned for writing many rows.
///
/// PostgreSQL must use indexes: rows of this transaction are not in the statistics yet, so the planner takes their tables
/// for small and would scan and hash them for each batch. SQLite gets a page cache of 64 MiB: with a smaller one, index
/// pages are spilled to the write-ahead log and read back repeatedly.
async fn begin(db: &Db) -> Result<Transaction> {
    let mut tx = db.begin().await?;
    let settings: &[&str] = match tx.dialect() {
        Dialect::Postgres => {
            &["set local enable_hashjoin = off", "set local enable_mergejoin = off", "set local enable_seqscan = off"]
        }
        Dialect::Sqlite => &["pragma cache_size = -65536"],
    };
    for setting in settings {
        tx.execute("import.settings", statement!(tx, "{setting}", setting = text(setting))).await?;
    }
    Ok(tx)
}

/// The state of one import: its transaction and the rows that are not written yet.
struct Importer {
    tx: Transaction,
    owner: Option<uuid::Uuid>,
    /// Rows to write, by table.
    pending: [Vec<PendingRow>; 7],
    /// Index of each key in `pending`, by table.
    pending_index: [HashMap<Vec<uuid::Uuid>, usize>; 7],
    /// Ids of the database by the ids that the source derived from names.
    resolved_ids: HashMap<uuid::Uuid, uuid::Uuid>,
    /// Slugs of tags in the database by the slugs that the source derived from their names, if they differ.
    kept_slugs: HashMap<String, String>,
    /// Ids of rows so far, for sources that derive ids from names.
    seen_ids: HashSet<uuid::Uuid>,
    /// The locations of rejected records by id, at most [`REJECTED_MAX`].
    rejected: HashMap<uuid::Uuid, String>,
    now: Time,
    report: ImportReport,
    changes: ChangeLog,
    /// The keys of all rows of the source; collected only if this is set.
    keys: Option<SourceKeys>,
}

impl Importer {
    fn new(tx: Transaction, owner: Option<uuid::Uuid>, keys: Option<SourceKeys>) -> Self {
        Self {
            tx,
            owner,
            pending: Default::default(),
            pending_index: Default::default(),
            resolved_ids: HashMap::new(),
            kept_slugs: HashMap::new(),
            seen_ids: HashSet::new(),
            rejected: HashMap::new(),
            now: Time::now(),
            report: ImportReport::default(),
            changes: ChangeLog::new(owner),
            keys,
        }
    }

    /// Reads the source to its end and writes its records.
    async fn import_all(&mut self, source: Source, is_strict: bool, mut progress: impl FnMut(u64)) -> Result<()> {
        let (mut records, reader) = source.read(is_strict);
        let mut count = 0_u64;
        while let Some(record) = records.recv().await {
            match record {
                SourceItem::Record(record) => self.add(record).await?,
                SourceItem::Rejected(rejected) => self.reject(rejected),
                SourceItem::Notice(notice) => self.report.notice(notice),
            }
            count += 1;
            if count.is_multiple_of(BATCH_ROWS as u64) {
                progress(count);
            }
        }
        reader.await??;
        self.flush().await?;
        progress(count);
        Ok(())
    }

    /// Reports a rejected record, and remembers it for records that refer to it.
    fn reject(&mut self, record: RejectedRecord) {
        if let Some(id) = record.id
            && self.rejected.len() < REJECTED_MAX
        {
            self.rejected.insert(id, record.location.clone());
        }
        self.report.reject(record);
    }

    /// Adds a record to its table's batch. The last record of a key replaces earlier ones.
    async fn add(&mut self, record: SourceRecord) -> Result<()> {
        let Some((table, row)) = pending_row(record, self.owner, self.now) else { return Ok(()) };
        let table = table as usize;
        let key = row.ids(TABLES[table].key_columns);
        let next = self.pending[table].len();
        let index = *self.pending_index[table].entry(key).or_insert(next);
        if index < next {
            self.pending[table][index] = row;
        } else {
            self.pending[table].push(row);
        }
        if self.pending[table].len() >= BATCH_ROWS { self.flush().await } else { Ok(()) }
    }

    /// Writes all pending rows, each table after those that it refers to.
    async fn flush(&mut self) -> Result<()> {
        for (index, table) in TABLES.into_iter().enumerate() {
            self.pending_index[index].clear();
            let mut rows = std::mem::take(&mut self.pending[index]);
            if !rows.is_empty() {
                self.keep_slugs(table, &mut rows).await?;
                self.resolve_ids(table, &mut rows).await?;
                self.write(index, rows).await?;
            }
        }
        Ok(())
    }
}
