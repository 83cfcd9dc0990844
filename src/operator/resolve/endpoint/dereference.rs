//! What a hook refers to, read and not judged.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;

use crate::operator::{
    model::switch_settings,
    resolve::{Resolver, secret_value},
    runtime::{
        error::{ReconcileError, or_denied},
        problem::Problem,
    },
    state::reports::Serving,
};
use hookswitch_api::{HookTarget, OktaOrg, TelephonyGateway, TelephonyHook, reason::Ready};
use hookswitch_failover::signal::{CheckResult, Source};
use hookswitch_okta::ObjectRef;

/// Where a hook's calls go, and whether they are taken there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// To a gateway of ours.
    Gateway(Serving),
    /// To a URL that somebody else serves.
    Url {
        /// That nothing is known against it; else it is not reached, or was not tried yet.
        reached: bool,
    },
}

impl Destination {
    /// Whether Okta can be pointed at it.
    #[must_use]
    pub const fn is_ready(self) -> bool {
        matches!(self, Self::Gateway(Serving::Yes { .. }) | Self::Url { reached: true })
    }
}

/// What a hook refers to.
#[derive(Debug, Clone)]
pub struct EndpointFacts {
    /// The gateway that is its target, where one is.
    pub gateway: Option<Arc<TelephonyGateway>>,
    /// Why the installation does not allow that gateway's host, when it does not.
    pub refused_host: Option<String>,
    /// The org, when the hook has an `okta` block.
    pub org: Option<Arc<OktaOrg>>,
    /// The Secret with its value; a problem where it may not be read.
    pub secret: Result<Option<Arc<Secret>>, Problem>,
    /// Where its calls go, and whether they are taken there.
    pub destination: Destination,
    /// Whether its destination takes the secret as it is now: every replica of the gateway. Of a URL that somebody else serves
    /// that cannot be known, and it is taken for so.
    pub accepted: bool,
}

/// Reads what a hook refers to.
///
/// # Errors
/// [`ReconcileError`] when the Secret cannot be read.
pub async fn dereference(hook: &TelephonyHook, resolver: &Resolver) -> Result<EndpointFacts, ReconcileError> {
    let (namespace, name) = (hook.namespace().unwrap_or_default(), hook.name_any());
    let (key, object) = (super::parts::secret_key(hook), ObjectRef::new(&namespace, &name));
    let secret = or_denied(resolver.references.secret(&namespace, &key.name).await, Ready::SecretNotFound)?;
    let (gateway, destination, accepted) = match &hook.spec.target {
        HookTarget::Gateway(gateway) => {
            let known = secret.as_ref().ok().and_then(Option::as_deref);
            let value = secret_value::hook_secret(known, &namespace, &key).ok();
            let header = hook.spec.auth_header();
            let fingerprint = value.map(|value| resolver.installation.key.secret(&object, header, value.expose()));
            let accepts = |fingerprint| resolver.memory.reports.accepts(&namespace, &gateway.name, &name, &fingerprint);
            let known = resolver.memory.caches.gateways.get(&namespace, &gateway.name);
            let serving = resolver.memory.reports.serving(&namespace, &gateway.name, &name);
            (known, Destination::Gateway(serving), fingerprint.is_some_and(accepts))
        }
        HookTarget::Url(_) => (None, Destination::Url { reached: is_reached(&object, resolver) }, true),
    };
    let org = hook.spec.okta.as_ref().and_then(|okta| resolver.memory.caches.orgs.get(&namespace, &okta.org_ref.name));
    let refused_host =
        gateway.as_ref().and_then(|gateway| resolver.options.tenancy.refused_host(&namespace, &gateway.spec));
    Ok(EndpointFacts { gateway, refused_host, org, secret, destination, accepted })
}

/// Whether a URL that somebody else serves takes calls: by its owner's word, and where a switch has it observed, only as
/// long as that finds nothing against it.
fn is_reached(hook: &ObjectRef, resolver: &Resolver) -> bool {
    let naming = resolver.memory.caches.naming(&hook.namespace, &hook.name);
    if !naming.iter().any(|switch| switch_settings::watched(&switch.spec).address.is_some()) {
        return true;
    }
    resolver.memory.probes.fresh(hook, Source::PublicUrl).is_some_and(|found| found.result != CheckResult::Fail)
}
