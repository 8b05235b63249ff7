//! Repeated requests: with the same `Idempotency-Key` they write nothing twice, and receive the same response.
//!
//! The transaction of a write also stores the outcome of its root field. So a repeated request finds what was written even
//! if the first response was never completed. A complete response is stored too. Both are stored in the database for 24
//! hours, so they survive restarts and all nodes share them.
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

use super::{ErrorBehavior, Request, write::Write};
use crate::{
    db::{Db, Time},
    error::{Code, Error, Result},
    statement,
};

/// How long responses and outcomes are stored, in microseconds.
const RETENTION_US: i64 = 24 * 60 * 60 * 1_000_000;

/// The key of a request, and a hash of the request.
#[derive(Clone, Debug)]
pub(super) struct Idempotency {
    key: String,
    request: String,
}

impl Idempotency {
    /// The idempotency of a request with a key.
    pub(super) fn of(request: &Request) -> Option<Self> {
        const NAMESPACE: Uuid = Uuid::from_u128(0x7a1d_3c4e_55f0_5b6a_9e21_40c8_6d92_b3f7);
        let key = request.idempotency_key.as_deref()?;
        // The response to one account is not sent to another.
        let key = match request.viewer.user {
            Some(user) => format!("{}:{key}", user.simple()),
            None => key.to_owned(),
        };
        let variables = serde_json::to_string(&request.variables).unwrap_or_default();
        let name = request.operation_name.as_deref().unwrap_or_default();
        let mut parts = vec![request.query.as_str(), name, &variables];
        // Only if it is given, so that requests of earlier releases are recognised.
        let on_error = format!("{:?}", request.on_error);
        if request.on_error != ErrorBehavior::default() {
            parts.push(&on_error);
        }
        let whole = serde_json::json!(parts).to_string();
        Some(Self { key, request: Uuid::new_v5(&NAMESPACE, whole.as_bytes()).simple().to_string() })
    }

    /// Claims the key for this request, and returns the stored response, if there is one. Two statements.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` if the key was used for another request.
    pub(super) async fn begin(&self, db: &Db) -> Result<Option<String>> {
        let now = Time::now();
        let mut tx = db.begin().await?;
        let expired = Time(now.0 - RETENTION_US);
        let sql = statement!(tx, "delete from idempotent_requests where created_at < {expired}", expired);
        tx.execute("idempotency.expire", sql).await?;
        let sql = statement!(
            tx,
            "insert into idempotent_requests as r (key, request, created_at)
             values ({key}, {request}, {now})
             on conflict (key) do update set key = excluded.key
             returning request, answer",
            key = &self.key,
            request = &self.request,
            now,
        );
        let found = tx
            .fetch_with("idempotency.begin", sql, |row| Ok((row.next::<String>()?, row.next_or_null::<String>()?)))
            .await?;
        tx.commit().await?;
        match found.into_iter().next() {
            Some((request, _)) if request != self.request => {
                Err(Error::bad_user_input("this Idempotency-Key was used for another request: choose a new one"))
            }
            Some((_, answer)) => Ok(answer),
            None => Err(Error::internal("an Idempotency-Key was not stored")),
        }
    }

    /// Stores the response, unless it has an error that may be temporary.
    ///
    /// # Errors
    /// That of the statement.
    pub(super) async fn end(&self, db: &Db, answer: &[u8], codes: &[Code]) -> Result<()> {
        let is_temporary = |code: &Code| {
            matches!(
                code,
                Code::Unavailable | Code::Timeout | Code::Overloaded | Code::Internal | Code::SqlBudgetExceeded
            )
        };
        if codes.iter().any(is_temporary) {
            return Ok(());
        }
        let mut tx = db.begin().await?;
        let sql = statement!(
            tx,
            "update idempotent_requests set answer = {answer} where key = {key}",
            answer = String::from_utf8_lossy(answer).into_owned(),
            key = &self.key,
        );
        tx.execute("idempotency.end", sql).await?;
        tx.commit().await
    }

    /// The stored outcome of the field; `None` if it has not been written. A concurrent request waits here for the first.
    ///
    /// # Errors
    /// That of the statements.
    pub(super) async fn outcome<V: DeserializeOwned>(&self, write: &mut Write<'_>, field: &str) -> Result<Option<V>> {
        let sql = statement!(
            write,
            "insert into idempotent_outcomes (key, field, outcome) values ({key}, {field}, '') on conflict do nothing",
            key = &self.key,
            field,
        );
        if write.execute("idempotency.take", sql).await? > 0 {
            return Ok(None);
        }
        let sql = statement!(
            write,
            "select o.outcome from idempotent_outcomes o where o.key = {key} and o.field = {field}",
            key = &self.key,
            field,
        );
        let found = write.fetch::<String>("idempotency.outcome", sql).await?;
        let outcome = found.first().ok_or_else(|| Error::internal("an outcome is missing"))?;
        serde_json::from_str(outcome).map(Some).map_err(Error::internal)
    }

    /// Stores the outcome of the field, in the transaction of the write.
    ///
    /// # Errors
    /// That of the statement.
    pub(super) async fn keep<V: Serialize + Sync>(
        &self,
        write: &mut Write<'_>,
        field: &str,
        outcome: &V,
    ) -> Result<()> {
        let outcome = serde_json::to_string(outcome).map_err(Error::internal)?;
        let sql = statement!(
            write,
            "update idempotent_outcomes set outcome = {outcome} where key = {key} and field = {field}",
            outcome,
            key = &self.key,
            field,
        );
        write.execute("idempotency.keep", sql).await?;
        Ok(())
    }
}
