//! Scenarios against a real API server, controllers, scheduler and node, with Okta and the carriers simulated.
//!
//! `tests/cluster/suite.sh` brings the stage up and runs this. Scenarios share it and run one after the other, so each
//! leaves it as it was. A scenario fails by panicking; all are run and counted.

mod hooks;
mod leaks;
mod scenarios;
mod stage;
mod switch;

use std::{panic, process::ExitCode, time::Instant};

use stage::Stage;

fn main() -> ExitCode {
    let Some(stage) = Stage::from_environment() else {
        eprintln!("cluster: this needs a cluster; run tests/cluster/suite.sh (make test does)");
        return ExitCode::FAILURE;
    };
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    let (mut passed, mut failed) = (0_u32, 0_u32);
    for (number, (sentence, scenario)) in scenarios::ALL.iter().enumerate() {
        // all others need what the first one applies
        if number > 0 && !sentence.contains(&filter) {
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
