//! Importing a share: its artifacts are added to a collection of the recipient.
use std::collections::HashMap;

use uuid::Uuid;

use super::{
    Target,
    share::{self, ImportShareInput},
};
use crate::{
    append,
    catalog::{
        Visibility,
        artifact::{self, ArtifactValues},
        change::{Change, ChangeKind},
        collection::{self, CollectionPayload, MAY_CONTAIN},
        input::{self, ITEMS_MAX},
    },
    db::{RowTable, Sql, Table, limit, text, with},
    error::{Code, Error, Result},
    graphql::Write,
    row_table, statement,
};

/// A shared artifact, and the id of its copy if the collection cannot contain the original.
struct Shared {
    original: Uuid,
    copy: Option<Uuid>,
}

/// Imports a share. Nine statements.
///
/// # Errors
/// `NOT_FOUND` for a share that the viewer has not received or that has expired, `FORBIDDEN` for another account's
/// collection, `LIMIT_EXCEEDED` for more than 1,000 artifacts.
pub(super) async fn import(write: &mut Write<'_>, input: &ImportShareInput) -> Result<CollectionPayload> {
    let share = input::id(share::PREFIX, "shareId", &input.share_id)?;
    let collection = input::id(collection::PREFIX, "collectionId", &input.collection_id)?;
    collection::lock_one(write, collection, "collectionId").await?;
    if share::touch(write, share, true).await? == 0 {
        return Err(input::not_found("share", "shareId"));
    }
    let sql = statement!(
        write,
        "select s.artifact_id, s.collection_id from shares s where s.id = {share} {exempt: the viewer received it}",
        share,
    );
    let target = write.fetch_with("shares.target", sql, Target::read).await?.into_iter().next();
    let target = target.ok_or_else(|| input::not_found("share", "shareId"))?;
    let artifacts = shared_artifacts(write, target, collection).await?;
    let copies = copy(write, collection, &artifacts).await?;
    let member = |shared: &Shared| match shared.copy {
        None => Some(shared.original),
        Some(_) => copies.get(&shared.original).copied(),
    };
    let members: Vec<_> = artifacts.iter().filter_map(|shared| Some((collection, member(shared)?))).collect();
    collection::add_members(write, &members).await?;
    Ok(CollectionPayload(collection))
}

/// The shared artifacts, in order.
async fn shared_artifacts(write: &mut Write<'_>, target: Target, collection: Uuid) -> Result<Vec<Shared>> {
    let of_target = |sql: &mut Sql| {
        match target {
            Target::Artifact(id) => append!(sql, "where a.id = {id}", id),
            Target::Collection(id) => append!(
                sql,
                "join collection_artifacts m on m.artifact_id = a.id and m.collection_id = {id}
                 order by m.sort_key, m.artifact_id {exempt: the share was received}",
                id
            ),
        };
    };
    let sql = statement!(
        write,
        "select a.id, cast(case when {may_contain} then 1 else 0 end as bigint)
         from artifacts a
         join collections c on c.id = {collection} {exempt: the share was received, the collection is locked}
         {of_target}
         {limit}",
        may_contain = text(MAY_CONTAIN),
        collection,
        of_target = with(&of_target),
        limit = limit(ITEMS_MAX as i64 + 1),
    );
    let found = write.fetch::<(Uuid, i64)>("shares.artifacts", sql).await?;
    if found.len() > ITEMS_MAX {
        let message = format!("the collection contains more than {ITEMS_MAX} artifacts, which is too many to import");
        return Err(Error::new(Code::LimitExceeded, message).in_field("shareId"));
    }
    let shared =
        |(original, may_contain): (Uuid, i64)| Shared { original, copy: (may_contain == 0).then(Uuid::now_v7) };
    Ok(found.into_iter().map(shared).collect())
}

row_table! {
    struct Copied { original: Uuid, copy: Uuid }
}

/// Copies the artifacts that need it, with their tags, and returns the viewer's artifact of each original. Three statements.
///
/// # Errors
/// `CONFLICT` if the viewer has an artifact with this type and name that would be visible to more people than before.
async fn copy(write: &mut Write<'_>, collection: Uuid, artifacts: &[Shared]) -> Result<HashMap<Uuid, Uuid>> {
    let copied = artifacts.iter().filter_map(|shared| Some(Copied { original: shared.original, copy: shared.copy? }));
    let rows = RowTable::of(copied);
    let inserted = insert_copies(write, &rows).await?;
    for id in &inserted {
        write.announce(&Change::of(ChangeKind::Created, artifact::PREFIX, *id));
    }
    let sql = statement!(
        write,
        "select r.original, o.id, cast(case
           when c.visibility <> 'PRIVATE' and o.visibility <> 'PUBLIC' and not exists (
             select 1 from collection_artifacts m where m.collection_id = c.id and m.artifact_id = o.id
           ) then 1 else 0 end as bigint)
         from {rows} r
         join artifacts a on a.id = r.original
         join artifacts o on o.type = a.type and o.name = a.name and o.owner_id = {owner}
         join collections c on c.id = {collection} {exempt: the share was received, the collection is locked}",
        rows = &rows,
        owner = write.viewer().user,
        collection,
    );
    let found = write.fetch::<(Uuid, Uuid, i64)>("artifacts.copies", sql).await?;
    if found.iter().any(|(_, own, would_expose)| *would_expose == 1 && !inserted.contains(own)) {
        let message = "you have an artifact with this type and name that is not public; the import would expose it";
        return Err(Error::new(Code::Conflict, message).in_field("collectionId"));
    }
    Ok(found.into_iter().map(|(original, own, _)| (original, own)).collect())
}

/// Inserts private copies of artifacts with their tags, and returns the ids of those that were inserted: not of those whose
/// type and name an artifact of the viewer has.
async fn insert_copies(write: &mut Write<'_>, rows: &RowTable) -> Result<Vec<Uuid>> {
    let values = ArtifactValues { visibility: Some(Visibility::Private), ..ArtifactValues::default() };
    let sql = statement!(
        write,
        "insert into artifacts (id, {names}, owner_id, created_at, updated_at)
         select r.copy, {values}, {owner}, {now}, {now}
         from {rows} r join artifacts a on a.id = r.original
         where true {exempt: the share was received}
         on conflict do nothing
         returning id",
        names = ArtifactValues::column_names(),
        values = ArtifactValues::copied_from("a", &values),
        owner = write.viewer().user,
        now = write.now(),
        rows,
    );
    let inserted = write.fetch::<Uuid>("artifacts.copy", sql).await?;
    let sql = statement!(
        write,
        "insert into artifact_tags (artifact_id, tag_id, artifact_created_at, created_at)
         select a.id, l.tag_id, a.created_at, {now}
         from {rows} r
         join artifacts a on a.id = r.copy
         join artifact_tags l on l.artifact_id = r.original
         where true {exempt: the share was received}
         on conflict do nothing",
        now = write.now(),
        rows,
    );
    write.execute("artifact_tags.copy", sql).await?;
    Ok(inserted)
}
