//! Groups of artifacts within a collection.
mod relations;
mod write;

use std::sync::Arc;

use uuid::Uuid;

use crate::{
    catalog::{
        artifact::ArtifactsOfGroup,
        collection::{self, CollectionOfGroup},
        filter::PlainArguments,
    },
    db::{Record, Row, Text, Time},
    fields,
    graphql::{
        id::GlobalId,
        object::{Fields, NoArguments, Object},
    },
};

use relations::{ArtifactCount, PlaceOfGroup};
pub use relations::{GroupById, GroupsOfArtifact, GroupsOfCollection};
pub use write::{copy_all, declare_mutations};

/// Prefix of the ids of groups.
pub const PREFIX: &str = "group";

/// Columns of [`Group`], of the table under the alias `g`.
pub const COLUMNS: &str =
    "g.id, g.collection_id, g.name, g.description, g.color, g.icon, g.revision, g.created_at, g.updated_at";

/// A group.
#[derive(Clone, Debug)]
pub struct Group(Arc<Stored>);

#[derive(Debug)]
struct Stored {
    id: Uuid,
    collection_id: Uuid,
    name: Text,
    description: Option<Text>,
    color: Option<Text>,
    icon: Option<Text>,
    revision: i64,
    created_at: Time,
    updated_at: Time,
}

impl Record for Group {
    fn read(row: &mut Row<'_>) -> sqlx::Result<Self> {
        Ok(Self(Arc::new(Stored {
            id: row.next()?,
            collection_id: row.next()?,
            name: row.next()?,
            description: row.next_or_null()?,
            color: row.next_or_null()?,
            icon: row.next_or_null()?,
            revision: row.next()?,
            created_at: row.next()?,
            updated_at: row.next()?,
        })))
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
            name => leaf(|group| &group.0.name);
            /// What it is for.
            description => leaf(|group| &group.0.description);
            /// Its colour: a name, or `#rrggbb`.
            color => leaf(|group| &group.0.color);
            /// The name of its icon.
            icon => leaf(|group| &group.0.icon);
            /// Zero-based place among its collection's groups.
            position => load::<NoArguments, _, _>(Group::id, |_, _, _| Ok(PlaceOfGroup), |place| place);
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
            revision => leaf(|group| &group.0.revision);
            /// When it was made.
            createdAt => leaf(|group| &group.0.created_at);
            /// When it was last changed.
            updatedAt => leaf(|group| &group.0.updated_at);
        }
    }
}
