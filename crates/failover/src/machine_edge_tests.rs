//! The machine at the very edge of each of its times and counts.

use std::time::Duration;

use super::health::Health;
use super::machine::{Cause, Hold, HookObservation, InOkta, Machine, Moment, Observation, Phase, Restored, Transition};
use super::machine_tests::{Play, started};
use super::settings::{Failback, Mode, Settings};
use super::signal::CheckResult::{self, Fail, Pass, Unknown};

/// Switched to `b`, which fails so that it is to be left `after` the switch.
fn left_again(after: i64, change: impl FnOnce(&mut Settings)) -> Play {
    let mut play = Play::new(change);
    play.evaluations(6, Fail, Pass);
    assert_eq!(play.target(), "b");
    let switched = play.now - 5_000;
    // three evaluations that fail, and the delay of ten seconds
    while play.now + 25_000 < switched + after {
        play.evaluations(1, Pass, Pass);
    }
    play.evaluations(5, Pass, Fail);
    assert_eq!(play.now - switched, after, "the look that may leave it");
    play
}

#[test]
fn a_cooldown_is_over_when_its_time_is_and_not_an_evaluation_before() {
    let cooldown = |settings: &mut Settings| settings.cooldown = Duration::from_secs(100);
    assert_eq!(left_again(95_000, cooldown).machine.phase(), &Phase::Held(Hold::Cooldown));
    assert_eq!(left_again(100_000, cooldown).target(), "a");
}

#[test]
fn a_switch_leaves_the_budget_when_the_window_is_over_and_not_an_evaluation_before() {
    let budget = |settings: &mut Settings| {
        (settings.budget, settings.window, settings.cooldown) = (1, Duration::from_secs(100), Duration::from_mins(2));
    };
    let spent = left_again(95_000, budget);
    assert_eq!(spent.machine.phase(), &Phase::Held(Hold::BudgetSpent));
    assert!(spent.machine.is_spent());
    let cooling = left_again(100_000, budget);
    assert_eq!(cooling.machine.phase(), &Phase::Held(Hold::Cooldown), "it still counts for the cooldown");
    assert!(!cooling.machine.is_spent());
}

#[test]
fn a_return_that_nobody_asked_for_leaves_one_switch_of_the_budget() {
    for (budget, returns) in [(2, 0), (3, 1)] {
        let mut play = Play::new(|settings| {
            settings.budget = budget;
            settings.failback = Failback::After(Duration::from_mins(10));
        });
        play.evaluations(6, Fail, Pass);
        assert_eq!(play.target(), "b");
        assert_eq!(started(&play.evaluations(300, Pass, Pass)), returns, "a budget of {budget}");
    }
}

#[test]
fn an_evaluation_without_a_result_is_no_relapse_of_a_hook_that_recovers_and_one_that_fails_is() {
    for (result, phase) in [(Unknown, Phase::Recovering), (Fail, Phase::OnStandby)] {
        let mut play = Play::new(|_| {});
        play.evaluations(6, Fail, Pass);
        play.evaluations(4, Pass, Pass);
        assert_eq!(play.machine.phase(), &Phase::Recovering);
        play.evaluations(1, result, Pass);
        assert_eq!(play.machine.phase(), &phase, "{result:?}");
    }
}

fn observation(names: &[&str], result: CheckResult, okta: InOkta) -> Observation {
    let hook = |name: &&str| HookObservation {
        name: (*name).to_owned(),
        health: Health { result, percent: None, failing_for: Duration::ZERO },
        provable: true,
        usable_in_okta: true,
        leaving: false,
        refused: false,
    };
    Observation { hooks: names.iter().map(hook).collect(), okta, paused: false, request: None, acknowledged: false }
}

#[test]
fn where_nothing_is_active_and_nobody_is_well_the_first_decision_waits_for_rise_evaluations_exactly() {
    let settings = Settings::default();
    let mut machine = Machine::new(Moment::at(0));
    for at in [5_000, 10_000, 14_999] {
        machine.step(&observation(&["a", "b"], Unknown, InOkta::Nobody), &settings, Moment::at(at));
        assert_eq!(machine.target(), None, "{at} ms");
    }
    machine.step(&observation(&["a", "b"], Unknown, InOkta::Nobody), &settings, Moment::at(15_000));
    assert_eq!(machine.target(), Some("a"));
}

#[test]
fn a_switch_of_one_hook_judges_it_like_any_other() {
    let (settings, mut machine) = (Settings::default(), Machine::new(Moment::at(0)));
    for evaluation in 1..=6 {
        let transitions = machine.step(
            &observation(&["a"], Fail, InOkta::Ours("a".into())),
            &settings,
            Moment::at(evaluation * 5_000),
        );
        assert_eq!(started(&transitions), 0);
    }
    assert_eq!((machine.target(), machine.phase()), (Some("a"), &Phase::Held(Hold::AllFail)));
}

#[test]
fn a_hook_that_is_not_named_any_more_is_no_target_and_its_evaluations_do_not_count_for_one_of_that_name() {
    let (settings, mut machine) = (Settings::default(), Machine::new(Moment::at(0)));
    let mut at = 0;
    let mut evaluate = |machine: &mut Machine, names: &[&str], result, okta: &str| {
        at += 5_000;
        machine.step(&observation(names, result, InOkta::Ours(okta.into())), &settings, Moment::at(at));
    };
    for _ in 0..2 {
        evaluate(&mut machine, &["a", "b"], Fail, "a");
    }
    evaluate(&mut machine, &["b", "c"], Pass, "b");
    assert_eq!((machine.target(), machine.phase()), (Some("b"), &Phase::Healthy));
    for _ in 0..2 {
        evaluate(&mut machine, &["a", "b"], Fail, "a");
    }
    assert_eq!((machine.target(), machine.phase()), (Some("a"), &Phase::Healthy), "two looks, not four");
}

#[test]
fn an_evaluation_counts_from_nine_tenths_of_the_interval_on() {
    for (step, phase) in [(4_499, Phase::Healthy), (4_500, Phase::Suspect)] {
        let mut play = Play::new(|_| {});
        for _ in 0..3 {
            play.now += step - 5_000;
            play.evaluations(1, Fail, Pass);
        }
        assert_eq!(play.machine.phase(), &phase, "looks {step} ms apart");
    }
}

#[test]
fn only_who_observes_says_what_it_would_do_and_not_while_it_is_paused() {
    for (mode, paused, says) in [
        (Mode::Observe, false, 1),
        (Mode::Observe, true, 0),
        (Mode::Manual, false, 0),
        (Mode::Automatic, true, 0),
        (Mode::Automatic, false, 0),
    ] {
        let mut play = Play::new(|settings| settings.mode = mode);
        play.paused = paused;
        let transitions = play.evaluations(20, Fail, Pass);
        let would = transitions.iter().filter(|one| matches!(one, Transition::WouldSwitch { .. }));
        assert_eq!(would.count(), says, "{mode:?}, paused: {paused}");
    }
}

#[test]
fn what_is_restored_is_as_old_as_it_was() {
    let ages = vec![Duration::from_secs(20), Duration::from_secs(3)];
    let restored = |suspect_for| Restored {
        target: Some("a".into()),
        failing_over: None,
        confirmed: true,
        suspect_for,
        switches: ages.clone(),
        budget_spent: false,
    };
    let machine = Machine::restore(restored(Some(Duration::from_secs(7))), Moment::at(60_000));
    assert_eq!(machine.since().age(Moment::at(60_000)), Duration::from_secs(7));
    let second_later: Vec<Duration> = ages.iter().map(|age| *age + Duration::from_secs(1)).collect();
    assert_eq!(machine.switches(Moment::at(61_000)), second_later);
}

#[test]
fn a_hook_makes_way_only_for_one_that_is_well_proven_and_not_refused() {
    let kept = |change: &dyn Fn(&mut Play), b| {
        let mut play = Play::new(|_| {});
        play.evaluations(3, Pass, b);
        play.leaving = [true, false];
        change(&mut play);
        let transitions = play.evaluations(4, Pass, b);
        (started(&transitions), play.target().to_owned())
    };
    assert_eq!(kept(&|_| {}, Fail), (0, "a".to_owned()), "it fails");
    assert_eq!(kept(&|play| play.refused = true, Pass), (0, "a".to_owned()), "Okta refused it");
    assert_eq!(kept(&|play| play.leaving = [true, true], Pass), (0, "a".to_owned()), "it leaves, too");
    assert_eq!(
        kept(&|play| (play.okta, play.follows) = (InOkta::Unknown, false), Pass),
        (0, "a".to_owned()),
        "nobody knows which one is active"
    );
    assert_eq!(kept(&|_| {}, Pass), (1, "b".to_owned()));
    let mut play = Play::new(|_| {});
    play.leaving = [true, false];
    let transitions = play.evaluations(1, Pass, Pass);
    assert!(matches!(transitions[..], [Transition::Started { cause: Cause::Deleted, .. }, ..]), "{transitions:?}");
}
