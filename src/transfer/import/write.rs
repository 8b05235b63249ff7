//! Writes the rows of one batch.
use anyhow::Result;

use super::{
    super::{
        Problem,
        told::{Became, Telling},
    },
    Writer,
    row::{Waiting, numbered},
    table::{ARTIFACTS, FOREIGN, MEMBERSHIPS, NOT_TO_BE_HELD, TABLES, Table, is_creation},
};
use crate::{catalog::collection, db::Arg};

/// What becomes of a row, as the statement that looks at it tells.
const NEW: i64 = 0;
const CHANGED: i64 = 1;
const ALIKE: i64 = 2;
/// What it belongs to is another account's, or it is itself.
const NOT_OWN: i64 = 3;
const HELD_BY_OTHERS: i64 = 4;
/// The first reason of its table to refuse it; the others follow.
const REFUSED: i64 = 5;

impl Writer {
    pub(super) async fn write(&mut self, index: usize, rows: Vec<Waiting>) -> Result<()> {
        let table = TABLES[index];
        self.make_tags(&rows).await?;
        let states = self.look(table, &rows).await?;
        if let Some(keys) = &mut self.keys {
            // What is another account's is not the source's to remove.
            let is_own =
                |state: i64| state != NOT_OWN && (state != REFUSED || table.refusals.first() != Some(&FOREIGN));
            let own = rows.iter().zip(&states).filter(|(_, state)| is_own(**state));
            keys[index].extend(own.map(|(row, _)| row.ids(table.keys)));
        }
        let with = |state: i64| -> Vec<&Waiting> {
            rows.iter().zip(&states).filter(|(_, found)| **found == state).map(|(row, _)| row).collect()
        };
        let (mut new, changed) = (with(NEW), with(CHANGED));
        if !new.is_empty() && self.insert(table, &new).await? < new.len() as u64 {
            new = self.inserted(table, new).await?;
        }
        if !changed.is_empty() {
            self.update(table, &changed).await?;
        }
        if self.owner.is_some() {
            let held = |row: &&Waiting| row.ids(2).last().copied();
            match table.name {
                name if name == ARTIFACTS.name => {
                    self.withdraw(changed.iter().flat_map(|row| row.ids(1)).collect()).await?
                }
                // Their owners may just have made them private.
                name if name == MEMBERSHIPS.name => self.withdraw(new.iter().filter_map(held).collect()).await?,
                _ => {}
            }
        }
        let written: Vec<&Waiting> = new.iter().chain(&changed).copied().collect();
        self.set_tags(&written, !changed.is_empty()).await?;
        for (row, state) in rows.iter().zip(&states) {
            let of_table = || usize::try_from(state - REFUSED).ok().and_then(|index| table.refusals.get(index));
            let refusal = match *state {
                NOT_OWN => Some(&FOREIGN),
                HELD_BY_OTHERS => Some(&NOT_TO_BE_HELD),
                _ => of_table(),
            };
            if let Some((_, reason)) = refusal {
                self.report.refuse(Problem { place: row.place.clone(), reason: (*reason).to_owned() });
            }
        }
        let became = new.iter().map(|row| (Became::New, row)).chain(changed.iter().map(|row| (Became::Changed, row)));
        for (became, row) in became {
            self.told.note(table.telling, became, &row.ids(2));
        }
        let counts = self.report.kind(table.kind);
        counts.created += new.len() as u64;
        counts.updated += changed.len() as u64;
        counts.unchanged += states.iter().filter(|state| **state == ALIKE).count() as u64;
        Ok(())
    }

    /// What each row is to the database: new, changed, alike, or to be refused.
    async fn look(&mut self, table: &'static Table, rows: &[Waiting]) -> Result<Vec<i64>> {
        let mut sql = self.tx.sql();
        sql.push("select s.n, s.state from (select r.n, cast(case ");
        for (place, (condition, _)) in table.refusals.iter().enumerate() {
            sql.push("when ").push(condition).push(" then ").int(REFUSED + place as i64).push(" ");
        }
        if let Some(owner) = self.owner {
            for owners in table.owners {
                sql.push("when exists (select 1 from (").push(owners).push(") p where p.owner_id is distinct from ");
                sql.bind(Arg::Id(owner)).push(") then ").int(NOT_OWN).push(" ");
            }
            if table.name == MEMBERSHIPS.name {
                sql.push("when ").push(NOT_TO_BE_HELD.0).push(collection::MAY_BE_HELD).push(") then ");
                sql.int(HELD_BY_OTHERS).push(" ");
            }
        }
        sql.push("when e.").push(table.columns[0].0).push(" is null then 0 when (");
        table.values(&mut sql, "e.", true);
        sql.push(") is not distinct from (");
        table.values(&mut sql, "r.", false);
        sql.push(") then 2 else 1 end as bigint) as state from ");
        sql.row_table(table.columns, &numbered(rows.iter()));
        sql.push(" r left join ").push(table.name).push(" e on ");
        table.key_is(&mut sql);
        // What is new, mostly all, need not be told.
        sql.push(") s where s.state <> ").int(NEW);
        let mut states = vec![NEW; rows.len()];
        for (n, state) in self.tx.fetch::<(i64, i64)>("import.look", sql).await? {
            if let Some(found) = usize::try_from(n).ok().and_then(|n| states.get_mut(n)) {
                *found = state;
            }
        }
        Ok(states)
    }

    async fn insert(&mut self, table: &'static Table, rows: &[&Waiting]) -> Result<u64> {
        let mut sql = self.tx.sql();
        sql.push("insert into ").push(table.name).push(" (");
        table.names(&mut sql, "");
        for (name, _) in table.extra {
            sql.push(", ").push(name);
        }
        sql.push(") select ");
        table.names(&mut sql, "r.");
        for (_, value) in table.extra {
            sql.push(", ").push(value);
        }
        sql.push(" from ").row_table(table.columns, &numbered(rows.iter().copied()));
        sql.push(" r").push(table.joins).push(" where true on conflict do nothing");
        Ok(self.tx.execute("import.insert", sql).await?)
    }

    /// Which of `rows` are there now: the others met one of the same batch that took their place.
    async fn inserted<'r>(&mut self, table: &'static Table, rows: Vec<&'r Waiting>) -> Result<Vec<&'r Waiting>> {
        let mut sql = self.tx.sql();
        sql.push("select r.n from ").row_table(table.columns, &numbered(rows.iter().copied()));
        sql.push(" r join ").push(table.name).push(" e on ");
        table.key_is(&mut sql);
        let there: Vec<usize> =
            self.tx.fetch::<i64>("import.inserted", sql).await?.into_iter().filter_map(|n| n.try_into().ok()).collect();
        for (n, row) in rows.iter().enumerate().filter(|(n, _)| !there.contains(n)) {
            let reason = table.refusals.last().map_or("it is there already", |(_, reason)| reason);
            debug_assert!(n < rows.len());
            self.report.refuse(Problem { place: row.place.clone(), reason: reason.to_owned() });
        }
        Ok(rows.into_iter().enumerate().filter(|(n, _)| there.contains(n)).map(|(_, row)| row).collect())
    }

    async fn update(&mut self, table: &'static Table, rows: &[&Waiting]) -> Result<()> {
        let mut sql = self.tx.sql();
        sql.push("update ").push(table.name).push(" as e set revision = e.revision + 1");
        for (name, _) in table.written().iter().skip(table.keys).filter(|(name, _)| !is_creation(table, name)) {
            sql.push(", ").push(name).push(" = r.").push(name);
        }
        sql.push(" from ").row_table(table.columns, &numbered(rows.iter().copied())).push(" r where ");
        table.key_is(&mut sql);
        self.tx.execute("import.update", sql).await?;
        Ok(())
    }

    /// Takes what is public no longer out of the collections of other accounts.
    async fn withdraw(&mut self, ids: Vec<uuid::Uuid>) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let mut sql = self.tx.sql();
        collection::write_withdrawal(&ids, &mut sql);
        for (collection, artifact) in self.tx.fetch::<(uuid::Uuid, uuid::Uuid)>("import.withdraw", sql).await? {
            self.told.note(Telling::Member, Became::Gone, &[collection, artifact]);
        }
        Ok(())
    }
}
