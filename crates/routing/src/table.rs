//! The rules of a gateway, in order; the first that matches decides.
//!
//! A call asks an index; whoever wants to know why asks every rule in turn.

use super::index::Index;
use hookswitch_gateway_config::{check, document};
use hookswitch_message::{Channel, CountryCode, E164, RequestType};

/// The most rules that an explanation names; what was skipped beyond it is only counted.
const MAX_TRACE: usize = 64;

/// What a decision is made from.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    /// The number.
    pub number: &'a E164,
    /// Its country.
    pub country: Option<CountryCode>,
    /// The way to the handset.
    pub channel: Channel,
    /// The flow; `None` for one that Okta has not documented.
    pub request_type: Option<RequestType>,
}

/// Names a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleRef<'a> {
    /// `RoutingPolicy`.
    pub policy: &'a str,
    /// Its name there.
    pub name: &'a str,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteAction<'a> {
    /// Send by the first of these providers that accepts.
    Send(&'a [String]),
    /// Send nothing, and answer as if sent.
    Deny,
    /// No rule matches.
    NoRule,
}

/// A rule that did not match, and the first thing that did not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Skipped<'a> {
    /// The rule.
    pub rule: RuleRef<'a>,
    /// `channel`, `requestType`, `country` or `prefix`.
    pub because: &'static str,
}

/// The outcome of routing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteDecision<'a> {
    /// The rule that decided.
    pub rule: Option<RuleRef<'a>>,
    /// What it says.
    pub action: RouteAction<'a>,
}

/// A decision, and why no earlier rule made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation<'a> {
    /// The decision.
    pub decision: RouteDecision<'a>,
    /// Rules before it, in order, at most 64.
    pub trace: Vec<Skipped<'a>>,
    /// How many more were skipped than the trace names.
    pub untraced: usize,
}

/// All rules of a gateway.
#[derive(Debug, Clone)]
pub struct Table {
    rules: Vec<document::Rule>,
    index: Index,
}

impl Table {
    /// The table of these rules.
    #[must_use]
    pub fn new(rules: Vec<document::Rule>) -> Self {
        let index = Index::of(&rules);
        Self { rules, index }
    }

    /// The rules, in order.
    #[must_use]
    pub fn rules(&self) -> &[document::Rule] {
        &self.rules
    }

    /// What the first rule that matches says. Takes hardly longer with many rules, and allocates nothing.
    #[must_use]
    pub fn decide(&self, facts: &Facts<'_>) -> RouteDecision<'_> {
        decision(self.index.first(&self.rules, facts).map(|at| &self.rules[at]))
    }

    /// The same decision, and why each rule before it did not match. Looks at all of them.
    #[must_use]
    pub fn explain(&self, facts: &Facts<'_>) -> Explanation<'_> {
        let (mut trace, mut untraced) = (Vec::new(), 0);
        for rule in &self.rules {
            match mismatch(&rule.matches, facts) {
                None => return Explanation { decision: decision(Some(rule)), trace, untraced },
                Some(because) if trace.len() < MAX_TRACE => trace.push(Skipped { rule: named(rule), because }),
                Some(_) => untraced += 1,
            }
        }
        Explanation { decision: decision(None), trace, untraced }
    }
}

fn decision(rule: Option<&document::Rule>) -> RouteDecision<'_> {
    let action = match rule.map(|rule| &rule.action) {
        Some(document::Action::Send(providers)) => RouteAction::Send(providers),
        Some(document::Action::Deny) => RouteAction::Deny,
        None => RouteAction::NoRule,
    };
    RouteDecision { rule: rule.map(named), action }
}

fn named(rule: &document::Rule) -> RuleRef<'_> {
    RuleRef { policy: &rule.policy, name: &rule.name }
}

/// The first list of a match that no fact fits; `None` when all do.
fn mismatch(matches: &document::Match, facts: &Facts<'_>) -> Option<&'static str> {
    let (prefixes, number) = (&matches.prefixes, facts.number.as_str());
    mismatch_beside_prefix(matches, facts).or_else(|| {
        let fits = prefixes.is_empty() || prefixes.iter().any(|prefix| begins(number, prefix));
        (!fits).then_some("prefix")
    })
}

/// The first list but that of prefixes.
fn mismatch_beside_prefix(matches: &document::Match, facts: &Facts<'_>) -> Option<&'static str> {
    let document::Match { countries, prefixes: _, channels, request_types } = matches;
    if !channels.is_empty() && !channels.contains(&facts.channel) {
        Some("channel")
    } else if !request_types.is_empty() && !facts.request_type.is_some_and(|wanted| request_types.contains(&wanted)) {
        Some("requestType")
    } else if !countries.is_empty() && !facts.country.is_some_and(|country| countries.contains(&country)) {
        Some("country")
    } else {
        None
    }
}

/// Whether all fits that a match asks beside a prefix.
pub(super) fn fits_beside_prefix(matches: &document::Match, facts: &Facts<'_>) -> bool {
    mismatch_beside_prefix(matches, facts).is_none()
}

/// Whether a number begins with a prefix. What is no prefix of any number begins none, least of all every one.
fn begins(number: &str, prefix: &str) -> bool {
    check::is_prefix(prefix) && number.starts_with(prefix)
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::select};

    use super::*;
    use hookswitch_gateway_config::document::Match;

    fn rule(name: &str, matches: Match, action: document::Action) -> document::Rule {
        document::Rule { policy: "default".into(), name: name.into(), priority: None, matches, action, critical: false }
    }

    fn send(provider: &str) -> document::Action {
        document::Action::Send(vec![provider.into()])
    }

    fn facts(number: &E164) -> Facts<'_> {
        Facts {
            number,
            country: "SE".parse().ok(),
            channel: Channel::Sms,
            request_type: Some(RequestType::MfaVerification),
        }
    }

    #[test]
    fn the_first_rule_that_matches_decides_and_the_trace_says_why_the_others_did_not() {
        let rules = [
            rule("voice", Match { channels: vec![Channel::Voice], ..Match::default() }, send("a")),
            rule("resets", Match { request_types: vec![RequestType::PasswordReset], ..Match::default() }, send("b")),
            rule("norway", Match { countries: vec!["NO".parse().unwrap()], ..Match::default() }, send("c")),
            rule("pagers", Match { prefixes: vec!["+4674".into()], ..Match::default() }, document::Action::Deny),
            rule("sweden", Match { countries: vec!["SE".parse().unwrap()], ..Match::default() }, send("d")),
            rule("rest", Match::default(), send("e")),
        ];
        let table = Table::new(rules.into());
        assert_eq!((table.rules().len(), table.rules()[3].name.as_str()), (6, "pagers"));
        let number = "+46701234567".parse().unwrap();
        let Explanation { decision, trace, untraced } = table.explain(&facts(&number));
        assert_eq!(decision, table.decide(&facts(&number)));
        assert_eq!(decision.rule, Some(RuleRef { policy: "default", name: "sweden" }));
        assert_eq!(decision.action, RouteAction::Send(&["d".to_owned()]));
        let trace: Vec<_> = trace.iter().map(|skipped| (skipped.rule.name, skipped.because)).collect();
        let expected = [("voice", "channel"), ("resets", "requestType"), ("norway", "country"), ("pagers", "prefix")];
        assert_eq!((trace.as_slice(), untraced), (expected.as_slice(), 0));
    }

    #[test]
    fn a_number_that_no_rule_matches_is_distinguished_from_one_that_is_denied() {
        let pagers = Match { prefixes: vec!["+4674".into()], ..Match::default() };
        let table = Table::new(vec![rule("pagers", pagers, document::Action::Deny)]);
        for (number, action) in [("+46741234567", RouteAction::Deny), ("+46701234567", RouteAction::NoRule)] {
            let number = number.parse().unwrap();
            assert_eq!(table.decide(&facts(&number)).action, action);
        }
    }

    #[test]
    fn an_undocumented_request_type_and_a_number_without_country_match_only_rules_that_do_not_ask() {
        let rules = [
            rule("typed", Match { request_types: vec![RequestType::MfaVerification], ..Match::default() }, send("a")),
            rule("normalized", Match { countries: vec!["SE".parse().unwrap()], ..Match::default() }, send("b")),
            rule("rest", Match::default(), send("c")),
        ];
        let (table, number) = (Table::new(rules.into()), "+881612345678".parse().unwrap());
        let decision = table.decide(&Facts { country: None, request_type: None, ..facts(&number) });
        assert_eq!(decision.rule.map(|rule| rule.name), Some("rest"));
    }

    #[test]
    fn a_prefix_that_begins_no_number_matches_none() {
        let number = "+46701234567".parse().unwrap();
        for prefix in ["", "+", "46", "+0", "+46x", "+1234567890123456"] {
            let bad = rule("r", Match { prefixes: vec![prefix.into()], ..Match::default() }, send("a"));
            let table = Table::new(vec![bad]);
            assert_eq!(table.decide(&facts(&number)).action, RouteAction::NoRule, "{prefix:?}");
            assert_eq!(table.explain(&facts(&number)).decision.action, RouteAction::NoRule, "{prefix:?}");
        }
    }

    #[test]
    fn a_trace_is_bounded_and_says_how_much_it_leaves_out() {
        let voice = || rule("voice", Match { channels: vec![Channel::Voice], ..Match::default() }, send("a"));
        let table = Table::new((0..100).map(|_| voice()).collect());
        let number = "+46701234567".parse().unwrap();
        let explained = table.explain(&facts(&number));
        assert_eq!((explained.trace.len(), explained.untraced), (MAX_TRACE, 100 - MAX_TRACE));
    }

    fn country() -> impl Strategy<Value = CountryCode> {
        select(vec!["SE", "NO", "US"]).prop_map(|text| text.parse().unwrap())
    }

    fn request_type() -> impl Strategy<Value = RequestType> {
        select(vec![RequestType::MfaVerification, RequestType::PasswordReset])
    }

    /// Overlapping ones, and a few that begin no number.
    fn prefix() -> impl Strategy<Value = String> {
        prop_oneof![
            20 => "\\+[1-3][0-3]{0,3}",
            3 => "\\+[1-3][0-3]{4,14}",
            1 => select(vec!["", "+", "12", "+0", "+1x", "+1 2", "+1\u{e5}", "+1234567890123456"]).prop_map(str::to_owned),
        ]
    }

    fn any_rule() -> impl Strategy<Value = document::Rule> {
        let matches = (
            prop_oneof![3 => Just(Vec::new()), 1 => vec(country(), 1..4)],
            prop_oneof![1 => Just(Vec::new()), 9 => vec(prefix(), 1..4)],
            vec(select(vec![Channel::Sms, Channel::Voice]), 0..3),
            vec(request_type(), 0..3),
        );
        (matches, any::<bool>()).prop_map(|((countries, prefixes, channels, request_types), deny)| {
            let action = if deny { document::Action::Deny } else { send("a") };
            rule("r", Match { countries, prefixes, channels, request_types }, action)
        })
    }

    /// Few rules, most of which ask for little, or many.
    fn any_rules() -> impl Strategy<Value = Vec<document::Rule>> {
        let loose = any_rule().prop_map(|mut rule| {
            rule.matches.prefixes.truncate(1);
            rule.matches.prefixes.iter_mut().for_each(|prefix| drop(prefix.drain(2.min(prefix.len())..)));
            rule
        });
        prop_oneof![vec(any_rule(), 0..12), vec(loose, 0..12), vec(any_rule(), 200..500)].prop_map(|mut rules| {
            rules.iter_mut().enumerate().for_each(|(at, rule)| rule.name = at.to_string());
            rules
        })
    }

    /// The same decision, said as shortly as possible: position of the first rule whose lists all agree.
    fn naive(rules: &[document::Rule], facts: &Facts<'_>) -> Option<usize> {
        let is_prefix = |prefix: &str| prefix.len() > 1 && facts.number.as_str().get(..prefix.len()) == Some(prefix);
        rules.iter().position(|rule| {
            let Match { countries, prefixes, channels, request_types } = &rule.matches;
            (countries.is_empty() || countries.iter().any(|country| Some(*country) == facts.country))
                && (prefixes.is_empty() || prefixes.iter().any(|prefix| is_prefix(prefix)))
                && (channels.is_empty() || channels.contains(&facts.channel))
                && (request_types.is_empty() || request_types.iter().any(|wanted| Some(*wanted) == facts.request_type))
        })
    }

    fn any_facts() -> impl Strategy<Value = (E164, Option<CountryCode>, Channel, Option<RequestType>)> {
        (
            "\\+[1-3][0-3]{6,14}".prop_map(|number| number.parse().unwrap()),
            prop::option::of(country()),
            select(vec![Channel::Sms, Channel::Voice]),
            prop::option::of(request_type()),
        )
    }

    proptest! {
        #[test]
        fn index_scan_and_naive_reference_come_to_the_same_decision(
            rules in any_rules(),
            all_facts in vec(any_facts(), 1..40),
        ) {
            let table = Table::new(rules.clone());
            for (number, country, channel, request_type) in &all_facts {
                let facts =
                    Facts { number, country: *country, channel: *channel, request_type: *request_type };
                let (decision, explained) = (table.decide(&facts), table.explain(&facts));
                let expected = naive(&rules, &facts);
                prop_assert_eq!(decision.rule.map(|rule| rule.name.to_owned()), expected.map(|at| at.to_string()));
                prop_assert_eq!(explained.decision, decision);
                prop_assert_eq!(explained.trace.len() + explained.untraced, expected.unwrap_or(rules.len()));
                let denied = expected.is_some_and(|at| rules[at].action == document::Action::Deny);
                prop_assert_eq!(decision.action == RouteAction::Deny, denied);
            }
        }
    }
}
