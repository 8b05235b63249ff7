//! Writes the tags of artifacts.
use anyhow::Result;

use super::{super::record::derived_id, Importer, row::PendingRow};
use crate::db::{
    Cell,
    CellType::{self, Id, Text, Time as TimeCell},
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
        let cells = slugs
            .into_iter()
            .map(|slug| vec![Cell::Id(derived_id("tag", slug)), Cell::Text(slug.clone()), Cell::Time(self.now)]);
        let mut sql = self.tx.sql();
        sql.push(
            "insert into tags (id, name, slug, created_at, updated_at) select r.id, r.slug, r.slug, r.now, r.now from ",
        )
        .row_table(&[("id", Id), ("slug", Text), ("now", TimeCell)], &cells.collect::<Vec<_>>())
        .push(" r where not exists (select 1 from tags t where t.slug = r.slug) on conflict do nothing");
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
        let mut sql = self.tx.sql();
        sql.push("insert into artifact_tags (artifact_id, tag_id, artifact_created_at, created_at) select a.id, t.id, a.created_at, a.updated_at from ")
            .row_table(PAIR_COLUMNS, &pairs)
            .push(" r join artifacts a on a.id = r.artifact_id join tags t on t.slug = r.slug where true on conflict do nothing");
        self.tx.execute("import.set_tags", sql).await?;
        Ok(())
    }

    async fn remove_other_tags(&mut self, rows: &[&PendingRow], pairs: &[Vec<Cell>]) -> Result<()> {
        let artifacts: Vec<_> = rows.iter().flat_map(|row| row.ids(1)).collect();
        let mut sql = self.tx.sql();
        sql.push("delete from artifact_tags where artifact_id").in_ids(&artifacts);
        sql.push(" and (artifact_id, tag_id) not in (select r.artifact_id, t.id from ");
        sql.row_table(PAIR_COLUMNS, pairs).push(" r join tags t on t.slug = r.slug)");
        self.tx.execute("import.remove_tags", sql).await?;
        Ok(())
    }
}
