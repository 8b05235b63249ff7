//! `gatherum doctor`.
mod database;
mod machine;
mod settings;

use anyhow::Result;
use serde::Serialize;

use super::{Outcome, output};
use crate::config::Config;

/// Arguments of `gatherum doctor`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Correct wrong maintained counts
    #[arg(long)]
    repair: bool,
    /// Print the findings as a JSON array
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: Args, config: &Config) -> Result<Outcome> {
    let mut findings = settings::check(config);
    findings.extend(machine::check(config).await);
    findings.extend(database::check(config, args.repair).await);
    match args.json {
        true => output::say(&serde_json::to_string_pretty(&findings)?)?,
        false => output::print(&findings.iter().map(Finding::line).collect::<String>())?,
    }
    let has_problem = findings.iter().any(|finding| finding.level == Level::Problem);
    Ok(if has_problem { Outcome::Failed } else { Outcome::Done })
}

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Ok,
    /// The server works, but possibly not for long or not as expected.
    Warning,
    /// The server does not work, or data may be lost.
    Problem,
}

/// The result of a check.
#[derive(Debug, Serialize)]
struct Finding {
    check: &'static str,
    level: Level,
    found: String,
    /// The suggested remedy; absent if everything is in order.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, level: Level::Ok, found: found.into(), remedy: None }
    }

    fn warning(check: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { check, level: Level::Warning, found: found.into(), remedy: Some(remedy.into()) }
    }

    fn problem(check: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { check, level: Level::Problem, found: found.into(), remedy: Some(remedy.into()) }
    }

    fn line(&self) -> String {
        let level = match self.level {
            Level::Ok => "ok",
            Level::Warning => "warning",
            Level::Problem => "problem",
        };
        let remedy = self.remedy.as_ref().map_or_else(String::new, |remedy| format!(": {remedy}"));
        format!("{level:<8} {:<12} {}{remedy}\n", self.check, self.found)
    }
}
