//! When batches are dispatched, and what their waiters receive.
use std::{
    collections::HashMap,
    future::poll_fn,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};

use futures_util::{FutureExt, future::join};
use gatherum_engine::{
    BatchFn, Code, ColumnRef, Error, Projection, Result, Selected, batch_loader,
    loading::{BatchRun, LoadLimits, LoadRequest, Rounds},
};
use tokio::sync::oneshot;

/// The data source: it logs the calls of batch functions.
#[derive(Clone, Default)]
struct CallLog(Arc<Mutex<Vec<Event>>>);

#[derive(Clone, Debug, PartialEq)]
enum Event {
    Begin(&'static str, Vec<i64>, Projection),
    End(&'static str),
}

impl CallLog {
    fn add(&self, event: Event) {
        self.0.lock().expect("no panic").push(event);
    }

    fn events(&self) -> Vec<Event> {
        self.0.lock().expect("no panic").clone()
    }

    /// The keys of each call.
    fn calls(&self) -> Vec<(&'static str, Vec<i64>)> {
        let call = |event| match event {
            Event::Begin(name, keys, _) => Some((name, keys)),
            Event::End(_) => None,
        };
        self.events().into_iter().filter_map(call).collect()
    }
}

/// A key whose value is an error.
const FAILING: i64 = -1;
/// A key that makes the batch function panic.
const PANICKING: i64 = -2;
/// A key without a value.
const MISSING: i64 = -3;

/// Multiplies its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Times(i64);

/// Another loader of the same keys and values.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Plus(i64);

/// A loader whose source accepts two keys in one call.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pairs;

/// A loader that panics before its batch function is called.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Broken;

struct LoggedBatch<'a> {
    name: &'static str,
    request: LoadRequest<'a>,
    value: Box<dyn Fn(i64) -> i64 + Send>,
}

impl BatchFn<i64, Result<i64>> for LoggedBatch<'_> {
    async fn load(&mut self, keys: &[i64]) -> HashMap<i64, Result<i64>> {
        let log = self.request.source::<CallLog>();
        log.add(Event::Begin(self.name, keys.to_vec(), self.request.projection));
        // A call that waits, so that concurrent calls interleave.
        tokio::task::yield_now().await;
        log.add(Event::End(self.name));
        self.request.meter.add(2 * keys.len(), 8 * keys.len());
        assert!(!keys.contains(&PANICKING), "the batch function panics");
        let value =
            |key| if key == FAILING { Err(Error::new(Code::Unavailable, "down")) } else { Ok((self.value)(key)) };
        keys.iter().filter(|key| **key != MISSING).map(|key| (*key, value(*key))).collect()
    }
}

fn logged<'a>(
    name: &'static str,
    request: LoadRequest<'a>,
    value: impl Fn(i64) -> i64 + Send + 'static,
) -> LoggedBatch<'a> {
    LoggedBatch { name, request, value: Box::new(value) }
}

fn broken<'a>(_request: LoadRequest<'a>) -> LoggedBatch<'a> {
    panic!("the loader panics")
}

batch_loader! {
    Times: i64 => i64, name: "Number.times",
    batch: |loader, request| { let factor = loader.0; logged("Number.times", request, move |key| key * factor) }
}

batch_loader! {
    Plus: i64 => i64, name: "Number.plus",
    batch: |loader, request| { let summand = loader.0; logged("Number.plus", request, move |key| key + summand) }
}

batch_loader! {
    Pairs: i64 => i64, name: "Number.pairs", keys_max: 2,
    batch: |_loader, request| logged("Number.pairs", request, |key| key)
}

batch_loader! {
    Broken: i64 => i64, name: "Number.broken", batch: |_loader, request| broken(request)
}

fn rounds(limits: LoadLimits) -> (Rounds, CallLog) {
    let log = CallLog::default();
    (Rounds::new(Box::new(log.clone()), limits), log)
}

fn unlimited() -> (Rounds, CallLog) {
    rounds(LoadLimits::default())
}

async fn load(rounds: &Rounds, keys: &[i64]) -> Result<Vec<i64>> {
    rounds.load(Times(10), Projection::NONE, keys.to_vec()).await
}

/// The keys of each call in the report.
fn reported(rounds: &Rounds) -> Vec<(&'static str, usize)> {
    rounds.report().runs.iter().map(|run| (run.name, run.keys)).collect()
}

/// Wakes its own task once: work that can proceed without a round.
async fn wake_oneself() {
    let mut has_woken = false;
    poll_fn(|context| {
        if has_woken {
            return Poll::Ready(());
        }
        has_woken = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[tokio::test]
async fn pending_batches_leave_together() {
    let (rounds, log) = unlimited();

    let work = join(load(&rounds, &[1]), rounds.load(Plus(1), Projection::NONE, vec![1]));
    let (times, plus) = rounds.drive(work).await;

    assert_eq!((times.expect("values"), plus.expect("values")), (vec![10], vec![2]));
    assert_eq!(
        log.events(),
        [
            Event::Begin("Number.plus", vec![1], Projection::NONE),
            Event::Begin("Number.times", vec![1], Projection::NONE),
            Event::End("Number.plus"),
            Event::End("Number.times"),
        ]
    );
    assert_eq!(rounds.report().rounds, 1);
}

#[tokio::test]
async fn equal_loaders_share_a_call_with_distinct_keys_in_order() {
    let (rounds, log) = unlimited();

    let (first, second) = rounds.drive(join(load(&rounds, &[3, 1, 3]), load(&rounds, &[2, 1]))).await;

    assert_eq!(first.expect("values"), [30, 10, 30]);
    assert_eq!(second.expect("values"), [20, 10]);
    assert_eq!(log.calls(), [("Number.times", vec![3, 1, 2])]);
}

#[tokio::test]
async fn different_loaders_do_not_share_a_call() {
    let (rounds, log) = unlimited();

    let other = rounds.load(Times(100), Projection::NONE, vec![1]);
    let (first, second) = rounds.drive(join(load(&rounds, &[1]), other)).await;

    assert_eq!((first.expect("values"), second.expect("values")), (vec![10], vec![100]));
    assert_eq!(log.calls(), [("Number.times", vec![1]), ("Number.times", vec![1])]);
    assert_eq!(rounds.report().rounds, 1);
}

/// A record with two columns.
struct Record {
    name: Selected<i64>,
    note: Selected<i64>,
}

const NAME: ColumnRef<Record, i64> = ColumnRef::new(0, |record| &record.name);
const NOTE: ColumnRef<Record, i64> = ColumnRef::new(1, |record| &record.note);

#[tokio::test]
async fn a_shared_call_reads_the_columns_of_all_its_waiters() {
    let (rounds, log) = unlimited();

    let named = rounds.load(Times(1), NAME.set(), vec![1]);
    let noted = rounds.load(Times(1), NOTE.set(), vec![2]);
    let _ = rounds.drive(join(named, noted)).await;

    assert_eq!(log.events()[0], Event::Begin("Number.times", vec![1, 2], NAME.set().union(NOTE.set())));
}

#[tokio::test]
async fn no_keys_take_no_round() {
    let (rounds, log) = unlimited();

    let values = rounds.drive(load(&rounds, &[])).await;

    assert_eq!(values.expect("values"), Vec::<i64>::new());
    assert_eq!((log.calls().len(), rounds.report().rounds), (0, 0));
}

#[tokio::test]
async fn more_keys_than_a_call_may_have_take_several_calls_of_one_round() {
    let (rounds, log) = rounds(LoadLimits { keys_max: 3, ..LoadLimits::default() });

    let pairs = rounds.load(Pairs, Projection::NONE, vec![1, 2, 3, 4, 5]);
    let (times, pairs) = rounds.drive(join(load(&rounds, &[1, 2, 3, 4]), pairs)).await;

    assert_eq!(times.expect("values"), [10, 20, 30, 40]);
    assert_eq!(pairs.expect("values"), [1, 2, 3, 4, 5]);
    let calls = [
        ("Number.pairs", vec![1, 2]),
        ("Number.pairs", vec![3, 4]),
        ("Number.pairs", vec![5]),
        ("Number.times", vec![1, 2, 3]),
        ("Number.times", vec![4]),
    ];
    assert_eq!(log.calls(), calls);
    assert_eq!(reported(&rounds), calls.map(|(name, keys)| (name, keys.len())));
    assert_eq!(rounds.report().rounds, 1);
}

#[tokio::test]
async fn a_limit_of_no_keys_is_one_key() {
    let (rounds, _) = rounds(LoadLimits { keys_max: 0, ..LoadLimits::default() });

    let values = rounds.drive(load(&rounds, &[1, 2])).await;

    assert_eq!(values.expect("values"), [10, 20]);
    assert_eq!(reported(&rounds), [("Number.times", 1), ("Number.times", 1)]);
}

#[tokio::test]
async fn a_missing_key_has_the_default_value() {
    let (rounds, _) = unlimited();

    let values = rounds.drive(load(&rounds, &[1, MISSING])).await;

    assert_eq!(values.expect("values"), [10, 0]);
}

#[tokio::test]
async fn an_error_fails_the_waiters_of_its_batch_and_no_others() {
    let (rounds, _) = unlimited();

    let failing = join(load(&rounds, &[FAILING]), load(&rounds, &[1]));
    let plus = rounds.load(Plus(1), Projection::NONE, vec![1]);
    let ((first, second), plus) = rounds.drive(join(failing, plus)).await;

    assert_eq!(first.expect_err("a failed batch").code, Code::Unavailable);
    assert_eq!(second.expect_err("a failed batch").code, Code::Unavailable);
    assert_eq!(plus.expect("values"), [2]);
}

#[tokio::test]
async fn one_failed_call_of_a_split_batch_fails_the_batch() {
    for failing in [0, 3] {
        let (rounds, log) = unlimited();
        let mut keys = vec![1, 2, 3, 4];
        keys[failing] = FAILING;

        let values = rounds.drive(rounds.load(Pairs, Projection::NONE, keys)).await;

        assert_eq!(values.expect_err("a failed batch").code, Code::Unavailable);
        assert_eq!(log.calls().len(), 2);
    }
}

#[tokio::test]
async fn a_panic_fails_the_waiters_of_its_batch_and_no_others() {
    let (rounds, _) = unlimited();

    let panicking = join(load(&rounds, &[PANICKING]), rounds.load(Broken, Projection::NONE, vec![1]));
    let plus = rounds.load(Plus(1), Projection::NONE, vec![1]);
    let ((late, early), plus) = rounds.drive(join(panicking, plus)).await;

    let (late, early) = (late.expect_err("a panic"), early.expect_err("a panic"));
    assert_eq!((late.code, early.code), (Code::Internal, Code::Internal));
    assert_eq!(late.source_chain(), "panic in Number.times: the batch function panics");
    assert_eq!(early.source_chain(), "panic in Number.broken: the loader panics");
    assert_eq!(plus.expect("values"), [2]);
}

#[tokio::test]
async fn a_dropped_waiter_does_not_disturb_the_others() {
    let (rounds, log) = unlimited();

    let work = async {
        assert!(load(&rounds, &[1, 2]).now_or_never().is_none());
        load(&rounds, &[2, 3]).await
    };
    let values = rounds.drive(work).await;

    assert_eq!(values.expect("values"), [20, 30]);
    assert_eq!(log.calls(), [("Number.times", vec![1, 2, 3])]);
}

#[tokio::test]
async fn work_that_wakes_itself_is_polled_again_before_a_dispatch() {
    let (rounds, log) = unlimited();

    let late = async {
        wake_oneself().await;
        load(&rounds, &[2]).await
    };
    let (first, second) = rounds.drive(join(load(&rounds, &[1]), late)).await;

    assert_eq!((first.expect("values"), second.expect("values")), (vec![10], vec![20]));
    assert_eq!(log.calls(), [("Number.times", vec![1, 2])]);
}

#[tokio::test]
async fn work_that_waits_for_something_else_is_woken_by_it() {
    let (rounds, _) = unlimited();
    let (sender, receiver) = oneshot::channel();

    let work = async { load(&rounds, &[receiver.await.expect("a key")]).await };
    let (values, ()) = join(rounds.drive(work), async { sender.send(7).expect("the work waits") }).await;

    assert_eq!(values.expect("values"), [70]);
}

#[tokio::test]
async fn waiters_of_a_round_are_fulfilled_together() {
    let (rounds, log) = unlimited();

    let below = async |loaded: Result<Vec<i64>>| rounds.load(Plus(1), Projection::NONE, loaded.expect("values")).await;
    let first = async { below(load(&rounds, &[1]).await).await };
    let second = async { below(rounds.load(Pairs, Projection::NONE, vec![2]).await).await };
    let _ = rounds.drive(join(first, second)).await;

    assert_eq!(log.calls()[2..], [("Number.plus", vec![10, 2])]);
    assert_eq!(rounds.report().rounds, 2);
}

#[tokio::test]
async fn a_request_above_its_budget_fails_without_a_call() {
    let (rounds, log) = rounds(LoadLimits { calls_max: Some(2), ..LoadLimits::default() });

    let work = async { (load(&rounds, &[1]).await, load(&rounds, &[2]).await, load(&rounds, &[3]).await) };
    let (first, second, third) = rounds.drive(work).await;

    assert_eq!((first.expect("values"), second.expect("values")), (vec![10], vec![20]));
    let error = third.expect_err("an exceeded budget");
    assert_eq!((error.code, &*error.message), (Code::LimitExceeded, "the request needs more than 2 loads"));
    assert!(rounds.is_budget_exceeded());
    assert_eq!((log.calls().len(), rounds.report().rounds), (2, 2));
}

#[tokio::test]
async fn each_call_of_a_split_batch_counts_towards_the_budget() {
    let (rounds, log) = rounds(LoadLimits { calls_max: Some(1), ..LoadLimits::default() });

    let values = rounds.drive(rounds.load(Pairs, Projection::NONE, vec![1, 2, 3])).await;

    assert_eq!(values.expect_err("an exceeded budget").code, Code::LimitExceeded);
    assert_eq!(log.calls(), []);
}

#[tokio::test]
async fn calls_outside_of_rounds_count_towards_the_budget() {
    let (rounds, _) = rounds(LoadLimits { calls_max: Some(1), ..LoadLimits::default() });
    let run = BatchRun { name: "Mutation.write", keys: 1, rows: 1, time: Duration::from_millis(5) };

    assert!(rounds.reserve_call().is_ok());
    assert!(!rounds.is_budget_exceeded());
    rounds.report_call(run);

    assert_eq!(rounds.reserve_call().expect_err("an exceeded budget").code, Code::LimitExceeded);
    assert!(rounds.is_budget_exceeded());
    let report = rounds.report();
    assert_eq!((report.rounds, report.time, report.runs.len()), (0, Duration::from_millis(5), 1));
}

#[tokio::test]
async fn the_report_has_rows_and_times() {
    let (rounds, _) = unlimited();

    let _ = rounds.drive(load(&rounds, &[1, 2, 3])).await;

    let report = rounds.report();
    assert_eq!((report.runs[0].rows, report.hits, report.misses), (6, 0, 0));
    assert!(report.time >= report.runs[0].time && report.runs[0].time > Duration::ZERO);
}

/// A value that counts its clones.
#[derive(Debug, Default)]
struct Counted(Arc<AtomicUsize>);

impl Clone for Counted {
    fn clone(&self) -> Self {
        self.0.fetch_add(1, Ordering::Relaxed);
        Self(self.0.clone())
    }
}

/// The same counted value for every key.
#[derive(Clone, Debug)]
struct Count(Arc<AtomicUsize>);

impl PartialEq for Count {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl Eq for Count {}

impl BatchFn<i64, Result<Counted>> for Count {
    async fn load(&mut self, keys: &[i64]) -> HashMap<i64, Result<Counted>> {
        keys.iter().map(|key| (*key, Ok(Counted(self.0.clone())))).collect()
    }
}

batch_loader! {
    Count: i64 => Counted, name: "Number.count", batch: |loader, _request| loader.clone()
}

#[tokio::test]
async fn values_are_cloned_only_for_several_waiters() {
    for (keys, clones) in [([1, 2], 0), ([1, 1], 2)] {
        let (rounds, _) = unlimited();
        let count = Count(Arc::default());

        let values = rounds.drive(rounds.load(count.clone(), Projection::NONE, keys.to_vec())).await;

        assert_eq!(values.expect("values").len(), 2);
        assert_eq!(count.0.load(Ordering::Relaxed), clones, "{keys:?}");
    }
}
