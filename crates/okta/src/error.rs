//! What went wrong with a call to the management API, described so that the caller knows whether it may have taken effect and
//! a person knows what to do.

use std::time::Duration;

use crate::types::{RateLimit, RequestId};

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
    /// A definite 4xx, in Okta's own words.
    #[error("Okta refused the call with {status} {code}: {summary}{}; {}", shown_causes(causes), advice(*status, code))]
    Refused {
        /// HTTP status.
        status: u16,
        /// Okta's `E…` code.
        code: Box<str>,
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
        "Okta does not accept the API token: it was revoked, has expired (30 days without use) or belongs to another org; put a new one into the Secret"
    )]
    Unauthorized,
    /// 403, in Okta's own words.
    #[error("Okta denied the call with 403 {code}: {summary}; {}", Denied::by(code).advice())]
    Forbidden {
        /// Okta's `E…` code.
        code: Box<str>,
        /// Okta's summary, at most 300 characters.
        summary: Box<str>,
    },
    /// A 4xx or a redirect, which is not followed, without Okta's own error: of a proxy, a firewall or a page before the API.
    /// It says nothing of what Okta would have answered, nor whether the call came there.
    #[error(
        "the answer {status} did not come from Okta's API, so it is not known whether the call took effect; it is read back and tried again; {}",
        before_okta(*status)
    )]
    NotOkta {
        /// HTTP status.
        status: u16,
    },
    /// 404.
    #[error("Okta has no such object; it was deleted, or spec.url of the OktaOrg is wrong")]
    NotFound,
    /// 5xx.
    #[error("Okta answered {status}{}; whether the call took effect is not known; it is read back and tried again; if it lasts, see status.okta.com", shown_code(code.as_deref()))]
    Server {
        /// HTTP status.
        status: u16,
        /// Okta's `E…` code, when it is Okta that answers and not something before it.
        code: Option<Box<str>>,
    },
    /// It was sent, and no answer that can be believed came.
    #[error(
        "no usable answer from Okta ({detail}); whether the call took effect is not known; it is read back and tried again; if it lasts, check the org's address, the proxy and status.okta.com"
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

/// E0000005, with 403: the token's session is over.
pub(crate) const INVALID_SESSION: &str = "E0000005";

/// E0000015, with 401: the org has not the feature.
pub(crate) const FEATURE_NOT_ENABLED: &str = "E0000015";

/// The kinds of [`Failure`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// [`Failure::Refused`]
    Refused,
    /// [`Failure::RateLimited`]
    RateLimited,
    /// [`Failure::Unauthorized`]
    Unauthorized,
    /// [`Failure::Forbidden`]
    Forbidden,
    /// [`Failure::NotFound`]
    NotFound,
    /// [`Failure::Server`]
    Server,
    /// [`Failure::NotOkta`]
    NotOkta,
    /// [`Failure::Unclear`]
    Unclear,
    /// [`Failure::Unreachable`]
    Unreachable,
}

impl FailureKind {
    /// The stable word that logs and metrics have for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "OktaRefused",
            Self::RateLimited => "OktaRateLimited",
            Self::Unauthorized => "OktaUnauthorized",
            Self::Forbidden => "OktaForbidden",
            Self::NotFound => "OktaNotFound",
            Self::Server => "OktaServerError",
            Self::NotOkta => "NotOkta",
            Self::Unclear => "OktaAnswerUnclear",
            Self::Unreachable => "OktaUnreachable",
        }
    }
}

/// What a 403 is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// The rights of the token's admin, or where the token may be used from.
    Permission,
    /// What the org has of Okta's services.
    Service,
    /// What Okta's words say.
    AsTold,
}

impl Denied {
    /// What a 403 with this code is about.
    #[must_use]
    pub fn by(code: &str) -> Self {
        match code {
            "E0000006" => Self::Permission,
            // SMS limit, message template, no SMS and voice; the feature itself
            "E0000150" | "E0000228" | "E0000247" | FEATURE_NOT_ENABLED => Self::Service,
            _ => Self::AsTold,
        }
    }

    /// What to do about it.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Permission => {
                "give the API token's admin the Super Admin role, or a custom role with okta.inlinehooks.manage; if it has it, \
                 let the token be used from the operator's address (Security > API > Tokens); if other changes are allowed, \
                 the org does not allow this one now: see in Workflow > Inline Hooks which telephony hook is active"
            }
            Self::Service => "have Okta Support turn it on for the org, or raise its limit",
            Self::AsTold => AS_TOLD,
        }
    }
}

const AS_TOLD: &str = "change what Okta names, or ask Okta Support with the request's id";

/// Whether a text is a code of Okta's: an E and digits. Others' errors have codes, too.
pub(crate) fn is_oktas(code: &str) -> bool {
    code.strip_prefix('E').is_some_and(|digits| digits.len() >= 4 && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

/// What to do about an answer that is not Okta's.
const fn before_okta(status: u16) -> &'static str {
    match status {
        300..=399 => {
            "a redirect is not followed: set spec.url of the OktaOrg to the org's own address, and see whether a proxy or \
             firewall wants a login"
        }
        404 | 410 => "check spec.url of the OktaOrg, and see whether a proxy or firewall answers in Okta's place",
        407 => "give the operator the proxy's user and password (network.proxyCredentials)",
        _ => {
            "take the operator's address out of the blocked zones (Security > Networks), and see whether a proxy or firewall \
             refuses the call"
        }
    }
}

/// What to do about a refusal.
fn advice(status: u16, code: &str) -> &'static str {
    match (status, code) {
        (_, FEATURE_NOT_ENABLED) => "have Okta Support turn the feature on for the org",
        (_, "E0000226" | "E0000264") => {
            "make another hook active first, or take the Phone authenticator out of use in the org"
        }
        (_, "E0000134" | "E0000135" | "E0000137") => "see whether the hook's own server answers Okta as it should",
        (405..=407 | 411..=417 | 431, _) => {
            "what Okta got is not what was sent: see whether a proxy changes or refuses the calls, and check spec.url of the OktaOrg"
        }
        (408..=410 | 423..=425, _) => "it is tried again; if it lasts, ask Okta Support with the request's id",
        _ => AS_TOLD,
    }
}

impl Failure {
    /// Whether the call may have changed something.
    #[must_use]
    pub const fn took_effect(&self) -> TookEffect {
        match self {
            Self::NotOkta { .. } | Self::Server { .. } | Self::Unclear { .. } => TookEffect::Unknown,
            _ => TookEffect::No,
        }
    }

    /// Okta's `E…` code, where it gave one.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { code, .. } | Self::Forbidden { code, .. } => Some(code),
            Self::Server { code, .. } => code.as_deref(),
            _ => None,
        }
    }

    /// Which kind of failure it is.
    #[must_use]
    pub const fn kind(&self) -> FailureKind {
        match self {
            Self::Refused { .. } => FailureKind::Refused,
            Self::RateLimited { .. } => FailureKind::RateLimited,
            Self::Unauthorized => FailureKind::Unauthorized,
            Self::Forbidden { .. } => FailureKind::Forbidden,
            Self::NotFound => FailureKind::NotFound,
            Self::Server { .. } => FailureKind::Server,
            Self::NotOkta { .. } => FailureKind::NotOkta,
            Self::Unclear { .. } => FailureKind::Unclear,
            Self::Unreachable { .. } => FailureKind::Unreachable,
        }
    }

    /// A stable word for logs and metrics.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        self.kind().as_str()
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
    /// Okta's id of the request.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_403_is_about_permissions_only_where_okta_says_so() {
        for (code, denied) in [
            ("E0000006", Denied::Permission),
            ("E0000247", Denied::Service),
            ("E0000150", Denied::Service),
            ("E0000038", Denied::AsTold),
        ] {
            assert_eq!(Denied::by(code), denied, "{code}");
        }
    }

    #[test]
    fn advice_reads_as_one_line() {
        for denied in [Denied::Permission, Denied::Service, Denied::AsTold] {
            assert!(!denied.advice().contains("  ") && !denied.advice().contains('\n'), "{}", denied.advice());
        }
    }

    #[test]
    fn whatever_okta_refuses_with_a_person_reads_what_to_do() {
        for status in 300..500 {
            let oktas = ["E0000001", "E0000226", "E0000135", FEATURE_NOT_ENABLED].map(|code| advice(status, code));
            for said in oktas.into_iter().chain([before_okta(status)]) {
                assert!(
                    ["set ", "change ", "have ", "make ", "see ", "ask ", "give "]
                        .iter()
                        .any(|do_it| said.contains(do_it)),
                    "{said}"
                );
                assert!(!said.contains("  ") && !said.contains('\n'), "{said}");
            }
        }
    }

    #[test]
    fn a_code_of_oktas_is_an_e_and_digits() {
        for (code, is) in [
            ("E0000006", true),
            ("E0000", true),
            ("E", false),
            ("E1", false),
            ("", false),
            ("17", false),
            ("e0000006", false),
            ("E00000x6", false),
            ("ACCESS_DENIED", false),
            ("EACCES", false),
        ] {
            assert_eq!(is_oktas(code), is, "{code}");
        }
    }
}
