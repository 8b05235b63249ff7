//! Maps database errors to error codes for clients.
use super::constraint::violated;
use gatherum_engine::error::{Code, Error};

/// The error of `statement`, with the driver's error as its source.
pub(super) fn fault(statement: &'static str, source: sqlx::Error) -> Error {
    if let sqlx::Error::Database(database) = &source
        && let Some(violated) = violated(database.as_ref())
    {
        return violated.caused_by(Failed { statement, source });
    }
    let (code, message) = match &source {
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => {
            (Code::Unavailable, "no database connection is free: retry")
        }
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::WorkerCrashed => {
            (Code::Unavailable, "the database does not answer: retry")
        }
        sqlx::Error::Database(database) => match database.code().as_deref() {
            Some("57014" | "9") => (Code::Timeout, "the database statement timed out"),
            // PostgreSQL: connection lost, too many connections, shutting down, starting up, disk full.
            Some(state) if state.starts_with("08") || state.starts_with("57P") || state.starts_with("53") => {
                (Code::Unavailable, "the database does not answer: retry")
            }
            // SQLite: busy (and its extended codes), locked.
            Some("5" | "261" | "517" | "773" | "6") => (Code::Unavailable, "the database is busy: retry"),
            // SQLite: disk full, I/O error.
            Some("13" | "10") => (Code::Unavailable, "the database cannot write: its disk is full or failing"),
            _ => (Code::Internal, "internal error"),
        },
        _ => (Code::Internal, "internal error"),
    };
    Error::new(code, message).caused_by(Failed { statement, source })
}

/// The error of a statement that exceeded the time limit.
pub(super) fn timed_out(statement: &'static str) -> Error {
    Error::new(Code::Timeout, "the database statement timed out").caused_by(TimedOut { statement })
}

/// Whether `error` is a conflict with a concurrent transaction, so that a retry is likely to succeed: PostgreSQL's
/// serialization failure or deadlock.
pub fn is_serialization_conflict(error: &Error) -> bool {
    let failed = error.source.as_ref().and_then(|source| source.downcast_ref::<Failed>());
    let Some(sqlx::Error::Database(database)) = failed.map(|failed| &failed.source) else { return false };
    matches!(database.code().as_deref(), Some("40001" | "40P01"))
}

#[derive(Debug, thiserror::Error)]
#[error("statement {statement} failed")]
struct Failed {
    statement: &'static str,
    source: sqlx::Error,
}

#[derive(Debug, thiserror::Error)]
#[error("statement {statement} was cancelled at its time limit")]
struct TimedOut {
    statement: &'static str,
}
