//! Writes the catalogue as the records that an import takes back.
use std::io::{self, Write};

use anyhow::Result;
use uuid::Uuid;

use super::record::{self, Record};
use crate::{
    catalog::{Visibility, artifact::ArtifactValues},
    db::{Arg, Db, Record as DbRecord, Row, Sql, Table as _, Time},
    statement,
};

/// Rows that are read at once.
const PAGE: i64 = 1_000;

/// Writes every record, or those of one collection, one JSON object a line. Rows are read page by page, so that memory
/// stays flat; what is written meanwhile may be in the export or not.
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

/// Where artifacts are limited to those of one collection.
const OF_MEMBERS: &str = " in (select m.artifact_id from collection_artifacts m where m.collection_id = ";

impl<W: Write> Export<'_, W> {
    fn line(&mut self, record: &Record) -> Result<()> {
        serde_json::to_writer(&mut *self.out, record).map_err(io::Error::from)?;
        self.out.write_all(b"\n")?;
        self.count += 1;
        Ok(())
    }

    /// A statement that goes on after a key.
    fn begin(&self, select: &'static str, key: &'static str, after: Option<&[Arg]>) -> Sql {
        let mut sql = self.db.sql();
        sql.push(select).push(" where true");
        after_key(&mut sql, key, after);
        sql
    }

    /// Limits a statement to the collection, where there is one.
    fn limit_to(&self, sql: &mut Sql, column: &'static str, through: &'static str, end: &'static str) {
        if let Some(id) = self.collection {
            sql.push(" and ").push(column).push(through).bind(Arg::Id(id)).push(end);
        }
    }

    async fn page<T: DbRecord>(&self, mut sql: Sql, order: &'static str) -> Result<Vec<T>> {
        sql.push(" order by ").push(order).limit(PAGE);
        Ok(self.db.fetch("export", sql).await?)
    }

    async fn tags(&mut self) -> Result<()> {
        let mut after = None;
        loop {
            let mut sql = self.begin(
                "select t.id, t.name, t.slug, t.color from tags t",
                "t.id",
                after.as_ref().map(std::slice::from_ref),
            );
            self.limit_to(
                &mut sql,
                "t.id",
                " in (select l.tag_id from artifact_tags l join collection_artifacts m on m.artifact_id = l.artifact_id where m.collection_id = ",
                ")",
            );
            let page: Vec<record::Tag> = self.page(sql, "t.id").await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(Arg::Id(last.id));
            page.into_iter().try_for_each(|tag| self.line(&Record::Tag(tag)))?;
        }
    }

    async fn artifacts(&mut self) -> Result<()> {
        let mut after = None;
        loop {
            let mut sql = statement!(
                self.db,
                "select a.id, {columns}, a.created_at, a.updated_at, (
                   select string_agg(t.slug, '\n' order by t.slug)
                   from artifact_tags l join tags t on t.id = l.tag_id
                   where l.artifact_id = a.id
                 )
                 from artifacts a
                 where true {exempt: runs with the rights of the server}",
                columns = ArtifactValues::columns_of("a"),
            );
            after_key(&mut sql, "a.id", after.as_ref().map(std::slice::from_ref));
            self.limit_to(&mut sql, "a.id", OF_MEMBERS, ")");
            let page: Vec<record::Artifact> = self.page(sql, "a.id").await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(Arg::Id(last.id));
            page.into_iter().try_for_each(|artifact| self.line(&Record::Artifact(Box::new(artifact))))?;
        }
    }

    async fn versions(&mut self) -> Result<()> {
        const SELECT: &str =
            "select v.id, v.artifact_id, v.version, v.content_hash, v.notes, v.created_at from artifact_versions v";
        let mut after = None;
        loop {
            let mut sql = self.begin(SELECT, "v.id", after.as_ref().map(std::slice::from_ref));
            self.limit_to(&mut sql, "v.artifact_id", OF_MEMBERS, ")");
            let page: Vec<record::Version> = self.page(sql, "v.id").await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(Arg::Id(last.id));
            page.into_iter().try_for_each(|version| self.line(&Record::Version(version)))?;
        }
    }

    async fn collections(&mut self) -> Result<()> {
        const SELECT: &str = "select c.id, c.name, c.description, c.kind, c.color, c.visibility, c.created_at, \
            c.updated_at from collections c";
        let mut after = None;
        loop {
            let mut sql = self.begin(SELECT, "c.id", after.as_ref().map(std::slice::from_ref));
            self.limit_to(&mut sql, "c.id", " = ", "");
            let page: Vec<record::Collection> = self.page(sql, "c.id").await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(Arg::Id(last.id));
            page.into_iter().try_for_each(|collection| self.line(&Record::Collection(collection)))?;
        }
    }

    async fn groups(&mut self) -> Result<()> {
        const SELECT: &str = "select g.id, g.collection_id, g.name, g.description, g.color, g.icon, g.sort_key, \
            g.created_at, g.updated_at from groups g";
        let (mut after, mut places): (Option<[Arg; 3]>, Places) = (None, Places::default());
        loop {
            let mut sql =
                self.begin(SELECT, "g.collection_id, g.sort_key, g.id", after.as_ref().map(<[Arg; 3]>::as_slice));
            self.limit_to(&mut sql, "g.collection_id", " = ", "");
            let page: Vec<Sorted<record::Group>> = self.page(sql, "g.collection_id, g.sort_key, g.id").await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some([Arg::Id(last.record.collection), Arg::Int(last.sort_key), Arg::Id(last.record.id)]);
            for mut sorted in page {
                sorted.record.position = places.next(sorted.record.collection);
                self.line(&Record::Group(sorted.record))?;
            }
        }
    }

    async fn memberships(&mut self) -> Result<()> {
        const SELECT: &str = "select m.collection_id, m.artifact_id, m.sort_key, m.status, m.note, m.added_at \
            from collection_artifacts m";
        const ORDER: &str = "m.collection_id, m.sort_key, m.artifact_id";
        let (mut after, mut places): (Option<[Arg; 3]>, Places) = (None, Places::default());
        loop {
            let mut sql = self.begin(SELECT, ORDER, after.as_ref().map(<[Arg; 3]>::as_slice));
            self.limit_to(&mut sql, "m.collection_id", " = ", "");
            let page: Vec<Sorted<record::Membership>> = self.page(sql, ORDER).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some([Arg::Id(last.record.collection), Arg::Int(last.sort_key), Arg::Id(last.record.artifact)]);
            for mut sorted in page {
                sorted.record.position = places.next(sorted.record.collection);
                self.line(&Record::Membership(sorted.record))?;
            }
        }
    }

    async fn group_memberships(&mut self) -> Result<()> {
        const SELECT: &str = "select m.group_id, m.artifact_id, m.sort_key, m.added_at from group_artifacts m";
        const ORDER: &str = "m.group_id, m.sort_key, m.artifact_id";
        let (mut after, mut places): (Option<[Arg; 3]>, Places) = (None, Places::default());
        loop {
            let mut sql = self.begin(SELECT, ORDER, after.as_ref().map(<[Arg; 3]>::as_slice));
            self.limit_to(&mut sql, "m.collection_id", " = ", "");
            let page: Vec<Sorted<record::GroupMembership>> = self.page(sql, ORDER).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some([Arg::Id(last.record.group), Arg::Int(last.sort_key), Arg::Id(last.record.artifact)]);
            for mut sorted in page {
                sorted.record.position = places.next(sorted.record.group);
                self.line(&Record::GroupMembership(sorted.record))?;
            }
        }
    }
}

/// Continues a statement after a key.
fn after_key(sql: &mut Sql, key: &'static str, after: Option<&[Arg]>) {
    let Some(after) = after else { return };
    sql.push(" and (").push(key).push(") > (");
    for (index, arg) in after.iter().enumerate() {
        sql.push(if index > 0 { ", " } else { "" }).bind(arg.clone());
    }
    sql.push(")");
}

/// Counts rows within their parent.
#[derive(Default)]
struct Places {
    parent: Option<Uuid>,
    next: u32,
}

impl Places {
    fn next(&mut self, parent: Uuid) -> u32 {
        if self.parent != Some(parent) {
            *self = Self { parent: Some(parent), next: 0 };
        }
        self.next += 1;
        self.next - 1
    }
}

/// A record and the sort key it has in the database.
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
