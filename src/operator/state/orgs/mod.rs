//! What is kept of an org between reconciles, in memory: the client, what Okta last said, and what must not be repeated.
//!
//! Everything here can be lost: a new leader begins without it and finds the rest in Okta and in status.

mod connection;
mod pending_status;
mod plans;
pub mod secret_resync;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use kube::ResourceExt as _;
use tokio::time::Instant;

use self::secret_resync::SecretResyncs;
use crate::operator::{
    model::{
        claim::{OrgStanding, PROVES_WITHIN, Tenure},
        object_ref::object_ref,
        switch_progress::ProgressBySwitch,
    },
    runtime::{problem::Problem, triggers::Target},
};
use hookswitch_api::{CaBundleRef, HookDrift, OktaOrg};
use hookswitch_okta::{ObjectRef, fingerprint::Fingerprint, plan::HookVerdict};

pub use self::{connection::Connection, pending_status::PendingStatus, plans::Plans};

/// What the last reconcile found; hooks' reconciles read it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OrgView {
    /// What keeps the org from being listed.
    pub problem: Option<Problem>,
    /// What the last plan said, by hook. Empty until the first one.
    pub hooks: BTreeMap<ObjectRef, HookView>,
    /// Which hook Okta uses.
    pub in_use: InUse,
    /// What this process did to carry out the last decision of each switch.
    pub progress: ProgressBySwitch,
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
    pub verdict: HookVerdict,
    /// Fingerprint of the secret that Okta definitely has.
    pub applied_fingerprint: Option<Fingerprint>,
    /// When that secret was written anew because it was uncertain (RFC 3339); lately only.
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
    pub fn of(verdict: HookVerdict, generation: Option<i64>) -> Self {
        let (uri, applied_fingerprint, rewritten, refusal, of_sibling, drift) = (None, None, None, None, None, None);
        Self { generation, uri, verdict, applied_fingerprint, rewritten, refusal, of_sibling, drift }
    }
}

/// What is kept of an org, by what it is for.
#[derive(Default)]
pub struct OrgState {
    /// How it is reached.
    pub connection: Connection,
    /// What plans are made and carried out from.
    pub plans: Plans,
    /// What waits to be written to status.
    pub pending: PendingStatus,
}

impl OrgState {
    /// Forgets what is kept of objects that are not declared any more.
    pub fn keep(&mut self, objects: &BTreeSet<ObjectRef>) {
        self.plans.keep(objects);
        self.pending.keep(objects);
    }

    /// Forgets everything about Okta: it is reached by another client from now on. What was applied is kept.
    pub fn begin_anew(&mut self, made_of: Option<u64>) {
        self.connection = Connection { made_of, ..Connection::default() };
        self.plans.begin_anew();
        self.pending.begin_anew();
    }
}

/// One org's state and what others may see of it.
#[derive(Default)]
pub struct Session {
    /// The state; held for as long as a reconcile or a run lasts.
    pub state: Arc<tokio::sync::Mutex<OrgState>>,
    /// Secrets that are to be written anew; may be raised while a reconcile has the state.
    pub resyncs: SecretResyncs,
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
    standing: OrgStanding,
}

impl Known {
    /// Begins anew with another one. Returns whether that is at another address, or another object's. An object that has proven nothing
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
        *self = Self { of: Some((subject, since)), standing: OrgStanding::Unknown };
        is_elsewhere
    }

    const fn is_proven(&self) -> bool {
        matches!(self.standing, OrgStanding::Proven(_))
    }

    /// What `object` has proven, as it is declared now.
    fn standing(&self, object: &OktaOrg) -> OrgStanding {
        let subject = Subject::of(object);
        match &self.of {
            Some((known, since)) if known.uid == subject.uid => match &self.standing {
                OrgStanding::Unknown if since.elapsed() >= PROVES_WITHIN => OrgStanding::Silent,
                standing if *known == subject => standing.clone(),
                OrgStanding::Refused if since.elapsed() >= PROVES_WITHIN => OrgStanding::Silent,
                _ => OrgStanding::Unknown,
            },
            _ => OrgStanding::Unknown,
        }
    }
}

impl Session {
    /// What the last reconcile found.
    #[must_use]
    pub fn view(&self) -> Arc<OrgView> {
        Arc::clone(&self.shown().view)
    }

    /// What an object has proven of the org since this process began.
    #[must_use]
    pub fn standing(&self, object: &OktaOrg) -> OrgStanding {
        self.known().standing(object)
    }

    /// A reconcile over an object begins. What was seen elsewhere is not shown any more.
    fn begin(&self, object: &OktaOrg) {
        if self.known().begin(object) {
            let mut shown = self.shown();
            let view = std::mem::take(&mut shown.view);
            shown.outdated.extend(view.hooks.keys().cloned());
        }
    }

    /// Takes note of where a reconcile or a run acts that has the state, because the object manages the org there. Before any other may,
    /// it lets go of the state.
    pub fn acts(&self, at: Option<Tenure>) {
        *self.tenure.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }

    /// Where a reconcile or a run acts at the moment.
    fn tenure(&self) -> Option<Tenure> {
        let tenure = self.tenure.lock().unwrap_or_else(PoisonError::into_inner).clone();
        tenure.filter(|_| self.is_held())
    }

    /// Whether a reconcile or a run has the state.
    fn is_held(&self) -> bool {
        self.state.try_lock().is_err()
    }

    /// Takes note of what an object has proven. Returns whether it is news. A proof holds as long as the object is there and calls the
    /// same address: a token that is refused later, because somebody revoked it too early, moves no org from one object to another.
    pub fn stand(&self, object: &OktaOrg, now: OrgStanding) -> bool {
        let mut known = self.known();
        if known.of.as_ref().is_none_or(|(subject, _)| *subject != Subject::of(object)) {
            // somebody else's by now
            return false;
        }
        if known.standing == now || known.is_proven() && !matches!(now, OrgStanding::Proven(_)) {
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

    /// Shows what a reconcile found and returns which hooks' views changed.
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
    /// The object is gone, and a reconcile or a run still had the state.
    is_gone: bool,
}

/// The sessions of all orgs.
pub struct Orgs {
    sessions: Mutex<HashMap<ObjectRef, Kept>>,
    deciding: Mutex<()>,
    began: Instant,
}

impl std::fmt::Debug for Orgs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Orgs")
    }
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
    pub fn standing(&self, object: &OktaOrg) -> OrgStanding {
        let sessions = self.sessions();
        sessions.get(&object_ref(object)).map(|kept| kept.session.standing(object)).unwrap_or_default()
    }

    /// The session of an `OktaOrg`, with a reconcile over it that begins.
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

    /// What the last reconcile found over an `OktaOrg` that is there; empty when there was none.
    #[must_use]
    pub fn view(&self, namespace: &str, name: &str) -> Arc<OrgView> {
        let sessions = self.sessions();
        let kept = sessions.get(&ObjectRef::new(namespace, name)).filter(|kept| !kept.is_gone);
        kept.map(|kept| kept.session.view()).unwrap_or_default()
    }

    /// Lets the secret of `hook` be written to Okta anew, because its calls are refused at the destination of the hook `destination`; at most
    /// once in ten minutes. Returns whether the org is to be reconciled for it.
    #[must_use]
    pub fn resync_secret(&self, org: &Target, hook: ObjectRef, destination: &str) -> bool {
        self.session(&org.namespace, &org.name).resyncs.raise(hook, destination, Instant::now())
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
