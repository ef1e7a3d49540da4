//! The whole path of a delivery, with a sink that does what its events say, under paused time.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::*;
use crate::batch::{Batch, BatchBuilder, Event, Partition, RowSet};
use crate::envelope::{Block, Ledger};
use crate::sink::{Contract, Failure, FailureKind, Outcome, Refusal, Sink, WriteContext, WriteError};

mod ahead;
mod lanes;

/// What the sink does with one event, attempt after attempt; after the last entry it writes it.
#[derive(Clone, Copy, Debug)]
enum Act {
    Transient,
    Advised(u64),
    Reject,
    Unknown,
    /// The whole write fails.
    BatchTransient,
    BatchAdvised(u64),
    BatchRejected,
    BatchHalted,
    Superseded,
    Trap,
    Panic,
    Hang,
}

#[derive(Default)]
struct Script {
    acts: BTreeMap<u64, Vec<Act>>,
    /// The events of each call, and its batch-id.
    calls: Mutex<Vec<(Vec<u64>, String)>>,
    tried: Mutex<BTreeMap<u64, usize>>,
    opened: AtomicUsize,
    fail_open: Mutex<Vec<Failure>>,
    contract: Contract,
    in_order: bool,
    /// It does not say when its turn is over.
    keeps_turn: bool,
    /// Closing never ends.
    clings: bool,
    /// How long a write takes.
    takes: Duration,
    /// Writes in flight: now, and the most that ever were.
    in_flight: AtomicUsize,
    most_in_flight: AtomicUsize,
}

struct Scripted(Arc<Script>);

#[async_trait]
impl Connect for Scripted {
    fn contract(&self) -> &Contract {
        &self.0.contract
    }

    async fn open(&self, _: u32) -> Result<Arc<dyn Sink>, Failure> {
        self.0.opened.fetch_add(1, Ordering::SeqCst);
        let failure = self.0.fail_open.lock().unwrap().pop();
        match failure {
            Some(failure) if &*failure.code == "hang" => std::future::pending().await,
            Some(failure) => Err(failure),
            None => Ok(Arc::new(Scripted(self.0.clone()))),
        }
    }
}

#[async_trait]
impl Sink for Scripted {
    async fn write(&self, batch: &Batch, context: &WriteContext) -> Result<Outcome, WriteError> {
        let events = batch.origin().positions().to_vec();
        let id = context.batch_id(batch.origin()).to_string();
        self.0.calls.lock().unwrap().push((events.clone(), id));
        let in_flight = self.0.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.most_in_flight.fetch_max(in_flight, Ordering::SeqCst);
        if !self.0.keeps_turn {
            context.turn.end();
        }
        if !self.0.takes.is_zero() {
            tokio::time::sleep(self.0.takes).await;
        }
        self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
        let (mut refused, mut stopped_at) = (Vec::new(), None);
        for (row, event) in (0..).zip(&events) {
            let tries = {
                let mut tried = self.0.tried.lock().unwrap();
                let tries = tried.entry(*event).or_default();
                *tries += 1;
                *tries
            };
            let failure = match self.0.acts.get(event).and_then(|acts| acts.get(tries - 1)) {
                None => continue,
                Some(Act::Transient) => Failure::transient("busy", ""),
                Some(Act::Advised(seconds)) => advised(*seconds),
                Some(Act::Reject) => Failure::rejected("bad", event.to_string()),
                Some(Act::Unknown) => Failure::unknown("lost", ""),
                Some(Act::BatchTransient) => return Err(Failure::transient("down", "").into()),
                Some(Act::BatchAdvised(seconds)) => return Err(advised(*seconds).into()),
                Some(Act::BatchRejected) => return Err(Failure::rejected("400", "").into()),
                Some(Act::BatchHalted) => return Err(Failure::halted("401", "").into()),
                Some(Act::Superseded) => return Err(WriteError::Superseded(Failure::halted("other", "another one"))),
                Some(Act::Trap) => return Err(WriteError::Lost(Failure::unknown("trap", ""))),
                Some(Act::Panic) => panic!("as told"),
                Some(Act::Hang) => std::future::pending().await,
            };
            let stops = self.0.in_order && context.ordered && failure.kind != FailureKind::Rejected;
            refused.push(Refusal { rows: RowSet::from_rows(vec![row]), failure });
            if stops {
                stopped_at = Some(row + 1);
                break;
            }
        }
        Ok(Outcome::new(events.len(), refused, stopped_at)?)
    }

    async fn close(&self) -> Result<(), Failure> {
        if self.0.clings { std::future::pending().await } else { Ok(()) }
    }
}

fn advised(seconds: u64) -> Failure {
    Failure::new(FailureKind::Transient { after: Some(Duration::from_secs(seconds)) }, "429", "")
}

#[derive(Default)]
struct Kept {
    events: Mutex<Vec<(u64, String, u32)>>,
    full: AtomicUsize,
}

#[async_trait]
impl DeadLetters for Kept {
    async fn put(&self, letter: DeadLetter<'_>) -> Result<(), Unkept> {
        if self.full.load(Ordering::SeqCst) > 0 {
            self.full.fetch_sub(1, Ordering::SeqCst);
            return Err(Unkept::Full { max_size: String::new(), place: String::new() });
        }
        let code = letter.failure.code.to_string();
        let events = letter.batch.origin().positions().iter().map(|event| (*event, code.clone(), letter.attempts));
        self.events.lock().unwrap().extend(events);
        Ok(())
    }
}

/// A run over events `0..events`, their position being their number.
struct Run {
    script: Script,
    settings: Settings,
    full: usize,
    /// Gives up so long after the beginning.
    give_up: Option<Duration>,
    keep_unfinished: bool,
    block: u64,
    /// The key of event n is n modulo this.
    keys: Option<u64>,
}

/// What became of it.
struct Ran {
    calls: Vec<Vec<u64>>,
    ids: Vec<String>,
    dead: Vec<(u64, String, u32)>,
    acknowledged: u64,
    opened: usize,
    most_in_flight: usize,
    took: Duration,
    metrics: Arc<SinkMetrics>,
    ended: Result<(), Stopped>,
}

fn run(acts: impl IntoIterator<Item = (u64, Vec<Act>)>) -> Run {
    let script = Script { acts: acts.into_iter().collect(), in_order: true, ..Script::default() };
    Run {
        script,
        settings: Settings::default(),
        full: 0,
        give_up: None,
        keep_unfinished: false,
        block: 4096,
        keys: None,
    }
}

impl Run {
    fn concurrency(mut self, lanes: usize, overlap: usize) -> Run {
        self.settings.concurrency = Concurrency::Fixed(NonZeroUsize::new(lanes).unwrap());
        self.script.contract.overlap = NonZeroUsize::new(overlap).unwrap();
        self
    }

    fn batch_size(mut self, size: usize) -> Run {
        self.settings.batch_size = NonZeroUsize::new(size).unwrap();
        self
    }

    async fn over(self, events: u64) -> Ran {
        let script = Arc::new(self.script);
        let kept = Arc::new(Kept { full: AtomicUsize::new(self.full), ..Kept::default() });
        let metrics = Arc::new(SinkMetrics::default());
        let path = PathName { pipeline: "p".into(), sink: "s".into() };
        let mut ledger = Ledger::new();
        let way = ledger.path(path.clone(), BTreeMap::new(), metrics.clone());
        let (time_up, give_up) = watch::channel(false);
        let delivery = Delivery::new(Parts {
            path,
            settings: self.settings,
            connect: Arc::new(Scripted(script.clone())),
            encoder: None,
            dead_letters: kept.clone(),
            buffer: None,
            witness: None,
            metrics: metrics.clone(),
            keep_unfinished: self.keep_unfinished,
            give_up,
        });
        let partition = Partition::from("events");
        ledger.assign(&partition, 0);
        for first in (0..events).step_by(self.block as usize) {
            let block = keyed(&partition, first..events.min(first + self.block), self.keys);
            let taken = way.take(&block, &RowSet::all(block.batch.len())).unwrap().unwrap();
            let room = delivery.queue().room(taken.batch().bytes()).await;
            delivery.queue().push(taken, room);
        }
        delivery.queue().close();
        let began = Instant::now();
        let give_up = self.give_up;
        let clock = async move {
            match give_up {
                Some(after) => tokio::time::sleep(after).await,
                None => std::future::pending().await,
            }
            time_up.send(true).unwrap();
            std::future::pending::<()>().await
        };
        let ended = tokio::select! { ended = delivery.run() => ended, () = clock => unreachable!() };
        let (calls, ids) = script.calls.lock().unwrap().clone().into_iter().unzip();
        let dead = kept.events.lock().unwrap().clone();
        let acknowledged = ledger.acknowledged()[&partition];
        let opened = script.opened.load(Ordering::SeqCst);
        let most_in_flight = script.most_in_flight.load(Ordering::SeqCst);
        Ran { calls, ids, dead, acknowledged, opened, most_in_flight, took: began.elapsed(), metrics, ended }
    }
}

fn block(partition: &Partition, events: std::ops::Range<u64>) -> Block {
    keyed(partition, events, None)
}

fn keyed(partition: &Partition, events: std::ops::Range<u64>, keys: Option<u64>) -> Block {
    let mut builder = BatchBuilder::new();
    for position in events.clone() {
        let key = keys.map(|keys| (position % keys).to_string());
        let key = key.as_ref().map(String::as_bytes);
        builder.push(partition, Event { payload: Some(b"event"), key, position, ..Event::default() });
    }
    Block { batch: builder.finish().unwrap(), ends: vec![(partition.clone(), events.end)], rejects: None }
}

fn dead(events: &[u64], code: &str, attempts: u32) -> Vec<(u64, String, u32)> {
    events.iter().map(|event| (*event, code.to_owned(), attempts)).collect()
}

#[tokio::test(start_paused = true)]
async fn batches_are_filled_exactly_and_the_last_goes_at_once() {
    let mut run = run([]).batch_size(1000);
    run.block = 700;
    let ran = run.over(2500).await;
    assert_eq!(ran.calls.iter().map(Vec::len).collect::<Vec<_>>(), [1000, 1000, 500]);
    assert_eq!(ran.calls.concat(), (0..2500).collect::<Vec<_>>());
    assert_eq!((ran.acknowledged, ran.opened, ran.took), (2500, 1, Duration::ZERO));
    assert_eq!(ran.metrics.copied_batches.get(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_another_process_has_taken_over_ends_and_nothing_more_is_final() {
    let ran = run([(3, vec![Act::Superseded])]).batch_size(2).over(6).await;
    assert_eq!(ran.calls, [vec![0, 1], vec![2, 3]]);
    assert_eq!((ran.acknowledged, ran.dead.len()), (2, 0));
    let ended = ran.ended.unwrap_err();
    assert!(matches!(&ended, Stopped::Superseded { .. }), "{ended}");
    assert_eq!(ended.to_string(), "`p:s` can't go on: another one");
}

#[tokio::test(start_paused = true)]
async fn only_what_failed_is_tried_again_and_the_reason_stays_with_its_event() {
    let mut run = run([(1, vec![Act::Reject]), (2, vec![Act::Transient])]);
    run.script.in_order = false;
    let ran = run.over(4).await;
    assert_eq!(ran.calls, [vec![0, 1, 2, 3], vec![2]]);
    assert_eq!(ran.dead, dead(&[1], "bad", 1));
    assert_eq!((ran.acknowledged, ran.opened), (4, 1));
    assert_ne!(ran.ids[0], ran.ids[1], "fewer events are another batch");
    assert_eq!((ran.metrics.written.get(), ran.metrics.dead_lettered.get(), ran.metrics.retried.get()), (3, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn three_tries_with_growing_pauses_then_dead_letters() {
    let ran = run([(0, vec![Act::BatchTransient; 9])]).over(2).await;
    assert_eq!(ran.calls.len(), 3);
    assert_eq!(ran.dead, dead(&[0, 1], "down", 3));
    assert!(ran.took >= Duration::from_millis(1500) && ran.took <= Duration::from_secs(3), "{:?}", ran.took);
    assert_eq!(ran.acknowledged, 2);
}

#[tokio::test(start_paused = true)]
async fn order_is_kept_through_retries() {
    let ran = run([(1, vec![Act::Transient]), (3, vec![Act::Transient, Act::Transient])]).over(5).await;
    assert_eq!(ran.calls, [vec![0, 1, 2, 3, 4], vec![1], vec![2, 3, 4], vec![3], vec![3], vec![4]]);
    assert_eq!(ran.acknowledged, 5);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_outcome_repeats_the_same_batch_under_the_same_id() {
    let ran = run([(1, vec![Act::Hang])]).over(3).await;
    assert_eq!(ran.calls, [vec![0, 1, 2], vec![0, 1, 2]]);
    assert_eq!(ran.ids[0], ran.ids[1]);
    assert_eq!((ran.opened, ran.acknowledged), (2, 3), "an instance whose call did not return is never reused");
}

#[tokio::test(start_paused = true)]
async fn unknown_outcomes_are_bounded_where_attempts_are_not() {
    let mut run = run([(0, vec![Act::Unknown; 9])]);
    run.settings.retry.attempts = None;
    let ran = run.over(1).await;
    assert_eq!((ran.calls.len(), ran.dead), (3, dead(&[0], "lost", 3)));
}

#[tokio::test(start_paused = true)]
async fn one_bad_event_of_ten_thousand_costs_about_thirty_calls() {
    for act in [Act::BatchRejected, Act::Trap, Act::Panic] {
        let ran = run([(6_789, vec![act; 99])]).batch_size(10_000).over(10_000).await;
        assert_eq!(ran.dead.len(), 1, "{act:?}");
        assert_eq!(ran.dead[0].0, 6_789);
        assert_eq!((ran.metrics.written.get(), ran.acknowledged), (9_999, 10_000));
        assert!(ran.calls.len() <= 32, "{act:?}: {}", ran.calls.len());
    }
}

#[tokio::test(start_paused = true)]
async fn a_wrong_path_costs_about_thirty_calls_and_not_ten_thousand() {
    let acts = (0..10_000).map(|event| (event, vec![Act::BatchRejected; 99]));
    let ran = run(acts).batch_size(10_000).over(10_000).await;
    assert_eq!((ran.dead.len(), ran.acknowledged), (10_000, 10_000));
    assert!(ran.calls.len() <= 50, "{}", ran.calls.len());
}

#[tokio::test(start_paused = true)]
async fn a_halted_sink_is_probed_and_nothing_is_charged() {
    let ran = run([(0, vec![Act::BatchHalted; 5])]).over(3).await;
    assert_eq!((ran.calls.len(), ran.acknowledged, ran.dead.len()), (6, 3, 0));
    assert_eq!(ran.took, Duration::from_secs(150));
    assert_eq!(ran.opened, 6, "reopened before each probe");
}

#[tokio::test(start_paused = true)]
async fn advice_closes_the_gate_for_so_long() {
    for act in [Act::BatchAdvised(60), Act::Advised(60)] {
        let mut run = run([(0, vec![act])]).batch_size(1).concurrency(2, 1);
        run.script.takes = Duration::from_secs(1);
        let ran = run.over(8).await;
        assert_eq!((ran.calls.len(), ran.acknowledged), (9, 8), "{act:?}");
        // One second, the advice, and seven more calls of two lanes.
        assert!(ran.took >= Duration::from_secs(1 + 60 + 4), "{act:?}: {:?}", ran.took);
    }
}

#[tokio::test(start_paused = true)]
async fn opening_that_fails_for_good_waits_for_an_operator_and_one_that_hangs_meets_the_deadline() {
    let run = run([]);
    *run.script.fail_open.lock().unwrap() = vec![Failure::rejected("no-table", ""), Failure::transient("hang", "")];
    let ran = run.over(1).await;
    assert_eq!((ran.acknowledged, ran.calls.len(), ran.dead.len()), (1, 1, 0));
    assert!(ran.took >= Duration::from_secs(60), "{:?}", ran.took);
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_waited_out_where_that_is_asked_for() {
    let mut run = run([(0, vec![Act::BatchTransient; 40])]);
    run.settings.retry.outage = Outage::Wait;
    let ran = run.over(2).await;
    assert_eq!((ran.acknowledged, ran.dead.len(), ran.metrics.written.get()), (2, 0, 2));
}

#[tokio::test(start_paused = true)]
async fn opening_that_fails_takes_attempts_unless_outages_are_waited_out() {
    let ran = async |outage, failures| {
        let mut run = run([]);
        run.settings.retry.outage = outage;
        *run.script.fail_open.lock().unwrap() = vec![Failure::transient("down", ""); failures];
        run.over(1).await
    };
    let given_up = ran(Outage::DeadLetter, 3).await;
    assert_eq!(given_up.dead, dead(&[0], "down", 3));
    let waited = ran(Outage::Wait, 30).await;
    assert_eq!((waited.acknowledged, waited.dead.len(), waited.metrics.written.get()), (1, 0, 1));
    assert_eq!(waited.metrics.retried.get(), 0, "nobody was asked, so nothing is charged");
}

#[tokio::test(start_paused = true)]
async fn a_lost_instance_charges_none_of_the_calls_beside_the_one_at_fault() {
    let ran = run([(3, vec![Act::Trap; 99])]).batch_size(1).concurrency(4, 4).over(8).await;
    assert_eq!(ran.dead.iter().map(|(event, ..)| *event).collect::<Vec<_>>(), [3]);
    assert_eq!((ran.acknowledged, ran.metrics.written.get()), (8, 7));
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_tries_nothing_does_not_go_on_for_ever() {
    struct Idle(Contract);
    #[async_trait]
    impl Connect for Idle {
        fn contract(&self) -> &Contract {
            &self.0
        }
        async fn open(&self, _: u32) -> Result<Arc<dyn Sink>, Failure> {
            Ok(Arc::new(Idle(self.0.clone())))
        }
    }
    #[async_trait]
    impl Sink for Idle {
        async fn write(&self, batch: &Batch, _: &WriteContext) -> Result<Outcome, WriteError> {
            Ok(Outcome::new(batch.len(), vec![], Some(0))?)
        }
    }
    let kept = Arc::new(Kept::default());
    let metrics = Arc::new(SinkMetrics::default());
    let path = PathName { pipeline: "p".into(), sink: "s".into() };
    let mut ledger = Ledger::new();
    let way = ledger.path(path.clone(), BTreeMap::new(), metrics.clone());
    let (_time_up, give_up) = watch::channel(false);
    let delivery = Delivery::new(Parts {
        path,
        settings: Settings::default(),
        connect: Arc::new(Idle(Contract::default())),
        encoder: None,
        dead_letters: kept.clone(),
        buffer: None,
        witness: None,
        metrics,
        keep_unfinished: false,
        give_up,
    });
    let partition = Partition::from("events");
    let taken = way.take(&block(&partition, 0..2), &RowSet::all(2)).unwrap().unwrap();
    let room = delivery.queue().room(1).await;
    delivery.queue().push(taken, room);
    delivery.queue().close();
    delivery.run().await.unwrap();
    assert_eq!(*kept.events.lock().unwrap(), dead(&[0, 1], "nothing-tried", 3));
}

#[tokio::test(start_paused = true)]
async fn where_dead_letters_are_full_delivery_waits() {
    let mut run = run([(1, vec![Act::Reject])]);
    run.full = 3;
    let ran = run.over(2).await;
    assert_eq!((ran.dead.len(), ran.acknowledged, ran.took), (1, 2, Duration::from_secs(90)));
}

#[tokio::test(start_paused = true)]
async fn what_is_left_when_time_is_up_is_not_acknowledged() {
    let mut run = run([(5, vec![Act::Hang; 99])]).batch_size(2);
    run.give_up = Some(Duration::from_secs(10));
    let ran = run.over(20).await;
    assert!(ran.ended.is_ok());
    assert_eq!((ran.acknowledged, ran.metrics.abandoned.get(), ran.dead.len()), (4, 16, 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_left_and_can_not_be_read_again_becomes_dead_letters() {
    let mut run = run([(5, vec![Act::Hang; 99])]).batch_size(2);
    run.give_up = Some(Duration::from_secs(10));
    run.keep_unfinished = true;
    let ran = run.over(20).await;
    assert_eq!((ran.acknowledged, ran.metrics.abandoned.get()), (20, 0));
    assert_eq!(ran.dead, dead(&(4..20).collect::<Vec<_>>(), "stopped", 0));
}

#[tokio::test(start_paused = true)]
async fn what_can_be_kept_nowhere_when_time_is_up_is_told_and_is_no_defect() {
    let mut run = run([(5, vec![Act::Hang; 99])]).batch_size(2);
    (run.give_up, run.keep_unfinished, run.full) = (Some(Duration::from_secs(10)), true, usize::MAX);
    let ran = run.over(20).await;
    assert!(ran.ended.is_ok(), "{:?}", ran.ended);
    assert_eq!((ran.acknowledged, ran.metrics.abandoned.get(), ran.dead.len()), (4, 16, 0));
}

#[tokio::test(start_paused = true)]
async fn lanes_share_the_work_and_the_position_waits_for_the_slowest() {
    let ran = run([(0, vec![Act::Hang])]).batch_size(1).concurrency(4, 1).over(100).await;
    assert_eq!((ran.acknowledged, ran.metrics.written.get()), (100, 100));
    assert!(ran.took >= Duration::from_secs(30) && ran.took < Duration::from_secs(40), "{:?}", ran.took);
}
