//! The latest reasons that a provider gave for not taking messages, in its own words, for whoever has to find out why.
//!
//! Pure; the clock is an argument. What stands here was made fit to be shown before ([`super::private`]).

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::metrics::outcome_label;
use hookswitch_gateway_config::report::{CodeReport, MAX_CODES};
use hookswitch_providers::Outcome;

/// How long a code is remembered that does not come again.
pub const MEMORY: Duration = Duration::from_hours(1);

/// The latest codes of one provider, each with how often it came.
#[derive(Debug, Clone, Default)]
pub struct Codes {
    counts: BTreeMap<(String, &'static str), CodeCount>,
}

#[derive(Debug, Clone, Copy)]
struct CodeCount {
    count: u64,
    last: Instant,
}

/// The word for what an attempt failed by: the provider's code, or why the outcome is unknown.
#[must_use]
pub fn word(outcome: &Outcome) -> Option<&str> {
    match outcome {
        Outcome::Accepted { .. } => None,
        Outcome::Refused(refusal) => Some(&refusal.code),
        Outcome::Ambiguous { cause } => Some(cause),
    }
}

impl Codes {
    /// Takes in what became of an attempt.
    pub fn record(&mut self, outcome: &Outcome, now: Instant) {
        let Some(code) = word(outcome) else { return };
        let key = (code.to_owned(), outcome_label(outcome));
        self.counts.retain(|_, counts| now.saturating_duration_since(counts.last) < MEMORY);
        if self.counts.len() >= MAX_CODES && !self.counts.contains_key(&key) {
            let oldest = self.counts.iter().min_by_key(|(_, counts)| counts.last).map(|(key, _)| key.clone());
            if let Some(oldest) = oldest {
                self.counts.remove(&oldest);
            }
        }
        let counts = self.counts.entry(key).or_insert(CodeCount { count: 0, last: now });
        counts.count = counts.count.saturating_add(1);
        counts.last = now;
    }

    /// For the report.
    #[must_use]
    pub fn report(&self, now: Instant) -> Vec<CodeReport> {
        let fresh = self.counts.iter().filter(|(_, counts)| now.saturating_duration_since(counts.last) < MEMORY);
        fresh
            .map(|((code, outcome), counts)| CodeReport {
                code: code.clone(),
                outcome: (*outcome).to_owned(),
                count: counts.count,
                age_s: now.saturating_duration_since(counts.last).as_secs(),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hookswitch_providers::{Class, Refusal};

    #[test]
    fn the_latest_codes_are_kept_with_their_number_and_no_more_than_fit() {
        let (mut codes, began) = (Codes::default(), Instant::now());
        let refused = |code: &str| {
            Outcome::Refused(Refusal { class: Class::Transient, code: code.to_owned(), retry_after_s: None })
        };
        codes.record(&Outcome::Accepted { id: "SM1".into() }, began);
        codes.record(&Outcome::Ambiguous { cause: "timeout" }, began);
        for n in 0..MAX_CODES {
            let at = began + Duration::from_secs(u64::try_from(n).unwrap() + 1);
            codes.record(&refused(&format!("3000{n}")), at);
            codes.record(&refused("30001"), at);
        }
        let now = began + Duration::from_secs(100);
        let reported = codes.report(now);
        assert_eq!(reported.len(), MAX_CODES);
        assert!(!reported.iter().any(|code| code.code == "timeout"), "the oldest made room");
        let repeated = reported.iter().find(|code| code.code == "30001").unwrap();
        assert_eq!((repeated.count, repeated.age_s, repeated.outcome.as_str()), (9, 92, "transient"));
        let last = began + Duration::from_secs(u64::try_from(MAX_CODES).unwrap());
        let (almost, over) = (last + MEMORY.saturating_sub(Duration::from_secs(1)), last + MEMORY);
        assert_eq!((codes.report(almost).len(), codes.report(over)), (2, vec![]), "an hour after it came last");
        codes.record(&refused("new"), over);
        assert_eq!(codes.counts.len(), 1);
    }
}
