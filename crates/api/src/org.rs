//! `OktaOrg`: an org and how to reach its management API.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CaBundleRef, Duration, KeyRef};

/// An Okta org and how to reach its management API.
#[derive(CustomResource, Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "hookswitch.dev",
    version = "v1alpha1",
    kind = "OktaOrg",
    plural = "oktaorgs",
    shortname = "oorg",
    category = "telephony",
    namespaced,
    status = "OktaOrgStatus",
    derive = "PartialEq",
    doc = "An Okta org and how to reach its management API. Telephony hooks of the org are managed through it.",
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Active Hook", type_ = "string", json_path = ".status.activeHook.name"),
    printcolumn(name = "URL", type_ = "string", json_path = ".spec.url"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Org ID", type_ = "string", json_path = ".status.orgID", priority = 1)
)]
#[serde(rename_all = "camelCase")]
pub struct OktaOrgSpec {
    /// The org's address, such as `https://acme.okta.com`: scheme and host (and port), nothing behind them.
    #[schemars(length(min = 9, max = 255), regex(pattern = r"^https://[A-Za-z0-9.-]+(:[0-9]{1,5})?/?$"))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("url cannot be changed: it names the org; make another OktaOrg"))]
    pub url: String,
    /// How the operator proves who it is.
    pub auth: OrgAuth,
    /// How often the org's hooks are listed; at least 15s. Absent: 60s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('15s') && duration(self) <= duration('1h')").message("pollInterval must be between 15s and 1h"))]
    pub poll_interval: Option<Duration>,
    /// How much of Okta's rate limit may be used, and what is kept of it for a failover.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<OrgRateLimit>,
    /// Certificates trusted for this org besides the public ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_bundle_ref: Option<CaBundleRef>,
}

impl OktaOrgSpec {
    /// The org's host name, as figures and messages have it.
    #[must_use]
    pub fn host(&self) -> &str {
        self.url.trim_start_matches("https://").trim_end_matches('/')
    }

    /// The poll interval in force.
    #[must_use]
    pub fn poll_interval(&self) -> std::time::Duration {
        self.poll_interval.map_or(std::time::Duration::from_mins(1), Duration::get)
    }
}

/// How much of Okta's rate limit may be used by calls that can wait: polls, probes, drift, standbys. A failover keeps to
/// neither. Okta counts the calls of all clients of the org together, in windows of a minute.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
#[serde(rename_all = "camelCase")]
pub struct OrgRateLimit {
    /// Percent of a window's calls that may be the operator's. Absent: 50, what Okta grants a token by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub share: Option<u8>,
    /// Calls of a window that are left to others and to a failover: at least the six of a plan, at most half of the window.
    /// Absent: 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 6, max = 10000))]
    pub reserve: Option<u32>,
}

/// How the operator proves who it is to Okta.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
#[serde(rename_all = "camelCase")]
pub struct OrgAuth {
    /// An API token of an administrator that may manage inline hooks.
    pub api_token: ApiTokenAuth,
}

/// An API token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
#[serde(rename_all = "camelCase")]
pub struct ApiTokenAuth {
    /// The Secret's key that holds the token.
    pub secret_ref: KeyRef,
}

/// What the operator knows of the org.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct OktaOrgStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `Reachable`, `Claimed`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// The org's own id; its canonical host name where the org does not tell an id.
    #[serde(default, rename = "orgID", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub org_id: Option<String>,
    /// `<namespace>/<name>` of the `OktaOrg` that manages the same org in this one's place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub claimed_by: Option<String>,
    /// The telephony hook that is ACTIVE in the org, ours or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_hook: Option<ActiveHook>,
    /// The installation's mark that hooks of ours carry, as it appears in the header `X-Hookswitch-Owner`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub installation: Option<String>,
    /// The plan under way, recorded before its first call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "plan_schema")]
    pub plan: Option<serde_json::Value>,
    /// The last changes made in Okta for this org, the newest last. The whole record is in the operator's log.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub history: Vec<OktaChange>,
}

impl OktaOrgStatus {
    /// Most changes kept in [`Self::history`].
    pub const MOST_HISTORY: usize = 20;
}

/// One change that was made, or tried, in Okta.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
#[serde(rename_all = "camelCase")]
pub struct OktaChange {
    /// When it was asked for (RFC 3339).
    #[schemars(length(max = 40))]
    pub at: String,
    /// `<namespace>/<name>` of the `TelephonyHook` it was made for.
    #[schemars(length(max = 320))]
    pub object: String,
    /// `Create`, `Replace`, `Activate`, `Deactivate` or `Delete`.
    #[schemars(length(max = 16))]
    pub verb: String,
    /// Okta's id of the hook; absent where a creation had no answer.
    #[serde(default, rename = "hookID", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub hook_id: Option<String>,
    /// `ok`, or the reason why not.
    #[schemars(length(max = 64))]
    pub outcome: String,
    /// Okta's id of the request: what Okta Support asks for.
    #[serde(default, rename = "requestID", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub request_id: Option<String>,
    /// Keyed hash of the hook before: content, state and secret. Absent: it did not exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub before: Option<String>,
    /// The same afterwards. Absent: it does not exist, or how it is was not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub after: Option<String>,
}

/// The plan's own type is `okta`'s, which this module does not know; the schema leaves its inside to that type.
fn plan_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"type": "object", "nullable": true, "x-kubernetes-preserve-unknown-fields": true})
}

/// The hook that is ACTIVE in the org.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
#[serde(rename_all = "camelCase")]
pub struct ActiveHook {
    /// Okta's id of the hook.
    #[schemars(length(max = 64))]
    pub id: String,
    /// Its name in Okta.
    #[schemars(length(max = 255))]
    pub name: String,
    /// `<namespace>/<name>` of the `TelephonyHook` when it is ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub owner: Option<String>,
}
