//! What rules and hooks decided lately, counted from one report to the next.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use hookswitch_gateway_config::report::ReplicaReport;

/// What counts as recent traffic.
const RECENT: Duration = Duration::from_mins(10);
/// Parts that recent traffic is counted in.
const PART: Duration = Duration::from_mins(1);

/// Calls by rule, and calls answered FAILED by hook, in parts of a minute.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    parts: VecDeque<(Instant, Part)>,
}

#[derive(Debug, Default)]
struct Part {
    rules: BTreeMap<String, u64>,
    failed: BTreeMap<String, u64>,
}

impl Traffic {
    /// Counts what a replica decided since its last report; its counters run since it started.
    pub(super) fn count(&mut self, before: Option<&ReplicaReport>, now_is: &ReplicaReport, now: Instant) {
        let Some(before) = before.filter(|before| before.started_at == now_is.started_at) else { return };
        if self.parts.back().is_none_or(|(begun, _)| now.saturating_duration_since(*begun) >= PART) {
            self.parts.push_back((now, Part::default()));
        }
        self.parts.retain(|(begun, _)| now.saturating_duration_since(*begun) < RECENT);
        let Some((_, part)) = self.parts.back_mut() else { return };
        for (rule, report) in &now_is.rules {
            let known = before.rules.get(rule).map(|rule| rule.calls).unwrap_or_default();
            let more = report.calls.saturating_sub(known);
            if more > 0 {
                *part.rules.entry(rule.clone()).or_default() += more;
            }
        }
        let failed = |report: &ReplicaReport, hook: &String| {
            report.hooks.get(hook).and_then(|hook| hook.answers.get("FAILED")).copied().unwrap_or_default()
        };
        for hook in now_is.hooks.keys() {
            let more = failed(now_is, hook).saturating_sub(failed(before, hook));
            if more > 0 {
                *part.failed.entry(hook.clone()).or_default() += more;
            }
        }
    }

    pub(super) fn recent(&self, now: Instant) -> BTreeMap<String, u64> {
        let mut all: BTreeMap<String, u64> = BTreeMap::new();
        for (_, part) in self.parts.iter().filter(|(begun, _)| now.saturating_duration_since(*begun) < RECENT) {
            for (rule, calls) in &part.rules {
                *all.entry(rule.clone()).or_default() += calls;
            }
        }
        all
    }

    /// Calls of a hook answered FAILED within that time, and up to a part more.
    pub(super) fn failed(&self, hook: &str, within: Duration, now: Instant) -> u64 {
        let parts = self.parts.iter().filter(|(begun, _)| now.saturating_duration_since(*begun) < within + PART);
        parts.filter_map(|(_, part)| part.failed.get(hook)).sum()
    }
}
