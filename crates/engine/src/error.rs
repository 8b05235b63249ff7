//! Errors and their stable codes for clients.
use std::{borrow::Cow, sync::Arc};

use serde::{Deserialize, Serialize};

/// The stable `extensions.code` of an error; clients may branch on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
pub enum Code {
    /// The document is not GraphQL.
    GraphqlParseFailed,
    /// The document is not valid against the schema.
    GraphqlValidationFailed,
    /// The document, its operation or its variables do not fit together, or the HTTP request is malformed.
    BadRequest,
    /// An argument or a variable has a value that the field cannot take.
    BadUserInput,
    /// An object that a write names does not exist, or the viewer may not see it.
    NotFound,
    /// The write contradicts the stored data.
    Conflict,
    /// An item of a batch was not written because another item was rejected.
    Aborted,
    /// No valid credentials.
    Unauthenticated,
    /// Valid credentials that do not allow this.
    Forbidden,
    /// A limit on size, depth, breadth or cost.
    LimitExceeded,
    /// More SQL statements than `MAX_SQL_PER_REQUEST` allows.
    SqlBudgetExceeded,
    /// The time for the request or for a statement is over.
    Timeout,
    /// The server has as much to do as it can.
    Overloaded,
    /// The database does not answer.
    Unavailable,
    /// The database cannot store anything, because its disk is full.
    StorageFull,
    /// A subscription ended because changes were missed.
    EventsLost,
    /// No document has the identifier. Clients of automatic persisted queries send the request again with the document.
    PersistedQueryNotFound,
    /// The server does not store documents automatically. Clients send all further requests with the document.
    PersistedQueryNotSupported,
    /// The server executes only trusted documents, and this is not one of them.
    DocumentNotTrusted,
    /// A fault of the server; the id in the response is in the log.
    Internal,
}

impl Code {
    /// Whether the same request can succeed later without a change.
    pub fn is_temporary(self) -> bool {
        matches!(self, Code::Overloaded | Code::Unavailable | Code::StorageFull)
    }

    /// The code as clients see it.
    pub fn as_str(self) -> &'static str {
        match self {
            Code::GraphqlParseFailed => "GRAPHQL_PARSE_FAILED",
            Code::GraphqlValidationFailed => "GRAPHQL_VALIDATION_FAILED",
            Code::BadRequest => "BAD_REQUEST",
            Code::BadUserInput => "BAD_USER_INPUT",
            Code::NotFound => "NOT_FOUND",
            Code::Conflict => "CONFLICT",
            Code::Aborted => "ABORTED",
            Code::Unauthenticated => "UNAUTHENTICATED",
            Code::Forbidden => "FORBIDDEN",
            Code::LimitExceeded => "LIMIT_EXCEEDED",
            Code::SqlBudgetExceeded => "SQL_BUDGET_EXCEEDED",
            Code::Timeout => "TIMEOUT",
            Code::Overloaded => "OVERLOADED",
            Code::Unavailable => "UNAVAILABLE",
            Code::StorageFull => "STORAGE_FULL",
            Code::EventsLost => "EVENTS_LOST",
            Code::PersistedQueryNotFound => "PERSISTED_QUERY_NOT_FOUND",
            Code::PersistedQueryNotSupported => "PERSISTED_QUERY_NOT_SUPPORTED",
            Code::DocumentNotTrusted => "DOCUMENT_NOT_TRUSTED",
            Code::Internal => "INTERNAL",
        }
    }
}

/// An error. Cheap to clone: a failed batch fails every field that waits for it.
#[derive(Clone, Debug, thiserror::Error, Deserialize, Serialize)]
#[error("{message}")]
pub struct Error {
    /// The kind of the error.
    pub code: Code,
    /// The message for clients. It contains no internal details.
    pub message: Cow<'static, str>,
    /// Further details for clients that write.
    pub details: Option<Box<ErrorDetails>>,
    /// The cause, only for the log.
    #[source]
    #[serde(skip)]
    pub source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

/// Details of a rejected write.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct ErrorDetails {
    /// The field of the input, such as `name` or `artifacts.3.name`.
    pub field: Option<String>,
    /// The revision that the object has now, where another was expected.
    pub revision: Option<i64>,
    /// Whether the conflict is with a concurrent write, so that a retry can succeed or fail with a better message.
    #[serde(skip)]
    is_retryable_conflict: bool,
}

impl Error {
    /// A fault with a message for clients.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), details: None, source: None }
    }

    /// A value that the caller has to change.
    pub fn bad_user_input(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::BadUserInput, message)
    }

    /// A fault of the server, with the cause for the log.
    pub fn internal(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        let source: Box<dyn std::error::Error + Send + Sync> = source.into();
        Self { code: Code::Internal, message: "internal error".into(), details: None, source: Some(Arc::from(source)) }
    }

    /// The fault, which the value of this field of the input has.
    #[must_use]
    pub fn in_field(mut self, field: impl Into<String>) -> Self {
        let details = self.details.take().map(|details| *details).unwrap_or_default();
        self.details = Some(Box::new(ErrorDetails { field: Some(field.into()), ..details }));
        self
    }

    /// The fault, its field as one of the input's `place`-th item of `list`.
    #[must_use]
    pub fn at_index(self, list: &str, place: usize) -> Self {
        let field = self.details.as_ref().and_then(|details| details.field.as_deref());
        let path = field.map_or_else(|| format!("{list}.{place}"), |field| format!("{list}.{place}.{field}"));
        self.in_field(path)
    }

    /// A conflict that shows only what came between looking and writing: looking again tells more.
    #[must_use]
    pub fn retryable(mut self) -> Self {
        if self.code == Code::Conflict {
            let details = self.details.take().map(|details| *details).unwrap_or_default();
            self.details = Some(Box::new(ErrorDetails { is_retryable_conflict: true, ..details }));
        }
        self
    }

    /// Returns whether the error is such a conflict.
    pub fn is_retryable_conflict(&self) -> bool {
        self.details.as_ref().is_some_and(|details| details.is_retryable_conflict)
    }

    /// A write that expected another revision than the one there is.
    pub fn stale(current: i64) -> Self {
        let message = format!("it was changed: its revision is {current}; read it again");
        let details = ErrorDetails {
            field: Some("expectedRevision".to_owned()),
            revision: Some(current),
            is_retryable_conflict: false,
        };
        Self { details: Some(Box::new(details)), ..Self::new(Code::Conflict, message) }
    }

    /// A panic in `place`, with what it said for the log.
    pub fn panicked(place: &'static str, panic: &(dyn std::any::Any + Send)) -> Self {
        let said = panic
            .downcast_ref::<&str>()
            .map(ToString::to_string)
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_default();
        Self::internal(format!("panic in {place}: {said}"))
    }

    /// The chain of causes, for the log.
    pub fn source_chain(&self) -> String {
        let mut text = String::new();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }

    /// The same fault with its cause, for the log.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        let source: Box<dyn std::error::Error + Send + Sync> = source.into();
        self.source = Some(Arc::from(source));
        self
    }
}

/// A result with the crate's fault.
pub type Result<T, E = Error> = std::result::Result<T, E>;
