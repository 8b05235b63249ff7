//! Relationships that lead to groups or start there.
use uuid::Uuid;

use super::Group;
use crate::{
    catalog::policy::{self, Access},
    db::{Policy, columns},
    graphql::{
        SortType,
        connection::{Connected, ConnectionNames},
        list::{List, Order},
    },
    relation,
};

const GROUPS: ConnectionNames = ConnectionNames { connection: "GroupConnection", edge: "GroupEdge", nodes: "groups" };

relation! {
    /// Groups by their ids.
    pub GroupById("Query.node(Group)"): Uuid => Option<Group>;
    "select g.id, {columns} from groups g where g.id {in_keys} {g_visible}",
    columns: columns::<Group>(),
    g_visible: policy::groups(Access::ById),
}

/// The groups of a collection, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupsOfCollection;

impl List for GroupsOfCollection {
    type Parent = Uuid;
    type Row = Group;
    const NAME: &'static str = "Collection.groups";
    const TOTAL_NAME: &'static str = "Collection.groups.totalCount";
    const FROM: &'static str = "groups g";
    const PARENT: &'static str = "g.collection_id";
    const ROW: &'static str = "g.rowid";

    fn order(&self) -> Order {
        const COLUMNS: &[(&str, SortType)] = &[("g.sort_key", SortType::Int), ("g.id", SortType::Id)];
        Order { name: "POSITION", columns: COLUMNS, descending: false }
    }

    const POLICY: Policy = Policy::exempt("visible with its parent");
}

impl Connected for GroupsOfCollection {
    type Node = Group;
    const TYPES: ConnectionNames = GROUPS;

    fn node(row: &Group) -> Group {
        row.clone()
    }
}

/// The groups that hold an artifact, of all collections, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupsOfArtifact;

impl List for GroupsOfArtifact {
    type Parent = Uuid;
    type Row = Group;
    const NAME: &'static str = "Artifact.groups";
    const TOTAL_NAME: &'static str = "Artifact.groups.totalCount";
    const FROM: &'static str = "group_artifacts m join groups g on g.id = m.group_id";
    const PARENT: &'static str = "m.artifact_id";
    const ROW: &'static str = "m.rowid";

    fn order(&self) -> Order {
        const COLUMNS: &[(&str, SortType)] = &[("g.name", SortType::Text), ("g.id", SortType::Id)];
        Order { name: "NAME", columns: COLUMNS, descending: false }
    }

    const POLICY: Policy = policy::groups(Access::InLists);
}

impl Connected for GroupsOfArtifact {
    type Node = Group;
    const TYPES: ConnectionNames = GROUPS;

    fn node(row: &Group) -> Group {
        row.clone()
    }
}

relation! {
    /// The number of artifacts in a group.
    pub ArtifactCount("Group.artifactCount"): Uuid => i64;
    "select m.group_id, count(*)
     from group_artifacts m
     where m.group_id {in_keys} {exempt: visible with its group}
     group by m.group_id",
}

relation! {
    /// The position of a group among the groups of its collection.
    pub PositionOfGroup("Group.position"): Uuid => i64;
    "select g.id, (
       select count(*) from groups b
       where b.collection_id = g.collection_id and (b.sort_key, b.id) < (g.sort_key, g.id)
     )
     from groups g
     where g.id {in_keys} {exempt: visible with its group}",
}
