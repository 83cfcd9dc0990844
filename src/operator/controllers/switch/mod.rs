//! `HookSwitch`: observes its hooks, lets the state machine decide which one is to be active, and records the decision.
//!
//! `validate → see → step → status`. Okta is not called here: the org's reconcile reads the decision from status and brings Okta
//! to it, so that one planner changes an org.

mod annotations;
pub mod observation;
mod shared;
mod status;
#[cfg(test)]
mod tests;
mod traffic;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use k8s_openapi::jiff::Timestamp;
use kube::{Resource as _, ResourceExt as _};

use self::{observation::SwitchObservation, traffic::FirstCall};
use super::context::Context;
use crate::operator::{
    model::{
        ownership::{self, Invalid},
        switch_progress::SwitchProgress,
        switch_settings,
    },
    probes,
    resolve::{Resolver, endpoint},
    runtime::{
        cache::Index,
        conditions,
        error::ReconcileError,
        events::{Events, Note},
        problem::Problem,
        reconcile::{Reconcile, Requeue},
        status::write,
        triggers::{Target, Wake},
    },
    state::{Memory, caches::SWITCH_READS, metrics::SwitchMetrics},
};
use hookswitch_api::{HookSwitch, HookSwitchStatus, Kind, SwitchRecord, TelephonyHook, reason::Ready};
use hookswitch_failover::{
    machine::{InOkta, Machine, Phase, Transition},
    settings::{Mode, Settings},
    signal::{CheckResult, Source},
};
use hookswitch_okta::ObjectRef;

/// How often a switch that cannot decide anything is evaluated.
const INVALID_RECHECK: Duration = Duration::from_mins(1);

impl Reconcile for HookSwitch {
    type Context = Context;

    const KIND: Kind = Kind::HookSwitch;
    const READS: &'static [Kind] = SWITCH_READS;

    fn index(ctx: &Context) -> &Index<Self> {
        &ctx.memory.caches.switches
    }

    fn dependents(&self, ctx: &Context) -> Vec<Target> {
        let namespace = self.namespace().unwrap_or_default();
        let hooks = self.spec.hooks.iter();
        let mut targets: Vec<Target> =
            hooks.map(|hook| Target::new(Kind::TelephonyHook, &namespace, &hook.name)).collect();
        targets.extend(ctx.memory.caches.org(self).map(|org| Target::new(Kind::OktaOrg, &namespace, org)));
        // both of two switches over one hook get the condition
        let rivals = self.spec.hooks.iter().flat_map(|hook| ctx.memory.caches.naming(&namespace, &hook.name));
        let rivals: BTreeSet<String> = rivals.map(|rival| rival.name_any()).collect();
        let rivals = rivals.into_iter().filter(|rival| *rival != self.name_any());
        targets.extend(rivals.map(|rival| Target::new(Self::KIND, &namespace, rival)));
        targets
    }

    fn gone(object: &Self, ctx: &Context) {
        let key = key(object);
        ctx.metrics.switches.forget(&shown(&key));
        ctx.memory.switches.keep(key, None);
    }

    fn unobserved(object: &Self, ctx: &Context) -> HookSwitchStatus {
        ctx.metrics.switches.unable(&shown(&key(object)));
        status::not_shown(object)
    }

    fn watches(ctx: &Arc<Context>) -> Vec<BoxFuture<'static, ()>> {
        vec![Box::pin(probes::run(Arc::clone(&ctx.prober)))]
    }

    /// Every reconcile may be the one that sees a hook fail.
    fn is_urgent(_: &Self, _: &Context) -> bool {
        true
    }

    async fn reconcile(object: Arc<Self>, ctx: Arc<Context>) -> Result<Requeue, ReconcileError> {
        let key = key(&object);
        let declared = ctx.memory.caches.about(&key.0, object.spec.hooks.iter().map(|hook| hook.name.as_str()));
        if let Some(invalid) = ownership::problem(&object, &declared) {
            let problem = match invalid {
                Invalid::NoHook(message) => Problem::transient(Ready::HookNotFound, message),
                Invalid::Conflict(message) => Problem::permanent(Ready::SwitchConflict, message),
            };
            ctx.metrics.switches.unable(&shown(&key));
            ctx.memory.switches.keep(key, None);
            write(&ctx.runtime.kube, &*object, status::invalid(&object, problem)).await?;
            return Ok(Requeue::After(INVALID_RECHECK));
        }
        let settings = switch_settings::of(&object.spec);
        let now = ctx.memory.switches.now();
        // a write whose answer was lost may have recorded what this process does not know it decided
        let recorded = object.status.as_ref().and_then(|status| status.target.as_deref());
        let known = ctx.memory.switches.machine(&key).filter(|machine| machine.target() == recorded);
        let mut machine =
            known.unwrap_or_else(|| switch_settings::restored(object.status.as_ref(), now, Timestamp::now()));
        let asked = annotations::read(&object);
        let named = object.spec.hooks.iter();
        let hooks: Vec<_> = named.filter_map(|named| declared.hook(&named.name).cloned()).collect();
        let ready_destinations = ready_destinations(&object, &hooks, &ctx.resolver).await?;
        let observation = observation::see(&object, &hooks, &ctx.memory, &asked, &ready_destinations);
        let transitions = machine.step(&observation.for_machine, &settings, now);

        let before = object.status.as_ref().and_then(|status| status.target.clone());
        let shared = shared::of(&object, &hooks, &ctx.memory);
        let (built, first_call) =
            status::build(&object, &machine, &observation, &settings, &transitions, asked.handled, shared);
        // what was decided counts once it is recorded: a reconcile that fails here is as if it had not been
        let ready = built.standby.is_some();
        let confirmed = conditions::is_true(&built.conditions, "TrafficConfirmed");
        let written = write(&ctx.runtime.kube, &*object, built).await?;
        let decided = machine.target() != before.as_deref();
        let wait = machine.next_evaluation(&settings, now);
        ctx.metrics.switches.show(&shown(&key), &machine, &observation.signals, ready, confirmed);
        resync_secret(&ctx.memory, &ctx.runtime.triggers, &object, &machine, &observation, &settings);
        ctx.memory.switches.keep(key.clone(), Some(machine));
        // the org goes to work before any Event is published: an outage waits for it
        let begins =
            decided || written.is_some() && transitions.iter().any(|one| matches!(one, Transition::Started { .. }));
        if begins && let Some(org) = ctx.memory.caches.org(&object) {
            ctx.runtime.triggers.hurry(Target::new(Kind::OktaOrg, &key.0, org));
        }
        publish(&ctx.runtime.kube.events, &ctx.metrics.switches, &object, &transitions, observation.progress.as_ref());
        if let Some(first_call) = first_call {
            publish_first_call(&ctx.runtime.kube.events, &object, &first_call);
        }
        Ok(Requeue::After(wait))
    }
}

/// The hooks of a switch that repoints whose destinations can be written to Okta: what makes them up is whole, and the secret is taken
/// there.
async fn ready_destinations(
    switch: &HookSwitch,
    hooks: &[Arc<TelephonyHook>],
    resolver: &Resolver,
) -> Result<BTreeSet<String>, ReconcileError> {
    let mut ready_destinations = BTreeSet::new();
    let named = |hook: &&Arc<TelephonyHook>| switch.spec.repoints() && ownership::names(switch, &hook.name_any());
    for hook in hooks.iter().filter(named) {
        let (facts, endpoint) = endpoint::endpoint(hook, resolver).await?;
        if endpoint.is_ok() && facts.accepted {
            ready_destinations.insert(hook.name_any());
        }
    }
    Ok(ready_destinations)
}

fn key(switch: &HookSwitch) -> (String, String) {
    (switch.namespace().unwrap_or_default(), switch.name_any())
}

fn shown((namespace, name): &(String, String)) -> String {
    format!("{namespace}/{name}")
}

/// Lets the secret that Okta has be written anew when the active hook's gateway refuses calls that may be Okta's.
fn resync_secret(
    memory: &Memory,
    triggers: &Wake,
    switch: &HookSwitch,
    machine: &Machine,
    observation: &SwitchObservation,
    settings: &Settings,
) {
    let InOkta::Ours(used) = &observation.for_machine.okta else { return };
    let of_used = observation.signals.get(used).map(Vec::as_slice).unwrap_or_default();
    let refused = of_used.iter().any(|signal| signal.source == Source::Refusals && signal.result == CheckResult::Fail);
    // one that is being left is left as it is
    let stays = !matches!(machine.phase(), Phase::FailingOver { .. });
    if refused
        && stays
        && settings.mode != Mode::Disabled
        && let Some(org) = memory.caches.org(switch)
    {
        let namespace = switch.namespace().unwrap_or_default();
        let stands = ObjectRef::new(&namespace, ownership::in_okta(switch, used));
        let org = Target::new(Kind::OktaOrg, namespace, org);
        if memory.orgs.resync_secret(&org, stands, used) {
            triggers.wake(org);
        }
    }
}

/// Tells that Okta's calls arrive at the hook that a switch made active.
fn publish_first_call(events: &Events, switch: &HookSwitch, first: &FirstCall) {
    let after =
        first.after.map(|after| format!(", {} ms after the switch to it", after.as_millis())).unwrap_or_default();
    let text = format!("Okta's calls arrive at {}{after}.", first.hook);
    tracing::info!(switch = shown(&key(switch)), text, "the first call came");
    let note = Note { warning: false, reason: "TrafficConfirmed".to_owned(), action: "Switch", text };
    events.publish(&switch.object_ref(&()), note);
}

/// One Event and one line of the log for each thing that happened.
fn publish(
    events: &Events,
    metrics: &SwitchMetrics,
    switch: &HookSwitch,
    transitions: &[Transition],
    progress: Option<&SwitchProgress>,
) {
    let about = switch.object_ref(&());
    for one in transitions {
        let (warning, reason, text) = status::note(one);
        tracing::info!(switch = shown(&key(switch)), reason, text, "the switch changed");
        if let Transition::Switched { cause, took, .. } | Transition::Failed { cause, took, .. } = one {
            let outcome =
                if matches!(one, Transition::Switched { .. }) { SwitchRecord::SWITCHED } else { SwitchRecord::FAILED };
            metrics.ended(&shown(&key(switch)), cause.as_str(), outcome, *took);
            for step in progress.iter().flat_map(|progress| &progress.steps) {
                metrics.step(step.step, step.outcome, step.took);
            }
        }
        let note = Note { warning, reason: reason.to_owned(), action: "Switch", text };
        events.publish(&about, note);
    }
}
