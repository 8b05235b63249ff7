//! Tokens of an identity provider: JSON Web Tokens, checked as RFC 8725 has it.
//!
//! The key is one of the issuer's, found by its id among those of the configured place; nothing that a token says of keys is
//! followed. The algorithm is one of the configured ones and of the key's kind, so that a public key is never taken for a
//! shared secret.
use std::{
    path::PathBuf,
    sync::{Arc, RwLock},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{
    DecodingKey, Validation, decode,
    jwk::{Jwk, JwkSet, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::Value;
use tokio::{
    sync::{Mutex, MutexGuard},
    task::JoinHandle,
    time::Instant,
};
use tracing::{info, warn};
use ureq::{
    Agent,
    tls::{RootCerts, TlsConfig},
};

use super::{
    TokenScope,
    config::{Algorithm, Config},
};
use crate::db::Time;

mod signature;

/// Bytes of a token at most.
const LENGTH_MAX: usize = 8_192;

/// By how much clocks may differ, in seconds.
const LEEWAY_S: u64 = 30;

/// How old keys may be before they are looked for again.
const FRESH_FOR: Duration = Duration::from_secs(5 * 60);

/// How often keys are looked for at most, whatever tokens ask for.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// How long keys are good for while the issuer does not answer.
const GOOD_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// How long the issuer may take to answer, and bytes of the answer.
const FETCH_TIMEOUT: Duration = Duration::from_secs(2);
const KEYS_LENGTH_MAX: usize = 262_144;

/// Characters of a name that are taken over.
const NAME_LENGTH_MAX: usize = 200;

/// What a token that is valid says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// Who issued it.
    pub issuer: String,
    /// Whom the issuer calls so.
    pub subject: String,
    /// What to call the account.
    pub name: String,
    /// What it is good for.
    pub scope: TokenScope,
    /// When it ends, as far as clocks agree.
    pub expires_at: Time,
}

/// Checks tokens of one issuer.
pub struct Issuer {
    config: Config,
    issuer: String,
    audience: String,
    place: Place,
    keys: Arc<RwLock<Option<Keys>>>,
    /// When it was last begun to look for keys; held by who waits for the end.
    looked: Mutex<Option<Instant>>,
}

/// Where keys are.
#[derive(Clone, Debug)]
enum Place {
    File(PathBuf),
    Url(Agent, String),
}

type Looked<'l> = MutexGuard<'l, Option<Instant>>;

#[derive(Clone)]
struct Keys {
    set: Arc<JwkSet>,
    found: Instant,
}

impl Issuer {
    /// The issuer that settings name; none where they name none.
    ///
    /// # Errors
    /// Settings are missing or do not fit together.
    pub fn new(config: &Config) -> Result<Option<Self>> {
        let (issuer, audience, keys) = match (&config.jwt_issuer, &config.jwt_audience, &config.jwt_keys) {
            (None, None, None) => return Ok(None),
            (Some(issuer), Some(audience), Some(keys)) => (issuer.clone(), audience.clone(), keys),
            _ => bail!("access.jwt_issuer, access.jwt_audience and access.jwt_keys go together: set all or none"),
        };
        ensure!(!config.jwt_algorithms.is_empty(), "access.jwt_algorithms is empty: name at least one");
        signature::install();
        let place = if keys.contains("://") { Place::url(keys)? } else { Place::File(PathBuf::from(keys)) };
        let (keys, looked) = (Arc::default(), Mutex::default());
        Ok(Some(Self { config: config.clone(), issuer, audience, place, keys, looked }))
    }

    /// What the token says; nothing where it is not valid.
    pub async fn check(&self, token: &str) -> Option<Claims> {
        let header = Header::read(token)?;
        let algorithm = self.config.jwt_algorithms.iter().find(|known| known.as_str() == header.alg)?;
        let key = self.key(&header, *algorithm).await?;
        let mut validation = Validation::new(algorithm.known());
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&[&self.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.validate_nbf = true;
        validation.leeway = LEEWAY_S;
        let claims = decode::<Value>(token, &key, &validation).ok()?.claims;
        self.read(&claims)
    }

    fn read(&self, claims: &Value) -> Option<Claims> {
        let subject = claims["sub"].as_str().filter(|subject| !subject.is_empty() && !subject.contains('\0'))?;
        let shown = |text: &str| -> Option<String> {
            let shown: String = text.chars().filter(|c| !c.is_control()).take(NAME_LENGTH_MAX).collect();
            Some(shown.trim().to_owned()).filter(|name| !name.is_empty())
        };
        let named = claims[&self.config.jwt_name_claim].as_str().and_then(shown);
        let name = named.or_else(|| shown(subject)).unwrap_or_else(|| "account".to_owned());
        let end = claims["exp"].as_f64().filter(|end| (0.0..1e11).contains(end))? + LEEWAY_S as f64;
        Some(Claims {
            issuer: self.issuer.clone(),
            subject: subject.to_owned(),
            name,
            scope: self.scope(&claims[&self.config.jwt_scope_claim]),
            expires_at: Time((end * 1e6) as i64),
        })
    }

    /// The widest scope that is named; reading where none is.
    fn scope(&self, claim: &Value) -> TokenScope {
        let listed = claim.as_array().into_iter().flatten().filter_map(Value::as_str);
        let words = claim.as_str().into_iter().flat_map(str::split_whitespace).chain(listed);
        let scopes = words.filter_map(|word| word.strip_prefix(&self.config.jwt_scope_prefix)?.parse().ok());
        scopes.max().unwrap_or(TokenScope::Read)
    }

    /// The key that a token names, where it may be used with the algorithm.
    async fn key(&self, header: &Header, algorithm: Algorithm) -> Option<DecodingKey> {
        let mut keys = self.known();
        if keys.as_ref().is_none_or(|keys| keys.found.elapsed() > GOOD_FOR || keys.find(header).is_none()) {
            self.look().await;
            keys = self.known();
        } else if keys.as_ref().is_some_and(|keys| keys.found.elapsed() > FRESH_FOR) {
            // Those that are known are good meanwhile.
            if let Ok(looked) = self.looked.try_lock() {
                drop(self.begin_to_look(looked));
            }
        }
        let keys = keys.filter(|keys| keys.found.elapsed() < GOOD_FOR)?;
        let key = keys.find(header)?;
        let common = &key.common;
        let is_for_signing = common.public_key_use.as_ref().is_none_or(|used| *used == PublicKeyUse::Signature);
        let is_alike = common.key_algorithm.is_none_or(|known| known == algorithm.known().into());
        if is_for_signing && is_alike { DecodingKey::from_jwk(key).ok() } else { None }
    }

    fn known(&self) -> Option<Keys> {
        self.keys.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Looks for keys, unless that was done just now. Who comes meanwhile waits for it.
    async fn look(&self) {
        let looked = self.looked.lock().await;
        if let Some((looking, _held)) = self.begin_to_look(looked) {
            let _ = looking.await;
        }
    }

    /// Begins to look for keys, in a task of its own: it goes on if whoever asked goes away.
    fn begin_to_look<'l>(&self, mut looked: Looked<'l>) -> Option<(JoinHandle<()>, Looked<'l>)> {
        if looked.is_some_and(|looked| looked.elapsed() < LOOK_EVERY) {
            return None;
        }
        *looked = Some(Instant::now());
        let (place, keys) = (self.place.clone(), self.keys.clone());
        let looking = tokio::spawn(async move {
            match place.read().await {
                Ok(set) => {
                    info!(keys = set.keys.len(), "the issuer's keys were read");
                    let found = Keys { set: Arc::new(set), found: Instant::now() };
                    *keys.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(found);
                }
                // Those that are known go on.
                Err(error) => warn!(cause = format!("{error:#}"), "the issuer's keys cannot be read"),
            }
        });
        Some((looking, looked))
    }
}

impl Keys {
    /// The key with the id that the token names; where it names none, the only one there is.
    fn find(&self, header: &Header) -> Option<&Jwk> {
        match (&header.kid, self.set.keys.as_slice()) {
            (Some(kid), _) => self.set.find(kid),
            (None, [only]) => Some(only),
            (None, _) => None,
        }
    }
}

impl Place {
    fn url(text: &str) -> Result<Self> {
        let host = text.strip_prefix("http://").and_then(|rest| rest.split(['/', ':']).next());
        ensure!(
            text.starts_with("https://") || matches!(host, Some("localhost" | "127.0.0.1")),
            "access.jwt_keys must be an https URL or a file: keys that came over http could be anyone's"
        );
        let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
        let config = Agent::config_builder().timeout_global(Some(FETCH_TIMEOUT)).max_redirects(0).tls_config(tls);
        Ok(Self::Url(Agent::new_with_config(config.build()), text.to_owned()))
    }

    async fn read(&self) -> Result<JwkSet> {
        let place = self.clone();
        let bytes = tokio::task::spawn_blocking(move || place.bytes()).await??;
        ensure!(bytes.len() <= KEYS_LENGTH_MAX, "the key set has more than {KEYS_LENGTH_MAX} bytes");
        serde_json::from_slice(&bytes).context("it is no JSON Web Key Set")
    }

    fn bytes(&self) -> Result<Vec<u8>> {
        match self {
            Self::File(path) => std::fs::read(path).with_context(|| format!("cannot read {}", path.display())),
            Self::Url(agent, url) => {
                let response = agent.get(url).call()?;
                Ok(response.into_body().into_with_config().limit(KEYS_LENGTH_MAX as u64 + 1).read_to_vec()?)
            }
        }
    }
}

/// What the header of a token may say.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    // Where a token brings its key or tells where to find it, it is not looked at further.
    jku: Option<Value>,
    jwk: Option<Value>,
    x5u: Option<Value>,
    x5c: Option<Value>,
    crit: Option<Value>,
}

impl Header {
    fn read(token: &str) -> Option<Self> {
        if token.len() > LENGTH_MAX {
            return None;
        }
        let mut parts = token.split('.');
        let (header, is_whole) = (parts.next()?, parts.count() == 2);
        let bytes = URL_SAFE_NO_PAD.decode(header).ok().filter(|_| is_whole)?;
        let header: Self = serde_json::from_slice(&bytes).ok()?;
        let brings = [&header.jku, &header.jwk, &header.x5u, &header.x5c, &header.crit];
        brings.iter().all(|claim| claim.is_none()).then_some(header)
    }
}

impl Algorithm {
    fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }

    fn known(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Rs256 => jsonwebtoken::Algorithm::RS256,
            Self::Rs384 => jsonwebtoken::Algorithm::RS384,
            Self::Rs512 => jsonwebtoken::Algorithm::RS512,
            Self::Ps256 => jsonwebtoken::Algorithm::PS256,
            Self::Ps384 => jsonwebtoken::Algorithm::PS384,
            Self::Ps512 => jsonwebtoken::Algorithm::PS512,
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
            Self::Es384 => jsonwebtoken::Algorithm::ES384,
            Self::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        }
    }
}

#[cfg(test)]
mod tests;
