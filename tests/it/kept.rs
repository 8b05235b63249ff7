//! What is kept for those who open a link: nothing is asked twice, and nothing old is told.
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

/// How long what must come is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// A node whose kept loads end with nothing but writes.
fn node(db: &Db) -> Engine {
    engine_with(db, |config| config.cache.ttl = Duration::from_secs(3_600))
}

async fn write(node: &Engine, field: &str) -> Value {
    let answer = ask_json(node, Viewer::LOCAL, &format!("mutation {{ {field} }}"), &json!({})).await;
    assert_eq!(answer["errors"], Value::Null, "{field} {answer}");
    answer["data"].as_object().and_then(|fields| fields.values().next()).expect("a field").clone()
}

async fn open_as(node: &Engine, viewer: Viewer, token: &Value) -> Value {
    ask_reported(node, viewer, SHARED, &json!({ "token": token })).await
}

async fn open(node: &Engine, token: &Value) -> Value {
    open_as(node, Viewer::ANONYMOUS, token).await
}

fn report(answer: &Value) -> [u64; 4] {
    let report = &answer["extensions"]["gatherum"];
    ["statements", "rounds", "cacheHits", "cacheMisses"].map(|name| report[name].as_u64().expect("a figure"))
}

/// An artifact in a collection, and a link to each.
struct Shelf {
    artifact: String,
    collection: String,
    /// Of the link to the collection.
    link: String,
    token: Value,
    token_of_artifact: Value,
}

async fn shelf(node: &Engine) -> Shelf {
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
    Shelf {
        artifact,
        collection,
        link: made["id"].as_str().expect("an id").to_owned(),
        token: made["token"].clone(),
        token_of_artifact: of_artifact["token"].clone(),
    }
}

/// Asks until the answer is as it must become.
async fn until(node: &Engine, token: &Value, is_right: impl Fn(&Value) -> bool) -> Value {
    let end = Instant::now() + PATIENCE;
    loop {
        let answer = open(node, token).await;
        if is_right(&answer["data"]["shared"]) {
            return answer;
        }
        assert!(Instant::now() < end, "it never became what it must be: {answer}");
        tokio::task::yield_now().await;
    }
}

/// Asks until it takes no statement. A node hears of its own writes too, a moment after it has forgotten what they change.
async fn until_kept(node: &Engine, token: &Value) {
    let end = Instant::now() + PATIENCE;
    while report(&open(node, token).await)[0] > 0 {
        assert!(Instant::now() < end, "nothing is kept");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_link_that_is_opened_again_takes_no_statement() {
    for backend in Backend::all().await {
        let test = backend.database().await;
        let node = node(&test.db);
        let Shelf { token, token_of_artifact, .. } = shelf(&node).await;
        let before = test.db.statements_run();

        let answers = [open(&node, &token).await, open(&node, &token).await, open(&node, &token).await];

        assert_eq!(test.db.statements_run() - before, 3, "{backend:?}");
        assert_eq!(report(&answers[0]), [3, 3, 0, 3], "{backend:?} {}", answers[0]);
        assert_eq!(report(&answers[1]), [0, 0, 3, 0], "{backend:?} {}", answers[1]);
        for (views, answer) in (1..).zip(&answers) {
            assert_eq!(answer["data"]["shared"]["viewCount"], views, "each view is counted");
            assert_eq!(answer["data"]["shared"]["target"], answers[0]["data"]["shared"]["target"]);
        }
        // Another link is another question, and so is another viewer.
        assert_eq!(report(&open(&node, &token_of_artifact).await)[0], 2);
        let seen = async |viewer| open_as(&node, viewer, &token_of_artifact).await["data"]["shared"]["target"].clone();
        assert_eq!(seen(Viewer::ANONYMOUS).await["collections"]["totalCount"], 0, "{backend:?}");
        assert_eq!(seen(Viewer::LOCAL).await["collections"]["totalCount"], 1, "{backend:?}: the collection is private");
        assert_eq!(seen(Viewer::ANONYMOUS).await["collections"]["totalCount"], 0, "{backend:?}");
    }
}

#[tokio::test]
async fn what_is_written_is_found_at_once() {
    for backend in Backend::all().await {
        let test = backend.database().await;
        let node = node(&test.db);
        let Shelf { artifact, collection, link, token, .. } = shelf(&node).await;
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
            until_kept(&node, &token).await;
            write(&node, &statement.replace("TAG", tag)).await;

            let now = open(&node, &token).await;

            assert!(report(&now)[0] > 0, "{backend:?} {statement}");
            assert_ne!(now["data"]["shared"]["target"], last["data"]["shared"]["target"], "{backend:?} {statement}");
            last = now;
        }
        until_kept(&node, &token).await;
        write(&node, &format!("revokeShareLink(input: {{ id: \"{link}\" }}) {{ shareLink {{ id }} }}")).await;
        assert_eq!(open(&node, &token).await["data"]["shared"], Value::Null, "{backend:?}: it is revoked");
    }
}

#[tokio::test]
async fn a_link_ends_when_it_ends() {
    for backend in Backend::all().await {
        let test = backend.database().await;
        let node = node(&test.db);
        let Shelf { collection, .. } = shelf(&node).await;
        let end = Time(Time::now().0 + 2_000_000);
        let made = format!(
            "createShareLink(input: {{ targetId: \"{collection}\", expiresAt: \"{}\" }}) {{ shareLink {{ token }} }}",
            end.rfc3339()
        );
        let token = write(&node, &made).await["shareLink"]["token"].clone();
        let mut repeated = 0;
        loop {
            let asked_at = Time::now();
            let answer = open(&node, &token).await;
            repeated += u64::from(report(&answer)[0] == 0);
            if asked_at > end {
                assert_eq!(answer["data"]["shared"], Value::Null, "{backend:?}: it has ended");
                break;
            }
        }
        assert!(repeated > 0, "{backend:?}: it was kept");
    }
}

/// The number at the end of the name of the first artifact.
fn number(answer: &Value) -> u64 {
    let name = &answer["data"]["shared"]["target"]["artifacts"]["nodes"][0]["name"];
    let digits = name.as_str().expect("a name").rsplit(' ').next().and_then(|word| word.parse().ok());
    digits.unwrap_or(0)
}

/// Whoever asks after a write was acknowledged finds it, while others ask and so keep what they read before it.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_older_than_an_acknowledged_write_is_told() {
    const WRITES: u64 = 60;
    for backend in Backend::all().await {
        let test = backend.database().await;
        let node = Arc::new(node(&test.db));
        let Shelf { artifact, token, .. } = shelf(&node).await;
        let (acknowledged, repeated) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let readers: Vec<_> = (0..3)
            .map(|_| {
                let (node, token) = (node.clone(), token.clone());
                let (acknowledged, repeated) = (acknowledged.clone(), repeated.clone());
                tokio::spawn(async move {
                    let end = Instant::now() + PATIENCE;
                    // What is kept is used at last, when nothing is written any more.
                    while acknowledged.load(Ordering::SeqCst) < WRITES || repeated.load(Ordering::SeqCst) == 0 {
                        let known = acknowledged.load(Ordering::SeqCst);
                        let answer = open(&node, &token).await;
                        assert!(number(&answer) >= known, "{backend:?}: {known} was acknowledged before {answer}");
                        repeated.fetch_add(u64::from(report(&answer)[0] == 0), Ordering::SeqCst);
                        assert!(Instant::now() < end, "{backend:?}: what was read is never used again");
                        // An answer without a statement waits for nothing.
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
            reader.await.expect("a reader that was told nothing old");
        }
    }
}

/// Links are opened as before where no connection is left to hear of writes.
#[tokio::test]
async fn links_open_where_writes_cannot_be_heard_of() {
    let Some(backend) = Backend::all().await.into_iter().find(|backend| *backend == Backend::Postgres) else { return };
    let test = backend.database().await;
    let node = node(&test.db);
    let Shelf { token, .. } = shelf(&node).await;
    let (server, name) = test.config.url.rsplit_once('/').expect("the name of a database");
    let mut connection = sqlx::PgConnection::connect(&format!("{server}/postgres")).await.expect("the server");
    let refuse = AssertSqlSafe(format!("alter database {name} with allow_connections false"));
    sqlx::raw_sql(refuse).execute(&mut connection).await.expect("no connections any more");

    for _ in 0..2 {
        assert_eq!(report(&open(&node, &token).await), [3, 3, 0, 0]);
    }
}

/// What is kept takes no more memory than it may, however little of it the answers show.
#[tokio::test]
async fn what_is_kept_is_weighed_by_what_was_read() {
    let test = Backend::Sqlite.database().await;
    let node = engine_with(&test.db, |config| {
        config.cache.ttl = Duration::from_secs(3_600);
        config.cache.bytes = 100_000;
    });
    let Shelf { artifact, collection, .. } = shelf(&node).await;
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
        // The node hears of its own write a moment later.
        let mut least = u64::MAX;
        for _ in 0..50 {
            least = least.min(statements().await);
        }
        found.push(least);
    }
    assert_eq!(found, [0, 2], "a text of 150,000 bytes is not kept");
}

#[tokio::test]
async fn what_another_node_writes_is_found_once_it_is_heard_of() {
    for backend in Backend::all().await {
        let test = backend.database().await;
        let (here, there) = (node(&test.db), node(&test.db));
        let Shelf { artifact, link, token, .. } = shelf(&there).await;
        let kept = async || until_kept(&here, &token).await;
        let rename = async |name: &str| {
            let rename =
                format!("updateArtifact(input: {{ id: \"{artifact}\", name: \"{name}\" }}) {{ artifact {{ id }} }}");
            write(&there, &rename).await;
        };
        let is_named =
            |name: &'static str| move |shared: &Value| shared["target"]["artifacts"]["nodes"][0]["name"] == name;

        kept().await;
        rename("second").await;
        until(&here, &token, is_named("second")).await;

        if backend == Backend::Postgres {
            kept().await;
            let mut connection = sqlx::PgConnection::connect(&test.config.url).await.expect("the database");
            let cut = "select pg_terminate_backend(pid) from pg_stat_activity \
                       where datname = current_database() and query ilike 'listen%'";
            let ended = sqlx::raw_sql(cut).execute(&mut connection).await.expect("the listeners end");
            assert!(ended.rows_affected() > 0, "nobody listened");
            rename("third").await;
            until(&here, &token, is_named("third")).await;
        }

        kept().await;
        write(&there, &format!("revokeShareLink(input: {{ id: \"{link}\" }}) {{ shareLink {{ id }} }}")).await;
        until(&here, &token, Value::is_null).await;
    }
}

#[tokio::test]
async fn nothing_is_kept_for_an_account_or_where_it_is_switched_off() {
    for backend in Backend::all().await {
        let test = backend.database().await;
        let node = node(&test.db);
        let Shelf { token, .. } = shelf(&node).await;
        let off = [
            engine_with(&test.db, |config| config.cache.ttl = Duration::ZERO),
            engine_with(&test.db, |config| config.cache.max_entries = 0),
            engine_with(&test.db, |config| config.cache.bytes = 0),
        ];
        for node in &off {
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
