//! The connection that a request keeps, and connections that do not outlive the statement of a request that went away.
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use sqlx::{Connection, PgConnection};
use tokio::{sync::Notify, time::timeout};

use super::pool::{Leased, Pool};

/// How long a statement that nobody waits for may go on before its connection is closed.
const RECOVERY: Duration = Duration::from_millis(100);

/// A pool, and the connection that one request keeps between its statements.
///
/// A request that took a connection for each of its statements would wait as often, and be overtaken as often. Statements
/// that run beside each other take further ones where there are any. None waits for the pool alone while the request keeps
/// a connection: many requests would hold what all wait for.
pub(super) struct Session {
    pool: Arc<Pool>,
    kept: Mutex<Kept>,
    /// Is told when the kept connection can be used again, or is gone.
    free: Notify,
}

/// What has become of the connection that a request keeps.
#[derive(Default)]
enum Kept {
    /// There is none.
    #[default]
    None,
    /// A statement uses it, or waits for one to keep.
    InUse,
    Idle(Leased),
}

/// A connection lent to one statement. Unless it is given back, its statement is ended.
pub(super) struct Lent {
    leased: Option<Leased>,
    place: Option<Place>,
}

/// The place of the kept connection, which whoever has it fills again.
struct Place(Option<Arc<Session>>);

impl Session {
    pub(super) fn new(pool: Arc<Pool>) -> Arc<Self> {
        Arc::new(Self { pool, kept: Mutex::default(), free: Notify::new() })
    }

    /// A connection for one statement: the kept one where it is idle.
    pub(super) async fn lend(self: &Arc<Self>) -> sqlx::Result<Lent> {
        loop {
            let free = self.free.notified();
            let kept = std::mem::replace(&mut *self.kept(), Kept::InUse);
            match kept {
                Kept::Idle(leased) => {
                    return Ok(Lent { leased: Some(leased), place: Some(Place(Some(self.clone()))) });
                }
                Kept::None => {
                    let place = Place(Some(self.clone()));
                    return Ok(Lent { leased: Some(self.pool.lease().await?), place: Some(place) });
                }
                Kept::InUse => {}
            }
            tokio::select! {
                biased;
                () = free => {}
                further = self.pool.lease_kept() => return Ok(Lent { leased: Some(further?), place: None }),
            }
        }
    }

    /// Gives the kept connection back to the pool.
    pub(super) fn end(&self) {
        let mut kept = self.kept();
        if let Kept::Idle(leased) = std::mem::take(&mut *kept) {
            leased.give_back();
        }
    }

    /// Ends the use of the kept connection, and tells those who wait.
    fn put(&self, next: Kept) {
        *self.kept() = next;
        self.free.notify_waiters();
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.end();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(session) = self.0.take() {
            session.put(Kept::None);
        }
    }
}

impl Lent {
    pub(super) fn connection(&mut self) -> &mut PgConnection {
        &mut self.leased.as_mut().expect("a lent connection is there until it is given back").connection
    }

    /// Gives the connection back after its statement has ended: to its request, or to the pool.
    pub(super) fn give_back(mut self) {
        let Some(leased) = self.leased.take() else { return };
        match self.place.take().and_then(|mut place| place.0.take()) {
            Some(session) => session.put(Kept::Idle(leased)),
            None => leased.give_back(),
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let Some(leased) = self.leased.take() else { return };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(recover(leased))),
            Err(_) => drop(leased.connection.detach()),
        }
    }
}

/// Waits a moment for the end of a statement that nobody waits for any more: most end sooner than a connection is opened.
/// A connection whose statement goes on is closed, which ends it.
async fn recover(mut leased: Leased) {
    match timeout(RECOVERY, leased.connection.ping()).await {
        Ok(Ok(())) => {}
        Ok(Err(_)) => leased.lost(),
        Err(_) => drop(leased.connection.detach()),
    }
}
