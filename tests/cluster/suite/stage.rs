//! The stage as scenarios see it: kubectl, the sandbox's command line, and waiting.

use std::{
    collections::BTreeSet,
    env,
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
    sync::{Mutex, OnceLock, PoisonError},
    thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::load;

/// Namespace of the resources.
pub const TELEPHONY: &str = "telephony";
/// Namespace of the operator.
pub const SYSTEM: &str = "hookswitch-system";
/// Namespace of the simulated vendors.
pub const SANDBOX: &str = "hookswitch-sandbox";

/// A cluster with the sandbox and the chart in it.
pub struct Stage {
    pub work: PathBuf,
    scripts: PathBuf,
    /// Where the sandbox is in the cluster's network; it stays there for a run.
    sandbox: OnceLock<String>,
    pub holds: Holds,
}

/// The times in which scenarios let Okta hold calls: what takes long then is their doing.
#[derive(Default)]
pub struct Holds(Mutex<Vec<(Timestamp, Timestamp)>>);

impl Holds {
    /// Whether any call was held between these moments.
    pub fn any(&self, from: Timestamp, until: Timestamp) -> bool {
        let holds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        holds.iter().any(|(begun, ended)| *begun < until && *ended > from)
    }
}

/// Calls that Okta holds until this is dropped.
pub struct Hold<'s> {
    stage: &'s Stage,
    what: String,
    path: String,
    since: Timestamp,
}

impl Hold<'_> {
    /// Waits until a call is held.
    pub fn met(&self, patience: Duration) {
        self.stage.until(&format!("Okta holds {}", self.what), patience, || {
            self.stage.control("GET", &self.path, &Value::Null)["arrivals"]
                .as_u64()
                .is_some_and(|arrivals| arrivals > 0)
        });
    }

    /// Lets the calls go.
    pub fn release(self) {}
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        // what a failed scenario leaves is healed before the next one
        if !thread::panicking() {
            self.stage.control("DELETE", &self.path, &Value::Null);
        }
        let mut holds = self.stage.holds.0.lock().unwrap_or_else(PoisonError::into_inner);
        holds.push((self.since, Timestamp::now()));
    }
}

/// What Okta made of one passcode.
pub struct Sent(pub Value);

impl Sent {
    /// A word of what the hook answered, or of Okta's own about the delivery.
    pub fn text(&self, field: &str) -> &str {
        let object = if field == "delivery" { &self.0 } else { &self.0["hook"] };
        object[field].as_str().unwrap_or("")
    }

    pub fn millis(&self) -> u64 {
        self.0["hook"]["durationMs"].as_u64().unwrap_or(u64::MAX)
    }
}

/// The operator's process in a pod, by the name of the pod in its environment; nothing once it is gone.
pub fn process(pod: &str) -> Option<String> {
    process_of(pod, "operator")
}

/// The process in a pod that runs this command of ours.
pub fn process_of(pod: &str, command: &str) -> Option<String> {
    let is_it = |id: &str| {
        let read = |file: &str| std::fs::read(format!("/proc/{id}/{file}")).unwrap_or_default();
        let has =
            |bytes: Vec<u8>, text: &str| String::from_utf8_lossy(&bytes).split('\0').any(|part| part.ends_with(text));
        has(read("cmdline"), command) && has(read("environ"), &format!("={pod}"))
    };
    let processes = std::fs::read_dir("/proc").expect("the machine has /proc").filter_map(Result::ok);
    let mut ids = processes.filter_map(|entry| entry.file_name().into_string().ok());
    ids.find(|id| id.bytes().all(|b| b.is_ascii_digit()) && is_it(id))
}

impl Stage {
    pub fn from_environment() -> Option<Self> {
        env::var_os("KUBECONFIG")?;
        Some(Self {
            work: env::var_os("HOOKSWITCH_SUITE")?.into(),
            scripts: env::var_os("HOOKSWITCH_SCRIPTS")?.into(),
            sandbox: OnceLock::new(),
            holds: Holds::default(),
        })
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

    /// Okta sends a passcode, with what else is said of it.
    pub fn send(&self, to: &str, mut passcode: Value) -> Sent {
        passcode["to"] = to.into();
        Sent(self.control("POST", "/v1/send", &passcode))
    }

    /// What the handset of a number got.
    pub fn inbox(&self, number: &str) -> Vec<Value> {
        serde_json::from_str(&self.sandbox(&["inbox", "--to", number, "--json"])).expect("the sandbox prints JSON")
    }

    /// The hooks of the simulated org.
    pub fn okta_hooks(&self) -> Vec<Value> {
        let hooks = self.control("GET", "/v1/orgs/acme/hooks", &Value::Null);
        hooks.as_array().cloned().unwrap_or_else(|| panic!("no hooks: {hooks}"))
    }

    /// Somebody else's call of Okta's API; the answer's body.
    pub fn somebody_else(&self, method: &str, path: &str, body: &Value) -> Value {
        let call = json!({"method": method, "path": path, "body": body});
        let answer = self.control("POST", "/v1/orgs/acme/admin", &call);
        assert!(matches!(answer["status"].as_u64(), Some(200..=299)), "{method} {path}: {answer}");
        answer["body"].clone()
    }

    /// Heals what a failed scenario may have left broken.
    pub fn calm(&self) {
        for provider in ["twilio", "backup", "nordic", "reserve"] {
            self.control("DELETE", &format!("/v1/carriers/{provider}/faults"), &Value::Null);
        }
        self.control("DELETE", "/v1/orgs/acme/faults", &Value::Null);
        let _ = load::end(self);
    }

    /// What the org does where Okta's documentation is silent, from now on.
    pub fn behave(&self, how: &Value) {
        let now = self.control("PATCH", "/v1/orgs/acme/behaviour", how);
        assert!(now.get("error").is_none(), "{now}");
    }

    /// Lets Okta hold every call of a kind from now on, before or after its effect.
    pub fn hold(&self, call: &str, when: &str) -> Hold<'_> {
        let made = self.control("POST", "/v1/orgs/acme/holds", &json!({"call": call, "when": when}));
        let id = made["hold"].as_u64().unwrap_or_else(|| panic!("no hold: {made}"));
        Hold {
            stage: self,
            what: format!("{call} {when} its effect"),
            path: format!("/v1/holds/{id}"),
            since: Timestamp::now(),
        }
    }

    /// Waits until the condition holds, at most so long; panics with the sentence otherwise.
    pub fn until(&self, what: &str, patience: Duration, mut condition: impl FnMut() -> bool) -> Duration {
        let begun = Instant::now();
        while !condition() {
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

    /// A call of the sandbox's control API from inside the cluster's network, with the machine's own curl; JSON in, JSON out.
    /// But for the first one it needs no API server.
    pub fn control(&self, method: &str, path: &str, body: &Value) -> Value {
        let pod = || self.kubectl(&["get", "pods", "-n", SANDBOX, "-o", "jsonpath={.items[0].status.podIP}"]);
        let address = self.sandbox.get_or_init(|| pod().trim().to_owned());
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
