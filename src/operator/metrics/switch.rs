//! Figures of switches.

use std::{collections::BTreeMap, time::Duration};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use crate::failover::{
    machine::{Machine, Phase},
    signal::{Sight, Signal, Source},
};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InPhase {
    switch: String,
    phase: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfHook {
    switch: String,
    hook: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfSignal {
    switch: String,
    hook: String,
    source: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    switch: String,
    cause: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfCause {
    cause: &'static str,
}

/// Borders of the times of switches, in seconds.
const TIMES: [f64; 10] = [0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 60.0, 300.0];

/// Figures of switches. Clones share them.
#[derive(Debug, Clone)]
pub struct SwitchMetrics {
    phase: Family<InPhase, Gauge>,
    target: Family<OfHook, Gauge>,
    signal: Family<OfSignal, Gauge>,
    switches: Family<Ended, Counter>,
    took: Family<OfCause, Histogram, fn() -> Histogram>,
}

impl Default for SwitchMetrics {
    fn default() -> Self {
        Self {
            phase: Family::default(),
            target: Family::default(),
            signal: Family::default(),
            switches: Family::default(),
            took: Family::new_with_constructor(|| Histogram::new(TIMES)),
        }
    }
}

impl SwitchMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("switch_phase", "1 for the phase that a switch is in", self.phase.clone());
        registry.register("switch_target", "1 for the hook that a switch wants active", self.target.clone());
        registry.register(
            "switch_signal",
            "What a signal says of a hook: 1 pass, 0 fail, -1 unknown",
            self.signal.clone(),
        );
        registry.register("switch_switches", "Switches that ended", self.switches.clone());
        registry.register("switch_seconds", "From a decision to Okta's confirmation", self.took.clone());
    }

    /// Shows where a switch is.
    pub fn show(&self, switch: &str, machine: &Machine, signals: &BTreeMap<String, Vec<Signal>>) {
        for phase in Phase::ALL {
            let series = InPhase { switch: switch.to_owned(), phase };
            self.phase.get_or_create(&series).set(i64::from(machine.phase().as_str() == phase));
        }
        for (hook, signals) in signals {
            let series = OfHook { switch: switch.to_owned(), hook: hook.clone() };
            self.target.get_or_create(&series).set(i64::from(machine.target() == Some(hook)));
            for signal in signals {
                let source = signal.source.as_str();
                let series = OfSignal { switch: switch.to_owned(), hook: hook.clone(), source };
                let value = match signal.sight {
                    Sight::Pass => 1,
                    Sight::Fail => 0,
                    Sight::Unknown => -1,
                };
                self.signal.get_or_create(&series).set(value);
            }
        }
    }

    /// A switch from one hook to another ended.
    pub fn ended(&self, switch: &str, cause: &'static str, outcome: &'static str, took: Duration) {
        self.switches.get_or_create(&Ended { switch: switch.to_owned(), cause, outcome }).inc();
        self.took.get_or_create(&OfCause { cause }).observe(took.as_secs_f64());
    }

    /// Forgets the present of a switch that is gone, with the hooks it named; what it did stays counted.
    pub fn forget(&self, switch: &str, hooks: &[String]) {
        for phase in Phase::ALL {
            self.phase.remove(&InPhase { switch: switch.to_owned(), phase });
        }
        for hook in hooks {
            self.target.remove(&OfHook { switch: switch.to_owned(), hook: hook.clone() });
            for source in Source::ALL {
                let source = source.as_str();
                self.signal.remove(&OfSignal { switch: switch.to_owned(), hook: hook.clone(), source });
            }
        }
    }
}
