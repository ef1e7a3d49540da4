//! Calls of a sink: what must hold when one begins, and what follows from how it ends.

use std::sync::Arc;

use tokio::time::Instant;

use super::world::{State, TICK, World};
use crate::batch::Batch;
use crate::delivery::{Concurrency, Outage};
use crate::sink::{FailureKind, WriteContext};

/// What a sink says about one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Written,
    Refused(FailureKind, &'static str),
    Untried,
}

impl Told {
    /// What counts for events that have several values.
    fn weight(self) -> u8 {
        match self {
            Told::Written => 0,
            Told::Untried => 1,
            Told::Refused(FailureKind::Transient { .. }, _) => 2,
            Told::Refused(FailureKind::Unknown, _) => 3,
            Told::Refused(FailureKind::Rejected | FailureKind::Halted, _) => 4,
        }
    }
}

/// How a call ended.
#[derive(Clone, Debug)]
pub(super) enum End {
    /// Event by event.
    Events(Vec<Told>),
    /// As a whole.
    Failed(FailureKind, &'static str),
    /// It was left out: one ahead of it in the line has events that come again.
    Behind,
    /// With its instance.
    Lost(&'static str),
    /// It did not return.
    Dropped,
}

/// One row of a batch: an event, or a value that an encoder made.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// Its events.
    pub(super) of: Vec<usize>,
    /// Whether it is the first that was made of them; the others follow.
    pub(super) first: bool,
}

/// A call in flight. Dropping it is how a call ends that does not return.
pub(super) struct Call {
    pub(super) world: World,
    pub(super) path: usize,
    pub(super) instance: usize,
    pub(super) number: usize,
    /// Each once, in order.
    pub(super) events: Vec<usize>,
    pub(super) rows: Vec<Row>,
    /// For each event, how many assignments of its partition had ended when the call began.
    pub(super) ended_before: Vec<u32>,
    bytes: usize,
    began: Instant,
    deadline: Instant,
    ended: bool,
}

impl Call {
    pub(super) fn begin(world: &World, path: usize, instance: usize, batch: &Batch, context: &WriteContext) -> Call {
        world.with(|state| {
            state.count_call();
            let encoded = state.sink(path).is_some_and(|sink| sink.encoding.is_some());
            let rows: Vec<Row> = match encoded {
                true => state.values(path, batch),
                false => {
                    let row = |event| Row { of: vec![event], first: true };
                    state.numbers(path, batch).into_iter().map(row).collect()
                }
            };
            let events: Vec<usize> = rows.iter().filter(|row| row.first).flat_map(|row| row.of.clone()).collect();
            let number = state.calls;
            let call = Call {
                world: world.clone(),
                path,
                instance,
                number,
                bytes: batch.bytes(),
                began: Instant::now(),
                deadline: context.deadline,
                ended: false,
                ended_before: state.ended_before(path, &events),
                events,
                rows,
            };
            let name = state.paths[path].name.clone();
            state.note(|| format!("{name} call {number} in instance {instance} of {:?}", call.events));
            state.begin_call(&call, context);
            call
        })
    }

    /// What is told of each event: the worst that is told of its rows.
    pub(super) fn of_events(&self, told: &[Told]) -> Vec<Told> {
        let mut of_events = Vec::with_capacity(self.events.len());
        let mut rest = told;
        for rows in self.rows.chunk_by(|_, row| !row.first) {
            let (these, others) = rest.split_at(rows.len());
            // The first of those that are equally bad.
            let worse = |worst: Told, told: Told| if told.weight() > worst.weight() { told } else { worst };
            let worst = these.iter().copied().reduce(worse).unwrap_or(Told::Untried);
            of_events.extend(rows[0].of.iter().map(|_| worst));
            rest = others;
        }
        of_events
    }

    pub(super) fn end(mut self, end: End) {
        self.finish(end);
    }

    fn finish(&mut self, end: End) {
        if !std::mem::replace(&mut self.ended, true) {
            let world = self.world.clone();
            world.with(|state| state.end_call(self, end));
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.finish(End::Dropped);
    }
}

impl State {
    fn begin_call(&mut self, call: &Call, context: &WriteContext) {
        let name = self.paths[call.path].name.clone();
        self.check_instance(call);
        self.check_limits(call);
        self.check_revoked(call);
        self.check_events(call);
        self.check_together(call);
        self.check_destination(call);
        self.check_rate(call);
        let path = &mut self.paths[call.path];
        let passed = path.instances[call.instance].passed();
        if let Some(what) = path.gate.pass(call.number, passed) {
            self.fail("gate", || format!("{name} is called {what}"));
        }
        if context.deadline > call.began + context.timeout + TICK {
            self.fail("deadline", || format!("{name} is given a deadline beyond its timeout"));
        }
        if self.given_up.is_some_and(|at| call.began > at + TICK) {
            self.fail("ends", || format!("{name} is called after time was up"));
        }
        let path = &mut self.paths[call.path];
        path.in_flight += 1;
        path.bytes += call.bytes;
        path.instances[call.instance].in_flight += 1;
        if call.events.iter().any(|event| !path.events[*event].now.tried) {
            path.fruitless = 0;
        }
        for event in &call.events {
            path.events[*event].now.in_flight += 1;
            path.events[*event].now.tried = true;
            path.events[*event].now.undecided = None;
        }
        self.check_memory(call.path);
    }

    fn check_instance(&mut self, call: &Call) {
        let Some(sink) = self.sink(call.path) else { return };
        let (overlap, mut concurrency) = (sink.contract.overlap.get(), sink.settings.concurrency.most().get());
        let path = &self.paths[call.path];
        concurrency = concurrency.max(sink.ahead());
        if sink.settings.concurrency == Concurrency::Adaptive && !path.open_failed {
            // From one on, each call that ends makes it one more at most.
            concurrency = concurrency.min(1 + path.ended);
        }
        let (name, instance, in_flight) = (path.name.clone(), path.instances[call.instance].clone(), path.in_flight);
        let number = call.instance;
        if instance.lost {
            self.fail("instance", || format!("{name} is called in instance {number}, which was lost"));
        }
        if instance.closed {
            self.fail("instance", || format!("{name} is called in instance {number}, which is closed"));
        }
        if instance.in_flight >= overlap {
            self.fail("overlap", || format!("{name} has more than {overlap} calls in instance {number}"));
        }
        if in_flight >= concurrency {
            self.fail("overlap", || format!("{name} has more than {concurrency} calls in flight"));
        }
    }

    fn check_limits(&mut self, call: &Call) {
        let Some(sink) = self.sink(call.path) else { return };
        let most_events =
            sink.contract.max_events.map_or(usize::MAX, |most| most.get()).min(sink.settings.batch_size.get());
        let most_bytes =
            sink.contract.max_bytes.map_or(u64::MAX, |most| most.get() as u64).min(sink.settings.batch_bytes);
        let (events, bytes) = (call.rows.len(), call.bytes as u64);
        let name = self.paths[call.path].name.clone();
        // What hangs together goes together, however much it is.
        let alone = call.rows.iter().skip(1).all(|row| !row.first);
        if events == 0 || (!alone && (events > most_events || bytes > most_bytes)) {
            let most = format!("{most_events} events, {most_bytes} bytes");
            self.fail("limits", || format!("{name} gets a batch of {events} events, {bytes} bytes: at most {most}"));
        }
    }

    fn check_events(&mut self, call: &Call) {
        for event in &call.events {
            let path = &self.paths[call.path];
            let (name, now) = (path.name.clone(), &path.events[*event].now);
            let (handed, done) = (now.handed, now.spent());
            if path.has.as_ref().is_some_and(|has| has.event(*event)) {
                self.fail("once", || format!("{name} gets event {event}, which it has"));
            } else if path.takes[*event].is_none() {
                self.fail("routes", || format!("{name} gets event {event}, which is not for it"));
            } else if done >= handed {
                self.fail("duplicates", || {
                    format!(
                        "{name} gets event {event} again: handed over {handed} times, done or in flight {done} times"
                    )
                });
            }
        }
    }

    /// After an unknown outcome the same events come, with no others.
    fn check_together(&mut self, call: &Call) {
        for event in &call.events {
            let path = &mut self.paths[call.path];
            let Some(together) = path.events[*event].now.together.take() else { continue };
            // Some may be missing whose partition was taken away meanwhile, and what the sink turned out to have.
            let comes = |event: &&usize| {
                let now = &path.events[**event].now;
                call.events.contains(*event) || (now.revoked + now.late == 0 && now.handed == 1)
            };
            let same = match path.has {
                None => together.iter().filter(comes).eq(&call.events),
                Some(_) => call.events.iter().all(|event| together.contains(event)),
            };
            if path.events[*event].now.handed == 1 && !same {
                let (name, events) = (path.name.clone(), &call.events);
                self.fail("unmerged", || format!("{name} gets {events:?} after {together:?} ended unknown"));
            }
        }
    }

    /// The queue still counts what is in flight, and never more than its bound.
    fn check_memory(&mut self, path: usize) {
        let Some(sink) = self.sink(path) else { return };
        let most = sink.settings.buffer.bound();
        let path = &self.paths[path];
        let Some(queue) = &path.queue else { return };
        let (name, counted, in_flight) = (path.name.clone(), queue.bytes(), path.bytes as u64);
        let given_up = self.given_up.is_some();
        if counted > most {
            self.fail("memory", || format!("{name} counts {counted} bytes of at most {most}"));
        } else if !path.oversized && !given_up && counted < in_flight {
            self.fail("memory", || format!("{name} counts {counted} bytes while {in_flight} are in flight"));
        }
    }

    /// The sink really has these events now, whatever it will say.
    pub(super) fn write(&mut self, call: &Call, rows: &[usize]) {
        if self.killed {
            return;
        }
        let name = self.paths[call.path].name.clone();
        self.note(|| format!("{name} call {} wrote {rows:?}", call.number));
        for event in rows {
            let path = &mut self.paths[call.path];
            if std::mem::replace(&mut path.events[*event].now.written, true) || path.events[*event].now.forgotten {
                continue;
            }
            self.check_order(call.path, *event);
        }
    }

    fn end_call(&mut self, call: &Call, end: End) {
        let late = Instant::now() + TICK >= call.deadline;
        let lost = matches!(end, End::Lost(_) | End::Dropped);
        let lines_up = self.sink(call.path).is_some_and(|sink| sink.ahead() > 1);
        let path = &mut self.paths[call.path];
        path.in_flight = path.in_flight.saturating_sub(1);
        path.ended += 1;
        path.bytes = path.bytes.saturating_sub(call.bytes);
        if let Some(instance) = path.instances.get_mut(call.instance) {
            instance.in_flight = instance.in_flight.saturating_sub(1);
            instance.lost |= lost;
        }
        for event in &call.events {
            let now = &mut path.events[*event].now;
            now.in_flight = now.in_flight.saturating_sub(1);
            now.undecided = (path.has.is_some() || lines_up).then(Instant::now);
        }
        if self.killed {
            return;
        }
        let name = self.paths[call.path].name.clone();
        if Instant::now() > call.deadline + TICK {
            self.fail("deadline", || format!("{name} call {} went on after its deadline", call.number));
        }
        self.note(|| format!("{name} call {} ended: {end:?}", call.number));
        self.leave_line(call, &end);
        let told = if let End::Events(told) = &end { Some(call.of_events(told)) } else { None };
        self.end_late(call, told.as_deref());
        match end {
            End::Events(told) => self.end_events(call, &call.of_events(&told)),
            End::Failed(kind, code) => self.end_whole(call, kind, code),
            End::Behind => self.end_behind(call),
            End::Lost(code) => self.end_lost(call, code),
            End::Dropped if late => self.end_whole(call, FailureKind::Unknown, "timeout"),
            // Time was up, or the delivery ended.
            End::Dropped => {}
        }
        if self.trace.is_none() || self.violation.is_none() {
            self.check_budgets(call);
        }
    }

    fn end_events(&mut self, call: &Call, told: &[Told]) {
        let path = &mut self.paths[call.path];
        let idle = told.iter().all(|told| *told == Told::Untried);
        let advised = |told: &Told| matches!(told, Told::Refused(FailureKind::Transient { after: Some(_) }, _));
        path.gate.answered(call.number, idle || told.iter().any(advised));
        path.fruitless = 0;
        let mut unknown = Vec::new();
        for (event, told) in call.events.iter().zip(told) {
            let state = &mut path.events[*event];
            match *told {
                Told::Written => {
                    state.settled = true;
                    state.now.told += 1;
                }
                Told::Refused(kind, code) => {
                    state.now.last = Some((kind, code));
                    match kind {
                        FailureKind::Transient { .. } => state.now.transient += 1,
                        FailureKind::Unknown => {
                            state.now.unknown += 1;
                            unknown.push(*event);
                        }
                        FailureKind::Rejected | FailureKind::Halted => state.now.rejected += 1,
                    }
                }
                Told::Untried if idle => {
                    state.now.all_transient += 1;
                    state.now.last = Some((FailureKind::Transient { after: None }, "nothing-tried"));
                }
                Told::Untried => {}
            }
        }
        self.keep_together(call.path, &unknown);
    }

    fn end_whole(&mut self, call: &Call, kind: FailureKind, code: &'static str) {
        let Some(sink) = self.sink(call.path) else { return };
        let (probe, retry) = (sink.settings.gate.probe, sink.settings.retry.clone());
        let last = self.calls;
        let path = &mut self.paths[call.path];
        match kind {
            FailureKind::Halted => path.gate.close(probe, last),
            FailureKind::Transient { after: Some(advice) }
                if retry.attempts.is_none() && retry.max_elapsed.is_none() =>
            {
                path.gate.close(advice.min(retry.max_advice), last);
            }
            _ => path.gate.answered(call.number, kind != FailureKind::Rejected),
        }
        for event in &call.events {
            let now = &mut path.events[*event].now;
            match kind {
                FailureKind::Halted => continue,
                FailureKind::Rejected => now.rejected += 1,
                FailureKind::Transient { .. } => now.all_transient += 1,
                FailureKind::Unknown => now.all_unknown += 1,
            }
            now.last = Some((kind, code));
        }
        match kind {
            FailureKind::Unknown => self.keep_together(call.path, &call.events),
            FailureKind::Rejected => self.check_search(call),
            _ => self.paths[call.path].fruitless = 0,
        }
    }

    /// It is as if it had not been called.
    fn end_behind(&mut self, call: &Call) {
        let path = &mut self.paths[call.path];
        path.gate.answered(call.number, true);
        call.events.iter().for_each(|event| path.events[*event].now.tried = false);
    }

    fn end_lost(&mut self, call: &Call, code: &'static str) {
        let path = &mut self.paths[call.path];
        path.gate.answered(call.number, false);
        for event in &call.events {
            let now = &mut path.events[*event].now;
            now.broke += 1;
            now.last = Some((FailureKind::Unknown, code));
        }
    }

    /// A batch of which everything is bad does not cost a call for each event.
    fn check_search(&mut self, call: &Call) {
        let Some(sink) = self.sink(call.path) else { return };
        if sink.settings.concurrency.most().get() > 1 {
            return;
        }
        let halvings = sink.settings.batch_size.get().next_power_of_two().ilog2();
        // Those that the search has left are called once each.
        let most = 2 * halvings + 8 + halvings + 1;
        let path = &mut self.paths[call.path];
        path.fruitless += 1;
        let (name, fruitless) = (path.name.clone(), path.fruitless);
        let once = call.events.iter().all(|event| path.events[*event].now.handed == 1);
        if once && fruitless > most {
            self.fail("search", || format!("{name} was called {fruitless} times in vain for one batch"));
        }
    }

    fn keep_together(&mut self, path: usize, events: &[usize]) {
        let together: Arc<[usize]> = events.into();
        for event in events {
            self.paths[path].events[*event].now.together = Some(together.clone());
        }
    }

    /// No event is tried more often than its user allowed.
    fn check_budgets(&mut self, call: &Call) {
        let Some(sink) = self.sink(call.path) else { return };
        let retry = &sink.settings.retry;
        let most = retry.attempts.map_or(u32::MAX, |most| most.get());
        let unknown = retry.unknown.get();
        let halvings = 64 - (call.events.len().max(sink.settings.batch_size.get()) as u64).leading_zeros() + 1;
        let waits = retry.outage == Outage::Wait;
        // Behind one that is lost while it answers, an event may fail by itself, and is not charged.
        let most = most.saturating_add(u32::from(sink.ahead() > 1));
        for event in &call.events {
            let now = &self.paths[call.path].events[*event].now;
            let times = now.handed.max(1);
            let spent = [
                ("transient", now.transient, most),
                ("transient", if waits { 0 } else { now.transient + now.all_transient }, most),
                ("unknown", now.unknown, unknown),
                ("unknown", if waits { 0 } else { now.unknown + now.all_unknown }, unknown),
                ("broken", now.broke, unknown + halvings + 1),
            ];
            if let Some((what, count, most)) = spent.into_iter().find(|(_, n, most)| *n > most.saturating_mul(times)) {
                let name = self.paths[call.path].name.clone();
                self.fail("budget", || format!("{name} ended event {event} {what} {count} times: at most {most}"));
            }
        }
    }
}
