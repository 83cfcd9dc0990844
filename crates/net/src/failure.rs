//! Why no answer came, and whether the request may have been received all the same.

use std::{error::Error, io};

/// Why no answer came to a request of a [`Connector`](crate::Connector).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The request definitely did not leave, or was definitely not processed: another provider may have the message without
    /// a duplicate.
    #[error("not sent: {cause}")]
    NotSent {
        /// Why not.
        cause: Unsent,
    },
    /// The request definitely did not leave, and that is nobody's fault: all connections that there may be to the server
    /// carried as many requests as it takes at once, until time was up.
    #[error("not sent: all connections are full")]
    Full,
    /// The request may have been received.
    #[error("may have been received: {cause}")]
    Unclear {
        /// Why there is no answer that can be read.
        cause: NoAnswer,
    },
}

/// Why a request did not leave. Shown by its word for logs and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.as_str())]
pub enum Unsent {
    /// Refused, unreachable, or closed before the request.
    Connect,
    /// No connection in time.
    ConnectTimeout,
    /// The name is not known.
    Dns,
    /// The certificate or the handshake.
    Tls,
    /// The address guard does not allow the address.
    Guard,
    /// The proxy alone knows.
    Proxy,
}

impl Unsent {
    /// A stable word for logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::ConnectTimeout => "timeout-connect",
            Self::Dns => "dns",
            Self::Tls => "tls",
            Self::Guard => "guard",
            Self::Proxy => "proxy",
        }
    }
}

/// Why a request that may have been received has no answer. Shown by its word for logs and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.as_str())]
pub enum NoAnswer {
    /// No answer in time.
    Timeout,
    /// The connection broke off.
    Reset,
    /// The answer has more bytes than are read.
    TooLarge,
    /// The answer is not HTTP.
    Garbage,
}

impl NoAnswer {
    /// A stable word for logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::TooLarge => "too-large",
            Self::Garbage => "garbage",
        }
    }
}

/// Whether the server says that it did not process a request: a stream refused, or one beyond the last that a closing
/// connection takes (RFC 9113, sections 6.8 and 8.7).
pub(super) fn is_refused(error: &hyper::Error) -> bool {
    let found = chain(error).find_map(|cause| cause.downcast_ref::<h2::Error>());
    found.is_some_and(|error| {
        let refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
        error.is_remote() && (refused || error.is_go_away())
    })
}

/// Why there is no whole answer to a request that may have been received.
pub(super) fn after_sending(error: &hyper::Error) -> SendError {
    let is_late = error.is_timeout()
        || chain(error).any(|cause| {
            cause.downcast_ref::<io::Error>().is_some_and(|cause| cause.kind() == io::ErrorKind::TimedOut)
        });
    SendError::Unclear {
        cause: if is_late {
            NoAnswer::Timeout
        } else if error.is_parse() {
            NoAnswer::Garbage
        } else {
            NoAnswer::Reset
        },
    }
}

/// An error and its causes. An [`io::Error`] hides the error it wraps from `source`, so that one is found by hand.
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

#[cfg(test)]
mod tests {
    use std::{
        pin::Pin,
        task::{Context, Poll, Waker},
    };

    use http_body_util::Empty;
    use hyper::{
        client::conn::http1,
        rt::{Read, ReadBufCursor, Write},
    };

    use super::*;

    /// A connection that takes a request, and then reads nothing but an error.
    struct Failing {
        kind: io::ErrorKind,
        taken: bool,
        reader: Option<Waker>,
    }

    impl Read for Failing {
        fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, _: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
            if self.taken {
                return Poll::Ready(Err(self.kind.into()));
            }
            self.reader = Some(cx.waker().clone());
            Poll::Pending
        }
    }

    impl Write for Failing {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            self.taken = true;
            self.reader.take().into_iter().for_each(Waker::wake);
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn a_connection_that_the_system_gave_up_waiting_for_is_distinguished_from_one_that_was_reset() {
        for (kind, cause) in [
            (io::ErrorKind::TimedOut, NoAnswer::Timeout),
            (io::ErrorKind::ConnectionReset, NoAnswer::Reset),
            (io::ErrorKind::UnexpectedEof, NoAnswer::Reset),
        ] {
            let stream = Failing { kind, taken: false, reader: None };
            let (mut sender, connection) = http1::handshake(stream).await.unwrap();
            let request = http::Request::new(Empty::<bytes::Bytes>::new());
            let (answer, _) = tokio::join!(sender.send_request(request), connection);
            assert_eq!(after_sending(&answer.unwrap_err()), SendError::Unclear { cause }, "{kind}");
        }
    }
}
