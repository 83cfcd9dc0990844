//! People who log in all the time, and credentials that change meanwhile.

use hookswitch_sandbox::okta::{Asked, Delivery};
use reqwest::Method;
use serde_json::{Value, json};

use crate::scene::{Got, JSON_TOKEN, SID, Says, Scene, TOKEN, TWILIO_TOKEN, got};

impl Scene {
    async fn told(&self, method: Method, path: &str, body: Value) -> Got {
        let url = format!("http://{}{path}", self.sandbox.control_addr().unwrap());
        let body = if body.is_null() { String::new() } else { body.to_string() };
        got(self.http.request(method, url).body(body)).await.unwrap()
    }

    /// Waits until so many passcodes have been asked for.
    async fn asked(&self, many: u64) {
        let told = self.told(Method::GET, &format!("{TRAFFIC}?asked={many}"), Value::Null).await;
        assert!(told.body["asked"].as_u64().unwrap() >= many, "{}", told.body);
    }

    async fn ended(&self) -> Vec<Asked> {
        let told = self.told(Method::DELETE, TRAFFIC, Value::Null).await;
        assert_eq!(told.status, 200, "{}", told.body);
        serde_json::from_value(told.body).unwrap()
    }
}

const TRAFFIC: &str = "/v1/orgs/acme/traffic";

#[tokio::test]
async fn each_passcode_is_asked_for_when_it_is_due_though_those_before_hang() {
    let scene = Scene::with(|org| org.behaviour.fallback_per_minute = 1_000).await;
    let _hook = scene.hooked(Says::Silence).await;
    assert_eq!(scene.told(Method::POST, TRAFFIC, json!({"perSecond": 50})).await.status, 200);
    scene.asked(20).await;
    let all = scene.ended().await;
    assert!(all.len() >= 20, "{}", all.len());
    let apart: Vec<_> = all.windows(2).map(|two| two[1].due.duration_since(two[0].due).as_millis()).collect();
    assert!(apart.iter().all(|ms| (15..=25).contains(ms)), "20 ms, whatever becomes of them: {apart:?}");
    for asked in &all {
        assert_eq!((asked.report.delivery, asked.messages), (Delivery::OktaFallback, 1));
        assert!(asked.ms >= 3_000 && asked.lost().is_some(), "{asked:?}");
        assert!(asked.until() > asked.due);
    }
    assert_eq!(scene.told(Method::GET, TRAFFIC, Value::Null).await.status, 404, "it has ended");
}

#[tokio::test]
async fn the_messages_of_each_passcode_are_counted() {
    let scene = Scene::new().await;
    // says so and sends nothing
    let _hook = scene.hooked(Says::successful()).await;
    assert_eq!(scene.told(Method::POST, TRAFFIC, json!({"perSecond": 100})).await.status, 200);
    scene.asked(3).await;
    for asked in scene.ended().await {
        assert!(asked.by_hook() && asked.provider() == "TWILIO" && asked.messages == 0, "{asked:?}");
        assert!(asked.lost().unwrap().contains("0 messages"));
    }
}

#[tokio::test]
async fn a_rate_is_one_to_a_hundred_and_one_run_ends_before_the_next_begins() {
    let scene = Scene::new().await;
    for rate in [0, 101] {
        assert_eq!(scene.told(Method::POST, TRAFFIC, json!({"perSecond": rate})).await.status, 400);
    }
    assert_eq!(scene.told(Method::POST, TRAFFIC, json!({"perSecond": 1})).await.status, 200);
    assert_eq!(scene.told(Method::POST, TRAFFIC, json!({"perSecond": 1})).await.status, 400);
    scene.ended().await;
    assert_eq!(scene.told(Method::DELETE, TRAFFIC, Value::Null).await.status, 404);
}

#[tokio::test]
async fn the_command_line_begins_it_and_fails_at_its_end_when_somebody_got_nothing() {
    let scene = Scene::new().await;
    let _hook = scene.hooked(Says::successful()).await;
    let begun = scene.run("traffic begin --per-second 100").await.unwrap();
    assert!(begun.contains("100 passcodes"), "{begun}");
    scene.asked(2).await;
    let lost = scene.run("traffic end").await.unwrap_err();
    assert!(lost.contains("were lost"), "{lost}");
    assert!(scene.run("traffic end").await.unwrap_err().contains("no traffic"), "it has ended");
}

#[tokio::test]
async fn an_accounts_tokens_are_changed_with_an_overlap_and_revoked_at_once() {
    let scene = Scene::new().await;
    let addr = |name: &str| scene.sandbox.provider(name).unwrap().addr();
    let (twilio, json) = (format!("https://{}/2010-04-01/Accounts/{SID}.json", addr("twilio")), addr("json"));
    let okta = scene.url("/api/v1/inlineHooks");
    let status = async |party: &str, token: &str| {
        let request = match party {
            "carriers/twilio" => scene.http.get(&twilio).basic_auth(SID, Some(token)),
            "carriers/json" => scene.http.get(format!("https://{json}/")).bearer_auth(token),
            _ => scene.http.get(&okta).header("authorization", format!("SSWS {token}")),
        };
        got(request).await.unwrap().status.as_u16()
    };
    for (party, old) in [("carriers/twilio", TWILIO_TOKEN), ("carriers/json", JSON_TOKEN), ("orgs/acme", TOKEN)] {
        let path = format!("/v1/{party}/tokens");
        assert_eq!((status(party, old).await, status(party, "new").await), (200, 401), "{party}");
        assert_eq!(scene.told(Method::PUT, &path, json!({"tokens": [old, "new"]})).await.status, 200);
        assert_eq!((status(party, old).await, status(party, "new").await), (200, 200), "{party}");
        assert_eq!(scene.told(Method::GET, &path, Value::Null).await.body, json!({"shown": [1, 1]}));
        assert_eq!(scene.told(Method::PUT, &path, json!({"tokens": ["new"]})).await.status, 200);
        assert_eq!((status(party, old).await, status(party, "new").await), (401, 200), "{party}");
        for refused in [json!({"tokens": [""]}), json!({"tokens": vec!["t"; 9]}), json!({"token": ["t"]})] {
            assert_eq!(scene.told(Method::PUT, &path, refused).await.status, 400);
        }
        assert_eq!(status(party, "new").await, 200, "what was refused changes nothing");
    }
}
