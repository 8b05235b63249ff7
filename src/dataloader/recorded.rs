//! What one request loaded, kept for requests that ask the same.
use std::{any::Any, collections::HashMap, sync::Arc};

use super::Relation;
use crate::db::Projection;

/// The loads of a request: for each relation its keys and what they lead to.
#[derive(Debug, Default)]
pub struct RecordedLoads {
    loaded: Vec<Box<dyn Any + Send + Sync>>,
    bytes: usize,
}

/// What one relation was asked, and what came of it.
#[derive(Debug)]
struct Loaded<R: Relation> {
    relation: R,
    columns: Projection,
    values: HashMap<R::Key, R::Value>,
}

impl RecordedLoads {
    pub(super) fn add<R: Relation>(
        &mut self,
        relation: R,
        columns: Projection,
        values: HashMap<R::Key, R::Value>,
        bytes: usize,
    ) {
        self.bytes += bytes + values.len() * (size_of::<R::Key>() + size_of::<R::Value>());
        self.loaded.push(Box::new(Loaded { relation, columns, values }));
    }

    /// Bytes of memory that they take, about.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// What the keys lead to, in their order, where all of it was loaded with these columns at least.
    pub(super) fn find<R: Relation>(
        &self,
        relation: &R,
        columns: Projection,
        keys: &[R::Key],
    ) -> Option<Vec<R::Value>> {
        let mut loaded = self.loaded.iter().filter_map(|loaded| loaded.downcast_ref::<Loaded<R>>());
        loaded.find_map(|loaded| {
            let is_same = loaded.relation == *relation && loaded.columns.contains(columns);
            if is_same { keys.iter().map(|key| loaded.values.get(key).cloned()).collect() } else { None }
        })
    }
}

/// What becomes of a request's loads.
#[derive(Debug, Default)]
pub(super) enum Recording {
    /// They are for this request alone.
    #[default]
    Nothing,
    /// They are kept as they come.
    Keeps(RecordedLoads),
    /// They were kept before; what is not among them is loaded.
    Has(Arc<RecordedLoads>),
}
