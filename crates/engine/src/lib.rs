//! A breadth-first GraphQL executor.
//!
//! A field is resolved once for all parents of its level, not once for each object. Fields that need data pass their keys
//! to [`loading`]; when execution cannot proceed without data, all pending batches are dispatched concurrently. Such a
//! dispatch is a *round*. The number of batches therefore depends only on the query: there is no timer and no yield count.
//!
//! The crate knows nothing about SQL, HTTP or accounts. A program that uses it
//!
//! - declares its types with [`object::Object`] and the [`fields!`] macro,
//! - implements [`loading::Loader`] for each relationship, usually with [`batch_loader!`] over a [`BatchFn`],
//! - gives each request a [`Context`]: the data source of its batch functions and the state of its fields,
//! - executes requests with [`Engine`].

pub mod connection;
pub mod cost;
pub mod cursor;
pub mod error;
pub mod explain;
pub mod id;
pub mod loading;
pub mod object;
pub mod projection;
pub mod scalar;
pub mod subscription;

mod context;
mod engine;
mod execute;
mod leaf;
mod operation;
mod response;
mod results;
mod schema;

pub use async_graphql;
pub use dataloader::BatchFn;
pub use futures_util;
pub use gatherum_document::{self, apollo_compiler::executable::SelectionSet};

pub use context::{Context, ErrorBehavior, PageSizes};
pub use engine::{Engine, ExecutionOutcome, OperationInfo, OperationKind, PreparedRequest, RejectedRequest};
pub use error::{Code, Error, Result};
pub use execute::{ExecutionField, FieldError, ResultIndex, SelectionView};
pub use leaf::Leaf;
pub use loading::{Key, Loader, RootKey};
pub use projection::{ColumnRef, Projection, Selected};
pub use response::{Segment, write_response};
pub use results::{FieldResults, MixedResults, Output};
pub use schema::{introspection_json, sdl};
