//! Which row of the database a record is about.
use anyhow::Result;

use super::{
    super::Problem,
    Writer,
    row::{Waiting, numbered},
    table::Table,
};
use crate::db::Cell;

/// The version of UUIDs that are derived from names.
const DERIVED_VERSION: usize = 5;

impl Writer {
    /// Gives rows whose ids were derived from their names the ids that the database has for these names, so that the same
    /// artifact from two sources is one.
    pub(super) async fn recognise(&mut self, table: &'static Table, rows: &mut Vec<Waiting>) -> Result<()> {
        let is_derived =
            |row: &Waiting| matches!(row.cells[0], Cell::Id(id) if id.get_version_num() == DERIVED_VERSION);
        for cell in rows.iter_mut().flat_map(|row| &mut row.cells) {
            if let Cell::Id(id) = cell {
                *id = self.known_as.get(id).copied().unwrap_or(*id);
            }
        }
        if !rows.iter().any(is_derived) {
            return Ok(());
        }
        self.tell_apart(table, rows).await?;
        let Some(natural_key) = table.natural_key else { return Ok(()) };
        let mut sql = self.tx.sql();
        sql.push("select r.n, o.id from ").row_table(table.columns, &numbered(rows.iter()));
        sql.push(" r join ").push(table.name).push(" o on ").push(natural_key).push(" where o.id <> r.id");
        // One that is there under its own id was renamed, and is not the one that has had the name.
        sql.push(" and not exists (select 1 from ").push(table.name).push(" s where s.id = r.id)");
        for (n, known) in self.tx.fetch::<(i64, uuid::Uuid)>("import.recognise", sql).await? {
            let row = usize::try_from(n).ok().and_then(|n| rows.get_mut(n)).filter(|row| is_derived(row));
            if let Some(row) = row
                && let Cell::Id(id) = &mut row.cells[0]
            {
                self.known_as.insert(*id, known);
                *id = known;
            }
        }
        self.refuse_namesakes(rows);
        Ok(())
    }

    /// Gives rows whose derived ids another account's rows have ids of their own, the same in every run.
    async fn tell_apart(&mut self, table: &'static Table, rows: &mut [Waiting]) -> Result<()> {
        let (Some(owner), Some(is_another)) = (self.owner, table.is_another) else { return Ok(()) };
        let mut sql = self.tx.sql();
        sql.push("select r.n from ").row_table(table.columns, &numbered(rows.iter()));
        sql.push(" r join ").push(table.name).push(" e on e.id = r.id where ").push(is_another);
        for n in self.tx.fetch::<i64>("import.tell_apart", sql).await? {
            if let Some(row) = usize::try_from(n).ok().and_then(|n| rows.get_mut(n))
                && let Cell::Id(id) = &mut row.cells[0]
                && id.get_version_num() == DERIVED_VERSION
            {
                let own = uuid::Uuid::new_v5(&owner, id.as_bytes());
                self.known_as.insert(*id, own);
                *id = own;
            }
        }
        Ok(())
    }

    /// Of two that a source calls the same, the first one counts, in every run.
    fn refuse_namesakes(&mut self, rows: &mut Vec<Waiting>) {
        let (seen, known_as, report) = (&mut self.seen, &mut self.known_as, &mut self.report);
        rows.retain(|row| {
            let Cell::Id(id) = row.cells[0] else { return true };
            let is_first = seen.insert(id);
            if !is_first {
                let reason = "another record of this source has the same name".to_owned();
                report.refuse(Problem { place: row.place.clone(), reason });
                // What refers to it refers to nothing.
                known_as.extend(row.given.map(|given| (given, uuid::Uuid::nil())));
            }
            is_first
        });
    }
}
