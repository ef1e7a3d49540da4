//! Conditions: which events of a batch a sink takes.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::bind::bind;
use super::compile::compile;
use super::plan::Plan;
use super::row::{Read, Row};
use super::syntax::{self, SyntaxError};
use crate::batch::Batch;
use crate::batch::RowSet;

/// A CEL expression that holds for an event, or does not. Cloning is cheap.
#[derive(Clone)]
pub struct Condition {
    text: Arc<str>,
    bound: Arc<Bound>,
}

struct Bound {
    plan: Plan,
    reads: Vec<Read>,
}

/// For which events of a batch a condition holds. Both sets are apart from each other: a condition that fails does not
/// hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdicts {
    /// The events for which it holds.
    pub holds: RowSet,
    /// The events on which it failed: a payload that is not JSON, a field that is missing, values that don't compare.
    pub failed: RowSet,
}

impl Condition {
    /// Reads a condition.
    ///
    /// Fails when the text is not CEL, or names variables or functions that there are not.
    pub fn parse(text: &str) -> Result<Condition, SyntaxError> {
        let (expression, places) = syntax::parse(text)?;
        let (expression, reads) = bind(expression, &places)?;
        let plan = compile(expression, &places)?;
        Ok(Condition { text: text.into(), bound: Arc::new(Bound { plan, reads }) })
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it reads the payload. One that does not costs the same whatever the payloads are.
    pub fn reads_payload(&self) -> bool {
        self.bound.reads.iter().any(|read| matches!(read, Read::Field(_) | Read::HasField(_) | Read::Raw))
    }

    /// Asks it of every event.
    pub fn evaluate(&self, batch: &Batch) -> Verdicts {
        let Bound { plan, reads } = &*self.bound;
        let mut row = Row::first(batch, reads);
        let (mut holds, mut failed) = (Rows::default(), Rows::default());
        for index in 0..batch.len() {
            row.move_to(index);
            match plan.holds(&mut row) {
                Some(true) => holds.push(index),
                Some(false) => {}
                None => failed.push(index),
            }
        }
        Verdicts { holds: holds.into_set(), failed: failed.into_set() }
    }
}

/// Ascending rows, as ranges.
#[derive(Default)]
struct Rows(Vec<Range<u32>>);

impl Rows {
    fn push(&mut self, row: usize) {
        let row = row as u32;
        match self.0.last_mut() {
            Some(last) if last.end == row => last.end += 1,
            _ => self.0.push(row..row + 1),
        }
    }

    fn into_set(self) -> RowSet {
        RowSet::from_ranges(self.0)
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_tuple("Condition").field(&self.text).finish()
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for Condition {
    fn eq(&self, other: &Condition) -> bool {
        self.text == other.text
    }
}

impl Eq for Condition {}

impl FromStr for Condition {
    type Err = SyntaxError;

    fn from_str(text: &str) -> Result<Condition, SyntaxError> {
        Condition::parse(text)
    }
}

impl Serialize for Condition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Condition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Condition, D::Error> {
        let text = String::deserialize(deserializer)?;
        Condition::parse(&text).map_err(|error| D::Error::custom(error.in_text(&text)))
    }
}
