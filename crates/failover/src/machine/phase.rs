//! Where a switch is, what holds it, and why it switches.

use std::fmt;

/// Why the hook that is to be active changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The active one failed.
    Failed,
    /// The first one was well again for long enough.
    Recovered,
    /// A person promoted one.
    Promoted,
    /// A person asked for the first one.
    FailedBack,
    /// Somebody activated another of the hooks in Okta.
    InOkta,
    /// A person deletes the object of the one that is active.
    Deleted,
}

impl Cause {
    /// A stable word for status and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "Failed",
            Self::Recovered => "Recovered",
            Self::Promoted => "Promoted",
            Self::FailedBack => "FailedBack",
            Self::InOkta => "ChangedInOkta",
            Self::Deleted => "HookDeleted",
        }
    }

    /// Whether the machine decided it, so that cooldown and budget count it.
    #[must_use]
    pub const fn is_automatic(self) -> bool {
        matches!(self, Self::Failed | Self::Recovered)
    }
}

/// Why nothing is switched although the active hook fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// The mode leaves it to a person.
    Mode,
    /// Paused, or in a maintenance window.
    Paused,
    /// Okta's state is not known.
    OktaUnknown,
    /// A hook that is not this switch's is active in Okta.
    Conflict,
    /// Every hook fails at once: more likely the observer is the blind one.
    AllFail,
    /// No other hook is proven: it fails, is not known to be well, or was so for too short a time.
    StandbyNotReady,
    /// The hooks that are well are only known to be reached.
    StandbyUnproven,
    /// No other hook can deliver enough more.
    StandbyNoBetter,
    /// The last switch was too short a time ago.
    Cooldown,
    /// As many switches as the budget allows; until acknowledged.
    BudgetSpent,
    /// Okta refused to activate the other hook.
    Refused,
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mode => "the mode leaves switching to you; promote a hook, or set mode Automatic",
            Self::Paused => "the switch is paused or in a maintenance window; end that, or promote a hook",
            Self::OktaUnknown => "Okta's management API does not say which hook is active; see the OktaOrg",
            Self::Conflict => "the hook that is active in Okta is not one of this switch's; deactivate it there, or add it to spec.hooks",
            Self::AllFail => "every hook fails at once, so the operator's own network may be at fault; promote a hook to switch anyway",
            Self::StandbyNotReady => "no standby has been healthy for long enough; see status.hooks",
            Self::StandbyUnproven => "the only healthy standby is reachable but not proven to deliver; give it a target.url.test, set detection.unprovenStandby to Allow, or promote it",
            Self::StandbyNoBetter => "no standby covers enough more than the active hook (detection.margin); see status.hooks",
            Self::Cooldown => "the last automatic switch was less than spec.cooldown ago; switching resumes by itself",
            Self::BudgetSpent => {
                "the budget of automatic switches is used up; find what flaps, then set the annotation hookswitch.dev/acknowledge"
            }
            Self::Refused => "Okta refused to activate the standby; the status of that TelephonyHook quotes Okta",
        })
    }
}

/// Where the machine is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// The first hook is to be active, and nothing is known against it.
    Healthy,
    /// The active hook failed often enough; the delay runs.
    Suspect,
    /// The other hook is being made active.
    FailingOver {
        /// The one that was.
        from: Option<String>,
        /// Why.
        cause: Cause,
    },
    /// Another hook than the first is to be active.
    OnStandby,
    /// So it is, and the first one is well again.
    Recovering,
    /// The active hook fails, and nothing is done about it.
    Held(Hold),
}

impl Phase {
    /// A stable word for status and metrics.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Healthy => "Healthy",
            Self::Suspect => "Suspect",
            Self::FailingOver { .. } => "FailingOver",
            Self::OnStandby => "OnStandby",
            Self::Recovering => "Recovering",
            Self::Held(_) => "Held",
        }
    }

    /// All words, for metrics.
    pub const ALL: [&'static str; 6] = ["Healthy", "Suspect", "FailingOver", "OnStandby", "Recovering", "Held"];
}
