//! One event a request: the events of a batch one after the other, each with an outcome of its own.

use std::time::Duration;

use arrow_array::Array;
use tokio::time::{Instant, timeout_at};

use super::Sender;
use super::body::Made;
use super::target::Target;
use crate::batch::Batch;
use crate::sink::outcome::Refusals;
use crate::sink::{Failure, FailureKind, Outcome, WriteContext, WriteError};

impl Sender {
    /// Stops at the first event that is neither written nor rejected, whatever the context says: what keeps one event
    /// from a server mostly keeps all of them. Stops too when half of the time is over, so that what was written is
    /// told before the deadline takes the answer away.
    pub(super) async fn write_each(
        &self,
        batch: &Batch,
        target: &Target,
        context: &WriteContext,
    ) -> Result<Outcome, WriteError> {
        let enough = context.deadline - context.timeout / 2;
        let last = context.deadline - (context.timeout / 20).min(Duration::from_secs(1));
        let mut refused = Refusals::default();
        for row in 0..batch.len() {
            if row > 0 && Instant::now() >= enough {
                return Ok(Outcome::new(batch.len(), refused.finish(), Some(row as u32))?);
            }
            if batch.payload().is_null(row) {
                continue;
            }
            let sent = timeout_at(last, self.send_one(&batch.slice(row..row + 1), target, context)).await;
            let sent = sent.unwrap_or_else(|_| Err(Failure::unknown("timeout", "the answer did not come in time")));
            let Err(failure) = sent else { continue };
            match failure.kind {
                FailureKind::Rejected => refused.add(row as u32, failure),
                _ if !is_about_all(&failure) => {
                    refused.add(row as u32, failure);
                    return Ok(Outcome::new(batch.len(), refused.finish(), Some(row as u32 + 1))?);
                }
                // It comes again as the first event of its call, and then speaks for all.
                _ if row > 0 => return Ok(Outcome::new(batch.len(), refused.finish(), Some(row as u32))?),
                _ => return Err(failure.into()),
            }
        }
        Ok(Outcome::new(batch.len(), refused.finish(), None)?)
    }

    async fn send_one(&self, event: &Batch, target: &Target, context: &WriteContext) -> Result<(), Failure> {
        let Made { bytes, refused } = self.form.of(event).await?;
        if let Some(refusal) = refused.into_iter().next() {
            return Err(refusal.failure);
        }
        let Some(bytes) = bytes else { return Ok(()) };
        let id = self.key.is_some().then(|| context.batch_id(event.origin()));
        self.send(target, bytes, id).await.map(drop)
    }
}

/// Whether any other event would have failed like this one: the server was not reached, or wants something of the
/// operator.
fn is_about_all(failure: &Failure) -> bool {
    match failure.kind {
        FailureKind::Halted => true,
        FailureKind::Transient { .. } => !failure.code.starts_with("http-"),
        FailureKind::Unknown | FailureKind::Rejected => false,
    }
}
