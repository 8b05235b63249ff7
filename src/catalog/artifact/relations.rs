//! Relationships that start at an artifact, and artifacts by id.
use uuid::Uuid;

use super::{Artifact, COLUMNS};
use crate::{
    dataloader::Relation,
    db::{Record, Row, Sql},
};

/// Artifacts by their ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArtifactById;

impl Relation for ArtifactById {
    type Key = Uuid;
    type Row = Artifact;
    type Value = Option<Artifact>;
    const NAME: &'static str = "Query.artifact";

    fn statement(&self, keys: &[Uuid], sql: &mut Sql) {
        sql.push("select a.id, ").push(COLUMNS).push(" from artifacts a where a.id").in_ids(keys);
    }

    fn read(&self, row: &mut Row<'_>) -> sqlx::Result<Artifact> {
        Record::read(row)
    }
}

/// The full text of an artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentOfArtifact;

impl Relation for ContentOfArtifact {
    type Key = Uuid;
    type Row = Option<String>;
    type Value = Option<Option<String>>;
    const NAME: &'static str = "Artifact.content";

    fn statement(&self, keys: &[Uuid], sql: &mut Sql) {
        sql.push("select a.id, a.content from artifacts a where a.id").in_ids(keys);
    }

    fn read(&self, row: &mut Row<'_>) -> sqlx::Result<Option<String>> {
        row.next_or_null()
    }
}

/// The further properties of an artifact, as JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataOfArtifact;

impl Relation for MetadataOfArtifact {
    type Key = Uuid;
    type Row = Option<String>;
    type Value = Option<Option<String>>;
    const NAME: &'static str = "Artifact.metadata";

    fn statement(&self, keys: &[Uuid], sql: &mut Sql) {
        sql.push("select a.id, a.metadata from artifacts a where a.id").in_ids(keys);
    }

    fn read(&self, row: &mut Row<'_>) -> sqlx::Result<Option<String>> {
        row.next_or_null()
    }
}

/// How many collections hold an artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectionCount;

impl Relation for CollectionCount {
    type Key = Uuid;
    type Row = i64;
    type Value = i64;
    const NAME: &'static str = "Artifact.collectionCount";

    fn statement(&self, keys: &[Uuid], sql: &mut Sql) {
        sql.push("select m.artifact_id, count(*) from collection_artifacts m where m.artifact_id")
            .in_ids(keys)
            .push(" group by m.artifact_id");
    }

    fn read(&self, row: &mut Row<'_>) -> sqlx::Result<i64> {
        row.next()
    }
}

/// How many versions an artifact has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionCount;

impl Relation for VersionCount {
    type Key = Uuid;
    type Row = i64;
    type Value = i64;
    const NAME: &'static str = "Artifact.versionCount";

    fn statement(&self, keys: &[Uuid], sql: &mut Sql) {
        sql.push("select v.artifact_id, count(*) from artifact_versions v where v.artifact_id")
            .in_ids(keys)
            .push(" group by v.artifact_id");
    }

    fn read(&self, row: &mut Row<'_>) -> sqlx::Result<i64> {
        row.next()
    }
}
