//! Manifests of trusted documents, as client tools write them.
//!
//! - graphql-codegen (client preset, `persisted-documents.json`) and Relay (`persistConfig.file`) write a JSON object that
//!   maps identifiers to texts.
//! - Apollo (`generate-persisted-query-manifest`, and the code generators for Kotlin and iOS) writes an object with the
//!   format `apollo-persisted-query-manifest`.
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{id, sha256};

/// The format of Apollo's manifests.
const APOLLO_FORMAT: &str = "apollo-persisted-query-manifest";

/// The version of Apollo's format that is supported.
const APOLLO_VERSION: u64 = 1;

/// A document of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestDocument {
    /// The identifier that clients send, without the prefix `sha256:`.
    pub id: String,
    /// The text.
    pub text: String,
}

/// An operation of Apollo's format. Its name and type are in the text too.
#[derive(Deserialize)]
struct ApolloOperation {
    id: String,
    body: String,
}

/// Reads the documents of a manifest, in its order.
///
/// # Errors
/// The text is not a manifest of a known format, or an identifier is not valid; the message states the reason.
pub fn read(text: &str) -> Result<Vec<ManifestDocument>, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let value: Value = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
    let Value::Object(members) = value else { return Err("a manifest is a JSON object".to_owned()) };
    let documents = match members.contains_key("operations") {
        true => apollo(members)?,
        false => map(members)?,
    };
    documents.into_iter().map(|(id, text)| checked(id, text)).collect()
}

/// The documents of an object that maps identifiers to texts.
fn map(members: Map<String, Value>) -> Result<Vec<(String, String)>, String> {
    let document = |(id, text)| match text {
        Value::String(text) => Ok((id, text)),
        _ => Err(format!(
            "`{id}` is not a text: a manifest maps identifiers to documents (graphql-codegen, Relay), or has the format \
             `{APOLLO_FORMAT}`"
        )),
    };
    members.into_iter().map(document).collect()
}

/// The documents of Apollo's format.
fn apollo(mut members: Map<String, Value>) -> Result<Vec<(String, String)>, String> {
    let format = members.get("format").and_then(Value::as_str).unwrap_or_default();
    if format != APOLLO_FORMAT {
        return Err(format!("the format `{format}` is not supported: expected `{APOLLO_FORMAT}`"));
    }
    match members.get("version") {
        Some(version) if version.as_u64() == Some(APOLLO_VERSION) => {}
        version => {
            let version = version.map_or_else(|| "none".to_owned(), Value::to_string);
            return Err(format!("version {version} of `{APOLLO_FORMAT}` is not supported: expected {APOLLO_VERSION}"));
        }
    }
    let operations = members.remove("operations").unwrap_or_default();
    let operations: Vec<ApolloOperation> =
        serde_json::from_value(operations).map_err(|error| format!("`operations` is not valid: {error}"))?;
    Ok(operations.into_iter().map(|operation| (operation.id, operation.body)).collect())
}

/// The document, if its identifier is valid.
fn checked(given: String, text: String) -> Result<ManifestDocument, String> {
    let id = match given.strip_prefix(id::SHA256_PREFIX) {
        Some(hash) if hash != sha256(&text) => return Err(format!("`{given}` is not the SHA-256 of its document")),
        Some(hash) => hash.to_owned(),
        None => given,
    };
    id::check(&id).map_err(|reason| format!("`{}`: {reason}", id.escape_debug()))?;
    Ok(ManifestDocument { id, text })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const HASH: &str = "ecf4edb46db40b5132295c0291d62fb65d6759a9eedfa4d5d612dd5ec54a6b38";
    const TEXT: &str = "{__typename}";

    fn documents(manifest: &Value) -> Result<Vec<(String, String)>, String> {
        let documents = read(&manifest.to_string())?;
        Ok(documents.into_iter().map(|document| (document.id, document.text)).collect())
    }

    #[test]
    fn all_formats_yield_their_documents_in_order() {
        let map = json!({ "b": "{ b }", "a": "{ a }" });
        let apollo = json!({ "format": "apollo-persisted-query-manifest", "version": 1, "operations": [
            { "id": "b", "name": "B", "type": "query", "body": "{ b }" },
            { "id": "a", "name": "A", "type": "query", "body": "{ a }" },
        ] });

        for manifest in [map, apollo] {
            let expected = [("b", "{ b }"), ("a", "{ a }")].map(|(id, text)| (id.to_owned(), text.to_owned()));
            assert_eq!(documents(&manifest).expect("documents"), expected, "{manifest}");
        }
        assert_eq!(read("{}"), Ok(Vec::new()));
        assert_eq!(read("\u{feff}{\"a\":\"{ a }\"}").map(|documents| documents.len()), Ok(1), "a byte order mark");
    }

    #[test]
    fn the_prefix_of_an_identifier_is_checked_and_removed() {
        let prefixed = documents(&json!({ format!("sha256:{HASH}"): TEXT }));
        assert_eq!(prefixed, Ok(vec![(HASH.to_owned(), TEXT.to_owned())]));

        let wrong = documents(&json!({ format!("sha256:{HASH}"): "{ __typename }" }));
        assert!(wrong.expect_err("another text").contains("is not the SHA-256 of its document"));
    }

    #[test]
    fn other_texts_are_rejected_with_a_reason() {
        let operations = json!([{ "id": "a", "body": "{ a }" }]);
        let cases = [
            ("[]".to_owned(), "a manifest is a JSON object"),
            ("{".to_owned(), "not JSON"),
            (json!({ "a": { "text": "{ a }" } }).to_string(), "`a` is not a text"),
            (json!({ "format": "other", "version": 1, "operations": operations }).to_string(), "the format `other`"),
            (json!({ "operations": operations }).to_string(), "the format ``"),
            (json!({ "format": APOLLO_FORMAT, "version": 2, "operations": operations }).to_string(), "version 2"),
            (json!({ "format": APOLLO_FORMAT, "operations": operations }).to_string(), "version none"),
            (json!({ "format": APOLLO_FORMAT, "version": 1, "operations": [{ "id": "a" }] }).to_string(), "`body`"),
            (json!({ "": "{ a }" }).to_string(), "1 to 255"),
            (json!({ "a b": "{ a }" }).to_string(), "1 to 255"),
            (json!({ "a\u{0}": "{ a }" }).to_string(), "`a\\0`"),
            (json!({ "a".repeat(256): "{ a }" }).to_string(), "1 to 255"),
        ];
        for (text, reason) in cases {
            let error = read(&text).expect_err(&text);
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
