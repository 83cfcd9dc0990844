//! What a plan consists of: moves that are begun only when they can be finished, each made of calls.

use std::fmt;

use crate::types::{HookId, ObjectRef};

/// One kind of call that changes Okta, and the reads that belong to a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// Create a hook.
    Create,
    /// Replace a hook's content.
    Replace,
    /// Make it active.
    Activate,
    /// Make it inactive.
    Deactivate,
    /// Delete it.
    Delete,
    /// Read one hook in the middle of a swap.
    Read,
    /// List the org's hooks.
    ReadBack,
}

impl Verb {
    /// A stable word for records and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "Create",
            Self::Replace => "Replace",
            Self::Activate => "Activate",
            Self::Deactivate => "Deactivate",
            Self::Delete => "Delete",
            Self::Read => "Read",
            Self::ReadBack => "ReadBack",
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A hook of ours that exists in Okta.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Our object.
    pub object: ObjectRef,
    /// Okta's id.
    pub hook: HookId,
}

/// One planned call. The read-back names no object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What is called.
    pub verb: Verb,
    /// For which object.
    pub object: Option<ObjectRef>,
    /// On which hook; `None` where it is not created yet.
    pub hook: Option<HookId>,
}

/// Something done to the org's hooks as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Move {
    /// Replace a hook's content.
    Update(Subject),
    /// Create a hook and leave it active.
    Create {
        /// Whose hook.
        object: ObjectRef,
        /// Another of our hooks is active meanwhile: a refusal then says nothing about the hook itself.
        beside_active: bool,
    },
    /// Create a hook that is not to be active: Okta creates active ones only, so it is deactivated again, and a hook that it
    /// took over from is put back at once.
    CreateInactive {
        /// Whose hook.
        object: ObjectRef,
        /// The hook of ours that is active and stays so.
        standing: Option<Subject>,
    },
    /// Activate a hook while none is active.
    Activate(Subject),
    /// Deactivate a hook.
    Deactivate(Subject),
    /// Deactivate one, activate (or create) another, and back again when the other is refused.
    Swap {
        /// The active one.
        from: Subject,
        /// Whose turn it is.
        to: ObjectRef,
        /// Its hook; `None` when it is created inside the swap.
        to_hook: Option<HookId>,
    },
    /// Delete a hook, deactivating it first when it is active.
    Delete {
        /// The hook.
        what: Subject,
        /// It is active.
        active: bool,
    },
}

impl Move {
    /// Most calls that it takes, putting back included; retries come out of what is left of the run's budget.
    #[must_use]
    pub const fn most_calls(&self) -> usize {
        match self {
            Self::Update(_) | Self::Create { .. } | Self::Activate(_) | Self::Deactivate(_) => 1,
            Self::CreateInactive { standing, .. } => 2 + standing.is_some() as usize,
            // Deactivate, read when that was unclear, activate, and back.
            Self::Swap { .. } => 4,
            // Deactivate, delete, and a check when that was refused.
            Self::Delete { active, .. } => 1 + 2 * *active as usize,
        }
    }

    /// The calls it makes when all goes well and Okta behaves as documented.
    #[must_use]
    pub fn steps(&self) -> Vec<Step> {
        let on = |verb, subject: &Subject| Step {
            verb,
            object: Some(subject.object.clone()),
            hook: Some(subject.hook.clone()),
        };
        let new = |verb, object: &ObjectRef| Step { verb, object: Some(object.clone()), hook: None };
        match self {
            Self::Update(what) => vec![on(Verb::Replace, what)],
            Self::Create { object, .. } => vec![new(Verb::Create, object)],
            Self::CreateInactive { object, standing } => {
                let mut steps = vec![new(Verb::Create, object), new(Verb::Deactivate, object)];
                steps.extend(standing.iter().map(|standing| on(Verb::Activate, standing)));
                steps
            }
            Self::Activate(what) => vec![on(Verb::Activate, what)],
            Self::Deactivate(what) => vec![on(Verb::Deactivate, what)],
            Self::Swap { from, to, to_hook } => {
                let verb = if to_hook.is_some() { Verb::Activate } else { Verb::Create };
                vec![on(Verb::Deactivate, from), Step { verb, object: Some(to.clone()), hook: to_hook.clone() }]
            }
            Self::Delete { what, active } => {
                let first = active.then(|| on(Verb::Deactivate, what));
                first.into_iter().chain([on(Verb::Delete, what)]).collect()
            }
        }
    }

    /// The objects it touches.
    pub(crate) fn objects(&self) -> Vec<&ObjectRef> {
        match self {
            Self::Update(what) | Self::Activate(what) | Self::Deactivate(what) | Self::Delete { what, .. } => {
                vec![&what.object]
            }
            Self::Create { object, .. } => vec![object],
            Self::CreateInactive { object, standing } => {
                std::iter::once(object).chain(standing.iter().map(|standing| &standing.object)).collect()
            }
            Self::Swap { from, to, .. } => vec![&from.object, to],
        }
    }

    /// Whether none of ours may be active in the middle of it, although one is to be before and after.
    pub(crate) const fn opens_gap(&self) -> bool {
        matches!(self, Self::Swap { .. } | Self::CreateInactive { standing: Some(_), .. })
    }

    /// Whether it changes a hook's state, if only for a moment.
    pub(crate) const fn changes_state(&self) -> bool {
        !matches!(self, Self::Update(_) | Self::Delete { active: false, .. })
    }

    /// Whether another hook may be active afterwards.
    pub(crate) const fn changes_active(&self) -> bool {
        self.changes_state() && !matches!(self, Self::CreateInactive { .. })
    }
}
