//! Creating, changing and deleting collections.
use std::collections::HashSet;

use uuid::Uuid;

use super::{
    CollectionValues, PREFIX,
    input::{CreateCollectionInput, UpdateCollectionInput},
    lock::{lock_revision, lock_with_artifacts},
    member::{append, cannot_contain},
    payload::CollectionPayload,
};
use crate::{
    catalog::{
        change::{Change, ChangeKind},
        input::{self, DeleteInput, DeletePayload},
    },
    db::{Table, all_values, changes},
    error::{Code, Error, Result},
    graphql::Write,
    statement,
};

pub(super) async fn create(write: &mut Write<'_>, input: &CreateCollectionInput) -> Result<CollectionPayload> {
    let (values, artifacts) = input.validated()?;
    let id = Uuid::now_v7();
    let sql = statement!(
        write,
        "insert into collections (id, {names}, owner_id, created_at, updated_at)
         values ({id}, {values}, {owner}, {now}, {now})",
        names = CollectionValues::column_names(),
        id,
        values = all_values(&values),
        owner = write.viewer().user,
        now = write.now(),
    );
    write.execute("collections.insert", sql).await?;
    let members: Vec<_> = artifacts.iter().map(|artifact| (id, *artifact)).collect();
    let added = append(write, &members, None, None).await?;
    let added: HashSet<Uuid> = added.into_iter().map(|(_, artifact)| artifact).collect();
    if let Some(index) = artifacts.iter().position(|artifact| !added.contains(artifact)) {
        let found = lock_with_artifacts(write, id, &artifacts[index..=index]).await?;
        let missing = || Error::new(Code::NotFound, "there is no artifact with this id").at_index("artifactIds", index);
        return Err(if found.contains_key(&artifacts[index]) { cannot_contain(index) } else { missing() });
    }
    write.announce(&Change::of(ChangeKind::Created, PREFIX, id));
    Ok(CollectionPayload(id))
}

pub(super) async fn update(write: &mut Write<'_>, input: &UpdateCollectionInput) -> Result<CollectionPayload> {
    let id = input::id(PREFIX, "id", &input.id)?;
    let values = input.validated()?;
    lock_revision(write, id, input.expected_revision).await?;
    let sql = statement!(
        write,
        "update collections
         set revision = revision + 1, updated_at = {now} {changes}
         where id = {id} {exempt: the collection is locked}",
        now = write.now(),
        changes = changes(&values),
        id,
    );
    write.execute("collections.update", sql).await?;
    write.announce(&Change::of(ChangeKind::Updated, PREFIX, id));
    Ok(CollectionPayload(id))
}

pub(super) async fn delete(write: &mut Write<'_>, input: &DeleteInput) -> Result<DeletePayload> {
    let id = input::id(PREFIX, "id", &input.id)?;
    let audience = lock_revision(write, id, input.expected_revision).await?;
    let sql = statement!(write, "delete from collections where id = {id} {exempt: the collection is locked}", id);
    write.execute("collections.delete", sql).await?;
    write.announce(&Change::deleted(PREFIX, id, audience));
    Ok(DeletePayload::new(PREFIX, id))
}
