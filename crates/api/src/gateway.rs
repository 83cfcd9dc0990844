//! `TelephonyGateway`: one deployed gateway.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{Affinity, ResourceRequirements, Toleration, TopologySpreadConstraint},
    apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector},
};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Duration, NameRef};
use hookswitch_message::CountryCode;

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
    status = "TelephonyGatewayStatus",
    derive = "PartialEq",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    doc = "A gateway that Okta calls and that hands passcodes to providers.",
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Replicas", type_ = "string", json_path = ".status.ready"),
    printcolumn(name = "Healthy", type_ = "string", json_path = ".status.conditions[?(@.type==\"Healthy\")].status"),
    printcolumn(name = "URL", type_ = "string", json_path = ".spec.publicURL"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Config", type_ = "string", json_path = ".status.configHash", priority = 1)
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("duration(has(self.deadline) ? self.deadline : '2500ms') - duration(has(self.proxyAllowance) ? self.proxyAllowance : '200ms') - duration(has(self.attempts) && has(self.attempts.floor) ? self.attempts.floor : '500ms') >= duration('100ms')").message("deadline (2500ms) less proxyAllowance (200ms) must leave attempts.floor (500ms) and 100ms more, or no provider is ever tried: raise deadline, or lower one of the others"))]
#[x_kube(validation = Rule::new("!has(self.ingress) || !has(self.ingress.annotations) || has(self.ingress.tlsSecretRef) || has(self.tls) || !['cert-manager.io/issuer', 'cert-manager.io/cluster-issuer', 'kubernetes.io/tls-acme'].exists(k, k in self.ingress.annotations)").message("ingress.annotations ask cert-manager for a certificate: name the Secret that it is to fill in ingress.tlsSecretRef"))]
#[x_kube(validation = Rule::new("!has(self.ingress) || !self.publicURL.matches('^https://[0-9.]+(:|/|$)')").message("an Ingress is for a host name: publicURL has an address"))]
pub struct TelephonyGatewaySpec {
    /// The policies it routes by, and nothing else.
    pub policies: PolicySource,
    /// Where Okta reaches it: `https://host`, optionally with a port and a path; a proxy in front may take the path off or
    /// leave it.
    #[serde(rename = "publicURL")]
    #[schemars(
        length(min = 9, max = 512),
        regex(pattern = r"^https://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?$")
    )]
    pub public_url: String,
    /// Pods. Absent: 2, which the API server writes into the object, because an autoscaler reads it there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100), extend("default" = 2))]
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
    /// How the deadline is shared among providers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<AttemptsSpec>,
    /// What follows an attempt whose outcome is not known. Absent: Continue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_ambiguous: Option<OnAmbiguous>,
    /// The country that numbers without a plus sign are read in. Absent: such numbers are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_region: Option<CountryCode>,
    /// The serving certificate. Absent: one is generated, which Okta does not trust; fine behind a proxy that ends TLS. Nothing
    /// else may write into the generated one's Secret.
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
    /// Labels of the pods, besides those by which they are found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 64))]
    #[x_kube(validation = Rule::new("self.all(k, !k.startsWith('hookswitch.dev/') && !(k in ['app.kubernetes.io/name', 'app.kubernetes.io/component', 'app.kubernetes.io/managed-by']))").message("podLabels cannot set hookswitch.dev/… nor app.kubernetes.io/name, component and managed-by: the pods are found by them"))]
    pub pod_labels: Option<BTreeMap<String, String>>,
    /// Annotations of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 64))]
    pub pod_annotations: Option<BTreeMap<String, String>>,
    /// Nodes the pods may run on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 64))]
    pub node_selector: Option<BTreeMap<String, String>>,
    /// Taints the pods tolerate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub tolerations: Option<Vec<Toleration>>,
    /// Nodes and neighbours that the pods prefer or avoid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Affinity>,
    /// How the pods are spread. One without a `labelSelector` is about this gateway's pods. Absent: over nodes and zones, as
    /// far as there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8))]
    pub topology_spread_constraints: Option<Vec<TopologySpreadConstraint>>,
    /// Priority class of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub priority_class_name: Option<String>,
    /// Secrets with which nodes pull the image. Absent: those that the installation names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8))]
    pub image_pull_secrets: Option<Vec<NameRef>>,
    /// How long a pod that is to stop serves on, until load balancers send nobody to it any more. It is given 20s more to
    /// end. Absent: 10s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) <= duration('10m')").message("lameDuck must be at most 10m"))]
    pub lame_duck: Option<Duration>,
}

impl TelephonyGatewaySpec {
    /// Pods, in force.
    #[must_use]
    pub fn replicas(&self) -> i32 {
        self.replicas.unwrap_or(2)
    }

    /// How long a pod that is to stop serves on, in force.
    #[must_use]
    pub fn lame_duck(&self) -> Duration {
        self.lame_duck.unwrap_or(Duration::from_millis(10_000))
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

/// How the deadline is shared among providers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[schemars(inline)]
pub struct AttemptsSpec {
    /// The least time an attempt must have to be begun. Absent: 500ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('100ms') && duration(self) <= duration('2s')").message("floor must be between 100ms and 2s"))]
    pub floor: Option<Duration>,
    /// The most providers tried for one message. Absent: 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 8))]
    pub max: Option<u32>,
}

/// What follows an attempt whose outcome is not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum OnAmbiguous {
    /// Try the next provider: the user may get the same passcode twice.
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
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[schemars(inline)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!(has(self.loadBalancerClass) || has(self.loadBalancerSourceRanges)) || (has(self.type) && self.type == 'LoadBalancer')").message("loadBalancerClass and loadBalancerSourceRanges need type LoadBalancer"))]
#[x_kube(validation = Rule::new("!has(self.externalTrafficPolicy) || (has(self.type) && self.type != 'ClusterIP')").message("externalTrafficPolicy needs type LoadBalancer or NodePort"))]
#[x_kube(validation = Rule::new("!has(self.ipFamilies) || size(self.ipFamilies) < 2 || (self.ipFamilies[0] != self.ipFamilies[1] && has(self.ipFamilyPolicy) && self.ipFamilyPolicy != 'SingleStack')").message("two ipFamilies must differ, and need ipFamilyPolicy PreferDualStack or RequireDualStack"))]
#[x_kube(validation = Rule::new("!has(self.type) || self.type != 'LoadBalancer' || !has(oldSelf.type) || oldSelf.type != 'LoadBalancer' || (has(self.loadBalancerClass) ? self.loadBalancerClass : '') == (has(oldSelf.loadBalancerClass) ? oldSelf.loadBalancerClass : '')").message("loadBalancerClass cannot be changed while the Service has a load balancer: change the type first"))]
#[x_kube(validation = Rule::new("!has(self.ipFamilies) || !has(oldSelf.ipFamilies) || self.ipFamilies[0] == oldSelf.ipFamilies[0]").message("the first of ipFamilies cannot be changed: a Service keeps it"))]
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
    #[schemars(extend("maxProperties" = 64))]
    pub annotations: Option<BTreeMap<String, String>>,
    /// Which kind of load balancer. Absent: the cloud's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub load_balancer_class: Option<String>,
    /// Addresses that the load balancer lets in, as CIDRs. Absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256), inner(length(max = 49), regex(pattern = r"^[0-9A-Fa-f.:]+/[0-9]{1,3}$")))]
    pub load_balancer_source_ranges: Option<Vec<String>>,
    /// Whether a node hands calls from outside to pods of other nodes too. Absent: the cluster's default, `Cluster`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_traffic_policy: Option<TrafficPolicy>,
    /// One or two IP families. Absent: the cluster's default, `SingleStack`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_family_policy: Option<IpFamilyPolicy>,
    /// The IP families, the first one first. Absent: the cluster's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2))]
    pub ip_families: Option<Vec<IpFamily>>,
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

impl ServiceType {
    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClusterIP => "ClusterIP",
            Self::NodePort => "NodePort",
            Self::LoadBalancer => "LoadBalancer",
        }
    }
}

/// Which nodes take calls from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum TrafficPolicy {
    /// Any node, which may hand them on; the caller's address is lost.
    Cluster,
    /// Nodes with a pod alone; the caller's address stays.
    Local,
}

/// How many IP families a Service has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum IpFamilyPolicy {
    /// One.
    SingleStack,
    /// Two where the cluster has them.
    PreferDualStack,
    /// Two, or the Service is refused.
    RequireDualStack,
}

/// An IP family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum IpFamily {
    /// Version 4.
    IPv4,
    /// Version 6.
    IPv6,
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
    #[schemars(extend("maxProperties" = 64))]
    pub annotations: Option<BTreeMap<String, String>>,
    /// A Secret of type `kubernetes.io/tls` for the Ingress: one that exists, or one for cert-manager to fill. Absent: that
    /// of `tls`; without `tls` none, and the controller's default certificate is shown.
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
    /// `Ready`: configuration compiled and the pods run it. `Healthy`: at least one replica reports a usable provider.
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
