//! When a hook counts as failed, and when as well again: after so many results in a row.

use super::health::Health;
use super::settings::Settings;
use super::signal::CheckResult;

/// The latest results of one hook's checks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Streak {
    fails: u32,
    passes: u32,
    /// Checks that did not fail, whether they passed or had no result.
    unfailed: u32,
}

impl Streak {
    /// Counts a result.
    pub fn count(&mut self, result: CheckResult, settings: &Settings) {
        match result {
            CheckResult::Pass => (self.fails, self.passes) = (0, self.passes.saturating_add(1)),
            CheckResult::Fail => (self.fails, self.passes) = (self.fails.saturating_add(1), 0),
            // says nothing against it, and proves nothing
            CheckResult::Unknown => self.passes = 0,
        }
        self.unfailed = if result == CheckResult::Fail { 0 } else { self.unfailed.saturating_add(1) };
        if self.is_unfailed(settings) {
            self.fails = 0;
        }
    }

    /// Whether the hook has failed: `fall` checks in a row, or for as long as that many would have taken.
    #[must_use]
    pub fn has_failed(self, health: &Health, settings: &Settings) -> bool {
        health.result == CheckResult::Fail && self.fails.max(missed(health, settings)) >= settings.fall
    }

    /// Whether the hook is well: `rise` checks in a row passed.
    #[must_use]
    pub const fn is_well(self, settings: &Settings) -> bool {
        self.passes >= settings.rise
    }

    /// Whether nothing speaks against the hook any more: `rise` checks in a row did not fail.
    #[must_use]
    pub const fn is_unfailed(self, settings: &Settings) -> bool {
        self.unfailed >= settings.rise
    }
}

/// Checks that would have failed, this one included, had each of them seen what this one was told of: who told it waited for
/// more than one failure already.
fn missed(health: &Health, settings: &Settings) -> u32 {
    let intervals = health.failing_for.as_nanos() / settings.interval.as_nanos().max(1);
    u32::try_from(intervals).unwrap_or(u32::MAX).saturating_add(1)
}
