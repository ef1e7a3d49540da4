//! Dead letters that are slow, full or broken as the schedule says.

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::sleep;

use super::encoder::{FAILED, REFUSED};
use super::schedule::Keeping;
use super::world::{Path, State, World};
use crate::delivery::{DeadLetter, DeadLetters, Outage, Unkept};
use crate::sink::FailureKind;

pub(super) struct Letters(pub(super) World);

#[async_trait]
impl DeadLetters for Letters {
    async fn put(&self, letter: DeadLetter<'_>) -> Result<(), Unkept> {
        let (what, mut keeping) = self.0.with(|state| {
            let what = state.keeping();
            let keeping = InKeeping::begin(self.0.clone(), state, &letter);
            state.check_diverted(&letter, what);
            state.note(|| format!("{} puts {} dead letters: {what:?}", letter.path, letter.batch.len()));
            (what, keeping)
        });
        let pause = async |millis| {
            if millis > 0 {
                sleep(Duration::from_millis(millis)).await
            }
        };
        match what {
            Keeping::Full => return Err(Unkept::Full { max_size: String::new(), place: String::new() }),
            Keeping::Fails => {
                self.0.with(|state| state.failing = true);
                return Err(Unkept::Failed { message: "as told".into() });
            }
            Keeping::Works => keeping.keep(&letter),
            Keeping::Slow(before, after) => {
                pause(before).await;
                keeping.keep(&letter);
                pause(after).await;
            }
        }
        drop(keeping);
        Ok(())
    }
}

/// A letter that is being kept. Dropping it is how that ends.
struct InKeeping {
    world: World,
    path: Option<usize>,
    events: Vec<usize>,
    /// For each event, how many assignments of its partition had ended before, unless that was so when it was called.
    ended_before: Vec<Option<u32>>,
    /// It is durable, though nobody was told yet.
    kept: bool,
}

impl InKeeping {
    fn begin(world: World, state: &mut State, letter: &DeadLetter<'_>) -> InKeeping {
        let path = state.path(letter.path);
        let events = path.map(|path| state.numbers(path, letter.batch)).unwrap_or_default();
        let ended = state.ended(&events);
        let mut ended_before = Vec::new();
        for (event, ended) in events.iter().zip(ended) {
            let failed_to_open = letter.failure.code.starts_with("open-") || &*letter.failure.code == "panic";
            let left_before = match failed_to_open {
                true => state.was_revoked_while_opening(path.unwrap_or(0), *event),
                false => state.was_revoked_while_undecided(path.unwrap_or(0), *event),
            };
            let now = &mut state.paths[path.unwrap_or(0)].events[*event].now;
            let left_before = left_before || (failed_to_open && now.spent() >= now.handed);
            let straggles = left_before && now.late == 0 && now.revoked > 0;
            ended_before.push((now.late == 0 && !straggles).then_some(ended));
            now.late = now.late.saturating_sub(1);
            // It was taken away while an instance was opened for it, or before anything followed from its last call.
            now.revoked -= u32::from(straggles);
            now.keeping += 1;
        }
        InKeeping { world, path, events, ended_before, kept: false }
    }

    fn keep(&mut self, letter: &DeadLetter<'_>) {
        self.kept = true;
        self.world.with(|state| state.keep(letter));
    }
}

impl Drop for InKeeping {
    fn drop(&mut self) {
        let Some(path) = self.path else { return };
        self.world.with(|state| {
            let ended = state.ended(&self.events);
            for (row, event) in self.events.iter().enumerate() {
                let now = &mut state.paths[path].events[*event].now;
                if self.kept {
                    now.kept = now.kept.saturating_sub(1);
                    continue;
                }
                now.keeping = now.keeping.saturating_sub(1);
                // There is no second try.
                now.late += u32::from(self.ended_before[row] != Some(ended[row]));
            }
        });
    }
}

/// Of events that were turned away at the queue of a sink that is not required.
const GATE_CLOSED: &str = "gate-closed";

impl State {
    /// Events are turned away only where nobody waits for the sink, its gate is closed and its queue is full.
    fn check_diverted(&mut self, letter: &DeadLetter<'_>, what: Keeping) {
        let Some(path) = self.path(letter.path).filter(|_| &*letter.failure.code == GATE_CLOSED) else { return };
        let events = self.numbers(path, letter.batch);
        let waiting = std::mem::take(&mut self.paths[path].diverted);
        if what == Keeping::Full {
            self.paths[path].diverted = events.clone();
        }
        // Those whose letters had no room were turned away before, but for some that were taken away meanwhile.
        if !waiting.is_empty() && events.iter().all(|event| waiting.contains(event)) {
            return;
        }
        let required = self.sink(path).is_none_or(|sink| sink.settings.required);
        // Half of the memory is for values then.
        let encoded = self.sink(path).is_some_and(|sink| sink.encoding.is_some());
        let Path { name, queue, real_gate, .. } = &self.paths[path];
        let fits = |bytes: u64, most| bytes == 0 || bytes + letter.batch.bytes() as u64 <= most;
        let problem = if required {
            Some("though it is required")
        } else if real_gate.as_ref().is_none_or(|gate| gate.closed().is_none()) {
            Some("while its gate is open")
        } else if !encoded && queue.as_ref().is_none_or(|queue| fits(queue.bytes(), queue.max_bytes())) {
            Some("while its queue has room")
        } else {
            None
        };
        if let Some(problem) = problem {
            let name = name.clone();
            self.fail("required", || format!("{name} turns {events:?} away {problem}"));
        }
    }

    /// A letter is durable from here on.
    fn keep(&mut self, letter: &DeadLetter<'_>) {
        if self.killed {
            return;
        }
        let name = letter.path.clone();
        let Some(path) = self.path(&name) else {
            return self.fail("dead-letters", || format!("a letter of {name}, which there is not"));
        };
        let events = self.numbers(path, letter.batch);
        let (kind, code) = (letter.failure.kind, letter.failure.code.clone());
        self.note(|| format!("{name} dead letters {events:?}: {} {code}, {} attempts", kind.name(), letter.attempts));
        for event in events {
            if self.paths[path].has.as_ref().is_some_and(|has| has.event(event)) {
                self.fail("once", || format!("{name} gives event {event} up, which it has"));
            }
            self.check_letter(path, event, letter);
            let state = &mut self.paths[path].events[event];
            (state.settled, state.kept) = (true, true);
            state.now.dead += 1;
            state.now.keeping = state.now.keeping.saturating_sub(1);
            state.now.kept += 1;
        }
    }

    fn check_letter(&mut self, path: usize, event: usize, letter: &DeadLetter<'_>) {
        let (kind, code) = (letter.failure.kind, &*letter.failure.code);
        let Path { name, takes, events, open_failed, .. } = &self.paths[path];
        let (name, takes, now, open_failed) = (name.clone(), takes[event], &events[event].now, *open_failed);
        let of_encoder = code == REFUSED || (letter.attempts == 0 && FAILED.contains(&code));
        let problem = if now.spent() > now.handed {
            Some(format!("it is done or in flight already, and was handed over {} times", now.handed))
        } else if self.paths[path].sink.is_none() {
            (takes != Some(code)).then(|| format!("its code should be {takes:?}"))
        } else if takes.is_none() {
            Some("it is not for this sink".into())
        } else if code == GATE_CLOSED {
            (letter.attempts > 0).then(|| "it was turned away before any attempt".into())
        } else if of_encoder {
            self.check_encoder_letter(path, event, code)
        } else if code == "stopped" {
            let allowed = self.given_up.is_some() && !self.schedule.replayable;
            (!allowed).then(|| "no unfinished event has to be kept".into())
        } else {
            let last = now.last;
            let reason = last.is_some_and(|(of, named)| (named, of.name()) == (code, kind.name()));
            // Of an event that was handed over twice, the other one may have failed since.
            (!reason && now.handed == 1 && !(open_failed && code.starts_with("open-")))
                .then(|| format!("its last failure was {last:?}"))
        };
        if let Some(problem) = problem.or_else(|| self.check_attempts(path, event, letter)) {
            let attempts = letter.attempts;
            self.fail("dead-letters", || {
                format!("{name} gives up event {event} as {} {code} after {attempts} attempts: {problem}", kind.name())
            });
        }
    }

    /// The letter tells the attempts that there were, and there were as many as allowed.
    fn check_attempts(&self, path: usize, event: usize, letter: &DeadLetter<'_>) -> Option<String> {
        let sink = self.sink(path)?;
        let retry = &sink.settings.retry;
        let now = &self.paths[path].events[event].now;
        if now.handed > 1 || letter.attempts == 0 || self.paths[path].open_failed {
            return None;
        }
        // Beside other calls in its instance, breaking it is not charged the first time.
        let broke = if sink.contract.overlap.get() > 1 { now.broke.saturating_sub(1) } else { now.broke };
        let unknown = now.unknown + now.all_unknown + broke;
        let charged = now.transient + now.all_transient + unknown + now.rejected;
        // An outage that is waited out charges nothing once the attempts are spent.
        let exact = retry.outage == Outage::DeadLetter || now.all_transient + now.all_unknown == 0;
        // What fails behind others may not be charged.
        let exact = exact && sink.ahead() == 1;
        if letter.attempts > charged || (exact && letter.attempts != charged) {
            return Some(format!("there were {charged} attempts"));
        }
        if retry.max_elapsed.is_some() {
            return None;
        }
        let (spent, most) = match letter.failure.kind {
            FailureKind::Transient { .. } => (charged, retry.attempts.map_or(u32::MAX, |most| most.get())),
            FailureKind::Unknown => (unknown, retry.unknown.get()),
            FailureKind::Rejected | FailureKind::Halted => return None,
        };
        (spent < most).then(|| format!("{spent} of {most} attempts were spent"))
    }
}
