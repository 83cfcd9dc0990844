//! Leases that end: from some moment on no renewal comes through, and whoever led goes on until its lease is over, beside the
//! next one. Okta takes nearly all the time that a call may take, and the API server stores a plan at once or very late.
//!
//! However that falls together with the calls of a task and with a fault at one of them: nothing is changed in Okta without the
//! lease, never are two of ours active, and a swap that was begun is ended by who began it.

use std::{collections::BTreeSet, sync::atomic::Ordering, time::Duration};

use futures::future::FutureExt as _;
use tokio::time::{Instant, sleep};

use super::{
    behaviours, block, in_parallel, none_failed,
    run::{Run, TASKS, Task},
    sample, sample_of, seed, shard, violations,
};
use crate::operator::testing::is_full;
use hookswitch_okta::{
    run::Budget,
    testing::{Behaviour, Fault},
};

/// Tasks of which scenes are played by default, and how many of each.
const SAMPLE: usize = 30;
const EACH: usize = 2;

/// Swaps that are recorded very late of which every end is played by default, with nothing else going wrong: where a swap that
/// was begun with too little of the lease shows.
const SWAPS: usize = 5;

/// How long a call to Okta takes here: a run gives it 2 s. Where effects show late it takes less: one that shows just between a
/// refusal that is due to it and the check of it is taken for no reason of the refusal.
fn call(org: &Behaviour) -> Duration {
    Duration::from_millis(if org.delay.is_zero() { 1_900 } else { 1_200 })
}

/// How long the API server takes to store a plan.
const STORES: [Duration; 2] = [Duration::ZERO, Duration::from_secs(17)];

/// How long after a call begins the lease ends, in milliseconds: before the call has ended and a moment after, before the next
/// ones, and around what a swap and what a plan needs.
const ENDS: [u64; 10] = [300, 1_500, 2_500, 3_500, 4_800, 8_000, 16_500, 17_500, 19_500, 20_500];

/// What else goes wrong: at the call that the end is near to. One whose credential is refused stops in any case.
fn faults() -> impl Iterator<Item = Fault> {
    [Fault::None].into_iter().chain(Fault::TRANSIENT)
}

/// What is asked for, of what.
#[derive(Debug, Clone, Copy)]
struct Case {
    task: Task,
    behaviour: Behaviour,
    stores: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Scene {
    case: Case,
    /// When the lease ends, after the task was asked for.
    ends: Duration,
    /// At which call what goes wrong.
    call: usize,
    fault: Fault,
}

fn cases() -> Vec<Case> {
    let in_org = |behaviour: Behaviour| {
        let tasks = TASKS.into_iter().filter(move |task| task.ends_in(&behaviour));
        tasks.flat_map(move |task| STORES.map(|stores| Case { task, behaviour, stores }))
    };
    behaviours().into_iter().flat_map(in_org).collect()
}

impl Case {
    const fn is_late_swap(&self) -> bool {
        matches!(self.task, Task::HandOver | Task::Failover | Task::Failback) && !self.stores.is_zero()
    }
}

/// The numbers of the cases of which scenes are played by default.
fn sampled(cases: &[Case]) -> Vec<usize> {
    let swaps: Vec<usize> = (0..cases.len()).filter(|at| cases[*at].is_late_swap()).collect();
    let swaps = sample(swaps.len(), SWAPS, seed()).into_iter().map(|at| swaps[at]);
    let chosen: BTreeSet<usize> = sample_of(cases.len(), SAMPLE).into_iter().chain(swaps).collect();
    chosen.into_iter().collect()
}

/// The numbers of the scenes of a case that are played by default.
fn sampled_of(case: Case, all: &[Scene]) -> BTreeSet<usize> {
    let every_end = (0..all.len()).filter(|at| case.is_late_swap() && all[*at].fault == Fault::None);
    sample(all.len(), EACH, seed()).into_iter().chain(every_end).collect()
}

/// An operator that is about to be asked for a task; calls are slow from now on.
async fn prepared(case: Case) -> Run {
    let mut run = Run::new(case.task, case.behaviour);
    run.prepare().await;
    *run.way.takes.lock().unwrap() = call(&case.behaviour);
    run.way.began.lock().unwrap().clear();
    run.world.server.slow_down_plans(case.stores);
    run
}

/// When the calls of a task begin while the lease lasts, and whether each is to change something.
async fn times(case: Case) -> Vec<(Duration, bool)> {
    let mut run = prepared(case).await;
    let begun = Instant::now();
    run.ask();
    run.rounds(12, Duration::from_secs(4)).await;
    assert_eq!(run.kills, 0, "{case:?}: the lease of who lives is renewed");
    let calls = run.way.began.lock().unwrap();
    calls.iter().map(|(at, changes)| (at.duration_since(begun), *changes)).collect()
}

async fn scenes(case: Case) -> Vec<Scene> {
    let calls = times(case).await.into_iter().enumerate().filter(|(_, (_, changes))| *changes);
    let near = |(call, (at, _)): (usize, (Duration, bool))| {
        let ends = ENDS.into_iter().map(move |after| at + Duration::from_millis(after));
        ends.flat_map(move |ends| faults().map(move |fault| Scene { case, ends, call, fault }))
    };
    calls.flat_map(near).collect()
}

/// Plays a scene, in which one lease ends.
async fn play(scene: Scene) -> Result<(), String> {
    let Case { task, behaviour, .. } = scene.case;
    let mut run = prepared(scene.case).await;
    let mut faults = vec![Fault::None; scene.call];
    faults.push(scene.fault);
    run.model.fail(faults);
    run.end_lease(scene.ends);
    run.ask();
    let begun = Instant::now();
    while run.kills == 0 {
        run.round().await;
        if begun.elapsed() > scene.ends + Duration::from_secs(2) {
            return Err("the lease does not end".into());
        }
        sleep(if run.kills == 0 { Duration::from_secs(1) } else { Duration::ZERO }).await;
    }
    let reported = |run: &Run, wrong: String| Err(format!("{wrong}; {:?}", run.model.calls()));
    // a change whose answer is lost and whose effect shows late is not known to have been made
    let is_known = scene.fault == Fault::None || behaviour.delay.is_zero();
    if task.keeps_one() && is_known && run.active().is_empty() {
        return reported(&run, "a swap was begun, and not ended while the lease lasted".into());
    }
    // the next one finds all well, but for what the one before it does besides
    *run.way.takes.lock().unwrap() = Duration::ZERO;
    run.world.server.slow_down_plans(Duration::ZERO);
    run.end().await;
    let late = run.way.late.load(Ordering::Relaxed);
    if late > 0 {
        return reported(&run, format!("{late} changes were made without the lease"));
    }
    if run.kills != 1 {
        return reported(&run, format!("{} leases ended", run.kills));
    }
    let violations = violations(&run, &behaviour);
    if !violations.is_empty() {
        return reported(&run, format!("{violations:?}"));
    }
    let (none, most) = (run.model.longest_without_active(), Budget::default().whole + Budget::default().call);
    if task.keeps_one() && is_known && none > most {
        return reported(&run, format!("none was active for {none:?}"));
    }
    match run.wrong() {
        Some(wrong) => reported(&run, wrong),
        None => Ok(()),
    }
}

/// How many scenes of a case were played, of how many, and those that failed.
type Played = (usize, usize, Vec<(Scene, String)>);

#[test]
fn whenever_a_lease_ends_nothing_is_changed_without_it_and_who_begins_a_swap_ends_it() {
    let cases = cases();
    let full = is_full();
    let chosen = if full { shard(cases.len()) } else { sampled(&cases) };
    let played = in_parallel(&chosen, |at| {
        let all = block(scenes(cases[at]).boxed());
        let chosen = if full { (0..all.len()).collect() } else { sampled_of(cases[at], &all) };
        let failed = chosen.iter().filter_map(|scene| Some((all[*scene], block(play(all[*scene]).boxed()).err()?)));
        (chosen.len(), all.len(), failed.collect::<Vec<_>>())
    });
    let sum =
        |count: fn(&Played) -> usize| -> usize { played.iter().map(|(_, of_active_hook)| count(of_active_hook)).sum() };
    let failed = played.iter().flat_map(|(_, (_, _, failed))| failed);
    let failed: Vec<String> = failed.map(|(scene, wrong)| format!("{scene:?}: {wrong}")).collect();
    println!(
        "ending leases: {} of {} scenes of {} of {} tasks, seed {}, {} failed",
        sum(|of_active_hook| of_active_hook.0),
        sum(|of_active_hook| of_active_hook.1),
        chosen.len(),
        cases.len(),
        seed(),
        failed.len()
    );
    none_failed(&failed);
}
