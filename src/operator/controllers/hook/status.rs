//! What is said of a hook. The builder is pure; only [`write`] reaches the API server.

use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;

use super::deletion;
use crate::operator::{
    model::ownership::{self, Declarations, Ownership},
    resolve::endpoint::{Destination, Endpoint, EndpointFacts, host},
    runtime::{
        conditions::{self, Is, Progress},
        error::ReconcileError,
        kube::Kube,
        problem::Problem,
        status,
    },
    state::{
        Memory,
        caches::Caches,
        orgs::{HookView, OrgView},
    },
};
use hookswitch_api::{
    HookTarget, Repointed, TelephonyHook, TelephonyHookStatus,
    reason::{Active, Created, Drift, Ready},
};
use hookswitch_okta::{
    ObjectRef,
    plan::{Blocked, HookOutcome, Waiting},
    types::HookStatus,
};

/// Writes the status of a hook from what is known now.
///
/// # Errors
/// [`ReconcileError`].
pub async fn write(
    hook: &TelephonyHook,
    declared: &Declarations,
    kube: &Kube,
    memory: &Memory,
    facts: &EndpointFacts,
    endpoint: Result<Endpoint, Problem>,
) -> Result<(), ReconcileError> {
    let namespace = hook.namespace().unwrap_or_default();
    let view = hook.spec.okta.as_ref().map(|okta| memory.orgs.view(&namespace, &okta.org_ref.name));
    let object = ObjectRef::new(&namespace, hook.name_any());
    let endpoint = match ownership::of(hook, declared) {
        Ownership::Conflicting(why) => Err(Problem::permanent(Ready::SwitchConflict, why)),
        Ownership::Own | Ownership::Switch { .. } => endpoint,
    };
    let side = match &view {
        None => Side::NotWanted,
        Some(view) => Side::of(view, &object),
    };
    let repointed = ownership::repointed(hook, declared);
    let pointed = pointed(hook, repointed.as_ref(), &memory.caches);
    let mut status = build(hook, endpoint, facts.destination, &side, pointed);
    status.repointed = repointed;
    if let Some(why) = deletion::held(hook, memory) {
        conditions::set_progress(
            &mut status.conditions,
            Progress::Working(Ready::InUse, why),
            hook.metadata.generation,
        );
    }
    let known = hook.status.as_ref();
    if known.and_then(|known| known.applied_secret_mark.as_ref()) != status.applied_secret_mark.as_ref() {
        status.secret_applied_at = status.applied_secret_mark.is_some().then(|| status::second(Timestamp::now()));
    }
    status::write(kube, hook, status).await?;
    Ok(())
}

/// What a switch that repoints makes of a hook, for people.
fn pointed(hook: &TelephonyHook, repointed: Option<&Repointed>, caches: &Caches) -> Option<String> {
    if let Some(repointed) = repointed {
        return Some(format!("Okta sends this hook's passcodes to TelephonyHook {} (strategy Repoint).", repointed.to));
    }
    let active = |other: &Arc<TelephonyHook>| other.status.as_ref().is_some_and(TelephonyHookStatus::is_active_in_okta);
    let by = caches.pointed_here(hook).filter(active)?;
    Some(format!("Okta sends passcodes here, because TelephonyHook {} was repointed to this hook.", by.name_any()))
}

/// What Okta's side says of a hook.
#[derive(Debug)]
pub enum Side<'v> {
    /// Nothing is wanted in Okta.
    NotWanted,
    /// The org's reconcile has not spoken of this hook yet.
    NotPlanned,
    /// Something is wrong with the org.
    OrgProblem(&'v Problem),
    /// What the last plan said.
    Planned(&'v HookView),
}

impl<'v> Side<'v> {
    fn of(view: &'v OrgView, object: &ObjectRef) -> Self {
        match (view.hooks.get(object), &view.problem) {
            (Some(view), _) => Self::Planned(view),
            (None, Some(problem)) => Self::OrgProblem(problem),
            (None, None) => Self::NotPlanned,
        }
    }
}

/// The status of a hook.
#[must_use]
pub fn build(
    hook: &TelephonyHook,
    endpoint: Result<Endpoint, Problem>,
    destination: Destination,
    side: &Side<'_>,
    pointed: Option<String>,
) -> TelephonyHookStatus {
    let mut status = hook.status.clone().unwrap_or_default();
    let generation = hook.metadata.generation;
    if let Side::Planned(view) = side {
        status.okta_id = view.verdict.hook.as_ref().map(|id| id.as_str().to_owned());
        status.okta_state = view.verdict.status.map(|state| shown_state(state).to_owned());
        status.applied_secret_mark =
            view.applied_fingerprint.as_ref().map(|fingerprint| fingerprint.as_str().to_owned());
        // both of one format, of which the later sorts behind
        status.secret_applied_at = status.secret_applied_at.take().max(view.rewritten.clone());
        if view.drift.is_some() {
            status.last_drift.clone_from(&view.drift);
        }
    }
    let (url, problem) = match endpoint {
        Ok(endpoint) => (Some(endpoint.url), None),
        // the address stays while what makes it up is being put right
        Err(problem) => (status.url.take(), Some(problem)),
    };
    status.url = url;
    status.target = match &hook.spec.target {
        HookTarget::Gateway(gateway) => Some(gateway.name.clone()),
        HookTarget::Url(url) => host(&url.address),
    };
    let served_before = status.observed_generation == generation && conditions::is_true(&status.conditions, "Ready");
    if problem.is_none() && served_before && matches!(side, Side::NotPlanned) {
        // A leader that has just begun: what the one before it saw stays until this one has asked Okta.
        return status;
    }
    let progress = match problem {
        Some(problem) => problem.progress(),
        None if is_outdated(side, generation) => {
            Progress::Working(Ready::Progressing, "The changed spec is being applied in Okta.".into())
        }
        None => progress(side, destination, served_before, status.okta_state.as_deref()),
    };
    let changes = &mut status.conditions;
    let (is, reason, message) = created(side, status.okta_id.as_deref());
    conditions::set(changes, is, reason, message, generation);
    let (is, reason, message) = active(side, status.okta_state.as_deref(), pointed);
    conditions::set(changes, is, reason, message, generation);
    match side {
        Side::Planned(view) if view.verdict.hook.is_some() => {
            let (is, reason, message) =
                drifted(view, status.observed_generation == generation && view.generation == generation);
            conditions::set(changes, is, reason, message, generation);
        }
        _ => {}
    }
    conditions::set_progress(changes, progress, generation);
    status.observed_generation = generation;
    status
}

/// Whether the last plan was made for another spec.
fn is_outdated(side: &Side<'_>, generation: Option<i64>) -> bool {
    matches!(side, Side::Planned(view) if view.generation != generation)
}

const fn shown_state(state: HookStatus) -> &'static str {
    match state {
        HookStatus::Active => TelephonyHookStatus::ACTIVE,
        HookStatus::Inactive => "INACTIVE",
        HookStatus::Unreadable => "UNKNOWN",
    }
}

fn progress(side: &Side<'_>, destination: Destination, served_before: bool, state: Option<&str>) -> Progress {
    match side {
        // a gateway's bad minute later on is the gateway's to report, and a URL's is its switch's
        Side::NotWanted if served_before || destination.is_ready() => {
            let by_us = matches!(destination, Destination::Gateway(_));
            let whose = if by_us { "The gateway serves this hook." } else { "Somebody else serves this hook's URL." };
            Progress::Done(whose.into())
        }
        Side::NotWanted => {
            let (reason, why) = unserved(destination);
            Progress::Working(reason, format!("It cannot take calls yet: {why}"))
        }
        Side::NotPlanned => Progress::Working(Ready::Progressing, "Waiting for the org's next poll of Okta.".into()),
        Side::OrgProblem(problem) => Progress::Retrying(
            Ready::OrgNotReady,
            format!("The OktaOrg is not ready ({}): {}", reason_of(problem), problem.message),
        ),
        Side::Planned(view) => planned(view, state, destination, served_before || destination.is_ready()),
    }
}

fn reason_of(problem: &Problem) -> &'static str {
    hookswitch_api::reason::Reason::as_str(problem.reason)
}

fn planned(view: &HookView, state: Option<&str>, destination: Destination, served: bool) -> Progress {
    if let Some(owner) = &view.of_sibling {
        let message = format!(
            "TelephonyHook {owner} of another OktaOrg has the org's active hook. Name the same OktaOrg in all hooks of one org."
        );
        return Progress::Stalled(Ready::Conflict, message);
    }
    // a refusal that has another reason by now is not what stands in the way
    if let (Some(refusal), HookOutcome::Blocked(blocked)) = (&view.refusal, &view.verdict.outcome)
        && blocked_reason(blocked) == Ready::OktaRefused
    {
        return Progress::Stalled(Ready::OktaRefused, format!("{} ({refusal})", outcome_text(&view.verdict.outcome)));
    }
    match &view.verdict.outcome {
        HookOutcome::InSync if !served => {
            let (reason, why) = unserved(destination);
            Progress::Working(reason, format!("Okta has this hook as declared, and {why}"))
        }
        HookOutcome::InSync => {
            Progress::Done(format!("Okta has this hook as declared, {}.", state.unwrap_or("UNKNOWN")))
        }
        HookOutcome::Released => Progress::Done("Nothing is left to do in Okta.".into()),
        HookOutcome::Changing => {
            Progress::Working(Ready::Progressing, "Okta is being changed to match the spec.".into())
        }
        HookOutcome::Waiting(waiting) => Progress::Working(waiting_reason(*waiting, destination), waiting.to_string()),
        // a standby that cannot exist yet is as good as Okta lets it be
        HookOutcome::Blocked(Blocked::StandbyNotCreated) => Progress::Done(Blocked::StandbyNotCreated.to_string()),
        HookOutcome::Blocked(handed @ Blocked::HandedOver { .. }) => Progress::Done(handed.to_string()),
        HookOutcome::Blocked(waits @ Blocked::TakeoverWaits { .. }) => {
            Progress::Working(Ready::Waiting, waits.to_string())
        }
        HookOutcome::Blocked(blocked) => Progress::Stalled(blocked_reason(blocked), blocked.to_string()),
    }
}

/// What a hook waits for whose destination takes no calls yet.
const fn unserved(destination: Destination) -> (Ready, &'static str) {
    match destination {
        Destination::Url { .. } => {
            (Ready::UrlNotReached, "its URL has not been reached yet; see the HookSwitch that names it.")
        }
        Destination::Gateway(_) => (
            Ready::GatewayNotServing,
            "no ready replica of the gateway reports this hook yet; see the TelephonyGateway's conditions.",
        ),
    }
}

fn outcome_text(outcome: &HookOutcome) -> String {
    match outcome {
        HookOutcome::Blocked(blocked) => blocked.to_string(),
        HookOutcome::Waiting(waiting) => waiting.to_string(),
        HookOutcome::InSync | HookOutcome::Changing | HookOutcome::Released => String::new(),
    }
}

const fn waiting_reason(waiting: Waiting, destination: Destination) -> Ready {
    match waiting {
        Waiting::QuietPeriod(_) => Ready::Settling,
        Waiting::EndpointNotReady => unserved(destination).0,
        Waiting::SecretNotAccepted | Waiting::StandingNotReady => Ready::GatewayNotServing,
        Waiting::Settling | Waiting::Incomplete | Waiting::AfterOthers | Waiting::Undecided => Ready::Waiting,
    }
}

const fn blocked_reason(blocked: &Blocked) -> Ready {
    match blocked {
        Blocked::ForeignActive { .. } | Blocked::OrphanActive { .. } | Blocked::AnotherInstallation { .. } => {
            Ready::Conflict
        }
        Blocked::TakeoverRefused(_) => Ready::Conflict,
        Blocked::HandedOver { .. } | Blocked::TakeoverWaits { .. } => Ready::Waiting,
        Blocked::NameTaken { .. } | Blocked::AdoptionNotAllowed { .. } | Blocked::SameNameDeclared { .. } => {
            Ready::NameTaken
        }
        Blocked::TwoDeclaredActive { .. } => Ready::TwoActive,
        Blocked::HookLimit => Ready::HookLimit,
        Blocked::StandbyNotCreated => Ready::StandbyNotCreated,
        Blocked::StatusUnreadable => Ready::OktaUnclear,
        Blocked::ActivationRefused
        | Blocked::DeactivationRefused
        | Blocked::UpdateRefused
        | Blocked::DeletionRefused => Ready::OktaRefused,
    }
}

fn created(side: &Side<'_>, id: Option<&str>) -> (Is, Created, String) {
    match (side, id) {
        (Side::NotWanted, None) => (Is::False, Created::NotWanted, "The spec has no okta block.".into()),
        (_, Some(id)) => (Is::True, Created::Created, format!("Okta's id is {id}.")),
        (Side::Planned(view), None) => match &view.verdict.outcome {
            HookOutcome::Blocked(Blocked::StandbyNotCreated) => {
                (Is::False, Created::StandbyNotCreated, Blocked::StandbyNotCreated.to_string())
            }
            outcome => (Is::False, Created::NotYet, outcome_text(outcome)),
        },
        (Side::NotPlanned | Side::OrgProblem(_), None) => (Is::Unknown, Created::Unknown, String::new()),
    }
}

fn active(side: &Side<'_>, state: Option<&str>, pointed: Option<String>) -> (Is, Active, String) {
    match (side, state) {
        (Side::Planned(_), Some("ACTIVE")) => {
            let plain = || "Okta sends passcodes to this hook.".into();
            (Is::True, Active::Active, pointed.unwrap_or_else(plain))
        }
        (Side::NotWanted, _) if pointed.is_some() => (Is::True, Active::Active, pointed.unwrap_or_default()),
        (Side::Planned(_), Some("INACTIVE") | None) | (Side::NotWanted, _) => {
            (Is::False, Active::Inactive, "Okta sends no passcodes to this hook.".into())
        }
        _ => (Is::Unknown, Active::Unknown, "It is not known whether Okta uses this hook now.".into()),
    }
}

fn drifted(view: &HookView, settled: bool) -> (Is, Drift, String) {
    if view.verdict.drift.is_empty() || !settled {
        let message = "Okta has what was applied. The secret cannot be compared: see status.secretAppliedAt.";
        return (Is::False, Drift::InSync, message.to_owned());
    }
    let fields: Vec<String> = view.verdict.drift.iter().map(ToString::to_string).collect();
    (Is::True, Drift::Changed, format!("Changed in Okta: {}.", fields.join(", ")))
}
