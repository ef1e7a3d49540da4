//! `concurrency = "adaptive"`: how many calls may be in flight, found by their latency. Pure: no clock of its own.

use std::time::Duration;

/// The most calls in flight that are ever tried.
pub(super) const MOST: usize = 64;
/// What is left of the limit when calls wait for each other or fail.
const BACK_OFF: f64 = 0.9;
/// How much of the difference to the present mean the least latency makes up for in one window: destinations change.
const FORGETTING: f64 = 0.01;

/// A limit that rises by one while more calls cost no time, and falls by a tenth when they do or when calls fail.
///
/// How many calls wait at the destination is estimated as limit · (1 − least latency / latency), and held between
/// 3·log₁₀ and 6·log₁₀ of the limit: TCP Vegas (Brakmo and Peterson, 1995), with bounds that grow with the limit. That
/// it rises by addition and falls by multiplication makes those that share a destination end with equal shares (Chiu
/// and Jain, "Analysis of the increase and decrease algorithms for congestion avoidance in computer networks", 1989).
#[derive(Clone, Debug)]
pub(super) struct Adaptive {
    limit: usize,
    window: Window,
    /// The least mean latency of a window, in seconds.
    least: f64,
}

/// Calls that ended since the limit was last looked at.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    calls: u32,
    seconds: f64,
    overloaded: bool,
    /// Whether as many calls as the limit allows were in flight at a time.
    reached: bool,
}

impl Adaptive {
    /// Begins with one call at a time.
    pub(super) fn new() -> Adaptive {
        Adaptive { limit: 1, window: Window::default(), least: f64::INFINITY }
    }

    /// Calls that may be in flight: 1 to [`MOST`].
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// A call ended, one of `in_flight`. `overloaded`: it failed in a way that fewer calls might not.
    pub(super) fn ended(&mut self, latency: Duration, overloaded: bool, in_flight: usize) {
        self.window.calls += 1;
        self.window.seconds += latency.as_secs_f64();
        self.window.overloaded |= overloaded;
        self.window.reached |= in_flight >= self.limit;
        // A round trip's worth of calls, as long as the limit stands.
        if overloaded || self.window.calls as usize >= self.limit {
            let window = std::mem::take(&mut self.window);
            self.adjust(window);
        }
    }

    fn adjust(&mut self, window: Window) {
        if window.overloaded {
            return self.fall();
        }
        let latency = (window.seconds / f64::from(window.calls)).max(f64::MIN_POSITIVE);
        self.least = latency.min(self.least + FORGETTING * (latency - self.least).max(0.0));
        let limit = self.limit as f64;
        let (waiting, step) = (limit * (1.0 - self.least / latency), limit.log10().max(1.0));
        if waiting > 6.0 * step {
            self.fall();
        } else if waiting < 3.0 * step && window.reached {
            self.limit = (self.limit + 1).min(MOST);
        }
    }

    fn fall(&mut self) {
        self.limit = ((self.limit as f64 * BACK_OFF) as usize).max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A destination that serves `capacity` calls at a time, 10 ms each; more wait in line.
    fn settle(adaptive: &mut Adaptive, capacity: usize, rounds: usize) -> Vec<usize> {
        (0..rounds)
            .map(|_| {
                let in_flight = adaptive.limit();
                let millis = 10 * in_flight.div_ceil(capacity) as u64;
                adaptive.ended(Duration::from_millis(millis), false, in_flight);
                adaptive.limit()
            })
            .collect()
    }

    #[test]
    fn it_finds_what_the_destination_takes_and_stays_near_it() {
        let limits = settle(&mut Adaptive::new(), 16, 4_000);
        let late = &limits[2_000..];
        let mean = late.iter().sum::<usize>() as f64 / late.len() as f64;
        assert!((12.0..=20.0).contains(&mean), "{mean}");
        assert!(late.iter().all(|limit| *limit <= 24), "{:?}", late.iter().max());
    }

    #[test]
    fn failures_bring_it_down_and_it_recovers() {
        let mut adaptive = Adaptive::new();
        settle(&mut adaptive, 1_000, 4_000);
        assert_eq!(adaptive.limit(), MOST);
        for _ in 0..60 {
            adaptive.ended(Duration::from_secs(1), true, adaptive.limit());
        }
        assert_eq!(adaptive.limit(), 1);
        settle(&mut adaptive, 1_000, 4_000);
        assert_eq!(adaptive.limit(), MOST);
    }

    #[test]
    fn a_destination_that_becomes_slower_for_everybody_is_not_mistaken_for_long() {
        let mut adaptive = Adaptive::new();
        settle(&mut adaptive, 1_000, 4_000);
        for _ in 0..20_000 {
            adaptive.ended(Duration::from_millis(50), false, adaptive.limit());
        }
        assert_eq!(adaptive.limit(), MOST);
    }

    #[test]
    fn what_is_not_used_does_not_rise() {
        let mut adaptive = Adaptive::new();
        for _ in 0..1_000 {
            adaptive.ended(Duration::from_millis(10), false, 1);
        }
        assert!(adaptive.limit() <= 2, "{}", adaptive.limit());
    }
}
