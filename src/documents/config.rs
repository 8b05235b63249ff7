//! Settings of persisted documents.
use documented::DocumentedFields;
use serde::{Deserialize, Serialize};

/// Documents that requests name by an identifier instead of sending their text.
#[derive(Clone, Debug, PartialEq, Eq, DocumentedFields, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Documents that are executed: `any`, or `trusted` for those only that `gatherum documents add` has stored. Default:
    /// any.
    pub mode: Mode,
    /// Stores the documents of automatic persisted queries (APQ). If false, clients that send only an unknown hash receive
    /// PERSISTED_QUERY_NOT_SUPPORTED. Has no effect in the mode `trusted`, which stores none. Default: true.
    pub automatic: bool,
    /// Maximum number of automatically stored documents. A further one replaces the least recently used. Default: 10000.
    pub automatic_count: u32,
    /// Maximum size of all automatically stored documents in bytes. A further one replaces the least recently used.
    /// Default: 33554432.
    pub automatic_bytes: u32,
    /// Maximum number of trusted documents, each of at most `limits.document_bytes`. Default: 10000.
    pub trusted_count: u32,
    /// Memory for texts of persisted documents on each node in bytes, at least 1048576. Default: 8388608.
    pub cache_bytes: usize,
}

/// The documents that are executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// All valid documents.
    Any,
    /// Only trusted documents.
    Trusted,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            mode: Mode::Any,
            automatic: true,
            automatic_count: 10_000,
            automatic_bytes: 32 << 20,
            trusted_count: 10_000,
            cache_bytes: 8 << 20,
        }
    }
}
