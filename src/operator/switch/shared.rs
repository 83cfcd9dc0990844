//! What the hooks of a switch share, and so what may fail for both at once.

use std::{collections::BTreeSet, sync::Arc};

use kube::ResourceExt as _;

use super::super::context::Context;
use crate::api::{HookSwitch, TelephonyGateway, TelephonyHook, reason::StandbyIndependent};

/// The first thing found to be shared, with what a person reads.
#[must_use]
pub fn of(switch: &HookSwitch, hooks: &[Arc<TelephonyHook>], ctx: &Context) -> (StandbyIndependent, String) {
    let namespace = switch.namespace().unwrap_or_default();
    let wanted = switch.spec.hooks.iter();
    let gateways: Vec<(String, Option<Arc<TelephonyGateway>>)> = wanted
        .filter_map(|wanted| hooks.iter().find(|hook| hook.name_any() == wanted.name))
        .map(|hook| &hook.spec.target.gateway_ref.name)
        .map(|name| (name.clone(), ctx.caches.gateways.get(&namespace, name)))
        .collect();
    let names: BTreeSet<&String> = gateways.iter().map(|(name, _)| name).collect();
    if names.len() < gateways.len() {
        let all: Vec<&str> = names.into_iter().map(String::as_str).collect();
        return (StandbyIndependent::SharedGateway, format!("Hooks have the gateway {} in common.", all.join(", ")));
    }
    let found: Vec<&Arc<TelephonyGateway>> = gateways.iter().filter_map(|(_, gateway)| gateway.as_ref()).collect();
    if let Some(host) = twice(found.iter().filter_map(|gateway| host(gateway))) {
        return (StandbyIndependent::SharedHost, format!("Two gateways answer at {host}."));
    }
    let secrets = found.iter().filter_map(|gateway| Some(gateway.spec.tls.as_ref()?.secret_ref.name.clone()));
    if let Some(secret) = twice(secrets) {
        return (
            StandbyIndependent::SharedCertificate,
            format!("Two gateways have the certificate of Secret {secret}."),
        );
    }
    let carriers: Vec<BTreeSet<String>> =
        gateways.iter().map(|(gateway, _)| ctx.reports.carriers(&namespace, gateway)).collect();
    let same = |one: &BTreeSet<String>, other: &BTreeSet<String>| !other.is_empty() && other.is_subset(one);
    if let Some((first, others)) = carriers.split_first()
        && let Some(shared) = others.iter().find(|other| same(first, other))
    {
        let all: Vec<&str> = shared.iter().map(String::as_str).collect();
        return (
            StandbyIndependent::SharedCarrier,
            format!("A standby sends only by carriers of the first hook: {}.", all.join(", ")),
        );
    }
    (StandbyIndependent::Independent, "The hooks share no gateway, host, certificate or set of carriers.".into())
}

fn host(gateway: &TelephonyGateway) -> Option<String> {
    let rest = gateway.spec.public_url.strip_prefix("https://")?;
    Some(rest.split(['/', ':']).next().unwrap_or_default().to_ascii_lowercase())
}

/// The first value that comes a second time.
fn twice(values: impl Iterator<Item = String>) -> Option<String> {
    let mut seen = BTreeSet::new();
    let mut values = values;
    values.find(|value| !seen.insert(value.clone()))
}
