//! The search for the events at fault in a batch that fails as a whole.

use crate::defect::{self, Defect};

/// How long halving goes on without anything being written.
///
/// One bad event among n costs about 2·log₂ n calls, half of which write something. A batch of which everything is bad
/// must not cost n calls: after 2·log₂ n + 8 in a row in which nothing was written, what is left is given up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Search {
    fruitless: u32,
    most: u32,
}

impl Search {
    /// In a batch of so many events.
    pub(super) fn new(events: usize) -> Search {
        Search { fruitless: 0, most: 2 * events.max(1).next_power_of_two().ilog2() + 8 }
    }

    /// A call wrote something.
    pub(super) fn found(&mut self) {
        self.fruitless = 0;
    }

    /// A call wrote nothing. Whether it is worth going on.
    pub(super) fn missed(&mut self) -> bool {
        self.fruitless += 1;
        self.fruitless < self.most || defect::on(Defect::EndlessSearch)
    }
}
