//! Groups of artifacts within a collection.
mod copy;
mod input;
mod relations;
mod write;

use uuid::Uuid;

use crate::{
    catalog::{
        artifact::ArtifactsOfGroup,
        collection::CollectionOfGroup,
        fields::{DeclareFields, REVISION},
        filter::PlainArguments,
    },
    db::{Text, Time},
    field,
    graphql::object::{Fields, Object},
    table,
};

pub use copy::copy_all;
use relations::{ArtifactCount, PositionOfGroup};
pub use relations::{GroupById, GroupsOfArtifact, GroupsOfCollection};
pub use write::declare_mutations;

/// Prefix of the ids of groups.
pub const PREFIX: &str = "group";

table! {
    /// A group.
    pub struct Group(Stored) as "g", values GroupValues {
        eager { id: Uuid, collection_id: Uuid }
        writable {
            name: Text,
            description: Option<Text>,
            color: Option<Text>,
            icon: Option<Text>,
        }
        read_only { revision: i64, created_at: Time, updated_at: Time }
    }
}

impl Group {
    /// The id within the database.
    pub fn id(&self) -> Uuid {
        self.0.id
    }
}

impl Object for Group {
    const NAME: &'static str = "Group";

    fn declare(fields: &mut Fields<'_, '_, Self>) {
        fields.describe(&["A named, ordered group of artifacts of one collection."]);
        fields.implements("Node");
        fields.node_id(PREFIX, Group::id);
        fields.column(field!("name", "Name, unique in its collection."), Stored::name);
        fields.column(field!("description", "Description."), Stored::description);
        fields.column(field!("color", "Color: a name, or `#rrggbb`."), Stored::color);
        fields.column(field!("icon", "Name of the icon."), Stored::icon);
        fields.related(
            field!("position", "Zero-based position among the groups of the collection."),
            Group::id,
            PositionOfGroup,
        );
        fields.required(
            field!("collection", "The collection that the group belongs to."),
            |group| group.0.collection_id,
            CollectionOfGroup,
        );
        fields.related(field!("artifactCount", "Number of artifacts."), Group::id, ArtifactCount);
        fields.connection::<PlainArguments, _>(field!("artifacts", "Artifacts, in order."), Group::id, |_, _| {
            Ok(ArtifactsOfGroup)
        });
        fields.column(field!("revision", REVISION), Stored::revision);
        fields.column(field!("createdAt", "Time of creation."), Stored::created_at);
        fields.column(field!("updatedAt", "Time of the last change."), Stored::updated_at);
    }
}
