//! Calls that replicas counted at the paths of hooks: with the hook's secret, and without it.

use std::collections::BTreeMap;

use tokio::time::Instant;

use hookswitch_failover::refusals::AuthStatistics;
use hookswitch_gateway_config::report::{HookReport, ReplicaReport};

/// What is counted at the paths of a gateway's hooks.
#[derive(Debug, Default)]
pub struct AuthStatisticsByHook {
    hooks: BTreeMap<String, Counted>,
    /// When each replica's last report was taken.
    taken: BTreeMap<String, Instant>,
}

#[derive(Debug, Default)]
struct Counted {
    refused: Option<Instant>,
    admitted: Option<Instant>,
    /// What was refused before says nothing any more.
    forgiven: Option<Instant>,
}

impl AuthStatisticsByHook {
    /// Counts what came to a replica since its last report, by the one that was taken then; its counters run since it started.
    pub fn count(&mut self, replica: &str, before: Option<&ReplicaReport>, now: &ReplicaReport, at: Instant) {
        let taken = self.taken.insert(replica.to_owned(), at);
        let Some(before) = before.filter(|before| before.started_at == now.started_at) else { return };
        for (hook, report) in &now.hooks {
            let known = before.hooks.get(hook);
            let more = |count: fn(&HookReport) -> u64| count(report) > known.map_or(0, count);
            let (refused, admitted) = (more(|hook| hook.unauthorised), more(|hook| hook.answers.values().sum()));
            if !refused && !admitted {
                continue;
            }
            let counted = self.hooks.entry(hook.clone()).or_default();
            if refused && counted.forgiven.is_none_or(|forgiven| taken >= Some(forgiven)) {
                counted.refused = Some(at);
            }
            if admitted {
                counted.admitted = Some(at);
            }
        }
    }

    /// Forgets replicas that are gone, and hooks that none of the others has.
    pub fn keep(&mut self, replica: impl Fn(&str) -> bool, hook: impl Fn(&str) -> bool) {
        self.taken.retain(|name, _| replica(name));
        self.hooks.retain(|name, _| hook(name));
    }

    /// Forgets what was refused until now, reports still to come included.
    pub fn reset_rejected_calls(&mut self, hook: &str) {
        let counted = self.hooks.entry(hook.to_owned()).or_default();
        (counted.refused, counted.forgiven) = (None, Some(Instant::now()));
    }

    /// What came to a hook, as the reports show it.
    #[must_use]
    pub fn of(&self, hook: &str) -> AuthStatistics {
        let age = |at: Instant| at.elapsed();
        self.hooks.get(hook).map_or_else(AuthStatistics::default, |counted| AuthStatistics {
            refused: counted.refused.map(age),
            admitted: counted.admitted.map(age),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn report(started_at: u64, refused: u64, answered: u64) -> ReplicaReport {
        let answers = [("FAILED".to_owned(), answered)].into();
        let hook = HookReport { unauthorised: refused, answers, last_call_age_s: None };
        ReplicaReport { started_at, hooks: [("h".to_owned(), hook)].into(), ..ReplicaReport::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_a_replica_counted_since_its_last_report_came_lately() {
        let mut auth_statistics = AuthStatisticsByHook::default();
        let mut count = |before: Option<&ReplicaReport>, now: &ReplicaReport| {
            auth_statistics.count("r", before, now, Instant::now());
            auth_statistics.of("h")
        };
        let nothing = AuthStatistics::default();
        assert_eq!(count(None, &report(1, 7, 7)), nothing, "nobody knows when those came");
        assert_eq!(count(Some(&report(1, 7, 7)), &report(1, 7, 7)), nothing);
        assert_eq!(count(Some(&report(1, 7, 7)), &report(2, 9, 9)), nothing, "another process");
        let refused = AuthStatistics { refused: Some(Duration::ZERO), admitted: None };
        assert_eq!(count(Some(&report(1, 7, 7)), &report(1, 8, 7)), refused);
        tokio::time::advance(Duration::from_secs(5)).await;
        let both = AuthStatistics { refused: Some(Duration::from_secs(5)), admitted: Some(Duration::ZERO) };
        assert_eq!(count(Some(&report(1, 8, 7)), &report(1, 8, 8)), both);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_refused_before_the_secret_was_mended_says_nothing() {
        let mut auth_statistics = AuthStatisticsByHook::default();
        auth_statistics.count("r", None, &report(1, 0, 0), Instant::now());
        auth_statistics.count("r", Some(&report(1, 0, 0)), &report(1, 1, 0), Instant::now());
        assert!(auth_statistics.of("h").refused.is_some());
        tokio::time::advance(Duration::from_secs(1)).await;
        auth_statistics.reset_rejected_calls("h");
        assert_eq!(auth_statistics.of("h").refused, None);
        tokio::time::advance(Duration::from_secs(1)).await;
        auth_statistics.count("r", Some(&report(1, 1, 0)), &report(1, 2, 0), Instant::now());
        assert_eq!(auth_statistics.of("h").refused, None, "it may have been refused before that, too");
        auth_statistics.count("r", Some(&report(1, 2, 0)), &report(1, 3, 0), Instant::now());
        assert!(auth_statistics.of("h").refused.is_some());
        auth_statistics.keep(|_| true, |_| false);
        assert_eq!(auth_statistics.of("h"), AuthStatistics::default());
    }
}
