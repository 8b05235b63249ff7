//! What was shared, put into a collection of the recipient's.
use std::collections::HashMap;

use uuid::Uuid;

use super::{
    Target,
    share::{self, ImportShareInput},
};
use crate::{
    catalog::{
        artifact,
        change::{Change, ChangeKind},
        collection::{self, CollectionPayload, MAY_BE_HELD},
        input::{self, ITEMS_MAX},
    },
    db::{
        Arg, Cell,
        CellType::{self, Id},
    },
    error::{Code, Error, Result},
    graphql::Write,
};

/// An artifact that is shared: its copy where it must have one.
struct Shared {
    original: Uuid,
    copy: Option<Uuid>,
}

/// Imports a share. Nine statements.
///
/// # Errors
/// `NOT_FOUND` for a share that is not the viewer's or has ended, `FORBIDDEN` for another account's collection,
/// `LIMIT_EXCEEDED` for more than 1,000 artifacts.
pub(super) async fn import(write: &mut Write<'_>, input: &ImportShareInput) -> Result<CollectionPayload> {
    let share = input::id(share::PREFIX, "shareId", &input.share_id)?;
    let collection = input::id(collection::PREFIX, "collectionId", &input.collection_id)?;
    collection::lock_one(write, collection, "collectionId").await?;
    if share::touch(write, share, true).await? == 0 {
        return Err(input::not_found("share", "shareId"));
    }
    let mut sql = write.sql();
    sql.push("select s.artifact_id, s.collection_id from shares s where s.id = ").bind(Arg::Id(share));
    let target = write.fetch_with("shares.target", sql, Target::read).await?.into_iter().next();
    let target = target.ok_or_else(|| input::not_found("share", "shareId"))?;
    let artifacts = shared(write, target, collection).await?;
    let held = copy(write, collection, &artifacts).await?;
    let of = |shared: &Shared| match shared.copy {
        None => Some(shared.original),
        Some(_) => held.get(&shared.original).copied(),
    };
    let members: Vec<_> = artifacts.iter().filter_map(|shared| Some((collection, of(shared)?))).collect();
    collection::add_members(write, &members).await?;
    Ok(CollectionPayload(collection))
}

/// The artifacts that are shared, in their order.
async fn shared(write: &mut Write<'_>, target: Target, collection: Uuid) -> Result<Vec<Shared>> {
    let mut sql = write.sql();
    sql.push("select a.id, cast(case when ").push(MAY_BE_HELD).push(" then 1 else 0 end as bigint) from artifacts a ");
    sql.push("join collections c on c.id = ").bind(Arg::Id(collection));
    match target {
        Target::Artifact(id) => sql.push(" where a.id = ").bind(Arg::Id(id)),
        Target::Collection(id) => sql
            .push(" join collection_artifacts m on m.artifact_id = a.id and m.collection_id = ")
            .bind(Arg::Id(id))
            .push(" order by m.sort_key, m.artifact_id"),
    };
    sql.limit(ITEMS_MAX as i64 + 1);
    let found = write.fetch::<(Uuid, i64)>("shares.artifacts", sql).await?;
    if found.len() > ITEMS_MAX {
        let message = format!("the collection holds more than {ITEMS_MAX} artifacts: too many to import");
        return Err(Error::new(Code::LimitExceeded, message).in_field("shareId"));
    }
    let shared =
        |(original, may_be_held): (Uuid, i64)| Shared { original, copy: (may_be_held == 0).then(Uuid::now_v7) };
    Ok(found.into_iter().map(shared).collect())
}

/// Copies those that need it, with their tags, and returns the viewer's artifact for each original. Three statements.
///
/// # Errors
/// `CONFLICT` where the viewer has an artifact of this type and name that would be seen by more people than before.
async fn copy(write: &mut Write<'_>, collection: Uuid, artifacts: &[Shared]) -> Result<HashMap<Uuid, Uuid>> {
    const COLUMNS: &[(&str, CellType)] = &[("original", Id), ("copy", Id)];
    let rows: Vec<Vec<Cell>> =
        artifacts.iter().filter_map(|shared| Some(vec![Cell::Id(shared.original), Cell::Id(shared.copy?)])).collect();
    let (now, owner) = (write.now(), write.viewer().user);
    let mut sql = write.sql();
    sql.push(
        "insert into artifacts (id, owner_id, type, name, description, source, author, license, version, visibility, \
         metadata, content, created_at, updated_at) select r.copy, ",
    );
    sql.bind(Arg::OptionalId(owner))
        .push(", a.type, a.name, a.description, a.source, a.author, a.license, a.version, ");
    sql.push("'PRIVATE', a.metadata, a.content, ").bind(Arg::Time(now)).push(", ").bind(Arg::Time(now)).push(" from ");
    sql.row_table(COLUMNS, &rows).push(" r join artifacts a on a.id = r.original where true on conflict do nothing ");
    sql.push("returning id");
    let made = write.fetch::<Uuid>("artifacts.copy", sql).await?;
    let mut sql = write.sql();
    sql.push(
        "insert into artifact_tags (artifact_id, tag_id, artifact_created_at, created_at) select a.id, l.tag_id, ",
    );
    sql.push("a.created_at, ").bind(Arg::Time(now)).push(" from ").row_table(COLUMNS, &rows);
    sql.push(" r join artifacts a on a.id = r.copy join artifact_tags l on l.artifact_id = r.original where true");
    sql.push(" on conflict do nothing");
    write.execute("artifact_tags.copy", sql).await?;
    for id in &made {
        write.announce(&Change::of(ChangeKind::Created, artifact::PREFIX, *id));
    }
    let mut sql = write.sql();
    sql.push("select r.original, o.id, cast(case when c.visibility <> 'PRIVATE' and o.visibility <> 'PUBLIC' and not ");
    sql.push("exists (select 1 from collection_artifacts m where m.collection_id = c.id and m.artifact_id = o.id) ");
    sql.push("then 1 else 0 end as bigint) from ").row_table(COLUMNS, &rows);
    sql.push(" r join artifacts a on a.id = r.original join artifacts o on o.type = a.type and o.name = a.name ");
    sql.push("and o.owner_id = ").bind(Arg::OptionalId(owner)).push(" join collections c on c.id = ");
    sql.bind(Arg::Id(collection));
    let found = write.fetch::<(Uuid, Uuid, i64)>("artifacts.copies", sql).await?;
    if found.iter().any(|(_, own, would_show)| *would_show == 1 && !made.contains(own)) {
        let message = "you have an artifact of the same type and name that is not public: importing would show it";
        return Err(Error::new(Code::Conflict, message).in_field("collectionId"));
    }
    Ok(found.into_iter().map(|(original, own, _)| (original, own)).collect())
}
