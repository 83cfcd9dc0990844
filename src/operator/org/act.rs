//! Performing a plan: recorded before its first call, run to its end whatever becomes of the pass, and taken in.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::{sync::OwnedMutexGuard, time::Instant};

use super::{
    super::{clock::BootInstant, context::Context},
    desired::Desired,
    dial::OrgApi,
    session::State,
};
use crate::okta::{
    Api, ObjectRef, Plan,
    plan::MOST_CALLS,
    run::{self, AuditEntry, AuditResult, Budget, Report},
};

/// A plan is begun only with this much of the lease left: its worst case and some.
pub const LEASE_NEEDED: Duration = Duration::from_secs(20);

/// What of the lease must be left when a call ends.
const LEASE_MARGIN: Duration = Duration::from_secs(1);

/// Why a plan is not begun now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotNow {
    /// The lease has too little left; its next renewal brings more.
    Lease,
    /// The rate limit has too little left for a whole plan.
    RateLimit(Duration),
}

/// Whether a plan may be begun.
///
/// # Errors
/// [`NotNow`].
pub fn may_begin(ctx: &Context, state: &State) -> Result<(), NotNow> {
    if ctx.lease.remaining(BootInstant::now()) < LEASE_NEEDED {
        return Err(NotNow::Lease);
    }
    let calls = u32::try_from(MOST_CALLS).unwrap_or(u32::MAX);
    state.must_wait(calls, 0, Instant::now()).map_or(Ok(()), |wait| Err(NotNow::RateLimit(wait)))
}

/// Runs a plan and takes in its report.
///
/// It runs in a task of its own that holds the org's state: a pass that ends early does not cut a swap in two.
/// `None` when that task came to grief; what it did is then found in Okta.
pub async fn act(
    ctx: &Arc<Context>,
    api: Arc<dyn OrgApi>,
    plan: Plan,
    desired: Desired,
    host: String,
    mut state: OwnedMutexGuard<State>,
) -> Option<(Report, OwnedMutexGuard<State>)> {
    let ctx = Arc::clone(ctx);
    let running = tokio::spawn(async move {
        let may_write = |within: Duration| ctx.lease.remaining(BootInstant::now()) >= within + LEASE_MARGIN;
        let calls: &dyn Api = &*api;
        let report = run::run(&plan, &desired.org, calls, Budget::default(), &may_write).await;
        take_in(&ctx, &report, &desired.hashes, &host, &mut state);
        (report, state)
    });
    running.await.ok()
}

fn take_in(ctx: &Context, report: &Report, hashes: &BTreeMap<ObjectRef, u64>, host: &str, state: &mut State) {
    let now = Instant::now();
    for entry in &report.audit {
        tell(ctx, entry, host);
    }
    if let Some(rate) = report.rate {
        ctx.metrics.okta_remaining(host, rate.remaining);
        state.answered(Some(rate), now);
    }
    for refused in &report.refused {
        let words = report.audit.iter().rev().find(|entry| entry.object.as_ref() == Some(&refused.object));
        let words = words.and_then(|entry| entry.message.clone());
        let declared = hashes.get(&refused.object).copied().unwrap_or_default();
        state.refuse(refused.object.clone(), refused.verb, declared, words, now);
    }
    for applied in &report.applied {
        state.applied.insert(applied.object.clone(), applied.secret.clone());
    }
    state.promise(report.promised.clone(), now);
    state.observed = report.observed.clone().map(|hooks| (hooks, now));
}

/// The record of a call that was to change Okta: who, what, on which hook, and how it ended.
fn tell(ctx: &Context, entry: &AuditEntry, host: &str) {
    let outcome = match entry.result {
        AuditResult::Done => "ok",
        AuditResult::Failed(reason) | AuditResult::Unclear(reason) => reason,
        AuditResult::NotSent => "not-sent",
    };
    ctx.metrics.okta_call(entry.verb.as_str(), outcome);
    tracing::info!(
        target: "hookswitch::audit",
        org = host,
        verb = entry.verb.as_str(),
        object = entry.object.as_ref().map(tracing::field::display),
        hook = entry.hook.as_ref().map(tracing::field::display),
        purpose = ?entry.why,
        outcome,
        message = entry.message,
        request_id = entry.request_id.as_ref().map(crate::okta::types::RequestId::as_str),
        took_ms = entry.took.as_millis(),
        "called Okta"
    );
}
