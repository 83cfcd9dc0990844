//! The `hookswitch` binary: operator and gateway in one image.

mod command;

use std::process::ExitCode;

use clap::Parser as _;

#[tokio::main]
async fn main() -> ExitCode {
    let _flush = hookswitch_telemetry::logs::FlushAtEnd;
    match command::Hookswitch::parse().run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "failed");
            command::complain(&error);
            ExitCode::FAILURE
        }
    }
}
