//! How many bytes a caller may send until TLS is made.
//!
//! The TLS library puts a message of the handshake together in memory, of up to 64 KiB. Strangers who begin as many as there may
//! be connections, and end none, would fill a gateway's memory.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The most bytes of a handshake, whose messages have less than 8 KiB, with what may be read beside its end: a whole record of the
/// first request, which is at most 18 KiB.
const MOST: usize = 26 * 1024;

/// A connection that fails when too much comes of a handshake.
pub struct HandshakeBytes<I> {
    inner: I,
    /// `None` once TLS is made.
    left: Option<usize>,
}

impl<I> HandshakeBytes<I> {
    /// Of a connection on which TLS is to be made.
    pub const fn of(inner: I) -> Self {
        Self { inner, left: Some(MOST) }
    }

    /// TLS is made: from now on anything may come.
    pub const fn made(&mut self) {
        self.left = None;
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for HandshakeBytes<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(context, buffer))?;
        if let Some(left) = &mut self.left {
            let Some(rest) = left.checked_sub(buffer.filled().len() - before) else {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "the handshake is too large")));
            };
            *left = rest;
        }
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for HandshakeBytes<I> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
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
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn a_handshake_has_so_many_bytes_and_what_follows_it_as_many_as_come() {
        let bytes = vec![b'a'; 3 * MOST];
        let mut bounded = HandshakeBytes::of(&bytes[..]);
        let mut read = vec![0; MOST];
        bounded.read_exact(&mut read).await.unwrap();
        assert_eq!(bounded.read(&mut read).await.unwrap_err().kind(), io::ErrorKind::InvalidData);

        let mut bounded = HandshakeBytes::of(&bytes[..]);
        bounded.read_exact(&mut read).await.unwrap();
        bounded.made();
        let mut rest = Vec::new();
        bounded.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest.len(), 2 * MOST);
    }

    #[tokio::test]
    async fn what_is_written_is_not_bounded() {
        let (near, mut far) = tokio::io::duplex(4 * MOST);
        let mut bounded = HandshakeBytes::of(near);
        bounded.write_all(&vec![b'a'; 3 * MOST]).await.unwrap();
        bounded.shutdown().await.unwrap();
        let mut read = Vec::new();
        far.read_to_end(&mut read).await.unwrap();
        assert_eq!(read.len(), 3 * MOST);
    }
}
