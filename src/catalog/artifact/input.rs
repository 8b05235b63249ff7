//! The inputs that create, change and delete artifacts, and the values they give to columns.
use async_graphql::{ID, InputObject, MaybeUndefined};
use uuid::Uuid;

use super::{ArtifactValues, PREFIX};
use crate::{
    catalog::{
        Visibility, collection,
        input::{self, BatchMode, rejected},
        rules::{self, NAME_MAX},
        tag,
    },
    error::{Error, Result},
    graphql::scalar::Json,
};

/// An artifact to create.
#[derive(InputObject, Clone, Debug)]
pub(super) struct CreateArtifactInput {
    /// Type, a lower-case slug such as `skill`.
    #[graphql(name = "type")]
    kind: String,
    /// Name, unique for its owner and type.
    name: String,
    #[graphql(flatten)]
    details: ArtifactDetails,
    /// Visibility. Default: `PRIVATE`, or unchanged if the artifact exists.
    visibility: Option<Visibility>,
    /// Names of its tags, which are created on first use.
    tags: Option<Vec<String>>,
    /// The collections to add it to.
    collection_ids: Option<Vec<ID>>,
    /// Label of its first version.
    version: Option<String>,
}

/// Changes to an artifact. Omitted fields stay unchanged; null clears a field.
#[derive(InputObject, Clone, Debug)]
pub(super) struct UpdateArtifactInput {
    /// ID of the artifact.
    id: ID,
    /// The revision that the artifact must have; otherwise the write is rejected as `CONFLICT`.
    pub(super) expected_revision: Option<i64>,
    /// Type, a lower-case slug such as `skill`.
    #[graphql(name = "type")]
    kind: MaybeUndefined<String>,
    /// Name, unique for its owner and type.
    name: MaybeUndefined<String>,
    #[graphql(flatten)]
    details: ArtifactDetails,
    /// Visibility.
    visibility: Option<Visibility>,
}

/// The optional fields that both inputs have.
#[derive(InputObject, Clone, Debug)]
struct ArtifactDetails {
    /// Description.
    description: MaybeUndefined<String>,
    /// Source, such as `github:owner/repo/path`.
    source: MaybeUndefined<String>,
    /// Author.
    author: MaybeUndefined<String>,
    /// License, an SPDX identifier if there is one.
    license: MaybeUndefined<String>,
    /// Address of its web page: an `http` or `https` URL of at most 2,000 characters.
    homepage: MaybeUndefined<String>,
    /// Full text.
    content: MaybeUndefined<String>,
    /// Further properties: a JSON object.
    metadata: MaybeUndefined<Json>,
}

/// Artifacts to create.
#[derive(InputObject, Clone, Debug)]
pub(super) struct CreateArtifactsInput {
    /// At most 1,000.
    pub(super) artifacts: Vec<CreateArtifactInput>,
    /// Treatment of the other items if one is rejected.
    #[graphql(default_with = "Some(BatchMode::Atomic)")]
    pub(super) mode: Option<BatchMode>,
}

/// Artifacts to change.
#[derive(InputObject, Clone, Debug)]
pub(super) struct UpdateArtifactsInput {
    /// At most 1,000.
    pub(super) artifacts: Vec<UpdateArtifactInput>,
    /// Treatment of the other items if one is rejected.
    #[graphql(default_with = "Some(BatchMode::Atomic)")]
    pub(super) mode: Option<BatchMode>,
}

/// Artifacts to delete.
#[derive(InputObject, Clone, Debug)]
pub(super) struct DeleteArtifactsInput {
    /// At most 1,000.
    pub(super) ids: Vec<ID>,
    /// Treatment of the other items if one is rejected.
    #[graphql(default_with = "Some(BatchMode::Atomic)")]
    pub(super) mode: Option<BatchMode>,
}

impl ArtifactDetails {
    fn values(&self) -> Result<ArtifactValues> {
        Ok(ArtifactValues {
            description: input::text("description", &self.description)?,
            source: input::text("source", &self.source)?,
            author: input::text("author", &self.author)?,
            license: input::text("license", &self.license)?,
            homepage: input::checked("homepage", &self.homepage, rules::url)?,
            content: input::text("content", &self.content)?,
            metadata: metadata(&self.metadata)?,
            ..ArtifactValues::default()
        })
    }
}

fn metadata(given: &MaybeUndefined<Json>) -> Result<Option<Option<String>>> {
    match given {
        MaybeUndefined::Undefined => Ok(None),
        MaybeUndefined::Null => Ok(Some(None)),
        MaybeUndefined::Value(Json(serde_json::Value::Object(object))) => {
            rules::metadata(object).map_err(rejected("metadata"))?;
            Ok(Some(Some(serde_json::Value::Object(object.clone()).to_string())))
        }
        MaybeUndefined::Value(_) => Err(Error::bad_user_input("metadata must be a JSON object").in_field("metadata")),
    }
}

fn kind(kind: String) -> Result<String> {
    rules::kind(&kind).map_err(rejected("type"))?;
    Ok(kind)
}

/// An artifact to create, validated.
pub(super) struct NewArtifact {
    pub(super) id: Uuid,
    pub(super) values: ArtifactValues,
    pub(super) tags: Vec<tag::TagName>,
    pub(super) collections: Vec<Uuid>,
}

impl NewArtifact {
    /// Type and name, which are unique for the owner.
    pub(super) fn key(&self) -> Option<(String, String)> {
        Some((self.values.kind.clone()?, self.values.name.clone()?))
    }
}

impl CreateArtifactInput {
    /// Validates the input.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` with the field.
    pub(super) fn validated(&self) -> Result<NewArtifact> {
        let version = self.version.as_deref().map(|label| rules::name(label, NAME_MAX)).transpose();
        let values = ArtifactValues {
            kind: Some(kind(self.kind.clone())?),
            name: Some(rules::name(&self.name, NAME_MAX).map_err(rejected("name"))?),
            visibility: self.visibility,
            version: version.map_err(rejected("version"))?.map(Some),
            ..self.details.values()?
        };
        let collections = self.collection_ids.as_deref().unwrap_or_default();
        Ok(NewArtifact {
            id: Uuid::now_v7(),
            values,
            tags: tag::tag_names("tags", self.tags.as_deref().unwrap_or_default())?,
            collections: input::ids(collection::PREFIX, "collectionIds", collections)?,
        })
    }
}

impl UpdateArtifactInput {
    /// Validates the input: the id, and the values of the given fields.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` with the field.
    pub(super) fn validated(&self) -> Result<(Uuid, ArtifactValues)> {
        let kind = match &self.kind {
            MaybeUndefined::Null => return Err(Error::bad_user_input("the type cannot be cleared").in_field("type")),
            given => given.value().cloned().map(kind).transpose()?,
        };
        let name = input::name("name", &self.name, NAME_MAX)?;
        let values = ArtifactValues { kind, name, visibility: self.visibility, ..self.details.values()? };
        Ok((input::id(PREFIX, "id", &self.id)?, values))
    }
}
