//! The command line of the `hookswitch` binary; one file per subcommand.

mod gateway;
mod generated;
mod operator;
mod release;

use clap::{Parser, Subcommand};
use tokio_util::sync::CancellationToken;

/// Keeps Okta's one-time passcodes flowing.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Hookswitch {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve Okta's hook calls.
    Gateway(Box<gateway::Gateway>),
    /// Reconcile the resources of a cluster with Okta and with gateways.
    Operator(Box<hookswitch::operator::Options>),
    /// Stop the operator and let go of the objects that it holds: for uninstalling it.
    Release(hookswitch::operator::release::ReleaseOptions),
    /// Write the `CustomResourceDefinitions`.
    Crds(generated::Crds),
    /// Write the reference pages that are made from the program.
    #[command(hide = true)]
    Reference(generated::Reference),
}

impl Hookswitch {
    /// Runs until the work is done or a signal says stop.
    pub async fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Gateway(gateway) => gateway.run().await,
            Command::Operator(options) => Box::pin(operator::run(*options)).await,
            Command::Release(options) => release::run(options).await,
            Command::Crds(crds) => crds.write(),
            Command::Reference(reference) => reference.write(),
        }
    }
}

/// Tells a person at a terminal what went wrong, also when logging could not be set up.
pub fn complain(error: &anyhow::Error) {
    hookswitch_telemetry::logs::print(&format!("hookswitch: {error:#}"));
}

/// Cancelled when the process is asked to stop: by SIGTERM or SIGINT.
fn asked_to_stop() -> anyhow::Result<CancellationToken> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stop = CancellationToken::new();
    let asked = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        asked.cancel();
    });
    Ok(stop)
}
