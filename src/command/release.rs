//! `hookswitch release`.

use anyhow::Context as _;
use hookswitch::operator::release;
use hookswitch_telemetry as telemetry;

pub(super) async fn run(options: release::ReleaseOptions) -> anyhow::Result<()> {
    telemetry::logs::init("info")?;
    let count = release::release(&options).await.context("let go of what the operator holds")?;
    tracing::info!(count, "objects were let go; nothing was changed in Okta");
    Ok(())
}
