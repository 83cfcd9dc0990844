//! What is kept of an org between passes, in memory: the client, what Okta last said, and what must not be repeated.
//!
//! Everything here can be lost: a new leader begins without it and finds the rest in Okta and in status.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;
use tokio::time::Instant;

use super::{
    super::{backoff, problem::Problem, status},
    carried::ForSwitches,
    claim::{PROVES_WITHIN, Standing, Tenure},
    dial::OrgApi,
    doubt::Doubts,
};
use hookswitch_api::{CaBundleRef, HookDrift, OktaChange, OktaOrg, OktaOrgStatus, reason::Ready};
use hookswitch_okta::{
    CallError, Failure, ObjectRef, ObservedHook,
    client::CallResult,
    error::NOT_OKTA,
    intent::PlanIntent,
    keyed::ChangeMark,
    limits::{MayCall, Priority, RateState},
    plan::{self, Promise, Promised, Verb, Verdict},
    types::OrgDocument,
};

/// How long a refusal is respected when nothing relevant changes.
const REFUSAL_LASTS: Duration = Duration::from_hours(1);

/// What the last pass found; hooks' passes read it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OrgView {
    /// What keeps the org from being looked at.
    pub problem: Option<Problem>,
    /// What the last plan said, by hook. Empty until the first one.
    pub hooks: BTreeMap<ObjectRef, HookView>,
    /// Which hook Okta uses.
    pub in_use: InUse,
    /// What this process did to carry out the last decision of each switch.
    pub carried: ForSwitches,
}

/// Which telephony hook of an org is active.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum InUse {
    /// Okta does not say.
    #[default]
    Unknown,
    /// None.
    Nobody,
    /// One of this installation's.
    Ours(ObjectRef),
    /// Somebody else's, or one whose state cannot be read.
    Other,
}

/// What the last plan said of a hook.
#[derive(Debug, Clone, PartialEq)]
pub struct HookView {
    /// The generation of the object that the plan was made for.
    pub generation: Option<i64>,
    /// Where Okta sends.
    pub uri: Option<String>,
    /// The planner's verdict.
    pub verdict: Verdict,
    /// Mark of the secret that Okta definitely has.
    pub applied_mark: Option<ChangeMark>,
    /// When that secret was written anew because it was in doubt (RFC 3339); lately only.
    pub rewritten: Option<String>,
    /// Okta's words when it last refused a call for this hook.
    pub refusal: Option<String>,
    /// The owner of the active hook that is in the way, when it belongs to another `OktaOrg` of the same org.
    pub of_sibling: Option<ObjectRef>,
    /// The last change that somebody made in Okta behind our back.
    pub drift: Option<HookDrift>,
}

#[cfg(test)]
impl HookView {
    /// Nothing but a verdict.
    #[must_use]
    pub fn of(verdict: Verdict, generation: Option<i64>) -> Self {
        let (uri, applied_mark, rewritten, refusal, of_sibling, drift) = (None, None, None, None, None, None);
        Self { generation, uri, verdict, applied_mark, rewritten, refusal, of_sibling, drift }
    }
}

/// A refusal that is not to be provoked again.
#[derive(Debug, Clone)]
struct Refusal {
    verb: Verb,
    since: Instant,
    /// What was declared when it was refused.
    declared: u64,
    words: Option<String>,
}

/// The longest pause after a call that failed by what passes, while a switch waits for Okta; with a pass's jitter it is not
/// ten seconds.
const PATIENCE: Duration = Duration::from_secs(8);

/// Runs in a row that had a change whose end is not clear.
#[derive(Debug)]
struct Unclear {
    runs: u32,
    /// When the last of them ended.
    since: Instant,
    /// The stable reason that it gave.
    reason: &'static str,
    words: String,
}

/// The last failed call.
#[derive(Debug, Clone)]
pub struct Trouble {
    error: CallError,
    /// How many failed in a row.
    failures: u32,
    since: Instant,
}

impl Trouble {
    /// Until when no other call is made. What Okta asks for is heeded whoever waits.
    fn ends(&self, priority: Priority) -> Instant {
        let own = backoff::after(self.failures);
        let patient = if priority > Priority::Routine { own.min(PATIENCE) } else { own };
        let pause = match self.error.failure {
            Failure::RateLimited { wait, concurrency: false } => patient.max(wait),
            // another try of these is refused just the same
            Failure::Unauthorized | Failure::Forbidden { .. } | Failure::Refused { .. } | Failure::NotFound => own,
            _ => patient,
        };
        self.since + pause
    }
}

/// An org's state between passes.
#[derive(Default)]
pub struct State {
    /// What the client was made of; another means another client.
    pub made_of: Option<u64>,
    /// The client.
    pub api: Option<Arc<dyn OrgApi>>,
    /// The rate limit.
    pub rate: RateState,
    /// What the org at the address says of itself, and since when that is known.
    pub document: Option<(OrgDocument, Instant)>,
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
    /// The last failed call, unless one went well since.
    pub trouble: Option<Trouble>,
    /// Marks of secrets that runs applied; status may not have them yet.
    pub applied: BTreeMap<ObjectRef, Option<ChangeMark>>,
    /// Changes made in Okta that status does not have yet.
    pub changes: Vec<OktaChange>,
    /// What was done to carry out the last decision of each switch.
    pub carried: ForSwitches,
    /// The last drift found of each hook, and whether it is still there.
    drifts: BTreeMap<ObjectRef, (HookDrift, bool)>,
}

impl State {
    /// Forgets everything about Okta: it is reached by another client from now on. What was applied is kept.
    pub fn begin_anew(&mut self, made_of: Option<u64>) {
        let (applied, changes) = (std::mem::take(&mut self.applied), std::mem::take(&mut self.changes));
        *self = Self { made_of, applied, changes, ..Self::default() };
    }

    /// Takes note of changes made in Okta; no more are kept than status has room for.
    pub fn changed(&mut self, changes: Vec<OktaChange>) {
        self.changes.extend(changes);
        let surplus = self.changes.len().saturating_sub(OktaOrgStatus::MOST_HISTORY);
        self.changes.drain(..surplus);
    }

    /// Takes note of what differs in Okta by somebody's hand (nothing: no field differs). Tells whether it is news: the same
    /// drift that could not be mended yet is found again by every look.
    pub fn drifted(&mut self, object: &ObjectRef, fields: &[String], now: Timestamp) -> bool {
        let known = self.drifts.get_mut(object);
        if fields.is_empty() {
            if let Some((_, lasts)) = known {
                *lasts = false;
            }
            return false;
        }
        if known.is_some_and(|(drift, lasts)| *lasts && drift.fields == fields) {
            return false;
        }
        let found_at = status::second(now);
        self.drifts.insert(object.clone(), (HookDrift { found_at, fields: fields.to_vec() }, true));
        true
    }

    /// The last drift of a hook that this process found.
    #[must_use]
    pub fn drift(&self, object: &ObjectRef) -> Option<HookDrift> {
        self.drifts.get(object).map(|(drift, _)| drift.clone())
    }

    /// How long what is declared has been the same.
    pub fn still_for(&mut self, declared: u64, now: Instant) -> Duration {
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

    /// After a failed call: how long to stay away.
    pub fn stay_away(&mut self, error: CallError, priority: Priority, now: Instant) -> Duration {
        let trouble = match self.trouble.take() {
            // the same trouble, met again without a call
            Some(known) if known.ends(priority) > now => known,
            before => {
                let failures = before.map_or(0, |before| before.failures).saturating_add(1);
                Trouble { error, failures, since: now }
            }
        };
        let until = trouble.ends(priority);
        self.trouble = Some(trouble);
        until.duration_since(now)
    }

    /// The last failed call, when it is too early for another.
    #[must_use]
    pub fn still_in_trouble(&self, priority: Priority, now: Instant) -> Option<CallError> {
        self.trouble.as_ref().filter(|trouble| trouble.ends(priority) > now).map(|trouble| trouble.error.clone())
    }

    /// Forgets what is kept of objects that are not declared any more.
    pub fn keep(&mut self, objects: &BTreeSet<ObjectRef>) {
        self.refused.retain(|object, _| objects.contains(object));
        self.applied.retain(|object, _| objects.contains(object));
        self.drifts.retain(|object, _| objects.contains(object));
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
        let observed = self.observed.as_ref().map(|(hooks, _)| hooks.as_slice()).unwrap_or_default();
        let settled = plan::is_settled(observed, self.promised(now).as_ref());
        if settled {
            self.promised = None;
        }
        settled
    }

    /// Takes note of the recorded plan. One that this process finds there when it begins was another's, and nobody knows how
    /// far that one came.
    pub fn met(&mut self, record: Option<&PlanIntent>, now: Instant) {
        let first = !std::mem::replace(&mut self.met, true);
        if first && record.is_some_and(PlanIntent::is_under_way) {
            self.left = Some(now);
        }
    }

    /// Takes note of a run's end. Until it is told, the run counts as left without an end.
    pub fn run(&mut self, now: Instant) -> Option<Instant> {
        self.left.replace(now)
    }

    /// The run that began with `before` saw its end, or not.
    pub fn ran(&mut self, before: Option<Instant>, finished: bool, now: Instant) {
        self.left = if finished { before } else { Some(now) };
    }

    /// Takes note of a run that ended, and of what was said of a change whose end is not clear: the stable reason and the words.
    pub fn ended(&mut self, unclear: Option<(&'static str, String)>, now: Instant) {
        let before = self.unclear.take().map_or(0, |unclear| unclear.runs);
        self.unclear =
            unclear.map(|(reason, words)| Unclear { runs: before.saturating_add(1), since: now, reason, words });
    }

    /// Nothing is left to do, whatever became of it.
    pub fn idle(&mut self) {
        self.unclear = None;
    }

    /// What keeps changes from being made, although Okta can be asked.
    #[must_use]
    pub fn hindrance(&self) -> Option<Problem> {
        let unclear = self.unclear.as_ref().filter(|unclear| unclear.runs > 1)?;
        let reason = if unclear.reason == NOT_OKTA { Ready::NotOkta } else { Ready::OktaUnclear };
        Some(Problem::passing(reason, format!("A hook could not be changed: {}", unclear.words)))
    }

    /// How long to stay away after runs without a clear end: the first is gone on with at once, since a gap may be open.
    #[must_use]
    pub fn must_pause(&self, priority: Priority, now: Instant) -> Option<Duration> {
        let unclear = self.unclear.as_ref().filter(|unclear| unclear.runs > 1)?;
        let own = backoff::after(unclear.runs - 1);
        let pause = if priority > Priority::Routine { own.min(PATIENCE) } else { own };
        pause.checked_sub(now.duration_since(unclear.since)).filter(|left| !left.is_zero())
    }

    /// How long before the last list a plan was left whose end nobody saw.
    #[must_use]
    pub fn unseen(&self) -> Option<Duration> {
        let listed = self.observed.as_ref().map(|(_, at)| *at);
        self.left.map(|left| listed.map_or(Duration::ZERO, |at| at.saturating_duration_since(left)))
    }

    /// Whether more is to be seen in Okta than when it was last asked: what it promised and did not show, or what is left of
    /// a plan whose end nobody saw.
    #[must_use]
    pub fn awaits_okta(&self) -> bool {
        self.promised.is_some() || self.unseen().is_some_and(|unseen| unseen < plan::SETTLES_WITHIN)
    }

    /// How long to stay away before `calls` calls; `None`: they may be made now.
    #[must_use]
    pub fn must_wait(&self, calls: u32, priority: Priority, now: Instant) -> Option<Duration> {
        match self.rate.may_call(now.into_std(), calls, priority) {
            MayCall::Now => None,
            MayCall::WaitUntil(until) => Some(until.saturating_duration_since(now.into_std())),
        }
    }

    /// Takes in what came beside an answer or a failure.
    pub fn took<T>(&mut self, result: &CallResult<T>, now: Instant) {
        match result {
            Ok(answer) => self.rate.answered(now.into_std(), answer.rate, 1),
            Err(error) => self.rate.failed(now.into_std(), error),
        }
    }
}

/// One org's state and what others may see of it.
#[derive(Default)]
pub struct Session {
    /// The state; held for as long as a pass or a run lasts.
    pub state: Arc<tokio::sync::Mutex<State>>,
    /// Secrets that are to be written anew; may be raised while a pass has the state.
    pub doubts: Doubts,
    shown: Mutex<Shown>,
    standing: Mutex<Known>,
    tenure: Mutex<Option<Tenure>>,
}

/// What is shown of an org.
#[derive(Default)]
struct Shown {
    view: Arc<OrgView>,
    /// Hooks of which was shown what was seen elsewhere: what is shown next is news to them, whatever it is.
    outdated: BTreeSet<ObjectRef>,
}

/// What a proof is of: this object, at this address, by these certificates. Of another one nothing is known.
#[derive(Debug, PartialEq, Eq)]
struct Subject {
    uid: Option<String>,
    url: String,
    ca_bundle: Option<CaBundleRef>,
}

impl Subject {
    fn of(object: &OktaOrg) -> Self {
        Self { uid: object.uid(), url: object.spec.url.clone(), ca_bundle: object.spec.ca_bundle_ref.clone() }
    }
}

/// What an object has proven since this process began.
#[derive(Debug, Default)]
struct Known {
    /// Of what, and since when the object has proven nothing.
    of: Option<(Subject, Instant)>,
    standing: Standing,
}

impl Known {
    /// Begins anew with another one. Tells whether that is at another address, or another object's. An object that has proven nothing
    /// gains no time by calling another address.
    fn begin(&mut self, object: &OktaOrg) -> bool {
        let (subject, now) = (Subject::of(object), Instant::now());
        let (since, is_elsewhere) = match &self.of {
            Some((known, _)) if *known == subject => return false,
            Some((known, since)) => {
                let keeps = known.uid == subject.uid && !self.is_proven();
                (if keeps { *since } else { now }, (&known.uid, &known.url) != (&subject.uid, &subject.url))
            }
            None => (now, true),
        };
        *self = Self { of: Some((subject, since)), standing: Standing::Unknown };
        is_elsewhere
    }

    const fn is_proven(&self) -> bool {
        matches!(self.standing, Standing::Proven(_))
    }

    /// What `object` has proven, as it is declared now.
    fn standing(&self, object: &OktaOrg) -> Standing {
        let subject = Subject::of(object);
        match &self.of {
            Some((known, since)) if known.uid == subject.uid => match &self.standing {
                Standing::Unknown if since.elapsed() >= PROVES_WITHIN => Standing::Silent,
                standing if *known == subject => standing.clone(),
                Standing::Refused if since.elapsed() >= PROVES_WITHIN => Standing::Silent,
                _ => Standing::Unknown,
            },
            _ => Standing::Unknown,
        }
    }
}

impl Session {
    /// What the last pass found.
    #[must_use]
    pub fn view(&self) -> Arc<OrgView> {
        Arc::clone(&self.shown().view)
    }

    /// What an object has proven of the org since this process began.
    #[must_use]
    pub fn standing(&self, object: &OktaOrg) -> Standing {
        self.known().standing(object)
    }

    /// A pass over an object begins. What was seen elsewhere is not shown any more.
    fn begin(&self, object: &OktaOrg) {
        if self.known().begin(object) {
            let mut shown = self.shown();
            let view = std::mem::take(&mut shown.view);
            shown.outdated.extend(view.hooks.keys().cloned());
        }
    }

    /// Takes note of where a pass or a run acts that has the state, because the object manages the org there. Before any other may,
    /// it lets go of the state.
    pub fn acts(&self, at: Option<Tenure>) {
        *self.tenure.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }

    /// Where a pass or a run acts at the moment.
    fn tenure(&self) -> Option<Tenure> {
        let tenure = self.tenure.lock().unwrap_or_else(PoisonError::into_inner).clone();
        tenure.filter(|_| self.is_held())
    }

    /// Whether a pass or a run has the state.
    fn is_held(&self) -> bool {
        self.state.try_lock().is_err()
    }

    /// Takes note of what an object has proven. Tells whether it is news. A proof holds as long as the object is there and calls the
    /// same address: a token that is refused later, because somebody revoked it too early, moves no org from one object to another.
    pub fn stand(&self, object: &OktaOrg, now: Standing) -> bool {
        let mut known = self.known();
        if known.of.as_ref().is_none_or(|(subject, _)| *subject != Subject::of(object)) {
            // somebody else's by now
            return false;
        }
        if known.standing == now || known.is_proven() && !matches!(now, Standing::Proven(_)) {
            return false;
        }
        known.standing = now;
        true
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows what a pass found and tells which hooks' views changed.
    pub fn show(&self, view: OrgView) -> BTreeSet<ObjectRef> {
        let mut shown = self.shown();
        let mut changed = std::mem::take(&mut shown.outdated);
        let before = std::mem::replace(&mut shown.view, Arc::new(view));
        let (all, hooks) = (before.problem != shown.view.problem, &shown.view.hooks);
        let objects = before.hooks.keys().chain(hooks.keys());
        changed.extend(objects.filter(|object| all || before.hooks.get(*object) != hooks.get(*object)).cloned());
        changed
    }
}

/// How long after a start an object that no org was known to be of lets older ones have their say first.
const SETTLES: Duration = Duration::from_mins(1);

/// The session of one object.
#[derive(Default)]
struct Kept {
    session: Arc<Session>,
    /// The object is gone, and a pass or a run still had the state.
    is_gone: bool,
}

/// The sessions of all orgs.
pub struct Orgs {
    sessions: Mutex<HashMap<ObjectRef, Kept>>,
    deciding: Mutex<()>,
    began: Instant,
}

impl Default for Orgs {
    fn default() -> Self {
        Self { sessions: Mutex::default(), deciding: Mutex::default(), began: Instant::now() }
    }
}

impl Orgs {
    /// Whether every object had its time to prove what it can.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.began.elapsed() >= SETTLES
    }

    /// What an object has proven.
    #[must_use]
    pub fn standing(&self, object: &OktaOrg) -> Standing {
        let sessions = self.sessions();
        sessions.get(&object_ref(object)).map(|kept| kept.session.standing(object)).unwrap_or_default()
    }

    /// The session of an `OktaOrg`, with a pass over it that begins.
    pub fn begin(&self, object: &OktaOrg) -> Arc<Session> {
        let mut sessions = self.sessions();
        let kept = sessions.entry(object_ref(object)).or_default();
        kept.is_gone = false;
        kept.session.begin(object);
        Arc::clone(&kept.session)
    }

    /// The session of an `OktaOrg`.
    #[must_use]
    pub fn session(&self, namespace: &str, name: &str) -> Arc<Session> {
        Arc::clone(&self.sessions().entry(ObjectRef::new(namespace, name)).or_default().session)
    }

    /// What the last pass found over an `OktaOrg` that is there; empty when there was none.
    #[must_use]
    pub fn view(&self, namespace: &str, name: &str) -> Arc<OrgView> {
        let sessions = self.sessions();
        let kept = sessions.get(&ObjectRef::new(namespace, name)).filter(|kept| !kept.is_gone);
        kept.map(|kept| kept.session.view()).unwrap_or_default()
    }

    /// Lets nobody else decide who manages an org.
    pub fn decide(&self) -> MutexGuard<'_, ()> {
        self.deciding.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Objects that act on an org at the moment because they manage it, and where; `own` is not among them.
    #[must_use]
    pub fn acting(&self, own: &Arc<Session>) -> Vec<(ObjectRef, Tenure)> {
        let mut sessions = self.sessions();
        drop_ended(&mut sessions);
        let others = sessions.iter().filter(|(_, kept)| !Arc::ptr_eq(&kept.session, own));
        others.filter_map(|(object, kept)| Some((object.clone(), kept.session.tenure()?))).collect()
    }

    /// Forgets an `OktaOrg` that is gone, once nothing is done for it any more.
    pub fn forget(&self, namespace: &str, name: &str) {
        let mut sessions = self.sessions();
        if let Some(kept) = sessions.get_mut(&ObjectRef::new(namespace, name)) {
            kept.is_gone = true;
        }
        drop_ended(&mut sessions);
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<ObjectRef, Kept>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn drop_ended(sessions: &mut HashMap<ObjectRef, Kept>) {
    sessions.retain(|_, kept| !kept.is_gone || kept.session.is_held());
}

fn object_ref(org: &OktaOrg) -> ObjectRef {
    ObjectRef::new(org.namespace().unwrap_or_default(), org.name_any())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_that_never_has_a_clear_end_is_tried_less_and_less_often() {
        let (mut state, now) = (State::default(), Instant::now());
        let pause = |state: &State, priority, after| state.must_pause(priority, now + Duration::from_secs(after));
        let secs = |seconds| Some(Duration::from_secs(seconds));
        let unclear = || Some(("OktaServerError", "Okta answered 503".to_owned()));
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
