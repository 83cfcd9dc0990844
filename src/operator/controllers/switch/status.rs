//! What is said of a switch. Pure.

use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp, Unit};

use super::{
    observation::SwitchObservation,
    traffic::{self, FirstCall},
};
use crate::operator::{
    model::switch_progress::SwitchProgress,
    runtime::{
        conditions::{self, Is, Progress},
        problem::Problem,
        reconcile::UNSEEN,
        status::second,
    },
};
use hookswitch_api::{
    HandledRequests, HookSwitch, HookSwitchStatus, SwitchRecord, SwitchSignal, SwitchStep, SwitchedHook, Switching,
    reason::{FailoverActive, FailoverReady, Healthy, Held, StandbyIndependent},
};
use hookswitch_failover::{
    machine::{Cause, Hold, HookObservation, HookStanding, InOkta, Machine, Phase, Transition},
    settings::Settings,
    signal::CheckResult,
};

/// The status of a switch that cannot decide anything. What it decided before stays on record; nobody takes over by it.
#[must_use]
pub fn invalid(switch: &HookSwitch, problem: Problem) -> HookSwitchStatus {
    let message = "The switch cannot decide anything, see the condition Ready.";
    let (healthy, ready) = ((Healthy::Undecided, message), (Is::False, FailoverReady::Undecided, message));
    let mut status = blind(switch, healthy, ready);
    let generation = switch.metadata.generation;
    conditions::set_progress(&mut status.conditions, problem.progress(), generation);
    status.observed_generation = generation;
    status
}

/// The status of a switch that nobody evaluates, because objects that it reads cannot be listed.
#[must_use]
pub fn not_shown(switch: &HookSwitch) -> HookSwitchStatus {
    let ready = (Is::Unknown, FailoverReady::NotListed, UNSEEN);
    blind(switch, (Healthy::NotListed, UNSEEN), ready)
}

/// The status of a switch whose hooks are not observed: what was observed of them before is not said on.
fn blind(
    switch: &HookSwitch,
    (healthy, why): (Healthy, &str),
    (is, ready, message): (Is, FailoverReady, &str),
) -> HookSwitchStatus {
    let mut status = switch.status.clone().unwrap_or_default();
    let generation = switch.metadata.generation;
    status.standby = None;
    conditions::set(&mut status.conditions, Is::Unknown, healthy, why, generation);
    conditions::set(&mut status.conditions, is, ready, message, generation);
    status
}

/// The status after an evaluation, and the first call since a switch when it came.
#[must_use]
pub fn build(
    switch: &HookSwitch,
    machine: &Machine,
    observation: &SwitchObservation,
    settings: &Settings,
    transitions: &[Transition],
    handled: HandledRequests,
    shared: (StandbyIndependent, String),
) -> (HookSwitchStatus, Option<FirstCall>) {
    let mut status = switch.status.clone().unwrap_or_default();
    let generation = switch.metadata.generation;
    let before = status.active.clone();
    let now = Timestamp::now();
    let phase = machine.phase().as_str().to_owned();
    let changed = status.phase.as_ref() != Some(&phase) || status.target.as_deref() != machine.target();
    if changed || status.since.is_none() {
        status.since = Some(second(now));
    }
    status.phase = Some(phase);
    status.target = machine.target().map(str::to_owned);
    status.active = match &observation.for_machine.okta {
        InOkta::Ours(active) => Some(active.clone()),
        InOkta::Nobody | InOkta::Other => None,
        // what is not known now is not forgotten
        InOkta::Unknown => status.active.take(),
    };
    status.switching = match machine.phase() {
        Phase::FailingOver { from, cause } => Some(Switching { from: from.clone(), cause: cause.as_str().to_owned() }),
        _ => None,
    };
    let standing = |hook: &HookObservation| machine.standing(hook, settings);
    let others = || observation.for_machine.hooks.iter().filter(|hook| machine.target() != Some(hook.name.as_str()));
    let usable = |standing_of| others().find(|hook| hook.usable_in_okta && standing(hook) == standing_of);
    let hindered = others().find(|hook| !hook.usable_in_okta && standing(hook) == HookStanding::Proven);
    status.standby = usable(HookStanding::Proven).map(|hook| hook.name.clone());
    status.hooks = hooks(observation, &standing, &status.hooks, now);
    if observation.for_machine.acknowledged {
        // whoever leads next is to know it too
        status.automatic.clear();
    }
    automatic(&mut status, transitions, settings, now);
    record(&mut status, transitions, observation.progress.as_ref(), now);
    status.handled = (handled != HandledRequests::default()).then_some(handled);
    let first_call = traffic::confirm(&mut status, before.as_deref(), transitions, observation.calls, now, generation);
    let list = &mut status.conditions;
    let (is, reason, message) = healthy(machine, observation);
    conditions::set(list, is, reason, message, generation);
    let (is, reason, message) =
        ready_to_fail_over(status.standby.as_deref(), usable(HookStanding::Unproven), hindered, observation);
    conditions::set(list, is, reason, message, generation);
    let first = switch.spec.hooks.first().map(|hook| hook.name.as_str());
    let on_standby = machine.target().is_some() && machine.target() != first;
    let (reason, message) = if on_standby {
        (FailoverActive::OnStandby, format!("{} is meant to be active.", machine.target().unwrap_or_default()))
    } else {
        (FailoverActive::OnFirst, "The first hook is meant to be active.".to_owned())
    };
    conditions::set(list, on_standby.into(), reason, message, generation);
    let (reason, message) = held(machine.phase(), &observation.for_machine.okta);
    conditions::set(list, (reason != Held::NotHeld).into(), reason, message, generation);
    let (reason, message) = shared;
    conditions::set(list, (reason == StandbyIndependent::Independent).into(), reason, message, generation);
    conditions::set_progress(list, Progress::Done("The switch decides which hook is active.".into()), generation);
    status.observed_generation = generation;
    (status, first_call)
}

/// What is seen of each hook, with since when each result is what it is: `before` knows, unless it is another now.
fn hooks(
    observation: &SwitchObservation,
    standing: &dyn Fn(&HookObservation) -> HookStanding,
    before: &[SwitchedHook],
    now: Timestamp,
) -> Vec<SwitchedHook> {
    let since = |known: Option<(&String, &Option<String>)>, result: &str| {
        let same = known.filter(|(before, _)| *before == result).and_then(|(_, since)| since.clone());
        same.or_else(|| Some(second(now)))
    };
    let hooks = observation.for_machine.hooks.iter().map(|hook| {
        let before = before.iter().find(|before| before.name == hook.name);
        let signals = observation.signals.get(&hook.name).map(Vec::as_slice).unwrap_or_default();
        let signals = signals.iter().map(|signal| {
            let (source, result) = (signal.source.as_str(), signal.result.as_str());
            let known = before.and_then(|before| before.signals.iter().find(|signal| signal.source == source));
            SwitchSignal {
                source: source.to_owned(),
                result: result.to_owned(),
                since: since(known.map(|known| (&known.result, &known.since)), result),
                reason: conditions::bounded(signal.why.clone(), 500),
            }
        });
        let health = hook.health.result.as_str();
        SwitchedHook {
            name: hook.name.clone(),
            health: health.to_owned(),
            since: since(before.map(|before| (&before.health, &before.since)), health),
            proven: standing(hook) == HookStanding::Proven,
            signals: signals.collect(),
        }
    });
    hooks.collect()
}

/// The switches that cooldown and budget count.
fn automatic(status: &mut HookSwitchStatus, transitions: &[Transition], settings: &Settings, now: Timestamp) {
    let began =
        transitions.iter().filter(|one| matches!(one, Transition::Started { cause, .. } if cause.is_automatic()));
    status.automatic.extend(began.map(|_| now.round(Unit::Millisecond).unwrap_or(now).to_string()));
    let window = SignedDuration::try_from(settings.remembered()).unwrap_or(SignedDuration::MAX);
    let counts = |at: &String| at.parse::<Timestamp>().is_ok_and(|at| now.duration_since(at) < window);
    // entries leave when there is something else to write, so that a window that ends writes nothing by itself
    if !transitions.is_empty() {
        status.automatic.retain(counts);
        let surplus = status.automatic.len().saturating_sub(20);
        status.automatic.drain(..surplus);
    }
}

fn record(
    status: &mut HookSwitchStatus,
    transitions: &[Transition],
    progress: Option<&SwitchProgress>,
    now: Timestamp,
) {
    for one in transitions {
        let (from, to, cause, took, outcome) = match one {
            Transition::Switched { from, to, cause, took } => (from, to, cause, took, SwitchRecord::SWITCHED),
            Transition::Failed { from, to, cause, took } => (from, to, cause, took, SwitchRecord::FAILED),
            _ => continue,
        };
        // what somebody did in Okta's console is none of ours
        let progress = progress.filter(|_| *cause != Cause::InOkta);
        status.history.push(SwitchRecord {
            at: now.round(Unit::Millisecond).unwrap_or(now).to_string(),
            from: from.clone(),
            to: to.clone(),
            cause: cause.as_str().to_owned(),
            outcome: outcome.to_owned(),
            took_ms: millis(*took),
            without_active_ms: progress.and_then(SwitchProgress::without_active).map(millis),
            steps: steps(progress),
            first_call_after_ms: None,
        });
    }
    let surplus = status.history.len().saturating_sub(HookSwitchStatus::MOST_HISTORY);
    status.history.drain(..surplus);
}

fn steps(progress: Option<&SwitchProgress>) -> Vec<SwitchStep> {
    let all = progress.map(|progress| progress.steps.as_slice()).unwrap_or_default();
    let last = &all[all.len().saturating_sub(SwitchRecord::MOST_STEPS)..];
    let steps = last.iter().map(|step| SwitchStep {
        step: step.step.to_owned(),
        took_ms: millis(step.took),
        outcome: (step.outcome != "ok").then(|| step.outcome.to_owned()),
    });
    steps.collect()
}

fn millis(took: Duration) -> i64 {
    i64::try_from(took.as_millis()).unwrap_or(i64::MAX)
}

fn healthy(machine: &Machine, observation: &SwitchObservation) -> (Is, Healthy, String) {
    let active = observation.for_machine.hooks.iter().find(|hook| machine.target() == Some(hook.name.as_str()));
    let Some(active) = active else {
        return (Is::Unknown, Healthy::NoReport, "The switch has no target yet.".into());
    };
    let signals = observation.signals.get(&active.name).map(Vec::as_slice).unwrap_or_default();
    let why = |result| {
        let found = signals.iter().filter(|signal| signal.result == result).map(|signal| signal.why.as_str());
        format!("{}: {}", active.name, found.collect::<Vec<_>>().join(" "))
    };
    match active.health.result {
        CheckResult::Pass => (Is::True, Healthy::Usable, format!("{} can deliver.", active.name)),
        CheckResult::Fail => (Is::False, Healthy::Down, why(CheckResult::Fail)),
        CheckResult::Unknown => (Is::Unknown, Healthy::NoReport, why(CheckResult::Unknown)),
    }
}

fn ready_to_fail_over(
    standby: Option<&str>,
    reached: Option<&HookObservation>,
    hindered: Option<&HookObservation>,
    observation: &SwitchObservation,
) -> (Is, FailoverReady, String) {
    match (standby, reached) {
        _ if observation.for_machine.okta == InOkta::Unknown => {
            (Is::Unknown, FailoverReady::Unknown, "Okta's management API does not say which hook is active.".into())
        }
        (Some(standby), _) => (Is::True, FailoverReady::StandbyProven, format!("{standby} could take over now.")),
        (None, Some(reached)) => {
            let message = format!(
                "{} is reachable but not proven to deliver. Give it a target.url.test, or set detection.unprovenStandby to Allow.",
                reached.name
            );
            (Is::Unknown, FailoverReady::StandbyUnproven, message)
        }
        (None, None) if let Some(hindered) = hindered => {
            let message = format!(
                "{} is healthy, but Okta could not use it now; see the conditions of TelephonyHook {}.",
                hindered.name, hindered.name
            );
            (Is::False, FailoverReady::StandbyNotReady, message)
        }
        (None, None) => {
            let message = "No standby has passed enough observations in a row; see status.hooks.";
            (Is::False, FailoverReady::StandbyNotReady, message.into())
        }
    }
}

fn held(phase: &Phase, okta: &InOkta) -> (Held, String) {
    let hold = match phase {
        Phase::Held(hold) => hold,
        Phase::FailingOver { .. } if *okta == InOkta::Other => {
            return (Held::Conflict, format!("The switch under way waits: {}.", Hold::Conflict));
        }
        _ => return (Held::NotHeld, String::new()),
    };
    let reason = match hold {
        Hold::Mode => Held::ModeForbids,
        Hold::Paused => Held::Paused,
        Hold::OktaUnknown => Held::OktaUnknown,
        Hold::Conflict => Held::Conflict,
        Hold::AllFail => Held::AllHooksFail,
        Hold::StandbyNotReady => Held::StandbyNotReady,
        Hold::StandbyUnproven => Held::StandbyUnproven,
        Hold::StandbyNoBetter => Held::StandbyNoBetter,
        Hold::Cooldown => Held::Cooldown,
        Hold::BudgetSpent => Held::BudgetSpent,
        Hold::Refused => Held::ActivationRefused,
    };
    (reason, format!("The active hook fails, and the switch is held: {hold}."))
}

/// The Event of something that happened: whether it is a warning, its reason and its text.
#[must_use]
pub fn note(transition: &Transition) -> (bool, &'static str, String) {
    let away = |from: &Option<String>| from.as_ref().map(|from| format!(" from {from}")).unwrap_or_default();
    match transition {
        Transition::Suspect(hook) => (true, "HookSuspect", format!("{hook} fails; see status.hooks.")),
        Transition::Cleared(hook) => (false, "HookCleared", format!("{hook} is healthy again.")),
        Transition::Lapsed(hook) => (
            false,
            "SuspicionLapsed",
            format!("{hook} has not failed again, but has not passed either; see status.hooks."),
        ),
        Transition::Started { from, to, cause } => (
            cause.is_automatic(),
            "SwitchStarted",
            format!("Switching{} to {to} (cause {}).", away(from), cause.as_str()),
        ),
        Transition::Switched { from, to, cause, took } => (
            false,
            "Switched",
            format!(
                "Okta now uses {to}. Switched{} in {} ms (cause {}).",
                away(from),
                took.as_millis(),
                cause.as_str()
            ),
        ),
        Transition::Failed { from, to, .. } => (
            true,
            "SwitchFailed",
            format!(
                "{to} could not be made active; see its status. Okta still uses {}.",
                from.as_deref().unwrap_or("no hook")
            ),
        ),
        Transition::Held(hold) => (true, "SwitchHeld", format!("No switch: {hold}.")),
        Transition::WouldSwitch { to } => {
            (true, "WouldSwitch", format!("In mode Automatic, this switch would now switch to {to}."))
        }
        Transition::Recovering(hook) => {
            (false, "FirstHookRecovered", format!("{hook} is healthy again and can take over; see spec.failback."))
        }
        Transition::RequestRefused(why) => (true, "RequestRefused", format!("The annotation was not acted on: {why}.")),
    }
}

#[cfg(test)]
mod tests;
