//! Which events of a sink keep their order, and which go together.

use super::calls::Call;
use super::schedule::Encoding;
use super::world::State;
use crate::delivery::{Order, WhenFull};

/// Events that keep the order of their positions: of one partition, for one destination, and of one key where the lanes
/// keep that order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Course {
    partition: usize,
    destination: Option<u64>,
    key: Option<u64>,
}

impl State {
    /// The course of an event, if it has to keep one.
    fn course(&self, path: usize, event: usize) -> Option<Course> {
        let (sink, keyed) = (self.sink(path)?, self.paths[path].keyed);
        let settings = &sink.settings;
        let ordered = settings.is_ordered() && sink.contract.stops_in_order;
        let what = &self.schedule.events[event];
        let by_key = settings.order == Order::Key && settings.concurrency.most().get() > 1;
        let key = what.key(keyed).filter(|_| by_key);
        let merges = sink.encoding.as_ref().is_some_and(Encoding::merges);
        if !ordered || settings.buffer.when_full != WhenFull::Block || (by_key && key.is_none()) {
            return None;
        }
        // What is merged goes where the last of it goes.
        if merges && (by_key || sink.destination.is_some()) {
            return None;
        }
        let destination = sink.destination.and_then(|by| by.of(what, keyed));
        Some(Course { partition: what.partition, destination, key })
    }

    /// An event is written for the first time.
    pub(super) fn check_order(&mut self, path: usize, event: usize) {
        let Some(course) = self.course(path, event) else { return };
        let (partition, position) = (course.partition, self.schedule.events[event].position);
        let highest = self.paths[path].highest.insert(course, position + 1).unwrap_or(0);
        if position < highest && !self.reassigned[partition] {
            let name = self.paths[path].name.clone();
            self.fail("order", || format!("{name} gets event {event} after later ones"));
        }
    }

    /// A batch has one destination.
    pub(super) fn check_destination(&mut self, call: &Call) {
        let Some(by) = self.sink(call.path).and_then(|sink| sink.destination) else { return };
        let keyed = self.paths[call.path].keyed;
        let lasts = call.rows.iter().filter_map(|row| row.of.last());
        let mut destinations = lasts.map(|event| by.of(&self.schedule.events[*event], keyed));
        let first = destinations.next();
        if destinations.any(|other| Some(other) != first) {
            let name = self.paths[call.path].name.clone();
            self.fail("destination", || {
                format!("{name} gets {:?} in one batch, for several destinations", call.events)
            });
        }
    }

    /// Calls begin no faster than the rate allows.
    pub(super) fn check_rate(&mut self, call: &Call) {
        let Some(sink) = self.sink(call.path) else { return };
        let Some(rate) = sink.settings.rate_limit else { return };
        let (alone, run) = (sink.settings.concurrency.most().get() == 1, self.began);
        let path = &mut self.paths[call.path];
        let earliest = path.instances[call.instance].passed();
        if !path.rate.call(rate, call.rows.len(), run, earliest, alone) {
            let name = path.name.clone();
            self.fail("rate", || format!("{name} gets {:?} earlier than {rate} allows", call.events));
        }
    }
}
