//! A person asks for a passcode: Okta calls the active hook, judges the answer, falls back to its
//! own sender where it must, and writes the System Log.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use rand::Rng as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Org;
use super::caller::{Called, Failure, HookStatus};
use super::errors::OktaError;
use super::hooks::Hook;
use super::log::{Entry, request_id};
use crate::sandbox::clock::{okta_time, random_id};
use crate::sandbox::inbox::{Channel, Message, Via};
use crate::sandbox::phone::{calling_code_of, country_of};

/// How long a passcode lives.
const PASSCODE_LIFE: SignedDuration = SignedDuration::from_mins(5);

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
    fn wire(self) -> &'static str {
        match self {
            Self::MfaVerification => "com.okta.user.telephony.mfa-verification",
            Self::PreEnrollment => "com.okta.user.telephony.pre-enrollment",
            Self::AccountUnlock => "com.okta.user.telephony.account-unlock",
            Self::PasswordReset => "com.okta.user.telephony.password-reset",
        }
    }

    fn event(self, channel: Channel) -> &'static str {
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
    /// The person's login.
    #[serde(default = "login")]
    pub user: String,
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

fn login() -> String {
    "test.user@example.com".to_owned()
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
        Self {
            to: to.into(),
            channel: sms(),
            user: login(),
            request_type: mfa(),
            code: None,
            locale: locale(),
        }
    }

    /// A sign-in's passcode by call.
    #[must_use]
    pub fn voice(to: impl Into<String>) -> Self {
        Self {
            channel: Channel::Voice,
            ..Self::sms(to)
        }
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
    /// The carrier the hook named.
    pub provider: Option<String>,
    /// The carrier's id the hook gave.
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

impl Org {
    /// Sends a passcode as a sign-in would.
    pub async fn send(&self, request: SendRequest) -> SendReport {
        let how = self.behaviour();
        let request_id = request_id();
        let event_id = random_id(22);
        let code = request.code.clone().unwrap_or_else(six_digits);
        let hook = self.active_hook();
        let mut report = None;
        let mut failed = true;
        let mut pending = false;
        if let Some(hook) = &hook {
            let body = self.body(hook, &request, &code, &request_id, &event_id);
            let limit = Duration::from_millis(how.hook_timeout_ms);
            let called = self
                .caller
                .call(hook, body.to_string(), limit, how.keep_alive)
                .await;
            self.write_execution(hook, &called, &request_id);
            failed = called.failure.is_some();
            pending = called.said.status == Some(HookStatus::Pending);
            report = Some(hook_report(hook, called));
        }
        let delivery = match (&hook, failed) {
            (Some(_), false) if pending => Delivery::HookPending,
            (Some(_), false) => Delivery::Hook,
            _ if !how.fallback => Delivery::Nobody,
            _ if !self
                .fallback
                .allows(how.fallback_per_minute, Instant::now()) =>
            {
                Delivery::Denied
            }
            (None, _) => Delivery::Okta,
            (Some(_), true) => Delivery::OktaFallback,
        };
        let via = match delivery {
            Delivery::OktaFallback => Some(Via::OktaFallback),
            Delivery::Okta => Some(Via::Okta),
            _ => None,
        };
        if let Some(via) = via {
            self.inbox.deliver(Message {
                at: Timestamp::now(),
                channel: request.channel,
                to: request.to.clone(),
                from: None,
                text: text_of(&code),
                said: 1,
                code: Some(code),
                carrier: "okta".to_owned(),
                via,
                id: format!("okta-{}", random_id(16)),
            });
        }
        self.write_sending(&request, delivery, report.as_ref(), &request_id);
        tracing::info!(
            org = %self.name,
            to = %crate::sandbox::phone::masked(&request.to),
            ?delivery,
            "passcode"
        );
        SendReport {
            request_id,
            event_id,
            delivery,
            hook: report,
        }
    }

    fn body(
        &self,
        hook: &Hook,
        request: &SendRequest,
        code: &str,
        request_id: &str,
        event_id: &str,
    ) -> Value {
        let now = Timestamp::now();
        let channel = match request.channel {
            Channel::Sms => "SMS".to_owned(),
            Channel::Voice => self.behaviour().voice_channel,
        };
        let expires = now.checked_add(PASSCODE_LIFE).unwrap_or(now);
        json!({
            "eventId": event_id,
            "eventTime": okta_time(now),
            "eventType": "com.okta.telephony.provider",
            "eventTypeVersion": "1.0",
            "contentType": "application/json",
            "cloudEventVersion": "0.1",
            "source": format!("{}/api/v1/inlineHooks/{}", self.base(), hook.id),
            "requestType": request.request_type.wire(),
            "data": {
                "context": {"request": {
                    "id": request_id,
                    "method": "POST",
                    "url": {"value": "/api/v1/authn/factors/sms/verify"},
                    "ipAddress": "127.0.0.1",
                }},
                "userProfile": {
                    "firstName": "Test",
                    "lastName": "User",
                    "login": request.user,
                    "userId": user_id(&request.user),
                },
                "messageProfile": {
                    "msgTemplate": text_of(code),
                    "phoneNumber": request.to,
                    "otpExpires": okta_time(expires),
                    "deliveryChannel": channel,
                    "otpCode": code,
                    "locale": request.locale,
                },
            },
        })
    }

    fn write_execution(&self, hook: &Hook, called: &Called, request_id: &str) {
        let how = self.behaviour();
        let about = || {
            vec![
                ("inline_hook_type", Value::from(hook.kind.clone())),
                ("inline_hook", json!({"id": hook.id, "name": hook.name})),
            ]
        };
        let target = Some(("InlineHook", hook.id.clone(), hook.name.clone()));
        let reason = called
            .failure
            .as_ref()
            .map(|(_, why)| format!("Hook \"{}\" execution failed. {why}", hook.name));
        let result = if reason.is_some() {
            "FAILURE"
        } else {
            "SUCCESS"
        };
        if reason.is_some() || how.log_successful_executions {
            let mut debug = about();
            if let Some(reason) = &reason {
                debug.push(("error_message", Value::from(reason.clone())));
            }
            self.log.write(
                Entry {
                    kind: "inline_hook.executed".to_owned(),
                    message: "Inline hook executed",
                    result,
                    reason: reason.clone(),
                    debug,
                    target: target.clone(),
                    request_id: request_id.to_owned(),
                },
                how.spelling,
            );
        }
        if called.http_status == Some(200) {
            let mut debug = about();
            if let Some(reason) = &reason {
                debug.push(("error_message", Value::from(reason.clone())));
            }
            if let Some(given) = &called.said.debug {
                debug.push(("debug_context", given.clone()));
            }
            self.log.write(
                Entry {
                    kind: "inline_hook.response.processed".to_owned(),
                    message: "Inline hook response processed",
                    result,
                    reason,
                    debug,
                    target,
                    request_id: request_id.to_owned(),
                },
                how.spelling,
            );
        }
    }

    fn write_sending(
        &self,
        request: &SendRequest,
        delivery: Delivery,
        hook: Option<&HookReport>,
        request_id: &str,
    ) {
        let by_hook = matches!(delivery, Delivery::Hook | Delivery::HookPending);
        let failed_over = hook.is_some() && !by_hook;
        let (failover, provider, own) = match request.channel {
            Channel::Sms => (
                "is_sms_hook_failover",
                "sms_telephony_provider",
                "sms_provider",
            ),
            Channel::Voice => (
                "is_call_hook_failover",
                "call_telephony_provider",
                "call_provider",
            ),
        };
        let mut debug = vec![
            (failover, Value::from(failed_over.to_string())),
            ("phone_number", Value::from(request.to.clone())),
            ("request_id", Value::from(request_id)),
        ];
        if by_hook {
            let hook = hook.cloned();
            let (named, id) = hook.map_or((None, None), |h| (h.provider, h.transaction_id));
            debug.extend(named.map(|named| (provider, Value::from(named))));
            debug.extend(id.map(|id| ("transaction_id", Value::from(id))));
        } else {
            debug.push((own, Value::from("OKTA")));
        }
        if let Some(country) = country_of(&request.to) {
            debug.push(("country_code_iso2", Value::from(country)));
        }
        if let Some(code) = calling_code_of(&request.to) {
            debug.push(("country_calling_code", Value::from(code)));
        }
        let (result, reason) = match delivery {
            Delivery::Denied => ("DENY", Some("Rate limit exceeded".to_owned())),
            Delivery::Nobody => (
                "FAILURE",
                Some("The org has no telephony provider".to_owned()),
            ),
            _ => ("SUCCESS", None),
        };
        self.log.write(
            Entry {
                kind: request.request_type.event(request.channel).to_owned(),
                message: match request.channel {
                    Channel::Sms => "Send an SMS message",
                    Channel::Voice => "Send a voice call",
                },
                result,
                reason,
                debug,
                target: Some(("User", user_id(&request.user), request.user.clone())),
                request_id: request_id.to_owned(),
            },
            self.behaviour().spelling,
        );
    }

    /// `execute`: calls the hook with the client's body and answers what the hook answered.
    pub(super) async fn execute(&self, hook: &Hook, body: &Value) -> Result<Value, OktaError> {
        let how = self.behaviour();
        let limit = Duration::from_millis(how.hook_timeout_ms);
        let mut tries = 0;
        let called = loop {
            let called = self
                .caller
                .call(hook, body.to_string(), limit, how.keep_alive)
                .await;
            let again = matches!(
                called.failure,
                Some((Failure::Timeout | Failure::Unreachable, _))
            );
            if !again || tries >= how.execute_retries.min(3) {
                break called;
            }
            tries += 1;
        };
        match (called.failure, called.answer) {
            (Some((Failure::Unreachable | Failure::NoAuth, why)), _) => {
                Err(OktaError::hook_unreachable(&why))
            }
            (Some((Failure::Timeout, why)), _) => Err(OktaError::hook_silent(&why)),
            (Some((Failure::Status | Failure::Malformed | Failure::Error, why)), _) => {
                Err(OktaError::hook_failed(&why))
            }
            (None | Some((Failure::Failed, _)), answer) => Ok(answer.unwrap_or(Value::Null)),
        }
    }
}

fn hook_report(hook: &Hook, called: Called) -> HookReport {
    let (failure, error_message) = called.failure.unzip();
    HookReport {
        id: hook.id.clone(),
        name: hook.name.clone(),
        http_status: called.http_status,
        status: called.said.status,
        provider: called.said.provider,
        transaction_id: called.said.transaction_id,
        transaction_metadata: called.said.metadata,
        failure,
        error_message,
        duration_ms: called.ms,
    }
}

fn text_of(code: &str) -> String {
    format!("Your verification code is {code}.")
}

fn six_digits() -> String {
    format!("{:06}", rand::rng().random_range(0..1_000_000))
}

/// A person's id: the same for the same login.
fn user_id(login: &str) -> String {
    use std::hash::{Hash as _, Hasher as _};
    let mut hasher = std::collections::hash_map::DefaultHasher::new();
    login.hash(&mut hasher);
    format!("00u{:017}", hasher.finish() % 100_000_000_000_000_000)
}
