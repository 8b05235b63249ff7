//! Counts the instructions that the server executes for a query, with callgrind. Unlike times, the counts do not depend on
//! the load of the machine.
//!
//! They are counts of a build without optimisation. They do not measure the speed of the server; they show whether a change
//! adds work to every request.
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

/// The queries of the benchmark, each with its number of instructions in thousands. The test fails if a count differs by
/// more than [`TOLERANCE`]: find the reason, and record the new count with the change that is the reason.
const EXPECTED: [(&str, &str, u64); 4] = [
    ("q1", include_str!("../../bench/queries/q1.graphql"), 7_200),
    ("q2", include_str!("../../bench/queries/q2.graphql"), 930),
    ("q2_edges", include_str!("../../bench/queries/q2_edges.graphql"), 1_210),
    ("q4", include_str!("../../bench/queries/q4.graphql"), 11_850),
];

/// Number of executions of a query, of which the cheapest counts. The number of wake-ups depends on how many rows arrive
/// together, which is up to 10 % of the instructions of a small query.
const EXECUTIONS: usize = 5;

/// Builds in different directories differ by a few percent.
const TOLERANCE: f64 = 0.1;

/// The compiler of the recorded counts. Other versions generate other code.
const COMPILER: &str = "rustc 1.95.";

const DATABASE: &str = "GATHERUM_TEST_INSTRUCTIONS_DATABASE";
const REQUIRED: &str = "GATHERUM_TEST_REQUIRE_VALGRIND";

const COUNTED: &str = concat!(module_path!(), "::counted_by_callgrind");

/// Executes a request. Callgrind counts only what this function calls.
#[inline(never)]
fn counted_by_callgrind(runtime: &Runtime, response: Pin<Box<dyn Future<Output = Response> + '_>>) -> Response {
    runtime.block_on(response)
}

/// Executes each query once before the executions that are counted. The test below runs it.
#[test]
#[ignore = "the test `the_hot_path_takes_the_recorded_number_of_instructions` runs it under callgrind"]
fn workload() {
    let url = std::env::var(DATABASE).expect("the database of the other test");
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let config = gatherum::db::Config { url, ..Default::default() };
    let db = runtime.block_on(Db::open(&config)).expect("the database");
    let engine = engine(&db);
    let collection = runtime.block_on(ask(&engine, "{ collections(first: 1) { nodes { id } } }"));
    let variables = serde_json::json!({ "id": collection["data"]["collections"]["nodes"][0]["id"] });
    for (name, query, _) in EXPECTED {
        let first = runtime.block_on(execute(&engine, query, &variables));
        let data: Value = serde_json::from_slice(&first.body).expect("JSON");
        assert!(data["data"].is_object(), "{name}: {data}");
        for _ in 0..EXECUTIONS {
            let counted = counted_by_callgrind(&runtime, Box::pin(execute(&engine, query, &variables)));
            assert_eq!(first.body, counted.body);
        }
    }
}

fn execute(engine: &Engine, query: &str, variables: &Value) -> impl Future<Output = Response> {
    let variables = async_graphql::Variables::from_json(variables.clone());
    engine.execute(Request { query: query.to_owned(), variables, ..Request::default() })
}

#[tokio::test]
async fn the_hot_path_takes_the_recorded_number_of_instructions() {
    if !Command::new("valgrind").arg("--version").stdout(Stdio::null()).status().is_ok_and(|done| done.success()) {
        assert!(std::env::var(REQUIRED).is_err(), "no valgrind");
        eprintln!("SKIPPED: instructions are not counted without valgrind");
        return;
    }
    let compiler = Command::new("rustc").arg("--version").output().expect("the compiler").stdout;
    let compiler = String::from_utf8_lossy(&compiler);
    if !compiler.starts_with(COMPILER) {
        assert!(std::env::var(REQUIRED).is_err(), "{compiler} is not {COMPILER}: record its counts");
        eprintln!("SKIPPED: the recorded counts are of {COMPILER}, not of {compiler}");
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

    let dumps: Vec<usize> = (1..=EXPECTED.len() * EXECUTIONS).collect();
    let least = |dumps: &[usize]| dumps.iter().map(|dump| counted(directory.path(), *dump)).min().unwrap_or(0);
    let found: Vec<u64> = dumps.chunks(EXECUTIONS).map(|dumps| least(dumps) / 1_000).collect();

    let is_near = |expected: u64, found: u64| found.abs_diff(expected) as f64 <= expected as f64 * TOLERANCE;
    let lines: Vec<String> = EXPECTED
        .iter()
        .zip(&found)
        .map(|((name, _, expected), found)| format!("{name}: {found} thousand, expected {expected}"))
        .collect();
    eprintln!("{lines:#?}");
    let all_near = EXPECTED.iter().zip(&found).all(|((_, _, expected), found)| is_near(*expected, *found));
    assert!(all_near, "{lines:#?}");
}

/// The number of instructions of a dump.
fn counted(directory: &Path, dump: usize) -> u64 {
    let text = fs::read_to_string(directory.join(format!("counts.{dump}"))).expect("a dump for each execution");
    let total = text.lines().find_map(|line| line.strip_prefix("summary: ").or(line.strip_prefix("totals: ")));
    total.and_then(|total| total.trim().parse().ok()).expect("the total of a dump")
}
