//! The objects that a gateway is made of. Pure.

use std::collections::BTreeMap;

use k8s_openapi::{
    ByteString,
    api::{
        apps::v1::Deployment,
        core::v1::{Secret, Service, ServiceAccount},
        networking::v1::Ingress,
        policy::v1::PodDisruptionBudget,
        rbac::v1::{Role, RoleBinding},
    },
};
use kube::{ResourceExt as _, api::ObjectMeta};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::super::{options::Options, pass::PassError, problem::Problem};
use crate::{
    api::{ServiceType, TelephonyGateway, TelephonyGatewaySpec, reason::Ready},
    config::{document::Report, envelope},
    message,
};

/// Selects everything that belongs to gateways.
pub const OWNED_LABEL: &str = "app.kubernetes.io/managed-by=hookswitch,app.kubernetes.io/component=gateway";
/// The label with the gateway's name.
pub const GATEWAY_LABEL: &str = "hookswitch.dev/gateway";
/// Key of the report's token.
pub const REPORT_TOKEN: &str = "token";
/// Key of the report's certificate.
pub const REPORT_CERTIFICATE: &str = "tls.crt";
/// Key of the report's private key.
pub const REPORT_KEY: &str = "tls.key";
/// Port of the report.
pub const REPORT_PORT: u16 = 9_443;
/// The longest name of a gateway: a Service's name has at most 63 characters.
const LONGEST_NAME: usize = 48;

/// Names of a gateway's objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    gateway: String,
    namespace: String,
    /// Deployment, Service, `ServiceAccount`, Role, budget, Ingress.
    pub workload: String,
    /// The configuration's Secret.
    pub config: String,
    /// The report's Secret.
    pub report: String,
    /// The generated certificate's Secret.
    pub tls: String,
}

impl Names {
    /// Names of the objects of a gateway.
    ///
    /// # Errors
    /// [`Problem`] when the gateway's own name leaves no room for them.
    pub fn of(gateway: &TelephonyGateway) -> Result<Self, Problem> {
        let name = gateway.name_any();
        if name.len() > LONGEST_NAME || name.contains('.') {
            let message = format!(
                "metadata.name must have at most {LONGEST_NAME} characters and no dot: the gateway's Service is named after it. \
                 Make another TelephonyGateway."
            );
            return Err(Problem::lasting(Ready::InvalidSpec, message));
        }
        Ok(Self {
            namespace: gateway.namespace().unwrap_or_default(),
            workload: format!("{name}-gateway"),
            config: format!("{name}-gateway-config"),
            report: format!("{name}-gateway-report"),
            tls: format!("{name}-gateway-tls"),
            gateway: name,
        })
    }

    /// Host names of a gateway, the public one first.
    #[must_use]
    pub fn hosts(&self, gateway: &TelephonyGateway) -> Vec<String> {
        let service = format!("{}.{}.svc", self.workload, self.namespace);
        let public = public_host(&gateway.spec);
        let inside = [format!("{service}.cluster.local"), service].into_iter().filter(|host| *host != public);
        let mut hosts = vec![public.clone()];
        hosts.extend(inside);
        hosts
    }

    pub(super) fn selector(&self) -> Value {
        json!({
            "app.kubernetes.io/name": "hookswitch",
            "app.kubernetes.io/component": "gateway",
            GATEWAY_LABEL: self.gateway,
        })
    }

    fn labels(&self) -> Value {
        let mut labels = self.selector();
        labels["app.kubernetes.io/managed-by"] = "hookswitch".into();
        labels
    }

    pub(super) fn meta(&self, name: &str) -> Value {
        json!({"name": name, "namespace": self.namespace, "labels": self.labels()})
    }

    /// The configuration's Secret.
    ///
    /// # Errors
    /// [`PassError::Encoding`], which does not happen.
    pub fn config(&self, sealed: Vec<u8>) -> Result<Secret, PassError> {
        self.secret(&self.config, "Opaque", [(envelope::KEY, sealed)].into())
    }

    /// The report's Secret.
    ///
    /// # Errors
    /// As [`Self::config`].
    pub fn report(&self, report: &Report) -> Result<Secret, PassError> {
        let data = [
            (REPORT_TOKEN, report.token.expose().clone()),
            (REPORT_CERTIFICATE, report.certificate.clone()),
            (REPORT_KEY, report.key.expose().clone()),
        ];
        self.secret(&self.report, "Opaque", data.map(|(key, text)| (key, text.into_bytes())).into())
    }

    /// The Secret of a generated serving certificate.
    ///
    /// # Errors
    /// As [`Self::config`].
    pub fn tls(&self, certificate: &str, key: &message::Secret<String>) -> Result<Secret, PassError> {
        let data = [("tls.crt", certificate.as_bytes().to_vec()), ("tls.key", key.expose().as_bytes().to_vec())];
        let mut secret = self.secret(&self.tls, "kubernetes.io/tls", data.into())?;
        let said = [("hookswitch.dev/publicly-trusted".to_owned(), "false".to_owned())];
        secret.metadata.annotations = Some(said.into());
        Ok(secret)
    }

    fn secret(&self, name: &str, kind: &str, data: BTreeMap<&str, Vec<u8>>) -> Result<Secret, PassError> {
        let metadata: ObjectMeta = typed(self.meta(name), "a Secret")?;
        let data = data.into_iter().map(|(key, bytes)| (key.to_owned(), ByteString(bytes))).collect();
        Ok(Secret { metadata, type_: Some(kind.to_owned()), data: Some(data), ..Secret::default() })
    }
}

/// The host of `publicURL`.
#[must_use]
pub fn public_host(spec: &TelephonyGatewaySpec) -> String {
    let rest = spec.public_url.strip_prefix("https://").unwrap_or(&spec.public_url);
    rest.split(['/', ':']).next().unwrap_or_default().to_ascii_lowercase()
}

/// Builds the objects that run and expose a gateway.
pub struct Workload<'a> {
    /// Their names.
    pub names: &'a Names,
    /// The gateway.
    pub spec: &'a TelephonyGatewaySpec,
    /// The installation's settings.
    pub options: &'a Options,
}

pub(super) fn typed<T: DeserializeOwned>(value: Value, what: &str) -> Result<T, PassError> {
    serde_json::from_value(value).map_err(|_| PassError::encoding(format!("build {what}")))
}

impl Workload<'_> {
    /// The pods' identity.
    ///
    /// # Errors
    /// [`PassError::Encoding`], which does not happen; as for the other builders.
    pub fn service_account(&self) -> Result<ServiceAccount, PassError> {
        typed(
            json!({"metadata": self.names.meta(&self.names.workload), "automountServiceAccountToken": false}),
            "the ServiceAccount",
        )
    }

    /// The pods may follow their configuration's Secret and nothing else.
    ///
    /// # Errors
    /// As [`Self::service_account`].
    pub fn role(&self) -> Result<Role, PassError> {
        let rule = json!({
            "apiGroups": [""], "resources": ["secrets"], "resourceNames": [self.names.config], "verbs": ["get", "list", "watch"],
        });
        typed(json!({"metadata": self.names.meta(&self.names.workload), "rules": [rule]}), "the Role")
    }

    /// Gives the role to the pods' identity.
    ///
    /// # Errors
    /// As [`Self::service_account`].
    pub fn role_binding(&self) -> Result<RoleBinding, PassError> {
        let name = &self.names.workload;
        typed(
            json!({
                "metadata": self.names.meta(name),
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
                "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": self.names.namespace}],
            }),
            "the RoleBinding",
        )
    }

    /// The Service in front of the pods.
    ///
    /// # Errors
    /// As [`Self::service_account`].
    pub fn service(&self) -> Result<Service, PassError> {
        let wanted = self.spec.service.clone().unwrap_or_default();
        let kind = match wanted.service_type.unwrap_or_default() {
            ServiceType::ClusterIP => "ClusterIP",
            ServiceType::NodePort => "NodePort",
            ServiceType::LoadBalancer => "LoadBalancer",
        };
        let mut meta = self.names.meta(&self.names.workload);
        if let Some(annotations) = wanted.annotations.as_ref().filter(|annotations| !annotations.is_empty()) {
            meta["annotations"] = json!(annotations);
        }
        typed(
            json!({
                "metadata": meta,
                "spec": {
                    "type": kind,
                    "selector": self.names.selector(),
                    "ports": [{"name": "https", "port": wanted.port(), "targetPort": "https", "protocol": "TCP"}],
                },
            }),
            "the Service",
        )
    }

    /// The pods. A changed configuration or certificate does not restart them: they follow both.
    ///
    /// # Errors
    /// As [`Self::service_account`].
    pub fn deployment(&self) -> Result<Deployment, PassError> {
        let names = self.names;
        let tls = self.spec.tls.as_ref().map_or(&names.tls, |tls| &tls.secret_ref.name);
        let probe = |path: &str, period: u32, failures: u32| json!({"httpGet": {"path": path, "port": "metrics"}, "periodSeconds": period, "failureThreshold": failures});
        let mut container = json!({
            "name": "gateway",
            "image": self.options.image,
            "args": ["gateway", "--secret-name", names.config, "--lame-duck", "10s"],
            "env": [
                {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                {"name": "HOOKSWITCH_LOG", "value": self.options.log},
            ],
            "ports": [
                {"name": "https", "containerPort": 8443},
                {"name": "report", "containerPort": REPORT_PORT},
                {"name": "metrics", "containerPort": 9090},
            ],
            "startupProbe": probe("/livez", 1, 60),
            "livenessProbe": probe("/livez", 10, 6),
            "readinessProbe": probe("/readyz", 1, 2),
            "resources": {"requests": {"cpu": "50m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}},
            "securityContext": {
                "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
            },
            "volumeMounts": [
                {"name": "config", "mountPath": "/etc/hookswitch/config", "readOnly": true},
                {"name": "tls", "mountPath": "/etc/hookswitch/tls", "readOnly": true},
            ],
        });
        if let (Some(keep_alive), Some(args)) = (&self.spec.keep_alive, container["args"].as_array_mut()) {
            args.extend([json!("--keep-alive"), json!(keep_alive)]);
        }
        if let Some(resources) = &self.spec.resources {
            container["resources"] = json!(resources);
        }
        if let Some(policy) = &self.options.image_pull_policy {
            container["imagePullPolicy"] = json!(policy);
        }
        let spread = |key: &str| {
            json!({
                "maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": names.selector()},
            })
        };
        let mut pod = json!({
            "serviceAccountName": names.workload,
            "automountServiceAccountToken": true,
            "enableServiceLinks": false,
            "terminationGracePeriodSeconds": 30,
            "securityContext": {
                "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
            "topologySpreadConstraints": [spread("kubernetes.io/hostname"), spread("topology.kubernetes.io/zone")],
            "volumes": [
                {"name": "config", "secret": {"secretName": names.config, "defaultMode": 0o440}},
                {"name": "tls", "secret": {"secretName": tls, "defaultMode": 0o440}},
            ],
        });
        let secrets: Vec<_> = self
            .options
            .image_pull_secrets
            .iter()
            .filter(|name| !name.is_empty())
            .map(|name| json!({"name": name}))
            .collect();
        if !secrets.is_empty() {
            pod["imagePullSecrets"] = json!(secrets);
        }
        if let Some(selector) = self.spec.node_selector.as_ref().filter(|selector| !selector.is_empty()) {
            pod["nodeSelector"] = json!(selector);
        }
        if let Some(tolerations) = self.spec.tolerations.as_ref().filter(|tolerations| !tolerations.is_empty()) {
            pod["tolerations"] = json!(tolerations);
        }
        typed(
            json!({
                "metadata": names.meta(&names.workload),
                "spec": {
                    "replicas": self.spec.replicas(),
                    "selector": {"matchLabels": names.selector()},
                    "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
                    "progressDeadlineSeconds": 120,
                    "template": {"metadata": {"labels": names.labels()}, "spec": pod},
                },
            }),
            "the Deployment",
        )
    }

    /// Keeps drains from taking more than one pod at once; none for a single pod, which it would keep from ever moving.
    ///
    /// # Errors
    /// As [`Self::service_account`].
    pub fn disruption_budget(&self) -> Result<Option<PodDisruptionBudget>, PassError> {
        if self.spec.replicas() < 2 {
            return Ok(None);
        }
        let budget = json!({
            "metadata": self.names.meta(&self.names.workload),
            "spec": {"maxUnavailable": 1, "selector": {"matchLabels": self.names.selector()}},
        });
        typed(budget, "the PodDisruptionBudget").map(Some)
    }

    /// The Ingress for the host of `publicURL`, when one is asked for.
    ///
    /// # Errors
    /// As [`Self::service_account`].
    pub fn ingress(&self) -> Result<Option<Ingress>, PassError> {
        let Some(wanted) = &self.spec.ingress else { return Ok(None) };
        let host = public_host(self.spec);
        let mut meta = self.names.meta(&self.names.workload);
        if let Some(annotations) = wanted.annotations.as_ref().filter(|annotations| !annotations.is_empty()) {
            meta["annotations"] = json!(annotations);
        }
        let given = wanted.tls_secret_ref.as_ref().or(self.spec.tls.as_ref().map(|tls| &tls.secret_ref));
        let tls = given.map_or(&self.names.tls, |secret| &secret.name);
        let port = self.spec.service.clone().unwrap_or_default().port();
        let backend = json!({"service": {"name": self.names.workload, "port": {"number": port}}});
        let mut spec = json!({
            "rules": [{"host": host, "http": {"paths": [{"path": "/hooks/", "pathType": "Prefix", "backend": backend}]}}],
            "tls": [{"hosts": [host], "secretName": tls}],
        });
        if let Some(class) = &wanted.class_name {
            spec["ingressClassName"] = json!(class);
        }
        typed(json!({"metadata": meta, "spec": spec}), "the Ingress").map(Some)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::{super::network_policy, *};

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn options() -> Options {
        let line = [
            "x",
            "--image",
            "hookswitch/hookswitch:1",
            "--operator-namespace",
            "s",
            "--identity",
            "i",
            "--image-pull-secrets",
            "pull",
        ];
        Line::parse_from(line).options
    }

    fn gateway(spec: &Value) -> TelephonyGateway {
        let mut whole = json!({"publicURL": "https://otp.acme.com/in", "policies": {"names": ["p"]}});
        for (key, value) in spec.as_object().unwrap() {
            whole[key] = value.clone();
        }
        let object = json!({
            "apiVersion": "hookswitch.dev/v1alpha1", "kind": "TelephonyGateway",
            "metadata": {"name": "otp", "namespace": "ns", "generation": 1}, "spec": whole,
        });
        serde_json::from_value(object).unwrap()
    }

    fn built(spec: &Value) -> Value {
        let (gateway, options) = (gateway(spec), options());
        let names = Names::of(&gateway).unwrap();
        let workload = Workload { names: &names, spec: &gateway.spec, options: &options };
        json!({
            "serviceAccount": workload.service_account().unwrap(),
            "role": workload.role().unwrap(),
            "roleBinding": workload.role_binding().unwrap(),
            "service": workload.service().unwrap(),
            "deployment": workload.deployment().unwrap(),
            "disruptionBudget": workload.disruption_budget().unwrap(),
            "ingress": workload.ingress().unwrap(),
            "networkPolicy": network_policy::build(&names, &options).unwrap(),
        })
    }

    #[test]
    fn a_gateway_with_only_what_is_required_is_built_as_it_always_was() {
        insta::assert_yaml_snapshot!(built(&json!({})));
    }

    #[test]
    fn a_gateway_with_everything_is_built_as_it_always_was() {
        insta::assert_yaml_snapshot!(built(&json!({
            "replicas": 3,
            "keepAlive": "650s",
            "tls": {"secretRef": {"name": "otp-tls"}},
            "service": {"type": "LoadBalancer", "port": 8443, "annotations": {"lb": "internal"}},
            "ingress": {"className": "nginx", "annotations": {"nginx.ingress.kubernetes.io/backend-protocol": "HTTPS"}},
            "resources": {"limits": {"memory": "64Mi"}},
            "nodeSelector": {"disk": "ssd"},
            "tolerations": [{"key": "spot", "operator": "Exists"}],
        })));
    }

    #[test]
    fn pods_may_read_one_secret_by_name_and_nothing_else() {
        let built = built(&json!({}));
        let rule = json!({"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["otp-gateway-config"], "verbs": ["get", "list", "watch"]});
        assert_eq!(built["role"]["rules"], json!([rule]));
    }

    #[test]
    fn pods_fit_the_restricted_pod_security_standard() {
        let pod = built(&json!({}))["deployment"]["spec"]["template"]["spec"].clone();
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
        let container = &pod["containers"][0]["securityContext"];
        assert_eq!(
            (&container["allowPrivilegeEscalation"], &container["capabilities"]["drop"]),
            (&json!(false), &json!(["ALL"]))
        );
    }

    #[test]
    fn one_pod_has_no_disruption_budget() {
        assert_eq!(built(&json!({"replicas": 1}))["disruptionBudget"], Value::Null);
    }

    #[test]
    fn a_name_that_leaves_no_room_is_refused() {
        for name in ["a".repeat(49), "a.b".to_owned()] {
            let mut gateway = gateway(&json!({}));
            gateway.metadata.name = Some(name);
            assert_eq!(Names::of(&gateway).unwrap_err().reason, Ready::InvalidSpec);
        }
    }

    #[test]
    fn the_certificate_names_the_public_host_first() {
        let gateway = gateway(&json!({}));
        let hosts = Names::of(&gateway).unwrap().hosts(&gateway);
        assert_eq!(hosts, ["otp.acme.com", "otp-gateway.ns.svc.cluster.local", "otp-gateway.ns.svc"]);
    }
}
