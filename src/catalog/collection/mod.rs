//! Collections of artifacts.
mod copy;
mod counts;
mod lists;
mod relations;
mod write;

use async_graphql::{ID, InputObject};
use uuid::Uuid;

use crate::{
    catalog::{
        Query, Visibility,
        artifact::{ArtifactsOfCollection, CollectionArtifactsArguments},
        filter::{PlainArguments, no_nul},
        group::GroupsOfCollection,
        sharing::LinksOfCollection,
        user::OwnerOfCollection,
    },
    dataloader::RootKey,
    db::{Text, Time},
    error::{Code, Error, Result},
    fields,
    graphql::{
        id::{self, GlobalId},
        object::{Fields, NoArguments, Object},
    },
    row,
};

pub use counts::{repair_counts, wrong_counts};
pub use lists::{AllCollectionsArguments, CollectionsArguments, CollectionsOfArtifact, CollectionsOfUser};
use relations::{ArtifactCount, GroupCount};
pub use relations::{CollectionById, CollectionOfGroup, maintained_counts};
pub use write::{
    CollectionPayload, Locked, MAY_BE_HELD, add_members, declare_mutations, have_lost, holding, lock, lock_holders,
    lock_one, take_over, withdraw, write_withdrawal,
};

/// Prefix of the ids of collections.
pub const PREFIX: &str = "collection";

row! {
    /// A collection.
    pub struct Collection(Stored) from 0 {
        eager { id: Uuid = "c.id" }
        on_demand {
            name: Text = "c.name",
            description: Option<Text> = "c.description",
            kind: Option<Text> = "c.kind",
            color: Option<Text> = "c.color",
            visibility: Visibility = "c.visibility",
            revision: i64 = "c.revision",
            created_at: Time = "c.created_at",
            updated_at: Time = "c.updated_at",
        }
    }
}

impl Collection {
    /// The id within the database.
    pub fn id(&self) -> Uuid {
        self.0.id
    }
}

impl Object for Collection {
    fn name() -> String {
        "Collection".to_owned()
    }

    fn declare(fields: &mut Fields<'_, '_, Self>) {
        fields! { fields;
            /// Artifacts that belong together, in an order. Who can see a collection sees its artifacts.
            type: "Node", "Shareable";
            /// Opaque, the same for ever, unique among all objects.
            id => value(|collection: &Collection| GlobalId { prefix: PREFIX, id: collection.0.id });
            /// What it is called; unique for its owner.
            name => column(Stored::name);
            /// What it is for.
            description => column(Stored::description);
            /// Free classification, such as `context`.
            kind => column(Stored::kind);
            /// Its colour, as `#rrggbb`.
            color => column(Stored::color);
            /// Who may see it, and with it the artifacts it holds.
            visibility => column(Stored::visibility);
            /// The account that owns it; null on a server without accounts.
            owner => load::<NoArguments, _, _>(Collection::id, |_, _, _| Ok(OwnerOfCollection), |owner| owner);
            /// How many artifacts it holds, of one type where `type` is given.
            artifactCount => load::<ArtifactCountArguments, _, _>(
                Collection::id,
                |_, args, context| {
                    args.of_type.as_deref().map_or(Ok(()), no_nul)?;
                    Ok(ArtifactCount { strategy: context.settings.counts, of_type: args.of_type.clone() })
                },
                |count| count,
            );
            /// The artifacts it holds, in its order unless another is given.
            artifacts => connection::<CollectionArtifactsArguments, _>(
                Collection::id,
                |args, context| ArtifactsOfCollection::new(args, context.settings.counts),
            );
            /// How many groups it has.
            groupCount => load::<NoArguments, _, _>(Collection::id, |_, _, _| Ok(GroupCount), |count| count);
            /// Its groups, in their order.
            groups => connection::<PlainArguments, _>(Collection::id, |_, _| Ok(GroupsOfCollection));
            /// Links that open it and were not revoked, the newest first; for who may change it, and nothing for others.
            shareLinks => load::<NoArguments, _, _>(Collection::id, |_, _, _| Ok(LinksOfCollection), |links| links);
            /// Counts its changes, from 1. A write that expects another revision is refused.
            revision => column(Stored::revision);
            /// When it was made.
            createdAt => column(Stored::created_at);
            /// When it was last changed.
            updatedAt => column(Stored::updated_at);
        }
    }
}

/// Declares the root fields about collections.
pub fn declare_root(fields: &mut Fields<'_, '_, Query>) {
    fields! { fields;
        type;
        /// The collection with this id; null where there is none.
        collection => batch::<ById, _>(|parents, args, node| {
            let count = parents.len();
            Box::pin(async move {
                let id = id::parse(PREFIX, &args.id)?;
                node.load::<Collection, _>(CollectionById, vec![id; count]).await
            })
        });
        /// Collections that the viewer owns or that are public, by name unless another order is given.
        collections => connection::<AllCollectionsArguments, _>(|_| RootKey, |args, _| args.list());
    }
}

/// An object by its id.
#[derive(InputObject)]
#[graphql(name = "CollectionArguments")]
struct ById {
    /// The id, as this server gave it.
    id: ID,
}

/// Which artifacts are counted.
#[derive(InputObject)]
struct ArtifactCountArguments {
    /// Only those of this type; all where it is absent.
    #[graphql(name = "type")]
    of_type: Option<String>,
}

/// The one collection of a required relationship.
///
/// # Errors
/// `NOT_FOUND` where it was deleted between two statements.
pub fn required(collection: Option<Collection>) -> Result<Collection> {
    collection.ok_or_else(|| Error::new(Code::NotFound, "the collection was deleted meanwhile"))
}
