//! What a test chooses of an org: each undocumented behaviour as an option, and a fault for each call.

use std::time::Duration;

/// What Okta does when a second hook is created while one is active.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecondCreation {
    Refused,
    Inactive,
    TakesOver,
}

/// What Okta does when a second hook is activated while one is active.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecondActivation {
    Refused,
    TakesOver,
    /// It becomes active beside the other: shows whether our own order keeps to one.
    Permitted,
}

#[derive(Debug, Clone, Copy)]
pub struct Behaviour {
    pub second_creation: SecondCreation,
    pub second_activation: SecondActivation,
    pub deactivating_last_refused: bool,
    /// This hook is never activated, whatever else is active (its URI does not answer, say).
    pub never_active: Option<&'static str>,
    /// A write is answered at once and takes effect this much later.
    pub delay: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Nobody hears the call.
    Unreachable,
    /// Nobody hears the call, and the caller cannot know.
    LostCall,
    /// It takes effect and the answer is lost, or is no JSON that can be read.
    LostAnswer,
    ServerError,
    /// It takes effect and is answered by an error all the same.
    LateServerError,
    RateLimited,
    /// The credential is not accepted for this once.
    Unauthorized,
    /// A firewall refuses the call in Okta's place, for this once.
    NotOkta,
    /// The caller dies before Okta hears the call.
    CrashBefore,
    /// The caller dies after it took effect.
    CrashAfter,
    /// Okta holds the call, and its caller is frozen: it takes effect, if Okta's rules then allow it, when it is let go.
    Held,
}

impl Fault {
    /// What may befall any call and says nothing of the next one.
    pub const TRANSIENT: [Self; 6] = [
        Self::Unreachable,
        Self::LostCall,
        Self::LostAnswer,
        Self::ServerError,
        Self::LateServerError,
        Self::RateLimited,
    ];
}
