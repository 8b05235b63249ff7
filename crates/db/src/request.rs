//! Connections of one request: one that is pinned to the request, and further ones for concurrent statements.
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use sqlx::{Connection, PgConnection};
use tokio::{sync::Notify, time::timeout};

use super::{
    availability::Availability,
    pool::{Lease, PostgresPool},
};

/// Time for which the statement of a cancelled request may continue before its connection is closed.
const CANCEL_TIMEOUT: Duration = Duration::from_millis(100);

/// The connections of one request.
///
/// A request that acquired a connection for each statement would queue as often, and later requests would overtake it each
/// time. So the first connection stays pinned to the request between its statements. Concurrent statements use further
/// connections if any are free. A request that has a pinned connection never depends on the pool to make progress: otherwise
/// many requests could each hold a connection and wait for another one.
pub(super) struct RequestConnections {
    pool: Arc<PostgresPool>,
    pinned: Mutex<PinnedSlot>,
    /// Notified when the slot of the pinned connection changes.
    changed: Notify,
}

/// The slot of the pinned connection.
#[derive(Default)]
enum PinnedSlot {
    /// There is no connection.
    #[default]
    Empty,
    /// A statement uses the connection, or waits for one to pin.
    Busy,
    Idle(Lease),
}

/// A connection for one statement. If it is dropped without [`PooledConnection::release`], its statement is cancelled.
pub(super) struct PooledConnection {
    lease: Option<Lease>,
    slot: Option<SlotGuard>,
}

/// Empties the pinned slot when it is dropped, unless the connection was released to the slot.
struct SlotGuard(Option<Arc<RequestConnections>>);

impl RequestConnections {
    pub(super) fn new(pool: Arc<PostgresPool>) -> Arc<Self> {
        Arc::new(Self { pool, pinned: Mutex::default(), changed: Notify::new() })
    }

    /// Whether the database answers.
    pub(super) fn availability(&self) -> &Availability {
        self.pool.availability()
    }

    /// Acquires a connection for one statement: the pinned one if it is idle.
    pub(super) async fn acquire(self: &Arc<Self>) -> sqlx::Result<PooledConnection> {
        loop {
            let changed = self.changed.notified();
            let slot = std::mem::replace(&mut *self.pinned(), PinnedSlot::Busy);
            let guard = || Some(SlotGuard(Some(self.clone())));
            match slot {
                PinnedSlot::Idle(lease) => return Ok(PooledConnection { lease: Some(lease), slot: guard() }),
                PinnedSlot::Empty => {
                    let slot = guard();
                    return Ok(PooledConnection { lease: Some(self.pool.acquire().await?), slot });
                }
                PinnedSlot::Busy => {}
            }
            // Takes the pinned connection or a base connection, whichever is free first.
            tokio::select! {
                biased;
                () = changed => {}
                lease = self.pool.acquire_base() => return Ok(PooledConnection { lease: Some(lease?), slot: None }),
            }
        }
    }

    /// Returns an idle pinned connection to the pool.
    pub(super) fn release_pinned(&self) {
        let mut pinned = self.pinned();
        if let PinnedSlot::Idle(lease) = std::mem::take(&mut *pinned) {
            lease.release();
        }
    }

    fn set_pinned(&self, slot: PinnedSlot) {
        *self.pinned() = slot;
        self.changed.notify_waiters();
    }

    fn pinned(&self) -> MutexGuard<'_, PinnedSlot> {
        self.pinned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for RequestConnections {
    fn drop(&mut self) {
        self.release_pinned();
    }
}

impl Drop for SlotGuard {
    fn drop(&mut self) {
        if let Some(connections) = self.0.take() {
            connections.set_pinned(PinnedSlot::Empty);
        }
    }
}

impl PooledConnection {
    pub(super) fn connection(&mut self) -> &mut PgConnection {
        &mut self.lease.as_mut().expect("the lease is taken by release and drop only").connection
    }

    /// Discards a connection that the server has closed.
    pub(super) fn discard(mut self) {
        if let Some(lease) = self.lease.take() {
            lease.discard();
        }
    }

    /// Returns the connection after its statement has ended, to the request or to the pool.
    pub(super) fn release(mut self) {
        let Some(lease) = self.lease.take() else { return };
        match self.slot.take().and_then(|mut slot| slot.0.take()) {
            Some(connections) => connections.set_pinned(PinnedSlot::Idle(lease)),
            None => lease.release(),
        }
    }
}

impl Drop for PooledConnection {
    fn drop(&mut self) {
        let Some(lease) = self.lease.take() else { return };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(cancel(lease))),
            Err(_) => drop(lease.connection.detach()),
        }
    }
}

/// Waits briefly for an abandoned statement to end: most statements end sooner than a new connection is opened. Otherwise
/// closes the connection, which makes the server cancel the statement.
async fn cancel(mut lease: Lease) {
    match timeout(CANCEL_TIMEOUT, lease.connection.ping()).await {
        Ok(Ok(())) => {}
        Ok(Err(_)) => lease.discard(),
        Err(_) => drop(lease.connection.detach()),
    }
}
