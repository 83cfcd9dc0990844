//! What Okta's own clients send and expect, beside the letter of the documentation.

use std::time::Duration;

use hookswitch_sandbox::okta::behaviour::Behaviour;
use hookswitch_sandbox::okta::faults::{CallKind, OktaFault};
use hookswitch_sandbox::okta::{Delivery, SendRequest};
use hookswitch_sandbox::provider::Moment;
use reqwest::{Method, Version};
use serde_json::{Value, json};

use crate::scene::{Got, HANDSET, Says, Scene, TOKEN, answer, got, telephony};

const URI: &str = "https://otp.example.com/hooks/main";

/// A scene whose org behaves so; what is not said is as it always is.
async fn scene(behaviour: Value) -> Scene {
    let behaviour: Behaviour = serde_json::from_value(behaviour).unwrap();
    Scene::with(|org| org.behaviour = behaviour).await
}

fn path(id: &str) -> String {
    format!("/api/v1/inlineHooks/{id}")
}

fn fault(fault: Value) -> OktaFault {
    serde_json::from_value(fault).unwrap()
}

fn header(got: &Got, name: &str) -> String {
    got.headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
}

#[tokio::test]
async fn a_trailing_slash_leads_to_the_same_call() {
    let scene = Scene::new().await;
    let made = scene.okta(Method::POST, "/api/v1/inlineHooks/", Some(&telephony("one", URI))).await;
    assert_eq!(made.status, 200, "{}", made.body);
    let id = made.id();
    for (method, path, body) in [
        (Method::GET, "/api/v1/inlineHooks/?type=com.okta.telephony.provider".to_owned(), None),
        (Method::GET, "/api/v1/logs/?limit=5".to_owned(), None),
        (Method::GET, format!("{}/", path(&id)), None),
        (Method::PUT, format!("{}/", path(&id)), Some(telephony("one", URI))),
        (Method::POST, format!("{}/lifecycle/deactivate/", path(&id)), None),
        (Method::GET, "/.well-known/okta-organization/".to_owned(), None),
    ] {
        let got = scene.okta(method.clone(), &path, body.as_ref()).await;
        assert_eq!(got.status, 200, "{method} {path}: {}", got.body);
    }
    let twice = scene.okta(Method::GET, "/api/v1/inlineHooks//", None).await;
    assert_eq!(twice.status, 404, "one slash is none, two are a path of their own");
}

#[tokio::test]
async fn a_token_needs_no_space_behind_its_scheme() {
    let scene = Scene::new().await;
    for (authorization, status) in [
        (format!("SSWS{TOKEN}"), 200),
        (format!("SSWS {TOKEN}"), 200),
        (format!("SSWS{TOKEN}x"), 401),
        (format!("SSWS  {TOKEN}"), 401),
        ("SSWS".to_owned(), 401),
    ] {
        let request = scene.http.get(scene.url("/api/v1/inlineHooks")).header("authorization", &authorization);
        assert_eq!(got(request).await.unwrap().status, status, "{authorization}");
    }
}

#[tokio::test]
async fn the_hook_just_read_can_be_put_back_and_what_is_read_only_is_ignored() {
    let scene = Scene::new().await;
    let id = scene.create(&telephony("one", URI)).await.id();
    let mut read = scene.okta(Method::GET, &path(&id), None).await.body;
    let created = read["created"].clone();
    read["name"] = json!("two");
    read["status"] = json!("INACTIVE");
    read["created"] = json!("1999-01-01T00:00:00.000Z");
    read["id"] = json!("calOther");
    read["lastUpdated"] = Value::Null;
    for method in [Method::PUT, Method::POST] {
        let put = scene.okta(method, &path(&id), Some(&read)).await;
        assert_eq!(put.status, 200, "{}", put.body);
        assert_eq!((put.id(), &put.body["created"]), (id.clone(), &created));
        assert_eq!((&put.body["name"], &put.body["status"]), (&json!("two"), &json!("ACTIVE")));
    }
}

#[tokio::test]
async fn metadata_is_stored_and_a_put_without_it_clears_it_unless_configured_otherwise() {
    for (missing, left) in [("cleared", Value::Null), ("kept", json!({"optOutServiceProtectionRateLimit": "true"}))] {
        let scene = scene(json!({"missingMetadata": missing})).await;
        let mut body = telephony("one", URI);
        body["metadata"] = json!({"optOutServiceProtectionRateLimit": "true"});
        let made = scene.create(&body).await;
        assert_eq!(made.body["metadata"], body["metadata"], "{}", made.body);
        let id = made.id();
        let named = scene.okta(Method::POST, &path(&id), Some(&json!({"name": "two"}))).await;
        assert_eq!(named.body["metadata"], body["metadata"], "an update keeps what it leaves out");
        let listed = scene.okta(Method::GET, "/api/v1/inlineHooks", None).await;
        assert_eq!(listed.body[0]["metadata"], body["metadata"]);
        let put = scene.okta(Method::PUT, &path(&id), Some(&telephony("one", URI))).await;
        assert_eq!(put.body["metadata"], left, "{missing}");
        let other = scene.okta(Method::PUT, &path(&id), Some(&body)).await;
        assert_eq!(other.body["metadata"], body["metadata"]);
        for wrong in [json!("true"), json!({"a": true}), json!([])] {
            let mut body = telephony("one", URI);
            body["metadata"] = wrong;
            let refused = scene.okta(Method::PUT, &path(&id), Some(&body)).await;
            assert_eq!((refused.status.as_u16(), refused.code()), (400, "E0000001"), "{}", body["metadata"]);
        }
    }
}

#[tokio::test]
async fn later_versions_and_header_keys_with_spaces_are_stored_as_they_come() {
    let scene = Scene::new().await;
    for version in ["1.0.1", "1.0.2", "1.0.0"] {
        let mut body = telephony(version, URI);
        body["type"] = json!("com.okta.oauth2.tokens.transform");
        body["version"] = json!(version);
        body["channel"]["version"] = json!(version);
        body["channel"]["config"]["headers"] =
            json!([{"key": "Field 1", "value": "Value 1"}, {"key": "Field 2", "value": "Value 2"}]);
        let made = scene.create(&body).await;
        assert_eq!(made.status, 200, "{}", made.body);
        assert_eq!((&made.body["version"], &made.body["channel"]["version"]), (&json!(version), &json!(version)));
        assert_eq!(made.body["channel"]["config"]["headers"], body["channel"]["config"]["headers"]);
    }
}

#[tokio::test]
async fn a_header_whose_key_http_does_not_know_is_not_sent() {
    let scene = Scene::new().await;
    let hook = crate::scene::Hook::start(&scene.sandbox, Says::successful()).await;
    let mut body = telephony("one", &hook.url("/hooks/main"));
    body["channel"]["config"]["headers"] = json!([{"key": "Field 1", "value": "x"}, {"key": "X-Env", "value": "prod"}]);
    assert_eq!(scene.create(&body).await.status, 200);
    assert_eq!(scene.org().send(SendRequest::sms(HANDSET)).await.delivery, Delivery::Hook);
    let (head, _) = hook.only_request();
    assert!(head.contains("x-env: prod") && !head.contains("field"), "{head}");
}

#[tokio::test]
async fn hooks_of_others_with_an_oauth_channel_stand_beside_ours_without_their_secret() {
    let scene = Scene::new().await;
    let secret = "client-secret-of-the-hook";
    let oauth = |name: &str, more: Value| {
        let mut body = telephony(name, URI);
        let mut config = json!({"uri": URI, "method": "POST", "clientId": "0oaj43vkrq7wKxZSI5e6",
            "tokenUrl": "https://acme.okta.com/oauth2/default/v1/token"});
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body["channel"] = json!({"type": "OAUTH", "version": "1.0.0", "config": config});
        body
    };
    let by_secret = json!({"authType": "client_secret_post", "clientSecret": secret, "scope": "otp"});
    let made = scene.create(&oauth("one", by_secret.clone())).await;
    assert_eq!(made.status, 200, "{}", made.body);
    assert!(!made.body.to_string().contains(secret));
    let config = &made.body["channel"]["config"];
    assert_eq!((&config["authScheme"], &config["scope"]), (&Value::Null, &json!("otp")));
    assert_eq!((&config["authType"], &made.body["channel"]["type"]), (&json!("client_secret_post"), &json!("OAUTH")));
    // Okta would fetch a token first, which this org does not: its own sender delivers
    let sent = scene.org().send(SendRequest::sms(HANDSET)).await;
    assert_eq!(sent.delivery, Delivery::OktaFallback);
    let put = scene.okta(Method::PUT, &path(&made.id()), Some(&telephony("ours", URI))).await;
    assert_eq!(put.body["channel"]["type"], "HTTP", "{}", put.body);

    let by_key = json!({"authType": "private_key_jwt", "hookKeyId": "HKYj4ft1a3fjmwZg05d6"});
    let mut token = oauth("two", by_key);
    token["type"] = json!("com.okta.oauth2.tokens.transform");
    let made = scene.create(&token).await;
    assert_eq!(made.body["channel"]["config"]["hookKeyId"], "HKYj4ft1a3fjmwZg05d6", "{}", made.body);
    for (field, wrong) in [
        ("clientId", Value::Null),
        ("tokenUrl", json!("http://acme.okta.com/token")),
        ("authType", json!("basic")),
        ("clientSecret", Value::Null),
        ("authScheme", json!({"type": "HEADER", "key": "Authorization", "value": "x"})),
    ] {
        let mut more = by_secret.clone();
        more[field] = wrong;
        let refused = scene.create(&oauth("three", more)).await;
        assert_eq!((refused.status.as_u16(), refused.code()), (400, "E0000001"), "{field}: {}", refused.body);
    }
}

#[tokio::test]
async fn an_event_can_show_late_and_after_one_that_was_published_later() {
    let late = scene(json!({"logDelayMs": 60_000})).await;
    late.create(&telephony("one", URI)).await;
    let log = late.okta(Method::GET, "/api/v1/logs", None).await;
    assert_eq!((log.body, late.org().log().len()), (json!([]), 1), "it happened, and is not shown");

    let scene = scene(json!({"logDisorderMs": 400})).await;
    let id = scene.create(&telephony("one", URI)).await.id();
    scene.post(&format!("{}/lifecycle/deactivate", path(&id))).await;
    let mut received: Vec<Value> = Vec::new();
    let mut next = "/api/v1/logs?sortOrder=ASCENDING".to_owned();
    tokio::time::timeout(Duration::from_secs(10), async {
        while received.len() < 2 {
            let page = scene.okta(Method::GET, &next, None).await;
            received.extend(page.body.as_array().unwrap().clone());
            let links = page.headers.get_all("link").iter().map(|link| link.to_str().unwrap().to_owned());
            let link = links.into_iter().find(|link| link.contains("rel=\"next\"")).unwrap();
            next = link.split(['<', '>']).nth(1).unwrap().strip_prefix(&scene.org().base()).unwrap().to_owned();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap();
    let kinds: Vec<&str> = received.iter().map(|event| event["eventType"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["inline_hook.deactivated", "inline_hook.created"], "each once, by a cursor that misses none");
    assert!(received[0]["published"].as_str() >= received[1]["published"].as_str());
}

#[tokio::test]
async fn too_many_calls_at_once_are_429_without_a_limit_and_the_others_go_on() {
    let scene = scene(json!({"concurrentCalls": 1})).await;
    let gate = scene.org().hold(CallKind::List, Moment::Before);
    let list = || scene.okta(Method::GET, "/api/v1/inlineHooks", None);
    let others = async {
        gate.arrived().await;
        let refused = scene.okta(Method::GET, "/api/v1/logs", None).await;
        gate.release();
        refused
    };
    let (first, refused) = tokio::join!(list(), others);
    assert_eq!(first.status, 200);
    assert_eq!((refused.status.as_u16(), refused.code()), (429, "E0000047"));
    let limits = (header(&refused, "x-rate-limit-limit"), header(&refused, "x-rate-limit-remaining"));
    assert_eq!(limits, ("0".to_owned(), "0".to_owned()));
    assert!(!header(&refused, "x-rate-limit-reset").is_empty() && !header(&refused, "date").is_empty());
    assert_eq!(list().await.status, 200, "who was refused takes no room");

    let once = json!({"call": "list", "when": "before", "fault": {"kind": "too-many-at-once"}, "times": 1});
    scene.org().set_fault(fault(once)).unwrap();
    let refused = list().await;
    assert_eq!((refused.status.as_u16(), header(&refused, "x-rate-limit-limit").as_str()), (429, "0"));
    assert_eq!(header(&list().await, "x-rate-limit-limit"), "1000");
}

#[tokio::test]
async fn what_the_org_does_not_allow_can_be_403_as_well() {
    let scene = scene(json!({"secondActivation": "forbidden", "secondCreation": "forbidden",
        "executeInactive": "forbidden", "deactivatingLast": "forbidden"}))
    .await;
    let active = scene.create(&telephony("one", URI)).await.id();
    let second = scene.create(&telephony("two", URI)).await;
    assert_eq!((second.status.as_u16(), second.code()), (403, "E0000006"));
    let off = scene.post(&format!("{}/lifecycle/deactivate", path(&active))).await;
    assert_eq!((off.status.as_u16(), scene.status(&active).await.as_str()), (403, "ACTIVE"));
    let mut lenient = scene.org().behaviour();
    lenient.second_creation = hookswitch_sandbox::okta::behaviour::OnSecondCreation::CreatedInactive;
    scene.org().set_behaviour(lenient);
    let second = scene.create(&telephony("two", URI)).await.id();
    let on = scene.post(&format!("{}/lifecycle/activate", path(&second))).await;
    assert_eq!((on.status.as_u16(), on.code()), (403, "E0000006"));
    assert_eq!(scene.status(&second).await, "INACTIVE");
    let run = scene.okta(Method::POST, &format!("{}/execute", path(&second)), Some(&json!({"data": {}}))).await;
    assert_eq!((run.status.as_u16(), run.code()), (403, "E0000006"));
}

#[tokio::test]
async fn a_method_that_a_path_does_not_have_is_answered_with_the_ones_that_it_has() {
    let scene = Scene::new().await;
    for (path, allowed) in [
        ("/api/v1/inlineHooks", "GET, POST"),
        ("/api/v1/inlineHooks/", "GET, POST"),
        ("/api/v1/inlineHooks/cal1", "GET, POST, PUT, DELETE"),
        ("/api/v1/inlineHooks/cal1/lifecycle/activate", "POST"),
        ("/api/v1/logs", "GET"),
    ] {
        let refused = scene.okta(Method::PATCH, path, None).await;
        assert_eq!((refused.status.as_u16(), refused.code()), (405, "E0000022"), "{path}");
        assert_eq!(header(&refused, "allow"), allowed, "{path}");
    }
}

#[tokio::test]
async fn an_org_speaks_http_2_and_a_reset_there_ends_one_call_alone() {
    let scene = Scene::new().await;
    let list = || {
        let request = scene.http.get(scene.url("/api/v1/inlineHooks"));
        request.header("authorization", format!("SSWS {TOKEN}")).send()
    };
    assert_eq!(list().await.unwrap().version(), Version::HTTP_2);
    let reset = json!({"call": "logs", "when": "after", "fault": {"kind": "reset"}, "times": 1});
    scene.org().set_fault(fault(reset)).unwrap();
    let gate = scene.org().hold(CallKind::List, Moment::Before);
    let others = async {
        gate.arrived().await;
        let logs = scene.http.get(scene.url("/api/v1/logs")).header("authorization", format!("SSWS {TOKEN}"));
        let broken = logs.send().await;
        gate.release();
        broken
    };
    let (kept, broken) = tokio::join!(list(), others);
    assert!(broken.is_err());
    assert_eq!(kept.unwrap().status(), 200);

    let plain = reqwest::Client::builder()
        .tls_certs_only([reqwest::Certificate::from_pem(scene.sandbox.authority().cert_pem().as_bytes()).unwrap()])
        .no_proxy()
        .http1_only()
        .build()
        .unwrap();
    let answer = plain.get(scene.url("/.well-known/okta-organization")).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.version()), (200, Version::HTTP_11));
}

#[tokio::test]
async fn an_answer_with_an_empty_error_is_an_answer() {
    let scene = Scene::new().await;
    let mut said = answer("SUCCESSFUL");
    said["error"] = Value::Null;
    said["debugContext"] = Value::Null;
    scene.hooked(Says::Json(200, said)).await;
    assert_eq!(scene.org().send(SendRequest::sms(HANDSET)).await.delivery, Delivery::Hook);
}
