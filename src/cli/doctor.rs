//! `gatherum doctor`.
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;

use super::Outcome;
use crate::{
    catalog::collection,
    config::Config,
    db::{Db, migrate},
};

/// Checks.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Set kept counts right where they are wrong
    #[arg(long)]
    repair: bool,
}

/// A time before which no machine with this program can be: 2026-01-01.
const CLOCK_MIN_SECONDS: u64 = 1_767_225_600;

pub(super) async fn run(args: Args, config: &Config) -> Result<Outcome> {
    let mut checks = Checks::default();
    checks.say(clock_is_sane(), "clock", "the clock is before 2026: set it, ids and cursors depend on it");
    let db = match Db::open(&config.database).await {
        Ok(db) => db,
        Err(error) => {
            checks.say(false, "database", &format!("{error:#}"));
            return Ok(checks.outcome());
        }
    };
    checks.say(db.ping().await.is_ok(), "database", "it does not answer: look at its own log");
    let pending = migrate::status(&db).await?.iter().filter(|status| !status.applied).count();
    checks.say(pending == 0, "migrations", &format!("{pending} pending: run `gatherum migrate up`"));
    if pending == 0 {
        let wrong = collection::wrong_counts(&db).await?;
        if wrong > 0 && args.repair {
            collection::repair_counts(&db).await?;
            println!("repaired  {wrong} kept counts");
        } else {
            checks.say(wrong == 0, "counts", &format!("{wrong} are wrong: run `gatherum doctor --repair`"));
        }
    }
    db.close().await;
    Ok(checks.outcome())
}

/// What was found so far.
#[derive(Default)]
struct Checks {
    failed: usize,
}

impl Checks {
    fn say(&mut self, is_good: bool, name: &str, remedy: &str) {
        if is_good {
            println!("ok        {name}");
        } else {
            self.failed += 1;
            println!("problem   {name}: {remedy}");
        }
    }

    fn outcome(&self) -> Outcome {
        if self.failed == 0 { Outcome::Done } else { Outcome::Refused }
    }
}

fn clock_is_sane() -> bool {
    SystemTime::now().duration_since(UNIX_EPOCH).is_ok_and(|since| since.as_secs() >= CLOCK_MIN_SECONDS)
}
