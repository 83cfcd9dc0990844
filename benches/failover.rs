//! What a failover within the request costs: a passcode by the first provider, and one by the second after the first refused,
//! measured in turn in one run through a whole gateway, with providers simulated in this process on loopback.
//!
//! `cargo bench --bench failover`. Each call is a new connection, as Okta makes them.

#![allow(clippy::disallowed_methods, reason = "tests connect to what they opened themselves")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::time::Instant;

use hookswitch_sandbox::faults::FaultKind;
use serde_json::Value;

#[path = "../tests/gateway/scene.rs"]
#[allow(dead_code, unused_imports, reason = "tests use more of it")]
mod scene;

use scene::{SECRET, Scene, sms};

const CALLS: usize = 500;

#[tokio::main]
async fn main() {
    let scene = Scene::new().await;
    let client = reqwest::Client::builder()
        .tls_certs_only([reqwest::Certificate::from_pem(scene.sandbox.authority().cert_pem().as_bytes()).unwrap()])
        .resolve("localhost", scene.at.hooks)
        .pool_max_idle_per_host(0)
        .no_proxy()
        .build()
        .unwrap();
    let url = scene.url("h");

    let (mut direct, mut after) = (Vec::new(), Vec::new());
    for round in 0..CALLS + 50 {
        scene.sandbox.provider("one").unwrap().clear_faults(None);
        let one = call(&client, &url, "one").await;
        // A refusal of the text is no fault of the provider, so that it is asked again in the next round.
        let refusal = FaultKind::Refuse {
            code: "4001".into(),
            status: None,
            class: Some("message-rejected".into()),
            scope: None,
        };
        scene.fault("one", refusal);
        let two = call(&client, &url, "two").await;
        if round >= 50 {
            direct.push(one);
            after.push(two);
        }
    }
    println!("{CALLS} calls each, in turn, a new TLS connection each, providers on loopback; milliseconds");
    println!("{:<44} {:>8} {:>8} {:>8}", "", "p50", "p99", "max");
    let (direct, after) = (quantiles(direct), quantiles(after));
    row("by the first provider", direct);
    row("by the second, after the first refused", after);
    row("difference", std::array::from_fn(|at| after[at] - direct[at]));
}

async fn call(client: &reqwest::Client, url: &str, provider: &str) -> f64 {
    let body = sms(&format!("bench{:032x}", rand::random::<u128>()));
    let begun = Instant::now();
    let answer = client.post(url).header("authorization", SECRET).body(body.to_string()).send().await.unwrap();
    let answer: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    let took = begun.elapsed().as_secs_f64() * 1_000.0;
    assert_eq!(answer["commands"][0]["value"][0]["provider"], provider, "{answer}");
    took
}

fn quantiles(mut times: Vec<f64>) -> [f64; 3] {
    times.sort_by(f64::total_cmp);
    [times[times.len() / 2], times[times.len() * 99 / 100], times[times.len() - 1]]
}

fn row(name: &str, [half, most, all]: [f64; 3]) {
    println!("{name:<44} {half:>8.2} {most:>8.2} {all:>8.2}");
}
