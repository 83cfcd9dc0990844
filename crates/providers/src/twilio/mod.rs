//! Twilio: Programmable Messaging for SMS and Programmable Voice for calls, or Verify for both.
//!
//! Facts from Twilio's API descriptions 2010-04-01 and Verify v2. There is no idempotency key, so the dispatcher never repeats a
//! request whose outcome is unclear to the same account.

mod codes;
mod programmable;
#[cfg(test)]
mod tests;
mod verify;

use ::http::{Method, header};
use base64::{Engine, prelude::BASE64_STANDARD};
use url::Url;
use zeroize::Zeroize;

use super::{
    Adapter, Class, Credential, InvalidProvider, Message, Outcome, Probe, Probed, Proof, ProviderAnswer, Refusal,
    Scope,
    answer::{self, Fields, class_by_status},
    codes::Says,
    request_url,
};
pub(super) use codes::CODES;
use hookswitch_gateway_config::{document::Sender, twilio::TwilioOptions};
use hookswitch_message::Secret;
use hookswitch_request::Request;
use programmable::Programmable;
use verify::Verify;

/// Twilio's answer to most requests that are made with test credentials, the probe's among them.
const TEST_CREDENTIALS: u32 = 20_008;
/// Twilio's answer to an API key that is not allowed to do this one thing, among other reasons.
const NOT_AUTHORIZED: u32 = 70_051;
/// Twilio's answer about a resource that is not there.
const NOT_FOUND: u32 = 20_404;
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
    // of a verification
    "pending",
    "approved",
];
/// What a resource says of itself when nothing comes of it.
const OVER: &[&str] = &["failed", "undelivered", "canceled", "deleted", "expired", "max_attempts_reached"];

/// What an account is called with.
pub(super) struct AccountCredential<'a> {
    /// The account, which is in every path of messages and calls.
    pub(super) account_sid: &'a str,
    /// The API key that stands in for the account in the header.
    pub(super) api_key_sid: Option<&'a str>,
    /// The auth token, or the API key's secret.
    pub(super) secret: &'a Secret<String>,
}

/// A `TelephonyProvider` with a `twilio` block.
pub(super) struct Twilio {
    authorization: Secret<String>,
    product: Product,
}

/// Which of Twilio's products sends.
enum Product {
    Programmable(Programmable),
    Verify(Verify),
}

/// A request's form.
type Form<'a> = Vec<(&'static str, &'a str)>;

impl Twilio {
    pub(super) fn new(
        credential: &AccountCredential<'_>,
        base_url: &str,
        senders: &[Sender],
        options: &TwilioOptions,
    ) -> Result<Self, InvalidProvider> {
        let AccountCredential { account_sid, api_key_sid, secret } = *credential;
        if !is_sid(account_sid, "AC") {
            return Err(InvalidProvider::AccountSid);
        }
        if api_key_sid.is_some_and(|sid| !is_sid(sid, "SK")) {
            return Err(InvalidProvider::ApiKeySid);
        }
        if secret.expose().is_empty() || !secret.expose().bytes().all(|b| b.is_ascii_graphic()) {
            return Err(InvalidProvider::Credential);
        }
        let base = request_url(base_url)?;
        let product = match &options.verify {
            Some(service) => Product::Verify(Verify::new(&base, service, options)?),
            None => Product::Programmable(Programmable::new(&base, credential, senders, options)?),
        };
        let mut pair = format!("{}:{}", api_key_sid.unwrap_or(account_sid), secret.expose());
        let authorization = Secret::new(format!("Basic {}", BASE64_STANDARD.encode(&pair)));
        pair.zeroize();
        Ok(Self { authorization, product })
    }

    fn post(&self, url: &Url, form: &Form<'_>) -> Request {
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
    fn request(&self, message: &Message, _: Option<&Credential>) -> Result<Request, Refusal> {
        let post = |url: &Url, form: &Form<'_>| self.post(url, form);
        match &self.product {
            Product::Programmable(programmable) => programmable.request(message, post),
            Product::Verify(verify) => verify.request(message, post),
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
            (true, Some(state), _) if OVER.contains(&state) => {
                Outcome::Refused(answer.refusal(Class::Transient, format!("status-{state}")))
            }
            (true, _, Some(id)) => Outcome::Accepted { id },
            (true, _, None) => Outcome::Ambiguous { cause: "garbage" },
        }
    }

    fn probe(&self, _: Option<&Credential>) -> Probe {
        let url = match &self.product {
            Product::Programmable(programmable) => programmable.probe(),
            Product::Verify(verify) => verify.probe(),
        };
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
        let account = |code| Probed::Down(answer.refusal(Class::PermanentConfig(Scope::Account), code));
        let may_be_restricted = match &self.product {
            Product::Programmable(programmable) => programmable.is_asked_with_a_key(),
            Product::Verify(_) => true,
        };
        match (answer.status, code(&fields)) {
            (200, _) => {
                let shown = match &self.product {
                    Product::Programmable(programmable) => programmable.probed(&fields),
                    Product::Verify(verify) => verify.probed(&fields),
                };
                match shown {
                    Shown::Works => Probed::Up,
                    Shown::Nothing => Probed::Unknown,
                    Shown::Broken(code) => account(code),
                }
            }
            // It may send all the same: these credentials are not for reading.
            (403, Some(TEST_CREDENTIALS)) => Probed::Unknown,
            (401 | 403, Some(NOT_AUTHORIZED)) if may_be_restricted => Probed::Unknown,
            (401 | 403, _) => account(shown_code(answer, &fields)),
            (404, Some(NOT_FOUND)) if matches!(self.product, Product::Verify(_)) => {
                account(shown_code(answer, &fields))
            }
            (500..=599, _) => Probed::Down(answer.refusal(Class::Transient, shown_code(answer, &fields))),
            _ => Probed::Unknown,
        }
    }

    fn proves(&self) -> &'static [Proof] {
        match &self.product {
            Product::Programmable(programmable) if programmable.is_asked_with_a_key() => {
                &[Proof::Reachable, Proof::Credential]
            }
            Product::Programmable(_) => &[Proof::Reachable, Proof::Credential, Proof::Account],
            Product::Verify(_) => &[Proof::Reachable, Proof::Credential, Proof::Service],
        }
    }

    fn needs_sender(&self) -> bool {
        matches!(self.product, Product::Programmable(_))
    }

    fn label(&self) -> &'static str {
        "twilio"
    }
}

/// What the answer to a probe that was carried out shows.
enum Shown {
    Works,
    Nothing,
    /// Why not.
    Broken(String),
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
    let says = CODES.number(code).unwrap_or_else(|| Says::Refused(class_of_unlisted(error_status(answer, fields))));
    match says {
        Says::Refused(Class::Transient | Class::Unknown) if answer::leaves_open(answer.status) => {
            Outcome::Ambiguous { cause: "unknown" }
        }
        Says::Refused(class) => Outcome::Refused(answer.refusal(class, code.to_string())),
        Says::Unclear => Outcome::Ambiguous { cause: "unknown" },
    }
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
