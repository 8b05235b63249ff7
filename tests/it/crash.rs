//! Servers that are killed while they write, and other servers of the same database.
use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use gatherum::{
    catalog::collection::wrong_counts,
    db::{Db, Dialect},
};
use serde_json::{Value, json};

use crate::{
    app::{ask, engine},
    backend::{Backend, TestDb},
    process::{Sandbox, Served},
};

/// Number of kills per database.
const KILLS: usize = 100;

const WRITERS: usize = 3;

/// Number of artifacts of one atomic write.
const BATCH: usize = 4;

/// Environment variable that makes the test which traces system calls fail instead of being skipped.
const STRACE_REQUIRED: &str = "GATHERUM_TEST_REQUIRE_STRACE";

/// Starts a server process for the database.
fn serve(sandbox: &Sandbox, test: &TestDb) -> Served {
    let url = &test.config.url;
    Served::start(sandbox.gatherum(&format!("--bind 127.0.0.1:0 --log-level error --database-url {url}")))
}

async fn post(client: &reqwest::Client, served: &Served, document: &str, variables: Value) -> reqwest::Result<Value> {
    let url = format!("http://{}/graphql", served.address);
    let body = json!({ "query": document, "variables": variables });
    client.post(url).json(&body).send().await?.error_for_status()?.json().await
}

const CREATE: &str = "mutation ($input: CreateArtifactsInput!) { createArtifacts(input: $input) { results { artifact { id } error { message } } } }";

/// A batch whose artifacts are in the collection and have a tag.
fn batch(name: &str, collection: &str) -> Value {
    let artifact =
        |n| json!({ "type": "skill", "name": format!("{name}.{n}"), "tags": ["a"], "collectionIds": [collection] });
    json!({ "input": { "artifacts": (0..BATCH).map(artifact).collect::<Vec<_>>() } })
}

/// Writes batches until the server is killed; returns the names of the acknowledged ones.
async fn write(served: &Served, name: &str, collection: &str, acknowledged: &AtomicUsize) -> Vec<String> {
    let client = reqwest::Client::new();
    let mut names = Vec::new();
    loop {
        let name = format!("{name}.{}", names.len());
        match post(&client, served, CREATE, batch(&name, collection)).await {
            Ok(answer) => {
                assert_eq!(answer["errors"], Value::Null, "{answer}");
                acknowledged.fetch_add(1, Ordering::Relaxed);
                names.push(name);
            }
            Err(_) => return names,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_writes_survive_a_hundred_kills_and_no_write_is_partial() {
    for backend in Backend::all().await {
        let test = backend.database().await;
        let sandbox = Sandbox::new();
        let made = engine(&test.db);
        let made = ask(&made, r#"mutation { createCollection(input: { name: "Shelf" }) { collection { id } } }"#).await;
        let collection = made["data"]["createCollection"]["collection"]["id"].as_str().expect("an id").to_owned();
        let mut acknowledged = Vec::new();
        for kill in 0..KILLS {
            let mut served = serve(&sandbox, &test);
            let count = AtomicUsize::new(0);
            let pid = served.child.id();
            let writers = join_all((0..WRITERS).map(|writer| {
                let (served, count, collection) = (&served, &count, &collection);
                async move { write(served, &format!("{kill}.{writer}"), collection, count).await }
            }));
            let killer = async {
                // Kills while other writes are running, a little later each time.
                while count.load(Ordering::Relaxed) < 1 + kill % 7 {
                    tokio::task::yield_now().await;
                }
                let pid = rustix::process::Pid::from_raw(pid.cast_signed()).expect("a process");
                rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("a living process");
            };
            let (names, ()) = tokio::join!(writers, killer);
            served.child.wait().expect("its end");
            acknowledged.extend(names.into_iter().flatten());
        }
        assert_consistent(&test, acknowledged).await;
    }
}

/// Asserts that all acknowledged batches exist, that every batch is complete, and that maintained counts are correct.
async fn assert_consistent(test: &TestDb, acknowledged: Vec<String>) {
    let db = Db::open(&test.config).await.expect("a database that opens");
    let mut sql = db.sql();
    sql.push(
        "select a.name from artifacts a where exists (select 1 from collection_artifacts m where m.artifact_id = a.id)",
    );
    sql.push(" and exists (select 1 from artifact_tags t where t.artifact_id = a.id)");
    let found: BTreeSet<String> = db.fetch::<String>("test", sql).await.expect("names").into_iter().collect();
    let mut sql = db.sql();
    sql.push("select count(*) from artifacts");
    assert_eq!(
        db.fetch::<i64>("test", sql).await.expect("a count"),
        [found.len() as i64],
        "an artifact without its parts"
    );
    let batches: BTreeSet<&str> = found.iter().filter_map(|name| Some(name.rsplit_once('.')?.0)).collect();
    assert_eq!(batches.len() * BATCH, found.len(), "a batch is incomplete");
    let lost: Vec<&String> = acknowledged.iter().filter(|name| !batches.contains(name.as_str())).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    assert!(acknowledged.len() >= KILLS, "{}", acknowledged.len());
    assert_eq!(wrong_counts(&db).await.expect("counts"), 0);
    if db.dialect() == Dialect::Sqlite {
        let mut sql = db.sql();
        sql.push("select integrity_check from pragma_integrity_check");
        assert_eq!(db.fetch::<String>("test", sql).await.expect("an answer"), ["ok"]);
    }
}

/// Reads the next Server-Sent Event.
async fn event(stream: &mut reqwest::Response, seen: &mut String) -> Value {
    loop {
        if let Some((event, rest)) = seen.split_once("\n\n").map(|(event, rest)| (event.to_owned(), rest.to_owned())) {
            *seen = rest;
            if let Some(data) = event.lines().find_map(|line| line.strip_prefix("data:")).map(str::trim)
                && event.contains("event: next")
            {
                return serde_json::from_str(data).expect("JSON");
            }
            continue;
        }
        let chunk = tokio::time::timeout(Duration::from_secs(20), stream.chunk()).await.expect("an event in time");
        seen.push_str(std::str::from_utf8(&chunk.expect("a stream").expect("no end")).expect("text"));
    }
}

async fn subscribe(client: &reqwest::Client, served: &Served) -> reqwest::Response {
    let body = json!({ "query": "subscription { catalogChanged { kind node { ... on Artifact { name } } } }" });
    let url = format!("http://{}/graphql", served.address);
    let request = client.post(url).header("accept", "text/event-stream").json(&body);
    request.send().await.expect("a server").error_for_status().expect("a stream")
}

/// Writes an artifact through the server `by` and returns the time until `stream` received the event.
async fn event_latency(
    client: &reqwest::Client,
    by: &Served,
    name: &str,
    stream: &mut reqwest::Response,
    seen: &mut String,
) -> Duration {
    let document =
        "mutation ($name: String!) { createArtifact(input: { type: \"skill\", name: $name }) { artifact { id } } }";
    let answer = post(client, by, document, json!({ "name": name })).await.expect("an answer");
    let written = Instant::now();
    assert_eq!(answer["errors"], Value::Null, "{answer}");
    let event = event(stream, seen).await;
    assert_eq!(event["data"]["catalogChanged"]["node"]["name"], name);
    written.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_deliver_events_of_each_other_and_survive_the_other() {
    for backend in Backend::all().await {
        let test = backend.database().await;
        let (sandbox, client) = (Sandbox::new(), reqwest::Client::new());
        let (one, other) = (serve(&sandbox, &test), serve(&sandbox, &test));
        let (mut stream, mut seen) = (subscribe(&client, &one).await, String::new());

        let mut quickest = Duration::MAX;
        for n in 0..10 {
            quickest = quickest.min(event_latency(&client, &other, &format!("a{n}"), &mut stream, &mut seen).await);
        }
        // A machine that runs other tests may be slow sometimes, but not every time.
        assert!(quickest < Duration::from_millis(200), "{backend:?}: {quickest:?}");

        // The server that wrote is killed: subscribers of the other one still receive events, also of a third server.
        drop(other);
        event_latency(&client, &one, "b", &mut stream, &mut seen).await;
        let third = serve(&sandbox, &test);
        event_latency(&client, &third, "c", &mut stream, &mut seen).await;

        // The server with the subscriber is killed: new subscribers of the third server receive events.
        drop(one);
        let (mut stream, mut seen) = (subscribe(&client, &third).await, String::new());
        event_latency(&client, &third, "d", &mut stream, &mut seen).await;
        let answer = post(&client, &third, "{ artifacts { totalCount } }", json!({})).await.expect("an answer");
        assert_eq!(answer["data"]["artifacts"]["totalCount"], 13, "{backend:?}");
    }
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_write_is_on_disk_before_it_is_acknowledged() {
    const WRITES: usize = 20;
    let test = Backend::Sqlite.database().await;
    let sandbox = Sandbox::new();
    let served = serve(&sandbox, &test);
    let calls = sandbox.path("calls");
    let mut command = sandbox.command("strace");
    command.args(["-f", "-e", "trace=fsync,fdatasync", "-o"]).arg(&calls).args(["-p", &served.child.id().to_string()]);
    let traced = command.stderr(Stdio::piped()).spawn();
    let Some((mut strace, mut err)) = traced.ok().and_then(|mut strace| {
        let mut err = BufReader::new(strace.stderr.take()?);
        let mut line = String::new();
        err.read_line(&mut line).ok()?;
        line.contains("attached").then_some((strace, err))
    }) else {
        assert!(std::env::var(STRACE_REQUIRED).is_err(), "no strace");
        eprintln!("SKIPPED: strace is not available");
        return;
    };

    let client = reqwest::Client::new();
    for n in 0..WRITES {
        let document = format!("mutation {{ createCollection(input: {{ name: \"{n}\" }}) {{ collection {{ id }} }} }}");
        let answer = post(&client, &served, &document, json!({})).await.expect("an answer");
        assert_eq!(answer["errors"], Value::Null, "{answer}");
    }
    let stop = Command::new("kill").args(["-INT", &strace.id().to_string()]).status().expect("kill");
    assert!(stop.success());
    std::io::copy(&mut err, &mut std::io::sink()).expect("its output");
    strace.wait().expect("its end");

    let calls = std::fs::read_to_string(calls).expect("the traced calls");
    let synced = calls.lines().filter(|line| line.contains("sync(") && line.trim_end().ends_with("= 0")).count();
    let resumed =
        calls.lines().filter(|line| line.contains("sync resumed>") && line.trim_end().ends_with("= 0")).count();
    assert!(synced + resumed >= WRITES, "{WRITES} writes, but these calls:\n{calls}");
}
