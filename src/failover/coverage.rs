//! How much of what a gateway routes has a carrier that can take it.

/// One rule that sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// `<policy>/<rule>`.
    pub name: String,
    /// Whether it is marked as one that counts.
    pub critical: bool,
    /// Calls that it decided lately.
    pub recent: u64,
    /// Whether any of its carriers can be used; `None` when no replica can tell.
    pub covered: Option<bool>,
}

/// With fewer recent calls than this, traffic says nothing and every rule counts the same.
pub const ENOUGH_CALLS: u64 = 20;

/// What is covered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage {
    /// Part of what counts that has a usable carrier, in percent.
    pub percent: u8,
    /// The rules without one.
    pub uncovered: Vec<String>,
}

/// The covered part of what counts: the critical rules when any is marked, else recent traffic, else every rule the same.
/// `None` when it cannot be told: a rule that counts has carriers that nobody knows of.
#[must_use]
pub fn coverage(rules: &[Rule]) -> Option<Coverage> {
    let marked = rules.iter().any(|rule| rule.critical);
    let calls: u64 = rules.iter().map(|rule| rule.recent).sum();
    let weight = |rule: &Rule| match (marked, calls >= ENOUGH_CALLS) {
        (true, _) => u64::from(rule.critical),
        (false, true) => rule.recent,
        (false, false) => 1,
    };
    let counting = || rules.iter().filter(|rule| weight(rule) > 0);
    if counting().any(|rule| rule.covered.is_none()) {
        return None;
    }
    let all: u64 = counting().map(weight).sum();
    let covered: u64 = counting().filter(|rule| rule.covered == Some(true)).map(weight).sum();
    let uncovered = rules.iter().filter(|rule| rule.covered == Some(false)).map(|rule| rule.name.clone()).collect();
    // a gateway that routes nothing lacks nothing
    let percent = (covered * 100).checked_div(all).unwrap_or(100);
    Some(Coverage { percent: u8::try_from(percent).unwrap_or(100), uncovered })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(name: &str, critical: bool, recent: u64, covered: impl Into<Option<bool>>) -> Rule {
        Rule { name: name.to_owned(), critical, recent, covered: covered.into() }
    }

    #[test]
    fn critical_rules_count_alone_then_traffic_then_every_rule_the_same() {
        let percent = |rules: &[Rule]| coverage(rules).map(|coverage| coverage.percent);
        assert_eq!(percent(&[]), Some(100));
        assert_eq!(percent(&[rule("a", false, 0, true), rule("b", false, 0, false)]), Some(50));
        assert_eq!(percent(&[rule("a", false, 19, true), rule("b", false, 0, false)]), Some(50), "too few calls");
        assert_eq!(percent(&[rule("a", false, 990, true), rule("b", false, 10, false)]), Some(99));
        assert_eq!(percent(&[rule("a", true, 0, false), rule("b", false, 1_000, true)]), Some(0));
        assert_eq!(percent(&[rule("a", true, 0, true), rule("b", false, 1_000, false)]), Some(100));
    }

    #[test]
    fn a_rule_that_counts_and_cannot_be_told_leaves_the_whole_unknown_and_one_that_does_not_count_does_not() {
        assert_eq!(coverage(&[rule("a", false, 0, None), rule("b", false, 0, true)]), None);
        let known = coverage(&[rule("a", true, 0, true), rule("b", false, 0, None), rule("c", false, 0, false)]);
        assert_eq!(known, Some(Coverage { percent: 100, uncovered: vec!["c".into()] }));
    }
}
