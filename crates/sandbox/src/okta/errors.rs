//! Okta's error answers: `{errorCode, errorSummary, errorLink, errorId, errorCauses}`.

use http::StatusCode;
use serde_json::json;

use crate::clock::random_id;
use crate::exchange::Answer;

/// A refusal in Okta's shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OktaError {
    status: u16,
    code: &'static str,
    summary: String,
    causes: Vec<String>,
}

impl OktaError {
    fn new(status: u16, code: &'static str, summary: impl Into<String>) -> Self {
        Self { status, code, summary: summary.into(), causes: Vec::new() }
    }

    /// E0000001: what was sent breaks a rule.
    pub(super) fn validation(field: &str, cause: impl AsRef<str>) -> Self {
        Self {
            causes: vec![format!("{field}: {}", cause.as_ref())],
            ..Self::new(400, "E0000001", format!("Api validation failed: {field}"))
        }
    }

    /// E0000003: the body is no JSON.
    pub(super) fn unreadable() -> Self {
        Self::new(400, "E0000003", "The request body was not well-formed.")
    }

    /// E0000011: no token, or not ours.
    pub(super) fn invalid_token() -> Self {
        Self::new(401, "E0000011", "Invalid token provided")
    }

    /// E0000006.
    pub(super) fn forbidden() -> Self {
        Self::new(403, "E0000006", "You do not have permission to perform the requested action")
    }

    /// E0000007, in the recorded wording.
    pub(super) fn no_hook(id: &str) -> Self {
        let id: String = id.chars().take(64).collect();
        Self::new(404, "E0000007", format!("Not found: Resource not found: {id} (InlineHook)"))
    }

    /// E0000008: no such path.
    pub(super) fn no_path() -> Self {
        Self::new(404, "E0000008", "The requested path was not found")
    }

    /// E0000009.
    pub(super) fn internal() -> Self {
        Self::new(500, "E0000009", "Internal Server Error")
    }

    /// E0000010.
    pub(super) fn read_only() -> Self {
        Self::new(503, "E0000010", "Service is in read only mode")
    }

    /// E0000021.
    pub(super) fn media_type() -> Self {
        Self::new(
            415,
            "E0000021",
            "Bad request. Accept and/or Content-Type headers likely do not match supported values.",
        )
    }

    /// E0000022: known path, other method.
    pub(super) fn method() -> Self {
        Self::new(405, "E0000022", "The endpoint does not support the provided HTTP method")
    }

    /// E0000031: a filter that cannot be read.
    pub(super) fn search(why: &str) -> Self {
        Self::new(400, "E0000031", format!("Invalid search criteria. {why}"))
    }

    /// E0000047: of a bucket, or for too many calls at once.
    pub(super) fn rate_limit() -> Self {
        Self::new(429, "E0000047", "API call exceeded rate limit due to too many requests.")
    }

    /// E0000134: the hook could not be reached.
    pub(super) fn hook_unreachable(cause: &str) -> Self {
        Self {
            causes: vec![cause.to_owned()],
            ..Self::new(502, "E0000134", "Could not communicate with the inline hook.")
        }
    }

    /// E0000135: the hook answered wrongly.
    pub(super) fn hook_failed(cause: &str) -> Self {
        Self { causes: vec![cause.to_owned()], ..Self::new(400, "E0000135", "The inline hook answered with an error.") }
    }

    /// E0000137: the hook did not answer in time.
    pub(super) fn hook_silent(cause: &str) -> Self {
        Self { causes: vec![cause.to_owned()], ..Self::new(504, "E0000137", "No response from the inline hook.") }
    }

    pub(super) fn answer(&self) -> Answer {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let causes: Vec<_> = self.causes.iter().map(|cause| json!({"errorSummary": cause})).collect();
        Answer::json(
            status,
            &json!({
                "errorCode": self.code,
                "errorSummary": self.summary,
                "errorLink": self.code,
                "errorId": format!("oae{}", random_id(22)),
                "errorCauses": causes,
            }),
        )
    }
}
