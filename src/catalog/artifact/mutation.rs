//! The mutations on artifacts.
use super::{
    PREFIX,
    create::{Existing, create},
    input::{
        CreateArtifactInput, CreateArtifactsInput, DeleteArtifactsInput, UpdateArtifactInput, UpdateArtifactsInput,
    },
    payload::{ArtifactBatchPayload, ArtifactPayload, DeleteBatchPayload},
    update::{delete, update},
};
use crate::{
    catalog::{
        Mutation,
        input::{self, DeleteInput, DeletePayload},
    },
    error::Result,
    field,
    graphql::{Write, object::Fields},
};

/// Declares the mutations on artifacts.
pub fn declare_mutations(fields: &mut Fields<'_, '_, Mutation>) {
    fields.write(field!("createArtifact", "Creates an artifact."), |input, write| Box::pin(create_one(write, input)));
    fields.write(field!("updateArtifact", "Changes the given fields of an artifact."), |input, write| {
        Box::pin(update_one(write, input))
    });
    fields.write(
        field!("deleteArtifact", "Deletes an artifact and removes it from its collections and groups."),
        |input, write| Box::pin(delete_one(write, input)),
    );
    fields.write(field!("createArtifacts", "Creates up to 1,000 artifacts."), |input, write| {
        Box::pin(create_many(write, input, Existing::Rejected))
    });
    fields.write(field!("updateArtifacts", "Changes the given fields of up to 1,000 artifacts."), |input, write| {
        Box::pin(update_many(write, input))
    });
    fields.write(
        field!(
            "upsertArtifacts",
            "Creates up to 1,000 artifacts, or changes those of the viewer with the same type and name. Only the given \
             fields of existing artifacts are changed; tags and collections are added."
        ),
        |input, write| Box::pin(create_many(write, input, Existing::Updated)),
    );
    fields.write(field!("deleteArtifacts", "Deletes up to 1,000 artifacts."), |input, write| {
        Box::pin(delete_many(write, input))
    });
}

async fn create_one(write: &mut Write<'_>, input: &CreateArtifactInput) -> Result<ArtifactPayload> {
    create(write, std::slice::from_ref(input), Existing::Rejected).await?.single().map(ArtifactPayload)
}

async fn update_one(write: &mut Write<'_>, input: &UpdateArtifactInput) -> Result<ArtifactPayload> {
    update(write, std::slice::from_ref(input)).await?.single().map(ArtifactPayload)
}

async fn delete_one(write: &mut Write<'_>, input: &DeleteInput) -> Result<DeletePayload> {
    let id = delete(write, &[(input.id.clone(), input.expected_revision)]).await?.single()?;
    Ok(DeletePayload::new(PREFIX, id))
}

async fn create_many(
    write: &mut Write<'_>,
    input: &CreateArtifactsInput,
    existing: Existing,
) -> Result<ArtifactBatchPayload> {
    input::batch_size("artifacts", input.artifacts.len())?;
    let created = create(write, &input.artifacts, existing).await?;
    Ok(ArtifactBatchPayload::new(write, created, input.mode))
}

async fn update_many(write: &mut Write<'_>, input: &UpdateArtifactsInput) -> Result<ArtifactBatchPayload> {
    input::batch_size("artifacts", input.artifacts.len())?;
    let updated = update(write, &input.artifacts).await?;
    Ok(ArtifactBatchPayload::new(write, updated, input.mode))
}

async fn delete_many(write: &mut Write<'_>, input: &DeleteArtifactsInput) -> Result<DeleteBatchPayload> {
    input::batch_size("ids", input.ids.len())?;
    let ids: Vec<_> = input.ids.iter().map(|id| (id.clone(), None)).collect();
    let deleted = delete(write, &ids).await?;
    Ok(DeleteBatchPayload::new(write, deleted, input.mode))
}
