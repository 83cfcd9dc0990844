//! What a failed call means for the org's conditions. Pure.

use crate::operator::runtime::{conditions::Is, problem::Problem};
use hookswitch_api::{
    OktaOrg,
    reason::{Reachable, Ready},
};
use hookswitch_okta::{CallError, Failure, error::Denied};

/// The problem that a failed call is.
#[must_use]
pub fn problem(error: &CallError, org: &OktaOrg) -> Problem {
    let key = &org.spec.auth.api_token.secret_ref;
    match &error.failure {
        Failure::Unreachable { .. } => Problem::transient(Ready::OktaUnreachable, error.to_string()),
        Failure::Server { .. } | Failure::Unclear { .. } => Problem::transient(Ready::OktaUnclear, error.to_string()),
        Failure::NotOkta { .. } => Problem::transient(Ready::NotOkta, error.to_string()),
        Failure::RateLimited { .. } => rate_limited(),
        Failure::Unauthorized => Problem::permanent(
            Ready::TokenRejected,
            format!("{error}: Secret {} key {} (Admin Console: Security > API > Tokens).", key.name, key.key),
        ),
        Failure::Forbidden { code, .. } if Denied::by(code) == Denied::Permission => {
            Problem::permanent(Ready::PermissionDenied, error.to_string())
        }
        Failure::Forbidden { .. } | Failure::Refused { .. } => {
            Problem::permanent(Ready::OktaRefused, error.to_string())
        }
        Failure::NotFound => Problem::permanent(Ready::InvalidSpec, format!("spec.url is no Okta org: {error}")),
    }
}

/// The rate limit leaves no room for what is to be asked. How long is no part of the message: it would change with every
/// evaluation.
#[must_use]
pub fn rate_limited() -> Problem {
    Problem::transient(
        Ready::RateLimited,
        "Okta's rate limit for this org is used up, except what spec.rateLimit keeps for a failover. Calls continue in the \
         next window. In the Admin Console, Reports > Rate Limits shows who uses it.",
    )
}

/// What `Reachable` says after a failed call.
#[must_use]
pub fn reachable(error: &CallError) -> (Is, Reachable, String) {
    let message = match &error.failure {
        Failure::RateLimited { .. } => String::new(),
        failure => failure.to_string(),
    };
    match &error.failure {
        Failure::Unreachable { .. } => (Is::False, Reachable::Unreachable, message),
        Failure::Unauthorized => (Is::False, Reachable::TokenRejected, message),
        Failure::NotOkta { .. } | Failure::Server { .. } | Failure::Unclear { .. } | Failure::NotFound => {
            (Is::False, Reachable::BadAnswer, message)
        }
        Failure::RateLimited { .. } | Failure::Forbidden { .. } | Failure::Refused { .. } => {
            (Is::True, Reachable::Reachable, String::new())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_403_about_permissions_is_reported_as_one() {
        let spec = json!({"url": "https://acme.okta.com", "auth": {"apiToken": {"secretRef": {"name": "okta", "key": "token"}}}});
        let org = OktaOrg::new("acme", serde_json::from_value(spec).unwrap());
        for (code, reason) in [
            (Some("E0000006"), Ready::PermissionDenied),
            (None, Ready::NotOkta),
            (Some("E0000247"), Ready::OktaRefused),
            (Some("E0000038"), Ready::OktaRefused),
        ] {
            let failure = code.map_or(Failure::NotOkta { status: 403 }, |code| Failure::Forbidden {
                code: code.into(),
                summary: "no".into(),
            });
            let problem =
                problem(&CallError { doing: "list telephony hooks", failure, request_id: None, rate: None }, &org);
            assert!(problem.reason == reason && problem.stalled == code.is_some(), "{code:?}: {}", problem.message);
        }
    }
}
