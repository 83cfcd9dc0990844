//! Deleting a hook's object: what Okta is owed, and when the object may go.

use std::{sync::Arc, time::Duration};

use kube::{Resource as _, ResourceExt as _};

use super::super::{context::Context, events::Note, finalizer, namespace, org::OrgView, pass::PassError};
use crate::{
    api::{OktaOrg, TelephonyHook, reason::Ready},
    okta::{ObjectRef, plan::Outcome},
};

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

/// Holds an object that will owe Okta a call, and lets it go once nothing is owed. `None`: the object is gone, or as good as.
///
/// # Errors
/// [`PassError::Api`].
pub async fn settle(hook: &Arc<TelephonyHook>, ctx: &Context) -> Result<Option<Arc<TelephonyHook>>, PassError> {
    let Some(waited) = finalizer::deleted_for(&**hook) else {
        // before there is a hook in Okta, so that none is left behind: see `org::desired`
        return finalizer::set(ctx, hook, finalizer::OKTA, hook.spec.deletes_in_okta()).await.map(Some);
    };
    if !finalizer::holds(&**hook, finalizer::OKTA) {
        return Ok(None);
    }
    let space = hook.namespace().unwrap_or_default();
    let owed = if namespace::is_terminating(ctx, &space).await? {
        Owed::Lost("its namespace is being deleted".into())
    } else {
        let org = hook.spec.okta.as_ref().map(|okta| okta.org_ref.name.clone()).unwrap_or_default();
        let view = ctx.orgs.view(&space, &org);
        owed(hook, ctx.caches.orgs.get(&space, &org).as_deref(), &view, waited)
    };
    match owed {
        Owed::Call => return Ok(Some(Arc::clone(hook))),
        Owed::Nothing => {}
        Owed::Lost(why) => {
            let id = hook.status.as_ref().and_then(|status| status.okta_id.as_deref()).unwrap_or("of this object");
            let text = format!("Hook {id} was not deleted in Okta: {why}. If it exists, delete it there.");
            tracing::warn!(
                object = format!("{space}/{}", hook.name_any()),
                text,
                "let go without the call that was owed"
            );
            let note = Note { warning: true, reason: "NotDeletedInOkta".to_owned(), action: "Delete", text };
            ctx.recorder.tell(&hook.object_ref(&()), note);
        }
    }
    finalizer::set(ctx, hook, finalizer::OKTA, false).await?;
    Ok(None)
}

fn owed(hook: &TelephonyHook, org: Option<&OktaOrg>, view: &OrgView, waited: Duration) -> Owed {
    if !hook.spec.deletes_in_okta() {
        return Owed::Nothing;
    }
    if org.is_none() {
        return Owed::Lost("its OktaOrg does not exist any more".into());
    }
    let object = ObjectRef::new(hook.namespace().unwrap_or_default(), hook.name_any());
    let outcome = view.hooks.get(&object).map(|seen| &seen.verdict.outcome);
    let spent = waited >= PATIENCE;
    match (&view.problem, outcome) {
        // Okta's own trouble passes; what is wrong with a credential, or in front of Okta, may not
        (Some(problem), _)
            if spent && (problem.stalled || matches!(problem.reason, Ready::SecretNotFound | Ready::NotOkta)) =>
        {
            Owed::Lost(format!("Okta could not be called: {}", problem.message.trim_end_matches('.')))
        }
        (None, Some(Outcome::Released)) => Owed::Nothing,
        (None, Some(Outcome::Blocked(blocked))) if spent => Owed::Lost(blocked.to_string()),
        _ => Owed::Call,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        okta::plan::{Blocked, Verdict, Waiting},
        operator::{org::HookView, problem::Problem},
    };

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

    fn view(outcome: Outcome, problem: Option<Problem>) -> OrgView {
        let object = ObjectRef::new("otp", "main");
        let (hook, drift, duplicates) = (None, Vec::new(), Vec::new());
        let verdict = Verdict { object: object.clone(), hook, status: None, drift, duplicates, outcome };
        let seen = HookView::of(verdict, None);
        OrgView { problem, hooks: [(object, seen)].into(), ..OrgView::default() }
    }

    #[test]
    fn a_deletion_waits_for_okta_and_gives_up_only_what_a_person_has_to_put_right() {
        let rejected = || Some(Problem::lasting(Ready::TokenRejected, "no"));
        let silent = || Some(Problem::passing(Ready::OktaUnreachable, "no"));
        let intercepted = || Some(Problem::passing(Ready::NotOkta, "no"));
        let refused = || Outcome::Blocked(Blocked::DeletionRefused);
        let late = PATIENCE * 100;
        let rows = [
            (Outcome::Changing, None, late, "Call"),
            (Outcome::Waiting(Waiting::Settling), None, late, "Call"),
            (Outcome::Released, None, Duration::ZERO, "Nothing"),
            (Outcome::Released, silent(), Duration::ZERO, "Call"),
            (Outcome::Changing, silent(), late, "Call"),
            (Outcome::Changing, intercepted(), Duration::ZERO, "Call"),
            (Outcome::Changing, intercepted(), late, "Lost"),
            (Outcome::Changing, rejected(), Duration::ZERO, "Call"),
            (Outcome::Changing, rejected(), late, "Lost"),
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
        let seen = view(Outcome::Changing, None);
        assert_eq!(owed(&hook("Retain"), Some(&org()), &seen, Duration::ZERO), Owed::Nothing);
        assert!(matches!(owed(&hook("Delete"), None, &seen, Duration::ZERO), Owed::Lost(_)));
    }
}
