//! Collections of artifacts.
mod copy;
mod counts;
mod edit;
mod input;
mod lists;
mod lock;
mod member;
mod mutation;
mod payload;
mod relations;
mod write;

use async_graphql::{ID, InputObject};
use uuid::Uuid;

use crate::{
    catalog::{
        Query, Visibility,
        artifact::{ArtifactsOfCollection, CollectionArtifactsArguments},
        fields::{DeclareFields, REVISION},
        filter::{PlainArguments, no_nul},
        group::GroupsOfCollection,
        sharing::LinksOfCollection,
        user::OwnerOfCollection,
    },
    db::{Text, Time},
    field,
    graphql::{
        ConnectionFields, RequestContext, id,
        object::{Object, ObjectBuilder},
    },
    loader::RootKey,
    table,
};

pub use counts::{repair_counts, wrong_counts};
pub use edit::MembershipValues;
pub use lists::{AllCollectionsArguments, CollectionsArguments, CollectionsOfArtifact, CollectionsOfUser};
pub use lock::{LockedCollections, lock, lock_containing_collections, lock_one};
pub use member::{
    MAY_CONTAIN, add_members, append_removal_from_foreign_collections, copy_group_members, memberships_of,
    record_removals, remove_from_foreign_collections,
};
pub use mutation::declare_mutations;
pub use payload::CollectionPayload;
use relations::{ArtifactCount, GroupCount};
pub use relations::{CollectionById, CollectionOfGroup, maintained_counts};

/// Prefix of the ids of collections.
pub const PREFIX: &str = "collection";

table! {
    /// A collection.
    pub struct Collection(Stored) as "c", values CollectionValues {
        eager { id: Uuid }
        writable {
            name: Text => "name_words" up to SHORT_TEXT,
            description: Option<Text> => "description_words" up to LONG_TEXT,
            kind: Option<Text>,
            color: Option<Text>,
            visibility: Visibility,
        }
        read_only { revision: i64, created_at: Time, updated_at: Time }
    }
}

impl Collection {
    /// The id within the database.
    pub fn id(&self) -> Uuid {
        self.0.id
    }
}

impl Object for Collection {
    const NAME: &'static str = "Collection";

    fn declare(fields: &mut ObjectBuilder<'_, '_, Self>) {
        fields.describe(&["An ordered collection of artifacts. Everyone who can see it also sees its artifacts."]);
        fields.implements("Node");
        fields.implements("Shareable");
        fields.node_id(PREFIX, Collection::id);
        fields.column(field!("name", "Name, unique for its owner."), Stored::name);
        fields.column(field!("description", "Description."), Stored::description);
        fields.column(field!("kind", "Free-form classification, such as `context`."), Stored::kind);
        fields.column(field!("color", "Color, as `#rrggbb`."), Stored::color);
        fields.column(
            field!("visibility", "Visibility. It also applies to the artifacts that the collection contains."),
            Stored::visibility,
        );
        declare_relations(fields);
        fields.column(field!("revision", REVISION), Stored::revision);
        fields.column(field!("createdAt", "Time of creation."), Stored::created_at);
        fields.column(field!("updatedAt", "Time of the last change."), Stored::updated_at);
    }
}

fn declare_relations(fields: &mut ObjectBuilder<'_, '_, Collection>) {
    fields.related(
        field!("owner", "The account that owns the collection; null on a server without accounts."),
        Collection::id,
        OwnerOfCollection,
    );
    fields.load::<ArtifactCountArguments, _, _>(
        field!("artifactCount", "Number of artifacts, or of those with the given `type`."),
        Collection::id,
        |_, args, context| {
            args.of_type.as_deref().map_or(Ok(()), no_nul)?;
            Ok(ArtifactCount { strategy: context.request().counts, of_type: args.of_type.clone() })
        },
        |count| count,
    );
    fields.connection::<CollectionArtifactsArguments, _>(
        field!("artifacts", "Artifacts of the collection. Default order: position."),
        Collection::id,
        |args, context| ArtifactsOfCollection::new(args, context.request().counts),
    );
    fields.related(field!("groupCount", "Number of groups."), Collection::id, GroupCount);
    fields.connection::<PlainArguments, _>(field!("groups", "Groups, in order."), Collection::id, |_, _| {
        Ok(GroupsOfCollection)
    });
    fields.related(
        field!("shareLinks", "Active share links, newest first. Empty unless the viewer can edit the collection."),
        Collection::id,
        LinksOfCollection,
    );
}

/// Declares the root fields that read collections.
pub fn declare_root(fields: &mut ObjectBuilder<'_, '_, Query>) {
    fields.lookup(
        field!("collection", "The collection with this ID; null if there is none."),
        CollectionById,
        |args: ById| id::parse(PREFIX, &args.id),
    );
    fields.connection::<AllCollectionsArguments, _>(
        field!("collections", "Collections that the viewer owns, and public ones. Default order: name."),
        |_| RootKey,
        |args, _| args.list(),
    );
}

/// An object by its ID.
#[derive(InputObject)]
#[graphql(name = "CollectionArguments")]
struct ById {
    /// ID of the collection.
    id: ID,
}

/// Which artifacts are counted.
#[derive(InputObject)]
struct ArtifactCountArguments {
    /// Type of the artifacts. Default: all types.
    #[graphql(name = "type")]
    of_type: Option<String>,
}
