//! What operator and gateway expose, whole: names, help, types, labels and borders of histograms. Dashboards and alerts of
//! others are built on it, so a change here is a change for users.

use std::{collections::BTreeMap, time::Duration};

use hookswitch::operator::{runtime::metrics::ReconcileResult, state::metrics::OperatorMetrics};
use hookswitch_failover::{
    machine::{Cause, Machine, Moment},
    signal::{CheckResult, Signal, Source},
};
use hookswitch_gateway::{
    metrics::{Asked, GatewayMetrics},
    protocol::Status,
};
use hookswitch_message::Channel;
use hookswitch_providers::Outcome;
use hookswitch_telemetry::metrics::Metrics;

const TOOK: Duration = Duration::from_secs(1);

/// The exposition without what differs from one run or release to the next: the series of a family are in no order.
fn exposition(metrics: &Metrics) -> String {
    let mut families: Vec<(Vec<String>, Vec<String>)> = Vec::new();
    let text = metrics.render().replace(env!("CARGO_PKG_VERSION"), "VERSION");
    for line in text.lines() {
        if line.starts_with('#') {
            match families.last_mut() {
                Some((head, series)) if series.is_empty() => head.push(line.to_owned()),
                _ => families.push((vec![line.to_owned()], Vec::new())),
            }
        } else if let Some((_, series)) = families.last_mut() {
            let process = line.split_once(' ').filter(|(name, _)| name.starts_with("process_"));
            series.push(process.map_or_else(|| line.to_owned(), |(name, _)| format!("{name} VALUE")));
        }
    }
    for (head, series) in &mut families {
        series.sort();
        head.append(series);
    }
    families.into_iter().flat_map(|(lines, _)| lines).map(|line| line + "\n").collect()
}

#[test]
fn the_gateway_exposes_these_families() {
    let metrics = Metrics::new("gateway");
    let counters = GatewayMetrics::new(&metrics);
    counters.answered("main", Asked::Call(Channel::Sms), Status::Successful, TOOK);
    counters.answered("main", Asked::Preview, Status::Successful, TOOK);
    counters.unauthorised("main");
    counters.unreadable("shape");
    counters.attempted("twilio", Channel::Sms, &Outcome::Ambiguous { cause: "timeout" }, TOOK);
    counters.passed_over("twilio", "busy");
    counters.failed_over();
    counters.sent_after_ambiguous();
    counters.sent_after_ambiguous();
    for _ in 0..3 {
        counters.repeated();
    }
    for _ in 0..4 {
        counters.contradicted();
    }
    for _ in 0..5 {
        counters.without_id();
    }
    for _ in 0..6 {
        counters.late();
    }
    counters.other_source("main");
    counters.ruled("default", "everyone", true);
    counters.ruled("default", "others", false);
    counters.closed("limit");
    counters.configured(7);
    for _ in 0..8 {
        counters.config_refused();
    }
    insta::assert_snapshot!(exposition(&metrics));
}

#[test]
fn the_operator_exposes_these_families() {
    let operator = OperatorMetrics::default();
    operator.runtime.ended("oktaorg", ReconcileResult::Success, TOOK);
    operator.runtime.ended("oktaorg", ReconcileResult::Error, TOOK);
    let _working = operator.runtime.begin("oktaorg");
    operator.runtime.unreadable("oktaorg");
    operator.runtime.watch_error("oktaorg");
    operator.runtime.listed("otp", "OktaOrg", false);
    operator.runtime.leads(true);
    operator.okta_call("list", "ok");
    operator.drift("acme.okta.com", "uri");
    operator.fallbacks("acme.okta.com", 2);
    operator.secret_reapplied("acme.okta.com");
    operator.okta_remaining("acme.okta.com", 99);
    let signal = |source| Signal { source, result: CheckResult::Fail, why: String::new(), failing_for: Duration::ZERO };
    let signals = BTreeMap::from([("a".to_owned(), Source::ALL.map(signal).to_vec())]);
    operator.switches.show("otp/acme", &Machine::new(Moment::at(0)), &signals, true, false);
    operator.switches.ended("otp/acme", Cause::Failed.as_str(), "Switched", TOOK);
    operator.switches.step("Activate", "ok", TOOK);
    insta::assert_snapshot!(exposition(&operator.registry));
}
