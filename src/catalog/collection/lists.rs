//! Lists of collections: all of them, those of an account, and those that contain an artifact.
use async_graphql::{Enum, ID, InputObject};
use uuid::Uuid;

use super::Collection;
use crate::{
    append,
    catalog::{
        Visibility, artifact,
        filter::{OrderDirection, Search, SearchIndex, distinct_texts},
        policy::{self, Access},
        user,
    },
    connected,
    db::{Policy, Sql, in_texts},
    error::Result,
    graphql::{
        SortType, id,
        list::{List, ListOrder},
        paged_list::{ConnectionNames, PageArguments},
    },
    loader::RootKey,
};

const COLLECTIONS: ConnectionNames =
    ConnectionNames { connection: "CollectionConnection", edge: "CollectionEdge", nodes: "collections" };

/// Filter of collections, which match if they meet every given condition.
#[derive(InputObject, Clone, Debug, Default, PartialEq, Eq)]
pub struct CollectionFilter {
    /// Kind: one of these.
    pub kinds: Option<Vec<String>>,
    /// Visibility.
    pub visibility: Option<Visibility>,
    /// The account that owns the collection.
    pub owner_id: Option<ID>,
    /// Search for words in name and description; each matches the beginning of a word, as in `ArtifactFilter.search`.
    pub search: Option<String>,
    /// An artifact that the collection contains.
    pub contains_artifact_id: Option<ID>,
}

/// Sort key of collections.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum CollectionOrderField {
    /// Time of creation.
    CreatedAt,
    /// Time of the last change.
    UpdatedAt,
    /// Name, by code point.
    Name,
}

/// Order of collections.
#[derive(InputObject, Clone, Debug, PartialEq, Eq)]
pub struct CollectionOrder {
    /// Sort key.
    field: CollectionOrderField,
    /// Direction.
    direction: OrderDirection,
}

fn order(given: Option<&CollectionOrder>) -> ListOrder {
    let (name, columns): (_, &'static [_]) = match given.map(|order| order.field) {
        None | Some(CollectionOrderField::Name) => ("NAME", &[("c.name", SortType::Text), ("c.id", SortType::Id)]),
        Some(CollectionOrderField::CreatedAt) => {
            ("CREATED_AT", &[("c.created_at", SortType::Time), ("c.id", SortType::Id)])
        }
        Some(CollectionOrderField::UpdatedAt) => {
            ("UPDATED_AT", &[("c.updated_at", SortType::Time), ("c.id", SortType::Id)])
        }
    };
    ListOrder { name, columns, descending: given.is_some_and(|order| order.direction == OrderDirection::Desc) }
}

/// Arguments of `Artifact.collections` and of `User.collections`.
#[derive(InputObject)]
#[graphql(name = "ArtifactCollectionsArguments")]
pub struct CollectionsArguments {
    #[graphql(flatten)]
    page: PageArguments,
    /// Order. Default: name.
    pub order_by: Option<CollectionOrder>,
}

impl AsRef<PageArguments> for CollectionsArguments {
    fn as_ref(&self) -> &PageArguments {
        &self.page
    }
}

/// Arguments of `Query.collections`.
#[derive(InputObject)]
#[graphql(name = "CollectionsArguments")]
pub struct AllCollectionsArguments {
    #[graphql(flatten)]
    page: PageArguments,
    /// Filter. Default: all collections.
    filter: Option<CollectionFilter>,
    /// Order. Default: name.
    order_by: Option<CollectionOrder>,
}

impl AsRef<PageArguments> for AllCollectionsArguments {
    fn as_ref(&self) -> &PageArguments {
        &self.page
    }
}

impl AllCollectionsArguments {
    /// The list that the arguments select.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` for an id of another type, too long a list or text, or U+0000.
    pub fn list(&self) -> Result<AllCollections> {
        let filter = self.filter.clone().unwrap_or_default();
        Ok(AllCollections {
            kinds: filter.kinds.map(distinct_texts).transpose()?,
            visibility: filter.visibility,
            owner: filter.owner_id.map(|text| id::parse(user::PREFIX, &text)).transpose()?,
            search: Search::parse(filter.search.as_deref())?,
            contains: filter.contains_artifact_id.map(|text| id::parse(artifact::PREFIX, &text)).transpose()?,
            order: order(self.order_by.as_ref()),
        })
    }
}

/// All collections that match a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllCollections {
    kinds: Option<Vec<String>>,
    visibility: Option<Visibility>,
    owner: Option<Uuid>,
    search: Option<Search>,
    contains: Option<Uuid>,
    order: ListOrder,
}

/// The full-text index of collections.
const SEARCH: SearchIndex = SearchIndex { index: "collection_search", row: "c.row", id: "c.id", item: "collection_id" };

impl List for AllCollections {
    type Parent = RootKey;
    type Row = Collection;
    const NAME: &'static str = "Query.collections";
    const TOTAL_NAME: &'static str = "Query.collections.totalCount";
    const FROM: &'static str = "collections c";
    const PARENT: &'static str = "true";
    const ROW: &'static str = "c.row";

    fn order(&self) -> ListOrder {
        self.order
    }

    const POLICY: Policy = policy::collections(Access::InLists);

    fn filter(&self, sql: &mut Sql) {
        if let Some(kinds) = &self.kinds {
            append!(sql, " and c.kind {kinds}", kinds = in_texts(kinds));
        }
        if let Some(visibility) = self.visibility {
            append!(sql, " and c.visibility = {visibility}", visibility = visibility.as_str());
        }
        if let Some(owner) = self.owner {
            append!(sql, " and c.owner_id = {owner}", owner);
        }
        if let Some(search) = &self.search {
            search.append(SEARCH, sql);
        }
        if let Some(artifact) = self.contains {
            append!(
                sql,
                " and c.id in (select m.collection_id from collection_artifacts m where m.artifact_id = {artifact}
                    {exempt: the policy of the list applies to the collections})",
                artifact
            );
        }
    }
}

connected!(AllCollections => Collection, COLLECTIONS);

/// The collections that contain an artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectionsOfArtifact {
    order: ListOrder,
}

impl CollectionsOfArtifact {
    /// The list in this order.
    pub fn new(given: Option<CollectionOrder>) -> Self {
        Self { order: order(given.as_ref()) }
    }
}

impl List for CollectionsOfArtifact {
    type Parent = Uuid;
    type Row = Collection;
    const NAME: &'static str = "Artifact.collections";
    const TOTAL_NAME: &'static str = "Artifact.collections.totalCount";
    const FROM: &'static str = "collection_artifacts m join collections c on c.id = m.collection_id";
    const PARENT: &'static str = "m.artifact_id";
    const ROW: &'static str = "m.rowid";

    fn order(&self) -> ListOrder {
        self.order
    }

    const POLICY: Policy = policy::collections(Access::InLists);
}

connected!(CollectionsOfArtifact => Collection, COLLECTIONS);

/// The collections of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectionsOfUser {
    order: ListOrder,
}

impl CollectionsOfUser {
    /// The list in this order.
    pub fn new(given: Option<CollectionOrder>) -> Self {
        Self { order: order(given.as_ref()) }
    }
}

impl List for CollectionsOfUser {
    type Parent = Uuid;
    type Row = Collection;
    const NAME: &'static str = "User.collections";
    const TOTAL_NAME: &'static str = "User.collections.totalCount";
    const FROM: &'static str = "collections c";
    const PARENT: &'static str = "c.owner_id";
    const ROW: &'static str = "c.row";

    fn order(&self) -> ListOrder {
        self.order
    }

    const POLICY: Policy = policy::collections(Access::InLists);
}

connected!(CollectionsOfUser => Collection, COLLECTIONS);
