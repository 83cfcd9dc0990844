//! Okta's System Log, as far as it says what became of passcodes. Nothing else of an event is kept: it holds numbers and
//! names.

use jiff::Timestamp;
use serde_json::{Map, Value};
use url::Url;

use crate::types::TELEPHONY;

/// What is asked for.
pub const FILTER: &str =
    "eventType eq \"inline_hook.executed\" or eventType sw \"system.sms.send\" or eventType sw \"system.voice.send\"";

/// Events of one page: some 2 kB each.
pub const PAGE: usize = 200;

/// Where to read on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum From {
    /// At the first event since then.
    Since(Timestamp),
    /// Where the page before ended, as Okta said.
    Next(Url),
}

/// A page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The events that count.
    pub events: Vec<LogEvent>,
    /// Whether it was full, so that more may be there already.
    pub full: bool,
    /// Where to read on.
    pub next: Option<Url>,
}

/// An event that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEvent {
    /// Okta's id of it.
    pub id: String,
    /// When it was published.
    pub at: Timestamp,
    /// What it says.
    pub kind: LogEventKind,
}

/// What an event says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogEventKind {
    /// A passcode was sent or refused.
    Sent {
        /// Not by the hook, although there is one.
        fell_back: bool,
    },
    /// A call to a telephony hook came to nothing.
    HookFailed,
}

/// A time as Okta takes it in a query: ISO 8601 to the millisecond.
pub(super) fn as_asked(at: Timestamp) -> String {
    format!("{at:.3}")
}

/// Reads a page's events. One that cannot be read is passed over: Okta adds to them without notice.
///
/// # Errors
/// The body is not a list.
pub(super) fn read(body: &[u8]) -> Result<(Vec<LogEvent>, bool), &'static str> {
    let raw: Vec<Value> = serde_json::from_slice(body).map_err(|_| "the answer is not a list of events")?;
    let full = raw.len() >= PAGE;
    Ok((raw.iter().filter_map(event_of).collect(), full))
}

fn event_of(raw: &Value) -> Option<LogEvent> {
    let id = match raw.get("uuid")? {
        Value::String(id) => id.clone(),
        Value::Number(id) => id.to_string(),
        _ => return None,
    };
    if id.is_empty() || id.len() > 64 {
        return None;
    }
    let at = raw.get("published")?.as_str()?.parse().ok()?;
    let debug = raw.pointer("/debugContext/debugData")?.as_object()?;
    let event_type = raw.get("eventType")?.as_str()?;
    let kind = if event_type == "inline_hook.executed" {
        // what is not reported, or was not tried, is no failure
        let failed = matches!(raw.pointer("/outcome/result").and_then(Value::as_str), Some("FAILURE" | "UNANSWERED"));
        let kind = field(debug, "inlinehooktype").and_then(Value::as_str);
        (failed && kind == Some(TELEPHONY)).then_some(LogEventKind::HookFailed)?
    } else if event_type.starts_with("system.sms.send") || event_type.starts_with("system.voice.send") {
        let flag = field(debug, "issmshookfailover").or_else(|| field(debug, "iscallhookfailover"));
        let fell_back = match flag? {
            Value::Bool(flag) => *flag,
            Value::String(flag) => flag.eq_ignore_ascii_case("true"),
            _ => return None,
        };
        LogEventKind::Sent { fell_back }
    } else {
        return None;
    };
    Some(LogEvent { id, at, kind })
}

/// A field of the debug data: Okta documents `is_sms_hook_failover`, writes `isSmsHookFailover`, and warns that keys change.
fn field<'d>(debug: &'d Map<String, Value>, plain: &str) -> Option<&'d Value> {
    let plainly = |key: &str| key.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    debug.iter().find(|(key, value)| !value.is_null() && plainly(key) == plain).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn kinds(events: &[Value]) -> Vec<LogEventKind> {
        let body = serde_json::to_vec(events).unwrap();
        read(&body).unwrap().0.into_iter().map(|event| event.kind).collect()
    }

    fn event(kind: &str, result: &str, debug: &Value) -> Value {
        json!({"uuid": "u-1", "published": "2026-11-25T10:00:00.000Z", "eventType": kind,
            "outcome": {"result": result}, "debugContext": {"debugData": debug}})
    }

    #[test]
    fn the_flag_is_known_in_each_spelling_and_nothing_is_made_of_what_has_none() {
        let sms = "system.sms.send_factor_verify_message";
        for (kind, debug, expected) in [
            (sms, json!({"isSmsHookFailover": "true"}), vec![LogEventKind::Sent { fell_back: true }]),
            (sms, json!({"is_sms_hook_failover": true}), vec![LogEventKind::Sent { fell_back: true }]),
            (sms, json!({"IsSMSHookFailover": "FALSE"}), vec![LogEventKind::Sent { fell_back: false }]),
            (
                "system.voice.send_mfa_challenge_call",
                json!({"isCallHookFailover": "true"}),
                vec![LogEventKind::Sent { fell_back: true }],
            ),
            (sms, json!({"smsProvider": "OKTA"}), vec![]),
            (sms, json!({"isSmsHookFailover": 1}), vec![]),
            ("system.sms.receive_status", json!({"isSmsHookFailover": "true"}), vec![]),
        ] {
            assert_eq!(kinds(&[event(kind, "SUCCESS", &debug)]), expected, "{kind} {debug}");
        }
    }

    #[test]
    fn only_failed_calls_of_telephony_hooks_count() {
        let of = |kind: &str| json!({"inlineHookType": kind});
        let executed = |result, debug: &Value| kinds(&[event("inline_hook.executed", result, debug)]);
        assert_eq!(executed("FAILURE", &of(TELEPHONY)), [LogEventKind::HookFailed]);
        assert_eq!(executed("SUCCESS", &of(TELEPHONY)), []);
        assert_eq!(executed("FAILURE", &of("com.okta.oauth2.tokens.transform")), []);
    }

    #[test]
    fn what_cannot_be_read_is_passed_over_and_no_list_is_an_error() {
        let good = event("system.sms.send_x", "SUCCESS", &json!({"isSmsHookFailover": "true"}));
        let mut nameless = good.clone();
        nameless["uuid"] = json!("");
        assert_eq!(kinds(&[json!(1), json!({}), nameless, good]).len(), 1);
        assert!(read(b"{}").is_err() && read(b"<html>").is_err());
    }
}
