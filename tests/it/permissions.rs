//! Authorization of every operation of the schema, for every kind of viewer. A field without a row in the table fails.
use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures_util::{FutureExt, StreamExt};
use gatherum::{
    access::{Accounts, Token, TokenScope, Viewer},
    app::Engine,
    catalog::{Mutation, Query, Subscription},
    db::{Db, Time},
    graphql::{self, Execute, Request, Responses, id::GlobalId},
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    app::{TestApp, ask_json, ask_reported, engine},
    backend::Backend,
};

/// The viewers, in the order of the columns: without a token, the owner, another account, the owner with a token for
/// reading, an account with which the object is shared, and an administrator.
const COLUMNS: [&str; 6] = ["anonymous", "owner", "other", "owner, reading", "shared with", "admin"];

type Expected = [&'static str; 6];

const ALL_SEE: Expected = ["seen"; 6];
/// A private object that is shared with one account, by its id.
const BY_ID: Expected = ["null", "seen", "null", "seen", "seen", "seen"];
/// The same object in a list.
const LISTED: Expected = ["none", "some", "none", "some", "none", "some"];
/// Mutations that every viewer with write access may execute.
const WRITES: Expected = ["UNAUTHENTICATED", "seen", "seen", "FORBIDDEN", "seen", "seen"];
/// Mutations of a private object that is shared with one account.
const CHANGES: Expected = ["UNAUTHENTICATED", "seen", "NOT_FOUND", "FORBIDDEN", "FORBIDDEN", "seen"];
/// The same for an item of a batch.
const BATCH: Expected = ["UNAUTHENTICATED", "seen", "NOT_FOUND", "FORBIDDEN", "FORBIDDEN", "seen"];

/// A root field, a document that selects it, the path of a value in its response, and the value for each viewer: `null`,
/// the code of the error, `none` or `some` for a list, otherwise `seen`.
type Row = (&'static str, &'static str, &'static str, Expected);

const QUERIES: &[Row] = &[
    ("node", "query($artifact: ID!) { node(id: $artifact) { id } }", "/node", BY_ID),
    ("node", "query($collection: ID!) { node(id: $collection) { id } }", "/node", BY_ID),
    ("node", "query($group: ID!) { node(id: $group) { id } }", "/node", BY_ID),
    ("node", "query($version: ID!) { node(id: $version) { id } }", "/node", BY_ID),
    ("node", "query($tag: ID!) { node(id: $tag) { id } }", "/node", BY_ID),
    (
        "node",
        "query($owner: ID!) { node(id: $owner) { id } }",
        "/node",
        ["null", "seen", "seen", "seen", "seen", "seen"],
    ),
    ("node", "query($link: ID!) { node(id: $link) { id } }", "/node", ["null", "seen", "null", "seen", "null", "seen"]),
    ("node", "query($share: ID!) { node(id: $share) { id } }", "/node", BY_ID),
    ("nodes", "query($artifact: ID!) { nodes(ids: [$artifact]) { id } }", "/nodes/0", BY_ID),
    ("viewer", "{ viewer { scopes } }", "/viewer", ALL_SEE),
    ("viewer", "{ viewer { user { name } } }", "/viewer/user", ["null", "seen", "seen", "seen", "seen", "seen"]),
    (
        "viewer",
        "{ viewer { receivedShares { nodes { message } } } }",
        "/viewer/receivedShares/nodes",
        ["none", "none", "none", "none", "some", "none"],
    ),
    (
        "viewer",
        "{ viewer { sentShares { nodes { message } } } }",
        "/viewer/sentShares/nodes",
        ["none", "some", "none", "some", "none", "none"],
    ),
    ("user", "{ user(name: \"Ann\") { name } }", "/user", ["null", "seen", "seen", "seen", "seen", "seen"]),
    (
        "user",
        "{ user(name: \"Ann\") { collections { nodes { name } } } }",
        "/user/collections/nodes",
        ["null", "some", "none", "some", "none", "some"],
    ),
    ("artifact", "query($artifact: ID!) { artifact(id: $artifact) { name } }", "/artifact", BY_ID),
    (
        "artifact",
        "query($artifact: ID!) { artifact(id: $artifact) { shareLinks { id } } }",
        "/artifact/shareLinks",
        ["null", "some", "null", "some", "none", "some"],
    ),
    (
        "artifacts",
        "query($word: String!) { artifacts(filter: { search: $word }) { nodes { name } } }",
        "/artifacts/nodes",
        LISTED,
    ),
    ("collection", "query($collection: ID!) { collection(id: $collection) { name } }", "/collection", BY_ID),
    (
        "collection",
        "query($collection: ID!) { collection(id: $collection) { artifacts { nodes { content } } } }",
        "/collection/artifacts/nodes",
        ["null", "some", "null", "some", "some", "some"],
    ),
    (
        "collections",
        "query($word: String!) { collections(filter: { search: $word }) { nodes { name } } }",
        "/collections/nodes",
        LISTED,
    ),
    ("tag", "query($word: String!) { tag(slug: $word) { name } }", "/tag", BY_ID),
    ("tags", "query($word: String!) { tags(filter: { search: $word }) { nodes { name } } }", "/tags/nodes", LISTED),
    ("shared", "query($token: String!) { shared(token: $token) { viewCount } }", "/shared", ALL_SEE),
];

const MUTATIONS: &[Row] = &[
    (
        "createArtifact",
        "mutation($new: String!) { createArtifact(input: { type: \"skill\", name: $new }) { artifact { name } } }",
        "/createArtifact/artifact",
        WRITES,
    ),
    (
        "createArtifact",
        "mutation($new: String!, $collection: ID!) {
           createArtifact(input: { type: \"skill\", name: $new, collectionIds: [$collection] }) { artifact { name } }
         }",
        "/createArtifact/artifact",
        // The administrator has no private artifact to put into a collection of another account, so nothing is rejected.
        ["UNAUTHENTICATED", "seen", "NOT_FOUND", "FORBIDDEN", "FORBIDDEN", "FORBIDDEN"],
    ),
    (
        "updateArtifact",
        "mutation($artifact: ID!) { updateArtifact(input: { id: $artifact, author: \"x\" }) { artifact { name } } }",
        "/updateArtifact/artifact",
        CHANGES,
    ),
    (
        "deleteArtifact",
        "mutation($artifact: ID!) { deleteArtifact(input: { id: $artifact }) { deletedId } }",
        "/deleteArtifact",
        CHANGES,
    ),
    (
        "createArtifacts",
        "mutation($new: String!) {
           createArtifacts(input: { artifacts: [{ type: \"skill\", name: $new }] }) { results { error { code } } }
         }",
        "/createArtifacts/results/0",
        WRITES,
    ),
    (
        "upsertArtifacts",
        "mutation($word: String!) {
           upsertArtifacts(input: { artifacts: [{ type: \"skill\", name: $word, author: \"x\" }] }) { results { error { code } } }
         }",
        "/upsertArtifacts/results/0",
        WRITES,
    ),
    (
        "updateArtifacts",
        "mutation($artifact: ID!) {
           updateArtifacts(input: { artifacts: [{ id: $artifact, author: \"x\" }] }) { results { error { code } } }
         }",
        "/updateArtifacts/results/0",
        BATCH,
    ),
    (
        "deleteArtifacts",
        "mutation($artifact: ID!) { deleteArtifacts(input: { ids: [$artifact] }) { results { error { code } } } }",
        "/deleteArtifacts/results/0",
        BATCH,
    ),
    (
        "addArtifactVersion",
        "mutation($artifact: ID!) {
           addArtifactVersion(input: { artifactId: $artifact, version: \"2\" }) { artifactVersion { id } }
         }",
        "/addArtifactVersion",
        CHANGES,
    ),
    (
        "createCollection",
        "mutation($new: String!) { createCollection(input: { name: $new }) { collection { name } } }",
        "/createCollection/collection",
        WRITES,
    ),
    (
        "createCollection",
        "mutation($new: String!, $artifact: ID!) {
           createCollection(input: { name: $new, artifactIds: [$artifact] }) { collection { name } }
         }",
        "/createCollection/collection",
        ["UNAUTHENTICATED", "seen", "NOT_FOUND", "FORBIDDEN", "FORBIDDEN", "FORBIDDEN"],
    ),
    (
        "updateCollection",
        "mutation($collection: ID!) {
           updateCollection(input: { id: $collection, kind: \"x\" }) { collection { name } }
         }",
        "/updateCollection/collection",
        CHANGES,
    ),
    (
        "deleteCollection",
        "mutation($collection: ID!) { deleteCollection(input: { id: $collection }) { deletedId } }",
        "/deleteCollection",
        CHANGES,
    ),
    (
        "copyCollection",
        "mutation($collection: ID!) { copyCollection(input: { id: $collection }) { collection { name } } }",
        "/copyCollection/collection",
        ["UNAUTHENTICATED", "seen", "NOT_FOUND", "FORBIDDEN", "seen", "seen"],
    ),
    (
        "addArtifactsToCollection",
        "mutation($collection: ID!, $second: ID!) {
           addArtifactsToCollection(input: { collectionId: $collection, artifactIds: [$second] }) { changedIds }
         }",
        "/addArtifactsToCollection",
        CHANGES,
    ),
    (
        "removeArtifactsFromCollection",
        "mutation($collection: ID!, $artifact: ID!) {
           removeArtifactsFromCollection(input: { collectionId: $collection, artifactIds: [$artifact] }) { changedIds }
         }",
        "/removeArtifactsFromCollection",
        CHANGES,
    ),
    (
        "transferArtifacts",
        "mutation($collection: ID!, $other: ID!, $artifact: ID!) {
           transferArtifacts(input: { fromCollectionId: $collection, toCollectionId: $other, artifactIds: [$artifact] }) {
             movedIds
           }
         }",
        "/transferArtifacts/movedIds",
        ["UNAUTHENTICATED", "some", "NOT_FOUND", "FORBIDDEN", "FORBIDDEN", "some"],
    ),
    (
        "updateCollectionArtifact",
        "mutation($collection: ID!, $artifact: ID!) {
           updateCollectionArtifact(input: { collectionId: $collection, artifactId: $artifact, note: \"x\" }) {
             collection { name }
           }
         }",
        "/updateCollectionArtifact",
        CHANGES,
    ),
    (
        "moveCollectionArtifacts",
        "mutation($collection: ID!, $artifact: ID!) {
           moveCollectionArtifacts(input: { collectionId: $collection, artifactIds: [$artifact] }) { collection { name } }
         }",
        "/moveCollectionArtifacts",
        CHANGES,
    ),
    (
        "createGroup",
        "mutation($collection: ID!, $new: String!) {
           createGroup(input: { collectionId: $collection, name: $new }) { group { name } }
         }",
        "/createGroup/group",
        CHANGES,
    ),
    (
        "updateGroup",
        "mutation($group: ID!) { updateGroup(input: { id: $group, icon: \"x\" }) { group { name } } }",
        "/updateGroup/group",
        CHANGES,
    ),
    (
        "deleteGroup",
        "mutation($group: ID!) { deleteGroup(input: { id: $group }) { deletedId } }",
        "/deleteGroup",
        CHANGES,
    ),
    (
        "addArtifactsToGroup",
        "mutation($group: ID!, $artifact: ID!) {
           addArtifactsToGroup(input: { groupId: $group, artifactIds: [$artifact] }) { group { name } }
         }",
        "/addArtifactsToGroup",
        CHANGES,
    ),
    (
        "removeArtifactsFromGroup",
        "mutation($group: ID!, $artifact: ID!) {
           removeArtifactsFromGroup(input: { groupId: $group, artifactIds: [$artifact] }) { group { name } }
         }",
        "/removeArtifactsFromGroup",
        CHANGES,
    ),
    (
        "moveGroupArtifacts",
        "mutation($group: ID!, $artifact: ID!) {
           moveGroupArtifacts(input: { groupId: $group, artifactIds: [$artifact] }) { group { name } }
         }",
        "/moveGroupArtifacts",
        CHANGES,
    ),
    (
        "copyGroup",
        "mutation($group: ID!, $other: ID!) {
           copyGroup(input: { id: $group, collectionId: $other }) { group { name } }
         }",
        "/copyGroup/group",
        ["UNAUTHENTICATED", "seen", "NOT_FOUND", "FORBIDDEN", "NOT_FOUND", "seen"],
    ),
    (
        "tagArtifacts",
        "mutation($artifact: ID!) {
           tagArtifacts(input: { artifactIds: [$artifact], tags: [\"x\"] }) { artifacts { name } }
         }",
        "/tagArtifacts/artifacts",
        ["UNAUTHENTICATED", "some", "none", "FORBIDDEN", "FORBIDDEN", "some"],
    ),
    (
        "untagArtifacts",
        "mutation($artifact: ID!) {
           untagArtifacts(input: { artifactIds: [$artifact], tags: [\"x\"] }) { artifacts { name } }
         }",
        "/untagArtifacts/artifacts",
        ["UNAUTHENTICATED", "some", "none", "FORBIDDEN", "FORBIDDEN", "some"],
    ),
    (
        "updateTag",
        "mutation($tag: ID!) { updateTag(input: { id: $tag, color: \"#112233\" }) { tag { name } } }",
        "/updateTag/tag",
        ["UNAUTHENTICATED", "FORBIDDEN", "NOT_FOUND", "FORBIDDEN", "FORBIDDEN", "seen"],
    ),
    (
        "deleteTag",
        "mutation($tag: ID!) { deleteTag(input: { id: $tag }) { deletedId } }",
        "/deleteTag",
        ["UNAUTHENTICATED", "FORBIDDEN", "NOT_FOUND", "FORBIDDEN", "FORBIDDEN", "seen"],
    ),
    (
        "createShareLink",
        "mutation($collection: ID!) { createShareLink(input: { targetId: $collection }) { shareLink { token } } }",
        "/createShareLink/shareLink/token",
        CHANGES,
    ),
    (
        "createShareLink",
        "mutation($artifact: ID!) { createShareLink(input: { targetId: $artifact }) { shareLink { token } } }",
        "/createShareLink/shareLink/token",
        CHANGES,
    ),
    (
        "revokeShareLink",
        "mutation($link: ID!) { revokeShareLink(input: { id: $link }) { shareLink { revokedAt } } }",
        "/revokeShareLink/shareLink/revokedAt",
        ["UNAUTHENTICATED", "seen", "NOT_FOUND", "FORBIDDEN", "NOT_FOUND", "seen"],
    ),
    (
        "shareWithUser",
        "mutation($artifact: ID!, $recipient: ID!) {
           shareWithUser(input: { targetId: $artifact, recipientId: $recipient }) { share { id } }
         }",
        "/shareWithUser/share",
        CHANGES,
    ),
    (
        "revokeShare",
        "mutation($share: ID!) { revokeShare(input: { id: $share }) { share { expiresAt } } }",
        "/revokeShare/share/expiresAt",
        CHANGES,
    ),
    (
        "markShareViewed",
        "mutation($share: ID!) { markShareViewed(input: { id: $share }) { share { viewedAt } } }",
        "/markShareViewed/share/viewedAt",
        ["UNAUTHENTICATED", "NOT_FOUND", "NOT_FOUND", "FORBIDDEN", "seen", "NOT_FOUND"],
    ),
    (
        "importShare",
        "mutation($share: ID!, $shelf: ID!) {
           importShare(input: { shareId: $share, collectionId: $shelf }) { collection { artifactCount } }
         }",
        "/importShare/collection",
        ["UNAUTHENTICATED", "NOT_FOUND", "NOT_FOUND", "FORBIDDEN", "seen", "NOT_FOUND"],
    ),
];

/// The viewers that receive a change of a private object that is shared with one account, and the content of the event.
const SUBSCRIPTIONS: &[Row] = &[
    (
        "collectionChanged",
        "subscription($collection: ID!) { collectionChanged(id: $collection) { collectionId } }",
        "/collectionChanged/collectionId",
        BY_ID,
    ),
    (
        "catalogChanged",
        "subscription { catalogChanged { nodeId } }",
        "/catalogChanged/nodeId",
        ["null", "seen", "null", "seen", "null", "seen"],
    ),
];

/// Accounts: the owner, another one, one with shares, the administrator, and a recipient.
struct People {
    ann: Uuid,
    ben: Uuid,
    cleo: Uuid,
    dan: Uuid,
    eve: Uuid,
}

impl People {
    async fn add(db: &Db) -> Self {
        let accounts = Accounts::new(db);
        let add = async |name: &str| accounts.add(name).await.expect("an account").id;
        Self {
            ann: add("Ann").await,
            ben: add("Ben").await,
            cleo: add("Cleo").await,
            dan: add("Dan").await,
            eve: add("Eve").await,
        }
    }

    fn columns(&self) -> [Viewer; 6] {
        [
            Viewer::ANONYMOUS,
            Viewer::of(self.ann, TokenScope::Write),
            Viewer::of(self.ben, TokenScope::Write),
            Viewer::of(self.ann, TokenScope::Read),
            Viewer::of(self.cleo, TokenScope::Write),
            Viewer::of(self.dan, TokenScope::Admin),
        ]
    }
}

fn user_id(id: Uuid) -> String {
    GlobalId { prefix: "user", id }.to_string()
}

/// Creates objects of Ann, some of which are shared with Cleo, and returns the variables of all documents. `n` makes names
/// unique.
async fn belongings(engine: &Engine, db: &Db, people: &People, n: usize) -> Value {
    let ann = Viewer::of(people.ann, TokenScope::Write);
    let word = format!("word{n}");
    let made = "mutation($word: String!, $tags: [String!]) {
        createArtifacts(input: { artifacts: [
          { type: \"skill\", name: $word, tags: $tags, version: \"1\", content: \"…\" },
          { type: \"skill\", name: \"second\" }
        ], mode: PARTIAL }) { results { artifact { id tags { id } versions { nodes { id } } } } }
      }";
    let made = ask_json(engine, ann, made, &json!({ "word": word, "tags": [word] })).await;
    let artifact = &made["data"]["createArtifacts"]["results"][0]["artifact"];
    let second = "mutation($word: String!) {
        upsertArtifacts(input: { artifacts: [{ type: \"skill\", name: $word }] }) { results { artifact { id } } }
      }";
    let second = ask_json(engine, ann, second, &json!({ "word": format!("second{n}") })).await;
    let collections = "mutation($word: String!, $other: String!, $artifact: ID!) {
        collection: createCollection(input: { name: $word, artifactIds: [$artifact] }) { collection { id } }
        other: createCollection(input: { name: $other }) { collection { id } }
      }";
    let variables = json!({ "word": word, "other": format!("other{n}"), "artifact": artifact["id"] });
    let collections = ask_json(engine, ann, collections, &variables).await;
    let collection = &collections["data"]["collection"]["collection"]["id"];
    let rest = "mutation($collection: ID!, $artifact: ID!) {
        group: createGroup(input: { collectionId: $collection, name: \"group\", artifactIds: [$artifact] }) { group { id } }
        link: createShareLink(input: { targetId: $collection }) { shareLink { id token } }
        of: createShareLink(input: { targetId: $artifact }) { shareLink { id } }
      }";
    let rest = ask_json(engine, ann, rest, &json!({ "collection": collection, "artifact": artifact["id"] })).await;
    assert!(rest["errors"].is_null(), "{rest}");
    // The limit of ten an hour is too low for this test.
    let mut tx = db.begin().await.expect("a transaction");
    let mut sql = tx.sql();
    sql.push("delete from shares");
    tx.execute("shares", sql).await.expect("no shares");
    tx.commit().await.expect("a commit");
    let share = "mutation($collection: ID!, $recipient: ID!) {
        shareWithUser(input: { targetId: $collection, recipientId: $recipient, message: \"look\" }) { share { id } }
      }";
    let share =
        ask_json(engine, ann, share, &json!({ "collection": collection, "recipient": user_id(people.cleo) })).await;
    let shelf = "mutation($name: String!) { createCollection(input: { name: $name }) { collection { id } } }";
    let cleo = Viewer::of(people.cleo, TokenScope::Write);
    let shelf = ask_json(engine, cleo, shelf, &json!({ "name": format!("shelf{n}") })).await;
    json!({
        "word": word,
        "new": format!("new{n}"),
        "artifact": artifact["id"],
        "tag": artifact["tags"][0]["id"],
        "version": artifact["versions"]["nodes"][0]["id"],
        "second": second["data"]["upsertArtifacts"]["results"][0]["artifact"]["id"],
        "collection": collection,
        "other": collections["data"]["other"]["collection"]["id"],
        "group": rest["data"]["group"]["group"]["id"],
        "link": rest["data"]["link"]["shareLink"]["id"],
        "token": rest["data"]["link"]["shareLink"]["token"],
        "share": share["data"]["shareWithUser"]["share"]["id"],
        "shelf": shelf["data"]["createCollection"]["collection"]["id"],
        "owner": user_id(people.ann),
        "recipient": user_id(people.eve),
    })
}

/// The variables that a document declares.
fn declared(document: &str, variables: &Value) -> Value {
    let head = document.split('{').next().unwrap_or_default();
    let all = variables.as_object().expect("variables").iter();
    all.filter(|(name, _)| head.contains(&format!("${name}:")))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// The value in one word.
fn found(answer: &Value, pointer: &str) -> String {
    if let Some(code) = answer["errors"][0]["extensions"]["code"].as_str() {
        return code.to_owned();
    }
    let mut value = &answer["data"];
    for key in pointer.trim_start_matches('/').split('/') {
        value = key.parse::<usize>().map_or_else(|_| &value[key], |index| &value[index]);
    }
    match value {
        Value::Null => "null".to_owned(),
        Value::Array(items) => if items.is_empty() { "none" } else { "some" }.to_owned(),
        other => other["error"]["code"].as_str().unwrap_or("seen").to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everyone_may_do_what_the_table_says() {
    for backend in Backend::all().await {
        let test = backend.database().await;
        let engine = engine(&test.db);
        let people = People::add(&test.db).await;
        let mut wrong = Vec::new();
        let mut count = 0;
        for rows in [QUERIES, MUTATIONS] {
            for (field, document, pointer, expected) in rows {
                for ((viewer, column), expected) in people.columns().into_iter().zip(COLUMNS).zip(expected) {
                    count += 1;
                    let variables = belongings(&engine, &test.db, &people, count).await;
                    let answer = ask_json(&engine, viewer, document, &declared(document, &variables)).await;
                    let found = found(&answer, pointer);
                    if found != *expected {
                        wrong.push(format!("{field} by {column}: {found}, not {expected}: {document} {answer}"));
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "{backend:?}\n{}", wrong.join("\n"));
    }
}

/// Subscribes to an operation.
async fn follow(engine: &Arc<Engine>, viewer: Viewer, document: &str, variables: &Value) -> Responses {
    let variables = async_graphql::Variables::from_json(variables.clone());
    let request = Request { query: document.to_owned(), variables, viewer, ..Request::default() };
    engine.clone().subscribe(request).await.expect("a subscription")
}

/// The content of the next event.
async fn hear(events: &mut Responses, pointer: &str) -> Value {
    let event = tokio::time::timeout(Duration::from_secs(20), events.next()).await.expect("an event in time");
    let event: Value = serde_json::from_slice(&event.expect("an event").body).expect("JSON");
    assert!(event["errors"].is_null(), "{event}");
    event["data"].pointer(pointer).expect("what the event tells").clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn everyone_hears_what_the_table_says() {
    for backend in Backend::all().await {
        let test = backend.database().await;
        let engine = Arc::new(engine(&test.db));
        let people = People::add(&test.db).await;
        let ann = Viewer::of(people.ann, TokenScope::Write);
        let mut count = 1_000;
        let marker =
            "mutation { createCollection(input: { name: \"marker\", visibility: PUBLIC }) { collection { id } } }";
        let marker =
            ask_json(&engine, ann, marker, &json!({})).await["data"]["createCollection"]["collection"]["id"].clone();
        for (field, document, pointer, expected) in SUBSCRIPTIONS {
            for ((viewer, column), expected) in people.columns().into_iter().zip(COLUMNS).zip(expected) {
                count += 1;
                let mut variables = belongings(&engine, &test.db, &people, count).await;
                variables["marker"] = marker.clone();
                let mut events = follow(&engine, viewer, document, &declared(document, &variables)).await;
                let all = "subscription { catalogChanged { nodeId } }";
                let mut barrier = follow(&engine, viewer, all, &json!({})).await;
                let change = "mutation($collection: ID!, $marker: ID!) {
                    a: updateCollection(input: { id: $collection, kind: \"heard\" }) { collection { id } }
                    b: updateCollection(input: { id: $marker, kind: \"heard\" }) { collection { id } }
                  }";
                let changed = ask_json(&engine, ann, change, &declared(change, &variables)).await;
                assert!(changed["errors"].is_null(), "{changed}");
                let place = format!("{backend:?} {field} by {column}");
                if *expected == "seen" {
                    while hear(&mut events, pointer).await != variables["collection"] {}
                    continue;
                }
                while hear(&mut barrier, "/catalogChanged/nodeId").await != marker {}
                if *field == "catalogChanged" {
                    // Events of earlier writes may still arrive.
                    let own = [&marker, &variables["shelf"]];
                    loop {
                        let heard = hear(&mut events, pointer).await;
                        assert!(own.contains(&&heard), "{place}: {heard}");
                        if heard == marker {
                            break;
                        }
                    }
                }
                for _ in 0..20 {
                    tokio::task::yield_now().await;
                    assert!(events.next().now_or_never().is_none(), "{place}");
                }
            }
        }
    }
}

#[tokio::test]
async fn every_root_field_has_a_row() {
    let text = graphql::introspection_json::<Query, Mutation, Subscription>().expect("an answer");
    let schema: Value = serde_json::from_str(&text).expect("JSON");
    for (root, rows) in [("Query", QUERIES), ("Mutation", MUTATIONS), ("Subscription", SUBSCRIPTIONS)] {
        let types = schema["data"]["__schema"]["types"].as_array().expect("types");
        let declared = types.iter().find(|ty| ty["name"] == root).expect("the type")["fields"].as_array();
        let declared: BTreeSet<&str> =
            declared.expect("fields").iter().map(|field| field["name"].as_str().expect("a name")).collect();
        let in_rows: BTreeSet<&str> = rows.iter().map(|(field, ..)| *field).collect();
        assert_eq!(in_rows, declared, "{root}");
    }
}

/// The response with its report, without times.
async fn with_report(engine: &Engine, viewer: Viewer, document: &str, variables: &Value) -> String {
    let mut answer = ask_reported(engine, viewer, document, variables).await;
    let report = &mut answer["extensions"]["gatherum"];
    (report["dbMs"], report["totalMs"]) = (Value::Null, Value::Null);
    for batch in report["batches"].as_array_mut().into_iter().flatten() {
        batch["ms"] = Value::Null;
    }
    answer.to_string()
}

/// Responses for a hidden object and for a missing one have the same bytes and the same cost, for every operation.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_hidden_is_answered_as_what_is_missing() {
    const FILTERS: &[&str] = &[
        "query($collection: ID!) { artifacts(filter: { collections: { anyOf: [$collection] } }) { totalCount nodes { id } } }",
        "query($group: ID!) { artifacts(filter: { groups: { anyOf: [$group] } }) { totalCount facets { types { value } } } }",
        "query($word: String!) { artifacts(filter: { tags: { anyOf: [$word] } }) { totalCount nodes { id } } }",
        "query($word: String!) { artifacts(filter: { search: $word }) { totalCount facets { tags { value } } } }",
        "query($artifact: ID!) { collections(filter: { containsArtifactId: $artifact }) { totalCount } }",
        "query($artifact: ID!, $collection: ID!) { nodes(ids: [$artifact, $collection]) { id } }",
    ];
    for backend in Backend::all().await {
        let test = backend.database().await;
        let engine = engine(&test.db);
        let people = People::add(&test.db).await;
        let missing = |text: &str| {
            let (prefix, _) = text.rsplit_once('_').expect("an id");
            let known = ["artifact", "collection", "group", "tag", "version", "share_link", "share", "user"];
            let prefix = known.into_iter().find(|known| *known == prefix).expect("a prefix");
            GlobalId { prefix, id: Uuid::now_v7() }.to_string()
        };
        let documents =
            QUERIES.iter().chain(MUTATIONS).map(|(_, document, ..)| *document).chain(FILTERS.iter().copied());
        let mut count = 2_000;
        // Accounts see each other, share links are for everybody, and the shelf belongs to none of these viewers.
        let is_about = |document: &&str| {
            ["$artifact", "$collection", "$group", "$version", "$tag", "$link", "$share", "$word"]
                .iter()
                .any(|name| document.split('{').next().is_some_and(|head| head.contains(&format!("{name}:"))))
                && !document.contains("upsertArtifacts")
        };
        for document in documents.filter(is_about) {
            for viewer in
                [Viewer::ANONYMOUS, Viewer::of(people.ben, TokenScope::Read), Viewer::of(people.ben, TokenScope::Write)]
            {
                count += 1;
                let variables = belongings(&engine, &test.db, &people, count).await;
                let hidden = declared(document, &variables);
                let mut absent = hidden.clone();
                for (name, value) in absent.as_object_mut().expect("variables") {
                    let text = value.as_str().expect("a text").to_owned();
                    match name.as_str() {
                        "word" => *value = json!("nowhere"),
                        "new" | "recipient" => {}
                        _ => *value = json!(missing(&text)),
                    }
                }
                let shown = with_report(&engine, viewer, document, &hidden).await;
                let said = with_report(&engine, viewer, document, &absent).await;
                // The response repeats the id of the request.
                let blank = |mut text: String, sent: &Value| {
                    for value in sent.as_object().expect("variables").values() {
                        text = text.replace(value.as_str().expect("a text"), "…");
                    }
                    text
                };
                assert_eq!(blank(shown, &hidden), blank(said, &absent), "{backend:?} {viewer:?} {document}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_are_not_valid_open_nothing() {
    for backend in Backend::all().await {
        let app = TestApp::start(backend, |_| {}).await;
        let accounts = Accounts::new(app.db());
        accounts.add("Ann").await.expect("an account");
        let valid = accounts.create_token("Ann", TokenScope::Admin, None).await.expect("a token");
        let revoked = accounts.create_token("Ann", TokenScope::Admin, None).await.expect("a token");
        accounts.revoke(revoked.0.id).await.expect("an answer");
        let expired = accounts.create_token("Ann", TokenScope::Admin, Some(Time(Time::now().0 + 3_600_000_000))).await;
        let expired = expired.expect("a token");
        let mut tx = app.db().begin().await.expect("a transaction");
        let mut sql = tx.sql();
        sql.push("update tokens set expires_at = created_at where id = ").bind(gatherum::db::Arg::Id(expired.0.id));
        assert_eq!(tx.execute("tokens", sql).await.expect("a write"), 1);
        tx.commit().await.expect("a commit");
        let forged = Token::generate().expect("random bits");
        let ask = async |token: &Token, document: &str| {
            let request =
                app.post(&json!({ "query": document })).header("authorization", format!("Bearer {}", token.reveal()));
            let request = request.header("accept", "application/graphql-response+json");
            request.send().await.expect("an answer").status().as_u16()
        };
        assert_eq!(ask(&valid.1, "{ viewer { scopes } }").await, 200);
        for (_, document, ..) in QUERIES.iter().chain(MUTATIONS).chain(SUBSCRIPTIONS) {
            for token in [&revoked.1, &expired.1, &forged] {
                assert_eq!(ask(token, document).await, 401, "{backend:?} {document}");
            }
        }
        app.stop().await;
    }
}
