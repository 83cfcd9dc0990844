//! A request's body, whose sender gives the place of the connection away while he lets us wait for it.
//!
//! Who is known keeps his place while at work: a message may be under way for him. One that waits for the sender's own bytes is no
//! work of ours, and nothing has left: else whoever has the secret could hold all places by bodies that never end.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use hyper::body::{Body, Frame, SizeHint};

use hookswitch_telemetry::room::ConnectionPermit;

/// A body, with the place of its connection.
pub struct AwaitedBody<B> {
    inner: B,
    permit: Arc<ConnectionPermit>,
    is_waiting: bool,
}

impl<B> AwaitedBody<B> {
    /// A body of a connection that is kept.
    pub const fn new(inner: B, permit: Arc<ConnectionPermit>) -> Self {
        Self { inner, permit, is_waiting: false }
    }
}

impl<B: Body + Unpin> Body for AwaitedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        if polled.is_pending() && !self.is_waiting {
            self.is_waiting = true;
            self.permit.rest();
        } else if polled.is_ready() && self.is_waiting {
            self.is_waiting = false;
            if !self.permit.keep() {
                // somebody else has the place: this connection is closed now, and nothing may be sent for it
                return Poll::Pending;
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use bytes::Bytes;
    use futures::{FutureExt as _, SinkExt as _, channel::mpsc};
    use http_body_util::{BodyExt as _, StreamBody};

    use super::*;
    use hookswitch_telemetry::room::Room;

    type Pieces = mpsc::UnboundedSender<Result<Frame<Bytes>, Infallible>>;
    type Coming = AwaitedBody<StreamBody<mpsc::UnboundedReceiver<Result<Frame<Bytes>, Infallible>>>>;

    fn known(room: &Room) -> (Arc<ConnectionPermit>, Pieces, Coming) {
        let permit = Arc::new(room.enter("192.0.2.1".parse().unwrap()).unwrap());
        assert!(permit.keep());
        let (pieces, coming) = mpsc::unbounded();
        (Arc::clone(&permit), pieces, AwaitedBody::new(StreamBody::new(coming), permit))
    }

    #[tokio::test]
    async fn who_lets_us_wait_for_a_body_makes_room_and_who_has_sent_it_does_not() {
        let room = Room::of(2);
        let (slow, mut of_slow, mut body) = known(&room);
        let (_prompt, mut of_prompt, mut prompt) = known(&room);
        of_prompt.send(Ok(Frame::data(Bytes::from_static(b"{}")))).await.unwrap();
        assert!(prompt.frame().await.unwrap().is_ok());
        assert!(room.enter("192.0.2.2".parse().unwrap()).is_none(), "both are at work");

        assert!(body.frame().now_or_never().is_none());
        assert!(body.frame().now_or_never().is_none());
        of_slow.send(Ok(Frame::data(Bytes::from_static(b"{")))).await.unwrap();
        assert!(body.frame().await.unwrap().is_ok(), "it goes on");
        assert!(room.enter("192.0.2.2".parse().unwrap()).is_none(), "both are at work");

        assert!(body.frame().now_or_never().is_none());
        let fresh = room.enter("192.0.2.2".parse().unwrap()).expect("the slow one makes room");
        assert!(slow.evicted().now_or_never().is_some());
        of_slow.send(Ok(Frame::data(Bytes::from_static(b"}")))).await.unwrap();
        assert!(body.frame().now_or_never().is_none(), "what comes too late is not acted on");
        drop(fresh);
    }
}
