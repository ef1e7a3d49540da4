//! Where events go: the traits that every sink is, what becomes of a batch, and one file for each native sink.
//!
//! A sink writes and says what happened. It never waits between attempts, puts batches together, repeats a write or
//! acknowledges anything: the delivery does all of that, for all sinks alike.

pub mod console;
mod context;
pub mod encode;
pub mod file;
pub mod http;
pub mod kafka;
mod lines;
pub mod null;
mod outcome;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use async_trait::async_trait;

pub use context::{BatchId, Next, Turn, WriteContext};
pub use encode::{Encode, Encoded, Encoder, Sources};
pub use outcome::{BadReport, Failure, FailureKind, Outcome, Refusal, WriteError};

use crate::batch::{Batch, Partition};
use crate::expr::Template;

/// What a sink says about itself, before it is opened.
#[derive(Clone, Debug)]
pub struct Contract {
    /// Never more events than this in one write.
    pub max_events: Option<NonZeroUsize>,
    /// Never more bytes of payload than this in one write, unless one event alone has more.
    pub max_bytes: Option<NonZeroUsize>,
    /// How many writes one instance takes at the same time.
    pub overlap: NonZeroUsize,
    /// How many of these may be under way where all events keep their order, and the sink sees to that. Each begins once
    /// the [turn](WriteContext::turn) of the one before it is over. From when the sink knows that events of a write are
    /// to come again, until that write has returned, it writes nothing of those that began later, and fails them.
    pub ahead: NonZeroUsize,
    /// Where [`WriteContext::ordered`] is set, a write stops at the first event that is neither written nor rejected.
    pub stops_in_order: bool,
    /// What says where an event goes, if each batch is to go to one destination.
    pub destination: Option<Template>,
    /// Whether its own templates read what events carry. Where an encoder made something else of them,
    /// [`Batch::unencoded`](crate::batch::Batch::unencoded) has it then. What `destination` reads is always there.
    pub reads_events: bool,
}

impl Default for Contract {
    /// No limits of its own, one write at a time, stops in order, one destination, templates that may read events.
    fn default() -> Contract {
        Contract {
            max_events: None,
            max_bytes: None,
            overlap: NonZeroUsize::MIN,
            ahead: NonZeroUsize::MIN,
            stops_in_order: true,
            destination: None,
            reads_events: true,
        }
    }
}

/// A sink that can be opened.
#[async_trait]
pub trait Connect: Send + Sync {
    /// What holds for all its instances.
    fn contract(&self) -> &Contract;

    /// Opens instance number `instance`, from 0; one that replaces another takes its number over. A failure that is
    /// not transient counts as halted. The future may be dropped at any time.
    async fn open(&self, instance: u32) -> Result<Arc<dyn Sink>, Failure>;

    /// Where each partition goes on by what the sink has stored together with its data. Everything before is in it or
    /// was passed over, nothing from there on is. `saved` is what was known of that elsewhere: for a partition of which
    /// nothing is stored, the sink says whether that can be true.
    ///
    /// It is asked only of sinks that are to have each event exactly once, before anything is read, and after each write
    /// whose outcome is not known; no instance is in use then. Before it answers, whatever such a write left under way
    /// has come to its end: nothing of it can be added later. In return such a sink
    ///
    /// - stores [`WriteContext::next`] with the data, all or nothing, over what was stored for these partitions before;
    ///   of an empty batch that alone;
    /// - stops at the first event that it refuses, for whatever reason, stores what is before it, with
    ///   [`Next::after`] so many, and reports that event alone;
    /// - has stored nothing of a write that failed as a whole, unless it says *unknown*;
    /// - takes batches that go to several destinations;
    /// - where `next` is none, adds events to its data under the positions that it has.
    async fn stored(&self, saved: &BTreeMap<Partition, u64>) -> Result<BTreeMap<Partition, u64>, Failure> {
        Ok(saved.clone())
    }
}

/// An open instance of a sink.
#[async_trait]
pub trait Sink: Send + Sync {
    /// Writes a batch: durably, as far as the sink can know, before it returns. The future may be dropped at any time;
    /// the instance is never used again then.
    async fn write(&self, batch: &Batch, context: &WriteContext) -> Result<Outcome, WriteError>;

    /// Called once, when no more writes come; not for an instance that was lost.
    async fn close(&self) -> Result<(), Failure> {
        Ok(())
    }
}
