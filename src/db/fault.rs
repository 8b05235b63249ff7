//! What a failed statement means to the one who asked.
use super::constraint::violated;
use crate::error::{Code, Error};

/// The fault of `statement`, with the driver's error as its cause.
pub(super) fn fault(statement: &'static str, source: sqlx::Error) -> Error {
    if let sqlx::Error::Database(database) = &source
        && let Some(violated) = violated(database.as_ref())
    {
        return violated.caused_by(Failed { statement, source });
    }
    let (code, message) = match &source {
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => {
            (Code::Unavailable, "the database has no free connection: try again")
        }
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::WorkerCrashed => {
            (Code::Unavailable, "the database does not answer: try again")
        }
        sqlx::Error::Database(database) => match database.code().as_deref() {
            Some("57014" | "9") => (Code::Timeout, "the database took too long"),
            // PostgreSQL: connection lost, too many connections, shutting down, starting up, disk full.
            Some(state) if state.starts_with("08") || state.starts_with("57P") || state.starts_with("53") => {
                (Code::Unavailable, "the database does not answer: try again")
            }
            // SQLite: busy (and its extended codes), locked.
            Some("5" | "261" | "517" | "773" | "6") => (Code::Unavailable, "the database is busy: try again"),
            // SQLite: full, input or output error.
            Some("13" | "10") => (Code::Unavailable, "the database cannot write: its storage is full or failing"),
            _ => (Code::Internal, "internal error"),
        },
        _ => (Code::Internal, "internal error"),
    };
    Error::new(code, message).caused_by(Failed { statement, source })
}

/// The statement took longer than the limit.
pub(super) fn timed_out(statement: &'static str) -> Error {
    Error::new(Code::Timeout, "the database took too long").caused_by(TimedOut { statement })
}

/// Whether `error` came of meeting another transaction, so that trying again is likely to succeed: PostgreSQL's
/// serialization failure and deadlock.
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
#[error("statement {statement} was stopped at its time limit")]
struct TimedOut {
    statement: &'static str,
}
