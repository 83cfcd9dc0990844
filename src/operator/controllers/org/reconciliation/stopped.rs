//! What is said of an org whose reconcile was stopped before it came to a plan.

use std::time::Duration;

use tokio::time::Instant;

use super::{Planned, Reconciliation, SOON, answers, is_unproven};
use crate::operator::{
    controllers::org::{
        api_error,
        hook_views::HookViews,
        status::{self, OrgFindings},
        stop::{Stop, is_denied},
    },
    model::claim::{Awaited, OrgStanding},
    runtime::{error::ReconcileError, problem::Problem},
};
use hookswitch_api::reason::Ready;

impl Reconciliation<'_> {
    pub(super) fn stopped(&mut self, stopped: Stop, poll: Duration) -> Result<Planned, ReconcileError> {
        if is_denied(&stopped) {
            self.stand(OrgStanding::Refused);
        }
        let unproven = is_unproven(&self.org, &self.ctx.memory.orgs);
        let mut found = OrgFindings { plan: self.record.clone(), unproven, settled: true, ..OrgFindings::default() };
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
                found.problem = Some(Problem::transient(Ready::Waiting, waits_for(&awaited)));
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
}

fn waits_for(awaited: &Awaited) -> String {
    match awaited {
        Awaited::Answer(older) => {
            format!("OktaOrg {older} is older and may be of the same org. This one waits until that one has been checked.")
        }
        Awaited::Lists => "A namespace that is not listed yet may hold an older OktaOrg of this org; this one waits for a minute at most.".to_owned(),
        Awaited::End(before) => {
            format!("OktaOrg {before} managed this org until now. This one waits until that one's calls have ended.")
        }
    }
}
