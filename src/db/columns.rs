//! Which columns of a record a statement reads: those that its request asks for.
use super::{Record, Row};

pub use gatherum_engine::{ColumnRef, Projection, Selected};

/// Reads the value if the row's projection has the column at `index`. [`crate::row!`] calls it.
///
/// # Errors
/// The column is missing or of another type.
pub fn read_selected<T: Record>(index: u32, row: &mut Row<'_>) -> sqlx::Result<Selected<T>> {
    row.columns().has_index(index).then(|| T::read(row)).transpose().map(Selected::new)
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
                        $($asked: $crate::db::read_selected($first + Place::$asked as u32, row)?,)*
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
