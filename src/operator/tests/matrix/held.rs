//! A leader frozen while Okta holds one of its calls: another leads and brings Okta to what is declared, and then the call that
//! was held takes effect. Whatever it does, within one poll Okta is as declared again, and it never has two of ours active.

use std::time::Duration;

use futures::future::FutureExt as _;

use super::{
    behaviours, block, measure, none_failed,
    run::{Run, TASKS, Task},
    sample_of,
};
use crate::operator::testing::is_full;
use hookswitch_okta::{
    plan::Verb,
    testing::{Behaviour, Fault, SecondActivation},
};

/// Combinations that run by default.
const SAMPLE: usize = 120;

/// A poll of the org, and the reconciles that follow it.
const POLL: Duration = Duration::from_secs(61);

/// What a person does between the two leaders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meanwhile {
    Nothing,
    /// Asks for the standby, to which the held call does not lead.
    ChangesTheirMind,
}

#[derive(Debug, Clone, Copy)]
struct Scene {
    task: Task,
    behaviour: Behaviour,
    call: usize,
    meanwhile: Meanwhile,
}

/// An org that lets two hooks be active has no last word about stale calls, and Okta documents that it is none.
fn orgs() -> impl Iterator<Item = Behaviour> {
    behaviours().into_iter().filter(|behaviour| behaviour.second_activation != SecondActivation::Permitted)
}

async fn scenes() -> Vec<Scene> {
    let mut scenes = Vec::new();
    for behaviour in orgs() {
        for task in TASKS.into_iter().filter(|task| task.ends_in(&behaviour)) {
            let (calls, _) = measure(task, behaviour).await;
            let changes = calls.iter().enumerate().filter(|(_, verb)| !matches!(verb, Verb::Read | Verb::ReadBack));
            for (call, _) in changes {
                scenes.push(Scene { task, behaviour, call, meanwhile: Meanwhile::Nothing });
                if task.is_failback() {
                    scenes.push(Scene { task, behaviour, call, meanwhile: Meanwhile::ChangesTheirMind });
                }
            }
        }
    }
    scenes
}

/// Plays a scene.
async fn play(scene: Scene) -> Result<(), String> {
    let mut run = Run::new(scene.task, scene.behaviour);
    run.prepare().await;
    let mut faults = vec![Fault::None; scene.call];
    faults.push(Fault::Held);
    run.model.fail(faults);
    run.ask();
    run.rounds(12, Duration::from_secs(4)).await;
    run.rounds(6, POLL).await;
    if run.kills != 1 {
        return Err(format!("{} leaders were frozen", run.kills));
    }
    if scene.meanwhile == Meanwhile::ChangesTheirMind {
        run.annotate("hookswitch.dev/promote", "other/again");
        run.rounds(12, Duration::from_secs(4)).await;
    }
    let before = run.active();
    let stale = run.model.let_go().ok_or("nothing is held")?;
    let reported = |run: &Run, wrong| Err(format!("after a stale {stale}: {wrong}; {:?}", run.model.calls()));
    run.rounds(1, POLL).await;
    // Okta's own delay
    run.rounds(1, Duration::from_secs(4)).await;
    let active = run.active();
    if active.len() != before.len() {
        return reported(&run, format!("{before:?} were active, and a poll later {active:?} are"));
    }
    run.rounds(4, POLL).await;
    let wrong = match scene.meanwhile {
        Meanwhile::Nothing => run.wrong(),
        // by then nothing shows whose call it was: whichever of the two it is, the switch knows it
        Meanwhile::ChangesTheirMind => {
            let says = run.says();
            (says["active"] != run.in_use() || !says["switching"].is_null()).then(|| format!("the switch says {says}"))
        }
    };
    let violations = run.model.violations();
    match wrong {
        Some(wrong) => reported(&run, wrong),
        None if !violations.is_empty() => reported(&run, format!("{violations:?}")),
        None => Ok(()),
    }
}

#[test]
fn a_call_that_takes_effect_after_another_leads_is_repaired_within_a_poll() {
    let all = block(scenes().boxed());
    let chosen = if is_full() { (0..all.len()).collect() } else { sample_of(all.len(), SAMPLE) };
    let played = chosen.iter().map(|at| (all[*at], block(play(all[*at]).boxed())));
    let failed: Vec<String> =
        played.filter_map(|(scene, ended)| Some(format!("{scene:?}: {}", ended.err()?))).collect();
    println!("frozen leaders: {} of {} scenes, {} failed", chosen.len(), all.len(), failed.len());
    none_failed(&failed);
}
