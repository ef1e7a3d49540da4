//! `rate_limit`: no more events in a time than its user allows.

use std::sync::{Mutex, PoisonError};

use tokio::time::{Instant, sleep_until};

use crate::defect::{self, Defect};
use crate::units::rate::Rate;

/// Spreads calls so that the events in them never exceed a rate: the generic cell rate algorithm (ITU-T I.371) with a
/// tolerance of one call. A batch goes as soon as those before it have had their time, however large it is itself.
#[derive(Debug)]
pub(super) struct Pace {
    rate: Option<Rate>,
    /// When those that went have had their time.
    next: Mutex<Option<Instant>>,
}

impl Pace {
    /// Without a rate nobody waits.
    pub(super) fn new(rate: Option<Rate>) -> Pace {
        Pace { rate, next: Mutex::default() }
    }

    /// Waits until so many events may go. A caller that gives up waiting has used its time all the same.
    pub(super) async fn take(&self, events: usize) {
        let Some(rate) = self.rate.filter(|_| !defect::on(Defect::IgnoreRate)) else { return };
        let begin = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let begin = next.map_or_else(Instant::now, |next| next.max(Instant::now()));
            *next = begin.checked_add(rate.time_of(events));
            begin
        };
        sleep_until(begin).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn calls_are_spread_by_the_events_in_them() {
        let (pace, began) = (Pace::new(Some(Rate::parse("100/s").unwrap())), Instant::now());
        let mut at = Vec::new();
        for events in [50, 200, 1, 1] {
            pace.take(events).await;
            at.push(began.elapsed());
        }
        assert_eq!(at, [0, 500, 2500, 2510].map(Duration::from_millis));
        tokio::time::advance(Duration::from_secs(60)).await;
        pace.take(1).await;
        assert_eq!(began.elapsed(), Duration::from_millis(62_510), "time that nobody used is not saved up");
    }
}
