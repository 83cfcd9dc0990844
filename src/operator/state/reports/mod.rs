//! What gateways report, as the reconciles ask for it: which hooks are served, which providers can be used.
//!
//! A report that is missing or old says nothing, and nothing is not "down". Reconciles are woken only when an answer changes
//! that shows in status, not by every report.

mod rejected_calls;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use kube::ResourceExt as _;

use super::reports::rejected_calls::AuthStatisticsByHook;
use crate::operator::runtime::triggers::Target;
use hookswitch_api::{Kind, TelephonyHook};
use hookswitch_failover::{
    coverage::{CoveredRule, RefusedCalls, coverage},
    refusals::AuthStatistics,
    signal::{CheckResult, Signal, Source},
};
use hookswitch_gateway_config::report::{
    BreakerState, ProbeState, ProviderReport, RefusedPart, RefusedScope, ReplicaReport,
};
use hookswitch_okta::fingerprint::Fingerprint;

/// How often a gateway is asked for its reports when nothing of it is on its way and no switch is in more of a hurry.
pub const POLL: Duration = Duration::from_secs(5);

/// Time between two rounds of asking, and so the least between two reports of a replica.
pub const ROUND: Duration = Duration::from_secs(1);

/// How long a report speaks for the present: four polls at least.
pub const FRESH: Duration = Duration::from_secs(20);

/// Whether a gateway serves a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Serving {
    /// No ready replica has the hook in its configuration.
    No,
    /// No report is fresh enough to say.
    Unknown,
    /// Ready replicas have it.
    Yes {
        /// How many.
        replicas: u32,
    },
}

/// Whether gateways can send by a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReportedHealth {
    /// Every replica that reports can.
    Up,
    /// Some replicas or countries cannot; why.
    Degraded(String),
    /// None can; why.
    Down(String),
    /// No replica that uses it has reported lately, or none knows yet.
    Unknown,
}

/// A gateway by namespace and name.
pub type GatewayKey = (String, String);

/// The last report of each ready replica of a gateway.
#[derive(Debug, Default)]
struct OfGateway {
    replicas: BTreeMap<String, (ReplicaReport, Instant)>,
    shown: Shown,
    accepted: BTreeMap<String, Vec<Fingerprint>>,
    /// The configuration that it should serve, and since when.
    expected: Option<(String, Instant)>,
    /// The rules that send, by the configuration in force.
    rules: Vec<SendingRule>,
    /// Calls that rules decided lately.
    traffic: Traffic,
    /// Calls that came to its hooks' paths lately.
    auth_statistics: AuthStatisticsByHook,
    /// When its replicas were last asked, and which those were.
    asked: Option<(Instant, BTreeSet<String>)>,
}

impl OfGateway {
    fn fresh(&self, now: Instant) -> impl Iterator<Item = &ReplicaReport> {
        self.replicas
            .values()
            .filter(move |(_, at)| now.saturating_duration_since(*at) <= FRESH)
            .map(|(report, _)| report)
    }
}

impl OfGateway {
    fn availability(&self, hook: &str, now: Instant) -> Signal {
        let (result, why) = match (&self.asked, serving(self, hook, now)) {
            (None, _) => (CheckResult::Unknown, "The gateway's replicas have not been asked yet."),
            (Some((_, ready)), _) if ready.is_empty() => (CheckResult::Fail, "The gateway has no ready replica."),
            (_, Serving::Yes { .. }) => (CheckResult::Pass, "Ready replicas serve the hook."),
            (_, Serving::No) => (CheckResult::Fail, "Ready replicas do not serve the hook."),
            (_, Serving::Unknown) => (CheckResult::Unknown, "No ready replica has reported within 20 s."),
        };
        Signal { source: Source::Gateway, result, why: why.to_owned(), failing_for: Duration::ZERO }
    }

    fn coverage(&self, threshold: u8, now: Instant) -> (Signal, Option<u8>) {
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
    fn failing_for(&self, rules: &[CoveredRule], now: Instant) -> Duration {
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

    fn last_call(&self, hook: &str, now: Instant) -> Option<Duration> {
        let ages = self.replicas.values().filter_map(|(report, at)| {
            let age = report.hooks.get(hook)?.last_call_age_s?;
            Some(Duration::from_secs(age).saturating_add(now.duration_since(*at)))
        });
        ages.min()
    }

    fn auth_statistics(&self, hook: &str, now: Instant) -> Option<AuthStatistics> {
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
fn usable(reports: &[&ReplicaReport], provider: &str) -> Option<bool> {
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

/// A rule that sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendingRule {
    /// `<policy>/<rule>`.
    pub name: String,
    /// Whether it is critical.
    pub critical: bool,
    /// Its providers; none when nothing that it names is there.
    pub providers: Vec<String>,
}

/// What counts as recent traffic.
const RECENT: Duration = Duration::from_mins(10);
/// Parts that recent traffic is counted in.
const PART: Duration = Duration::from_mins(1);

/// Calls by rule, and calls answered FAILED by hook, in parts of a minute.
#[derive(Debug, Default)]
struct Traffic {
    parts: VecDeque<(Instant, Part)>,
}

#[derive(Debug, Default)]
struct Part {
    rules: BTreeMap<String, u64>,
    failed: BTreeMap<String, u64>,
}

impl Traffic {
    /// Counts what a replica decided since its last report; its counters run since it started.
    fn count(&mut self, before: Option<&ReplicaReport>, now_is: &ReplicaReport, now: Instant) {
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

    fn recent(&self, now: Instant) -> BTreeMap<String, u64> {
        let mut all: BTreeMap<String, u64> = BTreeMap::new();
        for (_, part) in self.parts.iter().filter(|(begun, _)| now.saturating_duration_since(*begun) < RECENT) {
            for (rule, calls) in &part.rules {
                *all.entry(rule.clone()).or_default() += calls;
            }
        }
        all
    }

    /// Calls of a hook answered FAILED within that time, and up to a part more.
    fn failed(&self, hook: &str, within: Duration, now: Instant) -> u64 {
        let parts = self.parts.iter().filter(|(begun, _)| now.saturating_duration_since(*begun) < within + PART);
        parts.filter_map(|(_, part)| part.failed.get(hook)).sum()
    }
}

/// The last reports.
#[derive(Debug)]
pub struct Reports {
    gateways: Mutex<BTreeMap<GatewayKey, OfGateway>>,
    clock: fn() -> Instant,
    began: Instant,
}

impl Default for Reports {
    fn default() -> Self {
        Self::by(Instant::now)
    }
}

impl Reports {
    /// No reports, whose ages will be counted by that clock.
    #[must_use]
    pub fn by(clock: fn() -> Instant) -> Self {
        Self { gateways: Mutex::default(), clock, began: clock() }
    }

    fn now(&self) -> Instant {
        (self.clock)()
    }

    fn since(&self, then: Instant) -> Duration {
        self.now().saturating_duration_since(then)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<GatewayKey, OfGateway>> {
        self.gateways.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether gateway `namespace/gateway` serves `hook`.
    #[must_use]
    pub fn serving(&self, namespace: &str, gateway: &str, hook: &str) -> Serving {
        let gateways = self.lock();
        gateways
            .get(&(namespace.to_owned(), gateway.to_owned()))
            .map_or(Serving::Unknown, |known| serving(known, hook, self.now()))
    }

    /// Whether gateways of `namespace` can send by `provider`.
    #[must_use]
    pub fn provider(&self, namespace: &str, provider: &str) -> ReportedHealth {
        let (gateways, now) = (self.lock(), self.now());
        let of_namespace =
            gateways.iter().filter(|((known, _), _)| known == namespace).flat_map(|(_, known)| known.fresh(now));
        health(of_namespace.filter_map(|report| report.providers.get(provider)))
    }

    /// How many replicas of a gateway report, how many of those serve the configuration of that hash, and how many have a
    /// usable provider.
    #[must_use]
    pub fn replicas(&self, namespace: &str, gateway: &str, hash: &str) -> Replicas {
        let (gateways, now) = (self.lock(), self.now());
        let mut replicas = Replicas::default();
        for report in
            gateways.get(&(namespace.to_owned(), gateway.to_owned())).into_iter().flat_map(|known| known.fresh(now))
        {
            replicas.reporting += 1;
            replicas.current += u32::from(report.config_hash == hash);
            replicas.usable += u32::from(has_usable_provider(report));
            replicas.refused.extend(refusals(report).cloned());
            replicas.unlisted = replicas.unlisted.max(unlisted(report));
        }
        replicas
    }

    /// Whether this operator has led for so short a time that no report says nothing yet: what the leader before it saw
    /// still counts.
    #[must_use]
    pub fn is_settling(&self) -> bool {
        self.since(self.began) <= FRESH
    }

    /// Whether every replica that reports serves a configuration by which `hook` takes the secret of this fingerprint.
    #[must_use]
    pub fn accepts(&self, namespace: &str, gateway: &str, hook: &str, secret: &Fingerprint) -> bool {
        let (gateways, now) = (self.lock(), self.now());
        let Some(known) = gateways.get(&(namespace.to_owned(), gateway.to_owned())) else { return false };
        let Some((expected, _)) = &known.expected else { return false };
        let current: Vec<bool> = known.fresh(now).map(|report| report.config_hash == *expected).collect();
        let configured = known.accepted.get(hook).is_some_and(|fingerprints| fingerprints.contains(secret));
        configured && !current.is_empty() && current.into_iter().all(|current| current)
    }

    /// Says which configuration a gateway should serve, with the fingerprints of the secrets that its hooks take by it, and returns whether it has been so for so short a time that replicas
    /// and their reports may still be on the way.
    #[must_use]
    pub fn expect(
        &self,
        namespace: &str,
        gateway: &str,
        hash: &str,
        accepted: BTreeMap<String, Vec<Fingerprint>>,
        rules: Vec<SendingRule>,
    ) -> bool {
        let mut gateways = self.lock();
        let known = gateways.entry((namespace.to_owned(), gateway.to_owned())).or_default();
        known.accepted = accepted;
        known.rules = rules;
        match &known.expected {
            Some((expected, since)) if expected == hash => self.since(*since) <= FRESH,
            _ => {
                known.expected = Some((hash.to_owned(), self.now()));
                true
            }
        }
    }

    /// Whether the ready replicas of a gateway are to be asked in this round: so often, and at once when others are ready than
    /// last time or one does not serve yet what it should, since a hook in Okta may wait for that.
    #[must_use]
    pub fn is_due(&self, gateway: &GatewayKey, ready: &BTreeSet<&str>, every: Duration) -> bool {
        let gateways = self.lock();
        let Some(known) = gateways.get(gateway) else { return true };
        let Some((at, asked)) = &known.asked else { return true };
        let arriving = known.expected.as_ref().is_some_and(|(hash, since)| {
            self.since(*since) <= FRESH && known.replicas.values().any(|(report, _)| report.config_hash != *hash)
        });
        let unchanged = asked.len() == ready.len() && asked.iter().all(|name| ready.contains(name.as_str()));
        self.since(*at) + ROUND / 2 >= every || arriving || !unchanged
    }

    /// Takes in one round of polling a gateway: what its ready replicas reported, `None` for one that did not. Answers the
    /// objects whose status changes by it.
    pub fn take(&self, gateway: &GatewayKey, round: BTreeMap<String, Option<ReplicaReport>>) -> BTreeSet<Target> {
        // what came to several replicas within one round came at once
        let (now, at) = (self.now(), tokio::time::Instant::now());
        let mut gateways = self.lock();
        let known = gateways.entry(gateway.clone()).or_default();
        known.asked = Some((now, round.keys().cloned().collect()));
        known.replicas.retain(|replica, _| round.contains_key(replica));
        for (replica, report) in round {
            if let Some(report) = report {
                let before = known.replicas.get(&replica).map(|(before, _)| before);
                known.traffic.count(before, &report, now);
                known.auth_statistics.count(&replica, before, &report, at);
                known.replicas.insert(replica, (report, now));
            }
        }
        let replicas = &known.replicas;
        let has = |hook: &str| replicas.values().any(|(report, _)| report.hooks.contains_key(hook));
        known.auth_statistics.keep(|replica| replicas.contains_key(replica), has);
        let shown = Shown::of(known, now);
        let changed = shown.changed(&known.shown, gateway);
        known.shown = shown;
        changed
    }

    /// What is seen of a hook that points at a gateway, and how much of what counts it can deliver: it fails below
    /// `threshold` percent.
    #[must_use]
    pub fn signals(&self, namespace: &str, gateway: &str, hook: &str, threshold: u8) -> (Vec<Signal>, Option<u8>) {
        let (gateways, now) = (self.lock(), self.now());
        let nothing = OfGateway::default();
        let known = gateways.get(&(namespace.to_owned(), gateway.to_owned())).unwrap_or(&nothing);
        let (coverage, percent) = known.coverage(threshold, now);
        (vec![known.availability(hook, now), coverage], percent)
    }

    /// How long ago Okta last called a hook and was answered, as far as replicas report.
    #[must_use]
    pub fn last_call(&self, namespace: &str, gateway: &str, hook: &str) -> Option<Duration> {
        let (gateways, now) = (self.lock(), self.now());
        gateways.get(&(namespace.to_owned(), gateway.to_owned()))?.last_call(hook, now)
    }

    /// How long ago calls last came to a hook's path, with its secret and without; `None` when no replica that has the hook
    /// reported lately.
    #[must_use]
    pub fn auth_statistics(&self, namespace: &str, gateway: &str, hook: &str) -> Option<AuthStatistics> {
        let (gateways, now) = (self.lock(), self.now());
        gateways.get(&(namespace.to_owned(), gateway.to_owned()))?.auth_statistics(hook, now)
    }

    /// How long ago calls last came to a hook, as its gateway reports them.
    #[must_use]
    pub fn auth_statistics_of(&self, hook: &TelephonyHook) -> Option<AuthStatistics> {
        self.auth_statistics(&hook.namespace().unwrap_or_default(), hook.spec.target.gateway()?, &hook.name_any())
    }

    /// Forgets what was refused at a hook's path until now: Okta was given the secret anew.
    pub fn reset_rejected_calls(&self, namespace: &str, gateway: &str, hook: &str) {
        if let Some(known) = self.lock().get_mut(&(namespace.to_owned(), gateway.to_owned())) {
            known.auth_statistics.reset_rejected_calls(hook);
        }
    }

    /// How many calls of a hook its gateway answered FAILED within that time.
    #[must_use]
    pub fn failed(&self, namespace: &str, gateway: &str, hook: &str, within: Duration) -> u64 {
        let gateways = self.lock();
        let known = gateways.get(&(namespace.to_owned(), gateway.to_owned()));
        known.map_or(0, |known| known.traffic.failed(hook, within, self.now()))
    }

    /// The providers that a gateway's rules send by.
    #[must_use]
    pub fn providers(&self, namespace: &str, gateway: &str) -> BTreeSet<String> {
        let gateways = self.lock();
        let known = gateways.get(&(namespace.to_owned(), gateway.to_owned()));
        known.into_iter().flat_map(|known| &known.rules).flat_map(|rule| rule.providers.iter().cloned()).collect()
    }

    /// Forgets gateways that are gone.
    pub fn keep(&self, gateways: &BTreeSet<GatewayKey>) {
        self.lock().retain(|gateway, _| gateways.contains(gateway));
    }
}

/// What replicas of a gateway report.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replicas {
    /// How many report.
    pub reporting: u32,
    /// How many of them serve the configuration in force.
    pub current: u32,
    /// How many of them have a provider that is not down.
    pub usable: u32,
    /// Why they refused configurations or parts of them.
    pub refused: BTreeSet<String>,
    /// How many more parts one of them refused.
    pub unlisted: u64,
}

/// What shows in the status of objects.
#[derive(Debug, Default, PartialEq, Eq)]
struct Shown {
    gateway: Vec<(String, bool, Vec<String>, u64)>,
    /// How many replicas have a hook, and whether they refuse its calls.
    hooks: BTreeMap<String, (u32, bool)>,
    providers: BTreeMap<String, ReportedHealth>,
}

impl Shown {
    fn of(known: &OfGateway, now: Instant) -> Self {
        let fresh: Vec<&ReplicaReport> = known.fresh(now).collect();
        let mut hooks: BTreeMap<String, (u32, bool)> = BTreeMap::new();
        for hook in fresh.iter().flat_map(|report| report.hooks.keys()) {
            let refuses = || known.auth_statistics(hook, now).is_some_and(AuthStatistics::refuses);
            hooks.entry(hook.clone()).or_insert_with(|| (0, refuses())).0 += 1;
        }
        let names: BTreeSet<&String> = fresh.iter().flat_map(|report| report.providers.keys()).collect();
        let of = |name: &String| health(fresh.iter().filter_map(|report| report.providers.get(name)));
        Self {
            gateway: fresh
                .iter()
                .map(|report| {
                    (
                        report.config_hash.clone(),
                        has_usable_provider(report),
                        refusals(report).cloned().collect(),
                        unlisted(report),
                    )
                })
                .collect(),
            providers: names.into_iter().map(|name| (name.clone(), of(name))).collect(),
            hooks,
        }
    }

    fn changed(&self, before: &Self, (namespace, gateway): &GatewayKey) -> BTreeSet<Target> {
        let mut targets = BTreeSet::new();
        if self.gateway != before.gateway {
            targets.insert(Target::new(Kind::TelephonyGateway, namespace, gateway));
        }
        let mut differing = |kind, names: BTreeSet<&String>, differs: &dyn Fn(&String) -> bool| {
            targets
                .extend(names.into_iter().filter(|name| differs(name)).map(|name| Target::new(kind, namespace, name)));
        };
        let hooks = self.hooks.keys().chain(before.hooks.keys()).collect();
        differing(Kind::TelephonyHook, hooks, &|name| self.hooks.get(name) != before.hooks.get(name));
        let providers = self.providers.keys().chain(before.providers.keys()).collect();
        differing(Kind::TelephonyProvider, providers, &|name| self.providers.get(name) != before.providers.get(name));
        targets
    }
}

/// What a replica says that it refused: a whole configuration, and parts of the one that it serves.
fn refusals(report: &ReplicaReport) -> impl Iterator<Item = &String> {
    report.refused.iter().map(|refused| &refused.reason).chain(&report.faults)
}

/// How many parts a replica refused beside those that it names.
fn unlisted(report: &ReplicaReport) -> u64 {
    report.faults_in_all.saturating_sub(u64::try_from(report.faults.len()).unwrap_or(u64::MAX))
}

/// Whether a replica can send by some provider; one that has none to send by lacks nothing.
fn has_usable_provider(report: &ReplicaReport) -> bool {
    let open = |state| state == BreakerState::Open;
    report.providers.is_empty()
        || report.providers.values().any(|provider| provider.probe != ProbeState::Down && !open(provider.breaker))
}

fn serving(known: &OfGateway, hook: &str, now: Instant) -> Serving {
    let (mut reporting, mut replicas) = (0_u32, 0_u32);
    for report in known.fresh(now) {
        reporting += 1;
        replicas += u32::from(report.hooks.contains_key(hook));
    }
    match (reporting, replicas) {
        (0, _) => Serving::Unknown,
        (_, 0) => Serving::No,
        (_, replicas) => Serving::Yes { replicas },
    }
}

/// Whether gateways can send by a provider, as their replicas report. What is said changes when something happens, and not
/// with each refusal.
fn health<'r>(reports: impl Iterator<Item = &'r ProviderReport>) -> ReportedHealth {
    let (mut up, mut down, mut unknown) = (0_u32, 0_u32, 0_u32);
    let (mut codes, mut said) = (BTreeSet::new(), Said::default());
    for report in reports {
        said.hear(report);
        match (report.probe, report.breaker) {
            // one that waits for its trial has not worked yet
            (ProbeState::Down, _) | (_, BreakerState::Open | BreakerState::HalfOpen) => {
                down += 1;
                codes.insert(report.because.as_str());
            }
            (ProbeState::Up, _) => up += 1,
            (ProbeState::Unknown, _) => unknown += 1,
        }
    }
    let cannot = |of: u32| {
        let why = listed(codes.iter().copied());
        let why = if why.is_empty() { why } else { format!(" ({why})") };
        format!("{down} of {of} gateway replicas cannot send by it{why}.")
    };
    match (up, down) {
        (0, 0) if !said.is_something() => ReportedHealth::Unknown,
        (0, down) if down > 0 && unknown == 0 => ReportedHealth::Down(said.and(cannot(down))),
        (up, down) if down > 0 => ReportedHealth::Degraded(said.and(cannot(up + down + unknown))),
        _ if said.is_something() => ReportedHealth::Degraded(said.and(String::new())),
        _ => ReportedHealth::Up,
    }
}

/// What replicas report that a provider refuses, each once.
#[derive(Default)]
struct Said<'r> {
    parts: BTreeMap<String, BTreeSet<&'r str>>,
    countries: BTreeSet<&'r str>,
    of_countries: BTreeSet<&'r str>,
    rests: bool,
}

impl<'r> Said<'r> {
    fn hear(&mut self, report: &'r ProviderReport) {
        self.countries.extend(report.failing_countries.iter().map(String::as_str));
        self.rests |= report.paused_for_s > 0;
        for part in &report.refused {
            match part.scope {
                RefusedScope::Country if !part.country.is_empty() => _ = self.of_countries.insert(&part.code),
                _ => _ = self.parts.entry(called(part)).or_default().insert(&part.code),
            }
        }
    }

    fn is_something(&self) -> bool {
        self.rests || !self.parts.is_empty() || !self.countries.is_empty()
    }

    /// As sentences, after that one.
    fn and(&self, first: String) -> String {
        let with = |what: &str, codes: &BTreeSet<&str>| {
            let codes = listed(codes.iter().copied());
            if codes.is_empty() { what.to_owned() } else { format!("{what} ({codes})") }
        };
        let mut sentences = vec![first];
        if !self.parts.is_empty() {
            let parts: Vec<String> = self.parts.iter().take(10).map(|(part, codes)| with(part, codes)).collect();
            sentences.push(format!("The provider keeps refusing: {}.", parts.join(", ")));
        }
        if !self.countries.is_empty() {
            let list = self.countries.iter().take(10).copied().collect::<Vec<_>>().join(", ");
            sentences.push(format!("The provider refuses these countries: {}.", with(&list, &self.of_countries)));
        }
        if self.rests {
            sentences.push("The provider asked for a pause (Retry-After).".to_owned());
        }
        sentences.retain(|sentence| !sentence.is_empty());
        sentences.join(" ")
    }
}

/// What a part is called for a person.
fn called(part: &RefusedPart) -> String {
    let by = match part.channel.as_str() {
        "sms" => "SMS".to_owned(),
        "voice" => "calls".to_owned(),
        other => other.to_owned(),
    };
    match part.scope {
        RefusedScope::Account => "the account".to_owned(),
        RefusedScope::Channel => by,
        RefusedScope::Sender => format!("{by} by a sender"),
        RefusedScope::Country => format!("{by} to numbers of no country"),
        RefusedScope::Unknown => "something".to_owned(),
    }
}

/// Codes in a row, without those that nobody reported.
fn listed<'c>(codes: impl Iterator<Item = &'c str>) -> String {
    codes.filter(|code| !code.is_empty()).take(3).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
impl Reports {
    /// Lets a gateway of one replica serve these hooks and no others.
    pub fn serve(&self, namespace: &str, gateway: &str, hooks: &[&str]) {
        let mut report = ReplicaReport::default();
        report.hooks.extend(
            hooks.iter().map(|hook| ((*hook).to_owned(), hookswitch_gateway_config::report::HookReport::default())),
        );
        self.take(&(namespace.to_owned(), gateway.to_owned()), [("pod-0".to_owned(), Some(report))].into());
    }

    /// Lets a gateway with one replica report that Okta called a hook so many seconds ago.
    pub fn set_called(&self, namespace: &str, gateway: &str, hook: &str, age: u64) {
        let mut report = ReplicaReport::default();
        let called = hookswitch_gateway_config::report::HookReport { last_call_age_s: Some(age), ..Default::default() };
        report.hooks.insert(hook.to_owned(), called);
        let round = [("pod-0".to_owned(), Some(report))].into();
        self.take(&(namespace.to_owned(), gateway.to_owned()), round);
    }

    /// Lets a gateway with one replica report how many calls of a hook it answered FAILED since it started.
    pub fn set_failed(&self, namespace: &str, gateway: &str, hook: &str, failed: u64) {
        let mut report = ReplicaReport::default();
        let answers = [("FAILED".to_owned(), failed)].into();
        report
            .hooks
            .insert(hook.to_owned(), hookswitch_gateway_config::report::HookReport { answers, ..Default::default() });
        self.take(&(namespace.to_owned(), gateway.to_owned()), [("pod-0".to_owned(), Some(report))].into());
    }

    /// Lets a gateway with one replica report how many calls of a hook it refused and answered since it started.
    pub fn set_counted(&self, namespace: &str, gateway: &str, hook: &str, unauthorised: u64, answered: u64) {
        let mut report = ReplicaReport::default();
        let answers = [("SUCCESSFUL".to_owned(), answered)].into();
        let hook_report =
            hookswitch_gateway_config::report::HookReport { answers, unauthorised, last_call_age_s: None };
        report.hooks.insert(hook.to_owned(), hook_report);
        self.take(&(namespace.to_owned(), gateway.to_owned()), [("pod-0".to_owned(), Some(report))].into());
    }

    /// Lets every replica of a gateway take a hook's secret.
    pub fn set_accepted(&self, namespace: &str, gateway: &str, hook: &str, secret: Fingerprint) {
        let hash = ReplicaReport::default().config_hash;
        _ = self.expect(namespace, gateway, &hash, [(hook.to_owned(), vec![secret])].into(), Vec::new());
    }

    /// Lets a gateway serve a hook, or not.
    pub fn set_serving(&self, namespace: &str, gateway: &str, hook: &str, serving: Serving) {
        let mut report = ReplicaReport::default();
        if matches!(serving, Serving::Yes { .. }) {
            report.hooks.insert(hook.to_owned(), hookswitch_gateway_config::report::HookReport::default());
        }
        let replicas = match serving {
            Serving::Yes { replicas } => replicas,
            Serving::No => 1,
            Serving::Unknown => 0,
        };
        let round = (0..replicas).map(|number| (format!("pod-{number}"), Some(report.clone()))).collect();
        self.take(&(namespace.to_owned(), gateway.to_owned()), round);
    }
}

#[cfg(test)]
mod tests;
