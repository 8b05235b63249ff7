//! Subscriptions: one feed of the database for all who follow, and for each a queue of its own.
//!
//! A message of the feed is a list of changes, as the writes of one transaction announced them. Each change is the root of
//! an execution for every subscription that it belongs to, with rounds of its own.
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde::de::DeserializeOwned;
use tokio::{
    sync::{Mutex, broadcast},
    task::JoinHandle,
};
use tracing::warn;

use super::{
    Context,
    load_cache::{Invalidation, WriteClock},
    object::{EmptyRoot, Object},
};
use crate::{
    db::{Db, Feed, FeedEvent},
    error::{Code, Error, Result},
};

/// Changes that wait for one who follows; whoever is further behind is told to read again.
const QUEUE_LENGTH: usize = 1_024;

/// Announced where there is more than can be told: those who follow are told to read again.
pub const OVERFLOW: &str = "null";

/// The root of subscriptions: one change, as it was announced.
#[async_trait::async_trait]
pub trait Change: Object + DeserializeOwned {
    /// Whether whoever follows `field` may see it, now.
    ///
    /// # Errors
    /// That of the database.
    async fn is_seen(&self, field: &str, context: &Context) -> Result<bool>;
}

#[async_trait::async_trait]
impl Change for EmptyRoot {
    async fn is_seen(&self, _field: &str, _context: &Context) -> Result<bool> {
        Ok(false)
    }
}

/// What one who follows hears.
#[derive(Clone, Debug)]
pub(super) enum Event<S> {
    Change(Arc<S>),
    Lost,
}

/// Gives what the feed hears to all who follow. The feed is opened for the first of them.
pub(super) struct Broadcaster<S> {
    db: Db,
    news: broadcast::Sender<Event<S>>,
    clock: Arc<WriteClock>,
    listening: Mutex<ListenTask>,
}

#[derive(Default)]
struct ListenTask {
    task: Option<JoinHandle<()>>,
    /// When somebody tried who can do without.
    tried_at: Option<Instant>,
}

/// How long who can do without the feed waits for it, and then nobody tries again.
const TRY_FOR: Duration = Duration::from_secs(1);
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(5);

impl<S: Change> Broadcaster<S> {
    pub(super) fn new(db: Db) -> Self {
        Self { db, news: broadcast::Sender::new(QUEUE_LENGTH), clock: Arc::default(), listening: Mutex::default() }
    }

    /// All changes that are kept from now on.
    ///
    /// # Errors
    /// `UNAVAILABLE` where the database cannot be listened to.
    pub(super) async fn follow(&self) -> Result<Subscriber<S>> {
        self.listen(&mut *self.listening.lock().await).await?;
        Ok(Subscriber { news: self.news.subscribe() })
    }

    async fn listen(&self, listening: &mut ListenTask) -> Result<()> {
        if listening.task.as_ref().is_none_or(JoinHandle::is_finished) {
            let feed = self.db.feed().await?;
            self.clock.set_connected(true);
            listening.task = Some(tokio::spawn(listen(feed, self.clock.clone(), self.news.clone())));
        }
        Ok(())
    }

    /// What is done until the guard is dropped may write.
    pub(super) fn writing(&self) -> WriteGuard<'_> {
        WriteGuard(&self.clock)
    }
}

/// Whatever becomes of a write, what was read before it is old.
pub(super) struct WriteGuard<'h>(&'h WriteClock);

impl Drop for WriteGuard<'_> {
    fn drop(&mut self) {
        self.0.heard();
    }
}

impl<S: Change> Broadcaster<S> {
    /// Sees to it that writes are heard of, if that can be.
    async fn open(&self) {
        if self.clock.is_open() {
            return;
        }
        // Who comes while another tries goes on without.
        let Ok(mut listening) = self.listening.try_lock() else { return };
        if listening.tried_at.is_some_and(|at| at.elapsed() < TRY_AGAIN_AFTER) {
            return;
        }
        listening.tried_at = Some(Instant::now());
        let cause = match tokio::time::timeout(TRY_FOR, self.listen(&mut listening)).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.source_chain(),
            Err(_) => "no connection in time".to_owned(),
        };
        warn!(cause, "writes of other nodes are not heard of: nothing is kept for links");
    }
}

#[async_trait::async_trait]
impl<S: Change> Invalidation for Broadcaster<S> {
    async fn writes(&self) -> Option<u64> {
        self.open().await;
        self.clock.writes()
    }
}

impl<S> Drop for Broadcaster<S> {
    fn drop(&mut self) {
        if let Some(task) = self.listening.get_mut().task.take() {
            task.abort();
        }
    }
}

/// Whatever ends the listening, nothing is heard from then on.
struct ListenGuard(Arc<WriteClock>);

impl Drop for ListenGuard {
    fn drop(&mut self) {
        self.0.set_connected(false);
    }
}

async fn listen<S: Change>(mut feed: Feed, clock: Arc<WriteClock>, news: broadcast::Sender<Event<S>>) {
    let _deaf = ListenGuard(clock.clone());
    loop {
        let heard = feed.next().await;
        match heard {
            FeedEvent::Message(_) => clock.heard(),
            FeedEvent::Lost => clock.set_connected(true),
            FeedEvent::Disconnected => clock.set_connected(false),
        }
        match heard {
            FeedEvent::Message(message) => match serde_json::from_str::<Option<Vec<S>>>(&message) {
                Ok(None) => drop(news.send(Event::Lost)),
                Ok(Some(changes)) => {
                    for change in changes {
                        let _ = news.send(Event::Change(Arc::new(change)));
                    }
                }
                Err(error) => {
                    // Another release may announce what this one does not know.
                    warn!(%error, "an announcement cannot be read");
                    let _ = news.send(Event::Lost);
                }
            },
            FeedEvent::Lost | FeedEvent::Disconnected => drop(news.send(Event::Lost)),
        }
    }
}

/// The changes for one who follows.
pub(super) struct Subscriber<S> {
    news: broadcast::Receiver<Event<S>>,
}

impl<S: Change> Subscriber<S> {
    /// The next change.
    ///
    /// # Errors
    /// `EVENTS_LOST` where some were missed: the follower was too slow, or the database was not heard for a while.
    pub(super) async fn next(&mut self) -> Result<Arc<S>> {
        match self.news.recv().await {
            Ok(Event::Change(change)) => Ok(change),
            Ok(Event::Lost) | Err(_) => {
                Err(Error::new(Code::EventsLost, "changes were missed: read again, and follow anew"))
            }
        }
    }
}
