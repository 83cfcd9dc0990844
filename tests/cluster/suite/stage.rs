//! The stage as scenarios see it: kubectl, the sandbox's command line, and waiting.

use std::{
    collections::BTreeSet,
    env,
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

/// Namespace of the resources.
pub const TELEPHONY: &str = "telephony";
/// Namespace of the operator.
pub const SYSTEM: &str = "hookswitch-system";
/// Namespace of the simulated vendors.
pub const SANDBOX: &str = "hookswitch-sandbox";

/// A cluster with the sandbox and the chart in it.
pub struct Stage {
    work: PathBuf,
    scripts: PathBuf,
}

/// What Okta made of one passcode.
pub struct Sent(pub Value);

impl Sent {
    /// A word of what the hook answered, or of Okta's own about the delivery.
    pub fn text(&self, field: &str) -> &str {
        let place = if field == "delivery" { &self.0 } else { &self.0["hook"] };
        place[field].as_str().unwrap_or("")
    }

    pub fn millis(&self) -> u64 {
        self.0["hook"]["durationMs"].as_u64().unwrap_or(u64::MAX)
    }
}

impl Stage {
    pub fn from_environment() -> Option<Self> {
        env::var_os("KUBECONFIG")?;
        Some(Self { work: env::var_os("HOOKSWITCH_SUITE")?.into(), scripts: env::var_os("HOOKSWITCH_SCRIPTS")?.into() })
    }

    /// Runs kubectl; panics with its error output when it fails.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        self.try_kubectl(arguments, None).unwrap_or_else(|error| panic!("kubectl {}: {error}", arguments.join(" ")))
    }

    /// Runs kubectl with a text on its standard input.
    pub fn try_kubectl(&self, arguments: &[&str], input: Option<&str>) -> Result<String, String> {
        let mut child = Command::new("kubectl")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("kubectl runs");
        let mut stdin = child.stdin.take().expect("has an input");
        stdin.write_all(input.unwrap_or_default().as_bytes()).expect("takes its input");
        drop(stdin);
        let output = child.wait_with_output().expect("kubectl ends");
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    /// An object of the telephony namespace.
    pub fn get(&self, kind: &str, name: &str) -> Value {
        let text = self.kubectl(&["get", "-n", TELEPHONY, kind, name, "-o", "json"]);
        serde_json::from_str(&text).expect("kubectl prints JSON")
    }

    /// `status` and `reason` of a condition, such as `False ProbeFailed`.
    pub fn condition(&self, kind: &str, name: &str, condition: &str) -> String {
        let object = self.get(kind, name);
        let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.iter().find(|c| c["type"] == condition).map_or_else(String::new, |c| {
            format!("{} {}", c["status"].as_str().unwrap_or(""), c["reason"].as_str().unwrap_or(""))
        })
    }

    /// Applies a manifest to the telephony namespace; the error is the API server's.
    pub fn apply(&self, manifest: &str) -> Result<String, String> {
        self.try_kubectl(&["apply", "-n", TELEPHONY, "-f", "-"], Some(manifest))
    }

    /// The sandbox's command line.
    pub fn sandbox(&self, arguments: &[&str]) -> String {
        let mut all = vec!["exec", "-n", SANDBOX, "deployment/sandbox", "--", "/hookswitch-sandbox"];
        all.extend(arguments);
        self.kubectl(&all)
    }

    /// Okta sends a passcode.
    pub fn send(&self, to: &str, more: &[&str]) -> Sent {
        let mut arguments = vec!["send", "--json", "--to", to];
        arguments.extend(more);
        Sent(serde_json::from_str(&self.sandbox(&arguments)).expect("the sandbox prints JSON"))
    }

    /// What the handset of a number got.
    pub fn inbox(&self, number: &str) -> Vec<Value> {
        serde_json::from_str(&self.sandbox(&["inbox", "--to", number, "--json"])).expect("the sandbox prints JSON")
    }

    /// The hooks of the simulated org.
    pub fn okta_hooks(&self) -> Vec<Value> {
        serde_json::from_str(&self.sandbox(&["hooks", "--json"])).expect("the sandbox prints JSON")
    }

    /// Somebody else's call of Okta's API; the answer's body.
    pub fn somebody_else(&self, method: &str, path: &str, body: &Value) -> Value {
        self.somebody_else_at(&self.sandbox_address(), method, path, body)
    }

    /// The same at a known address: it needs no API server.
    pub fn somebody_else_at(&self, address: &str, method: &str, path: &str, body: &Value) -> Value {
        let call = serde_json::json!({"method": method, "path": path, "body": body}).to_string();
        let answer = self.script_in_network(&format!("http://{address}:8025/v1/orgs/acme/admin"), &call);
        let answer: Value = serde_json::from_str(&answer).unwrap_or_else(|_| panic!("not JSON: {answer}"));
        assert!(matches!(answer["status"].as_u64(), Some(200..=299)), "{method} {path}: {answer}");
        answer["body"].clone()
    }

    /// Heals what a failed scenario may have left broken.
    pub fn calm(&self) {
        for carrier in ["twilio", "backup", "nordic"] {
            self.sandbox(&["fault", carrier, "clear"]);
        }
    }

    /// Waits until a look at the stage says yes, at most so long; panics with the sentence otherwise.
    pub fn until(&self, what: &str, patience: Duration, mut look: impl FnMut() -> bool) -> Duration {
        let begun = Instant::now();
        while !look() {
            assert!(begun.elapsed() < patience, "not within {patience:?}: {what}");
            thread::sleep(Duration::from_millis(200));
        }
        begun.elapsed()
    }

    /// Runs one of the cluster's scripts on it.
    pub fn script(&self, name: &str, arguments: &[&str]) -> String {
        let output = Command::new(self.scripts.join(name))
            .arg(self.work.join("cluster"))
            .args(arguments)
            .output()
            .expect("the script runs");
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Posts JSON from inside the cluster's network, with the machine's own curl.
    pub fn script_in_network(&self, url: &str, body: &str) -> String {
        self.script(
            "ns.sh",
            &["curl", "-sS", "--max-time", "5", "-H", "content-type: application/json", "-d", body, url],
        )
    }

    /// A call of the sandbox's control API; JSON in, JSON out.
    pub fn control(&self, method: &str, path: &str, body: &Value) -> Value {
        self.control_at(&self.sandbox_address(), method, path, body)
    }

    /// Where the sandbox is in the cluster's network.
    pub fn sandbox_address(&self) -> String {
        let pod = self.kubectl(&["get", "pods", "-n", SANDBOX, "-o", "jsonpath={.items[0].status.podIP}"]);
        pod.trim().to_owned()
    }

    /// The same at a known address: it needs no API server.
    pub fn control_at(&self, address: &str, method: &str, path: &str, body: &Value) -> Value {
        let url = format!("http://{address}:8025{path}");
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let json = "content-type: application/json";
        let answer =
            self.script("ns.sh", &["curl", "-sS", "--max-time", "5", "-X", method, "-H", json, "-d", &body, &url]);
        serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{method} {path}: not JSON: {answer}"))
    }

    /// Whether GitOps tools would call every one of these objects healthy; else those that are not.
    pub fn judge(&self, objects: &str) -> Result<(), String> {
        let mut child = Command::new("kstatus")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("kstatus does not run: {error}"))?;
        let mut stdin = child.stdin.take().expect("has an input");
        stdin.write_all(objects.as_bytes()).expect("takes its input");
        drop(stdin);
        let output = child.wait_with_output().expect("kstatus ends");
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stdout).into_owned()) }
    }

    /// A value of a Secret, in clear.
    pub fn decode(&self, value: &str) -> String {
        use base64::Engine as _;
        let bytes = base64::engine::general_purpose::STANDARD.decode(value).expect("the API server encodes in base64");
        String::from_utf8(bytes).expect("a header's value")
    }

    /// The requests that the API server has seen, one JSON object a line.
    pub fn audit(&self) -> String {
        std::fs::read_to_string(self.work.join("cluster/audit.log")).expect("the API server writes its audit log")
    }

    /// What operator and gateways wrote since a line of the audit log, some resources apart.
    pub fn written_since(&self, line: usize, except: &[&str]) -> BTreeSet<String> {
        let mut written = BTreeSet::new();
        for event in self.audit().lines().skip(line).filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            let of = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or("").to_owned();
            let (user, verb, resource) = (of("/user/username"), of("/verb"), of("/objectRef/resource"));
            let ours = user.contains(":hookswitch-system:") || user.contains(":telephony:");
            let writes = ["create", "update", "patch", "delete"].contains(&verb.as_str());
            if ours && writes && !except.contains(&resource.as_str()) {
                written.insert(format!(
                    "{user} {verb} {resource}/{} {}",
                    of("/objectRef/name"),
                    of("/objectRef/subresource")
                ));
            }
        }
        written
    }

    /// Prints what a person would look at first after a failure.
    pub fn explain(&self) {
        for arguments in [
            vec!["get", "telephony,pods", "-n", TELEPHONY],
            vec!["get", "pods", "-n", SYSTEM],
            vec!["get", "events", "-n", TELEPHONY, "--sort-by=.lastTimestamp"],
        ] {
            if let Ok(text) = self.try_kubectl(&arguments, None) {
                println!(
                    "{}",
                    text.lines().rev().take(15).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n")
                );
            }
        }
    }
}
