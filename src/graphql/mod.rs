//! Executes requests on behalf of a viewer: the engine with the catalogue's database, accounts and caches.
use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use async_graphql::Variables;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};

use crate::{access::Viewer, db::Db, error::Code};

pub mod admission;
mod explain;
mod idempotency;
pub mod list;
pub mod load_cache;
pub mod paged_list;
mod report;
mod service;
mod write;

pub use crate::documents::DocumentId;
pub use explain::Explainer;
pub use gatherum_db::scalar;
pub use gatherum_engine::cursor::{SortType, SortValue};
pub use gatherum_engine::explain::{Bound, Load, Loads, Plan, PlannedLoad};
use gatherum_engine::gatherum_document::json_to_async_graphql;
pub use gatherum_engine::{
    Context, ErrorBehavior, ExecutionField, FieldResults, Leaf, OperationInfo, OperationKind as Operation, Output,
    ResultIndex, SelectionView, cost, id, introspection_json, object, sdl, subscription,
};
pub use load_cache::CacheLoads;
pub use paged_list::ConnectionFields;
pub use report::{BatchReport, RequestReport};
pub use service::Service;
pub use write::{Write, WriteFields};

/// The state that the fields of one request share.
pub struct RequestState {
    /// The viewer on whose behalf the request is executed.
    pub viewer: Viewer,
    /// How the artifacts of a collection are counted.
    pub counts: CountStrategy,
    /// The database that the fields of a mutation write to; `None` if the operation is only explained.
    db: Option<Db>,
    /// Set if the request may be retried.
    idempotency: Option<idempotency::Idempotency>,
    /// Whether the response contains a secret that is shown only once.
    has_one_time_secret: AtomicBool,
    /// Whether a root field of the mutation was committed.
    has_committed: AtomicBool,
    /// Reuses the loads of equal requests.
    cache: Option<load_cache::CacheHandle>,
}

/// Access to the [`RequestState`].
pub trait RequestContext {
    /// The state of the request.
    fn request(&self) -> &RequestState;
}

impl RequestContext for Context {
    fn request(&self) -> &RequestState {
        self.state()
    }
}

impl RequestState {
    /// The database that the fields of a mutation write to.
    fn db(&self) -> &Db {
        self.db.as_ref().expect("an operation that is executed has a database")
    }
}

/// Settings of all requests.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The number of edges of a page if neither `first` nor `last` is given.
    pub page_size_default: u32,
    /// The maximum number of edges of a page.
    pub page_size_max: u32,
    /// How the artifacts of a collection are counted.
    pub counts: CountStrategy,
    /// The time that an operation may wait before it is executed.
    pub queue_timeout: Duration,
}

/// How the artifacts of a collection are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CountStrategy {
    /// Counts the memberships each time.
    Live,
    /// Reads counts that triggers maintain.
    Maintained,
}

/// One GraphQL request, read from HTTP and not parsed yet.
#[derive(Debug, Default)]
pub struct Request {
    /// The document as text; empty if the client names it by `document_id`.
    pub query: String,
    /// The identifier of the document, if the client sends one.
    pub document_id: Option<DocumentId>,
    /// Whether the document may be executed in every mode: it belongs to the program, or its identifier was resolved.
    pub is_resolved: bool,
    /// The name of the operation to execute; optional if the document has only one.
    pub operation_name: Option<String>,
    /// Values of the operation's variables.
    pub variables: Variables,
    /// Identifies retries of a mutation, which is executed once: for 24 hours, retries get the same response. 1 to 255
    /// visible ASCII characters.
    pub idempotency_key: Option<String>,
    /// Rejects mutations, as GET must.
    pub rejects_mutations: bool,
    /// The effect of an error on the rest of the response.
    pub on_error: ErrorBehavior,
    /// Adds `extensions.gatherum` to the response.
    pub wants_report: bool,
    /// The viewer on whose behalf it is executed.
    pub viewer: Viewer,
}

/// Reads the variables of a request from JSON. Numbers keep their digits.
pub fn variables(json: serde_json::Map<String, serde_json::Value>) -> Variables {
    Variables::from_value(json_to_async_graphql(json.into()))
}

/// The response to a request.
#[derive(Debug)]
pub struct Response {
    /// The JSON object for the client: `data`, `errors`, `extensions`.
    pub body: Bytes,
    /// Whether the operation was executed. If not, there is no `data` entry, and the HTTP status is 4xx.
    pub executed: bool,
    /// Whether `data` is present and not null.
    pub has_data: bool,
    /// The code of each error of the response, in order, at most 100.
    pub codes: Vec<Code>,
    /// The name of the operation, if it has one.
    pub operation_name: Option<String>,
    /// The kind of the operation, once known.
    pub operation: Option<Operation>,
    /// The root fields of a mutation, at most 20.
    pub fields: Vec<String>,
    /// The viewer on whose behalf the request was executed.
    pub viewer: Viewer,
    /// The cost of the request.
    pub report: RequestReport,
}

impl Response {
    /// The stored response to an earlier, equal request.
    fn replayed(body: Vec<u8>, operation: Operation, request: &Request) -> Self {
        Self {
            body: body.into(),
            executed: true,
            has_data: true,
            codes: Vec::new(),
            operation_name: request.operation_name.clone(),
            operation: Some(operation),
            fields: Vec::new(),
            viewer: request.viewer,
            report: RequestReport::default(),
        }
    }
}

/// The responses to a subscription.
pub type Responses = BoxStream<'static, Response>;

/// Executes GraphQL requests. The HTTP server depends only on this trait.
#[async_trait::async_trait]
pub trait Execute: Send + Sync {
    /// Executes one query or mutation. Dropping the future cancels its statements.
    async fn execute(&self, request: Request) -> Response;

    /// Subscribes: returns a stream with a response for each event of the subscription. It ends with an error, or when it is
    /// dropped.
    ///
    /// # Errors
    /// The only response, if the operation is not a subscription or is rejected.
    async fn subscribe(self: Arc<Self>, request: Request) -> Result<Responses, Response>;

    /// The schema in the schema definition language.
    fn sdl(&self) -> Option<&str>;
}
