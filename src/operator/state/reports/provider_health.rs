//! Whether a provider can be used, as all replicas report together.

use std::collections::{BTreeMap, BTreeSet};

use hookswitch_gateway_config::report::{BreakerState, ProbeState, ProviderReport, RefusedPart, RefusedScope};

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

/// Whether gateways can send by a provider, as their replicas report. What is said changes when something happens, and not
/// with each refusal.
pub(super) fn health<'r>(reports: impl Iterator<Item = &'r ProviderReport>) -> ReportedHealth {
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
