//! When a call to an org may be made: the rate limit as Okta's own headers say, and who asks. Pure; the clock is given.
//!
//! The bucket is shared with everything else that uses the org's `/api/v1`, so what is left counts for more than what we
//! used. A reserve is kept for failover: routine calls stop before the bucket is empty.

use std::time::{Duration, Instant};

use crate::error::{CallError, Failure};
use crate::plan::MOST_CALLS;
use crate::types::RateLimit;

/// Longest pause taken on Okta's word; its windows are a minute.
const LONGEST_WAIT: Duration = Duration::from_hours(1);

/// First pause after a refusal for concurrency; doubled by each further one.
const CONCURRENCY_WAIT: Duration = Duration::from_millis(500);

/// Most doublings of [`CONCURRENCY_WAIT`] (500 ms to 8 s): a failover may wait for it.
const MOST_DOUBLINGS: u32 = 4;

/// Whether to call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MayCall {
    /// Go ahead.
    Now,
    /// Not before then.
    WaitUntil(Instant),
}

/// What a call is for, the most urgent last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// What can wait for the next window: polls, probes, drift, standbys.
    Routine,
    /// Whether the active hook fails: it may lead to a failover, and leaves what that needs.
    Suspicion,
    /// A failover: a switch that is decided, or no hook of ours active.
    Failover,
}

/// How much of a bucket may be ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// Percent of a window's calls that routine calls may use, 1 to 100. Okta grants a single token half a bucket by default.
    pub share: u8,
    /// Calls of a window that routine calls leave; of a window with fewer than twice as many, half of it.
    pub reserve: u32,
}

impl Allowance {
    /// The fewest calls that a reserve has: those of one plan.
    pub const LEAST_RESERVE: u32 = 6;

    /// Calls that stay in a bucket of `limit` when a call of this kind is made. A bucket that is smaller than whoever declared
    /// the reserve thought has room for routine calls all the same.
    #[must_use]
    pub fn reserve(self, priority: Priority, limit: u32) -> u32 {
        match priority {
            Priority::Routine => self.reserve.min(limit / 2).max(Self::LEAST_RESERVE),
            Priority::Suspicion => Self::LEAST_RESERVE,
            Priority::Failover => 0,
        }
    }
}

impl Default for Allowance {
    /// Half of the bucket, and ten calls left.
    fn default() -> Self {
        Self { share: 50, reserve: 10 }
    }
}

const _: () = assert!(Allowance::LEAST_RESERVE as usize >= MOST_CALLS, "a plan has room in the reserve");

/// What is known about one org's bucket.
#[derive(Debug, Clone, Default)]
pub struct RateState {
    allowance: Allowance,
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
    /// How much may be ours from now on.
    pub const fn allow(&mut self, allowance: Allowance) {
        self.allowance = allowance;
    }

    /// Takes in what came beside the last answer to `calls` calls.
    pub fn answered(&mut self, now: Instant, rate: Option<RateLimit>, calls: u32) {
        self.concurrency_refusals = 0;
        self.take_window(now, rate, calls);
    }

    /// Takes in what came beside a failure. What Okta suggests after a 429 for concurrency is not its word.
    pub fn failed(&mut self, now: Instant, error: &CallError) {
        match error.failure {
            Failure::RateLimited { concurrency: true, .. } => {
                let wait = CONCURRENCY_WAIT * 2_u32.pow(self.concurrency_refusals.min(MOST_DOUBLINGS));
                self.concurrency_refusals = self.concurrency_refusals.saturating_add(1);
                self.block(now + wait);
            }
            Failure::RateLimited { wait, concurrency: false } => {
                self.take_window(now, error.rate, 1);
                self.block(now + wait.clamp(Duration::from_secs(1), LONGEST_WAIT));
            }
            _ if error.rate.is_some() => self.answered(now, error.rate, 1),
            _ => {}
        }
    }

    /// Whether `calls` more may be made: a routine call keeps to our share and to the reserve, one for a suspicion leaves what
    /// a failover needs, and a failover asks for nothing but room.
    #[must_use]
    pub fn may_call(&self, now: Instant, calls: u32, priority: Priority) -> MayCall {
        if let Some(until) = self.blocked_until.filter(|until| *until > now) {
            return MayCall::WaitUntil(until);
        }
        let Some(window) = self.window.filter(|window| window.resets_at > now) else { return MayCall::Now };
        let left = window.remaining >= calls.saturating_add(self.allowance.reserve(priority, window.limit));
        let ours = u64::from(window.limit) * u64::from(self.allowance.share.clamp(1, 100)) / 100;
        let within_share =
            priority > Priority::Routine || u64::from(self.spent.saturating_add(calls)) <= ours.max(u64::from(calls));
        if left && within_share { MayCall::Now } else { MayCall::WaitUntil(window.resets_at) }
    }

    fn take_window(&mut self, now: Instant, rate: Option<RateLimit>, calls: u32) {
        let Some(rate) = rate.filter(|rate| rate.limit > 0) else { return };
        let same = self.window.is_some_and(|window| window.resets_at > now);
        self.spent = if same { self.spent.saturating_add(calls) } else { calls };
        let resets_at = now + rate.resets_in.min(LONGEST_WAIT);
        self.window = Some(Window { limit: rate.limit, remaining: rate.remaining, resets_at });
    }

    fn block(&mut self, until: Instant) {
        self.blocked_until = Some(self.blocked_until.map_or(until, |old| old.max(until)));
    }
}

#[cfg(test)]
mod tests {
    use super::Priority::{Failover, Routine, Suspicion};
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    fn state(share: u8, reserve: u32) -> RateState {
        let mut state = RateState::default();
        state.allow(Allowance { share, reserve });
        state
    }

    const fn rate(limit: u32, remaining: u32) -> RateLimit {
        RateLimit { limit, remaining, resets_in: MINUTE }
    }

    fn refused(rate: Option<RateLimit>, wait: Duration, concurrency: bool) -> CallError {
        CallError { doing: "test", failure: Failure::RateLimited { wait, concurrency }, request_id: None, rate }
    }

    #[test]
    fn without_any_knowledge_a_call_is_made() {
        assert_eq!(RateState::default().may_call(Instant::now(), 6, Routine), MayCall::Now);
    }

    #[test]
    fn who_asks_decides_how_much_stays_in_the_bucket() {
        let now = Instant::now();
        for (reserve, remaining, calls, priority, may) in [
            (10, 11, 1, Routine, true),
            (10, 10, 1, Routine, false),
            (10, 16, 6, Routine, true),
            (10, 15, 6, Routine, false),
            (40, 40, 1, Routine, false),
            (0, 6, 1, Routine, false), // never less than what a plan needs
            (10, 7, 1, Suspicion, true),
            (40, 7, 1, Suspicion, true),
            (10, 6, 1, Suspicion, false),
            (10, 6, 6, Failover, true),
            (40, 1, 1, Failover, true),
            (10, 5, 6, Failover, false),
            (10, 0, 1, Failover, false),
        ] {
            let mut state = state(50, reserve);
            state.answered(now, Some(rate(600, remaining)), 1);
            let expected = if may { MayCall::Now } else { MayCall::WaitUntil(now + MINUTE) };
            let asked = format!("{calls} calls for {priority:?} of {remaining} with a reserve of {reserve}");
            assert_eq!(state.may_call(now, calls, priority), expected, "{asked}");
            assert_eq!(state.may_call(now + MINUTE, calls, priority), MayCall::Now, "a new window has everything");
        }
    }

    #[test]
    fn a_reserve_as_large_as_the_bucket_keeps_half_of_it_and_no_routine_call_waits_for_ever() {
        let now = Instant::now();
        for (reserve, limit, kept) in [
            (10_000, 100, 50),
            (100, 100, 50),
            (51, 100, 50),
            (50, 100, 50),
            (10, 100, 10),
            (100, 10, 6),
            (100, 600, 100),
        ] {
            let mut state = state(100, reserve);
            state.answered(now, Some(rate(limit, kept + 1)), 1);
            assert_eq!(state.may_call(now, 1, Routine), MayCall::Now, "{reserve} of {limit}");
            state.answered(now, Some(rate(limit, kept)), 1);
            let wait = MayCall::WaitUntil(now + MINUTE);
            assert_eq!(state.may_call(now, 1, Routine), wait, "{reserve} of {limit}");
        }
    }

    #[test]
    fn our_share_of_a_window_is_not_exceeded_by_routine_calls() {
        let now = Instant::now();
        let mut state = state(10, 10);
        for _ in 0..5 {
            assert_eq!(state.may_call(now, 2, Routine), MayCall::Now);
            state.answered(now, Some(rate(100, 90)), 2);
        }
        assert_eq!(state.may_call(now, 1, Routine), MayCall::WaitUntil(now + MINUTE));
        assert_eq!(state.may_call(now, 1, Suspicion), MayCall::Now);
        assert_eq!(state.may_call(now, 1, Failover), MayCall::Now);
    }

    #[test]
    fn a_used_up_limit_is_waited_out_by_everybody_but_never_longer_than_an_hour() {
        let now = Instant::now();
        let mut state = RateState::default();
        state.failed(now, &refused(Some(rate(600, 0)), Duration::from_secs(1_000_000), false));
        assert_eq!(state.may_call(now, 1, Failover), MayCall::WaitUntil(now + LONGEST_WAIT));
    }

    #[test]
    fn refusals_for_concurrency_back_off_to_eight_seconds_and_are_forgotten_by_an_answer() {
        let now = Instant::now();
        let mut state = RateState::default();
        for wait in [1, 2, 4, 8, 16, 16] {
            state.failed(now, &refused(None, MINUTE, true));
            assert_eq!(state.may_call(now, 1, Failover), MayCall::WaitUntil(now + CONCURRENCY_WAIT * wait));
        }
        let later = now + MINUTE;
        state.answered(later, None, 1);
        state.failed(later, &refused(None, MINUTE, true));
        assert_eq!(state.may_call(later, 1, Failover), MayCall::WaitUntil(later + CONCURRENCY_WAIT));
    }

    #[test]
    fn a_failure_says_the_bucket_as_an_answer_does_and_one_without_it_says_nothing() {
        let now = Instant::now();
        let failed = |rate| CallError { doing: "test", failure: Failure::Unauthorized, request_id: None, rate };
        let mut limits = state(50, 10);
        limits.failed(now, &failed(Some(rate(600, 5))));
        assert_eq!(limits.may_call(now, 1, Routine), MayCall::WaitUntil(now + MINUTE));
        let mut silent = state(50, 10);
        silent.failed(now, &failed(None));
        assert_eq!(silent.may_call(now, 1, Routine), MayCall::Now);
        // refusals for concurrency are counted on where a failure brings no word of Okta's
        silent.failed(now, &refused(None, MINUTE, true));
        silent.failed(now, &failed(None));
        silent.failed(now, &refused(None, MINUTE, true));
        assert_eq!(silent.may_call(now, 1, Failover), MayCall::WaitUntil(now + CONCURRENCY_WAIT * 2));
        let mut answered = state(50, 10);
        answered.failed(now, &refused(None, MINUTE, true));
        answered.failed(now, &failed(Some(rate(600, 500))));
        answered.failed(now + MINUTE, &refused(None, MINUTE, true));
        assert_eq!(answered.may_call(now + MINUTE, 1, Failover), MayCall::WaitUntil(now + MINUTE + CONCURRENCY_WAIT));
    }

    #[test]
    fn what_we_spent_is_counted_to_the_last_instant_of_a_window_and_anew_from_the_next_on() {
        let now = Instant::now();
        let mut state = state(10, 0);
        state.answered(now, Some(rate(100, 90)), 10);
        let edge = now + MINUTE;
        state.answered(edge, Some(rate(100, 90)), 1);
        assert_eq!(state.may_call(edge, 9, Routine), MayCall::Now, "one of ten is spent");
        assert_eq!(state.may_call(edge, 10, Routine), MayCall::WaitUntil(edge + MINUTE));
        let before = edge + Duration::from_millis(59_999);
        state.answered(before, Some(rate(100, 90)), 9);
        assert_eq!(state.may_call(before, 1, Routine), MayCall::WaitUntil(before + MINUTE), "ten are");
    }

    #[test]
    fn a_bucket_of_none_is_no_bucket() {
        let now = Instant::now();
        let mut state = state(50, 10);
        state.answered(now, Some(rate(0, 0)), 1);
        assert_eq!(state.may_call(now, 1, Routine), MayCall::Now);
    }
}
