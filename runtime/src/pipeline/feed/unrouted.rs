//! Events that no sink takes.

use arrow_schema::ArrowError;

use super::{Fan, Rejected};
use crate::batch::RowSet;
use crate::defect::{self, Defect};
use crate::envelope::Block;
use crate::sink::Failure;

/// What no sink takes, where that is to be a dead letter.
pub(super) fn take_unrouted(
    fan: &Fan,
    block: &Block,
    not_taken: &RowSet,
    failed: &RowSet,
) -> Result<[Rejected; 2], ArrowError> {
    let path = &fan.rejects;
    // Only what the path has not had before a restart comes out of it.
    let both = path.unseen(&block.batch, &not_taken.union(failed));
    let both = if defect::on(Defect::ForgetUnrouted) { RowSet::default() } else { both };
    let failed = failed.intersection(&both);
    let (failed, not_taken) = match path.take(block, &both)? {
        Some(envelope) => envelope.select(&failed.within(&both))?,
        None => Default::default(),
    };
    let rejected = |envelope, code: &str, message: &str| Rejected {
        to: fan.dead_letters.clone(),
        path: path.clone(),
        envelope,
        failure: Failure::rejected(code, message),
        range: None,
    };
    Ok([
        rejected(not_taken, "not-taken", "no sink takes it, and `otherwise` is \"reject\""),
        rejected(failed, "condition-failed", "the conditions that it was asked could not be evaluated"),
    ])
}
