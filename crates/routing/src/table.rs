//! The rules of a gateway, in order; the first that matches decides.

use hookswitch_gateway_config::{check, document};
use hookswitch_message::{Channel, CountryCode, E164, RequestType};

/// The most rules that a decision's trace names; what was skipped beyond it is only counted.
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteDecision<'a> {
    /// The rule that decided.
    pub rule: Option<RuleRef<'a>>,
    /// What it says.
    pub action: RouteAction<'a>,
    /// Rules before it, in order, at most 64.
    pub trace: Vec<Skipped<'a>>,
    /// How many more were skipped than the trace names.
    pub untraced: usize,
}

/// All rules of a gateway.
#[derive(Debug, Clone)]
pub struct Table {
    rules: Vec<document::Rule>,
}

impl Table {
    /// The table of these rules.
    #[must_use]
    pub const fn new(rules: Vec<document::Rule>) -> Self {
        Self { rules }
    }

    /// The rules, in order.
    #[must_use]
    pub fn rules(&self) -> &[document::Rule] {
        &self.rules
    }

    /// The first rule that matches, and why each one before it did not.
    #[must_use]
    pub fn decide(&self, facts: &Facts<'_>) -> RouteDecision<'_> {
        let mut decision = RouteDecision { rule: None, action: RouteAction::NoRule, trace: Vec::new(), untraced: 0 };
        for rule in &self.rules {
            let named = RuleRef { policy: &rule.policy, name: &rule.name };
            match mismatch(&rule.matches, facts) {
                None => {
                    decision.rule = Some(named);
                    decision.action = match &rule.action {
                        document::Action::Send(providers) => RouteAction::Send(providers),
                        document::Action::Deny => RouteAction::Deny,
                    };
                    break;
                }
                Some(because) if decision.trace.len() < MAX_TRACE => {
                    decision.trace.push(Skipped { rule: named, because });
                }
                Some(_) => decision.untraced += 1,
            }
        }
        decision
    }
}

/// The first list of a match that no fact fits; `None` when all do.
fn mismatch(matches: &document::Match, facts: &Facts<'_>) -> Option<&'static str> {
    let document::Match { countries, prefixes, channels, request_types } = matches;
    let number = facts.number.as_str();
    if !channels.is_empty() && !channels.contains(&facts.channel) {
        Some("channel")
    } else if !request_types.is_empty() && !facts.request_type.is_some_and(|wanted| request_types.contains(&wanted)) {
        Some("requestType")
    } else if !countries.is_empty() && !facts.country.is_some_and(|country| countries.contains(&country)) {
        Some("country")
    } else if !prefixes.is_empty() && !prefixes.iter().any(|prefix| begins(number, prefix)) {
        Some("prefix")
    } else {
        None
    }
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
        let decision = table.decide(&facts(&number));
        assert_eq!(decision.rule, Some(RuleRef { policy: "default", name: "sweden" }));
        assert_eq!(decision.action, RouteAction::Send(&["d".to_owned()]));
        let trace: Vec<_> = decision.trace.iter().map(|skipped| (skipped.rule.name, skipped.because)).collect();
        let expected = [("voice", "channel"), ("resets", "requestType"), ("norway", "country"), ("pagers", "prefix")];
        assert_eq!((trace.as_slice(), decision.untraced), (expected.as_slice(), 0));
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
            assert_eq!(Table::new(vec![bad]).decide(&facts(&number)).action, RouteAction::NoRule, "{prefix:?}");
        }
    }

    #[test]
    fn a_trace_is_bounded_and_says_how_much_it_leaves_out() {
        let voice = || rule("voice", Match { channels: vec![Channel::Voice], ..Match::default() }, send("a"));
        let table = Table::new((0..100).map(|_| voice()).collect());
        let number = "+46701234567".parse().unwrap();
        let decision = table.decide(&facts(&number));
        assert_eq!((decision.trace.len(), decision.untraced), (MAX_TRACE, 100 - MAX_TRACE));
    }

    fn country() -> impl Strategy<Value = CountryCode> {
        select(vec!["SE", "NO", "US"]).prop_map(|text| text.parse().unwrap())
    }

    fn request_type() -> impl Strategy<Value = RequestType> {
        select(vec![RequestType::MfaVerification, RequestType::PasswordReset])
    }

    fn any_rule() -> impl Strategy<Value = document::Rule> {
        let matches = (
            vec(country(), 0..3),
            vec("\\+[1-3][1-3]{0,2}", 0..3),
            vec(select(vec![Channel::Sms, Channel::Voice]), 0..2),
            vec(request_type(), 0..2),
        );
        (matches, any::<bool>()).prop_map(|((countries, prefixes, channels, request_types), deny)| {
            let action = if deny { document::Action::Deny } else { send("a") };
            rule("r", Match { countries, prefixes, channels, request_types }, action)
        })
    }

    /// The same decision, said as shortly as possible: position of the first rule whose lists all agree.
    fn naive(rules: &[document::Rule], facts: &Facts<'_>) -> Option<usize> {
        rules.iter().position(|rule| {
            let Match { countries, prefixes, channels, request_types } = &rule.matches;
            (countries.is_empty() || countries.iter().any(|country| Some(*country) == facts.country))
                && (prefixes.is_empty()
                    || prefixes.iter().any(|prefix| facts.number.as_str().get(..prefix.len()) == Some(prefix.as_str())))
                && (channels.is_empty() || channels.contains(&facts.channel))
                && (request_types.is_empty() || request_types.iter().any(|wanted| Some(*wanted) == facts.request_type))
        })
    }

    proptest! {
        #[test]
        fn every_decision_is_the_one_of_the_naive_reference(
            rules in vec(any_rule(), 0..12),
            number in "\\+[1-3]{7,9}",
            country in prop::option::of(country()),
            voice in any::<bool>(),
            request_type in prop::option::of(request_type()),
        ) {
            let rules: Vec<_> = rules
                .into_iter()
                .enumerate()
                .map(|(at, rule)| document::Rule { name: at.to_string(), ..rule })
                .collect();
            let number: E164 = number.parse().unwrap();
            let channel = if voice { Channel::Voice } else { Channel::Sms };
            let facts = Facts { number: &number, country, channel, request_type };
            let table = Table::new(rules.clone());
            let decision = table.decide(&facts);
            let expected = naive(&rules, &facts);
            prop_assert_eq!(decision.rule.map(|rule| rule.name.to_owned()), expected.map(|at| at.to_string()));
            prop_assert_eq!(decision.trace.len(), expected.unwrap_or(rules.len()));
            let denied = expected.is_some_and(|at| rules[at].action == document::Action::Deny);
            prop_assert_eq!(decision.action == RouteAction::Deny, denied);
        }
    }
}
