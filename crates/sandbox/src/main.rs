//! The `hookswitch-sandbox` binary: simulated Okta orgs and providers, and a client for them.

#![allow(clippy::disallowed_methods, reason = "it stands for vendors, which call whom they like")]

use std::env;
use std::io::IsTerminal as _;

use clap::Parser as _;
use hookswitch_sandbox::cli::Cli;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // One level, for our own target alone: at trace level dependencies print what they transport.
    let level =
        env::var("HOOKSWITCH_SANDBOX_LOG").ok().and_then(|level| level.parse().ok()).unwrap_or(LevelFilter::INFO);
    tracing_subscriber::registry()
        .with(tracing_subscriber::fmt::layer().with_ansi(std::io::stderr().is_terminal()).with_writer(std::io::stderr))
        .with(Targets::new().with_target("hookswitch", level).with_default(LevelFilter::WARN))
        .init();
    Cli::parse().run(&mut std::io::stdout()).await
}
