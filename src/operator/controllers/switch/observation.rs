//! What is seen of a switch's hooks: their gateways' reports, and Okta's side as the org's last reconcile found it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;

use super::{annotations::RequestedSwitch, traffic::Calls};
use crate::operator::{
    model::{
        object_ref::object_ref,
        ownership,
        switch_progress::{SwitchDecision, SwitchProgress},
        switch_settings,
    },
    probes,
    resolve::in_okta,
    state::{Memory, orgs::HookView},
};
use hookswitch_api::{HookSwitch, SwitchMode, TelephonyHook};
use hookswitch_failover::{
    health::Health,
    machine::{HookObservation, InOkta, Observation},
    refusals::{self, Callers, Oktas},
    signal::{CheckResult, Signal, Source},
};
use hookswitch_okta::{
    ObjectRef,
    plan::{Blocked, HookOutcome},
};

/// What is seen, for the machine and for people.
#[derive(Debug, Clone)]
pub struct SwitchObservation {
    /// For the machine.
    pub for_machine: Observation,
    /// The signals of each hook.
    pub signals: BTreeMap<String, Vec<Signal>>,
    /// What this process did in Okta for the decision that is recorded.
    pub progress: Option<SwitchProgress>,
    /// Okta's calls to the hook that it uses; nothing when it does not say which one that is.
    pub calls: Option<Calls>,
}

/// Observes every hook of a switch. `ready_destinations`: those whose destinations a hook in Okta could be pointed at now.
#[must_use]
pub fn see(
    switch: &HookSwitch,
    hooks: &[Arc<TelephonyHook>],
    memory: &Memory,
    asked: &RequestedSwitch,
    ready_destinations: &BTreeSet<String>,
) -> SwitchObservation {
    let namespace = switch.namespace().unwrap_or_default();
    let threshold = switch_settings::coverage(&switch.spec);
    let watched = switch_settings::watched(&switch.spec);
    let mut signals = BTreeMap::new();
    let mut observed_hooks = Vec::new();
    let okta = in_okta::in_use(switch, memory);
    let used = match &okta {
        InOkta::Ours(name) => hooks.iter().find(|hook| hook.name_any() == *name),
        _ => None,
    };
    let is_used = |name: &str| used.is_some_and(|used| used.name_any() == name);
    let org = memory.caches.org(switch).map(|org| memory.orgs.view(&namespace, &org));
    let target = switch.status.as_ref().and_then(|status| status.target.as_deref());
    for named in &switch.spec.hooks {
        let Some(hook) = hooks.iter().find(|hook| hook.name_any() == named.name) else { continue };
        let target_of = &hook.spec.target;
        let reported = |gateway| memory.reports.signals(&namespace, gateway, &named.name, threshold);
        let (mut of_hook, percent) = target_of.gateway().map(reported).unwrap_or_default();
        let object = ObjectRef::new(&namespace, &named.name);
        let called = last_call(hook, memory).is_some_and(|age| age <= watched.interval);
        for source in watched.corroborating_sources(target_of) {
            of_hook.push(if source.is_oktas() && !is_used(&named.name) {
                unknown(source, UNUSED)
            } else {
                believed(memory.probes.signal(&object, source), called)
            });
        }
        let stands = ObjectRef::new(&namespace, ownership::in_okta(switch, &named.name));
        let view = org.as_ref().and_then(|org| org.hooks.get(&stands));
        let outcome = view.map(|view| &view.verdict.outcome);
        let leaving = hook.metadata.deletion_timestamp.is_some();
        observed_hooks.push(HookObservation {
            name: named.name.clone(),
            health: Health { result: CheckResult::Unknown, percent, failing_for: Duration::ZERO },
            provable: target_of.gateway().is_some() || watched.test_of(target_of).is_some(),
            leaving,
            usable_in_okta: !leaving && can_be_used(switch, &named.name, view, ready_destinations),
            refused: matches!(outcome, Some(HookOutcome::Blocked(Blocked::ActivationRefused)))
                || target == Some(named.name.as_str())
                    && switch.spec.repoints()
                    && matches!(outcome, Some(HookOutcome::Blocked(Blocked::UpdateRefused))),
        });
        signals.insert(named.name.clone(), of_hook);
    }
    blind(&mut signals);
    for hook in &mut observed_hooks {
        let Some(of_hook) = signals.get_mut(&hook.name) else { continue };
        // the calls to a URL that somebody else serves are not ours to count
        if of_hook.iter().any(|signal| signal.source.suffices()) {
            of_hook.push(match used {
                _ if switch.spec.mode == Some(SwitchMode::Disabled) => unknown(
                    Source::Refusals,
                    "In mode Disabled Okta is not asked whether the refused calls are its own.",
                ),
                Some(used) if is_used(&hook.name) => {
                    refusals::judge(memory.reports.auth_statistics_of(used), callers(used, of_hook, memory))
                }
                _ => unknown(Source::Refusals, UNUSED),
            });
        }
        hook.health = Health::of(of_hook, hook.health.percent);
    }
    let observation = Observation {
        hooks: observed_hooks,
        okta,
        paused: switch.spec.paused == Some(true) || in_maintenance(switch, Timestamp::now()),
        request: asked.request.clone(),
        acknowledged: asked.acknowledged,
    };
    let progress = org.as_ref().and_then(|org| org.progress.get(&switch.name_any()));
    let progress = progress.filter(|progress| Some(&progress.decision) == SwitchDecision::of(switch).as_ref()).cloned();
    SwitchObservation { for_machine: observation, signals, progress, calls: used.map(|used| calls(used, memory)) }
}

/// Whether Okta could be made to use a hook now: what the planner would say if it were asked. With one hook in Okta that is
/// repointed, its state stays, and the destination must be one that it can be given.
fn can_be_used(
    switch: &HookSwitch,
    name: &str,
    view: Option<&HookView>,
    ready_destinations: &BTreeSet<String>,
) -> bool {
    let Some(view) = view else { return false };
    let exists = view.verdict.hook.is_some();
    if switch.spec.repoints() {
        return exists && ready_destinations.contains(name);
    }
    let created_then = matches!(view.verdict.outcome, HookOutcome::Blocked(Blocked::StandbyNotCreated));
    (exists || created_then) && view.verdict.hindrance.is_none()
}

/// Why nobody can say of a hook whether Okta reaches it.
const UNUSED: &str = "Okta does not use it now.";

fn unknown(source: Source, why: &str) -> Signal {
    Signal { source, result: CheckResult::Unknown, why: why.to_owned(), failing_for: Duration::ZERO }
}

/// Whose the calls may be that a hook's gateway refuses.
fn callers(hook: &TelephonyHook, signals: &[Signal], memory: &Memory) -> Callers {
    let object = object_ref(hook);
    Callers {
        okta: signals
            .iter()
            .find(|signal| signal.source == Source::Execute)
            .map_or(Oktas::Perhaps, |said| probes::whose_refusals(said.result, memory.probes.bad_answers_for(&object))),
        // as it was found, not as it is believed: the gateway refused that call all the same
        operator: memory.probes.failed_within(&object, Source::PublicUrl, refusals::OWN),
    }
}

/// How long ago Okta last called a hook, as its gateway reports it.
fn last_call(hook: &TelephonyHook, memory: &Memory) -> Option<Duration> {
    let namespace = hook.namespace().unwrap_or_default();
    memory.reports.last_call(&namespace, hook.spec.target.gateway()?, &hook.name_any())
}

/// Okta's calls to a hook, as its gateway reports them.
fn calls(hook: &TelephonyHook, memory: &Memory) -> Calls {
    match (last_call(hook, memory), memory.reports.auth_statistics_of(hook)) {
        (Some(age), _) => Calls::Last(age),
        (None, Some(_)) => Calls::None,
        (None, None) => Calls::Unreported,
    }
}

/// That the operator does not reach a hook which Okta itself called lately, and was answered by in time, is the operator's
/// trouble.
fn believed(signal: Signal, called: bool) -> Signal {
    if signal.source == Source::PublicUrl && signal.result == CheckResult::Fail && called {
        let why = format!("Okta's own calls arrive, so this is ignored: {}", signal.why);
        return Signal { result: CheckResult::Unknown, why, ..signal };
    }
    signal
}

/// When this operator reaches no hook's address at all, it says something of the operator's network and nothing of the hooks.
fn blind(signals: &mut BTreeMap<String, Vec<Signal>>) {
    if signals.values().flatten().any(|signal| signal.source.is_oktas() && signal.result == CheckResult::Fail) {
        // Okta does not reach one of them either
        return;
    }
    let of_address = |signal: &&Signal| signal.source == Source::PublicUrl;
    let addresses: Vec<&Signal> = signals.values().flatten().filter(of_address).collect();
    if addresses.len() < 2 || addresses.iter().any(|signal| signal.result != CheckResult::Fail) {
        return;
    }
    let by_us = |signal: &&mut Signal| signal.source.is_operators() && signal.result == CheckResult::Fail;
    for signal in signals.values_mut().flatten().filter(by_us) {
        signal.result = CheckResult::Unknown;
        signal.why =
            format!("No hook's address answers the operator, so its own network may be at fault: {}", signal.why);
    }
}

fn in_maintenance(switch: &HookSwitch, now: Timestamp) -> bool {
    switch.spec.maintenance.iter().any(|window| {
        let (from, until) = (window.from.parse::<Timestamp>(), window.until.parse::<Timestamp>());
        matches!((from, until), (Ok(from), Ok(until)) if from <= now && now < until)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use hookswitch_okta::plan::Waiting;

    use super::*;
    use hookswitch_okta::{
        plan::HookVerdict,
        types::{HookId, HookStatus},
    };

    fn signal(source: Source, result: CheckResult) -> Signal {
        Signal { source, result, why: "said".into(), failing_for: Duration::from_secs(7) }
    }

    #[test]
    fn an_operator_that_reaches_no_address_is_believed_only_with_okta_on_its_side() {
        use CheckResult::{Fail, Pass, Unknown};
        let after = |a: &[(Source, CheckResult)], b: &[(Source, CheckResult)]| {
            let of = |signals: &[(Source, CheckResult)]| {
                signals.iter().map(|(source, result)| signal(*source, *result)).collect()
            };
            let mut signals = BTreeMap::from([("a".to_owned(), of(a)), ("b".to_owned(), of(b))]);
            blind(&mut signals);
            signals["a"].iter().chain(&signals["b"]).map(|signal: &Signal| signal.result).collect::<Vec<_>>()
        };
        let (url, test, gateway, execute) = (Source::PublicUrl, Source::Test, Source::Gateway, Source::Execute);
        // its own two corroborating signals are taken back, the gateway's word is not
        assert_eq!(
            after(&[(url, Fail), (gateway, Fail)], &[(url, Fail), (test, Fail)]),
            [Unknown, Fail, Unknown, Unknown]
        );
        assert_eq!(after(&[(url, Fail)], &[(url, Pass)]), [Fail, Pass], "it reaches one");
        assert_eq!(after(&[(url, Fail)], &[(url, Unknown)]), [Fail, Unknown], "it cannot tell of one");
        assert_eq!(after(&[(url, Fail)], &[(gateway, Fail)]), [Fail, Fail], "one address alone shows nothing");
        assert_eq!(after(&[(url, Fail), (execute, Fail)], &[(url, Fail)]), [Fail, Fail, Fail], "Okta does not either");
        assert_eq!(after(&[(url, Fail), (execute, Pass)], &[(url, Fail)]), [Unknown, Pass, Unknown]);
    }

    #[test]
    fn what_okta_itself_calls_is_not_unreachable_whatever_this_operator_reaches() {
        let believed_of = |source, result, called| believed(signal(source, result), called);
        let taken_back = believed_of(Source::PublicUrl, CheckResult::Fail, true);
        assert_eq!((taken_back.result, taken_back.source), (CheckResult::Unknown, Source::PublicUrl));
        assert_eq!(taken_back.why, "Okta's own calls arrive, so this is ignored: said");
        assert_eq!(taken_back.failing_for, Duration::from_secs(7));
        for (source, result, called) in [
            (Source::PublicUrl, CheckResult::Fail, false),
            (Source::PublicUrl, CheckResult::Pass, true),
            (Source::Test, CheckResult::Fail, true),
        ] {
            assert_eq!(believed_of(source, result, called), signal(source, result));
        }
    }

    fn switch(spec: &Value) -> HookSwitch {
        let mut spec = spec.clone();
        spec["hooks"] = json!([{"name": "a"}, {"name": "b"}]);
        serde_json::from_value(json!({"metadata": {"name": "s", "namespace": "otp"}, "spec": spec})).unwrap()
    }

    #[test]
    fn a_maintenance_window_holds_from_its_first_instant_to_before_its_last() {
        let switch = switch(&json!({"maintenance": [
            {"from": "2026-11-27T10:00:00Z", "until": "2026-11-27T11:00:00Z"},
            {"from": "no time", "until": "2026-11-27T23:00:00Z"},
            {"from": "2026-11-28T10:00:00Z", "until": "2026-11-28T09:00:00Z"}]}));
        for (at, within) in [
            ("2026-11-27T09:59:59Z", false),
            ("2026-11-27T10:00:00Z", true),
            ("2026-11-27T10:59:59Z", true),
            ("2026-11-27T11:00:00Z", false),
            ("2026-11-28T09:30:00Z", false),
        ] {
            assert_eq!(in_maintenance(&switch, at.parse().unwrap()), within, "{at}");
        }
    }

    #[test]
    fn a_hook_can_be_used_when_the_planner_would_use_it_or_its_destination_can_be_given() {
        let view = |exists: bool, outcome: HookOutcome, hindered: bool| {
            let hook = exists.then(|| HookId::new("cal1").unwrap());
            let hindrance = hindered.then_some(HookOutcome::Waiting(Waiting::EndpointNotReady));
            let verdict = HookVerdict {
                object: ObjectRef::new("otp", "a"),
                hook,
                status: Some(HookStatus::Inactive),
                drift: Vec::new(),
                duplicates: Vec::new(),
                outcome,
                hindrance,
            };
            HookView::of(verdict, None)
        };
        let swaps = switch(&json!({}));
        let none = BTreeSet::new();
        let usable =
            |exists, outcome, hindered| can_be_used(&swaps, "a", Some(&view(exists, outcome, hindered)), &none);
        assert!(usable(true, HookOutcome::InSync, false));
        assert!(!usable(true, HookOutcome::InSync, true));
        assert!(!usable(false, HookOutcome::Changing, false));
        let created_then = || HookOutcome::Blocked(Blocked::StandbyNotCreated);
        assert!(usable(false, created_then(), false), "it is created when it is to be active");
        assert!(!usable(false, created_then(), true));
        assert!(!can_be_used(&swaps, "a", None, &none), "nobody knows");
        let points = switch(&json!({"strategy": "Repoint"}));
        let ready_destinations = BTreeSet::from(["a".to_owned()]);
        let shown = view(true, HookOutcome::InSync, true);
        assert!(can_be_used(&points, "a", Some(&shown), &ready_destinations), "its state stays as it is");
        assert!(!can_be_used(&points, "b", Some(&shown), &ready_destinations));
        assert!(!can_be_used(&points, "a", Some(&view(false, HookOutcome::InSync, false)), &ready_destinations));
    }
}
