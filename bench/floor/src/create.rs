//! Making many artifacts the way one writes it by hand: a transaction with one multi-row insert.
use std::{str::FromStr, time::SystemTime};

use serde::{Deserialize, Serialize};
use sqlx::{
    Database, PgPool, QueryBuilder, SqlitePool,
    postgres::PgPoolOptions,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions},
};
use uuid::Uuid;

use crate::id::{self, TypeId};

/// A pool that writes.
pub enum Writer {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// An artifact to make.
#[derive(Deserialize)]
pub struct New {
    #[serde(rename = "type")]
    kind: String,
    name: String,
    description: String,
}

/// An artifact that was made.
#[derive(Serialize)]
pub struct Made {
    id: TypeId,
    name: String,
}

impl Writer {
    /// Opens what `url` names.
    pub async fn open(url: &str) -> sqlx::Result<Self> {
        if !url.starts_with("sqlite:") {
            return Ok(Self::Postgres(PgPoolOptions::new().max_connections(5).connect_lazy(url)?));
        }
        let options = SqliteConnectOptions::from_str(url)?
            .journal_mode(SqliteJournalMode::Wal)
            .pragma("synchronous", "full")
            .pragma("cache_size", "-16384")
            .pragma("mmap_size", "268435456");
        Ok(Self::Sqlite(SqlitePoolOptions::new().max_connections(1).connect_lazy_with(options)))
    }

    /// Makes artifacts, all or none.
    pub async fn create(&self, artifacts: Vec<New>) -> anyhow::Result<Vec<Made>> {
        let rows: Vec<(Uuid, New)> = artifacts.into_iter().map(|new| (Uuid::now_v7(), new)).collect();
        let now_us = i64::try_from(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_micros())?;
        match self {
            Self::Sqlite(pool) => {
                let mut tx = pool.begin_with("begin immediate").await?;
                insert(&rows, now_us, "").build().execute(&mut *tx).await?;
                tx.commit().await?;
            }
            Self::Postgres(pool) => {
                let mut tx = pool.begin().await?;
                insert(&rows, now_us, "timestamptz 'epoch' + interval '1 microsecond' * ").build().execute(&mut *tx).await?;
                tx.commit().await?;
            }
        }
        Ok(rows.into_iter().map(|(id, new)| Made { id: id::artifact(id), name: new.name }).collect())
    }
}

/// The statement; `time` is what makes a time of the microseconds that follow it.
fn insert<'r, D: Database>(rows: &'r [(Uuid, New)], now_us: i64, time: &str) -> QueryBuilder<D>
where
    Uuid: sqlx::Encode<'r, D> + sqlx::Type<D>,
    &'r str: sqlx::Encode<'r, D> + sqlx::Type<D>,
    i64: sqlx::Encode<'r, D> + sqlx::Type<D>,
{
    let mut query =
        QueryBuilder::new("insert into artifacts (id, type, name, description, visibility, created_at, updated_at) ");
    query.push_values(rows, |mut row, (id, new)| {
        row.push_bind(*id).push_bind(new.kind.as_str()).push_bind(new.name.as_str()).push_bind(new.description.as_str());
        row.push("'PRIVATE'");
        for _ in 0..2 {
            row.push(time).push_bind_unseparated(now_us);
        }
    });
    query
}
