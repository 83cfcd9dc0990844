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
pub const COUNTRY_MEMORY: Duration = Duration::from_mins(10);

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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PROBE: Probe = Probe { interval_ms: 30_000, timeout_ms: 5_000, fall: 3, rise: 2 };
    const INTERVAL: Duration = Duration::from_secs(30);

    fn refusal(class: Class) -> Refusal {
        Refusal { class, code: "1".into(), retry_after_s: None }
    }

    fn down() -> Probed {
        Probed::Down(refusal(Class::Transient))
    }

    fn refused(class: Class) -> Outcome {
        Outcome::Refused(refusal(class))
    }

    fn accepted() -> Outcome {
        Outcome::Accepted { id: "SM1".into() }
    }

    fn country(code: &str) -> CountryCode {
        code.parse().unwrap()
    }

    /// The state after each probe, an interval apart.
    fn states(probes: &[Probed]) -> Vec<ProbeState> {
        let (mut health, mut now) = (CarrierHealth::new(&PROBE), Instant::now());
        let after = |probed| {
            health.probed(probed, now);
            now += INTERVAL;
            health.state()
        };
        probes.iter().map(after).collect()
    }

    #[test]
    fn nothing_is_known_at_the_start_and_an_unknown_carrier_is_tried() {
        let health = CarrierHealth::new(&PROBE);
        assert_eq!((health.state(), health.probe_age(Instant::now())), (ProbeState::Unknown, None));
        assert!(health.serves(Some(country("SE")), Instant::now()));
    }

    #[test]
    fn it_falls_after_three_failures_and_rises_after_two_passes() {
        use ProbeState::{Down, Unknown, Up};
        let probes = [Probed::Up, down(), down(), down(), Probed::Up, down(), Probed::Up, Probed::Up, down()];
        assert_eq!(states(&probes), [Up, Up, Up, Down, Down, Down, Down, Up, Up]);
        assert_eq!(states(&[down(), down(), down()]), [Unknown, Unknown, Down]);
    }

    #[test]
    fn a_probe_that_shows_nothing_is_no_failure_but_three_in_a_row_are_not_knowing() {
        use ProbeState::{Unknown, Up};
        let probes = [Probed::Up, Probed::Unknown, Probed::Unknown, Probed::Unknown];
        assert_eq!(states(&probes), [Up, Up, Up, Unknown]);
        let probes = [Probed::Up, down(), down(), Probed::Unknown, down(), down()];
        assert_eq!(states(&probes), [Up; 6]);
    }

    #[test]
    fn a_refused_account_is_down_at_once() {
        let now = Instant::now();
        let account = Class::PermanentConfig(Scope::Account);
        let mut health = CarrierHealth::new(&PROBE);
        health.probed(&Probed::Up, now);
        health.probed(&Probed::Down(refusal(account)), now);
        assert_eq!(health.state(), ProbeState::Down);

        let mut health = CarrierHealth::new(&PROBE);
        health.attempted(&accepted(), None, now);
        health.attempted(&refused(account), None, now);
        assert_eq!(health.state(), ProbeState::Down);
        assert!(!health.serves(None, now));
    }

    #[test]
    fn a_message_taken_within_the_interval_outweighs_failed_probes_and_an_older_one_does_not() {
        let now = Instant::now();
        let mut health = CarrierHealth::new(&PROBE);
        health.attempted(&accepted(), None, now);
        for _ in 0..5 {
            health.probed(&Probed::Down(refusal(Class::PermanentConfig(Scope::Account))), now + INTERVAL / 2);
        }
        assert_eq!(health.state(), ProbeState::Up);
        for _ in 0..3 {
            health.probed(&down(), now + INTERVAL);
        }
        assert_eq!(health.state(), ProbeState::Down);
        health.attempted(&accepted(), None, now + INTERVAL);
        assert_eq!(health.state(), ProbeState::Up);
    }

    #[test]
    fn one_message_that_fails_says_nothing_about_the_carrier() {
        let now = Instant::now();
        for outcome in [
            refused(Class::Transient),
            refused(Class::Throttled),
            refused(Class::PermanentDestination),
            refused(Class::FraudBlocked),
            Outcome::Ambiguous { cause: "timeout" },
        ] {
            let mut health = CarrierHealth::new(&PROBE);
            health.probed(&Probed::Up, now);
            for _ in 0..10 {
                health.attempted(&outcome, Some(country("SE")), now);
            }
            assert_eq!((health.state(), health.failing_countries(now)), (ProbeState::Up, vec![]), "{outcome:?}");
        }
    }

    #[test]
    fn a_refused_country_is_remembered_until_it_works_or_ten_minutes_pass() {
        let now = Instant::now();
        let mut health = CarrierHealth::new(&PROBE);
        for code in ["SE", "NO"] {
            health.attempted(&refused(Class::PermanentConfig(Scope::Country)), Some(country(code)), now);
        }
        assert_eq!(health.failing_countries(now), [country("NO"), country("SE")]);
        assert!(!health.serves(Some(country("SE")), now) && health.serves(Some(country("DK")), now));
        health.attempted(&accepted(), Some(country("SE")), now);
        assert_eq!(health.failing_countries(now), [country("NO")]);
        assert!(health.serves(Some(country("NO")), now + COUNTRY_MEMORY));
        assert_eq!(health.failing_countries(now + COUNTRY_MEMORY), []);
    }

    #[test]
    fn changed_settings_forget_nothing() {
        let now = Instant::now();
        let mut health = CarrierHealth::new(&PROBE);
        health.probed(&Probed::Up, now);
        health.probed(&down(), now);
        health.reconfigure(&Probe { fall: 2, ..PROBE });
        health.probed(&down(), now);
        assert_eq!(health.state(), ProbeState::Down);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Probed(Probed),
        Attempted(Outcome, Option<CountryCode>),
    }

    fn steps() -> impl Strategy<Value = Step> {
        let code = proptest::option::of("[A-F][A-Z]".prop_map(|code| code.parse().unwrap()));
        let outcome = prop_oneof![
            Just(accepted()),
            Just(refused(Class::PermanentConfig(Scope::Country))),
            Just(refused(Class::PermanentConfig(Scope::Account))),
            Just(Outcome::Ambiguous { cause: "reset" }),
        ];
        prop_oneof![
            prop_oneof![Just(Probed::Up), Just(down()), Just(Probed::Unknown)].prop_map(Step::Probed),
            (outcome, code).prop_map(|(outcome, code)| Step::Attempted(outcome, code)),
        ]
    }

    proptest! {
        #[test]
        fn it_is_down_only_for_a_reason_and_its_memory_is_bounded(
            history in proptest::collection::vec((steps(), 0_u64..40), 1..300),
        ) {
            let mut health = CarrierHealth::new(&PROBE);
            let mut now = Instant::now();
            let (mut failures, mut account_refused) = (0, false);
            for (step, pause) in history {
                now += Duration::from_secs(pause);
                match &step {
                    Step::Probed(probed) => {
                        failures += u32::from(matches!(probed, Probed::Down(_)));
                        health.probed(probed, now);
                    }
                    Step::Attempted(outcome, country) => {
                        health.attempted(outcome, *country, now);
                        account_refused |= *outcome == refused(Class::PermanentConfig(Scope::Account));
                        if matches!(outcome, Outcome::Accepted { .. }) {
                            (failures, account_refused) = (0, false);
                            prop_assert_eq!(health.state(), ProbeState::Up);
                            prop_assert!(health.serves(*country, now));
                        }
                    }
                }
                if health.state() == ProbeState::Down {
                    prop_assert!(account_refused || failures >= PROBE.fall);
                }
                prop_assert!(health.refused_countries.len() <= MAX_COUNTRIES);
                prop_assert!(health.failing_countries(now).is_sorted());
            }
        }

        #[test]
        fn two_passes_bring_any_carrier_up(history in proptest::collection::vec(steps(), 0..100)) {
            let mut health = CarrierHealth::new(&PROBE);
            let now = Instant::now();
            for step in history {
                match step {
                    Step::Probed(probed) => health.probed(&probed, now),
                    Step::Attempted(outcome, country) => health.attempted(&outcome, country, now),
                }
            }
            health.probed(&Probed::Up, now);
            health.probed(&Probed::Up, now);
            prop_assert_eq!(health.state(), ProbeState::Up);
        }
    }
}
