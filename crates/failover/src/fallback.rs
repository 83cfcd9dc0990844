//! Passcodes that Okta sent itself, among those that it was to send by a hook: what its System Log says of the hook. Pure.

use std::collections::{BTreeSet, VecDeque};

use super::signal::CheckResult;

/// Most events kept; more within the window say nothing new.
const MOST: usize = 10_000;

/// One event of the log that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasscodeEvent {
    /// Okta sent a passcode, or should have.
    Sent {
        /// Not by the hook.
        fell_back: bool,
    },
    /// A call to the hook came to nothing.
    HookFailed,
}

/// What of it is our own doing: the gateway answered FAILED on purpose, or a probe of ours failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ours {
    /// Calls that gateways answered FAILED.
    pub answers: usize,
    /// Calls to the hook that failed because we had Okta make them.
    pub probes: usize,
}

/// From when on it counts as a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Threshold {
    /// Part of the passcodes, in percent.
    pub percent: u8,
    /// Passcodes below which there is no verdict.
    pub minimum: usize,
}

/// The last events of an org's log, in the order of their times. An event that is read twice counts once.
#[derive(Debug, Default)]
pub struct Log {
    events: VecDeque<(i64, String, PasscodeEvent)>,
    known: BTreeSet<String>,
}

impl Log {
    /// Takes in an event with Okta's id of it and the time at which it was published, in milliseconds since 1970. Returns whether
    /// it is new.
    pub fn take(&mut self, id: &str, at: i64, event: PasscodeEvent) -> bool {
        if !self.known.insert(id.to_owned()) {
            return false;
        }
        self.events.push_back((at, id.to_owned(), event));
        if self.events.len() > MOST
            && let Some((_, oldest, _)) = self.events.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }

    /// Forgets what was published before.
    pub fn forget(&mut self, before: i64) {
        let known = &mut self.known;
        self.events.retain(|(at, id, _)| *at >= before || !known.remove(id));
    }

    /// What the events since then say of the hook that was active all that time.
    #[must_use]
    pub fn judge(&self, since: i64, ours: Ours, threshold: Threshold) -> CheckResult {
        let of = |wanted: PasscodeEvent| {
            self.events.iter().filter(|(at, _, event)| *at >= since && *event == wanted).count()
        };
        let fell_back = of(PasscodeEvent::Sent { fell_back: true });
        let sent = fell_back + of(PasscodeEvent::Sent { fell_back: false });
        // each failed call shows twice where Okta falls back, and once where it does not
        let failed = of(PasscodeEvent::HookFailed).saturating_sub(ours.answers + ours.probes);
        let bad = fell_back.saturating_sub(ours.answers).max(failed);
        let all = sent.max(bad);
        if all < threshold.minimum.max(1) {
            return CheckResult::Unknown;
        }
        if bad * 100 >= all * usize::from(threshold.percent) { CheckResult::Fail } else { CheckResult::Pass }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THRESHOLD: Threshold = Threshold { percent: 50, minimum: 4 };

    fn log(by_hook: usize, fell_back: usize, failed: usize) -> Log {
        let mut log = Log::default();
        let all = [
            (by_hook, PasscodeEvent::Sent { fell_back: false }),
            (fell_back, PasscodeEvent::Sent { fell_back: true }),
            (failed, PasscodeEvent::HookFailed),
        ];
        for (number, (count, event)) in all.into_iter().enumerate() {
            (0..count).for_each(|at| _ = log.take(&format!("{number}-{at}"), 1_000, event));
        }
        log
    }

    #[test]
    fn fallbacks_fail_a_hook_by_their_part_and_not_below_the_minimum() {
        let ours = |answers, probes| Ours { answers, probes };
        for (by_hook, fell_back, failed, ours, expected) in [
            (0, 0, 0, ours(0, 0), CheckResult::Unknown),
            (3, 0, 0, ours(0, 0), CheckResult::Unknown),
            (0, 3, 3, ours(0, 0), CheckResult::Unknown),
            (4, 0, 0, ours(0, 0), CheckResult::Pass),
            (0, 4, 4, ours(0, 0), CheckResult::Fail),
            (5, 5, 5, ours(0, 0), CheckResult::Fail),
            (6, 5, 5, ours(0, 0), CheckResult::Pass),
            // an attacker's numbers that no provider reaches: the gateway itself said FAILED
            (6, 50, 0, ours(50, 0), CheckResult::Pass),
            (0, 50, 0, ours(50, 0), CheckResult::Pass),
            // Okta may write such a call down as a failed one too
            (6, 50, 50, ours(50, 0), CheckResult::Pass),
            (0, 50, 0, ours(20, 0), CheckResult::Fail),
            // an org without a sender of its own has no fallback, only failed calls
            (0, 0, 6, ours(0, 0), CheckResult::Fail),
            // our own probes fail, and nobody else's calls
            (6, 0, 8, ours(0, 8), CheckResult::Pass),
        ] {
            let judged = log(by_hook, fell_back, failed).judge(0, ours, THRESHOLD);
            assert_eq!(judged, expected, "{by_hook} by the hook, {fell_back} fell back, {failed} failed, {ours:?}");
        }
    }

    #[test]
    fn an_event_counts_once_and_only_since_the_hook_is_active() {
        let mut log = log(0, 4, 0);
        assert!(!log.take("1-0", 1_000, PasscodeEvent::Sent { fell_back: true }), "read again");
        assert_eq!(log.judge(1_001, Ours::default(), THRESHOLD), CheckResult::Unknown, "before the switch");
        log.forget(1_001);
        assert!(log.events.is_empty() && log.known.is_empty());
        (0..MOST + 10).for_each(|at| _ = log.take(&at.to_string(), 2_000, PasscodeEvent::HookFailed));
        assert_eq!((log.events.len(), log.known.len()), (MOST, MOST));
    }
}
