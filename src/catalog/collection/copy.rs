//! A copy of a collection: its members with notes, states and order, and its groups with theirs.
use std::collections::HashSet;

use uuid::Uuid;

use super::{
    PREFIX,
    write::{CollectionPayload, CopyCollectionInput, Members, copy_members, insert},
};
use crate::{
    catalog::{
        change::{Change, ChangeKind},
        group,
        input::{self, refused},
        policy::{self, Access},
        rules::{self, NAME_MAX},
    },
    db::{Arg, Cell},
    error::{Code, Error, Result},
    graphql::Write,
};

/// Names that are tried for a copy whose name was not given.
const NAMES_MAX: usize = 100;

/// What a copy takes over: the name, description, kind and colour.
type Original = (String, Option<String>, Option<String>, Option<String>);

/// Copies a collection. Seven statements.
///
/// # Errors
/// `NOT_FOUND`, `CONFLICT` where another collection has the name.
pub(super) async fn copy(write: &mut Write<'_>, input: &CopyCollectionInput) -> Result<CollectionPayload> {
    let from = input::id(PREFIX, "id", &input.id)?;
    let given = input.name.as_deref().map(|name| rules::name(name, NAME_MAX)).transpose().map_err(refused("name"))?;
    let (name, description, kind, color) = original(write, from).await?;
    let free = free_name(write, &name).await?;
    let name = given.or(free).ok_or_else(|| {
        Error::new(Code::Conflict, "there are too many copies with names of their own: name this one").in_field("name")
    })?;
    let to = Uuid::now_v7();
    let text = |text: Option<String>| text.map_or(Cell::Null, Cell::Text);
    let values = [Cell::Text(name), text(description), text(kind), text(color), Cell::Text("PRIVATE".to_owned())];
    insert(write, to, values).await?;
    let now = write.now();
    copy_members(write, (from, to), Members::All, now).await?;
    group::copy_all(write, from, to).await?;
    write.announce(&Change::of(ChangeKind::Created, PREFIX, to));
    Ok(CollectionPayload(to))
}

/// The collection to copy, locked so that its members and groups belong together.
async fn original(write: &mut Write<'_>, id: Uuid) -> Result<Original> {
    let mut sql = write.sql();
    sql.push("select c.name, c.description, c.kind, c.color from collections c where c.id = ").bind(Arg::Id(id));
    policy::collections(Access::ById).append(&mut sql);
    sql.either("", " for share");
    let found = write
        .fetch_with("collections.lock", sql, |row| {
            Ok((row.next()?, row.next_or_null()?, row.next_or_null()?, row.next_or_null()?))
        })
        .await?;
    found.into_iter().next().ok_or_else(|| input::not_found("collection", "id"))
}

/// The first of `NAME (copy)`, `NAME (copy 2)` and so on that no collection has.
async fn free_name(write: &mut Write<'_>, name: &str) -> Result<Option<String>> {
    let names: Vec<String> = (1..=NAMES_MAX).map(|n| copy_name(name, n)).collect();
    let mut sql = write.sql();
    sql.push("select c.name from collections c where c.owner_id is not distinct from ");
    sql.bind(Arg::OptionalId(write.viewer().user)).push(" and c.name").in_texts(&names);
    let taken: HashSet<String> = write.fetch::<String>("collections.names", sql).await?.into_iter().collect();
    Ok(names.into_iter().find(|name| !taken.contains(name)))
}

/// The name of the n-th copy, the original's cut where both would be too long.
fn copy_name(name: &str, n: usize) -> String {
    let suffix = if n == 1 { " (copy)".to_owned() } else { format!(" (copy {n})") };
    let kept: String = name.chars().take(NAME_MAX - suffix.len()).collect();
    format!("{}{suffix}", kept.trim_end())
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
