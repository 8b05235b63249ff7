//! Authentication: from a server without accounts to a token that is revoked during use.
use std::time::{Duration, Instant};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::{SinkExt, StreamExt};
use gatherum::{
    access::{Accounts, Token, TokenScope},
    db::Time,
};
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};
use tokio_tungstenite::{
    connect_async,
    tungstenite::{Message, client::IntoClientRequest, http::HeaderValue},
};

use crate::{
    app::TestApp,
    backend::Backend,
    process::{Sandbox, Served, run},
};

const READ: &str = "{ artifacts(first: 1) { totalCount } }";
const WRITE: &str = "mutation { createArtifact(input: { type: \"skill\", name: \"made\" }) { artifact { name } } }";

/// The status, and the code of the first error.
async fn ask(app: &TestApp, token: Option<&str>, query: &str) -> (u16, Value) {
    let request = app.post(&json!({ "query": query })).header("accept", "application/graphql-response+json");
    let request = match token {
        Some(token) => request.header("authorization", format!("Bearer {token}")),
        None => request,
    };
    let response = request.send().await.expect("an answer");
    let status = response.status().as_u16();
    assert_eq!(status == 401, response.headers().contains_key("www-authenticate"));
    let body: Value = response.json().await.expect("JSON");
    (status, body["errors"][0]["extensions"]["code"].clone())
}

/// Sends requests until one is rejected as unauthenticated: reads if there is a token, else mutations.
async fn assert_rejected_soon(app: &TestApp, token: Option<&str>) {
    let begun = Instant::now();
    let query = if token.is_some() { READ } else { WRITE };
    while ask(app, token, query).await.0 == 200 {
        assert!(begun.elapsed() < Duration::from_secs(10), "it is still accepted");
    }
    assert_eq!(ask(app, token, query).await, (401, json!("UNAUTHENTICATED")));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_first_account_requests_need_a_token_with_the_right_scope() {
    for backend in Backend::all().await {
        let app = TestApp::start(backend, |_| {}).await;
        let accounts = Accounts::new(app.db());
        assert_eq!(ask(&app, None, READ).await, (200, Value::Null), "{backend:?}");
        assert_eq!(ask(&app, Some("x"), READ).await, (401, json!("UNAUTHENTICATED")));

        accounts.add(" Ann ").await.expect("an account");
        assert_rejected_soon(&app, None).await;
        assert_eq!(ask(&app, None, READ).await, (200, Value::Null), "public objects need no token");
        let mut tokens = Vec::new();
        for scope in TokenScope::ALL {
            tokens.push(accounts.create_token("Ann", scope, None).await.expect("a token").1);
        }
        let expected = [(403, json!("FORBIDDEN")), (200, Value::Null), (200, json!("CONFLICT"))];
        for (token, expected) in tokens.iter().zip(expected) {
            assert_eq!(ask(&app, Some(token.reveal()), READ).await, (200, Value::Null), "{backend:?}");
            assert_eq!(ask(&app, Some(token.reveal()), WRITE).await, expected, "{backend:?}");
        }
        let forged = Token::generate().expect("random bits");
        for wrong in [forged.reveal(), &tokens[0].reveal()[..40], "", "x y"] {
            assert_eq!(ask(&app, Some(wrong), READ).await, (401, json!("UNAUTHENTICATED")), "{wrong}");
        }

        let soon = Time(Time::now().0 + 300_000);
        let (_, short) = accounts.create_token("Ann", TokenScope::Read, Some(soon)).await.expect("a token");
        assert_rejected_soon(&app, Some(short.reveal())).await;
        let first = accounts.tokens().await.expect("tokens").remove(0);
        assert_eq!((first.user.as_str(), first.scope, first.state(Time::now())), ("Ann", TokenScope::Read, "valid"));
        assert!(first.last_used_at.is_some(), "{first:?}");
        assert!(accounts.revoke(first.id).await.expect("an answer"));
        assert!(!accounts.revoke(first.id).await.expect("an answer"));
        assert_rejected_soon(&app, Some(tokens[0].reveal())).await;
        assert_eq!(ask(&app, Some(tokens[1].reveal()), READ).await, (200, Value::Null));
        app.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_end_when_their_token_is_revoked() {
    let app = TestApp::start(Backend::Sqlite, |_| {}).await;
    let accounts = Accounts::new(app.db());
    accounts.add("Ann").await.expect("an account");
    assert_rejected_soon(&app, None).await;
    let (row, token) = accounts.create_token("Ann", TokenScope::Read, None).await.expect("a token");
    let bearer = format!("Bearer {}", token.reveal());

    let open = async |init: Value| {
        let mut request = format!("ws://{}/graphql/ws", app.address).into_client_request().expect("a request");
        let protocol = HeaderValue::from_static("graphql-transport-ws");
        request.headers_mut().insert("sec-websocket-protocol", protocol);
        let (mut socket, _) = connect_async(request).await.expect("a socket");
        let init = json!({ "type": "connection_init", "payload": init });
        socket.send(Message::text(init.to_string())).await.expect("a server that listens");
        socket
    };
    for wrong in [json!({ "authorization": "Bearer x" }), json!({ "Authorization": "x" })] {
        let mut socket = open(wrong.clone()).await;
        let Some(Ok(Message::Close(Some(frame)))) = socket.next().await else { panic!("{wrong}") };
        assert_eq!(u16::from(frame.code), 4403, "{wrong}");
    }
    let mut socket = open(json!({ "authorization": bearer })).await;
    let Some(Ok(Message::Text(acknowledged))) = socket.next().await else { panic!("no acknowledgement") };
    assert!(acknowledged.contains("connection_ack"));
    let subscription = "subscription { catalogChanged { kind } }";
    let body = json!({ "type": "subscribe", "id": "a", "payload": { "query": subscription } });
    socket.send(Message::text(body.to_string())).await.expect("a server that listens");
    let events = app.post(&json!({ "query": subscription })).header("accept", "text/event-stream");
    let events = events.header("authorization", bearer).send().await.expect("a stream");
    assert_eq!(events.status(), 200);

    accounts.revoke(row.id).await.expect("an answer");

    let limit = Duration::from_secs(20);
    let closed = tokio::time::timeout(limit, async {
        loop {
            match socket.next().await {
                Some(Ok(Message::Close(Some(frame)))) => return u16::from(frame.code),
                Some(Ok(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    });
    assert_eq!(closed.await.expect("an end in time"), 4401);
    let rest = tokio::time::timeout(limit, events.text()).await.expect("an end in time").expect("text");
    assert!(!rest.contains("complete"), "{rest}");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_rate_limited() {
    let app = TestApp::start(Backend::Sqlite, |config| {
        (config.http.rate_per_second, config.http.rate_burst) = (1, 20);
    })
    .await;
    for _ in 0..60 {
        assert_eq!(ask(&app, None, READ).await.0, 200, "the local user may");
    }
    let accounts = Accounts::new(app.db());
    accounts.add("Ann").await.expect("an account");
    let (_, token) = accounts.create_token("Ann", TokenScope::Read, None).await.expect("a token");
    assert_eq!(ask(&app, Some(token.reveal()), READ).await.0, 200);
    // One permit is added per second, so some requests are accepted meanwhile.
    let count = async |token: Option<String>| {
        let mut answers = [0; 3];
        for _ in 0..60 {
            let token = token.clone().unwrap_or_else(|| Token::generate().expect("random bits").reveal().to_owned());
            let request = app.post(&json!({ "query": READ })).header("authorization", format!("Bearer {token}"));
            let response = request.send().await.expect("an answer");
            match response.status().as_u16() {
                200 => answers[0] += 1,
                401 => answers[1] += 1,
                429 => {
                    let seconds = response.headers()["retry-after"].to_str().expect("text").parse::<u32>();
                    assert!(seconds.is_ok_and(|seconds| (1..=60).contains(&seconds)));
                    answers[2] += 1;
                }
                other => panic!("{other}"),
            }
        }
        answers
    };
    let [_, denied, limited] = count(None).await;
    assert!((19..50).contains(&denied) && limited > 0, "{denied} tokens were looked up, {limited} were not");
    let [answered, denied, limited] = count(Some(token.reveal().to_owned())).await;
    assert!((15..50).contains(&answered) && denied == 0 && limited > 0, "{answered} {denied} {limited}");
    app.stop().await;
}

/// A key for this test only.
const KEY: &[u8] = include_bytes!("../../src/access/jwt/ed.der");

fn signing_key() -> Ed25519KeyPair {
    Ed25519KeyPair::from_pkcs8_maybe_unchecked(KEY).expect("a key")
}

fn issued(claims: &Value) -> String {
    let header = json!({ "alg": "EdDSA", "kid": "one", "typ": "JWT" });
    let [header, claims] = [&header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    let message = format!("{header}.{claims}");
    let signature = URL_SAFE_NO_PAD.encode(signing_key().sign(message.as_bytes()));
    format!("{message}.{signature}")
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_an_identity_provider_are_accepted() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("keys.json");
    let public = URL_SAFE_NO_PAD.encode(signing_key().public_key());
    let key = json!({ "kty": "OKP", "crv": "Ed25519", "x": public, "alg": "EdDSA", "kid": "one" });
    std::fs::write(&path, json!({ "keys": [key] }).to_string()).expect("a file");
    let end = Time::now().0 / 1_000_000 + 600;
    let claims = |subject: &str, name: &str, scope: &str| {
        json!({ "iss": "https://login.example", "aud": "gatherum", "sub": subject, "exp": end,
                "preferred_username": name, "scope": scope })
    };
    for backend in Backend::all().await {
        let app = TestApp::start(backend, |config| {
            config.access.jwt_issuer = Some("https://login.example".to_owned());
            config.access.jwt_audience = Some("gatherum".to_owned());
            config.access.jwt_keys = Some(path.display().to_string());
        })
        .await;
        let who = async |token: &str| -> Value {
            let request = app.post(&json!({ "query": "{ viewer { user { id name } scopes } }" }));
            let answer = request.header("authorization", format!("Bearer {token}")).send().await.expect("an answer");
            answer.json::<Value>().await.expect("JSON")["data"]["viewer"].clone()
        };
        assert_eq!(
            ask(&app, None, WRITE).await,
            (401, json!("UNAUTHENTICATED")),
            "the identity provider may create an account at any time"
        );
        let ann = who(&issued(&claims("1", "Ann", "gatherum:write"))).await;
        assert_eq!((&ann["user"]["name"], &ann["scopes"]), (&json!("Ann"), &json!(["READ", "WRITE"])), "{backend:?}");
        // Accounts are identified by subject, not by name.
        let renamed = who(&issued(&claims("1", "Anna", "gatherum:admin"))).await;
        assert_eq!((&renamed["user"], &renamed["scopes"][2]), (&ann["user"], &json!("ADMIN")));
        let other = who(&issued(&claims("2", "Ann", ""))).await;
        assert_ne!(other["user"]["id"], ann["user"]["id"]);
        assert!(other["user"]["name"].as_str().expect("a name").starts_with("Ann ("), "{other}");
        assert_eq!(ask(&app, Some(&issued(&claims("2", "Ann", ""))), WRITE).await, (403, json!("FORBIDDEN")));
        let mut expired = claims("1", "Ann", "gatherum:admin");
        expired["exp"] = json!(end - 900);
        for wrong in [issued(&expired), issued(&claims("1", "Ann", ""))[..40].to_owned(), "a.b.c".to_owned()] {
            assert_eq!(ask(&app, Some(&wrong), READ).await, (401, json!("UNAUTHENTICATED")), "{wrong}");
        }
        // Tokens of the server itself are accepted too.
        let accounts = Accounts::new(app.db());
        accounts.add("Ben").await.expect("an account");
        let (_, token) = accounts.create_token("Ben", TokenScope::Read, None).await.expect("a token");
        assert_eq!(who(token.reveal()).await["user"]["name"], "Ben");
        app.stop().await;
    }
}

#[test]
fn commands_create_accounts_and_create_and_revoke_tokens() {
    let sandbox = Sandbox::new();
    let ok = |arguments: &str| {
        let ran = sandbox.run(arguments);
        assert_eq!(ran.status, Some(0), "{arguments}: {ran:?}");
        ran
    };
    let wrong = |arguments: &str, message: &str| {
        let ran = sandbox.run(arguments);
        assert!(ran.status != Some(0) && ran.err.contains(message), "{arguments}: {ran:?}");
    };
    wrong("token create --user ann --scope read", "account `ann` does not exist");
    assert!(ok("user add ann").out.starts_with("user_"));
    wrong("user add ann", "account `ann` exists already");
    assert!(ok("user list").out.trim_end().ends_with(" ann"));
    wrong("token create --user ann --scope owner", "use read, write or admin");
    let made = ok("token create --user ann --scope write --expires 30d");
    let token = made.out.trim_end();
    assert!(token.starts_with("gatherum_") && !made.err.contains(token), "{made:?}");
    let listed = ok("token list").out;
    let id = listed.split(' ').next().expect("an id");
    assert!(listed.contains(" write valid ") && !listed.contains(token), "{listed}");

    let mut command = sandbox.gatherum("--bind 127.0.0.1:0 --log-level trace");
    command.env("DATABASE_ECHO", "true");
    let log = sandbox.path("log");
    command.stderr(std::fs::File::create(&log).expect("a log"));
    let served = Served::start(command);
    let ask = |token: &str| {
        let head = format!("Authorization: Bearer {token}");
        let url = format!("http://{}/graphql?query=%7B__typename%7D", served.address);
        run(sandbox.command("curl").args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", &head, &url])).out
    };
    assert_eq!((ask(token).as_str(), ask("gatherum_x").as_str()), ("200", "401"));
    drop(served);
    let log = std::fs::read_to_string(log).expect("a log");
    assert!(log.contains("tokens") && !log.contains(token), "the log has the token, or nothing");

    ok(&format!("token revoke {id}"));
    assert!(ok("token list").out.contains(" revoked "));
    assert_eq!(sandbox.run(&format!("token revoke {id}")).status, Some(1));
}

#[test]
fn a_non_loopback_address_needs_accounts_or_insecure_open() {
    let sandbox = Sandbox::new();
    let rejected = sandbox.run("--bind 0.0.0.0:0");
    assert!(rejected.status == Some(1) && rejected.err.contains("gatherum user add"), "{rejected:?}");

    drop(Served::start(sandbox.gatherum("--bind 0.0.0.0:0 --insecure-open")));
    sandbox.run("user add ann");
    drop(Served::start(sandbox.gatherum("--bind 0.0.0.0:0")));
}

#[test]
fn a_name_for_others_needs_accounts_or_insecure_open() {
    let sandbox = Sandbox::new();
    let named = |arguments: &str, hosts: &str| {
        let mut command = sandbox.gatherum(arguments);
        command.env("GATHERUM_HTTP_ALLOWED_HOSTS", hosts);
        command
    };
    for hosts in ["catalogue.example", "localhost,gatherum.local:8080"] {
        let rejected = run(&mut named("--bind 127.0.0.1:0", hosts));
        let name = hosts.rsplit(',').next().expect("a name");
        assert!(rejected.status == Some(1), "{rejected:?}");
        for part in [name, "http.allowed_hosts", "gatherum user add", "--insecure-open"] {
            assert!(rejected.err.contains(part), "{part} {rejected:?}");
        }
    }

    drop(Served::start(named("--bind 127.0.0.1:0", "localhost,app.localhost:8080,127.0.0.1")));
    drop(Served::start(named("--bind 127.0.0.1:0 --insecure-open", "catalogue.example")));
    sandbox.run("user add ann");
    drop(Served::start(named("--bind 127.0.0.1:0", "catalogue.example")));
}
