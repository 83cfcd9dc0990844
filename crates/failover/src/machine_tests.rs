use std::time::Duration;

use super::health::Health;
use super::machine::{
    Cause, Hold, HookObservation, InOkta, Machine, Moment, Observation, Phase, Restored, SwitchRequest, Transition,
};
use super::settings::{Failback, Mode, Settings, Unproven};
use super::signal::CheckResult::{self, Fail, Pass, Unknown};

/// A switch over `a` and `b`, evaluated every five seconds, in an Okta that does at once what is decided.
pub(super) struct Play {
    pub(super) machine: Machine,
    pub(super) settings: Settings,
    pub(super) now: i64,
    pub(super) okta: InOkta,
    pub(super) follows: bool,
    pub(super) refused: bool,
    pub(super) paused: bool,
    failing_for: Duration,
    provable: [bool; 2],
    pub(super) leaving: [bool; 2],
}

impl Play {
    pub(super) fn new(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings::default();
        change(&mut settings);
        let machine = Machine::new(Moment::at(0));
        let mut play = Self {
            machine,
            settings,
            now: 0,
            okta: InOkta::Ours("a".into()),
            follows: true,
            refused: false,
            paused: false,
            failing_for: Duration::ZERO,
            provable: [true, true],
            leaving: [false, false],
        };
        play.evaluations(3, Pass, Pass);
        play
    }

    pub(super) fn ask(
        &mut self,
        a: CheckResult,
        b: CheckResult,
        request: Option<SwitchRequest>,
        acknowledged: bool,
    ) -> Vec<Transition> {
        self.now += 5_000;
        let [of_a, of_b] = self.provable;
        let [a_leaves, b_leaves] = self.leaving;
        let hook = |name: &str, result, provable, refused, leaving: bool| HookObservation {
            name: name.to_owned(),
            health: Health { result, percent: None, failing_for: self.failing_for },
            provable,
            usable_in_okta: !leaving,
            leaving,
            refused,
        };
        let hooks = vec![hook("a", a, of_a, false, a_leaves), hook("b", b, of_b, self.refused, b_leaves)];
        let observation = Observation { hooks, okta: self.okta.clone(), paused: self.paused, request, acknowledged };
        let transitions = self.machine.step(&observation, &self.settings, Moment::at(self.now));
        if self.follows
            && let Some(target) = self.machine.target()
        {
            self.okta = InOkta::Ours(target.to_owned());
        }
        transitions
    }

    pub(super) fn evaluations(&mut self, count: usize, a: CheckResult, b: CheckResult) -> Vec<Transition> {
        (0..count).flat_map(|_| self.ask(a, b, None, false)).collect()
    }

    pub(super) fn target(&self) -> &str {
        self.machine.target().unwrap()
    }
}

pub(super) fn started(transitions: &[Transition]) -> usize {
    transitions.iter().filter(|one| matches!(one, Transition::Started { .. })).count()
}

#[test]
fn the_active_hook_is_left_after_fall_evaluations_and_the_delay_and_not_before() {
    let mut play = Play::new(|_| {});
    assert_eq!((play.target(), play.machine.phase()), ("a", &Phase::Healthy));
    play.evaluations(2, Fail, Pass);
    assert_eq!(play.machine.phase(), &Phase::Healthy);
    play.evaluations(1, Fail, Pass);
    assert_eq!(play.machine.phase(), &Phase::Suspect);
    play.evaluations(1, Fail, Pass);
    assert_eq!(play.target(), "a", "the delay of ten seconds is not over");
    let transitions = play.evaluations(2, Fail, Pass);
    assert_eq!((started(&transitions), play.target()), (1, "b"));
    assert_eq!(play.machine.phase(), &Phase::OnStandby);
    let ended =
        transitions.iter().any(|one| matches!(one, Transition::Switched { cause: Cause::Failed, to, .. } if to == "b"));
    assert!(ended, "{transitions:?}");
}

#[test]
fn what_failed_long_before_it_was_observed_is_suspect_at_once_and_the_delay_runs_from_there() {
    for (failing_for, evaluations) in [(0, 3), (4_999, 3), (5_000, 2), (9_999, 2), (10_000, 1), (3_600_000, 1)] {
        let mut play = Play::new(|_| {});
        for evaluation in 1..=evaluations {
            assert_eq!(play.machine.phase(), &Phase::Healthy, "{failing_for} ms and {evaluation} looks");
            play.failing_for = Duration::from_millis(failing_for + 5_000 * (evaluation - 1));
            play.evaluations(1, Fail, Pass);
        }
        assert_eq!(play.machine.phase(), &Phase::Suspect, "{failing_for} ms");
        assert_eq!(play.machine.next_evaluation(&play.settings, Moment::at(play.now)), Duration::from_secs(5));
        assert_eq!(started(&play.evaluations(1, Fail, Pass)), 0, "the delay of ten seconds is not over");
        assert_eq!(started(&play.evaluations(1, Fail, Pass)), 1);
    }
    let mut play = Play::new(|_| {});
    play.failing_for = Duration::from_hours(1);
    play.evaluations(20, Unknown, Pass);
    assert_eq!(play.machine.phase(), &Phase::Healthy, "unknown is not failed, however long it was so");
}

#[test]
fn an_evaluation_is_wanted_when_the_delay_is_over_also_between_two_that_count() {
    let mut play = Play::new(|settings| settings.delay = Duration::from_secs(2));
    play.evaluations(3, Fail, Pass);
    assert_eq!(play.machine.next_evaluation(&play.settings, Moment::at(play.now)), Duration::from_secs(2));
    play.now -= 3_000;
    assert_eq!(started(&play.evaluations(1, Fail, Pass)), 1);
    let mut play = Play::new(|settings| settings.delay = Duration::from_secs(2));
    play.evaluations(3, Fail, Pass);
    play.evaluations(1, Unknown, Pass);
    let now = Moment::at(play.now);
    assert_eq!(
        play.machine.next_evaluation(&play.settings, now),
        Duration::from_secs(5),
        "what is over is not waited for"
    );
}

#[test]
fn what_is_unknown_is_no_failure_however_long_it_lasts() {
    let mut play = Play::new(|_| {});
    assert_eq!(started(&play.evaluations(200, Unknown, Pass)), 0);
    play.evaluations(3, Fail, Pass);
    assert_eq!(play.machine.phase(), &Phase::Suspect);
    assert_eq!(started(&play.evaluations(200, Unknown, Pass)), 0, "suspected, and not seen to fail since");
}

#[test]
fn a_suspicion_lapses_after_rise_evaluations_that_do_not_fail_and_the_next_one_waits_for_fall_and_delay_anew() {
    for (between, lapses) in
        [(&[Unknown, Unknown, Unknown][..], true), (&[Pass, Unknown, Pass], true), (&[Unknown, Pass], false)]
    {
        let mut play = Play::new(|_| {});
        play.evaluations(3, Fail, Pass);
        let transitions: Vec<Transition> =
            between.iter().flat_map(|result| play.evaluations(1, *result, Pass)).collect();
        assert_eq!(transitions.contains(&Transition::Lapsed("a".into())), lapses, "{between:?}");
        let evaluations = (1..10).find(|_| started(&play.evaluations(1, Fail, Pass)) == 1);
        assert_eq!(evaluations, Some(if lapses { 5 } else { 1 }), "{between:?}");
    }
}

#[test]
fn what_is_held_lapses_the_same_way_but_for_a_budget_that_is_spent() {
    let mut play = Play::new(|_| {});
    play.paused = true;
    play.evaluations(6, Fail, Pass);
    assert_eq!(play.machine.phase(), &Phase::Held(Hold::Paused));
    play.evaluations(3, Unknown, Pass);
    play.paused = false;
    assert_eq!((started(&play.evaluations(4, Fail, Pass)), play.machine.phase()), (0, &Phase::Suspect));

    let mut play = Play::new(|settings| settings.budget = 0);
    play.evaluations(6, Fail, Pass);
    play.evaluations(200, Unknown, Pass);
    assert_eq!(play.machine.phase(), &Phase::Held(Hold::BudgetSpent), "nobody has looked");
}

#[test]
fn a_short_failure_is_forgotten_after_rise_good_evaluations() {
    let mut play = Play::new(|_| {});
    play.evaluations(3, Fail, Pass);
    play.evaluations(2, Pass, Pass);
    assert_eq!(play.machine.phase(), &Phase::Suspect);
    assert!(play.evaluations(1, Pass, Pass).contains(&Transition::Cleared("a".into())));
    assert_eq!((play.target(), play.machine.phase()), ("a", &Phase::Healthy));
}

#[test]
fn each_hindrance_holds_with_its_reason_and_the_switch_follows_once_it_is_gone() {
    for (hold, set, free) in [
        (
            Hold::Mode,
            (|p| p.settings.mode = Mode::Manual) as fn(&mut Play),
            (|p| p.settings.mode = Mode::Automatic) as fn(&mut Play),
        ),
        (Hold::Mode, |p| p.settings.mode = Mode::Observe, |p| p.settings.mode = Mode::Automatic),
        (Hold::Paused, |p| p.paused = true, |p| p.paused = false),
        (
            Hold::OktaUnknown,
            |p| (p.okta, p.follows) = (InOkta::Unknown, false),
            |p| (p.okta, p.follows) = (InOkta::Ours("a".into()), true),
        ),
        (
            Hold::Conflict,
            |p| (p.okta, p.follows) = (InOkta::Other, false),
            |p| (p.okta, p.follows) = (InOkta::Ours("a".into()), true),
        ),
        (Hold::Refused, |p| p.refused = true, |p| p.refused = false),
    ] {
        let mut play = Play::new(|_| {});
        set(&mut play);
        let transitions = play.evaluations(6, Fail, Pass);
        assert_eq!(play.machine.phase(), &Phase::Held(hold));
        assert_eq!(started(&transitions), 0);
        assert_eq!(transitions.iter().filter(|one| **one == Transition::Held(hold)).count(), 1, "told once");
        free(&mut play);
        assert_eq!(started(&play.evaluations(1, Fail, Pass)), 1, "{hold:?}");
    }
}

#[test]
fn a_standby_that_fails_or_is_unproven_or_no_better_is_not_switched_to() {
    let mut play = Play::new(|_| {});
    play.evaluations(6, Fail, Fail);
    assert_eq!(play.machine.phase(), &Phase::Held(Hold::AllFail), "the observer may be the blind one");
    play.evaluations(2, Fail, Unknown);
    assert_eq!(play.machine.phase(), &Phase::Held(Hold::StandbyNotReady));
    play.evaluations(2, Fail, Pass);
    assert_eq!(play.machine.phase(), &Phase::Held(Hold::StandbyNotReady), "two good looks prove nothing");
    assert_eq!(started(&play.evaluations(1, Fail, Pass)), 1);

    let mut machine = Machine::new(Moment::at(0));
    let settings = Settings::default();
    let mut held = None;
    for turn in 1..12 {
        let hook = |name: &str, result, percent| HookObservation {
            name: name.to_owned(),
            health: Health { result, percent: Some(percent), failing_for: Duration::ZERO },
            provable: true,
            usable_in_okta: true,
            leaving: false,
            refused: false,
        };
        let hooks = vec![hook("a", if turn > 3 { Fail } else { Pass }, 45), hook("b", Pass, 60)];
        let observation =
            Observation { hooks, okta: InOkta::Ours("a".into()), paused: false, request: None, acknowledged: false };
        machine.step(&observation, &settings, Moment::at(turn * 5_000));
        held = Some(machine.phase().clone());
    }
    assert_eq!(held, Some(Phase::Held(Hold::StandbyNoBetter)), "15 percent more are less than the margin of 20");
}

#[test]
fn a_standby_that_is_only_reached_is_held_back_unless_that_is_allowed_or_another_is_proven() {
    let held = |hooks: &[(&str, CheckResult, bool)], unproven| {
        let settings = Settings { unproven, ..Settings::default() };
        let mut machine = Machine::new(Moment::at(0));
        for turn in 1..12 {
            let hook = |&(name, result, provable): &(&str, CheckResult, bool)| HookObservation {
                name: name.to_owned(),
                health: Health {
                    result: if name == "a" && turn <= 3 { Pass } else { result },
                    percent: None,
                    failing_for: Duration::ZERO,
                },
                provable,
                usable_in_okta: true,
                leaving: false,
                refused: false,
            };
            let hooks = hooks.iter().map(hook).collect();
            let observation = Observation {
                hooks,
                okta: InOkta::Ours("a".into()),
                paused: false,
                request: None,
                acknowledged: false,
            };
            machine.step(&observation, &settings, Moment::at(turn * 5_000));
        }
        (machine.target().unwrap().to_owned(), machine.phase().clone())
    };
    let (a, b) = (("a", Fail, true), ("b", Pass, false));
    let (_, phase) = held(&[a, b], Unproven::Hold);
    assert_eq!(phase, Phase::Held(Hold::StandbyUnproven));
    assert_eq!(held(&[a, b], Unproven::Allow).0, "b");
    assert_eq!(held(&[a, b, ("c", Pass, true)], Unproven::Hold).0, "c", "the first that is proven");
    let (_, phase) = held(&[a, b, ("c", Unknown, true)], Unproven::Hold);
    assert_eq!(phase, Phase::Held(Hold::StandbyUnproven));
    let (_, phase) = held(&[a, ("b", Unknown, false)], Unproven::Allow);
    assert_eq!(phase, Phase::Held(Hold::StandbyNotReady), "what is not reached is allowed by nothing");
}

#[test]
fn a_first_hook_that_is_only_reached_comes_back_by_a_person_alone() {
    let play = |unproven| {
        let mut play = Play::new(|settings| {
            settings.failback = Failback::After(Duration::from_mins(10));
            settings.unproven = unproven;
        });
        play.provable = [false, true];
        play.evaluations(6, Fail, Pass);
        play.evaluations(600, Pass, Pass);
        play
    };
    let mut held = play(Unproven::Hold);
    assert_eq!((held.target(), held.machine.phase()), ("b", &Phase::Recovering));
    assert_eq!(started(&held.ask(Pass, Pass, Some(SwitchRequest::Failback), false)), 1);
    assert_eq!(play(Unproven::Allow).target(), "a");
}

#[test]
fn the_first_hook_comes_back_by_a_person_or_after_its_time_counted_from_recovery() {
    let mut play = Play::new(|_| {});
    play.evaluations(6, Fail, Pass);
    assert_eq!(play.target(), "b");
    assert_eq!(started(&play.evaluations(1_000, Pass, Pass)), 0, "nobody asked");
    assert_eq!(play.machine.phase(), &Phase::Recovering);
    let transitions = play.ask(Pass, Pass, Some(SwitchRequest::Failback), false);
    assert_eq!((started(&transitions), play.target()), (1, "a"));

    let mut play = Play::new(|settings| settings.failback = Failback::After(Duration::from_mins(10)));
    play.evaluations(6, Fail, Pass);
    play.evaluations(600, Fail, Pass);
    play.evaluations(3, Pass, Pass);
    assert_eq!(started(&play.evaluations(119, Pass, Pass)), 0, "ten minutes of health, not of absence");
    assert_eq!(started(&play.evaluations(2, Pass, Pass)), 1);
    assert_eq!(play.target(), "a");
}

#[test]
fn flapping_ends_at_the_budget_until_somebody_acknowledges_it() {
    let mut play = Play::new(|settings| settings.cooldown = Duration::from_secs(30));
    let mut switches = 0;
    for turn in 0..40 {
        let (a, b) = if turn % 2 == 0 { (Fail, Pass) } else { (Pass, Fail) };
        switches += started(&play.evaluations(10, a, b));
    }
    assert_eq!(switches, 3);
    assert_eq!(play.machine.phase(), &Phase::Held(Hold::BudgetSpent));
    let (a, b) = if play.target() == "a" { (Fail, Pass) } else { (Pass, Fail) };
    play.evaluations(1_000, a, b);
    assert_eq!(play.machine.phase(), &Phase::Held(Hold::BudgetSpent), "the window is over, and nobody has looked");
    assert_eq!(started(&play.ask(a, b, None, true)), 1);
}

#[test]
fn a_cooldown_longer_than_the_budgets_window_lasts_its_whole_time() {
    let mut play = Play::new(|settings| {
        (settings.cooldown, settings.window) = (Duration::from_mins(10), Duration::from_mins(1));
    });
    assert_eq!(started(&play.evaluations(10, Fail, Pass)), 1);
    // five seconds apart, and ten minutes are not over
    assert_eq!(started(&play.evaluations(100, Pass, Fail)), 0);
    assert_eq!(
        play.machine.phase(),
        &Phase::Held(Hold::Cooldown),
        "the budget's window is over, and so is what it counts"
    );
    assert_eq!(started(&play.evaluations(30, Pass, Fail)), 1);
}

#[test]
fn a_person_promotes_whatever_the_mode_but_disabled_and_what_cannot_be_is_reported() {
    for mode in [Mode::Automatic, Mode::Observe, Mode::Manual] {
        let mut play = Play::new(|settings| settings.mode = mode);
        let transitions = play.ask(Pass, Unknown, Some(SwitchRequest::Promote("b".into())), false);
        assert_eq!((started(&transitions), play.target()), (1, "b"), "{mode:?}");
        let transitions = play.ask(Pass, Unknown, Some(SwitchRequest::Promote("b".into())), false);
        assert!(transitions.iter().any(|one| matches!(one, Transition::RequestRefused(_))), "{transitions:?}");
        let transitions = play.ask(Pass, Unknown, Some(SwitchRequest::Promote("c".into())), false);
        assert!(transitions.iter().any(|one| matches!(one, Transition::RequestRefused(_))), "{transitions:?}");
    }
    let mut play = Play::new(|settings| settings.mode = Mode::Disabled);
    let transitions = play.ask(Pass, Pass, Some(SwitchRequest::Promote("b".into())), false);
    assert_eq!((started(&transitions), play.target()), (0, "a"));
    assert_eq!(started(&play.evaluations(100, Fail, Pass)), 0);
}

#[test]
fn observe_says_once_what_it_would_do() {
    let mut play = Play::new(|settings| settings.mode = Mode::Observe);
    let transitions = play.evaluations(20, Fail, Pass);
    assert_eq!(transitions.iter().filter(|one| **one == Transition::WouldSwitch { to: "b".into() }).count(), 1);
    assert_eq!((started(&transitions), play.target()), (0, "a"));
}

#[test]
fn whoever_switches_between_our_hooks_in_okta_is_not_fought() {
    let mut play = Play::new(|_| {});
    play.okta = InOkta::Ours("b".into());
    let transitions = play.evaluations(1, Pass, Pass);
    assert!(transitions.iter().any(|one| matches!(one, Transition::Switched { cause: Cause::InOkta, .. })));
    assert_eq!(play.target(), "b");
    assert_eq!(started(&play.evaluations(50, Pass, Pass)), 0);
}

#[test]
fn evaluations_between_two_intervals_count_once() {
    let mut play = Play::new(|_| {});
    for _ in 0..20 {
        play.now -= 4_900;
        play.evaluations(1, Fail, Pass);
    }
    assert_eq!(play.machine.phase(), &Phase::Healthy, "two seconds of failing are one look");
}

#[test]
fn a_refused_switch_ends_where_okta_is() {
    let mut play = Play::new(|_| {});
    play.follows = false;
    play.evaluations(6, Fail, Pass);
    assert_eq!((play.target(), matches!(play.machine.phase(), Phase::FailingOver { .. })), ("b", true));
    play.refused = true;
    let transitions = play.evaluations(1, Fail, Pass);
    assert!(transitions.iter().any(|one| matches!(one, Transition::Failed { .. })), "{transitions:?}");
    assert_eq!(play.target(), "a");

    let mut play = Play::new(|_| {});
    play.follows = false;
    play.evaluations(6, Fail, Pass);
    let transitions = play.evaluations(12, Fail, Unknown);
    assert!(
        transitions.iter().any(|one| matches!(one, Transition::Failed { .. })),
        "given up after a minute: {transitions:?}"
    );
    assert_eq!(play.target(), "a");
}

#[test]
fn after_a_restart_a_switch_under_way_goes_on_and_a_suspicion_keeps_its_clock() {
    let mut play = Play::new(|_| {});
    let restored = Restored {
        target: Some("b".into()),
        failing_over: Some((Some("a".into()), Cause::Failed)),
        confirmed: false,
        suspect_for: None,
        switches: vec![Duration::from_secs(20)],
        budget_spent: false,
    };
    play.machine = Machine::restore(restored, Moment::at(play.now));
    play.okta = InOkta::Nobody;
    play.follows = false;
    play.evaluations(3, Fail, Pass);
    assert_eq!(play.target(), "b", "nothing is active, and that does not change the decision");
    play.okta = InOkta::Ours("b".into());
    play.evaluations(1, Fail, Pass);
    assert_eq!(play.machine.phase(), &Phase::OnStandby);

    let mut play = Play::new(|_| {});
    let suspect = |age| Restored {
        target: Some("a".into()),
        failing_over: None,
        confirmed: true,
        suspect_for: Some(Duration::from_secs(age)),
        switches: Vec::new(),
        budget_spent: false,
    };
    play.machine = Machine::restore(suspect(60), Moment::at(play.now));
    assert_eq!(started(&play.evaluations(2, Fail, Pass)), 0, "the standby is not proven to this process yet");
    assert_eq!(started(&play.evaluations(1, Fail, Pass)), 1);
    play.machine = Machine::restore(suspect(60), Moment::at(play.now));
    play.okta = InOkta::Ours("a".into());
    assert!(
        play.evaluations(1, Pass, Pass).contains(&Transition::Cleared("a".into())),
        "one good look ends what was only inherited"
    );
}

#[test]
fn after_a_restart_another_active_hook_is_somebodys_word_when_the_one_to_be_active_was_observed_so_before() {
    for (confirmed, target) in [(true, "b"), (false, "a")] {
        let mut play = Play::new(|_| {});
        let restored = Restored {
            target: Some("a".into()),
            failing_over: None,
            confirmed,
            suspect_for: None,
            switches: Vec::new(),
            budget_spent: false,
        };
        play.machine = Machine::restore(restored, Moment::at(play.now));
        (play.okta, play.follows) = (InOkta::Ours("b".into()), false);
        let transitions = play.evaluations(1, Pass, Fail);
        assert_eq!(play.target(), target);
        let adopted = |one: &Transition| matches!(one, Transition::Switched { cause: Cause::InOkta, .. });
        assert_eq!(transitions.iter().any(adopted), confirmed);
    }
}

#[test]
fn the_first_decision_is_what_okta_has_else_a_hook_that_can_deliver() {
    let first = |okta: InOkta, a, b, evaluations| {
        let mut play = Play::new(|_| {});
        play.machine = Machine::new(Moment::at(play.now));
        (play.okta, play.follows) = (okta, false);
        play.evaluations(evaluations, a, b);
        play.machine.target().map(str::to_owned)
    };
    assert_eq!(first(InOkta::Ours("b".into()), Pass, Pass, 1).as_deref(), Some("b"));
    assert_eq!(first(InOkta::Nobody, Pass, Pass, 1).as_deref(), Some("a"));
    assert_eq!(first(InOkta::Nobody, Fail, Pass, 1), None, "there is time for another look");
    assert_eq!(first(InOkta::Nobody, Fail, Pass, 4).as_deref(), Some("b"));
    assert_eq!(first(InOkta::Nobody, Unknown, Unknown, 4).as_deref(), Some("a"));
    assert_eq!(first(InOkta::Unknown, Pass, Pass, 9), None);
}

#[test]
fn a_hook_whose_object_is_being_deleted_makes_way_for_one_that_is_proven_in_every_mode_but_disabled() {
    for mode in [Mode::Automatic, Mode::Manual, Mode::Observe] {
        let mut play = Play::new(|settings| settings.mode = mode);
        play.evaluations(3, Pass, Unknown);
        play.leaving = [true, false];
        assert_eq!((started(&play.evaluations(3, Pass, Unknown)), play.target()), (0, "a"), "unknown is not proven");
        let transitions = play.evaluations(4, Pass, Pass);
        assert_eq!((started(&transitions), play.target()), (1, "b"), "{mode:?}: {transitions:?}");
        assert!(transitions.iter().any(|one| matches!(one, Transition::Switched { cause: Cause::Deleted, .. })));
        // nothing leads back to it, and a promotion neither
        assert_eq!(started(&play.ask(Pass, Pass, Some(SwitchRequest::Promote("a".into())), false)), 0, "{mode:?}");
        assert_eq!(play.target(), "b");
    }
    let mut play = Play::new(|settings| settings.mode = Mode::Disabled);
    play.leaving = [true, false];
    assert_eq!(started(&play.evaluations(6, Pass, Pass)), 0);
}

#[test]
fn where_okta_does_not_follow_a_hook_that_makes_way_is_tried_once_a_cooldown() {
    let mut play = Play::new(|_| {});
    play.leaving = [true, false];
    play.follows = false;
    let evaluations = usize::try_from(play.settings.cooldown.as_secs() / 5).unwrap();
    assert_eq!(started(&play.evaluations(evaluations, Pass, Pass)), 1);
    assert_eq!(started(&play.evaluations(evaluations, Pass, Pass)), 1);
}
