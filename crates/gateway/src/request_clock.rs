//! A connection that knows when the present request began.
//!
//! Okta counts its three seconds from connecting, or on a kept-alive connection from sending. HTTP libraries report a
//! request only once its head is complete, which a slow sender can delay at will; so the bytes are watched.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::Notify,
    time::Instant,
};

/// How soon after TLS was made the first request must begin for the connection to have been made for it. Okta sends at
/// once, and one lost packet costs up to a second; a proxy that opens connections ahead lets them lie longer.
const FRESH: Duration = Duration::from_secs(1);

/// When the present request began, shared by a connection and its service.
#[derive(Debug, Clone)]
pub struct RequestClock(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    clock: Mutex<Clock>,
    first: Notify,
}

#[derive(Debug)]
struct Clock {
    /// When the connection was accepted, and when TLS was made, until the first request begins.
    made: Option<(Instant, Instant)>,
    present: Option<Instant>,
}

impl RequestClock {
    /// Of a connection that was accepted then, and whose TLS was made now. Its first request began when it was accepted,
    /// if it follows soon, and else with its first byte.
    #[must_use]
    pub fn accepted(at: Instant) -> Self {
        let clock = Mutex::new(Clock { made: Some((at, Instant::now())), present: None });
        Self(Arc::new(Shared { clock, first: Notify::new() }))
    }

    /// When the present request began; now, when no byte of it has been seen.
    #[must_use]
    pub fn get(&self) -> Instant {
        self.lock().present.unwrap_or_else(Instant::now)
    }

    /// The present request is answered: the next byte begins another.
    pub fn finish(&self) {
        self.lock().present = None;
    }

    /// Ends with the first byte of the first request. For one who waits.
    pub async fn first_byte(&self) {
        self.0.first.notified().await;
    }

    fn see(&self, bytes: &[u8]) {
        let mut clock = self.lock();
        // some senders end a body with a line's end too many, which belongs to no request (RFC 9112, section 2.2)
        if clock.present.is_some() || bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n')) {
            return;
        }
        let now = Instant::now();
        clock.present = Some(match clock.made.take() {
            Some((accepted, secured)) => {
                self.0.first.notify_one();
                if now.duration_since(secured) < FRESH { accepted } else { now }
            }
            None => now,
        });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Clock> {
        self.0.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection whose first byte after an answer is noted.
pub struct ClockedConnection<I> {
    inner: I,
    beginning: RequestClock,
}

impl<I> ClockedConnection<I> {
    /// Watches a connection.
    pub const fn new(inner: I, beginning: RequestClock) -> Self {
        Self { inner, beginning }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for ClockedConnection<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.inner).poll_read(context, buffer);
        self.beginning.see(buffer.filled().get(before..).unwrap_or_default());
        result
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for ClockedConnection<I> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream},
        time::advance,
    };

    use super::*;

    struct Scene {
        client: DuplexStream,
        server: ClockedConnection<DuplexStream>,
        beginning: RequestClock,
    }

    impl Scene {
        fn accepted(at: Instant) -> Self {
            let beginning = RequestClock::accepted(at);
            let (client, server) = tokio::io::duplex(64);
            Self { client, server: ClockedConnection::new(server, beginning.clone()), beginning }
        }

        /// When the present request began, once these bytes were read some time from now.
        async fn reads(&mut self, after_ms: u64, bytes: &[u8]) -> Instant {
            advance(Duration::from_millis(after_ms)).await;
            self.client.write_all(bytes).await.unwrap();
            let _ = self.server.read(&mut [0; 64]).await.unwrap();
            self.beginning.get()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_begins_with_its_first_byte_and_the_first_one_with_the_connection() {
        let accepted = Instant::now();
        advance(Duration::from_millis(200)).await;
        let mut scene = Scene::accepted(accepted);
        assert_eq!(scene.reads(999, b"a").await, accepted);
        assert_eq!(scene.reads(500, b"b").await, accepted, "the same request");
        scene.beginning.finish();
        let second = scene.reads(5_000, b"c").await;
        assert_eq!(second, Instant::now());
        assert_eq!(scene.reads(300, b"d").await, second);
    }

    #[tokio::test(start_paused = true)]
    async fn over_a_connection_that_was_opened_ahead_the_first_request_begins_with_its_first_byte() {
        let mut scene = Scene::accepted(Instant::now());
        assert_eq!(scene.reads(1_000, b"a").await, Instant::now());
        tokio::time::timeout(Duration::ZERO, scene.beginning.first_byte()).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_a_line_between_two_requests_begins_nothing() {
        let mut scene = Scene::accepted(Instant::now());
        scene.reads(0, b"POST / HTTP/1.1\r\n\r\n").await;
        scene.beginning.finish();
        scene.reads(10, b"\r\n").await;
        assert_eq!(scene.reads(2_000, b"\r").await, Instant::now(), "nothing began");
        assert_eq!(scene.reads(2_000, b"\r\nPOST").await, Instant::now());
        let begun = Instant::now();
        assert_eq!(scene.reads(100, b"\r\n").await, begun, "within a head it is part of it");
    }
}
