//! A person asks for a passcode: Okta calls the active hook, judges the answer, falls back to its
//! own sender where it must, and writes the System Log.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use rand::Rng as _;
use serde_json::{Value, json};

use super::Org;
use super::caller::{Called, Failure, HookStatus};
use super::errors::OktaError;
use super::hooks::Hook;
use super::log::{Entry, request_id};
use super::passcode::{Delivery, HookReport, SendReport, SendRequest, hash};
use crate::clock::{okta_time, random_id};
use crate::inbox::{Channel, Message, Via};
use crate::phone::{calling_code_of, country_of};

/// How long a passcode lives.
const PASSCODE_LIFE: SignedDuration = SignedDuration::from_mins(5);

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
            let called = self.caller.call(hook, body.to_string(), limit, how.keep_alive).await;
            self.write_execution(hook, &called, &request_id);
            failed = called.failure.is_some();
            pending = called.said.status == Some(HookStatus::Pending);
            report = Some(hook_report(hook, called));
        }
        let delivery = match (&hook, failed) {
            (Some(_), false) if pending => Delivery::HookPending,
            (Some(_), false) => Delivery::Hook,
            _ if !how.fallback => Delivery::Nobody,
            _ if !self.fallback.allows(how.fallback_per_minute, Instant::now()) => Delivery::Denied,
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
                provider: "okta".to_owned(),
                via,
                id: format!("okta-{}", random_id(16)),
            });
        }
        self.write_sending(&request, delivery, report.as_ref(), &request_id);
        tracing::info!(
            org = %self.name,
            to = %crate::phone::masked(&request.to),
            ?delivery,
            "passcode"
        );
        SendReport { request_id, event_id, delivery, hook: report }
    }

    fn body(&self, hook: &Hook, request: &SendRequest, code: &str, request_id: &str, event_id: &str) -> Value {
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
                    "login": request.login(),
                    "userId": user_id(&request.login()),
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
        let reason = called.failure.as_ref().map(|(_, why)| format!("Hook \"{}\" execution failed. {why}", hook.name));
        let result = if reason.is_some() { "FAILURE" } else { "SUCCESS" };
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
                &how,
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
                &how,
            );
        }
    }

    fn write_sending(&self, request: &SendRequest, delivery: Delivery, hook: Option<&HookReport>, request_id: &str) {
        let by_hook = matches!(delivery, Delivery::Hook | Delivery::HookPending);
        let failed_over = hook.is_some() && !by_hook;
        let (failover, provider, own) = match request.channel {
            Channel::Sms => ("is_sms_hook_failover", "sms_telephony_provider", "sms_provider"),
            Channel::Voice => ("is_call_hook_failover", "call_telephony_provider", "call_provider"),
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
            Delivery::Nobody => ("FAILURE", Some("The org has no telephony provider".to_owned())),
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
                target: Some(("User", user_id(&request.login()), request.login())),
                request_id: request_id.to_owned(),
            },
            &self.behaviour(),
        );
    }

    /// `execute`: calls the hook with the client's body and answers what the hook answered.
    pub(super) async fn execute(&self, hook: &Hook, body: &Value) -> Result<Value, OktaError> {
        let how = self.behaviour();
        let limit = Duration::from_millis(how.hook_timeout_ms);
        let mut tries = 0;
        let called = loop {
            let called = self.caller.call(hook, body.to_string(), limit, how.keep_alive).await;
            let again = matches!(called.failure, Some((Failure::Timeout | Failure::Unreachable, _)));
            if !again || tries >= how.execute_retries.min(3) {
                break called;
            }
            tries += 1;
        };
        match (called.failure, called.answer) {
            (Some((Failure::Unreachable | Failure::NoAuth, why)), _) => Err(OktaError::hook_unreachable(&why)),
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
    format!("00u{:017}", hash(login) % 100_000_000_000_000_000)
}
