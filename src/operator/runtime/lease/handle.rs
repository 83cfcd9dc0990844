//! What reconciles ask of the lease: no call, only this process's clock against the last confirmed renewal.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::terms::DURATION;
use crate::operator::runtime::clock::BootInstant;

/// What reconciles ask of the lease. Clones share it.
#[derive(Debug, Clone)]
pub struct Handle {
    clock: fn() -> BootInstant,
    renewed: Arc<Mutex<Option<BootInstant>>>,
}

impl Default for Handle {
    fn default() -> Self {
        Self::by(BootInstant::now)
    }
}

impl Handle {
    /// A lease that is not held yet, and runs out by this clock.
    #[must_use]
    pub fn by(clock: fn() -> BootInstant) -> Self {
        Self { clock, renewed: Arc::default() }
    }

    /// Now, by the clock that the lease runs out by.
    #[must_use]
    pub fn now(&self) -> BootInstant {
        (self.clock)()
    }

    /// Whether we hold the lease now.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        !self.left().is_zero()
    }

    /// How long we surely hold the lease from now on; zero when we do not.
    #[must_use]
    pub fn left(&self) -> Duration {
        self.remaining(self.now())
    }

    /// How long we surely hold the lease from `now` on; zero when we do not.
    ///
    /// Counted from the instant before the renewal that was confirmed last was sent, so that no other can hold it as long
    /// as this is not zero, whatever time the answer took.
    fn remaining(&self, now: BootInstant) -> Duration {
        let renewed = *self.renewed.lock().unwrap_or_else(PoisonError::into_inner);
        renewed.map_or(Duration::ZERO, |renewed| DURATION.saturating_sub(now.since(renewed)))
    }

    /// Takes in a renewal that was sent at `sent` and confirmed.
    pub fn renewed(&self, sent: BootInstant) {
        *self.renewed.lock().unwrap_or_else(PoisonError::into_inner) = Some(sent);
    }

    /// The lease is no longer ours.
    pub fn lost(&self) {
        *self.renewed.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_runs_out_by_our_own_clock() {
        let (handle, sent) = (Handle::default(), BootInstant::after_boot(Duration::from_secs(100)));
        assert_eq!(handle.remaining(sent), Duration::ZERO, "never held");
        handle.renewed(sent);
        assert_eq!(handle.remaining(sent.plus(Duration::from_secs(12))), Duration::from_secs(18));
        assert_eq!(handle.remaining(sent.plus(DURATION)), Duration::ZERO);
        handle.lost();
        assert_eq!(handle.remaining(sent), Duration::ZERO);
    }
}
