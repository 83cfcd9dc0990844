//! Why a reconcile failed, and what a person has to know.

use std::time::Duration;

use kube::Resource;

use super::{conditions::bounded, problem::Problem};
use hookswitch_api::reason::Ready;

/// How long a reconcile may take.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Why a reconcile could not do what it could.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The API server did not take or answer a call.
    #[error("could not {doing}: {}", shown(source))]
    Api {
        /// What was being done, and to what.
        doing: String,
        /// How it failed. Not part of the text: it may quote what came over the wire.
        source: Box<kube::Error>,
    },
    /// An object of ours could not be turned into JSON.
    #[error("could not {doing}: it cannot be encoded")]
    Encoding {
        /// What was being done, and to what.
        doing: String,
    },
    /// The name of an object we need is taken.
    #[error("{kind} {namespace}/{name} exists and is not controlled by this object: rename or delete it")]
    NameTaken {
        /// Kind of the object that is in the way.
        kind: String,
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// The reconcile took too long.
    #[error("the reconcile did not end within {} s", DEADLINE.as_secs())]
    Deadline,
    /// The lease is not ours any more.
    #[error("this operator does not lead any more")]
    NotLeading,
    /// The reconcile panicked; that is a bug.
    #[error("the reconcile panicked")]
    Panicked,
}

impl ReconcileError {
    /// Turns a client's error into one that says what was being done.
    pub fn api(doing: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Api { doing, source: Box::new(source) }
    }

    /// Something of ours cannot be encoded.
    #[must_use]
    pub fn encoding(doing: String) -> Self {
        Self::Encoding { doing }
    }

    /// The name of an object of kind `K` is taken.
    #[must_use]
    pub fn taken<K: Resource<DynamicType = ()>>(namespace: &str, name: &str) -> Self {
        Self::NameTaken { kind: K::kind(&()).into_owned(), namespace: namespace.to_owned(), name: name.to_owned() }
    }

    /// Whether somebody else wrote the same object meanwhile: no failure, only a reason to read again.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Api { source, .. } if matches!(&**source, kube::Error::Api(status) if status.is_conflict()))
    }

    /// What a person has to know when the API server understood a call and refused it: a field is at fault, or the
    /// cluster's own rules are.
    #[must_use]
    pub fn refusal(&self) -> Option<Problem> {
        let Self::Api { source, .. } = self else { return None };
        let kube::Error::Api(status) = &**source else { return None };
        let message = || format!("The API server refuses what the spec asks for: {self}");
        match status.code {
            422 => Some(Problem::permanent(Ready::InvalidSpec, message())),
            // admission policies answer with either
            400 | 403 => Some(Problem::transient(Ready::Refused, message())),
            _ => None,
        }
    }

    /// Whether the API server denied it to us.
    #[must_use]
    pub fn is_forbidden(&self) -> bool {
        self.status() == Some(403)
    }

    /// Whether the API server has no such object.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.status() == Some(404)
    }

    /// Whether the API server took the call for a wrong one, which it is as long as the object is as it is.
    #[must_use]
    pub fn is_invalid(&self) -> bool {
        self.status() == Some(422)
    }

    /// The status that the API server answered.
    fn status(&self) -> Option<u16> {
        let Self::Api { source, .. } = self else { return None };
        let kube::Error::Api(status) = &**source else { return None };
        Some(status.code)
    }
}

/// What was read and checked: it can be used, or what is wrong with it.
pub type Checked<T> = Result<T, Problem>;

/// What was read of something that an object names. That it may not be read is that object's matter, said in its condition, and
/// stops nothing else.
///
/// # Errors
/// The outer one when the API server does not answer, the inner one when it denies the read.
pub fn or_denied<T>(read: Result<T, ReconcileError>, reason: Ready) -> Result<Checked<T>, ReconcileError> {
    match read {
        Ok(read) => Ok(Ok(read)),
        Err(error) if error.is_forbidden() => {
            let message =
                format!("The operator {error}. Grant its service account get, list and watch on it in a Role.");
            Ok(Err(Problem::transient(reason, message)))
        }
        Err(error) => Err(error),
    }
}

/// A client's error without what came over the wire: an answer that cannot be read may be a Secret.
#[must_use]
pub fn shown(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => {
            bounded(format!("{} {}: {}", status.code, status.reason, status.message.replace('\n', " ")), 300)
        }
        kube::Error::HyperError(_) | kube::Error::Service(_) => "the API server cannot be reached".to_owned(),
        kube::Error::SerdeError(_) | kube::Error::FromUtf8(_) => "the API server's answer cannot be read".to_owned(),
        kube::Error::ProxyProtocolUnsupported { .. } => {
            "the API server is not called through a proxy: unset HTTPS_PROXY, or take proxy-url out of the kubeconfig"
                .to_owned()
        }
        _ => "the call to the API server failed".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn answered(code: u16) -> ReconcileError {
        let reason = http::StatusCode::from_u16(code).unwrap().canonical_reason().unwrap().replace(' ', "");
        let status = Status::failure("denied\nby webhook", &reason).with_code(code);
        ReconcileError::api("change Service otp/acme")(kube::Error::Api(status.boxed()))
    }

    #[test]
    fn what_the_api_server_answers_is_distinguished_by_its_status() {
        // conflict, forbidden, not found, invalid, and what a person reads
        let cases = [
            (400, [false, false, false, false], Some((Ready::Refused, false))),
            (401, [false, false, false, false], None),
            (403, [false, true, false, false], Some((Ready::Refused, false))),
            (404, [false, false, true, false], None),
            (409, [true, false, false, false], None),
            (422, [false, false, false, true], Some((Ready::InvalidSpec, true))),
            (429, [false, false, false, false], None),
            (500, [false, false, false, false], None),
        ];
        for (code, expected, message) in cases {
            let error = answered(code);
            let is = [error.is_conflict(), error.is_forbidden(), error.is_not_found(), error.is_invalid()];
            let refusal = error.refusal().map(|problem| (problem.reason, problem.stalled));
            assert_eq!((is, refusal), (expected, message), "{code}");
        }
        let unanswered = [
            ReconcileError::api("read")(kube::Error::Service("no route".into())),
            ReconcileError::Deadline,
            ReconcileError::NotLeading,
            ReconcileError::encoding("write".to_owned()),
        ];
        for error in unanswered {
            let is = error.is_conflict() || error.is_forbidden() || error.is_not_found() || error.is_invalid();
            assert!(!is && error.refusal().is_none(), "{error}");
        }
    }

    #[test]
    fn a_read_that_is_denied_is_a_matter_of_who_asked_for_it_and_every_other_failure_ends_the_reconcile() {
        let denied = or_denied::<()>(Err(answered(403)), Ready::InvalidSpec).unwrap().unwrap_err();
        assert!(denied.reason == Ready::InvalidSpec && !denied.stalled, "a Role that is given later helps");
        assert!(denied.message.contains("could not change Service otp/acme: 403") && denied.message.contains("Role"));
        for code in [401, 404, 500] {
            assert!(or_denied::<()>(Err(answered(code)), Ready::InvalidSpec).is_err(), "{code}");
        }
        assert_eq!(or_denied(Ok(7), Ready::InvalidSpec).unwrap().unwrap(), 7);
    }

    #[test]
    fn an_error_is_shown_in_one_bounded_line_without_what_came_over_the_wire() {
        let status = |message: &str| kube::Error::Api(Status::failure(message, "Invalid").with_code(422).boxed());
        assert_eq!(shown(&status("port:\n is taken")), "422 Invalid: port:  is taken");
        assert!(shown(&status(&"long ".repeat(1_000))).chars().count() <= 301);
        let unreadable = serde_json::from_str::<u8>(r#""00token""#).unwrap_err();
        let cases = [
            (kube::Error::SerdeError(unreadable), "the API server's answer cannot be read"),
            (kube::Error::Service("connect to 10.0.0.1".into()), "the API server cannot be reached"),
            (kube::Error::LinesCodecMaxLineLengthExceeded, "the call to the API server failed"),
        ];
        for (error, expected) in cases {
            assert_eq!(shown(&error), expected);
        }
    }
}
