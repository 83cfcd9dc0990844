//! What the gateway counts: for Prometheus, and for the report that the operator reads.
//!
//! Labels are names out of the configuration and fixed words, never anything of a message, so that their number is bounded
//! by what users declare. The report's counters run since the process started.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
};

use super::{
    protocol::Status,
    recent::{Traffic, Used},
};
use hookswitch_gateway_config::report::{HookReport, RuleReport};
use hookswitch_message::Channel;
use hookswitch_providers::Outcome;
use hookswitch_telemetry::{
    families::{Families as _, Histograms},
    metrics::Metrics,
};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    hook: String,
    channel: &'static str,
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PreviewLabels {
    hook: String,
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HookLabels {
    hook: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AttemptLabels {
    provider: String,
    channel: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PassedOverLabels {
    provider: String,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProviderLabels {
    provider: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RuleLabels {
    policy: String,
    rule: String,
}

/// What an authenticated call asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// A passcode for somebody.
    Call(Channel),
    /// Unknown.
    Unreadable,
    /// An administrator tried the hook out: nobody waits for that passcode, and nobody else sends it.
    Preview,
}

/// What became of an attempt, as the value of the label `outcome`.
#[must_use]
pub const fn outcome_label(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Accepted { .. } => "accepted",
        Outcome::Refused(refusal) => refusal.class.label(),
        Outcome::Ambiguous { .. } => "ambiguous",
    }
}

fn seconds() -> Histogram {
    Histogram::new([0.01, 0.025, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0])
}

/// All counters of a gateway.
pub struct GatewayMetrics {
    calls: Family<CallLabels, Counter>,
    previews: Family<PreviewLabels, Counter>,
    call_seconds: Histograms<HookLabels>,
    unauthorised: Family<HookLabels, Counter>,
    unreadable: Family<ReasonLabels, Counter>,
    attempts: Family<AttemptLabels, Counter>,
    attempt_seconds: Histograms<ProviderLabels>,
    passed_over: Family<PassedOverLabels, Counter>,
    failovers: Counter,
    after_ambiguous: Counter,
    repeated: Counter,
    contradicted: Counter,
    without_id: Counter,
    late: Counter,
    other_source: Family<HookLabels, Counter>,
    rules: Family<RuleLabels, Counter>,
    uncovered: Family<RuleLabels, Counter>,
    closed: Family<ReasonLabels, Counter>,
    config_generation: Gauge,
    config_refused: Counter,
    reported: Mutex<Reported>,
}

#[derive(Default)]
struct Reported {
    hooks: BTreeMap<String, (HookReport, Option<Instant>)>,
    rules: BTreeMap<String, RuleReport>,
    attempts: BTreeMap<String, BTreeMap<String, u64>>,
    recent: Traffic,
}

/// What Okta waits for.
const IN_TIME: Duration = Duration::from_secs(3);

impl GatewayMetrics {
    /// Counters, registered with the process's metrics.
    #[must_use]
    pub fn new(metrics: &Metrics) -> Self {
        metrics.register(|registry| {
            let registry = registry.sub_registry_with_prefix("gateway");
            Self {
                calls: registry.add("calls", "Authenticated calls answered, by what Okta was told"),
                previews: registry
                    .add("previews", "Calls of the Preview in Okta's console answered, by what Okta was told"),
                call_seconds: registry.add_histograms(
                    "call_seconds",
                    "From the beginning of a call to its answer",
                    seconds,
                ),
                unauthorised: registry.add("unauthorised", "Calls to a hook without a valid secret"),
                unreadable: registry.add("unreadable", "Authenticated calls that could not be acted on"),
                attempts: registry.add("attempts", "Attempts at providers, by outcome"),
                attempt_seconds: registry.add_histograms(
                    "attempt_seconds",
                    "Duration of attempts at providers",
                    seconds,
                ),
                passed_over: registry
                    .add("passed_over", "Providers that a message was not given to, by which door was shut"),
                failovers: registry.add("failovers", "Messages that another provider took after one had not"),
                after_ambiguous: registry.add(
                    "sends_after_ambiguous",
                    "Attempts begun although an earlier provider may have the message: the user may get it twice",
                ),
                repeated: registry.add("repeated_calls", "Calls seen before, answered with the first answer"),
                contradicted: registry
                    .add("contradicting_calls", "Calls with a known event id but another message; not sent"),
                without_id: registry.add("calls_without_id", "Calls without an event id, sent without deduplication"),
                late: registry.add("late_answers", "Answers that the deadline forced before the work was done"),
                other_source: registry.add("other_source", "Calls whose source is not the hook that is known in Okta"),
                rules: registry.add("rule_calls", "Calls that a rule decided"),
                uncovered: registry.add("rule_uncovered", "Calls of a rule that found no healthy provider"),
                closed: registry.add("connections_closed", "Connections closed by a bound"),
                config_generation: registry.add("config_generation", "Generation of the configuration being served"),
                config_refused: registry.add("config_refused", "Configurations that were refused"),
                reported: Mutex::default(),
            }
        })
    }

    fn reported(&self) -> std::sync::MutexGuard<'_, Reported> {
        self.reported.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An authenticated call was answered. A preview is distinguished: it is no traffic, and a switch must not take it for some.
    pub fn answered(&self, hook: &str, asked: Asked, status: Status, took: Duration) {
        let channel = match asked {
            Asked::Call(channel) => channel.label(),
            Asked::Unreadable => "unknown",
            Asked::Preview => {
                let labels = PreviewLabels { hook: hook.to_owned(), status: status.label() };
                self.previews.get_or_create(&labels).inc();
                return;
            }
        };
        let labels = CallLabels { hook: hook.to_owned(), channel, status: status.label() };
        self.calls.get_or_create(&labels).inc();
        self.call_seconds.get_or_create(&HookLabels { hook: hook.to_owned() }).observe(took.as_secs_f64());
        let mut reported = self.reported();
        let (report, last) = reported.hooks.entry(hook.to_owned()).or_default();
        *report.answers.entry(status.label().to_owned()).or_default() += 1;
        // what the report calls the last call is evidence that Okta's calls arrive and are answered in time
        if asked != Asked::Unreadable && took < IN_TIME {
            *last = Some(Instant::now());
        }
    }

    /// A call to a hook had no valid secret.
    pub fn unauthorised(&self, hook: &str) {
        self.unauthorised.get_or_create(&HookLabels { hook: hook.to_owned() }).inc();
        self.reported().hooks.entry(hook.to_owned()).or_default().0.unauthorised += 1;
    }

    /// An authenticated call could not be acted on.
    pub fn unreadable(&self, reason: &'static str) {
        self.unreadable.get_or_create(&ReasonLabels { reason }).inc();
    }

    /// An attempt ended.
    pub fn attempted(&self, provider: &str, channel: Channel, outcome: &Outcome, took: Duration) {
        let outcome = outcome_label(outcome);
        let labels = AttemptLabels { provider: provider.to_owned(), channel: channel.label(), outcome };
        self.attempts.get_or_create(&labels).inc();
        self.attempt_seconds
            .get_or_create(&ProviderLabels { provider: provider.to_owned() })
            .observe(took.as_secs_f64());
        let mut reported = self.reported();
        *reported.attempts.entry(provider.to_owned()).or_default().entry(outcome.to_owned()).or_default() += 1;
    }

    /// A provider was not given a message; `reason` is why: `unfit`, `busy`, `breaker`, `retry-after`.
    pub fn passed_over(&self, provider: &str, reason: &'static str) {
        self.passed_over.get_or_create(&PassedOverLabels { provider: provider.to_owned(), reason }).inc();
    }

    /// Another provider took a message after one had not.
    pub fn failed_over(&self) {
        self.failovers.inc();
    }

    /// An attempt begins although an earlier provider may have the message.
    pub fn sent_after_ambiguous(&self) {
        self.after_ambiguous.inc();
    }

    /// A call was seen before.
    pub fn repeated(&self) {
        self.repeated.inc();
    }

    /// A call has a known id and another message.
    pub fn contradicted(&self) {
        self.contradicted.inc();
    }

    /// A call has no usable id.
    pub fn without_id(&self) {
        self.without_id.inc();
    }

    /// The deadline forced an answer.
    pub fn late(&self) {
        self.late.inc();
    }

    /// A call came from another hook of Okta's than the one known.
    pub fn other_source(&self, hook: &str) {
        self.other_source.get_or_create(&HookLabels { hook: hook.to_owned() }).inc();
    }

    /// A rule decided a call; `covered` when one of its providers was healthy.
    pub fn ruled(&self, policy: &str, rule: &str, covered: bool) {
        let labels = RuleLabels { policy: policy.to_owned(), rule: rule.to_owned() };
        self.rules.get_or_create(&labels).inc();
        if !covered {
            self.uncovered.get_or_create(&labels).inc();
        }
        let mut reported = self.reported();
        let report = reported.rules.entry(format!("{policy}/{rule}")).or_default();
        report.calls += 1;
        report.uncovered += u64::from(!covered);
    }

    /// A rule that sends decided a call of that channel and country.
    pub fn used(&self, rule: &str, used: Used) {
        self.reported().recent.count(rule, used, tokio::time::Instant::now());
    }

    /// What a rule was used for lately.
    #[must_use]
    pub fn recent(&self, rule: &str) -> Vec<(Used, u64)> {
        self.reported().recent.of(rule, tokio::time::Instant::now())
    }

    /// A bound closed a connection: `limit`, `handshake`, `protocol`.
    pub fn closed(&self, reason: &'static str) {
        self.closed.get_or_create(&ReasonLabels { reason }).inc();
    }

    /// A configuration is served from now on.
    pub fn configured(&self, generation: i64) {
        self.config_generation.set(generation);
    }

    /// A configuration was refused.
    pub fn config_refused(&self) {
        self.config_refused.inc();
    }

    /// The report's counters of a hook.
    #[must_use]
    pub fn hook(&self, hook: &str) -> HookReport {
        let (mut report, last) = self.reported().hooks.get(hook).cloned().unwrap_or_default();
        report.last_call_age_s = last.map(|at| at.elapsed().as_secs());
        report
    }

    /// The report's counters of a rule, by `<policy>/<rule>`.
    #[must_use]
    pub fn rule(&self, name: &str) -> RuleReport {
        self.reported().rules.get(name).copied().unwrap_or_default()
    }

    /// The report's counters of a provider.
    #[must_use]
    pub fn outcomes(&self, provider: &str) -> BTreeMap<String, u64> {
        self.reported().attempts.get(provider).cloned().unwrap_or_default()
    }
}

impl fmt::Debug for GatewayMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GatewayMetrics")
    }
}
