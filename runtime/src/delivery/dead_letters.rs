//! What could not be delivered, kept durably with its story.

mod counted;
mod record;
mod segments;

use std::time::SystemTime;

use async_trait::async_trait;

use crate::batch::Batch;
use crate::envelope::PathName;
use crate::sink::Failure;

pub use counted::{Counted, LetterCounts};
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
}

/// Dead letters were not kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unkept {
    /// There is no room for more until somebody takes some away.
    #[error("no more than {max_size} of dead letters are kept in {place}: send them again or remove them")]
    Full {
        /// The bound.
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
    /// Returns once they are durable.
    async fn put(&self, letter: DeadLetter<'_>) -> Result<(), Unkept>;
}
