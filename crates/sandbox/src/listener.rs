//! The accept loop shared by every simulated party: bounded in connections, header, body and time.
//! It also carries out the misbehaviours of a connection ([`Reply::Hang`], [`Reply::Reset`],
//! [`Reply::Trickle`]) and a switch that, when set, refuses connections as a dead host does.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use http::{Response, StatusCode, Version};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::exchange::{Answer, Handler, Reply, Request};

const MAX_CONNECTIONS: usize = 512;
const MAX_BODY: usize = 64 * 1024;
const MAX_HEAD: usize = 32 * 1024;
const MAX_HEAD_SIZE: u32 = 32 * 1024;
const MAX_HEADERS: usize = 64;
const MAX_STREAMS: u32 = 100;
const HANDSHAKE: Duration = Duration::from_secs(5);
const READ: Duration = Duration::from_secs(15);
/// The longest a connection is kept without an answer.
const LONGEST_HANG: Duration = Duration::from_mins(2);

type Body = BoxBody<Bytes, Infallible>;

/// The service ends a connection instead of answering.
#[derive(Debug, thiserror::Error)]
#[error("the connection is ended without an answer")]
struct Ended;

/// Binds `addr` and serves `handler` there until `stop`. Answers the bound address.
///
/// While `refusing` is true, new connections are reset before a byte is read, and open ones are reset too.
///
/// # Errors
/// When the address cannot be bound.
pub(crate) async fn listen(
    addr: SocketAddr,
    tls: Option<TlsAcceptor>,
    handler: Arc<dyn Handler>,
    refusing: watch::Receiver<bool>,
    stop: CancellationToken,
) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(addr).await?;
    let bound = listener.local_addr()?;
    tokio::spawn(accept(listener, tls, handler, refusing, stop));
    Ok(bound)
}

async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    handler: Arc<dyn Handler>,
    refusing: watch::Receiver<bool>,
    stop: CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            // Out of descriptors, most often: wait for some to come back.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let reset = Arc::new(AtomicBool::new(false));
        let stream = Resettable { stream, reset: Arc::clone(&reset) };
        if *refusing.borrow() {
            reset.store(true, Ordering::Relaxed);
            continue;
        }
        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
            tracing::warn!("a connection was refused: the listener is full");
            continue;
        };
        let (tls, handler, stop) = (tls.clone(), Arc::clone(&handler), stop.clone());
        let mut refusing = refusing.clone();
        tokio::spawn(async move {
            let _slot = slot;
            tokio::select! {
                () = stop.cancelled() => {}
                Ok(_) = refusing.wait_for(|shut| *shut) => reset.store(true, Ordering::Relaxed),
                () = connection(stream, tls, handler, &reset, &stop) => {}
            }
        });
    }
}

async fn connection(
    stream: Resettable,
    tls: Option<TlsAcceptor>,
    handler: Arc<dyn Handler>,
    reset: &Arc<AtomicBool>,
    stop: &CancellationToken,
) {
    let _ = stream.stream.set_nodelay(true);
    match tls {
        None => serve(TokioIo::new(stream), handler, reset, stop).await,
        Some(tls) => match tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
            Ok(Ok(stream)) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
                serve_streams(TokioIo::new(stream), handler, reset, stop).await;
            }
            Ok(Ok(stream)) => serve(TokioIo::new(stream), handler, reset, stop).await,
            Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
            Err(_) => tracing::debug!("TLS handshake timed out"),
        },
    }
}

async fn serve<I>(io: I, handler: Arc<dyn Handler>, reset: &Arc<AtomicBool>, stop: &CancellationToken)
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let service = service_fn(|request| {
        let (handler, reset, stop) = (Arc::clone(&handler), Arc::clone(reset), stop.clone());
        async move { answer(request, handler, &reset, stop).await }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(READ)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD)
        .serve_connection(io, service)
        .await;
    if let Err(error) = served {
        tracing::trace!(%error, "a connection ended early");
    }
}

/// The same over HTTP/2, where a request is a stream of the connection.
async fn serve_streams<I>(io: I, handler: Arc<dyn Handler>, reset: &Arc<AtomicBool>, stop: &CancellationToken)
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let service = service_fn(|request| {
        let (handler, reset, stop) = (Arc::clone(&handler), Arc::clone(reset), stop.clone());
        async move { answer(request, handler, &reset, stop).await }
    });
    let served = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEAD_SIZE)
        .keep_alive_interval(READ)
        .keep_alive_timeout(HANDSHAKE)
        .serve_connection(io, service)
        .await;
    if let Err(error) = served {
        tracing::trace!(%error, "a connection ended early");
    }
}

async fn answer(
    request: http::Request<Incoming>,
    handler: Arc<dyn Handler>,
    reset: &AtomicBool,
    stop: CancellationToken,
) -> Result<Response<Body>, Ended> {
    let (parts, body) = request.into_parts();
    let version = parts.version;
    let body = match tokio::time::timeout(READ, Limited::new(body, MAX_BODY).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            return Ok(whole(Answer::text(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large")));
        }
        Ok(Err(_)) | Err(_) => return Err(Ended),
    };
    let request = Request {
        method: parts.method,
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers,
        body,
    };
    // A task of its own: what a vendor has received it carries out, whether or not the caller waits.
    let work = tokio::spawn(async move {
        tokio::select! {
            () = stop.cancelled() => Reply::Reset,
            reply = handler.handle(request) => reply,
        }
    });
    match work.await.unwrap_or(Reply::Reset) {
        Reply::Answer(answer) => Ok(whole(answer)),
        Reply::Hang => {
            tokio::time::sleep(LONGEST_HANG).await;
            Err(Ended)
        }
        Reply::Reset => {
            // of HTTP/2 only the stream ends: others of the connection are none of this one's business
            if version != Version::HTTP_2 {
                reset.store(true, Ordering::Relaxed);
            }
            Err(Ended)
        }
        Reply::Trickle(answer, pause) => Ok(trickled(answer, pause)),
    }
}

fn whole(answer: Answer) -> Response<Body> {
    let body = Full::new(answer.body.clone()).boxed();
    head(answer, body)
}

fn trickled(answer: Answer, pause: Duration) -> Response<Body> {
    let bytes = answer.body.clone();
    let stream = futures::stream::iter(0..bytes.len()).then(move |at| {
        let byte = bytes.slice(at..=at);
        async move {
            tokio::time::sleep(pause).await;
            Ok(Frame::data(byte))
        }
    });
    head(answer, BoxBody::new(StreamBody::new(stream)))
}

fn head(answer: Answer, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = answer.status;
    for (name, value) in answer.headers {
        if let Ok(value) = value.parse() {
            response.headers_mut().append(name, value);
        }
    }
    response
}

/// A TCP stream that is reset, not closed, when it is dropped with the flag set.
struct Resettable {
    stream: TcpStream,
    reset: Arc<AtomicBool>,
}

impl Drop for Resettable {
    fn drop(&mut self) {
        if self.reset.load(Ordering::Relaxed) {
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Resettable {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Resettable {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.reset.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
