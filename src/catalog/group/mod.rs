//! Groups of artifacts within a collection.
mod relations;
mod write;

use uuid::Uuid;

use crate::{
    catalog::{
        artifact::ArtifactsOfGroup,
        collection::{self, CollectionOfGroup},
        filter::PlainArguments,
    },
    db::{Text, Time},
    fields,
    graphql::{
        id::GlobalId,
        object::{Fields, NoArguments, Object},
    },
    row,
};

use relations::{ArtifactCount, PositionOfGroup};
pub use relations::{GroupById, GroupsOfArtifact, GroupsOfCollection};
pub use write::{copy_all, declare_mutations};

/// Prefix of the ids of groups.
pub const PREFIX: &str = "group";

row! {
    /// A group.
    pub struct Group(Stored) from 0 {
        eager { id: Uuid = "g.id", collection_id: Uuid = "g.collection_id" }
        on_demand {
            name: Text = "g.name",
            description: Option<Text> = "g.description",
            color: Option<Text> = "g.color",
            icon: Option<Text> = "g.icon",
            revision: i64 = "g.revision",
            created_at: Time = "g.created_at",
            updated_at: Time = "g.updated_at",
        }
    }
}

impl Group {
    /// The id within the database.
    pub fn id(&self) -> Uuid {
        self.0.id
    }
}

impl Object for Group {
    fn name() -> String {
        "Group".to_owned()
    }

    fn declare(fields: &mut Fields<'_, '_, Self>) {
        fields! { fields;
            /// Some of the artifacts of one collection, under a name and in an order of their own.
            type: "Node";
            /// Opaque, the same for ever, unique among all objects.
            id => value(|group: &Group| GlobalId { prefix: PREFIX, id: group.0.id });
            /// What it is called; unique in its collection.
            name => column(Stored::name);
            /// What it is for.
            description => column(Stored::description);
            /// Its colour: a name, or `#rrggbb`.
            color => column(Stored::color);
            /// The name of its icon.
            icon => column(Stored::icon);
            /// Zero-based place among its collection's groups.
            position => load::<NoArguments, _, _>(Group::id, |_, _, _| Ok(PositionOfGroup), |place| place);
            /// The collection it belongs to.
            collection => load::<NoArguments, _, _>(
                |group| group.0.collection_id,
                |_, _, _| Ok(CollectionOfGroup),
                collection::required,
            );
            /// How many artifacts it holds.
            artifactCount => load::<NoArguments, _, _>(Group::id, |_, _, _| Ok(ArtifactCount), |count| count);
            /// The artifacts it holds, in its order.
            artifacts => connection::<PlainArguments, _>(Group::id, |_, _| Ok(ArtifactsOfGroup));
            /// Counts its changes, from 1. A write that expects another revision is refused.
            revision => column(Stored::revision);
            /// When it was made.
            createdAt => column(Stored::created_at);
            /// When it was last changed.
            updatedAt => column(Stored::updated_at);
        }
    }
}
