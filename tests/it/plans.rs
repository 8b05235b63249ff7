//! Every order and every filter has an index, according to the query plans.
use async_graphql::InputType;
use gatherum::{
    catalog::{
        artifact::{ArtifactsArguments, ArtifactsOfCollection, CollectionArtifactsArguments},
        collection::{AllCollectionsArguments, CollectionsOfArtifact},
    },
    db::{Db, Dialect},
    graphql::{
        CountStrategy, SortValue,
        list::{List, Page},
    },
    loader::{Relation, RootKey},
};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, Row};
use uuid::Uuid;

use crate::{
    backend::{Backend, TestDb},
    fixture::{self, Kind},
};

fn parse<T: InputType>(value: Value) -> T {
    let value = async_graphql::Value::from_json(value).expect("a value");
    T::parse(Some(value)).map_err(|_| "arguments").expect("arguments")
}

/// The statement of a page after a row.
fn page<L: List>(list: L, keys: &[L::Parent], after: Option<Vec<SortValue>>, db: &Db) -> String {
    let slice = gatherum::graphql::paged_list::Slice { size: 20, from: after, to: None, backward: false };
    let mut sql = db.sql();
    Page { list, slice }.statement(keys, &mut sql);
    sql.text().to_owned()
}

/// The plan of a statement, one step per line. The values of its parameters do not matter.
async fn plan(test: &TestDb, text: &str) -> String {
    match test.db.dialect() {
        Dialect::Sqlite => {
            let path = test.config.url.trim_start_matches("sqlite://").to_owned();
            let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
            let mut connection = sqlx::SqliteConnection::connect_with(&options).await.expect("the file");
            let explain = format!("explain query plan {text}");
            let rows = sqlx::query(AssertSqlSafe(explain)).fetch_all(&mut connection).await.expect("a plan");
            rows.iter().map(|row| row.get::<String, _>("detail") + "\n").collect()
        }
        Dialect::Postgres => {
            let mut connection = sqlx::PgConnection::connect(&test.config.url).await.expect("the database");
            let prepare = format!("prepare stock as {text}");
            for setup in ["set enable_seqscan = off", "set plan_cache_mode = force_generic_plan", &prepare] {
                sqlx::raw_sql(AssertSqlSafe(setup.to_owned())).execute(&mut connection).await.expect("a statement");
            }
            let count = (1..).take_while(|n| text.contains(&format!("${n}"))).count();
            let explain = format!("explain execute stock({})", vec!["null"; count].join(", "));
            let rows = sqlx::raw_sql(AssertSqlSafe(explain)).fetch_all(&mut connection).await.expect("a plan");
            rows.iter().map(|row| row.get::<String, _>(0) + "\n").collect()
        }
    }
}

/// No statement scans a whole table, and none sorts if the order has an index.
fn assert_indexed(plan: &str, is_sorted: bool, what: &str) {
    for line in plan.lines() {
        let reads_all = line.contains("Seq Scan")
            || (line.starts_with("SCAN ")
                && !line.contains("INDEX")
                && !line.contains("json_each")
                && !line.contains("VIRTUAL TABLE")
                && !line.contains("SUBQUERY")
                && !line.contains("keys"));
        assert!(!reads_all, "{what} reads a whole table:\n{plan}");
        let sorts = line.contains("TEMP B-TREE FOR ORDER BY")
            || line.trim_start().trim_start_matches("-> ").trim_start().starts_with("Sort ");
        assert!(!(is_sorted && sorts), "{what} sorts:\n{plan}");
    }
}

fn after(list: &impl List) -> Vec<SortValue> {
    use gatherum::graphql::SortType;
    let value = |kind: SortType| match kind {
        SortType::Int => SortValue::Int(1),
        SortType::Text => SortValue::Text("m".into()),
        SortType::Time => SortValue::Time(1),
        SortType::Id => SortValue::Id(Uuid::nil()),
    };
    list.order().types().into_iter().map(value).collect()
}

#[tokio::test]
async fn root_lists_are_read_by_index() {
    let id = |prefix, kind| gatherum::graphql::id::GlobalId { prefix, id: fixture::id(kind, 0) }.to_string();
    let order = |field: &str| json!({ "orderBy": { "field": field, "direction": "DESC" } });
    let artifacts = [
        (json!({}), true),
        (order("CREATED_AT"), true),
        (order("UPDATED_AT"), true),
        (order("NAME"), true),
        (order("TYPE"), true),
        (json!({ "filter": { "types": ["skill"] } }), true),
        (json!({ "filter": { "visibility": "PUBLIC" } }), true),
        (json!({ "filter": { "createdAfter": "2026-01-01T00:00:00Z" } }), true),
        (json!({ "filter": { "types": ["skill", "agent"] } }), false),
        (json!({ "filter": { "tags": { "anyOf": ["tag-0"] } } }), false),
        (json!({ "filter": { "tags": { "allOf": ["tag-0", "tag-1"] } } }), false),
        (json!({ "filter": { "collections": { "anyOf": [id("collection", Kind::Collection)] } } }), false),
        (json!({ "filter": { "groups": { "allOf": [id("group", Kind::Group)] } } }), false),
        (json!({ "filter": { "uncollected": true } }), false),
        (json!({ "filter": { "search": "some words" } }), false),
    ];
    let collections = [
        (json!({}), true),
        (order("CREATED_AT"), true),
        (order("UPDATED_AT"), true),
        (json!({ "filter": { "kinds": ["team"] } }), false),
        (json!({ "filter": { "visibility": "PUBLIC" } }), false),
        (json!({ "filter": { "search": "some words" } }), false),
        (json!({ "filter": { "containsArtifactId": id("artifact", Kind::Artifact) } }), false),
    ];
    for backend in Backend::all().await {
        let test = backend.database().await;
        fixture::fill(&test.db, 50).await;
        for (arguments, is_sorted) in &artifacts {
            let list = parse::<ArtifactsArguments>(arguments.clone()).list().expect("a list");
            let cursor = after(&list);
            let text = page(list, &[RootKey], Some(cursor), &test.db);

            assert_indexed(&plan(&test, &text).await, *is_sorted, &format!("{backend:?} {arguments} {text}"));
        }
        for (arguments, is_sorted) in &collections {
            let list = parse::<AllCollectionsArguments>(arguments.clone()).list().expect("a list");
            let cursor = after(&list);
            let text = page(list, &[RootKey], Some(cursor), &test.db);

            assert_indexed(&plan(&test, &text).await, *is_sorted, &format!("{backend:?} {arguments} {text}"));
        }
    }
}

#[tokio::test]
async fn lists_of_parents_are_read_by_index() {
    for backend in Backend::all().await {
        let test = backend.database().await;
        fixture::fill(&test.db, 50).await;
        for field in ["POSITION", "ADDED_AT", "NAME"] {
            let arguments = json!({ "orderBy": { "field": field, "direction": "ASC" } });
            let arguments = parse::<CollectionArtifactsArguments>(arguments);
            let list = ArtifactsOfCollection::new(&arguments, CountStrategy::Maintained).expect("a list");
            let cursor = after(&list);
            // The statement for one parent differs from that for several.
            for keys in [vec![fixture::id(Kind::Collection, 0)], vec![fixture::id(Kind::Collection, 0); 2]] {
                let text = page(list.clone(), &keys, Some(cursor.clone()), &test.db);
                let plan = plan(&test, &text).await;

                // SQLite sorts the few rows of several pages; within the members, neither database sorts.
                let within = plan.split("SUBQUERY").last().unwrap_or_default();
                assert_indexed(&plan, keys.len() == 1, &format!("{backend:?} {field} {text}"));
                assert!(within.contains("collection_artifacts_"), "{field} has an index of its own:\n{plan}");
            }
        }
        for keys in [vec![fixture::id(Kind::Artifact, 0)], vec![fixture::id(Kind::Artifact, 0); 2]] {
            let text = page(CollectionsOfArtifact::new(None), &keys, None, &test.db);
            assert_indexed(&plan(&test, &text).await, false, "Artifact.collections");
        }
    }
}
