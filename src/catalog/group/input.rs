//! The inputs that create and change groups and their members.
use async_graphql::{ID, InputObject, MaybeUndefined};
use uuid::Uuid;

use super::GroupValues;
use crate::{
    catalog::{
        artifact,
        input::{self, rejected},
        rules::{self, NAME_MAX},
    },
    error::{Error, Result},
};

/// A group to create.
#[derive(InputObject, Clone, Debug)]
pub(super) struct CreateGroupInput {
    /// ID of the collection that the group belongs to.
    pub(super) collection_id: ID,
    /// Name, unique in its collection.
    name: String,
    #[graphql(flatten)]
    details: GroupDetails,
    /// Artifacts of the collection to add, in order.
    artifact_ids: Option<Vec<ID>>,
}

/// Changes to a group. Omitted fields stay unchanged; null clears a field.
#[derive(InputObject, Clone, Debug)]
pub(super) struct UpdateGroupInput {
    /// ID of the group.
    pub(super) id: ID,
    /// The revision that the group must have; otherwise the write is rejected as `CONFLICT`.
    pub(super) expected_revision: Option<i64>,
    /// Name, unique in its collection.
    name: MaybeUndefined<String>,
    #[graphql(flatten)]
    details: GroupDetails,
    /// Zero-based position among the groups of the collection. A larger number is the last position.
    pub(super) position: Option<i64>,
}

/// The optional fields that both inputs have.
#[derive(InputObject, Clone, Debug)]
struct GroupDetails {
    /// Description.
    description: MaybeUndefined<String>,
    /// Color: a name, or `#rrggbb`.
    color: MaybeUndefined<String>,
    /// Name of the icon.
    icon: MaybeUndefined<String>,
}

impl GroupDetails {
    fn values(&self) -> Result<GroupValues> {
        Ok(GroupValues {
            description: input::text("description", &self.description)?,
            color: input::text("color", &self.color)?,
            icon: input::text("icon", &self.icon)?,
            ..GroupValues::default()
        })
    }
}

impl CreateGroupInput {
    /// Validates the input: the values of the group, and its artifacts.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` with the field.
    pub(super) fn validated(&self) -> Result<(GroupValues, Vec<Uuid>)> {
        let name = rules::name(&self.name, NAME_MAX).map_err(rejected("name"))?;
        let artifacts = self.artifact_ids.as_deref().unwrap_or_default();
        let artifacts = input::ids(artifact::PREFIX, "artifactIds", artifacts)?;
        Ok((GroupValues { name: Some(name), ..self.details.values()? }, artifacts))
    }
}

impl UpdateGroupInput {
    /// Validates the input: the values of the given fields.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` with the field.
    pub(super) fn validated(&self) -> Result<GroupValues> {
        let name = input::name("name", &self.name, NAME_MAX)?;
        let values = GroupValues { name, ..self.details.values()? };
        match self.position {
            Some(..0) => Err(Error::bad_user_input("the position must not be negative").in_field("position")),
            _ => Ok(values),
        }
    }
}

/// Artifacts of a group.
#[derive(InputObject, Clone, Debug)]
pub(super) struct GroupArtifactsInput {
    /// ID of the group.
    pub(super) group_id: ID,
    /// IDs of the artifacts, at most 1,000 unless the server allows more.
    pub(super) artifact_ids: Vec<ID>,
}

/// Artifacts to move within a group.
#[derive(InputObject, Clone, Debug)]
pub(super) struct MoveGroupArtifactsInput {
    /// ID of the group.
    pub(super) group_id: ID,
    /// IDs of the artifacts, at most 1,000 unless the server allows more, in their new order.
    pub(super) artifact_ids: Vec<ID>,
    /// ID of the artifact that precedes them. Default: none, they move to the start of the group.
    pub(super) after_artifact_id: Option<ID>,
}

/// A group to copy.
#[derive(InputObject, Clone, Debug)]
pub(super) struct CopyGroupInput {
    /// ID of the group.
    pub(super) id: ID,
    /// ID of the collection that the copy belongs to. Artifacts that it does not contain are added at its end.
    pub(super) collection_id: ID,
    /// Name of the copy. Default: the name of the original.
    pub(super) name: Option<String>,
}
