//! Settings of authentication.
use documented::DocumentedFields;
use serde::{Deserialize, Serialize};

/// Authentication with JSON Web Tokens of an identity provider, such as an OpenID Connect provider. Enabled if issuer,
/// audience and keys are set.
#[derive(Clone, Debug, PartialEq, Eq, DocumentedFields, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Required `iss` claim of JSON Web Tokens, such as `https://login.example`. Set it together with `jwt_audience` and
    /// `jwt_keys`. Default: none, JSON Web Tokens are rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwt_issuer: Option<String>,
    /// Required `aud` claim: the name by which the issuer identifies this server. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwt_audience: Option<String>,
    /// JSON Web Key Set with the issuer's public keys: an https URL or a file path. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwt_keys: Option<String>,
    /// Accepted signature algorithms: RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 and EdDSA are supported.
    /// Default: RS256, ES256, EdDSA.
    pub jwt_algorithms: Vec<Algorithm>,
    /// Claim with the display name of the account. Accounts are identified by `sub`. Default: preferred_username.
    pub jwt_name_claim: String,
    /// Claim with the scopes, as a list or separated by spaces. The widest of `read`, `write` and `admin` applies, each
    /// prefixed with `jwt_scope_prefix`; tokens without one have `read`. Default: scope.
    pub jwt_scope_claim: String,
    /// Prefix of the scopes in `jwt_scope_claim`; other scopes are ignored. Default: `gatherum:`.
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

/// A signature algorithm. All are asymmetric: with a symmetric one, everyone who can verify tokens could also create them.
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
