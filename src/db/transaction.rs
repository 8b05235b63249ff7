//! Transactions that write.
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use futures_util::TryStreamExt;
use sqlx::{AssertSqlSafe, Postgres, SqliteConnection};
use tokio::sync::Notify;

use super::{
    AccessScope, Arg, Dialect, Read, Record, Row, Sql,
    fault::fault,
    feed::{CHANNEL, parts},
    pool::{Leased, Turn},
    sqlite::Writer,
};
use crate::{error::Result, statement};

/// A transaction that writes. Dropped without [`Transaction::commit`], nothing of it is kept.
pub struct Transaction {
    inner: Inner,
    ran: Arc<AtomicU64>,
    scope: AccessScope,
}

enum Inner {
    Sqlite(Writing),
    Postgres(sqlx::Transaction<'static, Postgres>, Turn),
}

/// The writing connection inside `begin immediate`. Dropped before its end, it is closed, which rolls back.
struct Writing {
    writer: Writer,
    ended: bool,
    announced: Arc<Notify>,
    has_announced: bool,
}

impl Writing {
    fn connection(&mut self) -> &mut SqliteConnection {
        self.writer.as_mut().expect("the writer is there while a transaction holds it")
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        if !self.ended {
            *self.writer = None;
        }
    }
}

impl Transaction {
    pub(super) async fn sqlite(
        writer: sqlx::Result<Writer>,
        announced: Arc<Notify>,
        ran: Arc<AtomicU64>,
        scope: AccessScope,
    ) -> Result<Self> {
        let writer = writer.map_err(|source| fault("begin", source))?;
        let mut writing = Writing { writer, ended: false, announced, has_announced: false };
        sqlx::query("begin immediate").execute(writing.connection()).await.map_err(|source| fault("begin", source))?;
        Ok(Self { inner: Inner::Sqlite(writing), ran, scope })
    }

    pub(super) async fn postgres(
        leased: sqlx::Result<Leased>,
        ran: Arc<AtomicU64>,
        scope: AccessScope,
    ) -> Result<Self> {
        let begin = async { leased?.begin().await };
        let (transaction, turn) = begin.await.map_err(|source| fault("begin", source))?;
        Ok(Self { inner: Inner::Postgres(transaction, turn), ran, scope })
    }

    /// Which database it writes to.
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
    /// As [`super::Db::fetch`]; the transaction can then only be dropped.
    pub async fn fetch<T: Record>(&mut self, name: &'static str, sql: Sql) -> Result<Vec<T>> {
        self.fetch_with(name, sql, T::read).await
    }

    /// As [`Transaction::fetch`], with rows read by `read`.
    ///
    /// # Errors
    /// As [`Transaction::fetch`].
    pub async fn fetch_with<T>(&mut self, name: &'static str, sql: Sql, read: impl Read<T>) -> Result<Vec<T>> {
        self.ran.fetch_add(1, Ordering::Relaxed);
        self.rows(sql, read).await.map_err(|source| fault(name, source))
    }

    /// Runs a statement and returns how many rows it wrote.
    ///
    /// # Errors
    /// As [`super::Db::fetch`]; the transaction can then only be dropped.
    pub async fn execute(&mut self, name: &'static str, sql: Sql) -> Result<u64> {
        self.ran.fetch_add(1, Ordering::Relaxed);
        self.write(sql).await.map_err(|source| fault(name, source))
    }

    /// Announces a message to every feed, once the transaction is kept. One statement.
    ///
    /// # Errors
    /// As [`super::Db::fetch`]; the transaction can then only be dropped.
    pub async fn announce(&mut self, message: &str) -> Result<()> {
        match &mut self.inner {
            Inner::Sqlite(writing) => {
                writing.has_announced = true;
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

    /// Keeps what was written. On return it is durable.
    ///
    /// # Errors
    /// As [`super::Db::fetch`]; then nothing was kept.
    pub async fn commit(self) -> Result<()> {
        match self.inner {
            Inner::Sqlite(mut writing) => {
                sqlx::query("commit").execute(writing.connection()).await.map_err(|source| fault("commit", source))?;
                writing.ended = true;
                if writing.has_announced {
                    writing.announced.notify_one();
                }
            }
            Inner::Postgres(transaction, _turn) => {
                transaction.commit().await.map_err(|source| fault("commit", source))?
            }
        }
        Ok(())
    }

    async fn rows<T>(&mut self, sql: Sql, mut read: impl Read<T>) -> sqlx::Result<Vec<T>> {
        let (text, args): (String, Vec<Arg>) = sql.into_parts();
        let mut rows = Vec::new();
        match &mut self.inner {
            Inner::Sqlite(writing) => {
                let query = sqlx::query_with(AssertSqlSafe(text), super::sqlite_arguments(args)?);
                let mut stream = query.fetch(writing.connection());
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
            Inner::Sqlite(writing) => {
                let query = sqlx::query_with(AssertSqlSafe(text), super::sqlite_arguments(args)?);
                Ok(query.execute(writing.connection()).await?.rows_affected())
            }
            Inner::Postgres(transaction, _) => {
                let query = sqlx::query_with(AssertSqlSafe(text), super::postgres_arguments(args)?);
                Ok(query.execute(&mut **transaction).await?.rows_affected())
            }
        }
    }
}
