//! `TelephonyHook`: a place Okta can send to, and the Okta hook for it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{HookTarget, KeyRef, NameRef};

/// A place Okta can send to, and the Okta hook for it.
#[derive(CustomResource, Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "hookswitch.dev",
    version = "v1alpha1",
    kind = "TelephonyHook",
    plural = "telephonyhooks",
    shortname = "thook",
    category = "telephony",
    namespaced,
    status = "TelephonyHookStatus",
    derive = "PartialEq",
    doc = "A place that Okta can send passcodes to, and the telephony inline hook in Okta that points there.",
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Wanted", type_ = "string", json_path = ".spec.state"),
    printcolumn(name = "In Okta", type_ = "string", json_path = ".status.oktaState"),
    printcolumn(name = "Target", type_ = "string", json_path = ".status.target"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Okta ID", type_ = "string", json_path = ".status.oktaID", priority = 1),
    printcolumn(name = "URL", type_ = "string", json_path = ".status.url", priority = 1)
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.state) || has(self.okta)").message("state needs okta: without an org there is nothing to activate"))]
#[x_kube(validation = Rule::new("has(self.okta) || (!has(self.adoption) && !has(self.deletion))").message("adoption and deletion need okta: without an org there is nothing to adopt or delete"))]
#[x_kube(validation = Rule::new("!has(self.target.url) || (has(self.auth) && has(self.auth.header.secretRef))").message("target.url needs auth.header.secretRef: a generated secret would be unknown to whoever serves it"))]
pub struct TelephonyHookSpec {
    /// Where Okta sends to.
    pub target: HookTarget,
    /// How Okta proves who it is. Absent: header `Authorization` with a generated secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<HookAuth>,
    /// Further headers that Okta sends; Okta shows their values in clear, so no secrets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub headers: Vec<HookHeader>,
    /// The hook in Okta. Absent: nothing is done in Okta, only the target is served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub okta: Option<OktaHook>,
    /// The state it should have in Okta; of the hooks of an org only one may be Active. Absent: as it is in Okta.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<HookState>,
    /// Whether a hook that exists in Okta and carries nobody's mark may be taken over. Absent: Never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adoption: Option<HookAdoption>,
    /// What becomes of the hook in Okta when this object is deleted. Absent: Retain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion: Option<HookDeletion>,
}

/// The annotation by which a hook takes over that of another object in Okta: `<name>` or `<namespace>/<name>`.
pub const TAKES_OVER: &str = "hookswitch.dev/takes-over";
/// The annotation by which a hook hands its own in Okta over to another object, which takes it over: `<name>` or
/// `<namespace>/<name>`.
pub const HANDS_OVER_TO: &str = "hookswitch.dev/hands-over-to";

impl TelephonyHookSpec {
    /// The name of the header that carries the secret, in force.
    #[must_use]
    pub fn auth_header(&self) -> &str {
        self.auth.as_ref().and_then(|auth| auth.header.name.as_deref()).unwrap_or("Authorization")
    }

    /// Whether deleting the object owes Okta a call.
    #[must_use]
    pub fn deletes_in_okta(&self) -> bool {
        self.okta.is_some() && self.deletion == Some(HookDeletion::Delete)
    }

    /// The user's own secret, when one is given.
    #[must_use]
    pub fn auth_secret(&self) -> Option<&KeyRef> {
        self.auth.as_ref().and_then(|auth| auth.header.secret_ref.as_ref())
    }
}

/// How Okta proves who it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
#[serde(rename_all = "camelCase")]
pub struct HookAuth {
    /// By a header with a secret value.
    pub header: HeaderAuth,
}

/// A header with a secret value.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[schemars(inline)]
#[serde(rename_all = "camelCase")]
pub struct HeaderAuth {
    /// The header. Absent: `Authorization`. Some proxies drop names with an underscore, nginx among them unless it is told
    /// not to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"))]
    #[x_kube(validation = Rule::new("!(self.lowerAscii() in ['accept', 'content-type', 'content-length', 'host', 'connection', 'transfer-encoding', 'user-agent', 'x-hookswitch-owner'])").message("this header cannot carry the secret: it is reserved"))]
    pub name: Option<String>,
    /// The Secret's key that holds the header's whole value, at least 16 characters. Absent: a value is generated and
    /// kept in the Secret `<hook>-hook-auth`; not with `target.url`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<KeyRef>,
}

/// A header that Okta sends along.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[schemars(inline)]
pub struct HookHeader {
    /// Its name.
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"))]
    #[x_kube(validation = Rule::new("!(self.lowerAscii() in ['accept', 'content-type', 'content-length', 'host', 'connection', 'transfer-encoding', 'user-agent', 'authorization', 'x-hookswitch-owner'])").message("this header is reserved"))]
    pub name: String,
    /// Its value, which Okta's API shows in clear.
    #[schemars(length(min = 1, max = 1024), regex(pattern = r"^[\x20-\x7e]+$"))]
    pub value: String,
}

/// The hook in Okta.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[schemars(inline)]
#[serde(rename_all = "camelCase")]
pub struct OktaHook {
    /// An `OktaOrg` in the same namespace.
    #[x_kube(validation = Rule::new("self == oldSelf").message("orgRef cannot be changed: make another TelephonyHook for the other org"))]
    pub org_ref: NameRef,
    /// The hook's name in Okta, unique in the org.
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^\S(.*\S)?$"))]
    pub name: String,
}

/// The state a hook should have in Okta.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum HookState {
    /// Okta sends passcodes to it.
    Active,
    /// Okta keeps it, unused.
    Inactive,
}

/// Whether a hook that exists may be taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum HookAdoption {
    /// Never.
    Never,
    /// When it carries nobody's mark and has the declared name and URI. Everything else of it is then made as declared.
    IfMatches,
}

/// What becomes of the hook in Okta when its object is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum HookDeletion {
    /// It stays as it is, with our mark.
    Retain,
    /// It is deactivated and deleted.
    Delete,
}

/// What somebody else changed in Okta.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
#[serde(rename_all = "camelCase")]
pub struct HookDrift {
    /// When it was found (RFC 3339).
    #[schemars(length(max = 40))]
    pub found_at: String,
    /// What was found, one entry for each field; values are not shown.
    #[schemars(length(max = 32), inner(length(max = 128)))]
    pub fields: Vec<String>,
}

/// What the operator knows of the hook.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TelephonyHookStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`: in Okta as declared, and served. `Created`: whether the hook exists in Okta. `Drifted`: whether Okta
    /// had something else than was applied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Okta's id of the hook.
    #[serde(default, rename = "oktaID", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub okta_id: Option<String>,
    /// `ACTIVE` or `INACTIVE`, as Okta last said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub okta_state: Option<String>,
    /// Where it leads: the name of its gateway, or the host that somebody else serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub target: Option<String>,
    /// The URL that Okta calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub url: Option<String>,
    /// Keyed hash of the secret that was last applied in Okta and of its header; Okta never returns the secret itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub applied_secret_mark: Option<String>,
    /// When that secret was applied (RFC 3339). The secret in Okta cannot be compared with anything later than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 40))]
    pub secret_applied_at: Option<String>,
    /// The last change that somebody else made in Okta.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_drift: Option<HookDrift>,
    /// The other hook whose place Okta was given for this one, by a `HookSwitch` with strategy Repoint. It stays when that
    /// switch goes, until the spec of this hook changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repointed: Option<Repointed>,
}

impl TelephonyHookStatus {
    /// What [`Self::okta_state`] says of a hook that Okta uses.
    pub const ACTIVE: &str = "ACTIVE";

    /// Whether the hook was active in Okta when it was last seen there.
    #[must_use]
    pub fn is_active_in_okta(&self) -> bool {
        self.okta_state.as_deref() == Some(Self::ACTIVE)
    }
}

/// Another hook's place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
#[serde(rename_all = "camelCase")]
pub struct Repointed {
    /// The hook whose place it is.
    #[schemars(length(max = 253))]
    pub to: String,
    /// The generation of this hook's spec for which it was decided.
    pub generation: i64,
}
