//! Lists of collections: all, and those that hold an artifact.
use async_graphql::{Enum, ID, InputObject};
use uuid::Uuid;

use super::Collection;
use crate::{
    catalog::{
        Visibility, artifact,
        filter::{OrderDirection, Search, SearchIndex, distinct_texts},
        policy::{self, Access},
        user,
    },
    dataloader::RootKey,
    db::{Arg, Policy, Sql},
    error::Result,
    graphql::{
        SortType,
        connection::{Connected, ConnectionNames, PageArguments},
        id,
        list::{List, Order},
    },
};

const COLLECTIONS: ConnectionNames =
    ConnectionNames { connection: "CollectionConnection", edge: "CollectionEdge", nodes: "collections" };

/// Which collections: those that meet every condition given.
#[derive(InputObject, Clone, Debug, Default, PartialEq, Eq)]
pub struct CollectionFilter {
    /// Of one of these kinds.
    pub kinds: Option<Vec<String>>,
    /// With this visibility.
    pub visibility: Option<Visibility>,
    /// Of this account.
    pub owner_id: Option<ID>,
    /// Words of name or description, each as the beginning of a word.
    pub search: Option<String>,
    /// Only those that hold this artifact.
    pub contains_artifact_id: Option<ID>,
}

/// What collections are sorted by.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum CollectionOrderField {
    /// When it was made.
    CreatedAt,
    /// When it was last changed.
    UpdatedAt,
    /// Its name, by code point.
    Name,
}

/// How collections are sorted.
#[derive(InputObject, Clone, Debug, PartialEq, Eq)]
pub struct CollectionOrder {
    /// By what.
    field: CollectionOrderField,
    /// Which way.
    direction: OrderDirection,
}

fn order(given: Option<&CollectionOrder>) -> Order {
    let (name, columns): (_, &'static [_]) = match given.map(|order| order.field) {
        None | Some(CollectionOrderField::Name) => ("NAME", &[("c.name", SortType::Text), ("c.id", SortType::Id)]),
        Some(CollectionOrderField::CreatedAt) => {
            ("CREATED_AT", &[("c.created_at", SortType::Time), ("c.id", SortType::Id)])
        }
        Some(CollectionOrderField::UpdatedAt) => {
            ("UPDATED_AT", &[("c.updated_at", SortType::Time), ("c.id", SortType::Id)])
        }
    };
    Order { name, columns, descending: given.is_some_and(|order| order.direction == OrderDirection::Desc) }
}

/// Arguments of `Artifact.collections` and of `User.collections`.
#[derive(InputObject)]
#[graphql(name = "ArtifactCollectionsArguments")]
pub struct CollectionsArguments {
    #[graphql(flatten)]
    page: PageArguments,
    /// How they are sorted; by name where it is absent.
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
    /// Which collections; all where it is absent.
    filter: Option<CollectionFilter>,
    /// How they are sorted; by name where it is absent.
    order_by: Option<CollectionOrder>,
}

impl AsRef<PageArguments> for AllCollectionsArguments {
    fn as_ref(&self) -> &PageArguments {
        &self.page
    }
}

impl AllCollectionsArguments {
    /// The list they ask for.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` for what is no id of an artifact or an account, too long a list or text, or U+0000.
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

/// All collections that meet a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllCollections {
    kinds: Option<Vec<String>>,
    visibility: Option<Visibility>,
    owner: Option<Uuid>,
    search: Option<Search>,
    contains: Option<Uuid>,
    order: Order,
}

/// The full-text index of collections.
const SEARCH: SearchIndex = SearchIndex {
    sqlite: "c.row in (select rowid from collection_search where collection_search match ",
    postgres: "c.id in (select s.collection_id from collection_search s where s.words @@ search_query(",
};

impl List for AllCollections {
    type Parent = RootKey;
    type Row = Collection;
    const NAME: &'static str = "Query.collections";
    const TOTAL_NAME: &'static str = "Query.collections.totalCount";
    const FROM: &'static str = "collections c";
    const PARENT: &'static str = "true";
    const ROW: &'static str = "c.row";

    fn order(&self) -> Order {
        self.order
    }

    const POLICY: Policy = policy::collections(Access::InLists);

    fn filter(&self, sql: &mut Sql) {
        if let Some(kinds) = &self.kinds {
            sql.push(" and c.kind").in_texts(kinds);
        }
        if let Some(visibility) = self.visibility {
            sql.push(" and c.visibility = ").bind(Arg::Text(Some(visibility.as_str().to_owned())));
        }
        if let Some(owner) = self.owner {
            sql.push(" and c.owner_id = ").bind(Arg::Id(owner));
        }
        if let Some(search) = &self.search {
            search.write(SEARCH, sql);
        }
        if let Some(artifact_id) = self.contains {
            sql.push(" and c.id in (select m.collection_id from collection_artifacts m where m.artifact_id = ")
                .bind(Arg::Id(artifact_id))
                .push(")");
        }
    }
}

impl Connected for AllCollections {
    type Node = Collection;
    const TYPES: ConnectionNames = COLLECTIONS;

    fn node(row: &Collection) -> Collection {
        row.clone()
    }
}

/// The collections that hold an artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectionsOfArtifact {
    order: Order,
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

    fn order(&self) -> Order {
        self.order
    }

    const POLICY: Policy = policy::collections(Access::InLists);
}

impl Connected for CollectionsOfArtifact {
    type Node = Collection;
    const TYPES: ConnectionNames = COLLECTIONS;

    fn node(row: &Collection) -> Collection {
        row.clone()
    }
}

/// The collections of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectionsOfUser {
    order: Order,
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

    fn order(&self) -> Order {
        self.order
    }

    const POLICY: Policy = policy::collections(Access::InLists);
}

impl Connected for CollectionsOfUser {
    type Node = Collection;
    const TYPES: ConnectionNames = COLLECTIONS;

    fn node(row: &Collection) -> Collection {
        row.clone()
    }
}
