//! Random histories in simulated time: health, Okta's answers and refusals, other people's hooks, hooks that are not proven or go,
//! modes, restarts and admins, and the laws that hold through all.

use std::time::Duration;

use proptest::prelude::*;

use super::health::Health;
use super::machine::{
    HookObservation, InOkta, Machine, Moment, Observation, Phase, Restored, SwitchRequest, Transition,
};
use super::settings::{Failback, Mode, Settings};
use super::signal::CheckResult;

const HOOKS: [&str; 3] = ["a", "b", "c"];
const INTERVAL: i64 = 5_000;

/// What happens between two evaluations.
#[derive(Debug, Clone)]
enum PasscodeEvent {
    /// A hook's health from now on, and for how many seconds it had failed already when that was found out.
    Health(usize, CheckResult, u8),
    /// Okta takes this many evaluations to do what is decided; none: it does not say anything.
    Okta(Option<u8>),
    Admin(usize),
    /// Another one's hook is active from now on, or is not any more.
    Foreign(bool),
    /// Okta refuses to make this hook active from now on, or does not any more.
    Refused(usize, bool),
    /// This hook is known to deliver from now on, or only to be reached.
    Provable(usize, bool),
    /// Okta could be made to use this hook from now on, or not: it is not there, or what it needs is missing.
    Usable(usize, bool),
    Mode(Mode),
    Restart,
    Promote(usize),
    Acknowledge,
    Pause(bool),
    Wait(u8),
}

fn events() -> impl Strategy<Value = Vec<PasscodeEvent>> {
    let result =
        prop_oneof![4 => Just(CheckResult::Pass), 4 => Just(CheckResult::Fail), 1 => Just(CheckResult::Unknown)];
    let event = prop_oneof![
        8 => (0..3_usize, result, prop_oneof![Just(0), any::<u8>()])
            .prop_map(|(hook, result, before)| PasscodeEvent::Health(hook, result, before)),
        2 => prop_oneof![Just(None), (0..4_u8).prop_map(Some)].prop_map(PasscodeEvent::Okta),
        1 => (0..3_usize).prop_map(PasscodeEvent::Admin),
        1 => any::<bool>().prop_map(PasscodeEvent::Foreign),
        1 => (0..3_usize, any::<bool>()).prop_map(|(hook, refused)| PasscodeEvent::Refused(hook, refused)),
        1 => (0..3_usize, any::<bool>()).prop_map(|(hook, provable)| PasscodeEvent::Provable(hook, provable)),
        1 => (0..3_usize, any::<bool>()).prop_map(|(hook, usable)| PasscodeEvent::Usable(hook, usable)),
        1 => prop_oneof![
            4 => Just(Mode::Automatic), 1 => Just(Mode::Observe), 1 => Just(Mode::Manual), 1 => Just(Mode::Disabled)
        ].prop_map(PasscodeEvent::Mode),
        1 => Just(PasscodeEvent::Restart),
        1 => (0..3_usize).prop_map(PasscodeEvent::Promote),
        1 => Just(PasscodeEvent::Acknowledge),
        1 => any::<bool>().prop_map(PasscodeEvent::Pause),
        8 => (1..30_u8).prop_map(PasscodeEvent::Wait),
    ];
    prop::collection::vec(event, 1..120)
}

struct World {
    machine: Machine,
    settings: Settings,
    now: i64,
    results: [CheckResult; 3],
    /// When each of those that fail began to, as far as that is known.
    failing: [Option<i64>; 3],
    /// Failed evaluations of each since the last one that passed.
    failed: [u32; 3],
    /// Evaluations in a row of each that did not fail.
    unfailed: [u32; 3],
    /// How many evaluations each was seen to fail for, or reported to have failed for, since so many did not that it was forgotten.
    worth: [u32; 3],
    active: Option<String>,
    /// Another one's hook is active.
    foreign: bool,
    refused: [bool; 3],
    provable: [bool; 3],
    usable: [bool; 3],
    /// Which one was active when Okta last said so.
    last_active: Option<String>,
    speaks: bool,
    lag: u8,
    waited: u8,
    paused: bool,
    /// Automatic switches so far, since the last acknowledgement.
    automatic: Vec<i64>,
}

impl World {
    fn evaluate(&mut self, request: Option<SwitchRequest>, acknowledged: bool) {
        self.now += INTERVAL;
        for (failed, result) in self.failed.iter_mut().zip(self.results) {
            match result {
                CheckResult::Fail => *failed += 1,
                CheckResult::Pass => *failed = 0,
                CheckResult::Unknown => {}
            }
        }
        let failing_for = |since: Option<i64>| {
            since.map_or(Duration::ZERO, |since| Duration::from_millis(u64::try_from(self.now - since).unwrap()))
        };
        for hook in 0..HOOKS.len() {
            if self.results[hook] == CheckResult::Fail {
                let intervals = failing_for(self.failing[hook]).as_nanos() / self.settings.interval.as_nanos();
                self.worth[hook] = (self.worth[hook] + 1).max(u32::try_from(intervals).unwrap() + 1);
                self.unfailed[hook] = 0;
            } else {
                self.unfailed[hook] += 1;
                self.worth[hook] *= u32::from(self.unfailed[hook] < self.settings.rise);
            }
        }
        let hooks = HOOKS.iter().enumerate().map(|(hook, name)| HookObservation {
            name: (*name).to_owned(),
            health: Health { result: self.results[hook], percent: None, failing_for: failing_for(self.failing[hook]) },
            provable: self.provable[hook],
            usable_in_okta: self.usable[hook],
            leaving: false,
            refused: self.refused[hook],
        });
        let okta = match (&self.active, self.speaks) {
            (_, false) => InOkta::Unknown,
            _ if self.foreign => InOkta::Other,
            (Some(active), true) => InOkta::Ours(active.clone()),
            (None, true) => InOkta::Nobody,
        };
        if self.speaks && !self.foreign {
            self.last_active.clone_from(&self.active);
        }
        let observation = Observation { hooks: hooks.collect(), okta, paused: self.paused, request, acknowledged };
        let before = self.machine.clone();
        let transitions = self.machine.step(&observation, &self.settings, Moment::at(self.now));
        if acknowledged {
            self.automatic.clear();
        }
        for one in &transitions {
            self.check(one, &before, &observation);
        }
        self.obey();
    }

    /// What must be so whenever the machine suspects a hook, or switches by itself.
    fn check(&mut self, transition: &Transition, before: &Machine, observation: &Observation) {
        if let Transition::Suspect(name) = transition {
            let (hook, observed) = observation.hooks.iter().enumerate().find(|(_, hook)| hook.name == *name).unwrap();
            assert_eq!(observed.health.result, CheckResult::Fail, "suspected without being seen to fail");
            let known = observed.health.failing_for >= self.settings.interval * (self.settings.fall - 1);
            assert!(known || self.failed[hook] >= self.settings.fall, "suspected after {} looks", self.failed[hook]);
        }
        let Transition::Started { from, to, cause } = transition else { return };
        if !cause.is_automatic() {
            return;
        }
        let hook = |name: &str| observation.hooks.iter().find(|hook| hook.name == name).unwrap();
        let result = |name: &str| hook(name).health.result;
        assert_eq!(self.settings.mode, Mode::Automatic);
        assert!(!observation.paused, "switched while paused");
        assert!(!matches!(observation.okta, InOkta::Unknown | InOkta::Other), "switched blindly");
        assert_eq!(result(to), CheckResult::Pass, "to a hook that is not well");
        assert!(hook(to).provable, "to a hook that is only reached");
        assert!(hook(to).usable_in_okta && !hook(to).refused, "to a hook that Okta cannot be made to use");
        assert!(!matches!(before.phase(), Phase::FailingOver { .. }), "a switch inside a switch");
        if *cause == super::machine::Cause::Failed {
            assert_eq!(
                result(from.as_deref().unwrap()),
                CheckResult::Fail,
                "away from a hook that is not seen to fail"
            );
            let waited = before.since().age(Moment::at(self.now)) >= self.settings.delay;
            assert!(waited || matches!(before.phase(), Phase::Held(_)), "before the delay was over");
            let left = HOOKS.iter().position(|hook| Some(*hook) == from.as_deref()).unwrap();
            let lately = self.worth[left] >= self.settings.fall;
            assert!(lately || observation.acknowledged, "for what failed long ago and {} looks", self.worth[left]);
        }
        let window = i64::try_from(self.settings.window.as_millis()).unwrap();
        self.automatic.retain(|at| self.now - at < window);
        if let Some(last) = self.automatic.last() {
            let cooldown = i64::try_from(self.settings.cooldown.as_millis()).unwrap();
            assert!(self.now - last >= cooldown, "inside the cooldown");
        }
        self.automatic.push(self.now);
        assert!(self.automatic.len() <= usize::try_from(self.settings.budget).unwrap(), "over the budget");
    }

    /// Okta does what is decided, after its time.
    fn obey(&mut self) {
        let target = self.machine.target().map(str::to_owned);
        let refused = HOOKS.iter().zip(self.refused).any(|(name, refused)| refused && target.as_deref() == Some(name));
        if !self.speaks || self.foreign || refused || target == self.active || target.is_none() {
            self.waited = 0;
            return;
        }
        self.waited += 1;
        if self.waited > self.lag {
            self.active = target;
            self.waited = 0;
        }
    }

    /// A new process: what status has is known, and nothing else.
    fn restart(&mut self) {
        let now = Moment::at(self.now);
        let failing_over = match self.machine.phase() {
            Phase::FailingOver { from, cause } => Some((from.clone(), *cause)),
            _ => None,
        };
        let suspect = *self.machine.phase() == Phase::Suspect;
        let target = self.machine.target().map(str::to_owned);
        let restored = Restored {
            confirmed: failing_over.is_none() && target.is_some() && self.last_active == target,
            target,
            failing_over,
            suspect_for: suspect.then(|| self.machine.since().age(now)),
            switches: self.machine.switches(now),
            budget_spent: self.machine.is_spent(),
        };
        self.machine = Machine::restore(restored, now);
        // nobody knows how many evaluations passed without a failure
        self.unfailed = [0; 3];
    }

    fn happen(&mut self, event: &PasscodeEvent) {
        match event {
            PasscodeEvent::Health(hook, result, before) => {
                self.results[*hook] = *result;
                let known = *result == CheckResult::Fail && *before > 0;
                self.failing[*hook] = known.then(|| self.now - i64::from(*before) * 1_000);
            }
            PasscodeEvent::Okta(lag) => (self.speaks, self.lag) = (lag.is_some(), lag.unwrap_or(self.lag)),
            PasscodeEvent::Admin(hook) => (self.active, self.foreign) = (Some(HOOKS[*hook].to_owned()), false),
            PasscodeEvent::Foreign(foreign) => {
                self.foreign = *foreign;
                if *foreign {
                    self.active = None;
                }
            }
            PasscodeEvent::Refused(hook, refused) => self.refused[*hook] = *refused,
            PasscodeEvent::Provable(hook, provable) => self.provable[*hook] = *provable,
            PasscodeEvent::Usable(hook, usable) => self.usable[*hook] = *usable,
            PasscodeEvent::Mode(mode) => self.settings.mode = *mode,
            PasscodeEvent::Restart => self.restart(),
            PasscodeEvent::Promote(hook) => self.evaluate(Some(SwitchRequest::Promote(HOOKS[*hook].to_owned())), false),
            PasscodeEvent::Acknowledge => self.evaluate(None, true),
            PasscodeEvent::Pause(paused) => self.paused = *paused,
            PasscodeEvent::Wait(evaluations) => (0..*evaluations).for_each(|_| self.evaluate(None, false)),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(
        std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(2_000)
    ))]

    #[test]
    fn through_any_history_no_law_is_broken_and_a_hook_that_stays_well_ends_up_active(
        events in events(), automatic_back in any::<bool>(), well in 0..3_usize,
    ) {
        let failback = if automatic_back { Failback::After(Duration::from_mins(5)) } else { Failback::ByPerson };
        let settings = Settings { failback, ..Settings::default() };
        let mut world = World {
            machine: Machine::new(Moment::at(0)),
            settings,
            now: 0,
            results: [CheckResult::Pass; 3],
            failing: [None; 3],
            failed: [0; 3],
            unfailed: [0; 3],
            worth: [0; 3],
            active: None,
            foreign: false,
            refused: [false; 3],
            provable: [true; 3],
            usable: [true; 3],
            last_active: None,
            speaks: true,
            lag: 0,
            waited: 0,
            paused: false,
            automatic: Vec::new(),
        };
        for event in &events {
            world.happen(event);
        }
        // In the end one hook is well and stays so, Okta answers, and somebody has looked.
        (world.speaks, world.lag, world.paused, world.foreign) = (true, 0, false, false);
        (world.refused, world.provable, world.usable) = ([false; 3], [true; 3], [true; 3]);
        world.settings.mode = Mode::Automatic;
        world.results = [CheckResult::Fail; 3];
        world.results[well] = CheckResult::Pass;
        world.evaluate(None, true);
        (0..100).for_each(|_| world.evaluate(None, false));
        prop_assert_eq!(world.active.as_deref(), Some(HOOKS[well]), "{:?}", world.machine);
    }
}
