//! Framing: how bytes that are read become events.
//!
//! A framer does no I/O. Its user reads into the buffer that it gives out and hands the buffer back, and the buffer
//! itself becomes the payload column.

pub(in crate::source) mod json;
mod lines;
mod pool;
mod settings;
mod split;

pub use lines::{Aside, Lines};
pub(in crate::source) use pool::Pool;
pub(in crate::source) use settings::bound;
pub use settings::{Bytes, Framing, Length, Pattern, Settings};

use memchr::memmem::Finder;

use self::split::Split;
use crate::batch::Partition;

impl Settings {
    /// A framer of one partition, from a position at which an event begins.
    pub fn framer(&self, partition: Partition, position: u64) -> Lines {
        let split = match &self.framing {
            Framing::Lines => Split::Lines(None),
            Framing::Ndjson => Split::Lines(Some(json::Checker::default())),
            Framing::Multiline { start, .. } => Split::Before(start.clone()),
            Framing::Bytes(Bytes::Delimiter(delimiter)) => {
                Split::Delimiter(Box::new(Finder::new(delimiter).into_owned()))
            }
            Framing::Bytes(Bytes::Length(length)) => Split::Length(*length),
        };
        Lines::new(partition, position, self.max_event_bytes as usize, split)
    }
}
