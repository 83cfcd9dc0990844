//! Okta calls the active hook: the request it sends, every way a hook can fail it, and what its
//! own sender does then.

use std::time::{Duration, Instant};

use hookswitch_sandbox::certs::Authority;
use hookswitch_sandbox::inbox::Via;
use hookswitch_sandbox::okta::behaviour::Spelling;
use hookswitch_sandbox::okta::{Delivery, Failure, RequestType, SendReport, SendRequest};
use reqwest::Method;
use serde_json::{Value, json};

use crate::scene::{HANDSET, Hook, SECRET, Says, Scene, answer, telephony};

fn events(scene: &Scene, prefix: &str) -> Vec<Value> {
    let mut events = scene.org().log();
    events.retain(|event| event["eventType"].as_str().unwrap().starts_with(prefix));
    events
}

async fn sent(scene: &Scene) -> SendReport {
    scene.org().send(SendRequest::sms(HANDSET).with_code("482913")).await
}

/// Sends to a hook that fails so, and checks that Okta's own sender took over.
async fn falls_back(says: Says, failure: Failure) -> SendReport {
    let scene = Scene::new().await;
    let hook = scene.hooked(says).await;
    let report = sent(&scene).await;
    assert_eq!(report.delivery, Delivery::OktaFallback);
    assert_eq!(report.hook.as_ref().unwrap().failure, Some(failure));
    assert_eq!(hook.requests(), 1, "a telephony hook is never called again");
    let inbox = scene.sandbox.inbox().messages(Some(HANDSET));
    assert_eq!(inbox.len(), 1);
    assert_eq!(inbox[0].via, Via::OktaFallback);
    assert_eq!(inbox[0].code.as_deref(), Some("482913"));
    assert_eq!(events(&scene, "inline_hook.executed")[0]["outcome"]["result"], "FAILURE");
    let sending = &events(&scene, "system.sms.send")[0];
    assert_eq!(sending["debugContext"]["debugData"]["isSmsHookFailover"], "true");
    report
}

#[tokio::test]
async fn the_hook_gets_the_documented_request() {
    let scene = Scene::new().await;
    let hook = scene.hooked(Says::successful()).await;
    let report = sent(&scene).await;
    assert_eq!(report.delivery, Delivery::Hook);
    let (head, body) = hook.only_request();
    assert!(head.starts_with("post /hooks/main http/1.1"), "{head}");
    for line in [
        "accept: application/json",
        "content-type: application/json",
        "x-env: test",
        &format!("authorization: {}", SECRET.to_lowercase()),
    ] {
        assert_eq!(head.lines().filter(|l| *l == line).count(), 1, "{line}");
    }
    let id = scene.org().hooks()[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(body["source"], format!("{}/api/v1/inlineHooks/{id}", scene.org().base()));
    assert_eq!(body["eventId"], report.event_id);
    assert_eq!(body["eventType"], "com.okta.telephony.provider");
    assert_eq!(body["requestType"], "com.okta.user.telephony.mfa-verification");
    let message = &body["data"]["messageProfile"];
    assert_eq!(message["phoneNumber"], HANDSET);
    assert_eq!(message["otpCode"], "482913");
    assert_eq!(message["deliveryChannel"], "SMS");
    assert_eq!(message["msgTemplate"], "Your verification code is 482913.");
    let time = |at: &Value| at.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let life = time(&message["otpExpires"]).duration_since(time(&body["eventTime"]));
    assert_eq!(life.as_secs(), 300);
    let answer = report.hook.unwrap();
    assert_eq!(answer.provider.as_deref(), Some("TWILIO"));
    assert_eq!(answer.transaction_id.as_deref(), Some("SM1"));
    assert_eq!(answer.transaction_metadata.as_deref(), Some("one attempt"));
    assert!(scene.sandbox.inbox().messages(None).is_empty());
    let debug = &events(&scene, "system.sms.send")[0]["debugContext"]["debugData"];
    assert_eq!(debug["smsTelephonyProvider"], "TWILIO");
    assert_eq!(debug["isSmsHookFailover"], "false");
    assert_eq!(debug["transactionId"], "SM1");
}

#[tokio::test]
async fn a_call_is_spelled_and_logged_as_a_call() {
    let scene = Scene::new().await;
    let hook = scene.hooked(Says::successful()).await;
    let mut request = SendRequest::voice(HANDSET);
    request.request_type = RequestType::AccountUnlock;
    scene.org().send(request).await;
    let (_, body) = hook.only_request();
    assert_eq!(body["data"]["messageProfile"]["deliveryChannel"], "voice call");
    assert_eq!(body["requestType"], "com.okta.user.telephony.account-unlock");
    let event = &events(&scene, "system.voice.send")[0];
    assert_eq!(event["eventType"], "system.voice.send_account_unlock_call");
    assert_eq!(event["debugContext"]["debugData"]["callTelephonyProvider"], "TWILIO");
}

#[tokio::test]
async fn a_silent_hook_is_given_up_after_its_time() {
    let scene = Scene::with(|org| org.behaviour.hook_timeout_ms = 300).await;
    let _hook = scene.hooked(Says::Silence).await;
    let begun = Instant::now();
    let report = sent(&scene).await;
    assert!(begun.elapsed() < Duration::from_millis(2_500));
    assert_eq!(report.hook.unwrap().failure, Some(Failure::Timeout));
    assert_eq!(report.delivery, Delivery::OktaFallback);
}

#[tokio::test]
async fn a_hook_has_three_seconds_unless_configured_otherwise() {
    let scene = Scene::new().await;
    let _hook = scene.hooked(Says::Silence).await;
    let report = sent(&scene).await;
    let answer = report.hook.unwrap();
    assert_eq!(answer.failure, Some(Failure::Timeout));
    assert!((2_900..6_000).contains(&answer.duration_ms), "{}", answer.duration_ms);
}

#[tokio::test]
async fn an_answer_after_the_time_counts_for_nothing() {
    let scene = Scene::with(|org| org.behaviour.hook_timeout_ms = 500).await;
    let late = Says::After(Duration::from_secs(3), Box::new(Says::successful()));
    let _hook = scene.hooked(late).await;
    assert_eq!(sent(&scene).await.delivery, Delivery::OktaFallback);
}

#[tokio::test]
async fn an_answer_that_begins_and_does_not_end_in_time_is_a_timeout() {
    let scene = Scene::with(|org| org.behaviour.hook_timeout_ms = 300).await;
    let begin = b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"comm";
    let _hook = scene.hooked(Says::Stuck(begin)).await;
    let report = sent(&scene).await;
    assert_eq!(report.hook.unwrap().failure, Some(Failure::Timeout));
    assert_eq!(report.delivery, Delivery::OktaFallback);
}

#[tokio::test]
async fn an_answer_cut_short_is_unreachable() {
    let begin = b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"comm".to_vec();
    falls_back(Says::Raw(begin), Failure::Unreachable).await;
}

#[tokio::test]
async fn any_status_but_200_is_a_failure() {
    for status in [201, 202, 204, 400, 401, 500, 503] {
        let report = falls_back(Says::Json(status, answer("SUCCESSFUL")), Failure::Status).await;
        assert_eq!(report.hook.unwrap().http_status, Some(status));
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let scene = Scene::new().await;
    let elsewhere = Hook::start(&scene.sandbox, Says::successful()).await;
    let redirect = format!("HTTP/1.1 307 Moved\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n", elsewhere.url("/"));
    let _hook = scene.hooked(Says::Raw(redirect.into_bytes())).await;
    let report = sent(&scene).await;
    assert_eq!(report.hook.unwrap().failure, Some(Failure::Status));
    assert_eq!(elsewhere.requests(), 0);
}

#[tokio::test]
async fn a_connection_that_breaks_is_unreachable() {
    falls_back(Says::HangUp, Failure::Unreachable).await;
}

#[tokio::test]
async fn a_hook_that_does_not_listen_is_unreachable() {
    let scene = Scene::new().await;
    scene.create(&telephony("gone", "https://127.0.0.1:1/")).await;
    let report = sent(&scene).await;
    assert_eq!(report.hook.unwrap().failure, Some(Failure::Unreachable));
    assert_eq!(report.delivery, Delivery::OktaFallback);
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_not_trusted() {
    let scene = Scene::new().await;
    let stranger = Authority::create().unwrap();
    let hook = Hook::trusted_by(&stranger, Says::successful()).await;
    scene.create(&telephony("stranger", &hook.url("/"))).await;
    let report = sent(&scene).await;
    assert_eq!(report.hook.unwrap().failure, Some(Failure::Unreachable));
    assert_eq!(hook.requests(), 0);
}

#[tokio::test]
async fn an_org_can_be_configured_whom_to_trust() {
    let stranger = Authority::create().unwrap();
    let scene = Scene::with(|org| org.trusts = Some(stranger.cert_pem().to_owned())).await;
    let hook = Hook::trusted_by(&stranger, Says::successful()).await;
    scene.create(&telephony("stranger", &hook.url("/"))).await;
    assert_eq!(sent(&scene).await.delivery, Delivery::Hook);
}

#[tokio::test]
async fn a_public_name_reaches_the_address_it_is_resolved_to() {
    let scene = Scene::new().await;
    let hook = Hook::start(&scene.sandbox, Says::successful()).await;
    scene.org().resolve("otp.example.com", &hook.addr().to_string());
    scene.create(&telephony("public", "https://otp.example.com/hooks/main")).await;
    assert_eq!(sent(&scene).await.delivery, Delivery::Hook);
    let (head, _) = hook.only_request();
    assert!(head.contains("host: otp.example.com"), "{head}");
}

#[tokio::test]
async fn a_malformed_answer_is_a_failure() {
    let command = |value: Value| json!({"commands": [{"type": "com.okta.telephony.action", "value": value}]});
    for body in [
        command(json!({"status": "SUCCESSFUL"})),
        command(json!([{"status": "SUCCESS"}])),
        json!({"commands": [{"type": "com.okta.other", "value": [{"status": "SUCCESSFUL"}]}]}),
        json!("SUCCESSFUL"),
    ] {
        falls_back(Says::Json(200, body), Failure::Malformed).await;
    }
    let html = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n<html>".to_vec();
    let report = falls_back(Says::Raw(html), Failure::Malformed).await;
    let answered = report.hook.unwrap().error_message.unwrap();
    assert!(answered.contains("Could not deserialize"), "{answered}");
}

#[tokio::test]
async fn an_answer_of_256_kb_is_too_large() {
    let body = format!("{{\"debugContext\": \"{}\"}}", "x".repeat(256 * 1024));
    let raw = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    falls_back(Says::Raw(raw.into_bytes()), Failure::Malformed).await;
}

#[tokio::test]
async fn an_error_object_is_a_failure() {
    let body = json!({"error": {"errorSummary": "not today"}});
    falls_back(Says::Json(200, body), Failure::Error).await;
}

#[tokio::test]
async fn failed_makes_okta_send() {
    falls_back(Says::Json(200, answer("FAILED")), Failure::Failed).await;
}

#[tokio::test]
async fn pending_makes_okta_do_nothing() {
    let scene = Scene::new().await;
    let _hook = scene.hooked(Says::Json(200, answer("PENDING"))).await;
    assert_eq!(sent(&scene).await.delivery, Delivery::HookPending);
    assert!(scene.sandbox.inbox().messages(None).is_empty());
    assert!(events(&scene, "inline_hook.executed").is_empty());
}

#[tokio::test]
async fn the_fallback_sends_five_a_minute_and_denies_the_sixth() {
    let scene = Scene::new().await;
    let _hook = scene.hooked(Says::Json(500, json!({}))).await;
    for _ in 0..5 {
        assert_eq!(sent(&scene).await.delivery, Delivery::OktaFallback);
    }
    assert_eq!(sent(&scene).await.delivery, Delivery::Denied);
    assert_eq!(scene.sandbox.inbox().messages(None).len(), 5);
    let last = events(&scene, "system.sms.send").pop().unwrap();
    assert_eq!(last["outcome"]["result"], "DENY");
}

#[tokio::test]
async fn an_org_without_a_sender_of_its_own_delivers_nothing() {
    let scene = Scene::with(|org| org.behaviour.fallback = false).await;
    let _hook = scene.hooked(Says::Json(500, json!({}))).await;
    assert_eq!(sent(&scene).await.delivery, Delivery::Nobody);
    assert!(scene.sandbox.inbox().messages(None).is_empty());
}

#[tokio::test]
async fn without_an_active_hook_okta_sends_itself_and_calls_it_no_failover() {
    let scene = Scene::new().await;
    assert_eq!(sent(&scene).await.delivery, Delivery::Okta);
    assert_eq!(scene.sandbox.inbox().messages(None)[0].via, Via::Okta);
    let debug = &events(&scene, "system.sms.send")[0]["debugContext"]["debugData"];
    assert_eq!(debug["isSmsHookFailover"], "false");
    assert_eq!(debug["smsProvider"], "OKTA");
}

#[tokio::test]
async fn debug_data_can_be_spelled_as_in_the_catalogue() {
    let scene = Scene::with(|org| org.behaviour.spelling = Spelling::Snake).await;
    sent(&scene).await;
    let debug = &events(&scene, "system.sms.send")[0]["debugContext"]["debugData"];
    assert_eq!(debug["is_sms_hook_failover"], "false");
}

#[tokio::test]
async fn successes_are_logged_as_executed_only_when_configured() {
    for logged in [false, true] {
        let scene = Scene::with(|org| org.behaviour.log_successful_executions = logged).await;
        let _hook = scene.hooked(Says::successful()).await;
        sent(&scene).await;
        assert_eq!(events(&scene, "inline_hook.executed").len(), usize::from(logged));
        assert_eq!(events(&scene, "inline_hook.response.processed").len(), 1);
    }
}

async fn execute(scene: &Scene, body: &Value) -> crate::scene::Got {
    let id = scene.org().hooks()[0]["id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/inlineHooks/{id}/execute");
    scene.okta(Method::POST, &path, Some(body)).await
}

#[tokio::test]
async fn execute_calls_the_hook_with_the_clients_body_and_answers_its_answer() {
    let scene = Scene::new().await;
    let hook = scene.hooked(Says::Json(200, answer("FAILED"))).await;
    let body = json!({"eventId": "mine", "source": "s", "requestType": "r", "data": {"x": 1}});
    let done = execute(&scene, &body).await;
    assert_eq!((done.status.as_u16(), done.body), (200, answer("FAILED")));
    assert_eq!(hook.only_request().1, body);
    assert!(scene.sandbox.inbox().messages(None).is_empty());
}

#[tokio::test]
async fn execute_says_how_the_hook_failed() {
    for (says, status, code, calls) in [
        (Says::Json(500, json!({})), 400, "E0000135", 1),
        (Says::Json(200, json!({"error": {}})), 400, "E0000135", 1),
        (Says::HangUp, 502, "E0000134", 2),
        (Says::Silence, 504, "E0000137", 2),
    ] {
        let scene = Scene::with(|org| org.behaviour.hook_timeout_ms = 700).await;
        let hook = scene.hooked(says).await;
        let done = execute(&scene, &json!({"data": {}})).await;
        assert_eq!((done.status.as_u16(), done.code()), (status, code));
        assert_eq!(hook.requests(), calls, "{code}");
    }
}

#[tokio::test]
async fn execute_refuses_a_body_that_is_none() {
    let scene = Scene::new().await;
    let hook = scene.hooked(Says::successful()).await;
    for body in [json!({}), json!([]), json!({"data": {}, "extra": 1}), json!({"data": 5})] {
        let refused = execute(&scene, &body).await;
        assert_eq!((refused.status.as_u16(), refused.code()), (400, "E0000001"), "{body}");
    }
    assert_eq!(hook.requests(), 0);
}
