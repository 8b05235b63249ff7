//! Versions of artifacts.
mod relations;
mod write;

use uuid::Uuid;

use crate::{
    catalog::artifact::{Artifact, ArtifactOfVersion},
    db::{Text, Time},
    error::{Code, Error, Result},
    fields,
    graphql::{
        id::GlobalId,
        object::{NoArguments, Object, ObjectBuilder},
    },
    row,
};

pub use relations::{VersionById, VersionsOfArtifact};
pub use write::{declare_mutations, insert_missing};

/// Prefix of the ids of versions.
pub const PREFIX: &str = "version";

row! {
    /// A version of an artifact.
    pub struct Version(Stored) from 0 {
        eager { id: Uuid = "v.id", artifact_id: Uuid = "v.artifact_id" }
        on_demand {
            label: Text = "v.version",
            content_hash: Option<Text> = "v.content_hash",
            notes: Option<Text> = "v.notes",
            created_at: Time = "v.created_at",
        }
    }
}

impl Object for Version {
    fn name() -> String {
        "ArtifactVersion".to_owned()
    }

    fn declare(fields: &mut ObjectBuilder<'_, '_, Self>) {
        fields! { fields;
            /// A version of an artifact: what it was called, and what it held, at one time.
            type: "Node";
            /// Opaque, the same for ever, unique among all objects.
            id => value(|version: &Version| GlobalId { prefix: PREFIX, id: version.0.id });
            /// The artifact it is a version of.
            artifact => load::<NoArguments, _, _>(|version| version.0.artifact_id, |_, _, _| Ok(ArtifactOfVersion), required);
            /// Its label, such as `1.4.0`.
            version => column(Stored::label);
            /// The hash of its content, as its source gave it.
            contentHash => column(Stored::content_hash);
            /// What changed.
            notes => column(Stored::notes);
            /// When it was made.
            createdAt => column(Stored::created_at);
        }
    }
}

fn required(artifact: Option<Artifact>) -> Result<Artifact> {
    artifact.ok_or_else(|| Error::new(Code::NotFound, "the artifact was deleted meanwhile"))
}
