//! The cost of a request.
use std::{collections::HashMap, time::Duration};

use gatherum_engine::loading::{BatchRun, Rounds};
use tracing::warn;

/// The cost of a request in statements, rounds, rows and time.
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
    /// Batches that were not found in the cache.
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

/// Statements of one relationship in one request above which a warning is logged.
const N_PLUS_ONE_ABOVE: usize = 10;

/// Warns of what rounds should make impossible: many statements for one relationship.
fn warn_of_many(runs: &[BatchRun]) {
    if runs.len() <= N_PLUS_ONE_ABOVE {
        return;
    }
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for run in runs {
        *counts.entry(run.name).or_default() += 1;
    }
    for (relation, count) in counts.into_iter().filter(|(_, count)| *count > N_PLUS_ONE_ABOVE) {
        warn!(relation, count, "n_plus_one_warning");
    }
}

impl From<&Rounds> for RequestReport {
    fn from(rounds: &Rounds) -> Self {
        let loaded = rounds.report();
        warn_of_many(&loaded.runs);
        Self {
            statements: u32::try_from(loaded.runs.len()).unwrap_or(u32::MAX),
            rounds: loaded.rounds,
            rows: loaded.runs.iter().map(|run| run.rows as u64).sum(),
            db: loaded.time,
            total: Duration::ZERO,
            cache_hits: loaded.hits,
            cache_misses: loaded.misses,
            batches: loaded.runs.iter().map(BatchReport::from).collect(),
        }
    }
}

impl From<&BatchRun> for BatchReport {
    fn from(run: &BatchRun) -> Self {
        Self {
            relation: run.name,
            keys: u32::try_from(run.keys).unwrap_or(u32::MAX),
            rows: run.rows as u64,
            time: run.time,
        }
    }
}
