//! How groups are written, and their members.
//!
//! Groups belong to a collection: whoever changes them locks it first.
use std::collections::HashSet;

use async_graphql::{ID, InputObject, MaybeUndefined};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Group, GroupById, PREFIX};
use crate::{
    catalog::{
        Mutation, artifact,
        change::{Audience, Change, ChangeKind},
        collection,
        input::{self, DeleteInput, DeletePayload, refused},
        order::{self, STEP},
        policy::{self, Access},
        rules::{self, NAME_MAX},
    },
    db::{
        Arg, Cell,
        CellType::{self, Id, Int},
        Record,
    },
    error::{Code, Error, Result},
    fields,
    graphql::{
        Write,
        object::{Fields, NoArguments, Object},
    },
};

/// A group to make.
#[derive(InputObject, Clone, Debug)]
struct CreateGroupInput {
    /// The collection it belongs to.
    collection_id: ID,
    /// What it is called; unique in its collection.
    name: String,
    /// What it is for.
    description: MaybeUndefined<String>,
    /// Its colour: a name, or `#rrggbb`.
    color: MaybeUndefined<String>,
    /// The name of its icon.
    icon: MaybeUndefined<String>,
    /// The artifacts it holds, in their order; of its collection.
    artifact_ids: Option<Vec<ID>>,
}

/// Changes of a group. What is absent stays as it is; null takes it away.
#[derive(InputObject, Clone, Debug)]
struct UpdateGroupInput {
    /// Its id.
    id: ID,
    /// Refused as `CONFLICT` where it has another revision.
    expected_revision: Option<i64>,
    /// What it is called; unique in its collection.
    name: MaybeUndefined<String>,
    /// What it is for.
    description: MaybeUndefined<String>,
    /// Its colour: a name, or `#rrggbb`.
    color: MaybeUndefined<String>,
    /// The name of its icon.
    icon: MaybeUndefined<String>,
    /// Its zero-based place among the groups of its collection; the last one where there are fewer.
    position: Option<i64>,
}

/// Artifacts of a group.
#[derive(InputObject, Clone, Debug)]
struct GroupArtifactsInput {
    /// The group.
    group_id: ID,
    /// At most 10,000.
    artifact_ids: Vec<ID>,
}

/// Artifacts to put at another place of a group.
#[derive(InputObject, Clone, Debug)]
struct MoveGroupArtifactsInput {
    /// The group.
    group_id: ID,
    /// At most 10,000, in the order that they will have.
    artifact_ids: Vec<ID>,
    /// The artifact that they will follow; the start of the group where it is absent.
    after_artifact_id: Option<ID>,
}

/// A group to copy.
#[derive(InputObject, Clone, Debug)]
struct CopyGroupInput {
    /// Its id.
    id: ID,
    /// The collection that the copy belongs to. Artifacts that it does not hold come to its end.
    collection_id: ID,
    /// What the copy is called; as the original where it is absent.
    name: Option<String>,
}

/// Declares the root fields that write groups.
pub fn declare_mutations(fields: &mut Fields<'_, '_, Mutation>) {
    fields! { fields;
        type;
        /// Makes a group at the end of a collection's groups.
        createGroup => write::<CreateGroupInput, _>(|input, write| Box::pin(create(write, input)));
        /// Changes the fields of a group that are named.
        updateGroup => write::<UpdateGroupInput, _>(|input, write| Box::pin(update(write, input)));
        /// Deletes a group. The artifacts it holds stay in the collection.
        deleteGroup => write::<DeleteInput, _>(|input, write| Box::pin(delete(write, input)));
        /// Adds artifacts of the collection to a group, at its end. Those that it holds already stay where they are.
        addArtifactsToGroup => write::<GroupArtifactsInput, _>(|input, write| Box::pin(add(write, input)));
        /// Takes artifacts out of a group. They stay in the collection.
        removeArtifactsFromGroup => write::<GroupArtifactsInput, _>(|input, write| Box::pin(remove(write, input)));
        /// Puts artifacts, in the order given, directly after another one of the group, or at its start.
        moveGroupArtifacts => write::<MoveGroupArtifactsInput, _>(|input, write| Box::pin(put(write, input)));
        /// Copies a group with its artifacts and their order into the same or another collection.
        copyGroup => write::<CopyGroupInput, _>(|input, write| Box::pin(copy(write, input)));
    }
}

/// A group that is locked with its collection.
struct Locked {
    collection: Uuid,
    revision: i64,
    audience: Audience,
}

/// Locks a group and its collection, which whoever writes may change.
///
/// # Errors
/// `NOT_FOUND`, `FORBIDDEN`.
async fn lock(write: &mut Write<'_>, id: Uuid, field: &'static str) -> Result<Locked> {
    let mut sql = write.sql();
    sql.push("select ");
    policy::write_may_change("c.owner_id", &mut sql);
    sql.push(", g.collection_id, g.revision, c.owner_id, c.visibility from groups g join collections c on c.id = g.collection_id where g.id = ").bind(Arg::Id(id));
    policy::collections(Access::ById).append(&mut sql);
    sql.either("", " for update of g, c");
    let found = write.fetch_with("groups.lock", sql, |row| {
        let may_change: i64 = row.next()?;
        let (collection, revision) = (row.next()?, row.next()?);
        Ok((may_change == 1, Locked { collection, revision, audience: Audience::read(row)? }))
    });
    let found = found.await?.into_iter().next();
    input::may_change("group", field, found.as_ref().map(|(may_change, _)| *may_change))?;
    found.map(|(_, locked)| locked).ok_or_else(|| input::not_found("group", field))
}

/// Inserts a group at the end of its collection's.
async fn insert(write: &mut Write<'_>, id: Uuid, collection: Uuid, values: [Cell; 4]) -> Result<()> {
    let now = write.now();
    let mut sql = write.sql();
    sql.push(
        "insert into groups (id, collection_id, name, description, color, icon, sort_key, created_at, updated_at) values (",
    );
    sql.bind(Arg::Id(id)).push(", ").bind(Arg::Id(collection));
    for value in values {
        sql.push(", ").bind(value.into());
    }
    sql.push(", coalesce((select max(o.sort_key) from groups o where o.collection_id = ").bind(Arg::Id(collection));
    sql.push("), ").int(-STEP).push(") + ").int(STEP).push(", ").bind(Arg::Time(now)).push(", ");
    sql.bind(Arg::Time(now)).push(")");
    write.execute("groups.insert", sql).await?;
    Ok(())
}

async fn create(write: &mut Write<'_>, input: &CreateGroupInput) -> Result<GroupPayload> {
    let collection = input::id(collection::PREFIX, "collectionId", &input.collection_id)?;
    let name = rules::name(&input.name, NAME_MAX).map_err(refused("name"))?;
    let artifacts = input::ids(artifact::PREFIX, "artifactIds", input.artifact_ids.as_deref().unwrap_or_default())?;
    let values = [
        Cell::Text(name),
        input::text("description", &input.description)?,
        input::text("color", &input.color)?,
        input::text("icon", &input.icon)?,
    ];
    collection::lock_one(write, collection, "collectionId").await?;
    let id = Uuid::now_v7();
    insert(write, id, collection, values).await?;
    append(write, (id, collection), &artifacts).await?;
    write.announce(&Change::of(ChangeKind::Created, PREFIX, id));
    Ok(GroupPayload(id))
}

/// Adds artifacts at the end of a group. Two statements.
///
/// # Errors
/// `NOT_FOUND` for one that the collection does not hold.
async fn append(write: &mut Write<'_>, (group, collection): (Uuid, Uuid), artifacts: &[Uuid]) -> Result<()> {
    const COLUMNS: &[(&str, CellType)] = &[("artifact_id", Id), ("n", Int)];
    let mut sql = write.sql();
    sql.push("select m.artifact_id from collection_artifacts m where m.collection_id = ").bind(Arg::Id(collection));
    sql.push(" and m.artifact_id").in_ids(artifacts);
    let members: HashSet<Uuid> = write.fetch::<Uuid>("collection_artifacts.known", sql).await?.into_iter().collect();
    if let Some(place) = artifacts.iter().position(|artifact| !members.contains(artifact)) {
        let message = "the collection of the group does not hold an artifact with this id";
        return Err(Error::new(Code::NotFound, message).at_index("artifactIds", place));
    }
    let numbered = artifacts.iter().enumerate();
    let rows: Vec<Vec<Cell>> = numbered.map(|(n, id)| vec![Cell::Id(*id), Cell::Int(n as i64)]).collect();
    let now = write.now();
    let mut sql = write.sql();
    sql.push("insert into group_artifacts (group_id, collection_id, artifact_id, sort_key, added_at) select ");
    sql.bind(Arg::Id(group))
        .push(", ")
        .bind(Arg::Id(collection))
        .push(", r.artifact_id, coalesce((select max(o.sort_key) from group_artifacts o where o.group_id = ");
    sql.bind(Arg::Id(group))
        .push("), ")
        .int(-STEP)
        .push(") + ")
        .int(STEP)
        .push(" * row_number() over (order by r.n), ");
    sql.bind(Arg::Time(now)).push(" from ").row_table(COLUMNS, &rows);
    sql.push(
        " r where not exists (select 1 from group_artifacts o where o.artifact_id = r.artifact_id and o.group_id = ",
    );
    sql.bind(Arg::Id(group)).push(") on conflict do nothing");
    write.execute("group_artifacts.insert", sql).await?;
    Ok(())
}

/// Counts a change of a group, and tells of it.
async fn touch(write: &mut Write<'_>, id: Uuid, values: Vec<(&'static str, Cell)>) -> Result<()> {
    let now = write.now();
    let mut sql = write.sql();
    sql.push("update groups set revision = revision + 1, updated_at = ").bind(Arg::Time(now));
    for (column, value) in values {
        sql.push(column).bind(value.into());
    }
    sql.push(" where id = ").bind(Arg::Id(id));
    write.execute("groups.update", sql).await?;
    write.announce(&Change::of(ChangeKind::Updated, PREFIX, id));
    Ok(())
}

async fn update(write: &mut Write<'_>, input: &UpdateGroupInput) -> Result<GroupPayload> {
    let id = input::id(PREFIX, "id", &input.id)?;
    let name = input::name("name", &input.name, NAME_MAX)?;
    let mut values: Vec<(&'static str, Cell)> = name.map(|name| (", name = ", Cell::Text(name))).into_iter().collect();
    for (field, column, given) in [
        ("description", ", description = ", &input.description),
        ("color", ", color = ", &input.color),
        ("icon", ", icon = ", &input.icon),
    ] {
        if !given.is_undefined() {
            values.push((column, input::text(field, given)?));
        }
    }
    if input.position.is_some_and(|position| position < 0) {
        return Err(Error::bad_user_input("a place must not be negative").in_field("position"));
    }
    let Locked { collection, revision, .. } = lock(write, id, "id").await?;
    input::expect_revision(input.expected_revision, revision)?;
    if let Some(position) = input.position {
        let before = group_before(write, collection, id, position).await?;
        order::GROUPS.put(write, collection, &[id], before).await?;
    }
    touch(write, id, values).await?;
    Ok(GroupPayload(id))
}

/// The group that one at `position` follows.
async fn group_before(write: &mut Write<'_>, collection: Uuid, id: Uuid, position: i64) -> Result<Option<Uuid>> {
    let mut sql = write.sql();
    sql.push("select g.id from (select g.id, g.sort_key from groups g where g.collection_id = ")
        .bind(Arg::Id(collection));
    sql.push(" and g.id <> ").bind(Arg::Id(id)).push(" order by g.sort_key, g.id").limit(position);
    sql.push(") g order by g.sort_key desc, g.id desc limit 1");
    Ok(write.fetch::<Uuid>("groups.before", sql).await?.into_iter().next())
}

async fn delete(write: &mut Write<'_>, input: &DeleteInput) -> Result<DeletePayload> {
    let id = input::id(PREFIX, "id", &input.id)?;
    let Locked { revision, audience, .. } = lock(write, id, "id").await?;
    input::expect_revision(input.expected_revision, revision)?;
    let mut sql = write.sql();
    sql.push("delete from groups where id = ").bind(Arg::Id(id));
    write.execute("groups.delete", sql).await?;
    write.announce(&Change::deleted(PREFIX, id, audience));
    Ok(DeletePayload::new(PREFIX, id))
}

async fn add(write: &mut Write<'_>, input: &GroupArtifactsInput) -> Result<GroupPayload> {
    let id = input::id(PREFIX, "groupId", &input.group_id)?;
    let artifacts = input::ids(artifact::PREFIX, "artifactIds", &input.artifact_ids)?;
    let Locked { collection, .. } = lock(write, id, "groupId").await?;
    append(write, (id, collection), &artifacts).await?;
    touch(write, id, Vec::new()).await?;
    Ok(GroupPayload(id))
}

async fn remove(write: &mut Write<'_>, input: &GroupArtifactsInput) -> Result<GroupPayload> {
    let id = input::id(PREFIX, "groupId", &input.group_id)?;
    let artifacts = input::ids(artifact::PREFIX, "artifactIds", &input.artifact_ids)?;
    lock(write, id, "groupId").await?;
    let mut sql = write.sql();
    sql.push("delete from group_artifacts where group_id = ").bind(Arg::Id(id));
    sql.push(" and artifact_id").in_ids(&artifacts);
    write.execute("group_artifacts.delete", sql).await?;
    touch(write, id, Vec::new()).await?;
    Ok(GroupPayload(id))
}

async fn put(write: &mut Write<'_>, input: &MoveGroupArtifactsInput) -> Result<GroupPayload> {
    let id = input::id(PREFIX, "groupId", &input.group_id)?;
    let artifacts = input::ids(artifact::PREFIX, "artifactIds", &input.artifact_ids)?;
    let after = input.after_artifact_id.as_ref();
    let after = after.map(|id| input::id(artifact::PREFIX, "afterArtifactId", id)).transpose()?;
    lock(write, id, "groupId").await?;
    order::GROUP_MEMBERS.put(write, id, &artifacts, after).await?;
    touch(write, id, Vec::new()).await?;
    Ok(GroupPayload(id))
}

/// What a copy takes over: name, description, colour, icon and collection.
type Original = (String, Option<String>, Option<String>, Option<String>, Uuid);

async fn copy(write: &mut Write<'_>, input: &CopyGroupInput) -> Result<GroupPayload> {
    let from = input::id(PREFIX, "id", &input.id)?;
    let collection = input::id(collection::PREFIX, "collectionId", &input.collection_id)?;
    let given = input.name.as_deref().map(|name| rules::name(name, NAME_MAX)).transpose().map_err(refused("name"))?;
    collection::lock_one(write, collection, "collectionId").await?;
    let mut sql = write.sql();
    sql.push("select g.name, g.description, g.color, g.icon, g.collection_id from groups g where g.id = ");
    sql.bind(Arg::Id(from));
    policy::groups(Access::ById).append(&mut sql);
    let found: Vec<Original> = write
        .fetch_with("groups.original", sql, |row| {
            Ok((row.next()?, row.next_or_null()?, row.next_or_null()?, row.next_or_null()?, row.next()?))
        })
        .await?;
    let original = found.into_iter().next().ok_or_else(|| input::not_found("group", "id"))?;
    let (name, description, color, icon, home) = original;
    let id = Uuid::now_v7();
    let text = |text: Option<String>| text.map_or(Cell::Null, Cell::Text);
    insert(write, id, collection, [Cell::Text(given.unwrap_or(name)), text(description), text(color), text(icon)])
        .await?;
    collection::take_over(write, (home, collection), from).await?;
    copy_members(write, &[(from, id)], collection).await?;
    write.announce(&Change::of(ChangeKind::Created, PREFIX, id));
    Ok(GroupPayload(id))
}

/// Copies the members of groups, each to another one, which belongs to `collection`; with their order.
async fn copy_members(write: &mut Write<'_>, groups: &[(Uuid, Uuid)], collection: Uuid) -> Result<()> {
    const COLUMNS: &[(&str, CellType)] = &[("original", Id), ("copy", Id)];
    let rows: Vec<Vec<Cell>> = groups.iter().map(|(from, to)| vec![Cell::Id(*from), Cell::Id(*to)]).collect();
    let now = write.now();
    let mut sql = write.sql();
    sql.push("insert into group_artifacts (group_id, collection_id, artifact_id, sort_key, added_at) select r.copy, ");
    sql.bind(Arg::Id(collection)).push(", m.artifact_id, m.sort_key, ").bind(Arg::Time(now)).push(" from ");
    sql.row_table(COLUMNS, &rows).push(" r join group_artifacts m on m.group_id = r.original");
    // A collection does not take over what it may not hold.
    sql.push(" join collection_artifacts o on o.artifact_id = m.artifact_id and o.collection_id = ");
    sql.bind(Arg::Id(collection));
    write.execute("group_artifacts.copy", sql).await?;
    Ok(())
}

/// Copies all groups of a collection to another one that has none. Three statements.
///
/// # Errors
/// Those of the statements.
pub async fn copy_all(write: &mut Write<'_>, from: Uuid, to: Uuid) -> Result<()> {
    const COLUMNS: &[(&str, CellType)] = &[("original", Id), ("copy", Id)];
    let mut sql = write.sql();
    sql.push("select g.id from groups g where g.collection_id = ").bind(Arg::Id(from));
    let groups: Vec<(Uuid, Uuid)> =
        write.fetch::<Uuid>("groups.of_collection", sql).await?.into_iter().map(|id| (id, Uuid::now_v7())).collect();
    let rows: Vec<Vec<Cell>> = groups.iter().map(|(from, to)| vec![Cell::Id(*from), Cell::Id(*to)]).collect();
    let now = write.now();
    let mut sql = write.sql();
    sql.push("insert into groups (id, collection_id, name, description, color, icon, sort_key, created_at, updated_at) select r.copy, ");
    sql.bind(Arg::Id(to)).push(", g.name, g.description, g.color, g.icon, g.sort_key, ").bind(Arg::Time(now));
    sql.push(", ").bind(Arg::Time(now)).push(" from ").row_table(COLUMNS, &rows);
    sql.push(" r join groups g on g.id = r.original");
    write.execute("groups.copy", sql).await?;
    copy_members(write, &groups, to).await
}

/// The group that was written.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct GroupPayload(Uuid);

impl Object for GroupPayload {
    fn name() -> String {
        "GroupPayload".to_owned()
    }

    fn declare(fields: &mut Fields<'_, '_, Self>) {
        fields! { fields;
            /// The group that was written.
            type;
            /// The group as it is now.
            group => load::<NoArguments, _, _>(|payload| payload.0, |_, _, _| Ok(GroupById), written);
        }
    }
}

fn written(group: Option<Group>) -> Result<Group> {
    group.ok_or_else(|| Error::new(Code::NotFound, "the group was deleted meanwhile"))
}
