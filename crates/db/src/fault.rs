//! Maps database errors to error codes for clients.
use gatherum_engine::error::{Code, Error};

use super::{availability::Interruption, constraint::violated};

/// The error of `statement`, with the driver's error as its source.
pub(super) fn fault(statement: &'static str, source: sqlx::Error) -> Error {
    if let sqlx::Error::Database(database) = &source
        && let Some(violated) = violated(database.as_ref())
    {
        return violated.caused_by(Failed { statement, source });
    }
    let (code, message) = match &source {
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => (Code::Unavailable, NO_CONNECTION),
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::WorkerCrashed => (Code::Unavailable, NO_ANSWER),
        sqlx::Error::Database(database) => match database.code().as_deref().map(State::of) {
            Some(state) => state.code(),
            None => (Code::Internal, INTERNAL),
        },
        _ => (Code::Internal, INTERNAL),
    };
    Error::new(code, message).caused_by(Failed { statement, source })
}

const NO_CONNECTION: &str = "no database connection is free: retry";
const NO_ANSWER: &str = "the database does not answer: retry";
const TIMED_OUT: &str = "the database statement timed out";
const INTERNAL: &str = "internal error";

/// The error of a commit. If the connection was lost, the outcome is unknown.
pub(super) fn commit_fault(source: sqlx::Error) -> Error {
    match is_connection_lost(&source) {
        true => uncertain_commit().caused_by(Failed { statement: "commit", source }),
        false => fault("commit", source),
    }
}

/// The error of a write that may have been stored.
pub(super) fn uncertain_commit() -> Error {
    let message =
        "the database did not confirm the write, which may be stored: retry with an Idempotency-Key, or check";
    Error::new(Code::Unavailable, message)
}

/// The error of a wait for a connection that ended early.
pub(super) fn no_connection(statement: &'static str, interruption: Interruption) -> Error {
    let message = if interruption == Interruption::Lost { NO_ANSWER } else { NO_CONNECTION };
    Error::new(Code::Unavailable, message).caused_by(Interrupted { statement, interruption })
}

/// The error if the server cannot be reached.
pub(super) fn no_answer() -> Error {
    Error::new(Code::Unavailable, NO_ANSWER)
}

/// The error of a statement that ended early.
pub(super) fn interrupted(statement: &'static str, interruption: Interruption) -> Error {
    let (code, message) = match interruption {
        Interruption::Lost => (Code::Unavailable, NO_ANSWER),
        Interruption::TimedOut => (Code::Timeout, TIMED_OUT),
    };
    Error::new(code, message).caused_by(Interrupted { statement, interruption })
}

/// Whether the server closed the connection or cannot be reached, so that another connection may help.
pub(super) fn is_connection_lost(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) => true,
        sqlx::Error::Database(database) => database.code().as_deref().is_some_and(is_connection_state),
        _ => false,
    }
}

/// PostgreSQL: connection lost, shutting down, starting up.
fn is_connection_state(state: &str) -> bool {
    state.starts_with("08") || state.starts_with("57P")
}

/// An error code of a database.
enum State<'c> {
    /// Five characters of the SQL standard.
    Postgres(&'c str),
    /// The primary result code.
    Sqlite(i32),
}

impl<'c> State<'c> {
    fn of(code: &'c str) -> Self {
        // Result codes of SQLite have at most four digits. Their lowest byte is the primary code.
        match code.parse::<i32>() {
            Ok(code_number) if code.len() < 5 => Self::Sqlite(code_number & 0xff),
            _ => Self::Postgres(code),
        }
    }

    fn code(self) -> (Code, &'static str) {
        const BUSY: &str = "the database is busy: retry";
        const FULL: &str = "the database cannot store anything, because its disk is full";
        match self {
            Self::Postgres("53100") => (Code::StorageFull, FULL),
            // A lock was not free in time.
            Self::Postgres("55P03") => (Code::Unavailable, BUSY),
            Self::Postgres("57014") => (Code::Timeout, TIMED_OUT),
            // Out of connections or memory.
            Self::Postgres(state) if is_connection_state(state) || state.starts_with("53") => {
                (Code::Unavailable, NO_ANSWER)
            }
            // SQLITE_BUSY, SQLITE_LOCKED.
            Self::Sqlite(5 | 6) => (Code::Unavailable, BUSY),
            // SQLITE_INTERRUPT.
            Self::Sqlite(9) => (Code::Timeout, TIMED_OUT),
            // SQLITE_IOERR, SQLITE_CANTOPEN.
            Self::Sqlite(10 | 14) => (Code::Unavailable, "the database cannot read or write its file: retry"),
            Self::Sqlite(13) => (Code::StorageFull, FULL),
            Self::Postgres(_) | Self::Sqlite(_) => (Code::Internal, INTERNAL),
        }
    }
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
#[error("statement {statement} was interrupted: {interruption:?}")]
struct Interrupted {
    statement: &'static str,
    interruption: Interruption,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_its_code() {
        let cases = [
            ("53100", Code::StorageFull),
            ("53200", Code::Unavailable),
            ("53300", Code::Unavailable),
            ("55P03", Code::Unavailable),
            ("57014", Code::Timeout),
            ("57P01", Code::Unavailable),
            ("57P03", Code::Unavailable),
            ("08006", Code::Unavailable),
            ("42P01", Code::Internal),
            ("22001", Code::Internal),
            // SQLite, with extended codes.
            ("5", Code::Unavailable),
            ("517", Code::Unavailable),
            ("6", Code::Unavailable),
            ("9", Code::Timeout),
            ("10", Code::Unavailable),
            ("778", Code::Unavailable),
            ("4874", Code::Unavailable),
            ("13", Code::StorageFull),
            ("14", Code::Unavailable),
            ("1", Code::Internal),
        ];
        for (state, code) in cases {
            assert_eq!(State::of(state).code().0, code, "{state}");
        }
    }
}
