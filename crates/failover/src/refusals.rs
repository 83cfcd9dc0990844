//! Calls that gateways refuse for their secret: whether they are Okta's. Pure.
//!
//! Anybody on the Internet can make such calls, so they count only while nothing says that they are not Okta's: not its own word,
//! and no call that came with the secret since.

use std::time::Duration;

use super::signal::{CheckResult, Signal, Source};

/// Calls within this time count: Okta is asked every 15 s to call a hook that refuses, and reports come every 5 s, so what
/// lasts is seen all the time.
pub const WINDOW: Duration = Duration::from_secs(30);

/// So long a call of this operator's that did not get in may be among them: reports of it may come late.
pub const OWN: Duration = Duration::from_mins(1);

/// How long ago calls last came to a hook's path, probes of ours that got in left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AuthStatistics {
    /// Without the hook's secret.
    pub refused: Option<Duration>,
    /// With it.
    pub admitted: Option<Duration>,
}

impl AuthStatistics {
    /// Whether calls are refused, and none is admitted.
    #[must_use]
    pub fn refuses(self) -> bool {
        lately(self.refused) && !lately(self.admitted)
    }

    /// Whether calls are refused, and none was admitted after the last of them.
    #[must_use]
    pub fn refused_last(self) -> bool {
        lately(self.refused) && self.admitted.is_none_or(|admitted| Some(admitted) > self.refused)
    }

    /// Whether calls are refused, and none is admitted that came less than so long ago.
    fn refuses_for(self, complaining: Duration) -> bool {
        let since = |admitted: Duration| admitted.saturating_add(TO_THE_SECOND) <= complaining;
        lately(self.refused) && !(lately(self.admitted) && self.admitted.is_some_and(since))
    }
}

/// How much longer ago a call may have come than reports say.
const TO_THE_SECOND: Duration = Duration::from_secs(1);

fn lately(age: Option<Duration>) -> bool {
    age.is_some_and(|age| age <= WINDOW)
}

/// Whether calls that are refused are Okta's, by what it says when it is asked to call the hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Oktas {
    /// No: it gets in, or does not get as far as the gateway.
    No,
    /// Unknown.
    Perhaps,
    /// Likely: it gets there and has had no good answer for so long.
    Likely(Duration),
}

/// Whose the refused calls may be, beside strangers'.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Callers {
    /// Okta's.
    pub okta: Oktas,
    /// This operator's: one of its own calls did not get in lately, whatever it makes of that.
    pub operator: bool,
}

/// What the calls to a hook say of the secret that Okta has. `None`: nobody reports.
///
/// Refused calls say nothing when they are not Okta's, or may be this operator's own. What came before them is said on then, so
/// that strangers change no status. Once Okta says that it has no good answer, calls that were admitted before say nothing any
/// more: somebody may have set another secret after them.
#[must_use]
pub fn judge(auth_statistics: Option<AuthStatistics>, callers: Callers) -> Signal {
    let may_be_oktas = |auth_statistics: AuthStatistics| match callers.okta {
        Oktas::No => false,
        Oktas::Perhaps => auth_statistics.refuses(),
        Oktas::Likely(complaining) => auth_statistics.refuses_for(complaining),
    };
    let (result, why) = match auth_statistics {
        None => (CheckResult::Unknown, "No ready replica has reported recently."),
        Some(auth_statistics) if may_be_oktas(auth_statistics) && !callers.operator => (
            CheckResult::Fail,
            "Calls come without the hook's secret and none with it; the secret in Okta may be wrong.",
        ),
        Some(AuthStatistics { admitted: Some(_), .. }) => {
            (CheckResult::Pass, "Calls have come with the hook's secret.")
        }
        Some(_) => (CheckResult::Unknown, "No call has come with the hook's secret yet."),
    };
    Signal { source: Source::Refusals, result, why: why.to_owned(), failing_for: Duration::ZERO }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::health::Health;

    fn result() -> impl Strategy<Value = CheckResult> {
        prop_oneof![Just(CheckResult::Pass), Just(CheckResult::Fail), Just(CheckResult::Unknown)]
    }

    /// What Okta says when it is asked to call the hook, with whether the gateway may have refused that call.
    fn execute() -> impl Strategy<Value = (CheckResult, Oktas)> {
        use CheckResult::{Fail, Pass, Unknown};
        prop_oneof![
            Just((Pass, Oktas::No)),
            Just((Fail, Oktas::No)),
            (0..60_u64).prop_map(|complaining| (Fail, Oktas::Likely(Duration::from_secs(complaining)))),
            Just((Unknown, Oktas::Perhaps))
        ]
    }

    proptest! {
        #[test]
        fn what_strangers_can_do_fails_no_hook_that_okta_reaches_or_of_which_okta_says_nothing_bad(
            results in prop::array::uniform4(result()), (execute, okta) in execute(), operator in any::<bool>(),
            refused in 0..60_u64, admitted in prop::option::of(0..60_u64),
        ) {
            let sources = [Source::Gateway, Source::Coverage, Source::PublicUrl, Source::SystemLog];
            // it may also have failed a moment ago, or be uncertain itself
            let operator = operator || results[2] == CheckResult::Fail;
            let judge_with = |refused: Option<u64>| {
                let signals = sources.into_iter().zip(results).chain([(Source::Execute, execute)]);
                let signals = signals.map(|(source, result)| Signal { source, result, why: String::new(), failing_for: Duration::ZERO });
                let mut signals: Vec<Signal> = signals.collect();
                let auth_statistics = AuthStatistics { refused: refused.map(Duration::from_secs), admitted: admitted.map(Duration::from_secs) };
                signals.push(judge(Some(auth_statistics), Callers { okta, operator }));
                (Health::of(&signals, None), signals)
            };
            let ((quiet, unheard), (knocked, heard)) = (judge_with(None), judge_with(Some(refused)));
            let [.., log] = results;
            let okta_complains = execute == CheckResult::Fail || log == CheckResult::Fail;
            let calls_come = admitted.map(Duration::from_secs).is_some_and(|age| match okta {
                Oktas::Likely(complaining) => age <= WINDOW && age + TO_THE_SECOND <= complaining,
                _ => age <= WINDOW,
            });
            if okta == Oktas::No || operator || calls_come {
                prop_assert_eq!(&heard, &unheard, "nothing is said otherwise");
            } else if !okta_complains {
                prop_assert_eq!(knocked.result == CheckResult::Fail, quiet.result == CheckResult::Fail);
            }
        }
    }

    #[test]
    fn refused_calls_fail_a_hook_alone_while_none_is_admitted_and_nothing_else_explains_them() {
        use CheckResult::{Fail, Pass, Unknown};
        let (now, late) = (Some(Duration::from_secs(5)), Some(WINDOW + Duration::from_secs(1)));
        let (others, perhaps, likely) = (Oktas::No, Oktas::Perhaps, Oktas::Likely(Duration::from_secs(6)));
        let (nothing, before) = ((perhaps, false), Some(Duration::from_secs(6)));
        for (refused, admitted, (okta, operator), expected) in [
            (None, None, nothing, Unknown),
            (now, None, nothing, Fail),
            (now, late, nothing, Fail),
            (late, None, nothing, Unknown),
            // calls that have the secret come too: the others are strangers'
            (now, now, nothing, Pass),
            (late, now, nothing, Pass),
            // a pause in the traffic takes nothing back
            (None, late, nothing, Pass),
            (late, late, nothing, Pass),
            // Okta gets in, or does not get as far as the gateway
            (now, None, (others, false), Unknown),
            (now, late, (others, false), Pass),
            // this operator is refused itself
            (now, None, (perhaps, true), Unknown),
            (now, late, (perhaps, true), Pass),
            (now, late, (likely, true), Pass),
            // Okta complains: somebody may have set another secret after the last good call
            (now, before, nothing, Pass),
            (now, before, (likely, false), Fail),
            // calls come since, whenever strangers knock
            (before, now, (likely, false), Pass),
            (now, now, (likely, false), Pass),
            (Some(Duration::ZERO), now, (likely, false), Pass),
            (late, None, (likely, false), Unknown),
        ] {
            let judged = judge(Some(AuthStatistics { refused, admitted }), Callers { okta, operator });
            assert_eq!(judged.result, expected, "{refused:?} {admitted:?} {okta:?} {operator}");
        }
        assert_eq!(judge(None, Callers { okta: perhaps, operator: false }).result, Unknown, "nobody reports");
    }

    #[test]
    fn a_breaker_refused_last_when_nothing_was_admitted_after_it() {
        let auth_statistics = |refused: Option<u64>, admitted: Option<u64>| AuthStatistics {
            refused: refused.map(Duration::from_secs),
            admitted: admitted.map(Duration::from_secs),
        };
        let window = WINDOW.as_secs();
        for (refused, admitted, last) in [
            (None, None, false),
            (Some(3), None, true),
            (Some(window), None, true),
            (Some(window + 1), None, false),
            (Some(3), Some(4), true),
            (Some(3), Some(3), false), // at the same second: nobody knows, so nobody is hurried
            (Some(3), Some(2), false),
        ] {
            assert_eq!(auth_statistics(refused, admitted).refused_last(), last, "{refused:?} {admitted:?}");
        }
    }
}
