//! Tables: what Okta has, what is declared, and the moves and verdicts that follow.

use super::*;
use crate::fingerprint::Fingerprint;
use crate::plan_record::PlanRecord;
pub(super) use crate::testing::{installation, org, settled as hook};
use crate::types::{Header, HookId, HookStatus};
use hookswitch_message::Secret;

pub(super) const ACTIVE: HookStatus = HookStatus::Active;
pub(super) const INACTIVE: HookStatus = HookStatus::Inactive;

pub(super) fn id(text: &str) -> HookId {
    HookId::new(text).unwrap()
}

pub(super) fn object(name: &str) -> ObjectRef {
    ObjectRef::new("otp", name)
}

pub(super) fn active(name: &str) -> DesiredHook {
    hook(name, Some(DesiredState::Active))
}

pub(super) fn inactive(name: &str) -> DesiredHook {
    hook(name, Some(DesiredState::Inactive))
}

/// The hook in Okta as `want` declares it, with the id `cal<name>`.
pub(super) fn okta(want: &DesiredHook, status: HookStatus) -> ObservedHook {
    want.content(&installation()).in_okta(id(&format!("cal{}", want.object.name)), status)
}

pub(super) fn tagged_by(mut hook: ObservedHook, tag: Option<&str>) -> ObservedHook {
    hook.headers.retain(|header| header.name != crate::owner_tag::OWNER_HEADER);
    hook.headers.extend(tag.map(|tag| Header::new(crate::owner_tag::OWNER_HEADER, tag)));
    hook
}

pub(super) fn foreign(status: HookStatus) -> ObservedHook {
    tagged_by(okta(&hook("foreign", None), status), None)
}

/// The calls as `Verb object`, without the read-back.
pub(super) fn calls(plan: &Plan) -> Vec<String> {
    let steps = plan.steps();
    steps
        .iter()
        .filter_map(|step| step.object.as_ref().map(|object| format!("{} {}", step.verb, object.name)))
        .collect()
}

pub(super) fn outcome<'a>(plan: &'a Plan, name: &str) -> &'a HookOutcome {
    &plan.verdicts.iter().find(|verdict| verdict.object.name == name).unwrap().outcome
}

pub(super) fn blocked(plan: &Plan, name: &str) -> &'static str {
    match outcome(plan, name) {
        HookOutcome::Blocked(why) => why.reason(),
        other => panic!("{name} is not blocked but {other:?}"),
    }
}

#[test]
fn what_is_as_declared_gives_no_call() {
    let hooks = [active("a"), inactive("b"), hook("c", None)];
    let there = [okta(&hooks[0], ACTIVE), okta(&hooks[1], INACTIVE), okta(&hooks[2], INACTIVE)];
    let plan = plan(&there, &org(hooks));
    assert_eq!(plan.steps(), []);
    assert!(plan.verdicts.iter().all(|verdict| verdict.outcome == HookOutcome::InSync));
    assert_eq!(plan.again_in, None);
}

#[test]
fn an_empty_org_gets_the_inactive_ones_first_and_the_active_one_last() {
    let plan = plan(&[], &org([active("a"), inactive("b"), inactive("c")]));
    assert_eq!(calls(&plan), ["Create b", "Deactivate b", "Create c", "Deactivate c", "Create a"]);
    assert_eq!(plan.steps().len(), MOST_CALLS, "the read-back is the last of six");
}

#[test]
fn a_hook_without_a_declared_state_stays_as_okta_creates_it() {
    assert_eq!(calls(&plan(&[], &org([hook("a", None)]))), ["Create a"]);
}

#[test]
fn nothing_is_created_before_its_gateway_can_take_calls() {
    let mut want = active("a");
    want.endpoint_ready = false;
    let plan = plan(&[], &org([want]));
    assert_eq!(plan.steps(), []);
    assert_eq!(outcome(&plan, "a"), &HookOutcome::Waiting(Waiting::EndpointNotReady));
}

#[test]
fn a_hook_deactivated_in_the_console_is_activated_again() {
    let want = active("a");
    assert_eq!(calls(&plan(&[okta(&want, INACTIVE)], &org([want]))), ["Activate a"]);
}

#[test]
fn content_is_put_right_before_a_hook_is_activated() {
    let (a, b) = (inactive("a"), active("b"));
    let mut there = [okta(&a, ACTIVE), okta(&b, INACTIVE)];
    there[1].uri = Some("https://old.example/".into());
    assert_eq!(calls(&plan(&there, &org([a, b]))), ["Replace b", "Deactivate a", "Activate b"]);
}

#[test]
fn a_hook_whose_content_okta_refuses_is_not_activated() {
    let (a, mut b) = (inactive("a"), active("b"));
    let mut there = [okta(&a, ACTIVE), okta(&b, INACTIVE)];
    there[1].uri = Some("https://old.example/".into());
    b.refused.insert(Verb::Replace);
    let plan = plan(&there, &org([a, b]));
    assert_eq!(plan.steps(), [], "and the active one stays");
    assert_eq!(blocked(&plan, "b"), "UpdateRefused");
}

#[test]
fn a_changed_secret_is_written_and_named_without_being_compared() {
    let mut want = active("a");
    let there = [okta(&want, ACTIVE)];
    want.secret_fingerprint = Fingerprint::stored("other");
    let plan = plan(&there, &org([want]));
    assert_eq!(calls(&plan), ["Replace a"]);
    assert_eq!(plan.verdicts[0].drift.iter().map(ToString::to_string).collect::<Vec<_>>(), ["secret different"]);
}

#[test]
fn handing_over_waits_for_five_seconds_of_quiet_and_going_to_none_for_thirty() {
    let (a, b) = (inactive("a"), active("b"));
    let there = [okta(&a, ACTIVE), okta(&b, INACTIVE)];
    let mut both = org([a.clone(), b.clone()]);
    both.quiet_for = Duration::from_secs(3);
    let early = plan(&there, &both);
    assert_eq!((early.steps().len(), early.again_in), (0, Some(Duration::from_secs(2))));
    both.quiet_for = Duration::from_secs(5);
    assert_eq!(calls(&plan(&there, &both)), ["Deactivate a", "Activate b"]);

    let mut none = org([a, inactive("b")]);
    none.quiet_for = Duration::from_secs(29);
    let early = plan(&there, &none);
    assert_eq!((early.steps().len(), early.again_in), (0, Some(Duration::from_secs(1))));
    none.quiet_for = Duration::from_secs(30);
    assert_eq!(calls(&plan(&there, &none)), ["Deactivate a"]);
}

#[test]
fn a_hook_declared_active_is_active_instead_of_one_without_a_declared_state() {
    let (a, b) = (hook("a", None), active("b"));
    let there = [okta(&a, ACTIVE), okta(&b, INACTIVE)];
    assert_eq!(calls(&plan(&there, &org([a, b]))), ["Deactivate a", "Activate b"]);
}

#[test]
fn the_active_one_stays_while_its_successor_cannot_take_calls() {
    let (a, mut b) = (inactive("a"), active("b"));
    let there = [okta(&a, ACTIVE), okta(&b, INACTIVE)];
    b.endpoint_ready = false;
    let plan = plan(&there, &org([a, b]));
    assert_eq!(plan.steps(), []);
    assert_eq!(outcome(&plan, "b"), &HookOutcome::Waiting(Waiting::EndpointNotReady));
}

#[test]
fn two_declared_active_are_both_reported_and_no_call_is_made() {
    let (a, b) = (active("a"), active("b"));
    let mut there = [okta(&a, ACTIVE), okta(&b, INACTIVE)];
    there[0].uri = Some("https://drifted.example/".into());
    let plan = plan(&there, &org([a, b, inactive("c")]));
    assert_eq!(plan.steps(), []);
    assert_eq!((blocked(&plan, "a"), blocked(&plan, "b")), ("TwoDeclaredActive", "TwoDeclaredActive"));
}

#[test]
fn a_standby_is_created_beside_the_active_one_only_while_both_can_take_calls() {
    let (a, b) = (active("a"), inactive("b"));
    let there = [okta(&a, ACTIVE)];
    assert_eq!(calls(&plan(&there, &org([a.clone(), b.clone()]))), ["Create b", "Deactivate b", "Activate a"]);
    for (a_ready, b_ready, waits_for) in
        [(false, true, Waiting::StandingNotReady), (true, false, Waiting::EndpointNotReady)]
    {
        let (mut a, mut b) = (a.clone(), b.clone());
        (a.endpoint_ready, b.endpoint_ready) = (a_ready, b_ready);
        let plan = plan(&there, &org([a, b]));
        assert_eq!((plan.steps().len(), outcome(&plan, "b")), (0, &HookOutcome::Waiting(waits_for)));
    }
}

#[test]
fn a_refused_standby_is_said_and_not_tried_again() {
    let (a, mut b) = (active("a"), inactive("b"));
    b.refused.insert(Verb::Create);
    let plan = plan(&[okta(&a, ACTIVE)], &org([a, b]));
    assert_eq!((plan.steps().len(), blocked(&plan, "b")), (0, "StandbyNotCreated"));
}

#[test]
fn only_one_standby_is_created_at_a_time() {
    let a = active("a");
    let plan = plan(&[okta(&a, ACTIVE)], &org([a, inactive("b"), inactive("c")]));
    assert_eq!(calls(&plan), ["Create b", "Deactivate b", "Activate a"]);
    assert_eq!(outcome(&plan, "c"), &HookOutcome::Waiting(Waiting::AfterOthers));
}

#[test]
fn whatever_else_is_active_is_a_conflict_and_is_not_touched() {
    let gone = okta(&hook("gone", None), ACTIVE);
    let cases = [
        (foreign(ACTIVE), "ForeignHookActive"),
        (tagged_by(foreign(ACTIVE), Some("staging/otp/x")), "AnotherInstallation"),
        (tagged_by(foreign(ACTIVE), Some("unreadable")), "AnotherInstallation"),
        (foreign(HookStatus::Unreadable), "ForeignHookActive"),
        (gone, "OrphanHookActive"),
    ];
    for (other, reason) in cases {
        let (a, b) = (active("a"), inactive("b"));
        let plan = plan(&[other, okta(&a, INACTIVE)], &org([a, b]));
        assert_eq!(plan.steps(), [], "{reason}");
        assert_eq!((blocked(&plan, "a"), blocked(&plan, "b")), (reason, reason));
    }
}

#[test]
fn content_is_kept_right_beside_a_foreign_active_hook() {
    let a = inactive("a");
    let mut ours = okta(&a, INACTIVE);
    ours.method = Some("PUT".into());
    assert_eq!(calls(&plan(&[foreign(ACTIVE), ours], &org([a]))), ["Replace a"]);
}

#[test]
fn a_hook_is_adopted_only_unmarked_with_name_and_uri_and_when_allowed() {
    let mut want = active("a");
    want.applied_fingerprint = None;
    let theirs = tagged_by(okta(&want, ACTIVE), None);
    assert_eq!(blocked(&plan(std::slice::from_ref(&theirs), &org([want.clone()])), "a"), "AdoptionNotAllowed");
    want.adoption = Adoption::IfMatches;
    assert_eq!(calls(&plan(std::slice::from_ref(&theirs), &org([want.clone()]))), ["Replace a"]);
    let mut elsewhere = theirs.clone();
    elsewhere.uri = Some("https://other.example/".into());
    assert_eq!(blocked(&plan(&[elsewhere], &org([want.clone()])), "a"), "NameTaken");
    let mut idle = theirs.clone();
    (idle.uri, idle.status) = (Some("https://other.example/".into()), INACTIVE);
    assert_eq!(blocked(&plan(&[idle], &org([want.clone()])), "a"), "NameTaken");
    let others = tagged_by(theirs, Some("staging/otp/a"));
    assert_eq!(blocked(&plan(&[others], &org([want])), "a"), "AnotherInstallation");
}

#[test]
fn an_adopted_hook_is_tagged_before_its_state_is_touched() {
    let mut want = inactive("a");
    want.adoption = Adoption::IfMatches;
    let theirs = tagged_by(okta(&want, ACTIVE), None);
    assert_eq!(calls(&plan(&[theirs], &org([want]))), ["Replace a"]);
}

#[test]
fn a_remembered_hook_that_lost_its_tag_is_tagged_again_unless_another_took_it() {
    let mut want = active("a");
    want.known_id = Some(id("cala"));
    let stripped = tagged_by(okta(&want, ACTIVE), None);
    assert_eq!(calls(&plan(std::slice::from_ref(&stripped), &org([want.clone()]))), ["Replace a"]);
    let taken = tagged_by(stripped, Some("staging/otp/a"));
    let plan = plan(&[taken], &org([want]));
    assert_eq!((plan.steps().len(), blocked(&plan, "a")), (0, "AnotherInstallation"));
}

#[test]
fn a_hook_is_found_by_its_tag_when_status_was_lost() {
    let mut want = active("a");
    want.applied_fingerprint = None;
    let mut ours = okta(&want, ACTIVE);
    ours.id = id("calelse");
    let plan = plan(&[ours], &org([want]));
    assert_eq!(
        calls(&plan),
        ["Replace a"],
        "nothing new is created, and the secret is written since it cannot be read"
    );
    assert_eq!(plan.verdicts[0].hook, Some(id("calelse")));
}

#[test]
fn of_two_hooks_with_one_tag_the_remembered_is_kept_and_the_other_reported() {
    let mut want = active("a");
    want.known_id = Some(id("cala"));
    let (ours, mut copy) = (okta(&want, ACTIVE), okta(&want, INACTIVE));
    (copy.id, copy.name) = (id("calcopy"), "OTP a (copy)".into());
    let plan = plan(&[copy, ours], &org([want]));
    assert_eq!(plan.steps(), []);
    assert_eq!(plan.verdicts[0].duplicates, [id("calcopy")]);
}

#[test]
fn one_name_declared_twice_is_reported_at_both() {
    let (a, mut b) = (active("a"), inactive("b"));
    b.name.clone_from(&a.name);
    let plan = plan(&[], &org([a, b]));
    assert_eq!(plan.steps(), []);
    assert_eq!((blocked(&plan, "a"), blocked(&plan, "b")), ("SameNameDeclared", "SameNameDeclared"));
}

#[test]
fn a_full_org_gets_no_further_hook() {
    let there: Vec<ObservedHook> = (0..100)
        .map(|n| {
            let mut hook = foreign(INACTIVE);
            (hook.id, hook.name) = (id(&format!("cal{n}")), format!("hook {n}"));
            hook
        })
        .collect();
    let plan = plan(&there, &org([active("a")]));
    assert_eq!((plan.steps().len(), blocked(&plan, "a")), (0, "HookLimitReached"));
}

#[test]
fn deletion_retains_deletes_or_waits_for_a_successor() {
    let mut a = inactive("a");
    a.deleting = Some(Deletion::Retain);
    let kept = plan(&[okta(&a, ACTIVE)], &org([a.clone()]));
    assert_eq!((kept.steps().len(), outcome(&kept, "a")), (0, &HookOutcome::Released));
    a.deleting = Some(Deletion::Delete);
    assert_eq!(calls(&plan(&[okta(&a, INACTIVE)], &org([a.clone()]))), ["Delete a"]);
    assert_eq!(calls(&plan(&[okta(&a, ACTIVE)], &org([a.clone()]))), ["Deactivate a", "Delete a"]);
    let b = active("b");
    let there = [okta(&a, ACTIVE), okta(&b, INACTIVE)];
    assert_eq!(calls(&plan(&there, &org([a.clone(), b]))), ["Deactivate a", "Activate b"]);
    let stripped = tagged_by(okta(&a, ACTIVE), None);
    let released = plan(&[stripped], &org([a.clone()]));
    assert_eq!(
        (released.steps().len(), outcome(&released, "a")),
        (0, &HookOutcome::Released),
        "unmarked is not ours to delete"
    );
    assert_eq!(outcome(&plan(&[], &org([a])), "a"), &HookOutcome::Released);
}

#[test]
fn a_promise_that_does_not_show_yet_is_waited_for_and_after_ten_seconds_forgotten() {
    let want = active("a");
    let promise = Promise { hook: id("cala"), effect: Effect::Active };
    let mut desired = org([want.clone()]);
    desired.promised = Some(Promised { made: vec![promise], age: Duration::from_secs(1) });
    let early = plan(&[okta(&want, INACTIVE)], &desired);
    assert_eq!((early.steps().len(), early.again_in), (0, Some(Duration::from_secs(2))));
    assert_eq!(outcome(&early, "a"), &HookOutcome::Waiting(Waiting::Settling));
    desired.promised.as_mut().unwrap().age = Duration::from_secs(10);
    assert_eq!(calls(&plan(&[okta(&want, INACTIVE)], &desired)), ["Activate a"]);
}

#[test]
fn an_interrupted_swap_is_finished_by_whoever_comes_next() {
    let (a, b) = (inactive("a"), active("b"));
    let before = plan(&[okta(&a, ACTIVE), okta(&b, INACTIVE)], &org([a.clone(), b.clone()]));
    let mut desired = org([a.clone(), b.clone()]);
    desired.unfinished = Some(PlanRecord::of(&before, "2026-01-01T00:00:00Z".into()));
    let gap = [okta(&a, INACTIVE), okta(&b, INACTIVE)];
    assert_eq!(calls(&plan(&gap, &desired)), ["Activate b"]);
    desired.hooks[1].refused.insert(Verb::Activate);
    assert_eq!(calls(&plan(&gap, &desired)), ["Activate a"], "or rolled back, when the other is refused");
    desired.hooks[1].refused.clear();
    desired.hooks[1].endpoint_ready = false;
    assert_eq!(calls(&plan(&gap, &desired)), ["Activate a"], "or while the other cannot take calls");
}

#[test]
fn a_state_nobody_knows_is_left_alone() {
    let a = active("a");
    let plan = plan(&[okta(&a, HookStatus::Unreadable)], &org([a]));
    assert_eq!((plan.steps().len(), blocked(&plan, "a")), (0, "HookStatusUnreadable"));
}

#[test]
fn the_record_of_a_plan_names_calls_and_no_secrets() {
    let mut want = active("a");
    want.secret = Secret::from("hunter2hunter2");
    let plan = plan(&[], &org([want]));
    let record = PlanRecord::of(&plan, "2026-01-01T00:00:00Z".into());
    let json = serde_json::to_string(&record).unwrap();
    assert_eq!(
        json,
        r#"{"recordedAt":"2026-01-01T00:00:00Z","steps":[{"verb":"Create","object":{"namespace":"otp","name":"a"}},{"verb":"ReadBack"}]}"#
    );
    assert_eq!(serde_json::from_str::<PlanRecord>(&json).unwrap(), record);
}

#[test]
fn a_new_secret_is_given_to_okta_only_once_every_replica_accepts_it() {
    let mut want = active("a");
    want.applied_fingerprint = Some(Fingerprint::stored("another"));
    want.secret_accepted = false;
    let observed = [okta(&want, ACTIVE)];
    let waiting = plan(&observed, &org([want.clone()]));
    assert_eq!(calls(&waiting), Vec::<String>::new());
    assert_eq!(*outcome(&waiting, "a"), HookOutcome::Waiting(Waiting::SecretNotAccepted));
    want.secret_accepted = true;
    assert_eq!(calls(&plan(&observed, &org([want]))), ["Replace a"]);
}

#[test]
fn of_a_plan_what_cannot_wait_is_what_a_failover_needs_and_nothing_after_it() {
    let switching = |mut want: DesiredHook| {
        want.decision = StateDecision::Switching;
        want
    };
    let changed = |want: &DesiredHook, status| {
        let mut hook = okta(want, status);
        hook.uri = Some("https://changed.acme.com".into());
        hook
    };
    let (a, b, c) = (inactive("a"), active("b"), inactive("c"));
    let drift = changed(&c, INACTIVE);
    let swap = vec!["Deactivate a".to_owned(), "Activate b".to_owned()];
    let none: Vec<String> = Vec::new();
    for (case, hooks, there, whole, cut) in [
        (
            "a switch is carried out, and drift waits",
            [switching(a.clone()), switching(b.clone()), c.clone()],
            vec![okta(&a, ACTIVE), okta(&b, INACTIVE), drift.clone()],
            3,
            swap.clone(),
        ),
        (
            "what is activated has its content first",
            [switching(a.clone()), switching(b.clone()), c.clone()],
            vec![okta(&a, ACTIVE), changed(&b, INACTIVE), drift.clone()],
            3,
            vec!["Replace b".to_owned(), "Deactivate a".to_owned(), "Activate b".to_owned()],
        ),
        (
            "the one hook of a switch that repoints",
            [switching(b.clone()), a.clone(), c.clone()],
            vec![changed(&b, ACTIVE), okta(&a, INACTIVE), drift.clone()],
            2,
            vec!["Replace b".to_owned()],
        ),
        (
            "none is active, whoever decides",
            [a.clone(), b.clone(), c.clone()],
            vec![okta(&a, INACTIVE), okta(&b, INACTIVE), drift.clone()],
            2,
            vec!["Activate b".to_owned()],
        ),
        (
            "a person hands over, which can wait",
            [a.clone(), b.clone(), c.clone()],
            vec![okta(&a, ACTIVE), okta(&b, INACTIVE), okta(&c, INACTIVE)],
            2,
            none.clone(),
        ),
        ("drift alone", [a.clone(), b.clone(), c.clone()], vec![okta(&a, INACTIVE), okta(&b, ACTIVE), drift], 1, none),
    ] {
        let desired = org(hooks);
        assert_eq!(calls(&plan(&there, &desired)).len(), whole, "{case}");
        let urgent = urgent(&there, &desired);
        assert_eq!(calls(&urgent), cut, "{case}");
        assert!(urgent.moves.is_empty() || whole == cut.len() || urgent.keep_standing, "{case}: it is not all");
    }
}

#[test]
fn a_doubted_secret_of_the_active_hook_does_not_wait_for_what_is_done_after_it() {
    let resync_secret = |mut want: DesiredHook, yes: bool| {
        (want.resync_secret, want.applied_fingerprint) = (yes, want.applied_fingerprint.filter(|_| !yes));
        want
    };
    let mut drift = okta(&inactive("a"), INACTIVE);
    drift.uri = Some("https://changed.acme.com".into());
    for (of_active, of_standby, expected) in
        [(true, false, &["Replace b"][..]), (false, true, &[]), (false, false, &[]), (true, true, &["Replace b"])]
    {
        let (a, b) = (resync_secret(inactive("a"), of_standby), resync_secret(active("b"), of_active));
        let there = [drift.clone(), okta(&b, ACTIVE)];
        let desired = org([a, b]);
        assert_eq!(calls(&remedy(&there, &desired)), expected, "{of_active}, {of_standby}");
        assert_eq!(calls(&urgent(&there, &desired)), Vec::<String>::new(), "what a failover needs stays");
    }
}

/// `new` takes over from `old`, under the name that the old one's hook has.
fn taking(old: &DesiredHook, new: &str) -> DesiredHook {
    let takeover = Some(Takeover::From(old.object.clone()));
    DesiredHook { name: old.name.clone(), applied_fingerprint: None, takeover, ..active(new) }
}

#[test]
fn a_hook_that_is_handed_over_is_written_once_and_stays_as_active_as_it_was() {
    let old = active("old");
    for (status, still_there) in [(ACTIVE, false), (ACTIVE, true), (INACTIVE, false)] {
        let mut new = taking(&old, "new");
        new.state = None;
        let there = [okta(&old, status)];
        let declared = org(if still_there { vec![old.clone(), new.clone()] } else { vec![new.clone()] });
        let plan_of = plan(&there, &declared);
        assert_eq!(calls(&plan_of), ["Replace new"], "{status:?} {still_there}");
        assert_eq!(plan_of.moves.iter().filter(|step| step.changes_active()).count(), 0);
        if still_there {
            assert_eq!(blocked(&plan_of, "old"), "HandedOver");
        }
        // and then it is the new one's, and nothing is made of the old one again
        new.applied_fingerprint = Some(new.secret_fingerprint.clone());
        let mut taken = okta(&new, status);
        taken.id = there[0].id.clone();
        let declared = org(if still_there { vec![old.clone(), new] } else { vec![new] });
        let plan = plan(&[taken], &declared);
        assert_eq!((calls(&plan).len(), outcome(&plan, "new")), (0, &HookOutcome::InSync), "{status:?} {still_there}");
    }
}

#[test]
fn a_hook_is_not_handed_over_before_the_new_destination_takes_calls_and_until_then_stays_the_old_ones() {
    let old = active("old");
    let changes: [fn(&mut DesiredHook); 4] = [
        |new| new.endpoint_ready = false,
        |new| new.secret_accepted = false,
        |new| new.complete = false,
        |new| _ = new.refused.insert(Verb::Replace),
    ];
    for change in changes {
        let mut new = taking(&old, "new");
        change(&mut new);
        let mut drifted = okta(&old, ACTIVE);
        drifted.method = Some("PUT".into());
        let plan = plan(&[drifted], &org([old.clone(), new]));
        assert_eq!(calls(&plan), ["Replace old"], "what serves is kept right");
        assert_eq!(blocked(&plan, "new"), "TakeoverWaits");
    }
    // nor is the org's other hook kept from taking over meanwhile
    let (mut new, standby) = (taking(&old, "new"), active("standby"));
    new.endpoint_ready = false;
    let leaving = inactive("old");
    let plan = plan(&[okta(&old, ACTIVE), okta(&standby, INACTIVE)], &org([leaving, new, standby]));
    assert_eq!(calls(&plan), ["Deactivate old", "Activate standby"]);
}

#[test]
fn without_a_persons_word_about_both_nobody_has_anothers_hook() {
    let old = active("old");
    let from = old.object.clone();
    for why in [
        NotTaken::Unreadable,
        NotTaken::NotHandedOver { from: from.clone() },
        NotTaken::Elsewhere { from: from.clone() },
        NotTaken::Several { from },
    ] {
        for still_there in [false, true] {
            let new = DesiredHook { takeover: Some(Takeover::Refused(why.clone())), ..taking(&old, "new") };
            let declared = org(if still_there { vec![old.clone(), new] } else { vec![new] });
            let plan = plan(&[okta(&old, ACTIVE)], &declared);
            assert_eq!((calls(&plan).len(), blocked(&plan, "new")), (0, "TakeoverRefused"), "{why:?} {still_there}");
            if still_there {
                assert_eq!(outcome(&plan, "old"), &HookOutcome::InSync, "it is not disturbed");
            }
        }
    }
}

/// Two that take over from each other, as two people declared it.
fn each_others(active_one: &DesiredHook, other: &DesiredHook) -> [DesiredHook; 2] {
    let from = |of: &DesiredHook| Some(Takeover::From(of.object.clone()));
    [
        DesiredHook { takeover: from(other), ..active_one.clone() },
        DesiredHook { takeover: from(active_one), ..other.clone() },
    ]
}

#[test]
fn two_that_take_over_from_each_other_keep_what_they_have_and_both_are_reported() {
    let (a, b) = (active("a"), inactive("b"));
    let there = [okta(&a, ACTIVE), okta(&b, INACTIVE)];
    for there in [&there[..], &there[..1], &[]] {
        let desired = org(each_others(&a, &b));
        let plan = plan(there, &desired);
        assert_eq!(calls(&plan), Vec::<String>::new(), "{}", there.len());
        for object in ["a", "b"] {
            assert_eq!(blocked(&plan, object), "TakeoverRefused", "{object} of {}", there.len());
            let HookOutcome::Blocked(why) = outcome(&plan, object) else { unreachable!() };
            let sentence = why.to_string();
            assert!(sentence.contains("otp/a") && sentence.contains("otp/b"), "{sentence}");
        }
        let held: Vec<_> = plan.verdicts.iter().filter_map(|verdict| verdict.hook.clone()).collect();
        assert_eq!(held.len(), there.len(), "each has its own");
    }
    // who is active is no matter of whose a hook is: a failover between them is not kept waiting
    let [mut a, mut b] = each_others(&a, &b);
    for hook in [&mut a, &mut b] {
        hook.decision = StateDecision::Switching;
    }
    (a.state, b.state) = (Some(DesiredState::Inactive), Some(DesiredState::Active));
    let swap = plan(&there, &org([a.clone(), b.clone()]));
    assert_eq!(calls(&swap), ["Deactivate a", "Activate b"]);
    assert_eq!((outcome(&swap, "a"), outcome(&swap, "b")), (&HookOutcome::Changing, &HookOutcome::Changing));
    // nor does it hide what Okta said
    b.refused = [Verb::Activate].into();
    assert_eq!(blocked(&plan(&there, &org([a, b])), "b"), "ActivationRefused");
}

#[test]
fn takeovers_that_lead_in_a_circle_of_three_are_refused_to_all_three() {
    let names = ["a", "b", "c"];
    let hooks: Vec<_> = (0..3)
        .map(|at| {
            let from = Some(Takeover::From(active(names[(at + 1) % 3]).object));
            DesiredHook { takeover: from, ..inactive(names[at]) }
        })
        .collect();
    let plan = plan(&[okta(&hooks[0], INACTIVE)], &org(hooks.clone()));
    assert_eq!(calls(&plan), Vec::<String>::new());
    assert!(names.iter().all(|name| blocked(&plan, name) == "TakeoverRefused"));
}

/// The mark of another namespace is another tenant's, whatever name and address are declared.
#[test]
fn adoption_takes_nothing_that_another_namespace_owned() {
    let mut want = active("a");
    (want.applied_fingerprint, want.adoption) = (None, Adoption::IfMatches);
    let theirs = tagged_by(okta(&want, ACTIVE), Some("prod/elsewhere/b"));
    let plan_of = plan(std::slice::from_ref(&theirs), &org([want.clone()]));
    assert_eq!((calls(&plan_of).len(), blocked(&plan_of, "a")), (0, "NameTaken"));
    let gone = tagged_by(theirs, Some("prod/otp/b"));
    assert_eq!(calls(&plan(&[gone], &org([want]))), ["Replace a"], "one of its own namespace whose object is gone");
}
