//! The cache of documents does not change responses.
use gatherum::{
    app::Engine,
    graphql::{Execute, Request},
};
use serde_json::{Value, json};

use crate::{
    app::{engine, engine_with},
    backend::Backend,
    fixture,
};

/// A document with the values of its variables and the operations to execute.
struct Case {
    text: &'static str,
    asked: Vec<(Option<&'static str>, Value)>,
}

fn cases() -> Vec<Case> {
    let plain = |values: Vec<Value>| values.into_iter().map(|value| (None, value)).collect();
    vec![
        Case {
            text: "query ($first: Int, $search: String, $totals: Boolean! = true) {
                artifacts(first: $first, filter: {search: $search}) { totalCount @include(if: $totals) nodes { name } } }",
            asked: plain(vec![
                json!({ "first": 2 }),
                json!({ "first": 2 }),
                json!({ "first": 3, "search": "a" }),
                json!({ "first": 3, "totals": false }),
                json!({ "first": 101 }),
                json!({ "first": 2_147_483_648_i64 }),
                json!({ "first": 1.5 }),
                json!({ "first": "2" }),
                json!({ "first": null, "totals": null }),
                json!({ "search": 7 }),
                json!({ "unknown": 1 }),
                json!({}),
            ]),
        },
        Case {
            text: "query ($type: String!) { collections(first: 3) { nodes { name artifactCount(type: $type) } } }",
            asked: plain(vec![json!({ "type": "skill" }), json!({}), json!({ "type": null }), json!({ "type": "x" })]),
        },
        Case {
            text: "query ($order: ArtifactOrder, $types: [String!]) {
                artifacts(first: 2, orderBy: $order, filter: {types: $types}) { nodes { name } } }",
            asked: plain(vec![
                json!({ "order": { "field": "NAME", "direction": "DESC" } }),
                json!({ "order": { "field": "NAME", "direction": "ASC" } }),
                json!({ "order": { "field": "NOTHING" } }),
                json!({ "types": ["skill"] }),
                json!({ "types": [1] }),
                json!({ "types": vec!["x"; 20_000] }),
            ]),
        },
        Case {
            text: "query ($first: Int!) { artifacts(first: $first) { nodes {
                collections(first: 100) { nodes { artifacts(first: $first) { nodes { id } } } } } } }",
            asked: plain(vec![json!({ "first": 1 }), json!({ "first": 100 }), json!({ "first": 2 })]),
        },
        Case {
            text: "query One { artifacts(first: 1) { nodes { name } } } query Two { tags(first: 1) { nodes { slug } } }",
            asked: ["One", "Two", "Three", "One"].map(|name| (Some(name), json!({}))).into(),
        },
        Case { text: "{ artifacts { nodes { nothing } } }", asked: plain(vec![json!({}), json!({})]) },
        Case { text: "{ artifacts { nodes ", asked: plain(vec![json!({}), json!({})]) },
    ]
}

async fn ask(engine: &Engine, text: &str, operation: Option<&str>, variables: &Value) -> Value {
    let request = Request {
        query: text.to_owned(),
        operation_name: operation.map(str::to_owned),
        variables: async_graphql::Variables::from_json(variables.clone()),
        ..Request::default()
    };
    serde_json::from_slice(&engine.execute(request).await.body).expect("JSON")
}

#[tokio::test]
async fn a_known_document_is_answered_like_an_unknown_one() {
    let test = Backend::Sqlite.database().await;
    fixture::fill(&test.db, 20).await;
    let forgetful = engine_with(&test.db, |config| config.limits.document_cache_bytes = 0);
    let remembering = engine(&test.db);

    let (mut answered, mut refused) = (0, 0);
    for Case { text, asked } in cases() {
        for (operation, variables) in asked {
            let unknown = ask(&forgetful, text, operation, &variables).await;
            let known = ask(&remembering, text, operation, &variables).await;

            assert_eq!(known, unknown, "{text} {operation:?} {variables}");
            *if known["data"].is_object() { &mut answered } else { &mut refused } += 1;
        }
    }
    assert!(answered >= 12 && refused >= 12, "{answered} answered, {refused} refused");
}

#[tokio::test]
async fn a_server_can_keep_its_schema_to_itself() {
    let test = Backend::Sqlite.database().await;
    fixture::fill(&test.db, 20).await;
    let closed = engine_with(&test.db, |config| config.limits.introspection = false);
    let open = engine(&test.db);
    for (query, is_answered) in [
        ("{ __typename artifacts(first: 1) { nodes { __typename name } } }", true),
        ("{ __schema { types { name } } }", false),
        ("{ a: __type(name: \"Artifact\") { name } }", false),
        (
            "{ artifacts(first: 1) { nodes { name } } ...F } fragment F on Query { ... { __schema { types { name } } } }",
            false,
        ),
    ] {
        // A document that is rejected is rejected the second time too.
        for _ in 0..2 {
            let answer = ask(&closed, query, None, &json!({})).await;
            assert_eq!(answer["data"].is_object(), is_answered, "{query} {answer}");
            if !is_answered {
                assert_eq!(answer["errors"][0]["extensions"]["code"], "GRAPHQL_VALIDATION_FAILED", "{answer}");
            }
        }
        assert!(ask(&open, query, None, &json!({})).await["data"].is_object(), "{query}");
    }
    assert!(closed.sdl().is_none() && open.sdl().is_some());
    let message = |answer: Value| answer["errors"][0]["message"].as_str().expect("a message").to_owned();
    let misspelt = "{ artifact(id: \"x\") { nam } }";
    assert!(message(ask(&open, misspelt, None, &json!({})).await).contains("name"));
    let told = message(ask(&closed, misspelt, None, &json!({})).await);
    assert!(!told.contains("name"), "{told}");
}
