//! Rows, read alike from both databases.
use sqlx::{Decode, Postgres, Row as _, Sqlite, Type, postgres::PgRow, sqlite::SqliteRow};

use super::{Projection, SelectColumns, SelectList};

/// A row of either database, read column by column from the left.
///
/// SQLite's columns hold values of any type, so each is checked. PostgreSQL's hold what the statement says: comparing types
/// there again for each row costs more than reading the value, and one of another length is an error all the same.
pub struct Row<'r> {
    row: Inner<'r>,
    column: usize,
    asked: Projection,
    bytes: usize,
}

enum Inner<'r> {
    Sqlite(&'r SqliteRow),
    Postgres(&'r PgRow),
}

/// What a column can hold: a type that both databases know.
pub trait ColumnType:
    for<'r> Decode<'r, Sqlite> + Type<Sqlite> + for<'r> Decode<'r, Postgres> + Type<Postgres>
{
    /// Bytes of memory that a value takes, about.
    fn bytes(&self) -> usize {
        size_of_val(self)
    }
}

impl ColumnType for bool {}
impl ColumnType for i64 {}
impl ColumnType for uuid::Uuid {}
impl ColumnType for super::Time {}

impl ColumnType for String {
    fn bytes(&self) -> usize {
        size_of_val(self) + self.len()
    }
}

impl ColumnType for super::Text {
    fn bytes(&self) -> usize {
        size_of_val(self) + self.len()
    }
}

/// What a row holds. Columns are read in the order in which the statement lists them.
pub trait Record: Sized + Send + 'static {
    /// Reads the record's columns.
    ///
    /// # Errors
    /// A column that is missing or of another type.
    fn read(row: &mut Row<'_>) -> sqlx::Result<Self>;
}

impl<'r> Row<'r> {
    pub(super) fn sqlite(row: &'r SqliteRow) -> Self {
        Self { row: Inner::Sqlite(row), column: 0, asked: Projection::ALL, bytes: 0 }
    }

    pub(super) fn postgres(row: &'r PgRow) -> Self {
        Self { row: Inner::Postgres(row), column: 0, asked: Projection::ALL, bytes: 0 }
    }

    /// The next column.
    ///
    /// # Errors
    /// There is none, or it is of another type.
    #[expect(clippy::should_implement_trait, reason = "each column may have another type")]
    pub fn next<T: ColumnType>(&mut self) -> sqlx::Result<T> {
        self.column += 1;
        let value: T = match self.row {
            Inner::Sqlite(row) => row.try_get(self.column - 1)?,
            Inner::Postgres(row) => row.try_get_unchecked(self.column - 1)?,
        };
        self.bytes += value.bytes();
        Ok(value)
    }

    /// Bytes of memory that the values take which were read, about.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Says which columns the statement was asked for; all of them unless it is said.
    pub fn ask(&mut self, asked: Projection) {
        self.asked = asked;
    }

    /// Whether the statement was asked for all of these.
    pub fn asks(&self, columns: Projection) -> bool {
        self.asked.contains(columns)
    }

    pub(super) fn columns(&self) -> Projection {
        self.asked
    }

    /// Passes over the columns of a record.
    pub fn skip<R: SelectColumns>(&mut self) {
        self.column += SelectList::of::<R>(self.asked).len();
    }

    /// The next column, which may be null.
    ///
    /// # Errors
    /// There is none, or it is of another type.
    pub fn next_or_null<T: ColumnType>(&mut self) -> sqlx::Result<Option<T>> {
        self.column += 1;
        let value: Option<T> = match self.row {
            Inner::Sqlite(row) => row.try_get(self.column - 1)?,
            Inner::Postgres(row) => row.try_get_unchecked(self.column - 1)?,
        };
        self.bytes += value.as_ref().map_or(0, ColumnType::bytes);
        Ok(value)
    }
}

macro_rules! column_records {
    ($($type:ty),*) => {$(
        impl Record for $type {
            fn read(row: &mut Row<'_>) -> sqlx::Result<Self> {
                row.next()
            }
        }
    )*};
}
column_records!(i64, String, uuid::Uuid, super::Text, super::Time, bool);

impl Record for Option<String> {
    fn read(row: &mut Row<'_>) -> sqlx::Result<Self> {
        row.next_or_null()
    }
}

impl Record for Option<super::Text> {
    fn read(row: &mut Row<'_>) -> sqlx::Result<Self> {
        row.next_or_null()
    }
}

impl<A: Record, B: Record> Record for (A, B) {
    fn read(row: &mut Row<'_>) -> sqlx::Result<Self> {
        Ok((A::read(row)?, B::read(row)?))
    }
}

impl<A: Record, B: Record, C: Record> Record for (A, B, C) {
    fn read(row: &mut Row<'_>) -> sqlx::Result<Self> {
        Ok((A::read(row)?, B::read(row)?, C::read(row)?))
    }
}
