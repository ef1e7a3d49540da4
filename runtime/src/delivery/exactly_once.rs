//! Exactly once: what the sink has stored with its data decides what it gets.
//!
//! A lane offers each batch with the positions at which the path goes on after it, and the sink stores both or nothing.
//! Where an answer leaves open what it has stored, nothing is concluded from it before the sink was asked. What it
//! has is passed over, however often it comes.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::{Instant, sleep, timeout_at};

use super::gate::{Cause, Gate};
use super::instances::{Answer, panic_message};
use super::settings::Settings;
use crate::batch::{Origin, Partition, RowSet};
use crate::defect::{self, Defect};
use crate::envelope::{Envelope, Path};
use crate::sink::{Connect, Failure, FailureKind, Next, Outcome, Refusal};

/// What is known of a sink that is to have each event exactly once. Cloning gives the same.
#[derive(Clone)]
pub struct ExactlyOnce {
    shared: Arc<Shared>,
}

/// What that rests on.
pub struct ExactlyOnceParts {
    /// The account of the path.
    pub account: Path,
    /// Where the path goes on by what was saved elsewhere.
    pub saved: BTreeMap<Partition, u64>,
    /// Everything is to be delivered once more: what the sink has stored is taken back to the beginning.
    pub from_start: bool,
    /// How often positions are stored while there are no events.
    pub interval: Duration,
}

struct Shared {
    parts: ExactlyOnceParts,
    connect: Arc<dyn Connect>,
    gate: Gate,
    timeout: Duration,
    first_pause: Duration,
    longest_pause: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What the sink has, as far as it is known.
    stored: BTreeMap<Partition, u64>,
    standing: Standing,
    /// The positions of the write that is under way, or was last.
    offered: Next,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Standing {
    /// It has what is known, and nothing else.
    #[default]
    Known,
    /// It may have more.
    Unsure,
    /// It is to go back to what is known.
    Ahead,
}

impl ExactlyOnce {
    pub(super) fn new(
        parts: ExactlyOnceParts,
        connect: Arc<dyn Connect>,
        gate: Gate,
        settings: &Settings,
    ) -> ExactlyOnce {
        let shared = Shared {
            parts,
            connect,
            gate,
            timeout: settings.timeout,
            first_pause: settings.retry.initial,
            longest_pause: settings.gate.probe,
            state: Mutex::default(),
        };
        ExactlyOnce { shared: Arc::new(shared) }
    }

    /// Lets the path resume where the sink says, whatever was saved elsewhere. Comes before anything is read, and waits
    /// with the gate closed until the sink answers. The future may be dropped.
    pub async fn resume(&self) {
        let (shared, parts) = (&*self.shared, &self.shared.parts);
        let mut pause = shared.first_pause;
        let mut closed = None;
        let stored = loop {
            match self.ask(&parts.saved, Instant::now() + shared.timeout).await {
                Ok(stored) => break stored,
                Err(failure) => {
                    tracing::warn!(sink = %parts.account.name(), "nothing is read before the sink says what it has: {failure}");
                    let cause = match failure.kind {
                        FailureKind::Halted => Cause::Halted(failure),
                        _ => Cause::Outage(failure),
                    };
                    pause = pause.min(shared.longest_pause);
                    closed = Some(shared.gate.close_for(cause, pause));
                    sleep(pause).await;
                    pause *= 2;
                }
            }
        };
        closed.into_iter().for_each(|closed| shared.gate.open(closed));
        let mut state = self.state();
        if defect::on(Defect::IgnoreStored) {
            return;
        }
        if parts.from_start {
            state.stored = stored.into_keys().map(|partition| (partition, 0)).collect();
            state.standing = if state.stored.is_empty() { Standing::Known } else { Standing::Ahead };
            return;
        }
        parts.account.resume_from(stored.clone());
        state.stored = stored;
    }

    /// How often positions are stored while there are no events.
    pub(super) fn interval(&self) -> Duration {
        self.shared.parts.interval
    }

    /// Whether what the sink has is not known, or not what it should be: nothing is written before [`settle`](Self::settle).
    pub(super) fn is_unsettled(&self) -> bool {
        self.state().standing != Standing::Known
    }

    /// Asks the sink what it has, or finds that it has to go back to these positions.
    pub(super) async fn settle(&self, deadline: Instant) -> Result<Option<Next>, Failure> {
        let known = {
            let mut state = self.state();
            if state.standing == Standing::Ahead {
                state.offered = Next::new(state.stored.clone());
                return Ok(Some(state.offered.clone()));
            }
            state.stored.clone()
        };
        let stored = self.ask(&known, deadline).await?;
        let mut state = self.state();
        raise(&mut state.stored, stored.into_iter());
        state.standing = Standing::Known;
        Ok(None)
    }

    /// An answer that says what was stored; `None` where that has to be asked for first. It is as good as `Err` then.
    pub(super) fn conclude(&self, answer: Answer, origin: &Origin) -> Result<Answer, Answer> {
        let bad = || {
            let message = "the sink went on behind an event that it refused, or can't say what became of one";
            Answer::Failed(Failure::unknown("bad-report", message))
        };
        let answer = match answer {
            Answer::Outcome(Outcome::Partial { refused, stopped_at }) => match stored_rows(&refused, stopped_at) {
                Some(rows) => {
                    let rows = if defect::on(Defect::CoverRefused) { stopped_at } else { rows };
                    self.have(rows, origin);
                    return Ok(Answer::Outcome(Outcome::Partial { refused, stopped_at }));
                }
                None => bad(),
            },
            answer => answer,
        };
        match answer {
            Answer::Outcome(_) => {
                self.have(origin.len(), origin);
                Ok(answer)
            }
            Answer::Failed(Failure { kind: FailureKind::Unknown, .. }) | Answer::TimedOut(_) | Answer::Broke { .. } => {
                self.doubt();
                if defect::on(Defect::ConcludeUnasked) { Ok(answer) } else { Err(answer) }
            }
            Answer::Failed(_) | Answer::NotOpened(_) | Answer::Superseded(_) | Answer::Asked => Ok(answer),
        }
    }

    /// The sink may have more than is known.
    pub(super) fn doubt(&self) {
        let mut state = self.state();
        if state.standing == Standing::Known && !defect::on(Defect::RepeatStored) {
            state.standing = Standing::Unsure;
        }
    }

    /// The first rows of what was offered last are stored, and their positions.
    fn have(&self, rows: usize, origin: &Origin) {
        let mut state = self.state();
        let positions = match rows {
            0 => return,
            _ if rows == origin.len() => state.offered.after_all().clone(),
            _ => state.offered.after(origin, rows),
        };
        raise(&mut state.stored, positions.into_iter());
    }

    /// The positions that were offered alone are stored.
    pub(super) fn have_positions(&self) {
        let mut state = self.state();
        let positions = state.offered.after_all().clone();
        raise(&mut state.stored, positions.into_iter());
        state.standing = Standing::Known;
    }

    /// Nothing that was known of a partition holds any more: whoever gives its events knows what the sink has of it.
    pub fn forget(&self, partition: &Partition) {
        self.state().stored.remove(partition);
    }

    /// What is to be stored together with these events.
    pub(super) fn offer(&self, envelope: &Envelope) -> Next {
        self.offer_with(envelope.next())
    }

    /// What is to be stored though there are no events, if anything is new.
    pub(super) fn offer_alone(&self) -> Option<Next> {
        let next = self.offer_with([].into_iter());
        (!next.after_all().is_empty()).then_some(next)
    }

    fn offer_with<'a>(&self, after: impl Iterator<Item = (&'a Partition, u64)>) -> Next {
        let mut state = self.state();
        let mut next: BTreeMap<Partition, u64> = BTreeMap::new();
        for (partition, position, _) in self.shared.parts.account.progress() {
            if state.stored.get(&partition).is_none_or(|stored| *stored < position) {
                next.insert(partition, position);
            }
        }
        // A partition that was assigned anew has come less far than what was taken of it before.
        let after = after.map(|(partition, position)| (partition.clone(), position));
        let after = after.filter(|(partition, at)| state.stored.get(partition).is_none_or(|stored| stored < at));
        raise(&mut next, after);
        state.offered = Next::new(next);
        state.offered.clone()
    }

    /// The rows that the sink has; and the first one that comes a second time, and is to wait for what becomes of the
    /// first.
    pub(super) fn had(&self, origin: &Origin) -> (RowSet, usize) {
        let state = self.state();
        let stored = |partition: &Partition| state.stored.get(partition).copied().unwrap_or(0);
        let stored: Vec<u64> = origin.partitions().iter().map(stored).collect();
        // For each partition, the position after its last event so far.
        let mut seen = vec![0; stored.len()];
        let mut had = RowSet::default();
        for (span, partition) in origin.spans() {
            let partition = partition as usize;
            for row in span {
                let position = origin.positions()[row];
                if position < stored[partition] {
                    had.push(row as u32);
                    continue;
                }
                if position < seen[partition] {
                    return (had, row);
                }
                seen[partition] = position + 1;
            }
        }
        (had, origin.len())
    }

    async fn ask(
        &self,
        saved: &BTreeMap<Partition, u64>,
        deadline: Instant,
    ) -> Result<BTreeMap<Partition, u64>, Failure> {
        let stored = AssertUnwindSafe(self.shared.connect.stored(saved)).catch_unwind();
        match timeout_at(deadline, stored).await {
            Ok(Ok(Ok(stored))) => Ok(stored),
            Ok(Ok(Err(failure))) if matches!(failure.kind, FailureKind::Transient { .. }) => Err(failure),
            // As from opening: what is not worth repeating needs an operator.
            Ok(Ok(Err(failure))) => Err(Failure { kind: FailureKind::Halted, ..failure }),
            Ok(Err(panic)) => Err(Failure::halted("panic", panic_message(&*panic))),
            Err(_) => Err(Failure::transient("stored-timeout", "it did not say in time what it has")),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A state is whole between any two operations, whoever panicked.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many events are stored, by a report that keeps to what [`Connect::stored`] asks for.
fn stored_rows(refused: &[Refusal], stopped_at: usize) -> Option<usize> {
    match refused {
        [] => Some(stopped_at),
        [Refusal { rows, failure }] => {
            let last = stopped_at.checked_sub(1)?;
            (failure.kind != FailureKind::Unknown && *rows == RowSet::range(last..stopped_at)).then_some(last)
        }
        _ => None,
    }
}

/// Takes over what is further.
fn raise(positions: &mut BTreeMap<Partition, u64>, others: impl Iterator<Item = (Partition, u64)>) {
    for (partition, position) in others {
        positions.entry(partition).and_modify(|known| *known = position.max(*known)).or_insert(position);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Batch, BatchBuilder, Event};
    use crate::envelope::{Block, Final, Ledger, Path, PathName};
    use crate::metrics::SinkMetrics;
    use crate::sink::{Contract, Sink};

    /// A sink that is never opened, and fails so often to say what it has.
    #[derive(Default)]
    struct Asked {
        contract: Contract,
        fails: Mutex<Vec<Failure>>,
    }

    #[async_trait::async_trait]
    impl Connect for Asked {
        fn contract(&self) -> &Contract {
            &self.contract
        }

        async fn open(&self, _: u32) -> Result<Arc<dyn Sink>, Failure> {
            Err(Failure::halted("never", ""))
        }

        async fn stored(&self, _: &BTreeMap<Partition, u64>) -> Result<BTreeMap<Partition, u64>, Failure> {
            let failure = self.fails.lock().unwrap().pop();
            failure.map_or_else(|| Ok(BTreeMap::new()), Err)
        }
    }

    /// A path of a ledger, and the account of what its sink has.
    fn account_in(ledger: &mut Ledger, stored: &[(&str, u64)]) -> (Path, ExactlyOnce) {
        account_of(ledger, Asked::default(), stored)
    }

    fn account_of(ledger: &mut Ledger, sink: Asked, stored: &[(&str, u64)]) -> (Path, ExactlyOnce) {
        let name = PathName { pipeline: "p".into(), sink: "s".into() };
        let path = ledger.path(name, BTreeMap::new(), Arc::new(SinkMetrics::default()));
        let account = path.clone();
        let saved = BTreeMap::new();
        let parts = ExactlyOnceParts { account, saved, from_start: false, interval: Duration::from_secs(1) };
        let settings = Settings::default();
        let gate = Gate::new(settings.gate.probe);
        let exactly_once = ExactlyOnce::new(parts, Arc::new(sink), gate, &settings);
        exactly_once.state().stored = stored.iter().map(|(name, at)| (Partition::from(*name), *at)).collect();
        (path, exactly_once)
    }

    fn account(stored: &[(&str, u64)]) -> ExactlyOnce {
        account_in(&mut Ledger::new(), stored).1
    }

    fn batch(events: &[(&str, u64)]) -> Batch {
        let mut builder = BatchBuilder::new();
        for (name, position) in events {
            builder.push(&Partition::from(*name), Event { position: *position, ..Event::default() });
        }
        builder.finish().unwrap()
    }

    #[test]
    fn what_the_sink_has_is_passed_over_and_a_repeat_waits() {
        let had = |stored: &[(&str, u64)], events: &[(&str, u64)]| {
            let (had, end) = account(stored).had(batch(events).origin());
            (had.iter().collect::<Vec<_>>(), end)
        };
        assert_eq!(had(&[], &[("a", 0), ("a", 3), ("b", 1)]), (vec![], 3));
        assert_eq!(had(&[("a", 3)], &[("a", 0), ("a", 3), ("b", 1)]), (vec![0], 3));
        assert_eq!(had(&[], &[("a", 3), ("b", 1), ("a", 3)]), (vec![], 2));
        // Assigned anew, a partition comes again from before what the sink has.
        assert_eq!(had(&[("a", 3)], &[("a", 5), ("a", 1), ("a", 2), ("a", 4), ("a", 5)]), (vec![1, 2], 3));
    }

    #[tokio::test(start_paused = true)]
    async fn the_gate_says_why_nothing_is_read_yet() {
        for (failure, name) in [(Failure::halted("401", ""), "halted"), (Failure::transient("down", ""), "outage")] {
            let sink = Asked { fails: Mutex::new(vec![failure.clone(); 3]), ..Asked::default() };
            let (_, once) = account_of(&mut Ledger::new(), sink, &[]);
            tokio::join!(once.resume(), async {
                sleep(Duration::from_millis(1)).await;
                let cause = match name {
                    "halted" => Cause::Halted(failure.clone()),
                    _ => Cause::Outage(failure.clone()),
                };
                assert_eq!(once.shared.gate.closed(), Some(cause));
            });
            assert_eq!(once.shared.gate.closed(), None, "{name}");
        }
    }

    #[test]
    fn doubt_does_not_forget_that_the_sink_is_to_go_back() {
        let once = account(&[]);
        once.doubt();
        assert!(once.state().standing == Standing::Unsure);
        once.state().standing = Standing::Ahead;
        once.doubt();
        assert!(once.state().standing == Standing::Ahead);
    }

    #[test]
    fn a_report_that_goes_on_behind_a_refused_event_says_nothing() {
        let refusal = |rows: &[u32], failure| Refusal { rows: RowSet::from_rows(rows.to_vec()), failure };
        let rejected = || Failure::rejected("bad", "");
        assert_eq!(stored_rows(&[], 4), Some(4));
        assert_eq!(stored_rows(&[refusal(&[3], rejected())], 4), Some(3));
        assert_eq!(stored_rows(&[refusal(&[2], rejected())], 4), None);
        assert_eq!(stored_rows(&[refusal(&[2, 3], rejected())], 4), None);
        assert_eq!(stored_rows(&[refusal(&[3], Failure::unknown("lost", ""))], 4), None);
    }

    #[test]
    fn of_a_partition_that_is_forgotten_everything_is_taken() {
        let exactly_once = account(&[("a", 3), ("b", 9)]);
        exactly_once.forget(&Partition::from("a"));
        let (had, _) = exactly_once.had(batch(&[("a", 0), ("b", 1), ("a", 3)]).origin());
        assert_eq!(had.iter().collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn positions_are_offered_alone_while_the_sink_lacks_them() {
        let (mut ledger, partition) = (Ledger::new(), Partition::from("a"));
        let (path, exactly_once) = account_in(&mut ledger, &[]);
        assert!(exactly_once.offer_alone().is_none(), "nothing is final");
        let block = Block { batch: batch(&[("a", 0)]), ends: vec![(partition.clone(), 1)], rejects: None };
        ledger.assign(&partition, 0);
        path.take(&block, &RowSet::all(1)).unwrap().unwrap().settle(Final::Written);
        let offered = exactly_once.offer_alone().unwrap();
        assert_eq!(offered.after_all(), &BTreeMap::from([(partition, 1)]));
        exactly_once.have_positions();
        assert!(exactly_once.offer_alone().is_none(), "it has them");
    }
}
