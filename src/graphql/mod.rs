//! What every type of the schema shares.
use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use async_graphql::Variables;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};

use crate::{access::Viewer, dataloader::Rounds, db::Db, error::Code};

mod column;
pub mod connection;
mod cursor;
mod document;
mod engine;
mod execute;
pub mod guard;
pub mod id;
mod idempotency;
mod json;
pub mod list;
pub mod load_cache;
pub mod object;
pub mod scalar;
mod subscription;
mod write;

pub use column::{FieldResults, MixedResults, Output};
pub use cursor::{SortType, SortValue};
pub use engine::{Engine, introspection_json, sdl};
pub use execute::{ExecutionField, ResultIndex, SelectionView};
pub use json::Leaf;
pub use subscription::{Change, OVERFLOW};
pub use write::Write;

/// What the fields of one request are resolved with.
pub struct Context {
    /// Its loads.
    pub rounds: Rounds,
    /// What holds for all requests.
    pub settings: Settings,
    /// On whose behalf they are resolved.
    pub viewer: Viewer,
    /// Where fields of a mutation write; nothing else reaches it.
    db: Db,
    /// The key of a request that may be tried again.
    idempotency: Option<idempotency::Idempotency>,
    /// Whether its answer tells what is told once.
    is_one_time_secret: AtomicBool,
    /// What keeps its loads for requests that ask the same.
    cache: Option<load_cache::CacheHandle>,
}

/// What holds for all requests.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Edges of a page where neither `first` nor `last` is given.
    pub page_size_default: u32,
    /// Edges of a page at most.
    pub page_size_max: u32,
    /// How the artifacts of a collection are counted.
    pub counts: CountStrategy,
}

/// How the artifacts of a collection are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CountStrategy {
    /// By reading the memberships, each time.
    Live,
    /// From a table that triggers keep.
    Maintained,
}

/// One GraphQL request, read from HTTP and not yet looked at.
#[derive(Debug, Default)]
pub struct Request {
    /// The document as text.
    pub query: String,
    /// Which of the document's operations to execute; may be absent where there is one.
    pub operation_name: Option<String>,
    /// Values of the operation's variables.
    pub variables: Variables,
    /// The same for each time that a mutation is tried: it is then written once, and answered alike for 24 hours.
    pub idempotency_key: Option<String>,
    /// Refuses everything but queries, as GET must.
    pub queries_only: bool,
    /// Adds `extensions.gatherum` to the response.
    pub wants_report: bool,
    /// On whose behalf it is answered.
    pub viewer: Viewer,
}

/// The kind of the operation that a request asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Reads.
    Query,
    /// Writes.
    Mutation,
    /// Follows.
    Subscription,
}

/// What became of a request.
#[derive(Debug)]
pub struct Response {
    /// The JSON object for the client: `data`, `errors`, `extensions`.
    pub body: Bytes,
    /// Whether the operation began to execute. If not, there is no `data` entry and HTTP answers 4xx.
    pub executed: bool,
    /// Whether `data` is there and not null.
    pub has_data: bool,
    /// The code of each error of the response, in order, at most 100.
    pub codes: Vec<Code>,
    /// The name of the operation, where it has one.
    pub operation_name: Option<String>,
    /// The kind of the operation, once known.
    pub operation: Option<Operation>,
    /// The root fields of a mutation, at most 20.
    pub fields: Vec<String>,
    /// On whose behalf it was answered.
    pub viewer: Viewer,
    /// What the request cost.
    pub report: RequestReport,
}

impl Response {
    /// What a request was answered before.
    fn told_before(body: Vec<u8>, operation: Operation, request: &Request) -> Self {
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

/// What a request cost in statements, rounds, rows and time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RequestReport {
    /// SQL statements that were run.
    pub statements: u32,
    /// Rounds of loading: times that the execution waited for the database.
    pub rounds: u32,
    /// Rows that the statements yielded.
    pub rows: u64,
    /// Time during which at least one statement ran.
    pub db: Duration,
    /// Time from the text of the request to the text of the response.
    pub total: Duration,
    /// Answers that a cache gave.
    pub cache_hits: u64,
    /// Answers that a cache was asked for and did not have.
    pub cache_misses: u64,
    /// The statements, in the order of their rounds and, within one, by name.
    pub batches: Vec<BatchReport>,
}

impl RequestReport {
    /// The report as `extensions.gatherum` shows it, times in milliseconds.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "statements": self.statements,
            "rounds": self.rounds,
            "rows": self.rows,
            "dbMs": milliseconds(self.db),
            "totalMs": milliseconds(self.total),
            "cacheHits": self.cache_hits,
            "cacheMisses": self.cache_misses,
            "batches": self.batches.iter().map(BatchReport::to_json).collect::<Vec<_>>(),
        })
    }
}

impl BatchReport {
    fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "relation": self.relation,
            "keys": self.keys,
            "rows": self.rows,
            "ms": milliseconds(self.time),
        })
    }
}

/// Milliseconds with three decimals.
fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

/// One statement of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchReport {
    /// The relationship that was loaded, such as `Artifact.collections`.
    pub relation: &'static str,
    /// Distinct keys the statement answered.
    pub keys: u32,
    /// Rows it yielded.
    pub rows: u64,
    /// How long it took.
    pub time: Duration,
}

/// The responses to a subscription.
pub type Responses = BoxStream<'static, Response>;

/// Executes GraphQL requests. HTTP knows this and nothing else of what stands behind it.
#[async_trait::async_trait]
pub trait Execute: Send + Sync {
    /// Answers one query or mutation. Dropping the future drops its statements.
    async fn execute(&self, request: Request) -> Response;

    /// Follows: a response for each change that belongs to the subscription, until the stream is dropped or ends with an
    /// error.
    ///
    /// # Errors
    /// The one response to what is no subscription, or is refused.
    async fn subscribe(self: Arc<Self>, request: Request) -> Result<Responses, Response>;

    /// The schema in the schema definition language.
    fn sdl(&self) -> Option<&str>;
}
