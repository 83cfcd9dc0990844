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
}

#[derive(Debug, Clone)]
enum State {
    Closed { in_a_row: u32, window: Window },
    Open { until: Instant },
    HalfOpen { trial_until: Instant },
}

impl Default for Breaker {
    fn default() -> Self {
        Self { state: State::closed(), epoch: 0 }
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

    /// The state as it would meet an attempt now.
    #[must_use]
    pub fn state(&self, now: Instant) -> BreakerState {
        match self.state {
            State::Closed { .. } => BreakerState::Closed,
            State::Open { until } if now < until => BreakerState::Open,
            State::Open { .. } | State::HalfOpen { .. } => BreakerState::HalfOpen,
        }
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

    /// Records what became of an attempt that was made; a refusal for want of a sender or of anything else that was
    /// found before the carrier was called is none.
    ///
    /// A refusal that is about the message or its recipient shows that the carrier works. One about a sender or a
    /// country counts against the country only.
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
            Class::PermanentConfig(Scope::Sender | Scope::Country) => Some(Fault::Country),
            Class::PermanentDestination | Class::FraudBlocked | Class::MessageRejected | Class::MessageTooLong => None,
        },
    }
}
