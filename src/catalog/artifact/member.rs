//! Artifacts as members of collections and groups.
use async_graphql::{Enum, InputObject};
use uuid::Uuid;

use super::{
    Artifact, ArtifactConditions, ArtifactFilter,
    facets::declare_facets,
    position::{PositionInCollection, PositionInGroup},
};
use crate::{
    catalog::{collection, filter::OrderDirection},
    db::{Policy, Record, Row, SelectColumns, SelectList, Sql, Text, Time},
    error::Result,
    field,
    graphql::{
        CountStrategy, ExecutionField, Load, Loads, SortType,
        list::{List, ListOrder, count_members},
        object::{NoArguments, ObjectBuilder},
        paged_list::{Connection, ConnectionNames, Edge, PageArguments, Paged, PagedList, Slice},
    },
    loader::Loader,
    row,
};

row! {
    /// The columns of an artifact's membership in a collection.
    pub struct Membership from 32 {
        eager {}
        on_demand {
            status: Option<Text> = "m.status",
            note: Option<Text> = "m.note",
            added_at: Time = "m.added_at",
        }
    }
}

impl AsRef<Membership> for Edge<ArtifactsOfCollection> {
    fn as_ref(&self) -> &Membership {
        &self.row().membership
    }
}

row! {
    /// The columns of an artifact's membership in a group.
    pub struct GroupMembership from 32 {
        eager {}
        on_demand { added_at: Time = "m.added_at" }
    }
}

impl AsRef<GroupMembership> for Edge<ArtifactsOfGroup> {
    fn as_ref(&self) -> &GroupMembership {
        &self.row().membership
    }
}

/// An artifact and its membership.
#[derive(Clone, Debug)]
pub struct Member<M> {
    artifact: Artifact,
    membership: M,
}

impl<M: SelectColumns> Record for Member<M> {
    fn read(row: &mut Row<'_>) -> sqlx::Result<Self> {
        Ok(Self { artifact: Artifact::read(row)?, membership: M::read(row)? })
    }
}

impl<M: SelectColumns> SelectColumns for Member<M> {
    fn columns(list: &mut SelectList) {
        Artifact::columns(list);
        M::columns(list);
    }
}

/// Sort key of the artifacts of a collection.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum CollectionArtifactOrderField {
    /// Position in the collection.
    Position,
    /// Time when the artifact was added.
    AddedAt,
    /// Name, by code point.
    Name,
}

/// Order of the artifacts of a collection.
#[derive(InputObject, Clone, Debug, PartialEq, Eq)]
pub struct CollectionArtifactOrder {
    /// Sort key.
    field: CollectionArtifactOrderField,
    /// Direction.
    direction: OrderDirection,
}

/// Arguments of `Collection.artifacts`.
#[derive(InputObject)]
pub struct CollectionArtifactsArguments {
    #[graphql(flatten)]
    page: PageArguments,
    /// Filter. Default: all artifacts of the collection.
    filter: Option<ArtifactFilter>,
    /// Order. Default: position in the collection.
    order_by: Option<CollectionArtifactOrder>,
}

impl AsRef<PageArguments> for CollectionArtifactsArguments {
    fn as_ref(&self) -> &PageArguments {
        &self.page
    }
}

/// The artifacts of a collection that match a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArtifactsOfCollection {
    conditions: ArtifactConditions,
    order: ListOrder,
    counts: CountStrategy,
}

impl ArtifactsOfCollection {
    /// The list that the arguments select.
    ///
    /// # Errors
    /// As [`ArtifactConditions::parse`].
    pub fn new(args: &CollectionArtifactsArguments, counts: CountStrategy) -> Result<Self> {
        let conditions = ArtifactConditions::parse(args.filter.clone())?;
        let given = args.order_by.as_ref();
        let (name, columns): (_, &'static [_]) = match given.map(|order| order.field) {
            None | Some(CollectionArtifactOrderField::Position) => {
                ("POSITION", &[("m.sort_key", SortType::Int), ("m.artifact_id", SortType::Id)])
            }
            Some(CollectionArtifactOrderField::AddedAt) => {
                ("ADDED_AT", &[("m.added_at", SortType::Time), ("m.artifact_id", SortType::Id)])
            }
            Some(CollectionArtifactOrderField::Name) => {
                ("NAME", &[("m.artifact_name", SortType::Text), ("m.artifact_id", SortType::Id)])
            }
        };
        let descending = given.is_some_and(|order| order.direction == OrderDirection::Desc);
        Ok(Self { conditions, order: ListOrder { name, columns, descending }, counts })
    }

    /// Whether the index in this list is the position in the collection.
    fn is_by_position(&self) -> bool {
        self.conditions.is_empty() && self.order.name == "POSITION" && !self.order.descending
    }
}

impl List for ArtifactsOfCollection {
    type Parent = Uuid;
    type Row = Member<Membership>;
    const NAME: &'static str = "Collection.artifacts";
    const TOTAL_NAME: &'static str = "Collection.artifacts.totalCount";
    const FROM: &'static str = "collection_artifacts m join artifacts a on a.id = m.artifact_id";
    const PARENT: &'static str = "m.collection_id";
    const ROW: &'static str = "m.rowid";
    const POLICY: Policy = Policy::exempt("visible with the collection");

    fn order(&self) -> ListOrder {
        self.order
    }

    fn filter(&self, sql: &mut Sql) {
        self.conditions.append("m.artifact_type", sql);
    }

    /// Without a filter, or with one on types only, the maintained counts have the total.
    fn total(&self, keys: &[Uuid], sql: &mut Sql) {
        let types = self.conditions.only_types();
        if self.counts == CountStrategy::Maintained && (types.is_some() || self.conditions.is_empty()) {
            collection::maintained_counts(keys, types, sql);
        } else {
            count_members(self, keys, sql);
        }
    }
}

impl PagedList for ArtifactsOfCollection {
    type Node = Artifact;
    const TYPES: ConnectionNames = ConnectionNames {
        connection: "CollectionArtifactConnection",
        edge: "CollectionArtifactEdge",
        nodes: "artifacts of a collection",
    };

    fn node(row: &Member<Membership>) -> Artifact {
        row.artifact.clone()
    }

    fn declare_edge(fields: &mut ObjectBuilder<'_, '_, Edge<Self>>) {
        fields.batch::<NoArguments, _>(
            field!("position", "Zero-based position in the collection, regardless of filter and order of the list."),
            Loads::by(|_, edges| {
                let is_known = |list: &Paged<Self>, slice: &Slice| list.is_by_position() && slice.is_from_start();
                match edges.page() {
                    Some((list, slice)) if is_known(list, slice) => Vec::new(),
                    _ => vec![Load::of(&PositionInCollection)],
                }
            }),
            |edges, _, field| {
                // From the start of the list in its own order, the positions are the indexes on the page.
                let known = |edge: &Edge<Self>| edge.list().is_by_position().then(|| edge.place_from_start())?;
                Box::pin(positions(edges, known, PositionInCollection, field))
            },
        );
        fields.column(
            field!("status", "Free-form state of the artifact in this collection, such as `shortlisted`."),
            Membership::status,
        );
        fields.column(field!("note", "Note on the artifact in this collection."), Membership::note);
        fields.column(field!("addedAt", "Time when the artifact was added."), Membership::added_at);
    }

    fn declare_connection(fields: &mut ObjectBuilder<'_, '_, Connection<Self>>) {
        declare_facets(fields);
    }
}

/// The positions of the nodes of edges: known ones, or loaded ones if any is not known.
async fn positions<L, M, P>(
    edges: &[Edge<L>],
    known: impl Fn(&Edge<L>) -> Option<usize> + Send,
    positions: P,
    field: ExecutionField<'_>,
) -> Result<Vec<i64>>
where
    L: PagedList<Parent = Uuid, Row = Member<M>>,
    P: Loader<Key = (Uuid, Uuid), Value = i64>,
{
    let known: Option<Vec<i64>> = edges.iter().map(|edge| known(edge).map(|index| index as i64)).collect();
    if let Some(positions) = known {
        return Ok(positions);
    }
    let keys = edges.iter().map(|edge| (edge.parent(), edge.row().artifact.id())).collect();
    field.load::<i64, P>(positions, keys).await
}

/// The artifacts of a group, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArtifactsOfGroup;

impl List for ArtifactsOfGroup {
    type Parent = Uuid;
    type Row = Member<GroupMembership>;
    const NAME: &'static str = "Group.artifacts";
    const TOTAL_NAME: &'static str = "Group.artifacts.totalCount";
    const FROM: &'static str = "group_artifacts m join artifacts a on a.id = m.artifact_id";
    const PARENT: &'static str = "m.group_id";
    const ROW: &'static str = "m.rowid";
    const POLICY: Policy = Policy::exempt("visible with the group");

    fn order(&self) -> ListOrder {
        ListOrder::ascending("POSITION", &[("m.sort_key", SortType::Int), ("m.artifact_id", SortType::Id)])
    }
}

impl PagedList for ArtifactsOfGroup {
    type Node = Artifact;
    const TYPES: ConnectionNames = ConnectionNames {
        connection: "GroupArtifactConnection",
        edge: "GroupArtifactEdge",
        nodes: "artifacts of a group",
    };

    fn node(row: &Member<GroupMembership>) -> Artifact {
        row.artifact.clone()
    }

    fn declare_edge(fields: &mut ObjectBuilder<'_, '_, Edge<Self>>) {
        fields.batch::<NoArguments, _>(
            field!("position", "Zero-based position in the group."),
            Loads::by(|_, edges| match edges.page::<Paged<Self>>() {
                Some((_, slice)) if slice.is_from_start() => Vec::new(),
                _ => vec![Load::of(&PositionInGroup)],
            }),
            |edges, _, field| Box::pin(positions(edges, Edge::place_from_start, PositionInGroup, field)),
        );
        fields.column(field!("addedAt", "Time when the artifact was added."), GroupMembership::added_at);
    }
}
