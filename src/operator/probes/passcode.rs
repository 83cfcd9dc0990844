//! A whole passcode as Okta sends it, for a number that was given for that, and what an answer to it says. Pure.
//!
//! Nothing marks it as a probe: whoever serves the URL is to do with it what it does with Okta's own.

use std::{fmt, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use hookswitch_message::{Channel, E164};

/// How long Okta's passcodes are good.
const GOOD_FOR: Duration = Duration::from_mins(5);

/// Random bytes that one is made of.
pub type Random = [u8; 36];

/// The body of a call. `Debug` shows nothing of it: it has a number and a code.
pub struct Passcode(Value);

impl fmt::Debug for Passcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl Passcode {
    /// A passcode for this number, sent at that time. `source` is where Okta has the hook.
    #[must_use]
    pub fn new(number: &E164, channel: Channel, source: &str, at: Timestamp, random: Random) -> Self {
        let (event, rest) = random.split_at(16);
        let (request, draw) = rest.split_at(16);
        let draw = draw.iter().fold(0_u32, |draw, byte| draw << 8 | u32::from(*byte));
        let code = format!("{:06}", draw % 1_000_000);
        let channel = match channel {
            Channel::Sms => "SMS",
            Channel::Voice => "voice call",
        };
        let seconds = |at: Timestamp| format!("{}", at.strftime("%Y-%m-%dT%H:%M:%S.000Z"));
        Self(json!({
            "eventId": URL_SAFE_NO_PAD.encode(event),
            "eventTime": seconds(at),
            "eventType": "com.okta.telephony.provider",
            "eventTypeVersion": "1.0",
            "contentType": "application/json",
            "cloudEventVersion": "0.1",
            "source": source,
            "requestType": "com.okta.user.telephony.mfa-verification",
            "data": {
                "context": {"request": {
                    "id": format!("req{}", URL_SAFE_NO_PAD.encode(request)), "method": "POST",
                    "url": {"value": "/idp/idx/challenge"}, "ipAddress": "127.0.0.1",
                }},
                "userProfile": {
                    "firstName": "Hookswitch", "lastName": "Test", "login": "hookswitch-test", "userId": "hookswitch-test",
                },
                "messageProfile": {
                    "msgTemplate": format!("Your verification code is {code}."),
                    "phoneNumber": number.as_str(),
                    "otpExpires": seconds(at.checked_add(GOOD_FOR).unwrap_or(at)),
                    "deliveryChannel": channel,
                    "otpCode": code,
                    "locale": "EN-US",
                },
            },
        }))
    }

    /// The body: only for the place that sends it.
    #[must_use]
    pub const fn expose(&self) -> &Value {
        &self.0
    }
}

/// What an answer says became of a passcode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// It was taken: SUCCESSFUL or PENDING.
    Taken,
    /// It was not.
    NotTaken,
    /// Nothing that Okta understands.
    Nothing,
}

/// Reads an answer's body, which may begin with a mark of its byte order.
#[must_use]
pub fn said_in(body: &[u8]) -> Said {
    said(&serde_json::from_slice(body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)).unwrap_or_default())
}

/// Reads an answer in the shape that Okta documents. What is null is absent, and what Okta does not read does not count.
#[must_use]
pub fn said(answer: &Value) -> Said {
    let failed = answer.get("error").is_some_and(|error| !error.is_null());
    let commands = answer.get("commands").and_then(Value::as_array).filter(|_| !failed);
    let of_okta = |command: &&Value| command["type"] == "com.okta.telephony.action";
    let command = commands.and_then(|commands| commands.iter().find(of_okta));
    match command.and_then(|command| command.pointer("/value/0/status")?.as_str()) {
        Some("SUCCESSFUL" | "PENDING") => Said::Taken,
        Some("FAILED") => Said::NotTaken,
        _ => Said::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number() -> E164 {
        "+12025550199".parse().unwrap()
    }

    fn passcode(channel: Channel, random: Random) -> Passcode {
        Passcode::new(
            &number(),
            channel,
            "https://acme.okta.com/api/v1/inlineHooks/cal1",
            Timestamp::UNIX_EPOCH,
            random,
        )
    }

    #[test]
    fn a_passcode_is_whole_as_okta_sends_it_and_every_one_is_another() {
        let (one, other) = (passcode(Channel::Sms, [7; 36]), passcode(Channel::Voice, [8; 36]));
        let body = one.expose();
        let profile = &body["data"]["messageProfile"];
        let code = profile["otpCode"].as_str().unwrap();
        assert!(code.len() == 6 && code.bytes().all(|digit| digit.is_ascii_digit()), "{code}");
        assert_eq!(profile["msgTemplate"], format!("Your verification code is {code}."));
        assert_eq!((&profile["phoneNumber"], &profile["deliveryChannel"]), (&json!("+12025550199"), &json!("SMS")));
        assert_eq!(
            (&body["eventTime"], &profile["otpExpires"]),
            (&json!("1970-01-01T00:00:00.000Z"), &json!("1970-01-01T00:05:00.000Z"))
        );
        assert_eq!(other.expose()["data"]["messageProfile"]["deliveryChannel"], "voice call");
        for field in ["/eventId", "/data/messageProfile/otpCode", "/data/context/request/id"] {
            assert_ne!(body.pointer(field), other.expose().pointer(field), "{field}");
        }
        let event = body["eventId"].as_str().unwrap();
        assert!(event.len() == 22 && !event.contains('.'), "no marker of ours: {event}");
    }

    #[test]
    fn nothing_of_it_shows_in_debug_output() {
        assert_eq!(format!("{:?}", passcode(Channel::Sms, [7; 36])), "[secret]");
    }

    #[test]
    fn answers_of_other_peoples_hooks_are_read_as_okta_would() {
        let cases: Vec<Value> = serde_json::from_str(include_str!("testdata/okta_answers.json")).unwrap();
        for case in cases {
            let expected = match case["said"].as_str().unwrap() {
                "taken" => Said::Taken,
                "not taken" => Said::NotTaken,
                "nothing" => Said::Nothing,
                other => panic!("{other}"),
            };
            assert_eq!(said(&case["body"]), expected, "{}", case["name"]);
        }
    }

    #[test]
    fn a_mark_of_the_byte_order_before_the_answer_is_no_part_of_it() {
        let answer = br#"{"commands":[{"type":"com.okta.telephony.action","value":[{"status":"SUCCESSFUL"}]}]}"#;
        assert_eq!(said_in(&[&b"\xef\xbb\xbf"[..], answer].concat()), Said::Taken);
        assert_eq!((said_in(answer), said_in(b""), said_in(b"<html>")), (Said::Taken, Said::Nothing, Said::Nothing));
    }

    #[test]
    fn only_oktas_documented_shape_says_that_it_was_taken() {
        let answer =
            |status: &str| json!({"commands": [{"type": "com.okta.telephony.action", "value": [{"status": status}]}]});
        let with_error = {
            let mut answer = answer("SUCCESSFUL");
            answer["error"] = json!({"errorSummary": "no"});
            answer
        };
        let untyped = json!({"commands": [{"value": [{"status": "SUCCESSFUL"}]}]});
        let bare = json!({"commands": [{"type": "com.okta.telephony.action", "value": {"status": "SUCCESSFUL"}}]});
        for (answer, expected) in [
            (answer("SUCCESSFUL"), Said::Taken),
            (answer("PENDING"), Said::Taken),
            (answer("FAILED"), Said::NotTaken),
            (answer("SUCCESS"), Said::Nothing),
            (with_error, Said::Nothing),
            (untyped, Said::Nothing),
            (bare, Said::Nothing),
            (json!({}), Said::Nothing),
            (json!(null), Said::Nothing),
            (json!("SUCCESSFUL"), Said::Nothing),
        ] {
            assert_eq!(said(&answer), expected, "{answer}");
        }
    }
}
