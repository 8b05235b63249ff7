//! Dispatches batches: all pending ones, whenever the execution cannot proceed without them.
use std::{
    any::Any,
    future::poll_fn,
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{self, Poll, Wake, Waker},
    time::{Duration, Instant},
};

use futures_util::future::join_all;

use super::{
    Loader,
    batch::{Batch, BatchResult, BatchRun, PendingBatch},
    recorded::{RecordedLoads, Recording},
};
use crate::{
    error::{Code, Error, Result},
    projection::Projection,
};

/// Limits of the loads of one request.
#[derive(Clone, Copy, Debug)]
pub struct LoadLimits {
    /// The maximum number of distinct keys of one call. A larger batch takes several calls, which the report shows.
    pub keys_max: usize,
    /// The maximum number of calls of one request; `None` is no limit.
    pub calls_max: Option<u32>,
    /// The error of a request that needs more calls.
    pub budget_error: fn(u32) -> Error,
}

impl Default for LoadLimits {
    /// 10,000 keys, any number of calls.
    fn default() -> Self {
        Self {
            keys_max: 10_000,
            calls_max: None,
            budget_error: |max| Error::new(Code::LimitExceeded, format!("the request needs more than {max} loads")),
        }
    }
}

/// The loads of a request so far.
#[derive(Clone, Debug, Default)]
pub struct LoadReport {
    /// Rounds in which at least one batch function was called.
    pub rounds: u32,
    /// The time during which rounds ran.
    pub time: Duration,
    /// The calls, in the order of their rounds and, within one, by name.
    pub runs: Vec<BatchRun>,
    /// Batches that were taken from recorded loads.
    pub hits: u64,
    /// Batches that were not recorded, of a request whose loads are recorded or replayed.
    pub misses: u64,
}

/// The loads of one request.
///
/// Two fields that wait side by side share a round, and equal loaders share a call:
///
/// ```
/// use std::collections::HashMap;
///
/// use futures_util::future::join;
/// use gatherum_engine::{
///     BatchFn, Projection, Result, batch_loader,
///     loading::{LoadLimits, Rounds},
/// };
///
/// #[derive(Clone, Debug, PartialEq, Eq)]
/// struct Length;
///
/// impl BatchFn<&'static str, Result<usize>> for Length {
///     async fn load(&mut self, words: &[&'static str]) -> HashMap<&'static str, Result<usize>> {
///         words.iter().map(|word| (*word, Ok(word.len()))).collect()
///     }
/// }
///
/// batch_loader! {
///     Length: &'static str => usize, name: "Word.length", batch: |loader, _request| loader.clone()
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let rounds = Rounds::new(Box::new(()), LoadLimits::default());
/// let load = |words: &[&'static str]| rounds.load(Length, Projection::NONE, words.to_vec());
///
/// let (first, second) = rounds.drive(join(load(&["one", "three"]), load(&["three"]))).await;
///
/// assert_eq!((first.unwrap(), second.unwrap()), (vec![3, 5], vec![5]));
/// let report = rounds.report();
/// assert_eq!((report.rounds, report.runs.len(), report.runs[0].keys), (1, 1, 2));
/// # }
/// ```
pub struct Rounds {
    source: Box<dyn Any + Send + Sync>,
    limits: LoadLimits,
    loads: Mutex<Loads>,
}

#[derive(Default)]
struct Loads {
    pending: Vec<Box<dyn PendingBatch>>,
    report: LoadReport,
    is_budget_exceeded: bool,
    recording: Recording,
}

impl Loads {
    /// Records what a round has loaded, if the request is recorded.
    fn record(&mut self, batches: &[Box<dyn PendingBatch>]) {
        let Recording::Record(recorded) = &mut self.recording else { return };
        self.report.misses += batches.len() as u64;
        if !batches.iter().all(|batch| batch.record(recorded)) {
            self.recording = Recording::Off;
        }
    }
}

impl Rounds {
    /// Loads whose batch functions read from `source`, see [`LoadRequest::source`](super::LoadRequest::source).
    pub fn new(source: Box<dyn Any + Send + Sync>, limits: LoadLimits) -> Self {
        Self { source, limits, loads: Mutex::default() }
    }

    /// Loads the values of `keys`, in their order; they arrive at the end of the next round. No keys take no round.
    ///
    /// The rows have the columns of `projection`, and those that other fields need of the same loader.
    ///
    /// # Errors
    /// The error of the batch function; all waiters of the batch receive the same.
    pub async fn load<L: Loader>(&self, loader: L, projection: Projection, keys: Vec<L::Key>) -> Result<Vec<L::Value>> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let receiver = self.enqueue(loader, projection, keys);
        receiver.await.unwrap_or_else(|_| Err(Error::internal("a round ended without fulfilling a batch")))
    }

    fn enqueue<L: Loader>(
        &self,
        loader: L,
        projection: Projection,
        keys: Vec<L::Key>,
    ) -> tokio::sync::oneshot::Receiver<BatchResult<L>> {
        let mut loads = self.loads();
        for pending in &mut loads.pending {
            if let Some(batch) = pending.as_any().downcast_mut::<Batch<L>>()
                && batch.loader == loader
            {
                return batch.enqueue(projection, keys);
            }
        }
        let mut batch = Batch::new(loader);
        let receiver = batch.enqueue(projection, keys);
        loads.pending.push(Box::new(batch));
        receiver
    }

    /// Runs `work`, and dispatches a round each time that it waits for loads.
    pub async fn drive<F: Future>(&self, work: F) -> F::Output {
        let mut work = pin!(work);
        let waker = Arc::new(IdleWaker::default());
        loop {
            match self.poll_until_idle(work.as_mut(), &waker).await {
                Some(output) => return output,
                None => self.dispatch().await,
            }
        }
    }

    /// The output of `work`, or `None` once it waits and batches are pending.
    async fn poll_until_idle<F: Future>(
        &self,
        mut work: Pin<&mut F>,
        idle_waker: &Arc<IdleWaker>,
    ) -> Option<F::Output> {
        let waker = Waker::from(idle_waker.clone());
        poll_fn(|context| {
            *idle_waker.state() = WakeState::Quiet;
            if let Poll::Ready(output) = work.as_mut().poll(&mut task::Context::from_waker(&waker)) {
                return Poll::Ready(Some(output));
            }
            let has_pending = !self.loads().pending.is_empty();
            idle_waker.after_poll(has_pending, context.waker())
        })
        .await
    }

    /// Dispatches all pending batches and fulfills all waiters together: fulfilling them one by one would split the next
    /// round.
    async fn dispatch(&self) {
        let mut batches = std::mem::take(&mut self.loads().pending);
        batches.sort_by_key(|batch| batch.name());
        self.replay(&mut batches);
        if let Err(error) = self.check_budget(&batches) {
            batches.into_iter().for_each(|batch| batch.fail(error.clone()));
            return;
        }
        let start = Instant::now();
        let runs = join_all(batches.iter_mut().map(|batch| batch.run(&*self.source, self.limits.keys_max))).await;
        {
            let mut loads = self.loads();
            if runs.iter().any(|runs| !runs.is_empty()) {
                loads.report.rounds += 1;
                loads.report.time += start.elapsed();
            }
            loads.report.runs.extend(runs.into_iter().flatten());
            loads.record(&batches);
        }
        batches.into_iter().for_each(PendingBatch::fulfill);
    }

    /// Takes recorded values, if the request replays another one.
    fn replay(&self, batches: &mut [Box<dyn PendingBatch>]) {
        let mut loads = self.loads();
        let loads = &mut *loads;
        let Recording::Replay(recorded) = &loads.recording else { return };
        for batch in batches {
            let counter = if batch.replay(recorded) { &mut loads.report.hits } else { &mut loads.report.misses };
            *counter += 1;
        }
    }

    /// Records the loads from now on, for [`Rounds::take_recording`].
    pub fn record(&self) {
        let mut loads = self.loads();
        if matches!(loads.recording, Recording::Off) {
            loads.recording = Recording::Record(RecordedLoads::default());
        }
    }

    /// Takes values from the loads of an earlier, equal request instead of calling batch functions.
    pub fn replay_from(&self, recorded: Arc<RecordedLoads>) {
        self.loads().recording = Recording::Replay(recorded);
    }

    /// Discards the recording.
    pub fn discard_recording(&self) {
        let mut loads = self.loads();
        if matches!(loads.recording, Recording::Record(_)) {
            loads.recording = Recording::Off;
        }
    }

    /// The recorded loads; `None` if a load has failed or nothing was recorded.
    pub fn take_recording(&self) -> Option<RecordedLoads> {
        match std::mem::take(&mut self.loads().recording) {
            Recording::Record(recorded) => Some(recorded),
            Recording::Off | Recording::Replay(_) => None,
        }
    }

    fn check_budget(&self, batches: &[Box<dyn PendingBatch>]) -> Result<()> {
        let next = batches.iter().map(|batch| batch.calls(self.limits.keys_max)).sum();
        self.reserve(&mut self.loads(), next)
    }

    /// Returns the budget error if `next` more calls exceed the limit.
    fn reserve(&self, loads: &mut Loads, next: usize) -> Result<()> {
        let Some(max) = self.limits.calls_max else { return Ok(()) };
        if loads.report.runs.len() + next <= max as usize {
            return Ok(());
        }
        loads.is_budget_exceeded = true;
        Err((self.limits.budget_error)(max))
    }

    /// Checks the budget before a call outside of the rounds, such as a statement of a mutation.
    ///
    /// # Errors
    /// The budget error if it is one too many.
    pub fn reserve_call(&self) -> Result<()> {
        self.reserve(&mut self.loads(), 1)
    }

    /// Adds a call that was made outside of the rounds to the report.
    pub fn report_call(&self, run: BatchRun) {
        let mut loads = self.loads();
        loads.report.time += run.time;
        loads.report.runs.push(run);
    }

    /// Returns whether the request needed more calls than its budget.
    pub fn is_budget_exceeded(&self) -> bool {
        self.loads().is_budget_exceeded
    }

    /// The loads so far.
    pub fn report(&self) -> LoadReport {
        self.loads().report.clone()
    }

    fn loads(&self) -> MutexGuard<'_, Loads> {
        self.loads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The waker that the work is polled with.
///
/// It records whether the work woke itself, that is, whether it can proceed without a round. It wakes the task of the
/// request only while that waits for the work: waking a task that is running schedules it once more, on another thread.
#[derive(Default)]
struct IdleWaker(Mutex<WakeState>);

#[derive(Default)]
enum WakeState {
    /// The work has not woken itself since it was polled.
    #[default]
    Quiet,
    /// The work can proceed.
    Woken,
    /// The task waits for the work.
    Awaited(Waker),
}

impl IdleWaker {
    /// Decides what follows a poll that returned `Pending`: wait, or dispatch a round (`Ready(None)`).
    fn after_poll<T>(&self, has_pending: bool, task: &Waker) -> Poll<Option<T>> {
        let mut state = self.state();
        match *state {
            // Work that woke itself can proceed, after the runtime had its turn (tokio's cooperative budget).
            WakeState::Woken => task.wake_by_ref(),
            _ if has_pending => return Poll::Ready(None),
            _ => *state = WakeState::Awaited(task.clone()),
        }
        Poll::Pending
    }

    fn state(&self) -> MutexGuard<'_, WakeState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for IdleWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let WakeState::Awaited(task) = std::mem::replace(&mut *self.state(), WakeState::Woken) {
            task.wake();
        }
    }
}
