//! The socket under a connection, and the gate that every request passes on its way out.

use std::{
    fmt, io,
    mem::MaybeUninit,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;

use super::leave::Leave;

/// What bytes travel over.
pub(super) enum Transport {
    /// To the server itself, or through a proxy that is spoken to in clear.
    Plain(TcpStream),
    /// Through a proxy that is spoken to over TLS.
    Sealed(Box<TlsStream<TcpStream>>),
}

impl Transport {
    /// Whether the other side has said nothing since the last answer. An end of the connection counts as saying
    /// something, as does what servers send before they close (an alert of TLS, a 408).
    ///
    /// The kernel is asked, not the runtime: that one learns of what has come only when it looks at sockets again.
    fn is_quiet(&self) -> bool {
        let tcp = match self {
            Self::Plain(tcp) => tcp,
            Self::Sealed(tls) => tls.get_ref().0,
        };
        let peeked = SockRef::from(tcp).peek(&mut [MaybeUninit::uninit(); 1]);
        peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }
}

impl AsyncRead for Transport {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, into),
            Self::Sealed(stream) => Pin::new(stream).poll_read(context, into),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Sealed(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Sealed(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Sealed(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

/// Lets one request after the other out over a connection that carries one at a time. Open until it is asked to watch.
#[derive(Clone)]
pub(super) struct Gate(Arc<Mutex<Turn>>);

struct Turn {
    leave: Leave,
    check_first: bool,
    wrote: bool,
}

impl Gate {
    fn open() -> Self {
        Self(Arc::new(Mutex::new(Turn { leave: Leave::begun(), check_first: false, wrote: true })))
    }

    /// Watches the next request. Nothing of it leaves once its [`Leave`] was given up, nor, when the connection was used
    /// before, if the other side has closed it or said something meanwhile: it is given up then.
    pub(super) fn next(&self, used_before: bool) -> Leave {
        let leave = Leave::default();
        *self.lock() = Turn { leave: leave.clone(), check_first: used_before, wrote: false };
        leave
    }

    fn lock(&self) -> MutexGuard<'_, Turn> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gate")
    }
}

/// A transport with a gate in it.
pub(super) struct Wire {
    transport: Transport,
    gate: Gate,
}

impl Wire {
    pub(super) fn over(transport: Transport) -> (Self, Gate) {
        let gate = Gate::open();
        (Self { transport, gate: gate.clone() }, gate)
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_read(context, into)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Self { transport, gate } = &mut *self;
        let mut turn = gate.lock();
        if std::mem::take(&mut turn.check_first) && !transport.is_quiet() {
            turn.leave.give_up();
        }
        if !turn.leave.begin() {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionAborted, "given up before it was sent")));
        }
        let written = Pin::new(transport).poll_write(context, bytes);
        match &written {
            Poll::Ready(Ok(_)) => turn.wrote = true,
            Poll::Ready(Err(_)) if !turn.wrote => turn.leave.undo(),
            Poll::Ready(Err(_)) | Poll::Pending => {}
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write as _, thread};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    async fn connected() -> (Wire, Gate, std::net::TcpStream) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (wire, gate) = Wire::over(Transport::Plain(near));
        (wire, gate, listener.accept().unwrap().0)
    }

    #[tokio::test]
    async fn a_connection_that_ended_or_spoke_meanwhile_is_not_written_to() {
        for end in [true, false] {
            let (mut wire, gate, mut far) = connected().await;
            assert!(gate.next(false).begin());
            wire.write_all(b"first").await.unwrap();
            // nothing here yields to the runtime, which therefore cannot know of it
            if end {
                drop(far);
            } else {
                thread::spawn(move || (far.write_all(b"408"), far)).join().map(drop).unwrap();
            }
            let leave = gate.next(true);
            assert_eq!(wire.write_all(b"second").await.unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
            assert!(leave.give_up(), "certainly not sent");
            assert!(wire.write_all(b"late").await.is_err(), "nor ever");
        }
    }

    #[tokio::test]
    async fn what_was_given_up_does_not_leave_and_what_began_is_not_given_up() {
        let (mut wire, gate, far) = connected().await;
        assert!(gate.next(false).begin());
        wire.write_all(b"first ").await.unwrap();
        let second = gate.next(true);
        wire.write_all(b"second").await.unwrap();
        assert!(!second.give_up());
        assert!(gate.next(true).give_up());
        assert!(wire.write_all(b"third").await.is_err());
        drop(wire);
        far.set_nonblocking(true).unwrap();
        let mut received = String::new();
        TcpStream::from_std(far).unwrap().read_to_string(&mut received).await.unwrap();
        assert_eq!(received, "first second");
    }
}
