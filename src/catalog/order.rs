//! The order that clients give to the artifacts of a collection or group, and to the groups of a collection.
//!
//! Each row has a sparse `sort_key`; the id breaks ties, so the order is always total. A row moves between two others by a
//! key between theirs, and only this row is written. If there is no gap, the rows that follow are rebalanced, as few as
//! possible: 0, 16, 128, 1,024 and so on. So a key that many rows pass is rewritten rarely, and never the whole list. Writes
//! to an order hold the lock of the row that the list belongs to.
use std::collections::HashMap;

use uuid::Uuid;

use crate::{
    append,
    db::{Dialect, Fragment, RowTable, Sql, id_table, in_ids, limit, text, with},
    error::{Code, Error, Result},
    graphql::Write,
    row_table, statement,
};

/// Distance between the keys of neighbours that were appended.
pub const STEP: i64 = 1 << 20;

/// How many of the following rows a move may rebalance, and the distance that they must then have.
const WINDOWS: [(i64, i64); 7] = [
    (0, 1),
    (16, 1 << 10),
    (128, 1 << 10),
    (1 << 10, 1 << 10),
    (1 << 13, 1 << 10),
    (1 << 16, 1 << 8),
    (1 << 19, 1 << 6),
];

/// Less than the key of every row.
const BEFORE_ALL: i64 = i64::MIN / 4;

/// A table of lists with an order.
#[derive(Clone, Copy, Debug)]
pub struct OrderedList {
    /// The table, which has a `sort_key`.
    pub table: &'static str,
    /// The column with the list that a row belongs to.
    pub list: &'static str,
    /// The column with the item.
    pub item: &'static str,
    /// The name of an item in error messages.
    pub called: &'static str,
}

/// The artifacts of collections.
pub const MEMBERS: OrderedList = OrderedList {
    table: "collection_artifacts",
    list: "collection_id",
    item: "artifact_id",
    called: "an artifact of this collection",
};

/// The artifacts of groups.
pub const GROUP_MEMBERS: OrderedList = OrderedList {
    table: "group_artifacts",
    list: "group_id",
    item: "artifact_id",
    called: "an artifact of this group",
};

/// The groups of collections.
pub const GROUPS: OrderedList =
    OrderedList { table: "groups", list: "collection_id", item: "id", called: "a group of this collection" };

/// The keys of consecutive rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct KeyRange {
    /// The key of the first row.
    first: i64,
    /// The distance from each key to the next.
    step: i64,
}

/// The key and the item of a row.
type Position = (i64, Uuid);

/// A gap of a list: the number of rows in it to rebalance, and the row after it, if the list does not end first.
#[derive(Clone, Copy, Debug)]
struct Gap {
    rows: i64,
    end: Option<Position>,
}

row_table! {
    struct Moved { item: Uuid, n: i64 }
}

impl OrderedList {
    /// Moves `items`, in their order, directly after `anchor`, or to the start. Three statements.
    ///
    /// # Errors
    /// `NOT_FOUND` for an item that is not in the list, `BAD_USER_INPUT` if the anchor is one of the items.
    pub async fn move_after(
        self,
        write: &mut Write<'_>,
        list: Uuid,
        items: &[Uuid],
        anchor: Option<Uuid>,
    ) -> Result<()> {
        if let Some(index) = anchor.and_then(|anchor| items.iter().position(|item| *item == anchor)) {
            return Err(Error::bad_user_input("an item cannot follow itself").at_index("artifactIds", index));
        }
        let keys = self.keys(write, list, items, anchor).await?;
        if let Some(index) = items.iter().position(|item| !keys.contains_key(item)) {
            return Err(self.not_found().at_index("artifactIds", index));
        }
        let after = match anchor {
            Some(anchor) => (*keys.get(&anchor).ok_or_else(|| self.not_found().in_field("afterArtifactId"))?, anchor),
            None => (BEFORE_ALL, Uuid::nil()),
        };
        let gap = self.find_gap(write, list, items.len(), after).await?;
        let keys = keys_in_gap(after.0, gap.end.map(|(key, _)| key), gap.rows, items.len() as i64);
        self.rebalance(write, list, items, after, gap, keys).await
    }

    fn not_found(self) -> Error {
        Error::new(Code::NotFound, format!("it is not {}", self.called))
    }

    /// The keys of the items and the anchor that are in the list.
    async fn keys(
        self,
        write: &mut Write<'_>,
        list: Uuid,
        items: &[Uuid],
        anchor: Option<Uuid>,
    ) -> Result<HashMap<Uuid, i64>> {
        let ids: Vec<Uuid> = items.iter().copied().chain(anchor).collect();
        let (table, list_column, item) = (text(self.table), text(self.list), text(self.item));
        // SQLite keeps the order of a cross join. By its statistics it would read a list of a million, taken for one of a
        // hundred, from an index that has all columns; so would PostgreSQL for a join.
        let sql = match write.dialect() {
            Dialect::Sqlite => statement!(
                write,
                "select m.{item}, m.sort_key
                 from {ids} k cross join {table} m
                 where m.{list_column} = {list} and m.{item} = k.id {exempt: the list is locked}",
                item,
                ids = id_table(&ids),
                table,
                list_column,
                list,
            ),
            Dialect::Postgres => statement!(
                write,
                "select m.{item}, m.sort_key
                 from {table} m
                 where m.{list_column} = {list} and m.{item} {ids} {exempt: the list is locked}",
                item,
                table,
                list_column,
                list,
                ids = in_ids(&ids),
            ),
        };
        Ok(write.fetch::<(Uuid, i64)>("order.keys", sql).await?.into_iter().collect())
    }

    /// The smallest gap after a position that `count` rows fit in, with the rows in it.
    async fn find_gap(self, write: &mut Write<'_>, list: Uuid, count: usize, after: Position) -> Result<Gap> {
        let windows = |sql: &mut Sql| {
            for (index, (size, distance)) in WINDOWS.into_iter().enumerate() {
                append!(sql, "{union}", union = text(if index > 0 { " union all " } else { "" }));
                self.append_window(list, after, (size, distance), size + count as i64 + 1, sql);
            }
        };
        let sql =
            statement!(write, "select size, sort_key, item from ({windows}) w limit 1", windows = with(&windows),);
        let found: Vec<(i64, i64, Uuid)> = write.fetch("order.gap", sql).await?;
        let gap = found.into_iter().next().map(|(rows, key, item)| Gap { rows, end: Some((key, item)) });
        Ok(gap.unwrap_or(Gap { rows: 0, end: None }))
    }

    /// Appends a select of the row behind a window, if the window has at least this distance between `rows` rows.
    fn append_window(self, list: Uuid, after: Position, (size, distance): (i64, i64), rows: i64, sql: &mut Sql) {
        append!(
            sql,
            "select *
             from (
               select {size} as size, m.sort_key, m.{item} as item
               from {table} m
               where {follows} {exempt: the list is locked}
               order by m.sort_key, m.{item}
               limit 1 offset {size}
             ) w
             where (w.sort_key - {after}) / {rows} >= {distance}",
            size,
            item = text(self.item),
            table = text(self.table),
            follows = with(&|sql| self.append_follows(list, after, sql)),
            after = after.0,
            rows,
            distance,
        );
    }

    /// Appends the condition on rows `m` of a list after a position.
    fn append_follows(self, list: Uuid, (key, id): Position, sql: &mut Sql) {
        append!(
            sql,
            "m.{list_column} = {list} and (m.sort_key, m.{item}) > ({key}, {id})",
            list_column = text(self.list),
            list,
            item = text(self.item),
            key,
            id,
        );
    }

    /// Writes the keys of `items`, and of the rows in the gap after them.
    async fn rebalance(
        self,
        write: &mut Write<'_>,
        list: Uuid,
        items: &[Uuid],
        after: Position,
        gap: Gap,
        keys: KeyRange,
    ) -> Result<()> {
        let numbered = items.iter().enumerate();
        let rows = RowTable::of(numbered.map(|(n, item)| Moved { item: *item, n: n as i64 }));
        let (end_key, end_item) = gap.end.unwrap_or((i64::MAX, Uuid::max()));
        let count = items.len() as i64;
        // SQLite looks each row up by the list of the derived table, and PostgreSQL by the parameter; both would read the
        // whole list otherwise. PostgreSQL guesses how many rows are in a range; a limit is exact.
        let same_list = match write.dialect() {
            Dialect::Sqlite => text("r.list"),
            Dialect::Postgres => Fragment::from(list),
        };
        let sql = statement!(
            write,
            "update {table} as o
             set sort_key = {first} + {step} * r.n, revision = o.revision + 1
             from (
               select *
               from (
                 select {list} as list, f.item, f.n from {rows} f
                 union all
                 select m.{list_column}, m.{item}, {count} + row_number() over (order by m.sort_key, m.{item}) - 1
                 from {table} m
                 where {follows}
                   and (m.sort_key, m.{item}) < ({end_key}, {end_item})
                   and not m.{item} {items}
               ) f
               {limit}
             ) r
             where o.{list_column} = {same_list} and o.{item} = r.item {exempt: the list is locked}",
            table = text(self.table),
            first = keys.first,
            step = keys.step,
            list,
            rows = &rows,
            list_column = text(self.list),
            item = text(self.item),
            count,
            follows = with(&|sql| self.append_follows(list, after, sql)),
            end_key,
            end_item,
            items = in_ids(items),
            limit = limit(gap.end.map_or(i64::MAX, |_| gap.rows + count)),
            same_list,
        );
        write.execute("order.rebalance", sql).await?;
        Ok(())
    }
}

/// The keys of `count` rows after the key `before`, and of `window` rows behind them, all before the key `end`.
fn keys_in_gap(before: i64, end: Option<i64>, window: i64, count: i64) -> KeyRange {
    let is_first = before == BEFORE_ALL;
    match end {
        None if is_first => KeyRange { first: 0, step: STEP },
        None => KeyRange { first: before + STEP, step: STEP },
        // There is always a gap before the first row.
        Some(end) if is_first => KeyRange { first: end - STEP * count, step: STEP },
        Some(end) => {
            let step = (end - before) / (count + window + 1);
            KeyRange { first: before + step, step }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_move_between_their_neighbours() {
        assert_eq!(keys_in_gap(BEFORE_ALL, None, 0, 3), KeyRange { first: 0, step: STEP });
        assert_eq!(keys_in_gap(BEFORE_ALL, Some(0), 0, 2), KeyRange { first: -2 * STEP, step: STEP });
        assert_eq!(keys_in_gap(5, None, 0, 2), KeyRange { first: 5 + STEP, step: STEP });
        assert_eq!(keys_in_gap(0, Some(STEP), 0, 1), KeyRange { first: STEP / 2, step: STEP / 2 });
        let end = 10 + 30 * 1024;
        let KeyRange { first, step } = keys_in_gap(10, Some(end), 16, 4);
        assert_eq!(first, 10 + step);
        assert!(first + step * (4 + 16 - 1) < end);
    }
}
