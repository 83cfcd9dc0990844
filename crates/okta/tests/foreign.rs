//! Okta's management API as its documents, recordings and clients show it, through the operator's own client.

#![allow(clippy::disallowed_methods, reason = "tests connect to what they opened themselves")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "clippy knows test functions, not the functions they share")]

use std::fmt::Write as _;
use std::time::Duration;

use hookswitch_okta::client::Api as _;
use hookswitch_okta::error::Failure;
use hookswitch_okta::log::{self, LogEventKind};
use hookswitch_okta::types::{HookId, ObservedHook};
use serde_json::Value;

mod scripted;

use scripted::{TOKEN, answer, serve};

/// The cases of a table.
fn cases(table: &str) -> Vec<Value> {
    let cases: Vec<Value> = serde_json::from_str(table).unwrap();
    for case in &cases {
        assert!(case["source"].as_str().is_some_and(|source| !source.is_empty()), "where {} is from", case["name"]);
    }
    cases
}

/// The body of a case: JSON, or a text as it is.
fn body(case: &Value) -> String {
    case["text"].as_str().map_or_else(|| case["body"].to_string(), str::to_owned)
}

fn shown(hook: &ObservedHook) -> String {
    let or = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let (channel, uri, auth) = (or(&hook.channel_type), or(&hook.uri), or(&hook.auth_header));
    format!("{} {:?} '{}' {channel} {uri} {auth} {}", hook.id, hook.status, hook.name, hook.headers.len())
}

#[tokio::test]
async fn a_list_is_read_whole_whatever_stands_in_hooks_of_others() {
    let cases = cases(include_str!("data/okta_hooks.json"));
    let server = serve(cases.iter().map(|case| answer(200, "", &body(case))).collect()).await;
    for case in &cases {
        let read = server.client.list_hooks().await;
        let read = read.map(|read| read.value.iter().map(shown).collect::<Vec<_>>());
        match case["read"].as_array() {
            Some(expected) => assert_eq!(&read.unwrap(), expected, "{}", case["name"]),
            None => assert_eq!(read.unwrap_err().reason(), "OktaAnswerUnclear", "{}", case["name"]),
        }
    }
}

#[tokio::test]
async fn events_are_read_in_every_spelling_and_what_is_none_is_passed_over() {
    let cases = cases(include_str!("data/okta_log.json"));
    let last = serde_json::json!({"uuid": "the last", "published": "2026-08-21T00:00:00Z",
        "eventType": "system.sms.send_x", "debugContext": {"debugData": {"isSmsHookFailover": "true"}}});
    let page = |case: &Value| answer(200, "", &serde_json::json!([case["event"], last]).to_string());
    let server = serve(cases.iter().map(page).collect()).await;
    for case in &cases {
        let since = log::From::Since("2026-08-21T00:00:00Z".parse().unwrap());
        let page = server.client.log(&since).await.unwrap().value;
        let (read, rest) = match page.events.as_slice() {
            [read, last] => (Some(read), last),
            [last] => (None, last),
            other => panic!("{}: {other:?}", case["name"]),
        };
        assert_eq!(rest.id, "the last", "{}", case["name"]);
        let shown = read.map(|event| {
            let kind = match event.kind {
                LogEventKind::Sent { fell_back: true } => "fell back",
                LogEventKind::Sent { fell_back: false } => "by the hook",
                LogEventKind::HookFailed => "hook failed",
            };
            format!("{kind} at {}", event.at.as_millisecond())
        });
        assert_eq!(shown.as_deref(), case["read"].as_str(), "{}", case["name"]);
    }
}

#[tokio::test]
async fn every_refusal_is_sorted_by_its_cause_and_says_what_to_do() {
    let cases = cases(include_str!("data/okta_errors.json"));
    let status = |case: &Value| u16::try_from(case["status"].as_u64().unwrap()).unwrap();
    let server = serve(cases.iter().map(|case| answer(status(case), "", &body(case))).collect()).await;
    for case in &cases {
        let error = server.client.list_hooks().await.unwrap_err();
        assert_eq!(error.reason(), case["reason"], "{}: {error}", case["name"]);
        let text = error.to_string();
        for wanted in case["says"].as_array().unwrap() {
            assert!(text.contains(wanted.as_str().unwrap()), "{} lacks {wanted}: {text}", case["name"]);
        }
        for unwanted in case["not"].as_array().into_iter().flatten() {
            assert!(!text.contains(unwanted.as_str().unwrap()), "{} has {unwanted}: {text}", case["name"]);
        }
    }
}

#[tokio::test]
async fn a_429_says_how_long_to_wait_whatever_its_headers_lack() {
    let cases = cases(include_str!("data/okta_rate_limits.json"));
    let reply = |case: &Value| {
        let mut headers = String::new();
        for (name, value) in case["headers"].as_object().unwrap() {
            write!(headers, "{name}: {}\r\n", value.as_str().unwrap()).unwrap();
        }
        answer(429, &headers, r#"{"errorCode":"E0000047"}"#)
    };
    let server = serve(cases.iter().map(reply).collect()).await;
    for case in &cases {
        let error = server.client.list_hooks().await.unwrap_err();
        let wait = Duration::from_secs(case["wait"].as_u64().unwrap());
        let concurrency = case["concurrency"].as_bool().unwrap();
        assert_eq!(error.failure, Failure::RateLimited { wait, concurrency }, "{}", case["name"]);
    }
}

#[tokio::test]
async fn an_org_is_known_by_its_document() {
    let cases = cases(include_str!("data/okta_organizations.json"));
    let status = |case: &Value| u16::try_from(case["status"].as_u64().unwrap()).unwrap();
    let server = serve(cases.iter().map(|case| answer(status(case), "", &body(case))).collect()).await;
    for case in &cases {
        let known = server.client.organization().await;
        match case["is"].as_str() {
            Some(id) => {
                let known = known.unwrap().value;
                assert_eq!(known.identity.as_str(), id, "{}", case["name"]);
                let domains: Vec<&str> =
                    case["domains"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
                assert_eq!(known.domains, domains, "{}", case["name"]);
            }
            None => assert_eq!(known.unwrap_err().reason(), "OktaAnswerUnclear", "{}", case["name"]),
        }
    }
}

#[tokio::test]
async fn a_page_that_goes_on_at_another_host_is_asked_for_at_the_org_itself() {
    for link in [
        "</api/v1/logs?after=x>; rel=\"next\"",
        "<https://acme.okta.com/api/v1/logs?after=x>; rel=\"next\"",
        "<https://evil.example:8443/api/v1/logs/?after=x>; rel=next",
        "<logs?after=x>; rel=\"next\"",
    ] {
        let next = format!("Link: <https://acme.okta.com/api/v1/logs>; rel=\"self\"\r\nLink: {link}\r\n");
        let server = serve(vec![answer(200, &next, "[]"), answer(200, "", "[]")]).await;
        let since = log::From::Since("2026-08-21T00:00:00Z".parse().unwrap());
        let page = server.client.log(&since).await.unwrap().value;
        server.client.log(&log::From::Next(page.next.unwrap())).await.unwrap();
        let second = &server.requests()[1];
        let path = second.split_whitespace().nth(1).unwrap();
        assert!(["/api/v1/logs?after=x", "/api/v1/logs/?after=x"].contains(&path), "{link}: {path}");
        assert!(second.to_lowercase().contains("host: localhost:"), "{link}: {second}");
    }
    for link in ["</api/v1/users?after=x>; rel=\"next\"", "<https://acme.okta.com/api/v1/logs/../users>; rel=\"next\""]
    {
        let server = serve(vec![answer(200, &format!("Link: {link}\r\n"), "[]")]).await;
        let since = log::From::Since("2026-08-21T00:00:00Z".parse().unwrap());
        assert_eq!(server.client.log(&since).await.unwrap_err().reason(), "OktaAnswerUnclear", "{link}");
    }
}

#[tokio::test]
async fn a_lifecycle_call_may_answer_nothing_and_the_hook_is_read_then() {
    let hook = |status: &str| {
        format!(r#"{{"id":"cal1","status":"{status}","name":"a","type":"com.okta.telephony.provider"}}"#)
    };
    let id = HookId::new("cal1").unwrap();
    for empty in [204, 200] {
        let server = serve(vec![answer(empty, "", ""), answer(200, "", &hook("ACTIVE"))]).await;
        let activated = server.client.activate(&id).await.unwrap().value;
        assert_eq!(shown(&activated), "cal1 Active 'a' - - - 0");
        let requests = server.requests();
        assert!(requests[0].starts_with("POST /api/v1/inlineHooks/cal1/lifecycle/activate "), "{empty}");
        assert!(requests[1].starts_with("GET /api/v1/inlineHooks/cal1 "), "{empty}");
    }
    // whatever becomes of the read, nobody says that the call itself was refused
    for status in [429, 404, 403, 500] {
        let server = serve(vec![answer(204, "", ""), answer(status, "", "")]).await;
        let error = server.client.deactivate(&id).await.unwrap_err();
        assert_eq!(error.reason(), "OktaAnswerUnclear", "{status}");
    }
}

#[tokio::test]
async fn a_page_for_people_with_status_200_is_no_answer_to_any_call() {
    let page = || answer(200, "Content-Type: text/html\r\n", "<!DOCTYPE html><html><body>Welcome</body></html>");
    let server = serve((0..5).map(|_| page()).collect()).await;
    let (client, id) = (&server.client, HookId::new("cal1").unwrap());
    let deleted = client.delete(&id).await.map(|_| ()).map_err(|error| error.reason());
    assert_eq!(deleted, Err("OktaAnswerUnclear"), "what is not deleted is not forgotten");
    assert_eq!(client.activate(&id).await.unwrap_err().reason(), "OktaAnswerUnclear");
    assert_eq!(client.list_hooks().await.unwrap_err().reason(), "OktaAnswerUnclear");
    let since = log::From::Since("2026-08-21T00:00:00Z".parse().unwrap());
    assert_eq!(client.log(&since).await.unwrap_err().reason(), "OktaAnswerUnclear");
    let executed = client.execute(&id, &serde_json::json!({}), Duration::from_secs(2)).await;
    assert_eq!(executed.unwrap_err().reason(), "OktaAnswerUnclear");
    let server = serve(vec![answer(204, "", ""), answer(200, "", ""), answer(200, "", "{}")]).await;
    for _ in 0..3 {
        assert!(server.client.delete(&id).await.is_ok());
    }
    assert!(server.requests().iter().all(|request| request.contains(TOKEN)));
}
