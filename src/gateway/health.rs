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
    /// While it is down: when the first of the failures was seen that brought it there.
    failing_since: Option<Instant>,
    last_probe: Option<Instant>,
    last_success: Option<Instant>,
    refused_countries: BTreeMap<CountryCode, Instant>,
}

/// The latest probes that showed the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct InARow {
    shown: ProbeState,
    times: u32,
    since: Option<Instant>,
}

impl InARow {
    const NONE: Self = Self { shown: ProbeState::Unknown, times: 0, since: None };

    fn and(self, shown: ProbeState, now: Instant) -> Self {
        let before = if self.shown == shown { self } else { Self::NONE };
        Self { shown, times: before.times.saturating_add(1), since: before.since.or(Some(now)) }
    }
}

/// When a carrier is to be probed again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// In its turn.
    InTurn,
    /// Soon: the probe contradicts what is known, and one alone is not believed.
    ToConfirm,
    /// In its turn, and after this time at the latest: the message that outweighed the probe is too old then to do so again.
    Within(Duration),
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
            failing_since: None,
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

    /// Records the result of a probe, and tells when the next one is wanted.
    ///
    /// Down after `fall` failures in a row, or at once when the account itself is refused; up again after `rise`
    /// passes in a row, or at once when nothing was known; unknown after `fall` probes in a row that show nothing. A
    /// message that the carrier took within the last probe interval outweighs a failed probe, which then counts for
    /// nothing.
    pub fn probed(&mut self, probed: &Probed, now: Instant) -> Again {
        self.last_probe = Some(now);
        let outweighed = self.outweighed_for(now);
        match (probed, outweighed) {
            (Probed::Down(_), Some(left)) => return Again::Within(left),
            (Probed::Down(refusal), None) => {
                self.in_a_row = self.in_a_row.and(ProbeState::Down, now);
                if is_about_account(refusal) || self.in_a_row.times >= self.fall {
                    self.enter(ProbeState::Down, self.in_a_row.since);
                }
            }
            (Probed::Up, _) => {
                self.in_a_row = self.in_a_row.and(ProbeState::Up, now);
                if self.state == ProbeState::Unknown || self.in_a_row.times >= self.rise {
                    self.enter(ProbeState::Up, None);
                }
            }
            (Probed::Unknown, _) => {
                self.in_a_row = self.in_a_row.and(ProbeState::Unknown, now);
                if self.in_a_row.times >= self.fall && outweighed.is_none() {
                    self.enter(ProbeState::Unknown, None);
                }
            }
        }
        let contradicts = match probed {
            Probed::Down(_) => self.state != ProbeState::Down,
            Probed::Up => self.state != ProbeState::Up,
            // it speaks against nothing
            Probed::Unknown => false,
        };
        if contradicts { Again::ToConfirm } else { Again::InTurn }
    }

    /// What was down before this stays so since then.
    fn enter(&mut self, state: ProbeState, failing_since: Option<Instant>) {
        self.failing_since = if self.state == state { self.failing_since.or(failing_since) } else { failing_since };
        self.state = state;
    }

    /// Records what became of a message that was given to the carrier for a number of a country.
    ///
    /// An accepted one proves that the carrier works, and for that country. A refusal of the account proves that it
    /// does not; a refusal of the country is remembered for [`COUNTRY_MEMORY`]. Anything else is for the breaker.
    pub fn attempted(&mut self, outcome: &Outcome, country: Option<CountryCode>, now: Instant) {
        match outcome {
            Outcome::Accepted { .. } => {
                self.last_success = Some(now);
                self.enter(ProbeState::Up, None);
                self.in_a_row = InARow::NONE;
                if let Some(country) = country {
                    self.refused_countries.remove(&country);
                }
            }
            Outcome::Refused(refusal) if is_about_account(refusal) => {
                self.last_success = None;
                self.enter(ProbeState::Down, Some(now));
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

    /// While it is down: when the first failure was seen of those that brought it there.
    #[must_use]
    pub fn failing_since(&self) -> Option<Instant> {
        self.failing_since
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

    /// How long the last message that was taken still outweighs failed probes.
    fn outweighed_for(&self, now: Instant) -> Option<Duration> {
        let age = now.saturating_duration_since(self.last_success?);
        self.fresh.checked_sub(age).filter(|left| !left.is_zero())
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
    fn a_probe_that_contradicts_what_is_known_asks_for_another_until_it_is_believed() {
        use Again::{InTurn, ToConfirm};
        let mut health = CarrierHealth::new(&PROBE);
        let probes = [Probed::Up, down(), down(), down(), down(), Probed::Up, Probed::Up, down(), Probed::Unknown];
        let again: Vec<Again> = probes.iter().map(|probed| health.probed(probed, Instant::now())).collect();
        let expected = [InTurn, ToConfirm, ToConfirm, InTurn, InTurn, ToConfirm, InTurn, ToConfirm, InTurn];
        assert_eq!(again, expected);
    }

    #[test]
    fn a_failure_that_a_message_outweighs_is_asked_about_again_when_the_message_is_too_old() {
        let now = Instant::now();
        let mut health = CarrierHealth::new(&PROBE);
        health.attempted(&accepted(), None, now);
        let part = INTERVAL / 3;
        assert_eq!(health.probed(&down(), now + part), Again::Within(part * 2));
        assert_eq!(health.probed(&down(), now + INTERVAL), Again::ToConfirm);
    }

    #[test]
    fn what_is_down_has_failed_since_the_first_of_the_failures_that_brought_it_there() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        let mut health = CarrierHealth::new(&PROBE);
        let mut since = Vec::new();
        for (at, probed) in (0..).zip([down(), Probed::Up, down(), down(), down(), Probed::Up, down(), Probed::Up]) {
            health.probed(&probed, now + second * at);
            since.push(health.failing_since().map(|since| since - now));
        }
        let two = Some(second * 2);
        assert_eq!(since, [None, None, None, None, two, two, two, two], "one pass is not believed");
        health.probed(&Probed::Up, now);
        assert_eq!(health.failing_since(), None);
        health.attempted(&refused(Class::PermanentConfig(Scope::Account)), None, now + second);
        assert_eq!(health.failing_since(), Some(now + second));
        health.attempted(&accepted(), None, now);
        assert_eq!(health.failing_since(), None);
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
            refused(Class::UnreachableHere),
            refused(Class::Unknown),
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
                    Step::Probed(probed) => _ = health.probed(&probed, now),
                    Step::Attempted(outcome, country) => health.attempted(&outcome, country, now),
                }
            }
            health.probed(&Probed::Up, now);
            health.probed(&Probed::Up, now);
            prop_assert_eq!(health.state(), ProbeState::Up);
        }
    }
}
