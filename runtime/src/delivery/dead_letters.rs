//! What could not be delivered, kept durably with its story.
//!
//! A directory holds segments, each appended to by one process, and beside a segment the marks of what was sent again
//! since. `docs/dead-letters.md` describes both.

mod counted;
mod directory;
mod filter;
mod letter;
mod marks;
mod medium;
mod record;
mod relay;
mod scan;
mod segments;

use std::time::SystemTime;

use async_trait::async_trait;

use crate::batch::Batch;
use crate::envelope::PathName;
use crate::sink::Failure;

pub use counted::{Counted, LetterCounts};
pub use directory::{Held, ReplayLock, prune};
pub use filter::Filter;
pub use letter::{Bytes, Letter, batch_of};
pub use marks::Marks;
pub use record::{Past, encode};
pub use relay::{Relay, RelayView, letter_partition};
pub use scan::{Found, Scan, Snapshot};
pub use segments::Segments;

/// Events that failed alike, and how.
#[derive(Clone, Copy, Debug)]
pub struct DeadLetter<'a> {
    /// Whose they are.
    pub path: &'a PathName,
    /// The events.
    pub batch: &'a Batch,
    /// Why the last attempt failed.
    pub failure: &'a Failure,
    /// How many attempts there were.
    pub attempts: u32,
    /// When the first one began, if there was any.
    pub since: Option<SystemTime>,
    /// Where the one event began and ended, if the payload is only its beginning.
    pub range: Option<(u64, u64)>,
}

impl<'a> DeadLetter<'a> {
    /// Whole events that no sink was given.
    pub fn untried(path: &'a PathName, batch: &'a Batch, failure: &'a Failure) -> DeadLetter<'a> {
        DeadLetter { path, batch, failure, attempts: 0, since: None, range: None }
    }
}

/// Dead letters were not kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unkept {
    /// There is no room for more until somebody takes some away.
    #[error("no room for more dead letters in {place}: {max_size}; send them again, prune or remove them")]
    Full {
        /// What bounds them.
        max_size: String,
        /// Where.
        place: String,
    },
    /// They can't be written.
    #[error("{message}")]
    Failed {
        /// What happened and where.
        message: String,
    },
}

/// Where dead letters go.
#[async_trait]
pub trait DeadLetters: Send + Sync {
    /// Returns once they are durable: all of them, or none where it fails.
    async fn put(&self, letter: DeadLetter<'_>) -> Result<(), Unkept>;
}
