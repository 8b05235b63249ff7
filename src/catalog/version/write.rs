//! Adding versions to artifacts.
use async_graphql::{ID, InputObject};
use uuid::Uuid;

use super::{VersionById, VersionValues};
use crate::{
    catalog::{
        Mutation, artifact,
        change::{Change, ChangeKind},
        input::{self, rejected},
        policy,
        rules::{self, NAME_MAX},
    },
    db::{RowTable, Table as _, all_values},
    error::Result,
    field,
    graphql::{Write, WriteFields, object::ObjectBuilder},
    payload, row_table, statement,
};

/// A version to add to an artifact.
#[derive(InputObject, Clone, Debug)]
struct AddArtifactVersionInput {
    /// ID of the artifact.
    artifact_id: ID,
    /// Label, such as `1.4.0`. It becomes the version of the artifact.
    version: String,
    /// Hash of the content.
    content_hash: Option<String>,
    /// Changes of the version.
    notes: Option<String>,
}

/// Declares the mutations on versions.
pub fn declare_mutations(fields: &mut ObjectBuilder<'_, '_, Mutation>) {
    fields.write(
        field!("addArtifactVersion", "Adds a version to an artifact. Its label becomes the artifact's version."),
        |input, write| Box::pin(add(write, input)),
    );
}

payload! {
    /// The version that was added.
    struct ArtifactVersionPayload { "artifactVersion": VersionById }
}

async fn add(write: &mut Write<'_>, input: &AddArtifactVersionInput) -> Result<ArtifactVersionPayload> {
    let artifact = input::id(artifact::PREFIX, "artifactId", &input.artifact_id)?;
    let label = rules::name(&input.version, NAME_MAX).map_err(rejected("version"))?;
    rules::text(input.content_hash.as_deref()).map_err(rejected("contentHash"))?;
    rules::text(input.notes.as_deref()).map_err(rejected("notes"))?;
    let sql = statement!(
        write,
        "update artifacts as a
         set revision = a.revision + 1, updated_at = {now}, version = {label}
         where a.id = {artifact} {a_own}",
        now = write.now(),
        label = &label,
        artifact,
        a_own = policy::own_artifacts(),
    );
    if write.execute("artifacts.version", sql).await? == 0 {
        return Err(artifact::rejection(write, artifact, "artifactId").await?);
    }
    let id = Uuid::now_v7();
    let values = VersionValues {
        label: Some(label),
        content_hash: Some(input.content_hash.clone()),
        notes: Some(input.notes.clone()),
    };
    let sql = statement!(
        write,
        "insert into artifact_versions (id, artifact_id, {names}, created_at)
         values ({id}, {artifact}, {values}, {now})",
        names = VersionValues::column_names(),
        id,
        artifact,
        values = all_values(&values),
        now = write.now(),
    );
    write.execute("artifact_versions.insert", sql).await?;
    write.announce(&Change::of(ChangeKind::Updated, artifact::PREFIX, artifact));
    Ok(ArtifactVersionPayload(id))
}

row_table! {
    struct NewVersion { id: Uuid, artifact_id: Uuid, version: String }
}

/// Adds versions to artifacts that do not have these labels. One statement.
///
/// # Errors
/// The statement fails.
pub async fn insert_missing(write: &mut Write<'_>, versions: &[(Uuid, String)]) -> Result<()> {
    let rows = RowTable::of(versions.iter().map(|(artifact, label)| NewVersion {
        id: Uuid::now_v7(),
        artifact_id: *artifact,
        version: label.clone(),
    }));
    let sql = statement!(
        write,
        "insert into artifact_versions (id, artifact_id, version, created_at)
         select r.id, r.artifact_id, r.version, {now}
         from {rows} r
         where not exists (select 1 from artifact_versions v
           where v.artifact_id = r.artifact_id and v.version = r.version {exempt: the viewer writes the artifacts})",
        now = write.now(),
        rows = &rows,
    );
    write.execute("artifact_versions.insert", sql).await?;
    Ok(())
}
