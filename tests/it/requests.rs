//! Requests as data: cases of `tests/requests/` and of public reports, sent to a server on each database.
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use reqwest::{Method, header::HeaderMap};
use serde::Deserialize;
use serde_json::Value;

use crate::{app::TestApp, backend::Backend, random::Random};

/// Names the folder of the public cases, which are not part of the repository.
pub const SHARED_VARIABLE: &str = "GATHERUM_SHARED";

/// Public cases that do not have the expected response yet. A case that has it must be removed from the list.
const PENDING: [&str; 0] = [];

/// A sequence of requests.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// States what is expected.
    name: String,
    steps: Vec<Step>,
}

/// One request.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    #[serde(default = "post")]
    method: String,
    #[serde(default = "graphql")]
    path: String,
    /// Without them: JSON, and a response as `application/graphql-response+json`.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: Option<Value>,
    /// A body as text, if JSON would change it.
    raw_body: Option<String>,
    /// Values of the response that later steps use as `{{NAME}}`, such as `data.artifact.id`.
    #[serde(default)]
    capture: BTreeMap<String, String>,
    #[serde(default)]
    expect: Expectation,
}

/// Requirements on a response. Values of the body are named by JSON pointers.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Expectation {
    status: Option<u16>,
    /// The beginnings of headers, by name.
    headers: BTreeMap<String, String>,
    values: BTreeMap<String, Value>,
    absent: Vec<String>,
    contains: BTreeMap<String, String>,
    at_most: BTreeMap<String, u64>,
    /// Parts of the body as text, for numbers whose digits JSON libraries change.
    text: Vec<String>,
    /// Further values that later steps use.
    capture: BTreeMap<String, String>,
}

/// A case of public reports. Its expectation is prose.
#[derive(Deserialize)]
struct PublicCase {
    id: String,
    title: String,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct PublicCases {
    cases: Vec<PublicCase>,
}

fn post() -> String {
    "POST".to_owned()
}

fn graphql() -> String {
    "/graphql".to_owned()
}

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The public cases, if they are on this machine.
fn public_cases() -> Option<Vec<PublicCase>> {
    let shared = std::env::var_os(SHARED_VARIABLE).map_or_else(|| repository("../shared"), PathBuf::from);
    let path = shared.join("cases/graphql.json");
    let Ok(text) = fs::read_to_string(&path) else {
        eprintln!("SKIPPED: no public cases at {}; set {SHARED_VARIABLE}", path.display());
        return None;
    };
    Some(serde_json::from_str::<PublicCases>(&text).expect("cases").cases)
}

/// The expectations of public cases: by id, then by the number of the step from zero.
fn expectations() -> BTreeMap<String, BTreeMap<usize, Expectation>> {
    let text = fs::read_to_string(repository("tests/public_cases.json")).expect("expectations");
    serde_json::from_str(&text).expect("expectations")
}

/// Runs the steps of one case.
struct Run<'a> {
    app: &'a TestApp,
    values: BTreeMap<String, String>,
}

impl<'a> Run<'a> {
    fn new(app: &'a TestApp, seed: u64) -> Self {
        let values = BTreeMap::from([("uniq".to_owned(), word(&mut Random(seed), 10))]);
        Self { app, values }
    }

    /// Returns the text with the captured values.
    fn filled(&self, text: &str) -> String {
        self.values.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{{{name}}}}}"), value))
    }

    /// Sends a request and returns what is wrong with its response.
    async fn step(&mut self, step: &Step, expected: &Expectation) -> Vec<String> {
        let body = step.raw_body.clone().or_else(|| step.body.as_ref().map(Value::to_string));
        let body = long_texts(&self.filled(&body.unwrap_or_default()));
        let method = Method::from_bytes(step.method.as_bytes()).expect("a method");
        let mut request = self.app.client.request(method, self.app.url(&self.filled(&step.path)));
        let is_given = |name: &str| step.headers.keys().any(|given| given.eq_ignore_ascii_case(name));
        if !is_given("content-type") && !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        if !is_given("accept") {
            request = request.header("accept", "application/graphql-response+json");
        }
        for (name, value) in &step.headers {
            request = request.header(name, self.filled(value));
        }
        let response = request.body(body).send().await.expect("a response");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.expect("text");
        let value = serde_json::from_str(&text).unwrap_or_default();
        for (name, path) in &step.capture {
            self.capture(name, &format!("/{}", path.replace('.', "/")), &value);
        }
        for (name, pointer) in &expected.capture {
            self.capture(name, pointer, &value);
        }
        let problems = self.problems(expected, status, &headers, &text, &value);
        problems.into_iter().map(|problem| format!("{problem} in {status} {text:.1000}")).collect()
    }

    fn capture(&mut self, name: &str, pointer: &str, value: &Value) {
        if let Some(text) = value.pointer(pointer).and_then(Value::as_str) {
            self.values.insert(name.to_owned(), text.to_owned());
        }
    }

    fn problems(
        &self,
        expected: &Expectation,
        status: u16,
        headers: &HeaderMap,
        text: &str,
        value: &Value,
    ) -> Vec<String> {
        let mut problems = Vec::new();
        let mut check = |is_right: bool, what: String| {
            if !is_right {
                problems.push(what);
            }
        };
        check(
            expected.status.is_none_or(|expected| expected == status),
            format!("status is not {:?}", expected.status),
        );
        check(!text.contains("\"INTERNAL\""), "an internal error".to_owned());
        for (name, start) in &expected.headers {
            let given = headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
            check(given.starts_with(start.as_str()), format!("{name} is {given:?}, not {start:?}"));
        }
        for (pointer, wanted) in &expected.values {
            let wanted: Value = serde_json::from_str(&self.filled(&wanted.to_string())).expect("JSON");
            check(value.pointer(pointer) == Some(&wanted), format!("{pointer} is not {wanted}"));
        }
        for pointer in &expected.absent {
            check(value.pointer(pointer).is_none(), format!("{pointer} is present"));
        }
        for (pointer, part) in &expected.contains {
            let given = value.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
            check(given.contains(part.as_str()), format!("{pointer} does not contain {part:?}"));
        }
        for (pointer, max) in &expected.at_most {
            let given = value.pointer(pointer).and_then(Value::as_u64);
            check(given.is_some_and(|given| given <= *max), format!("{pointer} is above {max}"));
        }
        for part in &expected.text {
            check(text.contains(&self.filled(part)), format!("the body does not contain {part}"));
        }
        problems
    }
}

fn word(random: &mut Random, length: usize) -> String {
    (0..length).map(|_| char::from(b'a' + u8::try_from(random.below(26)).expect("small"))).collect()
}

/// Replaces `LONG:n` by n random words of six letters.
fn long_texts(text: &str) -> String {
    let Some((before, rest)) = text.split_once("LONG:") else { return text.to_owned() };
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let count: usize = rest[..digits].parse().expect("a number");
    let random = &mut Random(7);
    let words: Vec<String> = (0..count).map(|_| word(random, 6)).collect();
    format!("{before}{}{}", words.join(" "), long_texts(&rest[digits..]))
}

#[tokio::test]
async fn requests_have_the_expected_responses_on_both_databases() {
    let mut files: Vec<PathBuf> = fs::read_dir(repository("tests/requests"))
        .expect("the cases")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    let mut problems = Vec::new();
    for backend in Backend::all().await {
        let app = TestApp::start(backend, |_| {}).await;
        for (file, path) in (1..).zip(&files) {
            let text = fs::read_to_string(path).expect("a file");
            let cases: Vec<Case> =
                serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            for (index, case) in (1..).zip(&cases) {
                let mut run = Run::new(&app, file * 1_000 + index);
                for (number, step) in case.steps.iter().enumerate() {
                    let found = run.step(step, &step.expect).await;
                    problems.extend(
                        found
                            .into_iter()
                            .map(|problem| format!("{backend:?}: {}, step {number}: {problem}", case.name)),
                    );
                }
            }
        }
        app.stop().await;
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[tokio::test]
async fn public_cases_have_the_expected_responses_on_both_databases() {
    let Some(cases) = public_cases() else { return };
    let expectations = expectations();
    let (mut problems, mut wrong) = (Vec::new(), BTreeSet::new());
    for backend in Backend::all().await {
        let app = TestApp::start(backend, |_| {}).await;
        for (index, case) in (1..).zip(&cases) {
            let expected = expectations.get(&case.id);
            if expected.is_none() && !case.steps.is_empty() {
                eprintln!("{} ({}) has no expectation: only internal errors are found", case.id, case.title);
            }
            let mut run = Run::new(&app, index);
            for (number, step) in case.steps.iter().enumerate() {
                let none = Expectation::default();
                let expected = expected.and_then(|steps| steps.get(&number)).unwrap_or(&none);
                for problem in run.step(step, expected).await {
                    wrong.insert(case.id.clone());
                    if !PENDING.contains(&case.id.as_str()) {
                        problems.push(format!("{backend:?}: {} ({}), step {number}: {problem}", case.id, case.title));
                    }
                }
            }
        }
        app.stop().await;
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    let passing: Vec<_> = PENDING.into_iter().filter(|id| !wrong.contains(*id)).collect();
    assert!(passing.is_empty(), "no longer pending: {passing:?}");
}
