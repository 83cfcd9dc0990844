//! Deleting an org's object: hooks that are deleted with it still need it.

use std::{sync::Arc, time::Duration};

use kube::ResourceExt as _;

use crate::operator::{
    runtime::{error::ReconcileError, finalizer, kube::Kube, namespace},
    state::caches::{By, Caches},
};
use hookswitch_api::OktaOrg;

/// How long a deleted org stays at least: one command that deletes several objects deletes them one after the other.
pub const GRACE: Duration = Duration::from_secs(5);

/// Holds an org while hooks of it owe Okta a call when they are deleted, or are called until they are not any more: without it
/// nobody would see that. `None`: the object is gone, or as good as.
///
/// Hooks that are not being deleted hold nothing: they say that their org is missing.
///
/// # Errors
/// [`ReconcileError::Api`].
pub async fn settle(org: &Arc<OktaOrg>, kube: &Kube, caches: &Caches) -> Result<Option<Arc<OktaOrg>>, ReconcileError> {
    let (space, name) = (org.namespace().unwrap_or_default(), org.name_any());
    let hooks = caches.hooks.found(&space, &By::Org(name));
    let needs = |hook: &hookswitch_api::TelephonyHook| hook.spec.deletes_in_okta() || finalizer::is_held(hook);
    let mut owing = hooks.iter().filter(|hook| needs(hook));
    let Some(waited) = finalizer::deleted_for(&**org) else {
        return finalizer::set(kube, org, &[(finalizer::OKTA, owing.next().is_some())]).await.map(Some);
    };
    if !finalizer::holds(&**org, finalizer::OKTA) {
        return Ok(None);
    }
    let leaving =
        |hook: &hookswitch_api::TelephonyHook| hook.metadata.deletion_timestamp.is_some() && finalizer::is_held(hook);
    let needed = waited < GRACE || owing.any(|hook| leaving(hook));
    if needed && !namespace::is_terminating(&kube.client, &space).await? {
        return Ok(Some(Arc::clone(org)));
    }
    finalizer::set(kube, org, &[(finalizer::OKTA, false)]).await?;
    Ok(None)
}
