//! Why no answer came, and whether the request may have been received all the same.

use std::{error::Error, io};

use super::resolver::Unresolved;

/// Why no answer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The request definitely did not leave: another carrier may have the message without a duplicate.
    #[error("not sent: {cause}")]
    NotSent {
        /// `connect` (refused, unreachable, or closed before the request), `dns`, `tls`, `guard`, `proxy` (it alone could
        /// tell) or `timeout-connect`.
        cause: &'static str,
    },
    /// The request may have been received.
    #[error("may have been received: {cause}")]
    Unclear {
        /// `timeout`, `reset`, `too-large` (the answer) or `garbage` (not HTTP).
        cause: &'static str,
    },
}

/// The verdict on a call that failed. `begun` tells whether the body was begun; `None` for a request without one.
pub(super) fn verdict(error: &reqwest::Error, begun: Option<bool>) -> SendError {
    let sent = begun.unwrap_or(!error.is_connect());
    if sent {
        SendError::Unclear { cause: after_sending(error) }
    } else {
        SendError::NotSent { cause: before_sending(error) }
    }
}

fn before_sending(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() {
        return "timeout-connect";
    }
    for cause in chain(error) {
        if let Some(unresolved) = cause.downcast_ref::<Unresolved>() {
            return unresolved.word();
        }
        if cause.is::<rustls::Error>() {
            return "tls";
        }
        if cause.downcast_ref::<io::Error>().is_some_and(|cause| cause.kind() == io::ErrorKind::TimedOut) {
            return "timeout-connect";
        }
    }
    "connect"
}

fn after_sending(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() {
        return "timeout";
    }
    let is_garbage = chain(error).any(|cause| {
        cause.downcast_ref::<hyper::Error>().is_some_and(|cause| cause.is_parse() || cause.is_parse_status())
    });
    if is_garbage { "garbage" } else { "reset" }
}

/// An error and its causes. An [`io::Error`] hides the error it wraps from `source`, so that one is looked for by hand.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let current = next?;
        let wrapped = current.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = wrapped.map(|wrapped| wrapped as &(dyn Error + 'static)).or_else(|| current.source());
        Some(current)
    })
    .take(16)
}
