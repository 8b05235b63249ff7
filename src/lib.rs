//! A GraphQL server for catalogues of artifacts grouped in collections. The number of SQL statements depends only on the
//! query, not on the data and not on timing.
//!
//! The modules, in the order in which a request passes through them:

/// Commands of the program: `serve`, `migrate`, `import`, `export` and others.
pub mod cli;

/// Settings from flags, environment and `gatherum.toml`.
pub mod config;

/// Durations in settings.
pub mod duration;

/// The server: builds it from settings and runs it until shutdown.
pub mod app;

/// Authentication and authorization: accounts, tokens and viewers.
pub mod access;

/// HTTP server: connections, GraphQL over HTTP, GraphiQL and health checks.
pub mod http;

/// The catalogue: one folder per type of the schema, with its fields, relationships and SQL.
pub mod catalog;

/// GraphQL machinery that all types share: declarations, cost limits, execution, connections, cursors and ids.
pub mod graphql;

/// Persisted documents: automatic persisted queries and trusted documents.
pub mod documents;

/// Relationships that one SQL statement loads: batch functions for the engine.
pub mod loader;

/// Access to SQLite and PostgreSQL: pools, statements, transactions and migrations.
pub mod db;

/// Import and export.
pub mod transfer;

/// Logging.
pub mod telemetry;

/// Errors and their stable codes for clients.
pub mod error;

pub use gatherum_engine::{abstract_output, field, fields};
