//! Circuit breakers: a carrier that keeps failing is left alone for a while, so that calls do not spend their time on it.
//!
//! Pure; the clock is an argument. [`Breakers`] are those of one carrier: one for the whole of it, and one per country
//! that it refused by name. `dispatch` asks before each attempt and tells what became of it; `health` judges more
//! slowly, by probes, and is what people see.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use crate::{
    config::report::{BreakerState, MAX_COUNTRIES},
    message::CountryCode,
    providers::{Class, Outcome, Scope},
};

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
    Open { until: Instant },
    HalfOpen { trial_until: Instant },
}

impl Default for Breaker {
    fn default() -> Self {
        Self { state: State::closed(), epoch: 0, outage: None }
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

    /// Leave for an attempt although the breaker is open: for a call that has no carrier left. It serves as a trial.
    pub fn force(&mut self, now: Instant) -> Permit {
        match self.state {
            State::Open { .. } => self.trial(now),
            State::Closed { .. } | State::HalfOpen { .. } => self.permit(),
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
                if !worked && (*in_a_row >= CONSECUTIVE || window.mostly_failed(now)) {
                    self.enter(State::Open { until: now + OPEN });
                }
            }
            State::HalfOpen { .. } if worked => self.enter(State::closed()),
            State::HalfOpen { .. } => self.enter(State::Open { until: now + OPEN }),
            // No permit is given in this state without leaving it.
            State::Open { .. } => {}
        }
    }

    /// Takes in a passed probe: what failed before is another outage than what fails after it. It is the trial that a breaker
    /// waits for, too: without traffic there would be none. The next failure opens it again.
    pub fn relieve(&mut self, now: Instant) {
        let state = self.state(now);
        if state == BreakerState::HalfOpen {
            self.enter(State::Closed { in_a_row: CONSECUTIVE - 1, window: Window::default() });
        }
        if state != BreakerState::Open {
            self.outage = None;
        }
    }

    /// The state as it would meet an attempt now.
    #[must_use]
    pub fn state(&self, now: Instant) -> BreakerState {
        match self.state {
            State::Closed { .. } => BreakerState::Closed,
            State::Open { until } if now < until => BreakerState::Open,
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
            State::Open { until } | State::HalfOpen { trial_until: until } if now < until => Some(until - now),
            State::Closed { .. } | State::Open { .. } | State::HalfOpen { .. } => None,
        }
    }

    fn permit(&self) -> Permit {
        Permit { epoch: self.epoch }
    }

    fn trial(&mut self, now: Instant) -> Permit {
        self.enter(State::HalfOpen { trial_until: now + OPEN });
        self.permit()
    }

    fn enter(&mut self, state: State) {
        self.state = state;
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

    fn mostly_failed(&self, now: Instant) -> bool {
        let recent = self.slices.iter().filter(|slice| now.saturating_duration_since(slice.since) < WINDOW);
        let (worked, failed) = recent.fold((0_u64, 0_u64), |(worked, failed), slice| {
            (worked + u64::from(slice.worked), failed + u64::from(slice.failed))
        });
        worked + failed >= u64::from(SAMPLE) && failed >= worked
    }
}

/// The breakers of one carrier.
#[derive(Debug, Clone, Default)]
pub struct Breakers {
    whole: Breaker,
    countries: BTreeMap<CountryCode, (Breaker, Instant)>,
}

/// Leave for one attempt at a carrier, for one country.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "an attempt that is not recorded teaches the breakers nothing"]
pub struct Passage {
    whole: Permit,
    country: Option<(CountryCode, Option<Permit>)>,
}

impl Breakers {
    /// Leave for an attempt to a number of a country, or how long it is until the next one may be asked for.
    ///
    /// # Errors
    ///
    /// The time left, when one of the two breakers is open.
    pub fn admit(&mut self, country: Option<CountryCode>, now: Instant) -> Result<Passage, Duration> {
        // Both are looked at before either is asked: a trial must not be spent on an attempt that will not be made.
        let of_country = country.and_then(|code| self.countries.get_mut(&code));
        let country_wait = of_country.as_ref().and_then(|(breaker, _)| breaker.wait(now));
        if let Some(wait) = self.whole.wait(now).max(country_wait) {
            return Err(wait);
        }
        let of_country = of_country.map(|(breaker, _)| breaker.admit(now)).transpose()?;
        Ok(Passage { whole: self.whole.admit(now)?, country: country.map(|code| (code, of_country)) })
    }

    /// Leave for an attempt whatever the breakers say: for a call that has no carrier left.
    pub fn force(&mut self, country: Option<CountryCode>, now: Instant) -> Passage {
        let country = country.map(|code| (code, self.countries.get_mut(&code).map(|(breaker, _)| breaker.force(now))));
        Passage { whole: self.whole.force(now), country }
    }

    /// Takes in a passed probe of the carrier.
    pub fn relieve(&mut self, now: Instant) {
        self.whole.relieve(now);
    }

    /// Records what became of an attempt that was made; a refusal for want of a sender or of anything else that was
    /// found before the carrier was called is none.
    ///
    /// A refusal that is about the message or its recipient shows that the carrier works. One about a sender or a
    /// country, or for a reason that is not known, counts against the country only.
    pub fn record(&mut self, passage: Passage, outcome: &Outcome, now: Instant) {
        let fault = fault(outcome);
        self.whole.record(passage.whole, fault != Some(Fault::Carrier), now);
        let Some((code, permit)) = passage.country else { return };
        match (fault, permit) {
            (Some(Fault::Carrier), _) | (None, None) => {}
            (None, Some(permit)) => {
                if let Some((breaker, _)) = self.countries.get_mut(&code) {
                    breaker.record(permit, true, now);
                }
            }
            (Some(Fault::Country), permit) => self.country_failed(code, permit, now),
        }
    }

    /// State of the breaker of the whole carrier.
    #[must_use]
    pub fn state(&self, now: Instant) -> BreakerState {
        self.whole.state(now)
    }

    /// While the breaker of the whole carrier is not closed: when the first failure was seen of those since which nothing
    /// worked ([`Breaker::failing_since`]).
    #[must_use]
    pub fn failing_since(&self, now: Instant) -> Option<Instant> {
        self.whole.failing_since(now)
    }

    /// State of the breaker that an attempt for this country would meet, the carrier's own aside.
    #[must_use]
    pub fn country_state(&self, country: CountryCode, now: Instant) -> BreakerState {
        self.countries.get(&country).map_or(BreakerState::Closed, |(breaker, _)| breaker.state(now))
    }

    fn country_failed(&mut self, code: CountryCode, permit: Option<Permit>, now: Instant) {
        if !self.countries.contains_key(&code) && self.countries.len() >= MAX_COUNTRIES {
            let oldest = self.countries.iter().min_by_key(|(_, (_, failed))| *failed).map(|(code, _)| *code);
            if let Some(oldest) = oldest {
                self.countries.remove(&oldest);
            }
        }
        let (breaker, failed) = self.countries.entry(code).or_insert_with(|| (Breaker::default(), now));
        *failed = now;
        let permit = permit.unwrap_or_else(|| breaker.permit());
        breaker.record(permit, false, now);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Carrier,
    Country,
}

/// Whose breaker an outcome counts against.
fn fault(outcome: &Outcome) -> Option<Fault> {
    match outcome {
        Outcome::Accepted { .. } => None,
        Outcome::Ambiguous { .. } => Some(Fault::Carrier),
        Outcome::Refused(refusal) => match refusal.class {
            Class::Transient | Class::Throttled | Class::PermanentConfig(Scope::Account) => Some(Fault::Carrier),
            // One of them says little; five in a row, with nothing taken between them, are more than one number's fault.
            Class::PermanentConfig(Scope::Sender | Scope::Country) | Class::Unknown => Some(Fault::Country),
            Class::PermanentDestination
            | Class::UnreachableHere
            | Class::FraudBlocked
            | Class::MessageRejected
            | Class::MessageTooLong => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::providers::Refusal;

    const SECOND: Duration = Duration::from_secs(1);
    const ALMOST: Duration = OPEN.saturating_sub(SECOND);

    fn refused(class: Class) -> Outcome {
        Outcome::Refused(Refusal { class, code: "1".into(), retry_after_s: None })
    }

    fn accepted() -> Outcome {
        Outcome::Accepted { id: "SM1".into() }
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
    fn a_trial_that_is_never_told_of_makes_way_for_another() {
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
    fn a_result_from_before_it_opened_changes_nothing() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        let slow = breaker.admit(now).unwrap();
        fail(&mut breaker, CONSECUTIVE, now);
        breaker.record(slow, true, now + SECOND);
        assert_eq!(breaker.state(now + SECOND), BreakerState::Open);
    }

    #[test]
    fn a_call_without_another_carrier_may_force_it_and_its_success_closes_it() {
        let now = Instant::now();
        let mut breaker = opened(now);
        let forced = breaker.force(now + SECOND);
        breaker.record(forced, true, now + SECOND);
        assert_eq!(breaker.state(now + SECOND), BreakerState::Closed);
    }

    #[test]
    fn what_counts_against_the_carrier_the_country_or_nobody() {
        let now = Instant::now();
        let country = "SE".parse().unwrap();
        let (closed, open) = (BreakerState::Closed, BreakerState::Open);
        for (outcome, whole, of_country) in [
            (accepted(), closed, closed),
            (Outcome::Ambiguous { cause: "timeout" }, open, closed),
            (refused(Class::Transient), open, closed),
            (refused(Class::Throttled), open, closed),
            (refused(Class::PermanentConfig(Scope::Account)), open, closed),
            (refused(Class::PermanentConfig(Scope::Country)), closed, open),
            (refused(Class::PermanentConfig(Scope::Sender)), closed, open),
            (refused(Class::PermanentDestination), closed, closed),
            (refused(Class::Unknown), closed, open),
            (refused(Class::UnreachableHere), closed, closed),
            (refused(Class::FraudBlocked), closed, closed),
            (refused(Class::MessageRejected), closed, closed),
            (refused(Class::MessageTooLong), closed, closed),
        ] {
            let mut breakers = Breakers::default();
            for _ in 0..CONSECUTIVE {
                let passage = breakers.admit(Some(country), now).unwrap();
                breakers.record(passage, &outcome, now);
            }
            assert_eq!((breakers.state(now), breakers.country_state(country, now)), (whole, of_country), "{outcome:?}");
            assert_eq!(breakers.admit(Some(country), now).is_err(), whole == open || of_country == open, "{outcome:?}");
            assert_eq!(breakers.admit(Some("NO".parse().unwrap()), now).is_err(), whole == open, "{outcome:?}");
        }
    }

    #[test]
    fn a_carrier_that_is_left_alone_has_failed_since_the_first_failure_after_which_nothing_worked() {
        let began = Instant::now();
        let second = Duration::from_secs(1);
        let mut breakers = Breakers::default();
        let mut attempt = |at: u32, outcome: &Outcome| {
            let now = began + second * at;
            let passage = breakers.admit(None, now).unwrap_or_else(|_| breakers.force(None, now));
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
    fn a_trial_of_the_country_is_not_spent_while_the_carrier_refuses() {
        let now = Instant::now();
        let country = Some("SE".parse().unwrap());
        let mut breakers = Breakers::default();
        for _ in 0..CONSECUTIVE {
            let passage = breakers.admit(country, now).unwrap();
            breakers.record(passage, &refused(Class::PermanentConfig(Scope::Country)), now);
        }
        let later = now + ALMOST;
        for _ in 0..CONSECUTIVE {
            let passage = breakers.admit(None, later).unwrap();
            breakers.record(passage, &refused(Class::Transient), later);
        }
        assert_eq!(breakers.admit(country, now + OPEN), Err(ALMOST));
        assert!(breakers.admit(country, later + OPEN).is_ok(), "both trials are left");
    }

    fn outcomes() -> impl Strategy<Value = Outcome> {
        prop_oneof![
            Just(accepted()),
            Just(refused(Class::Transient)),
            Just(refused(Class::PermanentConfig(Scope::Country))),
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
            for (outcome, country, pause, told) in steps {
                now += Duration::from_millis(pause);
                let passage = match breakers.admit(country, now) {
                    Ok(passage) => passage,
                    Err(wait) => {
                        prop_assert!(wait > Duration::ZERO && wait <= OPEN);
                        prop_assert!(breakers.clone().admit(country, now + wait).is_ok());
                        breakers.force(country, now)
                    }
                };
                if told {
                    breakers.record(passage, &outcome, now);
                }
                prop_assert!(breakers.countries.len() <= MAX_COUNTRIES);
                if let State::Closed { window, .. } = &breakers.whole.state {
                    prop_assert!(window.slices.len() <= SLICES as usize + 1);
                }
            }
        }

        #[test]
        fn a_carrier_that_mostly_works_is_never_left_alone(
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
