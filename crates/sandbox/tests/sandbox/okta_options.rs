//! What Okta does not document, one test for each answer; and the faults of its API.

use std::time::{Duration, Instant};

use hookswitch_sandbox::okta::behaviour::{
    Behaviour, OnDeletingActive, OnMissingSecret, OnSecondActivation, OnSecondCreation, Permission,
};
use hookswitch_sandbox::okta::faults::{CallKind, OktaFault, OktaFaultKind};
use hookswitch_sandbox::provider::Moment;
use reqwest::Method;
use serde_json::{Value, json};

use crate::scene::{SECRET, Says, Scene, TOKEN, got, telephony};

const URI: &str = "https://otp.example.com/hooks/main";

async fn scene(change: impl FnOnce(&mut Behaviour)) -> Scene {
    Scene::with(|org| change(&mut org.behaviour)).await
}

/// Two hooks: the first ACTIVE, the second INACTIVE.
async fn pair(scene: &Scene) -> (String, String) {
    let second = scene.create(&telephony("second", URI)).await.id();
    scene.post(&lifecycle(&second, "deactivate")).await;
    let first = scene.create(&telephony("first", URI)).await.id();
    (first, second)
}

fn lifecycle(id: &str, act: &str) -> String {
    format!("/api/v1/inlineHooks/{id}/lifecycle/{act}")
}

#[tokio::test]
async fn a_second_creation_can_be_refused() {
    let scene = scene(|b| b.second_creation = OnSecondCreation::Refused).await;
    scene.create(&telephony("one", URI)).await;
    let two = scene.create(&telephony("two", URI)).await;
    assert_eq!((two.status.as_u16(), two.code()), (400, "E0000001"));
    assert_eq!(scene.org().hooks().len(), 1);
}

#[tokio::test]
async fn a_second_creation_can_be_inactive() {
    let scene = scene(|b| b.second_creation = OnSecondCreation::CreatedInactive).await;
    let one = scene.create(&telephony("one", URI)).await.id();
    let two = scene.create(&telephony("two", URI)).await;
    assert_eq!(two.body["status"], "INACTIVE");
    assert_eq!(scene.status(&one).await, "ACTIVE");
}

#[tokio::test]
async fn a_second_creation_can_take_over() {
    let scene = scene(|b| b.second_creation = OnSecondCreation::TakesOver).await;
    let one = scene.create(&telephony("one", URI)).await.id();
    let two = scene.create(&telephony("two", URI)).await;
    assert_eq!(two.body["status"], "ACTIVE");
    assert_eq!(scene.status(&one).await, "INACTIVE");
}

#[tokio::test]
async fn a_second_activation_can_be_refused() {
    let scene = scene(|b| b.second_activation = OnSecondActivation::Refused).await;
    let (first, second) = pair(&scene).await;
    let refused = scene.post(&lifecycle(&second, "activate")).await;
    assert_eq!((refused.status.as_u16(), refused.code()), (400, "E0000001"));
    assert_eq!(scene.status(&first).await, "ACTIVE");
    assert_eq!(scene.status(&second).await, "INACTIVE");
}

#[tokio::test]
async fn a_second_activation_can_take_over() {
    let scene = scene(|b| b.second_activation = OnSecondActivation::TakesOver).await;
    let (first, second) = pair(&scene).await;
    let done = scene.post(&lifecycle(&second, "activate")).await;
    assert_eq!(done.body["status"], "ACTIVE");
    assert_eq!(scene.status(&first).await, "INACTIVE");
}

#[tokio::test]
async fn a_second_activation_can_leave_two_active_and_the_record_shows_it() {
    let scene = scene(|b| b.second_activation = OnSecondActivation::BothActive).await;
    let (first, second) = pair(&scene).await;
    assert_eq!(scene.post(&lifecycle(&second, "activate")).await.body["status"], "ACTIVE");
    assert_eq!(scene.status(&first).await, "ACTIVE");
    let most = scene.org().turns().iter().map(|turn| turn.active.len()).max();
    assert_eq!(most, Some(2), "{:?}", scene.org().turns());
}

#[tokio::test]
async fn deactivating_the_last_hook_can_be_allowed_or_refused() {
    for (permission, status, after) in [(Permission::Allowed, 200, "INACTIVE"), (Permission::Refused, 400, "ACTIVE")] {
        let scene = scene(|b| b.deactivating_last = permission).await;
        let id = scene.create(&telephony("one", URI)).await.id();
        let got = scene.post(&lifecycle(&id, "deactivate")).await;
        assert_eq!(got.status, status);
        assert_eq!(scene.status(&id).await, after);
    }
}

#[tokio::test]
async fn deleting_an_active_hook_can_be_answered_three_ways() {
    for (how, status, left) in [
        (OnDeletingActive::BadRequest, 400, 1),
        (OnDeletingActive::Forbidden, 403, 1),
        (OnDeletingActive::Deleted, 204, 0),
    ] {
        let scene = scene(|b| b.deleting_active = how).await;
        let id = scene.create(&telephony("one", URI)).await.id();
        let path = format!("/api/v1/inlineHooks/{id}");
        assert_eq!(scene.okta(Method::DELETE, &path, None).await.status, status);
        assert_eq!(scene.org().hooks().len(), left);
    }
}

#[tokio::test]
async fn executing_an_inactive_hook_can_be_refused_or_allowed() {
    for (permission, status, calls) in [(Permission::Refused, 400, 0), (Permission::Allowed, 200, 1)] {
        let scene = scene(|b| b.execute_inactive = permission).await;
        let hook = scene.hooked(Says::successful()).await;
        let id = scene.org().hooks()[0]["id"].as_str().unwrap().to_owned();
        scene.post(&lifecycle(&id, "deactivate")).await;
        let path = format!("/api/v1/inlineHooks/{id}/execute");
        let done = scene.okta(Method::POST, &path, Some(&json!({"data": {}}))).await;
        assert_eq!(done.status, status, "{}", done.body);
        assert_eq!(hook.requests(), calls);
    }
}

#[tokio::test]
async fn a_put_without_the_secret_can_keep_clear_or_be_refused() {
    for (how, status, delivery) in [
        (OnMissingSecret::Kept, 200, "hook"),
        (OnMissingSecret::Cleared, 200, "okta-fallback"),
        (OnMissingSecret::Refused, 400, "hook"),
    ] {
        let scene = scene(|b| b.missing_secret = how).await;
        let hook = scene.hooked(Says::successful()).await;
        let id = scene.org().hooks()[0]["id"].as_str().unwrap().to_owned();
        let mut body = telephony("standing", &hook.url("/"));
        let scheme = body["channel"]["config"]["authScheme"].as_object_mut().unwrap();
        scheme.remove("value");
        let path = format!("/api/v1/inlineHooks/{id}");
        let put = scene.okta(Method::PUT, &path, Some(&body)).await;
        assert_eq!(put.status, status);
        let sent = scene.org().send(hookswitch_sandbox::okta::SendRequest::sms("+46701234567")).await;
        assert_eq!(serde_json::to_value(sent.delivery).unwrap(), delivery);
        if delivery == "hook" {
            let (head, _) = hook.only_request();
            assert!(head.contains(&format!("authorization: {}", SECRET.to_lowercase())));
        } else {
            assert_eq!(hook.requests(), 0, "a hook without its secret is skipped");
        }
    }
}

#[tokio::test]
async fn an_effect_can_come_later_than_its_answer() {
    let scene = Scene::new().await;
    let id = scene.create(&telephony("one", URI)).await.id();
    let mut behaviour = scene.org().behaviour();
    behaviour.effect_delay_ms = 1_000;
    scene.org().set_behaviour(behaviour);
    let done = scene.post(&lifecycle(&id, "deactivate")).await;
    assert_eq!(done.body["status"], "INACTIVE");
    assert_eq!(scene.status(&id).await, "ACTIVE");
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(scene.status(&id).await, "INACTIVE");
}

#[tokio::test]
async fn every_call_can_be_late() {
    let scene = scene(|b| b.latency_ms = 120).await;
    let begun = Instant::now();
    scene.okta(Method::GET, "/api/v1/inlineHooks", None).await;
    assert!(begun.elapsed() >= Duration::from_millis(120));
}

fn fault(call: CallKind, when: Moment, fault: OktaFaultKind) -> OktaFault {
    OktaFault { call, when, fault, times: Some(1) }
}

#[tokio::test]
async fn a_fault_meets_its_call_once_and_leaves_others_alone() {
    let scene = Scene::new().await;
    for (kind, status, code) in [
        (OktaFaultKind::RateLimited { reset_seconds: 9 }, 429, "E0000047"),
        (OktaFaultKind::Status { status: 500 }, 500, "E0000009"),
        (OktaFaultKind::Status { status: 503 }, 503, "E0000010"),
        (OktaFaultKind::Status { status: 401 }, 401, "E0000011"),
        (OktaFaultKind::Status { status: 403 }, 403, "E0000006"),
    ] {
        scene.org().set_fault(fault(CallKind::List, Moment::Before, kind)).unwrap();
        let log = scene.okta(Method::GET, "/api/v1/logs", None).await;
        assert_eq!(log.status, 200);
        let failed = scene.okta(Method::GET, "/api/v1/inlineHooks", None).await;
        assert_eq!((failed.status.as_u16(), failed.code()), (status, code));
        if status == 429 {
            assert_eq!(failed.headers["x-rate-limit-remaining"], "0");
        }
        let healed = scene.okta(Method::GET, "/api/v1/inlineHooks", None).await;
        assert_eq!(healed.status, 200);
    }
}

#[tokio::test]
async fn wrong_and_truncated_json_come_with_status_200() {
    let scene = Scene::new().await;
    let list = || scene.okta(Method::GET, "/api/v1/inlineHooks", None);
    scene.org().set_fault(fault(CallKind::Any, Moment::After, OktaFaultKind::WrongJson)).unwrap();
    let wrong = list().await;
    assert!(wrong.status == 200 && wrong.body.is_object());
    scene.org().set_fault(fault(CallKind::Any, Moment::After, OktaFaultKind::TruncatedJson)).unwrap();
    let half = list().await;
    assert!(half.status == 200 && half.body == Value::Null);
}

#[tokio::test]
async fn a_lost_answer_leaves_the_effect_and_a_lost_request_does_not() {
    for lost in [OktaFaultKind::Timeout, OktaFaultKind::Reset] {
        for (when, hooks) in [(Moment::Before, 0), (Moment::After, 1)] {
            let scene = Scene::new().await;
            scene.org().set_fault(fault(CallKind::Create, when, lost.clone())).unwrap();
            let request = scene
                .http
                .post(scene.url("/api/v1/inlineHooks"))
                .timeout(Duration::from_secs(1))
                .header("authorization", format!("SSWS {TOKEN}"))
                .header("content-type", "application/json")
                .body(telephony("one", URI).to_string());
            assert!(got(request).await.is_err());
            assert_eq!(scene.org().hooks().len(), hooks, "{lost:?} {when:?}");
        }
    }
}

#[tokio::test]
async fn a_held_call_has_its_effect_even_when_its_caller_has_gone() {
    let scene = Scene::new().await;
    let id = scene.create(&telephony("one", URI)).await.id();
    let gate = scene.org().hold(CallKind::Deactivate, Moment::Before);
    let request =
        scene.http.post(scene.url(&lifecycle(&id, "deactivate"))).header("authorization", format!("SSWS {TOKEN}"));
    let caller = tokio::spawn(got(request));
    gate.arrived().await;
    caller.abort();
    assert_eq!(scene.status(&id).await, "ACTIVE");
    gate.release();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(scene.status(&id).await, "INACTIVE");
}

#[tokio::test]
async fn a_fault_without_sense_is_not_set() {
    let scene = Scene::new().await;
    let teapot = fault(CallKind::Any, Moment::Before, OktaFaultKind::Status { status: 418 });
    assert!(scene.org().set_fault(teapot).is_err());
    let mut never = fault(CallKind::Any, Moment::Before, OktaFaultKind::Reset);
    never.times = Some(0);
    assert!(scene.org().set_fault(never).is_err());
}
