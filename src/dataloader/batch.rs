//! The keys that one statement will answer, and those who wait for them.
use std::{
    any::Any,
    collections::HashMap,
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, join_all},
};
use tokio::sync::oneshot;

use super::{FromRows, RecordedLoads, Relation, rounds::ExecutedStatement};
use crate::{
    db::{Db, Projection, Record, Row},
    error::{Error, Result},
};

/// What an ask is answered with: a value for each of its keys, in their order.
pub(super) type BatchResult<R> = Result<Vec<<R as Relation>::Value>>;

/// A batch whose relation is not known to the round that runs it.
pub(super) trait PendingBatch: Send {
    fn relation(&self) -> &'static str;
    /// How many statements it will take: one, unless there are more keys than one may have.
    fn statements(&self, keys_max: usize) -> usize;
    /// Runs the statements. What was answered is kept until [`PendingBatch::fulfill`].
    fn run<'a>(&'a mut self, db: &'a Db, keys_max: usize) -> BoxFuture<'a, Vec<ExecutedStatement>>;
    /// Takes the answers from what was kept, where all of them are there; then no statement is run.
    fn take_from(&mut self, kept: &RecordedLoads) -> bool;
    /// Has what was answered kept. False where it failed.
    fn keep(&self, loads: &mut RecordedLoads) -> bool;
    /// Answers everyone.
    fn fulfill(self: Box<Self>);
    /// Answers everyone with `error`.
    fn fail(self: Box<Self>, error: Error);
    fn as_any(&mut self) -> &mut dyn Any;
}

/// The keys asked of one relation in one round.
pub(super) struct Batch<R: Relation> {
    pub(super) relation: R,
    /// What those who ask want of a row.
    columns: Projection,
    keys: Vec<R::Key>,
    places: HashMap<R::Key, usize>,
    waiters: Vec<Waiter<R>>,
    /// Nothing until they are there: before the batch is run where they are those of a request before.
    answers: Option<Result<Vec<R::Value>>>,
    /// Bytes of memory that the answers take, about.
    bytes: usize,
}

struct Waiter<R: Relation> {
    places: Vec<usize>,
    sender: oneshot::Sender<BatchResult<R>>,
}

impl<R: Relation> Batch<R> {
    pub(super) fn new(relation: R) -> Self {
        Self {
            relation,
            columns: Projection::NONE,
            keys: Vec::new(),
            places: HashMap::new(),
            waiters: Vec::new(),
            answers: None,
            bytes: 0,
        }
    }

    /// Adds keys, and columns to read; the receiver is answered at the end of the round.
    pub(super) fn ask(&mut self, columns: Projection, keys: Vec<R::Key>) -> oneshot::Receiver<BatchResult<R>> {
        self.columns = self.columns.union(columns);
        let places = keys.into_iter().map(|key| self.place(key)).collect();
        let (sender, receiver) = oneshot::channel();
        self.waiters.push(Waiter { places, sender });
        receiver
    }

    fn place(&mut self, key: R::Key) -> usize {
        if let Some(place) = self.places.get(&key) {
            return *place;
        }
        let place = self.keys.len();
        self.keys.push(key.clone());
        self.places.insert(key, place);
        place
    }

    /// Whether any value is asked for more than once, so that it must be cloned.
    fn is_shared(&self) -> bool {
        self.waiters.iter().map(|ask| ask.places.len()).sum::<usize>() > self.keys.len()
    }
}

impl<R: Relation> PendingBatch for Batch<R> {
    fn relation(&self) -> &'static str {
        R::NAME
    }

    fn statements(&self, keys_max: usize) -> usize {
        if self.answers.is_some() { 0 } else { self.keys.len().div_ceil(keys_max) }
    }

    fn run<'a>(&'a mut self, db: &'a Db, keys_max: usize) -> BoxFuture<'a, Vec<ExecutedStatement>> {
        if self.answers.is_some() {
            return Box::pin(std::future::ready(Vec::new()));
        }
        Box::pin(async move {
            let chunks =
                self.keys.chunks(keys_max).map(|keys| guarded::<R>(fetch(db, &self.relation, self.columns, keys)));
            let mut statements = Vec::new();
            let mut values: Result<Vec<R::Value>> = Ok(vec![R::Value::default(); self.keys.len()]);
            for (keys, fetched) in self.keys.chunks(keys_max).zip(join_all(chunks).await) {
                let rows = fetched.rows;
                statements.push(ExecutedStatement {
                    relation: R::NAME,
                    keys: keys.len(),
                    rows: rows.as_ref().map_or(0, Vec::len),
                    time: fetched.time,
                });
                self.bytes += fetched.bytes;
                match (&mut values, rows) {
                    (Ok(values), Ok(rows)) => {
                        // Most often the rows of a key follow each other.
                        let mut last: Option<(R::Key, Option<usize>)> = None;
                        for (key, row) in rows {
                            let place = match last {
                                Some((last, place)) if last == key => place,
                                _ => self.places.get(&key).copied(),
                            };
                            if let Some(place) = place {
                                values[place].push(row);
                            }
                            last = Some((key, place));
                        }
                    }
                    (Ok(_), Err(error)) => values = Err(error),
                    (Err(_), _) => {}
                }
            }
            self.answers = Some(values);
            statements
        })
    }

    fn take_from(&mut self, kept: &RecordedLoads) -> bool {
        self.answers = kept.find(&self.relation, self.columns, &self.keys).map(Ok);
        self.answers.is_some()
    }

    fn keep(&self, loads: &mut RecordedLoads) -> bool {
        let Some(Ok(values)) = &self.answers else { return false };
        if !R::IS_CACHEABLE {
            return true;
        }
        let values = self.keys.iter().cloned().zip(values.iter().cloned()).collect();
        loads.add(self.relation.clone(), self.columns, values, self.bytes);
        true
    }

    fn fulfill(self: Box<Self>) {
        let shared = self.is_shared();
        let mut values = match self.answers {
            Some(Ok(values)) => values,
            Some(Err(error)) => return fail(self.waiters, &error),
            None => return fail(self.waiters, &Error::internal("a batch was not run")),
        };
        for ask in self.waiters {
            let answer = ask.places.into_iter().map(|place| match shared {
                true => values[place].clone(),
                false => std::mem::take(&mut values[place]),
            });
            // Whoever went away does not need the answer.
            let _ = ask.sender.send(Ok(answer.collect()));
        }
    }

    fn fail(self: Box<Self>, error: Error) {
        fail(self.waiters, &error);
    }

    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}

fn fail<R: Relation>(waiters: Vec<Waiter<R>>, error: &Error) {
    for ask in waiters {
        let _ = ask.sender.send(Err(error.clone()));
    }
}

struct Fetched<R: Relation> {
    rows: Result<Vec<(R::Key, R::Row)>>,
    bytes: usize,
    time: Duration,
}

/// The rows, and how many bytes of memory they take, about.
async fn fetch<R: Relation>(
    db: &Db,
    relation: &R,
    columns: Projection,
    keys: &[R::Key],
) -> Result<(Vec<(R::Key, R::Row)>, usize)> {
    let mut sql = db.sql();
    sql.select(columns);
    relation.statement(keys, &mut sql);
    let mut bytes = 0;
    let read = |row: &mut Row<'_>| {
        row.select(columns);
        let read = (R::Key::read(row)?, relation.read(row)?);
        bytes += row.bytes() + ROW_BYTES;
        Ok(read)
    };
    let rows = db.fetch_with(R::NAME, sql, read).await?;
    Ok((rows, bytes))
}

/// Bytes of memory that a row takes beside its values, about.
const ROW_BYTES: usize = 256;

/// Times the work, and turns a panic in it into a fault of those who asked.
async fn guarded<R: Relation>(work: impl Future<Output = Result<(Vec<(R::Key, R::Row)>, usize)>>) -> Fetched<R> {
    let start = Instant::now();
    let fetched = match AssertUnwindSafe(work).catch_unwind().await {
        Ok(fetched) => fetched,
        Err(panic) => Err(Error::panicked(R::NAME, &*panic)),
    };
    let (rows, bytes) = match fetched {
        Ok((rows, bytes)) => (Ok(rows), bytes),
        Err(error) => (Err(error), 0),
    };
    Fetched { rows, bytes, time: start.elapsed() }
}
