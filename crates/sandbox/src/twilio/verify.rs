//! Verify: services, and the verifications that are pending.
//!
//! A verification of a number lives for ten minutes, and a further one of that number is the same resource, with one more
//! attempt; after five attempts no more are made. Nobody approves one here, so each lives its time.

use std::sync::{Mutex, PoisonError};

use http::{Method, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::params::{self, Form, VERIFICATION};
use super::{Answer, Asked, Channel, Reading, Request, error, is_e164, not_found, random_hex};
use crate::VerifyService;
use crate::inbox::code_in;

/// How long a verification lives.
const LIFE: SignedDuration = SignedDuration::from_mins(10);
/// How often one is sent.
const ATTEMPTS: usize = 5;
/// How many verifications are kept.
const REMEMBERED: usize = 10_000;

/// Twilio's list of languages that Verify's default text is in.
const LOCALES: &[&str] = &[
    "af", "ar", "ca", "zh", "zh-CN", "zh-HK", "hr", "cs", "da", "nl", "en", "en-GB", "et", "fi", "fr", "de", "el",
    "he", "hi", "hu", "id", "it", "ja", "kn", "ko", "lt", "ms", "mr", "nb", "pl", "pt-BR", "pt", "ro", "ru", "sk",
    "es", "sv", "tl", "te", "th", "tr", "vi",
];
/// The languages of them that Twilio's voice cannot speak.
const UNSPOKEN: &[&str] = &["af", "et", "kn", "lt", "mr", "ms", "tl", "te"];

/// The services of an account.
pub(super) struct Verify {
    account: String,
    services: Vec<VerifyService>,
    pending: Mutex<Vec<Pending>>,
}

/// A verification that is neither over nor expired.
struct Pending {
    service: String,
    to: String,
    id: String,
    code: Option<String>,
    made: Timestamp,
    attempts: Vec<Value>,
}

/// The service that a message was asked of, when it is a verification.
pub(super) fn service(asked: &Asked) -> Option<&str> {
    asked.service.as_deref().filter(|sid| sid.starts_with("VA"))
}

fn invalid(parameter: &str) -> Answer {
    error(400, 60200, &format!("Invalid parameter: {parameter}"))
}

impl Verify {
    pub(super) fn new(account: String, services: Vec<VerifyService>) -> Self {
        Self { account, services, pending: Mutex::default() }
    }

    /// What a request below `/v2/Services` is.
    pub(super) fn read(&self, path: &[&str], request: &Request) -> Reading {
        let Some((sid, rest)) = path.split_first() else { return Reading::Refused(not_found()) };
        let Some(service) = self.services.iter().find(|service| service.sid == *sid) else {
            return Reading::Refused(not_found());
        };
        match (rest, &request.method) {
            ([], &Method::GET) => Reading::Probe(self.shown(service)),
            (["Verifications"], &Method::POST) => {
                self.asked(service, request, Timestamp::now()).map_or_else(Reading::Refused, Reading::Send)
            }
            ([] | ["Verifications"], _) => Reading::Refused(error(405, 20004, "Method not allowed")),
            _ => Reading::Refused(not_found()),
        }
    }

    fn asked(&self, service: &VerifyService, request: &Request, now: Timestamp) -> Result<Asked, Answer> {
        if request.media_type().as_deref() != Some("application/x-www-form-urlencoded") {
            return Err(error(415, 20415, "Unsupported Media Type"));
        }
        let form = params::read(&request.body, VERIFICATION, 60200)?;
        let to = form.get("To").filter(|to| is_e164(to)).ok_or_else(|| invalid("To"))?;
        let channel = match form.get("Channel").ok_or_else(|| invalid("Channel"))? {
            "sms" => Channel::Sms,
            "call" => Channel::Voice,
            _ => return Err(error(403, 60223, "Delivery channel disabled")),
        };
        let code = self.code(service, &form, to, now)?;
        locale(&form, channel)?;
        if form.get("CustomFriendlyName").is_some() {
            return Err(error(403, 60204, "Service does not support this feature"));
        }
        if form.get("TemplateSid").is_some_and(|sid| !service.templates.iter().any(|own| own == sid)) {
            return Err(error(400, 60228, "Template was not found"));
        }
        if self.attempts(&service.sid, to, now).len() >= ATTEMPTS {
            return Err(error(429, 60203, "Max send attempts reached"));
        }
        let said = match channel {
            Channel::Sms => code,
            Channel::Voice => code.chars().map(String::from).collect::<Vec<_>>().join(", "),
        };
        Ok(Asked {
            channel,
            to: to.to_owned(),
            from: None,
            service: Some(service.sid.clone()),
            text: format!("Your {} verification code is: {said}", service.friendly_name),
            said: 1,
            key: None,
        })
    }

    /// The caller's own passcode, or one of Twilio's, which stays while the verification is pending.
    fn code(&self, service: &VerifyService, form: &Form, to: &str, now: Timestamp) -> Result<String, Answer> {
        match form.get("CustomCode") {
            Some(_) if !service.custom_codes => Err(error(403, 60204, "Service does not support this feature")),
            Some(code) if (4..=10).contains(&code.chars().count()) => Ok(code.to_owned()),
            Some(_) => Err(invalid("CustomCode")),
            None => {
                let pending = self.pending(&service.sid, to, now, |pending| pending.code.clone());
                let new = || format!("{:06}", rand::random_range(0..1_000_000_u32));
                Ok(pending.flatten().unwrap_or_else(new))
            }
        }
    }

    fn pending<T>(&self, service: &str, to: &str, now: Timestamp, of: impl FnOnce(&Pending) -> T) -> Option<T> {
        let pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.iter().find(|one| one.is_of(service, to, now)).map(of)
    }

    fn attempts(&self, service: &str, to: &str, now: Timestamp) -> Vec<Value> {
        self.pending(service, to, now, |pending| pending.attempts.clone()).unwrap_or_default()
    }

    /// The id of a number's verification: that of the pending one, else a new one.
    pub(super) fn id(&self, service: &str, to: &str, now: Timestamp) -> String {
        let pending = self.pending(service, to, now, |pending| pending.id.clone());
        pending.unwrap_or_else(|| format!("VE{}", random_hex(32)))
    }

    /// The verification, with the attempt that is being made.
    pub(super) fn resource(&self, asked: &Asked, id: &str, now: Timestamp) -> Value {
        let sid = service(asked).unwrap_or_default();
        let made = self.pending(sid, &asked.to, now, |pending| pending.made).unwrap_or(now);
        let (channel, attempted) = match asked.channel {
            Channel::Sms => ("sms", "SMS"),
            Channel::Voice => ("call", "CALL"),
        };
        let mut attempts = self.attempts(sid, &asked.to, now);
        let attempt_sid = format!("VL{}", random_hex(32));
        attempts.push(json!({"time": iso(now), "channel": attempted, "attempt_sid": attempt_sid}));
        json!({
            "sid": id,
            "service_sid": sid,
            "account_sid": self.account,
            "to": asked.to,
            "channel": channel,
            "status": "pending",
            "valid": false,
            "date_created": iso(made),
            "date_updated": iso(now),
            "lookup": {},
            "amount": null,
            "payee": null,
            "send_code_attempts": attempts,
            "sna": null,
            "url": format!("https://verify.twilio.com/v2/Services/{sid}/Verifications/{id}"),
        })
    }

    /// Keeps a verification that was sent.
    pub(super) fn remember(&self, asked: &Asked, answer: &Answer) {
        let (now, sid) = (Timestamp::now(), service(asked).unwrap_or_default());
        let Ok(mut body) = serde_json::from_slice::<Value>(&answer.body) else { return };
        let attempts = match body["send_code_attempts"].take() {
            Value::Array(attempts) => attempts,
            _ => Vec::new(),
        };
        let code = code_in(&asked.text);
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.retain(|one| now.duration_since(one.made) < LIFE);
        if let Some(one) = pending.iter_mut().find(|one| one.is_of(sid, &asked.to, now)) {
            (one.attempts, one.code) = (attempts, code);
        } else if pending.len() < REMEMBERED {
            let id = body["sid"].as_str().unwrap_or_default().to_owned();
            pending.push(Pending { service: sid.to_owned(), to: asked.to.clone(), id, code, made: now, attempts });
        }
    }

    fn shown(&self, service: &VerifyService) -> Answer {
        let VerifyService { sid, friendly_name, custom_codes, templates } = service;
        let url = format!("https://verify.twilio.com/v2/Services/{sid}");
        Answer::json(
            StatusCode::OK,
            &json!({
                "sid": sid,
                "account_sid": self.account,
                "friendly_name": friendly_name,
                "code_length": 6,
                "lookup_enabled": false,
                "psd2_enabled": false,
                "skip_sms_to_landlines": false,
                "dtmf_input_required": false,
                "tts_name": null,
                "do_not_share_warning_enabled": false,
                "custom_code_enabled": custom_codes,
                "default_template_sid": templates.first(),
                "verify_event_subscription_enabled": false,
                "date_created": "2015-07-30T20:00:00Z",
                "date_updated": "2015-07-30T20:00:00Z",
                "url": url,
                "links": {"verifications": format!("{url}/Verifications")},
            }),
        )
    }
}

impl Pending {
    fn is_of(&self, service: &str, to: &str, now: Timestamp) -> bool {
        self.service == service && self.to == to && now.duration_since(self.made) < LIFE
    }
}

/// A language that the text is not in is not found; one that cannot be spoken is refused for calls.
fn locale(form: &Form, channel: Channel) -> Result<(), Answer> {
    match form.get("Locale") {
        Some(locale) if !LOCALES.contains(&locale) => Err(not_found()),
        Some(locale) if channel == Channel::Voice && UNSPOKEN.contains(&locale) => {
            Err(error(400, 60331, "Locale requested is not supported by Verify Text-To-Speech conversion"))
        }
        _ => Ok(()),
    }
}

/// The spelling of an instant that Verify uses.
fn iso(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verification_is_pending_for_ten_minutes() {
        let verify = Verify::new("AC1".to_owned(), Vec::new());
        let made: Timestamp = "2026-11-30T12:00:00Z".parse().unwrap();
        verify.pending.lock().unwrap().push(Pending {
            service: "VA1".to_owned(),
            to: "+46701234567".to_owned(),
            id: "VE1".to_owned(),
            code: Some("482913".to_owned()),
            made,
            attempts: vec![json!({})],
        });
        let id = |service, to, after| verify.id(service, to, made + SignedDuration::from_secs(after));
        assert_eq!(id("VA1", "+46701234567", 599), "VE1");
        for (service, to, after) in
            [("VA1", "+46701234567", 600), ("VA2", "+46701234567", 0), ("VA1", "+46701234568", 0)]
        {
            assert_ne!(id(service, to, after), "VE1", "{service} {to} after {after} s");
        }
    }
}
