//! What there is outside of the path, and outlives its runs: what sinks have, what was kept, what was promised.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::calls::Row;
use super::encoder::Told;
use super::gate::GateModel;
use super::instances::{Instance, Openings};
use super::line::Line;
use super::once::Has;
use super::order::Course;
use super::rate::RateModel;
use super::revoked::Holding;
use super::schedule::{Body, Closing, Keeping, Opening, Schedule, key_text};
use crate::batch::{Batch, Partition};
use crate::config::{Match, OnConditionError, Otherwise};
use crate::delivery::{Gate, Queue};
use crate::envelope::PathName;
use crate::metrics::SinkMetrics;
use crate::sink::FailureKind;

/// What must hold, and did not.
#[derive(Clone, Debug)]
pub(super) struct Violation {
    /// The name of the invariant.
    pub(super) rule: &'static str,
    pub(super) story: String,
}

/// The name of no sink.
pub(super) const NOBODY: &str = "*";

/// Calls in one run beyond which it goes round in circles.
const MOST_CALLS: usize = 20_000;

/// See [`State`]. Cloning gives the same world.
#[derive(Clone)]
pub(super) struct World {
    state: Arc<Mutex<State>>,
    /// Something is wrong: the run may end.
    pub(super) wrong: Arc<Notify>,
}

pub(super) struct State {
    pub(super) schedule: Arc<Schedule>,
    pub(super) paths: Vec<Path>,
    /// The run, from 0.
    pub(super) run: usize,
    pub(super) began: Instant,
    /// The run was killed: nothing that happens from here on has ever happened.
    pub(super) killed: bool,
    pub(super) given_up: Option<Instant>,
    /// Partitions whose assignment began more than once in this run.
    pub(super) reassigned: Vec<bool>,
    pub(super) holdings: Vec<Holding>,
    /// Whether the source was opened in this run.
    pub(super) opened: bool,
    /// The run met an error that ends it early, as its schedule says.
    pub(super) failing: bool,
    pub(super) kept: usize,
    pub(super) calls: usize,
    pub(super) violation: Option<Violation>,
    /// Positions as saved last.
    pub(super) saved: BTreeMap<PathName, BTreeMap<Partition, u64>>,
    pub(super) acknowledged: Vec<u64>,
    /// Where the source said that it goes on, in any run.
    pub(super) reached: BTreeSet<(usize, u64)>,
    pub(super) trace: Option<Vec<String>>,
}

/// One sink, or what rejects events without one.
pub(super) struct Path {
    pub(super) name: PathName,
    /// Its sink in the schedule: pipeline and number.
    pub(super) sink: Option<(usize, usize)>,
    /// For each event, whether its route leads here; and with which code if that is the dead letters.
    pub(super) takes: Vec<Option<&'static str>>,
    pub(super) events: Vec<EventState>,
    /// What its sink has, where that stores positions with its data.
    pub(super) has: Option<Has>,
    pub(super) instances: Vec<Instance>,
    /// Calls under way whose order the sink keeps itself.
    pub(super) line: Line,
    pub(super) in_flight: usize,
    pub(super) opened: usize,
    pub(super) closed: usize,
    pub(super) opening: Openings,
    /// How often its encoder was opened, or was not.
    pub(super) encoder_opened: u32,
    /// Calls of its encoder in a row that made nothing.
    pub(super) encoder_fruitless: u32,
    /// In this run opening failed, which charges events that the sink does not get to see.
    pub(super) open_failed: bool,
    pub(super) gate: GateModel,
    /// The pipeline gives events a key that have none.
    pub(super) keyed: bool,
    /// For each partition, the position that it resumes from.
    pub(super) resume: Vec<u64>,
    /// The position after the last event that was first written in this run.
    pub(super) highest: BTreeMap<Course, u64>,
    pub(super) rate: RateModel,
    /// Calls that ended in this run.
    pub(super) ended: usize,
    /// Events that were turned away at its queue, for whose dead letters there was no room yet.
    pub(super) diverted: Vec<usize>,
    pub(super) metrics: Arc<SinkMetrics>,
    pub(super) queue: Option<Queue>,
    pub(super) real_gate: Option<Gate>,
    /// Calls in a row that were rejected as a whole, for one batch.
    pub(super) fruitless: u32,
    /// Bytes of the calls in flight.
    pub(super) bytes: usize,
    /// A block larger than the buffer was handed over in this run.
    pub(super) oversized: bool,
    /// Events that were dropped in earlier runs, as asked for.
    pub(super) dropped: u64,
}

/// One event on one path.
#[derive(Clone, Debug, Default)]
pub(super) struct EventState {
    /// Acts that were used up, in all runs.
    pub(super) tries: usize,
    /// It was told that it is written, or it is durably a dead letter, in any run.
    pub(super) settled: bool,
    /// It is durably a dead letter.
    pub(super) kept: bool,
    pub(super) now: Now,
}

/// What happened in this run.
#[derive(Clone, Debug, Default)]
pub(super) struct Now {
    /// Times that the source handed it over.
    pub(super) handed: u32,
    /// Times that it was reported written.
    pub(super) told: u32,
    pub(super) dead: u32,
    /// Times that the encoder left it out.
    pub(super) left_out: u32,
    pub(super) in_flight: u32,
    /// Times that it is on its way to the dead letters.
    pub(super) keeping: u32,
    /// Times that it is there, but nobody was told yet.
    pub(super) kept: u32,
    /// Times that it came to nothing because its partition was taken away.
    pub(super) revoked: u32,
    /// How many assignments of its partition had ended when it was handed over last.
    pub(super) assignment: u32,
    /// Times that its partition was taken away while it was in flight, and it was not written.
    pub(super) late: u32,
    pub(super) tried: bool,
    pub(super) written: bool,
    /// The sink refused it in an answer that was lost, and may think better of it.
    pub(super) forgotten: bool,
    pub(super) transient: u32,
    pub(super) all_transient: u32,
    pub(super) unknown: u32,
    pub(super) all_unknown: u32,
    pub(super) broke: u32,
    pub(super) rejected: u32,
    pub(super) last: Option<(FailureKind, &'static str)>,
    /// When its last call ended, where nothing follows from that at once: the sink is asked what it has, or calls behind it end.
    pub(super) undecided: Option<Instant>,
    /// The events that have to come again together, and with no others.
    pub(super) together: Option<Arc<[usize]>>,
}

impl World {
    pub(super) fn new(schedule: Arc<Schedule>, traced: bool) -> World {
        let partitions = schedule.partitions.len();
        let state = State {
            paths: paths(&schedule),
            run: 0,
            began: Instant::now(),
            killed: false,
            given_up: None,
            reassigned: vec![false; partitions],
            holdings: vec![Holding::default(); partitions],
            opened: false,
            failing: false,
            kept: 0,
            calls: 0,
            violation: None,
            saved: BTreeMap::new(),
            acknowledged: vec![0; partitions],
            reached: BTreeSet::new(),
            trace: traced.then(Vec::new),
            schedule,
        };
        World { state: Arc::new(Mutex::new(state)), wrong: Arc::new(Notify::new()) }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something to the state, and ends the run if that shows that something is wrong.
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let done = act(&mut state);
        if state.violation.is_some() {
            self.wrong.notify_one();
        }
        done
    }
}

impl State {
    pub(super) fn fail(&mut self, rule: &'static str, story: impl FnOnce() -> String) {
        if self.violation.is_none() && !self.killed {
            let story = story();
            self.note(|| format!("VIOLATION of {rule}: {story}"));
            self.violation = Some(Violation { rule, story });
        }
    }

    pub(super) fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(format!("run {} {:>6} ms  {}", self.run, self.began.elapsed().as_millis(), line()));
        }
    }

    pub(super) fn trouble(&self) -> bool {
        self.schedule.runs[self.run].troubled
    }

    /// A new run begins, from what was saved.
    pub(super) fn begin(&mut self, run: usize) {
        self.run = run;
        self.began = Instant::now();
        self.killed = false;
        self.given_up = None;
        self.failing = false;
        (self.kept, self.calls) = (0, 0);
        self.reassigned.fill(false);
        self.holdings.fill(Holding::default());
        self.opened = false;
        let partitions = self.schedule.partitions.len();
        let taken_back = self.schedule.runs[run].taken_back;
        (0..self.paths.len()).for_each(|path| self.take_back(path, taken_back));
        for path in &mut self.paths {
            let saved = self.saved.get(&path.name);
            let resume =
                |partition| saved.and_then(|saved| saved.get(&partition_name(partition))).copied().unwrap_or(0);
            let has = path.has.as_ref();
            path.resume = (0..partitions).map(|at| has.map_or_else(|| resume(at), |has| has.resume(at))).collect();
            path.highest.clear();
            path.diverted.clear();
            path.rate = RateModel::default();
            path.ended = 0;
            path.events.iter_mut().for_each(|event| event.now = Now::default());
            path.instances.clear();
            path.line = Line::default();
            path.opening = Openings::default();
            (path.in_flight, path.bytes, path.oversized) = (0, 0, false);
            path.open_failed = false;
            path.encoder_fruitless = 0;
            path.gate = GateModel::default();
            path.dropped += path.metrics.dropped.get();
            path.metrics = Arc::default();
            (path.queue, path.real_gate) = (None, None);
        }
        self.note(|| "begins".into());
    }

    /// The numbers of a batch's events. What they carry is compared on the way.
    pub(super) fn numbers(&mut self, path: usize, batch: &Batch) -> Vec<usize> {
        let mut numbers = Vec::with_capacity(batch.len());
        let mut alien = None;
        for (rows, partition) in batch.origin().spans() {
            let partition = partition_number(&batch.origin().partitions()[partition as usize]);
            for row in rows {
                let position = batch.origin().positions()[row];
                match self.schedule.find(partition, position) {
                    Some(number) if self.schedule.events[number].is_in(number, batch, row, self.paths[path].keyed) => {
                        numbers.push(number)
                    }
                    _ => alien = Some((partition, position)),
                }
            }
        }
        if let Some((partition, position)) = alien {
            let name = self.paths[path].name.clone();
            self.fail("whole", || format!("{name} got an event at {partition}/{position} that is not what was read"));
        }
        numbers
    }

    /// The events of each value of a batch that an encoder made. What the values carry is compared on the way, and that no
    /// event has values elsewhere.
    pub(super) fn values(&mut self, path: usize, batch: &Batch) -> Vec<Row> {
        let mut values: Vec<Told> = Vec::with_capacity(batch.len());
        let mut problem = None;
        for row in 0..batch.len() {
            let Ok(told) = serde_json::from_slice::<Told>(batch.payload().value(row)) else {
                problem = Some(format!("what no encoder made in row {row}"));
                break;
            };
            let last = told.of.last().copied().unwrap_or(0);
            let (event, position) = (&self.schedule.events[last], batch.origin().positions()[row]);
            let partition = partition_number(batch.origin().partition_of(row));
            let latest = told.of.iter().max().map_or(0, |event| *event as i64);
            if (event.partition, event.position) != (partition, position) || batch.timestamps()[row] != latest {
                problem = Some(format!("{told:?} in the place of another event, {partition}/{position}"));
            } else if !event.carries(last, batch, row, self.paths[path].keyed) {
                problem = Some(format!("{told:?} with another event than event {last} beside it"));
            }
            let fits = match values.last() {
                Some(before) if before.part + 1 < before.parts => {
                    (&told.of, told.part) == (&before.of, before.part + 1)
                }
                _ => told.part == 0,
            };
            if !fits || (row + 1 == batch.len() && told.part + 1 != told.parts) {
                problem = Some(format!("{told:?} after {:?} without what belongs to them", values.last()));
            }
            values.push(told);
        }
        if let Some(problem) = problem {
            let name = self.paths[path].name.clone();
            self.fail("together", || format!("{name} gets {problem}"));
        }
        values.into_iter().map(|told| Row { of: told.of, first: told.part == 0 }).collect()
    }

    /// Whether nothing of this event is left to do on a path.
    pub(super) fn is_settled(&self, path: usize, event: usize) -> bool {
        self.paths[path].takes[event].is_none() || self.paths[path].events[event].settled
    }

    pub(super) fn opening(&mut self, path: usize) -> Opening {
        let Some((pipeline, sink)) = self.paths[path].sink.filter(|_| self.trouble()) else { return Opening::Works };
        let opened = self.paths[path].opened;
        self.paths[path].opened += 1;
        self.schedule.pipelines[pipeline].sinks[sink].opens.get(opened).copied().unwrap_or(Opening::Works)
    }

    pub(super) fn closing(&mut self, path: usize) -> Closing {
        let Some((pipeline, sink)) = self.paths[path].sink.filter(|_| self.trouble()) else { return Closing::Works };
        let closed = self.paths[path].closed;
        self.paths[path].closed += 1;
        self.schedule.pipelines[pipeline].sinks[sink].closes.get(closed).copied().unwrap_or(Closing::Works)
    }

    pub(super) fn keeping(&mut self) -> Keeping {
        self.kept += 1;
        self.schedule.runs[self.run].keeping.get(self.kept - 1).copied().unwrap_or(Keeping::Works)
    }

    pub(super) fn count_call(&mut self) {
        self.calls += 1;
        if self.calls > MOST_CALLS {
            self.fail("terminates", || format!("more than {MOST_CALLS} calls"));
        }
    }

    pub(super) fn path(&self, name: &PathName) -> Option<usize> {
        self.paths.iter().position(|path| path.name == *name)
    }

    pub(super) fn sink(&self, path: usize) -> Option<&super::schedule::Sink> {
        let (pipeline, sink) = self.paths[path].sink?;
        Some(&self.schedule.pipelines[pipeline].sinks[sink])
    }
}

pub(super) fn partition_name(number: usize) -> Partition {
    Partition::from(["a", "b", "c"][number])
}

pub(super) fn partition_number(partition: &Partition) -> usize {
    (partition.as_str().as_bytes()[0] - b'a') as usize
}

/// Virtual time that two clocks may differ by: a timer's tick.
pub(super) const TICK: Duration = Duration::from_millis(2);

impl Schedule {
    /// The number of the event at a position.
    pub(super) fn find(&self, partition: usize, position: u64) -> Option<usize> {
        let place = self.partitions.get(partition)?;
        let events = &self.events[place.first..place.first + place.len];
        events.binary_search_by_key(&position, |event| event.position).ok().map(|at| place.first + at)
    }
}

impl super::schedule::Event {
    fn is_in(&self, number: usize, batch: &Batch, row: usize, keyed: bool) -> bool {
        self.carries(number, batch, row, keyed) && batch.timestamps()[row] == number as i64
    }

    fn carries(&self, number: usize, batch: &Batch, row: usize, keyed: bool) -> bool {
        use arrow_array::Array;
        let value = |column: &arrow_array::BinaryArray| column.is_valid(row).then(|| column.value(row).to_vec());
        value(batch.unencoded()) == self.payload(number).map(String::into_bytes)
            && batch.key().and_then(value) == self.key(keyed).map(|key| key_text(key).into_bytes())
    }
}

fn paths(schedule: &Schedule) -> Vec<Path> {
    let mut paths = Vec::new();
    let mut rejects = Vec::new();
    for (number, pipeline) in schedule.pipelines.iter().enumerate() {
        let sinks = pipeline.sinks.len();
        let mut takes = vec![vec![None; schedule.events.len()]; sinks];
        let mut rejected = vec![None; schedule.events.len()];
        for (event, what) in schedule.events.iter().enumerate().filter(|(_, event)| event.body != Body::Unframed) {
            let (mut taken, mut failed) = (false, false);
            for (sink, takes) in pipeline.sinks.iter().zip(&mut takes) {
                if taken && pipeline.routing.mode == Match::First {
                    break;
                }
                match sink.when.map_or(Some(true), |when| when.holds(what, pipeline.keyed)) {
                    Some(true) => (taken, takes[event]) = (true, Some("")),
                    Some(false) => {}
                    None => failed = true,
                }
            }
            rejected[event] = match (taken, failed && pipeline.routing.on_condition_error == OnConditionError::Reject) {
                (true, _) => None,
                (false, true) => Some("condition-failed"),
                (false, false) => (pipeline.routing.otherwise == Otherwise::Reject).then_some("not-taken"),
            };
        }
        for (sink, takes) in takes.into_iter().enumerate() {
            let (name, at) = (format!("s{sink}"), Some((number, sink)));
            let has = pipeline.sinks[sink].settings.exactly_once.then(Has::default);
            paths.push(Path { has, ..Path::new(&format!("p{number}"), &name, at, takes, pipeline.keyed) });
        }
        rejects.push(Path::new(&format!("p{number}"), NOBODY, None, rejected, pipeline.keyed));
    }
    paths.extend(rejects);
    let unframed = |event: &super::schedule::Event| (event.body == Body::Unframed).then_some("unframed");
    paths.push(Path::new(NOBODY, NOBODY, None, schedule.events.iter().map(unframed).collect(), false));
    paths
}

impl Path {
    fn new(
        pipeline: &str,
        sink: &str,
        at: Option<(usize, usize)>,
        takes: Vec<Option<&'static str>>,
        keyed: bool,
    ) -> Path {
        Path {
            name: PathName { pipeline: pipeline.into(), sink: sink.into() },
            sink: at,
            events: vec![EventState::default(); takes.len()],
            takes,
            has: None,
            instances: Vec::new(),
            line: Line::default(),
            in_flight: 0,
            opened: 0,
            closed: 0,
            opening: Openings::default(),
            encoder_opened: 0,
            encoder_fruitless: 0,
            open_failed: false,
            gate: GateModel::default(),
            keyed,
            resume: Vec::new(),
            highest: BTreeMap::new(),
            rate: RateModel::default(),
            ended: 0,
            diverted: Vec::new(),
            metrics: Arc::default(),
            queue: None,
            real_gate: None,
            fruitless: 0,
            bytes: 0,
            oversized: false,
            dropped: 0,
        }
    }
}
