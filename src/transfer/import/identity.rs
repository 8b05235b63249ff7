//! Assigns records to rows of the database.
use std::collections::HashSet;

use anyhow::Result;
use uuid::Uuid;

use super::{
    super::{Notice, NoticeKind},
    Importer,
    row::{PendingRow, numbered},
    table::ImportTable,
    write::REPEATED_NAME,
};
use crate::{
    catalog::rules::NAME_MAX,
    db::{Cell, Fragment, text},
    statement,
};

/// The version of UUIDs that are derived from names.
const DERIVED_VERSION: usize = 5;

/// The version of UUIDs that are derived from ids that are local to a file.
const LOCAL_VERSION: usize = 8;

/// Number of characters that a name which another object has leaves for its distinction.
const DISTINCTION_LENGTH: usize = " (12345678)".len();

impl Importer {
    /// Replaces ids that the source derived from names by the ids that these names have in the database, so that the same
    /// artifact from two sources is one row. Objects whose ids are local to a file get distinct names instead.
    pub(super) async fn resolve_ids(&mut self, table: &'static ImportTable, rows: &mut Vec<PendingRow>) -> Result<()> {
        for cell in rows.iter_mut().flat_map(|row| &mut row.cells) {
            if let Cell::Id(id) = cell {
                *id = self.resolved_ids.get(id).copied().unwrap_or(*id);
            }
        }
        let has = |rows: &[PendingRow], version| rows.iter().any(|row| row.id_of_version(version).is_some());
        let (has_derived, has_local) = (has(rows, DERIVED_VERSION), has(rows, LOCAL_VERSION));
        if !has_derived && !has_local {
            return Ok(());
        }
        self.separate_owners(table, rows).await?;
        let Some(natural_key) = table.natural_key else { return Ok(()) };
        if has_local {
            self.separate_names(table, natural_key, rows).await?;
        }
        if !has_derived {
            return Ok(());
        }
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
            self.replace_id(rows, n, DERIVED_VERSION, |_| existing);
        }
        self.reject_duplicate_names(table, rows);
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
            let of_owner = |id: Uuid| Uuid::new_v5(&owner, id.as_bytes());
            self.replace_id(rows, n, DERIVED_VERSION, of_owner);
            let of_owner = |id| uuid::Builder::from_custom_bytes(of_owner(id).into_bytes()).into_uuid();
            self.replace_id(rows, n, LOCAL_VERSION, of_owner);
        }
        Ok(())
    }

    /// Renames rows with local ids whose name another object has. The new name is the same in every run.
    async fn separate_names(
        &mut self,
        table: &'static ImportTable,
        natural_key: &'static str,
        rows: &mut [PendingRow],
    ) -> Result<()> {
        let sql = statement!(
            self.tx,
            "select distinct r.n
             from {rows} r
             join {table} o on {has_same_name} {exempt: the import compares owners itself}
             where o.id <> r.id",
            rows = Fragment::Rows(table.columns, &numbered(rows.iter())),
            table = text(table.name),
            has_same_name = text(natural_key),
        );
        let taken: HashSet<i64> = self.tx.fetch("import.taken_names", sql).await?.into_iter().collect();
        let Some(name_column) = table.columns.iter().position(|(name, _)| *name == "name") else { return Ok(()) };
        let mut names: HashSet<String> = HashSet::new();
        for (row, n) in rows.iter_mut().zip(0..) {
            let Some(id) = row.id_of_version(LOCAL_VERSION) else { continue };
            let Cell::Text(name) = &mut row.cells[name_column] else { continue };
            if !taken.contains(&n) && names.insert(name.clone()) {
                continue;
            }
            let start: String = name.chars().take(NAME_MAX - DISTINCTION_LENGTH).collect();
            let distinct = format!("{start} ({:08x})", id.as_fields().0);
            let text = format!("another object has the name `{name}`: it is named `{distinct}`");
            self.report.notice(Notice::new(NoticeKind::Repaired, &row.location, text));
            *name = distinct;
        }
        Ok(())
    }

    fn replace_id(&mut self, rows: &mut [PendingRow], n: i64, version: usize, new_id: impl Fn(Uuid) -> Uuid) {
        if let Some(row) = usize::try_from(n).ok().and_then(|n| rows.get_mut(n))
            && let Some(id) = row.id_of_version(version)
        {
            self.resolved_ids.insert(id, new_id(id));
            row.cells[0] = Cell::Id(new_id(id));
        }
    }

    /// Rejects all but the first of several records with the same name.
    fn reject_duplicate_names(&mut self, table: &'static ImportTable, rows: &mut Vec<PendingRow>) {
        for mut row in std::mem::take(rows) {
            let Cell::Id(id) = row.cells[0] else {
                rows.push(row);
                continue;
            };
            if self.seen_ids.insert(id) {
                rows.push(row);
                continue;
            }
            // Records that refer to this one must not find the first one instead.
            let unused = Uuid::now_v7();
            self.resolved_ids.extend(row.source_id.map(|id| (id, unused)));
            row.cells[0] = Cell::Id(unused);
            self.reject_row(table, &row, REPEATED_NAME);
        }
    }
}

impl PendingRow {
    /// The row's id if it is a UUID of this version.
    fn id_of_version(&self, version: usize) -> Option<Uuid> {
        match self.cells[0] {
            Cell::Id(id) if id.get_version_num() == version => Some(id),
            _ => None,
        }
    }
}
