//! Creating, changing and deleting groups, and their members. Writes lock the collection of the group first.
use std::collections::HashSet;

use uuid::Uuid;

use super::{
    GroupById, GroupValues, PREFIX,
    copy::copy,
    input::{CreateGroupInput, GroupArtifactsInput, MoveGroupArtifactsInput, UpdateGroupInput},
};
use crate::{
    catalog::{
        Mutation, artifact,
        change::{Audience, Change, ChangeKind},
        collection,
        input::{self, DeleteInput, DeletePayload},
        order::{self, STEP},
        policy::{self, Access},
    },
    db::{Record, RowTable, Table, all_values, changes, either, in_ids, limit},
    error::{Code, Error, Result},
    field,
    graphql::{Write, WriteFields, object::ObjectBuilder},
    payload, row_table, statement,
};

payload! {
    /// The group that was written.
    pub(super) struct GroupPayload { "group": GroupById }
}

/// Declares the mutations on groups.
pub fn declare_mutations(fields: &mut ObjectBuilder<'_, '_, Mutation>) {
    fields.write(field!("createGroup", "Creates a group, as the last one of its collection."), |input, write| {
        Box::pin(create(write, input))
    });
    fields.write(field!("updateGroup", "Changes the given fields of a group."), |input, write| {
        Box::pin(update(write, input))
    });
    fields.write(field!("deleteGroup", "Deletes a group. Its artifacts stay in the collection."), |input, write| {
        Box::pin(delete(write, input))
    });
    fields.write(
        field!(
            "addArtifactsToGroup",
            "Adds artifacts of the collection at the end of a group. Artifacts that it contains already keep their \
             position."
        ),
        |input, write| Box::pin(add(write, input)),
    );
    fields.write(
        field!("removeArtifactsFromGroup", "Removes artifacts from a group. They stay in the collection."),
        |input, write| Box::pin(remove(write, input)),
    );
    fields.write(
        field!(
            "moveGroupArtifacts",
            "Moves artifacts, in the given order, directly after another artifact of the group, or to its start."
        ),
        |input, write| Box::pin(move_members(write, input)),
    );
    fields.write(
        field!("copyGroup", "Copies a group with its artifacts and their order to the same or another collection."),
        |input, write| Box::pin(copy(write, input)),
    );
}

/// A group that is locked with its collection.
struct Locked {
    collection: Uuid,
    revision: i64,
    audience: Audience,
}

/// Locks a group and its collection, which the viewer may change.
async fn lock(write: &mut Write<'_>, id: Uuid, field: &'static str) -> Result<Locked> {
    let sql = statement!(
        write,
        "select {may_change}, g.collection_id, g.revision, c.owner_id, c.visibility
         from groups g join collections c on c.id = g.collection_id
         where g.id = {id} {c_visible} {lock}",
        may_change = policy::may_change("c.owner_id"),
        id,
        c_visible = policy::collections(Access::ById),
        lock = either("", "for update of g, c"),
    );
    let found = write.fetch_with("groups.lock", sql, |row| {
        let may_change: i64 = row.next()?;
        let (collection, revision) = (row.next()?, row.next()?);
        Ok((may_change == 1, Locked { collection, revision, audience: Audience::read(row)? }))
    });
    let found = found.await?.into_iter().next();
    input::ensure_may_change("group", field, found.as_ref().map(|(may_change, _)| *may_change))?;
    found.map(|(_, locked)| locked).ok_or_else(|| input::not_found("group", field))
}

async fn create(write: &mut Write<'_>, input: &CreateGroupInput) -> Result<GroupPayload> {
    let collection = input::id(collection::PREFIX, "collectionId", &input.collection_id)?;
    let (values, artifacts) = input.validated()?;
    collection::lock_one(write, collection, "collectionId").await?;
    let id = Uuid::now_v7();
    let sql = statement!(
        write,
        "insert into groups (id, collection_id, {names}, sort_key, created_at, updated_at)
         values ({id}, {collection}, {values},
           coalesce((select max(o.sort_key) from groups o where o.collection_id = {collection}), {before_first})
             + {step},
           {now}, {now})
         {exempt: the collection is locked}",
        names = GroupValues::column_names(),
        id,
        collection,
        values = all_values(&values),
        before_first = -STEP,
        step = STEP,
        now = write.now(),
    );
    write.execute("groups.insert", sql).await?;
    append(write, (id, collection), &artifacts).await?;
    write.announce(&Change::of(ChangeKind::Created, PREFIX, id));
    Ok(GroupPayload(id))
}

row_table! {
    struct NewMember { artifact_id: Uuid, n: i64 }
}

/// Adds artifacts at the end of a group. Two statements.
///
/// # Errors
/// `NOT_FOUND` for an artifact that the collection does not contain.
async fn append(write: &mut Write<'_>, (group, collection): (Uuid, Uuid), artifacts: &[Uuid]) -> Result<()> {
    ensure_members(write, collection, artifacts).await?;
    let numbered = artifacts.iter().enumerate();
    let rows = RowTable::of(numbered.map(|(n, id)| NewMember { artifact_id: *id, n: n as i64 }));
    let sql = statement!(
        write,
        "insert into group_artifacts (group_id, collection_id, artifact_id, sort_key, added_at)
         select {group}, {collection}, r.artifact_id,
           coalesce((select max(o.sort_key) from group_artifacts o where o.group_id = {group}), {before_first})
             + {step} * row_number() over (order by r.n),
           {now}
         from {rows} r
         where not exists (select 1 from group_artifacts o
           where o.artifact_id = r.artifact_id and o.group_id = {group} {exempt: the group is locked})
         on conflict do nothing",
        group,
        collection,
        before_first = -STEP,
        step = STEP,
        now = write.now(),
        rows = &rows,
    );
    write.execute("group_artifacts.insert", sql).await?;
    Ok(())
}

async fn ensure_members(write: &mut Write<'_>, collection: Uuid, artifacts: &[Uuid]) -> Result<()> {
    let sql = statement!(
        write,
        "select m.artifact_id
         from collection_artifacts m
         where m.collection_id = {collection} and m.artifact_id {artifacts} {exempt: the collection is locked}",
        collection,
        artifacts = in_ids(artifacts),
    );
    let members = write.fetch::<Uuid>("collection_artifacts.members", sql).await?;
    let members: HashSet<Uuid> = members.into_iter().collect();
    match artifacts.iter().position(|artifact| !members.contains(artifact)) {
        None => Ok(()),
        Some(index) => {
            let message = "the collection of the group does not contain an artifact with this id";
            Err(Error::new(Code::NotFound, message).at_index("artifactIds", index))
        }
    }
}

/// Writes the given values of a group, increments its revision, and announces it.
async fn apply(write: &mut Write<'_>, id: Uuid, values: &GroupValues) -> Result<()> {
    let sql = statement!(
        write,
        "update groups
         set revision = revision + 1, updated_at = {now} {changes}
         where id = {id} {exempt: the group is locked}",
        now = write.now(),
        changes = changes(values),
        id,
    );
    write.execute("groups.update", sql).await?;
    write.announce(&Change::of(ChangeKind::Updated, PREFIX, id));
    Ok(())
}

async fn update(write: &mut Write<'_>, input: &UpdateGroupInput) -> Result<GroupPayload> {
    let id = input::id(PREFIX, "id", &input.id)?;
    let values = input.validated()?;
    let Locked { collection, revision, .. } = lock(write, id, "id").await?;
    input::expect_revision(input.expected_revision, revision)?;
    if let Some(position) = input.position {
        let before = group_before(write, collection, id, position).await?;
        order::GROUPS.move_after(write, collection, &[id], before).await?;
    }
    apply(write, id, &values).await?;
    Ok(GroupPayload(id))
}

/// The group that will precede the group with this id at a position.
async fn group_before(write: &mut Write<'_>, collection: Uuid, id: Uuid, position: i64) -> Result<Option<Uuid>> {
    let sql = statement!(
        write,
        "select g.id
         from (
           select g.id, g.sort_key
           from groups g
           where g.collection_id = {collection} and g.id <> {id} {exempt: the collection is locked}
           order by g.sort_key, g.id
           {limit}
         ) g
         order by g.sort_key desc, g.id desc
         limit 1",
        collection,
        id,
        limit = limit(position),
    );
    Ok(write.fetch::<Uuid>("groups.before", sql).await?.into_iter().next())
}

async fn delete(write: &mut Write<'_>, input: &DeleteInput) -> Result<DeletePayload> {
    let id = input::id(PREFIX, "id", &input.id)?;
    let Locked { revision, audience, .. } = lock(write, id, "id").await?;
    input::expect_revision(input.expected_revision, revision)?;
    let sql = statement!(write, "delete from groups where id = {id} {exempt: the group is locked}", id);
    write.execute("groups.delete", sql).await?;
    write.announce(&Change::deleted(PREFIX, id, audience));
    Ok(DeletePayload::new(PREFIX, id))
}

async fn add(write: &mut Write<'_>, input: &GroupArtifactsInput) -> Result<GroupPayload> {
    let id = input::id(PREFIX, "groupId", &input.group_id)?;
    let artifacts = input::ids(artifact::PREFIX, "artifactIds", &input.artifact_ids)?;
    let Locked { collection, .. } = lock(write, id, "groupId").await?;
    append(write, (id, collection), &artifacts).await?;
    apply(write, id, &GroupValues::default()).await?;
    Ok(GroupPayload(id))
}

async fn remove(write: &mut Write<'_>, input: &GroupArtifactsInput) -> Result<GroupPayload> {
    let id = input::id(PREFIX, "groupId", &input.group_id)?;
    let artifacts = input::ids(artifact::PREFIX, "artifactIds", &input.artifact_ids)?;
    lock(write, id, "groupId").await?;
    let sql = statement!(
        write,
        "delete from group_artifacts
         where group_id = {id} and artifact_id {artifacts} {exempt: the group is locked}",
        id,
        artifacts = in_ids(&artifacts),
    );
    write.execute("group_artifacts.delete", sql).await?;
    apply(write, id, &GroupValues::default()).await?;
    Ok(GroupPayload(id))
}

async fn move_members(write: &mut Write<'_>, input: &MoveGroupArtifactsInput) -> Result<GroupPayload> {
    let id = input::id(PREFIX, "groupId", &input.group_id)?;
    let artifacts = input::ids(artifact::PREFIX, "artifactIds", &input.artifact_ids)?;
    let after = input.after_artifact_id.as_ref();
    let after = after.map(|id| input::id(artifact::PREFIX, "afterArtifactId", id)).transpose()?;
    lock(write, id, "groupId").await?;
    order::GROUP_MEMBERS.move_after(write, id, &artifacts, after).await?;
    apply(write, id, &GroupValues::default()).await?;
    Ok(GroupPayload(id))
}
