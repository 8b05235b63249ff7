//! Verdicts on the corpus are those of graphql-js, except a list with reasons.
#[path = "support/mod.rs"]
mod support;

use std::collections::HashMap;

use gatherum_document::{CheckError, Limits, Options, Schema};
use serde::Deserialize;
use support::{Case, Verdict, corpus, folder, sdl};

/// Documents on which the verdict differs from that of graphql-js, for one reason.
#[derive(Deserialize)]
struct Difference {
    reason: String,
    documents: Vec<Differing>,
}

#[derive(Deserialize)]
struct Differing {
    schema: String,
    text: String,
    verdict: Verdict,
}

fn differences() -> Vec<Difference> {
    let text = std::fs::read_to_string(folder().join("differences.json")).expect("the list is committed");
    serde_json::from_str(&text).expect("the list is JSON")
}

fn schemas() -> HashMap<&'static str, Schema> {
    ["catalogue", "zoo"].into_iter().map(|name| (name, Schema::parse(&sdl(name)).expect("a valid schema"))).collect()
}

#[test]
fn verdicts_are_those_of_graphql_js() {
    let schemas = schemas();
    let listed = differences();
    assert!(listed.iter().all(|difference| !difference.reason.is_empty()));
    let listed = listed.into_iter().flat_map(|difference| difference.documents);
    let known: HashMap<(String, String), Verdict> =
        listed.map(|found| ((found.schema, found.text), found.verdict)).collect();
    let cases = corpus();
    assert!(cases.len() >= 2_000);

    let mut used = 0;
    let mut wrong: Vec<(Case, Verdict)> = Vec::new();
    for case in cases {
        let found = Verdict::of(&schemas[case.schema.as_str()], &case.text);
        let expected = known.get(&(case.schema.clone(), case.text.clone()));
        used += usize::from(expected.is_some());
        if found != *expected.unwrap_or(&case.verdict) {
            wrong.push((case, found));
        }
    }

    let shown: Vec<String> = wrong.iter().take(200).map(|(case, found)| format!("{found:?} {case:?}")).collect();
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), shown.join("\n"));
    assert_eq!(used, known.len(), "a listed difference is not in the corpus");
}

#[test]
fn messages_repeat_little_and_have_a_position() {
    let schemas = schemas();
    for case in corpus() {
        let errors = match schemas[case.schema.as_str()].check(&case.text, &Limits::default(), &Options::default()) {
            Ok(_) => continue,
            Err(CheckError::Parse(error)) => {
                assert!(error.message.len() <= 400, "{}", error.message);
                continue;
            }
            Err(CheckError::Validation(errors)) => errors,
        };
        for error in errors {
            assert!(error.message.chars().count() <= 500, "{}", error.message);
            assert!(!error.locations.is_empty(), "{error:?}");
        }
    }
}

#[test]
fn names_of_the_schema_are_not_suggested_when_that_is_switched_off() {
    let schemas = schemas();
    for case in corpus() {
        let options = Options { suggestions: false };
        if let Err(error) = schemas[case.schema.as_str()].check(&case.text, &Limits::default(), &options) {
            let message = error.to_string().replace(" { ... }\"?", "");
            let hints = message.matches("Did you mean").count() - message.matches("of subfields. Did you mean").count();
            assert_eq!(hints, 0, "{message}");
        }
    }
}
