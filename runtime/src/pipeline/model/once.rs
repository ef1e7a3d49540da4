//! What sinks have that store positions with their data: each event once, whatever happens.

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::time::Duration;

use tokio::time::sleep;

use super::calls::Call;
use super::schedule::Opening;
use super::world::{State, World, partition_name, partition_number};
use crate::batch::Partition;
use crate::sink::{Failure, Outcome, WriteContext, WriteError};

/// The data of such a sink.
#[derive(Clone, Debug, Default)]
pub(super) struct Has {
    now: Stored,
    /// What it had before each write: a power cut takes it back there.
    before: Vec<Stored>,
    /// Times that it was asked what it has, or got positions alone.
    pub(super) asked: usize,
}

#[derive(Clone, Debug, Default)]
struct Stored {
    positions: BTreeMap<Partition, u64>,
    /// The events that it has.
    events: Vec<usize>,
}

impl Has {
    /// Where the path goes on in a partition.
    pub(super) fn resume(&self, partition: usize) -> u64 {
        self.now.positions.get(&partition_name(partition)).copied().unwrap_or(0)
    }

    pub(super) fn event(&self, event: usize) -> bool {
        self.now.events.contains(&event)
    }
}

impl State {
    /// The last writes before the run began are gone, and their positions with them.
    pub(super) fn take_back(&mut self, path: usize, writes: usize) {
        let path = &mut self.paths[path];
        let Some(has) = &mut path.has else { return };
        for _ in 0..writes {
            let Some(before) = has.before.pop() else { return };
            for event in has.now.events.iter().filter(|event| !before.events.contains(event)) {
                path.events[*event].settled = path.events[*event].kept;
            }
            has.now = before;
        }
    }

    /// The first events of a call are stored, together with where the path goes on.
    pub(super) fn store(&mut self, path: usize, call: Option<&Call>, rows: &[usize], next: BTreeMap<Partition, u64>) {
        if self.killed {
            return;
        }
        let name = self.paths[path].name.clone();
        self.note(|| format!("{name} stores {rows:?} and {next:?}"));
        if call.is_some_and(|call| !call.events.starts_with(rows)) {
            self.fail("once", || format!("{name} wrote {rows:?}, which does not begin its batch"));
        }
        let Some(has) = &mut self.paths[path].has else { return };
        let twice = rows.iter().copied().find(|event| has.event(*event));
        let regress = next.iter().find(|(partition, position)| has.now.positions.get(partition) > Some(position));
        let regress = regress.map(|(partition, position)| (partition.clone(), *position));
        has.before.push(has.now.clone());
        has.now.events.extend(rows);
        has.now.positions.extend(next.clone());
        for event in rows {
            self.paths[path].events[*event].settled = true;
        }
        if let Some(event) = twice {
            self.fail("once", || format!("{name} gets event {event}, which it has"));
        }
        if let Some((partition, position)) = regress {
            self.fail("stored", || format!("{name} is to go back to {partition}/{position}"));
        }
        for event in rows {
            let what = &self.schedule.events[*event];
            if next.get(&partition_name(what.partition)).is_none_or(|next| *next <= what.position) {
                self.fail("stored", || format!("{name} goes on at {next:?} though it has event {event}"));
            }
        }
        for (partition, position) in next {
            self.check_final("stored", path, partition_number(&partition), 0, position);
            self.check_begin(path, &partition, position);
        }
    }

    /// A source can go on only where an event begins, or where it said that one will.
    fn check_begin(&mut self, path: usize, partition: &Partition, position: u64) {
        let number = partition_number(partition);
        let known = position == 0 || self.reached.contains(&(number, position));
        if !known && self.schedule.find(number, position).is_none() {
            let name = self.paths[path].name.clone();
            self.fail("stored", || format!("{name} would go on at {partition}/{position}, where nothing begins"));
        }
    }

    fn asking(&mut self, path: usize) -> Opening {
        let trouble = self.trouble();
        let asks = self.sink(path).map(|sink| sink.asks.clone()).unwrap_or_default();
        let Some(has) = self.paths[path].has.as_mut().filter(|_| trouble) else { return Opening::Works };
        has.asked += 1;
        asks.get(has.asked - 1).copied().unwrap_or(Opening::Works)
    }
}

/// What [`Connect::stored`](crate::sink::Connect::stored) answers.
pub(super) async fn stored(
    world: &World,
    path: usize,
    saved: &BTreeMap<Partition, u64>,
) -> Result<BTreeMap<Partition, u64>, Failure> {
    let what = world.with(|state| {
        let (what, name) = (state.asking(path), state.paths[path].name.clone());
        state.note(|| format!("{name} is asked what it has: {what:?}"));
        let in_use =
            state.paths[path].instances.iter().position(|one| one.opened.is_some() && !one.lost && !one.closed);
        if let Some(instance) = in_use {
            state.fail("instance", || format!("{name} is asked what it has while instance {instance} is in use"));
        }
        what
    });
    if let Opening::Slow(millis) = what {
        sleep(Duration::from_millis(millis)).await;
    }
    world.with(|state| {
        // Whether the gate closes by this is not the sink's to know.
        state.paths[path].gate.open();
        state.paths[path].open_failed |= !matches!(what, Opening::Works | Opening::Slow(_));
    });
    match what {
        Opening::Works | Opening::Slow(_) => {
            // What it has forgotten it does not have, whatever was saved.
            let mut positions: BTreeMap<Partition, u64> = saved.keys().map(|known| (known.clone(), 0)).collect();
            let has = world.with(|state| state.paths[path].has.clone()).unwrap_or_default();
            positions.extend(has.now.positions);
            Ok(positions)
        }
        Opening::Transient => Err(Failure::transient("open-down", "")),
        Opening::Halted => Err(Failure::halted("open-401", "")),
        Opening::Rejected => Err(Failure::rejected("open-400", "")),
        Opening::Hang => std::future::pending().await,
        Opening::Panic => resume_unwind(Box::new("as told")),
    }
}

/// A call that did not return loses its instance.
struct Positions<'a> {
    world: &'a World,
    path: usize,
    instance: usize,
    returned: bool,
}

impl Drop for Positions<'_> {
    fn drop(&mut self) {
        if !self.returned {
            self.world.with(|state| state.paths[self.path].instances[self.instance].lost = true);
        }
    }
}

/// A write without events: positions alone are stored.
pub(super) async fn store_positions(
    world: &World,
    path: usize,
    instance: usize,
    context: &WriteContext,
) -> Result<Outcome, WriteError> {
    let what = world.with(|state| {
        let name = state.paths[path].name.clone();
        let here = &state.paths[path].instances[instance];
        if here.lost || here.closed {
            state.fail("instance", || format!("{name} gets positions in instance {instance}, which is lost or closed"));
        }
        state.asking(path)
    });
    let mut call = Positions { world, path, instance, returned: false };
    let next = context.next.as_ref().map(|next| next.after_all().clone()).unwrap_or_default();
    if let Opening::Slow(millis) = what {
        sleep(Duration::from_millis(millis)).await;
    }
    if matches!(what, Opening::Works | Opening::Slow(_) | Opening::Rejected | Opening::Panic) {
        world.with(|state| state.store(path, None, &[], next));
    }
    if what == Opening::Hang {
        std::future::pending::<()>().await;
    }
    call.returned = what != Opening::Panic;
    match what {
        Opening::Works | Opening::Slow(_) => Ok(Outcome::Written),
        Opening::Rejected => Err(Failure::unknown("positions-lost", "").into()),
        Opening::Panic => resume_unwind(Box::new("as told")),
        _ => Err(Failure::transient("positions", "").into()),
    }
}
