//! Projections: the columns of a record that a statement selects, which are those that the request needs.
use super::{Record, Row};

pub use gatherum_engine::{ColumnRef, Projection, Selected};

/// Reads the value if the row's projection has the column at `index`. [`crate::row!`] calls it.
///
/// # Errors
/// The column is missing or of another type.
pub fn read_selected<T: Record>(index: u32, row: &mut Row<'_>) -> sqlx::Result<Selected<T>> {
    row.columns().has_index(index).then(|| T::read(row)).transpose().map(Selected::new)
}

/// A record that lists the columns which a statement selects.
pub trait SelectColumns: Record {
    /// Lists the selected columns, in the order in which [`Record::read`] reads them.
    fn columns(list: &mut SelectList);
}

/// The select list of a statement.
pub struct SelectList {
    projection: Projection,
    columns: Vec<&'static str>,
}

impl SelectList {
    /// The columns of a record that are in the projection.
    pub(super) fn of<R: SelectColumns>(projection: Projection) -> Vec<&'static str> {
        let mut list = Self { projection, columns: Vec::with_capacity(16) };
        R::columns(&mut list);
        list.columns
    }

    /// Appends a column.
    pub fn push(&mut self, column: &'static str) {
        self.columns.push(column);
    }

    /// Appends a column if it is in the projection.
    pub fn push_on_demand(&mut self, index: u32, column: &'static str) {
        if self.projection.has_index(index) {
            self.push(column);
        }
    }
}

impl Row<'_> {
    /// Skips the columns of a record.
    pub fn skip<R: SelectColumns>(&mut self) {
        self.skip_columns(SelectList::of::<R>(self.columns()).len());
    }
}

/// Declares a record: the columns that are always selected, and those that are selected if a field needs them, each with its
/// SQL. A field reads the latter through the constant with their name.
///
/// With a name in parentheses the first struct is the second behind an `Arc`, cheap to clone. Records that are read from one
/// row have indexes of their own: `from` is the first one.
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
            #[doc = concat!("The columns of [`", stringify!($name), "`].")]
            struct $stored from $first { $($columns)* }
        }

        impl AsRef<$stored> for $name {
            fn as_ref(&self) -> &$stored {
                &self.0
            }
        }

        impl $crate::Record for $name {
            fn read(row: &mut $crate::Row<'_>) -> $crate::sqlx::Result<Self> {
                $crate::Record::read(row).map(std::sync::Arc::new).map(Self)
            }
        }

        impl $crate::SelectColumns for $name {
            fn columns(list: &mut $crate::SelectList) {
                <$stored as $crate::SelectColumns>::columns(list);
            }
        }
    };
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident from $first:literal {
            eager { $($eager:ident: $eager_type:ty = $eager_column:expr),* $(,)? }
            on_demand { $($on_demand:ident: $on_demand_type:ty = $on_demand_column:expr),* $(,)? }
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug)]
        $vis struct $name {
            $($eager: $eager_type,)*
            $($on_demand: $crate::Selected<$on_demand_type>,)*
        }

        const _: () = {
            #[allow(dead_code, non_camel_case_types)]
            enum Index { $($on_demand),* }

            #[allow(non_upper_case_globals)]
            impl $name {
                $($vis const $on_demand: $crate::ColumnRef<Self, $on_demand_type> =
                    $crate::ColumnRef::new($first + Index::$on_demand as u32, |row| &row.$on_demand);)*
            }

            impl $crate::Record for $name {
                fn read(row: &mut $crate::Row<'_>) -> $crate::sqlx::Result<Self> {
                    Ok(Self {
                        $($eager: $crate::Record::read(row)?,)*
                        $($on_demand: $crate::read_selected($first + Index::$on_demand as u32, row)?,)*
                    })
                }
            }

            impl $crate::SelectColumns for $name {
                fn columns(list: &mut $crate::SelectList) {
                    $(list.push($eager_column);)*
                    $(list.push_on_demand($first + Index::$on_demand as u32, $on_demand_column);)*
                }
            }
        };
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AccessScope, Dialect, Sql, Text};

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
    fn a_statement_selects_the_columns_of_its_projection() {
        let list = |projection| {
            let mut sql = Sql::new(Dialect::Sqlite, AccessScope::Unrestricted);
            sql.select(projection);
            sql.columns::<Both>();
            sql.text().to_owned()
        };

        assert_eq!(list(Projection::NONE), "b.id");
        assert_eq!(list(Book::pages.set()), "b.id, b.pages");
        assert_eq!(list(Book::title.set().union(Loan::since.set())), "b.id, b.title, l.since");
        assert_eq!(list(Projection::ALL), "b.id, b.title, b.pages, l.since");
    }
}
