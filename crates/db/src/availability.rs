//! Whether a database answers, as observed on a connection that is used for nothing else.
//!
//! The pool cannot tell: all of its connections may be busy, and a statement of a database that is frozen looks like one
//! that takes long. Waits and statements end once the database is lost, so that requests fail soon and with the right code.
use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use sqlx::{ConnectOptions, Connection, Executor};
use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout},
};
use tracing::warn;

/// Interval of probes.
const PROBE_INTERVAL: Duration = Duration::from_millis(500);

/// Interval of probes while the database does not answer.
const RETRY_INTERVAL: Duration = Duration::from_millis(250);

/// Interval at which waits and statements check whether the database is lost.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// The state of one database. It counts as available until a probe has failed; without [`Availability::monitor`] always.
#[derive(Debug)]
pub(super) struct Availability {
    /// Time limit of a probe, which a busy database needs far less than.
    probe_timeout: Duration,
    is_lost: AtomicBool,
    lost_since: Mutex<Option<Instant>>,
    /// Notified when a statement has failed because of its connection.
    suspected: Notify,
}

/// Why a wait or a statement ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interruption {
    /// The database does not answer.
    Lost,
    /// The time limit is over.
    TimedOut,
}

impl Availability {
    pub(super) fn new(probe_timeout: Duration) -> Arc<Self> {
        let (is_lost, lost_since, suspected) = (AtomicBool::new(false), Mutex::default(), Notify::new());
        Arc::new(Self { probe_timeout, is_lost, lost_since, suspected })
    }

    /// Whether the database does not answer.
    pub(super) fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::Relaxed)
    }

    /// Probes soon, because a statement has failed.
    pub(super) fn suspect(&self) {
        self.suspected.notify_one();
    }

    /// Runs `work` until it is complete, the database is lost or the time limit is over.
    ///
    /// The future is pinned by the caller: it is large, and would be stored twice if it were moved.
    pub(super) async fn within<T>(
        &self,
        limit: Duration,
        mut work: Pin<&mut impl Future<Output = T>>,
    ) -> Result<T, Interruption> {
        let start = Instant::now();
        loop {
            if self.is_lost() {
                return Err(Interruption::Lost);
            }
            let rest = limit.saturating_sub(start.elapsed());
            // The state is polled: a statement that completes sooner, as nearly all do, costs nothing more than its timer.
            if let Ok(output) = timeout(rest.min(CHECK_INTERVAL), work.as_mut()).await {
                return Ok(output);
            }
            if start.elapsed() >= limit {
                return Err(Interruption::TimedOut);
            }
        }
    }

    /// Probes the database until dropped, with `sql` on a connection of its own. `database` is its name in the log.
    pub(super) fn monitor<'a, C>(
        &'a self,
        database: &'static str,
        options: C::Options,
        sql: &'static str,
    ) -> BoxFuture<'a, ()>
    where
        C: Connection + 'a,
        for<'c> &'c mut C: Executor<'c>,
    {
        let mut probe: Probe<C> = Probe { options, sql, connection: None };
        Box::pin(async move {
            loop {
                let failure = match timeout(self.probe_timeout, probe.run()).await {
                    Ok(Ok(())) => None,
                    Ok(Err(error)) => Some(error.to_string()),
                    Err(_) => Some("no response in time".to_owned()),
                };
                self.record(database, failure);
                match self.is_lost() {
                    true => sleep(RETRY_INTERVAL).await,
                    // A notification ends the pause.
                    false => drop(timeout(PROBE_INTERVAL, self.suspected.notified()).await),
                }
            }
        })
    }

    /// Records a probe, and logs a change of the state.
    fn record(&self, database: &'static str, failure: Option<String>) {
        self.is_lost.store(failure.is_some(), Ordering::Relaxed);
        let mut lost_since = self.lost_since.lock().unwrap_or_else(PoisonError::into_inner);
        match (failure, *lost_since) {
            (Some(cause), None) => {
                *lost_since = Some(Instant::now());
                warn!(database, cause, "the database does not answer");
            }
            (None, Some(since)) => {
                *lost_since = None;
                let outage_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
                warn!(database, outage_ms, "the database answers again");
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
    }
}

/// A statement that any database answers at once, and its connection.
struct Probe<C: Connection> {
    options: C::Options,
    sql: &'static str,
    connection: Option<C>,
}

impl<C> Probe<C>
where
    C: Connection,
    for<'c> &'c mut C: Executor<'c>,
{
    async fn run(&mut self) -> sqlx::Result<()> {
        // A connection can be closed although the database answers, so a failure is followed by a new connection.
        if let Some(mut connection) = self.connection.take()
            && connection.execute(self.sql).await.is_ok()
        {
            self.connection = Some(connection);
            return Ok(());
        }
        let mut connection = self.options.connect().await?;
        connection.execute(self.sql).await?;
        self.connection = Some(connection);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, pin::pin};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn work_ends_at_its_limit() {
        let start = Instant::now();

        let interrupted = Availability::new(LIMIT).within(LIMIT, pin!(pending::<()>())).await;

        assert_eq!((interrupted, start.elapsed()), (Err(Interruption::TimedOut), LIMIT));
    }

    #[tokio::test(start_paused = true)]
    async fn work_ends_when_the_database_is_lost_and_starts_again_when_it_returns() {
        let availability = Availability::new(LIMIT);
        let start = Instant::now();
        let loss = async {
            sleep(Duration::from_secs(2)).await;
            availability.record("test", Some("gone".to_owned()));
        };

        let endless = pin!(pending::<()>());
        let (interrupted, ()) = tokio::join!(availability.within(LIMIT, endless), loss);

        assert_eq!(interrupted, Err(Interruption::Lost));
        assert!(start.elapsed() <= Duration::from_secs(2) + CHECK_INTERVAL);
        assert_eq!(availability.within(LIMIT, pin!(async {})).await, Err(Interruption::Lost));
        availability.record("test", None);
        assert_eq!(availability.within(LIMIT, pin!(async {})).await, Ok(()));
    }
}
