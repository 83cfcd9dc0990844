//! The objects that a gateway is made of. Pure.

use std::time::Duration;

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Service, ServiceAccount},
    networking::v1::Ingress,
    policy::v1::PodDisruptionBudget,
    rbac::v1::{Role, RoleBinding},
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::operator::{
    model::gateway_names::{Names, REPORT_PORT, public_host, typed},
    options::Options,
    runtime::error::ReconcileError,
};
use hookswitch_api::{IngressSpec, ServiceSpec, TelephonyGatewaySpec};

/// Time to end that a pod has after its lame duck: the last calls, and some for a slow node.
const TO_END: Duration = Duration::from_secs(20);
/// Mode of mounted Secrets. Any user may read them: which one the container runs as is the platform's choice, and nobody
/// else is in the pod.
const MODE: u32 = 0o444;

/// The path under which Okta calls the hooks, which begins with that of `publicURL`.
fn hooks_path(spec: &TelephonyGatewaySpec) -> String {
    let url = spec.hook_url("");
    let rest = url.strip_prefix("https://").unwrap_or(&url);
    rest.find('/').map_or_else(|| "/hooks/".to_owned(), |at| rest[at..].to_owned())
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

impl Workload<'_> {
    /// The pods' identity.
    ///
    /// # Errors
    /// [`ReconcileError::Encoding`], which does not happen; as for the other builders.
    pub fn service_account(&self) -> Result<ServiceAccount, ReconcileError> {
        typed(
            json!({"metadata": self.names.meta(&self.names.workload), "automountServiceAccountToken": false}),
            "the ServiceAccount",
        )
    }

    /// The pods may follow their configuration's Secret and nothing else.
    ///
    /// # Errors
    /// As [`Self::service_account`].
    pub fn role(&self) -> Result<Role, ReconcileError> {
        let rule = json!({
            "apiGroups": [""], "resources": ["secrets"], "resourceNames": [self.names.config], "verbs": ["get", "list", "watch"],
        });
        typed(json!({"metadata": self.names.meta(&self.names.workload), "rules": [rule]}), "the Role")
    }

    /// Gives the role to the pods' identity.
    ///
    /// # Errors
    /// As [`Self::service_account`].
    pub fn role_binding(&self) -> Result<RoleBinding, ReconcileError> {
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
    pub fn service(&self) -> Result<Service, ReconcileError> {
        let wanted = self.spec.service.clone().unwrap_or_default();
        let kind = wanted.service_type.unwrap_or_default().as_str();
        let mut meta = self.names.meta(&self.names.workload);
        put(&mut meta, "annotations", wanted.annotations.as_ref().filter(|annotations| !annotations.is_empty()));
        let mut spec = json!({
            "type": kind,
            "selector": self.names.selector(),
            "ports": [{"name": "https", "port": wanted.port(), "targetPort": "https", "protocol": "TCP"}],
        });
        put(&mut spec, "loadBalancerClass", wanted.load_balancer_class);
        put(
            &mut spec,
            "loadBalancerSourceRanges",
            wanted.load_balancer_source_ranges.filter(|ranges| !ranges.is_empty()),
        );
        put(&mut spec, "externalTrafficPolicy", wanted.external_traffic_policy);
        put(&mut spec, "ipFamilyPolicy", wanted.ip_family_policy);
        put(&mut spec, "ipFamilies", wanted.ip_families);
        typed(json!({"metadata": meta, "spec": spec}), "the Service")
    }

    /// The pods. A changed configuration or certificate does not restart them: they follow both.
    ///
    /// # Errors
    /// As [`Self::service_account`].
    pub fn deployment(&self) -> Result<Deployment, ReconcileError> {
        let names = self.names;
        let tls = self.spec.tls.as_ref().map_or(&names.tls, |tls| &tls.secret_ref.name);
        let probe = |path: &str, period: u32, failures: u32| json!({"httpGet": {"path": path, "port": "metrics"}, "periodSeconds": period, "failureThreshold": failures});
        let mut container = json!({
            "name": "gateway",
            "image": self.options.image,
            "args": ["gateway", "--secret-name", names.config, "--lame-duck", self.spec.lame_duck().to_string()],
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
        put(&mut container, "resources", self.spec.resources.as_ref());
        put(&mut container, "imagePullPolicy", self.options.image_pull_policy.as_ref());
        let mut pod = json!({
            "serviceAccountName": names.workload,
            "automountServiceAccountToken": true,
            "enableServiceLinks": false,
            "terminationGracePeriodSeconds": (self.spec.lame_duck().get() + TO_END).as_secs(),
            "securityContext": self.security_context(),
            "containers": [container],
            "topologySpreadConstraints": self.spread(),
            "volumes": [
                {"name": "config", "secret": {"secretName": names.config, "defaultMode": MODE}},
                {"name": "tls", "secret": {"secretName": tls, "defaultMode": MODE}},
            ],
        });
        put(&mut pod, "imagePullSecrets", Some(self.pull_secrets()).filter(|secrets| !secrets.is_empty()));
        put(&mut pod, "nodeSelector", self.spec.node_selector.as_ref().filter(|selector| !selector.is_empty()));
        put(&mut pod, "tolerations", self.spec.tolerations.as_ref().filter(|tolerations| !tolerations.is_empty()));
        put(&mut pod, "affinity", self.spec.affinity.as_ref());
        put(&mut pod, "priorityClassName", self.spec.priority_class_name.as_ref());
        let mut meta = json!({"labels": self.spec.pod_labels.clone().unwrap_or_default()});
        merge(&mut meta["labels"], names.labels());
        put(&mut meta, "annotations", self.spec.pod_annotations.as_ref().filter(|annotations| !annotations.is_empty()));
        typed(
            json!({
                "metadata": names.meta(&names.workload),
                "spec": {
                    "replicas": self.spec.replicas(),
                    "selector": {"matchLabels": names.selector()},
                    "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
                    "progressDeadlineSeconds": 120,
                    "template": {"metadata": meta, "spec": pod},
                },
            }),
            "the Deployment",
        )
    }

    /// What the pods may do. As whom they run is said only when the installation says it: the image has a user of its own,
    /// and some platforms give each namespace another.
    fn security_context(&self) -> Value {
        let mut context = json!({"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}});
        put(&mut context, "runAsUser", self.options.run_as_user);
        put(&mut context, "runAsGroup", self.options.run_as_group);
        put(&mut context, "fsGroup", self.options.fs_group);
        context
    }

    /// How the pods are spread: as declared, else over nodes and zones as far as there are any.
    fn spread(&self) -> Value {
        let ours = json!({"matchLabels": self.names.selector()});
        if let Some(declared) = self.spec.topology_spread_constraints.as_ref().filter(|declared| !declared.is_empty()) {
            let mut declared = json!(declared);
            for constraint in declared.as_array_mut().into_iter().flatten() {
                if constraint["labelSelector"].is_null() {
                    constraint["labelSelector"] = ours.clone();
                }
            }
            return declared;
        }
        let spread = |key: &str| json!({"maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": ours});
        json!([spread("kubernetes.io/hostname"), spread("topology.kubernetes.io/zone")])
    }

    fn pull_secrets(&self) -> Vec<Value> {
        let named = |name: &str| json!({"name": name});
        match &self.spec.image_pull_secrets {
            Some(secrets) => secrets.iter().map(|secret| named(&secret.name)).collect(),
            None => {
                self.options.image_pull_secrets.iter().filter(|name| !name.is_empty()).map(|name| named(name)).collect()
            }
        }
    }

    /// Keeps drains from taking more than one pod at once; none for a single pod, which it would keep from ever moving.
    ///
    /// # Errors
    /// As [`Self::service_account`].
    pub fn disruption_budget(&self) -> Result<Option<PodDisruptionBudget>, ReconcileError> {
        if self.spec.replicas() < 2 {
            return Ok(None);
        }
        let budget = json!({
            "metadata": self.names.meta(&self.names.workload),
            "spec": {"maxUnavailable": 1, "selector": {"matchLabels": self.names.selector()}},
        });
        typed(budget, "the PodDisruptionBudget").map(Some)
    }

    /// The Ingress for the host of `publicURL`, when one is asked for. It never names the Secret of the generated certificate:
    /// cert-manager fills the Secret that an Ingress names.
    ///
    /// # Errors
    /// As [`Self::service_account`].
    pub fn ingress(&self) -> Result<Option<Ingress>, ReconcileError> {
        let Some(wanted) = &self.spec.ingress else { return Ok(None) };
        let IngressSpec { class_name, annotations, tls_secret_ref } = wanted;
        let host = public_host(self.spec);
        let mut meta = self.names.meta(&self.names.workload);
        put(&mut meta, "annotations", annotations.as_ref().filter(|annotations| !annotations.is_empty()));
        let mut tls = json!({"hosts": [host]});
        let given = tls_secret_ref.as_ref().or(self.spec.tls.as_ref().map(|tls| &tls.secret_ref));
        put(&mut tls, "secretName", given.map(|secret| &secret.name));
        let port = self.spec.service.as_ref().map_or_else(|| ServiceSpec::default().port(), ServiceSpec::port);
        let backend = json!({"service": {"name": self.names.workload, "port": {"number": port}}});
        let path = hooks_path(self.spec);
        let mut spec = json!({
            "rules": [{"host": host, "http": {"paths": [{"path": path, "pathType": "Prefix", "backend": backend}]}}],
            "tls": [tls],
        });
        put(&mut spec, "ingressClassName", class_name.as_ref());
        typed(json!({"metadata": meta, "spec": spec}), "the Ingress").map(Some)
    }
}

/// Sets a field when there is a value for it.
fn put(object: &mut Value, field: &str, value: Option<impl Serialize>) {
    if let Some(value) = value {
        object[field] = json!(value);
    }
}

/// Puts the fields of one object into another, over those it has.
fn merge(object: &mut Value, over: Value) {
    if let (Value::Object(object), Value::Object(over)) = (object, over) {
        object.extend(over);
    }
}

#[cfg(test)]
mod tests;
