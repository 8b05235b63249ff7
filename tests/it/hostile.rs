//! Bad input: a clear error with its code, and the server lives on.
use serde_json::{Value, json};

use crate::{
    app::{ask, ask_with, engine},
    backend::Backend,
    fixture,
};

#[tokio::test]
async fn bad_input_is_an_error_with_a_code() {
    for backend in Backend::all().await {
        let test = backend.database().await;
        fixture::fill(&test.db, 10).await;
        let engine = engine(&test.db);
        let answer = ask(
            &engine,
            "{ artifacts(first: 2, orderBy: { field: NAME, direction: ASC }) { pageInfo { endCursor } } }",
        )
        .await;
        let foreign = answer["data"]["artifacts"]["pageInfo"]["endCursor"].as_str().expect("a cursor").to_owned();
        let megabyte = "x".repeat(1 << 20);
        let fields = "{ nodes { id } }";
        let cases: Vec<(String, Value, &str)> = vec![
            (format!("{{ artifacts(first: -1) {fields} }}"), json!({}), "BAD_USER_INPUT"),
            (format!("{{ artifacts(first: 101) {fields} }}"), json!({}), "BAD_USER_INPUT"),
            (format!("{{ artifacts(last: 9999) {fields} }}"), json!({}), "BAD_USER_INPUT"),
            (format!("{{ artifacts(first: 1, last: 1) {fields} }}"), json!({}), "BAD_USER_INPUT"),
            (format!("{{ artifacts(after: \"{foreign}\") {fields} }}"), json!({}), "BAD_USER_INPUT"),
            (format!("{{ collections(after: \"{foreign}\") {fields} }}"), json!({}), "BAD_USER_INPUT"),
            (format!("{{ artifacts(after: \"AAAA\") {fields} }}"), json!({}), "BAD_USER_INPUT"),
            ("{ artifact(id: \"1\") { id } }".into(), json!({}), "BAD_USER_INPUT"),
            ("{ artifact(id: \"collection_00000000000000000000000000\") { id } }".into(), json!({}), "BAD_USER_INPUT"),
            ("{ node(id: \"user_00000000000000000000000000\") { id } }".into(), json!({}), "BAD_USER_INPUT"),
            ("query ($s: String!) { tag(slug: $s) { id } }".into(), json!({"s": "a\u{0}b"}), "BAD_USER_INPUT"),
            ("query ($s: String!) { collections { nodes { artifactCount(type: $s) } } }".into(), json!({"s": "\u{0}"}), "BAD_USER_INPUT"),
            ("query ($s: String!) { artifacts(filter: {search: $s}) { totalCount } }".into(), json!({"s": megabyte}), "BAD_USER_INPUT"),
            ("query ($s: String!) { artifacts(after: $s) { totalCount } }".into(), json!({"s": megabyte}), "BAD_USER_INPUT"),
            ("query ($s: ID!) { node(id: $s) { id } }".into(), json!({"s": megabyte}), "BAD_USER_INPUT"),
            ("query ($ids: [ID!]!) { nodes(ids: $ids) { id } }".into(), json!({"ids": vec!["x"; 101]}), "BAD_USER_INPUT"),
            ("{ artifacts { nodes { description(maxLength: -1) } } }".into(), json!({}), "BAD_USER_INPUT"),
            ("{ artifacts { facets { tags(first: 1001) { value } } } }".into(), json!({}), "BAD_USER_INPUT"),
            ("query ($n: Int!) { artifacts(first: $n) { totalCount } }".into(), json!({}), "BAD_USER_INPUT"),
            ("query ($n: Int!) { artifacts(first: $n) { totalCount } }".into(), json!({"n": "x"}), "GRAPHQL_VALIDATION_FAILED"),
            ("{ artifacts(filter: {createdAfter: \"yesterday\"}) { totalCount } }".into(), json!({}), "BAD_USER_INPUT"),
            ("{ ...A } fragment A on Query { ...A }".into(), json!({}), "GRAPHQL_VALIDATION_FAILED"),
            ("{ artifacts { nodes { nothing } } }".into(), json!({}), "GRAPHQL_VALIDATION_FAILED"),
            ("{".repeat(20_000), json!({}), "LIMIT_EXCEEDED"),
            (megabyte.clone(), json!({}), "LIMIT_EXCEEDED"),
            ("{ artifacts(first: 100) { nodes { collections(first: 100) { nodes { artifacts(first: 100) { nodes { id } } } } } } }".into(), json!({}), "LIMIT_EXCEEDED"),
            ("subscription { x }".into(), json!({}), "GRAPHQL_VALIDATION_FAILED"),
        ];
        for (query, variables, code) in cases {
            let answer = ask_with(&engine, &query, variables).await;

            assert_eq!(answer["errors"][0]["extensions"]["code"], code, "{query:.100} {answer:.300}");
            let message = answer["errors"][0]["message"].as_str().expect("a message");
            assert!((1..500).contains(&message.len()), "{message:.100}");
        }
        assert_eq!(ask(&engine, "{ artifacts { totalCount } }").await["data"]["artifacts"]["totalCount"], 10);
    }
}

#[tokio::test]
async fn what_is_missing_is_null() {
    for backend in Backend::all().await {
        let test = backend.database().await;
        fixture::fill(&test.db, 3).await;
        let engine = engine(&test.db);
        let nobody = "artifact_7zzzzzzzzzzzzzzzzzzzzzzzzz";
        let query = format!(
            "{{ artifact(id: \"{nobody}\") {{ id }} node(id: \"{nobody}\") {{ id }} nodes(ids: [\"{nobody}\"]) {{ id }}
               tag(slug: \"none\") {{ id }} artifacts(filter: {{ search: \"zzz\" }}) {{ totalCount nodes {{ id }} pageInfo {{ endCursor }} }} }}"
        );

        let answer = ask(&engine, &query).await;

        let expected = json!({
            "artifact": null, "node": null, "nodes": [null], "tag": null,
            "artifacts": { "totalCount": 0, "nodes": [], "pageInfo": { "endCursor": null } },
        });
        assert_eq!(answer["data"], expected, "{answer}");
        assert_eq!(answer["errors"], Value::Null);
    }
}

#[tokio::test]
async fn a_dropped_request_gives_its_connection_back() {
    for backend in Backend::all().await {
        let test = backend.database().await;
        fixture::fill(&test.db, 50).await;
        let engine = engine(&test.db);
        for _ in 0..50 {
            let mut request =
                std::pin::pin!(ask(&engine, "{ artifacts { nodes { collections { nodes { name } } } } }"));
            // Polled once, then dropped with its statement under way.
            assert!(futures_util::poll!(&mut request).is_pending());
        }

        let answer = ask(&engine, "{ artifacts { totalCount } }").await;

        assert_eq!(answer["data"]["artifacts"]["totalCount"], 50, "{backend:?} {answer}");
    }
}
