//! The switch: a standby hook takes over, and is not switched to needlessly.

use std::{thread, time::Duration};

use base64::Engine as _;
use serde_json::{Value, json};

use crate::{
    hooks::{leader, telephony_hooks},
    stage::{Stage, TELEPHONY},
};

const PATIENCE: Duration = Duration::from_secs(90);
const FIRST: &str = "Acme passcodes";
const STANDBY: &str = "Acme passcodes, standby";

fn active(stage: &Stage) -> String {
    let hooks = stage.okta_hooks();
    let of = |hook: &&Value| hook["type"] == "com.okta.telephony.provider" && hook["status"] == "ACTIVE";
    let active: Vec<&Value> = hooks.iter().filter(of).collect();
    assert!(active.len() <= 1, "two telephony hooks are active: {active:?}");
    active.first().and_then(|hook| hook["name"].as_str()).unwrap_or_default().to_owned()
}

fn status(stage: &Stage) -> Value {
    stage.get("hookswitch", "acme")["status"].clone()
}

fn held(stage: &Stage, reason: &str) -> bool {
    stage.condition("hookswitch", "acme", "Held") == format!("True {reason}")
}

fn annotate(stage: &Stage, annotation: &str) {
    stage.kubectl(&["annotate", "--overwrite", "-n", TELEPHONY, "hookswitch", "acme", annotation]);
}

fn patch(stage: &Stage, spec: &Value) {
    let patch = json!({ "spec": spec }).to_string();
    stage.kubectl(&["patch", "-n", TELEPHONY, "hookswitch", "acme", "--type=merge", "-p", &patch]);
}

fn fault(stage: &Stage, carriers: &[&str], kind: &str) {
    for carrier in carriers {
        stage.sandbox(&["fault", carrier, kind]);
    }
}

/// Both hooks well, the first active, the standby proven.
fn at_rest(stage: &Stage) {
    stage.until("the first hook is active and the standby proven", PATIENCE, || {
        active(stage) == FIRST
            && status(stage)["phase"] == "Healthy"
            && stage.condition("hookswitch", "acme", "FailoverReady") == "True StandbyProven"
            && stage.condition("hookswitch", "acme", "Healthy") == "True Usable"
    });
}

/// Back to the first hook by a person's word, once it is well.
fn back(stage: &Stage, token: &str) {
    stage.until("the first hook is well again", PATIENCE, || status(stage)["phase"] == "Recovering");
    annotate(stage, &format!("hookswitch.dev/failback={token}"));
    stage.until("the request is echoed", PATIENCE, || status(stage)["handled"]["failback"] == token);
    at_rest(stage);
}

/// One row of the table in docs/failover.md: what the switch that just ended took, beside what it cannot be faster than, and what
/// it changed in Okta. Without an active hook the org was at most from the beginning of the one call to the end of the other.
fn row(stage: &Stage, fault: &str, floor: &str, took: Duration) {
    stage.until("the switch ended", PATIENCE, || status(stage)["switching"].is_null());
    let record = status(stage)["history"].as_array().and_then(|all| all.last().cloned()).unwrap_or_default();
    let time = |value: &Value| value.as_str().and_then(|at| at.parse::<jiff::Timestamp>().ok()).expect("a time");
    let lasted = record["tookMs"].as_i64().expect("milliseconds");
    // the record's time is rounded to a second
    let decided = time(&record["at"]).as_millisecond() - lasted - 1_000;
    let changes = stage.get("oktaorg", "acme")["status"]["history"].as_array().cloned().unwrap_or_default();
    let of_switch = changes.iter().filter(|change| time(&change["at"]).as_millisecond() >= decided);
    let made: Vec<(&str, i64)> =
        of_switch.map(|made| (made["verb"].as_str().unwrap_or_default(), time(&made["at"]).as_millisecond())).collect();
    let verbs: Vec<&str> = made.iter().map(|(verb, _)| *verb).collect();
    let without = match made[..] {
        [("Deactivate", from), ("Activate" | "Create", to)] => format!("{} ms and one call", to - from),
        [("Replace", _)] => "no time".to_owned(),
        _ => "?".to_owned(),
    };
    let (took, verbs) = (took.as_secs_f64(), verbs.join(", "));
    println!("TABLE | {fault} | {floor} | {took:.1} s | {lasted} ms | {without} | {verbs} |");
}

fn delivers(stage: &Stage, carrier: &str) {
    let sent = stage.send("+12025550100", &[]);
    assert_eq!((sent.text("status"), sent.text("delivery")), ("SUCCESSFUL", "hook"), "{}", sent.0);
    assert_eq!(sent.text("provider"), carrier);
}

pub fn set_up(stage: &Stage) {
    stage.kubectl(&["apply", "-k", concat!(env!("CARGO_MANIFEST_DIR"), "/examples/sandbox-standby")]);
    at_rest(stage);
    for (kind, name) in [("hookswitch", "acme"), ("telephonyhook", "acme"), ("telephonyhook", "acme-standby")] {
        stage.until(&format!("{kind} {name} is Ready"), PATIENCE, || {
            stage.condition(kind, name, "Ready") == "True Ready"
        });
    }
    let objects =
        stage.kubectl(&["get", "-n", TELEPHONY, "-o", "json", "hookswitches,telephonyhooks,telephonygateways"]);
    let judged = stage.judge(&objects);
    assert!(judged.is_ok(), "kstatus: {judged:?}");
    let independent = stage.condition("hookswitch", "acme", "StandbyIndependent");
    assert_eq!(independent, "True Independent");
}

pub fn carriers_fail(stage: &Stage) {
    for (turn, kind) in ["down", "hang"].into_iter().enumerate() {
        fault(stage, &["twilio", "backup"], kind);
        let took = stage.until("the standby is active", PATIENCE, || active(stage) == STANDBY);
        println!("     every carrier {kind:<5} standby active after {:.1} s", took.as_secs_f64());
        delivers(stage, "reserve");
        stage.until("the switch says so", PATIENCE, || status(stage)["active"] == "acme-standby");
        assert_eq!(stage.condition("hookswitch", "acme", "Ready"), "True Ready");
        assert_eq!(stage.condition("hookswitch", "acme", "FailoverActive"), "True OnStandby");
        let record = status(stage)["history"].as_array().and_then(|all| all.last().cloned()).unwrap_or_default();
        assert_eq!((&record["cause"], &record["outcome"]), (&json!("Failed"), &json!("Switched")), "{record}");
        row(stage, &format!("every carrier {kind}"), "3 × 2 s + 1 s + 2 s + 2 s = 11 s", took);
        stage.calm();
        back(stage, &format!("carriers-{turn}"));
    }
}

pub fn gateway_gone(stage: &Stage) {
    let node = stage.kubectl(&["get", "nodes", "-o", "jsonpath={.items[0].metadata.name}"]);
    stage.kubectl(&["cordon", &node]);
    let pods = "hookswitch.dev/gateway=otp";
    stage.kubectl(&["delete", "pods", "-n", TELEPHONY, "-l", pods, "--grace-period=0", "--force"]);
    let took = stage.until("the standby is active", PATIENCE, || active(stage) == STANDBY);
    row(stage, "the gateway's pods gone", "3 × 1 s + 2 s + 2 s = 7 s", took);
    delivers(stage, "reserve");
    stage.kubectl(&["uncordon", &node]);
    back(stage, "gateway");
}

/// The result of a signal of a hook, as the switch shows it.
fn signal(stage: &Stage, hook: &str, source: &str) -> Value {
    let hooks = status(stage)["hooks"].as_array().cloned().unwrap_or_default();
    let signals = hooks.iter().find(|shown| shown["name"] == hook).and_then(|hook| hook["signals"].as_array().cloned());
    let signal = signals.unwrap_or_default().into_iter().find(|signal| signal["source"] == source);
    signal.map(|signal| signal["result"].clone()).unwrap_or_default()
}

/// Puts a serving certificate in place of another, and has the node mount it now and not at its next round.
fn serve_with(stage: &Stage, certificate: &Value) {
    let patch = json!({ "data": certificate }).to_string();
    stage.kubectl(&["patch", "secret", "-n", TELEPHONY, "otp-tls", "--type=merge", "-p", &patch]);
    let now = format!("hookswitch.dev/touched={}", std::process::id());
    let touched = format!("{now}-{}", certificate["tls.crt"].as_str().map_or(0, str::len));
    stage.kubectl(&["annotate", "--overwrite", "pods", "-n", TELEPHONY, "-l", "hookswitch.dev/gateway=otp", &touched]);
}

pub fn certificate_expired(stage: &Stage) {
    // the switches of the scenarios before this one have spent the budget of an hour
    annotate(stage, "hookswitch.dev/acknowledge=looked-at-it");
    stage.until("it is acknowledged", PATIENCE, || status(stage)["handled"]["acknowledge"] == "looked-at-it");
    for witness in ["PublicURL", "Execute"] {
        stage.until(&format!("{witness} speaks for the first hook"), PATIENCE, || {
            signal(stage, "acme", witness) == "Pass"
        });
    }
    let good = stage.get("secret", "otp-tls")["data"].clone();
    let mut params = rcgen::CertificateParams::new(["otp-gateway.telephony.svc".to_owned()]).expect("a host name");
    (params.not_before, params.not_after) = (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2021, 1, 1));
    let key = rcgen::KeyPair::generate().expect("a key");
    let expired = params.self_signed(&key).expect("a certificate");
    let encoded = |pem: String| base64::engine::general_purpose::STANDARD.encode(pem);
    serve_with(stage, &json!({"tls.crt": encoded(expired.pem()), "tls.key": encoded(key.serialize_pem())}));
    stage.until("the operator does not reach it", PATIENCE * 2, || signal(stage, "acme", "PublicURL") == "Fail");
    let took = stage.until("the standby is active", PATIENCE, || active(stage) == STANDBY);
    row(stage, "certificate expired, from when the operator saw it", "3 × 1 s + 3 s + 2 s + 2 s = 10 s", took);
    delivers(stage, "reserve");
    assert_eq!(signal(stage, "acme", "Gateway"), "Pass", "its pods are well");
    serve_with(stage, &good);
    stage.until("the operator reaches it again", PATIENCE * 2, || signal(stage, "acme", "PublicURL") == "Pass");
    back(stage, "certificate");
}

/// Lets some looks pass with the fault on, and says that nothing was switched.
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
    fault(stage, &["twilio", "backup"], "down");
    stays(stage, "Paused");

    patch(stage, &json!({"paused": null, "mode": "Observe"}));
    stays(stage, "ModeForbids");
    let text =
        stage.kubectl(&["get", "events", "-n", TELEPHONY, "--field-selector", "reason=WouldSwitch", "-o", "name"]);
    assert!(!text.trim().is_empty(), "it does not say what it would do");

    fault(stage, &["nordic"], "down");
    stage.until("the standby fails too", PATIENCE, || signal(stage, "acme-standby", "Coverage") == "Fail");
    patch(stage, &json!({"mode": null}));
    stays(stage, "AllHooksFail");
    // the first one first: else the standby, which is well sooner, rightly takes over
    for carrier in ["twilio", "backup"] {
        stage.sandbox(&["fault", carrier, "clear"]);
    }
    stage.until("the first hook is well", PATIENCE, || signal(stage, "acme", "Coverage") == "Pass");
    stage.calm();
    at_rest(stage);

    // the one country whose first carrier is down has another, and is not what counts
    fault(stage, &["nordic"], "down");
    thread::sleep(Duration::from_secs(15));
    assert_eq!(active(stage), FIRST);
    assert_eq!(status(stage)["phase"], "Healthy");
    stage.calm();
    at_rest(stage);
}

pub fn people(stage: &Stage) {
    annotate(stage, "hookswitch.dev/promote=acme-standby/drill-1");
    stage.until("the standby is active", PATIENCE, || active(stage) == STANDBY);
    delivers(stage, "reserve");
    back(stage, "drill-1");

    let of = |name: &str| stage.okta_hooks().into_iter().find(|hook| hook["name"] == name).unwrap_or_default();
    let path = |name: &str| format!("/api/v1/inlineHooks/{}/lifecycle", of(name)["id"].as_str().unwrap_or_default());
    stage.somebody_else("POST", &format!("{}/deactivate", path(FIRST)), &Value::Null);
    stage.somebody_else("POST", &format!("{}/activate", path(STANDBY)), &Value::Null);
    stage.until("the switch takes another admin's word", PATIENCE, || status(stage)["target"] == "acme-standby");
    thread::sleep(Duration::from_secs(20));
    assert_eq!(active(stage), STANDBY, "no war");
    back(stage, "console");
}

/// The process of the operator in a pod, by the name of the pod in its environment.
fn process(pod: &str) -> String {
    let is_it = |id: &str| {
        let read = |file: &str| std::fs::read(format!("/proc/{id}/{file}")).unwrap_or_default();
        let has =
            |bytes: Vec<u8>, text: &str| String::from_utf8_lossy(&bytes).split('\0').any(|part| part.ends_with(text));
        has(read("cmdline"), "operator") && has(read("environ"), &format!("={pod}"))
    };
    let processes = std::fs::read_dir("/proc").expect("the machine has /proc").filter_map(Result::ok);
    let ids = processes.filter_map(|entry| entry.file_name().into_string().ok());
    ids.filter(|id| id.bytes().all(|b| b.is_ascii_digit())).find(|id| is_it(id)).expect("the operator's process")
}

fn signal_to(process: &str, signal: &str) {
    let sent = std::process::Command::new("kill").args([signal, process]).status().expect("kill runs");
    assert!(sent.success(), "kill {signal} {process}");
}

/// The leader is frozen while Okta holds a call of its switch, before or after its effect; the next one takes over, and then
/// Okta lets the call go.
pub fn frozen(stage: &Stage) {
    let all = [("deactivate", "before"), ("deactivate", "after"), ("activate", "before"), ("activate", "after")];
    let full = std::env::var("HOOKSWITCH_TESTS").is_ok_and(|tests| tests == "full");
    for (number, (call, when)) in all.into_iter().enumerate().filter(|(number, _)| full || *number == 2) {
        let hold = stage.control("POST", "/v1/orgs/acme/holds", &json!({"call": call, "when": when}))["hold"].clone();
        let hold = format!("/v1/holds/{hold}");
        annotate(stage, &format!("hookswitch.dev/promote=acme-standby/frozen-{number}"));
        stage.until(&format!("Okta holds {call}"), PATIENCE, || {
            stage.control("GET", &hold, &Value::Null)["arrivals"].as_u64().is_some_and(|arrivals| arrivals > 0)
        });
        let pod = leader(stage);
        let frozen = process(&pod);
        signal_to(&frozen, "-STOP");
        let took = stage.until("another replica leads", PATIENCE, || {
            let now = leader(stage);
            !now.is_empty() && now != pod
        });
        println!(
            "     frozen while Okta held {call} ({when} its effect): another led after {:.1} s",
            took.as_secs_f64()
        );
        stage.control("DELETE", &hold, &Value::Null);
        let took = stage.until("the standby alone is active", PATIENCE, || active(stage) == STANDBY);
        println!("     one active hook {:.1} s after the last stale call (poll 15 s)", took.as_secs_f64());
        signal_to(&frozen, "-CONT");
        thread::sleep(Duration::from_secs(5));
        assert_eq!(active(stage), STANDBY, "who was frozen does nothing any more");
        delivers(stage, "reserve");
        back(stage, &format!("frozen-{number}"));
    }
}

/// Starts the API server again, whatever becomes of the scenario.
struct Restart<'s>(&'s Stage);

impl Drop for Restart<'_> {
    fn drop(&mut self) {
        self.0.script("component.sh", &["start", "apiserver"]);
    }
}

/// The API server goes while none is active: what was begun is ended without it.
pub fn api_server_gone(stage: &Stage) {
    let address = stage.sandbox_address();
    let held = json!({"call": "activate", "when": "before"});
    let hold = format!("/v1/holds/{}", stage.control_at(&address, "POST", "/v1/orgs/acme/holds", &held)["hold"]);
    annotate(stage, "hookswitch.dev/promote=acme-standby/api-server");
    stage.until("none is active and Okta holds the activation", PATIENCE, || {
        stage.control_at(&address, "GET", &hold, &Value::Null)["arrivals"].as_u64().is_some_and(|arrivals| arrivals > 0)
    });
    stage.script("component.sh", &["stop", "apiserver"]);
    let restart = Restart(stage);
    stage.control_at(&address, "DELETE", &hold, &Value::Null);
    let took = stage.until("the standby is active although there is no API server", PATIENCE, || {
        let hooks = stage.somebody_else_at(&address, "GET", "/api/v1/inlineHooks", &Value::Null);
        let is_it = |hook: &Value| hook["status"] == "ACTIVE" && hook["name"] == STANDBY;
        hooks.as_array().is_some_and(|hooks| hooks.iter().any(is_it))
    });
    println!("     ended {:.1} s after the API server went inside the gap", took.as_secs_f64());
    drop(restart);
    stage.until("the API server answers", PATIENCE, || stage.try_kubectl(&["get", "--raw", "/readyz"], None).is_ok());
    stage.until("the switch says so", PATIENCE, || status(stage)["active"] == "acme-standby");
    delivers(stage, "reserve");
    back(stage, "api-server");
}

/// The same two hooks with one of them in Okta: the other's okta block goes, and Okta's hook with it.
pub fn repointed(stage: &Stage) {
    let patch_hook = |patch: &str| {
        stage.kubectl(&["patch", "-n", TELEPHONY, "telephonyhook", "acme-standby", "--type=merge", "-p", patch]);
    };
    let id = |name: &str| {
        let of_name = stage.okta_hooks().into_iter().find(|hook| hook["name"] == name);
        of_name.and_then(|hook| hook["id"].as_str().map(str::to_owned)).unwrap_or_default()
    };
    let uri = || {
        let hook = stage.okta_hooks().into_iter().find(|hook| hook["name"] == FIRST).unwrap_or_default();
        assert_eq!(hook["status"], "ACTIVE", "{hook}");
        hook["channel"]["config"]["uri"].as_str().unwrap_or_default().to_owned()
    };
    patch_hook(r#"{"spec": {"okta": null}}"#);
    patch(stage, &json!({"strategy": "Repoint"}));
    stage.somebody_else("DELETE", &format!("/api/v1/inlineHooks/{}", id(STANDBY)), &Value::Null);
    at_rest(stage);
    fault(stage, &["twilio", "backup"], "down");
    let took = stage.until("Okta is pointed at the standby", PATIENCE, || uri().contains("reserve-gateway"));
    row(stage, "every carrier down, by Repoint", "3 × 2 s + 1 s + 2 s + 2 s = 11 s", took);
    delivers(stage, "reserve");
    stage.until("the switch says so", PATIENCE, || status(stage)["active"] == "acme-standby");
    stage.calm();
    back(stage, "repointed");
    assert!(uri().contains("otp-gateway"));
    patch(stage, &json!({"strategy": null}));
    patch_hook(r#"{"spec": {"okta": {"orgRef": {"name": "acme"}, "name": "Acme passcodes, standby"}}}"#);
    at_rest(stage);
}

pub fn deleted(stage: &Stage) {
    stage.kubectl(&["delete", "-n", TELEPHONY, "hookswitch", "acme", "--timeout=60s"]);
    thread::sleep(Duration::from_secs(3));
    assert_eq!(active(stage), FIRST, "deleting a switch changes nothing in Okta");
    stage.kubectl(&[
        "patch",
        "-n",
        TELEPHONY,
        "telephonyhook",
        "acme-standby",
        "--type=merge",
        "-p",
        r#"{"spec": {"deletion": "Delete"}}"#,
    ]);
    stage.until("the standby is held", PATIENCE, || {
        stage.get("telephonyhook", "acme-standby")["metadata"]["finalizers"] == json!(["hookswitch.dev/okta"])
    });
    for object in
        ["telephonyhook/acme-standby", "telephonygateway/reserve", "routingpolicy/reserve", "telephonyprovider/reserve"]
    {
        stage.kubectl(&["delete", "-n", TELEPHONY, object, "--timeout=60s"]);
    }
    stage.kubectl(&["apply", "-k", concat!(env!("CARGO_MANIFEST_DIR"), "/examples/sandbox")]);
    stage.until("the first hook is Ready by itself", PATIENCE, || {
        active(stage) == FIRST && stage.condition("telephonyhook", "acme", "Ready") == "True Ready"
    });
    let left = telephony_hooks(stage);
    assert_eq!(left.len(), 1, "{left:?}");
}
