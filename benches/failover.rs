//! What a failover within the request costs: a passcode by the first provider, and one by the second after the first refused,
//! measured in turn in one run through a whole gateway, with providers simulated in this process on loopback.
//!
//! `cargo bench --bench failover`. Each call is a new connection, as Okta makes them.

#![allow(clippy::disallowed_methods, reason = "tests connect to what they opened themselves")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use hookswitch_gateway::{
    listener,
    serve::{Gateway, GatewaySettings},
};
use hookswitch_gateway_config::{
    document::{
        Account, Action, GatewayConfig, HookConfig, Match, OnAmbiguous, Probe, ProviderConfig, Report, Rule, Timing,
    },
    envelope,
};
use hookswitch_sandbox::{
    Options, ProviderOptions, Sandbox,
    faults::{Fault, FaultKind},
};
use serde_json::json;
use tokio_util::sync::CancellationToken;

const CALLS: usize = 500;
const SECRET: &str = "Bearer 0123456789abcdef";

#[tokio::main]
async fn main() {
    let providers = ["one", "two"].map(|name| ProviderOptions::json(name, format!("token-of-{name}")));
    let sandbox = Sandbox::start(Options { providers: providers.into(), ..Options::default() }).await.unwrap();
    let folder = std::env::temp_dir().join(format!("hookswitch-bench-{}", std::process::id()));
    let (config_dir, tls_dir) = (folder.join("config"), folder.join("tls"));
    std::fs::create_dir_all(&config_dir).unwrap();
    std::fs::create_dir_all(&tls_dir).unwrap();
    let issued = sandbox.authority().issue(&["localhost".to_owned()]).unwrap();
    std::fs::write(tls_dir.join("tls.crt"), &issued.cert_pem).unwrap();
    std::fs::write(tls_dir.join("tls.key"), &issued.key_pem).unwrap();
    let config = serde_json::to_vec(&configuration(&sandbox)).unwrap();
    std::fs::write(config_dir.join(envelope::KEY), envelope::seal(&[(1, config)]).unwrap()).unwrap();
    let any = "127.0.0.1:0".parse().unwrap();
    let settings = GatewaySettings {
        config_dir,
        tls_dir,
        secret_name: None,
        listen: any,
        report: any,
        metrics: any,
        pod: "bench".to_owned(),
        lame_duck: Duration::ZERO,
        bounds: listener::ListenerBounds { connections: listener::CONNECTIONS, keep_alive: listener::KEEP_ALIVE },
    };
    let gateway = Gateway::open(settings).await.unwrap();
    let at = gateway.addresses().hooks;
    let stop = CancellationToken::new();
    let running = tokio::spawn(gateway.run(stop.clone()));
    let client = reqwest::Client::builder()
        .tls_certs_only([reqwest::Certificate::from_pem(sandbox.authority().cert_pem().as_bytes()).unwrap()])
        .resolve("localhost", at)
        .pool_max_idle_per_host(0)
        .no_proxy()
        .build()
        .unwrap();
    let url = format!("https://localhost:{}/hooks/h", at.port());
    while !client.post(&url).send().await.is_ok_and(|answer| answer.status() == 401) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    let (mut direct, mut after) = (Vec::new(), Vec::new());
    for round in 0..CALLS + 50 {
        sandbox.provider("one").unwrap().clear_faults(None);
        let one = call(&client, &url, "one").await;
        // A refusal of the text is no fault of the provider, so that it is asked again in the next round.
        let refusal = FaultKind::Refuse {
            code: "4001".into(),
            status: None,
            class: Some("message-rejected".into()),
            scope: None,
        };
        sandbox.provider("one").unwrap().set_fault(Fault::always(refusal)).unwrap();
        let two = call(&client, &url, "two").await;
        if round >= 50 {
            direct.push(one);
            after.push(two);
        }
    }
    stop.cancel();
    running.await.unwrap().unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    println!("{CALLS} calls each, in turn, a new TLS connection each, providers on loopback; milliseconds");
    println!("{:<44} {:>8} {:>8} {:>8}", "", "p50", "p99", "max");
    let (direct, after) = (quantiles(direct), quantiles(after));
    row("by the first provider", direct);
    row("by the second, after the first refused", after);
    row("difference", std::array::from_fn(|at| after[at] - direct[at]));
}

async fn call(client: &reqwest::Client, url: &str, provider: &str) -> f64 {
    let body = json!({
        "eventId": format!("bench{:032x}", rand::random::<u128>()),
        "requestType": "com.okta.user.telephony.mfa-verification",
        "data": {"messageProfile": {
            "msgTemplate": "Your code is 493817", "phoneNumber": "+46701740605", "deliveryChannel": "SMS", "otpCode": "493817",
        }},
    });
    let begun = Instant::now();
    let answer = client.post(url).header("authorization", SECRET).body(body.to_string()).send().await.unwrap();
    let answer: serde_json::Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
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

fn configuration(sandbox: &Sandbox) -> GatewayConfig {
    let provider = |name: &str| ProviderConfig {
        account: Account::Http {
            url: format!("https://{}/v1/messages", sandbox.provider(name).unwrap().addr()),
            token: format!("token-of-{name}").as_str().into(),
        },
        senders: Vec::new(),
        probe: Probe { interval_ms: 600_000, timeout_ms: 2_000, fall: 3, rise: 2 },
        max_in_flight: 200,
        ca_bundle: Some(sandbox.authority().cert_pem().to_owned()),
    };
    let report = rcgen::generate_simple_self_signed(["report".to_owned()]).unwrap();
    let action = Action::Send(["one", "two"].map(str::to_owned).into());
    GatewayConfig {
        gateway: "ns/gateway".into(),
        generation: 1,
        timing: Timing { deadline_ms: 2_500, proxy_allowance_ms: 0, attempt_floor_ms: 500, max_attempts: 3 },
        on_ambiguous: OnAmbiguous::Continue,
        default_region: None,
        allowed_cidrs: vec!["127.0.0.0/8".parse().unwrap()],
        proxy: None,
        proxy_exceptions: Vec::new(),
        extra_roots: None,
        replicas: 1,
        report: Report {
            token: "a-token-of-the-report".into(),
            certificate: report.cert.pem(),
            key: report.signing_key.serialize_pem().as_str().into(),
        },
        hooks: BTreeMap::from([("h".to_owned(), HookConfig::new("authorization".into(), vec![SECRET.into()]))]),
        providers: ["one", "two"].map(|name| (name.to_owned(), provider(name))).into(),
        rules: vec![Rule {
            policy: "p".into(),
            name: "all".into(),
            priority: None,
            matches: Match::default(),
            action,
            critical: false,
        }],
    }
}
