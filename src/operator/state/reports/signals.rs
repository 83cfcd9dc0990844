//! What reports say of a hook: whether it is served, and whether its messages have a provider.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use super::{FRESH, OfGateway, Serving, serving};
use hookswitch_failover::{
    coverage::{CoveredRule, RefusedCalls, coverage},
    refusals::AuthStatistics,
    signal::{CheckResult, Signal, Source},
};
use hookswitch_gateway_config::report::{BreakerState, ProbeState, ReplicaReport};

impl OfGateway {
    pub(super) fn availability(&self, hook: &str, now: Instant) -> Signal {
        let (result, why) = match (&self.asked, serving(self, hook, now)) {
            (None, _) => (CheckResult::Unknown, "The gateway's replicas have not been asked yet."),
            (Some((_, ready)), _) if ready.is_empty() => (CheckResult::Fail, "The gateway has no ready replica."),
            (_, Serving::Yes { .. }) => (CheckResult::Pass, "Ready replicas serve the hook."),
            (_, Serving::No) => (CheckResult::Fail, "Ready replicas do not serve the hook."),
            (_, Serving::Unknown) => (CheckResult::Unknown, "No ready replica has reported within 20 s."),
        };
        Signal { source: Source::Gateway, result, why: why.to_owned(), failing_for: Duration::ZERO }
    }

    pub(super) fn coverage(&self, threshold: u8, now: Instant) -> (Signal, Option<u8>) {
        let reports: Vec<&ReplicaReport> = self.fresh(now).collect();
        let recent = self.traffic.recent(now);
        let rules: Vec<CoveredRule> = self
            .rules
            .iter()
            .map(|rule| CoveredRule {
                name: rule.name.clone(),
                critical: rule.critical,
                recent: recent.get(&rule.name).copied().unwrap_or_default(),
                covered: if rule.providers.is_empty() {
                    Some(false)
                } else {
                    any_usable(rule.providers.iter().map(|provider| usable(&reports, provider)))
                },
                refused: refused(&reports, &rule.name),
            })
            .collect();
        let known = (!reports.is_empty()).then(|| coverage(&rules)).flatten();
        let (result, why) = match &known {
            None => (CheckResult::Unknown, "No replica can tell whether its providers work.".to_owned()),
            Some(known) if known.percent < threshold => (CheckResult::Fail, without(&known.uncovered)),
            Some(known) if !known.uncovered.is_empty() => {
                (CheckResult::Pass, format!("Degraded. {}", without(&known.uncovered)))
            }
            Some(known) if !known.partly.is_empty() => {
                let why = lacking("Without a usable provider for some of its messages", &known.partly);
                (CheckResult::Pass, format!("Degraded. {why}"))
            }
            Some(_) => (CheckResult::Pass, "Every rule has a usable provider.".to_owned()),
        };
        let failing_for = if result == CheckResult::Fail { self.failing_for(&rules, now) } else { Duration::ZERO };
        (Signal { source: Source::Coverage, result, why, failing_for }, known.map(|known| known.percent))
    }

    /// How long none of the rules without a usable provider has had one: since the latest of the first failures of
    /// their providers, over all replicas. Fewer of them may have been too many already, so it may be longer and is not
    /// shorter. When it is refusals besides, nobody says since when they are too many.
    pub(super) fn failing_for(&self, rules: &[CoveredRule], now: Instant) -> Duration {
        if rules.iter().any(|rule| rule.refused.calls > 0) {
            return Duration::ZERO;
        }
        let uncovered = self.rules.iter().zip(rules).filter(|(_, rule)| rule.covered == Some(false));
        let providers: BTreeSet<&String> = uncovered.flat_map(|(rule, _)| &rule.providers).collect();
        let reported = self.replicas.values().filter(|(_, at)| now.saturating_duration_since(*at) <= FRESH);
        let failing = reported.flat_map(|(report, at)| {
            let age = now.saturating_duration_since(*at);
            let of = move |provider: &&String| {
                let reported = Duration::from_millis(report.providers.get(*provider)?.failing_for_ms);
                // what nobody says does not grow old
                Some(if reported.is_zero() { reported } else { reported.saturating_add(age) })
            };
            providers.iter().filter_map(of)
        });
        failing.min().unwrap_or_default()
    }

    pub(super) fn last_call(&self, hook: &str, now: Instant) -> Option<Duration> {
        let ages = self.replicas.values().filter_map(|(report, at)| {
            let age = report.hooks.get(hook)?.last_call_age_s?;
            Some(Duration::from_secs(age).saturating_add(now.duration_since(*at)))
        });
        ages.min()
    }

    pub(super) fn auth_statistics(&self, hook: &str, now: Instant) -> Option<AuthStatistics> {
        let served = self.fresh(now).any(|report| report.hooks.contains_key(hook));
        let auth_statistics = self.auth_statistics.of(hook);
        let admitted = auth_statistics.admitted.into_iter().chain(self.last_call(hook, now)).min();
        served.then_some(AuthStatistics { admitted, ..auth_statistics })
    }
}

fn without(rules: &[String]) -> String {
    lacking("Without a usable provider", rules)
}

fn lacking(what: &str, rules: &[String]) -> String {
    let shown: Vec<&str> = rules.iter().take(5).map(String::as_str).collect();
    let more =
        if rules.len() > shown.len() { format!(" and {} more", rules.len() - shown.len()) } else { String::new() };
    format!("{what}: {}{more}.", shown.join(", "))
}

/// Whether any replica can send by a provider; nothing when none knows.
pub(super) fn usable(reports: &[&ReplicaReport], provider: &str) -> Option<bool> {
    any_usable(reports.iter().map(|report| {
        let provider = report.providers.get(provider)?;
        match (provider.probe, provider.breaker) {
            (ProbeState::Down, _) | (_, BreakerState::Open) => Some(false),
            // it is tried again and again, and nothing has worked since it began to fail
            (_, BreakerState::HalfOpen) if provider.failing_for_ms > 0 => Some(false),
            // it is being tried: neither healthy nor unhealthy
            (_, BreakerState::HalfOpen | BreakerState::Unknown) | (ProbeState::Unknown, _) => None,
            (ProbeState::Up, BreakerState::Closed) => Some(true),
        }
    }))
}

/// What a rule's providers refuse of what it is used for, over all replicas.
fn refused(reports: &[&ReplicaReport], rule: &str) -> RefusedCalls {
    let of_rule = reports.iter().filter_map(|report| report.rules.get(rule));
    of_rule.fold(RefusedCalls::default(), |sum, rule| RefusedCalls {
        of: sum.of.saturating_add(rule.recent),
        calls: sum.calls.saturating_add(rule.refused.min(rule.recent)),
    })
}

fn any_usable(all: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut sure = None;
    let mut any_unknown = false;
    for one in all {
        match one {
            Some(true) => return Some(true),
            Some(false) => sure = Some(false),
            None => any_unknown = true,
        }
    }
    sure.filter(|_| !any_unknown)
}
