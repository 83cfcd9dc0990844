//! The operator's metrics.

mod switch;

use std::sync::atomic::AtomicU64;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use crate::operator::runtime::metrics::RuntimeMetrics;

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
#[derive(Debug, Clone, Default)]
pub struct OperatorMetrics {
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

impl OperatorMetrics {
    /// Registers the product's own families; the registry adds the prefix.
    pub fn register_own(&self, registry: &mut Registry) {
        self.runtime.register_own(registry);
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
