//! `TelephonyHook`: its secret, and what is to be said of it.
//!
//! The hook in Okta is made and kept by the org's pass, since an org's hooks can only be changed together. This pass makes
//! the hook's secret, checks what the hook refers to, and writes status from what the org's last plan said of it.

mod build;
mod deletion;
mod dereference;
#[cfg(test)]
mod scale_tests;
pub mod status;
#[cfg(test)]
mod tests;
pub mod validate;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use kube::ResourceExt as _;
use url::Url;

use super::{
    cache::{Caches, Index},
    context::Context,
    namespace, org,
    pass::{PassError, Reconcile, Requeue},
    problem::Problem,
    references::Reference,
    switch::{
        self,
        ruling::{self, Declarations},
    },
    wake::{Kind, Target},
    watches,
};
use hookswitch_api::{HookTarget, KeyRef, TelephonyGateway, TelephonyHook, reason::Ready};
use hookswitch_failover::refusals::Door;
use hookswitch_okta::ObjectRef;

pub use dereference::{Facts, Place};
pub use validate::Endpoint;

/// How often a hook whose deletion waits is looked at.
const LEAVING_LOOK: Duration = Duration::from_secs(15);

impl Reconcile for TelephonyHook {
    const KIND: Kind = Kind::TelephonyHook;
    const READS: &'static [Kind] = &[Self::KIND, Kind::OktaOrg, Kind::HookSwitch, Kind::TelephonyGateway];

    fn index(caches: &Caches) -> &Index<Self> {
        &caches.hooks
    }

    fn dependents(&self, ctx: &Context) -> Vec<Target> {
        let namespace = self.namespace().unwrap_or_default();
        let org = switch::org_of(self, ctx);
        let gateway = self.spec.target.gateway();
        let gateway = gateway.map(|gateway| Target::new(Kind::TelephonyGateway, &namespace, gateway));
        let switches = ctx.caches.naming(&namespace, &self.name_any());
        let switches = switches.iter().map(|switch| watches::target(&**switch));
        org.into_iter().chain(gateway).chain(switches).collect()
    }

    fn watches(ctx: &Arc<Context>) -> Vec<BoxFuture<'static, ()>> {
        vec![namespace::watch(ctx)]
    }

    async fn reconcile(object: Arc<Self>, ctx: Arc<Context>) -> Result<Requeue, PassError> {
        follow(&object, &ctx);
        let Some(object) = deletion::settle(&object, &ctx).await? else { return Ok(Requeue::OnChange) };
        let denied = build::ensure_secret(&object, &ctx).await?;
        let declared = about(&object, &ctx);
        let (facts, endpoint) = place(&object, &declared, &ctx).await?;
        // no watch tells when what is denied is allowed
        let again = denied.is_some().then_some(Requeue::Retry);
        status::write(&object, &declared, &ctx, &facts, denied.map_or(endpoint, Err)).await?;
        doubt(&object, &declared, &ctx);
        let leaving = object.metadata.deletion_timestamp.is_some();
        Ok(if leaving { Requeue::After(LEAVING_LOOK) } else { again.unwrap_or(Requeue::OnChange) })
    }
}

/// Where the hook's secret is: the user's own, or the generated one.
#[must_use]
pub fn secret_key(hook: &TelephonyHook) -> KeyRef {
    hook.spec
        .auth_secret()
        .cloned()
        .unwrap_or_else(|| KeyRef { name: build::secret_name(hook), key: build::KEY.into() })
}

/// The address at which Okta is to call a hook; nothing while its gateway does not exist.
#[must_use]
pub fn address(hook: &TelephonyHook, gateway: Option<&TelephonyGateway>) -> Option<String> {
    match &hook.spec.target {
        HookTarget::Gateway(_) => gateway.map(|gateway| gateway.spec.hook_url(&hook.name_any())),
        HookTarget::Url(url) => Some(url.address.clone()),
    }
}

/// The host that is called at an address.
#[must_use]
pub fn host(address: &str) -> Option<String> {
    Url::parse(address).ok()?.host_str().map(str::to_owned)
}

/// The gateway that serves a hook, as it is known now.
#[must_use]
pub fn gateway_of(hook: &TelephonyHook, ctx: &Context) -> Option<Arc<TelephonyGateway>> {
    ctx.caches.gateways.get(&hook.namespace().unwrap_or_default(), hook.spec.target.gateway()?)
}

/// The hook's endpoint as Okta is to know it, or what is wrong with the hook. For the org's pass.
///
/// # Errors
/// [`PassError`] when the API server does not answer.
pub async fn endpoint(hook: &TelephonyHook, ctx: &Context) -> Result<(Facts, Result<Endpoint, Problem>), PassError> {
    let facts = dereference::dereference(hook, ctx).await?;
    let endpoint = validate::validate(hook, &facts);
    Ok((facts, endpoint))
}

/// What has a say about a hook.
#[must_use]
pub fn about(hook: &TelephonyHook, ctx: &Context) -> Declarations {
    ctx.caches.about(&hook.namespace().unwrap_or_default(), [hook.name_any().as_str()])
}

/// The place that Okta is to know for a hook: its own, or that of another which a switch points it at.
///
/// # Errors
/// [`PassError`] when the API server does not answer.
pub async fn place(
    hook: &TelephonyHook,
    declared: &Declarations,
    ctx: &Context,
) -> Result<(Facts, Result<Endpoint, Problem>), PassError> {
    let Some(repointed) = ruling::repointed(hook, declared) else {
        let (facts, endpoint) = endpoint(hook, ctx).await?;
        let waits = || Problem::passing(Ready::Waiting, "The HookSwitch has not decided yet where Okta should send.");
        return Ok((facts, if ruling::is_undecided(hook, declared) { endpoint.and(Err(waits())) } else { endpoint }));
    };
    if let Some(other) = declared.hook(&repointed.to) {
        return endpoint(other, ctx).await;
    }
    let (facts, _) = endpoint(hook, ctx).await?;
    let message = format!(
        "Okta was pointed at TelephonyHook {}, which no longer exists. Change this hook's spec, or name it in a HookSwitch.",
        repointed.to
    );
    Ok((facts, Err(Problem::passing(Ready::HookNotFound, message))))
}

/// Lets the secret that Okta has be written anew when the gateway refuses calls that may be Okta's, of an active hook that no
/// switch names: one that does knows more.
fn doubt(hook: &TelephonyHook, declared: &Declarations, ctx: &Context) {
    let (namespace, name) = (hook.namespace().unwrap_or_default(), hook.name_any());
    let active = hook.status.as_ref().and_then(|status| status.okta_state.as_deref()) == Some("ACTIVE");
    if !active || declared.naming(&name).len() > 0 {
        return;
    }
    let repointed = ruling::repointed(hook, declared).and_then(|to| declared.hook(&to.to));
    let place = repointed.map_or(hook, AsRef::as_ref);
    if switch::seen::door(place, ctx).is_some_and(Door::refuses)
        && let Some(org) = switch::org_of(hook, ctx)
    {
        org::doubt(ctx, &org, ObjectRef::new(namespace, name), &place.name_any());
    }
}

fn follow(hook: &TelephonyHook, ctx: &Context) {
    let namespace = hook.namespace().unwrap_or_default();
    let wanted = BTreeSet::from([Reference::secret(namespace, secret_key(hook).name)]);
    ctx.references.follow(&watches::target(hook), &wanted);
}
