//! What a hook refers to, read and not judged.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;

use super::super::{context::Context, pass::PassError, reports::Serving};
use crate::api::{OktaOrg, TelephonyGateway, TelephonyHook};

/// What a hook refers to.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The gateway that is its target.
    pub gateway: Option<Arc<TelephonyGateway>>,
    /// The org, when the hook has an `okta` block.
    pub org: Option<Arc<OktaOrg>>,
    /// The Secret with its value.
    pub secret: Option<Arc<Secret>>,
    /// Whether the gateway serves it.
    pub serving: Serving,
}

/// Reads what a hook refers to.
///
/// # Errors
/// [`PassError`] when the Secret cannot be read.
pub async fn dereference(hook: &TelephonyHook, ctx: &Context) -> Result<Facts, PassError> {
    let namespace = hook.namespace().unwrap_or_default();
    let gateway = &hook.spec.target.gateway_ref.name;
    Ok(Facts {
        gateway: ctx.caches.gateways.get(&namespace, gateway),
        org: hook.spec.okta.as_ref().and_then(|okta| ctx.caches.orgs.get(&namespace, &okta.org_ref.name)),
        secret: ctx.references.secret(&namespace, &super::secret_key(hook).name).await?,
        serving: ctx.reports.serving(&namespace, gateway, &hook.name_any()),
    })
}
