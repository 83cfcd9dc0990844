//! Accepting Okta's connections: TLS, HTTP/1.1, and bounds on everything a stranger may use up.

use std::{
    convert::Infallible,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::{HeaderValue, Request, StatusCode, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::{
    net::{TcpListener, TcpStream},
    time::{Instant, sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    awaited_body::AwaitedBody,
    handshake_bytes::HandshakeBytes,
    metrics::GatewayMetrics,
    request_clock::{ClockedConnection, RequestClock},
    service::Service,
    turns::Turns,
};
use hookswitch_telemetry::room::{ConnectionPermit, Room};

/// Connections open at once. For one more, one is closed that has not shown a hook's secret, or one without a request.
pub const CONNECTIONS: usize = 1_024;
/// Time for TLS.
const HANDSHAKE: Duration = Duration::from_secs(3);
/// Time for the head of a first request, from its first byte. Okta gives up after 3 s, so who is slower is not Okta.
const FIRST: Duration = Duration::from_secs(4);
/// How long a connection without a request is kept open unless the operator says otherwise: longer than the 60 s after
/// which proxies (nginx, load balancers) close theirs, so that the close and a request do not pass each other on the way.
pub const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How long a connection may go on after the stop while no request has come whole.
const LEAVING: Duration = Duration::from_millis(500);
/// How long a request under way may take after the stop; each is answered before.
const ANSWERING: Duration = Duration::from_secs(5);
/// The most bytes of a request's head.
const MAX_HEAD: usize = 16 * 1024;
/// The most header lines.
const MAX_HEADERS: usize = 64;
/// How long accepting rests after an error: it is most often a want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What callers may use up.
#[derive(Debug, Clone, Copy)]
pub struct ListenerBounds {
    /// Connections open at once.
    pub connections: usize,
    /// How long a connection is kept open without a request.
    pub keep_alive: Duration,
}

impl ListenerBounds {
    /// Of a process that may have so many files open. Half of them are for others than callers: for providers before all.
    #[must_use]
    pub fn within(files: usize, keep_alive: Duration) -> Self {
        let connections = CONNECTIONS.min(files / 2);
        if connections < CONNECTIONS {
            tracing::warn!(
                files,
                connections,
                "few files may be open, so few connections are taken: raise the limit (ulimit -n)"
            );
        }
        Self { connections, keep_alive }
    }
}

/// Serves until `stop`, then lets the requests under way finish and closes all other connections.
pub async fn serve(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    service: Arc<Service>,
    counters: Arc<GatewayMetrics>,
    bounds: ListenerBounds,
    stop: CancellationToken,
) {
    let handler = ConnectionHandler {
        acceptor: TlsAcceptor::from(tls),
        service,
        counters,
        keep_alive: bounds.keep_alive,
        turns: Turns::here(),
        stop,
    };
    let handler = Arc::new(handler);
    let room = Room::of(bounds.connections);
    let open = TaskTracker::new();
    loop {
        let (stream, from) = tokio::select! {
            () = handler.stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "accept failed");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        let accepted = Instant::now();
        let Some(permit) = room.enter(from.ip()) else {
            handler.counters.closed("limit");
            continue;
        };
        let handler = Arc::clone(&handler);
        open.spawn(async move {
            let permit = Arc::new(permit);
            tokio::select! {
                () = handler.converse(stream, accepted, Arc::clone(&permit)) => {}
                () = permit.evicted() => handler.counters.closed("limit"),
            }
        });
    }
    drop(listener);
    open.close();
    open.wait().await;
}

/// What all connections share.
struct ConnectionHandler {
    acceptor: TlsAcceptor,
    service: Arc<Service>,
    counters: Arc<GatewayMetrics>,
    keep_alive: Duration,
    turns: Turns,
    stop: CancellationToken,
}

impl ConnectionHandler {
    async fn converse(&self, stream: TcpStream, accepted: Instant, permit: Arc<ConnectionPermit>) {
        let _ = stream.set_nodelay(true);
        let secured = tokio::select! {
            () = self.stop.cancelled() => return,
            secured = timeout(HANDSHAKE, self.turns.take(self.acceptor.accept(HandshakeBytes::of(stream)))) => secured,
        };
        let Ok(Ok(mut stream)) = secured else {
            self.counters.closed("handshake");
            return;
        };
        stream.get_mut().0.made();
        let beginning = RequestClock::accepted(accepted);
        let (asked, under_way) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let answer = {
            let (asked, under_way, clock) = (Arc::clone(&asked), Arc::clone(&under_way), beginning.clone());
            let service = Arc::clone(&self.service);
            service_fn(move |request: Request<Incoming>| {
                // Until it is known who asks, which takes no time, nobody else may have the place.
                let is_in_time = permit.keep();
                asked.store(true, Ordering::Relaxed);
                under_way.store(true, Ordering::Relaxed);
                let (service, clock, permit) = (Arc::clone(&service), clock.clone(), Arc::clone(&permit));
                let under_way = Arc::clone(&under_way);
                let request = request.map(|body| AwaitedBody::new(body, Arc::clone(&permit)));
                async move {
                    if !is_in_time {
                        // somebody else has the place, and this connection is closed now: nothing may be sent for it
                        std::future::pending::<()>().await;
                    }
                    let mut response = service.answer(request, clock.get()).await;
                    if service.is_leaving() {
                        // the close and the next call on this connection must not pass each other on the way
                        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                    }
                    clock.finish();
                    // Whoever shows a hook's secret is answered 200, and nobody else is.
                    if response.status() == StatusCode::OK {
                        permit.rest();
                    } else {
                        permit.expose();
                    }
                    under_way.store(false, Ordering::Relaxed);
                    Ok::<_, Infallible>(response)
                }
            })
        };
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.keep_alive)
            .max_headers(MAX_HEADERS)
            .max_buf_size(MAX_HEAD)
            .half_close(false)
            .serve_connection(TokioIo::new(ClockedConnection::new(stream, beginning.clone())), answer);
        let mut connection = pin!(connection);
        let slow = async {
            beginning.first_byte().await;
            sleep(FIRST).await;
            if asked.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
        };
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = slow => {
                self.counters.closed("silent");
                return;
            }
            () = self.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                // half a head is nobody's call, and a whole one is answered
                match timeout(LEAVING, connection.as_mut()).await {
                    Ok(ended) => ended,
                    Err(_) if under_way.load(Ordering::Relaxed) => {
                        let _ = timeout(ANSWERING, connection).await;
                        return;
                    }
                    Err(_) => return,
                }
            }
        };
        match ended {
            Ok(()) => {}
            Err(error) if error.is_timeout() && asked.load(Ordering::Relaxed) => {}
            Err(error) => self.counters.closed(if error.is_timeout() { "silent" } else { "protocol" }),
        }
    }
}
