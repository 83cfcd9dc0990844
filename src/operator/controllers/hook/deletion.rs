//! Deleting a hook's object: what Okta is owed, and when the object may go. One that Okta calls is served until it is not
//! called any more.

use std::{sync::Arc, time::Duration};

use kube::{Resource as _, ResourceExt as _};

use crate::operator::{
    model::{
        object_ref::object_ref,
        ownership::{self, Ownership},
    },
    runtime::{
        error::ReconcileError,
        events::{Events, Note},
        finalizer,
        kube::Kube,
        namespace,
    },
    state::{Memory, orgs::OrgView},
};
use hookswitch_api::{HookState, HookSwitch, OktaOrg, SwitchMode, TelephonyHook, TelephonyHookStatus, reason::Ready};
use hookswitch_okta::{plan::HookOutcome, types::HookStatus};

/// How long a deletion waits for what only a person can put right; then the hook is left in Okta, with an Event.
pub const PATIENCE: Duration = Duration::from_mins(5);

/// What the deletion of an object owes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Owed {
    /// The hook in Okta is still to be deleted.
    Call,
    /// Nothing.
    Nothing,
    /// A call that cannot be made any more, and why.
    Lost(String),
}

/// Holds an object that will owe Okta a call or that Okta calls, and lets it go once nothing is owed and it is not called any
/// more. `None`: the object is gone, or as good as.
///
/// # Errors
/// [`ReconcileError::Api`].
pub async fn settle(
    hook: &Arc<TelephonyHook>,
    kube: &Kube,
    memory: &Memory,
) -> Result<Option<Arc<TelephonyHook>>, ReconcileError> {
    let Some(waited) = finalizer::deleted_for(&**hook) else {
        // before there is a hook in Okta, so that none is left behind: see `org::desired`
        let used = is_used(hook, memory) || is_to_be_used(hook, memory);
        let wanted = [(finalizer::OKTA, hook.spec.deletes_in_okta()), (finalizer::IN_USE, used)];
        return finalizer::set(kube, hook, &wanted).await.map(Some);
    };
    if !finalizer::is_held(&**hook) {
        return Ok(None);
    }
    let space = hook.namespace().unwrap_or_default();
    let owed = if namespace::is_terminating(&kube.client, &space).await? {
        Owed::Lost("its namespace is being deleted".into())
    } else if finalizer::is_forced(&**hook) {
        Owed::Lost(format!("the annotation {} lets its object go", finalizer::FORCE))
    } else if !finalizer::holds(&**hook, finalizer::OKTA) {
        Owed::Nothing
    } else {
        let org = hook.spec.okta.as_ref().map(|okta| okta.org_ref.name.clone()).unwrap_or_default();
        let view = memory.orgs.view(&space, &org);
        owed(hook, memory.caches.orgs.get(&space, &org).as_deref(), &view, waited)
    };
    match owed {
        Owed::Call => return Ok(Some(Arc::clone(hook))),
        Owed::Nothing if is_in_use(hook, memory) => {
            return finalizer::set(kube, hook, &[(finalizer::OKTA, false)]).await.map(Some);
        }
        Owed::Nothing | Owed::Lost(_) if !finalizer::holds(&**hook, finalizer::OKTA) => {
            if is_used(hook, memory) {
                let text = "Okta still sends passcodes to this hook, and no gateway answers any more. Make another hook active \
                            in Okta (Workflow > Inline Hooks).";
                publish(hook, &kube.events, "StillActiveInOkta", text.to_owned());
            }
        }
        Owed::Nothing => {}
        Owed::Lost(why) => {
            let id = hook.status.as_ref().and_then(|status| status.okta_id.as_deref()).unwrap_or("of this object");
            let text = format!("Hook {id} was not deleted in Okta: {why}. If it exists, delete it there.");
            publish(hook, &kube.events, "NotDeletedInOkta", text);
        }
    }
    finalizer::free(kube, hook).await?;
    Ok(None)
}

/// Tells what an object leaves behind that is let go.
fn publish(hook: &TelephonyHook, events: &Events, reason: &str, text: String) {
    let object = format!("{}/{}", hook.namespace().unwrap_or_default(), hook.name_any());
    tracing::warn!(object, reason, text, "let go with something left to do");
    let note = Note { warning: true, reason: reason.to_owned(), action: "Delete", text };
    events.publish(&hook.object_ref(&()), note);
}

/// Whether Okta calls a hook's destination, as far as is known: its own hook is ACTIVE, or another that is points at it.
fn is_used(hook: &TelephonyHook, memory: &Memory) -> bool {
    is_active(hook, memory) || memory.caches.pointed_here(hook).is_some_and(|pointed| is_active(&pointed, memory))
}

/// Whether a hook is ACTIVE by the org's last reconcile, else by what its status remembers.
fn is_active(hook: &TelephonyHook, memory: &Memory) -> bool {
    let object = object_ref(hook);
    let Some(okta) = &hook.spec.okta else { return false };
    let view = memory.orgs.view(&object.namespace, &okta.org_ref.name);
    match view.hooks.get(&object) {
        Some(view) => view.verdict.status == Some(HookStatus::Active),
        None => hook.status.as_ref().is_some_and(TelephonyHookStatus::is_active_in_okta),
    }
}

/// Whether Okta is to call a hook's destination: its object is held before that is so.
fn is_to_be_used(hook: &TelephonyHook, memory: &Memory) -> bool {
    if wanted_by(hook, memory).is_some() {
        return true;
    }
    let own =
        ownership::of(hook, &memory.caches.about(&hook.namespace().unwrap_or_default(), [hook.name_any().as_str()]))
            == Ownership::Own;
    own && hook.spec.okta.is_some() && hook.spec.state == Some(HookState::Active)
}

/// The switch that wants a hook active, or wants Okta pointed at it.
fn wanted_by(hook: &TelephonyHook, memory: &Memory) -> Option<Arc<HookSwitch>> {
    let name = hook.name_any();
    let wants = |switch: &Arc<HookSwitch>| {
        let target = switch.status.as_ref().and_then(|status| status.target.as_deref());
        let decides = switch.spec.mode != Some(SwitchMode::Disabled);
        decides && target.is_some_and(|target| target == name || ownership::in_okta(switch, target) == name)
    };
    memory.caches.naming(&hook.namespace().unwrap_or_default(), &name).into_iter().find(wants)
}

/// Whether what is being deleted is held because Okta calls it. Without its org nobody could see when it is not called any
/// more.
fn is_in_use(hook: &TelephonyHook, memory: &Memory) -> bool {
    let org = memory.caches.org_of(hook);
    let org_exists = org.is_some_and(|org| memory.caches.orgs.get(&org.namespace, &org.name).is_some());
    let held = hook.metadata.deletion_timestamp.is_some() && finalizer::holds(hook, finalizer::IN_USE);
    held && org_exists && is_used(hook, memory)
}

/// Why a hook that is being deleted is held, and what to do, when that is a person's to do.
#[must_use]
pub fn held(hook: &TelephonyHook, memory: &Memory) -> Option<String> {
    let by = wanted_by(hook, memory);
    if !is_in_use(hook, memory)
        || finalizer::holds(hook, finalizer::OKTA) && hook.spec.deletes_in_okta() && by.is_none()
    {
        // what is owed to Okta ends its use as well
        return None;
    }
    let way = match by {
        Some(switch) => format!(
            "HookSwitch {} moves to another of its hooks as soon as one is ready: see its condition FailoverReady",
            switch.name_any()
        ),
        None => "Make another hook active, or deactivate this one in Okta (Workflow > Inline Hooks)".to_owned(),
    };
    Some(format!(
        "It is being deleted, and keeps serving because Okta still calls it. {way}. To delete it anyway, set the annotation \
         {}=true.",
        finalizer::FORCE
    ))
}

fn owed(hook: &TelephonyHook, org: Option<&OktaOrg>, view: &OrgView, waited: Duration) -> Owed {
    if !hook.spec.deletes_in_okta() {
        return Owed::Nothing;
    }
    if org.is_none() {
        return Owed::Lost("its OktaOrg no longer exists".into());
    }
    let object = object_ref(hook);
    let outcome = view.hooks.get(&object).map(|view| &view.verdict.outcome);
    let spent = waited >= PATIENCE;
    match (&view.problem, outcome) {
        // Okta's own failures pass; what is wrong with a credential, or in front of Okta, may not
        (Some(problem), _)
            if spent && (problem.stalled || matches!(problem.reason, Ready::SecretNotFound | Ready::NotOkta)) =>
        {
            Owed::Lost(format!("Okta could not be called: {}", problem.message.trim_end_matches('.')))
        }
        (None, Some(HookOutcome::Released)) => Owed::Nothing,
        (None, Some(HookOutcome::Blocked(blocked))) if spent => Owed::Lost(blocked.to_string()),
        _ => Owed::Call,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use hookswitch_okta::ObjectRef;

    use super::*;
    use crate::operator::{runtime::problem::Problem, state::orgs::HookView};
    use hookswitch_okta::plan::{Blocked, HookVerdict, Waiting};

    fn hook(policy: &str) -> TelephonyHook {
        serde_json::from_value(json!({"metadata": {"name": "main", "namespace": "otp"},
            "spec": {"target": {"gatewayRef": {"name": "main"}}, "deletion": policy,
                "okta": {"orgRef": {"name": "acme"}, "name": "Acme"}}}))
        .unwrap()
    }

    fn org() -> OktaOrg {
        serde_json::from_value(json!({"metadata": {"name": "acme", "namespace": "otp"},
            "spec": {"url": "https://acme.okta.com", "auth": {"apiToken": {"secretRef": {"name": "o", "key": "t"}}}}}))
        .unwrap()
    }

    fn view(outcome: HookOutcome, problem: Option<Problem>) -> OrgView {
        let object = ObjectRef::new("otp", "main");
        let (hook, drift, duplicates) = (None, Vec::new(), Vec::new());
        let verdict =
            HookVerdict { object: object.clone(), hook, status: None, drift, duplicates, outcome, hindrance: None };
        let view = HookView::of(verdict, None);
        OrgView { problem, hooks: [(object, view)].into(), ..OrgView::default() }
    }

    #[test]
    fn a_deletion_waits_for_okta_and_gives_up_only_what_a_person_has_to_put_right() {
        let rejected = || Some(Problem::permanent(Ready::TokenRejected, "no"));
        let silent = || Some(Problem::transient(Ready::OktaUnreachable, "no"));
        let intercepted = || Some(Problem::transient(Ready::NotOkta, "no"));
        let refused = || HookOutcome::Blocked(Blocked::DeletionRefused);
        let late = PATIENCE * 100;
        let rows = [
            (HookOutcome::Changing, None, late, "Call"),
            (HookOutcome::Waiting(Waiting::Settling), None, late, "Call"),
            (HookOutcome::Released, None, Duration::ZERO, "Nothing"),
            (HookOutcome::Released, silent(), Duration::ZERO, "Call"),
            (HookOutcome::Changing, silent(), late, "Call"),
            (HookOutcome::Changing, intercepted(), Duration::ZERO, "Call"),
            (HookOutcome::Changing, intercepted(), late, "Lost"),
            (HookOutcome::Changing, rejected(), Duration::ZERO, "Call"),
            (HookOutcome::Changing, rejected(), late, "Lost"),
            (refused(), None, Duration::ZERO, "Call"),
            (refused(), None, late, "Lost"),
        ];
        for (outcome, problem, waited, expected) in rows {
            let shown = format!("{outcome:?} {problem:?} {waited:?}");
            let owed = owed(&hook("Delete"), Some(&org()), &view(outcome, problem), waited);
            assert!(format!("{owed:?}").starts_with(expected), "{shown}: {owed:?}");
        }
    }

    #[test]
    fn without_an_org_or_with_retain_nothing_can_or_need_be_done() {
        let view = view(HookOutcome::Changing, None);
        assert_eq!(owed(&hook("Retain"), Some(&org()), &view, Duration::ZERO), Owed::Nothing);
        assert!(matches!(owed(&hook("Delete"), None, &view, Duration::ZERO), Owed::Lost(_)));
    }
}
