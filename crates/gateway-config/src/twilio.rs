//! What a Twilio account is asked for besides sending.

use serde::{Deserialize, Serialize};

/// What a Twilio account is asked for besides sending. An absent setting leaves the matter to the account.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TwilioOptions {
    /// Whether Twilio keeps the texts of messages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_retention: Option<ContentRetention>,
    /// Whether Twilio keeps the numbers that messages went to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address_retention: Option<AddressRetention>,
    /// Whether Twilio may refuse a text as fraud.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub risk_check: Option<RiskCheck>,
    /// Where Twilio reports what became of a message or a call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_callback: Option<String>,
    /// The Verify service that sends, in place of Programmable Messaging and Voice. Since version 2 of the document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verify: Option<TwilioVerify>,
}

impl TwilioOptions {
    /// Whether a reader of version 1 of the document would do something else than is asked: send by another product, or have what
    /// is not to be kept.
    #[must_use]
    pub const fn needs_version_2(&self) -> bool {
        self.verify.is_some() || self.content_retention.is_some() || self.address_retention.is_some()
    }

    /// Whether nothing is asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Whether Twilio keeps the text of a message that it has handed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ContentRetention {
    /// It does.
    Retain,
    /// It does not.
    Discard,
}

/// Whether Twilio keeps the number that a message went to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AddressRetention {
    /// It does.
    Retain,
    /// It keeps a part of it.
    Obfuscate,
}

/// Whether Twilio's fraud protection looks at a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RiskCheck {
    /// As the account or the service is set.
    Enable,
    /// It does not.
    Disable,
}

/// A service of Twilio's Verify.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TwilioVerify {
    /// `VA…`
    pub service_sid: String,
    /// `HJ…`, a template other than the service's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template_sid: Option<String>,
}
