//! What those who follow are told of: that an object was made, changed or deleted, or what a collection holds.
use async_graphql::Enum;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What happened to an object.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum ChangeKind {
    /// It was made.
    Created,
    /// Fields of its own were changed.
    Updated,
    /// It was deleted.
    Deleted,
    /// Artifacts came into the collection.
    ArtifactsAdded,
    /// Artifacts left the collection.
    ArtifactsRemoved,
    /// Artifacts of the collection have other places, or another status or note.
    ArtifactsMoved,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Change {
    /// What happened.
    pub kind: ChangeKind,
    /// The prefix of the id of the object.
    pub prefix: String,
    /// The object.
    pub id: Uuid,
    /// The artifacts that came, left or moved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<Uuid>,
}

impl Change {
    /// A change of an object itself.
    pub fn of(kind: ChangeKind, prefix: &str, id: Uuid) -> Self {
        Self { kind, prefix: prefix.to_owned(), id, artifacts: Vec::new() }
    }
}
