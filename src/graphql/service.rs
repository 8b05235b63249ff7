//! Executes requests on behalf of their viewers.
use std::{
    num::NonZero,
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use futures_util::{StreamExt, stream};
use gatherum_engine::{
    Context, Engine, ExecutionOutcome, FieldError, PageSizes, PreparedRequest, RejectedRequest,
    cost::Limits,
    object::{EmptyRoot, EventFilter, Object},
    subscription::{Broadcaster, Event, EventFeed, EventSource, FeedMessage, Subscriber},
    write_response,
};
use tracing::warn;

use super::{
    Execute, Operation, Request, RequestReport, RequestState, Response, Responses, Settings,
    admission::{Admission, LimitBounds},
    idempotency::Idempotency,
    load_cache::{CacheConfig, CacheHandle, LoadCache, WriteCount},
};
use crate::{
    access::Viewer,
    db::{Db, Dialect, Feed, FeedEvent},
    documents::{self, Documents, Resolved},
    error::{Code, Error, Result},
    loader::LoadLimits,
};

/// Root fields of a mutation that the audit log names.
const AUDITED_FIELDS_MAX: usize = 20;

/// Maximum length of an idempotency key, in characters.
const IDEMPOTENCY_KEY_LENGTH_MAX: usize = 255;

/// Executes requests against a schema whose root types are `Q`, `M` and `S`.
pub struct Service<Q: Object, M: Object = EmptyRoot, S: Event = EmptyRoot> {
    engine: Engine<Q, M, S>,
    broadcaster: Arc<Broadcaster<S>>,
    /// Loads of requests without an account; `None` if caching is disabled.
    cache: Option<Arc<LoadCache>>,
    documents: Arc<Documents>,
    admission: Arc<Admission>,
    db: Db,
    settings: Settings,
    loading: LoadLimits,
}

impl<Q: Object, M: Object, S: Event> Service<Q, M, S> {
    /// Builds the schema.
    ///
    /// # Errors
    /// The schema is not valid.
    pub fn new(
        (query, mutation): (Q, M),
        db: Db,
        settings: Settings,
        limits: Limits,
        loading: LoadLimits,
        cache: CacheConfig,
        documents: documents::Config,
    ) -> Result<Self> {
        Ok(Self {
            engine: Engine::new(query, mutation, limits)?,
            broadcaster: Arc::new(Broadcaster::new(Arc::new(ChangeFeed(db.clone())))),
            // A replica may lag behind the changes that were announced.
            cache: LoadCache::new(&cache).filter(|_| !db.has_replica()),
            documents: Arc::new(Documents::new(&db, documents)),
            admission: Admission::new(limit_bounds(&db), settings.queue_timeout),
            db,
            settings,
            loading,
        })
    }

    /// The persisted documents of this node.
    pub fn documents(&self) -> &Arc<Documents> {
        &self.documents
    }

    /// Resolves, parses, limits and validates the document of a request.
    async fn prepare(&self, request: &mut Request) -> std::result::Result<PreparedRequest, RejectedRequest> {
        let new = self.resolve(request).await?;
        let name = request.operation_name.as_deref();
        let prepared = self.engine.prepare(&request.query, name, &request.variables, |kind| admit(request, kind))?;
        if let Some(hash) = new {
            self.documents.store(&hash, &request.query, request.viewer).await;
        }
        Ok(prepared)
    }

    /// Resolves the identifier of a request to its document. Returns the hash of a document that is to be stored if it is
    /// valid.
    async fn resolve(&self, request: &mut Request) -> Result<Option<String>> {
        let id = request.document_id.take();
        if std::mem::replace(&mut request.is_resolved, true) {
            return Ok(None);
        }
        match self.documents.resolve(id.as_ref(), &request.query).await? {
            Resolved::Given => Ok(None),
            Resolved::New(hash) => Ok(Some(hash)),
            Resolved::Stored(text) => {
                request.query = text.as_ref().to_owned();
                Ok(None)
            }
        }
    }

    async fn outcome(&self, request: &mut Request) -> std::result::Result<Outcome, RejectedRequest> {
        let prepared = self.prepare(request).await?;
        match prepared.kind() {
            Operation::Query => self.query(request, &prepared).await,
            Operation::Mutation => self.mutate(request, &prepared).await,
            Operation::Subscription => {
                let message = "a subscription needs a transport that streams responses: a WebSocket, or a request with \
                               Accept: text/event-stream or Accept: multipart/mixed;subscriptionSpec=1.0";
                Err(prepared.reject(Error::new(Code::BadRequest, message)))
            }
        }
    }

    async fn query(
        &self,
        request: &Request,
        prepared: &PreparedRequest,
    ) -> std::result::Result<Outcome, RejectedRequest> {
        let permit = self.admission.admit(prepared).await.map_err(|error| prepared.reject(error))?;
        let state = RequestState { cache: self.cache(request, prepared), ..self.state(&self.db, request.viewer) };
        let context = self.context(state, request);
        let executed = self.engine.execute(prepared, &context).await;
        let outcome = outcome(prepared, executed, &context)?;
        let cache = &context.state::<RequestState>().cache;
        if let (Some(cache), Some(_), true) = (cache, &outcome.data, outcome.errors.is_empty()) {
            cache.store(&context.rounds);
        }
        permit.succeed();
        Ok(outcome)
    }

    async fn mutate(
        &self,
        request: &Request,
        prepared: &PreparedRequest,
    ) -> std::result::Result<Outcome, RejectedRequest> {
        let permit = self.admission.admit(prepared).await.map_err(|error| prepared.reject(error))?;
        let _guard = self.broadcaster.write_guard();
        let state = self.state(&self.db.primary(), request.viewer);
        let state = RequestState { idempotency: Idempotency::of(request), ..state };
        if let Some(idempotency) = &state.idempotency {
            match idempotency.begin(state.db()).await {
                Ok(None) => {}
                Ok(Some(body)) => return Ok(Outcome::replayed(body.into_bytes())),
                Err(error) => return Err(prepared.reject(error)),
            }
        }
        let context = self.context(state, request);
        let executed = self.engine.execute(prepared, &context).await;
        let outcome = outcome(prepared, executed, &context)?;
        permit.succeed();
        Ok(outcome)
    }

    fn state(&self, db: &Db, viewer: Viewer) -> RequestState {
        RequestState {
            viewer,
            counts: self.settings.counts,
            db: Some(db.for_request(viewer.access_scope())),
            idempotency: None,
            has_one_time_secret: Default::default(),
            has_committed: Default::default(),
            cache: None,
        }
    }

    fn context(&self, state: RequestState, request: &Request) -> Context {
        let pages = PageSizes { default: self.settings.page_size_default, max: self.settings.page_size_max };
        Context::new(state.db().clone(), state, self.loading.into(), pages).with_on_error(request.on_error)
    }

    /// The cache of a viewer without an account: what an account may see also depends on the time.
    fn cache(&self, request: &Request, prepared: &PreparedRequest) -> Option<CacheHandle> {
        let cache = self.cache.as_ref().filter(|_| request.viewer.user.is_none())?;
        let writes: Arc<dyn WriteCount> = self.broadcaster.clone();
        Some(CacheHandle::new(cache.clone(), writes, prepared.digest()))
    }
}

/// The number of concurrent executions that the pool and the processors permit.
fn limit_bounds(db: &Db) -> LimitBounds {
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    let processors = u32::try_from(processors).unwrap_or(u32::MAX);
    let connections = db.usage().max;
    let busy = match db.dialect() {
        // Its statements run on the processors of this machine. With two executions for each, one can read a request or
        // write a response meanwhile.
        Dialect::Sqlite => 2 * processors.min(connections),
        Dialect::Postgres => db.base_connections() + processors,
    };
    LimitBounds { min: busy, max: connections.saturating_add(processors) }
}

/// Rejects operations that the viewer or the transport may not execute.
fn admit(request: &Request, kind: Operation) -> Result<()> {
    if request.rejects_mutations && kind == Operation::Mutation {
        return Err(Error::new(Code::BadRequest, "GET does not execute mutations: send them with POST"));
    }
    if request.idempotency_key.as_deref().is_some_and(|key| !is_idempotency_key(key)) {
        return Err(Error::new(Code::BadRequest, "an idempotency key must have 1 to 255 visible ASCII characters"));
    }
    if kind != Operation::Mutation || request.viewer.may_write() {
        return Ok(());
    }
    Err(match request.viewer.scope {
        None => Error::new(Code::Unauthenticated, "a mutation needs a token: send it as Authorization: Bearer TOKEN"),
        Some(_) => Error::new(Code::Forbidden, "this token is read-only: mutations need the `write` scope"),
    })
}

fn is_idempotency_key(key: &str) -> bool {
    (1..=IDEMPOTENCY_KEY_LENGTH_MAX).contains(&key.len()) && key.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

#[async_trait::async_trait]
impl<S: Event> WriteCount for Broadcaster<S> {
    async fn writes(&self) -> Option<u64> {
        Broadcaster::writes(self).await
    }
}

/// The change feed of the database.
struct ChangeFeed(Db);

#[async_trait::async_trait]
impl EventSource for ChangeFeed {
    async fn open(&self) -> Result<Box<dyn EventFeed>> {
        Ok(Box::new(DbFeed(self.0.feed().await?)))
    }
}

struct DbFeed(Feed);

#[async_trait::async_trait]
impl EventFeed for DbFeed {
    async fn next(&mut self) -> FeedMessage {
        match self.0.next().await {
            FeedEvent::Message(message) => FeedMessage::Events(message),
            FeedEvent::Lost => FeedMessage::Lost,
            FeedEvent::Disconnected => FeedMessage::Disconnected,
        }
    }
}

#[async_trait::async_trait]
impl<Q: Object, M: Object, S: Event> Execute for Service<Q, M, S> {
    async fn execute(&self, mut request: Request) -> Response {
        let start = Instant::now();
        let outcome = self.outcome(&mut request).await;
        let is_recorded = outcome.as_ref().is_ok_and(|outcome| outcome.replayed.is_none() && !outcome.is_secret);
        let response = respond(outcome, &request, start);
        if is_recorded
            && response.operation == Some(Operation::Mutation)
            && let Some(idempotency) = Idempotency::of(&request)
            && let Err(error) = idempotency.end(&self.db, &response.body, &response.codes).await
        {
            // The outcome of each field is stored with its write, so the response can be made again.
            warn!(cause = error.source_chain(), "the response to an idempotent request was not stored");
        }
        response
    }

    async fn subscribe(self: Arc<Self>, mut request: Request) -> std::result::Result<Responses, Response> {
        let start = Instant::now();
        let prepared = match self.prepare(&mut request).await {
            Ok(prepared) if prepared.kind() == Operation::Subscription => prepared,
            Ok(_) => return Err(self.execute(request).await),
            Err(rejected) => return Err(respond(Err(rejected), &request, start)),
        };
        let (field, filter) = match self.engine.event_filter(&prepared) {
            Ok(found) => found,
            Err(error) => return Err(respond(Err(prepared.reject(error)), &request, start)),
        };
        let subscriber = match self.broadcaster.subscribe().await {
            Ok(subscriber) => subscriber,
            Err(error) => return Err(respond(Err(prepared.reject(error)), &request, start)),
        };
        let subscription = SubscriptionStream { service: self, request, prepared, field, filter, subscriber };
        Ok(stream::unfold(Some(subscription), |subscription| async { subscription?.next().await }).boxed())
    }

    fn sdl(&self) -> Option<&str> {
        self.engine.sdl()
    }
}

/// The responses of one subscription.
struct SubscriptionStream<Q: Object, M: Object, S: Event> {
    service: Arc<Service<Q, M, S>>,
    request: Request,
    prepared: PreparedRequest,
    field: &'static str,
    filter: EventFilter<S>,
    subscriber: Subscriber<S>,
}

impl<Q: Object, M: Object, S: Event> SubscriptionStream<Q, M, S> {
    /// The response to the next event that passes the filter. Lost events end the stream with an error.
    async fn next(mut self) -> Option<(Response, Option<Self>)> {
        loop {
            let event = self.subscriber.next().await;
            let start = Instant::now();
            let event = match event {
                Ok(event) => event,
                Err(error) => {
                    return Some((respond(Err(self.prepared.reject(error)), &self.request, start), None));
                }
            };
            if !(self.filter)(&event) {
                continue;
            }
            if let Some(outcome) = self.execute(&event).await {
                return Some((respond(outcome, &self.request, start), Some(self)));
            }
        }
    }

    /// Executes the subscription for one event; `None` if the viewer may not see it.
    async fn execute(&self, event: &S) -> Option<std::result::Result<Outcome, RejectedRequest>> {
        let service = &self.service;
        let context = service.context(service.state(&service.db.primary(), self.request.viewer), &self.request);
        let permit = match service.admission.admit_event(&self.prepared).await {
            Ok(permit) => permit,
            Err(error) => return Some(Err(self.prepared.reject(error))),
        };
        match event.is_visible(self.field, &context).await {
            Ok(true) => {
                let executed = service.engine.execute_event(&self.prepared, event.clone(), &context).await;
                permit.succeed();
                Some(outcome(&self.prepared, executed, &context))
            }
            Ok(false) => None,
            Err(error) => Some(Err(self.prepared.reject(error))),
        }
    }
}

/// An executed operation and its cost.
struct Outcome {
    data: Option<Vec<u8>>,
    errors: Vec<FieldError>,
    operation: Operation,
    report: RequestReport,
    /// The root fields of a mutation.
    fields: Vec<String>,
    /// Whether the response contains a secret that is shown only once.
    is_secret: bool,
    /// The stored body of the response to an earlier, equal request.
    replayed: Option<Vec<u8>>,
}

impl Outcome {
    fn replayed(body: Vec<u8>) -> Self {
        Self {
            data: None,
            errors: Vec::new(),
            operation: Operation::Mutation,
            report: RequestReport::default(),
            fields: Vec::new(),
            is_secret: false,
            replayed: Some(body),
        }
    }
}

/// The outcome of an execution. A query above its budget is rejected as a whole; the response to a mutation has its errors
/// field by field, because earlier fields may be committed. If the database is not available, a query and a mutation that has
/// committed nothing are rejected as a whole too: the client can repeat them.
fn outcome(
    prepared: &PreparedRequest,
    executed: ExecutionOutcome,
    context: &Context,
) -> std::result::Result<Outcome, RejectedRequest> {
    let (operation, ExecutionOutcome { data, mut errors }) = (prepared.kind(), executed);
    if context.rounds.is_budget_exceeded() && operation != Operation::Mutation {
        errors.retain(|error| error.error.code == Code::SqlBudgetExceeded);
        errors.truncate(1);
        return Err(RejectedRequest { errors, kind: Some(operation) });
    }
    let is_temporary = |error: &FieldError| error.error.code.is_temporary();
    if errors.iter().any(is_temporary) && !has_effect(operation, context) {
        errors.retain(is_temporary);
        return Err(RejectedRequest { errors, kind: Some(operation) });
    }
    let is_secret = context.state::<RequestState>().has_one_time_secret.load(Ordering::Relaxed);
    let report = RequestReport::from(&context.rounds);
    let is_mutation = operation == Operation::Mutation;
    let fields = if is_mutation { prepared.root_fields(AUDITED_FIELDS_MAX) } else { Vec::new() };
    Ok(Outcome { data, errors, operation, report, fields, is_secret, replayed: None })
}

/// Whether an operation must not be repeated as a whole: a mutation that has committed a field, or an event.
fn has_effect(operation: Operation, context: &Context) -> bool {
    match operation {
        Operation::Query => false,
        Operation::Mutation => context.state::<RequestState>().has_committed.load(Ordering::Relaxed),
        Operation::Subscription => true,
    }
}

fn respond(outcome: std::result::Result<Outcome, RejectedRequest>, request: &Request, start: Instant) -> Response {
    let (operation_name, viewer) = (request.operation_name.clone(), request.viewer);
    let (data, errors, operation, mut report, fields) = match outcome {
        Ok(Outcome { replayed: Some(body), operation, .. }) => return Response::replayed(body, operation, request),
        Ok(outcome) => (Some(outcome.data), outcome.errors, Some(outcome.operation), outcome.report, outcome.fields),
        Err(rejected) => (None, rejected.errors, rejected.kind, RequestReport::default(), Vec::new()),
    };
    report.total = start.elapsed();
    let codes = errors.iter().map(|error| error.error.code).collect();
    let extensions = request.wants_report.then(|| serde_json::json!({ "gatherum": report.to_json() }));
    let (executed, has_data) = (data.is_some(), data.as_ref().is_some_and(Option::is_some));
    let body = write_response(data, &errors, extensions).into();
    Response { body, executed, has_data, codes, operation_name, operation, fields, viewer, report }
}
