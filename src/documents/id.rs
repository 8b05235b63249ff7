//! Identifiers of documents in requests.
use std::fmt;

use super::sha256;

/// The prefix of an identifier that is the SHA-256 of its document (GraphQL over HTTP, appendix *Persisted Documents*).
pub(super) const SHA256_PREFIX: &str = "sha256:";

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
}

impl DocumentId {
    /// The identifier in `extensions.persistedQuery.sha256Hash`.
    ///
    /// # Errors
    /// It is not valid; the message is for the client.
    pub fn automatic(text: &str) -> Result<Self, &'static str> {
        check(text)?;
        Ok(Self::Automatic(text.strip_prefix(SHA256_PREFIX).unwrap_or(text).to_owned()))
    }

    /// The identifier in `documentId` or `doc_id`.
    ///
    /// # Errors
    /// It is not valid; the message is for the client.
    pub fn document(text: &str) -> Result<Self, &'static str> {
        check(text)?;
        Ok(match text.strip_prefix(SHA256_PREFIX) {
            Some(hash) => Self::Sha256(hash.to_owned()),
            None => Self::Custom(text.to_owned()),
        })
    }

    /// The key of the document in the database.
    pub fn key(&self) -> &str {
        let (Self::Automatic(key) | Self::Sha256(key) | Self::Custom(key)) = self;
        key
    }

    /// Whether this can identify a document with this text.
    pub fn fits(&self, text: &str) -> bool {
        match self {
            Self::Automatic(hash) | Self::Sha256(hash) => sha256(text) == *hash,
            Self::Custom(_) => true,
        }
    }
}

impl fmt::Display for DocumentId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Automatic(key) | Self::Custom(key) => formatter.write_str(key),
            Self::Sha256(key) => write!(formatter, "{SHA256_PREFIX}{key}"),
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
