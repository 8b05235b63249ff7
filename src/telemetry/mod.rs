//! Log lines and how they are written.
use std::io;

use anyhow::Context;
use documented::DocumentedFields;
use serde::{Deserialize, Serialize};
use tracing_subscriber::{EnvFilter, fmt, prelude::*};

/// What is logged, and how. The log goes to standard error.
#[derive(Clone, Debug, PartialEq, Eq, DocumentedFields, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// A level, or directives such as `info,gatherum::http=debug`. Default info.
    pub level: String,
    /// `text` for people, `json` for machines. Default text.
    pub format: Format,
}

/// How a log line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One line of text.
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for Config {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: Format::Text }
    }
}

/// What PostgreSQL notes about statements that had nothing to do is no news.
const QUIET: &str = "sqlx::postgres::notice=warn";

/// Starts logging for the process.
///
/// # Errors
/// The level is none, or logging was started before.
pub fn init(config: &Config) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(format!("{QUIET},{}", config.level))
        .with_context(|| format!("log.level `{}` is no level: write warn, info or debug", config.level))?;
    let registry = tracing_subscriber::registry().with(filter);
    let lines = fmt::layer()
        .with_writer(io::stderr)
        .with_target(false)
        // It would tell on standard error, and panic where nobody reads that any more.
        .log_internal_errors(false);
    match config.format {
        Format::Text => registry.with(lines).try_init()?,
        Format::Json => registry.with(lines.json().flatten_event(true)).try_init()?,
    }
    Ok(())
}
