//! From the declared hooks to what the planner takes.

use std::{
    collections::{BTreeMap, BTreeSet, hash_map::DefaultHasher},
    hash::{Hash as _, Hasher as _},
};

use kube::ResourceExt as _;
use tokio::time::Instant;

use super::active::Active;
use crate::operator::{
    model::ownership::Ownership,
    resolve::endpoint::{Destination, Endpoint},
    runtime::{finalizer, problem::Problem},
    state::orgs::OrgState,
};
use hookswitch_api::{HookAdoption, HookDeletion, HookState, TelephonyHook};
use hookswitch_message::Secret;
use hookswitch_okta::{
    DesiredHook, DesiredOrg, HookId, ObjectRef,
    fingerprint::{Fingerprint, FingerprintKey},
    owner_tag::InstallationTag,
    plan::{self, Adoption, Deletion, DesiredState, StateDecision, Takeover, Verb},
    plan_record::PlanRecord,
    types::Header,
};

/// A declared hook with what is known of its endpoint.
#[derive(Debug, Clone)]
pub struct Declared {
    /// The object.
    pub hook: TelephonyHook,
    /// Its endpoint, or what is wrong with it.
    pub endpoint: Result<Endpoint, Problem>,
    /// Where its calls go, and whether they are taken there.
    pub destination: Destination,
    /// Whether its destination takes the secret as it is now, as far as can be known.
    pub accepted: bool,
    /// Whether Okta may have another secret than the one that was last applied.
    pub resync_secret: bool,
    /// Who decides its state.
    pub ownership: Ownership,
    /// The object whose hook in Okta it takes over, if it may.
    pub takeover: Option<Takeover>,
}

impl Declared {
    /// Whether a hook is declared to be active, by itself or by its switch.
    #[must_use]
    pub fn is_to_be_active(&self) -> bool {
        match &self.ownership {
            Ownership::Own => self.hook.spec.state == Some(HookState::Active),
            Ownership::Switch { state, .. } => *state == Some(HookState::Active),
            Ownership::Conflicting(_) => false,
        }
    }

    fn object(&self) -> ObjectRef {
        ObjectRef::new(self.hook.namespace().unwrap_or_default(), self.hook.name_any())
    }

    /// What Okta would be given, and whose hook is in the way, as a hash: a refusal holds as long as it is the same.
    fn hash(&self, fingerprint: &Fingerprint, in_the_way: Option<&HookId>) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hook.metadata.generation.hash(&mut hasher);
        self.endpoint.as_ref().map(|endpoint| &endpoint.url).ok().hash(&mut hasher);
        self.destination.is_ready().hash(&mut hasher);
        fingerprint.as_str().hash(&mut hasher);
        in_the_way.map(HookId::as_str).hash(&mut hasher);
        hasher.finish()
    }
}

/// Everything declared for an org, as the planner takes it, with the hash of each hook's declaration.
pub struct Desired {
    /// For the planner.
    pub org: DesiredOrg,
    /// The hashes that refusals are remembered with.
    pub hashes: BTreeMap<ObjectRef, u64>,
}

/// What the org's status says, which outlives processes.
pub struct Recorded<'s> {
    /// The recorded plan.
    pub unfinished: Option<PlanRecord>,
    /// `<namespace>/<name>` of the active hook that was seen last, when it was ours.
    pub active: Option<&'s str>,
}

/// Puts together what is declared.
pub fn desired(
    installation: &InstallationTag,
    key: &FingerprintKey,
    declared: &[Declared],
    recorded: Recorded<'_>,
    state: &mut OrgState,
    now: Instant,
) -> Desired {
    let mut hashes = BTreeMap::new();
    let mut hooks = Vec::new();
    let Recorded { unfinished, active: last_active } = recorded;
    let rested = *state.plans.rested.get_or_insert_with(|| last_active.is_some_and(|owner| rests_on(declared, owner)));
    let observed = state.plans.listed();
    let active = Active::of(observed, installation);
    let in_the_way = active.others().map(|hook| hook.id.clone());
    // only what was in place and is not any more is somebody's doing: what our own plan left half done is finished
    let under_way = unfinished.as_ref().is_some_and(PlanRecord::is_under_way);
    let settled = !under_way && plan::is_settled(observed, state.plans.promised(now).as_ref());
    let moved = if settled && rested { moved_by_hand(declared, &active) } else { BTreeSet::new() };
    for one in declared {
        let object = one.object();
        let fingerprint = match &one.endpoint {
            Ok(endpoint) => key.secret(&object, &endpoint.auth_header, endpoint.secret.expose()),
            Err(_) => applied_fingerprint(&one.hook, &object, state).unwrap_or_else(|| Fingerprint::stored("")),
        };
        let hash = one.hash(&fingerprint, in_the_way.as_ref());
        hashes.insert(object.clone(), hash);
        let refused = state.plans.refused(&object, hash, now);
        let state_wanted = wanted(one, &moved);
        hooks.push(hook(one, object, fingerprint, refused, state_wanted, state));
    }
    let quiet_for = state.plans.quiet_for(declarations(&hooks), now);
    let objects: BTreeSet<ObjectRef> = hooks.iter().map(|hook| hook.object.clone()).collect();
    state.keep(&objects);
    let promised = state.plans.promised(now);
    state.plans.met(unfinished.as_ref(), now);
    let not_shown = state.plans.not_shown();
    Desired {
        org: DesiredOrg { installation: installation.clone(), hooks, quiet_for, unfinished, not_shown, promised },
        hashes,
    }
}

fn hook(
    one: &Declared,
    object: ObjectRef,
    fingerprint: Fingerprint,
    mut refused: BTreeSet<Verb>,
    wanted: Option<HookState>,
    state: &OrgState,
) -> DesiredHook {
    let spec = &one.hook.spec;
    let status = one.hook.status.as_ref();
    let known = status.and_then(|status| status.okta_id.clone()).and_then(|id| HookId::new(id).ok());
    let applied = applied_fingerprint(&one.hook, &object, state);
    let usable = one.endpoint.is_ok();
    // one whose deletion will owe a call is made only once its object is held
    let held = !spec.deletes_in_okta() || finalizer::holds(&one.hook, finalizer::OKTA);
    if !usable {
        // without a whole declaration nothing is written; what Okta has serves on, also when it is made active again
        refused.insert(Verb::Replace);
    }
    // a resync waits for when the secret can be written
    let resync_secret = one.resync_secret && !refused.contains(&Verb::Replace);
    let endpoint = one.endpoint.as_ref().ok();
    let stored_url = || status.and_then(|status| status.url.clone()).unwrap_or_default();
    DesiredHook {
        known_id: known,
        name: spec.okta.as_ref().map(|okta| okta.name.clone()).unwrap_or_default(),
        uri: endpoint.map_or_else(stored_url, |endpoint| endpoint.url.clone()),
        headers: endpoint.map_or_else(|| headers(&one.hook), |endpoint| endpoint.headers.clone()),
        auth_header: endpoint.map_or_else(|| spec.auth_header(), |endpoint| &endpoint.auth_header).to_owned(),
        secret: endpoint.map_or_else(|| Secret::from(""), |endpoint| endpoint.secret.clone()),
        // only another secret than the one that Okta has can be one that replicas do not know yet; a hook that is taken over
        // has another
        secret_accepted: one.accepted
            || applied.as_ref().map_or(one.takeover.is_none(), |applied| *applied == fingerprint),
        secret_fingerprint: fingerprint,
        applied_fingerprint: applied.filter(|_| !resync_secret),
        resync_secret,
        decision: match one.ownership {
            Ownership::Switch { state: Some(_), switching: true, .. } => StateDecision::Switching,
            Ownership::Switch { state: Some(_), .. } => StateDecision::Decided,
            Ownership::Switch { state: None, .. } => StateDecision::Undecided,
            Ownership::Own | Ownership::Conflicting(_) => StateDecision::Declared,
        },
        state: wanted.map(|state| match state {
            HookState::Active => DesiredState::Active,
            HookState::Inactive => DesiredState::Inactive,
        }),
        adoption: match spec.adoption {
            Some(HookAdoption::IfMatches) => Adoption::IfMatches,
            Some(HookAdoption::Never) | None => Adoption::Never,
        },
        takeover: one.takeover.clone(),
        deleting: one.hook.metadata.deletion_timestamp.is_some().then_some(match spec.deletion {
            Some(HookDeletion::Delete) => Deletion::Delete,
            Some(HookDeletion::Retain) | None => Deletion::Retain,
        }),
        complete: usable,
        endpoint_ready: held && one.destination.is_ready(),
        refused,
        object,
    }
}

/// The switches whose active hook somebody exchanged in Okta for another of theirs, while they were not switching. That is a
/// person's word: it is left as it is until the switch has taken it in. Where the one that is to be active is so too, nobody
/// exchanged anything.
fn moved_by_hand(declared: &[Declared], active: &Active<'_>) -> BTreeSet<String> {
    let mut decided: BTreeMap<&str, Vec<HookState>> = BTreeMap::new();
    for one in declared.iter().filter(|one| active.has(&one.object())) {
        if let Ownership::Switch { name, state: Some(state), switching: false } = &one.ownership {
            decided.entry(name).or_default().push(*state);
        }
    }
    let exchanged = decided.into_iter().filter(|(_, states)| !states.contains(&HookState::Active));
    exchanged.map(|(name, _)| name.to_owned()).collect()
}

/// Whether a switch wants the hook of `owner` active, and is not on its way there.
fn rests_on(declared: &[Declared], owner: &str) -> bool {
    declared.iter().any(|one| {
        let wanted =
            matches!(one.ownership, Ownership::Switch { state: Some(HookState::Active), switching: false, .. });
        wanted && one.object().to_string() == owner
    })
}

/// The state that a hook is to have.
fn wanted(one: &Declared, moved: &BTreeSet<String>) -> Option<HookState> {
    match &one.ownership {
        Ownership::Own => one.hook.spec.state,
        Ownership::Switch { name, state, .. } => state.filter(|_| !moved.contains(name)),
        Ownership::Conflicting(_) => None,
    }
}

fn headers(hook: &TelephonyHook) -> Vec<Header> {
    hook.spec.headers.iter().map(|header| Header::new(&header.name, &header.value)).collect()
}

/// The fingerprint of the secret that Okta has: what this process applied, else what status remembers.
pub fn applied_fingerprint(hook: &TelephonyHook, object: &ObjectRef, state: &OrgState) -> Option<Fingerprint> {
    match state.plans.applied.get(object) {
        Some(applied) => applied.clone(),
        None => hook.status.as_ref()?.applied_secret_mark.clone().map(Fingerprint::stored),
    }
}

/// What people declared, without what gateways do: that it stays the same is what counts.
fn declarations(hooks: &[DesiredHook]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for hook in hooks {
        hook.object.hash(&mut hasher);
        let state = hook.state.filter(|_| hook.decision == StateDecision::Declared);
        state.map(|state| state == DesiredState::Active).hash(&mut hasher);
        (&hook.name, &hook.uri, &hook.auth_header).hash(&mut hasher);
        hook.deleting.is_some().hash(&mut hasher);
    }
    hasher.finish()
}
