//! Which of a switch's hooks Okta uses.

use kube::ResourceExt as _;

use super::endpoint;
use crate::operator::{
    model::ownership,
    state::{
        Memory,
        orgs::{HookView, InUse},
    },
};
use hookswitch_api::{HookSwitch, NameRef};
use hookswitch_failover::machine::InOkta;
use hookswitch_okta::{
    drift::same_uri,
    plan::{HookOutcome, Waiting},
};

/// Which of the hooks of a switch Okta uses.
#[must_use]
pub fn in_use(switch: &HookSwitch, memory: &Memory) -> InOkta {
    let namespace = switch.namespace().unwrap_or_default();
    let Some(org) = memory.caches.org(switch).map(|org| memory.orgs.view(&namespace, &org)) else {
        return InOkta::Unknown;
    };
    match &org.in_use {
        InUse::Unknown => InOkta::Unknown,
        InUse::Nobody => InOkta::Nobody,
        InUse::Ours(owner) if owner.namespace == namespace && ownership::in_okta(switch, &owner.name) == owner.name => {
            if !ownership::names(switch, &owner.name) {
                return InOkta::Other;
            }
            match org.hooks.get(owner).filter(|_| switch.spec.repoints()) {
                None => InOkta::Ours(owner.name.clone()),
                Some(view) => pointed_at(view, switch, memory),
            }
        }
        InUse::Ours(_) | InUse::Other => InOkta::Other,
    }
}

/// The hook whose destination the one hook in Okta has. One that a switch is still writing says nothing yet: its secret may not
/// have arrived.
fn pointed_at(view: &HookView, switch: &HookSwitch, memory: &Memory) -> InOkta {
    let namespace = switch.namespace().unwrap_or_default();
    let address = |named: &str| {
        let hook = memory.caches.hooks.get(&namespace, named)?;
        endpoint::address(&hook, memory.caches.gateway_of(&hook).as_deref())
    };
    let has = |named: &&NameRef| match (&view.uri, address(&named.name)) {
        (Some(has), Some(address)) => same_uri(has, &address),
        _ => false,
    };
    let Some(found) = switch.spec.hooks.iter().find(has) else { return InOkta::Unknown };
    let status = switch.status.as_ref().filter(|status| status.switching.is_some());
    let wanted = status.and_then(|status| status.target.as_ref()) == Some(&found.name);
    let unfinished = matches!(view.verdict.outcome, HookOutcome::Changing | HookOutcome::Waiting(Waiting::Settling));
    if wanted && unfinished { InOkta::Unknown } else { InOkta::Ours(found.name.clone()) }
}
