//! What is wrong with an object, as its condition says it.

use super::conditions::Progress;
use hookswitch_api::reason::Ready;

/// What is wrong with an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The reason of `Ready`.
    pub reason: Ready,
    /// What a person reads: what is wrong and what to do.
    pub message: String,
    /// Whether only a change of this very object or of what it names can help, so that waiting is of no use.
    pub stalled: bool,
}

impl Problem {
    /// Something that comes right when what is missing appears or answers.
    pub fn transient(reason: Ready, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), stalled: false }
    }

    /// Something a person has to put right.
    pub fn permanent(reason: Ready, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), stalled: true }
    }

    /// How it shows.
    #[must_use]
    pub fn progress(self) -> Progress {
        if self.stalled {
            Progress::Stalled(self.reason, self.message)
        } else {
            Progress::Retrying(self.reason, self.message)
        }
    }
}
