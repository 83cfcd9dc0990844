//! Two tenants of one operator: what happens to one is nothing to the other.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    hooks::{self, upgrade},
    stage::{SANDBOX, SYSTEM, Stage, TELEPHONY},
};

/// Namespace of the other tenant.
const TENANT: &str = "tenant-b";

const PATIENCE: Duration = Duration::from_secs(60);

/// A policy without providers: the least that can be declared and is reconciled.
const POLICY: &str = r#"
apiVersion: hookswitch.dev/v1alpha1
kind: RoutingPolicy
metadata: {name: nobody}
spec: {rules: [{name: nobody, deny: {}}]}
"#;

/// Has the operator look after these namespaces; it is ready then, whether they can be listed or not.
fn watch(namespaces: &[&str]) {
    let namespaces = format!("watchNamespaces={{{}}}", namespaces.join(","));
    upgrade(&["--set", &namespaces]);
}

fn apply(stage: &Stage, manifest: &str) {
    let applied = stage.try_kubectl(&["apply", "-n", TENANT, "-f", "-"], Some(manifest));
    applied.unwrap_or_else(|error| panic!("{error}"));
}

fn object(stage: &Stage, kind: &str, name: &str) -> Value {
    let text = stage.kubectl(&["get", "-n", TENANT, kind, name, "-o", "json"]);
    serde_json::from_str(&text).expect("kubectl prints JSON")
}

/// Status and reason of a condition of the other tenant's object.
fn condition(stage: &Stage, kind: &str, name: &str, condition: &str) -> String {
    let conditions = object(stage, kind, name)["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.iter().find(|known| known["type"] == condition).map_or_else(String::new, |known| {
        format!("{} {}", known["status"].as_str().unwrap_or(""), known["reason"].as_str().unwrap_or(""))
    })
}

/// Whether the policy is reconciled as it is declared now.
fn is_managed(stage: &Stage) -> bool {
    let policy = object(stage, "routingpolicy", "nobody");
    policy["status"]["observedGeneration"] == policy["metadata"]["generation"]
}

fn begin(stage: &Stage) {
    stage.kubectl(&["create", "namespace", TENANT]);
    watch(&[TELEPHONY, TENANT]);
}

fn end(stage: &Stage) {
    stage.kubectl(&["delete", "namespace", TENANT, "--timeout=90s"]);
    watch(&[TELEPHONY]);
}

/// Takes away what lets the operator into the tenant's namespace.
fn lock_out(stage: &Stage) {
    stage.kubectl(&["delete", "role,rolebinding", "hookswitch", "-n", TENANT]);
}

fn leader_dies(stage: &Stage) {
    let mut before = String::new();
    stage.until("an operator leads", PATIENCE, || {
        before = hooks::leader(stage);
        !before.is_empty()
    });
    stage.kubectl(&["delete", "pod", "-n", SYSTEM, &before, "--grace-period=0", "--force"]);
    stage.until("another one leads", Duration::from_secs(90), || {
        let now = hooks::leader(stage);
        !now.is_empty() && now != before
    });
}

/// What the leader answers at a path of its port for metrics; nothing while it does not.
fn leader_says(stage: &Stage, path: &str) -> String {
    let path = format!("/api/v1/namespaces/{SYSTEM}/pods/{}:9090/proxy/{path}", hooks::leader(stage));
    stage.try_kubectl(&["get", "--raw", &path], None).unwrap_or_default()
}

fn sends_header(stage: &Stage, value: &str) -> bool {
    let active = hooks::telephony_hooks(stage).into_iter().find(|hook| hook["status"] == "ACTIVE");
    active.is_some_and(|hook| hook["channel"]["config"]["headers"].to_string().contains(value))
}

pub fn not_listed(stage: &Stage) {
    begin(stage);
    apply(stage, POLICY);
    stage.until("the other tenant is looked after", PATIENCE, || is_managed(stage));
    lock_out(stage);
    leader_dies(stage);

    let header = json!({"spec": {"headers": [{"name": "X-Tenant", "value": "goes-on"}]}}).to_string();
    stage.kubectl(&["patch", "telephonyhook", "acme", "-n", TELEPHONY, "--type=merge", "-p", &header]);
    let took = stage.until("a change is carried out in Okta for the first tenant", PATIENCE, || {
        sends_header(stage, "goes-on") && stage.condition("telephonyhook", "acme", "Ready") == "True Ready"
    });
    println!("     carried out {:.1} s after a leader began that cannot list the other namespace", took.as_secs_f64());
    let unlisted = format!("hookswitch_unlisted{{watched=\"{TENANT}\",kind=\"RoutingPolicy\"}}");
    let figure = |value: &str| {
        let line = format!("{unlisted} {value}");
        leader_says(stage, "metrics").lines().any(|known| known == line)
    };
    stage.until("the figure tells which namespace it is", PATIENCE, || figure("1"));
    stage.until("the pod is ready and names it", PATIENCE * 2, || {
        let said = leader_says(stage, "readyz");
        said.starts_with("ok, but for ") && said.contains(TENANT)
    });

    let other = r#"{"spec": {"rules": [{"name": "nobody-else", "deny": {}}]}}"#;
    stage.kubectl(&["patch", "routingpolicy", "nobody", "-n", TENANT, "--type=merge", "-p", other]);
    // with the same values: it brings Role and RoleBinding again
    watch(&[TELEPHONY, TENANT]);
    stage.until("what was declared meanwhile is looked at", PATIENCE * 2, || is_managed(stage));
    stage.until("the figure is back", PATIENCE, || figure("0"));
    let none = r#"[{"op": "remove", "path": "/spec/headers"}]"#;
    stage.kubectl(&["patch", "telephonyhook", "acme", "-n", TELEPHONY, "--type=json", "-p", none]);
    stage.until("the hook is as it was", PATIENCE, || {
        !sends_header(stage, "goes-on") && stage.condition("telephonyhook", "acme", "Ready") == "True Ready"
    });
    end(stage);
}

/// Leaves a namespace named that the operator may not read: the uninstallation that comes then has to cope with it.
pub fn left_locked(stage: &Stage) {
    begin(stage);
    apply(stage, POLICY);
    stage.until("the other tenant is looked after", PATIENCE, || is_managed(stage));
    lock_out(stage);
}

/// Another tenant's server that gives the org's id and takes whatever credential it is given: the org itself, by another name.
const ELSEWHERE: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: elsewhere, namespace: hookswitch-sandbox}
spec:
  selector: {app.kubernetes.io/name: hookswitch-sandbox}
  ports: [{name: https, port: 443, targetPort: okta}]
"#;

fn org(name: &str, host: &str, secret: &str) -> String {
    format!(
        "apiVersion: hookswitch.dev/v1alpha1\nkind: OktaOrg\nmetadata: {{name: {name}}}\nspec:\n  url: https://{host}.{SANDBOX}.svc\n  \
         pollInterval: 15s\n  auth: {{apiToken: {{secretRef: {{name: {secret}, key: token}}}}}}\n  \
         caBundleRef: {{configMapKeyRef: {{name: sandbox-ca, key: ca.crt}}}}\n"
    )
}

pub fn claims(stage: &Stage) {
    begin(stage);
    let bundle = stage.get("configmap", "sandbox-ca");
    let bundle =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "sandbox-ca"}, "data": bundle["data"]});
    apply(stage, &bundle.to_string());
    for (name, token) in [("guessed", "a-token-that-is-guessed"), ("taken", "sandbox-okta-token")] {
        let secret =
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"token": token}});
        apply(stage, &secret.to_string());
    }
    stage.try_kubectl(&["apply", "-f", "-"], Some(ELSEWHERE)).unwrap_or_else(|error| panic!("{error}"));

    // theirs are older than ours is made to be
    stage.kubectl(&["delete", "oktaorg", "acme", "-n", TELEPHONY, "--timeout=60s"]);
    apply(stage, &org("guesses", "okta", "guessed"));
    apply(stage, &org("pretends", "elsewhere", "taken"));
    stage.until("the org refuses the guessed token", PATIENCE, || {
        condition(stage, "oktaorg", "guesses", "Ready") == "False TokenRejected"
    });
    stage.until("their own server takes theirs and tells the org's id", PATIENCE, || {
        condition(stage, "oktaorg", "pretends", "Ready") == "True Ready"
    });
    stage.kubectl(&["apply", "-k", "examples/sandbox"]);
    stage.until("the org is ours", PATIENCE * 2, || {
        stage.condition("oktaorg", "acme", "Claimed") == "True Claimed"
            && stage.condition("telephonyhook", "acme", "Ready") == "True Ready"
    });
    let id = |org: &Value| org["status"]["orgID"].clone();
    assert_eq!(id(&object(stage, "oktaorg", "pretends")), id(&stage.get("oktaorg", "acme")), "it told another id");
    assert_ne!(condition(stage, "oktaorg", "guesses", "Claimed"), "True Claimed", "claimed without a proof");

    // who has a credential that the org itself takes learns who manages it
    apply(stage, &org("second", "okta", "taken"));
    stage.until("a second one at the same host is told of the first", PATIENCE * 2, || {
        condition(stage, "oktaorg", "second", "Claimed") == "False ClaimedByOther"
    });
    assert_eq!(stage.condition("oktaorg", "acme", "Claimed"), "True Claimed");
    stage.kubectl(&["delete", "service", "elsewhere", "-n", SANDBOX]);
    end(stage);
}
