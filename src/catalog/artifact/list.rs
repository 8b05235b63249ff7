//! Lists of artifacts: all of them, and those with a tag.
use async_graphql::{Enum, InputObject};

use super::{Artifact, ArtifactConditions, ArtifactFilter, facets::declare_facets};
use crate::{
    append,
    catalog::{
        filter::OrderDirection,
        policy::{self, Access},
    },
    connected,
    db::{Policy, Sql, text},
    error::Result,
    graphql::{
        SortType,
        list::{List, ListOrder},
        paged_list::{ConnectionNames, PageArguments},
    },
    list,
    loader::RootKey,
};

const ARTIFACTS: ConnectionNames =
    ConnectionNames { connection: "ArtifactConnection", edge: "ArtifactEdge", nodes: "artifacts" };

/// Sort key of artifacts.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArtifactOrderField {
    /// Time of creation.
    CreatedAt,
    /// Time of the last change.
    UpdatedAt,
    /// Name, by code point.
    Name,
    /// Type, then name.
    Type,
}

/// Order of artifacts.
#[derive(InputObject, Clone, Debug, PartialEq, Eq)]
pub struct ArtifactOrder {
    /// Sort key.
    field: ArtifactOrderField,
    /// Direction.
    direction: OrderDirection,
}

/// Arguments of `Query.artifacts`.
#[derive(InputObject)]
pub struct ArtifactsArguments {
    #[graphql(flatten)]
    page: PageArguments,
    /// Filter. Default: all artifacts.
    filter: Option<ArtifactFilter>,
    /// Order. Default: newest first, or by rank if there is a search.
    order_by: Option<ArtifactOrder>,
}

impl AsRef<PageArguments> for ArtifactsArguments {
    fn as_ref(&self) -> &PageArguments {
        &self.page
    }
}

impl ArtifactsArguments {
    /// The list that the arguments select.
    ///
    /// # Errors
    /// As [`ArtifactConditions::parse`].
    pub fn list(&self) -> Result<AllArtifacts> {
        let conditions = ArtifactConditions::parse(self.filter.clone())?;
        Ok(AllArtifacts { order: order(self.order_by.as_ref(), conditions.has_search()), conditions })
    }
}

/// The column that stands for the rank of a search.
const RANK: &str = "rank";

fn order(given: Option<&ArtifactOrder>, is_search: bool) -> ListOrder {
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
    ListOrder { name, columns, descending }
}

/// All artifacts that match a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllArtifacts {
    conditions: ArtifactConditions,
    order: ListOrder,
}

impl List for AllArtifacts {
    type Parent = RootKey;
    type Row = Artifact;
    const NAME: &'static str = "Query.artifacts";
    const TOTAL_NAME: &'static str = "Query.artifacts.totalCount";
    const FROM: &'static str = "artifacts a";
    const PARENT: &'static str = "true";
    const ROW: &'static str = "a.row";
    const POLICY: Policy = policy::artifacts(Access::InLists);

    fn order(&self) -> ListOrder {
        self.order
    }

    fn write_order_column(&self, column: &'static str, sql: &mut Sql) {
        if column == RANK {
            self.conditions.append_rank(sql);
        } else {
            append!(sql, "{column}", column = text(column));
        }
    }

    fn filter(&self, sql: &mut Sql) {
        self.conditions.append("a.type", sql);
    }
}

connected!(AllArtifacts => Artifact, ARTIFACTS, declare_facets);

list! {
    /// The artifacts with a tag, newest first.
    pub ArtifactsOfTag("Tag.artifacts"): Artifact, ARTIFACTS, declare_facets;
    from: "artifact_tags m join artifacts a on a.id = m.artifact_id",
    parent: "m.tag_id",
    row: "m.rowid",
    policy: policy::artifacts(Access::InLists),
    order: ListOrder::descending(
        "CREATED_AT",
        &[("m.artifact_created_at", SortType::Time), ("m.artifact_id", SortType::Id)],
    ),
}
