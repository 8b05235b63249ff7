//! Every writable column keeps its own value, whichever way it is written: no two columns are swapped.
use std::collections::BTreeMap;

use gatherum::{
    app::Engine,
    catalog::{Mutation, Query, Subscription},
    db::Db,
    graphql,
    transfer::{ImportOptions, Source, export, import},
};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::{
    app::{ask, ask_with, engine},
    backend::Backend,
};

/// The names and types of the fields of an input object.
async fn input_fields(input: &str) -> BTreeMap<String, String> {
    let text = graphql::introspection_json::<Query, Mutation, Subscription>().expect("an answer");
    let json: Value = serde_json::from_str(&text).expect("JSON");
    let types = json["data"]["__schema"]["types"].as_array().expect("types");
    let input = types.iter().find(|ty| ty["name"] == input).expect("the input");
    let named = |ty: &Value| if ty["name"].is_null() { ty["ofType"]["name"].clone() } else { ty["name"].clone() };
    let field = |field: &Value| Some((field["name"].as_str()?.to_owned(), named(&field["type"]).as_str()?.to_owned()));
    input["inputFields"].as_array().expect("fields").iter().filter_map(field).collect()
}

/// A value for each field that stands for a column; another one in each `round`.
fn values(fields: &BTreeMap<String, String>, round: &str) -> Map<String, Value> {
    let value = |(name, ty): (&String, &String)| {
        let value = match (name.as_str(), ty.as_str()) {
            ("type", _) => json!("skill"),
            ("name", _) => json!("The name"),
            ("homepage", _) => json!(format!("https://example.org/{round}")),
            ("color", _) => json!(if round == "first" { "#000001" } else { "#000002" }),
            (_, "String") => json!(format!("{round} {name}")),
            (_, "JSON") => json!({ "round": round }),
            (_, "Visibility") => json!(if round == "first" { "UNLISTED" } else { "PUBLIC" }),
            _ => return None,
        };
        Some((name.clone(), value))
    };
    fields.iter().filter_map(value).collect()
}

async fn write(engine: &Engine, field: &str, input_type: &str, input: Value) {
    let document = format!("mutation ($input: {input_type}!) {{ {field}(input: $input) {{ __typename }} }}");
    let answer = ask_with(engine, &document, json!({ "input": input })).await;
    assert_eq!(answer["errors"], Value::Null, "{field} {input}");
}

/// The values of these fields of the only artifact or collection, and its id.
async fn read(engine: &Engine, list: &str, fields: &Map<String, Value>) -> (Map<String, Value>, Value) {
    let names = fields.keys().cloned().collect::<Vec<_>>().join(" ");
    let answer = ask(engine, &format!("{{ {list} {{ nodes {{ id {names} }} }} }}")).await;
    assert_eq!(answer["errors"], Value::Null);
    let nodes = answer["data"][list]["nodes"].as_array().expect("nodes");
    assert_eq!(nodes.len(), 1, "{list}");
    let mut node = nodes[0].as_object().expect("an object").clone();
    let id = node.remove("id").expect("an id");
    (node, id)
}

fn sorted(fields: Map<String, Value>) -> BTreeMap<String, Value> {
    fields.into_iter().collect()
}

#[tokio::test]
async fn every_column_of_an_artifact_keeps_its_own_value() {
    let create = input_fields("CreateArtifactInput").await;
    let update = input_fields("UpdateArtifactInput").await;
    for backend in Backend::all().await {
        let test = backend.database().await;
        let engine = engine(&test.db);
        let expect = async |expected: &Map<String, Value>, step: &str| {
            let (found, id) = read(&engine, "artifacts", expected).await;
            assert_eq!(sorted(found), sorted(expected.clone()), "{backend:?} {step}");
            id
        };

        let first = values(&create, "first");
        write(&engine, "createArtifact", "CreateArtifactInput", Value::Object(first.clone())).await;
        let id = expect(&first, "create").await;

        let second = values(&update, "second");
        let mut input = second.clone();
        input.insert("id".to_owned(), id);
        write(&engine, "updateArtifact", "UpdateArtifactInput", Value::Object(input)).await;
        expect(&second, "update").await;

        let third = values(&create, "third");
        write(&engine, "upsertArtifacts", "CreateArtifactsInput", json!({ "artifacts": [third] })).await;
        expect(&third, "upsert").await;

        let text = exported(&test.db).await;
        let copy = backend.database().await;
        imported(&copy.db, &text).await;
        assert_eq!(exported(&copy.db).await, text, "{backend:?}");
        let (found, _) = read(&crate::app::engine(&copy.db), "artifacts", &third).await;
        assert_eq!(sorted(found), sorted(third), "{backend:?} import");
    }
}

#[tokio::test]
async fn every_column_of_a_collection_keeps_its_own_value() {
    let create = input_fields("CreateCollectionInput").await;
    let update = input_fields("UpdateCollectionInput").await;
    for backend in Backend::all().await {
        let test = backend.database().await;
        let engine = engine(&test.db);

        let first = values(&create, "first");
        write(&engine, "createCollection", "CreateCollectionInput", Value::Object(first.clone())).await;
        let (found, id) = read(&engine, "collections", &first).await;
        assert_eq!(sorted(found), sorted(first), "{backend:?} create");

        let second = values(&update, "second");
        let mut input = second.clone();
        input.insert("id".to_owned(), id);
        write(&engine, "updateCollection", "UpdateCollectionInput", Value::Object(input)).await;
        let (found, _) = read(&engine, "collections", &second).await;
        assert_eq!(sorted(found), sorted(second), "{backend:?} update");
    }
}

async fn exported(db: &Db) -> String {
    let mut out = Vec::new();
    export(db, None, &mut out).await.expect("an export");
    String::from_utf8(out).expect("text")
}

async fn imported(db: &Db, text: &str) {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("catalogue.ndjson");
    std::fs::write(&path, text).expect("a file");
    let report = import(db, Source::Ndjson(Some(path)), ImportOptions::default(), |_| {}).await.expect("an import");
    assert_eq!(report.rejected(), 0, "{report:?}");
}

#[tokio::test]
async fn a_homepage_is_a_web_address() {
    for backend in Backend::all().await {
        let test = backend.database().await;
        let engine = engine(&test.db);
        for homepage in ["example.org", "ftp://example.org", "https://", "https://example.org/a b"] {
            let input = json!({ "input": { "type": "skill", "name": "Lint", "homepage": homepage } });
            let document = "mutation ($input: CreateArtifactInput!) { createArtifact(input: $input) { __typename } }";
            let answer = ask_with(&engine, document, input).await;

            let extensions = &answer["errors"][0]["extensions"];
            assert_eq!(extensions["code"], "BAD_USER_INPUT", "{backend:?} {homepage}");
            assert_eq!(extensions["field"], "homepage", "{backend:?} {homepage}");
        }
    }
}
