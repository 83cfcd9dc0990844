//! What hooks' reconciles are shown of an org's last plan. Pure.

use std::{collections::BTreeMap, time::Duration};

use super::desired::{self, Declared};
use crate::operator::{
    model::object_ref::object_ref,
    state::orgs::{HookView, OrgState, secret_resync::SecretResyncs},
};
use hookswitch_okta::{
    ObjectRef, Plan,
    plan::{self, Blocked, HookOutcome},
    types::HookStatus,
};

/// What is shown, by hook.
pub type HookViews = BTreeMap<ObjectRef, HookView>;

/// What a plan says of each declared hook. `is_sibling`: whether an owner is, or may be, another hook of this installation.
pub fn views(
    plan: &Plan,
    declared: &[Declared],
    state: &OrgState,
    resyncs: &SecretResyncs,
    is_sibling: impl Fn(&ObjectRef) -> bool,
) -> HookViews {
    let mut views = HookViews::new();
    for verdict in &plan.verdicts {
        let Some(one) = declared.iter().find(|one| object_ref(&one.hook) == verdict.object) else { continue };
        let applied_fingerprint = desired::applied_fingerprint(&one.hook, &verdict.object, state);
        let refusal = state.plans.refusal(&verdict.object);
        let mut verdict = verdict.clone();
        if let HookOutcome::Waiting(plan::Waiting::QuietPeriod(left)) = &mut verdict.outcome {
            // how long is left changes with every evaluation, and is shown to nobody
            *left = Duration::ZERO;
        }
        let of_sibling = match &verdict.outcome {
            HookOutcome::Blocked(Blocked::OrphanActive { owner, .. }) if is_sibling(owner) => Some(owner.clone()),
            _ => None,
        };
        let drift = state.pending.drift(&verdict.object);
        let rewritten = resyncs.written(&verdict.object);
        let generation = one.hook.metadata.generation;
        let listed = state.plans.listed();
        let uri = listed.iter().find(|hook| Some(&hook.id) == verdict.hook.as_ref()).and_then(|hook| hook.uri.clone());
        views.insert(
            verdict.object.clone(),
            HookView { generation, uri, verdict, applied_fingerprint, rewritten, refusal, of_sibling, drift },
        );
    }
    views
}

/// Whether the hook that is to be active is, as far as anything says which one that is.
pub fn is_in_place(plan: &Plan, declared: &[Declared]) -> bool {
    plan.verdicts.iter().all(|verdict| {
        let one = declared.iter().find(|one| object_ref(&one.hook) == verdict.object);
        !one.is_some_and(Declared::is_to_be_active) || verdict.status == Some(HookStatus::Active)
    })
}
