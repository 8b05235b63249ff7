//! The commands of the program, one file each.
mod access;
mod config;
mod doctor;
mod documents;
mod explain;
mod migrate;
mod output;
mod schema;
mod serve;
mod system;
mod transfer;

use std::{ffi::OsString, io::ErrorKind, path::PathBuf, process::ExitCode};

use anyhow::{Context, Result, ensure};
use clap::{CommandFactory, Parser, Subcommand};

use crate::{
    config::{Flag, Loaded},
    telemetry,
};

/// Serves a catalogue of artifacts over GraphQL.
///
/// Without configuration it serves http://127.0.0.1:8080 from the SQLite file gatherum.db in the working directory.
/// Precedence of settings: flags, then environment, then gatherum.toml, then defaults; see `gatherum config example`.
#[derive(Parser)]
#[command(name = "gatherum", version, max_term_width = 120)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: serve::Args,
    #[command(flatten)]
    settings: SettingFlags,
}

/// Flags that override the environment and the settings file.
#[derive(clap::Args, Default)]
#[command(next_help_heading = "Settings")]
struct SettingFlags {
    /// Settings file [default: gatherum.toml, if it exists]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Database URL: sqlite://path or postgres://user:password@host/database
    #[arg(long, global = true, value_name = "URL")]
    database_url: Option<String>,
    /// Address and port to listen on
    #[arg(long, global = true, value_name = "ADDRESS")]
    bind: Option<String>,
    /// Log level, such as warn, info or debug
    #[arg(long, global = true, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Log format: text or json
    #[arg(long, global = true, value_name = "FORMAT")]
    log_format: Option<String>,
    /// Maximum number of SQL statements per request
    #[arg(long, global = true, value_name = "N")]
    max_sql_per_request: Option<String>,
    /// How artifacts of a collection are counted: maintained (by triggers) or live
    #[arg(long, global = true, value_name = "STRATEGY")]
    count_strategy: Option<String>,
}

impl SettingFlags {
    fn load(self) -> Result<Loaded> {
        let flags = [
            ("--database-url", "database.url", self.database_url),
            ("--bind", "http.bind", self.bind),
            ("--log-level", "log.level", self.log_level),
            ("--log-format", "log.format", self.log_format),
            ("--max-sql-per-request", "loading.max_sql_per_request", self.max_sql_per_request),
            ("--count-strategy", "loading.count_strategy", self.count_strategy),
        ];
        let flags: Vec<_> =
            flags.into_iter().filter_map(|(name, key, text)| Some(Flag { name, key, text: text? })).collect();
        Loaded::load(&flags, std::env::vars(), self.config)
    }
}

#[derive(Subcommand)]
enum Command {
    /// Migrate the database, then serve it (the default)
    Serve(serve::Args),
    /// Import a catalogue from another program; repeating an import changes nothing
    Import(transfer::ImportArgs),
    /// Export the catalogue as NDJSON for `import ndjson`
    Export(transfer::ExportArgs),
    /// Apply, revert or list migrations
    #[command(subcommand)]
    Migrate(migrate::Command),
    /// Print the GraphQL schema
    Schema(schema::Args),
    /// Print the rounds, statements and keys of a GraphQL operation without executing it
    Explain(explain::Args),
    /// Add, list, export and remove trusted documents
    #[command(subcommand)]
    Documents(documents::Command),
    /// Print the effective settings or an example settings file
    #[command(subcommand)]
    Config(config::Command),
    /// Create and list accounts
    #[command(subcommand)]
    User(access::UserCommand),
    /// Create, list and revoke tokens of accounts
    #[command(subcommand)]
    Token(access::TokenCommand),
    /// Check settings, database and machine, and suggest remedies
    Doctor(doctor::Args),
    /// Back up a SQLite database while it is in use
    Backup(transfer::BackupArgs),
    /// Print shell completions
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// The outcome of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Success.
    Done,
    /// Some input was rejected and reported.
    Rejected,
    /// The command failed and reported why.
    Failed,
}

/// Runs the command in `args` and returns its exit status: 0 for success, 1 for a failure, 2 if input was rejected or the
/// arguments are invalid, 141 if standard output was closed early.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            return match error.print() {
                // Standard output was closed while printing help; errors go to standard error.
                Err(closed) if closed.kind() == ErrorKind::BrokenPipe && !error.use_stderr() => {
                    ExitCode::from(output::STATUS_CLOSED)
                }
                _ => ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2)),
            };
        }
    };
    match execute(cli) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Rejected) => ExitCode::from(2),
        Ok(Outcome::Failed) => ExitCode::FAILURE,
        Err(error) if output::is_closed(&error) => ExitCode::from(output::STATUS_CLOSED),
        Err(error) => {
            output::note(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn execute(cli: Cli) -> Result<Outcome> {
    let demo = cli.serve.demo;
    let command = match cli.command {
        None => Command::Serve(cli.serve),
        Some(Command::Serve(args)) => Command::Serve(serve::Args {
            demo: demo || args.demo,
            insecure_open: cli.serve.insecure_open || args.insecure_open,
        }),
        Some(command) => command,
    };
    ensure!(!demo || matches!(command, Command::Serve(_)), "--demo requires `gatherum serve`: leave it out");
    match command {
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "gatherum", &mut text);
            output::print(&String::from_utf8(text)?)?;
            return Ok(Outcome::Done);
        }
        Command::Config(config::Command::Example) => {
            output::print(&crate::config::example()?)?;
            return Ok(Outcome::Done);
        }
        _ => {}
    }
    let loaded = cli.settings.load()?;
    if let Command::Config(config::Command::Show) = command {
        output::print(&loaded.show()?)?;
        return Ok(Outcome::Done);
    }
    telemetry::init(&loaded.config.log)?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the async runtime")?;
    runtime.block_on(async move {
        match command {
            Command::Serve(args) => serve::run(args, &loaded.config).await,
            Command::Import(args) => transfer::import(args, &loaded.config).await,
            Command::Export(args) => transfer::export(args, &loaded.config).await,
            Command::Migrate(command) => migrate::run(command, &loaded.config).await,
            Command::Schema(args) => schema::run(&args).await,
            Command::Explain(args) => explain::run(args, &loaded.config),
            Command::Documents(command) => documents::run(command, &loaded.config).await,
            Command::User(command) => access::user(command, &loaded.config).await,
            Command::Token(command) => access::token(command, &loaded.config).await,
            Command::Doctor(args) => doctor::run(args, &loaded.config).await,
            Command::Backup(args) => transfer::backup(args, &loaded.config).await,
            Command::Config(_) | Command::Completions { .. } => Ok(Outcome::Done),
        }
    })
}
