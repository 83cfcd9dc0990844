//! The `hookswitch` binary: the operator, and what is made from the library's own descriptions.

use std::{
    fs,
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use hookswitch::{api, operator, telemetry};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Keeps Okta's one-time passcodes flowing.
#[derive(Debug, Parser)]
#[command(name = "hookswitch", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Reconcile the resources of a cluster with Okta and with gateways.
    Operator(Box<operator::Options>),
    /// Write the `CustomResourceDefinitions`.
    Crds {
        /// Directory to write one file for each into. Absent: all to standard output.
        #[arg(long)]
        dir: Option<PathBuf>,
    },
    /// Write the reference pages that are made from the program.
    #[command(hide = true)]
    Reference {
        /// Directory to write into.
        #[arg(long)]
        dir: PathBuf,
    },
}

fn main() -> ExitCode {
    match start(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "hookswitch: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(command: Command) -> Result<()> {
    match command {
        Command::Operator(options) => run_operator(*options),
        Command::Crds { dir } => write_crds(dir),
        Command::Reference { dir } => write_files(&dir, api::pages::files()),
    }
}

fn run_operator(options: operator::Options) -> Result<()> {
    telemetry::logs::init(&options.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let stop = CancellationToken::new();
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let stopping = stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            stopping.cancel();
        });
        operator::run(options, stop).await.context("the operator ended")
    })
}

fn write_crds(dir: Option<PathBuf>) -> Result<()> {
    let files = api::crd_files();
    match dir {
        Some(dir) => write_files(&dir, files),
        None => files.into_iter().try_for_each(|(_, text)| Ok(io::stdout().write_all(text.as_bytes())?)),
    }
}

fn write_files(dir: &PathBuf, files: Vec<(String, String)>) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("create the directory {}", dir.display()))?;
    for (name, text) in files {
        let path = dir.join(name);
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}
