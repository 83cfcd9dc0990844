//! Twilio: Programmable Messaging for SMS, Programmable Voice for calls.
//!
//! Facts from Twilio's API description 2010-04-01. There is no idempotency key, so the dispatcher never repeats a request
//! whose outcome is unclear to the same account.

mod codes;
#[cfg(test)]
mod tests;

use ::http::{Method, header};
use base64::{Engine, prelude::BASE64_STANDARD};
use url::Url;
use zeroize::Zeroize;

use super::{
    Access, Adapter, Class, InvalidProvider, Message, Outcome, Probe, Probed, Proof, ProviderAnswer, Refusal, Scope,
    answer::{self, Fields, class_by_status},
    https_url, sender, voice,
};
use hookswitch_gateway_config::document::Sender;
use hookswitch_message::{Channel, E164, Secret};
use hookswitch_request::Request;

/// The longest SMS text, in characters.
const MAX_BODY: usize = 1_600;
/// The longest inline TwiML, in characters.
const MAX_TWIML: usize = 4_000;
/// Range of `ValidityPeriod` in seconds. 1 to 5 are allowed but discouraged by Twilio.
const VALIDITY_S: (u64, u64) = (6, 36_000);
/// Twilio's answer to most requests that are made with test credentials, the probe's among them.
const TEST_CREDENTIALS: u32 = 20_008;
/// Twilio's answer to an API key that is not allowed to do this one thing, among other reasons.
const NOT_AUTHORIZED: u32 = 70_051;
/// What a resource says of itself when it was taken: from then on it is Twilio's, whatever else stands beside it.
const UNDER_WAY: &[&str] = &[
    "accepted",
    "scheduled",
    "queued",
    "sending",
    "sent",
    "delivered",
    "initiated",
    "ringing",
    "in-progress",
    "completed",
];

/// What an account is called with.
pub(super) struct Credential<'a> {
    /// The account, which is in every path.
    pub(super) account_sid: &'a str,
    /// The API key that stands in for the account in the header.
    pub(super) api_key_sid: Option<&'a str>,
    /// The auth token, or the API key's secret.
    pub(super) secret: &'a Secret<String>,
}

/// A `TelephonyProvider` with a `twilio` block.
pub(super) struct Twilio {
    probe: Subject,
    messages: Url,
    calls: Url,
    authorization: Secret<String>,
    senders: Vec<Sender>,
}

/// What shows whether the account works.
enum Subject {
    /// The account itself, which has its state.
    Account(Url),
    /// The account's own numbers: most API keys may not read the account.
    Numbers(Url),
}

impl Twilio {
    pub(super) fn new(
        credential: &Credential<'_>,
        base_url: &str,
        senders: &[Sender],
    ) -> Result<Self, InvalidProvider> {
        let Credential { account_sid, api_key_sid, secret } = *credential;
        if !is_sid(account_sid, "AC") {
            return Err(InvalidProvider::AccountSid);
        }
        if api_key_sid.is_some_and(|sid| !is_sid(sid, "SK")) {
            return Err(InvalidProvider::ApiKeySid);
        }
        if secret.expose().is_empty() || !secret.expose().bytes().all(|b| b.is_ascii_graphic()) {
            return Err(InvalidProvider::Credential);
        }
        for (index, sender) in senders.iter().enumerate() {
            if sender.channel == Channel::Voice && sender.from.parse::<E164>().is_err() {
                return Err(InvalidProvider::Sender { index, reason: "a call needs a number in E.164" });
            }
        }
        let base = https_url(base_url)?;
        let below = |path: String| {
            let mut url = base.clone();
            url.set_path(&format!(
                "{}/2010-04-01/Accounts/{account_sid}{path}.json",
                base.path().trim_end_matches('/')
            ));
            url
        };
        let probe = if api_key_sid.is_none() {
            Subject::Account(below(String::new()))
        } else {
            let mut numbers = below("/IncomingPhoneNumbers".to_owned());
            numbers.set_query(Some("PageSize=1"));
            Subject::Numbers(numbers)
        };
        let mut pair = format!("{}:{}", api_key_sid.unwrap_or(account_sid), secret.expose());
        let authorization = Secret::new(format!("Basic {}", BASE64_STANDARD.encode(&pair)));
        pair.zeroize();
        Ok(Self {
            probe,
            messages: below("/Messages".to_owned()),
            calls: below("/Calls".to_owned()),
            authorization,
            senders: senders.to_vec(),
        })
    }

    fn post(&self, url: &Url, form: &[(&str, &str)]) -> Request {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish().into_bytes();
        Request {
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
    fn request(&self, message: &Message, _: &Access<'_>) -> Result<Request, Refusal> {
        let sender = sender::choose(&self.senders, message)
            .ok_or_else(|| Refusal::local(Class::PermanentConfig(Scope::Sender), "no-sender"))?;
        let text = message.text.expose();
        match message.channel {
            Channel::Sms => {
                if text.chars().count() > MAX_BODY {
                    return Err(Refusal::local(Class::MessageTooLong, "too-long"));
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
                    return Err(Refusal::local(Class::MessageTooLong, "too-long"));
                }
                let form = [("To", message.to.as_str()), ("From", sender.from.as_str()), ("Twiml", twiml.expose())];
                Ok(self.post(&self.calls, &form))
            }
        }
    }

    fn outcome(&self, answer: &ProviderAnswer) -> Outcome {
        let Some(fields) = answer.fields() else { return answer.by_status() };
        let state = fields.text("status");
        let id = fields.text("sid").and_then(|sid| answer::id(&sid)).filter(|_| answer.is_success());
        if let (Some(id), true) = (&id, state.as_deref().is_some_and(|state| UNDER_WAY.contains(&state))) {
            return Outcome::Accepted { id: id.clone() };
        }
        if let Some(code) = code(&fields) {
            return refused(answer, &fields, code);
        }
        match (answer.is_success(), state.as_deref(), id) {
            (false, _, _) => match class_by_status(answer.status) {
                Some(class) => Outcome::Refused(answer.refusal(class, shown_code(answer, &fields))),
                None => Outcome::Ambiguous { cause: "garbage" },
            },
            (true, Some(state @ ("failed" | "undelivered" | "canceled")), _) => {
                Outcome::Refused(answer.refusal(Class::Transient, format!("status-{state}")))
            }
            (true, _, Some(id)) => Outcome::Accepted { id },
            (true, _, None) => Outcome::Ambiguous { cause: "garbage" },
        }
    }

    fn probe(&self, _: &Access<'_>) -> Probe {
        let (Subject::Account(url) | Subject::Numbers(url)) = &self.probe;
        Probe::Ask(Request {
            method: Method::GET,
            url: url.clone(),
            headers: vec![
                (header::AUTHORIZATION, self.authorization.clone()),
                (header::ACCEPT, Secret::from("application/json")),
            ],
            body: Secret::new(Vec::new()),
        })
    }

    fn probed(&self, answer: &ProviderAnswer) -> Probed {
        let fields = answer.fields().unwrap_or_default();
        let account = Class::PermanentConfig(Scope::Account);
        match (answer.status, &self.probe, code(&fields)) {
            (200, Subject::Account(_), _) => match fields.text("status").as_deref() {
                Some("active") => Probed::Up,
                Some(state @ ("suspended" | "closed")) => {
                    Probed::Down(answer.refusal(account, format!("status-{state}")))
                }
                _ => Probed::Unknown,
            },
            (200, Subject::Numbers(_), _) if fields.has_list("incoming_phone_numbers") => Probed::Up,
            // It may send all the same: these credentials are not for reading.
            (403, _, Some(TEST_CREDENTIALS)) | (401 | 403, Subject::Numbers(_), Some(NOT_AUTHORIZED)) => {
                Probed::Unknown
            }
            (401 | 403, _, _) => Probed::Down(answer.refusal(account, shown_code(answer, &fields))),
            (500..=599, _, _) => Probed::Down(answer.refusal(Class::Transient, shown_code(answer, &fields))),
            _ => Probed::Unknown,
        }
    }

    fn proves(&self) -> &'static [Proof] {
        match self.probe {
            Subject::Account(_) => &[Proof::Reachable, Proof::Credential, Proof::Account],
            Subject::Numbers(_) => &[Proof::Reachable, Proof::Credential],
        }
    }

    fn label(&self) -> &'static str {
        "twilio"
    }
}

/// Whether a text is a Twilio SID of a kind: two letters and 32 hexadecimal digits.
fn is_sid(text: &str, kind: &str) -> bool {
    text.strip_prefix(kind).is_some_and(|rest| rest.len() == 32 && rest.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// The code of an error, or the one that a resource carries; zero is none.
fn code(fields: &Fields) -> Option<u32> {
    ["code", "error_code"].into_iter().find_map(|name| fields.number(name).filter(|code| *code != 0))
}

/// What is shown for a code: Twilio's own, even one that is no number, else the status.
fn shown_code(answer: &ProviderAnswer, fields: &Fields) -> String {
    let own = fields.text("code").filter(|code| code != "0").and_then(|code| answer::code(&code));
    own.unwrap_or_else(|| answer.status_code())
}

/// What a code says of the message. Who stopped waiting for Twilio does not know Twilio's reasons, so a status that leaves
/// the message open outweighs a code that says no more than that something went wrong.
fn refused(answer: &ProviderAnswer, fields: &Fields, code: u32) -> Outcome {
    let class = codes::class(code).unwrap_or_else(|| class_of_unlisted(error_status(answer, fields)));
    let says_little = matches!(class, Class::Transient | Class::Unknown);
    if codes::leaves_open(code) || (says_little && answer::leaves_open(answer.status)) {
        return Outcome::Ambiguous { cause: "unknown" };
    }
    Outcome::Refused(answer.refusal(class, code.to_string()))
}

/// The error status of an answer: its own, or for a refusal inside a 200 the one that the body repeats.
fn error_status(answer: &ProviderAnswer, fields: &Fields) -> u16 {
    let repeated = fields.number("status").and_then(|status| u16::try_from(status).ok());
    repeated.filter(|_| answer.is_success()).unwrap_or(answer.status)
}

/// The class of a code that is not in the table. With 403 Twilio refuses accounts, countries and numbers alike.
fn class_of_unlisted(status: u16) -> Class {
    match status {
        403 => Class::Unknown,
        _ => class_by_status(status).unwrap_or(Class::Unknown),
    }
}
