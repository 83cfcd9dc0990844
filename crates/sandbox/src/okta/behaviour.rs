//! What Okta does where its documentation is silent: one option for each question, so that a
//! client can be tried against every answer. Defaults are the likeliest answers.

use serde::{Deserialize, Serialize};

use super::errors::OktaError;

/// A second telephony hook is created while one is active.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnSecondCreation {
    /// 400 `E0000001`; nothing is created.
    Refused,
    /// 403 `E0000006`; nothing is created.
    Forbidden,
    /// 200; the new hook is INACTIVE.
    CreatedInactive,
    /// 200; the new hook is ACTIVE and the other INACTIVE.
    TakesOver,
}

/// A second telephony hook is activated while one is active.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnSecondActivation {
    /// 400 `E0000001`; nothing changes.
    Refused,
    /// 403 `E0000006`, which Okta lists for an activation without saying when; nothing changes.
    Forbidden,
    /// 200; the other hook becomes INACTIVE.
    TakesOver,
    /// 200, against the documentation; both are ACTIVE, and who has two has made them.
    BothActive,
}

/// A call Okta may allow or refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Permission {
    /// It is done.
    Allowed,
    /// 400 `E0000001`; nothing changes.
    Refused,
    /// 403 `E0000006`; nothing changes.
    Forbidden,
}

impl Permission {
    /// The refusal, for this reason where one is told.
    pub(super) fn check(self, reason: &str) -> Result<(), OktaError> {
        match self {
            Self::Allowed => Ok(()),
            Self::Refused => Err(OktaError::validation("status", reason)),
            Self::Forbidden => Err(OktaError::forbidden()),
        }
    }
}

/// An ACTIVE hook is deleted, which the documentation says is refused but not how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnDeletingActive {
    /// 400 `E0000001`.
    BadRequest,
    /// 403 `E0000006`.
    Forbidden,
    /// 204, against the documentation.
    Deleted,
}

/// A PUT carries an `authScheme` without its `value`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnMissingSecret {
    /// The stored secret stays.
    Kept,
    /// The hook has no secret any more: Okta skips it.
    Cleared,
    /// 400 `E0000001`.
    Refused,
}

/// A PUT carries no `metadata`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnMissingMetadata {
    /// The hook has none any more: a PUT replaces everything.
    Cleared,
    /// What was stored stays.
    Kept,
}

/// How the keys of `debugContext.debugData` are spelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Spelling {
    /// `is_sms_hook_failover`, as in the event catalogue.
    Snake,
    /// `isSmsHookFailover`, as in the API's examples.
    Camel,
}

/// Every undocumented behaviour, and what an org's surroundings decide.
// Each is a question of its own with two answers; none depends on another.
#[allow(clippy::struct_excessive_bools)]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Behaviour {
    /// Creating a second telephony hook.
    pub second_creation: OnSecondCreation,
    /// Activating a second telephony hook.
    pub second_activation: OnSecondActivation,
    /// Deactivating the only active telephony hook.
    pub deactivating_last: Permission,
    /// Deleting an ACTIVE hook.
    pub deleting_active: OnDeletingActive,
    /// `execute` on an INACTIVE hook.
    pub execute_inactive: Permission,
    /// A PUT without the secret.
    pub missing_secret: OnMissingSecret,
    /// A PUT without metadata.
    pub missing_metadata: OnMissingMetadata,
    /// How long a change stays invisible to reads and to sign-ins, in milliseconds.
    pub effect_delay_ms: u64,
    /// Added to every management call, in milliseconds.
    pub latency_ms: u64,
    /// Management calls under way at once; one more is answered 429 with a limit of 0.
    pub concurrent_calls: usize,
    /// How long an event of the System Log stays invisible, in milliseconds.
    pub log_delay_ms: u64,
    /// How much longer every other event does, so that events show in another order than they were published.
    pub log_disorder_ms: u64,
    /// Whether `/.well-known/okta-organization` answers.
    pub identity: bool,
    /// Whether successful executions are written as `inline_hook.executed` too.
    pub log_successful_executions: bool,
    /// Spelling of `debugData`.
    pub spelling: Spelling,
    /// The `deliveryChannel` of a call.
    pub voice_channel: String,
    /// Whether Okta has a sender of its own to fall back to.
    pub fallback: bool,
    /// Messages the fallback sends in a minute.
    pub fallback_per_minute: u32,
    /// The whole time a hook has, from connect, in milliseconds.
    pub hook_timeout_ms: u64,
    /// Times `execute` is tried again when the hook cannot be reached or is silent.
    pub execute_retries: u32,
    /// Whether connections to hooks are kept and used again.
    pub keep_alive: bool,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            second_creation: OnSecondCreation::Refused,
            second_activation: OnSecondActivation::Refused,
            deactivating_last: Permission::Allowed,
            deleting_active: OnDeletingActive::BadRequest,
            execute_inactive: Permission::Refused,
            missing_secret: OnMissingSecret::Kept,
            missing_metadata: OnMissingMetadata::Cleared,
            effect_delay_ms: 0,
            latency_ms: 0,
            concurrent_calls: 75,
            log_delay_ms: 0,
            log_disorder_ms: 0,
            identity: true,
            log_successful_executions: false,
            spelling: Spelling::Camel,
            voice_channel: "voice call".to_owned(),
            fallback: true,
            fallback_per_minute: 5,
            hook_timeout_ms: 3_000,
            execute_retries: 1,
            keep_alive: false,
        }
    }
}
