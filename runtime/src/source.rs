//! Where events come from: the trait that every source is, and one file for each.

pub mod file;
pub mod framing;
pub mod generate;
pub mod http;
pub mod kafka;
mod reader;
pub mod stdin;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::batch::Partition;
use crate::envelope::Block;

/// What a source is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// Anything.
    Events,
    /// No block, because nothing can be taken now: only what can't wait. A source that needs to hear from its user to
    /// stay alive is kept alive this way under backpressure.
    Nothing,
}

/// What a source hands over.
#[derive(Debug)]
pub enum Input {
    /// Partitions were assigned, each beginning at a position. Comes before their first block.
    Assigned(Vec<(Partition, u64)>),
    /// Events were read.
    Block(Box<Block>),
    /// Partitions are taken away. Their events that are still queued are given up, for someone else to read. The source
    /// is asked for more only when those in flight are final or given up, or [`Open::revoke_timeout`] is over, and what
    /// is final by then was acknowledged: with the next call of [`Source::next`] it may let the partitions go. Nothing is
    /// acknowledged for them after that, until they are assigned again.
    Revoked(Vec<Partition>),
    /// Somebody set these partitions back: no sink passes over events of them that it had before. Comes before they are
    /// assigned.
    Rewound(Vec<Partition>),
    /// Partitions have come to their end for good, and everything of them was acknowledged: nothing is kept of them.
    Finished(Vec<Partition>),
    /// Nothing will come any more. Acknowledgements still do.
    Ended,
}

/// A source can't go on.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct SourceError {
    /// What happened and where, for people.
    pub message: String,
}

/// Where a source goes on after a restart.
#[derive(Clone, Debug, Default)]
pub struct Resume {
    /// For each known partition, the lowest position that a sink still needs.
    pub positions: BTreeMap<Partition, u64>,
    /// What [`Source::memo`] gave last.
    pub memo: serde_json::Value,
    /// Everything is to be read again, whatever anybody else remembers.
    pub from_start: bool,
}

/// An open source. One task owns it.
#[async_trait]
pub trait Source: Send {
    /// Waits for what comes next. Nothing is lost when the future is dropped: the next call goes on.
    ///
    /// It is called even while no events can be taken, with [`Demand::Nothing`].
    async fn next(&mut self, demand: Demand) -> Result<Input, SourceError>;

    /// In each of these partitions, everything before the position is final. May be called at any time between two
    /// calls of [`next`](Self::next), and after the end.
    async fn acknowledge(&mut self, positions: &BTreeMap<Partition, u64>) -> Result<(), SourceError>;

    /// Whether somebody waits for acknowledgements, so that they have to come as soon as events are final.
    fn acknowledges_promptly(&self) -> bool {
        false
    }

    /// For each topic, or whatever the source calls them, events that wait where they come from, from those on that are
    /// not final here.
    fn lag(&self) -> Vec<(Arc<str>, u64)> {
        Vec::new()
    }

    /// Nothing more will be read or acknowledged. Returns when what was acknowledged is safe, or after a while.
    async fn close(&mut self) {}

    /// How many bytes there are to read, where that is known.
    fn behind(&self) -> Option<u64> {
        None
    }

    /// What the source needs to know its partitions again after a restart. Saved together with the positions.
    fn memo(&self) -> serde_json::Value {
        serde_json::Value::Null
    }

    /// Events of the current assignments were given up: what is at or past them will never be acknowledged. Comes where
    /// the source can't be opened again, and again until it has assigned anew.
    fn given_up(&mut self) {}

    /// No more events are asked for. Acknowledgements still come. May be called more than once.
    fn stop(&mut self) {}
}

/// A source that can be opened.
#[async_trait]
pub trait Open: Send + Sync {
    /// Whether what was not acknowledged can be read again after a restart.
    fn replayable(&self) -> bool;

    /// Whether those who sent what was not acknowledged hear of it, and send it again: it need not be kept for them.
    fn senders_repeat(&self) -> bool {
        false
    }

    /// Whether what its settings name, such as certificates, can be used. Connects to nothing; the error names the key.
    fn check(&self) -> Result<(), (&'static str, String)> {
        Ok(())
    }

    /// Whether it ends by itself, so that a run that only reads such sources is over when they are.
    fn ends(&self) -> bool;

    /// For how long calls in flight are waited for when a partition is taken away.
    fn revoke_timeout(&self) -> Duration {
        Duration::from_secs(30)
    }

    /// Begins where `resume` says.
    async fn open(&self, resume: Resume) -> Result<Box<dyn Source>, SourceError>;
}
