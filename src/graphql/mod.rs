//! What every type of the schema shares.
use std::time::Duration;

use async_graphql::Variables;
use bytes::Bytes;

use crate::error::Code;

pub mod guard;

/// One GraphQL request, read from HTTP and not yet looked at.
#[derive(Debug, Default)]
pub struct Request {
    /// The document as text.
    pub query: String,
    /// Which of the document's operations to execute; may be absent where there is one.
    pub operation_name: Option<String>,
    /// Values of the operation's variables.
    pub variables: Variables,
    /// Refuses everything but queries, as GET must.
    pub queries_only: bool,
    /// Adds `extensions.gatherum` to the response.
    pub wants_report: bool,
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
    /// The code of each error of the response, in order, at most 100.
    pub codes: Vec<Code>,
    /// The name of the operation, where it has one.
    pub operation_name: Option<String>,
    /// The kind of the operation, once known.
    pub operation: Option<Operation>,
    /// What the request cost.
    pub report: Report,
}

/// What a request cost in statements, rounds, rows and time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// SQL statements that were run.
    pub statements: u32,
    /// Rounds of loading: times that the execution waited for the database.
    pub rounds: u32,
    /// Rows that the statements yielded.
    pub rows: u64,
    /// Time during which at least one statement ran.
    pub db: Duration,
    /// Answers that a cache gave.
    pub cache_hits: u64,
    /// Answers that a cache was asked for and did not have.
    pub cache_misses: u64,
    /// The statements, in the order of their rounds and, within one, by name.
    pub batches: Vec<Batch>,
}

/// One statement of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// The relationship that was loaded, such as `Artifact.collections`.
    pub relation: &'static str,
    /// Distinct keys the statement answered.
    pub keys: u32,
    /// Rows it yielded.
    pub rows: u64,
    /// How long it took.
    pub time: Duration,
}

/// Executes GraphQL requests. HTTP knows this and nothing else of what stands behind it.
#[async_trait::async_trait]
pub trait Execute: Send + Sync {
    /// Answers one request. Dropping the future drops its statements.
    async fn execute(&self, request: Request) -> Response;

    /// The schema in the schema definition language.
    fn sdl(&self) -> &str;
}
