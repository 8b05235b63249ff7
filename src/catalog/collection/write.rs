//! How collections are written, and their members.
//!
//! Whoever changes what a collection holds, or its order, locks the collection first. So the changes of one collection
//! follow one another, and are told of in the order in which they were kept.
use std::collections::{BTreeMap, HashMap, HashSet};

use async_graphql::{ID, InputObject, MaybeUndefined};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{CollectionById, PREFIX, required};
use crate::{
    catalog::{
        Mutation, Visibility, artifact,
        change::{Audience, Change, ChangeKind},
        input::{self, DeleteInput, DeletePayload, refused},
        order::{self, STEP},
        policy::{self, Access},
        rules::{self, NAME_MAX},
    },
    db::{
        Arg, Cell,
        CellType::{self, Id, Int},
        Record, Sql, Time,
    },
    error::{Code, Error, Result},
    fields,
    graphql::{
        Write,
        id::GlobalId,
        object::{Fields, NoArguments, Object},
    },
};

/// A collection to make.
#[derive(InputObject, Clone, Debug)]
struct CreateCollectionInput {
    /// What it is called; unique for its owner.
    name: String,
    /// What it is for.
    description: MaybeUndefined<String>,
    /// Free classification, such as `context`.
    kind: MaybeUndefined<String>,
    /// Its colour, as `#rrggbb`.
    color: MaybeUndefined<String>,
    /// Who may see it, and with it the artifacts it holds.
    #[graphql(default_with = "Some(Visibility::Private)")]
    visibility: Option<Visibility>,
    /// The artifacts it holds, in their order.
    artifact_ids: Option<Vec<ID>>,
}

/// Changes of a collection. What is absent stays as it is; null takes it away.
#[derive(InputObject, Clone, Debug)]
struct UpdateCollectionInput {
    /// Its id.
    id: ID,
    /// Refused as `CONFLICT` where it has another revision.
    expected_revision: Option<i64>,
    /// What it is called; unique for its owner.
    name: MaybeUndefined<String>,
    /// What it is for.
    description: MaybeUndefined<String>,
    /// Free classification, such as `context`.
    kind: MaybeUndefined<String>,
    /// Its colour, as `#rrggbb`.
    color: MaybeUndefined<String>,
    /// Who may see it, and with it the artifacts it holds.
    visibility: Option<Visibility>,
}

/// A collection to copy.
#[derive(InputObject, Clone, Debug)]
pub(super) struct CopyCollectionInput {
    /// Its id.
    pub(super) id: ID,
    /// What the copy is called; the name of the original with `(copy)` where it is absent.
    pub(super) name: Option<String>,
}

/// Artifacts to add to a collection.
#[derive(InputObject, Clone, Debug)]
struct AddArtifactsToCollectionInput {
    /// The collection.
    collection_id: ID,
    /// At most 10,000. They come to its end, in the order given.
    artifact_ids: Vec<ID>,
    /// The state that they have in this collection.
    status: Option<String>,
    /// A note on them in this collection.
    note: Option<String>,
}

/// Artifacts of a collection.
#[derive(InputObject, Clone, Debug)]
struct CollectionArtifactsInput {
    /// The collection.
    collection_id: ID,
    /// At most 10,000.
    artifact_ids: Vec<ID>,
}

/// Artifacts to move from one collection to another.
#[derive(InputObject, Clone, Debug)]
struct TransferArtifactsInput {
    /// Where they leave.
    from_collection_id: ID,
    /// Where they come to the end, in the order they had.
    to_collection_id: ID,
    /// At most 10,000.
    artifact_ids: Vec<ID>,
}

/// Changes of an artifact as a member of a collection. What is absent stays as it is; null takes it away.
#[derive(InputObject, Clone, Debug)]
struct UpdateCollectionArtifactInput {
    /// The collection.
    collection_id: ID,
    /// The artifact.
    artifact_id: ID,
    /// The state that it has in this collection.
    status: MaybeUndefined<String>,
    /// A note on it in this collection.
    note: MaybeUndefined<String>,
}

/// Artifacts to put at another place of a collection.
#[derive(InputObject, Clone, Debug)]
struct MoveCollectionArtifactsInput {
    /// The collection.
    collection_id: ID,
    /// At most 10,000, in the order that they will have.
    artifact_ids: Vec<ID>,
    /// The artifact that they will follow; the start of the collection where it is absent.
    after_artifact_id: Option<ID>,
}

/// Declares the root fields that write collections.
pub fn declare_mutations(fields: &mut Fields<'_, '_, Mutation>) {
    fields! { fields;
        type;
        /// Makes a collection.
        createCollection => write::<CreateCollectionInput, _>(|input, write| Box::pin(create(write, input)));
        /// Changes the fields of a collection that are named.
        updateCollection => write::<UpdateCollectionInput, _>(|input, write| Box::pin(update(write, input)));
        /// Deletes a collection with its groups. The artifacts it holds stay.
        deleteCollection => write::<DeleteInput, _>(|input, write| Box::pin(delete(write, input)));
        /// A copy under a new name, `PRIVATE`, with groups, notes, states and order. It belongs to the viewer, and so holds
        /// those of the artifacts that are the viewer's or public.
        copyCollection => write::<CopyCollectionInput, _>(|input, write| Box::pin(super::copy::copy(write, input)));
        /// Adds artifacts to a collection, at its end. Those that it holds already stay where they are.
        ///
        /// Who can see a collection sees its artifacts, so adding to a public one publishes. An artifact that is not public
        /// can be added to its owner's collections alone, and leaves others' when its owner takes it back from the public.
        addArtifactsToCollection => write::<AddArtifactsToCollectionInput, _>(|input, write| Box::pin(add(write, input)));
        /// Takes artifacts out of a collection and its groups. The artifacts themselves stay.
        removeArtifactsFromCollection => write::<CollectionArtifactsInput, _>(|input, write| Box::pin(
            remove(write, input)
        ));
        /// Moves artifacts from one collection to another, in one transaction, with their notes, states and order.
        transferArtifacts => write::<TransferArtifactsInput, _>(|input, write| Box::pin(transfer(write, input)));
        /// Changes the state or the note of an artifact in a collection.
        updateCollectionArtifact => write::<UpdateCollectionArtifactInput, _>(|input, write| Box::pin(
            update_member(write, input)
        ));
        /// Puts artifacts, in the order given, directly after another one of the collection, or at its start.
        moveCollectionArtifacts => write::<MoveCollectionArtifactsInput, _>(|input, write| Box::pin(
            put(write, input)
        ));
    }
}

/// Collections that are locked: whether they may be changed, and their owners.
pub struct Locked(HashMap<Uuid, (bool, Option<Uuid>)>);

impl Locked {
    /// Of none.
    pub fn nothing() -> Self {
        Self(HashMap::new())
    }

    /// Refuses a collection that whoever writes may not change.
    ///
    /// # Errors
    /// `NOT_FOUND`, `FORBIDDEN`.
    pub fn may_change(&self, id: &Uuid, field: &'static str) -> Result<()> {
        input::may_change("collection", field, self.0.get(id).map(|(may_change, _)| *may_change))
    }

    /// As [`Locked::may_change`], to put an artifact of `owner` there.
    ///
    /// # Errors
    /// `NOT_FOUND`, `FORBIDDEN`.
    pub fn may_hold(&self, id: &Uuid, field: &'static str, (owner, is_public): (Option<Uuid>, bool)) -> Result<()> {
        self.may_change(id, field)?;
        let is_own = self.0.get(id).is_some_and(|(_, of)| *of == owner);
        if is_own || is_public { Ok(()) } else { Err(input::forbidden(NOT_TO_BE_HELD).in_field(field)) }
    }
}

/// Locks those of the collections that whoever writes may see, in the order of their ids.
///
/// # Errors
/// That of the statement.
pub async fn lock(write: &mut Write<'_>, mut ids: Vec<Uuid>) -> Result<Locked> {
    ids.sort_unstable();
    ids.dedup();
    let mut sql = write.sql();
    sql.push("select c.id, ");
    policy::write_may_change("c.owner_id", &mut sql);
    sql.push(", c.owner_id from collections c where c.id").in_ids(&ids);
    policy::collections(Access::ById).append(&mut sql);
    sql.push(" order by c.id").either("", " for update");
    let found = write.fetch_with("collections.lock", sql, |row| {
        let (id, may_change): (Uuid, i64) = (row.next()?, row.next()?);
        Ok((id, (may_change == 1, row.next_or_null()?)))
    });
    Ok(Locked(found.await?.into_iter().collect()))
}

/// Locks one collection, which whoever writes may change.
///
/// # Errors
/// `NOT_FOUND`, `FORBIDDEN`.
pub async fn lock_one(write: &mut Write<'_>, id: Uuid, field: &'static str) -> Result<()> {
    lock(write, vec![id]).await?.may_change(&id, field)
}

/// Locks a collection, and returns which of the artifacts there are, and whether it may hold them.
///
/// # Errors
/// `NOT_FOUND`, `FORBIDDEN`.
async fn lock_and_know(write: &mut Write<'_>, id: Uuid, artifacts: &[Uuid]) -> Result<HashMap<Uuid, bool>> {
    let mut sql = write.sql();
    sql.push("select ");
    policy::write_may_change("c.owner_id", &mut sql);
    sql.push(", coalesce((select ").either("group_concat(hex(a.id)", "string_agg(a.id::text").push(" || case when ");
    sql.push(MAY_BE_HELD).push(" then '+' else '-' end, ',') from artifacts a where a.id").in_ids(artifacts);
    policy::artifacts(Access::ById).append(&mut sql);
    sql.push("), '') from collections c where c.id = ").bind(Arg::Id(id));
    policy::collections(Access::ById).append(&mut sql);
    sql.either("", " for update of c");
    let found = write.fetch::<(i64, String)>("collections.lock", sql).await?.into_iter().next();
    input::may_change("collection", "collectionId", found.as_ref().map(|(may_change, _)| *may_change == 1))?;
    let known = found.map(|(_, known)| known).unwrap_or_default();
    let read = |text: &str| {
        let (id, may_be_held) = text.split_at(text.len() - 1);
        Ok((Uuid::try_parse(id).map_err(Error::internal)?, may_be_held == "+"))
    };
    known.split(',').filter(|text| !text.is_empty()).map(read).collect()
}

/// Whether the collection `c` may hold the artifact `a`. Who can see a collection sees its artifacts, so no other account
/// may put one there that is not public.
pub const MAY_BE_HELD: &str = "(a.visibility = 'PUBLIC' or a.owner_id is not distinct from c.owner_id)";

const NOT_TO_BE_HELD: &str = "an artifact that is not public can be put into its owner's collections alone";

fn may_not_be_held(place: usize) -> Error {
    input::forbidden(NOT_TO_BE_HELD).at_index("artifactIds", place)
}

/// Writes the artifacts whose ids are told by `which`, as a table `a`. On PostgreSQL they are locked: who makes one of them
/// private waits, or was there first and is seen.
fn held_artifacts(which: impl FnOnce(&mut Sql), sql: &mut Sql) {
    sql.push("(select a.id, a.type, a.name, a.visibility, a.owner_id from artifacts a where a.id");
    which(sql);
    sql.either(") a", " for share) a");
}

/// Adds artifacts at the ends of collections, which are locked, and tells of it. Two statements.
///
/// # Errors
/// Those of the statements.
pub async fn add_members(write: &mut Write<'_>, members: &[(Uuid, Uuid)]) -> Result<()> {
    let added = append(write, members, None, None).await?;
    changed(write, ChangeKind::ArtifactsAdded, &added).await
}

/// Adds artifacts at the ends of collections, and returns those that were not there yet.
async fn append(
    write: &mut Write<'_>,
    members: &[(Uuid, Uuid)],
    status: Option<String>,
    note: Option<String>,
) -> Result<Vec<(Uuid, Uuid)>> {
    const COLUMNS: &[(&str, CellType)] = &[("collection_id", Id), ("artifact_id", Id), ("n", Int)];
    let numbered = members.iter().enumerate();
    let rows: Vec<Vec<Cell>> = numbered
        .map(|(n, (collection, artifact))| vec![Cell::Id(*collection), Cell::Id(*artifact), Cell::Int(n as i64)])
        .collect();
    let now = write.now();
    let mut sql = write.sql();
    sql.push(
        "insert into collection_artifacts (collection_id, artifact_id, artifact_type, artifact_name, sort_key, status, \
         note, added_at) select r.collection_id, a.id, a.type, a.name, coalesce((select max(m.sort_key) from \
         collection_artifacts m where m.collection_id = r.collection_id), ",
    );
    sql.int(-STEP).push(") + ").int(STEP);
    sql.push(" * row_number() over (partition by r.collection_id order by r.n), ").bind(Arg::Text(status)).push(", ");
    sql.bind(Arg::Text(note)).push(", ").bind(Arg::Time(now)).push(" from ").row_table(COLUMNS, &rows);
    sql.push(" r join ");
    // Without accounts there are no others.
    if write.viewer().user.is_some() {
        let artifacts: Vec<Uuid> = members.iter().map(|(_, artifact)| *artifact).collect();
        sql.push("collections c on c.id = r.collection_id join ");
        let which = |sql: &mut Sql| {
            sql.in_ids(&artifacts);
        };
        held_artifacts(which, &mut sql);
        sql.push(" on a.id = r.artifact_id where ").push(MAY_BE_HELD);
    } else {
        sql.push("artifacts a on a.id = r.artifact_id where true");
    }
    sql.push(
        " and not exists (select 1 from collection_artifacts m \
         where m.collection_id = r.collection_id and m.artifact_id = r.artifact_id) \
         on conflict do nothing returning collection_id, artifact_id",
    );
    write.fetch("collection_artifacts.insert", sql).await
}

/// Counts a change of what collections hold, and tells of it. One statement.
async fn changed(write: &mut Write<'_>, kind: ChangeKind, members: &[(Uuid, Uuid)]) -> Result<()> {
    let mut collections: BTreeMap<Uuid, Vec<Uuid>> = BTreeMap::new();
    for (collection, artifact) in members {
        collections.entry(*collection).or_default().push(*artifact);
    }
    touch(write, &collections.keys().copied().collect::<Vec<_>>()).await?;
    for (collection, artifacts) in collections {
        write.announce(&Change { artifacts, ..Change::of(kind, PREFIX, collection) });
    }
    Ok(())
}

/// Counts a change of collections.
async fn touch(write: &mut Write<'_>, ids: &[Uuid]) -> Result<()> {
    let now = write.now();
    let mut sql = write.sql();
    sql.push("update collections set revision = revision + 1, updated_at = ").bind(Arg::Time(now));
    sql.push(" where id").in_ids(ids);
    write.execute("collections.touch", sql).await?;
    Ok(())
}

/// Locks the collections that hold one of the artifacts, as far as whoever writes may change these, and returns which
/// holds which. Two statements.
///
/// # Errors
/// Those of the statements.
pub async fn holding(write: &mut Write<'_>, artifacts: &[Uuid]) -> Result<Vec<(Uuid, Uuid)>> {
    lock_holders(write, artifacts).await?;
    let mut sql = write.sql();
    sql.push("select m.collection_id, m.artifact_id from collection_artifacts m where m.artifact_id");
    sql.in_ids(artifacts);
    policy::memberships_of_own_artifacts().append(&mut sql);
    write.fetch("collection_artifacts.of_artifacts", sql).await
}

/// Locks the collections that hold one of the artifacts, as far as whoever writes may change these: before the artifacts,
/// as all who lock both do. One statement.
///
/// # Errors
/// That of the statement.
pub async fn lock_holders(write: &mut Write<'_>, artifacts: &[Uuid]) -> Result<()> {
    let mut sql = write.sql();
    sql.push("select c.id from collections c where c.id in (select m.collection_id from collection_artifacts m where m.artifact_id");
    sql.in_ids(artifacts);
    policy::memberships_of_own_artifacts().append(&mut sql);
    sql.push(") order by c.id").either("", " for update");
    write.fetch::<Uuid>("collections.lock", sql).await?;
    Ok(())
}

/// Counts and tells that collections have lost artifacts that were deleted. One statement.
///
/// # Errors
/// That of the statement.
pub async fn have_lost(write: &mut Write<'_>, held: Vec<(Uuid, Uuid)>, deleted: &[Uuid]) -> Result<()> {
    let deleted: HashSet<&Uuid> = deleted.iter().collect();
    let lost: Vec<_> = held.into_iter().filter(|(_, artifact)| deleted.contains(artifact)).collect();
    changed(write, ChangeKind::ArtifactsRemoved, &lost).await
}

/// Takes those of the artifacts that are public no longer out of the collections of other accounts, and tells of it. Two
/// statements.
///
/// # Errors
/// Those of the statements.
pub async fn withdraw(write: &mut Write<'_>, artifacts: &[Uuid]) -> Result<()> {
    let mut sql = write.sql();
    write_withdrawal(artifacts, &mut sql);
    let withdrawn = write.fetch("collection_artifacts.withdraw", sql).await?;
    changed(write, ChangeKind::ArtifactsRemoved, &withdrawn).await
}

/// Writes the statement that takes artifacts out of collections which may not hold them.
pub fn write_withdrawal(artifacts: &[Uuid], sql: &mut Sql) {
    sql.push("delete from collection_artifacts where artifact_id").in_ids(artifacts);
    sql.push(" and exists (select 1 from artifacts a join collections c on c.id = collection_artifacts.collection_id ");
    sql.push("where a.id = collection_artifacts.artifact_id and not ").push(MAY_BE_HELD);
    sql.push(") returning collection_id, artifact_id");
}

async fn create(write: &mut Write<'_>, input: &CreateCollectionInput) -> Result<CollectionPayload> {
    let name = rules::name(&input.name, NAME_MAX).map_err(refused("name"))?;
    let artifacts = input::ids(artifact::PREFIX, "artifactIds", input.artifact_ids.as_deref().unwrap_or_default())?;
    let id = Uuid::now_v7();
    let values = [
        Cell::Text(name),
        input::text("description", &input.description)?,
        input::text("kind", &input.kind)?,
        input::color("color", &input.color)?,
        Cell::Text(input.visibility.unwrap_or(Visibility::Private).as_str().to_owned()),
    ];
    insert(write, id, values).await?;
    let members: Vec<_> = artifacts.iter().map(|artifact| (id, *artifact)).collect();
    let added = append(write, &members, None, None).await?;
    let added: HashSet<Uuid> = added.into_iter().map(|(_, artifact)| artifact).collect();
    if let Some(place) = artifacts.iter().position(|artifact| !added.contains(artifact)) {
        let is_there = lock_and_know(write, id, &artifacts[place..=place]).await?.contains_key(&artifacts[place]);
        let missing = || Error::new(Code::NotFound, "there is no artifact with this id").at_index("artifactIds", place);
        return Err(if is_there { may_not_be_held(place) } else { missing() });
    }
    write.announce(&Change::of(ChangeKind::Created, PREFIX, id));
    Ok(CollectionPayload(id))
}

/// Inserts a collection, which belongs to whoever writes: name, description, kind, colour, visibility.
///
/// # Errors
/// `CONFLICT` where another one has the name.
pub(super) async fn insert(write: &mut Write<'_>, id: Uuid, values: [Cell; 5]) -> Result<()> {
    let now = write.now();
    let mut sql = write.sql();
    sql.push(
        "insert into collections (id, owner_id, name, description, kind, color, visibility, created_at, updated_at) values (",
    );
    sql.bind(Arg::Id(id)).push(", ").bind(Arg::OptionalId(write.viewer().user));
    for value in values {
        sql.push(", ").bind(value.into());
    }
    sql.push(", ").bind(Arg::Time(now)).push(", ").bind(Arg::Time(now)).push(")");
    write.execute("collections.insert", sql).await?;
    Ok(())
}

/// Locks a collection, which whoever writes may change and expects to have this revision. Returns who hears of its end.
async fn lock_revision(write: &mut Write<'_>, id: Uuid, expected: Option<i64>) -> Result<Audience> {
    let mut sql = write.sql();
    sql.push("select ");
    policy::write_may_change("c.owner_id", &mut sql);
    sql.push(", c.revision, c.owner_id, c.visibility from collections c where c.id = ").bind(Arg::Id(id));
    policy::collections(Access::ById).append(&mut sql);
    sql.either("", " for update");
    let found = write.fetch_with("collections.lock", sql, |row| {
        let (may_change, revision): (i64, i64) = (row.next()?, row.next()?);
        Ok((may_change == 1, revision, Audience::read(row)?))
    });
    let found = found.await?.into_iter().next();
    input::may_change("collection", "id", found.as_ref().map(|(may_change, ..)| *may_change))?;
    let (_, revision, audience) = found.ok_or_else(|| input::not_found("collection", "id"))?;
    input::expect_revision(expected, revision)?;
    Ok(audience)
}

async fn update(write: &mut Write<'_>, input: &UpdateCollectionInput) -> Result<CollectionPayload> {
    let id = input::id(PREFIX, "id", &input.id)?;
    let name = input::name("name", &input.name, NAME_MAX)?;
    let mut values: Vec<(&'static str, Cell)> = name.map(|name| (", name = ", Cell::Text(name))).into_iter().collect();
    if !input.description.is_undefined() {
        values.push((", description = ", input::text("description", &input.description)?));
    }
    if !input.kind.is_undefined() {
        values.push((", kind = ", input::text("kind", &input.kind)?));
    }
    if !input.color.is_undefined() {
        values.push((", color = ", input::color("color", &input.color)?));
    }
    if let Some(visibility) = input.visibility {
        values.push((", visibility = ", Cell::Text(visibility.as_str().to_owned())));
    }
    lock_revision(write, id, input.expected_revision).await?;
    let now = write.now();
    let mut sql = write.sql();
    sql.push("update collections set revision = revision + 1, updated_at = ").bind(Arg::Time(now));
    for (column, value) in values {
        sql.push(column).bind(value.into());
    }
    sql.push(" where id = ").bind(Arg::Id(id));
    write.execute("collections.update", sql).await?;
    write.announce(&Change::of(ChangeKind::Updated, PREFIX, id));
    Ok(CollectionPayload(id))
}

async fn delete(write: &mut Write<'_>, input: &DeleteInput) -> Result<DeletePayload> {
    let id = input::id(PREFIX, "id", &input.id)?;
    let audience = lock_revision(write, id, input.expected_revision).await?;
    let mut sql = write.sql();
    sql.push("delete from collections where id = ").bind(Arg::Id(id));
    write.execute("collections.delete", sql).await?;
    write.announce(&Change::deleted(PREFIX, id, audience));
    Ok(DeletePayload::new(PREFIX, id))
}

async fn add(write: &mut Write<'_>, input: &AddArtifactsToCollectionInput) -> Result<MembershipPayload> {
    let collection = input::id(PREFIX, "collectionId", &input.collection_id)?;
    let artifacts = input::ids(artifact::PREFIX, "artifactIds", &input.artifact_ids)?;
    for (field, text) in [("status", &input.status), ("note", &input.note)] {
        rules::text(text.as_deref()).map_err(refused(field))?;
    }
    let known = lock_and_know(write, collection, &artifacts).await?;
    if let Some(place) = artifacts.iter().position(|id| known.get(id) == Some(&false)) {
        return Err(may_not_be_held(place));
    }
    let members: Vec<_> =
        artifacts.iter().filter(|id| known.contains_key(id)).map(|artifact| (collection, *artifact)).collect();
    let added = append(write, &members, input.status.clone(), input.note.clone()).await?;
    changed(write, ChangeKind::ArtifactsAdded, &added).await?;
    let added: HashSet<Uuid> = added.into_iter().map(|(_, artifact)| artifact).collect();
    Ok(MembershipPayload::new(collection, artifacts, &added, &known))
}

async fn remove(write: &mut Write<'_>, input: &CollectionArtifactsInput) -> Result<MembershipPayload> {
    let collection = input::id(PREFIX, "collectionId", &input.collection_id)?;
    let artifacts = input::ids(artifact::PREFIX, "artifactIds", &input.artifact_ids)?;
    let known = lock_and_know(write, collection, &artifacts).await?;
    let removed = take_out(write, collection, &artifacts).await?;
    let members: Vec<_> = removed.iter().map(|artifact| (collection, *artifact)).collect();
    changed(write, ChangeKind::ArtifactsRemoved, &members).await?;
    Ok(MembershipPayload::new(collection, artifacts, &removed, &known))
}

/// Takes artifacts out of a collection, and returns those that were in it.
async fn take_out(write: &mut Write<'_>, collection: Uuid, artifacts: &[Uuid]) -> Result<HashSet<Uuid>> {
    let mut sql = write.sql();
    sql.push("delete from collection_artifacts where collection_id = ").bind(Arg::Id(collection));
    sql.push(" and artifact_id").in_ids(artifacts).push(" returning artifact_id");
    Ok(write.fetch::<Uuid>("collection_artifacts.delete", sql).await?.into_iter().collect())
}

async fn transfer(write: &mut Write<'_>, input: &TransferArtifactsInput) -> Result<TransferPayload> {
    let from = input::id(PREFIX, "fromCollectionId", &input.from_collection_id)?;
    let to = input::id(PREFIX, "toCollectionId", &input.to_collection_id)?;
    let artifacts = input::ids(artifact::PREFIX, "artifactIds", &input.artifact_ids)?;
    if from == to {
        return Err(Error::bad_user_input("both collections are the same").in_field("toCollectionId"));
    }
    let locked = lock(write, vec![from, to]).await?;
    for (id, field) in [(from, "fromCollectionId"), (to, "toCollectionId")] {
        locked.may_change(&id, field)?;
    }
    let now = write.now();
    let came = copy_members(write, (from, to), Members::These(&artifacts), now).await?;
    let left = take_out(write, from, &artifacts).await?;
    keeps_all(write, to, &artifacts, &left).await?;
    let of = |collection: Uuid, ids: Vec<Uuid>| ids.into_iter().map(|id| (collection, id)).collect::<Vec<_>>();
    changed(
        write,
        ChangeKind::ArtifactsRemoved,
        &of(from, artifacts.iter().filter(|id| left.contains(id)).copied().collect()),
    )
    .await?;
    changed(write, ChangeKind::ArtifactsAdded, &of(to, came)).await?;
    let (moved, not_found) = artifacts.into_iter().partition(|id| left.contains(id));
    Ok(TransferPayload { from, to, moved, not_found })
}

/// Refuses to move artifacts that the collection may not hold: between two of one owner there are none.
async fn keeps_all(write: &mut Write<'_>, to: Uuid, asked: &[Uuid], left: &HashSet<Uuid>) -> Result<()> {
    if !write.viewer().is_admin() || write.viewer().user.is_none() {
        return Ok(());
    }
    let mut sql = write.sql();
    sql.push("select m.artifact_id from collection_artifacts m where m.collection_id = ").bind(Arg::Id(to));
    sql.push(" and m.artifact_id").in_ids(asked);
    let held: HashSet<Uuid> = write.fetch::<Uuid>("collection_artifacts.known", sql).await?.into_iter().collect();
    let lost = asked.iter().position(|id| left.contains(id) && !held.contains(id));
    lost.map_or(Ok(()), |place| Err(may_not_be_held(place)))
}

/// Which members of a collection.
#[derive(Clone, Copy, Debug)]
pub(super) enum Members<'m> {
    All,
    These(&'m [Uuid]),
    OfGroup(Uuid),
}

impl Members<'_> {
    /// Writes the condition on the membership under the alias `m`, after ` and `.
    fn write(self, sql: &mut Sql) {
        match self {
            Self::All => {}
            Self::These(artifacts) => {
                sql.push(" and m.artifact_id").in_ids(artifacts);
            }
            Self::OfGroup(group) => {
                sql.push(" and m.artifact_id in (select g.artifact_id from group_artifacts g where g.group_id = ");
                sql.bind(Arg::Id(group)).push(")");
            }
        }
    }
}

/// Copies members from one collection to the end of another, with notes, states and order. Returns
/// those that the other did not hold.
///
/// # Errors
/// That of the statement.
pub(super) async fn copy_members(
    write: &mut Write<'_>,
    (from, to): (Uuid, Uuid),
    members: Members<'_>,
    now: Time,
) -> Result<Vec<Uuid>> {
    let mut sql = write.sql();
    sql.push(
        "insert into collection_artifacts (collection_id, artifact_id, artifact_type, artifact_name, sort_key, status, \
         note, added_at) select ",
    );
    sql.bind(Arg::Id(to)).push(", m.artifact_id, m.artifact_type, m.artifact_name, coalesce((select max(o.sort_key) from collection_artifacts o where o.collection_id = ");
    sql.bind(Arg::Id(to)).push("), ").int(-STEP).push(") + ").int(STEP);
    sql.push(" * row_number() over (order by m.sort_key, m.artifact_id), m.status, m.note, ").bind(Arg::Time(now));
    sql.push(" from collection_artifacts m");
    if write.viewer().user.is_some() {
        let which = |sql: &mut Sql| {
            sql.push(" in (select m.artifact_id from collection_artifacts m where m.collection_id = ");
            sql.bind(Arg::Id(from));
            members.write(sql);
            sql.push(")");
        };
        sql.push(" join ");
        held_artifacts(which, &mut sql);
        sql.push(" on a.id = m.artifact_id join collections c on c.id = ").bind(Arg::Id(to));
        sql.push(" and ").push(MAY_BE_HELD);
    }
    sql.push(" where m.collection_id = ").bind(Arg::Id(from));
    members.write(&mut sql);
    sql.push(" and not exists (select 1 from collection_artifacts o where o.artifact_id = m.artifact_id and o.collection_id = ");
    sql.bind(Arg::Id(to)).push(") on conflict do nothing returning artifact_id");
    write.fetch("collection_artifacts.copy", sql).await
}

/// Adds the artifacts of a group to another collection, which is locked: those that it does not hold, with the notes and
/// states that they have in the group's own. Two statements.
///
/// # Errors
/// Those of the statements.
pub async fn take_over(write: &mut Write<'_>, (from, to): (Uuid, Uuid), group: Uuid) -> Result<()> {
    let now = write.now();
    let came = copy_members(write, (from, to), Members::OfGroup(group), now).await?;
    let came: Vec<_> = came.into_iter().map(|artifact| (to, artifact)).collect();
    changed(write, ChangeKind::ArtifactsAdded, &came).await
}

async fn update_member(write: &mut Write<'_>, input: &UpdateCollectionArtifactInput) -> Result<CollectionPayload> {
    let collection = input::id(PREFIX, "collectionId", &input.collection_id)?;
    let artifact = input::id(artifact::PREFIX, "artifactId", &input.artifact_id)?;
    let mut values = Vec::new();
    if !input.status.is_undefined() {
        values.push((", status = ", input::text("status", &input.status)?));
    }
    if !input.note.is_undefined() {
        values.push((", note = ", input::text("note", &input.note)?));
    }
    lock_one(write, collection, "collectionId").await?;
    let mut sql = write.sql();
    sql.push("update collection_artifacts set revision = revision + 1");
    for (column, value) in values {
        sql.push(column).bind(value.into());
    }
    sql.push(" where collection_id = ").bind(Arg::Id(collection)).push(" and artifact_id = ").bind(Arg::Id(artifact));
    if write.execute("collection_artifacts.update", sql).await? == 0 {
        let message = "the collection does not hold an artifact with this id";
        return Err(Error::new(Code::NotFound, message).in_field("artifactId"));
    }
    changed(write, ChangeKind::ArtifactsMoved, &[(collection, artifact)]).await?;
    Ok(CollectionPayload(collection))
}

async fn put(write: &mut Write<'_>, input: &MoveCollectionArtifactsInput) -> Result<CollectionPayload> {
    let collection = input::id(PREFIX, "collectionId", &input.collection_id)?;
    let artifacts = input::ids(artifact::PREFIX, "artifactIds", &input.artifact_ids)?;
    let after = input.after_artifact_id.as_ref();
    let after = after.map(|id| input::id(artifact::PREFIX, "afterArtifactId", id)).transpose()?;
    lock_one(write, collection, "collectionId").await?;
    order::MEMBERS.put(write, collection, &artifacts, after).await?;
    let members: Vec<_> = artifacts.iter().map(|artifact| (collection, *artifact)).collect();
    changed(write, ChangeKind::ArtifactsMoved, &members).await?;
    Ok(CollectionPayload(collection))
}

/// The collection that was written.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct CollectionPayload(pub Uuid);

impl Object for CollectionPayload {
    fn name() -> String {
        "CollectionPayload".to_owned()
    }

    fn declare(fields: &mut Fields<'_, '_, Self>) {
        fields! { fields;
            /// The collection that was written.
            type;
            /// The collection as it is now.
            collection => load::<NoArguments, _, _>(|payload| payload.0, |_, _, _| Ok(CollectionById), required);
        }
    }
}

/// What became of each artifact that was to be added or taken out.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct MembershipPayload {
    collection: Uuid,
    changed: Vec<Uuid>,
    unchanged: Vec<Uuid>,
    not_found: Vec<Uuid>,
}

impl MembershipPayload {
    fn new(collection: Uuid, asked: Vec<Uuid>, changed: &HashSet<Uuid>, known: &HashMap<Uuid, bool>) -> Self {
        let (known, not_found): (Vec<_>, Vec<_>) = asked.into_iter().partition(|id| known.contains_key(id));
        let (changed, unchanged) = known.into_iter().partition(|id| changed.contains(id));
        Self { collection, changed, unchanged, not_found }
    }
}

impl Object for MembershipPayload {
    fn name() -> String {
        "MembershipPayload".to_owned()
    }

    fn declare(fields: &mut Fields<'_, '_, Self>) {
        fields! { fields;
            /// What became of each artifact id asked for.
            type;
            /// The collection as it is now.
            collection => load::<NoArguments, _, _>(|payload| payload.collection, |_, _, _| Ok(CollectionById), required);
            /// Those that came in, or left.
            changedIds => compute::<NoArguments, _>(|payload, _, _| Ok(artifact_ids(&payload.changed)));
            /// Those that were in it already, or not in it.
            unchangedIds => compute::<NoArguments, _>(|payload, _, _| Ok(artifact_ids(&payload.unchanged)));
            /// Those that there are none of.
            notFoundIds => compute::<NoArguments, _>(|payload, _, _| Ok(artifact_ids(&payload.not_found)));
        }
    }
}

/// Ids of artifacts as clients see them.
pub(super) fn artifact_ids(ids: &[Uuid]) -> Vec<GlobalId> {
    ids.iter().map(|id| GlobalId { prefix: artifact::PREFIX, id: *id }).collect()
}

/// What became of artifacts that were to be moved to another collection.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct TransferPayload {
    from: Uuid,
    to: Uuid,
    moved: Vec<Uuid>,
    not_found: Vec<Uuid>,
}

impl Object for TransferPayload {
    fn name() -> String {
        "TransferPayload".to_owned()
    }

    fn declare(fields: &mut Fields<'_, '_, Self>) {
        fields! { fields;
            /// What became of artifacts that were to be moved to another collection.
            type;
            /// The collection that they left, as it is now.
            from => load::<NoArguments, _, _>(|payload| payload.from, |_, _, _| Ok(CollectionById), required);
            /// The collection that they came to, as it is now.
            to => load::<NoArguments, _, _>(|payload| payload.to, |_, _, _| Ok(CollectionById), required);
            /// Those that were moved.
            movedIds => compute::<NoArguments, _>(|payload, _, _| Ok(artifact_ids(&payload.moved)));
            /// Those that the first collection did not hold.
            notFoundIds => compute::<NoArguments, _>(|payload, _, _| Ok(artifact_ids(&payload.not_found)));
        }
    }
}
