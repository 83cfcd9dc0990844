//! Okta's hook call in, Okta's answer out. Pure.
//!
//! Reading is lenient, because Okta documents no field as required and writes some both as text and as number; what the
//! gateway cannot do without is refused. Writing is exact: Okta sends the message itself when the answer is out of shape.

use std::{borrow::Cow, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use hookswitch_gateway_config::probe;
use hookswitch_message::{Channel, EventId, RequestType, Secret};

/// The longest text that providers take.
const MAX_TEXT: usize = 1_600;
/// The longest passcode that is believed; Okta's are 5 or 6 digits.
const MAX_CODE: usize = 64;
/// The longest phone number, with separators.
const MAX_NUMBER: usize = 64;
/// The longest name of a person; Okta's ids have 20 characters, its logins at most 100.
const MAX_NAME: usize = 256;
/// The longest request of Okta's that is kept to be given on; Okta's have some 1,500 bytes.
const MAX_ORIGINAL: usize = 8 * 1024;
/// The longest locale.
const MAX_LOCALE: usize = 35;
/// The provider that Okta is given when our own rules sent nothing.
pub const BLOCKED: &str = "HOOKSWITCH-BLOCKED";

/// What one call asks for.
#[derive(Debug)]
pub struct Call {
    /// Okta's id of the call; `None` when it is missing or out of shape, and the call cannot be deduplicated then.
    pub event_id: Option<EventId>,
    /// The number as Okta wrote it.
    pub number: Secret<String>,
    /// The passcode.
    pub code: Secret<String>,
    /// The SMS text that Okta rendered; `None` when there is none.
    pub text: Option<Secret<String>>,
    /// The way to the handset.
    pub channel: Channel,
    /// The flow, when it is one that Okta has documented.
    pub request_type: Option<RequestType>,
    /// The user's language.
    pub locale: Option<String>,
    /// When the passcode expires.
    pub expires: Option<jiff::Timestamp>,
    /// When Okta made the call, by Okta's own clock.
    pub made: Option<jiff::Timestamp>,
    /// The inline hook's id, the last part of `source`.
    pub okta_id: Option<String>,
    /// Who it is for, by what Okta calls them; `None` when it does not say.
    pub person: Option<Secret<String>>,
    /// Whether an administrator tries the hook out in Okta's console. Nothing but Okta's word for it.
    pub is_preview: bool,
    /// Okta's own request, where it was to be kept and is not too long.
    pub original: Option<Arc<Secret<Vec<u8>>>>,
}

/// A body that cannot be acted on. Never holds any of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct UnusableCall {
    /// Why.
    pub reason: UnreadableCall,
    /// See [`Call::is_preview`].
    pub is_preview: bool,
}

/// Why a body cannot be acted on. Never holds any of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnreadableCall {
    /// Not JSON, or not in Okta's shape.
    #[error("the body is not a telephony hook call")]
    Shape,
    /// No usable number.
    #[error("phoneNumber is missing or too long")]
    Number,
    /// No usable passcode.
    #[error("otpCode is missing, too long or not printable")]
    Code,
    /// A channel that is neither SMS nor voice.
    #[error("deliveryChannel is neither SMS nor voice")]
    Channel,
    /// A text that no provider takes.
    #[error("msgTemplate is too long")]
    Text,
}

impl UnreadableCall {
    /// The value of the metric label `reason`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Shape => "shape",
            Self::Number => "number",
            Self::Code => "code",
            Self::Channel => "channel",
            Self::Text => "text",
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    #[serde(default, deserialize_with = "lenient")]
    event_id: Option<Secret<String>>,
    #[serde(default, deserialize_with = "lenient")]
    event_time: Option<Secret<String>>,
    #[serde(default, deserialize_with = "lenient")]
    source: Option<Secret<String>>,
    #[serde(default, deserialize_with = "lenient")]
    request_type: Option<Secret<String>>,
    #[serde(borrow)]
    data: Data<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data<'a> {
    /// Large, and a field or two of it are wanted: it is looked into only for these.
    #[serde(borrow, default)]
    context: Option<&'a RawValue>,
    #[serde(borrow, default)]
    user_profile: Option<&'a RawValue>,
    message_profile: MessageProfile,
}

/// How Okta itself was asked to call the hook.
#[derive(Deserialize)]
struct Context<'a> {
    #[serde(borrow)]
    request: Asked<'a>,
}

#[derive(Deserialize)]
struct Asked<'a> {
    #[serde(borrow)]
    url: Path<'a>,
}

#[derive(Deserialize)]
struct Path<'a> {
    #[serde(borrow)]
    value: Cow<'a, str>,
}

/// What Okta calls a person.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Person {
    #[serde(default, deserialize_with = "lenient")]
    user_id: Option<Secret<String>>,
    #[serde(default, deserialize_with = "lenient")]
    login: Option<Secret<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MessageProfile {
    #[serde(default, deserialize_with = "lenient")]
    msg_template: Option<Secret<String>>,
    #[serde(default, deserialize_with = "lenient")]
    phone_number: Option<Secret<String>>,
    #[serde(default, deserialize_with = "lenient")]
    otp_expires: Option<Secret<String>>,
    #[serde(default, deserialize_with = "lenient")]
    delivery_channel: Option<Secret<String>>,
    #[serde(default, deserialize_with = "lenient")]
    otp_code: Option<Secret<String>>,
    #[serde(default, deserialize_with = "lenient")]
    locale: Option<Secret<String>>,
}

impl Data<'_> {
    /// The path by which Okta itself was asked to call the hook; anything else counts as absent.
    fn requested_at(&self) -> Option<Cow<'_, str>> {
        serde_json::from_str::<Context<'_>>(self.context?.get()).ok().map(|context| context.request.url.value)
    }

    /// Okta's id of the person, or the login; anything else counts as absent.
    fn person(&self) -> Option<Secret<String>> {
        let person: Person = serde_json::from_str(self.user_profile?.get()).ok()?;
        let named = |name: &Secret<String>| (1..=MAX_NAME).contains(&name.expose().len());
        let [id, login] = [person.user_id, person.login].map(|name| name.map(trimmed).filter(named));
        id.or(login)
    }
}

/// A text, or a whole number as text; anything else counts as absent, so that one odd field does not lose a message.
fn lenient<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret<String>>, D::Error> {
    Ok(match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::String(text) => Some(Secret::new(text)),
        serde_json::Value::Number(number) if number.is_u64() => Some(Secret::new(number.to_string())),
        _ => None,
    })
}

impl Call {
    /// Reads the body of a call.
    ///
    /// # Errors
    ///
    /// [`UnusableCall`]; Okta is answered FAILED then.
    pub fn read(body: &[u8]) -> Result<Self, UnusableCall> {
        let refused = |is_preview| move |reason| UnusableCall { reason, is_preview };
        let body: Body<'_> = serde_json::from_slice(body).map_err(|_| refused(false)(UnreadableCall::Shape))?;
        let source = body.source.as_ref().map(|source| source.expose().as_str());
        let requested_at = body.data.requested_at();
        let is_preview = [source, requested_at.as_deref()].into_iter().flatten().any(is_preview);
        Self::of(body, is_preview).map_err(refused(is_preview))
    }

    /// The call with the body that it was read from, for a provider that is given just that.
    #[must_use]
    pub fn with_original(self, body: &[u8]) -> Self {
        let original = (body.len() <= MAX_ORIGINAL).then(|| Arc::new(Secret::new(body.to_vec())));
        Self { original, ..self }
    }

    fn of(body: Body<'_>, is_preview: bool) -> Result<Self, UnreadableCall> {
        let person = body.data.person();
        let profile = body.data.message_profile;
        let source = body.source.as_ref().map(|source| source.expose().as_str());
        let channel = profile.delivery_channel.as_ref().and_then(|name| channel(name.expose()));
        let number = profile.phone_number.filter(|number| (1..=MAX_NUMBER).contains(&number.expose().trim().len()));
        let code = profile.otp_code.map(trimmed).filter(|code| {
            (1..=MAX_CODE).contains(&code.expose().len()) && code.expose().bytes().all(|b| b.is_ascii_graphic())
        });
        // What is spoken is made from the passcode: Okta's text is for reading.
        let is_read = channel != Some(Channel::Voice);
        let text = profile.msg_template.filter(|text| is_read && !text.expose().trim().is_empty());
        if text.as_ref().is_some_and(|text| text.expose().chars().count() > MAX_TEXT) {
            return Err(UnreadableCall::Text);
        }
        Ok(Self {
            channel: channel.ok_or(UnreadableCall::Channel)?,
            number: number.ok_or(UnreadableCall::Number)?,
            code: code.ok_or(UnreadableCall::Code)?,
            text,
            event_id: body.event_id.and_then(|id| id.expose().trim().parse().ok()),
            request_type: body.request_type.and_then(|name| RequestType::from_okta(name.expose())),
            locale: profile.locale.and_then(|locale| language_tag(locale.expose().trim())),
            expires: profile.otp_expires.and_then(|time| time.expose().trim().parse().ok()),
            made: body.event_time.and_then(|time| time.expose().trim().parse().ok()),
            okta_id: source.filter(|_| !is_preview).and_then(hook_id),
            person,
            is_preview,
            original: None,
        })
    }
}

/// Okta and its partners spell the channel in several ways, so what matters is what the word contains.
fn channel(name: &str) -> Option<Channel> {
    let name = name.trim().to_ascii_lowercase();
    match name.as_str() {
        "sms" => Some(Channel::Sms),
        _ if name.contains("voice") || name.contains("call") => Some(Channel::Voice),
        _ => None,
    }
}

/// Whether Okta was asked by its console's Preview: that is where the path ends.
fn is_preview(path: &str) -> bool {
    path.trim_end_matches('/').rsplit('/').next() == Some("generatePreview")
}

fn trimmed(code: Secret<String>) -> Secret<String> {
    let text = code.expose().trim();
    if text.len() == code.expose().len() { code } else { Secret::new(text.to_owned()) }
}

fn language_tag(text: &str) -> Option<String> {
    let fits =
        (1..=MAX_LOCALE).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    fits.then(|| text.replace('_', "-"))
}

fn hook_id(source: &str) -> Option<String> {
    let id = source.rsplit('/').next()?;
    let fits = (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric());
    fits.then(|| id.to_owned())
}

/// What Okta is answered about what became of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Status {
    /// A provider took it, or nothing was to be sent.
    Successful,
    /// Unknown; Okta does not send it again.
    Pending,
    /// Nobody took it; Okta sends it itself when it can.
    Failed,
}

impl Status {
    /// As Okta spells it; also the value of the metric label `status`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Successful => "SUCCESSFUL",
            Self::Pending => "PENDING",
            Self::Failed => "FAILED",
        }
    }
}

/// The answer to one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookAnswer {
    /// What became of the message.
    pub status: Status,
    /// The provider that decided, or [`BLOCKED`]; shows in Okta's System Log.
    pub provider: Option<String>,
    /// The provider's id of the message.
    pub transaction_id: Option<String>,
    /// What an administrator wants to know, such as `attempts=2`; never anything of the message.
    pub metadata: Option<String>,
}

impl HookAnswer {
    /// A message that nobody took.
    #[must_use]
    pub const fn failed() -> Self {
        Self { status: Status::Failed, provider: None, transaction_id: None, metadata: None }
    }

    /// A message whose outcome is unknown.
    #[must_use]
    pub fn pending() -> Self {
        Self { status: Status::Pending, ..Self::failed() }
    }

    /// Whether no handset can have got anything by this answer: nobody took the message, or our rules let none out.
    #[must_use]
    pub fn left_nothing(&self) -> bool {
        self.status == Status::Failed || self.provider.as_deref() == Some(BLOCKED)
    }

    /// A message that our rules do not let out: Okta must not send it either, so Okta is answered that it was sent.
    #[must_use]
    pub fn blocked() -> Self {
        Self { status: Status::Successful, provider: Some(BLOCKED.to_owned()), ..Self::failed() }
    }

    /// A probe, with the proof of who answers it; without one when its marker is too old or was used before.
    #[must_use]
    pub fn probed(proof: Option<String>) -> Self {
        let status = if proof.is_some() { Status::Successful } else { Status::Failed };
        Self { status, provider: Some(probe::PROVIDER.to_owned()), transaction_id: proof, metadata: None }
    }

    /// The body of the HTTP answer.
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        let action = Action {
            status: self.status,
            provider: self.provider.as_deref(),
            transaction_id: self.transaction_id.as_deref(),
            transaction_metadata: self.metadata.as_deref(),
        };
        let answer = Answer { commands: [Command { kind: "com.okta.telephony.action", value: [action] }] };
        // texts and nothing else: there is nothing that JSON cannot hold
        serde_json::to_vec(&answer).unwrap_or_default()
    }
}

#[derive(Serialize)]
struct Answer<'a> {
    commands: [Command<'a>; 1],
}

#[derive(Serialize)]
struct Command<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    value: [Action<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Action<'a> {
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transaction_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transaction_metadata: Option<&'a str>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::testing::sms;

    fn sample() -> serde_json::Value {
        let mut body = sms("uS5871kJThSsU8qlA1LTcg");
        body["data"]["messageProfile"]["otpExpires"] = json!("2026-01-28T21:48:34.321Z");
        body["eventTime"] = json!("2026-01-28T21:43:40.000Z");
        body
    }

    fn with(pointer: &str, value: serde_json::Value) -> Result<Call, UnusableCall> {
        let mut body = sample();
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        body.pointer_mut(parent).unwrap().as_object_mut().unwrap().insert(field.into(), value);
        Call::read(body.to_string().as_bytes())
    }

    #[test]
    fn a_call_in_oktas_shape_is_read_whole() {
        let call = Call::read(sample().to_string().as_bytes()).unwrap();
        assert_eq!(call.event_id.unwrap().as_str(), "uS5871kJThSsU8qlA1LTcg");
        assert_eq!(call.number.expose(), "+46701740605");
        assert_eq!(call.code.expose(), "493817");
        assert_eq!(call.text.unwrap().expose(), "Your code is 493817");
        assert_eq!((call.channel, call.request_type), (Channel::Sms, Some(RequestType::MfaVerification)));
        assert_eq!(call.locale.as_deref(), Some("EN-US"));
        assert_eq!(call.okta_id.as_deref(), Some("calz6lVQA77AwFeEe0g3"));
        assert_eq!(call.expires, "2026-01-28T21:48:34.321Z".parse().ok());
        assert_eq!(call.made, "2026-01-28T21:43:40Z".parse().ok());
    }

    #[test]
    fn numbers_are_taken_for_texts_and_odd_optional_fields_for_absent_ones() {
        let call = with("/data/messageProfile/otpCode", json!(11111)).unwrap();
        assert_eq!(call.code.expose(), "11111");
        let call = with("/data/messageProfile/phoneNumber", json!(9_876_543_210_u64)).unwrap();
        assert_eq!(call.number.expose(), "9876543210");
        assert!(with("/data/messageProfile/locale", json!({"odd": 1})).unwrap().locale.is_none());
        assert!(with("/data/messageProfile/otpExpires", json!("soon")).unwrap().expires.is_none());
        assert!(with("/eventTime", json!({"odd": 1})).unwrap().made.is_none());
        assert!(with("/eventId", json!("with space")).unwrap().event_id.is_none());
        assert!(with("/requestType", json!("com.okta.user.telephony.new")).unwrap().request_type.is_none());
    }

    #[test]
    fn a_person_is_named_by_the_id_or_the_login_that_okta_gives() {
        for (profile, person) in [
            (json!({"userId": "00u1", "login": "a@example.com"}), Some("00u1")),
            (json!({"userId": 4711, "login": "a@example.com"}), Some("4711")),
            (json!({"userId": " ", "login": " a@example.com "}), Some("a@example.com")),
            (json!({"userId": 47.5, "login": "a@example.com"}), Some("a@example.com")),
            (json!({"userId": -1, "login": ["odd"]}), None),
            (json!({"userId": "0".repeat(MAX_NAME + 1), "login": "a@example.com"}), Some("a@example.com")),
            (json!({"userId": null}), None),
            (json!("a@example.com"), None),
            (json!(null), None),
        ] {
            let call = with("/data/userProfile", profile.clone()).unwrap();
            assert_eq!(call.person.as_ref().map(|person| person.expose().as_str()), person, "{profile}");
        }
    }

    #[test]
    fn a_preview_is_known_by_where_its_path_ends_and_belongs_to_no_hook() {
        let below = "https://acme.okta.com/api/internal/v1/inlineHooks";
        for (source, is_preview, hook) in [
            (format!("{below}/com.okta.telephony.provider/generatePreview"), true, None),
            (format!("{below}/com.okta.telephony.provider/generatePreview/"), true, None),
            ("generatePreview".to_owned(), true, None),
            (format!("{below}/generatePreview/calz6"), false, Some("calz6")),
            (format!("{below}/calz6"), false, Some("calz6")),
            (format!("{below}/{}", "c".repeat(64)), false, Some(&*"c".repeat(64))),
            (format!("{below}/{}", "c".repeat(65)), false, None),
            (format!("{below}/cal-6"), false, None),
            (format!("{below}/"), false, None),
        ] {
            let call = with("/source", json!(source)).unwrap();
            assert_eq!((call.is_preview, call.okta_id.as_deref()), (is_preview, hook), "{source}");
        }
        let path = json!({"request": {"url": {"value": "/api/internal/v1/inlineHooks/x/generatePreview"}}});
        assert!(with("/data/context", path).unwrap().is_preview);
    }

    #[test]
    fn white_space_around_a_passcode_is_no_part_of_it_and_a_locale_is_a_tag_or_nothing() {
        for (code, read) in [("11111", "11111"), (" 11111\n", "11111"), ("ab-12", "ab-12")] {
            assert_eq!(with("/data/messageProfile/otpCode", json!(code)).unwrap().code.expose(), read);
        }
        let (longest, longer) = ("x".repeat(MAX_LOCALE), "x".repeat(MAX_LOCALE + 1));
        for (locale, read) in [
            ("sv", Some("sv")),
            (" pt_BR ", Some("pt-BR")),
            (&longest, Some(&*longest)),
            (&longer, None),
            ("sv se", None),
            ("", None),
        ] {
            let call = with("/data/messageProfile/locale", json!(locale)).unwrap();
            assert_eq!(call.locale.as_deref(), read, "{locale:?}");
        }
    }

    #[test]
    fn a_text_is_for_reading_and_a_blank_one_is_none() {
        for (channel, text, read) in [
            ("SMS", "Your code is 11111", Some("Your code is 11111")),
            ("SMS", " \n", None),
            ("CALL", "Your code is 11111", None),
            ("CALL", &"x".repeat(MAX_TEXT + 1), None),
        ] {
            let mut body = sample();
            let profile = &mut body["data"]["messageProfile"];
            (profile["deliveryChannel"], profile["msgTemplate"]) = (json!(channel), json!(text));
            let call = Call::read(body.to_string().as_bytes()).unwrap();
            assert_eq!(call.text.as_ref().map(|text| text.expose().as_str()), read, "{channel}");
        }
    }

    #[test]
    fn what_is_as_long_as_it_may_be_is_read() {
        let long =
            |field: &str, length: usize| with(&format!("/data/messageProfile/{field}"), json!("1".repeat(length)));
        for (field, most, beyond) in [
            ("msgTemplate", MAX_TEXT, UnreadableCall::Text),
            ("phoneNumber", MAX_NUMBER, UnreadableCall::Number),
            ("otpCode", MAX_CODE, UnreadableCall::Code),
        ] {
            assert!(long(field, most).is_ok(), "{field}");
            assert_eq!(long(field, most + 1).unwrap_err().reason, beyond, "{field}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_counted_by_the_reason_that_the_docs_list() {
        let labels = [
            UnreadableCall::Shape,
            UnreadableCall::Number,
            UnreadableCall::Code,
            UnreadableCall::Channel,
            UnreadableCall::Text,
        ];
        assert_eq!(labels.map(UnreadableCall::label), ["shape", "number", "code", "channel", "text"]);
    }

    #[test]
    fn every_known_spelling_of_the_channel_is_understood() {
        for (spelling, expected) in [
            ("SMS", Some(Channel::Sms)),
            (" sms ", Some(Channel::Sms)),
            ("voice call", Some(Channel::Voice)),
            ("Voice", Some(Channel::Voice)),
            ("CALL", Some(Channel::Voice)),
            ("VOICE CALL", Some(Channel::Voice)),
            ("email", None),
            ("", None),
        ] {
            assert_eq!(channel(spelling), expected, "{spelling:?}");
        }
    }

    #[test]
    fn what_cannot_be_acted_on_is_refused_with_its_reason() {
        let profile = "/data/messageProfile/";
        for (field, value, reason) in [
            ("deliveryChannel", json!("email"), UnreadableCall::Channel),
            ("deliveryChannel", json!(null), UnreadableCall::Channel),
            ("phoneNumber", json!(""), UnreadableCall::Number),
            ("phoneNumber", json!("+".repeat(65)), UnreadableCall::Number),
            ("phoneNumber", json!(["+46701740605"]), UnreadableCall::Number),
            ("otpCode", json!(null), UnreadableCall::Code),
            ("otpCode", json!("1\n2"), UnreadableCall::Code),
            ("otpCode", json!(1234.5), UnreadableCall::Code),
            ("otpCode", json!(-1234), UnreadableCall::Code),
            ("msgTemplate", json!("x".repeat(1_601)), UnreadableCall::Text),
        ] {
            assert_eq!(with(&format!("{profile}{field}"), value).unwrap_err().reason, reason, "{field}");
        }
        for body in ["", "{}", "[]", "null", "{\"data\":{}}", "{\"data\":{\"messageProfile\":1}}", "\u{0}"] {
            assert_eq!(Call::read(body.as_bytes()).unwrap_err().reason, UnreadableCall::Shape, "{body:?}");
        }
        let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(Call::read(deep.as_bytes()).unwrap_err().reason, UnreadableCall::Shape);
    }

    #[test]
    fn an_answer_has_exactly_oktas_shape() {
        let answer = HookAnswer {
            status: Status::Successful,
            provider: Some("twilio".into()),
            transaction_id: Some("SM1".into()),
            metadata: Some("attempts=1".into()),
        };
        let body: serde_json::Value = serde_json::from_slice(&answer.body()).unwrap();
        let value = json!({"status": "SUCCESSFUL", "provider": "twilio", "transactionId": "SM1", "transactionMetadata": "attempts=1"});
        assert_eq!(body, json!({"commands": [{"type": "com.okta.telephony.action", "value": [value]}]}));
        let body: serde_json::Value = serde_json::from_slice(&HookAnswer::failed().body()).unwrap();
        assert_eq!(body, json!({"commands": [{"type": "com.okta.telephony.action", "value": [{"status": "FAILED"}]}]}));
    }

    #[test]
    fn nothing_of_a_call_shows_in_debug_output() {
        let shown = format!("{:?}", Call::read(sample().to_string().as_bytes()).unwrap());
        assert!(!shown.contains("11111") && !shown.contains("701740605") && !shown.contains("example"), "{shown}");
    }

    proptest! {
        #[test]
        fn reading_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
            let _ = Call::read(&bytes);
        }
    }
}
