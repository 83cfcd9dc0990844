//! Which rules can decide a call, without looking at the others.
//!
//! Each rule stands in a list under what it asks most closely: under each of its prefixes, else under each of its countries,
//! else in the list for everywhere. A list leaves out what an earlier rule in it always decides first, so that its length is bound
//! by countries, channels and flows, not by rules. A call looks at the lists of the prefixes that its number begins with, of its
//! country, and at the one for everywhere, and takes the earliest rule that fits.

use std::collections::BTreeMap;

use hookswitch_gateway_config::{check, document};
use hookswitch_message::{Channel, CountryCode, E164, RequestType};

use super::table::{Facts, fits_beside_prefix};

/// Flows that a rule can tell apart, with the one that Okta has not documented.
const FLOWS: u32 = 5;

/// Codes of two letters.
const COUNTRIES: usize = 26 * 26;

/// Position of a rule in the table. Half the size of a `usize`: there is one for each prefix.
type Position = u32;

/// The lists. For each prefix 16 bytes, and 4 for each rule in its list.
#[derive(Debug, Clone, Default)]
pub(super) struct Index {
    /// In the order of their keys.
    prefixes: Vec<Prefix>,
    /// The lists of all prefixes, one after the other.
    of_prefixes: Vec<Position>,
    of_countries: BTreeMap<CountryCode, Vec<Position>>,
    everywhere: Vec<Position>,
}

#[derive(Debug, Clone, Copy)]
struct Prefix {
    digits: Digits,
    /// The longest other prefix that this one begins with; its own position when there is none.
    within: u32,
    /// Where its list ends; it begins where the list before ends.
    end: u32,
}

/// The digits of a number or a prefix, four bits each from the highest on, and how many there are in the lowest four: at most 15.
/// In this order a prefix comes before all that begins with it, and nothing comes between that does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Digits(u64);

impl Digits {
    /// Of a text that is `+` and at most 15 digits.
    fn of(text: &str) -> Self {
        let digits = text.bytes().skip(1).take(15);
        let (packed, count) = digits.fold((0, 0_u32), |(packed, count), digit| {
            (packed << 4 | u64::from(digit.wrapping_sub(b'0') & 0xf), count + 1)
        });
        Self(packed << (64 - 4 * count.max(1)) | u64::from(count))
    }

    const fn begins(self, longer: Self) -> bool {
        let count = self.0 & 0xf;
        count <= longer.0 & 0xf && (self.0 ^ longer.0) >> (64 - 4 * count) == 0
    }
}

impl Index {
    /// The index of rules in order.
    pub(super) fn of(rules: &[document::Rule]) -> Self {
        let mut index = Self::default();
        let mut prefixed: Vec<(Digits, Position)> = Vec::new();
        let mut decided = Decided::default();
        for (at, rule) in (0..).zip(rules) {
            let matches = &rule.matches;
            if !matches.prefixes.is_empty() {
                let usable = matches.prefixes.iter().filter(|prefix| check::is_prefix(prefix));
                prefixed.extend(usable.map(|prefix| (Digits::of(prefix), at)));
            } else if matches.countries.is_empty() {
                if decided.adds(None, cases(matches)) {
                    index.everywhere.push(at);
                }
            } else {
                for country in &matches.countries {
                    if decided.adds(Some(*country), cases(matches)) {
                        index.of_countries.entry(*country).or_default().push(at);
                    }
                }
            }
        }
        prefixed.sort_unstable();
        prefixed.dedup();
        for list in prefixed.chunk_by(|(one, _), (other, _)| one == other) {
            index.add_prefix(list, rules);
        }
        index.prefixes.shrink_to_fit();
        index.of_prefixes.shrink_to_fit();
        index
    }

    /// Adds a prefix with the rules that name it, both in order.
    fn add_prefix(&mut self, list: &[(Digits, Position)], rules: &[document::Rule]) {
        let [(digits, first), later @ ..] = list else { return };
        self.of_prefixes.push(*first);
        if !later.is_empty() {
            let mut decided = Decided::default();
            decided.add(&rules[*first as usize].matches);
            let added = later.iter().map(|(_, at)| *at).filter(|at| decided.add(&rules[*at as usize].matches));
            self.of_prefixes.extend(added);
        }
        let own = position(self.prefixes.len());
        let mut within = own.checked_sub(1);
        while let Some(at) = within.filter(|at| !self.prefixes[*at as usize].digits.begins(*digits)) {
            within = Some(self.prefixes[at as usize].within).filter(|outer| *outer != at);
        }
        let end = position(self.of_prefixes.len());
        self.prefixes.push(Prefix { digits: *digits, within: within.unwrap_or(own), end });
    }

    /// The position of the first rule that fits.
    pub(super) fn first(&self, rules: &[document::Rule], facts: &Facts<'_>) -> Option<usize> {
        let fits = |at: &Position| fits_beside_prefix(&rules[*at as usize].matches, facts);
        let first_of = |list: &[Position], before: Position| {
            list.iter().copied().take_while(|at| *at < before).find(fits).unwrap_or(before)
        };
        let mut first = first_of(&self.everywhere, Position::MAX);
        if let Some(list) = facts.country.and_then(|country| self.of_countries.get(&country)) {
            first = first_of(list, first);
        }
        for list in self.beginnings(facts.number) {
            first = first_of(list, first);
        }
        (first != Position::MAX).then_some(first as usize)
    }

    /// The lists of the prefixes that a number begins with, the longest first.
    fn beginnings(&self, number: &E164) -> impl Iterator<Item = &[Position]> {
        let number = Digits::of(number.as_str());
        // all that the number begins with begins also what comes before it in order
        let mut next = self.prefixes.partition_point(|prefix| prefix.digits <= number).checked_sub(1);
        std::iter::from_fn(move || {
            let at = next?;
            let prefix = self.prefixes[at];
            next = Some(prefix.within as usize).filter(|outer| *outer != at);
            let begin = at.checked_sub(1).map_or(0, |before| self.prefixes[before].end);
            Some((prefix.digits, begin as usize..prefix.end as usize))
        })
        .filter(move |(digits, _)| digits.begins(number))
        .map(|(_, list)| &self.of_prefixes[list])
    }
}

/// A document is far too small for more.
fn position(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// Pairs of channel and flow that a match takes, one bit each.
fn cases(matches: &document::Match) -> u16 {
    let channels = [Channel::Sms, Channel::Voice];
    let all: &[Channel] = if matches.channels.is_empty() { &channels } else { &matches.channels };
    let flows = matches.request_types.iter().fold(0, |flows, flow| flows | 1 << number_of(*flow));
    let flows = if matches.request_types.is_empty() { (1 << FLOWS) - 1 } else { flows };
    all.iter().fold(0, |cases, channel| match channel {
        Channel::Sms => cases | flows,
        Channel::Voice => cases | flows << FLOWS,
    })
}

const fn number_of(flow: RequestType) -> u32 {
    match flow {
        RequestType::PreEnrollment => 1,
        RequestType::MfaVerification => 2,
        RequestType::AccountUnlock => 3,
        RequestType::PasswordReset => 4,
    }
}

/// What the rules of a list decide already, as [`cases`] of each country.
struct Decided {
    everywhere: u16,
    countries: [u16; COUNTRIES],
}

impl Default for Decided {
    fn default() -> Self {
        Self { everywhere: 0, countries: [0; COUNTRIES] }
    }
}

impl Decided {
    /// Adds cases of a country, or of all numbers with and without one. Whether any of them was not decided before.
    fn adds(&mut self, country: Option<CountryCode>, cases: u16) -> bool {
        let everywhere = self.everywhere;
        let decided = country.map_or(&mut self.everywhere, |country| &mut self.countries[of_letters(country)]);
        let is_new = cases & !(*decided | everywhere) != 0;
        *decided |= cases;
        is_new
    }

    /// Adds all that a match takes. Whether any of it was not decided before.
    fn add(&mut self, matches: &document::Match) -> bool {
        let cases = cases(matches);
        if matches.countries.is_empty() {
            return self.adds(None, cases);
        }
        let mut is_new = false;
        for country in &matches.countries {
            is_new |= self.adds(Some(*country), cases);
        }
        is_new
    }
}

fn of_letters(country: CountryCode) -> usize {
    country.as_str().bytes().fold(0, |at, letter| at * 26 + usize::from(letter.saturating_sub(b'A'))) % COUNTRIES
}

#[cfg(test)]
mod tests {
    use super::*;
    use hookswitch_gateway_config::document::Match;

    fn rules(matches: impl IntoIterator<Item = Match>) -> Vec<document::Rule> {
        let rule = |matches| {
            let (policy, name) = ("default".into(), "r".into());
            document::Rule { policy, name, priority: None, matches, action: document::Action::Deny, critical: false }
        };
        matches.into_iter().map(rule).collect()
    }

    fn prefixes<const N: usize>(prefixes: [&str; N]) -> Match {
        Match { prefixes: prefixes.map(str::to_owned).into(), ..Match::default() }
    }

    #[test]
    fn a_number_leads_to_all_of_its_prefixes_the_longest_first() {
        let beginnings = ["+4", "+46", "+460", "+4670", "+46700", "+467012", "+4670123456789", "+47", "+5"];
        let index = Index::of(&rules(beginnings.map(|beginning| prefixes([beginning]))));
        for (number, expected) in [
            ("+46701234567", vec![5, 3, 1, 0]),
            ("+4670000", vec![4, 3, 1, 0]),
            ("+4600000", vec![2, 1, 0]),
            ("+4670123456789", vec![6, 5, 3, 1, 0]),
            ("+467012345678900", vec![6, 5, 3, 1, 0]),
            ("+4900000", vec![0]),
            ("+3900000", vec![]),
            ("+999999999999999", vec![]),
        ] {
            let found: Vec<Position> = index.beginnings(&number.parse().unwrap()).flatten().copied().collect();
            assert_eq!(found, expected, "{number}");
        }
    }

    #[test]
    fn what_an_earlier_rule_always_decides_is_in_no_list() {
        let (countries, channels) = (vec!["SE".parse().unwrap()], vec![Channel::Voice]);
        let by_voice = Match { channels, ..prefixes(["+46"]) };
        let of_sweden = Match { countries: countries.clone(), ..prefixes(["+46", "+46"]) };
        let resets = Match { request_types: vec![RequestType::PasswordReset], ..prefixes(["+46"]) };
        let all =
            [by_voice.clone(), of_sweden.clone(), by_voice, of_sweden, resets, prefixes(["+46"]), prefixes(["+46"])];
        assert_eq!(Index::of(&rules(all)).of_prefixes, [0, 1, 4, 5]);
        let sweden = Match { countries, ..Match::default() };
        let index = Index::of(&rules([sweden.clone(), sweden.clone(), Match::default(), sweden, Match::default()]));
        assert_eq!((index.everywhere, index.of_countries.into_values().collect()), (vec![2], vec![vec![0]]));
    }

    #[test]
    fn ten_thousand_rules_cost_twenty_bytes_each() {
        let index = Index::of(&rules((0..10_000).map(|n| prefixes([format!("+46{n:05}").as_str()]))));
        let bytes =
            index.prefixes.capacity() * size_of::<Prefix>() + index.of_prefixes.capacity() * size_of::<Position>();
        assert_eq!(bytes, 200_000);
    }
}
