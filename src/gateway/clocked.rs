//! A connection that knows when the present request began.
//!
//! Okta counts its three seconds from connecting, or on a kept-alive connection from sending. HTTP libraries tell of a
//! request only once its head is complete, which a slow sender can delay at will; so the bytes are watched.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

/// When the present request began, shared by a connection and its service.
#[derive(Debug, Clone)]
pub struct Beginning(Arc<Mutex<Option<Instant>>>);

impl Beginning {
    /// Of a connection's first request: when the connection was accepted.
    #[must_use]
    pub fn at(accepted: Instant) -> Self {
        Self(Arc::new(Mutex::new(Some(accepted))))
    }

    /// When the present request began; now, when no byte of it has been seen.
    #[must_use]
    pub fn get(&self) -> Instant {
        self.lock().unwrap_or_else(Instant::now)
    }

    /// The present request is answered: the next byte begins another.
    pub fn finish(&self) {
        *self.lock() = None;
    }

    fn see(&self) {
        self.lock().get_or_insert_with(Instant::now);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection whose first byte after an answer is noted.
pub struct Clocked<I> {
    inner: I,
    beginning: Beginning,
}

impl<I> Clocked<I> {
    /// Watches a connection.
    pub const fn new(inner: I, beginning: Beginning) -> Self {
        Self { inner, beginning }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Clocked<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.inner).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.beginning.see();
        }
        result
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Clocked<I> {
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
    use std::time::Duration;

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        time::advance,
    };

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_request_begins_with_its_first_byte_and_the_first_one_with_the_connection() {
        let accepted = Instant::now();
        let beginning = Beginning::at(accepted);
        let (mut client, server) = tokio::io::duplex(64);
        let mut server = Clocked::new(server, beginning.clone());
        let mut buffer = [0; 8];

        advance(Duration::from_millis(100)).await;
        client.write_all(b"a").await.unwrap();
        let _ = server.read(&mut buffer).await.unwrap();
        assert_eq!(beginning.get(), accepted);

        beginning.finish();
        advance(Duration::from_secs(5)).await;
        client.write_all(b"b").await.unwrap();
        let _ = server.read(&mut buffer).await.unwrap();
        let second = Instant::now();
        advance(Duration::from_millis(300)).await;
        client.write_all(b"c").await.unwrap();
        let _ = server.read(&mut buffer).await.unwrap();
        assert_eq!(beginning.get(), second);
    }
}
