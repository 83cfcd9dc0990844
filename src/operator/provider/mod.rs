//! `TelephonyProvider`: whether a carrier account can be used, and whether gateways can reach it.
//!
//! The carrier itself is configured by the passes of the gateways whose rules send by it.

mod status;
pub mod validate;

use std::{collections::BTreeSet, sync::Arc};

use kube::ResourceExt as _;

use super::{
    cache::{Caches, Index},
    conditions,
    context::Context,
    pass::{PassError, Reconcile, Requeue},
    references::Reference,
    reports::{CarrierHealth, FRESH},
    wake::{Kind, Target},
    watches,
};
use hookswitch_api::{CaBundleRef, TelephonyProvider};

impl Reconcile for TelephonyProvider {
    const KIND: Kind = Kind::TelephonyProvider;
    const READS: &'static [Kind] = &[Self::KIND];

    fn index(caches: &Caches) -> &Index<Self> {
        &caches.providers
    }

    fn dependents(&self, ctx: &Context) -> Vec<Target> {
        let namespace = self.namespace().unwrap_or_default();
        let gateways = ctx.caches.gateways.in_namespace(&namespace);
        let policies = ctx.caches.policies.in_namespace(&namespace);
        gateways
            .iter()
            .map(|gateway| watches::target(&**gateway))
            .chain(policies.iter().map(|policy| watches::target(&**policy)))
            .collect()
    }

    async fn reconcile(object: Arc<Self>, ctx: Arc<Context>) -> Result<Requeue, PassError> {
        ctx.references.follow(&watches::target(&*object), &references(&object));
        let settings = validate::settings(&object, &ctx).await?;
        let namespace = object.namespace().unwrap_or_default();
        let health = ctx.reports.carrier(&namespace, &object.name_any());
        let waits = health == CarrierHealth::Unknown
            && ctx.reports.is_settling()
            && object.status.as_ref().is_some_and(|status| conditions::get(&status.conditions, "Healthy").is_some());
        let built = status::build(&object, settings, (!waits).then_some(&health));
        super::status::write(&ctx, &*object, built).await?;
        Ok(if waits { Requeue::After(FRESH) } else { Requeue::OnChange })
    }
}

/// The Secrets and `ConfigMaps` that a carrier refers to.
#[must_use]
pub fn references(provider: &TelephonyProvider) -> BTreeSet<Reference> {
    let namespace = provider.namespace().unwrap_or_default();
    let spec = &provider.spec;
    let credential = validate::credential_key(spec).map(|key| Reference::secret(&namespace, &key.name));
    let bundle = spec.ca_bundle_ref.as_ref().and_then(|bundle| bundle_reference(&namespace, bundle));
    credential.into_iter().chain(bundle).collect()
}

fn bundle_reference(namespace: &str, bundle: &CaBundleRef) -> Option<Reference> {
    match (&bundle.config_map_key_ref, &bundle.secret_key_ref) {
        (Some(key), _) => Some(Reference::config_map(namespace, &key.name)),
        (None, key) => key.as_ref().map(|key| Reference::secret(namespace, &key.name)),
    }
}
