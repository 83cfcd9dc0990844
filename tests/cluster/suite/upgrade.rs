//! Upgrade and rollback by one release, installed by helm, while people ask for passcodes. The release before is what
//! `tests/cluster/previous.sh` built; the stage begins with it.
//!
//! A gateway's rollout is paused where operator and gateways are to be of different releases for a while, as a node without
//! room would do. Pods that restart meanwhile are of their gateway's release still.

use std::{
    env, fs,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    hooks::{helm, leader},
    load,
    record::turns_since,
    scenarios::examples_of,
    stage::{SYSTEM, Stage, TELEPHONY},
    switch,
};

const PATIENCE: Duration = Duration::from_secs(180);
/// The gateway that Okta calls, and that of the standby.
const ACTIVE: &str = "otp";
const STANDBY: &str = "reserve";
const GATEWAYS: [&str; 2] = [ACTIVE, STANDBY];
/// Somebody who is not among the people of the load.
const SOMEBODY: &str = "+13105550150";
/// Those of all objects that are declared.
const DECLARED: &str = "oktaorgs,telephonyproviders,routingpolicies,telephonygateways,telephonyhooks,hookswitches";

#[derive(Clone, Copy)]
enum Release {
    Previous,
    Present,
}

impl Release {
    fn image(self) -> String {
        match self {
            Self::Previous => read("image").trim().to_owned(),
            Self::Present => env::var("IMAGE").expect("the suite names the image"),
        }
    }
}

/// Something of the release before.
fn previous(what: &str) -> PathBuf {
    PathBuf::from(env::var_os("HOOKSWITCH_PREVIOUS").expect("the suite says where the release before is")).join(what)
}

fn read(what: &str) -> String {
    fs::read_to_string(previous(what)).expect("the release before is whole")
}

/// A pod, as far as it tells of a release.
struct Pod {
    name: String,
    image: String,
    made: String,
    /// Since when it is ready.
    ready: Option<String>,
    ends: bool,
}

fn pods(stage: &Stage, namespace: &str, label: &str) -> Vec<Pod> {
    let listed = stage.kubectl(&["get", "pods", "-n", namespace, "-l", label, "-o", "json"]);
    let listed: Value = serde_json::from_str(&listed).expect("kubectl prints JSON");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let pod = |pod: &Value| {
        let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let ready = conditions.iter().find(|condition| condition["type"] == "Ready" && condition["status"] == "True");
        Pod {
            name: text(&pod["metadata"]["name"]),
            image: text(&pod["spec"]["containers"][0]["image"]),
            made: text(&pod["metadata"]["creationTimestamp"]),
            ready: ready.map(|condition| text(&condition["lastTransitionTime"])),
            ends: !pod["metadata"]["deletionTimestamp"].is_null(),
        }
    };
    listed["items"].as_array().expect("a list of pods").iter().map(pod).collect()
}

/// The pods of a gateway that go on.
fn serving(stage: &Stage, gateway: &str) -> Vec<Pod> {
    let mut all = pods(stage, TELEPHONY, &format!("hookswitch.dev/gateway={gateway}"));
    all.retain(|pod| !pod.ends);
    all
}

fn is_of(stage: &Stage, gateway: &str, release: Release) -> bool {
    let (pods, image) = (serving(stage, gateway), release.image());
    let wanted = stage.get("deployment", &format!("{gateway}-gateway"))["spec"]["replicas"].clone();
    wanted == pods.len() && pods.iter().all(|pod| pod.image == image && pod.ready.is_some())
}

/// Waits until no operator of another release is left, and one of them leads.
fn operator_is(stage: &Stage, release: Release) {
    let image = release.image();
    stage.until(&format!("the operator is of {image} alone"), PATIENCE, || {
        let (all, leader) = (pods(stage, SYSTEM, "app.kubernetes.io/component=operator"), leader(stage));
        all.iter().all(|pod| pod.image == image) && all.iter().any(|pod| pod.name == leader)
    });
}

/// Waits until all gateways are of a release.
fn gateways_are(stage: &Stage, release: Release) {
    let took = stage.until(&format!("all gateways are of {}", release.image()), PATIENCE, || {
        GATEWAYS.iter().all(|gateway| is_of(stage, gateway, release))
    });
    println!("     the gateways followed within {:.0} s", took.as_secs_f64());
}

/// As docs/guides/upgrade.md says.
fn upgrade(stage: &Stage) {
    let values = stage.work.join("values.yaml");
    let held = helm(&["get", "values", "hookswitch", "-n", SYSTEM, "-o", "yaml"]);
    fs::write(&values, held).expect("the run's folder can be written to");
    let image = Release::Present.image();
    let (repository, tag) = image.rsplit_once(':').expect("an image has a tag");
    let begun = Instant::now();
    helm(&[
        "upgrade",
        "hookswitch",
        "charts/hookswitch",
        "-n",
        SYSTEM,
        "-f",
        &values.to_string_lossy(),
        "--set",
        &format!("image.repository={repository}"),
        "--set-string",
        &format!("image.tag={tag}"),
        "--wait",
        "--timeout",
        "3m",
    ]);
    operator_is(stage, Release::Present);
    println!("     the operator was upgraded within {:.0} s", begun.elapsed().as_secs_f64());
}

/// As docs/guides/upgrade.md says.
fn roll_back(stage: &Stage) {
    let begun = Instant::now();
    helm(&["rollback", "hookswitch", "-n", SYSTEM, "--wait", "--timeout", "3m"]);
    operator_is(stage, Release::Previous);
    println!("     the operator was rolled back within {:.0} s", begun.elapsed().as_secs_f64());
}

/// `pause` or `resume` for the change of all gateways' pods.
fn rollouts(stage: &Stage, what: &str) {
    for gateway in GATEWAYS {
        stage.kubectl(&["rollout", what, "-n", TELEPHONY, &format!("deployment/{gateway}-gateway")]);
    }
}

/// What is declared reaches the gateways: a rule sends by another provider, and again by the one before.
fn reaches(stage: &Stage) {
    let sent_by = |provider: &str| (0..4).all(|_| stage.send(SOMEBODY, json!({})).text("provider") == provider);
    for providers in [["backup", "twilio"], ["twilio", "backup"]] {
        let value = json!([{"name": providers[0]}, {"name": providers[1]}]);
        let patch = json!([{"op": "replace", "path": "/spec/rules/2/send/providers", "value": value}]).to_string();
        stage.kubectl(&["patch", "-n", TELEPHONY, "routingpolicy/default", "--type=json", "-p", &patch]);
        let took = stage.until(&format!("the rule sends by {}", providers[0]), PATIENCE, || sent_by(providers[0]));
        println!("     a changed rule was in force within {:.1} s", took.as_secs_f64());
    }
}

/// A pod of each gateway goes, and another one of the same release takes its place.
fn restart(stage: &Stage, release: Release) {
    for gateway in GATEWAYS {
        let before = serving(stage, gateway)[0].name.clone();
        stage.kubectl(&["delete", "pod", "-n", TELEPHONY, &before, "--wait=false"]);
        let took = stage.until(&format!("a pod of {gateway} that began meanwhile is ready"), PATIENCE, || {
            is_of(stage, gateway, release) && serving(stage, gateway).iter().all(|pod| pod.name != before)
        });
        println!("     a pod of {gateway} that began meanwhile was ready within {:.1} s", took.as_secs_f64());
    }
}

/// While something happens people ask for passcodes: the hook that Okta calls sends each one message, in Okta's time, and stays the
/// active one.
fn nothing_lost(stage: &Stage, happens: impl FnOnce()) {
    let begun = Timestamp::now();
    let all = load::during(stage, PATIENCE, |_| happens());
    load::nobody_lost(&all);
    let turns = turns_since(stage, begun);
    assert!(turns.is_empty(), "no hook is activated or deactivated: {turns:#?}");
}

/// Everything is Ready, and then nothing is written any more.
fn rests(stage: &Stage) {
    switch::settled(stage);
    stage.until("everything declared is Ready", PATIENCE, || {
        let objects = stage.kubectl(&["get", "-n", TELEPHONY, "-o", "json", DECLARED]);
        let objects: Value = serde_json::from_str(&objects).expect("kubectl prints JSON");
        let is_ready = |object: &Value| {
            let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
            object["status"]["observedGeneration"] == object["metadata"]["generation"]
                && conditions.iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
        };
        objects["items"].as_array().expect("a list").iter().all(is_ready)
    });
    let objects = stage.kubectl(&["get", "-n", TELEPHONY, "-o", "json", &format!("{DECLARED},deployments")]);
    let judged = stage.judge(&objects);
    assert!(judged.is_ok(), "kstatus: {judged:?}");
    thread::sleep(Duration::from_secs(20));
    let before = stage.audit().lines().count();
    thread::sleep(Duration::from_secs(20));
    let written = stage.written_since(before, &["leases"]);
    assert!(written.is_empty(), "written although nothing changed: {written:#?}");
}

pub fn before(stage: &Stage) {
    let examples = previous("examples");
    let examples = examples.to_str().expect("a path of letters");
    examples_of(stage, examples);
    switch::set_up_as(stage, examples);
    // both hooks are in Okta: what must not be is possible
    switch::standby_exists(stage);
    operator_is(stage, Release::Previous);
    gateways_are(stage, Release::Previous);
}

pub fn forward(stage: &Stage) {
    nothing_lost(stage, || {
        stage.kubectl(&["apply", "--server-side", "--force-conflicts", "-f", "crds"]);
        reaches(stage);
        rollouts(stage, "pause");
        upgrade(stage);
        reaches(stage);
        restart(stage, Release::Previous);
        rollouts(stage, "resume");
        gateways_are(stage, Release::Present);
    });
    let standby: Vec<Option<String>> = serving(stage, STANDBY).into_iter().map(|pod| pod.ready).collect();
    let active: Vec<Option<String>> = serving(stage, ACTIVE).into_iter().map(|pod| Some(pod.made)).collect();
    assert!(standby.iter().max() < active.iter().min(), "in turn: {standby:?} before {active:?}");
    rests(stage);
}

pub fn gateways_first(stage: &Stage) {
    nothing_lost(stage, || {
        rollouts(stage, "pause");
        roll_back(stage);
        reaches(stage);
        restart(stage, Release::Present);
        upgrade(stage);
        rollouts(stage, "resume");
        gateways_are(stage, Release::Present);
    });
    rests(stage);
}

pub fn back(stage: &Stage) {
    nothing_lost(stage, || {
        roll_back(stage);
        gateways_are(stage, Release::Previous);
    });
    rests(stage);
}
