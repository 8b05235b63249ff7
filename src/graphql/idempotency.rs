//! Requests that are tried again: with the same `Idempotency-Key` they write nothing twice, and are answered alike.
//!
//! What each root field came to is kept in the transaction of its write; so even where the first answer was never finished,
//! the second request finds what was written, and answers from that. The answer itself is kept once it is whole. Both are
//! kept in the database: for every node, through restarts, for 24 hours.
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

use super::{Request, write::Write};
use crate::{
    db::{Arg, Db, Time},
    error::{Code, Error, Result},
};

/// How long what a request came to is kept, in microseconds.
const KEPT_US: i64 = 24 * 60 * 60 * 1_000_000;

/// The key of a request, and how the request is known again.
#[derive(Clone, Debug)]
pub(super) struct Idempotency {
    key: String,
    request: String,
}

impl Idempotency {
    /// Of a request that has a key.
    pub(super) fn of(request: &Request) -> Option<Self> {
        const NAMESPACE: Uuid = Uuid::from_u128(0x7a1d_3c4e_55f0_5b6a_9e21_40c8_6d92_b3f7);
        let key = request.idempotency_key.as_deref()?;
        // What one account has sent is not answered to another.
        let key = match request.viewer.user {
            Some(user) => format!("{}:{key}", user.simple()),
            None => key.to_owned(),
        };
        let variables = serde_json::to_string(&request.variables).unwrap_or_default();
        let name = request.operation_name.as_deref().unwrap_or_default();
        let whole = serde_json::json!([request.query, name, variables]).to_string();
        Some(Self { key, request: Uuid::new_v5(&NAMESPACE, whole.as_bytes()).simple().to_string() })
    }

    /// Takes the key for this request, and returns the answer that the request was given before. Two statements.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` where the key was used for another request.
    pub(super) async fn begin(&self, db: &Db) -> Result<Option<String>> {
        let now = Time::now();
        let mut tx = db.begin().await?;
        let mut sql = tx.sql();
        sql.push("delete from idempotent_requests where created_at < ").bind(Arg::Time(Time(now.0 - KEPT_US)));
        tx.execute("idempotency.expire", sql).await?;
        let mut sql = tx.sql();
        sql.push("insert into idempotent_requests as r (key, request, created_at) values (");
        sql.bind(Arg::Text(Some(self.key.clone()))).push(", ").bind(Arg::Text(Some(self.request.clone())));
        sql.push(", ").bind(Arg::Time(now)).push(") on conflict (key) do update set key = excluded.key ");
        sql.push("returning request, answer");
        let found = tx
            .fetch_with("idempotency.begin", sql, |row| Ok((row.next::<String>()?, row.next_or_null::<String>()?)))
            .await?;
        tx.commit().await?;
        match found.into_iter().next() {
            Some((request, _)) if request != self.request => {
                Err(Error::bad_user_input("this Idempotency-Key was used for another request: choose a new one"))
            }
            Some((_, answer)) => Ok(answer),
            None => Err(Error::internal("an Idempotency-Key was not kept")),
        }
    }

    /// Keeps the answer, unless what is wrong with it may be over by the next time.
    ///
    /// # Errors
    /// That of the statement.
    pub(super) async fn end(&self, db: &Db, answer: &[u8], codes: &[Code]) -> Result<()> {
        let is_passing = |code: &Code| {
            matches!(
                code,
                Code::Unavailable | Code::Timeout | Code::Overloaded | Code::Internal | Code::SqlBudgetExceeded
            )
        };
        if codes.iter().any(is_passing) {
            return Ok(());
        }
        let mut tx = db.begin().await?;
        let mut sql = tx.sql();
        sql.push("update idempotent_requests set answer = ");
        sql.bind(Arg::Text(Some(String::from_utf8_lossy(answer).into_owned())));
        sql.push(" where key = ").bind(Arg::Text(Some(self.key.clone())));
        tx.execute("idempotency.end", sql).await?;
        tx.commit().await
    }

    /// What the field came to before; nothing where it has yet to be written. A second request waits here for the first.
    ///
    /// # Errors
    /// That of the statements.
    pub(super) async fn outcome<V: DeserializeOwned>(&self, write: &mut Write<'_>, field: &str) -> Result<Option<V>> {
        let mut sql = write.sql();
        sql.push("insert into idempotent_outcomes (key, field, outcome) values (");
        sql.bind(Arg::Text(Some(self.key.clone()))).push(", ").bind(Arg::Text(Some(field.to_owned())));
        sql.push(", '') on conflict do nothing");
        if write.execute("idempotency.take", sql).await? > 0 {
            return Ok(None);
        }
        let mut sql = write.sql();
        sql.push("select o.outcome from idempotent_outcomes o where o.key = ").bind(Arg::Text(Some(self.key.clone())));
        sql.push(" and o.field = ").bind(Arg::Text(Some(field.to_owned())));
        let found = write.fetch::<String>("idempotency.outcome", sql).await?;
        let outcome = found.first().ok_or_else(|| Error::internal("an outcome is missing"))?;
        serde_json::from_str(outcome).map(Some).map_err(Error::internal)
    }

    /// Keeps what the field came to, in the transaction that wrote it.
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
        let mut sql = write.sql();
        sql.push("update idempotent_outcomes set outcome = ").bind(Arg::Text(Some(outcome)));
        sql.push(" where key = ").bind(Arg::Text(Some(self.key.clone()))).push(" and field = ");
        sql.bind(Arg::Text(Some(field.to_owned())));
        write.execute("idempotency.keep", sql).await?;
        Ok(())
    }
}
