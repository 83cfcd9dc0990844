//! The credentials of a gateway's report, and the key of its probes that is made of them.

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;

use crate::operator::{
    model::gateway_names::{Names, REPORT_CERTIFICATE, REPORT_KEY, REPORT_TOKEN},
    runtime::{error::ReconcileError, references::References},
};
use hookswitch_api::TelephonyGateway;
use hookswitch_gateway_config::{document, probe};
use hookswitch_message as message;

/// The report's credentials, when the Secret holds them whole.
#[must_use]
pub fn credentials(secret: &Secret) -> Option<document::Report> {
    let text = |key: &str| String::from_utf8(secret.data.as_ref()?.get(key)?.0.clone()).ok();
    Some(document::Report {
        token: message::Secret::new(text(REPORT_TOKEN)?),
        certificate: text(REPORT_CERTIFICATE)?,
        key: message::Secret::new(text(REPORT_KEY)?),
    })
}

/// What makes and checks probes of a gateway's hooks; nothing while it has no credentials.
///
/// # Errors
/// [`ReconcileError`] when the API server does not answer.
pub async fn probe_key(
    gateway: &TelephonyGateway,
    references: &References,
) -> Result<Option<probe::Key>, ReconcileError> {
    let Ok(names) = Names::of(gateway) else { return Ok(None) };
    let namespace = gateway.namespace().unwrap_or_default();
    let secret = references.secret(&namespace, &names.report).await?;
    Ok(secret.as_deref().and_then(credentials).map(|report| probe::Key::of(&report)))
}
