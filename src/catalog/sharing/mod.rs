//! Sharing: links, which grant access to everyone who has them, and shares from account to account.
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
    db::{Record, Row, SelectColumns, SelectList, Time, columns, either},
    error::{Code, Error, Result},
    graphql::{
        ExecutionField, Write,
        id::{self, GlobalId},
        object::SchemaBuilder,
    },
    relation, statement,
};

pub use link::{LinkById, LinksOfArtifact, LinksOfCollection, PREFIX as LINK_PREFIX, ShareLink, declare_root};
pub use share::{PREFIX, ReceivedShares, SentShares, Share, ShareById};
pub use views::ViewCounter;

/// The query of a link's page, with the variable `$token`.
pub const SHARED_DOCUMENT: &str = include_str!("../../../ui/src/shared.graphql");

/// Default lifetime of links and shares, in microseconds.
const DEFAULT_US: i64 = 30 * 24 * 60 * 60 * 1_000_000;

abstract_output! {
    /// An object that can be shared.
    #[derive(Debug)]
    pub enum Shareable as "Shareable" by declare_union {
        Artifact(Artifact),
        Collection(Collection),
    }
}

fn declare_union(schema: &mut SchemaBuilder<'_>) {
    schema.union(
        "Shareable",
        &["An object that can be shared: an artifact, or a collection with the artifacts it contains."],
    );
}

/// Declares the mutations on links and shares.
pub fn declare_mutations(fields: &mut crate::graphql::object::ObjectBuilder<'_, '_, super::Mutation>) {
    link::declare_mutations(fields);
    share::declare_mutations(fields);
}

/// The object that a link or a share leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Artifact(Uuid),
    Collection(Uuid),
}

impl Target {
    /// The target with this id.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` for an id of another type.
    fn parse(id: &ID) -> Result<Self> {
        let GlobalId { prefix, id } =
            id::parse_any(&[artifact::PREFIX, collection::PREFIX], id).map_err(|error| error.in_field("targetId"))?;
        Ok(if prefix == artifact::PREFIX { Self::Artifact(id) } else { Self::Collection(id) })
    }

    /// Reads the columns `artifact_id` and `collection_id`, of which one is null.
    fn read(row: &mut Row<'_>) -> sqlx::Result<Self> {
        let (artifact, collection) = (row.next_or_null()?, row.next_or_null()?);
        match (artifact, collection) {
            (Some(id), None) => Ok(Self::Artifact(id)),
            (None, Some(id)) => Ok(Self::Collection(id)),
            _ => Err(sqlx::Error::Decode("a share leads to one object".into())),
        }
    }

    /// The values of the two columns `artifact_id` and `collection_id`, of which one is null.
    fn ids(self) -> (Option<Uuid>, Option<Uuid>) {
        match self {
            Self::Artifact(id) => (Some(id), None),
            Self::Collection(id) => (None, Some(id)),
        }
    }

    /// Locks the target, which the viewer must own.
    ///
    /// # Errors
    /// `NOT_FOUND`, `FORBIDDEN`.
    async fn lock(self, write: &mut Write<'_>) -> Result<()> {
        match self {
            Self::Collection(id) => collection::lock_one(write, id, "targetId").await,
            Self::Artifact(id) => {
                let sql = statement!(
                    write,
                    "select {may_change} from artifacts a where a.id = {id} {a_visible} {lock}",
                    may_change = policy::may_change("a.owner_id"),
                    id,
                    a_visible = policy::artifacts(Access::ById),
                    lock = either("", "for update of a"),
                );
                let found = write.fetch::<i64>("artifacts.lock", sql).await?;
                input::ensure_may_change("artifact", "targetId", found.first().map(|may_change| *may_change == 1))
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
    columns = columns::<Shareable>(),
}

/// Which of the artifact `a` and the collection `c` is present, and the columns of both.
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
            let artifact = Artifact::read(row)?;
            row.skip::<Collection>();
            return Ok(Self::Artifact(artifact));
        }
        row.skip::<Artifact>();
        Collection::read(row).map(Self::Collection)
    }
}

/// Loads targets, in their order.
async fn load_targets(field: ExecutionField<'_>, targets: Vec<Target>) -> Result<Vec<Shareable>> {
    let keys = targets.iter().map(|target| match target {
        Target::Artifact(id) | Target::Collection(id) => *id,
    });
    let found = field.load::<Shareable, _>(TargetOfShare, keys.collect()).await?;
    let deleted = || Error::new(Code::NotFound, "the shared object was deleted by another request");
    found.into_iter().map(|found| found.ok_or_else(deleted)).collect()
}

/// The time when a new link or share expires.
///
/// # Errors
/// `BAD_USER_INPUT` for a time in the past.
fn end(now: Time, given: Option<Time>) -> Result<Time> {
    let end = given.unwrap_or(Time(now.0 + DEFAULT_US));
    if end <= now {
        return Err(Error::bad_user_input("the expiry time is in the past").in_field("expiresAt"));
    }
    Ok(end)
}
