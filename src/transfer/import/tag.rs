//! The tags of artifacts.
use anyhow::Result;

use super::{super::record::derived_id, Writer, row::Waiting};
use crate::db::{
    Cell,
    CellType::{self, Id, Text, Time as TimeCell},
};

impl Writer {
    /// Makes the tags that artifacts name and nobody made before.
    pub(super) async fn make_tags(&mut self, rows: &[Waiting]) -> Result<()> {
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
        self.tx.execute("import.make_tags", sql).await?;
        Ok(())
    }

    /// Gives artifacts the tags of their records, and takes others from those that were there before.
    pub(super) async fn set_tags(&mut self, rows: &[&Waiting], have_old: bool) -> Result<()> {
        const COLUMNS: &[(&str, CellType)] = &[("artifact_id", Id), ("slug", Text)];
        let cells: Vec<Vec<Cell>> = rows
            .iter()
            .flat_map(|row| row.tags.iter().map(|slug| vec![row.cells[0].clone(), Cell::Text(slug.clone())]))
            .collect();
        if have_old {
            let ids: Vec<_> =
                rows.iter().filter_map(|row| if let Cell::Id(id) = row.cells[0] { Some(id) } else { None }).collect();
            let mut sql = self.tx.sql();
            sql.push("delete from artifact_tags where artifact_id").in_ids(&ids);
            sql.push(" and (artifact_id, tag_id) not in (select r.artifact_id, t.id from ");
            sql.row_table(COLUMNS, &cells).push(" r join tags t on t.slug = r.slug)");
            self.tx.execute("import.unset_tags", sql).await?;
        }
        if cells.is_empty() {
            return Ok(());
        }
        let mut sql = self.tx.sql();
        sql.push("insert into artifact_tags (artifact_id, tag_id, artifact_created_at, created_at) select a.id, t.id, a.created_at, a.updated_at from ")
            .row_table(COLUMNS, &cells)
            .push(" r join artifacts a on a.id = r.artifact_id join tags t on t.slug = r.slug where true on conflict do nothing");
        self.tx.execute("import.set_tags", sql).await?;
        Ok(())
    }
}
