//! Okta's rate limits: a bucket of calls that is full again when its window ends.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;

/// Calls allowed in a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Calls in one window.
    pub calls: u64,
    /// The window's length.
    pub window: Duration,
}

impl Default for RateLimit {
    fn default() -> Self {
        Self { calls: 1_000, window: Duration::from_mins(1) }
    }
}

/// What the three headers say after a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) limit: u64,
    pub(super) remaining: u64,
    /// UTC epoch seconds.
    pub(super) reset: i64,
    pub(super) exceeded: bool,
}

impl Standing {
    /// What the answer to one call too many at once says: no limit of a window, and a reset that is a mere suggestion.
    pub(super) fn too_many_at_once() -> Self {
        Self { limit: 0, remaining: 0, reset: Timestamp::now().as_second().saturating_add(60), exceeded: true }
    }
}

/// One bucket.
#[derive(Default)]
pub(super) struct Bucket {
    window: Mutex<Option<(Instant, u64)>>,
}

impl Bucket {
    /// Counts a call.
    pub(super) fn take(&self, limit: RateLimit, now: Instant) -> Standing {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let (start, used) = match *window {
            Some((start, used)) if now.duration_since(start) < limit.window => (start, used),
            _ => (now, 0),
        };
        let exceeded = used >= limit.calls;
        let used = if exceeded { used } else { used + 1 };
        *window = Some((start, used));
        let left = limit.window.saturating_sub(now.duration_since(start));
        let seconds = i64::try_from(left.as_secs() + 1).unwrap_or(i64::MAX);
        Standing {
            limit: limit.calls,
            remaining: limit.calls.saturating_sub(used),
            reset: Timestamp::now().as_second().saturating_add(seconds),
            exceeded,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bucket_empties_and_is_full_again_after_its_window() {
        let bucket = Bucket::default();
        let limit = RateLimit { calls: 2, window: Duration::from_secs(10) };
        let start = Instant::now();
        assert_eq!(bucket.take(limit, start).remaining, 1);
        assert_eq!(bucket.take(limit, start).remaining, 0);
        assert!(bucket.take(limit, start).exceeded);
        let later = bucket.take(limit, start + Duration::from_secs(10));
        assert!(!later.exceeded);
        assert_eq!(later.remaining, 1);
    }
}
