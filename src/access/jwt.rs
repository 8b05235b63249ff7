//! JSON Web Tokens of an identity provider, verified according to RFC 8725.
//!
//! Keys come from the configured key set only and are selected by `kid`; headers of a token that contain or reference keys
//! are rejected. The algorithm must be a configured one and match the key, so that a public key is never used as a shared
//! secret.
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
    sync::{Mutex, OwnedMutexGuard},
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
use crate::db::{Time, nfc};

mod signature;

/// Maximum length of a token, in bytes.
const LENGTH_MAX: usize = 8_192;

/// Tolerated clock skew, in seconds.
const LEEWAY_S: u64 = 30;

/// Age from which keys are refreshed in the background.
const REFRESH_AGE: Duration = Duration::from_secs(30);

/// Age from which keys are not used before an attempt to refresh them: a removed key stops working within a minute, also if
/// no token was verified in the meantime.
const FRESH_AGE_MAX: Duration = Duration::from_secs(50);

/// Minimum interval between two attempts to read keys because of an unknown key. With [`FETCH_TIMEOUT`], a new key is found
/// within 5 s, however many unknown keys other tokens name.
const READ_INTERVAL_MIN: Duration = Duration::from_secs(3);

/// Minimum interval between two attempts to refresh keys in the background.
const REFRESH_INTERVAL_MIN: Duration = Duration::from_secs(10);

/// Age up to which keys are used if they cannot be refreshed.
const KEYS_AGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Time limit for reading the key set, and its maximum length in bytes.
const FETCH_TIMEOUT: Duration = Duration::from_secs(2);
const KEYS_LENGTH_MAX: usize = 262_144;

/// Maximum length of the name of an account, in characters; longer names are truncated.
const NAME_LENGTH_MAX: usize = 200;

/// The claims of a valid token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The `iss` claim.
    pub issuer: String,
    /// The `sub` claim, which identifies the account.
    pub subject: String,
    /// The display name of the account.
    pub name: String,
    /// The scope.
    pub scope: TokenScope,
    /// Time of expiry, with the tolerated clock skew added.
    pub expires_at: Time,
}

/// Verifies the tokens of one identity provider.
pub struct IdentityProvider {
    config: Config,
    issuer: String,
    audience: String,
    key_source: KeySource,
    keys: Arc<RwLock<Option<Keys>>>,
    /// Time of the last attempt to read keys. Locked during the attempt.
    read_at: Arc<Mutex<Option<Instant>>>,
}

/// The source of the key set.
#[derive(Clone, Debug)]
enum KeySource {
    File(PathBuf),
    Url(Agent, String),
}

type ReadAt = OwnedMutexGuard<Option<Instant>>;

#[derive(Clone)]
struct Keys {
    set: Arc<JwkSet>,
    read_at: Instant,
}

impl IdentityProvider {
    /// The configured identity provider; `None` if none is configured.
    ///
    /// # Errors
    /// The settings are incomplete or invalid.
    pub fn new(config: &Config) -> Result<Option<Self>> {
        let (issuer, audience, keys) = match (&config.jwt_issuer, &config.jwt_audience, &config.jwt_keys) {
            (None, None, None) => return Ok(None),
            (Some(issuer), Some(audience), Some(keys)) => (issuer.clone(), audience.clone(), keys),
            _ => bail!(
                "access.jwt_issuer, access.jwt_audience and access.jwt_keys depend on each other: set all of them or none"
            ),
        };
        ensure!(!config.jwt_algorithms.is_empty(), "access.jwt_algorithms is empty: name at least one");
        signature::install();
        let key_source =
            if keys.contains("://") { KeySource::url(keys)? } else { KeySource::File(PathBuf::from(keys)) };
        let (keys, read_at) = (Arc::default(), Arc::default());
        Ok(Some(Self { config: config.clone(), issuer, audience, key_source, keys, read_at }))
    }

    /// The claims of a token; `None` if it is invalid.
    pub async fn verify(&self, token: &str) -> Option<Claims> {
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
            Some(nfc(shown.trim()).into_owned()).filter(|name| !name.is_empty())
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

    /// The widest scope of the claim; `Read` if it has none.
    fn scope(&self, claim: &Value) -> TokenScope {
        let listed = claim.as_array().into_iter().flatten().filter_map(Value::as_str);
        let words = claim.as_str().into_iter().flat_map(str::split_whitespace).chain(listed);
        let scopes = words.filter_map(|word| word.strip_prefix(&self.config.jwt_scope_prefix)?.parse().ok());
        scopes.max().unwrap_or(TokenScope::Read)
    }

    /// The key of a token if it may be used with the algorithm.
    async fn key(&self, header: &Header, algorithm: Algorithm) -> Option<DecodingKey> {
        let mut keys = self.cached_keys();
        let age = keys.as_ref().map_or(Duration::MAX, |keys| keys.read_at.elapsed());
        if age > KEYS_AGE_MAX || keys.as_ref().is_none_or(|keys| keys.find(header).is_none()) {
            self.read_keys(READ_INTERVAL_MIN).await;
            keys = self.cached_keys();
        } else if age > FRESH_AGE_MAX {
            // After a recent attempt, which failed, the cached keys are used without another one.
            self.read_keys(FRESH_AGE_MAX).await;
            self.refresh_in_background();
            keys = self.cached_keys();
        } else if age > REFRESH_AGE {
            self.refresh_in_background();
        }
        let keys = keys.filter(|keys| keys.read_at.elapsed() < KEYS_AGE_MAX)?;
        let key = keys.find(header)?;
        let common = &key.common;
        let is_for_signing = common.public_key_use.as_ref().is_none_or(|used| *used == PublicKeyUse::Signature);
        let is_alike = common.key_algorithm.is_none_or(|known| known == algorithm.known().into());
        if is_for_signing && is_alike { DecodingKey::from_jwk(key).ok() } else { None }
    }

    fn cached_keys(&self) -> Option<Keys> {
        self.keys.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Reads the keys unless that was tried within `interval`. Concurrent callers wait for the same attempt.
    async fn read_keys(&self, interval: Duration) {
        let read_at = self.read_at.clone().lock_owned().await;
        if let Some(task) = self.spawn_read(read_at, interval) {
            let _ = task.await;
        }
    }

    /// Starts to read the keys unless that was tried recently. The cached keys are used in the meantime.
    fn refresh_in_background(&self) {
        if let Ok(read_at) = self.read_at.clone().try_lock_owned() {
            drop(self.spawn_read(read_at, REFRESH_INTERVAL_MIN));
        }
    }

    /// Reads the keys in a separate task, which continues if the request is cancelled, and holds the lock until its end.
    fn spawn_read(&self, mut read_at: ReadAt, interval: Duration) -> Option<JoinHandle<()>> {
        if read_at.is_some_and(|read_at| read_at.elapsed() < interval) {
            return None;
        }
        *read_at = Some(Instant::now());
        let (key_source, keys) = (self.key_source.clone(), self.keys.clone());
        Some(tokio::spawn(async move {
            let _attempt = read_at;
            match key_source.read().await {
                Ok(set) => {
                    info!(keys = set.keys.len(), "read the keys of the identity provider");
                    let found = Keys { set: Arc::new(set), read_at: Instant::now() };
                    *keys.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(found);
                }
                // The cached keys remain in use.
                Err(error) => warn!(cause = format!("{error:#}"), "cannot read the keys of the identity provider"),
            }
        }))
    }
}

impl Keys {
    /// The key with the id of the token, or the only key if the token has no key id.
    fn find(&self, header: &Header) -> Option<&Jwk> {
        match (&header.kid, self.set.keys.as_slice()) {
            (Some(kid), _) => self.set.find(kid),
            (None, [only]) => Some(only),
            (None, _) => None,
        }
    }
}

impl KeySource {
    fn url(text: &str) -> Result<Self> {
        let host = text.strip_prefix("http://").and_then(|rest| rest.split(['/', ':']).next());
        ensure!(
            text.starts_with("https://") || matches!(host, Some("localhost" | "127.0.0.1")),
            "access.jwt_keys must be an https URL or a file: keys read over http can be forged"
        );
        let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
        let config = Agent::config_builder().timeout_global(Some(FETCH_TIMEOUT)).max_redirects(0).tls_config(tls);
        Ok(Self::Url(Agent::new_with_config(config.build()), text.to_owned()))
    }

    async fn read(&self) -> Result<JwkSet> {
        let source = self.clone();
        let bytes = tokio::task::spawn_blocking(move || source.bytes()).await??;
        ensure!(bytes.len() <= KEYS_LENGTH_MAX, "the key set is longer than {KEYS_LENGTH_MAX} bytes");
        serde_json::from_slice(&bytes).context("it is not a JSON Web Key Set")
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

/// The header of a token.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    // Tokens that contain or reference a key are rejected.
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
        let rejected = [&header.jku, &header.jwk, &header.x5u, &header.x5c, &header.crit];
        rejected.iter().all(|claim| claim.is_none()).then_some(header)
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
