//! `RoutingPolicy`: an ordered list of named rules.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use hookswitch_message::{Channel, CountryCode, RequestType};

/// An ordered list of rules; the first that matches decides.
#[derive(CustomResource, Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "hookswitch.dev",
    version = "v1alpha1",
    kind = "RoutingPolicy",
    plural = "routingpolicies",
    shortname = "rpol",
    category = "telephony",
    namespaced,
    status = "RoutingPolicyStatus",
    derive = "PartialEq",
    doc = "An ordered list of named rules that say which providers send a passcode; the first match wins.",
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Rules", type_ = "integer", json_path = ".status.rules"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct RoutingPolicySpec {
    /// Policies of a gateway are tried in ascending order of priority, equal ones by name. Absent: 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10_000))]
    pub priority: Option<i32>,
    /// The rules, in the order in which they are tried.
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub rules: Vec<RoutingRule>,
}

impl RoutingPolicySpec {
    /// The priority in force.
    #[must_use]
    pub fn priority(&self) -> i32 {
        self.priority.unwrap_or(100)
    }
}

/// One rule: what it applies to, and what is done then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[schemars(inline)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.send) != has(self.deny)").message("exactly one of send and deny is needed"))]
pub struct RoutingRule {
    /// Its name, unique in the policy; shows in logs and metrics.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// What it applies to. Absent: every message.
    #[serde(default, rename = "match", skip_serializing_if = "Option::is_none")]
    pub matches: Option<RuleMatch>,
    /// Send by the first of these providers that accepts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send: Option<Send>,
    /// Send nothing. Okta is answered as if the message was sent, marked `HOOKSWITCH-BLOCKED`, so that it does not send
    /// the message itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deny: Option<Deny>,
    /// Whether the rule counts for the health of hooks: when any rule of a gateway is critical, only those count. Absent:
    /// false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub critical: Option<bool>,
}

/// What a rule applies to: each list that is given must have a member that fits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
#[serde(rename_all = "camelCase")]
pub struct RuleMatch {
    /// Countries of the number, ISO 3166-1 alpha-2.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub countries: Vec<CountryCode>,
    /// Beginnings of the number in E.164, with its plus sign, such as `+4670`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 16), regex(pattern = r"^\+[1-9][0-9]{0,14}$")))]
    pub prefixes: Vec<String>,
    /// Channels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 2))]
    pub channels: Vec<Channel>,
    /// What the passcode is for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    pub request_types: Vec<RequestType>,
}

/// Send by the first of these providers that accepts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[schemars(inline)]
pub struct Send {
    /// Providers in order of preference.
    #[schemars(length(min = 1, max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub providers: Vec<ProviderRef>,
}

/// A provider of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct ProviderRef {
    /// Name of a `TelephonyProvider` in the same namespace.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// Send nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct Deny {}

/// What the operator knows of the policy.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoutingPolicyStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`: accepted and every provider it names exists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// How many rules it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<i32>,
}
