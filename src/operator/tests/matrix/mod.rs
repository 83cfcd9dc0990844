//! The fault matrix: the operator killed before and after every call to Okta and every write to the API server, with every
//! fault at every call, for each thing that it does to hooks, and for each behaviour that Okta does not document.
//!
//! The org is the planner's model of one, the API server is in memory; a killed operator is followed by one that remembers
//! nothing. Who leads renews its lease as in a cluster; leases that end meanwhile are a matrix of their own. A sample of the combinations runs by default; `HOOKSWITCH_TESTS=full` runs all of them, and with
//! `HOOKSWITCH_SHARD=3/40` the third of forty parts. `HOOKSWITCH_COMBINATION` repeats the one of that number.

mod held;
mod leases;
mod run;

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use futures::future::{BoxFuture, FutureExt as _};

use self::run::{Run, TASKS, Task};
use crate::operator::testing::{is_full, world::WriteFault};
use hookswitch_okta::{
    plan::Verb,
    testing::{Behaviour, Fault, SecondActivation, SecondCreation, Violation},
    types::HookStatus,
};

/// Combinations that run by default.
const SAMPLE: usize = 1_200;

/// Where the sample begins; another one by `HOOKSWITCH_SEED`, and another size by `HOOKSWITCH_SAMPLE`.
const SEED: u64 = 20_260;

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrong {
    Nothing,
    /// At a call to Okta, by number.
    Okta(usize, Fault),
    /// At a write to the API server, by number.
    Write(usize, WriteFault),
}

#[derive(Debug, Clone, Copy)]
struct Script {
    task: Task,
    behaviour: usize,
    kill: Wrong,
    fault: Wrong,
}

fn behaviours() -> Vec<Behaviour> {
    let creations = [SecondCreation::Refused, SecondCreation::Inactive, SecondCreation::TakesOver];
    let activations = [
        (SecondActivation::Refused, 0),
        (SecondActivation::Refused, 3),
        (SecondActivation::TakesOver, 0),
        (SecondActivation::TakesOver, 3),
        (SecondActivation::Permitted, 0),
    ];
    let of = |second_creation| {
        activations.map(|(second_activation, delay)| Behaviour {
            second_creation,
            second_activation,
            deactivating_last_refused: false,
            never_active: None,
            delay: Duration::from_secs(delay),
        })
    };
    // an org that keeps its last hook active lets another take over from it, or has no way from one to the other
    let kept = [
        (SecondCreation::Inactive, SecondActivation::TakesOver),
        (SecondCreation::TakesOver, SecondActivation::TakesOver),
        (SecondCreation::Refused, SecondActivation::Refused),
        // both are active for a moment, and never for good
        (SecondCreation::Inactive, SecondActivation::Permitted),
    ];
    let keeps = kept.map(|(second_creation, second_activation)| Behaviour {
        second_creation,
        second_activation,
        deactivating_last_refused: true,
        never_active: None,
        delay: Duration::ZERO,
    });
    creations.into_iter().flat_map(of).chain(keeps).collect()
}

/// The calls to Okta that a task takes when nothing goes wrong, and how many writes to the API server.
async fn measure(task: Task, behaviour: Behaviour) -> (Vec<Verb>, usize) {
    let mut run = Run::new(task, behaviour);
    run.prepare().await;
    let calls = run.model.calls().len();
    run.world.server.writes();
    run.ask();
    run.rounds(18, Duration::from_secs(4)).await;
    let made = run.model.calls().split_off(calls);
    let writes = run.world.server.writes().len();
    assert_eq!(run.wrong(), None, "{task:?} {behaviour:?} with nothing going wrong: {:?}", run.model.calls());
    (made, writes)
}

async fn play(script: Script) -> Result<usize, String> {
    let mut run = Run::new(script.task, behaviours()[script.behaviour]);
    run.prepare().await;
    let mut faults = Vec::new();
    for wrong in [script.fault, script.kill] {
        match wrong {
            Wrong::Nothing => {}
            Wrong::Okta(at, fault) => {
                faults.resize(faults.len().max(at + 1), Fault::None);
                faults[at] = fault;
            }
            Wrong::Write(at, write_fault) => run.world.server.write_fault(Some((at, write_fault))),
        }
    }
    run.model.fail(faults);
    let before = run.model.calls().len();
    run.perform().await;
    let left_empty = run.model.calls().split_off(before).contains(&Verb::Deactivate);
    if left_empty && script.task.is_failover() && script.task.repoints() {
        return Err("a hook that is repointed was deactivated".into());
    }
    let violations = violations(&run, &behaviours()[script.behaviour]);
    let late = run.way.late.load(Ordering::Relaxed);
    if late > 0 {
        return Err(format!("{late} changes were made without the lease"));
    }
    let none = run.model.longest_without_active();
    if script.task.takes_over() && !none.is_zero() {
        return Err(format!("none was active for {none:?} while another object took over"));
    }
    let foreign = run.model.hooks().into_iter().find(|stored| stored.hook.id.as_str() == "foreign");
    if !violations.is_empty() {
        return Err(format!("{violations:?}"));
    }
    if foreign.is_none_or(|stored| stored.hook.status != HookStatus::Inactive || stored.secret != "theirs") {
        return Err("the foreign hook was touched".into());
    }
    run.wrong().map_or(Ok(run.kills), Err)
}

/// Every combination, as far as a task that goes well has calls and writes for something to go wrong at.
async fn combinations() -> Vec<Script> {
    const WRITE_FAULTS: [WriteFault; 3] = [WriteFault::Conflict, WriteFault::Fails, WriteFault::LostAnswer];
    let mut scripts = Vec::new();
    for (number, behaviour) in behaviours().into_iter().enumerate() {
        for task in TASKS.into_iter().filter(|task| task.ends_in(&behaviour)) {
            let (calls, writes) = measure(task, behaviour).await;
            let calls = calls.len();
            let mut kills = vec![Wrong::Nothing];
            // after a fault there are more calls than when all goes well
            for at in 0..calls + 3 {
                kills.extend([Fault::CrashBefore, Fault::CrashAfter].map(|fault| Wrong::Okta(at, fault)));
            }
            for at in 0..writes + 2 {
                kills.extend(
                    [WriteFault::DiesBefore, WriteFault::DiesAfter].map(|write_fault| Wrong::Write(at, write_fault)),
                );
            }
            let mut faults = vec![Wrong::Nothing];
            for at in 0..calls + 2 {
                let faults_of_call = Fault::TRANSIENT.into_iter().chain([Fault::Unauthorized]);
                faults.extend(faults_of_call.map(|fault| Wrong::Okta(at, fault)));
            }
            for at in 0..writes {
                faults.extend(WRITE_FAULTS.map(|write_fault| Wrong::Write(at, write_fault)));
            }
            for kill in &kills {
                let possible = faults.iter().filter(|fault| !excludes(*kill, **fault));
                scripts.extend(possible.map(|fault| Script { task, behaviour: number, kill: *kill, fault: *fault }));
            }
        }
    }
    scripts
}

/// What happened that must never, in such an org.
fn violations(run: &Run, org: &Behaviour) -> Vec<Violation> {
    // one that keeps its last hook active and lets two be active has no other way from one to the other
    let both = org.deactivating_last_refused && org.second_activation == SecondActivation::Permitted;
    let violations = run.model.violations().into_iter();
    violations.filter(|what| !(both && *what == Violation::TwoOfOurs)).collect()
}

/// Two things cannot go wrong at one call, nor can the API server fail twice.
fn excludes(kill: Wrong, fault: Wrong) -> bool {
    match (kill, fault) {
        (Wrong::Okta(one, _), Wrong::Okta(two, _)) => one == two,
        (Wrong::Write(..), Wrong::Write(..)) => true,
        _ => false,
    }
}

/// Where samples begin.
fn seed() -> u64 {
    std::env::var("HOOKSWITCH_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(SEED)
}

/// The number of the one combination that `HOOKSWITCH_COMBINATION` names, as a failure prints it.
fn one() -> Option<usize> {
    Some(std::env::var("HOOKSWITCH_COMBINATION").ok()?.parse().expect("HOOKSWITCH_COMBINATION is a number"))
}

/// The numbers of the part that `HOOKSWITCH_SHARD` names; all without it.
fn shard(all: usize) -> Vec<usize> {
    let Ok(named) = std::env::var("HOOKSWITCH_SHARD") else { return (0..all).collect() };
    let parts = named.split_once('/').and_then(|(part, parts)| Some((part.parse().ok()?, parts.parse().ok()?)));
    let (part, parts): (usize, usize) = parts.expect("HOOKSWITCH_SHARD is like 3/40");
    assert!((1..=parts).contains(&part), "HOOKSWITCH_SHARD names a part that is not there: {named}");
    (0..all).filter(|number| number % parts == part - 1).collect()
}

/// The numbers of those that are played by default: so many, or as many as `HOOKSWITCH_SAMPLE` says.
fn sample_of(all: usize, default: usize) -> Vec<usize> {
    let size = std::env::var("HOOKSWITCH_SAMPLE").ok().and_then(|size| size.parse().ok());
    sample(all, size.unwrap_or(default), seed())
}

/// Fails by the first of those that failed.
#[track_caller]
fn none_failed(failed: &[String]) {
    let first = &failed[..failed.len().min(12)];
    assert!(failed.is_empty(), "{} failed, the first of them:\n{}", failed.len(), first.join("\n"));
}

/// Runs one play from its beginning to its end, in time of its own.
fn block<T>(work: BoxFuture<'static, T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(work)
}

/// Numbers that are the same in every run with the same seed.
fn sample(all: usize, wanted: usize, seed: u64) -> Vec<usize> {
    let mut state = seed;
    let mut chosen = BTreeSet::new();
    while chosen.len() < wanted.min(all) {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        chosen.insert(usize::try_from(state >> 33).unwrap() % all);
    }
    chosen.into_iter().collect()
}

/// Plays these, each by its number, on all processors: each takes the next one when it is done with one.
fn in_parallel<T: Send>(chosen: &[usize], play: impl Fn(usize) -> T + Sync) -> Vec<(usize, T)> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let (next, play) = (&AtomicUsize::new(0), &play);
    let take = move || chosen.get(next.fetch_add(1, Ordering::Relaxed)).map(|at| (*at, play(*at)));
    let mut played: Vec<(usize, T)> = std::thread::scope(|scope| {
        let takers: Vec<_> =
            (0..threads).map(|_| scope.spawn(move || std::iter::from_fn(take).collect::<Vec<_>>())).collect();
        takers.into_iter().flat_map(|taker| taker.join().unwrap()).collect()
    });
    played.sort_unstable_by_key(|(at, _)| *at);
    played
}

#[test]
fn whenever_the_operator_is_killed_and_whatever_fails_it_ends_as_declared_and_never_does_harm() {
    let all = block(combinations().boxed());
    let chosen = if let Some(one) = one() {
        vec![one]
    } else if is_full() {
        shard(all.len())
    } else {
        sample_of(all.len(), SAMPLE)
    };
    let all = &all;
    let played = in_parallel(&chosen, |at| block(play(all[at]).boxed()));
    let kills: usize = played.iter().filter_map(|(_, ended)| ended.as_ref().ok()).sum();
    let failed =
        played.iter().filter_map(|(at, ended)| Some(format!("{at}: {:?}: {}", all[*at], ended.as_ref().err()?)));
    let failed: Vec<String> = failed.collect();
    println!(
        "fault matrix: {} of {} combinations, {kills} kills, seed {}, {} failed",
        chosen.len(),
        all.len(),
        seed(),
        failed.len()
    );
    none_failed(&failed);
    assert!(kills * 2 > chosen.len() || one().is_some(), "the operator was hardly ever killed: {kills}");
}

#[tokio::test(start_paused = true)]
async fn two_of_a_switch_that_are_active_at_once_are_no_persons_doing() {
    // Okta keeps its last hook active, takes a second one beside it, and answers the call that makes two active by an error
    let org = |org: &Behaviour| org.deactivating_last_refused && org.second_activation == SecondActivation::Permitted;
    let behaviour = behaviours().iter().position(org).unwrap();
    for at in 6..12 {
        for fault in [Fault::LostCall, Fault::ServerError, Fault::LateServerError, Fault::Unauthorized] {
            let (kill, fault) = (Wrong::Nothing, Wrong::Okta(at, fault));
            let ended = play(Script { task: Task::Switch, behaviour, kill, fault }).await;
            assert!(ended.is_ok(), "{fault:?}: {ended:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_could_not_be_checked_is_not_believed() {
    // Okta shows a deactivation 3 s late and takes no second active hook; the check that would show it is lost
    let org = |org: &Behaviour| org.second_activation == SecondActivation::Refused && !org.delay.is_zero();
    let behaviour = behaviours().iter().position(org).unwrap();
    for fault in [Fault::Unreachable, Fault::LostAnswer, Fault::ServerError] {
        let mut run = Run::new(Task::Failover, behaviours()[behaviour]);
        run.prepare().await;
        let before = run.model.calls().len();
        run.model.fail([vec![Fault::None; 4], vec![fault]].concat());
        run.ask();
        run.rounds(30, Duration::from_secs(4)).await;
        let calls = run.model.calls().split_off(before);
        assert_eq!(calls[2..5], [Verb::Deactivate, Verb::Activate, Verb::Read], "{fault:?}: {calls:?}");
        assert_eq!(run.active(), ["Acme other"], "{fault:?}: {calls:?}; {}", run.says()["conditions"]);
    }
}
