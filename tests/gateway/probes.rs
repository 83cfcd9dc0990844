//! Probes: answered with a proof, and seen by nobody else.

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hookswitch_gateway_config::probe::{self, Answered, Key};
use hookswitch_gateway_config::report::ProbeState;
use hookswitch_sandbox::{Options, Sandbox};
use serde_json::json;

use crate::canned;
use crate::scene::{SECRET, Scene, got};

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

async fn metrics(scene: &Scene) -> String {
    let url = format!("http://{}/metrics", scene.at.metrics);
    reqwest::get(url).await.unwrap().text().await.unwrap()
}

/// What counts calls, answers and duplicates.
fn of_calls(metrics: &str) -> Vec<&str> {
    let counts = |line: &&str| !line.starts_with('#') && !line.contains("process_") && !line.contains("connection");
    metrics.lines().filter(counts).collect()
}

#[tokio::test]
async fn a_probe_is_answered_with_a_proof_and_nobody_else_sees_it() {
    let scene = Scene::new().await;
    let key = Key::of(&scene.config.report);
    let before = metrics(&scene).await;
    for number in 0..10 {
        let marker = key.marker("h", now(), [number; 16]);
        let got = scene.call(&probe::body(&marker)).await;
        assert_eq!(got.answer(), ("SUCCESSFUL", Some(probe::PROVIDER)));
        assert_eq!(probe::who_answered(&got.body, &key.proof("h", &marker)), Answered::ByGateway);
    }
    assert_eq!(of_calls(&metrics(&scene).await), of_calls(&before));
    assert_eq!((scene.delivered(), scene.asked("one"), scene.asked("two")), (0, 0, 0));
}

#[tokio::test]
async fn a_bad_marker_is_an_ordinary_call_that_reaches_no_provider() {
    let scene = Scene::new().await;
    let key = Key::of(&scene.config.report);
    let good = key.marker("h", now(), [1; 16]);
    assert_eq!(scene.call(&probe::body(&good)).await.answer().0, "SUCCESSFUL");
    let before = metrics(&scene).await;
    for (marker, what) in [(good.clone(), "sent again"), (key.marker("h", now() - 120, [2; 16]), "too old")] {
        let got = scene.call(&probe::body(&marker)).await;
        assert_eq!(got.answer(), ("FAILED", Some(probe::PROVIDER)), "{what}");
        assert_eq!(probe::who_answered(&got.body, &key.proof("h", &marker)), Answered::ByHook, "{what}");
    }
    assert_eq!(of_calls(&metrics(&scene).await), of_calls(&before));
    let another =
        Key::of(&hookswitch_gateway_config::document::Report { token: "x".into(), ..scene.config.report.clone() });
    for (marker, what) in [
        (key.marker("other", now(), [3; 16]), "of another hook"),
        (another.marker("h", now(), [4; 16]), "of another gateway"),
        ("hsw1.1.2.3".to_owned(), "made up"),
    ] {
        let got = scene.call(&probe::body(&marker)).await;
        assert_eq!(got.answer().0, "FAILED", "{what}");
    }
    assert_eq!((scene.delivered(), scene.asked("one"), scene.asked("two")), (0, 0, 0));
}

#[tokio::test]
async fn a_probe_without_the_hooks_secret_is_refused_like_any_call() {
    let scene = Scene::new().await;
    let marker = Key::of(&scene.config.report).marker("h", now(), [1; 16]);
    let body = probe::body(&marker).to_string();
    let got = got(scene.post(body).header("authorization", format!("{SECRET}x"))).await;
    assert_eq!((got.status, got.body), (401, json!({"error": {"errorSummary": "the secret is missing or wrong"}})));
}

/// Waits until the gateway is ready; why it was not before.
async fn ready(scene: &Scene) -> BTreeSet<String> {
    let mut before = BTreeSet::new();
    loop {
        let said = reqwest::get(format!("http://{}/readyz", scene.at.metrics)).await.unwrap().text().await.unwrap();
        if said.trim() == "ok" {
            return before;
        }
        before.insert(said.trim().to_owned());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_gateway_that_is_ready_has_had_an_answer_of_each_provider() {
    let sandbox = Sandbox::start(Options::default()).await.unwrap();
    let slow = canned::of_one_stream(&sandbox, Duration::from_millis(700)).await;
    let scene = Scene::with(|config| *config.providers.get_mut("two").unwrap() = slow).await;
    ready(&scene).await;
    let states = scene.report().await.providers.into_values().map(|provider| provider.probe);
    assert_eq!(states.collect::<Vec<_>>(), [ProbeState::Up, ProbeState::Up]);
}

#[tokio::test]
async fn a_provider_that_does_not_answer_keeps_a_gateway_from_being_ready_for_two_seconds_alone() {
    let sandbox = Sandbox::start(Options::default()).await.unwrap();
    let mut silent = canned::of_one_stream(&sandbox, Duration::from_mins(1)).await;
    silent.probe.timeout_ms = 30_000;
    let begun = Instant::now();
    let scene = Scene::with(|config| *config.providers.get_mut("two").unwrap() = silent).await;
    let before = ready(&scene).await;
    assert!(before.contains("providers are being asked for the first time"), "{before:?}");
    let took = begun.elapsed();
    // a busy machine takes its time, and the provider says nothing for a minute
    assert!((2..20).contains(&took.as_secs()), "{took:?}");
}
