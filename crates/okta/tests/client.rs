//! The management API client against a scripted server on loopback: each way a call can go, byte by byte.

#![allow(clippy::disallowed_methods, reason = "tests connect to what they opened themselves")]
// Clippy knows test functions, not the functions they share.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use hookswitch_message::Secret;
use hookswitch_okta::client::{Api, OktaClient};
use hookswitch_okta::error::{CallError, Failure, TookEffect};
use hookswitch_okta::log;
use hookswitch_okta::types::{Header, HookContent, HookId, HookStatus, OrgIdentity, OrgUrl, RateLimit, RequestId};
use tokio::net::TcpListener;

mod scripted;

use scripted::{Reply, TOKEN, answer, credential, http, serve};

const HOOK_SECRET: &str = "Basic aG9vazpzZWNyZXQ";
const HOOK: &str = r#"{"id":"cal1","status":"ACTIVE","name":"OTP","type":"com.okta.telephony.provider","version":"1.0.0",
  "channel":{"type":"HTTP","version":"1.0.0","config":{"uri":"https://otp.acme.com/hooks/a","headers":[],"method":"POST",
  "authScheme":{"type":"HEADER","key":"Authorization"}}}}"#;

fn id() -> HookId {
    HookId::new("cal1").unwrap()
}

fn content() -> HookContent {
    HookContent {
        name: "OTP".into(),
        uri: "https://otp.acme.com/hooks/a".into(),
        headers: vec![Header::new("X-Hookswitch-Owner", "prod/otp/a")],
        auth_header: "Authorization".into(),
        secret: Secret::from(HOOK_SECRET),
        metadata: None,
    }
}

/// What a refused or failed create comes to, checked for secrets.
async fn failed_create(reply: Reply) -> CallError {
    let server = serve(vec![reply]).await;
    let error = server.client.create(&content()).await.unwrap_err();
    let shown = format!("{error} {error:?} {:?}", server.client);
    for secret in [TOKEN, HOOK_SECRET, "aG9vazpzZWNyZXQ"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    error
}

#[tokio::test]
async fn every_call_has_its_documented_method_path_and_headers() {
    let hook = || answer(200, "", HOOK);
    let server = serve(vec![hook(), hook(), hook(), hook(), hook(), answer(204, "", ""), answer(200, "", "[]")]).await;
    let client = &server.client;
    assert_eq!(client.create(&content()).await.unwrap().value.status, HookStatus::Active);
    client.replace(&id(), &content()).await.unwrap();
    client.activate(&id()).await.unwrap();
    client.deactivate(&id()).await.unwrap();
    client.get(&id()).await.unwrap();
    client.delete(&id()).await.unwrap();
    assert!(client.list_hooks().await.unwrap().value.is_empty());
    let requests = server.requests();
    let lines: Vec<&str> = requests.iter().map(|request| request.lines().next().unwrap()).collect();
    assert_eq!(
        lines,
        [
            "POST /api/v1/inlineHooks HTTP/1.1",
            "PUT /api/v1/inlineHooks/cal1 HTTP/1.1",
            "POST /api/v1/inlineHooks/cal1/lifecycle/activate HTTP/1.1",
            "POST /api/v1/inlineHooks/cal1/lifecycle/deactivate HTTP/1.1",
            "GET /api/v1/inlineHooks/cal1 HTTP/1.1",
            "DELETE /api/v1/inlineHooks/cal1 HTTP/1.1",
            "GET /api/v1/inlineHooks?type=com.okta.telephony.provider HTTP/1.1",
        ]
    );
    for request in &requests {
        assert!(request.contains(&format!("authorization: SSWS {TOKEN}\r\n")));
        assert!(request.contains(concat!("user-agent: hookswitch/", env!("CARGO_PKG_VERSION"), "\r\n")));
        assert!(request.contains("accept: application/json\r\n"));
    }
    assert!(requests[0].contains(HOOK_SECRET) && requests[0].contains("com.okta.telephony.provider"));
    assert!(requests[1].contains(HOOK_SECRET) && !requests[1].contains("com.okta.telephony.provider"));
}

#[tokio::test]
async fn request_id_and_rate_limit_come_with_the_answer() {
    let headers = "X-Okta-Request-Id: reqABC\r\nX-Rate-Limit-Limit: 600\r\nX-Rate-Limit-Remaining: 599\r\n\
                   X-Rate-Limit-Reset: 1000000030\r\nDate: Sun, 09 Sep 2001 01:46:40 GMT\r\n";
    let server = serve(vec![answer(200, headers, HOOK), answer(200, "X-Okta-Request-Id: a b\r\n", HOOK)]).await;
    let full = server.client.get(&id()).await.unwrap();
    assert_eq!(full.request_id.unwrap().as_str(), "reqABC");
    assert_eq!(full.rate, Some(RateLimit { limit: 600, remaining: 599, resets_in: Duration::from_secs(30) }));
    let bare = server.client.get(&id()).await.unwrap();
    assert_eq!((bare.request_id, bare.rate), (None, None), "missing or unsound headers are no knowledge");
}

#[tokio::test]
async fn each_status_is_the_failure_it_means() {
    let cases = [
        (400, "OktaRefused", TookEffect::No),
        (409, "OktaRefused", TookEffect::No),
        (401, "OktaUnauthorized", TookEffect::No),
        (403, "OktaForbidden", TookEffect::No),
        (404, "OktaNotFound", TookEffect::No),
        (429, "OktaRateLimited", TookEffect::No),
        (500, "OktaServerError", TookEffect::Unknown),
        (503, "OktaServerError", TookEffect::Unknown),
    ];
    for (status, reason, took_effect) in cases {
        let error = failed_create(answer(status, "X-Okta-Request-Id: req1\r\n", r#"{"errorCode":"E0000001"}"#)).await;
        assert_eq!((error.reason(), error.took_effect()), (reason, took_effect), "{status}");
        assert_eq!(error.request_id.as_ref().map(RequestId::as_str), Some("req1"));
    }
}

#[tokio::test]
async fn a_refusal_without_oktas_own_error_is_nobodys_word() {
    let bodies = [
        "not json at all",
        "",
        "<html>\r\n<head><title>403 Forbidden</title></head>\r\n<body></body></html>",
        r#"{"message":"Forbidden"}"#,
        r#"{"errorCode":"ACCESS_DENIED","errorSummary":"blocked by policy"}"#,
        r#"{"error":{"errorCode":"E0000006"}}"#,
    ];
    for status in [302, 400, 401, 403, 404, 405, 407, 409, 451] {
        for body in bodies {
            let error = failed_create(answer(status, "", body)).await;
            assert_eq!(error.failure, Failure::NotOkta { status }, "{status} {body}");
            assert_eq!(error.took_effect(), TookEffect::Unknown);
        }
        let cut = format!("HTTP/1.1 {status} X\r\ncontent-length: 99\r\n\r\n{{\"errorCode\":").into_bytes();
        assert_eq!(failed_create(Reply::Bytes(cut)).await.failure, Failure::NotOkta { status }, "{status} cut off");
    }
    let server = serve(vec![answer(404, "", "<html>no such page</html>"), answer(204, "", "")]).await;
    let deleted = server.client.delete(&id()).await.map(drop).map_err(|error| error.failure);
    assert_eq!(deleted, Err(Failure::NotOkta { status: 404 }), "what a proxy does not find may be in Okta");
}

#[tokio::test]
async fn who_limits_the_rate_before_okta_is_heeded_for_a_minute_at_most() {
    for (headers, body, seconds) in [
        ("Retry-After: 3600\r\n", "<html>429 Too Many Requests</html>", 60),
        ("Retry-After: 7\r\n", "", 7),
        ("", "", 60),
        ("Retry-After: 3600\r\n", r#"{"errorCode":"E0000047"}"#, 3_600),
    ] {
        let error = failed_create(answer(429, headers, body)).await;
        let wait = Duration::from_secs(seconds);
        assert_eq!(error.failure, Failure::RateLimited { wait, concurrency: false }, "{headers} {body}");
    }
}

#[tokio::test]
async fn a_refusal_has_code_summary_and_causes_bounded_and_without_what_was_secret() {
    let summary = format!("Api validation failed:\\n {HOOK_SECRET} {}", "x".repeat(5000));
    let causes = format!(r#"[{{"errorSummary":"SSWS {TOKEN} bad"}},{{"errorSummary":"aG9vazpzZWNyZXQ"}}]"#);
    let body = format!(r#"{{"errorCode":"E0000001","errorSummary":"{summary}","errorCauses":{causes}}}"#);
    let error = failed_create(answer(400, "", &body)).await;
    let Failure::Refused { status, code, summary, causes } = error.failure else { panic!("{error}") };
    assert_eq!((status, &*code), (400, "E0000001"));
    assert!(summary.starts_with("Api validation failed: [secret] xxx"), "{summary}");
    assert_eq!(summary.chars().count(), 300);
    assert_eq!(causes, ["SSWS [secret] bad", "[secret]"]);
}

#[tokio::test]
async fn a_rate_limit_says_its_wait_and_whether_it_was_for_concurrency() {
    let window = "X-Rate-Limit-Limit: 600\r\nX-Rate-Limit-Remaining: 0\r\nX-Rate-Limit-Reset: 1000000017\r\n\
                  Date: Sun, 09 Sep 2001 01:46:40 GMT\r\n";
    let error = failed_create(answer(429, window, "{}")).await;
    assert_eq!(error.failure, Failure::RateLimited { wait: Duration::from_secs(17), concurrency: false });
    let many = failed_create(answer(429, &window.replace("Limit: 600", "Limit: 0"), "{}")).await;
    assert_eq!(many.failure, Failure::RateLimited { wait: Duration::from_secs(17), concurrency: true });
    let bare = failed_create(answer(429, "", "{}")).await;
    assert_eq!(bare.failure, Failure::RateLimited { wait: Duration::from_mins(1), concurrency: false });
}

#[tokio::test]
async fn an_answer_that_cannot_be_believed_leaves_the_outcome_open() {
    let cut = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{}", HOOK.len(), &HOOK[..40]).into_bytes();
    let cases = [
        ("truncated JSON", answer(200, "", &HOOK[..HOOK.len() - 9])),
        ("another document", answer(200, "", "[]")),
        ("another type", answer(200, "", &HOOK.replace("telephony.provider", "oauth2.tokens.transform"))),
        ("an id that is a path", answer(200, "", &HOOK.replace("cal1", "../../users"))),
        ("an empty body", answer(200, "", "")),
        ("a body that breaks off", Reply::Bytes(cut)),
        ("no HTTP", Reply::Bytes(b"\x16\x03\x01 hello\r\n\r\n".to_vec())),
        ("a closed connection", Reply::Nothing),
        ("silence", Reply::Hang),
        ("a status of no class", answer(799, "", "")),
    ];
    for (name, reply) in cases {
        let error = failed_create(reply).await;
        assert_eq!(
            (error.reason(), error.took_effect()),
            ("OktaAnswerUnclear", TookEffect::Unknown),
            "{name}: {error}"
        );
    }
}

#[tokio::test]
async fn a_body_above_one_mebibyte_is_not_read_to_its_end() {
    let mut huge = format!("[{HOOK}");
    while huge.len() < 3 << 20 {
        write!(huge, ",{HOOK}").unwrap();
    }
    huge.push(']');
    let server = serve(vec![answer(200, "", &huge)]).await;
    let error = server.client.list_hooks().await.unwrap_err();
    assert_eq!(error.failure, Failure::Unclear { detail: "it is larger than 1 MiB".into() });
}

#[tokio::test]
async fn a_trickling_body_ends_at_the_deadline_of_the_whole_call() {
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n[".to_vec();
    let server = serve(vec![Reply::Trickle(head)]).await;
    let begun = Instant::now();
    let error = server.client.list_hooks().await.unwrap_err();
    assert_eq!(error.failure, Failure::Unclear { detail: "none within 800 ms".into() });
    assert!(begun.elapsed() < Duration::from_millis(2500), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn what_was_never_sent_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let pair = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let org = OrgUrl::parse(&format!("https://localhost:{port}")).unwrap();
    let error = OktaClient::new(org, credential(), http(&pair.cert.pem())).list_hooks().await.unwrap_err();
    assert_eq!((error.reason(), error.took_effect()), ("OktaUnreachable", TookEffect::No));

    let server = serve(vec![answer(200, "", "[]")]).await;
    let stranger = OktaClient::new(server.client.org().clone(), credential(), http(&pair.cert.pem()));
    let error = stranger.list_hooks().await.unwrap_err();
    assert_eq!(error.reason(), "OktaUnreachable", "an untrusted certificate: {error}");
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let server = serve(vec![answer(302, "Location: /elsewhere\r\n", ""), answer(200, "", "[]")]).await;
    let error = server.client.list_hooks().await.unwrap_err();
    assert_eq!(error.failure, Failure::NotOkta { status: 302 });
    assert!(error.to_string().contains("redirect"));
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_list_follows_its_pages_within_the_org() {
    let second = HOOK.replace("cal1", "cal2");
    let next = "Link: </api/v1/inlineHooks?after=x>; rel=\"next\"\r\n";
    let server = serve(vec![answer(200, next, &format!("[{HOOK}]")), answer(200, "", &format!("[{second}]"))]).await;
    let hooks = server.client.list_hooks().await.unwrap().value;
    assert_eq!(hooks.iter().map(|hook| hook.id.as_str()).collect::<Vec<_>>(), ["cal1", "cal2"]);
    assert!(server.requests()[1].starts_with("GET /api/v1/inlineHooks?after=x "));
}

#[tokio::test]
async fn a_list_that_leads_elsewhere_or_never_ends_is_no_list() {
    for link in ["https://evil.example/api/v1/users", "/api/v1/users", "/api/v1/inlineHooks/cal1", "/"] {
        let leads = answer(200, &format!("Link: <{link}>; rel=\"next\"\r\n"), "[]");
        let server = serve(vec![leads, answer(200, "", "[]")]).await;
        assert_eq!(server.client.list_hooks().await.unwrap_err().reason(), "OktaAnswerUnclear", "{link}");
        assert_eq!(server.requests().len(), 1);
    }
    let page = || answer(200, "Link: </api/v1/inlineHooks?after=x>; rel=\"next\"\r\n", "[]");
    let server = serve((0..12).map(|_| page()).collect()).await;
    assert!(server.client.list_hooks().await.is_err());
    assert_eq!(server.requests().len(), 10);
}

#[tokio::test]
async fn a_page_that_fails_fails_the_list() {
    let next = "Link: </api/v1/inlineHooks?after=x>; rel=\"next\"\r\n";
    let server = serve(vec![answer(200, next, &format!("[{HOOK}]")), answer(500, "", "")]).await;
    assert_eq!(server.client.list_hooks().await.unwrap_err().failure, Failure::Server { status: 500, code: None });
}

#[tokio::test]
async fn the_orgs_identity_is_asked_without_the_token_and_falls_back_to_its_host() {
    let known = answer(200, "", r#"{"id":"00o1n8sbwArJ7OQRw406","pipeline":"idx"}"#);
    let unsound = answer(200, "", r#"{"id":"not an id"}"#);
    let server = serve(vec![known, answer(404, "", ""), unsound, answer(500, "", "")]).await;
    let client = &server.client;
    assert_eq!(client.organization().await.unwrap().value.identity, OrgIdentity::Id("00o1n8sbwArJ7OQRw406".into()));
    assert_eq!(client.organization().await.unwrap().value.identity, OrgIdentity::HostName("localhost".into()));
    assert_eq!(client.organization().await.unwrap_err().reason(), "OktaAnswerUnclear");
    assert_eq!(client.organization().await.unwrap_err().reason(), "OktaServerError", "an outage is no other identity");
    assert!(server.requests().iter().all(|request| !request.contains(TOKEN)));
}

#[tokio::test]
async fn execute_sends_the_body_and_returns_what_the_hook_said() {
    let failed = answer(400, "", r#"{"errorCode":"E0000135"}"#);
    let server = serve(vec![answer(200, "", r#"{"commands":[]}"#), failed]).await;
    let body = serde_json::json!({"eventId": "e1"});
    let said = server.client.execute(&id(), &body, Duration::from_secs(7)).await.unwrap();
    assert_eq!(said.value["commands"], serde_json::json!([]));
    let request = &server.requests()[0];
    assert!(request.starts_with("POST /api/v1/inlineHooks/cal1/execute ") && request.ends_with(r#"{"eventId":"e1"}"#));
    let error = server.client.execute(&id(), &body, Duration::from_secs(7)).await.unwrap_err();
    assert!(matches!(error.failure, Failure::Refused { code, .. } if *code == *"E0000135"));
}

#[tokio::test]
async fn the_log_is_read_from_a_time_and_then_where_okta_says() {
    let event = |id: &str| {
        format!(
            r#"{{"uuid":"{id}","published":"2026-11-25T10:00:00.000Z","eventType":"system.sms.send_factor_verify_message",
            "debugContext":{{"debugData":{{"isSmsHookFailover":"true","phoneNumber":"+46701740605"}}}}}}"#
        )
    };
    let next = "Link: </api/v1/logs?after=abc&limit=200>; rel=\"next\"\r\n";
    let foreign = "Link: </api/v1/users?after=x>; rel=\"next\"\r\n";
    let pages = vec![
        answer(200, next, &format!("[{}]", event("u-1"))),
        answer(200, next, &format!("[{}]", event("u-2"))),
        answer(200, foreign, "[]"),
    ];
    let server = serve(pages).await;
    let since = log::From::Since("2026-11-25T09:00:00.123456789Z".parse().unwrap());
    let first = server.client.log(&since).await.unwrap().value;
    assert_eq!(first.events.len(), 1);
    assert_eq!(
        (first.events[0].id.as_str(), first.events[0].kind),
        ("u-1", log::LogEventKind::Sent { fell_back: true })
    );
    let from = log::From::Next(first.next.unwrap());
    assert_eq!(server.client.log(&from).await.unwrap().value.events[0].id, "u-2");
    assert_eq!(server.client.log(&from).await.unwrap_err().reason(), "OktaAnswerUnclear", "outside the log");
    let requests = server.requests();
    let asked = requests[0].split_whitespace().nth(1).unwrap();
    assert!(asked.starts_with("/api/v1/logs?since=2026-11-25T09%3A00%3A00.123Z&filter=eventType+eq+"), "{asked}");
    assert!(asked.ends_with("&sortOrder=ASCENDING&limit=200"), "{asked}");
    assert_eq!(requests[1].split_whitespace().nth(1), Some("/api/v1/logs?after=abc&limit=200"));
}
