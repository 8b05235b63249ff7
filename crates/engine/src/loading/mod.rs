//! Batched loading in rounds.
//!
//! A field passes its keys to [`Rounds::load`] and waits. [`Rounds::drive`] polls the execution; when it cannot proceed,
//! every pending batch is dispatched, all of them concurrently, and all waiters are fulfilled together. Batches with equal
//! loaders share one call of the batch function.
mod batch;
mod recorded;
mod rounds;

use std::{
    any::Any,
    collections::HashMap,
    fmt::Debug,
    hash::Hash,
    sync::atomic::{AtomicUsize, Ordering},
};

use futures_util::future::BoxFuture;

use crate::{
    error::{Error, Result},
    projection::Projection,
};

pub use batch::BatchRun;
pub use recorded::RecordedLoads;
pub use rounds::{LoadLimits, LoadReport, Rounds};

/// Loads the values of many keys with one call.
///
/// The loader carries the arguments of the field. Keys that are loaded by equal loaders in one round share a call.
/// [`batch_loader!`](crate::batch_loader) implements this trait for a type with a [`BatchFn`](crate::BatchFn).
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be loaded in batches",
    note = "implement `Loader` with the macro `batch_loader!`"
)]
pub trait Loader: Clone + Debug + Eq + Send + Sync + 'static {
    /// The key, usually the id of the parent.
    type Key: Key;
    /// The value of a key. The default is the value of a key that the batch function does not return.
    type Value: Clone + Default + Send + Sync + 'static;
    /// The relationship as `Type.field`, for reports and logs.
    const NAME: &'static str;
    /// Whether the values may be reused by other requests. False for values that change without a notification.
    const IS_CACHEABLE: bool = true;

    /// The maximum number of keys of one call, if the source has a limit of its own.
    fn keys_max(&self) -> usize {
        usize::MAX
    }

    /// Calls the batch function with distinct keys.
    fn load<'a>(&'a self, keys: &'a [Self::Key], request: LoadRequest<'a>) -> BoxFuture<'a, LoadedValues<Self>>;
}

/// The values that a batch function returns, by key. A missing key has the default value.
pub type LoadedValues<L> = HashMap<<L as Loader>::Key, Result<<L as Loader>::Value>>;

/// A key that values can be loaded by.
pub trait Key: Clone + Debug + Eq + Hash + Send + Sync + 'static {}
impl<K: Clone + Debug + Eq + Hash + Send + Sync + 'static> Key for K {}

/// The key of a value without a parent, such as the list of all objects of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RootKey;

/// The request of a batch function, besides its keys.
#[derive(Clone, Copy)]
pub struct LoadRequest<'a> {
    /// The columns that the fields below need.
    pub projection: Projection,
    /// Counts what is read, for the report of the request.
    pub meter: &'a Meter,
    pub(crate) source: &'a (dyn Any + Send + Sync),
}

impl<'a> LoadRequest<'a> {
    /// The data source of the request, such as a database.
    ///
    /// # Panics
    /// The source is of another type.
    pub fn source<S: Any>(&self) -> &'a S {
        self.source.downcast_ref().expect("the source has the type that the program gave it")
    }
}

/// Counts what one call of a batch function reads.
#[derive(Debug, Default)]
pub struct Meter {
    rows: AtomicUsize,
    bytes: AtomicUsize,
}

impl Meter {
    /// Adds rows and the approximate number of bytes of memory that their values take.
    pub fn add(&self, rows: usize, bytes: usize) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows.load(Ordering::Relaxed)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// The same error for every key.
pub fn fail_all<K: Key, V>(keys: &[K], error: &Error) -> HashMap<K, Result<V>> {
    keys.iter().map(|key| (key.clone(), Err(error.clone()))).collect()
}

/// Implements [`Loader`](crate::Loader) with a batch function: any [`BatchFn`](crate::BatchFn) whose values are results.
///
/// ```
/// use std::collections::HashMap;
///
/// use gatherum_engine::{BatchFn, Result, batch_loader};
///
/// /// The lengths of words.
/// #[derive(Clone, Debug, PartialEq, Eq)]
/// struct Length;
///
/// impl BatchFn<String, Result<i64>> for Length {
///     async fn load(&mut self, words: &[String]) -> HashMap<String, Result<i64>> {
///         words.iter().map(|word| (word.clone(), Ok(word.len() as i64))).collect()
///     }
/// }
///
/// batch_loader! {
///     Length: String => i64, name: "Word.length", batch: |loader, _request| loader.clone()
/// }
/// ```
#[macro_export]
macro_rules! batch_loader {
    (
        [$($generics:tt)*] $loader:ty: $key:ty => $value:ty, name: $name:expr $(, cacheable: $cacheable:expr)?
        $(, keys_max: $keys_max:expr)?, batch: |$self:ident, $request:pat_param| $batch:expr $(,)?
    ) => {
        impl<$($generics)*> $crate::Loader for $loader {
            type Key = $key;
            type Value = $value;
            const NAME: &'static str = $name;
            $(const IS_CACHEABLE: bool = $cacheable;)?
            $(
                fn keys_max(&self) -> usize {
                    $keys_max
                }
            )?

            fn load<'a>(
                &'a self,
                keys: &'a [$key],
                $request: $crate::loading::LoadRequest<'a>,
            ) -> $crate::futures_util::future::BoxFuture<'a, $crate::loading::LoadedValues<Self>> {
                let $self = self;
                let mut batch = $batch;
                ::std::boxed::Box::pin(async move { $crate::BatchFn::load(&mut batch, keys).await })
            }
        }
    };
    ($loader:ty: $($rest:tt)*) => {
        $crate::batch_loader! { [] $loader: $($rest)* }
    };
}
