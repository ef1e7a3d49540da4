//! Events of several envelopes, put together as they come.

use arrow_schema::ArrowError;

use super::{Charge, Envelope, Receipt};
use crate::batch::{Batch, Collector};

/// What will be one envelope. Each event is copied once, so that none keeps others in memory, and counts from then on by
/// what it takes itself.
#[derive(Debug, Default)]
pub struct Collection {
    events: Collector,
    receipt: Receipt,
    charge: Charge,
}

impl Collection {
    /// How many events there are.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Bytes that they take.
    pub fn bytes(&self) -> usize {
        self.events.bytes()
    }

    /// All of them; it is empty then.
    ///
    /// Fails only where columns contradict each other, which is ruled out; the events are given up then.
    pub fn take(&mut self) -> Result<Envelope, ArrowError> {
        let (receipt, charge) = (std::mem::take(&mut self.receipt), std::mem::take(&mut self.charge));
        Ok(Envelope::new(self.events.take()?, receipt, charge))
    }
}

/// An envelope whose events go to several collections. Those that went nowhere are given up.
#[derive(Debug)]
pub struct Deal {
    batch: Batch,
    receipt: Receipt,
    charge: Charge,
    left: usize,
}

impl Deal {
    /// Of all events of an envelope.
    pub fn new(envelope: Envelope) -> Deal {
        let (batch, receipt, charge) = envelope.into_parts();
        Deal { left: batch.len(), batch, receipt, charge }
    }

    /// The events.
    pub fn batch(&self) -> &Batch {
        &self.batch
    }

    /// Gives events of these rows, which ascend and went nowhere yet, to a collection.
    ///
    /// Fails when they don't fit one batch with what is there.
    pub fn give(&mut self, rows: &[u32], to: &mut Collection) -> Result<(), ArrowError> {
        let before = to.bytes();
        to.events.extend(&self.batch, rows)?;
        self.receipt.deal(rows, &mut to.receipt);
        to.charge.merge(self.charge.split(to.bytes() - before));
        self.left -= rows.len();
        if self.left == 0 {
            // Each has a new owner.
            self.receipt.hand_over();
        }
        Ok(())
    }
}
