//! Commands, one file each.
mod config;
mod doctor;
mod migrate;
mod schema;
mod serve;
mod transfer;

use std::{
    ffi::OsString,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context, Result};
use clap::{CommandFactory, Parser, Subcommand};

use crate::{config::Loaded, telemetry};

/// Serves a catalogue of artifacts over GraphQL.
///
/// With no configuration at all it serves http://127.0.0.1:8080 from the SQLite file gatherum.db in the working
/// directory. Settings come from flags, then the environment, then gatherum.toml; see `gatherum config example`.
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

/// Flags that go before the environment and the file.
#[derive(clap::Args, Default)]
#[command(next_help_heading = "Settings")]
struct SettingFlags {
    /// File with settings [default: gatherum.toml, where there is one]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Database: sqlite://path or postgres://user:password@host/database
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
    /// SQL statements that one request may run
    #[arg(long, global = true, value_name = "N")]
    max_sql_per_request: Option<String>,
    /// How artifacts of a collection are counted: live or maintained
    #[arg(long, global = true, value_name = "STRATEGY")]
    count_strategy: Option<String>,
}

impl SettingFlags {
    fn load(self) -> Result<Loaded> {
        let flags = [
            ("database.url", self.database_url),
            ("http.bind", self.bind),
            ("log.level", self.log_level),
            ("log.format", self.log_format),
            ("loading.max_sql_per_request", self.max_sql_per_request),
            ("loading.count_strategy", self.count_strategy),
        ];
        let flags: Vec<_> = flags.into_iter().filter_map(|(key, text)| Some((key, text?))).collect();
        Loaded::load(&flags, std::env::vars(), self.config)
    }
}

#[derive(Subcommand)]
enum Command {
    /// Migrate the database, then serve it (the default)
    Serve(serve::Args),
    /// Import a catalogue from elsewhere; running it again changes nothing
    Import(transfer::ImportArgs),
    /// Write the catalogue as NDJSON, which `import ndjson` takes back
    Export(transfer::ExportArgs),
    /// Apply, take back or list migrations
    #[command(subcommand)]
    Migrate(migrate::Command),
    /// Print the schema
    Schema(schema::Args),
    /// Show the settings in force, or an example file
    #[command(subcommand)]
    Config(config::Command),
    /// Check settings, database, counts and limits, and say what to do
    Doctor(doctor::Args),
    /// Copy a SQLite database while it is in use
    Backup(transfer::BackupArgs),
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// What a command came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All is well.
    Done,
    /// Something was refused, and said.
    Refused,
}

/// Runs the command that `args` name, and returns its exit status: 0, 1 for a failure, 2 where something was refused.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match execute(cli) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Refused) => ExitCode::from(2),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn execute(cli: Cli) -> Result<Outcome> {
    let command = cli.command.unwrap_or(Command::Serve(cli.serve));
    match command {
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "gatherum", &mut io::stdout());
            return Ok(Outcome::Done);
        }
        Command::Config(config::Command::Example) => return print(&crate::config::example()?),
        _ => {}
    }
    let loaded = cli.settings.load()?;
    if let Command::Config(config::Command::Show) = command {
        return print(&loaded.show()?);
    }
    telemetry::init(&loaded.config.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start")?;
    runtime.block_on(async move {
        match command {
            Command::Serve(args) => serve::run(args, &loaded.config).await,
            Command::Import(args) => transfer::import(args, &loaded.config).await,
            Command::Export(args) => transfer::export(args, &loaded.config).await,
            Command::Migrate(command) => migrate::run(command, &loaded.config).await,
            Command::Schema(args) => schema::run(&args).await,
            Command::Doctor(args) => doctor::run(args, &loaded.config).await,
            Command::Backup(args) => transfer::backup(args, &loaded.config).await,
            Command::Config(_) | Command::Completions { .. } => Ok(Outcome::Done),
        }
    })
}

fn print(text: &str) -> Result<Outcome> {
    io::stdout().write_all(text.as_bytes())?;
    Ok(Outcome::Done)
}
