//! What the process takes, as the system counts it.

use std::fs;

use rustix::time::{ClockId, clock_gettime};

/// Time on all processors so far, in seconds.
pub(super) fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Bytes of memory that are resident now; none where the system does not say.
pub(super) fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_works_takes_time_and_memory() {
        let before = cpu_seconds();
        let sum: u64 = (0..10_000_000u64).map(std::hint::black_box).sum();
        assert!(sum > 0 && cpu_seconds() > before);
        if cfg!(target_os = "linux") {
            let resident = resident_bytes().unwrap();
            assert!((1 << 20..1 << 40).contains(&resident), "{resident}");
        }
    }
}
