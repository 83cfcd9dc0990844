//! Tables of the org's one active hook: who keeps it, who comes back to it, and what is made beside it.

use super::tests::{
    ACTIVE, INACTIVE, active, blocked, calls, foreign, hook, id, inactive, object, okta, org, outcome, tagged_by,
};
use std::collections::BTreeSet;

use super::*;
use crate::fingerprint::Fingerprint;
use crate::plan_record::PlanRecord;

type Change = fn(&mut DesiredHook);

/// The record of what is planned for `desired` with `there` in Okta.
fn record(there: &[ObservedHook], desired: &DesiredOrg) -> PlanRecord {
    PlanRecord::of(&plan(there, desired), "2026-01-01T00:00:00Z".into())
}

/// The calls that are about who is active: what the record leaves uncertain is written besides.
fn of_active_hook(plan: &Plan) -> Vec<String> {
    calls(plan).into_iter().filter(|call| !call.starts_with("Replace")).collect()
}

/// `a` was active when `b` was to be created beside it; then the operator died, and `b` is active.
fn usurped(change: impl Fn(&mut DesiredHook)) -> (Vec<ObservedHook>, DesiredOrg) {
    let (mut a, b) = (hook("a", None), hook("b", None));
    let unfinished = record(&[okta(&a, ACTIVE)], &org([a.clone(), b.clone()]));
    let there = vec![okta(&a, INACTIVE), okta(&b, ACTIVE)];
    change(&mut a);
    (there, DesiredOrg { unfinished: Some(unfinished), ..org([a, b]) })
}

#[test]
fn who_was_active_comes_back_after_a_plan_that_died_where_nothing_declared_says_otherwise() {
    let (there, desired) = usurped(|_| {});
    let restoring = plan(&there, &desired);
    assert_eq!(of_active_hook(&restoring), ["Deactivate b", "Activate a"]);
    assert_eq!((restoring.standing.as_ref(), restoring.keep_standing), (Some(&object("a")), true));
    // as soon as its declaration says something of it, that counts
    let rows: [(&str, Change); 3] = [
        ("declared Inactive", |a| a.state = Some(DesiredState::Inactive)),
        ("being deleted", |a| a.deleting = Some(Deletion::Retain)),
        ("being deleted in Okta", |a| a.deleting = Some(Deletion::Delete)),
    ];
    for (case, change) in rows {
        let (there, desired) = usurped(change);
        let kept = plan(&there, &desired);
        assert!(!calls(&kept).contains(&"Activate a".to_owned()), "{case}: {:?}", calls(&kept));
        assert!(!calls(&kept).contains(&"Deactivate b".to_owned()), "{case}: {:?}", calls(&kept));
    }
    // one that is not known to be ours is tagged first
    let (mut there, mut desired) = usurped(|_| {});
    there[0] = tagged_by(there[0].clone(), None);
    desired.hooks[0].known_id = Some(id("cala"));
    let marking = plan(&there, &desired);
    assert!(
        calls(&marking).contains(&"Replace a".to_owned()) && of_active_hook(&marking).is_empty(),
        "{:?}",
        calls(&marking)
    );
    // and one that is gone is made anew beside the other, like any standby
    let (there, desired) = usurped(|_| {});
    assert_eq!(of_active_hook(&plan(&there[1..], &desired)), ["Create a", "Deactivate a", "Activate b"]);
}

#[test]
fn whoever_is_active_by_somebodys_wish_keeps_it_after_a_plan_that_died() {
    // the plan was about `c`; a person made `b` active
    let (a, b, c) = (hook("a", None), hook("b", None), hook("c", None));
    let unfinished = record(&[okta(&a, ACTIVE), okta(&b, INACTIVE)], &org([a.clone(), b.clone(), c.clone()]));
    let there = [okta(&a, INACTIVE), okta(&b, ACTIVE), okta(&c, INACTIVE)];
    let desired = DesiredOrg { unfinished: Some(unfinished.clone()), ..org([a.clone(), b.clone(), c.clone()]) };
    assert_eq!(of_active_hook(&plan(&there, &desired)), Vec::<String>::new());
    // of one that leaves nobody says so
    let inactive: Change = |b| b.state = Some(DesiredState::Inactive);
    let leaving: Change = |b| b.deleting = Some(Deletion::Retain);
    for change in [inactive, leaving] {
        let mut b = b.clone();
        change(&mut b);
        let desired = DesiredOrg { unfinished: Some(unfinished.clone()), ..org([a.clone(), b, c.clone()]) };
        assert_eq!(of_active_hook(&plan(&there, &desired)), ["Deactivate b", "Activate a"]);
    }
    // it is active already
    let there = [okta(&a, ACTIVE), okta(&b, INACTIVE), okta(&c, INACTIVE)];
    assert_eq!(of_active_hook(&plan(&there, &desired)), Vec::<String>::new());
    // the last of them was it: the others are not taken for it
    let unfinished = record(&[okta(&c, ACTIVE), okta(&b, INACTIVE)], &org([a.clone(), b.clone(), c.clone()]));
    let there = [okta(&a, ACTIVE), okta(&b, INACTIVE), okta(&c, INACTIVE)];
    let desired = DesiredOrg { unfinished: Some(unfinished), ..org([a, b, c]) };
    assert_eq!(of_active_hook(&plan(&there, &desired)), ["Deactivate a", "Activate c"]);
}

#[test]
fn who_is_declared_active_comes_before_who_was() {
    let (a, b) = (hook("a", None), hook("b", None));
    let unfinished = record(&[okta(&a, ACTIVE)], &org([a.clone(), b.clone()]));
    let there = [okta(&a, INACTIVE), okta(&b, INACTIVE)];
    let desired = DesiredOrg { unfinished: Some(unfinished.clone()), ..org([a.clone(), active("b")]) };
    assert_eq!(of_active_hook(&plan(&there, &desired)), ["Activate b"]);
    let conflicting = DesiredOrg { unfinished: Some(unfinished), ..org([a, active("b"), active("c")]) };
    assert_eq!(of_active_hook(&plan(&there, &conflicting)), Vec::<String>::new(), "two are, and nobody knows which");
}

#[test]
fn the_record_is_kept_until_the_right_hook_is_active() {
    let (a, b) = (inactive("a"), active("b"));
    let swap = plan(&[okta(&a, ACTIVE), okta(&b, INACTIVE)], &org([a.clone(), b.clone()]));
    assert!(swap.keep_standing);
    let done = plan(&[okta(&a, INACTIVE), okta(&b, ACTIVE)], &org([a.clone(), b.clone()]));
    assert!(!done.keep_standing);
    let both = plan(&[okta(&a, ACTIVE), okta(&b, ACTIVE)], &org([a.clone(), b.clone()]));
    assert_eq!((both.standing, calls(&plan(&[okta(&a, ACTIVE), okta(&b, ACTIVE)], &org([a, b])))), {
        (Some(object("b")), vec!["Deactivate a".to_owned()])
    });
}

#[test]
fn each_of_two_that_are_declared_active_names_the_other() {
    let plan = plan(&[], &org([active("a"), active("b")]));
    let other = |name: &str| match outcome(&plan, name) {
        HookOutcome::Blocked(Blocked::TwoDeclaredActive { other }) => other.name.clone(),
        outcome => panic!("{outcome:?}"),
    };
    assert_eq!((other("a"), other("b")), ("b".to_owned(), "a".to_owned()));
}

#[test]
fn one_that_comes_back_is_not_held_up_by_its_destination_or_its_secret() {
    let unready = |a: &mut DesiredHook| {
        (a.endpoint_ready, a.secret_accepted) = (false, false);
        a.applied_fingerprint = Some(Fingerprint::stored("another"));
    };
    let (there, desired) = usurped(unready);
    assert_eq!(of_active_hook(&plan(&there, &desired)), ["Deactivate b", "Activate a"]);
    // anybody else waits, for the secret first
    let mut a = active("a");
    unready(&mut a);
    let waiting = plan(&[okta(&a, INACTIVE)], &org([a]));
    assert_eq!((calls(&waiting).len(), outcome(&waiting, "a")), (0, &HookOutcome::Waiting(Waiting::SecretNotAccepted)));
}

#[test]
fn where_the_one_to_be_active_cannot_be_the_one_before_stands_in_if_it_can() {
    let (a, b) = (inactive("a"), active("b"));
    let unfinished = record(&[okta(&a, ACTIVE), okta(&b, INACTIVE)], &org([a.clone(), b.clone()]));
    let mut b = b;
    b.endpoint_ready = false;
    let stands_in = |change: fn(&mut DesiredHook), there: &dyn Fn(&DesiredHook, &DesiredHook) -> Vec<ObservedHook>| {
        let mut a = a.clone();
        let there = there(&a, &b);
        change(&mut a);
        let desired = DesiredOrg { unfinished: Some(unfinished.clone()), ..org([a, b.clone()]) };
        calls(&plan(&there, &desired)).contains(&"Activate a".to_owned())
    };
    let gap: &dyn Fn(&DesiredHook, &DesiredHook) -> Vec<ObservedHook> =
        &|a, b| vec![okta(a, INACTIVE), okta(b, INACTIVE)];
    assert!(stands_in(|_| {}, gap));
    assert!(stands_in(|a| a.deleting = Some(Deletion::Retain), gap), "it is only kept by nobody");
    assert!(!stands_in(|a| a.deleting = Some(Deletion::Delete), gap));
    assert!(!stands_in(|a| a.refused = BTreeSet::from([Verb::Activate]), gap));
    assert!(!stands_in(|_| {}, &|a, b| vec![tagged_by(okta(a, INACTIVE), None), okta(b, INACTIVE)]), "not ours");
    assert!(!stands_in(|_| {}, &|a, b| vec![okta(a, INACTIVE), okta(b, INACTIVE), foreign(ACTIVE)]), "it is taken");
    assert!(!stands_in(|_| {}, &|_, b| vec![okta(b, INACTIVE)]), "there is none");
}

#[test]
fn in_an_empty_org_one_that_nobody_declares_stays_and_all_others_are_put_off_at_once() {
    let made = |hooks: &[DesiredHook]| calls(&plan(&[], &org(hooks.to_vec())));
    assert_eq!(made(&[hook("a", None)]), ["Create a"]);
    assert_eq!(made(&[hook("a", None), hook("b", None)]), ["Create a"], "the second when the first is there");
    assert_eq!(made(&[inactive("a")]), ["Create a", "Deactivate a"]);
    assert_eq!(made(&[hook("a", None), active("b")]), ["Create a", "Deactivate a", "Create b"]);
    let mut refused = inactive("a");
    refused.refused.insert(Verb::Activate);
    assert_eq!(blocked(&plan(&[], &org([refused])), "a"), "ActivationRefused");
}

#[test]
fn nothing_is_created_beside_one_that_leaves() {
    let beside = |standing: DesiredHook| {
        let there = [okta(&standing, ACTIVE)];
        let mut desired = org([standing, inactive("b")]);
        // what leaves is still there
        desired.quiet_for = Duration::ZERO;
        let plan = plan(&there, &desired);
        (calls(&plan).iter().any(|call| call == "Create b"), outcome(&plan, "b").clone())
    };
    let waits = (false, HookOutcome::Waiting(Waiting::AfterOthers));
    assert_eq!(beside(inactive("a")), waits);
    for policy in [Deletion::Retain, Deletion::Delete] {
        let mut leaving = hook("a", None);
        leaving.deleting = Some(policy);
        assert_eq!(beside(leaving), waits, "{policy:?}");
    }
    assert_eq!(beside(active("a")), (true, HookOutcome::Changing));
    assert_eq!(beside(hook("a", None)), (true, HookOutcome::Changing));
}

#[test]
fn a_block_outweighs_a_wait_and_the_first_of_two_blocks_stays() {
    let mut a = active("a");
    a.endpoint_ready = false;
    let plan = plan(&[foreign(ACTIVE), okta(&a, HookStatus::Unreadable)], &org([a]));
    assert_eq!(blocked(&plan, "a"), "HookStatusUnreadable");
}

#[test]
fn every_move_has_room_for_its_worst_case_and_knows_what_it_may_change() {
    let what = || Subject { object: object("a"), hook: id("cala") };
    let to = || object("b");
    // most calls, opens a gap, changes a state, changes who is active
    let rows = [
        (Move::Update(what()), 1, [false, false, false]),
        (Move::Create { object: to(), beside_active: false }, 1, [false, true, true]),
        (Move::CreateInactive { object: to(), standing: None }, 2, [false, true, false]),
        (Move::CreateInactive { object: to(), standing: Some(what()) }, 3, [true, true, false]),
        (Move::Activate(what()), 1, [false, true, true]),
        (Move::Deactivate(what()), 1, [false, true, true]),
        (Move::Swap { from: what(), to: to(), to_hook: None }, 4, [true, true, true]),
        (Move::Delete { what: what(), active: false }, 1, [false, false, false]),
        (Move::Delete { what: what(), active: true }, 3, [false, true, true]),
    ];
    for (step, most, expected) in rows {
        assert_eq!(step.most_calls(), most, "{step:?}");
        assert_eq!([step.opens_gap(), step.changes_state(), step.changes_active()], expected, "{step:?}");
    }
    let (a, b) = (inactive("a"), active("b"));
    let mut there = [okta(&a, ACTIVE), okta(&b, INACTIVE)];
    there[1].uri = Some("https://old.example/".into());
    let plan = plan(&there, &org([a, b]));
    assert_eq!((plan.most_calls(), plan.changes_active()), (5, true));
}

#[test]
fn a_hook_is_adopted_by_its_name_among_others_and_by_nobody_elses() {
    // another hook stands before it in the list, and one that is remembered is no more there
    let mut want = active("a");
    (want.adoption, want.applied_fingerprint, want.known_id) = (Adoption::IfMatches, None, Some(id("calgone")));
    let theirs = tagged_by(okta(&want, INACTIVE), None);
    assert_eq!(calls(&plan(&[foreign(INACTIVE), theirs.clone()], &org([want.clone()]))), ["Replace a"]);
    // one of that name that is another object's here is not taken from it
    let mut other = hook("b", None);
    other.name.clone_from(&want.name);
    let tagged = okta(&other, INACTIVE);
    let taken = plan(&[tagged], &org([want.clone(), other]));
    assert!(calls(&taken).is_empty(), "{:?}", calls(&taken));
    // one that bears the tag of an object that is not declared any more may be taken over
    let orphan = tagged_by(theirs, Some("prod/otp/gone"));
    assert_eq!(calls(&plan(&[orphan], &org([want]))), ["Replace a"]);
}

#[test]
fn what_is_about_to_be_active_has_its_content_first_and_the_rest_after_it() {
    let (a, b, c) = (inactive("a"), active("b"), inactive("c"));
    let drifted = |want: &DesiredHook| {
        let mut hook = okta(want, INACTIVE);
        hook.uri = Some("https://old.example/".into());
        hook
    };
    let there = [okta(&a, INACTIVE), drifted(&b), drifted(&c)];
    assert_eq!(calls(&plan(&there, &org([a.clone(), b.clone(), c.clone()]))), ["Replace b", "Activate b", "Replace c"]);
    // of those that nothing waits for: what may have another secret, then the active one
    let all = [a.clone(), b.clone(), c.clone()];
    let unfinished = record(&[okta(&a, INACTIVE), okta(&b, ACTIVE), drifted(&c)], &org(all.clone()));
    let there = [drifted(&a), okta(&b, ACTIVE), okta(&c, INACTIVE)];
    let desired = DesiredOrg { unfinished: Some(unfinished), ..org(all) };
    assert_eq!(calls(&plan(&there, &desired)), ["Replace c", "Replace a"]);
    let active_one = ObservedHook { status: ACTIVE, ..drifted(&b) };
    assert_eq!(calls(&plan(&[drifted(&a), active_one], &org([a, b]))), ["Replace b", "Replace a"]);
}

#[test]
fn of_several_hooks_with_our_tag_the_remembered_the_active_the_lowest_is_kept_in_this_order() {
    let want = hook("a", None);
    let copy = |name: &str, status| {
        let mut copy = okta(&want, status);
        copy.id = id(name);
        copy
    };
    let kept = |there: &[ObservedHook], known: Option<&str>| {
        let mut want = want.clone();
        want.known_id = known.map(id);
        plan(there, &org([want])).verdicts[0].hook.clone()
    };
    let there = [copy("cal3", INACTIVE), copy("cal2", ACTIVE), copy("cal1", INACTIVE)];
    assert_eq!(kept(&there, Some("cal3")), Some(id("cal3")));
    assert_eq!(kept(&there, None), Some(id("cal2")));
    assert_eq!(kept(&[there[0].clone(), there[2].clone()], None), Some(id("cal1")));
}

#[test]
fn the_record_of_a_plan_says_what_it_was_to_do_and_what_is_left_of_it() {
    let (a, b) = (hook("a", None), hook("b", None));
    let desired = org([a.clone(), b]);
    let plan_of = plan(&[okta(&a, ACTIVE)], &desired);
    let unfinished = PlanRecord::of(&plan_of, "2026-01-01T00:00:00Z".into());
    assert!(unfinished.is_under_way());
    assert_eq!((unfinished.moves(&object("b")), unfinished.moves(&object("a"))), (true, false), "made, and put off");
    assert_eq!((unfinished.writes_content(&object("b")), unfinished.writes_content(&object("a"))), (true, false));
    let swap = plan(&[okta(&a, ACTIVE), okta(&active("b"), INACTIVE)], &org([inactive("a"), active("b")]));
    let swap = PlanRecord::of(&swap, "2026-01-01T00:00:00Z".into());
    assert_eq!((swap.moves(&object("a")), swap.moves(&object("b"))), (true, false), "put off, and put on");
    // a run that did not come to its end leaves it as it is, one that did nothing of it
    assert_eq!(unfinished.after(&plan_of, false), Some(unfinished.clone()));
    assert_eq!(unfinished.after(&plan_of, true), None);
    // nothing left to do, and something still to be waited for
    let waiting = Plan { moves: Vec::new(), again_in: Some(Duration::from_secs(1)), ..plan_of.clone() };
    assert_eq!(unfinished.after(&waiting, true), Some(unfinished.clone()));
    let rest = Plan { moves: Vec::new(), again_in: None, ..plan_of };
    assert_eq!(unfinished.after(&rest, true), None);
    // whose secret is uncertain, or who is to come back, is remembered without the calls
    let doubtful = Plan { doubtful: vec![object("b")], keep_standing: false, ..rest.clone() };
    let left = unfinished.after(&doubtful, true).unwrap();
    assert_eq!((left.is_under_way(), left.standing(), left.writes_content(&object("b"))), (false, None, true));
    let kept = Plan { keep_standing: true, ..rest };
    let left = unfinished.after(&kept, true).unwrap();
    assert_eq!((left.is_under_way(), left.standing(), left.moves(&object("b"))), (false, Some(object("a")), false));
}

#[test]
fn quiet_is_waited_for_where_a_person_hands_over_and_by_nobody_else() {
    let calls_of = |decision: StateDecision| {
        let (mut a, mut b) = (inactive("a"), active("b"));
        (a.decision, b.decision) = (decision, decision);
        let there = [okta(&a, ACTIVE), okta(&b, INACTIVE)];
        let mut desired = org([a, b]);
        desired.quiet_for = Duration::ZERO;
        calls(&plan(&there, &desired))
    };
    assert_eq!(calls_of(StateDecision::Declared), Vec::<String>::new());
    assert_eq!(calls_of(StateDecision::Switching), ["Deactivate a", "Activate b"]);
    let (there, mut desired) = usurped(|_| {});
    desired.quiet_for = Duration::ZERO;
    assert_eq!(
        of_active_hook(&plan(&there, &desired)),
        ["Deactivate b", "Activate a"],
        "who comes back waits for nobody"
    );
}

#[test]
fn nothing_is_created_while_a_hook_is_still_to_be_tagged() {
    let (mut a, b) = (active("a"), inactive("b"));
    a.adoption = Adoption::IfMatches;
    let marking = plan(&[tagged_by(okta(&a, ACTIVE), None)], &org([a, b]));
    assert_eq!(calls(&marking), ["Replace a"]);
    assert_eq!(outcome(&marking, "b"), &HookOutcome::Waiting(Waiting::AfterOthers));
}
