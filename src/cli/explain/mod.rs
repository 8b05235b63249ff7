//! `gatherum explain`.
mod svg;
mod text;

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use gatherum_engine::{FieldError, Segment};

use super::{Outcome, output};
use crate::{
    app,
    config::Config,
    graphql::{Operation, Plan, variables},
};

/// Help after the list of arguments.
const EXAMPLE: &str = "\
Example:
  $ echo '{ artifacts(first: 50) { nodes { id collections { nodes { id artifactCount } } } } }' | gatherum explain -
  query: 3 statements in 3 rounds

  round  statement                 keys at most  fields
      1  Query.artifacts                      1  artifacts.nodes
      2  Artifact.collections                50  artifacts.nodes.collections.nodes
      3  Collection.artifactCount          2500  artifacts.nodes.collections.nodes.artifactCount

An execution takes these statements if no level is empty, and never more. The statements of a write itself are not
predicted, only those that load its payload. A subscription is explained for one event, without the check that the
subscriber may see it.";

/// Arguments of `gatherum explain`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    /// The GraphQL document, or - for standard input
    file: PathBuf,
    /// Name of the operation; required if the document has several
    #[arg(long, value_name = "NAME")]
    operation: Option<String>,
    /// Values of the variables, a JSON object
    #[arg(long, value_name = "JSON")]
    variables: Option<serde_json::Map<String, serde_json::Value>>,
    /// Format of the output
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// File to write instead of standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Format of the output.
#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum Format {
    /// A table
    #[default]
    Text,
    /// A diagram with one column for each round
    Svg,
}

pub(super) fn run(args: Args, config: &Config) -> Result<Outcome> {
    let document = read(&args.file)?;
    let variables = variables(args.variables.unwrap_or_default());
    let plan = app::explainer(config)?.explain(&document, args.operation.as_deref(), &variables);
    let plan = match plan {
        Ok(plan) => plan,
        Err(errors) => {
            errors.iter().for_each(|error| output::note(&format!("error: {}", describe(error))));
            return Ok(Outcome::Rejected);
        }
    };
    let rendered = match args.format {
        Format::Text => text::render(&plan),
        Format::Svg => svg::render(&plan),
    };
    match &args.output {
        Some(file) => fs::write(file, rendered).with_context(|| format!("cannot write {}", file.display()))?,
        None => output::print(&rendered)?,
    }
    Ok(Outcome::Done)
}

fn read(file: &Path) -> Result<String> {
    if file == Path::new("-") {
        return io::read_to_string(io::stdin().lock().take(DOCUMENT_BYTES_MAX)).context("cannot read standard input");
    }
    fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

/// The maximum size of a document on standard input; documents of the server are smaller.
const DOCUMENT_BYTES_MAX: u64 = 16 << 20;

/// The message with its place: line and column in the document, or the path of the field.
pub(super) fn describe(error: &FieldError) -> String {
    let message = &error.error.message;
    if error.position.line > 0 {
        return format!("{}:{}: {message}", error.position.line, error.position.column);
    }
    let segment = |segment: &Segment| match segment {
        Segment::Key(key) => key.clone(),
        Segment::Index(index) => index.to_string(),
    };
    match error.path.as_slice() {
        [] => message.to_string(),
        path => format!("{}: {message}", path.iter().map(segment).collect::<Vec<_>>().join(".")),
    }
}

/// The totals of a plan, such as `query: 3 statements in 3 rounds`.
fn summary(plan: &Plan) -> String {
    let kind = match plan.kind {
        Operation::Query => "query",
        Operation::Mutation => "mutation",
        Operation::Subscription => "subscription, each event",
    };
    let statements = format!("{} in {}", counted(plan.loads(), "statement"), counted(plan.rounds.len(), "round"));
    match plan.writes.len() {
        0 => format!("{kind}: {statements}"),
        writes => format!("{kind}: {}, and {statements}", counted(writes, "transaction")),
    }
}

fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// The first field of several that share a statement, and the number of others.
fn fields(fields: &[String]) -> String {
    match fields {
        [] => String::new(),
        [field] => field.clone(),
        [field, others @ ..] => format!("{field} (+{})", others.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn plan(document: &str) -> Plan {
        let explainer = app::explainer(&Config::default()).expect("a schema");
        explainer.explain(document, None, &Default::default()).expect("a plan")
    }

    const QUERY: &str = "{ artifacts(first: 50) { totalCount nodes { id tags { slug artifactCount }
        collections { nodes { id artifactCount } } } } }";
    const MUTATION: &str =
        r#"mutation { createArtifact(input: { type: "skill", name: "a" }) { artifact { tags { slug } } } }"#;

    #[test]
    fn a_plan_is_a_table() {
        let tables = [text::render(&plan(QUERY)), text::render(&plan(MUTATION))];
        let nothing = text::render(&plan("{ __typename viewer { scopes } }"));

        insta::assert_snapshot!(format!("{}\n{}\n{nothing}", tables[0], tables[1]), @"
        query: 6 statements in 3 rounds

        round  statement                   keys at most  fields
            1  Query.artifacts                        1  artifacts.nodes
            1  Query.artifacts.totalCount             1  artifacts.totalCount
            2  Artifact.collections                  50  artifacts.nodes.collections.nodes
            2  Artifact.tags                         50  artifacts.nodes.tags
            3  Collection.artifactCount            2500  artifacts.nodes.collections.nodes.artifactCount
            3  Tag.artifactCount                by data  artifacts.nodes.tags.artifactCount

        mutation: 1 transaction, and 2 statements in 2 rounds

        round  statement       keys at most  fields
            -  the write itself             -  createArtifact
            1  Query.artifact             1  createArtifact.artifact
            2  Artifact.tags              1  createArtifact.artifact.tags

        query: 0 statements in 0 rounds
        ");
    }

    #[test]
    fn a_diagram_is_xml_with_every_statement() {
        for document in [QUERY, MUTATION, "{ __typename }"] {
            let plan = plan(document);

            let diagram = svg::render(&plan);

            let mut open = Vec::new();
            for tag in diagram.split('<').skip(1) {
                let (tag, text) = tag.split_once('>').expect("a tag ends");
                assert!(!text.contains('>'), "{text}");
                let entities = text.matches('&').count();
                assert_eq!(entities, text.matches("&amp;").count() + text.matches("&lt;").count(), "{text}");
                match tag.strip_prefix('/') {
                    Some(name) => assert_eq!(open.pop(), Some(name), "{diagram}"),
                    None if tag.ends_with('/') => {}
                    None => open.push(tag.split_whitespace().next().expect("a name")),
                }
            }
            assert!(open.is_empty(), "{open:?}");
            for load in plan.rounds.iter().flatten() {
                assert!(diagram.contains(&format!(">{}</text>", load.name)), "{}", load.name);
            }
        }
    }
}
