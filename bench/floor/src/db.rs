//! Pools with gatherum's settings, and a macro that runs one text on either.
use std::{str::FromStr, time::Duration};

use sqlx::{
    Connection, Decode, PgPool, Postgres, Sqlite, SqlitePool, Type,
    error::BoxDynError,
    postgres::{PgConnectOptions, PgPoolOptions, PgTypeInfo, PgValueRef},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteTypeInfo, SqliteValueRef},
};
use uuid::Uuid;

/// gatherum's default: 5 connections that are kept and 10 above.
const CONNECTIONS_MAX: u32 = 15;

/// How long an idle connection is taken to be alive.
const ALIVE_FOR: Duration = Duration::from_millis(500);

/// One of the two databases.
pub enum Db {
    /// A file.
    Sqlite(SqlitePool),
    /// A server.
    Postgres(PgPool),
}

impl Db {
    /// Opens what `url` names.
    pub async fn open(url: &str) -> sqlx::Result<Self> {
        if url.starts_with("sqlite:") { Self::sqlite(url).await } else { Self::postgres(url).await }
    }

    async fn sqlite(url: &str) -> sqlx::Result<Self> {
        let options = SqliteConnectOptions::from_str(url)?
            .journal_mode(SqliteJournalMode::Wal)
            .statement_cache_capacity(256)
            .row_buffer_size(256)
            .pragma("temp_store", "memory")
            .pragma("cache_size", "-16384")
            .pragma("mmap_size", "268435456")
            .pragma("query_only", "on");
        let pool = SqlitePoolOptions::new().max_connections(CONNECTIONS_MAX).test_before_acquire(false);
        Ok(Self::Sqlite(pool.connect_with(quiet(options)).await?))
    }

    async fn postgres(url: &str) -> sqlx::Result<Self> {
        let options = PgConnectOptions::from_str(url)?
            .application_name("floor")
            .statement_cache_capacity(256)
            .options([("statement_timeout", "10000"), ("client_connection_check_interval", "1000"), ("timezone", "UTC")]);
        // Asked whether it is alive when it was idle for a while, as gatherum does.
        let pool = PgPoolOptions::new().max_connections(CONNECTIONS_MAX).test_before_acquire(false).before_acquire(
            |connection, about| {
                Box::pin(async move { Ok(about.idle_for < ALIVE_FOR || connection.ping().await.is_ok()) })
            },
        );
        Ok(Self::Postgres(pool.connect_with(quiet(options)).await?))
    }
}

/// Without a log line for each statement.
fn quiet<O: sqlx::ConnectOptions>(options: O) -> O {
    options.disable_statement_logging()
}

/// A point in time: microseconds since 1970.
pub struct Time(pub i64);

impl Type<Sqlite> for Time {
    fn type_info() -> SqliteTypeInfo {
        <i64 as Type<Sqlite>>::type_info()
    }
}

impl Decode<'_, Sqlite> for Time {
    fn decode(value: SqliteValueRef<'_>) -> Result<Self, BoxDynError> {
        <i64 as Decode<Sqlite>>::decode(value).map(Self)
    }
}

impl Type<Postgres> for Time {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_name("timestamptz")
    }
}

impl Decode<'_, Postgres> for Time {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        /// 2000-01-01, where PostgreSQL's count begins.
        const EPOCH_US: i64 = 946_684_800_000_000;
        Ok(Self(i64::from_be_bytes(value.as_bytes()?.try_into()?) + EPOCH_US))
    }
}

/// A list of ids as SQLite takes it: one JSON text.
pub fn hex_array(ids: &[Uuid]) -> String {
    let mut text = String::with_capacity(2 + ids.len() * 35);
    text.push('[');
    for (place, id) in ids.iter().enumerate() {
        text.push_str(if place > 0 { ",\"" } else { "\"" });
        text.push_str(id.simple().encode_lower(&mut Uuid::encode_buffer()));
        text.push('"');
    }
    text.push(']');
    text
}

/// Runs a statement, given as the text for SQLite and the text for PostgreSQL, and reads its rows: `ids` is its first
/// parameter, if there is one, `args` are the others.
#[macro_export]
macro_rules! fetch {
    ($db:expr, [$sqlite:expr, $postgres:expr], $(ids: $ids:expr,)? args: [$($arg:expr),*], |$row:ident| $read:expr) => {
        match $db {
            $crate::db::Db::Sqlite(pool) => {
                let query = sqlx::query($sqlite)$(.bind($crate::db::hex_array($ids)))?$(.bind($arg))*;
                query.try_map(|$row: sqlx::sqlite::SqliteRow| Ok($read)).fetch_all(pool).await
            }
            $crate::db::Db::Postgres(pool) => {
                let query = sqlx::query($postgres)$(.bind($ids))?$(.bind($arg))*;
                query.try_map(|$row: sqlx::postgres::PgRow| Ok($read)).fetch_all(pool).await
            }
        }
    };
}
