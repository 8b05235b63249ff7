//! The load cache of share links: a link that is opened again takes no statement, and no response is older than an
//! acknowledged write.
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use gatherum::{
    access::{Accounts, TokenScope, Viewer},
    app::Engine,
    db::{Db, Time},
};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection};

use crate::{
    app::{ask_json, ask_reported, ask_with, engine_with},
    backend::Backend,
};

/// Three statements: the link with what it leads to, the page, and the tags.
const SHARED: &str = "query($token: String!) { shared(token: $token) {
    viewCount
    target {
      ... on Artifact { name collections { totalCount } }
      ... on Collection { name artifacts { nodes { name tags { name } } } }
    }
  } }";

/// Time limit for an event that must occur.
const TIME_LIMIT: Duration = Duration::from_secs(20);

/// A node whose cached loads expire only by writes.
fn node(db: &Db) -> Engine {
    engine_with(db, |config| config.cache.ttl = Duration::from_secs(3_600))
}

/// Executes the root field of a mutation and returns its payload.
async fn write(node: &Engine, field: &str) -> Value {
    let response = ask_json(node, Viewer::LOCAL, &format!("mutation {{ {field} }}"), &json!({})).await;
    assert_eq!(response["errors"], Value::Null, "{field} {response}");
    response["data"].as_object().and_then(|fields| fields.values().next()).expect("a field").clone()
}

async fn open_as(node: &Engine, viewer: Viewer, token: &Value) -> Value {
    ask_reported(node, viewer, SHARED, &json!({ "token": token })).await
}

async fn open(node: &Engine, token: &Value) -> Value {
    open_as(node, Viewer::ANONYMOUS, token).await
}

/// Statements, rounds, cache hits and cache misses.
fn report(response: &Value) -> [u64; 4] {
    let report = &response["extensions"]["gatherum"];
    ["statements", "rounds", "cacheHits", "cacheMisses"].map(|name| report[name].as_u64().expect("a figure"))
}

/// An artifact in a collection, and a share link to each.
struct Fixture {
    artifact: String,
    collection: String,
    /// The id of the link to the collection.
    link: String,
    token: Value,
    token_of_artifact: Value,
}

async fn fixture(node: &Engine) -> Fixture {
    let made = "createArtifact(input: { type: \"skill\", name: \"first\", tags: [\"a\"] }) { artifact { id } }";
    let artifact = write(node, made).await["artifact"]["id"].as_str().expect("an id").to_owned();
    let made = format!(
        "createCollection(input: {{ name: \"shelf\", artifactIds: [\"{artifact}\"] }}) {{ collection {{ id }} }}"
    );
    let collection = write(node, &made).await["collection"]["id"].as_str().expect("an id").to_owned();
    let link = async |target: &str, more: &str| {
        let made =
            format!("createShareLink(input: {{ targetId: \"{target}\" {more} }}) {{ shareLink {{ id token }} }}");
        write(node, &made).await["shareLink"].clone()
    };
    let (made, of_artifact) = (link(&collection, "").await, link(&artifact, "").await);
    Fixture {
        artifact,
        collection,
        link: made["id"].as_str().expect("an id").to_owned(),
        token: made["token"].clone(),
        token_of_artifact: of_artifact["token"].clone(),
    }
}

/// Opens the link until the shared object is as expected, and returns the response.
async fn open_until(node: &Engine, token: &Value, is_expected: impl Fn(&Value) -> bool) -> Value {
    let end = Instant::now() + TIME_LIMIT;
    loop {
        let response = open(node, token).await;
        if is_expected(&response["data"]["shared"]) {
            return response;
        }
        assert!(Instant::now() < end, "the response does not become the expected one: {response}");
        tokio::task::yield_now().await;
    }
}

/// Opens the link until it takes no statement. A node also receives its own writes from the change feed, a moment after it
/// has removed the loads that they change.
async fn open_until_cached(node: &Engine, token: &Value) {
    let end = Instant::now() + TIME_LIMIT;
    while report(&open(node, token).await)[0] > 0 {
        assert!(Instant::now() < end, "no load is cached");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_link_that_is_opened_again_takes_no_statement() {
    for backend in Backend::all().await {
        let test = backend.database().await;
        let node = node(&test.db);
        let Fixture { token, token_of_artifact, .. } = fixture(&node).await;
        let before = test.db.statements_run();

        let responses = [open(&node, &token).await, open(&node, &token).await, open(&node, &token).await];

        assert_eq!(test.db.statements_run() - before, 3, "{backend:?}");
        assert_eq!(report(&responses[0]), [3, 3, 0, 3], "{backend:?} {}", responses[0]);
        assert_eq!(report(&responses[1]), [0, 0, 3, 0], "{backend:?} {}", responses[1]);
        for (views, response) in (1..).zip(&responses) {
            assert_eq!(response["data"]["shared"]["viewCount"], views, "each view is counted");
            assert_eq!(response["data"]["shared"]["target"], responses[0]["data"]["shared"]["target"]);
        }
        // Another link does not share its loads, and neither does another viewer.
        assert_eq!(report(&open(&node, &token_of_artifact).await)[0], 2);
        let seen = async |viewer| open_as(&node, viewer, &token_of_artifact).await["data"]["shared"]["target"].clone();
        assert_eq!(seen(Viewer::ANONYMOUS).await["collections"]["totalCount"], 0, "{backend:?}");
        assert_eq!(seen(Viewer::LOCAL).await["collections"]["totalCount"], 1, "{backend:?}: the collection is private");
        assert_eq!(seen(Viewer::ANONYMOUS).await["collections"]["totalCount"], 0, "{backend:?}");
    }
}

#[tokio::test]
async fn a_write_is_visible_at_once() {
    for backend in Backend::all().await {
        let test = backend.database().await;
        let node = node(&test.db);
        let Fixture { artifact, collection, link, token, .. } = fixture(&node).await;
        let writes = [
            format!("updateArtifact(input: {{ id: \"{artifact}\", name: \"second\" }}) {{ artifact {{ id }} }}"),
            format!("tagArtifacts(input: {{ artifactIds: [\"{artifact}\"], tags: [\"b\"] }}) {{ artifacts {{ id }} }}"),
            format!("updateCollection(input: {{ id: \"{collection}\", name: \"shelves\" }}) {{ collection {{ id }} }}"),
            "updateTag(input: { id: \"TAG\", name: \"c\" }) { tag { id } }".to_owned(),
            format!(
                "removeArtifactsFromCollection(input: {{ collectionId: \"{collection}\", artifactIds: [\"{artifact}\"] }}) {{ changedIds }}"
            ),
        ];
        let tag = ask_json(&node, Viewer::LOCAL, "{ tag(slug: \"a\") { id } }", &json!({})).await;
        let tag = tag["data"]["tag"]["id"].as_str().expect("an id");
        let mut last = open(&node, &token).await;
        for statement in writes {
            open_until_cached(&node, &token).await;
            write(&node, &statement.replace("TAG", tag)).await;

            let now = open(&node, &token).await;

            assert!(report(&now)[0] > 0, "{backend:?} {statement}");
            assert_ne!(now["data"]["shared"]["target"], last["data"]["shared"]["target"], "{backend:?} {statement}");
            last = now;
        }
        open_until_cached(&node, &token).await;
        write(&node, &format!("revokeShareLink(input: {{ id: \"{link}\" }}) {{ shareLink {{ id }} }}")).await;
        assert_eq!(open(&node, &token).await["data"]["shared"], Value::Null, "{backend:?}: it is revoked");
    }
}

#[tokio::test]
async fn a_link_expires_on_time() {
    for backend in Backend::all().await {
        let test = backend.database().await;
        let node = node(&test.db);
        let Fixture { collection, .. } = fixture(&node).await;
        let end = Time(Time::now().0 + 2_000_000);
        let made = format!(
            "createShareLink(input: {{ targetId: \"{collection}\", expiresAt: \"{}\" }}) {{ shareLink {{ token }} }}",
            end.rfc3339()
        );
        let token = write(&node, &made).await["shareLink"]["token"].clone();
        let mut repeated = 0;
        loop {
            let opened_at = Time::now();
            let response = open(&node, &token).await;
            repeated += u64::from(report(&response)[0] == 0);
            if opened_at > end {
                assert_eq!(response["data"]["shared"], Value::Null, "{backend:?}: it has ended");
                break;
            }
        }
        assert!(repeated > 0, "{backend:?}: its loads were cached");
    }
}

/// The number at the end of the name of the first artifact.
fn number(response: &Value) -> u64 {
    let name = &response["data"]["shared"]["target"]["artifacts"]["nodes"][0]["name"];
    let digits = name.as_str().expect("a name").rsplit(' ').next().and_then(|word| word.parse().ok());
    digits.unwrap_or(0)
}

/// A reader that begins after a write was acknowledged finds it, while other readers cache what they read before it.
#[tokio::test(flavor = "multi_thread")]
async fn no_response_is_older_than_an_acknowledged_write() {
    const WRITES: u64 = 60;
    for backend in Backend::all().await {
        let test = backend.database().await;
        let node = Arc::new(node(&test.db));
        let Fixture { artifact, token, .. } = fixture(&node).await;
        let (acknowledged, repeated) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let readers: Vec<_> = (0..3)
            .map(|_| {
                let (node, token) = (node.clone(), token.clone());
                let (acknowledged, repeated) = (acknowledged.clone(), repeated.clone());
                tokio::spawn(async move {
                    let end = Instant::now() + TIME_LIMIT;
                    // Cached loads are used at the latest when the writes have ended.
                    while acknowledged.load(Ordering::SeqCst) < WRITES || repeated.load(Ordering::SeqCst) == 0 {
                        let known = acknowledged.load(Ordering::SeqCst);
                        let response = open(&node, &token).await;
                        assert!(number(&response) >= known, "{backend:?}: {known} was acknowledged before {response}");
                        repeated.fetch_add(u64::from(report(&response)[0] == 0), Ordering::SeqCst);
                        assert!(Instant::now() < end, "{backend:?}: the cached loads are never used");
                        // A response without a statement does not yield.
                        tokio::task::yield_now().await;
                    }
                })
            })
            .collect();
        for count in 1..=WRITES {
            let rename = format!(
                "updateArtifact(input: {{ id: \"{artifact}\", name: \"name {count}\" }}) {{ artifact {{ id }} }}"
            );
            write(&node, &rename).await;
            assert_eq!(number(&open(&node, &token).await), count, "{backend:?}");
            acknowledged.store(count, Ordering::SeqCst);
        }
        for reader in readers {
            reader.await.expect("a reader without an outdated response");
        }
    }
}

/// Links are loaded from the database if no connection is left for the change feed.
#[tokio::test]
async fn links_open_without_a_change_feed() {
    let Some(backend) = Backend::all().await.into_iter().find(|backend| *backend == Backend::Postgres) else { return };
    let test = backend.database().await;
    let node = node(&test.db);
    let Fixture { token, .. } = fixture(&node).await;
    let (server, name) = test.config.url.rsplit_once('/').expect("the name of a database");
    let mut connection = sqlx::PgConnection::connect(&format!("{server}/postgres")).await.expect("the server");
    let reject = AssertSqlSafe(format!("alter database {name} with allow_connections false"));
    sqlx::raw_sql(reject).execute(&mut connection).await.expect("the database accepts no connections");

    for _ in 0..2 {
        assert_eq!(report(&open(&node, &token).await), [3, 3, 0, 0]);
    }
}

/// The weight of a cached load is the size of the rows that it read, however little of them the response contains.
#[tokio::test]
async fn the_weight_of_a_load_is_the_size_of_its_rows() {
    let test = Backend::Sqlite.database().await;
    let node = engine_with(&test.db, |config| {
        config.cache.ttl = Duration::from_secs(3_600);
        config.cache.bytes = 100_000;
    });
    let Fixture { artifact, collection, .. } = fixture(&node).await;
    let made = format!("createShareLink(input: {{ targetId: \"{collection}\" }}) {{ shareLink {{ token }} }}");
    let token = write(&node, &made).await["shareLink"]["token"].clone();
    let query = "query($token: String!) { shared(token: $token) {
        target { ... on Collection { artifacts { nodes { description(maxLength: 0) } } } }
      } }";
    let statements = async || report(&ask_with(&node, query, json!({ "token": token })).await)[0];
    let mut found = Vec::new();
    for length in [10, 150_000] {
        let update = "mutation($id: ID!, $text: String!) {
            updateArtifact(input: { id: $id, description: $text }) { artifact { id } }
          }";
        let written =
            ask_json(&node, Viewer::LOCAL, update, &json!({ "id": artifact, "text": "x".repeat(length) })).await;
        assert_eq!(written["errors"], Value::Null);
        // The node receives its own write from the change feed a moment later.
        let mut least = u64::MAX;
        for _ in 0..50 {
            least = least.min(statements().await);
        }
        found.push(least);
    }
    assert_eq!(found, [0, 2], "a text of 150,000 bytes is not cached");
}

#[tokio::test]
async fn a_write_of_another_node_is_found_once_the_feed_delivers_it() {
    for backend in Backend::all().await {
        let test = backend.database().await;
        let (here, there) = (node(&test.db), node(&test.db));
        let Fixture { artifact, link, token, .. } = fixture(&there).await;
        let cached = async || open_until_cached(&here, &token).await;
        let rename = async |name: &str| {
            let rename =
                format!("updateArtifact(input: {{ id: \"{artifact}\", name: \"{name}\" }}) {{ artifact {{ id }} }}");
            write(&there, &rename).await;
        };
        let is_named =
            |name: &'static str| move |shared: &Value| shared["target"]["artifacts"]["nodes"][0]["name"] == name;

        cached().await;
        rename("second").await;
        open_until(&here, &token, is_named("second")).await;

        if backend == Backend::Postgres {
            cached().await;
            let mut connection = sqlx::PgConnection::connect(&test.config.url).await.expect("the database");
            let cut = "select pg_terminate_backend(pid) from pg_stat_activity \
                       where datname = current_database() and query ilike 'listen%'";
            let ended = sqlx::raw_sql(cut).execute(&mut connection).await.expect("the listeners end");
            assert!(ended.rows_affected() > 0, "no listener was connected");
            rename("third").await;
            open_until(&here, &token, is_named("third")).await;
        }

        cached().await;
        write(&there, &format!("revokeShareLink(input: {{ id: \"{link}\" }}) {{ shareLink {{ id }} }}")).await;
        open_until(&here, &token, Value::is_null).await;
    }
}

#[tokio::test]
async fn no_load_is_cached_for_an_account_or_if_the_cache_is_disabled() {
    for backend in Backend::all().await {
        let test = backend.database().await;
        let node = node(&test.db);
        let Fixture { token, .. } = fixture(&node).await;
        let disabled = [
            engine_with(&test.db, |config| config.cache.ttl = Duration::ZERO),
            engine_with(&test.db, |config| config.cache.max_entries = 0),
            engine_with(&test.db, |config| config.cache.bytes = 0),
        ];
        for node in &disabled {
            open(node, &token).await;
            assert_eq!(report(&open(node, &token).await), [3, 3, 0, 0], "{backend:?}");
        }
        let account = Accounts::new(&test.db).add("Ann").await.expect("an account").id;
        for scope in [TokenScope::Read, TokenScope::Admin] {
            open_as(&node, Viewer::of(account, scope), &token).await;
            let again = open_as(&node, Viewer::of(account, scope), &token).await;
            assert_eq!(report(&again), [3, 3, 0, 0], "{backend:?} {again}");
        }
    }
}
