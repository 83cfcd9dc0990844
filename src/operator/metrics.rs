//! The operator's figures. Names of passes and of leadership are those of controller-runtime, so that stock dashboards
//! work.

mod switch;

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

pub use switch::SwitchMetrics;

/// Labels of passes that ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    controller: &'static str,
    result: &'static str,
}

/// Labels of what a controller counts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Controller {
    controller: &'static str,
}

/// Labels of calls to Okta.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OktaCall {
    verb: &'static str,
    outcome: &'static str,
}

/// Labels of an org.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Org {
    org: String,
}

/// Labels of drift.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Drift {
    org: String,
    field: &'static str,
}

/// Labels of a kind in a namespace that is watched; `*` for all. Not `namespace`: a scrape has a label of that name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Watched {
    watched: String,
    kind: &'static str,
}

/// Labels of leadership.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Leader {
    name: &'static str,
}

/// Borders of the times of passes, in seconds.
const TIMES: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

type Times = Family<Controller, Histogram, fn() -> Histogram>;

/// The operator's figures. Clones share them.
#[derive(Debug, Clone)]
pub struct OperatorMetrics {
    ended: Family<Ended, Counter>,
    errors: Family<Controller, Counter>,
    times: Times,
    active: Family<Controller, Gauge>,
    unreadable: Family<Controller, Counter>,
    watch_errors: Family<Controller, Counter>,
    unlisted: Family<Watched, Gauge>,
    leader: Family<Leader, Gauge>,
    okta_calls: Family<OktaCall, Counter>,
    okta_drift: Family<Drift, Counter>,
    okta_remaining: Family<Org, Gauge<f64, AtomicU64>>,
    fallbacks: Family<Org, Counter>,
    secrets_reapplied: Family<Org, Counter>,
    /// Those of switches.
    pub switches: SwitchMetrics,
}

impl Default for OperatorMetrics {
    fn default() -> Self {
        Self {
            ended: Family::default(),
            errors: Family::default(),
            times: Family::new_with_constructor(|| Histogram::new(TIMES)),
            active: Family::default(),
            unreadable: Family::default(),
            watch_errors: Family::default(),
            unlisted: Family::default(),
            leader: Family::default(),
            okta_calls: Family::default(),
            okta_drift: Family::default(),
            okta_remaining: Family::default(),
            fallbacks: Family::default(),
            secrets_reapplied: Family::default(),
            switches: SwitchMetrics::default(),
        }
    }
}

impl OperatorMetrics {
    /// Registers the families with controller-runtime's names.
    pub fn register_shared(&self, registry: &mut Registry) {
        registry.register("controller_runtime_reconcile", "Passes that ended, by result", self.ended.clone());
        registry.register("controller_runtime_reconcile_errors", "Passes that failed", self.errors.clone());
        registry.register("controller_runtime_reconcile_time_seconds", "Time of a pass", self.times.clone());
        registry.register("controller_runtime_active_workers", "Passes under way", self.active.clone());
        registry.register("leader_election_master_status", "1 while this pod leads", self.leader.clone());
    }

    /// Registers the product's own families; the registry adds the prefix.
    pub fn register_own(&self, registry: &mut Registry) {
        registry.register("unreadable_objects", "Watched objects that could not be read", self.unreadable.clone());
        registry.register("watch_errors", "Watches that were interrupted", self.watch_errors.clone());
        registry.register(
            "unlisted",
            "1 while objects of a kind in a watched namespace cannot be listed, or were not yet",
            self.unlisted.clone(),
        );
        registry.register("okta_api_calls", "Calls to Okta's management API", self.okta_calls.clone());
        registry.register("okta_drift", "Fields of hooks that somebody else changed in Okta", self.okta_drift.clone());
        registry.register(
            "okta_rate_limit_remaining",
            "What Okta's last answer said is left of the rate limit",
            self.okta_remaining.clone(),
        );
        registry.register(
            "okta_fallbacks",
            "Passcodes that Okta sent itself instead of by a hook, by its System Log",
            self.fallbacks.clone(),
        );
        registry.register(
            "okta_secrets_reapplied",
            "Secrets of hooks that were written to Okta anew because its calls were refused",
            self.secrets_reapplied.clone(),
        );
        self.switches.register(registry);
    }

    /// A pass begins; the guard's drop ends it.
    #[must_use]
    pub fn begin(&self, controller: &'static str) -> Working {
        let gauge = self.active.get_or_create(&Controller { controller }).clone();
        gauge.inc();
        Working { gauge: Arc::new(gauge) }
    }

    /// A pass ended with `result`: `success`, `requeue_after`, `requeue` or `error`.
    pub fn ended(&self, controller: &'static str, result: &'static str, took: Duration) {
        self.ended.get_or_create(&Ended { controller, result }).inc();
        if result == "error" {
            self.errors.get_or_create(&Controller { controller }).inc();
        }
        self.times.get_or_create(&Controller { controller }).observe(took.as_secs_f64());
    }

    /// A watched object could not be read.
    pub fn unreadable(&self, controller: &'static str) {
        self.unreadable.get_or_create(&Controller { controller }).inc();
    }

    /// A watch was interrupted.
    pub fn watch_error(&self, controller: &'static str) {
        self.watch_errors.get_or_create(&Controller { controller }).inc();
    }

    /// Whether objects of a kind are listed in a namespace that is watched.
    pub fn listed(&self, watched: &str, kind: &'static str, listed: bool) {
        let labels = Watched { watched: watched.to_owned(), kind };
        self.unlisted.get_or_create(&labels).set(i64::from(!listed));
    }

    /// Whether this pod leads.
    pub fn leads(&self, leads: bool) {
        self.leader.get_or_create(&Leader { name: super::lease::NAME }).set(i64::from(leads));
    }

    /// A call to Okta ended.
    pub fn okta_call(&self, verb: &'static str, outcome: &'static str) {
        self.okta_calls.get_or_create(&OktaCall { verb, outcome }).inc();
    }

    /// Somebody changed `field` of a hook in `org` (a host name).
    pub fn drift(&self, org: &str, field: &'static str) {
        self.okta_drift.get_or_create(&Drift { org: org.to_owned(), field }).inc();
    }

    /// Okta of `org` (a host name) sent so many passcodes itself.
    pub fn fallbacks(&self, org: &str, more: u64) {
        self.fallbacks.get_or_create(&Org { org: org.to_owned() }).inc_by(more);
    }

    /// A secret was written anew to `org` (a host name), because calls of Okta were refused for it.
    pub fn secret_reapplied(&self, org: &str) {
        self.secrets_reapplied.get_or_create(&Org { org: org.to_owned() }).inc();
    }

    /// What Okta's last answer said is left of the rate limit of `org` (a host name).
    pub fn okta_remaining(&self, org: &str, remaining: u32) {
        self.okta_remaining.get_or_create(&Org { org: org.to_owned() }).set(f64::from(remaining));
    }
}

/// A pass under way.
#[derive(Debug)]
pub struct Working {
    gauge: Arc<Gauge>,
}

impl Drop for Working {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}
