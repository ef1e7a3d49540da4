//! Counts by failure. Codes come from sinks, so that their number has a bound here.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// So many codes of a kind are told apart.
pub const MOST_CODES: usize = 50;

/// What the codes beyond are counted as.
pub const OTHER_CODE: &str = "other";

/// Counts by kind and code of a failure. Locked once for each batch that fails.
#[derive(Debug, Default)]
pub struct Codes(Mutex<BTreeMap<&'static str, BTreeMap<Arc<str>, u64>>>);

impl Codes {
    /// Adds to one.
    pub fn add(&self, kind: &'static str, code: &Arc<str>, n: u64) {
        // A map is whole at any time, whoever panicked.
        let mut kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let codes = kinds.entry(kind).or_default();
        if let Some(count) = codes.get_mut(code) {
            *count += n;
            return;
        }
        let code = if codes.len() < MOST_CODES { code.clone() } else { OTHER_CODE.into() };
        *codes.entry(code).or_default() += n;
    }

    /// What they stand at, by kind and code.
    pub fn get(&self) -> Vec<(&'static str, Arc<str>, u64)> {
        let kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |(kind, codes): (&&'static str, &BTreeMap<Arc<str>, u64>)| {
            codes.iter().map(|(code, count)| (*kind, code.clone(), *count)).collect::<Vec<_>>()
        };
        kinds.iter().flat_map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sink_that_makes_codes_up_has_a_bounded_number_of_them() {
        let codes = Codes::default();
        for number in 0..1000 {
            codes.add("transient", &format!("code-{number}").into(), 2);
        }
        codes.add("transient", &"code-7".into(), 1);
        codes.add("unknown", &"timeout".into(), 5);
        let counts = codes.get();
        assert_eq!(counts.len(), MOST_CODES + 2);
        let of = |kind: &str, code: &str| counts.iter().find(|(k, c, _)| *k == kind && &**c == code).unwrap().2;
        assert_eq!([of("transient", "code-7"), of("unknown", "timeout")], [3, 5]);
        assert_eq!(of("transient", OTHER_CODE), 2 * (1000 - MOST_CODES as u64));
    }
}
