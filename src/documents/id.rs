//! Identifiers of documents in requests.
use std::fmt;

use serde_json::Value;

use super::sha256;

/// The prefix of an identifier that is the SHA-256 of its document (GraphQL over HTTP, appendix *Persisted Documents*).
pub(super) const SHA256_PREFIX: &str = "sha256:";

/// The version of automatic persisted queries.
const AUTOMATIC_VERSION: f64 = 1.0;

/// Maximum length of an identifier.
const LENGTH_MAX: usize = 255;

/// The identifier of a document in a request, by the parameter that it was in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DocumentId {
    /// `extensions.persistedQuery.sha256Hash`: the SHA-256 of the document, or its identifier in a manifest.
    Automatic(String),
    /// `documentId` or `doc_id` with the prefix `sha256:`, which is removed.
    Sha256(String),
    /// Any other `documentId` or `doc_id`, as it is in a manifest.
    Custom(String),
    /// Parameters that identify no document, with a message for the client.
    Invalid(&'static str),
}

impl DocumentId {
    /// The identifier in the parameters `documentId`, `doc_id` and `extensions.persistedQuery`. Null counts as absent.
    pub fn of_parameters(
        document_id: Option<&Value>,
        doc_id: Option<&Value>,
        persisted_query: Option<&Value>,
    ) -> Option<Self> {
        let given = |value: Option<&'_ Value>| value.filter(|value| !value.is_null()).cloned();
        let automatic = given(persisted_query).map(|value| Self::automatic(&value));
        let named = [given(document_id), given(doc_id)].into_iter().flatten().map(|value| Self::named(&value));
        let mut ids = automatic.into_iter().chain(named);
        let first = ids.next()?;
        match ids.find(|id| id.key() != first.key()) {
            Some(Self::Invalid(message)) => Some(Self::Invalid(message)),
            Some(_) if !matches!(first, Self::Invalid(_)) => {
                Some(Self::Invalid("the request identifies two documents: send one identifier"))
            }
            _ => Some(first),
        }
    }

    fn automatic(value: &Value) -> Self {
        let Value::Object(members) = value else {
            return Self::Invalid("`extensions.persistedQuery` must be an object");
        };
        if members.get("version").and_then(Value::as_f64) != Some(AUTOMATIC_VERSION) {
            return Self::Invalid("`extensions.persistedQuery.version` must be 1");
        }
        let Some(Value::String(hash)) = members.get("sha256Hash") else {
            return Self::Invalid("`extensions.persistedQuery.sha256Hash` must be a string");
        };
        match check(hash) {
            Ok(()) => Self::Automatic(hash.strip_prefix(SHA256_PREFIX).unwrap_or(hash).to_owned()),
            Err(message) => Self::Invalid(message),
        }
    }

    fn named(value: &Value) -> Self {
        let Value::String(text) = value else { return Self::Invalid("`documentId` must be a string") };
        match (check(text), text.strip_prefix(SHA256_PREFIX)) {
            (Err(message), _) => Self::Invalid(message),
            (Ok(()), Some(hash)) => Self::Sha256(hash.to_owned()),
            (Ok(()), None) => Self::Custom(text.to_owned()),
        }
    }

    /// The key of the document in the database.
    pub(super) fn key(&self) -> &str {
        match self {
            Self::Automatic(key) | Self::Sha256(key) | Self::Custom(key) => key,
            Self::Invalid(_) => "",
        }
    }

    /// Whether this can identify a document with this text.
    pub(super) fn fits(&self, text: &str) -> bool {
        match self {
            Self::Automatic(hash) | Self::Sha256(hash) => sha256(text) == *hash,
            Self::Custom(_) => true,
            Self::Invalid(_) => false,
        }
    }
}

impl fmt::Display for DocumentId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Automatic(key) | Self::Custom(key) => formatter.write_str(key),
            Self::Sha256(key) => write!(formatter, "{SHA256_PREFIX}{key}"),
            Self::Invalid(_) => Ok(()),
        }
    }
}

/// Checks the form of an identifier.
///
/// # Errors
/// It is not valid; the message is for the client.
pub(super) fn check(text: &str) -> Result<(), &'static str> {
    let is_valid = (1..=LENGTH_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    if is_valid { Ok(()) } else { Err("the identifier of a document has 1 to 255 visible ASCII characters") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The identifier in the parameters of a request.
    fn id(parameters: &Value) -> Option<DocumentId> {
        let persisted_query = parameters["extensions"].get("persistedQuery");
        DocumentId::of_parameters(parameters.get("documentId"), parameters.get("doc_id"), persisted_query)
    }

    fn automatic(hash: &Value) -> Value {
        json!({ "persistedQuery": { "version": 1, "sha256Hash": hash } })
    }

    #[test]
    fn each_parameter_identifies_a_document() {
        let cases = [
            (json!({}), None),
            (json!({ "documentId": null, "doc_id": null, "extensions": { "persistedQuery": null } }), None),
            (json!({ "documentId": "sha256:abc" }), Some(DocumentId::Sha256("abc".to_owned()))),
            (json!({ "documentId": "x-own:abc" }), Some(DocumentId::Custom("x-own:abc".to_owned()))),
            (json!({ "doc_id": "abc" }), Some(DocumentId::Custom("abc".to_owned()))),
            (json!({ "extensions": automatic(&json!("abc")) }), Some(DocumentId::Automatic("abc".to_owned()))),
            (json!({ "extensions": automatic(&json!("sha256:abc")) }), Some(DocumentId::Automatic("abc".to_owned()))),
            (
                json!({ "documentId": "sha256:abc", "extensions": automatic(&json!("abc")) }),
                Some(DocumentId::Automatic("abc".to_owned())),
            ),
            (json!({ "documentId": "abc", "doc_id": "abc" }), Some(DocumentId::Custom("abc".to_owned()))),
        ];
        for (parameters, expected) in cases {
            assert_eq!(id(&parameters), expected, "{parameters}");
        }
    }

    #[test]
    fn invalid_parameters_have_a_message() {
        let form = "the identifier of a document has 1 to 255 visible ASCII characters";
        let twice = "the request identifies two documents: send one identifier";
        let version = "`extensions.persistedQuery.version` must be 1";
        let cases = [
            (json!({ "documentId": 1 }), "`documentId` must be a string"),
            (json!({ "doc_id": {} }), "`documentId` must be a string"),
            (json!({ "documentId": "" }), form),
            (json!({ "documentId": "a b" }), form),
            (json!({ "documentId": "a\u{0}" }), form),
            (json!({ "documentId": "é" }), form),
            (json!({ "doc_id": "a".repeat(256) }), form),
            (json!({ "documentId": "a", "doc_id": "b" }), twice),
            (json!({ "documentId": "a", "extensions": automatic(&json!("b")) }), twice),
            (json!({ "documentId": "a", "doc_id": 1 }), "`documentId` must be a string"),
            (json!({ "extensions": { "persistedQuery": "a" } }), "`extensions.persistedQuery` must be an object"),
            (json!({ "extensions": { "persistedQuery": { "version": 2, "sha256Hash": "a" } } }), version),
            (json!({ "extensions": { "persistedQuery": { "version": "1", "sha256Hash": "a" } } }), version),
            (json!({ "extensions": { "persistedQuery": { "sha256Hash": "a" } } }), version),
            (
                json!({ "extensions": { "persistedQuery": { "version": 1 } } }),
                "`extensions.persistedQuery.sha256Hash` must be a string",
            ),
            (json!({ "extensions": automatic(&json!("")) }), form),
        ];
        for (parameters, message) in cases {
            assert_eq!(id(&parameters), Some(DocumentId::Invalid(message)), "{parameters}");
        }
    }
}
