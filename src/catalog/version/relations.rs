//! Relationships that lead to versions.
use uuid::Uuid;

use super::Version;
use crate::{
    catalog::policy,
    db::{Policy, columns},
    graphql::{
        SortType,
        connection::{Connected, ConnectionNames},
        list::{List, Order},
    },
    relation,
};

relation! {
    /// Versions by their ids.
    pub VersionById("Query.node(ArtifactVersion)"): Uuid => Option<Version>;
    "select v.id, {columns} from artifact_versions v where v.id {in_keys} {v_visible}",
    columns: columns::<Version>(),
    v_visible: policy::versions(),
}

/// The versions of an artifact, the newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionsOfArtifact;

impl List for VersionsOfArtifact {
    type Parent = Uuid;
    type Row = Version;
    const NAME: &'static str = "Artifact.versions";
    const TOTAL_NAME: &'static str = "Artifact.versions.totalCount";
    const FROM: &'static str = "artifact_versions v";
    const PARENT: &'static str = "v.artifact_id";
    const ROW: &'static str = "v.rowid";

    fn order(&self) -> Order {
        const COLUMNS: &[(&str, SortType)] = &[("v.created_at", SortType::Time), ("v.id", SortType::Id)];
        Order { name: "CREATED_AT", columns: COLUMNS, descending: true }
    }

    const POLICY: Policy = Policy::exempt("visible with its parent");
}

impl Connected for VersionsOfArtifact {
    type Node = Version;
    const TYPES: ConnectionNames =
        ConnectionNames { connection: "ArtifactVersionConnection", edge: "ArtifactVersionEdge", nodes: "versions" };

    fn node(row: &Version) -> Version {
        row.clone()
    }
}
