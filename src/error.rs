//! Errors and the stable code that each has for clients.
pub use gatherum_engine::error::{Code, Error, ErrorDetails, Result};
