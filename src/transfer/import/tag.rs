//! Writes the tags of artifacts.
use anyhow::Result;

use super::{super::record::derived_id, Importer, row::PendingRow};
use crate::{
    catalog::tag::TagValues,
    db::{
        Cell,
        CellType::{self, Id, Text},
        Fragment, RowTable, Table as _, in_ids,
    },
    statement,
};

/// Columns of the pairs of artifact and tag.
const PAIR_COLUMNS: &[(&str, CellType)] = &[("artifact_id", Id), ("slug", Text)];

impl Importer {
    /// Creates the tags that artifacts name and that do not exist.
    pub(super) async fn create_missing_tags(&mut self, rows: &[PendingRow]) -> Result<()> {
        let mut slugs: Vec<&String> = rows.iter().flat_map(|row| &row.tags).collect();
        slugs.sort_unstable();
        slugs.dedup();
        if slugs.is_empty() {
            return Ok(());
        }
        let rows = RowTable::of(slugs.into_iter().map(|slug| {
            let values = TagValues { name: Some(slug.clone()), slug: Some(slug.clone()), color: None };
            (derived_id("tag", slug), values)
        }));
        let sql = statement!(
            self.tx,
            "insert into tags (id, {names}, created_at, updated_at)
             select r.id, {values}, {now}, {now}
             from {rows} r
             where not exists (select 1 from tags t where t.slug = r.slug)
             on conflict do nothing",
            names = TagValues::column_names(),
            values = TagValues::columns_of("r"),
            rows = &rows,
            now = self.now,
        );
        self.tx.execute("import.create_tags", sql).await?;
        Ok(())
    }

    /// Sets the tags of artifacts. `have_old` says whether any of them existed before and may have other tags.
    pub(super) async fn set_tags(&mut self, rows: &[&PendingRow], have_old: bool) -> Result<()> {
        let pairs: Vec<Vec<Cell>> = rows
            .iter()
            .flat_map(|row| row.tags.iter().map(|slug| vec![row.cells[0].clone(), Cell::Text(slug.clone())]))
            .collect();
        if have_old {
            self.remove_other_tags(rows, &pairs).await?;
        }
        if pairs.is_empty() {
            return Ok(());
        }
        let sql = statement!(
            self.tx,
            "insert into artifact_tags (artifact_id, tag_id, artifact_created_at, created_at)
             select a.id, t.id, a.created_at, a.updated_at
             from {pairs} r
             join artifacts a on a.id = r.artifact_id {exempt: the rows were written by this transaction}
             join tags t on t.slug = r.slug
             where true
             on conflict do nothing",
            pairs = Fragment::Rows(PAIR_COLUMNS, &pairs),
        );
        self.tx.execute("import.set_tags", sql).await?;
        Ok(())
    }

    async fn remove_other_tags(&mut self, rows: &[&PendingRow], pairs: &[Vec<Cell>]) -> Result<()> {
        let artifacts: Vec<_> = rows.iter().flat_map(|row| row.ids(1)).collect();
        let sql = statement!(
            self.tx,
            "delete from artifact_tags {exempt: the rows were written by this transaction}
             where artifact_id {artifacts}
               and (artifact_id, tag_id) not in (
                   select r.artifact_id, t.id from {pairs} r join tags t on t.slug = r.slug
               )",
            artifacts = in_ids(&artifacts),
            pairs = Fragment::Rows(PAIR_COLUMNS, pairs),
        );
        self.tx.execute("import.remove_tags", sql).await?;
        Ok(())
    }
}
