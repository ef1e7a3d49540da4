//! How long calls take, as a histogram.

use std::time::Duration;

use super::Count;

/// The longest durations of the buckets, in seconds. What takes longer is in one more.
pub const BOUNDS: [f64; 15] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// How many calls took how long: one relaxed addition a call.
#[derive(Debug, Default)]
pub struct Times([Count; BOUNDS.len() + 1]);

impl Times {
    /// A call took so long.
    pub fn observe(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len());
        self.0[bucket].add(1);
    }

    /// The longest duration of each bucket in seconds, and how many calls are in it and in none before.
    pub fn buckets(&self) -> Vec<(f64, u64)> {
        BOUNDS.into_iter().chain([f64::INFINITY]).zip(&self.0).map(|(bound, count)| (bound, count.get())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_in_the_first_bucket_that_is_long_enough() {
        let times = Times::default();
        for micros in [0, 500, 501, 30_000_000, 30_000_001] {
            times.observe(Duration::from_micros(micros));
        }
        let filled: Vec<(f64, u64)> = times.buckets().into_iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(filled, [(0.0005, 2), (0.001, 1), (30.0, 1), (f64::INFINITY, 1)]);
        assert!(BOUNDS.is_sorted());
    }
}
