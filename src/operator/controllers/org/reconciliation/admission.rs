//! Whether a plan may be begun now, and what of it.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{Admission, Draft, Reached, Reconciliation};
use crate::operator::{
    controllers::org::{
        act,
        desired::{Declared, Desired},
        observe,
        stop::Stop,
    },
    model::switch_progress::ProgressStep,
    runtime::error::ReconcileError,
};
use hookswitch_api::HookSwitch;
use hookswitch_okta::{Plan, limits::Priority, plan};

/// What may be begun.
struct Admitted {
    desired: Desired,
    plan: Plan,
    priority: Priority,
}

impl Reconciliation<'_> {
    /// The plan to carry out now, from what the API server and Okta have at this moment. It replaces the one that was made from caches.
    pub(super) async fn admit_fresh(
        &mut self,
        reached: &Reached,
        draft: &mut Draft,
    ) -> Result<Admission<Desired>, Stop> {
        // nothing is changed in Okta because of what a cache says
        let (switches, hooks) = tokio::try_join!(self.read_all::<HookSwitch>(), self.read_all())?;
        draft.switches = switches.into_iter().map(Arc::new).collect();
        draft.declared = self.declare(hooks, &draft.switches).await?;
        Ok(match self.admit_listed(reached, &draft.declared).await? {
            Admission::Granted(admitted) => {
                draft.plan = admitted.plan;
                Admission::Granted(admitted.desired)
            }
            Admission::Refused(not_now) => {
                draft.plan = self.plan(&draft.declared)?.1;
                Admission::Refused(not_now)
            }
        })
    }

    /// Lists Okta and plans anew. Nothing is asked for a plan that could not begin.
    async fn admit_listed(&mut self, reached: &Reached, declared: &[Declared]) -> Result<Admission<Admitted>, Stop> {
        let priority = match self.admit(declared, 1)? {
            Admission::Granted(admitted) => admitted.priority.max(self.priority),
            refused @ Admission::Refused(_) => return Ok(refused),
        };
        let (ctx, begun) = (self.ctx, Instant::now());
        observe::list(&ctx.metrics, &reached.api, self.state_mut()?, &reached.host, Duration::ZERO, priority).await?;
        self.steps.push(ProgressStep::ended("List", begun, Instant::now()));
        Ok(self.admit(declared, 0)?)
    }

    /// The whole plan, when it and `more` calls may be made as routine; else what of it a failover needs, or what may spare one.
    fn admit(&mut self, declared: &[Declared], more: u32) -> Result<Admission<Admitted>, ReconcileError> {
        let (desired, whole) = self.plan(declared)?;
        let (ctx, state) = (self.ctx, self.state_mut()?);
        let Err(not_now) = act::may_begin(&ctx.runtime.lease, state, &whole, more, Priority::Routine) else {
            return Ok(Admission::Granted(Admitted { desired, plan: whole, priority: Priority::Routine }));
        };
        let observed = state.plans.listed();
        let parts = [
            (plan::urgent(observed, &desired.org), Priority::Failover),
            (plan::remedy(observed, &desired.org), Priority::Suspicion),
        ];
        let part = parts.into_iter().find(|(part, _)| !part.moves.is_empty());
        let Some((part, priority)) = part else { return Ok(Admission::Refused(not_now)) };
        Ok(match act::may_begin(&ctx.runtime.lease, state, &part, more, priority) {
            Ok(()) => Admission::Granted(Admitted { desired, plan: part, priority }),
            Err(not_now) => Admission::Refused(not_now),
        })
    }
}
