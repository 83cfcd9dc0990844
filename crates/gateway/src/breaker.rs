//! Circuit breakers: a provider that keeps failing is left alone for a while, so that calls do not spend their time on it.
//!
//! Pure; the clock is an argument. [`Breakers`] are those of one provider: one for the whole of it, and one per part
//! that it refused ([`super::parts`]). `dispatch` asks before each attempt and reports what became of it; `health` judges more
//! slowly, by probes, and is what people see.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use super::parts::{Part, Route};
use hookswitch_gateway_config::report::BreakerState;
use hookswitch_providers::{Class, Outcome, Scope};

/// Parts of one provider that have a breaker.
const MAX_PARTS: usize = 128;

/// Failures in a row that open a breaker.
pub const CONSECUTIVE: u32 = 5;

/// Results within [`WINDOW`] from which on their share of failures counts.
pub const SAMPLE: u32 = 20;

/// How far back the share of failures looks.
pub const WINDOW: Duration = Duration::from_secs(10);

/// How long an open breaker refuses, and how long a trial may take before another one is let through.
pub const OPEN: Duration = Duration::from_secs(15);

/// The longest time between two failures of one outage: an open breaker's, and some for the attempt that comes then.
/// What is further apart may have worked in between, unseen.
const APART: Duration = OPEN.saturating_add(WINDOW);

/// The window is counted in slices, so that its size does not depend on the traffic.
const SLICES: u32 = 10;

/// Leave for one attempt. It knows which state of the breaker it was given in: a result that comes after the state has
/// changed says nothing about the present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "an attempt that is not recorded teaches the breaker nothing"]
pub struct BreakerPermit {
    epoch: u64,
}

/// The breaker of one thing that can fail.
#[derive(Debug, Clone)]
pub struct Breaker {
    state: State,
    epoch: u64,
    outage: Option<Outage>,
    /// It is open because of probes alone, so that probes alone close it again.
    tripped: bool,
}

/// The latest failures between which nothing worked.
#[derive(Debug, Clone, Copy)]
struct Outage {
    first: Instant,
    last: Instant,
}

impl Outage {
    fn goes_on(before: Option<Self>, now: Instant) -> Self {
        let same = before.filter(|before| now.saturating_duration_since(before.last) <= APART);
        Self { first: same.map_or(now, |before| before.first), last: now }
    }
}

#[derive(Debug, Clone)]
enum State {
    Closed { in_a_row: u32, window: Window },
    Open { until: Instant, in_a_row: u32 },
    HalfOpen { trial_until: Instant, in_a_row: u32 },
}

impl Default for Breaker {
    fn default() -> Self {
        Self { state: State::closed(), epoch: 0, outage: None, tripped: false }
    }
}

impl State {
    fn closed() -> Self {
        Self::Closed { in_a_row: 0, window: Window::default() }
    }
}

impl Breaker {
    /// Leave for an attempt, or how long it is until the next one may be asked for.
    ///
    /// # Errors
    ///
    /// The time left, when the breaker is open or another attempt is the trial.
    pub fn admit(&mut self, now: Instant) -> Result<BreakerPermit, Duration> {
        match (&self.state, self.wait(now)) {
            (_, Some(wait)) => Err(wait),
            (State::Closed { .. }, None) => Ok(self.permit()),
            (State::Open { .. } | State::HalfOpen { .. }, None) => Ok(self.trial(now)),
        }
    }

    /// Leave for an attempt although the breaker is open: for a call that has no provider left. It serves as a trial. Of what
    /// is dead, nothing having worked lately, there is one trial at a time; what half works may take more.
    ///
    /// # Errors
    ///
    /// The time left, when another attempt is the trial of what is dead.
    pub fn force(&mut self, now: Instant) -> Result<BreakerPermit, Duration> {
        match (&self.state, self.wait_of_last(now)) {
            (_, Some(wait)) => Err(wait),
            (State::Closed { .. }, None) => Ok(self.permit()),
            (State::HalfOpen { trial_until, .. }, None) if now < *trial_until => Ok(self.permit()),
            (State::Open { .. } | State::HalfOpen { .. }, None) => Ok(self.trial(now)),
        }
    }

    /// Opens it: probes found dead what it stands for.
    pub fn trip(&mut self, now: Instant) {
        match &mut self.state {
            State::Closed { .. } => {
                self.enter(State::Open { until: now + OPEN, in_a_row: CONSECUTIVE });
                self.tripped = true;
            }
            State::Open { in_a_row, .. } | State::HalfOpen { in_a_row, .. } => *in_a_row = CONSECUTIVE.max(*in_a_row),
        }
    }

    /// Records whether a permitted attempt worked.
    pub fn record(&mut self, permit: BreakerPermit, worked: bool, now: Instant) {
        if permit.epoch != self.epoch {
            return;
        }
        self.outage = if worked { None } else { Some(Outage::goes_on(self.outage, now)) };
        match &mut self.state {
            State::Closed { in_a_row, window } => {
                window.add(worked, now);
                *in_a_row = if worked { 0 } else { in_a_row.saturating_add(1) };
                let in_a_row = *in_a_row;
                if !worked && (in_a_row >= CONSECUTIVE || window.mostly_failed()) {
                    self.enter(State::Open { until: now + OPEN, in_a_row });
                }
            }
            State::HalfOpen { .. } if worked => self.enter(State::closed()),
            State::HalfOpen { in_a_row, .. } => {
                let in_a_row = in_a_row.saturating_add(1);
                self.enter(State::Open { until: now + OPEN, in_a_row });
            }
            // No permit is given in this state without leaving it.
            State::Open { .. } => {}
        }
    }

    /// Takes in a passed probe: what failed before is another outage than what fails after it. It is the trial that a breaker
    /// waits for, too: without traffic there would be none; one that probes alone opened waits for nothing else. The next
    /// failure opens it again.
    pub fn relieve(&mut self, now: Instant) {
        // while a message is the trial, it is the better one: a provider can answer probes and no message
        let waits_for_a_trial = self.wait(now).is_none() && !matches!(self.state, State::Closed { .. });
        if waits_for_a_trial || self.tripped {
            self.enter(State::Closed { in_a_row: CONSECUTIVE, window: Window::default() });
        }
        if self.wait(now).is_none() {
            self.outage = None;
        }
    }

    /// The state as it would meet an attempt now.
    #[must_use]
    pub fn state(&self, now: Instant) -> BreakerState {
        match self.state {
            State::Closed { .. } => BreakerState::Closed,
            State::Open { until, .. } if now < until => BreakerState::Open,
            State::Open { .. } | State::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// While it is not closed: when the first failure was seen of those since which nothing worked, none of them more than
    /// 25 s after the one before.
    #[must_use]
    pub fn failing_since(&self, now: Instant) -> Option<Instant> {
        self.outage.filter(|_| self.state(now) != BreakerState::Closed).map(|outage| outage.first)
    }

    fn wait(&self, now: Instant) -> Option<Duration> {
        match self.state {
            State::Open { until, .. } | State::HalfOpen { trial_until: until, .. } if now < until => Some(until - now),
            State::Closed { .. } | State::Open { .. } | State::HalfOpen { .. } => None,
        }
    }

    /// How long it is until a call may be let through that has no provider left.
    fn wait_of_last(&self, now: Instant) -> Option<Duration> {
        match self.state {
            State::HalfOpen { trial_until, in_a_row } if in_a_row >= CONSECUTIVE && now < trial_until => {
                Some(trial_until - now)
            }
            State::Closed { .. } | State::Open { .. } | State::HalfOpen { .. } => None,
        }
    }

    fn permit(&self) -> BreakerPermit {
        BreakerPermit { epoch: self.epoch }
    }

    fn trial(&mut self, now: Instant) -> BreakerPermit {
        let in_a_row = match self.state {
            State::Closed { in_a_row, .. } | State::Open { in_a_row, .. } | State::HalfOpen { in_a_row, .. } => {
                in_a_row
            }
        };
        self.enter(State::HalfOpen { trial_until: now + OPEN, in_a_row });
        self.permit()
    }

    fn enter(&mut self, state: State) {
        (self.state, self.tripped) = (state, false);
        self.epoch += 1;
    }
}

/// Results of the last [`WINDOW`], in slices of a tenth.
#[derive(Debug, Clone, Default)]
struct Window {
    slices: VecDeque<Slice>,
}

#[derive(Debug, Clone, Copy)]
struct Slice {
    since: Instant,
    worked: u32,
    failed: u32,
}

impl Window {
    fn add(&mut self, worked: bool, now: Instant) {
        self.slices.retain(|slice| now.saturating_duration_since(slice.since) < WINDOW);
        let current = match self.slices.back_mut() {
            Some(slice) if now.saturating_duration_since(slice.since) < WINDOW / SLICES => slice,
            _ => {
                self.slices.push_back(Slice { since: now, worked: 0, failed: 0 });
                let last = self.slices.len() - 1;
                &mut self.slices[last]
            }
        };
        let count = if worked { &mut current.worked } else { &mut current.failed };
        *count = count.saturating_add(1);
    }

    /// By the time of the latest result, with which those that were too old went.
    fn mostly_failed(&self) -> bool {
        let (worked, failed) = self.slices.iter().fold((0_u64, 0_u64), |(worked, failed), slice| {
            (worked + u64::from(slice.worked), failed + u64::from(slice.failed))
        });
        worked + failed >= u64::from(SAMPLE) && failed >= worked
    }
}

/// The breakers of one provider.
#[derive(Debug, Clone, Default)]
pub struct Breakers {
    whole: Breaker,
    parts: BTreeMap<Part, (Breaker, Instant)>,
}

/// Leave for one attempt at a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "an attempt that is not recorded teaches the breakers nothing"]
pub struct Passage {
    whole: BreakerPermit,
    route: Route,
    parts: Vec<(Part, BreakerPermit)>,
}

impl Passage {
    /// What the message needs of the provider.
    #[must_use]
    pub const fn route(&self) -> &Route {
        &self.route
    }
}

impl Breakers {
    /// Leave for an attempt, or how long it is until the next one may be asked for.
    ///
    /// # Errors
    ///
    /// The time left, when the breaker of the whole or of a part that the message needs is open.
    pub fn admit(&mut self, route: &Route, now: Instant) -> Result<Passage, Duration> {
        // All are checked before one is asked: a trial must not be spent on an attempt that will not be made.
        if let Some(wait) = self.wait(route, now) {
            return Err(wait);
        }
        self.pass(route, now, Breaker::admit)
    }

    /// Leave for an attempt although breakers are open: for a call that has no provider left. What refuses a part says so at
    /// once and definitely, so it may be asked again and again; a provider that is dead has one trial at a time.
    ///
    /// # Errors
    ///
    /// The time left, when the provider is dead and another attempt is its trial.
    pub fn force(&mut self, route: &Route, now: Instant) -> Result<Passage, Duration> {
        if let Some(wait) = self.wait_of_last(now) {
            return Err(wait);
        }
        self.pass(route, now, |breaker, now| Ok(breaker.force(now).unwrap_or_else(|_| breaker.permit())))
    }

    fn pass(
        &mut self,
        route: &Route,
        now: Instant,
        ask: impl Fn(&mut Breaker, Instant) -> Result<BreakerPermit, Duration>,
    ) -> Result<Passage, Duration> {
        let mut parts = Vec::new();
        for part in route.parts() {
            if let Some((breaker, _)) = self.parts.get_mut(&part) {
                parts.push((part, ask(breaker, now)?));
            }
        }
        Ok(Passage { whole: ask(&mut self.whole, now)?, route: route.clone(), parts })
    }

    /// How long it is until an attempt may be asked for; `None` when it may be now.
    #[must_use]
    pub fn wait(&self, route: &Route, now: Instant) -> Option<Duration> {
        let parts = route.parts().into_iter().filter_map(|part| self.parts.get(&part)?.0.wait(now)).max();
        self.whole.wait(now).max(parts)
    }

    /// Whether nothing is let in to the whole provider now, unless nobody else is left.
    #[must_use]
    pub fn is_shut(&self, now: Instant) -> bool {
        self.whole.wait(now).is_some()
    }

    /// How long it is until a call may ask that has no provider left.
    #[must_use]
    pub fn wait_of_last(&self, now: Instant) -> Option<Duration> {
        self.whole.wait_of_last(now)
    }

    /// Takes in a passed probe of the provider.
    pub fn relieve(&mut self, now: Instant) {
        self.whole.relieve(now);
    }

    /// Takes in that probes found the provider dead.
    pub fn trip(&mut self, now: Instant) {
        self.whole.trip(now);
    }

    /// Records what became of an attempt that was made; a refusal for want of a sender or of anything else that was
    /// found before the provider was called is none.
    ///
    /// A refusal that is about the message's recipient shows that the provider works, and nothing about its parts. One about a
    /// part counts against that part only.
    pub fn record(&mut self, passage: Passage, outcome: &Outcome, now: Instant) {
        let fault = fault(outcome, &passage.route);
        self.whole.record(passage.whole, fault != Some(Fault::Provider), now);
        match fault {
            None if matches!(outcome, Outcome::Accepted { .. }) => {
                for (part, permit) in passage.parts {
                    if let Some((breaker, _)) = self.parts.get_mut(&part) {
                        breaker.record(permit, true, now);
                    }
                }
            }
            None | Some(Fault::Provider) => {}
            Some(Fault::Part(part)) => {
                let permit = passage.parts.into_iter().find(|(of, _)| *of == part).map(|(_, permit)| permit);
                self.part_failed(part, permit, now);
            }
        }
    }

    /// State of the breaker of the whole provider.
    #[must_use]
    pub fn state(&self, now: Instant) -> BreakerState {
        self.whole.state(now)
    }

    /// While the breaker of the whole provider is not closed: when the first failure was seen of those since which nothing
    /// worked ([`Breaker::failing_since`]).
    #[must_use]
    pub fn failing_since(&self, now: Instant) -> Option<Instant> {
        self.whole.failing_since(now)
    }

    fn part_failed(&mut self, part: Part, permit: Option<BreakerPermit>, now: Instant) {
        if !self.parts.contains_key(&part) && self.parts.len() >= MAX_PARTS {
            let oldest = self.parts.iter().min_by_key(|(_, (_, failed))| *failed).map(|(part, _)| part.clone());
            if let Some(oldest) = oldest {
                self.parts.remove(&oldest);
            }
        }
        let (breaker, failed) = self.parts.entry(part).or_insert_with(|| (Breaker::default(), now));
        *failed = now;
        let permit = permit.unwrap_or_else(|| breaker.permit());
        breaker.record(permit, false, now);
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Fault {
    Provider,
    Part(Part),
}

/// Whose breaker an outcome counts against.
fn fault(outcome: &Outcome, route: &Route) -> Option<Fault> {
    match outcome {
        Outcome::Accepted { .. } => None,
        Outcome::Ambiguous { .. } => Some(Fault::Provider),
        Outcome::Refused(refusal) => match refusal.class {
            Class::Transient | Class::Throttled | Class::PermanentConfig(Scope::Account) => Some(Fault::Provider),
            class => Part::refused(class, route).map(Fault::Part),
        },
    }
}

#[cfg(test)]
mod tests;
