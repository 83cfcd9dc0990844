//! The rules of a gateway, in order; the first that matches decides.

use crate::{
    config::document,
    message::{Channel, CountryCode, E164, RequestType},
};

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
pub enum Action<'a> {
    /// Send by the first of these carriers that accepts.
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
pub struct Decision<'a> {
    /// The rule that decided.
    pub rule: Option<RuleRef<'a>>,
    /// What it says.
    pub action: Action<'a>,
    /// Rules before it, in order, at most 64.
    pub trace: Vec<Skipped<'a>>,
    /// How many more were skipped than the trace names.
    pub untraced: usize,
}

/// Why a rule cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRule {
    /// A prefix is not the beginning of a number.
    #[error("rule {policy}/{name}: a prefix is a plus sign and 1 to 15 digits, the first not zero")]
    Prefix {
        /// `RoutingPolicy`.
        policy: String,
        /// Rule.
        name: String,
    },
    /// A rule sends by no carrier.
    #[error("rule {policy}/{name}: sends by no carrier")]
    NoCarrier {
        /// `RoutingPolicy`.
        policy: String,
        /// Rule.
        name: String,
    },
}

/// All rules of a gateway.
#[derive(Debug, Clone)]
pub struct Table {
    rules: Vec<document::Rule>,
}

impl Table {
    /// Compiles rules.
    ///
    /// # Errors
    /// [`InvalidRule`] for the first rule that could never do what it says.
    pub fn new(rules: &[document::Rule]) -> Result<Self, InvalidRule> {
        for rule in rules {
            let (policy, name) = (|| rule.policy.clone(), || rule.name.clone());
            if !rule.matches.prefixes.iter().all(|prefix| is_prefix(prefix)) {
                return Err(InvalidRule::Prefix { policy: policy(), name: name() });
            }
            if matches!(&rule.action, document::Action::Send(carriers) if carriers.is_empty()) {
                return Err(InvalidRule::NoCarrier { policy: policy(), name: name() });
            }
        }
        Ok(Self { rules: rules.to_vec() })
    }

    /// The first rule that matches, and why each one before it did not.
    #[must_use]
    pub fn decide(&self, facts: &Facts<'_>) -> Decision<'_> {
        let mut decision = Decision { rule: None, action: Action::NoRule, trace: Vec::new(), untraced: 0 };
        for rule in &self.rules {
            let named = RuleRef { policy: &rule.policy, name: &rule.name };
            match mismatch(&rule.matches, facts) {
                None => {
                    decision.rule = Some(named);
                    decision.action = match &rule.action {
                        document::Action::Send(carriers) => Action::Send(carriers),
                        document::Action::Deny => Action::Deny,
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
    let fits = |list_is_empty: bool, any: bool| list_is_empty || any;
    let document::Match { countries, prefixes, channels, request_types } = matches;
    if !fits(channels.is_empty(), channels.contains(&facts.channel)) {
        return Some("channel");
    }
    if !fits(request_types.is_empty(), facts.request_type.is_some_and(|wanted| request_types.contains(&wanted))) {
        return Some("requestType");
    }
    if !fits(countries.is_empty(), facts.country.is_some_and(|country| countries.contains(&country))) {
        return Some("country");
    }
    let number = facts.number.as_str();
    if !fits(prefixes.is_empty(), prefixes.iter().any(|prefix| number.starts_with(prefix.as_str()))) {
        return Some("prefix");
    }
    None
}

/// Whether a text can begin an E.164 number.
fn is_prefix(text: &str) -> bool {
    text.strip_prefix('+').is_some_and(|digits| {
        (1..=15).contains(&digits.len()) && !digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit())
    })
}
