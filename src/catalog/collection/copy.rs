//! Copying collections: members with notes, states and order, and groups with theirs.
use std::collections::HashSet;

use uuid::Uuid;

use super::{
    CollectionValues, PREFIX,
    input::CopyCollectionInput,
    member::{Members, copy_members},
    payload::CollectionPayload,
};
use crate::{
    catalog::{
        Visibility,
        change::{Change, ChangeKind},
        group,
        input::{self, rejected},
        policy::{self, Access},
        rules::{self, NAME_MAX},
    },
    db::{Table, either, in_texts},
    error::{Code, Error, Result},
    graphql::Write,
    statement,
};

/// Maximum number of names that are tried for a copy.
const NAMES_MAX: usize = 100;

/// Copies a collection. Seven statements.
///
/// # Errors
/// `NOT_FOUND`, `CONFLICT` if another collection has the name.
pub(super) async fn copy(write: &mut Write<'_>, input: &CopyCollectionInput) -> Result<CollectionPayload> {
    let from = input::id(PREFIX, "id", &input.id)?;
    let given = input.name.as_deref().map(|name| rules::name(name, NAME_MAX)).transpose().map_err(rejected("name"))?;
    let name = lock_original(write, from).await?;
    let free = free_name(write, &name).await?;
    let name = given.or(free).ok_or_else(|| {
        Error::new(Code::Conflict, "there are too many copies of this collection: give a name").in_field("name")
    })?;
    let to = Uuid::now_v7();
    insert_copy(write, (from, to), name).await?;
    copy_members(write, (from, to), Members::All).await?;
    group::copy_all(write, from, to).await?;
    write.announce(&Change::of(ChangeKind::Created, PREFIX, to));
    Ok(CollectionPayload(to))
}

/// Locks the collection to copy, so that its members and groups are consistent, and returns its name.
async fn lock_original(write: &mut Write<'_>, id: Uuid) -> Result<String> {
    let sql = statement!(
        write,
        "select c.name from collections c where c.id = {id} {c_visible} {lock}",
        id,
        c_visible = policy::collections(Access::ById),
        lock = either("", "for share"),
    );
    let found = write.fetch::<String>("collections.lock", sql).await?;
    found.into_iter().next().ok_or_else(|| input::not_found("collection", "id"))
}

/// Inserts the copy, which belongs to the viewer and is private.
async fn insert_copy(write: &mut Write<'_>, (from, to): (Uuid, Uuid), name: String) -> Result<()> {
    let values =
        CollectionValues { name: Some(name), visibility: Some(Visibility::Private), ..CollectionValues::default() };
    let sql = statement!(
        write,
        "insert into collections (id, {names}, owner_id, created_at, updated_at)
         select {to}, {values}, {owner}, {now}, {now}
         from collections c
         where c.id = {from} {exempt: the original is visible and locked}",
        names = CollectionValues::column_names(),
        to,
        values = CollectionValues::copied_from("c", &values),
        owner = write.viewer().user,
        now = write.now(),
        from,
    );
    write.execute("collections.insert", sql).await?;
    Ok(())
}

/// The first of `NAME (copy)`, `NAME (copy 2)` and so on that no collection of the viewer has.
async fn free_name(write: &mut Write<'_>, name: &str) -> Result<Option<String>> {
    let names: Vec<String> = (1..=NAMES_MAX).map(|n| copy_name(name, n)).collect();
    let sql = statement!(
        write,
        "select c.name
         from collections c
         where c.owner_id is not distinct from {owner} and c.name {names} {exempt: only collections of the viewer}",
        owner = write.viewer().user,
        names = in_texts(&names),
    );
    let taken: HashSet<String> = write.fetch::<String>("collections.names", sql).await?.into_iter().collect();
    Ok(names.into_iter().find(|name| !taken.contains(name)))
}

/// The name of the n-th copy. A long name of the original is truncated.
fn copy_name(name: &str, n: usize) -> String {
    let suffix = if n == 1 { " (copy)".to_owned() } else { format!(" (copy {n})") };
    let truncated: String = name.chars().take(NAME_MAX - suffix.len()).collect();
    format!("{}{suffix}", truncated.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_copy_is_no_longer_than_a_name_may_be() {
        assert_eq!(copy_name("Tools", 1), "Tools (copy)");
        assert_eq!(copy_name("Tools", 12), "Tools (copy 12)");
        assert_eq!(copy_name(&"ä".repeat(NAME_MAX), 100).chars().count(), NAME_MAX);
    }
}
