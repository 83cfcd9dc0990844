//! What a gateway's objects are called, and what the Secrets that the operator writes for it look like.

use std::collections::BTreeMap;

use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{ResourceExt as _, api::ObjectMeta};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::operator::runtime::{error::ReconcileError, problem::Problem};
use hookswitch_api::{TelephonyGateway, TelephonyGatewaySpec, reason::Ready};
use hookswitch_gateway_config::{document::Report, envelope};
use hookswitch_message as message;

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
/// Name in the report's certificate; the operator pins the certificate and asks for this name.
pub const REPORT_NAME: &str = "gateway.hookswitch.internal";
/// Port of the report.
pub const REPORT_PORT: u16 = 9_443;
/// The longest name of a gateway: a Service's name has at most 63 characters.
const LONGEST_NAME: usize = 48;
/// Names of a gateway's objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    gateway: String,
    /// Where they are.
    pub namespace: String,
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
            return Err(Problem::permanent(Ready::InvalidSpec, message));
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

    /// Secrets that the operator writes for a gateway.
    fn written(&self, spec: &TelephonyGatewaySpec) -> Vec<&str> {
        let tls = spec.tls.is_none().then_some(self.tls.as_str());
        [self.config.as_str(), self.report.as_str()].into_iter().chain(tls).collect()
    }

    /// Whether a gateway names a Secret of the user's where the operator writes one of its own, for this gateway or another of
    /// the namespace. Whoever fills it, such as cert-manager, would write against the operator.
    ///
    /// # Errors
    /// [`Problem`] that names the field.
    pub fn check_secrets<'g>(
        gateway: &TelephonyGateway,
        all: impl IntoIterator<Item = &'g TelephonyGateway>,
    ) -> Result<(), Problem> {
        let tls = gateway.spec.tls.as_ref().map(|tls| ("spec.tls.secretRef", &tls.secret_ref.name));
        let ingress = gateway.spec.ingress.as_ref().and_then(|ingress| ingress.tls_secret_ref.as_ref());
        let ingress = ingress.map(|secret| ("spec.ingress.tlsSecretRef", &secret.name));
        let given: Vec<_> = tls.into_iter().chain(ingress).collect();
        for other in all {
            let Ok(names) = Self::of(other) else { continue };
            let written = names.written(&other.spec);
            if let Some((field, secret)) = given.iter().find(|(_, secret)| written.contains(&secret.as_str())) {
                let message = format!(
                    "{field} names Secret {secret}, which the operator writes itself for TelephonyGateway {}. Name another one.",
                    names.gateway
                );
                return Err(Problem::permanent(Ready::InvalidSpec, message));
            }
        }
        Ok(())
    }

    /// Labels by which a gateway's pods are found.
    #[must_use]
    pub fn selector(&self) -> Value {
        json!({
            "app.kubernetes.io/name": "hookswitch",
            "app.kubernetes.io/component": "gateway",
            GATEWAY_LABEL: self.gateway,
        })
    }

    /// Labels of an object of the gateway.
    #[must_use]
    pub fn labels(&self) -> Value {
        let mut labels = self.selector();
        labels["app.kubernetes.io/managed-by"] = "hookswitch".into();
        labels
    }

    /// Metadata of an object of the gateway.
    #[must_use]
    pub fn meta(&self, name: &str) -> Value {
        json!({"name": name, "namespace": self.namespace, "labels": self.labels()})
    }

    /// The configuration's Secret.
    ///
    /// # Errors
    /// [`ReconcileError::Encoding`], which does not happen.
    pub fn config(&self, sealed: Vec<u8>) -> Result<Secret, ReconcileError> {
        self.secret(&self.config, "Opaque", [(envelope::KEY, sealed)].into())
    }

    /// The report's Secret.
    ///
    /// # Errors
    /// As [`Self::config`].
    pub fn report(&self, report: &Report) -> Result<Secret, ReconcileError> {
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
    pub fn tls(&self, certificate: &str, key: &message::Secret<String>) -> Result<Secret, ReconcileError> {
        let data = [("tls.crt", certificate.as_bytes().to_vec()), ("tls.key", key.expose().as_bytes().to_vec())];
        let mut secret = self.secret(&self.tls, "kubernetes.io/tls", data.into())?;
        let said = [("hookswitch.dev/publicly-trusted".to_owned(), "false".to_owned())];
        secret.metadata.annotations = Some(said.into());
        Ok(secret)
    }

    fn secret(&self, name: &str, kind: &str, data: BTreeMap<&str, Vec<u8>>) -> Result<Secret, ReconcileError> {
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

/// An object of a kind out of JSON.
///
/// # Errors
/// [`ReconcileError::Encoding`], which does not happen.
pub fn typed<T: DeserializeOwned>(value: Value, what: &str) -> Result<T, ReconcileError> {
    serde_json::from_value(value).map_err(|_| ReconcileError::encoding(format!("build {what}")))
}
