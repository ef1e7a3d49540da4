//! One direction of a connection that stays in this process.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;

/// Bytes in order, until one side ends it. Cloning gives the same one. One task at a time waits for what comes.
#[derive(Clone, Debug, Default)]
pub struct Pipe(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    bytes: BytesMut,
    end: Option<End>,
}

/// How a direction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Nothing more comes.
    Closed,
    /// What had come is lost.
    Reset,
}

impl Pipe {
    /// Adds bytes. False where it has ended.
    pub fn write(&self, bytes: &[u8]) -> bool {
        let mut state = self.state();
        if state.end.is_some() {
            return false;
        }
        state.bytes.extend_from_slice(bytes);
        drop(state);
        self.0.changed.notify_one();
        true
    }

    /// Ends it. The first end holds.
    pub fn end(&self, end: End) {
        let mut state = self.state();
        state.end.get_or_insert(end);
        if end == End::Reset {
            state.bytes.clear();
        }
        drop(state);
        self.0.changed.notify_one();
    }

    /// Takes what has come, at most so many bytes: nothing where none has yet. Fails at its end.
    pub fn take(&self, most: usize) -> Result<Bytes, End> {
        let mut state = self.state();
        match state.end {
            Some(end) if state.bytes.is_empty() => Err(end),
            _ => {
                let some = state.bytes.len().min(most);
                Ok(state.bytes.split_to(some).freeze())
            }
        }
    }

    /// Waits until bytes have come, or its end.
    pub async fn ready(&self) {
        loop {
            {
                let state = self.state();
                if !state.bytes.is_empty() || state.end.is_some() {
                    return;
                }
            }
            self.0.changed.notified().await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_comes_before_the_end_is_taken_before_it() {
        let pipe = Pipe::default();
        assert_eq!(pipe.take(9), Ok(Bytes::new()));
        let (waited, ()) = tokio::join!(
            async {
                pipe.ready().await;
                pipe.take(2)
            },
            async {
                assert!(pipe.write(b"abc"));
                pipe.end(End::Closed);
            }
        );
        assert_eq!(waited, Ok(Bytes::from_static(b"ab")));
        assert!(!pipe.write(b"d"));
        assert_eq!((pipe.take(9), pipe.take(9)), (Ok(Bytes::from_static(b"c")), Err(End::Closed)));
        pipe.ready().await;
    }

    #[test]
    fn a_reset_loses_what_had_come() {
        let pipe = Pipe::default();
        pipe.write(b"abc");
        pipe.end(End::Reset);
        assert_eq!(pipe.take(9), Err(End::Reset));
    }
}
