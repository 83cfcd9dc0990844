//! The contract of probes: calls that look like Okta's and only ask whether a hook's calls arrive.
//!
//! A probe is a hook call whose `eventId` is a marker, `hsw1.<unix seconds>.<nonce>.<HMAC>`. The gateway checks it after the
//! hook's secret was right, answers with a proof that it is this gateway, and does nothing else: no provider, limit,
//! deduplication or figure sees a probe. A marker that is too old or was used before gets no proof. What was not made with the
//! right key is an ordinary call; its number is under the unassigned country code 999, so that no provider could be called for it.
//!
//! The key is made from the report's token, which operator and gateway share and nobody else knows.

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::document::Report;

/// How far the clocks of operator and gateway may be apart, in seconds.
pub const SKEW: u64 = 60;

/// The number of a probe.
pub const NUMBER: &str = "+99900000000";

/// The provider that a probe is answered with.
pub const PROVIDER: &str = "HOOKSWITCH-PROBE";

const PREFIX: &str = "hsw1";

/// Random bytes of a marker.
pub type Nonce = [u8; 16];

/// A marker that was made with the right key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marker {
    /// Made at that time, in seconds since 1970, which is now.
    Good(u64, Nonce),
    /// Made at another time.
    Stale,
}

/// Makes and checks markers.
pub struct Key(hmac::Key);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[secret]")
    }
}

impl Key {
    /// The key that goes with a gateway's report.
    #[must_use]
    pub fn of(report: &Report) -> Self {
        let token = hmac::Key::new(hmac::HMAC_SHA256, report.token.expose().as_bytes());
        Self(hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&token, b"hookswitch probe").as_ref()))
    }

    /// The marker of a probe of `hook` that is sent at `at`, in seconds since 1970.
    #[must_use]
    pub fn marker(&self, hook: &str, at: u64, nonce: Nonce) -> String {
        let nonce = URL_SAFE_NO_PAD.encode(nonce);
        let mac = URL_SAFE_NO_PAD.encode(self.mac("ask", hook, at, &nonce));
        format!("{PREFIX}.{at}.{nonce}.{mac}")
    }

    /// What becomes of a marker at that time; `None` for what was not made with this key for this hook.
    #[must_use]
    pub fn verify(&self, hook: &str, marker: &str, now: u64) -> Option<Marker> {
        let (at, nonce, mac) = parts(marker)?;
        let mac = URL_SAFE_NO_PAD.decode(mac).ok()?;
        hmac::verify(&self.0, &message("ask", hook, at, nonce), &mac).ok()?;
        let nonce = URL_SAFE_NO_PAD.decode(nonce).ok()?.try_into().ok()?;
        Some(if at.abs_diff(now) <= SKEW { Marker::Good(at, nonce) } else { Marker::Stale })
    }

    /// What the gateway answers a valid marker with; empty for what is no marker.
    #[must_use]
    pub fn proof(&self, hook: &str, marker: &str) -> String {
        let mac = parts(marker).map(|(at, nonce, _)| self.mac("answer", hook, at, nonce));
        mac.map(|mac| URL_SAFE_NO_PAD.encode(mac)).unwrap_or_default()
    }

    fn mac(&self, what: &str, hook: &str, at: u64, nonce: &str) -> hmac::Tag {
        hmac::sign(&self.0, &message(what, hook, at, nonce))
    }
}

fn message(what: &str, hook: &str, at: u64, nonce: &str) -> Vec<u8> {
    // a hook's name has no line feed
    format!("{what}\n{hook}\n{at}\n{nonce}").into_bytes()
}

fn parts(marker: &str) -> Option<(u64, &str, &str)> {
    let mut parts = marker.split('.');
    let (prefix, at, nonce, mac) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    (prefix == PREFIX && parts.next().is_none()).then_some((at.parse().ok()?, nonce, mac))
}

/// A probe's body, in the shape of Okta's calls.
#[must_use]
pub fn body(marker: &str) -> Value {
    json!({
        "eventId": marker,
        "eventType": "com.okta.telephony.provider",
        "eventTypeVersion": "1.0",
        "contentType": "application/json",
        "cloudEventVersion": "0.1",
        "source": "hookswitch",
        "requestType": "com.okta.user.telephony.mfa-verification",
        "data": {"messageProfile": {
            "phoneNumber": NUMBER, "otpCode": "000000", "deliveryChannel": "SMS", "locale": "en",
            "msgTemplate": "Hookswitch probe",
        }},
    })
}

/// Who gave an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answered {
    /// The gateway, to this very marker.
    ByGateway,
    /// A service for hooks that does not know the marker: perhaps the gateway in another release, or with another clock.
    ByHook,
    /// Something else.
    ByOther,
}

/// Who gave an answer to the marker with this proof.
#[must_use]
pub fn who_answered(answer: &Value, proof: &str) -> Answered {
    let said = |field: &str| answer.pointer(&format!("/commands/0/value/0/{field}")).and_then(Value::as_str);
    if !proof.is_empty() && said("transactionId") == Some(proof) {
        Answered::ByGateway
    } else if said("status").is_some() {
        Answered::ByHook
    } else {
        Answered::ByOther
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn key(token: &str) -> Key {
        Key::of(&Report { token: token.into(), certificate: String::new(), key: "".into() })
    }

    #[test]
    fn a_marker_is_good_for_its_hook_and_minute_and_nothing_else() {
        let key = key("token");
        let marker = key.marker("main", NOW, [7; 16]);
        assert!(
            marker.len() <= 128 && marker.bytes().all(|byte| byte.is_ascii_graphic()),
            "fits an event id: {marker}"
        );
        assert_eq!(key.verify("main", &marker, NOW + SKEW), Some(Marker::Good(NOW, [7; 16])));
        assert_eq!(key.verify("main", &marker, NOW - SKEW), Some(Marker::Good(NOW, [7; 16])));
        assert_eq!(key.verify("main", &marker, NOW + SKEW + 1), Some(Marker::Stale), "too old");
        assert_eq!(key.verify("other", &marker, NOW), None, "another hook's");
        assert_eq!(self::key("another").verify("main", &marker, NOW), None, "another gateway's");
        let moved = marker.replace(&NOW.to_string(), &(NOW + 1).to_string());
        assert_eq!(key.verify("main", &moved, NOW), None, "another time");
        for wrong in ["", "hsw1", "hsw1.1.a.b", &format!("{marker}.x"), &marker.replace("hsw1", "hsw2")] {
            assert_eq!(key.verify("main", wrong, NOW), None, "{wrong}");
        }
        assert_eq!(format!("{key:?}"), "[secret]");
    }

    #[test]
    fn only_the_gateways_own_answer_to_this_marker_counts() {
        let key = key("token");
        let (marker, other) = (key.marker("main", NOW, [7; 16]), key.marker("main", NOW, [8; 16]));
        let proof = key.proof("main", &marker);
        let answer = |id: &str| json!({"commands": [{"value": [{"status": "SUCCESSFUL", "transactionId": id}]}]});
        let who = |answer: &Value, proof: &str| who_answered(answer, proof);
        assert_eq!(who(&answer(&proof), &proof), Answered::ByGateway);
        assert_eq!(who(&answer(&key.proof("main", &other)), &proof), Answered::ByHook);
        assert_eq!(
            who(&answer(marker.rsplit('.').next().unwrap()), &proof),
            Answered::ByHook,
            "what was sent is no proof"
        );
        assert_eq!((who(&json!({}), &proof), who(&answer(""), "")), (Answered::ByOther, Answered::ByHook));
    }
}
