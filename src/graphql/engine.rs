//! From the text of a request to the text of its response.
use std::{
    collections::HashMap,
    marker::PhantomData,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use async_graphql::{
    ContainerType, Name, ObjectType, OutputType, Pos, Positioned, SDLExportOptions, Schema,
    SchemaBuilder as UpstreamSchemaBuilder, ServerError, ServerResult, SubscriptionType, Value,
    extensions::{Extension, ExtensionContext, ExtensionFactory, NextExecute},
    indexmap::IndexMap,
    parser::types::{ExecutableDocument, Field, Selection, SelectionSet},
    registry::{MetaType, Registry},
};
use futures_util::{FutureExt, Stream, StreamExt, stream};
use tokio::sync::Semaphore;
use tracing::{error, warn};
use uuid::Uuid;

use super::{
    BatchReport, Context, Execute, Operation, Request, RequestReport, Response, Responses, Settings,
    document::{CacheMatch, OperationCache, PreparedOperation},
    execute::{ERRORS_MAX, Execution, ExecutionMode, FieldError, Segment, single_field, variables},
    guard::{CostAnalyzer, DocumentError, Limits, operation},
    idempotency::Idempotency,
    load_cache::{self, CacheHandle, Invalidation, LoadCache},
    object::{EmptyRoot, EventFilter, Object, SchemaBuilder, Types},
    subscription::{Broadcaster, Change, Subscriber},
};
use crate::{
    access::Viewer,
    dataloader::{self, Rounds},
    db::Db,
    error::{Code, Error, Result},
};

/// Executes requests against a schema whose roots are `Q`, `M` and `S`.
pub struct Engine<Q: Object, M: Object = EmptyRoot, S: Change = EmptyRoot> {
    query: Q,
    mutation: M,
    broadcaster: Arc<Broadcaster<S>>,
    /// What was loaded for links.
    kept: Option<Arc<LoadCache>>,
    types: Types,
    sdl: String,
    guard: CostAnalyzer,
    introspection: bool,
    /// A permit for each event that is executed.
    events: Semaphore,
    operations: OperationCache,
    validator: UpstreamSchema<Q, M, S>,
    introspector: UpstreamSchema<Q, M, S>,
    db: Db,
    settings: Settings,
    loading: dataloader::LoadLimits,
}

/// async-graphql's own schema.
type UpstreamSchema<Q, M, S> = Schema<UpstreamRoot<Q>, UpstreamRoot<M>, UpstreamRoot<S>>;

impl<Q: Object, M: Object, S: Change> Engine<Q, M, S> {
    /// Declares the schema and guards it with `limits`.
    ///
    /// # Errors
    /// The guard cannot read the schema.
    pub fn new(
        (query, mutation): (Q, M),
        db: Db,
        settings: Settings,
        limits: Limits,
        loading: dataloader::LoadLimits,
        kept: load_cache::CacheConfig,
    ) -> Result<Self> {
        let mut registry = discarded_registry();
        let mut schema = SchemaBuilder::new(&mut registry);
        schema.object::<Q>();
        schema.object::<M>();
        schema.object::<S>();
        let types = schema.finish();
        let introspector = upstream_schema::<Q, M, S>().finish();
        let validator = upstream_schema::<Q, M, S>().extension(ValidateOnly);
        // A message that names what is spelled alike would tell the schema bit by bit.
        let validator = if limits.introspection { validator } else { validator.disable_suggestions() };
        let validator = validator.finish();
        let introspection = limits.introspection;
        let sdl = sdl::<Q, M, S>();
        let operations = OperationCache::new(limits.document_cache_bytes);
        let guard = CostAnalyzer::new(&sdl, limits)?;
        Ok(Self {
            query,
            mutation,
            broadcaster: Arc::new(Broadcaster::new(db.clone())),
            // A copy may be behind what was heard of.
            kept: LoadCache::new(&kept).filter(|_| !db.has_replica()),
            types,
            sdl,
            guard,
            introspection,
            events: Semaphore::new(EVENTS_MAX),
            operations,
            validator,
            introspector,
            db,
            settings,
            loading,
        })
    }

    async fn answer(&self, request: &Request) -> std::result::Result<ExecutionOutcome, RejectedRequest> {
        let prepared = self.prepare(request).await?;
        if prepared.kind() == Operation::Subscription {
            let message = "a subscription is followed over a WebSocket, or with Accept: text/event-stream";
            return Err(prepared.refuse(Error::new(Code::BadRequest, message)));
        }
        let elsewhere = self.introspect(request, &prepared).await;
        if prepared.kind() == Operation::Query {
            let context = Context { cache: self.cache(request, &prepared), ..self.context(&self.db, request.viewer) };
            return self.run(&prepared, self.query.clone(), context, elsewhere).await;
        }
        let _writing = self.broadcaster.writing();
        let context =
            Context { idempotency: Idempotency::of(request), ..self.context(&self.db.primary(), request.viewer) };
        if let Some(idempotency) = &context.idempotency {
            match idempotency.begin(&context.db).await {
                Ok(None) => {}
                Ok(Some(answer)) => {
                    return Ok(ExecutionOutcome {
                        told_before: Some(answer.into_bytes()),
                        ..ExecutionOutcome::mutation()
                    });
                }
                Err(error) => return Err(prepared.refuse(error)),
            }
        }
        self.run(&prepared, self.mutation.clone(), context, elsewhere).await
    }

    /// What one operation is executed with.
    fn context(&self, db: &Db, viewer: Viewer) -> Context {
        let db = db.for_request(viewer.access_scope());
        let rounds = Rounds::new(db.clone(), self.loading);
        let is_one_time_secret = AtomicBool::new(false);
        Context { rounds, settings: self.settings, viewer, db, idempotency: None, is_one_time_secret, cache: None }
    }

    /// What keeps loads, for a viewer for whom they may be kept: what an account may see depends on the time too.
    fn cache(&self, request: &Request, prepared: &PreparedRequest) -> Option<CacheHandle> {
        let kept = self.kept.as_ref().filter(|_| request.viewer.user.is_none())?;
        let invalidation: Arc<dyn Invalidation> = self.broadcaster.clone();
        let document = prepared.document.clone();
        Some(CacheHandle { kept: kept.clone(), invalidation, document, begun: Mutex::default() })
    }

    /// Guards, validates and reads the variables. What was found before is not looked at again.
    async fn prepare(&self, request: &Request) -> std::result::Result<PreparedRequest, RejectedRequest> {
        let name = request.operation_name.as_deref().unwrap_or_default();
        let known = self.operations.get(&request.query, name);
        let cache_match = known.as_ref().map_or(CacheMatch::Miss, |known| known.cache_match(&request.variables));
        let document = match &known {
            Some(known) => known.clone(),
            None => {
                let document = self.guard.parse(&request.query)?;
                let operation = operation(&document, Some(name).filter(|name| !name.is_empty()))?.clone();
                Arc::new(PreparedOperation::new(&request.query, name, document, operation, &request.variables))
            }
        };
        let kind = document.kind();
        let refuse = |errors: Vec<FieldError>| RejectedRequest { errors, operation: Some(kind) };
        if cache_match != CacheMatch::Exact {
            self.guard
                .check(&document.document, &document.operation.node, &request.variables)
                .map_err(|refusal| refuse(vec![refusal.into()]))?;
        }
        if request.queries_only && kind != Operation::Query {
            let message = "GET executes queries alone: send mutations and subscriptions by POST";
            return Err(refuse(vec![plain(Error::new(Code::BadRequest, message))]));
        }
        if !self.introspection && introspects(&document.document, &document.operation.node.selection_set.node.items) {
            let message = "introspection is switched off on this server: ask its operator for the schema";
            return Err(refuse(vec![plain(Error::new(Code::GraphqlValidationFailed, message))]));
        }
        if kind == Operation::Mutation && !request.viewer.may_write() {
            return Err(refuse(vec![plain(may_not_write(request.viewer))]));
        }
        if cache_match == CacheMatch::Miss {
            self.validate(request, &document.document).await.map_err(refuse)?;
        }
        let values =
            variables(&document.operation.node, &request.variables).map_err(|error| refuse(vec![plain(error)]))?;
        if known.is_none() {
            self.operations.keep(&request.query, name, document.clone());
        }
        Ok(PreparedRequest { document, values })
    }

    /// Executes an operation over its root.
    async fn run<T: Object>(
        &self,
        prepared: &PreparedRequest,
        root: T,
        context: Context,
        elsewhere: HashMap<String, Vec<u8>>,
    ) -> std::result::Result<ExecutionOutcome, RejectedRequest> {
        let mode =
            if prepared.kind() == Operation::Mutation { ExecutionMode::Sequential } else { ExecutionMode::Normal };
        let fragments = &prepared.document.document.fragments;
        let execution = Execution::new(&self.types, &context, fragments, prepared.values.clone(), elsewhere);
        let root = execution.root(root, &prepared.document.operation.node.selection_set.node, mode);
        let data = AssertUnwindSafe(context.rounds.drive(root)).catch_unwind().await;
        let mut errors = execution.take_errors();
        let data = data.unwrap_or_else(|panic| {
            errors.push(plain(Error::panicked("the execution", &*panic)));
            None
        });
        // Of a mutation something may have been written: its answer tells field by field.
        if context.rounds.exceeded() && prepared.kind() != Operation::Mutation {
            errors.retain(|error| error.error.code == Code::SqlBudgetExceeded);
            errors.truncate(1);
            return Err(RejectedRequest { errors, operation: Some(prepared.kind()) });
        }
        if let (Some(cache), Some(_), true) = (&context.cache, &data, errors.is_empty()) {
            cache.end(&context.rounds);
        }
        let is_one_time_secret = context.is_one_time_secret.load(Ordering::Relaxed);
        let (operation, report) = (prepared.kind(), report(&context.rounds));
        let mut fields = Vec::new();
        if operation == Operation::Mutation {
            root_fields(&prepared.document.document, &prepared.document.operation.node.selection_set.node, &mut fields);
        }
        Ok(ExecutionOutcome { data, errors, operation, report, fields, is_one_time_secret, told_before: None })
    }

    /// The field of a subscription, and which changes belong to it.
    fn belonging(&self, prepared: &PreparedRequest) -> Result<(&'static str, EventFilter<S>)> {
        let context = self.context(&self.db, Viewer::ANONYMOUS);
        let fragments = &prepared.document.document.fragments;
        let execution = Execution::new(&self.types, &context, fragments, prepared.values.clone(), HashMap::new());
        let declared = self.types.get::<S>();
        let (field, values) =
            single_field(&execution, &declared.name, &prepared.document.operation.node.selection_set.node)?;
        let belonging = declared.event_filters.get_key_value(field);
        let missing = || Error::new(Code::BadRequest, "a subscription has one field at its root");
        let (field, belonging) = belonging.ok_or_else(missing)?;
        Ok((field, belonging(values)?))
    }

    async fn validate(
        &self,
        request: &Request,
        document: &ExecutableDocument,
    ) -> std::result::Result<(), Vec<FieldError>> {
        let errors = self.validator.execute(upstream_request(request, document)).await.errors;
        if errors.is_empty() {
            return Ok(());
        }
        Err(errors.into_iter().take(ERRORS_MAX).map(invalid).collect())
    }

    /// The introspection fields of the operation, by response key. async-graphql answers them, and null for all others.
    async fn introspect(&self, request: &Request, prepared: &PreparedRequest) -> HashMap<String, Vec<u8>> {
        let document = &prepared.document.document;
        if !introspects(document, &prepared.document.operation.node.selection_set.node.items) {
            return HashMap::new();
        }
        let response = self.introspector.execute(upstream_request(request, document)).await;
        let Value::Object(fields) = response.data else { return HashMap::new() };
        let json = |value: &Value| serde_json::to_vec(value).unwrap_or_else(|_| b"null".to_vec());
        fields.iter().map(|(key, value)| (key.to_string(), json(value))).collect()
    }
}

/// async-graphql's own schema of what is declared below the roots.
fn upstream_schema<Q: Object, M: Object, S: Object>()
-> UpstreamSchemaBuilder<UpstreamRoot<Q>, UpstreamRoot<M>, UpstreamRoot<S>> {
    Schema::build(UpstreamRoot::<Q>(PhantomData), UpstreamRoot::<M>(PhantomData), UpstreamRoot::<S>(PhantomData))
}

/// The schema in the schema definition language.
pub fn sdl<Q: Object, M: Object, S: Object>() -> String {
    upstream_schema::<Q, M, S>().finish().sdl_with_options(SDLExportOptions::new().include_specified_by())
}

/// The answer to the standard introspection query.
///
/// # Errors
/// The answer cannot be written.
pub async fn introspection_json<Q: Object, M: Object, S: Object>() -> Result<String> {
    let response = upstream_schema::<Q, M, S>().finish().execute(include_str!("guard/introspection.graphql")).await;
    let mut text =
        serde_json::to_string_pretty(&serde_json::json!({ "data": response.data })).map_err(Error::internal)?;
    text.push('\n');
    Ok(text)
}

#[async_trait::async_trait]
impl<Q: Object, M: Object, S: Change> Execute for Engine<Q, M, S> {
    async fn execute(&self, request: Request) -> Response {
        let start = Instant::now();
        let answer = self.answer(&request).await;
        let is_to_be_kept =
            answer.as_ref().is_ok_and(|answer| answer.told_before.is_none() && !answer.is_one_time_secret);
        let response = respond(answer, &request, start);
        if is_to_be_kept
            && response.operation == Some(Operation::Mutation)
            && let Some(idempotency) = Idempotency::of(&request)
            && let Err(error) = idempotency.end(&self.db, &response.body, &response.codes).await
        {
            // What was written is kept beside the writes: the answer can be made again from that.
            warn!(cause = error.source_chain(), "an answer was not kept for requests that are tried again");
        }
        response
    }

    async fn subscribe(self: Arc<Self>, request: Request) -> std::result::Result<Responses, Response> {
        let start = Instant::now();
        let prepared = match self.prepare(&request).await {
            Ok(prepared) if prepared.kind() == Operation::Subscription => prepared,
            Ok(_) => return Err(self.execute(request).await),
            Err(refused) => return Err(respond(Err(refused), &request, start)),
        };
        let (field, belonging) = match self.belonging(&prepared) {
            Ok(found) => found,
            Err(error) => return Err(respond(Err(prepared.refuse(error)), &request, start)),
        };
        let following = match self.broadcaster.follow().await {
            Ok(following) => following,
            Err(error) => return Err(respond(Err(prepared.refuse(error)), &request, start)),
        };
        let subscription = SubscriptionStream { engine: self, request, prepared, field, belonging, following };
        Ok(stream::unfold(Some(subscription), |subscription| async { subscription?.next().await }).boxed())
    }

    fn sdl(&self) -> Option<&str> {
        self.introspection.then_some(&self.sdl)
    }
}

/// A subscription that is followed.
struct SubscriptionStream<Q: Object, M: Object, S: Change> {
    engine: Arc<Engine<Q, M, S>>,
    request: Request,
    prepared: PreparedRequest,
    field: &'static str,
    belonging: EventFilter<S>,
    following: Subscriber<S>,
}

impl<Q: Object, M: Object, S: Change> SubscriptionStream<Q, M, S> {
    /// The response to the next change that belongs to it. After changes were missed it says so, and ends.
    async fn next(mut self) -> Option<(Response, Option<Self>)> {
        loop {
            let change = self.following.next().await;
            let start = Instant::now();
            let change = match change {
                Ok(change) => change,
                Err(error) => {
                    let refused = self.prepared.refuse(error);
                    return Some((respond(Err(refused), &self.request, start), None));
                }
            };
            if (self.belonging)(&change) {
                let root = (*change).clone();
                let context = self.engine.context(&self.engine.db.primary(), self.request.viewer);
                // It is never closed, so there is a turn for everyone.
                let turn = self.engine.events.acquire().await;
                let answer = match change.is_seen(self.field, &context).await {
                    Ok(true) => self.engine.run(&self.prepared, root, context, HashMap::new()).await,
                    Ok(false) => continue,
                    Err(error) => Err(self.prepared.refuse(error)),
                };
                drop(turn);
                return Some((respond(answer, &self.request, start), Some(self)));
            }
        }
    }
}

/// An operation that may be executed.
struct PreparedRequest {
    document: Arc<PreparedOperation>,
    values: IndexMap<Name, Value>,
}

impl PreparedRequest {
    fn kind(&self) -> Operation {
        self.document.kind()
    }

    fn refuse(&self, error: Error) -> RejectedRequest {
        RejectedRequest { errors: vec![plain(error)], operation: Some(self.kind()) }
    }
}

fn respond(
    answer: std::result::Result<ExecutionOutcome, RejectedRequest>,
    request: &Request,
    start: Instant,
) -> Response {
    let (data, errors, operation, mut report, fields, executed) = match answer {
        Ok(ExecutionOutcome { told_before: Some(body), operation, .. }) => {
            return Response::told_before(body, operation, request);
        }
        Ok(answer) => (Some(answer.data), answer.errors, Some(answer.operation), answer.report, answer.fields, true),
        Err(refused) => (None, refused.errors, refused.operation, RequestReport::default(), Vec::new(), false),
    };
    report.total = start.elapsed();
    let codes = errors.iter().map(|error| error.error.code).collect();
    let extensions = request.wants_report.then(|| report.to_json());
    let has_data = data.as_ref().is_some_and(Option::is_some);
    let body = write(data, &errors, extensions).into();
    let (operation_name, viewer) = (request.operation_name.clone(), request.viewer);
    Response { body, executed, has_data, codes, operation_name, operation, fields, viewer, report }
}

/// What an executed operation came to.
struct ExecutionOutcome {
    data: Option<Vec<u8>>,
    errors: Vec<FieldError>,
    operation: Operation,
    report: RequestReport,
    /// The root fields of a mutation.
    fields: Vec<String>,
    /// Whether it has what is told once.
    is_one_time_secret: bool,
    /// The body of the answer that the request was given before.
    told_before: Option<Vec<u8>>,
}

impl ExecutionOutcome {
    fn mutation() -> Self {
        Self {
            data: None,
            errors: Vec::new(),
            operation: Operation::Mutation,
            report: RequestReport::default(),
            fields: Vec::new(),
            is_one_time_secret: false,
            told_before: None,
        }
    }
}

/// A request that was not executed.
struct RejectedRequest {
    errors: Vec<FieldError>,
    operation: Option<Operation>,
}

impl From<DocumentError> for RejectedRequest {
    fn from(refusal: DocumentError) -> Self {
        Self { errors: vec![refusal.into()], operation: None }
    }
}

impl From<DocumentError> for FieldError {
    fn from(refusal: DocumentError) -> Self {
        Self { error: refusal.error, position: refusal.position.unwrap_or_default(), path: Vec::new() }
    }
}

/// Why a viewer may execute no mutation.
fn may_not_write(viewer: Viewer) -> Error {
    match viewer.scope {
        None => Error::new(Code::Unauthenticated, "a token is needed to write: send Authorization: Bearer with one"),
        Some(_) => Error::new(Code::Forbidden, "the token may read alone: a mutation needs one with the scope write"),
    }
}

/// An error that belongs to no place.
fn plain(error: Error) -> FieldError {
    FieldError { error, position: Pos::default(), path: Vec::new() }
}

/// A validation error, its message cut to a size.
fn invalid(error: ServerError) -> FieldError {
    const MESSAGE_LENGTH_MAX: usize = 300;
    let message: String = error.message.chars().take(MESSAGE_LENGTH_MAX).collect();
    let position = error.locations.first().copied().unwrap_or_default();
    FieldError { error: Error::new(Code::GraphqlValidationFailed, message), position, path: Vec::new() }
}

/// Whether the root of the operation asks for introspection.
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

/// The names of the fields at the root, without those that stand behind the first [`FIELDS_MAX`].
fn root_fields(document: &ExecutableDocument, set: &SelectionSet, names: &mut Vec<String>) {
    for item in &set.items {
        match &item.node {
            _ if names.len() >= FIELDS_MAX => return,
            Selection::Field(field) => names.push(field.node.name.node.to_string()),
            Selection::InlineFragment(fragment) => root_fields(document, &fragment.node.selection_set.node, names),
            Selection::FragmentSpread(spread) => {
                if let Some(fragment) = document.fragments.get(&spread.node.fragment_name.node) {
                    root_fields(document, &fragment.node.selection_set.node, names);
                }
            }
        }
    }
}

/// Root fields of a mutation that are told of.
const FIELDS_MAX: usize = 20;

/// The request as async-graphql takes it, with the document as it was parsed.
fn upstream_request(request: &Request, document: &ExecutableDocument) -> async_graphql::Request {
    let mut upstream_schema = async_graphql::Request::new("").variables(request.variables.clone());
    if let Some(name) = &request.operation_name
        && !name.is_empty()
    {
        upstream_schema = upstream_schema.operation_name(name);
    }
    upstream_schema.set_parsed_query(document.clone());
    upstream_schema
}

/// Events that are executed at once: one change is an event for each who follows it, and requests need the database too.
const EVENTS_MAX: usize = 32;

/// Statements of one relationship in one request from which on a warning is logged.
const N_PLUS_ONE_FROM: usize = 10;

/// Warns of what the rounds should make impossible: many statements for one relationship.
fn warn_of_many(statements: &[dataloader::ExecutedStatement]) {
    if statements.len() <= N_PLUS_ONE_FROM {
        return;
    }
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for statement in statements {
        *counts.entry(statement.relation).or_default() += 1;
    }
    for (relation, count) in counts.into_iter().filter(|(_, count)| *count > N_PLUS_ONE_FROM) {
        warn!(relation, count, "n_plus_one_warning");
    }
}

fn report(rounds: &Rounds) -> RequestReport {
    let loaded = rounds.report();
    warn_of_many(&loaded.statements);
    let batch = |statement: &dataloader::ExecutedStatement| BatchReport {
        relation: statement.relation,
        keys: u32::try_from(statement.keys).unwrap_or(u32::MAX),
        rows: statement.rows as u64,
        time: statement.time,
    };
    RequestReport {
        statements: u32::try_from(loaded.statements.len()).unwrap_or(u32::MAX),
        rounds: loaded.rounds,
        rows: loaded.statements.iter().map(|statement| statement.rows as u64).sum(),
        db: loaded.time,
        total: Default::default(),
        cache_hits: loaded.hits,
        cache_misses: loaded.misses,
        batches: loaded.statements.iter().map(batch).collect(),
    }
}

/// Writes the response: errors first, `data` only where the operation was executed.
fn write(data: Option<Option<Vec<u8>>>, errors: &[FieldError], extensions: Option<serde_json::Value>) -> Vec<u8> {
    let data = match data {
        // What most responses are is not copied.
        Some(Some(mut data)) if errors.is_empty() && extensions.is_none() => {
            data.splice(..0, *b"{\"data\":");
            data.push(b'}');
            return data;
        }
        data => data,
    };
    let mut json = Vec::with_capacity(data.as_ref().and_then(Option::as_ref).map_or(0, Vec::len) + 64);
    json.push(b'{');
    if !errors.is_empty() {
        let errors: Vec<serde_json::Value> = errors.iter().map(error_json).collect();
        append(&mut json, "errors", &serde_json::to_vec(&errors).unwrap_or_default());
    }
    if let Some(data) = data {
        append(&mut json, "data", data.as_deref().unwrap_or(b"null"));
    }
    if let Some(extensions) = extensions {
        let extensions = serde_json::json!({ "gatherum": extensions });
        append(&mut json, "extensions", &serde_json::to_vec(&extensions).unwrap_or_default());
    }
    json.push(b'}');
    json
}

fn append(json: &mut Vec<u8>, key: &str, value: &[u8]) {
    if json.len() > 1 {
        json.push(b',');
    }
    json.extend_from_slice(format!("\"{key}\":").as_bytes());
    json.extend_from_slice(value);
}

/// An error for the client. What is internal is logged here, once, under an id that the client sees too.
fn error_json(error: &FieldError) -> serde_json::Value {
    let mut json = serde_json::json!({ "message": error.error.message });
    if error.position != Pos::default() {
        json["locations"] = serde_json::json!([{ "line": error.position.line, "column": error.position.column }]);
    }
    if !error.path.is_empty() {
        json["path"] = serde_json::to_value(&error.path).unwrap_or_default();
    }
    json["extensions"] = serde_json::json!({ "code": error.error.code.as_str() });
    if let Some(about) = &error.error.details {
        if let Some(field) = &about.field {
            json["extensions"]["field"] = field.as_str().into();
        }
        if let Some(revision) = about.revision {
            json["extensions"]["currentRevision"] = revision.into();
        }
    }
    let path = || error.path.iter().map(Segment::to_string).collect::<Vec<_>>().join(".");
    match error.error.code {
        Code::Internal => {
            let id = Uuid::now_v7().simple().to_string();
            error!(id, path = path(), cause = error.error.source_chain(), "internal error");
            json["extensions"]["id"] = id.into();
        }
        Code::Unavailable | Code::Timeout => {
            warn!(path = path(), cause = error.error.source_chain(), "database failed a field");
        }
        _ => {}
    }
    json
}

/// The root of the schema as async-graphql knows it: types for parsing, validation and introspection. Its fields are
/// resolved by [`super::execute`], so none of them has a resolver here.
struct UpstreamRoot<Q>(PhantomData<fn() -> Q>);

impl<Q: Object> ContainerType for UpstreamRoot<Q> {
    fn is_empty() -> bool {
        Q::IS_EMPTY
    }

    async fn resolve_field(&self, _ctx: &async_graphql::Context<'_>) -> ServerResult<Option<Value>> {
        Ok(None)
    }
}

impl<Q: Object> OutputType for UpstreamRoot<Q> {
    fn type_name() -> std::borrow::Cow<'static, str> {
        Q::name().into()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        SchemaBuilder::new(registry).object::<Q>()
    }

    async fn resolve(
        &self,
        _ctx: &async_graphql::ContextSelectionSet<'_>,
        _field: &Positioned<Field>,
    ) -> ServerResult<Value> {
        Ok(Value::Null)
    }
}

impl<Q: Object> ObjectType for UpstreamRoot<Q> {}

impl<S: Object> SubscriptionType for UpstreamRoot<S> {
    fn type_name() -> std::borrow::Cow<'static, str> {
        S::name().into()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        let type_ref = SchemaBuilder::new(registry).object::<S>();
        if let Some(MetaType::Object { is_subscription, .. }) = registry.types.get_mut(&S::name()) {
            *is_subscription = true;
        }
        type_ref
    }

    fn is_empty() -> bool {
        S::IS_EMPTY
    }

    fn create_field_stream<'a>(
        &'a self,
        _ctx: &'a async_graphql::Context<'_>,
    ) -> Option<Pin<Box<dyn Stream<Item = async_graphql::Response> + Send + 'a>>> {
        None
    }
}

/// A registry whose types are thrown away: only what the execution needs is kept.
fn discarded_registry() -> Registry {
    Registry::default()
}

/// Stops async-graphql after validation.
struct ValidateOnly;

impl ExtensionFactory for ValidateOnly {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Self)
    }
}

#[async_trait::async_trait]
impl Extension for ValidateOnly {
    async fn execute(
        &self,
        _ctx: &ExtensionContext<'_>,
        _operation_name: Option<&str>,
        _next: NextExecute<'_>,
    ) -> async_graphql::Response {
        async_graphql::Response::default()
    }
}
