//! What every component has to bear, whatever it does: one list, for all languages.
//!
//! Its events are those that the component's own cases have, so that it gets what it is made for, shaped as sources may shape
//! them. What it answers is its own affair; that it answers, keeps to the contract and tells no untruth is the list's.

mod load;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use super::answer::{Answer, Fault};
use super::bed::{Answered, Bed, Fate, Made, Open};
use super::case::Setup;
use super::event::Given;
use super::happened::still_time;
use super::heard::Heard;
use super::script::Script;
use super::word::Word;
use crate::batch::Batch;
use crate::wasm::Component;
use load::Load;

/// Something that every component has to bear.
#[derive(Debug)]
pub struct Requirement {
    /// What it is, in a few words.
    pub name: &'static str,
    steps: &'static [Step],
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Open,
    /// A first attempt at some events.
    Write(Load),
    /// Another attempt at the same events.
    Attempt(u32),
    /// From now on no endpoint answers.
    Fail(Fault),
    Close,
}

use Step::{Attempt, Close, Fail, Open as Opened, Write};

/// All of it. What comes first is the least, without which the rest says nothing.
pub const REQUIREMENTS: [Requirement; 14] = [
    Requirement { name: "it opens and closes", steps: &[Opened, Close] },
    Requirement {
        name: "it opens anew once it was closed",
        steps: &[Opened, Write(Load::Few), Close, Opened, Write(Load::Few), Close],
    },
    Requirement { name: "a batch without events", steps: &[Opened, Write(Load::Nothing), Close] },
    Requirement { name: "one event", steps: &[Opened, Write(Load::One), Close] },
    Requirement { name: "tombstones among events", steps: &[Opened, Write(Load::Tombstones), Close] },
    Requirement { name: "empty payloads and keys", steps: &[Opened, Write(Load::Empty), Close] },
    Requirement { name: "keys and headers on some events", steps: &[Opened, Write(Load::Mixed), Close] },
    Requirement { name: "a thousand headers on one event", steps: &[Opened, Write(Load::Headers), Close] },
    Requirement { name: "bytes that are not UTF-8", steps: &[Opened, Write(Load::NotText), Close] },
    Requirement { name: "an event of 1 MiB", steps: &[Opened, Write(Load::Large), Close] },
    Requirement {
        name: "the same batch three times",
        steps: &[Opened, Write(Load::Few), Attempt(2), Attempt(3), Close],
    },
    Requirement {
        name: "endpoints that refuse every connection",
        steps: &[Opened, Fail(Fault::Refused), Write(Load::Few), Close],
    },
    Requirement {
        name: "endpoints that never answer",
        steps: &[Opened, Fail(Fault::Silence), Write(Load::One), Close],
    },
    Requirement { name: "100,000 events, or two thousand requests", steps: &[Opened, Write(Load::Many), Close] },
];

/// What was made of so many batches is kept, to be held against what is made of them again.
const COMPARED: usize = 16;
/// A component that makes a request for each event gets no more events once it has made so many.
const REQUESTS: usize = 2000;

/// Tries one of them. Fails with what is wrong, and what was printed and logged meanwhile.
pub(super) fn hold(
    requirement: &Requirement,
    component: &Component,
    setup: &Setup,
    samples: &[Given],
) -> Result<(), (String, Vec<String>)> {
    let heard = Heard::default();
    let held = heard.during(|| {
        still_time()?.block_on(async {
            let endpoint = Arc::new(Script::new(Vec::new(), Vec::new()));
            let bed = Bed::new(component, setup, Arc::clone(&endpoint) as _, &BTreeMap::new(), NonZeroUsize::MIN)?;
            let run = Run {
                bed,
                endpoint,
                setup,
                samples,
                open: None,
                batches: Vec::new(),
                made: Vec::new(),
                fault: None,
                requests: 0,
            };
            run.steps(requirement.steps).await
        })
    });
    let records = heard.take();
    // What is denied hides what the component does.
    let denied = records.warned.iter().find(|warning| warning.starts_with("denied")).cloned();
    let held = held.and(denied.map_or(Ok(()), Err));
    held.map_err(|problem| (problem, records.printed))
}

/// The steps of one requirement, under way.
struct Run<'a> {
    bed: Bed,
    endpoint: Arc<Script>,
    setup: &'a Setup,
    samples: &'a [Given],
    open: Option<Open>,
    /// What was written last.
    batches: Vec<Batch>,
    /// What an encoder made of each at the first attempt.
    made: Vec<Vec<Made>>,
    fault: Option<Fault>,
    requests: usize,
}

impl Run<'_> {
    async fn steps(mut self, steps: &[Step]) -> Result<(), String> {
        for step in steps {
            match step {
                Step::Open => {
                    let opened = self.bed.open().await;
                    self.open = Some(opened.map_err(|failure| format!("it does not open: {failure}"))?);
                }
                Step::Write(load) => {
                    self.batches = load.batches(self.samples, self.setup.now, self.bed.described())?;
                    self.write(1).await?;
                }
                Step::Attempt(attempt) => self.write(*attempt).await?,
                Step::Fail(fault) => {
                    self.fault = Some(*fault);
                    self.endpoint.turn_to(Answer::always(Some(*fault)));
                }
                Step::Close => {
                    let Some(open) = self.open.take() else { return Ok(()) };
                    let closed = self.bed.close(open).await;
                    closed.map_err(|failure| format!("it does not close: {failure}"))?;
                }
            }
        }
        Ok(())
    }

    async fn write(&mut self, attempt: u32) -> Result<(), String> {
        if attempt == 1 {
            self.made.clear();
        }
        for (index, batch) in self.batches.iter().enumerate() {
            let Some(open) = self.open.as_mut().filter(|_| self.requests < REQUESTS) else { return Ok(()) };
            self.endpoint.take_asked();
            let answered = self.bed.call(open, batch, attempt).await;
            let requests = self.endpoint.take_asked().len();
            self.requests += requests;
            if let Fate::Lost(failure) = &answered.fate {
                let gave_up = self.fault == Some(Fault::Silence) && &*failure.code == "timeout";
                // To wait for an answer until the deadline is dear, and allowed.
                self.open = None;
                return if gave_up { Ok(()) } else { Err(format!("the instance is lost: {failure}")) };
            }
            let stops = self.bed.described().stops_in_order;
            judge(batch, &answered, requests, self.fault.is_some(), stops)?;
            match self.made.get(index) {
                Some(made) if *made != answered.values => {
                    return Err("it makes other values of the same events: an encoder is pure".to_owned());
                }
                None if self.batches.len() <= COMPARED => self.made.push(answered.values),
                _ => {}
            }
        }
        Ok(())
    }
}

/// What an answer must not be.
fn judge(batch: &Batch, answered: &Answered, requests: usize, is_down: bool, stops: bool) -> Result<(), String> {
    let words = match &answered.fate {
        Fate::Lost(failure) | Fate::Whole(failure) if matches!(&*failure.code, "bad-report" | "bad-encoding") => {
            return Err(format!("its answer contradicts itself: {}", failure.message));
        }
        Fate::Lost(failure) | Fate::Whole(failure) if batch.is_empty() && !is_down => {
            return Err(format!("without events it fails: {failure}"));
        }
        Fate::Lost(_) | Fate::Whole(_) => return Ok(()),
        Fate::Each(words) => words,
    };
    if is_down && requests > 0 && words.iter().all(|word| *word == Word::Done) {
        return Err(format!("it calls everything written, though none of its requests ({requests}) was answered"));
    }
    let left = |word: &Word| matches!(word, Word::Failed { kind: "transient" | "unknown", .. });
    match words.iter().position(left) {
        Some(first) if stops && words[first + 1..].iter().any(|word| *word != Word::NotTried) => Err(format!(
            "it says that it stops in order, and goes on behind event {first}, which is neither written nor rejected"
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::Failure;
    use crate::trial::event;

    fn judged(words: &[&str], requests: usize, is_down: bool) -> Result<(), String> {
        let words: Vec<Word> = words.iter().map(|word| word.parse().unwrap()).collect();
        let batch = event::batch(&vec![Given::default(); words.len()], 0).unwrap();
        let answered = Answered { fate: Fate::Each(words), values: Vec::new() };
        judge(&batch, &answered, requests, is_down, true)
    }

    #[test]
    fn what_was_not_delivered_is_not_written() {
        assert!(judged(&["written", "written"], 1, true).unwrap_err().contains("calls everything written"));
        for (words, requests, is_down) in
            [(["written", "rejected"], 1, true), (["written"; 2], 0, true), (["written"; 2], 1, false)]
        {
            judged(&words, requests, is_down).unwrap();
        }
    }

    #[test]
    fn what_stops_in_order_tries_nothing_behind_what_comes_again() {
        for words in [["unknown", "written", "written"], ["rejected", "transient", "rejected"]] {
            assert!(judged(&words, 0, false).unwrap_err().contains("goes on behind event"), "{words:?}");
        }
        for words in [
            ["unknown", "not tried", "not tried"],
            ["rejected", "written", "transient"],
            ["halted", "written", "written"],
        ] {
            judged(&words, 0, false).unwrap();
        }
    }

    #[test]
    fn a_batch_without_events_can_not_fail_and_no_answer_contradicts_itself() {
        let judged = |failure: Failure, events: usize, is_down| {
            let batch = event::batch(&vec![Given::default(); events], 0).unwrap();
            judge(&batch, &Answered { fate: Fate::Whole(failure), values: Vec::new() }, 0, is_down, true)
        };
        assert!(judged(Failure::transient("busy", ""), 0, false).is_err());
        assert!(judged(Failure::unknown("bad-report", ""), 1, false).is_err());
        judged(Failure::transient("busy", ""), 1, false).unwrap();
        judged(Failure::transient("busy", ""), 0, true).unwrap();
    }

    #[test]
    fn every_requirement_has_a_name_of_its_own_and_leaves_nothing_open() {
        for (index, requirement) in REQUIREMENTS.iter().enumerate() {
            assert!(REQUIREMENTS[..index].iter().all(|other| other.name != requirement.name), "{}", requirement.name);
            assert!(matches!(requirement.steps, [Step::Open, .., Step::Close]), "{}", requirement.name);
        }
    }
}
