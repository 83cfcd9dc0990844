//! How much of what a gateway routes has a provider that can take it.

/// One rule that sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoveredRule {
    /// `<policy>/<rule>`.
    pub name: String,
    /// Whether it is critical.
    pub critical: bool,
    /// Calls that it decided lately.
    pub recent: u64,
    /// Whether any of its providers can be used; `None` when no replica knows.
    pub covered: Option<bool>,
    /// What its providers refuse of what it is used for, although they could be used otherwise.
    pub refused: RefusedCalls,
}

/// Calls that a rule decided lately, and those of them whose like all its providers refuse now: their sender, their texts, or a
/// country that the rule names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RefusedCalls {
    /// Calls.
    pub of: u64,
    /// Those whose like is refused.
    pub calls: u64,
}

impl RefusedCalls {
    /// The part of `whole` that is not refused, with rules that were not used lately refused nothing.
    fn rest(self, whole: u64) -> u64 {
        let taken = u128::from(self.of.saturating_sub(self.calls)) * u128::from(whole);
        taken.checked_div(u128::from(self.of)).and_then(|rest| u64::try_from(rest).ok()).unwrap_or(whole)
    }

    /// Whether most is refused.
    fn is_most(self) -> bool {
        self.calls > self.of / 2
    }
}

/// With fewer recent calls than this, traffic says nothing and every rule counts the same.
pub const ENOUGH_CALLS: u64 = 20;

/// What is covered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage {
    /// Part of what counts that has a usable provider, in percent.
    pub percent: u8,
    /// The rules without one, for most of what they are used for at least.
    pub uncovered: Vec<String>,
    /// The rules without one for less of what they are used for.
    pub partly: Vec<String>,
}

/// What a rule counts for, in as many parts as make the share of what is refused exact enough.
const FINE: u64 = 1_000;

/// The covered part of what counts: the critical rules when there is any, else recent traffic, else every rule the same.
/// `None` when it is unknown: a rule that counts has providers that nobody knows of.
#[must_use]
pub fn coverage(rules: &[CoveredRule]) -> Option<Coverage> {
    let any_critical = rules.iter().any(|rule| rule.critical);
    let calls = rules.iter().fold(0_u64, |calls, rule| calls.saturating_add(rule.recent));
    let weight = |rule: &CoveredRule| match (any_critical, calls >= ENOUGH_CALLS) {
        (true, _) => u64::from(rule.critical) * FINE,
        (false, true) => rule.recent.saturating_mul(FINE),
        (false, false) => FINE,
    };
    let counting = || rules.iter().filter(|rule| weight(rule) > 0);
    if counting().any(|rule| rule.covered.is_none()) {
        return None;
    }
    let all = counting().map(weight).fold(0_u64, u64::saturating_add);
    let usable = counting().filter(|rule| rule.covered == Some(true));
    let covered = usable.map(|rule| rule.refused.rest(weight(rule))).fold(0_u64, u64::saturating_add);
    let named = |which: &dyn Fn(&CoveredRule) -> bool| {
        rules.iter().filter(|rule| which(rule)).map(|rule| rule.name.clone()).collect::<Vec<_>>()
    };
    let uncovered = named(&|rule| rule.covered == Some(false) || rule.refused.is_most());
    let partly = named(&|rule| rule.covered != Some(false) && rule.refused.calls > 0 && !rule.refused.is_most());
    // a gateway that routes nothing lacks nothing
    let percent = (u128::from(covered) * 100).checked_div(u128::from(all)).unwrap_or(100);
    Some(Coverage { percent: u8::try_from(percent).unwrap_or(100), uncovered, partly })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(name: &str, critical: bool, recent: u64, covered: impl Into<Option<bool>>) -> CoveredRule {
        CoveredRule {
            name: name.to_owned(),
            critical,
            recent,
            covered: covered.into(),
            refused: RefusedCalls::default(),
        }
    }

    fn refusing(rule: CoveredRule, calls: u64, of: u64) -> CoveredRule {
        CoveredRule { refused: RefusedCalls { of, calls }, ..rule }
    }

    #[test]
    fn a_rule_is_covered_for_the_part_of_what_it_is_used_for_that_is_not_refused() {
        let judge = |rules: &[CoveredRule]| {
            coverage(rules).map(|known| (known.percent, known.uncovered, known.partly)).unwrap()
        };
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let of = |calls| refusing(rule("a", false, 25, true), calls, 25);
        assert_eq!(judge(&[of(25)]), (0, names(&["a"]), vec![]), "its only sender is refused");
        assert_eq!(judge(&[of(20)]), (20, names(&["a"]), vec![]), "SMS is, and calls are made");
        assert_eq!(judge(&[of(5)]), (80, vec![], names(&["a"])));
        assert_eq!(judge(&[of(0)]), (100, vec![], vec![]));
        let critical =
            [refusing(rule("a", true, 5, true), 5, 5), rule("b", true, 0, true), rule("c", false, 900, true)];
        assert_eq!(judge(&critical), (50, names(&["a"]), vec![]));
        let few = [refusing(rule("a", false, 5, true), 5, 5), rule("b", false, 0, true)];
        assert_eq!(judge(&few), (50, names(&["a"]), vec![]), "too few calls to weigh rules by them");
        let down = [refusing(rule("a", false, 25, false), 5, 25)];
        assert_eq!(judge(&down), (0, names(&["a"]), vec![]), "down is down");
        assert_eq!(coverage(&[refusing(rule("a", false, 25, None), 25, 25)]), None, "nobody can tell the rest");
        let many = refusing(rule("a", false, u64::MAX, true), u64::MAX / 3, u64::MAX);
        assert_eq!(judge(&[many]).2, names(&["a"]), "large numbers are no trouble");
    }

    #[test]
    fn critical_rules_count_alone_then_traffic_then_every_rule_the_same() {
        let percent = |rules: &[CoveredRule]| coverage(rules).map(|coverage| coverage.percent);
        assert_eq!(percent(&[]), Some(100));
        assert_eq!(percent(&[rule("a", false, 0, true), rule("b", false, 0, false)]), Some(50));
        assert_eq!(percent(&[rule("a", false, 19, true), rule("b", false, 0, false)]), Some(50), "too few calls");
        assert_eq!(percent(&[rule("a", false, 990, true), rule("b", false, 10, false)]), Some(99));
        assert_eq!(percent(&[rule("a", true, 0, false), rule("b", false, 1_000, true)]), Some(0));
        assert_eq!(percent(&[rule("a", true, 0, true), rule("b", false, 1_000, false)]), Some(100));
    }

    #[test]
    fn a_rule_that_counts_and_is_unknown_leaves_the_whole_unknown_and_one_that_does_not_count_does_not() {
        assert_eq!(coverage(&[rule("a", false, 0, None), rule("b", false, 0, true)]), None);
        let known = coverage(&[rule("a", true, 0, true), rule("b", false, 0, None), rule("c", false, 0, false)]);
        assert_eq!(known, Some(Coverage { percent: 100, uncovered: vec!["c".into()], partly: vec![] }));
    }
}
