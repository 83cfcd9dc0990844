//! Whether calls arrive at hooks: tried at their public addresses by this operator, and by Okta on its behalf (`execute`), as
//! long as it leads. What is found is a signal for switches; nothing is changed by it anywhere.

mod address;
mod call;
mod execute;
mod external_url;
mod passcode;
mod prober;
#[cfg(test)]
pub(super) mod scale_tests;
mod system_log;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::future::{BoxFuture, FutureExt as _};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;
use tokio::{task::JoinSet, time::Instant};

use crate::operator::{
    model::{
        object_ref::object_ref,
        ownership, switch_settings,
        urgency::{self, Urgency},
    },
    resolve::in_okta,
    runtime::triggers::Target,
    state::{
        caches::SWITCH_READS,
        probes::{AGAIN, Finding, PATIENCE, PollInterval, ROUND, WINDOW},
    },
};
use hookswitch_api::{HookSwitch, HookTarget, Kind, TelephonyHook};
use hookswitch_failover::{
    machine::InOkta,
    refusals::AuthStatistics,
    signal::{CheckResult, Source},
};
use hookswitch_okta::{ObjectRef, limits::Priority};

pub use self::{execute::whose_refusals, prober::Prober};

/// How soon Okta is asked about a hook that seems to fail.
#[derive(Debug, Clone, Copy)]
struct HurriedInterval {
    /// Again, while something of it fails.
    again: Duration,
    /// The least after the last time, when another corroborating signal has begun to speak against it.
    least: Duration,
}

/// Of `execute`, to a gateway of ours.
const EXECUTE: HurriedInterval = HurriedInterval { again: AGAIN, least: ROUND };

/// The same where each time a message is sent, to the one whose number was given for that.
const EXECUTE_ELSEWHERE: HurriedInterval =
    HurriedInterval { again: Duration::from_mins(1), least: Duration::from_mins(1) };

/// Of reads of the System Log, whose rate limit is low.
const LOOK: HurriedInterval = HurriedInterval { again: AGAIN, least: Duration::from_secs(10) };

/// Asks for ever; the caller drops it when the lease is lost.
pub async fn run(prober: Arc<Prober>) {
    let mut asking = JoinSet::new();
    let mut rounds = tokio::time::interval(ROUND);
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        rounds.tick().await;
        while asking.try_join_next().is_some() {}
        round(&prober, &mut asking).await;
    }
}

/// Switches after which others have their turn within a round.
const AT_ONCE: usize = 32;

/// Begins what is due.
pub(super) async fn round(prober: &Arc<Prober>, asking: &mut JoinSet<()>) {
    let (mut named, mut orgs) = (BTreeSet::new(), BTreeSet::new());
    let mut since_others = 0;
    for (namespace, declared) in
        prober.memory.caches.all_declarations(|namespace| prober.listing.is_listed(namespace, SWITCH_READS))
    {
        let urgency = urgency::by_org(&declared);
        for switch in declared.switches() {
            since_others += 1;
            if since_others == AT_ONCE {
                since_others = 0;
                tokio::task::yield_now().await;
            }
            if ownership::problem(switch, &declared).is_some() {
                continue;
            }
            let in_use = in_okta::in_use(switch, &prober.memory);
            let org = declared.org(switch);
            let of_org = org.and_then(|org| urgency.get(org).copied()).unwrap_or(Urgency::AtRest);
            orgs.extend(org.map(|org| ObjectRef::new(&namespace, org)));
            for hook in switch.spec.hooks.iter().filter_map(|hook| declared.hook(&hook.name)) {
                let object = ObjectRef::new(&namespace, hook.name_any());
                named.insert(object.clone());
                let failing = is_failing(prober, hook);
                let priority = urgency::of(switch).probes(of_org, failing);
                let is_used = in_use == InOkta::Ours(object.name.clone());
                of_hook(prober, switch, hook, &object, priority.filter(|_| is_used), asking);
            }
        }
    }
    prober.memory.probes.keep(&named, &orgs);
}

/// Begins what is due of one hook. Okta is asked with `priority`; nothing: not at all.
fn of_hook(
    prober: &Arc<Prober>,
    switch: &HookSwitch,
    hook: &Arc<TelephonyHook>,
    object: &ObjectRef,
    priority: Option<Priority>,
    asking: &mut JoinSet<()>,
) {
    let (watched, target) = (switch_settings::watched(&switch.spec), &hook.spec.target);
    let about = || (Arc::clone(prober), Arc::clone(hook));
    let stands = || ownership::in_okta(switch, &object.name).to_owned();
    let mut ask = |source, poll_interval, asked: &dyn Fn() -> BoxFuture<'static, Finding>| {
        if let Some(begun) = prober.memory.probes.begin(object, source, poll_interval) {
            asking.spawn(ask(Arc::clone(prober), object.clone(), source, begun, asked()));
        }
    };
    if let Some(timeout) = watched.address {
        ask(Source::PublicUrl, PollInterval::steady(watched.interval, timeout), &|| match target {
            HookTarget::Gateway(_) => address::ask(about(), timeout).boxed(),
            HookTarget::Url(url) => external_url::reach(about(), url.clone(), timeout).boxed(),
        });
    }
    if let Some(every) = watched.test_of(target) {
        ask(Source::Test, prober.memory.probes.test_poll_interval(object, every), &|| {
            external_url::test(about(), stands()).boxed()
        });
    }
    let Some(priority) = priority else { return };
    let fails = priority > Priority::Routine;
    let poll_interval = |source, every, hurried, hurried_interval| {
        poll_interval(prober, switch, object, source, every, hurried, hurried_interval)
    };
    if let Some(every) = watched.execute_of(target) {
        let hurried_interval = if target.gateway().is_some() { EXECUTE } else { EXECUTE_ELSEWHERE };
        // that distinguishes strangers' calls from Okta's; for theirs alone nothing more is asked, and nothing out of turn
        let hurried = fails || prober.memory.reports.auth_statistics_of(hook).is_some_and(AuthStatistics::refused_last);
        ask(Source::Execute, poll_interval(Source::Execute, every, hurried, hurried_interval), &|| {
            execute::ask(about(), stands(), priority).boxed()
        });
    }
    if let Some((every, threshold)) = watched.log {
        let active = active_since(switch, &object.name);
        ask(Source::SystemLog, poll_interval(Source::SystemLog, every, fails, LOOK), &|| {
            system_log::ask(about(), stands(), active, threshold, priority).boxed()
        });
    }
}

/// Waits for a permit and a finding, within bounds, and records it.
async fn ask(prober: Arc<Prober>, hook: ObjectRef, source: Source, begun: Instant, asked: BoxFuture<'static, Finding>) {
    let late = |_| Finding::new(CheckResult::Unknown, "The probe took too long.");
    let asked = async {
        let _permit = prober.memory.probes.permit(&hook).await;
        asked.await
    };
    let finding = tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(late);
    record(&prober, &hook, source, begun, finding);
}

/// Since when the active hook is, when a switch made it so: what the log says of before is another's.
fn active_since(switch: &HookSwitch, hook: &str) -> Option<Timestamp> {
    let last = switch.status.as_ref()?.history.iter().rev().find(|record| record.is_switched())?;
    last.at.parse().ok().filter(|_| last.to == hook)
}

/// Whether a corroborating signal speaks against a hook, or did a short time ago and says nothing now: what it said was forgotten, because it
/// is to be asked anew.
fn is_failing(prober: &Prober, hook: &TelephonyHook) -> bool {
    let object = object_ref(hook);
    let mut corroborating_sources = Source::ALL.into_iter().filter(|source| !source.suffices());
    corroborating_sources.any(|source| match prober.memory.probes.fresh(&object, source) {
        Some(found) => found.result == CheckResult::Fail,
        None => prober.memory.probes.failed_within(&object, source, WINDOW),
    })
}

/// How often Okta is asked: soon and often while something of the hook seems to fail or the switch is not at rest
/// (`hurried`), or what Okta said last is too old. When another corroborating signal has begun to fail, then at the switch's next evaluation, and
/// again each time that it has failed twice as long, so that it does not stay alone for longer than it was: of several replicas
/// one may have failed first, and Okta may have come to another.
fn poll_interval(
    prober: &Prober,
    switch: &HookSwitch,
    object: &ObjectRef,
    source: Source,
    declared: Duration,
    hurried: bool,
    hurried_interval: HurriedInterval,
) -> PollInterval {
    let forgotten = prober.memory.probes.fresh(object, source).is_none();
    let now = if hurried || forgotten { declared.min(hurried_interval.again) } else { declared };
    let soon = switch_settings::watched(&switch.spec).interval.max(hurried_interval.least);
    let next =
        prober.memory.probes.others_fail_for(object, source).map_or(now, |failing| now.min(soon.max(failing / 2)));
    PollInterval { declared, now, next }
}

fn record(prober: &Prober, hook: &ObjectRef, source: Source, begun: Instant, finding: Finding) {
    if prober.memory.probes.found(hook, source, begun, finding) {
        let naming = prober.memory.caches.naming(&hook.namespace, &hook.name);
        prober
            .triggers
            .wake_all(naming.iter().map(|switch| Target::new(Kind::HookSwitch, &hook.namespace, switch.name_any())));
        let elsewhere = |hook: &Arc<TelephonyHook>| source == Source::PublicUrl && hook.spec.target.gateway().is_none();
        if let Some(external) = prober.memory.caches.hooks.get(&hook.namespace, &hook.name).filter(elsewhere) {
            // whether such a URL is reached is all that is known of it
            prober.triggers.wake_all(prober.memory.caches.org_of(&external));
            prober.triggers.wake(Target::new(Kind::TelephonyHook, &hook.namespace, &hook.name));
        }
    }
}
