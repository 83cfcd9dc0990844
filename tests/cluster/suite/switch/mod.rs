//! The switch: a standby hook takes over, and is not switched to needlessly.

pub mod crash;
pub mod faults;
pub mod foreign;
pub mod people;
pub mod restraint;
mod table;

use std::{thread, time::Duration};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    hooks::telephony_hooks,
    stage::{Stage, TELEPHONY},
};

const PATIENCE: Duration = Duration::from_secs(90);
const FIRST: &str = "Acme passcodes";
const STANDBY: &str = "Acme passcodes, standby";
/// A person who logs in.
const NUMBER: &str = "+12025550100";

fn active(stage: &Stage) -> String {
    let hooks = stage.okta_hooks();
    let of = |hook: &&Value| hook["type"] == "com.okta.telephony.provider" && hook["status"] == "ACTIVE";
    let active: Vec<&Value> = hooks.iter().filter(of).collect();
    assert!(active.len() <= 1, "two telephony hooks are active: {active:?}");
    active.first().and_then(|hook| hook["name"].as_str()).unwrap_or_default().to_owned()
}

fn named(stage: &Stage, name: &str) -> Value {
    stage.okta_hooks().into_iter().find(|hook| hook["name"] == name).unwrap_or_default()
}

/// Somebody else activates or deactivates a hook in Okta's console.
fn in_console(stage: &Stage, hook: &Value, what: &str) {
    let id = hook["id"].as_str().expect("a hook has an id");
    stage.somebody_else("POST", &format!("/api/v1/inlineHooks/{id}/lifecycle/{what}"), &Value::Null);
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
    patch_object(stage, "hookswitch", "acme", spec);
}

fn patch_object(stage: &Stage, kind: &str, name: &str, spec: &Value) {
    let patch = json!({ "spec": spec }).to_string();
    stage.kubectl(&["patch", "-n", TELEPHONY, kind, name, "--type=merge", "-p", &patch]);
}

/// Lets providers fail; the answer is a moment at which not all of them did yet.
fn fault(stage: &Stage, providers: &[&str], kind: &str) -> Timestamp {
    let mut before = Timestamp::now();
    for provider in providers {
        before = Timestamp::now();
        stage.sandbox(&["fault", provider, kind]);
    }
    before
}

/// Every provider of the first hook fails.
fn providers_down(stage: &Stage) -> Timestamp {
    fault(stage, &["twilio", "backup"], "down")
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

/// At rest with everything as it is declared now: what a status says may be of before.
pub fn settled(stage: &Stage) {
    for (kind, name) in [("hookswitch", "acme"), ("telephonyhook", "acme"), ("telephonyhook", "acme-standby")] {
        stage.until(&format!("{kind} {name} is Ready as it is declared now"), PATIENCE, || {
            let object = stage.get(kind, name);
            object["metadata"]["generation"] == object["status"]["observedGeneration"]
                && stage.condition(kind, name, "Ready") == "True Ready"
        });
    }
    at_rest(stage);
}

/// Back to the first hook by a person's word, once it is well.
fn back(stage: &Stage, token: &str) {
    stage.until("the first hook is well again", PATIENCE, || status(stage)["phase"] == "Recovering");
    annotate(stage, &format!("hookswitch.dev/failback={token}"));
    stage.until("the request is echoed", PATIENCE, || status(stage)["handled"]["failback"] == token);
    at_rest(stage);
}

/// The standby is in Okta, where it is created inside the first switch.
pub fn standby_exists(stage: &Stage) {
    if named(stage, STANDBY).is_null() {
        annotate(stage, "hookswitch.dev/promote=acme-standby/create");
        stage.until("the standby is active", PATIENCE, || active(stage) == STANDBY);
        back(stage, "create");
    }
}

fn delivers(stage: &Stage, provider: &str) {
    let sent = stage.send(NUMBER, json!({}));
    assert_eq!((sent.text("status"), sent.text("delivery")), ("SUCCESSFUL", "hook"), "{}", sent.0);
    assert_eq!(sent.text("provider"), provider);
}

/// Result and reason of a signal of a hook, as the switch shows them.
fn signal(stage: &Stage, hook: &str, source: &str) -> (String, String) {
    let hooks = status(stage)["hooks"].as_array().cloned().unwrap_or_default();
    let signals = hooks.iter().find(|shown| shown["name"] == hook).and_then(|hook| hook["signals"].as_array().cloned());
    let signal = signals.unwrap_or_default().into_iter().find(|signal| signal["source"] == source);
    let signal = signal.unwrap_or_default();
    let text = |field: &str| signal[field].as_str().unwrap_or_default().to_owned();
    (text("result"), text("reason"))
}

fn signal_is(stage: &Stage, hook: &str, source: &str, result: &str) -> bool {
    signal(stage, hook, source).0 == result
}

pub fn set_up(stage: &Stage) {
    set_up_as(stage, "examples");
}

/// Sets up the switch of a folder of examples.
pub fn set_up_as(stage: &Stage, examples: &str) {
    stage.kubectl(&["apply", "-k", &format!("{examples}/sandbox-standby")]);
    // more switches than anybody would want within an hour are to come
    patch(stage, &json!({"budget": {"switches": 20}}));
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
    // that never two are active is to be our doing and not Okta's
    stage.behave(&json!({"secondActivation": "both-active"}));
}

pub fn deleted(stage: &Stage) {
    stage.kubectl(&["delete", "-n", TELEPHONY, "hookswitch", "acme", "--timeout=60s"]);
    thread::sleep(Duration::from_secs(3));
    assert_eq!(active(stage), FIRST, "deleting a switch changes nothing in Okta");
    patch_object(stage, "telephonyhook", "acme-standby", &json!({"deletion": "Delete"}));
    stage.until("the standby is held", PATIENCE, || {
        stage.get("telephonyhook", "acme-standby")["metadata"]["finalizers"] == json!(["hookswitch.dev/okta"])
    });
    for object in
        ["telephonyhook/acme-standby", "telephonygateway/reserve", "routingpolicy/reserve", "telephonyprovider/reserve"]
    {
        stage.kubectl(&["delete", "-n", TELEPHONY, object, "--timeout=60s"]);
    }
    stage.kubectl(&["apply", "-k", "examples/sandbox"]);
    stage.until("the first hook is Ready by itself", PATIENCE, || {
        active(stage) == FIRST && stage.condition("telephonyhook", "acme", "Ready") == "True Ready"
    });
    let left = telephony_hooks(stage);
    assert_eq!(left.len(), 1, "{left:?}");
}
