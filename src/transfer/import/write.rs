//! Writes a batch: one statement each to classify, insert and update its rows.
use std::collections::HashSet;

use anyhow::Result;
use uuid::Uuid;

use super::{
    super::{
        RejectedRecord,
        change_log::{EventTarget, RowChange},
    },
    Importer,
    row::{PendingRow, numbered},
    table::{ARTIFACTS, ImportTable, MEMBERSHIPS, NOT_SHAREABLE, OTHER_OWNER, TABLES, TAGS},
};
use crate::{
    append,
    catalog::collection,
    db::{Fragment, Sql, text, with},
    statement,
};

/// The state of a row compared with the database.
type RowState = i64;

const NEW: RowState = 0;
const CHANGED: RowState = 1;
const UNCHANGED: RowState = 2;
/// The row would belong to an object of another account.
const PARENT_NOT_OWNED: RowState = 3;
/// The membership would put a private artifact into another account's collection.
const MEMBER_NOT_SHAREABLE: RowState = 4;
/// An earlier row of the batch has the name.
const NAME_REPEATED: RowState = 5;
/// The first of the table's rejections; the others follow.
const REJECTED: RowState = 6;

impl Importer {
    /// Writes the rows of one table and records their changes.
    pub(super) async fn write(&mut self, index: usize, rows: Vec<PendingRow>) -> Result<()> {
        let table = TABLES[index];
        self.create_missing_tags(&rows).await?;
        let mut states = self.classify(table, &rows).await?;
        reject_repeated_names(table, &rows, &mut states);
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

    fn report_rejections(&mut self, table: &'static ImportTable, rows: &[PendingRow], states: &[RowState]) {
        for (row, state) in rows.iter().zip(states) {
            let of_table = || usize::try_from(state - REJECTED).ok().and_then(|index| table.rejections.get(index));
            let rejection = match *state {
                PARENT_NOT_OWNED => Some(OTHER_OWNER.1),
                MEMBER_NOT_SHAREABLE => Some(NOT_SHAREABLE),
                NAME_REPEATED => Some(REPEATED_NAME),
                _ => of_table().map(|(_, reason)| *reason),
            };
            if let Some(reason) = rejection {
                self.reject_row(table, row, reason);
            }
        }
    }

    /// Rejects a row. If it refers to a rejected record, that is the cause; the cause is reported once for its location.
    pub(super) fn reject_row(&mut self, table: &'static ImportTable, row: &PendingRow, reason: &str) {
        let ids = row.ids(table.columns.len());
        let own_id = ids.first().copied().filter(|_| table.key_columns == 1);
        let references = ids.iter().filter(|id| Some(**id) != own_id);
        let cause = references.filter_map(|id| self.rejected.get(id)).next().filter(|_| is_reference_missing(reason));
        match cause.cloned() {
            Some(cause) if cause == row.location => {
                self.rejected.extend(own_id.map(|id| (id, cause)));
            }
            Some(cause) => {
                let reason = match reason.strip_suffix("is missing") {
                    Some(subject) => format!("{subject}was rejected ({cause})"),
                    None => format!("{reason}: a record that it refers to was rejected ({cause})"),
                };
                self.reject(RejectedRecord::new(&row.location, reason).with_id(own_id));
            }
            None => self.reject(RejectedRecord::new(&row.location, reason).with_id(own_id)),
        }
    }

    /// Compares each row with the database.
    async fn classify(&mut self, table: &'static ImportTable, rows: &[PendingRow]) -> Result<Vec<RowState>> {
        let owner = self.owner;
        // Most rows are new: leaving them out keeps the result small.
        let sql = statement!(
            self.tx,
            "select s.n, s.state
             from (
                 select r.n, cast(case {when_rejected} {when_not_owned}
                     when e.{key_column} is null then {new}
                     when ({existing_values}) is not distinct from ({imported_values}) then {unchanged}
                     else {changed}
                 end as bigint) as state
                 from {rows} r
                 left join {table} e on {has_same_key} {exempt: the import compares owners itself}
             ) s
             where s.state <> {new}",
            when_rejected = with(&|sql| push_rejections(table, sql)),
            when_not_owned = with(&|sql| push_ownership(table, owner, sql)),
            key_column = text(table.columns[0].0),
            existing_values = with(&|sql| table.push_existing_values(sql)),
            imported_values = with(&|sql| table.push_imported_values(sql)),
            rows = Fragment::Rows(table.columns, &numbered(rows.iter())),
            table = text(table.name),
            has_same_key = with(&|sql| table.push_key_condition(sql)),
            new = NEW,
            changed = CHANGED,
            unchanged = UNCHANGED,
        );
        let mut states = vec![NEW; rows.len()];
        for (n, state) in self.tx.fetch::<(i64, RowState)>("import.classify", sql).await? {
            if let Some(found) = usize::try_from(n).ok().and_then(|n| states.get_mut(n)) {
                *found = state;
            }
        }
        Ok(states)
    }

    /// Inserts new rows and returns their number. Rows that conflict with an earlier one of the batch are left out.
    async fn insert(&mut self, table: &'static ImportTable, rows: &[&PendingRow]) -> Result<u64> {
        let sql = statement!(
            self.tx,
            "insert into {table} ({columns})
             select {values}
             from {rows} r {joins}
             where true
             on conflict do nothing",
            table = text(table.name),
            columns = with(&|sql| table.push_inserted_columns(sql)),
            values = with(&|sql| table.push_inserted_values(sql)),
            rows = Fragment::Rows(table.columns, &numbered(rows.iter().copied())),
            joins = text(table.joins),
        );
        Ok(self.tx.execute("import.insert", sql).await?)
    }

    /// Returns the rows that were inserted and rejects the others, which conflict with an earlier row of their batch.
    async fn reject_not_inserted<'r>(
        &mut self,
        table: &'static ImportTable,
        rows: Vec<&'r PendingRow>,
    ) -> Result<Vec<&'r PendingRow>> {
        let sql = statement!(
            self.tx,
            "select r.n
             from {rows} r
             join {table} e on {has_same_key} {exempt: the rows were written by this transaction}",
            rows = Fragment::Rows(table.columns, &numbered(rows.iter().copied())),
            table = text(table.name),
            has_same_key = with(&|sql| table.push_key_condition(sql)),
        );
        let mut is_inserted = vec![false; rows.len()];
        for n in self.tx.fetch::<i64>("import.inserted", sql).await? {
            if let Some(found) = usize::try_from(n).ok().and_then(|n| is_inserted.get_mut(n)) {
                *found = true;
            }
        }
        let reason = table.rejections.last().map_or("it exists already", |(_, reason)| reason);
        for (row, _) in rows.iter().zip(&is_inserted).filter(|(_, is_inserted)| !**is_inserted) {
            self.reject_row(table, row, reason);
        }
        Ok(rows.into_iter().zip(is_inserted).filter_map(|(row, is_inserted)| is_inserted.then_some(row)).collect())
    }

    async fn update(&mut self, table: &'static ImportTable, rows: &[&PendingRow]) -> Result<()> {
        let sql = statement!(
            self.tx,
            "update {table} as e
             set revision = e.revision + 1 {assignments}
             from {rows} r
             where {has_same_key} {exempt: the import has compared owners}",
            table = text(table.name),
            assignments = with(&|sql| table.push_assignments(sql)),
            rows = Fragment::Rows(table.columns, &numbered(rows.iter().copied())),
            has_same_key = with(&|sql| table.push_key_condition(sql)),
        );
        self.tx.execute("import.update", sql).await?;
        Ok(())
    }

    /// Removes artifacts that are not public, or no longer so, from collections of other accounts.
    async fn remove_private_artifacts(
        &mut self,
        table: &'static ImportTable,
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
        collection::append_removal_from_foreign_collections(&artifacts, &mut sql);
        let name = "import.remove_from_foreign_collections";
        for (collection, artifact) in self.tx.fetch::<(Uuid, Uuid)>(name, sql).await? {
            self.changes.record(EventTarget::Membership, RowChange::Deleted, &[collection, artifact]);
        }
        Ok(())
    }
}

/// The reason for rejecting all but the first of several rows with the same name.
pub(super) const REPEATED_NAME: &str = "another record of this source has the same name";

/// Whether a rejection is due to another object that does not exist.
fn is_reference_missing(reason: &str) -> bool {
    reason.ends_with("is missing") || reason.ends_with("is not in the group's collection")
}

/// Rejects rows to write whose name an earlier row of the batch has: the name is unique, and the statement would fail.
fn reject_repeated_names(table: &'static ImportTable, rows: &[PendingRow], states: &mut [RowState]) {
    let columns: &[&str] = match table.natural_key {
        Some(_) => &["type", "name", "slug", "collection_id"],
        None => return,
    };
    let is_key = |name: &str| columns.contains(&name) && (name != "name" || table.name != TAGS.name);
    let mut names = HashSet::new();
    for (row, state) in rows.iter().zip(states).filter(|(_, state)| [NEW, CHANGED].contains(state)) {
        let cells = table.columns.iter().zip(&row.cells).filter(|((name, _), _)| is_key(name));
        let name: Vec<String> = cells.map(|(_, cell)| format!("{cell:?}")).collect();
        if !names.insert(name) {
            *state = NAME_REPEATED;
        }
    }
}

/// Appends a `when` for each rejection of the table.
fn push_rejections(table: &'static ImportTable, sql: &mut Sql) {
    for (index, (condition, _)) in table.rejections.iter().enumerate() {
        append!(
            sql,
            " when {is_rejected} then {state}",
            is_rejected = text(condition),
            state = REJECTED + index as i64
        );
    }
}

/// Appends a `when` for rows that `owner` may not write.
fn push_ownership(table: &'static ImportTable, owner: Option<Uuid>, sql: &mut Sql) {
    let Some(owner) = owner else { return };
    for owners in table.owners {
        append!(
            sql,
            " when exists (select 1 from ({owners}) p where p.owner_id is distinct from {owner}) then {state}",
            owners = text(owners),
            owner,
            state = PARENT_NOT_OWNED,
        );
    }
    if table.name == MEMBERSHIPS.name {
        append!(
            sql,
            " when exists (
                select 1
                from artifacts a {exempt: the condition is about the viewer}
                join collections c on c.id = r.collection_id
                where a.id = r.artifact_id and not {may_be_member}
             ) then {state}",
            may_be_member = text(collection::MAY_CONTAIN),
            state = MEMBER_NOT_SHAREABLE,
        );
    }
}

fn with_state<'r>(rows: &'r [PendingRow], states: &[RowState], state: RowState) -> Vec<&'r PendingRow> {
    rows.iter().zip(states).filter(|(_, found)| **found == state).map(|(row, _)| row).collect()
}
