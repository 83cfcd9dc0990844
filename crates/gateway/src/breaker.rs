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
pub struct Permit {
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
    pub fn admit(&mut self, now: Instant) -> Result<Permit, Duration> {
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
    pub fn force(&mut self, now: Instant) -> Result<Permit, Duration> {
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
    pub fn record(&mut self, permit: Permit, worked: bool, now: Instant) {
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

    fn permit(&self) -> Permit {
        Permit { epoch: self.epoch }
    }

    fn trial(&mut self, now: Instant) -> Permit {
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
    whole: Permit,
    route: Route,
    parts: Vec<(Part, Permit)>,
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
        ask: impl Fn(&mut Breaker, Instant) -> Result<Permit, Duration>,
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

    fn part_failed(&mut self, part: Part, permit: Option<Permit>, now: Instant) {
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
mod tests {
    use proptest::prelude::*;

    use super::*;
    use hookswitch_message::{Channel, CountryCode};
    use hookswitch_providers::Refusal;

    const SECOND: Duration = Duration::from_secs(1);
    const ALMOST: Duration = OPEN.saturating_sub(SECOND);

    fn refused(class: Class) -> Outcome {
        Outcome::Refused(Refusal { class, code: "1".into(), retry_after_s: None })
    }

    fn accepted() -> Outcome {
        Outcome::Accepted { id: "SM1".into() }
    }

    fn to(country: Option<CountryCode>) -> Route {
        Route { channel: Channel::Sms, country, sender: Some("ACME".into()), recipient: None }
    }

    fn fail(breaker: &mut Breaker, times: u32, now: Instant) {
        for _ in 0..times {
            let permit = breaker.admit(now).unwrap();
            breaker.record(permit, false, now);
        }
    }

    fn opened(now: Instant) -> Breaker {
        let mut breaker = Breaker::default();
        fail(&mut breaker, CONSECUTIVE, now);
        breaker
    }

    /// One that is open because half of what is tried fails.
    fn half_works(now: Instant) -> Breaker {
        let mut breaker = Breaker::default();
        for n in 0..SAMPLE {
            let permit = breaker.admit(now).unwrap();
            breaker.record(permit, n % 2 == 0, now);
        }
        assert_eq!(breaker.state(now), BreakerState::Open);
        breaker
    }

    #[test]
    fn a_passed_probe_is_the_trial_of_a_breaker_without_traffic_and_one_failure_opens_it_again() {
        let (mut breaker, begun) = (Breaker::default(), Instant::now());
        for _ in 0..CONSECUTIVE {
            let permit = breaker.admit(begun).unwrap();
            breaker.record(permit, false, begun);
        }
        breaker.relieve(begun + OPEN / 2);
        assert_eq!(breaker.state(begun + OPEN / 2), BreakerState::Open, "not before its time");
        let later = begun + OPEN;
        assert_eq!(breaker.state(later), BreakerState::HalfOpen);
        breaker.relieve(later);
        assert_eq!(breaker.state(later), BreakerState::Closed);
        let permit = breaker.admit(later).unwrap();
        breaker.record(permit, false, later);
        assert_eq!(breaker.state(later), BreakerState::Open);
    }

    #[test]
    fn five_failures_in_a_row_open_it_and_four_do_not() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        fail(&mut breaker, CONSECUTIVE - 1, now);
        assert_eq!(breaker.state(now), BreakerState::Closed);
        fail(&mut breaker, 1, now);
        assert_eq!(breaker.state(now), BreakerState::Open);
        assert_eq!(breaker.admit(now + SECOND), Err(ALMOST));
    }

    #[test]
    fn half_of_twenty_within_ten_seconds_open_it_and_of_nineteen_do_not() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        for n in 0..SAMPLE {
            assert_eq!(breaker.state(now), BreakerState::Closed, "after {n}");
            let permit = breaker.admit(now).unwrap();
            breaker.record(permit, n % 2 == 0, now + SECOND * n / 4);
        }
        assert_eq!(breaker.state(now + 5 * SECOND), BreakerState::Open);
    }

    #[test]
    fn failures_older_than_the_window_do_not_count() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        for n in 0..SAMPLE * 3 {
            let at = now + SECOND * n;
            let permit = breaker.admit(at).unwrap();
            breaker.record(permit, n % 2 == 0, at);
        }
        assert_eq!(breaker.state(now + SECOND * SAMPLE * 3), BreakerState::Closed);
    }

    #[test]
    fn results_count_for_ten_seconds_and_are_counted_in_slices_of_one() {
        let (now, slice) = (Instant::now(), WINDOW / SLICES);
        let almost = |time: Duration| now + time.saturating_sub(Duration::from_millis(1));
        let mut window = Window::default();
        let mut add = |times: u32, worked: bool, at: Instant| {
            for _ in 0..times {
                window.add(worked, at);
            }
            (window.slices.len(), window.mostly_failed())
        };
        assert_eq!(add(SAMPLE + 10, true, now), (1, false));
        assert_eq!(add(1, false, almost(slice)), (1, false));
        assert_eq!(add(SAMPLE - 2, false, now + slice), (2, false));
        assert_eq!(add(1, false, almost(WINDOW)), (3, false), "more of them worked");
        assert_eq!(add(1, false, now + WINDOW), (2, true), "those are too old now");
    }

    #[test]
    fn when_it_half_opens_one_attempt_is_the_trial_and_decides() {
        let now = Instant::now();
        for (worked, state) in [(true, BreakerState::Closed), (false, BreakerState::Open)] {
            let mut breaker = opened(now);
            let later = now + OPEN;
            assert_eq!(breaker.state(later), BreakerState::HalfOpen);
            let trial = breaker.admit(later).unwrap();
            assert_eq!(breaker.admit(later), Err(OPEN), "a second attempt beside the trial");
            breaker.record(trial, worked, later + SECOND);
            assert_eq!(breaker.state(later + SECOND), state);
        }
    }

    #[test]
    fn a_trial_that_is_never_recorded_makes_way_for_another() {
        let now = Instant::now();
        let mut breaker = opened(now);
        let lost = breaker.admit(now + OPEN).unwrap();
        let second = breaker.admit(now + 2 * OPEN).unwrap();
        breaker.record(lost, false, now + 2 * OPEN);
        assert_eq!(breaker.state(now + 2 * OPEN), BreakerState::HalfOpen, "the lost one no longer decides");
        breaker.record(second, true, now + 2 * OPEN);
        assert_eq!(breaker.state(now + 2 * OPEN), BreakerState::Closed);
    }

    #[test]
    fn a_trial_that_was_forced_and_took_its_time_makes_way_for_another() {
        let now = Instant::now();
        let mut breaker = half_works(now);
        let lost = breaker.force(now).unwrap();
        let second = breaker.force(now + OPEN).unwrap();
        breaker.record(lost, true, now + OPEN);
        assert_eq!(breaker.state(now + OPEN), BreakerState::HalfOpen, "the lost one no longer decides");
        breaker.record(second, true, now + OPEN);
        assert_eq!(breaker.state(now + OPEN), BreakerState::Closed);
    }

    #[test]
    fn a_result_from_before_it_opened_changes_nothing() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        let slow = breaker.admit(now).unwrap();
        fail(&mut breaker, CONSECUTIVE, now);
        breaker.record(slow, true, now + SECOND);
        assert_eq!(breaker.state(now + SECOND), BreakerState::Open);
    }

    #[test]
    fn a_call_without_another_provider_may_force_it_and_its_success_closes_it() {
        let now = Instant::now();
        let mut breaker = opened(now);
        let forced = breaker.force(now + SECOND).unwrap();
        breaker.record(forced, true, now + SECOND);
        assert_eq!(breaker.state(now + SECOND), BreakerState::Closed);
    }

    #[test]
    fn a_passed_probe_does_not_replace_a_trial_that_is_under_way() {
        let now = Instant::now();
        let mut breaker = opened(now);
        let trial = breaker.force(now).unwrap();
        breaker.relieve(now + SECOND);
        assert_eq!(breaker.state(now + SECOND), BreakerState::HalfOpen);
        assert_eq!(breaker.failing_since(now + SECOND), Some(now), "the outage goes on");
        assert!(breaker.force(now + SECOND).is_err(), "nobody else is let in");
        breaker.record(trial, false, now + SECOND);
        assert_eq!(breaker.state(now + SECOND), BreakerState::Open, "what became of the trial counts");
    }

    #[test]
    fn what_is_dead_is_forced_by_one_at_a_time_and_what_half_works_by_all() {
        let now = Instant::now();
        let mut dead = opened(now);
        let mut tripped = Breaker::default();
        tripped.trip(now);
        for breaker in [&mut dead, &mut tripped] {
            let trial = breaker.force(now).unwrap();
            for _ in 0..40 {
                assert_eq!(breaker.force(now), Err(OPEN), "another one is the trial");
            }
            breaker.record(trial, false, now + SECOND);
            assert!(breaker.force(now + SECOND).is_ok(), "the next trial, without waiting");
            assert!(breaker.force(now + SECOND).is_err());
        }
        let mut half = half_works(now);
        let permits: Vec<Permit> = (0..40).map(|_| half.force(now).unwrap()).collect();
        half.record(permits[7], true, now);
        assert_eq!(half.state(now), BreakerState::Closed);

        let mut dying = half;
        for n in 0..SAMPLE {
            let permit = dying.admit(now).unwrap();
            dying.record(permit, n % 2 == 0, now);
        }
        for _ in 0..CONSECUTIVE {
            let permit = dying.force(now).unwrap();
            dying.record(permit, false, now);
        }
        let _trial = dying.force(now).unwrap();
        assert!(dying.force(now).is_err(), "it half worked, and is dead now");
    }

    #[test]
    fn what_counts_against_the_provider_a_part_of_it_or_nobody() {
        let now = Instant::now();
        let route = to(Some("SE".parse().unwrap()));
        let sender = Part::Sender(Channel::Sms, route.sender.clone());
        let country = Part::Country(Channel::Sms, route.country);
        for (outcome, whole, part) in [
            (accepted(), false, None),
            (Outcome::Ambiguous { cause: "timeout" }, true, None),
            (refused(Class::Transient), true, None),
            (refused(Class::Throttled), true, None),
            (refused(Class::PermanentConfig(Scope::Account)), true, None),
            (refused(Class::PermanentConfig(Scope::Country)), false, Some(country)),
            (refused(Class::PermanentConfig(Scope::Sender)), false, Some(sender)),
            (refused(Class::MessageRejected), false, Some(Part::Channel(Channel::Sms))),
            (refused(Class::Unknown), false, Some(Part::Channel(Channel::Sms))),
            (refused(Class::UnreachableHere), false, None),
            (refused(Class::PermanentDestination), false, None),
            (refused(Class::FraudBlocked), false, None),
            (refused(Class::MessageTooLong), false, None),
        ] {
            let mut breakers = Breakers::default();
            for _ in 0..CONSECUTIVE {
                let passage = breakers.admit(&route, now).unwrap();
                breakers.record(passage, &outcome, now);
            }
            assert_eq!(breakers.state(now) == BreakerState::Open, whole, "{outcome:?}");
            for of in route.parts() {
                let is_open =
                    breakers.parts.get(&of).is_some_and(|(breaker, _)| breaker.state(now) == BreakerState::Open);
                assert_eq!(is_open, Some(&of) == part.as_ref(), "{outcome:?}");
            }
            let mut elsewhere = |route: Route| breakers.admit(&route, now).is_err();
            assert_eq!(elsewhere(route.clone()), whole || part.is_some(), "{outcome:?}");
            let norway = Route { country: Some("NO".parse().unwrap()), ..route.clone() };
            assert_eq!(elsewhere(norway), whole || part.is_some_and(|part| !matches!(part, Part::Country(..))));
            assert_eq!(elsewhere(Route { channel: Channel::Voice, ..route.clone() }), whole, "{outcome:?}");
        }
    }

    #[test]
    fn numbers_without_a_country_are_a_part_of_their_own() {
        let now = Instant::now();
        let mut breakers = Breakers::default();
        for _ in 0..CONSECUTIVE {
            let passage = breakers.admit(&to(None), now).unwrap();
            breakers.record(passage, &refused(Class::PermanentConfig(Scope::Country)), now);
        }
        assert!(breakers.admit(&to(None), now).is_err());
        assert!(breakers.admit(&to(Some("SE".parse().unwrap())), now).is_ok());
    }

    #[test]
    fn what_probes_alone_opened_probes_alone_close_at_once_and_a_failed_message_keeps_it_open() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        breaker.trip(now);
        assert_eq!(breaker.state(now), BreakerState::Open);
        breaker.relieve(now + SECOND);
        assert_eq!(breaker.state(now + SECOND), BreakerState::Closed);
        breaker.trip(now);
        let trial = breaker.force(now).unwrap();
        breaker.record(trial, false, now);
        breaker.relieve(now + SECOND);
        assert_eq!(breaker.state(now + SECOND), BreakerState::Open);
    }

    #[test]
    fn refusals_of_a_part_count_whatever_became_of_the_other_parts_before() {
        let (now, route) = (Instant::now(), to(None));
        let mut breakers = Breakers::default();
        let mut attempt = |outcome: &Outcome, at: Instant| {
            let passage = breakers.admit(&route, at).unwrap();
            breakers.record(passage, outcome, at);
            breakers.wait(&route, at)
        };
        for n in 1..=CONSECUTIVE {
            assert_eq!(attempt(&refused(Class::MessageRejected), now).is_some(), n == CONSECUTIVE);
        }
        let later = now + OPEN;
        assert_eq!(attempt(&accepted(), later), None, "the trial closes it");
        for n in 1..=CONSECUTIVE {
            let waits = attempt(&refused(Class::PermanentConfig(Scope::Sender)), later).is_some();
            assert_eq!(waits, n == CONSECUTIVE, "{n} in a row");
        }
    }

    #[test]
    fn what_probes_find_shuts_and_opens_the_whole_provider() {
        let (now, route) = (Instant::now(), to(None));
        let mut breakers = Breakers::default();
        assert!(!breakers.is_shut(now));
        breakers.trip(now);
        assert!(breakers.is_shut(now) && breakers.clone().admit(&route, now).is_err());
        let mut forced = breakers.clone();
        assert_eq!(forced.wait_of_last(now), None);
        let _trial = forced.force(&route, now).unwrap();
        assert_eq!(forced.wait_of_last(now + SECOND), Some(ALMOST), "of the dead one trial at a time");
        breakers.relieve(now);
        assert!(!breakers.is_shut(now) && breakers.admit(&route, now).is_ok());
    }

    #[test]
    fn as_many_parts_are_known_as_there_is_room_for_and_the_one_that_failed_longest_ago_goes() {
        let (began, count) = (Instant::now(), u32::try_from(MAX_PARTS).unwrap());
        let of = |n: u32| Route { sender: Some(format!("S{n}").into()), ..to(None) };
        let part = |n: u32| Part::Sender(Channel::Sms, of(n).sender);
        let mut breakers = Breakers::default();
        let refuse = |breakers: &mut Breakers, n: u32, at: u32| {
            let now = began + SECOND * at;
            let passage = breakers.admit(&of(n), now).unwrap();
            breakers.record(passage, &refused(Class::PermanentConfig(Scope::Sender)), now);
            breakers.parts.len()
        };
        for n in 0..count {
            assert_eq!(refuse(&mut breakers, n, n), n as usize + 1);
        }
        assert_eq!(refuse(&mut breakers, 0, count), MAX_PARTS, "a known one needs no room");
        assert_eq!(refuse(&mut breakers, count, count), MAX_PARTS);
        let known = [0, 1, 2, count].map(|n| breakers.parts.contains_key(&part(n)));
        assert_eq!(known, [true, false, true, true]);
    }

    #[test]
    fn a_part_that_is_refused_may_be_forced_by_all_and_an_accepted_message_mends_it() {
        let (now, route) = (Instant::now(), to(None));
        let mut breakers = Breakers::default();
        for _ in 0..CONSECUTIVE {
            let passage = breakers.admit(&route, now).unwrap();
            breakers.record(passage, &refused(Class::PermanentConfig(Scope::Sender)), now);
        }
        let number = breakers.force(&route, now).unwrap();
        breakers.record(number, &refused(Class::PermanentDestination), now);
        let passages: Vec<Passage> = (0..10).map(|_| breakers.force(&route, now).unwrap()).collect();
        assert!(breakers.admit(&route, now).is_err(), "a number that nobody reaches says nothing about the sender");
        for passage in passages {
            breakers.record(passage, &accepted(), now);
        }
        assert!(breakers.admit(&route, now).is_ok());
    }

    #[test]
    fn a_provider_that_is_left_alone_has_failed_since_the_first_failure_after_which_nothing_worked() {
        let began = Instant::now();
        let second = Duration::from_secs(1);
        let mut breakers = Breakers::default();
        let mut attempt = |at: u32, outcome: &Outcome| {
            let now = began + second * at;
            let passage = breakers.admit(&to(None), now).or_else(|_| breakers.force(&to(None), now)).unwrap();
            breakers.record(passage, outcome, now);
            breakers.failing_since(now).map(|since| since - began)
        };
        let failed = refused(Class::Transient);
        let since: Vec<_> = [&failed, &accepted(), &failed, &failed, &failed, &failed, &failed]
            .into_iter()
            .zip(0..)
            .map(|(outcome, at)| attempt(at, outcome))
            .collect();
        let two = Some(second * 2);
        assert_eq!(since, [None, None, None, None, None, None, two]);
        assert_eq!(attempt(30, &failed), two, "the trial failed, too");
        assert_eq!(attempt(60, &accepted()), None);
    }

    #[test]
    fn failures_far_apart_or_with_a_passed_probe_between_them_are_not_one_outage() {
        let (began, hour, far) = (Instant::now(), Duration::from_hours(1), APART + SECOND);
        for (quiet, probe) in [(4 * hour, None), (4 * hour, Some(hour)), (far, None), (6 * SECOND, Some(3 * SECOND))] {
            let mut breaker = Breaker::default();
            fail(&mut breaker, 1, began);
            if let Some(after) = probe {
                breaker.relieve(began + after);
            }
            for n in 0..CONSECUTIVE - 1 {
                fail(&mut breaker, 1, began + quiet + SECOND * n);
            }
            let opened = began + quiet + SECOND * (CONSECUTIVE - 2);
            assert_eq!(breaker.state(opened), BreakerState::Open);
            assert_eq!(breaker.failing_since(opened), Some(began + quiet), "{quiet:?} apart, a probe after {probe:?}");
        }
        let mut breaker = opened(began);
        fail(&mut breaker, 1, began + APART);
        assert_eq!(breaker.failing_since(began + APART), Some(began), "the trial is of the same outage");
        fail(&mut breaker, 1, began + hour);
        assert_eq!(breaker.failing_since(began + hour), Some(began + hour), "one that comes after an hour is not");
    }

    #[test]
    fn a_trial_of_the_country_is_not_spent_while_the_provider_refuses() {
        let now = Instant::now();
        let (sweden, norway) = (to(Some("SE".parse().unwrap())), to(Some("NO".parse().unwrap())));
        let mut breakers = Breakers::default();
        for _ in 0..CONSECUTIVE {
            let passage = breakers.admit(&sweden, now).unwrap();
            breakers.record(passage, &refused(Class::PermanentConfig(Scope::Country)), now);
        }
        let later = now + ALMOST;
        for _ in 0..CONSECUTIVE {
            let passage = breakers.admit(&norway, later).unwrap();
            breakers.record(passage, &refused(Class::Transient), later);
        }
        assert_eq!(breakers.admit(&sweden, now + OPEN), Err(ALMOST));
        assert!(breakers.admit(&sweden, later + OPEN).is_ok(), "both trials are left");
    }

    fn outcomes() -> impl Strategy<Value = Outcome> {
        prop_oneof![
            Just(accepted()),
            Just(refused(Class::Transient)),
            Just(refused(Class::PermanentConfig(Scope::Country))),
            Just(refused(Class::PermanentConfig(Scope::Sender))),
            Just(refused(Class::MessageRejected)),
            Just(Outcome::Ambiguous { cause: "reset" }),
        ]
    }

    fn countries() -> impl Strategy<Value = Option<CountryCode>> {
        proptest::option::of("[A-F][A-Z]".prop_map(|code| code.parse().unwrap()))
    }

    proptest! {
        #[test]
        fn whatever_happens_memory_is_bounded_and_a_refusal_ends_within_the_open_time(
            steps in proptest::collection::vec((outcomes(), countries(), 0_u64..4_000, any::<bool>()), 1..400),
        ) {
            let mut now = Instant::now();
            let mut breakers = Breakers::default();
            for (outcome, country, pause, reported) in steps {
                now += Duration::from_millis(pause);
                let route = to(country);
                let passage = match breakers.admit(&route, now) {
                    Ok(passage) => Some(passage),
                    Err(wait) => {
                        prop_assert!(wait > Duration::ZERO && wait <= OPEN);
                        prop_assert!(breakers.clone().admit(&route, now + wait).is_ok());
                        let forced = breakers.force(&route, now);
                        if let Err(wait) = forced {
                            prop_assert!(wait <= OPEN && breakers.clone().force(&route, now + wait).is_ok());
                        }
                        forced.ok()
                    }
                };
                if let Some(passage) = passage.filter(|_| reported) {
                    breakers.record(passage, &outcome, now);
                }
                prop_assert!(breakers.parts.len() <= MAX_PARTS);
                if let State::Closed { window, .. } = &breakers.whole.state {
                    prop_assert!(window.slices.len() <= SLICES as usize + 1);
                }
            }
        }

        #[test]
        fn a_provider_that_mostly_works_is_never_left_alone(
            results in proptest::collection::vec(0_u64..2_000, 1..300),
        ) {
            let mut now = Instant::now();
            let mut breaker = Breaker::default();
            for (n, pause) in results.into_iter().enumerate() {
                now += Duration::from_millis(pause);
                let permit = breaker.admit(now);
                prop_assert!(permit.is_ok());
                breaker.record(permit.unwrap(), n % 4 != 3, now);
            }
        }
    }
}
