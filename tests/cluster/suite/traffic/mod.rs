//! What may change or go away while people log in: nobody loses a passcode by it, and nobody gets one twice.

pub mod lifecycle;
pub mod rotation;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use hookswitch_sandbox::okta::Asked;
use serde_json::{Value, json};

use crate::{
    load::{self, Load, nobody_lost},
    stage::{Stage, TELEPHONY},
};

const PATIENCE: Duration = Duration::from_secs(90);

/// Lets something happen while people log in, and fails when anybody lost anything by it.
fn nobody_loses(stage: &Stage, happens: impl FnOnce(&Load<'_>)) -> Vec<Asked> {
    let all = load::during(stage, PATIENCE, happens);
    nobody_lost(&all);
    all
}

/// The gateway's pods that are there, those that are to end among them: which of their kind each is, and how often its
/// container was restarted.
fn pods(stage: &Stage) -> BTreeMap<String, (String, u64)> {
    let listed = stage.kubectl(&["get", "pods", "-n", TELEPHONY, "-l", "hookswitch.dev/gateway=otp", "-o", "json"]);
    let listed: Value = serde_json::from_str(&listed).expect("kubectl prints JSON");
    let pod = |pod: &Value| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let restarts = pod["status"]["containerStatuses"][0]["restartCount"].as_u64().unwrap_or_default();
        (text(&pod["metadata"]["name"]), (text(&pod["metadata"]["uid"]), restarts))
    };
    listed["items"].as_array().into_iter().flatten().map(pod).collect()
}

/// Waits until the gateway has so many pods, all as declared now, all ready, and none is there besides.
fn settled(stage: &Stage, count: u64) {
    stage.until(&format!("{count} pods are ready, and none else is there"), PATIENCE, || {
        let deployment = stage.get("deployment", "otp-gateway");
        let status = &deployment["status"];
        let all = ["replicas", "updatedReplicas", "readyReplicas", "availableReplicas"];
        status["observedGeneration"] == deployment["metadata"]["generation"]
            && deployment["spec"]["replicas"] == count
            && all.iter().all(|field| status[field] == count)
            && u64::try_from(pods(stage).len()) == Ok(count)
    });
}

fn patch(stage: &Stage, object: &str, patch: &Value) {
    stage.kubectl(&["patch", "-n", TELEPHONY, object, "--type=merge", "-p", &patch.to_string()]);
}

/// A changed rule reaches the pods within seconds and without a restart.
pub fn reload(stage: &Stage) {
    let before = pods(stage);
    let send_by = |providers: &Value| {
        let patch = json!([{"op": "replace", "path": "/spec/rules/2/send/providers", "value": providers}]).to_string();
        stage.kubectl(&["patch", "-n", TELEPHONY, "routingpolicy", "default", "--type=json", "-p", &patch]);
    };
    let goes_by = |load: &Load<'_>, provider: &str| {
        let took = stage.until("the new rule is in force", PATIENCE, || {
            (0..4).all(|_| stage.send("+12025550100", json!({})).text("provider") == provider)
        });
        load.more(load::AROUND);
        took
    };
    let mut took = Duration::ZERO;
    let all = nobody_loses(stage, |load| {
        send_by(&json!([{"name": "backup"}]));
        took = goes_by(load, "backup");
        send_by(&json!([{"name": "twilio"}, {"name": "backup"}]));
        goes_by(load, "twilio");
    });
    println!("     in force after {:.1} s", took.as_secs_f64());
    let by: BTreeSet<&str> = all.iter().map(Asked::provider).collect();
    assert_eq!(by, ["backup", "twilio"].into(), "by whom it was declared, one and then the other");
    assert_eq!(pods(stage), before, "a change of rules must not restart pods");
}
