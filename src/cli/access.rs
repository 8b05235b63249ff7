//! `gatherum user`, `gatherum token`.
use std::time::Duration;

use anyhow::Result;

use super::{Outcome, migrate::open, output};
use crate::{
    access::{Accounts, TokenScope},
    config::Config,
    db::Time,
    graphql::id::{self, GlobalId},
};

/// The prefix of a token's id.
const TOKEN_PREFIX: &str = "token";

/// The prefix of an account's id.
const USER_PREFIX: &str = "user";

/// Accounts.
#[derive(clap::Subcommand)]
pub(super) enum UserCommand {
    /// Make an account; from the first one on, what is not public needs a token, and all there is becomes its own
    Add {
        /// Its name
        name: String,
    },
    /// List accounts
    List,
}

/// Tokens of accounts.
#[derive(clap::Subcommand)]
pub(super) enum TokenCommand {
    /// Make a token, and show it once
    Create {
        /// The name of the account
        #[arg(long)]
        user: String,
        /// What it is good for: read, write or admin
        #[arg(long)]
        scope: TokenScope,
        /// How long it is good, such as 30d or 12h; for ever where it is absent
        #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
        expires: Option<Duration>,
    },
    /// List tokens, without what is secret of them
    List,
    /// End a token: at once, on other nodes within a second
    Revoke {
        /// Its id, as `token list` shows it
        id: String,
    },
}

pub(super) async fn user(command: UserCommand, config: &Config) -> Result<Outcome> {
    let db = open(config).await?;
    let accounts = Accounts::new(&db);
    match command {
        UserCommand::Add { name } => {
            let user = accounts.add(&name).await?;
            output::say(&format!("{} {}", GlobalId { prefix: USER_PREFIX, id: user.id }, user.name))?;
        }
        UserCommand::List => {
            for user in accounts.users().await? {
                let id = GlobalId { prefix: USER_PREFIX, id: user.id };
                output::say(&format!("{id} {} {}", user.created_at.rfc3339(), user.name))?;
            }
        }
    }
    db.close().await;
    Ok(Outcome::Done)
}

pub(super) async fn token(command: TokenCommand, config: &Config) -> Result<Outcome> {
    let db = open(config).await?;
    let accounts = Accounts::new(&db);
    let outcome = match command {
        TokenCommand::Create { user, scope, expires } => {
            let end = expires
                .map(|time| Time(Time::now().0.saturating_add(i64::try_from(time.as_micros()).unwrap_or(i64::MAX))));
            let (row, token) = accounts.create_token(&user, scope, end).await?;
            output::note(&format!(
                "{}: keep what follows, it is not shown again",
                GlobalId { prefix: TOKEN_PREFIX, id: row.id }
            ));
            output::say(token.reveal())?;
            Outcome::Done
        }
        TokenCommand::List => {
            let time = |time: Option<Time>| time.map_or_else(|| "never".to_owned(), Time::rfc3339);
            for row in accounts.tokens().await? {
                let id = GlobalId { prefix: TOKEN_PREFIX, id: row.id };
                let state = row.state(Time::now());
                let (ends, used) = (time(row.expires_at), time(row.last_used_at));
                output::say(&format!("{id} {:<5} {state:<7} expires {ends} used {used} {}", row.scope, row.user))?;
            }
            Outcome::Done
        }
        TokenCommand::Revoke { id } => match accounts.revoke(id::parse(TOKEN_PREFIX, &id)?).await? {
            true => Outcome::Done,
            false => {
                output::note("there is no such token, or it was revoked before");
                Outcome::Failed
            }
        },
    };
    db.close().await;
    Ok(outcome)
}
