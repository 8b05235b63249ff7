//! Sharing: links that whoever has one may open, and shares from account to account.
mod import;
mod link;
mod share;
mod views;

use async_graphql::ID;
use uuid::Uuid;

use super::{
    artifact::{self, Artifact},
    collection::{self, Collection},
    input,
    policy::{self, Access},
};
use crate::{
    abstract_output,
    db::{Arg, Record, Row, SelectColumns, SelectList, Sql, Time, columns},
    error::{Code, Error, Result},
    graphql::{
        ExecutionField, Write,
        id::{self, GlobalId},
        object::SchemaBuilder,
    },
    relation,
};

pub use link::{LinkById, LinksOfArtifact, LinksOfCollection, PREFIX as LINK_PREFIX, ShareLink, declare_root};
pub use share::{PREFIX, ReceivedShares, SentShares, Share, ShareById};
pub use views::Views;

/// Asks what the link with a `$token` leads to.
pub const SHARED_DOCUMENT: &str = include_str!("../../../ui/src/shared.graphql");

/// How long a link or a share is good for where nothing is said, in microseconds.
const DEFAULT_US: i64 = 30 * 24 * 60 * 60 * 1_000_000;

abstract_output! {
    /// What can be shared.
    #[derive(Debug)]
    pub enum Shareable as "Shareable" by declare_union {
        Artifact(Artifact),
        Collection(Collection),
    }
}

fn declare_union(schema: &mut SchemaBuilder<'_>) {
    schema.union("Shareable", &["What can be shared: an artifact, or a collection with the artifacts it holds."]);
}

/// Declares the root fields that share.
pub fn declare_mutations(fields: &mut crate::graphql::object::Fields<'_, '_, super::Mutation>) {
    link::declare_mutations(fields);
    share::declare_mutations(fields);
}

/// What a link or a share leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Artifact(Uuid),
    Collection(Uuid),
}

impl Target {
    /// The target that `id` names.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` for what is no id of an artifact or a collection.
    fn parse(id: &ID) -> Result<Self> {
        let GlobalId { prefix, id } =
            id::parse_any(&[artifact::PREFIX, collection::PREFIX], id).map_err(|error| error.in_field("targetId"))?;
        Ok(if prefix == artifact::PREFIX { Self::Artifact(id) } else { Self::Collection(id) })
    }

    /// Reads the two columns, of which one is null.
    fn read(row: &mut Row<'_>) -> sqlx::Result<Self> {
        let (artifact, collection) = (row.next_or_null()?, row.next_or_null()?);
        match (artifact, collection) {
            (Some(id), None) => Ok(Self::Artifact(id)),
            (None, Some(id)) => Ok(Self::Collection(id)),
            _ => Err(sqlx::Error::Decode("a share leads to one object".into())),
        }
    }

    /// Writes the values of the two columns.
    fn bind(self, sql: &mut Sql) {
        let (artifact, collection) = match self {
            Self::Artifact(id) => (Some(id), None),
            Self::Collection(id) => (None, Some(id)),
        };
        sql.bind(Arg::OptionalId(artifact)).push(", ").bind(Arg::OptionalId(collection));
    }

    /// Locks it for whoever writes, who must own it.
    ///
    /// # Errors
    /// `NOT_FOUND`, `FORBIDDEN`.
    async fn lock(self, write: &mut Write<'_>) -> Result<()> {
        match self {
            Self::Collection(id) => collection::lock_one(write, id, "targetId").await,
            Self::Artifact(id) => {
                let mut sql = write.sql();
                sql.push("select ");
                policy::write_may_change("a.owner_id", &mut sql);
                sql.push(" from artifacts a where a.id = ").bind(Arg::Id(id));
                policy::artifacts(Access::ById).append(&mut sql);
                sql.either("", " for update of a");
                let found = write.fetch::<i64>("artifacts.lock", sql).await?;
                input::may_change("artifact", "targetId", found.first().map(|may_change| *may_change == 1))
            }
        }
    }
}

relation! {
    /// The artifact or the collection that was shared: one statement for both.
    TargetOfShare("Shareable"): Uuid => Option<Shareable>;
    "select k.id, {columns}
     from {key_table} k
     left join artifacts a on a.id = k.id
     left join collections c on c.id = k.id
     where a.id is not null or c.id is not null {exempt: visible with its link or share}",
    columns: columns::<Shareable>(),
}

/// Of an artifact `a` and a collection `c`, of which one is there: which of the two, and the columns of both.
impl SelectColumns for Shareable {
    fn columns(list: &mut SelectList) {
        list.push("cast(case when a.id is null then 1 else 0 end as bigint)");
        Artifact::columns(list);
        Collection::columns(list);
    }
}

impl Record for Shareable {
    fn read(row: &mut Row<'_>) -> sqlx::Result<Self> {
        if row.next::<i64>()? == 0 {
            return Artifact::read(row).map(Self::Artifact);
        }
        row.skip::<Artifact>();
        Collection::read(row).map(Self::Collection)
    }
}

/// What the targets are.
async fn load_targets(node: ExecutionField<'_>, targets: &[Target]) -> Result<Vec<Shareable>> {
    let keys = targets.iter().map(|target| match target {
        Target::Artifact(id) | Target::Collection(id) => *id,
    });
    let found = node.load::<Shareable, _>(TargetOfShare, keys.collect()).await?;
    let there = |found: Option<Shareable>| found.ok_or_else(|| Error::new(Code::NotFound, "it was deleted meanwhile"));
    found.into_iter().map(there).collect()
}

/// When a link or a share that is made now ends.
///
/// # Errors
/// `BAD_USER_INPUT` for a time that has passed.
fn end(now: Time, given: Option<Time>) -> Result<Time> {
    let end = given.unwrap_or(Time(now.0 + DEFAULT_US));
    if end <= now {
        return Err(Error::bad_user_input("it would have expired already").in_field("expiresAt"));
    }
    Ok(end)
}
