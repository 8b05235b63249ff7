//! Subscriptions: one feed of events for the process, and a bounded queue for each subscriber.
//!
//! A message of the feed is a JSON list of events. Each event is the root of an execution for every subscription whose
//! filter it passes, with rounds of its own.
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde::de::DeserializeOwned;
use tokio::{
    sync::{Mutex, broadcast},
    task::JoinHandle,
};
use tracing::warn;

use crate::{
    context::Context,
    error::{Code, Error, Result},
    object::{EmptyRoot, Object},
};

/// Events that are queued for one subscriber. A subscriber that falls further behind receives `EVENTS_LOST`.
const QUEUE_LENGTH: usize = 1_024;

/// The message sent instead of individual events when there are too many; subscribers receive `EVENTS_LOST`.
pub const OVERFLOW: &str = "null";

/// The root type of subscriptions: one event.
#[async_trait::async_trait]
pub trait Event: Object + DeserializeOwned {
    /// Returns whether the viewer of the request may see the event now, for the root field `field`.
    ///
    /// # Errors
    /// The error of a load.
    async fn is_visible(&self, field: &str, context: &Context) -> Result<bool>;
}

#[async_trait::async_trait]
impl Event for EmptyRoot {
    async fn is_visible(&self, _field: &str, _context: &Context) -> Result<bool> {
        Ok(false)
    }
}

/// Opens the feed of events.
#[async_trait::async_trait]
pub trait EventSource: Send + Sync {
    /// Opens the feed. It has every event from now on.
    ///
    /// # Errors
    /// `UNAVAILABLE` if it cannot be opened.
    async fn open(&self) -> Result<Box<dyn EventFeed>>;
}

/// A feed of events.
#[async_trait::async_trait]
pub trait EventFeed: Send {
    /// Waits for the next message.
    async fn next(&mut self) -> FeedMessage;
}

/// A message of the feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedMessage {
    /// A JSON list of events, or [`OVERFLOW`].
    Events(String),
    /// Events may have been lost; the feed is connected again.
    Lost,
    /// The feed is disconnected. It reconnects by itself.
    Disconnected,
}

#[derive(Clone, Debug)]
enum Queued<S> {
    Event(Arc<S>),
    Lost,
}

/// Distributes events to subscribers. The feed is opened for the first of them.
pub struct Broadcaster<S> {
    source: Arc<dyn EventSource>,
    queue: broadcast::Sender<Queued<S>>,
    clock: Arc<WriteClock>,
    listener: Mutex<Listener>,
}

#[derive(Default)]
struct Listener {
    task: Option<JoinHandle<()>>,
    /// The last attempt of a caller that does not depend on the feed.
    tried_at: Option<Instant>,
}

/// How long a caller that does not depend on the feed waits for it, and the pause before the next attempt.
const OPEN_TIMEOUT: Duration = Duration::from_secs(1);
const RETRY_AFTER: Duration = Duration::from_secs(5);

impl<S: Event> Broadcaster<S> {
    /// Distributes the events of `source`.
    pub fn new(source: Arc<dyn EventSource>) -> Self {
        Self { source, queue: broadcast::Sender::new(QUEUE_LENGTH), clock: Arc::default(), listener: Mutex::default() }
    }

    /// Subscribes to all events from now on.
    ///
    /// # Errors
    /// `UNAVAILABLE` if the feed cannot be opened.
    pub async fn subscribe(&self) -> Result<Subscriber<S>> {
        self.listen(&mut *self.listener.lock().await).await?;
        Ok(Subscriber { queue: self.queue.subscribe() })
    }

    async fn listen(&self, listener: &mut Listener) -> Result<()> {
        if listener.task.as_ref().is_none_or(JoinHandle::is_finished) {
            let feed = self.source.open().await?;
            self.clock.set_connected(true);
            listener.task = Some(tokio::spawn(listen(feed, self.clock.clone(), self.queue.clone())));
        }
        Ok(())
    }

    /// Returns a guard that invalidates cached reads when it is dropped, even if the write fails.
    pub fn write_guard(&self) -> WriteGuard {
        WriteGuard(self.clock.clone())
    }

    /// The number of writes so far; `None` if the writes of other processes are not received. Opens the feed if needed.
    pub async fn writes(&self) -> Option<u64> {
        self.open().await;
        self.clock.writes()
    }

    async fn open(&self) {
        if self.clock.is_connected() {
            return;
        }
        // A caller that finds another one opening the feed continues without it.
        let Ok(mut listener) = self.listener.try_lock() else { return };
        if listener.tried_at.is_some_and(|at| at.elapsed() < RETRY_AFTER) {
            return;
        }
        listener.tried_at = Some(Instant::now());
        let cause = match tokio::time::timeout(OPEN_TIMEOUT, self.listen(&mut listener)).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.source_chain(),
            Err(_) => "no connection in time".to_owned(),
        };
        warn!(cause, "the change feed is not available; loads are not cached");
    }
}

impl<S> Drop for Broadcaster<S> {
    fn drop(&mut self) {
        if let Some(task) = self.listener.get_mut().task.take() {
            task.abort();
        }
    }
}

/// Counts the writes that this process knows of, for caches: a value that was read at one count is stale at another.
#[derive(Debug, Default)]
pub struct WriteClock {
    writes: AtomicU64,
    is_connected: AtomicBool,
}

impl WriteClock {
    /// Counts a write, or something that may have been one.
    fn bump(&self) {
        self.writes.fetch_add(1, Ordering::AcqRel);
    }

    /// Sets whether the writes of other processes are received from now on.
    fn set_connected(&self, is_connected: bool) {
        self.is_connected.store(is_connected, Ordering::Release);
        self.bump();
    }

    fn is_connected(&self) -> bool {
        self.is_connected.load(Ordering::Acquire)
    }

    fn writes(&self) -> Option<u64> {
        let writes = self.writes.load(Ordering::Acquire);
        self.is_connected().then_some(writes)
    }
}

/// Invalidates cached reads when it is dropped.
pub struct WriteGuard(Arc<WriteClock>);

impl Drop for WriteGuard {
    fn drop(&mut self) {
        self.0.bump();
    }
}

/// Marks the clock as disconnected when listening ends, for whatever reason.
struct ListenGuard(Arc<WriteClock>);

impl Drop for ListenGuard {
    fn drop(&mut self) {
        self.0.set_connected(false);
    }
}

async fn listen<S: Event>(mut feed: Box<dyn EventFeed>, clock: Arc<WriteClock>, queue: broadcast::Sender<Queued<S>>) {
    let _guard = ListenGuard(clock.clone());
    loop {
        let message = feed.next().await;
        match message {
            FeedMessage::Events(_) => clock.bump(),
            FeedMessage::Lost => clock.set_connected(true),
            FeedMessage::Disconnected => clock.set_connected(false),
        }
        match message {
            FeedMessage::Events(message) => match serde_json::from_str::<Option<Vec<S>>>(&message) {
                Ok(None) => drop(queue.send(Queued::Lost)),
                Ok(Some(events)) => {
                    for event in events {
                        let _ = queue.send(Queued::Event(Arc::new(event)));
                    }
                }
                Err(error) => {
                    // Another release may send events that this one does not know.
                    warn!(%error, "a message of the change feed cannot be read");
                    let _ = queue.send(Queued::Lost);
                }
            },
            FeedMessage::Lost | FeedMessage::Disconnected => drop(queue.send(Queued::Lost)),
        }
    }
}

/// The queue of one subscriber.
pub struct Subscriber<S> {
    queue: broadcast::Receiver<Queued<S>>,
}

impl<S: Event> Subscriber<S> {
    /// Waits for the next event.
    ///
    /// # Errors
    /// `EVENTS_LOST` if the subscriber was too slow, or the feed was disconnected for a while.
    pub async fn next(&mut self) -> Result<Arc<S>> {
        match self.queue.recv().await {
            Ok(Queued::Event(event)) => Ok(event),
            Ok(Queued::Lost) | Err(_) => {
                Err(Error::new(Code::EventsLost, "events were lost: refetch, and subscribe again"))
            }
        }
    }
}
