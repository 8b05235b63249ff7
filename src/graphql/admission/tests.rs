//! Admission of operations on a simulated machine, in paused time.
use std::{cell::Cell, rc::Rc};

use futures_util::future::join_all;
use tokio::{
    task::{LocalSet, spawn_local},
    time::sleep,
};

use super::*;

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const BOUNDS: LimitBounds = LimitBounds { min: 4, max: 17 };
const QUEUE_TIMEOUT: Duration = Duration::from_millis(700);

fn admission() -> Arc<Admission> {
    Admission::new(BOUNDS, QUEUE_TIMEOUT)
}

/// Operations of different lanes have different latencies.
fn work(lane: Lane) -> Work {
    Work { lane, operation: lane as u64 }
}

async fn enter(admission: &Arc<Admission>, lane: Lane) -> Result<Permit> {
    admission.enter(work(lane), Some(QUEUE_TIMEOUT)).await
}

/// Occupies all slots of a lane.
async fn fill(admission: &Arc<Admission>, lane: Lane) -> Vec<Permit> {
    let mut running = Vec::new();
    while admission.state().has_slot(lane) {
        running.push(enter(admission, lane).await.expect("a slot"));
    }
    running
}

/// Processors that all executions share.
#[derive(Clone)]
struct Machine {
    processors: u32,
    running: Rc<Cell<u32>>,
}

impl Machine {
    fn new(processors: u32) -> Self {
        Self { processors, running: Rc::default() }
    }

    /// Takes `work` of processor time.
    async fn execute(&self, work: Duration) {
        self.running.set(self.running.get() + 1);
        let mut rest = work;
        while rest > Duration::ZERO {
            sleep(MILLISECOND).await;
            rest = rest.saturating_sub(MILLISECOND * self.processors.min(self.running.get()) / self.running.get());
        }
        self.running.set(self.running.get() - 1);
    }
}

/// The outcomes of the requests of one lane.
#[derive(Debug, Default)]
struct Outcomes {
    /// Within a second.
    good: Cell<u32>,
    late: Cell<u32>,
    rejected: Cell<u32>,
    rejected_at_once: Cell<u32>,
}

async fn request(admission: Arc<Admission>, machine: Machine, lane: Lane, work: Duration, outcomes: Rc<Outcomes>) {
    let start = Instant::now();
    match enter(&admission, lane).await {
        Ok(permit) => {
            machine.execute(work).await;
            permit.succeed();
            let counter = if start.elapsed() <= SECOND { &outcomes.good } else { &outcomes.late };
            counter.set(counter.get() + 1);
        }
        Err(_) => {
            let was_at_once = start.elapsed() == Duration::ZERO;
            outcomes.rejected.set(outcomes.rejected.get() + 1);
            outcomes.rejected_at_once.set(outcomes.rejected_at_once.get() + u32::from(was_at_once));
        }
    }
}

/// Sends a request of `work` every `interval` for `time`.
async fn send(
    admission: &Arc<Admission>,
    machine: &Machine,
    lane: Lane,
    (work, interval, time): (Duration, Duration, Duration),
) -> Rc<Outcomes> {
    let outcomes = Rc::new(Outcomes::default());
    let mut requests = Vec::new();
    let end = Instant::now() + time;
    while Instant::now() < end {
        let request = request(admission.clone(), machine.clone(), lane, work, outcomes.clone());
        requests.push(spawn_local(request));
        sleep(interval).await;
    }
    join_all(requests).await;
    outcomes
}

#[tokio::test(start_paused = true)]
async fn at_four_times_the_capacity_the_throughput_stays_and_the_rest_is_rejected_at_once() {
    for work in [24, 96, 200].map(|work| MILLISECOND * work) {
        let (admission, machine) = (admission(), Machine::new(2));
        let local = LocalSet::new();
        // The server starts under overload, so at first no latency is that of an idle machine.
        local.run_until(send(&admission, &machine, 0, (work, work / 8, SECOND * 5))).await;

        let time = SECOND * 40;
        let outcomes = local.run_until(send(&admission, &machine, 0, (work, work / 8, time))).await;

        let capacity = time.as_secs_f64() * 2.0 / work.as_secs_f64();
        assert!(f64::from(outcomes.good.get()) >= 0.9 * capacity, "{work:?} {capacity} {outcomes:?}");
        // A wait is an estimate, so some operations wait in vain.
        let (rejected, at_once) = (outcomes.rejected.get(), outcomes.rejected_at_once.get());
        assert!(rejected > 0 && at_once >= rejected / 10 * 9, "{work:?} {outcomes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn expensive_operations_leave_slots_for_cheap_ones() {
    for (expensive_lane, cheap_lane) in [(3, 0), (3, 2), (2, 1), (1, 0)] {
        let (admission, machine) = (admission(), Machine::new(2));
        LocalSet::new()
            .run_until(async {
                let expensive = (SECOND * 3, MILLISECOND * 50, SECOND * 20);
                let cheap = (MILLISECOND * 2, MILLISECOND * 100, SECOND * 20);

                let (expensive, cheap) = tokio::join!(
                    send(&admission, &machine, expensive_lane, expensive),
                    send(&admission, &machine, cheap_lane, cheap),
                );

                assert_eq!((cheap.rejected.get(), cheap.late.get()), (0, 0), "{expensive_lane} {cheap_lane} {cheap:?}");
                assert!(expensive.late.get() > 0 && expensive.rejected.get() > 0, "{expensive:?}");
            })
            .await;
    }
}

#[tokio::test(start_paused = true)]
async fn cheap_operations_do_not_keep_expensive_ones_out() {
    let (admission, machine) = (admission(), Machine::new(2));
    LocalSet::new()
        .run_until(async {
            let cheap = (MILLISECOND * 10, MILLISECOND, SECOND * 10);
            let expensive = (MILLISECOND * 100, SECOND, SECOND * 10);

            let (_, expensive) =
                tokio::join!(send(&admission, &machine, 0, cheap), send(&admission, &machine, 3, expensive),);

            assert_eq!((expensive.good.get(), expensive.rejected.get()), (10, 0), "{expensive:?}");
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn many_clients_that_wait_for_their_responses_are_all_served() {
    let (admission, machine) = (admission(), Machine::new(2));
    let outcomes = Rc::new(Outcomes::default());
    let client = async || {
        for _ in 0..20 {
            let work = MILLISECOND * 2;
            request(admission.clone(), machine.clone(), 0, work, outcomes.clone()).await;
        }
    };

    join_all((0..256).map(|_| client())).await;

    assert_eq!(outcomes.good.get(), 256 * 20, "{outcomes:?}");
}

#[tokio::test(start_paused = true)]
async fn a_query_that_took_long_is_expensive_though_it_has_few_objects() {
    let (admission, machine) = (admission(), Machine::new(2));
    LocalSet::new()
        .run_until(async {
            let time = SECOND * 10;
            // Both have the cost of the first lane.
            let cheap = async {
                let outcomes = Rc::new(Outcomes::default());
                let start = Instant::now();
                while start.elapsed() < time {
                    let begun = Instant::now();
                    let work = Work { lane: 0, operation: 7 };
                    match admission.enter(work, Some(QUEUE_TIMEOUT)).await {
                        Ok(permit) => {
                            machine.execute(MILLISECOND).await;
                            permit.succeed();
                            assert!(begun.elapsed() < QUEUE_TIMEOUT);
                        }
                        Err(_) => outcomes.rejected.set(outcomes.rejected.get() + 1),
                    }
                    sleep(MILLISECOND * 50).await;
                }
                outcomes
            };
            send(&admission, &machine, 0, (MILLISECOND * 40, MILLISECOND * 40, SECOND)).await;

            let search = (MILLISECOND * 40, MILLISECOND * 5, time);
            let (search, cheap) = tokio::join!(send(&admission, &machine, 0, search), cheap);

            assert_eq!(cheap.rejected.get(), 0);
            assert!(search.rejected.get() > 0, "{search:?}");
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn mutations_leave_slots_for_queries() {
    let admission = admission();
    let running = fill(&admission, MUTATIONS).await;

    let query = enter(&admission, 3).await;

    assert!(!running.is_empty() && query.is_ok());
}

#[tokio::test(start_paused = true)]
async fn operations_are_unavailable_while_nothing_succeeds() {
    let admission = admission();
    let stuck = fill(&admission, 0).await;
    let start = Instant::now();

    let error = enter(&admission, 0).await.err().expect("no slot");

    assert_eq!((error.code, start.elapsed()), (Code::Unavailable, QUEUE_TIMEOUT));
    drop(stuck);
    assert!(enter(&admission, 0).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_operation_whose_expected_wait_is_too_long_is_rejected_at_once() {
    let admission = admission();
    for _ in 0..10 {
        let permit = enter(&admission, 3).await.expect("a slot");
        sleep(SECOND * 3).await;
        permit.succeed();
    }
    let _running = fill(&admission, 3).await;
    let start = Instant::now();

    let error = enter(&admission, 3).await.err().expect("no slot");
    sleep(SECOND).await;
    let later = enter(&admission, 3).await.err().expect("no slot");

    assert_eq!((error.code, start.elapsed()), (Code::Overloaded, SECOND));
    assert_eq!(later.code, Code::Overloaded, "executions usually take three seconds");
}

#[tokio::test(start_paused = true)]
async fn slots_and_queues_are_empty_after_cancellations() {
    let admission = admission();
    let running = fill(&admission, 0).await;
    {
        let mut waiting = Box::pin(enter(&admission, 0));
        assert!(futures_util::poll!(&mut waiting).is_pending());
        let mut granted = Box::pin(enter(&admission, 0));
        assert!(futures_util::poll!(&mut granted).is_pending());
        // Both are granted, and neither is polled again.
        drop(running);
    }

    let state = admission.state();
    assert!(state.lanes.iter().all(|lane| lane.running == 0 && lane.waiting.is_empty()));
}

#[tokio::test(start_paused = true)]
async fn events_wait_as_long_as_it_takes() {
    let admission = admission();
    let running = fill(&admission, EVENTS).await;
    let mut waiting = Box::pin(admission.enter(work(EVENTS), None));
    assert!(futures_util::poll!(&mut waiting).is_pending());
    sleep(SECOND * 60).await;

    drop(running);

    assert!(waiting.await.is_ok());
}
