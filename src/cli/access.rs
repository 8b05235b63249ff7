//! `gatherum user` and `gatherum token`.
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

/// Subcommands of `gatherum user`.
#[derive(clap::Subcommand)]
pub(super) enum UserCommand {
    /// Create an account. The first one becomes the owner of all existing objects, and from then on access to objects that
    /// are not public needs a token
    Add {
        /// Name of the account
        name: String,
    },
    /// List accounts
    List,
}

/// Subcommands of `gatherum token`.
#[derive(clap::Subcommand)]
pub(super) enum TokenCommand {
    /// Create a token and print it; it cannot be shown again
    Create {
        /// Name of the account
        #[arg(long)]
        user: String,
        /// Scope: read, write (also mutations) or admin (also objects of all accounts)
        #[arg(long)]
        scope: TokenScope,
        /// Lifetime, such as 30d or 12h [default: unlimited]
        #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
        expires: Option<Duration>,
    },
    /// List tokens without their secrets
    List,
    /// Revoke a token; other nodes reject it within a second
    Revoke {
        /// Id of the token, as shown by `token list`
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
                "{}: store this token now, it cannot be shown again",
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
                output::note("the token does not exist or is revoked already");
                Outcome::Failed
            }
        },
    };
    db.close().await;
    Ok(outcome)
}
