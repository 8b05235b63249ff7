//! Rows, read in the same way from both databases.
use gatherum_engine::Projection;
use sqlx::{Decode, Postgres, Row as _, Sqlite, Type, postgres::PgRow, sqlite::SqliteRow};

/// A row of either database, read column by column from left to right.
///
/// A column of SQLite can have values of any type, so the type of each value is checked. A column of PostgreSQL has the type
/// that the statement gives it: checking it for each row would cost more than reading the value, and a value of another
/// length is an error anyway.
pub struct Row<'r> {
    row: Inner<'r>,
    column: usize,
    selected: Projection,
    bytes: usize,
}

enum Inner<'r> {
    Sqlite(&'r SqliteRow),
    Postgres(&'r PgRow),
}

/// A type of column values that both databases support.
pub trait ColumnType:
    for<'r> Decode<'r, Sqlite> + Type<Sqlite> + for<'r> Decode<'r, Postgres> + Type<Postgres>
{
    /// Approximate size of the value in memory, in bytes.
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

/// A value that is read from a row. Columns are read in the order in which the statement selects them.
pub trait Record: Sized + Send + 'static {
    /// Reads the record's columns.
    ///
    /// # Errors
    /// A column is missing, or has another type.
    fn read(row: &mut Row<'_>) -> sqlx::Result<Self>;
}

impl<'r> Row<'r> {
    pub(super) fn sqlite(row: &'r SqliteRow) -> Self {
        Self { row: Inner::Sqlite(row), column: 0, selected: Projection::ALL, bytes: 0 }
    }

    pub(super) fn postgres(row: &'r PgRow) -> Self {
        Self { row: Inner::Postgres(row), column: 0, selected: Projection::ALL, bytes: 0 }
    }

    /// Ensures, in debug builds, that all columns were read.
    ///
    /// # Errors
    /// Columns are left: the statement selects more than is read, such as a key in the wrong place.
    pub(super) fn ensure_end(&self) -> sqlx::Result<()> {
        if cfg!(debug_assertions) && self.column != self.len() {
            let message = format!("{} of {} columns were read", self.column, self.len());
            return Err(sqlx::Error::Decode(message.into()));
        }
        Ok(())
    }

    fn len(&self) -> usize {
        match self.row {
            Inner::Sqlite(row) => row.len(),
            Inner::Postgres(row) => row.len(),
        }
    }

    /// Reads the next column.
    ///
    /// # Errors
    /// The column is missing, or has another type.
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

    /// Approximate size in memory of the values that were read, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Sets the columns that the statement selects. Default: all of them.
    pub fn select(&mut self, selected: Projection) {
        self.selected = selected;
    }

    /// Whether the statement selects all of these.
    pub fn selects(&self, columns: Projection) -> bool {
        self.selected.contains(columns)
    }

    pub(super) fn columns(&self) -> Projection {
        self.selected
    }

    pub(super) fn skip_columns(&mut self, count: usize) {
        self.column += count;
    }

    /// Reads the next column, which may be null.
    ///
    /// # Errors
    /// The column is missing, or has another type.
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
