//! Full-text search: both databases find the same, in every script.
use std::collections::BTreeSet;

use gatherum::{
    app::Engine,
    db::{Arg, Db, Time, migrate},
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    app::{ask_with, engine},
    backend::{Backend, TestDb},
};

const SEARCHES: &str = include_str!("../searches.tsv");

struct Case {
    text: String,
    search: String,
    is_found: bool,
}

/// A text of the data file, which is written like a JSON string.
fn text(written: &str) -> String {
    serde_json::from_str(&format!("\"{written}\"")).unwrap_or_else(|error| panic!("{written}: {error}"))
}

fn cases() -> Vec<Case> {
    let lines = SEARCHES.lines().filter(|line| !line.starts_with('#'));
    let case = |line: &str| {
        let cells: Vec<&str> = line.split('\t').collect();
        let [stored, search, found] = cells[..] else { panic!("not three cells: {line}") };
        assert!(["+", "-"].contains(&found), "{line}");
        Case { text: text(stored), search: text(search), is_found: found == "+" }
    };
    lines.map(case).collect()
}

async fn engines() -> Vec<(Backend, TestDb, Engine)> {
    let mut engines = Vec::new();
    for backend in Backend::all().await {
        let test = backend.database().await;
        let engine = engine(&test.db);
        engines.push((backend, test, engine));
    }
    engines
}

/// Names of the artifacts that a search finds, at most 100 of a page.
async fn found(engine: &Engine, search: &str) -> BTreeSet<String> {
    let document = "query($search: String!) { artifacts(first: 100, filter: {search: $search}) { nodes { name } } }";
    let answer = ask_with(engine, document, json!({ "search": search })).await;
    assert_eq!(answer["errors"], Value::Null, "{search} {answer}");
    let nodes = answer["data"]["artifacts"]["nodes"].as_array().expect("nodes").clone();
    nodes.iter().map(|node| node["name"].as_str().expect("a name").to_owned()).collect()
}

async fn create(engine: &Engine, inputs: Vec<Value>) -> Value {
    let document = "mutation($input: CreateArtifactsInput!) {
        createArtifacts(input: $input) { succeeded results { error { code } artifact { id name tags { slug } } } } }";
    let input = json!({ "artifacts": inputs, "mode": "PARTIAL" });
    let answer = ask_with(engine, document, json!({ "input": input })).await;
    assert_eq!(answer["errors"], Value::Null, "{answer}");
    answer["data"]["createArtifacts"].clone()
}

#[tokio::test]
async fn searches_in_every_script_find_the_same_on_both_databases() {
    let cases = cases();
    assert!(cases.len() >= 150);
    let mut results = Vec::new();
    for (backend, _test, engine) in engines().await {
        let inputs = cases.iter().enumerate();
        let inputs =
            inputs.map(|(n, case)| json!({ "type": "text", "name": format!("qq{n:03}"), "description": case.text }));
        assert_eq!(create(&engine, inputs.collect()).await["succeeded"], json!(cases.len()), "{backend:?}");
        let mut all = Vec::new();
        let mut wrong = Vec::new();
        for (n, case) in cases.iter().enumerate() {
            let found = found(&engine, &case.search).await;
            if found.contains(&format!("qq{n:03}")) != case.is_found {
                wrong.push(format!("{} {} {}", case.text, case.search, case.is_found));
            }
            all.push(found);
        }
        assert_eq!(wrong, Vec::<String>::new(), "{backend:?}");
        results.push(all);
    }

    for pair in results.windows(2) {
        for (case, (one, other)) in cases.iter().zip(pair[0].iter().zip(&pair[1])) {
            assert_eq!(one, other, "{}", case.search);
        }
    }
}

#[tokio::test]
async fn a_search_finds_names_authors_tags_and_collections() {
    for (backend, _test, engine) in engines().await {
        let made = create(
            &engine,
            vec![
                json!({ "type": "a", "name": "Ölfarbe" }),
                json!({ "type": "a", "name": "two", "author": "Ørsted" }),
                json!({ "type": "a", "name": "three", "tags": ["Große Städte"] }),
                json!({ "type": "a", "name": "four", "description": "mit Ölfarbe" }),
            ],
        )
        .await;
        assert_eq!(made["succeeded"], json!(4), "{backend:?} {made}");
        let document =
            "mutation { createCollection(input: {name: \"Σίσυφος\", description: \"日本語\"}) { __typename } }";
        ask_with(&engine, document, json!({})).await;

        let document = "{
            name: artifacts(filter: {search: \"olfarbe\"}) { nodes { name } }
            author: artifacts(filter: {search: \"ORSTED\"}) { nodes { name } }
            tag: artifacts(filter: {search: \"stadte GROSSE\"}) { nodes { name } }
            tags(filter: {search: \"STÄDTE\"}) { nodes { slug } }
            collections(filter: {search: \"ΣΙΣΥΦΟΣ 本語\"}) { nodes { name } }
            nothing: artifacts(filter: {search: \"++\"}) { totalCount facets { types { value } } }
            noTags: tags(filter: {search: \"++\"}) { totalCount }
            noCollections: collections(filter: {search: \"++\"}) { totalCount }
            everything: artifacts(filter: {search: \" \"}) { totalCount }
        }";
        let answer = ask_with(&engine, document, json!({})).await;
        assert_eq!(
            answer["data"],
            json!({
                // The name ranks before the description.
                "name": { "nodes": [{ "name": "Ölfarbe" }, { "name": "four" }] },
                "author": { "nodes": [{ "name": "two" }] },
                "tag": { "nodes": [{ "name": "three" }] },
                "tags": { "nodes": [{ "slug": "große-städte" }] },
                "collections": { "nodes": [{ "name": "Σίσυφος" }] },
                "nothing": { "totalCount": 0, "facets": { "types": [] } },
                "noTags": { "totalCount": 0 },
                "noCollections": { "totalCount": 0 },
                "everything": { "totalCount": 4 },
            }),
            "{backend:?} {answer}"
        );
    }
}

#[tokio::test]
async fn two_spellings_of_a_name_conflict() {
    for (backend, _test, engine) in engines().await {
        let made = create(&engine, vec![json!({ "type": "a", "name": "re\u{301}sume\u{301}", "tags": ["e\u{301}"] })]);
        let made = made.await["results"][0]["artifact"].clone();
        assert_eq!(made["name"], json!("résumé"), "{backend:?}");
        assert_eq!(made["tags"], json!([{ "slug": "é" }]));

        let again = create(&engine, vec![json!({ "type": "a", "name": "résumé" })]).await;
        assert_eq!(again["results"][0]["error"]["code"], json!("CONFLICT"));
        let collection = "mutation($name: String!) { createCollection(input: {name: $name}) { __typename } }";
        ask_with(&engine, collection, json!({ "name": "ä" })).await;
        let again = ask_with(&engine, collection, json!({ "name": "a\u{308}" })).await;
        assert_eq!(again["errors"][0]["extensions"]["code"], json!("CONFLICT"), "{again}");
        let document = "query($slug: String!) {
            tag(slug: $slug) { slug } artifacts(filter: {tags: {anyOf: [$slug]}}) { totalCount } }";
        let tag = ask_with(&engine, document, json!({ "slug": "e\u{301}" })).await;
        assert_eq!(tag["data"], json!({ "tag": { "slug": "é" }, "artifacts": { "totalCount": 1 } }), "{backend:?}");
    }
}

#[tokio::test]
async fn a_text_beyond_the_limit_of_the_index_is_stored_in_full_and_indexed_as_far_as_possible() {
    for (backend, _test, engine) in engines().await {
        let words: String = (0..130_000).map(|n| format!("w{n:06} ")).collect();
        let tags: Vec<String> = (0..100).map(|n| format!("{n:02}{}", "ü".repeat(98))).collect();
        let made = create(
            &engine,
            vec![
                json!({ "type": "a", "name": "before" }),
                json!({ "type": "a", "name": "long", "description": words, "author": words, "tags": tags }),
                json!({ "type": "a", "name": "one word", "description": "é".repeat(500_000) }),
                json!({ "type": "a", "name": "ideographs", "description": ideographs() }),
            ],
        )
        .await;
        assert_eq!(made["succeeded"], json!(4), "{backend:?} {made}");

        let document = "query { artifacts(filter: {search: \"long\"}) { nodes { description } } }";
        let stored = ask_with(&engine, document, json!({})).await;
        assert_eq!(stored["data"]["artifacts"]["nodes"][0]["description"], json!(words), "{backend:?}");
        assert_eq!(found(&engine, "w000000 w100000 00u").await, BTreeSet::from(["long".to_owned()]), "{backend:?}");
        assert_eq!(found(&engine, "w129999").await, BTreeSet::new(), "{backend:?}");
        assert_eq!(found(&engine, &"e".repeat(999)).await, BTreeSet::from(["one word".to_owned()]), "{backend:?}");
        assert_eq!(found(&engine, "㐀㐁㐂").await, BTreeSet::from(["ideographs".to_owned()]), "{backend:?}");
        let collection = json!({ "name": "long", "description": words });
        let document = "mutation($input: CreateCollectionInput!) { createCollection(input: $input) { __typename } }";
        let answer = ask_with(&engine, document, json!({ "input": collection })).await;
        assert_eq!(answer["errors"], Value::Null, "{backend:?}");
    }
}

/// A text whose words are many: a different one begins at each character.
fn ideographs() -> String {
    (0..60_u32).flat_map(|shift| ('\u{3400}'..'\u{9fff}').step_by(1 + shift as usize)).collect()
}

/// Writes rows like a release before the migration, which is reverted.
async fn earlier_rows(db: &Db, rows: &[(u128, &str, &str)]) {
    migrate::down(db, 1).await.expect("the last migration");
    for (id, name, description) in rows {
        let mut tx = db.begin().await.expect("a transaction");
        let mut sql = tx.sql();
        sql.push("insert into artifacts (id, type, name, description, created_at, updated_at) values (");
        sql.bind(Arg::Id(Uuid::from_u128(*id))).push(", 'a', ").bind(Arg::Text(Some((*name).to_owned()))).push(", ");
        sql.bind(Arg::Text(Some((*description).to_owned()))).push(", ").bind(Arg::Time(Time(1))).push(", ");
        sql.bind(Arg::Time(Time(1))).push(")");
        tx.execute("test", sql).await.expect("an artifact");
        tx.commit().await.expect("a commit");
    }
}

#[tokio::test]
async fn a_migration_normalises_and_indexes_earlier_texts() {
    for (backend, test, engine) in engines().await {
        let rows = [(1, "cafe\u{301}", "Straße"), (2, "noe\u{308}l", "日本語"), (3, "noël", "ﬁn")];
        earlier_rows(&test.db, &rows).await;

        assert_eq!(migrate::up(&test.db).await.expect("up again"), ["0007_search"]);

        assert_eq!(found(&engine, "STRASSE").await, BTreeSet::from(["café".to_owned()]), "{backend:?}");
        assert_eq!(found(&engine, "fin").await, BTreeSet::from(["noël".to_owned()]), "{backend:?}");
        // The name of another artifact is left as it was.
        assert_eq!(found(&engine, "noel 本語").await, BTreeSet::from(["noe\u{308}l".to_owned()]), "{backend:?}");
        let changed = create(&engine, vec![json!({ "type": "a", "name": "café" })]).await;
        assert_eq!(changed["results"][0]["error"]["code"], json!("CONFLICT"), "{backend:?}");
    }
}

#[tokio::test]
async fn an_interrupted_migration_continues() {
    for (backend, test, engine) in engines().await {
        let names: Vec<Value> = (0..450).map(|n| json!({ "type": "a", "name": format!("ä{n}") })).collect();
        create(&engine, names).await;
        let mut tx = test.db.begin().await.expect("a transaction");
        let mut sql = tx.sql();
        sql.push("update artifacts set name_words = null, description_words = null where name <> 'ä0'");
        tx.execute("test", sql).await.expect("an update");
        tx.commit().await.expect("a commit");
        assert_eq!(found(&engine, "ä").await.len(), 1, "{backend:?}");

        assert_eq!(migrate::up(&test.db).await.expect("nothing to apply"), Vec::<&str>::new());

        assert_eq!(found(&engine, "a449").await, BTreeSet::from(["ä449".to_owned()]), "{backend:?}");
    }
}
