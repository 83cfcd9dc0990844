//! When a call to an org may be made: the rate limit as Okta's own headers tell it. Pure; the clock is given.
//!
//! The bucket is shared with everything else that uses the org's `/api/v1`, so what is left counts for more than what we
//! used. A reserve is kept for failover: routine reading stops before the bucket is empty.

use std::time::{Duration, Instant};

use crate::okta::types::RateLimit;

/// Longest pause taken on Okta's word; its windows are a minute.
const LONGEST_WAIT: Duration = Duration::from_hours(1);

/// First pause after a refusal for concurrency; doubled by each further one.
const CONCURRENCY_WAIT: Duration = Duration::from_millis(500);

/// Most doublings of [`CONCURRENCY_WAIT`] (500 ms to 32 s).
const MOST_DOUBLINGS: u32 = 6;

/// Whether to call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MayCall {
    /// Go ahead.
    Now,
    /// Not before then.
    WaitUntil(Instant),
}

/// What is known about one org's bucket.
#[derive(Debug, Clone)]
pub struct RateState {
    share_percent: u8,
    window: Option<Window>,
    spent: u32,
    blocked_until: Option<Instant>,
    concurrency_refusals: u32,
}

#[derive(Debug, Clone, Copy)]
struct Window {
    limit: u32,
    remaining: u32,
    resets_at: Instant,
}

impl RateState {
    /// Nothing known yet. `share_percent` (1 to 100) is how much of a window's calls may be ours; Okta grants a single
    /// token half a bucket by default.
    #[must_use]
    pub fn new(share_percent: u8) -> Self {
        Self {
            share_percent: share_percent.clamp(1, 100),
            window: None,
            spent: 0,
            blocked_until: None,
            concurrency_refusals: 0,
        }
    }

    /// Takes in an answered call's headers.
    pub fn answered(&mut self, now: Instant, rate: Option<RateLimit>) {
        self.concurrency_refusals = 0;
        self.take_window(now, rate);
    }

    /// Takes in a 429. `wait` is Okta's word, and only a suggestion when it was for `concurrency`.
    pub fn refused(&mut self, now: Instant, rate: Option<RateLimit>, wait: Duration, concurrency: bool) {
        if concurrency {
            let wait = CONCURRENCY_WAIT * 2_u32.pow(self.concurrency_refusals.min(MOST_DOUBLINGS));
            self.concurrency_refusals = self.concurrency_refusals.saturating_add(1);
            self.block(now + wait);
        } else {
            self.take_window(now, rate);
            self.block(now + wait.clamp(Duration::from_secs(1), LONGEST_WAIT));
        }
    }

    /// Whether `calls` more may be made while `reserve` stay in the bucket for something more urgent.
    /// Failover asks with a reserve of 0 and is then not held to our share either.
    #[must_use]
    pub fn may_call(&self, now: Instant, calls: u32, reserve: u32) -> MayCall {
        if let Some(until) = self.blocked_until.filter(|until| *until > now) {
            return MayCall::WaitUntil(until);
        }
        let Some(window) = self.window.filter(|window| window.resets_at > now) else { return MayCall::Now };
        let left = window.remaining >= calls.saturating_add(reserve);
        let ours = u64::from(window.limit) * u64::from(self.share_percent) / 100;
        let within_share = reserve == 0 || u64::from(self.spent.saturating_add(calls)) <= ours.max(u64::from(calls));
        if left && within_share { MayCall::Now } else { MayCall::WaitUntil(window.resets_at) }
    }

    fn take_window(&mut self, now: Instant, rate: Option<RateLimit>) {
        let Some(rate) = rate.filter(|rate| rate.limit > 0) else { return };
        let same = self.window.is_some_and(|window| window.resets_at > now);
        self.spent = if same { self.spent.saturating_add(1) } else { 1 };
        let resets_at = now + rate.resets_in.min(LONGEST_WAIT);
        self.window = Some(Window { limit: rate.limit, remaining: rate.remaining, resets_at });
    }

    fn block(&mut self, until: Instant) {
        self.blocked_until = Some(self.blocked_until.map_or(until, |old| old.max(until)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    fn rate(limit: u32, remaining: u32) -> RateLimit {
        RateLimit { limit, remaining, resets_in: MINUTE }
    }

    #[test]
    fn without_any_knowledge_a_call_is_made() {
        assert_eq!(RateState::new(50).may_call(Instant::now(), 6, 10), MayCall::Now);
    }

    #[test]
    fn routine_reading_leaves_the_reserve_and_failover_may_use_it() {
        let now = Instant::now();
        let mut state = RateState::new(50);
        state.answered(now, Some(rate(600, 8)));
        assert_eq!(state.may_call(now, 1, 10), MayCall::WaitUntil(now + MINUTE));
        assert_eq!(state.may_call(now, 6, 0), MayCall::Now);
        assert_eq!(state.may_call(now, 9, 0), MayCall::WaitUntil(now + MINUTE));
        assert_eq!(state.may_call(now + MINUTE, 1, 10), MayCall::Now, "a new window has everything");
    }

    #[test]
    fn our_share_of_a_window_is_not_exceeded_by_routine_calls() {
        let now = Instant::now();
        let mut state = RateState::new(10);
        for _ in 0..10 {
            assert_eq!(state.may_call(now, 1, 5), MayCall::Now);
            state.answered(now, Some(rate(100, 90)));
        }
        assert_eq!(state.may_call(now, 1, 5), MayCall::WaitUntil(now + MINUTE));
        assert_eq!(state.may_call(now, 1, 0), MayCall::Now);
    }

    #[test]
    fn a_used_up_limit_is_waited_out_but_never_longer_than_an_hour() {
        let now = Instant::now();
        let mut state = RateState::new(50);
        state.refused(now, Some(rate(600, 0)), Duration::from_secs(1_000_000), false);
        assert_eq!(state.may_call(now, 1, 0), MayCall::WaitUntil(now + LONGEST_WAIT));
    }

    #[test]
    fn refusals_for_concurrency_back_off_and_are_forgotten_by_an_answer() {
        let now = Instant::now();
        let mut state = RateState::new(50);
        state.refused(now, None, MINUTE, true);
        assert_eq!(state.may_call(now, 1, 0), MayCall::WaitUntil(now + CONCURRENCY_WAIT));
        state.refused(now, None, MINUTE, true);
        assert_eq!(state.may_call(now, 1, 0), MayCall::WaitUntil(now + CONCURRENCY_WAIT * 2));
        let later = now + MINUTE;
        state.answered(later, None);
        state.refused(later, None, MINUTE, true);
        assert_eq!(state.may_call(later, 1, 0), MayCall::WaitUntil(later + CONCURRENCY_WAIT));
    }
}
