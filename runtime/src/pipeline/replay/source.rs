//! Letters for one destination, as a source of events.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use arrow_array::UInt64Array;
use async_trait::async_trait;
use tokio::task::JoinHandle;

use super::desk::Desk;
use crate::batch::{Origin, Partition};
use crate::delivery::{Filter, Found, Scan, Snapshot, batch_of};
use crate::envelope::{Block, PathName};
use crate::source::{Demand, Input, Open, Resume, Source, SourceError};

/// What of a snapshot goes to one destination.
pub(super) struct Letters {
    snapshot: Snapshot,
    filter: Filter,
    /// Of this sink; `None`: of all.
    of: Option<PathName>,
    again: bool,
    desk: Arc<Desk>,
}

impl Letters {
    pub(super) fn new(
        snapshot: Snapshot,
        filter: Filter,
        of: Option<PathName>,
        again: bool,
        desk: Arc<Desk>,
    ) -> Letters {
        Letters { snapshot, filter, of, again, desk }
    }
}

#[async_trait]
impl Open for Letters {
    /// What is not marked can be sent by the next replay, but no position says so.
    fn replayable(&self) -> bool {
        false
    }

    fn ends(&self) -> bool {
        true
    }

    async fn open(&self, _: Resume) -> Result<Box<dyn Source>, SourceError> {
        let scan = Scan::again(&self.snapshot, self.filter.clone(), self.again);
        Ok(Box::new(Reading { idle: Some(scan), busy: None, of: self.of.clone(), desk: self.desk.clone() }))
    }
}

type Read = (Scan, io::Result<Vec<Found>>);

struct Reading {
    /// Between two reads.
    idle: Option<Scan>,
    /// During one, which outlives a call that is given up.
    busy: Option<JoinHandle<Read>>,
    of: Option<PathName>,
    desk: Arc<Desk>,
}

#[async_trait]
impl Source for Reading {
    async fn next(&mut self, demand: Demand) -> Result<Input, SourceError> {
        if demand == Demand::Nothing {
            std::future::pending::<()>().await;
        }
        loop {
            let mut found = self.read().await.map_err(failed)?;
            if found.is_empty() {
                return Ok(Input::Ended);
            }
            if let Some(of) = &self.of {
                found.retain(|found| *found.letter.pipeline == *of.pipeline && *found.letter.sink == *of.sink);
            }
            if !found.is_empty() {
                self.desk.take(&found);
                return Ok(Input::Block(Box::new(block(&found).map_err(failed)?)));
            }
        }
    }

    /// Letters are marked one by one, where they become final.
    async fn acknowledge(&mut self, _: &BTreeMap<Partition, u64>) -> Result<(), SourceError> {
        Ok(())
    }
}

impl Reading {
    async fn read(&mut self) -> io::Result<Vec<Found>> {
        if let Some(mut scan) = self.idle.take() {
            self.busy = Some(tokio::task::spawn_blocking(move || {
                let found = scan.read();
                (scan, found)
            }));
        }
        let Some(busy) = &mut self.busy else { return Err(io::Error::other("a read broke down before")) };
        let read = busy.await;
        self.busy = None;
        let (scan, found) = read.map_err(io::Error::other)?;
        self.idle = Some(scan);
        found
    }
}

/// Letters of one segment, told by their places.
fn block(found: &[Found]) -> Result<Block, arrow_schema::ArrowError> {
    let segment = found.first().map_or(0, |found| found.segment);
    let end = found.last().map_or(0, |found| found.bytes.end);
    let partition = Desk::partition(segment);
    let positions = UInt64Array::from_iter_values(found.iter().map(|found| found.bytes.start));
    let batch = batch_of(found.iter().map(|found| &found.letter))?
        .with_origin(Origin::single(partition.clone(), positions))
        .map_err(|uneven| arrow_schema::ArrowError::from_external_error(Box::new(uneven)))?;
    Ok(Block { batch, ends: vec![(partition, end)], rejects: None })
}

fn failed(error: impl ToString) -> SourceError {
    SourceError { message: format!("dead letters can't be read: {}", error.to_string()) }
}
