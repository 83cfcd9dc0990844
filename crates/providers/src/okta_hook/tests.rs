//! Requests to hooks that others serve, and what their answers mean. Answers that others wrote stand in `tests/data`.

use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::Scope;
use hookswitch_gateway_config::document::{HookCredential, SecretPlacement, TokenClient};
use hookswitch_message::Channel;

const ORIGINAL: &str =
    r#"{"eventId":"uS5871","data":{"messageProfile":{"phoneNumber":"9876543210","otpCode":"11111"}}} "#;

fn by_header(name: &str, secret: &str) -> OktaHookCredential {
    OktaHookCredential::Header(HookCredential { header: name.into(), secret: secret.into() })
}

fn by_token() -> OktaHookCredential {
    OktaHookCredential::Token(TokenClient {
        token_url: "https://acme.okta.com/oauth2/default/v1/token".into(),
        client_id: "0oa1".into(),
        client_secret: "s3cret".into(),
        scope: None,
        authentication: SecretPlacement::ClientSecretPost,
    })
}

fn hook(auth: &OktaHookCredential, headers: &[(&str, &str)]) -> Result<OktaHook, InvalidProvider> {
    let headers = headers.iter().map(|(name, value)| PlainHeader { name: (*name).into(), value: (*value).into() });
    OktaHook::new("https://hooks.vendor.example/okta?tenant=7", auth, &headers.collect::<Vec<_>>())
}

fn message(original: Option<&str>) -> Message {
    Message {
        id: "m-1".into(),
        channel: Channel::Sms,
        to: "+19876543210".parse().unwrap(),
        country: "US".parse().ok(),
        text: "Your code is 11111".into(),
        code: "11111".into(),
        locale: None,
        ttl: None,
        original: original.map(|original| Arc::new(Secret::new(original.as_bytes().to_vec()))),
    }
}

fn headers(request: &Request) -> Vec<(&str, &str)> {
    request.headers.iter().map(|(name, value)| (name.as_str(), value.expose().as_str())).collect()
}

#[test]
fn a_hook_is_given_oktas_own_request_byte_by_byte_with_its_own_secret() {
    let hook = hook(&by_header("X-Hook-Secret", "hunter2"), &[("X-Env", "prod")]).unwrap();
    let request = hook.request(&message(Some(ORIGINAL)), None).unwrap();
    assert_eq!((request.method.as_str(), request.url.as_str()), ("POST", "https://hooks.vendor.example/okta?tenant=7"));
    assert_eq!(request.body.expose(), ORIGINAL.as_bytes());
    let expected = [
        ("content-type", "application/json"),
        ("accept", "application/json"),
        ("x-hook-secret", "hunter2"),
        ("x-env", "prod"),
    ];
    assert_eq!(headers(&request), expected);
}

#[test]
fn a_hook_behind_an_authorization_server_is_shown_a_token_and_not_called_without_one() {
    let hook = hook(&by_token(), &[]).unwrap();
    let token = Credential::Token("t0ken".into());
    let request = hook.request(&message(Some(ORIGINAL)), Some(&token)).unwrap();
    assert!(headers(&request).contains(&("authorization", "Bearer t0ken")));
    let refusal = hook.request(&message(Some(ORIGINAL)), None).unwrap_err();
    assert_eq!((refusal.class, refusal.code.as_str()), (Class::Transient, "no-token"));
}

#[test]
fn a_request_that_was_too_long_to_be_kept_goes_to_the_next_provider() {
    let hook = hook(&by_header("Authorization", "Basic b2t0YQ=="), &[]).unwrap();
    let refusal = hook.request(&message(None), None).unwrap_err();
    assert_eq!((refusal.class, refusal.code.as_str()), (Class::Unknown, "original-too-long"));
}

#[test]
fn headers_that_are_not_the_users_to_set_are_refused() {
    for (auth, headers) in [
        (by_header("Content-Type", "s"), &[][..]),
        (by_header("bad name", "s"), &[]),
        (by_header("Authorization", "line\nbreak"), &[]),
        (by_header("Authorization", ""), &[]),
        (by_header("Authorization", "s"), &[("Host", "elsewhere.example")]),
        (by_header("Authorization", "s"), &[("authorization", "another")]),
        (by_token(), &[("Authorization", "another")]),
        (by_header("Authorization", "s"), &[("X-Env", "a\rb")]),
        (by_header("Authorization", "s"), &[("X-Env", "a"), ("x-env", "b")]),
        (by_header("Authorization", "s"), &[("Proxy-Connection", "close")]),
    ] {
        assert!(hook(&auth, headers).is_err(), "{auth:?} {headers:?}");
    }
}

fn outcome(status: u16, body: &serde_json::Value) -> Outcome {
    let body = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
    hook(&by_header("Authorization", "s"), &[]).unwrap().outcome(&ProviderAnswer {
        status,
        retry_after: Some("60".into()),
        body: body.into_bytes(),
    })
}

fn says(value: &serde_json::Value) -> serde_json::Value {
    json!({"commands": [{"type": ACTION, "value": value}]})
}

#[test]
fn only_oktas_word_for_success_is_acceptance() {
    let accepted = |id: &str| Outcome::Accepted { id: id.into() };
    let unclear = || Outcome::Ambiguous { cause: "unknown" };
    let failed = |code: &str| Outcome::Refused(Refusal::local(Class::Unknown, code));
    for (what, body, expected) in [
        ("success", says(&json!([{"status": "SUCCESSFUL", "transactionId": "SM1"}])), accepted("SM1")),
        ("a number for an id", says(&json!([{"status": "SUCCESSFUL", "transactionId": 7}])), accepted("7")),
        ("no id", says(&json!([{"status": "SUCCESSFUL"}])), accepted("unnamed")),
        (
            "an id that nobody can show",
            says(&json!([{"status": "SUCCESSFUL", "transactionId": "a b"}])),
            accepted("unnamed"),
        ),
        (
            "one of several",
            says(&json!([{"status": "FAILED"}, {"status": "SUCCESSFUL", "transactionId": "b"}])),
            accepted("b"),
        ),
        ("pending", says(&json!([{"status": "PENDING", "transactionId": "b"}])), unclear()),
        ("failed, then pending", says(&json!([{"status": "FAILED"}, {"status": "PENDING"}])), unclear()),
        ("failed", says(&json!([{"status": "FAILED", "provider": null}])), failed("FAILED")),
        ("failed by somebody", says(&json!([{"status": "FAILED", "provider": "ACS"}])), failed("FAILED:ACS")),
        ("another word", says(&json!([{"status": "SUCCESS"}])), GARBAGE),
        ("another case", says(&json!([{"status": "Successful"}])), GARBAGE),
        ("failed, and another word", says(&json!([{"status": "FAILED"}, {"status": "QUEUED"}])), GARBAGE),
        (
            "another command",
            json!({"commands": [{"type": "com.okta.action.update", "value": [{"status": "SUCCESSFUL"}]}]}),
            GARBAGE,
        ),
        ("no command", json!({"commands": []}), GARBAGE),
        ("null", json!({"commands": null}), GARBAGE),
        ("an empty error", json!({"error": {}}), failed("error")),
        ("a list of errors", json!({"error": [{"errorSummary": "no"}]}), failed("error")),
        ("an empty list of errors", json!({"error": []}), GARBAGE),
        ("an error that is a word", json!({"error": "timeout"}), GARBAGE),
        (
            "an error beside success",
            json!({"error": {}, "commands": [{"type": ACTION, "value": [{"status": "SUCCESSFUL"}]}]}),
            accepted("unnamed"),
        ),
        ("nothing", json!(""), GARBAGE),
        ("a page", json!("<html>it works!</html>"), GARBAGE),
    ] {
        assert_eq!(outcome(200, &body), expected, "{what}");
    }
}

#[test]
fn a_status_that_is_not_success_says_whether_the_hook_was_reached() {
    let account = Class::PermanentConfig(Scope::Account);
    for (status, class) in [
        (302, Some(account)),
        (400, Some(Class::Unknown)),
        (401, Some(account)),
        (403, Some(account)),
        (404, Some(Class::Unknown)),
        (405, Some(Class::Unknown)),
        (408, None),
        (413, Some(Class::Unknown)),
        (429, Some(Class::Throttled)),
        (500, None),
        (502, None),
        (503, Some(Class::Transient)),
        (504, None),
    ] {
        let found = match outcome(status, &json!({"message": "Endpoint request timed out"})) {
            Outcome::Refused(refusal) => Some(refusal.class),
            Outcome::Ambiguous { .. } => None,
            Outcome::Accepted { .. } => panic!("{status} is no acceptance"),
        };
        assert_eq!(found, class, "{status}");
    }
    // a platform that is overloaded says until when; one that lost its function says nothing
    let answer = ProviderAnswer { status: 503, retry_after: None, body: Vec::new() };
    assert_eq!(hook(&by_header("Authorization", "s"), &[]).unwrap().outcome(&answer), GARBAGE);
}

#[test]
fn what_a_hook_needs_and_what_its_probe_proves_follows_from_its_credential() {
    let with_header = hook(&by_header("Authorization", "s"), &[]).unwrap();
    assert!(with_header.credential().is_none());
    assert_eq!(with_header.proves(), [Proof::Reachable]);
    let with_token = hook(&by_token(), &[]).unwrap();
    assert!(with_token.credential().is_some());
    assert_eq!(with_token.proves(), [Proof::Reachable, Proof::Token]);
    for hook in [with_header, with_token] {
        assert!(hook.needs_original() && !hook.needs_sender());
        assert!(matches!(hook.probe(None), Probe::Reach(url) if url.host_str() == Some("hooks.vendor.example")));
    }
}
