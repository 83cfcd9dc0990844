//! Plan and run against an org in memory: a property over random orgs, behaviours, faults and crashes, and scenarios.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use tokio::time::Instant;

use super::{Budget, RunReport, run};
use crate::fingerprint::Fingerprint;
use crate::plan::{
    Adoption, Blocked, Deletion, DesiredHook, DesiredOrg, DesiredState, HookOutcome, Plan, Promised, Verb, plan,
};
use crate::plan_record::PlanRecord;
use crate::testing::{
    Behaviour, Fault, Model, SecondActivation, SecondCreation, Stored, Violation, declared, installation, org, written,
};
use crate::types::{HookContent, HookId, HookStatus, Metadata, ObjectRef};

/// `want`'s hook as Okta has it, as declared.
pub(super) fn stored(want: &DesiredHook, id: &str, status: HookStatus) -> Stored {
    let content = org(vec![want.clone()]).content(&want.object).unwrap();
    written(HookId::new(id).unwrap(), status, &HookContent { metadata: opted_out(), ..content })
}

/// What an admin set, and no write of ours may drop.
fn opted_out() -> Option<Metadata> {
    let entries = serde_json::json!({"optOutServiceProtectionRateLimit": "true"});
    Metadata::new(entries.as_object().unwrap().clone())
}

fn untagged(want: &DesiredHook, id: &str, status: HookStatus) -> Stored {
    let mut stored = stored(want, id, status);
    stored.hook.headers.clear();
    stored
}

/// What the operator does around plan and run: remembers what a report says, or loses it with the process.
pub(super) struct Keeper {
    pub(super) desired: DesiredOrg,
    /// When the last run ended, by itself or with its process.
    run_at: Instant,
    /// When the last one ended whose end was not seen.
    left_at: Option<Instant>,
}

impl Keeper {
    pub(super) fn new(desired: DesiredOrg) -> Self {
        Self { desired, run_at: Instant::now(), left_at: None }
    }

    pub(super) fn plan(&mut self, model: &Model) -> Plan {
        if let Some(promised) = &mut self.desired.promised {
            promised.age = self.run_at.elapsed();
        }
        self.desired.not_shown = self.left_at.map(|at| at.elapsed());
        plan(&model.observed(), &self.desired)
    }

    pub(super) async fn pass(&mut self, model: &Model) -> (Plan, Option<RunReport>) {
        let plan = self.plan(model);
        if plan.moves.is_empty() {
            self.keep_record(&plan, true);
            return (plan, None);
        }
        self.desired.unfinished = Some(PlanRecord::of(&plan, "2026-01-01T00:00:00Z".into()));
        let yes = |_| true;
        let report = tokio::select! {
            report = run(&plan, &self.desired, model, Budget::default(), &yes) => Some(report),
            () = model.crashed.notified() => None,
        };
        self.run_at = Instant::now();
        if !report.as_ref().is_some_and(|report| report.finished) {
            self.left_at = Some(self.run_at);
        }
        if let Some(report) = &report {
            self.remember(&plan, report);
        } else {
            self.desired.promised = None;
            for hook in &mut self.desired.hooks {
                hook.refused.clear();
            }
        }
        (plan, report)
    }

    fn remember(&mut self, plan: &Plan, report: &RunReport) {
        let hook =
            |hooks: &mut Vec<DesiredHook>, object: &ObjectRef| hooks.iter().position(|h| h.object == *object).unwrap();
        for refused in &report.refused {
            let index = hook(&mut self.desired.hooks, &refused.object);
            self.desired.hooks[index].refused.insert(refused.verb);
        }
        for applied in &report.applied {
            let index = hook(&mut self.desired.hooks, &applied.object);
            self.desired.hooks[index].applied_fingerprint.clone_from(&applied.secret);
            if applied.hook.is_some() {
                self.desired.hooks[index].known_id.clone_from(&applied.hook);
            }
        }
        self.desired.promised = Some(Promised { made: report.promised.clone(), age: Duration::ZERO });
        self.keep_record(plan, report.finished);
    }

    fn keep_record(&mut self, plan: &Plan, finished: bool) {
        self.desired.unfinished = self.desired.unfinished.take().and_then(|record| record.after(plan, finished));
    }

    /// Passes until nothing is left to do, and nothing at the next poll either. Fails when it does not come to rest.
    async fn until_rest(&mut self, model: &Model) -> Plan {
        let mut idle = false;
        for _ in 0..60 {
            let (plan, _) = self.pass(model).await;
            let nothing = plan.moves.is_empty() && plan.again_in.is_none();
            if nothing && idle {
                return plan;
            }
            idle = nothing;
            tokio::time::sleep(if idle { Duration::from_mins(1) } else { Duration::from_millis(1500) }).await;
        }
        panic!("does not come to rest: calls {:?}, org {:?}", model.calls(), model.observed());
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    Absent,
    AsDeclared,
    Drifted,
    /// Our mark was taken off in the console; status remembers the id.
    Stripped,
    /// A hook of that name and URI that is nobody's.
    Untagged,
}

#[derive(Debug, Clone)]
struct Declared {
    start: Start,
    state: Option<DesiredState>,
    deleting: Option<Deletion>,
    adopt: bool,
    ready: bool,
}

#[derive(Debug, Clone)]
struct Scene {
    hooks: Vec<Declared>,
    active: usize,
    foreign: Vec<bool>,
    orphan: bool,
    behaviour: Behaviour,
    faults: Vec<Fault>,
}

fn scene() -> impl Strategy<Value = Scene> {
    use DesiredState::{Active, Inactive};
    let start = prop_oneof![
        3 => Just(Start::Absent), 3 => Just(Start::AsDeclared), 1 => Just(Start::Drifted),
        1 => Just(Start::Stripped), 1 => Just(Start::Untagged)
    ];
    let state = prop_oneof![2 => Just(Some(Active)), 2 => Just(Some(Inactive)), 1 => Just(None)];
    let deleting = prop_oneof![6 => Just(None), 1 => Just(Some(Deletion::Retain)), 1 => Just(Some(Deletion::Delete))];
    let hook = (start, state, deleting, any::<bool>(), prop::bool::weighted(0.85))
        .prop_map(|(start, state, deleting, adopt, ready)| Declared { start, state, deleting, adopt, ready });
    let behaviour = (
        prop_oneof![Just(SecondCreation::Refused), Just(SecondCreation::Inactive), Just(SecondCreation::TakesOver)],
        prop_oneof![
            Just(SecondActivation::Refused),
            Just(SecondActivation::TakesOver),
            Just(SecondActivation::Permitted)
        ],
        prop::bool::weighted(0.25),
        prop_oneof![3 => Just(0), 1 => 1_u64..5],
        prop_oneof![6 => Just(None), 1 => Just(Some("cala")), 1 => Just(Some("calb"))],
    );
    let fault = prop_oneof![
        8 => Just(Fault::None), 1 => Just(Fault::Unreachable), 1 => Just(Fault::LostCall), 2 => Just(Fault::LostAnswer),
        1 => Just(Fault::ServerError), 1 => Just(Fault::LateServerError), 1 => Just(Fault::RateLimited),
        1 => Just(Fault::NotOkta),
        2 => Just(Fault::CrashBefore), 2 => Just(Fault::CrashAfter)
    ];
    let foreign = prop::collection::vec(prop::bool::weighted(0.2), 0..2);
    (
        prop::collection::vec(hook, 1..5),
        0_usize..6,
        foreign,
        prop::bool::weighted(0.1),
        behaviour,
        prop::collection::vec(fault, 0..12),
    )
        .prop_map(|(hooks, active, foreign, orphan, behaviour, faults)| Scene {
            hooks,
            active,
            foreign,
            orphan,
            behaviour: Behaviour {
                second_creation: behaviour.0,
                second_activation: behaviour.1,
                deactivating_last_refused: behaviour.2,
                delay: Duration::from_secs(behaviour.3),
                never_active: behaviour.4,
            },
            faults,
        })
}

/// Sets a scene: declared hooks, and an org with at most one active hook.
fn set(scene: &Scene) -> (DesiredOrg, Vec<Stored>, BTreeSet<HookId>) {
    let (mut hooks, mut there, mut may_take) = (Vec::new(), Vec::new(), BTreeSet::new());
    let mut taken = false;
    for (number, active) in scene.foreign.iter().enumerate() {
        let status = if *active { HookStatus::Active } else { HookStatus::Inactive };
        taken |= *active;
        there.push(untagged(&declared(&format!("foreign{number}"), None), &format!("foreign{number}"), status));
    }
    for (index, Declared { start, state, deleting, adopt, ready }) in scene.hooks.iter().enumerate() {
        let name = ["a", "b", "c", "d"][index];
        let mut want = declared(name, *state);
        want.deleting = *deleting;
        want.endpoint_ready = *ready;
        want.adoption = if *adopt { Adoption::IfMatches } else { Adoption::Never };
        let active = scene.active == index && !taken && *start != Start::Absent;
        taken |= active;
        let status = if active { HookStatus::Active } else { HookStatus::Inactive };
        let id = HookId::new(format!("cal{name}")).unwrap();
        let mut hook = stored(&want, id.as_str(), status);
        match start {
            Start::Absent => {}
            Start::AsDeclared => want.applied_fingerprint = Some(want.secret_fingerprint.clone()),
            Start::Drifted => hook.hook.uri = Some("https://elsewhere.example/".into()),
            Start::Stripped => {
                hook.hook.headers.clear();
                want.known_id = Some(id.clone());
                may_take.insert(id);
            }
            Start::Untagged => {
                hook.hook.headers.clear();
                if *adopt {
                    may_take.insert(id);
                }
            }
        }
        if *start != Start::Absent {
            there.push(hook);
        }
        hooks.push(want);
    }
    if scene.orphan {
        there.push(stored(&declared("gone", None), "orphan", HookStatus::Inactive));
    }
    (org(hooks), there, may_take)
}

/// Faults whose outcome the caller cannot know make "never two" Okta's own to keep: an org that permits two is only asked
/// under crashes and immediate effects. And going back needs a hook that can be gone back to: the one that is active at the
/// start is not the one that Okta never activates.
fn sound(scene: &mut Scene) {
    let start = ["cala", "calb"].get(scene.active).copied();
    if scene.behaviour.never_active == start {
        scene.behaviour.never_active = None;
    }
    if scene.behaviour.second_activation == SecondActivation::Permitted {
        scene.behaviour.delay = Duration::ZERO;
    }
}

fn check(scene: &Scene, start: &[Stored], model: &Model, rest: &Plan) {
    let end = model.hooks();
    // an org that keeps its last hook active and permits a second one has no other way from one to the other
    let both = scene.behaviour.second_activation == SecondActivation::Permitted;
    let both = both && scene.behaviour.deactivating_last_refused;
    let violations = model.violations().into_iter().filter(|what| !(both && *what == Violation::TwoOfOurs));
    assert_eq!(violations.collect::<Vec<_>>(), [], "calls {:?}", model.calls());
    let ours = end
        .iter()
        .filter(|s| s.hook.status == HookStatus::Active && s.hook.headers.iter().any(|h| h.value.starts_with("prod/")));
    assert!(ours.count() <= 1, "two are active for good: {:?}", model.calls());
    for before in start.iter().filter(|s| s.hook.id.as_str().starts_with("foreign") || s.hook.id.as_str() == "orphan") {
        let after = end.iter().find(|after| after.hook.id == before.hook.id);
        assert_eq!(after.map(|after| (&after.hook, &after.secret)), Some((&before.hook, &before.secret)), "untouched");
    }
    let conflicting =
        scene.hooks.iter().filter(|hook| hook.state == Some(DesiredState::Active) && hook.deleting.is_none()).count()
            > 1;
    let (desired, _, _) = set(scene);
    let active =
        |name: &str| end.iter().any(|s| s.hook.name == format!("OTP {name}") && s.hook.status == HookStatus::Active);
    for (index, Declared { state, deleting, ready, .. }) in scene.hooks.iter().enumerate() {
        let name = ["a", "b", "c", "d"][index];
        let want = &desired.hooks[index];
        let verdict = rest.verdicts.iter().find(|verdict| verdict.object == want.object).unwrap();
        assert_ne!(verdict.outcome, HookOutcome::Changing, "{name} at rest");
        if verdict.outcome != HookOutcome::InSync {
            let explained = match &verdict.outcome {
                HookOutcome::Waiting(_) => {
                    !*ready
                        || conflicting
                        || scene.hooks.iter().any(|hook| !hook.ready || hook.deleting.is_some())
                        || held(rest)
                }
                HookOutcome::Blocked(_) => true,
                HookOutcome::Released => deleting.is_some(),
                HookOutcome::InSync | HookOutcome::Changing => false,
            };
            assert!(explained, "{name}: {:?} in {rest:?}", verdict.outcome);
            if verdict.outcome == HookOutcome::Released && *deleting == Some(Deletion::Delete) {
                let left = end.iter().find(|s| s.hook.headers.iter().any(|h| h.value == format!("prod/otp/{name}")));
                assert!(left.is_none(), "{name} was to be deleted");
            }
            continue;
        }
        if deleting.is_some() {
            continue;
        }
        let hook = end.iter().find(|s| s.hook.name == want.name).unwrap();
        let content = desired.content(&want.object).unwrap();
        // it was there before, or it was created: what it carries besides is not declared
        let content = HookContent { metadata: hook.hook.metadata.clone(), ..content };
        let as_declared = written(hook.hook.id.clone(), hook.hook.status, &content);
        assert_eq!(hook.hook, as_declared.hook, "{name}");
        assert_eq!(hook.secret, as_declared.secret, "{name} has the secret");
        match state {
            Some(DesiredState::Active) => assert!(active(name), "{name} is declared Active: {rest:?}"),
            Some(DesiredState::Inactive) => {
                assert!(!active(name) || held(rest) || conflicting, "{name} is declared Inactive");
            }
            None => {}
        }
    }
    none_only_when_asked(scene, start, &end, conflicting);
}

/// Something was refused or waits for readiness, so the active hook stays where it is.
fn held(rest: &Plan) -> bool {
    rest.verdicts.iter().any(|verdict| matches!(verdict.outcome, HookOutcome::Blocked(_) | HookOutcome::Waiting(_)))
}

/// One of ours was active and somebody declared should be: then one still is.
fn none_only_when_asked(scene: &Scene, start: &[Stored], end: &[Stored], conflicting: bool) {
    let was = scene.hooks.get(scene.active).filter(|_| {
        start.iter().any(|s| {
            s.hook.status == HookStatus::Active
                && s.hook.id.as_str() == format!("cal{}", ["a", "b", "c", "d", "", ""][scene.active])
        })
    });
    let Some(Declared { state, deleting, .. }) = was else { return };
    let wanted = scene.hooks.iter().any(|hook| hook.state == Some(DesiredState::Active) && hook.deleting.is_none());
    let leaves = *deleting == Some(Deletion::Delete) || (*state == Some(DesiredState::Inactive) && !wanted);
    if !leaves || conflicting {
        let any = end.iter().any(|s| s.hook.status == HookStatus::Active);
        assert!(any, "none is active although nobody asked for that: {end:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(4_000),
        max_shrink_iters: 40_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn from_any_org_through_any_faults_it_ends_as_declared_and_never_does_harm(mut scene in scene()) {
        sound(&mut scene);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let (desired, start, may_take) = set(&scene);
            let model = Model::new(scene.behaviour, installation(), start.clone(), may_take, scene.faults.clone());
            let mut keeper = Keeper::new(desired);
            let rest = keeper.until_rest(&model).await;
            check(&scene, &start, &model, &rest);
        });
    }
}

pub(super) fn behaviour() -> Behaviour {
    Behaviour {
        second_creation: SecondCreation::Refused,
        second_activation: SecondActivation::Refused,
        deactivating_last_refused: false,
        never_active: None,
        delay: Duration::ZERO,
    }
}

fn status(model: &Model, name: &str) -> Option<HookStatus> {
    model.observed().iter().find(|hook| hook.name == format!("OTP {name}")).map(|hook| hook.status)
}

/// A is active and declared Inactive, B is declared Active.
fn handing_over(behaviour: Behaviour, b_exists: bool, faults: Vec<Fault>) -> (Keeper, Model) {
    let mut hooks = vec![declared("a", Some(DesiredState::Inactive)), declared("b", Some(DesiredState::Active))];
    for hook in &mut hooks {
        hook.applied_fingerprint = Some(hook.secret_fingerprint.clone());
    }
    let mut there = vec![stored(&hooks[0], "cala", HookStatus::Active)];
    if b_exists {
        there.push(stored(&hooks[1], "calb", HookStatus::Inactive));
    }
    (Keeper::new(org(hooks)), Model::new(behaviour, installation(), there, BTreeSet::new(), faults))
}

#[tokio::test(start_paused = true)]
async fn what_an_admin_set_beside_our_fields_survives_every_update_of_ours() {
    let want = declared("a", Some(DesiredState::Active));
    let mut there = stored(&want, "cal1", HookStatus::Active);
    there.hook.uri = Some("https://elsewhere.test/".into());
    let model = Model::new(behaviour(), installation(), vec![there], BTreeSet::new(), Vec::new());
    let mut keeper = Keeper::new(org(vec![want.clone()]));
    keeper.until_rest(&model).await;
    assert_eq!(model.observed()[0].uri.as_deref(), Some(want.uri.as_str()));
    assert_eq!(model.observed()[0].metadata, opted_out());
    keeper.desired.hooks[0].secret_fingerprint = Fingerprint::stored("mark of another secret");
    keeper.until_rest(&model).await;
    assert_eq!(model.calls().iter().filter(|verb| **verb == Verb::Replace).count(), 2, "{:?}", model.calls());
    assert_eq!(model.observed()[0].metadata, opted_out());
}

#[tokio::test(start_paused = true)]
async fn a_swap_is_deactivate_activate_read_back_and_nothing_else() {
    let (mut keeper, model) = handing_over(behaviour(), true, Vec::new());
    let (_, report) = keeper.pass(&model).await;
    assert_eq!(model.calls(), [Verb::Deactivate, Verb::Activate, Verb::ReadBack]);
    assert!(report.unwrap().finished);
    assert_eq!((status(&model, "a"), status(&model, "b")), (Some(HookStatus::Inactive), Some(HookStatus::Active)));
}

#[tokio::test(start_paused = true)]
async fn a_rate_limit_inside_the_gap_is_waited_out_and_tried_again() {
    let (mut keeper, model) = handing_over(behaviour(), true, vec![Fault::None, Fault::RateLimited]);
    keeper.pass(&model).await;
    assert_eq!(model.calls(), [Verb::Deactivate, Verb::Activate, Verb::Activate, Verb::ReadBack]);
    assert_eq!(status(&model, "b"), Some(HookStatus::Active));
}

#[tokio::test(start_paused = true)]
async fn what_refuses_a_call_instead_of_okta_refuses_neither_hook() {
    // at the first call: the other one is not switched on beside the active one, and nothing is held against either
    let (mut keeper, model) = handing_over(behaviour(), true, vec![Fault::NotOkta]);
    let (_, report) = keeper.pass(&model).await;
    assert_eq!(model.calls(), [Verb::Deactivate, Verb::Read, Verb::ReadBack]);
    assert!(report.unwrap().refused.is_empty());
    keeper.until_rest(&model).await;
    assert_eq!((status(&model, "a"), status(&model, "b")), (Some(HookStatus::Inactive), Some(HookStatus::Active)));
    // inside the gap: it is tried again
    let (mut keeper, model) = handing_over(behaviour(), true, vec![Fault::None, Fault::NotOkta]);
    let (_, report) = keeper.pass(&model).await;
    assert_eq!(model.calls(), [Verb::Deactivate, Verb::Activate, Verb::Activate, Verb::ReadBack]);
    assert!(report.unwrap().refused.is_empty());
    assert_eq!(status(&model, "b"), Some(HookStatus::Active));
}

#[tokio::test(start_paused = true)]
async fn a_refused_activation_puts_the_other_back_in_the_same_run_and_is_held() {
    let refusing = Behaviour { never_active: Some("calb"), ..behaviour() };
    let (mut keeper, model) = handing_over(refusing, true, Vec::new());
    let (_, report) = keeper.pass(&model).await;
    assert_eq!(
        model.calls(),
        [Verb::Deactivate, Verb::Activate, Verb::Read, Verb::Activate, Verb::ReadBack],
        "the look tells a refusal from a deactivation that does not show yet"
    );
    assert_eq!(status(&model, "a"), Some(HookStatus::Active));
    assert_eq!(report.unwrap().refused[0].verb, Verb::Activate);
    let rest = keeper.until_rest(&model).await;
    assert_eq!(model.calls().len(), 5, "it is not tried again");
    assert_eq!(rest.verdicts[1].outcome, HookOutcome::Blocked(Blocked::ActivationRefused));
}

#[tokio::test(start_paused = true)]
async fn a_deactivation_that_okta_shows_late_is_no_refusal_of_the_other_hook() {
    let late = Behaviour { delay: Duration::from_secs(3), ..behaviour() };
    let (mut keeper, model) = handing_over(late, true, Vec::new());
    keeper.pass(&model).await;
    assert_eq!(model.calls(), [Verb::Deactivate, Verb::Activate, Verb::Read, Verb::Activate, Verb::ReadBack]);
    keeper.until_rest(&model).await;
    assert_eq!((status(&model, "a"), status(&model, "b")), (Some(HookStatus::Inactive), Some(HookStatus::Active)));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_no_call_was_left_to_check_is_not_believed() {
    let late = Behaviour { delay: Duration::from_secs(3), ..behaviour() };
    let (mut keeper, model) = handing_over(late, true, Vec::new());
    // its content is written in the same run, which takes the call for the check
    keeper.desired.hooks[1].applied_fingerprint = None;
    let (_, report) = keeper.pass(&model).await;
    assert_eq!(model.calls()[..2], [Verb::Replace, Verb::Deactivate]);
    assert_eq!(report.unwrap().refused, []);
    keeper.until_rest(&model).await;
    assert_eq!((status(&model, "a"), status(&model, "b")), (Some(HookStatus::Inactive), Some(HookStatus::Active)));
}

/// A run that hands over with less time than waiting for a late effect takes.
async fn hurried(behaviour: Behaviour) -> (Keeper, Model, RunReport) {
    let (mut keeper, model) = handing_over(behaviour, true, Vec::new());
    let plan = keeper.plan(&model);
    let budget = Budget { whole: Duration::from_secs(8), ..Budget::default() };
    let report = run(&plan, &keeper.desired, &model, budget, &|_| true).await;
    (keeper, model, report)
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_not_believed_where_no_time_is_left_to_wait_for_a_late_deactivation() {
    let late = Behaviour { delay: Duration::from_secs(3), ..behaviour() };
    let (mut keeper, model, report) = hurried(late).await;
    assert_eq!(model.calls(), [Verb::Deactivate, Verb::Activate, Verb::Read, Verb::Activate, Verb::ReadBack]);
    assert_eq!(report.refused, []);
    keeper.until_rest(&model).await;
    assert_eq!((status(&model, "a"), status(&model, "b")), (Some(HookStatus::Inactive), Some(HookStatus::Active)));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_believed_once_the_deactivation_shows_although_no_time_is_left_to_wait() {
    let (_, model, report) = hurried(Behaviour { never_active: Some("calb"), ..behaviour() }).await;
    assert_eq!(model.calls(), [Verb::Deactivate, Verb::Activate, Verb::Read, Verb::Activate, Verb::ReadBack]);
    assert_eq!(report.refused.iter().map(|refused| refused.verb).collect::<Vec<_>>(), [Verb::Activate]);
    assert_eq!(status(&model, "a"), Some(HookStatus::Active));
}

#[tokio::test(start_paused = true)]
async fn an_unclear_deactivation_is_checked_before_the_other_is_switched_on() {
    let (mut keeper, model) = handing_over(behaviour(), true, vec![Fault::LostCall]);
    keeper.pass(&model).await;
    assert_eq!(model.calls(), [Verb::Deactivate, Verb::Read, Verb::ReadBack], "it had no effect, so nothing is gone");
    assert_eq!(status(&model, "a"), Some(HookStatus::Active));
    let (mut keeper, model) = handing_over(behaviour(), true, vec![Fault::LostAnswer]);
    keeper.pass(&model).await;
    assert_eq!(model.calls(), [Verb::Deactivate, Verb::Read, Verb::Activate, Verb::ReadBack]);
}

#[tokio::test(start_paused = true)]
async fn an_unreadable_state_after_an_unclear_deactivation_goes_back_to_the_one_that_was_active() {
    let (mut keeper, model) = handing_over(behaviour(), true, vec![Fault::LostAnswer, Fault::ServerError]);
    keeper.pass(&model).await;
    assert_eq!(model.calls(), [Verb::Deactivate, Verb::Read, Verb::Activate, Verb::ReadBack]);
    assert_eq!(status(&model, "a"), Some(HookStatus::Active));
}

#[tokio::test(start_paused = true)]
async fn a_refused_standby_is_created_inside_the_swap() {
    let (mut keeper, model) = handing_over(behaviour(), false, Vec::new());
    keeper.until_rest(&model).await;
    assert_eq!(
        model.calls(),
        [Verb::Create, Verb::ReadBack, Verb::Deactivate, Verb::Create, Verb::ReadBack],
        "whether it is taken at all is learned before anything is switched off"
    );
    assert_eq!(status(&model, "b"), Some(HookStatus::Active));
}

#[tokio::test(start_paused = true)]
async fn a_standby_whose_creation_took_over_is_put_back_at_once() {
    let mut hooks = vec![declared("a", Some(DesiredState::Active)), declared("b", Some(DesiredState::Inactive))];
    hooks[0].applied_fingerprint = Some(hooks[0].secret_fingerprint.clone());
    let there = vec![stored(&hooks[0], "cala", HookStatus::Active)];
    let behaviour = Behaviour { second_creation: SecondCreation::TakesOver, ..behaviour() };
    let model = Model::new(behaviour, installation(), there, BTreeSet::new(), Vec::new());
    Keeper::new(org(hooks)).pass(&model).await;
    assert_eq!(model.calls(), [Verb::Create, Verb::Deactivate, Verb::Activate, Verb::ReadBack]);
    assert_eq!((status(&model, "a"), status(&model, "b")), (Some(HookStatus::Active), Some(HookStatus::Inactive)));
}

#[tokio::test(start_paused = true)]
async fn a_crash_after_a_standby_took_over_is_repaired_although_nothing_is_declared_active() {
    let mut hooks = vec![declared("a", None), declared("b", Some(DesiredState::Inactive))];
    hooks[0].applied_fingerprint = Some(hooks[0].secret_fingerprint.clone());
    let there = vec![stored(&hooks[0], "cala", HookStatus::Active)];
    let behaviour = Behaviour { second_creation: SecondCreation::TakesOver, ..behaviour() };
    let model = Model::new(behaviour, installation(), there, BTreeSet::new(), vec![Fault::CrashAfter]);
    Keeper::new(org(hooks)).until_rest(&model).await;
    assert_eq!((status(&model, "a"), status(&model, "b")), (Some(HookStatus::Active), Some(HookStatus::Inactive)));
}

#[tokio::test(start_paused = true)]
async fn a_takeover_that_shows_only_after_a_crash_or_a_lost_answer_is_put_back() {
    for faults in [vec![Fault::None, Fault::CrashBefore], vec![Fault::CrashAfter], vec![Fault::LostAnswer]] {
        let mut hooks = vec![declared("a", None), declared("b", Some(DesiredState::Inactive))];
        hooks[0].applied_fingerprint = Some(hooks[0].secret_fingerprint.clone());
        let there = vec![stored(&hooks[0], "cala", HookStatus::Active)];
        let delay = Duration::from_secs(4);
        let late = Behaviour { second_creation: SecondCreation::TakesOver, delay, ..behaviour() };
        let model = Model::new(late, installation(), there, BTreeSet::new(), faults.clone());
        Keeper::new(org(hooks)).until_rest(&model).await;
        let states = (status(&model, "a"), status(&model, "b"));
        assert_eq!(states, (Some(HookStatus::Active), Some(HookStatus::Inactive)), "{faults:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_deactivation_tries_the_other_first_and_is_held_when_that_is_refused_too() {
    let held = Behaviour { deactivating_last_refused: true, ..behaviour() };
    let (mut keeper, model) = handing_over(held, true, Vec::new());
    let rest = keeper.until_rest(&model).await;
    assert_eq!(model.calls(), [Verb::Deactivate, Verb::Activate, Verb::ReadBack], "tried once, then held");
    assert_eq!(status(&model, "a"), Some(HookStatus::Active));
    assert_eq!(rest.verdicts[1].outcome, HookOutcome::Blocked(Blocked::ActivationRefused));

    let (mut keeper, model) =
        handing_over(Behaviour { second_activation: SecondActivation::TakesOver, ..held }, true, Vec::new());
    keeper.until_rest(&model).await;
    assert_eq!((status(&model, "a"), status(&model, "b")), (Some(HookStatus::Inactive), Some(HookStatus::Active)));
}

#[tokio::test(start_paused = true)]
async fn where_a_deactivation_is_refused_and_a_second_activation_is_not_the_first_is_off_in_the_same_run() {
    let pair =
        Behaviour { deactivating_last_refused: true, second_activation: SecondActivation::Permitted, ..behaviour() };
    let (mut keeper, model) = handing_over(pair, true, Vec::new());
    let (_, report) = keeper.pass(&model).await;
    assert_eq!(
        model.calls(),
        [Verb::Deactivate, Verb::Activate, Verb::Read, Verb::Deactivate, Verb::ReadBack],
        "both are active until it is"
    );
    assert!(report.unwrap().refused.is_empty());
    keeper.until_rest(&model).await;
    assert_eq!((status(&model, "a"), status(&model, "b")), (Some(HookStatus::Inactive), Some(HookStatus::Active)));
    // whoever follows on one that died in between, or whose answers were lost, does the same
    for at in 0..5 {
        for fault in [Fault::CrashBefore, Fault::CrashAfter, Fault::LostAnswer, Fault::ServerError, Fault::RateLimited]
        {
            let mut faults = vec![Fault::None; at];
            faults.push(fault);
            let (mut keeper, model) = handing_over(pair, true, faults);
            keeper.until_rest(&model).await;
            let states = (status(&model, "a"), status(&model, "b"));
            assert_eq!(
                states,
                (Some(HookStatus::Inactive), Some(HookStatus::Active)),
                "{at} {fault:?} {:?}",
                model.calls()
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn without_the_lease_nothing_is_written() {
    let (mut keeper, model) = handing_over(behaviour(), true, Vec::new());
    let plan = keeper.plan(&model);
    let report = run(&plan, &keeper.desired, &model, Budget::default(), &|_| false).await;
    assert_eq!(model.calls(), [Verb::ReadBack]);
    assert!(!report.finished);
    assert_eq!(status(&model, "a"), Some(HookStatus::Active));
}

/// The lease is a local check against our own clock: here one that has so much left when the run begins.
#[tokio::test(start_paused = true)]
async fn a_gap_is_opened_only_with_lease_left_to_close_it_whatever_goes_wrong() {
    for (left, opened) in [(4, false), (15, false), (16, true)] {
        let (mut keeper, model) = handing_over(behaviour(), true, Vec::new());
        let (plan, begun) = (keeper.plan(&model), Instant::now());
        let lease = |within: Duration| Duration::from_secs(left).saturating_sub(begun.elapsed()) >= within;
        let report = run(&plan, &keeper.desired, &model, Budget::default(), &lease).await;
        assert_eq!(model.calls().contains(&Verb::Deactivate), opened, "{left} s: {:?}", model.calls());
        assert_eq!(report.finished, opened, "{left} s");
        assert_eq!(model.observed().iter().filter(|hook| hook.status == HookStatus::Active).count(), 1, "{left} s");
    }
}

#[tokio::test(start_paused = true)]
async fn a_standby_is_created_beside_the_active_hook_only_with_lease_left_to_put_that_back() {
    let mut hooks = vec![declared("a", Some(DesiredState::Active)), declared("b", Some(DesiredState::Inactive))];
    hooks[0].applied_fingerprint = Some(hooks[0].secret_fingerprint.clone());
    let there = vec![stored(&hooks[0], "cala", HookStatus::Active)];
    let behaviour = Behaviour { second_creation: SecondCreation::TakesOver, ..behaviour() };
    let model = Model::new(behaviour, installation(), there, BTreeSet::new(), Vec::new());
    let mut keeper = Keeper::new(org(hooks));
    let plan = keeper.plan(&model);
    run(&plan, &keeper.desired, &model, Budget::default(), &|within| within <= Duration::from_secs(4)).await;
    assert_eq!(model.calls(), [Verb::ReadBack]);
    assert_eq!(status(&model, "a"), Some(HookStatus::Active));
}

#[tokio::test(start_paused = true)]
async fn a_hook_edited_in_the_console_is_mended_with_one_call_and_then_left_alone() {
    let mut hook = declared("a", Some(DesiredState::Active));
    hook.applied_fingerprint = Some(hook.secret_fingerprint.clone());
    let model = Model::new(
        behaviour(),
        installation(),
        vec![stored(&hook, "cala", HookStatus::Active)],
        BTreeSet::new(),
        Vec::new(),
    );
    model.edit(|hooks| hooks[0].hook.uri = Some("https://evil.example/".into()));
    let mut keeper = Keeper::new(org(vec![hook]));
    keeper.until_rest(&model).await;
    assert_eq!(model.calls(), [Verb::Replace, Verb::ReadBack]);
    assert_eq!(keeper.plan(&model).steps(), []);
}

#[tokio::test(start_paused = true)]
async fn a_replace_without_a_clear_answer_is_repeated_because_the_secret_cannot_be_read() {
    for fault in [Fault::LostAnswer, Fault::CrashAfter, Fault::CrashBefore] {
        let mut hook = declared("a", Some(DesiredState::Active));
        hook.applied_fingerprint = Some(hook.secret_fingerprint.clone());
        let there = vec![stored(&hook, "cala", HookStatus::Active)];
        let model = Model::new(behaviour(), installation(), there, BTreeSet::new(), vec![fault]);
        model.edit(|hooks| hooks[0].hook.uri = Some("https://evil.example/".into()));
        Keeper::new(org(vec![hook])).until_rest(&model).await;
        assert_eq!(model.calls().iter().filter(|verb| **verb == Verb::Replace).count(), 2, "{fault:?}");
    }
}
