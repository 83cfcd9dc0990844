//! Okta's own sender: a last resort that allows few messages.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const WINDOW: Duration = Duration::from_mins(1);

/// A sliding window of the messages sent.
#[derive(Default)]
pub(super) struct Fallback {
    sent: Mutex<VecDeque<Instant>>,
}

impl Fallback {
    /// Whether one more message may go now; it is counted when it may.
    pub(super) fn allows(&self, per_minute: u32, now: Instant) -> bool {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        while sent.front().is_some_and(|at| now.duration_since(*at) >= WINDOW) {
            sent.pop_front();
        }
        let room = sent.len() < usize::try_from(per_minute).unwrap_or(usize::MAX).min(10_000);
        if room {
            sent.push_back(now);
        }
        room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_per_minute_and_comes_back() {
        let fallback = Fallback::default();
        let start = Instant::now();
        assert!(fallback.allows(2, start));
        assert!(fallback.allows(2, start + Duration::from_secs(30)));
        assert!(!fallback.allows(2, start + Duration::from_secs(59)));
        assert!(fallback.allows(2, start + Duration::from_mins(1)));
        assert!(!fallback.allows(2, start + Duration::from_secs(61)));
    }
}
