//! What was announced in transactions that were kept, in their order: from this process and from all others.
//!
//! PostgreSQL tells by NOTIFY, which belongs to the transaction. SQLite keeps announcements in a table; a commit of this
//! process wakes the feed at once, those of others are seen by looking at the version of the file.
use std::{collections::VecDeque, sync::Arc, time::Duration};

use sqlx::{
    ConnectOptions, SqliteConnection,
    postgres::{PgConnectOptions, PgListener, PgPoolOptions},
    sqlite::SqliteConnectOptions,
};
use tokio::sync::Notify;
use tracing::warn;

/// The channel of PostgreSQL.
pub(super) const CHANNEL: &str = "gatherum";

/// Bytes of one notification; PostgreSQL takes fewer than 8,000.
pub(super) const PART_BYTES: usize = 7_000;

/// How often the version of the SQLite file is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How long to wait before a listener that was lost is opened anew.
const REOPEN_AFTER: Duration = Duration::from_millis(250);

/// What a feed hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A message, as it was announced.
    Message(String),
    /// Something may have been missed.
    Lost,
    /// Nothing is heard any more, until the next [`Heard::Lost`].
    Interrupted,
}

/// Announcements, from the moment it was opened.
pub struct Feed(Source);

enum Source {
    Sqlite(Box<SqliteFeed>),
    Postgres(Box<PostgresFeed>),
}

impl Feed {
    /// A feed of a SQLite file. `woken` is told of each announcement of this process.
    pub(super) async fn sqlite(options: SqliteConnectOptions, woken: Arc<Notify>) -> sqlx::Result<Self> {
        let mut connection = options.pragma("query_only", "on").connect().await?;
        let last =
            sqlx::query_scalar("select coalesce(max(seq), 0) from announcements").fetch_one(&mut connection).await?;
        let feed = SqliteFeed { connection, woken, last, version: None, heard: VecDeque::new(), is_interrupted: false };
        Ok(Self(Source::Sqlite(Box::new(feed))))
    }

    /// A feed of a PostgreSQL database, over a connection of its own.
    pub(super) async fn postgres(options: PgConnectOptions) -> sqlx::Result<Self> {
        let listener = listen(&options).await?;
        Ok(Self(Source::Postgres(Box::new(PostgresFeed { options, listener: Some(listener), parts: String::new() }))))
    }

    /// The next announcement.
    pub async fn next(&mut self) -> Heard {
        match &mut self.0 {
            Source::Sqlite(feed) => feed.next().await,
            Source::Postgres(feed) => feed.next().await,
        }
    }
}

struct SqliteFeed {
    connection: SqliteConnection,
    woken: Arc<Notify>,
    /// The number of the last announcement that was heard.
    last: i64,
    /// The version of the file when it was last read.
    version: Option<i64>,
    heard: VecDeque<Heard>,
    is_interrupted: bool,
}

impl SqliteFeed {
    async fn next(&mut self) -> Heard {
        loop {
            if let Some(heard) = self.heard.pop_front() {
                return heard;
            }
            if let Err(error) = self.read().await {
                warn!(%error, "cannot read announcements");
                if !std::mem::replace(&mut self.is_interrupted, true) {
                    return Heard::Interrupted;
                }
                tokio::time::sleep(REOPEN_AFTER).await;
                continue;
            }
            if std::mem::take(&mut self.is_interrupted) {
                self.heard.push_front(Heard::Lost);
                continue;
            }
            if self.heard.is_empty() {
                let _ = tokio::time::timeout(LOOK_EVERY, self.woken.notified()).await;
            }
        }
    }

    async fn read(&mut self) -> sqlx::Result<()> {
        let version = sqlx::query_scalar("pragma data_version").fetch_one(&mut self.connection).await?;
        if self.version == Some(version) {
            return Ok(());
        }
        let rows: Vec<(i64, String)> =
            sqlx::query_as("select seq, message from announcements where seq > $1 order by seq")
                .bind(self.last)
                .fetch_all(&mut self.connection)
                .await?;
        self.version = Some(version);
        if rows.first().is_some_and(|(seq, _)| *seq > self.last + 1) {
            self.heard.push_back(Heard::Lost);
        }
        self.last = rows.last().map_or(self.last, |(seq, _)| *seq);
        self.heard.extend(rows.into_iter().map(|(_, message)| Heard::Message(message)));
        Ok(())
    }
}

struct PostgresFeed {
    options: PgConnectOptions,
    listener: Option<PgListener>,
    /// What has come of a message in parts.
    parts: String,
}

async fn listen(options: &PgConnectOptions) -> sqlx::Result<PgListener> {
    let pool = PgPoolOptions::new().max_connections(1).connect_with(options.clone()).await?;
    let mut listener = PgListener::connect_with(&pool).await?;
    // What came while nobody listened is lost, and is to be told of.
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await?;
    Ok(listener)
}

impl PostgresFeed {
    async fn next(&mut self) -> Heard {
        loop {
            let Some(listener) = &mut self.listener else {
                match listen(&self.options).await {
                    Ok(listener) => {
                        self.listener = Some(listener);
                        return Heard::Lost;
                    }
                    Err(error) => {
                        warn!(%error, "cannot listen for announcements");
                        tokio::time::sleep(REOPEN_AFTER).await;
                        continue;
                    }
                }
            };
            match listener.try_recv().await {
                Ok(Some(part)) => {
                    let Some((rest, text)) = part.payload().split_once(':') else { continue };
                    self.parts.push_str(text);
                    if rest == LAST {
                        return Heard::Message(std::mem::take(&mut self.parts));
                    }
                }
                Ok(None) | Err(_) => {
                    self.listener = None;
                    self.parts.clear();
                    return Heard::Interrupted;
                }
            }
        }
    }
}

/// The head of the last part of a message. The parts of one transaction come together and in order.
const LAST: &str = "0";

/// A message in parts, each with the number of those that follow, so that no two are equal: PostgreSQL would drop one.
pub(super) fn parts(message: &str) -> Vec<String> {
    let mut parts = Vec::new();
    let mut rest = message;
    while !rest.is_empty() {
        let end = (0..=PART_BYTES.min(rest.len())).rev().find(|end| rest.is_char_boundary(*end)).unwrap_or(rest.len());
        let (part, behind) = rest.split_at(end);
        parts.push(part);
        rest = behind;
    }
    let count = parts.len();
    parts.iter().enumerate().map(|(place, part)| format!("{}:{part}", count - 1 - place)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_is_cut_into_parts_that_a_notification_holds() {
        assert_eq!(parts("short"), ["0:short"]);
        let long = "ä".repeat(PART_BYTES);
        let parts = parts(&long);
        assert_eq!(parts.len(), 2);
        assert!(parts.iter().all(|part| part.len() < 8_000));
        assert_eq!(parts[0].split_once(':').map(|(rest, _)| rest), Some("1"));
        let whole: String = parts.iter().filter_map(|part| part.split_once(':')).map(|(_, text)| text).collect();
        assert_eq!(whole, long);
    }
}
