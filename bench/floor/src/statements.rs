//! gatherum's statements, as `DATABASE_ECHO=true` shows them, and the rows of which the answers are made.
//!
//! A text names the columns that its query asks for, as gatherum's do.
use std::collections::HashMap;

use sqlx::Row;
use uuid::Uuid;

use crate::{
    db::{Db, Time},
    fetch,
};

/// How members of collections are counted.
#[derive(Clone, Copy)]
pub enum Counts {
    /// By reading the counts that triggers keep.
    Kept,
    /// By counting.
    Live,
}

/// An artifact of a list of all.
pub struct Artifact {
    pub id: Uuid,
    pub kind: String,
    pub name: String,
    pub created_at_us: i64,
}

/// A collection.
pub struct Collection {
    pub id: Uuid,
    pub name: String,
    pub description: Option<String>,
}

/// An artifact in a collection.
pub struct Member {
    pub id: Uuid,
    pub kind: String,
    pub name: String,
    pub sort_key: i64,
}

/// Where a page of members begins: after this sort key and id.
pub type After = Option<(i64, Uuid)>;

/// The page of one parent.
macro_rules! page {
    ($columns:expr, $from:expr, $parent:expr, $after:expr, $order:expr, $limit:expr) => {
        concat!(
            "select ", $parent, ", ", $columns, " from ", $from, " where ", $parent, " = $1", $after, " order by ", $order,
            " limit +", $limit
        )
    };
}

/// Pages of several parents, bounded for each in SQL: for SQLite and for PostgreSQL.
macro_rules! pages {
    ($columns:expr, $from:expr, $parent:expr, $after:expr, $order:expr, $limit:expr) => {
        [
            concat!(
                "select keys.id, ", $columns, " from (select unhex(value) as id from json_each($1)) as keys cross join ",
                $from, " where m.rowid in (select m.rowid from ", $from, " where ", $parent, " = keys.id", $after,
                " order by ", $order, " limit +", $limit, ") order by keys.id, ", $order
            ),
            concat!(
                "select keys.id, page.* from (select unnest($1::uuid[]) as id) as keys cross join lateral (select ",
                $columns, " from ", $from, " where ", $parent, " = keys.id", $after, " order by ", $order, " limit +",
                $limit, ") page"
            ),
        ]
    };
}

/// A number for each of several ids: for SQLite and for PostgreSQL.
macro_rules! counts {
    ($before:expr, $column:expr) => {
        [
            concat!($before, $column, " in (select unhex(value) from json_each($1)) group by ", $column),
            concat!($before, $column, " = any($1) group by ", $column),
        ]
    };
}

/// The newest artifacts; with cursors, their sort keys too.
pub async fn artifacts(db: &Db, first: i64, with_cursors: bool) -> sqlx::Result<Vec<Artifact>> {
    const PLAIN: &str =
        "select a.id, a.type, a.name from artifacts a where true order by a.created_at desc, a.id desc limit +$1";
    const WITH_CURSORS: &str = "select a.id, a.type, a.name, a.created_at, a.id from artifacts a where true \
                                order by a.created_at desc, a.id desc limit +$1";
    let text = if with_cursors { WITH_CURSORS } else { PLAIN };
    fetch!(db, [text, text], args: [first + 1], |row| Artifact {
        id: row.try_get(0)?,
        kind: row.try_get(1)?,
        name: row.try_get(2)?,
        created_at_us: if with_cursors { row.try_get::<Time, _>(3)?.0 } else { 0 },
    })
}

/// The collections that come first by name.
pub async fn collections(db: &Db, first: i64, with_description: bool) -> sqlx::Result<Vec<Collection>> {
    const PLAIN: &str = "select c.id, c.name from collections c where true order by c.name, c.id limit +$1";
    const DESCRIBED: &str =
        "select c.id, c.name, c.description from collections c where true order by c.name, c.id limit +$1";
    let text = if with_description { DESCRIBED } else { PLAIN };
    fetch!(db, [text, text], args: [first + 1], |row| Collection {
        id: row.try_get(0)?,
        name: row.try_get(1)?,
        description: if with_description { row.try_get(2)? } else { None },
    })
}

/// A collection by its id.
pub async fn collection(db: &Db, id: Uuid) -> sqlx::Result<Option<Collection>> {
    const TEXTS: [&str; 2] = [
        "select c.id, c.id, c.name from collections c where c.id in (select unhex(value) from json_each($1))",
        "select c.id, c.id, c.name from collections c where c.id = any($1)",
    ];
    let rows = fetch!(db, [TEXTS[0], TEXTS[1]], ids: &[id][..], args: [], |row| Collection {
        id: row.try_get(1)?,
        name: row.try_get(2)?,
        description: None,
    })?;
    Ok(rows.into_iter().next())
}

/// The collections of each artifact, by name.
pub async fn collections_of(
    db: &Db,
    artifacts: &[Uuid],
    first: i64,
    with_cursors: bool,
) -> sqlx::Result<HashMap<Uuid, Vec<Collection>>> {
    const PLAIN: [&str; 2] = pages!(
        "c.id, c.name",
        "collection_artifacts m join collections c on c.id = m.collection_id", "m.artifact_id", "", "c.name, c.id", "$2"
    );
    const WITH_CURSORS: [&str; 2] = pages!(
        "c.id, c.name, c.name, c.id",
        "collection_artifacts m join collections c on c.id = m.collection_id", "m.artifact_id", "", "c.name, c.id", "$2"
    );
    let texts = if with_cursors { WITH_CURSORS } else { PLAIN };
    let rows = fetch!(db, [texts[0], texts[1]], ids: artifacts, args: [first + 1], |row| {
        (row.try_get(0)?, Collection { id: row.try_get(1)?, name: row.try_get(2)?, description: None })
    })?;
    Ok(grouped(rows))
}

/// The first members of each collection in their order, without their types.
pub async fn members_of(db: &Db, collections: &[Uuid], first: i64) -> sqlx::Result<HashMap<Uuid, Vec<Member>>> {
    const TEXTS: [&str; 2] = pages!(
        "a.id, a.name",
        "collection_artifacts m join artifacts a on a.id = m.artifact_id", "m.collection_id", "",
        "m.sort_key, m.artifact_id", "$2"
    );
    let rows = fetch!(db, [TEXTS[0], TEXTS[1]], ids: collections, args: [first + 1], |row| {
        let member = Member { id: row.try_get(1)?, kind: String::new(), name: row.try_get(2)?, sort_key: 0 };
        (row.try_get(0)?, member)
    })?;
    Ok(grouped(rows))
}

/// The members of one collection in their order, from the start or after a place.
pub async fn members_of_one(
    db: &Db,
    collection: Uuid,
    first: i64,
    after: After,
    with_cursors: bool,
) -> sqlx::Result<Vec<Member>> {
    /// The text with these columns, from the start and after a place.
    macro_rules! text {
        ($columns:expr, $after:expr, $limit:expr) => {
            page!(
                $columns, "collection_artifacts m join artifacts a on a.id = m.artifact_id", "m.collection_id", $after,
                "m.sort_key, m.artifact_id", $limit
            )
        };
    }
    const PLAIN: &str = text!("a.id, a.type, a.name", "", "$2");
    const PLAIN_AFTER: &str = text!("a.id, a.type, a.name", " and (m.sort_key, m.artifact_id) > ($2, $3)", "$4");
    const WITH_CURSORS: &str = text!("a.id, a.type, a.name, m.sort_key, m.artifact_id", "", "$2");
    const WITH_CURSORS_AFTER: &str = text!(
        "a.id, a.type, a.name, m.sort_key, m.artifact_id", " and (m.sort_key, m.artifact_id) > ($2, $3)", "$4"
    );
    macro_rules! read {
        ($row:ident) => {
            Member {
                id: $row.try_get(1)?,
                kind: $row.try_get(2)?,
                name: $row.try_get(3)?,
                sort_key: if with_cursors { $row.try_get(4)? } else { 0 },
            }
        };
    }
    match after {
        None => {
            let text = if with_cursors { WITH_CURSORS } else { PLAIN };
            fetch!(db, [text, text], args: [collection, first + 1], |row| read!(row))
        }
        Some((sort_key, id)) => {
            let text = if with_cursors { WITH_CURSORS_AFTER } else { PLAIN_AFTER };
            fetch!(db, [text, text], args: [collection, sort_key, id, first + 1], |row| read!(row))
        }
    }
}

/// How many members each collection has.
pub async fn member_counts(db: &Db, counts: Counts, collections: &[Uuid]) -> sqlx::Result<HashMap<Uuid, i64>> {
    const KEPT: [&str; 2] = counts!(
        "select n.collection_id, cast(sum(n.n) as bigint) from collection_counts n where ", "n.collection_id"
    );
    const LIVE: [&str; 2] =
        counts!("select m.collection_id, count(*) from collection_artifacts m where ", "m.collection_id");
    let texts = match counts {
        Counts::Kept => KEPT,
        Counts::Live => LIVE,
    };
    numbers(db, texts, collections).await
}

/// How many groups each collection has.
pub async fn group_counts(db: &Db, collections: &[Uuid]) -> sqlx::Result<HashMap<Uuid, i64>> {
    const TEXTS: [&str; 2] = counts!("select g.collection_id, count(*) from groups g where ", "g.collection_id");
    numbers(db, TEXTS, collections).await
}

/// How many collections each artifact is in.
pub async fn collection_totals(db: &Db, artifacts: &[Uuid]) -> sqlx::Result<HashMap<Uuid, i64>> {
    const TEXTS: [&str; 2] = [
        "select keys.id, count(*) from (select unhex(value) as id from json_each($1)) as keys cross join \
         collection_artifacts m join collections c on c.id = m.collection_id where m.artifact_id = keys.id group by keys.id",
        "select keys.id, count(*) from (select unnest($1::uuid[]) as id) as keys cross join \
         collection_artifacts m join collections c on c.id = m.collection_id where m.artifact_id = keys.id group by keys.id",
    ];
    numbers(db, TEXTS, artifacts).await
}

/// How many members each collection has, as the total of a connection.
pub async fn member_totals(db: &Db, counts: Counts, collections: &[Uuid]) -> sqlx::Result<HashMap<Uuid, i64>> {
    const LIVE: [&str; 2] = [
        "select keys.id, count(*) from (select unhex(value) as id from json_each($1)) as keys cross join \
         collection_artifacts m join artifacts a on a.id = m.artifact_id where m.collection_id = keys.id group by keys.id",
        "select keys.id, count(*) from (select unnest($1::uuid[]) as id) as keys cross join \
         collection_artifacts m join artifacts a on a.id = m.artifact_id where m.collection_id = keys.id group by keys.id",
    ];
    match counts {
        Counts::Kept => member_counts(db, counts, collections).await,
        Counts::Live => numbers(db, LIVE, collections).await,
    }
}

async fn numbers(db: &Db, texts: [&'static str; 2], ids: &[Uuid]) -> sqlx::Result<HashMap<Uuid, i64>> {
    let rows = fetch!(db, [texts[0], texts[1]], ids: ids, args: [], |row| (row.try_get(0)?, row.try_get(1)?))?;
    Ok(rows.into_iter().collect())
}

fn grouped<T>(rows: Vec<(Uuid, T)>) -> HashMap<Uuid, Vec<T>> {
    let mut groups: HashMap<Uuid, Vec<T>> = HashMap::new();
    for (key, row) in rows {
        groups.entry(key).or_default().push(row);
    }
    groups
}
