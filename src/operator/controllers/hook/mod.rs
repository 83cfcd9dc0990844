//! `TelephonyHook`: its secret, and what is to be said of it.
//!
//! The hook in Okta is made and kept by the org's reconcile, since an org's hooks can only be changed together. This reconcile makes
//! the hook's secret, checks what the hook refers to, and writes status from what the org's last plan said of it.

mod build;
mod deletion;
#[cfg(test)]
mod scale_tests;
pub mod status;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use kube::ResourceExt as _;

use super::{context::Context, terminating};
use crate::operator::{
    model::ownership::{self, Declarations},
    resolve::endpoint::{self, secret_key},
    runtime::{
        cache::Index,
        error::ReconcileError,
        reconcile::{Reconcile, Requeue, target},
        references::{Reference, References},
        triggers::{Target, Wake},
    },
    state::Memory,
};
use hookswitch_api::{Kind, TelephonyHook, TelephonyHookStatus};
use hookswitch_failover::refusals::AuthStatistics;
use hookswitch_okta::ObjectRef;

/// How often a hook whose deletion waits is reconciled.
const LEAVING_LOOK: Duration = Duration::from_secs(15);

impl Reconcile for TelephonyHook {
    type Context = Context;

    const KIND: Kind = Kind::TelephonyHook;
    const READS: &'static [Kind] = &[Self::KIND, Kind::OktaOrg, Kind::HookSwitch, Kind::TelephonyGateway];

    fn index(ctx: &Context) -> &Index<Self> {
        &ctx.memory.caches.hooks
    }

    fn dependents(&self, ctx: &Context) -> Vec<Target> {
        let namespace = self.namespace().unwrap_or_default();
        let org = ctx.memory.caches.org_of(self);
        let gateway = self.spec.target.gateway();
        let gateway = gateway.map(|gateway| Target::new(Kind::TelephonyGateway, &namespace, gateway));
        let switches = ctx.memory.caches.naming(&namespace, &self.name_any());
        let switches = switches.iter().map(|switch| target(&**switch));
        org.into_iter().chain(gateway).chain(switches).collect()
    }

    fn watches(ctx: &Arc<Context>) -> Vec<BoxFuture<'static, ()>> {
        vec![terminating::watch(&ctx.runtime, &ctx.memory.caches, &ctx.options.operator_namespace)]
    }

    async fn reconcile(object: Arc<Self>, ctx: Arc<Context>) -> Result<Requeue, ReconcileError> {
        follow(&object, &ctx.runtime.references);
        let Some(object) = deletion::settle(&object, &ctx.runtime.kube, &ctx.memory).await? else {
            return Ok(Requeue::OnChange);
        };
        let denied = build::ensure_secret(&object, &ctx.runtime.kube, &ctx.runtime.references).await?;
        let declared = ctx.memory.caches.about(&object.namespace().unwrap_or_default(), [object.name_any().as_str()]);
        let (facts, endpoint) = endpoint::destination(&object, &declared, &ctx.resolver).await?;
        // no watch shows when what is denied is allowed
        let again = denied.is_some().then_some(Requeue::Retry);
        status::write(&object, &declared, &ctx.runtime.kube, &ctx.memory, &facts, denied.map_or(endpoint, Err)).await?;
        resync_secret(&object, &declared, &ctx.memory, &ctx.runtime.triggers);
        let leaving = object.metadata.deletion_timestamp.is_some();
        Ok(if leaving { Requeue::After(LEAVING_LOOK) } else { again.unwrap_or(Requeue::OnChange) })
    }
}

/// Lets the secret that Okta has be written anew when the gateway refuses calls that may be Okta's, of an active hook that no
/// switch names: one that does knows more.
fn resync_secret(hook: &TelephonyHook, declared: &Declarations, memory: &Memory, triggers: &Wake) {
    let (namespace, name) = (hook.namespace().unwrap_or_default(), hook.name_any());
    let active = hook.status.as_ref().is_some_and(TelephonyHookStatus::is_active_in_okta);
    if !active || declared.naming(&name).len() > 0 {
        return;
    }
    let repointed = ownership::repointed(hook, declared).and_then(|to| declared.hook(&to.to));
    let destination = repointed.map_or(hook, AsRef::as_ref);
    if memory.reports.auth_statistics_of(destination).is_some_and(AuthStatistics::refuses)
        && let Some(org) = memory.caches.org_of(hook)
        && memory.orgs.resync_secret(&org, ObjectRef::new(namespace, name), &destination.name_any())
    {
        triggers.wake(org);
    }
}

fn follow(hook: &TelephonyHook, references: &References) {
    let namespace = hook.namespace().unwrap_or_default();
    let wanted = BTreeSet::from([Reference::secret(namespace, secret_key(hook).name)]);
    references.follow(&target(hook), &wanted);
}
