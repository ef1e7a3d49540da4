//! Any order of appending, failing, reading, settling and crashing, against a model.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Append(u64),
    /// The disk fails once in this way, and the events are given again.
    FailedWrite(usize),
    FailedSync(bool),
    /// Events are written while others are synced, which may fail.
    Ahead {
        events: u64,
        fails: bool,
        truncate: bool,
    },
    /// The process ends while events are written behind others that are durable.
    KillAhead(u64),
    Read,
    /// So many more events are final.
    Settle(u64),
    Save,
    Reclaim(bool),
    Kill,
    PowerCut(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (1..9u64).prop_map(Step::Append),
        1 => (0..2_000usize).prop_map(Step::FailedWrite),
        1 => any::<bool>().prop_map(Step::FailedSync),
        3 => (1..9u64, any::<bool>(), any::<bool>())
            .prop_map(|(events, fails, truncate)| Step::Ahead { events, fails, truncate }),
        1 => (1..9u64).prop_map(Step::KillAhead),
        3 => Just(Step::Read),
        3 => (0..20u64).prop_map(Step::Settle),
        1 => Just(Step::Save),
        2 => any::<bool>().prop_map(Step::Reclaim),
        1 => Just(Step::Kill),
        1 => (0..3_000usize).prop_map(Step::PowerCut),
    ]
}

struct Run {
    disk: Faulty,
    log: Log,
    reader: Reader,
    /// Events before are durable.
    end: u64,
    /// Events before were read back in this run, or are final.
    read: u64,
    settled: u64,
    saved: u64,
}

impl Run {
    fn crash(&mut self) {
        self.disk.heal();
        let (log, reader, found) = opened(&self.disk, &Again::default());
        assert_eq!((log.end(), found.lost), (self.end, 0), "nothing that is durable is lost");
        assert!(found.position >= self.saved, "what is final and saved does not come again");
        // What is all delivered is known from segments alone where the position was not saved.
        assert!(found.position <= self.settled, "nothing is passed over");
        (self.log, self.reader) = (log, reader);
        (self.read, self.settled, self.saved) = (found.position, found.position, found.position);
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Append(events) => {
                append(&mut self.log, events).unwrap();
                self.end += events;
            }
            Step::FailedWrite(space) => {
                locked(&self.disk.faults).space = Some(space as u64);
                self.end += if append(&mut self.log, 3).is_ok() { 3 } else { 0 };
                self.disk.heal();
            }
            Step::FailedSync(truncate) => {
                *locked(&self.disk.faults) = faulty::Faults { syncs: 1, truncate, ..Default::default() };
                append(&mut self.log, 3).unwrap_err();
                self.disk.heal();
                append(&mut self.log, 3).unwrap();
                self.end += 3;
            }
            Step::Ahead { events, fails, truncate } => {
                let (from, to) = (self.end, self.end + 2);
                let first = ahead(&mut self.log, from..to).unwrap().unwrap();
                let second = ahead(&mut self.log, to..to + events).unwrap();
                self.log.reclaim(self.settled, truncate);
                *locked(&self.disk.faults) = faulty::Faults { syncs: fails.into(), truncate, ..Default::default() };
                let synced = sync(&mut self.log, &first);
                self.disk.heal();
                match (synced, second) {
                    (Err(_), _) => append(&mut self.log, 2 + events).unwrap(),
                    (Ok(()), Some(second)) => sync(&mut self.log, &second).unwrap(),
                    (Ok(()), None) => append(&mut self.log, events).unwrap(),
                }
                self.end = to + events;
            }
            Step::KillAhead(events) => {
                let (from, to) = (self.end, self.end + 2);
                let first = ahead(&mut self.log, from..to).unwrap().unwrap();
                let second = ahead(&mut self.log, to..to + events).unwrap();
                sync(&mut self.log, &first).unwrap();
                // What nobody was told of may be there all the same.
                self.end = if second.is_some() { to + events } else { to };
                self.crash();
            }
            Step::Read => {
                let read = rest(&mut self.reader);
                assert_eq!(read, ((self.read..self.end).collect(), 0), "in order, and each once");
                self.read = self.end;
            }
            Step::Settle(events) => self.settled = (self.settled + events).min(self.read),
            Step::Save => {
                self.log.save(self.settled).unwrap();
                self.saved = self.settled;
            }
            Step::Reclaim(all) => {
                self.log.reclaim(self.settled, all);
                if all && self.settled == self.end {
                    assert_eq!(self.log.bytes(), 0, "what is delivered takes no room");
                }
            }
            Step::Kill => self.crash(),
            Step::PowerCut(torn) => {
                self.disk.power_cut(torn);
                self.crash();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn nothing_durable_is_lost_and_nothing_final_and_saved_comes_again(
        steps in proptest::collection::vec(step(), 1..60),
    ) {
        let disk = Faulty::default();
        let (log, reader, _) = opened(&disk, &Again::default());
        let mut run = Run { disk, log, reader, end: 0, read: 0, settled: 0, saved: 0 };
        for step in steps {
            run.step(step);
        }
        run.step(Step::Kill);
        run.step(Step::Read);
    }
}
