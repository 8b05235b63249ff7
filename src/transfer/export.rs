//! Writes the catalogue as records, which can be imported.
use std::io::{self, Write};

use anyhow::Result;
use uuid::Uuid;

use super::record::{self, Record};
use crate::{
    append,
    catalog::{Visibility, artifact::ArtifactValues},
    db::{Db, Record as DbRecord, Row, Sql, Table as _, Time, limit, text, with},
    statement,
};

/// Number of rows of one statement.
const PAGE_ROWS: i64 = 1_000;

/// Writes all records, or those of one collection, as one JSON object per line, and returns their number.
///
/// Rows are read page by page, so memory use does not depend on their number. Concurrent writes may or may not be included.
///
/// # Errors
/// The database or the output fails.
pub async fn export(db: &Db, collection: Option<Uuid>, out: &mut impl Write) -> Result<u64> {
    let mut export = Export { db, collection, out, count: 0 };
    export.line(&Record::Gatherum { format: 1 })?;
    export.tags().await?;
    export.artifacts().await?;
    export.versions().await?;
    export.collections().await?;
    export.groups().await?;
    export.memberships().await?;
    export.group_memberships().await?;
    export.out.flush()?;
    Ok(export.count - 1)
}

struct Export<'a, W> {
    db: &'a Db,
    collection: Option<Uuid>,
    out: &'a mut W,
    count: u64,
}

/// The position of a row that is sorted within its parent: parent, sort key and id.
type SortedKey = (Uuid, i64, Uuid);

impl<W: Write> Export<'_, W> {
    fn line(&mut self, record: &Record) -> Result<()> {
        serde_json::to_writer(&mut *self.out, record).map_err(io::Error::from)?;
        self.out.write_all(b"\n")?;
        self.count += 1;
        Ok(())
    }

    async fn page<T: DbRecord>(&self, sql: Sql) -> Result<Vec<T>> {
        Ok(self.db.fetch("export", sql).await?)
    }

    async fn tags(&mut self) -> Result<()> {
        let (mut last, collection) = (None, self.collection);
        loop {
            let sql = statement!(
                self.db,
                "select t.id, t.name, t.slug, t.color
                 from tags t
                 where true {after_last} {in_collection}
                 order by t.id {limit}",
                after_last = with(&|sql| push_after("t.id", last, sql)),
                in_collection = with(&|sql| {
                    if let Some(id) = collection {
                        append!(
                            sql,
                            " and t.id in (
                                select l.tag_id
                                from artifact_tags l {exempt: an export contains objects of all accounts}
                                join collection_artifacts m on m.artifact_id = l.artifact_id
                                where m.collection_id = {id}
                             )",
                            id,
                        );
                    }
                }),
                limit = limit(PAGE_ROWS),
            );
            let page: Vec<record::Tag> = self.page(sql).await?;
            let Some(tag) = page.last() else { return Ok(()) };
            last = Some(tag.id);
            page.into_iter().try_for_each(|tag| self.line(&Record::Tag(tag)))?;
        }
    }

    async fn artifacts(&mut self) -> Result<()> {
        let (mut last, collection) = (None, self.collection);
        loop {
            let sql = statement!(
                self.db,
                "select a.id, {columns}, a.created_at, a.updated_at, (
                    select string_agg(t.slug, '\n' order by t.slug)
                    from artifact_tags l
                    join tags t on t.id = l.tag_id
                    where l.artifact_id = a.id
                 )
                 from artifacts a {exempt: an export contains objects of all accounts}
                 where true {after_last} {in_collection}
                 order by a.id {limit}",
                columns = ArtifactValues::record_columns_of("a"),
                after_last = with(&|sql| push_after("a.id", last, sql)),
                in_collection = with(&|sql| push_members("a.id", collection, sql)),
                limit = limit(PAGE_ROWS),
            );
            let page: Vec<record::Artifact> = self.page(sql).await?;
            let Some(artifact) = page.last() else { return Ok(()) };
            last = Some(artifact.id);
            page.into_iter().try_for_each(|artifact| self.line(&Record::Artifact(Box::new(artifact))))?;
        }
    }

    async fn versions(&mut self) -> Result<()> {
        let (mut last, collection) = (None, self.collection);
        loop {
            let sql = statement!(
                self.db,
                "select v.id, v.artifact_id, v.version, v.content_hash, v.notes, v.created_at
                 from artifact_versions v {exempt: an export contains objects of all accounts}
                 where true {after_last} {in_collection}
                 order by v.id {limit}",
                after_last = with(&|sql| push_after("v.id", last, sql)),
                in_collection = with(&|sql| push_members("v.artifact_id", collection, sql)),
                limit = limit(PAGE_ROWS),
            );
            let page: Vec<record::Version> = self.page(sql).await?;
            let Some(version) = page.last() else { return Ok(()) };
            last = Some(version.id);
            page.into_iter().try_for_each(|version| self.line(&Record::Version(version)))?;
        }
    }

    async fn collections(&mut self) -> Result<()> {
        let (mut last, collection) = (None, self.collection);
        loop {
            let sql = statement!(
                self.db,
                "select c.id, c.name, c.description, c.kind, c.color, c.visibility, c.created_at, c.updated_at
                 from collections c {exempt: an export contains objects of all accounts}
                 where true {after_last} {in_collection}
                 order by c.id {limit}",
                after_last = with(&|sql| push_after("c.id", last, sql)),
                in_collection = with(&|sql| push_equal("c.id", collection, sql)),
                limit = limit(PAGE_ROWS),
            );
            let page: Vec<record::Collection> = self.page(sql).await?;
            let Some(collection) = page.last() else { return Ok(()) };
            last = Some(collection.id);
            page.into_iter().try_for_each(|collection| self.line(&Record::Collection(collection)))?;
        }
    }

    async fn groups(&mut self) -> Result<()> {
        let (mut last, mut positions, collection) = (None, Positions::default(), self.collection);
        loop {
            let sql = statement!(
                self.db,
                "select g.id, g.collection_id, g.name, g.description, g.color, g.icon, g.sort_key, g.created_at,
                    g.updated_at
                 from groups g {exempt: an export contains objects of all accounts}
                 where true {after_last} {in_collection}
                 order by g.collection_id, g.sort_key, g.id {limit}",
                after_last = with(&|sql| push_after_sorted("g.collection_id, g.sort_key, g.id", last, sql)),
                in_collection = with(&|sql| push_equal("g.collection_id", collection, sql)),
                limit = limit(PAGE_ROWS),
            );
            let page: Vec<Sorted<record::Group>> = self.page(sql).await?;
            let Some(Sorted { record: group, sort_key }) = page.last() else { return Ok(()) };
            last = Some((group.collection, *sort_key, group.id));
            for mut sorted in page {
                sorted.record.position = positions.next(sorted.record.collection);
                self.line(&Record::Group(sorted.record))?;
            }
        }
    }

    async fn memberships(&mut self) -> Result<()> {
        let (mut last, mut positions, collection) = (None, Positions::default(), self.collection);
        loop {
            let sql = statement!(
                self.db,
                "select m.collection_id, m.artifact_id, m.sort_key, m.status, m.note, m.added_at
                 from collection_artifacts m {exempt: an export contains objects of all accounts}
                 where true {after_last} {in_collection}
                 order by m.collection_id, m.sort_key, m.artifact_id {limit}",
                after_last = with(&|sql| push_after_sorted("m.collection_id, m.sort_key, m.artifact_id", last, sql)),
                in_collection = with(&|sql| push_equal("m.collection_id", collection, sql)),
                limit = limit(PAGE_ROWS),
            );
            let page: Vec<Sorted<record::Membership>> = self.page(sql).await?;
            let Some(Sorted { record: membership, sort_key }) = page.last() else { return Ok(()) };
            last = Some((membership.collection, *sort_key, membership.artifact));
            for mut sorted in page {
                sorted.record.position = positions.next(sorted.record.collection);
                self.line(&Record::Membership(sorted.record))?;
            }
        }
    }

    async fn group_memberships(&mut self) -> Result<()> {
        let (mut last, mut positions, collection) = (None, Positions::default(), self.collection);
        loop {
            let sql = statement!(
                self.db,
                "select m.group_id, m.artifact_id, m.sort_key, m.added_at
                 from group_artifacts m {exempt: an export contains objects of all accounts}
                 where true {after_last} {in_collection}
                 order by m.group_id, m.sort_key, m.artifact_id {limit}",
                after_last = with(&|sql| push_after_sorted("m.group_id, m.sort_key, m.artifact_id", last, sql)),
                in_collection = with(&|sql| push_equal("m.collection_id", collection, sql)),
                limit = limit(PAGE_ROWS),
            );
            let page: Vec<Sorted<record::GroupMembership>> = self.page(sql).await?;
            let Some(Sorted { record: membership, sort_key }) = page.last() else { return Ok(()) };
            last = Some((membership.group, *sort_key, membership.artifact));
            for mut sorted in page {
                sorted.record.position = positions.next(sorted.record.group);
                self.line(&Record::GroupMembership(sorted.record))?;
            }
        }
    }
}

/// Appends the condition that a row comes after the last one of the previous page.
fn push_after(column: &'static str, last: Option<Uuid>, sql: &mut Sql) {
    if let Some(last) = last {
        append!(sql, " and {column} > {last}", column = text(column), last);
    }
}

/// Appends the condition that a row that is sorted within its parent comes after the last one of the previous page.
fn push_after_sorted(columns: &'static str, last: Option<SortedKey>, sql: &mut Sql) {
    if let Some((parent, sort_key, id)) = last {
        append!(sql, " and ({columns}) > ({parent}, {sort_key}, {id})", columns = text(columns), parent, sort_key, id);
    }
}

/// Appends the condition that an artifact is a member of the exported collection.
fn push_members(column: &'static str, collection: Option<Uuid>, sql: &mut Sql) {
    if let Some(collection) = collection {
        append!(
            sql,
            " and {column} in (
                select m.artifact_id
                from collection_artifacts m {exempt: an export contains objects of all accounts}
                where m.collection_id = {collection}
             )",
            column = text(column),
            collection,
        );
    }
}

/// Appends the condition that a row belongs to the exported collection.
fn push_equal(column: &'static str, collection: Option<Uuid>, sql: &mut Sql) {
    if let Some(collection) = collection {
        append!(sql, " and {column} = {collection}", column = text(column), collection);
    }
}

/// Numbers the rows of each parent, which come sorted by parent.
#[derive(Default)]
struct Positions {
    parent: Option<Uuid>,
    next: u32,
}

impl Positions {
    fn next(&mut self, parent: Uuid) -> u32 {
        if self.parent != Some(parent) {
            *self = Self { parent: Some(parent), next: 0 };
        }
        self.next += 1;
        self.next - 1
    }
}

/// A record and its sort key.
struct Sorted<T> {
    record: T,
    sort_key: i64,
}

impl DbRecord for record::Tag {
    fn read(row: &mut Row<'_>) -> sqlx::Result<Self> {
        Ok(Self { id: row.next()?, name: row.next()?, slug: row.next()?, color: row.next_or_null()? })
    }
}

impl DbRecord for record::Artifact {
    fn read(row: &mut Row<'_>) -> sqlx::Result<Self> {
        let id = row.next()?;
        let values = ArtifactValues::read(row)?;
        let (created_at, updated_at) = (row.next()?, row.next()?);
        let slugs: Option<String> = row.next_or_null()?;
        Ok(Self {
            id,
            kind: values.kind.unwrap_or_default(),
            name: values.name.unwrap_or_default(),
            description: values.description.flatten(),
            source: values.source.flatten(),
            author: values.author.flatten(),
            license: values.license.flatten(),
            homepage: values.homepage.flatten(),
            version: values.version.flatten(),
            visibility: values.visibility.unwrap_or(Visibility::Private),
            tags: slugs.iter().flat_map(|slugs| slugs.split('\n')).map(str::to_owned).collect(),
            metadata: values.metadata.flatten().and_then(|text| serde_json::from_str(&text).ok()),
            content: values.content.flatten(),
            created_at,
            updated_at,
        })
    }
}

impl DbRecord for record::Version {
    fn read(row: &mut Row<'_>) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.next()?,
            artifact: row.next()?,
            version: row.next()?,
            content_hash: row.next_or_null()?,
            notes: row.next_or_null()?,
            created_at: row.next()?,
        })
    }
}

impl DbRecord for record::Collection {
    fn read(row: &mut Row<'_>) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.next()?,
            name: row.next()?,
            description: row.next_or_null()?,
            kind: row.next_or_null()?,
            color: row.next_or_null()?,
            visibility: Visibility::read(row)?,
            created_at: row.next()?,
            updated_at: row.next()?,
        })
    }
}

impl DbRecord for Sorted<record::Group> {
    fn read(row: &mut Row<'_>) -> sqlx::Result<Self> {
        let (id, collection, name) = (row.next()?, row.next()?, row.next()?);
        let (description, color, icon) = (row.next_or_null()?, row.next_or_null()?, row.next_or_null()?);
        let sort_key = row.next()?;
        let (created_at, updated_at): (Time, Time) = (row.next()?, row.next()?);
        let record =
            record::Group { id, collection, name, description, color, icon, position: 0, created_at, updated_at };
        Ok(Self { record, sort_key })
    }
}

impl DbRecord for Sorted<record::Membership> {
    fn read(row: &mut Row<'_>) -> sqlx::Result<Self> {
        let (collection, artifact, sort_key) = (row.next()?, row.next()?, row.next()?);
        let (status, note, added_at) = (row.next_or_null()?, row.next_or_null()?, row.next()?);
        Ok(Self { record: record::Membership { collection, artifact, position: 0, status, note, added_at }, sort_key })
    }
}

impl DbRecord for Sorted<record::GroupMembership> {
    fn read(row: &mut Row<'_>) -> sqlx::Result<Self> {
        let (group, artifact, sort_key, added_at) = (row.next()?, row.next()?, row.next()?, row.next()?);
        Ok(Self { record: record::GroupMembership { group, artifact, position: 0, added_at }, sort_key })
    }
}
