//! What is kept in Okta: drift, handing over, conflicts, lost status, deletion.

use std::{process::Command, thread, time::Duration};

use serde_json::{Value, json};

use crate::stage::{SYSTEM, Stage, TELEPHONY, process};

const PATIENCE: Duration = Duration::from_secs(60);

/// The hook that the examples declare.
const FIRST: &str = "Acme passcodes";
/// Another one in the same org.
const SECOND: &str = "Acme passcodes, second";

pub fn telephony_hooks(stage: &Stage) -> Vec<Value> {
    let hooks = stage.okta_hooks();
    hooks.into_iter().filter(|hook| hook["type"] == "com.okta.telephony.provider").collect()
}

fn active(stage: &Stage) -> Vec<String> {
    let hooks = telephony_hooks(stage);
    let active: Vec<String> = hooks
        .iter()
        .filter(|hook| hook["status"] == "ACTIVE")
        .map(|hook| hook["name"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert!(active.len() <= 1, "two telephony hooks are active: {active:?}");
    active
}

fn named(stage: &Stage, name: &str) -> Value {
    let found = telephony_hooks(stage).into_iter().find(|hook| hook["name"] == name);
    found.unwrap_or_else(|| panic!("Okta has no hook {name}"))
}

fn path(hook: &Value) -> String {
    format!("/api/v1/inlineHooks/{}", hook["id"].as_str().expect("a hook has an id"))
}

pub fn content(name: &str, uri: &str) -> Value {
    json!({"name": name, "type": "com.okta.telephony.provider", "version": "1.0.0",
        "channel": {"type": "HTTP", "version": "1.0.0", "config": {"uri": uri, "method": "POST",
            "headers": [{"key": "X-Hookswitch-Owner", "value": "sandbox/telephony/acme"}],
            "authScheme": {"type": "HEADER", "key": "Authorization", "value": "a value of somebody else"}}}})
}

fn ready(stage: &Stage, name: &str) -> bool {
    stage.condition("telephonyhook", name, "Ready") == "True Ready"
}

fn delivers(stage: &Stage) {
    let sent = stage.send("+12025550100", json!({}));
    assert_eq!((sent.text("status"), sent.text("delivery")), ("SUCCESSFUL", "hook"), "{}", sent.0);
}

pub fn metrics(stage: &Stage) -> String {
    let pods =
        stage.kubectl(&["get", "pods", "-n", SYSTEM, "-l", "app.kubernetes.io/component=operator", "-o", "name"]);
    let one = |pod: &str| {
        let pod = pod.trim_start_matches("pod/");
        stage.kubectl(&["get", "--raw", &format!("/api/v1/namespaces/{SYSTEM}/pods/{pod}:9090/proxy/metrics")])
    };
    pods.lines().map(one).collect()
}

pub fn drift(stage: &Stage) {
    type Edit = fn(&Stage);
    let edits: [(Edit, &str); 3] = [
        (
            |stage| {
                let edited = content(FIRST, "https://elsewhere.example/otp");
                stage.somebody_else("PUT", &path(&named(stage, FIRST)), &edited);
            },
            "uri different",
        ),
        (
            |stage| {
                let deactivate = format!("{}/lifecycle/deactivate", path(&named(stage, FIRST)));
                stage.somebody_else("POST", &deactivate, &Value::Null);
            },
            "state INACTIVE",
        ),
        (
            |stage| {
                let hook = path(&named(stage, FIRST));
                stage.somebody_else("POST", &format!("{hook}/lifecycle/deactivate"), &Value::Null);
                stage.somebody_else("DELETE", &hook, &Value::Null);
            },
            "hook deleted",
        ),
    ];
    for (edit, reported) in edits {
        edit(stage);
        let took = stage.until("the change made behind our back is named", PATIENCE, || {
            let fields = stage.get("telephonyhook", "acme")["status"]["lastDrift"]["fields"].clone();
            fields.as_array().is_some_and(|fields| fields.contains(&json!(reported)))
        });
        stage.until("it is mended", PATIENCE, || active(stage) == [FIRST] && ready(stage, "acme"));
        println!("     {reported:<15} named after {:.1} s (poll 15 s)", took.as_secs_f64());
        let uri = named(stage, FIRST)["channel"]["config"]["uri"].clone();
        assert_eq!(uri, "https://otp-gateway.telephony.svc/hooks/acme");
        // the secret that somebody else wrote is gone, too
        delivers(stage);
    }
    let metrics = metrics(stage);
    for field in ["uri", "state", "hook"] {
        assert!(
            metrics
                .lines()
                .any(|line| line.starts_with("hookswitch_okta_drift_total{")
                    && line.contains(&format!("field=\"{field}\""))),
            "{field} is not counted"
        );
    }
}

fn second(state: &str) -> String {
    json!({"apiVersion": "hookswitch.dev/v1alpha1", "kind": "TelephonyHook", "metadata": {"name": "second"},
        "spec": {"target": {"gatewayRef": {"name": "otp"}}, "okta": {"orgRef": {"name": "acme"}, "name": SECOND},
            "state": state, "deletion": "Delete"}})
    .to_string()
}

fn first(state: &str) -> String {
    json!({"apiVersion": "hookswitch.dev/v1alpha1", "kind": "TelephonyHook", "metadata": {"name": "acme"},
        "spec": {"target": {"gatewayRef": {"name": "otp"}}, "okta": {"orgRef": {"name": "acme"}, "name": FIRST},
            "state": state}})
    .to_string()
}

fn apply(stage: &Stage, manifests: &[String]) {
    stage.apply(&manifests.join("\n---\n")).unwrap_or_else(|error| panic!("{error}"));
}

pub fn handing_over(stage: &Stage) {
    apply(stage, &[second("Inactive")]);
    stage.until("the standby says that Okta does not take it beside the active one", PATIENCE, || {
        stage.condition("telephonyhook", "second", "Created") == "False StandbyNotCreated"
    });
    assert!(ready(stage, "second"), "a standby that cannot exist yet is as good as Okta lets it be");
    assert_eq!(active(stage), [FIRST]);
    for (one, two, name) in [("Inactive", "Active", SECOND), ("Active", "Inactive", FIRST)] {
        apply(stage, &[first(one), second(two)]);
        let took = stage.until("the other hook is active", PATIENCE, || active(stage) == [name]);
        println!("     {name} active {:.1} s after kubectl apply (5 s of stillness)", took.as_secs_f64());
        stage.until("both are ready", PATIENCE, || ready(stage, "acme") && ready(stage, "second"));
        delivers(stage);
    }
    let history = stage.get("oktaorg", "acme")["status"]["history"].clone();
    let history = history.as_array().cloned().unwrap_or_default();
    assert!(!history.is_empty() && history.len() <= 20);
    let last: Vec<_> = history[history.len() - 2..].iter().map(|c| (c["verb"].clone(), c["outcome"].clone())).collect();
    assert_eq!(last, [(json!("Deactivate"), json!("ok")), (json!("Activate"), json!("ok"))], "{history:?}");
    assert!(history.iter().all(|change| change["requestID"].is_string()), "{history:?}");
}

pub fn two_active(stage: &Stage) {
    let changes = || stage.get("oktaorg", "acme")["status"]["history"].clone();
    let before = changes();
    apply(stage, &[second("Active")]);
    stage.until("both say so", PATIENCE, || {
        ["acme", "second"].iter().all(|name| stage.condition("telephonyhook", name, "Ready") == "False TwoActive")
    });
    assert_eq!(active(stage), [FIRST]);
    assert_eq!(changes(), before, "something was changed in Okta");
    apply(stage, &[second("Inactive")]);
    stage.until("both are ready again", PATIENCE, || ready(stage, "acme") && ready(stage, "second"));
}

pub fn deleted_hook(stage: &Stage) {
    let count = telephony_hooks(stage).len();
    stage.kubectl(&["delete", "telephonyhook", "second", "-n", TELEPHONY, "--timeout=60s"]);
    let left = telephony_hooks(stage);
    assert_eq!(left.len(), count - 1);
    assert!(left.iter().all(|hook| hook["name"] != SECOND), "{left:?}");
    assert_eq!(active(stage), [FIRST]);
}

pub fn leader(stage: &Stage) -> String {
    let holder = stage.kubectl(&["get", "lease", "-n", SYSTEM, "-o", "jsonpath={.items[*].spec.holderIdentity}"]);
    holder.split_whitespace().next().and_then(|holder| holder.split('_').next()).unwrap_or_default().to_owned()
}

/// Kills the leader while Okta has done what a call of this kind asked for and holds its answer. The next one leads when the
/// lease has run out, or at once when the scenario takes it away.
fn killed_at(stage: &Stage, call: &str, lease: Lease, ask: impl FnOnce()) {
    let hold = stage.hold(call, "after");
    ask();
    hold.met(PATIENCE);
    let pod = leader(stage);
    stage.kubectl(&["delete", "pod", "-n", SYSTEM, &pod, "--grace-period=0", "--force"]);
    stage.until("its process is gone", PATIENCE, || process(&pod).is_none());
    if lease == Lease::TakenAway {
        stage.kubectl(&["delete", "lease", "-n", SYSTEM, "--all"]);
    }
    hold.release();
    let took = stage.until("another replica leads", Duration::from_secs(90), || {
        let now = leader(stage);
        !now.is_empty() && now != pod
    });
    println!("     killed while Okta held the answer to {call}: another led after {:.1} s", took.as_secs_f64());
}

/// What becomes of the lease of a leader that was killed.
#[derive(PartialEq, Eq)]
enum Lease {
    RunsOut,
    TakenAway,
}

pub fn killed(stage: &Stage) {
    let end = |name: &str| {
        stage.until("it ends as declared", Duration::from_secs(90), || {
            active(stage) == [name] && ready(stage, "acme") && ready(stage, "second")
        });
        delivers(stage);
    };
    killed_at(stage, "create", Lease::RunsOut, || apply(stage, &[second("Inactive")]));
    end(FIRST);
    killed_at(stage, "deactivate", Lease::TakenAway, || apply(stage, &[first("Inactive"), second("Active")]));
    end(SECOND);
    killed_at(stage, "activate", Lease::TakenAway, || apply(stage, &[first("Active"), second("Inactive")]));
    end(FIRST);
    let headers = |value: &str| {
        let patch = json!({"spec": {"headers": [{"name": "X-Turn", "value": value}]}}).to_string();
        stage.kubectl(&["patch", "telephonyhook", "acme", "-n", TELEPHONY, "--type=merge", "-p", &patch]);
    };
    killed_at(stage, "replace", Lease::TakenAway, || headers("1"));
    end(FIRST);
    let sent = named(stage, FIRST)["channel"]["config"]["headers"].to_string();
    assert!(sent.contains("X-Turn"), "{sent}");
    killed_at(stage, "delete", Lease::TakenAway, || {
        stage.kubectl(&["delete", "telephonyhook", "second", "-n", TELEPHONY, "--wait=false"]);
    });
    stage.until("the hook and its object are gone", Duration::from_secs(90), || {
        telephony_hooks(stage).len() == 1
            && stage.try_kubectl(&["get", "telephonyhook", "second", "-n", TELEPHONY], None).is_err()
    });
    assert_eq!(active(stage), [FIRST]);
    apply(stage, &[first("Active")]);
    let none = r#"[{"op": "remove", "path": "/spec/headers"}]"#;
    stage.kubectl(&["patch", "telephonyhook", "acme", "-n", TELEPHONY, "--type=json", "-p", none]);
    stage.until("the hook is ready", PATIENCE, || ready(stage, "acme"));
}

pub fn lost_status(stage: &Stage) {
    let id = named(stage, FIRST)["id"].clone();
    for object in ["telephonyhook/acme", "oktaorg/acme"] {
        stage.kubectl(&[
            "patch",
            object,
            "-n",
            TELEPHONY,
            "--subresource=status",
            "--type=merge",
            "-p",
            r#"{"status": null}"#,
        ]);
    }
    stage.until("the hook is found by its mark", PATIENCE, || {
        stage.get("telephonyhook", "acme")["status"]["oktaID"] == id && ready(stage, "acme")
    });
    assert_eq!(telephony_hooks(stage).len(), 1);
    assert_eq!(active(stage), [FIRST]);
    delivers(stage);
}

pub fn conflict(stage: &Stage) {
    apply(stage, &[first("Inactive")]);
    let took = stage.until("none is active", PATIENCE, || active(stage).is_empty());
    assert!(took >= Duration::from_secs(25), "to none only after 30 s of stillness, not {took:?}");
    let mut theirs = content("Somebody else's telephony", "https://else.example/otp");
    theirs["channel"]["config"]["headers"] = json!([]);
    let foreign = stage.somebody_else("POST", "/api/v1/inlineHooks", &theirs);
    assert_eq!(foreign["status"], "ACTIVE");
    apply(stage, &[first("Active")]);
    stage.until("the conflict is told", PATIENCE, || {
        stage.condition("telephonyhook", "acme", "Ready") == "False Conflict"
    });
    let reported = stage.get("telephonyhook", "acme").to_string();
    assert!(reported.contains("Inline Hooks"), "the way out is not said: {reported}");
    assert_eq!(named(stage, "Somebody else's telephony")["lastUpdated"], foreign["lastUpdated"], "it was touched");
    stage.somebody_else("POST", &format!("{}/lifecycle/deactivate", path(&foreign)), &Value::Null);
    stage.until("ours takes over", PATIENCE, || active(stage) == [FIRST]);
    stage.somebody_else("DELETE", &path(&foreign), &Value::Null);
    stage.until("ours is ready", PATIENCE, || ready(stage, "acme"));
    delivers(stage);
}

/// Takes the namespace of the resources away with everything in it, and brings it back: its end is part of the next scenario.
pub fn namespace_gone(stage: &Stage) {
    let given = ["configmap/sandbox-ca", "secret/otp-tls"].map(|object| {
        let text = stage.kubectl(&["get", "-n", TELEPHONY, object, "-o", "json"]);
        let mut object: Value = serde_json::from_str(&text).expect("kubectl prints JSON");
        let name = object["metadata"]["name"].clone();
        object["metadata"] = json!({"name": name});
        object.to_string()
    });
    apply(stage, &[second("Inactive")]);
    stage.until("the objects are held", PATIENCE, || {
        stage.get("telephonyhook", "second")["metadata"]["finalizers"] == json!(["hookswitch.dev/okta"])
            && stage.get("telephonygateway", "otp")["metadata"]["finalizers"] == json!(["hookswitch.dev/in-use"])
    });
    let hooks = telephony_hooks(stage).len();
    let begun = std::time::Instant::now();
    stage.kubectl(&["delete", "namespace", TELEPHONY, "--timeout=90s"]);
    println!("     the namespace was gone after {:.1} s", begun.elapsed().as_secs_f64());
    assert_eq!(active(stage), [FIRST], "what is retained stays in Okta");

    stage.kubectl(&["create", "namespace", TELEPHONY]);
    upgrade(&[]);
    for object in given {
        stage.apply(&object).unwrap_or_else(|error| panic!("{error}"));
    }
    stage.kubectl(&["apply", "-k", "examples/sandbox"]);
    stage.until("the hook is found again by its mark", Duration::from_secs(120), || ready(stage, "acme"));
    assert!(telephony_hooks(stage).len() <= hooks);
    assert_eq!(active(stage), [FIRST]);
    delivers(stage);
}

/// Upgrades the release as it is, with these arguments besides; its operator is ready then.
pub fn upgrade(more: &[&str]) {
    let release = ["upgrade", "hookswitch", "charts/hookswitch", "--namespace", SYSTEM];
    helm(&[&release[..], &["--reuse-values", "--wait", "--timeout", "2m"], more].concat());
}

/// Runs helm; the answer is what it prints.
pub fn helm(arguments: &[&str]) -> String {
    let output = Command::new("helm").args(arguments).output().expect("helm runs");
    assert!(output.status.success(), "helm {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn uninstalled(stage: &Stage) {
    stage.kubectl(&["delete", "telephonygateway", "otp", "-n", TELEPHONY, "--wait=false"]);
    stage.until("the gateway is held and says why", PATIENCE, || {
        stage.condition("telephonygateway", "otp", "Ready").ends_with(" InUse")
    });
    thread::sleep(Duration::from_secs(2));
    delivers(stage);
    let begun = std::time::Instant::now();
    helm(&["uninstall", "hookswitch", "--namespace", SYSTEM, "--wait", "--timeout", "2m"]);
    println!("     uninstalled after {:.1} s", begun.elapsed().as_secs_f64());
    let held = stage.kubectl(&[
        "get",
        "oktaorgs,telephonyhooks,telephonygateways",
        "-A",
        "-o",
        "jsonpath={.items[*].metadata.finalizers}",
    ]);
    assert_eq!(held.trim(), "", "objects are still held");
    stage.until("the gateway that was to be deleted is gone", PATIENCE, || {
        stage.try_kubectl(&["get", "telephonygateway", "otp", "-n", TELEPHONY], None).is_err()
    });
    assert_eq!(active(stage), [FIRST], "nothing is changed in Okta");
}
