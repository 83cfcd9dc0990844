//! What is declared for an org's telephony hooks, as the planner takes it.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::fingerprint::Fingerprint;
use crate::owner_tag::InstallationTag;
use crate::plan::step::Verb;
use crate::plan_record::PlanRecord;
use crate::types::{Header, HookContent, HookId, HookStatus, ObjectRef, ObservedHook};
use hookswitch_message::Secret;

/// Everything declared for one org.
#[derive(Debug, Clone)]
pub struct DesiredOrg {
    /// Whose tags are ours.
    pub installation: InstallationTag,
    /// All hooks declared for the org, those being deleted included: a hook left out here looks like an orphan.
    pub hooks: Vec<DesiredHook>,
    /// How long the declarations have been still. Handing over waits for 5 s of it, going to none active for 30 s: a change
    /// of Active from one hook to another is two writes for a person.
    pub quiet_for: Duration,
    /// The recorded plan that was begun and not seen to its end.
    pub unfinished: Option<PlanRecord>,
    /// How long ago calls of such a plan may have been sent whose end was not seen: its process went, or an answer was lost.
    /// What Okta took shows late, so a list without a trace of it says little at first.
    pub not_shown: Option<Duration>,
    /// What the last run was promised by definite answers.
    pub promised: Option<Promised>,
}

impl DesiredOrg {
    /// What `object`'s hook is to be, fingerprint included. `None` when it is not declared here.
    #[must_use]
    pub fn content(&self, object: &ObjectRef) -> Option<HookContent> {
        self.hooks.iter().find(|hook| hook.object == *object).map(|hook| hook.content(&self.installation))
    }
}

/// One declared hook.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct DesiredHook {
    /// Our object.
    pub object: ObjectRef,
    /// The id its status remembers.
    pub known_id: Option<HookId>,
    /// Name in Okta.
    pub name: String,
    /// Where Okta is to send.
    pub uri: String,
    /// Custom headers, without the fingerprint.
    pub headers: Vec<Header>,
    /// Name of the header that carries the secret.
    pub auth_header: String,
    /// The whole value of that header.
    pub secret: Secret<String>,
    /// Fingerprint of `secret`.
    pub secret_fingerprint: Fingerprint,
    /// Fingerprint of the secret that Okta last definitely took; `None` while that is doubted.
    pub applied_fingerprint: Option<Fingerprint>,
    /// Whether Okta's calls seem to come with another secret, so that this one is written anew.
    pub resync_secret: bool,
    /// Whether it is to be active; `None` keeps what Okta has.
    pub state: Option<DesiredState>,
    /// Who says what `state` is.
    pub decision: StateDecision,
    /// What to do when its name is taken by a hook that is not ours.
    pub adoption: Adoption,
    /// The object whose hook in Okta it takes over, when a person says so.
    pub takeover: Option<Takeover>,
    /// Set once the object is being deleted.
    pub deleting: Option<Deletion>,
    /// Whether its declaration is whole. Without that it is neither created nor written; what Okta has of it serves on, and is
    /// made active as long as it is what was written last.
    pub complete: bool,
    /// Whether the destination it points at can take calls now.
    pub endpoint_ready: bool,
    /// Whether every replica of that destination accepts `secret`; Okta is not given one that would be refused.
    pub secret_accepted: bool,
    /// Calls that Okta definitely refused for this hook and that are not to be repeated yet. [`Verb::Create`]: refused beside
    /// an active hook; [`Verb::Activate`]: refused, by activation or creation, with none beside it. The caller forgets
    /// them when something relevant changes, or after an hour.
    pub refused: BTreeSet<Verb>,
}

impl DesiredHook {
    pub(super) fn content(&self, installation: &InstallationTag) -> HookContent {
        let mut headers = self.headers.clone();
        headers.push(installation.tag(&self.object));
        HookContent {
            name: self.name.clone(),
            uri: self.uri.clone(),
            headers,
            auth_header: self.auth_header.clone(),
            secret: self.secret.clone(),
            metadata: None,
        }
    }

    /// Whether a switch, and not its own declaration, says what its state is.
    pub(super) const fn is_decided(&self) -> bool {
        matches!(self.decision, StateDecision::Decided | StateDecision::Switching)
    }

    pub(super) fn declared_active(&self) -> bool {
        self.state == Some(DesiredState::Active) && self.deleting.is_none()
    }
}

/// Who says what a hook's state is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateDecision {
    /// Its own declaration. A change of Active from one hook to another is then two writes of a person.
    Declared,
    /// A switch, for all its hooks at once: there is nothing to wait for.
    Decided,
    /// The same, and Okta is being brought from one of them to another: that comes before anything else.
    Switching,
    /// A switch that has not decided yet: it is not created before.
    Undecided,
}

/// A declared state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DesiredState {
    /// Okta is to call it.
    Active,
    /// Okta is not to call it.
    Inactive,
}

/// Whether a hook that exists may be taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adoption {
    /// Never.
    Never,
    /// When it carries nobody's fingerprint (or that of a deleted object of ours), and name and URI are the declared ones.
    IfMatches,
}

/// The word of a person that an object takes over another one's hook in Okta.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Takeover {
    /// That object's, which is gone from the same namespace, or says the same.
    From(ObjectRef),
    /// It is not to be.
    Refused(NotTaken),
}

/// Why a hook is not taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotTaken {
    /// What is said names no object.
    Unreadable,
    /// The other object exists and does not say that it hands its hook over to this one.
    NotHandedOver {
        /// The other object.
        from: ObjectRef,
    },
    /// The other object is gone, or cannot be read, and was of another namespace, where nobody can say any more that it is so.
    Elsewhere {
        /// The other object.
        from: ObjectRef,
    },
    /// Several objects take over the hook of one that is gone.
    Several {
        /// That one.
        from: ObjectRef,
    },
    /// The other object takes over from this one, itself or by way of others: it is unknown whose the hooks are to be.
    Circle {
        /// This object.
        to: ObjectRef,
        /// The other object.
        from: ObjectRef,
    },
}

impl DesiredHook {
    /// Whether all is there for its content to be written now: a hook that is taken over may be the active one.
    pub(super) fn can_be_written(&self) -> bool {
        let refused = self.refused.contains(&Verb::Replace);
        self.complete && self.endpoint_ready && self.secret_accepted && self.deleting.is_none() && !refused
    }

    /// The object whose hook it takes over.
    pub(super) fn takes_over(&self) -> Option<&ObjectRef> {
        match &self.takeover {
            Some(Takeover::From(from)) => Some(from),
            Some(Takeover::Refused(_)) | None => None,
        }
    }
}

/// What becomes of the hook in Okta when its object is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    /// It stays as it is.
    Retain,
    /// It is deactivated and deleted.
    Delete,
}

/// What definite answers promised, and how long ago.
#[derive(Debug, Clone)]
pub struct Promised {
    /// The promises of one run.
    pub made: Vec<Promise>,
    /// Time since that run.
    pub age: Duration,
}

/// One thing that a 200 said is now so. Okta may take a moment to show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promise {
    /// The hook.
    pub hook: HookId,
    /// What was promised of it.
    pub effect: Effect,
}

/// What an answer promised of a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It exists.
    Exists,
    /// It is ACTIVE.
    Active,
    /// It is INACTIVE.
    Inactive,
    /// It is gone.
    Gone,
}

impl Promise {
    pub(super) fn is_visible(&self, observed: &[ObservedHook]) -> bool {
        let hook = observed.iter().find(|hook| hook.id == self.hook);
        match (self.effect, hook) {
            (Effect::Gone, hook) => hook.is_none(),
            (Effect::Exists, hook) => hook.is_some(),
            (Effect::Active, Some(hook)) => hook.status == HookStatus::Active,
            (Effect::Inactive, Some(hook)) => hook.status == HookStatus::Inactive,
            (Effect::Active | Effect::Inactive, None) => false,
        }
    }
}
