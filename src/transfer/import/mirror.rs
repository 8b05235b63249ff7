//! A source that is imported again and again.
use std::collections::HashSet;

use anyhow::Result;

use super::{
    super::{
        Report, Source,
        told::{Became, Telling},
    },
    BATCH, Writer, analyze, announce_and_commit, begin,
    table::{ARTIFACTS, ARTIFACTS_PLACE, TABLES, TAGS, Table},
};
use crate::db::{Arg, Cell, CellType::Id, Db};

/// A source that is imported again and again. What it had before and has no longer is removed, but for tags, which others
/// may use.
#[derive(Debug, Default)]
pub struct Mirror {
    /// Whose what is imported is.
    owner: Option<uuid::Uuid>,
    had: Option<Keys>,
    /// Records that were refused the last time.
    refused: u64,
}

/// The keys of a source's rows, for each table.
pub(super) type Keys = [HashSet<Vec<uuid::Uuid>>; 7];

impl Mirror {
    /// Imports for an account, where there are any.
    pub fn new(owner: Option<uuid::Uuid>) -> Self {
        Self { owner, ..Self::default() }
    }

    /// Imports what the source has now.
    ///
    /// Nothing is removed when the source has no artifact any more, or records are refused that were not before: then it
    /// is more likely to be half written, or broken, than to have lost them.
    ///
    /// # Errors
    /// As [`super::import`]; the next import goes on from the one before.
    pub async fn import(&mut self, db: &Db, source: Source) -> Result<Report> {
        let mut writer = Writer::new(begin(db).await?, self.owner, Some(Keys::default()));
        writer.read(source, |_| {}).await?;
        let has = writer.keys.take().unwrap_or_default();
        let may_remove = !has[ARTIFACTS_PLACE].is_empty() && writer.report.refused() <= self.refused;
        if let Some(had) = self.had.as_ref().filter(|_| may_remove) {
            writer.remove(had, &has).await?;
        }
        let report = writer.report;
        announce_and_commit(writer.tx, writer.told).await?;
        if report.written() >= BATCH as u64 {
            analyze(db).await?;
        }
        // What was not removed now may be later.
        match self.had.as_mut().filter(|_| !may_remove) {
            Some(had) => had.iter_mut().zip(has).for_each(|(had, has)| had.extend(has)),
            None => self.had = Some(has),
        }
        self.refused = report.refused();
        Ok(report)
    }
}

impl Writer {
    /// Removes what the source had and has no longer; last first, so that nothing goes by itself with something else.
    pub(super) async fn remove(&mut self, had: &Keys, has: &Keys) -> Result<()> {
        let tables = TABLES.into_iter().zip(had.iter().zip(has)).rev();
        for (table, (had, has)) in tables.filter(|(table, _)| table.name != TAGS.name) {
            let gone: Vec<&Vec<uuid::Uuid>> = had.difference(has).collect();
            for gone in gone.chunks(BATCH) {
                if table.name == ARTIFACTS.name {
                    self.leave_collections(gone).await?;
                }
                self.remove_rows(table, gone).await?;
            }
        }
        Ok(())
    }

    /// Takes artifacts out of all collections, also of those that the source does not have.
    async fn leave_collections(&mut self, artifacts: &[&Vec<uuid::Uuid>]) -> Result<()> {
        let ids: Vec<uuid::Uuid> = artifacts.iter().map(|key| key[0]).collect();
        let mut sql = self.tx.sql();
        sql.push("delete from collection_artifacts where artifact_id").in_ids(&ids);
        sql.push(" returning collection_id, artifact_id");
        for (collection, artifact) in self.tx.fetch::<(uuid::Uuid, uuid::Uuid)>("import.leave", sql).await? {
            self.told.note(Telling::Member, Became::Gone, &[collection, artifact]);
        }
        Ok(())
    }

    async fn remove_rows(&mut self, table: &'static Table, gone: &[&Vec<uuid::Uuid>]) -> Result<()> {
        let columns = &table.columns[..table.keys];
        let rows: Vec<Vec<Cell>> = gone.iter().map(|key| key.iter().copied().map(Cell::Id).collect()).collect();
        let told = if let Telling::Part(_, place) = table.telling { place } else { table.keys - 1 };
        let mut sql = self.tx.sql();
        sql.push("delete from ").push(table.name).push(" where (");
        for (place, (name, _)) in columns.iter().enumerate() {
            sql.push(if place > 0 { ", " } else { "" }).push(name);
        }
        sql.push(") in (select * from ").row_table(columns, &rows).push(" r)");
        if let (Some(owner), true) = (self.owner, table.columns.contains(&("owner_id", Id))) {
            sql.push(" and owner_id = ").bind(Arg::Id(owner));
        }
        sql.push(" returning ");
        sql.push(table.columns[0].0).push(", ").push(table.columns[told].0);
        let removed = self.tx.fetch::<(uuid::Uuid, uuid::Uuid)>("import.remove", sql).await?;
        for (first, second) in &removed {
            self.told.note(table.telling, Became::Gone, &[*first, *second]);
        }
        self.report.kind(table.kind).removed += removed.len() as u64;
        Ok(())
    }
}
