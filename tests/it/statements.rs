//! The promise: the number of statements is a property of the query.
use gatherum::{
    catalog::Query,
    dataloader,
    db::Db,
    graphql::{CountStrategy, Engine, Execute, Request, Settings, guard::Limits},
};

use crate::{backend::Backend, fixture};

pub fn engine(db: &Db) -> Engine<Query> {
    let settings = Settings { page_size_default: 50, page_size_max: 100, counts: CountStrategy::Maintained };
    let loading = dataloader::Limits { keys_max: 10_000, statements_max: None };
    Engine::new(Query, db.clone(), settings, Limits::default(), loading).expect("a schema")
}

pub async fn ask(engine: &Engine<Query>, query: &str) -> serde_json::Value {
    let request = Request { query: query.to_owned(), wants_report: true, ..Request::default() };
    serde_json::from_slice(&engine.execute(request).await.body).expect("JSON")
}

const Q1: &str = "{ artifacts(first: 50) { nodes { id name type collections { nodes { id name artifactCount } } } } }";
const Q3: &str = "{ collections(first: 10) { nodes { id name description artifactCount groupCount } } }";
const Q4: &str = "{ collections(first: 10) { nodes { id name artifactCount artifacts(first: 10) { nodes { id name
    collections { nodes { id name artifactCount } } } } } } }";

#[tokio::test(flavor = "multi_thread")]
async fn the_figures_hold_at_every_size() {
    for backend in Backend::all().await {
        for size in [1, 50, 500] {
            let test = backend.database().await;
            fixture::fill(&test.db, size).await;
            let engine = engine(&test.db);

            for (query, expected) in [(Q1, 3), (Q3, 3), (Q4, 5)] {
                let answer = ask(&engine, query).await;

                assert_eq!(answer["errors"], serde_json::Value::Null, "{backend:?} {query}");
                assert_eq!(answer["extensions"]["gatherum"]["statements"], expected, "{backend:?} {size} {answer}");
            }
        }
    }
}
