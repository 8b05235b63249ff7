//! Relationships that lead to tags or start there.
use uuid::Uuid;

use super::Tag;
use crate::{
    catalog::{
        filter::{Search, SearchIndex},
        policy::{self, Access},
    },
    db::Sql,
    graphql::{
        SortType,
        connection::{Connected, ConnectionNames},
        list::{List, Order},
    },
    loader::RootKey,
    relation,
};

relation! {
    /// Tags by their ids.
    pub TagById("Query.node(Tag)"): Uuid => Option<Tag>, rows of Tag;
    |keys, sql| {
        sql.push("select t.id, ").columns::<Tag>().push(" from tags t where t.id").in_ids(keys);
        policy::tags(Access::ById, sql);
    }
}

relation! {
    /// Tags by their slugs.
    pub TagBySlug("Query.tag"): String => Option<Tag>, rows of Tag;
    |keys, sql| {
        sql.push("select t.slug, ").columns::<Tag>().push(" from tags t where t.slug").in_texts(keys);
        policy::tags(Access::ById, sql);
    }
}

relation! {
    /// The tags of an artifact, by name.
    pub TagsOfArtifact("Artifact.tags"): Uuid => Vec<Tag>, rows of Tag;
    |keys, sql| {
        sql.push("select l.artifact_id, ")
            .columns::<Tag>()
            .push(" from artifact_tags l join tags t on t.id = l.tag_id where l.artifact_id")
            .in_ids(keys)
            .push(" order by t.name, t.id");
    }
}

relation! {
    /// How many artifacts have a tag.
    pub ArtifactCount("Tag.artifactCount"): Uuid => i64, rows of i64;
    |keys, sql| {
        sql.push("select l.tag_id, count(*) from artifact_tags l where l.tag_id").in_ids(keys);
        policy::artifact_tags(Access::InLists, sql);
        sql.push(" group by l.tag_id");
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
    type Parent = RootKey;
    type Row = Tag;
    const NAME: &'static str = "Query.tags";
    const TOTAL_NAME: &'static str = "Query.tags.totalCount";
    const FROM: &'static str = "tags t";
    const PARENT: &'static str = "true";
    const ROW: &'static str = "t.row";

    fn order(&self) -> Order {
        const COLUMNS: &[(&str, SortType)] = &[("t.name", SortType::Text), ("t.id", SortType::Id)];
        Order { name: "NAME", columns: COLUMNS, descending: false }
    }

    fn policy(sql: &mut Sql) {
        policy::tags(Access::InLists, sql);
    }

    fn filter(&self, sql: &mut Sql) {
        if let Some(search) = &self.search {
            search.write(SEARCH, sql);
        }
    }
}

impl Connected for AllTags {
    type Node = Tag;
    const TYPES: ConnectionNames = ConnectionNames { connection: "TagConnection", edge: "TagEdge", nodes: "tags" };

    fn node(row: &Tag) -> Tag {
        row.clone()
    }
}
