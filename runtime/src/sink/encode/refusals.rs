//! Events of one batch that an encoder refuses.

use crate::batch::RowSet;
use crate::sink::{Failure, Refusal};

/// Alike ones together, so that a batch in which everything is wrong has few refusals.
#[derive(Debug, Default)]
pub(super) struct Refusals(Vec<Refusal>);

impl Refusals {
    /// Adds an event after all that were added.
    pub(super) fn add(&mut self, row: usize, code: &'static str, message: &str) {
        let known = self.0.iter_mut().find(|known| *known.failure.code == *code && *known.failure.message == *message);
        match known {
            Some(known) => known.rows.push(row as u32),
            None => {
                let rows = RowSet::range(row..row + 1);
                self.0.push(Refusal { rows, failure: Failure::rejected(code, message) });
            }
        }
    }

    pub(super) fn into_vec(self) -> Vec<Refusal> {
        self.0
    }
}
