//! Scenarios against a real API server, controllers, scheduler and node, with Okta and the providers simulated.
//!
//! `tests/cluster/suite.sh` brings stages up and runs this at the top of the repository on each, with the name of a lane and
//! perhaps a filter. The scenarios of a lane share a stage and run one after the other, so each leaves it as it was. A scenario
//! fails by panicking; all are run and counted.

#![allow(clippy::disallowed_methods, reason = "tests connect to what they opened themselves")]

mod changes;
mod hooks;
mod leaks;
mod load;
mod ready;
mod record;
mod scenarios;
mod stage;
mod switch;
mod tenants;
mod traffic;
mod upgrade;

use std::{panic, process::ExitCode, time::Instant};

use stage::Stage;

/// Whether all that takes long is done (`HOOKSWITCH_TESTS=full`).
fn is_full() -> bool {
    std::env::var("HOOKSWITCH_TESTS").is_ok_and(|tests| tests == "full")
}

fn main() -> ExitCode {
    let Some(stage) = Stage::from_environment() else {
        eprintln!("cluster: this needs a cluster; run tests/cluster/suite.sh (make test does)");
        return ExitCode::FAILURE;
    };
    let mut given = std::env::args().skip(1).filter(|argument| !argument.starts_with('-'));
    let (lane, filter) = (given.next().unwrap_or_default(), given.next().unwrap_or_default());
    let Some(lane) = scenarios::LANES.iter().find(|known| known.name == lane) else {
        eprintln!("cluster: there is no lane {lane:?}");
        return ExitCode::FAILURE;
    };
    let (mut passed, mut failed) = (0_u32, 0_u32);
    for (number, (sentence, scenario)) in lane.scenarios.iter().enumerate() {
        if number >= lane.needed && !sentence.contains(&filter) {
            continue;
        }
        stage.calm();
        let begun = Instant::now();
        let result = panic::catch_unwind(|| scenario(&stage));
        let seconds = begun.elapsed().as_secs_f64();
        if result.is_ok() {
            passed += 1;
            println!("ok   {seconds:6.1}s {sentence}");
        } else {
            failed += 1;
            println!("FAIL {seconds:6.1}s {sentence}");
            stage.explain();
        }
    }
    println!("cluster: {passed} passed, {failed} failed");
    if failed == 0 && passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
