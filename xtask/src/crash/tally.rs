//! What is in the output, held against what was saved.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

use anyhow::Result;

use super::input::{Saved, number_in};

/// How many problems are told.
const MOST_PROBLEMS: usize = 10;

/// Counts each event of an output that only grows.
pub(crate) struct Tally {
    output: PathBuf,
    /// The end of the last whole line that was counted.
    seen: u64,
    /// How often each event is there.
    counts: Vec<u32>,
    /// First deliveries come in the order of the input, of each file apart: so many events are in one.
    rotated: u64,
    highest: HashMap<u64, u64>,
    pub(crate) lost: u64,
    pub(crate) twice: u64,
    /// Events that may be there once more: those that were written and read again.
    pub(crate) allowed: u64,
    pub(crate) problems: Vec<String>,
}

impl Tally {
    pub(crate) fn new(output: PathBuf, rotated: u64) -> Tally {
        let (counts, highest, problems) = (Vec::new(), HashMap::new(), Vec::new());
        Tally { output, seen: 0, counts, rotated, highest, lost: 0, twice: 0, allowed: 0, problems }
    }

    /// After a kill: the next run passes over what was saved of so many events.
    pub(crate) fn look(&mut self, saved: &Saved, events: u64, buffered: bool) -> Result<()> {
        self.count()?;
        let there = |number: u64| self.counts.get(number as usize).is_some_and(|count| *count > 0);
        let missing = (0..events).find(|number| saved.has(*number) && !there(*number)).filter(|_| !buffered);
        // A buffer on disk may give out again what the sink had not confirmed: the same bound, from what is written on.
        let again = (0..events).filter(|number| (buffered || !saved.has(*number)) && there(*number)).count() as u64;
        self.allowed += again;
        if let Some(missing) = missing {
            self.problem(format!("event {missing} is not written, and the next run would pass over it"));
        }
        Ok(())
    }

    /// Whether so many events are there.
    pub(crate) fn has_all(&mut self, events: u64) -> Result<bool> {
        self.count()?;
        Ok(self.counts.len() as u64 >= events && self.counts.iter().all(|count| *count > 0))
    }

    /// Everything has to be there.
    pub(crate) fn finish(&mut self, events: u64) -> Result<()> {
        self.count()?;
        self.counts.resize(self.counts.len().max(events as usize), 0);
        self.lost = self.counts.iter().filter(|count| **count == 0).count() as u64;
        if self.lost > 0 {
            let first = self.counts.iter().position(|count| *count == 0).unwrap_or_default();
            self.problem(format!("{} events are lost, the first is {first}", self.lost));
        }
        if self.counts.len() as u64 > events {
            self.problem(format!("there are {} events, and {events} were read", self.counts.len()));
        }
        self.twice = self.counts.iter().map(|count| u64::from(count.saturating_sub(1))).sum();
        if self.twice > self.allowed {
            self.problem(format!("{} events came again, of {} that were read again", self.twice, self.allowed));
        }
        Ok(())
    }

    /// What was added since, up to the last whole line.
    fn count(&mut self) -> Result<()> {
        let Ok(mut file) = File::open(&self.output) else { return Ok(()) };
        file.seek(SeekFrom::Start(self.seen))?;
        let mut added = Vec::new();
        file.read_to_end(&mut added)?;
        let whole = added.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        self.seen += whole as u64;
        for line in String::from_utf8_lossy(&added[..whole]).lines() {
            let Some(number) = number_in(line) else { continue };
            let at = number as usize;
            if self.counts.len() <= at {
                self.counts.resize(at + 1, 0);
            }
            self.counts[at] += 1;
            let highest = self.highest.entry(number.checked_div(self.rotated).unwrap_or(0)).or_insert(number);
            let late = self.counts[at] == 1 && number < *highest;
            *highest = number.max(*highest);
            if late {
                self.problem(format!("event {number} came after later ones"));
            }
        }
        Ok(())
    }

    fn problem(&mut self, problem: String) {
        if self.problems.len() < MOST_PROBLEMS {
            self.problems.push(problem);
        }
    }
}
