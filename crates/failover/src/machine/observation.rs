//! What the machine decides by.

use crate::health::Health;

/// What is observed of one hook.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct HookObservation {
    /// Its name.
    pub name: String,
    /// What is judged of it.
    pub health: Health,
    /// Whether passing proves that it delivers; else only that it is reached.
    pub provable: bool,
    /// Whether Okta could be made to use it at once: it exists as declared, or may be created inside the switch.
    pub usable_in_okta: bool,
    /// Whether Okta refused to activate it and is not to be asked again yet.
    pub refused: bool,
    /// Whether its object is being deleted: another one is to be active.
    pub leaving: bool,
}

/// What is known for a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HookStanding {
    /// It fails, is not known to be well, or was so for too short a time.
    NotReady,
    /// It was well for long enough, by what only shows that it is reached, and the settings ask for more.
    Unproven,
    /// It can be switched to.
    Proven,
}

/// Which hook Okta uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InOkta {
    /// It does not say.
    Unknown,
    /// None.
    Nobody,
    /// One of the switch's.
    Ours(String),
    /// Another one.
    Other,
}

/// What a person asked for, once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SwitchRequest {
    /// This hook is to be active.
    Promote(String),
    /// The first hook is to be active.
    Failback,
}

/// Everything that is seen at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// The hooks in their order; never empty.
    pub hooks: Vec<HookObservation>,
    /// Which one Okta uses.
    pub okta: InOkta,
    /// Paused, or in a maintenance window.
    pub paused: bool,
    /// What a person asked for since the last evaluation.
    pub request: Option<SwitchRequest>,
    /// A person has seen that the budget is spent.
    pub acknowledged: bool,
}
