//! Whether Okta's calls arrive at the hook that it uses, since that one became active. Pure.
//!
//! What was confirmed stays so until another hook becomes active, since a pause in the traffic says nothing. Everything is
//! derived from the last status and the reports, so that another leader neither publishes it again nor misses it.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use crate::operator::runtime::conditions::{self, Is};
use hookswitch_api::{
    HookSwitchStatus, SwitchRecord,
    reason::{Reason as _, TrafficConfirmed},
};
use hookswitch_failover::machine::Transition;

/// What is known of Okta's calls to the hook that it uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Calls {
    /// Nothing: no replica that has the hook reports.
    Unreported,
    /// None came since those replicas began.
    None,
    /// The last one came so long ago.
    Last(Duration),
}

/// What is published once for each activation: the hook that is called, and how long after the switch. Without a switch on record
/// the time is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstCall {
    /// The hook.
    pub hook: String,
    /// From the end of the switch to the call, as reports say.
    pub after: Option<Duration>,
}

/// Sets the condition, in a status that has the switches of this evaluation in its history already, and returns the first call.
/// `before` is the hook that Okta used at the last evaluation, `calls` are those of the one that it uses now: nothing when Okta does
/// not say which one that is, and then what was said stays.
pub fn confirm(
    status: &mut HookSwitchStatus,
    before: Option<&str>,
    transitions: &[Transition],
    calls: Option<Calls>,
    now: Timestamp,
    generation: Option<i64>,
) -> Option<FirstCall> {
    let active = status.active.clone();
    let became = active.is_some() && before != active.as_deref();
    let switched = became || transitions.iter().any(|one| matches!(one, Transition::Switched { .. }));
    let said = conditions::get(&status.conditions, "TrafficConfirmed");
    let calls = match (calls, said) {
        (None, Some(_)) if !switched => return None,
        (calls, _) => calls.unwrap_or(Calls::None),
    };
    let since = said.map(|said| said.last_transition_time.0);
    let known = conditions::is_true(&status.conditions, TrafficConfirmed::CONDITION) && !switched;
    let first = match calls {
        Calls::Last(age) if !known && !switched => {
            active.zip(since).and_then(|(hook, since)| first(status, hook, since, age, now))
        }
        _ => None,
    };
    let (is, reason, message) = if known || first.is_some() {
        (Is::True, TrafficConfirmed::CallsArrive, "Calls have come to the active hook since it became active.")
    } else if calls == Calls::Unreported {
        (Is::Unknown, TrafficConfirmed::NoReport, "Nobody reports the calls that come to the active hook.")
    } else {
        let message =
            "No call has come to the active hook since it became active; where few people log in, that takes a while.";
        (Is::Unknown, TrafficConfirmed::NoCallYet, message)
    };
    conditions::set(&mut status.conditions, is, reason, message, generation);
    if switched || since.is_none() {
        conditions::begin::<TrafficConfirmed>(&mut status.conditions, now);
    }
    first
}

/// The first call at a hook that is active since then, when the last one is no older; the record of the switch that made it
/// active gets its time.
fn first(
    status: &mut HookSwitchStatus,
    hook: String,
    since: Timestamp,
    age: Duration,
    now: Timestamp,
) -> Option<FirstCall> {
    let ended = |record: &SwitchRecord| record.at.parse::<Timestamp>().ok().filter(|at| *at >= since);
    let record = last_switch(status).filter(|record| record.to == hook);
    let record = record.and_then(|record| Some((ended(record)?, record)));
    let began = record.as_ref().map_or(since, |(ended, _)| *ended);
    let after = Duration::try_from(now.duration_since(began)).unwrap_or_default().checked_sub(age)?;
    let Some((_, record)) = record else { return Some(FirstCall { hook, after: None }) };
    record.first_call_after_ms = Some(i64::try_from(after.as_millis()).unwrap_or(i64::MAX));
    Some(FirstCall { hook, after: Some(after) })
}

fn last_switch(status: &mut HookSwitchStatus) -> Option<&mut SwitchRecord> {
    status.history.iter_mut().rev().find(|record| record.is_switched())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hookswitch_failover::machine::Cause;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    /// An evaluation at that second, of a hook that was last called at the other one.
    fn evaluate(
        status: &mut HookSwitchStatus,
        transitions: &[Transition],
        now: i64,
        called: Option<i64>,
    ) -> Option<FirstCall> {
        let before = status.active.clone();
        let age = |called| Duration::try_from(at(now).duration_since(at(called))).unwrap();
        let calls = called.map_or(Calls::None, |called| Calls::Last(age(called)));
        confirm(status, before.as_deref(), transitions, Some(calls), at(now), Some(1))
    }

    fn shown(status: &HookSwitchStatus) -> (&str, &str) {
        let condition = conditions::get(&status.conditions, "TrafficConfirmed").unwrap();
        (&condition.status, &condition.reason)
    }

    /// A switch to `b` that ended at second 100.
    fn switched() -> (HookSwitchStatus, Vec<Transition>) {
        let record = SwitchRecord {
            at: at(100).to_string(),
            from: Some("a".into()),
            to: "b".into(),
            cause: "Failed".into(),
            outcome: "Switched".into(),
            took_ms: 20,
            without_active_ms: None,
            steps: Vec::new(),
            first_call_after_ms: None,
        };
        let transitions =
            Transition::Switched { from: Some("a".into()), to: "b".into(), cause: Cause::Failed, took: SECOND };
        let status = HookSwitchStatus { active: Some("b".into()), history: vec![record], ..Default::default() };
        (status, vec![transitions])
    }

    #[test]
    fn a_switch_is_confirmed_by_the_first_call_after_it_once_and_a_pause_takes_nothing_back() {
        let (mut status, transitions) = switched();
        assert_eq!(evaluate(&mut status, &transitions, 100, Some(99)), None);
        assert_eq!(shown(&status), ("Unknown", "NoCallYet"));
        assert_eq!(evaluate(&mut status, &[], 105, Some(99)), None, "it was called before the switch");
        assert_eq!(evaluate(&mut status, &[], 110, None), None);
        let first = FirstCall { hook: "b".into(), after: Some(SECOND * 13) };
        assert_eq!(evaluate(&mut status, &[], 115, Some(113)), Some(first));
        assert_eq!((shown(&status), status.history[0].first_call_after_ms), (("True", "CallsArrive"), Some(13_000)));
        let confirmed = status.clone();
        for (now, called) in [(120, Some(119)), (5_000, Some(119)), (5_005, None)] {
            assert_eq!(evaluate(&mut status, &[], now, called), None);
            assert_eq!(status, confirmed, "nothing is written anew");
        }
    }

    #[test]
    fn another_switch_is_to_be_confirmed_anew_and_one_that_failed_changes_nothing() {
        let (mut status, transitions) = switched();
        evaluate(&mut status, &transitions, 100, None);
        evaluate(&mut status, &[], 105, Some(104));
        let failed =
            Transition::Failed { from: Some("b".into()), to: "a".into(), cause: Cause::Promoted, took: SECOND };
        assert_eq!(evaluate(&mut status, &[failed], 200, Some(199)), None);
        assert_eq!(shown(&status), ("True", "CallsArrive"));
        let record = SwitchRecord { to: "a".into(), at: at(300).to_string(), ..status.history[0].clone() };
        status.history.push(SwitchRecord { first_call_after_ms: None, ..record });
        status.active = Some("a".into());
        let back =
            Transition::Switched { from: Some("b".into()), to: "a".into(), cause: Cause::FailedBack, took: SECOND };
        assert_eq!(evaluate(&mut status, &[back], 300, Some(90)), None);
        assert_eq!(evaluate(&mut status, &[], 305, Some(90)), None, "called when it was active before");
        assert_eq!(shown(&status), ("Unknown", "NoCallYet"));
        assert!(evaluate(&mut status, &[], 310, Some(306)).is_some());
        let times: Vec<_> = status.history.iter().map(|record| record.first_call_after_ms).collect();
        assert_eq!(times, [Some(4_000), Some(6_000)]);
    }

    #[test]
    fn the_first_activation_counts_like_a_switch() {
        let mut status = HookSwitchStatus::default();
        assert_eq!(evaluate(&mut status, &[], 0, None), None, "Okta uses none");
        status.active = Some("a".into());
        assert_eq!(evaluate(&mut status, &[], 5, None), None);
        assert_eq!(shown(&status), ("Unknown", "NoCallYet"));
        assert_eq!(evaluate(&mut status, &[], 10, Some(8)), Some(FirstCall { hook: "a".into(), after: None }));
    }

    #[test]
    fn what_somebody_activates_in_okta_is_not_confirmed_by_a_call_of_before_nor_written_to_an_old_record() {
        for between in [true, false] {
            // the last switch went to `b`, which is left and taken up again with mode Disabled
            let (mut status, transitions) = switched();
            evaluate(&mut status, &transitions, 100, None);
            let mut in_okta = |active: Option<&str>, now| {
                let before = status.active.clone();
                status.active = active.map(Into::into);
                let calls = Some(Calls::Last(SECOND * 20));
                assert_eq!(confirm(&mut status, before.as_deref(), &[], calls, at(now), Some(1)), None);
            };
            in_okta(Some("a"), 105);
            if between {
                in_okta(None, 106);
            }
            in_okta(Some("b"), 107);
            assert_eq!(evaluate(&mut status, &[], 110, Some(103)), None, "{between}");
            assert_eq!(shown(&status), ("Unknown", "NoCallYet"));
            assert_eq!(evaluate(&mut status, &[], 115, Some(112)), Some(FirstCall { hook: "b".into(), after: None }));
            assert_eq!((shown(&status), status.history[0].first_call_after_ms), (("True", "CallsArrive"), None));
        }
    }

    #[test]
    fn a_hook_that_is_activated_after_none_was_active_is_confirmed_anew() {
        let (mut status, transitions) = switched();
        evaluate(&mut status, &transitions, 100, None);
        assert!(evaluate(&mut status, &[], 105, Some(104)).is_some());
        status.active = None;
        assert_eq!(evaluate(&mut status, &[], 110, None), None);
        assert_eq!(shown(&status), ("True", "CallsArrive"), "nothing else is active");
        status.active = Some("a".into());
        assert_eq!(confirm(&mut status, None, &[], Some(Calls::Last(SECOND * 9)), at(115), Some(1)), None);
        assert_eq!(evaluate(&mut status, &[], 120, Some(106)), None);
        assert_eq!(shown(&status), ("Unknown", "NoCallYet"));
    }

    #[test]
    fn where_nobody_reports_calls_that_is_said_and_while_okta_is_silent_what_was_said_stays() {
        let mut status = HookSwitchStatus { active: Some("a".into()), ..Default::default() };
        let mut evaluate = |calls| {
            confirm(&mut status, Some("a"), &[], calls, at(5), Some(1));
            shown(&status).1.to_owned()
        };
        assert_eq!(evaluate(None), "NoCallYet");
        assert_eq!((evaluate(Some(Calls::Unreported)), evaluate(None)), ("NoReport".to_owned(), "NoReport".to_owned()));
        assert_eq!(evaluate(Some(Calls::Last(Duration::ZERO))), "CallsArrive");
        assert_eq!(
            (evaluate(Some(Calls::Unreported)), evaluate(None)),
            ("CallsArrive".to_owned(), "CallsArrive".to_owned())
        );
    }
}
