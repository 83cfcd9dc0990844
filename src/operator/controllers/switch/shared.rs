//! What the hooks of a switch share, and so what may fail for both at once.

use std::{collections::BTreeSet, sync::Arc};

use kube::ResourceExt as _;

use crate::operator::{resolve::endpoint, state::Memory};
use hookswitch_api::{HookSwitch, TelephonyGateway, TelephonyHook, reason::StandbyIndependent};

/// The first thing found to be shared, with what a person reads.
#[must_use]
pub fn of(switch: &HookSwitch, hooks: &[Arc<TelephonyHook>], memory: &Memory) -> (StandbyIndependent, String) {
    let namespace = switch.namespace().unwrap_or_default();
    let wanted = switch.spec.hooks.iter();
    let named: Vec<&Arc<TelephonyHook>> =
        wanted.filter_map(|wanted| hooks.iter().find(|hook| hook.name_any() == wanted.name)).collect();
    let gateway = |hook: &&Arc<TelephonyHook>| hook.spec.target.gateway().map(str::to_owned);
    if let Some(gateway) = twice(named.iter().filter_map(gateway)) {
        return (StandbyIndependent::SharedGateway, format!("Two hooks share the gateway {gateway}."));
    }
    let gateways: Vec<_> = named.iter().map(|hook| memory.caches.gateway_of(hook)).collect();
    let addresses =
        named.iter().zip(&gateways).filter_map(|(hook, gateway)| endpoint::address(hook, gateway.as_deref()));
    if let Some(host) = twice(addresses.filter_map(|address| endpoint::host(&address))) {
        return (StandbyIndependent::SharedHost, format!("Two hooks share the host {host}."));
    }
    let certificate = |gateway: &Arc<TelephonyGateway>| Some(gateway.spec.tls.as_ref()?.secret_ref.name.clone());
    if let Some(secret) = twice(gateways.iter().flatten().filter_map(certificate)) {
        return (
            StandbyIndependent::SharedCertificate,
            format!("Two gateways share the certificate in Secret {secret}."),
        );
    }
    // of a URL that somebody else serves none is known
    let providers = |hook: &&Arc<TelephonyHook>| {
        hook.spec.target.gateway().map(|gateway| memory.reports.providers(&namespace, gateway)).unwrap_or_default()
    };
    let providers: Vec<BTreeSet<String>> = named.iter().map(providers).collect();
    let same = |one: &BTreeSet<String>, other: &BTreeSet<String>| !other.is_empty() && other.is_subset(one);
    if let Some((first, others)) = providers.split_first()
        && let Some(shared) = others.iter().find(|other| same(first, other))
    {
        let all: Vec<&str> = shared.iter().map(String::as_str).collect();
        return (
            StandbyIndependent::SharedCarrier,
            format!("A standby has only providers that the first hook has too: {}.", all.join(", ")),
        );
    }
    (StandbyIndependent::Independent, "The hooks share no gateway, host, certificate or set of providers.".into())
}

/// The first value that comes a second time.
fn twice(values: impl Iterator<Item = String>) -> Option<String> {
    let mut known = BTreeSet::new();
    let mut values = values;
    values.find(|value| !known.insert(value.clone()))
}
