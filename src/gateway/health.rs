//! Whether a carrier works, as this replica sees it: from probes and from what becomes of messages.
//!
//! Pure; the clock is an argument. Three answers, because not knowing is not failing. It orders the candidates of a
//! call and is what the report tells; `breaker` reacts faster and forgets faster.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::{
    config::{
        document::Probe,
        report::{MAX_COUNTRIES, ProbeState},
    },
    message::CountryCode,
    providers::{Class, Outcome, Probed, Refusal, Scope},
};

/// How long a country counts as refused after the last refusal: long enough to span the gaps of quiet traffic, short
/// enough that a permission granted at the carrier is noticed.
pub const COUNTRY_MEMORY: Duration = Duration::from_secs(600);

/// Health of one carrier.
#[derive(Debug, Clone)]
pub struct CarrierHealth {
    fall: u32,
    rise: u32,
    fresh: Duration,
    state: ProbeState,
    in_a_row: InARow,
    last_probe: Option<Instant>,
    last_success: Option<Instant>,
    refused_countries: BTreeMap<CountryCode, Instant>,
}

/// The latest probes that showed the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct InARow {
    shown: ProbeState,
    times: u32,
}

impl InARow {
    const NONE: Self = Self { shown: ProbeState::Unknown, times: 0 };

    fn and(self, shown: ProbeState) -> Self {
        Self { shown, times: if self.shown == shown { self.times.saturating_add(1) } else { 1 } }
    }
}

impl CarrierHealth {
    /// Health of a carrier of which nothing is known yet.
    #[must_use]
    pub fn new(probe: &Probe) -> Self {
        Self {
            fall: probe.fall.max(1),
            rise: probe.rise.max(1),
            fresh: Duration::from_millis(probe.interval_ms),
            state: ProbeState::Unknown,
            in_a_row: InARow::NONE,
            last_probe: None,
            last_success: None,
            refused_countries: BTreeMap::new(),
        }
    }

    /// Takes over changed probe settings without forgetting what is known.
    pub fn reconfigure(&mut self, probe: &Probe) {
        (self.fall, self.rise) = (probe.fall.max(1), probe.rise.max(1));
        self.fresh = Duration::from_millis(probe.interval_ms);
    }

    /// Records the result of a probe.
    ///
    /// Down after `fall` failures in a row, or at once when the account itself is refused; up again after `rise`
    /// passes in a row, or at once when nothing was known; unknown after `fall` probes in a row that show nothing. A
    /// message that the carrier took within the last probe interval outweighs a failed probe, which then counts for
    /// nothing.
    pub fn probed(&mut self, probed: &Probed, now: Instant) {
        self.last_probe = Some(now);
        match probed {
            Probed::Down(_) if self.succeeded_lately(now) => {}
            Probed::Down(refusal) => {
                self.in_a_row = self.in_a_row.and(ProbeState::Down);
                if is_about_account(refusal) || self.in_a_row.times >= self.fall {
                    self.state = ProbeState::Down;
                }
            }
            Probed::Up => {
                self.in_a_row = self.in_a_row.and(ProbeState::Up);
                if self.state == ProbeState::Unknown || self.in_a_row.times >= self.rise {
                    self.state = ProbeState::Up;
                }
            }
            Probed::Unknown => {
                self.in_a_row = self.in_a_row.and(ProbeState::Unknown);
                if self.in_a_row.times >= self.fall && !self.succeeded_lately(now) {
                    self.state = ProbeState::Unknown;
                }
            }
        }
    }

    /// Records what became of a message that was given to the carrier for a number of a country.
    ///
    /// An accepted one proves that the carrier works, and for that country. A refusal of the account proves that it
    /// does not; a refusal of the country is remembered for [`COUNTRY_MEMORY`]. Anything else is for the breaker.
    pub fn attempted(&mut self, outcome: &Outcome, country: Option<CountryCode>, now: Instant) {
        match outcome {
            Outcome::Accepted { .. } => {
                self.last_success = Some(now);
                self.state = ProbeState::Up;
                self.in_a_row = InARow::NONE;
                if let Some(country) = country {
                    self.refused_countries.remove(&country);
                }
            }
            Outcome::Refused(refusal) if is_about_account(refusal) => {
                self.last_success = None;
                self.state = ProbeState::Down;
                self.in_a_row = InARow::NONE;
            }
            Outcome::Refused(Refusal { class: Class::PermanentConfig(Scope::Country), .. }) => {
                if let Some(country) = country {
                    self.country_refused(country, now);
                }
            }
            Outcome::Refused(_) | Outcome::Ambiguous { .. } => {}
        }
    }

    /// Up, down, or unknown.
    #[must_use]
    pub fn state(&self) -> ProbeState {
        self.state
    }

    /// Whether the carrier is worth a try for a country before those that are not: it is not down and did not refuse
    /// the country lately.
    #[must_use]
    pub fn serves(&self, country: Option<CountryCode>, now: Instant) -> bool {
        let refused = country.and_then(|country| self.refused_countries.get(&country));
        self.state != ProbeState::Down && !refused.is_some_and(|since| is_remembered(*since, now))
    }

    /// How long ago the last probe ended.
    #[must_use]
    pub fn probe_age(&self, now: Instant) -> Option<Duration> {
        self.last_probe.map(|at| now.saturating_duration_since(at))
    }

    /// Countries that the carrier refused lately, sorted; at most [`MAX_COUNTRIES`].
    #[must_use]
    pub fn failing_countries(&self, now: Instant) -> Vec<CountryCode> {
        self.refused_countries.iter().filter(|(_, since)| is_remembered(**since, now)).map(|(code, _)| *code).collect()
    }

    fn succeeded_lately(&self, now: Instant) -> bool {
        self.last_success.is_some_and(|at| now.saturating_duration_since(at) < self.fresh)
    }

    fn country_refused(&mut self, country: CountryCode, now: Instant) {
        self.refused_countries.retain(|_, since| is_remembered(*since, now));
        if self.refused_countries.len() >= MAX_COUNTRIES && !self.refused_countries.contains_key(&country) {
            let oldest = self.refused_countries.iter().min_by_key(|(_, since)| **since).map(|(code, _)| *code);
            if let Some(oldest) = oldest {
                self.refused_countries.remove(&oldest);
            }
        }
        self.refused_countries.insert(country, now);
    }
}

fn is_remembered(since: Instant, now: Instant) -> bool {
    now.saturating_duration_since(since) < COUNTRY_MEMORY
}

fn is_about_account(refusal: &Refusal) -> bool {
    refusal.class == Class::PermanentConfig(Scope::Account)
}
