//! The clocks the operator decides by.

use std::time::Duration;

/// Time since boot, counting the time the machine slept: a lease must not seem young because its holder was suspended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BootInstant(Duration);

impl BootInstant {
    /// An instant so long after boot; for tests and for arithmetic.
    #[must_use]
    pub const fn after_boot(since: Duration) -> Self {
        Self(since)
    }

    /// Now, as the kernel's `CLOCK_BOOTTIME` has it.
    #[must_use]
    pub fn now() -> Self {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
        let nanos = u32::try_from(time.tv_nsec).unwrap_or_default();
        Self(Duration::new(seconds, nanos))
    }

    /// Time from `earlier` to this instant; zero when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// The instant `later` after this one.
    #[must_use]
    pub const fn plus(self, later: Duration) -> Self {
        Self(self.0.saturating_add(later))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boot_clock_goes_forward() {
        let first = BootInstant::now();
        std::thread::sleep(Duration::from_millis(2));
        assert!(BootInstant::now().since(first) >= Duration::from_millis(1));
        assert_eq!(first.since(BootInstant::now()), Duration::ZERO);
    }
}
