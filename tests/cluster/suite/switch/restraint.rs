//! What is no reason to switch, and what forbids it.

use std::{process::Command, thread, time::Duration};

use serde_json::{Value, json};

use super::{FIRST, PATIENCE, active, at_rest, fault, held, patch, providers_down, signal, signal_is, status};
use crate::{
    hooks::{leader, metrics},
    ready::Watch,
    stage::{SANDBOX, Stage, TELEPHONY, process},
};

/// Lets some evaluations pass with the fault on, and says that nothing was switched.
fn stays(stage: &Stage, reason: &str) {
    stage.until(&format!("it is held: {reason}"), PATIENCE, || held(stage, reason));
    thread::sleep(Duration::from_secs(5));
    assert_eq!(active(stage), FIRST);
    let text =
        stage.kubectl(&["get", "events", "-n", TELEPHONY, "--field-selector", "reason=SwitchHeld", "-o", "name"]);
    assert!(!text.trim().is_empty(), "no Event says why");
}

pub fn not_needlessly(stage: &Stage) {
    patch(stage, &json!({"paused": true}));
    providers_down(stage);
    stays(stage, "Paused");

    patch(stage, &json!({"paused": null, "mode": "Observe"}));
    stays(stage, "ModeForbids");
    let text =
        stage.kubectl(&["get", "events", "-n", TELEPHONY, "--field-selector", "reason=WouldSwitch", "-o", "name"]);
    assert!(!text.trim().is_empty(), "it does not say what it would do");

    fault(stage, &["reserve"], "down");
    stage.until("the standby fails too", PATIENCE, || signal_is(stage, "acme-standby", "Coverage", "Fail"));
    patch(stage, &json!({"mode": null}));
    stays(stage, "AllHooksFail");
    // the first one first: else the standby, which is well sooner, rightly takes over
    for provider in ["twilio", "backup"] {
        stage.sandbox(&["fault", provider, "clear"]);
    }
    stage.until("the first hook is well", PATIENCE, || signal_is(stage, "acme", "Coverage", "Pass"));
    stage.calm();
    at_rest(stage);
}

/// Numbers that providers refuse, as somebody enrols them who wants to see a switch.
fn attack(stage: &Stage) -> u32 {
    let refused = json!({"fault": {"kind": "refuse", "code": "21211"}, "country": "LV"});
    stage.control("POST", "/v1/carriers/twilio/faults", &refused);
    let numbers = 12;
    for number in 0..numbers {
        let enrols = json!({"to": format!("+371212345{number:02}"), "requestType": "pre-enrollment"});
        let sent = stage.control("POST", "/v1/send", &enrols);
        assert_eq!(sent["hook"]["status"], "FAILED", "{sent}");
    }
    numbers
}

/// Calls of strangers at the hook's public path: without its secret, or with what looks like one.
fn strangers(stage: &Stage) {
    let address = stage.get("service", "otp-gateway")["spec"]["clusterIP"].clone();
    let url = format!("https://{}/hooks/acme", address.as_str().expect("a Service has an address"));
    let secrets = ["authorization: Basic Z3Vlc3M6Z3Vlc3M=", "x-nothing: 1"];
    for secret in secrets {
        // one connection, ten calls
        let urls = format!("{url}#[1-10]");
        let asked =
            ["curl", "-sSk", "--max-time", "20", "-o", "/dev/null", "-w", "%{http_code} ", "-d", "{}", "-H", secret];
        let answered = stage.script("ns.sh", &[&asked[..], &[&urls]].concat());
        assert_eq!(answered.trim(), ["401"; 10].join(" "));
    }
}

/// Okta's own sendings that the operator has read of.
fn fallbacks(stage: &Stage) -> f64 {
    let metrics = metrics(stage);
    let counted = metrics.lines().filter(|line| line.starts_with("hookswitch_okta_fallbacks_total"));
    counted.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

/// One country loses its only provider, somebody enrols numbers that fail, and strangers knock: each of it fails calls, and
/// none of it is a reason to switch.
pub fn no_reason(stage: &Stage) {
    let nordics = |providers: Value| {
        let patch = json!([{"op": "replace", "path": "/spec/rules/1/send/providers", "value": providers}]).to_string();
        stage.kubectl(&["patch", "-n", TELEPHONY, "routingpolicy", "default", "--type=json", "-p", &patch]);
    };
    let watch = Watch::begin(stage);
    let before = fallbacks(stage);
    nordics(json!([{"name": "nordic"}]));
    fault(stage, &["nordic"], "down");
    let failed = attack(stage);
    strangers(stage);
    stage.until("the country without a provider is told", PATIENCE, || {
        let (result, why) = signal(stage, "acme", "Coverage");
        result == "Pass" && why.starts_with("Degraded.") && why.contains("default/nordics")
    });
    let sent = stage.send("+46701740605", json!({}));
    assert_ne!(sent.text("status"), "SUCCESSFUL", "{}", sent.0);
    stage.until("Okta's log with all of it is read", PATIENCE, || {
        fallbacks(stage) >= before + f64::from(failed) && signal_is(stage, "acme", "SystemLog", "Pass")
    });
    assert_eq!(active(stage), FIRST);
    let phases: Vec<String> = watch.states().into_iter().map(|state| state.phase).collect();
    assert!(phases.iter().all(|phase| ["", "Healthy"].contains(&phase.as_str())), "{phases:?}");
    nordics(json!([{"name": "nordic"}, {"name": "twilio"}]));
    stage.calm();
    at_rest(stage);
    watch.all_ready();
}

/// Addresses that a process does not reach any more, until this is dropped.
struct Blind {
    process: String,
    addresses: Vec<String>,
}

impl Blind {
    fn new(process: String) -> Self {
        Self { process, addresses: Vec::new() }
    }

    fn route(&self, what: &str, address: &str) -> bool {
        let target = ["--target", &self.process, "--net", "ip", "route", what, "unreachable", address];
        Command::new("nsenter").args(target).status().is_ok_and(|status| status.success())
    }

    fn to(&mut self, addresses: &str) {
        for address in addresses.split_whitespace() {
            assert!(self.route("add", address), "the route to {address} stays");
            self.addresses.push(address.to_owned());
        }
    }
}

impl Drop for Blind {
    fn drop(&mut self) {
        for address in &self.addresses {
            self.route("del", address);
        }
    }
}

/// The operator's network to everything but the API server goes, piece by piece, while every provider fails: it cannot know.
pub fn blind(stage: &Stage) {
    let mut blind = Blind::new(process(&leader(stage)).expect("the operator's process"));
    let pods = "jsonpath={.items[*].status.podIP}";
    let gateways = ["get", "pods", "-n", TELEPHONY, "-l", "app.kubernetes.io/component=gateway", "-o", pods];
    blind.to(&stage.kubectl(&gateways));
    let addresses = "jsonpath={.items[*].spec.clusterIP}";
    let services = |namespace: &str| stage.kubectl(&["get", "services", "-n", namespace, "-o", addresses]);
    blind.to(&services(TELEPHONY).replace("None", ""));
    providers_down(stage);
    stage.until("the operator knows nothing of either hook", PATIENCE, || {
        let unknown = |hook: &str, source: &str| signal_is(stage, hook, source, "Unknown");
        ["acme", "acme-standby"]
            .iter()
            .all(|hook| ["Gateway", "Coverage", "PublicURL"].iter().all(|s| unknown(hook, s)))
    });
    let (_, why) = signal(stage, "acme", "PublicURL");
    assert!(why.contains("own network"), "it does not say what is to blame: {why}");
    blind.to(&services(SANDBOX));
    stage.until("it knows nothing of Okta either", PATIENCE, || {
        stage.condition("hookswitch", "acme", "FailoverReady") == "Unknown Unknown"
    });
    thread::sleep(Duration::from_secs(5));
    assert_eq!(active(stage), FIRST);
    assert_eq!(status(stage)["phase"], "Healthy");
    assert_eq!(stage.condition("hookswitch", "acme", "Healthy"), "Unknown NoReport");
    // the first hook is well before it is seen again: else the switch would rightly follow
    stage.calm();
    stage.until("passcodes flow again", PATIENCE, || {
        (0..4).all(|_| stage.send("+12025550100", json!({})).text("provider") == "twilio")
    });
    drop(blind);
    at_rest(stage);
}
