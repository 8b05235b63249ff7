//! Imports of CSV, NDJSON, Deal Brain exports and SkillMeat databases as people and programs write them, on both databases.
use std::{fs, path::PathBuf};

use gatherum::{
    db::Db,
    transfer::{ImportOptions, ImportReport, NoticeKind, Source, export, import},
};
use serde_json::{Value, json};
use sqlx::{ConnectOptions, Executor, sqlite::SqliteConnectOptions};
use tempfile::TempDir;

use crate::backend::{Backend, TestDb};

/// A file in a directory of its own.
struct SourceFile {
    path: PathBuf,
    _directory: TempDir,
}

impl SourceFile {
    fn new(bytes: impl AsRef<[u8]>) -> Self {
        let directory = TempDir::new().expect("a directory");
        let path = directory.path().join("source");
        fs::write(&path, bytes).expect("a file");
        Self { path, _directory: directory }
    }

    async fn sqlite(sql: &'static str) -> Self {
        let file = Self::new("");
        let options = SqliteConnectOptions::new().filename(&file.path);
        options.connect().await.expect("a database").execute(sql).await.expect("a schema");
        file
    }
}

const STRICT: ImportOptions = ImportOptions { owner: None, is_dry_run: true, is_strict: true };

async fn load(db: &Db, source: Source) -> ImportReport {
    import(db, source, ImportOptions::default(), |_| {}).await.expect("an import")
}

/// The message of an import that fails.
async fn failure(db: &Db, source: Source) -> String {
    format!("{:#}", import(db, source, ImportOptions::default(), |_| {}).await.expect_err("an error"))
}

/// The records of a database of one kind, sorted by name.
async fn records(db: &Db, kind: &str) -> Vec<Value> {
    let mut out = Vec::new();
    export(db, None, &mut out).await.expect("an export");
    let text = String::from_utf8(out).expect("text");
    let records = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let mut records: Vec<Value> = records.filter(|record| record["record"] == kind).collect();
    records.sort_by_key(|record| record["name"].to_string());
    records
}

async fn names(db: &Db, kind: &str) -> Vec<String> {
    let name = |record: Value| record["name"].as_str().expect("a name").to_owned();
    records(db, kind).await.into_iter().map(name).collect()
}

fn rejected_at(report: &ImportReport) -> Vec<&str> {
    report.rejections().iter().map(|record| record.location.as_str()).collect()
}

/// The locations and texts of notices of one kind.
fn notices(report: &ImportReport, kind: NoticeKind) -> Vec<String> {
    let notices = report.notices().filter(|notice| notice.kind == kind);
    notices.map(|notice| format!("{}: {}", notice.location, notice.text)).collect()
}

async fn databases() -> Vec<TestDb> {
    let mut databases = Vec::new();
    for backend in Backend::all().await {
        databases.push(backend.database().await);
    }
    databases
}

#[tokio::test]
async fn a_rejected_csv_row_rejects_no_other_row() {
    let long_tag = "x".repeat(101);
    let rejected_rows = [
        "Bad Type!,one,Mine,hot,,".to_owned(),
        format!("skill,{},Mine,hot,,", "n".repeat(256)),
        "skill,one,Mine,hot,31/01/2026,".to_owned(),
        "skill,nul\0,Mine,hot,,".to_owned(),
        "skill,one,Mine,hot,,FRIENDS".to_owned(),
        "skill,\"one,Mine,hot,,".to_owned(),
        "skill,\"one\" two,Mine,hot,,".to_owned(),
    ];
    for test in databases().await {
        for (n, row) in rejected_rows.iter().enumerate() {
            let text = format!(
                "type,name,collections,tags,created_at,visibility\n{row}\nskill,two {n},Mine {n},🔥;hot;{long_tag},2026-01-31,public\nskill,three {n},Mine {n},\"a, b\",2026-01-31 12:00:00,\n"
            );

            let file = SourceFile::new(text);
            let report = load(&test.db, Source::Csv(file.path.clone())).await;

            assert_eq!(rejected_at(&report), ["line 2"], "{row}: {report}");
            assert_eq!(report.kinds["memberships"].created, 2, "{row}: {report}");
            assert_eq!(notices(&report, NoticeKind::NotStored).len(), 1, "{row}: {report}");
        }
        let expected: Vec<String> = (0..rejected_rows.len()).map(|n| format!("Mine {n}")).collect();
        assert_eq!(names(&test.db, "collection").await, expected);
        assert_eq!(names(&test.db, "tag").await, ["a, b", "hot", "🔥"]);
    }
}

#[tokio::test]
async fn csv_is_read_as_spreadsheets_write_it() {
    let texts = [
        "type;name;description\nskill;one;First\n",
        "sep=,\r\nType,NAME,Description\r\nSkill,one,First\r\n",
        "\u{feff}\"type\"\t\"name\"\t\"description\"\r\t\t\rskill\tone\tFirst\r",
        "type,name,description,,\n,,,,\nskill,one,First,,\n\n,,\n",
    ];
    for test in databases().await {
        for text in texts {
            let file = SourceFile::new(text);

            let report = load(&test.db, Source::Csv(file.path.clone())).await;

            assert_eq!(report.rejected(), 0, "{text:?}: {report}");
            assert_eq!(notices(&report, NoticeKind::NotStored), Vec::<String>::new(), "{text:?}");
            let artifacts = records(&test.db, "artifact").await;
            assert_eq!(artifacts.len(), 1, "{text:?}");
            let fields = [&artifacts[0]["type"], &artifacts[0]["name"], &artifacts[0]["description"]];
            assert_eq!(fields, ["skill", "one", "First"], "{text:?}");
        }
    }
}

#[tokio::test]
async fn cells_beyond_the_columns_are_reported_and_rejected_if_strict() {
    let file = SourceFile::new("type,name,,stars\nskill,one,lost,5,extra\nskill,two,,5\nskill,three\n");
    for test in databases().await {
        let source = Source::Csv(file.path.clone());

        let strict = import(&test.db, source.clone(), STRICT, |_| {}).await.expect("a report");
        let report = load(&test.db, source).await;

        assert_eq!((report.rejected(), report.kinds["artifacts"].created), (0, 3), "{report}");
        let expected = ["line 2: column 3 has no name: `lost`", "line 2: column 5 has no name: `extra`"];
        assert_eq!(notices(&report, NoticeKind::NotStored), expected);
        assert_eq!((rejected_at(&strict), strict.kinds["artifacts"].created), (vec!["line 2"], 2), "{strict}");
    }
}

#[tokio::test]
async fn files_of_other_formats_are_named() {
    let gzip = b"\x1f\x8b\x08\0\0\0\0\0\0\x03".as_slice();
    let utf16: Vec<u8> = "type,name\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let cases = [
        (gzip, "gzip"),
        (utf16.as_slice(), "UTF-16"),
        (b"PK\x03\x04rest".as_slice(), "Excel"),
        (b"SQLite format 3\0".as_slice(), "SQLite"),
    ];
    let test = Backend::Sqlite.database().await;
    for (bytes, expected) in cases {
        let file = SourceFile::new(bytes);
        for source in [
            Source::Csv(file.path.clone()),
            Source::Ndjson(Some(file.path.clone())),
            Source::DealBrain(file.path.clone()),
        ] {
            let message = failure(&test.db, source.clone()).await;
            assert!(message.contains(expected), "{source:?}: {message}");
        }
    }
    for text in ["[\n{}]", "[{}]", " [ ]"] {
        let file = SourceFile::new(text);
        let message = failure(&test.db, Source::Ndjson(Some(file.path.clone()))).await;
        assert!(message.contains("JSON array"), "{text}: {message}");
    }
    let file = SourceFile::new("kind,title\nskill,one\n");
    let message = failure(&test.db, Source::Csv(file.path.clone())).await;
    assert!(message.contains("its cells are: kind, title"), "{message}");
}

/// A line of NDJSON for an artifact with a version, a membership of it, and a collection.
fn artifact_line(n: u32, name: &str, time: &str) -> String {
    format!(
        r#"{{"record":"artifact","id":"{}","type":"skill","name":"{name}","tags":null,"created_at":"{time}","updated_at":"{time}"}}"#,
        global_id("artifact", n)
    )
}

fn global_id(prefix: &'static str, n: u32) -> String {
    gatherum::graphql::id::GlobalId { prefix, id: uuid::Uuid::from_u128(u128::from(n)) }.to_string()
}

/// Ids of collections differ from those of artifacts.
fn collection_id(n: u32) -> String {
    global_id("collection", n + 1_000)
}

fn collection_line(n: u32, name: &str) -> String {
    let id = collection_id(n);
    format!(
        r#"{{"record":"collection","id":"{id}","name":"{name}","created_at":"2026-01-01T00:00:00Z","updated_at":"2026-01-01T00:00:00Z"}}"#
    )
}

fn membership_line(collection: u32, artifact: u32) -> String {
    let (collection, artifact) = (collection_id(collection), global_id("artifact", artifact));
    format!(
        r#"{{"record":"membership","collection":"{collection}","artifact":"{artifact}","position":0,"added_at":"2026-01-01T00:00:00Z"}}"#
    )
}

const TIME: &str = "2026-01-01T00:00:00Z";

#[tokio::test]
async fn records_that_refer_to_a_rejected_one_are_rejected_with_the_cause() {
    let lines = [
        format!("\u{feff}{}", r#"{"record":"gatherum","format":1}"#),
        artifact_line(1, "good", TIME),
        artifact_line(2, "too early", "-009999-01-02T01:59:59Z"),
        artifact_line(3, "field", TIME).replace("\"tags\"", "\"tag\""),
        artifact_line(4, "good", TIME),
        "x".repeat(17 << 20),
        collection_line(1, "Mine"),
        collection_line(2, &"n".repeat(256)),
        membership_line(1, 1),
        membership_line(1, 2),
        membership_line(1, 3),
        membership_line(1, 4),
        membership_line(2, 1),
        membership_line(1, 99),
    ];
    for test in databases().await {
        let file = SourceFile::new(lines.join("\n"));

        let report = load(&test.db, Source::Ndjson(Some(file.path.clone()))).await;

        assert_eq!(report.kinds["memberships"].created, 1, "{report}");
        let reasons: std::collections::BTreeMap<&str, &str> =
            report.rejections().iter().map(|record| (record.location.as_str(), record.reason.as_str())).collect();
        assert_eq!((reasons.len(), report.rejected()), (10, 10), "{report}");
        let causes = [
            ("line 10", "its artifact was rejected (line 3)"),
            ("line 11", "its artifact was rejected (line 4)"),
            ("line 12", "its artifact was rejected (line 5)"),
            ("line 13", "its collection was rejected (line 8)"),
            ("line 14", "its artifact is missing"),
        ];
        for (line, cause) in causes {
            assert_eq!(reasons[line], cause, "{report}");
        }
        for line in ["line 3", "line 4", "line 5", "line 6", "line 8"] {
            assert!(reasons.contains_key(line), "{line}: {report}");
        }
    }
}

#[tokio::test]
async fn a_name_that_two_rows_of_a_batch_take_rejects_the_second() {
    for test in databases().await {
        let first = SourceFile::new([artifact_line(1, "a", TIME), artifact_line(2, "b", TIME)].join("\n"));
        load(&test.db, Source::Ndjson(Some(first.path.clone()))).await;
        for lines in [
            [artifact_line(3, "c", TIME), artifact_line(1, "c", TIME)],
            [artifact_line(1, "d", TIME), artifact_line(2, "d", TIME)],
        ] {
            let file = SourceFile::new(lines.join("\n"));

            let report = load(&test.db, Source::Ndjson(Some(file.path.clone()))).await;

            assert_eq!(rejected_at(&report), ["line 2"], "{report}");
        }
        assert_eq!(names(&test.db, "artifact").await, ["b", "c", "d"]);
    }
}

#[tokio::test]
async fn a_newer_format_is_named_and_its_known_records_are_imported() {
    let lines = [r#"{"record":"gatherum","format":2,"features":["x"]}"#.to_owned(), artifact_line(1, "good", TIME)];
    let file = SourceFile::new(lines.join("\n"));
    for test in databases().await {
        let report = load(&test.db, Source::Ndjson(Some(file.path.clone()))).await;

        assert_eq!((rejected_at(&report), report.kinds["artifacts"].created), (vec!["line 1"], 1));
        let reason = &report.rejections()[0].reason;
        assert!(reason.starts_with("format 2 is newer"), "{reason}");
    }
}

/// A Deal Brain export of a user, with listings: ids, titles and times.
fn deal_brain(user: &str, listings: &[(u32, &str, &str)]) -> SourceFile {
    let items: Vec<Value> = listings
        .iter()
        .map(|(id, title, time)| json!({ "listing": { "listing": { "id": id, "title": title, "created_at": time } }, "position": id.to_string(), "added_at": time, "rank": 1 }))
        .collect();
    let root = json!({
        "deal_brain_export": { "version": "1.0.0", "exported_by": user },
        "data": { "collection": { "id": 1, "name": "Small", "created_at": "2026-01-31 12:00:00" }, "items": items },
    });
    SourceFile::new(format!("\u{feff}{root}"))
}

#[tokio::test]
async fn ids_and_titles_of_deal_brain_are_local_to_their_export() {
    let ann = deal_brain("ann", &[(2, "Mini", "2025-11-15T08:00:00.123456"), (1, "Mini", "yesterday"), (3, "", "")]);
    let ben = deal_brain("ben", &[(1, "Mini", "2026-01-31"), (2, "Other", "2026-01-31")]);
    for test in databases().await {
        let first = load(&test.db, Source::DealBrain(ann.path.clone())).await;
        let second = load(&test.db, Source::DealBrain(ben.path.clone())).await;
        let again = load(&test.db, Source::DealBrain(ann.path.clone())).await;
        let and_again = load(&test.db, Source::DealBrain(ben.path.clone())).await;

        assert_eq!((rejected_at(&first), second.rejected()), (vec!["data.items[2]"], 0), "{first}{second}");
        assert_eq!((again.written(), and_again.written()), (0, 0), "{again}{and_again}");
        let not_stored = notices(&first, NoticeKind::NotStored).join("\n");
        assert!(not_stored.contains("data.items[1]: `created_at` is not a time: `yesterday`"), "{not_stored}");
        assert!(not_stored.contains("data.items[0]: field `rank` is not imported"), "{not_stored}");
        let artifacts = records(&test.db, "artifact").await;
        let titles: Vec<&str> = artifacts.iter().map(|artifact| artifact["name"].as_str().expect("a name")).collect();
        assert_eq!(
            (titles.len(), titles.iter().filter(|title| title.starts_with("Mini (")).count()),
            (4, 2),
            "{titles:?}"
        );
        assert!(titles.contains(&"Mini") && titles.contains(&"Other"), "{titles:?}");
        let times: Vec<&Value> = artifacts.iter().map(|artifact| &artifact["created_at"]).collect();
        assert!(times.contains(&&json!("2025-11-15T08:00:00.123456Z")), "{times:?}");
        let collections = records(&test.db, "collection").await;
        assert_eq!(collections.len(), 2);
        assert_eq!(collections[0]["created_at"], "2026-01-31T12:00:00.000Z");
        assert_eq!(records(&test.db, "membership").await.len(), 4);
    }
}

#[tokio::test]
async fn a_skillmeat_database_is_recognised_by_its_columns() {
    let test = Backend::Sqlite.database().await;
    let cases = [
        ("create table artifacts (a); create table collections (b);", "no column artifacts.id"),
        ("create table artifacts (id, name, type);", "no table collections"),
        ("create table notes (id);", "no table artifacts"),
    ];
    for (sql, expected) in cases {
        let file = SourceFile::sqlite(sql).await;
        let message = failure(&test.db, Source::SkillMeat(file.path.clone())).await;
        assert!(message.contains(expected), "{message}");
    }
    let own = PathBuf::from(test.config.url.strip_prefix("sqlite://").expect("a file"));
    let message = failure(&test.db, Source::SkillMeat(own)).await;
    assert!(message.contains("gatherum export"), "{message}");
}

#[tokio::test]
async fn parts_of_a_skillmeat_database_that_are_not_imported_are_reported() {
    let file = SourceFile::sqlite(
        "create table artifacts (id, name, type, created_at, is_outdated, visibility);
         create table collections (id, name, collection_type, context_category, created_by);
         create table collection_artifacts (collection_id, artifact_id, added_at);
         create table artifact_versions (id, artifact_id, content_hash);
         create table projects (id);
         create table empty_table (id);
         insert into artifacts values ('skill:a', 'a', 'skill', 'yesterday', 1, 'team'), ('skill:b', 'b', 'skill', '2026-01-31 12:00:00', null, 'public');
         insert into collections values ('c', 'C', 'context', 'rules', null), ('d', 'D', 'default', null, 'me');
         insert into collection_artifacts values ('c', 'skill:a', null), ('c', 'gone', null);
         insert into artifact_versions values ('v', 'gone', 'hash');
         insert into projects values (1), (2);",
    )
    .await;
    for test in databases().await {
        let source = Source::SkillMeat(file.path.clone());

        let report = load(&test.db, source.clone()).await;
        let strict = import(&test.db, source, STRICT, |_| {}).await.expect("a report");

        let expected = [
            "artifacts.is_outdated: the column is not imported; values: 1",
            "artifacts skill:a: created_at is not a time: `yesterday`",
            "artifacts skill:a: visibility `team` is unknown: it is PRIVATE",
            "collections.created_by: the column is not imported; values: 1",
            "projects: the table is not imported; rows: 2",
        ];
        assert_eq!(notices(&report, NoticeKind::NotStored), expected, "{report}");
        assert_eq!(rejected_at(&report), ["artifact_versions v", "collection_artifacts c gone"], "{report}");
        assert_eq!(strict.rejected(), 7, "{strict}");
        let collections = records(&test.db, "collection").await;
        assert_eq!([&collections[0]["kind"], &collections[1]["kind"]], ["context/rules", "default"]);
    }
}
