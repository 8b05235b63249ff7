//! The GraphiQL assets that gatherum serves.
//!
//! They are a crate of their own so that npm runs while cargo compiles the other dependencies, and so that a change of the
//! library does not concern them. `build.rs` describes where they come from.

/// A file, compressed with gzip.
pub struct File {
    /// The path that the page refers to, such as `assets/index-1a2b3c.js`.
    pub name: &'static str,
    /// The compressed content.
    pub gzip: &'static [u8],
}

/// All files; one of them is `index.html`.
pub static FILES: &[File] = include!(concat!(env!("OUT_DIR"), "/files.rs"));
