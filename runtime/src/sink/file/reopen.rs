//! Lets others say that files were moved away.

use std::sync::Arc;

use tokio::sync::Notify;

/// Tells all file sinks to look whether their files are still where they were, as after a rotation by another program.
/// Cloning gives the same one.
#[derive(Clone, Debug, Default)]
pub struct Reopen(Arc<Notify>);

impl Reopen {
    /// Look now.
    pub fn ask(&self) {
        self.0.notify_waiters();
    }

    /// Returns once somebody asks. What is asked while nobody waits is found within a second of the next write.
    pub(super) async fn asked(&self) {
        self.0.notified().await;
    }
}
