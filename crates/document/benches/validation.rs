//! Parsing and validation of Q1 against the catalogue's schema, compared with other validators in one run.
//!
//!     cargo bench -p gatherum-document
#[path = "../tests/support/mod.rs"]
mod support;

use apollo_compiler::{ExecutableDocument, ast};
use divan::{Bencher, black_box};
use gatherum_document::{Limits, Options, Schema};
use support::upstream::Upstream;

const QUERIES: [&str; 2] = ["q1", "q4"];

fn main() {
    divan::main();
}

fn read(path: &str) -> String {
    std::fs::read_to_string(format!("{}/../../{path}", env!("CARGO_MANIFEST_DIR"))).expect("the file is committed")
}

fn query(name: &str) -> String {
    read(&format!("bench/queries/{name}.graphql"))
}

fn schema() -> Schema {
    Schema::parse(&read("schema.graphql")).expect("a valid schema")
}

#[divan::bench(args = QUERIES)]
fn gatherum_document(bencher: Bencher<'_, '_>, name: &str) {
    let (schema, text) = (schema(), query(name));
    let (limits, options) = (Limits::default(), Options::default());
    bencher.bench_local(|| schema.check(black_box(&text), &limits, &options).expect("a valid document"));
}

#[divan::bench(args = QUERIES)]
fn gatherum_document_parse_only(bencher: Bencher<'_, '_>, name: &str) {
    let (schema, text) = (schema(), query(name));
    let limits = Limits::default();
    bencher.bench_local(|| schema.parse_document(black_box(&text), &limits).expect("a document"));
}

#[divan::bench(args = QUERIES)]
fn apollo_compiler(bencher: Bencher<'_, '_>, name: &str) {
    let (schema, text) = (schema(), query(name));
    bencher.bench_local(|| {
        ExecutableDocument::parse_and_validate(schema.definition(), black_box(&text), "q").expect("a valid document")
    });
}

#[divan::bench(args = QUERIES)]
fn apollo_compiler_parse_only(bencher: Bencher<'_, '_>, name: &str) {
    let text = query(name);
    bencher.bench_local(|| ast::Document::parse(black_box(&text), "q").expect("a document"));
}

#[divan::bench(args = QUERIES)]
fn async_graphql(bencher: Bencher<'_, '_>, name: &str) {
    let (schema, text) = (Upstream::new(schema().definition()), query(name));
    bencher.bench_local(|| assert!(schema.errors(black_box(&text)).is_empty()));
}

#[divan::bench(args = QUERIES)]
fn async_graphql_parse_only(bencher: Bencher<'_, '_>, name: &str) {
    let text = query(name);
    bencher.bench_local(|| async_graphql::parser::parse_query(black_box(&text)).expect("a document"));
}

/// Fragments that each spread the next one twice, below two response keys.
fn doubling(levels: usize) -> String {
    let fragment = |level: usize| {
        let next = level + 1;
        format!(" fragment F{level} on Query {{ x: viewer {{ __typename }} ...F{next} ...F{next} }}")
    };
    let fragments: String = (0..levels).map(fragment).collect();
    format!("{{ ...F0 }}{fragments} fragment F{levels} on Query {{ __typename }}")
}

/// Documents that are meant to take long, within limits that admit them.
#[divan::bench(args = ["30 doublings", "600 aliases", "600 fields that merge", "standard introspection"])]
fn gatherum_document_hostile(bencher: Bencher<'_, '_>, name: &str) {
    let aliases = |name: fn(usize) -> String| format!("{{ {} }}", (0..600).map(name).collect::<String>());
    let text = match name {
        "30 doublings" => doubling(30),
        "600 aliases" => aliases(|number| format!("a{number}: __typename ")),
        "600 fields that merge" => aliases(|_| "viewer { user { name } } ".to_owned()),
        _ => support::introspection().query,
    };
    let schema = schema();
    let (limits, options) = (Limits { tokens: 10_000, ..Limits::default() }, Options::default());
    bencher.bench_local(|| schema.check(black_box(&text), &limits, &options).expect("a valid document"));
}
