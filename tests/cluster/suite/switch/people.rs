//! What people do: with the switch, and past it in Okta's console.

use std::{collections::BTreeSet, thread, time::Duration};

use hookswitch_sandbox::okta::{Asked, Delivery};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    FIRST, NUMBER, PATIENCE, STANDBY, active, annotate, at_rest, back, delivers, held, in_console, named,
    providers_down, signal_is, status, table::last_record,
};
use crate::{
    hooks::content,
    load,
    record::{gaps, turns, turns_since},
    stage::{Stage, TELEPHONY},
};

/// Longer than the time between two polls, in which somebody else's work would be undone if it were.
const NO_WAR: Duration = Duration::from_secs(20);

pub fn promote(stage: &Stage) {
    annotate(stage, "hookswitch.dev/promote=acme-standby/drill-1");
    stage.until("the standby is active", PATIENCE, || active(stage) == STANDBY);
    delivers(stage, "reserve");
    back(stage, "drill-1");

    in_console(stage, &named(stage, FIRST), "deactivate");
    in_console(stage, &named(stage, STANDBY), "activate");
    stage.until("the switch takes another admin's word", PATIENCE, || status(stage)["target"] == "acme-standby");
    thread::sleep(NO_WAR);
    assert_eq!(active(stage), STANDBY, "no war");
    back(stage, "console");
}

/// While none is active inside a failover, another admin activates a hook of his own.
pub fn console_meanwhile(stage: &Stage) {
    const THEIRS: &str = "Somebody else's telephony";
    // as Okta is documented, from here on: of two calls that it holds at once nobody but Okta decides
    stage.behave(&json!({"secondActivation": "refused"}));
    let hold = stage.hold("activate", "before");
    providers_down(stage);
    hold.met(PATIENCE);
    let mut theirs = content(THEIRS, "https://else.example/otp");
    theirs["channel"]["config"]["headers"] = json!([]);
    let foreign = stage.somebody_else("POST", "/api/v1/inlineHooks", &theirs);
    assert_eq!(foreign["status"], "ACTIVE");
    hold.release();
    stage.until("the conflict is told", PATIENCE, || {
        stage.condition("telephonyhook", "acme-standby", "Ready") == "False Conflict" && held(stage, "Conflict")
    });
    thread::sleep(NO_WAR);
    let now = named(stage, THEIRS);
    assert_eq!((&now["status"], &now["lastUpdated"]), (&json!("ACTIVE"), &foreign["lastUpdated"]), "no war");
    assert_eq!(turns(stage).last().map(|turn| turn.active.clone()), Some(vec![THEIRS.to_owned()]));

    in_console(stage, &foreign, "deactivate");
    stage.until("ours is active when theirs is not", PATIENCE, || active(stage) == STANDBY);
    let path = format!("/api/v1/inlineHooks/{}", foreign["id"].as_str().expect("a hook has an id"));
    stage.somebody_else("DELETE", &path, &Value::Null);
    delivers(stage, "reserve");
    stage.calm();
    back(stage, "meanwhile");
    for hook in ["acme", "acme-standby"] {
        stage.until("it is Ready again", PATIENCE, || stage.condition("telephonyhook", hook, "Ready") == "True Ready");
    }
}

/// Somebody sets another secret in Okta's console. It cannot be read back there: what shows it are calls without the right one.
pub fn wrong_secret(stage: &Stage) {
    delivers(stage, "twilio");
    stage.until("calls are known to come with the secret", PATIENCE, || {
        signal_is(stage, "acme", "Refusals", "Pass") && signal_is(stage, "acme", "Execute", "Pass")
    });
    let last = last_record(stage)["at"].clone();
    let hook = named(stage, FIRST);
    let config = &hook["channel"]["config"];
    let mut other = content(FIRST, config["uri"].as_str().expect("a hook has an address"));
    other["channel"]["config"]["headers"] = config["headers"].clone();
    let changed = Timestamp::now();
    let path = format!("/api/v1/inlineHooks/{}", hook["id"].as_str().expect("a hook has an id"));
    stage.somebody_else("PUT", &path, &other);
    assert_ne!(stage.send(NUMBER, json!({})).text("delivery"), "hook", "the gateway takes another secret");
    let took = stage.until("calls come with the right secret again", PATIENCE, || {
        thread::sleep(Duration::from_secs(1));
        stage.send(NUMBER, json!({})).text("delivery") == "hook"
    });
    println!("     a wrong secret in Okta was mended after {:.1} s", took.as_secs_f64());
    let made = stage.get("oktaorg", "acme")["status"]["history"].as_array().cloned().unwrap_or_default();
    let at = |change: &Value| change["at"].as_str().and_then(|at| at.parse::<Timestamp>().ok()).expect("a time");
    let made: Vec<&Value> = made.iter().filter(|change| at(change) > changed).map(|change| &change["verb"]).collect();
    assert_eq!(made, ["Replace"], "one PUT");
    assert_eq!((active(stage).as_str(), &last_record(stage)["at"]), (FIRST, &last), "nothing was switched");
    let reported = ["get", "events", "-n", TELEPHONY, "--field-selector", "reason=SecretReapplied", "-o", "name"];
    assert!(!stage.kubectl(&reported).trim().is_empty(), "an Event says so");
    delivers(stage, "twilio");
    at_rest(stage);
}

/// Somebody deletes the object of the standby while Okta calls it and people log in. No login is lost on the way back to the
/// first hook: what comes while Okta has none active, inside that one swap, is sent by Okta itself.
pub fn standby_deleted(stage: &Stage) {
    annotate(stage, "hookswitch.dev/promote=acme-standby/deleted");
    stage.until("the standby is active", PATIENCE, || active(stage) == STANDBY);
    stage.until("the first hook is well", PATIENCE, || status(stage)["phase"] == "Recovering");
    let hook = ["telephonyhook", "-n", TELEPHONY, "acme-standby"];
    // whoever asks inside the gap is sent to by Okta, however many that are on a busy machine
    stage.behave(&json!({"fallbackPerMinute": 1_000}));
    let begun = Timestamp::now();
    let all = load::during(stage, PATIENCE, |_| {
        stage.kubectl(&[&["delete", "--wait=false"], &hook[..]].concat());
        stage.until("the first hook is active and the object of the other gone", PATIENCE, || {
            active(stage) == FIRST && stage.try_kubectl(&[&["get"], &hook[..]].concat(), None).is_err()
        });
    });
    let gaps = gaps(&turns_since(stage, begun));
    let (by_hook, others): (Vec<_>, Vec<_>) = all.iter().partition(|one| one.by_hook());
    let in_gap =
        |one: &Asked| one.report.delivery == Delivery::Okta && gaps.iter().any(|gap| gap.meets(one.due, one.until()));
    let served = |one: &Asked| one.messages == 1 && (one.lost().is_none() || in_gap(one));
    let lost: Vec<_> = all.iter().filter(|one| !served(one)).map(|one| (one.due, one.lost())).collect();
    let lasted = all.last().map(|last| last.due.duration_since(begun)).unwrap_or_default();
    println!(
        "     {} passcodes in {:.1} s while the active standby's object went: {} by hooks, {} by Okta itself in {} gaps",
        all.len(),
        lasted.as_secs_f64(),
        by_hook.len(),
        others.len(),
        gaps.len()
    );
    assert!(lost.is_empty(), "lost: {lost:?}");
    assert_eq!(gaps.len(), 1, "one swap");
    assert!(by_hook.len() >= 20, "{} are no load", by_hook.len());
    let providers: BTreeSet<&str> = by_hook.iter().map(|one| one.provider()).collect();
    assert!(providers.contains("reserve") && providers.len() > 1, "before and after: {providers:?}");
    stage.behave(&json!({"fallbackPerMinute": 5}));
    stage.kubectl(&["apply", "-k", "examples/sandbox-standby"]);
    at_rest(stage);
    assert!(!named(stage, STANDBY).is_null(), "it stays in Okta, and is found again");
}
