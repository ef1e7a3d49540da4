//! A batch with its receipt.

use std::ops::Range;

use arrow_schema::ArrowError;

use super::made::Made;
use super::{Charge, Final, Flight, Groups, Receipt};
use crate::batch::{Batch, Partition, RowSet};
use crate::defect::{self, Defect};

/// A batch on its way to one sink, with the duty to account for each of its events and the memory that they hold.
///
/// A sink is lent the batch; the envelope stays with the delivery. Where an encoder made the batch, it has values in the
/// place of events, and the envelope keeps the events too. Rows are rows of the batch. Where one event has several
/// values, or one value several events, those that hang together stay together: a set of rows has all values of a group,
/// or none.
#[must_use]
#[derive(Debug, Default)]
pub struct Envelope {
    batch: Batch,
    receipt: Receipt,
    charge: Charge,
    /// What the batch was made of, where an encoder made it.
    made: Option<Box<Made>>,
}

impl Envelope {
    pub(super) fn new(batch: Batch, receipt: Receipt, charge: Charge) -> Envelope {
        debug_assert_eq!(batch.len(), receipt.rows());
        Envelope { batch, receipt, charge, made: None }
    }

    pub(super) fn into_parts(self) -> (Batch, Receipt, Charge) {
        (self.batch, self.receipt, self.charge)
    }

    /// The same events with what an encoder made of them, and the memory that this holds. There is at least one value;
    /// without `groups` each event has one.
    pub fn encoded(self, values: Batch, groups: Option<Groups>, charge: Charge) -> Envelope {
        debug_assert!(self.made.is_none());
        debug_assert_eq!(groups.as_ref().map_or(values.len(), Groups::events), self.receipt.rows());
        debug_assert!(groups.as_ref().is_none_or(|groups| groups.values() == values.len()));
        let Envelope { batch, receipt, charge: of_events, .. } = self;
        let made = Some(Box::new(Made::new(batch, charge, groups)));
        Envelope { batch: values, receipt, charge: of_events, made }
    }

    /// What goes to the sink: the events, or what was made of them.
    pub fn batch(&self) -> &Batch {
        &self.batch
    }

    /// The events as they were before any encoder.
    ///
    /// Fails when they don't fit one batch.
    pub fn events(&self) -> Result<Batch, ArrowError> {
        self.made.as_ref().map_or_else(|| Ok(self.batch.clone()), |made| made.events())
    }

    /// How many events it accounts for.
    pub fn accounts_for(&self) -> usize {
        self.receipt.rows()
    }

    /// How many rows the batch has.
    pub fn len(&self) -> usize {
        self.batch.len()
    }

    /// Whether there are none: nothing is left to account for.
    pub fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    /// Which values hang together, unless each event has one.
    pub fn groups(&self) -> Option<&Groups> {
        self.made.as_ref()?.groups.as_ref()
    }

    /// The most rows, at most so many, that can be split off.
    pub fn floor(&self, rows: usize) -> usize {
        let rows = rows.min(self.len());
        self.groups().filter(|_| !defect::on(Defect::CutGroup)).map_or(rows, |groups| groups.floor(rows))
    }

    /// The fewest rows, at least so many, that can be split off; all, if there are not so many.
    pub fn ceil(&self, rows: usize) -> usize {
        let rows = rows.min(self.len());
        self.groups().filter(|_| !defect::on(Defect::CutGroup)).map_or(rows, |groups| groups.ceil(rows))
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
        let revoked = self.rows_of(self.receipt.revoked());
        if revoked.is_empty() || defect::on(Defect::DeliverRevoked) {
            return Ok(());
        }
        let whole = std::mem::take(self);
        if !revoked.is_all(whole.len()) {
            (_, *self) = whole.select(&revoked)?;
        }
        Ok(())
    }

    /// All rows of events, and of what hangs together with them.
    fn rows_of(&self, events: RowSet) -> RowSet {
        self.groups().map_or_else(|| events.clone(), |groups| groups.values_of(&events))
    }

    /// Calls `each` with the rows of each event, or of those that hang together, in order.
    pub fn for_each_whole(&self, mut each: impl FnMut(Range<usize>)) {
        match self.groups().filter(|_| !defect::on(Defect::CutGroup)) {
            None => (0..self.len()).for_each(|row| each(row..row + 1)),
            Some(groups) => groups.iter().for_each(each),
        }
    }

    /// Where to cut it in halves. None where it can't be cut: it has one row, or all hang together.
    pub fn middle(&self) -> Option<usize> {
        let half = self.len() / 2;
        let middle = match self.floor(half) {
            0 => self.ceil(half.max(1)),
            below => below,
        };
        (middle < self.len()).then_some(middle)
    }

    /// Splits off the first `rows`, sharing the columns; this keeps the rest. There must be so many, and what hangs
    /// together must stay together.
    pub fn split_front(&mut self, rows: usize) -> Envelope {
        let front = self.batch.slice(0..rows);
        self.batch = self.batch.slice(rows..self.batch.len());
        let (mut events, mut bytes) = (rows, front.bytes());
        let made = self.made.as_mut().map(|made| {
            events = made.events_before(rows);
            let made = made.split_front(rows, bytes);
            bytes = made.bytes();
            Box::new(made)
        });
        let charge = self.charge.split(bytes);
        Envelope { batch: front, receipt: self.receipt.split_front(events), charge, made }
    }

    /// Lets go of memory that other events hold: these may stay for long.
    ///
    /// Fails when they can't be copied out; the events are given up then, to be read again.
    pub fn compact(self) -> Result<Envelope, ArrowError> {
        let made = self.made.map(|made| made.compact()).transpose()?.map(Box::new);
        Ok(Envelope { batch: self.batch.compact()?, made, ..self })
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
        let Some(made) = &mut self.made else {
            let receipts = self.receipt.scatter(sets);
            let parts = batches.into_iter().zip(receipts).map(|(batch, receipt)| {
                let charge = self.charge.split(batch.bytes());
                Envelope::new(batch, receipt, charge)
            });
            return Ok(parts.collect());
        };
        let events: Vec<RowSet> = sets.iter().map(|rows| made.events_of(rows)).collect();
        let parts = sets.iter().zip(&batches).map(|(rows, batch)| made.part_of(rows, batch.bytes()));
        let parts = parts.collect::<Result<Vec<Made>, _>>()?;
        let receipts = self.receipt.scatter(&events);
        let parts = batches.into_iter().zip(receipts).zip(parts).map(|((batch, receipt), made)| {
            let charge = self.charge.split(made.bytes());
            Envelope { batch, receipt, charge, made: Some(Box::new(made)) }
        });
        Ok(parts.collect())
    }

    /// Events that no encoder saw yet, in another order: `rows` names each of them once.
    ///
    /// Fails when they can't be copied; the events are given up then, to be read again.
    pub fn reorder(mut self, rows: Vec<u32>) -> Result<Envelope, ArrowError> {
        debug_assert!(self.made.is_none());
        let batch = self.batch.gather(rows.clone())?;
        let receipt = self.receipt.reorder(&rows);
        let charge = self.charge.split(usize::MAX);
        Ok(Envelope::new(batch, receipt, charge))
    }

    /// All events of `parts`, in order; copied unless there is one part only.
    ///
    /// Fails when there are none, or they don't fit one batch; the events are given up then, to be read again.
    pub fn concat(parts: Vec<Envelope>) -> Result<Envelope, ArrowError> {
        let batches: Vec<Batch> = parts.iter().map(|part| part.batch.clone()).collect();
        let batch = Batch::concat(&batches)?;
        let (mut receipt, mut charge) = (Receipt::default(), Charge::default());
        let mut made = Vec::new();
        for part in parts {
            receipt.append(part.receipt);
            charge.merge(part.charge);
            made.extend(part.made.map(|made| (*made, part.batch.len())));
        }
        let made = (!made.is_empty()).then(|| Box::new(Made::concat(made)));
        Ok(Envelope { batch, receipt, charge, made })
    }
}
