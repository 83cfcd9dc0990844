//! What is seen of a hook, from several sides, each with three values.

use std::time::Duration;

/// Where a signal comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// Whether the gateway has ready replicas, and those serve the hook.
    Gateway,
    /// Whether the gateway's providers can take what its rules route.
    Coverage,
    /// Whether the hook's public address answers this operator.
    PublicUrl,
    /// Whether what serves it takes a whole passcode of this operator's, for a number given for that.
    Test,
    /// Whether it answers Okta, by `execute`.
    Execute,
    /// Whether Okta sends by it, by the System Log.
    SystemLog,
    /// Whether the gateway refuses Okta's calls for their secret.
    Refusals,
}

impl Source {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Gateway, Self::Coverage, Self::PublicUrl, Self::Test, Self::Execute, Self::SystemLog, Self::Refusals];

    /// Whether it fails a hook by itself. The others are corroborating signals that may err: two of them must agree.
    #[must_use]
    pub const fn suffices(self) -> bool {
        matches!(self, Self::Gateway | Self::Coverage)
    }

    /// Whether this operator finds it at the hook's address, and so by its own network.
    #[must_use]
    pub const fn is_operators(self) -> bool {
        matches!(self, Self::PublicUrl | Self::Test)
    }

    /// Whether Okta says it, and so of the hook that it uses alone.
    #[must_use]
    pub const fn is_oktas(self) -> bool {
        matches!(self, Self::Execute | Self::SystemLog)
    }

    /// A stable word for status and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "Gateway",
            Self::Coverage => "Coverage",
            Self::PublicUrl => "PublicURL",
            Self::Test => "Test",
            Self::Execute => "Execute",
            Self::SystemLog => "SystemLog",
            Self::Refusals => "Refusals",
        }
    }
}

/// What a signal says. Unknown is never taken for failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckResult {
    /// It works.
    Pass,
    /// It does not.
    Fail,
    /// Unknown: no report, or too old.
    Unknown,
}

impl CheckResult {
    /// A stable word for status and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "Pass",
            Self::Fail => "Fail",
            Self::Unknown => "Unknown",
        }
    }
}

/// One signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signal {
    /// Where it comes from.
    pub source: Source,
    /// What it says.
    pub result: CheckResult,
    /// Why, for a person.
    pub why: String,
    /// How long it has failed already when it is first seen to, as far as that is known: nothing for what does not fail, or
    /// is seen as soon as it does.
    pub failing_for: Duration,
}
