//! Settings of who may ask.
use documented::DocumentedFields;
use serde::{Deserialize, Serialize};

/// Tokens of an identity provider, such as an OpenID Connect one. They are taken once issuer, audience and keys are set.
#[derive(Clone, Debug, PartialEq, Eq, DocumentedFields, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The `iss` that tokens must have, such as `https://login.example`. Default none: no such tokens are taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwt_issuer: Option<String>,
    /// The `aud` that tokens must have: what the issuer calls this server. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwt_audience: Option<String>,
    /// Where the issuer's public keys are, as a JSON Web Key Set: an https URL, or a file. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwt_keys: Option<String>,
    /// Algorithms that tokens may be signed with: RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 or EdDSA. Default
    /// RS256, ES256, EdDSA.
    pub jwt_algorithms: Vec<Algorithm>,
    /// The claim that names the account for people; it is known by `sub`. Default preferred_username.
    pub jwt_name_claim: String,
    /// The claim with the scopes: a text of words, or a list. The words `read`, `write` and `admin` count, each after
    /// `jwt_scope_prefix`. Default scope.
    pub jwt_scope_claim: String,
    /// What stands before the words that count. Default `gatherum:`.
    pub jwt_scope_prefix: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            jwt_issuer: None,
            jwt_audience: None,
            jwt_keys: None,
            jwt_algorithms: vec![Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa],
            jwt_name_claim: "preferred_username".to_owned(),
            jwt_scope_claim: "scope".to_owned(),
            jwt_scope_prefix: "gatherum:".to_owned(),
        }
    }
}

/// An algorithm with a public key: with any other, whoever can check a token could make one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum Algorithm {
    /// RSA, PKCS #1, SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
    /// RSA, PKCS #1, SHA-384.
    #[serde(rename = "RS384")]
    Rs384,
    /// RSA, PKCS #1, SHA-512.
    #[serde(rename = "RS512")]
    Rs512,
    /// RSA, PSS, SHA-256.
    #[serde(rename = "PS256")]
    Ps256,
    /// RSA, PSS, SHA-384.
    #[serde(rename = "PS384")]
    Ps384,
    /// RSA, PSS, SHA-512.
    #[serde(rename = "PS512")]
    Ps512,
    /// ECDSA, P-256, SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// ECDSA, P-384, SHA-384.
    #[serde(rename = "ES384")]
    Es384,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
}
