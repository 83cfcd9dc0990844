//! The `hookswitch` binary: operator and gateway in one image.

mod command;

use std::{process::ExitCode, thread};

use clap::Parser as _;
use tikv_jemallocator::Jemalloc;

/// Faster than the system's, and it gives back what a burst took. Its settings are in `.cargo/config.toml`.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// The most threads that do the work. More would only take memory: one answers thousands of calls a second, and a pod without a
/// CPU limit would have as many as its node has processors.
const MOST_WORKERS: usize = 4;

fn main() -> ExitCode {
    // before the runtime, so that it is dropped after it: tasks that end with the process have something to say, too
    let _flush = hookswitch_telemetry::logs::FlushAtEnd;
    let workers = thread::available_parallelism().map_or(1, usize::from).min(MOST_WORKERS);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(run()),
        Err(error) => {
            command::complain(&anyhow::Error::new(error).context("start the program's threads"));
            ExitCode::FAILURE
        }
    }
}

async fn run() -> ExitCode {
    match command::Hookswitch::parse().run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "failed");
            command::complain(&error);
            ExitCode::FAILURE
        }
    }
}
