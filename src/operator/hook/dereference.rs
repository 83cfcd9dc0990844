//! What a hook refers to, read and not judged.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;

use super::super::{context::Context, pass::PassError, reports::Serving, secret_value};
use crate::{
    api::{OktaOrg, TelephonyGateway, TelephonyHook},
    okta::ObjectRef,
};

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
    /// Whether every replica of the gateway takes the secret as it is now.
    pub accepted: bool,
}

/// Reads what a hook refers to.
///
/// # Errors
/// [`PassError`] when the Secret cannot be read.
pub async fn dereference(hook: &TelephonyHook, ctx: &Context) -> Result<Facts, PassError> {
    let namespace = hook.namespace().unwrap_or_default();
    let gateway = &hook.spec.target.gateway_ref.name;
    let (key, name) = (super::secret_key(hook), hook.name_any());
    let secret = ctx.references.secret(&namespace, &key.name).await?;
    let value = secret_value::hook_secret(secret.as_deref(), &namespace, &key).ok();
    let mark = value.map(|value| ctx.installation.key.secret(&ObjectRef::new(&namespace, &name), value.expose()));
    Ok(Facts {
        gateway: ctx.caches.gateways.get(&namespace, gateway),
        org: hook.spec.okta.as_ref().and_then(|okta| ctx.caches.orgs.get(&namespace, &okta.org_ref.name)),
        secret,
        serving: ctx.reports.serving(&namespace, gateway, &name),
        accepted: mark.is_some_and(|mark| ctx.reports.accepts(&namespace, gateway, &name, &mark)),
    })
}
