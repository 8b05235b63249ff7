//! Lists that can be paged: their SQL is put together here from what each list says of itself.
//!
//! A page is bounded **in SQL, for each parent**: by a lateral join on PostgreSQL, by a correlated subquery with a limit
//! on SQLite, never by a window over all members and never in memory. A page goes on at the sort keys of a cursor, so
//! that its cost does not depend on how far in it is.
use std::{fmt::Debug, sync::Arc};

use uuid::Uuid;

use gatherum_engine::{
    RootKey,
    connection::{Slice, SortedRow},
    cursor::{SortType, SortValue},
};

use crate::{
    db::{Arg, Dialect, Projection, Record, Row, SelectColumns, Sql, Text, Time},
    loader::{Key, Relation},
    sql_loader,
};

/// A list that can be paged: the value itself carries the filter and the order.
pub trait List: Clone + Debug + Eq + Send + Sync + 'static {
    /// Whose list it is: the id of the parent, or [`RootKey`].
    type Parent: ListParent;
    /// What a row holds: the node, and what the edge knows.
    type Row: SelectColumns + Clone + Sync;

    /// The list as `Type.field`.
    const NAME: &'static str;
    /// Its count as `Type.field.totalCount`.
    const TOTAL_NAME: &'static str;
    /// Tables and joins.
    const FROM: &'static str;
    /// The column that holds the parent's id; `true` where there is no parent.
    const PARENT: &'static str;
    /// The column that identifies a row on SQLite.
    const ROW: &'static str;

    /// The order, with its direction.
    fn order(&self) -> Order;

    /// Writes a column of the order: its text, unless it has parameters.
    fn write_order_column(&self, column: &'static str, sql: &mut Sql) {
        sql.push(column);
    }

    /// Writes the condition for what of the list whoever asks may see, after ` and `; none where it is seen with its
    /// parent.
    fn policy(sql: &mut Sql);

    /// Writes further conditions, each after ` and `.
    fn filter(&self, sql: &mut Sql);

    /// Writes all conditions, each after ` and `.
    fn conditions(&self, sql: &mut Sql) {
        Self::policy(sql);
        self.filter(sql);
    }

    /// Writes the statement that counts the members of each parent.
    fn total(&self, keys: &[Self::Parent], sql: &mut Sql) {
        count_members(self, keys, sql);
    }
}

/// What lists belong to.
pub trait ListParent: Key {
    /// Whether there is no parent.
    const IS_ROOT: bool;

    /// Writes a table of the keys with the one column `id`; nothing where there is no parent.
    fn table(keys: &[Self], sql: &mut Sql);

    /// The key as a parameter, where there is one alone.
    fn single(keys: &[Self]) -> Option<Arg>;
}

impl ListParent for Uuid {
    const IS_ROOT: bool = false;

    fn table(keys: &[Self], sql: &mut Sql) {
        sql.id_table(keys);
    }

    fn single(keys: &[Self]) -> Option<Arg> {
        if let [id] = keys { Some(Arg::Id(*id)) } else { None }
    }
}

impl ListParent for RootKey {
    const IS_ROOT: bool = true;

    fn table(_keys: &[Self], _sql: &mut Sql) {}

    fn single(_keys: &[Self]) -> Option<Arg> {
        None
    }
}

/// By what a list is sorted. The last column is unique within a parent, so that the order is total.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// The name of the order, for cursors.
    pub name: &'static str,
    /// The columns and what they hold.
    pub columns: &'static [(&'static str, SortType)],
    /// From the largest to the smallest, in all columns.
    pub descending: bool,
}

impl Order {
    /// What the columns hold.
    pub fn types(&self) -> Vec<SortType> {
        self.columns.iter().map(|(_, kind)| *kind).collect()
    }
}

/// A page of a list, for each parent: one row more than asked for, in the direction of reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<L> {
    /// The list.
    pub list: L,
    /// Which part of it.
    pub slice: Slice,
}

sql_loader!([L: List] Page<L>);

impl<L: List> Relation for Page<L> {
    type Key = L::Parent;
    type Row = SortedRow<L::Row>;
    type Value = Arc<Vec<SortedRow<L::Row>>>;
    const NAME: &'static str = L::NAME;

    fn statement(&self, keys: &[Self::Key], sql: &mut Sql) {
        if L::Parent::IS_ROOT {
            self.of_root(sql);
        } else if let Some(key) = L::Parent::single(keys) {
            self.of_one(key, sql);
        } else {
            match sql.dialect() {
                Dialect::Sqlite => self.of_parents_sqlite(keys, sql),
                Dialect::Postgres => self.of_parents_postgres(keys, sql),
            }
        }
    }

    fn read(&self, row: &mut Row<'_>) -> sqlx::Result<Self::Row> {
        let read = L::Row::read(row)?;
        if !row.asks(Projection::SORT_KEYS) {
            return Ok(SortedRow::new(read, None));
        }
        let columns = self.list.order().columns;
        let mut sort = Vec::with_capacity(columns.len());
        for (_, kind) in columns {
            sort.push(read_sort_value(*kind, row)?);
        }
        Ok(SortedRow::new(read, Some(sort)))
    }
}

impl<L: List> Page<L> {
    fn of_root(&self, sql: &mut Sql) {
        sql.push("select ");
        self.columns(sql);
        sql.push(" from ").push(L::FROM).push(" where true");
        self.rest(sql);
    }

    /// Of one parent alone it is a plain statement, which both databases are quicker with.
    fn of_one(&self, key: Arg, sql: &mut Sql) {
        sql.push("select ").push(L::PARENT).push(", ");
        self.columns(sql);
        sql.push(" from ").push(L::FROM).push(" where ").push(L::PARENT).push(" = ").bind(key);
        self.rest(sql);
    }

    /// For each key, the first rows of its members: `limit` inside the join.
    fn of_parents_postgres(&self, keys: &[L::Parent], sql: &mut Sql) {
        sql.push("select keys.id, page.* from ");
        L::Parent::table(keys, sql);
        sql.push(" as keys cross join lateral (select ");
        self.columns(sql);
        sql.push(" from ").push(L::FROM).push(" where ").push(L::PARENT).push(" = keys.id");
        self.rest(sql);
        sql.push(") page");
    }

    /// SQLite has no lateral join: the rows of a page are found by a correlated subquery with a limit, and read by their
    /// row numbers.
    fn of_parents_sqlite(&self, keys: &[L::Parent], sql: &mut Sql) {
        sql.push("select keys.id, ");
        self.columns(sql);
        sql.push(" from ");
        L::Parent::table(keys, sql);
        sql.push(" as keys cross join ").push(L::FROM);
        sql.push(" where ").push(L::ROW).push(" in (select ").push(L::ROW);
        sql.push(" from ").push(L::FROM).push(" where ").push(L::PARENT).push(" = keys.id");
        self.rest(sql);
        sql.push(") order by keys.id");
        for (column, _) in self.list.order().columns {
            sql.push(", ");
            self.list.write_order_column(column, sql);
            sql.push(self.direction());
        }
    }

    fn columns(&self, sql: &mut Sql) {
        sql.columns::<L::Row>();
        if sql.asks(Projection::SORT_KEYS) {
            for (column, _) in self.list.order().columns {
                sql.push(", ");
                self.list.write_order_column(column, sql);
            }
        }
    }

    /// Filter, cursors, order and limit.
    fn rest(&self, sql: &mut Sql) {
        self.list.conditions(sql);
        let ascending = !self.reads_down();
        self.bound(self.slice.from.as_deref(), if ascending { " > " } else { " < " }, sql);
        self.bound(self.slice.to.as_deref(), if ascending { " < " } else { " > " }, sql);
        sql.push(" order by ");
        for (place, (column, _)) in self.list.order().columns.iter().enumerate() {
            sql.push(if place > 0 { ", " } else { "" });
            self.list.write_order_column(column, sql);
            sql.push(self.direction());
        }
        sql.limit(i64::from(self.slice.size) + 1);
    }

    fn bound(&self, values: Option<&[SortValue]>, comparison: &'static str, sql: &mut Sql) {
        let Some(values) = values else { return };
        sql.push(" and (");
        for (place, (column, _)) in self.list.order().columns.iter().enumerate() {
            sql.push(if place > 0 { ", " } else { "" });
            self.list.write_order_column(column, sql);
        }
        sql.push(")").push(comparison).push("(");
        for (place, value) in values.iter().enumerate() {
            sql.push(if place > 0 { ", " } else { "" }).bind(sort_arg(value));
        }
        sql.push(")");
    }

    fn reads_down(&self) -> bool {
        self.list.order().descending != self.slice.backward
    }

    fn direction(&self) -> &'static str {
        if self.reads_down() { " desc" } else { "" }
    }
}

/// How many members a list has, for each parent, the filter applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Total<L>(pub L);

sql_loader!([L: List] Total<L>);

impl<L: List> Relation for Total<L> {
    type Key = L::Parent;
    type Row = i64;
    type Value = i64;
    const NAME: &'static str = L::TOTAL_NAME;

    fn statement(&self, keys: &[Self::Key], sql: &mut Sql) {
        self.0.total(keys, sql);
    }

    fn read(&self, row: &mut Row<'_>) -> sqlx::Result<i64> {
        row.next()
    }
}

/// Counts the members of each parent by reading them.
pub fn count_members<L: List>(list: &L, keys: &[L::Parent], sql: &mut Sql) {
    begin_groups::<L>(keys, "count(*)", sql);
    list.conditions(sql);
    if !L::Parent::IS_ROOT {
        sql.push(" group by keys.id");
    }
}

/// Begins a statement that groups the members of each parent: everything before the conditions of the filter.
pub fn begin_groups<L: List>(keys: &[L::Parent], columns: &'static str, sql: &mut Sql) {
    if L::Parent::IS_ROOT {
        sql.push("select ").push(columns).push(" from ").push(L::FROM).push(" where true");
        return;
    }
    sql.push("select keys.id, ").push(columns).push(" from ");
    L::Parent::table(keys, sql);
    sql.push(" as keys cross join ").push(L::FROM).push(" where ").push(L::PARENT).push(" = keys.id");
}

/// Reads a sort value, the next column of a row.
fn read_sort_value(kind: SortType, row: &mut Row<'_>) -> sqlx::Result<SortValue> {
    Ok(match kind {
        SortType::Int => SortValue::Int(row.next()?),
        SortType::Text => SortValue::Text(row.next::<Text>()?.into()),
        SortType::Time => SortValue::Time(row.next::<Time>()?.0),
        SortType::Id => SortValue::Id(row.next()?),
    })
}

/// A sort value as a parameter.
fn sort_arg(value: &SortValue) -> Arg {
    match value {
        SortValue::Int(value) => Arg::Int(*value),
        SortValue::Text(text) => Arg::Text(Some(text.to_string())),
        SortValue::Time(time) => Arg::Time(Time(*time)),
        SortValue::Id(id) => Arg::Id(*id),
    }
}
