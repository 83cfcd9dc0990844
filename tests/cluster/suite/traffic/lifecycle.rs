//! Pods that come and go, and what is around them that goes away.

use std::{process::Command, time::Duration};

use hookswitch_sandbox::okta::{Asked, Delivery};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{PATIENCE, nobody_loses, patch, pods, settled};
use crate::{
    is_full, load,
    stage::{SYSTEM, Stage, TELEPHONY, process_of},
    switch::crash::{ApiServer, operators},
};

/// A pod of the gateway whose container runs for the first time: a node starts it again at once.
fn fresh(stage: &Stage) -> String {
    let pods = pods(stage).into_iter();
    let mut never = pods.filter(|(_, (_, restarts))| *restarts == 0).map(|(name, _)| name);
    never.next().expect("a pod that was never restarted")
}

fn process(pod: &str) -> Option<String> {
    process_of(pod, "gateway")
}

fn signal(process: &str, signal: &str) {
    let sent = Command::new("kill").args([signal, process]).status().expect("kill runs");
    assert!(sent.success(), "kill {signal} {process}");
}

/// What a pod answers at its port for health.
fn says(stage: &Stage, address: &str, path: &str) -> String {
    let url = format!("http://{address}:9090{path}");
    // whoever does not answer says nothing
    let call = format!("curl -s --max-time 2 {url}; true");
    stage.script("ns.sh", &["sh", "-c", &call])
}

fn address(stage: &Stage, pod: &str) -> String {
    stage.get("pod", pod)["status"]["podIP"].as_str().expect("a pod has an address").to_owned()
}

/// Whether the node sends calls of a Service to a pod. The pod's own chain stays for a while after nothing goes to it.
fn routed(stage: &Stage, address: &str) -> bool {
    let rules = stage.script("ns.sh", &["nft", "list", "table", "ip", "kube-proxy"]);
    let mut targets = rules.split("goto ").skip(1).filter_map(|rest| rest.split_whitespace().next());
    targets.any(|chain| chain.contains(&format!("__{address}/")))
}

/// The process of a pod's container is another one, and serves.
fn restarted(stage: &Stage, pod: &str, address: &str, before: &str) {
    stage.until("the container runs again and is ready", PATIENCE, || {
        process(pod).is_some_and(|now| now != before) && says(stage, address, "/readyz").trim() == "ok"
    });
}

pub fn pod_deleted(stage: &Stage) {
    let before = pods(stage);
    let gone = before.keys().next().expect("a pod");
    nobody_loses(stage, |_| {
        stage.kubectl(&["delete", "pod", "-n", TELEPHONY, gone, "--timeout=90s"]);
        settled(stage, 2);
    });
    assert!(!pods(stage).contains_key(gone));
}

/// Once with a connection for each call, as Okta's own calls most likely are, and once with connections that are kept.
pub fn rolling_update(stage: &Stage) {
    for (keeps, annotations) in [(false, json!({"acme.com/rolled": "yes"})), (true, Value::Null)] {
        stage.behave(&json!({ "keepAlive": keeps }));
        let before = pods(stage);
        let all = nobody_loses(stage, |_| {
            patch(stage, "telephonygateway/otp", &json!({"spec": {"podAnnotations": annotations}}));
            stage.until("another pod is made", PATIENCE, || pods(stage).keys().any(|pod| !before.contains_key(pod)));
            settled(stage, 2);
        });
        let now = pods(stage);
        assert!(now.keys().all(|pod| !before.contains_key(pod)), "{now:?} instead of {before:?}");
        let lasted = all.last().map(Asked::until).unwrap_or_default().duration_since(all[0].due);
        println!("     2 pods for 2 others in {:.0} s, connections kept: {keeps}", lasted.as_secs_f64());
    }
    stage.behave(&json!({"keepAlive": false}));
}

/// A person scales a gateway as one scales a Deployment; nothing that is written down has a user's number in it.
pub fn scaled(stage: &Stage) {
    let of_pods = ["get", "pods", "-n", TELEPHONY, "-l", "hookswitch.dev/gateway=otp", "-o"];
    let user =
        "jsonpath={.items[*].spec.containers[*].securityContext.runAsUser}{.items[*].spec.securityContext.runAsUser}";
    let users = stage.kubectl(&[&of_pods[..], &[user]].concat());
    assert_eq!(users.trim(), "", "a platform that gives each namespace a user of its own");
    nobody_loses(stage, |load| {
        for count in [3, 2] {
            stage.kubectl(&["scale", "-n", TELEPHONY, "telephonygateway", "otp", &format!("--replicas={count}")]);
            settled(stage, count);
            stage.until("the gateway says so", PATIENCE, || {
                stage.get("telephonygateway", "otp")["status"]["replicas"] == count
            });
            load.more(load::AROUND);
        }
    });
}

/// How many passcodes are asked for while no operator runs: 15 s, or a minute.
fn while_away() -> u64 {
    load::PER_SECOND * if is_full() { 60 } else { 15 }
}

/// Waits until all operators that are declared run and are ready.
fn operators_are_back(stage: &Stage) {
    stage.until("the operator is back", Duration::from_secs(120), || {
        let available = ["wait", "-n", SYSTEM, "--for=condition=Available", "--timeout=5s", "deployment", "--all"];
        stage.try_kubectl(&available, None).is_ok()
    });
}

pub fn operator_away(stage: &Stage) {
    let before = pods(stage);
    let replicas = stage.kubectl(&["get", "deployment", "-n", SYSTEM, "hookswitch", "-o", "jsonpath={.spec.replicas}"]);
    nobody_loses(stage, |load| {
        operators(stage, "0");
        stage.until("no operator runs", PATIENCE, || {
            let operators = ["get", "pods", "-n", SYSTEM, "-l", "app.kubernetes.io/component=operator", "-o", "name"];
            stage.kubectl(&operators).trim().is_empty()
        });
        load.more(while_away());
        operators(stage, replicas.trim());
        operators_are_back(stage);
    });
    assert_eq!(pods(stage), before, "an operator that comes back must not restart pods");
    assert_eq!(stage.condition("telephonyhook", "acme", "Ready"), "True Ready");
}

/// A container leaves in good order. When it starts again there is no API server: it serves what is mounted.
pub fn api_server_gone(stage: &Stage) {
    let before = pods(stage);
    let pod = fresh(stage);
    let (address, old) = (address(stage, &pod), process(&pod).expect("the gateway's process"));
    assert!(routed(stage, &address), "the node's rules are read wrongly");
    nobody_loses(stage, |load| {
        signal(&old, "-TERM");
        stage.until("the node sends nobody to the pod any more", PATIENCE, || !routed(stage, &address));
        let gone = ApiServer::stop(stage);
        restarted(stage, &pod, &address, &old);
        load.more(load::AROUND);
        drop(gone);
        stage.until("the API server is back", PATIENCE, || {
            stage.try_kubectl(&["get", "--raw", "/readyz"], None).is_ok()
        });
        settled(stage, 2);
        operators_are_back(stage);
    });
    let now = pods(stage);
    assert_eq!(now[&pod], (before[&pod].0.clone(), before[&pod].1 + 1), "the same pod, and its container anew");
    assert_eq!(now.len(), before.len());
}

/// A container is killed outright. What is lost is told: calls that it had begun, and calls that are sent to its address until
/// it runs again or the Service knows; each of those Okta sends itself, as it does when a hook fails.
pub fn killed(stage: &Stage) {
    let pod = fresh(stage);
    let (address, old) = (address(stage, &pod), process(&pod).expect("the gateway's process"));
    stage.behave(&json!({"fallbackPerMinute": 1_000}));
    let (mut from, mut until) = (Timestamp::MAX, Timestamp::MAX);
    let all = load::during(stage, PATIENCE, |_| {
        from = Timestamp::now();
        signal(&old, "-KILL");
        restarted(stage, &pod, &address, &old);
        until = Timestamp::now();
        settled(stage, 2);
    });
    stage.behave(&json!({"fallbackPerMinute": 5}));
    let lost: Vec<&Asked> = all.iter().filter(|asked| asked.lost().is_some()).collect();
    let met = |asked: &Asked| asked.due <= until && asked.until() >= from;
    let broken = |asked: &&&Asked| {
        let told = asked.report.hook.as_ref().and_then(|hook| hook.error_message.as_deref());
        told.is_some_and(|told| told.starts_with("the connection broke"))
    };
    let begun = lost.iter().filter(broken).count();
    println!(
        "     {} asked, {} a second; the container ran again after {:.1} s, in which {} were asked or under way",
        all.len(),
        load::PER_SECOND,
        until.duration_since(from).as_secs_f64(),
        all.iter().filter(|asked| met(asked)).count(),
    );
    println!(
        "     {} of these not by the hook: {begun} that it had begun, {} sent to its address while nobody answered there; \
         Okta sent each itself, {} of them a second time",
        lost.len(),
        lost.len() - begun,
        lost.iter().filter(|asked| asked.messages > 1).count()
    );
    let sent = |asked: &Asked| match asked.report.delivery {
        // a provider that had accepted it before the end has sent it too
        Delivery::OktaFallback => (1..=2).contains(&asked.messages),
        _ => false,
    };
    let wrong: Vec<_> = lost.iter().filter(|asked| !met(asked) || !sent(asked)).collect();
    assert!(wrong.is_empty(), "lost by something else: {wrong:#?}");
}
