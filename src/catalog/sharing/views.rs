//! How often links are opened: counted in the process, and added up in the database now and then.
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use uuid::Uuid;

use crate::{
    db::{
        Cell,
        CellType::{self, Id, Int},
        Db,
    },
    error::Result,
};

/// Views that are not in the database yet. Cheap to clone: all clones count together.
#[derive(Clone, Debug, Default)]
pub struct Views(Arc<Mutex<HashMap<Uuid, Counter>>>);

/// Counts the views of one link; whoever holds rows of it holds the counter.
type Counter = Arc<Mutex<Counts>>;

#[derive(Debug, Default)]
struct Counts {
    /// Not in the database yet.
    waiting: i64,
    /// All that this counter has seen.
    seen: i64,
    /// The highest count that was told.
    told: i64,
}

/// How often a link was opened: what the database had when its row was read, and what this node has seen since.
#[derive(Clone, Debug)]
pub struct ViewCount {
    counter: Counter,
    read: i64,
    seen_at_read: i64,
}

impl ViewCount {
    /// Counts a view, and returns how many there are with it.
    pub fn view(&self) -> i64 {
        let mut counts = lock(&self.counter);
        counts.waiting += 1;
        counts.seen += 1;
        // A row that was read while views were being written may lack them: what was told before, and this one, is sure.
        counts.told = (self.read + counts.seen - self.seen_at_read).max(counts.told + 1);
        counts.told
    }
}

/// Views are the same where they are counted together.
impl PartialEq for Views {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Views {}

impl Views {
    /// The count of a link of which the database has so many views.
    pub fn since(&self, link: Uuid, in_database: i64) -> ViewCount {
        let counter = lock(&self.0).entry(link).or_default().clone();
        let counts = lock(&counter);
        let (read, seen_at_read) = (in_database + counts.waiting, counts.seen);
        drop(counts);
        ViewCount { counter, read, seen_at_read }
    }

    /// Adds the views to those in the database, in one statement; none where there are none. Views that could not be
    /// written wait for the next time.
    ///
    /// # Errors
    /// That of the database.
    pub async fn flush(&self, db: &Db) -> Result<()> {
        let mut taken = Taken { views: self, counts: self.take() };
        if taken.counts.is_empty() {
            return Ok(());
        }
        write(db, &taken.counts).await?;
        taken.counts.clear();
        Ok(())
    }

    /// What waits; links of which nobody holds a row are not counted any more.
    fn take(&self) -> Vec<(Uuid, i64)> {
        let mut taken = Vec::new();
        lock(&self.0).retain(|link, counter| {
            let waiting = std::mem::take(&mut lock(counter).waiting);
            if waiting > 0 {
                taken.push((*link, waiting));
            }
            Arc::strong_count(counter) > 1
        });
        taken
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts that are being written; what is left of them waits again.
struct Taken<'v> {
    views: &'v Views,
    counts: Vec<(Uuid, i64)>,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let mut counters = lock(&self.views.0);
        for (link, count) in self.counts.drain(..) {
            lock(counters.entry(link).or_default()).waiting += count;
        }
    }
}

async fn write(db: &Db, views: &[(Uuid, i64)]) -> Result<()> {
    const COLUMNS: &[(&str, CellType)] = &[("id", Id), ("n", Int)];
    let rows: Vec<Vec<Cell>> = views.iter().map(|(id, count)| vec![Cell::Id(*id), Cell::Int(*count)]).collect();
    let mut tx = db.begin().await?;
    let mut sql = tx.sql();
    sql.push("update share_links as l set view_count = l.view_count + r.n from ").row_table(COLUMNS, &rows);
    sql.push(" r where l.id = r.id");
    tx.execute("share_links.views", sql).await?;
    tx.commit().await
}
