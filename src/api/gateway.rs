//! `TelephonyGateway`: one deployed gateway.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{ResourceRequirements, Toleration},
    apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector},
};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Duration, NameRef};
use crate::message::CountryCode;

/// One deployed gateway.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "hookswitch.dev",
    version = "v1alpha1",
    kind = "TelephonyGateway",
    plural = "telephonygateways",
    shortname = "tgw",
    category = "telephony",
    namespaced,
    cel,
    status = "TelephonyGatewayStatus",
    derive = "PartialEq",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    doc = "A gateway that Okta calls and that hands passcodes to carriers.",
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Replicas", type_ = "string", json_path = ".status.ready"),
    printcolumn(name = "Healthy", type_ = "string", json_path = ".status.conditions[?(@.type==\"Healthy\")].status"),
    printcolumn(name = "URL", type_ = "string", json_path = ".spec.publicURL"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Config", type_ = "string", json_path = ".status.configHash", priority = 1)
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("duration(has(self.deadline) ? self.deadline : '2500ms') - duration(has(self.proxyAllowance) ? self.proxyAllowance : '200ms') - duration(has(self.attempts) && has(self.attempts.floor) ? self.attempts.floor : '500ms') >= duration('100ms')").message("deadline (2500ms) less proxyAllowance (200ms) must leave attempts.floor (500ms) and 100ms more, or no carrier is ever tried: raise deadline, or lower one of the others"))]
pub struct TelephonyGatewaySpec {
    /// The policies it routes by, and nothing else.
    pub policies: PolicySource,
    /// Where Okta reaches it: `https://host`, optionally with a port and a path that a proxy in front takes off.
    #[serde(rename = "publicURL")]
    #[schemars(
        length(min = 9, max = 512),
        regex(pattern = r"^https://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?$")
    )]
    pub public_url: String,
    /// Pods. Absent: 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub replicas: Option<i32>,
    /// From Okta's connection to our answer; Okta gives up after 3s. Absent: 2500ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('500ms') && duration(self) <= duration('2800ms')").message("deadline must be between 500ms and 2800ms: Okta gives up after 3s"))]
    pub deadline: Option<Duration>,
    /// Time that proxies in front of the gateway may use up; taken off the deadline. Absent: 200ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) <= duration('1s')").message("proxyAllowance must be at most 1s"))]
    pub proxy_allowance: Option<Duration>,
    /// How long a connection without a request is kept open: longer than the proxy or load balancer in front keeps its own,
    /// such as 650s behind Google's. Absent: 75s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('5s') && duration(self) <= duration('1h')").message("keepAlive must be between 5s and 1h"))]
    pub keep_alive: Option<Duration>,
    /// How the deadline is shared among carriers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<AttemptsSpec>,
    /// What follows an attempt whose outcome is not known. Absent: Continue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_ambiguous: Option<OnAmbiguous>,
    /// The country that numbers without a plus sign are read in. Absent: such numbers are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_region: Option<CountryCode>,
    /// The serving certificate. Absent: one is generated, which Okta does not trust; fine behind a proxy that ends TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsSpec>,
    /// The Service in front of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceSpec>,
    /// An Ingress for the host of `publicURL`. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<IngressSpec>,
    /// Resources of the container. Absent: requests 50m CPU and 32Mi memory, limit 128Mi memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// Nodes the pods may run on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_selector: Option<BTreeMap<String, String>>,
    /// Taints the pods tolerate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub tolerations: Option<Vec<Toleration>>,
}

impl TelephonyGatewaySpec {
    /// Pods, in force.
    #[must_use]
    pub fn replicas(&self) -> i32 {
        self.replicas.unwrap_or(2)
    }

    /// The URL that Okta calls for a hook of this gateway.
    #[must_use]
    pub fn hook_url(&self, hook: &str) -> String {
        format!("{}/hooks/{hook}", self.public_url.trim_end_matches('/'))
    }
}

/// Which policies a gateway routes by.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[schemars(inline)]
#[x_kube(validation = Rule::new("has(self.names) != has(self.selector)").message("exactly one of names and selector is needed"))]
pub struct PolicySource {
    /// Policies by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 253)))]
    pub names: Option<Vec<String>>,
    /// Policies by label; at most 16 may match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
}

/// How the deadline is shared among carriers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[schemars(inline)]
pub struct AttemptsSpec {
    /// The least time an attempt must have to be begun. Absent: 500ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('100ms') && duration(self) <= duration('2s')").message("floor must be between 100ms and 2s"))]
    pub floor: Option<Duration>,
    /// The most carriers tried for one message. Absent: 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 8))]
    pub max: Option<u32>,
}

/// What follows an attempt whose outcome is not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum OnAmbiguous {
    /// Try the next carrier: the user may get the same passcode twice.
    #[default]
    Continue,
    /// Stop: the user may get none.
    Stop,
}

/// The serving certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
#[serde(rename_all = "camelCase")]
pub struct TlsSpec {
    /// A Secret of type `kubernetes.io/tls` whose chain Okta trusts; reloaded when it changes.
    pub secret_ref: NameRef,
}

/// The Service in front of the pods.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
#[serde(rename_all = "camelCase")]
pub struct ServiceSpec {
    /// Absent: `ClusterIP`.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub service_type: Option<ServiceType>,
    /// Port. Absent: 443.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_535))]
    pub port: Option<i32>,
    /// Annotations, as load balancers want them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
}

impl ServiceSpec {
    /// The port in force.
    #[must_use]
    pub fn port(&self) -> i32 {
        self.port.unwrap_or(443)
    }
}

/// Type of a Service.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum ServiceType {
    /// Reached inside the cluster, or through an Ingress.
    #[default]
    ClusterIP,
    /// Reached through a port of every node.
    NodePort,
    /// Reached through a load balancer of the cloud.
    LoadBalancer,
}

/// An Ingress for the host of `publicURL`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
#[serde(rename_all = "camelCase")]
pub struct IngressSpec {
    /// Class of the controller. Absent: the cluster's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub class_name: Option<String>,
    /// Annotations, as controllers want them; one of them must tell the controller that the pods speak HTTPS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
    /// A Secret of type `kubernetes.io/tls` for the Ingress. Absent: that of `tls`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_secret_ref: Option<NameRef>,
}

/// What the operator knows of the gateway.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TelephonyGatewayStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`: configuration compiled and the pods run it. `Healthy`: at least one replica reports a usable carrier.
    /// `PubliclyTrusted`: whether the serving certificate was given or generated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Pods that exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// Pods that are ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,
    /// Ready of wanted pods, such as `2/2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub ready: Option<String>,
    /// Label selector of the pods, for autoscalers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub selector: Option<String>,
    /// Hash of the configuration document in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub config_hash: Option<String>,
}
