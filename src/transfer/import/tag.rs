//! Writes the tags of artifacts.
use std::collections::HashMap;

use anyhow::Result;

use super::{
    super::record::derived_id,
    Importer,
    row::{PendingRow, SLUG_SEPARATOR},
    table::{ARTIFACTS, ImportTable, TAGS},
};
use crate::{
    catalog::{
        rules,
        tag::{KnownTags, TagName, TagValues},
    },
    db::{
        Cell,
        CellType::{self, Id, Text},
        Fragment, RowTable, SHORT_TEXT, Table as _, in_ids, index_words,
    },
    statement,
};

/// Columns of the pairs of artifact and tag.
const PAIR_COLUMNS: &[(&str, CellType)] = &[("artifact_id", Id), ("slug", Text)];

/// The index of the slug among the cells of a tag.
const SLUG: usize = 2;

impl Importer {
    /// Gives tags whose slugs were derived from their names the slugs that these tags have in the database: an earlier release
    /// derived slugs differently. Artifacts that name such a slug follow.
    pub(super) async fn keep_slugs(&mut self, table: &'static ImportTable, rows: &mut [PendingRow]) -> Result<()> {
        if table.name == TAGS.name {
            self.find_slugs(rows).await?;
        }
        for row in rows.iter_mut().filter(|_| !self.kept_slugs.is_empty()) {
            row.replace_slugs(table, &self.kept_slugs);
        }
        Ok(())
    }

    async fn find_slugs(&mut self, rows: &[PendingRow]) -> Result<()> {
        let derived: Vec<(&String, TagName)> = rows.iter().filter_map(PendingRow::derived_slug).collect();
        let mut sql = self.tx.sql();
        KnownTags::append_select(derived.iter().map(|(_, name)| name), &mut sql);
        let known = KnownTags::of(self.tx.fetch("import.tags", sql).await?);
        for (slug, name) in derived {
            let kept = known.find(&name).map_or_else(|| known.free_slug(&name), |tag| tag.slug.clone());
            if kept != *slug {
                self.kept_slugs.insert(slug.clone(), kept);
            }
        }
        Ok(())
    }

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

impl PendingRow {
    /// The slug of a tag and its name, if the slug was derived from the name.
    fn derived_slug(&self) -> Option<(&String, TagName)> {
        match (&self.cells[SLUG - 1], &self.cells[SLUG]) {
            (Cell::Text(name), Cell::Text(slug)) if *slug == rules::slug_of(name) => {
                Some((slug, TagName::new(name.clone())))
            }
            _ => None,
        }
    }

    /// Replaces the slug of a tag, or those of the tags of an artifact.
    fn replace_slugs(&mut self, table: &ImportTable, kept: &HashMap<String, String>) {
        if table.name == TAGS.name
            && let Cell::Text(slug) = &self.cells[SLUG]
            && let Some(kept) = kept.get(slug)
        {
            let words = table.columns.iter().position(|(name, _)| *name == "slug_words");
            if let Some(cell) = words.and_then(|index| self.cells.get_mut(index)) {
                *cell = Cell::Text(index_words(kept, SHORT_TEXT));
            }
            self.cells[SLUG] = Cell::Text(kept.clone());
        }
        if table.name == ARTIFACTS.name && self.tags.iter().any(|slug| kept.contains_key(slug)) {
            for slug in &mut self.tags {
                *slug = kept.get(slug).unwrap_or(slug).clone();
            }
            self.tags.sort_unstable();
            self.tags.dedup();
            if let Some(cell) = self.cells.last_mut() {
                *cell = Cell::Text(self.tags.join(SLUG_SEPARATOR));
            }
        }
    }
}
