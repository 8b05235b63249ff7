//! `gatherum migrate`.
use anyhow::Result;

use super::{Outcome, output};
use crate::{
    config::Config,
    db::{Db, migrate},
};

/// Migrations.
#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Apply what is pending
    Up,
    /// Take back the last migrations, with all that is stored in what they made
    Down {
        /// How many
        #[arg(default_value_t = 1)]
        count: usize,
    },
    /// List migrations and whether they are applied
    Status,
}

pub(super) async fn run(command: Command, config: &Config) -> Result<Outcome> {
    let db = Db::open(&config.database).await?;
    match command {
        Command::Up => tell("applied", &migrate::up(&db).await?)?,
        Command::Down { count } => tell("taken back", &migrate::down(&db, count).await?)?,
        Command::Status => {
            for status in migrate::status(&db).await? {
                output::say(&format!("{} {}", status.name, if status.applied { "applied" } else { "pending" }))?;
            }
        }
    }
    db.close().await;
    Ok(Outcome::Done)
}

/// The database, migrated.
pub(super) async fn open(config: &Config) -> Result<Db> {
    let db = Db::open(&config.database).await?;
    migrate::up(&db).await?;
    Ok(db)
}

fn tell(what: &str, names: &[&str]) -> Result<()> {
    if names.is_empty() {
        output::say("nothing to do")?;
    }
    for name in names {
        output::say(&format!("{name} {what}"))?;
    }
    Ok(())
}
