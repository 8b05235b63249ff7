//! Relationships that lead to groups or start there.
use uuid::Uuid;

use super::{COLUMNS, Group};
use crate::{
    dataloader::Relation,
    db::{Record, Row, Sql},
    graphql::{
        SortType,
        connection::{Connected, Names},
        list::{List, Order},
    },
};

const GROUPS: Names = Names { connection: "GroupConnection", edge: "GroupEdge", nodes: "groups" };

/// Groups by their ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupById;

impl Relation for GroupById {
    type Key = Uuid;
    type Row = Group;
    type Value = Option<Group>;
    const NAME: &'static str = "Query.node(Group)";

    fn statement(&self, keys: &[Uuid], sql: &mut Sql) {
        sql.push("select g.id, ").push(COLUMNS).push(" from groups g where g.id").in_ids(keys);
    }

    fn read(&self, row: &mut Row<'_>) -> sqlx::Result<Group> {
        Record::read(row)
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
    const COLUMNS: &'static str = COLUMNS;
    const FROM: &'static str = "groups g";
    const PARENT: &'static str = "g.collection_id";
    const ROW: &'static str = "g.rowid";

    fn order(&self) -> Order {
        const COLUMNS: &[(&str, SortType)] = &[("g.sort_key", SortType::Int), ("g.id", SortType::Id)];
        Order { name: "POSITION", columns: COLUMNS, descending: false }
    }

    fn filter(&self, _sql: &mut Sql) {}
}

impl Connected for GroupsOfCollection {
    type Node = Group;
    const TYPES: Names = GROUPS;

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
    const COLUMNS: &'static str = COLUMNS;
    const FROM: &'static str = "group_artifacts m join groups g on g.id = m.group_id";
    const PARENT: &'static str = "m.artifact_id";
    const ROW: &'static str = "m.rowid";

    fn order(&self) -> Order {
        const COLUMNS: &[(&str, SortType)] = &[("g.name", SortType::Text), ("g.id", SortType::Id)];
        Order { name: "NAME", columns: COLUMNS, descending: false }
    }

    fn filter(&self, _sql: &mut Sql) {}
}

impl Connected for GroupsOfArtifact {
    type Node = Group;
    const TYPES: Names = GROUPS;

    fn node(row: &Group) -> Group {
        row.clone()
    }
}

/// How many artifacts a group holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArtifactCount;

impl Relation for ArtifactCount {
    type Key = Uuid;
    type Row = i64;
    type Value = i64;
    const NAME: &'static str = "Group.artifactCount";

    fn statement(&self, keys: &[Uuid], sql: &mut Sql) {
        sql.push("select m.group_id, count(*) from group_artifacts m where m.group_id")
            .in_ids(keys)
            .push(" group by m.group_id");
    }

    fn read(&self, row: &mut Row<'_>) -> sqlx::Result<i64> {
        row.next()
    }
}

/// The place of a group among all groups of its collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaceOfGroup;

impl Relation for PlaceOfGroup {
    type Key = Uuid;
    type Row = i64;
    type Value = i64;
    const NAME: &'static str = "Group.position";

    fn statement(&self, keys: &[Uuid], sql: &mut Sql) {
        sql.push("select g.id, (select count(*) from groups b where b.collection_id = g.collection_id and (b.sort_key, b.id) < (g.sort_key, g.id)) from groups g where g.id")
            .in_ids(keys);
    }

    fn read(&self, row: &mut Row<'_>) -> sqlx::Result<i64> {
        row.next()
    }
}
