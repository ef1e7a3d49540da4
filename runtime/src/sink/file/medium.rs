//! What lines are appended to.

use std::fmt::Debug;
use std::io;
use std::time::SystemTime;

/// A file, or what stands in for one in a test.
pub(super) trait Medium: Debug + Send + Sync {
    /// How long it is.
    fn len(&self) -> io::Result<u64>;

    /// Adds bytes at its end, and says how many of them were added. Where it fails, none was.
    fn append(&self, bytes: &[u8]) -> io::Result<usize>;

    /// When it was begun.
    fn begun(&self) -> SystemTime;

    /// Cuts it off at a length.
    fn truncate(&self, len: u64) -> io::Result<()>;

    /// Returns once what it holds would survive a power cut.
    fn sync(&self) -> io::Result<()>;

    /// Whether it is no more what is found under its name.
    fn is_gone(&self) -> bool;

    /// It ends with a whole line, and nothing will be added. Called before it is dropped, unless something broke.
    fn finish(&self) -> io::Result<()>;
}
