//! Relationships that lead to tags or start there.
use uuid::Uuid;

use super::Tag;
use crate::{
    catalog::{
        filter::{Search, SearchIndex},
        policy::{self, Access},
    },
    connected,
    db::{Policy, Sql, columns},
    graphql::{
        SortType,
        list::{List, ListOrder},
        paged_list::ConnectionNames,
    },
    loader::RootKey,
    relation,
};

relation! {
    /// Tags by their ids.
    pub TagById("Query.node(Tag)"): Uuid => Option<Tag>;
    "select t.id, {columns} from tags t where t.id {in_keys} {t_visible}",
    columns = columns::<Tag>(),
    t_visible = policy::tags(Access::ById),
}

relation! {
    /// Tags by their slugs.
    pub TagBySlug("Query.tag"): String => Option<Tag>;
    "select t.slug, {columns} from tags t where t.slug {in_keys} {t_visible}",
    columns = columns::<Tag>(),
    t_visible = policy::tags(Access::ById),
}

relation! {
    /// The tags of an artifact, by name.
    pub TagsOfArtifact("Artifact.tags"): Uuid => Vec<Tag>;
    "select l.artifact_id, {columns}
     from artifact_tags l join tags t on t.id = l.tag_id
     where l.artifact_id {in_keys} {exempt: visible with its artifact}
     order by t.name, t.id",
    columns = columns::<Tag>(),
}

relation! {
    /// The number of artifacts with a tag.
    pub ArtifactCount("Tag.artifactCount"): Uuid => i64;
    "select l.tag_id, count(*) from artifact_tags l where l.tag_id {in_keys} {l_visible} group by l.tag_id",
    l_visible = policy::artifact_tags(),
}

const TAGS: ConnectionNames = ConnectionNames { connection: "TagConnection", edge: "TagEdge", nodes: "tags" };

/// All tags that match a filter, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllTags {
    /// The search, if there is one.
    pub search: Option<Search>,
}

/// The full-text index of tags.
const SEARCH: SearchIndex = SearchIndex { index: "tag_search", row: "t.row", id: "t.id", item: "tag_id" };

impl List for AllTags {
    type Parent = RootKey;
    type Row = Tag;
    const NAME: &'static str = "Query.tags";
    const TOTAL_NAME: &'static str = "Query.tags.totalCount";
    const FROM: &'static str = "tags t";
    const PARENT: &'static str = "true";
    const ROW: &'static str = "t.row";

    fn order(&self) -> ListOrder {
        ListOrder::ascending("NAME", &[("t.name", SortType::Text), ("t.id", SortType::Id)])
    }

    const POLICY: Policy = policy::tags(Access::InLists);

    fn filter(&self, sql: &mut Sql) {
        if let Some(search) = &self.search {
            search.append(SEARCH, sql);
        }
    }
}

connected!(AllTags => Tag, TAGS);
