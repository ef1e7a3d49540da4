//! A batch with its receipt.

use arrow_schema::ArrowError;

use super::{Charge, Final, Flight, Receipt};
use crate::batch::{Batch, Partition, RowSet};
use crate::defect::{self, Defect};

/// A batch on its way to one sink, with the duty to account for each of its events and the memory that they hold.
///
/// A sink is lent the batch; the envelope stays with the delivery.
#[must_use]
#[derive(Debug, Default)]
pub struct Envelope {
    batch: Batch,
    receipt: Receipt,
    charge: Charge,
}

impl Envelope {
    pub(super) fn new(batch: Batch, receipt: Receipt, charge: Charge) -> Envelope {
        debug_assert_eq!(batch.len(), receipt.rows());
        Envelope { batch, receipt, charge }
    }

    pub(super) fn into_parts(self) -> (Batch, Receipt, Charge) {
        (self.batch, self.receipt, self.charge)
    }

    /// The events.
    pub fn batch(&self) -> &Batch {
        &self.batch
    }

    /// How many events there are.
    pub fn len(&self) -> usize {
        self.batch.len()
    }

    /// Whether there are none: nothing is left to account for.
    pub fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    /// Whether a disk buffer has all of the events: they are not lost when they are given up here.
    pub fn is_buffered(&self) -> bool {
        self.receipt.is_buffered()
    }

    /// Where each of their partitions goes on once these events, and all that the path took before them, are final. The
    /// same partition may come several times, in order.
    pub fn next(&self) -> impl Iterator<Item = (&Partition, u64)> {
        self.receipt.next()
    }

    /// Puts the memory that the events hold on somebody's account, until they are final.
    pub fn charge(&mut self, charge: Charge) {
        self.charge.merge(charge);
    }

    /// All of them are final.
    pub fn settle(self, how: Final) {
        if defect::on(Defect::LeakCharge) {
            std::mem::forget(self.charge);
        }
        self.receipt.settle(how);
    }

    /// The events go to their sink. None where the partition of some was taken away.
    pub fn depart(&self) -> Option<Flight> {
        self.receipt.depart()
    }

    /// Gives up the events whose partition was taken away: who has it now reads them.
    ///
    /// Fails when the others can't be copied apart; all are given up then.
    pub fn give_up_revoked(&mut self) -> Result<(), ArrowError> {
        let revoked = self.receipt.revoked();
        if revoked.is_empty() || defect::on(Defect::DeliverRevoked) {
            return Ok(());
        }
        let whole = std::mem::take(self);
        if !revoked.is_all(whole.len()) {
            (_, *self) = whole.select(&revoked)?;
        }
        Ok(())
    }

    /// Splits off the first `rows`, sharing the columns; this keeps the rest. There must be so many.
    pub fn split_front(&mut self, rows: usize) -> Envelope {
        let front = self.batch.slice(0..rows);
        self.batch = self.batch.slice(rows..self.batch.len());
        let charge = self.charge.split(front.bytes());
        Envelope::new(front, self.receipt.split_front(rows), charge)
    }

    /// Lets go of memory that other events hold: these may stay for long.
    ///
    /// Fails when they can't be copied out; the events are given up then, to be read again.
    pub fn compact(self) -> Result<Envelope, ArrowError> {
        Ok(Envelope { batch: self.batch.compact()?, ..self })
    }

    /// `rows`, and the others.
    ///
    /// Fails when they can't be copied apart; the events are given up then, to be read again.
    pub fn select(self, rows: &RowSet) -> Result<(Envelope, Envelope), ArrowError> {
        let others = rows.complement(self.len());
        let mut both = self.scatter(&[rows.clone(), others])?.into_iter();
        Ok((both.next().unwrap_or_default(), both.next().unwrap_or_default()))
    }

    /// An envelope for each of several sets of rows, which do not overlap and are all rows together.
    ///
    /// Fails when they can't be copied apart; the events are given up then, to be read again.
    pub fn scatter(mut self, sets: &[RowSet]) -> Result<Vec<Envelope>, ArrowError> {
        debug_assert_eq!(sets.iter().map(RowSet::len).sum::<usize>(), self.len());
        let batches = sets.iter().map(|rows| self.batch.select(rows)).collect::<Result<Vec<_>, _>>()?;
        let receipts = self.receipt.scatter(sets);
        let parts = batches.into_iter().zip(receipts).map(|(batch, receipt)| {
            let charge = self.charge.split(batch.bytes());
            Envelope::new(batch, receipt, charge)
        });
        Ok(parts.collect())
    }

    /// All events of `parts`, in order; copied unless there is one part only.
    ///
    /// Fails when there are none, or they don't fit one batch; the events are given up then, to be read again.
    pub fn concat(parts: Vec<Envelope>) -> Result<Envelope, ArrowError> {
        let batches: Vec<Batch> = parts.iter().map(|part| part.batch.clone()).collect();
        let batch = Batch::concat(&batches)?;
        let (mut receipt, mut charge) = (Receipt::default(), Charge::default());
        for part in parts {
            receipt.append(part.receipt);
            charge.merge(part.charge);
        }
        Ok(Envelope::new(batch, receipt, charge))
    }
}
