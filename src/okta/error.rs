//! What went wrong with a call to the management API, told so that the caller knows whether it may have taken effect and
//! a person knows what to do.

use std::time::Duration;

use crate::okta::types::{RateLimit, RequestId};

/// Whether a call that failed may have changed something in Okta.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TookEffect {
    /// Certainly not.
    No,
    /// It may have: read Okta's state before deciding anything.
    Unknown,
}

/// How a call failed. Texts from Okta are bounded, on one line, and free of the token and of the secret that was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// A definite 4xx (or a redirect, which is not followed).
    #[error("Okta refused it with {status}{}: {summary}{}", shown_code(code.as_deref()), shown_causes(causes))]
    Refused {
        /// HTTP status.
        status: u16,
        /// Okta's `E…` code.
        code: Option<Box<str>>,
        /// Okta's summary, at most 300 characters.
        summary: Box<str>,
        /// Okta's causes, at most 5 of 200 characters.
        causes: Vec<String>,
    },
    /// 429: nothing was done.
    #[error("{}; next try in {} s", rate_text(*.concurrency), wait.as_secs().max(1))]
    RateLimited {
        /// How long to stay away.
        wait: Duration,
        /// Too many calls at once rather than too many in a window: the wait is only a suggestion.
        concurrency: bool,
    },
    /// 401.
    #[error(
        "Okta does not accept the API token: it was revoked, has expired (30 days without use) or is of another org; put a new one in the Secret"
    )]
    Unauthorized,
    /// 403.
    #[error(
        "the API token's admin may not do this: {summary}; give it the Super Admin role, or a custom role with okta.inlinehooks.manage"
    )]
    Forbidden {
        /// Okta's summary, at most 300 characters.
        summary: Box<str>,
    },
    /// 404.
    #[error("Okta has no such object (it was deleted, or the org's address is wrong)")]
    NotFound,
    /// 5xx.
    #[error("Okta answered {status}{}; whether the call took effect is not known; it is read back and tried again", shown_code(code.as_deref()))]
    Server {
        /// HTTP status.
        status: u16,
        /// Okta's `E…` code, when it is Okta that answers and not something before it.
        code: Option<Box<str>>,
    },
    /// It was sent, and no answer that can be believed came.
    #[error(
        "no usable answer from Okta ({detail}); whether the call took effect is not known; it is read back and tried again"
    )]
    Unclear {
        /// What was wrong with the answer.
        detail: String,
    },
    /// It was never sent.
    #[error("Okta cannot be reached ({detail}); check the org's address, DNS, the egress policy, proxy and CA")]
    Unreachable {
        /// What was in the way.
        detail: String,
    },
}

impl Failure {
    /// Whether the call may have changed something.
    #[must_use]
    pub const fn took_effect(&self) -> TookEffect {
        match self {
            Self::Server { .. } | Self::Unclear { .. } => TookEffect::Unknown,
            _ => TookEffect::No,
        }
    }

    /// A stable word for conditions and metrics.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Refused { .. } => "OktaRefused",
            Self::RateLimited { .. } => "OktaRateLimited",
            Self::Unauthorized => "OktaUnauthorized",
            Self::Forbidden { .. } => "OktaForbidden",
            Self::NotFound => "OktaNotFound",
            Self::Server { .. } => "OktaServerError",
            Self::Unclear { .. } => "OktaAnswerUnclear",
            Self::Unreachable { .. } => "OktaUnreachable",
        }
    }

    /// Whether Okta definitely said no to this very call, so that the same call will be refused again.
    #[must_use]
    pub const fn is_definite_no(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::Forbidden { .. } | Self::NotFound)
    }
}

/// A failed call: what was tried, how it failed, and what Okta said beside it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{doing}: {failure}{}", shown_request(request_id.as_ref()))]
pub struct CallError {
    /// What was being done, as in "list telephony hooks".
    pub doing: &'static str,
    /// How it failed.
    pub failure: Failure,
    /// Okta's name for the exchange.
    pub request_id: Option<RequestId>,
    /// The bucket after this call.
    pub rate: Option<RateLimit>,
}

impl CallError {
    /// See [`Failure::took_effect`].
    #[must_use]
    pub const fn took_effect(&self) -> TookEffect {
        self.failure.took_effect()
    }

    /// See [`Failure::reason`].
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        self.failure.reason()
    }
}

fn rate_text(concurrency: bool) -> &'static str {
    if concurrency { "Okta has too many calls of this org in flight" } else { "the org's Okta rate limit is used up" }
}

fn shown_code(code: Option<&str>) -> String {
    code.map(|code| format!(" {code}")).unwrap_or_default()
}

fn shown_causes(causes: &[String]) -> String {
    if causes.is_empty() { String::new() } else { format!(" ({})", causes.join("; ")) }
}

fn shown_request(id: Option<&RequestId>) -> String {
    id.map(|id| format!(" [request {}]", id.as_str())).unwrap_or_default()
}
