//! A Twilio account: Programmable Messaging and Voice of the 2010-04-01 API, and Verify v2, from
//! Twilio's published `OpenAPI` documents, its pages and its dictionary of error codes.
//!
//! Stricter than Twilio in one point: a parameter the document does not know is refused (20001),
//! where Twilio looks the other way. Parameters are checked in [`params`], TwiML is read in [`twiml`],
//! [`verify`] keeps verifications, and [`resources`] shows what there is.

mod params;
mod resources;
mod twiml;
mod verify;

use http::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::json;

use super::VerifyService;
use super::clock::{random_hex, twilio_time};
use super::exchange::{Answer, Request};
use super::inbox::Channel;
use super::phone::is_e164;
use super::provider::{Asked, Reading, Vendor};
use super::secret::{Secret, Tokens};
use params::{CALL, Form, MESSAGE, NUMBERS};
use verify::Verify;

/// The longest `Body`, in characters.
const MAX_BODY: usize = 1_600;
/// The longest `Twiml`, in characters.
const MAX_TWIML: usize = 4_000;

/// An account with its credentials and the numbers it owns.
pub(crate) struct TwilioAccount {
    sid: String,
    tokens: Tokens,
    api_keys: Vec<(String, Secret)>,
    senders: Vec<String>,
    verify: Verify,
    /// Whether Message Redaction is enabled, without which a message may not ask for it.
    redaction: bool,
    made: Timestamp,
}

/// Whom a request's credentials stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Caller {
    /// The account itself.
    Account,
    /// One of its standard API keys, which may do everything but look at accounts.
    ApiKey,
}

impl TwilioAccount {
    pub(crate) fn new(
        sid: String,
        token: Secret,
        api_keys: Vec<(String, Secret)>,
        senders: Vec<String>,
        services: Vec<VerifyService>,
        redaction: bool,
    ) -> Self {
        let verify = Verify::new(sid.clone(), services);
        Self { sid, tokens: Tokens::new(vec![token]), api_keys, senders, verify, redaction, made: Timestamp::now() }
    }

    fn caller(&self, request: &Request) -> Option<Caller> {
        use base64::Engine as _;
        let encoded = request.header("authorization")?.strip_prefix("Basic ")?;
        let decoded = base64::engine::general_purpose::STANDARD.decode(encoded).ok()?;
        let pair = String::from_utf8(decoded).ok()?;
        let (user, password) = pair.split_once(':')?;
        if user == self.sid && self.tokens.take(password) {
            return Some(Caller::Account);
        }
        self.api_keys.iter().any(|(sid, secret)| user == sid && secret.is(password)).then_some(Caller::ApiKey)
    }

    fn owns(&self, sender: &str) -> bool {
        self.senders.is_empty() || self.senders.iter().any(|own| own == sender)
    }

    fn form<'a>(request: &'a Request, known: &'static [params::Param]) -> Result<Form<'a>, Answer> {
        if request.media_type().as_deref() != Some("application/x-www-form-urlencoded") {
            return Err(error(415, 20415, "Unsupported Media Type"));
        }
        if !request.query.is_empty() {
            return Err(error(400, 20001, "Unknown parameters"));
        }
        params::read(&request.body, known, 20422)
    }

    fn destination(form: &Form) -> Result<String, Answer> {
        let to = form.get("To").ok_or_else(|| error(400, 21604, "A 'To' phone number is required."))?;
        if is_e164(to) {
            Ok(to.to_owned())
        } else {
            // The vendor repeats the number here; the sandbox does not.
            Err(error(400, 21211, "Invalid 'To' Phone Number"))
        }
    }

    fn message(&self, request: &Request) -> Result<Asked, Answer> {
        let form = Self::form(request, MESSAGE)?;
        let to = Self::destination(&form)?;
        let text = form.get("Body").unwrap_or_default();
        if text.is_empty() {
            return Err(error(400, 21602, "Message body is required."));
        }
        if text.chars().count() > MAX_BODY {
            return Err(error(400, 21617, "The concatenated message body exceeds the 1600 character limit"));
        }
        for (name, code) in [("ContentRetention", 30029), ("AddressRetention", 30030)] {
            if form.get(name).is_some() && !self.redaction {
                return Err(error(400, code, &format!("Invalid {name}")));
            }
        }
        let from = form.get("From");
        if let Some(from) = from {
            if !is_sms_sender(from) {
                return Err(error(400, 21212, "Invalid 'From' Phone Number"));
            }
            if !self.owns(from) {
                return Err(error(400, 21660, "Mismatch between the 'From' number and the account"));
            }
        } else if form.get("MessagingServiceSid").is_none() {
            return Err(error(400, 21603, "A 'From' phone number or a MessagingServiceSid is required."));
        }
        Ok(Asked {
            channel: Channel::Sms,
            to,
            from: from.map(str::to_owned),
            service: form.get("MessagingServiceSid").map(str::to_owned),
            text: text.to_owned(),
            said: 1,
            key: None,
        })
    }

    fn call(&self, request: &Request) -> Result<Asked, Answer> {
        let form = Self::form(request, CALL)?;
        let to = match form.get("To") {
            None => return Err(error(400, 21201, "No 'To' number is specified")),
            Some(_) => Self::destination(&form)?,
        };
        let from = form.get("From").ok_or_else(|| error(400, 21213, "'From' phone number is required"))?;
        if !is_e164(from) {
            return Err(error(400, 21212, "Invalid 'From' Phone Number"));
        }
        if !self.owns(from) {
            return Err(error(400, 21210, "'From' phone number is not verified for this account"));
        }
        let Some(document) = form.get("Twiml").filter(|twiml| !twiml.is_empty()) else {
            return Err(error(
                400,
                21205,
                "'Twiml' is required: the sandbox fetches no 'Url' and knows no application",
            ));
        };
        if document.chars().count() > MAX_TWIML {
            return Err(error(400, 21618, "'Twiml' is longer than 4000 characters"));
        }
        let speech =
            twiml::read(document).map_err(|wrong| error(400, 12100, &format!("Document parse failure: {wrong}")))?;
        Ok(Asked {
            channel: Channel::Voice,
            to,
            from: Some(from.to_owned()),
            service: None,
            text: speech.text,
            said: speech.times,
            key: None,
        })
    }
}

impl Vendor for TwilioAccount {
    fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    fn read(&self, request: &Request) -> Reading {
        let segments = request.segments();
        let rest = match segments.as_slice() {
            ["2010-04-01", "Accounts", rest @ ..] => rest,
            ["v2", "Services", rest @ ..] if self.caller(request).is_some() => return self.verify.read(rest, request),
            ["v2", "Services", ..] => return Reading::Refused(not_authenticated()),
            _ => return Reading::Refused(not_found()),
        };
        let Some(caller) = self.caller(request) else {
            return Reading::Refused(not_authenticated());
        };
        let own = format!("{}.json", self.sid);
        let (method, resource) = match rest {
            [account] if *account == own => (Method::GET, "account"),
            [sid, "IncomingPhoneNumbers.json"] if *sid == self.sid => (Method::GET, "numbers"),
            [sid, "Messages.json"] if *sid == self.sid => (Method::POST, "message"),
            [sid, "Calls.json"] if *sid == self.sid => (Method::POST, "call"),
            _ => return Reading::Refused(not_found()),
        };
        if request.method != method {
            return Reading::Refused(error(405, 20004, "Method not allowed"));
        }
        let asked = match resource {
            "account" if caller == Caller::ApiKey => Err(not_authenticated()),
            "account" if request.query.is_empty() => return Reading::Probe(self.account()),
            "account" => Err(error(400, 20001, "Unknown parameters")),
            "numbers" => match params::read(request.query.as_bytes(), NUMBERS, 20422) {
                Ok(query) => return Reading::Probe(self.numbers(&query)),
                Err(refused) => Err(refused),
            },
            "message" => self.message(request),
            _ => self.call(request),
        };
        asked.map_or_else(Reading::Refused, Reading::Send)
    }

    fn new_id(&self, asked: &Asked) -> String {
        if let Some(service) = verify::service(asked) {
            return self.verify.id(service, &asked.to, Timestamp::now());
        }
        let prefix = match asked.channel {
            Channel::Sms => "SM",
            Channel::Voice => "CA",
        };
        format!("{prefix}{}", random_hex(32))
    }

    fn accepted(&self, asked: &Asked, id: &str) -> Answer {
        let body = match asked.channel {
            _ if verify::service(asked).is_some() => self.verify.resource(asked, id, Timestamp::now()),
            Channel::Sms => self.message_resource(asked, id),
            Channel::Voice => self.call_resource(asked, id),
        };
        Answer::json(StatusCode::CREATED, &body)
    }

    fn refusal(&self, code: &str, status: Option<u16>, _class: Option<&str>, _scope: Option<&str>) -> Answer {
        let code: u32 = code.parse().unwrap_or(20500);
        let usual = match code {
            20003 | 70051 => 401,
            10001 | 20005 | 20006 | 20008 | 20403 | 60204 | 60205 | 60410 | 60605 => 403,
            20404 => 404,
            20409 => 409,
            20429 | 60202 | 60203 | 60212 | 63038 => 429,
            20500 => 500,
            20503 => 503,
            _ => 400,
        };
        error(status.unwrap_or(usual), code, "Refused on demand")
    }

    fn unknown(&self) -> Answer {
        error(500, 20500, "Internal Server Error")
    }

    /// Twilio has no idempotency key: the same request again is a second message. A verification stays for a while.
    fn remember(&self, asked: &Asked, answer: &Answer) {
        if verify::service(asked).is_some() {
            self.verify.remember(asked, answer);
        }
    }
}

/// A long code or short code in digits, or up to eleven letters, digits, spaces, and `+`, `-`, `_`, `&` with a letter.
fn is_sms_sender(from: &str) -> bool {
    let is_short_code = (3..=8).contains(&from.len()) && from.bytes().all(|b| b.is_ascii_digit());
    let is_name = (1..=11).contains(&from.len())
        && from.bytes().all(|b| b.is_ascii_alphanumeric() || b" -_&+".contains(&b))
        && from.bytes().any(|b| b.is_ascii_alphabetic());
    is_e164(from) || is_short_code || is_name
}

fn not_authenticated() -> Answer {
    error(401, 20003, "Authenticate").with("www-authenticate", "Basic realm=\"Twilio API\"")
}

fn not_found() -> Answer {
    error(404, 20404, "The requested resource was not found")
}

/// Twilio's error shape.
fn error(status: u16, code: u32, message: &str) -> Answer {
    Answer::json(
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        &json!({
            "code": code,
            "message": message,
            "more_info": format!("https://www.twilio.com/docs/errors/{code}"),
            "status": status,
        }),
    )
}
