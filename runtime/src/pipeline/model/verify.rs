//! What must hold when positions move, and when a run has ended.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::world::{Path, State, TICK, partition_name, partition_number};
use crate::batch::Partition;
use crate::delivery::WhenFull;
use crate::envelope::Positions;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// All was delivered, or time was up.
    Well,
    /// By an error that its schedule asked for.
    Failed,
    Killed,
}

impl State {
    /// The source may forget what is before these positions.
    pub(super) fn acknowledge(&mut self, positions: &BTreeMap<Partition, u64>) {
        if self.killed {
            return;
        }
        for (partition, position) in positions {
            let number = partition_number(partition);
            self.check_held(number, *position);
            let known = self.acknowledged[number];
            if *position > known {
                self.acknowledged[number] = *position;
                for path in 0..self.paths.len() {
                    self.check_final("acknowledged", path, number, known, *position);
                }
            }
        }
    }

    /// After a restart each path goes on at these positions.
    pub(super) fn save(&mut self, positions: &Positions) {
        if self.killed {
            return;
        }
        self.note(|| format!("saves {positions:?}"));
        for (name, partitions) in positions {
            let Some(path) = self.path(name) else { continue };
            for (partition, position) in partitions {
                let known = self.saved.get(name).and_then(|saved| saved.get(partition)).copied().unwrap_or(0);
                self.check_final("saved", path, partition_number(partition), known.min(*position), *position);
            }
        }
        self.saved = positions.clone();
    }

    /// After the last run nobody is left who counts anything.
    pub(super) fn check_nothing_outlives(&mut self) {
        for path in &mut self.paths {
            (path.queue, path.real_gate) = (None, None);
        }
        let left = self.paths.iter().find(|path| Arc::strong_count(&path.metrics) > 1);
        if let Some(name) = left.map(|path| path.name.clone()) {
            self.fail("memory", || format!("something of {name} is left when all runs are over"));
        }
    }

    /// Everything between two positions is final on a path.
    pub(super) fn check_final(&mut self, rule: &'static str, path: usize, partition: usize, from: u64, to: u64) {
        let place = self.schedule.partitions[partition].clone();
        let mut unsettled = 0;
        for event in place.first..place.first + place.len {
            let position = self.schedule.events[event].position;
            if position >= to {
                break;
            }
            if position < from || self.is_settled(path, event) {
                continue;
            }
            unsettled += 1;
            if unsettled > self.may_be_dropped(path) {
                let name = self.paths[path].name.clone();
                return self.fail(rule, || {
                    format!(
                        "{rule} up to {}/{to}, but event {event} is not final for {name}",
                        partition_name(partition)
                    )
                });
            }
        }
    }

    /// How many events a path has dropped as its user asked for.
    fn may_be_dropped(&self, path: usize) -> u64 {
        let drops = self.sink(path).is_some_and(|sink| sink.settings.buffer.when_full == WhenFull::DropNewest);
        let path = &self.paths[path];
        if drops { path.dropped + path.metrics.dropped.get() } else { 0 }
    }

    /// What holds after every run that was not killed.
    pub(super) fn check_ended(&mut self, ended: Ended, all_read: bool) {
        if ended == Ended::Killed {
            return;
        }
        if ended == Ended::Well {
            for path in 0..self.paths.len() {
                self.check_counts(path);
                self.check_left(path);
            }
        }
        let whole = ended == Ended::Well && self.given_up.is_none();
        for path in 0..self.paths.len() {
            self.check_delivered(path, whole, all_read);
        }
    }

    /// Every count says what happened.
    fn check_counts(&mut self, path: usize) {
        let Path { name, metrics, events, sink, has, .. } = &self.paths[path];
        if sink.is_none() {
            return;
        }
        let told: u64 = events.iter().map(|event| u64::from(event.now.told)).sum();
        let dead: u64 = events.iter().map(|event| u64::from(event.now.dead)).sum();
        let left: u64 = events.iter().map(|event| u64::from(event.now.left_out)).sum();
        let (written, dead_lettered) = (metrics.written.get(), metrics.dead_lettered.get());
        let (taken, abandoned) = (metrics.events.get(), metrics.abandoned.get());
        let left_out = metrics.left_out.get();
        let done = written + dead_lettered + left_out + metrics.dropped.get() + abandoned + metrics.revoked.get();
        let name = name.clone();
        // What a sink turned out to have was not told event by event.
        let told = if has.is_some() { written.max(told) } else { told };
        if (written, dead_lettered) != (told, dead) {
            let counted = format!("{written} written and {dead_lettered} dead letters");
            self.fail("counts", || format!("{name} counts {counted}, not {told} and {dead}"));
        } else if left_out != left {
            self.fail("counts", || format!("{name} counts {left_out} events that were left out, not {left}"));
        } else if taken != done {
            self.fail("counts", || format!("{name} counts {taken} events, of which {done} have ended"));
        } else if abandoned > 0 && self.given_up.is_none() {
            self.fail("counts", || format!("{name} abandoned {abandoned} events though there was time"));
        }
    }

    /// Nothing of a delivery is left when it has ended.
    fn check_left(&mut self, path: usize) {
        let Path { name, instances, queue, in_flight, .. } = &self.paths[path];
        let left = instances.iter().position(|one| one.opened.is_some() && !one.lost && !one.closed);
        let (name, bytes, in_flight) = (name.clone(), queue.as_ref().map_or(0, |queue| queue.bytes()), *in_flight);
        if let Some(left) = left {
            self.fail("instance", || format!("{name} did not close instance {left}"));
        }
        if bytes > 0 || in_flight > 0 {
            self.fail("memory", || format!("{name} has {bytes} bytes and {in_flight} calls left"));
        }
    }

    /// Events of sources that can't be read again are final; of the others where all was read.
    fn check_delivered(&mut self, path: usize, whole: bool, all_read: bool) {
        let unreadable = !self.schedule.replayable;
        let mut unsettled = 0;
        for event in 0..self.schedule.events.len() {
            let now = &self.paths[path].events[event].now;
            let was_read = now.handed > 0 && !now.is_gone();
            let due = (whole && (all_read && !unreadable || was_read)) || (unreadable && was_read);
            if !due || self.is_settled(path, event) {
                continue;
            }
            unsettled += 1;
            if unsettled > self.may_be_dropped(path) {
                let name = self.paths[path].name.clone();
                return self.fail("lost", || format!("event {event} was lost on its way to {name}"));
            }
        }
        if !(whole && all_read && self.schedule.replayable) || self.schedule.runs[self.run].unsaved > 0 {
            return;
        }
        for partition in 0..self.schedule.partitions.len() {
            let (end, name) = (self.schedule.partitions[partition].end, self.paths[path].name.clone());
            let saved = self.saved.get(&name).and_then(|saved| saved.get(&partition_name(partition))).copied();
            if saved != Some(end) {
                self.fail("resumes", || format!("{name} is saved at {saved:?} of {end} in partition {partition}"));
            }
        }
    }

    /// A run that was told to wait no more ends soon.
    pub(super) fn check_end_of_time(&mut self) {
        let Some(given_up) = self.given_up else { return };
        let closing = |path: &Path| {
            let sink = path.sink.map(|(pipeline, sink)| &self.schedule.pipelines[pipeline].sinks[sink]);
            sink.map_or(0, |sink| {
                sink.settings.timeout.as_millis() * (1 + sink.settings.concurrency.most().get() as u128)
            })
        };
        let keeping = 200 * self.schedule.events.len() as u128 * self.paths.len() as u128;
        let most = self.paths.iter().map(closing).sum::<u128>() + keeping + TICK.as_millis();
        let took = given_up.elapsed().as_millis();
        if took > most {
            self.fail("ends", || format!("the run ended {took} ms after time was up, later than {most} ms"));
        }
    }
}
