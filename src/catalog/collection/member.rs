//! Memberships: which artifacts a collection contains. Callers lock the collections first.
use std::collections::{BTreeMap, HashSet};

use uuid::Uuid;

use super::{PREFIX, lock::lock_containing_collections};
use crate::{
    append,
    catalog::{
        change::{Change, ChangeKind},
        input,
        order::STEP,
        policy,
    },
    db::{Fragment, RowTable, Sql, either, in_ids, text, with},
    error::{Error, Result},
    graphql::Write,
    row_table, statement,
};

/// The condition that the collection `c` can contain the artifact `a`. Everyone who can see a collection also sees its
/// artifacts, so another account's collection can only contain public ones.
pub const MAY_CONTAIN: &str = "(a.visibility = 'PUBLIC' or a.owner_id is not distinct from c.owner_id)";

pub(super) const NOT_PUBLIC: &str = "only public artifacts can be added to another account's collection";

/// The error for the artifact at an index of the input.
pub(super) fn cannot_contain(index: usize) -> Error {
    input::forbidden(NOT_PUBLIC).at_index("artifactIds", index)
}

/// The artifacts with the ids that `which` limits, as a table with the alias `a`. On PostgreSQL they are locked, so that no
/// other transaction makes one of them private before the commit.
fn shared_artifacts(which: Fragment<'_>, sql: &mut Sql) {
    append!(
        sql,
        "(select a.id, a.type, a.name, a.visibility, a.owner_id
          from artifacts a
          where a.id {which} {lock} {exempt: the caller joins only artifacts that its collections can contain}) a",
        which,
        lock = either("", "for share"),
    );
}

/// Adds artifacts at the ends of collections, and announces it. Two statements.
///
/// # Errors
/// A statement fails.
pub async fn add_members(write: &mut Write<'_>, members: &[(Uuid, Uuid)]) -> Result<()> {
    let added = append(write, members, None, None).await?;
    record_change(write, ChangeKind::ArtifactsAdded, &added).await
}

row_table! {
    struct NewMember { collection_id: Uuid, artifact_id: Uuid, n: i64 }
}

/// Adds artifacts at the ends of collections. Returns those that the collections did not contain and can contain.
pub(super) async fn append(
    write: &mut Write<'_>,
    members: &[(Uuid, Uuid)],
    status: Option<String>,
    note: Option<String>,
) -> Result<Vec<(Uuid, Uuid)>> {
    let numbered = members.iter().enumerate();
    let rows = RowTable::of(numbered.map(|(n, (collection_id, artifact_id))| NewMember {
        collection_id: *collection_id,
        artifact_id: *artifact_id,
        n: n as i64,
    }));
    let ids: Vec<Uuid> = members.iter().map(|(_, artifact)| *artifact).collect();
    // Without accounts, every collection can contain every artifact.
    let has_accounts = write.viewer().user.is_some();
    let sql = statement!(
        write,
        "insert into collection_artifacts
           (collection_id, artifact_id, artifact_type, artifact_name, sort_key, status, note, added_at)
         select r.collection_id, a.id, a.type, a.name,
           coalesce((select max(m.sort_key) from collection_artifacts m where m.collection_id = r.collection_id),
             {before_first}) + {step} * row_number() over (partition by r.collection_id order by r.n),
           {status}, {note}, {now}
         from {rows} r
         {join_artifacts}
           and not exists (select 1 from collection_artifacts m
             where m.collection_id = r.collection_id and m.artifact_id = r.artifact_id)
         on conflict do nothing
         returning collection_id, artifact_id
         {exempt: adds only artifacts that the collection can contain, and returns no other}",
        before_first = -STEP,
        step = STEP,
        status,
        note,
        now = write.now(),
        rows = &rows,
        join_artifacts = with(&|sql| match has_accounts {
            true => join_shared_artifacts(&ids, sql),
            false => {
                append!(sql, "join artifacts a on a.id = r.artifact_id where true {exempt: there are no accounts}");
            }
        }),
    );
    write.fetch("collection_artifacts.insert", sql).await
}

fn join_shared_artifacts(ids: &[Uuid], sql: &mut Sql) {
    append!(
        sql,
        "join collections c on c.id = r.collection_id
         join {artifacts} on a.id = r.artifact_id
         where {may_contain} {exempt: the collections are locked}",
        artifacts = with(&|sql| shared_artifacts(in_ids(ids), sql)),
        may_contain = text(MAY_CONTAIN),
    );
}

/// Removes artifacts from a collection. Returns those that it contained.
pub(super) async fn remove_members(
    write: &mut Write<'_>,
    collection: Uuid,
    artifacts: &[Uuid],
) -> Result<HashSet<Uuid>> {
    let sql = statement!(
        write,
        "delete from collection_artifacts
         where collection_id = {collection} and artifact_id {artifacts} {exempt: the collection is locked}
         returning artifact_id",
        collection,
        artifacts = in_ids(artifacts),
    );
    Ok(write.fetch::<Uuid>("collection_artifacts.delete", sql).await?.into_iter().collect())
}

/// Increments the revisions of the collections whose members changed, and announces it. One statement.
pub(super) async fn record_change(write: &mut Write<'_>, kind: ChangeKind, members: &[(Uuid, Uuid)]) -> Result<()> {
    let mut collections: BTreeMap<Uuid, Vec<Uuid>> = BTreeMap::new();
    for (collection, artifact) in members {
        collections.entry(*collection).or_default().push(*artifact);
    }
    let ids: Vec<Uuid> = collections.keys().copied().collect();
    let sql = statement!(
        write,
        "update collections
         set revision = revision + 1, updated_at = {now}
         where id {ids} {exempt: the collections are locked}",
        now = write.now(),
        ids = in_ids(&ids),
    );
    write.execute("collections.touch", sql).await?;
    for (collection, artifacts) in collections {
        write.announce(&Change { artifacts, ..Change::of(kind, PREFIX, collection) });
    }
    Ok(())
}

/// The collections that contain artifacts which the viewer may change, locked; each with the artifact. Two statements.
///
/// # Errors
/// A statement fails.
pub async fn memberships_of(write: &mut Write<'_>, artifacts: &[Uuid]) -> Result<Vec<(Uuid, Uuid)>> {
    lock_containing_collections(write, artifacts).await?;
    let sql = statement!(
        write,
        "select m.collection_id, m.artifact_id
         from collection_artifacts m
         where m.artifact_id {artifacts} {m_own}",
        artifacts = in_ids(artifacts),
        m_own = policy::memberships_of_own_artifacts(),
    );
    write.fetch("collection_artifacts.of_artifacts", sql).await
}

/// Records the removal of deleted artifacts from the collections that contained them. One statement.
///
/// # Errors
/// The statement fails.
pub async fn record_removals(write: &mut Write<'_>, memberships: Vec<(Uuid, Uuid)>, deleted: &[Uuid]) -> Result<()> {
    let deleted: HashSet<&Uuid> = deleted.iter().collect();
    let removed: Vec<_> = memberships.into_iter().filter(|(_, artifact)| deleted.contains(artifact)).collect();
    record_change(write, ChangeKind::ArtifactsRemoved, &removed).await
}

/// Removes artifacts that are not public any more from the collections of other accounts, and announces it. Two statements.
///
/// # Errors
/// A statement fails.
pub async fn remove_from_foreign_collections(write: &mut Write<'_>, artifacts: &[Uuid]) -> Result<()> {
    let mut sql = write.sql();
    append_removal_from_foreign_collections(artifacts, &mut sql);
    let removed = write.fetch("collection_artifacts.remove_foreign", sql).await?;
    record_change(write, ChangeKind::ArtifactsRemoved, &removed).await
}

/// Appends the statement that removes artifacts from collections which cannot contain them.
pub fn append_removal_from_foreign_collections(artifacts: &[Uuid], sql: &mut Sql) {
    append!(
        sql,
        "delete from collection_artifacts
         where artifact_id {artifacts}
           and exists (
             select 1 from artifacts a join collections c on c.id = collection_artifacts.collection_id
             where a.id = collection_artifacts.artifact_id and not {may_contain}
           )
         returning collection_id, artifact_id {exempt: the caller has changed these artifacts}",
        artifacts = in_ids(artifacts),
        may_contain = text(MAY_CONTAIN),
    );
}

/// Members of a collection to copy.
#[derive(Clone, Copy, Debug)]
pub(super) enum Members<'m> {
    All,
    Artifacts(&'m [Uuid]),
    OfGroup(Uuid),
}

impl Members<'_> {
    /// Appends the condition on the membership under the alias `m`, after ` and `.
    fn append(self, sql: &mut Sql) {
        match self {
            Self::All => {}
            Self::Artifacts(artifacts) => {
                append!(sql, " and m.artifact_id {artifacts}", artifacts = in_ids(artifacts));
            }
            Self::OfGroup(group) => {
                append!(
                    sql,
                    " and m.artifact_id in (select g.artifact_id from group_artifacts g where g.group_id = {group}
                        {exempt: the group is visible with its collection})",
                    group
                );
            }
        }
    }
}

/// Copies members of one collection to the end of another, with notes, states and order. Returns the artifacts that the
/// other did not contain and can contain.
///
/// # Errors
/// The statement fails.
pub(super) async fn copy_members(
    write: &mut Write<'_>,
    (from, to): (Uuid, Uuid),
    members: Members<'_>,
) -> Result<Vec<Uuid>> {
    let has_accounts = write.viewer().user.is_some();
    let sql = statement!(
        write,
        "insert into collection_artifacts
           (collection_id, artifact_id, artifact_type, artifact_name, sort_key, status, note, added_at)
         select {to}, m.artifact_id, m.artifact_type, m.artifact_name,
           coalesce((select max(o.sort_key) from collection_artifacts o where o.collection_id = {to}), {before_first})
             + {step} * row_number() over (order by m.sort_key, m.artifact_id),
           m.status, m.note, {now}
         from collection_artifacts m
         {join_artifacts}
         where m.collection_id = {from} {members}
           and not exists (select 1 from collection_artifacts o
             where o.artifact_id = m.artifact_id and o.collection_id = {to})
         on conflict do nothing
         returning artifact_id
         {exempt: the original is visible or locked, and the copy gets only artifacts that it can contain}",
        to,
        before_first = -STEP,
        step = STEP,
        now = write.now(),
        join_artifacts = with(&|sql| if has_accounts {
            join_copied_artifacts((from, to), members, sql)
        }),
        from,
        members = with(&|sql| members.append(sql)),
    );
    write.fetch("collection_artifacts.copy", sql).await
}

fn join_copied_artifacts((from, to): (Uuid, Uuid), members: Members<'_>, sql: &mut Sql) {
    let which = |sql: &mut Sql| {
        append!(
            sql,
            "in (select m.artifact_id from collection_artifacts m where m.collection_id = {from} {members}
                {exempt: the original is visible or locked})",
            from,
            members = with(&|sql| members.append(sql)),
        );
    };
    append!(
        sql,
        "join {artifacts} on a.id = m.artifact_id
         join collections c on c.id = {to} and {may_contain} {exempt: the collection is locked}",
        artifacts = with(&|sql| shared_artifacts(with(&which), sql)),
        to,
        may_contain = text(MAY_CONTAIN),
    );
}

/// Adds the artifacts of a group to the end of another collection, which is locked, with the notes and states that they
/// have in the group's own collection. Two statements.
///
/// # Errors
/// A statement fails.
pub async fn copy_group_members(write: &mut Write<'_>, (from, to): (Uuid, Uuid), group: Uuid) -> Result<()> {
    let added = copy_members(write, (from, to), Members::OfGroup(group)).await?;
    let added: Vec<_> = added.into_iter().map(|artifact| (to, artifact)).collect();
    record_change(write, ChangeKind::ArtifactsAdded, &added).await
}
