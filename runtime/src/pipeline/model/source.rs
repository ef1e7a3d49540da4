//! A source that hands over what its schedule has, in blocks, with interruptions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep_until};

use super::draw::Rng;
use super::schedule::{Body, Schedule, key_text};
use super::world::{State, World, partition_name, partition_number};
use crate::batch::{BatchBuilder, Event, Partition};
use crate::envelope::{Block, Rejects};
use crate::source::{Demand, Input, Open, Resume, Source, SourceError};

/// With more in one run, its events come again and again.
const MOST_REASSIGNS: u64 = 8;

pub(super) struct Scripted(pub(super) World);

#[async_trait]
impl Open for Scripted {
    fn replayable(&self) -> bool {
        self.0.lock().schedule.replayable
    }

    fn ends(&self) -> bool {
        true
    }

    fn revoke_timeout(&self) -> Duration {
        self.0.lock().schedule.revoke_timeout
    }

    async fn open(&self, resume: Resume) -> Result<Box<dyn Source>, SourceError> {
        let (schedule, run) = self.0.with(|state| (state.schedule.clone(), state.run));
        let mut rng = Rng::new(schedule.runs[run].seed);
        if rng.percent(schedule.runs[run].errors) {
            self.0.with(|state| state.failing = true);
            return Err(SourceError { message: "as told".into() });
        }
        // Opened again, it begins all partitions anew.
        let again = self.0.with(|state| {
            let again = std::mem::replace(&mut state.opened, true);
            state.reassigned.iter_mut().for_each(|reassigned| *reassigned |= again);
            again
        });
        let begins: Vec<u64> = (0..schedule.partitions.len())
            .map(|number| resume.positions.get(&partition_name(number)).copied().unwrap_or(0))
            .collect();
        self.0.with(|state| state.note(|| format!("the source begins at {begins:?}")));
        let parts = begins.iter().map(|begin| Part { cursor: *begin, acknowledged: *begin, assigned: false }).collect();
        Ok(Box::new(Reading {
            world: self.0.clone(),
            schedule,
            run,
            rng,
            parts,
            next: None,
            urgent: None,
            began: false,
            again,
            reassigns: MOST_REASSIGNS,
        }))
    }
}

struct Reading {
    world: World,
    schedule: Arc<Schedule>,
    run: usize,
    rng: Rng,
    parts: Vec<Part>,
    /// Drawn already, for a time.
    next: Option<(Instant, Step)>,
    /// What comes while no events are taken.
    urgent: Option<(Instant, Step)>,
    began: bool,
    /// It was opened before in this run.
    again: bool,
    /// Assignments that may still begin anew.
    reassigns: u64,
}

struct Part {
    /// The position after what was read.
    cursor: u64,
    acknowledged: u64,
    assigned: bool,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Assign(Option<usize>),
    Revoke(usize),
    Block,
    Fail,
    End,
    Never,
}

#[async_trait]
impl Source for Reading {
    async fn next(&mut self, demand: Demand) -> Result<Input, SourceError> {
        self.world.with(State::let_go);
        let (at, step) = match demand {
            Demand::Events => self.next.unwrap_or_else(|| self.draw()),
            Demand::Nothing => self.urgent.unwrap_or_else(|| self.draw_urgent()),
        };
        // The future may be dropped: what was drawn stays.
        match demand {
            Demand::Events => self.next = Some((at, step)),
            Demand::Nothing => self.urgent = Some((at, step)),
        }
        sleep_until(at).await;
        if let Step::Never = step {
            std::future::pending::<()>().await;
        }
        (self.next, self.urgent) = (None, None);
        self.do_step(step)
    }

    async fn acknowledge(&mut self, positions: &BTreeMap<Partition, u64>) -> Result<(), SourceError> {
        self.world.with(|state| state.acknowledge(positions));
        for (number, part) in self.parts.iter_mut().enumerate() {
            if let Some(position) = positions.get(&partition_name(number)) {
                part.acknowledged = part.acknowledged.max(*position);
            }
        }
        Ok(())
    }

    fn acknowledges_promptly(&self) -> bool {
        self.schedule.prompt
    }
}

impl Reading {
    fn draw(&mut self) -> (Instant, Step) {
        let plan = &self.schedule.runs[self.run];
        let pause = if self.rng.percent(plan.pauses) { self.rng.scale(1000) } else { 0 };
        let unassigned = self.parts.iter().position(|part| !part.assigned);
        let left = self.is_left(|_| true);
        let step = match unassigned {
            _ if !self.began => Step::Assign(None),
            Some(partition) if self.rng.percent(50) || !left => Step::Assign(Some(partition)),
            _ if self.rng.percent(plan.errors) => Step::Fail,
            None if left && self.reassigns > 0 && self.rng.percent(plan.reassigns) => self.reassign(),
            _ if self.is_left(|part| part.assigned) => Step::Block,
            Some(partition) => Step::Assign(Some(partition)),
            None => Step::End,
        };
        (Instant::now() + Duration::from_millis(pause), step)
    }

    fn draw_urgent(&mut self) -> (Instant, Step) {
        let at = Instant::now() + Duration::from_millis(self.rng.scale(500));
        let plan = &self.schedule.runs[self.run];
        let unassigned = self.parts.iter().position(|part| !part.assigned);
        let step = match unassigned {
            _ if !self.began => Step::Never,
            Some(partition) => Step::Assign(Some(partition)),
            None if !self.is_left(|_| true) => Step::End,
            None if self.reassigns > 0 && self.rng.percent(plan.reassigns) => self.reassign(),
            None if self.rng.percent(plan.errors) => Step::Fail,
            None => Step::Never,
        };
        (at, step)
    }

    fn reassign(&mut self) -> Step {
        self.reassigns -= 1;
        let partition = self.rng.below(self.parts.len() as u64) as usize;
        if self.rng.percent(70) { Step::Revoke(partition) } else { Step::Assign(Some(partition)) }
    }

    /// Whether one of these partitions was not read to its end.
    fn is_left(&self, of: impl Fn(&Part) -> bool) -> bool {
        self.schedule
            .partitions
            .iter()
            .zip(&self.parts)
            .any(|(partition, part)| of(part) && part.cursor < partition.end)
    }
}

impl Reading {
    fn do_step(&mut self, step: Step) -> Result<Input, SourceError> {
        match step {
            Step::Assign(one) => {
                self.began = true;
                let numbers: Vec<usize> = one.map_or((0..self.parts.len()).collect(), |one| vec![one]);
                for number in &numbers {
                    let held = self.parts[*number].assigned || (one.is_none() && self.again);
                    self.parts[*number].assigned = true;
                    // A broker knows what was acknowledged, and nothing else.
                    self.parts[*number].cursor = self.parts[*number].acknowledged;
                    self.world.with(|state| state.assign(*number, self.parts[*number].cursor, held));
                }
                let begin = |number: &usize| (partition_name(*number), self.parts[*number].cursor);
                let assigned: Vec<(Partition, u64)> = numbers.iter().map(begin).collect();
                self.world.with(|state| {
                    state.note(|| format!("assigned {assigned:?}"));
                    if let Some(one) = one {
                        state.reassigned[one] = true;
                    }
                });
                Ok(Input::Assigned(assigned))
            }
            Step::Revoke(number) => {
                self.parts[number].assigned = false;
                self.world.with(|state| {
                    state.note(|| format!("revoked {}", partition_name(number)));
                    state.revoke(number, state.schedule.revoke_timeout);
                    state.reassigned[number] = true;
                });
                Ok(Input::Revoked(vec![partition_name(number)]))
            }
            Step::Block => Ok(Input::Block(Box::new(self.block()))),
            Step::Fail => {
                self.world.with(|state| {
                    state.failing = true;
                    state.note(|| "the source fails".into());
                });
                Err(SourceError { message: "as told".into() })
            }
            Step::End | Step::Never => {
                self.world.with(|state| state.note(|| "the source ends".into()));
                Ok(Input::Ended)
            }
        }
    }

    /// The next events of some partitions.
    fn block(&mut self) -> Block {
        let mut room = self.rng.within(1, self.schedule.runs[self.run].block) as usize;
        let (mut events, mut rejects, mut ends, mut numbers) =
            (BatchBuilder::new(), BatchBuilder::new(), Vec::new(), Vec::new());
        let first = self.rng.below(self.parts.len() as u64) as usize;
        for turn in 0..self.parts.len() {
            let number = (first + turn) % self.parts.len();
            let (part, place) = (&mut self.parts[number], &self.schedule.partitions[number]);
            if !part.assigned || part.cursor >= place.end || room == 0 {
                continue;
            }
            let of = &self.schedule.events[place.first..place.first + place.len];
            let from = of.partition_point(|event| event.position < part.cursor);
            let most = if self.rng.percent(60) { room } else { self.rng.below(room as u64 + 1) as usize };
            let to = of.len().min(from + most);
            for (at, event) in of.iter().enumerate().take(to).skip(from) {
                let event_number = place.first + at;
                let (payload, key) = (event.payload(event_number), event.key.map(key_text));
                let one = Event {
                    payload: payload.as_deref().map(str::as_bytes),
                    key: key.as_deref().map(str::as_bytes),
                    timestamp: event_number as i64,
                    headers: &[],
                    position: event.position,
                };
                let builder = if event.body == Body::Unframed { &mut rejects } else { &mut events };
                builder.push(&partition_name(number), one);
                numbers.push(event_number);
            }
            room -= to - from;
            let after = match to {
                0 => 0,
                _ => of[to - 1].position + 1,
            };
            let next = of.get(to).map_or(place.end, |event| event.position);
            // What was passed over between two events is told now or with the next.
            let reached = if next == place.end { next } else { self.rng.pick(&[after, next]) };
            part.cursor = part.cursor.max(reached);
            ends.push((partition_name(number), part.cursor));
        }
        let (Ok(batch), Ok(rejected)) = (events.finish(), rejects.finish()) else { unreachable!("small columns") };
        self.world.with(|state| state.hand_over(&numbers, batch.bytes(), &ends));
        let unframed = Rejects { batch: rejected, code: "unframed", message: "as told".into(), range: None };
        let rejects = (!unframed.batch.is_empty()).then(|| Box::new(unframed));
        Block { batch, ends, rejects }
    }
}

impl State {
    fn hand_over(&mut self, numbers: &[usize], bytes: usize, ends: &[(Partition, u64)]) {
        self.note(|| format!("the source hands over {numbers:?} up to {ends:?}"));
        self.reached.extend(ends.iter().map(|(partition, end)| (partition_number(partition), *end)));
        let schedule = self.schedule.clone();
        let ended = self.ended(numbers);
        for path in &mut self.paths {
            let sink = path.sink.map(|(pipeline, sink)| &schedule.pipelines[pipeline].sinks[sink]);
            // Beside an encoder, half of it is for events.
            let most = sink.map(|sink| sink.settings.buffer.bound() / if sink.encoding.is_some() { 2 } else { 1 });
            // Keys that the pipeline gives take a few bytes more.
            let bytes = bytes + if path.keyed { 16 * numbers.len() } else { 0 };
            path.oversized |= most.is_some_and(|most| bytes as u64 > most);
            for (number, ended) in numbers.iter().zip(&ended) {
                let event = &schedule.events[*number];
                if path.takes[*number].is_some() && event.position >= path.resume[event.partition] {
                    path.events[*number].now.handed += 1;
                    path.events[*number].now.assignment = *ended;
                }
            }
        }
    }
}
