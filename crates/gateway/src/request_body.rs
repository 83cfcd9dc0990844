//! The limits of a request's body: how large it may be, how long it may take, and how many large ones may be under way.

use std::{pin::pin, time::Duration};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Body;
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};

/// The most bytes of a call's body; Okta's have some 1,500.
pub const MAX_BODY: usize = 64 * 1024;
/// How long a body may take, unless the deadline comes first.
const BODY_TIME: Duration = Duration::from_secs(2);
/// From how many bytes a body is large: five times Okta's.
const LARGE: usize = 8 * 1024;
/// Large bodies under way at once; a body that becomes large while so many are is refused. As many as there may be connections
/// would fill half of a gateway's memory.
const MOST_LARGE: usize = 64;

/// Reads the bodies of all requests.
pub struct BodyReader {
    large: Semaphore,
}

impl Default for BodyReader {
    fn default() -> Self {
        Self { large: Semaphore::new(MOST_LARGE) }
    }
}

impl BodyReader {
    /// A body of at most [`MAX_BODY`] bytes, if it is there in time.
    pub async fn read(&self, body: impl Body<Data = Bytes>, deadline: Instant) -> Option<Bytes> {
        let until = deadline.min(Instant::now() + BODY_TIME);
        timeout_at(until, self.whole(body)).await.ok()?
    }

    /// The pieces of a body as one. They are copied: how small they are is the sender's choice, and each by itself takes more
    /// than it holds, with all that was read beside it.
    async fn whole(&self, body: impl Body<Data = Bytes>) -> Option<Bytes> {
        let (mut body, mut bytes, mut place) = (pin!(body), Vec::new(), None);
        while let Some(frame) = body.frame().await {
            let Ok(piece) = frame.ok()?.into_data() else { continue };
            let length = bytes.len() + piece.len();
            if length > MAX_BODY {
                return None;
            }
            if length > LARGE && place.is_none() {
                place = Some(self.large.try_acquire().ok()?);
            }
            // Okta's come in one piece, which needs no copy
            if bytes.is_empty() && body.is_end_stream() {
                return Some(piece);
            }
            if length > bytes.capacity() {
                // twice the room, and never more than a body may have
                bytes.reserve_exact(bytes.len().max(piece.len()).min(MAX_BODY - bytes.len()));
            }
            bytes.extend_from_slice(&piece);
        }
        Some(bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::{FutureExt as _, StreamExt as _, stream};
    use http_body_util::{Full, StreamBody};
    use hyper::body::Frame;

    use super::*;

    type Piece = Result<Frame<Bytes>, Infallible>;

    /// So many bytes in pieces of a size; the next one never comes when it is not to end.
    fn body(length: usize, size: usize, ends: bool) -> impl Body<Data = Bytes, Error = Infallible> + Send {
        let whole: Vec<u8> = (0..length).map(|at| b"0123456789"[at % 10]).collect();
        let pieces: Vec<Piece> = whole.chunks(size).map(|bytes| Ok(Frame::data(bytes.to_vec().into()))).collect();
        let rest = if ends { stream::empty().boxed() } else { stream::pending().boxed() };
        StreamBody::new(stream::iter(pieces).chain(rest))
    }

    fn later() -> Instant {
        Instant::now() + Duration::from_mins(1)
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_is_read_whole_whatever_its_pieces_up_to_its_limit() {
        let reader = BodyReader::default();
        for (length, size) in [(0, 1), (1, 1), (9, 4), (1_500, 1_500), (1_500, 1), (MAX_BODY, 1), (MAX_BODY, MAX_BODY)]
        {
            let read = reader.read(body(length, size, true), later()).await.unwrap();
            assert_eq!((read.len(), read.iter().all(u8::is_ascii_digit)), (length, true), "{length} by {size}");
            let read = reader.read(body(length, size, true), later()).await.unwrap();
            assert_eq!(read.last().copied(), (length > 0).then(|| b"0123456789"[(length - 1) % 10]));
        }
        for size in [1, 1_000, MAX_BODY + 1] {
            assert_eq!(reader.read(body(MAX_BODY + 1, size, true), later()).await, None, "by {size}");
        }
        let at_once = reader.read(Full::new(Bytes::from_static(b"{}")), later()).now_or_never();
        assert_eq!(at_once, Some(Some(Bytes::from_static(b"{}"))));
    }

    #[tokio::test(start_paused = true)]
    async fn only_so_many_large_bodies_are_under_way_and_small_ones_always_come_through() {
        let reader = BodyReader::default();
        let mut slow: Vec<_> =
            (0..MOST_LARGE).map(|_| Box::pin(reader.read(body(LARGE + 1, 1_000, false), later()))).collect();
        for read in &mut slow {
            assert_eq!(read.now_or_never(), None, "under way");
        }
        assert_eq!(reader.read(body(LARGE + 1, 1_000, true), later()).now_or_never(), Some(None), "one too many");
        let fits = reader.read(body(LARGE, 1_000, true), later()).now_or_never().unwrap().unwrap();
        assert_eq!(fits.len(), LARGE);
        slow.pop();
        let fits = reader.read(body(LARGE + 1, 1_000, true), later()).now_or_never().unwrap().unwrap();
        assert_eq!(fits.len(), LARGE + 1, "one has left");
        for read in slow {
            assert_eq!(read.await, None, "not in time");
        }
        assert_eq!(reader.large.available_permits(), MOST_LARGE);
    }
}
