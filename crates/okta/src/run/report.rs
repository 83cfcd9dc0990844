//! What a run did: the audit of its calls, and what the next plan has to know.

use std::time::Duration;

use crate::client::CallResult;
use crate::error::{FailureKind, TookEffect};
use crate::fingerprint::Fingerprint;
use crate::plan::{Effect, Promise, Verb};
use crate::types::{HookId, ObjectRef, ObservedHook, RateLimit, RequestId};

/// What came of a run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunReport {
    /// Every call in order, those not sent included.
    pub audit: Vec<AuditEntry>,
    /// The org's hooks as they were read back.
    pub observed: Option<Vec<ObservedHook>>,
    /// Calls that Okta definitely refused: not to be repeated until something relevant changes.
    pub refused: Vec<RefusedChange>,
    /// Contents that were taken, or that may have been. To be remembered in status, in this order.
    pub applied: Vec<AppliedContent>,
    /// What definite answers promised; the next plan waits until it shows.
    pub promised: Vec<Promise>,
    /// The bucket after the last call that said it.
    pub rate: Option<RateLimit>,
    /// How long the run took.
    pub took: Duration,
    /// Every move was done or definitely refused, and the org was read back: the recorded plan can be forgotten.
    pub finished: bool,
}

/// A definite no. [`Verb::Create`] means "beside an active hook", [`Verb::Activate`] "with none beside it", by whichever call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedChange {
    /// Whose hook.
    pub object: ObjectRef,
    /// What was refused.
    pub verb: Verb,
}

/// A content that went to Okta.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedContent {
    /// Whose hook.
    pub object: ObjectRef,
    /// Which hook, when Okta said so.
    pub hook: Option<HookId>,
    /// Fingerprint of the secret that Okta definitely has; `None`: not known any more.
    pub secret: Option<Fingerprint>,
}

/// Why a call was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The plan has it.
    Planned,
    /// To put back what another call left half done.
    PutBack,
    /// To find out what an unclear answer meant, or whether the changes show.
    Check,
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Result {
    /// Okta said yes.
    Done,
    /// It failed for this stable reason, certainly without effect.
    Failed(FailureKind),
    /// It failed for this stable reason, and may have taken effect.
    Unclear(FailureKind),
    /// It was not sent: the lease or the budget of calls did not allow it.
    NotSent,
}

/// One call, for the audit record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// What was called.
    pub verb: Verb,
    /// For which object; `None` for the read-back.
    pub object: Option<ObjectRef>,
    /// On which hook.
    pub hook: Option<HookId>,
    /// Why.
    pub why: Purpose,
    /// How it ended.
    pub result: Result,
    /// What a person should know about a failure; free of secrets.
    pub message: Option<String>,
    /// Okta's id of the request.
    pub request_id: Option<RequestId>,
    /// When it was made, from the beginning of the run.
    pub at: Duration,
    /// How long it took.
    pub took: Duration,
}

impl AuditEntry {
    pub(super) fn of<T>(
        verb: Verb,
        object: &ObjectRef,
        hook: Option<&HookId>,
        why: Purpose,
        answer: &CallResult<T>,
        took: Duration,
    ) -> Self {
        Self { object: Some(object.clone()), hook: hook.cloned(), why, ..Self::answered(verb, answer, took) }
    }

    pub(super) fn read_back<T>(answer: &CallResult<T>, took: Duration) -> Self {
        Self::answered(Verb::ReadBack, answer, took)
    }

    pub(super) fn not_sent(verb: Verb, object: &ObjectRef, hook: Option<&HookId>, why: Purpose) -> Self {
        Self {
            verb,
            object: Some(object.clone()),
            hook: hook.cloned(),
            why,
            result: Result::NotSent,
            message: None,
            request_id: None,
            at: Duration::ZERO,
            took: Duration::ZERO,
        }
    }

    fn answered<T>(verb: Verb, answer: &CallResult<T>, took: Duration) -> Self {
        let (result, message, request_id) = match answer {
            Ok(answer) => (Result::Done, None, answer.request_id.clone()),
            Err(error) => {
                let result = match error.took_effect() {
                    TookEffect::No => Result::Failed(error.failure.kind()),
                    TookEffect::Unknown => Result::Unclear(error.failure.kind()),
                };
                (result, Some(error.failure.to_string()), error.request_id.clone())
            }
        };
        Self {
            verb,
            object: None,
            hook: None,
            why: Purpose::Check,
            result,
            message,
            request_id,
            at: Duration::ZERO,
            took,
        }
    }
}

impl RunReport {
    /// A later promise about a hook replaces an earlier one.
    pub(super) fn promise(&mut self, hook: HookId, effect: Effect) {
        self.forget(&hook);
        self.promised.push(Promise { hook, effect });
    }

    pub(super) fn forget(&mut self, hook: &HookId) {
        self.promised.retain(|promise| promise.hook != *hook);
    }
}
