//! What is said of an org. Pure.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::active::Active;
use crate::operator::{
    model::claim::{self, Claim},
    runtime::{
        conditions::{self, Is, Progress},
        problem::Problem,
        reconcile::UNSEEN,
    },
    state::orgs::InUse,
};
use hookswitch_api::{
    ActiveHook, OktaChange, OktaOrg, OktaOrgStatus,
    reason::{Claimed, Reachable, Reason as _},
};
use hookswitch_okta::{
    ObjectRef, ObservedHook,
    owner_tag::InstallationTag,
    plan_record::PlanRecord,
    types::{HookStatus, OrgIdentity},
};

/// What is said of an org that another object manages.
pub fn manages(claim: &Claim) -> Option<String> {
    match claim {
        Claim::Ours => None,
        Claim::Theirs(other) => Some(format!(
            "OktaOrg {other} manages this org; it is the oldest whose credential Okta accepts. Delete one of the two."
        )),
        Claim::Recorded(other) => Some(format!(
            "OktaOrg {other} managed this org, and has not proven itself since this operator leads: see its condition Ready. \
             This object takes its place when that one's credential is refused, when that one is deleted, or when it is called \
             for {} minutes and proves nothing.",
            claim::PROVES_WITHIN.as_secs() / 60
        )),
    }
}

/// What a reconcile found.
#[derive(Debug, Clone, Default)]
pub struct OrgFindings {
    /// What is wrong, when something is.
    pub problem: Option<Problem>,
    /// What `Reachable` is to say; `None` keeps what it says.
    pub reachable: Option<(Is, Reachable, String)>,
    /// Who answers; `None` when not known.
    pub identity: Option<OrgIdentity>,
    /// Who manages the org; `None` keeps what was said of it.
    pub claim: Option<Claim>,
    /// The object has proven nothing, and had its time: what was said of its managing the org is not so any more.
    pub unproven: bool,
    /// The objects whose hooks are declared to be active.
    pub declared: BTreeSet<ObjectRef>,
    /// What Okta listed; `None` keeps what was said of it.
    pub observed: Option<Vec<ObservedHook>>,
    /// The plan under way.
    pub plan: Option<PlanRecord>,
    /// Nothing is left to do, and Okta shows everything that it promised.
    pub settled: bool,
}

impl OrgFindings {
    /// Which hook Okta uses, as far as this reconcile could see.
    #[must_use]
    pub fn in_use(&self, installation: &InstallationTag) -> InUse {
        // in the middle of a change of our own, what is active says nothing yet
        let still = !self.plan.as_ref().is_some_and(PlanRecord::is_under_way) && self.settled;
        let (true, None, Some(observed)) = (still, &self.problem, &self.observed) else { return InUse::Unknown };
        match Active::of(observed, installation).used(|object| self.declared.contains(object)) {
            None if observed.iter().any(|hook| hook.status != HookStatus::Inactive) => InUse::Other,
            None => InUse::Nobody,
            Some((_, Some(owner))) => InUse::Ours(owner.clone()),
            Some((_, None)) => InUse::Other,
        }
    }
}

/// The status of an org. `changes` were made in Okta since its last write.
#[must_use]
pub fn build(
    org: &OktaOrg,
    installation: &InstallationTag,
    found: &OrgFindings,
    changes: &[OktaChange],
) -> OktaOrgStatus {
    let mut status = org.status.clone().unwrap_or_default();
    let generation = org.metadata.generation;
    status.installation = Some(installation.as_str().to_owned());
    status.plan = found.plan.as_ref().and_then(|plan| serde_json::to_value(plan).ok());
    status.history.extend_from_slice(changes);
    let surplus = status.history.len().saturating_sub(OktaOrgStatus::MOST_HISTORY);
    status.history.drain(..surplus);
    if let Some(identity) = &found.identity {
        status.org_id = Some(identity.as_str().to_owned());
    }
    if let Some(observed) = &found.observed {
        status.active_hook = active(observed, installation, &found.declared);
    }
    let conditions = &mut status.conditions;
    let unasked = || (Is::Unknown, Reachable::NotAsked, "Okta has not been asked yet.".to_owned());
    let is_said = |known: &Condition| known.reason != Reachable::NotListed.as_str();
    let known = conditions::get(conditions, "Reachable").is_some_and(is_said);
    if let Some((is, reason, message)) = found.reachable.clone().or_else(|| (!known).then(unasked)) {
        conditions::set(conditions, is, reason, message, generation);
    }
    if let Some(claim) = &found.claim {
        status.claimed_by = claim.other().map(ToString::to_string);
    }
    let known = conditions::get(conditions, "Claimed").is_some();
    if let Some((is, reason, message)) = claimed(found.claim.as_ref(), status.org_id.as_deref(), known) {
        conditions::set(conditions, is, reason, message, generation);
    }
    if found.unproven {
        disclaim(conditions, generation);
    }
    let progress = match &found.problem {
        Some(problem) => problem.clone().progress(),
        None => Progress::Done("Okta answers, and this object manages the org.".into()),
    };
    conditions::set_progress(conditions, progress, generation);
    status.observed_generation = generation;
    status
}

fn claimed(claim: Option<&Claim>, id: Option<&str>, known: bool) -> Option<(Is, Claimed, String)> {
    match claim {
        Some(Claim::Ours) => {
            Some((Is::True, Claimed::Claimed, format!("This object manages org {}.", id.unwrap_or_default())))
        }
        Some(theirs) => manages(theirs).map(|message| (Is::False, Claimed::ClaimedByOther, message)),
        None if known => None,
        None => Some((Is::Unknown, Claimed::IdentityUnknown, UNPROVEN.to_owned())),
    }
}

const UNPROVEN: &str = "No call with this object's credential has proven which org it is of since this operator leads.";

/// Does not say any more that the object manages its org; that another one does is not touched.
fn disclaim(conditions: &mut Vec<Condition>, generation: Option<i64>) {
    if conditions::is_true(conditions, Claimed::CONDITION) {
        conditions::set(conditions, Is::Unknown, Claimed::IdentityUnknown, UNPROVEN, generation);
    }
}

/// The status of an org that no reconcile is run over, because objects that it would read cannot be listed.
#[must_use]
pub fn not_shown(org: &OktaOrg, unproven: bool) -> OktaOrgStatus {
    let (mut status, generation) = (org.status.clone().unwrap_or_default(), org.metadata.generation);
    conditions::set(&mut status.conditions, Is::Unknown, Reachable::NotListed, UNSEEN, generation);
    if unproven {
        disclaim(&mut status.conditions, generation);
    }
    status
}

fn active(
    observed: &[ObservedHook],
    installation: &InstallationTag,
    declared: &BTreeSet<ObjectRef>,
) -> Option<ActiveHook> {
    let active = Active::of(observed, installation);
    let (hook, owner) = active.used(|object| declared.contains(object))?;
    let owner = owner.map(ToString::to_string);
    Some(ActiveHook { id: hook.id.as_str().to_owned(), name: hook.shown_name(), owner })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use hookswitch_api::reason::Ready;

    fn said(status: &OktaOrgStatus, kind: &str) -> String {
        let said = conditions::get(&status.conditions, kind).unwrap();
        format!("{} {}", said.status, said.reason)
    }

    #[test]
    fn nothing_is_left_of_what_an_org_said_before_it_was_not_reconciled() {
        let claimed = |status: &str, reason: &str| {
            let since = "2026-01-01T00:00:00Z";
            let condition = |kind: &str, status: &str, reason: &str| json!({"type": kind, "status": status, "reason": reason, "message": "", "lastTransitionTime": since});
            let conditions = [condition("Claimed", status, reason), condition("Reachable", "True", "Reachable")];
            let org = json!({"metadata": {"name": "acme", "namespace": "otp"}, "status": {"conditions": conditions},
                "spec": {"url": "https://acme.okta.com", "auth": {"apiToken": {"secretRef": {"name": "o", "key": "t"}}}}});
            serde_json::from_value::<OktaOrg>(org).unwrap()
        };
        for (before, unproven, after) in [
            (("True", "Claimed"), false, "True Claimed"),
            (("True", "Claimed"), true, "Unknown IdentityUnknown"),
            (("False", "ClaimedByOther"), true, "False ClaimedByOther"),
        ] {
            let mut org = claimed(before.0, before.1);
            let not_shown = not_shown(&org, unproven);
            assert_eq!(
                (said(&not_shown, "Claimed"), said(&not_shown, "Reachable")),
                (after.into(), "Unknown NotListed".into())
            );

            org.status = Some(not_shown);
            let problem = Some(Problem::transient(Ready::SecretNotFound, "no Secret".to_owned()));
            let (reachable, identity, claim, observed, plan) = (None, None, None, None, None);
            let declared = BTreeSet::new();
            let found =
                OrgFindings { problem, reachable, identity, claim, unproven, declared, observed, plan, settled: true };
            let status = build(&org, &InstallationTag::new("hookswitch-cluster").unwrap(), &found, &[]);
            assert_eq!(
                (said(&status, "Claimed"), said(&status, "Reachable")),
                (after.into(), "Unknown NotAsked".into())
            );
        }
    }
}
