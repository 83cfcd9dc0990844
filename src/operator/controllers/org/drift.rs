//! What somebody changed in Okta behind our back. Pure.

use crate::operator::runtime::conditions;
use hookswitch_api::{
    HookState, TelephonyHook, TelephonyHookStatus,
    reason::{Ready, Reason as _},
};
use hookswitch_okta::{
    HookId,
    drift::Field,
    plan::{HookOutcome, HookVerdict, Waiting},
    types::HookStatus,
};

/// Most fields named of one hook.
const MOST: usize = 32;

/// What differs in Okta by somebody's hand: a word of a small set for metrics, and what a person reads.
///
/// What changed because the declaration did is none of it: the hook was not Ready yet with this generation of its spec, or
/// its address has another value. Nor is a secret: one that is to be written anew is a rotation. `exists` says whether Okta lists
/// a hook of that id.
pub fn by_hand(
    hook: &TelephonyHook,
    url: Option<&str>,
    verdict: &HookVerdict,
    exists: impl Fn(&str) -> bool,
) -> Vec<(&'static str, String)> {
    let Some(status) = &hook.status else { return Vec::new() };
    let ready = status
        .conditions
        .iter()
        .find(|condition| condition.type_ == Ready::CONDITION && conditions::says_true(condition));
    let planned = ready.is_some_and(|ready| ready.observed_generation == hook.metadata.generation);
    let settled = planned && status.url.as_deref() == url;
    // what Okta took and does not show yet is no drift
    let settling = matches!(verdict.outcome, HookOutcome::Waiting(Waiting::Settling));
    if !settled || settling || hook.metadata.deletion_timestamp.is_some() {
        return Vec::new();
    }
    let Some(known) = &status.okta_id else { return Vec::new() };
    let mut found = Vec::new();
    if !exists(known) {
        found.push(("hook", "hook deleted".to_owned()));
    }
    if verdict.hook.as_ref().map(HookId::as_str) != Some(known.as_str()) {
        return found;
    }
    let before = status.okta_state.as_deref();
    match (hook.spec.state, before, verdict.status) {
        (Some(HookState::Active), Some(TelephonyHookStatus::ACTIVE), Some(HookStatus::Inactive)) => {
            found.push(("state", "state INACTIVE".to_owned()));
        }
        (Some(HookState::Inactive), Some("INACTIVE"), Some(HookStatus::Active)) => {
            found.push(("state", "state ACTIVE".to_owned()));
        }
        _ => {}
    }
    let fields = verdict.drift.iter().filter(|difference| difference.field != Field::Secret);
    found.extend(fields.map(|difference| (word(&difference.field), difference.to_string())));
    found.truncate(MOST);
    found
}

const fn word(field: &Field) -> &'static str {
    match field {
        Field::Name => "name",
        Field::Version | Field::ChannelVersion => "version",
        Field::ChannelType => "channel",
        Field::Uri => "uri",
        Field::Method => "method",
        Field::Header(_) => "header",
        Field::AuthType | Field::AuthHeader => "auth",
        Field::Secret => "secret",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use hookswitch_okta::{
        ObjectRef,
        drift::{Difference, How},
    };

    const URL: &str = "https://otp.acme.com/hooks/main";

    fn hook(state: &str, okta_state: &str) -> TelephonyHook {
        serde_json::from_value(json!({"metadata": {"name": "main", "namespace": "otp", "generation": 2},
            "spec": {"target": {"gatewayRef": {"name": "main"}}, "state": state,
                "okta": {"orgRef": {"name": "acme"}, "name": "Acme"}},
            "status": {"observedGeneration": 2, "oktaID": "cal1", "oktaState": okta_state, "url": URL, "conditions": [
                {"type": "Ready", "status": "True", "reason": "Ready", "message": "", "observedGeneration": 2,
                    "lastTransitionTime": "2026-01-01T00:00:00Z"}]}}))
        .unwrap()
    }

    fn verdict(status: HookStatus, drift: Vec<Field>) -> HookVerdict {
        HookVerdict {
            hindrance: None,
            object: ObjectRef::new("otp", "main"),
            hook: HookId::new("cal1").ok(),
            status: Some(status),
            drift: drift.into_iter().map(|field| Difference { field, how: How::Different }).collect(),
            duplicates: Vec::new(),
            outcome: HookOutcome::Changing,
        }
    }

    fn drift_of(hook: &TelephonyHook, verdict: &HookVerdict) -> Vec<String> {
        by_hand(hook, Some(URL), verdict, |_| true).into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn an_edit_and_a_switched_state_are_named_and_a_secret_is_not() {
        let edited = verdict(HookStatus::Active, vec![Field::Uri, Field::Header("x-env".into()), Field::Secret]);
        assert_eq!(drift_of(&hook("Active", "ACTIVE"), &edited), ["uri different", "header x-env different"]);
        assert_eq!(drift_of(&hook("Active", "ACTIVE"), &verdict(HookStatus::Inactive, vec![])), ["state INACTIVE"]);
        assert_eq!(drift_of(&hook("Inactive", "INACTIVE"), &verdict(HookStatus::Active, vec![])), ["state ACTIVE"]);
    }

    #[test]
    fn a_deleted_hook_is_named() {
        let mut gone = verdict(HookStatus::Active, vec![]);
        (gone.hook, gone.status) = (None, None);
        let drift_of = by_hand(&hook("Active", "ACTIVE"), Some(URL), &gone, |_| false);
        assert_eq!(drift_of, [("hook", "hook deleted".to_owned())]);
    }

    #[test]
    fn a_change_of_mind_in_the_declaration_is_no_drift() {
        let edited = verdict(HookStatus::Inactive, vec![Field::Uri]);
        let mut changed = hook("Active", "INACTIVE");
        changed.metadata.generation = Some(3);
        assert_eq!(drift_of(&changed, &edited), Vec::<String>::new(), "another spec");
        let hook = hook("Active", "ACTIVE");
        assert_eq!(by_hand(&hook, Some("https://new.acme.com/hooks/main"), &edited, |_| true), [], "another address");
        assert_eq!(
            drift_of(&self::hook("Active", "INACTIVE"), &verdict(HookStatus::Inactive, vec![])),
            Vec::<String>::new()
        );
    }
}
