//! The views of links: counted in memory, and added to the database periodically.
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use uuid::Uuid;

use crate::{
    db::{Db, RowTable},
    error::Result,
    row_table, statement,
};

/// Counts views that are not in the database yet. Cheap to clone: all clones count together.
#[derive(Clone, Debug, Default)]
pub struct ViewCounter(Arc<Mutex<HashMap<Uuid, Counter>>>);

/// The views of one link, shared with the rows that were read of it.
type Counter = Arc<Mutex<Counts>>;

#[derive(Debug, Default)]
struct Counts {
    /// Views that are not in the database yet.
    pending: i64,
    /// All views since the counter was created.
    total: i64,
    /// The highest count that was reported.
    last_reported: i64,
}

/// The views of a link: the count in the database when its row was read, and the views on this node since.
#[derive(Clone, Debug)]
pub struct ViewCount {
    counter: Counter,
    count_at_read: i64,
    total_at_read: i64,
}

impl ViewCount {
    /// Counts a view, and returns the number of views with it.
    pub fn view(&self) -> i64 {
        let mut counts = lock(&self.counter);
        counts.pending += 1;
        counts.total += 1;
        // A row that was read while views were written may lack them; the count never decreases.
        let count = self.count_at_read + counts.total - self.total_at_read;
        counts.last_reported = count.max(counts.last_reported + 1);
        counts.last_reported
    }
}

/// Counters are equal if they count together.
impl PartialEq for ViewCounter {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for ViewCounter {}

impl ViewCounter {
    /// The count of a link with this number of views in the database.
    pub fn since(&self, link: Uuid, in_database: i64) -> ViewCount {
        let counter = lock(&self.0).entry(link).or_default().clone();
        let counts = lock(&counter);
        let (count_at_read, total_at_read) = (in_database + counts.pending, counts.total);
        drop(counts);
        ViewCount { counter, count_at_read, total_at_read }
    }

    /// Adds the pending views to those in the database: one statement, or none without views. Views that could not be
    /// written stay pending.
    ///
    /// # Errors
    /// The statement fails.
    pub async fn flush(&self, db: &Db) -> Result<()> {
        let mut taken = Taken { counter: self, counts: self.take() };
        if taken.counts.is_empty() {
            return Ok(());
        }
        write(db, &taken.counts).await?;
        taken.counts.clear();
        Ok(())
    }

    /// The pending views. Counters without a row in use are dropped.
    fn take(&self) -> Vec<(Uuid, i64)> {
        let mut taken = Vec::new();
        lock(&self.0).retain(|link, counter| {
            let pending = std::mem::take(&mut lock(counter).pending);
            if pending > 0 {
                taken.push((*link, pending));
            }
            Arc::strong_count(counter) > 1
        });
        taken
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Views that are being written. Those that were not written become pending again.
struct Taken<'v> {
    counter: &'v ViewCounter,
    counts: Vec<(Uuid, i64)>,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let mut counters = lock(&self.counter.0);
        for (link, count) in self.counts.drain(..) {
            lock(counters.entry(link).or_default()).pending += count;
        }
    }
}

row_table! {
    struct NewViews { id: Uuid, n: i64 }
}

async fn write(db: &Db, views: &[(Uuid, i64)]) -> Result<()> {
    let rows = RowTable::of(views.iter().map(|(id, count)| NewViews { id: *id, n: *count }));
    let mut tx = db.begin().await?;
    let sql = statement!(
        tx,
        "update share_links as l
         set view_count = l.view_count + r.n
         from {rows} r
         where l.id = r.id {exempt: runs with the rights of the server}",
        rows = &rows,
    );
    tx.execute("share_links.views", sql).await?;
    tx.commit().await
}
