//! Persisted documents: requests name a document by an identifier instead of sending its text.
//!
//! *Automatic* documents are stored when a client sends them together with their SHA-256 (automatic persisted queries).
//! *Trusted* documents are added by operators, from manifests that client tools write; in the mode `trusted`, nothing else is
//! executed. An automatic document is never trusted: the two have their own tables.
mod automatic;
mod config;
mod id;
pub mod manifest;
mod resolver;
pub mod trusted;

use sha2::{Digest as _, Sha256};

pub use config::{Config, Mode};
pub use id::DocumentId;
pub use resolver::{Documents, Resolved};

/// The SHA-256 of a text in lower-case hexadecimal digits.
pub fn sha256(text: &str) -> String {
    use std::fmt::Write as _;
    let digest = Sha256::digest(text);
    digest.iter().fold(String::with_capacity(2 * digest.len()), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
