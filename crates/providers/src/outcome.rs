//! What became of one attempt, in the classes that decide about failover.

use serde::{Deserialize, Serialize};

/// What became of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The provider took the message and named it.
    Accepted {
        /// The provider's id of the message; printable, at most 128 characters.
        id: String,
    },
    /// The provider definitely did not take the message.
    Refused(Refusal),
    /// Unknown: the request may have left and no usable answer came.
    Ambiguous {
        /// Why, as a metric label: `timeout`, `reset`, `garbage`, `unknown`.
        cause: &'static str,
    },
}

/// A definite refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What kind of refusal.
    pub class: Class,
    /// The provider's own code, printable and at most 64 characters; `http-<status>` where the provider gave none, and
    /// `connect` or `breaker` where no provider was reached.
    pub code: String,
    /// How long the provider asked to be left alone, in seconds.
    pub retry_after_s: Option<u64>,
}

impl Refusal {
    /// A refusal that needs no provider, or comes without a pause.
    #[must_use]
    pub fn local(class: Class, code: &str) -> Self {
        Self { class, code: code.to_owned(), retry_after_s: None }
    }
}

/// Kinds of refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Class {
    /// The number cannot be reached by anyone, or its owner does not want to be.
    PermanentDestination,
    /// This provider does not reach this number; another may. It says nothing about the account, a sender or a country.
    UnreachableHere,
    /// The provider's configuration does not allow it.
    PermanentConfig(Scope),
    /// Too many messages for now.
    Throttled,
    /// The provider is in trouble.
    Transient,
    /// The provider thinks it is fraud.
    FraudBlocked,
    /// The provider does not want this text.
    MessageRejected,
    /// The text is too long; no other provider would take it either.
    MessageTooLong,
    /// For a reason that is not known here: a code that is not in the adapter's table, or one that stands for several
    /// reasons. So it proves nothing about the number, and another provider is asked.
    Unknown,
}

/// How far a configuration refusal reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Scope {
    /// The whole account.
    Account,
    /// One sender.
    Sender,
    /// One country.
    Country,
}

impl Class {
    /// The value of the metric label `class`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::PermanentDestination => "permanent-destination",
            Self::UnreachableHere => "unreachable-here",
            Self::PermanentConfig(Scope::Account) => "permanent-config-account",
            Self::PermanentConfig(Scope::Sender) => "permanent-config-sender",
            Self::PermanentConfig(Scope::Country) => "permanent-config-country",
            Self::Throttled => "throttled",
            Self::Transient => "transient",
            Self::FraudBlocked => "fraud-blocked",
            Self::MessageRejected => "message-rejected",
            Self::MessageTooLong => "message-too-long",
            Self::Unknown => "unknown",
        }
    }
}
