//! How long to wait until the next reconcile: growing with failures in a row, and never the same for two objects.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use super::triggers::Target;

/// Wait after the first failure.
const FIRST: Duration = Duration::from_secs(1);

/// The longest wait.
const LONGEST: Duration = Duration::from_mins(5);

/// Failures in a row, per object.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: Mutex<HashMap<Target, u32>>,
}

impl Backoff {
    /// Counts a failure and returns how long to wait, without jitter.
    pub fn failed(&self, target: &Target) -> Duration {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures.entry(target.clone()).or_insert(0);
        *count = count.saturating_add(1);
        after(*count)
    }

    /// Forgets the failures of an object: it succeeded or is gone.
    pub fn reset(&self, target: &Target) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).remove(target);
    }
}

/// The wait after so many failures in a row: 1 s, doubled each time, at most 5 min.
#[must_use]
pub fn after(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    FIRST.saturating_mul(1 << doublings).min(LONGEST)
}

/// `wait` ± 20 %. `fraction` is a random number from 0 to 1.
#[must_use]
pub fn jittered(wait: Duration, fraction: f64) -> Duration {
    wait.mul_f64(0.8 + 0.4 * fraction.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hookswitch_api::Kind;

    #[test]
    fn the_wait_doubles_from_a_second_to_five_minutes() {
        let seconds: Vec<u64> = (1..=10).map(|failures| after(failures).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]);
        assert_eq!(after(u32::MAX), LONGEST);
    }

    #[test]
    fn a_success_begins_again_at_a_second_and_objects_do_not_share_failures() {
        let backoff = Backoff::default();
        let (one, two) = (Target::new(Kind::OktaOrg, "a", "one"), Target::new(Kind::OktaOrg, "a", "two"));
        backoff.failed(&one);
        assert_eq!(backoff.failed(&one), Duration::from_secs(2));
        assert_eq!(backoff.failed(&two), FIRST);
        backoff.reset(&one);
        assert_eq!(backoff.failed(&one), FIRST);
    }

    #[test]
    fn jitter_stays_within_a_fifth() {
        let wait = Duration::from_secs(10);
        assert_eq!(jittered(wait, 0.0), Duration::from_secs(8));
        assert_eq!(jittered(wait, 1.0), Duration::from_secs(12));
    }
}
