//! What the authors of resources may ask for, namespace by namespace: the installation's word. Pure.
//!
//! Whoever may create our resources has the operator make Ingresses, Services and pods for them. An installation that many
//! share says here how far that goes; one that says nothing allows everything, as Kubernetes itself would.

use std::{collections::BTreeMap, fmt, str::FromStr};

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, de};

use super::gateway_names::public_host;
use hookswitch_api::{ServiceType, TelephonyGatewaySpec};

/// The most of what is allowed that a message lists.
const MOST_NAMED: usize = 5;

/// What is allowed in each namespace. Of what it does not mention everything is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tenancy {
    /// In namespaces that say nothing else.
    #[serde(default)]
    default: Limits,
    /// In these; each field given here takes the place of the default's.
    #[serde(default)]
    namespaces: BTreeMap<String, Limits>,
}

/// What is allowed. A list that is absent allows everything, and an empty one nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Limits {
    /// Hosts of `publicURL`, and so of Ingresses.
    hosts: Option<Vec<Host>>,
    /// Keys of an Ingress's annotations.
    ingress_annotations: Option<Vec<Key>>,
    /// Keys of a Service's annotations.
    service_annotations: Option<Vec<Key>>,
    /// Keys of the pods' annotations.
    pod_annotations: Option<Vec<Key>>,
    /// Types of a Service.
    service_types: Option<Vec<ServiceType>>,
    /// Private ranges that may be called, besides those of every namespace; absent is none here.
    #[serde(rename = "allowedCIDRs")]
    allowed_cidrs: Option<Vec<IpNet>>,
}

impl Limits {
    fn annotations(&self, part: WorkloadPart) -> Option<&[Key]> {
        let keys = match part {
            WorkloadPart::Ingress => &self.ingress_annotations,
            WorkloadPart::Service => &self.service_annotations,
            WorkloadPart::Pods => &self.pod_annotations,
        };
        keys.as_deref()
    }
}

/// Why a text is no [`Tenancy`].
#[derive(Debug, thiserror::Error)]
#[error("the tenancy cannot be read: {0}")]
pub struct UnreadableTenancy(#[from] serde_json::Error);

impl FromStr for Tenancy {
    type Err = UnreadableTenancy;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(serde_json::from_str(text)?)
    }
}

/// A host, or `*.` and a domain for every name below it, or `*` for all.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Host(String);

impl Host {
    fn allows(&self, host: &str) -> bool {
        match self.0.strip_prefix('*') {
            Some("") => true,
            Some(below) => host.len() > below.len() && host.ends_with(below),
            None => self.0 == host,
        }
    }
}

impl<'de> Deserialize<'de> for Host {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?.to_ascii_lowercase();
        let name = text.strip_prefix("*.").unwrap_or(&text);
        let is_label = |label: &str| {
            let inside = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            (1..=63).contains(&label.len()) && label.bytes().all(inside)
        };
        if text == "*" || name.len() <= 253 && name.split('.').all(is_label) {
            return Ok(Self(text));
        }
        Err(de::Error::custom(format!("{text:?} is no host; otp.acme.com, *.acme.com or * would be")))
    }
}

/// A key of an annotation, or the beginning of several and `*`, or `*` for all.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Key(String);

impl Key {
    fn allows(&self, key: &str) -> bool {
        self.0.strip_suffix('*').map_or(self.0 == key, |beginning| key.starts_with(beginning))
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let beginning = text.strip_suffix('*').unwrap_or(&text);
        let inside = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/');
        if !text.is_empty() && text.len() <= 317 && beginning.bytes().all(inside) {
            return Ok(Self(text));
        }
        Err(de::Error::custom(format!("{text:?} is no annotation's key; example.com/key, example.com/* or * would be")))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A part of what is made for a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum WorkloadPart {
    /// The Ingress.
    Ingress,
    /// The Service.
    Service,
    /// The pods.
    Pods,
}

/// Something that is not allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenancyRefusal {
    /// What is left as it is because of it.
    pub part: WorkloadPart,
    /// What is asked for, what would be allowed, and who can change that.
    pub message: String,
}

impl Tenancy {
    /// The private ranges that may be called from a namespace besides those that every namespace may.
    #[must_use]
    pub fn ranges(&self, namespace: &str) -> &[IpNet] {
        self.rule(namespace, |limits| limits.allowed_cidrs.as_deref()).map(|(ranges, _)| ranges).unwrap_or_default()
    }

    /// Why a gateway's public host is not allowed; nothing when it is.
    #[must_use]
    pub fn refused_host(&self, namespace: &str, spec: &TelephonyGatewaySpec) -> Option<String> {
        let (hosts, path) = self.rule(namespace, |limits| limits.hosts.as_deref())?;
        let host = public_host(spec);
        let allowed = hosts.iter().any(|known| known.allows(&host));
        (!allowed).then(|| message("spec.publicURL", "the host", &host, hosts, &format!("{path}.hosts")))
    }

    /// What a gateway asks for that is not allowed in its namespace.
    #[must_use]
    pub fn refused(&self, namespace: &str, spec: &TelephonyGatewaySpec) -> Vec<TenancyRefusal> {
        let mut refused = Vec::new();
        let mut refuse = |part, message| refused.push(TenancyRefusal { part, message });
        if let Some(message) = self.refused_host(namespace, spec) {
            refuse(WorkloadPart::Ingress, message);
        }
        let service = spec.service.as_ref();
        let given = [
            (WorkloadPart::Ingress, spec.ingress.as_ref().and_then(|ingress| ingress.annotations.as_ref())),
            (WorkloadPart::Service, service.and_then(|service| service.annotations.as_ref())),
            (WorkloadPart::Pods, spec.pod_annotations.as_ref()),
        ];
        for (part, given) in given {
            let Some((keys, path)) = self.rule(namespace, |limits| limits.annotations(part)) else { continue };
            let mut given = given.into_iter().flat_map(BTreeMap::keys);
            if let Some(key) = given.find(|key| !keys.iter().any(|known| known.allows(key))) {
                let (field, value) = match part {
                    WorkloadPart::Ingress => ("spec.ingress.annotations", "ingressAnnotations"),
                    WorkloadPart::Service => ("spec.service.annotations", "serviceAnnotations"),
                    WorkloadPart::Pods => ("spec.podAnnotations", "podAnnotations"),
                };
                refuse(part, message(field, "the annotation", key, keys, &format!("{path}.{value}")));
            }
        }
        let asked = service.and_then(|service| service.service_type).unwrap_or_default();
        if let Some((types, path)) = self.rule(namespace, |limits| limits.service_types.as_deref())
            && !types.contains(&asked)
        {
            let names: Vec<&str> = types.iter().map(|allowed| allowed.as_str()).collect();
            let path = format!("{path}.serviceTypes");
            refuse(WorkloadPart::Service, message("spec.service.type", "the type", asked.as_str(), &names, &path));
        }
        refused
    }

    /// What is said of a field for a namespace, and where; nothing when it is not limited.
    fn rule<'t, T>(&'t self, namespace: &str, of: impl Fn(&'t Limits) -> Option<&'t [T]>) -> Option<(&'t [T], String)> {
        let own = self.namespaces.get(namespace).and_then(&of);
        own.map(|allowed| (allowed, format!("tenancy.namespaces.{namespace}")))
            .or_else(|| Some((of(&self.default)?, "tenancy.default".to_owned())))
    }
}

/// All that is not allowed, for a condition.
#[must_use]
pub fn sentence(refused: &[TenancyRefusal]) -> String {
    let all = refused.iter().map(|refusal| refusal.message.as_str());
    let all: Vec<&str> = all.chain(["What already exists is not changed."]).collect();
    all.join(" ")
}

fn message(field: &str, what: &str, asked: &str, allowed: &[impl fmt::Display], path: &str) -> String {
    let names: Vec<String> = allowed.iter().take(MOST_NAMED).map(ToString::to_string).collect();
    let names = match allowed.len() {
        0 => "none is".to_owned(),
        all if all > MOST_NAMED => format!("{} and {} more are", names.join(", "), all - MOST_NAMED),
        1 => format!("{} is", names.join(", ")),
        _ => format!("{} are", names.join(", ")),
    };
    format!(
        "{field} asks for {what} {asked}, which this installation does not allow here; {names} allowed. Whoever installs \
         Hookswitch can change that: {path} in the chart's values."
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn tenancy(text: &Value) -> Tenancy {
        text.to_string().parse().unwrap()
    }

    fn spec(more: &Value) -> TelephonyGatewaySpec {
        let mut whole = json!({"publicURL": "https://OTP.acme.com:8443/in", "policies": {"names": ["p"]}});
        for (field, value) in more.as_object().unwrap() {
            whole[field] = value.clone();
        }
        serde_json::from_value(whole).unwrap()
    }

    fn everything() -> Value {
        json!({
            "service": {"type": "LoadBalancer", "annotations": {"lb.example/internal": "true"}},
            "ingress": {"annotations": {"nginx.ingress.kubernetes.io/backend-protocol": "HTTPS", "other.example/x": ""}},
            "podAnnotations": {"sidecar.istio.io/inject": "false"},
        })
    }

    #[test]
    fn an_installation_that_says_nothing_allows_everything() {
        for silent in [json!({}), json!({"default": {}}), json!({"default": {}, "namespaces": {"ns": {}}})] {
            assert_eq!(tenancy(&silent).refused("ns", &spec(&everything())), []);
            assert!(tenancy(&silent).ranges("ns").is_empty(), "private addresses are refused as ever");
        }
    }

    #[test]
    fn each_part_is_refused_for_what_it_asks_for_and_nothing_else() {
        use WorkloadPart::{Ingress, Pods, Service};
        let rows = [
            (json!({"hosts": ["otp.acme.com"]}), vec![]),
            (json!({"hosts": ["Otp.Acme.com"]}), vec![]),
            (json!({"hosts": ["*.acme.com"]}), vec![]),
            (json!({"hosts": ["*.com"]}), vec![]),
            (json!({"hosts": ["*"]}), vec![]),
            (json!({"hosts": ["acme.com"]}), vec![Ingress]),
            (json!({"hosts": ["*.otp.acme.com"]}), vec![Ingress]),
            (json!({"hosts": ["otp.acme.com.evil.example"]}), vec![Ingress]),
            (json!({"hosts": ["*.cme.com"]}), vec![Ingress]),
            (json!({"hosts": []}), vec![Ingress]),
            (json!({"ingressAnnotations": ["*"]}), vec![]),
            (json!({"ingressAnnotations": ["nginx.ingress.kubernetes.io/*", "other.example/x"]}), vec![]),
            (json!({"ingressAnnotations": ["nginx.ingress.kubernetes.io/*"]}), vec![Ingress]),
            (json!({"ingressAnnotations": ["other.example/x", "nginx.ingress.kubernetes.io/backend"]}), vec![Ingress]),
            (json!({"ingressAnnotations": []}), vec![Ingress]),
            (json!({"serviceAnnotations": ["lb.example/internal"]}), vec![]),
            (json!({"serviceAnnotations": []}), vec![Service]),
            (json!({"podAnnotations": ["sidecar.*"]}), vec![]),
            (json!({"podAnnotations": ["prometheus.io/*"]}), vec![Pods]),
            (json!({"serviceTypes": ["ClusterIP", "LoadBalancer"]}), vec![]),
            (json!({"serviceTypes": ["ClusterIP"]}), vec![Service]),
            (json!({"serviceTypes": [], "serviceAnnotations": []}), vec![Service, Service]),
            (json!({"hosts": [], "ingressAnnotations": [], "podAnnotations": []}), vec![Ingress, Ingress, Pods]),
        ];
        for (limits, parts) in rows {
            let refused = tenancy(&json!({"default": limits})).refused("ns", &spec(&everything()));
            assert_eq!(refused.iter().map(|refusal| refusal.part).collect::<Vec<_>>(), parts, "{limits}");
        }
    }

    #[test]
    fn what_is_not_asked_for_is_not_refused_but_the_default_type_of_a_service_is_asked_for() {
        let nothing = json!({"ingressAnnotations": [], "serviceAnnotations": [], "podAnnotations": []});
        assert_eq!(tenancy(&json!({"default": nothing})).refused("ns", &spec(&json!({}))), []);
        let types = tenancy(&json!({"default": {"serviceTypes": ["LoadBalancer"]}}));
        assert_eq!(types.refused("ns", &spec(&json!({})))[0].part, WorkloadPart::Service);
    }

    #[test]
    fn a_namespace_gets_its_own_limits_field_by_field_and_the_default_ones_for_the_rest() {
        let tenancy = tenancy(&json!({
            "default": {"hosts": [], "serviceTypes": ["ClusterIP"], "allowedCIDRs": ["10.0.0.0/8"]},
            "namespaces": {"a": {"hosts": ["otp.acme.com"], "allowedCIDRs": ["192.168.1.0/24"]}, "b": {"allowedCIDRs": []}},
        }));
        let parts = |namespace| {
            let refused = tenancy.refused(namespace, &spec(&everything()));
            refused.into_iter().map(|refusal| refusal.part).collect::<Vec<_>>()
        };
        assert_eq!(parts("a"), [WorkloadPart::Service]);
        assert_eq!(parts("b"), [WorkloadPart::Ingress, WorkloadPart::Service]);
        let ranges = |namespace| tenancy.ranges(namespace).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!((ranges("a"), ranges("b")), (vec!["192.168.1.0/24".to_owned()], vec![]));
        assert_eq!(ranges("c"), ["10.0.0.0/8"]);
    }

    #[test]
    fn a_refusal_says_what_is_asked_what_is_allowed_and_who_can_change_it() {
        let hosts: Vec<String> = (0..7).map(|number| format!("otp{number}.acme.com")).collect();
        let many = tenancy(&json!({"namespaces": {"ns": {"hosts": hosts}}}));
        let refusal = many.refused_host("ns", &spec(&json!({}))).unwrap();
        assert_eq!(
            refusal,
            "spec.publicURL asks for the host otp.acme.com, which this installation does not allow here; otp0.acme.com, \
             otp1.acme.com, otp2.acme.com, otp3.acme.com, otp4.acme.com and 2 more are allowed. Whoever installs Hookswitch can \
             change that: tenancy.namespaces.ns.hosts in the chart's values."
        );
        let none = tenancy(&json!({"default": {"serviceTypes": []}})).refused("ns", &spec(&everything()));
        assert!(none[0].message.contains("the type LoadBalancer") && none[0].message.contains("none is allowed"));
        assert!(none[0].message.contains("tenancy.default.serviceTypes"));
    }

    #[test]
    fn what_would_allow_something_else_than_it_seems_to_is_refused_at_start() {
        for bad in [
            json!({"defaults": {}}),
            json!({"default": {"host": []}}),
            json!({"default": {"hosts": ["https://otp.acme.com"]}}),
            json!({"default": {"hosts": ["otp.acme.com:443"]}}),
            json!({"default": {"hosts": ["*acme.com"]}}),
            json!({"default": {"hosts": ["otp.*.com"]}}),
            json!({"default": {"hosts": ["acme..com"]}}),
            json!({"default": {"hosts": [""]}}),
            json!({"default": {"podAnnotations": ["a*b"]}}),
            json!({"default": {"podAnnotations": [""]}}),
            json!({"default": {"serviceTypes": ["ExternalName"]}}),
            json!({"default": {"allowedCIDRs": ["10.0.0.0/33"]}}),
            json!({"namespaces": []}),
        ] {
            assert!(bad.to_string().parse::<Tenancy>().is_err(), "{bad}");
        }
    }
}
