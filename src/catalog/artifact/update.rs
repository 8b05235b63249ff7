//! Changing and deleting artifacts, one or many by the same statements.
use std::collections::{HashMap, HashSet};

use async_graphql::ID;
use uuid::Uuid;

use super::{ArtifactValues, PREFIX, input::UpdateArtifactInput};
use crate::{
    catalog::{
        Visibility,
        change::{Audience, Change, ChangeKind},
        collection,
        input::{self, Outcomes},
        policy::{self, Access},
    },
    db::{Record, RowTable, Table, either, in_ids},
    error::{Code, Error, Result},
    graphql::Write,
    row_table, statement,
};

/// Whether the values make an artifact anything but public.
fn hides(values: &ArtifactValues) -> bool {
    values.visibility.is_some_and(|visibility| visibility != Visibility::Public)
}

/// An artifact as it is stored, locked until the transaction ends.
struct Stored {
    may_change: bool,
    revision: i64,
    kind: String,
    name: String,
    audience: Audience,
}

/// The stored artifact, if the viewer may change it.
fn changeable(found: Option<&Stored>) -> Result<&Stored> {
    input::ensure_may_change("artifact", "id", found.map(|stored| stored.may_change))?;
    found.ok_or_else(|| input::not_found("artifact", "id"))
}

/// Changes the given fields of artifacts.
pub(super) async fn update(write: &mut Write<'_>, inputs: &[UpdateArtifactInput]) -> Result<Outcomes> {
    let mut items: Vec<Result<(Uuid, ArtifactValues)>> = inputs.iter().map(UpdateArtifactInput::validated).collect();
    let hidden: Vec<Uuid> = items.iter().flatten().filter(|(_, values)| hides(values)).map(|(id, _)| *id).collect();
    if !hidden.is_empty() && write.viewer().user.is_some() {
        collection::lock_containing_collections(write, &hidden).await?;
    }
    let stored = lock(write, items.iter().flatten().map(|(id, _)| *id).collect()).await?;
    let mut seen = HashSet::new();
    for (item, input) in items.iter_mut().zip(inputs) {
        let Ok((id, _)) = item else { continue };
        let outcome = changeable(stored.get(id)).and_then(|stored| match seen.insert(*id) {
            true => input::expect_revision(input.expected_revision, stored.revision),
            false => Err(Error::new(Code::Conflict, "the batch contains this artifact twice").in_field("id")),
        });
        if let Err(rejection) = outcome {
            *item = Err(rejection);
        }
    }
    reject_taken_names(write, &mut items, &stored).await?;
    apply(write, items.iter().flatten().map(|(id, values)| (*id, values)).collect()).await?;
    for (id, _) in items.iter().flatten() {
        write.announce(&Change::of(ChangeKind::Updated, PREFIX, *id));
    }
    Ok(Outcomes { items: items.into_iter().map(|item| item.map(|(id, _)| id)).collect() })
}

/// Locks the artifacts that the viewer may see, in the order of their ids.
async fn lock(write: &mut Write<'_>, ids: Vec<Uuid>) -> Result<HashMap<Uuid, Stored>> {
    let sql = statement!(
        write,
        "select a.id, {may_change}, a.revision, a.type, a.name, a.owner_id, a.visibility
         from artifacts a
         where a.id {ids} {a_visible}
         order by a.id {lock}",
        may_change = policy::may_change("a.owner_id"),
        ids = in_ids(&ids),
        a_visible = policy::artifacts(Access::ById),
        lock = either("", "for update of a"),
    );
    let found = write.fetch_with("artifacts.lock", sql, |row| {
        let (id, may_change): (Uuid, i64) = (row.next()?, row.next()?);
        let (revision, kind, name) = (row.next()?, row.next()?, row.next()?);
        Ok((id, Stored { may_change: may_change == 1, revision, kind, name, audience: Audience::read(row)? }))
    });
    Ok(found.await?.into_iter().collect())
}

row_table! {
    struct Renamed { id: Uuid, kind: String, name: String }
}

/// Rejects changes to a type and name that another artifact has, or that another item takes.
async fn reject_taken_names(
    write: &mut Write<'_>,
    items: &mut [Result<(Uuid, ArtifactValues)>],
    stored: &HashMap<Uuid, Stored>,
) -> Result<()> {
    let renamed = |item: &Result<(Uuid, ArtifactValues)>| -> Option<Renamed> {
        let (id, values) = item.as_ref().ok()?;
        let stored = stored.get(id)?;
        let kind = values.kind.as_ref().unwrap_or(&stored.kind);
        let name = values.name.as_ref().unwrap_or(&stored.name);
        let is_renamed = (kind, name) != (&stored.kind, &stored.name);
        is_renamed.then(|| Renamed { id: *id, kind: kind.clone(), name: name.clone() })
    };
    let rows = RowTable::of(items.iter().filter_map(renamed));
    let sql = statement!(
        write,
        "select r.id
         from {rows} r
         join artifacts e on e.id = r.id
         join artifacts a on a.type = r.kind and a.name = r.name
           and a.owner_id is not distinct from e.owner_id and a.id <> r.id
         {exempt: only names of the same owner}",
        rows = &rows,
    );
    let taken: HashSet<Uuid> = write.fetch::<Uuid>("artifacts.taken_names", sql).await?.into_iter().collect();
    let mut seen = HashSet::new();
    for item in items {
        let Some(Renamed { id, kind, name }) = renamed(item) else { continue };
        if taken.contains(&id) || !seen.insert((kind, name)) {
            *item = Err(Error::new(Code::Conflict, "another artifact has this type and name").in_field("name"));
        }
    }
    Ok(())
}

/// Writes the given values of artifacts. Artifacts that are not public any more leave the collections of other accounts.
pub(super) async fn apply(write: &mut Write<'_>, items: Vec<(Uuid, &ArtifactValues)>) -> Result<()> {
    let rows = RowTable::of(items.iter().map(|(id, values)| (*id, (*values).clone())));
    let sql = statement!(
        write,
        "update artifacts as e
         set revision = e.revision + 1, updated_at = {now}, {changes}
         from {rows} r
         where e.id = r.id {exempt: the artifacts are locked, or the viewer's own}",
        now = write.now(),
        changes = ArtifactValues::changes_of_rows(),
        rows = &rows,
    );
    write.execute("artifacts.update", sql).await.map_err(Error::retryable)?;
    let hidden: Vec<Uuid> = items.iter().filter(|(_, values)| hides(values)).map(|(id, _)| *id).collect();
    if hidden.is_empty() || write.viewer().user.is_none() {
        return Ok(());
    }
    collection::remove_from_foreign_collections(write, &hidden).await
}

/// Deletes artifacts, each if it has the expected revision.
pub(super) async fn delete(write: &mut Write<'_>, given: &[(ID, Option<i64>)]) -> Result<Outcomes> {
    let mut items: Vec<Result<Uuid>> = given.iter().map(|(id, _)| input::id(PREFIX, "id", id)).collect();
    let ids: Vec<Uuid> = items.iter().flatten().copied().collect();
    let memberships = collection::memberships_of(write, &ids).await?;
    let stored = lock(write, ids).await?;
    let mut seen = HashSet::new();
    for (item, (_, expected)) in items.iter_mut().zip(given) {
        let Ok(id) = item else { continue };
        let outcome = changeable(stored.get(id)).and_then(|stored| match seen.insert(*id) {
            true => input::expect_revision(*expected, stored.revision),
            false => Err(input::not_found("artifact", "id")),
        });
        if let Err(rejection) = outcome {
            *item = Err(rejection);
        }
    }
    let ids: Vec<Uuid> = items.iter().flatten().copied().collect();
    let sql = statement!(
        write,
        "delete from artifacts where id {ids} {exempt: the artifacts are locked}",
        ids = in_ids(&ids),
    );
    write.execute("artifacts.delete", sql).await?;
    collection::record_removals(write, memberships, &ids).await?;
    for (id, stored) in ids.iter().filter_map(|id| Some((id, stored.get(id)?))) {
        write.announce(&Change::deleted(PREFIX, *id, stored.audience));
    }
    Ok(Outcomes { items })
}

/// Why an artifact was not changed: it belongs to another account, or does not exist for the viewer.
///
/// # Errors
/// The statement fails.
pub async fn rejection(write: &mut Write<'_>, id: Uuid, field: &'static str) -> Result<Error> {
    let sql = statement!(
        write,
        "select a.id from artifacts a where a.id = {id} {a_visible}",
        id,
        a_visible = policy::artifacts(Access::ById),
    );
    let is_visible = !write.fetch::<Uuid>("artifacts.visible", sql).await?.is_empty();
    let rejected = input::ensure_may_change("artifact", field, is_visible.then_some(false));
    Ok(rejected.err().unwrap_or_else(|| input::not_found("artifact", field)))
}
