//! The contract of `docs/providers/http.md`, as tables.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};

use super::*;
use hookswitch_message::Channel;

fn senders() -> Vec<Sender> {
    vec![Sender { channel: Channel::Sms, countries: vec!["SE".parse().unwrap()], from: "Acme".into() }]
}

fn provider() -> Http {
    Http::new("https://sms.acme.example/v1/send?tenant=7", &"t0ken".into(), &senders()).unwrap()
}

fn message() -> Message {
    Message {
        id: "m-1".into(),
        channel: Channel::Sms,
        to: "+46701234567".parse().unwrap(),
        country: "SE".parse().ok(),
        text: "Code \"1234\"\n".into(),
        code: "1234".into(),
        locale: Some("sv-SE".into()),
        ttl: Some(Duration::from_mins(5)),
        original: None,
    }
}

fn answer(status: u16, body: &str) -> ProviderAnswer {
    ProviderAnswer { status, retry_after: None, body: body.as_bytes().to_vec() }
}

fn refused(class: Class, code: &str) -> Outcome {
    Outcome::Refused(Refusal { class, code: code.into(), retry_after_s: None })
}

#[test]
fn a_message_is_the_documented_request_and_nothing_else() {
    let request = provider().request(&message(), None).unwrap();
    assert_eq!(
        (request.method.clone(), request.url.as_str()),
        (Method::POST, "https://sms.acme.example/v1/send?tenant=7")
    );
    let headers: BTreeMap<_, _> =
        request.headers.iter().map(|(name, value)| (name.as_str(), value.expose().as_str())).collect();
    let expected = [
        ("accept", "application/json"),
        ("authorization", "Bearer t0ken"),
        ("content-type", "application/json"),
        ("idempotency-key", "m-1"),
    ];
    assert_eq!(headers, expected.into_iter().collect());
    let body: Value = serde_json::from_slice(request.body.expose()).unwrap();
    let expected = json!({
        "messageId": "m-1", "channel": "sms", "to": "+46701234567", "from": "Acme",
        "text": "Code \"1234\"\n", "locale": "sv-SE", "ttlSeconds": 300
    });
    assert_eq!(body, expected);
}

#[test]
fn what_is_not_known_is_left_out() {
    let message = Message { channel: Channel::Voice, country: None, locale: None, ttl: None, ..message() };
    let request = provider().request(&message, None).unwrap();
    let body: Value = serde_json::from_slice(request.body.expose()).unwrap();
    let expected = json!({"messageId": "m-1", "channel": "voice", "to": "+46701234567", "text": "Code \"1234\"\n"});
    assert_eq!(body, expected);
}

#[test]
fn answers_mean_what_the_contract_says() {
    let garbage = Outcome::Ambiguous { cause: "garbage" };
    for (says, status, body, expected) in [
        ("accepted with an id", 200, r#"{"status":"accepted","id":"x-1"}"#, Outcome::Accepted { id: "x-1".into() }),
        ("accepted without one is unclear", 200, r#"{"status":"accepted"}"#, garbage.clone()),
        ("an id that could forge a log line is unclear", 200, r#"{"status":"accepted","id":"a\nb"}"#, garbage.clone()),
        ("accepted in an error contradicts itself", 500, r#"{"status":"accepted","id":"x-1"}"#, garbage.clone()),
        ("unknown is unclear", 200, r#"{"status":"unknown"}"#, Outcome::Ambiguous { cause: "unknown" }),
        ("unknown in an error is too", 504, r#"{"status":"unknown"}"#, Outcome::Ambiguous { cause: "unknown" }),
        (
            "refused inside a 200",
            200,
            r#"{"status":"refused","class":"permanent-destination","code":"no-such"}"#,
            refused(Class::PermanentDestination, "no-such"),
        ),
        (
            "refused with a 4xx",
            403,
            r#"{"status":"refused","class":"fraud-blocked","code":"7","message":"m"}"#,
            refused(Class::FraudBlocked, "7"),
        ),
        (
            "refused with a 5xx keeps its own class",
            500,
            r#"{"status":"refused","class":"message-rejected","code":"c"}"#,
            refused(Class::MessageRejected, "c"),
        ),
        (
            "the scope account",
            200,
            r#"{"status":"refused","class":"permanent-config","scope":"account","code":"c"}"#,
            refused(Class::PermanentConfig(Scope::Account), "c"),
        ),
        (
            "the scope sender",
            200,
            r#"{"status":"refused","class":"permanent-config","scope":"sender","code":"c"}"#,
            refused(Class::PermanentConfig(Scope::Sender), "c"),
        ),
        (
            "the scope country",
            200,
            r#"{"status":"refused","class":"permanent-config","scope":"country","code":"c"}"#,
            refused(Class::PermanentConfig(Scope::Country), "c"),
        ),
        (
            "without a scope it is the account",
            200,
            r#"{"status":"refused","class":"permanent-config","code":"c"}"#,
            refused(Class::PermanentConfig(Scope::Account), "c"),
        ),
        (
            "a number that is not reached from here",
            400,
            r#"{"status":"refused","class":"unreachable-here","code":"c"}"#,
            refused(Class::UnreachableHere, "c"),
        ),
        (
            "a reason that has no class",
            400,
            r#"{"status":"refused","class":"unknown","code":"c"}"#,
            refused(Class::Unknown, "c"),
        ),
        ("throttled", 429, r#"{"status":"refused","class":"throttled","code":"c"}"#, refused(Class::Throttled, "c")),
        ("transient", 503, r#"{"status":"refused","class":"transient","code":"c"}"#, refused(Class::Transient, "c")),
    ] {
        assert_eq!(provider().outcome(&answer(status, body)), expected, "{says}");
    }
}

#[test]
fn a_refusals_class_is_the_services_own_word_whatever_the_status() {
    for (class, expected) in [
        ("permanent-destination", Class::PermanentDestination),
        ("unreachable-here", Class::UnreachableHere),
        ("permanent-config", Class::PermanentConfig(Scope::Account)),
        ("throttled", Class::Throttled),
        ("transient", Class::Transient),
        ("fraud-blocked", Class::FraudBlocked),
        ("message-rejected", Class::MessageRejected),
        ("unknown", Class::Unknown),
    ] {
        for status in [200, 400, 403, 429, 503] {
            let body = format!(r#"{{"status":"refused","class":"{class}","code":"c"}}"#);
            assert_eq!(provider().outcome(&answer(status, &body)), refused(expected, "c"), "{class} {status}");
        }
    }
}

#[test]
fn what_the_contract_does_not_say_is_read_with_care() {
    let garbage = Outcome::Ambiguous { cause: "garbage" };
    let long = format!(r#"{{"status":"refused","class":"throttled","code":"{}"}}"#, "9".repeat(65));
    for (says, status, body, expected) in [
        (
            "a missing code is the status",
            422,
            r#"{"status":"refused","class":"message-rejected"}"#,
            refused(Class::MessageRejected, "http-422"),
        ),
        (
            "an unknown class goes by the status",
            429,
            r#"{"status":"refused","class":"busy","code":"c"}"#,
            refused(Class::Throttled, "c"),
        ),
        (
            "an unknown class in a 200 is a reason that is not known",
            200,
            r#"{"status":"refused","class":"busy","code":"c"}"#,
            refused(Class::Unknown, "c"),
        ),
        (
            "refused is the service's own word, also with 504",
            504,
            r#"{"status":"refused","class":"busy","code":"c"}"#,
            refused(Class::Unknown, "c"),
        ),
        ("an error page in JSON goes by its status", 504, r#"{"status":504,"error":"timeout"}"#, garbage.clone()),
        ("a code is cut to 64 characters", 200, long.as_str(), refused(Class::Throttled, &"9".repeat(64))),
        (
            "a code keeps printable characters alone",
            200,
            r#"{"status":"refused","class":"throttled","code":"a\n \u001b[31mö"}"#,
            refused(Class::Throttled, "a[31m"),
        ),
        ("a status of its own invention is unclear", 200, r#"{"status":"ok","id":"x"}"#, garbage.clone()),
        ("a status in other letters is unclear", 200, r#"{"status":"Accepted","id":"x"}"#, garbage.clone()),
        ("a page is unclear", 200, "<html>", garbage.clone()),
        ("no body is unclear", 204, "", garbage.clone()),
        ("nesting without end is unclear", 200, &"[".repeat(10_000), garbage.clone()),
        ("an unreadable 500 is trouble", 500, "", refused(Class::Transient, "http-500")),
        ("an unreadable 504 is unclear: somebody gave up waiting", 504, "", garbage.clone()),
        ("an unreadable 400 has a reason that is not known", 400, "bad", refused(Class::Unknown, "http-400")),
        ("so has a 422", 422, "{}", refused(Class::Unknown, "http-422")),
        ("an unreadable 401 refuses the account", 401, "", refused(Class::PermanentConfig(Scope::Account), "http-401")),
        ("an unreadable 408 is unclear", 408, "", garbage.clone()),
        ("an unreadable 409 is unclear: the message may be in hand already", 409, "", garbage.clone()),
        ("an unreadable 429 throttles", 429, "", refused(Class::Throttled, "http-429")),
        ("an unreadable 502 is unclear", 502, "<html>", garbage),
        ("a redirect is a wrong URL", 307, "", refused(Class::PermanentConfig(Scope::Account), "http-307")),
    ] {
        assert_eq!(provider().outcome(&answer(status, body)), expected, "{says}");
    }
}

#[test]
fn a_probe_asks_the_same_url_with_the_same_token() {
    let Probe::Ask(probe) = provider().probe(None) else { panic!("asked") };
    assert_eq!((probe.method.clone(), probe.url.as_str()), (Method::GET, "https://sms.acme.example/v1/send?tenant=7"));
    assert!(
        probe.headers.iter().any(|(name, value)| name == header::AUTHORIZATION && value.expose() == "Bearer t0ken")
    );
    let down = |class, code: &str| Probed::Down(Refusal { class, code: code.into(), retry_after_s: None });
    let account = Class::PermanentConfig(Scope::Account);
    for (status, expected) in [
        (200, Probed::Up),
        (204, Probed::Up),
        (401, down(account, "http-401")),
        (403, down(account, "http-403")),
        (500, down(Class::Transient, "http-500")),
        (503, down(Class::Transient, "http-503")),
        (201, Probed::Unknown),
        (302, Probed::Unknown),
        (404, Probed::Unknown),
        (405, Probed::Unknown),
        (429, Probed::Unknown),
    ] {
        assert_eq!(provider().probed(&answer(status, "")), expected, "{status}");
    }
}

#[test]
fn a_configuration_that_could_never_send_is_refused() {
    let make = |url: &str, token: &str| Http::new(url, &token.into(), &[]).err();
    assert!(matches!(make("nowhere", "t"), Some(InvalidProvider::Url(_))));
    assert!(matches!(make("mailto:a@b", "t"), Some(InvalidProvider::Url(_))));
    assert_eq!(make("https://x.example", "a b"), Some(InvalidProvider::Credential));
    assert_eq!(make("https://x.example", ""), Some(InvalidProvider::Credential));
    assert_eq!(make("https://x.example", "t"), None);
}
