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
pub struct Views(Arc<Mutex<HashMap<Uuid, i64>>>);

impl Views {
    /// Counts a view of a link, and returns how many of it wait.
    pub fn count(&self, link: Uuid) -> i64 {
        let mut waiting = self.waiting();
        let count = waiting.entry(link).or_default();
        *count += 1;
        *count
    }

    /// Adds the views to those in the database, in one statement; none where there are none. Views that could not be
    /// written wait for the next time.
    ///
    /// # Errors
    /// That of the database.
    pub async fn flush(&self, db: &Db) -> Result<()> {
        let taken = std::mem::take(&mut *self.waiting());
        if taken.is_empty() {
            return Ok(());
        }
        let mut taken = Taken { views: self, counts: taken.into_iter().collect() };
        write(db, &taken.counts).await?;
        taken.counts.clear();
        Ok(())
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<Uuid, i64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts that are being written; what is left of them waits again.
struct Taken<'v> {
    views: &'v Views,
    counts: Vec<(Uuid, i64)>,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let mut waiting = self.views.waiting();
        for (link, count) in self.counts.drain(..) {
            *waiting.entry(link).or_default() += count;
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
