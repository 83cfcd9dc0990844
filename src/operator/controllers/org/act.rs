//! Performing a plan: recorded before its first call, run to its end whatever becomes of the reconcile, and taken in.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use k8s_openapi::jiff::{Timestamp, Unit};
use kube::{Resource as _, ResourceExt as _};
use tokio::{sync::OwnedMutexGuard, time::Instant};

use super::{active::Active, desired::Desired};
use crate::operator::{
    installation::Installation,
    model::switch_progress::{self, Done, ProgressStep},
    outbound::okta::OrgApi,
    runtime::{
        events::{Events, Note},
        lease,
    },
    state::{
        Memory,
        metrics::OperatorMetrics,
        orgs::{OrgState, Session},
    },
};
use hookswitch_api::{HookSwitch, OktaChange};
use hookswitch_failover::signal::Source;
use hookswitch_okta::{
    Api, FailureKind, ObjectRef, Plan, audit,
    fingerprint::Fingerprint,
    limits::Priority,
    plan::Verb,
    run::{self, AuditEntry, AuditResult, Budget, RunReport},
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
    /// The rate limit has too little left for a whole plan, or runs had no clear end lately.
    Later(Duration),
}

/// Whether a plan may be begun, after `more` other calls.
///
/// # Errors
/// [`NotNow`].
pub fn may_begin(
    lease: &lease::Handle,
    state: &OrgState,
    plan: &Plan,
    more: u32,
    priority: Priority,
) -> Result<(), NotNow> {
    if lease.left() < LEASE_NEEDED {
        return Err(NotNow::Lease);
    }
    let (calls, now) = (u32::try_from(plan.most_calls()).unwrap_or(u32::MAX).saturating_add(more), Instant::now());
    let wait = state.connection.must_wait(calls, priority, now).max(state.plans.must_pause(priority, now));
    wait.map_or(Ok(()), |wait| Err(NotNow::Later(wait)))
}

/// A plan that is to be carried out.
pub struct Task {
    /// The plan.
    pub plan: Plan,
    /// What it was made for.
    pub desired: Desired,
    /// The org's host.
    pub host: String,
    /// The switches that it may carry out.
    pub switches: Vec<Arc<HookSwitch>>,
    /// What was done for it already.
    pub steps: Vec<ProgressStep>,
    /// Whose resyncs it may settle.
    pub session: Arc<Session>,
}

/// What it takes to carry plans out. Clones share it.
#[derive(Clone)]
pub struct Actor {
    /// Whether we may act, and for how long.
    pub lease: lease::Handle,
    /// Where Events are published.
    pub events: Events,
    /// What is kept between reconciles.
    pub memory: Memory,
    /// Who we are in Okta.
    pub installation: Arc<Installation>,
    /// Metrics.
    pub metrics: OperatorMetrics,
}

/// Runs a plan and takes in its report.
///
/// It runs in a task of its own that holds the org's state: a reconcile that ends early neither cuts a swap in two nor forgets what
/// was done. `None` when that task came to grief; what it did is then found in Okta.
pub async fn act(
    actor: Actor,
    api: Arc<dyn OrgApi>,
    task: Task,
    mut state: OwnedMutexGuard<OrgState>,
) -> Option<(RunReport, OwnedMutexGuard<OrgState>)> {
    let running = tokio::spawn(async move {
        let may_write = |within: Duration| actor.lease.left() >= within + LEASE_MARGIN;
        let (calls, begun): (&dyn Api, _) = (&*api, Instant::now());
        let before = state.plans.run(begun);
        let report = run::run(&task.plan, &task.desired.org, calls, Budget::default(), &may_write).await;
        state.plans.ran(before, report.finished, Instant::now());
        state.plans.ended(report.audit.iter().rev().find_map(unclear), Instant::now());
        take_in(&actor, &report, &task, begun, &mut state);
        settle(&actor, &report, &task);
        (report, state)
    });
    running.await.ok()
}

/// What was said of a change of which it is not known what became.
fn unclear(entry: &AuditEntry) -> Option<(FailureKind, String)> {
    match entry.result {
        AuditResult::Unclear(reason) if !matches!(entry.verb, Verb::Read | Verb::ReadBack) => {
            Some((reason, entry.message.clone().unwrap_or_default()))
        }
        _ => None,
    }
}

fn take_in(actor: &Actor, report: &RunReport, task: &Task, begun: Instant, state: &mut OrgState) {
    let (desired, host) = (&task.desired, task.host.as_str());
    state.plans.rested = Some(false);
    let now = Instant::now();
    let observed = state.plans.listed();
    let active: BTreeSet<ObjectRef> = Active::of(observed, &actor.installation.tag).owners().cloned().collect();
    let done = Done { begun, before: &task.steps, active: &active, audit: &report.audit };
    switch_progress::take_in(&mut state.pending.progress, &task.switches, done);
    let hashes = &desired.hashes;
    for entry in &report.audit {
        record(&actor.metrics, entry, host);
    }
    let before = state.plans.listed();
    let changes = audit::changes(&actor.installation.key, before, &desired.org, &report.audit);
    let begun = Timestamp::now() - report.took;
    let changes: Vec<OktaChange> = changes.iter().map(|change| recorded(change, begun, host)).collect();
    state.pending.changed(changes);
    if let Some(rate) = report.rate {
        actor.metrics.okta_remaining(host, rate.remaining);
        let sent = report.audit.iter().filter(|entry| entry.result != AuditResult::NotSent).count();
        state.connection.rate.answered(now.into_std(), Some(rate), u32::try_from(sent).unwrap_or(u32::MAX));
    }
    for refused in &report.refused {
        let words = report.audit.iter().rev().find(|entry| entry.object.as_ref() == Some(&refused.object));
        let words = words.and_then(|entry| entry.message.clone());
        let declared = hashes.get(&refused.object).copied().unwrap_or_default();
        state.plans.refuse(refused.object.clone(), refused.verb, declared, words, now);
    }
    for applied in &report.applied {
        state.plans.applied.insert(applied.object.clone(), applied.secret.clone());
    }
    state.plans.promise(report.promised.clone(), now);
    state.plans.observed = report.observed.clone().map(|hooks| (hooks, now));
    if state.plans.observed.is_some() {
        state.plans.settle(now);
    }
}

/// Settles the resyncs of secrets that were written or refused.
fn settle(actor: &Actor, report: &RunReport, task: &Task) {
    let resyncs = &task.session.resyncs;
    for written in report.applied.iter().filter(|written| written.secret.is_some()) {
        if let Some(destination) = resyncs.settle(&written.object, true, Instant::now()) {
            secret_reapplied(actor, &task.host, &written.object, &destination);
        }
    }
    for refused in report.refused.iter().filter(|refused| refused.verb == Verb::Replace) {
        resyncs.settle(&refused.object, false, Instant::now());
    }
}

/// The secret that calls were refused for was written anew: what was seen before says nothing any more, and Okta is asked at
/// once whether it helped.
fn secret_reapplied(actor: &Actor, host: &str, object: &ObjectRef, destination: &str) {
    let hooks = &actor.memory.caches.hooks;
    if let Some(destination) = hooks.get(&object.namespace, destination) {
        if let Some(gateway) = destination.spec.target.gateway() {
            actor.memory.reports.reset_rejected_calls(&object.namespace, gateway, &destination.name_any());
        }
        for source in [Source::Execute, Source::SystemLog] {
            actor.memory.probes.ask_anew(&ObjectRef::new(&object.namespace, destination.name_any()), source);
        }
    }
    actor.metrics.secret_reapplied(host);
    let Some(hook) = hooks.get(&object.namespace, &object.name) else { return };
    let text =
        "Okta's calls seemed to lack the hook's secret, so it was written to Okta again. Find out who changed it."
            .to_owned();
    let note = Note { warning: true, reason: "SecretReapplied".to_owned(), action: "Update", text };
    actor.events.publish(&hook.object_ref(&()), note);
}

/// The record of a change: one line of the log, and an entry of the org's history.
fn recorded(change: &audit::AuditChange, begun: Timestamp, host: &str) -> OktaChange {
    let at = begun.checked_add(change.at).unwrap_or(begun).round(Unit::Millisecond).unwrap_or(begun).to_string();
    let text =
        |fingerprint: &Option<Fingerprint>| fingerprint.as_ref().map(|fingerprint| fingerprint.as_str().to_owned());
    let record = OktaChange {
        at,
        object: change.object.to_string(),
        verb: change.verb.as_str().to_owned(),
        hook_id: change.hook.as_ref().map(|hook| hook.as_str().to_owned()),
        outcome: change.outcome.to_owned(),
        request_id: change.request_id.as_ref().map(|id| id.as_str().to_owned()),
        before: text(&change.before),
        after: text(&change.after),
    };
    tracing::info!(
        target: "hookswitch::audit",
        org = host,
        at = record.at,
        object = record.object,
        verb = record.verb,
        purpose = ?change.why,
        hook = record.hook_id,
        outcome = record.outcome,
        request_id = record.request_id,
        before = record.before,
        after = record.after,
        "changed Okta"
    );
    record
}

/// A call of a run, reads and calls that were not sent included: how it ended and how long it took.
fn record(metrics: &OperatorMetrics, entry: &AuditEntry, host: &str) {
    let outcome = match entry.result {
        AuditResult::Done => "ok",
        AuditResult::Failed(kind) | AuditResult::Unclear(kind) => kind.as_str(),
        AuditResult::NotSent => "not-sent",
    };
    metrics.okta_call(entry.verb.as_str(), outcome);
    tracing::debug!(
        org = host,
        verb = entry.verb.as_str(),
        object = entry.object.as_ref().map(tracing::field::display),
        hook = entry.hook.as_ref().map(tracing::field::display),
        purpose = ?entry.why,
        outcome,
        message = entry.message,
        request_id = entry.request_id.as_ref().map(hookswitch_okta::types::RequestId::as_str),
        took_ms = entry.took.as_millis(),
        "called Okta"
    );
}
