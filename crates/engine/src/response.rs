//! The JSON of responses.
use async_graphql::Pos;
use tracing::{debug, error, warn};
use uuid::Uuid;

use crate::{error::Code, execute::FieldError};

/// A segment of an error's path.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(untagged)]
pub enum Segment {
    /// A response key.
    Key(String),
    /// A position in a list.
    Index(usize),
}

impl std::fmt::Display for Segment {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Key(key) => formatter.write_str(key),
            Self::Index(index) => write!(formatter, "{index}"),
        }
    }
}

/// Writes the response: errors first, then `data` if the operation was executed, then `extensions`.
pub fn write_response(
    data: Option<Option<Vec<u8>>>,
    errors: &[FieldError],
    extensions: Option<serde_json::Value>,
) -> Vec<u8> {
    let data = match data {
        // What most responses are is not copied.
        Some(Some(mut data)) if errors.is_empty() && extensions.is_none() => {
            data.splice(..0, *b"{\"data\":");
            data.push(b'}');
            return data;
        }
        data => data,
    };
    let mut json = Vec::with_capacity(data.as_ref().and_then(Option::as_ref).map_or(0, Vec::len) + 64);
    json.push(b'{');
    if !errors.is_empty() {
        let errors: Vec<serde_json::Value> = errors.iter().map(error_json).collect();
        append(&mut json, "errors", &serde_json::to_vec(&errors).unwrap_or_default());
    }
    if let Some(data) = data {
        append(&mut json, "data", data.as_deref().unwrap_or(b"null"));
    }
    if let Some(extensions) = extensions {
        append(&mut json, "extensions", &serde_json::to_vec(&extensions).unwrap_or_default());
    }
    json.push(b'}');
    json
}

fn append(json: &mut Vec<u8>, key: &str, value: &[u8]) {
    if json.len() > 1 {
        json.push(b',');
    }
    json.extend_from_slice(format!("\"{key}\":").as_bytes());
    json.extend_from_slice(value);
}

/// An error for the client. What is internal is logged here, once, under an id that the client sees too.
fn error_json(error: &FieldError) -> serde_json::Value {
    let mut json = serde_json::json!({ "message": error.error.message });
    if error.position != Pos::default() {
        json["locations"] = serde_json::json!([{ "line": error.position.line, "column": error.position.column }]);
    }
    if !error.path.is_empty() {
        json["path"] = serde_json::to_value(&error.path).unwrap_or_default();
    }
    json["extensions"] = serde_json::json!({ "code": error.error.code.as_str() });
    if let Some(about) = &error.error.details {
        if let Some(field) = &about.field {
            json["extensions"]["field"] = field.as_str().into();
        }
        if let Some(revision) = about.revision {
            json["extensions"]["currentRevision"] = revision.into();
        }
    }
    let path = || error.path.iter().map(Segment::to_string).collect::<Vec<_>>().join(".");
    match error.error.code {
        Code::Internal => {
            let id = Uuid::now_v7().simple().to_string();
            error!(id, path = path(), cause = error.error.source_chain(), "internal error");
            json["extensions"]["id"] = id.into();
        }
        // A database that does not answer fails every field: its loss is logged once.
        Code::Unavailable => debug!(path = path(), cause = error.error.source_chain(), "database failed a field"),
        Code::Timeout | Code::StorageFull => {
            warn!(path = path(), cause = error.error.source_chain(), "database failed a field");
        }
        _ => {}
    }
    json
}
