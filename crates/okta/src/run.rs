//! Performs a plan against Okta, and reads back. Decides nothing but what cannot wait inside a move: putting back what a
//! refusal left half done.
//!
//! Inside a swap nothing else is done between switching one off and the other on: no Kubernetes call, no logging call that
//! could block, no further move. What is left undone is found by the next plan from Okta's own state.

mod report;
mod swap;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

pub use report::{AppliedContent, AuditEntry, Purpose, RefusedChange, Result as AuditResult, RunReport};

use crate::client::{Api, CallResult};
use crate::error::{CallError, Failure};
use crate::plan::{DesiredOrg, Effect, MOST_CALLS, Move, Plan, Step, Subject, Verb};
use crate::types::{ApiAnswer, HookContent, HookId, HookStatus, Metadata, ObjectRef, ObservedHook};

/// Bounds of one run.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// Most calls, the read-back included.
    pub calls: usize,
    /// Time for one call.
    pub call: Duration,
    /// Pause before a call that was refused with 429, or reached nobody, is tried again inside a swap; Okta's own word is taken
    /// up to twice this.
    pub pause: Duration,
    /// Time after which nothing is begun or tried again.
    pub whole: Duration,
}

impl Default for Budget {
    /// Six calls of 2 s, pauses of 500 ms, all within 16 s: it fits a lease with 20 s left.
    fn default() -> Self {
        Self {
            calls: MOST_CALLS,
            call: Duration::from_secs(2),
            pause: Duration::from_millis(500),
            whole: Duration::from_secs(16),
        }
    }
}

/// Performs `plan` and reads back. `may_write` is asked immediately before each write whether one that ends within the given
/// time may be sent (the lease's check: local, no call); once it says no, nothing more is written. Before a gap is opened it
/// is asked for all the time that the run may still take.
///
/// A refused call ends its move, and later moves that touch the same object are left out. An answer that leaves open what
/// happened, a rate limit or a lost credential end the run, after the read-back where that can help.
pub async fn run(
    plan: &Plan,
    desired: &DesiredOrg,
    api: &dyn Api,
    budget: Budget,
    may_write: &(dyn Fn(Duration) -> bool + Sync),
) -> RunReport {
    let mut runner = Runner {
        desired,
        kept: &plan.kept,
        api,
        budget,
        may_write,
        calls: 0,
        begun: Instant::now(),
        ends: Instant::now() + budget.whole,
        failed: BTreeSet::new(),
        stopped: false,
        report: RunReport::default(),
    };
    if plan.moves.is_empty() {
        runner.report.finished = true;
        return runner.report;
    }
    for step in &plan.moves {
        if runner.stopped {
            break;
        }
        if step.objects().into_iter().any(|object| runner.failed.contains(object)) {
            continue;
        }
        if runner.left() < step.most_calls() {
            // Earlier moves took more calls than they usually do; the next plan goes on.
            runner.stopped = true;
            break;
        }
        runner.perform(step).await;
    }
    let read = runner.read_back().await;
    runner.report.finished = read && !runner.stopped;
    runner.report.took = runner.begun.elapsed();
    runner.report
}

/// How one write went, as far as the next decision needs it.
enum Went {
    /// Okta did it.
    Well(Option<Box<ObservedHook>>),
    /// A definite no.
    Refused,
    /// The hook does not exist any more.
    Gone,
    /// Nothing was done, and it may be after so long: a 429, or nobody there.
    NotNow(Duration),
    /// Nobody knows.
    Unclear,
    /// It was certainly not done, and nothing further should be tried.
    NotDone,
}

struct Runner<'a> {
    desired: &'a DesiredOrg,
    kept: &'a BTreeMap<HookId, Metadata>,
    api: &'a dyn Api,
    budget: Budget,
    may_write: &'a (dyn Fn(Duration) -> bool + Sync),
    calls: usize,
    begun: Instant,
    ends: Instant,
    failed: BTreeSet<ObjectRef>,
    stopped: bool,
    report: RunReport,
}

impl Runner<'_> {
    /// Calls left for moves: the last one is the read-back's.
    fn left(&self) -> usize {
        self.budget.calls.saturating_sub(self.calls + 1)
    }

    /// Takes a call into the audit.
    fn note(&mut self, mut entry: AuditEntry) {
        entry.at = self.begun.elapsed().saturating_sub(entry.took);
        self.report.audit.push(entry);
    }

    async fn perform(&mut self, step: &Move) {
        if step.opens_gap() && !(self.may_write)(self.ends.saturating_duration_since(Instant::now())) {
            // what was enough when the plan was recorded may be spent: a gap that could not be closed is not opened
            self.withhold(step);
            return;
        }
        match step {
            Move::Update(what) => {
                let went = self.write(Verb::Replace, &what.object, Some(&what.hook), Purpose::Planned).await;
                self.settle(&went, Verb::Replace, &what.object);
            }
            Move::Create { object, beside_active } => {
                let went = self.write(Verb::Create, object, None, Purpose::Planned).await;
                let meaning = if *beside_active { Verb::Create } else { Verb::Activate };
                self.settle(&went, meaning, object);
            }
            Move::CreateInactive { object, standing } => self.create_inactive(object, standing.as_ref()).await,
            Move::Activate(what) => {
                let went = self.write(Verb::Activate, &what.object, Some(&what.hook), Purpose::Planned).await;
                self.settle(&went, Verb::Activate, &what.object);
            }
            Move::Deactivate(what) => {
                let went = self.write(Verb::Deactivate, &what.object, Some(&what.hook), Purpose::Planned).await;
                self.settle(&went, Verb::Deactivate, &what.object);
            }
            Move::Swap { from, to, to_hook } => self.swap(from, to, to_hook.as_ref()).await,
            Move::Delete { what, active } => {
                if *active {
                    let went = self.write(Verb::Deactivate, &what.object, Some(&what.hook), Purpose::Planned).await;
                    self.settle(&went, Verb::Deactivate, &what.object);
                    if !matches!(went, Went::Well(_)) {
                        return;
                    }
                }
                let went = self.write(Verb::Delete, &what.object, Some(&what.hook), Purpose::Planned).await;
                if matches!(went, Went::Refused) && *active && self.status_of(what).await == Some(HookStatus::Active) {
                    // refused because Okta does not show yet that it is off; the next plan goes on from there
                    self.stopped = true;
                    return;
                }
                self.settle(&went, Verb::Delete, &what.object);
            }
        }
    }

    /// Begins no move any more, this one the first.
    fn withhold(&mut self, step: &Move) {
        if let [Step { verb, object: Some(object), hook }, ..] = &step.steps()[..] {
            self.note(AuditEntry::not_sent(*verb, object, hook.as_ref(), Purpose::Planned));
        }
        self.stopped = true;
    }

    async fn create_inactive(&mut self, object: &ObjectRef, standing: Option<&Subject>) {
        let went = self.write(Verb::Create, object, None, Purpose::Planned).await;
        self.settle(&went, if standing.is_some() { Verb::Create } else { Verb::Activate }, object);
        let Went::Well(Some(hook)) = went else { return };
        if hook.status == HookStatus::Inactive {
            return;
        }
        let went = self.write(Verb::Deactivate, object, Some(&hook.id), Purpose::Planned).await;
        self.settle(&went, Verb::Deactivate, object);
        if let (Went::Well(_), Some(standing)) = (went, standing) {
            // Whether the new one took over is not asked first: activating an active hook changes nothing.
            self.put_back(standing).await;
        }
    }

    /// Takes note of how a write went for what follows in this run and after it.
    fn settle(&mut self, went: &Went, verb: Verb, object: &ObjectRef) {
        match went {
            Went::Well(_) => {}
            Went::Refused => {
                self.failed.insert(object.clone());
                self.report.refused.push(RefusedChange { object: object.clone(), verb });
            }
            // Okta is not as it was when the plan was made (or does not show yet what it was asked a moment ago).
            Went::Gone | Went::NotNow(_) | Went::Unclear | Went::NotDone => {
                self.stopped = true;
            }
        }
    }

    async fn write(&mut self, verb: Verb, object: &ObjectRef, hook: Option<&HookId>, why: Purpose) -> Went {
        // The deadline is fixed first: whatever delays this task afterwards shortens the call, not the lease.
        let until = Instant::now() + self.budget.call;
        let content = self.desired.content(object);
        if self.left() == 0 || !(self.may_write)(until.saturating_duration_since(Instant::now())) {
            self.note(AuditEntry::not_sent(verb, object, hook, why));
            self.stopped = true;
            return Went::NotDone;
        }
        self.calls += 1;
        let begun = Instant::now();
        let answer = match (verb, hook, &content) {
            (Verb::Create, _, Some(content)) => some(bounded(until, self.api.create(content)).await),
            (Verb::Replace, Some(id), Some(content)) => {
                let content = HookContent { metadata: self.kept.get(id).cloned(), ..content.clone() };
                some(bounded(until, self.api.replace(id, &content)).await)
            }
            (Verb::Activate, Some(id), _) => some(bounded(until, self.api.activate(id)).await),
            (Verb::Deactivate, Some(id), _) => some(bounded(until, self.api.deactivate(id)).await),
            (Verb::Delete, Some(id), _) => none(bounded(until, self.api.delete(id)).await),
            _ => {
                // A plan for other declarations than these.
                self.note(AuditEntry::not_sent(verb, object, hook, why));
                return Went::NotDone;
            }
        };
        self.take_rate(match &answer {
            Ok(answer) => answer.rate,
            Err(error) => error.rate,
        });
        let made = answer.as_ref().ok().and_then(|answer| answer.value.as_ref()).map(|hook| hook.id.clone());
        let hook = hook.cloned().or(made);
        self.note(AuditEntry::of(verb, object, hook.as_ref(), why, &answer, begun.elapsed()));
        match answer {
            Ok(answer) => {
                self.took(verb, object, hook, answer.value.as_ref());
                Went::Well(answer.value.map(Box::new))
            }
            Err(error) => self.sort(verb, object, hook.as_ref(), &error.failure),
        }
    }

    /// What a definite yes means afterwards.
    fn took(&mut self, verb: Verb, object: &ObjectRef, hook: Option<HookId>, answer: Option<&ObservedHook>) {
        let Some(hook) = hook else { return };
        if matches!(verb, Verb::Create | Verb::Replace) {
            let want = self.desired.hooks.iter().find(|hook| hook.object == *object);
            let secret = want.map(|want| want.secret_fingerprint.clone());
            self.report.applied.push(AppliedContent { object: object.clone(), hook: Some(hook.clone()), secret });
        }
        let effect = match verb {
            Verb::Create => match answer.map(|answer| answer.status) {
                Some(HookStatus::Active) => Effect::Active,
                _ => Effect::Exists,
            },
            Verb::Activate => Effect::Active,
            Verb::Deactivate => Effect::Inactive,
            Verb::Delete => Effect::Gone,
            Verb::Replace | Verb::Read | Verb::ReadBack => return,
        };
        self.report.promise(hook, effect);
    }

    fn sort(&mut self, verb: Verb, object: &ObjectRef, hook: Option<&HookId>, failure: &Failure) -> Went {
        match *failure {
            Failure::NotFound if verb == Verb::Delete => {
                self.report
                    .promised
                    .extend(hook.map(|hook| crate::plan::Promise { hook: hook.clone(), effect: Effect::Gone }));
                Went::Well(None)
            }
            Failure::NotFound => Went::Gone,
            Failure::Refused { .. } | Failure::Forbidden { .. } => Went::Refused,
            Failure::RateLimited { wait, .. } => Went::NotNow(wait),
            Failure::Unreachable { .. } => Went::NotNow(self.budget.pause),
            Failure::NotOkta { .. } | Failure::Server { .. } | Failure::Unclear { .. } => {
                if matches!(verb, Verb::Create | Verb::Replace) {
                    // The secret may or may not have arrived.
                    self.report.applied.push(AppliedContent {
                        object: object.clone(),
                        hook: hook.cloned(),
                        secret: None,
                    });
                }
                if let Some(hook) = hook {
                    self.report.forget(hook);
                }
                Went::Unclear
            }
            Failure::Unauthorized => Went::NotDone,
        }
    }

    fn take_rate(&mut self, rate: Option<crate::types::RateLimit>) {
        if rate.is_some() {
            self.report.rate = rate;
        }
    }

    /// Waits before a call is tried again inside a swap. `false`: the time is over.
    async fn pause(&self, asked: Duration) -> bool {
        let pause = asked.clamp(self.budget.pause, self.budget.pause * 2);
        if Instant::now() + pause + self.budget.call > self.ends {
            return false;
        }
        sleep(pause).await;
        true
    }

    async fn read_back(&mut self) -> bool {
        if self.calls >= self.budget.calls {
            return false;
        }
        self.calls += 1;
        let begun = Instant::now();
        let answer = bounded(begun + self.budget.call, self.api.list_hooks()).await;
        self.note(AuditEntry::read_back(&answer, begun.elapsed()));
        match answer {
            Ok(answer) => {
                self.take_rate(answer.rate);
                self.report.observed = Some(answer.value);
                true
            }
            Err(error) => {
                self.take_rate(error.rate);
                false
            }
        }
    }
}

/// A call that ends by `until`, whatever the client does.
async fn bounded<T>(until: Instant, call: impl Future<Output = CallResult<T>>) -> CallResult<T> {
    timeout_at(until, call).await.unwrap_or_else(|_| {
        let failure = Failure::Unclear { detail: "none within the time of the call".into() };
        Err(CallError { doing: "change a hook", failure, request_id: None, rate: None })
    })
}

fn some(answer: CallResult<ObservedHook>) -> CallResult<Option<ObservedHook>> {
    answer.map(|ApiAnswer { value, request_id, rate }| ApiAnswer { value: Some(value), request_id, rate })
}

fn none(answer: CallResult<()>) -> CallResult<Option<ObservedHook>> {
    answer.map(|ApiAnswer { request_id, rate, .. }| ApiAnswer { value: None, request_id, rate })
}

#[cfg(test)]
mod calls_tests;
#[cfg(test)]
mod tests;
