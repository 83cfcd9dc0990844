//! The state machine of a switch: `Healthy → Suspect → FailingOver → OnStandby → Recovering → Healthy`, and `Held`.
//!
//! It decides which hook is to be active and nothing else. What Okta has is an observation like any other, so a decision
//! that was lost with its process is found again from there.

use std::collections::BTreeMap;
use std::time::Duration;

use super::hook_failure::Streak;
use super::settings::{Mode, Settings, Unproven};
use super::signal::CheckResult;

mod leave;
mod moment;
mod observation;
mod phase;
mod transition;

pub use moment::Moment;
pub use observation::{HookObservation, HookStanding, InOkta, Observation, SwitchRequest};
pub use phase::{Cause, Hold, Phase};
pub use transition::Transition;

/// How long a switch may be decided without Okta being brought to it, while Okta answers and uses another hook.
pub const GIVE_UP: Duration = Duration::from_mins(1);

/// What the machine knows from one evaluation to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    target: Option<String>,
    phase: Phase,
    since: Moment,
    streaks: BTreeMap<String, Streak>,
    /// When the last evaluation counted.
    counted: Option<Moment>,
    /// Automatic switches, the oldest first.
    switches: Vec<Moment>,
    /// A failure that an earlier process had seen, not yet confirmed by this one.
    inherited: bool,
    /// The hook that is to be active was seen to be so: another one from then on is somebody's doing.
    confirmed: bool,
    told_would: bool,
    /// When it last made way for a deletion, as long as that one is not over.
    made_way: Option<Moment>,
}

/// What is known from before this process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restored {
    /// The hook that was to be active.
    pub target: Option<String>,
    /// The hook it was being switched from, and why, if a switch was under way.
    pub failing_over: Option<(Option<String>, Cause)>,
    /// Whether that hook was seen to be active, with no switch under way.
    pub confirmed: bool,
    /// How long the active hook had been suspect, if it was.
    pub suspect_for: Option<Duration>,
    /// How long ago switches by the machine were.
    pub switches: Vec<Duration>,
    /// Whether it was held because its budget was spent.
    pub budget_spent: bool,
}

impl Machine {
    /// Begins with nothing known.
    #[must_use]
    pub fn new(now: Moment) -> Self {
        Self {
            target: None,
            phase: Phase::Healthy,
            since: now,
            streaks: BTreeMap::new(),
            counted: None,
            switches: Vec::new(),
            inherited: false,
            confirmed: false,
            told_would: false,
            made_way: None,
        }
    }

    /// Goes on from what was known. A suspicion must be confirmed by one evaluation, and keeps its clock.
    #[must_use]
    pub fn restore(restored: Restored, now: Moment) -> Self {
        let mut machine = Self::new(now);
        (machine.target, machine.confirmed) = (restored.target, restored.confirmed);
        machine.switches = restored.switches.into_iter().map(|age| now.before(age)).collect();
        machine.switches.sort_unstable();
        if let Some((from, cause)) = restored.failing_over {
            machine.phase = Phase::FailingOver { from, cause };
        } else if let Some(age) = restored.suspect_for {
            machine.phase = Phase::Suspect;
            machine.since = now.before(age);
            machine.inherited = true;
        } else if restored.budget_spent {
            machine.phase = Phase::Held(Hold::BudgetSpent);
        }
        machine
    }

    /// Whether it is held until somebody acknowledges.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        self.phase == Phase::Held(Hold::BudgetSpent)
    }

    /// The hook that is to be active; none while nothing was decided.
    #[must_use]
    pub fn target(&self) -> Option<&str> {
        self.target.as_deref()
    }

    /// Where it is.
    #[must_use]
    pub const fn phase(&self) -> &Phase {
        &self.phase
    }

    /// Since when.
    #[must_use]
    pub const fn since(&self) -> Moment {
        self.since
    }

    /// Ages of the switches by the machine that still count for anything.
    #[must_use]
    pub fn switches(&self, now: Moment) -> Vec<Duration> {
        self.switches.iter().map(|at| at.age(now)).collect()
    }

    /// What is known for a hook.
    #[must_use]
    pub fn standing(&self, hook: &HookObservation, settings: &Settings) -> HookStanding {
        let well = self.streaks.get(&hook.name).is_some_and(|streak| streak.is_well(settings));
        match (well, hook.provable || settings.unproven == Unproven::Allow) {
            (false, _) => HookStanding::NotReady,
            (true, false) => HookStanding::Unproven,
            (true, true) => HookStanding::Proven,
        }
    }

    /// One evaluation.
    pub fn step(&mut self, observation: &Observation, settings: &Settings, now: Moment) -> Vec<Transition> {
        let mut transitions = Vec::new();
        if self.counts_in(settings, now).is_zero() {
            self.count(observation, settings);
            self.counted = Some(now);
        }
        self.switches.retain(|at| at.age(now) < settings.remembered());
        if observation.acknowledged {
            self.switches.clear();
        }
        if self.target.as_ref().is_some_and(|target| observation.hooks.iter().all(|hook| hook.name != *target)) {
            // it is not named any more
            self.target = None;
            self.enter(Phase::Healthy, now);
        }
        if settings.mode == Mode::Disabled {
            self.disabled(observation, now, &mut transitions);
            return transitions;
        }
        self.follow_okta(observation, now, &mut transitions);
        if let Some(request) = &observation.request {
            self.ask(request, observation, now, &mut transitions);
        }
        if self.target.is_none() {
            self.first(observation, settings, now);
        }
        if !matches!(self.phase, Phase::FailingOver { .. }) {
            self.make_way(observation, settings, now, &mut transitions);
        }
        if !matches!(self.phase, Phase::FailingOver { .. }) {
            self.judge(observation, settings, now, &mut transitions);
        }
        transitions
    }

    /// Time until the next evaluation is wanted: until one counts again, or the delay is over.
    #[must_use]
    pub fn next_evaluation(&self, settings: &Settings, now: Moment) -> Duration {
        let left = settings.delay.saturating_sub(self.since.age(now));
        let delay = Some(left).filter(|left| self.phase == Phase::Suspect && !left.is_zero());
        let counts = self.counts_in(settings, now);
        delay.map_or(counts, |left| left.min(counts))
    }

    /// Time until an evaluation counts again. One in between sees changes of Okta and requests at once, and makes no streak longer.
    fn counts_in(&self, settings: &Settings, now: Moment) -> Duration {
        let least = settings.interval.mul_f64(0.9);
        let since = self.counted.map(|at| at.age(now)).filter(|since| *since < least);
        since.map_or(Duration::ZERO, |since| settings.interval.saturating_sub(since))
    }

    fn count(&mut self, observation: &Observation, settings: &Settings) {
        self.streaks.retain(|name, _| observation.hooks.iter().any(|hook| hook.name == *name));
        for hook in &observation.hooks {
            self.streaks.entry(hook.name.clone()).or_default().count(hook.health.result, settings);
        }
    }

    fn enter(&mut self, phase: Phase, now: Moment) {
        if self.phase != phase {
            self.phase = phase;
            self.since = now;
        }
    }

    /// Where it is when nothing is wrong with the hook that is to be active.
    fn settle(&mut self, observation: &Observation, now: Moment) {
        let first = observation.hooks.first().map(|hook| hook.name.as_str());
        let phase = if self.target.as_deref() == first { Phase::Healthy } else { Phase::OnStandby };
        self.enter(phase, now);
    }

    /// Nothing is decided: what Okta has is what is to be.
    fn disabled(&mut self, observation: &Observation, now: Moment, transitions: &mut Vec<Transition>) {
        if observation.request.is_some() {
            transitions.push(Transition::RequestRefused("the mode is Disabled"));
        }
        if let InOkta::Ours(active) = &observation.okta {
            self.target = Some(active.clone());
        }
        self.settle(observation, now);
    }

    /// Takes in what Okta uses: the end of a switch, or somebody's own.
    fn follow_okta(&mut self, observation: &Observation, now: Moment, transitions: &mut Vec<Transition>) {
        let Some(target) = self.target.clone() else { return };
        if let Phase::FailingOver { from, cause } = self.phase.clone() {
            let took = self.since.age(now);
            let refused = observation.hooks.iter().any(|hook| hook.name == target && hook.refused);
            match &observation.okta {
                InOkta::Ours(active) if *active == target => {
                    transitions.push(Transition::Switched { from, to: target, cause, took });
                    self.confirmed = true;
                    self.settle(observation, now);
                }
                // nothing is under way in Okta: what the planner waits for may never come
                InOkta::Ours(active) if refused || took >= GIVE_UP => {
                    let active = active.clone();
                    transitions.push(Transition::Failed { from, to: target, cause, took });
                    self.target = Some(active);
                    self.confirmed = true;
                    self.settle(observation, now);
                }
                _ => {}
            }
            return;
        }
        let InOkta::Ours(active) = &observation.okta else { return };
        if *active == target {
            self.confirmed = true;
        } else if self.confirmed {
            // somebody switched in Okta between two of our hooks: that is a person's word, not a thing to fight over
            transitions.push(Transition::Switched {
                from: Some(target),
                to: active.clone(),
                cause: Cause::InOkta,
                took: Duration::ZERO,
            });
            self.target = Some(active.clone());
            self.settle(observation, now);
        }
    }

    fn ask(
        &mut self,
        request: &SwitchRequest,
        observation: &Observation,
        now: Moment,
        transitions: &mut Vec<Transition>,
    ) {
        let (to, cause) = match request {
            SwitchRequest::Promote(name) => (Some(name.clone()), Cause::Promoted),
            SwitchRequest::Failback => (observation.hooks.first().map(|hook| hook.name.clone()), Cause::FailedBack),
        };
        let Some(to) = to.filter(|to| observation.hooks.iter().any(|hook| hook.name == *to)) else {
            transitions.push(Transition::RequestRefused("the switch does not name that hook"));
            return;
        };
        if observation.hooks.iter().any(|hook| hook.name == to && hook.leaving) {
            transitions.push(Transition::RequestRefused("that hook is being deleted"));
            return;
        }
        if self.target.as_deref() == Some(to.as_str()) {
            transitions.push(Transition::RequestRefused("that hook is already the target"));
            return;
        }
        self.switch(to, cause, now, transitions);
    }

    /// The object of the hook that is to be active is being deleted, which is a person's word: the first other one that is proven
    /// takes its place, whatever the mode. Without one it is held.
    fn make_way(
        &mut self,
        observation: &Observation,
        settings: &Settings,
        now: Moment,
        transitions: &mut Vec<Transition>,
    ) {
        let leaves = |hook: &&HookObservation| hook.leaving && Some(&hook.name) == self.target.as_ref();
        let Some(leaving) = observation.hooks.iter().find(leaves) else {
            self.made_way = None;
            return;
        };
        let known = matches!(observation.okta, InOkta::Ours(_) | InOkta::Nobody);
        // one that was made way for in vain is not tried at once again
        let soon = self.made_way.is_some_and(|at| at.age(now) < settings.cooldown);
        let fit =
            |hook: &&HookObservation| hook.name != leaving.name && !hook.refused && self.is_proven(hook, settings);
        if let Some(to) = observation.hooks.iter().find(fit).filter(|_| known && !soon) {
            self.made_way = Some(now);
            self.switch(to.name.clone(), Cause::Deleted, now, transitions);
        }
    }

    fn switch(&mut self, to: String, cause: Cause, now: Moment, transitions: &mut Vec<Transition>) {
        let from = self.target.replace(to.clone());
        if cause.is_automatic() {
            self.switches.push(now);
        }
        transitions.push(Transition::Started { from: from.clone(), to, cause });
        self.phase = Phase::FailingOver { from, cause };
        self.since = now;
        self.inherited = false;
        self.confirmed = false;
        self.told_would = false;
    }

    /// The first decision: what Okta has, else the first hook that can deliver, else the first.
    fn first(&mut self, observation: &Observation, settings: &Settings, now: Moment) {
        let active = match &observation.okta {
            InOkta::Unknown => return,
            InOkta::Ours(active) => Some(active.clone()),
            InOkta::Nobody | InOkta::Other => None,
        };
        if active.is_none() && self.since.age(now) < settings.interval * settings.rise {
            let well = |hook: &HookObservation| hook.health.result == CheckResult::Pass;
            if !observation.hooks.first().is_some_and(well) {
                // there is nothing to lose by checking twice
                return;
            }
        }
        let well =
            observation.hooks.iter().find(|hook| hook.health.result == CheckResult::Pass).or(observation.hooks.first());
        self.target = active.or_else(|| well.map(|hook| hook.name.clone()));
        self.settle(observation, now);
    }

    /// Judges the hook that is to be active.
    fn judge(
        &mut self,
        observation: &Observation,
        settings: &Settings,
        now: Moment,
        transitions: &mut Vec<Transition>,
    ) {
        let Some(active) = observation.hooks.iter().find(|hook| Some(&hook.name) == self.target.as_ref()) else {
            return;
        };
        let streak = self.streaks.get(&active.name).copied().unwrap_or_default();
        let in_trouble = matches!(self.phase, Phase::Suspect | Phase::Held(_));
        match active.health.result {
            CheckResult::Pass if in_trouble && (streak.is_well(settings) || self.inherited) => {
                self.inherited = false;
                self.told_would = false;
                transitions.push(Transition::Cleared(active.name.clone()));
                self.settle(observation, now);
            }
            CheckResult::Fail if in_trouble => {
                self.inherited = false;
                if matches!(self.phase, Phase::Held(_)) || self.since.age(now) >= settings.delay {
                    self.leave(active, observation, settings, now, transitions);
                }
            }
            CheckResult::Fail if streak.has_failed(&active.health, settings) => {
                transitions.push(Transition::Suspect(active.name.clone()));
                self.enter(Phase::Suspect, now);
            }
            // a budget that is spent is a person's to end
            _ if in_trouble && self.phase != Phase::Held(Hold::BudgetSpent) && streak.is_unfailed(settings) => {
                self.inherited = false;
                self.told_would = false;
                transitions.push(Transition::Lapsed(active.name.clone()));
                self.settle(observation, now);
            }
            _ if in_trouble => {}
            CheckResult::Pass | CheckResult::Fail | CheckResult::Unknown => {
                self.recover(active, observation, settings, now, transitions);
            }
        }
    }
}
