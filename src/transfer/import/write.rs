//! Writes a batch: one statement each to classify, insert and update its rows.
use anyhow::Result;
use uuid::Uuid;

use super::{
    super::{
        RejectedRecord,
        change_log::{EventTarget, RowChange},
    },
    Importer,
    row::{PendingRow, numbered},
    table::{ARTIFACTS, MEMBERSHIPS, NOT_SHAREABLE, OTHER_OWNER, TABLES, Table},
};
use crate::{catalog::collection, db::Arg};

/// The state of a row compared with the database.
type RowState = i64;

const NEW: RowState = 0;
const CHANGED: RowState = 1;
const UNCHANGED: RowState = 2;
/// The row would belong to an object of another account.
const PARENT_NOT_OWNED: RowState = 3;
/// The membership would put a private artifact into another account's collection.
const MEMBER_NOT_SHAREABLE: RowState = 4;
/// The first of the table's rejections; the others follow.
const REJECTED: RowState = 5;

impl Importer {
    /// Writes the rows of one table and records their changes.
    pub(super) async fn write(&mut self, index: usize, rows: Vec<PendingRow>) -> Result<()> {
        let table = TABLES[index];
        self.create_missing_tags(&rows).await?;
        let states = self.classify(table, &rows).await?;
        self.collect_keys(index, &rows, &states);
        let (mut new, changed) = (with_state(&rows, &states, NEW), with_state(&rows, &states, CHANGED));
        if !new.is_empty() && self.insert(table, &new).await? < new.len() as u64 {
            new = self.reject_not_inserted(table, new).await?;
        }
        if !changed.is_empty() {
            self.update(table, &changed).await?;
        }
        self.remove_private_artifacts(table, &new, &changed).await?;
        let written: Vec<&PendingRow> = new.iter().chain(&changed).copied().collect();
        self.set_tags(&written, !changed.is_empty()).await?;
        self.report_rejections(table, &rows, &states);
        for (rows, change) in [(&new, RowChange::Inserted), (&changed, RowChange::Updated)] {
            rows.iter().for_each(|row| self.changes.record(table.event_target, change, &row.ids(2)));
        }
        let counts = self.report.kind(table.kind);
        counts.created += new.len() as u64;
        counts.updated += changed.len() as u64;
        counts.unchanged += with_state(&rows, &states, UNCHANGED).len() as u64;
        Ok(())
    }

    /// Collects the keys of rows that a later import may remove: not those of other accounts.
    fn collect_keys(&mut self, index: usize, rows: &[PendingRow], states: &[RowState]) {
        let Some(keys) = &mut self.keys else { return };
        let table = TABLES[index];
        let is_first_rejection_other_owner = table.rejections.first() == Some(&OTHER_OWNER);
        let is_own = |state: RowState| match state {
            PARENT_NOT_OWNED => false,
            REJECTED => !is_first_rejection_other_owner,
            _ => true,
        };
        let own = rows.iter().zip(states).filter(|(_, state)| is_own(**state));
        keys[index].extend(own.map(|(row, _)| row.ids(table.key_columns)));
    }

    fn report_rejections(&mut self, table: &'static Table, rows: &[PendingRow], states: &[RowState]) {
        for (row, state) in rows.iter().zip(states) {
            let of_table = || usize::try_from(state - REJECTED).ok().and_then(|index| table.rejections.get(index));
            let rejection = match *state {
                PARENT_NOT_OWNED => Some(&OTHER_OWNER),
                MEMBER_NOT_SHAREABLE => Some(&NOT_SHAREABLE),
                _ => of_table(),
            };
            if let Some((_, reason)) = rejection {
                self.report.reject(RejectedRecord::new(&row.location, *reason));
            }
        }
    }

    /// Compares each row with the database.
    async fn classify(&mut self, table: &'static Table, rows: &[PendingRow]) -> Result<Vec<RowState>> {
        let mut sql = self.tx.sql();
        sql.push("select s.n, s.state from (select r.n, cast(case ");
        for (index, (condition, _)) in table.rejections.iter().enumerate() {
            sql.push("when ").push(condition).push(" then ").int(REJECTED + index as i64).push(" ");
        }
        if let Some(owner) = self.owner {
            for owners in table.owners {
                sql.push("when exists (select 1 from (").push(owners).push(") p where p.owner_id is distinct from ");
                sql.bind(Arg::Id(owner)).push(") then ").int(PARENT_NOT_OWNED).push(" ");
            }
            if table.name == MEMBERSHIPS.name {
                sql.push("when ").push(NOT_SHAREABLE.0).push(collection::MAY_BE_HELD).push(") then ");
                sql.int(MEMBER_NOT_SHAREABLE).push(" ");
            }
        }
        sql.push("when e.").push(table.columns[0].0).push(" is null then 0 when (");
        table.push_existing_values(&mut sql);
        sql.push(") is not distinct from (");
        table.push_imported_values(&mut sql);
        sql.push(") then 2 else 1 end as bigint) as state from ");
        sql.row_table(table.columns, &numbered(rows.iter()));
        sql.push(" r left join ").push(table.name).push(" e on ");
        table.push_key_condition(&mut sql);
        // Most rows are new: leaving them out keeps the result small.
        sql.push(") s where s.state <> ").int(NEW);
        let mut states = vec![NEW; rows.len()];
        for (n, state) in self.tx.fetch::<(i64, RowState)>("import.classify", sql).await? {
            if let Some(found) = usize::try_from(n).ok().and_then(|n| states.get_mut(n)) {
                *found = state;
            }
        }
        Ok(states)
    }

    /// Inserts new rows and returns their number. Rows that conflict with an earlier one of the batch are left out.
    async fn insert(&mut self, table: &'static Table, rows: &[&PendingRow]) -> Result<u64> {
        let mut sql = self.tx.sql();
        sql.push("insert into ").push(table.name).push(" (");
        table.push_written(&mut sql, "");
        for (name, _) in table.derived {
            sql.push(", ").push(name);
        }
        sql.push(") select ");
        table.push_written(&mut sql, "r.");
        for (_, value) in table.derived {
            sql.push(", ").push(value);
        }
        sql.push(" from ").row_table(table.columns, &numbered(rows.iter().copied()));
        sql.push(" r").push(table.joins).push(" where true on conflict do nothing");
        Ok(self.tx.execute("import.insert", sql).await?)
    }

    /// Returns the rows that were inserted and rejects the others, which conflict with an earlier row of their batch.
    async fn reject_not_inserted<'r>(
        &mut self,
        table: &'static Table,
        rows: Vec<&'r PendingRow>,
    ) -> Result<Vec<&'r PendingRow>> {
        let mut sql = self.tx.sql();
        sql.push("select r.n from ").row_table(table.columns, &numbered(rows.iter().copied()));
        sql.push(" r join ").push(table.name).push(" e on ");
        table.push_key_condition(&mut sql);
        let mut is_inserted = vec![false; rows.len()];
        for n in self.tx.fetch::<i64>("import.inserted", sql).await? {
            if let Some(found) = usize::try_from(n).ok().and_then(|n| is_inserted.get_mut(n)) {
                *found = true;
            }
        }
        let reason = table.rejections.last().map_or("it exists already", |(_, reason)| reason);
        for (row, _) in rows.iter().zip(&is_inserted).filter(|(_, is_inserted)| !**is_inserted) {
            self.report.reject(RejectedRecord::new(&row.location, reason));
        }
        Ok(rows.into_iter().zip(is_inserted).filter_map(|(row, is_inserted)| is_inserted.then_some(row)).collect())
    }

    async fn update(&mut self, table: &'static Table, rows: &[&PendingRow]) -> Result<()> {
        let mut sql = self.tx.sql();
        sql.push("update ").push(table.name).push(" as e set revision = e.revision + 1");
        for name in table.updated() {
            sql.push(", ").push(name).push(" = r.").push(name);
        }
        sql.push(" from ").row_table(table.columns, &numbered(rows.iter().copied())).push(" r where ");
        table.push_key_condition(&mut sql);
        self.tx.execute("import.update", sql).await?;
        Ok(())
    }

    /// Removes artifacts that are not public, or no longer so, from collections of other accounts.
    async fn remove_private_artifacts(
        &mut self,
        table: &'static Table,
        new: &[&PendingRow],
        changed: &[&PendingRow],
    ) -> Result<()> {
        if self.owner.is_none() {
            return Ok(());
        }
        match table.name {
            name if name == ARTIFACTS.name => {
                self.remove_from_foreign_collections(changed.iter().flat_map(|row| row.ids(1)).collect()).await
            }
            // The owner of an added artifact may have made it private since the rows were classified.
            name if name == MEMBERSHIPS.name => {
                let artifact = |row: &&PendingRow| row.ids(2).last().copied();
                self.remove_from_foreign_collections(new.iter().filter_map(artifact).collect()).await
            }
            _ => Ok(()),
        }
    }

    async fn remove_from_foreign_collections(&mut self, artifacts: Vec<Uuid>) -> Result<()> {
        if artifacts.is_empty() {
            return Ok(());
        }
        let mut sql = self.tx.sql();
        collection::write_withdrawal(&artifacts, &mut sql);
        let name = "import.remove_from_foreign_collections";
        for (collection, artifact) in self.tx.fetch::<(Uuid, Uuid)>(name, sql).await? {
            self.changes.record(EventTarget::Membership, RowChange::Deleted, &[collection, artifact]);
        }
        Ok(())
    }
}

fn with_state<'r>(rows: &'r [PendingRow], states: &[RowState], state: RowState) -> Vec<&'r PendingRow> {
    rows.iter().zip(states).filter(|(_, found)| **found == state).map(|(row, _)| row).collect()
}
