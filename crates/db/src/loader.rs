//! Relationships that one SQL statement loads: batch functions for the engine.
//!
//! A [`Relation`] is a relationship of the schema with its arguments. [`relation!`](crate::relation) declares one without
//! arguments, and [`sql_loader!`](crate::sql_loader) makes a hand-written one a loader. The engine collects the keys of a
//! round and calls the batch function [`SqlBatch`] once per relation and arguments.
use std::{
    collections::{HashMap, hash_map::Entry},
    fmt::Debug,
    sync::Arc,
};

use dataloader::BatchFn;
use gatherum_engine::{
    error::{Code, Error, Result},
    loading::{self, LoadRequest, fail_all},
};
use uuid::Uuid;

pub use gatherum_engine::{Loader, RootKey};

use crate::{Db, Record, Row, Sql};

/// Limits of the loads of one request.
#[derive(Clone, Copy, Debug)]
pub struct LoadLimits {
    /// The maximum number of distinct keys of one statement. A larger batch takes several, which the report shows.
    pub keys_max: usize,
    /// The maximum number of SQL statements of one request; `None` is no limit.
    pub statements_max: Option<u32>,
}

impl From<LoadLimits> for loading::LoadLimits {
    fn from(limits: LoadLimits) -> Self {
        let budget_error = |max| {
            let message = format!("the request needs more than {max} SQL statements; select fewer relationships");
            Error::new(Code::SqlBudgetExceeded, message)
        };
        Self { keys_max: limits.keys_max, calls_max: limits.statements_max, budget_error }
    }
}

/// A relationship of the schema, and the statement that loads its keys of one round.
///
/// The value carries the field's arguments: keys that are loaded with equal relations share a statement.
pub trait Relation: Clone + Debug + Eq + Send + Sync + 'static {
    /// The key: usually the id of the parent.
    type Key: Key;
    /// The columns of a row after its key.
    type Row: Clone + Send + Sync + 'static;
    /// The value of a key: many rows, at most one, or a number. A key without rows has the default.
    type Value: FromRows<Self::Row>;
    /// The relationship as `Type.field`, for reports and logs.
    const NAME: &'static str;
    /// Whether its values may be cached for other requests; false if they change without an announcement.
    const IS_CACHEABLE: bool = true;

    /// Writes the statement that loads `keys`, which are distinct. Its first column is the key.
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

        $crate::sql_loader!($name);

        impl $crate::loader::Relation for $name {
            type Key = $key;
            type Row = <$value as $crate::loader::CollectedFrom>::Row;
            type Value = $value;
            const NAME: &'static str = $label;
            $(const IS_CACHEABLE: bool = $is_cacheable;)?

            fn statement(&self, keys: &[$key], sql: &mut $crate::Sql) {
                sql.render(
                    $crate::template!(of relation $text $(, $placeholder)*),
                    [
                        $crate::SqlKeys::in_keys(keys),
                        $crate::SqlKeys::key_table(keys),
                        $($crate::placeholder!($placeholder $(= $fragment)?)),*
                    ],
                );
            }

            fn read(&self, row: &mut $crate::Row<'_>) -> $crate::sqlx::Result<Self::Row> {
                $crate::Record::read(row)
            }
        }
    };
}

/// The rows that the value of a [`relation!`](crate::relation!) is collected from.
pub trait CollectedFrom {
    /// The columns of a row after its key.
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

/// A key of a relation.
pub trait Key: Record + loading::Key {}

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

/// Many rows for several fields, which share them.
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

impl Record for RootKey {
    /// A statement without a parent selects no key.
    fn read(_row: &mut Row<'_>) -> sqlx::Result<Self> {
        Ok(RootKey)
    }
}

impl Key for RootKey {}

/// Makes a [`Relation`] a loader of the engine, with [`SqlBatch`] as its batch function.
#[macro_export]
macro_rules! sql_loader {
    ([$($generics:tt)*] $relation:ty) => {
        $crate::gatherum_engine::batch_loader! {
            [$($generics)*] $relation: <$relation as $crate::loader::Relation>::Key
                => <$relation as $crate::loader::Relation>::Value,
            name: <$relation as $crate::loader::Relation>::NAME,
            cacheable: <$relation as $crate::loader::Relation>::IS_CACHEABLE,
            batch: |relation, request| $crate::loader::SqlBatch::new(relation, request)
        }
    };
    ($relation:ty) => {
        $crate::sql_loader!([] $relation);
    };
}

/// The batch function of a relation: one statement for all keys.
pub struct SqlBatch<'a, R> {
    relation: &'a R,
    request: LoadRequest<'a>,
}

/// The approximate number of bytes of memory that a row takes besides its values.
const ROW_BYTES: usize = 256;

impl<'a, R: Relation> SqlBatch<'a, R> {
    /// Loads `relation` from the database of the request.
    pub fn new(relation: &'a R, request: LoadRequest<'a>) -> Self {
        Self { relation, request }
    }

    async fn fetch(&self, keys: &[R::Key]) -> Result<Vec<(R::Key, R::Row)>> {
        let db = self.request.source::<Db>();
        let projection = self.request.projection;
        let mut sql = db.sql();
        sql.select(projection);
        self.relation.statement(keys, &mut sql);
        let (mut rows_read, mut bytes) = (0, 0);
        let read = |row: &mut Row<'_>| {
            row.select(projection);
            let read = (R::Key::read(row)?, self.relation.read(row)?);
            rows_read += 1;
            bytes += row.bytes() + ROW_BYTES;
            Ok(read)
        };
        let rows = db.fetch_with(R::NAME, sql, read).await?;
        self.request.meter.add(rows_read, bytes);
        Ok(rows)
    }
}

impl<R: Relation> BatchFn<R::Key, Result<R::Value>> for SqlBatch<'_, R> {
    async fn load(&mut self, keys: &[R::Key]) -> HashMap<R::Key, Result<R::Value>> {
        match self.fetch(keys).await {
            Ok(rows) => by_key(rows),
            Err(error) => fail_all(keys, &error),
        }
    }
}

/// The value of each key. The rows of a key usually follow one another.
fn by_key<K: loading::Key, R, V: FromRows<R>>(rows: Vec<(K, R)>) -> HashMap<K, Result<V>> {
    let mut values: HashMap<K, Result<V>> = HashMap::new();
    let mut rows = rows.into_iter().peekable();
    while let Some((key, row)) = rows.next() {
        let mut value = match values.entry(key) {
            Entry::Occupied(entry) => entry,
            Entry::Vacant(entry) => entry.insert_entry(Ok(V::default())),
        };
        let key = value.key().clone();
        let Ok(value) = value.get_mut() else { continue };
        value.push(row);
        while let Some((_, row)) = rows.next_if(|(next, _)| *next == key) {
            value.push(row);
        }
    }
    values
}
