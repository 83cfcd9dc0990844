//! Twilio: Programmable Messaging for SMS, Programmable Voice for calls.
//!
//! Facts from Twilio's API description 2010-04-01. There is no idempotency key, so the dispatcher never repeats a request
//! whose outcome is unclear to the same account.

mod codes;

use ::http::{Method, header};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::Value;
use url::Url;
use zeroize::Zeroize;

use super::{
    Adapter, CarrierAnswer, CarrierRequest, Class, InvalidProvider, Message, Outcome, Probed, Refusal, Scope,
    answer::{self, class_by_status},
    sender, voice,
};
use crate::{
    config::document::Sender,
    message::{Channel, E164, Secret},
};

/// The longest SMS text, in characters.
const MAX_BODY: usize = 1_600;
/// The longest inline TwiML, in characters.
const MAX_TWIML: usize = 4_000;
/// Range of `ValidityPeriod` in seconds. 1 to 5 are allowed but discouraged by Twilio.
const VALIDITY_S: (u64, u64) = (6, 36_000);
/// Twilio's answer to most requests that are made with test credentials, the probe's among them.
const TEST_CREDENTIALS: u32 = 20_008;

/// A `TelephonyProvider` with a `twilio` block.
pub(super) struct Twilio {
    account: Url,
    messages: Url,
    calls: Url,
    authorization: Secret<String>,
    senders: Vec<Sender>,
}

impl Twilio {
    pub(super) fn new(
        account_sid: &str,
        auth_token: &Secret<String>,
        base_url: &str,
        senders: &[Sender],
    ) -> Result<Self, InvalidProvider> {
        if !is_sid(account_sid, "AC") {
            return Err(InvalidProvider::AccountSid);
        }
        if auth_token.expose().is_empty() || !auth_token.expose().bytes().all(|b| b.is_ascii_graphic()) {
            return Err(InvalidProvider::Credential);
        }
        for (index, sender) in senders.iter().enumerate() {
            if sender.channel == Channel::Voice && sender.from.parse::<E164>().is_err() {
                return Err(InvalidProvider::Sender { index, reason: "a call needs a number in E.164" });
            }
        }
        let base = Url::parse(base_url).map_err(|_| InvalidProvider::Url("it does not parse"))?;
        if base.cannot_be_a_base() || !base.has_host() {
            return Err(InvalidProvider::Url("it has no host"));
        }
        let below = |path: String| {
            let mut url = base.clone();
            url.set_path(&format!(
                "{}/2010-04-01/Accounts/{account_sid}{path}.json",
                base.path().trim_end_matches('/')
            ));
            url
        };
        let mut pair = format!("{account_sid}:{}", auth_token.expose());
        let authorization = Secret::new(format!("Basic {}", BASE64_STANDARD.encode(&pair)));
        pair.zeroize();
        Ok(Self {
            account: below(String::new()),
            messages: below("/Messages".to_owned()),
            calls: below("/Calls".to_owned()),
            authorization,
            senders: senders.to_vec(),
        })
    }

    fn post(&self, url: &Url, form: &[(&str, &str)]) -> CarrierRequest {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish().into_bytes();
        CarrierRequest {
            method: Method::POST,
            url: url.clone(),
            headers: vec![
                (header::AUTHORIZATION, self.authorization.clone()),
                (header::CONTENT_TYPE, Secret::from("application/x-www-form-urlencoded")),
                (header::ACCEPT, Secret::from("application/json")),
            ],
            body: Secret::new(body),
        }
    }
}

impl Adapter for Twilio {
    fn request(&self, message: &Message) -> Result<CarrierRequest, Refusal> {
        let sender = sender::choose(&self.senders, message)
            .ok_or_else(|| local(Class::PermanentConfig(Scope::Sender), "no-sender"))?;
        let text = message.text.expose();
        match message.channel {
            Channel::Sms => {
                if text.chars().count() > MAX_BODY {
                    return Err(local(Class::MessageTooLong, "too-long"));
                }
                let from = if is_sid(&sender.from, "MG") { "MessagingServiceSid" } else { "From" };
                let validity = message.ttl.map(|ttl| ttl.as_secs().clamp(VALIDITY_S.0, VALIDITY_S.1).to_string());
                let mut form = vec![("To", message.to.as_str()), (from, sender.from.as_str()), ("Body", text)];
                if let Some(validity) = &validity {
                    form.push(("ValidityPeriod", validity));
                }
                Ok(self.post(&self.messages, &form))
            }
            Channel::Voice => {
                let twiml = Secret::new(voice::twiml(text));
                if twiml.expose().chars().count() > MAX_TWIML {
                    return Err(local(Class::MessageTooLong, "too-long"));
                }
                let form = [("To", message.to.as_str()), ("From", sender.from.as_str()), ("Twiml", twiml.expose())];
                Ok(self.post(&self.calls, &form))
            }
        }
    }

    fn outcome(&self, answer: &CarrierAnswer) -> Outcome {
        let Some(object) = answer.object() else {
            return class_by_status(answer.status).map_or(Outcome::Ambiguous { cause: "garbage" }, |class| {
                Outcome::Refused(answer.refusal(class, answer.status_code()))
            });
        };
        let code = object.get("code").and_then(number).or_else(|| object.get("error_code").and_then(number));
        if let Some(code) = code {
            let class = class_of(code, error_status(answer, &object));
            return Outcome::Refused(answer.refusal(class, code.to_string()));
        }
        if let Some(class) = class_by_status(answer.status) {
            return Outcome::Refused(answer.refusal(class, answer.status_code()));
        }
        let text = |name: &str| object.get(name).and_then(Value::as_str);
        match (answer.is_success(), text("status"), text("sid").and_then(answer::id)) {
            (true, Some(status @ ("failed" | "undelivered" | "canceled")), _) => {
                Outcome::Refused(answer.refusal(Class::Transient, format!("status-{status}")))
            }
            (true, _, Some(id)) => Outcome::Accepted { id },
            _ => Outcome::Ambiguous { cause: "garbage" },
        }
    }

    fn probe(&self) -> CarrierRequest {
        CarrierRequest {
            method: Method::GET,
            url: self.account.clone(),
            headers: vec![
                (header::AUTHORIZATION, self.authorization.clone()),
                (header::ACCEPT, Secret::from("application/json")),
            ],
            body: Secret::new(Vec::new()),
        }
    }

    fn probed(&self, answer: &CarrierAnswer) -> Probed {
        let object = answer.object().unwrap_or_default();
        let account = Class::PermanentConfig(Scope::Account);
        let code = object.get("code").and_then(number);
        match answer.status {
            200 => match object.get("status").and_then(Value::as_str) {
                Some("active") => Probed::Up,
                Some(status @ ("suspended" | "closed")) => {
                    Probed::Down(answer.refusal(account, format!("status-{status}")))
                }
                _ => Probed::Unknown,
            },
            403 if code == Some(TEST_CREDENTIALS) => Probed::Unknown,
            401 | 403 => {
                let code = code.map_or_else(|| answer.status_code(), |code| code.to_string());
                Probed::Down(answer.refusal(account, code))
            }
            500..=599 => Probed::Down(answer.refusal(Class::Transient, answer.status_code())),
            _ => Probed::Unknown,
        }
    }

    fn label(&self) -> &'static str {
        "twilio"
    }
}

/// A refusal that needs no carrier.
fn local(class: Class, code: &str) -> Refusal {
    Refusal { class, code: code.to_owned(), retry_after_s: None }
}

/// Whether a text is a Twilio SID of a kind: two letters and 32 hexadecimal digits.
fn is_sid(text: &str, kind: &str) -> bool {
    text.strip_prefix(kind).is_some_and(|rest| rest.len() == 32 && rest.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// A code that is not null or zero, given as a number or as its digits.
fn number(value: &Value) -> Option<u32> {
    let code = match value {
        Value::Number(number) => number.as_u64().and_then(|code| u32::try_from(code).ok()),
        Value::String(digits) => digits.parse().ok(),
        _ => None,
    };
    code.filter(|code| *code != 0)
}

/// The error status of an answer: its own, or for a refusal inside a 200 the one that the body repeats.
fn error_status(answer: &CarrierAnswer, object: &serde_json::Map<String, Value>) -> u16 {
    if answer.is_success() {
        object.get("status").and_then(number).and_then(|status| u16::try_from(status).ok()).unwrap_or(answer.status)
    } else {
        answer.status
    }
}

/// The class of a code. Twilio adds codes for kinds of numbers it cannot reach, all of them 21xxx with a 400, so an
/// unknown one of those is about the number; any other unknown code is as good as its status.
fn class_of(code: u32, status: u16) -> Class {
    codes::class(code).unwrap_or_else(|| match (code, status) {
        (21_000..=21_999, 400) => Class::PermanentDestination,
        _ => class_by_status(status).unwrap_or(Class::Transient),
    })
}
