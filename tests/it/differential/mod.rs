//! Compares the breadth-first executor with the simplest possible one.
//!
//! [`reference`] executes a document object by object, field by field, like the algorithms of the specification, and shares
//! no code with the engine. Both execute the same random [`documents`]: with aliases, fields that merge, nested fragments,
//! conditions, interfaces, nested lists, and variables with and without values.
//!
//! There are two schemas. The fields of [`faulty`] fail, panic and are null in every position, by rules that both executors
//! use. [`catalogue`] is the real schema, of which the reference reads each value with a separate query without alias,
//! fragment, merging or condition.
mod catalogue;
mod documents;
mod faulty;
mod reference;

use gatherum::graphql::{ErrorBehavior, Execute, Request};
use serde_json::Value;

use self::{
    documents::{Document, Schema},
    reference::World,
};
use crate::random::Random;

/// Number of documents of each schema and database; `GATHERUM_TEST_DOCUMENTS` sets another number.
fn documents(default: usize) -> usize {
    std::env::var("GATHERUM_TEST_DOCUMENTS").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// A response: data as text, because the order of keys counts, and errors as a sorted list of paths and messages.
#[derive(Debug, PartialEq)]
struct Answer {
    data: String,
    errors: Vec<(String, String)>,
}

impl Answer {
    fn new(data: &Value, mut errors: Vec<(String, String)>) -> Self {
        errors.sort();
        Self { data: data.to_string(), errors }
    }
}

async fn ask(engine: &impl Execute, document: &Document, on_error: ErrorBehavior) -> Option<Answer> {
    let request = Request {
        query: document.text(),
        variables: async_graphql::Variables::from_json(document.variables()),
        on_error,
        ..Request::default()
    };
    let response = engine.execute(request).await;
    let body: Value = serde_json::from_slice(&response.body).expect("JSON");
    if !response.executed {
        // A random document may exceed the cost limits, and is then skipped. Any other rejection is an error.
        assert_eq!(body["errors"][0]["extensions"]["code"], "LIMIT_EXCEEDED", "{}\n{body}", document.text());
        return None;
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let errors = body["errors"].as_array().into_iter().flatten();
    let errors = errors.map(|error| (error["path"].to_string(), text(&error["message"]))).collect();
    Some(Answer::new(&body["data"], errors))
}

/// Executes `count` documents with both executors and returns the number that were not skipped.
async fn compare<W: World>(engine: &impl Execute, world: &W, schema: &Schema, seed: u64, count: usize) -> usize {
    let mut random = Random(seed);
    let mut compared = 0;
    for number in 0..count {
        let document = Document::new(schema, &mut random);
        for on_error in [ErrorBehavior::Propagate, ErrorBehavior::Null] {
            let Some(found) = ask(engine, &document, on_error).await else { break };
            let expected = reference::execute(world, schema, &document, on_error).await;
            let text = document.text();
            assert_eq!(found, expected, "{on_error:?}: document {number} of {seed}:\n{text}\n{}", document.variables());
            compared += usize::from(on_error == ErrorBehavior::Propagate);
        }
    }
    compared
}
