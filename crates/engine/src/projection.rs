//! Projections: the columns of a record that a selection needs.

/// Columns that one record can have.
const COLUMNS_MAX: u32 = 63;

/// A set of columns of one record, as bits.
///
/// ```
/// use gatherum_engine::{ColumnRef, Projection, Selected};
///
/// struct Book {
///     title: Selected<String>,
///     blurb: Selected<String>,
/// }
///
/// const TITLE: ColumnRef<Book, String> = ColumnRef::new(0, |book| &book.title);
/// const BLURB: ColumnRef<Book, String> = ColumnRef::new(1, |book| &book.blurb);
///
/// let needed = Projection::NONE.union(TITLE.set());
/// assert!(needed.contains(TITLE.set()) && !needed.contains(BLURB.set()));
///
/// // The batch function reads the title only.
/// let book = Book { title: Selected::new(Some("Emma".to_owned())), blurb: Selected::new(None) };
/// assert_eq!(TITLE.of(&book), "Emma");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Projection(u64);

impl Projection {
    /// No column except those that are always read.
    pub const NONE: Self = Self(0);
    /// Every column.
    pub const ALL: Self = Self(u64::MAX);
    /// The columns by which a list is sorted, read after the columns of the record.
    pub const SORT_KEYS: Self = Self(1 << COLUMNS_MAX);

    /// The columns of both sets.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns whether the set has all columns of `other`.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Returns whether the set has the column at `index`.
    #[must_use]
    pub const fn has_index(self, index: u32) -> bool {
        self.0 & (1 << index) != 0
    }
}

/// A value that is read only if the projection has its column.
///
/// Only the value's [`ColumnRef`] returns it, and the same constant selects the column, so a value that was not read
/// cannot be used.
#[derive(Clone, Debug)]
pub struct Selected<T>(Option<T>);

impl<T> Selected<T> {
    /// The value as it was read, or `None` if the projection does not have its column.
    pub fn new(value: Option<T>) -> Self {
        Self(value)
    }
}

/// A column of the record `R` that is read on demand.
#[derive(Debug)]
pub struct ColumnRef<R, T> {
    index: u32,
    get: fn(&R) -> &Selected<T>,
}

impl<R, T> ColumnRef<R, T> {
    /// The column at `index`.
    ///
    /// # Panics
    /// A record has at most 63 columns; at compile time if the value is a constant.
    pub const fn new(index: u32, get: fn(&R) -> &Selected<T>) -> Self {
        assert!(index < COLUMNS_MAX, "a record has too many columns");
        Self { index, get }
    }

    /// The set of this one column.
    pub const fn set(&self) -> Projection {
        Projection(1 << self.index)
    }

    /// The value in `row`.
    ///
    /// # Panics
    /// The row was read without this column.
    pub fn of<'r>(&self, row: &'r R) -> &'r T {
        (self.get)(row).0.as_ref().expect("a column is read with the field that needs it")
    }
}
