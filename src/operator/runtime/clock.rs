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

    /// Now, by the clock of tokio, which tests stop and move.
    #[cfg(test)]
    pub fn simulated() -> Self {
        static BEGAN: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
        let began = *BEGAN.get_or_init(std::time::Instant::now);
        // a machine that has been up for a while
        let now = tokio::time::Instant::now().into_std() + Duration::from_hours(24);
        Self(now.saturating_duration_since(began))
    }

    /// Time from `earlier` to this instant; zero when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// The instant so long before this one.
    #[cfg(test)]
    #[must_use]
    pub const fn back(self, earlier: Duration) -> Self {
        Self(self.0.saturating_sub(earlier))
    }

    /// The instant `later` after this one.
    #[must_use]
    pub const fn plus(self, later: Duration) -> Self {
        Self(self.0.saturating_add(later))
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn the_boot_clock_goes_forward() {
        let first = BootInstant::now();
        std::thread::sleep(Duration::from_millis(2));
        assert!(BootInstant::now().since(first) >= Duration::from_millis(1));
        assert_eq!(first.since(BootInstant::now()), Duration::ZERO);
    }

    /// How long the machine of the child slept, by what its time namespace says.
    const SLEPT: Duration = Duration::from_secs(1_000_000);

    /// Set for the child, which prints its clock.
    const ASLEEP: &str = "HOOKSWITCH_TEST_TELLS_CLOCK";

    /// What the child prints its clock after.
    const CLOCK: &str = "the boot clock of the child: ";

    fn up(now: BootInstant) -> Duration {
        now.since(BootInstant::after_boot(Duration::ZERO))
    }

    /// What this machine's boot clock is by another way of asking for it.
    fn uptime() -> Duration {
        let uptime = std::fs::read_to_string("/proc/uptime").expect("the kernel tells how long it has been up");
        let seconds = uptime.split_whitespace().next().and_then(|seconds| seconds.parse().ok());
        Duration::from_secs_f64(seconds.expect("in seconds"))
    }

    /// The same test once more, where the clock that counts sleep is ahead and the one that does not is as it was; or why there is
    /// no such place.
    fn clock_after_sleep() -> Result<Duration, String> {
        let slept = SLEPT.as_secs().to_string();
        let (_, module) = module_path!().split_once("::").unwrap();
        let test = format!("{module}::the_boot_clock_counts_the_time_that_the_machine_slept");
        let this = std::env::current_exe().expect("the test is a program");
        let child = Command::new("unshare")
            .args(["--time", "--boottime", &slept, "--"])
            .arg(this)
            .args(["--exact", &test, "--nocapture"])
            .env(ASLEEP, "1")
            .output()
            .map_err(|error| format!("unshare does not run: {error}"))?;
        let (output, errors) = (String::from_utf8_lossy(&child.stdout), String::from_utf8_lossy(&child.stderr));
        if errors.contains("unshare:") && !output.contains("running") {
            return Err(errors.trim().to_owned());
        }
        let clock = output.lines().find_map(|line| line.split_once(CLOCK)?.1.parse().ok());
        Ok(Duration::from_millis(clock.unwrap_or_else(|| panic!("the child tells no clock: {output}{errors}"))))
    }

    /// Nobody can let a machine sleep within a test. In a time namespace the two clocks differ as they do afterwards.
    #[test]
    fn the_boot_clock_counts_the_time_that_the_machine_slept() {
        let before = up(BootInstant::now());
        if std::env::var_os(ASLEEP).is_some() {
            println!("{CLOCK}{}", before.as_millis());
            return;
        }
        assert!(before.abs_diff(uptime()) < Duration::from_mins(1), "{before:?} is not {:?}", uptime());
        let child = clock_after_sleep().unwrap_or_else(|why| {
            panic!(
                "no time namespace can be made here ({why}), so nothing tells the boot clock from one that stands still while the \
                 machine sleeps: run the test as root on a kernel with CONFIG_TIME_NS"
            )
        });
        let ahead = child.saturating_sub(before);
        assert!(ahead >= SLEPT, "a machine that slept for {SLEPT:?} is only {ahead:?} ahead");
        assert!(ahead < SLEPT + Duration::from_mins(1), "{ahead:?}");
    }
}
