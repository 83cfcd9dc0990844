//! From a call to the message that providers are given. Pure.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::protocol::Call;
use hookswitch_message::{Channel, EventId, Secret};
use hookswitch_providers::{Message, voice};
use hookswitch_routing::Normalized;

/// How long after its end a passcode is still sent. Okta asks for passcodes that it has just made, so one that seems to have
/// expired is a matter of clocks, or of a call that came late. Longer ago than this, which is the whole life of a passcode, it
/// helps nobody.
const SKEW: SignedDuration = SignedDuration::from_mins(5);

/// The longest life of a passcode that is believed of Okta's clock; Okta's live 5 minutes.
const LONGEST: SignedDuration = SignedDuration::from_mins(30);

/// Why no provider is asked. Okta is answered FAILED.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unsendable {
    /// The passcode expired longer than [`SKEW`] ago.
    #[error("the passcode has expired")]
    Expired,
    /// A call could not say the passcode as it is.
    #[error("the passcode cannot be spoken")]
    Unspeakable,
}

impl Unsendable {
    /// The value of the metric label `reason`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Unspeakable => "unspeakable",
        }
    }
}

/// The message of a call.
///
/// # Errors
///
/// [`Unsendable`], when a message would be of no use to whoever gets it.
pub fn message(call: &Call, normalized: &Normalized, now: Timestamp) -> Result<Message, Unsendable> {
    Ok(Message {
        id: id(call),
        channel: call.channel,
        to: normalized.number.clone(),
        country: normalized.country,
        text: text(call)?,
        code: call.code.clone(),
        locale: call.locale.clone(),
        ttl: call.expires.map(|expires| ttl(expires, call.made, now)).transpose()?,
        original: call.original.clone(),
    })
}

fn text(call: &Call) -> Result<Secret<String>, Unsendable> {
    match (call.channel, &call.text) {
        // Okta's template is written for reading, not for speaking.
        (Channel::Voice, _) => voice::spell(call.code.expose()).ok_or(Unsendable::Unspeakable),
        (Channel::Sms, Some(text)) => Ok(text.clone()),
        (Channel::Sms, None) => Ok(Secret::new(format!("Your verification code is {}", call.code.expose()))),
    }
}

/// What is left of a passcode's life. Zero for one that has just ended: adapters raise it to the least that their provider
/// takes, where nothing would mean the provider's own default of hours.
///
/// The end is an instant of Okta's clock, so it is measured against the time at which Okta made the call, where that makes sense: a
/// call is seconds old at most, while our clock may be an hour off, by which every passcode would have expired.
fn ttl(expires: Timestamp, made: Option<Timestamp>, now: Timestamp) -> Result<Duration, Unsendable> {
    let by_okta = made.map(|made| expires.duration_since(made));
    let by_okta = by_okta.filter(|left| (SignedDuration::ZERO..=LONGEST).contains(left));
    let left = by_okta.unwrap_or_else(|| expires.duration_since(now));
    if left < -SKEW {
        return Err(Unsendable::Expired);
    }
    Ok(Duration::try_from(left).unwrap_or_default())
}

/// The provider's idempotency key: Okta's id where there is one, so that a replica that sees the same call sends the same
/// key. Previews that differ share an id of Okta's, and one that failed is tried again, so each has a key of its own.
fn id(call: &Call) -> String {
    let okta = call.event_id.as_ref().filter(|_| !call.is_preview).map(EventId::as_str);
    okta.map_or_else(|| format!("hs-{:032x}", rand::random::<u128>()), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const EXPIRES: &str = "2026-11-30T12:00:00Z";

    fn call(channel: &str, code: &str) -> Call {
        let profile = json!({
            "phoneNumber": "+46701740605", "otpCode": code, "deliveryChannel": channel, "otpExpires": EXPIRES,
        });
        Call::read(json!({"data": {"messageProfile": profile}}).to_string().as_bytes()).unwrap()
    }

    fn at(now: &str, call: &Call) -> Result<Message, Unsendable> {
        let normalized = hookswitch_routing::normalize("+46701740605", None).unwrap();
        message(call, &normalized, now.parse().unwrap())
    }

    #[test]
    fn a_passcode_that_ends_by_our_clock_is_sent_with_the_least_time_and_never_without_one() {
        let sms = call("SMS", "493817");
        for (now, expected) in [
            ("2026-11-30T11:55:00Z", Ok(Some(Duration::from_mins(5)))),
            ("2026-11-30T11:59:59.5Z", Ok(Some(Duration::from_millis(500)))),
            ("2026-11-30T12:00:00Z", Ok(Some(Duration::ZERO))),
            ("2026-11-30T12:00:01Z", Ok(Some(Duration::ZERO))),
            ("2026-11-30T12:05:00Z", Ok(Some(Duration::ZERO))),
            ("2026-11-30T12:05:01Z", Err(Unsendable::Expired)),
            ("2026-12-30T12:00:00Z", Err(Unsendable::Expired)),
        ] {
            assert_eq!(at(now, &sms).map(|message| message.ttl), expected, "{now}");
        }
        let without_end = Call { expires: None, made: None, ..sms };
        assert_eq!(at("2026-12-30T12:00:00Z", &without_end).unwrap().ttl, None);
    }

    #[test]
    fn a_passcode_lives_by_oktas_clock_however_wrong_ours_is_and_by_ours_where_oktas_makes_no_sense() {
        let made = |made: &str| Call { made: made.parse().ok(), ..call("SMS", "493817") };
        for now in ["2026-11-30T10:56:00Z", "2026-11-30T11:56:00Z", "2026-11-30T12:56:00Z", "2027-11-30T11:56:00Z"] {
            for (at_okta, left) in
                [("2026-11-30T11:55:05Z", 295), ("2026-11-30T12:00:00Z", 0), ("2026-11-30T11:30:00Z", 1_800)]
            {
                let ttl = at(now, &made(at_okta)).unwrap().ttl;
                assert_eq!(ttl, Some(Duration::from_secs(left)), "{at_okta} at Okta, {now} here");
            }
        }
        for senseless in ["2026-11-30T12:00:01Z", "2026-11-30T11:29:59Z", "2020-01-17T21:23:56Z", "no time"] {
            let of = made(senseless);
            assert_eq!(at("2026-11-30T11:55:00Z", &of).unwrap().ttl, Some(Duration::from_mins(5)), "{senseless}");
            assert_eq!(at("2026-11-30T12:05:01Z", &of).err(), Some(Unsendable::Expired), "{senseless}");
        }
    }

    #[test]
    fn a_message_bears_oktas_id_and_one_of_its_own_where_that_is_no_key() {
        let now = "2026-11-30T11:58:00Z";
        let named = Call { event_id: "e-1".parse().ok(), ..call("SMS", "493817") };
        assert_eq!(at(now, &named).unwrap().id, "e-1");
        for one in [Call { is_preview: true, ..named }, call("SMS", "493817")] {
            let (first, second) = (at(now, &one).unwrap().id, at(now, &one).unwrap().id);
            assert!(first.starts_with("hs-") && second.starts_with("hs-") && first != second, "{first} {second}");
        }
    }

    #[test]
    fn a_call_that_could_not_say_the_passcode_is_not_made() {
        let now = "2026-11-30T11:58:00Z";
        for code in ["****", "--", "12#4"] {
            assert_eq!(at(now, &call("CALL", code)).err(), Some(Unsendable::Unspeakable), "{code}");
            assert!(at(now, &call("SMS", code)).unwrap().text.expose().contains(code));
        }
        assert!(at(now, &call("CALL", "493817")).unwrap().text.expose().contains("4, 9, 3, 8, 1, 7."));
    }
}
