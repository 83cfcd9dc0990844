//! A request body that tells whether sending it was begun.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

/// Whether a body was begun; shared by the body and the one who waits.
#[derive(Debug, Clone, Default)]
pub(super) struct Begun(Arc<AtomicBool>);

impl Begun {
    /// Whether any byte of the body was asked for. No connection was in a state to send the request while it was not.
    pub(super) fn is_true(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// A whole body, handed over in one piece on first demand.
///
/// HTTP clients ask for the body only once a connection stands and the request's head was accepted, so a body that nobody
/// asked for is the proof that a message was not sent, whatever error was reported and however the wait ended.
pub(super) struct Watched {
    bytes: Option<Bytes>,
    begun: Begun,
}

impl Watched {
    pub(super) fn new(bytes: Bytes, begun: Begun) -> Self {
        Self { bytes: Some(bytes), begun }
    }
}

impl Body for Watched {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.begun.0.store(true, Ordering::Release);
        Poll::Ready(self.bytes.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}
