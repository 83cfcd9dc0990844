//! How an org is reached, and when it may be called.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::operator::{outbound::okta::OrgApi, runtime::backoff};
use hookswitch_okta::{
    CallError, Failure,
    client::CallResult,
    limits::{MayCall, Priority, RateState},
    types::OrgDocument,
};

/// The longest pause after a call that failed by what passes, while a switch waits for Okta; with a reconcile's jitter it is not
/// ten seconds.
pub const PATIENCE: Duration = Duration::from_secs(8);

/// The last failed call.
#[derive(Debug, Clone)]
pub struct FailedCall {
    error: CallError,
    /// How many failed in a row.
    failures: u32,
    since: Instant,
}

impl FailedCall {
    /// Until when no other call is made. What Okta asks for is heeded whoever waits.
    fn ends(&self, priority: Priority) -> Instant {
        let own = backoff::after(self.failures);
        let patient = if priority > Priority::Routine { own.min(PATIENCE) } else { own };
        let pause = match self.error.failure {
            Failure::RateLimited { wait, concurrency: false } => patient.max(wait),
            // another try of these is refused just the same
            Failure::Unauthorized | Failure::Forbidden { .. } | Failure::Refused { .. } | Failure::NotFound => own,
            _ => patient,
        };
        self.since + pause
    }
}

/// How an org is reached.
#[derive(Default)]
pub struct Connection {
    /// What the client was made of; another means another client.
    pub made_of: Option<u64>,
    /// The client.
    pub api: Option<Arc<dyn OrgApi>>,
    /// The rate limit.
    pub rate: RateState,
    /// What the org at the address says of itself, and since when that is known.
    pub document: Option<(OrgDocument, Instant)>,
    /// The last failed call, unless one went well since.
    pub failed_call: Option<FailedCall>,
}

impl Connection {
    /// After a failed call: how long to stay away.
    pub fn stay_away(&mut self, error: CallError, priority: Priority, now: Instant) -> Duration {
        let failed_call = match self.failed_call.take() {
            // the same failure, met again without a call
            Some(known) if known.ends(priority) > now => known,
            before => {
                let failures = before.map_or(0, |before| before.failures).saturating_add(1);
                FailedCall { error, failures, since: now }
            }
        };
        let until = failed_call.ends(priority);
        self.failed_call = Some(failed_call);
        until.duration_since(now)
    }

    /// The last failed call, when it is too early for another.
    #[must_use]
    pub fn still_failing(&self, priority: Priority, now: Instant) -> Option<CallError> {
        self.failed_call
            .as_ref()
            .filter(|failed_call| failed_call.ends(priority) > now)
            .map(|failed_call| failed_call.error.clone())
    }

    /// How long to stay away before `calls` calls; `None`: they may be made now.
    #[must_use]
    pub fn must_wait(&self, calls: u32, priority: Priority, now: Instant) -> Option<Duration> {
        match self.rate.may_call(now.into_std(), calls, priority) {
            MayCall::Now => None,
            MayCall::WaitUntil(until) => Some(until.saturating_duration_since(now.into_std())),
        }
    }

    /// Takes in what came beside an answer or a failure.
    pub fn took<T>(&mut self, result: &CallResult<T>, now: Instant) {
        match result {
            Ok(answer) => self.rate.answered(now.into_std(), answer.rate, 1),
            Err(error) => self.rate.failed(now.into_std(), error),
        }
    }
}
