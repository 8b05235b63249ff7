//! From the text of a document to the JSON of its response.
use std::{collections::HashMap, panic::AssertUnwindSafe, sync::Arc};

use async_graphql::{
    Name, Pos, Positioned, ServerError, Value, Variables,
    indexmap::IndexMap,
    parser::types::{ExecutableDocument, Selection, SelectionSet},
    registry::Registry,
};
use futures_util::FutureExt;

use crate::{
    context::{Context, PageSizes},
    cost::{CostAnalyzer, DocumentError, Limits, operation},
    error::{Code, Error, Result},
    execute::{ERRORS_MAX, Execution, ExecutionMode, FieldError, single_field, variables},
    explain::{self, Plan},
    loading::LoadLimits,
    object::{EmptyRoot, EventFilter, Object, SchemaBuilder, Types},
    operation::{CacheMatch, OperationCache, PreparedOperation},
    schema::{UpstreamSchema, ValidateOnly, sdl, upstream_schema},
};

/// Executes operations against a schema whose root types are `Q`, `M` and `S`.
///
/// A request takes two steps: [`Engine::prepare`] parses, limits and validates its document, and [`Engine::execute`]
/// executes it. Documents that were valid before are prepared from a cache.
pub struct Engine<Q: Object, M: Object = EmptyRoot, S: Object = EmptyRoot> {
    query: Q,
    mutation: M,
    types: Types,
    sdl: String,
    cost: CostAnalyzer,
    introspection: bool,
    operations: OperationCache,
    validator: UpstreamSchema<Q, M, S>,
    introspector: UpstreamSchema<Q, M, S>,
}

impl<Q: Object, M: Object, S: Object> Engine<Q, M, S> {
    /// Builds the schema. Documents are rejected above `limits`.
    ///
    /// # Errors
    /// The schema is not valid.
    pub fn new(query: Q, mutation: M, limits: Limits) -> Result<Self> {
        let mut registry = Registry::default();
        let mut schema = SchemaBuilder::new(&mut registry);
        schema.object::<Q>();
        schema.object::<M>();
        schema.object::<S>();
        let types = schema.finish();
        let introspector = upstream_schema::<Q, M, S>().finish();
        let validator = upstream_schema::<Q, M, S>().extension(ValidateOnly);
        // A message that suggests similar names would disclose the schema bit by bit.
        let validator = if limits.introspection { validator } else { validator.disable_suggestions() };
        let validator = validator.finish();
        let introspection = limits.introspection;
        let sdl = sdl::<Q, M, S>();
        let operations = OperationCache::new(limits.document_cache_bytes);
        let cost = CostAnalyzer::new(&sdl, limits)?;
        Ok(Self { query, mutation, types, sdl, cost, introspection, operations, validator, introspector })
    }

    /// Parses, limits and validates a document, and reads the variables.
    ///
    /// `admit` decides whether an operation of this kind may be executed; it is called before validation.
    ///
    /// # Errors
    /// The document cannot be parsed, exceeds a limit, is not valid, or `admit` rejects it.
    pub async fn prepare(
        &self,
        query: &str,
        operation_name: Option<&str>,
        variables_given: &Variables,
        admit: impl FnOnce(OperationKind) -> Result<()>,
    ) -> std::result::Result<PreparedRequest, RejectedRequest> {
        let name = operation_name.unwrap_or_default();
        let known = self.operations.get(query, name);
        let cache_match = known.as_ref().map_or(CacheMatch::Miss, |known| known.cache_match(variables_given));
        let document = match &known {
            Some(known) => known.clone(),
            None => {
                let document = self.cost.parse(query)?;
                let operation = operation(&document, Some(name).filter(|name| !name.is_empty()))?.clone();
                Arc::new(PreparedOperation::new(query, name, document, operation, variables_given))
            }
        };
        let kind = document.kind();
        let reject = |errors: Vec<FieldError>| RejectedRequest { errors, kind: Some(kind) };
        if cache_match != CacheMatch::Exact {
            self.cost
                .check(&document.document, &document.operation.node, variables_given)
                .map_err(|error| reject(vec![error.into()]))?;
        }
        admit(kind).map_err(|error| reject(vec![error.into()]))?;
        if !self.introspection && introspects(&document.document, &document.operation.node.selection_set.node.items) {
            let message = "introspection is disabled on this server; ask its operator for the schema";
            return Err(reject(vec![Error::new(Code::GraphqlValidationFailed, message).into()]));
        }
        if cache_match == CacheMatch::Miss {
            self.validate(operation_name, variables_given, &document.document).await.map_err(reject)?;
        }
        let variables =
            variables(&document.operation.node, variables_given).map_err(|error| reject(vec![error.into()]))?;
        if known.is_none() {
            self.operations.insert(query, name, document.clone());
        }
        Ok(PreparedRequest { document, variables })
    }

    /// Executes a query or mutation. Dropping the future drops its loads.
    ///
    /// The root fields of a mutation are executed one after the other. Introspection fields are resolved here too.
    pub async fn execute(&self, prepared: &PreparedRequest, context: &Context) -> ExecutionOutcome {
        let introspected = self.introspect(prepared).await;
        match prepared.kind() {
            OperationKind::Query => self.run(prepared, self.query.clone(), context, introspected).await,
            OperationKind::Mutation => self.run(prepared, self.mutation.clone(), context, introspected).await,
            OperationKind::Subscription => {
                let message = "a subscription needs a WebSocket or Accept: text/event-stream";
                ExecutionOutcome { data: None, errors: vec![Error::new(Code::BadRequest, message).into()] }
            }
        }
    }

    /// Executes a subscription for one event.
    pub async fn execute_event(&self, prepared: &PreparedRequest, event: S, context: &Context) -> ExecutionOutcome {
        self.run(prepared, event, context, HashMap::new()).await
    }

    /// The rounds and loads of an operation, without executing it.
    ///
    /// The declarations read page sizes and state from `context`. A subscription is planned for one event.
    ///
    /// # Errors
    /// That of an argument that the execution would reject.
    pub fn explain(&self, prepared: &PreparedRequest, context: &Context) -> std::result::Result<Plan, FieldError> {
        let fragments = &prepared.document.document.fragments;
        let execution = Execution::new(&self.types, context, fragments, prepared.variables.clone(), HashMap::new());
        let selections = explain::selections(&execution, prepared.selection());
        let kind = prepared.kind();
        match kind {
            OperationKind::Query => explain::plan::<Q>(&self.types, context, kind, &selections),
            OperationKind::Mutation => explain::plan::<M>(&self.types, context, kind, &selections),
            OperationKind::Subscription => explain::plan::<S>(&self.types, context, kind, &selections),
        }
    }

    async fn run<T: Object>(
        &self,
        prepared: &PreparedRequest,
        root: T,
        context: &Context,
        introspected: HashMap<String, Vec<u8>>,
    ) -> ExecutionOutcome {
        let mode = match prepared.kind() {
            OperationKind::Mutation => ExecutionMode::Sequential,
            OperationKind::Query | OperationKind::Subscription => ExecutionMode::Normal,
        };
        let fragments = &prepared.document.document.fragments;
        let execution = Execution::new(&self.types, context, fragments, prepared.variables.clone(), introspected);
        let root = execution.root(root, prepared.selection(), mode);
        let data = AssertUnwindSafe(context.rounds.drive(root)).catch_unwind().await;
        let mut errors = execution.take_errors();
        let data = data.unwrap_or_else(|panic| {
            errors.push(Error::panicked("the execution", &*panic).into());
            None
        });
        ExecutionOutcome { data, errors }
    }

    /// The root field of a subscription, and the filter for its events. The arguments are read once, here.
    ///
    /// # Errors
    /// `BAD_REQUEST` unless the operation has exactly one root field, `BAD_USER_INPUT` for wrong arguments.
    pub fn event_filter(&self, prepared: &PreparedRequest) -> Result<(&'static str, EventFilter<S>)> {
        let context = Context::new((), (), LoadLimits::default(), PageSizes { default: 0, max: 0 });
        let fragments = &prepared.document.document.fragments;
        let execution = Execution::new(&self.types, &context, fragments, prepared.variables.clone(), HashMap::new());
        let definition = self.types.get::<S>();
        let (field, arguments) = single_field(&execution, &definition.name, prepared.selection())?;
        let missing = || Error::new(Code::BadRequest, "a subscription has exactly one root field");
        let (field, filter) = definition.event_filters.get_key_value(field).ok_or_else(missing)?;
        Ok((field, filter(arguments)?))
    }

    /// The schema in the schema definition language; `None` if introspection is disabled.
    pub fn sdl(&self) -> Option<&str> {
        self.introspection.then_some(&self.sdl)
    }

    async fn validate(
        &self,
        operation_name: Option<&str>,
        variables: &Variables,
        document: &ExecutableDocument,
    ) -> std::result::Result<(), Vec<FieldError>> {
        let request = upstream_request(operation_name, variables.clone(), document);
        let errors = self.validator.execute(request).await.errors;
        if errors.is_empty() {
            return Ok(());
        }
        Err(errors.into_iter().take(ERRORS_MAX).map(validation_error).collect())
    }

    /// The introspection fields of the operation, by response key. async-graphql resolves them, and null for all others.
    async fn introspect(&self, prepared: &PreparedRequest) -> HashMap<String, Vec<u8>> {
        let document = &prepared.document.document;
        if !introspects(document, &prepared.selection().items) {
            return HashMap::new();
        }
        let name = prepared.document.operation_name();
        let variables: Variables = Variables::from_value(Value::Object(prepared.variables.clone()));
        let response = self.introspector.execute(upstream_request(name, variables, document)).await;
        let Value::Object(fields) = response.data else { return HashMap::new() };
        let json = |value: &Value| serde_json::to_vec(value).unwrap_or_else(|_| b"null".to_vec());
        fields.iter().map(|(key, value)| (key.to_string(), json(value))).collect()
    }
}

/// The kind of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationKind {
    /// Reads.
    Query,
    /// Writes.
    Mutation,
    /// Receives events.
    Subscription,
}

/// An operation that may be executed, with the values of its variables.
pub struct PreparedRequest {
    document: Arc<PreparedOperation>,
    variables: IndexMap<Name, Value>,
}

impl PreparedRequest {
    /// The kind of the operation.
    pub fn kind(&self) -> OperationKind {
        self.document.kind()
    }

    /// A hash of the document's text and the name of the operation.
    pub fn digest(&self) -> [u8; 32] {
        self.document.digest()
    }

    /// The names of the first `max` root fields.
    pub fn root_fields(&self, max: usize) -> Vec<String> {
        let mut names = Vec::new();
        root_fields(&self.document.document, self.selection(), max, &mut names);
        names
    }

    /// A rejection of this request.
    pub fn reject(&self, error: Error) -> RejectedRequest {
        RejectedRequest { errors: vec![error.into()], kind: Some(self.kind()) }
    }

    fn selection(&self) -> &SelectionSet {
        &self.document.operation.node.selection_set.node
    }
}

/// What an executed operation returned.
#[derive(Debug)]
pub struct ExecutionOutcome {
    /// The root object as JSON; `None` if it is null.
    pub data: Option<Vec<u8>>,
    /// The errors of the fields, at most 100.
    pub errors: Vec<FieldError>,
}

/// A request that was not executed.
#[derive(Debug)]
pub struct RejectedRequest {
    /// Why.
    pub errors: Vec<FieldError>,
    /// The kind of the operation, if it is known.
    pub kind: Option<OperationKind>,
}

impl From<DocumentError> for RejectedRequest {
    fn from(error: DocumentError) -> Self {
        Self { errors: vec![error.into()], kind: None }
    }
}

impl From<DocumentError> for FieldError {
    fn from(error: DocumentError) -> Self {
        Self { error: error.error, position: error.position.unwrap_or_default(), path: Vec::new() }
    }
}

impl From<Error> for FieldError {
    /// An error that belongs to no place in the document.
    fn from(error: Error) -> Self {
        Self { error, position: Pos::default(), path: Vec::new() }
    }
}

/// A validation error; its message is cut to 300 characters.
fn validation_error(error: ServerError) -> FieldError {
    const MESSAGE_LENGTH_MAX: usize = 300;
    let message: String = error.message.chars().take(MESSAGE_LENGTH_MAX).collect();
    let position = error.locations.first().copied().unwrap_or_default();
    FieldError { error: Error::new(Code::GraphqlValidationFailed, message), position, path: Vec::new() }
}

/// Returns whether a root field of the operation is an introspection field.
fn introspects(document: &ExecutableDocument, items: &[Positioned<Selection>]) -> bool {
    items.iter().any(|item| match &item.node {
        Selection::Field(field) => matches!(field.node.name.node.as_str(), "__schema" | "__type"),
        Selection::InlineFragment(fragment) => introspects(document, &fragment.node.selection_set.node.items),
        Selection::FragmentSpread(spread) => document
            .fragments
            .get(&spread.node.fragment_name.node)
            .is_some_and(|fragment| introspects(document, &fragment.node.selection_set.node.items)),
    })
}

fn root_fields(document: &ExecutableDocument, set: &SelectionSet, max: usize, names: &mut Vec<String>) {
    for item in &set.items {
        match &item.node {
            _ if names.len() >= max => return,
            Selection::Field(field) => names.push(field.node.name.node.to_string()),
            Selection::InlineFragment(fragment) => root_fields(document, &fragment.node.selection_set.node, max, names),
            Selection::FragmentSpread(spread) => {
                if let Some(fragment) = document.fragments.get(&spread.node.fragment_name.node) {
                    root_fields(document, &fragment.node.selection_set.node, max, names);
                }
            }
        }
    }
}

/// The request as async-graphql takes it, with the parsed document.
fn upstream_request(
    operation_name: Option<&str>,
    variables: Variables,
    document: &ExecutableDocument,
) -> async_graphql::Request {
    let mut request = async_graphql::Request::new("").variables(variables);
    if let Some(name) = operation_name.filter(|name| !name.is_empty()) {
        request = request.operation_name(name);
    }
    request.set_parsed_query(document.clone());
    request
}
