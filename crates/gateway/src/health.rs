//! Whether a provider works, as this replica sees it: from probes and from what becomes of messages.
//!
//! Pure; the clock is an argument. Three answers, because not knowing is not failing. It orders the candidates of a
//! call and is what is reported; `breaker` reacts faster and forgets faster.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use super::{
    breaker::CONSECUTIVE,
    parts::{Part, Recipient, Route},
};
use hookswitch_gateway_config::{
    document::Probe,
    report::{MAX_COUNTRIES, ProbeState},
};
use hookswitch_message::CountryCode;
use hookswitch_providers::{Class, Outcome, Probed, Refusal, Scope};

/// How long a part counts as refused after the last refusal: long enough to span the gaps of quiet traffic, short
/// enough that a permission granted at the provider is noticed.
pub const MEMORY: Duration = Duration::from_mins(10);

/// So many different numbers of as many people in a row make refusals of a part those of everybody.
const RECIPIENTS: usize = CONSECUTIVE as usize;

/// Parts of one provider whose refusals are remembered.
const MAX_PARTS: usize = 128;

/// Health of one provider.
#[derive(Debug, Clone)]
pub struct ProviderHealth {
    fall: u32,
    rise: u32,
    fresh: Duration,
    state: ProbeState,
    in_a_row: InARow,
    /// While it is down: when the first of the failures was seen that brought it there.
    failing_since: Option<Instant>,
    last_probe: Option<Instant>,
    last_success: Option<Instant>,
    refused: BTreeMap<Part, RefusedInARow>,
}

/// Refusals of one part since the last message that it took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedInARow {
    /// How many, without a message taken between them.
    pub in_a_row: u32,
    /// The first of them.
    pub since: Instant,
    /// The last of them.
    pub last: Instant,
    /// Whom they were to, as many as show many from one.
    numbers: BTreeSet<u64>,
    people: BTreeSet<u64>,
    /// The code of the first, so that it stays the same for as long as the refusals go on.
    pub code: String,
}

impl RefusedInARow {
    /// So many in a row are no accident of single messages: the part is unhealthy.
    const fn is_unwell(&self) -> bool {
        self.in_a_row >= CONSECUTIVE
    }

    /// So many people in a row are not one who tries again and again: whoever chooses a number can have that refused, and one
    /// person can choose many. Where so many were refused, the part is unhealthy.
    fn is_widespread(&self) -> bool {
        self.numbers.len() >= RECIPIENTS && self.people.len() >= RECIPIENTS
    }

    fn of(&mut self, recipient: Recipient) {
        for (known, one) in [(&mut self.numbers, recipient.number), (&mut self.people, recipient.person)] {
            if known.len() < RECIPIENTS {
                known.insert(one);
            }
        }
    }

    fn is_remembered(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last) < MEMORY
    }
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

/// When a provider is to be probed again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// In its turn.
    InTurn,
    /// Soon: the probe contradicts what is known, and one alone is not believed.
    ToConfirm,
    /// In its turn, and after this time at the latest: the message that outweighed the probe is too old then to do so again.
    Within(Duration),
}

impl ProviderHealth {
    /// Health of a provider of which nothing is known yet.
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
            refused: BTreeMap::new(),
        }
    }

    /// Takes over changed probe settings without forgetting what is known.
    pub fn reconfigure(&mut self, probe: &Probe) {
        (self.fall, self.rise) = (probe.fall.max(1), probe.rise.max(1));
        self.fresh = Duration::from_millis(probe.interval_ms);
    }

    /// Records the result of a probe, and returns when the next one is wanted.
    ///
    /// Down after `fall` failures in a row, or at once when the account itself is refused; up again after `rise`
    /// passes in a row, or at once when nothing was known; unknown after `fall` probes in a row that show nothing. A
    /// message that the provider took within the last probe interval outweighs a failed probe, which then counts for
    /// nothing. So do refusals of the account in a row outweigh one that passed or shows nothing: an account without balance
    /// answers well.
    pub fn probed(&mut self, probed: &Probed, now: Instant) -> Again {
        self.last_probe = Some(now);
        let outweighed = self.outweighed_for(now);
        let refuted = self.is_unwell(&Part::Account, now);
        match (probed, outweighed) {
            (Probed::Up | Probed::Unknown, _) if refuted => return Again::InTurn,
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

    /// Records what became of a message that was given to the provider by a route.
    ///
    /// An accepted one proves that the provider works, and each part that it needed. A refusal of the account proves that it
    /// does not; refusals of a part are remembered for [`MEMORY`]. Anything else is for the breaker.
    pub fn attempted(&mut self, outcome: &Outcome, route: &Route, now: Instant) {
        match outcome {
            Outcome::Accepted { .. } => {
                self.last_success = Some(now);
                self.enter(ProbeState::Up, None);
                self.in_a_row = InARow::NONE;
                for part in route.parts() {
                    self.refused.remove(&part);
                }
            }
            Outcome::Refused(refusal) => {
                if is_about_account(refusal) {
                    self.last_success = None;
                    self.enter(ProbeState::Down, Some(now));
                    self.in_a_row = InARow::NONE;
                }
                if let Some(part) = Part::refused(refusal.class, route) {
                    self.part_refused(part, route.recipient, &refusal.code, now);
                }
            }
            Outcome::Ambiguous { .. } => {}
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

    /// Whether the provider is worth a try by a route before those that are not: it is not down, did not refuse the country
    /// lately, nor another part that the route needs again and again.
    #[must_use]
    pub fn serves(&self, route: &Route, now: Instant) -> bool {
        let keeps = |part: &Part| match self.refused.get(part).filter(|refused| refused.is_remembered(now)) {
            None => true,
            // a country is refused for everybody; what is said of a sender or a text may be about one message alone
            Some(refused) => !matches!(part, Part::Country(..)) && !refused.is_unwell(),
        };
        self.state != ProbeState::Down && route.parts().iter().all(keeps)
    }

    /// Whether a part was refused so often in a row, and lately, that it is unhealthy.
    #[must_use]
    pub fn is_unwell(&self, part: &Part, now: Instant) -> bool {
        self.refused.get(part).is_some_and(|refused| refused.is_unwell() && refused.is_remembered(now))
    }

    /// Whether a part was refused so often in a row, and lately, to so many people, that nobody gets messages by it.
    #[must_use]
    pub fn refuses_many(&self, part: &Part, now: Instant) -> bool {
        self.refused.get(part).is_some_and(|refused| refused.is_widespread() && refused.is_remembered(now))
    }

    /// The parts that are unhealthy, sorted.
    pub fn unwell(&self, now: Instant) -> impl Iterator<Item = (&Part, &RefusedInARow)> {
        self.refused.iter().filter(move |(_, refused)| refused.is_unwell() && refused.is_remembered(now))
    }

    /// How long ago the last probe ended.
    #[must_use]
    pub fn probe_age(&self, now: Instant) -> Option<Duration> {
        self.last_probe.map(|at| now.saturating_duration_since(at))
    }

    /// Countries that the provider refused lately, sorted; at most [`MAX_COUNTRIES`].
    #[must_use]
    pub fn failing_countries(&self, now: Instant) -> Vec<CountryCode> {
        let remembered = self.refused.iter().filter(|(_, refused)| refused.is_remembered(now));
        let countries: BTreeSet<CountryCode> = remembered
            .filter_map(|(part, _)| match part {
                Part::Country(_, country) => *country,
                Part::Account | Part::Channel(_) | Part::Sender(..) => None,
            })
            .collect();
        countries.into_iter().take(MAX_COUNTRIES).collect()
    }

    /// How long the last message that was taken still outweighs failed probes.
    fn outweighed_for(&self, now: Instant) -> Option<Duration> {
        let age = now.saturating_duration_since(self.last_success?);
        self.fresh.checked_sub(age).filter(|left| !left.is_zero())
    }

    fn part_refused(&mut self, part: Part, recipient: Option<Recipient>, code: &str, now: Instant) {
        self.refused.retain(|_, refused| refused.is_remembered(now));
        if self.refused.len() >= MAX_PARTS && !self.refused.contains_key(&part) {
            let oldest = self.refused.iter().min_by_key(|(_, refused)| refused.last).map(|(part, _)| part.clone());
            if let Some(oldest) = oldest {
                self.refused.remove(&oldest);
            }
        }
        let first = || RefusedInARow {
            in_a_row: 0,
            since: now,
            last: now,
            numbers: BTreeSet::new(),
            people: BTreeSet::new(),
            code: code.to_owned(),
        };
        let refused = self.refused.entry(part).or_insert_with(first);
        refused.in_a_row = refused.in_a_row.saturating_add(1);
        refused.last = now;
        if let Some(recipient) = recipient {
            refused.of(recipient);
        }
    }
}

fn is_about_account(refusal: &Refusal) -> bool {
    refusal.class == Class::PermanentConfig(Scope::Account)
}

#[cfg(test)]
mod tests;
