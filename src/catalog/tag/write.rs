//! Adding tags to artifacts, and changing and deleting tags.
use std::collections::{HashMap, HashSet};

use async_graphql::{ID, InputObject, MaybeUndefined};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    PREFIX, TagById, TagValues,
    name::{existing, insert_missing, link, tag_names},
};
use crate::{
    append,
    catalog::{
        Mutation,
        artifact::{self, Artifact, ArtifactById},
        change::{Audience, Change, ChangeKind},
        fields::DeclareFields,
        input::{self, DeleteInput, DeletePayload},
        policy::{self, Access},
        rules::{self, TAG_NAME_MAX},
    },
    db::{AccessScope, FOR_UPDATE, Sql, changes, either, in_ids},
    error::Result,
    field,
    graphql::{
        ExecutionField, Load, Loads, Write, WriteFields,
        id::GlobalId,
        object::{NoArguments, Object, ObjectBuilder},
    },
    payload, statement,
};

/// Changes to a tag. Omitted fields stay unchanged; null clears a field.
#[derive(InputObject, Clone, Debug)]
struct UpdateTagInput {
    /// ID of the tag.
    id: ID,
    /// Name. The slug is derived from it.
    name: MaybeUndefined<String>,
    /// Color, as `#rrggbb`.
    color: MaybeUndefined<String>,
}

impl UpdateTagInput {
    fn validated(&self) -> Result<TagValues> {
        let name = input::name("name", &self.name, TAG_NAME_MAX)?;
        let slug = match &name {
            Some(name) => tag_names("name", std::slice::from_ref(name))?.into_iter().next().map(|tag| tag.slug),
            None => None,
        };
        Ok(TagValues { name, slug, color: input::checked("color", &self.color, rules::color)? })
    }
}

/// Artifacts, and tags to add to them or to remove from them.
#[derive(InputObject, Clone, Debug)]
struct TagArtifactsInput {
    /// IDs of the artifacts, at most 1,000 unless the server allows more.
    artifact_ids: Vec<ID>,
    /// Names or slugs of tags, at most 100.
    tags: Vec<String>,
}

/// Declares the mutations on tags.
pub fn declare_mutations(fields: &mut ObjectBuilder<'_, '_, Mutation>) {
    fields.write(field!("tagArtifacts", "Adds tags to artifacts. Tags are created on first use."), |input, write| {
        Box::pin(tag(write, input))
    });
    fields.write(field!("untagArtifacts", "Removes tags from artifacts. The tags themselves stay."), |input, write| {
        Box::pin(untag(write, input))
    });
    fields.write(
        field!(
            "updateTag",
            "Changes the given fields of a tag. Tags are shared by all accounts: on a server with accounts, this needs \
             the scope `ADMIN`."
        ),
        |input, write| Box::pin(update(write, input)),
    );
    fields.write(
        field!(
            "deleteTag",
            "Deletes a tag and removes it from all artifacts. On a server with accounts, this needs the scope `ADMIN`."
        ),
        |input, write| Box::pin(delete(write, input)),
    );
}

async fn tag(write: &mut Write<'_>, input: &TagArtifactsInput) -> Result<ArtifactsPayload> {
    let artifacts = input::ids(artifact::PREFIX, "artifactIds", &input.artifact_ids)?;
    let tags = tag_names("tags", &input.tags)?;
    let found = lock_artifacts(write, &artifacts).await?;
    let ids = insert_missing(write, tags.iter()).await?;
    let links: Vec<_> = found.iter().flat_map(|artifact| ids.values().map(|tag| (*artifact, *tag))).collect();
    let changed = link(write, &links).await?;
    finish(write, artifacts, &found, &changed).await
}

async fn untag(write: &mut Write<'_>, input: &TagArtifactsInput) -> Result<ArtifactsPayload> {
    let artifacts = input::ids(artifact::PREFIX, "artifactIds", &input.artifact_ids)?;
    let tags = tag_names("tags", &input.tags)?;
    let found = lock_artifacts(write, &artifacts).await?;
    let tags: Vec<Uuid> = existing(write, tags.iter()).await?.into_values().collect();
    let own: Vec<Uuid> = found.iter().copied().collect();
    let sql = statement!(
        write,
        "delete from artifact_tags
         where artifact_id {artifacts} and tag_id {tags} {exempt: the artifacts are locked}
         returning artifact_id",
        artifacts = in_ids(&own),
        tags = in_ids(&tags),
    );
    let changed = write.fetch::<Uuid>("artifact_tags.delete", sql).await?.into_iter().collect();
    finish(write, artifacts, &found, &changed).await
}

/// Locks the visible ones of the artifacts, all of which the viewer may change.
async fn lock_artifacts(write: &mut Write<'_>, ids: &[Uuid]) -> Result<HashSet<Uuid>> {
    let sql = statement!(
        write,
        "select a.id, {may_change}
         from artifacts a
         where a.id {ids} {a_visible}
         order by a.id {lock}",
        may_change = policy::may_change("a.owner_id"),
        ids = in_ids(ids),
        a_visible = policy::artifacts(Access::ById),
        lock = either("", "for update of a"),
    );
    let found: HashMap<Uuid, i64> = write.fetch("artifacts.lock", sql).await?.into_iter().collect();
    if let Some(index) = ids.iter().position(|id| found.get(id) == Some(&0)) {
        return Err(input::forbidden("the artifact belongs to another account").at_index("artifactIds", index));
    }
    Ok(found.into_keys().collect())
}

/// Whether everyone can see a tag.
async fn is_public(write: &mut Write<'_>, id: Uuid) -> Result<bool> {
    let mut sql = Sql::new(write.dialect(), AccessScope::Anonymous);
    append!(
        sql,
        "select t.id from tags t where t.id = {id} {t_visible}",
        id,
        t_visible = policy::tags(Access::InLists),
    );
    Ok(!write.fetch::<Uuid>("tags.audience", sql).await?.is_empty())
}

/// Tags are shared by all accounts: on a server with accounts, only an administrator changes them.
async fn ensure_may_change(write: &mut Write<'_>, id: Uuid) -> Result<()> {
    if write.viewer().is_admin() {
        return Ok(());
    }
    let sql = statement!(
        write,
        "select t.id from tags t where t.id = {id} {t_visible}",
        id,
        t_visible = policy::tags(Access::ById),
    );
    match write.fetch::<Uuid>("tags.visible", sql).await?.is_empty() {
        true => Err(input::not_found("tag", "id")),
        false => Err(input::forbidden("tags are shared by all accounts: changes need a token with the `admin` scope")),
    }
}

/// Increments the revisions of the artifacts whose tags changed, and announces it.
async fn finish(
    write: &mut Write<'_>,
    given: Vec<Uuid>,
    found: &HashSet<Uuid>,
    changed: &HashSet<Uuid>,
) -> Result<ArtifactsPayload> {
    let ids: Vec<Uuid> = changed.iter().copied().collect();
    let sql = statement!(
        write,
        "update artifacts
         set revision = revision + 1, updated_at = {now}
         where id {ids} {exempt: the artifacts are locked}",
        now = write.now(),
        ids = in_ids(&ids),
    );
    write.execute("artifacts.touch", sql).await?;
    let (artifacts, not_found): (Vec<Uuid>, Vec<Uuid>) = given.into_iter().partition(|id| found.contains(id));
    for id in artifacts.iter().filter(|id| changed.contains(id)) {
        write.announce(&Change::of(ChangeKind::Updated, artifact::PREFIX, *id));
    }
    Ok(ArtifactsPayload { artifacts, not_found })
}

async fn update(write: &mut Write<'_>, input: &UpdateTagInput) -> Result<TagPayload> {
    let id = input::id(PREFIX, "id", &input.id)?;
    let values = input.validated()?;
    ensure_may_change(write, id).await?;
    let sql = statement!(
        write,
        "update tags set revision = revision + 1, updated_at = {now} {changes} where id = {id}",
        now = write.now(),
        changes = changes(&values),
        id,
    );
    if write.execute("tags.update", sql).await? == 0 {
        return Err(input::not_found("tag", "id"));
    }
    write.announce(&Change::of(ChangeKind::Updated, PREFIX, id));
    Ok(TagPayload(id))
}

async fn delete(write: &mut Write<'_>, input: &DeleteInput) -> Result<DeletePayload> {
    let id = input::id(PREFIX, "id", &input.id)?;
    ensure_may_change(write, id).await?;
    let sql = statement!(write, "select t.revision from tags t where t.id = {id} {lock}", id, lock = FOR_UPDATE);
    let revision = write.fetch::<i64>("tags.lock", sql).await?.into_iter().next();
    input::expect_revision(input.expected_revision, revision.ok_or_else(|| input::not_found("tag", "id"))?)?;
    let is_public = is_public(write, id).await?;
    let sql = statement!(write, "delete from tags where id = {id}", id);
    write.execute("tags.delete", sql).await?;
    write.announce(&Change::deleted(PREFIX, id, Audience { owner: None, is_public }));
    Ok(DeletePayload::new(PREFIX, id))
}

payload! {
    /// The tag that was written.
    struct TagPayload { "tag": TagById }
}

/// The artifacts whose tags were to be changed.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct ArtifactsPayload {
    artifacts: Vec<Uuid>,
    not_found: Vec<Uuid>,
}

impl Object for ArtifactsPayload {
    const NAME: &'static str = "ArtifactsPayload";

    fn declare(fields: &mut ObjectBuilder<'_, '_, Self>) {
        fields.describe(&["The artifacts whose tags were to be changed."]);
        fields.batch::<NoArguments, _>(
            field!("artifacts", "Artifacts that exist, after the write."),
            Loads::by(|_, _| vec![Load::of(&ArtifactById).keys(None)]),
            |payloads, _, field| Box::pin(artifacts_of(payloads, field)),
        );
        fields.output(field!("notFoundIds", "Artifacts that do not exist."), |payload| {
            let id = |id: &Uuid| GlobalId { prefix: artifact::PREFIX, id: *id };
            payload.not_found.iter().map(id).collect::<Vec<_>>()
        });
    }
}

async fn artifacts_of(payloads: &[ArtifactsPayload], field: ExecutionField<'_>) -> Result<Vec<Vec<Artifact>>> {
    let keys = payloads.iter().flat_map(|payload| payload.artifacts.iter().copied()).collect();
    let mut found = field.load::<Artifact, _>(ArtifactById, keys).await?.into_iter();
    let of = |payload: &ArtifactsPayload| found.by_ref().take(payload.artifacts.len()).flatten().collect();
    Ok(payloads.iter().map(of).collect())
}
