//! Relationships that start at an artifact, and artifacts by id.
use uuid::Uuid;

use super::Artifact;
use crate::{
    catalog::policy::{self, Access},
    db::columns,
    relation,
};

relation! {
    /// Artifacts by their ids.
    pub ArtifactById("Query.artifact"): Uuid => Option<Artifact>;
    "select a.id, {columns} from artifacts a where a.id {in_keys} {a_visible}",
    columns = columns::<Artifact>(),
    a_visible = policy::artifacts(Access::ById),
}

relation! {
    /// The artifacts of versions.
    pub ArtifactOfVersion("ArtifactVersion.artifact"): Uuid => Option<Artifact>;
    "select a.id, {columns} from artifacts a where a.id {in_keys} {exempt: visible with its version}",
    columns = columns::<Artifact>(),
}

relation! {
    /// The full text of an artifact.
    pub ContentOfArtifact("Artifact.content"): Uuid => Option<Option<String>>;
    "select a.id, a.content from artifacts a where a.id {in_keys} {exempt: visible with its artifact}",
}

relation! {
    /// The further properties of an artifact, as JSON.
    pub MetadataOfArtifact("Artifact.metadata"): Uuid => Option<Option<String>>;
    "select a.id, a.metadata from artifacts a where a.id {in_keys} {exempt: visible with its artifact}",
}

relation! {
    /// The number of collections that contain an artifact.
    pub CollectionCount("Artifact.collectionCount"): Uuid => i64;
    "select m.artifact_id, count(*)
     from collection_artifacts m
     where m.artifact_id {in_keys} {m_visible}
     group by m.artifact_id",
    m_visible = policy::memberships(Access::InLists),
}

relation! {
    /// The number of versions of an artifact.
    pub VersionCount("Artifact.versionCount"): Uuid => i64;
    "select v.artifact_id, count(*)
     from artifact_versions v
     where v.artifact_id {in_keys} {exempt: visible with its artifact}
     group by v.artifact_id",
}
