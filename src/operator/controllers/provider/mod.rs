//! `TelephonyProvider`: whether a provider can be used, and whether gateways can reach it.
//!
//! The provider itself is configured by the reconciles of the gateways whose rules send by it.

mod status;

use std::sync::Arc;

use kube::ResourceExt as _;

use super::context::Context;
use crate::operator::{
    resolve::provider,
    runtime::{
        cache::Index,
        conditions,
        error::ReconcileError,
        reconcile::{Reconcile, Requeue, target},
        status::write,
        triggers::Target,
    },
    state::reports::{FRESH, ReportedHealth},
};
use hookswitch_api::{Kind, TelephonyProvider};

impl Reconcile for TelephonyProvider {
    type Context = Context;

    const KIND: Kind = Kind::TelephonyProvider;
    const READS: &'static [Kind] = &[Self::KIND];

    fn index(ctx: &Context) -> &Index<Self> {
        &ctx.memory.caches.providers
    }

    fn dependents(&self, ctx: &Context) -> Vec<Target> {
        let namespace = self.namespace().unwrap_or_default();
        let gateways = ctx.memory.caches.gateways.in_namespace(&namespace);
        let policies = ctx.memory.caches.policies.in_namespace(&namespace);
        gateways
            .iter()
            .map(|gateway| target(&**gateway))
            .chain(policies.iter().map(|policy| target(&**policy)))
            .collect()
    }

    async fn reconcile(object: Arc<Self>, ctx: Arc<Context>) -> Result<Requeue, ReconcileError> {
        ctx.runtime.references.follow(&target(&*object), &provider::references(&object));
        let settings = provider::settings(&object, &ctx.runtime.references).await?;
        let namespace = object.namespace().unwrap_or_default();
        let health = ctx.memory.reports.provider(&namespace, &object.name_any());
        let waits = health == ReportedHealth::Unknown
            && ctx.memory.reports.is_settling()
            && object.status.as_ref().is_some_and(|status| conditions::get(&status.conditions, "Healthy").is_some());
        let built = status::build(&object, settings, (!waits).then_some(&health));
        write(&ctx.runtime.kube, &*object, built).await?;
        Ok(if waits { Requeue::After(FRESH) } else { Requeue::OnChange })
    }
}
