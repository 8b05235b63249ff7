//! The predicted rounds and statements of operations are those of their executions.
use std::{collections::BTreeSet, fs, path::Path};

use async_graphql::Variables;
use gatherum::{
    access::{TokenScope, Viewer},
    app::{self, Explainer},
    config::Config,
    graphql::Plan,
};
use serde_json::{Value, json};

use crate::{
    app::{ask_reported, engine_with},
    backend::Backend,
    fixture::{self, Kind},
    process::{Sandbox, run},
    statements::{FIGURES, first_collection},
    walk,
};

/// The depth of the documents of the walk.
const DEPTH: u64 = 30;

fn explainer() -> Explainer {
    let mut config = Config::default();
    config.limits.depth = DEPTH;
    app::explainer(&config).expect("a schema")
}

fn explain(explainer: &Explainer, document: &str, variables: &Value) -> Plan {
    let variables = Variables::from_json(variables.clone());
    explainer.explain(document, None, &variables).unwrap_or_else(|errors| panic!("{errors:?} of {document}"))
}

/// A statement: its name and its keys.
type Statement = (String, u64);

/// The statements of an executed operation, in the order of their rounds.
fn executed(answer: &Value) -> Vec<Statement> {
    let batches = answer["extensions"]["gatherum"]["batches"].as_array().expect("a report");
    let name = |batch: &Value| batch["relation"].as_str().expect("a name").to_owned();
    batches.iter().map(|batch| (name(batch), batch["keys"].as_u64().expect("keys"))).collect()
}

/// The statements of a plan, in the order of their rounds.
fn predicted(plan: &Plan) -> Vec<Statement> {
    let loads = plan.rounds.iter().flatten();
    loads.map(|load| (load.name.to_owned(), load.keys.unwrap_or(u64::MAX))).collect()
}

/// Returns how a prediction differs from the execution.
fn difference(plan: &Plan, answer: &Value) -> Option<String> {
    let (predicted, executed) = (predicted(plan), executed(answer));
    let names = |statements: &[Statement]| statements.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    let rounds = answer["extensions"]["gatherum"]["rounds"].as_u64().expect("rounds");
    let is_equal = names(&predicted) == names(&executed)
        && plan.rounds.len() as u64 == rounds
        && predicted.iter().zip(&executed).all(|(predicted, executed)| predicted.1 >= executed.1);
    let rounds_predicted = plan.rounds.len();
    (!is_equal)
        .then(|| format!("predicted {predicted:?} in {rounds_predicted} rounds, took {executed:?} in {rounds} rounds"))
}

/// Whether a path of fields leads to no object at one of its levels.
fn has_empty_level(data: &Value, path: &[String]) -> bool {
    let mut level = vec![data];
    for field in path {
        let values = level.into_iter().map(|object| &object[field]);
        let objects = values.flat_map(|value| value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice));
        // An object without fields is of a type that the document does not select.
        level = objects.filter(|object| object.as_object().is_some_and(|fields| !fields.is_empty())).collect();
        if level.is_empty() {
            return true;
        }
    }
    false
}

/// Whether each executed statement is a predicted one.
fn is_part(executed: &[Statement], predicted: &[Statement]) -> bool {
    let mut left: Vec<&Statement> = predicted.iter().collect();
    executed.iter().all(|(name, keys)| {
        let found = left.iter().position(|(predicted, at_most)| predicted == name && at_most >= keys);
        found.map(|index| left.remove(index)).is_some()
    })
}

/// Values of the variables that the documents of this repository have.
fn variables(document: &str) -> Value {
    if document.contains("$id") { first_collection() } else { json!({}) }
}

/// The documents of the benchmark, of the README and of the promise.
fn documents() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/queries");
    let files = fs::read_dir(folder).expect("the queries of the benchmark");
    let files = files.map(|file| fs::read_to_string(file.expect("a file").path()).expect("a document"));
    let readme = include_str!("../../README.md").split("{\"query\":\"").skip(1);
    let readme = readme.map(|text| text.split("\"}").next().unwrap_or_default().to_owned());
    let promised = FIGURES.iter().map(|(document, _)| (*document).to_owned());
    files.chain(readme).chain(promised).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_prediction_is_the_execution_for_every_path_of_the_schema() {
    let explainer = explainer();
    let (walked, _) = walk::queries().await;
    let documents: Vec<_> = documents().into_iter().map(|text| (text, Vec::new())).chain(walked).collect();
    assert!(documents.len() > 200, "only {} documents", documents.len());
    let viewer = Viewer::of(fixture::id(Kind::User, 0), TokenScope::Write);
    for backend in Backend::all().await {
        let test = backend.database().await;
        fixture::fill(&test.db, 20).await;
        fixture::share(&test.db, 20).await;
        let engine = engine_with(&test.db, |config| config.limits.depth = DEPTH);
        let (mut differences, mut empty) = (Vec::new(), 0);
        for (document, path) in &documents {
            let variables = variables(document);
            let plan = explain(&explainer, document, &variables);
            let answer = ask_reported(&engine, viewer, document, &variables).await;

            assert_eq!(answer["errors"], Value::Null, "{document}");
            match difference(&plan, &answer) {
                // Links of an artifact lead to no collection, for example: nothing is loaded below.
                Some(_) if has_empty_level(&answer["data"], path) => {
                    assert!(is_part(&executed(&answer), &predicted(&plan)), "{document}: {plan:?}");
                    empty += 1;
                }
                difference => differences.extend(difference.map(|difference| format!("{document}\n  {difference}"))),
            }
        }
        assert!(empty * 6 < documents.len(), "{empty} of {} documents have an empty level", documents.len());
        let shown = &differences[..differences.len().min(10)];
        assert!(
            differences.is_empty(),
            "{backend:?}: {} of {} differ:\n{}",
            differences.len(),
            documents.len(),
            shown.join("\n")
        );
    }
}

#[tokio::test]
async fn equal_loaders_of_one_round_are_one_statement() {
    let test = Backend::Sqlite.database().await;
    fixture::fill(&test.db, 20).await;
    let engine = engine_with(&test.db, |_| {});
    let explainer = explainer();
    let id = |kind, prefix| gatherum::graphql::id::GlobalId { prefix, id: fixture::id(kind, 0) };
    let (artifact, collection) = (id(Kind::Artifact, "artifact"), id(Kind::Collection, "collection"));
    let order = "orderBy: { field: NAME, direction: ASC }";
    let documents = [
        "{ a: artifacts { nodes { tags { slug } } } b: artifacts { nodes { name tags { slug } } } }".to_owned(),
        "{ a: artifacts(first: 50) { nodes { id } } b: artifacts { edges { cursor } totalCount } }".to_owned(),
        "{ a: artifacts(first: 1) { nodes { id } } b: artifacts(first: 2) { nodes { id } totalCount } }".to_owned(),
        format!("{{ a: artifacts {{ nodes {{ id }} }} b: artifacts({order}) {{ edges {{ node {{ tags {{ slug }} }} }} }} }}"),
        "{ artifacts { nodes { ...A } ...B } } fragment A on Artifact { tags { slug } ...N }
         fragment B on ArtifactConnection { nodes { tags { name } ...N } } fragment N on Node { id }"
            .to_owned(),
        "{ artifacts(first: 3) { facets { types { value } tags { value } more: tags(first: 50) { value } } } }".to_owned(),
        "{ collections { nodes { artifactCount a: artifactCount(type: \"skill\") b: artifactCount(type: \"skill\") } } }"
            .to_owned(),
        "{ artifacts(first: 2) { nodes @skip(if: true) { id } totalCount @include(if: true) } }".to_owned(),
        format!("{{ node(id: \"{artifact}\") {{ id ... on Artifact {{ tags {{ slug }} }} ... on Group {{ artifactCount }} }} }}"),
        format!("{{ nodes(ids: [\"{artifact}\", \"{collection}\"]) {{ id ... on Collection {{ groupCount }} }} }}"),
        format!("{{ collection(id: \"{collection}\") {{ artifacts({order}) {{ edges {{ position node {{ id }} }} }} }} }}"),
        format!("{{ collection(id: \"{collection}\") {{ artifacts(last: 2) {{ edges {{ position }} }} }} }}"),
        format!("{{ a: artifact(id: \"{artifact}\") {{ id }} b: artifact(id: \"{artifact}\") {{ tags {{ slug }} }} }}"),
        "{ artifacts(first: 0) { nodes { tags { slug } } } __schema { queryType { name } } __typename }".to_owned(),
    ];
    for document in documents {
        let plan = explain(&explainer, &document, &json!({}));
        let answer = ask_reported(&engine, Viewer::default(), &document, &json!({})).await;

        assert_eq!(answer["errors"], Value::Null, "{document}");
        assert_eq!(difference(&plan, &answer), None, "{document}");
    }
}

#[tokio::test]
async fn the_loads_of_a_payload_are_predicted() {
    let test = Backend::Sqlite.database().await;
    fixture::fill(&test.db, 5).await;
    fixture::share(&test.db, 5).await;
    let engine = engine_with(&test.db, |_| {});
    let document = r#"mutation {
        a: createArtifact(input: { type: "skill", name: "a" }) { artifact { id tagged: tags { slug } } }
        b: createArtifact(input: { type: "skill", name: "b" }) { artifact { id } }
    }"#;
    let viewer = Viewer::of(fixture::id(Kind::User, 0), TokenScope::Write);

    let plan = explain(&explainer(), document, &json!({}));
    let answer = ask_reported(&engine, viewer, document, &json!({})).await;

    assert_eq!(plan.writes, ["a", "b"]);
    let names: Vec<String> = predicted(&plan).into_iter().map(|(name, _)| name).collect();
    let loads: Vec<String> =
        executed(&answer).into_iter().filter(|(_, keys)| *keys > 0).map(|(name, _)| name).collect();
    assert_eq!(names, loads, "{answer}");
    assert_eq!(plan.rounds.len() as u64, answer["extensions"]["gatherum"]["rounds"]);
}

#[test]
fn the_command_explains_files_and_rejects_invalid_documents() {
    let sandbox = Sandbox::new();
    let documents = [
        ("good.graphql", "query A { viewer { scopes } } query B($n: Int!) { artifacts(first: $n) { nodes { id } } }"),
        ("unknown.graphql", "{ artifacts { nodes { nothing } } }"),
        ("large.graphql", "{ artifacts(first: 101) { nodes { id } } }"),
    ];
    for (name, text) in documents {
        fs::write(sandbox.path(name), text).expect("a file");
    }
    let explain = |arguments: &str| run(&mut sandbox.gatherum(&format!("explain {arguments}")));

    let table = explain("good.graphql --operation B --variables {\"n\":7}");
    let diagram = explain("good.graphql --operation A --format svg -o plan.svg");
    let rejected = ["unknown.graphql", "large.graphql", "good.graphql", "good.graphql --operation B"].map(explain);

    assert_eq!((table.status, diagram.status), (Some(0), Some(0)), "{table:?} {diagram:?}");
    assert!(table.out.starts_with("query: 1 statement in 1 round\n"), "{}", table.out);
    assert!(fs::read_to_string(sandbox.path("plan.svg")).expect("a file").starts_with("<svg "));
    let messages = ["1:23: ", "artifacts: `first` is 101", "error: ", "Variable \"$n\""];
    for (ran, message) in rejected.iter().zip(messages) {
        assert_eq!((ran.status, ran.out.as_str()), (Some(2), ""), "{ran:?}");
        assert!(ran.err.contains(message), "{ran:?}");
    }
    assert!(!sandbox.path("gatherum.db").exists(), "it needs no database");
}
