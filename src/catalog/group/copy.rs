//! Copying groups with their artifacts and order.
use uuid::Uuid;

use super::{GroupValues, PREFIX, input::CopyGroupInput, write::GroupPayload};
use crate::{
    catalog::{
        change::{Change, ChangeKind},
        collection,
        input::{self, rejected},
        order::STEP,
        policy::{self, Access},
        rules::{self, NAME_MAX},
    },
    db::{RowTable, Table},
    error::Result,
    graphql::Write,
    row_table, statement,
};

row_table! {
    struct Copied { original: Uuid, copy: Uuid }
}

/// Copies a group to the end of a collection's groups. The collection receives the artifacts that it does not contain.
///
/// # Errors
/// `NOT_FOUND`, `FORBIDDEN`, `CONFLICT` if another group of the collection has the name.
pub(super) async fn copy(write: &mut Write<'_>, input: &CopyGroupInput) -> Result<GroupPayload> {
    let from = input::id(PREFIX, "id", &input.id)?;
    let collection = input::id(collection::PREFIX, "collectionId", &input.collection_id)?;
    let name = input.name.as_deref().map(|name| rules::name(name, NAME_MAX)).transpose().map_err(rejected("name"))?;
    collection::lock_one(write, collection, "collectionId").await?;
    let sql = statement!(
        write,
        "select g.collection_id from groups g where g.id = {from} {g_visible}",
        from,
        g_visible = policy::groups(Access::ById),
    );
    let found = write.fetch::<Uuid>("groups.original", sql).await?;
    let original_collection = found.into_iter().next().ok_or_else(|| input::not_found("group", "id"))?;
    let id = Uuid::now_v7();
    insert_copy(write, (from, id), collection, GroupValues { name, ..GroupValues::default() }).await?;
    collection::copy_group_members(write, (original_collection, collection), from).await?;
    copy_members(write, &[(from, id)], collection).await?;
    write.announce(&Change::of(ChangeKind::Created, PREFIX, id));
    Ok(GroupPayload(id))
}

/// Inserts a copy of a group, with the given values instead of those of the original, at the end of a collection's groups.
async fn insert_copy(
    write: &mut Write<'_>,
    (from, to): (Uuid, Uuid),
    collection: Uuid,
    values: GroupValues,
) -> Result<()> {
    let sql = statement!(
        write,
        "insert into groups (id, collection_id, {names}, sort_key, created_at, updated_at)
         select {to}, {collection}, {values},
           coalesce((select max(o.sort_key) from groups o where o.collection_id = {collection}), {before_first})
             + {step},
           {now}, {now}
         from groups g
         where g.id = {from} {exempt: the original is visible and the collection is locked}",
        names = GroupValues::column_names(),
        to,
        collection,
        values = GroupValues::copied_from("g", &values),
        before_first = -STEP,
        step = STEP,
        now = write.now(),
        from,
    );
    write.execute("groups.insert", sql).await?;
    Ok(())
}

/// Copies the members of groups, with their order, to other groups of `collection`.
async fn copy_members(write: &mut Write<'_>, groups: &[(Uuid, Uuid)], collection: Uuid) -> Result<()> {
    let rows = RowTable::of(groups.iter().map(|(original, copy)| Copied { original: *original, copy: *copy }));
    // The collection does not receive artifacts that it cannot contain.
    let sql = statement!(
        write,
        "insert into group_artifacts (group_id, collection_id, artifact_id, sort_key, added_at)
         select r.copy, {collection}, m.artifact_id, m.sort_key, {now}
         from {rows} r
         join group_artifacts m on m.group_id = r.original
         join collection_artifacts o on o.artifact_id = m.artifact_id and o.collection_id = {collection}
         {exempt: the originals are visible and the collection is locked}",
        collection,
        now = write.now(),
        rows = &rows,
    );
    write.execute("group_artifacts.copy", sql).await?;
    Ok(())
}

/// Copies all groups of a visible collection to another one that has none. Three statements.
///
/// # Errors
/// A statement fails.
pub async fn copy_all(write: &mut Write<'_>, from: Uuid, to: Uuid) -> Result<()> {
    let sql = statement!(
        write,
        "select g.id from groups g where g.collection_id = {from} {exempt: the original is visible and locked}",
        from
    );
    let originals = write.fetch::<Uuid>("groups.of_collection", sql).await?;
    let groups: Vec<(Uuid, Uuid)> = originals.into_iter().map(|id| (id, Uuid::now_v7())).collect();
    let rows = RowTable::of(groups.iter().map(|(original, copy)| Copied { original: *original, copy: *copy }));
    let sql = statement!(
        write,
        "insert into groups (id, collection_id, {names}, sort_key, created_at, updated_at)
         select r.copy, {to}, {values}, g.sort_key, {now}, {now}
         from {rows} r join groups g on g.id = r.original {exempt: the original is visible and locked}",
        names = GroupValues::column_names(),
        to,
        values = GroupValues::columns_of("g"),
        now = write.now(),
        rows = &rows,
    );
    write.execute("groups.copy", sql).await?;
    copy_members(write, &groups, to).await
}
