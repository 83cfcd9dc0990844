//! Metrics of switches.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use hookswitch_failover::{
    machine::{Machine, Phase},
    signal::{CheckResult, Signal, Source},
};
use hookswitch_telemetry::families::{Families as _, Histograms};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InPhase {
    switch: String,
    phase: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfSwitch {
    switch: String,
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

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfStep {
    step: &'static str,
    outcome: &'static str,
}

/// Borders of the times of steps, in seconds: a call has two.
const STEP_TIMES: [f64; 9] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0];

/// Borders of the times of switches, in seconds.
const TIMES: [f64; 10] = [0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 60.0, 300.0];

/// Metrics of switches. Clones share them.
#[derive(Debug, Clone)]
pub struct SwitchMetrics {
    phase: Family<InPhase, Gauge>,
    target: Family<OfHook, Gauge>,
    signal: Family<OfSignal, Gauge>,
    able: Family<OfSwitch, Gauge>,
    ready: Family<OfSwitch, Gauge>,
    confirmed: Family<OfSwitch, Gauge>,
    switches: Family<Ended, Counter>,
    took: Histograms<OfCause>,
    steps: Histograms<OfStep>,
    /// The hooks that each switch names in metrics.
    named: Arc<Mutex<BTreeMap<String, BTreeSet<String>>>>,
}

impl SwitchMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        Self {
            phase: registry.add("switch_phase", "1 for the phase that a switch is in"),
            target: registry.add("switch_target", "1 for the hook that a switch wants active"),
            signal: registry.add("switch_signal", "What a signal says of a hook: 1 pass, 0 fail, -1 unknown"),
            able: registry.add(
                "switch_able",
                "1 while a switch can decide, 0 while its hooks are missing or contradict it, or cannot be listed",
            ),
            ready: registry
                .add("switch_failover_ready", "1 while another hook of a switch is proven and could take over"),
            confirmed: registry.add(
                "switch_traffic_confirmed",
                "1 once a call of Okta has come to the active hook of a switch since it became active",
            ),
            switches: registry.add("switch_switches", "Switches that ended"),
            took: registry
                .add_histograms("switch_seconds", "From a decision to Okta's confirmation", || Histogram::new(TIMES)),
            steps: registry
                .add_histograms("switch_step_seconds", "Steps of switches that ended", || Histogram::new(STEP_TIMES)),
            named: Arc::default(),
        }
    }

    /// Shows where a switch is, whether another hook could take over, and whether calls arrive at the active one.
    pub fn show(
        &self,
        switch: &str,
        machine: &Machine,
        signals: &BTreeMap<String, Vec<Signal>>,
        ready: bool,
        confirmed: bool,
    ) {
        self.keep(switch, signals.keys().cloned().collect());
        let series = OfSwitch { switch: switch.to_owned() };
        self.able.get_or_create(&series).set(1);
        self.ready.get_or_create(&series).set(i64::from(ready));
        self.confirmed.get_or_create(&series).set(i64::from(confirmed));
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
                let value = match signal.result {
                    CheckResult::Pass => 1,
                    CheckResult::Fail => 0,
                    CheckResult::Unknown => -1,
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

    /// A step of a switch that ended went well (`ok`) or not.
    pub fn step(&self, step: &'static str, outcome: &'static str, took: Duration) {
        self.steps.get_or_create(&OfStep { step, outcome }).observe(took.as_secs_f64());
    }

    /// Shows that a switch cannot decide: nothing else is known of it.
    pub fn unable(&self, switch: &str) {
        self.forget(switch);
        self.able.get_or_create(&OfSwitch { switch: switch.to_owned() }).set(0);
    }

    /// Forgets the present of a switch that is gone; what it did stays counted.
    pub fn forget(&self, switch: &str) {
        for phase in Phase::ALL {
            self.phase.remove(&InPhase { switch: switch.to_owned(), phase });
        }
        let series = OfSwitch { switch: switch.to_owned() };
        self.able.remove(&series);
        self.ready.remove(&series);
        self.confirmed.remove(&series);
        self.keep(switch, BTreeSet::new());
    }

    /// Forgets hooks that a switch names no more.
    fn keep(&self, switch: &str, hooks: BTreeSet<String>) {
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        for hook in named.get(switch).into_iter().flatten().filter(|hook| !hooks.contains(*hook)) {
            self.target.remove(&OfHook { switch: switch.to_owned(), hook: hook.clone() });
            for source in Source::ALL {
                let source = source.as_str();
                self.signal.remove(&OfSignal { switch: switch.to_owned(), hook: hook.clone(), source });
            }
        }
        if hooks.is_empty() {
            named.remove(switch);
        } else {
            named.insert(switch.to_owned(), hooks);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hookswitch_failover::machine::Moment;

    #[test]
    fn what_a_switch_names_no_more_or_cannot_see_is_not_shown() {
        let mut registry = Registry::default();
        let metrics = SwitchMetrics::new(&mut registry);
        let machine = Machine::new(Moment::at(0));
        let signals = |hooks: &[&str]| {
            let signal = Signal {
                source: Source::Gateway,
                result: CheckResult::Pass,
                why: String::new(),
                failing_for: Duration::ZERO,
            };
            hooks.iter().map(|hook| ((*hook).to_owned(), vec![signal.clone()])).collect()
        };
        let shown = || {
            let mut text = String::new();
            prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
            text
        };
        metrics.show("otp/acme", &machine, &signals(&["a", "b"]), true, false);
        assert!(shown().contains(r#"hook="b""#) && shown().contains(r#"switch_failover_ready{switch="otp/acme"} 1"#));
        metrics.show("otp/acme", &machine, &signals(&["a"]), false, true);
        assert!(shown().contains(r#"hook="a""#) && !shown().contains(r#"hook="b""#));
        metrics.unable("otp/acme");
        let series: Vec<String> = shown().lines().filter(|line| line.contains("otp/acme")).map(str::to_owned).collect();
        assert_eq!(series, [r#"switch_able{switch="otp/acme"} 0"#]);
        metrics.forget("otp/acme");
        assert!(!shown().contains("otp/acme"));
        metrics.step("Activate", "OktaRefused", Duration::from_millis(80));
        let refused = r#"switch_step_seconds_bucket{le="0.1",step="Activate",outcome="OktaRefused"} 1"#;
        assert!(shown().contains(refused), "{}", shown());
    }
}
