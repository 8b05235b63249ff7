//! Documents that were parsed and found valid before.
//!
//! A document is the same for many requests, its variables are not: what was found of a document holds for other
//! variables only as far as their values cannot matter to validation.
use std::sync::Arc;

use async_graphql::{
    Name, Positioned, Value, Variables,
    parser::types::{BaseType, ExecutableDocument, OperationDefinition, OperationType},
};
use quick_cache::{Equivalent, Weighter, sync::Cache};
use sha2::{Digest as _, Sha256};

use crate::engine::OperationKind;

/// Bytes of memory that a document takes for each byte of its text: 80 and less.
const BYTES_PER_BYTE: u64 = 100;

/// Bytes of variables that are kept with a document. They are there so that what is asked again and again as it is needs no
/// look; a list of things to write is not.
const VARIABLES_BYTES_MAX: u64 = 1_024;

/// Documents that are kept before their sizes are known, about.
const USUAL_BYTES: u64 = 16 << 10;

/// A document, and the operation of it that is executed.
#[derive(Debug)]
pub(crate) struct PreparedOperation {
    pub(crate) document: ExecutableDocument,
    pub(crate) operation: Positioned<OperationDefinition>,
    operation_name: Box<str>,
    /// With which it was found valid, if they are few and small.
    variables: Option<Variables>,
    digest: [u8; 32],
}

/// What was found of a document holds for a request as far as its variables are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CacheMatch {
    /// The same values: everything holds.
    Exact,
    /// Values that are valid wherever the document uses them: it is valid, but may weigh more.
    ShapeEqual,
    /// It must be validated again.
    Miss,
}

/// Documents by text and operation name, bounded by the memory they take.
pub(crate) struct OperationCache {
    cache: Cache<Key, Arc<PreparedOperation>, Weigh>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    text: Box<str>,
    operation: Box<str>,
}

#[derive(Hash)]
struct Asked<'a> {
    text: &'a str,
    operation: &'a str,
}

impl Equivalent<Key> for Asked<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        *key.text == *self.text && *key.operation == *self.operation
    }
}

#[derive(Clone)]
struct Weigh;

impl Weighter<Key, Arc<PreparedOperation>> for Weigh {
    fn weight(&self, key: &Key, _: &Arc<PreparedOperation>) -> u64 {
        (key.text.len() + key.operation.len()) as u64 * BYTES_PER_BYTE + VARIABLES_BYTES_MAX
    }
}

impl OperationCache {
    /// Keeps documents in at most about so many bytes.
    pub(crate) fn new(bytes: usize) -> Self {
        let bytes = bytes as u64;
        let documents = usize::try_from(bytes / USUAL_BYTES).unwrap_or(usize::MAX);
        Self { cache: Cache::with_weighter(documents, bytes, Weigh) }
    }

    pub(crate) fn get(&self, text: &str, operation: &str) -> Option<Arc<PreparedOperation>> {
        self.cache.get(&Asked { text, operation })
    }

    /// Keeps a document that is valid.
    pub(crate) fn insert(&self, text: &str, operation: &str, document: Arc<PreparedOperation>) {
        self.cache.insert(Key { text: text.into(), operation: operation.into() }, document);
    }
}

impl PreparedOperation {
    /// A document, one of its operations, and the variables with which it is about to be looked at.
    pub(crate) fn new(
        text: &str,
        operation_name: &str,
        document: ExecutableDocument,
        operation: Positioned<OperationDefinition>,
        variables: &Variables,
    ) -> Self {
        let name = operation_name.len().to_le_bytes();
        let digest = Sha256::new().chain_update(name).chain_update(operation_name).chain_update(text).finalize().into();
        let operation_name = operation_name.into();
        Self { document, operation, operation_name, variables: is_small(variables).then(|| variables.clone()), digest }
    }

    /// The name by which the request selected the operation.
    pub(crate) fn operation_name(&self) -> Option<&str> {
        Some(&*self.operation_name).filter(|name| !name.is_empty())
    }

    /// The hash of its text and the name of the operation.
    pub(crate) fn digest(&self) -> [u8; 32] {
        self.digest
    }

    pub(crate) fn kind(&self) -> OperationKind {
        match self.operation.node.ty {
            OperationType::Query => OperationKind::Query,
            OperationType::Mutation => OperationKind::Mutation,
            OperationType::Subscription => OperationKind::Subscription,
        }
    }

    /// How far what was found with other variables holds for these.
    pub(crate) fn cache_match(&self, variables: &Variables) -> CacheMatch {
        if self.variables.as_ref() == Some(variables) {
            return CacheMatch::Exact;
        }
        let definitions = &self.operation.node.variable_definitions;
        let is_valid = |name: &str, value: &Value| {
            let definition = definitions.iter().find(|definition| definition.node.name.node == name);
            definition.is_some_and(|definition| is_plain(&definition.node.var_type.node.base, value))
        };
        if variables.iter().all(|(name, value)| is_valid(name, value)) {
            CacheMatch::ShapeEqual
        } else {
            CacheMatch::Miss
        }
    }
}

/// Whether variables take little memory: plain values of short texts.
fn is_small(variables: &Variables) -> bool {
    /// Beside what a text is long.
    const VALUE_BYTES: u64 = 64;
    let bytes = |(name, value): (&Name, &Value)| {
        let text = match value {
            Value::Null | Value::Boolean(_) | Value::Number(_) => 0,
            Value::String(text) => text.len() as u64,
            Value::Enum(name) => name.len() as u64,
            Value::Binary(_) | Value::List(_) | Value::Object(_) => return None,
        };
        Some(VALUE_BYTES + name.len() as u64 + text)
    };
    let bytes: Option<u64> = variables.iter().map(bytes).sum();
    bytes.is_some_and(|bytes| bytes <= VARIABLES_BYTES_MAX)
}

/// Whether the value is of this type without a doubt: no null, and no type whose values have rules of their own.
fn is_plain(base: &BaseType, value: &Value) -> bool {
    let BaseType::Named(name) = base else { return false };
    match (name.as_str(), value) {
        ("Int", Value::Number(number)) => number.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
        ("String" | "ID", Value::String(_)) | ("Boolean", Value::Boolean(_)) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(variables: serde_json::Value) -> PreparedOperation {
        let text = "query Q($n: Int, $s: String!, $l: [Int!], $k: Kind) { f(n: $n, s: $s, l: $l, k: $k) }";
        let document = async_graphql::parser::parse_query(text).expect("a document");
        let (_, operation) = document.operations.iter().next().expect("an operation");
        PreparedOperation::new("", "", document.clone(), operation.clone(), &Variables::from_json(variables))
    }

    #[test]
    fn what_was_found_holds_for_values_that_cannot_matter() {
        let known = document(serde_json::json!({ "s": "a", "n": 1 }));
        for (variables, cache_match) in [
            (serde_json::json!({ "s": "a", "n": 1 }), CacheMatch::Exact),
            (serde_json::json!({ "s": "b", "n": -7 }), CacheMatch::ShapeEqual),
            (serde_json::json!({ "s": "b" }), CacheMatch::ShapeEqual),
            (serde_json::json!({ "s": "b", "n": null }), CacheMatch::Miss),
            (serde_json::json!({ "s": "b", "n": 2_147_483_648_i64 }), CacheMatch::Miss),
            (serde_json::json!({ "s": "b", "n": 1.5 }), CacheMatch::Miss),
            (serde_json::json!({ "s": 1 }), CacheMatch::Miss),
            (serde_json::json!({ "s": "b", "l": [1] }), CacheMatch::Miss),
            (serde_json::json!({ "s": "b", "k": "SKILL" }), CacheMatch::Miss),
            (serde_json::json!({ "s": "b", "unknown": 1 }), CacheMatch::Miss),
        ] {
            assert_eq!(known.cache_match(&Variables::from_json(variables.clone())), cache_match, "{variables}");
        }
    }

    #[test]
    fn large_variables_are_not_kept() {
        for (variables, cache_match) in [
            (serde_json::json!({ "s": "x".repeat(500) }), CacheMatch::Exact),
            (serde_json::json!({ "s": "x".repeat(2_000) }), CacheMatch::ShapeEqual),
            (serde_json::json!({ "s": "a", "l": [1] }), CacheMatch::Miss),
        ] {
            let known = document(variables.clone());
            assert_eq!(known.cache_match(&Variables::from_json(variables.clone())), cache_match, "{variables}");
        }
    }

    #[test]
    fn the_memory_of_documents_is_bounded() {
        let documents = OperationCache::new(1 << 20);
        for number in 0..10_000 {
            let text = format!("# {number} {}", "x".repeat(1_000));
            documents.insert(&text, "", Arc::new(document(serde_json::json!({}))));
        }

        assert!(documents.cache.weight() <= 1 << 20, "{}", documents.cache.weight());
        assert!(!documents.cache.is_empty());
    }

    #[test]
    fn operations_of_one_text_are_told_apart() {
        let documents = OperationCache::new(1 << 20);
        documents.insert("text", "One", Arc::new(document(serde_json::json!({}))));

        assert!(documents.get("text", "One").is_some());
        assert!(documents.get("text", "Two").is_none());
        assert!(documents.get("text", "").is_none());
    }
}
