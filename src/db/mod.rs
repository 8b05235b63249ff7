//! The only door to SQLite and PostgreSQL.
//!
//! There is no trait with two implementations and no generic parameter for the database: [`Db`] is one of two pools, a
//! statement is one [`Sql`] text with its parameters, and a [`Record`] reads its columns alike from both.
mod columns;
mod config;
mod constraint;
mod fault;
mod feed;
mod fragment;
pub mod migrate;
mod pool;
mod postgres;
mod record;
mod session;
mod sql;
mod sqlite;
mod table;
#[doc(hidden)]
pub mod template;
mod text;
mod time;
mod transaction;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::TryStreamExt;
use sqlx::{
    AssertSqlSafe,
    postgres::{PgArguments, PgConnectOptions},
    sqlite::SqliteArguments,
};
use tracing::{info, warn};

pub use columns::{ColumnRef, Projection, SelectColumns, SelectList, Selected};
pub use config::{Config, Synchronous, redacted};
pub use fault::is_serialization_conflict;
pub use feed::{Feed, Heard};
pub use fragment::{
    FOR_UPDATE, Fragment, Policy, SqlKeys, columns, either, id_pair_table, id_table, in_ids, in_texts, limit, text,
    with,
};
pub use record::{ColumnType, Record, Row};
pub use sql::{AccessScope, Arg, Cell, CellType, Dialect, Sql};
pub use table::{ColumnValue, RowTable, Table, TableRow, Values, all_values, changes, join_columns};
pub use text::Text;
pub use time::Time;
pub use transaction::Transaction;

use self::{pool::Pool, session::Session};
use crate::{
    error::{Code, Error, Result},
    statement,
};

/// A database: cheap to clone, closed with [`Db::close`].
#[derive(Clone)]
pub struct Db {
    pools: Arc<Pools>,
    statement_timeout: Duration,
    slow: Duration,
    echo: bool,
    waiting: Arc<AtomicU32>,
    ran: Arc<AtomicU64>,
    /// Whether to read from the primary even where there is a replica.
    from_primary: bool,
    /// What a request keeps from one statement to the next.
    session: Option<Arc<Session>>,
    /// Whose eyes its statements read with.
    scope: AccessScope,
}

enum Pools {
    Sqlite(Box<sqlite::Sqlite>),
    Postgres { primary: Arc<Pool>, replica: Option<Arc<Pool>>, options: Box<PgConnectOptions> },
}

/// A statement that waits for a connection.
struct Waiting<'a>(&'a AtomicU32);

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicU32) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Reads a row.
pub trait Read<T>: FnMut(&mut Row<'_>) -> sqlx::Result<T> + Send {}
impl<T, F: FnMut(&mut Row<'_>) -> sqlx::Result<T> + Send> Read<T> for F {}

/// How much of a pool is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Connections that are open.
    pub size: u32,
    /// Connections that statements use, or requests keep for their next one.
    pub in_use: u32,
    /// Statements that wait for a connection.
    pub waiting: u32,
    /// Connections there may be at most.
    pub max: u32,
}

impl Db {
    /// Opens the database that `config.url` names; a SQLite file is made where there is none. Does not migrate.
    ///
    /// # Errors
    /// The URL names neither database, the file cannot be opened, the server does not answer, or a version is too old.
    pub async fn open(config: &Config) -> anyhow::Result<Self> {
        let pools = if config.url.starts_with("sqlite:") {
            anyhow::ensure!(config.replica_url.is_none(), "DATABASE_REPLICA_URL goes with PostgreSQL alone: unset it");
            Pools::Sqlite(Box::new(sqlite::Sqlite::open(&sqlite::path(&config.url)?, config).await?))
        } else if config.url.starts_with("postgres:") || config.url.starts_with("postgresql:") {
            let options = postgres::options("DATABASE_URL", &config.url, config)?;
            let primary = postgres::open("DATABASE_URL", options.clone(), config).await?;
            let replica = match &config.replica_url {
                Some(url) => {
                    let options = postgres::options("DATABASE_REPLICA_URL", url, config)?;
                    Some(postgres::open("DATABASE_REPLICA_URL", options, config).await?)
                }
                None => None,
            };
            Pools::Postgres { primary, replica, options: Box::new(options) }
        } else {
            anyhow::bail!("DATABASE_URL must begin with sqlite:// or postgres://")
        };
        Ok(Self {
            pools: Arc::new(pools),
            statement_timeout: config.statement_timeout,
            slow: Duration::from_millis(config.slow_query_ms),
            echo: config.echo,
            waiting: Arc::default(),
            ran: Arc::default(),
            from_primary: false,
            session: None,
            scope: AccessScope::Unrestricted,
        })
    }

    /// Which database it is.
    pub fn dialect(&self) -> Dialect {
        match &*self.pools {
            Pools::Sqlite(_) => Dialect::Sqlite,
            Pools::Postgres { .. } => Dialect::Postgres,
        }
    }

    /// Whether it is read from a copy, which may be behind.
    pub fn has_replica(&self) -> bool {
        matches!(&*self.pools, Pools::Postgres { replica: Some(_), .. })
    }

    /// The same database, read where it is written: what a mutation answers must show what it wrote.
    #[must_use]
    pub fn primary(&self) -> Self {
        Self { from_primary: true, session: None, ..self.clone() }
    }

    /// The same database for one request, whose statements read with the eyes of `scope`. On PostgreSQL they use one
    /// connection, one after the other, and further ones beside each other where there are any; the connection goes back
    /// when the last clone is dropped.
    #[must_use]
    pub fn session(&self, scope: AccessScope) -> Self {
        let session = match &*self.pools {
            Pools::Sqlite(_) => None,
            Pools::Postgres { primary, replica, .. } => Some(self.postgres_session(primary, replica.as_ref())),
        };
        Self { session, scope, ..self.clone() }
    }

    fn postgres_session(&self, primary: &Arc<Pool>, replica: Option<&Arc<Pool>>) -> Arc<Session> {
        let pool = replica.filter(|_| !self.from_primary).unwrap_or(primary);
        Session::new(pool.clone())
    }

    /// An empty statement for this database.
    pub fn sql(&self) -> Sql {
        Sql::new(self.dialect(), self.scope)
    }

    /// Runs a statement that reads, and returns its rows. `name` says which one it is in errors and logs.
    ///
    /// Dropping the future stops the statement.
    ///
    /// # Errors
    /// `UNAVAILABLE` without a connection in time, `TIMEOUT` past the statement's limit, else `INTERNAL`.
    pub async fn fetch<T: Record>(&self, name: &'static str, sql: Sql) -> Result<Vec<T>> {
        self.fetch_with(name, sql, T::read).await
    }

    /// As [`Db::fetch`], with rows read by `read`.
    ///
    /// # Errors
    /// As [`Db::fetch`].
    pub async fn fetch_with<T>(&self, name: &'static str, sql: Sql, read: impl Read<T>) -> Result<Vec<T>> {
        self.ran.fetch_add(1, Ordering::Relaxed);
        let start = Instant::now();
        let text = self.logged_text(&sql);
        // The wait for a connection has a limit of its own, and ends in another fault.
        let fault = |source| fault::fault(name, source);
        let limit = self.statement_timeout;
        let waiting = Waiting::begin(&self.waiting);
        let rows = match &*self.pools {
            Pools::Sqlite(pool) => {
                let lent = pool.reader().await.map_err(fault)?;
                drop(waiting);
                tokio::time::timeout(limit, fetch_sqlite(lent, sql, read)).await
            }
            Pools::Postgres { primary, replica, .. } => {
                let of_its_own = || self.postgres_session(primary, replica.as_ref());
                let session = self.session.clone().unwrap_or_else(of_its_own);
                let lent = session.lend().await.map_err(fault)?;
                drop(waiting);
                tokio::time::timeout(limit, fetch_postgres(lent, sql, read)).await
            }
        };
        let rows = match rows {
            Ok(rows) => rows.map_err(fault),
            Err(_) => Err(fault::timed_out(name)),
        };
        self.log(name, &text, start.elapsed());
        rows
    }

    /// As much of a statement's text as a log line may have. It holds no values: those are parameters.
    fn logged_text(&self, sql: &Sql) -> String {
        const LENGTH_MAX: usize = 500;
        let text = sql.text();
        text[..text.floor_char_boundary(LENGTH_MAX)].to_owned()
    }

    fn log(&self, statement: &'static str, text: &str, elapsed: Duration) {
        let elapsed_ms = elapsed.as_secs_f64() * 1e3;
        if elapsed >= self.slow {
            warn!(statement, text, elapsed_ms, "slow_query");
        } else if self.echo {
            info!(statement, text, elapsed_ms, "statement");
        }
    }

    /// Begins a transaction that writes. On SQLite it waits for its turn; nothing else writes until it ends.
    ///
    /// # Errors
    /// `UNAVAILABLE` without a connection in time.
    pub async fn begin(&self) -> Result<Transaction> {
        match &*self.pools {
            Pools::Sqlite(pool) => {
                Transaction::sqlite(pool.writer().await, pool.announced(), self.ran.clone(), self.scope).await
            }
            Pools::Postgres { primary, .. } => {
                // Who waits for a connection keeps none.
                if let Some(session) = &self.session {
                    session.end();
                }
                Transaction::postgres(primary.lease().await, self.ran.clone(), self.scope).await
            }
        }
    }

    /// What transactions announce from now on, in this process and all others.
    ///
    /// # Errors
    /// `UNAVAILABLE` where the database cannot be listened to.
    pub async fn feed(&self) -> Result<Feed> {
        let feed = match &*self.pools {
            Pools::Sqlite(pool) => pool.feed().await,
            Pools::Postgres { options, .. } => Feed::postgres((**options).clone()).await,
        };
        feed.map_err(|source| fault::fault("feed", source))
    }

    /// How many statements were run since it was opened, whoever asked, without those that begin and end transactions.
    /// What a request reports must add up to this; a field that goes to the database by itself shows here.
    pub fn statements_run(&self) -> u64 {
        self.ran.load(Ordering::Relaxed)
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// As [`Db::fetch`].
    pub async fn ping(&self) -> Result<()> {
        let sql = statement!(self, "select cast(1 as bigint)");
        match self.fetch::<i64>("ping", sql).await?.as_slice() {
            [1] => Ok(()),
            _ => Err(Error::new(Code::Unavailable, "the database does not answer")),
        }
    }

    /// How much of the pool is in use.
    pub fn usage(&self) -> Usage {
        let waiting = self.waiting.load(Ordering::Relaxed);
        match &*self.pools {
            Pools::Sqlite(pool) => {
                let (size, in_use, max) = pool.usage();
                Usage { size, in_use, waiting, max }
            }
            Pools::Postgres { primary, .. } => {
                let (size, in_use, max) = primary.usage();
                Usage { size, in_use, waiting, max }
            }
        }
    }

    /// Copies a SQLite database into a new file, consistently, while it is in use.
    ///
    /// # Errors
    /// It is PostgreSQL, the file exists, or it cannot be written.
    pub async fn backup(&self, path: &std::path::Path) -> anyhow::Result<()> {
        let Pools::Sqlite(pool) = &*self.pools else { anyhow::bail!("a PostgreSQL database is copied with pg_dump") };
        anyhow::ensure!(!path.exists(), "{} exists: choose another name", path.display());
        let name = path.to_str().ok_or_else(|| anyhow::anyhow!("the name of the file is not Unicode"))?;
        // SQLite fills an empty file, which so has the permissions of the original.
        sqlite::create_private(path)?;
        let mut writer = pool.writer().await?;
        let connection = writer.as_mut().ok_or_else(|| anyhow::anyhow!("the writing connection is gone"))?;
        sqlx::query("vacuum into $1").bind(name).execute(connection).await?;
        Ok(())
    }

    /// Closes every connection after what runs has ended.
    pub async fn close(&self) {
        match &*self.pools {
            Pools::Sqlite(pool) => pool.close().await,
            Pools::Postgres { primary, replica, .. } => {
                primary.close().await;
                if let Some(replica) = replica {
                    replica.close().await;
                }
            }
        }
    }
}

async fn fetch_sqlite<T>(mut lent: sqlite::Lent<'_>, sql: Sql, mut read: impl Read<T>) -> sqlx::Result<Vec<T>> {
    let (text, args) = sql.into_parts();
    let query = sqlx::query_with(AssertSqlSafe(text), sqlite_arguments(args)?);
    let mut rows = Vec::new();
    {
        let mut stream = query.fetch(lent.connection());
        while let Some(row) = stream.try_next().await? {
            let mut row = Row::sqlite(&row);
            rows.push(read(&mut row)?);
            if rows.len() == 1 {
                row.ensure_end()?;
            }
        }
    }
    lent.give_back();
    Ok(rows)
}

async fn fetch_postgres<T>(mut lent: session::Lent, sql: Sql, mut read: impl Read<T>) -> sqlx::Result<Vec<T>> {
    let (text, args) = sql.into_parts();
    let query = sqlx::query_with(AssertSqlSafe(text), postgres_arguments(args)?);
    let mut rows = Vec::new();
    {
        let mut stream = query.fetch(lent.connection());
        while let Some(row) = stream.try_next().await? {
            let mut row = Row::postgres(&row);
            rows.push(read(&mut row)?);
            if rows.len() == 1 {
                row.ensure_end()?;
            }
        }
    }
    lent.give_back();
    Ok(rows)
}

/// A column of values as PostgreSQL takes it.
fn add_column(
    arguments: &mut PgArguments,
    cell_type: CellType,
    cells: Vec<Cell>,
) -> Result<(), sqlx::error::BoxDynError> {
    use sqlx::Arguments;
    macro_rules! add {
        ($variant:ident, $type:ty) => {{
            let value = |cell| if let Cell::$variant(value) = cell { Some(value) } else { None };
            arguments.add(cells.into_iter().map(value).collect::<Vec<Option<$type>>>())
        }};
    }
    match cell_type {
        CellType::Id => add!(Id, uuid::Uuid),
        CellType::Int => add!(Int, i64),
        CellType::Text => add!(Text, String),
        CellType::Time => add!(Time, Time),
    }
}

fn sqlite_arguments(args: Vec<Arg>) -> sqlx::Result<SqliteArguments> {
    use sqlx::Arguments;
    let mut arguments = SqliteArguments::default();
    for arg in args {
        match arg {
            Arg::Ids(ids) => arguments.add(sql::hex_array(&ids)),
            Arg::Texts(texts) => arguments.add(serde_json::Value::from(texts).to_string()),
            Arg::Id(id) => arguments.add(id),
            Arg::OptionalId(id) => arguments.add(id),
            Arg::Int(value) => arguments.add(value),
            Arg::Text(text) => arguments.add(text),
            Arg::Time(time) => arguments.add(time),
            Arg::OptionalTime(time) => arguments.add(time),
            Arg::Column(..) => Err("SQLite has no arrays".into()),
        }
        .map_err(sqlx::Error::Encode)?;
    }
    Ok(arguments)
}

fn postgres_arguments(args: Vec<Arg>) -> sqlx::Result<PgArguments> {
    use sqlx::Arguments;
    let mut arguments = PgArguments::default();
    for arg in args {
        match arg {
            Arg::Ids(ids) => arguments.add(ids),
            Arg::Texts(texts) => arguments.add(texts),
            Arg::Id(id) => arguments.add(id),
            Arg::OptionalId(id) => arguments.add(id),
            Arg::Int(value) => arguments.add(value),
            Arg::Text(text) => arguments.add(text),
            Arg::Time(time) => arguments.add(time),
            Arg::OptionalTime(time) => arguments.add(time),
            Arg::Column(cell_type, cells) => add_column(&mut arguments, cell_type, cells),
        }
        .map_err(sqlx::Error::Encode)?;
    }
    Ok(arguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A round moves the future of each statement a few times.
    #[tokio::test]
    async fn the_future_of_a_statement_is_small() {
        let directory = tempfile::tempdir().expect("a directory");
        let url = format!("sqlite://{}", directory.path().join("small.db").display());
        let db = Db::open(&Config { url, ..Config::default() }).await.expect("a database");

        let size = size_of_val(&db.fetch::<i64>("small", db.sql()));

        assert!(size <= 2_048, "{size} bytes");
    }
}
