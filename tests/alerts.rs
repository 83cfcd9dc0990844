//! The series that the tests of the alerts are made of are those that operator and gateway really expose: names, labels, and the
//! values of labels that are words of ours. promtool then judges the alerts by them (`tests/chart/check.sh`).

#![allow(clippy::panic)]

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use hookswitch::operator::state::metrics::OperatorMetrics;
use hookswitch_failover::{
    machine::{Cause, Machine, Moment, Phase},
    signal::{CheckResult, Signal, Source},
};
use hookswitch_gateway::{
    metrics::{Asked, GatewayMetrics},
    protocol::Status,
};
use hookswitch_message::Channel;
use hookswitch_providers::{Class, Outcome, Refusal};
use hookswitch_telemetry::metrics::Metrics;

/// The labels that a scrape adds.
const SCRAPED: [&str; 2] = ["namespace", "pod"];

/// The labels whose values are words of ours.
const WORDS: [&str; 5] = ["phase", "source", "status", "channel", "kind"];

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Series {
    name: String,
    labels: BTreeMap<String, String>,
}

impl Series {
    /// Reads `name{label="value", …}`, or a name alone.
    fn read(text: &str) -> Self {
        let (name, labels) = text.split_once('{').unwrap_or((text, "}"));
        let labels = labels.trim_end().strip_suffix('}').unwrap_or_else(|| panic!("no end of labels in {text}"));
        let label = |label: &str| {
            let (name, value) = label.split_once('=').unwrap_or_else(|| panic!("no value of {label} in {text}"));
            (name.trim().to_owned(), value.trim_matches('"').to_owned())
        };
        let labels = labels.split(',').filter(|label| !label.trim().is_empty()).map(label);
        Self { name: name.trim().to_owned(), labels: labels.collect() }
    }

    fn own_labels(&self) -> BTreeSet<&str> {
        self.labels.keys().map(String::as_str).filter(|label| !SCRAPED.contains(label)).collect()
    }
}

/// What both processes expose once everything that can happen has happened.
fn exposed() -> BTreeSet<Series> {
    let second = Duration::from_secs(1);
    let metrics = OperatorMetrics::default();
    metrics.runtime.leads(true);
    for (watched, kind) in
        [("otp", "OktaOrg"), ("otp", "TelephonyHook"), ("other", "HookSwitch"), ("*", "EndpointSlice")]
    {
        metrics.runtime.listed(watched, kind, false);
    }
    metrics.okta_call("list", "ok");
    metrics.fallbacks("acme.okta.com", 1);
    let signal = |source| Signal { source, result: CheckResult::Pass, why: String::new(), failing_for: Duration::ZERO };
    let signals = BTreeMap::from([("a".to_owned(), Source::ALL.map(signal).to_vec())]);
    metrics.switches.show("otp/acme", &Machine::new(Moment::at(0)), &signals, true, true);
    metrics.switches.ended("otp/acme", Cause::Failed.as_str(), "Switched", second);

    let gateway = Metrics::new("gateway");
    let counters = GatewayMetrics::new(&gateway);
    for (channel, status) in [
        (Channel::Sms, Status::Successful),
        (Channel::Sms, Status::Pending),
        (Channel::Sms, Status::Failed),
        (Channel::Voice, Status::Failed),
    ] {
        counters.answered("a", Asked::Call(channel), status, second);
    }
    counters.unauthorised("a");
    let refused = Refusal { class: Class::Transient, code: "x".into(), retry_after_s: None };
    counters.attempted("twilio", Channel::Sms, &Outcome::Refused(refused), second);
    counters.ruled("default", "everyone", false);
    counters.config_refused();

    let text = metrics.registry.render() + &gateway.render();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.rsplit_once(' ')).map(|(series, _)| Series::read(series)).collect()
}

/// The series of the alerts' tests.
fn promised() -> BTreeSet<Series> {
    let text = include_str!("chart/alerts_test.yaml");
    let series = text.lines().filter_map(|line| line.split_once("series: '")?.1.split_once('\''));
    series.map(|(series, _)| Series::read(series)).collect()
}

#[test]
fn alerts_are_tested_with_series_that_are_really_exposed() {
    let (exposed, promised) = (exposed(), promised());
    assert!(promised.len() > 30, "{promised:?}");
    for series in &promised {
        let known: Vec<&Series> = exposed.iter().filter(|known| known.name == series.name).collect();
        assert!(!known.is_empty(), "nothing exposes {}", series.name);
        let same = known.iter().any(|known| known.own_labels() == series.own_labels());
        assert!(same, "{series:?} has other labels than {known:?}");
        for (label, value) in series.labels.iter().filter(|(label, _)| WORDS.contains(&label.as_str())) {
            let has = known.iter().any(|known| known.labels.get(label) == Some(value));
            assert!(has, "{} never has {label}={value}", series.name);
        }
    }
    let phases: Vec<&str> =
        exposed.iter().filter_map(|series| series.labels.get("phase").map(String::as_str)).collect();
    assert_eq!(phases.len(), Phase::ALL.len(), "{phases:?}");
}
