//! What a step of the machine has to publish.

use std::time::Duration;

use super::phase::{Cause, Hold};

/// Something that happened, to be published once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transition {
    /// The active hook failed often enough.
    Suspect(String),
    /// It is well again.
    Cleared(String),
    /// It was not seen to fail again, nor to be well for long enough: what failed before does not count any more.
    Lapsed(String),
    /// A switch begins.
    Started {
        /// From.
        from: Option<String>,
        /// To.
        to: String,
        /// Why.
        cause: Cause,
    },
    /// A switch ended: Okta uses the other one.
    Switched {
        /// From.
        from: Option<String>,
        /// To.
        to: String,
        /// Why.
        cause: Cause,
        /// From the decision to the confirmation.
        took: Duration,
    },
    /// A switch ended without effect: Okta refused, or the hook was not ready for it within [`GIVE_UP`].
    Failed {
        /// From.
        from: Option<String>,
        /// To.
        to: String,
        /// Why.
        cause: Cause,
        /// From the decision to its end.
        took: Duration,
    },
    /// Nothing is switched, and why.
    Held(Hold),
    /// What it would do if the mode let it.
    WouldSwitch {
        /// To.
        to: String,
    },
    /// The first hook is well again while another is active.
    Recovering(String),
    /// What a person asked for cannot be done.
    RequestRefused(&'static str),
}
