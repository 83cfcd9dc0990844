//! What the planner says about each declared hook.

use std::fmt;
use std::time::Duration;

use crate::drift::Difference;
use crate::plan::desired::NotTaken;
use crate::types::{HookId, HookStatus, ObjectRef};

/// What is known and decided about one declared hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookVerdict {
    /// The object.
    pub object: ObjectRef,
    /// Its hook in Okta, when there is one.
    pub hook: Option<HookId>,
    /// That hook's state.
    pub status: Option<HookStatus>,
    /// How that hook differs from what is declared, the state apart.
    pub drift: Vec<Difference>,
    /// Further hooks that carry this very object's mark (somebody copied it, or a lost create came through late). They are
    /// left alone unless active in the place of another of ours.
    pub duplicates: Vec<HookId>,
    /// What comes of it.
    pub outcome: HookOutcome,
    /// What would keep it from becoming active now, were it asked for.
    pub hindrance: Option<HookOutcome>,
}

/// What comes of a declared hook in this plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HookOutcome {
    /// Okta has what is declared.
    InSync,
    /// The plan has calls for it.
    Changing,
    /// Nothing can be done yet; it is planned again without anybody's help.
    Waiting(Waiting),
    /// Nothing can be done until somebody acts.
    Blocked(Blocked),
    /// Its object is being deleted and owes Okta nothing any more.
    Released,
}

/// What a hook waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// The declarations to be still for this much longer.
    QuietPeriod(Duration),
    /// Okta to show what it promised.
    Settling,
    /// Its own place to be able to take calls.
    EndpointNotReady,
    /// Every replica of its own place to accept the new secret.
    SecretNotAccepted,
    /// The active hook's place to be able to take calls, before a standby is created beside it.
    StandingNotReady,
    /// The switch that names it to decide.
    Undecided,
    /// Its declaration to be whole.
    Incomplete,
    /// Changes of the org's other hooks that come first.
    AfterOthers,
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::QuietPeriod(_) => {
                f.write_str("the org's hooks have just been changed; waiting a few seconds for further changes")
            }
            Self::Settling => f.write_str("Okta accepted the change and does not show it yet"),
            Self::EndpointNotReady => {
                f.write_str("its gateway has no ready replica, or its URL cannot be reached; Okta is not told to call it before that changes")
            }
            Self::SecretNotAccepted => f.write_str(
                "a replica of the gateway does not accept the new secret yet; Okta keeps sending the old one until all do",
            ),
            Self::StandingNotReady => f.write_str(
                "creating a hook makes it active for a moment, so it waits until the active hook's gateway is ready",
            ),
            Self::Undecided => {
                f.write_str("the HookSwitch that names this hook has not decided yet which hook should be active; see its status")
            }
            Self::Incomplete => f.write_str("something it refers to is missing or cannot be used; see the condition Ready"),
            Self::AfterOthers => f.write_str("waiting for changes of the org's other hooks"),
        }
    }
}

/// Why a hook is left as it is until somebody acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blocked {
    /// A hook that is not ours is active.
    ForeignActive {
        /// Its id.
        hook: HookId,
        /// Its name.
        name: String,
    },
    /// A hook with the mark of an object of ours that does not exist any more is active.
    OrphanActive {
        /// Its id.
        hook: HookId,
        /// The object it was made for.
        owner: ObjectRef,
    },
    /// Another installation's hook is in the way: it is active, or has the name or the remembered id.
    AnotherInstallation {
        /// Its id.
        hook: HookId,
        /// The other installation's name, when its mark can be read.
        installation: Option<String>,
    },
    /// The name in Okta belongs to a hook that does not match and is not ours.
    NameTaken {
        /// Its id.
        hook: HookId,
    },
    /// The hook of that name matches, and adoption is not allowed.
    AdoptionNotAllowed {
        /// Its id.
        hook: HookId,
    },
    /// Another object declares the same name in Okta.
    SameNameDeclared {
        /// That object.
        other: ObjectRef,
    },
    /// Another hook of the org is declared Active too.
    TwoDeclaredActive {
        /// That object.
        other: ObjectRef,
    },
    /// Its hook in Okta is another object's now, by a person's word.
    HandedOver {
        /// That object.
        to: ObjectRef,
    },
    /// It takes over another object's hook as soon as its own place takes calls with its secret.
    TakeoverWaits {
        /// The hook's id.
        hook: HookId,
        /// That object.
        from: ObjectRef,
    },
    /// It is to take over another object's hook, and that is not to be.
    TakeoverRefused(NotTaken),
    /// The org has as many hooks as Okta allows.
    HookLimit,
    /// Okta refuses to create a hook beside an active one; it is created when it is its turn.
    StandbyNotCreated,
    /// Okta refuses to create it, or to make it active, with none beside it.
    ActivationRefused,
    /// Okta refuses to make it inactive.
    DeactivationRefused,
    /// Okta refuses its content.
    UpdateRefused,
    /// Okta refuses to delete it.
    DeletionRefused,
    /// Okta shows a state that this version does not know.
    StatusUnreadable,
}

impl Blocked {
    /// A stable word for conditions.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::ForeignActive { .. } => "ForeignHookActive",
            Self::OrphanActive { .. } => "OrphanHookActive",
            Self::AnotherInstallation { .. } => "AnotherInstallation",
            Self::NameTaken { .. } => "NameTaken",
            Self::AdoptionNotAllowed { .. } => "AdoptionNotAllowed",
            Self::SameNameDeclared { .. } => "SameNameDeclared",
            Self::TwoDeclaredActive { .. } => "TwoDeclaredActive",
            Self::HandedOver { .. } => "HandedOver",
            Self::TakeoverWaits { .. } => "TakeoverWaits",
            Self::TakeoverRefused(_) => "TakeoverRefused",
            Self::HookLimit => "HookLimitReached",
            Self::StandbyNotCreated => "StandbyNotCreated",
            Self::ActivationRefused => "ActivationRefused",
            Self::DeactivationRefused => "DeactivationRefused",
            Self::UpdateRefused => "UpdateRefused",
            Self::DeletionRefused => "DeletionRefused",
            Self::StatusUnreadable => "HookStatusUnreadable",
        }
    }
}

impl fmt::Display for NotTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable => f.write_str(
                "the annotation hookswitch.dev/takes-over names no other TelephonyHook; name it as NAME or NAMESPACE/NAME",
            ),
            Self::NotHandedOver { from } => write!(
                f,
                "the hook of {from} is not taken over: that TelephonyHook exists and does not say so; give it the annotation \
                 hookswitch.dev/hands-over-to with this object's namespace and name, or delete it"
            ),
            Self::Elsewhere { from } => write!(
                f,
                "the hook of {from} is not taken over: it was of another namespace, and no TelephonyHook there says so; create it \
                 there again with the annotation hookswitch.dev/hands-over-to"
            ),
            Self::Several { from } => {
                write!(f, "the hook of {from} is not taken over: several TelephonyHooks ask for it; leave the annotation at one")
            }
            Self::Circle { to, from } => write!(
                f,
                "the hook of {from} is not taken over by {to}: {from} is to take over from {to} as well, itself or by way of others, so \
                 each keeps what it has; take the annotation hookswitch.dev/takes-over off the one that hands its hook over"
            ),
        }
    }
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ForeignActive { hook, name } => write!(
                f,
                "hook {hook} (\"{name}\") is active in Okta and is not ours; deactivate it there (Workflow, Inline Hooks) \
                 when this one is to take over"
            ),
            Self::OrphanActive { hook, owner } => write!(
                f,
                "hook {hook} is active in Okta and belongs to {owner}, which does not exist any more; create that object again, name it \
                 in the annotation hookswitch.dev/takes-over of one in its namespace, or deactivate or delete the hook in Okta"
            ),
            Self::AnotherInstallation { hook, installation: Some(installation) } => write!(
                f,
                "hook {hook} belongs to the installation {installation}; remove it there first, or give this installation \
                 that name if it is the same one rebuilt"
            ),
            Self::AnotherInstallation { hook, installation: None } => write!(
                f,
                "hook {hook} carries an owner's mark that cannot be read; remove the header X-Hookswitch-Owner in Okta if \
                 nobody owns it"
            ),
            Self::NameTaken { hook } => write!(
                f,
                "the name belongs to hook {hook}, which is not this object's and has another URI; choose another name, or \
                 rename or delete that hook in Okta"
            ),
            Self::AdoptionNotAllowed { hook } => {
                write!(f, "hook {hook} has this name and URI and is not ours; delete it in Okta, or choose another name")
            }
            Self::SameNameDeclared { other } => write!(f, "{other} declares the same name in Okta; names are unique there"),
            Self::TwoDeclaredActive { other } => {
                write!(f, "{other} is declared Active too, and an org has one active hook; set one of them Inactive")
            }
            Self::HandedOver { to } => write!(f, "its hook in Okta was handed over to {to}; this object can be deleted"),
            Self::TakeoverWaits { hook, from } => write!(
                f,
                "hook {hook} of {from} is taken over as soon as this object's declaration is whole and its place takes calls with \
                 its secret; until then it stays as it is"
            ),
            Self::TakeoverRefused(why) => write!(f, "{why}"),
            Self::HookLimit => {
                f.write_str("the org has 100 inline hooks, the most that Okta allows; delete one that is not used")
            }
            Self::StandbyNotCreated => f.write_str(
                "Okta refuses to create a hook beside the active one; it will be created when it becomes active, and tried \
                 again every hour",
            ),
            Self::ActivationRefused => {
                f.write_str("Okta refused to make this hook active; the last refusal says why")
            }
            Self::DeactivationRefused => f.write_str(
                "Okta refused to make this hook inactive (the Phone authenticator may need an active hook); declare another hook \
                 Active, make this one inactive in Okta (Workflow > Inline Hooks), or remove the authenticator's need",
            ),
            Self::UpdateRefused => {
                f.write_str("Okta refused the new content; the last refusal says why")
            }
            Self::DeletionRefused => f.write_str("Okta refused to delete the hook; delete it in Okta"),
            Self::StatusUnreadable => {
                f.write_str(
                    "Okta shows a state of this hook that this version does not know; it is left alone until it is active or inactive \
                     again (Workflow > Inline Hooks), or a version that knows it is installed",
                )
            }
        }
    }
}
