//! What stops an org's reconcile before it comes to a plan.

use std::time::Duration;

use super::{dereference::Unusable, observe::Unlisted};
use crate::operator::{
    model::claim::{Awaited, Claim},
    runtime::{error::ReconcileError, problem::Problem},
};
use hookswitch_api::reason::Ready;
use hookswitch_okta::{CallError, Failure, types::OrgIdentity};

/// What stops a reconcile before it comes to a plan.
pub enum Stop {
    /// What is declared is wrong, or something that it names is.
    Problem(Problem),
    /// The credential may not be read.
    Unread(Problem),
    /// A call to Okta failed.
    Call(CallError),
    /// The rate limit is kept for what is more urgent.
    HeldBack(Duration),
    /// Another object manages the org.
    Claimed(OrgIdentity, Claim),
    /// Another object comes first.
    Waits(Awaited),
    /// The API server did not take or answer a call.
    Kubernetes(ReconcileError),
}

impl From<ReconcileError> for Stop {
    fn from(error: ReconcileError) -> Self {
        Self::Kubernetes(error)
    }
}

impl From<CallError> for Stop {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

impl From<Unlisted> for Stop {
    fn from(unlisted: Unlisted) -> Self {
        match unlisted {
            Unlisted::Failed(error) => Self::Call(error),
            Unlisted::HeldBack(wait) => Self::HeldBack(wait),
        }
    }
}

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<Unusable> for Stop {
    fn from(unusable: Unusable) -> Self {
        match unusable {
            Unusable::Wrong(problem) => Self::Problem(problem),
            Unusable::Unread(problem) => Self::Unread(problem),
        }
    }
}

/// Whether it is certain that the object's credential opens nothing, or that it has none. What may pass is not.
pub fn is_denied(stop: &Stop) -> bool {
    match stop {
        Stop::Problem(problem) => problem.stalled || problem.reason == Ready::SecretNotFound,
        Stop::Call(error) => {
            matches!(error.failure, Failure::Unauthorized | Failure::Forbidden { .. } | Failure::NotFound)
        }
        Stop::Unread(_) | Stop::HeldBack(_) | Stop::Claimed(..) | Stop::Waits(_) | Stop::Kubernetes(_) => false,
    }
}
