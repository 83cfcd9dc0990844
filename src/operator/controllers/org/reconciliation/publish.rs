//! What a reconcile over an org shows: to hooks and switches, in status, and as Events.

use std::{collections::BTreeSet, sync::Arc};

use k8s_openapi::jiff::Timestamp;
use kube::{Api, Resource as _};
use tokio::time::Instant;

use super::{Draft, Reconciliation, answers, switches_of};
use crate::operator::{
    controllers::{
        hook,
        org::{
            desired::Declared,
            drift,
            hook_views::{self, HookViews},
            status::{self, OrgFindings},
        },
    },
    model::{claim::Claim, object_ref::object_ref, ownership::Ownership, switch_progress},
    resolve::endpoint,
    runtime::{error::ReconcileError, events::Note, status::write},
    state::orgs::{InUse, OrgView},
};
use hookswitch_api::{Kind, TelephonyHook};
use hookswitch_okta::{ObjectRef, Plan, plan, types::OrgIdentity};

impl Reconciliation<'_> {
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

    /// What is to be said of the hooks.
    pub(super) fn views(&mut self, draft: &Draft) -> Result<HookViews, ReconcileError> {
        let (all, listing) = (&self.ctx.memory.caches.hooks, &self.ctx.runtime.listing);
        // one in a namespace that cannot be listed is not taken for missing
        let is_sibling = |owner: &ObjectRef| {
            all.get(&owner.namespace, &owner.name).is_some()
                || !listing.is_listed(&owner.namespace, &[Kind::TelephonyHook])
        };
        let session = Arc::clone(&self.session);
        let state = self.state_mut()?;
        let views = hook_views::views(&draft.plan, &draft.declared, state, &session.resyncs, is_sibling);
        if draft.plan.moves.is_empty() {
            state.plans.idle();
            if hook_views::is_in_place(&draft.plan, &draft.declared) {
                state.plans.rested = Some(true);
            }
        }
        Ok(views)
    }

    /// What was found; `still`: nothing that is planned changes which hook is active.
    pub(super) fn found(
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
        let (identity, claim) = (Some(identity), Some(Claim::Ours));
        let declared = declared.iter().filter(|one| one.is_to_be_active()).map(|one| object_ref(&one.hook)).collect();
        Ok(OrgFindings { reachable, identity, claim, declared, observed, plan, settled, ..OrgFindings::default() })
    }

    /// Reports hooks that somebody changed in Okta: an Event, a count and the hook's status, once for each change.
    pub(super) fn publish_drift(&mut self, plan: &Plan, declared: &[Declared]) -> Result<(), ReconcileError> {
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
