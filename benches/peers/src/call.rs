//! A call as Okta documents it, about 1 KB, each with an id, a number and a passcode of its own; and what must come back.

use std::sync::atomic::{AtomicU64, Ordering};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;

/// Where the hook is.
pub const PATH: &str = "/hooks/h";
/// The user and the password of the hook, which its header carries as basic authentication.
pub const CREDENTIALS: (&str, &str) = ("okta", "a-secret-of-the-bench");

const ID: &str = "ID-ID-ID-ID-ID-ID-ID-I";
const NUMBER: &str = "+46701NNNNNN";
const CODE: &str = "CCCCCC";
/// What the answer to a call that was sent says.
const SENT: &[u8] = b"\"SUCCESSFUL\"";

/// Calls made by this process.
static CALLS: AtomicU64 = AtomicU64::new(0);

/// The value of the hook's header.
pub fn secret() -> String {
    format!("Basic {}", STANDARD.encode(format!("{}:{}", CREDENTIALS.0, CREDENTIALS.1)))
}

/// The bytes of a request, and the places of what differs from call to call.
#[derive(Clone)]
pub struct Request {
    bytes: Vec<u8>,
    ids: Vec<usize>,
    numbers: Vec<usize>,
    codes: Vec<usize>,
}

impl Request {
    /// A request of now: its passcode is good for five minutes.
    pub fn new() -> Self {
        let now = jiff::Timestamp::now();
        let expires = now + jiff::SignedDuration::from_mins(5);
        let body = json!({
            "eventId": ID,
            "eventTime": format!("{now:.3}"),
            "eventType": "com.okta.telephony.provider",
            "eventTypeVersion": "1.0",
            "contentType": "application/json",
            "cloudEventVersion": "0.1",
            "source": "https://login.acme.example/api/v1/inlineHooks/calz6lVQA77AwFeEe0g3",
            "requestType": "com.okta.user.telephony.mfa-verification",
            "data": {
                "context": {"request": {
                    "id": "reqRgSk8IBBRhuo0YdlEDTmUw",
                    "method": "POST",
                    "url": {"value": "/api/v1/authn/factors/mbl198rKSEWOSKRIVIFT/verify?rememberDevice=false"},
                    "ipAddress": "198.51.100.17",
                }},
                "userProfile": {
                    "firstName": "Ada", "lastName": "Lovelace", "login": "ada.lovelace@acme.example",
                    "userId": "00uyxxSknGtK8022w0g3",
                },
                "messageProfile": {
                    "msgTemplate": format!("Your Acme verification code is {CODE}. It is good for 5 minutes; nobody of Acme will ever ask you for it."),
                    "phoneNumber": NUMBER,
                    "otpExpires": format!("{expires:.3}"),
                    "deliveryChannel": "SMS",
                    "otpCode": CODE,
                    "locale": "EN-US",
                },
            },
        })
        .to_string();
        let head = format!(
            "POST {PATH} HTTP/1.1\r\nhost: localhost\r\nauthorization: {}\r\naccept: application/json\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            secret(),
            body.len()
        );
        let text = head + &body;
        let places = |of: &str| text.match_indices(of).map(|(at, _)| at).collect();
        Self { ids: places(ID), numbers: places(NUMBER), codes: places(CODE), bytes: text.into_bytes() }
    }

    /// The next call, which no other of this process equals.
    pub fn next(&mut self) -> &[u8] {
        let call = CALLS.fetch_add(1, Ordering::Relaxed);
        let write = |bytes: &mut Vec<u8>, places: &[usize], text: &str| {
            for &at in places {
                bytes[at..at + text.len()].copy_from_slice(text.as_bytes());
            }
        };
        write(&mut self.bytes, &self.ids, &format!("{:011}{call:011}", std::process::id()));
        // the two digits after the country and the operator tell which of 64 rules applies
        write(&mut self.bytes, &self.numbers, &format!("+46701{:02}{:04}", call % 64, call / 64 % 10_000));
        write(&mut self.bytes, &self.codes, &format!("{:06}", call * 7919 % 1_000_000));
        &self.bytes
    }
}

/// An answer that came whole.
pub struct Answer<'a> {
    /// Its length, head and body.
    pub length: usize,
    head: &'a [u8],
    body: &'a [u8],
}

impl<'a> Answer<'a> {
    /// The answer at the beginning of what was read; `None` while it is not whole.
    pub fn read(bytes: &'a [u8]) -> Result<Option<Self>, String> {
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
        let head = &bytes[..end];
        let lines = head.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
        let length = lines.filter_map(|line| {
            let colon = line.iter().position(|&byte| byte == b':')?;
            line[..colon].eq_ignore_ascii_case(b"content-length").then(|| line[colon + 1..].trim_ascii())
        });
        let length: Vec<usize> = length.filter_map(|digits| std::str::from_utf8(digits).ok()?.parse().ok()).collect();
        let [length] = length[..] else { return Err(format!("an answer of no known length: {}", text(head))) };
        let whole = end + 4 + length;
        Ok((bytes.len() >= whole).then(|| Self { length: whole, head, body: &bytes[end + 4..whole] }))
    }

    /// Whether it says that the message was sent.
    pub fn check(&self) -> Result<(), String> {
        let is_sent = self.body.windows(SENT.len()).any(|part| part == SENT);
        if self.head.starts_with(b"HTTP/1.1 200 ") && is_sent {
            Ok(())
        } else {
            let first = self.head.split(|&byte| byte == b'\r').next().unwrap_or_default();
            Err(format!("{}: {}", text(first), text(self.body)))
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(300)]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn body(request: &[u8]) -> serde_json::Value {
        let at = request.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        assert!(
            String::from_utf8_lossy(&request[..at]).contains(&format!("content-length: {}\r\n", request.len() - at))
        );
        serde_json::from_slice(&request[at..]).unwrap()
    }

    #[test]
    fn calls_differ_in_id_number_and_passcode() {
        let mut request = Request::new();
        let calls: Vec<serde_json::Value> = (0..500).map(|_| body(request.next())).collect();
        for place in ["/eventId", "/data/messageProfile/phoneNumber", "/data/messageProfile/otpCode"] {
            let values: BTreeSet<&str> =
                calls.iter().map(|call| call.pointer(place).unwrap().as_str().unwrap()).collect();
            assert_eq!(values.len(), 500, "{place}");
        }
        let profile = &calls[7]["data"]["messageProfile"];
        assert!(profile["msgTemplate"].as_str().unwrap().contains(profile["otpCode"].as_str().unwrap()), "{profile}");
    }

    #[test]
    fn only_an_answer_of_200_that_says_successful_is_one() {
        let of = |status: &str, said: &str| {
            let body = format!(r#"{{"status":"{said}"}}"#);
            format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        };
        let check = |text: String| Answer::read(text.as_bytes()).unwrap().unwrap().check();
        assert_eq!(check(of("200 OK", "SUCCESSFUL")), Ok(()));
        assert!(check(of("200 OK", "FAILED")).is_err());
        assert!(check(of("502 Bad Gateway", "SUCCESSFUL")).is_err());
        let whole = of("200 OK", "SUCCESSFUL");
        for length in 0..whole.len() {
            assert!(Answer::read(&whole.as_bytes()[..length]).unwrap().is_none(), "whole after {length} bytes");
        }
        assert!(Answer::read(b"HTTP/1.1 200 OK\r\n\r\n").is_err(), "of no known length");
    }
}
