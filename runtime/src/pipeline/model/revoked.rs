//! Partitions that are taken away: what may still happen to their events, and what has to have happened to them.

use std::time::Duration;

use tokio::time::Instant;

use super::calls::{Call, Told};
use super::world::{Now, State, TICK, partition_name};

/// One partition in one run.
#[derive(Clone, Debug, Default)]
pub(super) struct Holding {
    /// How many assignments of it have ended.
    ended: u32,
    /// When the last one ended.
    last: Option<Instant>,
    /// Whether calls may be in flight of earlier ones that nobody waits for.
    strays: bool,
    /// Up to where, since the last assignment began.
    acknowledged: u64,
    /// It was taken away, and is to be let go by then at the latest.
    leaving: Option<Leaving>,
    /// It is someone else's.
    away: bool,
}

#[derive(Clone, Copy, Debug)]
struct Leaving {
    since: Instant,
    within: Duration,
}

impl Now {
    /// Times that it was handed over and that are used up.
    pub(super) fn spent(&self) -> u32 {
        self.told + self.dead + self.left_out + self.in_flight + self.keeping + self.late + self.revoked
    }

    /// Whether the partition of each of its assignments was taken away before it came to its end.
    pub(super) fn is_gone(&self) -> bool {
        self.handed > 0 && self.revoked + self.late >= self.handed
    }
}

impl State {
    /// What is on its way of a partition comes to nothing, but for what is in flight.
    fn end_assignment(&mut self, partition: usize) {
        let place = self.schedule.partitions[partition].clone();
        self.holdings[partition].ended += 1;
        self.holdings[partition].last = Some(Instant::now());
        for path in &mut self.paths {
            for event in &mut path.events[place.first..place.first + place.len] {
                event.now.revoked += event.now.handed.saturating_sub(event.now.spent());
            }
        }
    }

    /// The source says that it is taken away.
    pub(super) fn revoke(&mut self, partition: usize, within: Duration) {
        self.end_assignment(partition);
        self.holdings[partition].leaving = Some(Leaving { since: Instant::now(), within });
    }

    /// The source says that it is assigned.
    pub(super) fn assign(&mut self, partition: usize, begin: u64, held: bool) {
        if held {
            self.end_assignment(partition);
            self.holdings[partition].strays = true;
        }
        let holding = &mut self.holdings[partition];
        (holding.away, holding.acknowledged) = (false, begin);
    }

    /// The source is told that what is before a position is final.
    pub(super) fn check_held(&mut self, partition: usize, position: u64) {
        let holding = &mut self.holdings[partition];
        holding.acknowledged = holding.acknowledged.max(position);
        if holding.away {
            let name = partition_name(partition);
            self.fail("revoked", || format!("{name} is acknowledged up to {position}, and was let go"));
        }
    }

    /// The source is asked again: partitions that were taken away are let go.
    pub(super) fn let_go(&mut self) {
        for partition in 0..self.holdings.len() {
            let Some(Leaving { since, within }) = self.holdings[partition].leaving.take() else { continue };
            let name = partition_name(partition);
            self.note(|| format!("{name} is let go"));
            if since.elapsed() > within + TICK {
                self.fail("revoked", || format!("{name} is let go after {:?}, not {within:?}", since.elapsed()));
            } else if since.elapsed() < within {
                self.check_landed(partition);
            } else {
                self.holdings[partition].strays = true;
            }
            self.holdings[partition].away = true;
        }
    }

    /// Nothing is in flight, and what is final was acknowledged.
    fn check_landed(&mut self, partition: usize) {
        let (place, name) = (self.schedule.partitions[partition].clone(), partition_name(partition));
        let events = place.first..place.first + place.len;
        if self.holdings[partition].strays {
            return;
        }
        for path in &self.paths {
            if let Some(event) = events.clone().find(|event| path.events[*event].now.in_flight > 0) {
                let sink = path.name.clone();
                return self.fail("revoked", || format!("{name} is let go while event {event} is in flight to {sink}"));
            }
        }
        let (acknowledged, ended) = (self.holdings[partition].acknowledged, self.holdings[partition].ended);
        let next = events.clone().find(|event| self.schedule.events[*event].position >= acknowledged);
        let Some(next) = next else { return };
        let position = self.schedule.events[next].position;
        // On each of its paths, whether it was read and came to its end in this assignment.
        let mut ends = self.paths.iter().filter(|path| path.takes[next].is_some()).filter_map(|path| {
            let now = &path.events[next].now;
            let done = now.told + now.dead == 1 && now.spent() + now.kept == 1;
            let passed_over = position < path.resume[partition];
            (!passed_over).then_some(done && now.handed == 1 && now.assignment + 1 == ended)
        });
        if ends.next().is_some_and(|first| first && ends.all(|done| done)) {
            self.fail("revoked", || format!("{name} is let go, but event {next} is final and not acknowledged"));
        }
    }

    /// No event of a partition goes to a sink that was taken away after it was read.
    pub(super) fn check_revoked(&mut self, call: &Call) {
        for event in &call.events {
            let path = &self.paths[call.path];
            let now = &path.events[*event].now;
            let came_to_an_end = now.spent() - now.revoked - now.late;
            if came_to_an_end < now.handed && now.spent() >= now.handed {
                let (name, event) = (path.name.clone(), *event);
                self.fail("revoked", || format!("{name} gets event {event}, whose partition was taken away"));
            }
        }
    }

    /// Whether an instance that was just opened, or was not, was being opened when the partition was taken away.
    pub(super) fn was_revoked_while_opening(&self, path: usize, event: usize) -> bool {
        let last = self.holdings[self.schedule.events[event].partition].last;
        last.is_some_and(|last| self.paths[path].opening.lasted_at(last))
    }

    /// Whether the partition was taken away after a call ended from which nothing had followed yet.
    pub(super) fn was_revoked_while_undecided(&self, path: usize, event: usize) -> bool {
        let last = self.holdings[self.schedule.events[event].partition].last;
        let undecided = self.paths[path].events[event].now.undecided;
        last.zip(undecided).is_some_and(|(last, undecided)| undecided <= last)
    }

    /// How many assignments have ended, of the partition of each event.
    pub(super) fn ended(&self, events: &[usize]) -> Vec<u32> {
        events.iter().map(|event| self.holdings[self.schedule.events[*event].partition].ended).collect()
    }

    /// The same, as it was when a call left that begins now: while its instance was opened some may have ended.
    pub(super) fn ended_before(&mut self, path: usize, events: &[usize]) -> Vec<u32> {
        let mut ended = self.ended(events);
        for (ended, event) in ended.iter_mut().zip(events) {
            let left_before = self.was_revoked_while_opening(path, *event);
            let now = &mut self.paths[path].events[*event].now;
            if now.revoked > 0 && left_before {
                // Where it was handed over again since, nobody can tell which one this is.
                *ended -= u32::from(now.spent() >= now.handed);
                now.revoked -= 1;
            }
        }
        ended
    }

    /// What was in flight when its partition was taken away does not come again, unless it is on its way to the dead letters.
    pub(super) fn end_late(&mut self, call: &Call, told: Option<&[Told]>) {
        let ended = self.ended(&call.events);
        for (row, event) in call.events.iter().enumerate() {
            let was_told = told.is_some_and(|told| told[row] == Told::Written);
            if ended[row] != call.ended_before[row] && !was_told {
                self.paths[call.path].events[*event].now.late += 1;
            }
        }
    }
}
