//! Case files: query, response and statements in one snapshot, which is the same for both databases; and pages of lists,
//! which must fit together.
use std::{fs, path::Path};

use serde_json::Value;

use crate::{
    app::{ask, engine},
    backend::Backend,
    fixture,
};

/// Artifacts of the catalogue on which cases run.
const SIZE: usize = 12;

/// The query, the response, and each statement with its keys and rows.
fn snapshot(query: &str, answer: &Value) -> String {
    let mut text = format!("{}\n\n", query.trim());
    let mut shown = answer.clone();
    shown.as_object_mut().expect("an object").remove("extensions");
    text += &serde_json::to_string_pretty(&shown).expect("JSON");
    let report = &answer["extensions"]["gatherum"];
    text += &format!("\n\n{} statements in {} rounds\n", report["statements"], report["rounds"]);
    for batch in report["batches"].as_array().into_iter().flatten() {
        let relation = batch["relation"].as_str().unwrap_or_default();
        text += &format!("{relation}: {} keys, {} rows\n", batch["keys"], batch["rows"]);
    }
    text
}

#[tokio::test]
async fn every_case_has_the_same_answer_on_both_databases() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut cases: Vec<_> = fs::read_dir(&folder)
        .expect("the cases")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "graphql"))
        .collect();
    cases.sort();
    assert!(cases.len() >= 8);
    for backend in Backend::all().await {
        let test = backend.database().await;
        fixture::fill(&test.db, SIZE).await;
        let engine = engine(&test.db);
        for path in &cases {
            let query = fs::read_to_string(path).expect("a query");
            let answer = ask(&engine, &query).await;
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();

            insta::with_settings!({ snapshot_path => &folder, prepend_module_to_snapshot => false, omit_expression => true }, {
                insta::assert_snapshot!(name, snapshot(&query, &answer));
            });
        }
    }
}

/// The maximum number of pages of a list. A cursor that does not proceed fails a test instead of keeping it busy.
const PAGES_MAX: usize = 100;

/// Reads a list page by page, and returns the names in the order read.
async fn names(engine: &gatherum::app::Engine, arguments: &str, size: usize, backward: bool) -> Vec<String> {
    let (mut names, mut cursor) = (Vec::new(), None::<String>);
    for _page in 0..PAGES_MAX {
        let (count, place) = if backward { ("last", "before") } else { ("first", "after") };
        let goes_on = cursor.as_ref().map_or_else(String::new, |cursor| format!(", {place}: \"{cursor}\""));
        let query = format!(
            "{{ artifacts({count}: {size}{goes_on}, {arguments}) {{ nodes {{ name }} pageInfo {{ hasNextPage hasPreviousPage startCursor endCursor }} }} }}"
        );
        let answer = ask(engine, &query).await;
        assert_eq!(answer["errors"], Value::Null, "{query}");
        let page = &answer["data"]["artifacts"];
        let mut read: Vec<String> = page["nodes"]
            .as_array()
            .expect("nodes")
            .iter()
            .map(|node| node["name"].as_str().expect("a name").to_owned())
            .collect();
        if backward {
            read.reverse();
        }
        names.extend(read);
        let (more, before, next) = match backward {
            false => ("hasNextPage", "hasPreviousPage", "endCursor"),
            true => ("hasPreviousPage", "hasNextPage", "startCursor"),
        };
        assert_eq!(page["pageInfo"][before], cursor.is_some(), "{query}");
        if page["pageInfo"][more] != true {
            return names;
        }
        cursor = Some(page["pageInfo"][next].as_str().expect("a cursor").to_owned());
    }
    panic!("the pages of {arguments} do not end");
}

#[tokio::test]
async fn pages_of_any_size_and_direction_fit_together() {
    for backend in Backend::all().await {
        let test = backend.database().await;
        fixture::fill(&test.db, 25).await;
        let engine = engine(&test.db);
        for field in ["CREATED_AT", "UPDATED_AT", "NAME", "TYPE"] {
            for direction in ["ASC", "DESC"] {
                let arguments = format!("orderBy: {{ field: {field}, direction: {direction} }}");
                let whole = names(&engine, &arguments, 100, false).await;
                assert_eq!(whole.len(), 25);
                for size in [1, 7, 25] {
                    let mut backward = names(&engine, &arguments, size, true).await;
                    backward.reverse();

                    assert_eq!(names(&engine, &arguments, size, false).await, whole, "{backend:?} {arguments} {size}");
                    assert_eq!(backward, whole, "{backend:?} {arguments} {size} backwards");
                }
            }
        }
        let ranked = names(&engine, "filter: { search: \"what\" }", 4, false).await;
        assert_eq!(ranked, names(&engine, "filter: { search: \"what\" }", 100, false).await);
    }
}

#[tokio::test]
async fn a_cursor_outlives_its_edge() {
    for backend in Backend::all().await {
        let test = backend.database().await;
        fixture::fill(&test.db, 10).await;
        let engine = engine(&test.db);
        let page = |after: String| {
            format!(
                "{{ artifacts(first: 3{after}, orderBy: {{ field: NAME, direction: ASC }}) {{ nodes {{ name }} pageInfo {{ endCursor }} }} }}"
            )
        };
        let first = ask(&engine, &page(String::new())).await;
        let cursor = first["data"]["artifacts"]["pageInfo"]["endCursor"].as_str().expect("a cursor").to_owned();
        let mut tx = test.db.begin().await.expect("a transaction");
        let mut sql = tx.sql();
        sql.push("delete from artifacts where name = 'artifact 0002'");
        tx.execute("test", sql).await.expect("a statement");
        tx.commit().await.expect("a commit");

        let second = ask(&engine, &page(format!(", after: \"{cursor}\""))).await;

        assert_eq!(second["data"]["artifacts"]["nodes"][0]["name"], "artifact 0003", "{backend:?}");
    }
}

#[tokio::test]
async fn kept_counts_follow_cascades_moves_and_changes_of_type() {
    for backend in Backend::all().await {
        let test = backend.database().await;
        fixture::fill(&test.db, 20).await;
        for statement in [
            "delete from groups where name = 'group 0'",
            "delete from group_artifacts",
            "update artifacts set type = 'listing' where name < 'artifact 0005'",
            "update artifacts set name = name || '!' where name > 'artifact 0015'",
            "delete from artifacts where name = 'artifact 0007'",
            "insert into collections (id, name, created_at, updated_at) select o.id, 'new', o.created_at, o.updated_at from artifacts o where o.name = 'artifact 0000'",
            "update collection_artifacts set collection_id = (select id from collections where name = 'new')
             where artifact_name = 'artifact 0010' and collection_id in (select id from collections where name = 'collection 0002')",
            "delete from collections where name = 'collection 0001'",
            "delete from collection_artifacts where artifact_type = 'skill'",
        ] {
            let mut tx = test.db.begin().await.expect("a transaction");
            let mut sql = tx.sql();
            sql.push(statement);
            tx.execute("test", sql).await.expect("a statement");
            tx.commit().await.expect("a commit");

            let wrong = gatherum::catalog::collection::wrong_counts(&test.db).await.expect("counts");
            assert_eq!(wrong, 0, "{backend:?} {statement}");
        }
    }
}

#[tokio::test]
async fn wrong_counts_are_found_and_repaired() {
    use gatherum::catalog::collection::{repair_counts, wrong_counts};
    for backend in Backend::all().await {
        let test = backend.database().await;
        fixture::fill(&test.db, 20).await;
        let mut tx = test.db.begin().await.expect("a transaction");
        let mut sql = tx.sql();
        sql.push("update collection_counts set n = n + 1 where artifact_type = 'skill'");
        tx.execute("test", sql).await.expect("a statement");
        tx.commit().await.expect("a commit");

        assert!(wrong_counts(&test.db).await.expect("counts") > 0);
        repair_counts(&test.db).await.expect("a repair");
        assert_eq!(wrong_counts(&test.db).await.expect("counts"), 0, "{backend:?}");
    }
}
