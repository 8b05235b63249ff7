//! Adding, removing, moving and annotating the artifacts of a collection.
use std::collections::HashSet;

use uuid::Uuid;

use super::{
    PREFIX,
    input::{
        AddArtifactsToCollectionInput, CollectionArtifactsInput, MoveCollectionArtifactsInput, TransferArtifactsInput,
        UpdateCollectionArtifactInput,
    },
    lock::{lock, lock_one, lock_with_artifacts},
    member::{Members, append, cannot_contain, copy_members, record_change, remove_members},
    payload::{CollectionPayload, MembershipPayload, TransferPayload},
};
use crate::{
    catalog::{
        artifact,
        change::ChangeKind,
        input::{self, rejected},
        order, rules,
    },
    db::{Text, changes, in_ids},
    error::{Code, Error, Result},
    graphql::Write,
    statement, values,
};

pub(super) async fn add(write: &mut Write<'_>, input: &AddArtifactsToCollectionInput) -> Result<MembershipPayload> {
    let collection = input::id(PREFIX, "collectionId", &input.collection_id)?;
    let artifacts = input::ids(artifact::PREFIX, "artifactIds", &input.artifact_ids)?;
    for (field, text) in [("status", &input.status), ("note", &input.note)] {
        rules::text(text.as_deref()).map_err(rejected(field))?;
    }
    let found = lock_with_artifacts(write, collection, &artifacts).await?;
    if let Some(index) = artifacts.iter().position(|id| found.get(id) == Some(&false)) {
        return Err(cannot_contain(index));
    }
    let members: Vec<_> =
        artifacts.iter().filter(|id| found.contains_key(id)).map(|artifact| (collection, *artifact)).collect();
    let added = append(write, &members, input.status.clone(), input.note.clone()).await?;
    record_change(write, ChangeKind::ArtifactsAdded, &added).await?;
    let added: HashSet<Uuid> = added.into_iter().map(|(_, artifact)| artifact).collect();
    Ok(MembershipPayload::new(collection, artifacts, &added, &found))
}

pub(super) async fn remove(write: &mut Write<'_>, input: &CollectionArtifactsInput) -> Result<MembershipPayload> {
    let collection = input::id(PREFIX, "collectionId", &input.collection_id)?;
    let artifacts = input::ids(artifact::PREFIX, "artifactIds", &input.artifact_ids)?;
    let found = lock_with_artifacts(write, collection, &artifacts).await?;
    let removed = remove_members(write, collection, &artifacts).await?;
    let members: Vec<_> = removed.iter().map(|artifact| (collection, *artifact)).collect();
    record_change(write, ChangeKind::ArtifactsRemoved, &members).await?;
    Ok(MembershipPayload::new(collection, artifacts, &removed, &found))
}

pub(super) async fn transfer(write: &mut Write<'_>, input: &TransferArtifactsInput) -> Result<TransferPayload> {
    let from = input::id(PREFIX, "fromCollectionId", &input.from_collection_id)?;
    let to = input::id(PREFIX, "toCollectionId", &input.to_collection_id)?;
    let artifacts = input::ids(artifact::PREFIX, "artifactIds", &input.artifact_ids)?;
    if from == to {
        return Err(Error::bad_user_input("both collections are the same").in_field("toCollectionId"));
    }
    let locked = lock(write, vec![from, to]).await?;
    for (id, field) in [(from, "fromCollectionId"), (to, "toCollectionId")] {
        locked.ensure_may_change(&id, field)?;
    }
    let added = copy_members(write, (from, to), Members::Artifacts(&artifacts)).await?;
    let removed = remove_members(write, from, &artifacts).await?;
    ensure_contains(write, to, &artifacts, &removed).await?;
    let (moved, not_found): (Vec<Uuid>, Vec<Uuid>) = artifacts.into_iter().partition(|id| removed.contains(id));
    let members =
        |collection: Uuid, ids: &[Uuid]| ids.iter().map(|id| (collection, *id)).collect::<Vec<(Uuid, Uuid)>>();
    record_change(write, ChangeKind::ArtifactsRemoved, &members(from, &moved)).await?;
    record_change(write, ChangeKind::ArtifactsAdded, &members(to, &added)).await?;
    Ok(TransferPayload { from, to, moved, not_found })
}

/// Rejects a move of artifacts that the collection cannot contain. Only an administrator can move artifacts between
/// collections of different owners.
async fn ensure_contains(
    write: &mut Write<'_>,
    collection: Uuid,
    given: &[Uuid],
    removed: &HashSet<Uuid>,
) -> Result<()> {
    if !write.viewer().is_admin() || write.viewer().user.is_none() {
        return Ok(());
    }
    let sql = statement!(
        write,
        "select m.artifact_id
         from collection_artifacts m
         where m.collection_id = {collection} and m.artifact_id {given} {exempt: the collection is locked}",
        collection,
        given = in_ids(given),
    );
    let members = write.fetch::<Uuid>("collection_artifacts.members", sql).await?;
    let members: HashSet<Uuid> = members.into_iter().collect();
    let lost = given.iter().position(|id| removed.contains(id) && !members.contains(id));
    lost.map_or(Ok(()), |index| Err(cannot_contain(index)))
}

values! {
    /// The writable columns of a membership, as far as they are given.
    pub struct MembershipValues { status: Option<Text>, note: Option<Text> }
}

pub(super) async fn update_member(
    write: &mut Write<'_>,
    input: &UpdateCollectionArtifactInput,
) -> Result<CollectionPayload> {
    let collection = input::id(PREFIX, "collectionId", &input.collection_id)?;
    let artifact = input::id(artifact::PREFIX, "artifactId", &input.artifact_id)?;
    let values =
        MembershipValues { status: input::text("status", &input.status)?, note: input::text("note", &input.note)? };
    lock_one(write, collection, "collectionId").await?;
    let sql = statement!(
        write,
        "update collection_artifacts
         set revision = revision + 1 {changes}
         where collection_id = {collection} and artifact_id = {artifact} {exempt: the collection is locked}",
        changes = changes(&values),
        collection,
        artifact,
    );
    if write.execute("collection_artifacts.update", sql).await? == 0 {
        let message = "the collection does not contain an artifact with this id";
        return Err(Error::new(Code::NotFound, message).in_field("artifactId"));
    }
    record_change(write, ChangeKind::ArtifactsMoved, &[(collection, artifact)]).await?;
    Ok(CollectionPayload(collection))
}

pub(super) async fn move_members(
    write: &mut Write<'_>,
    input: &MoveCollectionArtifactsInput,
) -> Result<CollectionPayload> {
    let collection = input::id(PREFIX, "collectionId", &input.collection_id)?;
    let artifacts = input::ids(artifact::PREFIX, "artifactIds", &input.artifact_ids)?;
    let after = input.after_artifact_id.as_ref();
    let after = after.map(|id| input::id(artifact::PREFIX, "afterArtifactId", id)).transpose()?;
    lock_one(write, collection, "collectionId").await?;
    order::MEMBERS.move_after(write, collection, &artifacts, after).await?;
    let members: Vec<_> = artifacts.iter().map(|artifact| (collection, *artifact)).collect();
    record_change(write, ChangeKind::ArtifactsMoved, &members).await?;
    Ok(CollectionPayload(collection))
}
