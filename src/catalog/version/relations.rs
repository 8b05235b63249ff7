//! Relationships that lead to versions.
use uuid::Uuid;

use super::Version;
use crate::{
    catalog::policy,
    db::{Policy, columns},
    graphql::{SortType, list::ListOrder, paged_list::ConnectionNames},
    list, relation,
};

relation! {
    /// Versions by their ids.
    pub VersionById("Query.node(ArtifactVersion)"): Uuid => Option<Version>;
    "select v.id, {columns} from artifact_versions v where v.id {in_keys} {v_visible}",
    columns = columns::<Version>(),
    v_visible = policy::versions(),
}

const VERSIONS: ConnectionNames =
    ConnectionNames { connection: "ArtifactVersionConnection", edge: "ArtifactVersionEdge", nodes: "versions" };

list! {
    /// The versions of an artifact, newest first.
    pub VersionsOfArtifact("Artifact.versions"): Version, VERSIONS;
    from: "artifact_versions v",
    parent: "v.artifact_id",
    row: "v.rowid",
    policy: Policy::exempt("visible with the artifact"),
    order: ListOrder::descending("CREATED_AT", &[("v.created_at", SortType::Time), ("v.id", SortType::Id)]),
}
