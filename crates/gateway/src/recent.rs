//! What rules decided lately, by channel and country, and how much of it has no provider now because of what providers refuse.
//!
//! A rule is as well as what it is used for: when the one SMS sender is refused, that calls could still be made is no help to
//! people who get SMS. A country counts only where the rule names countries or prefixes: whom a rule for everybody is used
//! for, an attacker chooses too, and a country that is not enabled at a provider is no reason to leave the hook.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

use super::{metrics::GatewayMetrics, provider::Stance, runtime::RunningConfig};
use hookswitch_gateway_config::{document, report::RuleReport};
use hookswitch_message::{Channel, CountryCode};

/// How far back recent is.
pub const RECENT: Duration = Duration::from_mins(10);
/// Traffic is counted in parts of a minute.
const PART: Duration = Duration::from_mins(1);
const PARTS: usize = 10;
/// Routes of all rules together; what comes beyond is not counted until others are over.
const MAX_ROUTES: usize = 4_096;

/// A channel and a country that a rule decided calls for.
pub type Used = (Channel, Option<CountryCode>);

/// Recent traffic of all rules.
#[derive(Debug, Clone, Default)]
pub struct Traffic {
    routes: BTreeMap<(String, Used), Counts>,
    begun: Option<Instant>,
    /// The part in which parts were last pruned: within it nothing more comes to an end.
    pruned: Option<u64>,
}

/// Calls in each of the last parts; the index of a part is its number modulo [`PARTS`].
#[derive(Debug, Clone, Copy)]
struct Counts {
    parts: [u32; PARTS],
    newest: u64,
}

impl Counts {
    /// Lets the time go on to a part: those between were empty.
    fn advance(&mut self, part: u64) {
        let passed = part.saturating_sub(self.newest).min(PARTS as u64);
        for offset in 1..=passed {
            self.parts[index_of(self.newest + offset)] = 0;
        }
        self.newest = self.newest.max(part);
    }

    fn sum(mut self, part: u64) -> u64 {
        self.advance(part);
        self.parts.iter().map(|calls| u64::from(*calls)).sum()
    }
}

fn index_of(part: u64) -> usize {
    usize::try_from(part % PARTS as u64).unwrap_or_default()
}

impl Traffic {
    /// Counts a call that a rule decided.
    pub fn count(&mut self, rule: &str, used: Used, now: Instant) {
        let part = self.part(now);
        let key = (rule.to_owned(), used);
        if self.routes.len() >= MAX_ROUTES && !self.routes.contains_key(&key) && !self.make_room(part) {
            return;
        }
        let counts = self.routes.entry(key).or_insert(Counts { parts: [0; PARTS], newest: part });
        counts.advance(part);
        let calls = &mut counts.parts[index_of(part)];
        *calls = calls.saturating_add(1);
    }

    /// What a rule was used for lately, and how often.
    #[must_use]
    pub fn of(&self, rule: &str, now: Instant) -> Vec<(Used, u64)> {
        let Some(begun) = self.begun else { return Vec::new() };
        let part = number(begun, now);
        let first = (rule.to_owned(), (Channel::Sms, None));
        let of_rule = self.routes.range(first..).take_while(|((name, _), _)| name == rule);
        of_rule.map(|((_, used), counts)| (*used, counts.sum(part))).filter(|(_, calls)| *calls > 0).collect()
    }

    /// Drops what is over, once in a part at most: whoever counts holds up all calls. Whether there is room then.
    fn make_room(&mut self, part: u64) -> bool {
        if self.pruned.replace(part) != Some(part) {
            self.routes.retain(|_, counts| counts.sum(part) > 0);
        }
        self.routes.len() < MAX_ROUTES
    }

    fn part(&mut self, now: Instant) -> u64 {
        number(*self.begun.get_or_insert(now), now)
    }
}

fn number(begun: Instant, now: Instant) -> u64 {
    now.saturating_duration_since(begun).as_secs() / PART.as_secs()
}

impl RunningConfig {
    /// The report of each rule.
    #[must_use]
    pub fn rule_reports(&self, counters: &GatewayMetrics) -> BTreeMap<String, RuleReport> {
        let of = |rule: &document::Rule| {
            let name = format!("{}/{}", rule.policy, rule.name);
            let mut report = counters.rule(&name);
            for (used, calls) in counters.recent(&name) {
                report.recent += calls;
                report.refused += if self.is_refused(rule, used) { calls } else { 0 };
            }
            (name, report)
        };
        self.table.rules().iter().map(of).collect()
    }

    /// Whether no provider of a rule can be used, and one at least because of what it refuses.
    fn is_refused(&self, rule: &document::Rule, (channel, country): Used) -> bool {
        let document::Action::Send(names) = &rule.action else { return false };
        let names_countries = !rule.matches.countries.is_empty() || !rule.matches.prefixes.is_empty();
        let providers = names.iter().filter_map(|name| self.provider(name));
        let stances: Vec<Stance> =
            providers.map(|provider| provider.stance(channel, country, names_countries)).collect();
        !stances.contains(&Stance::Usable) && stances.contains(&Stance::Refuses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_a_rule_was_used_for_is_counted_for_ten_minutes() {
        let (mut traffic, began) = (Traffic::default(), Instant::now());
        let (sms, voice) = ((Channel::Sms, Some("SE".parse().unwrap())), (Channel::Voice, None));
        for minute in 0..20 {
            let now = began + PART * minute;
            traffic.count("p/a", sms, now);
            if minute == 5 {
                traffic.count("p/a", voice, now);
            }
            traffic.count("p/b", sms, now);
        }
        let of = |minute: u32| traffic.of("p/a", began + PART * minute);
        assert_eq!(of(19), [(sms, 10)]);
        assert_eq!(of(24), [(sms, 5)]);
        assert_eq!(of(29), []);
        assert_eq!(of(5_000), []);
        assert_eq!(traffic.of("p", began), []);
    }

    #[tokio::test(start_paused = true)]
    async fn the_memory_of_traffic_is_bounded_and_what_is_over_makes_room() {
        let (mut traffic, now) = (Traffic::default(), Instant::now());
        for n in 0..MAX_ROUTES + 10 {
            traffic.count(&format!("p/{n}"), (Channel::Sms, None), now);
        }
        assert_eq!(traffic.routes.len(), MAX_ROUTES);
        assert_eq!(traffic.pruned, Some(0));
        traffic.count("p/7", (Channel::Sms, None), now);
        assert_eq!(traffic.of("p/7", now), [((Channel::Sms, None), 2)], "what has its place needs no room");
        let later = now + RECENT;
        traffic.count("p/new", (Channel::Sms, None), later);
        assert_eq!((traffic.routes.len(), traffic.of("p/new", later)), (1, vec![((Channel::Sms, None), 1)]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_memory_costs_a_call_no_more_than_one_with_room() {
        let (mut traffic, now) = (Traffic::default(), Instant::now());
        let names: Vec<String> = (0..2 * MAX_ROUTES).map(|n| format!("p/{n}")).collect();
        let mut count = |names: &[String], times: usize| {
            let begun = std::time::Instant::now();
            for name in names.iter().cycle().take(times) {
                traffic.count(name, (Channel::Sms, None), now);
            }
            begun.elapsed()
        };
        count(&names[..MAX_ROUTES], MAX_ROUTES);
        let (known, unknown) = (count(&names[..MAX_ROUTES], 20_000), count(&names[MAX_ROUTES..], 20_000));
        assert!(unknown < known * 20, "{unknown:?} for 20,000 without room, {known:?} with it");
    }
}
