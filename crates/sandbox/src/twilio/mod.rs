//! A Twilio account: Programmable Messaging and Voice of the 2010-04-01 API, from Twilio's
//! published `OpenAPI` document and its dictionary of error codes.
//!
//! Stricter than Twilio in one point: a parameter the document does not know is refused (20001),
//! where Twilio looks the other way. Parameters are checked in [`params`], TwiML is read in [`twiml`].

mod params;
mod twiml;

use http::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::clock::{random_hex, twilio_time};
use super::exchange::{Answer, Request};
use super::inbox::Channel;
use super::phone::is_e164;
use super::provider::{Asked, Reading, Vendor};
use super::secret::{Secret, Tokens};
use params::{CALL, Form, MESSAGE, NUMBERS};

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
    pub(crate) fn new(sid: String, token: Secret, api_keys: Vec<(String, Secret)>, senders: Vec<String>) -> Self {
        Self { sid, tokens: Tokens::new(vec![token]), api_keys, senders, made: Timestamp::now() }
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
        params::read(&request.body, known)
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
        let ["2010-04-01", "Accounts", rest @ ..] = segments.as_slice() else {
            return Reading::Refused(not_found());
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
            "numbers" => match params::read(request.query.as_bytes(), NUMBERS) {
                Ok(query) => return Reading::Probe(self.numbers(&query)),
                Err(refused) => Err(refused),
            },
            "message" => self.message(request),
            _ => self.call(request),
        };
        asked.map_or_else(Reading::Refused, Reading::Send)
    }

    fn new_id(&self, asked: &Asked) -> String {
        let prefix = match asked.channel {
            Channel::Sms => "SM",
            Channel::Voice => "CA",
        };
        format!("{prefix}{}", random_hex(32))
    }

    fn accepted(&self, asked: &Asked, id: &str) -> Answer {
        let body = match asked.channel {
            Channel::Sms => self.message_resource(asked, id),
            Channel::Voice => self.call_resource(asked, id),
        };
        Answer::json(StatusCode::CREATED, &body)
    }

    fn refusal(&self, code: &str, status: Option<u16>, _class: Option<&str>, _scope: Option<&str>) -> Answer {
        let code: u32 = code.parse().unwrap_or(20500);
        let usual = match code {
            20003 | 70051 => 401,
            10001 | 20005 | 20006 | 20008 | 20403 | 60205 | 60410 | 60605 => 403,
            20404 => 404,
            20409 => 409,
            20429 | 60203 | 60212 | 63038 => 429,
            20500 => 500,
            20503 => 503,
            _ => 400,
        };
        error(status.unwrap_or(usual), code, "Refused on demand")
    }

    fn unknown(&self) -> Answer {
        error(500, 20500, "Internal Server Error")
    }

    fn remember(&self, _: &Asked, _: &Answer) {
        // Twilio has no idempotency key: the same request again is a second message.
    }
}

impl TwilioAccount {
    fn account(&self) -> Answer {
        let uri = format!("/2010-04-01/Accounts/{}", self.sid);
        Answer::json(
            StatusCode::OK,
            &json!({
                "sid": self.sid,
                "owner_account_sid": self.sid,
                "friendly_name": "Sandbox",
                "auth_token": "hidden",
                "status": "active",
                "type": "Full",
                "date_created": twilio_time(self.made),
                "date_updated": twilio_time(self.made),
                "uri": format!("{uri}.json"),
                "subresource_uris": {
                    "calls": format!("{uri}/Calls.json"),
                    "messages": format!("{uri}/Messages.json"),
                },
            }),
        )
    }

    fn numbers(&self, query: &Form) -> Answer {
        let size: usize = query.get("PageSize").and_then(|size| size.parse().ok()).unwrap_or(50);
        let uri = format!("/2010-04-01/Accounts/{}/IncomingPhoneNumbers.json", self.sid);
        let numbers: Vec<_> = self
            .senders
            .iter()
            .filter(|sender| is_e164(sender))
            .take(size)
            .map(|number| json!({"account_sid": self.sid, "phone_number": number, "friendly_name": number}))
            .collect();
        Answer::json(
            StatusCode::OK,
            &json!({
                "end": numbers.len().saturating_sub(1),
                "first_page_uri": format!("{uri}?PageSize={size}&Page=0"),
                "incoming_phone_numbers": numbers,
                "next_page_uri": null,
                "page": 0,
                "page_size": size,
                "previous_page_uri": null,
                "start": 0,
                "uri": format!("{uri}?PageSize={size}&Page=0"),
            }),
        )
    }

    fn message_resource(&self, asked: &Asked, id: &str) -> Value {
        let now = twilio_time(Timestamp::now());
        let uri = format!("/2010-04-01/Accounts/{}/Messages/{id}", self.sid);
        json!({
            "account_sid": self.sid,
            "api_version": "2010-04-01",
            "body": asked.text,
            "date_created": now,
            "date_sent": null,
            "date_updated": now,
            "direction": "outbound-api",
            "error_code": null,
            "error_message": null,
            "from": asked.from,
            "messaging_service_sid": asked.service,
            "num_media": "0",
            "num_segments": segments(&asked.text).to_string(),
            "price": null,
            "price_unit": null,
            "sid": id,
            "status": if asked.from.is_some() { "queued" } else { "accepted" },
            "subresource_uris": {"media": format!("{uri}/Media.json")},
            "to": asked.to,
            "uri": format!("{uri}.json"),
        })
    }

    fn call_resource(&self, asked: &Asked, id: &str) -> Value {
        let uri = format!("/2010-04-01/Accounts/{}/Calls/{id}", self.sid);
        json!({
            "account_sid": self.sid,
            "answered_by": null,
            "api_version": "2010-04-01",
            "caller_name": null,
            "date_created": null,
            "date_updated": null,
            "direction": "outbound-api",
            "duration": null,
            "end_time": null,
            "forwarded_from": null,
            "from": asked.from,
            "from_formatted": asked.from,
            "group_sid": null,
            "parent_call_sid": null,
            "phone_number_sid": format!("PN{}", random_hex(32)),
            "price": null,
            "price_unit": "USD",
            "queue_time": "0",
            "sid": id,
            "start_time": null,
            "status": "queued",
            "subresource_uris": {
                "events": format!("{uri}/Events.json"),
                "notifications": format!("{uri}/Notifications.json"),
                "recordings": format!("{uri}/Recordings.json"),
            },
            "to": asked.to,
            "to_formatted": asked.to,
            "trunk_sid": null,
            "uri": format!("{uri}.json"),
        })
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

/// Segments of a text: GSM-7 160 or 153 characters, else UCS-2 70 or 67. ASCII stands for GSM-7.
fn segments(text: &str) -> usize {
    let (units, one, each) =
        if text.is_ascii() { (text.len(), 160, 153) } else { (text.encode_utf16().count(), 70, 67) };
    if units <= one { 1 } else { units.div_ceil(each) }
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
