//! Admission of operations: how many are executed at once, and which wait or are rejected.
//!
//! Without a limit, a server with more requests than it can execute executes all of them slowly, and none in time. An
//! operation is admitted after its cost is known and before its first statement, whatever transport it came by.
//!
//! - [`limit`] derives the number of concurrent executions from their latencies.
//! - Operations of similar cost share a [lane](Lane), which has its own queue. Cheaper lanes may exceed the limit, so cheap
//!   operations do not wait for the end of expensive ones. A free slot goes to the lane with the fewest running executions,
//!   so cheap operations do not keep expensive ones out either.
//! - A queue is bounded by time: an operation that would probably wait longer than `http.queue_timeout` is rejected at once,
//!   which is cheap, instead of after waiting.
mod limit;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use gatherum_engine::{OperationKind, PreparedRequest};
use tokio::{
    sync::oneshot,
    time::{Instant, timeout},
};

pub use limit::LimitBounds;

use self::limit::ConcurrencyLimit;
use crate::error::{Code, Error, Result};

/// Upper bounds of the objects of a query in each lane but the last: single objects, a page, a page with nested lists.
const LANE_OBJECTS: [u64; 3] = [30, 300, 3_000];

/// Best latencies, in seconds, from which a query belongs to the next lane at least: few objects can take long to find.
const LANE_LATENCIES: [f64; 3] = [0.005, 0.02, 0.1];

/// Lanes of queries.
const QUERY_LANES: usize = LANE_OBJECTS.len() + 1;

/// The lane of mutations. They wait for each other: SQLite has one writer.
const MUTATIONS: usize = QUERY_LANES;

/// The lane of events, which are executed for subscribers.
const EVENTS: usize = QUERY_LANES + 1;

const LANES: usize = QUERY_LANES + 2;

/// Factor by which a mutation may wait longer than a query: a client can repeat a query more easily.
const MUTATION_WAIT_FACTOR: u32 = 3;

/// Minimum time without a successful execution after which rejections say that the database does not answer. It is longer if
/// executions usually take long.
const STALLED_AFTER: Duration = Duration::from_millis(500);

/// Weight of the latest execution in the average latency of a lane.
const LATENCY_WEIGHT: f64 = 0.1;

/// Admits operations within a limit that adapts to their latencies.
pub struct Admission {
    state: Mutex<State>,
    queue_timeout: Duration,
}

/// Operations of similar cost.
type Lane = usize;

/// An operation that wants to be executed.
#[derive(Clone, Copy, Debug)]
struct Work {
    lane: Lane,
    /// Equal for operations that take about equally long.
    operation: u64,
}

struct State {
    limit: ConcurrencyLimit,
    lanes: [LaneState; LANES],
    /// The latest successful execution, or the time at which a queue formed.
    progress: Instant,
}

#[derive(Default)]
struct LaneState {
    running: u32,
    waiting: VecDeque<Waiter>,
    /// Average latency in seconds; 0 before the first execution.
    latency: f64,
}

struct Waiter {
    work: Work,
    permit: oneshot::Sender<Permit>,
}

/// The right to execute one operation, until dropped.
pub(super) struct Permit {
    admission: Option<Arc<Admission>>,
    work: Work,
    start: Instant,
    is_success: bool,
}

impl Admission {
    /// Creates an admission in which an operation waits at most about `queue_timeout`.
    pub fn new(bounds: LimitBounds, queue_timeout: Duration) -> Arc<Self> {
        let min = bounds.min.max(1);
        let bounds = LimitBounds { min, max: bounds.max.max(min) };
        let now = Instant::now();
        let state = State { limit: ConcurrencyLimit::new(bounds, now), lanes: Default::default(), progress: now };
        Arc::new(Self { state: Mutex::new(state), queue_timeout })
    }

    /// Waits until the operation may be executed.
    ///
    /// # Errors
    /// `OVERLOADED` if it would wait too long, `UNAVAILABLE` if no operation succeeds meanwhile.
    pub(super) async fn admit(self: &Arc<Self>, prepared: &PreparedRequest) -> Result<Permit> {
        let wait_max = match prepared.kind() {
            OperationKind::Mutation => self.queue_timeout * MUTATION_WAIT_FACTOR,
            OperationKind::Query | OperationKind::Subscription => self.queue_timeout,
        };
        self.enter(Work::of(prepared), Some(wait_max)).await
    }

    /// Waits until the event of a subscription may be executed, however long that takes: the queue of its subscriber is
    /// bounded.
    pub(super) async fn admit_event(self: &Arc<Self>, prepared: &PreparedRequest) -> Result<Permit> {
        self.enter(Work { lane: EVENTS, ..Work::of(prepared) }, None).await
    }

    async fn enter(self: &Arc<Self>, mut work: Work, wait_max: Option<Duration>) -> Result<Permit> {
        let granted = {
            let now = Instant::now();
            let mut state = self.state();
            work.lane = state.lane(work);
            if state.has_slot(work.lane) {
                return Ok(state.start(self, work, now));
            }
            state.limit.reached(now);
            if wait_max.is_some_and(|wait_max| !state.can_wait(work.lane, wait_max)) {
                return Err(state.rejection(now));
            }
            state.enqueue(work, now)
        };
        let queued = Queued { admission: self, lane: work.lane };
        let granted = match wait_max {
            Some(wait_max) => timeout(wait_max, granted).await.ok().and_then(std::result::Result::ok),
            None => granted.await.ok(),
        };
        let Some(permit) = granted else { return Err(self.state().rejection(Instant::now())) };
        // It has left its queue.
        std::mem::forget(queued);
        Ok(permit)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Work {
    fn of(prepared: &PreparedRequest) -> Self {
        let objects = prepared.objects();
        let lane = match prepared.kind() {
            OperationKind::Mutation => MUTATIONS,
            OperationKind::Query | OperationKind::Subscription => {
                LANE_OBJECTS.iter().position(|max| objects <= *max).unwrap_or(LANE_OBJECTS.len())
            }
        };
        let digest = prepared.digest().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        // With variables that change the cost much, it counts as another operation.
        Self { lane, operation: digest ^ u64::from(objects.max(1).ilog2()) }
    }
}

impl State {
    /// The lane of an operation, by its cost and the latency of earlier executions.
    fn lane(&self, work: Work) -> Lane {
        if work.lane >= QUERY_LANES {
            return work.lane;
        }
        let latency = self.limit.best(work.operation).unwrap_or_default();
        let by_latency = LANE_LATENCIES.iter().filter(|min| latency >= **min).count();
        work.lane.max(by_latency)
    }

    /// Whether an operation of the lane may be executed now.
    fn has_slot(&self, lane: Lane) -> bool {
        let (limit, running) = (self.limit.get(), self.lanes[lane].running);
        // Each lane has a slot of its own even if long executions exceed a limit that was lowered.
        if running == 0 {
            return true;
        }
        let is_within_lane = lane < QUERY_LANES || running < limit / 2;
        let total: u32 = self.lanes.iter().map(|lane| lane.running).sum();
        is_within_lane && total < limit + extra_slots(lane, limit)
    }

    fn start(&mut self, admission: &Arc<Admission>, work: Work, now: Instant) -> Permit {
        self.lanes[work.lane].running += 1;
        Permit { admission: Some(admission.clone()), work, start: now, is_success: false }
    }

    /// Whether one more operation of the lane is probably complete in time. The wait of one that takes long itself is
    /// shorter, but at least half of the maximum.
    fn can_wait(&self, lane: Lane, wait_max: Duration) -> bool {
        let is_active = |lane: &&LaneState| lane.running > 0 || !lane.waiting.is_empty();
        let active = self.lanes.iter().filter(is_active).count().max(1) as u32;
        let (lane, wait_max) = (&self.lanes[lane], wait_max.as_secs_f64());
        let ahead = lane.waiting.len() as f64 + 1.0;
        // A lane that has just become busy will get its share of the slots.
        let slots = lane.running.max(self.limit.usual() / active).max(1);
        let expected = ahead * lane.latency / f64::from(slots);
        expected <= (wait_max - lane.latency).max(wait_max / 2.0)
    }

    fn enqueue(&mut self, work: Work, now: Instant) -> oneshot::Receiver<Permit> {
        if self.lanes.iter().all(|lane| lane.waiting.is_empty()) {
            self.progress = self.progress.max(now);
        }
        let (permit, granted) = oneshot::channel();
        self.lanes[work.lane].waiting.push_back(Waiter { work, permit });
        granted
    }

    /// Gives free slots to waiting operations.
    fn grant(&mut self, admission: &Arc<Admission>, now: Instant) {
        while let Some(lane) = self.next_lane() {
            let Some(Waiter { work, permit }) = self.lanes[lane].waiting.pop_front() else { return };
            if let Err(mut unused) = permit.send(self.start(admission, work, now)) {
                // Its drop would lock the state again.
                unused.admission = None;
                self.lanes[lane].running -= 1;
            }
        }
    }

    /// The lane that gets the next slot.
    fn next_lane(&self) -> Option<Lane> {
        let waiting = (0..LANES).filter(|lane| !self.lanes[*lane].waiting.is_empty() && self.has_slot(*lane));
        waiting.min_by_key(|lane| self.lanes[*lane].running)
    }

    fn end(&mut self, permit: &Permit, now: Instant) {
        let lane = &mut self.lanes[permit.work.lane];
        lane.running -= 1;
        if !permit.is_success {
            return;
        }
        let latency = now.duration_since(permit.start).as_secs_f64();
        lane.latency =
            if lane.latency == 0.0 { latency } else { lane.latency + (latency - lane.latency) * LATENCY_WEIGHT };
        self.progress = now;
        let is_reached = self.lanes.iter().any(|lane| !lane.waiting.is_empty());
        self.limit.executed(permit.work.operation, permit.start, now, is_reached);
    }

    fn rejection(&self, now: Instant) -> Error {
        let usual = self.lanes.iter().map(|lane| lane.latency).fold(0.0, f64::max);
        let stalled_after = STALLED_AFTER.max(Duration::from_secs_f64(2.0 * usual));
        match now.duration_since(self.progress) >= stalled_after {
            true => Error::new(Code::Unavailable, "the database does not answer: retry"),
            false => Error::new(Code::Overloaded, "the server is overloaded: retry after 1 s"),
        }
    }
}

/// Slots beyond the limit for a lane: none for the most expensive queries, and for each cheaper lane an eighth of the limit,
/// at least one, more. Mutations and events count as expensive.
fn extra_slots(lane: Lane, limit: u32) -> u32 {
    let cheaper = QUERY_LANES.saturating_sub(lane + 1) as u32;
    (limit * cheaper / 8).max(cheaper)
}

impl Permit {
    /// Records that the operation was executed, so that its latency counts.
    pub(super) fn succeed(mut self) {
        self.is_success = true;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let Some(admission) = self.admission.take() else { return };
        let now = Instant::now();
        let mut state = admission.state();
        state.end(self, now);
        state.grant(&admission, now);
    }
}

/// Removes an operation from its queue when it stops waiting.
struct Queued<'a> {
    admission: &'a Admission,
    lane: Lane,
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.admission.state().lanes[self.lane].waiting.retain(|waiter| !waiter.permit.is_closed());
    }
}

#[cfg(test)]
mod tests;
