//! `gatherum migrate`.
use anyhow::Result;

use super::{Outcome, output};
use crate::{
    config::Config,
    db::{Db, migrate},
};

/// Subcommands of `gatherum migrate`.
#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Apply pending migrations
    Up,
    /// Revert the last migrations; deletes the data in the tables and columns that they created
    Down {
        /// Number of migrations
        #[arg(default_value_t = 1)]
        count: usize,
    },
    /// List migrations and whether they are applied
    Status,
}

pub(super) async fn run(command: Command, config: &Config) -> Result<Outcome> {
    let db = Db::open(&config.database).await?;
    match command {
        Command::Up => print_names("applied", &migrate::up(&db).await?)?,
        Command::Down { count } => print_names("reverted", &migrate::down(&db, count).await?)?,
        Command::Status => {
            for status in migrate::status(&db).await? {
                output::say(&format!("{} {}", status.name, if status.applied { "applied" } else { "pending" }))?;
            }
        }
    }
    db.close().await;
    Ok(Outcome::Done)
}

/// Opens and migrates the database.
pub(super) async fn open(config: &Config) -> Result<Db> {
    let db = Db::open(&config.database).await?;
    migrate::up(&db).await?;
    Ok(db)
}

fn print_names(change: &str, names: &[&str]) -> Result<()> {
    if names.is_empty() {
        output::say("nothing to do")?;
    }
    for name in names {
        output::say(&format!("{name} {change}"))?;
    }
    Ok(())
}
