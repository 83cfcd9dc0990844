//! A passcode a person asks for, and the story of what became of it: the words of
//! [`super::send`], the control API and the command line.

use serde::{Deserialize, Serialize};

use super::caller::{Failure, HookStatus};
use crate::inbox::Channel;

/// What a person is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum RequestType {
    /// Signs in with a second factor.
    MfaVerification,
    /// Enrolls a phone.
    PreEnrollment,
    /// Unlocks the account.
    AccountUnlock,
    /// Resets the password.
    PasswordReset,
}

impl RequestType {
    /// As the hook call spells it.
    pub(super) fn wire(self) -> &'static str {
        match self {
            Self::MfaVerification => "com.okta.user.telephony.mfa-verification",
            Self::PreEnrollment => "com.okta.user.telephony.pre-enrollment",
            Self::AccountUnlock => "com.okta.user.telephony.account-unlock",
            Self::PasswordReset => "com.okta.user.telephony.password-reset",
        }
    }

    /// The System Log's event of the sending.
    pub(super) fn event(self, channel: Channel) -> &'static str {
        match (channel, self) {
            (Channel::Sms, Self::MfaVerification) => "system.sms.send_factor_verify_message",
            (Channel::Sms, Self::PreEnrollment) => "system.sms.send_phone_verification_message",
            (Channel::Sms, Self::AccountUnlock) => "system.sms.send_account_unlock_message",
            (Channel::Sms, Self::PasswordReset) => "system.sms.send_password_reset_message",
            (Channel::Voice, Self::MfaVerification) => "system.voice.send_mfa_challenge_call",
            (Channel::Voice, Self::PreEnrollment) => "system.voice.send_phone_verification_call",
            (Channel::Voice, Self::AccountUnlock) => "system.voice.send_account_unlock_call",
            (Channel::Voice, Self::PasswordReset) => "system.voice.send_password_reset_call",
        }
    }
}

/// A passcode to be sent. It holds the code and the number: never log one (there is no `Debug`).
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SendRequest {
    /// The number as Okta would send it: usually E.164.
    pub to: String,
    /// Text or call.
    #[serde(default = "sms")]
    pub channel: Channel,
    /// The person's login; absent, each number is another person's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// What the person is doing.
    #[serde(default = "mfa")]
    pub request_type: RequestType,
    /// The passcode; six random digits when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The person's locale.
    #[serde(default = "locale")]
    pub locale: String,
}

fn sms() -> Channel {
    Channel::Sms
}

/// The same number for the same text.
pub(super) fn hash(text: &str) -> u64 {
    use std::hash::{Hash as _, Hasher as _};
    let mut hasher = std::collections::hash_map::DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

fn mfa() -> RequestType {
    RequestType::MfaVerification
}

fn locale() -> String {
    "EN-US".to_owned()
}

impl SendRequest {
    /// A sign-in's passcode by text.
    #[must_use]
    pub fn sms(to: impl Into<String>) -> Self {
        Self { to: to.into(), channel: sms(), user: None, request_type: mfa(), code: None, locale: locale() }
    }

    /// The login of the person that it is for.
    #[must_use]
    pub fn login(&self) -> String {
        let of_number = || format!("user-{:06}@example.com", hash(&self.to) % 1_000_000);
        self.user.clone().unwrap_or_else(of_number)
    }

    /// A sign-in's passcode by call.
    #[must_use]
    pub fn voice(to: impl Into<String>) -> Self {
        Self { channel: Channel::Voice, ..Self::sms(to) }
    }

    /// The same with a chosen passcode.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }
}

/// What became of a passcode in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Delivery {
    /// The hook says it was sent.
    Hook,
    /// The hook does not know; Okta does nothing more.
    HookPending,
    /// The hook did not deliver; Okta's own sender did.
    OktaFallback,
    /// No hook is active; Okta's own sender sent it.
    Okta,
    /// Okta's own sender refused: its limit.
    Denied,
    /// The hook did not deliver and Okta has no sender of its own.
    Nobody,
}

/// The call of the hook as Okta saw it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HookReport {
    /// The hook's id.
    pub id: String,
    /// The hook's name.
    pub name: String,
    /// HTTP status, where one came.
    pub http_status: Option<u16>,
    /// The status answered, where the answer could be read.
    pub status: Option<HookStatus>,
    /// The provider the hook named.
    pub provider: Option<String>,
    /// The provider's id the hook gave.
    pub transaction_id: Option<String>,
    /// The hook's own remark.
    pub transaction_metadata: Option<String>,
    /// Why the call counts as failed.
    pub failure: Option<Failure>,
    /// The same in words, as in the System Log.
    pub error_message: Option<String>,
    /// From connect to the end of the answer, in milliseconds.
    pub duration_ms: u64,
}

/// The whole story of one passcode.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SendReport {
    /// Okta's id of the request.
    pub request_id: String,
    /// The hook call's `eventId`.
    pub event_id: String,
    /// Who delivered.
    pub delivery: Delivery,
    /// The call of the hook; absent when none is active.
    pub hook: Option<HookReport>,
}
