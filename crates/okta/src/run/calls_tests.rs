//! The calls of every move under every single fault, as a table to read: what is asked in which order, what is left behind,
//! and what the next plan is given.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use super::tests::{Keeper, behaviour, stored};
use super::{AuditEntry, AuditResult, Budget, Purpose, RunReport, run};
use crate::plan::{Deletion, DesiredHook, DesiredState, Verb};
use crate::testing::{self, Behaviour, Fault, Model, SecondActivation, SecondCreation, Stored, installation, org};
use crate::types::{HookId, HookStatus, RateLimit};

/// One of the fault's kind, at one call or from there on.
fn faults() -> impl Iterator<Item = Fault> {
    Fault::TRANSIENT.into_iter().chain([Fault::Unauthorized, Fault::NotOkta])
}

struct Scene {
    title: &'static str,
    hooks: Vec<DesiredHook>,
    there: Vec<Stored>,
    behaviour: Behaviour,
}

fn settled(name: &str, state: DesiredState) -> DesiredHook {
    testing::settled(name, Some(state))
}

fn scenes() -> Vec<Scene> {
    use DesiredState::{Active, Inactive};
    let (on, off) = (HookStatus::Active, HookStatus::Inactive);
    let documented = behaviour();
    let over = Behaviour {
        second_activation: SecondActivation::TakesOver,
        second_creation: SecondCreation::TakesOver,
        ..documented
    };
    let kept = Behaviour { deactivating_last_refused: true, ..documented };
    let kept_over = Behaviour { deactivating_last_refused: true, ..over };
    let both = Behaviour { second_activation: SecondActivation::Permitted, ..kept };
    let late_inactive =
        Behaviour { second_creation: SecondCreation::Inactive, delay: Duration::from_secs(3), ..documented };
    let late = Behaviour { delay: Duration::from_secs(3), ..documented };
    let (a, b) = (settled("a", Inactive), settled("b", Active));
    let a_there = stored(&a, "cala", on);
    let b_there = stored(&b, "calb", off);
    let mut b_new = b.clone();
    b_new.refused.insert(Verb::Create);
    let mut doomed = a.clone();
    doomed.deleting = Some(Deletion::Delete);
    let mut drifted = stored(&b, "calb", on);
    drifted.hook.uri = Some("https://elsewhere.example/".into());
    let scene = |title, hooks: &[&DesiredHook], there: &[&Stored], behaviour| Scene {
        title,
        hooks: hooks.iter().map(|hook| (*hook).clone()).collect(),
        there: there.iter().map(|stored| (*stored).clone()).collect(),
        behaviour,
    };
    let never = Behaviour { never_active: Some("calb"), ..documented };
    let b_off = settled("b", Inactive);
    let a_on = settled("a", Active);
    let inactive = Behaviour { second_creation: SecondCreation::Inactive, ..documented };
    vec![
        scene("a swap", &[&a, &b], &[&a_there, &b_there], documented),
        scene("a swap, B is never taken", &[&a, &b], &[&a_there, &b_there], never),
        scene("a swap, effects show 3 s late", &[&a, &b], &[&a_there, &b_there], late),
        scene("a swap, the last one is kept", &[&a, &b], &[&a_there, &b_there], kept),
        scene("a swap, the last one is kept until another takes over", &[&a, &b], &[&a_there, &b_there], kept_over),
        scene("a swap, the last one is kept and a second permitted", &[&a, &b], &[&a_there, &b_there], both),
        scene("a swap that creates B", &[&a, &b_new], &[&a_there], documented),
        scene("a swap that creates B, effects show 3 s late", &[&a, &b_new], &[&a_there], late_inactive),
        scene("B is created beside A", &[&a_on, &b_off], &[&a_there], inactive),
        scene("B is created beside A and takes over", &[&a_on, &b_off], &[&a_there], over),
        scene("B is created", &[&b], &[], documented),
        scene("B is created, to be inactive", &[&b_off], &[], documented),
        scene("B is activated", &[&b], &[&b_there], documented),
        scene("A is deactivated", &[&a], &[&a_there], documented),
        scene("A is deactivated, the last one is kept", &[&a], &[&a_there], kept),
        scene("A is deleted", &[&doomed], &[&a_there], documented),
        scene("A is deleted, effects show 3 s late", &[&doomed], &[&a_there], late),
        scene("B is written", &[&b], &[&drifted], documented),
    ]
}

async fn ran(scene: &Scene, faults: Vec<Fault>) -> (Model, RunReport) {
    let there = scene.there.clone();
    let model = Model::new(scene.behaviour, installation(), there, BTreeSet::new(), faults);
    let mut keeper = Keeper::new(org(scene.hooks.clone()));
    let plan = keeper.plan(&model);
    let report = run(&plan, &keeper.desired, &model, Budget::default(), &|_| true).await;
    (model, report)
}

fn call(entry: &AuditEntry) -> String {
    let why = match entry.why {
        Purpose::PutBack => "back:",
        Purpose::Planned | Purpose::Check => "",
    };
    let hook = match (&entry.object, &entry.hook) {
        (Some(object), Some(_)) => object.name.to_uppercase(),
        (Some(object), None) => format!("{}?", object.name.to_uppercase()),
        (None, _) => String::new(),
    };
    let ended = match entry.result {
        AuditResult::Done => "",
        AuditResult::Failed(_) => "=no",
        AuditResult::Unclear(_) => "=?",
        AuditResult::NotSent => "=unsent",
    };
    format!("{why}{}{hook}{ended}", entry.verb)
}

fn row(model: &Model, report: &RunReport) -> String {
    let calls: Vec<String> = report.audit.iter().map(call).collect();
    let hooks: Vec<String> = model
        .observed()
        .iter()
        .map(|hook| {
            let state = if hook.status == HookStatus::Active { "on" } else { "off" };
            format!("{} {state}", hook.name.trim_start_matches("OTP ").to_uppercase())
        })
        .collect();
    let mut row = format!("{} -> {}", calls.join(" "), hooks.join(", "));
    let mut add = |what: &str, found: Vec<String>| {
        if !found.is_empty() {
            let _ = write!(row, "; {what} {}", found.join(", "));
        }
    };
    add(
        "refused",
        report.refused.iter().map(|found| format!("{} {}", found.verb, found.object.name.to_uppercase())).collect(),
    );
    add("promised", report.promised.iter().map(|found| format!("{} {:?}", found.hook, found.effect)).collect());
    let known = |id: &Option<HookId>| id.as_ref().map_or_else(|| "unknown".to_owned(), ToString::to_string);
    add(
        "written",
        report
            .applied
            .iter()
            .map(|found| format!("{}{}", known(&found.hook), if found.secret.is_some() { "" } else { " perhaps" }))
            .collect(),
    );
    if !report.took.is_zero() {
        let _ = write!(row, "; {} ms", report.took.as_millis());
    }
    if !report.finished {
        row.push_str("; to go on");
    }
    row
}

/// Rows of the same text are one.
fn add(rows: &mut Vec<(Vec<String>, String)>, when: String, row: String) {
    match rows.iter_mut().find(|(_, known)| *known == row) {
        Some((whens, _)) => whens.push(when),
        None => rows.push((vec![when], row)),
    }
}

#[tokio::test(start_paused = true)]
async fn every_move_under_every_fault_asks_leaves_and_reports_what_this_table_says() {
    let mut table = String::new();
    for scene in scenes() {
        let (model, report) = ran(&scene, Vec::new()).await;
        let most = report.audit.len();
        let _ = writeln!(table, "{}: {}", scene.title, row(&model, &report));
        let mut rows = Vec::new();
        for fault in faults() {
            for at in 0..most {
                let mut faults = vec![Fault::None; at];
                faults.push(fault);
                let (model, report) = ran(&scene, faults.clone()).await;
                add(&mut rows, format!("{fault:?} {}", at + 1), row(&model, &report));
                faults.extend([fault; 8]);
                let (model, report) = ran(&scene, faults).await;
                add(&mut rows, format!("{fault:?} {}..", at + 1), row(&model, &report));
            }
        }
        for (whens, row) in rows {
            let _ = writeln!(table, "  {}\n    {row}", whens.join(" | "));
        }
    }
    insta::assert_snapshot!(table);
}

#[tokio::test(start_paused = true)]
async fn a_run_says_the_bucket_and_when_each_call_was_made() {
    let scene = &scenes()[0];
    let there = scene.there.clone();
    let faults = vec![Fault::None, Fault::RateLimited];
    let model = Model::new(scene.behaviour, installation(), there, BTreeSet::new(), faults);
    let rate = RateLimit { limit: 100, remaining: 7, resets_in: Duration::from_secs(30) };
    model.set_rate(rate);
    let mut keeper = Keeper::new(org(scene.hooks.clone()));
    let plan = keeper.plan(&model);
    let report = run(&plan, &keeper.desired, &model, Budget::default(), &|_| true).await;
    assert_eq!(report.rate, Some(rate));
    let at: Vec<u128> = report.audit.iter().map(|entry| entry.at.as_millis()).collect();
    assert_eq!(at, [0, 0, 1_000, 1_000], "a 429 is waited out as long as Okta asks");
}

/// What is asked of hooks that went after the plan was made.
async fn ran_on_nothing(title: &str) -> RunReport {
    let scene = scenes().into_iter().find(|scene| scene.title == title).unwrap();
    let model = Model::new(scene.behaviour, installation(), scene.there, BTreeSet::new(), Vec::new());
    let mut keeper = Keeper::new(org(scene.hooks));
    let plan = keeper.plan(&model);
    model.edit(Vec::clear);
    run(&plan, &keeper.desired, &model, Budget::default(), &|_| true).await
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_is_gone_is_deleted_and_anything_else_of_it_is_for_the_next_plan() {
    let mut hooks = vec![settled("a", DesiredState::Inactive)];
    hooks[0].deleting = Some(Deletion::Delete);
    let there = vec![stored(&hooks[0], "cala", HookStatus::Inactive)];
    let model = Model::new(behaviour(), installation(), there, BTreeSet::new(), Vec::new());
    let mut keeper = Keeper::new(org(hooks));
    let plan = keeper.plan(&model);
    model.edit(Vec::clear);
    let deleted = run(&plan, &keeper.desired, &model, Budget::default(), &|_| true).await;
    assert_eq!(row(&model, &deleted), "DeleteA=no ReadBack -> ; promised cala Gone");
    for title in ["B is activated", "B is written", "A is deactivated", "A is deleted"] {
        let report = ran_on_nothing(title).await;
        assert!(!report.finished, "{title}");
        assert_eq!((&report.refused[..], &report.promised[..]), (&[][..], &[][..]), "{title}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_waited_for_inside_a_swap_must_fit_into_its_time_with_what_follows() {
    let calls_within = |title: &'static str, whole: u64, faults: Vec<Fault>| async move {
        let scene = scenes().into_iter().find(|scene| scene.title == title).unwrap();
        let model = Model::new(scene.behaviour, installation(), scene.there, BTreeSet::new(), faults);
        let mut keeper = Keeper::new(org(scene.hooks));
        let plan = keeper.plan(&model);
        let budget = Budget { whole: Duration::from_millis(whole), ..Budget::default() };
        let report = run(&plan, &keeper.desired, &model, budget, &|_| true).await;
        report.audit.iter().map(call).collect::<Vec<_>>().join(" ")
    };
    // a 429 asks for a second, and the call after it may take two
    let limited = || vec![Fault::None, Fault::RateLimited];
    assert_eq!(calls_within("a swap", 3_000, limited()).await, "DeactivateA ActivateB=no ActivateB ReadBack");
    assert_eq!(calls_within("a swap", 2_999, limited()).await, "DeactivateA ActivateB=no ReadBack");
    // a late effect is waited for five seconds, and two calls follow
    let late = "a swap, effects show 3 s late";
    let waits = "DeactivateA ActivateB=no ReadA ActivateB ReadBack";
    assert_eq!(calls_within(late, 9_000, Vec::new()).await, waits);
    assert_eq!(calls_within(late, 8_999, Vec::new()).await, "DeactivateA ActivateB=no ReadA back:ActivateA ReadBack");
    // the check itself leaves time for going back
    assert_eq!(calls_within(late, 4_000, Vec::new()).await, "DeactivateA ActivateB=no ReadA back:ActivateA ReadBack");
    assert_eq!(calls_within(late, 3_999, Vec::new()).await, "DeactivateA ActivateB=no back:ActivateA ReadBack");
    let both = "a swap, the last one is kept and a second permitted";
    let waits = "DeactivateA=no ActivateB ReadA DeactivateA ReadBack";
    assert_eq!(calls_within(both, 9_000, Vec::new()).await, waits);
    assert_eq!(calls_within(both, 8_999, Vec::new()).await, "DeactivateA=no ActivateB ReadA ReadBack");
}
