//! `gatherum documents`.
use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

use super::{Outcome, explain::describe, migrate::open, output};
use crate::{
    app,
    config::Config,
    documents::{
        manifest::{self, ManifestDocument},
        trusted::{self, AddOptions, Added, NewDocument},
    },
    graphql::{Operation, OperationInfo},
};

/// Help after the list of arguments of `add`.
const EXAMPLE: &str = "\
Formats, recognised by their content:
  graphql-codegen  persisted-documents.json of the client preset: an object of identifiers and texts
  Relay            the file of persistConfig: an object of identifiers and texts
  Apollo           apollo-persisted-query-manifest, version 1

Example:
  $ echo '{ \"artifact-names\": \"query ArtifactNames { artifacts { nodes { name } } }\" }' | gatherum documents add -
  1 added, 0 replaced, 0 unchanged

  $ curl 'http://127.0.0.1:8080/graphql?documentId=artifact-names'

Each document is validated against the schema and the limits of this release. If one of them is invalid, or is stored with
another text, the command adds nothing and exits with status 2.";

/// The maximum size of a manifest in bytes.
const MANIFEST_BYTES_MAX: u64 = 256 << 20;

/// Subcommands of `gatherum documents`.
#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Add the documents of manifests to the trusted documents
    #[command(after_help = EXAMPLE)]
    Add {
        /// Manifests, or - for standard input
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Replace stored documents that have the same identifier and another text
        #[arg(long)]
        replace: bool,
        /// Report the outcome without writing anything
        #[arg(long)]
        dry_run: bool,
    },
    /// List trusted documents: identifier, time, size in bytes, operations
    List,
    /// Print trusted documents as a manifest for `documents add`
    Export,
    /// Remove trusted documents; all nodes stop executing them within a second
    Remove {
        /// Identifiers, as `documents list` shows them
        #[arg(required_unless_present = "all", value_name = "ID")]
        ids: Vec<String>,
        /// Remove all trusted documents
        #[arg(long, conflicts_with = "ids")]
        all: bool,
    },
}

pub(super) async fn run(command: Command, config: &Config) -> Result<Outcome> {
    match command {
        Command::Add { files, replace, dry_run } => add(&files, replace, dry_run, config).await,
        Command::List => list(config).await,
        Command::Export => export(config).await,
        Command::Remove { ids, all } => remove((!all).then_some(ids), config).await,
    }
}

async fn add(files: &[PathBuf], replace: bool, dry_run: bool, config: &Config) -> Result<Outcome> {
    let documents = match collect(files, config)? {
        Ok(documents) => documents,
        Err(faults) => return Ok(reject(&faults)),
    };
    let db = open(config).await?;
    let options = AddOptions { replace, count_max: config.documents.trusted_count, dry_run };
    let added = trusted::add(&db, &documents, options).await;
    db.close().await;
    match added? {
        Added::Stored { created, replaced, unchanged } => {
            output::say(&format!("{created} added, {replaced} replaced, {unchanged} unchanged"))?;
            if dry_run {
                output::say("dry run: nothing was written")?;
            }
            Ok(Outcome::Done)
        }
        Added::Conflicts(ids) => {
            let fault = |id: &String| format!("`{id}` is stored with another text: replace it with --replace");
            Ok(reject(&ids.iter().map(fault).collect::<Vec<_>>()))
        }
    }
}

fn reject(faults: &[String]) -> Outcome {
    faults.iter().for_each(|fault| output::note(&format!("error: {fault}")));
    output::note("nothing was added");
    Outcome::Rejected
}

/// The documents of all files, or the reasons why some of them are invalid.
fn collect(files: &[PathBuf], config: &Config) -> Result<Result<Vec<NewDocument>, Vec<String>>> {
    let explainer = app::explainer(config)?;
    let (mut documents, mut faults) = (Vec::new(), Vec::new());
    let mut texts = HashMap::new();
    for file in files {
        let found = match manifest::read(&read(file)?) {
            Ok(found) => found,
            Err(reason) => {
                faults.push(format!("{}: {reason}", file.display()));
                continue;
            }
        };
        for ManifestDocument { id, text } in found {
            let fault = |reason: &str| format!("{}: `{id}`: {reason}", file.display());
            match (texts.get(&id), explainer.check(&text)) {
                (Some(known), _) if *known == text => {}
                (Some(_), _) => faults.push(fault("another document has this identifier")),
                (None, Err(errors)) => faults.extend(errors.iter().map(|error| fault(&describe(error)))),
                (None, Ok(operations)) => {
                    texts.insert(id.clone(), text.clone());
                    documents.push(NewDocument { id, text, operations: label(&operations) });
                }
            }
        }
    }
    Ok(if faults.is_empty() { Ok(documents) } else { Err(faults) })
}

fn read(file: &Path) -> Result<String> {
    let mut text = String::new();
    let bytes = match file == Path::new("-") {
        true => io::stdin().lock().take(MANIFEST_BYTES_MAX + 1).read_to_string(&mut text),
        false => File::open(file).and_then(|file| file.take(MANIFEST_BYTES_MAX + 1).read_to_string(&mut text)),
    };
    let bytes = bytes.with_context(|| format!("cannot read {}", file.display()))?;
    ensure!(bytes as u64 <= MANIFEST_BYTES_MAX, "{} is larger than {MANIFEST_BYTES_MAX} bytes", file.display());
    Ok(text)
}

/// The operations of a document, such as `query Artifacts, mutation Rename`.
fn label(operations: &[OperationInfo]) -> String {
    let label = |operation: &OperationInfo| {
        let kind = match operation.kind {
            Operation::Query => "query",
            Operation::Mutation => "mutation",
            Operation::Subscription => "subscription",
        };
        operation.name.as_ref().map_or_else(|| kind.to_owned(), |name| format!("{kind} {name}"))
    };
    operations.iter().map(label).collect::<Vec<_>>().join(", ")
}

async fn list(config: &Config) -> Result<Outcome> {
    let db = open(config).await?;
    for document in trusted::list(&db).await? {
        let (time, bytes) = (document.created_at.rfc3339(), document.text.len());
        output::say(&format!("{} {time} {bytes} {}", document.id, document.operations))?;
    }
    db.close().await;
    Ok(Outcome::Done)
}

async fn export(config: &Config) -> Result<Outcome> {
    let db = open(config).await?;
    let documents = trusted::list(&db).await?;
    let manifest: serde_json::Map<String, serde_json::Value> =
        documents.into_iter().map(|document| (document.id, document.text.into())).collect();
    output::say(&serde_json::to_string_pretty(&manifest)?)?;
    db.close().await;
    Ok(Outcome::Done)
}

async fn remove(ids: Option<Vec<String>>, config: &Config) -> Result<Outcome> {
    let db = open(config).await?;
    let removed = trusted::remove(&db, ids.as_deref()).await?;
    db.close().await;
    output::say(&format!("{} removed", removed.len()))?;
    let unknown: Vec<String> = ids.into_iter().flatten().filter(|id| !removed.contains(id)).collect();
    unknown.iter().for_each(|id| output::note(&format!("error: `{id}` does not exist")));
    Ok(if unknown.is_empty() { Outcome::Done } else { Outcome::Failed })
}
