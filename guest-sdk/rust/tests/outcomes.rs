//! What the event level makes of the results of single events.
#![allow(clippy::unwrap_used, reason = "in a test, it is how a wrong answer is told")]
use std::cell::Cell;

use sump_sdk::AsyncEventSink;
use sump_sdk::Context;
use sump_sdk::Error;
use sump_sdk::Event;
use sump_sdk::EventSink;
use sump_sdk::Kind;
use sump_sdk::NoConfig;
use sump_sdk::Opening;
use sump_sdk::testing;
use sump_sdk::testing::Harness;
use sump_sdk::testing::Outcome;

/// Does what the payload says; `flush` what the sink was told.
struct Obedient {
    flush: Option<Error>,
    begun: u32,
}

fn obey(event: Event<'_>) -> Result<(), Error> {
    match event.text()? {
        "busy" => Err(Error::transient("busy", "come again")),
        "bad" => Err(Error::rejected("bad", "never")),
        "lost" => Err(Error::unknown("lost", "who knows")),
        "halt" => Err(Error::halted("halt", "call the operator")),
        "uncaught" => Ok("x".parse::<u8>().map(drop)?),
        _ => Ok(()),
    }
}

impl EventSink for Obedient {
    type Config = NoConfig;

    fn open(_: NoConfig, _: &Opening) -> Result<Self, Error> {
        Ok(Self { flush: None, begun: 0 })
    }

    fn begin(&mut self, _: &Context) -> Result<(), Error> {
        self.begun += 1;
        Ok(())
    }

    fn process(&mut self, _: &Context, event: Event<'_>) -> Result<(), Error> {
        obey(event)
    }

    fn flush(&mut self, _: &Context) -> Result<(), Error> {
        self.flush.clone().map_or(Ok(()), Err)
    }
}

/// Keeps each event waiting until as many are under way as may be.
struct Crowd {
    under_way: Cell<usize>,
    most: Cell<usize>,
}

impl AsyncEventSink for Crowd {
    type Config = NoConfig;
    const IN_FLIGHT: usize = 3;

    async fn open(_: NoConfig, _: &Opening) -> Result<Self, Error> {
        Ok(Self { under_way: Cell::new(0), most: Cell::new(0) })
    }

    async fn process(&self, _: &Context, event: Event<'_>) -> Result<(), Error> {
        self.under_way.set(self.under_way.get() + 1);
        self.most.set(self.most.get().max(self.under_way.get()));
        give_way().await;
        self.under_way.set(self.under_way.get() - 1);
        obey(event)
    }
}

/// Ready at the second look.
async fn give_way() {
    let mut seen = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut seen, true) {
            return std::task::Poll::Ready(());
        }
        context.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}

fn write(ordered: bool, flush: Option<Error>, lines: &str) -> Outcome {
    let mut sink = Harness::events::<Obedient>(serde_json::json!({})).unwrap();
    sink.sink().flush = flush;
    let mut context = testing::context();
    context.ordered = ordered;
    sink.write_in(&context, testing::batch().lines(&lines.replace(' ', "\n")))
}

fn kinds(outcome: &Outcome) -> Vec<(usize, Kind)> {
    outcome.refused().into_iter().map(|(index, error)| (index, error.kind())).collect()
}

const TRANSIENT: Kind = Kind::Transient(None);

#[test]
fn an_error_befalls_its_event_alone() {
    let outcome = write(false, None, "ok busy bad ok lost uncaught ok");
    assert_eq!(outcome.written(), [0, 3, 6]);
    assert_eq!(kinds(&outcome), [(1, TRANSIENT), (2, Kind::Rejected), (4, Kind::Unknown), (5, Kind::Unknown)]);
    assert_eq!(outcome.stopped_at(), None);
}

#[test]
fn a_batch_in_order_ends_at_the_first_event_neither_written_nor_rejected() {
    let outcome = write(true, None, "ok bad lost ok ok");
    assert_eq!(outcome.written(), [0]);
    assert_eq!(kinds(&outcome), [(1, Kind::Rejected), (2, Kind::Unknown)]);
    assert_eq!(outcome.stopped_at(), Some(3));
}

#[test]
fn a_failure_of_the_last_event_stops_nothing() {
    let outcome = write(true, None, "ok busy");
    assert_eq!((outcome.stopped_at(), outcome.kind(1)), (None, Some(TRANSIENT)));
}

#[test]
fn a_halt_keeps_what_is_written_and_refuses_nothing() {
    let outcome = write(false, None, "ok bad halt ok");
    assert_eq!(outcome.written(), [0]);
    assert_eq!(kinds(&outcome), [(1, Kind::Rejected)]);
    assert_eq!(outcome.stopped_at(), Some(2));
}

#[test]
fn a_halt_before_anything_is_written_is_about_the_batch() {
    for lines in ["halt ok", "bad busy halt ok"] {
        assert_eq!(write(false, None, lines).failure().map(Error::code), Some("halt"), "{lines}");
    }
}

#[test]
fn a_flush_that_fails_befalls_what_was_taken() {
    let outcome = write(false, Some(Error::transient("full", "")), "ok bad ok");
    assert_eq!(kinds(&outcome), [(0, TRANSIENT), (1, Kind::Rejected), (2, TRANSIENT)]);
    assert_eq!(outcome.error(0).map(Error::code), Some("full"));
    let outcome = write(true, Some(Error::unknown("full", "")), "ok busy ok");
    assert_eq!(kinds(&outcome), [(0, Kind::Unknown), (1, TRANSIENT)]);
    assert_eq!(outcome.stopped_at(), Some(2));
}

#[test]
fn a_flush_that_halts_is_about_the_batch() {
    let outcome = write(false, Some(Error::halted("gone", "")), "ok ok");
    assert_eq!(outcome.failure().map(Error::code), Some("gone"));
}

#[test]
fn an_empty_batch_is_begun_and_flushed() {
    let mut sink = Harness::events::<Obedient>(serde_json::json!({})).unwrap();
    sink.write(testing::batch()).assert_written();
    assert_eq!(sink.sink().begun, 1);
}

fn crowd(ordered: bool, lines: &str) -> (Outcome, usize) {
    let mut sink = Harness::async_events::<Crowd>(serde_json::json!({})).unwrap();
    let mut context = testing::context();
    context.ordered = ordered;
    let outcome = sink.write_in(&context, testing::batch().lines(&lines.replace(' ', "\n")));
    (outcome, sink.sink().most.get())
}

#[test]
fn async_events_overlap_up_to_their_bound() {
    let (outcome, most) = crowd(false, "ok ok bad ok busy ok ok ok");
    assert_eq!(most, 3);
    assert_eq!(outcome.written(), [0, 1, 3, 5, 6, 7]);
    assert_eq!(kinds(&outcome), [(2, Kind::Rejected), (4, TRANSIENT)]);
}

#[test]
fn async_events_in_order_go_one_by_one() {
    let (outcome, most) = crowd(true, "ok busy ok");
    assert_eq!(most, 1);
    assert_eq!((outcome.written(), outcome.stopped_at()), (vec![0], Some(2)));
}

#[test]
fn a_halt_among_overlapping_events_stops_and_loses_none() {
    let (outcome, _) = crowd(false, "ok halt ok ok ok ok ok");
    assert!(outcome.failure().is_none());
    let stop = outcome.stopped_at().unwrap();
    assert_eq!(outcome.kind(1), Some(TRANSIENT), "what follows it is written, so it comes again by itself");
    assert!(outcome.written().iter().all(|index| *index < stop));
    assert_eq!(outcome.written().len() + 1, stop);
}

#[test]
fn a_configuration_that_does_not_fit_halts_the_sink() {
    let error = Harness::events::<Obedient>(serde_json::json!({ "colour": "red" })).err().unwrap();
    assert_eq!((error.kind(), error.code()), (Kind::Halted, "config"));
    assert!(error.message().contains("colour"), "{error}");
}
