//! Lists of artifacts: all, those of a collection, of a group, of a tag.
use async_graphql::{Enum, InputObject};
use uuid::Uuid;

use super::{Artifact, ArtifactConditions, ArtifactFilter};
use crate::{
    append,
    catalog::{
        filter::OrderDirection,
        order,
        policy::{Access, artifacts},
    },
    dataloader::{Relation, RootKey},
    db::{Policy, Record, Row, SelectColumns, SelectList, Sql, Text, Time, text, with},
    error::Result,
    fields,
    graphql::{
        SortType,
        connection::{Connected, Connection, ConnectionNames, Edge, PageArguments},
        list::{List, ListParent, Order, count_members, policy},
        object::{Fields, NoArguments, Object},
    },
    relation, row,
};

const ARTIFACTS: ConnectionNames =
    ConnectionNames { connection: "ArtifactConnection", edge: "ArtifactEdge", nodes: "artifacts" };

/// What artifacts are sorted by.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArtifactOrderField {
    /// When it was made.
    CreatedAt,
    /// When it was last changed.
    UpdatedAt,
    /// Its name, by code point.
    Name,
    /// Its type, then its name.
    Type,
}

/// How artifacts are sorted.
#[derive(InputObject, Clone, Debug, PartialEq, Eq)]
pub struct ArtifactOrder {
    /// By what.
    field: ArtifactOrderField,
    /// Which way.
    direction: OrderDirection,
}

/// Arguments of `Query.artifacts`.
#[derive(InputObject)]
pub struct ArtifactsArguments {
    #[graphql(flatten)]
    page: PageArguments,
    /// Which artifacts; all where it is absent.
    filter: Option<ArtifactFilter>,
    /// How they are sorted; the newest first where it is absent, or by rank where there is a search.
    order_by: Option<ArtifactOrder>,
}

impl AsRef<PageArguments> for ArtifactsArguments {
    fn as_ref(&self) -> &PageArguments {
        &self.page
    }
}

impl ArtifactsArguments {
    /// The list they ask for.
    ///
    /// # Errors
    /// That of [`ArtifactConditions::parse`].
    pub fn list(&self) -> Result<AllArtifacts> {
        let conditions = ArtifactConditions::parse(self.filter.clone())?;
        Ok(AllArtifacts { order: order(self.order_by.as_ref(), conditions.has_search()), conditions })
    }
}

/// The column that stands for the rank of a search.
const RANK: &str = "rank";

fn order(given: Option<&ArtifactOrder>, is_search: bool) -> Order {
    let (name, columns): (_, &'static [_]) = match given.map(|order| order.field) {
        None if is_search => ("RANK", &[(RANK, SortType::Int), ("a.name", SortType::Text), ("a.id", SortType::Id)]),
        None | Some(ArtifactOrderField::CreatedAt) => {
            ("CREATED_AT", &[("a.created_at", SortType::Time), ("a.id", SortType::Id)])
        }
        Some(ArtifactOrderField::UpdatedAt) => {
            ("UPDATED_AT", &[("a.updated_at", SortType::Time), ("a.id", SortType::Id)])
        }
        Some(ArtifactOrderField::Name) => ("NAME", &[("a.name", SortType::Text), ("a.id", SortType::Id)]),
        Some(ArtifactOrderField::Type) => {
            ("TYPE", &[("a.type", SortType::Text), ("a.name", SortType::Text), ("a.id", SortType::Id)])
        }
    };
    let descending = given.map_or(!is_search, |order| order.direction == OrderDirection::Desc);
    Order { name, columns, descending }
}

/// All artifacts that meet a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllArtifacts {
    conditions: ArtifactConditions,
    order: Order,
}

impl List for AllArtifacts {
    type Parent = RootKey;
    type Row = Artifact;
    const NAME: &'static str = "Query.artifacts";
    const TOTAL_NAME: &'static str = "Query.artifacts.totalCount";
    const FROM: &'static str = "artifacts a";
    const PARENT: &'static str = "true";
    const ROW: &'static str = "a.row";

    fn order(&self) -> Order {
        self.order
    }

    fn write_order_column(&self, column: &'static str, sql: &mut Sql) {
        if column == RANK {
            self.conditions.write_rank(sql);
        } else {
            sql.push(column);
        }
    }

    const POLICY: Policy = artifacts(Access::InLists);

    fn filter(&self, sql: &mut Sql) {
        self.conditions.write("a.type", sql);
    }
}

impl Connected for AllArtifacts {
    type Node = Artifact;
    const TYPES: ConnectionNames = ARTIFACTS;

    fn node(row: &Artifact) -> Artifact {
        row.clone()
    }

    fn declare_connection(fields: &mut Fields<'_, '_, Connection<Self>>) {
        declare_facets(fields);
    }
}

/// The artifacts of a tag, the newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArtifactsOfTag;

impl List for ArtifactsOfTag {
    type Parent = Uuid;
    type Row = Artifact;
    const NAME: &'static str = "Tag.artifacts";
    const TOTAL_NAME: &'static str = "Tag.artifacts.totalCount";
    const FROM: &'static str = "artifact_tags m join artifacts a on a.id = m.artifact_id";
    const PARENT: &'static str = "m.tag_id";
    const ROW: &'static str = "m.rowid";

    fn order(&self) -> Order {
        const COLUMNS: &[(&str, SortType)] =
            &[("m.artifact_created_at", SortType::Time), ("m.artifact_id", SortType::Id)];
        Order { name: "CREATED_AT", columns: COLUMNS, descending: true }
    }

    const POLICY: Policy = artifacts(Access::InLists);
}

impl Connected for ArtifactsOfTag {
    type Node = Artifact;
    const TYPES: ConnectionNames = ARTIFACTS;

    fn node(row: &Artifact) -> Artifact {
        row.clone()
    }

    fn declare_connection(fields: &mut Fields<'_, '_, Connection<Self>>) {
        declare_facets(fields);
    }
}

row! {
    /// What a collection knows of a member.
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
    /// What a group knows of a member.
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

/// An artifact as a member of something, which is `M`.
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

/// What the artifacts of a collection are sorted by.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum CollectionArtifactOrderField {
    /// Their place in the collection.
    Position,
    /// When they came into the collection.
    AddedAt,
    /// Their name, by code point.
    Name,
}

/// How the artifacts of a collection are sorted.
#[derive(InputObject, Clone, Debug, PartialEq, Eq)]
pub struct CollectionArtifactOrder {
    /// By what.
    field: CollectionArtifactOrderField,
    /// Which way.
    direction: OrderDirection,
}

/// Arguments of `Collection.artifacts`.
#[derive(InputObject)]
pub struct CollectionArtifactsArguments {
    #[graphql(flatten)]
    page: PageArguments,
    /// Which of its artifacts; all where it is absent.
    filter: Option<ArtifactFilter>,
    /// How they are sorted; by their place in the collection where it is absent.
    order_by: Option<CollectionArtifactOrder>,
}

impl AsRef<PageArguments> for CollectionArtifactsArguments {
    fn as_ref(&self) -> &PageArguments {
        &self.page
    }
}

/// The artifacts of a collection that meet a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArtifactsOfCollection {
    conditions: ArtifactConditions,
    order: Order,
    counts: crate::graphql::CountStrategy,
}

impl ArtifactsOfCollection {
    /// The list that the arguments ask for.
    ///
    /// # Errors
    /// That of [`ArtifactConditions::parse`].
    pub fn new(args: &CollectionArtifactsArguments, counts: crate::graphql::CountStrategy) -> Result<Self> {
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
        Ok(Self { conditions, order: Order { name, columns, descending }, counts })
    }

    /// Whether the place in this list is the place in the collection.
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

    fn order(&self) -> Order {
        self.order
    }

    const POLICY: Policy = Policy::exempt("visible with its parent");

    fn filter(&self, sql: &mut Sql) {
        self.conditions.write("m.artifact_type", sql);
    }

    /// Where the filter is about types alone, or there is none, the kept counts have the answer.
    fn total(&self, keys: &[Uuid], sql: &mut Sql) {
        let types = self.conditions.types_alone();
        if self.counts == crate::graphql::CountStrategy::Maintained && (types.is_some() || self.conditions.is_empty()) {
            crate::catalog::collection::maintained_counts(keys, types, sql);
        } else {
            count_members(self, keys, sql);
        }
    }
}

impl Connected for ArtifactsOfCollection {
    type Node = Artifact;
    const TYPES: ConnectionNames = ConnectionNames {
        connection: "CollectionArtifactConnection",
        edge: "CollectionArtifactEdge",
        nodes: "the artifacts of a collection",
    };

    fn node(row: &Member<Membership>) -> Artifact {
        row.artifact.clone()
    }

    fn declare_edge(fields: &mut Fields<'_, '_, Edge<Self>>) {
        fields! { fields;
            type;
            /// Zero-based place in the collection, whatever filter and order the list has.
            position => batch::<NoArguments, _>(|edges, _, node| Box::pin(async move {
                // At the start of the list in its own order, the places are those of the page.
                let known = edges.iter().map(|edge| edge.list().is_by_position().then(|| edge.place_from_start())?);
                if let Some(places) = known.map(|place| Some(place? as i64)).collect::<Option<Vec<i64>>>() {
                    return Ok(places);
                }
                let keys = edges.iter().map(|edge| (edge.parent(), edge.row().artifact.id())).collect();
                node.load::<i64, _>(PositionInCollection, keys).await
            }));
            /// Free state of the artifact in this collection, such as `shortlisted`.
            status => column(Membership::status);
            /// A note on the artifact in this collection.
            note => column(Membership::note);
            /// When it came into the collection.
            addedAt => column(Membership::added_at);
        }
    }

    fn declare_connection(fields: &mut Fields<'_, '_, Connection<Self>>) {
        declare_facets(fields);
    }
}

/// The positions of members in their lists.
///
/// The statement counts the members between those of the keys once, each in the order of its list: a page costs as much as
/// its last position, in whatever order the page is.
macro_rules! position {
    ($(#[doc = $doc:literal])* $name:ident($label:literal), $list:expr) => {
        relation! {
            $(#[doc = $doc])*
            $name($label): (Uuid, Uuid) => i64;
            "select s.a, s.b, cast(sum(s.since_last) over (partition by s.a order by s.sort_key, s.b) as bigint)
             from (
               select k.a, k.b, k.sort_key, (
                 select count(*) from {table} o
                 where o.{list} = k.a
                   and (o.sort_key, o.{item}) >= (k.from_key, k.from_item)
                   and (o.sort_key, o.{item}) < (k.sort_key, k.b)
               ) as since_last
               from (
                 select keys.a, keys.b, m.sort_key,
                   coalesce(lag(m.sort_key) over w, {least_key}) as from_key,
                   coalesce(lag(keys.b) over w, {least_id}) as from_item
                 from {key_table} as keys
                 join {table} m on m.{list} = keys.a and m.{item} = keys.b
                 window w as (partition by keys.a order by m.sort_key, keys.b)
               ) k
             ) s {exempt: visible with its list}",
            table: text($list.table),
            list: text($list.list),
            item: text($list.item),
            least_key: i64::MIN,
            least_id: Uuid::nil(),
        }
    };
}

position! {
    /// The position of an artifact among all artifacts of its collection.
    PositionInCollection("CollectionArtifactEdge.position"), order::MEMBERS
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

    fn order(&self) -> Order {
        const COLUMNS: &[(&str, SortType)] = &[("m.sort_key", SortType::Int), ("m.artifact_id", SortType::Id)];
        Order { name: "POSITION", columns: COLUMNS, descending: false }
    }

    const POLICY: Policy = Policy::exempt("visible with its parent");
}

impl Connected for ArtifactsOfGroup {
    type Node = Artifact;
    const TYPES: ConnectionNames = ConnectionNames {
        connection: "GroupArtifactConnection",
        edge: "GroupArtifactEdge",
        nodes: "the artifacts of a group",
    };

    fn node(row: &Member<GroupMembership>) -> Artifact {
        row.artifact.clone()
    }

    fn declare_edge(fields: &mut Fields<'_, '_, Edge<Self>>) {
        fields! { fields;
            type;
            /// Zero-based place in the group.
            position => batch::<NoArguments, _>(|edges, _, node| Box::pin(async move {
                let known = edges.iter().map(|edge| edge.place_from_start().map(|place| place as i64));
                if let Some(places) = known.collect::<Option<Vec<i64>>>() {
                    return Ok(places);
                }
                let keys = edges.iter().map(|edge| (edge.parent(), edge.row().artifact.id())).collect();
                node.load::<i64, _>(PositionInGroup, keys).await
            }));
            /// When it came into the group.
            addedAt => column(GroupMembership::added_at);
        }
    }
}

position! {
    /// The position of an artifact among all artifacts of its group.
    PositionInGroup("GroupArtifactEdge.position"), order::GROUP_MEMBERS
}

/// Counts over a whole filtered list, for each of its parents.
#[derive(Clone)]
struct Facets<L: Connected> {
    list: L,
    parent: L::Parent,
}

fn declare_facets<L: Connected>(fields: &mut Fields<'_, '_, Connection<L>>) {
    fields! { fields;
        type;
        /// Counts over all that meet the filter, not over the page.
        facets => compute::<NoArguments, _>(|page, _, _| Ok(Facets { list: page.list().clone(), parent: page.parent() }));
    }
}

impl<L: Connected> Object for Facets<L> {
    fn name() -> String {
        "ArtifactFacets".to_owned()
    }

    fn declare(fields: &mut Fields<'_, '_, Self>) {
        fields! { fields;
            /// How the artifacts of a filtered list are spread over types and tags.
            type;
            /// How many there are of each type, the most frequent first.
            types => load::<NoArguments, _, _>(
                |facets| facets.parent.clone(),
                |facets, _, _| Ok(TypeFacets(facets.list.clone())),
                |counts| counts,
            );
            /// How many there are with each tag, by slug, the most frequent first.
            tags => load::<TagFacetsArguments, _, _>(
                |facets| facets.parent.clone(),
                |facets, args, _| args.relation(&facets.list),
                |counts| counts,
            );
        }
    }
}

/// How many facets.
#[derive(InputObject)]
struct TagFacetsArguments {
    /// Tags at most, from 0 to 1,000.
    #[graphql(default_with = "Some(50)")]
    first: Option<i64>,
}

impl TagFacetsArguments {
    const DEFAULT: i64 = 50;
    const MAX: i64 = 1_000;

    fn relation<L: List>(&self, list: &L) -> Result<TagFacets<L>> {
        let first = self.first.unwrap_or(Self::DEFAULT);
        if !(0..=Self::MAX).contains(&first) {
            let message = format!("`first` is {first}, it can be from 0 to {}", Self::MAX);
            return Err(crate::error::Error::bad_user_input(message));
        }
        Ok(TagFacets { list: list.clone(), first })
    }
}

/// A value and how many artifacts have it.
#[derive(Clone, Debug)]
pub struct FacetCount {
    value: Text,
    count: i64,
}

impl Object for FacetCount {
    fn name() -> String {
        "FacetCount".to_owned()
    }

    fn declare(fields: &mut Fields<'_, '_, Self>) {
        fields! { fields;
            /// A value and how many artifacts of the list have it.
            type;
            /// A type, or the slug of a tag.
            value => leaf(|facet| &facet.value);
            /// How many artifacts have it.
            artifactCount => leaf(|facet| &facet.count);
        }
    }
}

impl Record for FacetCount {
    fn read(row: &mut Row<'_>) -> sqlx::Result<Self> {
        Ok(Self { value: row.next()?, count: row.next()? })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct TypeFacets<L>(L);

impl<L: List> Relation for TypeFacets<L> {
    type Key = L::Parent;
    type Row = FacetCount;
    type Value = Vec<FacetCount>;
    const NAME: &'static str = "ArtifactFacets.types";

    fn statement(&self, keys: &[L::Parent], sql: &mut Sql) {
        let (from, filter) = (text(L::FROM), &|sql: &mut Sql| self.0.filter(sql));
        if L::Parent::IS_ROOT {
            append!(
                sql,
                "select a.type, count(*)
                 from {from}
                 where true {visible} {filter}
                 group by a.type
                 order by count(*) desc, a.type",
                from,
                visible: policy::<L>(),
                filter: with(filter),
            );
        } else {
            append!(
                sql,
                "select keys.id, a.type, count(*)
                 from {keys} as keys cross join {from}
                 where {parent} = keys.id {visible} {filter}
                 group by keys.id, a.type
                 order by count(*) desc, a.type",
                keys: L::Parent::table(keys),
                from,
                parent: text(L::PARENT),
                visible: policy::<L>(),
                filter: with(filter),
            );
        }
    }

    fn read(&self, row: &mut Row<'_>) -> sqlx::Result<FacetCount> {
        Record::read(row)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct TagFacets<L> {
    list: L,
    first: i64,
}

impl<L: List> Relation for TagFacets<L> {
    type Key = L::Parent;
    type Row = FacetCount;
    type Value = Vec<FacetCount>;
    const NAME: &'static str = "ArtifactFacets.tags";

    /// The window runs over one row for each tag, after the artifacts are counted.
    fn statement(&self, keys: &[L::Parent], sql: &mut Sql) {
        let (from, filter) = (text(L::FROM), &|sql: &mut Sql| self.list.filter(sql));
        if L::Parent::IS_ROOT {
            append!(
                sql,
                "select slug, n
                 from (
                   select slug, n, row_number() over (order by n desc, slug) as rank
                   from (
                     select t.slug, count(*) as n
                     from (select a.id as artifact_id from {from} where true {visible} {filter}) listed
                     join artifact_tags l on l.artifact_id = listed.artifact_id
                     join tags t on t.id = l.tag_id
                     group by t.slug
                   ) counted
                 ) ranked
                 where rank <= {first}
                 order by rank",
                from,
                visible: policy::<L>(),
                filter: with(filter),
                first: self.first,
            );
        } else {
            append!(
                sql,
                "select id, slug, n
                 from (
                   select id, slug, n, row_number() over (partition by id order by n desc, slug) as rank
                   from (
                     select listed.id, t.slug, count(*) as n
                     from (
                       select keys.id, a.id as artifact_id
                       from {keys} as keys cross join {from}
                       where {parent} = keys.id {visible} {filter}
                     ) listed
                     join artifact_tags l on l.artifact_id = listed.artifact_id
                     join tags t on t.id = l.tag_id
                     group by listed.id, t.slug
                   ) counted
                 ) ranked
                 where rank <= {first}
                 order by id, rank",
                keys: L::Parent::table(keys),
                from,
                parent: text(L::PARENT),
                visible: policy::<L>(),
                filter: with(filter),
                first: self.first,
            );
        }
    }

    fn read(&self, row: &mut Row<'_>) -> sqlx::Result<FacetCount> {
        Record::read(row)
    }
}
