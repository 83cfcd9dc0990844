//! The small HTTP server behind the endpoints that are not Okta's: metrics, health, report.
//!
//! Answers are rendered in memory by a plain function of the request's head; bodies are never read. Connections, time
//! and the size of a request's head are bounded, so that whoever reaches the port can cost little.

use std::{
    convert::Infallible,
    future::Future,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header, request};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::room::{ConnectionPermit, Room};

/// What a caller may use up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndpointBounds {
    /// Connections open at once; for the next one the oldest is closed, of those from the source that holds most.
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
pub type HttpResponse = Response<Full<Bytes>>;

/// A text answer that no cache keeps.
#[must_use]
pub fn text(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> HttpResponse {
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
pub async fn serve<W, F, I, A>(
    listener: TcpListener,
    bounds: EndpointBounds,
    wrap: W,
    answer: A,
    stop: CancellationToken,
) where
    W: Fn(TcpStream) -> F + Send + Sync + 'static,
    F: Future<Output = Option<I>> + Send,
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    A: Fn(&request::Parts) -> HttpResponse + Send + Sync + 'static,
{
    let (wrap, answer) = (Arc::new(wrap), Arc::new(answer));
    let room = Room::of(bounds.connections);
    let mut connections = JoinSet::new();
    while let Some((stream, permit)) = accept(&listener, &room, &stop).await {
        let (wrap, answer, stop) = (Arc::clone(&wrap), Arc::clone(&answer), stop.clone());
        connections.spawn(async move {
            let exchange = async {
                if let Ok(Some(stream)) = timeout(bounds.handshake, wrap(stream)).await {
                    let _ = timeout(bounds.lifetime, converse(stream, bounds.head, answer, stop)).await;
                }
            };
            tokio::select! {
                () = exchange => {}
                () = permit.evicted() => {}
            }
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

/// Connections that wait in the kernel until they are accepted.
const QUEUE: i32 = 1_024;

/// Binds a listener, saying which address it was when that fails. At `[::]` it takes IPv4 as well as IPv6, whatever the
/// system's default, and IPv4 alone on a system that knows no IPv6.
///
/// # Errors
///
/// The address is taken, not ours, or may not be listened on.
pub async fn listen(address: SocketAddr) -> Result<TcpListener, ListenError> {
    if address.ip() != Ipv6Addr::UNSPECIFIED {
        return TcpListener::bind(address).await.map_err(|source| ListenError { address, source });
    }
    match dual_stack(address) {
        Err(error) if knows_no_ipv6(&error) => {
            let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
            TcpListener::bind(address).await.map_err(|source| ListenError { address, source })
        }
        listening => listening.map_err(|source| ListenError { address, source }),
    }
}

fn dual_stack(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV6, Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_only_v6(false)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(QUEUE)?;
    TcpListener::from_std(socket.into())
}

/// Whether an error says that the kernel was built or started without IPv6, or that no interface may have an address of it.
fn knows_no_ipv6(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
        || error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
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

async fn accept(
    listener: &TcpListener,
    room: &Room,
    stop: &CancellationToken,
) -> Option<(TcpStream, ConnectionPermit)> {
    let accepting = async {
        loop {
            match listener.accept().await {
                Ok((stream, from)) => {
                    if let Some(permit) = room.enter(from.ip()) {
                        return (stream, permit);
                    }
                }
                Err(_) => sleep(ACCEPT_PAUSE).await,
            }
        }
    };
    stop.run_until_cancelled(accepting).await
}

async fn converse<I, A>(stream: I, head: Duration, answer: Arc<A>, stop: CancellationToken)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    A: Fn(&request::Parts) -> HttpResponse + Send + Sync + 'static,
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

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        task::JoinHandle,
        time::Instant,
    };

    use super::*;

    const SHORT: Duration = Duration::from_millis(200);
    const SOON: Duration = Duration::from_secs(5);
    const BOUNDS: EndpointBounds =
        EndpointBounds { connections: 2, handshake: SHORT, head: SHORT, lifetime: Duration::from_mins(1) };

    async fn start(bounds: EndpointBounds) -> (SocketAddr, CancellationToken, JoinHandle<()>) {
        let listener = listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        let answer = |request: &request::Parts| text(StatusCode::OK, "text/plain", request.uri.path().to_owned());
        (address, stop.clone(), tokio::spawn(serve(listener, bounds, plain, answer, stop)))
    }

    async fn read(stream: &mut TcpStream) -> String {
        let mut buffer = vec![0; 4096];
        let length = timeout(SOON, stream.read(&mut buffer)).await.expect("nothing came").unwrap_or(0);
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    /// Reads until the other side closes, and says how long that took.
    async fn closed(mut stream: TcpStream) -> Duration {
        let began = Instant::now();
        while !read(&mut stream).await.is_empty() {}
        began.elapsed()
    }

    #[tokio::test]
    async fn several_requests_go_over_one_connection() {
        let (address, stop, _) = start(BOUNDS).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        for path in ["/a", "/b"] {
            stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
            let answer = read(&mut stream).await;
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with(path), "{answer}");
        }
        stop.cancel();
    }

    #[tokio::test]
    async fn who_sends_nothing_half_a_head_or_one_too_long_is_hung_up_on() {
        let (address, stop, _) = start(BOUNDS).await;
        let long = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(2 * MAX_HEAD));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(MAX_HEADERS + 1));
        for sent in ["", "GET / HT", "GET / HTTP/1.1\r\nhost: x\r\nx: ", &long, &many] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(sent.as_bytes()).await.unwrap();
            assert!(closed(stream).await < SOON, "{} bytes", sent.len());
        }
        stop.cancel();
    }

    #[tokio::test]
    async fn idle_half_said_and_unread_connections_make_room_for_one_more() {
        let (address, stop, _) = start(EndpointBounds { connections: 3, head: SOON, handshake: SOON, ..BOUNDS }).await;
        let (idle, mut half, mut unread) = (
            TcpStream::connect(address).await.unwrap(),
            TcpStream::connect(address).await.unwrap(),
            TcpStream::connect(address).await.unwrap(),
        );
        half.write_all(b"GET / HT").await.unwrap();
        unread.write_all(b"GET /unread HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut asking = [(); 3].map(|()| None);
        for (asking, path) in asking.iter_mut().zip(["/livez", "/readyz", "/metrics"]) {
            let asking = asking.insert(TcpStream::connect(address).await.unwrap());
            asking.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
            assert!(read(asking).await.ends_with(path));
        }
        for held in [idle, half, unread] {
            assert!(closed(held).await < SOON / 2, "the oldest are closed");
        }
        stop.cancel();
    }

    #[tokio::test]
    async fn who_listens_at_every_address_is_reached_by_ipv4_and_ipv6() {
        let listener = listen("[::]:0".parse().unwrap()).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.expect("by IPv4");
        let has_ipv6 = std::fs::read_to_string("/proc/net/if_inet6").is_ok_and(|interfaces| !interfaces.is_empty());
        assert_eq!(TcpStream::connect((Ipv6Addr::LOCALHOST, port)).await.is_ok(), has_ipv6, "by IPv6");
        let again = listen(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))).await;
        assert_eq!(
            again.unwrap_err().source.kind(),
            io::ErrorKind::AddrInUse,
            "a port that is taken is no want of IPv6"
        );
    }

    #[test]
    fn only_a_want_of_ipv6_leads_to_ipv4_alone() {
        for (errno, alone) in [
            (rustix::io::Errno::AFNOSUPPORT, true),
            (rustix::io::Errno::ADDRNOTAVAIL, true),
            (rustix::io::Errno::ADDRINUSE, false),
            (rustix::io::Errno::ACCESS, false),
            (rustix::io::Errno::MFILE, false),
        ] {
            assert_eq!(knows_no_ipv6(&io::Error::from_raw_os_error(errno.raw_os_error())), alone, "{errno}");
        }
    }

    #[tokio::test]
    async fn a_connection_ends_with_its_lifetime_however_busy() {
        let (address, stop, _) = start(EndpointBounds { lifetime: SHORT, ..BOUNDS }).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        let began = Instant::now();
        loop {
            let sent = stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
            if sent.is_err() || read(&mut stream).await.is_empty() {
                break;
            }
            sleep(Duration::from_millis(10)).await;
        }
        assert!(began.elapsed() >= SHORT / 2 && began.elapsed() < SOON);
        stop.cancel();
    }

    #[tokio::test]
    async fn the_stop_ends_idle_connections_and_the_listener() {
        let (address, stop, serving) = start(EndpointBounds { head: SOON, ..BOUNDS }).await;
        let idle = TcpStream::connect(address).await.unwrap();
        sleep(Duration::from_millis(50)).await;
        stop.cancel();
        timeout(SOON, serving).await.expect("still serving").unwrap();
        assert!(closed(idle).await < SHORT);
        assert!(TcpStream::connect(address).await.is_err());
    }
}
