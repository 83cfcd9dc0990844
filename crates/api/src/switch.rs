//! `HookSwitch`: which hook of an org is active.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Duration, NameRef};

/// Which hook of an org is active.
#[derive(CustomResource, Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "hookswitch.dev",
    version = "v1alpha1",
    kind = "HookSwitch",
    plural = "hookswitches",
    shortname = "hsw",
    category = "telephony",
    namespaced,
    status = "HookSwitchStatus",
    derive = "PartialEq",
    doc = "Which telephony hook of an Okta org is active, and which one takes over when it cannot deliver.",
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Active", type_ = "string", json_path = ".status.active"),
    printcolumn(name = "Standby", type_ = "string", json_path = ".status.standby"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Since", type_ = "date", json_path = ".status.since"),
    printcolumn(name = "Held", type_ = "string", json_path = ".status.conditions[?(@.type==\"Held\")].reason"),
    printcolumn(name = "Mode", type_ = "string", json_path = ".spec.mode", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct HookSwitchSpec {
    /// The hooks in order of preference, none with a `state` of its own. The first is active when all is well. With strategy
    /// Swap all are hooks of one org; with Repoint the first is, and the others have no `okta` block.
    #[schemars(length(min = 2, max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub hooks: Vec<NameRef>,
    /// What it may do by itself. Absent: Automatic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<SwitchMode>,
    /// How Okta is brought from one to another. Absent: Swap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<SwitchStrategy>,
    /// When a hook counts as failed, and when as healthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detection: Option<SwitchDetection>,
    /// How long the active hook stays suspect before it is switched away from; never 0. Absent: 10s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1s') && duration(self) <= duration('10m')").message("delay must be between 1s and 10m"))]
    pub delay: Option<Duration>,
    /// The least time between two switches that it makes by itself. Absent: 5m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('10s') && duration(self) <= duration('24h')").message("cooldown must be between 10s and 24h"))]
    pub cooldown: Option<Duration>,
    /// How often it may switch by itself before somebody has to acknowledge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<SwitchBudget>,
    /// How the first hook becomes active again. Absent: by a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failback: Option<SwitchFailback>,
    /// Times in which it does not switch by itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub maintenance: Vec<MaintenanceWindow>,
    /// While true it does not switch by itself. Absent: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
}

/// What a switch may do by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum SwitchMode {
    /// First activation, repairs, failover, and failback as configured.
    Automatic,
    /// First activation and repairs; it says what else it would do.
    Observe,
    /// First activation and repairs; a person switches.
    Manual,
    /// Nothing: what Okta has is left as it is.
    Disabled,
}

/// How Okta is brought from one hook to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum SwitchStrategy {
    /// Each is a hook in Okta: one is deactivated, the other activated. None is active for the time of a call.
    Swap,
    /// One hook in Okta is given the address, secret and headers of another: one call, and never none active.
    Repoint,
}

impl HookSwitchSpec {
    /// Whether one hook in Okta is pointed at another's place.
    #[must_use]
    pub fn repoints(&self) -> bool {
        self.strategy == Some(SwitchStrategy::Repoint)
    }
}

/// When a hook counts as failed, and when as healthy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[schemars(inline)]
#[serde(rename_all = "camelCase")]
pub struct SwitchDetection {
    /// Time between two observations of the hooks. Absent: 5s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1s') && duration(self) <= duration('1m')").message("interval must be between 1s and 1m"))]
    pub interval: Option<Duration>,
    /// Failed observations in a row that make the active hook suspect. Absent: 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 20))]
    pub fall: Option<u32>,
    /// Passed observations in a row that make it healthy again, and that prove a standby. Absent: 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub rise: Option<u32>,
    /// A hook fails when less than this part of what counts has a usable provider, in percent. What counts: the rules
    /// marked `critical`; without any, recent traffic; without enough of that, every rule the same. Absent: 50.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub coverage: Option<u8>,
    /// By how many percent a standby must cover more than an active hook that fails by its coverage. Absent: 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub margin: Option<u8>,
    /// Whether a hook that is reachable but not proven to deliver may take over by itself: one at a URL without a
    /// `test`. Absent: Hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unproven_standby: Option<UnprovenStandby>,
    /// Calls of the operator to the public addresses of all hooks, every `interval`. At a URL of somebody else's, only what
    /// its owner allows: the hook's `target.url` says what that is.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "publicURL")]
    pub public_url: Option<SwitchPublicUrl>,
    /// Calls that Okta is asked to make to the active hook (`execute`). To a URL of somebody else's only the hook's own
    /// `target.url.test` says how often; without one, none is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execute: Option<SwitchExecute>,
    /// What Okta's System Log says of the passcodes that it sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_log: Option<SwitchSystemLog>,
}

/// What becomes of a failover to a hook that is reached and not proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum UnprovenStandby {
    /// It is held until a person promotes the hook.
    Hold,
    /// The hook takes over like any other.
    Allow,
}

/// How Okta's System Log is read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[schemars(inline)]
#[serde(rename_all = "camelCase")]
pub struct SwitchSystemLog {
    /// Absent: true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Time between two reads of the log. Absent: 30s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('10s') && duration(self) <= duration('10m')").message("interval must be between 10s and 10m"))]
    pub interval: Option<Duration>,
    /// The part of the passcodes of the last two minutes that Okta sent itself, in percent, from which on it speaks against
    /// the active hook. Those that the gateway answered FAILED do not count. Absent: 50.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub fallbacks: Option<u8>,
    /// Passcodes in two minutes below which nobody can tell. Absent: 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub minimum: Option<u32>,
}

/// How the operator calls the public addresses of hooks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[schemars(inline)]
#[serde(rename_all = "camelCase")]
pub struct SwitchPublicUrl {
    /// False where the operator's network does not lead there although Okta's does. Absent: true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// How long an address may take to answer. Absent: 3s, what Okta gives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('500ms') && duration(self) <= duration('10s')").message("timeout must be between 500ms and 10s"))]
    pub timeout: Option<Duration>,
}

/// How Okta is asked to call the active hook.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[schemars(inline)]
#[serde(rename_all = "camelCase")]
pub struct SwitchExecute {
    /// Absent: true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Time between two calls while nothing fails. While something does: at once, then ever more seldom, and every 15 s at least (a URL that somebody else serves: every minute). Absent: 5m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('15s') && duration(self) <= duration('1h')").message("interval must be between 15s and 1h"))]
    pub interval: Option<Duration>,
}

/// How often a switch may switch by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[schemars(inline)]
#[serde(rename_all = "camelCase")]
pub struct SwitchBudget {
    /// Most switches within `window`; then it holds until somebody acknowledges. Absent: 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 20))]
    pub switches: Option<u32>,
    /// Absent: 1h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1m') && duration(self) <= duration('168h')").message("window must be between 1m and 168h"))]
    pub window: Option<Duration>,
}

/// How the first hook becomes active again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[schemars(inline)]
#[serde(rename_all = "camelCase")]
pub struct SwitchFailback {
    /// By itself, so long after the first hook recovered, if it stayed well.
    #[x_kube(validation = Rule::new("duration(self) >= duration('1m') && duration(self) <= duration('168h')").message("after must be between 1m and 168h"))]
    pub after: Duration,
}

/// A time in which nothing is switched by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[schemars(inline)]
#[x_kube(validation = Rule::new("timestamp(self.from) < timestamp(self.until)").message("from must be before until"))]
pub struct MaintenanceWindow {
    /// From then (RFC 3339).
    #[schemars(length(max = 40), regex(pattern = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})$"))]
    pub from: String,
    /// Until then (RFC 3339).
    #[schemars(length(max = 40), regex(pattern = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})$"))]
    pub until: String,
}

/// The annotation by which a person promotes a hook: `<hook>` or `<hook>/<anything>`. Acted on once per value.
pub const PROMOTE: &str = "hookswitch.dev/promote";
/// The annotation by which a person asks for the first hook. Acted on once per value.
pub const FAILBACK: &str = "hookswitch.dev/failback";
/// The annotation by which a person says that they saw that the budget is spent. Acted on once per value.
pub const ACKNOWLEDGE: &str = "hookswitch.dev/acknowledge";

/// What the operator knows of the switch.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct HookSwitchStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `Healthy`, `FailoverReady`, `FailoverActive`, `Held`, `TrafficConfirmed`, `StandbyIndependent`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// `Healthy`, `Suspect`, `FailingOver`, `OnStandby`, `Recovering` or `Held`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub phase: Option<String>,
    /// Since when (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 40))]
    pub since: Option<String>,
    /// The hook that Okta uses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub active: Option<String>,
    /// The hook that is to be active: the decision, recorded before Okta is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub target: Option<String>,
    /// The hook that would take over now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub standby: Option<String>,
    /// The switch under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switching: Option<Switching>,
    /// The observation of each hook.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub hooks: Vec<SwitchedHook>,
    /// When it last switched by itself (RFC 3339): what cooldown and budget count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(length(max = 40)))]
    pub automatic: Vec<String>,
    /// The last switches, the newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub history: Vec<SwitchRecord>,
    /// The annotations that were acted on, as they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handled: Option<HandledRequests>,
}

impl HookSwitchStatus {
    /// Most entries of [`Self::history`].
    pub const MOST_HISTORY: usize = 10;
}

/// A switch under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
#[serde(rename_all = "camelCase")]
pub struct Switching {
    /// The hook that was active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub from: Option<String>,
    /// `Failed`, `Recovered`, `Promoted` or `FailedBack`.
    #[schemars(length(max = 16))]
    pub cause: String,
}

/// The observation of one hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
#[serde(rename_all = "camelCase")]
pub struct SwitchedHook {
    /// Its name.
    #[schemars(length(max = 253))]
    pub name: String,
    /// `Pass`, `Fail` or `Unknown`.
    #[schemars(length(max = 8))]
    pub health: String,
    /// Since when it is so (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 40))]
    pub since: Option<String>,
    /// Whether it passed often enough in a row to be switched to.
    pub proven: bool,
    /// What that is judged by.
    #[schemars(length(max = 8))]
    pub signals: Vec<SwitchSignal>,
}

/// One signal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
#[serde(rename_all = "camelCase")]
pub struct SwitchSignal {
    /// `Gateway`, `Coverage`, `PublicURL`, `Test`, `Execute`, `SystemLog` or `Refusals`.
    #[schemars(length(max = 16))]
    pub source: String,
    /// `Pass`, `Fail` or `Unknown`.
    #[schemars(length(max = 8))]
    pub result: String,
    /// Since when it is so (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 40))]
    pub since: Option<String>,
    /// Why.
    #[schemars(length(max = 512))]
    pub reason: String,
}

/// One switch that ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
#[serde(rename_all = "camelCase")]
pub struct SwitchRecord {
    /// When it ended (RFC 3339).
    #[schemars(length(max = 40))]
    pub at: String,
    /// The hook that was active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub from: Option<String>,
    /// The hook that was to be.
    #[schemars(length(max = 253))]
    pub to: String,
    /// `Failed`, `Recovered`, `Promoted`, `FailedBack`, `HookDeleted`, or `ChangedInOkta` by somebody else.
    #[schemars(length(max = 16))]
    pub cause: String,
    /// `Switched`, or `Failed`: Okta refused, or the hook was not ready for it within a minute.
    #[schemars(length(max = 16))]
    pub outcome: String,
    /// From the decision to Okta's confirmation, in milliseconds.
    pub took_ms: i64,
    /// The longest time for which no hook can have been active, in milliseconds: from when the call that deactivates was sent
    /// until the one that activates was answered, or a list showed its effect. Absent where there were not both.
    #[serde(default, rename = "withoutActiveMs", skip_serializing_if = "Option::is_none")]
    pub without_active_ms: Option<i64>,
    /// What was done for it, the last 8 steps. A leader that finishes what another began tells its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub steps: Vec<SwitchStep>,
    /// From its end to the first call of Okta at the hook, in milliseconds, as observations and reports tell it: up to `interval` and
    /// 5 s too long. Absent: none has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_call_after_ms: Option<i64>,
}

impl SwitchRecord {
    /// What [`Self::outcome`] says of a switch that came to its end.
    pub const SWITCHED: &str = "Switched";
    /// What [`Self::outcome`] says of one that did not.
    pub const FAILED: &str = "Failed";

    /// Whether the switch came to its end.
    #[must_use]
    pub fn is_switched(&self) -> bool {
        self.outcome == Self::SWITCHED
    }
}

impl SwitchRecord {
    /// Most entries of [`Self::steps`].
    pub const MOST_STEPS: usize = 8;
}

/// One step of a switch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
#[serde(rename_all = "camelCase")]
pub struct SwitchStep {
    /// `List` and `Record` (the plan, in the `OktaOrg`) come first; then the calls `Deactivate`, `Activate`, `Create`,
    /// `Replace`, `Read` (one hook, after an unclear answer), `PutBack` (the hook before, when Okta refused the other) and
    /// `ReadBack`.
    #[schemars(length(max = 16))]
    pub step: String,
    /// How long it took, in milliseconds.
    pub took_ms: i64,
    /// Why it did not go well. Absent: it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub outcome: Option<String>,
}

/// The annotations that were acted on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
#[serde(rename_all = "camelCase")]
pub struct HandledRequests {
    /// `hookswitch.dev/promote`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub promote: Option<String>,
    /// `hookswitch.dev/failback`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub failback: Option<String>,
    /// `hookswitch.dev/acknowledge`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub acknowledge: Option<String>,
}
