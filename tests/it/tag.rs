//! Tags: names that differ in signs are distinct, on both databases and by every way in.
use std::{collections::BTreeSet, fs};

use gatherum::{
    app::Engine,
    db::{Arg, Db, Time},
    transfer::{ImportOptions, ImportReport, Source, import},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

use crate::{
    app::{ask_with, engine},
    backend::Backend,
};

/// Names with their slugs.
const TAGS: [(&str, &str); 10] = [
    ("C", "c"),
    ("C++", "c_plus_plus"),
    ("C#", "c_sharp"),
    (".NET", "_dot-net"),
    ("NET", "net"),
    ("a/b", "a_slash-b"),
    ("a b", "a-b"),
    ("🚀", "🚀"),
    ("हिन्दी", "हिन्दी"),
    ("Größe", "größe"),
];

async fn tags(engine: &Engine) -> BTreeSet<(String, String)> {
    let answer = ask_with(engine, "{ tags(first: 100) { nodes { name slug } } }", json!({})).await;
    let nodes = answer["data"]["tags"]["nodes"].as_array().expect("nodes").clone();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    nodes.iter().map(|node| (text(&node["name"]), text(&node["slug"]))).collect()
}

fn expected() -> BTreeSet<(String, String)> {
    TAGS.iter().map(|(name, slug)| ((*name).to_owned(), (*slug).to_owned())).collect()
}

/// Creates an artifact with tags, and returns their slugs by name.
async fn tagged(engine: &Engine, artifact: &str, tags: &[&str]) -> Value {
    let document = "mutation($name: String!, $tags: [String!]) {
        createArtifact(input: {type: \"a\", name: $name, tags: $tags}) { artifact { tags { name slug } } } }";
    let answer = ask_with(engine, document, json!({ "name": artifact, "tags": tags })).await;
    assert_eq!(answer["errors"], Value::Null, "{answer}");
    answer["data"]["createArtifact"]["artifact"]["tags"].clone()
}

#[tokio::test]
async fn names_that_differ_in_signs_are_distinct_tags() {
    for backend in Backend::all().await {
        let test = backend.database().await;
        let engine = engine(&test.db);
        let names = TAGS.map(|(name, _)| name);

        assert_eq!(tagged(&engine, "one", &names).await.as_array().map(Vec::len), Some(TAGS.len()), "{backend:?}");
        assert_eq!(tagged(&engine, "two", &names).await.as_array().map(Vec::len), Some(TAGS.len()), "{backend:?}");

        assert_eq!(tags(&engine).await, expected(), "{backend:?}");
        for (name, slug) in TAGS {
            let by_slug = tagged(&engine, &format!("{name} by slug"), &[slug]).await;
            assert_eq!(by_slug, json!([{ "name": name, "slug": slug }]), "{backend:?}");
            let document = "query($slug: String!) {
                artifacts(filter: {tags: {anyOf: [$slug]}}) { totalCount } tag(slug: $slug) { name artifactCount } }";
            let found = ask_with(&engine, document, json!({ "slug": slug })).await;
            let tag = json!({ "name": name, "artifactCount": 3 });
            assert_eq!(found["data"], json!({ "artifacts": { "totalCount": 3 }, "tag": tag }), "{backend:?}");
        }
        let answer = ask_with(
            &engine,
            "mutation($id: ID!) { untagArtifacts(input: {artifactIds: [$id], tags: [\"C\"]}) { artifacts { tags { slug } } } }",
            json!({ "id": artifact_id(&engine, "one").await }),
        )
        .await;
        let left = answer["data"]["untagArtifacts"]["artifacts"][0]["tags"].as_array().map(Vec::len);
        assert_eq!(left, Some(TAGS.len() - 1), "{backend:?} {answer}");
    }
}

async fn artifact_id(engine: &Engine, name: &str) -> Value {
    let answer = ask_with(engine, "{ artifacts(first: 100) { nodes { id name } } }", json!({})).await;
    let nodes = answer["data"]["artifacts"]["nodes"].as_array().expect("nodes").clone();
    nodes.iter().find(|node| node["name"] == name).map(|node| node["id"].clone()).expect("the artifact")
}

/// Writes a tag as an earlier release did.
async fn earlier_tag(db: &Db, name: &str, slug: &str) {
    let mut tx = db.begin().await.expect("a transaction");
    let mut sql = tx.sql();
    sql.push("insert into tags (id, name, slug, name_words, slug_words, created_at, updated_at) values (");
    sql.bind(Arg::Id(Uuid::now_v7())).push(", ").bind(Arg::Text(Some(name.to_owned()))).push(", ");
    sql.bind(Arg::Text(Some(slug.to_owned()))).push(", '', '', ").bind(Arg::Time(Time(1))).push(", ");
    sql.bind(Arg::Time(Time(1))).push(")");
    tx.execute("test", sql).await.expect("a tag");
    tx.commit().await.expect("a commit");
}

fn pairs(tags: &[(&str, &str)]) -> BTreeSet<(String, String)> {
    tags.iter().map(|(name, slug)| ((*name).to_owned(), (*slug).to_owned())).collect()
}

#[tokio::test]
async fn a_tag_of_an_earlier_release_keeps_its_slug() {
    for backend in Backend::all().await {
        let test = backend.database().await;
        let engine = engine(&test.db);
        earlier_tag(&test.db, "C++", "c").await;
        earlier_tag(&test.db, "Node.js", "node-js").await;
        earlier_tag(&test.db, "Machine Learning", "ml").await;

        for artifact in ["one", "two"] {
            let names = ["C++", "C", "C#", "node.js", "ML"];
            let found = tagged(&engine, artifact, &names).await;
            let slugs: Vec<&str> =
                found.as_array().expect("tags").iter().filter_map(|tag| tag["slug"].as_str()).collect();
            assert_eq!(slugs, ["c_2", "c_sharp", "c", "ml", "node-js"], "{backend:?} {found}");
        }
        let directory = TempDir::new().expect("a directory");
        let path = directory.path().join("list.csv");
        fs::write(&path, "type,name,tags\nskill,three,C++;C;C#;Node.js\n").expect("a file");
        for _ in 0..2 {
            load(&test.db, Source::Csv(path.clone())).await;
        }

        let all = [("C", "c_2"), ("C#", "c_sharp"), ("C++", "c"), ("Machine Learning", "ml"), ("Node.js", "node-js")];
        assert_eq!(tags(&engine).await, pairs(&all), "{backend:?}");
        let again = load(&test.db, Source::Csv(path)).await;
        assert_eq!(again.kinds.values().map(|counts| counts.created + counts.updated).sum::<u64>(), 0, "{again}");
    }
}

async fn load(db: &Db, source: Source) -> ImportReport {
    let report = import(db, source, ImportOptions::default(), |_| {}).await.expect("an import");
    assert_eq!(report.rejected(), 0, "{report}");
    report
}

#[tokio::test]
async fn every_import_names_tags_alike() {
    let directory = TempDir::new().expect("a directory");
    let names: Vec<&str> = TAGS.iter().map(|(name, _)| *name).collect();
    let csv = directory.path().join("list.csv");
    fs::write(&csv, format!("type,name,tags\nskill,one,{}\n", names.join(";"))).expect("a file");
    let skills = directory.path().join("skills/one");
    fs::create_dir_all(&skills).expect("a folder");
    let front = serde_json::to_string(&names).expect("JSON");
    fs::write(skills.join("SKILL.md"), format!("---\nname: one\ntags: {front}\n---\ntext\n")).expect("a file");
    for backend in Backend::all().await {
        for source in [Source::Csv(csv.clone()), Source::Claude(directory.path().to_owned())] {
            let test = backend.database().await;
            load(&test.db, source).await;

            let engine = engine(&test.db);
            assert_eq!(tags(&engine).await, expected(), "{backend:?}");
            // The API finds the imported tags.
            tagged(&engine, "two", &names).await;
            assert_eq!(tags(&engine).await.len(), TAGS.len(), "{backend:?}");
        }
    }
}
