//! Copies rows of a column out, whichever way is cheaper.

use arrow_array::{Array, BooleanArray, UInt32Array};
use arrow_schema::ArrowError;
use arrow_select::filter::{FilterBuilder, FilterPredicate};
use arrow_select::take::take;

use super::{RowSet, same_type};

/// Rows to be copied out of every column of one batch.
pub(super) enum Pick {
    /// Runs of neighbours, each copied at once.
    Runs(FilterPredicate),
    /// Single rows.
    Rows(UInt32Array),
}

impl Pick {
    /// `rows` of a batch of so many.
    pub(super) fn new(rows: &RowSet, of: usize) -> Pick {
        if rows.ranges().len() * RUN > rows.len() {
            return Pick::Rows(rows.iter().collect::<Vec<_>>().into());
        }
        Pick::Runs(FilterBuilder::new(&BooleanArray::new(rows.mask(of), None)).optimize().build())
    }

    pub(super) fn of<A: Array + Clone + 'static>(&self, column: &A) -> Result<A, ArrowError> {
        same_type(&match self {
            Pick::Runs(filter) => filter.filter(column)?,
            Pick::Rows(rows) => take(column, rows, None)?,
        })
    }
}

/// Neighbours from which on it is cheaper to copy them together.
const RUN: usize = 8;
