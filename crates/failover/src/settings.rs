//! The thresholds of a switch. The defaults with their reasons stand in `docs/reference/defaults-and-timing.md`.

use std::time::Duration;

/// What a switch may do by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Everything.
    Automatic,
    /// It says what it would do, and does first activations and repairs.
    Observe,
    /// First activations and repairs; a person switches.
    Manual,
    /// Nothing.
    Disabled,
}

/// How the first hook comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failback {
    /// A person asks for it.
    ByPerson,
    /// This long after it recovered, if it stayed well.
    After(Duration),
}

/// Whether a hook that is reached, and not proven to deliver, is switched to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unproven {
    /// By a person alone.
    Hold,
    /// As any other.
    Allow,
}

/// The thresholds in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// What it may do by itself.
    pub mode: Mode,
    /// Consecutive failed evaluations that make the active hook suspect.
    pub fall: u32,
    /// Consecutive passed evaluations that make a hook well again, and prove a standby.
    pub rise: u32,
    /// Time between two looks.
    pub interval: Duration,
    /// How long the active hook stays suspect before it is switched away from.
    pub delay: Duration,
    /// The least time between two switches by the machine.
    pub cooldown: Duration,
    /// Most switches by the machine within `window`.
    pub budget: u32,
    /// See `budget`.
    pub window: Duration,
    /// By how many percent a standby must cover more than an active hook that fails by its coverage.
    pub margin: u8,
    /// Whether a hook that is reached, and not proven to deliver, is switched to.
    pub unproven: Unproven,
    /// How the first hook comes back.
    pub failback: Failback,
}

impl Settings {
    /// How long a switch by the machine counts for something: the cooldown may be longer than the budget's window.
    #[must_use]
    pub fn remembered(&self) -> Duration {
        self.window.max(self.cooldown)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            mode: Mode::Automatic,
            fall: 3,
            rise: 3,
            interval: Duration::from_secs(5),
            delay: Duration::from_secs(10),
            cooldown: Duration::from_mins(5),
            budget: 3,
            window: Duration::from_hours(1),
            margin: 20,
            unproven: Unproven::Hold,
            failback: Failback::ByPerson,
        }
    }
}
