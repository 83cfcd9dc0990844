use std::collections::BTreeMap;

use super::*;
use hookswitch_failover::{
    health::Health,
    machine::{HookObservation, Moment, Observation, Restored},
    signal::{Signal, Source},
};

fn observation(health: CheckResult, signal: CheckResult, why: &str) -> SwitchObservation {
    let health = Health { result: health, percent: None, failing_for: Duration::ZERO };
    let hook = HookObservation {
        name: "a".into(),
        health,
        provable: true,
        usable_in_okta: true,
        refused: false,
        leaving: false,
    };
    let observation =
        Observation { hooks: vec![hook], okta: InOkta::Unknown, paused: false, request: None, acknowledged: false };
    let signal = Signal { source: Source::Gateway, result: signal, why: why.into(), failing_for: Duration::ZERO };
    SwitchObservation {
        for_machine: observation,
        signals: BTreeMap::from([("a".to_owned(), vec![signal])]),
        progress: None,
        calls: None,
    }
}

#[test]
fn a_result_keeps_its_time_until_it_is_another_one() {
    let at = |time: &str| format!("2026-11-27T{time}Z").parse::<Timestamp>().unwrap();
    let mut shown: Vec<SwitchedHook> = Vec::new();
    for (now, health, signal, why, since_health, since_signal) in [
        ("10:00:00", CheckResult::Pass, CheckResult::Pass, "well", "10:00:00", "10:00:00"),
        ("10:00:05.4", CheckResult::Pass, CheckResult::Pass, "well", "10:00:00", "10:00:00"),
        ("10:00:10", CheckResult::Pass, CheckResult::Pass, "Degraded", "10:00:00", "10:00:00"),
        ("10:00:15.4", CheckResult::Unknown, CheckResult::Pass, "well", "10:00:15", "10:00:00"),
        ("10:00:20", CheckResult::Fail, CheckResult::Fail, "gone", "10:00:20", "10:00:20"),
        ("10:00:25", CheckResult::Pass, CheckResult::Pass, "well", "10:00:25", "10:00:25"),
    ] {
        shown = hooks(&observation(health, signal, why), &|_| HookStanding::NotReady, &shown, at(now));
        assert_eq!(shown[0].since, Some(at(since_health).to_string()), "{now}");
        assert_eq!(shown[0].signals[0].since, Some(at(since_signal).to_string()), "{now}");
    }
}

fn of(okta: InOkta) -> SwitchObservation {
    let mut observation = observation(CheckResult::Pass, CheckResult::Pass, "well");
    observation.for_machine.okta = okta;
    observation
}

#[test]
fn a_standby_is_ready_when_it_is_proven_and_whatever_keeps_it_from_that_is_named() {
    let ours = || of(InOkta::Ours("a".into()));
    let b = HookObservation { name: "b".into(), ..ours().for_machine.hooks[0].clone() };
    let rows = [
        (Some("b"), None, None, of(InOkta::Unknown), Is::Unknown, FailoverReady::Unknown, "Okta's management API"),
        (Some("b"), None, None, ours(), Is::True, FailoverReady::StandbyProven, "b could take over now."),
        (None, Some(&b), None, ours(), Is::Unknown, FailoverReady::StandbyUnproven, "b is reachable but not proven"),
        (None, None, Some(&b), ours(), Is::False, FailoverReady::StandbyNotReady, "TelephonyHook b"),
        (None, None, None, ours(), Is::False, FailoverReady::StandbyNotReady, "No standby has passed"),
        (None, Some(&b), None, of(InOkta::Nobody), Is::Unknown, FailoverReady::StandbyUnproven, "Give it"),
    ];
    for (standby, reached, hindered, observation, is, reason, text) in rows {
        let (was, because, message) = ready_to_fail_over(standby, reached, hindered, &observation);
        assert_eq!((was, because), (is, reason), "{message}");
        assert!(message.contains(text), "{message}");
    }
}

#[test]
fn the_hook_that_is_to_be_active_is_judged_by_what_speaks_of_it() {
    let machine = |target: Option<&str>| {
        let restored = Restored { target: target.map(str::to_owned), ..Restored::default() };
        Machine::restore(restored, Moment::at(0))
    };
    for (target, result, signal, is, reason, text) in [
        (None, CheckResult::Pass, CheckResult::Pass, Is::Unknown, Healthy::NoReport, "The switch has no target yet."),
        (
            Some("b"),
            CheckResult::Pass,
            CheckResult::Pass,
            Is::Unknown,
            Healthy::NoReport,
            "The switch has no target yet.",
        ),
        (Some("a"), CheckResult::Pass, CheckResult::Pass, Is::True, Healthy::Usable, "a can deliver."),
        (Some("a"), CheckResult::Fail, CheckResult::Fail, Is::False, Healthy::Down, "a: gone"),
        (Some("a"), CheckResult::Fail, CheckResult::Pass, Is::False, Healthy::Down, "a: "),
        (Some("a"), CheckResult::Unknown, CheckResult::Unknown, Is::Unknown, Healthy::NoReport, "a: gone"),
    ] {
        let shown = healthy(&machine(target), &observation(result, signal, "gone"));
        assert_eq!(shown, (is, reason, text.to_owned()));
    }
}

#[test]
fn every_hold_has_its_reason_and_a_switch_under_way_waits_for_a_foreign_hook_alone() {
    let holds = [
        (Hold::Mode, "ModeForbids"),
        (Hold::Paused, "Paused"),
        (Hold::OktaUnknown, "OktaUnknown"),
        (Hold::Conflict, "Conflict"),
        (Hold::AllFail, "AllHooksFail"),
        (Hold::StandbyNotReady, "StandbyNotReady"),
        (Hold::StandbyUnproven, "StandbyUnproven"),
        (Hold::StandbyNoBetter, "StandbyNoBetter"),
        (Hold::Cooldown, "Cooldown"),
        (Hold::BudgetSpent, "BudgetSpent"),
        (Hold::Refused, "ActivationRefused"),
    ];
    for (hold, reason) in holds {
        assert_eq!(format!("{:?}", held(&Phase::Held(hold), &InOkta::Nobody).0), reason);
    }
    let under_way = Phase::FailingOver { from: None, cause: Cause::Failed };
    assert_eq!(held(&under_way, &InOkta::Other).0, Held::Conflict);
    assert_eq!(held(&under_way, &InOkta::Nobody).0, Held::NotHeld);
    assert_eq!(held(&Phase::Healthy, &InOkta::Other).0, Held::NotHeld);
}

#[test]
fn each_thing_that_happens_is_published_with_its_reason_and_what_is_bad_as_a_warning() {
    let (from, to, took) = (Some("a".to_owned()), "b".to_owned(), Duration::from_millis(1_500));
    let started = |cause| Transition::Started { from: from.clone(), to: to.clone(), cause };
    let rows = [
        (Transition::Suspect("a".into()), true, "HookSuspect", "a fails"),
        (Transition::Cleared("a".into()), false, "HookCleared", "a is healthy"),
        (Transition::Lapsed("a".into()), false, "SuspicionLapsed", "a has not failed again"),
        (started(Cause::Failed), true, "SwitchStarted", "Switching from a to b (cause Failed)."),
        (started(Cause::Promoted), false, "SwitchStarted", "Switching from a to b (cause Promoted)."),
        (
            Transition::Switched { from: None, to: to.clone(), cause: Cause::Failed, took },
            false,
            "Switched",
            "Okta now uses b. Switched in 1500 ms (cause Failed).",
        ),
        (
            Transition::Failed { from: from.clone(), to: to.clone(), cause: Cause::Failed, took },
            true,
            "SwitchFailed",
            "Okta still uses a.",
        ),
        (
            Transition::Failed { from: None, to: to.clone(), cause: Cause::Failed, took },
            true,
            "SwitchFailed",
            "still uses no hook.",
        ),
        (Transition::Held(Hold::Cooldown), true, "SwitchHeld", "No switch: "),
        (Transition::WouldSwitch { to: to.clone() }, true, "WouldSwitch", "would now switch to b."),
        (Transition::Recovering("a".into()), false, "FirstHookRecovered", "a is healthy again"),
        (Transition::RequestRefused("the mode is Disabled"), true, "RequestRefused", "the mode is Disabled."),
    ];
    for (transitions, warning, reason, text) in rows {
        let (is_warning, because, message) = note(&transitions);
        assert_eq!((is_warning, because), (warning, reason), "{message}");
        assert!(message.contains(text), "{message}");
    }
}

#[test]
fn switches_count_until_they_are_as_old_as_what_they_count_for_and_leave_with_the_next_thing_that_happens() {
    let now: Timestamp = "2026-11-27T12:00:00Z".parse().unwrap();
    let settings = Settings { window: Duration::from_secs(100), cooldown: Duration::ZERO, ..Settings::default() };
    let ago = |seconds: i64| (now - SignedDuration::from_secs(seconds)).to_string();
    let mut status = HookSwitchStatus { automatic: vec![ago(100), ago(99)], ..HookSwitchStatus::default() };
    automatic(&mut status, &[], &settings, now);
    assert_eq!(status.automatic.len(), 2, "nothing is written for an age alone");
    automatic(&mut status, &[Transition::Cleared("a".into())], &settings, now);
    assert_eq!(status.automatic, [ago(99)]);
    let began = |cause| Transition::Started { from: None, to: "b".into(), cause };
    automatic(&mut status, &[began(Cause::Failed), began(Cause::Promoted)], &settings, now);
    assert_eq!(status.automatic, [ago(99), now.to_string()], "a person's is not counted");
    automatic(&mut status, &vec![began(Cause::Failed); 30], &settings, now);
    assert_eq!(status.automatic.len(), 20);
}

#[test]
fn a_switch_that_ended_is_recorded_with_how_it_did() {
    let (now, took) = ("2026-11-27T12:00:00Z".parse().unwrap(), Duration::from_millis(37));
    let ended = |to: &str| (Some("a".to_owned()), to.to_owned());
    let ((from, to), mut status) = (ended("b"), HookSwitchStatus::default());
    let transitions = [
        Transition::Suspect("a".into()),
        Transition::Switched { from: from.clone(), to: to.clone(), cause: Cause::Failed, took },
        Transition::Failed { from, to, cause: Cause::Promoted, took },
    ];
    record(&mut status, &transitions, None, now);
    let shown: Vec<_> =
        status.history.iter().map(|one| (one.to.as_str(), one.cause.as_str(), one.outcome.as_str())).collect();
    assert_eq!(shown, [("b", "Failed", "Switched"), ("b", "Promoted", "Failed")]);
}
