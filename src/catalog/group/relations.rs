//! Relationships that lead to groups or start there.
use uuid::Uuid;

use super::Group;
use crate::{
    catalog::policy::{self, Access},
    db::Sql,
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
    pub GroupById("Query.node(Group)"): Uuid => Option<Group>, rows of Group;
    |keys, sql| {
        sql.push("select g.id, ").columns::<Group>().push(" from groups g where g.id").in_ids(keys);
        policy::groups(Access::ById, sql);
    }
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

    /// It is seen with its parent.
    fn policy(_sql: &mut Sql) {}

    fn filter(&self, _sql: &mut Sql) {}
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

    fn policy(sql: &mut Sql) {
        policy::groups(Access::InLists, sql);
    }

    fn filter(&self, _sql: &mut Sql) {}
}

impl Connected for GroupsOfArtifact {
    type Node = Group;
    const TYPES: ConnectionNames = GROUPS;

    fn node(row: &Group) -> Group {
        row.clone()
    }
}

relation! {
    /// How many artifacts a group holds.
    pub ArtifactCount("Group.artifactCount"): Uuid => i64, rows of i64;
    |keys, sql| {
        sql.push("select m.group_id, count(*) from group_artifacts m where m.group_id")
            .in_ids(keys)
            .push(" group by m.group_id");
    }
}

relation! {
    /// The place of a group among all groups of its collection.
    pub PlaceOfGroup("Group.position"): Uuid => i64, rows of i64;
    |keys, sql| {
        sql.push("select g.id, (select count(*) from groups b where b.collection_id = g.collection_id and (b.sort_key, b.id) < (g.sort_key, g.id)) from groups g where g.id")
            .in_ids(keys);
    }
}
