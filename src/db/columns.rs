//! Which columns of a record a statement reads: those that its request asks for.
use super::{Record, Row};

/// Places for the columns of a record.
const PLACES: u32 = 63;

/// A set of columns of one record, each at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Projection(u64);

impl Projection {
    /// None but those that are always read.
    pub const NONE: Self = Self(0);
    /// All there are.
    pub const ALL: Self = Self(u64::MAX);
    /// What a list is sorted by, which its statement reads behind the columns of the record.
    pub const SORT_KEYS: Self = Self(1 << PLACES);

    /// The columns of both sets.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all columns of `other` are in it.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub(super) const fn has_index(self, place: u32) -> bool {
        self.0 & (1 << place) != 0
    }
}

/// A value of a row that is read where it is asked for. Only its [`ColumnRef`] gives it, and the same column says what to
/// read, so that nothing can be used that was not read.
#[derive(Clone, Debug)]
pub struct Selected<T>(Option<T>);

impl<T: Record> Selected<T> {
    /// Reads the value where the row has it. [`crate::row!`] calls it.
    ///
    /// # Errors
    /// The column is missing or of another type.
    pub fn read(place: u32, row: &mut Row<'_>) -> sqlx::Result<Self> {
        row.columns().has_index(place).then(|| T::read(row)).transpose().map(Self)
    }
}

/// A column of the record `R` that is read where it is asked for.
#[derive(Debug)]
pub struct ColumnRef<R, T> {
    place: u32,
    get: fn(&R) -> &Selected<T>,
}

impl<R, T> ColumnRef<R, T> {
    /// The column at a place. [`crate::row!`] calls it, at compile time.
    ///
    /// # Panics
    /// There is no such place.
    pub const fn new(place: u32, get: fn(&R) -> &Selected<T>) -> Self {
        assert!(place < PLACES, "a record has too many columns");
        Self { place, get }
    }

    /// The set of this one column.
    pub const fn set(&self) -> Projection {
        Projection(1 << self.place)
    }

    /// The value.
    ///
    /// # Panics
    /// The row was read without this column, though [`ColumnRef::set`] was asked for.
    pub fn of<'r>(&self, row: &'r R) -> &'r T {
        (self.get)(row).0.as_ref().expect("a column is read with the field that needs it")
    }
}

/// A record that knows its columns, and lists those of them that a statement reads.
pub trait SelectColumns: Record {
    /// Lists the columns, in the order in which [`Record::read`] reads them.
    fn columns(list: &mut SelectList);
}

/// The columns of a statement, as they are listed.
pub struct SelectList {
    asked: Projection,
    columns: Vec<&'static str>,
}

impl SelectList {
    /// The columns of a record, of which some are asked for.
    pub(super) fn of<R: SelectColumns>(asked: Projection) -> Vec<&'static str> {
        let mut list = Self { asked, columns: Vec::with_capacity(16) };
        R::columns(&mut list);
        list.columns
    }

    /// Appends a column.
    pub fn push(&mut self, column: &'static str) {
        self.columns.push(column);
    }

    /// Appends a column where it is asked for.
    pub fn push_asked(&mut self, place: u32, column: &'static str) {
        if self.asked.has_index(place) {
            self.push(column);
        }
    }
}

/// Declares what is stored of an object: the columns that are always read, and those that are read where a field asks for
/// them, each with its SQL. A field reads the latter through the constant of their name.
///
/// With a name in parentheses the first struct is the second behind an `Arc`, cheap to clone. Records that one row holds
/// together have places of their own: `from` says where they begin.
#[macro_export]
macro_rules! row {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident($stored:ident) from $first:literal { $($columns:tt)* }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug)]
        $vis struct $name(std::sync::Arc<$stored>);

        $crate::row! {
            #[doc = concat!("What is stored of [`", stringify!($name), "`].")]
            struct $stored from $first { $($columns)* }
        }

        impl AsRef<$stored> for $name {
            fn as_ref(&self) -> &$stored {
                &self.0
            }
        }

        impl $crate::db::Record for $name {
            fn read(row: &mut $crate::db::Row<'_>) -> sqlx::Result<Self> {
                $crate::db::Record::read(row).map(std::sync::Arc::new).map(Self)
            }
        }

        impl $crate::db::SelectColumns for $name {
            fn columns(list: &mut $crate::db::SelectList) {
                <$stored as $crate::db::SelectColumns>::columns(list);
            }
        }
    };
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident from $first:literal {
            eager { $($always:ident: $always_type:ty = $always_column:literal),* $(,)? }
            on_demand { $($asked:ident: $asked_type:ty = $asked_column:literal),* $(,)? }
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug)]
        $vis struct $name {
            $($always: $always_type,)*
            $($asked: $crate::db::Selected<$asked_type>,)*
        }

        const _: () = {
            #[allow(dead_code, non_camel_case_types)]
            enum Place { $($asked),* }

            #[allow(non_upper_case_globals)]
            impl $name {
                $($vis const $asked: $crate::db::ColumnRef<Self, $asked_type> =
                    $crate::db::ColumnRef::new($first + Place::$asked as u32, |row| &row.$asked);)*
            }

            impl $crate::db::Record for $name {
                fn read(row: &mut $crate::db::Row<'_>) -> sqlx::Result<Self> {
                    Ok(Self {
                        $($always: $crate::db::Record::read(row)?,)*
                        $($asked: $crate::db::Selected::read($first + Place::$asked as u32, row)?,)*
                    })
                }
            }

            impl $crate::db::SelectColumns for $name {
                fn columns(list: &mut $crate::db::SelectList) {
                    $(list.push($always_column);)*
                    $(list.push_asked($first + Place::$asked as u32, $asked_column);)*
                }
            }
        };
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::{AccessScope, Dialect, Sql, Text};

    row! {
        #[expect(dead_code, reason = "no row is read")]
        struct Book from 0 {
            eager { id: i64 = "b.id" }
            on_demand { title: Text = "b.title", pages: i64 = "b.pages" }
        }
    }

    row! {
        struct Loan from 32 {
            eager {}
            on_demand { since: i64 = "l.since" }
        }
    }

    struct Both;

    impl Record for Both {
        fn read(row: &mut Row<'_>) -> sqlx::Result<Self> {
            Book::read(row)?;
            Loan::read(row).map(|_| Self)
        }
    }

    impl SelectColumns for Both {
        fn columns(list: &mut SelectList) {
            Book::columns(list);
            Loan::columns(list);
        }
    }

    #[test]
    fn a_statement_lists_the_columns_that_are_asked_for() {
        let list = |asked| {
            let mut sql = Sql::new(Dialect::Sqlite, AccessScope::Unrestricted);
            sql.ask(asked);
            sql.columns::<Both>();
            sql.text().to_owned()
        };

        assert_eq!(list(Projection::NONE), "b.id");
        assert_eq!(list(Book::pages.set()), "b.id, b.pages");
        assert_eq!(list(Book::title.set().union(Loan::since.set())), "b.id, b.title, l.since");
        assert_eq!(list(Projection::ALL), "b.id, b.title, b.pages, l.since");
    }
}
