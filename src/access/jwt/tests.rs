use std::{
    fs,
    io::{Read, Write},
    sync::atomic::{AtomicUsize, Ordering},
};

use jsonwebtoken::Algorithm as Signing;
use serde_json::json;
use tempfile::TempDir;

use super::*;
use signing::SigningKey;

mod signing;

const ISSUER: &str = "https://login.example";
const AUDIENCE: &str = "gatherum";

/// Keys that were made for these tests.
fn rsa() -> SigningKey {
    SigningKey::rsa()
}

fn ec() -> SigningKey {
    SigningKey::p256()
}

fn ed() -> SigningKey {
    SigningKey::ed25519()
}

/// The public key in a set, under an id.
fn public(key: &SigningKey, algorithm: Signing, kid: &str) -> Value {
    let mut key = key.public();
    key["alg"] = json!(algorithm);
    key["kid"] = kid.into();
    key["use"] = "sig".into();
    key
}

/// An issuer whose keys are in a file.
struct Place {
    directory: TempDir,
    issuer: IdentityProvider,
}

impl Place {
    fn with(keys: &Value) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("keys.json");
        let config = Config {
            jwt_issuer: Some(ISSUER.to_owned()),
            jwt_audience: Some(AUDIENCE.to_owned()),
            jwt_keys: Some(path.display().to_string()),
            ..Config::default()
        };
        let place = Self { directory, issuer: IdentityProvider::new(&config).expect("settings").expect("an issuer") };
        place.write(keys);
        place
    }

    fn write(&self, keys: &Value) {
        fs::write(self.directory.path().join("keys.json"), json!({ "keys": keys }).to_string()).expect("a file");
    }
}

fn usual() -> Place {
    let rsa = public(&rsa(), Signing::RS256, "rsa");
    let oct = json!({ "kty": "oct", "kid": "oct", "k": URL_SAFE_NO_PAD.encode("shared"), "alg": "HS256" });
    let sealing = json!({ "kid": "sealing", "use": "enc" });
    let sealing: Value = [&rsa, &sealing].iter().flat_map(|part| part.as_object().expect("a key").clone()).collect();
    let pss = json!({ "kid": "pss", "alg": "PS256" });
    let pss: Value = [&rsa, &pss].iter().flat_map(|part| part.as_object().expect("a key").clone()).collect();
    Place::with(&json!([
        rsa,
        public(&ec(), Signing::ES256, "ec"),
        public(&ed(), Signing::EdDSA, "ed"),
        oct,
        sealing,
        pss,
    ]))
}

fn now() -> i64 {
    Time::now().0 / 1_000_000
}

fn claims() -> Value {
    json!({
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "4711",
        "exp": now() + 600,
        "nbf": now() - 600,
        "preferred_username": "Ann",
        "scope": "openid gatherum:write gatherum:read",
    })
}

fn changed(changes: Value) -> Value {
    let mut claims = claims();
    for (name, value) in changes.as_object().expect("changes") {
        match value {
            Value::Null => claims.as_object_mut().expect("claims").remove(name),
            value => claims.as_object_mut().expect("claims").insert(name.clone(), value.clone()),
        };
    }
    claims
}

fn encoded(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// A token with this header and these claims, signed.
fn token(header: &Value, claims: &Value, key: &SigningKey, algorithm: Signing) -> String {
    let message = format!("{}.{}", encoded(header), encoded(claims));
    let signature = key.sign(message.as_bytes(), algorithm);
    format!("{message}.{signature}")
}

fn good(claims: &Value) -> String {
    token(&json!({ "alg": "ES256", "kid": "ec", "typ": "JWT" }), claims, &ec(), Signing::ES256)
}

#[tokio::test]
async fn a_token_says_who_it_is_and_what_it_is_good_for() {
    let place = usual();
    for (alg, kid, key, signing) in [
        ("RS256", "rsa", rsa(), Signing::RS256),
        ("ES256", "ec", ec(), Signing::ES256),
        ("EdDSA", "ed", ed(), Signing::EdDSA),
    ] {
        let token = token(&json!({ "alg": alg, "kid": kid }), &claims(), &key, signing);
        let found = place.issuer.verify(&token).await.unwrap_or_else(|| panic!("{alg} is taken"));
        assert_eq!((found.issuer.as_str(), found.subject.as_str(), found.name.as_str()), (ISSUER, "4711", "Ann"));
        assert_eq!(found.scope, TokenScope::Write, "{alg}");
    }
    for (change, scope) in [
        (json!({ "scope": null }), TokenScope::Read),
        (json!({ "scope": "write admin" }), TokenScope::Read),
        (json!({ "scope": "gatherum:admin" }), TokenScope::Admin),
        (json!({ "scope": ["gatherum:write", 7] }), TokenScope::Write),
        (json!({ "scope": "gatherum:administrator" }), TokenScope::Read),
        (json!({ "aud": ["other", AUDIENCE] }), TokenScope::Write),
    ] {
        let found = place.issuer.verify(&good(&changed(change.clone()))).await;
        assert_eq!(found.map(|claims| claims.scope), Some(scope), "{change}");
    }
    let nameless = place.issuer.verify(&good(&changed(json!({ "preferred_username": null })))).await;
    assert_eq!(nameless.map(|claims| claims.name).as_deref(), Some("4711"));
    // Clocks differ by a little.
    assert!(place.issuer.verify(&good(&changed(json!({ "exp": now() - 10, "nbf": now() + 10 })))).await.is_some());
}

/// An issuer with a key for each algorithm, all of which are configured. The key's id is the algorithm's name.
fn every_algorithm() -> (Place, Vec<(Signing, Algorithm, SigningKey)>) {
    let keys = vec![
        (Signing::RS256, Algorithm::Rs256, rsa()),
        (Signing::RS384, Algorithm::Rs384, rsa()),
        (Signing::RS512, Algorithm::Rs512, rsa()),
        (Signing::PS256, Algorithm::Ps256, rsa()),
        (Signing::PS384, Algorithm::Ps384, rsa()),
        (Signing::PS512, Algorithm::Ps512, rsa()),
        (Signing::ES256, Algorithm::Es256, ec()),
        (Signing::ES384, Algorithm::Es384, SigningKey::p384()),
        (Signing::EdDSA, Algorithm::EdDsa, ed()),
    ];
    let set: Vec<Value> =
        keys.iter().map(|(signing, algorithm, key)| public(key, *signing, algorithm.as_str())).collect();
    let mut place = Place::with(&json!(set));
    place.issuer.config.jwt_algorithms = keys.iter().map(|(_, algorithm, _)| *algorithm).collect();
    (place, keys)
}

#[tokio::test]
async fn each_algorithm_verifies_its_own_signatures_only() {
    let (place, keys) = every_algorithm();
    let signed = |named: Algorithm, key: &SigningKey, signing: Signing| {
        token(&json!({ "alg": named.as_str(), "kid": named.as_str() }), &claims(), key, signing)
    };
    for (signing, algorithm, key) in &keys {
        let whole = signed(*algorithm, key, *signing);
        assert!(place.issuer.verify(&whole).await.is_some(), "{signing:?}");

        let (message, signature) = whole.rsplit_once('.').expect("a signature");
        let bytes = URL_SAFE_NO_PAD.decode(signature).expect("base64");
        for at in [0, bytes.len() / 2, bytes.len() - 1] {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let changed = format!("{message}.{}", URL_SAFE_NO_PAD.encode(changed));
            assert_eq!(place.issuer.verify(&changed).await, None, "{signing:?}, byte {at}");
        }
        for length in [0, bytes.len() - 1, bytes.len() + 1] {
            let mut resized = bytes.clone();
            resized.resize(length, 0);
            let resized = format!("{message}.{}", URL_SAFE_NO_PAD.encode(resized));
            assert_eq!(place.issuer.verify(&resized).await, None, "{signing:?}, {length} bytes");
        }
        for (other, _, key) in keys.iter().filter(|(other, ..)| other != signing) {
            let forged = signed(*algorithm, key, *other);
            assert_eq!(place.issuer.verify(&forged).await, None, "{signing:?} signed as {other:?}");
        }
    }
}

#[tokio::test]
async fn a_key_of_another_kind_verifies_nothing() {
    let (rsa, ec, ed, p384) = (rsa(), ec(), ed(), SigningKey::p384());
    let secret = SigningKey::Secret(b"shared".to_vec());
    for (algorithm, signing, key) in
        [("RS256", Signing::RS256, &rsa), ("ES256", Signing::ES256, &ec), ("EdDSA", Signing::EdDSA, &ed)]
    {
        for other in [&rsa, &ec, &ed, &p384, &secret].into_iter().filter(|other| !std::ptr::eq(*other, key)) {
            let mut public = other.public();
            public["kid"] = json!("one");
            let place = Place::with(&json!([public]));
            let token = token(&json!({ "alg": algorithm, "kid": "one" }), &claims(), key, signing);
            assert_eq!(place.issuer.verify(&token).await, None, "{algorithm} with {public}");
        }
    }
}

#[tokio::test]
async fn an_rsa_key_may_begin_with_zeros() {
    let mut public = public(&rsa(), Signing::RS256, "rsa");
    let modulus = URL_SAFE_NO_PAD.decode(public["n"].as_str().expect("a modulus")).expect("base64");
    public["n"] = json!(URL_SAFE_NO_PAD.encode([&[0], modulus.as_slice()].concat()));
    let place = Place::with(&json!([public]));

    let token = token(&json!({ "alg": "RS256", "kid": "rsa" }), &claims(), &rsa(), Signing::RS256);

    assert!(place.issuer.verify(&token).await.is_some());
}

#[tokio::test]
async fn what_is_not_as_it_must_be_is_no_token() {
    let place = usual();
    let es = |header: Value| token(&header, &claims(), &ec(), Signing::ES256);
    let public_key = serde_json::to_vec(&public(&rsa(), Signing::RS256, "rsa")).expect("JSON");
    let secret = |bytes: &[u8]| SigningKey::Secret(bytes.to_vec());
    let hs = |kid: &str, bytes: &[u8]| {
        token(&json!({ "alg": "HS256", "kid": kid }), &claims(), &secret(bytes), Signing::HS256)
    };
    let whole = good(&claims());
    let parts: Vec<&str> = whole.split('.').collect();
    let mut flipped = whole.clone().into_bytes();
    let last = flipped.len() - 20;
    flipped[last] = if flipped[last] == b'A' { b'B' } else { b'A' };
    let none = |alg: &str| format!("{}.{}.", encoded(&json!({ "alg": alg })), encoded(&claims()));
    let own = public(&ec(), Signing::ES256, "mine");
    let wrong: Vec<(&str, String)> = vec![
        ("alg none", none("none")),
        ("alg None", none("None")),
        ("alg nOnE with a key", format!("{}.{}.", encoded(&json!({ "alg": "nOnE", "kid": "ec" })), encoded(&claims()))),
        ("no alg", es(json!({ "kid": "ec" }))),
        ("HS256 with the public key as JSON", hs("rsa", &public_key)),
        ("HS256 with the public key's bytes", hs("rsa", include_bytes!("rsa.der"))),
        ("HS256 with a shared secret of the set", hs("oct", b"shared")),
        ("HS256 with nothing", hs("rsa", b"")),
        ("ES256 said of an RSA key", es(json!({ "alg": "ES256", "kid": "rsa" }))),
        ("RS256 said of an EC key", token(&json!({ "alg": "RS256", "kid": "ec" }), &claims(), &rsa(), Signing::RS256)),
        (
            "an algorithm that is not configured",
            token(&json!({ "alg": "RS384", "kid": "rsa" }), &claims(), &rsa(), Signing::RS384),
        ),
        (
            "a key for another algorithm",
            token(&json!({ "alg": "RS256", "kid": "pss" }), &claims(), &rsa(), Signing::RS256),
        ),
        ("a key that seals", token(&json!({ "alg": "RS256", "kid": "sealing" }), &claims(), &rsa(), Signing::RS256)),
        ("an unknown kid", es(json!({ "alg": "ES256", "kid": "other" }))),
        ("no kid among many keys", es(json!({ "alg": "ES256" }))),
        ("a kid that is a path", es(json!({ "alg": "ES256", "kid": "../../ec" }))),
        ("a kid that is no text", es(json!({ "alg": "ES256", "kid": 7 }))),
        ("a key of its own", es(json!({ "alg": "ES256", "kid": "ec", "jwk": own }))),
        ("a place of its own", es(json!({ "alg": "ES256", "kid": "ec", "jku": "https://evil.example/keys" }))),
        ("a certificate's place", es(json!({ "alg": "ES256", "kid": "ec", "x5u": "https://evil.example" }))),
        ("a certificate", es(json!({ "alg": "ES256", "kid": "ec", "x5c": ["AAAA"] }))),
        ("critical extensions", es(json!({ "alg": "ES256", "kid": "ec", "crit": ["exp"] }))),
        ("expired", good(&changed(json!({ "exp": now() - 60 })))),
        ("expired long ago", good(&changed(json!({ "exp": 0 })))),
        ("an end that is no number", good(&changed(json!({ "exp": "never" })))),
        ("an end beyond time", good(&changed(json!({ "exp": 1e300 })))),
        ("not yet", good(&changed(json!({ "nbf": now() + 60 })))),
        ("no end", good(&changed(json!({ "exp": null })))),
        ("another audience", good(&changed(json!({ "aud": "other" })))),
        ("no audience", good(&changed(json!({ "aud": null })))),
        ("another issuer", good(&changed(json!({ "iss": "https://login.example.evil" })))),
        ("no issuer", good(&changed(json!({ "iss": null })))),
        ("no subject", good(&changed(json!({ "sub": null })))),
        ("an empty subject", good(&changed(json!({ "sub": "" })))),
        ("a subject with U+0000", good(&changed(json!({ "sub": "a\0b" })))),
        ("the signature of another", format!("{}.{}.{}", parts[0], encoded(&changed(json!({ "sub": "1" }))), parts[2])),
        ("no signature", format!("{}.{}.", parts[0], parts[1])),
        ("a signature that was changed", String::from_utf8(flipped).expect("ASCII")),
        ("two parts", format!("{}.{}", parts[0], parts[1])),
        ("four parts", format!("{whole}.{}", parts[2])),
        ("padding", format!("{}=.{}.{}", parts[0], parts[1], parts[2])),
        ("no base64", format!("!{}.{}.{}", parts[0], parts[1], parts[2])),
        ("no JSON", format!("{}.{}.{}", URL_SAFE_NO_PAD.encode("{"), parts[1], parts[2])),
        (
            "a header twice",
            format!(
                "{}.{}.{}",
                URL_SAFE_NO_PAD.encode(r#"{"alg":"none","alg":"ES256","kid":"ec"}"#),
                parts[1],
                parts[2]
            ),
        ),
        ("claims that are a list", token(&json!({ "alg": "ES256", "kid": "ec" }), &json!([1]), &ec(), Signing::ES256)),
        ("too long", good(&changed(json!({ "padding": "x".repeat(LENGTH_MAX) })))),
        ("nothing", String::new()),
        ("dots", "..".to_owned()),
    ];
    for (what, token) in wrong {
        assert_eq!(place.issuer.verify(&token).await, None, "{what}");
    }
    assert!(place.issuer.verify(&whole).await.is_some());
}

/// Ids that are not known make nobody look for keys more than once in ten seconds.
#[tokio::test(start_paused = true)]
async fn keys_are_changed_and_go_on_while_their_place_is_gone() {
    let place = Place::with(&json!([public(&ec(), Signing::ES256, "ec")]));
    let by_rsa = || token(&json!({ "alg": "RS256", "kid": "rsa" }), &claims(), &rsa(), Signing::RS256);
    assert!(place.issuer.verify(&good(&claims())).await.is_some());

    place.write(&json!([public(&rsa(), Signing::RS256, "rsa")]));
    for _ in 0..200 {
        assert_eq!(place.issuer.verify(&by_rsa()).await, None, "keys are not looked for again and again");
    }
    assert!(place.issuer.verify(&good(&claims())).await.is_some(), "the old key goes on until then");
    tokio::time::advance(READ_INTERVAL_MIN + Duration::from_secs(1)).await;
    assert!(place.issuer.verify(&by_rsa()).await.is_some(), "the new key is found by its id");
    assert_eq!(place.issuer.verify(&good(&claims())).await, None, "the old one is gone");

    fs::remove_file(place.directory.path().join("keys.json")).expect("a file");
    tokio::time::advance(REFRESH_AGE + Duration::from_secs(1)).await;
    assert!(place.issuer.verify(&by_rsa()).await.is_some(), "keys go on while they cannot be read");
    tokio::time::advance(KEYS_AGE_MAX).await;
    assert_eq!(place.issuer.verify(&by_rsa()).await, None, "not indefinitely");
}

/// Answers each connection with the same bytes, and counts them.
fn site(answer: String) -> (String, Arc<AtomicUsize>) {
    changing_site(Arc::new(RwLock::new(answer)))
}

/// Answers each connection with the current bytes, and counts them.
fn changing_site(answer: Arc<RwLock<String>>) -> (String, Arc<AtomicUsize>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/keys", listener.local_addr().expect("an address"));
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            counted.fetch_add(1, Ordering::SeqCst);
            let _ = stream.read(&mut [0; 4_096]);
            let answer = answer.read().expect("an answer").clone();
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    (url, count)
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

/// The identity provider whose keys are at the URL.
fn at(url: String) -> IdentityProvider {
    let config = Config {
        jwt_issuer: Some(ISSUER.to_owned()),
        jwt_audience: Some(AUDIENCE.to_owned()),
        jwt_keys: Some(url),
        ..Config::default()
    };
    IdentityProvider::new(&config).expect("settings").expect("an issuer")
}

fn key_set(keys: &[Value]) -> String {
    ok(&json!({ "keys": keys }).to_string())
}

/// A token with a key id that no key has.
fn unknown(n: usize) -> String {
    token(&json!({ "alg": "ES256", "kid": format!("unknown {n}") }), &claims(), &ec(), Signing::ES256)
}

#[tokio::test(start_paused = true)]
async fn a_new_key_is_found_within_5_s_among_many_unknown_ones() {
    let answer = Arc::new(RwLock::new(key_set(&[public(&ec(), Signing::ES256, "ec")])));
    let (url, count) = changing_site(answer.clone());
    let issuer = at(url);
    let by_rsa = token(&json!({ "alg": "RS256", "kid": "rsa" }), &claims(), &rsa(), Signing::RS256);
    assert!(issuer.verify(&good(&claims())).await.is_some());
    assert_eq!(issuer.verify(&unknown(0)).await, None);
    *answer.write().expect("an answer") =
        key_set(&[public(&ec(), Signing::ES256, "ec"), public(&rsa(), Signing::RS256, "rsa")]);

    let rotated = Instant::now();
    let mut n = 0;
    while issuer.verify(&by_rsa).await.is_none() {
        tokio::time::advance(Duration::from_millis(50)).await;
        assert_eq!(issuer.verify(&unknown(n)).await, None);
        assert!(issuer.verify(&good(&claims())).await.is_some());
        n += 1;
        assert!(rotated.elapsed() + FETCH_TIMEOUT <= Duration::from_secs(5), "the key is found in time");
    }
    for n in n..200 {
        tokio::time::advance(Duration::from_millis(50)).await;
        assert_eq!(issuer.verify(&unknown(n)).await, None);
    }
    assert!(count.load(Ordering::SeqCst) <= 5, "{count:?} for 200 unknown keys within 10 s");
}

#[tokio::test(start_paused = true)]
async fn a_removed_key_stops_working_within_a_minute() {
    for step in [Duration::from_secs(1), Duration::from_secs(7), Duration::from_secs(59), Duration::from_secs(600)] {
        let answer = Arc::new(RwLock::new(key_set(&[public(&ec(), Signing::ES256, "ec")])));
        let (url, count) = changing_site(answer.clone());
        let issuer = at(url);
        assert!(issuer.verify(&good(&claims())).await.is_some());
        *answer.write().expect("an answer") = key_set(&[public(&rsa(), Signing::RS256, "rsa")]);

        let removed = Instant::now();
        while removed.elapsed() + step < Duration::from_secs(59) {
            tokio::time::advance(step).await;
            issuer.verify(&good(&claims())).await;
        }
        tokio::time::advance(step).await;

        assert_eq!(issuer.verify(&good(&claims())).await, None, "used every {step:?}");
        assert!(count.load(Ordering::SeqCst) <= 10, "{count:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn known_keys_work_for_a_day_while_the_identity_provider_fails() {
    let answer = Arc::new(RwLock::new(key_set(&[public(&ec(), Signing::ES256, "ec")])));
    let (url, count) = changing_site(answer.clone());
    let issuer = at(url);
    assert!(issuer.verify(&good(&claims())).await.is_some());
    *answer.write().expect("an answer") = "HTTP/1.1 503 Down\r\ncontent-length: 0\r\n\r\n".to_owned();

    for n in 0..24 {
        tokio::time::advance(Duration::from_secs(3_590)).await;
        assert!(issuer.verify(&good(&claims())).await.is_some(), "after {n} hours");
        assert_eq!(issuer.verify(&unknown(n)).await, None);
    }
    assert!(count.load(Ordering::SeqCst) <= 1 + 2 * 24, "{count:?}");
    tokio::time::advance(Duration::from_secs(3_600)).await;
    assert_eq!(issuer.verify(&good(&claims())).await, None, "not indefinitely");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_come_from_a_url_once_for_many_tokens() {
    let keys = json!({ "keys": [public(&ec(), Signing::ES256, "ec")] }).to_string();
    let (url, count) = site(ok(&keys));
    let issuer = at(url.clone());
    let token = good(&claims());
    let checks = futures_util::future::join_all((0..20).map(|_| issuer.verify(&token))).await;
    assert!(checks.iter().all(Option::is_some), "all wait for the first to find it");
    for n in 0..200 {
        let unknown = super::tests::token(
            &json!({ "alg": "ES256", "kid": format!("unknown {n}") }),
            &claims(),
            &ec(),
            Signing::ES256,
        );
        assert_eq!(issuer.verify(&unknown).await, None);
    }
    assert_eq!(count.load(Ordering::SeqCst), 1, "keys are not looked for again and again");

    let (elsewhere, _) = site(format!("HTTP/1.1 302 Found\r\nlocation: {url}\r\ncontent-length: 0\r\n\r\n"));
    let (too_long, _) = site(ok(&(keys.clone() + &" ".repeat(KEYS_LENGTH_MAX))));
    let (broken, _) = site(ok("{"));
    let (failing, _) = site("HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n".to_owned());
    for url in [elsewhere, too_long, broken, failing] {
        assert_eq!(at(url).verify(&token).await, None);
    }
    assert_eq!(count.load(Ordering::SeqCst), 1, "a place is not left for another");
}

#[test]
fn settings_go_together() {
    let set = |issuer: Option<&str>, audience: Option<&str>, keys: Option<&str>| {
        let text = |text: Option<&str>| text.map(str::to_owned);
        Config { jwt_issuer: text(issuer), jwt_audience: text(audience), jwt_keys: text(keys), ..Config::default() }
    };
    assert!(IdentityProvider::new(&set(None, None, None)).expect("settings").is_none());
    assert!(
        IdentityProvider::new(&set(Some(ISSUER), Some(AUDIENCE), Some("https://login.example/keys")))
            .expect("settings")
            .is_some()
    );
    assert!(IdentityProvider::new(&set(Some(ISSUER), None, Some("keys.json"))).is_err());
    assert!(IdentityProvider::new(&set(Some(ISSUER), Some(AUDIENCE), Some("http://login.example/keys"))).is_err());
    let none = Config { jwt_algorithms: Vec::new(), ..set(Some(ISSUER), Some(AUDIENCE), Some("keys.json")) };
    assert!(IdentityProvider::new(&none).is_err());
}
