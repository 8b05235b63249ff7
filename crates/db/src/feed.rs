//! The feed of announcements of committed transactions, of all processes and in commit order.
//!
//! PostgreSQL delivers them with NOTIFY, which is transactional. SQLite stores them in a table: a commit of this process
//! wakes the feed immediately, and commits of other processes are detected by polling `pragma data_version`.
use std::{collections::VecDeque, sync::Arc, time::Duration};

use sqlx::{
    ConnectOptions, SqliteConnection,
    postgres::{PgConnectOptions, PgListener, PgPoolOptions},
    sqlite::SqliteConnectOptions,
};
use tokio::sync::Notify;
use tracing::debug;

/// The name of PostgreSQL's notification channel.
pub(super) const CHANNEL: &str = "gatherum";

/// Maximum length of one notification, in bytes. PostgreSQL requires less than 8,000.
pub(super) const PART_BYTES: usize = 7_000;

/// Interval at which `pragma data_version` is polled.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Delay before a broken feed is reopened.
const REOPEN_DELAY: Duration = Duration::from_millis(250);

/// An event of a feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedEvent {
    /// An announced message.
    Message(String),
    /// Messages may have been lost; the feed is connected.
    Lost,
    /// The feed is disconnected until the next [`FeedEvent::Lost`].
    Disconnected,
}

/// A subscription to announcements, from the time it was opened.
pub struct Feed(Inner);

enum Inner {
    Sqlite(Box<SqliteFeed>),
    Postgres(Box<PostgresFeed>),
}

impl Feed {
    /// Opens a feed of a SQLite file. `announced` is notified of announcements of this process.
    pub(super) async fn sqlite(options: SqliteConnectOptions, announced: Arc<Notify>) -> sqlx::Result<Self> {
        let mut connection = options.pragma("query_only", "on").connect().await?;
        let last =
            sqlx::query_scalar("select coalesce(max(seq), 0) from announcements").fetch_one(&mut connection).await?;
        let feed =
            SqliteFeed { connection, announced, last, version: None, events: VecDeque::new(), is_disconnected: false };
        Ok(Self(Inner::Sqlite(Box::new(feed))))
    }

    /// Opens a feed of a PostgreSQL database on its own connection.
    pub(super) async fn postgres(options: PgConnectOptions) -> sqlx::Result<Self> {
        let listener = listen(&options).await?;
        Ok(Self(Inner::Postgres(Box::new(PostgresFeed { options, listener: Some(listener), parts: String::new() }))))
    }

    /// Waits for the next event.
    pub async fn next(&mut self) -> FeedEvent {
        match &mut self.0 {
            Inner::Sqlite(feed) => feed.next().await,
            Inner::Postgres(feed) => feed.next().await,
        }
    }
}

struct SqliteFeed {
    connection: SqliteConnection,
    announced: Arc<Notify>,
    /// The sequence number of the last message.
    last: i64,
    /// `pragma data_version` of the last read.
    version: Option<i64>,
    events: VecDeque<FeedEvent>,
    is_disconnected: bool,
}

impl SqliteFeed {
    async fn next(&mut self) -> FeedEvent {
        loop {
            if let Some(event) = self.events.pop_front() {
                return event;
            }
            if let Err(error) = self.read().await {
                debug!(%error, "cannot read announcements");
                if !std::mem::replace(&mut self.is_disconnected, true) {
                    return FeedEvent::Disconnected;
                }
                tokio::time::sleep(REOPEN_DELAY).await;
                continue;
            }
            if std::mem::take(&mut self.is_disconnected) {
                self.events.push_front(FeedEvent::Lost);
                continue;
            }
            if self.events.is_empty() {
                let _ = tokio::time::timeout(POLL_INTERVAL, self.announced.notified()).await;
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
            self.events.push_back(FeedEvent::Lost);
        }
        self.last = rows.last().map_or(self.last, |(seq, _)| *seq);
        self.events.extend(rows.into_iter().map(|(_, message)| FeedEvent::Message(message)));
        Ok(())
    }
}

struct PostgresFeed {
    options: PgConnectOptions,
    listener: Option<PgListener>,
    /// The parts of an incomplete message.
    parts: String,
}

async fn listen(options: &PgConnectOptions) -> sqlx::Result<PgListener> {
    let pool = PgPoolOptions::new().max_connections(1).connect_with(options.clone()).await?;
    let mut listener = PgListener::connect_with(&pool).await?;
    // sqlx would reconnect silently, and hide that notifications were lost meanwhile.
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await?;
    Ok(listener)
}

impl PostgresFeed {
    async fn next(&mut self) -> FeedEvent {
        loop {
            let Some(listener) = &mut self.listener else {
                match listen(&self.options).await {
                    Ok(listener) => {
                        self.listener = Some(listener);
                        return FeedEvent::Lost;
                    }
                    Err(error) => {
                        debug!(%error, "cannot listen for announcements");
                        tokio::time::sleep(REOPEN_DELAY).await;
                        continue;
                    }
                }
            };
            match listener.try_recv().await {
                Ok(Some(part)) => {
                    let Some((rest, text)) = part.payload().split_once(':') else { continue };
                    self.parts.push_str(text);
                    if rest == LAST {
                        return FeedEvent::Message(std::mem::take(&mut self.parts));
                    }
                }
                Ok(None) | Err(_) => {
                    self.listener = None;
                    self.parts.clear();
                    return FeedEvent::Disconnected;
                }
            }
        }
    }
}

/// The header of the last part of a message. The parts of one transaction are delivered together and in order.
const LAST: &str = "0";

/// Splits a message into parts that fit into a notification. Each begins with the number of parts that follow, also
/// because PostgreSQL drops duplicate notifications of a transaction.
pub(super) fn parts(message: &str) -> Vec<String> {
    let mut parts = Vec::new();
    let mut rest = message;
    while !rest.is_empty() {
        let end = (0..=PART_BYTES.min(rest.len())).rev().find(|end| rest.is_char_boundary(*end)).unwrap_or(rest.len());
        let (part, tail) = rest.split_at(end);
        parts.push(part);
        rest = tail;
    }
    let count = parts.len();
    parts.iter().enumerate().map(|(index, part)| format!("{}:{part}", count - 1 - index)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_is_split_into_parts_that_fit_into_a_notification() {
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
