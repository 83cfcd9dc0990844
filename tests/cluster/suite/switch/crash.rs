//! What stops in the middle of a switch: its leader, or the API server.

use std::{process::Command, thread, time::Duration};

use super::{
    FIRST, PATIENCE, STANDBY, active, annotate, back, delivers, in_console, named, standby_exists, status,
    table::last_record,
};
use crate::{
    hooks::leader,
    is_full,
    stage::{SYSTEM, Stage, process},
};

fn signal_to(process: &str, signal: &str) {
    let sent = Command::new("kill").args([signal, process]).status().expect("kill runs");
    assert!(sent.success(), "kill {signal} {process}");
}

/// The leader is frozen while Okta holds a call of its switch, before or after its effect; the next one takes over, and then
/// Okta lets the call go.
pub fn frozen(stage: &Stage) {
    let all = [("deactivate", "before"), ("deactivate", "after"), ("activate", "before"), ("activate", "after")];
    let full = is_full();
    standby_exists(stage);
    for (number, (call, when)) in all.into_iter().enumerate().filter(|(number, _)| full || *number == 2) {
        let hold = stage.hold(call, when);
        annotate(stage, &format!("hookswitch.dev/promote=acme-standby/frozen-{number}"));
        hold.met(PATIENCE);
        let pod = leader(stage);
        let frozen = process(&pod).expect("the operator's process");
        signal_to(&frozen, "-STOP");
        let took = stage.until("another replica leads", PATIENCE, || {
            let now = leader(stage);
            !now.is_empty() && now != pod
        });
        println!(
            "     frozen while Okta held {call} ({when} its effect): another led after {:.1} s",
            took.as_secs_f64()
        );
        hold.release();
        let took = stage.until("the standby alone is active", PATIENCE, || active(stage) == STANDBY);
        println!("     one active hook {:.1} s after the last stale call (poll 15 s)", took.as_secs_f64());
        signal_to(&frozen, "-CONT");
        thread::sleep(Duration::from_secs(5));
        assert_eq!(active(stage), STANDBY, "who was frozen does nothing any more");
        delivers(stage, "reserve");
        back(stage, &format!("frozen-{number}"));
    }
}

/// An API server that is stopped, and is started again whatever becomes of the scenario.
pub struct ApiServer<'s>(&'s Stage);

impl<'s> ApiServer<'s> {
    pub fn stop(stage: &'s Stage) -> Self {
        stage.script("component.sh", &["stop", "apiserver"]);
        Self(stage)
    }
}

impl Drop for ApiServer<'_> {
    fn drop(&mut self) {
        self.0.script("component.sh", &["start", "apiserver"]);
    }
}

/// The API server goes while none is active: what was begun is ended without it.
pub fn api_server_gone(stage: &Stage) {
    standby_exists(stage);
    let hold = stage.hold("activate", "before");
    annotate(stage, "hookswitch.dev/promote=acme-standby/api-server");
    hold.met(PATIENCE);
    let gone = ApiServer::stop(stage);
    hold.release();
    let took = stage.until("the standby is active although there is no API server", PATIENCE, || {
        named(stage, STANDBY)["status"] == "ACTIVE"
    });
    println!("     ended {:.1} s after the API server went inside the gap", took.as_secs_f64());
    drop(gone);
    stage.until("the API server answers", PATIENCE, || stage.try_kubectl(&["get", "--raw", "/readyz"], None).is_ok());
    stage.until("the switch says so", PATIENCE, || status(stage)["active"] == "acme-standby");
    delivers(stage, "reserve");
    back(stage, "api-server");
}

/// Lets so many operators run.
pub fn operators(stage: &Stage, replicas: &str) {
    stage.kubectl(&["scale", "-n", SYSTEM, "deployment", "hookswitch", &format!("--replicas={replicas}")]);
}

/// Nobody leads; a person makes the standby active in Okta's console. Whoever leads next takes that for the decision it is.
pub fn nobody_leads(stage: &Stage) {
    standby_exists(stage);
    let replicas = stage.kubectl(&["get", "deployment", "-n", SYSTEM, "hookswitch", "-o", "jsonpath={.spec.replicas}"]);
    operators(stage, "0");
    stage.until("no operator runs", PATIENCE, || {
        let operators = ["get", "pods", "-n", SYSTEM, "-l", "app.kubernetes.io/component=operator", "-o", "name"];
        stage.kubectl(&operators).trim().is_empty()
    });
    in_console(stage, &named(stage, FIRST), "deactivate");
    in_console(stage, &named(stage, STANDBY), "activate");
    delivers(stage, "reserve");
    operators(stage, &replicas);
    let took = stage.until("it is taken for a decision", PATIENCE, || last_record(stage)["cause"] == "ChangedInOkta");
    println!("     a switch in Okta's console while nobody led was taken over after {:.1} s", took.as_secs_f64());
    // longer than the time between two polls
    thread::sleep(Duration::from_secs(20));
    assert_eq!((active(stage).as_str(), &status(stage)["target"]), (STANDBY, &"acme-standby".into()), "no war");
    delivers(stage, "reserve");
    back(stage, "nobody-led");
}
