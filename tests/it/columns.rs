//! The value of a field does not depend on the other fields of the query: statements read all columns that are selected.
use std::collections::BTreeMap;

use gatherum::{
    catalog::{Mutation, Query, Subscription},
    graphql::{self, id::GlobalId},
};
use serde_json::{Map, Value};

use crate::{
    app::{ask, engine, statements},
    backend::Backend,
    fixture::{self, Kind},
};

/// The leaf fields of each type that require no arguments.
async fn leaves() -> BTreeMap<String, Vec<String>> {
    let text = graphql::introspection_json::<Query, Mutation, Subscription>().expect("an answer");
    let json: Value = serde_json::from_str(&text).expect("JSON");
    let types = json["data"]["__schema"]["types"].as_array().expect("types").iter();
    let name = |named: &Value| named["name"].as_str().expect("a name").to_owned();
    let is_leaf = |field: &Value| {
        let mut ty = &field["type"];
        while !ty["ofType"].is_null() {
            ty = &ty["ofType"];
        }
        let needs_none =
            field["args"].as_array().expect("arguments").iter().all(|arg| arg["type"]["kind"] != "NON_NULL");
        needs_none && (ty["kind"] == "SCALAR" || ty["kind"] == "ENUM")
    };
    let objects = types.filter_map(|ty| Some((ty, ty["fields"].as_array()?)));
    objects.map(|(ty, fields)| (name(ty), fields.iter().filter(|field| is_leaf(field)).map(name).collect())).collect()
}

/// Queries for objects, by type. `#` stands for the fields of the object.
fn ways() -> Vec<(&'static str, String)> {
    let id = |prefix, kind| GlobalId { prefix, id: fixture::id(kind, 0) }.to_string();
    let (artifact, collection) = (id("artifact", Kind::Artifact), id("collection", Kind::Collection));
    let (group, token) = (id("group", Kind::Group), fixture::LINK);
    // The third share link of the fixture is to a collection.
    let to_collection = "link 2";
    let of_artifact = |inner: &str| format!(r#"{{ artifact(id: "{artifact}") {{ {inner} }} }}"#);
    let of_collection = |inner: &str| format!(r#"{{ collection(id: "{collection}") {{ {inner} }} }}"#);
    vec![
        ("Artifact", of_artifact("#")),
        ("Artifact", "{ artifacts(first: 5) { nodes { # } } }".to_owned()),
        (
            "Artifact",
            "{ artifacts(first: 5, orderBy: { field: TYPE, direction: ASC }) { edges { cursor node { # } } } }"
                .to_owned(),
        ),
        ("Artifact", of_collection("artifacts { nodes { # } }")),
        ("Artifact", "{ collections(first: 5) { nodes { artifacts(last: 3) { edges { node { # } } } } } }".to_owned()),
        (
            "Artifact",
            format!(
                r#"{{ nodes(ids: ["{group}", "{artifact}"]) {{ ... on Artifact {{ # }} ... on Group {{ name }} }} }}"#
            ),
        ),
        (
            "Artifact",
            format!(
                r#"{{ shared(token: "{token}") {{ target {{ ... on Artifact {{ # }} ... on Collection {{ kind }} }} }} }}"#
            ),
        ),
        ("Artifact", "{ artifacts(first: 3) { nodes { versions { nodes { artifact { # } } } } } }".to_owned()),
        ("CollectionArtifactEdge", of_collection("artifacts { edges { # } }")),
        ("CollectionArtifactEdge", of_collection("artifacts(last: 2) { edges { # node { name } } }")),
        ("GroupArtifactEdge", of_collection("groups { nodes { artifacts { edges { # } } } }")),
        ("Artifact", of_collection("groups { nodes { artifacts { edges { addedAt node { # } } } } }")),
        ("Collection", of_collection("#")),
        ("Collection", "{ collections(first: 5) { nodes { # } } }".to_owned()),
        ("Collection", of_artifact("collections { edges { node { # } } }")),
        ("Collection", of_artifact("groups { nodes { collection { # } } }")),
        (
            "Collection",
            format!(
                r#"{{ shared(token: "{to_collection}") {{ target {{ ... on Collection {{ # }} ... on Artifact {{ author license }} }} }} }}"#
            ),
        ),
        ("Group", of_collection("groups { nodes { # } }")),
        ("Group", format!(r#"{{ node(id: "{group}") {{ ... on Group {{ # }} }} }}"#)),
        ("Tag", "{ tags { nodes { # } } }".to_owned()),
        ("Tag", "{ artifacts(first: 5) { nodes { tags { # } } } }".to_owned()),
        ("ArtifactVersion", "{ artifacts(first: 5) { nodes { versions { nodes { # } } } } }".to_owned()),
    ]
}

/// The response without the other leaves.
fn only(value: &Value, leaf: &str, leaves: &[String]) -> Value {
    match value {
        Value::Array(items) => items.iter().map(|item| only(item, leaf, leaves)).collect(),
        Value::Object(fields) if fields.contains_key(leaf) => {
            let kept = fields.iter().filter(|(name, _)| *name == leaf || !leaves.contains(name));
            Value::Object(kept.map(|(name, value)| (name.clone(), value.clone())).collect())
        }
        Value::Object(fields) => Value::Object(
            fields.iter().map(|(name, value)| (name.clone(), only(value, leaf, leaves))).collect::<Map<_, _>>(),
        ),
        other => other.clone(),
    }
}

/// Whether any object of the response has the field.
fn has(value: &Value, leaf: &str) -> bool {
    match value {
        Value::Array(items) => items.iter().any(|item| has(item, leaf)),
        Value::Object(fields) => fields.contains_key(leaf) || fields.values().any(|value| has(value, leaf)),
        _ => false,
    }
}

#[tokio::test]
async fn a_field_has_the_same_value_alone_and_beside_all_others() {
    let leaves = leaves().await;
    for backend in Backend::all().await {
        let test = backend.database().await;
        fixture::fill(&test.db, 10).await;
        fixture::share(&test.db, 10).await;
        let engine = engine(&test.db);
        for (of, way) in ways() {
            let leaves = &leaves[of];
            let all = ask(&engine, &way.replace('#', &leaves.join(" "))).await;
            assert_eq!(all["errors"], Value::Null, "{backend:?} {way}");
            assert!(leaves.iter().all(|leaf| has(&all["data"], leaf)), "{backend:?} {way} leads to nothing: {all}");
            for leaf in leaves {
                let alone = ask(&engine, &way.replace('#', leaf)).await;

                assert_eq!(alone["data"], only(&all["data"], leaf, leaves), "{backend:?} {leaf} in {way}");
            }
        }
    }
}

#[tokio::test]
async fn fields_that_ask_for_other_columns_share_a_statement() {
    for backend in Backend::all().await {
        let test = backend.database().await;
        fixture::fill(&test.db, 10).await;
        fixture::share(&test.db, 10).await;
        let engine = engine(&test.db);

        let answer = ask(
            &engine,
            "{ a: artifacts { nodes { name collections { nodes { name } } } }
               b: artifacts { nodes { description author collections { nodes { description revision } } } } }",
        )
        .await;

        assert_eq!(answer["errors"], Value::Null, "{backend:?}");
        assert_eq!(statements(&answer), 2, "{backend:?}");
        let both = |field: &str| answer["data"][field]["nodes"].as_array().expect("nodes").len();
        assert_eq!((both("a"), both("b")), (10, 10), "{backend:?}");
        assert!(answer["data"]["b"]["nodes"][0]["collections"]["nodes"][0]["revision"].is_i64(), "{answer}");
    }
}
