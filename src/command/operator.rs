//! `hookswitch operator`.

use anyhow::Context as _;
use hookswitch::operator;
use hookswitch_telemetry as telemetry;

pub(super) async fn run(options: operator::Options) -> anyhow::Result<()> {
    telemetry::logs::init(&options.log)?;
    let stop = crate::command::asked_to_stop()?;
    operator::run(options, stop).await.context("the operator ended")
}
