//! How versions are written.
use async_graphql::{ID, InputObject};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Version, VersionById};
use crate::{
    catalog::{
        Mutation, artifact,
        change::{Change, ChangeKind},
        input::{self, refused},
        policy,
        rules::{self, NAME_MAX},
    },
    db::{
        Arg, Cell,
        CellType::{self, Id, Text},
    },
    error::{Code, Error, Result},
    fields,
    graphql::{
        Write,
        object::{Fields, NoArguments, Object},
    },
};

/// A version to add to an artifact.
#[derive(InputObject, Clone, Debug)]
struct AddArtifactVersionInput {
    /// The artifact.
    artifact_id: ID,
    /// Its label, such as `1.4.0`. It becomes the artifact's.
    version: String,
    /// The hash of its content.
    content_hash: Option<String>,
    /// What changed.
    notes: Option<String>,
}

/// Declares the root fields that write versions.
pub fn declare_mutations(fields: &mut Fields<'_, '_, Mutation>) {
    fields! { fields;
        type;
        /// Adds a version to an artifact, whose label becomes the artifact's.
        addArtifactVersion => write::<AddArtifactVersionInput, _>(|input, write| Box::pin(add(write, input)));
    }
}

async fn add(write: &mut Write<'_>, input: &AddArtifactVersionInput) -> Result<ArtifactVersionPayload> {
    let artifact = input::id(artifact::PREFIX, "artifactId", &input.artifact_id)?;
    let label = rules::name(&input.version, NAME_MAX).map_err(refused("version"))?;
    rules::text(input.content_hash.as_deref()).map_err(refused("contentHash"))?;
    rules::text(input.notes.as_deref()).map_err(refused("notes"))?;
    let now = write.now();
    let mut sql = write.sql();
    sql.push("update artifacts as a set revision = a.revision + 1, updated_at = ").bind(Arg::Time(now));
    sql.push(", version = ").bind(Arg::Text(Some(label.clone()))).push(" where a.id = ").bind(Arg::Id(artifact));
    policy::own_artifacts().append(&mut sql);
    if write.execute("artifacts.version", sql).await? == 0 {
        return Err(artifact::refusal(write, artifact, "artifactId").await?);
    }
    let id = Uuid::now_v7();
    let mut sql = write.sql();
    sql.push("insert into artifact_versions (id, artifact_id, version, content_hash, notes, created_at) values (");
    sql.bind(Arg::Id(id)).push(", ").bind(Arg::Id(artifact)).push(", ").bind(Arg::Text(Some(label))).push(", ");
    sql.bind(Arg::Text(input.content_hash.clone())).push(", ").bind(Arg::Text(input.notes.clone())).push(", ");
    sql.bind(Arg::Time(now)).push(")");
    write.execute("artifact_versions.insert", sql).await?;
    write.announce(&Change::of(ChangeKind::Updated, artifact::PREFIX, artifact));
    Ok(ArtifactVersionPayload(id))
}

/// Adds versions to artifacts that have none of these labels. One statement.
///
/// # Errors
/// That of the statement.
pub async fn insert_missing(write: &mut Write<'_>, versions: &[(Uuid, String)]) -> Result<()> {
    const COLUMNS: &[(&str, CellType)] = &[("id", Id), ("artifact_id", Id), ("version", Text)];
    let rows: Vec<Vec<Cell>> = versions
        .iter()
        .map(|(artifact, label)| vec![Cell::Id(Uuid::now_v7()), Cell::Id(*artifact), Cell::Text(label.clone())])
        .collect();
    let now = write.now();
    let mut sql = write.sql();
    sql.push(
        "insert into artifact_versions (id, artifact_id, version, created_at) select r.id, r.artifact_id, r.version, ",
    );
    sql.bind(Arg::Time(now)).push(" from ").row_table(COLUMNS, &rows).push(" r where not exists (select 1 from ");
    sql.push("artifact_versions v where v.artifact_id = r.artifact_id and v.version = r.version)");
    write.execute("artifact_versions.insert", sql).await?;
    Ok(())
}

/// The version that was added.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct ArtifactVersionPayload(Uuid);

impl Object for ArtifactVersionPayload {
    fn name() -> String {
        "ArtifactVersionPayload".to_owned()
    }

    fn declare(fields: &mut Fields<'_, '_, Self>) {
        fields! { fields;
            /// The version that was added.
            type;
            /// The version.
            artifactVersion => load::<NoArguments, _, _>(|payload| payload.0, |_, _, _| Ok(VersionById), written);
        }
    }
}

fn written(version: Option<Version>) -> Result<Version> {
    version.ok_or_else(|| Error::new(Code::NotFound, "the version was deleted meanwhile"))
}
