//! Read-write transactions.
use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::TryStreamExt;
use gatherum_engine::error::Result;
use sqlx::{AssertSqlSafe, Postgres, SqliteConnection};
use tokio::sync::Notify;

use super::{
    AccessScope, Arg, Dialect, ReadRow, Record, Row, Sql,
    availability::Availability,
    fault::{commit_fault, fault, interrupted, is_connection_lost, uncertain_commit},
    feed::{CHANNEL, parts},
    pool::{Lease, Permit},
    sqlite::Writer,
};
use crate::statement;

/// Time limit for a statement of a transaction: none. PostgreSQL has its own, and statements of imports may take long.
const NO_LIMIT: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A read-write transaction. It is rolled back if it is dropped without [`Transaction::commit`].
pub struct Transaction {
    inner: Inner,
    availability: Arc<Availability>,
    statements_run: Arc<AtomicU64>,
    scope: AccessScope,
}

enum Inner {
    Sqlite(SqliteTransaction),
    Postgres(sqlx::Transaction<'static, Postgres>, Permit),
}

/// The write connection after `begin immediate`. Dropping it before the commit closes the connection, which rolls back.
struct SqliteTransaction {
    writer: Writer,
    is_committed: bool,
    announced: Arc<Notify>,
    has_announcement: bool,
}

impl SqliteTransaction {
    fn connection(&mut self) -> &mut SqliteConnection {
        self.writer.as_mut().expect("the connection is closed by drop only")
    }
}

impl Drop for SqliteTransaction {
    fn drop(&mut self) {
        if !self.is_committed {
            *self.writer = None;
        }
    }
}

impl Inner {
    async fn commit(self) -> Result<()> {
        match self {
            Inner::Sqlite(mut transaction) => {
                sqlx::query("commit").execute(transaction.connection()).await.map_err(commit_fault)?;
                transaction.is_committed = true;
                if transaction.has_announcement {
                    transaction.announced.notify_one();
                }
            }
            Inner::Postgres(transaction, _permit) => transaction.commit().await.map_err(commit_fault)?,
        }
        Ok(())
    }
}

impl Transaction {
    pub(super) async fn sqlite(
        (writer, announced): (Writer, Arc<Notify>),
        availability: Arc<Availability>,
        statements_run: Arc<AtomicU64>,
        scope: AccessScope,
    ) -> Result<Self> {
        let mut transaction = SqliteTransaction { writer, is_committed: false, announced, has_announcement: false };
        let begin = sqlx::query("begin immediate").execute(transaction.connection());
        let begun = availability.within(NO_LIMIT, pin!(begin)).await.map_err(|early| interrupted("begin", early))?;
        begun.map_err(|source| fault("begin", source))?;
        Ok(Self { inner: Inner::Sqlite(transaction), availability, statements_run, scope })
    }

    /// Begins a transaction; `None` if the server has closed the connection.
    pub(super) async fn postgres(
        lease: Lease,
        availability: Arc<Availability>,
        statements_run: Arc<AtomicU64>,
        scope: AccessScope,
    ) -> Result<Option<Self>> {
        let begun =
            availability.within(NO_LIMIT, pin!(lease.begin())).await.map_err(|early| interrupted("begin", early))?;
        match begun {
            Ok((transaction, permit)) => {
                let inner = Inner::Postgres(transaction, permit);
                Ok(Some(Self { inner, availability, statements_run, scope }))
            }
            Err(error) if is_connection_lost(&error) => Ok(None),
            Err(error) => Err(fault("begin", error)),
        }
    }

    /// The kind of database.
    pub fn dialect(&self) -> Dialect {
        match &self.inner {
            Inner::Sqlite(_) => Dialect::Sqlite,
            Inner::Postgres(..) => Dialect::Postgres,
        }
    }

    /// An empty statement for this database.
    pub fn sql(&self) -> Sql {
        Sql::new(self.dialect(), self.scope)
    }

    /// Runs a statement and returns its rows.
    ///
    /// # Errors
    /// As [`super::Db::fetch`]. The transaction must then be dropped.
    pub async fn fetch<T: Record>(&mut self, name: &'static str, sql: Sql) -> Result<Vec<T>> {
        self.fetch_with(name, sql, T::read).await
    }

    /// Like [`Transaction::fetch`], but reads rows with `read`.
    ///
    /// # Errors
    /// As [`Transaction::fetch`].
    pub async fn fetch_with<T>(&mut self, name: &'static str, sql: Sql, read: impl ReadRow<T>) -> Result<Vec<T>> {
        self.statements_run.fetch_add(1, Ordering::Relaxed);
        let availability = self.availability.clone();
        let rows = availability.within(NO_LIMIT, pin!(self.rows(sql, read))).await;
        rows.map_err(|early| interrupted(name, early))?.map_err(|source| fault(name, source))
    }

    /// Runs a statement and returns the number of rows written.
    ///
    /// # Errors
    /// As [`super::Db::fetch`]. The transaction must then be dropped.
    pub async fn execute(&mut self, name: &'static str, sql: Sql) -> Result<u64> {
        self.statements_run.fetch_add(1, Ordering::Relaxed);
        let availability = self.availability.clone();
        let written = availability.within(NO_LIMIT, pin!(self.write(sql))).await;
        written.map_err(|early| interrupted(name, early))?.map_err(|source| fault(name, source))
    }

    /// Announces a message to the feeds of all processes on commit. Runs one statement.
    ///
    /// # Errors
    /// As [`super::Db::fetch`]. The transaction must then be dropped.
    pub async fn announce(&mut self, message: &str) -> Result<()> {
        match &mut self.inner {
            Inner::Sqlite(transaction) => {
                transaction.has_announcement = true;
                let sql = statement!(self, "insert into announcements (message) values ({message})", message);
                self.execute("announce", sql).await?;
            }
            Inner::Postgres(..) => {
                let sql = statement!(
                    self,
                    "select count(pg_notify({channel}, p)) from unnest({parts}) p",
                    channel = CHANNEL,
                    parts = Arg::Texts(parts(message)),
                );
                self.fetch::<i64>("announce", sql).await?;
            }
        }
        Ok(())
    }

    /// Commits. The changes are durable on return.
    ///
    /// # Errors
    /// As [`super::Db::fetch`]; the transaction is then rolled back.
    pub async fn commit(self) -> Result<()> {
        let committed = self.availability.within(NO_LIMIT, pin!(self.inner.commit())).await;
        committed.map_err(|early| uncertain_commit().caused_by(interrupted("commit", early)))?
    }

    async fn rows<T>(&mut self, sql: Sql, mut read: impl ReadRow<T>) -> sqlx::Result<Vec<T>> {
        let (text, args): (String, Vec<Arg>) = sql.into_parts();
        let mut rows = Vec::new();
        match &mut self.inner {
            Inner::Sqlite(transaction) => {
                let query = sqlx::query_with(AssertSqlSafe(text), super::sqlite_arguments(args)?);
                let mut stream = query.fetch(transaction.connection());
                while let Some(row) = stream.try_next().await? {
                    let mut row = Row::sqlite(&row);
                    rows.push(read(&mut row)?);
                    if rows.len() == 1 {
                        row.ensure_end()?;
                    }
                }
            }
            Inner::Postgres(transaction, _) => {
                let query = sqlx::query_with(AssertSqlSafe(text), super::postgres_arguments(args)?);
                let mut stream = query.fetch(&mut **transaction);
                while let Some(row) = stream.try_next().await? {
                    let mut row = Row::postgres(&row);
                    rows.push(read(&mut row)?);
                    if rows.len() == 1 {
                        row.ensure_end()?;
                    }
                }
            }
        }
        Ok(rows)
    }

    async fn write(&mut self, sql: Sql) -> sqlx::Result<u64> {
        let (text, args) = sql.into_parts();
        match &mut self.inner {
            Inner::Sqlite(transaction) => {
                let query = sqlx::query_with(AssertSqlSafe(text), super::sqlite_arguments(args)?);
                Ok(query.execute(transaction.connection()).await?.rows_affected())
            }
            Inner::Postgres(transaction, _) => {
                let query = sqlx::query_with(AssertSqlSafe(text), super::postgres_arguments(args)?);
                Ok(query.execute(&mut **transaction).await?.rows_affected())
            }
        }
    }
}
