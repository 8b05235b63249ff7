//! A GraphQL server for catalogues of artifacts grouped in collections. The number of SQL statements depends only on the
//! query, not on the data and not on timing.
//!
//! The modules, in the order in which a request passes through them:

/// Commands of the program: `serve`, `migrate`, `import`, `export` and others.
pub mod cli;

/// Settings from flags, environment and `gatherum.toml`.
pub mod config;

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

/// Import and export.
pub mod transfer;

/// Logging.
pub mod telemetry;

/// Errors and their stable codes for clients.
pub mod error;

/// Access to SQLite and PostgreSQL: pools, statements, transactions and migrations.
pub use gatherum_db as db;
pub use gatherum_db::{duration, loader};

pub use gatherum_db::{append, placeholder, relation, row, row_table, sql_loader, statement, table, template, values};
pub use gatherum_engine::{abstract_output, field, fields};
