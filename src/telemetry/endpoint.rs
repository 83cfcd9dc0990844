//! The small HTTP server behind the endpoints that are not Okta's: metrics, health, report.
//!
//! Answers are rendered in memory by a plain function of the request's head; bodies are never read. Connections, time
//! and the size of a request's head are bounded, so that whoever reaches the port can cost little.

use std::{convert::Infallible, future::Future, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header, request};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// What a caller may use up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Connections open at once; the next one waits in the kernel's queue.
    pub connections: usize,
    /// Time for a handshake before HTTP, such as TLS.
    pub handshake: Duration,
    /// Time for the head of a request, and so also between two requests on one connection.
    pub head: Duration,
    /// Time a connection may last, whatever happens on it.
    pub lifetime: Duration,
}

/// The most bytes of a request's head.
const MAX_HEAD: usize = 8 * 1024;

/// The most header lines of a request.
const MAX_HEADERS: usize = 32;

/// How long requests under way may go on after the stop.
const GRACE: Duration = Duration::from_secs(1);

/// How long accepting rests after an error: it is most often a want of file descriptors, which does not end at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// An answer, whole.
pub type Answer = Response<Full<Bytes>>;

/// A text answer that no cache keeps.
#[must_use]
pub fn text(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    answer
}

/// Serves until `stop`, then lets requests under way finish for a second.
///
/// `wrap` turns an accepted connection into the one that HTTP is spoken on, or into nothing when its handshake fails;
/// for plain HTTP it is [`plain`].
pub async fn serve<W, F, I, A>(listener: TcpListener, bounds: Bounds, wrap: W, answer: A, stop: CancellationToken)
where
    W: Fn(TcpStream) -> F + Send + Sync + 'static,
    F: Future<Output = Option<I>> + Send,
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    A: Fn(&request::Parts) -> Answer + Send + Sync + 'static,
{
    let (wrap, answer) = (Arc::new(wrap), Arc::new(answer));
    let slots = Arc::new(Semaphore::new(bounds.connections));
    let mut connections = JoinSet::new();
    while let Some((stream, slot)) = accept(&listener, &slots, &stop).await {
        let (wrap, answer, stop) = (Arc::clone(&wrap), Arc::clone(&answer), stop.clone());
        connections.spawn(async move {
            if let Ok(Some(stream)) = timeout(bounds.handshake, wrap(stream)).await {
                let _ = timeout(bounds.lifetime, converse(stream, bounds.head, answer, stop)).await;
            }
            drop(slot);
        });
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    let _ = timeout(GRACE, async { while connections.join_next().await.is_some() {} }).await;
    connections.abort_all();
}

/// The `wrap` of plain HTTP.
pub async fn plain(stream: TcpStream) -> Option<TcpStream> {
    Some(stream)
}

/// Binds a listener, saying which address it was when that fails.
///
/// # Errors
///
/// The address is taken, not ours, or may not be listened on.
pub async fn listen(address: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address).await.map_err(|source| ListenError { address, source })
}

/// An address could not be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}")]
pub struct ListenError {
    /// The address.
    pub address: SocketAddr,
    /// What the system says.
    pub source: std::io::Error,
}

type Slot = tokio::sync::OwnedSemaphorePermit;

async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>, stop: &CancellationToken) -> Option<(TcpStream, Slot)> {
    let accepting = async {
        let slot = Arc::clone(slots).acquire_owned().await.ok()?;
        loop {
            match listener.accept().await {
                Ok((stream, _)) => return Some((stream, slot)),
                Err(_) => sleep(ACCEPT_PAUSE).await,
            }
        }
    };
    stop.run_until_cancelled(accepting).await.flatten()
}

async fn converse<I, A>(stream: I, head: Duration, answer: Arc<A>, stop: CancellationToken)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    A: Fn(&request::Parts) -> Answer + Send + Sync + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let (parts, _) = request.into_parts();
        let answer = answer(&parts);
        async move { Ok::<_, Infallible>(answer) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => {}
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}
