//! Versions of artifacts.
mod relations;
mod write;

use uuid::Uuid;

use crate::{
    catalog::{artifact::ArtifactOfVersion, fields::DeclareFields},
    db::{Text, Time},
    field,
    graphql::object::{Object, ObjectBuilder},
    table,
};

pub use relations::{VersionById, VersionsOfArtifact};
pub use write::{declare_mutations, insert_missing};

/// Prefix of the ids of versions.
pub const PREFIX: &str = "version";

table! {
    /// A version of an artifact.
    pub struct Version(Stored) as "v", values VersionValues {
        eager { id: Uuid, artifact_id: Uuid }
        writable { label "version": Text, content_hash: Option<Text>, notes: Option<Text> }
        read_only { created_at: Time }
    }
}

impl Version {
    fn id(&self) -> Uuid {
        self.0.id
    }
}

impl Object for Version {
    const NAME: &'static str = "ArtifactVersion";

    fn declare(fields: &mut ObjectBuilder<'_, '_, Self>) {
        fields.describe(&["A version of an artifact."]);
        fields.implements("Node");
        fields.node_id(PREFIX, Version::id);
        fields.required(field!("artifact", "The artifact."), |version| version.0.artifact_id, ArtifactOfVersion);
        fields.column(field!("version", "Label, such as `1.4.0`."), Stored::label);
        fields.column(field!("contentHash", "Hash of the content, as given by its source."), Stored::content_hash);
        fields.column(field!("notes", "Changes of the version."), Stored::notes);
        fields.column(field!("createdAt", "Time of creation."), Stored::created_at);
    }
}
