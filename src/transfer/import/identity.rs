//! Assigns records to rows of the database.
use anyhow::Result;
use uuid::Uuid;

use super::{
    super::RejectedRecord,
    Importer,
    row::{PendingRow, numbered},
    table::ImportTable,
};
use crate::{
    db::{Cell, Fragment, text},
    statement,
};

/// The version of UUIDs that are derived from names.
const DERIVED_VERSION: usize = 5;

impl Importer {
    /// Replaces ids that the source derived from names by the ids that these names have in the database, so that the same
    /// artifact from two sources is one row.
    pub(super) async fn resolve_ids(&mut self, table: &'static ImportTable, rows: &mut Vec<PendingRow>) -> Result<()> {
        for cell in rows.iter_mut().flat_map(|row| &mut row.cells) {
            if let Cell::Id(id) = cell {
                *id = self.resolved_ids.get(id).copied().unwrap_or(*id);
            }
        }
        if !rows.iter().any(|row| row.derived_id().is_some()) {
            return Ok(());
        }
        self.separate_owners(table, rows).await?;
        let Some(natural_key) = table.natural_key else { return Ok(()) };
        // A row that exists under the derived id (`s`) was renamed, and is not the row that has the name now.
        let sql = statement!(
            self.tx,
            "select r.n, o.id
             from {rows} r
             join {table} o on {has_same_name} {exempt: the import compares owners itself}
             where o.id <> r.id and not exists (select 1 from {table} s where s.id = r.id)",
            rows = Fragment::Rows(table.columns, &numbered(rows.iter())),
            table = text(table.name),
            has_same_name = text(natural_key),
        );
        for (n, existing) in self.tx.fetch::<(i64, Uuid)>("import.resolve_ids", sql).await? {
            self.replace_derived_id(rows, n, |_| existing);
        }
        self.reject_duplicate_names(rows);
        Ok(())
    }

    /// Gives rows whose derived ids belong to another account's rows different ids, which are the same in every run.
    async fn separate_owners(&mut self, table: &'static ImportTable, rows: &mut [PendingRow]) -> Result<()> {
        let (Some(owner), Some(is_foreign)) = (self.owner, table.is_foreign) else { return Ok(()) };
        let sql = statement!(
            self.tx,
            "select r.n
             from {rows} r
             join {table} e on e.id = r.id {exempt: the import compares owners itself}
             where {is_foreign}",
            rows = Fragment::Rows(table.columns, &numbered(rows.iter())),
            table = text(table.name),
            is_foreign = text(is_foreign),
        );
        for n in self.tx.fetch::<i64>("import.separate_owners", sql).await? {
            self.replace_derived_id(rows, n, |id| Uuid::new_v5(&owner, id.as_bytes()));
        }
        Ok(())
    }

    fn replace_derived_id(&mut self, rows: &mut [PendingRow], n: i64, new_id: impl Fn(Uuid) -> Uuid) {
        if let Some(row) = usize::try_from(n).ok().and_then(|n| rows.get_mut(n))
            && let Some(id) = row.derived_id()
        {
            self.resolved_ids.insert(id, new_id(id));
            row.cells[0] = Cell::Id(new_id(id));
        }
    }

    /// Rejects all but the first of several records with the same name.
    fn reject_duplicate_names(&mut self, rows: &mut Vec<PendingRow>) {
        let (seen, resolved, report) = (&mut self.seen_ids, &mut self.resolved_ids, &mut self.report);
        rows.retain(|row| {
            let Cell::Id(id) = row.cells[0] else { return true };
            let is_first = seen.insert(id);
            if !is_first {
                report.reject(RejectedRecord::new(&row.location, "another record of this source has the same name"));
                // Records that refer to this one must not find the first one instead.
                resolved.extend(row.source_id.map(|id| (id, Uuid::nil())));
            }
            is_first
        });
    }
}

impl PendingRow {
    /// The row's id if it was derived from a name.
    fn derived_id(&self) -> Option<Uuid> {
        match self.cells[0] {
            Cell::Id(id) if id.get_version_num() == DERIVED_VERSION => Some(id),
            _ => None,
        }
    }
}
