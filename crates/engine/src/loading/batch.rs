//! The keys of one call of a batch function, and the fields that wait for their values.
use std::{
    any::Any,
    collections::{HashMap, hash_map::Entry},
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, join_all},
};
use tokio::sync::oneshot;

use super::{LoadRequest, LoadedValues, Loader, Meter, RecordedLoads, fail_all};
use crate::{
    error::{Error, Result},
    projection::Projection,
};

/// One call of a batch function.
#[derive(Clone, Debug)]
pub struct BatchRun {
    /// The relationship that was loaded, as `Type.field`.
    pub name: &'static str,
    /// Distinct keys.
    pub keys: usize,
    /// Rows that were read.
    pub rows: usize,
    /// How long the call took.
    pub time: Duration,
}

/// The values of a waiter's keys, in the order of the keys.
pub(super) type BatchResult<L> = Result<Vec<<L as Loader>::Value>>;

/// A batch whose loader is not known to the round that dispatches it.
pub(super) trait PendingBatch: Send {
    fn name(&self) -> &'static str;
    /// The number of calls of the batch function: one, unless there are more keys than one call may have.
    fn calls(&self, keys_max: usize) -> usize;
    /// Calls the batch function. The values are stored until [`PendingBatch::fulfill`].
    fn run<'a>(&'a mut self, source: &'a (dyn Any + Send + Sync), keys_max: usize) -> BoxFuture<'a, Vec<BatchRun>>;
    /// Takes the values from `recorded` if it has all of them. The batch function is then not called.
    fn replay(&mut self, recorded: &RecordedLoads) -> bool;
    /// Adds the values to `recorded`. Returns false if the batch failed.
    fn record(&self, recorded: &mut RecordedLoads) -> bool;
    /// Sends the values to all waiters.
    fn fulfill(self: Box<Self>);
    /// Sends `error` to all waiters.
    fn fail(self: Box<Self>, error: Error);
    fn as_any(&mut self) -> &mut dyn Any;
}

/// The keys that one loader loads in one round.
pub(super) struct Batch<L: Loader> {
    pub(super) loader: L,
    /// The columns that any of the waiters needs.
    projection: Projection,
    keys: Vec<L::Key>,
    indexes: HashMap<L::Key, usize>,
    waiters: Vec<Waiter<L>>,
    /// `None` until the batch function has returned, or recorded values were found.
    values: Option<Result<Vec<L::Value>>>,
    /// The approximate number of bytes of memory that the values take.
    bytes: usize,
}

struct Waiter<L: Loader> {
    /// The positions of its keys in the batch.
    indexes: Vec<usize>,
    sender: oneshot::Sender<BatchResult<L>>,
}

impl<L: Loader> Batch<L> {
    pub(super) fn new(loader: L) -> Self {
        Self {
            loader,
            projection: Projection::NONE,
            keys: Vec::new(),
            indexes: HashMap::new(),
            waiters: Vec::new(),
            values: None,
            bytes: 0,
        }
    }

    /// Adds keys and columns. The receiver gets the values at the end of the round.
    pub(super) fn enqueue(&mut self, projection: Projection, keys: Vec<L::Key>) -> oneshot::Receiver<BatchResult<L>> {
        self.projection = self.projection.union(projection);
        let indexes = keys.into_iter().map(|key| self.index(key)).collect();
        let (sender, receiver) = oneshot::channel();
        self.waiters.push(Waiter { indexes, sender });
        receiver
    }

    fn index(&mut self, key: L::Key) -> usize {
        match self.indexes.entry(key) {
            Entry::Occupied(entry) => *entry.get(),
            Entry::Vacant(entry) => {
                self.keys.push(entry.key().clone());
                *entry.insert(self.keys.len() - 1)
            }
        }
    }

    /// Returns whether any value has more than one waiter, so that it must be cloned.
    fn is_shared(&self) -> bool {
        self.waiters.iter().map(|waiter| waiter.indexes.len()).sum::<usize>() > self.keys.len()
    }

    fn keys_max(&self, keys_max: usize) -> usize {
        keys_max.min(self.loader.keys_max()).max(1)
    }
}

impl<L: Loader> PendingBatch for Batch<L> {
    fn name(&self) -> &'static str {
        L::NAME
    }

    fn calls(&self, keys_max: usize) -> usize {
        if self.values.is_some() { 0 } else { self.keys.len().div_ceil(self.keys_max(keys_max)) }
    }

    fn run<'a>(&'a mut self, source: &'a (dyn Any + Send + Sync), keys_max: usize) -> BoxFuture<'a, Vec<BatchRun>> {
        if self.values.is_some() {
            return Box::pin(std::future::ready(Vec::new()));
        }
        Box::pin(async move {
            let chunks = self.keys.chunks(self.keys_max(keys_max));
            let calls = chunks.map(|keys| call(&self.loader, keys, self.projection, source));
            let mut runs = Vec::new();
            let mut values = Ok(Vec::with_capacity(self.keys.len()));
            for call in join_all(calls).await {
                runs.push(call.run);
                self.bytes += call.bytes;
                values = append(values, call.values);
            }
            self.values = Some(values);
            runs
        })
    }

    fn replay(&mut self, recorded: &RecordedLoads) -> bool {
        self.values = recorded.find(&self.loader, self.projection, &self.keys).map(Ok);
        self.values.is_some()
    }

    fn record(&self, recorded: &mut RecordedLoads) -> bool {
        let Some(Ok(values)) = &self.values else { return false };
        if !L::IS_CACHEABLE {
            return true;
        }
        let values = self.keys.iter().cloned().zip(values.iter().cloned()).collect();
        recorded.add(self.loader.clone(), self.projection, values, self.bytes);
        true
    }

    fn fulfill(self: Box<Self>) {
        let is_shared = self.is_shared();
        let mut values = match self.values {
            Some(Ok(values)) => values,
            Some(Err(error)) => return fail(self.waiters, &error),
            None => return fail(self.waiters, &Error::internal("a batch was not dispatched")),
        };
        for waiter in self.waiters {
            let answer = waiter.indexes.into_iter().map(|index| match is_shared {
                true => values[index].clone(),
                false => std::mem::take(&mut values[index]),
            });
            // A waiter that was dropped does not need its values.
            let _ = waiter.sender.send(Ok(answer.collect()));
        }
    }

    fn fail(self: Box<Self>, error: Error) {
        fail(self.waiters, &error);
    }

    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}

fn fail<L: Loader>(waiters: Vec<Waiter<L>>, error: &Error) {
    for waiter in waiters {
        let _ = waiter.sender.send(Err(error.clone()));
    }
}

/// The values of the calls so far, in the order of the keys. The first error fails the batch.
fn append<V>(values: Result<Vec<V>>, more: Result<Vec<V>>) -> Result<Vec<V>> {
    let mut values = values?;
    values.append(&mut more?);
    Ok(values)
}

/// One call of a batch function and what it returned.
struct Call<V> {
    run: BatchRun,
    values: Result<Vec<V>>,
    bytes: usize,
}

async fn call<L: Loader>(
    loader: &L,
    keys: &[L::Key],
    projection: Projection,
    source: &(dyn Any + Send + Sync),
) -> Call<L::Value> {
    let (start, meter) = (Instant::now(), Meter::default());
    let loaded = load_caught(loader, keys, LoadRequest { projection, meter: &meter, source }).await;
    let time = start.elapsed();
    let values = in_order::<L>(keys, loaded);
    Call { run: BatchRun { name: L::NAME, keys: keys.len(), rows: meter.rows(), time }, values, bytes: meter.bytes() }
}

/// Calls the batch function; a panic in it becomes the error of all keys.
async fn load_caught<L: Loader>(loader: &L, keys: &[L::Key], request: LoadRequest<'_>) -> LoadedValues<L> {
    let begun = std::panic::catch_unwind(AssertUnwindSafe(|| loader.load(keys, request)));
    let loaded = match begun {
        Ok(loading) => AssertUnwindSafe(loading).catch_unwind().await,
        Err(panic) => Err(panic),
    };
    loaded.unwrap_or_else(|panic| fail_all(keys, &Error::panicked(L::NAME, &*panic)))
}

/// The values in the order of `keys`, or the first error.
fn in_order<L: Loader>(keys: &[L::Key], mut loaded: LoadedValues<L>) -> Result<Vec<L::Value>> {
    keys.iter().map(|key| loaded.remove(key).unwrap_or_else(|| Ok(L::Value::default()))).collect()
}
