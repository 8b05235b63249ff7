//! The inputs that create and change collections and their members.
use async_graphql::{ID, InputObject, MaybeUndefined};
use uuid::Uuid;

use super::CollectionValues;
use crate::{
    catalog::{
        Visibility, artifact,
        input::{self, rejected},
        rules::{self, NAME_MAX},
    },
    error::Result,
};

/// A collection to create.
#[derive(InputObject, Clone, Debug)]
pub(super) struct CreateCollectionInput {
    /// Name, unique for its owner.
    name: String,
    #[graphql(flatten)]
    details: CollectionDetails,
    /// Visibility. Everyone who can see the collection also sees the artifacts it contains.
    #[graphql(default_with = "Some(Visibility::Private)")]
    visibility: Option<Visibility>,
    /// Artifacts to add, in order.
    artifact_ids: Option<Vec<ID>>,
}

/// Changes to a collection. Omitted fields stay unchanged; null clears a field.
#[derive(InputObject, Clone, Debug)]
pub(super) struct UpdateCollectionInput {
    /// ID of the collection.
    pub(super) id: ID,
    /// The revision that the collection must have; otherwise the write is rejected as `CONFLICT`.
    pub(super) expected_revision: Option<i64>,
    /// Name, unique for its owner.
    name: MaybeUndefined<String>,
    #[graphql(flatten)]
    details: CollectionDetails,
    /// Visibility. Everyone who can see the collection also sees the artifacts it contains.
    visibility: Option<Visibility>,
}

/// The optional fields that both inputs have.
#[derive(InputObject, Clone, Debug)]
struct CollectionDetails {
    /// Description.
    description: MaybeUndefined<String>,
    /// Free-form classification, such as `context`.
    kind: MaybeUndefined<String>,
    /// Color, as `#rrggbb`.
    color: MaybeUndefined<String>,
}

impl CollectionDetails {
    fn values(&self) -> Result<CollectionValues> {
        Ok(CollectionValues {
            description: input::text("description", &self.description)?,
            kind: input::text("kind", &self.kind)?,
            color: input::checked("color", &self.color, rules::color)?,
            ..CollectionValues::default()
        })
    }
}

impl CreateCollectionInput {
    /// Validates the input: the values of the collection, and its artifacts.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` with the field.
    pub(super) fn validated(&self) -> Result<(CollectionValues, Vec<Uuid>)> {
        let values = CollectionValues {
            name: Some(rules::name(&self.name, NAME_MAX).map_err(rejected("name"))?),
            visibility: self.visibility.or(Some(Visibility::Private)),
            ..self.details.values()?
        };
        let artifacts = self.artifact_ids.as_deref().unwrap_or_default();
        Ok((values, input::ids(artifact::PREFIX, "artifactIds", artifacts)?))
    }
}

impl UpdateCollectionInput {
    /// Validates the input: the values of the given fields.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` with the field.
    pub(super) fn validated(&self) -> Result<CollectionValues> {
        let name = input::name("name", &self.name, NAME_MAX)?;
        Ok(CollectionValues { name, visibility: self.visibility, ..self.details.values()? })
    }
}

/// A collection to copy.
#[derive(InputObject, Clone, Debug)]
pub(super) struct CopyCollectionInput {
    /// ID of the collection.
    pub(super) id: ID,
    /// Name of the copy. Default: the name of the original with `(copy)`.
    pub(super) name: Option<String>,
}

/// Artifacts to add to a collection.
#[derive(InputObject, Clone, Debug)]
pub(super) struct AddArtifactsToCollectionInput {
    /// ID of the collection.
    pub(super) collection_id: ID,
    /// IDs of the artifacts, at most 1,000 unless the server allows more. They are added at the end, in this order.
    pub(super) artifact_ids: Vec<ID>,
    /// State of the artifacts in this collection.
    pub(super) status: Option<String>,
    /// Note on the artifacts in this collection.
    pub(super) note: Option<String>,
}

/// Artifacts of a collection.
#[derive(InputObject, Clone, Debug)]
pub(super) struct CollectionArtifactsInput {
    /// ID of the collection.
    pub(super) collection_id: ID,
    /// IDs of the artifacts, at most 1,000 unless the server allows more.
    pub(super) artifact_ids: Vec<ID>,
}

/// Artifacts to move from one collection to another.
#[derive(InputObject, Clone, Debug)]
pub(super) struct TransferArtifactsInput {
    /// ID of the collection that contains the artifacts.
    pub(super) from_collection_id: ID,
    /// ID of the collection that receives them, at its end and in the order they had.
    pub(super) to_collection_id: ID,
    /// IDs of the artifacts, at most 1,000 unless the server allows more.
    pub(super) artifact_ids: Vec<ID>,
}

/// Changes to an artifact as a member of a collection. Omitted fields stay unchanged; null clears a field.
#[derive(InputObject, Clone, Debug)]
pub(super) struct UpdateCollectionArtifactInput {
    /// ID of the collection.
    pub(super) collection_id: ID,
    /// ID of the artifact.
    pub(super) artifact_id: ID,
    /// State of the artifact in this collection.
    pub(super) status: MaybeUndefined<String>,
    /// Note on the artifact in this collection.
    pub(super) note: MaybeUndefined<String>,
}

/// Artifacts to move within a collection.
#[derive(InputObject, Clone, Debug)]
pub(super) struct MoveCollectionArtifactsInput {
    /// ID of the collection.
    pub(super) collection_id: ID,
    /// IDs of the artifacts, at most 1,000 unless the server allows more, in their new order.
    pub(super) artifact_ids: Vec<ID>,
    /// ID of the artifact that precedes them. Default: none, they move to the start of the collection.
    pub(super) after_artifact_id: Option<ID>,
}
