//! The management API: its documented rules, one test for each refusal.

use reqwest::Method;
use serde_json::{Value, json};

use crate::scene::{Got, POWERLESS, SECRET, Scene, TOKEN, got, telephony};

const URI: &str = "https://otp.example.com/hooks/main";

fn with(change: impl FnOnce(&mut Value)) -> Value {
    let mut body = telephony("one", URI);
    change(&mut body);
    body
}

/// Creates and expects 400 `E0000001` about `field`.
async fn refused(body: &Value, field: &str) {
    let scene = Scene::new().await;
    let made = scene.create(body).await;
    assert_eq!(made.status, 400, "{}", made.body);
    assert_eq!(made.code(), "E0000001");
    let cause = made.body["errorCauses"][0]["errorSummary"].as_str().unwrap();
    assert!(cause.starts_with(field), "{cause}");
    assert!(scene.org().hooks().is_empty());
}

#[tokio::test]
async fn a_created_hook_is_active_and_has_the_recorded_shape() {
    let scene = Scene::new().await;
    let body = with(|b| b["status"] = json!("INACTIVE"));
    let made = scene.create(&body).await;
    assert_eq!(made.status, 200);
    assert_eq!(made.body["status"], "ACTIVE");
    assert!(made.id().starts_with("cal") && made.id().len() == 20);
    assert_eq!(
        made.body["channel"],
        json!({"type": "HTTP", "version": "1.0.0", "config": {
            "uri": URI, "method": "POST",
            "headers": [{"key": "X-Env", "value": "test"}],
            "authScheme": {"type": "HEADER", "key": "Authorization"},
        }})
    );
    let links: Vec<_> = made.body["_links"].as_object().unwrap().keys().collect();
    assert_eq!(links, ["deactivate", "execute", "self"]);
    assert!(!made.body.to_string().contains(SECRET));
    for header in ["x-okta-request-id", "x-rate-limit-limit", "x-rate-limit-remaining", "x-rate-limit-reset"] {
        assert!(made.headers.contains_key(header), "{header}");
    }
}

#[tokio::test]
async fn the_lifecycle_alone_changes_the_status_and_an_inactive_hook_can_be_deleted() {
    let scene = Scene::new().await;
    let id = scene.create(&telephony("one", URI)).await.id();
    let at = format!("/api/v1/inlineHooks/{id}");
    let off = scene.post(&format!("{at}/lifecycle/deactivate")).await;
    assert_eq!(off.body["status"], "INACTIVE");
    let links: Vec<_> = off.body["_links"].as_object().unwrap().keys().collect();
    assert_eq!(links, ["activate", "delete", "self"]);
    let put = with(|b| b["status"] = json!("ACTIVE"));
    let put = scene.okta(Method::PUT, &at, Some(&put)).await;
    assert_eq!(put.body["status"], "INACTIVE");
    let on = scene.post(&format!("{at}/lifecycle/activate")).await;
    assert_eq!(on.body["status"], "ACTIVE");
    let again = scene.post(&format!("{at}/lifecycle/activate")).await;
    assert_eq!((again.status.as_u16(), &again.body["status"]), (200, &json!("ACTIVE")));
    scene.post(&format!("{at}/lifecycle/deactivate")).await;
    let gone = scene.okta(Method::DELETE, &at, None).await;
    assert_eq!(gone.status, 204);
    let kinds: Vec<Value> = scene.org().log().iter().map(|e| e["eventType"].clone()).collect();
    assert_eq!(
        kinds,
        ["created", "deactivated", "updated", "activated", "activated", "deactivated", "deleted"]
            .map(|what| json!(format!("inline_hook.{what}")))
    );
}

#[tokio::test]
async fn a_put_without_headers_empties_them_and_an_update_keeps_what_it_leaves_out() {
    let scene = Scene::new().await;
    let id = scene.create(&telephony("one", URI)).await.id();
    let at = format!("/api/v1/inlineHooks/{id}");
    let named = scene.okta(Method::POST, &at, Some(&json!({"name": "two"}))).await;
    assert_eq!(named.body["name"], "two");
    assert_eq!(named.body["channel"]["config"]["headers"][0]["key"], "X-Env");
    let put = with(|b| {
        let config = b["channel"]["config"].as_object_mut().unwrap();
        config.remove("headers");
        config["uri"] = json!("https://standby.example.com/");
        b.as_object_mut().unwrap().remove("type");
    });
    let put = scene.okta(Method::PUT, &at, Some(&put)).await;
    assert_eq!(put.status, 200, "{}", put.body);
    assert_eq!(put.body["channel"]["config"]["headers"], json!([]));
    assert_eq!(put.body["channel"]["config"]["uri"], "https://standby.example.com/");
}

#[tokio::test]
async fn the_list_is_filtered_by_type_alone() {
    let scene = Scene::new().await;
    scene.create(&telephony("one", URI)).await;
    let token = with(|b| {
        b["name"] = json!("token");
        b["type"] = json!("com.okta.oauth2.tokens.transform");
    });
    scene.create(&token).await;
    let list = |query: &'static str| {
        let scene = &scene;
        async move {
            let path = format!("/api/v1/inlineHooks{query}");
            scene.okta(Method::GET, &path, None).await
        }
    };
    assert_eq!(list("").await.body.as_array().unwrap().len(), 2);
    let telephony = list("?type=com.okta.telephony.provider").await;
    assert_eq!(telephony.body[0]["name"], "one");
    assert_eq!(telephony.body.as_array().unwrap().len(), 1);
    let unknown = list("?limit=5").await;
    assert_eq!((unknown.status.as_u16(), unknown.code()), (400, "E0000001"));
}

#[tokio::test]
async fn the_orgs_identity_needs_no_token_and_can_be_absent() {
    let scene = Scene::new().await;
    let url = scene.url("/.well-known/okta-organization");
    let here = got(scene.http.get(&url)).await.unwrap();
    assert_eq!(here.body["id"], scene.org().id());
    assert_eq!(here.body["pipeline"], "idx");
    assert!(here.body["_links"].is_object());
    let mut behaviour = scene.org().behaviour();
    behaviour.identity = false;
    scene.org().set_behaviour(behaviour);
    assert_eq!(got(scene.http.get(&url)).await.unwrap().status, 404);
}

#[tokio::test]
async fn a_missing_wrong_or_powerless_token_is_distinguished() {
    let scene = Scene::new().await;
    let list = |header: Option<String>| {
        let mut request = scene.http.get(scene.url("/api/v1/inlineHooks"));
        if let Some(header) = header {
            request = request.header("authorization", header);
        }
        async move { got(request).await.unwrap() }
    };
    for wrong in [None, Some("SSWS wrong".to_owned()), Some(format!("Bearer {TOKEN}")), Some(TOKEN.to_owned())] {
        let refused = list(wrong).await;
        assert_eq!((refused.status.as_u16(), refused.code()), (401, "E0000011"));
        assert!(refused.headers.contains_key("x-okta-request-id"));
    }
    let powerless = list(Some(format!("SSWS {POWERLESS}"))).await;
    assert_eq!((powerless.status.as_u16(), powerless.code()), (403, "E0000006"));
}

#[tokio::test]
async fn a_hook_that_does_not_exist_is_not_found_in_the_recorded_words() {
    let scene = Scene::new().await;
    let at = "/api/v1/inlineHooks/calNothing";
    let body = telephony("one", URI);
    for (method, path, body) in [
        (Method::GET, at.to_owned(), None),
        (Method::PUT, at.to_owned(), Some(&body)),
        (Method::POST, at.to_owned(), Some(&body)),
        (Method::DELETE, at.to_owned(), None),
        (Method::POST, format!("{at}/lifecycle/activate"), None),
        (Method::POST, format!("{at}/lifecycle/deactivate"), None),
        (Method::POST, format!("{at}/execute"), Some(&body)),
    ] {
        let missing = scene.okta(method.clone(), &path, body).await;
        assert_eq!((missing.status.as_u16(), missing.code()), (404, "E0000007"), "{method} {path}");
        assert_eq!(missing.body["errorSummary"], "Not found: Resource not found: calNothing (InlineHook)");
    }
}

#[tokio::test]
async fn a_path_or_method_okta_does_not_have_is_refused() {
    let scene = Scene::new().await;
    let path = scene.okta(Method::GET, "/api/v1/nothing", None).await;
    assert_eq!((path.status.as_u16(), path.code()), (404, "E0000008"));
    let method = scene.okta(Method::PATCH, "/api/v1/inlineHooks", None).await;
    assert_eq!((method.status.as_u16(), method.code()), (405, "E0000022"));
}

#[tokio::test]
async fn a_body_of_another_type_or_no_json_is_refused() {
    let scene = Scene::new().await;
    let send = |kind: &'static str, body: String| {
        let request = scene
            .http
            .post(scene.url("/api/v1/inlineHooks"))
            .header("authorization", format!("SSWS {TOKEN}"))
            .header("content-type", kind)
            .body(body);
        async move { got(request).await.unwrap() }
    };
    let form = send("text/plain", telephony("one", URI).to_string()).await;
    assert_eq!((form.status.as_u16(), form.code()), (415, "E0000021"));
    let broken = send("application/json", "{".to_owned()).await;
    assert_eq!((broken.status.as_u16(), broken.code()), (400, "E0000003"));
    let large = send("application/json", "x".repeat(70_000)).await;
    assert_eq!(large.status, 413);
}

#[tokio::test]
async fn an_unknown_field_is_refused_wherever_it_is() {
    refused(&with(|b| b["label"] = json!("x")), "label").await;
    refused(&with(|b| b["channel"]["name"] = json!("x")), "channel.name").await;
    refused(&with(|b| b["channel"]["config"]["timeout"] = json!(3)), "channel.config.timeout").await;
    refused(&with(|b| b["channel"]["config"]["headers"][0]["secret"] = json!(true)), "channel.config.headers.secret")
        .await;
}

#[tokio::test]
async fn a_missing_field_is_refused() {
    for field in ["name", "type", "version", "channel"] {
        refused(&with(|b| drop(b.as_object_mut().unwrap().remove(field))), field).await;
    }
    for field in ["type", "version", "config"] {
        let body = with(|b| drop(b["channel"].as_object_mut().unwrap().remove(field)));
        refused(&body, &format!("channel.{field}")).await;
    }
    let body = with(|b| {
        let config = b["channel"]["config"].as_object_mut().unwrap();
        config.remove("uri");
    });
    refused(&body, "channel.config.uri").await;
}

#[tokio::test]
async fn an_ill_typed_field_is_refused() {
    refused(&with(|b| b["name"] = json!(5)), "name").await;
    refused(&with(|b| b["channel"] = json!("HTTP")), "channel").await;
    refused(&with(|b| b["channel"]["config"]["uri"] = json!([])), "channel.config.uri").await;
    refused(&with(|b| b["channel"]["config"]["headers"] = json!({"X-Env": "x"})), "channel.config.headers").await;
    refused(&json!([]), "body").await;
}

#[tokio::test]
async fn a_name_is_1_to_255_characters() {
    refused(&with(|b| b["name"] = json!("")), "name").await;
    refused(&with(|b| b["name"] = json!("n".repeat(256))), "name").await;
    let scene = Scene::new().await;
    let made = scene.create(&with(|b| b["name"] = json!("ö".repeat(255)))).await;
    assert_eq!(made.status, 200);
}

#[tokio::test]
async fn a_name_is_unique_in_the_org() {
    let scene = Scene::new().await;
    let id = scene.create(&telephony("one", URI)).await.id();
    scene.post(&format!("/api/v1/inlineHooks/{id}/lifecycle/deactivate")).await;
    let twice = scene.create(&telephony("one", URI)).await;
    assert_eq!((twice.status.as_u16(), twice.code()), (400, "E0000001"));
    let other = scene.create(&telephony("two", URI)).await.id();
    let path = format!("/api/v1/inlineHooks/{other}");
    let renamed = scene.okta(Method::PUT, &path, Some(&telephony("one", URI))).await;
    assert_eq!((renamed.status.as_u16(), renamed.code()), (400, "E0000001"));
}

#[tokio::test]
async fn a_uri_is_https_short_and_without_white_space() {
    for uri in [
        "http://otp.example.com/",
        "https://otp.example.com/a b",
        "not a url",
        "otp.example.com",
        &format!("https://otp.example.com/{}", "x".repeat(1024)),
    ] {
        refused(&with(|b| b["channel"]["config"]["uri"] = json!(uri)), "channel.config.uri").await;
    }
}

#[tokio::test]
async fn a_type_is_one_of_oktas_and_never_changes() {
    refused(&with(|b| b["type"] = json!("com.okta.other")), "type").await;
    let scene = Scene::new().await;
    let id = scene.create(&telephony("one", URI)).await.id();
    let other = with(|b| b["type"] = json!("com.okta.saml.tokens.transform"));
    let changed = scene.okta(Method::PUT, &format!("/api/v1/inlineHooks/{id}"), Some(&other)).await;
    assert_eq!((changed.status.as_u16(), changed.code()), (400, "E0000001"));
}

#[tokio::test]
async fn versions_method_and_channel_are_the_documented_ones() {
    refused(&with(|b| b["version"] = json!("2.0.0")), "version").await;
    refused(&with(|b| b["channel"]["version"] = json!("1.1.0")), "channel.version").await;
    refused(&with(|b| b["channel"]["type"] = json!("SMTP")), "channel.type").await;
    refused(&with(|b| b["channel"]["config"]["method"] = json!("GET")), "channel.config.method").await;
}

#[tokio::test]
async fn a_telephony_hook_must_have_a_scheme_with_its_secret() {
    let at = "channel.config.authScheme";
    refused(&with(|b| b["channel"]["config"]["authScheme"] = Value::Null), at).await;
    let without = with(|b| {
        let scheme = b["channel"]["config"]["authScheme"].as_object_mut().unwrap();
        scheme.remove("value");
    });
    refused(&without, "channel.config.authScheme.value").await;
    for (key, value) in [("type", "header"), ("key", "not a name"), ("value", "a\nb")] {
        let body = with(|b| b["channel"]["config"]["authScheme"][key] = json!(value));
        refused(&body, at).await;
    }
}

#[tokio::test]
async fn a_custom_header_takes_no_reserved_and_no_repeated_name() {
    let at = "channel.config.headers";
    let headers = |list: Value| with(|b| b["channel"]["config"]["headers"] = list);
    for name in ["Accept", "content-type", "HOST", " X-Env", "X\nEnv", ""] {
        refused(&headers(json!([{"key": name, "value": "x"}])), at).await;
    }
    let twice = json!([{"key": "X-A", "value": "1"}, {"key": "x-a", "value": "2"}]);
    refused(&headers(twice), at).await;
    refused(&headers(json!([{"key": "X-A", "value": "a\r\nb"}])), at).await;
}

#[tokio::test]
async fn the_hundred_and_first_hook_is_refused() {
    let scene = Scene::new().await;
    let body = |n: usize| {
        with(|b| {
            b["name"] = json!(n.to_string());
            b["type"] = json!("com.okta.oauth2.tokens.transform");
        })
    };
    for n in 0..100 {
        assert_eq!(scene.create(&body(n)).await.status, 200);
    }
    let one_more = scene.create(&body(100)).await;
    assert_eq!((one_more.status.as_u16(), one_more.code()), (400, "E0000001"));
}

#[tokio::test]
async fn calls_past_the_rate_limit_are_429_with_a_reset_ahead() {
    let scene = Scene::with(|org| org.rate_limit.calls = 2).await;
    let list = || scene.okta(Method::GET, "/api/v1/inlineHooks", None);
    assert_eq!(header(&list().await, "x-rate-limit-remaining"), "1");
    assert_eq!(header(&list().await, "x-rate-limit-remaining"), "0");
    let refused = list().await;
    assert_eq!((refused.status.as_u16(), refused.code()), (429, "E0000047"));
    let reset: i64 = header(&refused, "x-rate-limit-reset").parse().unwrap();
    assert!(reset > jiff::Timestamp::now().as_second());
    let log = scene.okta(Method::GET, "/api/v1/logs", None).await;
    assert_eq!(log.status, 200, "the log has a bucket of its own");
}

fn header(got: &Got, name: &str) -> String {
    got.headers[name].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_system_log_is_paged_by_the_link_it_gives() {
    let scene = Scene::new().await;
    for n in 0..3 {
        let body = with(|b| {
            b["name"] = json!(n.to_string());
            b["type"] = json!("com.okta.oauth2.tokens.transform");
        });
        scene.create(&body).await;
    }
    let filter = "filter=eventType%20eq%20%22inline_hook.created%22&limit=2";
    let first = scene.okta(Method::GET, &format!("/api/v1/logs?{filter}"), None).await;
    assert_eq!(first.body.as_array().unwrap().len(), 2);
    let next = next_link(&first).unwrap();
    let path = next.strip_prefix(&scene.org().base()).unwrap().to_owned();
    let second = scene.okta(Method::GET, &path, None).await;
    assert_eq!(second.body.as_array().unwrap().len(), 1);
    let path = next_link(&second).unwrap();
    let path = path.strip_prefix(&scene.org().base()).unwrap().to_owned();
    let third = scene.okta(Method::GET, &path, None).await;
    assert_eq!(third.body, json!([]));
    assert!(next_link(&third).is_some(), "polling always has a next link");
}

fn next_link(got: &Got) -> Option<String> {
    got.headers
        .get_all("link")
        .iter()
        .filter_map(|link| link.to_str().ok())
        .find(|link| link.contains("rel=\"next\""))
        .and_then(|link| link.split(['<', '>']).nth(1))
        .map(str::to_owned)
}

#[tokio::test]
async fn a_log_query_that_cannot_be_read_is_refused() {
    let scene = Scene::new().await;
    for (query, code) in [
        ("since=yesterday", "E0000001"),
        ("limit=5000", "E0000001"),
        ("after=made-up", "E0000001"),
        ("filter=published%20gt%20%222020%22", "E0000031"),
    ] {
        let refused = scene.okta(Method::GET, &format!("/api/v1/logs?{query}"), None).await;
        assert_eq!((refused.status.as_u16(), refused.code()), (400, code), "{query}");
    }
}
