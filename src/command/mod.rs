//! The command line of the `hookswitch` binary; one file per subcommand.

mod gateway;

use std::io::Write as _;

use clap::{Parser, Subcommand};

/// Keeps Okta's one-time passcodes flowing.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Hookswitch {
    /// What is logged of our own: a level, or target=level pairs separated by commas.
    #[arg(long = "log", env = "HOOKSWITCH_LOG", default_value = "info", global = true)]
    log: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve Okta's hook calls.
    Gateway(gateway::Gateway),
}

impl Hookswitch {
    /// Runs until the work is done or a signal says stop.
    pub async fn run(self) -> anyhow::Result<()> {
        hookswitch::telemetry::logs::init(&self.log)?;
        match self.command {
            Command::Gateway(gateway) => gateway.run().await,
        }
    }
}

/// Tells a person at a terminal what went wrong, also when logging could not be set up.
pub fn complain(error: &anyhow::Error) {
    let _ = writeln!(std::io::stderr(), "hookswitch: {error:#}");
}

/// Ends when the process is asked to stop: SIGTERM or SIGINT.
async fn asked_to_stop() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
