//! Whether and when to try again. Pure: no clock, and no randomness of its own.

use std::time::Duration;

use super::settings::RetrySettings;
use crate::defect::{self, Defect};
use crate::sink::FailureKind;

/// What was spent on some events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Attempts that counted.
    pub(super) attempts: u32,
    /// Those of them whose outcome stayed unknown.
    pub(super) unknown: u32,
}

impl Tally {
    /// One more attempt that counts.
    pub(super) fn charged(self, kind: FailureKind) -> Tally {
        let unknown = self.unknown + u32::from(kind == FailureKind::Unknown);
        Tally { attempts: self.attempts + 1, unknown }
    }
}

/// What to do with events that were not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Try again, after a pause.
    Again(Duration),
    /// No more.
    GiveUp,
}

impl RetrySettings {
    /// After the attempts that `tally` counts, the last of which failed so, `elapsed` after the first began.
    ///
    /// The pause after attempt n is min(max, initial · 2ⁿ⁻¹), times a factor in [½, 1] by `jitter` in [0, 1]; advice from
    /// the destination wins if it is longer, up to `max_advice`. A halted sink is the gate's matter: as the failure of
    /// events it is like a rejection.
    pub(super) fn decide(&self, kind: FailureKind, tally: Tally, elapsed: Duration, jitter: f64) -> Decision {
        let spent = match kind {
            FailureKind::Rejected | FailureKind::Halted => true,
            FailureKind::Unknown if defect::on(Defect::IgnoreUnknownBudget) => false,
            FailureKind::Transient { .. } if defect::on(Defect::IgnoreAttempts) => false,
            FailureKind::Unknown => tally.unknown >= self.unknown.get(),
            FailureKind::Transient { .. } => self.attempts.is_some_and(|most| tally.attempts >= most.get()),
        };
        let pause = self.pause(kind, tally.attempts, jitter);
        let late = self.max_elapsed.is_some_and(|most| elapsed + pause > most);
        if spent || late { Decision::GiveUp } else { Decision::Again(pause) }
    }

    fn pause(&self, kind: FailureKind, attempts: u32, jitter: f64) -> Duration {
        let doublings = 1u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX);
        let pause = self.initial.saturating_mul(doublings).min(self.max).mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0);
        match kind {
            FailureKind::Transient { after: Some(advice) } => pause.max(advice.min(self.max_advice)),
            _ => pause,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroU32;

    const TRANSIENT: FailureKind = FailureKind::Transient { after: None };

    fn after(attempts: u32) -> Tally {
        Tally { attempts, unknown: 0 }
    }

    fn decide(retry: &RetrySettings, kind: FailureKind, tally: Tally) -> Decision {
        retry.decide(kind, tally, Duration::ZERO, 1.0)
    }

    #[test]
    fn three_tries_with_growing_pauses() {
        let retry = RetrySettings::default();
        assert_eq!(decide(&retry, TRANSIENT, after(1)), Decision::Again(Duration::from_secs(1)));
        assert_eq!(decide(&retry, TRANSIENT, after(2)), Decision::Again(Duration::from_secs(2)));
        assert_eq!(decide(&retry, TRANSIENT, after(3)), Decision::GiveUp);
    }

    #[test]
    fn pauses_are_capped_and_spread_over_their_upper_half() {
        let retry = RetrySettings { attempts: None, ..RetrySettings::default() };
        assert_eq!(decide(&retry, TRANSIENT, after(1_000)), Decision::Again(Duration::from_secs(30)));
        let shortest = retry.decide(TRANSIENT, after(1_000), Duration::ZERO, 0.0);
        assert_eq!(shortest, Decision::Again(Duration::from_secs(15)));
    }

    #[test]
    fn longer_advice_wins_up_to_its_own_cap() {
        let retry = RetrySettings::default();
        let advised = |seconds| FailureKind::Transient { after: Some(Duration::from_secs(seconds)) };
        assert_eq!(decide(&retry, advised(0), after(1)), Decision::Again(Duration::from_secs(1)));
        assert_eq!(decide(&retry, advised(60), after(1)), Decision::Again(Duration::from_secs(60)));
        assert_eq!(decide(&retry, advised(3600), after(1)), Decision::Again(Duration::from_secs(300)));
    }

    #[test]
    fn unknown_outcomes_are_bounded_even_where_attempts_are_not() {
        let retry = RetrySettings { attempts: None, ..RetrySettings::default() };
        let tally = |unknown| Tally { attempts: 50, unknown };
        assert!(matches!(decide(&retry, FailureKind::Unknown, tally(2)), Decision::Again(_)));
        assert_eq!(decide(&retry, FailureKind::Unknown, tally(3)), Decision::GiveUp);
    }

    #[test]
    fn no_attempt_begins_after_max_elapsed() {
        let max_elapsed = Some(Duration::from_secs(10));
        let retry = RetrySettings { attempts: NonZeroU32::new(100), max_elapsed, ..RetrySettings::default() };
        let at = |seconds| retry.decide(TRANSIENT, after(1), Duration::from_secs(seconds), 1.0);
        assert!(matches!(at(9), Decision::Again(_)));
        assert_eq!(at(10), Decision::GiveUp);
    }

    #[test]
    fn a_rejection_is_final() {
        assert_eq!(decide(&RetrySettings::default(), FailureKind::Rejected, after(1)), Decision::GiveUp);
    }
}
