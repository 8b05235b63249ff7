//! Relationships that lead to groups or start there.
use uuid::Uuid;

use super::Group;
use crate::{
    catalog::policy::{self, Access},
    db::{Policy, columns},
    graphql::{SortType, list::ListOrder, paged_list::ConnectionNames},
    list, relation,
};

const GROUPS: ConnectionNames = ConnectionNames { connection: "GroupConnection", edge: "GroupEdge", nodes: "groups" };

relation! {
    /// Groups by their ids.
    pub GroupById("Query.node(Group)"): Uuid => Option<Group>;
    "select g.id, {columns} from groups g where g.id {in_keys} {g_visible}",
    columns = columns::<Group>(),
    g_visible = policy::groups(Access::ById),
}

list! {
    /// The groups of a collection, in order.
    pub GroupsOfCollection("Collection.groups"): Group, GROUPS;
    from: "groups g",
    parent: "g.collection_id",
    row: "g.rowid",
    policy: Policy::exempt("visible with the collection"),
    order: ListOrder::ascending("POSITION", &[("g.sort_key", SortType::Int), ("g.id", SortType::Id)]),
}

list! {
    /// The groups that contain an artifact, of all collections, by name.
    pub GroupsOfArtifact("Artifact.groups"): Group, GROUPS;
    from: "group_artifacts m join groups g on g.id = m.group_id",
    parent: "m.artifact_id",
    row: "m.rowid",
    policy: policy::groups(Access::InLists),
    order: ListOrder::ascending("NAME", &[("g.name", SortType::Text), ("g.id", SortType::Id)]),
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
