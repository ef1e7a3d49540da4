//! How long something lasted in all, also while it lasts.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Time that adds up while it runs. Locked when it starts and stops, which is when somebody begins or ends to wait.
#[derive(Debug, Default)]
pub struct Stopwatch(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    before: Duration,
    since: Option<Instant>,
}

/// It stops when this is dropped.
#[derive(Debug)]
pub struct Running<'a>(&'a Stopwatch);

impl Stopwatch {
    /// Runs until what it gives is dropped.
    pub fn run(&self) -> Running<'_> {
        self.start();
        Running(self)
    }

    /// Runs from now on. One that runs goes on.
    pub fn start(&self) {
        self.state().since.get_or_insert_with(Instant::now);
    }

    /// Stands still from now on.
    pub fn stop(&self) {
        let mut state = self.state();
        if let Some(since) = state.since.take() {
            state.before += since.elapsed();
        }
    }

    /// How long it ran in all.
    pub fn read(&self) -> Duration {
        let state = self.state();
        state.before + state.since.map(|since| since.elapsed()).unwrap_or_default()
    }

    /// How long it has been running now, if it runs.
    pub fn running(&self) -> Option<Duration> {
        self.state().since.map(|since| since.elapsed())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A state is whole at any time, whoever panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    #[tokio::test(start_paused = true)]
    async fn a_wait_is_seen_while_it_lasts() {
        let watch = Stopwatch::default();
        assert_eq!((watch.read(), watch.running()), (Duration::ZERO, None));
        let second = Duration::from_secs(1);
        let running = watch.run();
        advance(2 * second).await;
        assert_eq!((watch.read(), watch.running()), (2 * second, Some(2 * second)));
        drop(running);
        advance(second).await;
        assert_eq!((watch.read(), watch.running()), (2 * second, None));
        watch.start();
        advance(second).await;
        watch.start();
        advance(second).await;
        watch.stop();
        watch.stop();
        assert_eq!(watch.read(), 4 * second);
    }
}
