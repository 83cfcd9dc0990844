//! `OktaOrg`: lists an org's hooks, plans for all hooks declared for it together, and brings Okta to the plan.
//!
//! `dereference → validate → connect → identify → claim → list → plan → record → act → plan again → status`.

mod act;
mod active;
mod api_error;
mod deletion;
mod dereference;
mod desired;
mod drift;
mod hook_views;
mod observe;
mod reconciliation;
mod status;
mod stop;
mod takeover;

use std::sync::Arc;

use kube::ResourceExt as _;

use self::reconciliation::{Planned, Reconciliation};
use super::context::Context;
use crate::operator::{
    model::claim,
    runtime::{
        cache::Index,
        error::ReconcileError,
        reconcile::{Reconcile, Requeue},
        triggers::Target,
    },
    state::caches::By,
};
use hookswitch_api::{Kind, OktaOrg, OktaOrgStatus};
use hookswitch_fair::Bounds;
use hookswitch_okta::{ObjectRef, limits::Priority};

impl Reconcile for OktaOrg {
    type Context = Context;

    const KIND: Kind = Kind::OktaOrg;
    /// A reconcile waits for Okta, which may be slow: up to the deadline of a reconcile.
    const PERMITS: Bounds = Bounds { all: 64, each: 8, urgent: 8, all_urgent: 256 };
    const READS: &'static [Kind] = &[Self::KIND, Kind::TelephonyHook, Kind::HookSwitch, Kind::TelephonyGateway];

    fn index(ctx: &Context) -> &Index<Self> {
        &ctx.memory.caches.orgs
    }

    fn dependents(&self, ctx: &Context) -> Vec<Target> {
        let (namespace, name) = (self.namespace().unwrap_or_default(), self.name_any());
        let hooks = ctx.memory.caches.hooks.found(&namespace, &By::Org(name));
        let hooks = hooks.iter().map(|hook| Target::new(Kind::TelephonyHook, &namespace, hook.name_any()));
        hooks.chain(claim::concerned(self, &ctx.memory.caches.orgs.all())).collect()
    }

    fn met(object: &Self, ctx: &Context) {
        ctx.memory.orgs.begin(object);
    }

    fn unobserved(object: &Self, ctx: &Context) -> OktaOrgStatus {
        status::not_shown(object, reconciliation::is_unproven(object, &ctx.memory.orgs))
    }

    fn gone(object: &Self, ctx: &Context) {
        ctx.memory.orgs.forget(&object.namespace().unwrap_or_default(), &object.name_any());
    }

    fn is_urgent(object: &Self, ctx: &Context) -> bool {
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        // a recorded plan may have a gap that is open
        object.status.as_ref().is_some_and(|status| status.plan.is_some())
            || ctx.memory.caches.urgency_of(&namespace, &name).reads() > Priority::Routine
    }

    async fn reconcile(object: Arc<Self>, ctx: Arc<Context>) -> Result<Requeue, ReconcileError> {
        // holds or lets go
        let Some(object) = deletion::settle(&object, &ctx.runtime.kube, &ctx.memory.caches).await? else {
            return Ok(Requeue::OnChange);
        };
        // reads
        let facts = dereference::dereference(&object, &ctx.runtime.references, &ctx.options).await?;
        // decides
        let access = dereference::validate(&object, facts);
        // reads, plans and changes Okta
        let mut org = Reconciliation::begin(&ctx, &object).await;
        let Planned { found, hooks, wait } = org.bring_okta_to_plan(access).await?;
        // publishes what was found to hooks and switches; the hooks hear of it however the writes before their reconciles end
        let (found, changed) = org.publish(found, hooks)?;
        let _woken = ctx.runtime.triggers.at_the_end(changed.iter().map(hook_target));
        // writes what must not be forgotten, then the status
        org.write_applied(&changed).await?;
        org.write_status(&found).await?;
        // the state is let go before anybody is woken
        drop(org);
        let leaving = object.metadata.deletion_timestamp.is_some();
        Ok(Requeue::After(if leaving { wait.min(deletion::GRACE) } else { wait }))
    }
}

fn hook_target(hook: &ObjectRef) -> Target {
    Target::new(Kind::TelephonyHook, &hook.namespace, &hook.name)
}
