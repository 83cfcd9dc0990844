//! What Okta is answered, and how many messages leave.

use std::time::Duration;

use futures::future::join_all;
use hookswitch_gateway_config::document::{Action, GatewayConfig, OnAmbiguous};
use hookswitch_gateway_config::envelope;
use hookswitch_sandbox::faults::FaultKind;
use serde_json::{Value, json};

use crate::scene::{NUMBER, SECRET, Scene, got, refuse, rule, sealed, sms};

const REFUSED: fn() -> FaultKind = || refuse("transient", None);

/// Faults of both providers → status and provider in the answer, messages on the handset, times the second was asked.
type Row = (FaultKind, Option<FaultKind>, &'static str, Option<&'static str>, usize, usize);

async fn holds((one, two, status, provider, messages, asked): Row, change: impl FnOnce(&mut GatewayConfig)) {
    let scene = Scene::with(change).await;
    let shown = format!("{one:?} then {two:?}");
    scene.fault("one", one);
    if let Some(two) = two {
        scene.fault("two", two);
    }
    let got = scene.call(&sms("e-1")).await;
    assert_eq!(got.answer(), (status, provider), "{shown}: {}", got.body);
    assert_eq!((scene.delivered(), scene.asked("two")), (messages, asked), "{shown}");
    let id = &got.body["commands"][0]["value"][0]["transactionId"];
    assert_eq!(id.is_string(), messages > 0 && status == "SUCCESSFUL", "{shown}: {}", got.body);
}

#[tokio::test]
async fn a_refusal_goes_to_the_next_provider_or_ends_the_call_as_the_outcome_table_says() {
    let second = ("SUCCESSFUL", Some("two"), 1, 1);
    let row = |one, two, (status, provider, messages, asked)| (one, two, status, provider, messages, asked);
    for row in [
        row(refuse("permanent-destination", None), None, ("FAILED", Some("one"), 0, 0)),
        row(refuse("permanent-config", Some("account")), None, second),
        row(refuse("permanent-config", Some("sender")), None, second),
        row(refuse("permanent-config", Some("country")), None, second),
        row(refuse("throttled", None), None, second),
        row(REFUSED(), None, second),
        row(refuse("unreachable-here", None), None, second),
        row(refuse("unknown", None), None, second),
        row(refuse("unknown", None), Some(refuse("unknown", None)), ("FAILED", Some("two"), 0, 1)),
        row(refuse("message-rejected", None), None, second),
        row(refuse("fraud-blocked", None), None, ("SUCCESSFUL", Some("HOOKSWITCH-BLOCKED"), 0, 0)),
        row(REFUSED(), Some(REFUSED()), ("FAILED", Some("two"), 0, 1)),
        row(refuse("message-rejected", None), Some(refuse("message-rejected", None)), ("FAILED", Some("two"), 0, 1)),
        row(refuse("throttled", None), Some(refuse("permanent-destination", None)), ("FAILED", Some("two"), 0, 1)),
    ] {
        holds(row, |_| {}).await;
    }
}

#[tokio::test]
async fn a_provider_that_fails_costs_no_message_and_never_the_deadline() {
    let second = |messages| ("SUCCESSFUL", Some("two"), messages, 1);
    let unknown = ("PENDING", Some("one"), 0, 1);
    let row = |one, two, (status, provider, messages, asked)| (one, two, status, provider, messages, asked);
    let hang = || FaultKind::Hang { delivered: false };
    let rows = [
        row(FaultKind::Down, None, second(1)),
        row(hang(), None, second(1)),
        row(FaultKind::Reset { delivered: false }, None, second(1)),
        row(FaultKind::Garbage { delivered: false }, None, second(1)),
        row(FaultKind::Unknown { delivered: false }, None, second(1)),
        row(FaultKind::Trickle { ms: 200, delivered: false }, None, second(1)),
        // Sent twice, knowingly: it is unknown, and the configuration says to go on.
        row(FaultKind::Reset { delivered: true }, None, second(2)),
        row(FaultKind::Slow { ms: 5_000 }, None, second(2)),
        // Slow but in time is no failure.
        row(FaultKind::Slow { ms: 300 }, None, ("SUCCESSFUL", Some("one"), 1, 0)),
        // What may have been sent is not called FAILED, whatever comes after.
        row(FaultKind::Unknown { delivered: false }, Some(REFUSED()), unknown),
        row(hang(), Some(REFUSED()), unknown),
        row(hang(), Some(hang()), ("PENDING", Some("two"), 0, 1)),
        row(FaultKind::Down, Some(FaultKind::Down), ("FAILED", Some("two"), 0, 0)),
    ];
    join_all(rows.into_iter().map(|row| holds(row, |_| {}))).await;
}

#[tokio::test]
async fn with_stop_on_ambiguous_no_second_provider_is_asked() {
    for kind in [FaultKind::Unknown { delivered: true }, FaultKind::Reset { delivered: true }] {
        let row = (kind, None, "PENDING", Some("one"), 1, 0);
        holds(row, |config| config.on_ambiguous = OnAmbiguous::Stop).await;
    }
}

#[tokio::test]
async fn a_hundred_copies_of_one_call_are_one_message_with_one_answer() {
    let scene = Scene::new().await;
    scene.fault("one", FaultKind::Slow { ms: 300 });
    let body = sms("e-1");
    let all = join_all((0..100).map(|_| scene.call(&body))).await;
    let first = &all[0];
    assert_eq!(first.answer(), ("SUCCESSFUL", Some("one")));
    assert!(all.iter().all(|got| got.answer() == first.answer() && got.body == first.body));
    assert_eq!(scene.delivered(), 1);
    assert_eq!(scene.call(&body).await.body, first.body, "later too");

    let mut other = body.clone();
    other["data"]["messageProfile"]["otpCode"] = json!("118822");
    assert_eq!(scene.call(&other).await.answer(), ("FAILED", None));
    assert_eq!((scene.delivered(), scene.asked("one"), scene.asked("two")), (1, 1, 0));

    let mut nameless = body;
    nameless.as_object_mut().unwrap().remove("eventId");
    for expected in [2, 3] {
        assert_eq!(scene.call(&nameless).await.answer(), ("SUCCESSFUL", Some("one")));
        assert_eq!(scene.delivered(), expected, "without an id two calls are two messages");
    }
}

#[tokio::test]
async fn copies_of_a_call_that_failed_get_its_answer_and_send_nothing() {
    let scene = Scene::new().await;
    scene.fault("one", REFUSED());
    scene.fault("two", REFUSED());
    let body = sms("e-1");
    let first = scene.call(&body).await;
    assert_eq!(first.answer(), ("FAILED", Some("two")));
    for provider in scene.sandbox.providers() {
        provider.clear_faults(None);
    }
    assert_eq!(scene.call(&body).await.body, first.body, "Okta may have sent it itself by now");
    assert_eq!(scene.delivered(), 0);
}

/// A proxy in front may take the path of the public URL off, or leave it.
#[tokio::test]
async fn a_hook_is_found_below_any_path_that_a_proxy_leaves() {
    let scene = Scene::new().await;
    for (id, path) in [("e-1", "/hooks/h"), ("e-2", "/in/hooks/h"), ("e-3", "/a/b/hooks/h")] {
        let url = scene.url("h").replace("/hooks/h", path);
        let asked = scene.http.post(url).header("authorization", SECRET).body(sms(id).to_string());
        assert_eq!(got(asked).await.answer(), ("SUCCESSFUL", Some("one")), "{path}");
    }
    for path in ["/in/h", "/hooks/h/in", "/in/hooks/other", "/inhooks/h", "/hooks/x/h"] {
        let url = scene.url("h").replace("/hooks/h", path);
        let asked = scene.http.post(url).header("authorization", SECRET).body(sms("e-4").to_string());
        assert_eq!(got(asked).await.status, 404, "{path}");
    }
    assert_eq!(scene.delivered(), 3);
}

#[tokio::test]
async fn who_is_not_okta_is_turned_away_before_the_body_is_read() {
    let scene = Scene::new().await;
    let body = sms("e-1").to_string();
    let wrong = got(scene.post(body.clone()).header("authorization", "Bearer 0123456789abcdeg")).await;
    let shorter = got(scene.post(body.clone()).header("authorization", "Bearer 0123456789abcde")).await;
    let empty = got(scene.post(body.clone()).header("authorization", "")).await;
    let missing = got(scene.post(body.clone())).await;
    let twice = scene.post(body.clone()).header("authorization", SECRET).header("authorization", SECRET);
    for refused in [wrong, shorter, empty, missing, got(twice).await] {
        assert_eq!(refused.status, 401, "{}", refused.body);
    }
    for hook in ["other", "h/", "H", "h%00", ""] {
        let asked = scene.http.post(scene.url(hook)).header("authorization", SECRET).body(body.clone());
        assert_eq!(got(asked).await.status, 404, "{hook}");
    }
    assert_eq!(got(scene.http.get(scene.url("h")).header("authorization", SECRET)).await.status, 405);
    assert_eq!(got(scene.http.get(scene.url("h"))).await.status, 401);
    assert_eq!((scene.delivered(), scene.asked("one")), (0, 0));
    assert_eq!(scene.call(&sms("e-1")).await.answer(), ("SUCCESSFUL", Some("one")));
}

#[tokio::test]
async fn a_call_that_cannot_be_read_is_failed_and_the_next_one_is_served() {
    let scene = Scene::new().await;
    let with = |field: &str, value: Value| {
        let mut body = sms("e-bad");
        body["data"]["messageProfile"][field] = value;
        body.to_string()
    };
    let mut large = sms("e-large").to_string();
    large.push_str(&" ".repeat(64 * 1024 + 1 - large.len()));
    for (what, body) in [
        ("nothing", String::new()),
        ("no JSON", "eventId=1".to_owned()),
        ("half a body", sms("e-half").to_string()[..200].to_owned()),
        ("deep", format!("{}{}", "[".repeat(30_000), "]".repeat(30_000))),
        ("one byte too large", large.clone()),
        ("another channel", with("deliveryChannel", json!("email"))),
        ("no number", with("phoneNumber", json!("call me"))),
        ("number too short", with("phoneNumber", json!("+4612"))),
        ("number of another type", with("phoneNumber", json!([NUMBER]))),
        ("national number without a region", with("phoneNumber", json!("0701740605"))),
        ("no code", with("otpCode", Value::Null)),
    ] {
        let failed = got(scene.post(body).header("authorization", SECRET)).await;
        assert_eq!(failed.answer(), ("FAILED", None), "{what}: {}", failed.body);
    }
    assert_eq!((scene.delivered(), scene.asked("one")), (0, 0));
    large.pop();
    let fits = got(scene.post(large).header("authorization", SECRET)).await;
    assert_eq!(fits.answer(), ("SUCCESSFUL", Some("one")), "64 KiB are not too much");
    assert_eq!(scene.call(&sms("e-1")).await.answer(), ("SUCCESSFUL", Some("one")));
}

#[tokio::test]
async fn a_broken_configuration_changes_nothing_and_a_good_one_after_it_is_served() {
    let scene = Scene::new().await;
    let file = scene.folder.join("config").join(envelope::KEY);
    let mut unknown = scene.config.clone();
    unknown.rules = vec![rule(Action::Send(vec!["three".into()]))];
    for (turn, broken) in [b"{\"1\": \"broken".to_vec(), Vec::new(), sealed(&unknown)].into_iter().enumerate() {
        std::fs::write(&file, broken).unwrap();
        tokio::time::sleep(Duration::from_millis(2_300)).await;
        assert_eq!(scene.call(&sms(&format!("e-{turn}"))).await.answer(), ("SUCCESSFUL", Some("one")));
    }
    let mut other = scene.config.clone();
    other.generation = 2;
    other.rules = vec![rule(Action::Send(vec!["two".into()]))];
    std::fs::write(&file, sealed(&other)).unwrap();
    for turn in 0..100 {
        let got = scene.call(&sms(&format!("later-{turn}"))).await;
        match got.answer() {
            ("SUCCESSFUL", Some("two")) => return,
            answer => assert_eq!(answer, ("SUCCESSFUL", Some("one"))),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the good configuration is not served");
}

#[tokio::test]
async fn a_gateway_asked_to_stop_answers_the_call_it_holds_and_ends_well() {
    let mut scene = Scene::new().await;
    scene.fault("one", FaultKind::Slow { ms: 1_000 });
    let holding = tokio::spawn(got(scene.post(sms("e-1").to_string()).header("authorization", SECRET)));
    while scene.delivered() == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    scene.stop.cancel();
    let held = holding.await.unwrap();
    assert_eq!(held.answer(), ("SUCCESSFUL", Some("one")));
    tokio::time::timeout(Duration::from_secs(5), &mut scene.running).await.unwrap().unwrap().unwrap();
    assert!(scene.post("{}").send().await.is_err(), "nobody listens any more");
    assert_eq!(scene.delivered(), 1);
}
