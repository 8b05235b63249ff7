//! Logging.
use std::io;

use anyhow::Context;
use documented::DocumentedFields;
use serde::{Deserialize, Serialize};
use tracing_subscriber::{EnvFilter, fmt, prelude::*};

/// Settings of the log, which is written to standard error.
#[derive(Clone, Debug, PartialEq, Eq, DocumentedFields, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Log level (error, warn, info, debug or trace), or directives such as `info,gatherum::http=debug`. Default: info.
    pub level: String,
    /// Format of log lines: `text`, or `json` with one object per line. Default: text.
    pub format: Format,
}

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One line of text.
    Text,
    /// One JSON object per line.
    Json,
}

impl Default for Config {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: Format::Text }
    }
}

/// Directives that hide PostgreSQL's notices, such as for `if not exists`, and warnings of sqlx for each connection: the loss
/// of a database is logged once, by the monitor.
const HIDDEN: &str = "sqlx::postgres::notice=error,sqlx::pool=error,sqlx_core::pool=error";

/// Initialises logging for the process.
///
/// # Errors
/// The level is invalid, or logging is initialised already.
pub fn init(config: &Config) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(format!("{HIDDEN},{}", config.level))
        .with_context(|| format!("log.level `{}` is invalid: write warn, info or debug", config.level))?;
    let registry = tracing_subscriber::registry().with(filter);
    let lines = fmt::layer()
        .with_writer(io::stderr)
        .with_target(false)
        // Errors would be printed to standard error, which panics if it is closed.
        .log_internal_errors(false);
    match config.format {
        Format::Text => registry.with(lines).try_init()?,
        Format::Json => registry.with(lines.json().flatten_event(true)).try_init()?,
    }
    Ok(())
}
