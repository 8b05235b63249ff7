//! The loads of one request, recorded so that equal requests can reuse them.
use std::{any::Any, collections::HashMap, sync::Arc};

use super::Loader;
use crate::projection::Projection;

/// The loads of a request: for each loader its keys and their values.
#[derive(Debug, Default)]
pub struct RecordedLoads {
    batches: Vec<Box<dyn Any + Send + Sync>>,
    bytes: usize,
}

/// The keys and values of one batch.
#[derive(Debug)]
struct RecordedBatch<L: Loader> {
    loader: L,
    projection: Projection,
    values: HashMap<L::Key, L::Value>,
}

impl RecordedLoads {
    pub(super) fn add<L: Loader>(
        &mut self,
        loader: L,
        projection: Projection,
        values: HashMap<L::Key, L::Value>,
        bytes: usize,
    ) {
        self.bytes += bytes + values.len() * (size_of::<L::Key>() + size_of::<L::Value>());
        self.batches.push(Box::new(RecordedBatch { loader, projection, values }));
    }

    /// The approximate number of bytes of memory that the values take.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The values of `keys`, in their order, if all of them were loaded with at least the columns of `projection`.
    pub(super) fn find<L: Loader>(&self, loader: &L, projection: Projection, keys: &[L::Key]) -> Option<Vec<L::Value>> {
        let mut batches = self.batches.iter().filter_map(|batch| batch.downcast_ref::<RecordedBatch<L>>());
        batches.find_map(|batch| {
            let is_equal = batch.loader == *loader && batch.projection.contains(projection);
            if is_equal { keys.iter().map(|key| batch.values.get(key).cloned()).collect() } else { None }
        })
    }
}

/// Whether the loads of a request are recorded or replayed.
#[derive(Debug, Default)]
pub(super) enum Recording {
    /// Neither.
    #[default]
    Off,
    /// They are recorded as they arrive.
    Record(RecordedLoads),
    /// They were recorded by an earlier request. Values that it has not loaded are loaded.
    Replay(Arc<RecordedLoads>),
}
