//! Subscriptions: told of what was kept, in its order, by this node and by others.
use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;
use gatherum::{
    app::Engine,
    db::Db,
    graphql::{Execute, Request, Responses},
};
use serde_json::{Value, json};

use crate::{
    app::{ask_with, engine},
    backend::{Backend, TestDb},
};

/// Two nodes on one database.
async fn nodes(backend: Backend) -> (TestDb, Arc<Engine>, Arc<Engine>) {
    let test = backend.database().await;
    let other = Db::open(&test.config).await.expect("the database, once more");
    let (here, there) = (Arc::new(engine(&test.db)), Arc::new(engine(&other)));
    (test, here, there)
}

fn request(query: &str) -> Request {
    Request { query: query.to_owned(), wants_report: true, ..Request::default() }
}

async fn follow(engine: &Arc<Engine>, query: &str) -> Responses {
    match engine.clone().subscribe(request(query)).await {
        Ok(responses) => responses,
        Err(response) => panic!("{}", String::from_utf8_lossy(&response.body)),
    }
}

/// The next response, which comes within a time that is far beyond what it takes.
async fn next(responses: &mut Responses) -> Value {
    let response = tokio::time::timeout(Duration::from_secs(20), responses.next()).await.expect("a response in time");
    serde_json::from_slice(&response.expect("a response").body).expect("JSON")
}

async fn write(engine: &Engine, field: &str) -> Value {
    let answer = ask_with(engine, &format!("mutation {{ {field} }}"), json!({})).await;
    assert_eq!(answer["errors"], Value::Null, "{field} {answer}");
    answer["data"].clone()
}

#[tokio::test]
async fn changes_are_told_on_every_node_in_their_order() {
    for backend in Backend::all().await {
        let (_test, here, there) = nodes(backend).await;
        let made = write(&here, r#"createCollection(input: { name: "Shelf" }) { collection { id } }"#).await;
        let shelf = made["createCollection"]["collection"]["id"].as_str().expect("an id").to_owned();
        let query = format!(
            r#"subscription {{ collectionChanged(id: "{shelf}") {{ kind collectionId collection {{ name artifactCount }} artifactIds }} }}"#
        );
        let mut followers = vec![follow(&here, &query).await, follow(&there, &query).await];
        let mut all = follow(
            &there,
            "subscription { catalogChanged { kind nodeId node { __typename ... on Artifact { name } } } }",
        )
        .await;

        let made = write(&here, r#"createArtifact(input: { type: "skill", name: "Lint" }) { artifact { id } }"#).await;
        let lint = made["createArtifact"]["artifact"]["id"].clone();
        write(&here, &format!(r#"addArtifactsToCollection(input: {{ collectionId: "{shelf}", artifactIds: [{lint}] }}) {{ changedIds }}"#)).await;
        write(
            &there,
            &format!(r#"updateCollection(input: {{ id: "{shelf}", name: "Board" }}) {{ collection {{ name }} }}"#),
        )
        .await;
        // What is refused, or changes nothing, is not told of.
        write(&here, &format!(r#"addArtifactsToCollection(input: {{ collectionId: "{shelf}", artifactIds: [{lint}] }}) {{ changedIds }}"#)).await;

        for responses in &mut followers {
            let added = next(responses).await;
            let event = &added["data"]["collectionChanged"];
            assert_eq!(
                (&event["kind"], &event["artifactIds"]),
                (&json!("ARTIFACTS_ADDED"), &json!([lint])),
                "{backend:?}"
            );
            assert_eq!(added["extensions"]["gatherum"]["statements"], json!(2));
            let updated = next(responses).await;
            assert_eq!(updated["data"]["collectionChanged"]["kind"], json!("UPDATED"));
        }
        write(&here, &format!(r#"deleteCollection(input: {{ id: "{shelf}" }}) {{ deletedId }}"#)).await;
        for responses in &mut followers {
            let deleted = next(responses).await;
            let expected = json!({ "kind": "DELETED", "collectionId": shelf, "collection": null, "artifactIds": [] });
            assert_eq!(deleted["data"]["collectionChanged"], expected);
        }
        let made = next(&mut all).await;
        let expected =
            json!({ "kind": "CREATED", "nodeId": lint, "node": { "__typename": "Artifact", "name": "Lint" } });
        assert_eq!(made["data"]["catalogChanged"], expected, "{made}");
        for kind in ["ARTIFACTS_ADDED", "UPDATED", "DELETED"] {
            assert_eq!(next(&mut all).await["data"]["catalogChanged"]["kind"], json!(kind));
        }
    }
}

#[tokio::test]
async fn a_change_of_many_artifacts_is_one_event() {
    for backend in Backend::all().await {
        let (_test, here, there) = nodes(backend).await;
        let request = json!({ "artifacts": (0..1_000).map(|n| json!({ "type": "skill", "name": format!("{n}") })).collect::<Vec<_>>() });
        let document = "mutation($input: CreateArtifactsInput!) { createArtifacts(input: $input) { results { artifact { id } } } }";
        let made = ask_with(&here, document, json!({ "input": request })).await;
        let ids: Vec<Value> = made["data"]["createArtifacts"]["results"]
            .as_array()
            .expect("results")
            .iter()
            .map(|result| result["artifact"]["id"].clone())
            .collect();
        let made = write(&here, r#"createCollection(input: { name: "Shelf" }) { collection { id } }"#).await;
        let shelf = made["createCollection"]["collection"]["id"].clone();
        let mut responses =
            follow(&there, &format!("subscription {{ collectionChanged(id: {shelf}) {{ artifactIds }} }}")).await;

        let document = "mutation($input: AddArtifactsToCollectionInput!) { addArtifactsToCollection(input: $input) { changedIds } }";
        let input = json!({ "collectionId": shelf, "artifactIds": ids });
        ask_with(&here, document, json!({ "input": input })).await;

        let told = next(&mut responses).await;
        let told = told["data"]["collectionChanged"]["artifactIds"].as_array().expect("ids").len();
        assert_eq!(told, 1_000, "{backend:?}");
    }
}

#[tokio::test]
async fn one_who_is_too_slow_is_told_to_read_again() {
    for backend in Backend::all().await {
        let (_test, here, _there) = nodes(backend).await;
        let mut slow = follow(&here, "subscription { catalogChanged { kind } }").await;
        let mut quick = follow(&here, "subscription { catalogChanged { kind } }").await;
        // More changes than wait for a follower, in a few transactions.
        for batch in 0..2 {
            let item = |n| json!({ "type": "skill", "name": format!("{batch} {n}") });
            let input = json!({ "artifacts": (0..1_000).map(item).collect::<Vec<_>>() });
            let document = "mutation($input: CreateArtifactsInput!) { createArtifacts(input: $input) { succeeded } }";
            ask_with(&here, document, json!({ "input": input })).await;
            for _ in 0..1_000 {
                assert_eq!(next(&mut quick).await["data"]["catalogChanged"]["kind"], json!("CREATED"));
            }
        }

        let told = next(&mut slow).await;

        assert_eq!(told["errors"][0]["extensions"]["code"], json!("EVENTS_LOST"), "{backend:?} {told}");
        assert!(slow.next().await.is_none());
    }
}

#[tokio::test]
async fn a_listener_that_was_cut_off_says_so_and_listens_again() {
    if !Backend::all().await.contains(&Backend::Postgres) {
        return;
    }
    let (test, here, _there) = nodes(Backend::Postgres).await;
    let mut before = follow(&here, "subscription { catalogChanged { kind } }").await;
    let mut sql = test.db.sql();
    sql.push("select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and query like 'LISTEN%'");
    let cut = test.db.fetch::<bool>("terminate", sql).await.expect("a superuser");
    assert!(!cut.is_empty());

    assert_eq!(next(&mut before).await["errors"][0]["extensions"]["code"], json!("EVENTS_LOST"));
    let mut after = follow(&here, "subscription { catalogChanged { kind } }").await;
    // It listens again by itself; until then changes may be missed, which is told.
    loop {
        write(
            &here,
            &format!(r#"createCollection(input: {{ name: "{}" }}) {{ collection {{ id }} }}"#, uuid::Uuid::now_v7()),
        )
        .await;
        match tokio::time::timeout(Duration::from_millis(200), after.next()).await {
            Ok(Some(response)) if response.codes.is_empty() => break,
            Ok(_) => after = follow(&here, "subscription { catalogChanged { kind } }").await,
            Err(_) => {}
        }
    }
}

#[tokio::test]
async fn what_cannot_be_followed_is_refused() {
    for backend in Backend::all().await {
        let (_test, here, _there) = nodes(backend).await;
        for (query, code) in [
            ("subscription { collectionChanged(id: \"x\") { kind } }", "BAD_USER_INPUT"),
            (
                "subscription { collectionChanged(id: \"artifact_00000000000000000000000000\") { kind } }",
                "BAD_USER_INPUT",
            ),
            ("subscription { a: catalogChanged { kind } b: catalogChanged { kind } }", "BAD_REQUEST"),
            ("subscription { catalogChanged { nothing } }", "GRAPHQL_VALIDATION_FAILED"),
            ("subscription {", "GRAPHQL_PARSE_FAILED"),
        ] {
            let refused = here.clone().subscribe(request(query)).await.err().expect("a refusal");
            assert!(!refused.executed);
            assert_eq!(refused.codes.first().map(|code| code.as_str()), Some(code), "{query}");
        }
        let answered = here.clone().subscribe(request("{ __typename }")).await.err().expect("an answer");
        assert!(answered.executed);
        let refused = here.execute(request("subscription { catalogChanged { kind } }")).await;
        assert!(!refused.executed);
    }
}
