//! Relationships that start at a collection, and collections by id.
use uuid::Uuid;

use super::Collection;
use crate::{
    append,
    catalog::policy::{self, Access},
    db::{Row, Sql, columns, in_ids, in_texts, with},
    graphql::CountStrategy,
    loader::Relation,
    relation,
};

relation! {
    /// Collections by their ids.
    pub CollectionById("Query.collection"): Uuid => Option<Collection>;
    "select c.id, {columns} from collections c where c.id {in_keys} {c_visible}",
    columns = columns::<Collection>(),
    c_visible = policy::collections(Access::ById),
}

relation! {
    /// The collections of groups.
    pub CollectionOfGroup("Group.collection"): Uuid => Option<Collection>;
    "select c.id, {columns} from collections c where c.id {in_keys} {exempt: visible with its group}",
    columns = columns::<Collection>(),
}

/// The number of artifacts in a collection, of one type or of all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArtifactCount {
    /// Where the count is read from.
    pub strategy: CountStrategy,
    /// Only artifacts of this type.
    pub of_type: Option<String>,
}

crate::sql_loader!(ArtifactCount);

impl Relation for ArtifactCount {
    type Key = Uuid;
    type Row = i64;
    type Value = i64;
    const NAME: &'static str = "Collection.artifactCount";

    fn statement(&self, keys: &[Uuid], sql: &mut Sql) {
        let types = self.of_type.as_ref().map(std::slice::from_ref);
        match self.strategy {
            CountStrategy::Maintained => maintained_counts(keys, types, sql),
            CountStrategy::Live => live_counts(keys, types, sql),
        }
    }

    fn read(&self, row: &mut Row<'_>) -> sqlx::Result<i64> {
        row.next()
    }
}

/// Appends the statement that reads the counts which triggers maintain.
pub fn maintained_counts(keys: &[Uuid], types: Option<&[String]>, sql: &mut Sql) {
    append!(
        sql,
        "select n.collection_id, cast(sum(n.n) as bigint)
         from collection_counts n
         where n.collection_id {in_keys} {of_types}
         group by n.collection_id",
        in_keys = in_ids(keys),
        of_types = with(&|sql| {
            if let Some(types) = types {
                append!(sql, "and n.artifact_type {types}", types = in_texts(types));
            }
        }),
    );
}

fn live_counts(keys: &[Uuid], types: Option<&[String]>, sql: &mut Sql) {
    append!(
        sql,
        "select m.collection_id, count(*)
         from collection_artifacts m
         where m.collection_id {in_keys} {exempt: visible with its collection} {of_types}
         group by m.collection_id",
        in_keys = in_ids(keys),
        of_types = with(&|sql| {
            if let Some(types) = types {
                append!(sql, "and m.artifact_type {types}", types = in_texts(types));
            }
        }),
    );
}

relation! {
    /// The number of groups of a collection.
    pub GroupCount("Collection.groupCount"): Uuid => i64;
    "select g.collection_id, count(*)
     from groups g
     where g.collection_id {in_keys} {exempt: visible with its collection}
     group by g.collection_id",
}
