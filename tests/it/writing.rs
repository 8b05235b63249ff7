//! Mutations: their effects, their rejections and their number of statements, which are the same on both databases.
use gatherum::{
    app::Engine,
    graphql::{Execute, Request},
};
use serde_json::{Value, json};

use crate::{
    app::{ask_with, engine, engine_with, statements},
    backend::{Backend, TestDb},
};

/// An engine over an empty catalogue of each database.
async fn engines() -> Vec<(Backend, TestDb, Engine)> {
    let mut engines = Vec::new();
    for backend in Backend::all().await {
        let test = backend.database().await;
        let engine = engine(&test.db);
        engines.push((backend, test, engine));
    }
    engines
}

/// Runs a mutation with one field and returns the value of the field.
async fn write(engine: &Engine, field: &str, ty: &str, input: Value, selection: &str) -> Value {
    let document = format!("mutation($input: {ty}!) {{ {field}(input: $input) {{ {selection} }} }}");
    let answer = ask_with(engine, &document, json!({ "input": input })).await;
    assert_eq!(answer["errors"], Value::Null, "{field} {input} {answer}");
    answer["data"][field].clone()
}

/// Runs a mutation that is rejected and returns the code, the field of the input and the message.
async fn refused(engine: &Engine, field: &str, ty: &str, input: Value) -> (String, Value, String) {
    let document = format!("mutation($input: {ty}!) {{ {field}(input: $input) {{ __typename }} }}");
    let answer = ask_with(engine, &document, json!({ "input": input })).await;
    assert_eq!(answer["data"], json!({ field: null }), "{field} {input} {answer}");
    let error = &answer["errors"][0];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (text(&error["extensions"]["code"]), error["extensions"]["field"].clone(), text(&error["message"]))
}

async fn artifact(engine: &Engine, name: &str) -> Value {
    let input = json!({ "type": "skill", "name": name });
    write(engine, "createArtifact", "CreateArtifactInput", input, "artifact { id }").await["artifact"]["id"].clone()
}

async fn artifacts(engine: &Engine, count: usize, prefix: &str) -> Vec<Value> {
    let mut ids = Vec::new();
    for start in (0..count).step_by(1_000) {
        let inputs: Vec<Value> = (start..count.min(start + 1_000))
            .map(|n| json!({ "type": "skill", "name": format!("{prefix} {n:05}") }))
            .collect();
        let input = json!({ "artifacts": inputs });
        let made = write(engine, "createArtifacts", "CreateArtifactsInput", input, "results { artifact { id } }").await;
        let results = made["results"].as_array().expect("results").clone();
        ids.extend(results.iter().map(|result| result["artifact"]["id"].clone()));
    }
    ids
}

async fn collection(engine: &Engine, name: &str, artifacts: &[Value]) -> Value {
    let input = json!({ "name": name, "artifactIds": artifacts });
    write(engine, "createCollection", "CreateCollectionInput", input, "collection { id }").await["collection"]["id"]
        .clone()
}

/// The ids of the members of a collection in their order, with their positions.
async fn members(engine: &Engine, id: &Value) -> Vec<Value> {
    let document = "query($id: ID!) { collection(id: $id) { artifactCount artifacts(first: 100) { totalCount edges { position node { id } } } } }";
    let answer = ask_with(engine, document, json!({ "id": id })).await;
    let found = &answer["data"]["collection"];
    let edges = found["artifacts"]["edges"].as_array().expect("edges");
    assert_eq!(found["artifactCount"], json!(edges.len()), "{answer}");
    assert_eq!(found["artifacts"]["totalCount"], json!(edges.len()));
    for (place, edge) in edges.iter().enumerate() {
        assert_eq!(edge["position"], json!(place));
    }
    edges.iter().map(|edge| edge["node"]["id"].clone()).collect()
}

#[tokio::test]
async fn an_artifact_is_made_with_all_it_has_and_changed_by_name() {
    for (backend, _test, engine) in engines().await {
        let shelf = collection(&engine, "Shelf", &[]).await;
        let input = json!({
            "type": "skill", "name": "  Lint  ", "description": "Looks for mistakes.", "source": "github:a/b", "author": "Ada",
            "license": "MIT", "content": "# Lint", "metadata": { "stars": 3 }, "visibility": "PUBLIC",
            "tags": ["Code Quality", "rust", "Rust"], "collectionIds": [shelf], "version": "1.0.0"
        });
        let selection = "artifact { id name description content metadata visibility version revision tags { name slug }
            collections { nodes { name artifactCount revision } } versions { nodes { version } } }";
        let made = write(&engine, "createArtifact", "CreateArtifactInput", input, selection).await;
        let id = made["artifact"]["id"].clone();
        let mut expected = json!({ "artifact": {
            "name": "Lint", "description": "Looks for mistakes.", "content": "# Lint", "metadata": { "stars": 3 },
            "visibility": "PUBLIC", "version": "1.0.0", "revision": 1,
            "tags": [{ "name": "Code Quality", "slug": "code-quality" }, { "name": "rust", "slug": "rust" }],
            "collections": { "nodes": [{ "name": "Shelf", "artifactCount": 1, "revision": 2 }] },
            "versions": { "nodes": [{ "version": "1.0.0" }] }
        } });
        expected["artifact"]["id"] = id.clone();
        assert_eq!(made, expected, "{backend:?}");

        let input = json!({ "id": id, "expectedRevision": 1, "description": null, "name": "Linter" });
        let changed = write(
            &engine,
            "updateArtifact",
            "UpdateArtifactInput",
            input,
            "artifact { name description author content revision }",
        )
        .await;
        assert_eq!(
            changed,
            json!({ "artifact": { "name": "Linter", "description": null, "author": "Ada", "content": "# Lint", "revision": 2 } })
        );

        let input = json!({ "artifactId": id, "version": "1.1.0", "notes": "Faster." });
        let selection = "artifactVersion { version notes artifact { version revision } }";
        let added = write(&engine, "addArtifactVersion", "AddArtifactVersionInput", input, selection).await;
        assert_eq!(added["artifactVersion"]["artifact"], json!({ "version": "1.1.0", "revision": 3 }));

        let stale = refused(&engine, "deleteArtifact", "DeleteInput", json!({ "id": id, "expectedRevision": 2 })).await;
        assert_eq!((stale.0.as_str(), &stale.1), ("CONFLICT", &json!("expectedRevision")), "{}", stale.2);
        let deleted = write(&engine, "deleteArtifact", "DeleteInput", json!({ "id": id }), "deletedId").await;
        assert_eq!(deleted["deletedId"], id);
        assert_eq!(members(&engine, &shelf).await, Vec::<Value>::new());
    }
}

#[tokio::test]
async fn what_cannot_be_written_is_refused_with_its_field() {
    for (backend, _test, engine) in engines().await {
        let skill = artifact(&engine, "Lint").await;
        let other = artifact(&engine, "Other").await;
        let shelf = collection(&engine, "Shelf", std::slice::from_ref(&skill)).await;
        let gone = json!("artifact_00000000000000000000000000");
        let cases = [
            (
                "createArtifact",
                "CreateArtifactInput",
                json!({ "type": "skill", "name": " " }),
                "BAD_USER_INPUT",
                "name",
            ),
            (
                "createArtifact",
                "CreateArtifactInput",
                json!({ "type": "A skill", "name": "x" }),
                "BAD_USER_INPUT",
                "type",
            ),
            ("createArtifact", "CreateArtifactInput", json!({ "type": "skill", "name": "Lint" }), "CONFLICT", "name"),
            (
                "createArtifact",
                "CreateArtifactInput",
                json!({ "type": "skill", "name": "x", "metadata": [1] }),
                "BAD_USER_INPUT",
                "metadata",
            ),
            (
                "createArtifact",
                "CreateArtifactInput",
                json!({ "type": "skill", "name": "x", "content": "a\u{0}b" }),
                "BAD_USER_INPUT",
                "content",
            ),
            (
                "createArtifact",
                "CreateArtifactInput",
                json!({ "type": "skill", "name": "x", "tags": ["a", ""] }),
                "BAD_USER_INPUT",
                "tags.1",
            ),
            (
                "createArtifact",
                "CreateArtifactInput",
                json!({ "type": "skill", "name": "x", "collectionIds": ["collection_00000000000000000000000000"] }),
                "NOT_FOUND",
                "collectionIds",
            ),
            ("updateArtifact", "UpdateArtifactInput", json!({ "id": gone }), "NOT_FOUND", "id"),
            ("updateArtifact", "UpdateArtifactInput", json!({ "id": shelf }), "BAD_USER_INPUT", "id"),
            ("updateArtifact", "UpdateArtifactInput", json!({ "id": other, "name": "Lint" }), "CONFLICT", "name"),
            ("updateArtifact", "UpdateArtifactInput", json!({ "id": other, "name": null }), "BAD_USER_INPUT", "name"),
            (
                "updateArtifact",
                "UpdateArtifactInput",
                json!({ "id": other, "expectedRevision": 7 }),
                "CONFLICT",
                "expectedRevision",
            ),
            ("createArtifacts", "CreateArtifactsInput", json!({ "artifacts": [] }), "BAD_USER_INPUT", "artifacts"),
            ("createCollection", "CreateCollectionInput", json!({ "name": "Shelf" }), "CONFLICT", "name"),
            (
                "createCollection",
                "CreateCollectionInput",
                json!({ "name": "x", "color": "red" }),
                "BAD_USER_INPUT",
                "color",
            ),
            (
                "createCollection",
                "CreateCollectionInput",
                json!({ "name": "x", "artifactIds": [skill, gone] }),
                "NOT_FOUND",
                "artifactIds.1",
            ),
            (
                "updateCollection",
                "UpdateCollectionInput",
                json!({ "id": shelf, "expectedRevision": 9 }),
                "CONFLICT",
                "expectedRevision",
            ),
            (
                "addArtifactsToCollection",
                "AddArtifactsToCollectionInput",
                json!({ "collectionId": "collection_00000000000000000000000000", "artifactIds": [skill] }),
                "NOT_FOUND",
                "collectionId",
            ),
            (
                "moveCollectionArtifacts",
                "MoveCollectionArtifactsInput",
                json!({ "collectionId": shelf, "artifactIds": [other] }),
                "NOT_FOUND",
                "artifactIds.0",
            ),
            (
                "moveCollectionArtifacts",
                "MoveCollectionArtifactsInput",
                json!({ "collectionId": shelf, "artifactIds": [skill], "afterArtifactId": other }),
                "NOT_FOUND",
                "afterArtifactId",
            ),
            (
                "moveCollectionArtifacts",
                "MoveCollectionArtifactsInput",
                json!({ "collectionId": shelf, "artifactIds": [skill], "afterArtifactId": skill }),
                "BAD_USER_INPUT",
                "artifactIds.0",
            ),
            (
                "updateCollectionArtifact",
                "UpdateCollectionArtifactInput",
                json!({ "collectionId": shelf, "artifactId": other }),
                "NOT_FOUND",
                "artifactId",
            ),
            (
                "transferArtifacts",
                "TransferArtifactsInput",
                json!({ "fromCollectionId": shelf, "toCollectionId": shelf, "artifactIds": [] }),
                "BAD_USER_INPUT",
                "toCollectionId",
            ),
            (
                "createGroup",
                "CreateGroupInput",
                json!({ "collectionId": shelf, "name": "g", "artifactIds": [other] }),
                "NOT_FOUND",
                "artifactIds.0",
            ),
            ("deleteGroup", "DeleteInput", json!({ "id": "group_00000000000000000000000000" }), "NOT_FOUND", "id"),
            (
                "tagArtifacts",
                "TagArtifactsInput",
                json!({ "artifactIds": [skill], "tags": [" "] }),
                "BAD_USER_INPUT",
                "tags.0",
            ),
            ("deleteTag", "DeleteInput", json!({ "id": "tag_00000000000000000000000000" }), "NOT_FOUND", "id"),
        ];
        for (field, ty, input, code, at) in cases {
            let (found, field_of_input, message) = refused(&engine, field, ty, input.clone()).await;
            assert_eq!((found.as_str(), field_of_input), (code, json!(at)), "{backend:?} {field} {input}: {message}");
        }
        // The transaction was rolled back.
        let answer =
            ask_with(&engine, "{ artifacts { totalCount } collections { totalCount } tags { totalCount } }", json!({}))
                .await;
        assert_eq!(
            answer["data"],
            json!({ "artifacts": { "totalCount": 2 }, "collections": { "totalCount": 1 }, "tags": { "totalCount": 0 } })
        );
    }
}

#[tokio::test]
async fn a_batch_is_kept_whole_or_in_its_good_parts() {
    for (backend, _test, engine) in engines().await {
        artifact(&engine, "taken").await;
        let items = json!([
            { "type": "skill", "name": "one" },
            { "type": "skill", "name": "taken" },
            { "type": "skill", "name": "one" },
            { "type": "Skill", "name": "two" },
            { "type": "skill", "name": "three" }
        ]);
        let selection = "succeeded failed results { index artifact { name } error { code field } }";
        let input = json!({ "artifacts": items });
        let atomic = write(&engine, "createArtifacts", "CreateArtifactsInput", input, selection).await;
        let codes = |payload: &Value| -> Vec<Value> {
            payload["results"]
                .as_array()
                .expect("results")
                .iter()
                .map(|result| result["error"]["code"].clone())
                .collect()
        };
        assert_eq!((&atomic["succeeded"], &atomic["failed"]), (&json!(0), &json!(5)), "{backend:?}");
        assert_eq!(codes(&atomic), ["ABORTED", "CONFLICT", "CONFLICT", "BAD_USER_INPUT", "ABORTED"].map(Value::from));

        let input = json!({ "artifacts": items, "mode": "PARTIAL" });
        let partial = write(&engine, "createArtifacts", "CreateArtifactsInput", input, selection).await;
        assert_eq!((&partial["succeeded"], &partial["failed"]), (&json!(2), &json!(3)));
        assert_eq!(partial["results"][4], json!({ "index": 4, "artifact": { "name": "three" }, "error": null }));
        assert_eq!(codes(&partial)[1..4], ["CONFLICT", "CONFLICT", "BAD_USER_INPUT"].map(Value::from));

        let input = json!({ "mode": "PARTIAL", "artifacts": [
            { "type": "skill", "name": "one", "description": "Known.", "tags": ["a"] },
            { "type": "skill", "name": "four", "visibility": "PUBLIC" }
        ] });
        let selection = "succeeded results { artifact { name description revision visibility tags { slug } } }";
        let upserted = write(&engine, "upsertArtifacts", "CreateArtifactsInput", input, selection).await;
        assert_eq!(
            upserted["results"],
            json!([
                { "artifact": { "name": "one", "description": "Known.", "revision": 2, "visibility": "PRIVATE", "tags": [{ "slug": "a" }] } },
                { "artifact": { "name": "four", "description": null, "revision": 1, "visibility": "PUBLIC", "tags": [] } }
            ])
        );

        let answer = ask_with(
            &engine,
            "{ artifacts(orderBy: { field: NAME, direction: ASC }) { nodes { id name } } }",
            json!({}),
        )
        .await;
        let nodes = answer["data"]["artifacts"]["nodes"].as_array().expect("nodes").clone();
        let ids: Vec<Value> = nodes.iter().map(|node| node["id"].clone()).collect();
        // Names: four, one, taken, three.
        let input = json!({ "mode": "PARTIAL", "artifacts": [
            { "id": ids[0], "name": "five" }, { "id": ids[1], "name": "taken" }, { "id": ids[2], "author": "Ada" }
        ] });
        let selection = "results { artifact { name author } error { code field } }";
        let updated = write(&engine, "updateArtifacts", "UpdateArtifactsInput", input, selection).await;
        assert_eq!(
            updated["results"],
            json!([
                { "artifact": { "name": "five", "author": null }, "error": null },
                { "artifact": null, "error": { "code": "CONFLICT", "field": "name" } },
                { "artifact": { "name": "taken", "author": "Ada" }, "error": null }
            ])
        );

        let input = json!({ "ids": [ids[0], ids[0], ids[1]] });
        let selection = "succeeded failed results { deletedId error { code } }";
        let atomic = write(&engine, "deleteArtifacts", "DeleteArtifactsInput", input.clone(), selection).await;
        assert_eq!((&atomic["succeeded"], &atomic["failed"]), (&json!(0), &json!(3)));
        let input = json!({ "ids": input["ids"], "mode": "PARTIAL" });
        let partial = write(&engine, "deleteArtifacts", "DeleteArtifactsInput", input, selection).await;
        assert_eq!((&partial["succeeded"], &partial["failed"]), (&json!(2), &json!(1)));
        let left = ask_with(&engine, "{ artifacts { totalCount } }", json!({})).await;
        assert_eq!(left["data"]["artifacts"]["totalCount"], json!(2));
    }
}

#[tokio::test]
async fn members_come_leave_and_move() {
    for (backend, _test, engine) in engines().await {
        let ids = artifacts(&engine, 6, "a").await;
        let [a, b, c, d, e, f] = [0, 1, 2, 3, 4, 5].map(|n| ids[n].clone());
        let shelf = collection(&engine, "Shelf", &[a.clone(), b.clone(), c.clone()]).await;
        let gone = json!("artifact_00000000000000000000000000");

        let input = json!({ "collectionId": shelf, "artifactIds": [d, b, gone, d], "status": "new", "note": "n" });
        let selection = "changedIds unchangedIds notFoundIds collection { revision artifactCount }";
        let added = write(&engine, "addArtifactsToCollection", "AddArtifactsToCollectionInput", input, selection).await;
        assert_eq!(
            added,
            json!({ "changedIds": [d], "unchangedIds": [b], "notFoundIds": [gone], "collection": { "revision": 2, "artifactCount": 4 } }),
            "{backend:?}"
        );
        assert_eq!(members(&engine, &shelf).await, [&a, &b, &c, &d].map(Clone::clone));

        for (moved, after, expected) in [
            (vec![&d, &c], None, [&d, &c, &a, &b]),
            (vec![&d], Some(&b), [&c, &a, &b, &d]),
            (vec![&d, &a], Some(&c), [&c, &d, &a, &b]),
            (vec![&a], Some(&d), [&c, &d, &a, &b]),
        ] {
            let input = json!({ "collectionId": shelf, "artifactIds": moved, "afterArtifactId": after });
            write(&engine, "moveCollectionArtifacts", "MoveCollectionArtifactsInput", input, "collection { id }").await;
            assert_eq!(members(&engine, &shelf).await, expected.map(Clone::clone), "{backend:?} {moved:?} {after:?}");
        }

        let other = collection(&engine, "Other", &[e.clone(), d.clone()]).await;
        let input = json!({ "fromCollectionId": shelf, "toCollectionId": other, "artifactIds": [b, d, f] });
        let selection = "movedIds notFoundIds from { artifactCount } to { artifactCount }";
        let transferred = write(&engine, "transferArtifacts", "TransferArtifactsInput", input, selection).await;
        assert_eq!(
            transferred,
            json!({ "movedIds": [b, d], "notFoundIds": [f], "from": { "artifactCount": 2 }, "to": { "artifactCount": 3 } })
        );
        assert_eq!(members(&engine, &shelf).await, [&c, &a].map(Clone::clone));
        assert_eq!(members(&engine, &other).await, [&e, &d, &b].map(Clone::clone));

        let input = json!({ "collectionId": other, "artifactId": b, "note": "kept", "status": null });
        write(&engine, "updateCollectionArtifact", "UpdateCollectionArtifactInput", input, "collection { id }").await;
        let input = json!({ "collectionId": other, "name": "Front", "artifactIds": [b, e] });
        let group =
            write(&engine, "createGroup", "CreateGroupInput", input, "group { id }").await["group"]["id"].clone();
        let selection = "collection { id name visibility artifacts { edges { note status node { id } } }
            groups { nodes { name artifacts { nodes { id } } } } }";
        let copied = write(&engine, "copyCollection", "CopyCollectionInput", json!({ "id": other }), selection).await;
        assert_eq!(copied["collection"]["name"], "Other (copy)");
        assert_eq!(
            copied["collection"]["artifacts"]["edges"],
            json!([
                { "note": null, "status": null, "node": { "id": e } },
                { "note": null, "status": null, "node": { "id": d } },
                { "note": "kept", "status": null, "node": { "id": b } }
            ])
        );
        let groups = json!({ "nodes": [{ "name": "Front", "artifacts": { "nodes": [{ "id": b }, { "id": e }] } }] });
        assert_eq!(copied["collection"]["groups"], groups);
        let again =
            write(&engine, "copyCollection", "CopyCollectionInput", json!({ "id": other }), "collection { name }")
                .await;
        assert_eq!(again["collection"]["name"], "Other (copy 2)");

        let input = json!({ "id": group, "collectionId": shelf, "name": "Guests" });
        let selection = "group { name position collection { id } artifacts { nodes { id } } }";
        let copied = write(&engine, "copyGroup", "CopyGroupInput", input, selection).await;
        assert_eq!(copied["group"]["artifacts"]["nodes"], json!([{ "id": b }, { "id": e }]));
        // New members are at the end, in the order of the collection from which they come.
        assert_eq!(members(&engine, &shelf).await, [&c, &a, &e, &b].map(Clone::clone));

        let input = json!({ "collectionId": shelf, "artifactIds": [e, f] });
        let selection = "changedIds unchangedIds notFoundIds";
        let removed =
            write(&engine, "removeArtifactsFromCollection", "CollectionArtifactsInput", input, selection).await;
        assert_eq!(removed, json!({ "changedIds": [e], "unchangedIds": [f], "notFoundIds": [] }));
    }
}

#[tokio::test]
async fn groups_have_an_order_and_so_have_their_artifacts() {
    for (backend, _test, engine) in engines().await {
        let ids = artifacts(&engine, 4, "a").await;
        let shelf = collection(&engine, "Shelf", &ids).await;
        let mut groups = Vec::new();
        for name in ["one", "two", "three"] {
            let input = json!({ "collectionId": shelf, "name": name });
            groups.push(
                write(&engine, "createGroup", "CreateGroupInput", input, "group { id }").await["group"]["id"].clone(),
            );
        }
        let order = async || {
            let document = "query($id: ID!) { collection(id: $id) { groups { nodes { name position } } } }";
            let answer = ask_with(&engine, document, json!({ "id": shelf })).await;
            let nodes = answer["data"]["collection"]["groups"]["nodes"].as_array().expect("groups").clone();
            for (place, node) in nodes.iter().enumerate() {
                assert_eq!(node["position"], json!(place));
            }
            nodes.iter().map(|node| node["name"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
        };
        for (group, position, expected) in [
            (2, 0, ["three", "one", "two"]),
            (2, 1, ["one", "three", "two"]),
            (0, 99, ["three", "two", "one"]),
            (1, 1, ["three", "two", "one"]),
        ] {
            let input = json!({ "id": groups[group], "position": position });
            write(&engine, "updateGroup", "UpdateGroupInput", input, "group { id }").await;
            assert_eq!(order().await, expected, "{backend:?} {group} {position}");
        }
        let taken =
            refused(&engine, "updateGroup", "UpdateGroupInput", json!({ "id": groups[0], "name": "two" })).await;
        assert_eq!((taken.0.as_str(), taken.1), ("CONFLICT", json!("name")));

        let group = &groups[0];
        let selection = "group { artifactCount revision artifacts { nodes { id } } }";
        let input = json!({ "groupId": group, "artifactIds": [ids[2], ids[0], ids[1]] });
        write(&engine, "addArtifactsToGroup", "GroupArtifactsInput", input, selection).await;
        let input = json!({ "groupId": group, "artifactIds": [ids[1]], "afterArtifactId": ids[2] });
        let moved = write(&engine, "moveGroupArtifacts", "MoveGroupArtifactsInput", input, selection).await;
        let expected = json!([{ "id": ids[2] }, { "id": ids[1] }, { "id": ids[0] }]);
        assert_eq!(moved["group"]["artifacts"]["nodes"], expected);
        let input = json!({ "groupId": group, "artifactIds": [ids[2], ids[3]] });
        let left = write(&engine, "removeArtifactsFromGroup", "GroupArtifactsInput", input, selection).await;
        assert_eq!(left["group"]["artifacts"]["nodes"], json!([{ "id": ids[1] }, { "id": ids[0] }]));
        write(&engine, "deleteGroup", "DeleteInput", json!({ "id": group }), "deletedId").await;
        assert_eq!(members(&engine, &shelf).await, ids);
    }
}

#[tokio::test]
async fn tags_are_made_on_first_use_and_known_by_name_or_slug() {
    for (backend, _test, engine) in engines().await {
        let ids = artifacts(&engine, 3, "a").await;
        let selection = "artifacts { revision tags { name slug } } notFoundIds";
        let gone = json!("artifact_00000000000000000000000000");
        let input = json!({ "artifactIds": [ids[0], gone, ids[1]], "tags": ["Code Quality", "C++", "code-quality"] });
        let tagged = write(&engine, "tagArtifacts", "TagArtifactsInput", input, selection).await;
        let tags =
            json!([{ "name": "C++", "slug": "c_plus_plus" }, { "name": "Code Quality", "slug": "code-quality" }]);
        let one = json!({ "revision": 2, "tags": tags });
        assert_eq!(tagged, json!({ "artifacts": [one, one], "notFoundIds": [gone] }), "{backend:?}");
        let input = json!({ "artifactIds": ids, "tags": ["code quality"] });
        let tagged = write(&engine, "tagArtifacts", "TagArtifactsInput", input, "artifacts { revision }").await;
        // Only the artifact whose tags differ has changed.
        assert_eq!(tagged["artifacts"], json!([{ "revision": 2 }, { "revision": 2 }, { "revision": 2 }]));
        let input = json!({ "artifactIds": [ids[0]], "tags": ["Code Quality", "never seen"] });
        let untagged =
            write(&engine, "untagArtifacts", "TagArtifactsInput", input, "artifacts { tags { slug } }").await;
        assert_eq!(untagged["artifacts"], json!([{ "tags": [{ "slug": "c_plus_plus" }] }]));

        let answer = ask_with(&engine, "{ tag(slug: \"c_plus_plus\") { id } tags { totalCount } }", json!({})).await;
        assert_eq!(answer["data"]["tags"]["totalCount"], json!(2));
        let id = answer["data"]["tag"]["id"].clone();
        let taken = refused(&engine, "updateTag", "UpdateTagInput", json!({ "id": id, "name": "code_quality" })).await;
        assert_eq!((taken.0.as_str(), taken.1), ("CONFLICT", json!("name")));
        let input = json!({ "id": id, "name": "C plus plus", "color": "#336699" });
        let renamed =
            write(&engine, "updateTag", "UpdateTagInput", input, "tag { name slug color artifactCount }").await;
        assert_eq!(
            renamed["tag"],
            json!({ "name": "C plus plus", "slug": "c-plus-plus", "color": "#336699", "artifactCount": 2 })
        );
        // The search index has the new name.
        let found = ask_with(&engine, "{ artifacts(filter: { search: \"plus\" }) { totalCount } }", json!({})).await;
        assert_eq!(found["data"]["artifacts"]["totalCount"], json!(2));
        write(&engine, "deleteTag", "DeleteInput", json!({ "id": id }), "deletedId").await;
        let found = ask_with(&engine, "{ artifacts(filter: { search: \"plus\" }) { totalCount } }", json!({})).await;
        assert_eq!(found["data"]["artifacts"]["totalCount"], json!(0));
    }
}

#[tokio::test]
async fn the_number_of_statements_does_not_depend_on_how_many_are_written() {
    for (backend, test, _) in engines().await {
        let engine = engine_with(&test.db, |config| config.limits.variable_list = 10_000);
        let ids = artifacts(&engine, 10_000, "a").await;
        let run = async |field: &str, ty: &str, input: Value, selection: &str| {
            let document = format!("mutation($input: {ty}!) {{ {field}(input: $input) {{ {selection} }} }}");
            let answer = ask_with(&engine, &document, json!({ "input": input })).await;
            assert_eq!(answer["errors"], Value::Null, "{backend:?} {field}");
            statements(&answer)
        };
        let mut figures = Vec::new();
        for count in [1, 150, 10_000] {
            let some = &ids[..count];
            let shelf = collection(&engine, &format!("shelf {count}"), &[]).await;
            let other = collection(&engine, &format!("other {count}"), &[]).await;
            let members = json!({ "collectionId": shelf, "artifactIds": some });
            let added =
                run("addArtifactsToCollection", "AddArtifactsToCollectionInput", members.clone(), "changedIds").await;
            let moved = run("moveCollectionArtifacts", "MoveCollectionArtifactsInput", members, "__typename").await;
            let input = json!({ "fromCollectionId": shelf, "toCollectionId": other, "artifactIds": some });
            let transferred = run("transferArtifacts", "TransferArtifactsInput", input, "movedIds").await;
            let copied = run("copyCollection", "CopyCollectionInput", json!({ "id": other }), "__typename").await;
            let input = json!({ "collectionId": other, "artifactIds": some });
            let removed = run("removeArtifactsFromCollection", "CollectionArtifactsInput", input, "changedIds").await;
            let input = json!({ "artifactIds": some, "tags": ["one", "two"] });
            let tagged = run("tagArtifacts", "TagArtifactsInput", input, "__typename").await;
            figures.push([added, moved, transferred, copied, removed, tagged]);
        }
        assert_eq!(figures[0], figures[1], "{backend:?}");
        assert_eq!(figures[0], figures[2], "{backend:?}");
        assert!(figures[0][0] <= 4, "{backend:?} adding takes {} statements", figures[0][0]);

        let batch = |count: usize, prefix: &str| -> Value {
            let item = |n| json!({ "type": "agent", "name": format!("{prefix} {n}"), "tags": ["x"], "version": "1" });
            json!({ "artifacts": (0..count).map(item).collect::<Vec<_>>() })
        };
        let few = run("createArtifacts", "CreateArtifactsInput", batch(2, "few"), "succeeded").await;
        let many = run("createArtifacts", "CreateArtifactsInput", batch(1_000, "many"), "succeeded").await;
        assert_eq!(few, many, "{backend:?}");
        let again = run("upsertArtifacts", "CreateArtifactsInput", batch(1_000, "many"), "succeeded").await;
        let new = run("upsertArtifacts", "CreateArtifactsInput", batch(3, "new"), "succeeded").await;
        assert_eq!(again, new, "{backend:?}");
    }
}

#[tokio::test]
async fn the_fields_of_a_mutation_follow_one_another_and_one_that_is_refused_is_null() {
    for (backend, _test, engine) in engines().await {
        let document = r#"mutation {
            a: createArtifact(input: { type: "skill", name: "first" }) { artifact { name collectionCount } }
            b: createCollection(input: { name: "shelf" }) { collection { name } }
            c: createCollection(input: { name: "shelf" }) { collection { name } }
            d: createCollection(input: { name: "board" }) { collection { name } }
        }"#;
        let answer = ask_with(&engine, document, json!({})).await;
        let expected = json!({
            "a": { "artifact": { "name": "first", "collectionCount": 0 } },
            "b": { "collection": { "name": "shelf" } },
            "c": null,
            "d": { "collection": { "name": "board" } },
        });
        assert_eq!(answer["data"], expected, "{backend:?}");
        assert_eq!(answer["errors"].as_array().map(Vec::len), Some(1), "{answer}");
        assert_eq!(answer["errors"][0]["path"], json!(["c"]));
        let left = ask_with(
            &engine,
            "{ artifacts { totalCount } collections(orderBy: { field: NAME, direction: ASC }) { nodes { name } } }",
            json!({}),
        )
        .await;
        assert_eq!(
            left["data"],
            json!({ "artifacts": { "totalCount": 1 }, "collections": { "nodes": [{ "name": "board" }, { "name": "shelf" }] } })
        );
    }
}

/// Executes a mutation with an idempotency key and returns the bytes of the response.
async fn under_key(engine: &Engine, key: &str, document: &str) -> String {
    let request = Request { query: document.to_owned(), idempotency_key: Some(key.to_owned()), ..Request::default() };
    String::from_utf8(engine.execute(request).await.body.to_vec()).expect("a text")
}

#[tokio::test]
async fn a_request_that_is_tried_again_writes_once_and_is_answered_alike() {
    for (backend, test, engine) in engines().await {
        let document = r#"mutation {
            a: createArtifact(input: { type: "skill", name: "Lint" }) { artifact { id name } }
            b: createCollection(input: { name: "Shelf" }) { collection { id } }
        }"#;
        let first = under_key(&engine, "one", document).await;
        assert!(first.contains("Lint") && !first.contains("errors"), "{backend:?} {first}");
        assert_eq!(under_key(&engine, "one", document).await, first);
        // Another node and a restarted one have the key too.
        let other = crate::app::engine(&gatherum::db::Db::open(&test.config).await.expect("the database"));
        assert_eq!(under_key(&other, "one", document).await, first);

        let misused =
            under_key(&engine, "one", "mutation { createCollection(input: { name: \"x\" }) { collection { id } } }");
        assert!(misused.await.contains("BAD_USER_INPUT"), "{backend:?}");
        let without = under_key(&engine, "two", document).await;
        assert!(without.contains("CONFLICT"), "{without}");

        // The first response was never finished: the next one is made from what was written.
        let mut tx = test.db.begin().await.expect("a transaction");
        let mut sql = tx.sql();
        sql.push("update idempotent_requests set answer = null where key = 'one'");
        assert_eq!(tx.execute("test", sql).await.expect("an update"), 1);
        tx.commit().await.expect("a commit");
        assert_eq!(under_key(&engine, "one", document).await, first);

        // Concurrent requests with one key write once.
        let document = "mutation { createCollection(input: { name: \"Board\" }) { collection { id name } } }";
        let all = futures_util::future::join_all((0..8).map(|_| under_key(&engine, "three", document))).await;
        assert!(all.iter().all(|answer| *answer == all[0] && answer.contains("Board")), "{backend:?} {all:?}");
        let left = ask_with(&engine, "{ artifacts { totalCount } collections { totalCount } }", json!({})).await;
        assert_eq!(
            left["data"],
            json!({ "artifacts": { "totalCount": 1 }, "collections": { "totalCount": 2 } }),
            "{backend:?}"
        );
    }
}

#[tokio::test]
async fn a_place_that_is_moved_to_again_and_again_does_not_run_out_of_room() {
    for (backend, test, engine) in engines().await {
        let ids = artifacts(&engine, 40, "a").await;
        let shelf = collection(&engine, "Shelf", &ids).await;
        let mut expected = ids.clone();
        let mut statements_taken = std::collections::BTreeSet::new();
        // Each move halves the gap after the first member. A gap of 2^20 keys is used up after 20 moves.
        for turn in 0..60 {
            let moved = expected[2 + turn % 30].clone();
            let document = "mutation($input: MoveCollectionArtifactsInput!) { moveCollectionArtifacts(input: $input) { __typename } }";
            let input = json!({ "collectionId": shelf, "artifactIds": [moved], "afterArtifactId": ids[0] });
            let answer = ask_with(&engine, document, json!({ "input": input })).await;
            assert_eq!(answer["errors"], Value::Null, "{backend:?} {turn} {answer}");
            statements_taken.insert(statements(&answer));
            expected.retain(|id| *id != moved);
            expected.insert(1, moved);
            assert_eq!(members(&engine, &shelf).await, expected, "{backend:?} {turn}");
        }
        assert_eq!(statements_taken.len(), 1, "{backend:?}");
        let mut sql = test.db.sql();
        sql.push("select count(*) - count(distinct sort_key) from collection_artifacts");
        assert_eq!(test.db.fetch::<i64>("keys", sql).await.expect("a count"), [0], "{backend:?}");
    }
}
