//! What a source read in one go.

use crate::batch::{Batch, Partition};

/// Events in the order of their partitions, and where each partition goes on after them.
#[derive(Clone, Debug)]
pub struct Block {
    /// The events; none where only [`ends`](Self::ends) or [`rejects`](Self::rejects) are news.
    pub batch: Batch,
    /// For each partition that was read, the position after what was read: where to go on.
    pub ends: Vec<(Partition, u64)>,
    /// What framing could not accept.
    pub rejects: Option<Box<Rejects>>,
}

/// Events that framing rejected, each with as much of its payload as is kept.
#[derive(Clone, Debug)]
pub struct Rejects {
    /// The events.
    pub batch: Batch,
    /// A short, stable identifier such as `too-long`.
    pub code: &'static str,
    /// For people.
    pub message: String,
    /// Where its one event begins and ends, in what its position counts, where only its beginning is kept.
    pub range: Option<(u64, u64)>,
}
