//! Counts the documents of the corpus on which validators differ from graphql-js.
//!
//! With `--examples` it shows a document for each kind of difference, with `--ours` those of this crate as JSON.
#[path = "../tests/support/mod.rs"]
mod support;

use std::collections::{BTreeMap, HashMap};

use apollo_compiler::ExecutableDocument;
use gatherum_document::Schema;
use support::{Case, Verdict, corpus, sdl, upstream::Upstream};

/// Differences of one validator: documents that it accepts or rejects wrongly, by what graphql-js says of them.
#[derive(Default)]
struct Differences {
    accepted: BTreeMap<String, usize>,
    rejected: BTreeMap<String, usize>,
    examples: BTreeMap<String, String>,
}

impl Differences {
    fn add(&mut self, case: &Case, is_valid: bool, message: &str) {
        if is_valid == case.verdict.is_valid() {
            return;
        }
        let rules = match &case.verdict {
            Verdict::Syntax(_) => "syntax error".to_owned(),
            Verdict::Rules(rules) if rules.is_empty() => case.kind.clone(),
            Verdict::Rules(rules) => rules.iter().cloned().collect::<Vec<_>>().join(" + "),
        };
        self.examples
            .entry(format!("{rules} {}", case.kind))
            .or_insert_with(|| format!("{} {message}", case.text.replace('\n', " ")));
        let side = if is_valid { &mut self.accepted } else { &mut self.rejected };
        *side.entry(rules).or_default() += 1;
    }

    fn print(&self, name: &str, is_long: bool) {
        let count = |side: &BTreeMap<String, usize>| side.values().sum::<usize>();
        println!("{name}: {} accepted wrongly, {} rejected wrongly", count(&self.accepted), count(&self.rejected));
        for (title, side) in [("accepted", &self.accepted), ("rejected", &self.rejected)] {
            for (rule, count) in side {
                println!("  {title} {count:5} {rule}");
            }
        }
        if is_long {
            for (rule, text) in &self.examples {
                println!("    {rule}: {}", text.chars().take(400).collect::<String>());
            }
        }
    }
}

fn main() {
    let is_long = std::env::args().any(|argument| argument == "--examples");
    let schemas: HashMap<&str, _> = ["catalogue", "zoo"]
        .into_iter()
        .map(|name| (name, Schema::parse(&sdl(name)).expect("a valid schema")))
        .collect();
    let upstreams: HashMap<&str, Upstream> =
        schemas.iter().map(|(name, schema)| (*name, Upstream::new(schema.definition()))).collect();
    let (mut apollo, mut upstream) = (Differences::default(), Differences::default());
    let (mut documents, mut of_upstream) = (0, 0);
    for case in corpus() {
        documents += 1;
        let result =
            ExecutableDocument::parse_and_validate(schemas[case.schema.as_str()].definition(), &case.text, "document");
        let message = result
            .as_ref()
            .err()
            .map(|error| format!("{:?}", error.errors.iter().map(|error| error.error.to_string()).collect::<Vec<_>>()));
        apollo.add(&case, result.is_ok(), message.as_deref().unwrap_or_default());
        // It knows no directives but its own.
        if !["@tagged", "@once", "@limits"].iter().any(|name| case.text.contains(name)) {
            of_upstream += 1;
            let errors = upstreams[case.schema.as_str()].errors(&case.text);
            upstream.add(&case, errors.is_empty(), &errors.join("; "));
        }
    }
    let (mut ours, is_json) = (Differences::default(), std::env::args().any(|argument| argument == "--ours"));
    for case in corpus() {
        let found = Verdict::of(&schemas[case.schema.as_str()], &case.text);
        ours.add(&case, found.is_valid(), "");
        if is_json && found != case.verdict {
            let difference = serde_json::json!({
                "schema": case.schema, "text": case.text, "verdict": found, "graphql-js": case.verdict
            });
            println!("{difference}");
        }
    }
    println!("{documents} documents");
    ours.print("gatherum-document", is_long);
    apollo.print("apollo-compiler", is_long);
    println!("{of_upstream} documents");
    upstream.print("async-graphql", is_long);
}
