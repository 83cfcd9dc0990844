//! The operator's metrics.

mod switch;

use std::sync::atomic::AtomicU64;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
};

use crate::operator::runtime::metrics::RuntimeMetrics;
use hookswitch_telemetry::{families::Families as _, metrics::Metrics};

pub use self::switch::SwitchMetrics;

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

/// The operator's metrics. Clones share them.
#[derive(Debug, Clone)]
pub struct OperatorMetrics {
    /// Where all of them are registered.
    pub registry: Metrics,
    /// Those of the controllers of all kinds.
    pub runtime: RuntimeMetrics,
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
        let registry = Metrics::new("operator");
        registry.clone().register_with_shared(|own, shared| Self {
            registry,
            runtime: RuntimeMetrics::new(own, shared),
            okta_calls: own.add("okta_api_calls", "Calls to Okta's management API"),
            okta_drift: own.add("okta_drift", "Fields of hooks that somebody else changed in Okta"),
            okta_remaining: own
                .add("okta_rate_limit_remaining", "What Okta's last answer said is left of the rate limit"),
            fallbacks: own
                .add("okta_fallbacks", "Passcodes that Okta sent itself instead of by a hook, by its System Log"),
            secrets_reapplied: own.add(
                "okta_secrets_reapplied",
                "Secrets of hooks that were written to Okta anew because its calls were refused",
            ),
            switches: SwitchMetrics::new(own),
        })
    }
}

impl OperatorMetrics {
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
