//! Creating artifacts, one or many by the same statements: their number does not depend on how many artifacts there are.
use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::{
    ArtifactValues, PREFIX,
    input::{CreateArtifactInput, NewArtifact},
    update::apply,
};
use crate::{
    catalog::{
        Visibility,
        change::{Change, ChangeKind},
        collection::{self, LockedCollections},
        input::Outcomes,
        tag, version,
    },
    db::{RowTable, Table, either},
    error::{Code, Error, Result},
    graphql::Write,
    row_table, statement,
};

/// Treatment of an artifact that exists already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Existing {
    Rejected,
    Updated,
}

/// Creates artifacts with tags, versions and memberships.
pub(super) async fn create(
    write: &mut Write<'_>,
    inputs: &[CreateArtifactInput],
    existing: Existing,
) -> Result<Outcomes> {
    let mut items: Vec<Result<NewArtifact>> = inputs.iter().map(CreateArtifactInput::validated).collect();
    reject_duplicates(&mut items);
    lock_collections(write, &mut items).await?;
    let known = match existing {
        Existing::Rejected => HashSet::new(),
        Existing::Updated => take_existing_ids(write, &mut items).await?,
    };
    let inserted = insert(write, items.iter().flatten().filter(|new| !known.contains(&new.id))).await?;
    if existing == Existing::Updated {
        let changed = items.iter().flatten().filter(|new| known.contains(&new.id));
        apply(write, changed.map(|new| (new.id, &new.values)).collect()).await?;
    }
    for item in &mut items {
        if item.as_ref().is_ok_and(|new| !inserted.contains(&new.id) && !known.contains(&new.id)) {
            *item = Err(Error::new(Code::Conflict, "another artifact has this type and name").in_field("name"));
        }
    }
    attach(write, &items).await?;
    for new in items.iter().flatten() {
        let kind = if known.contains(&new.id) { ChangeKind::Updated } else { ChangeKind::Created };
        write.announce(&Change::of(kind, PREFIX, new.id));
    }
    Ok(Outcomes { items: items.into_iter().map(|item| item.map(|new| new.id)).collect() })
}

/// Rejects the second of two items with the same type and name.
fn reject_duplicates(items: &mut [Result<NewArtifact>]) {
    let mut seen = HashSet::new();
    for item in items {
        let key = item.as_ref().ok().and_then(NewArtifact::key);
        if key.is_some_and(|key| !seen.insert(key)) {
            *item = Err(Error::new(Code::Conflict, "the batch contains this artifact twice").in_field("name"));
        }
    }
}

/// Locks the collections of the items, and rejects items whose collections cannot contain them.
async fn lock_collections(write: &mut Write<'_>, items: &mut [Result<NewArtifact>]) -> Result<()> {
    let wanted: Vec<_> = items.iter().flatten().flat_map(|new| new.collections.iter().copied()).collect();
    let locked = if wanted.is_empty() { LockedCollections::default() } else { collection::lock(write, wanted).await? };
    let owner = write.viewer().user;
    for item in items {
        let Ok(new) = item else { continue };
        let is_public = new.values.visibility == Some(Visibility::Public);
        let ensure = |id: &Uuid| locked.ensure_can_contain(id, "collectionIds", owner, is_public);
        if let Err(rejection) = new.collections.iter().try_for_each(ensure) {
            *item = Err(rejection);
        }
    }
    Ok(())
}

row_table! {
    struct Key { kind: String, name: String }
}

/// Gives items the ids of the viewer's artifacts with their type and name, which it locks, and returns these ids.
async fn take_existing_ids(write: &mut Write<'_>, items: &mut [Result<NewArtifact>]) -> Result<HashSet<Uuid>> {
    let keys = items.iter().flatten().filter_map(NewArtifact::key).map(|(kind, name)| Key { kind, name });
    let sql = statement!(
        write,
        "select a.id, a.type, a.name
         from {rows} r
         join artifacts a on a.type = r.kind and a.name = r.name and a.owner_id is not distinct from {owner}
         order by a.id {lock} {exempt: only artifacts of the viewer}",
        rows = &RowTable::of(keys),
        owner = write.viewer().user,
        lock = either("", "for update of a"),
    );
    let found = write.fetch::<(Uuid, String, String)>("artifacts.existing", sql).await?;
    let found: HashMap<_, _> = found.into_iter().map(|(id, kind, name)| ((kind, name), id)).collect();
    for new in items.iter_mut().flatten() {
        new.id = new.key().and_then(|key| found.get(&key).copied()).unwrap_or(new.id);
    }
    Ok(found.into_values().collect())
}

/// Inserts artifacts of the viewer, and returns the ids of those that were inserted: not of those whose type and name
/// another artifact has.
async fn insert<'n>(write: &mut Write<'_>, new: impl Iterator<Item = &'n NewArtifact>) -> Result<HashSet<Uuid>> {
    let rows = RowTable::of(new.map(|new| {
        let visibility = new.values.visibility.or(Some(Visibility::Private));
        (new.id, ArtifactValues { visibility, ..new.values.clone() })
    }));
    let sql = statement!(
        write,
        "insert into artifacts (id, {names}, owner_id, created_at, updated_at)
         select r.id, {values}, {owner}, {now}, {now}
         from {rows} r
         where true
         on conflict do nothing
         returning id",
        names = ArtifactValues::column_names(),
        values = ArtifactValues::columns_of("r"),
        owner = write.viewer().user,
        now = write.now(),
        rows = &rows,
    );
    Ok(write.fetch::<Uuid>("artifacts.insert", sql).await?.into_iter().collect())
}

/// Adds tags, versions and memberships of artifacts.
async fn attach(write: &mut Write<'_>, items: &[Result<NewArtifact>]) -> Result<()> {
    let new = || items.iter().flatten();
    let tags: Vec<_> = new().flat_map(|new| new.tags.iter().map(|tag| (new.id, tag))).collect();
    if !tags.is_empty() {
        let known = tag::insert_missing(write, tags.iter().map(|(_, tag)| *tag)).await?;
        let links: Vec<_> = tags.iter().filter_map(|(id, tag)| Some((*id, *known.get(&tag.given)?))).collect();
        tag::link(write, &links).await?;
    }
    let versions: Vec<_> = new().filter_map(|new| Some((new.id, new.values.version.clone()??))).collect();
    if !versions.is_empty() {
        version::insert_missing(write, &versions).await?;
    }
    let members: Vec<_> =
        new().flat_map(|new| new.collections.iter().map(|collection| (*collection, new.id))).collect();
    if !members.is_empty() {
        collection::add_members(write, &members).await?;
    }
    Ok(())
}
