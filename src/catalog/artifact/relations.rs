//! Relationships that start at an artifact, and artifacts by id.
use uuid::Uuid;

use super::Artifact;
use crate::{
    catalog::policy::{self, Access},
    relation,
};

relation! {
    /// Artifacts by their ids.
    pub ArtifactById("Query.artifact"): Uuid => Option<Artifact>, rows of Artifact;
    |keys, sql| {
        sql.push("select a.id, ").columns::<Artifact>().push(" from artifacts a where a.id").in_ids(keys);
        policy::artifacts(Access::ById, sql);
    }
}

relation! {
    /// The artifacts of versions: who can see the one sees the other.
    pub ArtifactOfVersion("ArtifactVersion.artifact"): Uuid => Option<Artifact>, rows of Artifact;
    |keys, sql| {
        sql.push("select a.id, ").columns::<Artifact>().push(" from artifacts a where a.id").in_ids(keys);
    }
}

relation! {
    /// The full text of an artifact.
    pub ContentOfArtifact("Artifact.content"): Uuid => Option<Option<String>>, rows of Option<String>;
    |keys, sql| {
        sql.push("select a.id, a.content from artifacts a where a.id").in_ids(keys);
    }
}

relation! {
    /// The further properties of an artifact, as JSON.
    pub MetadataOfArtifact("Artifact.metadata"): Uuid => Option<Option<String>>, rows of Option<String>;
    |keys, sql| {
        sql.push("select a.id, a.metadata from artifacts a where a.id").in_ids(keys);
    }
}

relation! {
    /// How many collections hold an artifact.
    pub CollectionCount("Artifact.collectionCount"): Uuid => i64, rows of i64;
    |keys, sql| {
        sql.push("select m.artifact_id, count(*) from collection_artifacts m where m.artifact_id").in_ids(keys);
        policy::memberships(Access::InLists, sql);
        sql.push(" group by m.artifact_id");
    }
}

relation! {
    /// How many versions an artifact has.
    pub VersionCount("Artifact.versionCount"): Uuid => i64, rows of i64;
    |keys, sql| {
        sql.push("select v.artifact_id, count(*) from artifact_versions v where v.artifact_id")
            .in_ids(keys)
            .push(" group by v.artifact_id");
    }
}
