//! Access to SQLite and PostgreSQL: pools, statements, transactions, change feed and migrations. No other code runs SQL.
//!
//! [`Db`] is an enum over the two databases instead of a trait or a generic parameter. A statement is one [`Sql`] text with
//! its parameters, and a [`Record`] reads its columns from the rows of both databases.
mod availability;
mod columns;
mod config;
mod constraint;
pub mod duration;
mod fault;
mod feed;
mod fragment;
pub mod loader;
pub mod migrate;
mod pool;
mod postgres;
mod record;
mod request;
pub mod scalar;
mod sql;
mod sqlite;
mod table;
#[doc(hidden)]
pub mod template;
mod text;
mod time;
mod transaction;
mod unicode;

use std::{
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::TryStreamExt;
use gatherum_engine::error::Result;
use sqlx::{
    AssertSqlSafe, PgConnection,
    postgres::{PgArguments, PgConnectOptions},
    sqlite::SqliteArguments,
};
use tracing::{info, warn};

#[doc(hidden)]
pub use gatherum_engine;
#[doc(hidden)]
pub use sqlx;

pub use columns::{ColumnRef, Projection, SelectColumns, SelectList, Selected, read_selected};
pub use config::{Config, Synchronous, redacted};
pub use fault::is_serialization_conflict;
pub use feed::{Feed, FeedEvent};
pub use fragment::{
    FOR_UPDATE, Fragment, Policy, SqlKeys, columns, either, id_pair_table, id_table, in_ids, in_texts, limit, text,
    with,
};
pub use record::{ColumnType, Record, Row};
pub use sql::{AccessScope, Arg, Cell, CellType, Dialect, Sql, Values};
pub use table::{ColumnValue, RowTable, Table, TableRow, all_values, changes, join_columns, words_cell};
pub use text::Text;
pub use time::Time;
pub use transaction::Transaction;
pub use unicode::{LONG_TEXT, SHORT_TEXT, index_words, is_ignorable, nfc, query_words};

use self::{availability::Availability, pool::PostgresPool, request::RequestConnections};

/// A database. Cheap to clone; closed by [`Db::close`].
#[derive(Clone)]
pub struct Db {
    pools: Arc<Pools>,
    statement_timeout: Duration,
    /// Time limit for acquiring a connection.
    wait_timeout: Duration,
    /// The same for requests.
    request_wait_timeout: Duration,
    /// Duration from which a statement is logged as slow.
    slow: Duration,
    echo: bool,
    waiting: Arc<AtomicU32>,
    statements_run: Arc<AtomicU64>,
    /// Whether to read from the primary even if there is a replica.
    reads_primary: bool,
    /// The connections of a request; PostgreSQL only.
    request: Option<Arc<RequestConnections>>,
    /// The rows that statements may read.
    scope: AccessScope,
}

enum Pools {
    Sqlite(Box<sqlite::SqlitePool>),
    Postgres { primary: Arc<PostgresPool>, replica: Option<Arc<PostgresPool>>, options: Box<PgConnectOptions> },
}

/// Counts a statement that waits for a connection, until it is dropped.
struct WaitingGuard<'a>(&'a AtomicU32);

impl<'a> WaitingGuard<'a> {
    fn begin(count: &'a AtomicU32) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for WaitingGuard<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A function that reads a row.
pub trait ReadRow<T>: FnMut(&mut Row<'_>) -> sqlx::Result<T> + Send {}
impl<T, F: FnMut(&mut Row<'_>) -> sqlx::Result<T> + Send> ReadRow<T> for F {}

/// The state of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Open connections.
    pub size: u32,
    /// Connections that run a statement or are pinned to a request.
    pub in_use: u32,
    /// Statements waiting for a connection.
    pub waiting: u32,
    /// Maximum number of connections.
    pub max: u32,
}

impl Db {
    /// Opens the database at `config.url` and creates a missing SQLite file. Does not migrate.
    ///
    /// # Errors
    /// The URL is invalid, the file cannot be opened, the server does not answer, or the database's version is too old.
    pub async fn open(config: &Config) -> anyhow::Result<Self> {
        let pools = if config.url.starts_with("sqlite:") {
            anyhow::ensure!(config.replica_url.is_none(), "DATABASE_REPLICA_URL requires PostgreSQL: unset it");
            Pools::Sqlite(Box::new(sqlite::SqlitePool::open(&config::sqlite_path(&config.url)?, config).await?))
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
            wait_timeout: config.pool_timeout,
            request_wait_timeout: config.wait_timeout.min(config.pool_timeout),
            slow: Duration::from_millis(config.slow_query_ms),
            echo: config.echo,
            waiting: Arc::default(),
            statements_run: Arc::default(),
            reads_primary: false,
            request: None,
            scope: AccessScope::Unrestricted,
        })
    }

    /// The kind of database.
    pub fn dialect(&self) -> Dialect {
        match &*self.pools {
            Pools::Sqlite(_) => Dialect::Sqlite,
            Pools::Postgres { .. } => Dialect::Postgres,
        }
    }

    /// Whether reads go to a replica, which may lag behind.
    pub fn has_replica(&self) -> bool {
        matches!(&*self.pools, Pools::Postgres { replica: Some(_), .. })
    }

    /// The same database, with all reads from the primary. The payload of a mutation must include what was written.
    #[must_use]
    pub fn primary(&self) -> Self {
        Self { reads_primary: true, request: None, ..self.clone() }
    }

    /// The same database, whose statements wait for a connection for at most `wait_timeout`, as in a server.
    #[must_use]
    pub fn with_short_waits(self) -> Self {
        Self { wait_timeout: self.request_wait_timeout, ..self }
    }

    /// The same database for one request, whose statements read the rows that `scope` allows. They wait for a connection for
    /// at most `wait_timeout`.
    ///
    /// On PostgreSQL, one connection is pinned to the request until the last clone is dropped; concurrent statements use
    /// further connections if any are free.
    #[must_use]
    pub fn for_request(&self, scope: AccessScope) -> Self {
        let request = match &*self.pools {
            Pools::Sqlite(_) => None,
            Pools::Postgres { primary, replica, .. } => Some(self.request_connections(primary, replica.as_ref())),
        };
        Self { request, scope, wait_timeout: self.request_wait_timeout, ..self.clone() }
    }

    fn request_connections(
        &self,
        primary: &Arc<PostgresPool>,
        replica: Option<&Arc<PostgresPool>>,
    ) -> Arc<RequestConnections> {
        let pool = replica.filter(|_| !self.reads_primary).unwrap_or(primary);
        RequestConnections::new(pool.clone())
    }

    /// An empty statement for this database.
    pub fn sql(&self) -> Sql {
        Sql::new(self.dialect(), self.scope)
    }

    /// Runs a statement that reads, and returns its rows. Errors and logs contain `name`.
    ///
    /// Dropping the future cancels the statement.
    ///
    /// # Errors
    /// `UNAVAILABLE` if no connection is free in time or the database does not answer, `TIMEOUT` after the statement's time
    /// limit, else `INTERNAL`.
    pub async fn fetch<T: Record>(&self, name: &'static str, sql: Sql) -> Result<Vec<T>> {
        self.fetch_with(name, sql, T::read).await
    }

    /// Like [`Db::fetch`], but reads rows with `read`.
    ///
    /// # Errors
    /// As [`Db::fetch`].
    pub async fn fetch_with<T>(&self, name: &'static str, sql: Sql, read: impl ReadRow<T>) -> Result<Vec<T>> {
        self.statements_run.fetch_add(1, Ordering::Relaxed);
        let start = Instant::now();
        let text = self.logged_text(&sql);
        let rows = match &*self.pools {
            Pools::Sqlite(pool) => self.fetch_sqlite(pool, name, sql, read).await,
            Pools::Postgres { primary, replica, .. } => {
                let single_use = || self.request_connections(primary, replica.as_ref());
                let connections = self.request.clone().unwrap_or_else(single_use);
                self.fetch_postgres(&connections, name, sql, read).await
            }
        };
        self.log(name, &text, start.elapsed());
        rows
    }

    async fn fetch_sqlite<T>(
        &self,
        pool: &sqlite::SqlitePool,
        name: &'static str,
        sql: Sql,
        read: impl ReadRow<T>,
    ) -> Result<Vec<T>> {
        let reader = self.acquire(name, pool.availability(), pin!(pool.acquire_reader())).await?;
        // The time limit does not include the wait for a connection, which has its own limit and error code.
        let rows = pool.availability().within(self.statement_timeout, pin!(fetch_sqlite(reader, sql, read))).await;
        rows.map_err(|early| fault::interrupted(name, early))?.map_err(|source| fault::fault(name, source))
    }

    /// Runs a statement that reads, and once more on another connection if the server has closed the first one.
    async fn fetch_postgres<T>(
        &self,
        connections: &Arc<RequestConnections>,
        name: &'static str,
        sql: Sql,
        mut read: impl ReadRow<T>,
    ) -> Result<Vec<T>> {
        let availability = connections.availability();
        let (mut sql, mut repeated) = (sql.clone(), Some(sql));
        loop {
            let connection = self.acquire(name, availability, pin!(connections.acquire())).await?;
            let fetch = pin!(fetch_postgres(connection, sql, &mut read));
            let rows = availability.within(self.statement_timeout, fetch).await;
            match (rows.map_err(|early| fault::interrupted(name, early))?, repeated.take()) {
                (Err(error), Some(again)) if fault::is_connection_lost(&error) => {
                    availability.suspect();
                    sql = again;
                }
                (rows, _) => return rows.map_err(|source| fault::fault(name, source)),
            }
        }
    }

    /// Waits for a connection.
    async fn acquire<T>(
        &self,
        name: &'static str,
        availability: &Availability,
        connection: Pin<&mut impl Future<Output = sqlx::Result<T>>>,
    ) -> Result<T> {
        let _waiting = WaitingGuard::begin(&self.waiting);
        let connection = availability.within(self.wait_timeout, connection).await;
        let connection = connection.map_err(|early| fault::no_connection(name, early))?;
        connection.map_err(|source| {
            if fault::is_connection_lost(&source) {
                availability.suspect();
            }
            fault::fault(name, source)
        })
    }

    /// The beginning of a statement's text for the log. It contains no values, which are always parameters.
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

    /// Begins a transaction that writes. SQLite runs one such transaction at a time.
    ///
    /// # Errors
    /// `UNAVAILABLE` if no connection is free in time.
    pub async fn begin(&self) -> Result<Transaction> {
        match &*self.pools {
            Pools::Sqlite(pool) => {
                let writer = self.acquire("begin", pool.availability(), pin!(pool.acquire_writer())).await?;
                let (availability, statements_run) = (pool.availability().clone(), self.statements_run.clone());
                Transaction::sqlite((writer, pool.announced()), availability, statements_run, self.scope).await
            }
            Pools::Postgres { primary, .. } => {
                // A request must not hold its pinned connection while it waits for another one: see `RequestConnections`.
                if let Some(request) = &self.request {
                    request.release_pinned();
                }
                match self.begin_postgres(primary).await? {
                    Some(transaction) => Ok(transaction),
                    // The server has closed the connection. Another one may be open.
                    None => self.begin_postgres(primary).await?.ok_or_else(fault::no_answer),
                }
            }
        }
    }

    /// Begins a transaction; `None` if the server has closed the connection.
    async fn begin_postgres(&self, pool: &Arc<PostgresPool>) -> Result<Option<Transaction>> {
        let availability = pool.availability();
        let lease = self.acquire("begin", availability, pin!(pool.acquire())).await?;
        let transaction =
            Transaction::postgres(lease, availability.clone(), self.statements_run.clone(), self.scope).await?;
        if transaction.is_none() {
            availability.suspect();
            pool.discard_idle();
        }
        Ok(transaction)
    }

    /// Subscribes to the announcements of committed transactions of all processes.
    ///
    /// # Errors
    /// `UNAVAILABLE` if the subscription fails.
    pub async fn feed(&self) -> Result<Feed> {
        let feed = match &*self.pools {
            Pools::Sqlite(pool) => pool.feed().await,
            Pools::Postgres { options, .. } => Feed::postgres((**options).clone()).await,
        };
        feed.map_err(|source| fault::fault("feed", source))
    }

    /// Number of statements run since the database was opened, except those that begin and end transactions. Tests compare
    /// it with the statements that requests report, to find statements that bypass the loaders.
    pub fn statements_run(&self) -> u64 {
        self.statements_run.load(Ordering::Relaxed)
    }

    /// Observes whether the database answers, until dropped. Once it does not, statements fail at once.
    pub async fn monitor(&self) {
        match &*self.pools {
            Pools::Sqlite(pool) => pool.monitor().await,
            Pools::Postgres { primary, replica: None, .. } => primary.monitor("primary").await,
            Pools::Postgres { primary, replica: Some(replica), .. } => {
                tokio::join!(primary.monitor("primary"), replica.monitor("replica"));
            }
        }
    }

    /// Whether the database answers, and its replica, if there is one. It counts as available without
    /// [`Db::monitor`].
    pub fn is_available(&self) -> bool {
        match &*self.pools {
            Pools::Sqlite(pool) => !pool.availability().is_lost(),
            Pools::Postgres { primary, replica, .. } => {
                let mut pools = std::iter::once(primary).chain(replica);
                pools.all(|pool| !pool.availability().is_lost())
            }
        }
    }

    /// The state of the pool of the primary.
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

    /// Number of connections that stay open; for SQLite, of all readers.
    pub fn base_connections(&self) -> u32 {
        match &*self.pools {
            Pools::Sqlite(pool) => pool.usage().2,
            Pools::Postgres { primary, .. } => primary.base_connections(),
        }
    }

    /// Writes a consistent copy of a SQLite database to a new file while the database is in use.
    ///
    /// # Errors
    /// The database is PostgreSQL, the file exists, or it cannot be written.
    pub async fn backup(&self, path: &std::path::Path) -> anyhow::Result<()> {
        let Pools::Sqlite(pool) = &*self.pools else {
            anyhow::bail!("backup supports SQLite only: use pg_dump for PostgreSQL")
        };
        anyhow::ensure!(!path.exists(), "{} exists already: choose another name", path.display());
        let name = path.to_str().ok_or_else(|| anyhow::anyhow!("the file name is not valid Unicode"))?;
        // `vacuum into` accepts an empty file, and keeps its private permissions.
        sqlite::create_private(path)?;
        let mut writer = pool.acquire_writer().await?;
        let connection = writer.as_mut().ok_or_else(|| anyhow::anyhow!("the write connection is closed"))?;
        sqlx::query("vacuum into $1").bind(name).execute(connection).await?;
        Ok(())
    }

    /// Waits for running statements and closes all connections.
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

async fn fetch_sqlite<T>(
    mut reader: sqlite::PooledReader<'_>,
    sql: Sql,
    mut read: impl ReadRow<T>,
) -> sqlx::Result<Vec<T>> {
    let (text, args) = sql.into_parts();
    let query = sqlx::query_with(AssertSqlSafe(text), sqlite_arguments(args)?);
    let mut rows = Vec::new();
    {
        let mut stream = query.fetch(reader.connection());
        while let Some(row) = stream.try_next().await? {
            let mut row = Row::sqlite(&row);
            rows.push(read(&mut row)?);
            if rows.len() == 1 {
                row.ensure_end()?;
            }
        }
    }
    reader.release();
    Ok(rows)
}

/// Runs a statement on a connection, which is discarded if the server has closed it.
async fn fetch_postgres<T>(
    mut connection: request::PooledConnection,
    sql: Sql,
    read: impl ReadRow<T>,
) -> sqlx::Result<Vec<T>> {
    let rows = fetch_rows(connection.connection(), sql, read).await;
    match &rows {
        Ok(_) => connection.release(),
        Err(error) if fault::is_connection_lost(error) => connection.discard(),
        Err(_) => {}
    }
    rows
}

async fn fetch_rows<T>(connection: &mut PgConnection, sql: Sql, mut read: impl ReadRow<T>) -> sqlx::Result<Vec<T>> {
    let (text, args) = sql.into_parts();
    let query = sqlx::query_with(AssertSqlSafe(text), postgres_arguments(args)?);
    let mut rows = Vec::new();
    {
        let mut stream = query.fetch(connection);
        while let Some(row) = stream.try_next().await? {
            let mut row = Row::postgres(&row);
            rows.push(read(&mut row)?);
            if rows.len() == 1 {
                row.ensure_end()?;
            }
        }
    }
    Ok(rows)
}

/// Adds an array parameter for PostgreSQL.
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

    /// Each dispatch moves the futures of its statements several times.
    #[tokio::test]
    async fn the_future_of_a_statement_is_small() {
        let directory = tempfile::tempdir().expect("a directory");
        let url = format!("sqlite://{}", directory.path().join("small.db").display());
        let db = Db::open(&Config { url, ..Config::default() }).await.expect("a database");

        let size = size_of_val(&db.fetch::<i64>("small", db.sql()));

        assert!(size <= 2_048, "{size} bytes");
    }
}
