//! What platform teams change while passcodes flow.

use std::time::Duration;

use serde_json::{Value, json};

use crate::stage::{Stage, TELEPHONY};

const PATIENCE: Duration = Duration::from_secs(90);
/// A person in a country that a rule of its own is for, and one whom the last rule serves.
const NORDIC: &str = "+46701740605";
const ANYBODY: &str = "+12025550100";

const PODS: &[&str] = &["get", "pods", "-n", TELEPHONY, "-l", "hookswitch.dev/gateway=otp", "-o"];

fn pods(stage: &Stage) -> Vec<String> {
    let named = stage.kubectl(&[PODS, &["jsonpath={.items[*].metadata.name}"]].concat());
    named.split_whitespace().map(str::to_owned).collect()
}

fn patch(stage: &Stage, object: &str, patch: &Value) {
    stage.kubectl(&["patch", "-n", TELEPHONY, object, "--type=json", "-p", &patch.to_string()]);
}

/// Passcodes in a row that the gateway's hook delivered: each may have met another pod.
fn delivers(stage: &Stage) -> bool {
    (0..4).all(|_| {
        let sent = stage.send(ANYBODY, json!({}));
        (sent.text("status"), sent.text("delivery")) == ("SUCCESSFUL", "hook")
    })
}

/// The only provider of a rule goes; then the hook's secret is another one, and a pod starts that has never seen what was before.
pub fn rule_lost(stage: &Stage) {
    let nordics = |providers: Value| {
        let path = "/spec/rules/1/send/providers";
        patch(stage, "routingpolicy/default", &json!([{"op": "replace", "path": path, "value": providers}]));
    };
    nordics(json!([{"name": "nordic"}]));
    stage.until("the rule has its one provider", PATIENCE, || {
        stage.send(NORDIC, json!({})).text("provider") == "nordic"
    });
    stage.kubectl(&["delete", "-n", TELEPHONY, "telephonyprovider", "nordic", "--timeout=60s"]);
    stage.until("the policy says what is missing", PATIENCE, || {
        stage.condition("routingpolicy", "default", "Ready").starts_with("False")
    });
    let fingerprint = || stage.get("telephonyhook", "acme")["status"]["appliedSecretMark"].clone();
    let old = fingerprint();
    // the last good configuration knows the provider; a pod that starts now never did
    let secret = json!({"stringData": {"value": "a-value-that-was-set-afterwards"}}).to_string();
    stage.kubectl(&["patch", "-n", TELEPHONY, "secret", "acme-hook-auth", "--type=merge", "-p", &secret]);
    stage.until("Okta has the new secret", PATIENCE, || fingerprint() != old);
    let before = pods(stage);
    stage.kubectl(&["delete", "pod", "-n", TELEPHONY, &before[0], "--grace-period=0", "--force"]);
    stage.until("a pod that started meanwhile is ready", PATIENCE, || {
        let now = pods(stage);
        let ready = stage.get("deployment", "otp-gateway")["status"]["readyReplicas"].as_u64();
        now.len() == before.len() && !now.contains(&before[0]) && ready == u64::try_from(before.len()).ok()
    });
    assert!(delivers(stage), "all other rules serve on, with the new secret");
    let lost = stage.send(NORDIC, json!({}));
    assert_eq!((lost.text("status"), lost.text("delivery") == "hook"), ("FAILED", false), "{}", lost.0);

    nordics(json!([{"name": "nordic"}, {"name": "twilio"}]));
    stage.kubectl(&["apply", "-k", "examples/sandbox"]);
    stage.until("all is ready again", PATIENCE, || {
        stage.condition("routingpolicy", "default", "Ready").starts_with("True")
            && stage.condition("telephonyhook", "acme", "Ready") == "True Ready"
            && stage.condition("telephonyprovider", "nordic", "Healthy") == "True Usable"
    });
    stage.until("the rule's provider sends again", PATIENCE, || {
        stage.send(NORDIC, json!({})).text("provider") == "nordic"
    });
}

/// Twilio is used by an API key in the place of the account's token, which then is another one.
pub fn api_key(stage: &Stage) {
    let at = "/spec/twilio";
    let key = json!({"sid": "SK00000000000000000000000000000001", "secretRef": {"name": "twilio", "key": "secret"}});
    let secret = json!({"stringData": {"secret": "sandbox-twilio-key"}}).to_string();
    stage.kubectl(&["patch", "-n", TELEPHONY, "secret", "twilio", "--type=merge", "-p", &secret]);
    let change = |gone: &str, new: &str, value: &Value| {
        let steps = json!([{"op": "remove", "path": format!("{at}/{gone}")}, {"op": "add", "path": format!("{at}/{new}"), "value": value}]);
        patch(stage, "telephonyprovider/twilio", &steps);
    };
    change("authTokenRef", "apiKey", &key);
    let token_is = |token: &str| {
        let secret = json!({"stringData": {"token": token}}).to_string();
        stage.kubectl(&["patch", "-n", TELEPHONY, "secret", "twilio", "--type=merge", "-p", &secret]);
    };
    token_is("a token that was revoked");
    std::thread::sleep(Duration::from_secs(5));
    stage.until("the key is taken", PATIENCE, || {
        stage.condition("telephonyprovider", "twilio", "Healthy") == "True Usable"
            && (0..4).all(|_| stage.send(ANYBODY, json!({})).text("provider") == "twilio")
    });
    change("apiKey", "authTokenRef", &json!({"name": "twilio", "key": "token"}));
    token_is("sandbox-twilio-token");
    stage.until("the token is taken again", PATIENCE, || {
        stage.condition("telephonyprovider", "twilio", "Ready").starts_with("True")
            && (0..4).all(|_| stage.send(ANYBODY, json!({})).text("provider") == "twilio")
    });
}
