//! Relationships that start at a collection, and collections by id.
use uuid::Uuid;

use super::Collection;
use crate::{
    catalog::policy::{self, Access},
    db::{Row, Sql},
    graphql::CountStrategy,
    loader::Relation,
    relation,
};

relation! {
    /// Collections by their ids.
    pub CollectionById("Query.collection"): Uuid => Option<Collection>, rows of Collection;
    |keys, sql| {
        sql.push("select c.id, ").columns::<Collection>().push(" from collections c where c.id").in_ids(keys);
        policy::collections(Access::ById, sql);
    }
}

relation! {
    /// The collections of groups: who can see the one sees the other.
    pub CollectionOfGroup("Group.collection"): Uuid => Option<Collection>, rows of Collection;
    |keys, sql| {
        sql.push("select c.id, ").columns::<Collection>().push(" from collections c where c.id").in_ids(keys);
    }
}

/// How many artifacts a collection holds, of one type or of all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArtifactCount {
    /// Where the count comes from.
    pub strategy: CountStrategy,
    /// Only those of this type.
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
            CountStrategy::Maintained => kept_counts(keys, types, sql),
            CountStrategy::Live => live_counts(keys, types, sql),
        }
    }

    fn read(&self, row: &mut Row<'_>) -> sqlx::Result<i64> {
        row.next()
    }
}

/// Reads the counts that triggers keep.
pub fn kept_counts(keys: &[Uuid], types: Option<&[String]>, sql: &mut Sql) {
    sql.push("select n.collection_id, cast(sum(n.n) as bigint) from collection_counts n where n.collection_id")
        .in_ids(keys);
    if let Some(types) = types {
        sql.push(" and n.artifact_type").in_texts(types);
    }
    sql.push(" group by n.collection_id");
}

fn live_counts(keys: &[Uuid], types: Option<&[String]>, sql: &mut Sql) {
    sql.push("select m.collection_id, count(*) from collection_artifacts m where m.collection_id").in_ids(keys);
    if let Some(types) = types {
        sql.push(" and m.artifact_type").in_texts(types);
    }
    sql.push(" group by m.collection_id");
}

relation! {
    /// How many groups a collection has.
    pub GroupCount("Collection.groupCount"): Uuid => i64, rows of i64;
    |keys, sql| {
        sql.push("select g.collection_id, count(*) from groups g where g.collection_id")
            .in_ids(keys)
            .push(" group by g.collection_id");
    }
}
