//! From the text of a document to the JSON of its response.
use std::{collections::HashMap, future::poll_fn, marker::PhantomData, panic::AssertUnwindSafe, sync::Arc, task::Poll};

use async_graphql::{Name, Pos, Value, Variables, indexmap::IndexMap, registry::Registry};
use futures_util::FutureExt;
use gatherum_document::{
    CheckError, Document, Options, Schema,
    apollo_compiler::{
        ast::{OperationType, Type},
        executable::{Operation, Selection, SelectionSet},
    },
    async_graphql_to_json, json_to_async_graphql,
};

use crate::{
    context::{Context, PageSizes},
    cost::{DocumentError, Limits},
    error::{Code, Error, Result},
    execute::{Execution, ExecutionMode, FieldError, single_field},
    explain::{self, Plan},
    loading::LoadLimits,
    object::{EmptyRoot, EventFilter, Object, SchemaBuilder, Types},
    operation::{OperationCache, PreparedOperation, PreparedVariables},
    schema::sdl,
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
    schema: Schema,
    limits: Limits,
    operations: OperationCache,
    events: PhantomData<fn() -> S>,
}

impl<Q: Object, M: Object, S: Object> Engine<Q, M, S> {
    /// Builds the schema. Documents are rejected above `limits`.
    ///
    /// # Errors
    /// The schema is not valid.
    pub fn new(query: Q, mutation: M, limits: Limits) -> Result<Self> {
        let mut registry = Registry::default();
        let mut builder = SchemaBuilder::new(&mut registry);
        builder.object::<Q>();
        builder.object::<M>();
        builder.object::<S>();
        let types = builder.finish();
        let sdl = sdl::<Q, M, S>();
        let schema = Schema::parse(&sdl).map_err(Error::internal)?;
        let operations = OperationCache::new(limits.document_cache_bytes);
        Ok(Self { query, mutation, types, sdl, schema, limits, operations, events: PhantomData })
    }

    /// Parses and validates a document, coerces the variables, and checks the limits.
    ///
    /// `admit` decides whether an operation of this kind may be executed.
    ///
    /// # Errors
    /// The document cannot be parsed or is not valid, a variable has a wrong value, a limit is exceeded, or `admit` rejects
    /// the operation.
    pub fn prepare(
        &self,
        query: &str,
        operation_name: Option<&str>,
        variables: &Variables,
        admit: impl FnOnce(OperationKind) -> Result<()>,
    ) -> std::result::Result<PreparedRequest, RejectedRequest> {
        let name = operation_name.unwrap_or_default();
        let known = self.operations.get(query, name);
        if let Some(operation) = &known
            && let Some(variables) = operation.prepared_variables(variables)
        {
            admit(operation.kind()).map_err(|error| operation.reject(vec![error.into()]))?;
            return Ok(PreparedRequest { operation: operation.clone(), variables });
        }
        if let Some(operation) = known {
            let variables = self.prepare_variables(&operation, variables, admit)?;
            return Ok(PreparedRequest { operation, variables });
        }
        let operation = self.parse(query, name)?;
        let prepared = self.prepare_variables(&operation, variables, admit)?;
        let operation = Arc::new(operation.with_variables(variables, &prepared));
        self.operations.insert(query, name, operation.clone());
        Ok(PreparedRequest { operation, variables: prepared })
    }

    /// The values of the variables and the cost, if the operation is admitted and within the limits.
    fn prepare_variables(
        &self,
        operation: &PreparedOperation,
        given: &Variables,
        admit: impl FnOnce(OperationKind) -> Result<()>,
    ) -> std::result::Result<PreparedVariables, RejectedRequest> {
        admit(operation.kind()).map_err(|error| operation.reject(vec![error.into()]))?;
        self.coerce(operation, given).map_err(|errors| operation.reject(errors))
    }

    /// Parses and validates a document, and returns its operations. Nothing is executed.
    ///
    /// The limits that depend on the values of variables are checked with the cheapest values, so a document that is
    /// rejected is never executed, whatever its variables are.
    ///
    /// # Errors
    /// The document cannot be parsed, is not valid, or exceeds a limit; or it has no operation.
    pub fn check(&self, query: &str) -> std::result::Result<Vec<OperationInfo>, RejectedRequest> {
        let document = self.valid(query)?;
        let mut operations = Vec::new();
        for operation in document.operations().iter() {
            self.check_introspection(&document, operation)?;
            self.limits.check(&self.schema, &document, operation, &cheapest_values(operation))?;
            let name = operation.name.as_ref().map(ToString::to_string);
            operations.push(OperationInfo { name, kind: operation.operation_type.into() });
        }
        if operations.is_empty() {
            return Err(Error::new(Code::GraphqlValidationFailed, "the document has no operation").into());
        }
        Ok(operations)
    }

    /// Parses and validates a document.
    fn valid(&self, query: &str) -> std::result::Result<Document, RejectedRequest> {
        // A message that suggests similar names would disclose the schema bit by bit.
        let options = Options { suggestions: self.limits.introspection };
        Ok(self.schema.check(query, &self.limits.parsing(), &options)?)
    }

    /// Parses and validates a document, and selects the operation.
    fn parse(&self, query: &str, name: &str) -> std::result::Result<PreparedOperation, RejectedRequest> {
        let document = self.valid(query)?;
        let unknown = |error| Error::new(Code::BadRequest, operation_message(error, name));
        let operation = document.operation(Some(name)).map_err(unknown)?.clone();
        self.check_introspection(&document, &operation)?;
        Ok(PreparedOperation::new(name, document, operation))
    }

    /// Rejects introspection if it is disabled.
    fn check_introspection(
        &self,
        document: &Document,
        operation: &Operation,
    ) -> std::result::Result<(), RejectedRequest> {
        if self.limits.introspection || !introspects(document, &operation.selection_set) {
            return Ok(());
        }
        let message = "introspection is disabled on this server; ask its operator for the schema";
        let error = Error::new(Code::GraphqlValidationFailed, message);
        Err(RejectedRequest { errors: vec![error.into()], kind: Some(operation.operation_type.into()) })
    }

    /// The values of the variables, with which the operation is within the limits.
    fn coerce(
        &self,
        operation: &PreparedOperation,
        given: &Variables,
    ) -> std::result::Result<PreparedVariables, Vec<FieldError>> {
        self.limits.check_variables(given).map_err(|error| vec![error.into()])?;
        let json = given.iter().map(|(name, value)| (name.to_string(), async_graphql_to_json(value))).collect();
        let (document, definition) = (&operation.document, &operation.operation);
        let coerced = self.schema.coerce_variables(document, definition, &json);
        let coerced = coerced.map_err(|errors| errors.into_iter().map(FieldError::from).collect::<Vec<_>>())?;
        let values: IndexMap<Name, Value> =
            coerced.into_iter().map(|(name, value)| (Name::new(name), json_to_async_graphql(value))).collect();
        let objects = self.limits.check(&self.schema, document, definition, &values);
        Ok(PreparedVariables { objects: objects.map_err(|error| vec![error.into()])?, values: Arc::new(values) })
    }

    /// Executes a query or mutation. Dropping the future drops its loads.
    ///
    /// The root fields of a mutation are executed one after the other. Introspection fields are resolved here too.
    pub async fn execute(&self, prepared: &PreparedRequest, context: &Context) -> ExecutionOutcome {
        let introspected = self.introspect(prepared);
        match prepared.kind() {
            OperationKind::Query => self.run(prepared, self.query.clone(), context, introspected).await,
            OperationKind::Mutation => self.run(prepared, self.mutation.clone(), context, introspected).await,
            OperationKind::Subscription => {
                let message = "a subscription needs a transport that streams responses";
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
        let (document, variables) = (&prepared.operation.document, &*prepared.variables.values);
        let execution = Execution::new(&self.types, context, document, variables, HashMap::new());
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
        let (document, variables) = (&prepared.operation.document, &*prepared.variables.values);
        let execution = Execution::new(&self.types, context, document, variables, introspected);
        let root = execution.root(root, prepared.selection(), mode);
        let root = AssertUnwindSafe(context.rounds.drive(root)).catch_unwind();
        let data = unless_halted(&execution, root).await;
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
        let (document, variables) = (&prepared.operation.document, &*prepared.variables.values);
        let execution = Execution::new(&self.types, &context, document, variables, HashMap::new());
        let definition = self.types.get::<S>();
        let (field, arguments) = single_field(&execution, &definition.name, prepared.selection())?;
        let missing = || Error::new(Code::BadRequest, "a subscription has exactly one root field");
        let (field, filter) = definition.event_filters.get_key_value(field).ok_or_else(missing)?;
        Ok((field, filter(arguments)?))
    }

    /// The schema in the schema definition language; `None` if introspection is disabled.
    pub fn sdl(&self) -> Option<&str> {
        self.limits.introspection.then_some(&self.sdl)
    }

    /// The introspection fields of the operation as JSON, by response key.
    fn introspect(&self, prepared: &PreparedRequest) -> HashMap<String, Vec<u8>> {
        let operation = &prepared.operation;
        if !introspects(&operation.document, prepared.selection()) {
            return HashMap::new();
        }
        let values = prepared.variables.values.iter();
        let variables = values.map(|(name, value)| (name.to_string(), async_graphql_to_json(value)));
        let fields = self.schema.introspect(&operation.document, &operation.operation, &variables.collect());
        let json = |value| serde_json::to_vec(&value).unwrap_or_else(|_| b"null".to_vec());
        fields.into_iter().map(|(key, value)| (key, json(value))).collect()
    }
}

/// Polls `root` until it is complete or an error ends the execution, which drops its loads.
async fn unless_halted<E>(
    execution: &Execution<'_>,
    root: impl Future<Output = std::result::Result<Option<Vec<u8>>, E>>,
) -> std::result::Result<Option<Vec<u8>>, E> {
    let mut root = std::pin::pin!(root);
    poll_fn(|context| {
        let polled = root.as_mut().poll(context);
        if execution.is_halted() { Poll::Ready(Ok(None)) } else { polled }
    })
    .await
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

impl From<OperationType> for OperationKind {
    fn from(kind: OperationType) -> Self {
        match kind {
            OperationType::Query => Self::Query,
            OperationType::Mutation => Self::Mutation,
            OperationType::Subscription => Self::Subscription,
        }
    }
}

/// An operation of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationInfo {
    /// The name, if it has one.
    pub name: Option<String>,
    /// The kind.
    pub kind: OperationKind,
}

/// An operation that may be executed, with the values of its variables.
pub struct PreparedRequest {
    operation: Arc<PreparedOperation>,
    variables: PreparedVariables,
}

impl PreparedRequest {
    /// The kind of the operation.
    pub fn kind(&self) -> OperationKind {
        self.operation.kind()
    }

    /// A hash of the document's text and the name of the operation.
    pub fn digest(&self) -> [u8; 32] {
        self.operation.digest()
    }

    /// The number of objects that the response could have, by the sizes of its pages: the estimated cost.
    pub fn objects(&self) -> u64 {
        self.variables.objects
    }

    /// The names of the first `max` root fields.
    pub fn root_fields(&self, max: usize) -> Vec<String> {
        let mut names = Vec::new();
        root_fields(&self.operation.document, self.selection(), max, &mut names);
        names
    }

    /// A rejection of this request.
    pub fn reject(&self, error: Error) -> RejectedRequest {
        self.operation.reject(vec![error.into()])
    }

    fn selection(&self) -> &SelectionSet {
        &self.operation.operation.selection_set
    }
}

impl PreparedOperation {
    fn reject(&self, errors: Vec<FieldError>) -> RejectedRequest {
        RejectedRequest { errors, kind: Some(self.kind()) }
    }
}

/// The result of an executed operation.
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

impl From<Error> for RejectedRequest {
    /// The rejection of a request before its operation is known.
    fn from(error: Error) -> Self {
        Self { errors: vec![error.into()], kind: None }
    }
}

impl From<DocumentError> for RejectedRequest {
    fn from(error: DocumentError) -> Self {
        Self { errors: vec![error.into()], kind: None }
    }
}

impl From<CheckError> for RejectedRequest {
    fn from(error: CheckError) -> Self {
        let errors = match error {
            CheckError::Parse(error) => vec![DocumentError::from(error).into()],
            CheckError::Validation(errors) => {
                errors.into_iter().map(|error| DocumentError::from(error).into()).collect()
            }
        };
        Self { errors, kind: None }
    }
}

impl From<gatherum_document::VariableError> for FieldError {
    fn from(error: gatherum_document::VariableError) -> Self {
        let code = if error.is_missing { Code::BadUserInput } else { Code::GraphqlValidationFailed };
        let position = Pos { line: error.location.line, column: error.location.column };
        Self { error: Error::new(code, error.message), position, path: Vec::new() }
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

/// Values of an operation's variables with which its cost is as low as it can be: empty pages and lists.
fn cheapest_values(operation: &Operation) -> IndexMap<Name, Value> {
    let cheapest = |ty: &Type| match ty {
        _ if ty.is_list() => Value::List(Vec::new()),
        _ if ty.inner_named_type().as_str() == "Int" => Value::Number(0.into()),
        _ => Value::Null,
    };
    operation.variables.iter().map(|variable| (Name::new(variable.name.as_str()), cheapest(&variable.ty))).collect()
}

/// The message for a request that selects no operation.
fn operation_message(error: gatherum_document::UnknownOperation, name: &str) -> String {
    if name.is_empty() {
        return "the document has several operations; select one with `operationName`".to_owned();
    }
    error.to_string()
}

/// Returns whether a root field of the operation is an introspection field.
fn introspects(document: &Document, set: &SelectionSet) -> bool {
    set.selections.iter().any(|selection| match selection {
        Selection::Field(field) => matches!(field.name.as_str(), "__schema" | "__type"),
        Selection::InlineFragment(fragment) => introspects(document, &fragment.selection_set),
        Selection::FragmentSpread(spread) => {
            let fragment = document.fragments().get(&spread.fragment_name);
            fragment.is_some_and(|fragment| introspects(document, &fragment.selection_set))
        }
    })
}

fn root_fields(document: &Document, set: &SelectionSet, max: usize, names: &mut Vec<String>) {
    for selection in &set.selections {
        match selection {
            _ if names.len() >= max => return,
            Selection::Field(field) => names.push(field.name.to_string()),
            Selection::InlineFragment(fragment) => root_fields(document, &fragment.selection_set, max, names),
            Selection::FragmentSpread(spread) => {
                if let Some(fragment) = document.fragments().get(&spread.fragment_name) {
                    root_fields(document, &fragment.selection_set, max, names);
                }
            }
        }
    }
}
