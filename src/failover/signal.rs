//! What is seen of a hook, from several sides, each with three values.

/// Where a signal comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// Whether the gateway has ready replicas, and those serve the hook.
    Gateway,
    /// Whether the gateway's carriers can take what its rules route.
    Coverage,
}

impl Source {
    /// A stable word for status and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "Gateway",
            Self::Coverage => "Coverage",
        }
    }
}

/// What a signal says. Unknown is never taken for failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// It works.
    Pass,
    /// It does not.
    Fail,
    /// Nobody can tell: no report, or too old.
    Unknown,
}

impl Sight {
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
    pub sight: Sight,
    /// Why, for a person.
    pub why: String,
}
