//! The columns of a table, listed once by [`crate::table!`]: selects, inserts, updates and copies are derived from the
//! list by name.
use uuid::Uuid;

use super::{Cell, CellType, Fragment, Row, Sql, Text, Time, Values, index_words};

/// A type that a column can have, as it is written.
pub trait ColumnValue {
    /// The value to write.
    type Value: Clone + std::fmt::Debug;
    /// The type of the column in a table of rows.
    const TYPE: CellType;

    /// The value as a cell.
    fn cell(value: Self::Value) -> Cell;

    /// Reads the value from the next column of a row.
    ///
    /// # Errors
    /// The column is missing, or has another type.
    fn read(row: &mut Row<'_>) -> sqlx::Result<Self::Value>;
}

/// The words of a text column, which a full-text index reads from a column of their own.
pub fn words_cell(text: Cell, limit: usize) -> Cell {
    match text {
        Cell::Text(text) => Cell::Text(index_words(&text, limit)),
        _ => Cell::Text(String::new()),
    }
}

macro_rules! column_values {
    ($($type:ty, $value:ty => $cell_type:ident: |$given:ident| $cell:expr;)*) => {$(
        impl ColumnValue for $type {
            type Value = $value;
            const TYPE: CellType = CellType::$cell_type;

            fn cell($given: $value) -> Cell {
                $cell
            }

            fn read(row: &mut Row<'_>) -> sqlx::Result<$value> {
                row.next()
            }
        }

        impl ColumnValue for Option<$type> {
            type Value = Option<$value>;
            const TYPE: CellType = CellType::$cell_type;

            fn cell(value: Option<$value>) -> Cell {
                value.map_or(Cell::Null, <$type as ColumnValue>::cell)
            }

            fn read(row: &mut Row<'_>) -> sqlx::Result<Option<$value>> {
                row.next_or_null()
            }
        }
    )*};
}
column_values! {
    Uuid, Uuid => Id: |id| Cell::Id(id);
    i64, i64 => Int: |number| Cell::Int(number);
    Time, Time => Time: |time| Cell::Time(time);
    Text, String => Text: |text| Cell::Text(text);
    String, String => Text: |text| Cell::Text(text);
}

/// The writable columns of a table, as [`Fragment`]s of statements.
pub trait Table: Values + Sized + Clone {
    /// The names of the columns, after them those of the columns with their words.
    const NAMES: &'static [&'static str];
    /// The names of the columns without those of the words: the columns of the values as a record.
    const RECORD_NAMES: &'static [&'static str];
    /// The columns with their types.
    const COLUMNS: &'static [(&'static str, CellType)];
    /// The columns of a table of rows: `id`, the writable columns, and `given`, which has a bit for each of them.
    const ROWS: &'static [(&'static str, CellType)];

    /// The names of the columns, for `insert into artifacts ({names})`.
    fn column_names<'a>() -> Fragment<'a> {
        Fragment::Write(|sql| separated(Self::NAMES.iter(), sql, |name, sql| sql.push(name)))
    }

    /// The columns of the table with an alias, for `insert into … select {values} from {rows} r`.
    fn columns_of<'a>(alias: &'static str) -> Fragment<'a> {
        Fragment::WriteFor(alias, |alias, sql| {
            separated(Self::NAMES.iter(), sql, |name, sql| sql.push(alias).push(".").push(name));
        })
    }

    /// The columns of the table with an alias that the values as a record have, for `select {columns} from artifacts a`.
    fn record_columns_of<'a>(alias: &'static str) -> Fragment<'a> {
        Fragment::WriteFor(alias, |alias, sql| {
            separated(Self::RECORD_NAMES.iter(), sql, |name, sql| sql.push(alias).push(".").push(name));
        })
    }

    /// The columns of the table with an alias, but parameters for those with a given value: a copy with changes.
    fn copied_from<'a>(alias: &'static str, values: &'a Self) -> Fragment<'a> {
        Fragment::CopiedFrom(alias, values)
    }

    /// Assigns the columns that a row `r` gives to the table `e`, for `update artifacts as e set {changes} from {rows} r`.
    fn changes_of_rows<'a>() -> Fragment<'a> {
        Fragment::Write(|sql| {
            separated(Self::NAMES.iter().enumerate(), sql, |(index, name), sql| {
                sql.push(name).push(" = case when r.given & ").number(1 << index).push(" <> 0 then r.").push(name);
                sql.push(" else e.").push(name).push(" end")
            });
        })
    }
}

/// Lists of columns as one. `N` is the number of all columns.
///
/// # Panics
/// `N` is another number; at compile time in constants.
pub const fn join_columns<const N: usize>(lists: &[&[(&'static str, CellType)]]) -> [(&'static str, CellType); N] {
    let mut columns = [("", CellType::Id); N];
    let (mut list, mut count) = (0, 0);
    while list < lists.len() {
        let mut index = 0;
        while index < lists[list].len() {
            columns[count] = lists[list][index];
            index += 1;
            count += 1;
        }
        list += 1;
    }
    assert!(count == N, "the lists have another number of columns");
    columns
}

/// Appends items with a comma between them.
fn separated<I>(items: impl Iterator<Item = I>, sql: &mut Sql, append: impl Fn(I, &mut Sql) -> &mut Sql) {
    for (index, item) in items.enumerate() {
        sql.push(if index > 0 { ", " } else { "" });
        append(item, sql);
    }
}

/// The values of all columns as parameters, null for those that are not given, for `insert into tags ({names}) values
/// ({values})`.
pub fn all_values(values: &dyn Values) -> Fragment<'_> {
    Fragment::AllValues(values)
}

/// Assigns the columns that are given, each after a comma, for `update tags set revision = revision + 1 {changes}`.
pub fn changes(values: &dyn Values) -> Fragment<'_> {
    Fragment::Changes(values)
}

impl Sql {
    pub(super) fn all_values(&mut self, values: &dyn Values) {
        separated(values.cells().into_iter(), self, |cell, sql| sql.bind(cell.unwrap_or(Cell::Null).into()));
    }

    pub(super) fn copied_from(&mut self, alias: &'static str, values: &dyn Values) {
        let columns = values.names().iter().zip(values.cells());
        separated(columns, self, |(name, cell), sql| match cell {
            Some(cell) => sql.bind(cell.into()),
            None => sql.push(alias).push(".").push(name),
        });
    }

    pub(super) fn changes(&mut self, values: &dyn Values) {
        for (name, cell) in values.names().iter().zip(values.cells()) {
            if let Some(cell) = cell {
                self.push(", ").push(name).push(" = ").bind(cell.into());
            }
        }
    }
}

/// A row of a table that a statement has as a parameter. [`crate::row_table!`] declares it.
pub trait TableRow {
    /// The columns.
    const COLUMNS: &'static [(&'static str, CellType)];

    /// The cells, in the order of the columns.
    fn cells(self) -> Vec<Cell>;
}

/// An id, the writable columns, and which of them are given.
impl<T: Table> TableRow for (Uuid, T) {
    const COLUMNS: &'static [(&'static str, CellType)] = T::ROWS;

    fn cells(self) -> Vec<Cell> {
        let values = self.1.cells();
        let given = values.iter().enumerate().filter(|(_, value)| value.is_some());
        let mask = given.fold(0, |mask, (index, _)| mask | 1 << index);
        let values = values.into_iter().map(|value| value.unwrap_or(Cell::Null));
        std::iter::once(Cell::Id(self.0)).chain(values).chain([Cell::Int(mask)]).collect()
    }
}

/// A table of rows that a statement has as a parameter: `from {rows} r` with `rows: &rows`.
#[derive(Clone, Debug)]
pub struct RowTable {
    columns: &'static [(&'static str, CellType)],
    rows: Vec<Vec<Cell>>,
}

impl RowTable {
    /// A table of these rows.
    pub fn of<R: TableRow>(rows: impl IntoIterator<Item = R>) -> Self {
        Self { columns: R::COLUMNS, rows: rows.into_iter().map(R::cells).collect() }
    }
}

impl<'a> From<&'a RowTable> for Fragment<'a> {
    fn from(table: &'a RowTable) -> Self {
        Self::Rows(table.columns, &table.rows)
    }
}

/// Declares the columns of a table once. It makes
/// - a record, as [`crate::row!`] does, with the columns that are selected: `eager` ones always, the others on demand;
/// - the values of the writable columns, by name, each of which is given or not.
///
/// A column whose name is no name of Rust has it as a literal after the field. `write_only` columns are no part of the
/// record: relations of their own read them. A column with `=> "name_words" up to SHORT_TEXT` after its type is indexed by a
/// search: whenever it is written, its words are written to the named column, up to this number of bytes.
#[macro_export]
macro_rules! table {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident($stored:ident) as $alias:literal, values $values:ident {
            eager { $($eager:ident: $eager_type:ty),* $(,)? }
            writable {
                $($writable:ident $($writable_name:literal)?: $writable_type:ty $(=> $words:literal up to $limit:ident)?),*
                $(,)?
            }
            $(write_only { $($write_only:ident: $write_only_type:ty),* $(,)? })?
            read_only { $($read_only:ident: $read_only_type:ty),* $(,)? }
        }
    ) => {
        $crate::row! {
            $(#[$meta])*
            $vis struct $name($stored) from 0 {
                eager { $($eager: $eager_type = concat!($alias, ".", stringify!($eager))),* }
                on_demand {
                    $($writable: $writable_type =
                        concat!($alias, ".", $crate::column_name!($writable $($writable_name)?)),)*
                    $($read_only: $read_only_type = concat!($alias, ".", stringify!($read_only)),)*
                }
            }
        }

        $crate::values! {
            #[doc = concat!("The writable columns of [`", stringify!($name), "`], as far as they are given.")]
            $vis struct $values {
                $($writable $($writable_name)?: $writable_type $(=> $words up to $limit)?,)*
                $($($write_only: $write_only_type,)*)?
            }
        }
    };
}

/// Declares the values of writable columns. [`crate::table!`] uses it.
#[macro_export]
macro_rules! values {
    (
        $(#[$meta:meta])*
        $vis:vis struct $values:ident {
            $($field:ident $($column:literal)?: $type:ty $(=> $words:literal up to $limit:ident)?),* $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default)]
        $vis struct $values {
            $(
                #[doc = concat!("`", $crate::column_name!($field $($column)?), "`.")]
                $vis $field: Option<<$type as $crate::ColumnValue>::Value>,
            )*
        }

        impl $crate::Values for $values {
            fn names(&self) -> &'static [&'static str] {
                <Self as $crate::Table>::NAMES
            }

            fn cells(&self) -> Vec<Option<$crate::Cell>> {
                let cells = [$(self.$field.clone().map(<$type as $crate::ColumnValue>::cell)),*];
                let words = [$($({
                    let text = self.$field.clone().map(<$type as $crate::ColumnValue>::cell);
                    text.map(|text| $crate::words_cell(text, $crate::$limit))
                },)?)*];
                cells.into_iter().chain::<[Option<$crate::Cell>; _]>(words).collect()
            }
        }

        impl $crate::Table for $values {
            const NAMES: &'static [&'static str] = &[$($crate::column_name!($field $($column)?),)* $($($words,)?)*];
            const RECORD_NAMES: &'static [&'static str] = &[$($crate::column_name!($field $($column)?)),*];
            const COLUMNS: &'static [(&'static str, $crate::CellType)] = &[
                $(($crate::column_name!($field $($column)?), <$type as $crate::ColumnValue>::TYPE),)*
                $($(($words, $crate::CellType::Text),)?)*
            ];
            const ROWS: &'static [(&'static str, $crate::CellType)] =
                &$crate::join_columns::<{ <Self as $crate::Table>::COLUMNS.len() + 2 }>(&[
                    &[("id", $crate::CellType::Id)],
                    <Self as $crate::Table>::COLUMNS,
                    &[("given", $crate::CellType::Int)],
                ]);
        }

        /// Reads the columns of `RECORD_NAMES`.
        impl $crate::Record for $values {
            fn read(row: &mut $crate::Row<'_>) -> $crate::sqlx::Result<Self> {
                Ok(Self { $($field: Some(<$type as $crate::ColumnValue>::read(row)?)),* })
            }
        }
    };
}

/// Declares the rows of a table that a statement has as a parameter, by name. [`RowTable`](crate::RowTable) makes the
/// table. `..values: TagValues` stands for the writable columns of a [`table!`](crate::table!).
#[macro_export]
macro_rules! row_table {
    ($(#[$meta:meta])* $vis:vis struct $name:ident { $($field:ident: $type:ty),* $(,)? }) => {
        $(#[$meta])*
        $vis struct $name {
            $($field: $type),*
        }

        impl $crate::TableRow for $name {
            const COLUMNS: &'static [(&'static str, $crate::CellType)] =
                &[$((stringify!($field), <$type as $crate::ColumnValue>::TYPE)),*];

            fn cells(self) -> Vec<$crate::Cell> {
                vec![$(<$type as $crate::ColumnValue>::cell(self.$field)),*]
            }
        }
    };
    ($(#[$meta:meta])* $vis:vis struct $name:ident {
        $($key:ident: $key_type:ty,)+ ..$values:ident: $table:ty $(, $rest:ident: $rest_type:ty)* $(,)?
    }) => {
        $(#[$meta])*
        $vis struct $name {
            $($key: $key_type,)+
            $values: $table,
            $($rest: $rest_type),*
        }

        impl $crate::TableRow for $name {
            const COLUMNS: &'static [(&'static str, $crate::CellType)] = &$crate::join_columns::<
                { <$table as $crate::Table>::COLUMNS.len() + [$(stringify!($key),)+ $(stringify!($rest)),*].len() },
            >(&[
                &[$((stringify!($key), <$key_type as $crate::ColumnValue>::TYPE)),+],
                <$table as $crate::Table>::COLUMNS,
                &[$((stringify!($rest), <$rest_type as $crate::ColumnValue>::TYPE)),*],
            ]);

            /// Values that are not given are null.
            fn cells(self) -> Vec<$crate::Cell> {
                let values = $crate::Values::cells(&self.$values).into_iter();
                let mut cells = vec![$(<$key_type as $crate::ColumnValue>::cell(self.$key)),+];
                cells.extend(values.map(|value| value.unwrap_or($crate::Cell::Null)));
                cells.extend([$(<$rest_type as $crate::ColumnValue>::cell(self.$rest)),*]);
                cells
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! column_name {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident $column:literal) => {
        $column
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AccessScope, Dialect};

    values! {
        struct BookValues { title: Text => "title_words" up to SHORT_TEXT, kind "type": Option<Text>, pages: i64 }
    }

    row_table! {
        struct Loan { book: Uuid, since: Time }
    }

    fn rendered(fragment: Fragment<'_>) -> String {
        let mut sql = Sql::new(Dialect::Sqlite, AccessScope::Unrestricted);
        crate::append!(sql, "{fragment}", fragment);
        sql.text().to_owned()
    }

    #[test]
    fn statements_are_derived_from_the_columns() {
        let values = BookValues { kind: Some(None), pages: Some(3), ..BookValues::default() };

        assert_eq!(rendered(BookValues::column_names()), "title, type, pages, title_words");
        assert_eq!(rendered(BookValues::columns_of("r")), "r.title, r.type, r.pages, r.title_words");
        assert_eq!(rendered(BookValues::record_columns_of("b")), "b.title, b.type, b.pages");
        assert_eq!(rendered(all_values(&values)), "$1, $2, $3, $4");
        assert_eq!(rendered(changes(&values)), ", type = $1, pages = $2");
        assert!(rendered(BookValues::changes_of_rows()).starts_with(
            "title = case when r.given & 1 <> 0 then r.title else e.title end, type = case when r.given & 2 <> 0 then"
        ));
    }

    #[test]
    fn a_row_says_which_columns_it_gives() {
        let values = BookValues { kind: Some(None), pages: Some(3), ..BookValues::default() };

        let cells = (Uuid::nil(), values).cells();

        let null = Cell::Null;
        assert_eq!(cells, [Cell::Id(Uuid::nil()), null.clone(), null.clone(), Cell::Int(3), null, Cell::Int(0b110)]);
        assert_eq!(<(Uuid, BookValues)>::COLUMNS[2], ("type", CellType::Text));
    }

    #[test]
    fn the_words_of_a_text_are_written_with_it() {
        let values = BookValues { title: Some("The Lord".to_owned()), ..BookValues::default() };

        let cells = values.cells();

        assert_eq!(cells[3], Some(Cell::Text("the lord".to_owned())));
        assert_eq!(rendered(changes(&values)), ", title = $1, title_words = $2");
    }

    #[test]
    fn rows_have_their_cells_by_name() {
        let rows = RowTable::of([Loan { since: Time(1), book: Uuid::nil() }]);

        assert_eq!(rows.columns, [("book", CellType::Id), ("since", CellType::Time)]);
        assert_eq!(rows.rows, [[Cell::Id(Uuid::nil()), Cell::Time(Time(1))]]);
    }
}
