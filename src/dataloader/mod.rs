//! Batched loading: what one round of an execution asks for leaves as one statement per relationship.
//!
//! A [`Relation`] is a relationship of the schema with its arguments. Fields ask [`Rounds`] for the values of many keys
//! at once; [`Rounds::drive`] runs the execution, and each time it can make no progress, everything that was asked for
//! leaves as one statement per relation and arguments. No timer and no count of yields decides when, so neither does
//! the load of the machine.
mod batch;
mod recorded;
mod rounds;

use std::{fmt::Debug, hash::Hash, sync::Arc};

use uuid::Uuid;

use crate::db::{Record, Row, Sql};

pub use recorded::RecordedLoads;
pub use rounds::{ExecutedStatement, LoadLimits, LoadReport, Rounds};

/// One relationship of the schema, and the statement that answers a round of its keys.
///
/// The value itself carries the field's arguments: keys asked for with equal relations share a statement.
pub trait Relation: Clone + Debug + Eq + Send + Sync + 'static {
    /// What is asked about: usually the id of the parent.
    type Key: Key;
    /// What a row of the statement holds after its key.
    type Row: Clone + Send + Sync + 'static;
    /// What a key leads to: many rows, at most one, or a number. The default is the answer for a key without rows.
    type Value: FromRows<Self::Row>;
    /// The relationship as `Type.field`, for reports and logs.
    const NAME: &'static str;
    /// Whether it may be kept for other requests: not what changes without being announced.
    const IS_CACHEABLE: bool = true;

    /// Writes the statement that answers `keys`, which are distinct. Its first column is the key.
    fn statement(&self, keys: &[Self::Key], sql: &mut Sql);

    /// Reads a row after its key.
    ///
    /// # Errors
    /// A column is missing or of another type.
    fn read(&self, row: &mut Row<'_>) -> sqlx::Result<Self::Row>;
}

/// Declares a [`Relation`] without arguments: name and label, key and value, and its statement with the values of the
/// placeholders, as in [`crate::statement!`]. The statement limits its rows by `{in_keys}`, or joins `{key_table}`, and
/// selects the key first.
#[macro_export]
macro_rules! relation {
    (
        $(#[doc = $doc:literal])*
        $vis:vis $name:ident($label:literal): $key:ty => $value:ty $(, cacheable: $is_cacheable:literal)?;
        $text:expr $(, $placeholder:ident $(= $fragment:expr)?)* $(,)?
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        $vis struct $name;

        impl $crate::dataloader::Relation for $name {
            type Key = $key;
            type Row = <$value as $crate::dataloader::CollectedFrom>::Row;
            type Value = $value;
            const NAME: &'static str = $label;
            $(const IS_CACHEABLE: bool = $is_cacheable;)?

            fn statement(&self, keys: &[$key], sql: &mut $crate::db::Sql) {
                sql.render(
                    $crate::template!(of relation $text $(, $placeholder)*),
                    [
                        $crate::db::SqlKeys::in_keys(keys),
                        $crate::db::SqlKeys::key_table(keys),
                        $($crate::placeholder!($placeholder $(= $fragment)?)),*
                    ],
                );
            }

            fn read(&self, row: &mut $crate::db::Row<'_>) -> sqlx::Result<Self::Row> {
                $crate::db::Record::read(row)
            }
        }
    };
}

/// The rows that the value of a [`relation!`](crate::relation!) is collected from.
pub trait CollectedFrom {
    /// What a row holds after its key.
    type Row;
}

impl<R> CollectedFrom for Option<R> {
    type Row = R;
}

impl<R> CollectedFrom for Vec<R> {
    type Row = R;
}

impl CollectedFrom for i64 {
    type Row = i64;
}

/// What a relation can be asked about.
pub trait Key: Record + Clone + Debug + Eq + Hash + Sync {}

impl Key for Uuid {}
impl Key for String {}
impl Key for (Uuid, Uuid) {}

/// How the rows of one key become its value.
pub trait FromRows<R>: Default + Clone + Send + Sync + 'static {
    /// Takes the next row, in the order of the statement.
    fn push(&mut self, row: R);
}

impl<R: Clone + Send + Sync + 'static> FromRows<R> for Vec<R> {
    fn push(&mut self, row: R) {
        Vec::push(self, row);
    }
}

/// Many rows for many who ask: fields that ask for the same share them.
impl<R: Clone + Send + Sync + 'static> FromRows<R> for Arc<Vec<R>> {
    fn push(&mut self, row: R) {
        Arc::make_mut(self).push(row);
    }
}

impl<R: Clone + Send + Sync + 'static> FromRows<R> for Option<R> {
    fn push(&mut self, row: R) {
        *self = Some(row);
    }
}

/// A count: a key without rows counts 0.
impl FromRows<i64> for i64 {
    fn push(&mut self, row: i64) {
        *self = row;
    }
}

/// The key of a relation that has no parent, such as the list of all artifacts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RootKey;

impl Record for RootKey {
    /// A statement without a parent selects no key.
    fn read(_row: &mut Row<'_>) -> sqlx::Result<Self> {
        Ok(RootKey)
    }
}

impl Key for RootKey {}
