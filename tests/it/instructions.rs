//! What the server itself does for a query, in instructions: counted by callgrind, not timed, and alike on a busy machine.
//!
//! The counts are those of a build without optimisation. They say nothing of how fast the server is, and all of whether
//! something was added to what every request goes through.
use std::{
    fs,
    path::Path,
    pin::Pin,
    process::{Command, Stdio},
};

use gatherum::{
    app::Engine,
    db::Db,
    graphql::{Execute, Request, Response},
};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

use crate::{
    app::{ask, engine},
    backend::Backend,
    fixture,
};

/// The benchmark's queries, and thousands of instructions for each. One that takes more or less by more than
/// [`TOLERANCE`] fails: look what became of it, and write down the new count with the change that is its reason.
const EXPECTED: [(&str, &str, u64); 4] = [
    ("q1", include_str!("../../bench/queries/q1.graphql"), 7_200),
    ("q2", include_str!("../../bench/queries/q2.graphql"), 930),
    ("q2_edges", include_str!("../../bench/queries/q2_edges.graphql"), 1_210),
    ("q4", include_str!("../../bench/queries/q4.graphql"), 11_850),
];

/// Answers of which the cheapest counts: what rows arrive together makes a difference of up to one in ten for a small query.
const ANSWERS: usize = 5;

/// Where a build stands makes a difference of a few in a hundred.
const TOLERANCE: f64 = 0.1;

/// Which compiler's code was counted; others' differs.
const COMPILER: &str = "rustc 1.95.";

const DATABASE: &str = "GATHERUM_TEST_INSTRUCTIONS_DATABASE";
const REQUIRED: &str = "GATHERUM_TEST_REQUIRE_VALGRIND";

const COUNTED: &str = concat!(module_path!(), "::counted_by_callgrind");

/// What is counted.
#[inline(never)]
fn counted_by_callgrind(runtime: &Runtime, answer: Pin<Box<dyn Future<Output = Response> + '_>>) -> Response {
    runtime.block_on(answer)
}

/// Run by the test below: answers each query once before it counts.
#[test]
#[ignore = "is run under callgrind by the_hot_path_takes_as_many_instructions_as_it_did"]
fn workload() {
    let url = std::env::var(DATABASE).expect("the database that the other test has made");
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let config = gatherum::db::Config { url, ..Default::default() };
    let db = runtime.block_on(Db::open(&config)).expect("the database");
    let engine = engine(&db);
    let collection = runtime.block_on(ask(&engine, "{ collections(first: 1) { nodes { id } } }"));
    let variables = serde_json::json!({ "id": collection["data"]["collections"]["nodes"][0]["id"] });
    for (name, query, _) in EXPECTED {
        let known = runtime.block_on(answer(&engine, query, &variables));
        let data: Value = serde_json::from_slice(&known.body).expect("JSON");
        assert!(data["data"].is_object(), "{name}: {data}");
        for _ in 0..ANSWERS {
            let counted = counted_by_callgrind(&runtime, Box::pin(answer(&engine, query, &variables)));
            assert_eq!(known.body, counted.body);
        }
    }
}

fn answer(engine: &Engine, query: &str, variables: &Value) -> impl Future<Output = Response> {
    let variables = async_graphql::Variables::from_json(variables.clone());
    engine.execute(Request { query: query.to_owned(), variables, ..Request::default() })
}

#[tokio::test]
async fn the_hot_path_takes_as_many_instructions_as_it_did() {
    if !Command::new("valgrind").arg("--version").stdout(Stdio::null()).status().is_ok_and(|done| done.success()) {
        assert!(std::env::var(REQUIRED).is_err(), "no valgrind");
        eprintln!("SKIPPED: instructions are not counted without valgrind");
        return;
    }
    let compiler = Command::new("rustc").arg("--version").output().expect("the compiler that made this program").stdout;
    let compiler = String::from_utf8_lossy(&compiler);
    if !compiler.starts_with(COMPILER) {
        assert!(std::env::var(REQUIRED).is_err(), "{compiler} is not {COMPILER}: count anew");
        eprintln!("SKIPPED: instructions of {compiler} are not those that were counted, of {COMPILER}");
        return;
    }
    let test = Backend::Sqlite.database().await;
    fixture::fill(&test.db, 60).await;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let done = Command::new("valgrind")
        .args(["--tool=callgrind", &format!("--toggle-collect={COUNTED}"), &format!("--dump-after={COUNTED}")])
        .arg(format!("--callgrind-out-file={}", directory.path().join("counts").display()))
        .arg(std::env::current_exe().expect("this program"))
        .args(["--exact", "instructions::workload", "--ignored", "--test-threads=1"])
        .env(DATABASE, &test.config.url)
        .output()
        .expect("valgrind");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));

    let dumps: Vec<usize> = (1..=EXPECTED.len() * ANSWERS).collect();
    let least = |dumps: &[usize]| dumps.iter().map(|dump| counted(directory.path(), *dump)).min().unwrap_or(0);
    let found: Vec<u64> = dumps.chunks(ANSWERS).map(|dumps| least(dumps) / 1_000).collect();

    let is_near = |expected: u64, found: u64| found.abs_diff(expected) as f64 <= expected as f64 * TOLERANCE;
    let lines: Vec<String> = EXPECTED
        .iter()
        .zip(&found)
        .map(|((name, _, expected), found)| format!("{name}: {found} thousand, {expected} were expected"))
        .collect();
    eprintln!("{lines:#?}");
    let all_near = EXPECTED.iter().zip(&found).all(|((_, _, expected), found)| is_near(*expected, *found));
    assert!(all_near, "{lines:#?}");
}

/// The instructions between two dumps.
fn counted(directory: &Path, dump: usize) -> u64 {
    let text = fs::read_to_string(directory.join(format!("counts.{dump}"))).expect("a dump for each query");
    let total = text.lines().find_map(|line| line.strip_prefix("summary: ").or(line.strip_prefix("totals: ")));
    total.and_then(|total| total.trim().parse().ok()).expect("the sum of a dump")
}
