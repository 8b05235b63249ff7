//! Lists that can be paged: the statements of their pages and counts.
//!
//! A page is limited **in SQL, for each parent**: by a lateral join on PostgreSQL, by a correlated subquery with a limit
//! on SQLite, never by a window over all members and never in memory. A page continues after the sort keys of a cursor, so
//! its cost does not depend on how many rows precede it.
use std::{fmt::Debug, sync::Arc};

use uuid::Uuid;

use gatherum_engine::{
    RootKey,
    connection::{Slice, SortedRow},
    cursor::{SortType, SortValue},
};

use crate::{
    append,
    db::{
        Arg, Dialect, Fragment, Policy, Projection, Record, Row, SelectColumns, Sql, Text, Time, columns, id_table,
        limit, text, with,
    },
    loader::{Key, Relation},
    sql_loader,
};

/// A list that can be paged: the value itself carries the filter and the order.
pub trait List: Clone + Debug + Eq + Send + Sync + 'static {
    /// The parent of the list: its id, or [`RootKey`].
    type Parent: ListParent;
    /// The columns of a row: those of the node and of the edge.
    type Row: SelectColumns + Clone + Sync;

    /// The list as `Type.field`.
    const NAME: &'static str;
    /// Its count as `Type.field.totalCount`.
    const TOTAL_NAME: &'static str;
    /// Tables and joins.
    const FROM: &'static str;
    /// The column with the id of the parent; `true` if there is no parent.
    const PARENT: &'static str;
    /// The column that identifies a row on SQLite.
    const ROW: &'static str;
    /// The rows that the viewer may see: a policy on an alias of `FROM`, or the reason why none is needed.
    const POLICY: Policy;

    /// The order, with its direction.
    fn order(&self) -> ListOrder;

    /// Appends a column of the order: its text, unless it has parameters.
    fn write_order_column(&self, column: &'static str, sql: &mut Sql) {
        append!(sql, "{column}", column = text(column));
    }

    /// Appends the conditions of the filter, each after ` and `.
    fn filter(&self, _sql: &mut Sql) {}

    /// Appends the statement that counts the rows of each parent.
    fn total(&self, keys: &[Self::Parent], sql: &mut Sql) {
        count_members(self, keys, sql);
    }
}

/// The policy of a list. That it is about an alias of the tables of the list is checked at compile time.
pub fn policy<L: List>() -> Policy {
    const { assert!(L::POLICY.fits(L::FROM), "the policy of a list is about an alias of its tables") };
    L::POLICY
}

/// The parents of lists.
pub trait ListParent: Key {
    /// Whether there is no parent.
    const IS_ROOT: bool;

    /// A table of the keys with the column `id`; empty if there is no parent.
    fn table(keys: &[Self]) -> Fragment<'_>;

    /// The key as a parameter, if there is only one.
    fn single(keys: &[Self]) -> Option<Fragment<'_>>;
}

impl ListParent for Uuid {
    const IS_ROOT: bool = false;

    fn table(keys: &[Self]) -> Fragment<'_> {
        id_table(keys)
    }

    fn single(keys: &[Self]) -> Option<Fragment<'_>> {
        if let [id] = keys { Some((*id).into()) } else { None }
    }
}

impl ListParent for RootKey {
    const IS_ROOT: bool = true;

    fn table(_keys: &[Self]) -> Fragment<'_> {
        text("")
    }

    fn single(_keys: &[Self]) -> Option<Fragment<'_>> {
        None
    }
}

/// By what a list is sorted. The last column is unique within a parent, so that the order is total.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListOrder {
    /// The name of the order, for cursors.
    pub name: &'static str,
    /// The columns and what they hold.
    pub columns: &'static [(&'static str, SortType)],
    /// From the largest to the smallest, in all columns.
    pub descending: bool,
}

impl ListOrder {
    /// From the smallest to the largest.
    pub const fn ascending(name: &'static str, columns: &'static [(&'static str, SortType)]) -> Self {
        Self { name, columns, descending: false }
    }

    /// From the largest to the smallest.
    pub const fn descending(name: &'static str, columns: &'static [(&'static str, SortType)]) -> Self {
        Self { name, columns, descending: true }
    }

    /// The types of the columns.
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
        if !row.selects(Projection::SORT_KEYS) {
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
        append!(
            sql,
            "select {columns} from {from} where true {visible} {conditions} order by {order} {limit}",
            columns = with(&|sql| self.columns(sql)),
            from = text(L::FROM),
            visible = policy::<L>(),
            conditions = with(&|sql| self.conditions(sql)),
            order = with(&|sql| self.order(sql)),
            limit = self.limit(),
        );
    }

    /// Rows of only one parent need neither a join nor a subquery: both databases run the plain statement faster.
    fn of_one(&self, key: Fragment<'_>, sql: &mut Sql) {
        append!(
            sql,
            "select {parent}, {columns} from {from} where {parent} = {key} {visible} {conditions} order by {order} {limit}",
            columns = with(&|sql| self.columns(sql)),
            from = text(L::FROM),
            parent = text(L::PARENT),
            key,
            visible = policy::<L>(),
            conditions = with(&|sql| self.conditions(sql)),
            order = with(&|sql| self.order(sql)),
            limit = self.limit(),
        );
    }

    /// The first rows of each key: the limit is inside the join.
    fn of_parents_postgres(&self, keys: &[L::Parent], sql: &mut Sql) {
        append!(
            sql,
            "select keys.id, page.*
             from {keys} as keys
             cross join lateral (
               select {columns} from {from} where {parent} = keys.id {visible} {conditions} order by {order} {limit}
             ) page",
            keys = L::Parent::table(keys),
            columns = with(&|sql| self.columns(sql)),
            from = text(L::FROM),
            parent = text(L::PARENT),
            visible = policy::<L>(),
            conditions = with(&|sql| self.conditions(sql)),
            order = with(&|sql| self.order(sql)),
            limit = self.limit(),
        );
    }

    /// SQLite has no lateral join: a correlated subquery with a limit finds the rows of a page, which are read by their
    /// row numbers.
    fn of_parents_sqlite(&self, keys: &[L::Parent], sql: &mut Sql) {
        append!(
            sql,
            "select keys.id, {columns}
             from {keys} as keys
             cross join {from}
             where {row} in (
               select {row} from {from} where {parent} = keys.id {visible} {conditions} order by {order} {limit}
             )
             order by keys.id, {order}",
            columns = with(&|sql| self.columns(sql)),
            keys = L::Parent::table(keys),
            from = text(L::FROM),
            row = text(L::ROW),
            parent = text(L::PARENT),
            visible = policy::<L>(),
            conditions = with(&|sql| self.conditions(sql)),
            order = with(&|sql| self.order(sql)),
            limit = self.limit(),
        );
    }

    /// The columns of a row, then those of the order if they are selected.
    fn columns(&self, sql: &mut Sql) {
        append!(sql, "{columns}", columns = columns::<L::Row>());
        if sql.selects(Projection::SORT_KEYS) {
            for (column, _) in self.list.order().columns {
                append!(sql, ", ");
                self.list.write_order_column(column, sql);
            }
        }
    }

    /// Filter and cursors.
    fn conditions(&self, sql: &mut Sql) {
        self.list.filter(sql);
        let is_ascending = !self.reads_down();
        self.bound(self.slice.from.as_deref(), if is_ascending { ">" } else { "<" }, sql);
        self.bound(self.slice.to.as_deref(), if is_ascending { "<" } else { ">" }, sql);
    }

    /// The condition that the sort keys of a row are on one side of those of a cursor.
    fn bound(&self, values: Option<&[SortValue]>, comparison: &'static str, sql: &mut Sql) {
        let Some(values) = values else { return };
        append!(
            sql,
            " and ({columns}) {comparison} ({values})",
            columns = with(&|sql| self.order_columns("", sql)),
            comparison = text(comparison),
            values = with(&|sql| {
                for (index, value) in values.iter().enumerate() {
                    append!(sql, "{comma}{value}", comma = comma(index), value = sort_arg(value));
                }
            }),
        );
    }

    fn order(&self, sql: &mut Sql) {
        self.order_columns(self.direction(), sql);
    }

    fn order_columns(&self, direction: &'static str, sql: &mut Sql) {
        for (index, (column, _)) in self.list.order().columns.iter().enumerate() {
            append!(sql, "{comma}", comma = comma(index));
            self.list.write_order_column(column, sql);
            append!(sql, "{direction}", direction = text(direction));
        }
    }

    /// One row more than the page has, which says whether rows follow.
    fn limit(&self) -> Fragment<'static> {
        limit(i64::from(self.slice.size) + 1)
    }

    fn reads_down(&self) -> bool {
        self.list.order().descending != self.slice.backward
    }

    fn direction(&self) -> &'static str {
        if self.reads_down() { " desc" } else { "" }
    }
}

/// The comma before all items of a list but the first.
fn comma(index: usize) -> Fragment<'static> {
    text(if index > 0 { ", " } else { "" })
}

/// The number of rows of a list that match its filter, for each parent.
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

/// Counts the rows of each parent by reading them.
pub fn count_members<L: List>(list: &L, keys: &[L::Parent], sql: &mut Sql) {
    if L::Parent::IS_ROOT {
        append!(
            sql,
            "select count(*) from {from} where true {visible} {filter}",
            from = text(L::FROM),
            visible = policy::<L>(),
            filter = with(&|sql| list.filter(sql)),
        );
    } else {
        append!(
            sql,
            "select keys.id, count(*)
             from {keys} as keys cross join {from}
             where {parent} = keys.id {visible} {filter}
             group by keys.id",
            keys = L::Parent::table(keys),
            from = text(L::FROM),
            parent = text(L::PARENT),
            visible = policy::<L>(),
            filter = with(&|sql| list.filter(sql)),
        );
    }
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
