//! What gateways report, as the reconciles ask for it: which hooks are served, which providers can be used.
//!
//! A report that is missing or old says nothing, and nothing is not "down". Reconciles are woken only when an answer changes
//! that shows in status, not by every report.

#[cfg(test)]
mod fixtures;
mod provider_health;
mod rejected_calls;
mod signals;
mod traffic;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use kube::ResourceExt as _;

pub use provider_health::ReportedHealth;

use self::{provider_health::health, rejected_calls::AuthStatisticsByHook, traffic::Traffic};
use crate::operator::runtime::triggers::Target;
use hookswitch_api::{Kind, TelephonyHook};
use hookswitch_failover::{refusals::AuthStatistics, signal::Signal};
use hookswitch_gateway_config::report::{BreakerState, ProbeState, ReplicaReport};
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

#[cfg(test)]
mod tests;
