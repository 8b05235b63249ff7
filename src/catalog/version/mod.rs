//! Versions of artifacts.
mod relations;
mod write;

use std::sync::Arc;

use uuid::Uuid;

use crate::{
    catalog::artifact::{Artifact, ArtifactOfVersion},
    db::{Record, Row, Text, Time},
    error::{Code, Error, Result},
    fields,
    graphql::{
        id::GlobalId,
        object::{Fields, NoArguments, Object},
    },
};

pub use relations::{VersionById, VersionsOfArtifact};
pub use write::{declare_mutations, insert_missing};

/// Prefix of the ids of versions.
pub const PREFIX: &str = "version";

/// Columns of [`Version`], of the table under the alias `v`.
pub const COLUMNS: &str = "v.id, v.artifact_id, v.version, v.content_hash, v.notes, v.created_at";

/// A version of an artifact.
#[derive(Clone, Debug)]
pub struct Version(Arc<Stored>);

#[derive(Debug)]
struct Stored {
    id: Uuid,
    artifact_id: Uuid,
    label: Text,
    content_hash: Option<Text>,
    notes: Option<Text>,
    created_at: Time,
}

impl Record for Version {
    fn read(row: &mut Row<'_>) -> sqlx::Result<Self> {
        Ok(Self(Arc::new(Stored {
            id: row.next()?,
            artifact_id: row.next()?,
            label: row.next()?,
            content_hash: row.next_or_null()?,
            notes: row.next_or_null()?,
            created_at: row.next()?,
        })))
    }
}

impl Object for Version {
    fn name() -> String {
        "ArtifactVersion".to_owned()
    }

    fn declare(fields: &mut Fields<'_, '_, Self>) {
        fields! { fields;
            /// A version of an artifact: what it was called, and what it held, at one time.
            type: "Node";
            /// Opaque, the same for ever, unique among all objects.
            id => value(|version: &Version| GlobalId { prefix: PREFIX, id: version.0.id });
            /// The artifact it is a version of.
            artifact => load::<NoArguments, _, _>(|version| version.0.artifact_id, |_, _, _| Ok(ArtifactOfVersion), required);
            /// Its label, such as `1.4.0`.
            version => leaf(|version| &version.0.label);
            /// The hash of its content, as its source gave it.
            contentHash => leaf(|version| &version.0.content_hash);
            /// What changed.
            notes => leaf(|version| &version.0.notes);
            /// When it was made.
            createdAt => leaf(|version| &version.0.created_at);
        }
    }
}

fn required(artifact: Option<Artifact>) -> Result<Artifact> {
    artifact.ok_or_else(|| Error::new(Code::NotFound, "the artifact was deleted meanwhile"))
}
