//! Explains operations: their rounds and statements, without a database.
use async_graphql::Variables;
use gatherum_engine::{
    Context, Engine, FieldError, PageSizes,
    cost::Limits,
    object::{EmptyRoot, Object},
};

use super::{OperationInfo, Plan, RequestState, Settings};
use crate::{access::Viewer, error::Result, loader::LoadLimits};

/// Explains operations of a schema whose root types are `Q`, `M` and `S`.
pub struct Explainer<Q: Object, M: Object = EmptyRoot, S: Object = EmptyRoot> {
    engine: Engine<Q, M, S>,
    settings: Settings,
    loading: LoadLimits,
}

impl<Q: Object, M: Object, S: Object> Explainer<Q, M, S> {
    /// Builds the schema.
    ///
    /// # Errors
    /// The schema is not valid.
    pub fn new((query, mutation): (Q, M), settings: Settings, limits: Limits, loading: LoadLimits) -> Result<Self> {
        Ok(Self { engine: Engine::new(query, mutation, limits)?, settings, loading })
    }

    /// The rounds and statements of an operation.
    ///
    /// # Errors
    /// The document cannot be parsed, exceeds a limit or is not valid, or an argument is rejected.
    pub fn explain(
        &self,
        document: &str,
        operation_name: Option<&str>,
        variables: &Variables,
    ) -> Result<Plan, Vec<FieldError>> {
        let prepared = self.engine.prepare(document, operation_name, variables, |_| Ok(()));
        let prepared = prepared.map_err(|rejected| rejected.errors)?;
        self.engine.explain(&prepared, &self.context()).map_err(|error| vec![error])
    }

    /// The operations of a document that the server would execute, if its variables are within the limits.
    ///
    /// # Errors
    /// The document cannot be parsed, exceeds a limit or is not valid, or has no operation.
    pub fn check(&self, document: &str) -> Result<Vec<OperationInfo>, Vec<FieldError>> {
        self.engine.check(document).map_err(|rejected| rejected.errors)
    }

    fn context(&self) -> Context {
        let state = RequestState {
            viewer: Viewer::default(),
            counts: self.settings.counts,
            db: None,
            idempotency: None,
            has_one_time_secret: Default::default(),
            has_committed: Default::default(),
            cache: None,
        };
        let pages = PageSizes { default: self.settings.page_size_default, max: self.settings.page_size_max };
        Context::new((), state, self.loading.into(), pages)
    }
}
