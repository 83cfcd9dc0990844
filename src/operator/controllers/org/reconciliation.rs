//! One reconcile over an org: `connect → identify → claim → list → plan → record → act → plan again`.

use std::{collections::BTreeSet, fmt::Debug, sync::Arc, time::Duration};

use k8s_openapi::jiff::Timestamp;
use kube::{Api, ResourceExt as _, api::ListParams, core::NamespaceResourceScope};
use serde::de::DeserializeOwned;
use tokio::{sync::OwnedMutexGuard, time::Instant};

use super::{
    act::{self, NotNow},
    dereference::Unusable,
    desired::{self, Declared, Desired, Recorded},
    hook_views::HookViews,
    observe,
    status::OrgFindings,
    stop::Stop,
    takeover,
};
use crate::operator::{
    controllers::context::Context,
    model::{
        claim::{self, Awaited, Claim, ClaimDecision, OrgLocation, OrgStanding, Tenure},
        object_ref::object_ref,
        org_access::{Access, allowance},
        ownership::{self, Declarations, Ownership},
        switch_progress::ProgressStep,
    },
    outbound::okta::OrgApi,
    resolve::endpoint,
    runtime::{conditions::Is, error::ReconcileError, problem::Problem, status::write, triggers::Target},
    state::{
        caches::Caches,
        orgs::{OrgState, Orgs, Session},
    },
};
use hookswitch_api::{
    HookSwitch, Kind, OktaOrg, TelephonyHook,
    reason::{Reachable, Ready},
};
use hookswitch_okta::{Plan, limits::Priority, plan, plan_record::PlanRecord, types::OrgDocument};

mod admission;
mod publish;
mod stopped;

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

/// The org that answers.
struct Reached {
    api: Arc<dyn OrgApi>,
    host: String,
    document: OrgDocument,
}

/// A plan, and what it was made of.
struct Draft {
    switches: Vec<Arc<HookSwitch>>,
    declared: Vec<Declared>,
    plan: Plan,
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

    /// Everything up to status: reads Okta, plans, and changes Okta where the plan says so.
    ///
    /// # Errors
    /// [`ReconcileError`]; what is wrong with Okta is in the outcome.
    pub async fn bring_okta_to_plan(&mut self, access: Result<Access, Unusable>) -> Result<Planned, ReconcileError> {
        let poll = self.org.spec.poll_interval();
        match self.plan_and_act(access).await {
            Ok(planned) => {
                self.state_mut()?.connection.failed_call = None;
                Ok(planned)
            }
            Err(stop) => self.stopped(stop, poll),
        }
    }

    async fn plan_and_act(&mut self, access: Result<Access, Unusable>) -> Result<Planned, Stop> {
        let access = access?;
        let reached = self.reach(&access).await?;
        self.manage(&access, &reached).await?;
        self.list(&reached).await?;
        self.state_mut()?.plans.settle(Instant::now());
        let mut draft = self.draft().await?;
        let begins =
            if draft.plan.moves.is_empty() { None } else { Some(self.admit_fresh(&reached, &mut draft).await?) };
        self.publish_drift(&draft.plan, &draft.declared)?;
        let poll = self.org.spec.poll_interval();
        let mut wait = next_listing(&draft.plan, poll);
        match begins {
            _ if draft.plan.moves.is_empty() => self.keep_record(&draft.plan, true),
            None => {}
            Some(Admission::Refused(NotNow::Lease)) => wait = SOON,
            Some(Admission::Refused(NotNow::Later(until))) => wait = until.clamp(SOON, poll),
            Some(Admission::Granted(desired)) => {
                let Some(replanned) = self.carry_out(&reached, &mut draft, desired).await? else {
                    let found = self.found(reached.document.identity, false, &draft.declared)?;
                    return Ok(Planned { found, hooks: None, wait: SOON });
                };
                draft.plan = replanned;
                wait = next_listing(&draft.plan, poll);
            }
        }
        let views = self.views(&draft)?;
        let found = self.found(reached.document.identity, !draft.plan.changes_active(), &draft.declared)?;
        Ok(Planned { found, hooks: Some(views), wait })
    }

    /// Connects to the org and asks which one answers.
    async fn reach(&mut self, access: &Access) -> Result<Reached, Stop> {
        let (ctx, host) = (self.ctx, access.url.host().to_owned());
        let (allowance, priority) = (allowance(&self.org), self.priority);
        let state = self.state_mut()?;
        let api = observe::connect(&*ctx.okta, access, state)?;
        state.connection.rate.allow(allowance);
        if let Some(error) = state.connection.still_failing(priority, Instant::now()) {
            return Err(Stop::Call(error));
        }
        let document = observe::identify(&ctx.metrics, &api, state, &host, priority).await?;
        Ok(Reached { api, host, document })
    }

    /// Goes on only when this object manages the org that answers.
    async fn manage(&mut self, access: &Access, reached: &Reached) -> Result<(), Stop> {
        let standing = self.ctx.memory.orgs.standing(&self.org);
        if !matches!(standing, OrgStanding::Proven(at) if at.is_reached_by(access)) {
            // who is not let in has no say in whose the org is
            self.list(reached).await?;
        }
        let identity = || reached.document.identity.clone();
        match self.claim(&OrgLocation::of(access, &reached.document)) {
            ClaimDecision::Ours => Ok(()),
            ClaimDecision::Theirs(other) => Err(Stop::Claimed(identity(), Claim::Theirs(other))),
            ClaimDecision::Recorded(other) => Err(Stop::Claimed(identity(), Claim::Recorded(other))),
            ClaimDecision::Waits(awaited) => Err(Stop::Waits(awaited)),
        }
    }

    /// Lists the hooks in Okta, unless a list is fresh enough.
    async fn list(&mut self, reached: &Reached) -> Result<(), Stop> {
        // what Okta may show yet is listed before the poll is due
        let awaits = self.state_mut()?.plans.awaits_okta();
        let oldest = if awaits { SOON } else { self.org.spec.poll_interval().mul_f64(DUE) };
        let (ctx, priority) = (self.ctx, self.priority);
        Ok(observe::list(&ctx.metrics, &reached.api, self.state_mut()?, &reached.host, oldest, priority).await?)
    }

    /// A plan from what caches have.
    async fn draft(&mut self) -> Result<Draft, ReconcileError> {
        let (caches, namespace) = (&self.ctx.memory.caches, self.namespace());
        let hooks = caches.hooks.in_namespace(&namespace).iter().map(|hook| (**hook).clone()).collect();
        let switches = caches.switches.in_namespace(&namespace);
        let declared = self.declare(hooks, &switches).await?;
        self.session.resyncs.keep(&declared.iter().map(|one| object_ref(&one.hook)).collect());
        let (_, plan) = self.plan(&declared)?;
        Ok(Draft { switches, declared, plan })
    }

    /// Records the plan, carries it out, and plans again. Nothing when the run could not read back.
    async fn carry_out(
        &mut self,
        reached: &Reached,
        draft: &mut Draft,
        desired: Desired,
    ) -> Result<Option<Plan>, ReconcileError> {
        self.record(&draft.plan).await?;
        let task = act::Task {
            plan: draft.plan.clone(),
            desired,
            host: reached.host.clone(),
            switches: std::mem::take(&mut draft.switches),
            steps: std::mem::take(&mut self.steps),
            session: Arc::clone(&self.session),
        };
        self.act(Arc::clone(&reached.api), task).await?;
        let replanned = self.plan_if_observed(&draft.declared)?;
        if let Some(plan) = replanned.as_ref().filter(|plan| plan.moves.is_empty()) {
            self.keep_record(plan, true);
        }
        Ok(replanned)
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
}

/// When to list again: soon when something is left to do, when the planner says so, else at the next poll.
fn next_listing(plan: &Plan, poll: Duration) -> Duration {
    if plan.moves.is_empty() { plan.again_in.map_or(poll, |again| again.min(poll)) } else { SOON }
}

fn answers() -> (Is, Reachable, String) {
    (Is::True, Reachable::Reachable, "Okta's management API answers.".into())
}
