//! Loads that are recorded by one request and replayed by another.
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures_util::future::join;
use gatherum_engine::{
    BatchFn, Code, Error, Loader, Projection, Result, batch_loader,
    loading::{LoadLimits, LoadRequest, RecordedLoads, Rounds},
};

/// The data source: the number of calls.
type Calls = Arc<AtomicUsize>;

/// The square of a number; negative numbers fail.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Square(&'static str);

/// A square that may change without a notification.
#[derive(Clone, Debug, PartialEq, Eq)]
struct VolatileSquare;

struct SquareBatch<'a>(LoadRequest<'a>);

impl BatchFn<i64, Result<i64>> for SquareBatch<'_> {
    async fn load(&mut self, keys: &[i64]) -> HashMap<i64, Result<i64>> {
        self.0.source::<Calls>().fetch_add(1, Ordering::Relaxed);
        self.0.meter.add(keys.len(), 100);
        let square = |key: i64| if key < 0 { Err(Error::new(Code::Unavailable, "down")) } else { Ok(key * key) };
        keys.iter().map(|key| (*key, square(*key))).collect()
    }
}

batch_loader! {
    Square: i64 => i64, name: "Number.square", batch: |_loader, request| SquareBatch(request)
}

batch_loader! {
    VolatileSquare: i64 => i64, name: "Number.volatile", cacheable: false,
    batch: |_loader, request| SquareBatch(request)
}

fn rounds() -> (Rounds, Calls) {
    let calls = Calls::default();
    (Rounds::new(Box::new(calls.clone()), LoadLimits::default()), calls)
}

async fn load<L: Loader<Key = i64, Value = i64>>(
    rounds: &Rounds,
    loader: L,
    projection: Projection,
    keys: &[i64],
) -> Vec<i64> {
    rounds.drive(rounds.load(loader, projection, keys.to_vec())).await.expect("values")
}

/// The squares of 2 and 3, recorded with their sort keys.
async fn recorded() -> Arc<RecordedLoads> {
    let (rounds, _) = rounds();
    rounds.record();
    load(&rounds, Square("a"), Projection::SORT_KEYS, &[2, 3]).await;
    Arc::new(rounds.take_recording().expect("a recording"))
}

/// Calls, hits and misses of a request that replays [`recorded`].
async fn replay(loader: Square, projection: Projection, keys: &[i64]) -> (usize, u64, u64) {
    let (rounds, calls) = rounds();
    rounds.replay_from(recorded().await);

    let values = load(&rounds, loader, projection, keys).await;

    let report = rounds.report();
    let calls = calls.load(Ordering::Relaxed);
    assert_eq!(values, keys.iter().map(|key| key * key).collect::<Vec<_>>());
    assert_eq!((report.rounds as usize, report.runs.len()), (calls, calls));
    (calls, report.hits, report.misses)
}

#[tokio::test]
async fn recorded_values_take_no_call() {
    assert_eq!(replay(Square("a"), Projection::SORT_KEYS, &[3, 2]).await, (0, 1, 0));
    assert_eq!(replay(Square("a"), Projection::NONE, &[2]).await, (0, 1, 0));
}

#[tokio::test]
async fn values_that_were_not_recorded_are_loaded() {
    assert_eq!(replay(Square("a"), Projection::SORT_KEYS, &[2, 4]).await, (1, 0, 1));
    assert_eq!(replay(Square("a"), Projection::ALL, &[2]).await, (1, 0, 1));
    assert_eq!(replay(Square("b"), Projection::NONE, &[2]).await, (1, 0, 1));
}

#[tokio::test]
async fn a_recording_counts_its_misses_and_bytes() {
    let (rounds, calls) = rounds();
    rounds.record();
    let first = rounds.load(Square("a"), Projection::NONE, vec![1, 2]);
    let second = rounds.load(Square("b"), Projection::NONE, vec![3]);
    let _ = rounds.drive(join(first, second)).await;

    let recorded = rounds.take_recording().expect("a recording");

    // What the batch functions counted, and a key and a value of eight bytes for each of three keys.
    assert_eq!(recorded.bytes(), 2 * 100 + 3 * 16);
    assert_eq!((rounds.report().hits, rounds.report().misses), (0, 2));
    assert_eq!(calls.load(Ordering::Relaxed), 2);
    assert!(rounds.take_recording().is_none());
}

#[tokio::test]
async fn to_record_twice_keeps_the_first_recording() {
    let (rounds, _) = rounds();
    rounds.record();
    load(&rounds, Square("a"), Projection::NONE, &[1]).await;

    rounds.record();

    assert_eq!(rounds.take_recording().expect("a recording").bytes(), 116);
}

#[tokio::test]
async fn a_request_with_a_failed_load_has_no_recording() {
    let (rounds, _) = rounds();
    rounds.record();
    load(&rounds, Square("a"), Projection::NONE, &[1]).await;
    assert!(rounds.drive(rounds.load(Square("a"), Projection::NONE, vec![-1])).await.is_err());

    load(&rounds, Square("a"), Projection::NONE, &[2]).await;

    assert!(rounds.take_recording().is_none());
}

#[tokio::test]
async fn volatile_values_are_not_recorded() {
    let (first, _) = rounds();
    first.record();
    load(&first, VolatileSquare, Projection::NONE, &[1]).await;
    load(&first, Square("a"), Projection::NONE, &[1]).await;
    let recorded = Arc::new(first.take_recording().expect("the other values"));
    let (second, calls) = rounds();
    second.replay_from(recorded);

    load(&second, VolatileSquare, Projection::NONE, &[1]).await;
    load(&second, Square("a"), Projection::NONE, &[1]).await;

    assert_eq!(calls.load(Ordering::Relaxed), 1);
    assert_eq!((second.report().hits, second.report().misses), (1, 1));
}

#[tokio::test]
async fn a_discarded_recording_is_gone_and_a_replay_goes_on() {
    let (recording, _) = rounds();
    recording.record();
    recording.discard_recording();
    assert!(recording.take_recording().is_none());

    let (replaying, calls) = rounds();
    replaying.replay_from(recorded().await);
    replaying.discard_recording();
    replaying.record();
    load(&replaying, Square("a"), Projection::NONE, &[2]).await;

    assert_eq!(calls.load(Ordering::Relaxed), 0);
    assert!(replaying.take_recording().is_none());
}

#[tokio::test]
async fn recorded_values_do_not_count_towards_the_budget() {
    let limits = LoadLimits { calls_max: Some(0), ..LoadLimits::default() };
    let rounds = Rounds::new(Box::new(Calls::default()), limits);
    rounds.replay_from(recorded().await);

    assert_eq!(load(&rounds, Square("a"), Projection::NONE, &[2]).await, [4]);

    assert!(rounds.drive(rounds.load(Square("a"), Projection::NONE, vec![5])).await.is_err());
}
