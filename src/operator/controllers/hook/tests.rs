//! What is said of a hook, row by row.

use serde_json::json;

use super::status::{self, Side};
use crate::operator::{
    resolve::endpoint::{Destination, Endpoint},
    runtime::{conditions, problem::Problem},
    state::{orgs::HookView, reports::Serving},
};
use hookswitch_api::{TelephonyHook, TelephonyHookStatus, reason::Ready};
use hookswitch_message::Secret;
use hookswitch_okta::{
    HookId, ObjectRef,
    plan::{Blocked, HookOutcome, HookVerdict, Waiting},
    types::HookStatus,
};

fn build(
    hook: &TelephonyHook,
    endpoint: Result<Endpoint, Problem>,
    serving: Serving,
    side: &Side<'_>,
) -> TelephonyHookStatus {
    status::build(hook, endpoint, Destination::Gateway(serving), side, None)
}

fn hook(okta: bool) -> TelephonyHook {
    let mut hook = json!({"metadata": {"name": "main", "namespace": "otp", "generation": 3},
        "spec": {"target": {"gatewayRef": {"name": "main"}}}});
    if okta {
        hook["spec"]["okta"] = json!({"orgRef": {"name": "acme"}, "name": "Acme OTP"});
    }
    serde_json::from_value(hook).unwrap()
}

fn endpoint() -> Endpoint {
    Endpoint {
        url: "https://otp.acme.com/hooks/main".into(),
        auth_header: "Authorization".into(),
        secret: Secret::from("a secret of enough characters"),
        headers: Vec::new(),
    }
}

fn view(outcome: HookOutcome, status: Option<HookStatus>) -> HookView {
    let verdict = HookVerdict {
        hindrance: None,
        object: ObjectRef::new("otp", "main"),
        hook: status.map(|_| HookId::new("cal1").unwrap()),
        status,
        drift: Vec::new(),
        duplicates: Vec::new(),
        outcome,
    };
    HookView::of(verdict, Some(3))
}

#[test]
fn each_outcome_of_the_plan_shows_as_one_reason() {
    let other = || ObjectRef::new("otp", "other");
    let id = || HookId::new("cal9").unwrap();
    let rows = [
        (HookOutcome::InSync, Some(HookStatus::Active), "True", "Ready"),
        (HookOutcome::InSync, Some(HookStatus::Inactive), "True", "Ready"),
        (HookOutcome::Changing, None, "Unknown", "Progressing"),
        (HookOutcome::Waiting(Waiting::EndpointNotReady), None, "Unknown", "GatewayNotServing"),
        (HookOutcome::Waiting(Waiting::Settling), None, "Unknown", "Waiting"),
        (HookOutcome::Blocked(Blocked::TwoDeclaredActive { other: other() }), None, "False", "TwoActive"),
        (HookOutcome::Blocked(Blocked::ForeignActive { hook: id(), name: "x".into() }), None, "False", "Conflict"),
        (HookOutcome::Blocked(Blocked::NameTaken { hook: id() }), None, "False", "NameTaken"),
        (HookOutcome::Blocked(Blocked::HookLimit), None, "False", "HookLimit"),
        (HookOutcome::Blocked(Blocked::ActivationRefused), Some(HookStatus::Inactive), "False", "OktaRefused"),
        (HookOutcome::Blocked(Blocked::StandbyNotCreated), None, "True", "Ready"),
    ];
    for (outcome, status, is, reason) in rows {
        let shown = format!("{outcome:?}");
        let built =
            build(&hook(true), Ok(endpoint()), Serving::Yes { replicas: 1 }, &Side::Planned(&view(outcome, status)));
        let ready = conditions::get(&built.conditions, "Ready").unwrap();
        assert_eq!((ready.status.as_str(), ready.reason.as_str()), (is, reason), "{shown}");
        assert_eq!(conditions::is_true(&built.conditions, "Active"), status == Some(HookStatus::Active), "{shown}");
        assert_eq!((built.observed_generation, ready.observed_generation), (Some(3), Some(3)));
    }
}

#[test]
fn a_refusal_is_reported_while_it_is_the_reason_and_no_longer() {
    let foreign = Blocked::ForeignActive { hook: HookId::new("cal9").unwrap(), name: "x".into() };
    for (blocked, reason, words) in [(Blocked::ActivationRefused, "OktaRefused", true), (foreign, "Conflict", false)] {
        let mut view = view(HookOutcome::Blocked(blocked), Some(HookStatus::Inactive));
        view.refusal = Some("E0000001".into());
        let built = build(&hook(true), Ok(endpoint()), Serving::Yes { replicas: 1 }, &Side::Planned(&view));
        let ready = conditions::get(&built.conditions, "Ready").unwrap();
        assert_eq!((ready.reason.as_str(), ready.message.contains("E0000001")), (reason, words), "{}", ready.message);
    }
}

#[test]
fn a_standby_that_okta_refuses_is_reported_by_its_own_condition() {
    let view = view(HookOutcome::Blocked(Blocked::StandbyNotCreated), None);
    let built = build(&hook(true), Ok(endpoint()), Serving::Unknown, &Side::Planned(&view));
    let created = conditions::get(&built.conditions, "Created").unwrap();
    assert_eq!((created.status.as_str(), created.reason.as_str()), ("False", "StandbyNotCreated"));
}

#[test]
fn a_target_without_an_org_is_ready_once_served_and_stays_so_through_a_gateways_bad_minute() {
    let mut hook = hook(false);
    for (serving, is) in [(Serving::No, "Unknown"), (Serving::Yes { replicas: 1 }, "True"), (Serving::Unknown, "True")]
    {
        hook.status = Some(build(&hook, Ok(endpoint()), serving, &Side::NotWanted));
        let conditions = &hook.status.as_ref().unwrap().conditions;
        assert_eq!(conditions::get(conditions, "Ready").unwrap().status, is, "{serving:?}");
    }
}

#[test]
fn a_problem_of_the_hook_outweighs_the_plan_and_keeps_what_is_known_of_okta() {
    let view = view(HookOutcome::InSync, Some(HookStatus::Active));
    let problem = Problem::transient(Ready::SecretNotFound, "gone");
    let mut hook = hook(true);
    hook.status = Some(build(&hook, Ok(endpoint()), Serving::Unknown, &Side::Planned(&view)));
    let built = build(&hook, Err(problem), Serving::Unknown, &Side::Planned(&view));
    assert_eq!(conditions::get(&built.conditions, "Ready").unwrap().reason, "SecretNotFound");
    assert_eq!(built.url.as_deref(), Some("https://otp.acme.com/hooks/main"), "the address that Okta has stays");
    assert_eq!(built.okta_state.as_deref(), Some("ACTIVE"));
}

#[test]
fn building_the_same_status_again_changes_nothing() {
    let view = view(HookOutcome::InSync, Some(HookStatus::Active));
    let mut hook = hook(true);
    let once = build(&hook, Ok(endpoint()), Serving::Unknown, &Side::Planned(&view));
    hook.status = Some(once.clone());
    assert_eq!(build(&hook, Ok(endpoint()), Serving::Unknown, &Side::Planned(&view)), once);
}

#[test]
fn what_the_leader_before_observed_stays_until_this_one_has_asked_okta() {
    let mut hook = hook(true);
    let view = view(HookOutcome::InSync, Some(HookStatus::Active));
    let before = build(&hook, Ok(endpoint()), Serving::Yes { replicas: 2 }, &Side::Planned(&view));
    hook.status = Some(before.clone());
    assert_eq!(build(&hook, Ok(endpoint()), Serving::Unknown, &Side::NotPlanned), before);
    hook.metadata.generation = Some(4);
    let changed = build(&hook, Ok(endpoint()), Serving::Unknown, &Side::NotPlanned);
    assert!(!conditions::is_true(&changed.conditions, "Ready"), "a changed spec is another matter");
}

#[test]
fn a_changed_spec_is_not_ready_before_the_org_was_planned_with_it() {
    let mut hook = hook(true);
    let view = view(HookOutcome::InSync, Some(HookStatus::Active));
    hook.status = Some(build(&hook, Ok(endpoint()), Serving::Yes { replicas: 2 }, &Side::Planned(&view)));
    hook.metadata.generation = Some(4);
    let changed = build(&hook, Ok(endpoint()), Serving::Yes { replicas: 2 }, &Side::Planned(&view));
    let ready = conditions::get(&changed.conditions, "Ready").unwrap();
    assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("Unknown", "Progressing"));
    assert!(conditions::is_true(&changed.conditions, "Active"), "what Okta has is still known");
}

#[test]
fn a_hook_that_okta_has_already_is_ready_only_once_its_gateway_serves_it() {
    let mut hook = hook(true);
    let view = view(HookOutcome::InSync, Some(HookStatus::Active));
    for (serving, is) in [(Serving::No, "Unknown"), (Serving::Yes { replicas: 1 }, "True"), (Serving::No, "True")] {
        hook.status = Some(build(&hook, Ok(endpoint()), serving, &Side::Planned(&view)));
        let conditions = &hook.status.as_ref().unwrap().conditions;
        assert_eq!(conditions::get(conditions, "Ready").unwrap().status, is, "{serving:?}");
    }
}
