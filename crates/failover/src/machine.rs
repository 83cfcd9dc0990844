//! The state machine of a switch: `Healthy → Suspect → FailingOver → OnStandby → Recovering → Healthy`, and `Held`.
//!
//! It decides which hook is to be active and nothing else. What Okta has is an observation like any other, so a decision
//! that was lost with its process is found again from there.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::health::Health;
use super::hook_failure::Streak;
use super::settings::{Failback, Mode, Settings, Unproven};
use super::signal::CheckResult;

/// A point in time of any clock that does not run backwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(i64);

impl Moment {
    /// Milliseconds of the clock.
    #[must_use]
    pub const fn at(milliseconds: i64) -> Self {
        Self(milliseconds)
    }

    /// The moment so much earlier.
    #[must_use]
    pub fn before(self, age: Duration) -> Self {
        Self(self.0.saturating_sub(millis(age)))
    }

    /// How long ago it was; nothing when it is still to come.
    #[must_use]
    pub fn age(self, now: Self) -> Duration {
        Duration::from_millis(u64::try_from(now.0.saturating_sub(self.0)).unwrap_or_default())
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// How long a switch may be decided without Okta being brought to it, while Okta answers and uses another hook.
pub const GIVE_UP: Duration = Duration::from_mins(1);

/// Why the hook that is to be active changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The active one failed.
    Failed,
    /// The first one was well again for long enough.
    Recovered,
    /// A person promoted one.
    Promoted,
    /// A person asked for the first one.
    FailedBack,
    /// Somebody activated another of the hooks in Okta.
    InOkta,
    /// A person deletes the object of the one that is active.
    Deleted,
}

impl Cause {
    /// A stable word for status and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "Failed",
            Self::Recovered => "Recovered",
            Self::Promoted => "Promoted",
            Self::FailedBack => "FailedBack",
            Self::InOkta => "ChangedInOkta",
            Self::Deleted => "HookDeleted",
        }
    }

    /// Whether the machine decided it, so that cooldown and budget count it.
    #[must_use]
    pub const fn is_automatic(self) -> bool {
        matches!(self, Self::Failed | Self::Recovered)
    }
}

/// Why nothing is switched although the active hook fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// The mode leaves it to a person.
    Mode,
    /// Paused, or in a maintenance window.
    Paused,
    /// Okta's state is not known.
    OktaUnknown,
    /// A hook that is not this switch's is active in Okta.
    Conflict,
    /// Every hook fails at once: more likely the observer is the blind one.
    AllFail,
    /// No other hook is proven: it fails, is not known to be well, or was so for too short a time.
    StandbyNotReady,
    /// The hooks that are well are only known to be reached.
    StandbyUnproven,
    /// No other hook can deliver enough more.
    StandbyNoBetter,
    /// The last switch was too short a time ago.
    Cooldown,
    /// As many switches as the budget allows; until acknowledged.
    BudgetSpent,
    /// Okta refused to activate the other hook.
    Refused,
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mode => "the mode leaves switching to you; promote a hook, or set mode Automatic",
            Self::Paused => "the switch is paused or in a maintenance window; end that, or promote a hook",
            Self::OktaUnknown => "Okta's management API does not say which hook is active; see the OktaOrg",
            Self::Conflict => "the hook that is active in Okta is not one of this switch's; deactivate it there, or add it to spec.hooks",
            Self::AllFail => "every hook fails at once, so the operator's own network may be at fault; promote a hook to switch anyway",
            Self::StandbyNotReady => "no standby has been healthy for long enough; see status.hooks",
            Self::StandbyUnproven => "the only healthy standby is reachable but not proven to deliver; give it a target.url.test, set detection.unprovenStandby to Allow, or promote it",
            Self::StandbyNoBetter => "no standby covers enough more than the active hook (detection.margin); see status.hooks",
            Self::Cooldown => "the last automatic switch was less than spec.cooldown ago; switching resumes by itself",
            Self::BudgetSpent => {
                "the budget of automatic switches is used up; find what flaps, then set the annotation hookswitch.dev/acknowledge"
            }
            Self::Refused => "Okta refused to activate the standby; the status of that TelephonyHook quotes Okta",
        })
    }
}

/// Where the machine is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// The first hook is to be active, and nothing is known against it.
    Healthy,
    /// The active hook failed often enough; the delay runs.
    Suspect,
    /// The other hook is being made active.
    FailingOver {
        /// The one that was.
        from: Option<String>,
        /// Why.
        cause: Cause,
    },
    /// Another hook than the first is to be active.
    OnStandby,
    /// So it is, and the first one is well again.
    Recovering,
    /// The active hook fails, and nothing is done about it.
    Held(Hold),
}

impl Phase {
    /// A stable word for status and metrics.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Healthy => "Healthy",
            Self::Suspect => "Suspect",
            Self::FailingOver { .. } => "FailingOver",
            Self::OnStandby => "OnStandby",
            Self::Recovering => "Recovering",
            Self::Held(_) => "Held",
        }
    }

    /// All words, for metrics.
    pub const ALL: [&'static str; 6] = ["Healthy", "Suspect", "FailingOver", "OnStandby", "Recovering", "Held"];
}

/// What is seen of one hook.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct HookObservation {
    /// Its name.
    pub name: String,
    /// What is judged of it.
    pub health: Health,
    /// Whether passing proves that it delivers; else only that it is reached.
    pub provable: bool,
    /// Whether Okta could be made to use it at once: it exists as declared, or may be created inside the switch.
    pub usable_in_okta: bool,
    /// Whether Okta refused to activate it and is not to be asked again yet.
    pub refused: bool,
    /// Whether its object is being deleted: another one is to be active.
    pub leaving: bool,
}

/// What is known for a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HookStanding {
    /// It fails, is not known to be well, or was so for too short a time.
    NotReady,
    /// It was well for long enough, by what only shows that it is reached, and the settings ask for more.
    Unproven,
    /// It can be switched to.
    Proven,
}

/// Which hook Okta uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InOkta {
    /// It does not say.
    Unknown,
    /// None.
    Nobody,
    /// One of the switch's.
    Ours(String),
    /// Another one.
    Other,
}

/// What a person asked for, once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SwitchRequest {
    /// This hook is to be active.
    Promote(String),
    /// The first hook is to be active.
    Failback,
}

/// Everything that is seen at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// The hooks in their order; never empty.
    pub hooks: Vec<HookObservation>,
    /// Which one Okta uses.
    pub okta: InOkta,
    /// Paused, or in a maintenance window.
    pub paused: bool,
    /// What a person asked for since the last evaluation.
    pub request: Option<SwitchRequest>,
    /// A person has seen that the budget is spent.
    pub acknowledged: bool,
}

/// Something that happened, to be published once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transition {
    /// The active hook failed often enough.
    Suspect(String),
    /// It is well again.
    Cleared(String),
    /// It was not seen to fail again, nor to be well for long enough: what failed before does not count any more.
    Lapsed(String),
    /// A switch begins.
    Started {
        /// From.
        from: Option<String>,
        /// To.
        to: String,
        /// Why.
        cause: Cause,
    },
    /// A switch ended: Okta uses the other one.
    Switched {
        /// From.
        from: Option<String>,
        /// To.
        to: String,
        /// Why.
        cause: Cause,
        /// From the decision to the confirmation.
        took: Duration,
    },
    /// A switch ended without effect: Okta refused, or the hook was not ready for it within [`GIVE_UP`].
    Failed {
        /// From.
        from: Option<String>,
        /// To.
        to: String,
        /// Why.
        cause: Cause,
        /// From the decision to its end.
        took: Duration,
    },
    /// Nothing is switched, and why.
    Held(Hold),
    /// What it would do if the mode let it.
    WouldSwitch {
        /// To.
        to: String,
    },
    /// The first hook is well again while another is active.
    Recovering(String),
    /// What a person asked for cannot be done.
    RequestRefused(&'static str),
}

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

    /// The active hook fails and the delay is over: switch, or say why not.
    fn leave(
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
    fn may_come_back(&self, settings: &Settings, now: Moment) -> bool {
        self.spent(settings, now) + 1 < usize::try_from(settings.budget).unwrap_or(usize::MAX)
    }

    /// How much of the budget is spent.
    fn spent(&self, settings: &Settings, now: Moment) -> usize {
        self.switches.iter().filter(|at| at.age(now) < settings.window).count()
    }

    /// What forbids any switch by the machine now.
    fn may_not(&self, observation: &Observation, settings: &Settings, now: Moment) -> Option<Hold> {
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
    fn is_proven(&self, hook: &HookObservation, settings: &Settings) -> bool {
        hook.usable_in_okta && self.standing(hook, settings) == HookStanding::Proven
    }

    /// The hook to go to from one that fails: the first that is proven and can deliver enough more.
    fn choose(&self, active: &HookObservation, observation: &Observation, settings: &Settings) -> Result<String, Hold> {
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
    fn recover(
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
