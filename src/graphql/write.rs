//! Transactions of mutations: one for each root field, one after the other.
//!
//! Their statements count towards the budget and the report of the request. Changes are announced in the same transaction,
//! so subscribers are notified after the commit, and only then. The objects of the payload are loaded afterwards, in rounds.
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use async_graphql::InputType;
use futures_util::future::BoxFuture;
use gatherum_engine::{
    Context, Output,
    explain::Loads,
    loading::{BatchRun, Rounds},
    object::{FieldMeta, InputArgument, Object, ObjectBuilder},
};
use serde::{Serialize, de::DeserializeOwned};

use super::RequestContext;
use crate::{
    access::Viewer,
    db::{self, Dialect, ReadRow, Record, Sql, Time, Transaction},
    error::{Error, Result},
};

/// Maximum number of attempts of a write that conflicts with another transaction.
const ATTEMPTS_MAX: u32 = 4;

/// The transaction of one root field.
pub struct Write<'c> {
    tx: Transaction,
    rounds: &'c Rounds,
    has_one_time_secret: &'c AtomicBool,
    viewer: Viewer,
    now: Time,
    /// A JSON list of changes, without its end.
    changes: Vec<u8>,
    is_news: bool,
    is_discarded: bool,
}

/// The future of a mutation handler.
pub type WriteFuture<'t, V> = BoxFuture<'t, Result<V>>;

/// Declares the root fields of mutations.
pub trait WriteFields {
    /// A field that runs `handler` with its argument `input`, in one transaction. Its value leads to what was written.
    ///
    /// The field may be null: an error of one field must not remove the values of others, which are committed.
    fn write<A: InputType + Sync + 'static, V: Output + MutationOutcome>(
        &mut self,
        meta: FieldMeta,
        handler: impl MutationHandler<A, V>,
    );
}

impl<P: Object> WriteFields for ObjectBuilder<'_, '_, P> {
    fn write<A: InputType + Sync + 'static, V: Output + MutationOutcome>(
        &mut self,
        meta: FieldMeta,
        handler: impl MutationHandler<A, V>,
    ) {
        let handler = Arc::new(handler);
        self.batch::<InputArgument<A>, Option<V>>(meta, Loads::write(), move |parents, input, field| {
            let handler = handler.clone();
            debug_assert_eq!(parents.len(), 1, "the root of a mutation is one object");
            Box::pin(async move { Ok(vec![Some(run(field.context(), field.key(), &input.0, &*handler).await?)]) })
        });
    }
}

/// A function that writes in a transaction, which is committed if it succeeds.
pub trait MutationHandler<A, V>:
    for<'t> Fn(&'t A, &'t mut Write<'_>) -> WriteFuture<'t, V> + Send + Sync + 'static
{
}
impl<A, V, F> MutationHandler<A, V> for F where
    F: for<'t> Fn(&'t A, &'t mut Write<'_>) -> WriteFuture<'t, V> + Send + Sync + 'static
{
}

impl<'c> Write<'c> {
    async fn begin(context: &'c Context) -> Result<Self> {
        let now = Time::now();
        Ok(Self {
            tx: context.request().db().begin().await?,
            rounds: &context.rounds,
            has_one_time_secret: &context.request().has_one_time_secret,
            viewer: context.request().viewer,
            now,
            changes: Vec::new(),
            is_news: false,
            is_discarded: false,
        })
    }

    /// The database that it writes to.
    pub fn dialect(&self) -> Dialect {
        self.tx.dialect()
    }

    /// An empty statement for this database.
    pub fn sql(&self) -> Sql {
        self.tx.sql()
    }

    /// The viewer on whose behalf it writes.
    pub fn viewer(&self) -> Viewer {
        self.viewer
    }

    /// The time of everything that this transaction writes.
    pub fn now(&self) -> Time {
        self.now
    }

    /// Runs a statement and returns its rows. `name` identifies it in reports and logs.
    ///
    /// # Errors
    /// As [`db::Db::fetch`]; `CONFLICT` for a violated constraint; `SQL_BUDGET_EXCEEDED`.
    pub async fn fetch<T: Record>(&mut self, name: &'static str, sql: Sql) -> Result<Vec<T>> {
        self.fetch_with(name, sql, T::read).await
    }

    /// As [`Write::fetch`], with rows read by `read`.
    ///
    /// # Errors
    /// As [`Write::fetch`].
    pub async fn fetch_with<T>(&mut self, name: &'static str, sql: Sql, read: impl ReadRow<T>) -> Result<Vec<T>> {
        self.rounds.reserve_call()?;
        let start = Instant::now();
        let rows = self.tx.fetch_with(name, sql, read).await?;
        self.ran(name, rows.len(), start);
        Ok(rows)
    }

    /// Runs a statement and returns the number of rows that it wrote.
    ///
    /// # Errors
    /// As [`Write::fetch`].
    pub async fn execute(&mut self, name: &'static str, sql: Sql) -> Result<u64> {
        self.rounds.reserve_call()?;
        let start = Instant::now();
        let written = self.tx.execute(name, sql).await?;
        self.ran(name, usize::try_from(written).unwrap_or(usize::MAX), start);
        Ok(written)
    }

    /// Reports a statement. The number of rows of tags is not reported: it would disclose objects of other accounts.
    fn ran(&self, relation: &'static str, rows: usize, start: Instant) {
        let is_reported = self.viewer.is_admin() || !relation.starts_with("tags.");
        let rows = if is_reported { rows } else { 0 };
        self.rounds.report_call(BatchRun { name: relation, keys: 0, rows, time: start.elapsed() });
    }

    /// Announces a change to subscribers, after the commit.
    pub fn announce(&mut self, change: &impl Serialize) {
        self.changes.push(if self.changes.is_empty() { b'[' } else { b',' });
        serde_json::to_writer(&mut self.changes, change).expect("a change can be written as JSON");
    }

    /// Invalidates the load caches of all nodes, for a change without an event.
    pub fn invalidate_caches(&mut self) {
        self.is_news = true;
    }

    /// Marks the response as one with a secret that is shown only once, so that it is not stored for retries.
    pub fn mark_one_time_secret(&mut self) {
        self.has_one_time_secret.store(true, Ordering::Relaxed);
    }

    /// Rolls the transaction back, although the field has a value.
    pub fn discard(&mut self) {
        self.is_discarded = true;
    }

    async fn commit(mut self) -> Result<()> {
        if self.is_discarded {
            return Ok(());
        }
        if self.is_news && self.changes.is_empty() {
            self.changes.push(b'[');
        }
        if !self.changes.is_empty() {
            self.changes.push(b']');
            let message = String::from_utf8(std::mem::take(&mut self.changes)).map_err(Error::internal)?;
            self.rounds.reserve_call()?;
            let start = Instant::now();
            self.tx.announce(&message).await?;
            self.rounds.report_call(BatchRun { name: "announce", keys: 0, rows: 1, time: start.elapsed() });
        }
        self.tx.commit().await
    }
}

/// The outcome of a write, which is stored for retries of the request.
pub trait MutationOutcome: Serialize + DeserializeOwned + Send + Sync {}
impl<V: Serialize + DeserializeOwned + Send + Sync> MutationOutcome for V {}

/// Runs `write` for the field with the response key `key` in a transaction, and again after a conflict with another one.
async fn run<A, V: MutationOutcome>(
    context: &Context,
    key: &str,
    args: &A,
    write: &impl MutationHandler<A, V>,
) -> Result<V> {
    let mut attempt = 1;
    loop {
        match once(context, key, args, write).await {
            Err(error)
                if attempt < ATTEMPTS_MAX
                    && (error.is_retryable_conflict() || db::is_serialization_conflict(&error)) =>
            {
                attempt += 1;
            }
            outcome => return outcome,
        }
    }
}

async fn once<A, V: MutationOutcome>(
    context: &Context,
    key: &str,
    args: &A,
    write: &impl MutationHandler<A, V>,
) -> Result<V> {
    let mut transaction = Write::begin(context).await?;
    if let Some(idempotency) = &context.request().idempotency
        && let Some(outcome) = idempotency.outcome(&mut transaction, key).await?
    {
        context.request().has_committed.store(true, Ordering::Relaxed);
        return Ok(outcome);
    }
    let value = write(args, &mut transaction).await?;
    if let Some(idempotency) = &context.request().idempotency {
        idempotency.keep(&mut transaction, key, &value).await?;
    }
    transaction.commit().await?;
    context.request().has_committed.store(true, Ordering::Relaxed);
    Ok(value)
}
