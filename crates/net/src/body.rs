//! A request body that leaves only while somebody still waits for its answer.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use super::leave::Leave;

/// A whole body, handed over in one piece on first demand, unless it was given up by then.
///
/// HTTP clients ask for the body only once a connection stands and the request's head was accepted. All that makes a
/// message (number and text) is in the body, so one that was given up before it was asked for was not sent, although an
/// HTTP/2 server may have seen the head by itself: what follows that head is a reset, never a message.
pub(super) struct Watched {
    bytes: Option<Bytes>,
    leave: Leave,
}

impl Watched {
    pub(super) const fn new(bytes: Bytes, leave: Leave) -> Self {
        Self { bytes: Some(bytes), leave }
    }
}

impl Body for Watched {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let Some(bytes) = self.bytes.take_if(|bytes| !bytes.is_empty()) else { return Poll::Ready(None) };
        if !self.leave.begin() {
            return Poll::Ready(Some(Err(io::Error::other("given up before it was sent"))));
        }
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.as_ref().is_none_or(Bytes::is_empty)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}
