//! A GraphQL server for catalogues of artifacts grouped in collections, whose number of SQL statements is a property
//! of the query, never of the data or of timing.
//!
//! The rooms, in the order in which a request passes through them:

/// Commands: `serve`, `migrate`, `import`, `export`, … one file each.
pub mod cli;

/// Settings: flags over environment over `gatherum.toml` over defaults. Nothing else reads the environment.
pub mod config;

/// Durations as settings write them.
pub mod duration;

/// Puts a server together from settings and runs it until it is told to stop.
pub mod app;

/// Who asks, and what they may do: accounts, tokens, viewers.
pub mod access;

/// HTTP: connections, GraphQL over HTTP, GraphiQL, health.
pub mod http;

/// The catalogue: one folder per type of the schema, with its fields, its relationships and their SQL.
pub mod catalog;

/// What every type of the schema shares: declaration, guard, execution, connections, cursors, ids.
pub mod graphql;

/// Relationships that one SQL statement loads: batch functions for the engine.
pub mod loader;

/// The only door to SQLite and PostgreSQL: pools, statements, journal, migrations.
pub mod db;

/// Import and export.
pub mod transfer;

/// Log lines and how they are written.
pub mod telemetry;

/// What can go wrong, and the stable code each fault has for clients.
pub mod error;

pub use gatherum_engine::abstract_output;

/// Declares the fields of a type: the engine's macro, with connections and writes.
#[macro_export]
macro_rules! fields {
    ($($declaration:tt)*) => {{
        #[allow(unused_imports, reason = "most types have neither")]
        use $crate::graphql::{ConnectionFields as _, WriteFields as _};
        gatherum_engine::fields! { $($declaration)* }
    }};
}
