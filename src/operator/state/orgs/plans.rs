//! What plans are made and carried out from: what Okta last said, and what must not be repeated.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::time::Instant;

use crate::operator::runtime::{backoff, problem::Problem};
use hookswitch_api::reason::Ready;
use hookswitch_okta::{
    ObjectRef, ObservedHook,
    error::FailureKind,
    fingerprint::Fingerprint,
    limits::Priority,
    plan::{self, Promise, Promised, Verb},
    plan_record::PlanRecord,
};

/// How long a refusal is respected when nothing relevant changes.
const REFUSAL_LASTS: Duration = Duration::from_hours(1);

/// A refusal that is not to be provoked again.
#[derive(Debug, Clone)]
struct Refusal {
    verb: Verb,
    since: Instant,
    /// What was declared when it was refused.
    declared: u64,
    words: Option<String>,
}

/// Runs in a row that had a change whose end is not clear.
#[derive(Debug)]
struct Unclear {
    runs: u32,
    /// When the last of them ended.
    since: Instant,
    /// How it failed.
    kind: FailureKind,
    words: String,
}

/// What plans are made and carried out from.
#[derive(Debug, Default)]
pub struct Plans {
    /// Whether, since the last run, nothing was left to do and the hook that is to be active was: what is otherwise from then
    /// on is somebody's doing. `None` before this process ran or rested: status says then what the one before it saw last.
    pub rested: Option<bool>,
    /// What Okta last listed, and when.
    pub observed: Option<(Vec<ObservedHook>, Instant)>,
    /// What is declared, as a hash, and since when.
    still: Option<(u64, Instant)>,
    refused: BTreeMap<ObjectRef, Vec<Refusal>>,
    promised: Option<(Vec<Promise>, Instant)>,
    /// Whether the plan was seen that was recorded when this process began.
    met: bool,
    /// When a plan was left whose end nobody saw.
    left: Option<Instant>,
    /// Runs in a row that had a change whose end is not clear.
    unclear: Option<Unclear>,
    /// Fingerprints of secrets that runs applied; status may not have them yet.
    pub applied: BTreeMap<ObjectRef, Option<Fingerprint>>,
}

impl Plans {
    /// Forgets everything but what was applied.
    pub fn begin_anew(&mut self) {
        *self = Self { applied: std::mem::take(&mut self.applied), ..Self::default() };
    }

    /// What Okta last listed; nothing where it is not known.
    #[must_use]
    pub fn listed(&self) -> &[ObservedHook] {
        self.observed.as_ref().map(|(hooks, _)| hooks.as_slice()).unwrap_or_default()
    }

    /// How long what is declared has been the same.
    pub fn quiet_for(&mut self, declared: u64, now: Instant) -> Duration {
        match self.still {
            Some((known, since)) if known == declared => now.duration_since(since),
            _ => {
                self.still = Some((declared, now));
                Duration::ZERO
            }
        }
    }

    /// Calls that Okta refused for `object` and that are not to be repeated while `declared` is the same.
    pub fn refused(&mut self, object: &ObjectRef, declared: u64, now: Instant) -> BTreeSet<Verb> {
        let Some(refusals) = self.refused.get_mut(object) else { return BTreeSet::new() };
        refusals.retain(|refusal| refusal.declared == declared && now.duration_since(refusal.since) < REFUSAL_LASTS);
        refusals.iter().map(|refusal| refusal.verb).collect()
    }

    /// Takes note of a refusal.
    pub fn refuse(&mut self, object: ObjectRef, verb: Verb, declared: u64, words: Option<String>, now: Instant) {
        let refusals = self.refused.entry(object).or_default();
        refusals.retain(|refusal| refusal.verb != verb);
        refusals.push(Refusal { verb, since: now, declared, words });
    }

    /// Okta's words of the last refusal for `object`.
    #[must_use]
    pub fn refusal(&self, object: &ObjectRef) -> Option<String> {
        self.refused.get(object)?.last()?.words.clone()
    }

    /// Forgets what is kept of objects that are not declared any more.
    pub fn keep(&mut self, objects: &BTreeSet<ObjectRef>) {
        self.refused.retain(|object, _| objects.contains(object));
        self.applied.retain(|object, _| objects.contains(object));
    }

    /// Takes note of what answers promised.
    pub fn promise(&mut self, made: Vec<Promise>, now: Instant) {
        self.promised = (!made.is_empty()).then_some((made, now));
    }

    /// What the last run was promised.
    #[must_use]
    pub fn promised(&self, now: Instant) -> Option<Promised> {
        let (made, since) = self.promised.as_ref()?;
        Some(Promised { made: made.clone(), age: now.duration_since(*since) })
    }

    /// Forgets what was promised once the list shows it, or was read when there was nothing to wait for any more. Tells
    /// whether nothing is left to wait for.
    pub fn settle(&mut self, now: Instant) -> bool {
        let observed = self.listed();
        let settled = plan::is_settled(observed, self.promised(now).as_ref());
        if settled {
            self.promised = None;
        }
        settled
    }

    /// Takes note of the recorded plan. One that this process finds there when it begins was another's, and nobody knows how
    /// far that one came.
    pub fn met(&mut self, record: Option<&PlanRecord>, now: Instant) {
        let first = !std::mem::replace(&mut self.met, true);
        if first && record.is_some_and(PlanRecord::is_under_way) {
            self.left = Some(now);
        }
    }

    /// Takes note of a run's end. Until it is noted, the run counts as left without an end.
    pub fn run(&mut self, now: Instant) -> Option<Instant> {
        self.left.replace(now)
    }

    /// The run that began with `before` saw its end, or not.
    pub fn ran(&mut self, before: Option<Instant>, finished: bool, now: Instant) {
        self.left = if finished { before } else { Some(now) };
    }

    /// Takes note of a run that ended, and of what was said of a change whose end is not clear: how and the words.
    pub fn ended(&mut self, unclear: Option<(FailureKind, String)>, now: Instant) {
        let before = self.unclear.take().map_or(0, |unclear| unclear.runs);
        self.unclear = unclear.map(|(kind, words)| Unclear { runs: before.saturating_add(1), since: now, kind, words });
    }

    /// Nothing is left to do, whatever became of it.
    pub fn idle(&mut self) {
        self.unclear = None;
    }

    /// What keeps changes from being made, although Okta can be asked.
    #[must_use]
    pub fn hindrance(&self) -> Option<Problem> {
        let unclear = self.unclear.as_ref().filter(|unclear| unclear.runs > 1)?;
        let reason = if unclear.kind == FailureKind::NotOkta { Ready::NotOkta } else { Ready::OktaUnclear };
        Some(Problem::transient(reason, format!("A hook could not be changed: {}", unclear.words)))
    }

    /// How long to stay away after runs without a clear end: the first is gone on with at once, since a gap may be open.
    #[must_use]
    pub fn must_pause(&self, priority: Priority, now: Instant) -> Option<Duration> {
        let unclear = self.unclear.as_ref().filter(|unclear| unclear.runs > 1)?;
        let own = backoff::after(unclear.runs - 1);
        let pause = if priority > Priority::Routine { own.min(super::connection::PATIENCE) } else { own };
        pause.checked_sub(now.duration_since(unclear.since)).filter(|left| !left.is_zero())
    }

    /// How long before the last list a plan was left whose end nobody saw.
    #[must_use]
    pub fn not_shown(&self) -> Option<Duration> {
        let listed = self.observed.as_ref().map(|(_, at)| *at);
        self.left.map(|left| listed.map_or(Duration::ZERO, |at| at.saturating_duration_since(left)))
    }

    /// Whether more is to be seen in Okta than when it was last asked: what it promised and did not show, or what is left of
    /// a plan whose end nobody saw.
    #[must_use]
    pub fn awaits_okta(&self) -> bool {
        self.promised.is_some() || self.not_shown().is_some_and(|not_shown| not_shown < plan::SETTLES_WITHIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_that_never_has_a_clear_end_is_tried_less_and_less_often() {
        let (mut state, now) = (Plans::default(), Instant::now());
        let pause = |state: &Plans, priority, after| state.must_pause(priority, now + Duration::from_secs(after));
        let secs = |seconds| Some(Duration::from_secs(seconds));
        let unclear = || Some((FailureKind::Server, "Okta answered 503".to_owned()));
        for (runs, routine, urgent) in
            [(1, None, None), (2, secs(1), secs(1)), (3, secs(2), secs(2)), (4, secs(4), secs(4))]
        {
            state.ended(unclear(), now);
            assert_eq!(state.hindrance().is_some(), runs > 1, "{runs}");
            assert_eq!(pause(&state, Priority::Routine, 0), routine, "{runs}");
            assert_eq!(pause(&state, Priority::Failover, 0), urgent, "{runs}");
        }
        for _ in 0..20 {
            state.ended(unclear(), now);
        }
        assert_eq!((pause(&state, Priority::Routine, 0), pause(&state, Priority::Routine, 300)), (secs(300), None));
        assert_eq!((pause(&state, Priority::Failover, 0), pause(&state, Priority::Failover, 8)), (secs(8), None));
        state.ended(None, now);
        assert_eq!((pause(&state, Priority::Routine, 0), state.hindrance()), (None, None));
    }
}
