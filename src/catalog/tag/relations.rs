//! Relationships that lead to tags or start there.
use uuid::Uuid;

use super::{COLUMNS, Tag};
use crate::{
    catalog::filter::{Search, SearchIndex},
    dataloader::{Relation, Root},
    db::{Record, Row, Sql},
    graphql::{
        SortType,
        connection::{Connected, Names},
        list::{List, Order},
    },
};

/// Tags by their ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagById;

impl Relation for TagById {
    type Key = Uuid;
    type Row = Tag;
    type Value = Option<Tag>;
    const NAME: &'static str = "Query.node(Tag)";

    fn statement(&self, keys: &[Uuid], sql: &mut Sql) {
        sql.push("select t.id, ").push(COLUMNS).push(" from tags t where t.id").in_ids(keys);
    }

    fn read(&self, row: &mut Row<'_>) -> sqlx::Result<Tag> {
        Record::read(row)
    }
}

/// Tags by their slugs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagBySlug;

impl Relation for TagBySlug {
    type Key = String;
    type Row = Tag;
    type Value = Option<Tag>;
    const NAME: &'static str = "Query.tag";

    fn statement(&self, keys: &[String], sql: &mut Sql) {
        sql.push("select t.slug, ").push(COLUMNS).push(" from tags t where t.slug").in_texts(keys);
    }

    fn read(&self, row: &mut Row<'_>) -> sqlx::Result<Tag> {
        Record::read(row)
    }
}

/// The tags of an artifact, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagsOfArtifact;

impl Relation for TagsOfArtifact {
    type Key = Uuid;
    type Row = Tag;
    type Value = Vec<Tag>;
    const NAME: &'static str = "Artifact.tags";

    fn statement(&self, keys: &[Uuid], sql: &mut Sql) {
        sql.push("select l.artifact_id, ")
            .push(COLUMNS)
            .push(" from artifact_tags l join tags t on t.id = l.tag_id where l.artifact_id")
            .in_ids(keys)
            .push(" order by t.name, t.id");
    }

    fn read(&self, row: &mut Row<'_>) -> sqlx::Result<Tag> {
        Record::read(row)
    }
}

/// How many artifacts have a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArtifactCount;

impl Relation for ArtifactCount {
    type Key = Uuid;
    type Row = i64;
    type Value = i64;
    const NAME: &'static str = "Tag.artifactCount";

    fn statement(&self, keys: &[Uuid], sql: &mut Sql) {
        sql.push("select l.tag_id, count(*) from artifact_tags l where l.tag_id")
            .in_ids(keys)
            .push(" group by l.tag_id");
    }

    fn read(&self, row: &mut Row<'_>) -> sqlx::Result<i64> {
        row.next()
    }
}

/// All tags that meet a filter, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllTags {
    /// Words they must have.
    pub search: Option<Search>,
}

/// The full-text index of tags.
const SEARCH: SearchIndex = SearchIndex {
    sqlite: "t.row in (select rowid from tag_search where tag_search match ",
    postgres: "t.id in (select s.tag_id from tag_search s where s.words @@ search_query(",
};

impl List for AllTags {
    type Parent = Root;
    type Row = Tag;
    const NAME: &'static str = "Query.tags";
    const TOTAL_NAME: &'static str = "Query.tags.totalCount";
    const COLUMNS: &'static str = COLUMNS;
    const FROM: &'static str = "tags t";
    const PARENT: &'static str = "true";
    const ROW: &'static str = "t.row";

    fn order(&self) -> Order {
        const COLUMNS: &[(&str, SortType)] = &[("t.name", SortType::Text), ("t.id", SortType::Id)];
        Order { name: "NAME", columns: COLUMNS, descending: false }
    }

    fn filter(&self, sql: &mut Sql) {
        if let Some(search) = &self.search {
            search.write(SEARCH, sql);
        }
    }
}

impl Connected for AllTags {
    type Node = Tag;
    const TYPES: Names = Names { connection: "TagConnection", edge: "TagEdge", nodes: "tags" };

    fn node(row: &Tag) -> Tag {
        row.clone()
    }
}
