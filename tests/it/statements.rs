//! The number of statements depends only on the query.
use crate::{
    app::{ask, ask_with, engine, engine_with, statements},
    backend::Backend,
    fixture::{self, Kind},
};
use gatherum::graphql::{CountStrategy, id::GlobalId};
use serde_json::{Value, json};

const Q1: &str = "{ artifacts(first: 50) { nodes { id name type collections { nodes { id name artifactCount } } } } }";
const Q2: &str = "query ($id: ID!) { collection(id: $id) { id name artifactCount artifacts(first: 100) { nodes { id name type } } } }";
const Q3: &str = "{ collections(first: 10) { nodes { id name description artifactCount groupCount } } }";
const Q3_PLAIN: &str = "{ collections(first: 10) { nodes { id name description artifactCount } } }";
const Q4: &str = "{ collections(first: 10) { nodes { id name artifactCount artifacts(first: 10) { nodes { id name
    collections { nodes { id name artifactCount } } } } } } }";
/// A whole page of a catalogue: all collections with counts, the current one, its groups with counts, 20 cards.
pub const PAGE: &str = "query ($id: ID!) {
    collections(first: 50) { totalCount nodes { id name artifactCount groupCount } }
    collection(id: $id) {
        id name description artifactCount
        groups { nodes { id name color icon artifactCount } }
        artifacts(first: 20) { pageInfo { hasNextPage endCursor } nodes {
            id name type description(maxLength: 160) author source version updatedAt
            tags { name slug color }
            groups { nodes { id name color } }
            collections { nodes { id name } }
        } }
    }
}";

/// Each query with its number of statements, which does not depend on the size of the catalogue.
pub const FIGURES: [(&str, u64); 6] = [(Q1, 3), (Q2, 3), (Q3, 3), (Q3_PLAIN, 2), (Q4, 5), (PAGE, 11)];

pub fn first_collection() -> Value {
    let id = GlobalId { prefix: "collection", id: fixture::id(Kind::Collection, 0) };
    json!({ "id": id.to_string() })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_figures_hold_at_every_size() {
    for backend in Backend::all().await {
        for size in [1, 50, 500] {
            let test = backend.database().await;
            fixture::fill(&test.db, size).await;
            let engine = engine(&test.db);

            for (query, expected) in FIGURES {
                let variables = if query.starts_with("query") { first_collection() } else { json!({}) };
                let answer = ask_with(&engine, query, variables).await;

                assert_eq!(answer["errors"], Value::Null, "{backend:?} {query}");
                let batches = &answer["extensions"]["gatherum"]["batches"];
                assert_eq!(statements(&answer), expected, "{backend:?} {size} {batches:#}");
            }
        }
    }
}

#[tokio::test]
async fn both_count_strategies_give_the_same_answers() {
    for backend in Backend::all().await {
        let test = backend.database().await;
        fixture::fill(&test.db, 50).await;
        let live = engine_with(&test.db, |config| config.loading.count_strategy = CountStrategy::Live);
        let query = "{ collections { nodes { all: artifactCount skills: artifactCount(type: \"skill\")
            none: artifactCount(type: \"nothing\") artifacts(filter: { types: [\"skill\", \"agent\"] }) { totalCount } } } }";

        let (kept, counted) = (ask(&engine(&test.db), query).await, ask(&live, query).await);

        assert_eq!(kept["errors"], Value::Null);
        assert_eq!(kept["data"], counted["data"], "{backend:?}");
        assert!(kept["data"].to_string().contains("\"none\":0"), "a count without rows is 0");
    }
}

#[tokio::test]
async fn a_request_above_its_budget_is_refused() {
    for backend in Backend::all().await {
        let test = backend.database().await;
        fixture::fill(&test.db, 5).await;
        let engine = engine_with(&test.db, |config| config.loading.max_sql_per_request = Some(2));

        let refused = ask(&engine, Q1).await;
        let allowed = ask(&engine, Q3_PLAIN).await;

        assert_eq!(refused["errors"][0]["extensions"]["code"], "SQL_BUDGET_EXCEEDED");
        assert_eq!(refused["errors"].as_array().map(Vec::len), Some(1));
        assert_eq!(refused.get("data"), None);
        assert_eq!(allowed["errors"], Value::Null);
    }
}

#[tokio::test]
async fn nothing_is_read_that_is_not_asked_for() {
    let test = Backend::Sqlite.database().await;
    fixture::fill(&test.db, 10).await;
    let engine = engine(&test.db);

    let light = ask(&engine, "{ artifacts { nodes { id name } } }").await;
    let heavy = ask(&engine, "{ artifacts { nodes { id content metadata } } }").await;

    assert_eq!(statements(&light), 1);
    assert_eq!(statements(&heavy), 3);
    assert_eq!(heavy["data"]["artifacts"]["nodes"][0]["metadata"], json!({ "number": 9 }));
}

#[tokio::test]
async fn equal_questions_of_one_round_share_a_statement() {
    let test = Backend::Sqlite.database().await;
    fixture::fill(&test.db, 10).await;
    let engine = engine(&test.db);

    let same =
        ask(&engine, "{ a: artifacts { nodes { tags { slug } } } b: artifacts { nodes { name tags { slug } } } }")
            .await;
    let other =
        ask(&engine, "{ a: artifacts(first: 1) { nodes { id } } b: artifacts(first: 2) { nodes { id } } }").await;

    assert_eq!(statements(&same), 2);
    assert_eq!(statements(&other), 2);
}
