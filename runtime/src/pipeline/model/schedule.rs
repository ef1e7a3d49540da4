//! What happens in one test of the path: all of it follows from a seed.
#![allow(clippy::needless_update, reason = "settings that a schedule does not draw yet stay as they are by default")]

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use super::draw::Rng;
use crate::config::{Match, OnConditionError, Otherwise, Routing};
use crate::delivery::{BufferSettings, Concurrency, GateSettings, Order, Outage, RetrySettings, Settings, WhenFull};
use crate::expr::Template;
use crate::sink::Contract;
use crate::units::rate::Rate;

/// What happens, from the first run to the last.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    /// By partition, then by position.
    pub(super) events: Vec<Event>,
    pub(super) partitions: Vec<Partition>,
    pub(super) pipelines: Vec<Pipeline>,
    /// The last one is healthy and runs to its end.
    pub(super) runs: Vec<Run>,
    pub(super) replayable: bool,
    pub(super) prompt: bool,
    pub(super) position_interval: Duration,
    pub(super) revoke_timeout: Duration,
}

#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) partition: usize,
    pub(super) position: u64,
    pub(super) key: Option<u64>,
    pub(super) body: Body,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// JSON with this number, and so many bytes more.
    Number(u64, usize),
    Tombstone,
    NotJson,
    /// Framing rejects it.
    Unframed,
}

/// Its events, as a range of all; and the position after the last one.
#[derive(Clone, Debug)]
pub(super) struct Partition {
    pub(super) first: usize,
    pub(super) len: usize,
    pub(super) end: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Pipeline {
    pub(super) routing: Routing,
    /// Its template gives events a key that have none.
    pub(super) keyed: bool,
    pub(super) sinks: Vec<Sink>,
}

#[derive(Clone, Debug)]
pub(super) struct Sink {
    pub(super) when: Option<When>,
    pub(super) settings: Settings,
    pub(super) contract: Contract,
    /// As in the contract.
    pub(super) destination: Option<Destination>,
    pub(super) encoding: Option<Encoding>,
    /// What it does with an event, attempt after attempt; after the last entry it writes it.
    pub(super) acts: BTreeMap<usize, Vec<Act>>,
    /// What it does when it is asked what it has, or gets positions alone, time after time; after the last entry it
    /// answers.
    pub(super) asks: Vec<Opening>,
    /// What opening does, time after time; after the last entry it works.
    pub(super) opens: Vec<Opening>,
    pub(super) closes: Vec<Closing>,
    /// How long a call takes, before and after it writes.
    pub(super) takes: (u64, u64),
}

/// What a sink's encoder does.
#[derive(Clone, Debug, Default)]
pub(super) struct Encoding {
    /// Of each event it makes one value, but of these.
    pub(super) shapes: BTreeMap<usize, Shape>,
    /// How often it can't be opened at first.
    pub(super) closed: u32,
    /// Milliseconds that a call takes.
    pub(super) takes: u64,
    /// Never more events than this in one call.
    pub(super) max_events: Option<NonZeroUsize>,
}

impl Encoding {
    /// Whether it makes one value of several events.
    pub(super) fn merges(&self) -> bool {
        self.shapes.values().any(|shape| matches!(shape, Shape::Merged(_)))
    }
}

/// What an encoder makes of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Nothing,
    Several(u32),
    /// One value of this event and those that come next in the call, so many of them.
    Merged(u32),
    Refused,
    /// The whole call fails.
    Fails,
    Breaks,
    Hangs,
}

/// A condition.
#[derive(Clone, Copy, Debug)]
pub(super) enum When {
    AtLeast(u64),
    Below(u64),
    KeyIs(u64),
    /// It can't be answered for any event.
    Broken,
}

/// What says where an event goes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Destination {
    ByKey,
    ByNumber,
}

/// Numbers tell failures of a kind apart by their codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Transient(u8),
    Advised(u64),
    Reject(u8),
    Unknown,
    Halted,
    /// From here on the write fails as a whole.
    AllTransient,
    AllAdvised(u64),
    AllRejected,
    AllUnknown,
    AllHalted,
    /// Everything is written, and the answer is lost.
    WrittenUnknown,
    Trap,
    WrittenTrap,
    Panic,
    Hang,
    WrittenHang,
    /// Stops before this event and says nothing of it.
    Idle,
    /// Names an event that is not there.
    Lie,
    /// Takes so many milliseconds more.
    Slow(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    Works,
    Transient,
    Halted,
    Rejected,
    Hang,
    Panic,
    Slow(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closing {
    Works,
    Fails,
    Hangs,
    Panics,
    Slow(u64),
}

/// What keeping a dead letter does, time after time; after the last entry it works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keeping {
    Works,
    Full,
    Fails,
    /// Takes so many milliseconds, before and after the letter is durable.
    Slow(u64, u64),
}

/// One run of the program.
#[derive(Clone, Debug, Default)]
pub(super) struct Run {
    /// What the source draws from.
    pub(super) seed: u64,
    /// Acts and troubles happen.
    pub(super) troubled: bool,
    /// Milliseconds since the run began, as all times.
    pub(super) kill: Option<u64>,
    pub(super) stop: Option<u64>,
    pub(super) give_up: Option<u64>,
    /// In percent of what the source does.
    pub(super) pauses: u64,
    pub(super) reassigns: u64,
    pub(super) errors: u64,
    /// Writes before it began that sinks with positions of their own have no more.
    pub(super) taken_back: usize,
    /// Of all saves, the percentage that fails.
    pub(super) unsaved: u64,
    pub(super) block: u64,
    pub(super) keeping: Vec<Keeping>,
}

impl Sink {
    /// How many calls may be under way in a line, in which the sink keeps their order.
    pub(super) fn ahead(&self) -> usize {
        let alone = self.settings.concurrency.most().get() == 1 && !self.settings.exactly_once;
        if alone { self.contract.ahead.min(self.contract.overlap).get() } else { 1 }
    }
}

impl Schedule {
    pub(super) fn draw(seed: u64) -> Schedule {
        let rng = &mut Rng::new(seed);
        let replayable = rng.percent(88);
        let (events, partitions) = events(rng);
        let trouble = rng.pick(&[0, 5, 20, 20, 50, 90]);
        let pipelines = (0..rng.pick(&[1, 1, 2])).map(|_| pipeline(rng, events.len(), trouble, replayable)).collect();
        let restarts = if replayable { rng.pick(&[0, 0, 1, 1, 2, 3]) } else { 0 };
        let mut runs: Vec<Run> = (0..restarts).map(|_| run(rng, replayable, true)).collect();
        let mut last = run(rng, replayable, false);
        if restarts > 0 {
            last.troubled = false;
            last.keeping.clear();
        }
        runs.push(last);
        for run in runs.iter_mut().skip(1) {
            run.taken_back = rng.pick(&[0, 0, 0, 1, 2, 50]);
        }
        let position_interval = Duration::from_millis(rng.pick(&[20, 100, 300, 1000]));
        let prompt = rng.percent(30);
        let revoke_timeout = Duration::from_millis(rng.pick(&[0, 20, 1000, 30_000]));
        Schedule { events, partitions, pipelines, runs, replayable, prompt, position_interval, revoke_timeout }
    }
}

fn events(rng: &mut Rng) -> (Vec<Event>, Vec<Partition>) {
    let (mut events, mut partitions) = (Vec::new(), Vec::new());
    let most = rng.pick(&[4, 10, 20, 60]);
    let plain = rng.percent(40);
    let count: usize = rng.pick(&[1, 1, 2, 3]);
    for partition in 0..count {
        let (first, mut position) = (events.len(), if rng.percent(30) { rng.below(100) } else { 0 });
        for _ in 0..rng.within(u64::from(partition == 0), most / count as u64) {
            let body = match rng.below(if plain { 14 } else { 20 }) {
                0..14 => Body::Number(rng.below(8), if rng.percent(10) { rng.scale(200) as usize } else { 0 }),
                14..16 => Body::Tombstone,
                16..18 => Body::NotJson,
                _ => Body::Unframed,
            };
            let key = rng.percent(50).then(|| rng.below(4));
            events.push(Event { partition, position, key, body });
            position += if rng.percent(20) { rng.within(1, 9) } else { 1 };
        }
        partitions.push(Partition { first, len: events.len() - first, end: position });
    }
    let partitions = partitions.into_iter().map(|p| Partition { end: p.end.max(1), ..p }).collect();
    (events, partitions)
}

fn pipeline(rng: &mut Rng, events: usize, trouble: u64, replayable: bool) -> Pipeline {
    let routing = Routing {
        mode: if rng.percent(30) { Match::First } else { Match::All },
        otherwise: if rng.percent(50) { Otherwise::Reject } else { Otherwise::Drop },
        on_condition_error: if rng.percent(50) { OnConditionError::Reject } else { OnConditionError::False },
        ..Routing::default()
    };
    Pipeline {
        routing,
        keyed: rng.percent(25),
        sinks: (0..rng.pick(&[1, 1, 2, 3])).map(|_| sink(rng, events, trouble, replayable)).collect(),
    }
}

fn sink(rng: &mut Rng, events: usize, trouble: u64, replayable: bool) -> Sink {
    let when = rng.percent(40).then(|| match rng.below(8) {
        0..3 => When::AtLeast(rng.below(8)),
        3..6 => When::Below(rng.below(8)),
        6 => When::KeyIs(rng.below(4)),
        _ => When::Broken,
    });
    let destination = rng.percent(15).then(|| rng.pick(&[Destination::ByKey, Destination::ByNumber]));
    let contract = Contract {
        destination: destination.map(|by| Template::parse(by.text()).expect("a template of the model")),
        max_events: rng.percent(10).then(|| nonzero(rng.scale(16))),
        max_bytes: rng.percent(10).then(|| nonzero(rng.within(30, 300))),
        overlap: nonzero(rng.pick(&[1, 1, 1, 2, 3])),
        stops_in_order: rng.percent(80),
        ..Contract::default()
    };
    let mut acts = BTreeMap::new();
    if trouble > 0 {
        let alike = rng.percent(40).then(|| act(rng));
        for event in 0..events {
            if rng.percent(trouble) {
                let one = |rng: &mut Rng| alike.unwrap_or_else(|| act(rng));
                acts.insert(event, (0..rng.pick(&[1, 1, 2, 3, 6])).map(|_| one(rng)).collect());
            }
        }
    }
    let mut settings = settings(rng);
    if trouble > 0 && rng.percent(6) {
        // A wrong path: everything is rejected, always.
        acts = (0..events).map(|event| (event, vec![Act::AllRejected; 20])).collect();
        settings.batch_size = nonzero(rng.within(20, 40));
        settings.concurrency = Concurrency::Fixed(nonzero(1));
    }
    let troubles = if rng.percent(trouble / 2) { rng.scale(6) } else { 0 };
    let opens = (0..troubles).map(|_| opening(rng)).collect();
    let closes = (0..troubles).map(|_| closing(rng)).collect();
    let takes = if rng.percent(40) { (rng.below(20), rng.below(20)) } else { (0, 0) };
    let asks = Vec::new();
    let sink = Sink { when, settings, contract, destination, encoding: None, acts, asks, opens, closes, takes };
    let sink = if replayable && rng.percent(20) { exactly_once(rng, sink, troubles) } else { sink };
    // Drawn last, so that what was drawn before stays what it was.
    let encoding = (rng.percent(25) && !sink.settings.exactly_once).then(|| encoding(rng, events));
    let mut sink = Sink { encoding, ..sink };
    let alone = sink.settings.concurrency.most().get() == 1;
    if alone && rng.percent(50) && !sink.settings.exactly_once {
        sink.contract.ahead = nonzero(rng.pick(&[2, 3, 5]));
        sink.contract.overlap = sink.contract.ahead;
        // Some are under way for a while.
        sink.takes = (rng.below(20), rng.below(20));
        // Handing over takes its time beside that. What never fits would be an outage without an end.
        sink.settings.timeout = sink.settings.timeout.max(Duration::from_millis(100));
    }
    sink
}

/// With the settings that this needs, and what the sink promises in return.
fn exactly_once(rng: &mut Rng, mut sink: Sink, troubles: u64) -> Sink {
    sink.settings.exactly_once = true;
    sink.settings.concurrency = Concurrency::Fixed(nonzero(1));
    sink.settings.order = Order::None;
    sink.settings.required = true;
    sink.settings.buffer.when_full = WhenFull::Block;
    // Batches are not cut by destination.
    sink.destination = None;
    sink.contract.stops_in_order = true;
    // It does not know what became of one event alone.
    for act in sink.acts.values_mut().flatten().filter(|act| **act == Act::Unknown) {
        *act = Act::AllUnknown;
    }
    sink.asks = (0..troubles).map(|_| opening(rng)).collect();
    sink
}

fn encoding(rng: &mut Rng, events: usize) -> Encoding {
    let odd = rng.pick(&[0, 20, 20, 60]);
    let bad = rng.pick(&[0, 0, 5, 20]);
    let mut shapes = BTreeMap::new();
    for event in 0..events {
        let shape = if rng.percent(bad) {
            rng.pick(&[Shape::Refused, Shape::Refused, Shape::Fails, Shape::Fails, Shape::Breaks, Shape::Hangs])
        } else if rng.percent(odd) {
            let more = rng.within(2, 4) as u32;
            rng.pick(&[Shape::Nothing, Shape::Several(more), Shape::Several(more), Shape::Merged(more)])
        } else {
            continue;
        };
        shapes.insert(event, shape);
    }
    Encoding {
        shapes,
        closed: rng.pick(&[0, 0, 0, 0, 1, 3]),
        takes: rng.pick(&[0, 0, 0, 5, 20]),
        max_events: rng.percent(10).then(|| nonzero(rng.scale(8))),
    }
}

fn opening(rng: &mut Rng) -> Opening {
    use Opening::*;
    let slow = Slow(rng.scale(500));
    rng.pick(&[Works, Works, Transient, Halted, Rejected, Hang, Panic, slow, slow])
}

fn closing(rng: &mut Rng) -> Closing {
    use Closing::*;
    let slow = Slow(rng.scale(500));
    rng.pick(&[Works, Fails, Hangs, Panics, slow])
}

fn act(rng: &mut Rng) -> Act {
    use Act::*;
    match rng.below(20) {
        0 | 1 => Transient(rng.below(3) as u8),
        2 => Advised(rng.scale(1000)),
        3 => Reject(rng.below(3) as u8),
        4 => Unknown,
        5 => Halted,
        6 => AllTransient,
        7 => AllAdvised(rng.scale(1000)),
        8 => AllRejected,
        9 => AllUnknown,
        10 => AllHalted,
        11 => WrittenUnknown,
        12 => Trap,
        13 => WrittenTrap,
        14 => Panic,
        15 => Hang,
        16 => WrittenHang,
        17 => Idle,
        18 => Lie,
        _ => Slow(rng.scale(2000)),
    }
}

fn settings(rng: &mut Rng) -> Settings {
    let millis = |rng: &mut Rng, most| Duration::from_millis(rng.scale(most));
    let retry = RetrySettings {
        attempts: rng.percent(85).then(|| nonzero32(rng.within(1, 4))),
        initial: millis(rng, 200),
        max: millis(rng, 1000),
        max_elapsed: rng.percent(10).then(|| millis(rng, 2000)),
        max_advice: millis(rng, 2000),
        unknown: nonzero32(rng.within(1, 3)),
        outage: if rng.percent(50) { Outage::Wait } else { Outage::DeadLetter },
        ..RetrySettings::default()
    };
    let buffer = BufferSettings {
        max_bytes: Some(if rng.percent(50) { rng.within(40, 1500) } else { 1 << 20 }),
        when_full: if rng.percent(10) { WhenFull::DropNewest } else { WhenFull::Block },
        ..BufferSettings::default()
    };
    let concurrency = match rng.pick(&[1, 1, 1, 2, 3, 4, 4, 0]) {
        0 => Concurrency::Adaptive,
        writes => Concurrency::Fixed(nonzero(writes)),
    };
    let by_key = rng.percent(30) && concurrency != Concurrency::Adaptive;
    Settings {
        batch_size: nonzero(rng.scale(40)),
        batch_bytes: if rng.percent(25) { rng.within(30, 600) } else { 10_000_000 },
        batch_timeout: millis(rng, 1000),
        timeout: Duration::from_millis(rng.within(50, 1000)),
        concurrency,
        order: if by_key { Order::Key } else { Order::None },
        max_groups: nonzero(rng.pick(&[1, 2, 1000])),
        rate_limit: if rng.percent(12) { Rate::new(rng.pick(&[5.0, 50.0, 500.0])) } else { None },
        required: rng.percent(75),
        retry,
        buffer,
        gate: GateSettings { probe: Duration::from_millis(rng.within(20, 1000)) },
        ..Settings::default()
    }
}

/// One that something happens to, or one that may go on to its end.
fn run(rng: &mut Rng, replayable: bool, ends_early: bool) -> Run {
    let soon = |rng: &mut Rng| rng.scale(10_000);
    let mut run = Run {
        seed: rng.next(),
        troubled: true,
        pauses: rng.pick(&[0, 0, 30, 80]),
        reassigns: if replayable { rng.pick(&[0, 0, 0, 5, 30]) } else { 0 },
        block: rng.scale(60),
        ..Run::default()
    };
    if rng.percent(40) {
        let keeping = |rng: &mut Rng| match rng.below(4) {
            0 => Keeping::Works,
            1 => Keeping::Full,
            _ => Keeping::Slow(rng.below(100), rng.below(100)),
        };
        run.keeping = (0..rng.scale(10)).map(|_| keeping(rng)).collect();
    }
    if ends_early {
        run.unsaved = rng.pick(&[0, 0, 0, 30]);
        match rng.below(10) {
            0..6 => run.kill = Some(soon(rng)),
            6 => run.stop = Some(soon(rng)),
            7 => run.give_up = Some(soon(rng)),
            8 => {
                let stop = soon(rng);
                run.stop = Some(stop);
                run.give_up = Some(stop + soon(rng));
            }
            _ => {
                run.errors = 10;
                if rng.percent(50) {
                    run.keeping.push(Keeping::Fails);
                }
            }
        }
    } else if !replayable && rng.percent(60) {
        let stop = soon(rng);
        run.stop = Some(stop);
        run.give_up = rng.percent(70).then(|| stop + soon(rng));
        if run.give_up.is_some() {
            // There is nowhere to keep what is left.
            run.keeping.retain(|keeping| *keeping != Keeping::Full);
        }
    }
    run
}

fn nonzero(n: u64) -> NonZeroUsize {
    NonZeroUsize::new(n as usize).unwrap_or(NonZeroUsize::MIN)
}

fn nonzero32(n: u64) -> NonZeroU32 {
    NonZeroU32::new(n as u32).unwrap_or(NonZeroU32::MIN)
}

impl Event {
    /// What it carries; `number` is the event's among all.
    pub(super) fn payload(&self, number: usize) -> Option<String> {
        match self.body {
            Body::Number(n, 0) => Some(format!(r#"{{"n":{n},"id":{number}}}"#)),
            Body::Number(n, more) => Some(format!(r#"{{"n":{n},"id":{number},"more":"{}"}}"#, "x".repeat(more))),
            Body::Tombstone => None,
            Body::NotJson => Some(format!("no JSON {number}")),
            Body::Unframed => Some(format!("too long {number}")),
        }
    }

    /// Its own, or the one that the template of a keyed pipeline gives it.
    pub(super) fn key(&self, keyed: bool) -> Option<u64> {
        self.key.or(match self.body {
            Body::Number(n, _) if keyed => Some(n),
            _ => None,
        })
    }
}

impl When {
    pub(super) fn text(self) -> String {
        match self {
            When::AtLeast(n) => format!("event.n >= {n}"),
            When::Below(n) => format!("event.n < {n}"),
            When::KeyIs(key) => format!(r#"key == "k{key}""#),
            When::Broken => "event.missing > 1".into(),
        }
    }

    /// `None` where it fails.
    pub(super) fn holds(self, event: &Event, keyed: bool) -> Option<bool> {
        match (self, event.body) {
            (When::KeyIs(key), _) => Some(event.key(keyed) == Some(key)),
            (When::AtLeast(least), Body::Number(n, _)) => Some(n >= least),
            (When::Below(bound), Body::Number(n, _)) => Some(n < bound),
            _ => None,
        }
    }
}

/// The template of a keyed pipeline.
pub(super) const KEY: &str = "k{event:/n}";

/// The key of a number, as text.
pub(super) fn key_text(key: u64) -> String {
    format!("k{key}")
}

impl Destination {
    pub(super) fn text(self) -> &'static str {
        match self {
            Destination::ByKey => "t/{key}",
            Destination::ByNumber => "{event:/n}",
        }
    }

    /// `None` where the event lacks what the template needs.
    pub(super) fn of(self, event: &Event, keyed: bool) -> Option<u64> {
        match (self, event.body) {
            (Destination::ByKey, _) => event.key(keyed),
            (Destination::ByNumber, Body::Number(n, _)) => Some(n),
            (Destination::ByNumber, _) => None,
        }
    }
}
