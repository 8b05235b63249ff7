//! When a batch leaves: when the execution can make no progress without it.
use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{self, Poll, Wake, Waker},
    time::{Duration, Instant},
};

use futures_util::future::join_all;

use super::{
    Relation,
    batch::{Batch, PendingBatch},
    recorded::{RecordedLoads, Recording},
};
use crate::{
    db::{Db, Projection},
    error::{Code, Error, Result},
};

/// What one request may load.
#[derive(Clone, Copy, Debug)]
pub struct LoadLimits {
    /// Distinct keys in one statement. Above it a batch takes several, which the report shows.
    pub keys_max: usize,
    /// SQL statements in one request; `None` does not limit them.
    pub statements_max: Option<u32>,
}

/// What was loaded so far.
#[derive(Clone, Debug, Default)]
pub struct LoadReport {
    /// Times that the execution waited for the database.
    pub rounds: u32,
    /// Time during which it did.
    pub time: Duration,
    /// The statements, in the order of their rounds and, within one, by relation.
    pub statements: Vec<ExecutedStatement>,
    /// Batches that were answered from what was kept, without a statement.
    pub hits: u64,
    /// Batches that were not, of a request whose loads are kept.
    pub misses: u64,
}

/// One statement that was run.
#[derive(Clone, Debug)]
pub struct ExecutedStatement {
    /// The relationship that was loaded.
    pub relation: &'static str,
    /// Distinct keys it answered.
    pub keys: usize,
    /// Rows it yielded.
    pub rows: usize,
    /// How long it took.
    pub time: Duration,
}

/// The loads of one request.
pub struct Rounds {
    db: Db,
    limits: LoadLimits,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    due: Vec<Box<dyn PendingBatch>>,
    report: LoadReport,
    exceeded: bool,
    keeping: Recording,
}

impl State {
    /// Keeps what a round has loaded, where that is asked for.
    fn keep(&mut self, due: &[Box<dyn PendingBatch>]) {
        let Recording::Keeps(loads) = &mut self.keeping else { return };
        self.report.misses += due.len() as u64;
        if !due.iter().all(|batch| batch.keep(loads)) {
            self.keeping = Recording::Nothing;
        }
    }
}

impl Rounds {
    /// Loads from `db`.
    pub fn new(db: Db, limits: LoadLimits) -> Self {
        Self { db, limits, state: Mutex::default() }
    }

    /// What each of `keys` leads to, in their order, at the end of the next round. No keys need no round. Rows have the
    /// columns that are asked for, and those that others ask of the same relation.
    ///
    /// # Errors
    /// That of the statement; everyone who asked it has the same.
    pub async fn load<R: Relation>(
        &self,
        relation: R,
        columns: Projection,
        keys: Vec<R::Key>,
    ) -> Result<Vec<R::Value>> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let receiver = self.batch(relation, columns, keys);
        receiver.await.unwrap_or_else(|_| Err(Error::internal("a round ended without an answer")))
    }

    fn batch<R: Relation>(
        &self,
        relation: R,
        columns: Projection,
        keys: Vec<R::Key>,
    ) -> tokio::sync::oneshot::Receiver<Result<Vec<R::Value>>> {
        let mut state = self.state();
        for due in &mut state.due {
            if let Some(batch) = due.as_any().downcast_mut::<Batch<R>>()
                && batch.relation == relation
            {
                return batch.ask(columns, keys);
            }
        }
        let mut batch = Batch::new(relation);
        let receiver = batch.ask(columns, keys);
        state.due.push(Box::new(batch));
        receiver
    }

    /// Runs `work`, and a round each time it waits for what it asked.
    pub async fn drive<F: Future>(&self, work: F) -> F::Output {
        let mut work = pin!(work);
        let turn = Arc::new(IdleWaker::default());
        loop {
            match self.poll_until_idle(work.as_mut(), &turn).await {
                Some(output) => return output,
                None => self.round().await,
            }
        }
    }

    /// The output of `work`, or nothing once it waits and batches are due.
    async fn poll_until_idle<F: Future>(&self, mut work: Pin<&mut F>, turn: &Arc<IdleWaker>) -> Option<F::Output> {
        let waker = Waker::from(turn.clone());
        poll_fn(|context| {
            *turn.waking() = WakeState::Quiet;
            if let Poll::Ready(output) = work.as_mut().poll(&mut task::Context::from_waker(&waker)) {
                return Poll::Ready(Some(output));
            }
            let is_due = !self.state().due.is_empty();
            turn.end(is_due, context.waker())
        })
        .await
    }

    /// Runs what is due, and answers everyone together: answers one by one would split the next round.
    async fn round(&self) {
        let mut due = std::mem::take(&mut self.state().due);
        due.sort_by_key(|batch| batch.relation());
        self.take_kept(&mut due);
        if let Err(error) = self.allow(&due) {
            due.into_iter().for_each(|batch| batch.fail(error.clone()));
            return;
        }
        let start = Instant::now();
        let statements = join_all(due.iter_mut().map(|batch| batch.run(&self.db, self.limits.keys_max))).await;
        {
            let mut state = self.state();
            if statements.iter().any(|statements| !statements.is_empty()) {
                state.report.rounds += 1;
                state.report.time += start.elapsed();
            }
            state.report.statements.extend(statements.into_iter().flatten());
            state.keep(&due);
        }
        due.into_iter().for_each(PendingBatch::fulfill);
    }

    /// Answers what was kept.
    fn take_kept(&self, due: &mut [Box<dyn PendingBatch>]) {
        let mut state = self.state();
        let state = &mut *state;
        let Recording::Has(loads) = &state.keeping else { return };
        for batch in due {
            let counter = if batch.take_from(loads) { &mut state.report.hits } else { &mut state.report.misses };
            *counter += 1;
        }
    }

    /// Has what is loaded from now on kept for requests that ask the same, for [`Rounds::kept`] to take.
    pub fn keep(&self) {
        let mut state = self.state();
        if matches!(state.keeping, Recording::Nothing) {
            state.keeping = Recording::Keeps(RecordedLoads::default());
        }
    }

    /// Answers from the loads of a request that asked the same.
    pub fn reuse(&self, loads: Arc<RecordedLoads>) {
        self.state().keeping = Recording::Has(loads);
    }

    /// Has nothing kept.
    pub fn forget(&self) {
        let mut state = self.state();
        if matches!(state.keeping, Recording::Keeps(_)) {
            state.keeping = Recording::Nothing;
        }
    }

    /// What was kept of this request; nothing where a load has failed.
    pub fn kept(&self) -> Option<RecordedLoads> {
        match std::mem::take(&mut self.state().keeping) {
            Recording::Keeps(loads) => Some(loads),
            Recording::Nothing | Recording::Has(_) => None,
        }
    }

    fn allow(&self, due: &[Box<dyn PendingBatch>]) -> Result<()> {
        let next = due.iter().map(|batch| batch.statements(self.limits.keys_max)).sum();
        self.within(&mut self.state(), next)
    }

    /// Refuses the request where `next` more statements are too many.
    fn within(&self, state: &mut State, next: usize) -> Result<()> {
        let Some(max) = self.limits.statements_max else { return Ok(()) };
        if state.report.statements.len() + next <= max as usize {
            return Ok(());
        }
        state.exceeded = true;
        Err(Error::new(
            Code::SqlBudgetExceeded,
            format!("the request needs more than {max} SQL statements: ask for fewer relationships at once"),
        ))
    }

    /// Counts a statement that a transaction is about to run, as one of the request's.
    ///
    /// # Errors
    /// `SQL_BUDGET_EXCEEDED` where it is one too many.
    pub fn spend(&self) -> Result<()> {
        let mut state = self.state();
        self.within(&mut state, 1)
    }

    /// Reports a statement that a transaction has run.
    pub fn ran(&self, statement: ExecutedStatement) {
        let mut state = self.state();
        state.report.time += statement.time;
        state.report.statements.push(statement);
    }

    /// Whether the request was refused for the number of its statements.
    pub fn exceeded(&self) -> bool {
        self.state().exceeded
    }

    /// What was loaded so far.
    pub fn report(&self) -> LoadReport {
        self.state().report.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The waker of the work. It tells whether the work woke itself, that is, can go on, and wakes the task of the request only
/// where that waits for the work: a task that is woken while it runs is scheduled once more, and a thread woken to take it.
#[derive(Default)]
struct IdleWaker(Mutex<WakeState>);

#[derive(Default)]
enum WakeState {
    /// The work has not woken itself since it was polled.
    #[default]
    Quiet,
    /// The work can go on.
    Woken,
    /// The task waits for the work.
    Awaited(Waker),
}

impl IdleWaker {
    /// What to do after the work has been polled in vain: nothing, or a round.
    fn end<T>(&self, is_due: bool, task: &Waker) -> Poll<Option<T>> {
        let mut waking = self.waking();
        match *waking {
            // Work that woke itself can go on, after the runtime had its turn.
            WakeState::Woken => task.wake_by_ref(),
            _ if is_due => return Poll::Ready(None),
            _ => *waking = WakeState::Awaited(task.clone()),
        }
        Poll::Pending
    }

    fn waking(&self) -> MutexGuard<'_, WakeState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for IdleWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let WakeState::Awaited(task) = std::mem::replace(&mut *self.waking(), WakeState::Woken) {
            task.wake();
        }
    }
}
