//! Import and export on both databases, from every kind of source.
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures_util::StreamExt;

use gatherum::{
    catalog::collection,
    db::Db,
    graphql::{Execute, Request},
    transfer::{ImportOptions, ImportReport, Source, SourceSync, export, import, watch},
};
use sqlx::{ConnectOptions, Executor, sqlite::SqliteConnectOptions};
use tempfile::TempDir;

use crate::{
    app::{ask, engine},
    backend::Backend,
    fixture,
};

/// Environment variable with the path of a folder with real catalogues.
const SHARED_VARIABLE: &str = "GATHERUM_TEST_DATA";

async fn load(db: &Db, source: Source) -> ImportReport {
    import(db, source, ImportOptions::default(), |_| {}).await.expect("an import")
}

async fn dump(db: &Db) -> String {
    let mut out = Vec::new();
    export(db, None, &mut out).await.expect("an export");
    String::from_utf8(out).expect("text")
}

fn created(report: &ImportReport) -> u64 {
    report.kinds.values().map(|counts| counts.created).sum()
}

fn changed(report: &ImportReport) -> u64 {
    report.kinds.values().map(|counts| counts.created + counts.updated).sum()
}

fn file(directory: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = directory.path().join(name);
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    fs::write(&path, text).expect("a file");
    path
}

#[tokio::test]
async fn an_import_of_an_export_restores_the_catalogue() {
    for backend in Backend::all().await {
        let directory = TempDir::new().expect("a directory");
        let (first, second) = (backend.database().await, backend.database().await);
        fixture::fill(&first.db, 30).await;
        let text = dump(&first.db).await;
        let path = file(&directory, "catalogue.ndjson", &text);

        let report = load(&second.db, Source::Ndjson(Some(path.clone()))).await;
        let again = load(&second.db, Source::Ndjson(Some(path))).await;

        assert_eq!(report.rejected(), 0, "{report}");
        assert_eq!(created(&report) as usize, text.lines().count() - 1);
        assert_eq!(changed(&again), 0, "{again}");
        assert_eq!(dump(&second.db).await, text, "{backend:?}");
        assert_eq!(collection::wrong_counts(&second.db).await.expect("counts"), 0);
    }
}

/// An export of `db` with other times and numbers in its artifacts.
async fn with_extremes(db: &Db, times: &[&str], metadata: &str) -> String {
    let text = dump(db).await;
    let mut times = times.iter();
    let mut changed = String::new();
    for line in text.lines() {
        let mut record: serde_json::Value = serde_json::from_str(line).expect("a record");
        if record["record"] == "artifact" {
            let time = *times.next().expect("a time for each artifact");
            (record["created_at"], record["updated_at"]) = (time.into(), time.into());
            record["metadata"] = serde_json::from_str(metadata).expect("JSON");
        }
        changed += &format!("{record}\n");
    }
    changed
}

#[tokio::test]
async fn times_and_numbers_at_their_limits_are_restored_and_ordered() {
    let metadata = r#"{"a":12345678901234567890123,"b":1.0,"c":1e+400,"d":0.1000,"e":-0,"f":[0.00001,2e+5]}"#;
    let times = [
        "9999-12-31T23:59:59.999Z",
        "0000-01-01T00:00:00.000Z",
        "9999-12-30T22:00:00.000Z",
        "0001-01-01T00:00:00.000Z",
        "2026-01-31T12:00:00.000001Z",
        "9999-12-31T23:59:59.999999Z",
    ];
    for backend in Backend::all().await {
        let directory = TempDir::new().expect("a directory");
        let (first, second) = (backend.database().await, backend.database().await);
        fixture::fill(&first.db, times.len()).await;
        let text = with_extremes(&first.db, &times, metadata).await;

        let report = load(&second.db, Source::Ndjson(Some(file(&directory, "catalogue.ndjson", &text)))).await;

        assert_eq!(report.rejected(), 0, "{report}");
        let restored = dump(&second.db).await;
        let records = |text: &str| text.lines().map(str::to_owned).collect::<std::collections::BTreeSet<_>>();
        assert_eq!(records(&restored), records(&text), "{backend:?}");
        assert!(restored.contains(metadata), "{backend:?}");
        let mut sorted = times.map(str::to_owned);
        // Without the `Z`, a time is a prefix of a later one with more digits.
        sorted.sort_by(|a, b| a.trim_end_matches('Z').cmp(b.trim_end_matches('Z')));
        assert_eq!(pages(&second.db, "ASC").await, sorted, "{backend:?}");
        sorted.reverse();
        assert_eq!(pages(&second.db, "DESC").await, sorted, "{backend:?}");
    }
}

/// The times of creation of all artifacts, read page by page.
async fn pages(db: &Db, direction: &str) -> Vec<String> {
    let engine = engine(db);
    let (mut times, mut after) = (Vec::new(), String::new());
    loop {
        let arguments = format!("first: 1, orderBy: {{ field: CREATED_AT, direction: {direction} }}{after}");
        let query =
            format!("{{ artifacts({arguments}) {{ nodes {{ createdAt }} pageInfo {{ hasNextPage endCursor }} }} }}");
        let answer = ask(&engine, &query).await;
        let page = &answer["data"]["artifacts"];
        times.push(page["nodes"][0]["createdAt"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned());
        if page["pageInfo"]["hasNextPage"] != true {
            return times;
        }
        after = format!(", after: {}", page["pageInfo"]["endCursor"]);
    }
}

#[tokio::test]
async fn a_dry_run_writes_nothing() {
    for backend in Backend::all().await {
        let directory = TempDir::new().expect("a directory");
        let path = file(&directory, "list.csv", "type,name,tags\nskill,one,a;b\n");
        let test = backend.database().await;

        let report =
            import(&test.db, Source::Csv(path), ImportOptions { is_dry_run: true, ..ImportOptions::default() }, |_| {})
                .await
                .expect("a report");

        assert_eq!(created(&report), 3, "{report}");
        assert_eq!(dump(&test.db).await.lines().count(), 1);
    }
}

#[tokio::test]
async fn an_invalid_record_is_rejected_and_the_others_are_imported() {
    let artifact = |n: u8, name: &str| {
        let id = gatherum::graphql::id::GlobalId { prefix: "artifact", id: uuid::Uuid::from_u128(u128::from(n)) };
        format!(
            r#"{{"record":"artifact","id":"{id}","type":"skill","name":"{name}","created_at":"2026-01-01T00:00:00Z","updated_at":"2026-01-01T00:00:00Z"}}"#
        )
    };
    let lines = [
        r#"{"record":"gatherum","format":1}"#.to_owned(),
        artifact(1, "good"),
        "{".to_owned(),
        artifact(2, "   "),
        artifact(3, &"x".repeat(256)),
        artifact(4, "nul \\u0000"),
        artifact(5, "good"),
        r#"{"record":"artifact","id":"nonsense"}"#.to_owned(),
        r#"{"record":"surprise"}"#.to_owned(),
        r#"{"record":"membership","collection":"collection_00000000000000000000000001","artifact":"artifact_00000000000000000000000001","position":0,"added_at":"2026-01-01T00:00:00Z"}"#.to_owned(),
        String::new(),
        artifact(6, "good too"),
    ];
    for backend in Backend::all().await {
        let directory = TempDir::new().expect("a directory");
        let path = file(&directory, "mixed.ndjson", &lines.join("\n"));
        let test = backend.database().await;

        let report = load(&test.db, Source::Ndjson(Some(path))).await;

        assert_eq!(report.kinds["artifacts"].created, 2, "{report}");
        let locations: Vec<&str> = report.rejections().iter().map(|record| record.location.as_str()).collect();
        for line in [3, 4, 5, 6, 7, 8, 9, 10] {
            assert!(locations.contains(&format!("line {line}").as_str()), "line {line}: {report}");
        }
        assert_eq!(report.rejected(), 8, "{report}");
    }
}

#[tokio::test]
async fn a_folder_of_skills_agents_and_commands_is_imported() {
    let directory = TempDir::new().expect("a directory");
    file(&directory, "skills/one/SKILL.md", "---\nname: one\ndescription: What it does.\ntools: [a, b]\n---\n# One\n");
    file(&directory, "skills/one/notes.md", "not a skill");
    file(&directory, "agents/pm/writer.md", "---\nname: writer\ndescription: use: always\ntags: x, y\n---\nBody\n");
    file(&directory, "agents/README.md", "not an agent");
    file(&directory, "commands/dev/run.md", "No front matter\n");
    for backend in Backend::all().await {
        let test = backend.database().await;

        let report = load(&test.db, Source::Claude(directory.path().to_owned())).await;
        let again = load(&test.db, Source::Claude(directory.path().to_owned())).await;

        assert_eq!(report.kinds["artifacts"].created, 3, "{report}");
        assert_eq!((report.rejected(), changed(&again)), (0, 0), "{again}");
        let answer = ask(&engine(&test.db), "{ collections { nodes { name artifacts(first: 10) { nodes { name type tags { slug } content metadata } } } } }").await;
        let text = answer["data"].to_string();
        for expected in
            ["agents/pm", "commands/dev", "\"skills\"", "# One", "\"slug\":\"x\"", "\"tools\":[\"a\",\"b\"]"]
        {
            assert!(text.contains(expected), "{expected}: {text}");
        }
    }
}

#[tokio::test]
async fn a_deal_brain_export_is_imported() {
    let directory = TempDir::new().expect("a directory");
    let text = serde_json::json!({
        "deal_brain_export": { "version": "1.0.0", "type": "collection" },
        "data": {
            "collection": { "id": 15, "name": "Small ones", "visibility": "public", "created_at": "2025-11-10T12:00:00Z" },
            "items": [
                { "listing": { "listing": { "id": 2, "title": "B", "price_usd": 9.5 } }, "position": 2, "status": "undecided", "notes": "maybe", "added_at": "2025-11-12T14:20:00Z" },
                { "listing": { "listing": { "id": 1, "title": "A", "seller": "S" }, "performance": { "cpu": { "cores": 4 } } }, "position": 1, "status": "shortlisted" },
            ],
        },
    });
    let path = file(&directory, "deal.json", &text.to_string());
    for backend in Backend::all().await {
        let test = backend.database().await;

        let report = load(&test.db, Source::DealBrain(path.clone())).await;
        let again = load(&test.db, Source::DealBrain(path.clone())).await;

        assert_eq!((report.rejected(), changed(&again)), (0, 0), "{report}{again}");
        let answer = ask(&engine(&test.db), "{ collections { nodes { name visibility artifacts { edges { position status note node { name author metadata } } } } } }").await;
        let edges = &answer["data"]["collections"]["nodes"][0]["artifacts"]["edges"];
        assert_eq!(edges[0]["node"]["name"], "A");
        assert_eq!(edges[0]["node"]["metadata"]["performance"]["cpu"]["cores"], 4);
        assert_eq!(
            (&edges[1]["status"], &edges[1]["note"], &edges[1]["position"]),
            (&"undecided".into(), &"maybe".into(), &1.into())
        );
        assert_eq!(answer["data"]["collections"]["nodes"][0]["visibility"], "PUBLIC");
    }
}

/// Schemas of SkillMeat databases: the current one, an older one whose memberships refer to `artifact_id`, and a minimal one.
pub const SHAPES: [&str; 3] = [
    "create table artifacts (id text primary key, uuid text unique, project_id text, name text, type text, description text, content text, created_at text, updated_at text, visibility text);
     create table collections (id text primary key, name text, description text, collection_type text, created_at text, updated_at text, visibility text);
     create table collection_artifacts (collection_id text, artifact_uuid text, added_at text, description text, author text, tags_json text, version text, synced_at text, primary key (collection_id, artifact_uuid));
     create table tags (id text primary key, name text, slug text, color text);
     create table artifact_tags (artifact_uuid text, tag_id text);
     create table groups (id text primary key, collection_id text, name text, color text, icon text, position integer, created_at text, updated_at text);
     create table group_artifacts (group_id text, artifact_uuid text, position integer, added_at text);
     create table artifact_versions (id text primary key, artifact_id text, content_hash text unique, change_origin text, created_at text);
     insert into artifacts values ('skill:a', '00000000000000000000000000000001', 'collection_artifacts_global', 'a', 'skill', null, 'text', '2026-01-01 10:00:00.123456', '2026-01-01 10:00:00', 'public');
     insert into artifacts values ('p:a', '00000000000000000000000000000002', 'p', 'a', 'skill', null, null, '2026-01-01 10:00:00', '2026-01-01 10:00:00', null);
     insert into artifacts values ('command:b', '00000000000000000000000000000003', 'p', 'b', 'command', 'their own', null, '2026-01-01 10:00:00', '2026-01-01 10:00:00', 'team');
     insert into collections values ('default', 'Mine', null, 'default', '2026-01-01 10:00:00', '2026-01-01 10:00:00', 'private');
     insert into collections values ('c2', 'Mine', null, null, '2026-01-02 10:00:00', '2026-01-02 10:00:00', null);
     insert into collection_artifacts values ('default', '00000000000000000000000000000001', '2026-01-03 10:00:00', 'old', 'me', '[\"Red Things\"]', '1', '2026-01-03 10:00:00');
     insert into collection_artifacts values ('c2', '00000000000000000000000000000001', '2026-01-04 10:00:00', 'fresh', 'me', 'not json', '2', '2026-01-05 10:00:00');
     insert into collection_artifacts values ('default', '00000000000000000000000000000003', '2026-01-02 10:00:00', null, null, null, null, null);
     insert into tags values ('t1', 'Blue', 'blue', '#0000ff');
     insert into artifact_tags values ('00000000000000000000000000000003', 't1');
     insert into groups values ('g1', 'default', 'first', 'slate', 'layers', 0, '2026-01-01 10:00:00', '2026-01-01 10:00:00');
     insert into groups values ('g2', 'default', 'second', 'slate', 'layers', 0, '2026-01-01 10:00:00', '2026-01-01 10:00:00');
     insert into group_artifacts values ('g1', '00000000000000000000000000000001', 0, '2026-01-03 10:00:00');
     insert into artifact_versions values ('v1', 'skill:a', 'abcdef0123456789', 'sync', '2026-01-01 10:00:00');",
    "create table alembic_version (version_num text);
     create table artifacts (id text primary key, project_id text, name text, type text, created_at text, updated_at text);
     create table collections (id text primary key, name text, created_at text, updated_at text);
     create table collection_artifacts (collection_id text, artifact_id text, added_at text);
     insert into artifacts values ('skill:a', 'x', 'a', 'skill', '2026-01-01 10:00:00', '2026-01-01 10:00:00');
     insert into collections values ('c1', 'One', '2026-01-01 10:00:00', '2026-01-01 10:00:00');
     insert into collection_artifacts values ('c1', 'skill:a', '2026-01-01 10:00:00');
     insert into collection_artifacts values ('c1', 'gone', '2026-01-01 10:00:00');",
    "create table artifacts (id text primary key, name text, type text);
     create table collections (id text primary key, name text);
     insert into artifacts values ('skill:a', 'a', 'skill');
     insert into collections values ('default', 'Default Collection');",
];

pub async fn database_of(shape: &'static str, path: &Path) {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
    let mut connection = options.connect().await.expect("a file");
    connection.execute(shape).await.expect("a schema");
}

#[tokio::test]
async fn every_shape_of_skillmeats_database_is_imported() {
    let directory = TempDir::new().expect("a directory");
    for backend in Backend::all().await {
        for (n, (shape, rejected)) in SHAPES.into_iter().zip([0, 1, 0]).enumerate() {
            let path = directory.path().join(format!("{backend:?}{n}.db"));
            database_of(shape, &path).await;
            let test = backend.database().await;

            let report = load(&test.db, Source::SkillMeat(path.clone())).await;
            let again = load(&test.db, Source::SkillMeat(path)).await;

            assert_eq!(report.rejected(), rejected, "{n}: {report}");
            assert_eq!(changed(&again), 0, "{n}: {again}");
            if n == 0 {
                let answer = ask(&engine(&test.db), "{ collections(first: 5) { nodes { name artifacts(first: 5) { nodes { name description version visibility tags { slug } versions { nodes { contentHash } } } } groups { nodes { name position artifactCount } } } } }").await;
                let expected = serde_json::json!([
                    {
                        "name": "Mine",
                        "artifacts": { "nodes": [
                            { "name": "b", "description": "their own", "version": null, "visibility": "PRIVATE", "tags": [{ "slug": "blue" }], "versions": { "nodes": [] } },
                            { "name": "a", "description": "fresh", "version": "2", "visibility": "PUBLIC", "tags": [{ "slug": "red-things" }], "versions": { "nodes": [{ "contentHash": "abcdef0123456789" }] } },
                        ] },
                        "groups": { "nodes": [
                            { "name": "first", "position": 0, "artifactCount": 1 },
                            { "name": "second", "position": 1, "artifactCount": 0 },
                        ] },
                    },
                    {
                        "name": "Mine (2)",
                        "artifacts": { "nodes": [
                            { "name": "a", "description": "fresh", "version": "2", "visibility": "PUBLIC", "tags": [{ "slug": "red-things" }], "versions": { "nodes": [{ "contentHash": "abcdef0123456789" }] } },
                        ] },
                        "groups": { "nodes": [] },
                    },
                ]);
                assert_eq!(answer["data"]["collections"]["nodes"], expected, "{backend:?}");
            }
        }
    }
}

/// Writes of SkillMeat while its database is watched: a new artifact in a collection, a change, and removals.
const WRITES: &str = "
    insert into artifacts values ('skill:new', '00000000000000000000000000000009', 'p', 'new', 'skill', null, null, '2026-01-01 10:00:00', '2026-01-01 10:00:00', null);
    insert into collection_artifacts values ('c2', '00000000000000000000000000000009', '2026-01-06 10:00:00', null, null, null, null, null);
    update collections set name = 'Renamed' where id = 'default';
    delete from collection_artifacts where collection_id = 'default' and artifact_uuid = '00000000000000000000000000000003';
    delete from artifacts where id = 'command:b';
    delete from groups where id = 'g2';
    delete from tags where id = 't1';";

async fn run(path: &Path, sql: &'static str) {
    let options = SqliteConnectOptions::new().filename(path);
    options.connect().await.expect("a file").execute(sql).await.expect("statements that are right");
}

fn counts(report: &ImportReport, kind: &str) -> [u64; 4] {
    let counts = report.kinds.get(kind).copied().unwrap_or_default();
    [counts.created, counts.updated, counts.unchanged, counts.removed]
}

#[tokio::test]
async fn a_repeated_import_removes_what_its_source_no_longer_has() {
    let directory = TempDir::new().expect("a directory");
    for backend in Backend::all().await {
        let path = directory.path().join(format!("{backend:?}.db"));
        database_of(SHAPES[0], &path).await;
        let test = backend.database().await;
        let (mut sync, source) = (SourceSync::default(), Source::SkillMeat(path.clone()));
        let mut import = async || sync.import(&test.db, source.clone()).await.expect("an import");

        let first = import().await;
        assert_eq!((counts(&first, "artifacts"), counts(&first, "tags")), ([2, 0, 0, 0], [2, 0, 0, 0]), "{first}");
        run(&path, WRITES).await;
        // One collection takes the name that another one had before it was renamed: that needs a second import.
        let renaming = import().await;
        assert_eq!((renaming.rejected(), counts(&renaming, "artifacts")), (1, [1, 0, 1, 0]), "{renaming}");
        let second = import().await;
        assert_eq!(counts(&second, "artifacts"), [0, 0, 2, 1], "{second}");
        assert_eq!(counts(&second, "memberships")[3], 1, "{second}");
        assert_eq!(counts(&second, "groups"), [0, 0, 1, 1], "{second}");
        // Tags are not removed, because other artifacts may have them.
        assert_eq!(counts(&second, "tags")[3], 0, "{second}");
        assert_eq!(import().await.written(), 0);

        // A source without artifacts is probably being rewritten: nothing is removed.
        run(&path, "delete from artifacts; delete from collection_artifacts").await;
        assert_eq!(import().await.written(), 0);
        let answer = ask(&engine(&test.db), "{ artifacts { totalCount } collections { nodes { name } } }").await;
        let expected = serde_json::json!({
            "artifacts": { "totalCount": 2 },
            "collections": { "nodes": [{ "name": "Mine" }, { "name": "Renamed" }] },
        });
        assert_eq!(answer["data"], expected, "{backend:?}");
    }
}

#[tokio::test]
async fn subscribers_receive_the_changes_of_a_watched_database() {
    let directory = TempDir::new().expect("a directory");
    for backend in Backend::all().await {
        let path = directory.path().join(format!("{backend:?}.db"));
        database_of(SHAPES[0], &path).await;
        let test = backend.database().await;
        let engine = Arc::new(engine(&test.db));
        let (sender, mut reports) = tokio::sync::mpsc::unbounded_channel();
        let watched = (test.db.clone(), path.clone());
        let watching = tokio::spawn(async move {
            watch(&watched.0, &watched.1, None, |outcome| Ok(sender.send(outcome.expect("an import"))?)).await
        });
        reports.recv().await.expect("the first import");
        let query = "subscription { catalogChanged { kind node { ... on Artifact { name } ... on Collection { name } ... on Group { name } } } }";
        let request = Request { query: query.to_owned(), ..Request::default() };
        let Ok(mut events) = engine.subscribe(request).await else { panic!("{query} is a subscription") };

        run(&path, WRITES).await;

        let mut received = Vec::new();
        while received.len() < 8 {
            let event = tokio::time::timeout(Duration::from_secs(20), events.next()).await.expect("an event in time");
            let event: serde_json::Value = serde_json::from_slice(&event.expect("an event").body).expect("JSON");
            let event = &event["data"]["catalogChanged"];
            received.push(format!("{} {}", event["kind"].as_str().expect("a kind"), event["node"]["name"]));
        }
        received.sort_unstable();
        let expected = [
            "ARTIFACTS_ADDED \"Mine (2)\"",
            "ARTIFACTS_MOVED \"Renamed\"",
            "ARTIFACTS_REMOVED \"Renamed\"",
            "CREATED \"new\"",
            "DELETED null",
            "DELETED null",
            "UPDATED \"Mine\"",
            "UPDATED \"Renamed\"",
        ];
        assert_eq!(received, expected, "{backend:?}");
        watching.abort();
    }
}

#[tokio::test]
async fn a_source_of_another_kind_is_rejected() {
    let directory = TempDir::new().expect("a directory");
    let path = file(&directory, "x.txt", "hello");
    let test = Backend::Sqlite.database().await;
    for source in [
        Source::SkillMeat(path.clone()),
        Source::DealBrain(path.clone()),
        Source::Csv(path.clone()),
        Source::Claude(path),
    ] {
        assert!(import(&test.db, source.clone(), ImportOptions::default(), |_| {}).await.is_err(), "{source:?}");
    }
    assert_eq!(dump(&test.db).await.lines().count(), 1);
}

#[tokio::test]
async fn the_demo_is_imported_once() {
    for backend in Backend::all().await {
        let test = backend.database().await;

        gatherum::transfer::load_demo(&test.db, None).await.expect("the demo");
        let first = dump(&test.db).await;
        gatherum::transfer::load_demo(&test.db, None).await.expect("nothing to do");

        assert!(first.lines().filter(|line| line.contains("\"record\":\"artifact\"")).count() > 200);
        assert_eq!(dump(&test.db).await, first);
    }
}

#[tokio::test]
async fn real_catalogues_are_imported() {
    let Ok(folder) = std::env::var(SHARED_VARIABLE) else {
        eprintln!("SKIPPED: {SHARED_VARIABLE} is not set");
        return;
    };
    let folder = PathBuf::from(folder);
    for backend in Backend::all().await {
        let test = backend.database().await;

        let report = load(&test.db, Source::SkillMeat(folder.join("skillmeat-cache.db"))).await;

        assert_eq!(report.kinds["artifacts"].created, 2_036);
        assert_eq!(report.kinds["memberships"].created, 4_072);
        assert_eq!((report.kinds["groups"].created, report.kinds["tags"].created), (10, 31));
        assert_eq!(report.rejected(), 0);
    }
}
