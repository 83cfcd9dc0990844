//! Whether the active hook may be left, for which other, and the way back.

use super::{Cause, Hold, HookObservation, HookStanding, InOkta, Machine, Moment, Observation, Phase, Transition};
use crate::settings::{Failback, Mode, Settings};
use crate::signal::CheckResult;

impl Machine {
    /// The active hook fails and the delay is over: switch, or say why not.
    pub(super) fn leave(
        &mut self,
        active: &HookObservation,
        observation: &Observation,
        settings: &Settings,
        now: Moment,
        transitions: &mut Vec<Transition>,
    ) {
        let chosen = self.choose(active, observation, settings);
        if settings.mode == Mode::Observe
            && !observation.paused
            && let Ok(to) = &chosen
            && !self.told_would
        {
            transitions.push(Transition::WouldSwitch { to: to.clone() });
            self.told_would = true;
        }
        let hold = match (chosen, self.may_not(observation, settings, now)) {
            (_, Some(hold @ (Hold::OktaUnknown | Hold::Conflict))) | (Ok(_), Some(hold)) | (Err(hold), _) => hold,
            (Ok(to), None) => return self.switch(to, Cause::Failed, now, transitions),
        };
        if self.phase != Phase::Held(hold) {
            transitions.push(Transition::Held(hold));
            self.enter(Phase::Held(hold), now);
        }
    }

    /// A return that nobody asked for leaves one switch of the budget for a failure.
    pub(super) fn may_come_back(&self, settings: &Settings, now: Moment) -> bool {
        self.spent(settings, now) + 1 < usize::try_from(settings.budget).unwrap_or(usize::MAX)
    }

    /// How much of the budget is spent.
    pub(super) fn spent(&self, settings: &Settings, now: Moment) -> usize {
        self.switches.iter().filter(|at| at.age(now) < settings.window).count()
    }

    /// What forbids any switch by the machine now.
    pub(super) fn may_not(&self, observation: &Observation, settings: &Settings, now: Moment) -> Option<Hold> {
        match observation.okta {
            InOkta::Unknown => return Some(Hold::OktaUnknown),
            InOkta::Other => return Some(Hold::Conflict),
            InOkta::Nobody | InOkta::Ours(_) => {}
        }
        if settings.mode != Mode::Automatic {
            return Some(Hold::Mode);
        }
        if observation.paused {
            return Some(Hold::Paused);
        }
        if self.spent(settings, now) >= usize::try_from(settings.budget).unwrap_or(usize::MAX)
            || self.phase == Phase::Held(Hold::BudgetSpent) && !observation.acknowledged
        {
            return Some(Hold::BudgetSpent);
        }
        let cooling = self.switches.last().is_some_and(|at| at.age(now) < settings.cooldown);
        cooling.then_some(Hold::Cooldown)
    }

    /// Whether Okta can be made to use a hook, and the hook is known to deliver.
    pub(super) fn is_proven(&self, hook: &HookObservation, settings: &Settings) -> bool {
        hook.usable_in_okta && self.standing(hook, settings) == HookStanding::Proven
    }

    /// The hook to go to from one that fails: the first that is proven and can deliver enough more.
    pub(super) fn choose(
        &self,
        active: &HookObservation,
        observation: &Observation,
        settings: &Settings,
    ) -> Result<String, Hold> {
        let others = || observation.hooks.iter().filter(|hook| hook.name != active.name);
        if others().all(|hook| hook.health.result == CheckResult::Fail) {
            return Err(Hold::AllFail);
        }
        match others().filter(|hook| hook.usable_in_okta).map(|hook| self.standing(hook, settings)).max() {
            None | Some(HookStanding::NotReady) => return Err(Hold::StandbyNotReady),
            Some(HookStanding::Unproven) => return Err(Hold::StandbyUnproven),
            Some(HookStanding::Proven) => {}
        }
        let proven: Vec<&HookObservation> = others().filter(|hook| self.is_proven(hook, settings)).collect();
        if proven.iter().all(|hook| hook.refused) {
            return Err(Hold::Refused);
        }
        let better = |hook: &&&HookObservation| match (hook.health.percent, active.health.percent) {
            (Some(standby), Some(active)) => standby.saturating_sub(active) >= settings.margin,
            _ => true,
        };
        let chosen = proven.iter().filter(|hook| !hook.refused).find(better);
        chosen.map(|hook| hook.name.clone()).ok_or(Hold::StandbyNoBetter)
    }

    /// Another hook than the first is active, and nothing is wrong with it: the way back.
    pub(super) fn recover(
        &mut self,
        active: &HookObservation,
        observation: &Observation,
        settings: &Settings,
        now: Moment,
        transitions: &mut Vec<Transition>,
    ) {
        let Some(first) = observation.hooks.first().filter(|first| first.name != active.name) else {
            self.settle(observation, now);
            return;
        };
        let standing = self.standing(first, settings);
        match (&self.phase, standing != HookStanding::NotReady && first.usable_in_okta) {
            (Phase::Recovering, true) => {
                if let Failback::After(after) = settings.failback
                    && self.since.age(now) >= after
                    && standing == HookStanding::Proven
                    && !first.refused
                    && self.may_not(observation, settings, now).is_none()
                    && self.may_come_back(settings, now)
                {
                    self.switch(first.name.clone(), Cause::Recovered, now, transitions);
                }
            }
            (Phase::Recovering, false) => {
                // one evaluation without a result is no relapse
                if first.health.result == CheckResult::Fail {
                    self.enter(Phase::OnStandby, now);
                }
            }
            (_, true) => {
                transitions.push(Transition::Recovering(first.name.clone()));
                self.enter(Phase::Recovering, now);
            }
            (_, false) => self.settle(observation, now),
        }
    }
}
