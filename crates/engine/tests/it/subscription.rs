//! Subscriptions: filters, lost events and the write clock.
use std::sync::Arc;

use gatherum_engine::{
    Code, Error, Result,
    subscription::{Broadcaster, EventFeed, EventSource, FeedMessage, OVERFLOW, Subscriber},
};
use serde_json::json;
use tokio::sync::{Mutex, mpsc};

use crate::schema::{Log, NumberEvent, context, engine, outcome, prepare};

/// A feed whose messages the test sends.
struct TestFeed(mpsc::UnboundedReceiver<FeedMessage>);

#[async_trait::async_trait]
impl EventFeed for TestFeed {
    async fn next(&mut self) -> FeedMessage {
        match self.0.recv().await {
            Some(message) => message,
            None => std::future::pending().await,
        }
    }
}

/// Feeds in the order in which they are opened.
struct TestSource(Mutex<Vec<TestFeed>>);

#[async_trait::async_trait]
impl EventSource for TestSource {
    async fn open(&self) -> Result<Box<dyn EventFeed>> {
        match self.0.lock().await.pop() {
            Some(feed) => Ok(Box::new(feed)),
            None => Err(Error::new(Code::Unavailable, "no feed")),
        }
    }
}

/// A broadcaster, and the sender of the messages of its feed.
fn broadcaster() -> (Broadcaster<NumberEvent>, mpsc::UnboundedSender<FeedMessage>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Broadcaster::new(Arc::new(TestSource(Mutex::new(vec![TestFeed(receiver)])))), sender)
}

fn events(numbers: &[i64]) -> FeedMessage {
    FeedMessage::Events(json!(numbers).to_string())
}

async fn next_code(subscriber: &mut Subscriber<NumberEvent>) -> Code {
    subscriber.next().await.expect_err("lost events").code
}

#[tokio::test]
async fn every_subscriber_receives_the_events_in_order() {
    let (broadcaster, feed) = broadcaster();
    let mut first = broadcaster.subscribe().await.expect("a subscription");
    let mut second = broadcaster.subscribe().await.expect("a subscription");

    feed.send(events(&[1, 2])).expect("a feed");
    feed.send(events(&[3])).expect("a feed");

    for subscriber in [&mut first, &mut second] {
        for number in 1..=3 {
            assert_eq!(*subscriber.next().await.expect("an event"), NumberEvent(number));
        }
    }
}

#[tokio::test]
async fn events_are_lost_if_the_feed_says_so() {
    for message in [
        FeedMessage::Lost,
        FeedMessage::Disconnected,
        FeedMessage::Events(OVERFLOW.to_owned()),
        FeedMessage::Events("{}".to_owned()),
    ] {
        let (broadcaster, feed) = broadcaster();
        let mut subscriber = broadcaster.subscribe().await.expect("a subscription");

        feed.send(message.clone()).expect("a feed");

        assert_eq!(next_code(&mut subscriber).await, Code::EventsLost, "{message:?}");
    }
}

#[tokio::test]
async fn a_subscriber_that_falls_behind_loses_events() {
    let (broadcaster, feed) = broadcaster();
    let mut slow = broadcaster.subscribe().await.expect("a subscription");
    let mut fast = broadcaster.subscribe().await.expect("a subscription");

    for number in 0..1_025 {
        feed.send(events(&[number])).expect("a feed");
        assert_eq!(*fast.next().await.expect("an event"), NumberEvent(number));
    }

    assert_eq!(next_code(&mut slow).await, Code::EventsLost);
}

#[tokio::test]
async fn the_feed_is_opened_once() {
    let (broadcaster, _feed) = broadcaster();

    assert!(broadcaster.subscribe().await.is_ok());

    // The source has no second feed.
    assert!(broadcaster.subscribe().await.is_ok());
    assert!(broadcaster.writes().await.is_some());
}

#[tokio::test]
async fn a_source_that_cannot_be_opened_fails_subscriptions_and_not_reads() {
    let broadcaster = Broadcaster::<NumberEvent>::new(Arc::new(TestSource(Mutex::default())));

    assert_eq!(broadcaster.subscribe().await.err().expect("no feed").code, Code::Unavailable);
    assert_eq!(broadcaster.writes().await, None);
}

#[tokio::test]
async fn writes_are_counted_while_the_feed_is_connected() {
    let (broadcaster, feed) = broadcaster();
    let mut subscriber = broadcaster.subscribe().await.expect("a subscription");
    let start = broadcaster.writes().await.expect("a connected feed");

    drop(broadcaster.write_guard());
    assert_eq!(broadcaster.writes().await, Some(start + 1));

    feed.send(events(&[1])).expect("a feed");
    subscriber.next().await.expect("an event");
    assert_eq!(broadcaster.writes().await, Some(start + 2));

    feed.send(FeedMessage::Disconnected).expect("a feed");
    next_code(&mut subscriber).await;
    assert_eq!(broadcaster.writes().await, None);

    feed.send(FeedMessage::Lost).expect("a feed");
    next_code(&mut subscriber).await;
    assert_eq!(broadcaster.writes().await, Some(start + 4));
}

const BELOW: &str = "subscription($count: Int!) { numberBelow(count: $count) { value double } }";

#[tokio::test]
async fn a_filter_reads_the_arguments_once_and_selects_events() {
    let engine = engine();
    let prepared = prepare(&engine, BELOW, json!({ "count": 5 }));

    let (field, filter) = engine.event_filter(&prepared).expect("a filter");

    assert_eq!(field, "numberBelow");
    assert!(filter(&NumberEvent(4)));
    assert!(!filter(&NumberEvent(5)));
}

#[tokio::test]
async fn an_event_is_executed_with_rounds_of_its_own() {
    let (engine, log) = (engine(), Log::default());
    let (prepared, context) = (prepare(&engine, BELOW, json!({ "count": 5 })), context(&log));

    let executed = engine.execute_event(&prepared, NumberEvent(4), &context).await;

    let outcome = outcome(executed, context.rounds.report(), &log);
    assert_eq!(outcome.data, json!({ "numberBelow": { "value": 4, "double": 8 } }));
    assert_eq!((outcome.errors, outcome.report.rounds), (Vec::new(), 1));
}

#[tokio::test]
async fn a_subscription_is_not_executed_as_a_query() {
    let (engine, log) = (engine(), Log::default());
    let prepared = prepare(&engine, BELOW, json!({ "count": 5 }));

    let executed = engine.execute(&prepared, &context(&log)).await;

    assert_eq!(outcome(executed, Default::default(), &log).errors, [(json!([]), Code::BadRequest)]);
}
