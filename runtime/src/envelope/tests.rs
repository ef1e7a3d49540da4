//! Whatever happens to an envelope on its way, its events are accounted for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::batch::{BatchBuilder, Event, Partition, RowSet};
use crate::metrics::SinkMetrics;

/// Positions are ten times the number of the event, so that there are some between.
fn block(events: &[(&str, u64)]) -> Block {
    let mut builder = BatchBuilder::new();
    let mut ends = BTreeMap::new();
    for (partition, number) in events {
        let partition = Partition::from(*partition);
        builder.push(&partition, Event { position: number * 10, ..Event::default() });
        ends.insert(partition, number * 10 + 10);
    }
    Block { batch: builder.finish().unwrap(), ends: ends.into_iter().collect(), rejects: None }
}

fn name(sink: &str) -> PathName {
    PathName { pipeline: "p".into(), sink: sink.into() }
}

fn path(ledger: &mut Ledger, sink: &str) -> Path {
    ledger.path(name(sink), BTreeMap::new(), Arc::new(SinkMetrics::default()))
}

fn take(path: &Path, block: &Block) -> Envelope {
    path.take(block, &RowSet::all(block.batch.len())).unwrap().unwrap()
}

fn at(ledger: &Ledger, partition: &str) -> u64 {
    ledger.acknowledged()[&Partition::from(partition)]
}

#[test]
fn an_envelope_that_is_dropped_acknowledges_nothing() {
    let mut ledger = Ledger::new();
    let sink = path(&mut ledger, "s");
    let (first, second) = (take(&sink, &block(&[("a", 0), ("a", 1)])), take(&sink, &block(&[("a", 2)])));
    drop(first);
    second.settle(Final::Written);
    assert_eq!((at(&ledger, "a"), ledger.abandoned()), (0, vec![Partition::from("a")]));
}

#[test]
fn the_slowest_sink_decides_what_a_source_may_forget() {
    let mut ledger = Ledger::new();
    let (fast, slow) = (path(&mut ledger, "fast"), path(&mut ledger, "slow"));
    ledger.assign(&Partition::from("a"), 0);
    let block = block(&[("a", 0), ("a", 1)]);
    take(&fast, &block).settle(Final::Written);
    assert_eq!(at(&ledger, "a"), 0, "the slow one has not even seen the block");
    let mut waiting = take(&slow, &block);
    waiting.split_front(1).settle(Final::DeadLettered);
    assert_eq!(at(&ledger, "a"), 10);
    waiting.settle(Final::Dropped);
    assert_eq!(at(&ledger, "a"), 20);
    assert_eq!(ledger.open(), 0);
}

#[test]
fn what_no_sink_wants_is_final_at_once() {
    let mut ledger = Ledger::new();
    let sink = path(&mut ledger, "s");
    let block = block(&[("a", 0), ("a", 1), ("a", 2)]);
    let wanted = sink.take(&block, &RowSet::range(1..2)).unwrap().unwrap();
    assert_eq!(at(&ledger, "a"), 10);
    wanted.settle(Final::Written);
    assert_eq!(at(&ledger, "a"), 30);
}

#[test]
fn settlements_of_an_earlier_assignment_count_no_more() {
    let mut ledger = Ledger::new();
    let sink = path(&mut ledger, "s");
    let partition = Partition::from("a");
    ledger.assign(&partition, 0);
    let early = take(&sink, &block(&[("a", 0)]));
    ledger.end(&partition);
    assert!(ledger.acknowledged().is_empty());
    ledger.assign(&partition, 0);
    let late = take(&sink, &block(&[("a", 0)]));
    early.settle(Final::Written);
    assert_eq!(at(&ledger, "a"), 0);
    late.settle(Final::Written);
    assert_eq!(at(&ledger, "a"), 10);
}

#[test]
fn a_sink_passes_over_what_it_had_before_a_restart() {
    let mut ledger = Ledger::new();
    let had = BTreeMap::from([(Partition::from("a"), 20)]);
    let sink = ledger.path(name("s"), had, Arc::new(SinkMetrics::default()));
    let taken = take(&sink, &block(&[("a", 0), ("a", 1), ("a", 2), ("b", 0)]));
    assert_eq!(taken.batch().origin().positions(), [20, 0]);
    taken.settle(Final::Written);
    assert_eq!((at(&ledger, "a"), at(&ledger, "b")), (30, 10));
    assert!(sink.take(&block(&[("a", 1)]), &RowSet::all(1)).unwrap().is_none());
}

#[test]
fn what_is_forgotten_has_no_position_any_more() {
    let mut ledger = Ledger::new();
    let resume = BTreeMap::from([(Partition::from("a"), 10), (Partition::from("b"), 20)]);
    let sink = ledger.path(name("s"), resume, Arc::new(SinkMetrics::default()));
    ledger.assign(&Partition::from("a"), 10);
    take(&sink, &block(&[("a", 1)])).settle(Final::Written);
    ledger.forget(&Partition::from("a"));
    assert_eq!(ledger.positions()[&name("s")], BTreeMap::from([(Partition::from("b"), 20)]));
    assert!(ledger.acknowledged().is_empty());
    // Should the same name ever come again, it is read from where it begins.
    ledger.assign(&Partition::from("a"), 0);
    assert_eq!(take(&sink, &block(&[("a", 0)])).batch().len(), 1);
}

#[test]
fn memory_is_given_back_with_the_events_that_held_it() {
    let budget = Budget::new(1_000);
    let mut ledger = Ledger::new();
    let sink = path(&mut ledger, "s");
    let mut envelope = take(&sink, &block(&[("a", 0), ("a", 1)]));
    let bytes = envelope.batch().bytes();
    envelope.charge(budget.try_reserve(bytes).unwrap());
    assert_eq!(budget.used() as usize, bytes);
    envelope.split_front(1).settle(Final::Written);
    assert_eq!(budget.used() as usize, bytes / 2);
    drop(envelope);
    assert_eq!(budget.used(), 0);
    assert!(budget.try_reserve(5_000).is_some(), "what is larger than all of it passes alone");
}

/// What may happen to an envelope.
#[derive(Clone, Debug)]
enum Step {
    Split(usize),
    Select(Vec<u32>),
    Concat,
    Settle,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0..12usize).prop_map(Step::Split),
        proptest::collection::vec(0..12u32, 0..6).prop_map(Step::Select),
        Just(Step::Concat),
        Just(Step::Settle),
    ];
    proptest::collection::vec(step, 0..24)
}

proptest! {
    /// Events of two partitions in several blocks, cut and merged at will, some settled, the rest given up: each partition
    /// stands at its first event that is not settled.
    #[test]
    fn every_event_is_accounted_for_whatever_happens_to_it(
        sizes in proptest::collection::vec((0..5u64, 0..5u64), 1..5),
        steps in steps(),
    ) {
        let mut ledger = Ledger::new();
        let metrics = Arc::new(SinkMetrics::default());
        let sink = ledger.path(name("s"), BTreeMap::new(), metrics.clone());
        let mut next = [0, 0];
        let mut envelopes = Vec::new();
        for partition in ["a", "b"] {
            ledger.assign(&Partition::from(partition), 0);
        }
        for (a, b) in sizes {
            let of = |partition, from: u64, count: u64| (from..from + count).map(move |number| (partition, number));
            let block = block(&of("a", next[0], a).chain(of("b", next[1], b)).collect::<Vec<_>>());
            next = [next[0] + a, next[1] + b];
            envelopes.extend(sink.take(&block, &RowSet::all(block.batch.len())).unwrap());
        }
        let mut settled: BTreeSet<(String, u64)> = BTreeSet::new();
        for step in steps {
            let Some(mut envelope) = envelopes.pop() else { break };
            match step {
                Step::Split(rows) => {
                    let front = envelope.split_front(rows.min(envelope.len()));
                    envelopes.extend([envelope, front]);
                }
                Step::Select(rows) => {
                    let rows = rows.into_iter().filter(|row| (*row as usize) < envelope.len()).collect();
                    let (picked, others) = envelope.select(&rows).unwrap();
                    envelopes.extend([picked, others]);
                }
                Step::Concat => {
                    let parts = [Some(envelope), envelopes.pop()].into_iter().flatten().collect();
                    envelopes.push(Envelope::concat(parts).unwrap());
                }
                Step::Settle => {
                    let origin = envelope.batch().origin();
                    let events = 0..envelope.len();
                    settled.extend(events.map(|row| (origin.partition_of(row).to_string(), origin.positions()[row])));
                    envelope.settle(Final::Written);
                }
            }
        }
        let given_up: usize = envelopes.iter().map(Envelope::len).sum();
        drop(envelopes);
        for (partition, count) in [("a", next[0]), ("b", next[1])] {
            let open = (0..count).find(|number| !settled.contains(&(partition.to_owned(), number * 10)));
            prop_assert_eq!(at(&ledger, partition), open.unwrap_or(count) * 10);
        }
        prop_assert_eq!(metrics.written.get(), settled.len() as u64);
        prop_assert_eq!(metrics.abandoned.get(), given_up as u64);
        prop_assert_eq!(ledger.abandoned().is_empty(), given_up == 0);
    }
}

#[test]
fn a_partition_that_was_set_back_is_new_to_every_sink() {
    let mut ledger = Ledger::new();
    let partition = Partition::from("a");
    let resume = BTreeMap::from([(partition.clone(), 20)]);
    let sink = ledger.path(name("s"), resume, Arc::new(SinkMetrics::default()));
    assert_eq!(sink.unseen(&block(&[("a", 0), ("a", 1), ("a", 2)]).batch, &RowSet::all(3)).len(), 1);
    ledger.rewind(&partition);
    ledger.assign(&partition, 0);
    assert_eq!(at(&ledger, "a"), 0);
    assert_eq!(sink.unseen(&block(&[("a", 0), ("a", 1), ("a", 2)]).batch, &RowSet::all(3)).len(), 3);
}

#[tokio::test]
async fn a_partition_is_let_go_when_its_calls_are_over() {
    use futures_util::FutureExt;
    let mut ledger = Ledger::new();
    let metrics = Arc::new(SinkMetrics::default());
    let sink = ledger.path(name("s"), BTreeMap::new(), metrics.clone());
    let partitions = [Partition::from("a")];
    let mut called = take(&sink, &block(&[("a", 0), ("b", 0), ("a", 1)]));
    let mut queued = take(&sink, &block(&[("a", 2), ("b", 1), ("a", 3), ("a", 4)]));
    let flight = called.depart().expect("nothing is taken away");
    ledger.revoke(&partitions[0]);
    assert!(queued.depart().is_none() && called.depart().is_none());
    queued.give_up_revoked().unwrap();
    assert_eq!((queued.batch().origin().positions(), metrics.revoked.get()), (&[10][..], 3));
    assert!(queued.depart().is_some(), "what is left may go");
    assert!(ledger.landed(&partitions).now_or_never().is_none(), "a call is in flight");
    // What its answer makes final still counts.
    called.split_front(1).settle(Final::Written);
    called.give_up_revoked().unwrap();
    drop(flight);
    assert!(ledger.landed(&partitions).now_or_never().is_some());
    assert_eq!(at(&ledger, "a"), 10);
    ledger.end(&partitions[0]);
    assert!(!ledger.acknowledged().contains_key(&partitions[0]) && ledger.abandoned().is_empty());
    assert_eq!((called.len(), metrics.revoked.get(), metrics.abandoned.get()), (1, 4, 0));
}

#[test]
fn what_is_queued_of_a_partition_that_is_assigned_anew_is_given_up() {
    let mut ledger = Ledger::new();
    let sink = path(&mut ledger, "s");
    let mut queued = take(&sink, &block(&[("a", 0), ("a", 1)]));
    ledger.assign(&Partition::from("a"), 0);
    queued.give_up_revoked().unwrap();
    assert!(queued.is_empty());
    take(&sink, &block(&[("a", 0)])).settle(Final::Written);
    assert_eq!(at(&ledger, "a"), 10);
}

#[test]
fn nothing_of_an_account_outlives_it_and_its_events() {
    let (mut ledger, metrics) = (Ledger::new(), Arc::new(SinkMetrics::default()));
    let sink = ledger.path(name("s"), BTreeMap::new(), metrics.clone());
    ledger.assign(&Partition::from("a"), 0);
    let waiting = take(&sink, &block(&[("a", 0)]));
    drop((ledger, sink));
    assert!(Arc::strong_count(&metrics) > 1, "the event still counts");
    drop(waiting);
    assert_eq!(Arc::strong_count(&metrics), 1);
}
