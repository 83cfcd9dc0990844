//! What is seen of a switch's hooks: their gateways' reports, and Okta's side as the org's last pass found it.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;

use super::{
    super::{context::Context, org::InUse},
    annotations::Asked,
    settings,
};
use crate::{
    api::{HookSwitch, TelephonyHook},
    failover::{
        health::Health,
        machine::{HookSeen, InOkta, Seen},
        signal::{Sight, Signal, Source},
    },
    okta::{
        ObjectRef,
        plan::{Blocked, Outcome},
    },
};

/// What is seen, for the machine and for people.
#[derive(Debug, Clone)]
pub struct Sighting {
    /// For the machine.
    pub seen: Seen,
    /// The signals of each hook.
    pub signals: BTreeMap<String, Vec<Signal>>,
}

/// Looks at every hook of a switch.
#[must_use]
pub fn see(switch: &HookSwitch, hooks: &[Arc<TelephonyHook>], ctx: &Context, asked: &Asked) -> Sighting {
    let namespace = switch.namespace().unwrap_or_default();
    let threshold = settings::coverage(&switch.spec);
    let watched = settings::watched(&switch.spec);
    let mut signals = BTreeMap::new();
    let mut seen_hooks = Vec::new();
    let mut okta = InOkta::Unknown;
    for named in &switch.spec.hooks {
        let Some(hook) = hooks.iter().find(|hook| hook.name_any() == named.name) else { continue };
        let gateway = &hook.spec.target.gateway_ref.name;
        let (mut of_hook, percent) = ctx.reports.signals(&namespace, gateway, &named.name, threshold);
        let object = ObjectRef::new(&namespace, &named.name);
        let called = ctx.reports.last_call(&namespace, gateway, &named.name).is_some_and(|age| age <= watched.interval);
        for source in watched.witnesses() {
            of_hook.push(believed(ctx.probes.signal(&object, source), called));
        }
        let org = hook.spec.okta.as_ref().map(|okta| ctx.orgs.view(&namespace, &okta.org_ref.name));
        let view = org.as_ref().and_then(|org| org.hooks.get(&ObjectRef::new(&namespace, &named.name)));
        let outcome = view.map(|view| &view.verdict.outcome);
        let exists = view.is_some_and(|view| view.verdict.hook.is_some());
        seen_hooks.push(HookSeen {
            name: named.name.clone(),
            health: Health { sight: Sight::Unknown, percent },
            usable_in_okta: exists || matches!(outcome, Some(Outcome::Blocked(Blocked::StandbyNotCreated))),
            refused: matches!(outcome, Some(Outcome::Blocked(Blocked::ActivationRefused))),
        });
        signals.insert(named.name.clone(), of_hook);
        if let Some(org) = org {
            okta = in_okta(&org.in_use, switch, &namespace);
        }
    }
    blind(&mut signals);
    for hook in &mut seen_hooks {
        let of_hook = signals.get(&hook.name).map(Vec::as_slice).unwrap_or_default();
        hook.health = Health::of(of_hook, hook.health.percent);
    }
    let seen = Seen {
        hooks: seen_hooks,
        okta,
        paused: switch.spec.paused == Some(true) || in_maintenance(switch, Timestamp::now()),
        request: asked.request.clone(),
        acknowledged: asked.acknowledged,
    };
    Sighting { seen, signals }
}

/// A witness against a hook that Okta itself called lately is in the wrong.
fn believed(signal: Signal, called: bool) -> Signal {
    if signal.sight == Sight::Fail && called {
        let why = format!("Okta's own calls arrive, although: {}", signal.why);
        return Signal { sight: Sight::Unknown, why, ..signal };
    }
    signal
}

/// When this operator reaches no hook's address at all, it says something of the operator's network and nothing of the hooks.
fn blind(signals: &mut BTreeMap<String, Vec<Signal>>) {
    let of_address = |signal: &&mut Signal| signal.source == Source::PublicUrl;
    let mut addresses: Vec<&mut Signal> = signals.values_mut().flatten().filter(of_address).collect();
    if addresses.len() > 1 && addresses.iter().all(|signal| signal.sight == Sight::Fail) {
        for signal in &mut addresses {
            signal.sight = Sight::Unknown;
            signal.why =
                format!("No hook's address answers this operator, so its own network may be to blame: {}", signal.why);
        }
    }
}

fn in_okta(in_use: &InUse, switch: &HookSwitch, namespace: &str) -> InOkta {
    match in_use {
        InUse::Unknown => InOkta::Unknown,
        InUse::Nobody => InOkta::Nobody,
        InUse::Ours(owner) if owner.namespace == namespace && super::ruling::names(switch, &owner.name) => {
            InOkta::Ours(owner.name.clone())
        }
        InUse::Ours(_) | InUse::Other => InOkta::Other,
    }
}

fn in_maintenance(switch: &HookSwitch, now: Timestamp) -> bool {
    switch.spec.maintenance.iter().any(|window| {
        let (from, until) = (window.from.parse::<Timestamp>(), window.until.parse::<Timestamp>());
        matches!((from, until), (Ok(from), Ok(until)) if from <= now && now < until)
    })
}
