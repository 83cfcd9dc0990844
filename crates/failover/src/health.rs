//! One judgement of a hook from its signals.

use std::time::Duration;

use super::signal::{CheckResult, Signal, Source};

/// What is judged of a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    /// Whether it can deliver.
    pub result: CheckResult,
    /// How much of what counts it can deliver, in percent, when known.
    pub percent: Option<u8>,
    /// How long it has failed already, as far as a signal that suffices knows.
    pub failing_for: Duration,
}

impl Health {
    /// The judgement. It fails when its gateway has no ready replica, when too little has a usable provider, or when
    /// two corroborating signals say so and `Execute` does not contradict them. It passes when gateway and providers do and no
    /// corroborating signal speaks against it; a corroborating signal that knows nothing is not asked. Otherwise the result is unknown. `percent` is what
    /// the providers cover; a hook that nobody serves, or that calls do not reach, delivers none of it.
    ///
    /// `Refusals` takes no pass back alone: anybody can make it fail, and a hook that is kept from passing can neither be
    /// cleared of a suspicion nor proven.
    ///
    /// A hook that somebody else serves has no gateway that speaks for it: it passes by what this operator finds at its
    /// address.
    #[must_use]
    pub fn of(signals: &[Signal], percent: Option<u8>) -> Self {
        let reports = signals.iter().any(|signal| signal.source.suffices());
        let is_ground = |source: Source| if reports { source.suffices() } else { source.is_operators() };
        let mut ground = signals.iter().filter(|signal| is_ground(signal.source)).peekable();
        let failed = signals.iter().any(|signal| signal.source.suffices() && signal.result == CheckResult::Fail);
        let corroborating =
            || signals.iter().filter(|signal| !signal.source.suffices() && signal.result == CheckResult::Fail);
        let against = corroborating().count();
        let only_refused = corroborating().all(|signal| signal.source == Source::Refusals);
        // Okta itself reached the gateway: what the others say has another reason
        let reached =
            signals.iter().any(|signal| signal.source == Source::Execute && signal.result == CheckResult::Pass);
        let unreached = against >= CORROBORATING && !reached;
        let well = ground.peek().is_some() && ground.all(|signal| signal.result == CheckResult::Pass);
        let result = if failed || unreached {
            CheckResult::Fail
        } else if well && only_refused {
            CheckResult::Pass
        } else {
            CheckResult::Unknown
        };
        let failing = signals.iter().filter(|signal| signal.source.suffices() && signal.result == CheckResult::Fail);
        let failing_for = failing.map(|signal| signal.failing_for).max().unwrap_or_default();
        let unserved =
            signals.iter().any(|signal| signal.source == Source::Gateway && signal.result == CheckResult::Fail);
        Self { result, percent: if unreached || unserved { Some(0) } else { percent }, failing_for }
    }
}

/// Corroborating signals that must agree.
const CORROBORATING: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::Source::{Coverage, Execute, Gateway, PublicUrl, Refusals, SystemLog, Test};

    fn signal((source, result): (Source, CheckResult)) -> Signal {
        Signal { source, result, why: String::new(), failing_for: Duration::from_secs(7) }
    }

    #[test]
    fn a_hook_has_failed_for_as_long_as_what_suffices_to_fail_it_has() {
        let judge =
            |coverage, url| Health::of(&[signal((Coverage, coverage)), signal((PublicUrl, url))], None).failing_for;
        assert_eq!(judge(CheckResult::Fail, CheckResult::Pass), Duration::from_secs(7));
        assert_eq!(judge(CheckResult::Unknown, CheckResult::Fail), Duration::ZERO);
    }

    #[test]
    fn gateway_and_coverage_fail_alone_and_corroborating_signals_together() {
        use CheckResult::{Fail, Pass, Unknown};
        let judge = |gateway: CheckResult, coverage: CheckResult, url: CheckResult, execute: CheckResult| {
            let results = [(Gateway, gateway), (Coverage, coverage), (PublicUrl, url), (Execute, execute)];
            let health = Health::of(&results.map(signal), Some(80));
            (health.result, health.percent)
        };
        assert_eq!(judge(Pass, Pass, Pass, Pass), (Pass, Some(80)));
        assert_eq!(judge(Pass, Pass, Unknown, Unknown), (Pass, Some(80)), "a witness that knows nothing");
        assert_eq!(
            judge(Fail, Pass, Pass, Pass),
            (Fail, Some(0)),
            "providers are of no use to a hook that nobody serves"
        );
        assert_eq!(judge(Unknown, Fail, Pass, Pass), (Fail, Some(80)));
        assert_eq!(judge(Pass, Unknown, Pass, Pass), (Unknown, Some(80)));
        assert_eq!(judge(Pass, Pass, Fail, Pass), (Unknown, Some(80)), "one may err");
        assert_eq!(judge(Pass, Pass, Unknown, Fail), (Unknown, Some(80)));
        assert_eq!(judge(Pass, Pass, Fail, Fail), (Fail, Some(0)), "two agree, and nothing arrives");
        assert_eq!(judge(Unknown, Unknown, Fail, Fail), (Fail, Some(0)));
        assert_eq!(Health::of(&[], None).result, Unknown);
        let corroborating = |execute: CheckResult| {
            let results = [(Gateway, Pass), (Coverage, Pass), (PublicUrl, Fail), (SystemLog, Fail), (Execute, execute)];
            Health::of(&results.map(signal), None).result
        };
        assert_eq!((corroborating(Unknown), corroborating(Pass)), (Fail, Unknown), "Okta reaches it");
    }

    #[test]
    fn what_anybody_can_make_fail_takes_no_verdict_back_and_is_a_corroborating_signal_beside_another() {
        use CheckResult::{Fail, Pass, Unknown};
        let judge = |gateway: CheckResult, url: CheckResult, execute: CheckResult| {
            let results =
                [(Gateway, gateway), (Coverage, Pass), (PublicUrl, url), (Execute, execute), (Refusals, Fail)];
            Health::of(&results.map(signal), None).result
        };
        assert_eq!(judge(Pass, Pass, Unknown), Pass);
        assert_eq!(judge(Pass, Unknown, Unknown), Pass);
        assert_eq!(judge(Unknown, Pass, Unknown), Unknown);
        assert_eq!(judge(Pass, Pass, Fail), Fail);
        assert_eq!(judge(Pass, Fail, Pass), Unknown);
    }

    #[test]
    fn a_hook_without_a_gateway_passes_by_its_address_and_fails_by_two_corroborating_signals() {
        use CheckResult::{Fail, Pass, Unknown};
        let judge = |results: &[(Source, CheckResult)]| {
            Health::of(&results.iter().copied().map(signal).collect::<Vec<_>>(), None).result
        };
        for (url, execute, log, expected) in [
            (Pass, Unknown, Unknown, Pass),
            (Pass, Pass, Pass, Pass),
            (Unknown, Unknown, Unknown, Unknown),
            (Unknown, Pass, Pass, Unknown),
            (Fail, Unknown, Unknown, Unknown),
            (Pass, Fail, Unknown, Unknown),
            (Fail, Fail, Unknown, Fail),
            (Fail, Unknown, Fail, Fail),
            (Pass, Fail, Fail, Fail),
            (Fail, Pass, Fail, Unknown),
        ] {
            let results = [(PublicUrl, url), (Execute, execute), (SystemLog, log)];
            assert_eq!(judge(&results), expected, "{results:?}");
        }
        for (url, test, execute, expected) in [
            (Pass, Pass, Unknown, Pass),
            (Pass, Unknown, Unknown, Unknown),
            (Pass, Fail, Unknown, Unknown),
            (Unknown, Pass, Unknown, Unknown),
            (Fail, Fail, Unknown, Fail),
            (Pass, Fail, Fail, Fail),
            (Fail, Fail, Pass, Unknown),
        ] {
            let results = [(PublicUrl, url), (Test, test), (Execute, execute)];
            assert_eq!(judge(&results), expected, "{results:?}");
        }
        assert_eq!(
            judge(&[(Test, Pass)]),
            Pass,
            "where the address is not looked at, a passcode that was taken says more"
        );
        assert_eq!(judge(&[(Execute, Pass), (SystemLog, Pass)]), Unknown);
    }
}
