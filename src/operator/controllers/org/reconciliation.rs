//! One reconcile over an org: `connect → identify → claim → list → plan → record → act → plan again`.

use std::{collections::BTreeSet, fmt::Debug, sync::Arc, time::Duration};

use k8s_openapi::jiff::Timestamp;
use kube::{Api, Resource as _, ResourceExt as _, api::ListParams, core::NamespaceResourceScope};
use serde::de::DeserializeOwned;
use tokio::{sync::OwnedMutexGuard, time::Instant};

use super::{
    act::{self, NotNow},
    api_error,
    dereference::Unusable,
    desired::{self, Declared, Desired, Recorded},
    drift,
    hook_views::{self, HookViews},
    observe,
    status::{self, OrgFindings},
    stop::{Stop, is_denied},
    takeover,
};
use crate::operator::{
    controllers::{context::Context, hook},
    model::{
        claim::{self, Awaited, Claim, ClaimDecision, OrgLocation, OrgStanding, Tenure},
        object_ref::object_ref,
        org_access::{Access, allowance},
        ownership::{self, Declarations, Ownership},
        switch_progress::{self, ProgressStep},
    },
    outbound::okta::OrgApi,
    resolve::endpoint,
    runtime::{conditions::Is, error::ReconcileError, events::Note, problem::Problem, status::write, triggers::Target},
    state::{
        caches::Caches,
        orgs::{InUse, OrgState, OrgView, Orgs, Session},
    },
};
use hookswitch_api::{
    HookSwitch, Kind, OktaOrg, TelephonyHook,
    reason::{Reachable, Ready},
};
use hookswitch_okta::{ObjectRef, Plan, limits::Priority, plan, plan_record::PlanRecord, types::OrgIdentity};

/// Part of the poll interval after which a list is due: reconciles come a fifth early or late.
const DUE: f64 = 0.75;

/// Time until the next reconcile when a plan waits for the lease or for what follows a run.
const SOON: Duration = Duration::from_secs(1);

/// The switches that name one of these hooks: what they wait for may be so now.
fn switches_of(caches: &Caches, org: &OktaOrg, hooks: &HookViews) -> Vec<Target> {
    let namespace = org.namespace().unwrap_or_default();
    let naming = hooks.keys().flat_map(|hook| caches.naming(&namespace, &hook.name));
    let naming: BTreeSet<String> = naming.map(|switch| switch.name_any()).collect();
    naming.into_iter().map(|switch| Target::new(Kind::HookSwitch, &namespace, switch)).collect()
}

/// Whether an object has proven nothing since this process began, and had its time: it does not manage the org now, whatever it did.
pub fn is_unproven(org: &OktaOrg, orgs: &Orgs) -> bool {
    matches!(orgs.standing(org), OrgStanding::Refused | OrgStanding::Silent)
}

fn refers_to(hook: &TelephonyHook, org: &str) -> bool {
    hook.spec.okta.as_ref().is_some_and(|okta| okta.org_ref.name == org)
}

/// One reconcile over an org, from its first read to its status.
pub struct Reconciliation<'c> {
    ctx: &'c Arc<Context>,
    org: OktaOrg,
    session: Arc<Session>,
    /// The org's state; away only while a run has it.
    state: Option<OwnedMutexGuard<OrgState>>,
    /// The recorded plan, or what is left of it. It leaves the API server with the status that follows, after the hooks' own.
    record: Option<PlanRecord>,
    /// What its reads are for: a switch of the org may be waiting for them, or a secret is to be written that may spare one.
    priority: Priority,
    /// What was done for the plan before its first call.
    steps: Vec<ProgressStep>,
}

/// What a reconcile came to, up to status.
pub struct Planned {
    /// What is to be said of the org.
    pub found: OrgFindings,
    /// What is to be said of its hooks; nothing where that is not known.
    pub hooks: Option<HookViews>,
    /// When to list again.
    pub wait: Duration,
}

/// Whether a plan may be begun.
enum Admission<T> {
    Granted(T),
    Refused(NotNow),
}

impl<'c> Reconciliation<'c> {
    /// Waits for the org's state, and begins.
    pub async fn begin(ctx: &'c Arc<Context>, org: &OktaOrg) -> Self {
        let session = ctx.memory.orgs.begin(org);
        let state = Arc::clone(&session.state).lock_owned().await;
        session.acts(None);
        let record = org.status.as_ref().and_then(|status| status.plan.clone());
        let record = record.and_then(|record| serde_json::from_value(record).ok());
        let namespace = org.namespace().unwrap_or_default();
        let for_resync = if session.resyncs.any_open(Instant::now()) { Priority::Suspicion } else { Priority::Routine };
        let priority = ctx.memory.caches.urgency_of(&namespace, &org.name_any()).reads().max(for_resync);
        Self { ctx, org: org.clone(), session, state: Some(state), record, priority, steps: Vec::new() }
    }

    /// Shows hooks and switches what was found. Tells which hooks' views changed, with what is to be said of the org.
    ///
    /// # Errors
    /// [`ReconcileError::Panicked`] when a run that had the state came to grief.
    pub fn publish(
        &mut self,
        mut found: OrgFindings,
        hooks: Option<HookViews>,
    ) -> Result<(OrgFindings, BTreeSet<ObjectRef>), ReconcileError> {
        // what is not known now is not forgotten: hooks keep what was last said of them there
        let before = self.session.view();
        let hooks = hooks.unwrap_or_else(|| before.hooks.clone());
        let in_use = found.in_use(&self.ctx.installation.tag);
        let switches = if before.in_use == in_use && before.hooks == hooks {
            Vec::new()
        } else {
            switches_of(&self.ctx.memory.caches, &self.org, &hooks)
        };
        let state = self.state_mut()?;
        found.problem = found.problem.or_else(|| state.plans.hindrance());
        if let (InUse::Ours(active), Some((_, at))) = (&in_use, &state.plans.observed) {
            switch_progress::observe_active(&mut state.pending.progress, active, *at);
        }
        let progress = state.pending.progress.clone();
        let view = OrgView { problem: found.problem.clone(), hooks, in_use, progress };
        let changed = self.session.show(view);
        // a switch sees the view at once; what is written of it meanwhile is for the next leader
        self.ctx.runtime.triggers.wake_all(switches);
        Ok((found, changed))
    }

    /// Writes the org's status. What waits for status is written then.
    ///
    /// # Errors
    /// [`ReconcileError`].
    pub async fn write_status(&mut self, found: &OrgFindings) -> Result<(), ReconcileError> {
        let made = self.state_mut()?.pending.changes.clone();
        let status = status::build(&self.org, &self.ctx.installation.tag, found, &made);
        write(&self.ctx.runtime.kube, &self.org, status).await?;
        self.state_mut()?.pending.changes.clear();
        Ok(())
    }

    /// Everything up to status: reads Okta, plans, and changes Okta where the plan says so.
    ///
    /// # Errors
    /// [`ReconcileError`]; what is wrong with Okta is in the outcome.
    pub async fn bring_okta_to_plan(&mut self, access: Result<Access, Unusable>) -> Result<Planned, ReconcileError> {
        let poll = self.org.spec.poll_interval();
        let stopped = match self.plan_and_act(access).await {
            Ok(outcome) => {
                self.state_mut()?.connection.failed_call = None;
                return Ok(outcome);
            }
            Err(Stop::Kubernetes(error)) => return Err(error),
            Err(stopped) => stopped,
        };
        let plan = self.record.clone();
        let mut found = OrgFindings {
            problem: None,
            reachable: None,
            identity: None,
            claim: None,
            unproven: false,
            observed: None,
            plan,
            settled: true,
            declared: BTreeSet::new(),
        };
        if is_denied(&stopped) {
            self.stand(OrgStanding::Refused);
        }
        found.unproven = is_unproven(&self.org, &self.ctx.memory.orgs);
        let wait = match stopped {
            Stop::Kubernetes(error) => return Err(error),
            Stop::Problem(problem) | Stop::Unread(problem) => {
                found.problem = Some(problem);
                poll
            }
            Stop::Claimed(identity, claim) => {
                found.problem =
                    status::manages(&claim).map(|message| Problem::permanent(Ready::ClaimedByOther, message));
                found.reachable = Some(answers());
                (found.identity, found.claim) = (Some(identity), Some(claim));
                poll
            }
            Stop::Waits(awaited) => {
                let message = match awaited {
                    Awaited::Answer(older) => {
                        format!("OktaOrg {older} is older and may be of the same org. This one waits until that one has been checked.")
                    }
                    Awaited::Lists => {
                        "A namespace that is not listed yet may hold an older OktaOrg of this org; this one waits for a minute at most.".to_owned()
                    }
                    Awaited::End(before) => {
                        format!("OktaOrg {before} managed this org until now. This one waits until that one's calls have ended.")
                    }
                };
                found.problem = Some(Problem::transient(Ready::Waiting, message));
                found.reachable = Some(answers());
                SOON
            }
            Stop::HeldBack(wait) => {
                found.problem = Some(api_error::rate_limited());
                wait.clamp(SOON, poll)
            }
            Stop::Call(error) => {
                found.problem = Some(api_error::problem(&error, &self.org));
                found.reachable = Some(api_error::reachable(&error));
                let priority = self.priority;
                self.state_mut()?.connection.stay_away(error, priority, Instant::now())
            }
        };
        let permanent = found.problem.as_ref().is_some_and(|problem| problem.stalled);
        Ok(Planned { found, hooks: permanent.then(HookViews::new), wait })
    }

    async fn plan_and_act(&mut self, access: Result<Access, Unusable>) -> Result<Planned, Stop> {
        let access = access?;
        let (ctx, host, poll) = (self.ctx, access.url.host().to_owned(), self.org.spec.poll_interval());
        let (allowance, priority) = (allowance(&self.org), self.priority);
        let state = self.state_mut()?;
        let api = observe::connect(&*ctx.okta, &access, state)?;
        state.connection.rate.allow(allowance);
        if let Some(error) = state.connection.still_failing(priority, Instant::now()) {
            return Err(Stop::Call(error));
        }
        let document = observe::identify(&ctx.metrics, &api, state, &host, priority).await?;
        // what Okta may show yet is listed before the poll is due
        let oldest = if self.state_mut()?.plans.awaits_okta() { SOON } else { poll.mul_f64(DUE) };
        if !matches!(ctx.memory.orgs.standing(&self.org), OrgStanding::Proven(at) if at.is_reached_by(&access)) {
            // who is not let in has no say in whose the org is
            observe::list(&ctx.metrics, &api, self.state_mut()?, &host, oldest, priority).await?;
        }
        let location = OrgLocation::of(&access, &document);
        let identity = document.identity;
        match self.claim(&location) {
            ClaimDecision::Ours => {}
            ClaimDecision::Theirs(other) => return Err(Stop::Claimed(identity, Claim::Theirs(other))),
            ClaimDecision::Recorded(other) => return Err(Stop::Claimed(identity, Claim::Recorded(other))),
            ClaimDecision::Waits(awaited) => return Err(Stop::Waits(awaited)),
        }
        observe::list(&ctx.metrics, &api, self.state_mut()?, &host, oldest, priority).await?;
        self.state_mut()?.plans.settle(Instant::now());

        let hooks =
            ctx.memory.caches.hooks.in_namespace(&self.namespace()).iter().map(|hook| (**hook).clone()).collect();
        let mut switches = ctx.memory.caches.switches.in_namespace(&self.namespace());
        let mut declared = self.declare(hooks, &switches).await?;
        self.session.resyncs.keep(&declared.iter().map(|one| object_ref(&one.hook)).collect());
        let (_, mut plan) = self.plan(&declared)?;
        let mut begins = None;
        if !plan.moves.is_empty() {
            // nothing is changed in Okta because of what a cache says
            switches = self.read_all::<HookSwitch>().await?.into_iter().map(Arc::new).collect();
            declared = self.declare(self.read_all().await?, &switches).await?;
            begins = match self.admit_fresh(&api, &host, &declared).await? {
                Admission::Granted((desired, admitted)) => {
                    plan = admitted;
                    Some(Admission::Granted(desired))
                }
                Admission::Refused(not_now) => {
                    plan = self.plan(&declared)?.1;
                    Some(Admission::Refused(not_now))
                }
            };
        }
        self.publish_drift(&plan, &declared)?;
        let mut wait = next_listing(&plan, poll);
        match begins {
            _ if plan.moves.is_empty() => self.keep_record(&plan, true),
            None => {}
            Some(Admission::Refused(NotNow::Lease)) => wait = SOON,
            Some(Admission::Refused(NotNow::Later(until))) => wait = until.clamp(SOON, poll),
            Some(Admission::Granted(desired)) => {
                self.record(&plan).await?;
                let (steps, session) = (std::mem::take(&mut self.steps), Arc::clone(&self.session));
                self.act(api, act::Task { plan, desired, host, switches, steps, session }).await?;
                let Some(replanned) = self.plan_if_observed(&declared)? else {
                    return Ok(Planned { found: self.found(identity, false, &declared)?, hooks: None, wait: SOON });
                };
                if replanned.moves.is_empty() {
                    self.keep_record(&replanned, true);
                }
                plan = replanned;
                wait = next_listing(&plan, poll);
            }
        }
        let (all, listing) = (self.ctx.memory.caches.hooks.clone(), self.ctx.runtime.listing.clone());
        // one in a namespace that cannot be listed is not taken for missing
        let is_sibling = |owner: &ObjectRef| {
            all.get(&owner.namespace, &owner.name).is_some()
                || !listing.is_listed(&owner.namespace, &[Kind::TelephonyHook])
        };
        let session = Arc::clone(&self.session);
        let views = hook_views::views(&plan, &declared, self.state_mut()?, &session.resyncs, is_sibling);
        let idle = plan.moves.is_empty();
        if idle {
            self.state_mut()?.plans.idle();
        }
        if idle && hook_views::is_in_place(&plan, &declared) {
            self.state_mut()?.plans.rested = Some(true);
        }
        let found = self.found(identity, !plan.changes_active(), &declared)?;
        Ok(Planned { found, hooks: Some(views), wait })
    }

    /// The plan to carry out now, from what Okta has at this moment. Nothing is asked for one that could not begin.
    async fn admit_fresh(
        &mut self,
        api: &Arc<dyn OrgApi>,
        host: &str,
        declared: &[Declared],
    ) -> Result<Admission<(Desired, Plan)>, Stop> {
        let priority = match self.admit(declared, 1)? {
            Admission::Granted((_, _, priority)) => priority.max(self.priority),
            Admission::Refused(not_now) => return Ok(Admission::Refused(not_now)),
        };
        let (ctx, begun) = (self.ctx, Instant::now());
        observe::list(&ctx.metrics, api, self.state_mut()?, host, Duration::ZERO, priority).await?;
        self.steps.push(ProgressStep::ended("List", begun, Instant::now()));
        Ok(match self.admit(declared, 0)? {
            Admission::Granted((desired, plan, _)) => Admission::Granted((desired, plan)),
            Admission::Refused(not_now) => Admission::Refused(not_now),
        })
    }

    /// The whole plan, when it and `more` calls may be made as routine; else what of it a failover needs, or what may spare one.
    fn admit(
        &mut self,
        declared: &[Declared],
        more: u32,
    ) -> Result<Admission<(Desired, Plan, Priority)>, ReconcileError> {
        let (desired, whole) = self.plan(declared)?;
        let (ctx, state) = (self.ctx, self.state_mut()?);
        let Err(not_now) = act::may_begin(&ctx.runtime.lease, state, &whole, more, Priority::Routine) else {
            return Ok(Admission::Granted((desired, whole, Priority::Routine)));
        };
        let observed = state.plans.listed();
        let parts = [
            (plan::urgent(observed, &desired.org), Priority::Failover),
            (plan::remedy(observed, &desired.org), Priority::Suspicion),
        ];
        let part = parts.into_iter().find(|(part, _)| !part.moves.is_empty());
        let Some((part, priority)) = part else { return Ok(Admission::Refused(not_now)) };
        Ok(match act::may_begin(&ctx.runtime.lease, state, &part, more, priority) {
            Ok(()) => Admission::Granted((desired, part, priority)),
            Err(not_now) => Admission::Refused(not_now),
        })
    }

    fn namespace(&self) -> String {
        self.org.namespace().unwrap_or_default()
    }

    /// Takes note of what the object has proven; others that may be of the same org reconcile again when it is news.
    fn stand(&self, standing: OrgStanding) {
        if self.session.stand(&self.org, standing) {
            self.ctx.runtime.triggers.wake_all(claim::concerned(&self.org, &self.ctx.memory.caches.orgs.all()));
        }
    }

    /// Who manages the org at `location`, where the object's credential was taken.
    fn claim(&self, location: &OrgLocation) -> ClaimDecision {
        let (ctx, listing) = (self.ctx, &self.ctx.runtime.listing);
        // of two that decide at once, one sees what the other has proven and the other that it acts
        let _alone = ctx.memory.orgs.decide();
        self.stand(OrgStanding::Proven(location.clone()));
        let others: Vec<_> =
            ctx.memory.caches.orgs.all().into_iter().map(|org| (ctx.memory.orgs.standing(&org), org)).collect();
        let hidden = |namespace: &str| listing.covers(namespace) && !listing.is_listed(namespace, &[Kind::OktaOrg]);
        let visibility = claim::Visibility {
            settled: ctx.memory.orgs.is_settled(),
            any_hidden: listing.is_any_unlisted(Kind::OktaOrg),
            hidden: &hidden,
        };
        let decided = claim::decide(&self.org, location, &others, &visibility);
        if decided != ClaimDecision::Ours {
            return decided;
        }
        if let Some(other) = claim::before(&self.org, location, &ctx.memory.orgs.acting(&self.session)) {
            return ClaimDecision::Waits(Awaited::End(other));
        }
        self.session.acts(Some(Tenure::of(&self.org, location)));
        ClaimDecision::Ours
    }

    fn state_mut(&mut self) -> Result<&mut OrgState, ReconcileError> {
        self.state.as_deref_mut().ok_or(ReconcileError::Panicked)
    }

    /// The hooks of this org with what is known of their endpoints.
    async fn declare(
        &self,
        hooks: Vec<TelephonyHook>,
        switches: &[Arc<HookSwitch>],
    ) -> Result<Vec<Declared>, ReconcileError> {
        let name = self.org.name_any();
        let mut declared = Vec::new();
        let all: Vec<Arc<TelephonyHook>> = hooks.iter().cloned().map(Arc::new).collect();
        let declarations = Declarations::of(all.iter().cloned(), switches.iter().cloned());
        for hook in hooks.into_iter().filter(|hook| refers_to(hook, &name)) {
            let (facts, mut endpoint) = endpoint::destination(&hook, &declarations, &self.ctx.resolver).await?;
            let ownership = ownership::of(&hook, &declarations);
            if let Ownership::Conflicting(why) = &ownership {
                endpoint = Err(Problem::permanent(Ready::SwitchConflict, why));
            }
            let resync_secret = self.session.resyncs.is_open(&object_ref(&hook), Instant::now());
            let (destination, accepted) = (facts.destination, facts.accepted);
            let takeover = takeover::of(&hook, &all, &self.ctx.runtime.kube.client).await?;
            declared.push(Declared { hook, endpoint, destination, accepted, resync_secret, ownership, takeover });
        }
        Ok(declared)
    }

    /// All objects of a kind in the org's namespace, from the API server itself.
    async fn read_all<K>(&self) -> Result<Vec<K>, ReconcileError>
    where
        K: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    {
        let namespace = self.namespace();
        let api: Api<K> = Api::namespaced(self.ctx.runtime.kube.client.clone(), &namespace);
        let list = api.list(&ListParams::default()).await;
        Ok(list.map_err(ReconcileError::api(format!("list the {} of {namespace}", K::plural(&()))))?.items)
    }

    fn plan(&mut self, declared: &[Declared]) -> Result<(Desired, Plan), ReconcileError> {
        let unfinished = self.record.clone();
        let installation = &self.ctx.installation;
        let last_seen = self.org.status.as_ref().and_then(|status| status.active_hook.as_ref()?.owner.clone());
        let state = self.state.as_deref_mut().ok_or(ReconcileError::Panicked)?;
        let (tag, key) = (&installation.tag, &installation.key);
        let recorded = Recorded { unfinished, active: last_seen.as_deref() };
        let desired = desired::desired(tag, key, declared, recorded, state, Instant::now());
        let observed = state.plans.listed();
        let plan = plan::plan(observed, &desired.org);
        Ok((desired, plan))
    }

    /// Plans again after a run, when it could read back.
    fn plan_if_observed(&mut self, declared: &[Declared]) -> Result<Option<Plan>, ReconcileError> {
        if self.state_mut()?.plans.observed.is_none() {
            return Ok(None);
        }
        self.plan(declared).map(|(_, plan)| Some(plan))
    }

    /// Writes the plan down before its first call, on top of the very object that was read.
    async fn record(&mut self, plan: &Plan) -> Result<(), ReconcileError> {
        let begun = Instant::now();
        let intent = PlanRecord::of(plan, Timestamp::now().to_string());
        let value = serde_json::to_value(&intent).map_err(|_| ReconcileError::encoding("record the plan".into()))?;
        let mut status = self.org.status.clone().unwrap_or_default();
        status.plan = Some(value);
        self.record = Some(intent);
        if let Some(written) = write(&self.ctx.runtime.kube, &self.org, status).await? {
            self.org = written;
        }
        self.steps.push(ProgressStep::ended("Record", begun, Instant::now()));
        Ok(())
    }

    async fn act(&mut self, api: Arc<dyn OrgApi>, task: act::Task) -> Result<(), ReconcileError> {
        let state = self.state.take().ok_or(ReconcileError::Panicked)?;
        let plan = task.plan.clone();
        let actor = act::Actor {
            lease: self.ctx.runtime.lease.clone(),
            events: self.ctx.runtime.kube.events.clone(),
            memory: self.ctx.memory.clone(),
            installation: Arc::clone(&self.ctx.installation),
            metrics: self.ctx.metrics.clone(),
        };
        let run = act::act(actor, api, task, state).await;
        let (report, state) = run.ok_or(ReconcileError::Panicked)?;
        self.state = Some(state);
        self.keep_record(&plan, report.finished);
        Ok(())
    }

    /// Keeps of the record what is needed after `plan`.
    fn keep_record(&mut self, plan: &Plan, finished: bool) {
        self.record = self.record.take().and_then(|record| record.after(plan, finished));
    }

    /// What was found; `still`: nothing that is planned changes which hook is active.
    fn found(
        &mut self,
        identity: OrgIdentity,
        still: bool,
        declared: &[Declared],
    ) -> Result<OrgFindings, ReconcileError> {
        let plan = self.record.clone();
        let state = self.state_mut()?;
        let observed = state.plans.observed.as_ref().map(|(hooks, _)| hooks.clone());
        let promised = state.plans.promised(Instant::now());
        let settled = still && plan::is_settled(observed.as_deref().unwrap_or_default(), promised.as_ref());
        let reachable = Some(answers());
        let claim = Some(Claim::Ours);
        let declared = declared.iter().filter(|one| one.is_to_be_active()).map(|one| object_ref(&one.hook)).collect();
        let (identity, unproven) = (Some(identity), false);
        Ok(OrgFindings { problem: None, reachable, identity, claim, unproven, declared, observed, plan, settled })
    }

    /// Tells of hooks that somebody changed in Okta: an Event, a count and the hook's status, once for each change.
    fn publish_drift(&mut self, plan: &Plan, declared: &[Declared]) -> Result<(), ReconcileError> {
        for verdict in &plan.verdicts {
            let Some(one) = declared.iter().find(|one| object_ref(&one.hook) == verdict.object) else { continue };
            if matches!(one.ownership, Ownership::Switch { switching: true, .. }) {
                // what differs now is what the switch is about
                continue;
            }
            let state = self.state_mut()?;
            let exists = |id: &str| {
                let listed = state.plans.listed();
                listed.iter().any(|hook| hook.id.as_str() == id)
            };
            let fields = drift::by_hand(&one.hook, one.endpoint.as_ref().ok().map(|e| e.url.as_str()), verdict, exists);
            let names: Vec<String> = fields.iter().map(|(_, text)| text.clone()).collect();
            if !state.pending.drifted(&verdict.object, &names, Timestamp::now()) {
                continue;
            }
            for (field, _) in &fields {
                self.ctx.metrics.drift(self.org.spec.host(), field);
            }
            let text = format!("Somebody changed the hook in Okta: {}. It is being corrected.", names.join(", "));
            let note = Note { warning: true, reason: "Drifted".to_owned(), action: "Update", text };
            self.ctx.runtime.kube.events.publish(&one.hook.object_ref(&()), note);
        }
        Ok(())
    }

    /// Writes the status of hooks whose content a run applied: which secret Okta has must be known before the recorded
    /// plan is forgotten.
    pub async fn write_applied(&mut self, changed: &BTreeSet<ObjectRef>) -> Result<(), ReconcileError> {
        let applied: Vec<ObjectRef> = self.state_mut()?.plans.applied.keys().cloned().collect();
        for object in applied.iter().filter(|object| changed.contains(object)) {
            let api: Api<TelephonyHook> = Api::namespaced(self.ctx.runtime.kube.client.clone(), &object.namespace);
            let doing = format!("read TelephonyHook {object}");
            for last in [false, true] {
                let Some(hook) = api.get_opt(&object.name).await.map_err(ReconcileError::api(&doing))? else { break };
                let declared = self.ctx.memory.caches.about(&object.namespace, [object.name.as_str()]);
                let (facts, endpoint) = endpoint::destination(&hook, &declared, &self.ctx.resolver).await?;
                match hook::status::write(&hook, &declared, &self.ctx.runtime.kube, &self.ctx.memory, &facts, endpoint)
                    .await
                {
                    Err(error) if error.is_conflict() && !last => {}
                    other => {
                        other?;
                        break;
                    }
                }
            }
        }
        Ok(())
    }
}

/// When to list again: soon when something is left to do, when the planner says so, else at the next poll.
fn next_listing(plan: &Plan, poll: Duration) -> Duration {
    if plan.moves.is_empty() { plan.again_in.map_or(poll, |again| again.min(poll)) } else { SOON }
}

fn answers() -> (Is, Reachable, String) {
    (Is::True, Reachable::Reachable, "Okta's management API answers.".into())
}
