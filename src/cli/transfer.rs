//! `gatherum import`, `gatherum export`, `gatherum backup`.
use std::{
    fmt::Write as _,
    fs::File,
    io::{self, BufWriter, IsTerminal, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use indicatif::{ProgressBar, ProgressStyle};

use super::{Outcome, migrate::open, output};
use crate::{
    access::Accounts,
    app,
    catalog::collection,
    config::Config,
    db::Db,
    graphql::id,
    transfer::{self, ImportOptions, ImportReport, Source},
};

/// Number of records after which a line is printed if standard error is not a terminal.
const PROGRESS_RECORDS: u64 = 50_000;

/// Examples of `gatherum import`.
const IMPORT_EXAMPLES: &str = "\
Examples:
  gatherum import claude .claude
  gatherum import skillmeat ~/.skillmeat/cache/cache.db --watch
  gatherum import csv list.csv --dry-run
  gatherum import deal-brain export.json --strict
  gunzip -c catalogue.ndjson.gz | gatherum import ndjson -

The report lists rejected records, repaired values, and what the catalogue does not store. The exit
status is 0, or 2 if a record was rejected. docs/import.md describes each format.";

/// Arguments of `gatherum import`.
#[derive(clap::Args)]
#[command(after_help = IMPORT_EXAMPLES)]
pub(super) struct ImportArgs {
    #[command(subcommand)]
    source: SourceArgs,
    /// Report what would be imported without writing anything
    #[arg(long, global = true)]
    dry_run: bool,
    /// Reject records of which the catalogue does not store something, such as a CSV row with more cells than columns
    #[arg(long, global = true)]
    strict: bool,
    /// Account that owns the imported objects; required if there are several accounts
    #[arg(long, global = true, value_name = "NAME")]
    owner: Option<String>,
}

/// The source of an import.
#[derive(clap::Subcommand)]
enum SourceArgs {
    /// A SkillMeat SQLite database, of any release
    Skillmeat {
        /// The file, such as ~/.skillmeat/cache/cache.db
        file: PathBuf,
        /// Keep importing: apply every later change of the database, including removals, until Ctrl-C
        #[arg(long)]
        watch: bool,
    },
    /// A folder with skills/**/SKILL.md, agents/**/*.md and commands/**/*.md
    Claude {
        /// The folder, such as .claude
        folder: PathBuf,
    },
    /// A Deal Brain collection export, version 1.0.0
    DealBrain {
        /// The JSON file; - reads standard input
        file: PathBuf,
    },
    /// NDJSON as written by `gatherum export`
    Ndjson {
        /// The file; - reads standard input
        file: PathBuf,
    },
    /// CSV with one artifact per row and a header row: type, name, description, tags, collections, …
    Csv {
        /// The file; - reads standard input
        file: PathBuf,
    },
}

impl From<SourceArgs> for Source {
    fn from(args: SourceArgs) -> Self {
        match args {
            SourceArgs::Skillmeat { file, .. } => Self::SkillMeat(file),
            SourceArgs::Claude { folder } => Self::Claude(folder),
            SourceArgs::DealBrain { file } => Self::DealBrain(file),
            SourceArgs::Ndjson { file } if file.as_os_str() == "-" => Self::Ndjson(None),
            SourceArgs::Ndjson { file } => Self::Ndjson(Some(file)),
            SourceArgs::Csv { file } => Self::Csv(file),
        }
    }
}

pub(super) async fn import(args: ImportArgs, config: &Config) -> Result<Outcome> {
    if let SourceArgs::Skillmeat { file, watch: true } = &args.source {
        ensure!(!args.dry_run, "--dry-run and --watch exclude each other: leave one out");
        ensure!(!args.strict, "--strict and --watch exclude each other: leave one out");
        return watch(file, args.owner.as_deref(), config).await;
    }
    let db = open(config).await?;
    let owner = Accounts::new(&db).owner(args.owner.as_deref()).await?;
    let bar = io::stderr().is_terminal().then(|| {
        let style = ProgressStyle::with_template("{spinner} {human_pos} records, {per_sec}, {elapsed}");
        let bar = ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        bar.enable_steady_tick(Duration::from_millis(100));
        bar
    });
    let progress = |count: u64| match &bar {
        Some(bar) => bar.set_position(count),
        None if count.is_multiple_of(PROGRESS_RECORDS) && count > 0 => output::note(&format!("{count} records")),
        None => {}
    };
    let options = ImportOptions { owner, is_dry_run: args.dry_run, is_strict: args.strict };
    let report = transfer::import(&db, args.source.into(), options, progress).await?;
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    db.close().await;
    output::print(&report.to_string())?;
    if args.dry_run {
        output::say("dry run: nothing was written")?;
    }
    Ok(if report.rejected() == 0 { Outcome::Done } else { Outcome::Rejected })
}

/// Imports a SkillMeat database after each change, until a signal stops the process.
async fn watch(file: &Path, owner: Option<&str>, config: &Config) -> Result<Outcome> {
    let db = open(config).await?;
    let owner = Accounts::new(&db).owner(owner).await?;
    let mut rejected = None;
    let on_import = |outcome: Result<ImportReport>| {
        match outcome {
            // The full report is printed only if the number of rejected records changed.
            Ok(report) if rejected != Some(report.rejected()) => {
                output::print(&report.to_string())?;
                if rejected.replace(report.rejected()).is_none() {
                    output::say(&format!("watching {}: stop with Ctrl-C", file.display()))?;
                }
            }
            Ok(report) if report.written() > 0 => output::say(&summary(&report))?,
            Ok(_) => {}
            Err(error) => output::note(&format!("{error:#}: retrying")),
        }
        Ok(())
    };
    tokio::select! {
        failed = transfer::watch(&db, file, owner, on_import) => failed?,
        () = app::stop_signal() => {}
    }
    db.close().await;
    Ok(Outcome::Done)
}

/// The numbers of a report on one line.
fn summary(report: &ImportReport) -> String {
    let now = jiff::Timestamp::now();
    let mut line = format!("{now:.0}");
    for (kind, counts) in &report.kinds {
        for (count, change) in [(counts.created, "created"), (counts.updated, "updated"), (counts.removed, "removed")] {
            if count > 0 {
                let _ = write!(line, " {kind} {change}: {count}");
            }
        }
    }
    line
}

/// Arguments of `gatherum export`.
#[derive(clap::Args)]
pub(super) struct ExportArgs {
    /// Only this collection, with its artifacts and groups
    #[arg(long, value_name = "ID")]
    collection: Option<String>,
    /// The file [default: standard output]
    file: Option<PathBuf>,
}

pub(super) async fn export(args: ExportArgs, config: &Config) -> Result<Outcome> {
    let collection = args.collection.map(|text| id::parse(collection::PREFIX, &text)).transpose()?;
    let db = open(config).await?;
    let out: Box<dyn Write> = match &args.file {
        Some(path) => Box::new(File::create(path).with_context(|| format!("cannot write {}", path.display()))?),
        None => Box::new(output::Output::new().lock()),
    };
    let count = transfer::export(&db, collection, &mut BufWriter::new(out)).await?;
    db.close().await;
    output::note(&format!("{count} records"));
    Ok(Outcome::Done)
}

/// Arguments of `gatherum backup`.
#[derive(clap::Args)]
pub(super) struct BackupArgs {
    /// Path of the copy; it must not exist
    file: PathBuf,
}

pub(super) async fn backup(args: BackupArgs, config: &Config) -> Result<Outcome> {
    let db = Db::open(&config.database).await?;
    db.backup(&args.file).await?;
    db.close().await;
    output::say(&format!("copied to {}", args.file.display()))?;
    Ok(Outcome::Done)
}
