//! Repeated imports of one source, which also remove what the source no longer has.
use std::collections::HashSet;

use anyhow::Result;
use uuid::Uuid;

use super::{
    super::{
        ImportReport, Source,
        change_log::{EventTarget, RowChange},
    },
    BATCH_ROWS, Importer, analyze, announce_and_commit, begin,
    row::TableIndex,
    table::{ARTIFACTS, ImportTable, TABLES, TAGS},
};
use crate::{
    append,
    db::{Cell, CellType::Id, Db, Fragment, in_ids, text, with},
    statement,
};

/// Imports one source repeatedly and removes rows that the source no longer has. Tags are not removed, because other
/// artifacts may have them.
#[derive(Debug, Default)]
pub struct SourceSync {
    /// Owner of the imported rows.
    owner: Option<Uuid>,
    /// Keys of the previous import; `None` before the first one.
    previous_keys: Option<SourceKeys>,
    /// Number of records that the previous import rejected.
    previous_rejected: u64,
}

/// The keys of all rows of a source, by table.
pub(super) type SourceKeys = [HashSet<Vec<Uuid>>; 7];

impl SourceSync {
    /// Imports for the account `owner`, or for nobody if the server has no accounts.
    pub fn new(owner: Option<Uuid>) -> Self {
        Self { owner, ..Self::default() }
    }

    /// Imports the current state of the source.
    ///
    /// Removes nothing if the source has no artifacts, or more records are rejected than before: the source is then more
    /// likely to be damaged or half written than to have lost those rows.
    ///
    /// # Errors
    /// As [`super::import`]. The next import then continues from the last successful one.
    pub async fn import(&mut self, db: &Db, source: Source) -> Result<ImportReport> {
        let mut importer = Importer::new(begin(db).await?, self.owner, Some(SourceKeys::default()));
        importer.import_all(source, false, |_| {}).await?;
        let keys = importer.keys.take().unwrap_or_default();
        let may_remove =
            !keys[TableIndex::Artifacts as usize].is_empty() && importer.report.rejected() <= self.previous_rejected;
        if let Some(previous) = self.previous_keys.as_ref().filter(|_| may_remove) {
            importer.remove_missing(previous, &keys).await?;
        }
        let report = importer.report;
        announce_and_commit(importer.tx, importer.changes).await?;
        if report.written() >= BATCH_ROWS as u64 {
            analyze(db).await?;
        }
        // Keys that were not removed now are removed by a later import.
        match self.previous_keys.as_mut().filter(|_| !may_remove) {
            Some(previous) => previous.iter_mut().zip(keys).for_each(|(previous, keys)| previous.extend(keys)),
            None => self.previous_keys = Some(keys),
        }
        self.previous_rejected = report.rejected();
        Ok(report)
    }
}

impl Importer {
    /// Deletes the rows of `previous` that are not in `current`. Tables are handled in reverse order, so that no row is
    /// deleted by a cascade without an event.
    async fn remove_missing(&mut self, previous: &SourceKeys, current: &SourceKeys) -> Result<()> {
        let tables = TABLES.into_iter().zip(previous.iter().zip(current)).rev();
        for (table, (previous, current)) in tables.filter(|(table, _)| table.name != TAGS.name) {
            let missing: Vec<&Vec<Uuid>> = previous.difference(current).collect();
            for keys in missing.chunks(BATCH_ROWS) {
                if table.name == ARTIFACTS.name {
                    self.remove_from_all_collections(keys).await?;
                }
                self.delete_rows(table, keys).await?;
            }
        }
        Ok(())
    }

    /// Removes artifacts from all collections, including those that the source does not have.
    async fn remove_from_all_collections(&mut self, artifacts: &[&Vec<Uuid>]) -> Result<()> {
        let ids: Vec<Uuid> = artifacts.iter().map(|key| key[0]).collect();
        let sql = statement!(
            self.tx,
            "delete from collection_artifacts {exempt: the artifacts belong to the owner of the import}
             where artifact_id {ids}
             returning collection_id, artifact_id",
            ids = in_ids(&ids),
        );
        for (collection, artifact) in self.tx.fetch::<(Uuid, Uuid)>("import.remove_from_collections", sql).await? {
            self.changes.record(EventTarget::Membership, RowChange::Deleted, &[collection, artifact]);
        }
        Ok(())
    }

    async fn delete_rows(&mut self, table: &'static ImportTable, keys: &[&Vec<Uuid>]) -> Result<()> {
        let rows: Vec<Vec<Cell>> = keys.iter().map(|key| key.iter().copied().map(Cell::Id).collect()).collect();
        let second = if let EventTarget::Part(_, index) = table.event_target { index } else { table.key_columns - 1 };
        let owner = self.owner.filter(|_| table.columns.contains(&("owner_id", Id)));
        let sql = statement!(
            self.tx,
            "delete from {table} {exempt: the keys are those of a previous import by the same owner}
             where ({key}) in (select * from {rows} r) {of_owner}
             returning {first}, {second}",
            table = text(table.name),
            key = with(&|sql| table.push_key(sql)),
            rows = Fragment::Rows(table.key(), &rows),
            of_owner = with(&|sql| {
                if let Some(owner) = owner {
                    append!(sql, " and owner_id = {owner}", owner);
                }
            }),
            first = text(table.columns[0].0),
            second = text(table.columns[second].0),
        );
        let deleted = self.tx.fetch::<(Uuid, Uuid)>("import.delete", sql).await?;
        for (first, second) in &deleted {
            self.changes.record(table.event_target, RowChange::Deleted, &[*first, *second]);
        }
        self.report.kind(table.kind).removed += deleted.len() as u64;
        Ok(())
    }
}
