//! The form parameters of Twilio's requests, with their types, and a strict reader of forms.

use std::borrow::Cow;

use super::{Answer, error};

/// What a parameter's value must look like.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Text,
    Bool,
    Int {
        min: u64,
        max: u64,
    },
    Number,
    Uri,
    /// A URL that Twilio is to call; a host name with an underscore is none.
    Callback,
    /// A two-letter prefix and 32 hexadecimal digits.
    Sid(&'static str),
    OneOf(&'static [&'static str]),
}

/// A parameter: its name, its type, and whether it may be given several times.
pub(super) struct Param {
    name: &'static str,
    kind: Kind,
    many: bool,
}

const fn one(name: &'static str, kind: Kind) -> Param {
    Param { name, kind, many: false }
}

const fn many(name: &'static str, kind: Kind) -> Param {
    Param { name, kind, many: true }
}

const HTTP_METHOD: Kind = Kind::OneOf(&["GET", "POST"]);
const ANY_INT: Kind = Kind::Int { min: 0, max: u32::MAX as u64 };

/// `CreateMessageRequest`.
pub(super) const MESSAGE: &[Param] = &[
    one("To", Kind::Text),
    one("From", Kind::Text),
    one("Body", Kind::Text),
    one("MessagingServiceSid", Kind::Sid("MG")),
    one("FallbackFrom", Kind::Text),
    one("StatusCallback", Kind::Callback),
    one("ApplicationSid", Kind::Sid("AP")),
    one("MaxPrice", Kind::Number),
    one("ProvideFeedback", Kind::Bool),
    one("Attempt", ANY_INT),
    one("ValidityPeriod", Kind::Int { min: 1, max: 36_000 }),
    one("ForceDelivery", Kind::Bool),
    one("ContentRetention", Kind::OneOf(&["retain", "discard"])),
    one("AddressRetention", Kind::OneOf(&["retain", "obfuscate"])),
    one("SmartEncoded", Kind::Bool),
    many("PersistentAction", Kind::Text),
    one("TrafficType", Kind::OneOf(&["free"])),
    one("ShortenUrls", Kind::Bool),
    one("ScheduleType", Kind::OneOf(&["fixed"])),
    one("SendAt", Kind::Text),
    one("SendAsMms", Kind::Bool),
    one("ContentVariables", Kind::Text),
    one("RiskCheck", Kind::OneOf(&["enable", "disable"])),
    many("MediaUrl", Kind::Uri),
    one("ContentSid", Kind::Sid("HX")),
    one("Tags", Kind::Text),
];

/// `ListIncomingPhoneNumber`.
pub(super) const NUMBERS: &[Param] = &[
    one("PageSize", Kind::Int { min: 1, max: 1_000 }),
    one("Page", ANY_INT),
    one("PageToken", Kind::Text),
    one("PhoneNumber", Kind::Text),
    one("FriendlyName", Kind::Text),
    one("Beta", Kind::Bool),
    one("Origin", Kind::Text),
];

/// `CreateCallRequest`.
pub(super) const CALL: &[Param] = &[
    one("To", Kind::Text),
    one("From", Kind::Text),
    one("Twiml", Kind::Text),
    one("Url", Kind::Uri),
    one("ApplicationSid", Kind::Sid("AP")),
    one("Method", HTTP_METHOD),
    one("FallbackUrl", Kind::Uri),
    one("FallbackMethod", HTTP_METHOD),
    one("StatusCallback", Kind::Callback),
    many("StatusCallbackEvent", Kind::OneOf(&["initiated", "ringing", "answered", "completed"])),
    one("StatusCallbackMethod", HTTP_METHOD),
    one("SendDigits", Kind::Text),
    one("Timeout", Kind::Int { min: 1, max: 600 }),
    one("Record", Kind::Bool),
    one("RecordingChannels", Kind::OneOf(&["mono", "dual"])),
    one("RecordingStatusCallback", Kind::Uri),
    one("RecordingStatusCallbackMethod", HTTP_METHOD),
    many("RecordingStatusCallbackEvent", Kind::Text),
    one("RecordingTrack", Kind::OneOf(&["inbound", "outbound", "both"])),
    one("SipAuthUsername", Kind::Text),
    one("SipAuthPassword", Kind::Text),
    one("MachineDetection", Kind::OneOf(&["Enable", "DetectMessageEnd"])),
    one("MachineDetectionTimeout", ANY_INT),
    one("MachineDetectionSpeechThreshold", ANY_INT),
    one("MachineDetectionSpeechEndThreshold", ANY_INT),
    one("MachineDetectionSilenceTimeout", ANY_INT),
    one("Trim", Kind::OneOf(&["trim-silence", "do-not-trim"])),
    one("CallerId", Kind::Text),
    one("AsyncAmd", Kind::Bool),
    one("AsyncAmdStatusCallback", Kind::Uri),
    one("AsyncAmdStatusCallbackMethod", HTTP_METHOD),
    one("Byoc", Kind::Sid("BY")),
    one("CallReason", Kind::Text),
    one("CallToken", Kind::Text),
    one("TimeLimit", ANY_INT),
    one("ClientNotificationUrl", Kind::Uri),
];

/// `CreateVerificationRequest`.
pub(super) const VERIFICATION: &[Param] = &[
    one("To", Kind::Text),
    one("Channel", Kind::OneOf(&["sms", "call", "whatsapp", "email", "sna", "auto"])),
    one("CustomFriendlyName", Kind::Text),
    one("CustomMessage", Kind::Text),
    one("SendDigits", Kind::Text),
    one("Locale", Kind::Text),
    one("CustomCode", Kind::Text),
    one("Amount", Kind::Text),
    one("Payee", Kind::Text),
    one("RateLimits", Kind::Text),
    one("ChannelConfiguration", Kind::Text),
    one("AppHash", Kind::Text),
    one("TemplateSid", Kind::Sid("HJ")),
    one("TemplateCustomSubstitutions", Kind::Text),
    one("DeviceIp", Kind::Text),
    one("EnableSnaClientToken", Kind::Bool),
    one("RiskCheck", Kind::OneOf(&["enable", "disable"])),
    one("Tags", Kind::Text),
];

/// A form whose every parameter is known and of its type.
pub(super) struct Form<'a> {
    pairs: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl Form<'_> {
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_ref())
    }
}

/// Reads a form strictly: an unknown parameter is 20001, an ill-typed or repeated one `ill_typed`, or the code of its own.
pub(super) fn read<'a>(body: &'a [u8], known: &'static [Param], ill_typed: u32) -> Result<Form<'a>, Answer> {
    if std::str::from_utf8(body).is_err() {
        return Err(error(400, ill_typed, "The body is not text"));
    }
    let pairs: Vec<_> = form_urlencoded::parse(body).collect();
    for (at, (key, value)) in pairs.iter().enumerate() {
        let Some(param) = known.iter().find(|param| param.name == key) else {
            return Err(error(400, 20001, "Unknown parameters"));
        };
        let repeated = !param.many && pairs[..at].iter().any(|(before, _)| before == key);
        if repeated || !fits(param.kind, value) {
            let code = if matches!(param.kind, Kind::Callback) { 21609 } else { ill_typed };
            return Err(error(400, code, &format!("Invalid parameter: {}", param.name)));
        }
    }
    Ok(Form { pairs })
}

fn fits(kind: Kind, value: &str) -> bool {
    match kind {
        Kind::Text => true,
        Kind::Bool => matches!(value, "true" | "false"),
        Kind::Int { min, max } => value.parse().is_ok_and(|n: u64| (min..=max).contains(&n)),
        Kind::Number => value.parse().is_ok_and(|n: f64| n.is_finite()),
        Kind::Uri => url::Url::parse(value).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host()),
        Kind::Callback => {
            fits(Kind::Uri, value)
                && url::Url::parse(value).is_ok_and(|url| url.host_str().is_some_and(|host| !host.contains('_')))
        }
        Kind::Sid(prefix) => value
            .strip_prefix(prefix)
            .is_some_and(|rest| rest.len() == 32 && rest.bytes().all(|b| b.is_ascii_hexdigit())),
        Kind::OneOf(words) => words.contains(&value),
    }
}
