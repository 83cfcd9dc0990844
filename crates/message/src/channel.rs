//! How a passcode travels and what it is for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The way to the handset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum Channel {
    /// A text message.
    #[serde(rename = "SMS")]
    Sms,
    /// A phone call that reads the passcode out.
    Voice,
}

impl Channel {
    /// The value of the metric label `channel`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Sms => "sms",
            Self::Voice => "voice",
        }
    }
}

/// The flow that asked for a passcode; Okta's complete list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum RequestType {
    /// A user enrols a phone.
    PreEnrollment,
    /// A user signs in.
    MfaVerification,
    /// A user unlocks an account.
    AccountUnlock,
    /// A user resets a password.
    PasswordReset,
}

impl RequestType {
    /// Okta's `requestType`; `None` for a value that Okta has not documented.
    #[must_use]
    pub fn from_okta(value: &str) -> Option<Self> {
        match value.trim().to_ascii_lowercase().strip_prefix("com.okta.user.telephony.")? {
            "pre-enrollment" => Some(Self::PreEnrollment),
            "mfa-verification" => Some(Self::MfaVerification),
            "account-unlock" => Some(Self::AccountUnlock),
            "password-reset" => Some(Self::PasswordReset),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_has_in_metrics_and_for_providers_the_word_of_the_docs() {
        assert_eq!([Channel::Sms, Channel::Voice].map(Channel::label), ["sms", "voice"]);
    }

    #[test]
    fn every_flow_that_okta_has_documented_is_known_and_no_other() {
        for (value, flow) in [
            ("com.okta.user.telephony.pre-enrollment", Some(RequestType::PreEnrollment)),
            ("com.okta.user.telephony.mfa-verification", Some(RequestType::MfaVerification)),
            ("com.okta.user.telephony.account-unlock", Some(RequestType::AccountUnlock)),
            ("com.okta.user.telephony.password-reset", Some(RequestType::PasswordReset)),
            (" com.okta.user.telephony.MFA-verification ", Some(RequestType::MfaVerification)),
            ("com.okta.user.telephony.new", None),
            ("mfa-verification", None),
            ("", None),
        ] {
            assert_eq!(RequestType::from_okta(value), flow, "{value}");
        }
    }
}
