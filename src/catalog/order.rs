//! The order that clients give to the artifacts of a collection or group, and to groups.
//!
//! Each row has a sparse `sort_key`; equal keys are told apart by the id, so the order is total whatever happens. A row
//! is put between two others by a key between theirs: only it is written. Where there is no room, the rows that follow are
//! spread anew, as few as give them room: 0, 16, 128, 1,024 and so on, so that a key that is passed over often is
//! rewritten rarely, and the whole list never. Who changes an order holds the lock of the row that it belongs to.
use uuid::Uuid;

use crate::{
    db::{
        Arg, Cell,
        CellType::{self, Id, Int},
        Dialect, Sql,
    },
    error::{Code, Error, Result},
    graphql::Write,
};

/// Distance between the keys of neighbours where nobody was put between.
pub const STEP: i64 = 1 << 20;

/// How many of the rows that follow may be spread anew, and the distance that they must then have.
const WINDOWS: [(i64, i64); 7] = [
    (0, 1),
    (16, 1 << 10),
    (128, 1 << 10),
    (1 << 10, 1 << 10),
    (1 << 13, 1 << 10),
    (1 << 16, 1 << 8),
    (1 << 19, 1 << 6),
];

/// Before the key of every row.
const BEFORE_ALL: i64 = i64::MIN / 4;

/// A list with an order: its table, whose list a row is in, and what the row is.
#[derive(Clone, Copy, Debug)]
pub struct Ordered {
    /// The table, which has a `sort_key`.
    pub table: &'static str,
    /// The column of the list.
    pub list: &'static str,
    /// The column of what is in it.
    pub item: &'static str,
    /// What an item is called in a refusal.
    pub called: &'static str,
}

/// The artifacts of collections.
pub const MEMBERS: Ordered = Ordered {
    table: "collection_artifacts",
    list: "collection_id",
    item: "artifact_id",
    called: "an artifact of this collection",
};

/// The artifacts of groups.
pub const GROUP_MEMBERS: Ordered =
    Ordered { table: "group_artifacts", list: "group_id", item: "artifact_id", called: "an artifact of this group" };

/// The groups of collections.
pub const GROUPS: Ordered =
    Ordered { table: "groups", list: "collection_id", item: "id", called: "a group of this collection" };

/// Where rows are put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    /// The key of the first one.
    first: i64,
    /// The distance to each next one.
    step: i64,
}

/// A row of a list: its key and what it is.
type Row = (i64, Uuid);

impl Ordered {
    /// Puts `items`, in their order, after `anchor`, or at the start. Three statements.
    ///
    /// # Errors
    /// `NOT_FOUND` for what is not in the list, `BAD_USER_INPUT` where an item is to stand after itself.
    pub async fn put(self, write: &mut Write<'_>, list: Uuid, items: &[Uuid], anchor: Option<Uuid>) -> Result<()> {
        if let Some(place) = anchor.and_then(|anchor| items.iter().position(|item| *item == anchor)) {
            return Err(Error::bad_user_input("nothing can stand after itself").at_index("artifactIds", place));
        }
        let found = self.keys(write, list, items, anchor).await?;
        let key_of = |id: &Uuid| found.iter().find(|(found, _)| found == id).map(|(_, key)| *key);
        let known: std::collections::HashSet<Uuid> = found.iter().map(|(id, _)| *id).collect();
        if let Some(place) = items.iter().position(|item| !known.contains(item)) {
            return Err(self.missing().at_index("artifactIds", place));
        }
        let after = match anchor {
            Some(anchor) => (key_of(&anchor).ok_or_else(|| self.missing().in_field("afterArtifactId"))?, anchor),
            None => (BEFORE_ALL, Uuid::nil()),
        };
        let (size, end) = self.room(write, list, items.len(), after).await?;
        let place = place(after.0, end.map(|(key, _)| key), size, items.len() as i64);
        let count = end.map_or(i64::MAX, |_| size + items.len() as i64);
        self.spread(write, list, items, (after, end), (place, count)).await
    }

    fn missing(self) -> Error {
        Error::new(Code::NotFound, format!("it is not {}", self.called))
    }

    async fn keys(
        self,
        write: &mut Write<'_>,
        list: Uuid,
        items: &[Uuid],
        anchor: Option<Uuid>,
    ) -> Result<Vec<(Uuid, i64)>> {
        let ids: Vec<Uuid> = items.iter().copied().chain(anchor).collect();
        let mut sql = write.sql();
        sql.push("select m.").push(self.item).push(", m.sort_key from ");
        // SQLite keeps the order of a cross join. By its statistics it would read a list of a million, taken for one of a
        // hundred, from an index that has all columns; so would PostgreSQL for a join.
        if sql.dialect() == Dialect::Sqlite {
            sql.id_table(&ids).push(" k cross join ");
        }
        sql.push(self.table).push(" m where m.").push(self.list).push(" = ").bind(Arg::Id(list)).push(" and m.");
        sql.push(self.item);
        match sql.dialect() {
            Dialect::Sqlite => sql.push(" = k.id"),
            Dialect::Postgres => sql.in_ids(&ids),
        };
        write.fetch("order.keys", sql).await
    }

    /// A window that has room for `count` rows after `after`: how many rows it has, and the row behind it, where the list
    /// does not end first.
    async fn room(self, write: &mut Write<'_>, list: Uuid, count: usize, after: Row) -> Result<(i64, Option<Row>)> {
        let mut sql = write.sql();
        sql.push("select size, sort_key, item from (");
        for (branch, (size, distance)) in WINDOWS.into_iter().enumerate() {
            sql.push(if branch > 0 { " union all " } else { "" }).push("select * from (select ");
            sql.int(size).push(" as size, m.sort_key, m.").push(self.item).push(" as item from ").push(self.table);
            sql.push(" m where ");
            self.follows(&mut sql, list, after);
            sql.push(" order by m.sort_key, m.").push(self.item).push(" limit 1 offset ").int(size);
            sql.push(") w where (w.sort_key - ").int(after.0).push(") / ").int(size + count as i64 + 1);
            sql.push(" >= ").int(distance);
        }
        sql.push(") w limit 1");
        let found: Vec<(i64, i64, Uuid)> = write.fetch("order.room", sql).await?;
        Ok(found.into_iter().next().map_or((0, None), |(size, key, item)| (size, Some((key, item)))))
    }

    /// Writes the condition for rows `m` of `list` after `after`.
    fn follows(self, sql: &mut Sql, list: Uuid, after: Row) {
        sql.push("m.").push(self.list).push(" = ").bind(Arg::Id(list)).push(" and (m.sort_key, m.").push(self.item);
        sql.push(") > (").int(after.0).push(", ").bind(Arg::Id(after.1)).push(")");
    }

    /// Gives `items`, and the rows after them up to `end`, their keys: at most `count` rows, all of them. PostgreSQL guesses
    /// how many rows are in a range, and would read a long list to find a few of them; a limit it believes.
    async fn spread(
        self,
        write: &mut Write<'_>,
        list: Uuid,
        items: &[Uuid],
        (after, end): (Row, Option<Row>),
        (place, count): (Place, i64),
    ) -> Result<()> {
        const COLUMNS: &[(&str, CellType)] = &[("item", Id), ("n", Int)];
        let numbered: Vec<Vec<Cell>> =
            items.iter().enumerate().map(|(n, item)| vec![Cell::Id(*item), Cell::Int(n as i64)]).collect();
        let (end_key, end_item) = end.unwrap_or((i64::MAX, Uuid::max()));
        let mut sql = write.sql();
        sql.push("update ").push(self.table).push(" as o set sort_key = ").int(place.first).push(" + ");
        // SQLite has the list from the rows' own column, so that it looks each row up, and does not read the list to find
        // them; PostgreSQL has it from the parameter, so that it does the same.
        sql.int(place.step).push(" * r.n, revision = o.revision + 1 from (select * from (select ").bind(Arg::Id(list));
        sql.push(" as list, f.item, f.n from ").row_table(COLUMNS, &numbered).push(" f union all select m.");
        sql.push(self.list).push(", m.").push(self.item).push(", ");
        sql.int(items.len() as i64).push(" + row_number() over (order by m.sort_key, m.").push(self.item);
        sql.push(") - 1 from ").push(self.table).push(" m where ");
        self.follows(&mut sql, list, after);
        sql.push(" and (m.sort_key, m.").push(self.item).push(") < (").int(end_key).push(", ");
        sql.bind(Arg::Id(end_item)).push(") and not m.").push(self.item).in_ids(items);
        sql.push(") f").limit(count).push(") r where o.").push(self.list).push(" = ");
        match sql.dialect() {
            Dialect::Sqlite => sql.push("r.list"),
            Dialect::Postgres => sql.bind(Arg::Id(list)),
        };
        sql.push(" and o.").push(self.item).push(" = r.item");
        write.execute("order.spread", sql).await?;
        Ok(())
    }
}

/// Where `count` rows go after the key `before`, with up to `window` rows behind them and before the key `end`.
fn place(before: i64, end: Option<i64>, window: i64, count: i64) -> Place {
    let is_first = before == BEFORE_ALL;
    match end {
        None if is_first => Place { first: 0, step: STEP },
        None => Place { first: before + STEP, step: STEP },
        // Before all others there is always room.
        Some(end) if is_first => Place { first: end - STEP * count, step: STEP },
        Some(end) => {
            let step = (end - before) / (count + window + 1);
            Place { first: before + step, step }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_put_between_their_neighbours() {
        assert_eq!(place(BEFORE_ALL, None, 0, 3), Place { first: 0, step: STEP });
        assert_eq!(place(BEFORE_ALL, Some(0), 0, 2), Place { first: -2 * STEP, step: STEP });
        assert_eq!(place(5, None, 0, 2), Place { first: 5 + STEP, step: STEP });
        assert_eq!(place(0, Some(STEP), 0, 1), Place { first: STEP / 2, step: STEP / 2 });
        let end = 10 + 30 * 1024;
        let Place { first, step } = place(10, Some(end), 16, 4);
        assert_eq!(first, 10 + step);
        assert!(first + step * (4 + 16 - 1) < end);
    }
}
