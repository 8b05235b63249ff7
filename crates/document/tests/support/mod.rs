//! The corpus of `tests/validation`, and other validators to compare with.
#![allow(dead_code, missing_docs)]

pub mod upstream;

use std::{
    collections::{BTreeSet, HashMap},
    io::Read as _,
    path::PathBuf,
};

use gatherum_document::{CheckError, Limits, Options, Schema};
use serde::{Deserialize, Serialize};

/// A document and the verdict of graphql-js.
#[derive(Debug, Deserialize)]
pub struct Case {
    pub schema: String,
    pub kind: String,
    pub text: String,
    pub verdict: Verdict,
}

/// The verdict of a validator on a document.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum Verdict {
    /// `parse` for a syntax error.
    Syntax(String),
    /// The names of the violated rules; none for a valid document.
    Rules(BTreeSet<String>),
}

impl Verdict {
    pub fn syntax() -> Self {
        Self::Syntax("parse".to_owned())
    }

    /// The verdict of this crate. The corpus nests deeper than the default limit allows.
    pub fn of(schema: &Schema, text: &str) -> Self {
        let limits = Limits { nesting: 200, ..Limits::default() };
        match schema.check(text, &limits, &Options::default()) {
            Ok(_) => Self::Rules(BTreeSet::new()),
            Err(CheckError::Parse(_)) => Self::syntax(),
            Err(CheckError::Validation(errors)) => {
                Self::Rules(errors.into_iter().map(|error| error.rule.to_owned()).collect())
            }
        }
    }

    pub fn is_valid(&self) -> bool {
        matches!(self, Self::Rules(rules) if rules.is_empty())
    }
}

/// All documents of the corpus.
pub fn corpus() -> Vec<Case> {
    let cases = unpacked("corpus.jsonl.gz");
    cases.lines().skip(1).map(|line| serde_json::from_str(line).expect("a case per line")).collect()
}

/// The introspection query of graphql-js, and its answers by schema.
#[derive(Debug, Deserialize)]
pub struct Introspection {
    pub query: String,
    pub answers: HashMap<String, serde_json::Value>,
}

pub fn introspection() -> Introspection {
    serde_json::from_str(&unpacked("introspection.json.gz")).expect("the answers are JSON")
}

fn unpacked(name: &str) -> String {
    let packed = std::fs::read(folder().join(name)).expect("the file is committed");
    let mut text = String::new();
    flate2::read::GzDecoder::new(packed.as_slice()).read_to_string(&mut text).expect("the file is UTF-8");
    text
}

/// The schema with this name, as a definition.
pub fn sdl(name: &str) -> String {
    std::fs::read_to_string(folder().join(format!("{name}.graphql"))).expect("the schema is committed")
}

pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/validation")
}
