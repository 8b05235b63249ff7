//! Share links and shares: access, expiry and view counts; and artifacts in collections of other accounts.
use std::time::Duration;

use futures_util::future::join_all;
use gatherum::{
    access::{Accounts, TokenScope, Viewer},
    app::Engine,
    catalog::sharing::ViewCounter,
    config::Config,
    db::{Arg, Db, Sql, Time},
    graphql::{Execute, Request, id::GlobalId},
    transfer::{ImportOptions, Source, SourceSync, import},
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    app::{TestApp, ask_as, ask_json, ask_viewing, engine, engine_with, statements},
    backend::{Backend, TestDb},
};

const SHARED: &str = "query($token: String!) { shared(token: $token) {
    viewCount
    target { ... on Artifact { name content } ... on Collection { name artifacts { nodes { name groups { totalCount } } } } }
  } }";

struct People {
    ann: Viewer,
    ben: Viewer,
}

async fn people(db: &Db) -> People {
    let accounts = Accounts::new(db);
    let ann = accounts.add("Ann").await.expect("an account").id;
    let ben = accounts.add("Ben").await.expect("an account").id;
    People { ann: Viewer::of(ann, TokenScope::Write), ben: Viewer::of(ben, TokenScope::Write) }
}

fn user_id(viewer: Viewer) -> String {
    GlobalId { prefix: "user", id: viewer.user.unwrap_or(Uuid::nil()) }.to_string()
}

async fn artifact(engine: &Engine, viewer: Viewer, name: &str, visibility: &str) -> Value {
    let make = "mutation($name: String!, $visibility: Visibility!) {
        createArtifact(input: { type: \"skill\", name: $name, visibility: $visibility, content: \"text\", tags: [\"t\"] }) {
          artifact { id }
        }
      }";
    let made = ask_json(engine, viewer, make, &json!({ "name": name, "visibility": visibility })).await;
    assert!(made["errors"].is_null(), "{made}");
    made["data"]["createArtifact"]["artifact"]["id"].clone()
}

async fn collection(engine: &Engine, viewer: Viewer, name: &str, artifacts: &[&Value]) -> Value {
    let make = "mutation($name: String!, $ids: [ID!]) {
        createCollection(input: { name: $name, artifactIds: $ids }) { collection { id } }
      }";
    let made = ask_json(engine, viewer, make, &json!({ "name": name, "ids": artifacts })).await;
    assert!(made["errors"].is_null(), "{made}");
    made["data"]["createCollection"]["collection"]["id"].clone()
}

/// Returns the names of a collection's artifacts, as its owner sees them.
async fn artifact_names(engine: &Engine, viewer: Viewer, collection: &Value) -> Vec<String> {
    let query = "query($id: ID!) { collection(id: $id) { artifactCount artifacts { nodes { name } } } }";
    let found = ask_json(engine, viewer, query, &json!({ "id": collection })).await;
    let found = &found["data"]["collection"];
    let nodes = found["artifacts"]["nodes"].as_array().expect("artifacts");
    assert_eq!(found["artifactCount"], nodes.len());
    nodes.iter().map(|node| node["name"].as_str().expect("a name").to_owned()).collect()
}

async fn write(db: &Db, statement: impl FnOnce(&mut Sql)) {
    let mut tx = db.begin().await.expect("a transaction");
    let mut sql = tx.sql();
    statement(&mut sql);
    tx.execute("test", sql).await.expect("a write");
    tx.commit().await.expect("a commit");
}

fn code(answer: &Value) -> &str {
    answer["errors"][0]["extensions"]["code"].as_str().unwrap_or("none")
}

async fn link(engine: &Engine, viewer: Viewer, target: &Value, more: &str) -> Value {
    let make = format!(
        "mutation($id: ID!) {{ createShareLink(input: {{ targetId: $id {more} }}) {{
           shareLink {{ id token expiresAt viewCount target {{ __typename }} }}
         }} }}"
    );
    let made = ask_json(engine, viewer, &make, &json!({ "id": target })).await;
    if made["errors"].is_null() { made["data"]["createShareLink"]["shareLink"].clone() } else { made }
}

fn owned_by(owner: Option<uuid::Uuid>) -> ImportOptions {
    ImportOptions { owner, ..ImportOptions::default() }
}

#[tokio::test]
async fn a_share_link_resolves_until_it_expires_or_is_revoked() {
    for backend in Backend::all().await {
        let test = backend.database().await;
        // The statements below are not announced, so cached loads would be stale.
        let engine = engine_with(&test.db, |config| config.cache.ttl = Duration::ZERO);
        let People { ann, ben } = people(&test.db).await;
        let secret = artifact(&engine, ann, "secret", "PRIVATE").await;
        let shelf = collection(&engine, ann, "shelf", &[&secret]).await;
        let open = async |token: &Value| ask_json(&engine, Viewer::ANONYMOUS, SHARED, &json!({ "token": token })).await;

        let to_artifact = link(&engine, ann, &secret, "").await;
        let to_shelf = link(&engine, ann, &shelf, "expiresAt: null").await;
        assert!(to_artifact["expiresAt"].is_string() && to_shelf["expiresAt"].is_null(), "{to_artifact} {to_shelf}");
        assert_eq!(to_shelf["target"]["__typename"], "Collection");
        let opened = open(&to_artifact["token"]).await;
        assert_eq!(opened["data"]["shared"]["target"]["name"], "secret", "{backend:?} {opened}");
        let opened = open(&to_shelf["token"]).await;
        let node = &opened["data"]["shared"]["target"]["artifacts"]["nodes"][0];
        assert_eq!((&node["name"], &node["groups"]["totalCount"]), (&json!("secret"), &json!(0)), "{opened}");
        let first = ask_json(
            &engine,
            Viewer::ANONYMOUS,
            "query($token: String!) { shared(token: $token) { viewCount target { __typename } } }",
            &json!({ "token": to_artifact["token"] }),
        )
        .await;
        assert_eq!(first["data"]["shared"]["viewCount"], 2);

        // One statement loads the link and its target.
        let text = format!(
            "{{ shared(token: {}) {{ viewCount target {{ ... on Artifact {{ name content: description }} }} }} }}",
            to_artifact["token"]
        );
        assert_eq!(statements(&ask_viewing(&engine, Viewer::ANONYMOUS, &text).await), 1);

        // The owner sees the link, but not its token.
        let links = "query($id: ID!) { collection(id: $id) { shareLinks { id token viewCount } } }";
        let seen = ask_json(&engine, ann, links, &json!({ "id": shelf })).await;
        let links_of_shelf = &seen["data"]["collection"]["shareLinks"];
        assert_eq!(
            (links_of_shelf[0]["id"].clone(), &links_of_shelf[0]["token"]),
            (to_shelf["id"].clone(), &Value::Null)
        );

        let revoke = "mutation($id: ID!) { revokeShareLink(input: { id: $id }) { shareLink { revokedAt token } } }";
        assert_eq!(code(&ask_json(&engine, ben, revoke, &json!({ "id": to_shelf["id"] })).await), "NOT_FOUND");
        let revoked = ask_json(&engine, ann, revoke, &json!({ "id": to_shelf["id"] })).await;
        let again = ask_json(&engine, ann, revoke, &json!({ "id": to_shelf["id"] })).await;
        assert!(revoked["data"]["revokeShareLink"]["shareLink"]["revokedAt"].is_string(), "{revoked}");
        assert_eq!(revoked, again);
        assert_eq!(open(&to_shelf["token"]).await["data"]["shared"], Value::Null, "{backend:?}: it is revoked");
        write(&test.db, |sql| {
            sql.push("update share_links set expires_at = ").bind(Arg::Time(Time(Time::now().0 - 1)));
        })
        .await;
        assert_eq!(open(&to_artifact["token"]).await["data"]["shared"], Value::Null, "{backend:?}: it has expired");
        for wrong in ["", "x", "%00", &"x".repeat(10_000)] {
            assert_eq!(open(&json!(wrong)).await["data"]["shared"], Value::Null);
        }
        let past = link(&engine, ann, &secret, "expiresAt: \"2020-01-01T00:00:00Z\"").await;
        assert_eq!(code(&past), "BAD_USER_INPUT");
    }
}

#[tokio::test]
async fn the_token_of_a_link_is_returned_once_and_not_stored() {
    for backend in Backend::all().await {
        let test = backend.database().await;
        let engine = engine(&test.db);
        let People { ann, .. } = people(&test.db).await;
        let secret = artifact(&engine, ann, "secret", "PRIVATE").await;
        let make = "mutation($id: ID!) { createShareLink(input: { targetId: $id }) { shareLink { id token } } }";
        let ask = async || {
            let request = Request {
                query: make.to_owned(),
                variables: async_graphql::Variables::from_json(json!({ "id": secret })),
                viewer: ann,
                idempotency_key: Some("once".to_owned()),
                ..Request::default()
            };
            let body = engine.execute(request).await.body;
            serde_json::from_slice::<Value>(&body).expect("JSON")["data"]["createShareLink"]["shareLink"].clone()
        };
        let (first, second) = (ask().await, ask().await);

        assert_eq!(first["id"], second["id"], "it was made once");
        let token = first["token"].as_str().expect("a token");
        assert_eq!(second["token"], Value::Null, "{backend:?}");
        for statement in [
            "select coalesce(r.answer, '') from idempotent_requests r",
            "select o.outcome from idempotent_outcomes o",
            "select l.hash from share_links l",
        ] {
            let mut sql = test.db.sql();
            sql.push(statement);
            let kept = test.db.fetch::<String>("test", sql).await.expect("rows");
            assert!(!kept.is_empty() && kept.iter().all(|text| !text.contains(token)), "{statement} {kept:?}");
        }
    }
}

/// Views are counted in memory and flushed concurrently; none is lost or counted twice.
#[tokio::test(flavor = "multi_thread")]
async fn view_counts_are_exact() {
    const VIEWS: usize = 200;
    for backend in Backend::all().await {
        let test = backend.database().await;
        let views = [ViewCounter::default(), ViewCounter::default()];
        let nodes = views
            .clone()
            .map(|views| gatherum::app::engine(&Config::default(), test.db.clone(), views).expect("a schema"));
        let People { ann, .. } = people(&test.db).await;
        let secret = artifact(&nodes[0], ann, "secret", "PRIVATE").await;
        let made = link(&nodes[0], ann, &secret, "").await;
        let variables = json!({ "token": made["token"] });
        let ask = async |n: usize| {
            let node = &nodes[n % 2];
            if n.is_multiple_of(20) {
                // PostgreSQL may abort one of two concurrent flushes; its views remain pending for the next one.
                let _ = views[n % 2].flush(&test.db).await;
            }
            ask_json(node, Viewer::ANONYMOUS, SHARED, &variables).await
        };
        let answers = join_all((0..VIEWS).map(ask)).await;
        assert!(answers.iter().all(|answer| answer["errors"].is_null()));
        for views in &views {
            views.flush(&test.db).await.expect("a write");
        }

        let mut sql = test.db.sql();
        sql.push("select l.view_count from share_links l");
        assert_eq!(test.db.fetch::<i64>("test", sql).await.expect("rows"), [VIEWS as i64], "{backend:?}");
        let before = test.db.statements_run();
        views[0].flush(&test.db).await.expect("nothing to do");
        assert_eq!(test.db.statements_run(), before, "nothing is written where nothing was viewed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_flushes_view_counts() {
    for backend in Backend::all().await {
        let app = TestApp::start(backend, |_| {}).await;
        let made = "mutation { createShareLink(input: { targetId: \"ID\" }) { shareLink { token } } }";
        let found: Value = app
            .post(&json!({ "query": "{ collections(first: 1) { nodes { id name } } }" }))
            .send()
            .await
            .expect("an answer")
            .json()
            .await
            .expect("JSON");
        let node = &found["data"]["collections"]["nodes"][0];
        let made = made.replace("ID\"", &format!("{}\"", node["id"].as_str().expect("an id")));
        let made: Value =
            app.post(&json!({ "query": made })).send().await.expect("an answer").json().await.expect("JSON");
        let token = made["data"]["createShareLink"]["shareLink"]["token"].as_str().expect("a token").to_owned();

        let get = async |token: &str, accept: &str| {
            let client =
                reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
            client.get(app.url(&format!("/s/{token}"))).header("accept", accept).send().await.expect("an answer")
        };
        for statements in [2, 0, 0] {
            let answer = get(&token, "application/json").await;
            assert_eq!(answer.status().as_u16(), 200);
            assert_eq!(answer.headers()["cache-control"], "no-store");
            assert_eq!(answer.headers()["referrer-policy"], "no-referrer");
            let timing = answer.headers()["server-timing"].to_str().expect("text");
            assert!(timing.contains(&format!("\"{statements} statements")), "{timing}");
            let body: Value = answer.json().await.expect("JSON");
            assert_eq!(body["data"]["shared"]["target"]["name"], node["name"], "{body}");
        }
        let page = get(&token, "text/html,application/xhtml+xml,*/*;q=0.8").await;
        assert_eq!(
            (page.status().as_u16(), page.headers()["location"].to_str().expect("text")),
            (303, format!("/graphiql#shared={token}").as_str())
        );
        for wrong in ["x", "%22", &"x".repeat(300)] {
            let answer = get(wrong, "*/*").await;
            assert_eq!(answer.status().as_u16(), 404, "{wrong}");
        }
        let test = app.stop_before_its_database().await;

        let mut sql = test.db.sql();
        sql.push("select l.view_count from share_links l");
        assert_eq!(test.db.fetch::<i64>("test", sql).await.expect("rows"), [3], "{backend:?}");
    }
}

async fn share(engine: &Engine, from: Viewer, to: Viewer, target: &Value) -> Value {
    let share = "mutation($target: ID!, $to: ID!) {
        shareWithUser(input: { targetId: $target, recipientId: $to, message: \"look\" }) { share { id viewedAt importedAt } }
      }";
    let shared = ask_json(engine, from, share, &json!({ "target": target, "to": user_id(to) })).await;
    if shared["errors"].is_null() { shared["data"]["shareWithUser"]["share"]["id"].clone() } else { shared }
}

async fn prepared(backend: Backend) -> (TestDb, Engine, People) {
    let test = backend.database().await;
    let engine = engine(&test.db);
    let people = people(&test.db).await;
    (test, engine, people)
}

#[tokio::test]
async fn a_shared_object_can_be_read_and_imported_until_the_share_ends() {
    for backend in Backend::all().await {
        let (_test, engine, People { ann, ben }) = prepared(backend).await;
        let (secret, public) =
            (artifact(&engine, ann, "secret", "PRIVATE").await, artifact(&engine, ann, "public", "PUBLIC").await);
        let shelf = collection(&engine, ann, "shelf", &[&secret, &public]).await;
        let own = collection(&engine, ben, "mine", &[]).await;
        let read = "query($id: ID!) { collection(id: $id) { artifacts { nodes { name content } } } }";
        assert_eq!(ask_json(&engine, ben, read, &json!({ "id": shelf })).await["data"]["collection"], Value::Null);

        let id = share(&engine, ann, ben, &shelf).await;
        let found = ask_json(&engine, ben, read, &json!({ "id": shelf })).await;
        assert_eq!(found["data"]["collection"]["artifacts"]["nodes"].as_array().map(Vec::len), Some(2), "{found}");
        let viewer = "{ viewer { receivedShares { totalCount nodes { message sender { name } viewedAt target { ... on Collection { name } } } } } }";
        let received = ask_json(&engine, ben, viewer, &json!({})).await["data"]["viewer"]["receivedShares"].clone();
        assert_eq!((&received["totalCount"], &received["nodes"][0]["target"]["name"]), (&json!(1), &json!("shelf")));
        assert_eq!(received["nodes"][0]["sender"]["name"], "Ann");
        let mark = "mutation($id: ID!) { markShareViewed(input: { id: $id }) { share { viewedAt } } }";
        assert!(
            ask_json(&engine, ben, mark, &json!({ "id": id })).await["data"]["markShareViewed"]["share"]["viewedAt"]
                .is_string()
        );

        let import = "mutation($share: ID!, $to: ID!) {
            importShare(input: { shareId: $share, collectionId: $to }) { collection { artifactCount } }
          }";
        for _ in 0..2 {
            let imported = ask_json(&engine, ben, import, &json!({ "share": id, "to": own })).await;
            assert_eq!(imported["data"]["importShare"]["collection"]["artifactCount"], 2, "{backend:?} {imported}");
        }
        let mine = "query($id: ID!) { collection(id: $id) { artifacts { nodes { name content visibility owner { name } tags { slug } } } } }";
        let mine = ask_json(&engine, ben, mine, &json!({ "id": own })).await;
        let nodes = &mine["data"]["collection"]["artifacts"]["nodes"];
        let told =
            |n: usize| (nodes[n]["name"].as_str(), nodes[n]["owner"]["name"].as_str(), nodes[n]["visibility"].as_str());
        assert_eq!(told(0), (Some("secret"), Some("Ben"), Some("PRIVATE")), "what is not public is copied: {mine}");
        assert_eq!(told(1), (Some("public"), Some("Ann"), Some("PUBLIC")), "what is public is not");
        assert_eq!((&nodes[0]["content"], &nodes[0]["tags"][0]["slug"]), (&json!("text"), &json!("t")));

        let revoke = "mutation($id: ID!) { revokeShare(input: { id: $id }) { share { id } } }";
        assert_eq!(code(&ask_json(&engine, ben, revoke, &json!({ "id": id })).await), "FORBIDDEN");
        assert_eq!(
            ask_json(&engine, ann, revoke, &json!({ "id": id })).await["data"]["revokeShare"]["share"]["id"],
            id
        );
        assert_eq!(ask_json(&engine, ben, read, &json!({ "id": shelf })).await["data"]["collection"], Value::Null);
        let received = ask_json(&engine, ben, viewer, &json!({})).await;
        assert_eq!(received["data"]["viewer"]["receivedShares"]["totalCount"], 0);
        assert_eq!(code(&ask_json(&engine, ben, import, &json!({ "share": id, "to": own })).await), "NOT_FOUND");
        assert_eq!(artifact_names(&engine, ben, &own).await, ["secret", "public"], "what was imported stays");
    }
}

#[tokio::test]
async fn an_account_may_share_ten_times_an_hour() {
    for backend in Backend::all().await {
        let (test, engine, People { ann, ben }) = prepared(backend).await;
        let secret = artifact(&engine, ann, "secret", "PRIVATE").await;
        for _ in 0..10 {
            assert!(share(&engine, ann, ben, &secret).await.is_string());
        }
        assert_eq!(code(&share(&engine, ann, ben, &secret).await), "LIMIT_EXCEEDED");
        assert_eq!(code(&share(&engine, ann, ann, &secret).await), "BAD_USER_INPUT");
        let other = artifact(&engine, ben, "other", "PRIVATE").await;
        assert!(share(&engine, ben, ann, &other).await.is_string(), "others' shares do not count");
        let nobody = Viewer::of(Uuid::from_u128(7), TokenScope::Write);
        assert_eq!(code(&share(&engine, ben, nobody, &other).await), "NOT_FOUND");
        write(&test.db, |sql| {
            sql.push("update shares set created_at = ").bind(Arg::Time(Time(Time::now().0 - 3_601_000_000)));
        })
        .await;
        assert!(share(&engine, ann, ben, &secret).await.is_string());
    }
}

/// A collection contains only artifacts of its owner and public artifacts of others, whatever writes run concurrently.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_can_publish_artifacts_of_others() {
    let add = "mutation($to: ID!, $ids: [ID!]!) {
        addArtifactsToCollection(input: { collectionId: $to, artifactIds: $ids }) { changedIds notFoundIds }
      }";
    let hide =
        "mutation($id: ID!) { updateArtifact(input: { id: $id, visibility: PRIVATE }) { artifact { visibility } } }";
    let show =
        "mutation($id: ID!) { updateArtifact(input: { id: $id, visibility: PUBLIC }) { artifact { visibility } } }";
    for backend in Backend::all().await {
        let (_test, engine, People { ann, ben }) = prepared(backend).await;
        let unlisted = artifact(&engine, ann, "unlisted", "UNLISTED").await;
        let public = artifact(&engine, ann, "public", "PUBLIC").await;
        let own = artifact(&engine, ben, "own", "PRIVATE").await;
        let shelf = collection(&engine, ben, "shelf", &[&own]).await;
        let of_ann = collection(&engine, ann, "hers", &[&unlisted, &public]).await;

        let refused = ask_json(&engine, ben, add, &json!({ "to": shelf, "ids": [public, unlisted] })).await;
        assert_eq!(
            (code(&refused), &refused["errors"][0]["extensions"]["field"]),
            ("FORBIDDEN", &json!("artifactIds.1"))
        );
        assert_eq!(artifact_names(&engine, ben, &shelf).await, ["own"], "nothing of it is kept");
        let added = ask_json(&engine, ben, add, &json!({ "to": shelf, "ids": [public] })).await;
        assert!(added["errors"].is_null(), "{backend:?} {added}");
        assert_eq!(artifact_names(&engine, ben, &shelf).await, ["own", "public"]);

        let copy = "mutation($id: ID!) { copyCollection(input: { id: $id, name: \"copy\" }) { collection { id } } }";
        let publish =
            "mutation($id: ID!) { updateCollection(input: { id: $id, visibility: PUBLIC }) { collection { id } } }";
        assert!(ask_json(&engine, ann, publish, &json!({ "id": of_ann })).await["errors"].is_null());
        let copied = ask_json(&engine, ben, copy, &json!({ "id": of_ann })).await;
        let copied = &copied["data"]["copyCollection"]["collection"]["id"];
        assert_eq!(artifact_names(&engine, ben, copied).await, ["public"], "a copy holds what it may");

        assert!(ask_json(&engine, ann, hide, &json!({ "id": public })).await["errors"].is_null());
        assert_eq!(
            artifact_names(&engine, ben, &shelf).await,
            ["own"],
            "what is public no longer leaves others' collections"
        );
        assert_eq!(
            artifact_names(&engine, ann, &of_ann).await,
            ["unlisted", "public"],
            "and stays in those of its owner"
        );

        // In either order, the artifact ends up hidden and not in a foreign collection.
        for _ in 0..20 {
            assert!(ask_json(&engine, ann, show, &json!({ "id": public })).await["errors"].is_null());
            let (to_add, to_hide) = (json!({ "to": shelf, "ids": [public] }), json!({ "id": public }));
            let (added, hidden) =
                tokio::join!(ask_json(&engine, ben, add, &to_add), ask_json(&engine, ann, hide, &to_hide));
            assert!(hidden["errors"].is_null(), "{hidden}");
            assert!(matches!(code(&added), "none" | "NOT_FOUND" | "FORBIDDEN"), "{added}");
            assert_eq!(artifact_names(&engine, ben, &shelf).await, ["own"], "{backend:?}");
        }
    }
}

/// Two accounts that import the same source have separate rows.
#[tokio::test]
async fn each_account_owns_what_it_imports() {
    const LIST: &str = "type,name,description,tags,collections,groups\nskill,lint,of the file,t,tools,tools/first\n\
                        skill,format,of the file,t,tools,tools/first\n";
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("list.csv");
    std::fs::write(&path, LIST).expect("a file");
    for backend in Backend::all().await {
        let (test, engine, People { ann, ben }) = prepared(backend).await;
        let source = || Source::Csv(path.clone());
        let first = import(&test.db, source(), owned_by(ann.user), |_| {}).await.expect("an import");
        let snapshot = "{ artifacts { nodes { id name description revision collections { nodes { id name revision } } } }
            collections { nodes { id name revision artifacts { nodes { id } } groups { nodes { id name artifactCount } } } } }";
        let of_ann = ask_as(&engine, ann, snapshot, &json!({})).await;
        let second = import(&test.db, source(), owned_by(ben.user), |_| {}).await.expect("an import");
        let of_ben = ask_as(&engine, ben, snapshot, &json!({})).await;

        assert_eq!((first.rejected(), second.rejected()), (0, 0), "{backend:?}\n{second}");
        assert_eq!(first.written(), second.written() + 1, "{backend:?}: the tag is everyone's\n{first}\n{second}");
        assert_eq!(ask_as(&engine, ann, snapshot, &json!({})).await, of_ann);
        let text = String::from_utf8(of_ben.clone()).expect("text");
        assert!(text.contains("\"name\":\"tools\"") && text.contains("\"name\":\"first\""), "{text}");
        for owner in [ann.user, ben.user] {
            let again = import(&test.db, source(), ImportOptions { owner, ..ImportOptions::default() }, |_| {})
                .await
                .expect("an import");
            assert_eq!((again.written(), again.rejected()), (0, 0), "{backend:?}\n{again}");
        }

        // An item missing in the source is removed only from the importing account.
        let mut mirror = SourceSync::new(ben.user);
        mirror.import(&test.db, source()).await.expect("an import");
        std::fs::write(&path, LIST.lines().take(2).collect::<Vec<_>>().join("\n")).expect("a file");
        mirror.import(&test.db, source()).await.expect("an import");
        let names = "{ artifacts(orderBy: { field: NAME, direction: ASC }) { nodes { name } } }";
        let of_ben = ask_json(&engine, ben, names, &json!({})).await;
        assert_eq!(of_ben["data"]["artifacts"]["nodes"], json!([{ "name": "lint" }]), "{backend:?}");
        assert_eq!(ask_as(&engine, ann, snapshot, &json!({})).await, of_ann, "{backend:?}");
        std::fs::write(&path, LIST).expect("a file");
    }
}

#[tokio::test]
async fn hidden_objects_cannot_be_changed() {
    for backend in Backend::all().await {
        let (_test, engine, People { ann, ben }) = prepared(backend).await;
        let secret = artifact(&engine, ann, "secret", "PRIVATE").await;
        let query = "query($id: ID!) { artifact(id: $id) { revision tags { slug } } }";
        let before = ask_as(&engine, ann, query, &json!({ "id": secret })).await;
        for field in ["tagArtifacts", "untagArtifacts"] {
            let change = format!(
                "mutation($id: ID!) {{ {field}(input: {{ artifactIds: [$id], tags: [\"t\"] }}) {{ notFoundIds }} }}"
            );
            let answer = ask_json(&engine, ben, &change, &json!({ "id": secret })).await;
            assert_eq!(answer["data"][field]["notFoundIds"], json!([secret]), "{answer}");
        }
        assert_eq!(ask_as(&engine, ann, query, &json!({ "id": secret })).await, before, "{backend:?}");
    }
}

/// An artifact that an import matches as the existing copy keeps its visibility.
#[tokio::test]
async fn importing_a_share_does_not_publish_own_artifacts() {
    for backend in Backend::all().await {
        let (_test, engine, People { ann, ben }) = prepared(backend).await;
        let bait = artifact(&engine, ben, "payroll", "PRIVATE").await;
        let own = artifact(&engine, ann, "payroll", "PRIVATE").await;
        let shelf = collection(&engine, ann, "shelf", &[]).await;
        let publish =
            "mutation($id: ID!) { updateCollection(input: { id: $id, visibility: PUBLIC }) { collection { id } } }";
        assert!(ask_json(&engine, ann, publish, &json!({ "id": shelf })).await["errors"].is_null());
        let id = share(&engine, ben, ann, &bait).await;
        let import = "mutation($share: ID!, $to: ID!) {
            importShare(input: { shareId: $share, collectionId: $to }) { collection { artifactCount } }
          }";
        let refused = ask_json(&engine, ann, import, &json!({ "share": id, "to": shelf })).await;
        assert_eq!(code(&refused), "CONFLICT", "{backend:?} {refused}");
        let query = "query($id: ID!) { artifact(id: $id) { name } }";
        let seen = ask_json(&engine, Viewer::ANONYMOUS, query, &json!({ "id": own })).await;
        assert_eq!(seen["data"]["artifact"], Value::Null);
        let private = collection(&engine, ann, "private", &[]).await;
        let imported = ask_json(&engine, ann, import, &json!({ "share": id, "to": private })).await;
        assert_eq!(imported["data"]["importShare"]["collection"]["artifactCount"], 1, "{imported}");
    }
}

/// Objects that exist before the first account belong to it.
#[tokio::test]
async fn the_first_account_takes_over_objects_without_owner() {
    for backend in Backend::all().await {
        let test = backend.database().await;
        let engine = engine(&test.db);
        let before = artifact(&engine, Viewer::LOCAL, "before", "PRIVATE").await;
        let People { ann, ben } = people(&test.db).await;
        let query = "query($id: ID!) { artifact(id: $id) { owner { name } } }";
        let seen = ask_json(&engine, ann, query, &json!({ "id": before })).await;
        assert_eq!(seen["data"]["artifact"]["owner"]["name"], "Ann", "{backend:?}");
        assert_eq!(ask_json(&engine, ben, query, &json!({ "id": before })).await["data"]["artifact"], Value::Null);
        // Names are unique per owner.
        artifact(&engine, ben, "before", "PRIVATE").await;
    }
}
