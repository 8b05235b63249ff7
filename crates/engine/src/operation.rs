//! Operations that were parsed and found valid before.
//!
//! Validity depends only on the document; the cost and the values of the variables depend on the variables too. A cached
//! operation is therefore valid for every request, and its cost and values hold for requests with equal variables.
use std::sync::Arc;

use async_graphql::{Name, Value, Variables, indexmap::IndexMap};
use gatherum_document::{
    Document,
    apollo_compiler::{Node, executable::Operation},
};
use quick_cache::{Equivalent, Weighter, sync::Cache};
use sha2::{Digest as _, Sha256};

use crate::engine::OperationKind;

/// The approximate number of bytes of memory that a document takes for each byte of its text.
const BYTES_PER_BYTE: u64 = 100;

/// The maximum size of variables that are cached with their operation. Requests that repeat the same variables have few;
/// a list of objects to write is not repeated.
const VARIABLES_BYTES_MAX: u64 = 1_024;

/// The usual size of an operation, for the initial capacity of the cache.
const USUAL_BYTES: u64 = 16 << 10;

/// A valid document, and the operation of it that is executed.
#[derive(Debug)]
pub(crate) struct PreparedOperation {
    pub(crate) document: Document,
    pub(crate) operation: Node<Operation>,
    /// The variables of the request that prepared it, and what follows from them, if they are small.
    variables: Option<(Variables, PreparedVariables)>,
    digest: [u8; 32],
}

/// The coerced values of the variables, and the cost of the operation with them.
#[derive(Clone, Debug, Default)]
pub(crate) struct PreparedVariables {
    pub(crate) values: Arc<IndexMap<Name, Value>>,
    /// The number of objects that the response could have.
    pub(crate) objects: u64,
}

/// Operations by document text and operation name, bounded by the memory they take.
pub(crate) struct OperationCache {
    cache: Cache<OperationKey, Arc<PreparedOperation>, OperationWeighter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct OperationKey {
    text: Box<str>,
    operation: Box<str>,
}

#[derive(Hash)]
struct BorrowedKey<'a> {
    text: &'a str,
    operation: &'a str,
}

impl Equivalent<OperationKey> for BorrowedKey<'_> {
    fn equivalent(&self, key: &OperationKey) -> bool {
        *key.text == *self.text && *key.operation == *self.operation
    }
}

#[derive(Clone)]
struct OperationWeighter;

impl Weighter<OperationKey, Arc<PreparedOperation>> for OperationWeighter {
    fn weight(&self, key: &OperationKey, _: &Arc<PreparedOperation>) -> u64 {
        (key.text.len() + key.operation.len()) as u64 * BYTES_PER_BYTE + 2 * VARIABLES_BYTES_MAX
    }
}

impl OperationCache {
    /// A cache of at most approximately `bytes` bytes.
    pub(crate) fn new(bytes: usize) -> Self {
        let bytes = bytes as u64;
        let operations = usize::try_from(bytes / USUAL_BYTES).unwrap_or(usize::MAX);
        Self { cache: Cache::with_weighter(operations, bytes, OperationWeighter) }
    }

    pub(crate) fn get(&self, text: &str, operation: &str) -> Option<Arc<PreparedOperation>> {
        self.cache.get(&BorrowedKey { text, operation })
    }

    pub(crate) fn insert(&self, text: &str, operation: &str, prepared: Arc<PreparedOperation>) {
        self.cache.insert(OperationKey { text: text.into(), operation: operation.into() }, prepared);
    }
}

impl PreparedOperation {
    /// An operation of a valid document.
    pub(crate) fn new(operation_name: &str, document: Document, operation: Node<Operation>) -> Self {
        let name = operation_name.len().to_le_bytes();
        let digest = Sha256::new().chain_update(name).chain_update(operation_name).chain_update(document.text());
        Self { digest: digest.finalize().into(), document, operation, variables: None }
    }

    /// The operation with the values of these variables, whose cost is known to be within the limits.
    pub(crate) fn with_variables(mut self, given: &Variables, prepared: &PreparedVariables) -> Self {
        self.variables = is_small(given).then(|| (given.clone(), prepared.clone()));
        self
    }

    /// The values and the cost, if the variables of the request are equal to the cached ones.
    pub(crate) fn prepared_variables(&self, given: &Variables) -> Option<PreparedVariables> {
        let (known, prepared) = self.variables.as_ref()?;
        (known == given).then(|| prepared.clone())
    }

    /// A hash of the document's text and the name of the operation.
    pub(crate) fn digest(&self) -> [u8; 32] {
        self.digest
    }

    pub(crate) fn kind(&self) -> OperationKind {
        self.operation.operation_type.into()
    }
}

/// Returns whether variables take little memory: plain values with short texts.
fn is_small(variables: &Variables) -> bool {
    /// The size of a value without its text.
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

#[cfg(test)]
mod tests {
    use gatherum_document::{Limits, Options, Schema};
    use serde_json::json;

    use super::*;

    fn prepared(given: serde_json::Value) -> PreparedOperation {
        let schema = Schema::parse("type Query { f(s: String, l: [Int!]): Int }").expect("a schema");
        let text = "query Q($s: String, $l: [Int!]) { f(s: $s, l: $l) }";
        let document = schema.check(text, &Limits::default(), &Options::default()).expect("a document");
        let operation = document.operation(None).expect("an operation").clone();
        PreparedOperation::new("", document, operation)
            .with_variables(&Variables::from_json(given), &PreparedVariables::default())
    }

    #[test]
    fn values_hold_for_equal_variables() {
        let known = prepared(json!({ "s": "a" }));

        assert!(known.prepared_variables(&Variables::from_json(json!({ "s": "a" }))).is_some());
        for other in [json!({ "s": "b" }), json!({}), json!({ "s": "a", "l": [1] })] {
            assert!(known.prepared_variables(&Variables::from_json(other)).is_none());
        }
    }

    #[test]
    fn large_variables_are_not_cached() {
        for (variables, is_cached) in [
            (json!({ "s": "x".repeat(500) }), true),
            (json!({ "s": "x".repeat(2_000) }), false),
            (json!({ "s": "a", "l": [1] }), false),
            // 16 values of 64 bytes with names of 8 are larger than 1 KiB.
            ((0..16).map(|n| (format!("name{n:04}"), json!(null))).collect(), false),
        ] {
            let known = prepared(variables.clone());
            let found = known.prepared_variables(&Variables::from_json(variables.clone()));
            assert_eq!(found.is_some(), is_cached, "{variables}");
        }
    }

    #[test]
    fn the_memory_of_operations_is_bounded() {
        let (operations, prepared) = (OperationCache::new(1 << 20), Arc::new(prepared(json!({}))));
        for number in 0..10_000 {
            let text = format!("# {number} {}", "x".repeat(1_000));
            operations.insert(&text, "", prepared.clone());
        }

        assert!(operations.cache.weight() <= 1 << 20, "{}", operations.cache.weight());
        assert!(!operations.cache.is_empty());
    }

    #[test]
    fn the_digest_is_that_of_text_and_operation() {
        let schema = Schema::parse("type Query { a: Int, b: Int }").expect("a schema");
        let digest = |text: &str, operation: &str| {
            let document = schema.check(text, &Limits::default(), &Options::default()).expect("a document");
            let prepared = document.operation(Some(operation).filter(|name| !name.is_empty())).expect("it").clone();
            PreparedOperation::new(operation, document, prepared).digest()
        };
        let both = "query A { a } query B { b }";

        assert_eq!(digest(both, "A"), digest(both, "A"));
        assert_ne!(digest(both, "A"), digest(both, "B"));
        assert_ne!(digest("{ a }", ""), digest("{ b }", ""));
    }

    #[test]
    fn operations_of_one_text_are_distinct() {
        let operations = OperationCache::new(1 << 20);
        operations.insert("text", "One", Arc::new(prepared(json!({}))));

        assert!(operations.get("text", "One").is_some());
        assert!(operations.get("text", "Two").is_none());
        assert!(operations.get("text", "").is_none());
    }
}
